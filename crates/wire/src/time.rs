//! Times and lengths of time as JSON says them: RFC 3339 in UTC, and seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stint_model::time::{Span, Timestamp};
use utoipa::openapi::schema::{Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A moment. Written as RFC 3339 in UTC with milliseconds (`2026-01-02T03:04:05.678Z`); read from
/// RFC 3339 with any offset, or from a number of Unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub Timestamp);

/// A text that is no moment or no length of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time: write 2026-01-02T03:04:05Z, or Unix milliseconds")
    }
}

impl std::error::Error for NotATime {}

impl Time {
    /// `None` for the zero that the book writes for "not yet".
    pub fn known(at: Timestamp) -> Option<Self> {
        (at != Timestamp::ZERO).then_some(Self(at))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.millis()) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}", self.0.millis()),
        }
    }
}

impl FromStr for Time {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Ok(millis) = text.parse::<i64>() {
            return Ok(Self(Timestamp::from_millis(millis)));
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(Timestamp::from_micros(at.as_microsecond())))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl Visitor<'_> for Moment {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time or Unix milliseconds")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, millis: i64) -> Result<Time, E> {
                Ok(Time(Timestamp::from_millis(millis)))
            }
            fn visit_u64<E: serde::de::Error>(self, millis: u64) -> Result<Time, E> {
                let millis = i64::try_from(millis).map_err(|_| E::custom(NotATime))?;
                Ok(Time(Timestamp::from_millis(millis)))
            }
        }
        deserializer.deserialize_any(Moment)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

/// A length of time. Written as a number of seconds (fractions down to microseconds); read from
/// one, or from a text with a unit: `"250ms"`, `"90s"`, `"5m"`, `"2h"`, `"7d"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seconds(pub Span);

impl From<Span> for Seconds {
    fn from(span: Span) -> Self {
        Self(span)
    }
}

impl From<Seconds> for Span {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl Seconds {
    /// From a decimal number of seconds without sign or exponent; no floating point on the way.
    fn decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let micros: u64 = format!("{fraction:0<6.6}").parse().ok()?;
        Some(Self(Span::from_micros(whole.checked_mul(1_000_000)?.checked_add(micros)?)))
    }

    fn from_f64(seconds: f64) -> Option<Self> {
        (seconds.is_finite() && (0.0..1e13).contains(&seconds))
            .then(|| Self(Span::from_micros(round_micros(seconds))))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller checked that it is finite and from zero to 1e13"
)]
fn round_micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0.micros() / 1_000_000, self.0.micros() % 1_000_000);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{micros:06}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl FromStr for Seconds {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let text = text.trim();
        let digits_end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let Self(span) = Self::decimal(number.trim_end()).ok_or(NotATime)?;
        let micros = match unit {
            "ms" => span.micros() / 1_000,
            "" | "s" => span.micros(),
            "m" | "min" => span.micros().checked_mul(60).ok_or(NotATime)?,
            "h" => span.micros().checked_mul(3_600).ok_or(NotATime)?,
            "d" => span.micros().checked_mul(86_400).ok_or(NotATime)?,
            _ => return Err(NotATime),
        };
        Ok(Self(Span::from_micros(micros)))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.micros();
        if micros.is_multiple_of(1_000_000) {
            return serializer.serialize_u64(micros / 1_000_000);
        }
        serializer.serialize_f64(to_f64(micros) / 1e6)
    }
}

/// A count as a floating-point number; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "shown to people; exact below 2^53")]
pub fn to_f64(count: u64) -> f64 {
    count as f64
}

/// A length of time in milliseconds with three decimals, as results show it.
pub fn millis(span: Span) -> f64 {
    to_f64(span.micros()) / 1e3
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;
        impl Visitor<'_> for Length {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, or a text such as \"90s\", \"5m\", \"2h\"")
            }
            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Seconds, E> {
                Ok(Seconds(Span::from_secs(seconds)))
            }
            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Seconds, E> {
                let seconds =
                    u64::try_from(seconds).map_err(|_| E::custom("seconds out of range"))?;
                Ok(Seconds(Span::from_secs(seconds)))
            }
            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Seconds, E> {
                Seconds::from_f64(seconds).ok_or_else(|| E::custom("seconds out of range"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(|_| E::custom(format!("no length of time: {text:?}")))
            }
        }
        deserializer.deserialize_any(Length).map_err(D::Error::custom)
    }
}

impl PartialSchema for Seconds {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Number, Type::String]))
            .description(Some("Seconds, or a text with a unit: 250ms, 90s, 5m, 2h, 7d."))
            .into()
    }
}

impl ToSchema for Seconds {
    fn name() -> Cow<'static, str> {
        "Seconds".into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_read_in_three_ways() {
        let at = Time(Timestamp::from_millis(1_767_323_045_678));
        assert_eq!(at.to_string(), "2026-01-02T03:04:05.678Z");
        for text in [
            "\"2026-01-02T03:04:05.678Z\"",
            "\"2026-01-02T04:04:05.678+01:00\"",
            "1767323045678",
            "\"1767323045678\"",
        ] {
            assert_eq!(serde_json::from_str::<Time>(text).unwrap(), at, "{text}");
        }
        assert!(serde_json::from_str::<Time>("\"tomorrow\"").is_err());
    }

    #[test]
    fn a_length_is_read_in_many_ways() {
        for (text, micros) in [
            ("3", 3_000_000),
            ("0.25", 250_000),
            ("\"250ms\"", 250_000),
            ("\"1.5s\"", 1_500_000),
            ("\"5m\"", 300_000_000),
            ("\"2h\"", 7_200_000_000),
            ("\"1 d\"", 86_400_000_000),
        ] {
            let read: Seconds = serde_json::from_str(text).unwrap();
            assert_eq!(read.0.micros(), micros, "{text}");
        }
        for text in ["-1", "\"1w\"", "\"\"", "\"1.\"", "1e300", "\"-3s\""] {
            assert!(serde_json::from_str::<Seconds>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Seconds(Span::from_millis(1_500))).unwrap(), "1.5");
        assert_eq!(serde_json::to_string(&Seconds(Span::from_secs(60))).unwrap(), "60");
    }

    proptest! {
        #[test]
        fn lengths_read_back(micros in 0_u64..10_000_000_000_000_000) {
            let seconds = Seconds(Span::from_micros(micros));
            prop_assert_eq!(seconds.to_string().parse(), Ok(seconds));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = (text.parse::<Time>(), text.parse::<Seconds>());
        }
    }
}
