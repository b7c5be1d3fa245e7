//! The three ways a request says its time: `2026-01-02T03:04:05Z`, `20260102T030405Z` and
//! `Fri, 02 Jan 2026 03:04:05 GMT`.

use alloc::string::String;

use stint_model::time::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

/// Reads `YYYY-MM-DDThh:mm:ssZ`.
pub fn parse_utc(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    let shape = b.len() == 20
        && b[4] == b'-'
        && b[7] == b'-'
        && b[10] == b'T'
        && b[13] == b':'
        && b[16] == b':'
        && b[19] == b'Z';
    if !shape {
        return None;
    }
    Civil {
        year: digits(&b[0..4])?,
        month: digits(&b[5..7])?,
        day: digits(&b[8..10])?,
        hour: digits(&b[11..13])?,
        minute: digits(&b[14..16])?,
        second: digits(&b[17..19])?,
    }
    .timestamp()
}

/// Reads the `Date` header's usual form, `Fri, 02 Jan 2026 03:04:05 GMT`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    if b.len() != 29 || &b[3..5] != b", " || b[7] != b' ' || b[11] != b' ' || &b[25..] != b" GMT" {
        return None;
    }
    let month = MONTHS.iter().position(|month| month.as_bytes() == &b[8..11])?;
    Civil {
        year: digits(&b[12..16])?,
        month: i64::try_from(month).ok()? + 1,
        day: digits(&b[5..7])?,
        hour: digits(&b[17..19])?,
        minute: digits(&b[20..22])?,
        second: digits(&b[23..25])?,
    }
    .timestamp()
}

/// Reads `YYYYMMDDThhmmssZ`.
pub(crate) fn parse_basic(text: &str) -> Option<Timestamp> {
    let b = text.as_bytes();
    if b.len() != 16 || b[8] != b'T' || b[15] != b'Z' {
        return None;
    }
    Civil {
        year: digits(&b[..4])?,
        month: digits(&b[4..6])?,
        day: digits(&b[6..8])?,
        hour: digits(&b[9..11])?,
        minute: digits(&b[11..13])?,
        second: digits(&b[13..15])?,
    }
    .timestamp()
}

/// Writes `YYYY-MM-DDThh:mm:ssZ`, whole seconds, rounded down.
pub fn format_utc(at: Timestamp) -> String {
    let seconds = at.seconds();
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_of_days(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    alloc::format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for b in bytes {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(b - b'0');
    }
    Some(value)
}

impl Civil {
    fn timestamp(&self) -> Option<Timestamp> {
        let good = (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 61;
        if !good {
            return None;
        }
        let days = days_of_civil(self.year, self.month, self.day);
        if civil_of_days(days) != (self.year, self.month, self.day) {
            return None;
        }
        let seconds = days * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second;
        Some(Timestamp::from_millis(seconds * 1_000))
    }
}

/// Days since 1970-01-01 of a Gregorian date (years start in March, eras of 400 years).
fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times() {
        let at = Timestamp::from_millis(1_767_323_045_000);
        assert_eq!(parse_utc("2026-01-02T03:04:05Z"), Some(at));
        assert_eq!(parse_http_date("Fri, 02 Jan 2026 03:04:05 GMT"), Some(at));
        assert_eq!(format_utc(at), "2026-01-02T03:04:05Z");
        assert_eq!(parse_basic("20260102T030405Z"), Some(at));
        assert_eq!(parse_utc("1970-01-01T00:00:00Z"), Some(Timestamp::ZERO));
        assert!(parse_utc("2024-02-29T00:00:00Z").is_some());
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "+026-01-02T03:04:05Z",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
        assert_eq!(parse_http_date("Fri, 02 Foo 2026 03:04:05 GMT"), None);
        for text in
            ["", "20260230T000000Z", "20260102T030405", "2026010203040506", "+0260102T030405Z"]
        {
            assert_eq!(parse_basic(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0_i64..=253_402_300_799) {
            let at = Timestamp::from_millis(seconds * 1_000);
            prop_assert_eq!(parse_utc(&format_utc(at)), Some(at));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (parse_utc(&text), parse_http_date(&text), parse_basic(&text));
        }
    }
}
