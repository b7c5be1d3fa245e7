//! Instances as a pool: capacity, eviction, idling, fencing, draining, crashes between requests.

use std::sync::Arc;

use stint_model::function::IsolationMode;
use stint_model::limit::Resources;
use stint_model::shard::Epoch;
use stint_model::time::Span;
use stint_wire::node::{InstanceState, Outcome, PoolSpec, StopReason, ToNode};

use crate::rig::{As, Rig};

const SLEEPER: &str = "import time\ndef handler(event, context):\n    time.sleep(float(event or b'0'))\n    return 'ok'";

fn sleeper(rig: &Rig) -> Arc<PoolSpec> {
    Arc::new(rig.function("python3", &[("index.py", SLEEPER)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_refuses_what_does_not_fit_and_makes_room_where_it_can() {
    let rig = Rig::with(As::Me, |config| {
        config.capacity = Resources { cpu_milli: 1_000, memory_mb: 512 };
    })
    .await;
    let (a, b) = (sleeper(&rig), sleeper(&rig));
    let busy = rig.run(rig.start(&a, b"60")).await;
    rig.started(busy).await;
    assert_eq!(rig.invoke(&a, b"0").await.outcome, Outcome::Ok, "two fit");
    // The idle one of a makes room for b.
    let other = rig.run(rig.start(&b, b"60")).await;
    rig.started(other).await;
    let refused = rig.invoke(&b, b"0").await;
    assert!(matches!(refused.outcome, Outcome::Refused { .. }), "{refused:?}");
    let giant = Arc::new(rig.function_with("python3", &[("index.py", SLEEPER)], |config| {
        config.size = Resources { cpu_milli: 100, memory_mb: 1_024 };
    }));
    let Outcome::Refused { reason } = rig.invoke(&giant, b"0").await.outcome else { panic!() };
    assert!(reason.contains("1024 MB"), "{reason}");
    let status = rig.handle.status();
    assert_eq!((status.live, status.running), (2, 2), "{status:?}");
    let load = rig
        .until("it says how full it is", |heard| {
            Some(heard.load).filter(|load| (load.instances, load.running) == (2, 2))
        })
        .await;
    assert_eq!((load.used, load.online), (status.used, 0));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_end_by_time_eviction_and_retirement() {
    let rig = Rig::with(As::Me, |config| {
        config.bounds.idle_timeout = Span::from_secs(3_600);
    })
    .await;
    let (kept, short) = (sleeper(&rig), {
        Arc::new(rig.function_with("python3", &[("index.py", SLEEPER)], |config| {
            config.idle_timeout = Span::from_millis(50);
        }))
    });
    let first = rig.invoke(&kept, b"0").await.measured.instance;
    rig.invoke(&short, b"0").await;
    rig.pool_is(&short, 0).await;
    rig.pool_is(&kept, 1).await;
    rig.send(ToNode::Evict { pool: kept.pool, count: 3 }).await;
    rig.pool_is(&kept, 0).await;
    let lease = rig.run(rig.start(&kept, b"0.3")).await;
    assert_ne!(rig.started(lease).await.instance, first);
    // Retired while it is busy: it finishes first.
    rig.send(ToNode::Retire { pool: kept.pool }).await;
    assert_eq!(rig.finished(lease).await.outcome, Outcome::Ok);
    rig.pool_is(&kept, 0).await;
    let ends = rig
        .until("three instances are gone", |heard| {
            let gone = heard.instances.iter().filter(|r| r.state == InstanceState::Destroyed);
            let reasons: Vec<_> = gone.map(|r| r.reason.clone()).collect();
            (reasons.len() == 3).then_some(reasons)
        })
        .await;
    for expected in ["it was idle", "its room is needed", "its revision is no longer wanted"] {
        assert!(ends.iter().any(|end| end == expected), "{ends:?}");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_per_instance_when_isolation_says_so() {
    let rig = Rig::open().await;
    let spec = Arc::new(rig.function_with("python3", &[("index.py", SLEEPER)], |config| {
        config.isolation = IsolationMode::Request;
    }));
    let first = rig.invoke(&spec, b"0").await.measured.instance;
    let second = rig.invoke(&spec, b"0").await.measured.instance;
    assert_ne!(first, second);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_ends_older_leases_and_only_those() {
    let rig = Rig::open().await;
    let spec = sleeper(&rig);
    let (old, mut new) = (rig.start(&spec, b"60"), rig.start(&spec, b"0.5"));
    new.lease.epoch = Epoch(2);
    let (old, new) = (rig.run(old).await, rig.run(new).await);
    rig.started(old).await;
    rig.started(new).await;
    rig.send(ToNode::Fence { shard: old.shard, epoch: Epoch(2) }).await;
    assert_eq!(rig.finished(old).await.outcome, Outcome::Stopped(StopReason::Deposed));
    assert_eq!(rig.finished(new).await.outcome, Outcome::Ok);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_work_finish_and_takes_nothing_new() {
    let rig = Rig::open().await;
    let spec = sleeper(&rig);
    let lease = rig.run(rig.start(&spec, b"0.3")).await;
    rig.started(lease).await;
    rig.send(ToNode::Drain { grace: Span::from_secs(30) }).await;
    assert!(matches!(rig.invoke(&spec, b"0").await.outcome, Outcome::Refused { .. }));
    assert_eq!(rig.finished(lease).await.outcome, Outcome::Ok);
    rig.until("the node is drained", |heard| heard.drained.then_some(())).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_is_forced() {
    let rig = Rig::open().await;
    let spec = sleeper(&rig);
    let lease = rig.run(rig.start(&spec, b"60")).await;
    rig.started(lease).await;
    rig.send(ToNode::Drain { grace: Span::from_millis(50) }).await;
    assert!(matches!(rig.finished(lease).await.outcome, Outcome::SystemError { .. }));
    rig.until("the node is drained", |heard| heard.drained.then_some(())).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_between_requests_hurts_nobody() {
    let rig = Rig::open().await;
    let code = r"
import os, threading
def handler(event, context):
    if event == b'later':
        threading.Timer(0.05, lambda: os._exit(9)).start()
    return 'ok'
";
    let spec = Arc::new(rig.function("python3", &[("index.py", code)]));
    assert_eq!(rig.invoke(&spec, b"later").await.outcome, Outcome::Ok);
    rig.pool_is(&spec, 0).await;
    let done = rig.invoke(&spec, b"").await;
    assert_eq!((done.outcome, done.measured.cold), (Outcome::Ok, true));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_can_be_stopped() {
    let rig = Rig::open().await;
    let code = "import time\ntime.sleep(60)\ndef handler(event, context):\n    return 'never'";
    let spec = Arc::new(rig.function("python3", &[("index.py", code)]));
    let lease = rig.run(rig.start(&spec, b"")).await;
    rig.until("it is starting", |heard| (heard.pools.get(&spec.pool)? == &(0, 1)).then_some(()))
        .await;
    rig.send(ToNode::Stop { lease, reason: StopReason::Stopped, grace: Span::ZERO }).await;
    assert_eq!(rig.finished(lease).await.outcome, Outcome::Stopped(StopReason::Stopped));
    rig.pool_is(&spec, 0).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_all_end_and_reports_name_what_holds_them() {
    let rig = Rig::open().await;
    let spec = sleeper(&rig);
    let mut leases = Vec::new();
    for _ in 0..12 {
        leases.push(rig.run(rig.start(&spec, b"0.05")).await);
    }
    for lease in leases {
        let outcome = rig.finished(lease).await.outcome;
        assert!(matches!(outcome, Outcome::Ok), "{outcome:?}");
    }
    let enforced = rig
        .until("an instance runs", |heard| {
            let running = heard.instances.iter().find(|r| r.state == InstanceState::Running);
            running.map(|report| report.enforced.clone())
        })
        .await;
    assert!(enforced.iter().any(|word| word.starts_with("seccomp")), "{enforced:?}");
    let runtimes = rig.until("hello", |heard| Some(heard.runtimes.clone())).await;
    assert!(runtimes.contains_key("python3.10"), "{runtimes:?}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_used_is_told_while_it_runs_and_when_it_ends() {
    let rig = Rig::with(As::Me, |config| config.bounds.metered_every = Span::from_millis(50)).await;
    let code = "import time\ndef init(context):\n    time.sleep(0.1)\n\
                def handler(event, context):\n    time.sleep(float(event or b'0'))\n    return 'ok'";
    let spec = Arc::new(rig.function_with("python3", &[("index.py", code)], |config| {
        config.initializer = crate::rig::hook("index.init");
    }));
    assert_eq!(rig.invoke(&spec, b"0.3").await.outcome, Outcome::Ok);
    assert!(rig.used().len() >= 3, "told while it ran: {:?}", rig.used());
    assert_eq!(rig.invoke(&spec, b"0").await.outcome, Outcome::Ok);
    rig.send(ToNode::Retire { pool: spec.pool }).await;
    rig.pool_is(&spec, 0).await;
    let gone = |report: &stint_wire::node::InstanceReport| report.state == InstanceState::Destroyed;
    rig.until("the instance is gone", |heard| heard.instances.iter().any(gone).then_some(())).await;
    let used = rig.used();
    let active: u64 = used.iter().map(|piece| piece.active.micros()).sum();
    assert!((400_000..2_000_000).contains(&active), "initializer and handler: {active} µs");
    assert_eq!(used.iter().map(|piece| piece.invocations).sum::<u32>(), 2);
    for piece in &used {
        assert_eq!((piece.size, &piece.function_name), (spec.size, &spec.function_name));
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_starts_by_itself_stays_and_goes() {
    let rig = Rig::with(As::Me, |config| {
        config.bounds.idle_timeout = Span::from_millis(50);
        config.bounds.metered_every = Span::from_millis(20);
    })
    .await;
    let code = "def handler(event, context):\n    return event";
    let spec = Arc::new(rig.function("python3", &[("index.py", code)]));
    let idle_cpu = stint_model::scaling::IdleCpu::Allocated;
    let keep = |count| ToNode::Keep { spec: Arc::clone(&spec), count, idle_cpu };
    rig.send(keep(2)).await;
    rig.pool_is(&spec, 2).await;
    // Said again it changes nothing; evicting and waiting do neither.
    rig.send(keep(2)).await;
    rig.send(ToNode::Evict { pool: spec.pool, count: 2 }).await;
    let answer = rig.invoke(&spec, b"1").await;
    assert_eq!(answer.outcome, Outcome::Ok);
    assert!(!answer.measured.cold, "it met one that waited");
    // Told where the machine can tell what a sandbox takes.
    let gauge = rig.until("anything is heard", |heard| Some(heard.gauge)).await;
    assert!(gauge.is_none_or(|gauge| gauge.memory_permille <= 1_000), "{gauge:?}");
    rig.pool_is(&spec, 2).await;
    rig.send(keep(1)).await;
    rig.pool_is(&spec, 1).await;
    rig.send(keep(0)).await;
    rig.pool_is(&spec, 0).await;
    let kept: Vec<_> =
        rig.used().into_iter().filter(|piece| piece.kept == Some(idle_cpu)).collect();
    assert!(kept.iter().any(|piece| piece.idle > Span::ZERO), "{kept:?}");
    rig.close().await;
}
