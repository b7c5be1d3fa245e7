//! A cursor over the text of an expression. All small languages of this crate read through it.

use crate::prelude::*;

/// How deep expressions may nest; upstream allows ten calls in each other.
pub(crate) const NESTING_MAX: usize = 32;

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(crate) fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    /// Takes `word` if it stands here.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let is_here = self.rest().starts_with(word);
        if is_here {
            self.at += word.len();
        }
        is_here
    }

    /// The same after white space, which is taken too if the word is.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let before = self.at;
        self.space();
        let is_here = self.eat(word);
        if !is_here {
            self.at = before;
        }
        is_here
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.eat_word(word) {
            return Ok(());
        }
        self.space();
        Err(format!("`{word}` is expected before `{}`", self.near()))
    }

    pub(crate) fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A few characters from here, for messages.
    pub(crate) fn near(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.char_indices().nth(16).map_or(rest.len(), |(at, _)| at);
        if rest.is_empty() { "the end" } else { &rest[..end] }
    }

    pub(crate) fn wrong(&self, what: &str) -> String {
        format!("{what} at `{}`", self.near())
    }

    /// What was read since `start` was cloned from here.
    pub(crate) fn since(&self, start: &Self) -> &'a str {
        &self.text[start.at..self.at]
    }

    /// A text in single or double quotes; a backslash takes the next character as it is, except for
    /// the usual control characters.
    pub(crate) fn quoted(&mut self) -> Result<String, String> {
        let quote = self.next().ok_or("a text in quotes is expected")?;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("a text in quotes does not end".to_owned()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.push(c),
                    None => return Err("a text in quotes does not end".to_owned()),
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// A name or text in the quotes of a path: only the quote and the backslash itself are escaped, a
    /// backslash before anything else stands for itself, as the reference reads it.
    pub(crate) fn quoted_name(&mut self) -> Result<String, String> {
        let quote = self.next().ok_or("a name in quotes is expected")?;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("a name in quotes does not end".to_owned()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') if self.peek() == Some('\\') || self.peek() == Some(quote) => {
                    text.extend(self.next());
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// A JSON number.
    pub(crate) fn number(&mut self) -> Result<Value, String> {
        let start = self.clone();
        self.eat("-");
        self.take(|c| c.is_ascii_digit());
        if self.rest().starts_with('.')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            self.next();
            self.take(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.next();
            let _sign = self.eat("-") || self.eat("+");
            self.take(|c| c.is_ascii_digit());
        }
        let text = self.since(&start);
        serde_json::from_str(text).map_err(|_| format!("`{text}` is no number"))
    }
}
