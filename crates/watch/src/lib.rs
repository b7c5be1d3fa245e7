//! What was said and seen, kept apart from the book: the logs of functions and what they used, over
//! the `Journal` port.
//!
//! ```text
//! node ──LogPiece──► Logs::push ─(bounded)─► LogWriter ──chunks──► Journal
//!                                               │                     ▲
//!                             Follower ◄─(tail)─┘      Logs::search ──┘   retain
//! ```
//!
//! Nothing here slows an invocation down: a full queue drops, counts what it dropped and says so in
//! the log itself. Losing the last moments on a power cut is allowed; a polite stop flushes.

mod bound;
mod chunk;
mod logs;
mod piece;
mod retain;
mod search;
mod tail;
mod usage;
mod writer;

pub use logs::{Logs, LogsConfig};
pub use piece::{LogLine, LogPiece};
pub use retain::Retention;
pub use search::{LogPage, LogQuery, Order, SearchError};
pub use tail::{Followed, Follower, TailFilter};
pub use usage::{
    GroupBy, HOURS_DAYS, Sums, USAGE_DAYS_KEPT, UsageBook, UsageQuery, UsageRow, Window,
};
pub use writer::LogWriter;
