//! A function's rules for sessions, out of the settings that say them (§1.18): `sessionAffinity`, and
//! `sessionAffinityConfig`, whose JSON comes as a string.

use serde::Deserialize;
use serde_json::Value;
use stint_model::code::Refusal;
use stint_model::function::{FunctionConfig, IsolationMode};
use stint_model::session::{Affinity, Reuse, SessionRules};
use stint_model::time::Span;

/// Names of the settings.
const AFFINITY: &str = "sessionAffinity";
const CONFIG: &str = "sessionAffinityConfig";
/// Defaults and ranges of the function's settings, in seconds.
const TTL: u64 = 21_600;
const IDLE: u64 = 1_800;
const LIFE_MAX: u64 = 86_400;
const PER_INSTANCE: u32 = 20;
const PER_INSTANCE_MAX: u32 = 200;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    affinity_header_field_name: Option<String>,
    session_concurrency_per_instance: Option<u32>,
    #[serde(rename = "sessionTTLInSeconds")]
    ttl: Option<u64>,
    session_idle_timeout_in_seconds: Option<u64>,
    disable_session_id_reuse: Option<bool>,
}

/// The rules of a function whose calls say which session they belong to. Those of the MCP kinds are spoken
/// over HTTP triggers, and have no effect without them.
pub fn rules_of(config: &FunctionConfig) -> Option<SessionRules> {
    // It was checked when it was put; what an older release kept may be anything.
    read(config).ok().flatten()
}

/// Checks what a configuration says about sessions.
pub(crate) fn check(config: &FunctionConfig) -> Result<(), Refusal> {
    let rules = read(config)?;
    if config.isolation == IsolationMode::Session && !config.kept.contains_key(AFFINITY) {
        let message = "instanceIsolationMode SESSION_EXCLUSIVE needs a sessionAffinity";
        return Err(Refusal::invalid(message));
    }
    let Some(rules) = rules else { return Ok(()) };
    within("sessionTTLInSeconds", rules.ttl.secs(), 1, LIFE_MAX)?;
    within("sessionIdleTimeoutInSeconds", rules.idle.secs(), 0, LIFE_MAX)?;
    let most = u64::from(PER_INSTANCE_MAX);
    within("sessionConcurrencyPerInstance", u64::from(rules.per_instance), 1, most)
}

pub(super) fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{name} must be between {least} and {most}, got {value}")))
}

fn read(config: &FunctionConfig) -> Result<Option<SessionRules>, Refusal> {
    let Some(kind) = config.kept.get(AFFINITY) else { return Ok(None) };
    let kind = kind.trim_matches('"');
    if !matches!(kind, "HEADER_FIELD" | "GENERATED_COOKIE") {
        return Ok(None);
    }
    let bad =
        |error: serde_json::Error| Refusal::invalid(format!("{CONFIG} is not valid: {error}"));
    let said = match config.kept.get(CONFIG) {
        None => Said::default(),
        Some(text) => match serde_json::from_str(text).map_err(bad)? {
            Value::String(inner) => serde_json::from_str(&inner).map_err(bad)?,
            object => serde_json::from_value(object).map_err(bad)?,
        },
    };
    let affinity = match kind {
        "GENERATED_COOKIE" => Affinity::Cookie,
        _ => Affinity::Header(header(said.affinity_header_field_name.as_deref().unwrap_or(""))?),
    };
    let seconds = |said: Option<u64>, usual: u64| Span::from_secs(said.unwrap_or(usual));
    let refused = said.disable_session_id_reuse == Some(true);
    Ok(Some(SessionRules {
        affinity,
        per_instance: said.session_concurrency_per_instance.unwrap_or(PER_INSTANCE),
        ttl: seconds(said.ttl, TTL),
        idle: seconds(said.session_idle_timeout_in_seconds, IDLE),
        reuse: if refused { Reuse::Refused } else { Reuse::Allowed },
    }))
}

/// 5 to 40 letters, digits, hyphens and underscores, the first a letter; not upstream's own.
fn header(name: &str) -> Result<String, Refusal> {
    let lower = name.to_ascii_lowercase();
    let good = (5..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !lower.starts_with("x-fc-")
        && !lower.starts_with("x-acs-");
    if good {
        return Ok(lower);
    }
    Err(Refusal::invalid(format!(
        "affinityHeaderFieldName must be 5 to 40 letters, digits, hyphens and underscores, begin with a letter and \
         not with x-fc- or x-acs-, got '{name}'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn config(kind: &str, said: &str) -> FunctionConfig {
        let mut config = samples::config();
        config.kept.insert(AFFINITY.to_owned(), format!("\"{kind}\""));
        if !said.is_empty() {
            let text = serde_json::to_string(said).unwrap();
            config.kept.insert(CONFIG.to_owned(), text);
        }
        config
    }

    #[test]
    fn rules_are_read_and_have_defaults() {
        let said = r#"{"affinityHeaderFieldName":"X-My-Session","sessionConcurrencyPerInstance":3,
            "sessionTTLInSeconds":60,"sessionIdleTimeoutInSeconds":0,"disableSessionIdReuse":true}"#;
        let rules = rules_of(&config("HEADER_FIELD", said)).unwrap();
        assert_eq!(rules.affinity, Affinity::Header("x-my-session".to_owned()));
        assert_eq!((rules.per_instance, rules.reuse), (3, Reuse::Refused));
        assert_eq!((rules.ttl, rules.idle), (Span::from_secs(60), Span::ZERO));
        let rules = rules_of(&config("GENERATED_COOKIE", "")).unwrap();
        assert_eq!(rules.affinity, Affinity::Cookie);
        assert_eq!((rules.per_instance, rules.ttl.secs(), rules.idle.secs()), (20, TTL, IDLE));
        assert!(rules_of(&config("MCP_SSE", "")).is_none());
        assert!(rules_of(&samples::config()).is_none());
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for (kind, said, expected) in [
            ("HEADER_FIELD", "", "affinityHeaderFieldName"),
            ("HEADER_FIELD", r#"{"affinityHeaderFieldName":"x-fc-mine"}"#, "not with x-fc-"),
            ("HEADER_FIELD", r#"{"affinityHeaderFieldName":"abc"}"#, "5 to 40"),
            ("GENERATED_COOKIE", r#"{"sessionTTLInSeconds":0}"#, "sessionTTLInSeconds"),
            ("GENERATED_COOKIE", r#"{"sessionTTLInSeconds":"x"}"#, "not valid"),
            ("GENERATED_COOKIE", r#"{"sessionIdleTimeoutInSeconds":90000}"#, "IdleTimeout"),
            ("GENERATED_COOKIE", r#"{"sessionConcurrencyPerInstance":201}"#, "PerInstance"),
            ("GENERATED_COOKIE", "{", "not valid"),
        ] {
            let refusal = check(&config(kind, said)).unwrap_err();
            assert!(refusal.message.contains(expected), "{} {expected}", refusal.message);
        }
        let mut alone = samples::config();
        alone.isolation = IsolationMode::Session;
        assert!(check(&alone).unwrap_err().message.contains("needs a sessionAffinity"));
    }
}
