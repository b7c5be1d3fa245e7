//! The loop: waits, takes everything that is there, decides, commits once, answers and acts. When a
//! commit fails, memory is dropped, a new epoch is opened and everything is read again: recovery is the
//! same code as a start.

use std::collections::VecDeque;
use std::sync::Arc;

use stint_model::message::Sent;
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};
use stint_store::record::message::{self as stored, MessageRecord};
use stint_store::{CommitError, Kind, Record, Store, StoreError};
use stint_supervise::{Clock, Guests, Stop, chain};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::config::MessageConfig;
use crate::notify::{self, Endpoints};
use crate::service::Messages;
use crate::state::{State, Turn};

/// What the loop is told to do.
pub(crate) type Verb = Box<dyn FnOnce(&mut State, &mut Turn) + Send>;

/// After a failed commit the book is opened again after this long.
const REOPEN_PAUSE: Span = Span::from_millis(200);
/// Records of one read.
const PAGE: usize = 1_000;
/// A turn that has so many writes takes no further input.
const TURN_PUTS_MAX: usize = 4_096;
/// Or so many bytes.
const TURN_BYTES_MAX: usize = 16 << 20;

/// Why the loop ended.
#[derive(Debug, Error)]
pub(crate) enum LoopError {
    /// Another owner opened the shard: this server must not write it any more.
    #[error("keep the messages: they have a newer owner")]
    Deposed,
}

/// What runs the loop.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) config: Arc<MessageConfig>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<Verb>,
    pub(crate) endpoints: Arc<dyn Endpoints>,
    pub(crate) guests: Guests,
    pub(crate) messages: Messages,
}

impl Runner {
    pub(crate) async fn run(mut self, stop: Stop) -> Result<(), LoopError> {
        while !stop.is_stopped() {
            let mut state = match self.open().await {
                Ok(state) => state,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the messages cannot be read yet");
                    stop.until(self.clock.sleep(REOPEN_PAUSE)).await;
                    continue;
                }
            };
            let Err(error) = self.serve(&mut state, &stop).await else { return Ok(()) };
            if matches!(*error, CommitError::Deposed) {
                return Err(LoopError::Deposed);
            }
            let error = chain(error.as_ref());
            tracing::error!(error, "messages were not written; they are read again");
            stop.until(self.clock.sleep(REOPEN_PAUSE)).await;
        }
        Ok(())
    }

    /// Turns until asked to stop, or until a commit fails.
    async fn serve(&mut self, state: &mut State, stop: &Stop) -> Result<(), Arc<CommitError>> {
        let mut verbs: VecDeque<Verb> = VecDeque::new();
        loop {
            let is_closing = stop.is_stopped();
            if verbs.is_empty() && !state.has_more() && !is_closing {
                let wake = state.wake_at().unwrap_or(Timestamp::MAX);
                tokio::select! {
                    biased;
                    // A verb taken is kept; the other branches only notice.
                    verb = self.inbox.recv() => match verb {
                        Some(verb) => verbs.push_back(verb),
                        None => return Ok(()),
                    },
                    () = self.clock.sleep_until(wake), if wake != Timestamp::MAX => {}
                    () = stop.stopped() => continue,
                }
            }
            if is_closing {
                self.inbox.close();
            }
            while verbs.len() < self.config.turn_inputs_max
                && let Ok(verb) = self.inbox.try_recv()
            {
                verbs.push_back(verb);
            }
            self.turn(state, &mut verbs, is_closing).await?;
            if is_closing && verbs.is_empty() {
                return Ok(());
            }
        }
    }

    async fn turn(
        &self,
        state: &mut State,
        verbs: &mut VecDeque<Verb>,
        is_closing: bool,
    ) -> Result<(), Arc<CommitError>> {
        let places = if is_closing { 0 } else { self.guests.max() - self.guests.count() };
        let mut turn = Turn::new(self.clock.now(), state.fence, places);
        while turn.batch.puts.len() < TURN_PUTS_MAX
            && turn.bytes < TURN_BYTES_MAX
            && let Some(verb) = verbs.pop_front()
        {
            verb(state, &mut turn);
        }
        state.settle(&mut turn);
        if is_closing {
            state.dismiss(&mut turn);
        }
        let committed = self.commit(state, &mut turn).await;
        turn.tell(&committed);
        committed?;
        self.act(turn);
        Ok(())
    }

    async fn commit(&self, state: &State, turn: &mut Turn) -> Result<(), Arc<CommitError>> {
        let mut batch = std::mem::replace(&mut turn.batch, stint_store::Batch::new(state.fence));
        if batch.is_empty() {
            return Ok(());
        }
        batch.at = turn.now;
        batch.minted = state.mint.last();
        self.store.commit(batch).await.map(drop).map_err(Arc::new)
    }

    /// Begins what was decided. Without a place it waits for its visibility time, or the next start.
    fn act(&self, turn: Turn) {
        for push in turn.pushes {
            let (messages, endpoints) = (self.messages.clone(), Arc::clone(&self.endpoints));
            if let Some(guest) = self.guests.try_admit() {
                guest.spawn(move |_| notify::deliver(messages, endpoints, push));
            }
        }
        for burial in turn.burials {
            let messages = self.messages.clone();
            match self.guests.try_admit() {
                Some(guest) => guest.spawn(move |_| notify::bury(messages, burial)),
                None => tracing::warn!("a dead letter is moved at the next start"),
            }
        }
    }

    /// Becomes the owner and reads everything.
    async fn open(&self) -> Result<State, StoreError> {
        let now = self.clock.now();
        let opened = self.store.shard_open(Shard::MESSAGES, now).await?;
        let mut state = State::new(Arc::clone(&self.config), &opened);
        self.each(Kind::Queue, |record| {
            state.load_queue(stored::decode_queue(&record.body)?);
            Ok(())
        })
        .await?;
        self.each(Kind::Topic, |record| {
            state.load_topic(stored::decode_topic(&record.body)?);
            Ok(())
        })
        .await?;
        self.each(Kind::Subscription, |record| {
            state.load_subscription(stored::decode_subscription(&record.body)?);
            Ok(())
        })
        .await?;
        // What became of a message lies right behind it.
        let mut last: Option<(stint_model::id::QueueId, Sent)> = None;
        self.each(Kind::Message, |record| {
            let (queue, id) = stored::parse_key(&record.key.name)?;
            match stored::decode(&record.body)? {
                MessageRecord::Sent(sent) => {
                    if let Some((queue, sent)) = last.replace((queue, *sent)) {
                        state.load_message(queue, sent, now);
                    }
                }
                MessageRecord::Life(life) => match &mut last {
                    Some((of, sent)) if *of == queue && sent.id == id => sent.life = life,
                    Some(_) | None => {
                        tracing::error!(name = record.key.name, "a receipt of no message");
                    }
                },
            }
            Ok(())
        })
        .await?;
        if let Some((queue, sent)) = last {
            state.load_message(queue, sent, now);
        }
        state.loaded();
        Ok(state)
    }

    async fn each(
        &self,
        kind: Kind,
        mut take: impl FnMut(&Record) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut cursor: Option<String> = None;
        loop {
            let page = self.store.record_list(kind, "", cursor.as_deref(), PAGE).await?;
            page.items.iter().try_for_each(&mut take)?;
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }
}
