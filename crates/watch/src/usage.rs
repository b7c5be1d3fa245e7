//! What functions have used: summed by account, hour and function in memory, kept in the journal.
//!
//! Whoever puts a piece never waits. Every few seconds the sums that changed are appended whole, so
//! that reading them again is taking the last of each; an hour that is over is written once more into
//! its day, and its small steps are not read any more. A crash loses the seconds since the last append.
//! Hours older than [`HOURS_DAYS`] are merged into their days, so that memory stays bounded.

mod form;
mod sums;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stint_model::id::AccountId;
use stint_model::link::UsagePiece;
use stint_model::time::{Span, Timestamp};
use stint_store::{Chunk, Journal, JournalError, JournalQuery};
use stint_supervise::{Clock, Stop};

pub use sums::Sums;

/// Days that are kept, today among them.
pub const USAGE_DAYS_KEPT: i64 = 92;
/// Days whose hours are told apart, today among them.
pub const HOURS_DAYS: i64 = 8;
/// Days whose steps are read when they are no part of their day yet.
const STEPS_DAYS: i64 = 4;
/// Between two appends.
const FLUSH_EVERY: Span = Span::from_secs(5);
/// After its end, until an hour counts as over: instances speak once a minute at least.
const CLOSE_AFTER: Span = Span::from_secs(300);
const HOUR: Span = Span::from_secs(3_600);
const DAY_HOURS: i64 = 24;
/// Chunks of one read.
const PAGE: usize = 1_000;

/// How long a line's time is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Window {
    /// As fine as it is kept: an hour, or a day when it is long ago.
    Hour,
    /// A day in UTC.
    #[default]
    Day,
    /// All that was asked for.
    All,
}

/// What a line is about, besides its account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupBy {
    /// One function.
    #[default]
    Function,
    /// All functions together.
    Account,
}

/// One line of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// Whose.
    pub account: AccountId,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// Of which function; empty: of all.
    pub function: Arc<str>,
    /// How much.
    pub sums: Sums,
}

/// Which lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsageQuery {
    /// Of this account; of all, if none.
    pub account: Option<AccountId>,
    /// Of this function.
    pub function: Option<String>,
    /// From the hour of this time.
    pub from: Option<Timestamp>,
    /// Before this time; the hour it is in counts unless the time is its beginning.
    pub until: Option<Timestamp>,
    /// How long a line's time is.
    pub window: Window,
    /// What a line is about.
    pub group_by: GroupBy,
}

/// A cheap handle; see the module comment.
#[derive(Clone, Debug)]
pub struct UsageBook {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Arc<dyn Journal>,
    /// How long the journal keeps anything.
    keep: Span,
    clock: Clock,
    state: Mutex<State>,
}

/// By hour (since 1970) and account, then by function.
type Hours = BTreeMap<(i64, AccountId), BTreeMap<Arc<str>, Sums>>;
type Key = (i64, AccountId, Vec<Arc<str>>);

#[derive(Debug, Default)]
struct State {
    hours: Hours,
    changed: BTreeSet<(i64, AccountId, Arc<str>)>,
    /// Hours that are part of their day's stream.
    closed: BTreeSet<i64>,
    /// Up to which hour they were last looked for.
    closed_before: i64,
    /// Before this day everything stands at the day's first hour.
    merged_before: i64,
    /// What accounts with a budget have used since the beginning of its period, in millionths.
    spent: HashMap<AccountId, (Timestamp, u64)>,
}

impl UsageBook {
    /// Reads what is kept in a journal that drops what is older than `keep`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn open(
        journal: Arc<dyn Journal>,
        keep: Span,
        clock: Clock,
    ) -> Result<Self, JournalError> {
        let mut state = State::default();
        let today = day_of(clock.now());
        for day in today - USAGE_DAYS_KEPT + 1..=today {
            let read_hours = read(journal.as_ref(), day_stream(day), &mut state.hours).await?;
            state.closed.extend(read_hours);
            if day <= today - STEPS_DAYS {
                continue;
            }
            for hour in day * DAY_HOURS..(day + 1) * DAY_HOURS {
                if !state.closed.contains(&hour) {
                    read(journal.as_ref(), step_stream(hour), &mut state.hours).await?;
                }
            }
        }
        state.merge(today);
        Ok(Self { shared: Arc::new(Shared { journal, keep, clock, state: Mutex::new(state) }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece, split over the hours it spans.
    pub fn put(&self, piece: &UsagePiece) {
        let mut state = self.state();
        for part in split(piece) {
            state.add(&part);
        }
    }

    /// Lines by account, time and function.
    pub fn rows(&self, query: &UsageQuery) -> Vec<UsageRow> {
        let state = self.state();
        let from = query.from.map_or(i64::MIN, hour_of);
        let until = query.until.unwrap_or(Timestamp::MAX);
        let mut rows: BTreeMap<(AccountId, i64, Arc<str>), (i64, Sums)> = BTreeMap::new();
        let all: Arc<str> = "".into();
        for ((hour, account), functions) in state.hours.range((from, AccountId::new(0))..) {
            if start_of(*hour) >= until {
                break;
            }
            if query.account.is_some_and(|asked| asked != *account) {
                continue;
            }
            let end = state.end_of(*hour);
            let (start, end) = match query.window {
                Window::Hour => (*hour, end),
                Window::Day => (day_of_hour(*hour) * DAY_HOURS, day_end(*hour)),
                Window::All => (i64::MIN, end),
            };
            for (function, sums) in functions {
                if query.function.as_deref().is_some_and(|asked| asked != &**function) {
                    continue;
                }
                let name = match query.group_by {
                    GroupBy::Function => function,
                    GroupBy::Account => &all,
                };
                let row = rows.entry((*account, start, Arc::clone(name)));
                let row = row.or_insert((end, Sums::default()));
                row.0 = row.0.max(end);
                row.1.add(sums);
            }
        }
        let first = state.hours.range((from, AccountId::new(0))..).next();
        let first =
            query.from.unwrap_or_else(|| first.map_or(Timestamp::ZERO, |f| start_of(f.0.0)));
        let rows = rows.into_iter().map(|((account, start, function), (end, sums))| {
            let start = if start == i64::MIN { first } else { start_of(start) };
            UsageRow { account, start, end: start_of(end), function, sums }
        });
        rows.collect()
    }

    /// What an account has used since the beginning of a period, in millionths of a compute unit. The
    /// first question about a period adds up, every other one only looks.
    pub fn spent(&self, account: AccountId, since: Timestamp) -> u64 {
        let mut state = self.state();
        if let Some((from, units)) = state.spent.get(&account)
            && *from == since
        {
            return *units;
        }
        let hours = state.hours.range((hour_of(since), AccountId::new(0))..);
        let of = hours.filter(|((_, owner), _)| *owner == account);
        let units = of
            .flat_map(|(_, functions)| functions.values())
            .fold(0, |sum: u64, sums| sum.saturating_add(sums.micro_units()));
        state.spent.insert(account, (since, units));
        units
    }

    /// Appends what changed, closes hours that are over and forgets what is too old.
    ///
    /// # Errors
    /// When the journal cannot be written; what was to be kept is tried again with the next flush.
    pub async fn flush(&self) -> Result<(), JournalError> {
        let chunks = self.gather(self.shared.clock.now());
        if chunks.is_empty() {
            return Ok(());
        }
        let kept: Vec<_> = chunks.iter().map(|(key, _)| key.clone()).collect();
        let bodies = chunks.into_iter().map(|(_, chunk)| chunk).collect();
        match self.shared.journal.append(bodies).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let mut state = self.state();
                state.closed_before = i64::MIN;
                for (hour, account, functions) in kept {
                    state.closed.remove(&hour);
                    state.changed.extend(functions.into_iter().map(|name| (hour, account, name)));
                }
                Err(error)
            }
        }
    }

    fn gather(&self, now: Timestamp) -> Vec<(Key, Chunk)> {
        let mut state = self.state();
        let mut keys: BTreeMap<(i64, AccountId), Vec<Arc<str>>> = BTreeMap::new();
        for (hour, account, function) in std::mem::take(&mut state.changed) {
            keys.entry((hour, account)).or_default().push(function);
        }
        let over = hour_of(now - CLOSE_AFTER);
        for key in state.close(over) {
            keys.entry(key).or_default();
        }
        let mut chunks = Vec::new();
        for ((hour, account), changed) in keys {
            let Some(functions) = state.hours.get(&(hour, account)) else { continue };
            // Steps of longer ago are not read.
            let is_old = hour < over - (STEPS_DAYS - 1) * DAY_HOURS;
            let is_closed = is_old || state.closed.contains(&hour);
            let told = functions.iter().filter(|(name, _)| is_closed || changed.contains(name));
            let body = form::write(hour, told);
            // Dated so that the journal's own retention takes it when it is no longer read.
            let (stream, days) = match is_closed {
                true => (day_stream(day_of_hour(hour)), USAGE_DAYS_KEPT),
                false => (step_stream(hour), STEPS_DAYS + 1),
            };
            let days = HOUR.times(u64::try_from((days + 1) * DAY_HOURS).unwrap_or(0));
            let at = start_of(hour) + days - self.shared.keep;
            let subject = account.number().to_string();
            let chunk = Chunk { seq: 0, stream, subject, at, body: body.into() };
            chunks.push(((hour, account, changed), chunk));
        }
        // After what changed has been written in its own hour.
        state.merge(day_of(now));
        chunks
    }

    /// Flushes until stopped, and once more then.
    pub async fn run(self, stop: Stop) {
        loop {
            let going = stop.until(self.shared.clock.sleep(FLUSH_EVERY)).await.is_some();
            if let Err(error) = self.flush().await {
                let reason = stint_supervise::chain(&error);
                tracing::warn!(%reason, "usage could not be kept; it is tried again");
            }
            if !going {
                return;
            }
        }
    }
}

impl State {
    fn add(&mut self, part: &UsagePiece) {
        let hour = hour_of(Timestamp::from_micros(part.at.micros() - 1));
        // A day that has been merged does not change any more.
        let hour = hour.max(self.merged_before * DAY_HOURS);
        let sums = Sums::of(part);
        if let Some((since, units)) = self.spent.get_mut(&part.account)
            && start_of(hour) >= *since
        {
            *units = units.saturating_add(sums.micro_units());
        }
        let functions = self.hours.entry((hour, part.account)).or_default();
        functions.entry(Arc::clone(&part.function_name)).or_default().add(&sums);
        self.changed.insert((hour, part.account, Arc::clone(&part.function_name)));
    }

    /// Closes the hours before `over`: what stands in them is to be written into their days.
    fn close(&mut self, over: i64) -> Vec<(i64, AccountId)> {
        if self.closed_before == over {
            return Vec::new();
        }
        self.closed_before = over;
        let first = (over - STEPS_DAYS * DAY_HOURS, AccountId::new(0));
        let open = self.hours.range(first..(over, AccountId::new(0))).map(|(key, _)| *key);
        let open: Vec<_> = open.filter(|(hour, _)| !self.closed.contains(hour)).collect();
        self.closed.extend(open.iter().map(|(hour, _)| *hour));
        open
    }

    /// Merges hours into their days and forgets days, as time goes on.
    fn merge(&mut self, today: i64) {
        let before = today - HOURS_DAYS + 1;
        let kept = (today - USAGE_DAYS_KEPT + 1) * DAY_HOURS;
        self.hours.retain(|(hour, _), _| *hour >= kept);
        self.closed.retain(|hour| *hour >= kept);
        if before <= self.merged_before {
            return;
        }
        self.merged_before = before;
        let inner =
            |key: &(i64, AccountId)| key.0 < before * DAY_HOURS && key.0.rem_euclid(DAY_HOURS) != 0;
        let keys: Vec<_> = self.hours.keys().filter(|key| inner(key)).copied().collect();
        for (hour, account) in keys {
            let Some(functions) = self.hours.remove(&(hour, account)) else { continue };
            let first = (day_of_hour(hour) * DAY_HOURS, account);
            let day = self.hours.entry(first).or_default();
            for (function, sums) in functions {
                day.entry(function).or_default().add(&sums);
            }
        }
    }

    /// Until when (an hour) what stands at this hour reaches.
    fn end_of(&self, hour: i64) -> i64 {
        if day_of_hour(hour) < self.merged_before { day_end(hour) } else { hour + 1 }
    }
}

/// Hours since 1970, in UTC.
fn hour_of(at: Timestamp) -> i64 {
    at.seconds().div_euclid(3_600)
}

/// Days since 1970, in UTC.
fn day_of(at: Timestamp) -> i64 {
    day_of_hour(hour_of(at))
}

fn day_of_hour(hour: i64) -> i64 {
    hour.div_euclid(DAY_HOURS)
}

fn day_end(hour: i64) -> i64 {
    (day_of_hour(hour) + 1) * DAY_HOURS
}

fn start_of(hour: i64) -> Timestamp {
    Timestamp::from_millis(hour.saturating_mul(3_600_000))
}

fn step_stream(hour: i64) -> String {
    format!("usage/hour/{hour}")
}

fn day_stream(day: i64) -> String {
    format!("usage/day/{day}")
}

/// Reads a stream, the last word on each function winning; of which hours there was anything.
async fn read(
    journal: &dyn Journal,
    stream: String,
    hours: &mut Hours,
) -> Result<BTreeSet<i64>, JournalError> {
    let mut query = JournalQuery { stream, limit: PAGE, ..JournalQuery::default() };
    let mut found = BTreeSet::new();
    loop {
        let chunks = journal.range(&query).await?;
        for chunk in &chunks {
            let Ok(account) = chunk.subject.parse().map(AccountId::new) else { continue };
            for (hour, function, sums) in form::read(&chunk.body) {
                hours.entry((hour, account)).or_default().insert(function, sums);
                found.insert(hour);
            }
        }
        match chunks.last() {
            Some(last) if chunks.len() == PAGE => query.after = Some(last.seq),
            Some(_) | None => return Ok(found),
        }
    }
}

/// Cuts a piece at full hours; times are shared out, counts stay with the end.
fn split(piece: &UsagePiece) -> Vec<UsagePiece> {
    let mut parts = Vec::new();
    let mut rest = piece.clone();
    loop {
        let whole = rest.active.micros().saturating_add(rest.idle.micros());
        let hour = start_of(hour_of(Timestamp::from_micros(rest.at.micros() - 1)));
        let of_hour = rest.at.since(hour).micros();
        if whole <= of_hour || parts.len() >= HOURS_MAX {
            parts.push(rest);
            return parts;
        }
        let share = |span: Span| {
            let part = u128::from(span.micros()) * u128::from(of_hour) / u128::from(whole.max(1));
            Span::from_micros(u64::try_from(part).unwrap_or(u64::MAX))
        };
        let last =
            UsagePiece { active: share(rest.active), idle: share(rest.idle), ..rest.clone() };
        rest.active = Span::from_micros(rest.active.micros() - last.active.micros());
        rest.idle = Span::from_micros(rest.idle.micros() - last.idle.micros());
        rest.at = hour;
        (rest.invocations, rest.cpu_micros) = (0, 0);
        parts.push(last);
    }
}

/// A piece that spans more hours is a clock that jumped: the rest is put where it stands.
const HOURS_MAX: usize = 48;

#[cfg(test)]
mod tests;
