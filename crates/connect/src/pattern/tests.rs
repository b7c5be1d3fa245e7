//! What patterns mean, by table and by property.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn is_meant(pattern: &Value, event: &Value) -> bool {
    Pattern::read(pattern).unwrap().matches(event)
}

#[test]
fn each_matcher_by_table() {
    let event = json!({
        "source": "kafka:orders", "count": 5, "flag": true, "none": null, "ip": "10.1.2.3",
        "tags": ["red", "blue"], "data": {"name": "photo.PNG", "items": [{"n": 1}, {"n": 9}]}
    });
    for (pattern, meant) in [
        (json!({}), true),
        (json!({"source": ["kafka:orders"]}), true),
        (json!({"source": ["a", "b"]}), false),
        (json!({"count": [5.0]}), true),
        (json!({"flag": [true], "none": [null]}), true),
        (json!({"missing": [null]}), false),
        (json!({"source": [{"prefix": "kafka:"}]}), true),
        (json!({"source": [{"suffix": "orders"}]}), true),
        (json!({"data": {"name": [{"suffix": ".png"}]}}), false),
        (json!({"data": {"name": [{"equals-ignore-case": "PHOTO.png"}]}}), true),
        (json!({"data": {"name": [{"wildcard": "ph*o.*"}]}}), true),
        (json!({"data": {"name": [{"wildcard": "ph*x"}]}}), false),
        (json!({"source": [{"anything-but": "kafka:orders"}]}), false),
        (json!({"source": [{"anything-but": ["a", "b"]}]}), true),
        (json!({"source": [{"anything-but": {"prefix": "kafka"}}]}), false),
        (json!({"missing": [{"anything-but": "a"}]}), false),
        (json!({"count": [{"numeric": [">", 4, "<=", 5]}]}), true),
        (json!({"count": [{"numeric": ["<", 5]}]}), false),
        (json!({"source": [{"numeric": [">", 0]}]}), false),
        (json!({"missing": [{"exists": false}], "source": [{"exists": true}]}), true),
        (json!({"source": [{"exists": false}]}), false),
        (json!({"no": {"such": [{"exists": false}]}}), true),
        (json!({"ip": [{"cidr": "10.0.0.0/8"}]}), true),
        (json!({"ip": [{"cidr": "10.2.0.0/16"}]}), false),
        (json!({"ip": [{"cidr": "::/0"}]}), false),
        (json!({"tags": ["blue"]}), true),
        (json!({"tags": ["green"]}), false),
        (json!({"data": {"items": {"n": [9]}}}), true),
        (json!({"$or": [{"source": ["x"]}, {"count": [5]}]}), true),
        (json!({"$or": [{"source": ["x"]}, {"count": [6]}]}), false),
    ] {
        assert_eq!(is_meant(&pattern, &event), meant, "{pattern}");
    }
}

#[test]
fn a_bad_pattern_says_where() {
    for (pattern, what) in [
        (json!([]), "object"),
        (json!({"a": "x"}), "a: must be a list"),
        (json!({"a": []}), "empty list"),
        (json!({"a": [{"like": "x"}]}), "no matcher"),
        (json!({"a": [{"prefix": 1}]}), "needs a text"),
        (json!({"a": [{"numeric": [">"]}]}), "comparisons"),
        (json!({"a": {"b": [{"cidr": "10.0.0.0/33"}]}}), "a: b: "),
        (json!({"a": [{"prefix": "x", "suffix": "y"}]}), "one word"),
        (json!({"$or": []}), "needs a pattern"),
    ] {
        let why = Pattern::read(&pattern).unwrap_err();
        assert!(why.contains(what), "{pattern}: {why}");
    }
    let deep = (0..20).fold(json!({"a": [1]}), |inner, _| json!({"a": inner}));
    assert!(Pattern::read(&deep).unwrap_err().contains("deep"));
}

/// An event of plain values, two deep.
fn event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|b| json!(b)),
        any::<i16>().prop_map(|n| json!(n)),
        "[a-z]{0,6}".prop_map(Value::String)
    ];
    let map = prop::collection::btree_map("[a-d]", leaf.clone(), 1..4);
    let inner = map.prop_map(|map| Value::Object(map.into_iter().collect()));
    prop::collection::btree_map("[a-d]", prop_oneof![leaf, inner], 1..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// The pattern that asks for exactly what an event says.
fn exactly(event: &Value) -> Value {
    let each = |(name, value): (&String, &Value)| {
        let wanted = if value.is_object() { exactly(value) } else { json!([value]) };
        (name.clone(), wanted)
    };
    Value::Object(event.as_object().unwrap().iter().map(each).collect())
}

proptest! {
    #[test]
    fn an_event_is_meant_by_its_own_pattern(event in event()) {
        prop_assert!(is_meant(&exactly(&event), &event));
    }

    #[test]
    fn more_fields_mean_fewer_events(a in event(), b in event()) {
        // What asks for everything of `a` and for something else never takes more than `a`'s own.
        let mut narrow = exactly(&a);
        narrow.as_object_mut().unwrap().insert("e".into(), json!(["x"]));
        prop_assert!(!is_meant(&narrow, &b) || is_meant(&exactly(&a), &b));
        prop_assert!(!is_meant(&narrow, &a));
    }

    #[test]
    fn anything_but_is_the_opposite(event in event(), value in "[a-z]{0,6}") {
        let (is, not) = (json!({"a": [value.clone()]}), json!({"a": [{"anything-but": value}]}));
        if event.get("a").is_some_and(|a| !a.is_object()) {
            prop_assert!(is_meant(&is, &event) != is_meant(&not, &event));
        }
    }

    #[test]
    fn a_wildcard_is_as_one_thinks(parts in prop::collection::vec("[ab]{0,3}", 1..5), fill in "[abc]{0,4}") {
        prop_assert!(wild(&parts.join("*"), &parts.join(&fill)));
    }
}
