//! A server that is restarted while a command waits is no end of the wait: it is tried again for a
//! while, once it was there.

use stint_model::time::{Span, Timestamp};
use stint_supervise::Clock;
use stint_wire::client::ClientError;

use super::Context;
use crate::failure::Failure;

/// How long a server may be away.
const AWAY_MAX: Span = Span::from_secs(60);
/// Between two tries.
const TRY_EVERY: Span = Span::from_millis(500);

/// See the module.
pub(crate) struct Patience {
    clock: Clock,
    was_there: bool,
    away_since: Option<Timestamp>,
}

impl Patience {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, was_there: false, away_since: None }
    }

    /// The server answered.
    pub(crate) fn answered(&mut self) {
        self.was_there = true;
        self.away_since = None;
    }

    /// Waits for the next try.
    ///
    /// # Errors
    /// What went wrong, if trying again is no use: the server was never there, is away too long, or
    /// answered.
    pub(crate) async fn bear(
        &mut self,
        error: ClientError,
        context: &Context,
    ) -> Result<(), Failure> {
        let is_away = match &error {
            ClientError::Transport { source, .. } => !source.is_timeout(),
            ClientError::Refused { status, .. } => *status == 503,
            ClientError::Config(_) | ClientError::BadAnswer { .. } => false,
        };
        // A connection that broke had been one.
        self.was_there |=
            matches!(&error, ClientError::Transport { source, .. } if !source.is_connect());
        let now = self.clock.now();
        if self.away_since.is_none() && is_away && self.was_there {
            context.screen.note("the server is away; waiting for it");
        }
        let since = *self.away_since.get_or_insert(now);
        if !is_away || !self.was_there || now.since(since) >= AWAY_MAX {
            return Err(error.into());
        }
        self.pause().await;
        Ok(())
    }

    /// Between two tries.
    pub(crate) async fn pause(&self) {
        self.clock.sleep(TRY_EVERY).await;
    }
}
