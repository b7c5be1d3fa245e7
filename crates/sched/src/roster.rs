//! The accounts and functions, and where each stands: shut, waiting for a time, or open.
//!
//! Whatever changes, the function it belongs to is settled again, then its account; so a plan finds
//! in the rankings only who can start something, however many others there are.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use stint_model::id::{AccountId, FunctionId};
use stint_model::limit::Class;
use stint_model::time::Timestamp;

use crate::backlog::ALWAYS;
use crate::change::{Lane, Pool};
use crate::fair::{
    CLASSES, Cost, Mean, Pace, Party, PerClass, Ranking, Share, Standing, Virtual, Wakes,
    class_index, cost_of_size,
};
use crate::limits::Limits;
use crate::scheduler::Scheduler;

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) share: Share,
    pub(crate) limits: Limits,
    /// The virtual time among its functions.
    pub(crate) time: Virtual,
    pub(crate) functions: BTreeSet<FunctionId>,
    pub(crate) ranking: PerClass<Ranking<FunctionId>>,
    pub(crate) standing: PerClass<Standing>,
    pub(crate) gone: bool,
    /// Its budget is used up until then.
    pub(crate) shut_until: Timestamp,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self {
            share: Share::new(1),
            limits: Limits::default(),
            time: 0,
            functions: BTreeSet::new(),
            ranking: Default::default(),
            standing: Default::default(),
            gone: false,
            shut_until: ALWAYS,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) account: AccountId,
    pub(crate) share: Share,
    pub(crate) limits: Limits,
    pub(crate) instances_max: Option<u32>,
    pub(crate) paused: bool,
    pub(crate) gone: bool,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) cost: Mean,
    pub(crate) pace: Pace,
    pub(crate) standing: PerClass<Standing>,
}

impl Function {
    pub(crate) fn new(account: AccountId) -> Self {
        Self {
            account,
            share: Share::new(1),
            limits: Limits::default(),
            instances_max: None,
            paused: false,
            gone: false,
            lanes: Vec::new(),
            pools: Vec::new(),
            cost: Mean::default(),
            pace: Pace::default(),
            standing: Default::default(),
        }
    }

    /// Nothing of the class may start, whatever its limits say. A pause holds the backlog, not the
    /// calls somebody waits for.
    fn is_closed(&self, class: usize) -> bool {
        let paused = self.paused && class == class_index(Class::Batch);
        paused || self.gone || self.instances_max == Some(0)
    }
}

fn is_open(standing: &PerClass<Standing>) -> bool {
    standing.iter().any(|standing| matches!(standing, Standing::Open(_)))
}

/// Where a participant with this virtual time stands when it can start at `at`.
fn standing(at: Timestamp, clock: Timestamp, time: Virtual) -> Standing {
    if at == Timestamp::MAX {
        Standing::Shut
    } else if at > clock {
        Standing::Waiting(at)
    } else {
        Standing::Open(time)
    }
}

/// Moves a participant from where it stood to where it stands.
fn moved<Id: Ord + Copy>(
    (ranking, wakes): (&mut Ranking<Id>, &mut Wakes),
    (class, party, id): (usize, Party, Id),
    old: Standing,
    new: Standing,
) {
    match old {
        Standing::Shut => {}
        Standing::Waiting(at) => wakes.remove(at, class, party),
        Standing::Open(time) => {
            ranking.remove(&(time, id));
        }
    }
    match new {
        Standing::Shut => {}
        Standing::Waiting(at) => wakes.add(at, class, party),
        Standing::Open(time) => {
            ranking.insert((time, id));
        }
    }
}

impl Scheduler {
    /// Tells the time: who waited for it may be open now.
    pub(crate) fn set_clock(&mut self, now: Timestamp) {
        if now <= self.clock {
            return;
        }
        self.clock = now;
        while let Some(party) = self.wakes.first_due(now) {
            match party {
                Party::Account(id) => self.settle_account(id),
                Party::Function(id) => self.settle_function(id),
            }
        }
    }

    /// A credit in the unit of costs.
    fn credit(&self) -> Cost {
        self.config.credit.micros().saturating_mul(1_000)
    }

    /// The virtual time with which a function takes part.
    pub(crate) fn function_time(&self, function: &Function) -> Virtual {
        if is_open(&function.standing) {
            return function.share.time;
        }
        let time = self.accounts.get(&function.account).map_or(0, |account| account.time);
        function.share.returned(time, self.credit())
    }

    pub(crate) fn account_time(&self, account: &Account) -> Virtual {
        if is_open(&account.standing) {
            return account.share.time;
        }
        account.share.returned(self.time, self.credit())
    }

    /// What a lease is charged before anybody knows.
    pub(crate) fn estimate(&self, function: &Function, pool: Pool) -> Cost {
        function.cost.get().unwrap_or_else(|| {
            let size = self.floor.pools.get(&pool).map(|pool| pool.size).unwrap_or_default();
            cost_of_size(size, self.config.estimate_first)
        })
    }

    pub(crate) fn function_waiting(&self, function: &Function) -> u64 {
        let lanes = function.lanes.iter().filter_map(|lane| self.backlog.lane(*lane));
        lanes.map(|lane| lane.waiting).sum()
    }

    /// Finds out again where a function stands, and its account.
    pub(crate) fn settle_function(&mut self, id: FunctionId) {
        let Some(function) = self.functions.get(&id) else { return };
        let gate = function.limits.open_at();
        let time = self.function_time(function);
        let mut new = [Standing::Shut; CLASSES.len()];
        if gate < Timestamp::MAX {
            for (class, new) in new.iter_mut().enumerate() {
                if function.is_closed(class) {
                    continue;
                }
                let ready = function.lanes.iter().map(|lane| self.backlog.ready_at(*lane, class));
                let at = ready.min().unwrap_or(Timestamp::MAX).max(gate);
                *new = standing(at, self.clock, time);
            }
        }
        let function = self.functions.get_mut(&id).expect("seen above");
        if is_open(&new) {
            function.share.time = time;
        }
        let old = core::mem::replace(&mut function.standing, new);
        let owner = function.account;
        let account = self.accounts.get_mut(&owner).expect("a function's account is there");
        for class in 0..CLASSES.len() {
            if old[class] != new[class] {
                let sets = (&mut account.ranking[class], &mut self.wakes);
                moved(sets, (class, Party::Function(id), id), old[class], new[class]);
            }
        }
        self.settle_account(owner);
    }

    /// Finds out again where an account stands.
    pub(crate) fn settle_account(&mut self, id: AccountId) {
        let Some(account) = self.accounts.get(&id) else { return };
        let gate = account.limits.open_at().max(account.shut_until);
        let time = self.account_time(account);
        let mut new = [Standing::Shut; CLASSES.len()];
        for (class, new) in new.iter_mut().enumerate() {
            if !account.ranking[class].is_empty() {
                *new = standing(gate, self.clock, time);
            }
        }
        let account = self.accounts.get_mut(&id).expect("seen above");
        let is_ready = account.ranking.iter().any(|ranking| !ranking.is_empty());
        let is_shut = account.shut_until > self.clock;
        if account.limits.granted().is_some() && is_ready && !is_shut {
            self.wanting.insert(id);
        } else {
            self.wanting.remove(&id);
        }
        if is_open(&new) {
            account.share.time = time;
        }
        let old = core::mem::replace(&mut account.standing, new);
        for class in 0..CLASSES.len() {
            if old[class] != new[class] {
                let sets = (&mut self.ranking[class], &mut self.wakes);
                moved(sets, (class, Party::Account(id), id), old[class], new[class]);
            }
        }
    }

    /// Opens or shuts the queues of a key as its limits say.
    pub(crate) fn settle_key(&mut self, function: FunctionId, key: u64) {
        let limits = self.keys.get(&(function, key));
        let open_at = limits.map_or(ALWAYS, |limits| limits.open_at());
        let Some(state) = self.functions.get(&function) else { return };
        self.backlog.set_gate((function, key), &state.lanes, open_at);
    }

    /// Forgets a deleted function when nothing of it waits or runs.
    pub(crate) fn forget_function(&mut self, id: FunctionId) {
        let Some(function) = self.functions.get(&id) else { return };
        if !function.gone || function.limits.running > 0 || self.function_waiting(function) > 0 {
            return;
        }
        self.settle_function(id);
        let function = self.functions.remove(&id).expect("seen above");
        for lane in function.lanes {
            self.backlog.drop_lane(lane);
        }
        for pool in function.pools {
            self.floor.pool_gone(pool);
        }
        self.keys.retain(|(owner, _), _| *owner != id);
        self.backlog.drop_gates(id);
        if let Some(account) = self.accounts.get_mut(&function.account) {
            account.functions.remove(&id);
        }
        self.forget_account(function.account);
    }

    pub(crate) fn forget_account(&mut self, id: AccountId) {
        let Some(account) = self.accounts.get(&id) else { return };
        if account.gone && account.functions.is_empty() {
            self.accounts.remove(&id);
            self.wanting.remove(&id);
        }
    }
}
