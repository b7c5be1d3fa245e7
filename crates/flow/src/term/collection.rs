//! Functions over arrays, objects and pieces of text.

use super::function::{integer, rounded};
use crate::prelude::*;
use crate::value;

/// Items that a range may have.
const RANGE_MAX: usize = 1_000;

pub(super) fn partition(items: Value, size: &Value) -> Result<Value, String> {
    let Value::Array(items) = items else { return Err("an array is expected".to_owned()) };
    let size = usize::try_from(rounded(size)?).ok().filter(|size| *size > 0);
    let size = size.ok_or("the size of the parts must be positive")?;
    Ok(items.chunks(size).map(|part| Value::Array(part.to_vec())).collect())
}

pub(super) fn range(first: &Value, last: &Value, step: &Value) -> Result<Value, String> {
    let (first, last, step) = (rounded(first)?, rounded(last)?, rounded(step)?);
    if step == 0 {
        return Err("the step must not be 0".to_owned());
    }
    let mut items = Vec::new();
    let mut at = first;
    while if step > 0 { at <= last } else { at >= last } {
        if items.len() == RANGE_MAX {
            return Err(format!("a range has at most {RANGE_MAX} items"));
        }
        items.push(Value::from(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(Value::Array(items))
}

pub(super) fn item(items: Value, at: &Value) -> Result<Value, String> {
    let Value::Array(mut items) = items else { return Err("an array is expected".to_owned()) };
    let index = usize::try_from(rounded(at)?).ok().filter(|at| *at < items.len());
    let index = index.ok_or_else(|| format!("there is no item {at} of {}", items.len()))?;
    Ok(items.swap_remove(index))
}

pub(super) fn unique(items: Vec<Value>) -> Value {
    let mut seen = alloc::collections::BTreeSet::new();
    let is_new = |item: &Value| seen.insert(canonical(item));
    Value::Array(items.into_iter().filter(is_new).collect())
}

/// Text that is the same for equal values: 1.0 as 1, keys in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => value::number(float).to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let mut entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}

pub(super) fn get(from: Value, key: &Value) -> Result<Value, String> {
    match (from, key) {
        (Value::Object(mut map), Value::String(key)) => {
            map.remove(key).ok_or_else(|| format!("there is no key `{key}`"))
        }
        (items @ Value::Array(_), key) => {
            integer(key)?;
            item(items, key)
        }
        (other, _) => {
            Err(format!("an array or an object is expected, not a {}", value::kind(&other)))
        }
    }
}

pub(super) fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::String(text) => text.chars().count(),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            return Err(format!("a {} has no length", value::kind(value)));
        }
    };
    Ok(Value::from(length))
}

/// Every character of `separators` separates; empty pieces are dropped.
pub(super) fn split_any(text: &str, separators: &str) -> Value {
    let pieces = text.split(|c| separators.contains(c)).filter(|piece| !piece.is_empty());
    pieces.map(|piece| Value::String(piece.to_owned())).collect()
}

pub(super) fn split(text: &str, separator: &str) -> Value {
    if separator.is_empty() {
        return text.chars().map(|c| Value::String(c.to_string())).collect();
    }
    text.split(separator).map(|piece| Value::String(piece.to_owned())).collect()
}
