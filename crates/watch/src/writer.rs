//! The one writer: takes pieces, fills one chunk per request, appends many chunks at once.
//!
//! The journal being slow or broken shows as a growing queue and then as dropped bytes; it never
//! reaches the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use stint_model::time::{Span, Timestamp};
use stint_store::Journal;
use stint_supervise::{Clock, Stop};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::bound::{Bounds, Verdict};
use crate::chunk::Filling;
use crate::logs::{Gauges, Inbox, Logs, LogsConfig};
use crate::piece::LogPiece;

/// One chunk is closed at this size.
const CHUNK_BYTES: usize = 256 << 10;
/// A failed append is tried again this often before its chunks are given up.
const APPEND_TRIES: u32 = 5;
/// Before the second try; doubles.
const APPEND_PAUSE: Span = Span::from_millis(50);

/// The loop that owns the inbox. Run it under supervision.
#[derive(Debug)]
pub struct LogWriter {
    inbox: mpsc::Receiver<Inbox>,
    tail: broadcast::Sender<Arc<LogPiece>>,
    gauges: Arc<Gauges>,
    journal: Arc<dyn Journal>,
    clock: Clock,
    config: LogsConfig,
    bounds: Bounds,
    filling: BTreeMap<(String, String), Filling>,
    full: Vec<stint_store::Chunk>,
    pending_bytes: usize,
    flush_at: Option<Timestamp>,
}

impl LogWriter {
    pub(crate) fn new(
        inbox: mpsc::Receiver<Inbox>,
        tail: broadcast::Sender<Arc<LogPiece>>,
        logs: &Logs,
    ) -> Self {
        Self {
            bounds: Bounds::new(logs.config.attempt_bytes_max),
            inbox,
            tail,
            gauges: Arc::clone(&logs.gauges),
            journal: Arc::clone(&logs.journal),
            clock: logs.clock.clone(),
            config: logs.config.clone(),
            filling: BTreeMap::new(),
            full: Vec::new(),
            pending_bytes: 0,
            flush_at: None,
        }
    }

    /// Runs until stopped, then writes what was pushed before.
    pub async fn run(mut self, stop: Stop) {
        loop {
            let due = self.flush_at.unwrap_or(Timestamp::MAX);
            tokio::select! {
                biased;
                // Only a notice.
                () = stop.stopped() => break,
                // Only a notice: what is due is kept in `self`.
                () = self.clock.sleep_until(due), if self.flush_at.is_some() => self.flush().await,
                // Receiving is safe to drop: a message is taken or left.
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
            }
        }
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            self.take(message).await;
        }
        self.flush().await;
    }

    async fn take(&mut self, message: Inbox) {
        match message {
            Inbox::Piece(piece) => {
                let len = piece.text.len();
                self.gauges.queued_bytes.fetch_sub(len, Ordering::Relaxed);
                self.admit(piece);
                if self.pending_bytes >= self.config.batch_bytes {
                    self.flush().await;
                }
            }
            Inbox::Flush(done) => {
                self.flush().await;
                answer(done);
            }
        }
    }

    fn admit(&mut self, mut piece: LogPiece) {
        let len = u64::try_from(piece.text.len()).unwrap_or(u64::MAX);
        match self.bounds.judge(&piece) {
            Verdict::Keep => {}
            Verdict::LastWord => {
                self.gauges.cut_bytes.fetch_add(len, Ordering::Relaxed);
                let max = self.config.attempt_bytes_max;
                piece.text =
                    format!("… the log of this attempt ends here: over {max} bytes\n").into();
            }
            Verdict::Drop => {
                self.gauges.cut_bytes.fetch_add(len, Ordering::Relaxed);
                return;
            }
        }
        self.keep(piece);
    }

    fn keep(&mut self, piece: LogPiece) {
        let len = piece.text.len();
        let key = (piece.stream(), piece.request_id.as_ref().to_owned());
        let misfit =
            self.filling.get(&key).is_some_and(|f| !f.takes(piece.at) || f.len() >= CHUNK_BYTES);
        if misfit && let Some(filled) = self.filling.remove(&key) {
            self.full.push(filled.close());
        }
        self.filling.entry(key).or_insert_with(|| Filling::new(&piece)).add(&piece);
        self.pending_bytes += len;
        let added = u64::try_from(len).unwrap_or(u64::MAX);
        self.gauges.kept_bytes.fetch_add(added, Ordering::Relaxed);
        if self.flush_at.is_none() {
            self.flush_at = Some(self.clock.now() + self.config.flush_after);
        }
        if self.tail.receiver_count() > 0 {
            // An error means that the last follower left in this moment.
            drop(self.tail.send(Arc::new(piece)));
        }
    }

    async fn flush(&mut self) {
        for (mut piece, lost) in self.gauges.take_dropped() {
            piece.text = Bytes::from(format!("… {lost} bytes dropped\n"));
            self.keep(piece);
        }
        self.flush_at = None;
        self.pending_bytes = 0;
        let mut chunks = std::mem::take(&mut self.full);
        chunks.extend(std::mem::take(&mut self.filling).into_values().map(Filling::close));
        if chunks.is_empty() {
            return;
        }
        chunks.sort_by_key(|chunk| chunk.at);
        self.append(chunks).await;
    }

    async fn append(&self, chunks: Vec<stint_store::Chunk>) {
        let count = u64::try_from(chunks.len()).unwrap_or(u64::MAX);
        let bytes = chunks.iter().map(|chunk| u64::try_from(chunk.body.len()).unwrap_or(0)).sum();
        let mut pause = APPEND_PAUSE;
        for attempt in 1..=APPEND_TRIES {
            match self.journal.append(chunks.clone()).await {
                Ok(_) => {
                    self.gauges.chunks.fetch_add(count, Ordering::Relaxed);
                    self.gauges.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    self.gauges.failed_appends.fetch_add(1, Ordering::Relaxed);
                    let reason = stint_supervise::chain(&error);
                    tracing::warn!(attempt, chunks = count, %reason, "the log was not written");
                }
            }
            if attempt < APPEND_TRIES {
                self.clock.sleep(pause).await;
                pause = pause.times(2);
            }
        }
        self.gauges.dropped_bytes.fetch_add(bytes, Ordering::Relaxed);
        tracing::error!(
            chunks = count,
            bytes,
            "log lines are lost: the journal does not take them"
        );
    }
}

fn answer(done: oneshot::Sender<()>) {
    // An error means that nobody waits any more.
    let _gone = done.send(());
}
