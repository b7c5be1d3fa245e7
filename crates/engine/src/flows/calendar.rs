//! When a schedule fires: six cron fields in a time zone, or every so long since it was made. The calendar
//! itself is the one of the scaling policies.

use stint_model::code::Refusal;
use stint_model::time::{Span, Timestamp};

use crate::scaling::calendar::Cron;

/// A schedule's expression, read.
#[derive(Clone, Debug)]
pub(crate) enum Calendar {
    Cron(Cron),
    Every(Span),
}

impl Calendar {
    /// Reads an expression: `0 0 4 * * *`, `CRON_TZ=Asia/Shanghai 0 0 4 * * *`, `@every 1h30m`.
    ///
    /// # Errors
    /// `InvalidArgument` with what would be right.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
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
    pub(crate) fn next(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next(now),
            Self::Every(span) => {
                let done = now.since(since).micros() / span.micros().max(1);
                Some(since + Span::from_micros((done + 1).saturating_mul(span.micros())))
            }
        }
    }

    /// When it fired last, `now` included.
    pub(crate) fn last(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
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
    if !digits.is_empty() || seconds == 0 || seconds > 366 * 86_400 {
        return Err(bad());
    }
    Ok(Span::from_secs(seconds))
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
