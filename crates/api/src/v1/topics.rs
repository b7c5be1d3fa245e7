//! Topics and subscriptions over plain JSON.

use stint_message::{Publication, TopicPatch, TopicView, md5_hex};
use stint_model::message::{
    Content, ContentFormat, Endpoint, NotifyStrategy, Subscription as Known, SubscriptionSettings,
};
use stint_wire::native::{
    Page, PublishMessage, PublishedMessage, Subscription, SubscriptionPut, Topic,
    TopicPatch as WirePatch,
};
use stint_wire::time::Time;

use super::queues::{texts, wanted};
use crate::answer::{Answer, json, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(view: &TopicView) -> Topic {
    Topic {
        name: view.topic.name.clone(),
        message_bytes_max: view.topic.settings.size_max,
        logging: view.topic.settings.logging,
        subscriptions: view.subscriptions as u64,
        waiting: view.waiting as u64,
        created_at: Time(view.topic.created_at),
        modified_at: Time(view.topic.modified_at),
    }
}

fn patch(call: &Call) -> Result<TopicPatch, Problem> {
    let said: WirePatch = call.json_or_default()?;
    Ok(TopicPatch { size_max: said.message_bytes_max, logging: said.logging })
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let page = call.messages().topic_list(&call.caller, wanted(&call)?).await?;
    ok(&Page { items: page.items.iter().map(view).collect(), next: page.next })
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let patch = patch(&call)?;
    let (made, _) = call.messages().topic_create(&call.caller, call.param(0), patch).await?;
    ok(&view(&made))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    ok(&view(&call.messages().topic_get(&call.caller, call.param(0)).await?))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let patch = patch(&call)?;
    ok(&view(&call.messages().topic_set(&call.caller, call.param(0), patch).await?))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.messages().topic_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(crate) async fn publish(call: Call) -> Result<Answer, Problem> {
    let asked: PublishMessage = call.json()?;
    let body_md5 = md5_hex(asked.body.as_bytes());
    let content = Content {
        body: asked.body,
        tag: asked.tag,
        attributes: asked.attributes,
        properties: texts(asked.properties),
        ..Content::default()
    };
    let publication = Publication { content };
    let id = call.messages().publish(&call.caller, call.param(0), publication).await?;
    let published = PublishedMessage { id: id.to_string(), body_md5 };
    Ok(json(http::StatusCode::CREATED, &published))
}

fn shown(call: &Call, known: &Known) -> Subscription {
    let settings = &known.settings;
    Subscription {
        name: known.name.clone(),
        topic: known.topic.clone(),
        endpoint: settings.endpoint.text(&call.engine().config().region, known.account),
        filter_tag: settings.filter_tag.clone(),
        strategy: settings.strategy.word().to_owned(),
        format: settings.format.word().to_owned(),
        created_at: Time(known.created_at),
        modified_at: Time(known.modified_at),
    }
}

/// A strategy and a format by their words.
pub(crate) fn words(
    strategy: Option<&str>,
    format: Option<&str>,
) -> Result<(NotifyStrategy, ContentFormat), Problem> {
    let strategy = match strategy.filter(|word| !word.is_empty()) {
        None => NotifyStrategy::default(),
        Some(word) => NotifyStrategy::from_word(word).ok_or_else(|| {
            Problem::invalid("NotifyStrategy is BACKOFF_RETRY or EXPONENTIAL_DECAY_RETRY")
        })?,
    };
    let format = match format.filter(|word| !word.is_empty()) {
        None => ContentFormat::default(),
        Some(word) => ContentFormat::from_word(word)
            .ok_or_else(|| Problem::invalid("NotifyContentFormat is XML, JSON or SIMPLIFIED"))?,
    };
    Ok((strategy, format))
}

pub(crate) async fn subscribe(call: Call) -> Result<Answer, Problem> {
    let asked: SubscriptionPut = call.json()?;
    let endpoint = Endpoint::parse(&asked.endpoint, call.caller.account)?;
    let (strategy, format) = words(asked.strategy.as_deref(), asked.format.as_deref())?;
    let filter_tag = asked.filter_tag.filter(|tag| !tag.is_empty());
    let settings = SubscriptionSettings { endpoint, filter_tag, strategy, format };
    let at = (call.param(0), call.param(1));
    let (made, _) = call.messages().subscribe(&call.caller, at, settings).await?;
    ok(&shown(&call, &made))
}

pub(crate) async fn subscriptions(call: Call) -> Result<Answer, Problem> {
    let wanted = wanted(&call)?;
    let page = call.messages().subscription_list(&call.caller, call.param(0), wanted).await?;
    let items = page.items.iter().map(|known| shown(&call, known)).collect();
    ok(&Page { items, next: page.next })
}

pub(crate) async fn subscription(call: Call) -> Result<Answer, Problem> {
    let at = (call.param(0), call.param(1));
    let known = call.messages().subscription_get(&call.caller, at).await?;
    ok(&shown(&call, &known))
}

pub(crate) async fn unsubscribe(call: Call) -> Result<Answer, Problem> {
    let at = (call.param(0), call.param(1));
    call.messages().unsubscribe(&call.caller, at).await?;
    no_content()
}
