//! Functions' credentials: an instance starts with temporary keys in its environment. The shard asks
//! for them when a function's first attempt is due and renews them in time; what is due waits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use stint_model::function::InjectCredentials;
use stint_model::id::FunctionId;
use stint_model::link::PoolSpec;
use stint_model::time::{Span, Timestamp};

use super::lanes::Served;
use super::{Act, Shard};

/// Credentials are renewed after this long; they live three times as long.
const RENEW_AFTER: Span = Span::from_secs(12 * 3_600);

/// What instances of each function get.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    held: HashMap<FunctionId, Held>,
    asked: HashSet<FunctionId>,
}

#[derive(Debug)]
struct Held {
    env: BTreeMap<String, String>,
    renew_at: Timestamp,
}

impl Credentials {
    pub(super) fn env(&self, function: FunctionId) -> BTreeMap<String, String> {
        self.held.get(&function).map(|held| held.env.clone()).unwrap_or_default()
    }

    pub(super) fn forget(&mut self, function: FunctionId) {
        self.held.remove(&function);
    }
}

impl Shard {
    /// Whether an instance can start with what its function is to get; asks for it if not.
    pub(super) fn has_credentials(&mut self, served: &Served, now: Timestamp) -> bool {
        let spec = &served.spec;
        if served.revision.config.inject == InjectCredentials::Nowhere {
            return true;
        }
        let held = self.credentials.held.get(&spec.function);
        let (has, fresh) = (held.is_some(), held.is_some_and(|held| now < held.renew_at));
        if !fresh && self.credentials.asked.insert(spec.function) {
            let (account, name) = (spec.account, Arc::clone(&spec.function_name));
            self.acts.push(Act::Issue { function: spec.function, account, name });
        }
        has
    }

    /// Credentials are here; an empty set means that there are none to be had for now.
    pub(super) fn credentialed(
        &mut self,
        function: FunctionId,
        env: BTreeMap<String, String>,
        now: Timestamp,
    ) {
        self.credentials.asked.remove(&function);
        let renew_at = now + RENEW_AFTER;
        self.credentials.held.insert(function, Held { env: env.clone(), renew_at });
        for served in self.lanes.served_of(function) {
            let mut spec = PoolSpec::clone(&served.spec);
            spec.extra_env.extend(env.clone());
            served.spec = self.link.renew(spec);
        }
    }
}
