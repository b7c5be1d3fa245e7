//! What the supervisor promises about every end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::SimClock;

const SECOND: Span = Span::from_secs(1);

fn house() -> (Supervisor, SimClock) {
    let (clock, hand) = Clock::simulated(Timestamp::from_millis(1_800_000_000_000));
    (Supervisor::new(clock), hand)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(10);
    tokio::time::timeout(deadline, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_task_that_was_asked_to_stop_leaves_quietly() {
    let (house, _) = house();
    let task = house.spawn("dispatch", OnExit::StopServer, |stop| async move {
        stop.stopped().await;
    });
    assert_eq!(house.status()[0].name, "dispatch");
    assert_eq!(house.status()[0].state, State::Running);
    assert!(!task.is_ended());
    house.stop().request();
    house.ended().await;
    task.ended().await;
    assert!(house.status().is_empty());
    assert!(house.shared.failure.borrow().is_none());
}

#[tokio::test]
async fn a_needed_task_that_returns_stops_the_server() {
    let (house, _) = house();
    house.spawn("dispatch", OnExit::StopServer, |_| async {});
    let failure = house.failed().await;
    assert_eq!(failure.name, "dispatch");
    assert_eq!(failure.reason, "returned without being asked to stop");
    assert_eq!(house.status()[0].state, State::Failed);
}

#[tokio::test]
async fn a_panic_has_the_same_policy_as_a_return() {
    let (house, _) = house();
    house.spawn("planner", OnExit::StopServer, |_| async {
        assert!(std::hint::black_box(false), "twice two is five");
    });
    assert_eq!(house.failed().await.reason, "panicked: twice two is five");
    let reason = house.group().failed().await.reason;
    assert_eq!(reason, "panicked: twice two is five", "every group sees it");
}

#[tokio::test]
async fn only_the_first_failure_is_the_cause() {
    let (house, _) = house();
    let first = house.spawn("first", OnExit::StopServer, |_| async {});
    first.ended().await;
    let second = house.spawn("second", OnExit::StopServer, |_| async {});
    second.ended().await;
    assert_eq!(house.failed().await.name, "first");
}

#[tokio::test]
async fn an_error_on_the_way_out_is_a_failure_although_the_stop_was_asked_for() {
    let (house, _) = house();
    house.spawn("flush", OnExit::StopServer, |stop| async move {
        stop.stopped().await;
        Err::<(), _>(std::io::Error::other("disk full"))
    });
    house.stop().request();
    assert_eq!(house.failed().await.reason, "disk full");
}

#[tokio::test]
async fn a_one_shot_that_fails_is_shown_and_changes_nothing_else() {
    let (house, _) = house();
    for n in 0..FAILED_KEPT + 5 {
        let name = format!("migrate {n}");
        let task = house.spawn(name, OnExit::Ignore, |_| async { Err::<(), _>("no such table") });
        task.ended().await;
    }
    house.spawn("quiet", OnExit::Ignore, |_| async {}).ended().await;
    let status = house.status();
    assert_eq!(status.len(), FAILED_KEPT, "bounded");
    assert_eq!(status[0].name, "migrate 5", "the oldest are forgotten");
    assert_eq!(status[0].last_result.as_deref(), Some("no such table"));
    assert!(house.shared.failure.borrow().is_none());
}

#[tokio::test]
async fn a_restarting_task_waits_longer_each_quick_time() {
    let (house, hand) = house();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let task = house.spawn_restarting("trigger/timer", SECOND, move |_| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run > 1, "not yet");
            Err::<(), _>("lost the broker")
        }
    });
    for (pause, runs_before) in [(1, 1), (2, 2), (4, 3), (8, 4)] {
        until("asleep", || hand.sleepers() == 1).await;
        assert_eq!(runs.load(Ordering::SeqCst), runs_before);
        assert_eq!(house.status()[0].state, State::Waiting);
        assert_eq!(hand.next_wake(), Some(hand.now() + Span::from_secs(pause)));
        hand.advance(Span::from_secs(pause));
        until("ran again", || runs.load(Ordering::SeqCst) > runs_before).await;
    }
    until("asleep", || hand.sleepers() == 1).await;
    let status = house.status().remove(0);
    assert_eq!((status.restarts, status.last_result.as_deref()), (4, Some("lost the broker")));
    task.stop();
    task.ended().await;
    assert!(house.status().is_empty());
}

#[tokio::test]
async fn a_long_run_forgives_earlier_quick_ends() {
    let (house, hand) = house();
    let clock = house.clock().clone();
    let mut runs = 0;
    house.spawn_restarting("poll", SECOND, move |_| {
        runs += 1;
        let (clock, long) = (clock.clone(), runs == 3);
        async move {
            if long {
                clock.sleep(Span::from_secs(65)).await;
            }
        }
    });
    for pause in [1, 2, 65, 1] {
        until("asleep", || hand.sleepers() == 1).await;
        assert_eq!(hand.next_wake(), Some(hand.now() + Span::from_secs(pause)));
        hand.advance(Span::from_secs(pause));
        until("woken", || hand.next_wake() != Some(hand.now())).await;
    }
    house.stop().request();
    house.ended().await;
}

#[tokio::test]
async fn a_thread_is_named_waited_for_and_watched() {
    let (house, _) = house();
    let (send, inbox) = std::sync::mpsc::sync_channel::<u32>(1);
    let thread = house.thread("store writer", OnExit::StopServer, move |stop| {
        assert_eq!(std::thread::current().name(), Some("store writer"));
        for number in inbox {
            assert_ne!(number, 13, "unlucky");
        }
        assert!(stop.is_stopped());
    });
    let thread = thread.unwrap();
    send.send(1).unwrap();
    house.stop().request();
    drop(send);
    house.ended().await;
    assert!(thread.is_ended());
    assert!(house.status().is_empty());

    let (house, _) = self::house();
    let thread = house.thread("store writer", OnExit::StopServer, |_| Err::<(), _>("torn page"));
    thread.unwrap().ended().await;
    assert_eq!(house.failed().await.reason, "torn page");
}

#[tokio::test]
async fn blocking_work_returns_its_value_or_its_panic() {
    let (house, _) = house();
    assert_eq!(house.blocking(|| 6 * 7).await, Ok(42));
    let crash = house.blocking(|| assert!(std::hint::black_box(false), "bad zip")).await;
    assert_eq!(crash, Err(Crashed("bad zip".to_owned())));
    house.ended().await;
}

#[tokio::test]
async fn tasks_may_be_spawned_from_a_thread_without_a_runtime() {
    let (house, _) = house();
    let inner = house.clone();
    let thread = house.thread("outside", OnExit::Ignore, move |_| {
        inner.spawn("inside", OnExit::Ignore, |_| async {});
    });
    thread.unwrap().ended().await;
    house.ended().await;
    assert!(house.status().is_empty());
}

#[tokio::test]
async fn a_group_stops_alone_and_with_its_parent() {
    let (house, _) = house();
    let (door, nodes) = (house.group(), house.group());
    door.spawn("api", OnExit::StopServer, |stop| async move { stop.stopped().await });
    nodes.spawn("pool", OnExit::StopServer, |stop| async move { stop.stopped().await });
    door.stop().request();
    door.ended().await;
    assert_eq!(house.status().len(), 1, "the other group goes on");
    house.stop().request();
    nodes.ended().await;
    assert!(house.status().is_empty());
}

#[tokio::test]
async fn guests_are_bounded_and_a_crash_of_one_is_only_counted() {
    let (house, _) = house();
    let guests = house.guests("connections", 2);
    let (open, opened) = watch::channel(false);
    let mut waiting = opened.clone();
    guests.admit().await.spawn(|_| async move {
        waiting.wait_for(|open| *open).await.unwrap();
    });
    guests.admit().await.spawn(|_| async { panic!("bad bytes") });
    until("one crashed", || guests.crashes() == 1).await;
    until("its place is free", || guests.count() == 1).await;
    guests.try_admit().unwrap().spawn(|stop| async move { stop.stopped().await });
    assert!(guests.try_admit().is_none(), "full");
    assert_eq!((guests.count(), guests.max()), (2, 2));
    let place = guests.admit();
    open.send(true).unwrap();
    drop(place.await);
    house.stop().request();
    house.ended().await;
    assert_eq!(guests.count(), 0);
    assert!(house.shared.failure.borrow().is_none());
}
