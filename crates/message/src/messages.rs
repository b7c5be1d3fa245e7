//! Messages: sent, received, looked at, kept hidden, deleted, put aside.

use std::sync::Arc;

use stint_model::code::Refusal;
use stint_model::id::{AccountId, MessageId, QueueId};
use stint_model::message::{
    BATCH_MAX, Content, DELAY_MAX, Life, PRIORITY_DEFAULT, PRIORITY_LOW, Property, PropertyKind,
    Receipt, VISIBILITY_MAX, between,
};
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};
use stint_store::Put;
use stint_store::record::message as stored;
use tokio::sync::oneshot;

use crate::error::MessageError;
use crate::shelf::Entry;
use crate::state::{Burial, Draft, State, Turn, unkept};

/// A message to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outgoing {
    /// What the sender says.
    pub content: Content,
    /// Seconds it waits; the queue's own delay when not said.
    pub delay_secs: Option<u32>,
    /// 1 to 16, lower is sooner; 8 when not said.
    pub priority: Option<u32>,
}

/// What was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentInfo {
    /// Its id.
    pub id: MessageId,
    /// For a message with a delay: who holds it may delete it before it is seen.
    pub receipt: Option<Receipt>,
}

/// A message as its receiver, or who looks at it, sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Its id.
    pub id: MessageId,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// 1 to 16.
    pub priority: u8,
    /// How often it was received, when first, and until when it is hidden.
    pub life: Life,
    /// What the sender said.
    pub content: Arc<Content>,
}

impl Received {
    /// What its holder shows.
    pub fn receipt(&self) -> Receipt {
        Receipt { message: self.id, holder: self.life.holder }
    }
}

/// A message whose body may still have to be read.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) queue: QueueId,
    pub(crate) id: MessageId,
    pub(crate) entry: Entry,
}

/// Somebody who wants messages of a queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) count: usize,
    /// Nothing by then is an answer.
    pub(crate) until: Timestamp,
    pub(crate) reply: oneshot::Sender<Result<Vec<Taken>, MessageError>>,
}

impl Waiter {
    pub(crate) fn answer(self, answer: Result<Vec<Taken>, MessageError>) {
        // Gone meanwhile: what was taken is seen again after its visibility time.
        drop(self.reply.send(answer));
    }
}

/// What upstream calls the properties that a dead letter gets.
const DEAD_SOURCE: &str = "DLQSourceArn";
const DEAD_MESSAGE: &str = "DLQOriginMessageId";

impl State {
    /// Sends some messages: each is checked alone, what is good is sent.
    pub(crate) fn send_all(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<SentInfo, Refusal>>, Refusal> {
        check_count(messages.len())?;
        let queue = self.queue(account, name)?;
        let (id, settings) = (queue.id, queue.settings.clone());
        self.has_place(messages.len())?;
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            let checked = draft(message, settings.size_max, settings.delay_secs);
            results.push(checked.map(|draft| {
                let is_delayed = draft.delay > Span::ZERO;
                let sent = self.send(turn, id, draft);
                let receipt = Receipt { message: sent.id, holder: sent.life.holder };
                metrics::counter!("stint_messages_sent_total").increment(1);
                SentInfo { id: sent.id, receipt: is_delayed.then_some(receipt) }
            }));
        }
        Ok(results)
    }

    /// Somebody wants messages: now, or as soon as there are some.
    pub(crate) fn receive(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        (count, wait_secs): (usize, Option<u32>),
        reply: oneshot::Sender<Result<Vec<Taken>, MessageError>>,
    ) {
        let checked = check_count(count).and_then(|()| {
            let queue = self.queue(account, name)?;
            let wait = wait_secs.unwrap_or(queue.settings.wait_secs);
            between("waitseconds", wait, (0, stint_model::message::WAIT_MAX))?;
            Ok((queue.id, Span::from_secs(wait.into())))
        });
        let (id, wait) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return drop(reply.send(Err(refusal.into()))),
        };
        let most = self.config.waiters_max;
        let room = self.room(id);
        room.waiters.retain(|waiter| !waiter.reply.is_closed());
        if room.waiters.len() >= most {
            let message = format!("at most {most} receives wait on one queue");
            let code = stint_model::code::Code::ResourceExhausted;
            return drop(reply.send(Err(Refusal::new(code, message).into())));
        }
        room.waiters.push_back(Waiter { count, until: turn.now + wait, reply });
        self.touch(id);
    }

    /// Gives what is ready to who has waited longest, and answers whose time is up.
    pub(crate) fn serve(&mut self, turn: &mut Turn, id: QueueId) {
        while self.room(id).shelf.next().is_some() {
            let Some(waiter) = self.room(id).waiters.pop_front() else { break };
            // Nobody is there to take them: they stay for the next.
            if waiter.reply.is_closed() {
                continue;
            }
            let mut taken = Vec::new();
            while taken.len() < waiter.count
                && let Some(one) = self.take(turn, id)
            {
                taken.push(one);
            }
            if taken.is_empty() {
                // All of it was put aside.
                self.room(id).waiters.push_front(waiter);
                continue;
            }
            metrics::counter!("stint_messages_received_total").increment(taken.len() as u64);
            turn.after(move |kept| waiter.answer(kept.map(|()| taken).map_err(unkept)));
        }
        let now = turn.now;
        let (late, waiting) =
            self.room(id).waiters.drain(..).partition(|waiter: &Waiter| waiter.until <= now);
        self.room(id).waiters = waiting;
        for waiter in late {
            turn.after(move |_| waiter.answer(Ok(Vec::new())));
        }
    }

    /// The next message, now held; one that was received too often is put aside instead.
    fn take(&mut self, turn: &mut Turn, id: QueueId) -> Option<Taken> {
        let (hidden, receives_max) = self.handing_out(id);
        loop {
            let (message, entry) = self.room(id).shelf.next()?;
            if receives_max.is_some_and(|most| entry.life.received >= most) {
                self.bury_next(turn, id, message);
                continue;
            }
            return Some(self.hold(turn, (id, message), hidden));
        }
    }

    /// For how long a received message of the queue is hidden, and after how many receipts it is put
    /// aside; never while the dead letter queue is gone.
    fn handing_out(&self, id: QueueId) -> (Span, Option<u32>) {
        let crate::state::Owner::Queue(name) = &self.rooms[&id].owner else {
            unreachable!("only queues are received from")
        };
        let settings = &self.queues[name].settings;
        let dead = settings.dead_letter.as_ref();
        let dead = dead.filter(|dead| self.queues.contains_key(&(name.0, dead.queue.clone())));
        let hidden = Span::from_secs(settings.visibility_secs.into());
        (hidden, dead.map(|dead| dead.receives_max))
    }

    /// A message is somebody's for a while, in memory and in the batch.
    pub(crate) fn hold(
        &mut self,
        turn: &mut Turn,
        (queue, id): (QueueId, MessageId),
        hidden: Span,
    ) -> Taken {
        let holder = self.mint.number(turn.now);
        let times = (turn.now, turn.now + hidden);
        let entry = self.room(queue).shelf.receive(id, times, holder);
        keep_life(turn, (queue, id), &entry.life);
        Taken { queue, id, entry }
    }

    fn bury_next(&mut self, turn: &mut Turn, id: QueueId, message: MessageId) {
        let entry = self.room(id).shelf.set_aside(message);
        match entry.content {
            Some(content) => self.bury(turn, (id, message), &content),
            None => turn.burials.push(Burial { queue: id, message }),
        }
    }

    /// Moves a message that was put aside to the dead letter queue, in one commit. When that is gone
    /// meanwhile the message returns.
    pub(crate) fn bury(
        &mut self,
        turn: &mut Turn,
        (queue, message): (QueueId, MessageId),
        content: &Content,
    ) {
        let Some(room) = self.rooms.get(&queue) else { return };
        let crate::state::Owner::Queue(name) = room.owner.clone() else { return };
        let Some(entry) = self.room(queue).shelf.remove(message) else { return };
        // As it was, so that the counts fit when it is deleted.
        self.room(queue).shelf.put(message, entry.clone(), turn.now);
        let dead = self.queues[&name].settings.dead_letter.clone();
        let target = dead.and_then(|dead| self.queues.get(&(name.0, dead.queue)).map(|q| q.id));
        let Some(target) = target else { return self.touch(queue) };
        let mut content = content.clone();
        let text = |value: String| Property { kind: PropertyKind::String, value };
        let source = format!("acs:mns:{}:{}:queues/{}", self.config.region, name.0, name.1);
        content.system.insert(DEAD_SOURCE.to_owned(), text(source));
        content.system.insert(DEAD_MESSAGE.to_owned(), text(message.to_string()));
        self.delete(turn, queue, message);
        let draft = Draft { priority: entry.priority, delay: Span::ZERO, content };
        self.send(turn, target, draft);
        metrics::counter!("stint_messages_dead_total").increment(1);
    }

    /// What would be received next, without taking it.
    pub(crate) fn peek(
        &mut self,
        (account, name): (AccountId, &str),
        count: usize,
        now: Timestamp,
    ) -> Result<Vec<Taken>, Refusal> {
        check_count(count)?;
        let queue = self.queue(account, name)?.id;
        let shelf = &mut self.room(queue).shelf;
        shelf.advance(now);
        let taken = |(id, entry): (MessageId, &Entry)| Taken { queue, id, entry: entry.clone() };
        Ok(shelf.peek(count).map(taken).collect())
    }

    /// Deletes what these receipts hold; each is answered alone.
    pub(crate) fn delete_all(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        receipts: Vec<Result<Receipt, Refusal>>,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        check_count(receipts.len())?;
        let queue = self.queue(account, name)?.id;
        let mut results = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let checked = receipt.and_then(|receipt| {
                self.room(queue).shelf.check(receipt, turn.now).map(|()| receipt)
            });
            results.push(checked.map(|receipt| {
                self.delete(turn, queue, receipt.message);
                metrics::counter!("stint_messages_deleted_total").increment(1);
            }));
        }
        Ok(results)
    }

    /// The holder hides a message for another while; the old receipt is good no more.
    pub(crate) fn change(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        (receipt, visibility_secs): (Receipt, u32),
    ) -> Result<(Receipt, Timestamp), Refusal> {
        between("VisibilityTimeout", visibility_secs, (0, VISIBILITY_MAX))?;
        let queue = self.queue(account, name)?.id;
        self.room(queue).shelf.check(receipt, turn.now)?;
        let until = turn.now + Span::from_secs(visibility_secs.into());
        Ok(self.rehold(turn, (queue, receipt.message), until))
    }

    /// A held message is hidden until another time, in memory and in the batch.
    pub(crate) fn rehold(
        &mut self,
        turn: &mut Turn,
        (queue, message): (QueueId, MessageId),
        until: Timestamp,
    ) -> (Receipt, Timestamp) {
        let holder = self.mint.number(turn.now);
        let life = self.room(queue).shelf.change(message, (turn.now, until), holder);
        keep_life(turn, (queue, message), &life);
        self.touch(queue);
        (Receipt { message, holder }, until)
    }
}

fn keep_life(turn: &mut Turn, (queue, message): (QueueId, MessageId), life: &Life) {
    let (key, body) = (stored::life_key(queue, message), stored::encode_life(life));
    turn.batch.puts.push(Put::Record { key, shard: Shard::MESSAGES, body });
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if (1..=BATCH_MAX).contains(&count) {
        return Ok(());
    }
    let message = format!("a request is about 1 to {BATCH_MAX} messages, not {count}");
    Err(Refusal::invalid(message))
}

fn draft(message: Outgoing, size_max: u32, delay_secs: u32) -> Result<Draft, Refusal> {
    message.content.check(size_max)?;
    let delay = message.delay_secs.unwrap_or(delay_secs);
    between("DelaySeconds", delay, (0, DELAY_MAX))?;
    let priority = message.priority.unwrap_or(PRIORITY_DEFAULT.into());
    between("Priority", priority, (1, PRIORITY_LOW.into()))?;
    let priority = u8::try_from(priority).expect("at most 16");
    let delay = Span::from_secs(delay.into());
    Ok(Draft { priority, delay, content: message.content })
}
