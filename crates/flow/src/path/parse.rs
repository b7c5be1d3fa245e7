//! Reads a path.

use super::filter;
use super::{Path, Root, Segment, Tail};
use crate::prelude::*;
use crate::scan::Cursor;

/// Segments of one path.
const SEGMENTS_MAX: usize = 256;

/// The text is a path and nothing else.
pub(super) fn whole(text: &str) -> Result<Path, String> {
    let mut cursor = Cursor::new(text);
    let path = path(&mut cursor, 0)?;
    if cursor.is_done() { Ok(path) } else { Err(cursor.wrong("the path does not go on like this")) }
}

/// A path at the cursor, as far as it goes.
pub(crate) fn path(cursor: &mut Cursor<'_>, depth: usize) -> Result<Path, String> {
    let start = cursor.clone();
    if !cursor.eat("$") {
        return Err(cursor.wrong("a path begins with `$`, this does not"));
    }
    let root = if cursor.eat("$") {
        Root::Context
    } else {
        match cursor.take(|c| c.is_alphanumeric() || c == '_') {
            "" => Root::Current,
            name => Root::Named(name.to_owned()),
        }
    };
    let (segments, tail) = segments(cursor, depth)?;
    Ok(Path { text: cursor.since(&start).to_owned(), root, segments, tail })
}

pub(super) fn segments(
    cursor: &mut Cursor<'_>,
    depth: usize,
) -> Result<(Vec<Segment>, Option<Tail>), String> {
    let mut segments = Vec::new();
    loop {
        if segments.len() > SEGMENTS_MAX {
            return Err("the path has too many parts".to_owned());
        }
        if cursor.eat("..") {
            segments.push(Segment::Deep);
            if cursor.peek() != Some('[') {
                segments.push(name(cursor)?);
            }
        } else if cursor.rest().starts_with('.') {
            cursor.next();
            if cursor.peek() == Some('[') {
                segments.push(bracket(cursor, depth)?);
                continue;
            }
            let before = cursor.clone();
            let segment = name(cursor)?;
            if cursor.rest().starts_with("()")
                && let Segment::Key(function) = &segment
            {
                cursor.eat("()");
                return Ok((
                    segments,
                    Some(tail(function).ok_or_else(|| {
                        before.wrong(
                            "paths know length, min, max, sum, avg, keys, first and last, not this",
                        )
                    })?),
                ));
            }
            segments.push(segment);
        } else if cursor.peek() == Some('[') {
            segments.push(bracket(cursor, depth)?);
        } else {
            return Ok((segments, None));
        }
    }
}

fn tail(function: &str) -> Option<Tail> {
    Some(match function {
        "length" | "size" => Tail::Length,
        "min" => Tail::Min,
        "max" => Tail::Max,
        "sum" => Tail::Sum,
        "avg" => Tail::Avg,
        "keys" => Tail::Keys,
        "first" => Tail::First,
        "last" => Tail::Last,
        _ => return None,
    })
}

/// `.name` or `.*`; Jayway takes nearly every character, `$.a-b` is one name.
fn name(cursor: &mut Cursor<'_>) -> Result<Segment, String> {
    if cursor.eat("*") {
        return Ok(Segment::All);
    }
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | '#' | '/' | '+');
    match cursor.take(is_part) {
        "" => Err(cursor.wrong("a name is expected in the path")),
        name => Ok(Segment::Key(name.to_owned())),
    }
}

fn bracket(cursor: &mut Cursor<'_>, depth: usize) -> Result<Segment, String> {
    cursor.expect("[")?;
    cursor.space();
    let segment = match cursor.peek() {
        Some('*') => {
            cursor.next();
            Segment::All
        }
        Some('\'' | '"') => keys(cursor)?,
        Some('?') => {
            cursor.next();
            Segment::Filter(filter::parse(cursor, depth + 1)?)
        }
        Some('(') => from_the_end(cursor)?,
        Some('-' | ':' | '0'..='9') => numbers(cursor)?,
        _ => return Err(cursor.wrong("an index, a name in quotes, `*` or a filter is expected")),
    };
    cursor.expect("]")?;
    Ok(segment)
}

fn keys(cursor: &mut Cursor<'_>) -> Result<Segment, String> {
    let mut names = vec![cursor.quoted_name()?];
    while cursor.eat_word(",") {
        cursor.space();
        if !matches!(cursor.peek(), Some('\'' | '"')) {
            return Err(cursor.wrong("a name in quotes is expected"));
        }
        names.push(cursor.quoted_name()?);
    }
    Ok(match names.pop() {
        Some(only) if names.is_empty() => Segment::Key(only),
        Some(last) => {
            names.push(last);
            Segment::Keys(names)
        }
        None => Segment::Keys(names),
    })
}

/// `(@.length-1)`, the old way of saying -1.
fn from_the_end(cursor: &mut Cursor<'_>) -> Result<Segment, String> {
    cursor.expect("(")?;
    cursor.expect("@.length")?;
    let _call = cursor.eat("()");
    cursor.expect("-")?;
    cursor.space();
    let back = integer(cursor)?.filter(|back| *back > 0);
    cursor.expect(")")?;
    back.map(|back| Segment::Index(-back))
        .ok_or_else(|| cursor.wrong("a number from 1 is expected"))
}

fn integer(cursor: &mut Cursor<'_>) -> Result<Option<i64>, String> {
    cursor.space();
    let start = cursor.clone();
    cursor.eat("-");
    cursor.take(|c| c.is_ascii_digit());
    match cursor.since(&start) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| start.wrong("an integer is expected")),
    }
}

fn numbers(cursor: &mut Cursor<'_>) -> Result<Segment, String> {
    let first = integer(cursor)?;
    if cursor.eat_word(":") {
        let to = integer(cursor)?;
        let step = if cursor.eat_word(":") { integer(cursor)?.unwrap_or(1) } else { 1 };
        if step < 1 {
            return Err(cursor.wrong("the step of a slice is at least one"));
        }
        return Ok(Segment::Slice(first, to, step));
    }
    let first = first.ok_or_else(|| cursor.wrong("an index is expected"))?;
    let mut all = vec![first];
    while cursor.eat_word(",") {
        all.push(integer(cursor)?.ok_or_else(|| cursor.wrong("an index is expected"))?);
    }
    Ok(if all.len() == 1 { Segment::Index(first) } else { Segment::Indexes(all) })
}
