//! Notifications on their way: each waits in its subscription's outbox, which is a queue like any
//! other, is held while it is delivered, deleted once it is, and tried again as the strategy says. What a
//! crash interrupts is delivered again.

use std::sync::Arc;

use async_trait::async_trait;
use stint_model::id::{AccountId, QueueId};
use stint_model::message::{Content, ContentFormat, Endpoint, Receipt, Subscription};
use stint_model::time::Span;
use thiserror::Error;

use crate::format;
use crate::messages::Taken;
use crate::service::Messages;
use crate::state::{Burial, Owner, State, Turn};

/// A notification is hidden for so long beyond what its endpoint has to answer.
const MARGIN: Span = Span::from_secs(10);

/// A request to an HTTP endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// Names in small letters.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: String,
    /// How long the endpoint has.
    pub timeout: Span,
}

/// A function that is to be called as a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionCall {
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub function: String,
    /// Version or alias.
    pub qualifier: String,
    /// The event.
    pub payload: String,
    /// The same for every try of one notification: what was submitted under it is not submitted again.
    pub key: String,
}

/// Why a notification was not taken.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct PushError(pub String);

/// What is outside: HTTP endpoints and functions.
#[async_trait]
pub trait Endpoints: Send + Sync + std::fmt::Debug + 'static {
    /// Posts; an answer of 2xx is success.
    async fn post(&self, post: &Post) -> Result<(), PushError>;

    /// Submits a task durably. That one of this key is there already is success.
    async fn call(&self, call: &FunctionCall) -> Result<(), PushError>;
}

/// A notification that was taken to be delivered.
#[derive(Debug)]
pub(crate) struct Push {
    subscription: Subscription,
    taken: Taken,
}

impl State {
    /// Takes what is due in an outbox, while there are places.
    pub(crate) fn push(&mut self, turn: &mut Turn, outbox: QueueId) {
        let Owner::Outbox((account, topic), name) = self.room(outbox).owner.clone() else { return };
        let Ok(subscription) = self.subscription((account, &topic, &name)) else { return };
        let most = self.config.pushes_of_one_max;
        let hidden = self.config.push_timeout + MARGIN;
        while turn.places > 0 && self.room(outbox).pushing < most {
            let Some((id, _)) = self.room(outbox).shelf.next() else { break };
            let taken = self.hold(turn, (outbox, id), hidden);
            self.room(outbox).pushing += 1;
            turn.places -= 1;
            turn.pushes.push(Push { subscription: subscription.clone(), taken });
        }
    }

    /// A delivery has ended.
    fn pushed(&mut self, turn: &mut Turn, push: &Push, result: Result<(), PushError>) {
        let Some(room) = self.rooms.get_mut(&push.taken.queue) else { return };
        room.pushing = room.pushing.saturating_sub(1);
        let outbox = push.taken.queue;
        let life = &push.taken.entry.life;
        let receipt = Receipt { message: push.taken.id, holder: life.holder };
        let is_ours = room.shelf.check(receipt, turn.now).is_ok();
        self.touch(outbox);
        if !is_ours {
            return;
        }
        let count = |result| metrics::counter!("stint_notifications_total", "result" => result);
        let Err(error) = result else {
            count("delivered").increment(1);
            return self.delete(turn, outbox, push.taken.id);
        };
        let subscription = &push.subscription;
        let pause = subscription.settings.strategy.pause(life.received, life.holder);
        tracing::debug!(
            topic = subscription.topic, subscription = subscription.name, tried = life.received,
            %error, "a notification was not taken"
        );
        match pause {
            Some(pause) => {
                count("retried").increment(1);
                self.rehold(turn, (outbox, push.taken.id), turn.now + pause);
            }
            None => {
                count("dropped").increment(1);
                tracing::warn!(
                    topic = subscription.topic, subscription = subscription.name, message = %push.taken.id,
                    %error, "a notification is given up: its strategy has no further try"
                );
                self.delete(turn, outbox, push.taken.id);
            }
        }
    }
}

/// Delivers one notification and tells the loop.
pub(crate) async fn deliver(messages: Messages, endpoints: Arc<dyn Endpoints>, push: Push) {
    let result = match messages.content(&push.taken).await {
        Ok(Some(content)) => send(&messages, endpoints.as_ref(), &push, content).await,
        // Swept up meanwhile.
        Ok(None) => Ok(()),
        Err(error) => Err(PushError(stint_supervise::chain(&error))),
    };
    // When the loop stops or begins anew the notification is tried again after its visibility time.
    drop(messages.ask(move |state, turn| Ok(state.pushed(turn, &push, result))).await);
}

async fn send(
    messages: &Messages,
    endpoints: &dyn Endpoints,
    push: &Push,
    content: Arc<Content>,
) -> Result<(), PushError> {
    let subscription = &push.subscription;
    match &subscription.settings.endpoint {
        Endpoint::Http(url) => {
            let timeout = messages.config().push_timeout;
            endpoints.post(&post(subscription, &content, (url, timeout))).await
        }
        Endpoint::Function(function, qualifier) => {
            let call = FunctionCall {
                account: subscription.account,
                function: function.clone(),
                qualifier: qualifier.clone(),
                payload: format::event(subscription, &content),
                key: format!("mns-{}", push.taken.id),
            };
            endpoints.call(&call).await
        }
        Endpoint::Queue(queue) => {
            let (subscription, queue) = (subscription.clone(), queue.clone());
            let there =
                messages.ask(move |state, turn| Ok(state.forward(turn, &subscription, &content)));
            match there.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(PushError(format!("the queue '{queue}' does not exist"))),
                Err(error) => Err(PushError(stint_supervise::chain(&error))),
            }
        }
    }
}

/// The request of a notification, with upstream's headers.
fn post(subscription: &Subscription, content: &Content, (url, timeout): (&str, Span)) -> Post {
    let kind = match subscription.settings.format {
        ContentFormat::Xml => "text/xml;charset=utf-8",
        ContentFormat::Json => "application/json;charset=utf-8",
        ContentFormat::Simplified => "text/plain;charset=utf-8",
    };
    let message = content.origin.as_ref().map(|origin| origin.message.to_string());
    let message = message.unwrap_or_default();
    let mut headers = vec![
        ("content-type", kind.to_owned()),
        ("x-mns-version", "2015-06-06".to_owned()),
        ("x-mns-request-id", format!("{message}-{}", subscription.name)),
        ("x-mns-message-id", message),
    ];
    if let Some(tag) = content.tag.as_ref().filter(|tag| tag.chars().all(|c| c.is_ascii_graphic()))
    {
        headers.push(("x-mns-message-tag", tag.clone()));
    }
    let body = format::notification(subscription, content);
    Post { url: with_path(url), headers, body, timeout }
}

/// An address without a path gets upstream's.
fn with_path(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    if rest.contains('/') || rest.contains('?') {
        return url.to_owned();
    }
    format!("{url}/notifications")
}

/// Reads the body of a dead letter and has it moved.
pub(crate) async fn bury(messages: Messages, burial: Burial) {
    let read = messages.content_of(burial.queue, burial.message).await;
    let content = match read {
        Ok(content) => content,
        Err(error) => {
            let error = stint_supervise::chain(&error);
            return tracing::warn!(error, "a dead letter stays; the next start moves it");
        }
    };
    let Some(content) = content else { return };
    let at = (burial.queue, burial.message);
    // A loop that begins anew finds it among what is received too often.
    drop(messages.ask(move |state, turn| Ok(state.bury(turn, at, &content))).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_upstreams() {
        assert_eq!(with_path("http://a:1"), "http://a:1/notifications");
        for whole in ["http://a/", "http://a/x?y", "https://a?x"] {
            assert_eq!(with_path(whole), whole);
        }
    }
}
