//! Expressions of all three grammars, as tables.

use super::*;
use serde_json::json;

fn input() -> Value {
    json!({"n": 4, "f": 1.5, "s": "ready", "list": [1, 2, 2, 1.0], "o": {"a": 1}, "yes": true, "no": null})
}

fn eval(term: &Term) -> Result<Value, Miss> {
    let (input, context) = (input(), json!({}));
    let mut env = Env::new(&input, &context);
    env.named.push(("Input", &input));
    term.eval(&env, &Random::new([1; 16]))
}

#[test]
fn intrinsics_of_states_language() {
    let table = [
        (r"States.Format('Hello {}, \{\} {}', $.s, $.n)", json!("Hello ready, {} 4")),
        (r"States.Format('it\'s {} \\', null)", json!(r"it's null \")),
        ("States.Format('{}', $.o)", json!("{\"a\":1}")),
        ("States.StringToJson('{\"a\": 1}')", json!({"a": 1})),
        ("States.JsonToString($.o)", json!("{\"a\":1}")),
        ("States.Array(1, 'x', null, $.o)", json!([1, "x", null, {"a": 1}])),
        ("States.Array()", json!([])),
        ("States.ArrayPartition($.list, 3)", json!([[1, 2, 2], [1.0]])),
        ("States.ArrayContains($.list, 2)", json!(true)),
        ("States.ArrayContains(States.Array($.o), $.o)", json!(true)),
        ("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9])),
        ("States.ArrayRange(3, 1, -1)", json!([3, 2, 1])),
        ("States.ArrayGetItem($.list, 1)", json!(2)),
        ("States.ArrayLength($.list)", json!(4)),
        ("States.ArrayUnique($.list)", json!([1, 2])),
        ("States.Base64Encode('Data')", json!("RGF0YQ==")),
        ("States.Base64Decode('RGF0YQ==')", json!("Data")),
        ("States.Hash('input data', 'SHA-1')", json!("aaff4a450a104cd177d28d18d74485e8cae074b7")),
        (
            "States.JsonMerge($.o, States.StringToJson('{\"b\": {}}'), false)",
            json!({"a": 1, "b": {}}),
        ),
        ("States.MathAdd(1.5, -1.5)", json!(1)),
        ("States.MathAdd($.n, -1)", json!(3)),
        ("States.StringSplit('1.2,3,,4.', '.,')", json!(["1", "2", "3", "4"])),
    ];
    for (text, expected) in table {
        let term = intrinsic(text).unwrap_or_else(|said| panic!("{text}: {said}"));
        assert_eq!(eval(&term), Ok(expected), "{text}");
    }
    let random = eval(&intrinsic("States.MathRandom(1, 3)").unwrap()).unwrap();
    assert!([json!(1), json!(2)].contains(&random));
    let seeded = || eval(&intrinsic("States.MathRandom(1, 99999, 7)").unwrap());
    assert_eq!(seeded(), seeded());
}

#[test]
fn intrinsics_that_fail() {
    let texts = [
        "States.Format('{} {}', 1)",
        "States.Format('{}', 1, 2)",
        "States.StringToJson('{')",
        "States.ArrayRange(1, 2, 0)",
        "States.ArrayRange(1, 5000, 1)",
        "States.ArrayGetItem($.list, 9)",
        "States.ArrayPartition($.list, 0)",
        "States.JsonMerge($.o, $.o, true)",
        "States.MathRandom(3, 3)",
        "States.Hash('x', 'CRC')",
        "States.Base64Decode('?')",
        "States.ArrayLength($.n)",
    ];
    for text in texts {
        assert!(matches!(eval(&intrinsic(text).unwrap()), Err(Miss::Wrong(_))), "{text}");
    }
    for text in [
        "States.Nope()",
        "States.UUID(1)",
        "States.Format(x)",
        "States.Array(1",
        "Format('a')",
        "States.Array(1) x",
    ] {
        assert!(intrinsic(text).is_err(), "{text}");
    }
    let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
    assert!(intrinsic(&deep).unwrap_err().contains("10 deep"));
}

#[test]
fn conditions_of_fdl() {
    let table = [
        ("$.s == \"ready\"", true),
        ("$.s=='ready'", true),
        ("$.n <= 4 && !($.n < 4)", true),
        ("$.missing == null", true),
        ("$.missing != 1", true),
        ("$.yes && ($.n > 10 || $.f == 1.5)", true),
        ("$.n == \"4\"", false),
        ("$.list[1] == 2", true),
        ("!$.yes", false),
        ("$.n != -1", true),
    ];
    for (text, expected) in table {
        assert_eq!(eval(&condition(text).unwrap()), Ok(json!(expected)), "{text}");
    }
    for text in ["$.s < 3", "$.missing < 3"] {
        assert!(eval(&condition(text).unwrap()).is_err(), "{text}: no order");
    }
    let (input, context) = (input(), json!({}));
    assert!(
        truth(&condition("$.n").unwrap(), &Env::new(&input, &context), &Random::new([0; 16]))
            .is_err()
    );
    for text in ["", "$.a ==", "length($.a) > 1", "$.a = 1", "$.a[*] == 1", "(1", "ready"] {
        assert!(condition(text).is_err(), "{text}");
    }
}

#[test]
fn expressions_of_cloudflow() {
    let table = [
        ("$Input.list[0]", json!(1)),
        ("length($Input.list) >= 4 && $Input.s==\"ready\"", json!(true)),
        ("get(toArray('a', 'b'), 1)", json!("b")),
        ("format(\"x {} {}\", $Input.n, $Input.o)", json!("x 4 {\"a\":1}")),
        ("jsonMerge($Input.o, {\"b\": [1, intAdd(1, 1)]})", json!({"a": 1, "b": [1, 2]})),
        ("mapKeys($Input.o)", json!(["a"])),
        ("mapValues($Input.o)", json!([1])),
        ("split('a,b', ',')", json!(["a", "b"])),
        ("regexMatchString('r.*y', $Input.s)", json!(true)),
        ("hash('a', 'MD5')", json!("0cc175b9c0f1b6a831c399e269772661")),
        ("fromBase64(toBase64('é'))", json!("é")),
        ("stringToJson('[1]')", json!([1])),
        ("arrayContains($Input.list, 2)", json!(true)),
        ("arrayUnique($Input.list)", json!([1, 2])),
        ("!false", json!(true)),
    ];
    for (text, expected) in table {
        let term = cloud(text).unwrap_or_else(|said| panic!("{text}: {said}"));
        assert_eq!(eval(&term), Ok(expected), "{text}");
    }
    assert!(eval(&cloud("$Input.missing == 1").unwrap()).is_err(), "a miss is an error here");
    for text in ["nope(1)", "length()", "{a: }", "[1", "$Input.a b"] {
        assert!(cloud(text).is_err(), "{text}");
    }
}
