//! Finding lines again: by function, request, try, time and text, from either end, in pages whose
//! cost is bounded. A page may be short or even empty and still have a continuation.

use std::sync::Arc;

use memchr::memmem::Finder;
use stint_model::id::AccountId;
use stint_model::time::Timestamp;
use stint_store::{Chunk, Journal, JournalError, JournalQuery, Scope};
use thiserror::Error;

use crate::chunk::{self, SPAN_MAX};
use crate::piece::{LogLine, function_of, lines, stream, streams};

/// Chunks read from the journal at a time.
const RANGE: usize = 64;
/// Text in one page, whatever its limit of lines.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Lines in one page at most.
pub(crate) const PAGE_LINES_MAX: usize = 10_000;

/// From which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// As it was written.
    #[default]
    OldestFirst,
    /// The other way round.
    NewestFirst,
}

/// Which lines. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogQuery {
    /// Whose.
    pub account: AccountId,
    /// Of which function; of any of the account when there is none.
    pub function: Option<String>,
    /// Of one request.
    pub request_id: Option<String>,
    /// Of one try.
    pub attempt: Option<u32>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Contains this text, exactly.
    pub text: Option<String>,
    /// From which end.
    pub order: Order,
    /// Lines in the page: 1 to 10,000.
    pub limit: usize,
    /// From the page before.
    pub cursor: Option<String>,
}

impl LogQuery {
    /// All lines of a function, oldest first, a thousand a page.
    pub fn of(account: AccountId, function: impl Into<String>) -> Self {
        Self { function: Some(function.into()), ..Self::all(account) }
    }

    /// All lines of an account, oldest first, a thousand a page.
    pub fn all(account: AccountId) -> Self {
        Self {
            account,
            function: None,
            request_id: None,
            attempt: None,
            from: None,
            until: None,
            text: None,
            order: Order::OldestFirst,
            limit: 1_000,
            cursor: None,
        }
    }
}

/// A page of lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogPage {
    /// In the order asked for.
    pub lines: Vec<LogLine>,
    /// Give it to go on; `None` at the end.
    pub next: Option<String>,
    /// Bytes that were opened to find them.
    pub scanned_bytes: usize,
}

/// Why a search gave nothing.
#[derive(Debug, Error)]
pub enum SearchError {
    /// A cursor that is not of this search.
    #[error("read the page token of the log")]
    BadCursor,
    /// The world failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Where a page goes on: so many lines of this chunk have been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Position {
    seq: u64,
    seen: usize,
}

impl Position {
    fn text(self, order: Order) -> String {
        let end = match order {
            Order::OldestFirst => 'o',
            Order::NewestFirst => 'n',
        };
        format!("{end}{}.{}", self.seq, self.seen)
    }

    fn parse(text: &str, order: Order) -> Result<Self, SearchError> {
        let end = match order {
            Order::OldestFirst => 'o',
            Order::NewestFirst => 'n',
        };
        let (seq, seen) = text
            .strip_prefix(end)
            .and_then(|rest| rest.split_once('.'))
            .ok_or(SearchError::BadCursor)?;
        let seq = seq.parse().map_err(|_| SearchError::BadCursor)?;
        let seen = seen.parse().map_err(|_| SearchError::BadCursor)?;
        Ok(Self { seq, seen })
    }

    /// The journal's `after` that makes it give this chunk first.
    fn after(self, order: Order) -> Option<u64> {
        match order {
            Order::OldestFirst => self.seq.checked_sub(1),
            Order::NewestFirst => Some(self.seq.saturating_add(1)),
        }
    }
}

pub(crate) async fn search(
    journal: &dyn Journal,
    query: &LogQuery,
    bytes_max: usize,
) -> Result<LogPage, SearchError> {
    let mut search = Search::new(query)?;
    let (stream, scope) = match &query.function {
        Some(function) => (stream(query.account, function), Scope::Exactly),
        None => (streams(query.account), Scope::Below),
    };
    let mut ask = JournalQuery {
        stream,
        scope,
        subject: query.request_id.clone(),
        // A chunk is found by its first moment; lines inside may be this much later.
        from: query.from.map(|from| from - SPAN_MAX),
        until: query.until,
        after: search.start.and_then(|start| start.after(query.order)),
        descending: query.order == Order::NewestFirst,
        limit: RANGE,
    };
    loop {
        let chunks = journal.range(&ask).await?;
        let last = chunks.len() < RANGE;
        for chunk in &chunks {
            if let Some(stop) = search.chunk(chunk) {
                search.page.next = Some(stop.text(query.order));
                return Ok(search.page);
            }
            ask.after = Some(chunk.seq);
        }
        if last {
            return Ok(search.page);
        }
        if search.page.scanned_bytes >= bytes_max {
            let seq = ask.after.expect("a full range has a last chunk");
            search.page.next = Some(Position { seq, seen: usize::MAX }.text(query.order));
            return Ok(search.page);
        }
    }
}

struct Search<'a> {
    query: &'a LogQuery,
    finder: Option<Finder<'a>>,
    start: Option<Position>,
    limit: usize,
    text_bytes: usize,
    page: LogPage,
}

impl<'a> Search<'a> {
    fn new(query: &'a LogQuery) -> Result<Self, SearchError> {
        let start = query.cursor.as_deref().map(|text| Position::parse(text, query.order));
        let text = query.text.as_deref().filter(|text| !text.is_empty());
        Ok(Self {
            query,
            finder: text.map(Finder::new),
            start: start.transpose()?,
            limit: query.limit.clamp(1, PAGE_LINES_MAX),
            text_bytes: 0,
            page: LogPage::default(),
        })
    }

    /// Looks through a chunk; gives where to go on when the page is full.
    fn chunk(&mut self, chunk: &Chunk) -> Option<Position> {
        let skip = match self.start {
            Some(start) if start.seq == chunk.seq => start.seen,
            Some(_) | None => 0,
        };
        if skip == usize::MAX {
            return None;
        }
        let (pieces, opened) = chunk::open(&chunk.body);
        self.page.scanned_bytes += opened;
        let request_id: Arc<str> = chunk.subject.as_str().into();
        let function: Arc<str> = function_of(&chunk.stream).into();
        let forward =
            pieces.iter().flat_map(|piece| lines(&piece.text).map(move |line| (piece, line)));
        let all: Box<dyn Iterator<Item = _>> = match self.query.order {
            Order::OldestFirst => Box::new(forward),
            Order::NewestFirst => Box::new(forward.rev()),
        };
        for (number, (piece, line)) in all.enumerate().skip(skip) {
            if !self.wants(piece, line) {
                continue;
            }
            if self.page.lines.len() >= self.limit || self.text_bytes >= PAGE_BYTES_MAX {
                return Some(Position { seq: chunk.seq, seen: number });
            }
            self.text_bytes += line.len();
            self.page.lines.push(LogLine {
                function: Arc::clone(&function),
                request_id: Arc::clone(&request_id),
                attempt: piece.attempt,
                instance: piece.instance,
                at: piece.at,
                text: String::from_utf8_lossy(line).into_owned(),
            });
        }
        None
    }

    fn wants(&self, piece: &chunk::Kept, line: &[u8]) -> bool {
        self.query.attempt.is_none_or(|attempt| attempt == piece.attempt)
            && self.query.from.is_none_or(|from| piece.at >= from)
            && self.query.until.is_none_or(|until| piece.at < until)
            && self.finder.as_ref().is_none_or(|finder| finder.find(line).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let position = Position { seq: 12, seen: 3 };
        let text = position.text(Order::NewestFirst);
        assert_eq!(Position::parse(&text, Order::NewestFirst).unwrap(), position);
        assert!(Position::parse(&text, Order::OldestFirst).is_err());
        for bad in ["", "o", "o1", "o1.", "o.1", "ox.y", "o1.2.3", "💥"] {
            assert!(Position::parse(bad, Order::OldestFirst).is_err(), "{bad}");
        }
    }
}
