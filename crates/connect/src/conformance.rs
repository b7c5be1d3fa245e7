//! The laws of a source, one function each; their names read as law. A kind's tests implement [`Rig`] over
//! the real thing and name a way to make one:
//!
//! ```text
//! async fn rig() -> MyRig { … starts a server on a free port … }
//! stint_connect::source_conformance!(rig);
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use stint_model::id::AccountId;
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, Supervisor};

use crate::event::{Data, Event};
use crate::secret::{Secret, SecretRef};
use crate::source::{Cursor, Host, Origin, Promise, Reading, Room, Source, SourceError, Start};

/// How long a law waits for what must come.
const PATIENCE: Span = Span::from_secs(60);

/// The other side of a source, in the hands of a test. Each law gets a fresh one: nothing published, no
/// position kept.
#[async_trait]
pub trait Rig: Send {
    /// What the kind promises.
    fn promise(&self) -> Promise;

    /// Publishes an event whose data are this number in decimal; returns when the other side has it.
    async fn publish(&mut self, number: u64);

    /// A new source with the same settings, which starts with the oldest event when it has no position.
    fn source(&mut self) -> Box<dyn Source>;

    /// The secrets its settings name.
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The number an event was published with.
    fn number(&self, event: &Event) -> u64 {
        let text = match &event.data {
            Data::Json(value) => value.to_string(),
            Data::Text(text) => text.clone(),
            Data::Empty | Data::Bytes(_) => String::new(),
        };
        text.trim().parse().unwrap_or_else(|_| panic!("not what was published: {event:?}"))
    }

    /// Stops the other side, or starts it again with all it had; false when this cannot be done, and the
    /// law is then passed over.
    async fn set_down(&mut self, _is_down: bool) -> bool {
        false
    }
}

/// A house for one source: real time, no rule about addresses.
#[derive(Debug)]
pub struct TestHost {
    supervisor: Supervisor,
    secrets: BTreeMap<String, String>,
}

impl TestHost {
    /// With these secrets.
    pub fn new(secrets: BTreeMap<String, String>) -> Arc<Self> {
        Arc::new(Self { supervisor: Supervisor::new(Clock::start()), secrets })
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.supervisor.stop().request();
    }
}

#[async_trait]
impl Host for TestHost {
    fn clock(&self) -> &Clock {
        self.supervisor.clock()
    }

    fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    async fn secret(&self, secret: &SecretRef) -> Result<Secret, SourceError> {
        self.secrets.get(&secret.name).map(Secret::new).ok_or_else(|| SourceError::Credentials {
            what: "read a secret",
            why: format!("there is no secret '{}'", secret.name),
        })
    }

    async fn may_reach(&self, _: &str, _: u16) -> Result<(), SourceError> {
        Ok(())
    }

    fn may_read(&self, _: &Path) -> Result<(), SourceError> {
        Ok(())
    }
}

/// An open source with the host it lives in.
struct Open {
    source: Box<dyn Source>,
    host: Arc<TestHost>,
}

fn start(cursor: Option<&Cursor>) -> Start {
    let origin = Origin {
        account: AccountId::new(1),
        function: "thumbs".to_owned(),
        trigger: "feed".to_owned(),
    };
    Start { origin, cursor: cursor.cloned(), since: Timestamp::ZERO }
}

async fn open(rig: &mut dyn Rig, cursor: Option<&Cursor>) -> Open {
    let host = TestHost::new(rig.secrets());
    let mut source = rig.source();
    let house: Arc<dyn Host> = Arc::clone(&host) as Arc<dyn Host>;
    source.open(house, start(cursor)).await.expect("it opens");
    Open { source, host }
}

impl Open {
    /// Reads until there are `count` events; gives their numbers, ids and the last reading.
    async fn take(&mut self, rig: &dyn Rig, count: usize, room: Room) -> Taken {
        let until = self.host.clock().now() + PATIENCE;
        let mut taken = Taken::default();
        while taken.numbers.len() < count {
            assert!(self.host.clock().now() < until, "only {:?} came", taken.numbers);
            let events_max = room.events_max.min(count - taken.numbers.len());
            let reading = self.source.read(Room { events_max, ..room }).await.expect("it reads");
            assert!(reading.events.len() <= events_max, "more than there was room for");
            taken.note(rig, &reading);
        }
        taken
    }

    /// Reads for a while; gives what came although nothing should.
    async fn rest(&mut self, rig: &dyn Rig) -> Vec<u64> {
        let room = Room { events_max: 10, wait_max: Span::from_millis(500), ..Room::ONE };
        let reading = self.source.read(room).await.expect("it reads");
        reading.events.iter().map(|event| rig.number(event)).collect()
    }
}

#[derive(Default, Debug)]
struct Taken {
    numbers: Vec<u64>,
    ids: Vec<Option<String>>,
    cursor: Option<Cursor>,
    receipt: u64,
}

impl Taken {
    fn note(&mut self, rig: &dyn Rig, reading: &Reading) {
        for event in &reading.events {
            self.numbers.push(rig.number(event));
            self.ids.push(event.id.clone());
        }
        if let Some(cursor) = &reading.cursor {
            self.cursor = Some(cursor.clone());
        }
        assert!(reading.receipt > self.receipt, "receipts rise");
        self.receipt = reading.receipt;
    }
}

const SOME: Room = Room { events_max: 7, bytes_max: 1 << 20, wait_max: Span::from_millis(1_000) };

async fn publish(rig: &mut dyn Rig, numbers: Range<u64>) {
    for number in numbers {
        rig.publish(number).await;
    }
}

fn all(numbers: Range<u64>) -> Vec<u64> {
    numbers.collect()
}

/// What is published is delivered, in order, with an id that names one event.
pub async fn what_is_published_is_read_in_order(rig: &mut dyn Rig) {
    publish(rig, 0..20).await;
    let mut open = open(rig, None).await;
    let taken = open.take(rig, 20, SOME).await;
    assert_eq!(taken.numbers, all(0..20));
    let mut ids: Vec<_> = taken.ids.iter().flatten().collect();
    let told = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), told, "an id names one event");
    if rig.promise() == Promise::ExactlyOnce {
        assert_eq!(told, 20, "what has a position has a name");
    }
    publish(rig, 20..25).await;
    assert_eq!(open.take(rig, 5, SOME).await.numbers, all(20..25), "and what comes later");
}

/// Nothing there is an empty reading, in about the time that was given.
pub async fn an_empty_source_waits_as_long_as_it_may(rig: &mut dyn Rig) {
    let mut open = open(rig, None).await;
    let started = open.host.clock().now();
    let wait_max = Span::from_millis(300);
    let reading = open.source.read(Room { wait_max, ..Room::ONE }).await.expect("it reads");
    assert!(reading.events.is_empty());
    let took = open.host.clock().now().since(started);
    assert!(took < Span::from_secs(20), "{took:?}");
}

/// A source that was opened with a cursor goes on after it, whatever was settled or not.
pub async fn a_source_goes_on_after_its_cursor(rig: &mut dyn Rig) {
    if rig.promise() != Promise::ExactlyOnce {
        return;
    }
    publish(rig, 0..10).await;
    let mut first = open(rig, None).await;
    let early = first.take(rig, 4, SOME).await;
    // These were settled with the other side, but the commit that knew of them was lost with its server.
    let later = first.take(rig, 3, SOME).await;
    first.source.settle(later.receipt).await.expect("it settles");
    drop(first);
    let cursor = early.cursor.expect("a position");
    for _ in 0..2 {
        let mut next = open(rig, Some(&cursor)).await;
        let rest = next.take(rig, 6, SOME).await;
        assert_eq!(rest.numbers, all(4..10));
        assert_eq!(rest.ids[..3], later.ids[..], "the same names");
    }
}

/// A cursor that was just taken is good for an end, too: nothing comes again.
pub async fn a_source_at_its_end_gives_nothing_again(rig: &mut dyn Rig) {
    publish(rig, 0..5).await;
    let mut first = open(rig, None).await;
    let taken = first.take(rig, 5, SOME).await;
    first.source.settle(taken.receipt).await.expect("it settles");
    drop(first);
    let mut next = open(rig, taken.cursor.as_ref()).await;
    assert_eq!(next.rest(rig).await, Vec::<u64>::new());
    rig.publish(5).await;
    assert_eq!(next.take(rig, 1, SOME).await.numbers, [5]);
}

/// What a source without positions delivered and nobody settled comes again, under the same name.
pub async fn what_was_not_settled_comes_again(rig: &mut dyn Rig) {
    if rig.promise() != Promise::AtLeastOnce {
        return;
    }
    publish(rig, 0..6).await;
    let mut first = open(rig, None).await;
    let settled = first.take(rig, 2, Room { events_max: 2, ..SOME }).await;
    first.source.settle(settled.receipt).await.expect("it settles");
    let lost = first.take(rig, 2, SOME).await;
    drop(first);
    let mut next = open(rig, None).await;
    let again = next.take(rig, 4, SOME).await;
    let mut numbers = again.numbers.clone();
    numbers.sort_unstable();
    assert_eq!(numbers, all(2..6), "nothing lost, nothing settled doubled");
    for (number, id) in lost.numbers.iter().zip(&lost.ids) {
        let place = again.numbers.iter().position(|other| other == number).expect("it came");
        assert_eq!(again.ids[place], *id, "the same name");
    }
}

/// A source that is dropped while it waits loses nothing.
pub async fn a_dropped_read_loses_nothing(rig: &mut dyn Rig) {
    let mut first = open(rig, None).await;
    let clock = first.host.clock().clone();
    let waiting = first.source.read(Room { wait_max: PATIENCE, ..SOME });
    drop(clock.within(Span::from_millis(200), waiting).await);
    publish(rig, 0..3).await;
    drop(first);
    let mut next = open(rig, None).await;
    let mut numbers = next.take(rig, 3, SOME).await.numbers;
    numbers.sort_unstable();
    assert_eq!(numbers, all(0..3));
}

/// The other side goes away and comes back: that is an error and no hang, and nothing is lost.
pub async fn a_broken_connection_is_told_and_healed(rig: &mut dyn Rig) {
    publish(rig, 0..3).await;
    let mut first = open(rig, None).await;
    let taken = first.take(rig, 3, SOME).await;
    first.source.settle(taken.receipt).await.expect("it settles");
    if !rig.set_down(true).await {
        return;
    }
    let clock = first.host.clock().clone();
    let told = async {
        loop {
            if let Err(error) = first.source.read(SOME).await {
                return error;
            }
        }
    };
    let error = clock.within(PATIENCE, told).await.expect("it is told in time");
    assert_eq!(error.class(), crate::source::Class::Transient, "{error}");
    drop(first);
    assert!(rig.set_down(false).await);
    publish(rig, 3..6).await;
    let until = clock.now() + PATIENCE;
    loop {
        let host = TestHost::new(rig.secrets());
        let mut source = rig.source();
        let house: Arc<dyn Host> = Arc::clone(&host) as Arc<dyn Host>;
        if source.open(house, start(taken.cursor.as_ref())).await.is_ok() {
            let mut next = Open { source, host };
            let numbers = next.take(rig, 3, SOME).await.numbers;
            assert_eq!(numbers, all(3..6));
            return;
        }
        assert!(clock.now() < until, "it does not open again");
        clock.sleep(Span::from_millis(100)).await;
    }
}

/// Runs one law on a runtime of its own, with a thread beside it for clients that have loops.
pub fn run<T>(law: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("a runtime").block_on(law)
}

/// One `#[test]` per law of a [`Source`], over what `$rig` makes: an async function without arguments that
/// gives a [`Rig`](crate::conformance::Rig).
#[macro_export]
macro_rules! source_conformance {
    ($rig:path) => {
        $crate::source_laws! { $rig {
            what_is_published_is_read_in_order
            an_empty_source_waits_as_long_as_it_may
            a_source_goes_on_after_its_cursor
            a_source_at_its_end_gives_nothing_again
            what_was_not_settled_comes_again
            a_dropped_read_loses_nothing
            a_broken_connection_is_told_and_healed
        }}
    };
}

/// The tests of [`source_conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! source_laws {
    ($rig:path { $($law:ident)* }) => {
        $(
            #[test]
            fn $law() {
                $crate::conformance::run(async {
                    let mut rig = $rig().await;
                    $crate::conformance::$law(&mut rig).await;
                });
            }
        )*
    };
}
