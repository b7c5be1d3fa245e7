//! A little world without sandboxes: instances are inboxes somebody looks into.

use stint_model::limit::Class;
use stint_model::session::{SessionChange, SessionSeat, SessionWord};
use stint_model::shard::{Epoch, Shard};
use stint_wire::node::Event;

use super::*;
use crate::testing;

struct World {
    pools: Pools,
    inboxes: HashMap<InstanceKey, mpsc::Receiver<Order>>,
    keys: u64,
    works: u64,
    now: Timestamp,
}

impl World {
    fn new(memory_mb: u32) -> Self {
        let capacity = Resources { cpu_milli: 100_000, memory_mb };
        Self {
            pools: Pools::new(capacity, NodeBounds::DEFAULT),
            inboxes: HashMap::new(),
            keys: 0,
            works: 0,
            now: Timestamp::from_millis(1_000),
        }
    }

    fn spec(number: u32, slots: u32) -> Arc<PoolSpec> {
        let mut draft = testing::spec("python3", "index.handler");
        draft.spec.pool = number;
        draft.config_mut(|config| config.instance_concurrency = slots);
        Arc::new(draft.spec)
    }

    fn start(&mut self, spec: &Arc<PoolSpec>) -> Start {
        self.works += 1;
        self.now = self.now + Span::from_millis(1);
        Start {
            lease: Lease { shard: Shard::FIRST, epoch: Epoch(1), work: self.works, attempt: 1 },
            spec: Arc::clone(spec),
            class: Class::Batch,
            request_id: "r".into(),
            task_id: None,
            qualifier: "LATEST".into(),
            event: Event::Inline(bytes::Bytes::new()),
            timeout: Span::from_secs(1),
            retries: 0,
            idempotency_key: "k".into(),
            log_tail: false,
            session: None,
            warm: false,
        }
    }

    /// Places one; a new instance is ready at once.
    fn place(&mut self, spec: &Arc<PoolSpec>) -> Option<(InstanceKey, Lease)> {
        let start = self.start(spec);
        match self.pools.bind(&start) {
            Bound::To { key, .. } => Some((key, start.lease)),
            Bound::New => {
                let key = self.born(&start);
                self.pools.change(key, Change::Ready, self.now);
                Some((key, start.lease))
            }
            Bound::Refused(_) | Bound::Waits(_) => None,
        }
    }

    /// Places a call of a session; `None` where it has to wait.
    fn sit(
        &mut self,
        spec: &Arc<PoolSpec>,
        session: &str,
        per_instance: u32,
    ) -> Option<(InstanceKey, Lease)> {
        let mut start = self.start(spec);
        start.session = Some(SessionSeat {
            key: session.into(),
            per_instance,
            ends_at: self.now + Span::from_secs(1_000),
            idle: Span::from_secs(400),
        });
        match self.pools.bind(&start) {
            Bound::To { key, .. } => Some((key, start.lease)),
            Bound::New => {
                let key = self.born(&start);
                self.pools.sit(key, &start);
                self.pools.change(key, Change::Ready, self.now);
                Some((key, start.lease))
            }
            Bound::Refused(_) | Bound::Waits(_) => None,
        }
    }

    fn born(&mut self, start: &Start) -> InstanceKey {
        self.keys += 1;
        let key = InstanceKey(self.keys);
        let (orders, inbox) = mpsc::channel(8);
        let of = (&start.spec, Some(start.lease));
        self.pools.born((key, InstanceId(u128::from(key.0))), of, orders, self.now);
        self.inboxes.insert(key, inbox);
        key
    }

    fn done(&mut self, (key, lease): (InstanceKey, Lease)) {
        self.now = self.now + Span::from_millis(1);
        self.pools.done(key, lease, self.now);
    }

    /// Instances that were told to end since the last look.
    fn told(&mut self) -> Vec<u64> {
        let mut told = Vec::new();
        for (key, inbox) in &mut self.inboxes {
            while let Ok(order) = inbox.try_recv() {
                if matches!(order, Order::End { .. } | Order::Kill { .. }) {
                    told.push(key.0);
                }
            }
        }
        told.sort_unstable();
        told
    }
}

#[test]
fn the_instance_used_last_is_used_next() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let (a, b) = (world.place(&spec).unwrap(), world.place(&spec).unwrap());
    assert_ne!(a.0, b.0);
    world.done(b);
    world.done(a);
    assert_eq!(world.place(&spec).unwrap().0, a.0);
    assert_eq!(world.place(&spec).unwrap().0, b.0);
    assert_eq!(world.pools.totals().running, 2);
}

#[test]
fn slots_are_filled_before_another_instance_is_made() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 3);
    let first = world.start(&spec);
    let starting = world.born(&first);
    let start = world.start(&spec);
    assert_eq!(world.pools.bind(&start), Bound::To { key: starting, cold: true });
    world.pools.change(starting, Change::Ready, world.now);
    assert_eq!(world.place(&spec).unwrap().0, starting);
    assert_ne!(world.place(&spec).unwrap().0, starting, "all three slots are taken");
    assert_eq!(world.pools.take_changed(), [(1, 2, 0)]);
    assert!(world.pools.take_changed().is_empty(), "said once");
}

#[test]
fn room_is_made_by_what_idles_longest_and_else_refused() {
    let mut world = World::new(3 * 256);
    let (one, two) = (World::spec(1, 1), World::spec(2, 1));
    let (a, b, c) =
        (world.place(&one).unwrap(), world.place(&one).unwrap(), world.place(&one).unwrap());
    assert!(world.place(&two).is_none(), "all are busy");
    world.done(b);
    world.done(a);
    let d = world.place(&two).unwrap();
    assert_eq!(world.told(), [b.0.0]);
    assert_eq!(world.pools.totals().used.memory_mb, 3 * 256);
    world.pools.ended(b.0);
    assert_eq!(world.pools.totals().used.memory_mb, 3 * 256, "its room was given away already");
    for key in [a.0, c.0, d.0] {
        world.pools.ended(key);
    }
    assert_eq!(world.pools.totals(), Totals::default());
    assert!(world.pools.is_empty() && world.pools.leases().is_empty());
}

#[test]
fn idle_instances_end_when_their_time_is_over() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let (a, b) = (world.place(&spec).unwrap(), world.place(&spec).unwrap());
    world.done(a);
    let idle = NodeBounds::DEFAULT.idle_timeout;
    assert_eq!(world.pools.next_idle_check(), Some(world.now + idle));
    world.pools.sweep(world.now + idle);
    assert_eq!(world.told(), [a.0.0]);
    assert_eq!(world.pools.next_idle_check(), None, "the other one is busy");
    world.done(b);
    assert_eq!(world.place(&spec).unwrap().0, b.0, "an ending one is not chosen");
}

#[test]
fn retired_and_worn_out_instances_end_when_they_are_idle() {
    let mut world = World::new(10_000);
    let (spec, other) = (World::spec(1, 1), World::spec(2, 1));
    let (a, b) = (world.place(&spec).unwrap(), world.place(&spec).unwrap());
    world.done(a);
    world.pools.retire(1);
    assert_eq!(world.told(), [a.0.0]);
    world.done(b);
    assert_eq!(world.told(), [b.0.0]);
    let c = world.place(&other).unwrap();
    world.now = world.now + NodeBounds::DEFAULT.instance_life_max;
    world.done(c);
    assert_eq!(world.told(), [c.0.0]);
}

#[test]
fn an_ill_instance_gets_nothing_until_it_is_well() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let a = world.place(&spec).unwrap();
    world.done(a);
    world.pools.change(a.0, Change::Health(false), world.now);
    let b = world.place(&spec).unwrap();
    assert_ne!(a.0, b.0);
    world.pools.change(a.0, Change::Health(true), world.now);
    assert_eq!(world.place(&spec).unwrap().0, a.0);
}

#[test]
fn an_end_in_the_moment_of_sending_gives_the_order_back() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let a = world.place(&spec).unwrap();
    world.inboxes.clear();
    let back = world.pools.send(a.0, Order::Kill { reason: "x" });
    assert!(matches!(back, Err(Order::Kill { .. })));
    world.pools.change(a.0, Change::Ending, world.now);
    world.pools.ended(a.0);
    world.pools.ended(a.0);
    world.done(a);
    assert_eq!(world.pools.totals(), Totals::default());
}

#[test]
fn a_stopped_instance_takes_nothing_new_and_ends_when_it_is_idle() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let (busy, idle) = (world.place(&spec).unwrap(), world.place(&spec).unwrap());
    world.done(idle);
    let id = |key: InstanceKey| InstanceId(u128::from(key.0));
    world.pools.stop_instance(id(InstanceKey(99)), StopWhen::Now);
    assert!(world.told().is_empty(), "one that is not there has ended");
    world.pools.stop_instance(id(busy.0), StopWhen::Idle);
    assert!(world.told().is_empty(), "what runs may end");
    assert_eq!(world.pools.take_changed(), [(1, 1, 0)], "it is nothing to plan with");
    assert_eq!(world.place(&spec).unwrap().0, idle.0);
    assert_ne!(world.place(&spec).unwrap().0, busy.0);
    world.done(busy);
    assert_eq!(world.told(), [busy.0.0]);
    world.pools.stop_instance(id(idle.0), StopWhen::Now);
    assert_eq!(world.told(), [idle.0.0], "now means now");
}

#[test]
fn calls_of_a_session_go_to_its_instance_and_wait_while_it_is_busy() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let a = world.sit(&spec, "a", 1).unwrap();
    assert_eq!(world.sit(&spec, "a", 1), None, "its only slot is taken");
    let b = world.sit(&spec, "b", 1).unwrap();
    assert_ne!(a.0, b.0);
    world.done(a);
    world.done(b);
    assert_eq!(world.sit(&spec, "a", 1).unwrap().0, a.0, "although the other was used last");
    assert_ne!(world.sit(&spec, "c", 1).unwrap().0, b.0, "one session to an instance");
    assert_eq!(world.place(&spec).unwrap().0, b.0, "others may use what is idle");
}

#[test]
fn an_instance_stays_for_its_sessions_and_goes_without_them() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 2);
    let a = world.sit(&spec, "a", 2).unwrap();
    assert_eq!(world.sit(&spec, "b", 2).unwrap().0, a.0);
    assert_ne!(world.sit(&spec, "c", 2).unwrap().0, a.0, "two sessions are in it");
    world.done(a);
    world.pools.ended(InstanceKey(2));
    let session_b = world.pools.leases()[0];
    world.done((a.0, session_b));
    let idle = NodeBounds::DEFAULT.idle_timeout;
    world.pools.sweep(world.now + idle);
    assert!(world.told().is_empty(), "its sessions live longer than idle instances do");
    world.pools.sweep(world.now + Span::from_secs(401));
    world.pools.sweep(world.now + Span::from_secs(402));
    assert_eq!(world.told(), [a.0.0]);
}

#[test]
fn a_session_of_its_own_takes_its_instance_with_it() {
    let mut world = World::new(10_000);
    let mut draft = testing::spec("python3", "index.handler");
    draft.config_mut(|config| config.isolation = IsolationMode::Session);
    let spec = Arc::new(draft.spec);
    let (a, b) = (world.sit(&spec, "a", 1).unwrap(), world.sit(&spec, "b", 1).unwrap());
    world.done(a);
    let ended = |key: &str| SessionWord {
        function: spec.function,
        key: key.into(),
        change: SessionChange::Ended,
    };
    world.pools.session(&ended("a"), world.now);
    assert_eq!(world.told(), [a.0.0]);
    world.pools.session(&ended("b"), world.now);
    assert_eq!(world.told(), [b.0.0], "what runs in it ends with it");
    world.pools.session(&ended("c"), world.now);
    assert!(world.told().is_empty());
}

#[test]
fn a_session_moves_when_its_instance_is_gone() {
    let mut world = World::new(10_000);
    let spec = World::spec(1, 1);
    let a = world.sit(&spec, "a", 1).unwrap();
    world.pools.change(a.0, Change::Ending, world.now);
    let b = world.sit(&spec, "a", 1).unwrap();
    assert_ne!(a.0, b.0);
    world.pools.ended(a.0);
    world.done(b);
    assert_eq!(world.sit(&spec, "a", 1).unwrap().0, b.0, "the old one's end changes nothing");
}
