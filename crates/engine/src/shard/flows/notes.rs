//! What a shard notes beside an execution's state: its timers, what each open call is, and what was asked
//! outside and not answered yet. Together they are the document in the book: a line of notes, then the state as
//! `flow` writes it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_flow::{Call, CallId, Evaluation, State, TimerId};
use stint_model::id::TaskUid;
use stint_model::time::Timestamp;
use stint_store::StoreError;

use super::integration::{FunctionShape, HttpOrder, Wait};

/// Stored forms, oldest first.
#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Notes),
}

/// See the module comment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// When each timer is due, in microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    timers: Vec<(TimerId, i64)>,
    /// Open calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<(CallId, Target)>,
    /// Asked and not answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asks: Vec<Ask>,
}

/// What an open call is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// A task of a function; its number once known here.
    Task { function: u64, name: String, task: Option<u64>, shape: FunctionShape, how: Wait },
    /// An execution of another flow: its list and name, and what it is to the step.
    Child { list: u64, flow: String, name: String, how: Wait },
    /// An HTTP request.
    Http { url: String },
    /// Work for pollers.
    Work { activity: String, is_taken: bool },
    /// A map run.
    Map,
}

/// What was asked outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Expressions.
    Evaluate(Box<Evaluation>),
    /// A request.
    Http { call: CallId, order: Box<HttpOrder> },
    /// Work that waits for a poller.
    Work { activity: String, call: Box<Call> },
    /// A map run goes on; its record says how.
    Map(CallId),
    /// The next turn goes on with the execution.
    Go,
}

impl Notes {
    pub(crate) fn wake(&mut self, timer: TimerId, at: Timestamp) {
        self.unwake(timer);
        self.timers.push((timer, at.micros()));
    }

    pub(crate) fn unwake(&mut self, timer: TimerId) {
        self.timers.retain(|(known, _)| *known != timer);
    }

    /// When the first timer is due.
    pub(crate) fn wake_at(&self) -> Timestamp {
        let first = self.timers.iter().map(|(_, at)| *at).min();
        first.map_or(Timestamp::MAX, Timestamp::from_micros)
    }

    /// Takes the timers that are due, the earliest first.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<TimerId> {
        let mut due: Vec<(i64, TimerId)> = self
            .timers
            .iter()
            .filter(|(_, at)| *at <= now.micros())
            .map(|(timer, at)| (*at, *timer))
            .collect();
        due.sort_unstable();
        self.timers.retain(|(_, at)| *at > now.micros());
        due.into_iter().map(|(_, timer)| timer).collect()
    }

    pub(crate) fn call(&mut self, id: CallId, target: Target) {
        self.end_call(id);
        self.calls.push((id, target));
    }

    pub(crate) fn target(&self, id: CallId) -> Option<&Target> {
        self.calls.iter().find(|(known, _)| *known == id).map(|(_, target)| target)
    }

    pub(crate) fn targets(&self) -> &[(CallId, Target)] {
        &self.calls
    }

    /// A call is over; what was asked for it is not wanted any more.
    pub(crate) fn end_call(&mut self, id: CallId) -> Option<Target> {
        self.asks.retain(|ask| ask.call() != Some(id));
        let at = self.calls.iter().position(|(known, _)| *known == id)?;
        Some(self.calls.remove(at).1)
    }

    /// A poller has the work.
    pub(crate) fn taken(&mut self, id: CallId) {
        self.asks.retain(|ask| ask.call() != Some(id));
        for (known, target) in &mut self.calls {
            if *known == id
                && let Target::Work { is_taken, .. } = target
            {
                *is_taken = true;
            }
        }
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asks.push(ask);
    }

    pub(crate) fn answered(&mut self, is_it: impl Fn(&Ask) -> bool) {
        self.asks.retain(|ask| !is_it(ask));
    }

    pub(crate) fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Nothing is waited for any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Ask {
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Http { call, .. } | Self::Map(call) => Some(*call),
            Self::Work { call, .. } => Some(call.id),
            Self::Evaluate(_) | Self::Go => None,
        }
    }
}

/// The task of a target, if it is known here.
pub(crate) fn task_of(target: &Target) -> Option<TaskUid> {
    match target {
        Target::Task { task, .. } => task.map(TaskUid::from_number),
        Target::Child { .. } | Target::Http { .. } | Target::Work { .. } | Target::Map => None,
    }
}

/// The document of an execution.
pub(crate) fn encode(notes: &Notes, state: &State) -> Bytes {
    let mut body = serde_json::to_vec(&Stored::V1(notes.clone()))
        .expect("notes have text keys and no failing parts");
    let state = state.store();
    body.reserve(state.len() + 1);
    body.push(b'\n');
    body.extend_from_slice(state.as_bytes());
    body.into()
}

/// Notes and state from a document.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn decode(body: &[u8]) -> Result<(Notes, State), StoreError> {
    let corrupt =
        |why: String| StoreError::Corrupt { what: format!("the document of an execution: {why}") };
    let text = std::str::from_utf8(body).map_err(|error| corrupt(error.to_string()))?;
    let (notes, state) =
        text.split_once('\n').ok_or_else(|| corrupt("it has no state".to_owned()))?;
    let Stored::V1(notes) =
        serde_json::from_str(notes).map_err(|error| corrupt(error.to_string()))?;
    let state = State::load(state).map_err(|error| corrupt(error.to_string()))?;
    Ok((notes, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Notes {
        let mut notes = Notes::default();
        let call = CallId { entered: 2, attempt: 1 };
        notes.wake(TimerId::Execution, Timestamp::from_micros(9));
        notes.wake(TimerId::Thread(1), Timestamp::from_micros(5));
        let (shape, how) = (FunctionShape::Plain, Wait::Ended);
        notes.call(call, Target::Task { function: 3, name: "f".into(), task: Some(4), shape, how });
        notes.ask(Ask::Go);
        notes
    }

    /// Bytes written by version 1: a later version must read them for ever.
    #[test]
    fn the_example_of_version_1_still_reads() {
        let kept = br#"{"form":"1","timers":[["Execution",9],[{"Thread":1},5]],"calls":[[{"entered":2,"attempt":1},{"Task":{"function":3,"name":"f","task":4,"shape":"Plain","how":"Ended"}}]],"asks":["Go"]}
{"1":{"run":null}}"#;
        let (read, state) = decode(kept).expect("reads");
        assert_eq!((&read, &state), (&notes(), &State::new()));
        assert_eq!(&encode(&read, &state)[..], &kept[..], "the form changed: add a version");
    }

    #[test]
    fn a_moved_timer_is_due_once() {
        let mut notes = notes();
        notes.wake(TimerId::Thread(1), Timestamp::from_micros(20));
        assert_eq!(notes.wake_at(), Timestamp::from_micros(9));
        assert_eq!(notes.take_due(Timestamp::from_micros(10)), [TimerId::Execution]);
        assert_eq!(notes.wake_at(), Timestamp::from_micros(20));
        assert!(decode(b"{}").is_err());
    }

    #[test]
    fn the_end_of_a_call_ends_what_was_asked_for_it() {
        let mut notes = notes();
        let call = CallId { entered: 2, attempt: 1 };
        notes.ask(Ask::Map(call));
        assert!(notes.end_call(call).is_some());
        assert_eq!(notes.asks(), [Ask::Go]);
        assert_eq!(notes.end_call(call), None);
    }
}
