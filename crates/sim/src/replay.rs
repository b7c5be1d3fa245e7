//! After each life of the process: the history of every execution, folded, agrees with the state in its document.
//! History and document are written in the same batches by turns of many lives; a turn that was lost, doubled or
//! torn apart shows here, whatever the execution does later.

use std::collections::BTreeMap;

use bytes::Bytes;
use stint_engine::flows::executions::{decode_document, decode_rows};
use stint_engine::flows::{HistoryRow, Moment};
use stint_flow::{CompileOptions, Plan, audit, compile};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::ExecutionUid;
use stint_model::payload::Payload;
use stint_store::HistoryChunk;
use stint_store::memory::MemoryStore;

use crate::flows;

/// The plans of the world's flows, by name.
#[derive(Debug)]
pub struct Plans(BTreeMap<&'static str, Plan>);

impl Plans {
    /// Compiles them.
    pub fn new() -> Self {
        let compiled = flows::definitions().map(|(name, text)| {
            (
                name,
                compile(&text, CompileOptions::default()).plan.expect("the world's flows compile"),
            )
        });
        Self(compiled.collect())
    }

    /// What does not agree in the book as it is now.
    pub fn check(&self, book: &MemoryStore) -> Vec<String> {
        let documents = book.documents();
        let executions = book.executions();
        executions.iter().flat_map(|kept| self.check_one(kept, &documents)).collect()
    }

    fn check_one(
        &self,
        (head, chunks): &(Execution, Vec<HistoryChunk>),
        documents: &BTreeMap<ExecutionUid, Bytes>,
    ) -> Vec<String> {
        let rows: Vec<HistoryRow> =
            chunks.iter().flat_map(|chunk| decode_rows(chunk).expect("history reads")).collect();
        let wrong = match documents.get(&head.uid) {
            Some(body) => {
                let state = decode_document(body).expect("a document reads");
                let mut wrong = audit(&self.0[&*head.flow_name], &state, &rows);
                if state.outcome().is_some() != head.status.is_terminal() {
                    wrong.push(format!("its head is {:?}, its state says otherwise", head.status));
                }
                wrong
            }
            // What ended well has no document any more: the head is what is left of the state.
            None => ended_well(head, rows.last()),
        };
        let who = format!("{} of {} ({})", head.uid, head.flow_name, head.name);
        wrong.into_iter().map(|what| format!("{who}: {what}")).collect()
    }
}

impl Default for Plans {
    fn default() -> Self {
        Self::new()
    }
}

fn ended_well(head: &Execution, last: Option<&HistoryRow>) -> Vec<String> {
    let output = match &head.output {
        Payload::Inline(bytes) => serde_json::from_slice::<serde_json::Value>(bytes).ok(),
        Payload::Blob { .. } => None,
    };
    let agrees = head.status == ExecutionStatus::Succeeded
        && last.is_some_and(|row| {
            row.moment == Moment::ExecutionSucceeded
                && row.id == head.events
                && row.detail.get("output") == output.as_ref()
        });
    if agrees {
        return Vec::new();
    }
    vec![format!("it has no document, its head is {head:?}, its last event {last:?}")]
}
