//! Queues and their messages.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use stint_message::{Outgoing, QueuePatch, QueueView, Received, md5_hex};
use stint_model::code::{Code, Refusal};
use stint_model::message::{Content, DeadLetter, Property, PropertyKind, Receipt};
use stint_wire::mns::Element;

use super::{Asked, Told, number, page, truth};
use crate::dispatch::count;
use crate::error::Problem;
use crate::mns::refused::Refused;

pub(super) async fn serve(asked: &Asked, method: &Method, rest: &[&str]) -> Result<Told, Refused> {
    match (rest, method.as_str()) {
        ([], "GET") => list(asked).await,
        ([queue], "PUT") if asked.flag("metaoverride") => set(asked, queue).await,
        ([queue], "PUT") => create(asked, queue).await,
        ([queue], "GET") => get(asked, queue).await,
        ([queue], "DELETE") => delete(asked, queue).await,
        ([queue, "messages"], "POST") => send(asked, queue).await,
        ([queue, "messages"], "GET") if asked.flag("peekonly") => peek(asked, queue).await,
        ([queue, "messages"], "GET") => receive(asked, queue).await,
        ([queue, "messages"], "DELETE") => delete_messages(asked, queue).await,
        ([queue, "messages"], "PUT") => change(asked, queue).await,
        _ => Err(Refused::url()),
    }
}

fn patch(asked: &Asked) -> Result<QueuePatch, Refused> {
    let element = asked.element("Queue")?;
    let dead_letter = match element.child("DlqPolicy") {
        None => None,
        Some(policy) if truth(policy, "Enabled")? == Some(false) => Some(None),
        Some(policy) => Some(Some(DeadLetter {
            queue: policy.get("DeadLetterTargetQueue").unwrap_or("").trim().to_owned(),
            receives_max: number(policy, "MaxReceiveCount")?
                .ok_or(Refused::missing("MaxReceiveCount"))?,
        })),
    };
    Ok(QueuePatch {
        delay_secs: number(&element, "DelaySeconds")?,
        size_max: number(&element, "MaximumMessageSize")?,
        retention_secs: number(&element, "MessageRetentionPeriod")?,
        visibility_secs: number(&element, "VisibilityTimeout")?,
        wait_secs: number(&element, "PollingWaitSeconds")?,
        logging: truth(&element, "LoggingEnabled")?,
        dead_letter,
    })
}

async fn create(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    count("CreateQueue");
    let (_, is_new) = asked.messages().queue_create(&asked.caller, queue, patch(asked)?).await?;
    Ok(Told::made(is_new, format!("{}/queues/{queue}", asked.origin)))
}

async fn set(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    count("SetQueueAttributes");
    asked.messages().queue_set(&asked.caller, queue, patch(asked)?).await?;
    Ok(Told::empty(StatusCode::NO_CONTENT))
}

/// Attributes in upstream's order. Dead letters are not among them: the official SDKs read no element
/// that holds others; `/v1/queues/QUEUE` shows them.
fn attributes(view: &QueueView) -> Vec<(&'static str, String)> {
    let (queue, settings) = (&view.queue, &view.queue.settings);
    vec![
        ("QueueName", queue.name.clone()),
        ("CreateTime", queue.created_at.seconds().to_string()),
        ("LastModifyTime", queue.modified_at.seconds().to_string()),
        ("DelaySeconds", settings.delay_secs.to_string()),
        ("MaximumMessageSize", settings.size_max.to_string()),
        ("MessageRetentionPeriod", settings.retention_secs.to_string()),
        ("VisibilityTimeout", settings.visibility_secs.to_string()),
        ("PollingWaitSeconds", settings.wait_secs.to_string()),
        ("ActiveMessages", view.active.to_string()),
        ("InactiveMessages", view.inactive.to_string()),
        ("DelayMessages", view.delayed.to_string()),
        ("LoggingEnabled", if settings.logging { "True" } else { "False" }.to_owned()),
    ]
}

async fn get(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    count("GetQueueAttributes");
    let view = asked.messages().queue_get(&asked.caller, queue).await?;
    let element = attributes(&view)
        .into_iter()
        .fold(Element::new("Queue"), |element, (name, value)| element.with(name, value));
    Ok(Told::document(StatusCode::OK, element))
}

async fn list(asked: &Asked) -> Result<Told, Refused> {
    count("ListQueue");
    let found = asked.messages().queue_list(&asked.caller, asked.wanted()?).await?;
    let with_meta = asked.header("x-mns-with-meta") == Some("true");
    let names = found.items.iter().map(|view| {
        let meta = if with_meta { attributes(view) } else { Vec::new() };
        (format!("queues/{}", view.queue.name), meta)
    });
    Ok(page(asked, ("Queues", "Queue"), (names.collect(), found.next)))
}

/// Deleting what is not there is no error upstream.
async fn delete(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    count("DeleteQueue");
    match asked.messages().queue_delete(&asked.caller, queue).await {
        Err(error) if error.code() != Code::QueueNotExist => Err(error.into()),
        Ok(()) | Err(_) => Ok(Told::empty(StatusCode::NO_CONTENT)),
    }
}

/// Properties of a message.
pub(super) fn properties(
    message: &Element,
    (list, item): (&str, &str),
) -> Result<BTreeMap<String, Property>, Refused> {
    let Some(list) = message.child(list) else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for element in list.children.iter().filter(|element| element.name == item) {
        let name = element.get("Name").ok_or(Refused::missing("Name"))?.to_owned();
        let kind = PropertyKind::from_word(element.get("Type").unwrap_or("STRING").trim())
            .ok_or_else(|| Problem::invalid("a property is NUMBER, STRING, BOOLEAN or BINARY"))?;
        let value = element.get("Value").unwrap_or("").to_owned();
        found.insert(name, Property { kind, value });
    }
    Ok(found)
}

fn outgoing(message: &Element) -> Result<Outgoing, Refused> {
    if message.get("MessageGroupId").is_some_and(|group| !group.is_empty()) {
        return Err(Problem::invalid("MessageGroupId is of FIFO queues, which are not here").into());
    }
    let body = message.get("MessageBody").ok_or(Refused::missing("MessageBody"))?;
    let content = Content {
        body: body.to_owned(),
        properties: properties(message, ("UserProperties", "PropertyValue"))?,
        system: properties(message, ("SystemProperties", "SystemPropertyValue"))?,
        ..Content::default()
    };
    let (delay_secs, priority) = (number(message, "DelaySeconds")?, number(message, "Priority")?);
    Ok(Outgoing { content, delay_secs, priority })
}

async fn send(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    let document = asked.document()?;
    let is_batch = document.name == "Messages";
    count(if is_batch { "BatchSendMessage" } else { "SendMessage" });
    let elements: Vec<&Element> = match document.name.as_str() {
        "Messages" => document.children.iter().filter(|child| child.name == "Message").collect(),
        "Message" => vec![&document],
        other => return Err(Refused::schema(other)),
    };
    let messages = elements.iter().map(|one| outgoing(one)).collect::<Result<Vec<_>, _>>()?;
    let digests: Vec<String> =
        messages.iter().map(|message| md5_hex(message.content.body.as_bytes())).collect();
    let mut results = asked.messages().send(&asked.caller, queue, messages).await?;
    let described = |result: Result<stint_message::SentInfo, Refusal>, digest: &String| {
        let sent = result?;
        let element =
            Element::new("Message").with("MessageId", sent.id).with("MessageBodyMD5", digest);
        Ok::<_, Refusal>(match sent.receipt.filter(|_| !is_batch) {
            Some(receipt) => element.with("ReceiptHandle", receipt),
            None => element,
        })
    };
    if !is_batch {
        let only = results.pop().ok_or_else(Refused::url)?;
        return Ok(Told::document(StatusCode::CREATED, described(only, &digests[0])?));
    }
    let (mut list, mut failed) = (Element::new("Messages"), false);
    for (result, digest) in results.into_iter().zip(&digests) {
        list = list.holding(described(result, digest).unwrap_or_else(|refusal| {
            failed = true;
            let (code, message) = Refused::entry(refusal);
            Element::new("Message").with("ErrorCode", code).with("ErrorMessage", message)
        }));
    }
    if failed {
        return Err(Refused::batch(StatusCode::INTERNAL_SERVER_ERROR, list));
    }
    Ok(Told::document(StatusCode::CREATED, list))
}

fn listed(list: &str, item: &str, properties: &BTreeMap<String, Property>) -> Option<Element> {
    let element = |(name, property): (&String, &Property)| {
        Element::new(item)
            .with("Name", name)
            .with("Value", &property.value)
            .with("Type", property.kind.word())
    };
    let children: Vec<Element> = properties.iter().map(element).collect();
    (!children.is_empty()).then(|| Element { children, ..Element::new(list) })
}

/// A message as it is received, or looked at.
fn described(message: &Received, is_held: bool) -> Element {
    let (life, content) = (&message.life, &message.content);
    let mut element = Element::new("Message")
        .with("MessageId", message.id)
        .with("MessageBodyMD5", md5_hex(content.body.as_bytes()))
        .with("MessageBody", &content.body);
    if is_held {
        element = element
            .with("ReceiptHandle", message.receipt())
            .with("NextVisibleTime", life.at.millis());
    }
    element = element
        .with("EnqueueTime", message.sent_at.millis())
        .with("FirstDequeueTime", life.first_received_at.millis())
        .with("DequeueCount", life.received)
        .with("Priority", message.priority);
    let user = listed("UserProperties", "PropertyValue", &content.properties);
    let system = listed("SystemProperties", "SystemPropertyValue", &content.system);
    for list in [user, system].into_iter().flatten() {
        element = element.holding(list);
    }
    element
}

/// Messages as one document, or upstream's word for none.
fn all(messages: &[Received], is_held: bool, is_batch: bool) -> Result<Told, Refused> {
    let mut described = messages.iter().map(|message| described(message, is_held));
    if messages.is_empty() {
        return Err(Refusal::new(Code::MessageNotExist, "Message not exist.").into());
    }
    let element = if is_batch {
        Element { children: described.collect(), ..Element::new("Messages") }
    } else {
        described.next().ok_or_else(Refused::url)?
    };
    Ok(Told::document(StatusCode::OK, element))
}

/// How many messages are asked for, and whether that was said.
fn asked_for(asked: &Asked) -> Result<(usize, bool), Refused> {
    let said = asked.query.read::<usize>("numOfMessages")?;
    Ok((said.unwrap_or(1), said.is_some()))
}

async fn receive(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    let (most, is_batch) = asked_for(asked)?;
    count(if is_batch { "BatchReceiveMessage" } else { "ReceiveMessage" });
    let wait = asked.query.read::<u32>("waitseconds")?;
    let receiving = asked.messages().receive(&asked.caller, queue, (most, wait));
    // The server stops: nothing came.
    let received = asked.stop.until(receiving).await.unwrap_or(Ok(Vec::new()))?;
    all(&received, true, is_batch)
}

async fn peek(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    let (most, is_batch) = asked_for(asked)?;
    count(if is_batch { "BatchPeekMessage" } else { "PeekMessage" });
    let seen = asked.messages().peek(&asked.caller, queue, most).await?;
    all(&seen, false, is_batch)
}

fn receipt(asked: &Asked) -> Result<Receipt, Refused> {
    let text = asked.query.get("ReceiptHandle").ok_or(Refused::missing("ReceiptHandle"))?;
    Ok(text.parse::<Receipt>()?)
}

async fn delete_messages(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    if asked.body.trim_ascii().is_empty() {
        count("DeleteMessage");
        let receipts = vec![Ok(receipt(asked)?)];
        let mut deleted = asked.messages().delete(&asked.caller, queue, receipts).await?;
        deleted.pop().unwrap_or(Ok(()))?;
        return Ok(Told::empty(StatusCode::NO_CONTENT));
    }
    count("BatchDeleteMessage");
    let document = asked.element("ReceiptHandles")?;
    let handles: Vec<&str> = document
        .children
        .iter()
        .filter(|child| child.name == "ReceiptHandle")
        .map(|child| child.text.trim())
        .collect();
    let receipts = handles.iter().map(|handle| handle.parse::<Receipt>()).collect();
    let deleted = asked.messages().delete(&asked.caller, queue, receipts).await?;
    let mut errors = Element::new("Errors");
    for (handle, deleted) in handles.iter().zip(deleted) {
        let Err(refusal) = deleted else { continue };
        let (code, message) = Refused::entry(refusal);
        errors = errors.holding(
            Element::new("Error")
                .with("ErrorCode", code)
                .with("ErrorMessage", message)
                .with("ReceiptHandle", handle),
        );
    }
    if errors.children.is_empty() {
        return Ok(Told::empty(StatusCode::NO_CONTENT));
    }
    Err(Refused::batch(StatusCode::NOT_FOUND, errors))
}

async fn change(asked: &Asked, queue: &str) -> Result<Told, Refused> {
    count("ChangeMessageVisibility");
    let receipt = receipt(asked)?;
    let secs = asked.query.read::<u32>("VisibilityTimeout")?;
    let secs = secs.ok_or(Refused::missing("VisibilityTimeout"))?;
    let (receipt, at) = asked.messages().change(&asked.caller, queue, (receipt, secs)).await?;
    let changed = Element::new("ChangeVisibility")
        .with("ReceiptHandle", receipt)
        .with("NextVisibleTime", at.millis());
    Ok(Told::document(StatusCode::OK, changed))
}
