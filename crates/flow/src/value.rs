//! What JSON values mean when they are compared, measured and turned into numbers. Nothing here
//! depends on a dialect.

use core::cmp::Ordering;
use core::fmt::Write as _;

use serde_json::Number;

use crate::prelude::*;

/// Deep equality in which 1 and 1.0 are the same.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let in_b =
                |(key, value): (&String, &Value)| b.get(key).is_some_and(|b| equal(value, b));
            a.len() == b.len() && a.iter().all(in_b)
        }
        (a, b) => a == b,
    }
}

/// Exact for integers, as numbers otherwise.
pub(crate) fn compare_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Bytes of the value as compact JSON, without writing it.
pub(crate) fn size(value: &Value) -> usize {
    struct Count(usize);
    impl core::fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }
    }
    let mut count = Count(0);
    let _always_ok = write!(count, "{value}");
    count.0
}

/// Whether a value has at most `most` levels; looks no deeper.
pub(crate) fn is_flat(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(items) => most > 0 && items.iter().all(|item| is_flat(item, most - 1)),
        Value::Object(map) => most > 0 && map.values().all(|value| is_flat(value, most - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// A text of at most `most` bytes.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// A whole number, also when it is written 3.0.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    if let Some(whole) = number.as_i64() {
        return Some(whole);
    }
    let float = number.as_f64()?;
    let cut = to_i64(float);
    (to_f64(cut) == float).then_some(cut)
}

/// Cuts towards zero and saturates.
#[expect(clippy::cast_possible_truncation, reason = "the cast of floats saturates by definition")]
pub(crate) const fn to_i64(float: f64) -> i64 {
    float as i64
}

#[expect(clippy::cast_precision_loss, reason = "numbers of JSON are floats beyond 2^53")]
pub(crate) const fn to_f64(whole: i64) -> f64 {
    whole as f64
}

/// The nearest integer; halves go up.
pub(crate) fn round_half_up(float: f64) -> i64 {
    let cut = to_i64(float);
    let below = if to_f64(cut) > float { cut.saturating_sub(1) } else { cut };
    if float - to_f64(below) >= 0.5 { below.saturating_add(1) } else { below }
}

/// A number of JSON; integers stay integers.
pub(crate) fn number(float: f64) -> Value {
    let whole = to_i64(float);
    if to_f64(whole) == float && whole.unsigned_abs() <= 1 << 53 {
        return Value::from(whole);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `over` on top of `under`; keys of `over` win.
pub(crate) fn merged(under: &Value, over: &Value) -> Value {
    let mut both = under.as_object().cloned().unwrap_or_default();
    if let Some(over) = over.as_object() {
        both.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Value::Object(both)
}

/// The start of a value's JSON, for causes that people read.
pub(crate) fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(1_000) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_is_one_point_zero() {
        assert!(equal(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!equal(&json!("1"), &json!(1)));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        let (a, b) = (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64));
        assert!(!equal(&a, &b), "integers are compared exactly");
    }

    #[test]
    fn sizes_are_bytes_of_text() {
        assert_eq!(size(&json!({"é": "\n"})), "{\"é\":\"\\n\"}".len());
    }

    #[test]
    fn depth_and_texts_are_bounded() {
        let value = json!({"a": [[1]]});
        assert!(is_flat(&value, 3) && !is_flat(&value, 2) && is_flat(&json!(1), 0));
        assert_eq!(cut("aé".to_owned(), 2), "a");
        assert_eq!(cut("aé".to_owned(), 3), "aé");
    }

    #[test]
    fn halves_go_up() {
        let rounded = [1.5, -1.5, 2.4999, -1.6, 0.5, -0.5].map(round_half_up);
        assert_eq!(rounded, [2, -1, 2, -2, 1, 0]);
        assert_eq!(whole(&json!(3.0)), Some(3));
        assert_eq!(whole(&json!(3.5)), None);
        assert_eq!(round_half_up(1e300), i64::MAX);
    }
}
