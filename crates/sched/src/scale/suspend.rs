//! Who stands still. Where online work lacks nothing but processor, batch attempts are suspended: they
//! keep their memory and what they have done so far, and what they took of the processor is free at
//! once. They go on when there is room. Who has stood still for too long is taken back and runs again
//! elsewhere or later, as when memory lacks.
//!
//! ```text
//! runs ──online work lacks processor──► stands still ──room again──► runs
//!                                            └──── SUSPEND_MAX ────► taken back, waits
//! ```

use alloc::vec::Vec;
use core::cmp::Reverse;

use stint_model::id::NodeId;
use stint_model::limit::Class;
use stint_model::time::Span;

use super::{Ask, Site, Youth};
use crate::change::{Pool, Work};
use crate::place::{Node, PoolState, Room};

/// Nobody stands still for less: what freed the room may be back at once.
pub(crate) const SUSPEND_MIN: Span = Span::from_secs(1);
/// From then on idle instances of others make way.
pub(crate) const SUSPEND_PATIENT: Span = Span::from_secs(10);
/// Nobody stands still for longer.
pub(crate) const SUSPEND_MAX: Span = Span::from_secs(60);

/// Whether idle instances may be ended for somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Free,
    Made,
}

impl Site<'_> {
    /// Suspends the fewest batch leases, youngest first, that make room on one node.
    pub(super) fn suspend_for(&mut self, ask: &Ask<'_>, state: &PoolState) -> Option<NodeId> {
        if ask.class != Class::Online {
            return None;
        }
        let size = Room::of(state.size);
        let mut best: Option<(usize, NodeId, Vec<(Pool, Work)>)> = None;
        for (id, node) in &self.floor.nodes {
            let fits = state.gpu.is_none_or(|need| self.gpu_fits(*id, need));
            if !fits || !node.capacity.holds(size) || self.is_kept_from(*id, ask) {
                continue;
            }
            let Some(chosen) = self.who_stands(*id, node, size) else { continue };
            if best.as_ref().is_none_or(|(least, ..)| chosen.len() < *least) {
                best = Some((chosen.len(), *id, chosen));
            }
        }
        let (count, id, chosen) = best?;
        if self.suspensions.len() + count > self.takebacks_max {
            return None;
        }
        for (pool, work) in chosen {
            let cpu = Room { memory_mb: 0, ..Room::of(self.floor.pools[&pool].size) };
            self.take(id, Room::default().minus(cpu));
            self.suspensions.push(work);
        }
        self.failed.clear();
        Some(id)
    }

    /// Which leases of a node, so that `size` fits; nobody is enough where memory lacks.
    fn who_stands(&self, id: NodeId, node: &Node, size: Room) -> Option<Vec<(Pool, Work)>> {
        let mut missing = size.minus(self.free(id, node));
        if missing.memory_mb > 0 {
            return None;
        }
        let mut young: Vec<(Youth, Pool)> = Vec::new();
        for pool in &node.pools {
            let state = &self.floor.pools[pool];
            // An instance that serves several at once may serve somebody who is waited for.
            if state.slots > 1 || state.size.cpu_milli == 0 {
                continue;
            }
            let place = &state.places[&id];
            let open = place.batch.iter().filter(|(_, work)| {
                !place.suspended.contains(work)
                    && !self.takebacks.contains(work)
                    && !self.suspensions.contains(work)
            });
            young.extend(open.map(|lease| (Reverse(*lease), *pool)));
        }
        young.sort_unstable();
        let mut chosen = Vec::new();
        for (Reverse((_, work)), pool) in young {
            if missing.cpu_milli <= 0 {
                break;
            }
            missing.cpu_milli -= i64::from(self.floor.pools[&pool].size.cpu_milli);
            chosen.push((pool, work));
        }
        (missing.cpu_milli <= 0).then_some(chosen)
    }

    /// Whether one that stands still may go on; takes its room.
    pub(crate) fn goes_on(&mut self, id: NodeId, pool: Pool, way: Way) -> bool {
        let Some(node) = self.floor.nodes.get(&id) else { return false };
        let Some(state) = self.floor.pools.get(&pool) else { return false };
        // Somebody waits for this node.
        if self.kept.contains_key(&id) || !self.suspensions.is_empty() {
            return false;
        }
        let cpu = Room { memory_mb: 0, ..Room::of(state.size) };
        let missing = cpu.cpu_milli - self.free(id, node).cpu_milli;
        if missing > 0 {
            let lack = Room { cpu_milli: missing, memory_mb: 0 };
            let made = (way == Way::Made).then(|| self.idle_room(pool, id, node, lack)).flatten();
            let Some((_, pools)) = made else { return false };
            for (other, count) in pools {
                self.evict(id, other, count);
            }
        }
        self.take(id, cpu);
        true
    }

    /// Ends one that has stood still for too long, when the plan may still end something.
    pub(crate) fn gives_up(&mut self, work: Work) {
        if self.takebacks.len() < self.takebacks_max && !self.takebacks.contains(&work) {
            self.takebacks.push(work);
        }
    }
}
