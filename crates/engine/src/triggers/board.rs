//! How each trigger is doing, in memory: what it does now, its last error, how fast it goes. What must survive
//! a restart is in its cursor.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stint_model::time::{Span, Timestamp};

use super::Posted;

/// Events of this long make the throughput.
const WINDOW_SLOTS: usize = 6;
const SLOT: Span = Span::from_secs(10);

/// What a trigger does now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TriggerState {
    /// A person stopped it.
    Paused,
    /// Its configuration says that it does not fire.
    Disabled,
    /// It waits for requests.
    Listening,
    /// Its source connects.
    Connecting,
    /// Its source is read.
    Running,
    /// Its source is not read, because of this.
    Held(String),
    /// It failed and is tried again at this time.
    BackingOff(Timestamp),
    /// It failed and stands until it is changed or resumed.
    Failed,
}

impl TriggerState {
    /// As it is shown.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Listening => "listening",
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Held(_) => "held",
            Self::BackingOff(_) => "backing-off",
            Self::Failed => "failed",
        }
    }
}

/// How a trigger is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TriggerStatus {
    /// What it does.
    pub state: TriggerState,
    /// Since when.
    pub since: Timestamp,
    /// The last failure and its time; it stays when things go well again.
    pub last_error: Option<(Timestamp, String)>,
    /// Events that wait on the other side, where that is known.
    pub lag: Option<u64>,
    /// Events in the last minute.
    pub events_last_minute: u64,
    /// What was posted since the server started, for triggers that take requests.
    pub posted: Posted,
}

/// See the module comment.
#[derive(Debug, Default)]
pub(crate) struct Board {
    live: Mutex<HashMap<String, Live>>,
}

#[derive(Debug)]
struct Live {
    state: TriggerState,
    since: Timestamp,
    last_error: Option<(Timestamp, String)>,
    lag: Option<u64>,
    slots: [(i64, u64); WINDOW_SLOTS],
    posted: Posted,
}

impl Live {
    fn new(now: Timestamp) -> Self {
        let state = TriggerState::Connecting;
        Self {
            state,
            since: now,
            last_error: None,
            lag: None,
            slots: [(0, 0); WINDOW_SLOTS],
            posted: Posted::default(),
        }
    }

    fn recent(&self, now: Timestamp) -> u64 {
        let oldest = slot_of(now) - WINDOW_SLOTS as i64;
        self.slots.iter().filter(|(slot, _)| *slot > oldest).map(|(_, count)| count).sum()
    }
}

fn slot_of(now: Timestamp) -> i64 {
    now.seconds() / i64::try_from(SLOT.secs()).unwrap_or(1)
}

impl Board {
    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, trigger: &str, now: Timestamp, change: impl FnOnce(&mut Live)) {
        let mut live = self.live();
        change(live.entry(trigger.to_owned()).or_insert_with(|| Live::new(now)));
    }

    /// It does something else now.
    pub(crate) fn is(&self, trigger: &str, state: TriggerState, now: Timestamp) {
        self.change(trigger, now, |live| {
            if live.state != state {
                (live.state, live.since) = (state, now);
            }
        });
    }

    /// Something went wrong.
    pub(crate) fn failed(&self, trigger: &str, why: String, now: Timestamp) {
        self.change(trigger, now, |live| live.last_error = Some((now, why)));
    }

    /// Events were taken.
    pub(crate) fn took(&self, trigger: &str, (events, lag): (u64, Option<u64>), now: Timestamp) {
        let slot = slot_of(now);
        self.change(trigger, now, |live| {
            live.lag = lag;
            let place = usize::try_from(slot).unwrap_or(0) % WINDOW_SLOTS;
            let known = &mut live.slots[place];
            *known = if known.0 == slot { (slot, known.1 + events) } else { (slot, events) };
        });
    }

    /// Events were posted; how many since the server started.
    pub(crate) fn posted(&self, trigger: &str, posted: Posted, now: Timestamp) {
        self.took(trigger, (posted.events, None), now);
        self.change(trigger, now, |live| {
            live.posted.events += posted.events;
            live.posted.passed += posted.passed;
            live.posted.tasks += posted.tasks;
            live.posted.known += posted.known;
        });
    }

    /// How it is doing, if it was ever seen.
    pub(crate) fn status(&self, trigger: &str, now: Timestamp) -> Option<TriggerStatus> {
        self.live().get(trigger).map(|live| TriggerStatus {
            state: live.state.clone(),
            since: live.since,
            last_error: live.last_error.clone(),
            lag: live.lag,
            events_last_minute: live.recent(now),
            posted: live.posted,
        })
    }

    /// Forgets the triggers that are not among these.
    pub(crate) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.live().retain(|trigger, _| wanted(trigger));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_last_minute_moves_on() {
        let board = Board::default();
        board.took("t", (5, Some(3)), at(1_000));
        board.took("t", (5, None), at(1_030));
        let recent = |now: i64| board.status("t", at(now)).unwrap().events_last_minute;
        assert_eq!(recent(1_040), 10);
        assert_eq!(recent(1_075), 5);
        assert_eq!(recent(1_200), 0);
    }

    #[test]
    fn an_error_stays_when_things_go_well_again() {
        let board = Board::default();
        board.failed("t", "no".into(), at(1));
        board.is("t", TriggerState::BackingOff(at(9)), at(1));
        board.is("t", TriggerState::Running, at(9));
        board.is("t", TriggerState::Running, at(10));
        let status = board.status("t", at(11)).unwrap();
        assert_eq!((status.state, status.since), (TriggerState::Running, at(9)));
        assert_eq!(status.last_error, Some((at(1), "no".to_owned())));
        board.keep(|trigger| trigger != "t");
        assert!(board.status("t", at(11)).is_none());
    }
}
