//! The calendar's texts: when a policy counts, and when it fires. Croner finds the moments, jiff knows
//! the zones; neither type leaves this file.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use stint_model::code::Refusal;
use stint_model::scaling::PolicySpan;
use stint_model::time::Timestamp;

/// From when until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Period {
    pub(crate) start: Timestamp,
    end: Timestamp,
}

impl Period {
    pub(crate) fn read(span: &PolicySpan) -> Result<Self, Refusal> {
        let zone = zone(&span.zone)?;
        let read = |name: &str, text: &str, absent: Timestamp| match text {
            "" => Ok(absent),
            text => moment(name, text, (&span.zone, &zone)),
        };
        let start = read("startTime", &span.start, Timestamp::ZERO)?;
        let end = read("endTime", &span.end, Timestamp::MAX)?;
        if end <= start {
            return Err(Refusal::invalid("endTime must be after startTime"));
        }
        Ok(Self { start, end })
    }

    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        (self.start..self.end).contains(&now)
    }

    /// When it next begins or ends.
    pub(crate) fn changes_after(&self, now: Timestamp) -> Timestamp {
        [self.start, self.end].into_iter().filter(|at| *at > now).min().unwrap_or(Timestamp::MAX)
    }
}

/// Six fields, seconds first, on the wall clock of a zone.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    cron: Box<croner::Cron>,
    zone: TimeZone,
}

impl Cron {
    /// Reads the fields; an empty zone is UTC.
    pub(crate) fn read(fields: &str, zone_name: &str) -> Result<Self, Refusal> {
        let zone = zone(zone_name)?;
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed);
        let cron = parser.build().parse(fields).map_err(|error| {
            Refusal::invalid(format!(
                "cron {fields:?}: {error}; its six fields are second, minute, hour, day, month and day \
                 of the week"
            ))
        })?;
        Ok(Self { cron: Box::new(cron), zone })
    }

    /// When it fired last, `now` included.
    pub(crate) fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&zoned(now, &self.zone)?, true).ok()?;
        Some(back(&found)).filter(|at| *at <= now)
    }

    /// When it fires next, after `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&zoned(now, &self.zone)?, false).ok()?;
        Some(back(&found)).filter(|at| *at > now)
    }
}

/// When a policy's schedule fires.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Once(Timestamp),
    Again(Cron),
}

impl Expression {
    pub(crate) fn read(text: &str, span: &PolicySpan) -> Result<Self, Refusal> {
        let zone = zone(&span.zone)?;
        let inner = |word: &str| text.trim().strip_prefix(word)?.strip_suffix(')');
        if let Some(once) = inner("at(") {
            return moment("scheduleExpression", once, (&span.zone, &zone)).map(Self::Once);
        }
        let Some(fields) = inner("cron(") else {
            let message = format!(
                "scheduleExpression is at(2026-01-02T20:00:00) or cron(0 0 20 * * *), not {text:?}"
            );
            return Err(Refusal::invalid(message));
        };
        Cron::read(fields, &span.zone).map(Self::Again).map_err(|refusal| {
            Refusal::new(refusal.code, format!("scheduleExpression: {}", refusal.message))
        })
    }

    /// When it fired last, `now` included.
    pub(crate) fn last(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at <= now),
            Self::Again(cron) => cron.last(now),
        }
    }

    /// When it fires next, after `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > now),
            Self::Again(cron) => cron.next(now),
        }
    }
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn back(zoned: &Zoned) -> Timestamp {
    Timestamp::from_micros(zoned.timestamp().as_microsecond())
}

fn zone(name: &str) -> Result<TimeZone, Refusal> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        Refusal::invalid(format!("timeZone {name:?} is no IANA time zone such as Asia/Shanghai"))
    })
}

/// A time with its offset, or one of the zone's wall clock; without a zone it must say `Z`.
fn moment(field: &str, text: &str, (name, zone): (&str, &TimeZone)) -> Result<Timestamp, Refusal> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(at.as_microsecond()));
    }
    let bad = |what: &str| Refusal::invalid(format!("{field} {text:?} {what}"));
    if name.is_empty() {
        return Err(bad("must be like 2026-01-02T20:00:00Z when there is no timeZone"));
    }
    let civil: DateTime = text.parse().map_err(|_| bad("is no time like 2026-01-02T20:00:00"))?;
    let zoned = civil.to_zoned(zone.clone()).map_err(|_| bad("is out of range"))?;
    Ok(back(&zoned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: &str, end: &str, zone: &str) -> PolicySpan {
        PolicySpan { start: start.into(), end: end.into(), zone: zone.into() }
    }

    fn at(text: &str) -> Timestamp {
        moment("t", text, ("", &TimeZone::UTC)).unwrap()
    }

    #[test]
    fn texts_that_are_wrong_say_what_would_be_right() {
        for (text, word) in [
            ("every(5m)", "at("),
            ("cron(0 20 * * *)", "six fields"),
            ("cron(99 0 20 * * *)", "six fields"),
            ("at(tomorrow)", "like 2026"),
        ] {
            let refusal = Expression::read(text, &span("", "", "")).unwrap_err();
            assert!(refusal.message.contains(word), "{refusal}");
        }
        assert!(Period::read(&span("2026-01-02T00:00:00", "", "")).is_err(), "no zone and no Z");
        assert!(Period::read(&span("", "", "Moon/Sea")).is_err());
        let reversed = span("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "");
        assert!(Period::read(&reversed).is_err());
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        // In Berlin 2026-03-29 has no 02:30, and 2026-10-25 has it twice.
        let daily = Expression::read("cron(0 30 2 * * *)", &span("", "", "Europe/Berlin")).unwrap();
        let before = at("2026-10-24T12:00:00Z");
        let first = daily.next(before).unwrap();
        assert_eq!(first, at("2026-10-25T00:30:00Z"));
        assert_eq!(daily.next(first).unwrap(), at("2026-10-26T01:30:00Z"), "once a day");
        assert_eq!(daily.last(at("2026-10-26T01:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
        assert!(daily.next(at("2026-03-28T12:00:00Z")).unwrap() < at("2026-03-29T12:00:00Z"));
    }

    #[test]
    fn weekdays_go_from_monday() {
        let monday = Expression::read("cron(0 0 9 ? * 1)", &span("", "", "")).unwrap();
        let by_name = Expression::read("cron(0 0 9 ? * MON)", &span("", "", "")).unwrap();
        let thursday = at("2026-01-01T00:00:00Z");
        assert_eq!(monday.next(thursday), Some(at("2026-01-05T09:00:00Z")));
        assert_eq!(by_name.next(thursday), monday.next(thursday));
    }
}
