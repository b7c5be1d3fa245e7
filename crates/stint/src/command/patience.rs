//! A server that is restarted while a command waits is no end of the wait: it is tried again for a
//! while, once it was there.

use stint_model::time::{Span, Timestamp};
use stint_supervise::Clock;
use stint_wire::client::{ClientError, LogFollow};
use stint_wire::native::LogLine;

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
    async fn pause(&self) {
        self.clock.sleep(TRY_EVERY).await;
    }
}

/// Lines that are followed, over restarts of the server.
pub(crate) struct Following {
    patience: Patience,
    lines: Option<LogFollow>,
}

/// What a following gives next.
pub(crate) enum Next {
    /// The server tells from the start again: lines written before come once more where it keeps them.
    Begun,
    Line(LogLine),
    /// There is nothing more to come.
    Whole,
}

impl Following {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { patience: Patience::new(clock), lines: None }
    }

    /// The next line; `open` is asked for a new stream whenever there is none.
    ///
    /// # Errors
    /// As [`Patience::bear`].
    pub(crate) async fn next(
        &mut self,
        open: impl AsyncFn() -> Result<LogFollow, ClientError>,
        context: &Context,
    ) -> Result<Next, Failure> {
        loop {
            let Some(lines) = &mut self.lines else {
                match open().await {
                    Ok(lines) => {
                        self.patience.answered();
                        self.lines = Some(lines);
                        return Ok(Next::Begun);
                    }
                    Err(error) => self.patience.bear(error, context).await?,
                }
                continue;
            };
            match lines.next().await {
                Ok(Some(line)) => return Ok(Next::Line(line)),
                Ok(None) if lines.is_whole() => return Ok(Next::Whole),
                Ok(None) => {
                    self.lines = None;
                    self.patience.pause().await;
                }
                Err(error) => {
                    self.lines = None;
                    self.patience.bear(error, context).await?;
                }
            }
        }
    }
}
