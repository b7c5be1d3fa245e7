//! Whether a custom server is well: before the first request, and from time to time afterwards.

use http::Method;
use stint_model::function::HealthCheck;
use stint_model::time::{Span, Timestamp};

use super::call::{Connector, Request};
use crate::shared::NodeShared;

/// The verdict so far.
#[derive(Debug)]
pub(super) struct Health {
    check: HealthCheck,
    next_at: Timestamp,
    asking: bool,
    well: bool,
    /// Answers in a row that speak against the verdict.
    against: u32,
}

impl Health {
    /// After the first checks went well.
    pub(super) fn new(check: HealthCheck, now: Timestamp) -> Self {
        let next_at = now + check.period;
        Self { check, next_at, asking: false, well: true, against: 0 }
    }

    /// When to ask next; `None` while an answer is awaited.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        (!self.asking).then_some(self.next_at)
    }

    /// What to ask and how long to wait, when it is time.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<(String, Span)> {
        if self.asking || now < self.next_at {
            return None;
        }
        self.asking = true;
        Some((self.check.path.clone(), self.check.timeout))
    }

    /// Counts an answer; the new verdict when it changes.
    pub(super) fn answer(&mut self, now: Timestamp, well: bool) -> Option<bool> {
        self.asking = false;
        self.next_at = now + self.check.period;
        if well == self.well {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let threshold =
            if well { self.check.success_threshold } else { self.check.failure_threshold };
        if self.against < threshold.max(1) {
            return None;
        }
        self.well = well;
        self.against = 0;
        Some(well)
    }
}

/// Asks until enough answers in a row agree; the last bad one when they are bad.
pub(super) async fn first_check(
    shared: &NodeShared,
    connector: &Connector,
    check: &HealthCheck,
) -> Result<(), String> {
    shared.clock.sleep(check.initial_delay).await;
    let (mut good, mut bad) = (0, 0);
    loop {
        let asked = shared.clock.within(check.timeout, ask(connector, &check.path)).await;
        match asked.unwrap_or(Err("timeout".to_owned())) {
            Ok(()) => {
                good += 1;
                bad = 0;
                if good >= check.success_threshold.max(1) {
                    return Ok(());
                }
            }
            Err(status) => {
                good = 0;
                bad += 1;
                if bad >= check.failure_threshold.max(1) {
                    return Err(status);
                }
            }
        }
        shared.clock.sleep(check.period).await;
    }
}

/// 200 to 399 is healthy; else the status or what went wrong.
pub(super) async fn ask(connector: &Connector, path: &str) -> Result<(), String> {
    let request = Request::bare(Method::GET, path);
    match connector.call(None, request).await {
        Ok((answer, _)) if (200..400).contains(&answer.status) => Ok(()),
        Ok((answer, _)) => Err(answer.status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_changes_after_enough_answers_in_a_row() {
        let check = HealthCheck {
            path: "/".into(),
            initial_delay: Span::ZERO,
            period: Span::from_secs(3),
            timeout: Span::from_secs(1),
            failure_threshold: 2,
            success_threshold: 3,
        };
        let mut now = Timestamp::from_millis(1_000);
        let mut health = Health::new(check, now);
        assert_eq!(health.ask(now), None, "not yet");
        let answers = [false, true, false, false, true, true, false, true, true, true];
        let mut verdicts = Vec::new();
        for well in answers {
            now = health.next_at().unwrap();
            assert!(health.ask(now).is_some());
            assert_eq!(health.next_at(), None, "an answer is awaited");
            verdicts.push(health.answer(now, well));
        }
        let changes: Vec<_> = verdicts.iter().enumerate().filter(|(_, v)| v.is_some()).collect();
        assert_eq!(changes, [(3, &Some(false)), (9, &Some(true))]);
    }
}
