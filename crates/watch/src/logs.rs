//! The handle: push, follow, search, flush.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stint_model::time::Span;
use stint_store::Journal;
use stint_supervise::Clock;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::piece::LogPiece;
use crate::search::{LogPage, LogQuery, SearchError, search};
use crate::tail::{Follower, TailFilter};
use crate::writer::LogWriter;

/// Requests whose dropped bytes are told apart; what more requests lose is only counted.
const DROPPED_REQUESTS_MAX: usize = 4_096;
/// Pieces that wait for the writer, however small.
const QUEUE_PIECES_MAX: usize = 16_384;
/// A search waits at most this long for the writer to hand over what it still holds.
const FLUSH_WAIT: Span = Span::from_secs(2);

/// Bounds of the log. All of them are visible in [`Logs::figures`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogsConfig {
    /// Bytes that wait for the writer; more are dropped.
    pub queue_bytes_max: usize,
    /// Bytes that are written in one go at the latest.
    pub batch_bytes: usize,
    /// Pieces are written after this long at the latest.
    pub flush_after: Span,
    /// What one attempt may say.
    pub attempt_bytes_max: usize,
    /// Pieces a follower may lag behind.
    pub tail_pieces_max: usize,
    /// Bytes a search opens before it gives a continuation.
    pub search_bytes_max: usize,
}

impl LogsConfig {
    /// Small and quick.
    pub fn for_tests() -> Self {
        Self {
            queue_bytes_max: 1 << 20,
            batch_bytes: 64 << 10,
            flush_after: Span::from_millis(20),
            attempt_bytes_max: 64 << 10,
            tail_pieces_max: 64,
            search_bytes_max: 1 << 20,
        }
    }
}

/// Account, function and request of a piece.
type Whose = (u64, Arc<str>, Arc<str>);

/// What the handle and the writer share.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) kept_bytes: AtomicU64,
    pub(crate) stored_bytes: AtomicU64,
    pub(crate) chunks: AtomicU64,
    pub(crate) dropped_bytes: AtomicU64,
    pub(crate) cut_bytes: AtomicU64,
    pub(crate) failed_appends: AtomicU64,
    /// Whose bytes were dropped since the writer last looked: the last such piece, emptied, and how
    /// many bytes.
    dropped: Mutex<BTreeMap<Whose, (LogPiece, u64)>>,
}

impl Gauges {
    pub(crate) fn drop_piece(&self, mut piece: LogPiece) {
        let lost = u64::try_from(piece.text.len()).unwrap_or(u64::MAX);
        self.dropped_bytes.fetch_add(lost, Ordering::Relaxed);
        piece.text = bytes::Bytes::new();
        let key =
            (piece.account.number(), Arc::clone(&piece.function), Arc::clone(&piece.request_id));
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        if dropped.len() < DROPPED_REQUESTS_MAX || dropped.contains_key(&key) {
            dropped.entry(key).or_insert((piece, 0)).1 += lost;
        }
    }

    pub(crate) fn take_dropped(&self) -> Vec<(LogPiece, u64)> {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *dropped).into_values().collect()
    }
}

pub(crate) enum Inbox {
    Piece(LogPiece),
    Flush(oneshot::Sender<()>),
}

/// A cheap handle on the log.
#[derive(Clone, Debug)]
pub struct Logs {
    inbox: mpsc::Sender<Inbox>,
    tail: broadcast::WeakSender<Arc<LogPiece>>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
    pub(crate) config: LogsConfig,
}

impl Logs {
    /// The handle, and the writer to run under supervision.
    pub fn new(journal: Arc<dyn Journal>, config: LogsConfig, clock: Clock) -> (Self, LogWriter) {
        let (inbox, receiver) = mpsc::channel(QUEUE_PIECES_MAX);
        let tail = broadcast::Sender::new(config.tail_pieces_max);
        let gauges = Arc::new(Gauges::default());
        let logs = Self { inbox, tail: tail.downgrade(), gauges, journal, clock, config };
        let writer = LogWriter::new(receiver, tail, &logs);
        (logs, writer)
    }

    /// Takes a piece, or drops it when too much waits already. Never blocks.
    pub fn push(&self, piece: LogPiece) {
        let len = piece.text.len();
        if len == 0 {
            return;
        }
        let queued = self.gauges.queued_bytes.fetch_add(len, Ordering::Relaxed);
        if queued.saturating_add(len) > self.config.queue_bytes_max {
            self.gauges.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            return self.gauges.drop_piece(piece);
        }
        if let Err(error) = self.inbox.try_send(Inbox::Piece(piece)) {
            self.gauges.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            let (mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) =
                error;
            if let Inbox::Piece(piece) = back {
                self.gauges.drop_piece(piece);
            }
        }
    }

    /// Everything that matches, from now on.
    pub fn follow(&self, filter: TailFilter) -> Follower {
        let pieces = match self.tail.upgrade() {
            Some(tail) => tail.subscribe(),
            // The writer is gone: a view that ends at once.
            None => broadcast::Sender::new(1).subscribe(),
        };
        Follower::new(filter, pieces)
    }

    /// Hands what was pushed so far to the journal. Returns when it is there, or after a bounded
    /// wait when the journal is slow.
    pub async fn flush(&self) {
        let (done, waited) = oneshot::channel();
        let asked = async {
            if self.inbox.send(Inbox::Flush(done)).await.is_ok() {
                // An error means that the writer has ended, after its own last flush.
                drop(waited.await);
            }
        };
        self.clock.within(FLUSH_WAIT, asked).await;
    }

    /// Finds lines. What was pushed before the call is seen by it.
    pub async fn search(&self, query: &LogQuery) -> Result<LogPage, SearchError> {
        self.flush().await;
        search(&*self.journal, query, self.config.search_bytes_max).await
    }

    /// Name to value, for metrics.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        let gauges = &self.gauges;
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let queued = gauges.queued_bytes.load(Ordering::Relaxed);
        vec![
            ("log_queued_bytes", u64::try_from(queued).unwrap_or(u64::MAX)),
            ("log_queue_bytes_max", u64::try_from(self.config.queue_bytes_max).unwrap_or(u64::MAX)),
            ("log_kept_bytes", read(&gauges.kept_bytes)),
            ("log_stored_bytes", read(&gauges.stored_bytes)),
            ("log_chunks", read(&gauges.chunks)),
            ("log_dropped_bytes", read(&gauges.dropped_bytes)),
            ("log_cut_bytes", read(&gauges.cut_bytes)),
            ("log_failed_appends", read(&gauges.failed_appends)),
        ]
    }
}
