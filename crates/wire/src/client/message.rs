//! Queues and topics of `/v1`.

use reqwest::Method;

use super::call::{Call, Query, segment};
use super::native::{WAIT_MARGIN, page_query};
use super::{Client, ClientError};
use crate::native::{
    DeleteMessages, DeletedMessages, Page, PublishMessage, PublishedMessage, Queue, QueuePatch,
    ReceiveMessages, ReceivedMessages, SendMessages, SentMessages, Subscription, SubscriptionPut,
    Topic, TopicPatch,
};

fn queue_path(queue: &str, rest: &str) -> String {
    format!("/v1/queues/{}{rest}", segment(queue))
}

fn topic_path(topic: &str, rest: &str) -> String {
    format!("/v1/topics/{}{rest}", segment(topic))
}

fn subscription_path(topic: &str, name: &str) -> String {
    topic_path(topic, &format!("/subscriptions/{}", segment(name)))
}

impl Client {
    /// Message queues by name.
    pub async fn queue_list(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Queue>, ClientError> {
        self.read("/v1/queues".into(), page_query(limit, cursor), "listQueues").await
    }

    /// Makes a queue.
    pub async fn queue_create(&self, name: &str, said: &QueuePatch) -> Result<Queue, ClientError> {
        self.answer(Call::new(Method::PUT, queue_path(name, ""), "createQueue").json(said)?).await
    }

    /// One queue.
    pub async fn queue_get(&self, name: &str) -> Result<Queue, ClientError> {
        self.read(queue_path(name, ""), Query::new(), "getQueue").await
    }

    /// Changes a queue.
    pub async fn queue_update(&self, name: &str, said: &QueuePatch) -> Result<Queue, ClientError> {
        self.answer(Call::new(Method::PATCH, queue_path(name, ""), "updateQueue").json(said)?).await
    }

    /// Removes a queue.
    pub async fn queue_delete(&self, name: &str) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, queue_path(name, ""), "deleteQueue")).await
    }

    /// Empties a queue.
    pub async fn queue_purge(&self, name: &str) -> Result<Queue, ClientError> {
        self.answer(Call::new(Method::POST, queue_path(name, ":purge"), "purgeQueue")).await
    }

    /// Sends messages.
    pub async fn messages_send(
        &self,
        queue: &str,
        messages: &SendMessages,
    ) -> Result<SentMessages, ClientError> {
        let call = Call::new(Method::POST, queue_path(queue, "/messages"), "sendMessages");
        self.answer(call.json(messages)?).await
    }

    /// Looks at messages without taking them.
    pub async fn messages_peek(
        &self,
        queue: &str,
        count: Option<u32>,
    ) -> Result<ReceivedMessages, ClientError> {
        let query = Query::new().maybe("count", count);
        self.read(queue_path(queue, "/messages"), query, "peekMessages").await
    }

    /// Takes messages.
    pub async fn messages_receive(
        &self,
        queue: &str,
        asked: &ReceiveMessages,
    ) -> Result<ReceivedMessages, ClientError> {
        let path = queue_path(queue, "/messages:receive");
        let mut call = Call::new(Method::POST, path, "receiveMessages").json(asked)?;
        call.timeout = asked.wait.map(|wait| wait.0.to_std() + WAIT_MARGIN);
        self.answer(call).await
    }

    /// Removes messages by their receipts.
    pub async fn messages_delete(
        &self,
        queue: &str,
        receipts: &DeleteMessages,
    ) -> Result<DeletedMessages, ClientError> {
        let path = queue_path(queue, "/messages:delete");
        self.answer(Call::new(Method::POST, path, "deleteMessages").json(receipts)?).await
    }

    /// Topics by name.
    pub async fn topic_list(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Topic>, ClientError> {
        self.read("/v1/topics".into(), page_query(limit, cursor), "listTopics").await
    }

    /// Makes a topic.
    pub async fn topic_create(&self, name: &str, said: &TopicPatch) -> Result<Topic, ClientError> {
        self.answer(Call::new(Method::PUT, topic_path(name, ""), "createTopic").json(said)?).await
    }

    /// One topic.
    pub async fn topic_get(&self, name: &str) -> Result<Topic, ClientError> {
        self.read(topic_path(name, ""), Query::new(), "getTopic").await
    }

    /// Removes a topic.
    pub async fn topic_delete(&self, name: &str) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, topic_path(name, ""), "deleteTopic")).await
    }

    /// Publishes.
    pub async fn topic_publish(
        &self,
        topic: &str,
        message: &PublishMessage,
    ) -> Result<PublishedMessage, ClientError> {
        let call = Call::new(Method::POST, topic_path(topic, "/messages"), "publishMessage");
        self.answer(call.json(message)?).await
    }

    /// Subscriptions by name.
    pub async fn subscription_list(
        &self,
        topic: &str,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Subscription>, ClientError> {
        let path = topic_path(topic, "/subscriptions");
        self.read(path, page_query(limit, cursor), "listSubscriptions").await
    }

    /// Subscribes.
    pub async fn subscription_put(
        &self,
        (topic, name): (&str, &str),
        said: &SubscriptionPut,
    ) -> Result<Subscription, ClientError> {
        let path = subscription_path(topic, name);
        self.answer(Call::new(Method::PUT, path, "putSubscription").json(said)?).await
    }

    /// Unsubscribes.
    pub async fn subscription_delete(&self, topic: &str, name: &str) -> Result<(), ClientError> {
        let path = subscription_path(topic, name);
        self.done(Call::new(Method::DELETE, path, "deleteSubscription")).await
    }
}
