//! JSON with positions. Strict: duplicate keys, stray commas and lone surrogates are errors, each at
//! its line and column.

use alloc::collections::BTreeSet;

use serde_json::Number;

use super::{DEPTH_MAX, Entry, NODES_MAX, Node, NodeKind, Position};
use crate::prelude::*;
use crate::problem::{Problem, ProblemCode};

/// Stops at the first slip: what follows one in JSON is rarely meant as it reads.
pub(crate) fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let mut reader = Reader { rest: text, at: Position { line: 1, column: 1 }, nodes: 0 };
    reader.document().map_err(|problem| vec![*problem])
}

type Slip = Box<Problem>;

struct Reader<'a> {
    rest: &'a str,
    at: Position,
    nodes: usize,
}

fn slip_at(at: Position, said: impl Into<String>) -> Slip {
    Box::new(Problem::error(ProblemCode::Syntax, "", at, said))
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, Slip> {
        let node = self.node(0)?;
        self.space();
        if self.rest.is_empty() {
            return Ok(node);
        }
        Err(self.slip("text after the end of the document"))
    }

    fn slip(&self, said: impl Into<String>) -> Slip {
        slip_at(self.at, said)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.at = Position { line: self.at.line.saturating_add(1), column: 1 };
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Slip> {
        self.space();
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let mut slip = self.slip("too deep, or too many values");
            slip.code = ProblemCode::TooLarge;
            return Err(slip);
        }
        let at = self.at;
        let kind = match self.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => NodeKind::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => self.word()?,
            Some(c) => return Err(self.slip(format!("`{c}` does not begin a value"))),
            None => return Err(self.slip("the text ends where a value is expected")),
        };
        Ok(Node { at, kind })
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c: char| !is_part(c)).unwrap_or(self.rest.len());
        let word = self.rest[..end].to_owned();
        for _ in word.chars() {
            self.next();
        }
        word
    }

    fn word(&mut self) -> Result<NodeKind, Slip> {
        let start = self.at;
        let word = self.take(|c| c.is_ascii_alphanumeric());
        match word.as_str() {
            "true" => Ok(NodeKind::Bool(true)),
            "false" => Ok(NodeKind::Bool(false)),
            "null" => Ok(NodeKind::Null),
            other => Err(Box::new(
                slip_at(start, format!("`{other}` is no JSON value"))
                    .hint("put texts into double quotes"),
            )),
        }
    }

    fn number(&mut self) -> Result<NodeKind, Slip> {
        let start = self.at;
        let text = self.take(|c| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let number = serde_json::from_str::<Number>(&text);
        number.map(NodeKind::Number).map_err(|_| slip_at(start, format!("`{text}` is no number")))
    }

    fn string(&mut self) -> Result<String, Slip> {
        let start = self.at;
        self.next();
        let mut text = String::new();
        loop {
            let here = self.at;
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(here)?),
                Some(c) if c < ' ' => {
                    let slip = slip_at(here, "a control character inside a string");
                    return Err(Box::new(slip.hint("write a line break as \\n")));
                }
                Some(c) => text.push(c),
                None => return Err(slip_at(start, "this string does not end")),
            }
        }
    }

    fn escape(&mut self, at: Position) -> Result<char, Slip> {
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => self.code().map_err(|said| slip_at(at, said))?,
            _ => return Err(slip_at(at, "an escape that JSON does not know")),
        })
    }

    fn code(&mut self) -> Result<char, &'static str> {
        let high = self.hex().ok_or("\\u takes four hexadecimal digits")?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        let half = "half of a surrogate pair";
        if !(0xd800..0xdc00).contains(&high) || !self.rest.starts_with("\\u") {
            return Err(half);
        }
        self.next();
        self.next();
        let low = self.hex().filter(|low| (0xdc00..0xe000).contains(low)).ok_or(half)?;
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(half)
    }

    fn hex(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code * 16 + self.next()?.to_digit(16)?;
        }
        Some(code)
    }

    fn list(&mut self, depth: usize) -> Result<NodeKind, Slip> {
        self.next();
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(']') {
            self.next();
            return Ok(NodeKind::List(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            if self.ends(']')? {
                return Ok(NodeKind::List(items));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<NodeKind, Slip> {
        self.next();
        let mut entries: Vec<Entry> = Vec::new();
        let mut names = BTreeSet::new();
        self.space();
        if self.peek() == Some('}') {
            self.next();
            return Ok(NodeKind::Map(entries));
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some('"') {
                return Err(self.slip("a key in double quotes is expected"));
            }
            let key = self.string()?;
            if !names.insert(key.clone()) {
                let mut slip = slip_at(at, format!("the key \"{key}\" is there twice"));
                slip.code = ProblemCode::DuplicateKey;
                return Err(Box::new(slip.hint("remove or rename one of the two")));
            }
            self.space();
            if self.next() != Some(':') {
                return Err(self.slip("`:` is expected after a key"));
            }
            entries.push(Entry { key, at, value: self.node(depth + 1)? });
            if self.ends('}')? {
                return Ok(NodeKind::Map(entries));
            }
        }
    }

    /// Whether the collection ends here; a comma goes on.
    fn ends(&mut self, end: char) -> Result<bool, Slip> {
        self.space();
        let at = self.at;
        match self.next() {
            Some(c) if c == end => Ok(true),
            Some(',') => {
                self.space();
                if self.peek() != Some(end) {
                    return Ok(false);
                }
                let slip = slip_at(at, "a comma before the end");
                Err(Box::new(slip.hint("JSON allows no comma after the last one")))
            }
            Some(c) => Err(slip_at(at, format!("`,` or `{end}` is expected, not `{c}`"))),
            None => Err(self.slip(format!("the text ends before `{end}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (u32, u32, String) {
        let problem = read(text).unwrap_err().remove(0);
        (problem.at.line, problem.at.column, problem.message)
    }

    #[test]
    fn values_are_those_of_serde_json() {
        let text = r#"{"a": [1, -2.5, 1e3, true, null], "b": {"c": "x\né\ud83d\ude00"}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text).unwrap().value(), expected);
    }

    #[test]
    fn a_slip_is_found_where_it_is() {
        let twice = wrong("{\n  \"a\": 1,\n  \"a\": 2\n}");
        assert_eq!(twice, (3, 3, "the key \"a\" is there twice".into()));
        assert_eq!(wrong("{\"a\": [1,]}").1, 9);
        assert_eq!(wrong("{\"a\": yes}").1, 7);
        assert_eq!(wrong("{\"a\" 1}").2, "`:` is expected after a key");
        assert_eq!(wrong("{\"a\": 1").2, "the text ends before `}`");
        assert_eq!(wrong("{\"a\": \"b").1, 7);
        assert_eq!(wrong(r#"["\ud800"]"#).2, "half of a surrogate pair");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(5_000);
        assert_eq!(read(&deep).unwrap_err()[0].code, ProblemCode::TooLarge);
    }
}
