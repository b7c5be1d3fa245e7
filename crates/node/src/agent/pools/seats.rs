//! Sessions in instances: which session is where, for how long an instance is held for one, and who has an
//! instance for itself. Soft: a session whose instance is gone is seated anew by its next call.

use std::collections::HashMap;
use std::sync::Arc;

use stint_model::function::IsolationMode;
use stint_model::session::{SessionChange, SessionSeat, SessionWord};
use stint_model::time::{Span, Timestamp};
use stint_wire::node::{Lease, Start};

use super::{Entry, InstanceKey, ONE_SESSION, Pools, State};
use crate::instance::Order;

/// A session in an instance.
#[derive(Debug)]
pub(super) struct Seat {
    ends_at: Timestamp,
    idle: Span,
    /// Its attempts here.
    running: u32,
    used_at: Timestamp,
}

impl Seat {
    /// When it is over if nothing happens.
    fn until(&self) -> Timestamp {
        if self.running > 0 || self.idle == Span::ZERO {
            return self.ends_at;
        }
        self.ends_at.min(self.used_at + self.idle)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.running == 0 && self.until() <= now
    }
}

/// A session is not in this instance any more; it may be in another one by now.
pub(super) fn leave(
    seated: &mut HashMap<(u32, Arc<str>), InstanceKey>,
    (pool, name): (u32, &Arc<str>),
    key: InstanceKey,
) {
    let place = (pool, Arc::clone(name));
    if seated.get(&place) == Some(&key) {
        seated.remove(&place);
    }
}

impl Entry {
    /// Whether one more session may come in.
    pub(super) fn has_seat_for(&self, seat: &SessionSeat) -> bool {
        let seats = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        seats < seat.per_instance
    }

    /// Whether it was one session's own, and that is over.
    pub(super) fn is_abandoned(&self) -> bool {
        self.spec.config.isolation == IsolationMode::Session && self.used && self.seats.is_empty()
    }

    /// Whether it takes anything at all.
    fn is_open(&self) -> bool {
        match self.state {
            State::Serving => self.well && !self.told && !self.last,
            State::Starting => !self.told && !self.last,
            State::Ending => false,
        }
    }
}

impl Pools {
    /// The instance a call's session is in, and whether it has a free slot.
    pub(super) fn seat_of(&self, start: &Start) -> Option<(InstanceKey, bool)> {
        let seat = start.session.as_ref()?;
        let key = *self.seated.get(&(start.spec.pool, Arc::clone(&seat.key)))?;
        let entry = self.entries.get(&key).filter(|entry| entry.is_open())?;
        let slots = usize::try_from(start.spec.config.instance_concurrency.max(1)).unwrap_or(1);
        Some((key, entry.leases.len() < slots))
    }

    /// A call's session is in this instance from now on.
    pub(in crate::agent) fn sit(&mut self, key: InstanceKey, start: &Start) {
        let Some(asked) = &start.session else { return };
        let place = (start.spec.pool, Arc::clone(&asked.key));
        if let Some(before) = self.seated.insert(place, key).filter(|before| *before != key)
            && let Some(entry) = self.entries.get_mut(&before)
        {
            entry.seats.remove(&asked.key);
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let seat = entry.seats.entry(Arc::clone(&asked.key)).or_insert(Seat {
            ends_at: asked.ends_at,
            idle: asked.idle,
            running: 0,
            used_at: Timestamp::ZERO,
        });
        (seat.ends_at, seat.idle) = (asked.ends_at, asked.idle);
        seat.running += 1;
        self.of_session.insert(start.lease, Arc::clone(&asked.key));
    }

    /// An attempt is over, and its session idle if that was its only one.
    pub(super) fn stand_up(&mut self, lease: Lease, now: Timestamp) {
        let Some(name) = self.of_session.remove(&lease) else { return };
        let entry = self.leases.get(&lease).and_then(|key| self.entries.get_mut(key));
        if let Some(seat) = entry.and_then(|entry| entry.seats.get_mut(&name)) {
            seat.running = seat.running.saturating_sub(1);
            seat.used_at = now;
        }
    }

    /// Until when an instance that is idle since then waits, for sessions or for anybody.
    pub(super) fn idle_until(&self, key: InstanceKey, since: Timestamp) -> Timestamp {
        let seats = self.entries.get(&key).into_iter().flat_map(|entry| entry.seats.values());
        // The first one to be over is looked at when it is.
        match seats.map(Seat::until).min() {
            Some(until) => until,
            None => since + self.patience(key),
        }
    }

    /// Sessions whose time is over leave.
    pub(super) fn end_seats(&mut self, now: Timestamp) {
        for (key, entry) in &mut self.entries {
            let pool = entry.spec.pool;
            entry.seats.retain(|name, seat| {
                let over = seat.is_over(now);
                if over {
                    leave(&mut self.seated, (pool, name), *key);
                }
                !over
            });
        }
    }

    /// The server says what became of a session.
    pub(in crate::agent) fn session(&mut self, word: &SessionWord, now: Timestamp) {
        let of = |entry: &Entry| entry.spec.function == word.function;
        let found = self.entries.iter_mut().filter(|(_, entry)| of(entry));
        let mut alone = Vec::new();
        for (key, entry) in found {
            let Some(seat) = entry.seats.get_mut(&word.key) else { continue };
            match word.change {
                SessionChange::Holds { ends_at, idle } => {
                    (seat.ends_at, seat.idle) = (ends_at, idle);
                    let until = seat.until();
                    self.idle_check = Some(self.idle_check.map_or(until, |at| at.min(until)));
                }
                SessionChange::Ended => {
                    entry.seats.remove(&word.key);
                    leave(&mut self.seated, (entry.spec.pool, &word.key), *key);
                    if entry.is_abandoned() {
                        alone.push(*key);
                    } else {
                        // What is idle now counts from its last request.
                        self.idle_check = Some(now);
                    }
                }
            }
        }
        for key in alone {
            let Some(entry) = self.entries.get(&key) else { continue };
            if entry.leases.is_empty() {
                self.end(key, ONE_SESSION);
            } else if entry.orders.try_send(Order::Kill { reason: ONE_SESSION }).is_err() {
                tracing::debug!("an instance whose session has ended is ending");
            }
        }
    }
}
