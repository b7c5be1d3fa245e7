//! The choice rules of States Language in JSONPath. A type that does not fit makes a comparison false;
//! only a variable that is not there is an error, and never for `IsPresent`.

use core::cmp::Ordering;

use crate::path::{Env, Miss, Path};
use crate::prelude::*;
use crate::stamp;
use crate::value;

#[derive(Clone, Debug)]
pub(crate) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    One(Path, Operator),
}

#[derive(Clone, Debug)]
pub(crate) enum Operator {
    Compare(Sort, &'static [Ordering], Against),
    Matches(Vec<Piece>),
    Is(Property, bool),
}

/// What is compared; other sorts of values never match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Text,
    Number,
    Stamp,
    Boolean,
}

#[derive(Clone, Debug)]
pub(crate) enum Against {
    Value(Value),
    Path(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    Null,
    Present,
    Numeric,
    Text,
    Boolean,
    Timestamp,
}

/// A part of a `StringMatches` pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Any,
    Text(String),
}

const EQUAL: &[Ordering] = &[Ordering::Equal];
const LESS: &[Ordering] = &[Ordering::Less];
const LESS_EQUAL: &[Ordering] = &[Ordering::Less, Ordering::Equal];
const GREATER: &[Ordering] = &[Ordering::Greater];
const GREATER_EQUAL: &[Ordering] = &[Ordering::Greater, Ordering::Equal];

/// The sort and order a comparator's name means, and whether it takes a path.
pub(crate) fn comparator(name: &str) -> Option<(Sort, &'static [Ordering], bool)> {
    let (name, by_path) = match name.strip_suffix("Path") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let sorts = [
        ("String", Sort::Text),
        ("Numeric", Sort::Number),
        ("Timestamp", Sort::Stamp),
        ("Boolean", Sort::Boolean),
    ];
    let (order, sort) =
        sorts.iter().find_map(|(start, sort)| Some((name.strip_prefix(start)?, *sort)))?;
    let orders = match order {
        "Equals" => EQUAL,
        "LessThan" => LESS,
        "LessThanEquals" => LESS_EQUAL,
        "GreaterThan" => GREATER,
        "GreaterThanEquals" => GREATER_EQUAL,
        _ => return None,
    };
    (sort != Sort::Boolean || order == "Equals").then_some((sort, orders, by_path))
}

pub(crate) fn property(name: &str) -> Option<Property> {
    Some(match name {
        "IsNull" => Property::Null,
        "IsPresent" => Property::Present,
        "IsNumeric" => Property::Numeric,
        "IsString" => Property::Text,
        "IsBoolean" => Property::Boolean,
        "IsTimestamp" => Property::Timestamp,
        _ => return None,
    })
}

impl Sort {
    /// Whether a literal of a definition is of this sort.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Stamp => value.as_str().and_then(stamp::parse).is_some(),
            Self::Boolean => value.is_boolean(),
        }
    }

    fn order(self, left: &Value, right: &Value) -> Option<Ordering> {
        match (self, left, right) {
            (Self::Text, Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Self::Number, Value::Number(a), Value::Number(b)) => value::compare_numbers(a, b),
            (Self::Stamp, Value::String(a), Value::String(b)) => {
                Some(stamp::parse(a)?.cmp(&stamp::parse(b)?))
            }
            (Self::Boolean, Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Self::Text | Self::Number | Self::Stamp | Self::Boolean, _, _) => None,
        }
    }
}

impl Property {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Present => true,
            Self::Numeric => value.is_number(),
            Self::Text => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => value.as_str().and_then(stamp::parse).is_some(),
        }
    }
}

/// `*` stands for anything, `\*` and `\\` for themselves.
pub(crate) fn pattern(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(core::mem::take(&mut literal)));
                }
                if pieces.last() != Some(&Piece::Any) {
                    pieces.push(Piece::Any);
                }
            }
            '\\' => match chars.next() {
                Some(c @ ('*' | '\\')) => literal.push(c),
                _ => return Err("a backslash stands only before `*` or `\\`".to_owned()),
            },
            c => literal.push(c),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// Greedy from the left, which is right for `*`: linear in the text for each piece.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let mut rest = text;
    let mut is_free = false;
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Any => is_free = true,
            Piece::Text(part) if is_free && at + 1 == pieces.len() => {
                return rest.ends_with(part.as_str());
            }
            Piece::Text(part) => {
                let found = if is_free {
                    rest.find(part.as_str())
                } else {
                    rest.starts_with(part.as_str()).then_some(0)
                };
                let Some(start) = found else { return false };
                rest = &rest[start + part.len()..];
                is_free = false;
            }
        }
    }
    is_free || rest.is_empty()
}

impl Test {
    pub(crate) fn holds(&self, env: &Env<'_>) -> Result<bool, Miss> {
        Ok(match self {
            Self::And(tests) => {
                for test in tests {
                    if !test.holds(env)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Or(tests) => {
                for test in tests {
                    if test.holds(env)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(test) => !test.holds(env)?,
            Self::One(variable, Operator::Is(Property::Present, wanted)) => {
                match variable.find(env) {
                    Ok(_) => *wanted,
                    Err(Miss::Nothing(_)) => !wanted,
                    Err(wrong) => return Err(wrong),
                }
            }
            Self::One(variable, operator) => {
                let value = variable.find(env)?;
                operator.holds(value.as_ref(), env)?
            }
        })
    }
}

impl Operator {
    fn holds(&self, value: &Value, env: &Env<'_>) -> Result<bool, Miss> {
        Ok(match self {
            Self::Compare(sort, orders, against) => {
                let order = match against {
                    Against::Value(other) => sort.order(value, other),
                    Against::Path(path) => {
                        let other = path.find(env)?;
                        sort.order(value, other.as_ref())
                    }
                };
                order.is_some_and(|order| orders.contains(&order))
            }
            Self::Matches(pieces) => value.as_str().is_some_and(|text| matches(pieces, text)),
            Self::Is(property, wanted) => property.holds(value) == *wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_anything() {
        let table = [
            ("*.log", "a.log", true),
            ("*.log", "a.txt", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
            (r"\**", "*x", true),
            (r"a\\b", r"a\b", true),
            ("", "", true),
            ("*", "", true),
            ("ab", "abc", false),
            ("a*bc", "abcbc", true),
        ];
        for (text, subject, expected) in table {
            assert_eq!(matches(&pattern(text).unwrap(), subject), expected, "{text} {subject}");
        }
        assert!(pattern(r"a\b").is_err());
    }

    #[test]
    fn names_of_comparators() {
        assert!(comparator("NumericLessThanEqualsPath").is_some_and(|c| c.2));
        assert!(comparator("BooleanLessThan").is_none());
        assert!(comparator("StringMatches").is_none());
        assert!(comparator("TimestampEquals").is_some());
    }
}
