//! Topics and subscriptions: made, changed, read, deleted; and publications, which are put into every
//! queue and outbox that wants them in one commit.

use stint_model::code::{Code, Refusal};
use stint_model::id::{AccountId, MessageId};
use stint_model::message::{
    Content, Endpoint, Origin, PRIORITY_DEFAULT, SIZE_MIN, Subscription, SubscriptionSettings,
    Topic, TopicSettings, between, check_name, check_tag,
};
use stint_model::shard::Shard;
use stint_model::time::Span;
use stint_store::Put;
use stint_store::record::message as stored;

use crate::format;
use crate::queues::listed;
use crate::state::{Draft, Owner, State, Turn, topic_missing};

/// What is said of a topic; what is not said stays, or has its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TopicPatch {
    /// The largest body, in bytes.
    pub size_max: Option<u32>,
    /// Whether operations are to be logged.
    pub logging: Option<bool>,
}

/// A topic and how it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicView {
    /// The topic.
    pub topic: Topic,
    /// Its subscriptions.
    pub subscriptions: usize,
    /// Notifications that wait to be delivered.
    pub waiting: usize,
}

/// What is said of a subscription that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionPatch {
    /// When a notification is tried again.
    pub strategy: Option<stint_model::message::NotifyStrategy>,
}

/// What is published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Publication {
    /// Body, tag, properties and attributes.
    pub content: Content,
}

const SIZE_DEFAULT: u32 = 64 << 10;

impl State {
    /// Makes a topic; gives whether it is new.
    pub(crate) fn topic_create(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        patch: TopicPatch,
    ) -> Result<(TopicView, bool), Refusal> {
        check_name("topic", name)?;
        let most = self.config.size_max;
        let size_max = patch.size_max.unwrap_or(most.min(SIZE_DEFAULT));
        between("MaximumMessageSize", size_max, (SIZE_MIN, most))?;
        let settings = TopicSettings { size_max, logging: patch.logging.unwrap_or(false) };
        if let Ok(known) = self.topic(account, name) {
            if known.topic.settings == settings {
                return Ok((self.topic_view(account, name)?, false));
            }
            let message = format!("the topic '{name}' exists with other attributes");
            return Err(Refusal::new(Code::TopicAlreadyExist, message));
        }
        let count =
            self.topics.range((account, String::new())..).take_while(|(k, _)| k.0 == account);
        if count.count() >= self.config.topics_max {
            let message = format!("an account has at most {} topics", self.config.topics_max);
            return Err(Refusal::new(Code::LimitExceededError, message));
        }
        let (created_at, modified_at) = (turn.now, turn.now);
        let topic = Topic { account, name: name.to_owned(), settings, created_at, modified_at };
        keep_topic(turn, &topic);
        self.load_topic(topic);
        Ok((self.topic_view(account, name)?, true))
    }

    pub(crate) fn topic_set(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        patch: TopicPatch,
    ) -> Result<TopicView, Refusal> {
        let most = self.config.size_max;
        if let Some(size_max) = patch.size_max {
            between("MaximumMessageSize", size_max, (SIZE_MIN, most))?;
        }
        let room = self.topics.get_mut(&(account, name.to_owned()));
        let topic = &mut room.ok_or_else(|| topic_missing(name))?.topic;
        let old = topic.settings;
        topic.settings = TopicSettings {
            size_max: patch.size_max.unwrap_or(old.size_max),
            logging: patch.logging.unwrap_or(old.logging),
        };
        topic.modified_at = turn.now;
        keep_topic(turn, topic);
        self.topic_view(account, name)
    }

    pub(crate) fn topic_view(&self, account: AccountId, name: &str) -> Result<TopicView, Refusal> {
        let room = self.topic(account, name)?;
        let waiting = |sub: &Subscription| self.rooms[&sub.outbox].shelf.len();
        Ok(TopicView {
            topic: room.topic.clone(),
            subscriptions: room.subscriptions.len(),
            waiting: room.subscriptions.values().map(waiting).sum(),
        })
    }

    pub(crate) fn topic_list(
        &self,
        account: AccountId,
        (prefix, after): (&str, Option<&str>),
        limit: usize,
    ) -> Result<Vec<TopicView>, Refusal> {
        let names = listed(self.topics.keys(), account, (prefix, after), limit);
        names.iter().map(|name| self.topic_view(account, name)).collect()
    }

    pub(crate) fn topic_delete(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
    ) -> Result<(), Refusal> {
        let room = self.topics.remove(&(account, name.to_owned()));
        let room = room.ok_or_else(|| topic_missing(name))?;
        turn.batch.puts.push(Put::Delete { key: stored::topic_key(account, name) });
        for (subscription, known) in room.subscriptions {
            let key = stored::subscription_key(account, name, &subscription);
            turn.batch.puts.push(Put::Delete { key });
            self.drop_room(known.outbox);
        }
        Ok(())
    }

    /// Subscribes; gives whether it is new.
    pub(crate) fn subscribe(
        &mut self,
        turn: &mut Turn,
        (account, topic, name): (AccountId, &str, &str),
        settings: SubscriptionSettings,
    ) -> Result<(Subscription, bool), Refusal> {
        check_name("subscription", name)?;
        if let Some(tag) = &settings.filter_tag {
            check_tag("FilterTag", tag)?;
        }
        let most = self.config.subscriptions_max;
        let room = self.topic(account, topic)?;
        if let Some(known) = room.subscriptions.get(name) {
            if known.settings == settings {
                return Ok((known.clone(), false));
            }
            let message = format!("the subscription '{name}' exists with other attributes");
            return Err(Refusal::new(Code::SubscriptionAlreadyExist, message));
        }
        if room.subscriptions.len() >= most {
            let message = format!("a topic has at most {most} subscriptions");
            return Err(Refusal::new(Code::LimitExceededError, message));
        }
        let owner = Owner::Outbox((account, topic.to_owned()), name.to_owned());
        let outbox = self.make_room(owner, turn.now);
        let subscription = Subscription {
            account,
            topic: topic.to_owned(),
            name: name.to_owned(),
            outbox,
            settings,
            created_at: turn.now,
            modified_at: turn.now,
        };
        self.keep_subscription(turn, subscription.clone());
        Ok((subscription, true))
    }

    fn keep_subscription(&mut self, turn: &mut Turn, subscription: Subscription) {
        let Subscription { account, topic, name, .. } = &subscription;
        let key = stored::subscription_key(*account, topic, name);
        let body = stored::encode_subscription(&subscription);
        turn.batch.puts.push(Put::Record { key, shard: Shard::MESSAGES, body });
        let topic = self.topics.get_mut(&(*account, topic.clone()));
        let topic = topic.expect("who keeps a subscription has looked");
        topic.subscriptions.insert(name.clone(), subscription);
    }

    pub(crate) fn subscription(
        &self,
        (account, topic, name): (AccountId, &str, &str),
    ) -> Result<Subscription, Refusal> {
        let room = self.topic(account, topic)?;
        room.subscriptions.get(name).cloned().ok_or_else(|| {
            let message =
                format!("the subscription '{name}' of the topic '{topic}' does not exist");
            Refusal::new(Code::SubscriptionNotExist, message)
        })
    }

    pub(crate) fn subscription_set(
        &mut self,
        turn: &mut Turn,
        at: (AccountId, &str, &str),
        patch: SubscriptionPatch,
    ) -> Result<Subscription, Refusal> {
        let mut subscription = self.subscription(at)?;
        let old = subscription.settings.strategy;
        subscription.settings.strategy = patch.strategy.unwrap_or(old);
        subscription.modified_at = turn.now;
        self.keep_subscription(turn, subscription.clone());
        Ok(subscription)
    }

    pub(crate) fn subscription_list(
        &self,
        (account, topic): (AccountId, &str),
        (prefix, after): (&str, Option<&str>),
        limit: usize,
    ) -> Result<Vec<Subscription>, Refusal> {
        let all = self.topic(account, topic)?.subscriptions.values();
        let is_asked = |name: &str| name.starts_with(prefix) && after.is_none_or(|a| name > a);
        Ok(all.filter(|sub| is_asked(&sub.name)).take(limit).cloned().collect())
    }

    pub(crate) fn unsubscribe(
        &mut self,
        turn: &mut Turn,
        at: (AccountId, &str, &str),
    ) -> Result<(), Refusal> {
        let outbox = self.subscription(at)?.outbox;
        let (account, topic, name) = at;
        let room = self.topics.get_mut(&(account, topic.to_owned()));
        room.expect("it was just read").subscriptions.remove(name);
        let key = stored::subscription_key(account, topic, name);
        turn.batch.puts.push(Put::Delete { key });
        self.drop_room(outbox);
        Ok(())
    }

    /// Publishes: what subscriptions want is in their queues and outboxes when this is on disk.
    pub(crate) fn publish(
        &mut self,
        turn: &mut Turn,
        (account, name): (AccountId, &str),
        publication: Publication,
    ) -> Result<MessageId, Refusal> {
        let room = self.topic(account, name)?;
        let content = publication.content;
        content.check(room.topic.settings.size_max)?;
        let tag = content.tag.as_deref();
        let wanting: Vec<Subscription> =
            room.subscriptions.values().filter(|sub| sub.settings.wants(tag)).cloned().collect();
        self.has_place(wanting.len())?;
        let message = MessageId::from_number(self.mint.number(turn.now));
        for subscription in wanting {
            let origin = Origin {
                topic: name.to_owned(),
                subscription: subscription.name.clone(),
                message,
                published_at: turn.now,
            };
            let content = Content { origin: Some(origin), ..content.clone() };
            self.hand_over(turn, &subscription, content);
        }
        metrics::counter!("stint_messages_published_total").increment(1);
        Ok(message)
    }

    /// Into the queue, where that is the endpoint and there; else into the outbox.
    fn hand_over(&mut self, turn: &mut Turn, subscription: &Subscription, content: Content) {
        if !self.forward(turn, subscription, &content) {
            let draft = Draft { priority: PRIORITY_DEFAULT, delay: Span::ZERO, content };
            self.send(turn, subscription.outbox, draft);
        }
    }

    /// Puts a notification into its queue; false when the endpoint is none that is there.
    pub(crate) fn forward(
        &mut self,
        turn: &mut Turn,
        subscription: &Subscription,
        content: &Content,
    ) -> bool {
        let Endpoint::Queue(queue) = &subscription.settings.endpoint else { return false };
        let Ok(queue) = self.queue(subscription.account, queue) else { return false };
        let (id, delay) = (queue.id, Span::from_secs(queue.settings.delay_secs.into()));
        let body = format::notification(subscription, content);
        let content = Content {
            body,
            properties: content.properties.clone(),
            system: content.system.clone(),
            ..Content::default()
        };
        self.send(turn, id, Draft { priority: PRIORITY_DEFAULT, delay, content });
        metrics::counter!("stint_notifications_total", "result" => "queued").increment(1);
        true
    }
}

fn keep_topic(turn: &mut Turn, topic: &Topic) {
    let key = stored::topic_key(topic.account, &topic.name);
    let body = stored::encode_topic(topic);
    turn.batch.puts.push(Put::Record { key, shard: Shard::MESSAGES, body });
}
