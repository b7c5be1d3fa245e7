//! Stored forms of an execution: its head (what lists and filters read), and the row beside it that holds
//! its document while it may go on. The document itself is bytes of whoever decides; so is history.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::execution::{CallRef, Execution, ExecutionStatus, MapChild, ParentCall};
use stint_model::flow::FlowMode;
use stint_model::id::{AccountId, ExecutionUid, FlowId};
use stint_model::payload::Payload;
use stint_model::time::Timestamp;

use super::json::corrupt;
use crate::store::StoreError;

#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    #[serde(borrow)]
    V1(Box<HeadV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct HeadV1<'a> {
    uid: u64,
    account: u64,
    flow: u64,
    flow_name: &'a str,
    name: &'a str,
    is_express: bool,
    revision: u64,
    version: Option<u64>,
    qualifier: &'a str,
    role: &'a str,
    environment: BTreeMap<&'a str, &'a str>,
    tags: BTreeMap<&'a str, &'a str>,
    #[serde(borrow)]
    input: Body<'a>,
    started_us: i64,
    /// Execution, entered, attempt, unit.
    parent: Option<(u64, u64, u32, Option<u64>)>,
    callback: Option<&'a str>,
    schedule: Option<&'a str>,
    depth: u32,
    /// Step and items.
    map: Option<(&'a str, u64)>,
    status: u8,
    ended_us: i64,
    #[serde(borrow)]
    output: Body<'a>,
    error: Option<&'a str>,
    cause: Option<&'a str>,
    events: u64,
    redrives: u32,
}

#[derive(Serialize, Deserialize)]
enum Body<'a> {
    Inline(#[serde(borrow)] &'a [u8]),
    Blob(&'a str, u64),
}

impl<'a> Body<'a> {
    fn of(payload: &'a Payload) -> Self {
        match payload {
            Payload::Inline(bytes) => Self::Inline(bytes),
            Payload::Blob { name, len } => Self::Blob(name, *len),
        }
    }

    fn read(self) -> Payload {
        match self {
            Self::Inline(bytes) => Payload::Inline(Bytes::copy_from_slice(bytes)),
            Self::Blob(name, len) => Payload::Blob { name: name.to_owned(), len },
        }
    }
}

fn texts(map: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn owned(map: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    map.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The stored form of a head.
pub fn encode(execution: &Execution) -> Vec<u8> {
    let parent = execution.parent.map(|parent| {
        let CallRef { entered, attempt } = parent.call;
        (parent.execution.number(), entered, attempt, parent.unit)
    });
    let form = Stored::V1(Box::new(HeadV1 {
        uid: execution.uid.number(),
        account: execution.account.number(),
        flow: execution.flow.number(),
        flow_name: &execution.flow_name,
        name: &execution.name,
        is_express: execution.mode == FlowMode::Express,
        revision: execution.revision,
        version: execution.version,
        qualifier: &execution.qualifier,
        role: &execution.role,
        environment: texts(&execution.environment),
        tags: texts(&execution.tags),
        input: Body::of(&execution.input),
        started_us: execution.started_at.micros(),
        parent,
        callback: execution.callback.as_deref(),
        schedule: execution.schedule.as_deref(),
        depth: execution.depth,
        map: execution.map.as_ref().map(|map| (map.step.as_str(), map.items)),
        status: execution.status.number(),
        ended_us: execution.ended_at.micros(),
        output: Body::of(&execution.output),
        error: execution.error.as_deref(),
        cause: execution.cause.as_deref(),
        events: execution.events,
        redrives: execution.redrives,
    }));
    postcard::to_allocvec(&form).expect("a form without failing parts, into memory")
}

/// Bytes as a head.
///
/// # Errors
/// `Corrupt` when they make none.
pub fn decode(body: &[u8]) -> Result<Execution, StoreError> {
    let form = postcard::from_bytes(body).map_err(|error| corrupt("execution", &error.to_string()));
    let Stored::V1(form) = form?;
    let status = ExecutionStatus::from_number(form.status)
        .ok_or_else(|| corrupt("execution", "an unknown status"))?;
    let parent = form.parent.map(|(execution, entered, attempt, unit)| ParentCall {
        execution: ExecutionUid::from_number(execution),
        call: CallRef { entered, attempt },
        unit,
    });
    Ok(Execution {
        uid: ExecutionUid::from_number(form.uid),
        account: AccountId::new(form.account),
        flow: FlowId::from_number(form.flow),
        flow_name: Arc::from(form.flow_name),
        name: form.name.to_owned(),
        mode: if form.is_express { FlowMode::Express } else { FlowMode::Standard },
        revision: form.revision,
        version: form.version,
        qualifier: form.qualifier.to_owned(),
        role: form.role.to_owned(),
        environment: owned(form.environment),
        tags: owned(form.tags),
        input: form.input.read(),
        started_at: Timestamp::from_micros(form.started_us),
        parent,
        callback: form.callback.map(str::to_owned),
        schedule: form.schedule.map(str::to_owned),
        depth: form.depth,
        map: form.map.map(|(step, items)| MapChild { step: step.to_owned(), items }),
        status,
        ended_at: Timestamp::from_micros(form.ended_us),
        output: form.output.read(),
        error: form.error.map(str::to_owned),
        cause: form.cause.map(str::to_owned),
        events: form.events,
        redrives: form.redrives,
    })
}

/// The blobs an execution names.
pub fn blobs(execution: &Execution) -> Vec<String> {
    let name = |payload: &Payload| match payload {
        Payload::Inline(_) => None,
        Payload::Blob { name, .. } => Some(name.clone()),
    };
    [&execution.input, &execution.output].into_iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::executions::full;

    /// Bytes written by version 1: a later version must read them for ever.
    #[test]
    fn the_example_of_version_1_still_reads() {
        let execution = full();
        assert_eq!(decode(&encode(&execution)).expect("reads back"), execution);
        let kept = include_str!("golden/execution_v1.hex").trim();
        assert_eq!(hex::encode(encode(&execution)), kept, "the form changed: add a version");
        let kept = hex::decode(kept).expect("hexadecimal");
        assert_eq!(decode(&kept).expect("reads"), execution);
    }

    #[test]
    fn damage_is_told() {
        let mut bytes = encode(&full());
        bytes.truncate(9);
        assert!(matches!(decode(&bytes), Err(StoreError::Corrupt { .. })));
        assert!(decode(&[7]).is_err());
    }
}
