//! What callers ask about sessions, and how a call finds its own.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::FunctionConfig;
use stint_model::link::ToNode;
use stint_model::session::{
    Affinity, Reuse, SessionChange, SessionRules, SessionSeat, SessionWord, is_session_id,
};
use stint_model::time::{Span, Timestamp};

use super::{Coming, SessionKey, SessionSaid, SessionStatus, SessionView, Visit, rules, seat_key};
use crate::access::Operation;
use crate::catalog::FunctionEntry;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::submit::FunctionRef;

/// Ranges of what the session API takes, in seconds.
const LIFE_LEAST: u64 = 60;
const LIFE_MAX: u64 = 86_400;

/// What a caller says about a session; absent: as the function says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionAsked {
    /// Its id; made up if absent. Only where calls name it in a header.
    pub id: Option<String>,
    /// In seconds.
    pub ttl: Option<u64>,
    /// In seconds.
    pub idle: Option<u64>,
    /// Whether its id may be used again.
    pub reuse: Option<Reuse>,
}

/// Which sessions are listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionFilter {
    /// Only this one.
    pub id: Option<String>,
    /// Only those.
    pub status: Option<SessionStatus>,
}

impl SessionAsked {
    fn apply(&self, rules: &mut SessionRules) -> Result<(), Refusal> {
        for (name, said, least, slot) in [
            ("sessionTTLInSeconds", self.ttl, LIFE_LEAST, &mut rules.ttl),
            ("sessionIdleTimeoutInSeconds", self.idle, 0, &mut rules.idle),
        ] {
            if let Some(said) = said {
                rules::within(name, said, least, LIFE_MAX)?;
                *slot = Span::from_secs(said);
            }
        }
        rules.reuse = self.reuse.unwrap_or(rules.reuse);
        Ok(())
    }
}

impl Engine {
    /// How calls of a function say which session they belong to, if it has sessions.
    pub fn session_affinity(&self, caller: &Caller, function: &FunctionRef) -> Option<Affinity> {
        let entry = self.function_entry(caller, &function.name).ok()?;
        let target = entry.resolve(&function.qualifier, 0).ok()?;
        rules::rules_of(&target.revision.config).map(|rules| rules.affinity)
    }

    /// Makes a session (`CreateSession`).
    ///
    /// # Errors
    /// `InvalidArgument` where the function has no sessions, or one of this id lives.
    pub fn session_create(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        asked: &SessionAsked,
    ) -> Result<SessionView, EngineError> {
        self.authorize(caller, Operation::SessionCreate, Some(&function.name))?;
        let entry = self.function_entry(caller, &function.name)?;
        let draw = self.draw();
        let target = entry.resolve(&function.qualifier, draw)?;
        let mut rules = rules_for(&target.revision.config, &function.name)?;
        asked.apply(&mut rules)?;
        let id = match (&asked.id, &rules.affinity) {
            (None, _) => self.new_session_id(),
            (Some(id), Affinity::Header(_)) => checked(id)?,
            (Some(_), Affinity::Cookie) => {
                let message = "a sessionId is for functions with HEADER_FIELD affinity only";
                return Err(Refusal::invalid(message).into());
            }
        };
        let key = (entry.function.id, Arc::clone(&target.qualifier), id);
        let now = self.clock().now();
        if self.link().sessions().draw(&key, now).is_some() {
            let message = format!("session '{}' exists", key.2);
            return Err(EngineError::refused(Code::InvalidArgument, message));
        }
        let coming = Coming {
            key: key.clone(),
            rules: &rules,
            isolation: target.revision.config.isolation,
            instances_max: entry.function.instances_max,
            draw,
        };
        self.link().sessions().make(&coming, now)?;
        self.session_view(&key)
    }

    /// One session.
    ///
    /// # Errors
    /// `SessionNotFound`.
    pub fn session_get(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        id: &str,
    ) -> Result<SessionView, EngineError> {
        self.authorize(caller, Operation::SessionGet, Some(&function.name))?;
        self.session_view(&self.session_key(caller, function, id)?)
    }

    /// Changes how long a session that lives goes on doing so.
    ///
    /// # Errors
    /// `SessionNotFound`, also for one that is over.
    pub fn session_update(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        id: &str,
        asked: &SessionAsked,
    ) -> Result<SessionView, EngineError> {
        self.authorize(caller, Operation::SessionUpdate, Some(&function.name))?;
        let key = self.session_key(caller, function, id)?;
        let now = self.clock().now();
        let mut known = self.link().sessions().known();
        let session = known.get_mut(&key).filter(|session| !session.is_over(now));
        let Some(session) = session else { return Err(absent(id).into()) };
        let mut rules = SessionRules {
            affinity: Affinity::Cookie,
            per_instance: 1,
            ttl: session.ttl,
            idle: session.idle,
            reuse: session.reuse,
        };
        asked.apply(&mut rules)?;
        (session.ttl, session.idle, session.reuse) = (rules.ttl, rules.idle, rules.reuse);
        session.modified_at = now;
        let change = SessionChange::Holds { ends_at: session.ends_at(), idle: session.idle };
        drop(known);
        self.tell_session(&key, change);
        self.session_view(&key)
    }

    /// A function's sessions, by qualifier and id.
    ///
    /// # Errors
    /// `FunctionNotFound`.
    pub fn session_list(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
        filter: &SessionFilter,
    ) -> Result<Vec<SessionView>, EngineError> {
        self.authorize(caller, Operation::SessionList, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        let mut found = self.link().sessions().of_function(entry.function.id, self.clock().now());
        found.retain(|session| {
            qualifier.is_none_or(|qualifier| *session.qualifier == *qualifier)
                && filter.id.as_ref().is_none_or(|id| *session.id == **id)
                && filter.status.is_none_or(|status| session.status == status)
        });
        Ok(found)
    }

    /// Ends a session. Its own instance ends with it, and what runs there; in a shared one what runs is
    /// finished.
    ///
    /// # Errors
    /// `SessionNotFound`.
    pub fn session_delete(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        id: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::SessionDelete, Some(&function.name))?;
        let key = self.session_key(caller, function, id)?;
        let gone = self.link().sessions().known().remove(&key);
        gone.ok_or_else(|| absent(id))?;
        self.tell_session(&key, SessionChange::Ended);
        Ok(())
    }

    fn tell_session(&self, key: &SessionKey, change: SessionChange) {
        let word = SessionWord { function: key.0, key: seat_key(key), change };
        self.link().broadcast(&ToNode::Session(word));
    }

    fn session_key(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        id: &str,
    ) -> Result<SessionKey, EngineError> {
        let entry = self.function_entry(caller, &function.name)?;
        let target = entry.resolve(&function.qualifier, 0)?;
        Ok((entry.function.id, target.qualifier, id.into()))
    }

    fn session_view(&self, key: &SessionKey) -> Result<SessionView, EngineError> {
        let now = self.clock().now();
        let known = self.link().sessions().known();
        let view = known.get(key).map(|session| session.view(key, now));
        Ok(view.ok_or_else(|| absent(&key.2))?)
    }

    /// What a call needs to be with its session: the version draw, where to sit, and the id where the
    /// caller must be told.
    pub(crate) fn begin_session(
        &self,
        entry: &FunctionEntry,
        qualifier: &str,
        said: &SessionSaid,
    ) -> Result<Option<Begun>, EngineError> {
        let draw = self.draw();
        let target = entry.resolve(qualifier, draw)?;
        if *said == SessionSaid::None {
            return Ok(None);
        }
        let Some(rules) = rules::rules_of(&target.revision.config) else { return Ok(None) };
        let now = self.clock().now();
        let key = |id| (entry.function.id, Arc::clone(&target.qualifier), id);
        let sessions = self.link().sessions();
        let id = match (said, &rules.affinity) {
            (SessionSaid::Id(id), Affinity::Header(_)) => checked(id)?,
            // A cookie is the server's own: one it does not know is not taken up.
            (SessionSaid::Id(id), Affinity::Cookie)
                if is_session_id(id) && sessions.draw(&key(id.as_str().into()), now).is_some() =>
            {
                id.as_str().into()
            }
            (SessionSaid::Id(_), Affinity::Cookie) | (SessionSaid::New | SessionSaid::None, _) => {
                self.new_session_id()
            }
        };
        let coming = Coming {
            key: key(Arc::clone(&id)),
            rules: &rules,
            isolation: target.revision.config.isolation,
            instances_max: entry.function.instances_max,
            draw,
        };
        let seat = sessions.enter(&coming, now)?;
        let visit = Visit::new(Arc::clone(sessions), coming.key.clone(), self.clock().clone());
        let draw = sessions.draw(&coming.key, now).unwrap_or(draw);
        Ok(Some(Begun { draw, seat, visit, id, ends_at: now + rules.ttl }))
    }

    fn new_session_id(&self) -> Arc<str> {
        format!("{:032x}", self.random_u128()).into()
    }

    fn draw(&self) -> u32 {
        u32::try_from(self.random_u128() % 1_000_000).expect("below a million")
    }
}

/// A call that has a session.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) draw: u32,
    pub(crate) seat: SessionSeat,
    pub(crate) visit: Visit,
    pub(crate) id: Arc<str>,
    pub(crate) ends_at: Timestamp,
}

fn rules_for(config: &FunctionConfig, name: &str) -> Result<SessionRules, Refusal> {
    rules::rules_of(config).ok_or_else(|| {
        Refusal::invalid(format!(
            "function '{name}' has no sessionAffinity HEADER_FIELD or GENERATED_COOKIE"
        ))
    })
}

fn checked(id: &str) -> Result<Arc<str>, Refusal> {
    if is_session_id(id) {
        return Ok(id.into());
    }
    let shown: String = id.chars().take(80).collect();
    Err(Refusal::invalid(format!(
        "a session id has 1 to 64 letters, digits, hyphens and underscores and no hyphen first, got '{shown}'"
    )))
}

fn absent(id: &str) -> Refusal {
    Refusal::new(Code::SessionNotFound, format!("session '{id}' does not exist"))
}
