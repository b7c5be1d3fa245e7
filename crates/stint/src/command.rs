//! One file per group of commands. A command parses its arguments, asks the server through
//! [`crate::remote`], and shows the answer.

pub(crate) mod account;
pub(crate) mod backlog;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod flow;
pub(crate) mod function;
pub(crate) mod init;
pub(crate) mod instance;
pub(crate) mod invoke;
pub(crate) mod key;
pub(crate) mod logs;
mod patience;
pub(crate) mod task;
pub(crate) mod top;
pub(crate) mod up;
pub(crate) mod upkeep;
pub(crate) mod usage;
pub(crate) mod why;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use stint_model::time::Timestamp;
use stint_wire::client::Client;
use stint_wire::native::Page;

use crate::cli::Global;
use crate::config::environment::Environment;
use crate::config::{Config, Raw};
use crate::failure::Failure;
use crate::remote::Profile;
use crate::screen::Screen;

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) environment: Environment,
    pub(crate) screen: Screen,
}

impl Context {
    /// What was said about the configuration, with `more` flags of the command itself.
    pub(crate) fn raw(&self, more: crate::config::raw::Flags) -> Result<Raw, Failure> {
        let mut flags = self.global.settings.flags()?;
        flags.extend(more);
        let file = self.global.settings.config.as_deref();
        let raw = Raw::gather(file, &self.environment, &flags);
        raw.map_err(|error| Failure::usage(stint_supervise::chain(&error)))
    }

    /// What it means.
    pub(crate) fn config(&self, raw: &Raw) -> Result<Config, Failure> {
        let config = Config::resolve(raw, &self.environment);
        config.map_err(|error| Failure::usage(stint_supervise::chain(&error)))
    }

    /// The data directory, also when the rest of the configuration is not for this machine.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        let raw = self.raw(Vec::new())?;
        Ok(self.config(&raw)?.data)
    }

    /// The server to talk to.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Profile::find(self)?.client()
    }
}

/// A payload: the argument, `@file`, `-` for standard input, or nothing.
pub(crate) fn payload(said: Option<&str>) -> Result<Vec<u8>, Failure> {
    match said {
        None => Ok(Vec::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) => std::fs::read(path)
                .map_err(|error| Failure::cannot(format_args!("read {path}"), &error)),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

/// A moment for people, in their own time zone; empty for "not yet".
pub(crate) fn when(at: Timestamp) -> String {
    if at == Timestamp::ZERO {
        return String::new();
    }
    match jiff::Timestamp::from_microsecond(at.micros()) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string(),
        Err(_) => at.micros().to_string(),
    }
}

/// Milliseconds for people.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.0} µs", ms * 1_000.0)
    } else if ms < 1_000.0 {
        format!("{ms:.1} ms")
    } else if ms < 60_000.0 {
        format!("{:.2} s", ms / 1_000.0)
    } else {
        format!("{:.1} min", ms / 60_000.0)
    }
}

/// Every page of a listing.
macro_rules! every {
    ($cursor:ident => $page:expr) => {{
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let $cursor = next.as_deref();
            let page = $page.await?;
            items.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        $crate::command::whole(items)
    }};
}
pub(crate) use every;

/// A listing that has no further page.
pub(crate) fn whole<T>(items: Vec<T>) -> Page<T> {
    Page { items, next: None }
}

/// The pairs of a repeated option, each key once.
pub(crate) fn by_key(pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs {
        if found.insert(key.clone(), value.clone()).is_some_and(|before| before != *value) {
            return Err(Failure::usage(format!("`{key}` is given with two values")));
        }
    }
    Ok(found)
}

/// `KEY=VALUE`, for options that take pairs.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}`: write KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_from_the_argument_or_a_file() {
        assert_eq!(payload(None).unwrap(), b"");
        assert_eq!(payload(Some("{}")).unwrap(), b"{}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file").unwrap();
        let said = format!("@{}", file.path().display());
        assert_eq!(payload(Some(&said)).unwrap(), b"from a file");
        assert!(payload(Some("@/no/such")).unwrap_err().message.contains("/no/such"));
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(when(Timestamp::ZERO), "");
        assert!(when(Timestamp::from_millis(1_728_465_000_000)).starts_with("2024-10-0"));
        assert_eq!(millis(0.25), "250 µs");
        assert_eq!(millis(12.34), "12.3 ms");
        assert_eq!(millis(2_500.0), "2.50 s");
        assert_eq!(millis(120_000.0), "2.0 min");
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a").is_err());
    }
}
