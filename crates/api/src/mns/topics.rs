//! Topics, publications and subscriptions.

use http::{Method, StatusCode};
use stint_message::{Publication, SubscriptionPatch, TopicPatch, TopicView, md5_hex};
use stint_model::code::Code;
use stint_model::message::{Content, Endpoint, Subscription, SubscriptionSettings};
use stint_wire::mns::Element;

use super::queues::properties;
use super::{Asked, Told, number, page, truth};
use crate::dispatch::count;
use crate::error::Problem;
use crate::mns::refused::Refused;
use crate::v1::topics::words;

pub(super) async fn serve(asked: &Asked, method: &Method, rest: &[&str]) -> Result<Told, Refused> {
    match (rest, method.as_str()) {
        ([], "GET") => list(asked).await,
        ([topic], "PUT") if asked.flag("metaoverride") => set(asked, topic).await,
        ([topic], "PUT") => create(asked, topic).await,
        ([topic], "GET") => get(asked, topic).await,
        ([topic], "DELETE") => delete(asked, topic).await,
        ([topic, "messages"], "POST") => publish(asked, topic).await,
        ([topic, "subscriptions"], "GET") => subscriptions(asked, topic).await,
        ([topic, "subscriptions", name], "PUT") if asked.flag("metaoverride") => {
            subscription_set(asked, (topic, name)).await
        }
        ([topic, "subscriptions", name], "PUT") => subscribe(asked, (topic, name)).await,
        ([topic, "subscriptions", name], "GET") => subscription(asked, (topic, name)).await,
        ([topic, "subscriptions", name], "DELETE") => unsubscribe(asked, (topic, name)).await,
        _ => Err(Refused::url()),
    }
}

fn patch(asked: &Asked) -> Result<TopicPatch, Refused> {
    let element = asked.element("Topic")?;
    let size_max = number(&element, "MaximumMessageSize")?;
    Ok(TopicPatch { size_max, logging: truth(&element, "LoggingEnabled")? })
}

async fn create(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("CreateTopic");
    let (_, is_new) = asked.messages().topic_create(&asked.caller, topic, patch(asked)?).await?;
    Ok(Told::made(is_new, format!("{}/topics/{topic}", asked.origin)))
}

async fn set(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("SetTopicAttributes");
    asked.messages().topic_set(&asked.caller, topic, patch(asked)?).await?;
    Ok(Told::empty(StatusCode::NO_CONTENT))
}

/// How long an undelivered notification lives at most, as upstream shows it: a day.
const RETENTION_SECS: u32 = 86_400;

fn attributes(view: &TopicView) -> Vec<(&'static str, String)> {
    let topic = &view.topic;
    let logging = if topic.settings.logging { "True" } else { "False" };
    vec![
        ("TopicName", topic.name.clone()),
        ("CreateTime", topic.created_at.seconds().to_string()),
        ("LastModifyTime", topic.modified_at.seconds().to_string()),
        ("MaximumMessageSize", topic.settings.size_max.to_string()),
        ("MessageRetentionPeriod", RETENTION_SECS.to_string()),
        ("MessageCount", view.waiting.to_string()),
        ("LoggingEnabled", logging.to_owned()),
    ]
}

async fn get(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("GetTopicAttributes");
    let view = asked.messages().topic_get(&asked.caller, topic).await?;
    let element = attributes(&view)
        .into_iter()
        .fold(Element::new("Topic"), |element, (name, value)| element.with(name, value));
    Ok(Told::document(StatusCode::OK, element))
}

async fn list(asked: &Asked) -> Result<Told, Refused> {
    count("ListTopic");
    let found = asked.messages().topic_list(&asked.caller, asked.wanted()?).await?;
    let with_meta = asked.header("x-mns-with-meta") == Some("true");
    let names = found.items.iter().map(|view| {
        let meta = if with_meta { attributes(view) } else { Vec::new() };
        (format!("topics/{}", view.topic.name), meta)
    });
    Ok(page(asked, ("Topics", "Topic"), (names.collect(), found.next)))
}

/// Deleting what is not there is no error upstream.
async fn delete(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("DeleteTopic");
    match asked.messages().topic_delete(&asked.caller, topic).await {
        Err(error) if error.code() != Code::TopicNotExist => Err(error.into()),
        Ok(()) | Err(_) => Ok(Told::empty(StatusCode::NO_CONTENT)),
    }
}

async fn publish(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("PublishMessage");
    let message = asked.element("Message")?;
    if message.get("MessageGroupId").is_some_and(|group| !group.is_empty()) {
        return Err(Problem::invalid("MessageGroupId is of FIFO topics, which are not here").into());
    }
    let body = message.get("MessageBody").ok_or(Refused::missing("MessageBody"))?.to_owned();
    let attributes = message.child("MessageAttributes").map(|list| {
        let pair = |child: &Element| (child.name.clone(), child.text.clone());
        list.children.iter().map(pair).collect()
    });
    let digest = md5_hex(body.as_bytes());
    let content = Content {
        body,
        tag: message.get("MessageTag").filter(|tag| !tag.is_empty()).map(str::to_owned),
        properties: properties(&message, ("UserProperties", "PropertyValue"))?,
        system: properties(&message, ("SystemProperties", "SystemPropertyValue"))?,
        attributes: attributes.unwrap_or_default(),
        ..Content::default()
    };
    let publication = Publication { content };
    let id = asked.messages().publish(&asked.caller, topic, publication).await?;
    let element = Element::new("Message").with("MessageId", id).with("MessageBodyMD5", digest);
    Ok(Told::document(StatusCode::CREATED, element))
}

async fn subscribe(asked: &Asked, (topic, name): (&str, &str)) -> Result<Told, Refused> {
    count("Subscribe");
    let element = asked.element("Subscription")?;
    let endpoint = element.get("Endpoint").map(str::trim).filter(|text| !text.is_empty());
    let endpoint = endpoint.ok_or(Refused::missing("Endpoint"))?;
    let endpoint = Endpoint::parse(endpoint, asked.caller.account)?;
    let said = (element.get("NotifyStrategy"), element.get("NotifyContentFormat"));
    let (strategy, format) = words(said.0.map(str::trim), said.1.map(str::trim))?;
    let filter_tag = element.get("FilterTag").filter(|tag| !tag.is_empty()).map(str::to_owned);
    let settings = SubscriptionSettings { endpoint, filter_tag, strategy, format };
    let made = asked.messages().subscribe(&asked.caller, (topic, name), settings).await?;
    let location = format!("{}/topics/{topic}/subscriptions/{name}", asked.origin);
    Ok(Told::made(made.1, location))
}

async fn subscription_set(asked: &Asked, at: (&str, &str)) -> Result<Told, Refused> {
    count("SetSubscriptionAttributes");
    let element = asked.element("Subscription")?;
    let strategy = match element.get("NotifyStrategy").map(str::trim) {
        None | Some("") => None,
        said => Some(words(said, None)?.0),
    };
    let patch = SubscriptionPatch { strategy };
    asked.messages().subscription_set(&asked.caller, at, patch).await?;
    Ok(Told::empty(StatusCode::NO_CONTENT))
}

async fn subscription(asked: &Asked, at: (&str, &str)) -> Result<Told, Refused> {
    count("GetSubscriptionAttributes");
    let known = asked.messages().subscription_get(&asked.caller, at).await?;
    Ok(Told::document(StatusCode::OK, described(asked, &known)))
}

fn described(asked: &Asked, known: &Subscription) -> Element {
    let settings = &known.settings;
    let region = &asked.door.engine.config().region;
    let element = Element::new("Subscription")
        .with("SubscriptionName", &known.name)
        .with("Subscriber", known.account)
        .with("TopicOwner", known.account)
        .with("TopicName", &known.topic)
        .with("Endpoint", settings.endpoint.text(region, known.account))
        .with("NotifyStrategy", settings.strategy.word())
        .with("NotifyContentFormat", settings.format.word())
        .with("CreateTime", known.created_at.seconds())
        .with("LastModifyTime", known.modified_at.seconds());
    match &settings.filter_tag {
        Some(tag) => element.with("FilterTag", tag),
        None => element,
    }
}

async fn subscriptions(asked: &Asked, topic: &str) -> Result<Told, Refused> {
    count("ListSubscriptionByTopic");
    let found = asked.messages().subscription_list(&asked.caller, topic, asked.wanted()?).await?;
    let names = found
        .items
        .iter()
        .map(|known| (format!("topics/{topic}/subscriptions/{}", known.name), Vec::new()));
    Ok(page(asked, ("Subscriptions", "Subscription"), (names.collect(), found.next)))
}

async fn unsubscribe(asked: &Asked, at: (&str, &str)) -> Result<Told, Refused> {
    count("Unsubscribe");
    match asked.messages().unsubscribe(&asked.caller, at).await {
        Err(error) if error.code() != Code::SubscriptionNotExist => Err(error.into()),
        Ok(()) | Err(_) => Ok(Told::empty(StatusCode::NO_CONTENT)),
    }
}
