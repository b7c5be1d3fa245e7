//! How many instances a qualifier keeps now: the minimum, numbers by the calendar, numbers by use. Pure:
//! time and measures come in as values.
//!
//! The calendar's policies follow each other: what fired last within its span counts, until its span
//! ends or another fires. A policy that goes by use counts during its span. The largest of these is the
//! number; with none of them it is the minimum (§5.3).

pub(crate) mod calendar;

use stint_model::code::Refusal;
use stint_model::scaling::{ScalingConfig, Schedule};
use stint_model::time::Timestamp;

use calendar::{Expression, Period};

/// A configuration with its texts read.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    minimum: u32,
    schedules: Vec<(Period, Expression, u32)>,
    trackings: Vec<Period>,
}

/// What holds at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Now {
    /// What the calendar says; `None`: nothing.
    pub(crate) scheduled: Option<u32>,
    /// Which tracking policies count, by their place.
    pub(crate) tracking: Vec<usize>,
    /// When this may be another answer.
    pub(crate) until: Timestamp,
}

impl Rules {
    /// Reads the texts of a configuration.
    pub(crate) fn read(config: &ScalingConfig) -> Result<Self, Refusal> {
        let schedule = |schedule: &Schedule| {
            let period = Period::read(&schedule.span)?;
            let expression = Expression::read(&schedule.expression, &schedule.span)?;
            Ok((period, expression, schedule.target))
        };
        let schedules = config.schedules.iter().map(schedule).collect::<Result<_, Refusal>>()?;
        let trackings = config.trackings.iter().map(|tracking| Period::read(&tracking.span));
        let trackings = trackings.collect::<Result<_, Refusal>>()?;
        Ok(Self { minimum: config.minimum, schedules, trackings })
    }

    /// What holds at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> Now {
        let mut until = Timestamp::MAX;
        let mut last: Option<(Timestamp, u32)> = None;
        for (period, expression, target) in &self.schedules {
            until = until.min(period.changes_after(now));
            if let Some(next) = expression.next(now.max(period.start)) {
                until = until.min(next);
            }
            if !period.holds(now) {
                continue;
            }
            let Some(fired) = expression.last(now).filter(|fired| *fired >= period.start) else {
                continue;
            };
            // Of those that fired together the largest counts.
            if last.is_none_or(|last| (fired, *target) > last) {
                last = Some((fired, *target));
            }
        }
        let mut tracking = Vec::new();
        for (place, period) in self.trackings.iter().enumerate() {
            until = until.min(period.changes_after(now));
            if period.holds(now) {
                tracking.push(place);
            }
        }
        Now { scheduled: last.map(|(_, target)| target), tracking, until }
    }

    /// The number, when the tracking policies that count say `tracked`.
    pub(crate) fn number(&self, now: &Now, tracked: impl Iterator<Item = u32>) -> u32 {
        let said = now.scheduled.into_iter().chain(tracked).max();
        said.unwrap_or(self.minimum)
    }
}

#[cfg(test)]
mod tests {
    use stint_model::scaling::{IdleCpu, OnDemand, PolicySpan, ScalingDoor};

    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(time.as_microsecond())
    }

    fn rules(schedules: &[(&str, &str, &str, u32)]) -> Rules {
        let schedules = schedules.iter().map(|(start, end, expression, target)| Schedule {
            name: (*expression).to_owned(),
            span: PolicySpan {
                start: (*start).to_owned(),
                end: (*end).to_owned(),
                zone: "Asia/Shanghai".to_owned(),
            },
            expression: (*expression).to_owned(),
            target: *target,
        });
        Rules::read(&ScalingConfig {
            door: ScalingDoor::Scaling,
            minimum: 2,
            idle_cpu: IdleCpu::Allocated,
            schedules: schedules.collect(),
            trackings: Vec::new(),
            on_demand: OnDemand::On,
            always_gpu: true,
            modified_at: Timestamp::ZERO,
        })
        .unwrap()
    }

    #[test]
    fn what_fired_last_counts_until_its_span_ends() {
        let rules = rules(&[
            ("", "2026-01-03T00:00:00", "cron(0 0 20 * * *)", 9),
            ("", "2026-01-03T00:00:00", "cron(0 0 22 * * *)", 1),
        ]);
        let number = |text: &str| {
            let now = rules.at(at(text));
            (rules.number(&now, std::iter::empty()), now.until)
        };
        // Shanghai is eight hours ahead.
        assert_eq!(number("2026-01-01T12:00:00Z"), (9, at("2026-01-01T14:00:00Z")));
        assert_eq!(number("2026-01-01T13:59:59Z").0, 9);
        assert_eq!(number("2026-01-01T14:00:00Z"), (1, at("2026-01-02T12:00:00Z")));
        assert_eq!(number("2026-01-02T16:00:00Z"), (2, at("2026-01-03T12:00:00Z")), "it is over");
    }

    #[test]
    fn nothing_before_its_beginning_and_once_is_once() {
        let rules = rules(&[
            ("2026-01-02T00:00:00", "", "cron(0 0 * * * *)", 5),
            ("", "", "at(2026-01-05T12:00:00)", 7),
        ]);
        let number = |text: &str| rules.number(&rules.at(at(text)), std::iter::empty());
        assert_eq!(number("2026-01-01T15:59:00Z"), 2);
        assert_eq!(number("2026-01-01T16:00:00Z"), 5, "its first hour");
        assert_eq!(number("2026-01-05T04:00:00Z"), 7, "the larger of two at once");
        assert_eq!(number("2026-01-05T05:00:00Z"), 5, "the later one");
    }

    #[test]
    fn use_may_say_more_than_the_calendar() {
        let rules = rules(&[("", "", "cron(0 0 20 * * *)", 4)]);
        let now = rules.at(at("2026-01-01T13:00:00Z"));
        assert_eq!(rules.number(&now, [7].into_iter()), 7);
        assert_eq!(rules.number(&now, [1].into_iter()), 4);
    }
}
