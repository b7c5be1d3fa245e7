//! A definition's text as a tree in which everything knows its line and column. Both front doors,
//! JSON and YAML, end in the same tree; the dialects never see text again.

pub(crate) mod json;
pub(crate) mod yaml;

use serde_json::Number;

use crate::prelude::*;
use crate::problem::{Problem, ProblemCode};

/// Longest definition that is read at all: Step Functions' limit.
pub const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// How deep maps and lists may lie in each other.
pub(crate) const DEPTH_MAX: usize = 128;
/// Values in one definition, aliases counted each time they are used.
pub(crate) const NODES_MAX: usize = 200_000;

/// A place in a text; both count from one, zero is "nowhere".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: NodeKind,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(is) => Value::Bool(*is),
            NodeKind::Number(number) => Value::Number(number.clone()),
            NodeKind::Text(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            NodeKind::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect(),
            ),
        }
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Self> {
        let NodeKind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::List(_)
            | NodeKind::Map(_) => None,
        }
    }

    /// Whether `what` stands in any text inside.
    pub(crate) fn mentions(&self, what: &str) -> bool {
        match &self.kind {
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) => false,
            NodeKind::Text(text) => text.contains(what),
            NodeKind::List(items) => items.iter().any(|item| item.mentions(what)),
            NodeKind::Map(entries) => entries.iter().any(|entry| entry.value.mentions(what)),
        }
    }

    /// What it is, in the words of an error message.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::Text(_) => "a string",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "an object",
        }
    }
}

/// Reads JSON where the text looks like it, YAML otherwise (of which JSON is a part).
pub(crate) fn read(text: &str) -> Result<Node, Vec<Problem>> {
    if text.len() > DEFINITION_BYTES_MAX {
        let said = format!(
            "the definition has {} bytes, at most {DEFINITION_BYTES_MAX} are read",
            text.len()
        );
        return Err(vec![Problem::error(ProblemCode::TooLarge, "", Position::default(), said)]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_start().chars().next() {
        None => Err(vec![Problem::error(
            ProblemCode::Syntax,
            "",
            Position { line: 1, column: 1 },
            "the definition is empty",
        )]),
        // A flow mapping of YAML opens like JSON, but seldom with a key in double quotes: what does is
        // meant as JSON, and told what is wrong with it as such.
        Some('{') if is_json(text) => json::read(text),
        Some(_) => yaml::read(text),
    }
}

fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<ProblemCode> {
        read(text).err().map(|problems| problems[0].code)
    }

    #[test]
    fn json_is_read_strictly_and_yaml_as_yaml() {
        assert_eq!(code("{\"a\": 1}"), None);
        assert_eq!(code("\u{feff} {\"a\": 1}"), None);
        assert_eq!(code("{\"a\": 1,}"), Some(ProblemCode::Syntax), "a comma too many");
        assert_eq!(code("{a: 1, b: [x]}"), None, "a flow mapping of YAML");
        assert_eq!(code("a: 1\n"), None);
        assert_eq!(code(" \n"), Some(ProblemCode::Syntax));
        assert_eq!(code(&" ".repeat(DEFINITION_BYTES_MAX + 1)), Some(ProblemCode::TooLarge));
    }
}
