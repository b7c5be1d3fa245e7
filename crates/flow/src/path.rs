//! JSONPath as States Language means it: the Jayway dialect. A definite path gives the value or a
//! miss, an indefinite one (wildcard, slice, filter, descent) gives an array, also of none or one.
//!
//! The root is `$` (the current value), `$$` (the context) or a name (`$input`, `$Output`, or a
//! variable); who evaluates says what each stands for.

mod filter;
mod parse;

use alloc::borrow::Cow;
use core::cell::Cell;

use crate::prelude::*;
use crate::value;
pub(crate) use filter::{Filter, regex};

/// Values one expression may visit.
const FUEL: u32 = 2_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) root: Root,
    pub(crate) segments: Vec<Segment>,
    tail: Option<Tail>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// `$`
    Current,
    /// `$$`
    Context,
    /// `$name`
    Named(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Key(String),
    Keys(Vec<String>),
    Index(i64),
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>, i64),
    All,
    Filter(Filter),
    /// `..`: the next segment, at every depth.
    Deep,
}

/// A function at the end of a path.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Length,
    Min,
    Max,
    Sum,
    Avg,
    Keys,
    First,
    Last,
}

/// What paths and expressions are evaluated in.
#[derive(Debug)]
pub(crate) struct Env<'a> {
    pub(crate) current: &'a Value,
    pub(crate) context: &'a Value,
    /// Innermost scope first.
    pub(crate) variables: Vec<&'a Map<String, Value>>,
    pub(crate) named: Vec<(&'static str, &'a Value)>,
    fuel: Cell<u32>,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// A definite path selected nothing.
    Nothing(String),
    /// A function refused its arguments, or an operator its operands.
    Wrong(String),
}

impl Miss {
    pub(crate) fn text(&self) -> &str {
        let (Self::Nothing(text) | Self::Wrong(text)) = self;
        text
    }
}

/// The path at the cursor, as far as it goes.
pub(crate) fn prefix(cursor: &mut crate::scan::Cursor<'_>) -> Result<Path, String> {
    parse::path(cursor, 0)
}

impl<'a> Env<'a> {
    pub(crate) fn new(current: &'a Value, context: &'a Value) -> Self {
        let (variables, named) = (Vec::new(), Vec::new());
        Self { current, context, variables, named, fuel: Cell::new(FUEL) }
    }

    fn spend(&self) -> Result<(), Miss> {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(1));
        if left == 0 {
            Err(Miss::Wrong("the expression visits too many values".into()))
        } else {
            Ok(())
        }
    }

    fn root(&self, root: &Root) -> Option<&'a Value> {
        match root {
            Root::Current => Some(self.current),
            Root::Context => Some(self.context),
            Root::Named(name) => {
                let named =
                    self.named.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
                named.or_else(|| self.variables.iter().find_map(|scope| scope.get(name)))
            }
        }
    }
}

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::whole(text)
    }

    /// One value, or an array of what was found?
    pub(crate) fn is_definite(&self) -> bool {
        let last = self.segments.len().saturating_sub(1);
        self.segments.iter().enumerate().all(|(at, segment)| match segment {
            Segment::Key(_) | Segment::Index(_) => true,
            Segment::Keys(_) => at == last,
            Segment::Indexes(_)
            | Segment::Slice(..)
            | Segment::All
            | Segment::Filter(_)
            | Segment::Deep => false,
        })
    }

    /// Keys and single indexes only: where something can be put.
    pub(crate) fn is_reference(&self) -> bool {
        let is_step = |s: &Segment| match s {
            Segment::Key(_) => true,
            Segment::Index(at) => *at >= 0,
            Segment::Keys(_)
            | Segment::Indexes(_)
            | Segment::Slice(..)
            | Segment::All
            | Segment::Filter(_)
            | Segment::Deep => false,
        };
        self.tail.is_none() && self.segments.iter().all(is_step)
    }

    /// Nothing but the root.
    pub(crate) fn is_root(&self) -> bool {
        self.segments.is_empty() && self.tail.is_none()
    }

    pub(crate) fn find<'a>(&self, env: &Env<'a>) -> Result<Cow<'a, Value>, Miss> {
        let Some(root) = env.root(&self.root) else {
            return Err(Miss::Nothing(format!("'{}': there is no value of that name", self.text)));
        };
        let found = self.select(root, env)?;
        match self.tail {
            None => Ok(found),
            Some(tail) => self.finish(tail, &found).map(Cow::Owned),
        }
    }

    fn select<'a>(&self, root: &'a Value, env: &Env<'a>) -> Result<Cow<'a, Value>, Miss> {
        if self.segments.is_empty() {
            return Ok(Cow::Borrowed(root));
        }
        let is_list = matches!(
            self.segments.first(),
            Some(Segment::Index(_) | Segment::Indexes(_) | Segment::Slice(..))
        );
        if root.is_null() || (is_list && !root.is_array()) {
            let said = format!(
                "Invalid path '{}': it cannot be applied to {}",
                self.text,
                value::kind(root)
            );
            return Err(Miss::Nothing(said));
        }
        if let Some(Segment::Keys(names)) = self.segments.last()
            && self.is_definite()
        {
            let before = &self.segments[..self.segments.len() - 1];
            return self.together(before, names, root, env);
        }
        let mut found = Vec::new();
        walk(root, &self.segments, env, &mut |value| found.push(value))?;
        if !self.is_definite() {
            return Ok(Cow::Owned(Value::Array(found.into_iter().cloned().collect())));
        }
        let found = found.pop().map(Cow::Borrowed);
        found.ok_or_else(|| self.nothing())
    }

    /// `['a','b']` at the end of a definite path: an object of those that are there.
    fn together<'a>(
        &self,
        before: &[Segment],
        names: &[String],
        root: &'a Value,
        env: &Env<'a>,
    ) -> Result<Cow<'a, Value>, Miss> {
        let mut holder = None;
        walk(root, before, env, &mut |value| holder = Some(value))?;
        let holder = holder.and_then(Value::as_object).ok_or_else(|| self.nothing())?;
        let there = |name: &String| Some((name.clone(), holder.get(name)?.clone()));
        Ok(Cow::Owned(Value::Object(names.iter().filter_map(there).collect())))
    }

    fn nothing(&self) -> Miss {
        Miss::Nothing(format!("Invalid path '{}': No results for path", self.text))
    }

    fn finish(&self, tail: Tail, found: &Value) -> Result<Value, Miss> {
        let refuse = |what: &str| Miss::Wrong(format!("'{}': {what}", self.text));
        let numbers = || {
            let items = found.as_array().ok_or_else(|| refuse("takes an array of numbers"))?;
            let numbers: Vec<f64> = items.iter().filter_map(Value::as_f64).collect();
            if numbers.is_empty() { Err(refuse("there is no number")) } else { Ok(numbers) }
        };
        Ok(match (tail, found) {
            (Tail::Length, Value::Array(items)) => Value::from(items.len()),
            (Tail::Length, Value::Object(map)) => Value::from(map.len()),
            (Tail::Length, Value::String(text)) => Value::from(text.chars().count()),
            (Tail::Keys, Value::Object(map)) => map.keys().cloned().map(Value::String).collect(),
            (Tail::First, Value::Array(items)) => {
                items.first().cloned().ok_or_else(|| self.nothing())?
            }
            (Tail::Last, Value::Array(items)) => {
                items.last().cloned().ok_or_else(|| self.nothing())?
            }
            (Tail::Min, _) => value::number(numbers()?.into_iter().fold(f64::INFINITY, f64::min)),
            (Tail::Max, _) => {
                value::number(numbers()?.into_iter().fold(f64::NEG_INFINITY, f64::max))
            }
            (Tail::Sum, _) => value::number(numbers()?.into_iter().sum()),
            (Tail::Avg, _) => {
                let numbers = numbers()?;
                let count = value::to_f64(i64::try_from(numbers.len()).unwrap_or(i64::MAX));
                value::number(numbers.into_iter().sum::<f64>() / count)
            }
            (Tail::Length | Tail::Keys | Tail::First | Tail::Last, other) => {
                return Err(refuse(&format!("not a function of {}", value::kind(other))));
            }
        })
    }
}

/// Calls `give` with every value that `segments` select from `from`, in document order.
fn walk<'a>(
    from: &'a Value,
    segments: &[Segment],
    env: &Env<'a>,
    give: &mut dyn FnMut(&'a Value),
) -> Result<(), Miss> {
    env.spend()?;
    let Some((segment, rest)) = segments.split_first() else {
        give(from);
        return Ok(());
    };
    match (segment, from) {
        (Segment::Deep, _) => descend(from, rest, env, give)?,
        (Segment::Key(name), Value::Object(map)) => {
            if let Some(value) = map.get(name) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::Keys(names), Value::Object(map)) => {
            for value in names.iter().filter_map(|name| map.get(name)) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::Index(at), Value::Array(items)) => {
            if let Some(value) = element(items, *at) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::Indexes(all), Value::Array(items)) => {
            for value in all.iter().filter_map(|at| element(items, *at)) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::Slice(from, to, step), Value::Array(items)) => {
            for value in slice(items, (*from, *to, *step)) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::All, Value::Array(_) | Value::Object(_)) => {
            for value in children(from) {
                walk(value, rest, env, give)?;
            }
        }
        (Segment::Filter(filter), Value::Array(items)) => {
            for value in items {
                if filter.keeps(value, env)? {
                    walk(value, rest, env, give)?;
                }
            }
        }
        (Segment::Filter(filter), Value::Object(_)) => {
            if filter.keeps(from, env)? {
                walk(from, rest, env, give)?;
            }
        }
        // A selector that does not fit the value selects nothing.
        (
            Segment::Key(_)
            | Segment::Keys(_)
            | Segment::Index(_)
            | Segment::Indexes(_)
            | Segment::Slice(..)
            | Segment::All
            | Segment::Filter(_),
            _,
        ) => {}
    }
    Ok(())
}

fn descend<'a>(
    from: &'a Value,
    rest: &[Segment],
    env: &Env<'a>,
    give: &mut dyn FnMut(&'a Value),
) -> Result<(), Miss> {
    // A stack of our own: a value may be deeper than the thread's stack allows.
    let mut left = vec![from];
    while let Some(value) = left.pop() {
        env.spend()?;
        let is_object_filter =
            matches!(rest.first(), Some(Segment::Filter(_))) && value.is_object();
        if !is_object_filter || core::ptr::eq(value, from) {
            walk(value, rest, env, give)?;
        }
        let mut below: Vec<_> = children(value).collect();
        below.reverse();
        left.append(&mut below);
    }
    Ok(())
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Box::new(core::iter::empty())
        }
    }
}

fn element(items: &[Value], at: i64) -> Option<&Value> {
    let len = i64::try_from(items.len()).ok()?;
    let at = if at < 0 { at.checked_add(len)? } else { at };
    items.get(usize::try_from(at).ok()?)
}

fn slice(items: &[Value], (from, to, step): (Option<i64>, Option<i64>, i64)) -> Vec<&Value> {
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |at: i64| (if at < 0 { at.saturating_add(len) } else { at }).clamp(0, len);
    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(len)));
    let step = usize::try_from(step.max(1)).unwrap_or(usize::MAX);
    let at = |n: i64| usize::try_from(n).unwrap_or(0);
    if from >= to { Vec::new() } else { items[at(from)..at(to)].iter().step_by(step).collect() }
}

/// Puts `result` where `path` points into `into`, and makes the objects on the way. `None` where
/// that cannot be: a key of something that is no object, an index that is not there.
pub(crate) fn put(path: &Path, into: Value, result: Value) -> Option<Value> {
    let mut root = into;
    let mut here = &mut root;
    for segment in &path.segments {
        here = match segment {
            Segment::Key(name) => {
                if here.is_null() {
                    return None;
                }
                here.as_object_mut()?
                    .entry(name.clone())
                    .or_insert_with(|| Value::Object(Map::new()))
            }
            Segment::Index(at) => {
                let items = here.as_array_mut()?;
                items.get_mut(usize::try_from(*at).ok()?)?
            }
            Segment::Keys(_)
            | Segment::Indexes(_)
            | Segment::Slice(..)
            | Segment::All
            | Segment::Filter(_)
            | Segment::Deep => return None,
        };
    }
    *here = result;
    Some(root)
}

#[cfg(test)]
mod tests;
