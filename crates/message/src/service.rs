//! The handle that doors hold: every verb checks its caller, is decided by the loop, and returns when
//! what it did is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::{MessageId, QueueId};
use stint_model::message::{Content, Endpoint, Receipt, Subscription, SubscriptionSettings};
use stint_model::time::Timestamp;
use stint_store::record::message::{self as stored, MessageRecord};
use stint_store::{Page, Store};
use stint_supervise::{OnExit, Supervisor};
use tokio::sync::{mpsc, oneshot};

use crate::access::Operation;
use crate::config::MessageConfig;
use crate::error::MessageError;
use crate::messages::{Outgoing, Received, SentInfo, Taken};
use crate::notify::Endpoints;
use crate::queues::{QueuePatch, QueueView};
use crate::run::{Runner, Verb};
use crate::state::{State, Turn, unkept};
use crate::topics::{Publication, SubscriptionPatch, TopicPatch, TopicView};

/// What the service stands on.
#[derive(Debug)]
pub struct MessageParts {
    /// Resolved settings.
    pub config: MessageConfig,
    /// The book.
    pub store: Arc<dyn Store>,
    /// What notifications go to.
    pub endpoints: Arc<dyn Endpoints>,
    /// False while the disk is nearly full: nothing new is taken.
    pub storage_allows: Arc<AtomicBool>,
}

/// A cheap handle; see the module comment.
#[derive(Clone, Debug)]
pub struct Messages {
    config: Arc<MessageConfig>,
    inbox: mpsc::Sender<Verb>,
    store: Arc<dyn Store>,
    storage_allows: Arc<AtomicBool>,
}

/// A page that is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// How names start.
    pub prefix: String,
    /// Names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Starts the loop.
pub fn start(parts: MessageParts, supervisor: &Supervisor) -> Messages {
    let config = Arc::new(parts.config);
    let (inbox, verbs) = mpsc::channel(config.inbox_max);
    let messages = Messages {
        config: Arc::clone(&config),
        inbox,
        store: Arc::clone(&parts.store),
        storage_allows: parts.storage_allows,
    };
    let runner = Runner {
        guests: supervisor.guests("message/outside", config.pushes_max),
        config,
        store: parts.store,
        clock: supervisor.clock().clone(),
        inbox: verbs,
        endpoints: parts.endpoints,
        messages: messages.clone(),
    };
    supervisor.spawn("message", OnExit::StopServer, |stop| runner.run(stop));
    messages
}

impl Messages {
    /// The settings it runs with.
    pub fn config(&self) -> &MessageConfig {
        &self.config
    }

    /// Has something decided by the loop and waits until it is on disk.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut State, &mut Turn) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, MessageError> {
        let (reply, answer) = oneshot::channel();
        let verb = move |state: &mut State, turn: &mut Turn| {
            let decided = verb(state, turn);
            turn.after(move |kept| {
                let answer = match kept {
                    Ok(()) => decided.map_err(MessageError::from),
                    Err(error) => Err(unkept(error)),
                };
                // Whoever asked may be gone.
                drop(reply.send(answer));
            });
        };
        self.inbox.send(Box::new(verb)).await.map_err(|_| MessageError::Stopping)?;
        answer.await.map_err(|_| MessageError::Stopping)?
    }

    fn check(
        &self,
        caller: &Caller,
        operation: Operation,
        name: Option<&str>,
    ) -> Result<(), MessageError> {
        Ok(operation.check(&self.config.region, caller, name)?)
    }

    fn storage_allows(&self) -> Result<(), MessageError> {
        if self.storage_allows.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = "the disk is nearly full: nothing new is accepted until room is made; \
                       receiving and deleting go on";
        Err(Refusal::new(Code::InsufficientStorage, message).into())
    }

    /// A message's body, from memory or from the book; `None` when it is gone.
    pub(crate) async fn content(
        &self,
        taken: &Taken,
    ) -> Result<Option<Arc<Content>>, MessageError> {
        match &taken.entry.content {
            Some(content) => Ok(Some(Arc::clone(content))),
            None => self.content_of(taken.queue, taken.id).await,
        }
    }

    pub(crate) async fn content_of(
        &self,
        queue: QueueId,
        message: MessageId,
    ) -> Result<Option<Arc<Content>>, MessageError> {
        let Some(record) = self.store.record_get(&stored::key(queue, message)).await? else {
            return Ok(None);
        };
        match stored::decode(&record.body)? {
            MessageRecord::Sent(sent) => Ok(Some(Arc::new(sent.content))),
            MessageRecord::Life(_) => Ok(None),
        }
    }

    async fn whole(&self, taken: Vec<Taken>) -> Result<Vec<Received>, MessageError> {
        let mut received = Vec::with_capacity(taken.len());
        for one in taken {
            // Gone meanwhile: the queue was emptied.
            let Some(content) = self.content(&one).await? else { continue };
            let (sent_at, priority, life) = (one.entry.sent_at, one.entry.priority, one.entry.life);
            received.push(Received { id: one.id, sent_at, priority, life, content });
        }
        Ok(received)
    }

    /// Makes a queue; gives whether it is new.
    ///
    /// # Errors
    /// `QueueAlreadyExist` when one of this name has other attributes; as every verb: refusals, and
    /// failures of the book.
    pub async fn queue_create(
        &self,
        caller: &Caller,
        name: &str,
        patch: QueuePatch,
    ) -> Result<(QueueView, bool), MessageError> {
        self.check(caller, Operation::QueueCreate, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.queue_create(turn, (account, &name), &patch)).await
    }

    /// Changes a queue.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn queue_set(
        &self,
        caller: &Caller,
        name: &str,
        patch: QueuePatch,
    ) -> Result<QueueView, MessageError> {
        self.check(caller, Operation::QueueSet, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.queue_set(turn, (account, &name), &patch)).await
    }

    /// A queue and how it stands.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn queue_get(&self, caller: &Caller, name: &str) -> Result<QueueView, MessageError> {
        self.check(caller, Operation::QueueGet, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.view(account, &name, turn.now)).await
    }

    /// Queues by name.
    ///
    /// # Errors
    /// Refusals.
    pub async fn queue_list(
        &self,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<Page<QueueView>, MessageError> {
        self.check(caller, Operation::QueueList, None)?;
        let account = caller.account;
        let limit = wanted.limit;
        let found = self.ask(move |state, turn| {
            let names = (&*wanted.prefix, wanted.after.as_deref());
            state.queue_list(account, names, wanted.limit + 1, turn.now)
        });
        Ok(page(found.await?, limit, |view| view.queue.name.clone()))
    }

    /// Deletes a queue and what is in it.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn queue_delete(&self, caller: &Caller, name: &str) -> Result<(), MessageError> {
        self.check(caller, Operation::QueueDelete, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.queue_delete(turn, (account, &name))).await
    }

    /// Empties a queue.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn queue_purge(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<QueueView, MessageError> {
        self.check(caller, Operation::QueuePurge, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.queue_purge(turn, (account, &name))).await
    }

    /// Sends up to 16 messages; each has its own result.
    ///
    /// # Errors
    /// `QueueNotExist`, `ResourceExhausted`.
    pub async fn send(
        &self,
        caller: &Caller,
        name: &str,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<SentInfo, Refusal>>, MessageError> {
        self.check(caller, Operation::Send, Some(name))?;
        self.storage_allows()?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.send_all(turn, (account, &name), messages)).await
    }

    /// Takes up to `count` messages (at most 16); waits for the first, as long as said or as the
    /// queue says. None is an empty list.
    ///
    /// Dropped while it waits it takes nothing; dropped later, what it took is seen again after its
    /// visibility time.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn receive(
        &self,
        caller: &Caller,
        name: &str,
        (count, wait_secs): (usize, Option<u32>),
    ) -> Result<Vec<Received>, MessageError> {
        self.check(caller, Operation::Receive, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        let (reply, answer) = oneshot::channel();
        let verb = move |state: &mut State, turn: &mut Turn| {
            state.receive(turn, (account, &name), (count, wait_secs), reply);
        };
        self.inbox.send(Box::new(verb)).await.map_err(|_| MessageError::Stopping)?;
        let taken = answer.await.map_err(|_| MessageError::Stopping)??;
        self.whole(taken).await
    }

    /// What would be received next, without taking it.
    ///
    /// # Errors
    /// `QueueNotExist`.
    pub async fn peek(
        &self,
        caller: &Caller,
        name: &str,
        count: usize,
    ) -> Result<Vec<Received>, MessageError> {
        self.check(caller, Operation::Peek, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        let taken = self.ask(move |state, turn| state.peek((account, &name), count, turn.now));
        self.whole(taken.await?).await
    }

    /// Deletes messages by their receipts; each has its own result.
    ///
    /// # Errors
    /// `QueueNotExist`; inside, `MessageNotExist` and `ReceiptHandleError`.
    pub async fn delete(
        &self,
        caller: &Caller,
        name: &str,
        receipts: Vec<Result<Receipt, Refusal>>,
    ) -> Result<Vec<Result<(), Refusal>>, MessageError> {
        self.check(caller, Operation::Delete, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.delete_all(turn, (account, &name), receipts)).await
    }

    /// Hides a held message for another while, under a new receipt.
    ///
    /// # Errors
    /// `QueueNotExist`, `MessageNotExist`.
    pub async fn change(
        &self,
        caller: &Caller,
        name: &str,
        change: (Receipt, u32),
    ) -> Result<(Receipt, Timestamp), MessageError> {
        self.check(caller, Operation::Change, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.change(turn, (account, &name), change)).await
    }

    /// Makes a topic; gives whether it is new.
    ///
    /// # Errors
    /// `TopicAlreadyExist` when one of this name has other attributes.
    pub async fn topic_create(
        &self,
        caller: &Caller,
        name: &str,
        patch: TopicPatch,
    ) -> Result<(TopicView, bool), MessageError> {
        self.check(caller, Operation::TopicCreate, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.topic_create(turn, (account, &name), patch)).await
    }

    /// Changes a topic.
    ///
    /// # Errors
    /// `TopicNotExist`.
    pub async fn topic_set(
        &self,
        caller: &Caller,
        name: &str,
        patch: TopicPatch,
    ) -> Result<TopicView, MessageError> {
        self.check(caller, Operation::TopicSet, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.topic_set(turn, (account, &name), patch)).await
    }

    /// A topic and how it stands.
    ///
    /// # Errors
    /// `TopicNotExist`.
    pub async fn topic_get(&self, caller: &Caller, name: &str) -> Result<TopicView, MessageError> {
        self.check(caller, Operation::TopicGet, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, _| state.topic_view(account, &name)).await
    }

    /// Topics by name.
    ///
    /// # Errors
    /// Refusals.
    pub async fn topic_list(
        &self,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<Page<TopicView>, MessageError> {
        self.check(caller, Operation::TopicList, None)?;
        let (account, limit) = (caller.account, wanted.limit);
        let found = self.ask(move |state, _| {
            let names = (&*wanted.prefix, wanted.after.as_deref());
            state.topic_list(account, names, wanted.limit + 1)
        });
        Ok(page(found.await?, limit, |view| view.topic.name.clone()))
    }

    /// Deletes a topic, its subscriptions, and what was not delivered.
    ///
    /// # Errors
    /// `TopicNotExist`.
    pub async fn topic_delete(&self, caller: &Caller, name: &str) -> Result<(), MessageError> {
        self.check(caller, Operation::TopicDelete, Some(name))?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.topic_delete(turn, (account, &name))).await
    }

    /// Publishes; gives the publication's id.
    ///
    /// # Errors
    /// `TopicNotExist`.
    pub async fn publish(
        &self,
        caller: &Caller,
        name: &str,
        publication: Publication,
    ) -> Result<MessageId, MessageError> {
        self.check(caller, Operation::Publish, Some(name))?;
        self.storage_allows()?;
        let (account, name) = (caller.account, name.to_owned());
        self.ask(move |state, turn| state.publish(turn, (account, &name), publication)).await
    }

    /// Subscribes; gives whether it is new. A queue or function endpoint is used in the caller's name, so
    /// that the caller must be allowed to send to it.
    ///
    /// # Errors
    /// `TopicNotExist`, `SubscriptionAlreadyExist`.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        (topic, name): (&str, &str),
        settings: SubscriptionSettings,
    ) -> Result<(Subscription, bool), MessageError> {
        self.check(caller, Operation::Subscribe, Some(topic))?;
        match &settings.endpoint {
            Endpoint::Queue(queue) => self.check(caller, Operation::Send, Some(queue))?,
            Endpoint::Function(function, _) => {
                self.check(caller, Operation::Subscribe, Some(function))?;
            }
            Endpoint::Http(_) => {}
        }
        let account = caller.account;
        let (topic, name) = (topic.to_owned(), name.to_owned());
        self.ask(move |state, turn| state.subscribe(turn, (account, &topic, &name), settings)).await
    }

    /// Changes a subscription.
    ///
    /// # Errors
    /// `SubscriptionNotExist`.
    pub async fn subscription_set(
        &self,
        caller: &Caller,
        (topic, name): (&str, &str),
        patch: SubscriptionPatch,
    ) -> Result<Subscription, MessageError> {
        self.check(caller, Operation::SubscriptionSet, Some(topic))?;
        let account = caller.account;
        let (topic, name) = (topic.to_owned(), name.to_owned());
        self.ask(move |state, turn| state.subscription_set(turn, (account, &topic, &name), patch))
            .await
    }

    /// A subscription.
    ///
    /// # Errors
    /// `SubscriptionNotExist`.
    pub async fn subscription_get(
        &self,
        caller: &Caller,
        (topic, name): (&str, &str),
    ) -> Result<Subscription, MessageError> {
        self.check(caller, Operation::SubscriptionGet, Some(topic))?;
        let account = caller.account;
        let (topic, name) = (topic.to_owned(), name.to_owned());
        self.ask(move |state, _| state.subscription((account, &topic, &name))).await
    }

    /// Subscriptions of a topic by name.
    ///
    /// # Errors
    /// `TopicNotExist`.
    pub async fn subscription_list(
        &self,
        caller: &Caller,
        topic: &str,
        wanted: Wanted,
    ) -> Result<Page<Subscription>, MessageError> {
        self.check(caller, Operation::SubscriptionList, Some(topic))?;
        let (account, limit, topic) = (caller.account, wanted.limit, topic.to_owned());
        let found = self.ask(move |state, _| {
            let names = (&*wanted.prefix, wanted.after.as_deref());
            state.subscription_list((account, &topic), names, wanted.limit + 1)
        });
        Ok(page(found.await?, limit, |subscription| subscription.name.clone()))
    }

    /// Unsubscribes; what was not delivered goes.
    ///
    /// # Errors
    /// `SubscriptionNotExist`.
    pub async fn unsubscribe(
        &self,
        caller: &Caller,
        (topic, name): (&str, &str),
    ) -> Result<(), MessageError> {
        self.check(caller, Operation::Unsubscribe, Some(topic))?;
        let account = caller.account;
        let (topic, name) = (topic.to_owned(), name.to_owned());
        self.ask(move |state, turn| state.unsubscribe(turn, (account, &topic, &name))).await
    }
}

/// A page of what was read with one more than asked for.
fn page<T>(mut items: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(name);
    Page { items, next }
}
