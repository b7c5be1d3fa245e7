//! Expressions that want too much. Each must come back soon, as an error, without taking memory.

use serde_json::{Value, json};
use stint_expr::{Bounds, Evaluator as _, Jsonata, Request, check};

fn evaluate(source: &str) -> Result<Value, String> {
    let request = Request {
        sources: vec![source.to_owned()],
        states: Some(json!({"input": {"a": [1, 2, 3], "text": "x".repeat(1000)}})),
        ..Request::default()
    };
    Jsonata::new(Bounds { time_ms: 300, ..Bounds::default() }).evaluate(&request).remove(0)
}

#[test]
fn what_would_grow_without_bound_is_refused() {
    let sources = [
        "$pad('x', 2000000000)",
        "$pad('x', -2000000000, 'ab')",
        "['x'] ~> $map(function($s){ $pad($s, 900000000) })",
        "$map([900000000], $pad('x', ?))",
        "$join($map([1..90000], function($n){'y'}), $pad('x', 100000))",
        "$replace($pad('', 100000, 'a'), /a/, $pad('', 100000, 'b'))",
        "($f := function($s, $n){ $n = 0 ? $s : $f($s & $s, $n - 1) }; $f('xxxxxxxx', 40))",
        "($f := function($s, $n){ $n = 0 ? $s : $f([$s, $s], $n - 1) }; $string($f('x', 40)))",
        "($f := function($s, $n){ $n = 0 ? $s : $f([$s, $s], $n - 1) }; $f(1, 40) = $f(1, 40))",
        "($f := function($s, $n){ $n = 0 ? $s : $f({'a': $s, 'b': $s}, $n - 1) }; $f('x', 40))",
        "($f := function($s, $n){ $n = 0 ? $s : $f($append($s, $s), $n - 1) }; $f([1], 40))",
        "($f := function($s, $n){ $n = 0 ? $s : $f({'a': $s}, $n - 1) }; $f(1, 20000))",
        "[1..100000000]",
        "($f := function($n){ $f($n + 1) }; $f(1))",
        "($f := function($n){ 1 + $f($n + 1) }; $f(1))",
        "$eval('1 + 1')",
        "$range(1, 100000, 1)",
        "$reduce([1..5000], function($a, $n){ {'a': $a} }, 1)",
        "$parse('[' & $pad('', 100000, '[') & ']')",
    ];
    for source in sources {
        let found = evaluate(source);
        assert!(found.is_err(), "{source} gives {:.100}", found.unwrap().to_string());
    }
}

#[test]
fn a_pattern_is_linear() {
    assert_eq!(evaluate("$contains($pad('', 5000, 'a') & 'b', /(a+)+$/)"), Ok(json!(false)));
}

#[test]
fn nothing_and_functions_are_errors_with_a_reason() {
    assert_eq!(evaluate("$states.input.none"), Err("returned nothing (undefined).".into()));
    assert_eq!(evaluate("$nope"), Err("returned nothing (undefined).".into()));
    assert_eq!(evaluate("function($x){$x}"), Err("returned an unsupported result type.".into()));
    assert_eq!(evaluate("$"), Err("returned nothing (undefined).".into()));
    assert!(evaluate("$states.input.a + 'x'").unwrap_err().starts_with("failed: "));
    assert_eq!(evaluate("null"), Ok(Value::Null));
}

#[test]
fn the_output_is_bounded() {
    let found = evaluate("[1..90000]");
    assert!(found.unwrap_err().contains("more than 262144 bytes"));
}

#[test]
fn syntax_is_checked_without_evaluating() {
    assert!(check("a.b[c > 1]").is_ok());
    assert!(check("a +").is_err());
    assert!(check("$f(").is_err());
    assert!(check(&"(".repeat(100_000)).is_err());
}
