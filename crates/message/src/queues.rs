//! Queues: made, changed, read, emptied and deleted.

use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::message::{DeadLetter, Queue, QueueSettings, check_name};
use stint_model::shard::Shard;
use stint_model::time::Timestamp;
use stint_store::Put;
use stint_store::record::message as stored;

use crate::state::{Owner, State, Turn};

/// What is said of a queue; what is not said stays, or has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueuePatch {
    /// Seconds a sent message waits.
    pub delay_secs: Option<u32>,
    /// The largest body, in bytes.
    pub size_max: Option<u32>,
    /// Seconds a message is kept.
    pub retention_secs: Option<u32>,
    /// Seconds a received message is hidden.
    pub visibility_secs: Option<u32>,
    /// Seconds a receive waits that does not say.
    pub wait_secs: Option<u32>,
    /// Whether operations are to be logged.
    pub logging: Option<bool>,
    /// Where messages go that are received too often; inside, `None` switches it off.
    pub dead_letter: Option<Option<DeadLetter>>,
}

impl QueuePatch {
    fn over(&self, settings: QueueSettings) -> QueueSettings {
        QueueSettings {
            delay_secs: self.delay_secs.unwrap_or(settings.delay_secs),
            size_max: self.size_max.unwrap_or(settings.size_max),
            retention_secs: self.retention_secs.unwrap_or(settings.retention_secs),
            visibility_secs: self.visibility_secs.unwrap_or(settings.visibility_secs),
            wait_secs: self.wait_secs.unwrap_or(settings.wait_secs),
            logging: self.logging.unwrap_or(settings.logging),
            dead_letter: self.dead_letter.clone().unwrap_or(settings.dead_letter),
        }
    }
}

/// A queue and how it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueView {
    /// The queue.
    pub queue: Queue,
    /// Messages that can be received.
    pub active: usize,
    /// Messages that are held.
    pub inactive: usize,
    /// Messages that were sent with a delay.
    pub delayed: usize,
    /// When the oldest was sent.
    pub oldest_at: Option<Timestamp>,
}

/// What upstream takes when nothing is said.
const SIZE_DEFAULT: u32 = 64 << 10;

impl State {
    /// Makes a queue; gives whether it is new. One that is there already must have these settings.
    pub(crate) fn queue_create(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        patch: &QueuePatch,
    ) -> Result<(QueueView, bool), Refusal> {
        check_name("queue", name)?;
        let default = QueueSettings::new(self.config.size_max.min(SIZE_DEFAULT));
        let settings = patch.over(default);
        self.check_settings((account, name), &settings)?;
        if let Ok(known) = self.queue(account, name) {
            if known.settings == settings {
                return Ok((self.view(account, name, turn.now)?, false));
            }
            let message = format!("the queue '{name}' exists with other attributes");
            return Err(Refusal::new(Code::QueueAlreadyExist, message));
        }
        let count =
            self.queues.range((account, String::new())..).take_while(|(k, _)| k.0 == account);
        if count.count() >= self.config.queues_max {
            let message = format!("an account has at most {} queues", self.config.queues_max);
            return Err(Refusal::new(Code::LimitExceededError, message));
        }
        let id = self.make_room(Owner::Queue((account, name.to_owned())), turn.now);
        let (created_at, modified_at) = (turn.now, turn.now);
        let name = name.to_owned();
        let queue = Queue { account, name: name.clone(), id, settings, created_at, modified_at };
        self.keep_queue(turn, queue);
        Ok((self.view(account, &name, turn.now)?, true))
    }

    fn check_settings(
        &self,
        (account, name): (AccountId, &str),
        settings: &QueueSettings,
    ) -> Result<(), Refusal> {
        settings.check(self.config.size_max)?;
        let Some(dead) = &settings.dead_letter else { return Ok(()) };
        if dead.queue == name {
            return Err(Refusal::invalid("a queue cannot be its own dead letter queue"));
        }
        self.queue(account, &dead.queue).map(drop)
    }

    fn keep_queue(&mut self, turn: &mut Turn, queue: Queue) {
        let key = stored::queue_key(queue.account, &queue.name);
        let body = stored::encode_queue(&queue);
        turn.batch.puts.push(Put::Record { key, shard: Shard::MESSAGES, body });
        self.touch(queue.id);
        self.queues.insert((queue.account, queue.name.clone()), queue);
    }

    pub(crate) fn queue_set(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        patch: &QueuePatch,
    ) -> Result<QueueView, Refusal> {
        let mut queue = self.queue(account, name)?.clone();
        queue.settings = patch.over(queue.settings);
        self.check_settings((account, name), &queue.settings)?;
        queue.modified_at = turn.now;
        self.keep_queue(turn, queue);
        self.view(account, name, turn.now)
    }

    pub(crate) fn view(
        &mut self,
        account: AccountId,
        name: &str,
        now: Timestamp,
    ) -> Result<QueueView, Refusal> {
        let queue = self.queue(account, name)?.clone();
        let shelf = &mut self.room(queue.id).shelf;
        shelf.advance(now);
        let counts = shelf.counts();
        Ok(QueueView {
            oldest_at: shelf.oldest(),
            queue,
            active: counts.ready,
            inactive: counts.held,
            delayed: counts.delayed,
        })
    }

    /// Queues by name, after `after`; one more than `limit` says that there are more.
    pub(crate) fn queue_list(
        &mut self,
        account: AccountId,
        (prefix, after): (&str, Option<&str>),
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<QueueView>, Refusal> {
        let names = listed(self.queues.keys(), account, (prefix, after), limit);
        names.iter().map(|name| self.view(account, name, now)).collect()
    }

    pub(crate) fn queue_delete(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
    ) -> Result<(), Refusal> {
        let id = self.queue(account, name)?.id;
        self.queues.remove(&(account, name.to_owned()));
        turn.batch.puts.push(Put::Delete { key: stored::queue_key(account, name) });
        let room = self.drop_room(id).expect("a queue has a room");
        for waiter in room.waiters {
            let gone = Refusal::new(Code::QueueNotExist, "the queue was deleted meanwhile");
            turn.after(move |_| waiter.answer(Err(gone.into())));
        }
        Ok(())
    }

    /// Empties a queue in one step: it goes on under another id, and what lies under the old one is
    /// swept up.
    pub(crate) fn queue_purge(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
    ) -> Result<QueueView, Refusal> {
        let mut queue = self.queue(account, name)?.clone();
        let owner = Owner::Queue((account, name.to_owned()));
        let waiters = std::mem::take(&mut self.room(queue.id).waiters);
        self.drop_room(queue.id);
        queue.id = self.make_room(owner, turn.now);
        self.room(queue.id).waiters = waiters;
        queue.modified_at = turn.now;
        self.keep_queue(turn, queue);
        self.view(account, name, turn.now)
    }
}

/// Names of an account, by name.
pub(crate) fn listed<'a>(
    keys: impl Iterator<Item = &'a (AccountId, String)>,
    account: AccountId,
    (prefix, after): (&str, Option<&str>),
    limit: usize,
) -> Vec<String> {
    let is_asked = |name: &String| name.starts_with(prefix) && after.is_none_or(|a| &**name > a);
    let of = keys.filter(|(owner, name)| *owner == account && is_asked(name));
    of.take(limit).map(|(_, name)| name.clone()).collect()
}
