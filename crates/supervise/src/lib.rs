//! What keeps the house running: named tasks with a policy for their end, ordered shutdown, the
//! engine's [`Clock`] and [`Stop`]. The only crate that may spawn; nothing here knows what a task of
//! Stint is.
#![warn(missing_docs)]

mod clock;
mod exit;
mod guests;
mod shutdown;
mod signals;
mod stop;
mod supervisor;

pub use clock::{Clock, SLEW_PARTS_PER_HUNDRED, SimClock};
pub use exit::{Crashed, Exit, chain};
pub use guests::{Guest, Guests};
pub use shutdown::{Farewell, Shutdown};
pub use signals::Signals;
pub use stop::Stop;
pub use supervisor::{Failure, OnExit, State, Status, Supervised, Supervisor};
