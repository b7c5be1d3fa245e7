//! The three grammars.

use super::{Function, Relation, Term};
use crate::path::Path;
use crate::prelude::*;
use crate::scan::Cursor;

/// Upstream allows calls ten deep; parentheses and collections count here too.
const DEPTH_MAX: usize = 24;
/// Calls in each other.
const CALLS_MAX: usize = 10;

/// `States.Name(…)`, the only form of an expression in JSONPath states.
pub(crate) fn intrinsic(text: &str) -> Result<Term, String> {
    let mut cursor = Cursor::new(text.trim());
    let term = states_call(&mut cursor, 1)?;
    cursor.space();
    if cursor.is_done() { Ok(term) } else { Err(cursor.wrong("the call does not go on like this")) }
}

fn states_call(cursor: &mut Cursor<'_>, depth: usize) -> Result<Term, String> {
    if depth > CALLS_MAX {
        return Err(format!("calls may be nested {CALLS_MAX} deep"));
    }
    let before = cursor.clone();
    let name = cursor.take(|c| c.is_ascii_alphanumeric() || c == '.');
    let Some(function) = Function::of_states(name) else {
        return Err(before.wrong("there is no such intrinsic function"));
    };
    cursor.expect("(")?;
    let mut arguments = Vec::new();
    if !cursor.eat_word(")") {
        loop {
            let is_template = function == Function::Format && arguments.is_empty();
            arguments.push(states_argument(cursor, depth, is_template)?);
            if !cursor.eat_word(",") {
                cursor.expect(")")?;
                break;
            }
        }
    }
    function.check_arity(arguments.len())?;
    Ok(Term::Call(function, arguments))
}

/// The template of `States.Format` keeps its escapes, which tell `\{` from `{`.
fn states_argument(
    cursor: &mut Cursor<'_>,
    depth: usize,
    is_template: bool,
) -> Result<Term, String> {
    cursor.space();
    match cursor.peek() {
        Some('\'') => {
            let raw = states_text(cursor)?;
            let text = if is_template { raw } else { unescape(&raw) };
            Ok(Term::Literal(Value::String(text)))
        }
        Some('$') => path(cursor, true).map(Term::Path),
        Some('-' | '0'..='9') => cursor.number().map(Term::Literal),
        Some(c) if c.is_ascii_alphabetic() => {
            if cursor.rest().starts_with("States.") {
                return states_call(cursor, depth + 1);
            }
            word(cursor).map(Term::Literal)
        }
        _ => Err(cursor.wrong("a text in single quotes, a number, a path or a call is expected")),
    }
}

/// `\'`, `\{`, `\}` and `\\` stand for the character; other backslashes for themselves.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\'' | '{' | '}' | '\\')) => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    out
}

/// A text in single quotes, escapes and all.
fn states_text(cursor: &mut Cursor<'_>) -> Result<String, String> {
    cursor.next();
    let mut text = String::new();
    loop {
        match cursor.next() {
            Some('\'') => return Ok(text),
            Some('\\') => {
                text.push('\\');
                text.extend(cursor.next());
            }
            Some(c) => text.push(c),
            None => return Err("a text in quotes does not end".to_owned()),
        }
    }
}

fn word(cursor: &mut Cursor<'_>) -> Result<Value, String> {
    let before = cursor.clone();
    match cursor.take(|c| c.is_ascii_alphanumeric() || c == '_') {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "null" => Ok(Value::Null),
        _ => Err(before.wrong("this is no value; texts stand in quotes")),
    }
}

/// A path inside an expression ends where its brackets are closed and something else begins.
fn path(cursor: &mut Cursor<'_>, with_filters: bool) -> Result<Path, String> {
    let path = crate::path::prefix(cursor)?;
    let is_plain = path.is_definite();
    if with_filters || is_plain {
        Ok(path)
    } else {
        Err(format!("`{}` must select one value", path.text))
    }
}

/// What a grammar allows besides comparisons.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// FDL's conditions: paths from `$`, no functions.
    Condition,
    /// CloudFlow: named roots, functions, collections.
    Cloud,
}

/// A condition of FDL.
pub(crate) fn condition(text: &str) -> Result<Term, String> {
    whole(text, Grammar::Condition)
}

/// An expression of CloudFlow.
pub(crate) fn cloud(text: &str) -> Result<Term, String> {
    whole(text, Grammar::Cloud)
}

fn whole(text: &str, grammar: Grammar) -> Result<Term, String> {
    let mut cursor = Cursor::new(text);
    let term = either(&mut cursor, grammar, 0)?;
    cursor.space();
    if cursor.is_done() {
        Ok(term)
    } else {
        Err(cursor.wrong("the expression does not go on like this"))
    }
}

fn either(cursor: &mut Cursor<'_>, grammar: Grammar, depth: usize) -> Result<Term, String> {
    if depth > DEPTH_MAX {
        return Err("the expression is nested too deep".to_owned());
    }
    let mut term = both(cursor, grammar, depth)?;
    let mut count = 0;
    while cursor.eat_word("||") {
        count += 1;
        if count > 200 {
            return Err("the expression is too long".to_owned());
        }
        term = Term::Or(Box::new(term), Box::new(both(cursor, grammar, depth)?));
    }
    Ok(term)
}

fn both(cursor: &mut Cursor<'_>, grammar: Grammar, depth: usize) -> Result<Term, String> {
    let mut term = not(cursor, grammar, depth)?;
    let mut count = 0;
    while cursor.eat_word("&&") {
        count += 1;
        if count > 200 {
            return Err("the expression is too long".to_owned());
        }
        term = Term::And(Box::new(term), Box::new(not(cursor, grammar, depth)?));
    }
    Ok(term)
}

fn not(cursor: &mut Cursor<'_>, grammar: Grammar, depth: usize) -> Result<Term, String> {
    if depth > DEPTH_MAX {
        return Err("the expression is nested too deep".to_owned());
    }
    cursor.space();
    if cursor.peek() == Some('!') && !cursor.rest().starts_with("!=") {
        cursor.next();
        return Ok(Term::Not(Box::new(not(cursor, grammar, depth + 1)?)));
    }
    let left = operand(cursor, grammar, depth)?;
    let relations = [
        ("==", Relation::Equal),
        ("!=", Relation::NotEqual),
        ("<=", Relation::LessEqual),
        (">=", Relation::GreaterEqual),
        ("<", Relation::Less),
        (">", Relation::Greater),
    ];
    for (sign, relation) in relations {
        if cursor.eat_word(sign) {
            let right = operand(cursor, grammar, depth)?;
            return Ok(Term::Compare(Box::new(left), relation, Box::new(right)));
        }
    }
    Ok(left)
}

fn operand(cursor: &mut Cursor<'_>, grammar: Grammar, depth: usize) -> Result<Term, String> {
    cursor.space();
    match cursor.peek() {
        Some('$') if grammar == Grammar::Condition => path(cursor, false).map(Term::PathOrNull),
        Some('$') => path(cursor, true).map(Term::Path),
        Some('\'' | '"') => cursor.quoted().map(|text| Term::Literal(Value::String(text))),
        Some('-' | '0'..='9') => cursor.number().map(Term::Literal),
        Some('(') => {
            cursor.next();
            let inner = either(cursor, grammar, depth + 1)?;
            cursor.expect(")")?;
            Ok(inner)
        }
        Some('[') if grammar == Grammar::Cloud => {
            cursor.next();
            list(cursor, "]", depth + 1).map(Term::List)
        }
        Some('{') if grammar == Grammar::Cloud => object(cursor, depth + 1),
        Some(c) if c.is_ascii_alphabetic() => call(cursor, grammar, depth),
        _ => Err(cursor.wrong("a path, a text in quotes, a number or a word is expected")),
    }
}

fn call(cursor: &mut Cursor<'_>, grammar: Grammar, depth: usize) -> Result<Term, String> {
    let before = cursor.clone();
    let name = cursor.take(|c| c.is_ascii_alphanumeric() || c == '_');
    if grammar == Grammar::Condition || !cursor.eat_word("(") {
        let mut again = before;
        let value = word(&mut again)?;
        *cursor = again;
        return Ok(Term::Literal(value));
    }
    let Some(function) = Function::of_cloud(name) else {
        return Err(before.wrong("there is no such function"));
    };
    let arguments = list(cursor, ")", depth + 1)?;
    function.check_arity(arguments.len())?;
    Ok(Term::Call(function, arguments))
}

fn list(cursor: &mut Cursor<'_>, end: &str, depth: usize) -> Result<Vec<Term>, String> {
    let mut terms = Vec::new();
    if cursor.eat_word(end) {
        return Ok(terms);
    }
    loop {
        terms.push(either(cursor, Grammar::Cloud, depth)?);
        if !cursor.eat_word(",") {
            cursor.expect(end)?;
            return Ok(terms);
        }
    }
}

fn object(cursor: &mut Cursor<'_>, depth: usize) -> Result<Term, String> {
    cursor.expect("{")?;
    let mut entries = Vec::new();
    if cursor.eat_word("}") {
        return Ok(Term::Object(entries));
    }
    loop {
        cursor.space();
        let key = match cursor.peek() {
            Some('\'' | '"') => cursor.quoted()?,
            _ => cursor.take(|c| c.is_alphanumeric() || c == '_').to_owned(),
        };
        cursor.expect(":")?;
        entries.push((key, either(cursor, Grammar::Cloud, depth)?));
        if !cursor.eat_word(",") {
            cursor.expect("}")?;
            return Ok(Term::Object(entries));
        }
    }
}
