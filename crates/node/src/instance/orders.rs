//! What an order means to an instance of any kind. What is its kind's own (where a request waits, how
//! PreStop is asked for) comes back as a value.

use stint_model::time::Span;
use stint_wire::node::{Lease, StopReason};

use super::desk::{Desk, PRE_STOP_MAX};
use super::{Invocation, Order};

/// What is left to do.
pub(super) enum Told {
    /// Nothing.
    Nothing,
    /// Run this.
    Run(Box<Invocation>),
    /// Run PreStop within the grace, then [`Desk::leave`].
    Leave { grace: Span, last: Last },
    /// It is over; why.
    Gone(&'static str),
}

/// How an instance ends after its PreStop.
pub(super) enum Last {
    /// Because of this attempt.
    Stop { lease: Lease, reason: StopReason },
    /// By itself.
    End { reason: &'static str },
}

impl Desk {
    /// Takes an order; without one the agent is gone.
    pub(super) async fn told(&mut self, order: Option<Order>) -> Told {
        match order {
            Some(Order::Run(invocation)) => Told::Run(invocation),
            Some(Order::Stop { lease, .. }) if self.position(lease).is_none() => Told::Nothing,
            Some(Order::Stop { lease, reason, grace }) => {
                self.ending().await;
                Told::Leave { grace, last: Last::Stop { lease, reason } }
            }
            Some(Order::End { reason }) => {
                self.ending().await;
                Told::Leave { grace: PRE_STOP_MAX, last: Last::End { reason } }
            }
            Some(Order::Keep(kept)) => {
                self.keep(kept).await;
                Told::Nothing
            }
            Some(Order::Exec(visit)) => {
                self.receive(*visit).await;
                Told::Nothing
            }
            Some(Order::Visited) => {
                self.visited();
                Told::Nothing
            }
            Some(Order::Kill { reason }) => Told::Gone(self.killed(reason).await),
            None => Told::Gone(self.killed("the node is ending").await),
        }
    }

    /// Ends the instance; says why.
    pub(super) async fn leave(&mut self, last: Last) -> &'static str {
        match last {
            Last::Stop { lease, reason } => self.stopped(lease, reason).await,
            Last::End { reason } => self.killed(reason).await,
        }
    }
}
