//! Values between JSON and the evaluator. Its numbers are floats: whole ones leave it as integers.

use jsonata_core::value::JValue;
use serde_json::{Map, Number, Value};

/// Levels of one value.
pub(crate) const DEPTH_MAX: usize = 100;

/// Why a value cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Nothing was selected.
    Undefined,
    /// A function, or a pattern.
    Unsupported,
    /// More than is allowed.
    TooLarge,
}

/// What an evaluation gave, as JSON of at most `budget` bytes.
pub(crate) fn leave(value: &JValue, budget: &mut usize) -> Result<Value, Unfit> {
    leave_at(value, budget, 0)
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), Unfit> {
    *budget = budget.checked_sub(bytes).ok_or(Unfit::TooLarge)?;
    Ok(())
}

fn leave_at(value: &JValue, budget: &mut usize, depth: usize) -> Result<Value, Unfit> {
    if depth > DEPTH_MAX {
        return Err(Unfit::TooLarge);
    }
    spend(budget, 1)?;
    Ok(match value {
        JValue::Undefined => return Err(Unfit::Undefined),
        JValue::Null => Value::Null,
        JValue::Bool(is) => Value::Bool(*is),
        JValue::Number(float) => {
            let number = number(*float);
            spend(budget, number.to_string().len())?;
            number
        }
        JValue::String(text) => {
            spend(budget, text.len().saturating_add(2))?;
            Value::String(text.to_string())
        }
        JValue::Array(items) => {
            let mut all = Vec::new();
            for item in items.iter() {
                all.push(leave_at(item, budget, depth + 1)?);
            }
            Value::Array(all)
        }
        JValue::Object(map) => {
            let mut all = Map::new();
            for (key, value) in map.iter() {
                spend(budget, key.len().saturating_add(4))?;
                // A member without a value is no member.
                if !value.is_undefined() {
                    all.insert(key.clone(), leave_at(value, budget, depth + 1)?);
                }
            }
            Value::Object(all)
        }
        JValue::Lambda(_) | JValue::Builtin { .. } | JValue::Regex { .. } => {
            return Err(Unfit::Unsupported);
        }
    })
}

/// An integer where the float is one and keeps its value.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
pub(crate) fn number(float: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= EXACT {
        return Value::from(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

/// Whether a value, taken apart, has at most `budget` bytes. Values share their parts, so a small one
/// can be endless when it is written out.
pub(crate) fn fits(value: &JValue, budget: &mut usize) -> bool {
    fits_at(value, budget, 0)
}

fn fits_at(value: &JValue, budget: &mut usize, depth: usize) -> bool {
    if depth > DEPTH_MAX || spend(budget, 8).is_err() {
        return false;
    }
    match value {
        JValue::String(text) => spend(budget, text.len()).is_ok(),
        JValue::Array(items) => items.iter().all(|item| fits_at(item, budget, depth + 1)),
        JValue::Object(map) => map.iter().all(|(key, value)| {
            spend(budget, key.len()).is_ok() && fits_at(value, budget, depth + 1)
        }),
        JValue::Undefined
        | JValue::Null
        | JValue::Bool(_)
        | JValue::Number(_)
        | JValue::Lambda(_)
        | JValue::Builtin { .. }
        | JValue::Regex { .. } => true,
    }
}
