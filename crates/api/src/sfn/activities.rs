//! Activities: work that outside pollers take.

use serde_json::{Value, json};
use stint_engine::flows::ActivityView;
use stint_model::time::Span;

use super::asked::{Asked, object, seconds};
use super::machines::check_name;
use super::refused::Refused;

/// How long a poll is held, as upstream.
const POLL: Span = Span::from_secs(60);

fn shown(asked: &Asked, view: &ActivityView) -> Value {
    json!({
        "activityArn": asked.arns().activity(&view.activity.name),
        "name": view.activity.name,
        "creationDate": seconds(view.activity.created_at),
    })
}

pub(super) async fn create(asked: Asked) -> Result<Value, Refused> {
    let name = asked.need("name")?;
    check_name(name)?;
    if asked.list("tags")?.is_some_and(|tags| !tags.is_empty()) {
        return Err(Refused::invalid("activities have no tags in this version of Stint"));
    }
    let made = asked.engine().activity_create(&asked.caller, name).await?;
    let mut view = shown(&asked, &made);
    view["name"] = Value::Null;
    Ok(object(view))
}

pub(super) async fn describe(asked: Asked) -> Result<Value, Refused> {
    let name = asked.arns().read_activity(asked.need("activityArn")?)?;
    let found = asked.engine().activity_get(&asked.caller, &name).await?;
    Ok(shown(&asked, &found))
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let page = asked.engine().activity_list(&asked.caller, &asked.listing()?).await?;
    let activities: Vec<Value> = page.items.iter().map(|view| shown(&asked, view)).collect();
    Ok(object(json!({"activities": activities, "nextToken": page.next})))
}

/// What is not there is deleted already, as upstream.
pub(super) async fn delete(asked: Asked) -> Result<Value, Refused> {
    let name = asked.arns().read_activity(asked.need("activityArn")?)?;
    match asked.engine().activity_delete(&asked.caller, &name).await.map_err(Refused::from) {
        Err(refused) if refused.kind != "ActivityDoesNotExist" => Err(refused),
        Ok(()) | Err(_) => Ok(json!({})),
    }
}

/// Held until there is work; an answer without a token says that there was none.
pub(super) async fn take(asked: Asked) -> Result<Value, Refused> {
    let name = asked.arns().read_activity(asked.need("activityArn")?)?;
    let poller = asked.bounded("workerName", 80)?;
    let span = POLL.min(asked.door.config.wait_max);
    let engine = asked.engine();
    let taking = engine.activity_take(&asked.caller, &name, poller, span);
    Ok(match asked.stop.until(taking).await {
        Some(taken) => match taken? {
            Some(task) => json!({"taskToken": task.token, "input": task.input}),
            None => json!({}),
        },
        // The server stops; the poller asks another, or this one again.
        None => json!({}),
    })
}
