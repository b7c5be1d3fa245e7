//! RFC 3339 timestamps: read as upstream reads them (upper-case `T`, a zone, up to nine digits of a
//! second), written in UTC with milliseconds.

use stint_model::time::Timestamp;

use crate::prelude::*;

/// Microseconds since the epoch; `None` for what upstream would refuse, such as a date alone.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (moment, offset) = split_zone(text)?;
    let (date, time) = moment.split_once('T')?;
    let days = days(date)?;
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, micros(fraction)?),
        None => (time, 0),
    };
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2, 23)?;
    let minute = number(parts.next()?, 2, 59)?;
    let second = number(parts.next()?, 2, 60)?;
    if parts.next().is_some() {
        return None;
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(Timestamp::from_micros(seconds * 1_000_000 + fraction))
}

fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(moment) = text.strip_suffix('Z') {
        return Some((moment, 0));
    }
    let sign_at = text.len().checked_sub(6)?;
    let (moment, zone) = text.is_char_boundary(sign_at).then(|| text.split_at(sign_at))?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let offset = number(hours, 2, 23)? * 3_600 + number(minutes, 2, 59)? * 60;
    match zone.get(..1)? {
        "+" => Some((moment, offset)),
        "-" => Some((moment, -offset)),
        _ => None,
    }
}

fn number(text: &str, digits: usize, most: i64) -> Option<i64> {
    let is_plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= most)
}

fn micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<6}").get(..6)?.parse().ok()
}

fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4, 9_999)?;
    let month = number(parts.next()?, 2, 12).filter(|month| *month > 0)?;
    let day = number(parts.next()?, 2, 31).filter(|day| *day > 0)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > most || parts.next().is_some() {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Howard Hinnant's days_from_civil.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `2019-01-01T01:01:01.001Z`
pub(crate) fn write(at: Timestamp) -> String {
    let (days, in_day) = (at.seconds().div_euclid(86_400), at.seconds().rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * of_year + 2) / 153;
    let day = of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600, in_day / 60 % 60, in_day % 60);
    let millis = at.millis().rem_euclid(1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Stored forms hold microseconds.
pub(crate) mod micros {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use stint_model::time::Timestamp;

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i64(at.micros())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_timestamp_and_what_is_not() {
        let same =
            ["2016-03-14T01:59:00Z", "2016-03-14T02:59:00+01:00", "2016-03-14T01:59:00.000000000Z"];
        for text in same {
            assert_eq!(parse(text).map(Timestamp::seconds), Some(1_457_920_740), "{text}");
        }
        assert_eq!(parse("2016-03-14T01:59:00.25-00:30").unwrap().millis(), 1_457_922_540_250);
        assert!(parse("2024-02-29T00:00:00Z").is_some());
        let wrong = [
            "2016-03-14",
            "2016-03-14T01:59:00",
            "2016-03-14 01:59:00Z",
            "2016-13-14T01:59:00Z",
            "2023-02-29T00:00:00Z",
            "2016-03-14t01:59:00Z",
            "2016-03-14T01:59Z",
            "2016-03-14T01:59:00.Z",
            "2016-03-14T25:59:00Z",
            "",
            "Z",
            "é",
            "2016-03-14T01:59:00.1234567890Z",
            "+016-03-14T01:59:00Z",
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "2019-01-01T01:01:01.001Z",
            "1970-01-01T00:00:00.000Z",
            "2024-02-29T23:59:59.999Z",
            "1969-12-31T23:59:59.500Z",
        ] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
    }
}
