//! The life of a task, move by move; and that no order of moves leaves the drawn arrows.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + ms)
}

fn order() -> Order {
    Order {
        uid: TaskUid::from_number(77),
        account: AccountId::ROOT,
        function: FunctionId::from_number(1),
        function_name: "f".into(),
        qualifier: "LATEST".into(),
        chosen_id: None,
        request_id: "r".into(),
        task_mode: true,
        submitted_at: at(0),
        not_before: at(0),
        expires_at: at(60_000),
        priority: Priority::DEFAULT,
        tags: BTreeMap::new(),
        order_key: None,
        limit_key: None,
        after: Vec::new(),
        timeout: None,
        heartbeat: None,
        size: None,
        retry: RetryPolicy { retries_max: 2, ..RetryPolicy::default() },
        on_success: String::new(),
        on_failure: String::new(),
        payload: Payload::empty(),
        letter: None,
    }
}

fn task() -> Task {
    Task::submit(Arc::new(order()))
}

fn place() -> Place {
    Place { node: NodeId(1), revision: RevisionId::from_number(9) }
}

fn measured(started: i64, ended: i64) -> Measured {
    Measured { started_at: at(started), ended_at: at(ended), ..Measured::default() }
}

fn draw() -> Backoff {
    Backoff { draw_millionths: 1_000_000 }
}

fn error(kind: &str) -> AttemptOutcome {
    AttemptOutcome::UserError(TaskError {
        class: "UnhandledInvocationError".into(),
        kind: kind.into(),
        message: "it said \"no\"\n".into(),
    })
}

fn leased() -> (Task, AttemptFence) {
    let mut task = task();
    let fence = task.lease(Epoch(3), place(), at(5)).expect("it waits");
    (task, fence)
}

fn settle(task: &mut Task, fence: AttemptFence, outcome: AttemptOutcome, now: i64) -> Next {
    task.settle(fence, outcome, Payload::empty(), &measured(now - 1, now), (at(now), draw()))
}

#[test]
fn a_good_life() {
    let (mut task, fence) = leased();
    assert_eq!(task.state(), TaskState::Dequeued);
    assert!(task.started(fence, &measured(6, 0)));
    assert_eq!(task.state(), TaskState::Running);
    assert_eq!(settle(&mut task, fence, AttemptOutcome::Ok, 10), Next::Ended(TaskState::Succeeded));
    assert_eq!(task.duration(), Span::from_millis(1));
    assert_eq!(task.events().iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn a_report_of_another_attempt_or_epoch_is_stale() {
    let (mut task, fence) = leased();
    let before = task.clone();
    for stale in [
        AttemptFence { epoch: Epoch(2), ..fence },
        AttemptFence { epoch: Epoch(4), ..fence },
        AttemptFence { number: 2, ..fence },
        AttemptFence { number: 0, ..fence },
    ] {
        assert!(!task.started(stale, &measured(6, 0)));
        assert_eq!(settle(&mut task, stale, AttemptOutcome::Ok, 10), Next::Stale);
    }
    assert_eq!(task, before, "nothing changed");
}

#[test]
fn an_outcome_is_applied_once() {
    let (mut task, fence) = leased();
    settle(&mut task, fence, AttemptOutcome::Ok, 10);
    let done = task.clone();
    assert_eq!(settle(&mut task, fence, error("E"), 11), Next::Stale);
    assert_eq!(task, done);
}

#[test]
fn user_errors_back_off_and_end() {
    let (mut task, mut fence) = leased();
    let mut waits = Vec::new();
    let mut now = 10;
    loop {
        match settle(&mut task, fence, error("E"), now) {
            Next::Waits(until) => {
                assert_eq!(task.state(), TaskState::Retrying);
                waits.push(until.since(at(now)).millis());
                now = until.millis() - 1_000_000 + 1;
                fence = task.lease(Epoch(3), place(), at(now)).expect("it waits");
                now += 1;
            }
            Next::Ended(state) => break assert_eq!(state, TaskState::Failed),
            Next::Stale => panic!("the fence is live"),
        }
    }
    assert_eq!(waits, [1_000, 2_000], "doubling, at the top of the jitter");
    assert_eq!((task.user_retries(), task.attempts_total()), (2, 3));
    let detail = &task.events().last().expect("events").detail;
    assert!(detail.contains(r#""Message":"it said \"no\"\n""#), "{detail}");
}

#[test]
fn a_note_is_told_beside_what_an_event_says() {
    let (mut task, fence) = leased();
    task.note("first");
    assert_eq!(task.events().last().expect("events").detail, r#"{"Note":"first"}"#);
    settle(&mut task, fence, error("E"), 10);
    task.note("a \"b\"");
    let detail = &task.events().last().expect("events").detail;
    assert!(
        detail.starts_with("{\"Error\":") && detail.ends_with(r#","Note":"a \"b\""}"#),
        "{detail}"
    );
}

#[test]
fn half_of_a_wait_is_drawn_and_the_cap_holds() {
    let (base, cap) = (Span::from_secs(1), Span::from_secs(60));
    let least = Backoff { draw_millionths: 0 };
    assert_eq!(least.wait(base, cap, 0), Span::from_millis(500));
    assert_eq!(draw().wait(base, cap, 3), Span::from_secs(8));
    assert_eq!(draw().wait(base, cap, u32::MAX), cap);
}

#[test]
fn throttling_is_not_charged_and_gives_up_after_five_hours() {
    let (mut task, mut fence) = leased();
    let mut now = 10;
    let ended = loop {
        match settle(&mut task, fence, AttemptOutcome::Throttled("full".into()), now) {
            Next::Waits(until) => {
                assert_eq!(task.state(), TaskState::Enqueued);
                now = until.millis() - 1_000_000;
                fence = task.lease(Epoch(3), place(), at(now)).expect("it waits");
            }
            ended @ (Next::Ended(_) | Next::Stale) => break ended,
        }
    };
    assert_eq!(ended, Next::Ended(TaskState::Failed));
    assert_eq!(task.user_retries(), 0);
    assert!(at(now).since(at(10)) >= SYSTEM_RETRY_WINDOW);
    assert!(task.attempts().len() <= ATTEMPTS_KEPT_MAX && task.events().len() <= EVENTS_KEPT_MAX);
}

#[test]
fn a_lost_lease_waits_again_uncharged() {
    let (mut task, fence) = leased();
    assert_eq!(task.lost(at(50)), Next::Waits(at(50)));
    assert_eq!((task.state(), task.user_retries()), (TaskState::Enqueued, 0));
    assert_eq!(settle(&mut task, fence, AttemptOutcome::Ok, 60), Next::Stale, "the old attempt");
    let fence = task.lease(Epoch(4), place(), at(70)).expect("it waits");
    assert_eq!(fence.number, 2);
}

#[test]
fn a_stop_wins_over_everything_but_a_result() {
    for (outcome, expected) in [
        (AttemptOutcome::Ok, TaskState::Succeeded),
        (error("E"), TaskState::Stopped),
        (AttemptOutcome::Stopped, TaskState::Stopped),
        (AttemptOutcome::SystemError("x".into()), TaskState::Stopped),
    ] {
        let (mut task, fence) = leased();
        assert_eq!(task.stop("why", at(6)), Ok(Stop::TellNode(fence)));
        assert_eq!(task.stop("again", at(7)), Ok(Stop::Already));
        assert_eq!(settle(&mut task, fence, outcome, 10), Next::Ended(expected));
        assert_eq!(
            task.stop("late", at(11)).expect_err("ended").code,
            Code::AsyncTaskAlreadyFinished
        );
    }
}

#[test]
fn only_what_waits_and_is_old_expires() {
    let mut young = task();
    assert!(!young.expire(at(59_999)));
    assert!(young.expire(at(60_000)));
    assert_eq!(young.state(), TaskState::Expired);
    let (mut running, _) = leased();
    assert!(!running.expire(at(60_000)), "it does not kill what runs");
}

#[test]
fn an_ended_task_starts_its_counts_anew_by_hand() {
    let (mut task, fence) = leased();
    assert_eq!(
        task.retry(Span::from_secs(1), at(6)).expect_err("runs").code,
        Code::AsyncTaskNotFinished
    );
    settle(&mut task, fence, AttemptOutcome::Ok, 10);
    task.retry(Span::from_secs(1), at(100_000)).expect("ended");
    assert_eq!((task.state(), task.ended_at()), (TaskState::Enqueued, Timestamp::ZERO));
    assert_eq!(task.order().expires_at, at(101_000));
    assert_eq!(task.attempts_total(), 1, "the history goes on");
}

#[test]
fn dependencies_hold_and_release() {
    let (one, two) = (TaskUid::from_number(1), TaskUid::from_number(2));
    let mut order = order();
    order.after = vec![
        Dependency { task: one, when: When::Succeeded },
        Dependency { task: two, when: When::Ended },
    ];
    let mut task = Task::submit(Arc::new(order));
    assert_eq!(task.lease(Epoch(1), place(), at(1)), None, "held");
    assert_eq!(task.dependency_ended(two, TaskState::Failed, at(2)), None);
    assert_eq!(task.dependency_ended(two, TaskState::Failed, at(2)), None, "told twice");
    let mut bad = task.clone();
    assert_eq!(bad.dependency_ended(one, TaskState::Failed, at(3)), Some(false));
    assert_eq!(bad.state(), TaskState::Invalid);
    assert_eq!(task.dependency_ended(one, TaskState::Succeeded, at(3)), Some(true));
    assert!(task.lease(Epoch(1), place(), at(4)).is_some());
}

#[test]
fn what_is_held_does_not_age_and_waits_again_when_it_is_retried() {
    let mut order = order();
    order.expires_at = Timestamp::MAX;
    order.after = vec![Dependency { task: TaskUid::from_number(1), when: When::Succeeded }];
    let mut task = Task::submit(Arc::new(order));
    let week = Span::from_secs(7 * 86_400);
    assert!(!task.expire(at(0) + week));
    let one = TaskUid::from_number(1);
    assert_eq!(task.dependency_ended(one, TaskState::Succeeded, at(5)), Some(true));
    task.age_from(at(5), Span::from_secs(2));
    assert_eq!(task.order().expires_at, at(2_005));
    assert!(task.expire(at(2_005)));
    task.retry(Span::from_secs(1), at(9_000)).expect("ended");
    assert_eq!((task.waits_for().len(), task.order().expires_at), (1, Timestamp::MAX));
    assert_eq!(task.dependency_ended(one, TaskState::Failed, at(9_001)), Some(false));
}

#[test]
fn words_and_numbers_of_states_read_back() {
    for (number, state) in TaskState::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(state.number()), number);
        assert_eq!(TaskState::from_number(state.number()), Some(state));
        assert_eq!(TaskState::from_word(&state.word().to_lowercase()), Some(state));
    }
}

/// What may be done to a task, with a step of time before it.
#[derive(Clone, Debug)]
enum Move {
    Lease,
    Started,
    Ok,
    UserError,
    Throttled,
    SystemError,
    AttemptStopped,
    Lost,
    TakeBack,
    Stop,
    Expire,
    Invalidate,
    Retry,
}

fn moves() -> impl Strategy<Value = Vec<(Move, i64)>> {
    use Move::*;
    let one = prop_oneof![
        4 => Just(Lease), 2 => Just(Started), 2 => Just(Ok), 2 => Just(UserError),
        1 => Just(Throttled), 1 => Just(SystemError), 1 => Just(AttemptStopped), 1 => Just(Lost),
        1 => Just(TakeBack), 1 => Just(Stop), 1 => Just(Expire), 1 => Just(Invalidate),
        1 => Just(Retry),
    ];
    proptest::collection::vec((one, 0_i64..20_000), 1..200)
}

fn play(task: &mut Task, step: &Move, now: i64) {
    let fence = task.attempt().map_or(AttemptFence { epoch: Epoch(1), number: 0 }, |attempt| {
        AttemptFence { epoch: attempt.epoch, number: attempt.number }
    });
    let mut end = |outcome| settle(task, fence, outcome, now);
    match step {
        Move::Ok => _ = end(AttemptOutcome::Ok),
        Move::UserError => _ = end(error("E")),
        Move::Throttled => _ = end(AttemptOutcome::Throttled("t".into())),
        Move::SystemError => _ = end(AttemptOutcome::SystemError("s".into())),
        Move::AttemptStopped => _ = end(AttemptOutcome::Stopped),
        Move::Lease => _ = task.lease(Epoch(1), place(), at(now)),
        Move::Started => _ = task.started(fence, &measured(now, 0)),
        Move::Lost => _ = task.lost(at(now)),
        Move::TakeBack => _ = task.take_back(fence, &measured(now, now), at(now)),
        Move::Stop => _ = task.stop("s", at(now)).is_ok(),
        Move::Expire => _ = task.expire(at(now)),
        Move::Invalidate => _ = task.invalidate("gone", at(now)),
        Move::Retry => _ = task.retry(Span::from_secs(5), at(now)).is_ok(),
    }
}

/// Every arrow of the drawing, and the short cuts that leave out a state never seen by the engine.
fn arrow(from: TaskState, to: TaskState) -> bool {
    use TaskState::*;
    match from {
        Enqueued | Retrying => matches!(to, Dequeued | Stopping | Expired | Invalid),
        Dequeued => !matches!(to, Dequeued | Expired),
        Running => !matches!(to, Dequeued | Running | Expired),
        Stopping => matches!(to, Running | Stopped | Succeeded | Invalid),
        Succeeded | Failed | Stopped | Expired | Invalid => to == Enqueued,
    }
}

proptest! {
    #[test]
    fn every_step_follows_an_arrow_and_the_parts_always_make_a_task(steps in moves()) {
        let mut task = task();
        let mut now = 1;
        for (step, wait) in &steps {
            now += wait;
            let seen = task.events_total;
            let was = task.state();
            play(&mut task, step, now);
            let fresh = usize::try_from(task.events_total - seen).expect("few");
            let kept = task.events().len();
            let mut from = was;
            for event in &task.events()[kept.saturating_sub(fresh)..] {
                prop_assert!(arrow(from, event.state), "{from:?} to {:?} by {step:?}", event.state);
                from = event.state;
            }
            prop_assert_eq!(from, task.state());
            let parts = TaskParts::from(task.clone());
            prop_assert_eq!(&Task::try_from(parts), &Ok(task.clone()));
        }
    }
}

#[test]
fn every_arrow_of_a_waiting_task_is_walked() {
    let mut seen = BTreeSet::new();
    for step in [Move::Lease, Move::Stop, Move::Expire, Move::Invalidate] {
        let mut task = task();
        play(&mut task, &step, 70_000);
        seen.insert(task.state());
    }
    use TaskState::{Dequeued, Expired, Invalid, Stopped};
    assert_eq!(seen, BTreeSet::from([Dequeued, Expired, Invalid, Stopped]));
}
