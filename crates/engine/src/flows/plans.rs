//! Definitions, compiled: a bounded cache that every shard and every verb shares. A definition never
//! changes under its number, so that nothing in here grows old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stint_flow::{CompileOptions, ExecutionMode, Plan};
use stint_model::flow::FlowMode;
use stint_model::id::FlowId;
use stint_store::record::flow as stored;
use stint_store::{Store, StoreError};

/// How many stay compiled.
const PLANS_MAX: usize = 2_048;

/// A definition and its plan.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) text: Arc<str>,
    pub(crate) plan: Plan,
}

/// See the module comment.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    kept: Mutex<HashMap<(FlowId, u64), Arc<Definition>>>,
}

/// The mode as `flow` calls it.
pub(crate) const fn mode_of(mode: FlowMode) -> ExecutionMode {
    match mode {
        FlowMode::Standard => ExecutionMode::Standard,
        FlowMode::Express => ExecutionMode::Express,
    }
}

impl Plans {
    /// What is at hand.
    pub(crate) fn get(&self, flow: FlowId, revision: u64) -> Option<Arc<Definition>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(flow, revision)).cloned()
    }

    pub(crate) fn keep(&self, flow: FlowId, revision: u64, definition: Arc<Definition>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PLANS_MAX {
            kept.clear();
        }
        kept.insert((flow, revision), definition);
    }

    /// From here or from the book; none when the book has it not.
    ///
    /// # Errors
    /// When the book cannot be read, or has what does not compile.
    pub(crate) async fn load(
        &self,
        store: &dyn Store,
        flow: FlowId,
        revision: u64,
    ) -> Result<Option<Arc<Definition>>, StoreError> {
        if let Some(kept) = self.get(flow, revision) {
            return Ok(Some(kept));
        }
        let key = stored::definition_key(flow, revision);
        let Some(record) = store.record_get(&key).await? else { return Ok(None) };
        let (text, mode) = stored::decode_definition(&record.body)?;
        let options = CompileOptions { mode: mode_of(mode) };
        let Some(plan) = stint_flow::compile(&text, options).plan else {
            let what = format!("definition {revision} of {flow} does not compile any more");
            return Err(StoreError::Corrupt { what });
        };
        let definition = Arc::new(Definition { text, plan });
        self.keep(flow, revision, Arc::clone(&definition));
        Ok(Some(definition))
    }
}
