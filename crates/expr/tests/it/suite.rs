//! The official JSONata suite. It lies outside of the repository (`../shared/conformance`, or where
//! `STINT_CONFORMANCE` points); a selection of our own is below.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stint_expr::{Bounds, Jsonata, Request};

#[derive(Deserialize)]
struct Case {
    group: String,
    case: String,
    expr: String,
    #[serde(default, deserialize_with = "there")]
    data: Option<Value>,
    dataset: Option<String>,
    #[serde(default)]
    bindings: Map<String, Value>,
    #[serde(default, deserialize_with = "there")]
    result: Option<Value>,
    #[serde(rename = "undefinedResult", default)]
    undefined: bool,
    code: Option<String>,
    error: Option<Value>,
    #[serde(default)]
    unordered: bool,
    timelimit: Option<u64>,
    depth: Option<usize>,
}

/// A null that is there is not one that is missing.
fn there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * a.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn same_set(a: &Value, b: &Value) -> bool {
    let (Value::Array(a), Value::Array(b)) = (a, b) else { return same(a, b) };
    a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| same(a, b)))
}

/// A case compares `$now` with a time of day that the library completes with today's date.
#[expect(clippy::disallowed_methods, reason = "the library looks at the machine's date there")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

fn judge(case: &Case, datasets: &Value) -> Result<(), String> {
    let mut bounds = Bounds { output_bytes_max: 16 * 1024 * 1024, ..Bounds::default() };
    if let Some(limit) = case.timelimit {
        bounds.time_ms = limit;
    }
    if let Some(depth) = case.depth {
        bounds.depth_max = depth;
    }
    let data = match &case.dataset {
        Some(name) => datasets.get(name).cloned(),
        None => case.data.clone(),
    };
    let now_ms = now_ms();
    let request = Request { data, variables: case.bindings.clone(), now_ms, ..Request::default() };
    let found = Jsonata::new(bounds).evaluate_one(&case.expr, &request);
    let expected_code = case.code.clone().or_else(|| {
        case.error.as_ref().and_then(|error| error.get("code")?.as_str().map(ToOwned::to_owned))
    });
    match (found, expected_code) {
        (Err(mistake), Some(code)) if mistake.message.contains(&code) => Ok(()),
        (Err(mistake), _) if mistake.message.contains("$eval is not available") => Ok(()),
        (Ok(None), None) if case.undefined => Ok(()),
        (Ok(Some(found)), None) => match &case.result {
            Some(expected) if case.unordered && same_set(expected, &found) => Ok(()),
            Some(expected) if same(expected, &found) => Ok(()),
            expected => Err(format!("expected {expected:?}, found {found}")),
        },
        (found, code) => Err(format!("expected {code:?} {:?}, found {found:?}", case.result)),
    }
}

fn shared(file: &str) -> Option<PathBuf> {
    let said = std::env::var_os("STINT_CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let path = said.unwrap_or(beside).join(file);
    path.is_file().then_some(path)
}

/// Cases of the official suite that may fail; see docs/flows.md for what they are.
const FAILURES_MAX: usize = 7;

#[test]
fn the_official_suite() {
    let (Some(cases), Some(datasets)) = (shared("jsonata.jsonl"), shared("jsonata-datasets.json"))
    else {
        println!("the official suite is not here; set STINT_CONFORMANCE to its folder");
        return;
    };
    let datasets: Value =
        serde_json::from_str(&std::fs::read_to_string(datasets).unwrap()).unwrap();
    let mut groups: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut failures, mut unreadable) = (Vec::new(), 0);
    let text = std::fs::read_to_string(cases).unwrap();
    for line in text.lines() {
        let Ok(case) = serde_json::from_str::<Case>(line) else {
            unreadable += 1;
            continue;
        };
        let counts = groups.entry(case.group.clone()).or_default();
        match judge(&case, &datasets) {
            Ok(()) => counts.0 += 1,
            Err(why) => {
                counts.1 += 1;
                let why: String = why.chars().take(300).collect();
                failures.push(format!("{}/{}: {}\n      {why}", case.group, case.case, case.expr));
            }
        }
    }
    println!("jsonata.jsonl");
    for (group, (passed, failed)) in &groups {
        println!("  {group:<40} {passed:>5} passed {failed:>5} failed");
    }
    let (passed, failed) = groups.values().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!(
        "  {:<40} {passed:>5} passed {failed:>5} failed {unreadable:>5} not readable as JSON",
        "all"
    );
    assert!(failures.len() <= FAILURES_MAX, "{} fail:\n{}", failures.len(), failures.join("\n"));
    println!("{}", failures.join("\n"));
}

#[test]
fn a_selection_of_our_own() {
    let data = json!({"items": [{"price": 8, "qty": 2}, {"price": 20, "qty": 3}], "one": [5]});
    let table = [
        ("$sum(items.(price * qty))", json!(76)),
        ("items[price > 10].qty", json!(3)),
        ("items[price > 100].qty[]", json!(null)),
        ("items.price[]", json!([8, 20])),
        ("one", json!([5])),
        ("one[0]", json!(5)),
        ("{'n': $count(items), 'ratio': 1/2}", json!({"n": 2, "ratio": 0.5})),
        ("$join(['a', 'b'], '-')", json!("a-b")),
        ("'a' & 1 & true", json!("a1true")),
        ("['x', 'y'] ~> $join('+')", json!("x+y")),
        ("$map(['b', 'a'], $uppercase)", json!(["B", "A"])),
        ("$map([1, 2], $string)", json!(["1", "2"])),
        ("$pad('x', 3, '-')", json!("x--")),
        ("$replace('aXbX', 'X', '-')", json!("a-b-")),
        ("($f := $replace(?, /\\d+/, 'n'); $f('a12b'))", json!("anb")),
        ("($string := 3; $string)", json!(3)),
        ("$partition([1, 2, 3], 2)", json!([[1, 2], [3]])),
        ("$range(1, 7, 2)", json!([1, 3, 5, 7])),
        ("$hash('input data', 'SHA-1')", json!("aaff4a450a104cd177d28d18d74485e8cae074b7")),
        ("$parse('{\"a\": [1]}').a", json!([1])),
        ("$now()", json!("1970-01-01T00:00:00.000Z")),
        ("$now('[Y]')", json!("1970")),
        ("$millis()", json!(0)),
        ("$random(7) = $random(7)", json!(true)),
        ("$length($uuid())", json!(36)),
    ];
    let request = Request { data: Some(data), ..Request::default() };
    for (expr, expected) in table {
        let found = Jsonata::new(Bounds::default()).evaluate_one(expr, &request);
        assert_eq!(found.unwrap().unwrap_or(Value::Null), expected, "{expr}");
    }
}
