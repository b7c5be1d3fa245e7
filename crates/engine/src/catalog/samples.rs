//! Functions and versions for tests of the catalog and the control plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::function::{
    CodePackage, Function, FunctionConfig, FunctionLimits, Readiness, Revision, Version,
};
use stint_model::id::{AccountId, FunctionId, RevisionId};
use stint_model::limit::Resources;
use stint_model::time::{Span, Timestamp};

use super::FunctionEntry;

pub(crate) fn config() -> FunctionConfig {
    FunctionConfig {
        description: String::new(),
        runtime: "python3.10".into(),
        handler: "index.handler".into(),
        size: Resources { cpu_milli: 350, memory_mb: 512 },
        disk_mb: 512,
        timeout: Span::from_secs(3),
        instance_concurrency: 1,
        environment: BTreeMap::new(),
        layers: Vec::new(),
        custom_runtime: None,
        custom_container: None,
        custom_dns: None,
        internet_access: true,
        role: String::new(),
        initializer: None,
        pre_stop: None,
        nas: None,
        log: None,
        idle_timeout: Span::ZERO,
        disable_ondemand: false,
        inject: stint_model::function::InjectCredentials::Everywhere,
        isolation: stint_model::function::IsolationMode::Share,
        kept: BTreeMap::new(),
    }
}

pub(crate) fn revision(number: u64) -> Arc<Revision> {
    Arc::new(Revision {
        id: RevisionId::from_number(number),
        config: config(),
        code: Some(CodePackage { blob: "b".into(), size: 1, crc64: 1, sha256: [0; 32] }),
        created_at: Timestamp::ZERO,
    })
}

pub(crate) fn function(id: u64, name: &str) -> Arc<Function> {
    Arc::new(Function {
        id: FunctionId::from_number(id),
        account: AccountId::ROOT,
        name: name.into(),
        head: revision(id * 100),
        readiness: Readiness::Active,
        update: None,
        created_at: Timestamp::ZERO,
        modified_at: Timestamp::ZERO,
        tags: BTreeMap::new(),
        resource_group: String::new(),
        version_newest: 0,
        disabled: None,
        paused: false,
        instances_max: None,
        limits: FunctionLimits::default(),
    })
}

pub(crate) fn version(number: u64) -> Arc<Version> {
    Arc::new(Version {
        number,
        description: String::new(),
        created_at: Timestamp::ZERO,
        revision: revision(number),
    })
}

pub(crate) fn entry_with_versions(numbers: &[u64]) -> FunctionEntry {
    let mut entry = FunctionEntry::new(function(1, "f"));
    entry.versions = numbers.iter().map(|number| (*number, version(*number))).collect();
    entry
}
