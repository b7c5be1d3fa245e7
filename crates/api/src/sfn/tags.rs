//! Labels of flows.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stint_engine::flows::FlowPatch;
use stint_model::code::Code;

use super::asked::Asked;
use super::refused::Refused;

/// `[{"key", "value"}]`.
pub(super) fn read(asked: &Asked) -> Result<BTreeMap<String, String>, Refused> {
    let mut tags = BTreeMap::new();
    for tag in asked.list("tags")?.unwrap_or_default() {
        let part = |name: &str| tag.get(name).and_then(Value::as_str);
        let key = part("key").ok_or_else(|| Refused::invalid("a tag has a key and a value"))?;
        tags.insert(key.to_owned(), part("value").unwrap_or_default().to_owned());
    }
    Ok(tags)
}

/// The flow that `resourceArn` names; activities have no tags here.
fn flow(asked: &Asked) -> Result<String, Refused> {
    let arn = asked.need("resourceArn")?;
    if asked.arns().read_activity(arn).is_ok() {
        return Err(Refused::invalid("activities have no tags in this version of Stint"));
    }
    Ok(asked.arns().read_machine(arn)?.flow)
}

fn not_found(error: stint_engine::EngineError) -> Refused {
    Refused::from(error)
        .named(Code::FlowNotExists, "ResourceNotFound")
        .named(Code::LimitExceededError, "TooManyTags")
}

async fn change(
    asked: &Asked,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<Value, Refused> {
    let flow = flow(asked)?;
    let found = asked.engine().flow_get(&asked.caller, &flow, None).await.map_err(not_found)?;
    let mut tags = found.flow.tags.clone();
    change(&mut tags);
    let patch = FlowPatch { tags: Some(tags), ..FlowPatch::default() };
    asked.engine().flow_update(&asked.caller, &flow, &patch).await.map_err(not_found)?;
    Ok(json!({}))
}

pub(super) async fn put(asked: Asked) -> Result<Value, Refused> {
    let more = read(&asked)?;
    change(&asked, |tags| tags.extend(more)).await
}

pub(super) async fn remove(asked: Asked) -> Result<Value, Refused> {
    let keys = asked.list("tagKeys")?.unwrap_or_default();
    let is_gone = |key: &str| keys.iter().any(|gone| gone.as_str() == Some(key));
    change(&asked, |tags| tags.retain(|key, _| !is_gone(key))).await
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let flow = flow(&asked)?;
    let found = asked.engine().flow_get(&asked.caller, &flow, None).await.map_err(not_found)?;
    let tag = |(key, value): (&String, &String)| json!({"key": key, "value": value});
    let tags: Vec<Value> = found.flow.tags.iter().map(tag).collect();
    Ok(json!({ "tags": tags }))
}
