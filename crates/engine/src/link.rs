//! The engine's side of the nodes: which are there, which pools and instances they have, where an
//! answer goes. It routes; the shards decide.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stint_model::id::{FunctionId, InstanceId, NodeId, RevisionId};
use stint_model::limit::Resources;
use stint_model::link::{InstanceReport, InstanceState, Lease, NodeLoad, PoolSpec, ToNode};
use stint_model::shard::Shard;
use tokio::sync::mpsc;

use crate::exec::Execs;
use crate::invoke::CallSlot;
use crate::sessions::Sessions;

/// Destroyed instances stay listed until so many newer ones are.
const DESTROYED_KEPT_MAX: usize = 1_000;

/// A node as the engine knows it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Which.
    pub node: NodeId,
    /// What it offers.
    pub capacity: Resources,
    /// Runtimes it can run and what stands behind each.
    pub runtimes: BTreeMap<String, String>,
    /// How full it last said it is.
    pub load: NodeLoad,
}

/// What instances of one pool have in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PoolKind {
    pub(crate) revision: RevisionId,
    /// Code is told which version it is, also where two are the same revision.
    pub(crate) version: Arc<str>,
    pub(crate) size: Resources,
    /// Its image was not known yet when the pool was made.
    pub(crate) is_unresolved: bool,
}

/// See the module comment.
#[derive(Debug, Default)]
pub struct Link {
    state: Mutex<State>,
    calls: Mutex<HashMap<u64, Arc<CallSlot>>>,
    execs: Execs,
    sessions: Arc<Sessions>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<NodeId, (NodeView, mpsc::Sender<ToNode>)>,
    pools: Vec<Arc<PoolSpec>>,
    pool_homes: Vec<Shard>,
    by_kind: HashMap<PoolKind, u32>,
    instances: BTreeMap<InstanceId, InstanceReport>,
    destroyed: std::collections::VecDeque<InstanceId>,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Arc<CallSlot>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is there (again).
    pub(crate) fn join(&self, view: NodeView, outbox: mpsc::Sender<ToNode>) {
        self.state().nodes.insert(view.node, (view, outbox));
    }

    /// A node is away; its instances with it.
    pub(crate) fn leave(&self, node: NodeId) {
        let mut state = self.state();
        state.nodes.remove(&node);
        state.instances.retain(|_, report| report.node != node);
        drop(state);
        self.execs.leave(node);
    }

    /// A call's session hears where it is.
    pub(crate) fn seated(&self, lease: Lease, instance: Option<InstanceId>) {
        if lease.is_call()
            && let Some(slot) = self.call(lease.work)
        {
            slot.seated(instance);
        }
    }

    /// Which sessions there are.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Commands that people run in instances.
    pub(crate) fn execs(&self) -> &Execs {
        &self.execs
    }

    /// A node said how full it is.
    pub(crate) fn load(&self, node: NodeId, load: NodeLoad) {
        if let Some((view, _)) = self.state().nodes.get_mut(&node) {
            view.load = load;
        }
    }

    /// The nodes that are there.
    pub fn nodes(&self) -> Vec<NodeView> {
        self.state().nodes.values().map(|(view, _)| view.clone()).collect()
    }

    /// Says something to a node. False when it is away or does not keep up: the caller treats the
    /// lease as lost.
    pub(crate) fn send(&self, node: NodeId, message: ToNode) -> bool {
        let outbox = self.state().nodes.get(&node).map(|(_, outbox)| outbox.clone());
        outbox.is_some_and(|outbox| outbox.try_send(message).is_ok())
    }

    /// Says something to every node.
    pub(crate) fn broadcast(&self, message: &ToNode) {
        let nodes: Vec<NodeId> = self.state().nodes.keys().copied().collect();
        for node in nodes {
            if !self.send(node, message.clone()) {
                tracing::warn!(?node, "a node does not keep up");
            }
        }
    }

    /// The number of the pool of a revision in a size; `spec` makes it when it is new.
    pub(crate) fn pool(
        &self,
        home: Shard,
        kind: PoolKind,
        spec: impl FnOnce(u32) -> PoolSpec,
    ) -> Arc<PoolSpec> {
        let mut state = self.state();
        if let Some(pool) = state.by_kind.get(&kind) {
            return Arc::clone(&state.pools[usize::try_from(*pool).expect("an index")]);
        }
        let number = u32::try_from(state.pools.len()).expect("fewer than 2^32 pools");
        let spec = Arc::new(spec(number));
        state.pools.push(Arc::clone(&spec));
        state.pool_homes.push(home);
        state.by_kind.insert(kind, number);
        spec
    }

    /// A pool's spec with newer credentials.
    pub(crate) fn renew(&self, spec: PoolSpec) -> Arc<PoolSpec> {
        let index = usize::try_from(spec.pool).expect("an index");
        let spec = Arc::new(spec);
        self.state().pools[index] = Arc::clone(&spec);
        spec
    }

    /// Which shard a pool belongs to.
    pub(crate) fn pool_home(&self, pool: u32) -> Option<Shard> {
        self.state().pool_homes.get(usize::try_from(pool).ok()?).copied()
    }

    /// An instance reported itself. In which state it was before.
    pub(crate) fn instance(&self, report: InstanceReport) -> Option<InstanceState> {
        let mut state = self.state();
        if report.state == InstanceState::Destroyed {
            state.destroyed.push_back(report.instance);
            if state.destroyed.len() > DESTROYED_KEPT_MAX
                && let Some(oldest) = state.destroyed.pop_front()
            {
                state.instances.remove(&oldest);
            }
        }
        state.instances.insert(report.instance, report).map(|before| before.state)
    }

    /// Instances of these functions (all, if `None`), by id.
    pub fn instances(&self, function: Option<FunctionId>) -> Vec<InstanceReport> {
        let state = self.state();
        let wanted = |report: &&InstanceReport| function.is_none_or(|f| report.function == f);
        state.instances.values().filter(wanted).cloned().collect()
    }

    /// One that was reported and has not been forgotten.
    pub(crate) fn find_instance(&self, instance: InstanceId) -> Option<InstanceReport> {
        self.state().instances.get(&instance).cloned()
    }

    pub(crate) fn open_call(&self, work: u64, shard: Shard) -> Arc<CallSlot> {
        let slot = Arc::new(CallSlot::new(work, shard));
        self.calls().insert(work, Arc::clone(&slot));
        slot
    }

    pub(crate) fn call(&self, work: u64) -> Option<Arc<CallSlot>> {
        self.calls().get(&work).cloned()
    }

    pub(crate) fn close_call(&self, work: u64) -> Option<Arc<CallSlot>> {
        self.calls().remove(&work)
    }
}
