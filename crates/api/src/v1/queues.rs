//! Message queues over plain JSON.

use std::collections::BTreeMap;

use stint_message::{Outgoing, QueuePatch, QueueView, Received, Wanted, md5_hex};
use stint_model::code::Refusal;
use stint_model::message::{Content, DeadLetter, Property, PropertyKind, Receipt};
use stint_model::time::Span;
use stint_wire::native::{
    ChangeVisibility, ChangedVisibility, DeadLetterPolicy, DeleteMessages, DeletedMessage,
    DeletedMessages, Page, Queue, QueuePatch as WirePatch, ReceiveMessages, ReceivedMessage,
    ReceivedMessages, SendMessage, SendMessages, SentMessage, SentMessages,
};
use stint_wire::time::{Seconds, Time};

use crate::answer::{Answer, json, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

/// The most messages of one request, as a number of the query.
const COUNT_MAX: usize = stint_model::message::BATCH_MAX;

fn view(view: &QueueView) -> Queue {
    let millis = |secs: u32| u64::from(secs) * 1_000;
    let settings = &view.queue.settings;
    Queue {
        name: view.queue.name.clone(),
        delay_ms: millis(settings.delay_secs),
        message_bytes_max: settings.size_max,
        retention_ms: millis(settings.retention_secs),
        visibility_ms: millis(settings.visibility_secs),
        wait_ms: millis(settings.wait_secs),
        logging: settings.logging,
        dead_letter: settings.dead_letter.as_ref().map(|dead| DeadLetterPolicy {
            queue: dead.queue.clone(),
            max_receives: dead.receives_max,
        }),
        active: view.active as u64,
        inactive: view.inactive as u64,
        delayed: view.delayed as u64,
        oldest_at: view.oldest_at.map(Time),
        created_at: Time(view.queue.created_at),
        modified_at: Time(view.queue.modified_at),
    }
}

/// Whole seconds, as the message service counts.
pub(super) fn whole_secs(what: &str, said: Option<Seconds>) -> Result<Option<u32>, Problem> {
    let Some(Seconds(span)) = said else { return Ok(None) };
    let secs = u32::try_from(span.secs()).ok().filter(|_| span == Span::from_secs(span.secs()));
    let wrong = || Problem::invalid(format!("{what} is a whole number of seconds"));
    secs.map(Some).ok_or_else(wrong)
}

fn patch(said: WirePatch) -> Result<QueuePatch, Problem> {
    let dead = match (said.dead_letter, said.no_dead_letter) {
        (Some(_), Some(true)) => {
            return Err(Problem::invalid("deadLetter and noDeadLetter exclude each other"));
        }
        (Some(dead), _) => {
            Some(Some(DeadLetter { queue: dead.queue, receives_max: dead.max_receives }))
        }
        (None, Some(true)) => Some(None),
        (None, _) => None,
    };
    Ok(QueuePatch {
        delay_secs: whole_secs("delay", said.delay)?,
        size_max: said.message_bytes_max,
        retention_secs: whole_secs("retention", said.retention)?,
        visibility_secs: whole_secs("visibility", said.visibility)?,
        wait_secs: whole_secs("wait", said.wait)?,
        logging: said.logging,
        dead_letter: dead,
    })
}

/// What a listing asks for; the cursor is the last name of the page before.
pub(super) fn wanted(call: &Call) -> Result<Wanted, Problem> {
    Ok(Wanted {
        prefix: call.query.get("prefix").unwrap_or("").to_owned(),
        after: call.query.get("cursor").map(str::to_owned),
        limit: call.query.limit("limit", 100, 1_000)?,
    })
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let page = call.messages().queue_list(&call.caller, wanted(&call)?).await?;
    ok(&Page { items: page.items.iter().map(view).collect(), next: page.next })
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let patch = patch(call.json_or_default()?)?;
    let (made, _) = call.messages().queue_create(&call.caller, call.param(0), patch).await?;
    ok(&view(&made))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    ok(&view(&call.messages().queue_get(&call.caller, call.param(0)).await?))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let patch = patch(call.json_or_default()?)?;
    ok(&view(&call.messages().queue_set(&call.caller, call.param(0), patch).await?))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.messages().queue_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(crate) async fn purge(call: Call) -> Result<Answer, Problem> {
    ok(&view(&call.messages().queue_purge(&call.caller, call.param(0)).await?))
}

/// Properties as texts.
pub(super) fn texts(properties: BTreeMap<String, String>) -> BTreeMap<String, Property> {
    let text = |value| Property { kind: PropertyKind::String, value };
    properties.into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn outgoing(message: SendMessage) -> Result<Outgoing, Problem> {
    Ok(Outgoing {
        delay_secs: whole_secs("delay", message.delay)?,
        priority: message.priority,
        content: Content {
            body: message.body,
            properties: texts(message.properties),
            ..Content::default()
        },
    })
}

pub(crate) async fn send(call: Call) -> Result<Answer, Problem> {
    let asked: SendMessages = call.json()?;
    let digests: Vec<String> =
        asked.messages.iter().map(|message| md5_hex(message.body.as_bytes())).collect();
    let messages = asked.messages.into_iter().map(outgoing).collect::<Result<Vec<_>, _>>()?;
    let sent = call.messages().send(&call.caller, call.param(0), messages).await?;
    let results = sent.into_iter().zip(digests).map(|(sent, digest)| match sent {
        Ok(sent) => SentMessage {
            id: Some(sent.id.to_string()),
            body_md5: Some(digest),
            receipt: sent.receipt.map(|receipt| receipt.to_string()),
            ..SentMessage::default()
        },
        Err(refusal) => {
            let (error, message) = told(refusal);
            SentMessage { error, message, ..SentMessage::default() }
        }
    });
    Ok(json(http::StatusCode::CREATED, &SentMessages { results: results.collect() }))
}

fn told(refusal: Refusal) -> (Option<String>, Option<String>) {
    (Some(refusal.code.text().to_owned()), Some(refusal.message))
}

fn shown(message: &Received, is_held: bool) -> ReceivedMessage {
    let plain = |properties: &BTreeMap<String, Property>| {
        let plain = |(name, property): (&String, &Property)| (name.clone(), property.value.clone());
        properties.iter().map(plain).collect()
    };
    let content = &message.content;
    ReceivedMessage {
        id: message.id.to_string(),
        body_md5: md5_hex(content.body.as_bytes()),
        body: content.body.clone(),
        receipt: is_held.then(|| message.receipt().to_string()),
        priority: message.priority.into(),
        sent_at: Time(message.sent_at),
        received: message.life.received,
        first_received_at: Time::known(message.life.first_received_at),
        visible_at: is_held.then_some(Time(message.life.at)),
        properties: plain(&content.properties),
        system_properties: plain(&content.system),
    }
}

pub(crate) async fn receive(call: Call) -> Result<Answer, Problem> {
    let asked: ReceiveMessages = call.json_or_default()?;
    let count = usize::try_from(asked.count.unwrap_or(1)).unwrap_or(usize::MAX);
    let wait = whole_secs("wait", asked.wait)?;
    let receiving = call.messages().receive(&call.caller, call.param(0), (count, wait));
    // The server stops: nothing came.
    let received = call.stop.until(receiving).await.unwrap_or(Ok(Vec::new()))?;
    let messages = received.iter().map(|message| shown(message, true)).collect();
    ok(&ReceivedMessages { messages })
}

pub(crate) async fn peek(call: Call) -> Result<Answer, Problem> {
    let count = call.query.limit("count", 1, COUNT_MAX)?;
    let seen = call.messages().peek(&call.caller, call.param(0), count).await?;
    let messages = seen.iter().map(|message| shown(message, false)).collect();
    ok(&ReceivedMessages { messages })
}

pub(crate) async fn delete_messages(call: Call) -> Result<Answer, Problem> {
    let asked: DeleteMessages = call.json()?;
    let receipts = asked.receipts.iter().map(|receipt| receipt.parse::<Receipt>()).collect();
    let deleted = call.messages().delete(&call.caller, call.param(0), receipts).await?;
    let results = asked.receipts.into_iter().zip(deleted).map(|(receipt, deleted)| {
        let (error, message) = deleted.map_or_else(told, |()| (None, None));
        DeletedMessage { receipt, error, message }
    });
    ok(&DeletedMessages { results: results.collect() })
}

pub(crate) async fn visibility(call: Call) -> Result<Answer, Problem> {
    let asked: ChangeVisibility = call.json()?;
    let secs = whole_secs("visibility", Some(asked.visibility))?.unwrap_or_default();
    let receipt: Receipt = asked.receipt.parse().map_err(Problem::from)?;
    let changed = call.messages().change(&call.caller, call.param(0), (receipt, secs)).await?;
    ok(&ChangedVisibility { receipt: changed.0.to_string(), visible_at: Time(changed.1) })
}
