//! Reading a definition's tree: every field is asked for by name, what nobody asked for is reported,
//! and every complaint carries its path and place. Reading goes on after a mistake, so that one look
//! shows all of them.

use alloc::collections::BTreeSet;
use core::cell::RefCell;
use core::ops::RangeInclusive;

use crate::prelude::*;
use crate::problem::{Problem, ProblemCode, Severity, nearest};
use crate::text::{Entry, Node, NodeKind, Position};
use crate::value;

/// More would not be read by anybody.
const PROBLEMS_MAX: usize = 200;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    pub(crate) fn add(&self, problem: Problem) {
        let mut found = self.found.borrow_mut();
        if found.len() < PROBLEMS_MAX && !found.contains(&problem) {
            found.push(problem);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(Problem::is_error)
    }

    pub(crate) fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by(|a, b| (a.at, &a.path, a.code).cmp(&(b.at, &b.path, b.code)));
        found
    }
}

/// A value of the definition and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: String,
    problems: &'a Problems,
}

impl<'a> Place<'a> {
    pub(crate) const fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self { node, path: String::new(), problems }
    }

    pub(crate) const fn at(&self) -> Position {
        self.node.at
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn inner(&self, name: &str, node: &'a Node) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self { node, path: format!("{}/{name}", self.path), problems: self.problems }
    }

    pub(crate) fn wrong(&self, code: ProblemCode, said: impl Into<String>) {
        self.problems.add(Problem::error(code, self.path.clone(), self.at(), said));
    }

    pub(crate) fn wrong_hint(&self, code: ProblemCode, said: impl Into<String>, hint: &str) {
        self.problems.add(Problem::error(code, self.path.clone(), self.at(), said).hint(hint));
    }

    pub(crate) fn warn(&self, code: ProblemCode, said: impl Into<String>) {
        let problem = Problem::error(code, self.path.clone(), self.at(), said);
        self.problems.add(Problem { severity: Severity::Warning, ..problem });
    }

    fn wrong_type(&self, wanted: &str) {
        self.wrong(
            ProblemCode::WrongType,
            format!("{wanted} is expected, not {}", self.node.what()),
        );
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.node.text();
        if text.is_none() {
            self.wrong_type("a string");
        }
        text
    }

    /// One of a closed set of words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let said = self.text()?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == said) {
            return Some(*meant);
        }
        let names: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let problem = format!("`{said}` is not one of {}", names.join(", "));
        match nearest(said, words.iter().map(|(word, _)| *word)) {
            Some(near) => {
                self.wrong_hint(ProblemCode::WrongValue, problem, &format!("write `{near}`"))
            }
            None => self.wrong(ProblemCode::WrongValue, problem),
        }
        None
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        if let NodeKind::Bool(is) = self.node.kind {
            return Some(is);
        }
        self.wrong_type("true or false");
        None
    }

    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let number = value::whole(&self.node.value());
        match number {
            Some(number) if range.contains(&number) => return Some(number),
            Some(_) => {
                let said =
                    format!("a number from {} to {} is expected", range.start(), range.end());
                self.wrong(ProblemCode::WrongValue, said);
            }
            None => self.wrong_type("a whole number"),
        }
        None
    }

    pub(crate) fn float(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let NodeKind::Number(number) = &self.node.kind else {
            self.wrong_type("a number");
            return None;
        };
        let number = number.as_f64().filter(|number| range.contains(number));
        if number.is_none() {
            let said = format!("a number from {} to {} is expected", range.start(), range.end());
            self.wrong(ProblemCode::WrongValue, said);
        }
        number
    }

    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        let NodeKind::List(items) = &self.node.kind else {
            self.wrong_type("a list");
            return None;
        };
        Some(items.iter().enumerate().map(|(at, node)| self.inner(&at.to_string(), node)).collect())
    }

    pub(crate) fn entries(&self) -> Option<&'a [Entry]> {
        let NodeKind::Map(entries) = &self.node.kind else {
            self.wrong_type("an object");
            return None;
        };
        Some(entries)
    }

    pub(crate) fn fields(&self) -> Option<Fields<'a>> {
        let entries = self.entries()?;
        Some(Fields { place: self.clone(), entries, asked: RefCell::new(BTreeSet::new()) })
    }

    pub(crate) fn value(&self) -> Value {
        self.node.value()
    }
}

/// An object whose fields are asked for by name.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) place: Place<'a>,
    entries: &'a [Entry],
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, name: &'static str) -> Option<Place<'a>> {
        self.asked.borrow_mut().insert(name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(self.place.inner(name, &entry.value))
    }

    pub(crate) fn need(&self, name: &'static str) -> Option<Place<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.place.wrong(ProblemCode::MissingField, format!("`{name}` is missing"));
        }
        found
    }

    /// At most one of these is there.
    pub(crate) fn one_of(&self, names: &[&'static str]) -> Option<Place<'a>> {
        let mut found = names.iter().filter_map(|name| self.get(name));
        let first = found.next();
        if let Some(second) = found.next() {
            let all: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            second.wrong_hint(
                ProblemCode::BothOfTwo,
                format!("only one of {} may be there", all.join(", ")),
                "remove all but one",
            );
        }
        first
    }

    /// Reports fields that exist only elsewhere.
    pub(crate) fn refuse(&self, names: &[&'static str], code: ProblemCode, why: &str) {
        for name in names {
            if let Some(place) = self.get(name) {
                place.wrong(code, format!("`{name}`: {why}"));
            }
        }
    }

    /// Reports what nobody asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.into_inner();
        for entry in self.entries {
            if asked.contains(entry.key.as_str()) {
                continue;
            }
            let path = self.place.inner(&entry.key, &entry.value).path;
            let said = format!("there is no field `{}` here", entry.key);
            let mut problem = Problem::error(ProblemCode::UnknownField, path, entry.at, said);
            let is_free = |name: &&str| !self.entries.iter().any(|entry| entry.key == *name);
            if let Some(near) = nearest(&entry.key, asked.iter().copied().filter(is_free)) {
                problem.hint = Some(format!("did you mean `{near}`?"));
            }
            self.place.problems.add(problem);
        }
    }
}
