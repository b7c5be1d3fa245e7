//! The scheduler itself: facts in, plans out.

use alloc::vec::Vec;

use stint_model::id::{AccountId, FunctionId};
use stint_model::time::{Span, Timestamp};

use crate::backlog::BacklogView;
use crate::change::{Change, Work};
use crate::plan::Plan;
use crate::refuse::Explanation;

/// Resolved settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SchedConfig {
    /// Waiting this long raises work by one priority class.
    pub aging: Span,
    /// CPU that instances may take together, in hundredths of what the nodes have.
    pub cpu_overcommit_percent: u32,
    /// vCPU time by which an account or a function that was away may be ahead of the others.
    pub credit: Span,
    /// vCPU time taken for a function's first attempts, before any ended.
    pub estimate_first: Span,
    /// Work that found no room for this long gets a node kept clear for it.
    pub reserve_after: Span,
    /// The most batch leases taken back by one plan.
    pub takebacks_max: u32,
    /// The most refusals named by one plan.
    pub refusals_max: u32,
}

impl SchedConfig {
    /// Values for tests.
    pub const fn for_tests() -> Self {
        Self {
            aging: Span::from_secs(60),
            cpu_overcommit_percent: 100,
            credit: Span::from_secs(1),
            estimate_first: Span::from_millis(100),
            reserve_after: Span::from_secs(10),
            takebacks_max: 64,
            refusals_max: 64,
        }
    }
}

/// Decides what starts next and where. Pure: same changes, same plans.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedConfig,
    clock: Timestamp,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new(config: SchedConfig) -> Self {
        Self { config, clock: Timestamp::ZERO }
    }

    /// Takes in one fact.
    pub fn observe(&mut self, change: Change) {
        if let Change::Clock(now) = change {
            self.clock = self.clock.max(now);
        }
    }

    /// Proposes at most `limit` assignments. Changes nothing.
    pub fn plan(&self, now: Timestamp, limit: u32) -> Plan {
        let _ = (now, limit, self.config);
        Plan::default()
    }

    /// Why `work` waits; `None` when it does not wait here.
    pub fn explain(&self, work: Work, now: Timestamp) -> Option<Explanation> {
        let _ = (work, now);
        None
    }

    /// What waits in one function.
    pub fn backlog(&self, function: FunctionId) -> BacklogView {
        let _ = function;
        BacklogView::default()
    }

    /// Every function with waiting or running work, by id.
    pub fn backlogs(&self) -> Vec<(FunctionId, BacklogView)> {
        Vec::new()
    }

    /// Live leases of a function.
    pub fn function_leases(&self, function: FunctionId) -> u32 {
        self.backlog(function).running
    }

    /// Live leases of an account.
    pub fn account_leases(&self, account: AccountId) -> u32 {
        let _ = account;
        0
    }

    /// Everything that waits.
    pub fn waiting(&self) -> u64 {
        0
    }

    /// Every live lease.
    pub fn running(&self) -> u64 {
        0
    }
}
