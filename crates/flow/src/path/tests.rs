//! Paths against values, as a table.

use super::*;
use serde_json::json;

fn found(path: &str, value: &Value) -> Result<Value, Miss> {
    let context = json!({"Execution": {"Id": "e"}});
    let variables = json!({"name": {"x": [1, 2]}});
    let mut env = Env::new(value, &context);
    env.variables.push(variables.as_object().unwrap());
    Path::parse(path).unwrap().find(&env).map(Cow::into_owned)
}

fn store() -> Value {
    json!({"store": {"book": [
        {"category": "reference", "title": "Sayings", "price": 8.95, "n": "1"},
        {"category": "fiction", "title": "Sword", "price": 12.99, "isbn": "0-1", "n": 1},
        {"category": "fiction", "title": "Moby Dick", "price": 8.99, "isbn": "0-2"}],
        "bicycle": {"color": "red", "price": 19.95}}, "a-b": 1, "limit": 10, "nothing": null})
}

#[test]
fn what_a_path_finds() {
    let table = [
        ("$.limit", json!(10)),
        ("$['limit']", json!(10)),
        ("$.a-b", json!(1)),
        ("$.nothing", json!(null)),
        ("$.store.book[0].title", json!("Sayings")),
        ("$.store.book[-1].title", json!("Moby Dick")),
        ("$.store.book[(@.length-1)].title", json!("Moby Dick")),
        ("$.store.book[*].price", json!([8.95, 12.99, 8.99])),
        ("$.store.book[0,2].title", json!(["Sayings", "Moby Dick"])),
        ("$.store.book[1:].title", json!(["Sword", "Moby Dick"])),
        ("$.store.book[:1].title", json!(["Sayings"])),
        ("$.store.book[::2].title", json!(["Sayings", "Moby Dick"])),
        ("$.store.book[-2:].title", json!(["Sword", "Moby Dick"])),
        ("$.store.bicycle['color','price']", json!({"color": "red", "price": 19.95})),
        ("$..color", json!(["red"])),
        ("$..price", json!([8.95, 12.99, 8.99, 19.95])),
        ("$..book[?(@.isbn)].title", json!(["Sword", "Moby Dick"])),
        ("$.store.book[?(!@.isbn)].title", json!(["Sayings"])),
        ("$.store.book[?(@.price < $.limit)].title", json!(["Sayings", "Moby Dick"])),
        ("$.store.book[?(@.category == 'fiction' && @.price > 10)].title", json!(["Sword"])),
        ("$.store.book[?(@.category != 'fiction')].title", json!(["Sayings"])),
        ("$.store.book[?(@.title =~ /s.*/i)].title", json!(["Sayings", "Sword"])),
        ("$.store.book[?(@.category in ['reference', 'x'])].title", json!(["Sayings"])),
        ("$.store.book[?(@.price > '9')].title", json!([])),
        ("$.store.book[?(@.n == 1)].title", json!(["Sayings", "Sword"])),
        ("$.store.book.length()", json!(3)),
        ("$..price.max()", json!(19.95)),
        ("$.none[*]", json!([])),
        ("$.none[*].x", json!([])),
        ("$.none[1:]", json!([])),
        ("$$.Execution.Id", json!("e")),
        ("$name.x[1]", json!(2)),
        ("$.limit[*]", json!([])),
    ];
    for (path, expected) in table {
        assert_eq!(found(path, &store()), Ok(expected), "{path}");
    }
}

#[test]
fn a_definite_path_that_finds_nothing_is_a_miss() {
    for path in
        ["$.none", "$.store.book[9]", "$.store.book.title", "$.limit.x", "$other", "$.none[0]"]
    {
        assert!(matches!(found(path, &store()), Err(Miss::Nothing(_))), "{path}");
    }
}

#[test]
fn an_array_selector_needs_an_array_at_the_root_and_nothing_applies_to_null() {
    for path in ["$[0]", "$[1:]", "$[0,1]"] {
        assert!(found(path, &json!({})).is_err(), "{path}");
    }
    assert_eq!(found("$[*]", &json!({})), Ok(json!([])));
    assert!(found("$.x", &json!(null)).is_err());
    assert!(found("$[*]", &json!(null)).is_err());
    assert_eq!(found("$", &json!(null)), Ok(json!(null)));
}

#[test]
fn what_is_no_path_is_refused() {
    for path in [
        "",
        "a",
        "$.",
        "$[",
        "$['a",
        "$[a]",
        "$.a[",
        "$.a[?(@.b ==)]",
        "$.a b",
        "$[::0]",
        "$.x.foo()",
    ] {
        assert!(Path::parse(path).is_err(), "{path}");
    }
    assert!(Path::parse(&format!("$[?({}@.a{})]", "(".repeat(500), ")".repeat(500))).is_err());
}

#[test]
fn results_are_put_where_the_path_points() {
    let put = |path: &str, into, result| put(&Path::parse(path).unwrap(), into, result);
    assert_eq!(put("$.a.b", json!({"x": 1}), json!(2)), Some(json!({"x": 1, "a": {"b": 2}})));
    assert_eq!(put("$", json!({"x": 1}), json!(2)), Some(json!(2)));
    assert_eq!(put("$.a[1]", json!({"a": [1, 2]}), json!(9)), Some(json!({"a": [1, 9]})));
    assert_eq!(put("$.a[2]", json!({"a": [1, 2]}), json!(9)), None);
    assert_eq!(put("$.a.b", json!({"a": 3}), json!(9)), None);
    assert_eq!(put("$.a", json!([1]), json!(9)), None);
    assert!(!Path::parse("$.a[*]").unwrap().is_reference());
}

#[test]
fn an_expression_cannot_run_for_ever() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({"a": [deep, 1, 2], "b": {}});
    }
    let wide = Value::Array((0..2_000).map(|n| json!({"a": n})).collect());
    assert!(found("$..[?(@..a)]..a", &deep).is_ok());
    let quadratic = found("$[?($[?(@.a == 1)])]", &wide);
    assert!(matches!(quadratic, Err(Miss::Wrong(_))));
}
