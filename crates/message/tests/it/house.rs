//! A house for one test: a book in memory, a clock that stands still, endpoints that are told what to say.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stint_message::{
    Endpoints, FunctionCall, MessageConfig, MessageParts, Messages, Outgoing, Post, PushError,
    QueuePatch, Received,
};
use stint_model::access::{Caller, Role, Scope};
use stint_model::id::AccountId;
use stint_model::message::Content;
use stint_model::time::{Span, Timestamp};
use stint_store::memory::MemoryStore;
use stint_supervise::{Clock, SimClock, Supervisor};

/// What was posted and called, and how many of the next ones fail.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) posts: Mutex<Vec<Post>>,
    pub(crate) calls: Mutex<Vec<FunctionCall>>,
    pub(crate) failures: AtomicUsize,
}

impl World {
    fn answer(&self) -> Result<(), PushError> {
        let left =
            self.failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        left.map_or(Ok(()), |_| Err(PushError("not now".to_owned())))
    }
}

#[async_trait::async_trait]
impl Endpoints for World {
    async fn post(&self, post: &Post) -> Result<(), PushError> {
        self.posts.lock().unwrap().push(post.clone());
        self.answer()
    }

    async fn call(&self, call: &FunctionCall) -> Result<(), PushError> {
        self.calls.lock().unwrap().push(call.clone());
        self.answer()
    }
}

pub(crate) struct House {
    pub(crate) store: MemoryStore,
    pub(crate) messages: Messages,
    pub(crate) world: Arc<World>,
    pub(crate) time: SimClock,
    pub(crate) clock: Clock,
    config: MessageConfig,
    supervisor: Supervisor,
}

pub(crate) fn caller() -> Caller {
    Caller {
        account: AccountId::ROOT,
        role: Role::Admin,
        scope: Scope::default(),
        key_id: "test".into(),
        request_id: None,
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(MessageConfig::new("local"))
    }

    pub(crate) fn with(config: MessageConfig) -> Self {
        let start = Timestamp::from_millis(1_800_000_000_000);
        let (clock, time) = Clock::simulated(start);
        Self::on(MemoryStore::new(), (clock, time), config, Arc::default())
    }

    fn on(
        store: MemoryStore,
        (clock, time): (Clock, SimClock),
        config: MessageConfig,
        world: Arc<World>,
    ) -> Self {
        let supervisor = Supervisor::new(clock.clone());
        let endpoints: Arc<World> = Arc::clone(&world);
        let parts = MessageParts {
            config: config.clone(),
            store: Arc::new(store.clone()),
            endpoints,
            storage_allows: Arc::new(AtomicBool::new(true)),
        };
        let messages = stint_message::start(parts, &supervisor);
        Self { store, messages, world, time, clock, config, supervisor }
    }

    /// The process is gone from one moment to the next; another one opens the book.
    pub(crate) fn crash(self) -> Self {
        let store = self.store.crash();
        self.supervisor.stop().request();
        Self::on(store, (self.clock, self.time), self.config, self.world)
    }

    pub(crate) async fn queue(&self, name: &str, patch: QueuePatch) {
        self.messages.queue_create(&caller(), name, patch).await.expect("made");
    }

    pub(crate) async fn send(&self, queue: &str, body: &str) {
        let content = Content { body: body.to_owned(), ..Content::default() };
        let message = Outgoing { content, ..Outgoing::default() };
        let sent = self.messages.send(&caller(), queue, vec![message]).await.expect("sent");
        sent[0].as_ref().expect("sent");
    }

    pub(crate) async fn take(&self, queue: &str, count: usize) -> Vec<Received> {
        self.messages.receive(&caller(), queue, (count, Some(0))).await.expect("received")
    }

    pub(crate) async fn bodies(&self, queue: &str) -> Vec<String> {
        let taken = self.take(queue, 16).await;
        taken.iter().map(|message| message.content.body.clone()).collect()
    }

    pub(crate) async fn delete(&self, queue: &str, message: &Received) -> bool {
        let receipts = vec![Ok(message.receipt())];
        let deleted = self.messages.delete(&caller(), queue, receipts).await.expect("asked");
        deleted[0].is_ok()
    }

    pub(crate) fn pass(&self, secs: u64) {
        self.time.advance(Span::from_secs(secs));
    }

    /// Waits for a condition while others run, for as long as a few thousand turns.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..10_000 {
            if holds().await {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("in vain: {what}");
    }
}
