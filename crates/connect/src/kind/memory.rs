//! A feed in memory: the smallest source there is. Tests use it, and a new kind begins as its copy. It is no
//! kind that a user can name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stint_model::time::Span;
use tokio::sync::Notify;

use crate::event::{Data, Event};
use crate::source::{Cursor, Host, Promise, Reading, Room, Source, SourceError, Start};

/// The other side: a list that outlives every source that reads it.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    promise: Promise,
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What was published, for ever.
    items: Vec<String>,
    /// How many of them were acknowledged: where a source without positions starts.
    settled: usize,
    /// Nobody answers.
    is_down: bool,
}

impl Feed {
    /// An empty feed; its sources promise this.
    pub fn new(promise: Promise) -> Self {
        let shared = Shared { promise, state: Mutex::default(), came: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Adds an event.
    pub fn publish(&self, data: impl Into<String>) {
        self.state().items.push(data.into());
        self.shared.came.notify_waiters();
    }

    /// While it is down nothing can be opened or read.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
        self.shared.came.notify_waiters();
    }

    /// A source of it.
    pub fn source(&self) -> MemorySource {
        MemorySource { feed: self.clone(), host: None, place: 0, receipts: Vec::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`Feed`].
#[derive(Debug)]
pub struct MemorySource {
    feed: Feed,
    host: Option<Arc<dyn Host>>,
    /// How many items were read.
    place: usize,
    /// Where each reading ended; a receipt is a place in here.
    receipts: Vec<usize>,
}

impl MemorySource {
    fn up(&self) -> Result<MutexGuard<'_, State>, SourceError> {
        let state = self.feed.state();
        if state.is_down {
            let why = "nobody answers".to_owned();
            return Err(SourceError::Unreachable { what: "read the feed", why });
        }
        Ok(state)
    }

    /// What is there now.
    fn take(&mut self, room: Room) -> Result<Vec<Event>, SourceError> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        {
            let state = self.up()?;
            for (index, item) in state.items.iter().enumerate().skip(self.place) {
                if events.len() >= room.events_max || bytes >= room.bytes_max {
                    break;
                }
                bytes += item.len();
                events.push(event(index, item));
            }
        }
        self.place += events.len();
        Ok(events)
    }

    async fn wait(&self, span: Span) {
        let came = self.feed.shared.came.notified();
        let host = self.host.as_ref().expect("it is opened before it is read");
        host.clock().within(span, came).await;
    }
}

fn event(index: usize, item: &str) -> Event {
    Event {
        id: Some(index.to_string()),
        source: "memory".to_owned(),
        event_type: "stint:memory:item".to_owned(),
        data: Data::of(bytes::Bytes::from(item.to_owned())),
        ..Event::default()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        self.host = Some(host);
        let settled = self.up()?.settled;
        self.place = match (self.feed.shared.promise, &start.cursor) {
            (Promise::ExactlyOnce, None) => 0,
            (Promise::ExactlyOnce, Some(cursor)) => cursor.as_str().parse().map_err(|_| {
                SourceError::Lost { why: format!("{:?} is no place in the feed", cursor.as_str()) }
            })?,
            (Promise::AtLeastOnce | Promise::Lossy, _) => settled,
        };
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let host = Arc::clone(self.host.as_ref().expect("it is opened before it is read"));
        let until = host.clock().now() + room.wait_max;
        let mut events = self.take(room)?;
        while events.is_empty() {
            let left = until.since(host.clock().now());
            if left == Span::ZERO {
                break;
            }
            // What comes between the look and the wait is seen a moment later.
            self.wait(left.min(Span::from_millis(20))).await;
            events = self.take(room)?;
        }
        self.receipts.push(self.place);
        let cursor = match self.feed.shared.promise {
            Promise::ExactlyOnce => Some(Cursor::new(self.place.to_string())?),
            Promise::AtLeastOnce | Promise::Lossy => None,
        };
        Ok(Reading { events, cursor, receipt: self.receipts.len() as u64 })
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let index = usize::try_from(receipt).unwrap_or(usize::MAX).saturating_sub(1);
        if let Some(place) = self.receipts.get(index).copied() {
            let mut state = self.up()?;
            state.settled = state.settled.max(place);
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        Some((self.feed.state().items.len() - self.place) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Rig;

    #[derive(Debug)]
    struct Memory(Feed, Promise);

    #[async_trait]
    impl Rig for Memory {
        fn promise(&self) -> Promise {
            self.1
        }

        async fn publish(&mut self, number: u64) {
            self.0.publish(number.to_string());
        }

        fn source(&mut self) -> Box<dyn Source> {
            Box::new(self.0.source())
        }

        async fn set_down(&mut self, is_down: bool) -> bool {
            self.0.set_down(is_down);
            true
        }
    }

    mod with_positions {
        use super::*;
        async fn rig() -> Memory {
            Memory(Feed::new(Promise::ExactlyOnce), Promise::ExactlyOnce)
        }
        crate::source_conformance!(rig);
    }

    mod acknowledged {
        use super::*;
        async fn rig() -> Memory {
            Memory(Feed::new(Promise::AtLeastOnce), Promise::AtLeastOnce)
        }
        crate::source_conformance!(rig);
    }
}
