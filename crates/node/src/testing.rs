//! Specs for unit tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::function::{FunctionConfig, InjectCredentials, IsolationMode};
use stint_model::id::{AccountId, FunctionId, RevisionId};
use stint_model::limit::Resources;
use stint_model::time::Span;
use stint_wire::node::PoolSpec;

/// A spec that can still be changed.
pub(crate) struct Draft {
    pub(crate) spec: PoolSpec,
}

impl Draft {
    pub(crate) fn config_mut(&mut self, change: impl FnOnce(&mut FunctionConfig)) {
        change(Arc::make_mut(&mut self.spec.config));
    }
}

pub(crate) fn spec(runtime: &str, handler: &str) -> Draft {
    let size = Resources { cpu_milli: 1000, memory_mb: 256 };
    let config = FunctionConfig {
        description: String::new(),
        runtime: runtime.into(),
        handler: handler.into(),
        size,
        disk_mb: 512,
        timeout: Span::from_secs(10),
        instance_concurrency: 1,
        environment: BTreeMap::new(),
        layers: Vec::new(),
        custom_runtime: None,
        custom_container: None,
        custom_dns: None,
        internet_access: false,
        role: String::new(),
        initializer: None,
        pre_stop: None,
        nas: None,
        log: None,
        idle_timeout: Span::ZERO,
        disable_ondemand: false,
        inject: InjectCredentials::Everywhere,
        isolation: IsolationMode::Share,
        kept: BTreeMap::new(),
    };
    let spec = PoolSpec {
        pool: 1,
        account: AccountId::ROOT,
        function: FunctionId::from_number(1),
        function_name: "f".into(),
        revision: RevisionId::from_number(1),
        version: "LATEST".into(),
        size,
        config: Arc::new(config),
        code: None,
        image: None,
        layers: Vec::new(),
        extra_env: BTreeMap::from([("FC_REGION".into(), "local".into())]),
    };
    Draft { spec }
}
