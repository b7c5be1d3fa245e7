//! YAML 1.2 with positions: the core schema only, so that `on`, `yes` and dates stay texts. Aliases
//! and merge keys are followed under a budget.

use alloc::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::Number;

use super::{DEPTH_MAX, Entry, NODES_MAX, Node, NodeKind, Position};
use crate::prelude::*;
use crate::problem::{Problem, ProblemCode};

/// One document; a second one is an error.
pub(crate) fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let events = Parser::new_from_str(text);
    let mut reader = Reader { events, anchors: BTreeMap::new(), nodes: 0 };
    reader.document().map_err(|problem| vec![*problem])
}

type Slip = Box<Problem>;

struct Reader<'a, E: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> {
    events: E,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

fn position(span: Span) -> Position {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // granit counts columns from zero.
    Position { line: small(span.start.line()), column: small(span.start.col()).saturating_add(1) }
}

fn slip(at: Position, said: impl Into<String>) -> Slip {
    Box::new(Problem::error(ProblemCode::Syntax, "", at, said))
}

fn scan_slip(error: &ScanError) -> Slip {
    let mark = error.marker();
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let at = Position { line: small(mark.line()), column: small(mark.col()).saturating_add(1) };
    let slip = slip(at, error.info());
    Box::new(slip.hint(
        "quote texts that begin with one of { [ & * ! | > % @ or hold `: `, such as \"{% … %}\"",
    ))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may get more kinds of events")]
impl<'a, E: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<'a, E> {
    fn next(&mut self) -> Result<(Event<'a>, Position), Slip> {
        loop {
            match self.events.next() {
                None => return Err(slip(Position::default(), "the text ends too early")),
                Some(Err(error)) => return Err(scan_slip(&error)),
                Some(Ok((
                    Event::Comment(..) | Event::StreamStart | Event::DocumentStart(..),
                    _,
                ))) => {}
                Some(Ok((event, span))) => return Ok((event, position(span))),
            }
        }
    }

    fn document(&mut self) -> Result<Node, Slip> {
        let (event, at) = self.next()?;
        if matches!(event, Event::StreamEnd) {
            return Err(slip(at, "the definition is empty"));
        }
        let node = self.node(event, at, 0)?;
        let mut after = self.next()?;
        while matches!(after.0, Event::DocumentEnd) {
            after = self.next()?;
        }
        if matches!(after.0, Event::StreamEnd) {
            return Ok(node);
        }
        Err(slip(after.1, "a second document: one definition a text"))
    }

    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Result<Node, Slip> {
        self.spend(1, at, depth)?;
        let before = self.nodes;
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = matches!(style, ScalarStyle::Plain);
                (anchor, if plain { resolve(&text) } else { NodeKind::Text(text.into_owned()) })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(slip(at, "an alias to something that holds itself"));
                };
                self.spend(size, at, depth)?;
                return Ok(node);
            }
            _other => return Err(slip(at, "a value is expected here")),
        };
        let node = Node { at, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, at: Position, depth: usize) -> Result<(), Slip> {
        self.nodes = self.nodes.saturating_add(nodes);
        if depth <= DEPTH_MAX && self.nodes <= NODES_MAX {
            return Ok(());
        }
        let said = "too deep, or too many values";
        Err(Box::new(Problem::error(ProblemCode::TooLarge, "", at, said)))
    }

    fn list(&mut self, depth: usize) -> Result<NodeKind, Slip> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(NodeKind::List(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<NodeKind, Slip> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                _other => return Err(slip(at, "a key must be a plain text")),
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            if key == "<<" {
                merged.push(value);
            } else if names.insert(key.clone()) {
                entries.push(Entry { key, at, value });
            } else {
                let mut slip = slip(at, format!("the key `{key}` is there twice"));
                slip.code = ProblemCode::DuplicateKey;
                return Err(Box::new(slip.hint("remove or rename one of the two")));
            }
        }
        for source in merged {
            merge(source, &mut entries, &mut names)?;
        }
        Ok(NodeKind::Map(entries))
    }
}

/// What `<<` brings: entries that the map does not have itself.
fn merge(source: Node, into: &mut Vec<Entry>, names: &mut BTreeSet<String>) -> Result<(), Slip> {
    let sources = match source.kind {
        NodeKind::List(items) => items,
        kind @ (NodeKind::Null
        | NodeKind::Bool(_)
        | NodeKind::Number(_)
        | NodeKind::Text(_)
        | NodeKind::Map(_)) => vec![Node { at: source.at, kind }],
    };
    for source in sources {
        let NodeKind::Map(entries) = source.kind else {
            return Err(slip(source.at, "`<<` takes an object or a list of them"));
        };
        into.extend(entries.into_iter().filter(|entry| names.insert(entry.key.clone())));
    }
    Ok(())
}

/// A plain scalar of the core schema.
fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return NodeKind::Number(number.into());
    }
    let bare = text.strip_prefix('+').unwrap_or(text);
    let digits = bare.strip_prefix('-').unwrap_or(bare);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(number) = bare.parse::<i64>() {
            return NodeKind::Number(number.into());
        }
        if let Ok(number) = bare.parse::<u64>() {
            return NodeKind::Number(number.into());
        }
    }
    let is_float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let float = is_float.then(|| bare.parse::<f64>().ok()).flatten();
    match float.and_then(Number::from_f64) {
        Some(number) => NodeKind::Number(number),
        None => NodeKind::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        read(text).unwrap().value()
    }

    #[test]
    fn scalars_are_those_of_the_core_schema() {
        let text =
            "a: on\nb: yes\nc: 2024-01-01\nd: 0x10\ne: 1.5\nf: ~\ng: '1'\nh: -3\ni: 1.2.3\nj: true";
        let expected = json!({"a": "on", "b": "yes", "c": "2024-01-01", "d": 16, "e": 1.5,
            "f": null, "g": "1", "h": -3, "i": "1.2.3", "j": true});
        assert_eq!(value(text), expected);
    }

    #[test]
    fn places_are_known() {
        let node = read("version: v1\nsteps:\n  - type: pass\n    name: a\n").unwrap();
        let NodeKind::List(steps) = &node.entry("steps").unwrap().kind else { panic!() };
        assert_eq!(steps[0].entry("name").unwrap().at, Position { line: 4, column: 11 });
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let text = "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nlist: [*b]";
        assert_eq!(value(text)["own"], json!({"y": 3, "x": 1}));
        assert_eq!(value(text)["list"], json!([{"x": 1, "y": 2}]));
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let twice = read("a: 1\nb: 2\na: 3\n").unwrap_err().remove(0);
        assert_eq!((twice.code, twice.at.line), (ProblemCode::DuplicateKey, 3));
        let template = read("a:\n  b: {% $x %}\n").unwrap_err().remove(0);
        assert_eq!(template.at.line, 2);
        assert!(template.hint.unwrap().contains("{%"));
        assert!(read("a: 1\n---\nb: 2\n").unwrap_err()[0].message.contains("second document"));
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for n in 1..12 {
            let before = n - 1;
            let line =
                format!("a{n}: &a{n} [*a{before},*a{before},*a{before},*a{before},*a{before}]\n");
            bomb.push_str(&line);
        }
        assert_eq!(read(&bomb).unwrap_err()[0].code, ProblemCode::TooLarge);
    }
}
