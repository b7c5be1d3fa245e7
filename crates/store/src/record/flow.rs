//! The stored forms of flows: the flow, its definitions, versions, aliases and schedules; activities;
//! and map runs, whose content is bytes of whoever decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::flow::{
    Activity, Flow, FlowAlias, FlowMode, FlowRoute, FlowSchedule, FlowVersion, Misfire,
};
use stint_model::id::{AccountId, ExecutionUid, FlowId};

use super::json::{at, corrupt, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a flow's record lies.
pub fn key(account: AccountId, flow: &str) -> Key {
    Key::new(Kind::Flow, format!("{account}/{flow}"))
}

/// Where a definition's record lies.
pub fn definition_key(flow: FlowId, revision: u64) -> Key {
    Key::new(Kind::FlowDefinition, format!("{flow}/{revision:012}"))
}

/// Where a version's record lies.
pub fn version_key(account: AccountId, flow: &str, number: u64) -> Key {
    Key::new(Kind::FlowVersion, format!("{account}/{flow}/{number:012}"))
}

/// Where an alias's record lies.
pub fn alias_key(account: AccountId, flow: &str, alias: &str) -> Key {
    Key::new(Kind::FlowAlias, format!("{account}/{flow}/{alias}"))
}

/// Where a schedule's record lies.
pub fn schedule_key(account: AccountId, flow: &str, schedule: &str) -> Key {
    Key::new(Kind::FlowSchedule, format!("{account}/{flow}/{schedule}"))
}

/// Where an activity's record lies.
pub fn activity_key(account: AccountId, activity: &str) -> Key {
    Key::new(Kind::Activity, format!("{account}/{activity}"))
}

/// Where a map run's record lies; the call sorts by its event.
pub fn map_run_key(execution: ExecutionUid, entered: u64, attempt: u32) -> Key {
    Key::new(Kind::MapRun, format!("{execution}/{entered:012}.{attempt}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredFlow {
    #[serde(rename = "1")]
    V1(FlowForm),
}

#[derive(Serialize, Deserialize)]
struct FlowForm {
    id: u64,
    account: u64,
    name: String,
    mode: String,
    revision: u64,
    description: String,
    role: String,
    external_storage: String,
    environment: BTreeMap<String, String>,
    resource_group: String,
    tags: BTreeMap<String, String>,
    version_newest: u64,
    created_us: i64,
    modified_us: i64,
}

/// A flow as bytes.
pub fn encode(flow: &Flow) -> Bytes {
    write(&StoredFlow::V1(FlowForm {
        id: flow.id.number(),
        account: flow.account.number(),
        name: flow.name.to_string(),
        mode: flow.mode.word().to_owned(),
        revision: flow.revision,
        description: flow.description.clone(),
        role: flow.role.clone(),
        external_storage: flow.external_storage.clone(),
        environment: flow.environment.clone(),
        resource_group: flow.resource_group.clone(),
        tags: flow.tags.clone(),
        version_newest: flow.version_newest,
        created_us: flow.created_at.micros(),
        modified_us: flow.modified_at.micros(),
    }))
}

/// Bytes as a flow.
///
/// # Errors
/// `Corrupt`, as of all that follow.
pub fn decode(body: &[u8]) -> Result<Arc<Flow>, StoreError> {
    let StoredFlow::V1(form) = read("flow", body)?;
    let mode = FlowMode::from_word(&form.mode).ok_or_else(|| corrupt("flow", "an unknown mode"))?;
    Ok(Arc::new(Flow {
        id: FlowId::from_number(form.id),
        account: AccountId::new(form.account),
        name: form.name.into(),
        mode,
        revision: form.revision,
        description: form.description,
        role: form.role,
        external_storage: form.external_storage,
        environment: form.environment,
        resource_group: form.resource_group,
        tags: form.tags,
        version_newest: form.version_newest,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredDefinition {
    #[serde(rename = "1")]
    V1 { text: String, is_express: bool },
}

/// A definition as bytes; it is read in its mode.
pub fn encode_definition(text: &str, mode: FlowMode) -> Bytes {
    write(&StoredDefinition::V1 { text: text.to_owned(), is_express: mode == FlowMode::Express })
}

/// Bytes as a definition and its mode.
///
/// # Errors
/// `Corrupt`.
pub fn decode_definition(body: &[u8]) -> Result<(Arc<str>, FlowMode), StoreError> {
    let StoredDefinition::V1 { text, is_express } = read("definition", body)?;
    Ok((text.into(), if is_express { FlowMode::Express } else { FlowMode::Standard }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredVersion {
    #[serde(rename = "1")]
    V1 { number: u64, revision: u64, description: String, created_us: i64 },
}

/// A version as bytes.
pub fn encode_version(version: &FlowVersion) -> Bytes {
    write(&StoredVersion::V1 {
        number: version.number,
        revision: version.revision,
        description: version.description.clone(),
        created_us: version.created_at.micros(),
    })
}

/// Bytes as a version.
///
/// # Errors
/// `Corrupt`.
pub fn decode_version(body: &[u8]) -> Result<Arc<FlowVersion>, StoreError> {
    let StoredVersion::V1 { number, revision, description, created_us } = read("version", body)?;
    Ok(Arc::new(FlowVersion { number, revision, description, created_at: at(created_us) }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredAlias {
    #[serde(rename = "1")]
    V1 {
        name: String,
        description: String,
        /// Version and percent.
        routes: Vec<(u64, u32)>,
        created_us: i64,
        modified_us: i64,
    },
}

/// An alias as bytes.
pub fn encode_alias(alias: &FlowAlias) -> Bytes {
    write(&StoredAlias::V1 {
        name: alias.name.clone(),
        description: alias.description.clone(),
        routes: alias.routes.iter().map(|route| (route.version, route.weight)).collect(),
        created_us: alias.created_at.micros(),
        modified_us: alias.modified_at.micros(),
    })
}

/// Bytes as an alias.
///
/// # Errors
/// `Corrupt`.
pub fn decode_alias(body: &[u8]) -> Result<Arc<FlowAlias>, StoreError> {
    let StoredAlias::V1 { name, description, routes, created_us, modified_us } =
        read("alias", body)?;
    let routes = routes.into_iter().map(|(version, weight)| FlowRoute { version, weight });
    let (created_at, modified_at) = (at(created_us), at(modified_us));
    Ok(Arc::new(FlowAlias { name, description, routes: routes.collect(), created_at, modified_at }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredSchedule {
    #[serde(rename = "1")]
    V1(ScheduleForm),
}

#[derive(Serialize, Deserialize)]
struct ScheduleForm {
    name: String,
    id: String,
    expression: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    payload: Option<String>,
    is_enabled: bool,
    description: String,
    misfire: String,
    may_overlap: bool,
    created_us: i64,
    modified_us: i64,
}

/// A schedule as bytes.
pub fn encode_schedule(schedule: &FlowSchedule) -> Bytes {
    write(&StoredSchedule::V1(ScheduleForm {
        name: schedule.name.clone(),
        id: schedule.id.clone(),
        expression: schedule.expression.clone(),
        payload: schedule.payload.clone(),
        is_enabled: schedule.is_enabled,
        description: schedule.description.clone(),
        misfire: schedule.misfire.word().to_owned(),
        may_overlap: schedule.may_overlap,
        created_us: schedule.created_at.micros(),
        modified_us: schedule.modified_at.micros(),
    }))
}

/// Bytes as a schedule.
///
/// # Errors
/// `Corrupt`.
pub fn decode_schedule(body: &[u8]) -> Result<Arc<FlowSchedule>, StoreError> {
    let StoredSchedule::V1(form) = read("schedule", body)?;
    let misfire = Misfire::from_word(&form.misfire);
    Ok(Arc::new(FlowSchedule {
        name: form.name,
        id: form.id,
        expression: form.expression,
        payload: form.payload,
        is_enabled: form.is_enabled,
        description: form.description,
        misfire: misfire.ok_or_else(|| corrupt("schedule", "an unknown misfire policy"))?,
        may_overlap: form.may_overlap,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredActivity {
    #[serde(rename = "1")]
    V1 { account: u64, name: String, created_us: i64 },
}

/// An activity as bytes.
pub fn encode_activity(activity: &Activity) -> Bytes {
    write(&StoredActivity::V1 {
        account: activity.account.number(),
        name: activity.name.clone(),
        created_us: activity.created_at.micros(),
    })
}

/// Bytes as an activity.
///
/// # Errors
/// `Corrupt`.
pub fn decode_activity(body: &[u8]) -> Result<Arc<Activity>, StoreError> {
    let StoredActivity::V1 { account, name, created_us } = read("activity", body)?;
    let account = AccountId::new(account);
    Ok(Arc::new(Activity { account, name, created_at: at(created_us) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_read_back_and_an_old_example_too() {
        let flow = Flow {
            id: FlowId::from_number(9),
            account: AccountId::new(5),
            name: "f".into(),
            mode: FlowMode::Express,
            revision: 3,
            description: "d".into(),
            role: "r".into(),
            external_storage: "s".into(),
            environment: [("A".into(), "b".into())].into(),
            resource_group: "g".into(),
            tags: [("t".into(), "u".into())].into(),
            version_newest: 2,
            created_at: at(1),
            modified_at: at(2),
        };
        let kept = br#"{"form":"1","id":9,"account":5,"name":"f","mode":"Express","revision":3,"description":"d","role":"r","external_storage":"s","environment":{"A":"b"},"resource_group":"g","tags":{"t":"u"},"version_newest":2,"created_us":1,"modified_us":2}"#;
        assert_eq!(*decode(kept).unwrap(), flow);
        assert_eq!(&encode(&flow)[..], &kept[..]);
    }

    #[test]
    fn what_belongs_to_a_flow_is_read_back_and_old_examples_too() {
        let kept = br#"{"form":"1","text":"StartAt: a","is_express":true}"#;
        let (text, mode) = decode_definition(kept).unwrap();
        assert_eq!((&*text, mode), ("StartAt: a", FlowMode::Express));
        assert_eq!(&encode_definition(&text, mode)[..], &kept[..]);
        let kept = br#"{"form":"1","number":2,"revision":3,"description":"d","created_us":4}"#;
        assert_eq!(&encode_version(&decode_version(kept).unwrap())[..], &kept[..]);
        let kept = br#"{"form":"1","name":"a","description":"d","routes":[[1,90],[2,10]],"created_us":4,"modified_us":5}"#;
        assert_eq!(&encode_alias(&decode_alias(kept).unwrap())[..], &kept[..]);
        let kept = br#"{"form":"1","name":"s","id":"i","expression":"@every 1m","payload":"{}","is_enabled":true,"description":"d","misfire":"once","may_overlap":false,"created_us":4,"modified_us":5}"#;
        assert_eq!(&encode_schedule(&decode_schedule(kept).unwrap())[..], &kept[..]);
        let kept = br#"{"form":"1","account":5,"name":"a","created_us":4}"#;
        assert_eq!(&encode_activity(&decode_activity(kept).unwrap())[..], &kept[..]);
    }
}
