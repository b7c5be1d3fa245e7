//! When something fires: six cron fields on the wall clock of a time zone, or every so long. Timers, the
//! schedules of flows and the policies of scaling read their texts here. Croner finds the moments, jiff
//! knows the zones; neither type leaves this file but through [`zone`].

use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::TimeZone;
use stint_model::code::Refusal;
use stint_model::time::{Span, Timestamp};

/// The longest `@every`.
const EVERY_SECONDS_MAX: u64 = 366 * 86_400;

/// Six fields, seconds first, on the wall clock of a zone.
#[derive(Clone, Debug)]
pub struct Cron {
    cron: Box<croner::Cron>,
    zone: TimeZone,
}

impl Cron {
    /// Reads the fields; an empty zone is UTC.
    ///
    /// # Errors
    /// `InvalidArgument` with what would be right.
    pub fn read(fields: &str, zone_name: &str) -> Result<Self, Refusal> {
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
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&zoned(now, &self.zone)?, true).ok()?;
        Some(back(&found)).filter(|at| *at <= now)
    }

    /// When it fires next, after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&zoned(now, &self.zone)?, false).ok()?;
        Some(back(&found)).filter(|at| *at > now)
    }
}

/// An expression, read.
#[derive(Clone, Debug)]
pub enum Calendar {
    /// By the clock.
    Cron(Cron),
    /// So long after each other.
    Every(Span),
}

impl Calendar {
    /// Reads an expression: `0 0 4 * * *`, `CRON_TZ=Asia/Shanghai 0 0 4 * * *`, `@every 1h30m`.
    ///
    /// # Errors
    /// `InvalidArgument` with what would be right.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("@every") {
            return every(rest.trim()).map(Self::Every);
        }
        let zoned = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
        let (zone, fields) = match zoned {
            None => ("", text),
            Some(rest) => rest.split_once(char::is_whitespace).ok_or_else(|| {
                Refusal::invalid(format!("{text:?} has a time zone and no fields after it"))
            })?,
        };
        Cron::read(fields.trim(), zone).map(Self::Cron)
    }

    /// When it fires next, after `now`; `since` is where `@every` counts from.
    pub fn next(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next(now),
            Self::Every(span) => {
                let done = now.since(since).micros() / span.micros().max(1);
                Some(since + Span::from_micros((done + 1).saturating_mul(span.micros())))
            }
        }
    }

    /// When it fired last, `now` included.
    pub fn last(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.last(now).filter(|at| *at > since),
            Self::Every(span) => {
                let done = now.since(since).micros() / span.micros().max(1);
                (done > 0).then(|| since + Span::from_micros(done.saturating_mul(span.micros())))
            }
        }
    }
}

/// `90s`, `1h30m`, `2d`: at least a second.
fn every(text: &str) -> Result<Span, Refusal> {
    let bad =
        || Refusal::invalid(format!("@every {text:?}: write a duration such as 90s, 1h30m or 2d"));
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = std::mem::take(&mut digits).parse().map_err(|_| bad())?;
        seconds =
            number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(bad)?;
    }
    if !digits.is_empty() || seconds == 0 || seconds > EVERY_SECONDS_MAX {
        return Err(bad());
    }
    Ok(Span::from_secs(seconds))
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn back(zoned: &Zoned) -> Timestamp {
    Timestamp::from_micros(zoned.timestamp().as_microsecond())
}

/// The zone of this name; an empty one is UTC.
///
/// # Errors
/// `InvalidArgument` for an unknown one.
pub fn zone(name: &str) -> Result<TimeZone, Refusal> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        Refusal::invalid(format!("timeZone {name:?} is no IANA time zone such as Asia/Shanghai"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn every_counts_from_its_making() {
        let calendar = Calendar::read("@every 1m30s").unwrap();
        assert_eq!(calendar.next(at(10), at(10)), Some(at(100)));
        assert_eq!(calendar.next(at(10), at(100)), Some(at(190)));
        assert_eq!(calendar.last(at(10), at(99)), None);
        assert_eq!(calendar.last(at(10), at(195)), Some(at(190)));
        for bad in ["@every", "@every 5", "@every 0s", "@every 5w", "@every -1m"] {
            assert!(Calendar::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cron_has_seconds_and_zones() {
        let calendar = Calendar::read("30 9 * * * *").unwrap();
        assert_eq!(calendar.next(at(0), at(0)), Some(at(9 * 60 + 30)));
        let zoned = Calendar::read("CRON_TZ=Asia/Shanghai 0 0 4 * * *").unwrap();
        assert_eq!(
            zoned.next(at(0), at(0)),
            Some(at(20 * 3_600)),
            "04:00 in Shanghai is 20:00 UTC"
        );
        for bad in ["* * * * *", "99 * * * * *", "CRON_TZ=Moon/Sea 0 0 4 * * *", "CRON_TZ=UTC", ""]
        {
            assert!(Calendar::read(bad).is_err(), "{bad}");
        }
    }
}
