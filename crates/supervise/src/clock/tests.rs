//! What a clock promises, told with two fake hands.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::*;

const SECOND: Span = Span::from_secs(1);
const HOUR: Span = Span::from_secs(3_600);
const DAY: Span = Span::from_secs(86_400);
const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[derive(Clone)]
struct Fake {
    wall: Arc<AtomicI64>,
    elapsed: Arc<AtomicU64>,
}

impl Fake {
    fn clock(floor: Timestamp) -> (Self, Clock) {
        let fake = Self {
            wall: Arc::new(AtomicI64::new(NOON.micros())),
            elapsed: Arc::new(AtomicU64::new(7)),
        };
        (fake.clone(), Clock::with_hands(Box::new(fake), floor))
    }

    /// Both hands move, the wall by `drift` microseconds more or less.
    fn pass(&self, span: Span, drift: i64) {
        self.elapsed.fetch_add(span.micros(), Ordering::SeqCst);
        let micros = i64::try_from(span.micros()).unwrap();
        self.wall.fetch_add(micros + drift, Ordering::SeqCst);
    }

    fn step_wall(&self, micros: i64) {
        self.wall.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Hands for Fake {
    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(self.wall.load(Ordering::SeqCst))
    }
    fn elapsed(&self) -> Span {
        Span::from_micros(self.elapsed.load(Ordering::SeqCst))
    }
}

fn micros(span: Span) -> i64 {
    i64::try_from(span.micros()).unwrap()
}

#[test]
fn an_honest_wall_clock_is_followed_exactly() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    assert_eq!(clock.now(), NOON);
    hands.pass(HOUR, 0);
    assert_eq!(clock.now(), NOON + HOUR);
    assert_eq!(clock.skew().0, Span::ZERO);
}

#[test]
fn a_jump_of_two_days_forward_expires_nothing() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    hands.step_wall(2 * micros(DAY));
    assert_eq!(clock.now(), NOON, "a step alone moves nothing");
    assert_eq!(clock.wall_now(), NOON + DAY.times(2));
    hands.pass(SECOND.times(100), 0);
    assert_eq!(clock.now(), NOON + SECOND.times(105), "worked off at the named rate");
    assert_eq!(clock.skew(), (Span::from_secs(2 * 86_400 - 5), false));
}

#[test]
fn a_jump_of_one_hour_back_never_turns_time_back_and_is_worked_off() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    hands.step_wall(-micros(HOUR));
    let mut last = clock.now();
    for _ in 0..19 {
        hands.pass(HOUR, 0);
        let now = clock.now();
        assert_eq!(now.since(last), Span::from_secs(3_600 - 180), "slower, not backwards");
        last = now;
    }
    hands.pass(HOUR, 0);
    assert_eq!(clock.now(), clock.wall_now(), "an hour is worked off in twenty");
    hands.pass(HOUR, 0);
    assert_eq!(clock.now(), clock.wall_now());
}

#[test]
fn drift_is_followed_without_a_step() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    for tick in 0..10_000_i64 {
        let before = clock.now();
        // NTP steers the wall clock by up to 500 parts in a million, either way.
        let drift = if tick % 2_000 < 1_000 { 500 } else { -500 };
        hands.pass(SECOND, drift);
        let after = clock.now();
        let (slow, fast) = (Span::from_micros(950_000), Span::from_micros(1_050_000));
        assert!(after.since(before) >= slow && after.since(before) <= fast);
        assert_eq!(after, clock.wall_now(), "so small a drift is followed at once");
    }
}

#[test]
fn frequent_readings_do_not_starve_the_correction() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    hands.step_wall(micros(HOUR));
    for _ in 0..100_000 {
        hands.pass(Span::from_micros(3), 0);
        let _read = clock.now();
    }
    assert_eq!(clock.now(), NOON + Span::from_micros(315_000), "300 ms and five in a hundred");
}

#[test]
fn frequent_readings_never_go_backwards() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    hands.step_wall(-micros(DAY));
    let mut last = clock.now();
    for pass in [0_u64, 1, 0, 3, 19, 20, 1, 0, 0, 7].into_iter().cycle().take(10_000) {
        hands.pass(Span::from_micros(pass), 0);
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
}

#[test]
fn after_a_restart_time_goes_on_from_what_the_book_saw() {
    let seen = NOON + HOUR;
    let (hands, clock) = Fake::clock(seen);
    assert_eq!(clock.now(), seen);
    hands.pass(SECOND.times(100), 0);
    assert_eq!(clock.now(), seen + SECOND.times(95));
    let (_, clock) = Fake::clock(NOON - HOUR);
    assert_eq!(clock.now(), NOON, "a floor in the past changes nothing");
}

#[test]
fn the_real_clock_starts_at_the_wall_and_rises() {
    let clock = Clock::start();
    let first = clock.now();
    assert!(clock.wall_now().since(first) < SECOND.times(60));
    assert!(clock.now() >= first);
    let far = first + DAY.times(365);
    assert!(Clock::starting_at(far).now() >= far);
}

#[tokio::test(start_paused = true)]
async fn a_real_sleep_ends_when_its_time_has_come() {
    let (hands, clock) = Fake::clock(Timestamp::ZERO);
    clock.sleep_until(NOON).await;
    let mut sleep = Box::pin(clock.sleep(HOUR));
    assert!(tokio::time::timeout(Duration::from_secs(3_600), &mut sleep).await.is_err());
    hands.pass(HOUR, 0);
    sleep.await;
}

#[tokio::test]
async fn simulated_sleepers_wake_in_order() {
    let (clock, hand) = Clock::simulated(NOON);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut sleepers = tokio::task::JoinSet::new();
    for (name, secs) in [("late", 30), ("early", 10), ("also early", 10)] {
        let (clock, order) = (clock.clone(), Arc::clone(&order));
        sleepers.spawn(async move {
            clock.sleep(Span::from_secs(secs)).await;
            order.lock().unwrap().push(name);
        });
    }
    while hand.sleepers() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hand.next_wake(), Some(NOON + SECOND.times(10)));
    hand.advance(SECOND.times(9));
    assert_eq!(hand.sleepers(), 3);
    hand.advance(SECOND);
    for _ in 0..2 {
        sleepers.join_next().await.unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["early", "also early"]);
    hand.advance_to(NOON + HOUR);
    sleepers.join_next().await.unwrap().unwrap();
    assert_eq!(clock.now(), NOON + HOUR);
}

#[tokio::test]
async fn a_dropped_simulated_sleep_is_forgotten() {
    let (clock, hand) = Clock::simulated(NOON);
    assert_eq!(clock.within(SECOND, async { 5 }).await, Some(5));
    assert_eq!(hand.sleepers(), 0);
    hand.advance_to(NOON - DAY);
    assert_eq!(clock.now(), NOON, "no hand turns time back");
    hand.set_wall(NOON + DAY);
    assert_eq!((clock.now(), clock.wall_now()), (NOON, NOON + DAY));
}
