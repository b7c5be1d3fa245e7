//! Programs that are looked at before they are kept: WebAssembly is validated here, without
//! generating any code, and compiled ahead by the node once it is in the book.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use stint_engine::control::code::CodeJudge;
use stint_model::function::{CodePackage, FunctionConfig};
use stint_model::id::AccountId;
use stint_node::{NodeHandle, Prime};
use stint_supervise::Supervisor;

/// The runtime whose code can be told good from bad without running it.
const WASM: &str = "wasm";

/// See the module.
#[derive(Debug)]
pub(crate) struct ProgramJudge {
    supervisor: Supervisor,
    node: Arc<OnceLock<NodeHandle>>,
}

impl ProgramJudge {
    pub(crate) fn new(supervisor: Supervisor, node: Arc<OnceLock<NodeHandle>>) -> Self {
        Self { supervisor, node }
    }
}

#[async_trait]
impl CodeJudge for ProgramJudge {
    fn judges(&self, runtime: &str) -> bool {
        runtime == WASM
    }

    async fn judge(&self, config: &FunctionConfig, zip: Bytes) -> Result<(), String> {
        let handler = config.handler.clone();
        let judged = self.supervisor.blocking(move || stint_wasm::inspect(&zip, &handler));
        match judged.await {
            Ok(Ok(_form)) => Ok(()),
            Ok(Err(refused)) => Err(refused.to_string()),
            Err(crash) => Err(format!("it cannot be looked at: {crash}")),
        }
    }

    fn kept(&self, account: AccountId, config: &FunctionConfig, code: &CodePackage) {
        if config.runtime == WASM
            && let Some(node) = self.node.get()
        {
            let (code, handler) = (code.clone(), config.handler.clone());
            node.prime(Prime { account, code, handler });
        }
    }
}
