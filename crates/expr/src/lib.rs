//! JSONata behind our own trait. An expression of a stranger runs here under bounds on time, nesting,
//! sequences, texts and the size of what comes out; what the library does not bound itself is bounded
//! by rewriting the expression before it runs (`guard.rs`).
//!
//! Nothing here spawns or waits for a thread of its own: [`Pool`] is a bounded queue whose workers the
//! host starts ([`Pool::serve`]), outside of every loop that must not stand still.
#![warn(missing_docs)]

mod bounds;
mod functions;
mod guard;
mod jsonata;
mod number;
mod pool;

pub use bounds::Bounds;
pub use jsonata::{Evaluator, Jsonata, Mistake, Request, check};
pub use pool::{Answers, Full, Pool, Ticket};
