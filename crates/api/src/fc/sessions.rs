//! Sessions (§1.18): the session API, and how a call says which session it belongs to.

use http::HeaderMap;
use serde_json::Value;
use stint_engine::{
    FunctionRef, SessionAsked, SessionFilter, SessionSaid, SessionStatus, SessionView,
};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::session::{Affinity, COOKIE, Reuse};
use stint_model::time::Timestamp;
use stint_wire::fc::{Session, SessionInput, SessionList};

use crate::answer::{self, Answer, no_content, ok};
use crate::call::{Call, rfc3339};
use crate::dispatch::Door;
use crate::error::Problem;
use crate::options::header;

pub(crate) fn create(call: &Call) -> Result<Answer, Problem> {
    let input: SessionInput = call.json_or_default()?;
    let id = input.session_id.clone().filter(|id| !id.is_empty());
    let asked = SessionAsked { id, ..asked(&input)? };
    let function = call.function();
    ok(&view(call, &call.engine().session_create(&call.caller, &function, &asked)?))
}

pub(crate) fn get(call: &Call) -> Result<Answer, Problem> {
    let found = call.engine().session_get(&call.caller, &call.function(), call.param(1))?;
    ok(&view(call, &found))
}

pub(crate) fn update(call: &Call) -> Result<Answer, Problem> {
    let asked = asked(&call.json_or_default()?)?;
    let function = call.function();
    let changed = call.engine().session_update(&call.caller, &function, call.param(1), &asked)?;
    ok(&view(call, &changed))
}

pub(crate) fn delete(call: &Call) -> Result<Answer, Problem> {
    call.engine().session_delete(&call.caller, &call.function(), call.param(1))?;
    no_content()
}

pub(crate) fn list(call: &Call) -> Result<Answer, Problem> {
    let status = match call.query.get("sessionStatus") {
        None => None,
        Some(word) if word.eq_ignore_ascii_case("active") => Some(SessionStatus::Active),
        Some(word) if word.eq_ignore_ascii_case("expired") => Some(SessionStatus::Expired),
        // Sessions that sleep do not exist here, which is what a filter for them finds.
        Some("Pausing" | "Paused" | "Resuming") => return ok(&SessionList::default()),
        Some(word) => {
            let message = format!("sessionStatus is Active or Expired, not {word:?}");
            return Err(Problem::invalid(message));
        }
    };
    let filter = SessionFilter { id: call.query.get("sessionId").map(str::to_owned), status };
    let qualifier = call.query.get("qualifier");
    let found = call.engine().session_list(&call.caller, call.param(0), qualifier, &filter)?;
    let after = call.query.get("nextToken").unwrap_or("");
    let limit = call.query.limit("limit", 20, 100)?;
    let name = |session: &SessionView| format!("{}/{}", session.qualifier, session.id);
    let mut rest = found.iter().filter(|session| name(session).as_str() > after).peekable();
    let page: Vec<&SessionView> = rest.by_ref().take(limit).collect();
    let next_token = match (page.last(), rest.peek()) {
        (Some(last), Some(_)) => Some(name(last)),
        (Some(_) | None, _) => None,
    };
    let sessions = page.into_iter().map(|session| view(call, session)).collect();
    ok(&SessionList { sessions, next_token })
}

/// What is not built is refused, when it is asked for: a session without it would be another one.
fn asked(input: &SessionInput) -> Result<SessionAsked, Problem> {
    for (name, value) in &input.rest {
        let idle = match value {
            Value::Null | Value::Bool(false) => true,
            // The default, said.
            Value::Bool(true) => name == "allowInternetAccess",
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Number(_) => false,
        };
        if !idle {
            let message = format!("{name} of a session is not available on this server yet");
            return Err(Problem::new(Code::NotImplemented, message));
        }
    }
    Ok(SessionAsked {
        id: None,
        ttl: input.session_ttl_in_seconds,
        idle: input.session_idle_timeout_in_seconds,
        reuse: input
            .disable_session_id_reuse
            .map(|refused| if refused { Reuse::Refused } else { Reuse::Allowed }),
    })
}

fn view(call: &Call, session: &SessionView) -> Session {
    Session {
        session_id: session.id.to_string(),
        function_name: call.param(0).to_owned(),
        qualifier: session.qualifier.to_string(),
        session_affinity_type: session.affinity.to_owned(),
        session_status: match session.status {
            SessionStatus::Active => "Active".to_owned(),
            SessionStatus::Expired => "Expired".to_owned(),
        },
        container_id: session.instance.map(|instance| instance.to_string()).unwrap_or_default(),
        session_ttl_in_seconds: session.ttl.secs(),
        session_idle_timeout_in_seconds: session.idle.secs(),
        disable_session_id_reuse: session.reuse == Reuse::Refused,
        created_time: rfc3339(session.created_at),
        last_modified_time: rfc3339(session.modified_at),
    }
}

/// Which session a call belongs to, and how its caller hears of it.
pub(super) fn said(
    door: &Door,
    caller: &Caller,
    function: &FunctionRef,
    headers: &HeaderMap,
) -> Result<(SessionSaid, Option<Affinity>), Problem> {
    let Some(affinity) = door.engine.session_affinity(caller, function) else {
        return Ok((SessionSaid::None, None));
    };
    let id = match &affinity {
        Affinity::Header(name) => header(headers, name)?.map(str::to_owned),
        Affinity::Cookie => cookie(headers),
    };
    Ok((id.map_or(SessionSaid::New, SessionSaid::Id), Some(affinity)))
}

/// The ordering key of a task that names its session in the function's header.
pub(super) fn order_key(
    door: &Door,
    caller: &Caller,
    function: &FunctionRef,
    headers: &HeaderMap,
) -> Result<Option<String>, Problem> {
    match said(door, caller, function, headers)? {
        (SessionSaid::Id(id), Some(Affinity::Header(_))) => {
            if !stint_model::session::is_session_id(&id) {
                let message = "a session id has 1 to 64 letters, digits, hyphens and underscores";
                return Err(Problem::invalid(message));
            }
            Ok(Some(format!("{}{id}", stint_model::session::ORDER_KEY)))
        }
        // Nobody hears of a new one in the answer to a submission.
        (SessionSaid::Id(_) | SessionSaid::New | SessionSaid::None, _) => Ok(None),
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(http::header::COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == COOKIE);
    found.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Tells the caller which session the call belonged to.
pub(super) fn tell(
    answer: &mut Answer,
    affinity: &Affinity,
    id: &str,
    left: (Timestamp, Timestamp),
) {
    match affinity {
        Affinity::Header(name) => {
            if let Ok(name) = http::HeaderName::try_from(name.as_str()) {
                answer::set(answer, name, id);
            }
        }
        Affinity::Cookie => {
            let (now, ends_at) = left;
            let seconds = ends_at.since(now).secs();
            let text = format!("{COOKIE}={id}; Max-Age={seconds}; Path=/; HttpOnly");
            answer::set(answer, http::header::SET_COOKIE, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        headers.append("cookie", "a=b; x-fc-cookie-session-id = abc ;c=d".parse().unwrap());
        assert_eq!(cookie(&headers), Some("abc".to_owned()));
        headers.insert("cookie", "x-fc-cookie-session-id=".parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }

    #[test]
    fn what_is_not_built_is_refused_when_it_is_asked_for() {
        let read = |text: &str| asked(&serde_json::from_str(text).unwrap());
        let plain = r#"{"sessionTTLInSeconds":60,"nasConfig":{},"snapshotId":"","enableAutoPause":false,
            "allowInternetAccess":true,"disableSessionIdReuse":true}"#;
        let asked = read(plain).unwrap();
        assert_eq!((asked.ttl, asked.idle, asked.reuse), (Some(60), None, Some(Reuse::Refused)));
        for rest in
            [r#""snapshotId":"x""#, r#""enableAutoPause":true"#, r#""nasConfig":{"userId":1}"#]
        {
            assert_eq!(read(&format!("{{{rest}}}")).unwrap_err().code, Code::NotImplemented);
        }
    }
}
