//! What the loop knows: queues, topics, subscriptions and their shelves, and the turn in the making. A
//! verb looks first and changes after: what it changes in memory it also puts into the turn's batch, and
//! nobody is answered before that is on disk. When it cannot be written all of this is dropped and read
//! again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::id::{AccountId, MessageId, Mint, QueueId};
use stint_model::message::{Content, Queue, Sent, Subscription, Topic};
use stint_model::shard::{Fence, Shard};
use stint_model::time::{Span, Timestamp};
use stint_store::record::message as stored;
use stint_store::{Batch, CommitError, Opened, Put};

use crate::config::MessageConfig;
use crate::error::MessageError;
use crate::messages::Waiter;
use crate::notify::Push;
use crate::shelf::{Entry, Shelf};

/// Messages that one turn deletes by itself.
const SWEEP_MAX: usize = 1_000;
/// Notifications that found no place are looked at again after this long.
const CROWDED: Span = Span::from_millis(100);

/// A name inside an account.
pub(crate) type Named = (AccountId, String);

/// Whose messages a room holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A queue's.
    Queue(Named),
    /// Those that a subscription has not delivered.
    Outbox(Named, String),
}

/// A shelf and who stands before it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) owner: Owner,
    pub(crate) shelf: Shelf,
    pub(crate) waiters: VecDeque<Waiter>,
    /// Notifications under way.
    pub(crate) pushing: usize,
    alarm: Option<Timestamp>,
}

impl Room {
    fn new(owner: Owner) -> Self {
        let (shelf, waiters) = (Shelf::default(), VecDeque::new());
        Self { owner, shelf, waiters, pushing: 0, alarm: None }
    }
}

/// A topic and its subscriptions by name.
#[derive(Debug)]
pub(crate) struct TopicRoom {
    pub(crate) topic: Topic,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

/// What is answered when the turn is on disk, or is not.
type After = Box<dyn FnOnce(Result<(), Arc<CommitError>>) + Send>;

/// A dead letter whose body is to be read first.
#[derive(Clone, Debug)]
pub(crate) struct Burial {
    pub(crate) queue: QueueId,
    pub(crate) message: MessageId,
}

/// One turn in the making.
pub(crate) struct Turn {
    pub(crate) now: Timestamp,
    pub(crate) batch: Batch,
    /// Bytes of new messages in it.
    pub(crate) bytes: usize,
    after: Vec<After>,
    pub(crate) pushes: Vec<Push>,
    pub(crate) burials: Vec<Burial>,
    /// Notifications that may still begin.
    pub(crate) places: usize,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn new(now: Timestamp, fence: Fence, places: usize) -> Self {
        let (after, pushes, burials) = (Vec::new(), Vec::new(), Vec::new());
        Self { now, batch: Batch::new(fence), bytes: 0, after, pushes, burials, places }
    }

    /// Called once the turn is on disk, or is not.
    pub(crate) fn after(
        &mut self,
        after: impl FnOnce(Result<(), Arc<CommitError>>) + Send + 'static,
    ) {
        self.after.push(Box::new(after));
    }

    /// Tells everybody how it ended.
    pub(crate) fn tell(&mut self, committed: &Result<(), Arc<CommitError>>) {
        for after in std::mem::take(&mut self.after) {
            after(committed.clone());
        }
    }
}

/// See the module comment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Arc<MessageConfig>,
    pub(crate) fence: Fence,
    pub(crate) mint: Mint,
    pub(crate) queues: BTreeMap<Named, Queue>,
    pub(crate) topics: BTreeMap<Named, TopicRoom>,
    pub(crate) rooms: HashMap<QueueId, Room>,
    messages: usize,
    cached_bytes: usize,
    alarms: BTreeSet<(Timestamp, QueueId)>,
    doomed: VecDeque<(QueueId, Vec<MessageId>)>,
    touched: BTreeSet<QueueId>,
}

impl State {
    pub(crate) fn new(config: Arc<MessageConfig>, opened: &Opened) -> Self {
        let fence = Fence { shard: Shard::MESSAGES, epoch: opened.epoch };
        Self {
            config,
            fence,
            mint: Mint::resume(Shard::MESSAGES, opened.minted_max),
            queues: BTreeMap::new(),
            topics: BTreeMap::new(),
            rooms: HashMap::new(),
            messages: 0,
            cached_bytes: 0,
            alarms: BTreeSet::new(),
            doomed: VecDeque::new(),
            touched: BTreeSet::new(),
        }
    }

    /// A queue as the book has it.
    pub(crate) fn load_queue(&mut self, queue: Queue) {
        let name = (queue.account, queue.name.clone());
        self.rooms.insert(queue.id, Room::new(Owner::Queue(name.clone())));
        self.queues.insert(name, queue);
    }

    /// A topic as the book has it.
    pub(crate) fn load_topic(&mut self, topic: Topic) {
        let name = (topic.account, topic.name.clone());
        self.topics.insert(name, TopicRoom { topic, subscriptions: BTreeMap::new() });
    }

    /// A subscription as the book has it; its topic was loaded before.
    pub(crate) fn load_subscription(&mut self, subscription: Subscription) {
        let topic = (subscription.account, subscription.topic.clone());
        let owner = Owner::Outbox(topic.clone(), subscription.name.clone());
        let Some(room) = self.topics.get_mut(&topic) else {
            return tracing::error!(topic = topic.1, "a subscription of no topic is left alone");
        };
        self.rooms.insert(subscription.outbox, Room::new(owner));
        room.subscriptions.insert(subscription.name.clone(), subscription);
    }

    /// A message as the book has it. One of no queue is of one that was emptied or deleted.
    pub(crate) fn load_message(&mut self, queue: QueueId, sent: Sent, now: Timestamp) {
        let Some(room) = self.rooms.get_mut(&queue) else {
            match self.doomed.back_mut().filter(|(last, _)| *last == queue) {
                Some((_, messages)) => messages.push(sent.id),
                None => self.doomed.push_back((queue, vec![sent.id])),
            }
            return;
        };
        let Sent { id, sent_at, priority, life, content } = sent;
        let size = size_of(&content);
        let fits = self.cached_bytes + size <= self.config.cache_bytes_max;
        if fits {
            self.cached_bytes += size;
        }
        let content = fits.then(|| Arc::new(content));
        room.shelf.put(id, Entry { sent_at, priority, life, content }, now);
        self.messages += 1;
    }

    /// Everything was loaded.
    pub(crate) fn loaded(&mut self) {
        let all: Vec<QueueId> = self.rooms.keys().copied().collect();
        all.into_iter().for_each(|id| self.touch(id));
    }

    /// A queue by name.
    pub(crate) fn queue(&self, account: AccountId, name: &str) -> Result<&Queue, Refusal> {
        self.queues.get(&(account, name.to_owned())).ok_or_else(|| {
            let message = format!("the queue '{name}' does not exist");
            Refusal::new(Code::QueueNotExist, message)
        })
    }

    /// A topic by name.
    pub(crate) fn topic(&self, account: AccountId, name: &str) -> Result<&TopicRoom, Refusal> {
        self.topics.get(&(account, name.to_owned())).ok_or_else(|| topic_missing(name))
    }

    pub(crate) fn room(&mut self, id: QueueId) -> &mut Room {
        self.rooms.get_mut(&id).expect("a queue and an outbox have a room")
    }

    /// How long messages of a room are kept; those of an outbox a day beyond their last try.
    pub(crate) fn retention(&self, id: QueueId) -> Span {
        const OUTBOX: Span = Span::from_secs(2 * 86_400);
        let Some(room) = self.rooms.get(&id) else { return OUTBOX };
        match &room.owner {
            Owner::Queue(name) => {
                let settings = &self.queues[name].settings;
                Span::from_secs(settings.retention_secs.into())
            }
            Owner::Outbox(..) => OUTBOX,
        }
    }

    /// Makes a room for a new queue or outbox.
    pub(crate) fn make_room(&mut self, owner: Owner, now: Timestamp) -> QueueId {
        let id = QueueId::from_number(self.mint.number(now));
        self.rooms.insert(id, Room::new(owner));
        id
    }

    /// A room goes; its messages follow step by step.
    pub(crate) fn drop_room(&mut self, id: QueueId) -> Option<Room> {
        let room = self.rooms.remove(&id)?;
        if let Some(alarm) = room.alarm {
            self.alarms.remove(&(alarm, id));
        }
        self.messages -= room.shelf.len();
        let messages: Vec<MessageId> = room.shelf.ids().collect();
        self.cached_bytes -= room.shelf.cached_bytes();
        if !messages.is_empty() {
            self.doomed.push_back((id, messages));
        }
        if let Owner::Queue(name) = &room.owner {
            figure(name, crate::shelf::Counts::default(), None);
        }
        Some(room)
    }

    /// Whether `count` more messages have a place.
    pub(crate) fn has_place(&self, count: usize) -> Result<(), Refusal> {
        if self.messages + count <= self.config.messages_max {
            return Ok(());
        }
        let message = format!(
            "the message service keeps at most {} messages (message.messages); receive and delete \
             some first",
            self.config.messages_max
        );
        Err(Refusal::new(Code::ResourceExhausted, message))
    }

    /// A new message, in memory and in the batch.
    pub(crate) fn send(&mut self, turn: &mut Turn, queue: QueueId, draft: Draft) -> Sent {
        let id = MessageId::from_number(self.mint.number(turn.now));
        let life = stored::unreceived(turn.now + draft.delay, self.mint.number(turn.now));
        let sent =
            Sent { id, sent_at: turn.now, priority: draft.priority, life, content: draft.content };
        let body = stored::encode_sent(&sent);
        let key = stored::key(queue, id);
        turn.bytes += body.len();
        turn.batch.puts.push(Put::Record { key, shard: Shard::MESSAGES, body });
        self.load_message(queue, sent.clone(), turn.now);
        self.touch(queue);
        sent
    }

    /// A message goes, from memory and from the book.
    pub(crate) fn delete(&mut self, turn: &mut Turn, queue: QueueId, message: MessageId) {
        let Some(entry) = self.room(queue).shelf.remove(message) else { return };
        self.messages -= 1;
        self.cached_bytes -= entry.content.as_deref().map_or(0, size_of);
        turn.batch.puts.push(Put::Delete { key: stored::key(queue, message) });
        // Its holder's number may have changed without a receipt.
        turn.batch.puts.push(Put::Delete { key: stored::life_key(queue, message) });
        self.touch(queue);
    }

    /// Something of the room changed.
    pub(crate) fn touch(&mut self, id: QueueId) {
        self.touched.insert(id);
    }

    /// When something is to be done without being asked.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Whether there is more to do at once.
    pub(crate) fn has_more(&self) -> bool {
        !self.doomed.is_empty() || !self.touched.is_empty()
    }

    /// What is due by itself, and whoever waits for what has become ready.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        while let Some((_, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= turn.now) {
            self.set_alarm(id, None);
            self.touch(id);
        }
        let mut rounds = 0;
        // Dead letters touch another queue, whose own dead letters may touch a third.
        while !self.touched.is_empty() && rounds < 8 {
            for id in std::mem::take(&mut self.touched) {
                self.settle_one(turn, id);
            }
            rounds += 1;
        }
        self.sweep(turn);
    }

    fn settle_one(&mut self, turn: &mut Turn, id: QueueId) {
        if !self.rooms.contains_key(&id) {
            return;
        }
        let retention = self.retention(id);
        let room = self.room(id);
        room.shelf.advance(turn.now);
        for message in room.shelf.expired(turn.now, retention, SWEEP_MAX) {
            metrics::counter!("stint_messages_expired_total").increment(1);
            self.delete(turn, id, message);
        }
        self.touched.remove(&id);
        let is_queue = matches!(self.room(id).owner, Owner::Queue(_));
        if is_queue {
            self.serve(turn, id);
        } else {
            self.push(turn, id);
        }
        self.rearm(turn, id, retention);
    }

    fn rearm(&mut self, turn: &Turn, id: QueueId, retention: Span) {
        let pushes_max = self.config.pushes_of_one_max;
        let Some(room) = self.rooms.get(&id) else { return };
        let expiry = room.shelf.oldest().map(|sent| sent + retention);
        let waiting = room.waiters.iter().map(|waiter| waiter.until).min();
        let looks = !room.waiters.is_empty() || matches!(room.owner, Owner::Outbox(..));
        let due = room.shelf.next_due().filter(|_| looks);
        let crowded = matches!(room.owner, Owner::Outbox(..))
            && room.pushing < pushes_max
            && room.shelf.next().is_some();
        let crowded = crowded.then(|| turn.now + CROWDED);
        if let Owner::Queue(name) = &room.owner {
            figure(name, room.shelf.counts(), room.shelf.oldest());
        }
        let at = [expiry, waiting, due, crowded].into_iter().flatten().min();
        self.set_alarm(id, at);
    }

    fn set_alarm(&mut self, id: QueueId, at: Option<Timestamp>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut room.alarm, at) {
            self.alarms.remove(&(before, id));
        }
        if let Some(at) = at {
            self.alarms.insert((at, id));
        }
    }

    /// Deletes some of what lies under no queue.
    fn sweep(&mut self, turn: &mut Turn) {
        let mut left = SWEEP_MAX;
        while left > 0
            && let Some((queue, messages)) = self.doomed.front_mut()
        {
            let from = messages.len().saturating_sub(left);
            for message in messages.drain(from..) {
                turn.batch.puts.push(Put::Delete { key: stored::key(*queue, message) });
                turn.batch.puts.push(Put::Delete { key: stored::life_key(*queue, message) });
                left -= 1;
            }
            if messages.is_empty() {
                self.doomed.pop_front();
            }
        }
    }

    /// Whoever waits is told that there is nothing: the service stops.
    pub(crate) fn dismiss(&mut self, turn: &mut Turn) {
        for room in self.rooms.values_mut() {
            for waiter in room.waiters.drain(..) {
                turn.after(move |_| waiter.answer(Ok(Vec::new())));
            }
        }
    }
}

/// What a message is made of.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) priority: u8,
    pub(crate) delay: Span,
    pub(crate) content: Content,
}

/// What a body takes in memory, about.
pub(crate) fn size_of(content: &Content) -> usize {
    let of = |(name, property): (&String, &stint_model::message::Property)| {
        name.len() + property.value.len()
    };
    let properties: usize = content.properties.iter().chain(&content.system).map(of).sum();
    let attributes: usize = content.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
    content.body.len() + properties + attributes
}

pub(crate) fn topic_missing(name: &str) -> Refusal {
    Refusal::new(Code::TopicNotExist, format!("the topic '{name}' does not exist"))
}

/// The caller's error of a commit.
pub(crate) fn unkept(error: Arc<CommitError>) -> MessageError {
    MessageError::Commit(error)
}

fn figure((account, queue): &Named, counts: crate::shelf::Counts, oldest: Option<Timestamp>) {
    let labels = |state: &'static str| {
        [("account", account.to_string()), ("queue", queue.clone()), ("state", state.to_owned())]
    };
    for (state, count) in
        [("ready", counts.ready), ("delayed", counts.delayed), ("held", counts.held)]
    {
        metrics::gauge!("stint_queue_messages", &labels(state)).set(count as f64);
    }
    let labels = [("account", account.to_string()), ("queue", queue.clone())];
    let sent = oldest.map_or(0.0, |at| at.seconds() as f64);
    metrics::gauge!("stint_queue_oldest_sent_seconds", &labels).set(sent);
}
