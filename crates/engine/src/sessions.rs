//! Sessions (§1.18): which there are, and until when. Soft state, as the instances are that sessions live
//! in: a restart forgets both, and a call of a session that is not known begins it anew.
//!
//! ```text
//! made (by CreateSession, or by its first call) ──► Active ──time, or silence──► Expired ──► forgotten
//!                                                      └──────DeleteSession──────────────────────┘
//! ```

mod rules;
mod verbs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stint_model::code::{Code, Refusal};
use stint_model::function::IsolationMode;
use stint_model::id::{FunctionId, InstanceId};
use stint_model::session::{Reuse, SessionRules, SessionSeat};
use stint_model::time::{Span, Timestamp};
use stint_supervise::Clock;

pub(crate) use rules::check as check_rules;
pub use rules::rules_of;
pub use verbs::{SessionAsked, SessionFilter};

/// Sessions of all functions together.
const SESSIONS_MAX: usize = 100_000;
/// An ended session is shown for so long.
const SHOWN_AFTER: Span = Span::from_secs(3_600);

/// Names a session: of which function, through which qualifier, which.
pub(crate) type SessionKey = (FunctionId, Arc<str>, Arc<str>);

/// A session as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionView {
    /// Its id.
    pub id: Arc<str>,
    /// Through which qualifier.
    pub qualifier: Arc<str>,
    /// `HEADER_FIELD` or `GENERATED_COOKIE`.
    pub affinity: &'static str,
    /// Whether it is over.
    pub status: SessionStatus,
    /// The instance it was last in.
    pub instance: Option<InstanceId>,
    /// Ends so long after it was made.
    pub ttl: Span,
    /// Ends without a call for so long; zero: not for that.
    pub idle: Span,
    /// Whether its id may be used again when it is over.
    pub reuse: Reuse,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub modified_at: Timestamp,
}

/// Whether a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionStatus {
    /// It takes calls.
    Active,
    /// It is shown for a while.
    Expired,
}

#[derive(Clone, Debug)]
struct Session {
    affinity: &'static str,
    ttl: Span,
    idle: Span,
    reuse: Reuse,
    created_at: Timestamp,
    modified_at: Timestamp,
    used_at: Timestamp,
    /// Calls that run.
    running: u32,
    instance: Option<InstanceId>,
    /// Which version an alias with a canary means for it.
    draw: u32,
}

impl Session {
    fn ends_at(&self) -> Timestamp {
        self.created_at + self.ttl
    }

    fn over_at(&self) -> Timestamp {
        if self.running > 0 || self.idle == Span::ZERO {
            return self.ends_at();
        }
        self.ends_at().min(self.used_at + self.idle)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.over_at() <= now
    }

    fn view(&self, (_, qualifier, id): &SessionKey, now: Timestamp) -> SessionView {
        SessionView {
            id: Arc::clone(id),
            qualifier: Arc::clone(qualifier),
            affinity: self.affinity,
            status: if self.is_over(now) { SessionStatus::Expired } else { SessionStatus::Active },
            instance: self.instance,
            ttl: self.ttl,
            idle: self.idle,
            reuse: self.reuse,
            created_at: self.created_at,
            modified_at: self.modified_at,
        }
    }
}

/// Who comes in.
pub(crate) struct Coming<'a> {
    pub(crate) key: SessionKey,
    pub(crate) rules: &'a SessionRules,
    pub(crate) isolation: IsolationMode,
    /// Most instances of the function.
    pub(crate) instances_max: Option<u32>,
    /// Which version a new one takes.
    pub(crate) draw: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    known: Mutex<BTreeMap<SessionKey, Session>>,
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version draw of a session that lives.
    fn draw(&self, key: &SessionKey, now: Timestamp) -> Option<u32> {
        let known = self.known();
        known.get(key).filter(|session| !session.is_over(now)).map(|session| session.draw)
    }

    /// Makes a session, unless one of this name lives.
    fn make(&self, coming: &Coming<'_>, now: Timestamp) -> Result<(), Refusal> {
        let mut known = self.known();
        let Coming { key, rules, draw, .. } = coming;
        match known.get(key) {
            Some(session) if !session.is_over(now) => return Ok(()),
            Some(session) if session.reuse == Reuse::Refused => {
                let message =
                    format!("session '{}' is over, and its id may not be used again", key.2);
                return Err(Refusal::new(Code::InvalidArgument, message));
            }
            Some(_) | None => {}
        }
        fits(&known, coming, now)?;
        if known.len() >= SESSIONS_MAX {
            known.retain(|_, session| !session.is_over(now));
        }
        if known.len() >= SESSIONS_MAX {
            let message = format!("there are {SESSIONS_MAX} sessions, which is the most");
            return Err(Refusal::new(Code::ResourceExhausted, message));
        }
        let session = Session {
            affinity: rules.affinity.word(),
            ttl: rules.ttl,
            idle: rules.idle,
            reuse: rules.reuse,
            created_at: now,
            modified_at: now,
            used_at: now,
            running: 0,
            instance: None,
            draw: *draw,
        };
        known.insert(key.clone(), session);
        Ok(())
    }

    /// A call begins; its session with it, if it is the first.
    pub(crate) fn enter(
        &self,
        coming: &Coming<'_>,
        now: Timestamp,
    ) -> Result<SessionSeat, Refusal> {
        self.make(coming, now)?;
        let mut known = self.known();
        let session = known.get_mut(&coming.key).expect("made just now");
        session.running += 1;
        session.used_at = now;
        Ok(seat(coming, session))
    }

    /// A task begins: it goes to its session's instance until `until` at the latest, whatever became of
    /// the session since it was submitted.
    pub(crate) fn visit(
        &self,
        coming: &Coming<'_>,
        now: Timestamp,
        until: Timestamp,
    ) -> SessionSeat {
        let anew = self.known().get(&coming.key).is_none_or(|session| session.is_over(now));
        if anew {
            self.known().remove(&coming.key);
        }
        if let Err(refusal) = self.make(coming, now) {
            tracing::debug!(%refusal.message, "a task's session is more than there may be");
        }
        let mut known = self.known();
        match known.get_mut(&coming.key) {
            Some(session) => {
                session.used_at = session.used_at.max(until);
                seat(coming, session)
            }
            None => SessionSeat {
                key: seat_key(&coming.key),
                per_instance: SessionSeat::shared(coming.rules, coming.isolation),
                ends_at: now + coming.rules.ttl,
                idle: coming.rules.idle,
            },
        }
    }

    /// A call has ended. One of a session that was forgotten meanwhile wakes nothing.
    fn leave(&self, key: &SessionKey, now: Timestamp) {
        if let Some(session) = self.known().get_mut(key)
            && session.running > 0
        {
            session.running -= 1;
            session.used_at = session.used_at.max(now);
        }
    }

    /// A call of it runs there.
    fn seated(&self, key: &SessionKey, instance: InstanceId) {
        if let Some(session) = self.known().get_mut(key) {
            session.instance = Some(instance);
        }
    }

    /// A function's sessions, by qualifier and id; those that are over long ago go.
    fn of_function(&self, function: FunctionId, now: Timestamp) -> Vec<SessionView> {
        let mut known = self.known();
        known.retain(|_, session| session.over_at() + SHOWN_AFTER > now);
        let own = known.iter().filter(|((of, ..), _)| *of == function);
        own.map(|(key, session)| session.view(key, now)).collect()
    }
}

/// Whether the function's instances have room for one more session.
fn fits(
    known: &BTreeMap<SessionKey, Session>,
    coming: &Coming<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(limit) = coming.instances_max else { return Ok(()) };
    let of = coming.key.0;
    let lives = |(key, session): &(&SessionKey, &Session)| key.0 == of && !session.is_over(now);
    let count = u32::try_from(known.iter().filter(lives).count()).unwrap_or(u32::MAX);
    let shared = SessionSeat::shared(coming.rules, coming.isolation);
    if count.saturating_add(1).div_ceil(shared) <= limit {
        return Ok(());
    }
    let message = format!(
        "the function has {count} sessions, {shared} to an instance, and may have {limit} instances"
    );
    Err(Refusal::new(Code::ResourceExhausted, message))
}

fn seat(coming: &Coming<'_>, session: &Session) -> SessionSeat {
    SessionSeat {
        key: seat_key(&coming.key),
        per_instance: SessionSeat::shared(coming.rules, coming.isolation),
        ends_at: session.ends_at(),
        idle: session.idle,
    }
}

/// Two qualifiers may mean the same version, and their sessions are two all the same.
fn seat_key((_, qualifier, id): &SessionKey) -> Arc<str> {
    format!("{qualifier}/{id}").into()
}

/// A call of a session that runs. Dropping it is the call's end.
#[derive(Debug)]
pub(crate) struct Visit {
    sessions: Arc<Sessions>,
    key: SessionKey,
    clock: Clock,
}

impl Visit {
    pub(crate) fn new(sessions: Arc<Sessions>, key: SessionKey, clock: Clock) -> Self {
        Self { sessions, key, clock }
    }

    pub(crate) fn seated(&self, instance: InstanceId) {
        self.sessions.seated(&self.key, instance);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.sessions.leave(&self.key, self.clock.now());
    }
}

/// Which session a call belongs to, as its caller said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SessionSaid {
    /// None; the function has none, or the door does not carry them.
    #[default]
    None,
    /// A new one.
    New,
    /// This one.
    Id(String),
}

#[cfg(test)]
mod tests;
