//! Filters, `[?(…)]`. Comparisons follow Jayway: a number equals the text that spells it, ordering
//! needs two numbers or two texts and is false otherwise, a missing value equals nothing.

use core::cmp::Ordering;

use regex::Regex;

use super::parse;
use super::{Env, Miss, Path, Root};
use crate::prelude::*;
use crate::scan::{Cursor, NESTING_MAX};
use crate::value;

#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Matches,
    In,
    NotIn,
    SubsetOf,
    AnyOf,
    NoneOf,
    Size,
    Empty,
    Contains,
}

const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("<=", Comparison::LessEqual),
    (">=", Comparison::GreaterEqual),
    ("=~", Comparison::Matches),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("in ", Comparison::In),
    ("nin ", Comparison::NotIn),
    ("subsetof ", Comparison::SubsetOf),
    ("anyof ", Comparison::AnyOf),
    ("noneof ", Comparison::NoneOf),
    ("size ", Comparison::Size),
    ("empty ", Comparison::Empty),
    ("contains ", Comparison::Contains),
];

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// `@…`: from the item that is judged.
    Item(Path),
    /// `$…`
    Root(Path),
    Literal(Value),
    Pattern(Regex),
}

/// After `?`: a filter in parentheses.
pub(super) fn parse(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, String> {
    cursor.expect("(")?;
    let filter = either(cursor, depth)?;
    cursor.expect(")")?;
    Ok(filter)
}

fn either(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, String> {
    if depth > NESTING_MAX {
        return Err("the filter is nested too deep".to_owned());
    }
    let mut all = vec![both(cursor, depth)?];
    while cursor.eat_word("||") {
        all.push(both(cursor, depth)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Filter::Or(all) })
}

fn both(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, String> {
    let mut all = vec![one(cursor, depth)?];
    while cursor.eat_word("&&") {
        all.push(one(cursor, depth)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
}

fn one(cursor: &mut Cursor<'_>, depth: usize) -> Result<Filter, String> {
    cursor.space();
    if depth > NESTING_MAX {
        return Err("the filter is nested too deep".to_owned());
    }
    if cursor.eat("!") {
        return Ok(Filter::Not(Box::new(one(cursor, depth + 1)?)));
    }
    if cursor.eat("(") {
        let inner = either(cursor, depth + 1)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let left = operand(cursor, depth)?;
    cursor.space();
    let known = COMPARISONS.iter().find(|(word, _)| cursor.rest().starts_with(word));
    let Some((word, comparison)) = known else {
        return Ok(Filter::Exists(left));
    };
    cursor.eat(word);
    let right = operand(cursor, depth)?;
    Ok(Filter::Compare(left, *comparison, right))
}

fn operand(cursor: &mut Cursor<'_>, depth: usize) -> Result<Operand, String> {
    cursor.space();
    match cursor.peek() {
        Some('@') => {
            let start = cursor.clone();
            cursor.next();
            let (segments, tail) = parse::segments(cursor, depth + 1)?;
            let text = cursor.since(&start).to_owned();
            Ok(Operand::Item(Path { text, root: Root::Current, segments, tail }))
        }
        Some('$') => parse::path(cursor, depth + 1).map(Operand::Root),
        Some('/') => pattern(cursor).map(Operand::Pattern),
        Some('[') => list(cursor, depth).map(Operand::Literal),
        _ => literal(cursor).map(Operand::Literal),
    }
}

fn literal(cursor: &mut Cursor<'_>) -> Result<Value, String> {
    match cursor.peek() {
        Some('\'' | '"') => cursor.quoted_name().map(Value::String),
        Some('-' | '0'..='9') => cursor.number(),
        _ => {
            let before = cursor.clone();
            match cursor.take(|c| c.is_ascii_alphabetic()) {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "null" => Ok(Value::Null),
                _ => {
                    Err(before
                        .wrong("a path, a number, a text or a word is expected in the filter"))
                }
            }
        }
    }
}

fn list(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, String> {
    if depth > NESTING_MAX {
        return Err("the filter is nested too deep".to_owned());
    }
    cursor.expect("[")?;
    let mut items = Vec::new();
    if cursor.eat_word("]") {
        return Ok(Value::Array(items));
    }
    loop {
        cursor.space();
        let is_list = cursor.peek() == Some('[');
        items.push(if is_list { list(cursor, depth + 1)? } else { literal(cursor)? });
        if !cursor.eat_word(",") {
            cursor.expect("]")?;
            return Ok(Value::Array(items));
        }
    }
}

fn pattern(cursor: &mut Cursor<'_>) -> Result<Regex, String> {
    cursor.expect("/")?;
    let mut text = String::new();
    loop {
        match cursor.next() {
            Some('/') => break,
            Some('\\') if cursor.peek() == Some('/') => {}
            Some('\\') => {
                text.push('\\');
                text.extend(cursor.next());
            }
            Some(c) => text.push(c),
            None => return Err("a pattern does not end".to_owned()),
        }
    }
    let flags = if cursor.eat("i") { "i" } else { "" };
    regex(&text, flags)
}

/// A pattern that must match the whole text. Linear in time, therefore without look-around.
pub(crate) fn regex(text: &str, flags: &str) -> Result<Regex, String> {
    let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
    let built =
        regex::RegexBuilder::new(&format!("{flags}^(?:{text})$")).size_limit(1 << 20).build();
    built.map_err(|_| format!("`{text}` is no pattern (look-around is not supported)"))
}

impl Filter {
    pub(super) fn keeps(&self, item: &Value, env: &Env<'_>) -> Result<bool, Miss> {
        env.spend()?;
        Ok(match self {
            Self::Or(all) => {
                for filter in all {
                    if filter.keeps(item, env)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::And(all) => {
                for filter in all {
                    if !filter.keeps(item, env)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(filter) => !filter.keeps(item, env)?,
            Self::Exists(Operand::Literal(value)) => value == &Value::Bool(true),
            Self::Exists(operand) => operand.value(item, env)?.is_some(),
            Self::Compare(left, comparison, Operand::Pattern(pattern)) => {
                let left = left.value(item, env)?;
                let matches =
                    left.as_ref().and_then(Value::as_str).is_some_and(|t| pattern.is_match(t));
                *comparison == Comparison::Matches && matches
            }
            Self::Compare(left, comparison, right) => holds(
                left.value(item, env)?.as_ref(),
                *comparison,
                right.value(item, env)?.as_ref(),
            ),
        })
    }
}

impl Operand {
    /// `None` where a definite path finds nothing.
    fn value(&self, item: &Value, env: &Env<'_>) -> Result<Option<Value>, Miss> {
        let found = match self {
            Self::Literal(value) => return Ok(Some(value.clone())),
            Self::Pattern(_) => return Ok(None),
            Self::Root(path) => path.find(env).map(alloc::borrow::Cow::into_owned),
            Self::Item(path) => {
                let mut inner = Env::new(item, env.context);
                inner.fuel.set(env.fuel.get());
                inner.variables.clone_from(&env.variables);
                let found = path.find(&inner).map(alloc::borrow::Cow::into_owned);
                env.fuel.set(inner.fuel.get());
                found
            }
        };
        match found {
            Ok(value) => Ok(Some(value)),
            Err(Miss::Nothing(_)) => Ok(None),
            Err(wrong) => Err(wrong),
        }
    }
}

fn holds(left: Option<&Value>, comparison: Comparison, right: Option<&Value>) -> bool {
    let order = || order(left?, right?);
    let is_equal = || left.zip(right).is_some_and(|(left, right)| loosely_equal(left, right));
    let list = || right.and_then(Value::as_array);
    let among =
        |value: &Value, items: &[Value]| items.iter().any(|item| loosely_equal(value, item));
    let each = || left.and_then(Value::as_array).zip(list());
    match comparison {
        Comparison::Equal => is_equal(),
        Comparison::NotEqual => !is_equal(),
        Comparison::Less => order() == Some(Ordering::Less),
        Comparison::LessEqual => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order() == Some(Ordering::Greater),
        Comparison::GreaterEqual => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Matches => false,
        Comparison::In => left.zip(list()).is_some_and(|(left, list)| among(left, list)),
        Comparison::NotIn => !left.zip(list()).is_some_and(|(left, list)| among(left, list)),
        Comparison::SubsetOf => {
            each().is_some_and(|(left, list)| left.iter().all(|l| among(l, list)))
        }
        Comparison::AnyOf => each().is_some_and(|(left, list)| left.iter().any(|l| among(l, list))),
        Comparison::NoneOf => {
            each().is_some_and(|(left, list)| !left.iter().any(|l| among(l, list)))
        }
        Comparison::Size => {
            let size = left.and_then(length);
            size.is_some()
                && size == right.and_then(value::whole).and_then(|n| usize::try_from(n).ok())
        }
        Comparison::Empty => {
            let wanted = right.and_then(Value::as_bool);
            left.and_then(length).is_some_and(|size| Some(size == 0) == wanted)
        }
        Comparison::Contains => match (left, right) {
            (Some(Value::String(text)), Some(Value::String(part))) => text.contains(part.as_str()),
            (Some(Value::Array(items)), Some(value)) => among(value, items),
            _ => false,
        },
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::String(text) => Some(text.chars().count()),
        Value::Object(map) => Some(map.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A number and the text that spells it are equal.
fn loosely_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(number), Value::String(text))
        | (Value::String(text), Value::Number(number)) => {
            text.trim().parse::<f64>().ok() == number.as_f64()
        }
        _ => value::equal(left, right),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => value::compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
