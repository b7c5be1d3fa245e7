//! What happens to an execution: everything the shell tells it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use stint_model::time::Timestamp;

use crate::limits::Limits;
use crate::plan::ExecutionMode;
use crate::prelude::*;

/// Something that happened, with the time and the randomness of its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "crate::stamp::micros")]
    pub at: Timestamp,
    /// 128 bits from the system's random source, fresh for each event.
    pub entropy: [u8; 16],
    /// What.
    pub body: EventBody,
}

/// The closed set of what can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventBody {
    /// The execution starts. The first event and no other.
    Started(Box<Start>),
    /// The evaluator answered.
    Evaluated {
        /// Which request.
        evaluation: u64,
        /// One answer for each expression; an error is a fragment that reads after "the expression".
        answers: Vec<Result<Value, String>>,
    },
    /// An asynchronous call was accepted; its end comes later.
    Submitted {
        /// Which call.
        call: CallId,
    },
    /// A poller took the work.
    Taken {
        /// Which call.
        call: CallId,
        /// Who.
        poller: Option<String>,
    },
    /// The work is done.
    Succeeded {
        /// Which call.
        call: CallId,
        /// Its result.
        output: Value,
    },
    /// The work, or its submit, failed.
    Failed {
        /// Which call.
        call: CallId,
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
    /// Somebody who holds the token says something.
    Reported {
        /// The token, as it came.
        token: String,
        /// What is said.
        report: Report,
    },
    /// A timer went off.
    Woken {
        /// Which.
        timer: TimerId,
    },
    /// A map run ended.
    MapRunEnded {
        /// The call that started it.
        call: CallId,
        /// How: the output, or error and cause.
        outcome: Result<Value, (String, String)>,
    },
    /// Somebody stops the execution.
    Stop {
        /// Error name to record.
        error: Option<String>,
        /// Text to record.
        cause: Option<String>,
    },
    /// Go on with what the last turn left over ([`crate::Command::Continue`]).
    Continued,
    /// Run again what failed, from where it failed.
    Redriven,
}

/// What a holder of a token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Done, with this result.
    Succeeded(Value),
    /// Failed.
    Failed {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
    /// Still at it.
    Alive,
}

/// What an execution starts with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Execution input.
    pub input: Value,
    /// Who it is.
    pub facts: Facts,
    /// What bounds it.
    pub limits: Limits,
    /// For a child of a distributed map: the map's step. None runs the whole flow.
    pub item_of: Option<String>,
}

/// What expressions can read about their execution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Execution id (an ARN where the API speaks ARNs).
    pub id: String,
    /// Execution name.
    pub name: String,
    /// Flow id.
    pub flow_id: String,
    /// Flow name.
    pub flow_name: String,
    /// Role, as recorded at start.
    pub role: String,
    /// Standard or Express.
    pub mode: ExecutionMode,
    /// Environment of the flow.
    #[serde(default)]
    pub environment: Map<String, Value>,
}

/// One attempt of one visit of a step. It follows from the execution's history alone, so the same
/// decision made twice names the same call, and whoever keeps calls says "exists".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// History id of the event with which the step was entered.
    pub entered: u64,
    /// Counts from one.
    pub attempt: u32,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entered, self.attempt)
    }
}

impl FromStr for CallId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (entered, attempt) = text.split_once('.').ok_or(())?;
        let (entered, attempt) = (entered.parse().map_err(drop)?, attempt.parse().map_err(drop)?);
        Ok(Self { entered, attempt })
    }
}

/// A timer of the execution. Setting one again moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimerId {
    /// The limit of the whole execution.
    Execution,
    /// What one thread waits for: a time, a retry, the limit of a call.
    Thread(u64),
}
