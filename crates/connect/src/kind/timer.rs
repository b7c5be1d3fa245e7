//! The calendar as a source: `{"cronExpression": "0 0 4 * * *", "enable": true, "payload": "…"}` as upstream
//! has it, and beside it what becomes of missed moments, of one that comes too early, and of many timers at
//! the same second.
//!
//! Its cursor is the last moment that was dealt with, so a moment fires once whoever looks, and what was
//! missed is what lies between it and now.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use stint_model::time::{Span, Timestamp};

use crate::calendar::Calendar;
use crate::event::{Data, Event, rfc3339};
use crate::settings::{self, ConfigError};
use crate::source::{Cursor, Host, Reading, Room, Source, SourceError, Start};

/// A moment this long ago was missed.
const LATE_MAX: Span = Span::from_secs(60);
/// The largest payload in bytes.
const PAYLOAD_BYTES_MAX: usize = 128 << 10;
/// The most missed moments that are made up for.
const MISFIRES_MAX: u64 = 10_000;
/// The longest jitter in seconds.
const JITTER_SECONDS_MAX: u64 = 86_400;

/// What becomes of moments that were missed while nobody looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Misfire {
    /// Nothing.
    Skip,
    /// The last one fires.
    #[default]
    Once,
    /// All fire, oldest first, as many as `misfireMax`.
    All,
}

/// What happens when a moment comes while the task of an earlier one is not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Both are there.
    #[default]
    Allow,
    /// The moment is passed over.
    Skip,
}

/// A timer's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// As it was written.
    pub expression: String,
    /// Whether it fires.
    pub enable: bool,
    /// What the function is given beside the time.
    pub payload: String,
    /// What becomes of missed moments.
    pub misfire: Misfire,
    /// How many missed moments fire with [`Misfire::All`]; the newest are kept.
    pub misfire_max: u64,
    /// What becomes of a moment that comes too early.
    pub overlap: Overlap,
    /// Each firing is put off by up to this long, always by as much for the same moment.
    pub jitter: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    cron_expression: String,
    #[serde(default = "yes")]
    enable: bool,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    misfire: Misfire,
    #[serde(default = "misfire_max")]
    misfire_max: u64,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    jitter_seconds: u64,
}

const fn yes() -> bool {
    true
}

const fn misfire_max() -> u64 {
    100
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong; a calendar without any moment is refused.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        let bad = |why: String| ConfigError::field("cronExpression", why);
        let calendar = Calendar::read(&said.cron_expression).map_err(|error| bad(error.message))?;
        if calendar.next(Timestamp::ZERO, Timestamp::from_millis(0)).is_none() {
            return Err(bad(format!("{:?} has no moment at all", said.cron_expression)));
        }
        if said.payload.len() > PAYLOAD_BYTES_MAX {
            let why = format!("has at most {PAYLOAD_BYTES_MAX} bytes");
            return Err(ConfigError::field("payload", why));
        }
        settings::within("misfireMax", said.misfire_max, (1, MISFIRES_MAX))?;
        settings::within("jitterSeconds", said.jitter_seconds, (0, JITTER_SECONDS_MAX))?;
        Ok(Self {
            expression: said.cron_expression,
            enable: said.enable,
            payload: said.payload,
            misfire: said.misfire,
            misfire_max: said.misfire_max,
            overlap: said.overlap,
            jitter: Span::from_secs(said.jitter_seconds),
        })
    }

    /// The next moments after `now`, at most `count`.
    pub fn next_moments(&self, since: Timestamp, now: Timestamp, count: usize) -> Vec<Timestamp> {
        let Ok(calendar) = Calendar::read(&self.expression) else { return Vec::new() };
        let after = |at: &Timestamp| calendar.next(since, *at);
        std::iter::successors(calendar.next(since, now), after).take(count).collect()
    }
}

/// When a timer fires, without a clock.
#[derive(Clone, Debug)]
struct Plan {
    calendar: Calendar,
    misfire: Misfire,
    misfire_max: usize,
    jitter: Span,
    /// What tells this timer's jitter from another's.
    seed: u64,
    /// Where `@every` counts from.
    since: Timestamp,
}

impl Plan {
    /// The moments after `done` that fire now, oldest first.
    fn due(&self, done: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let (mut fresh, mut missed) = (Vec::new(), Vec::new());
        let most = match self.misfire {
            Misfire::Skip => 0,
            Misfire::Once => 1,
            Misfire::All => self.misfire_max,
        };
        let mut at = self.calendar.last(self.since, now);
        while let Some(moment) = at.filter(|at| *at > done) {
            if now.since(self.fires_at(moment)) <= LATE_MAX {
                fresh.push(moment);
            } else if missed.len() < most {
                missed.push(moment);
            } else {
                break;
            }
            at = self.calendar.last(self.since, moment - Span::from_micros(1));
        }
        // A later moment with a shorter delay waits for an earlier one: the cursor must not pass it.
        let moments = missed.into_iter().rev().chain(fresh.into_iter().rev());
        moments.take_while(|at| self.fires_at(*at) <= now).collect()
    }

    /// When to look again.
    fn next(&self, done: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let late = now - LATE_MAX - self.jitter;
        let next = self.calendar.next(self.since, done.max(late))?;
        Some(self.fires_at(next))
    }

    fn fires_at(&self, moment: Timestamp) -> Timestamp {
        if self.jitter == Span::ZERO {
            return moment;
        }
        let mixed = mix(self.seed ^ moment.micros().unsigned_abs());
        moment + Span::from_micros(mixed % self.jitter.micros())
    }
}

/// Spreads bits (the end of SplitMix64).
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn seed(text: &str) -> u64 {
    text.bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)))
}

/// The source.
#[derive(Debug)]
pub struct Timer {
    settings: Settings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    host: Arc<dyn Host>,
    plan: Plan,
    trigger: String,
    source: String,
    /// The last moment that was dealt with.
    done: Timestamp,
    receipt: u64,
}

impl Timer {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Timer {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let calendar = Calendar::read(&settings.expression).map_err(|error| {
            SourceError::Misconfigured { what: "read the calendar", why: error.message }
        })?;
        let plan = Plan {
            calendar,
            misfire: settings.misfire,
            misfire_max: usize::try_from(settings.misfire_max).unwrap_or(usize::MAX),
            jitter: settings.jitter,
            seed: seed(&start.origin.to_string()),
            since: start.since,
        };
        let done = start.cursor.as_ref().and_then(|cursor| cursor.as_str().parse().ok());
        let done = done.map_or(start.since, |done| Timestamp::from_micros(done).max(start.since));
        let source = format!("timer:{}", start.origin.trigger);
        let trigger = start.origin.trigger;
        self.open = Some(Open { host, plan, trigger, source, done, receipt: 0 });
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is read");
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        loop {
            let now = clock.now();
            let mut due = open.plan.due(open.done, now);
            if !due.is_empty() || now >= until {
                due.truncate(room.events_max);
                return open.reading(&due, &self.settings);
            }
            let next = open.plan.next(open.done, now).unwrap_or(Timestamp::MAX);
            clock.sleep_until(next.min(until)).await;
        }
    }

    async fn settle(&mut self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Open {
    fn reading(&mut self, due: &[Timestamp], settings: &Settings) -> Result<Reading, SourceError> {
        self.receipt += 1;
        let events = due.iter().map(|at| self.event(*at, &settings.payload)).collect();
        self.done = due.last().copied().unwrap_or(self.done);
        let cursor = match due {
            [] => None,
            [..] => Some(Cursor::new(self.done.micros().to_string())?),
        };
        Ok(Reading { events, cursor, receipt: self.receipt })
    }

    fn event(&self, at: Timestamp, payload: &str) -> Event {
        Event {
            id: Some(at.seconds().to_string()),
            source: self.source.clone(),
            event_type: "stint:timer:fired".to_owned(),
            time: Some(at),
            data: Data::Json(json!({
                "triggerTime": rfc3339(at),
                "triggerName": self.trigger,
                "payload": payload,
            })),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests;
