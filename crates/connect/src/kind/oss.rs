//! Object storage triggers (§6.4) as far as their configuration goes: `{"events": […], "filter": {"key":
//! {"prefix": "…", "suffix": "…"}}}`. Where the events come from is the object service's.

use serde::Deserialize;

use crate::settings::{self, ConfigError};

/// The classes of events and what is in each.
const EVENTS: [(&str, &[&str]); 4] = [
    (
        "oss:ObjectCreated:",
        &[
            "PutObject",
            "PutSymlink",
            "PostObject",
            "CopyObject",
            "InitiateMultipartUpload",
            "UploadPart",
            "UploadPartCopy",
            "CompleteMultipartUpload",
            "AppendObject",
            "*",
        ],
    ),
    ("oss:ObjectRemoved:", &["DeleteObject", "DeleteObjects", "AbortMultipartUpload", "*"]),
    ("oss:ObjectModified:", &["UpdateObjectMeta", "*"]),
    ("oss:ObjectReplication:", &["ObjectCreated", "ObjectModified", "ObjectRemoved", "*"]),
];

/// An object trigger's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which events.
    pub events: Vec<String>,
    /// How keys begin.
    pub prefix: String,
    /// How keys end.
    pub suffix: String,
}

#[derive(Deserialize)]
struct Said {
    events: Vec<String>,
    #[serde(default)]
    filter: FilterSaid,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FilterSaid {
    key: KeySaid,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeySaid {
    prefix: String,
    suffix: String,
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        if said.events.is_empty() {
            return Err(ConfigError::field("events", "names no event"));
        }
        for event in &said.events {
            let known = EVENTS.iter().any(|(class, names)| {
                event.strip_prefix(class).is_some_and(|name| names.contains(&name))
            });
            if !known {
                let why = format!("there is no event {event:?}, such as oss:ObjectCreated:*");
                return Err(ConfigError::field("events", why));
            }
        }
        let KeySaid { prefix, suffix } = said.filter.key;
        if prefix.starts_with('/') {
            return Err(ConfigError::field("filter.key.prefix", "must not begin with /"));
        }
        Ok(Self { events: said.events, prefix, suffix })
    }

    /// Whether a change of an object is meant; the event as its payload names it, without `oss:`.
    pub fn wants(&self, event: &str, key: &str) -> bool {
        let is_named = self.events.iter().any(|one| {
            let one = one.strip_prefix("oss:").unwrap_or(one);
            one == event || one.strip_suffix('*').is_some_and(|class| event.starts_with(class))
        });
        is_named && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_keys_are_matched() {
        let text = r#"{"events":["oss:ObjectCreated:*","oss:ObjectRemoved:DeleteObject"],"filter":{"key":{"prefix":"source/","suffix":".png"}}}"#;
        let settings = Settings::read(text).unwrap();
        assert!(settings.wants("ObjectCreated:PutObject", "source/a.png"));
        assert!(!settings.wants("ObjectCreated:PutObject", "source/a.jpg"));
        assert!(!settings.wants("ObjectCreated:PutObject", "other/a.png"));
        assert!(settings.wants("ObjectRemoved:DeleteObject", "source/a.png"));
        assert!(!settings.wants("ObjectRemoved:DeleteObjects", "source/a.png"));
    }

    #[test]
    fn bad_settings_are_named() {
        for (text, what) in [
            (r#"{"events":[]}"#, "events"),
            (r#"{"events":["oss:ObjectCreated:Nothing"]}"#, "there is no event"),
            (
                r#"{"events":["oss:ObjectCreated:*"],"filter":{"key":{"prefix":"/a"}}}"#,
                "must not begin",
            ),
            ("{}", "missing field `events`"),
        ] {
            assert!(Settings::read(text).unwrap_err().to_string().contains(what), "{text}");
        }
    }
}
