//! GPUs while a plan is made: whether a node has what an instance takes of one, and which idle instances
//! make way for it. What runs is never ended for a GPU.

use alloc::vec::Vec;

use stint_model::gpu::GpuNeed;
use stint_model::id::NodeId;
use stint_model::time::Timestamp;

use super::{Ask, Site};
use crate::change::Pool;
use crate::place::PoolState;
use crate::refuse::Cause;

impl Site<'_> {
    /// Whether one more fits beside what is there and what the plan started.
    pub(super) fn gpu_fits(&self, id: NodeId, need: GpuNeed) -> bool {
        let Some(node) = self.floor.nodes.get(&id) else { return false };
        let fresh = self.deltas.iter().filter(|((at, _), delta)| *at == id && delta.started > 0);
        let fresh = fresh.map(|((_, pool), _)| *pool).filter(|pool| !node.pools.contains(pool));
        let mut needs = Vec::from([need]);
        for pool in node.pools.iter().copied().chain(fresh) {
            let state = &self.floor.pools[&pool];
            let Some(taken) = state.gpu.filter(|taken| taken.kind == need.kind) else { continue };
            let delta = self.deltas.get(&(id, pool)).copied().unwrap_or_default();
            let there = state.places.get(&id).map_or(0, |place| place.instances(state.slots));
            let count = there.saturating_add(delta.started).saturating_sub(delta.evicted);
            needs.extend((0..count).map(|_| taken));
        }
        node.gpus.pack(needs)
    }

    /// Evicts idle instances of one node until the need fits, the one idle longest first. `None`: nowhere
    /// would that be enough; else what was evicted, nothing if it fits as it is.
    pub(super) fn clear_gpu(
        &mut self,
        ask: &Ask<'_>,
        need: GpuNeed,
    ) -> Option<Vec<(NodeId, Pool)>> {
        let mut nodes: Vec<NodeId> = self.floor.nodes.keys().copied().collect();
        nodes.retain(|id| !self.is_kept_from(*id, ask));
        if nodes.iter().any(|id| self.gpu_fits(*id, need)) {
            return Some(Vec::new());
        }
        for id in nodes {
            let mut evicted = Vec::new();
            while !self.gpu_fits(id, need) {
                let Some(pool) = self.idle_on_gpu(ask.pool, id, need) else { break };
                self.evict(id, pool, 1);
                evicted.push((id, pool));
            }
            if self.gpu_fits(id, need) {
                return Some(evicted);
            }
            for (node, pool) in evicted {
                self.unevict(node, pool, 1);
            }
        }
        None
    }

    fn idle_on_gpu(&self, own: Pool, id: NodeId, need: GpuNeed) -> Option<Pool> {
        let node = self.floor.nodes.get(&id)?;
        let mut idle: Vec<(bool, Timestamp, Pool)> = Vec::new();
        for pool in node.pools.iter().filter(|pool| **pool != own) {
            let state = &self.floor.pools[pool];
            let same = state.gpu.is_some_and(|taken| taken.kind == need.kind);
            if same && self.idle(id, *pool) > 0 {
                idle.push((!state.gone, state.places[&id].last_end, *pool));
            }
        }
        idle.into_iter().min().map(|(.., pool)| pool)
    }

    /// Why no node gives an instance its GPU, if that is what lacks.
    pub(super) fn gpu_cause(&self, state: &PoolState) -> Option<Cause> {
        let need = state.gpu?;
        if !self.floor.has_gpu(need.kind) {
            return Some(Cause::NoGpu { kind: need.kind });
        }
        let possible = self.floor.nodes.values().any(|node| node.gpus.could_hold(need));
        let fits = self.floor.nodes.keys().any(|id| self.gpu_fits(*id, need));
        (possible && !fits).then_some(Cause::GpuFull { need })
    }
}
