//! Flows as the control plane keeps them: what a definition is called, its versions and aliases, the
//! schedules that start it, and the activities that pollers serve. What a definition means is `flow`'s.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{AccountId, FlowId};
use crate::time::Timestamp;

/// Which promises the executions of a flow get.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum FlowMode {
    /// Durable, up to a year.
    #[default]
    Standard,
    /// Short; the caller waits for the end.
    Express,
}

impl FlowMode {
    /// The word of the wire and the book.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Express => "Express",
        }
    }

    /// From its word, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Standard, Self::Express]
            .into_iter()
            .find(|mode| mode.word().eq_ignore_ascii_case(word))
    }
}

/// A flow. Its definitions are records of their own, numbered from one; a number never changes its
/// text, so that an execution keeps what it started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// A flow deleted and made again under its name is another one.
    pub id: FlowId,
    /// Whose.
    pub account: AccountId,
    /// Unique in the account; never changes.
    pub name: Arc<str>,
    /// Standard or Express; never changes.
    pub mode: FlowMode,
    /// The definition that starts without a qualifier use.
    pub revision: u64,
    /// Free text.
    pub description: String,
    /// Recorded and shown to expressions.
    pub role: String,
    /// Recorded.
    pub external_storage: String,
    /// Variables that expressions can read.
    pub environment: BTreeMap<String, String>,
    /// Recorded.
    pub resource_group: String,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// The highest version ever published; zero for none.
    pub version_newest: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

/// A published version: a number for one definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowVersion {
    /// Counts from one; never given twice.
    pub number: u64,
    /// The definition.
    pub revision: u64,
    /// Free text.
    pub description: String,
    /// When it was published.
    pub created_at: Timestamp,
}

/// A name for one version, or for several by weight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowAlias {
    /// Unique in the flow.
    pub name: String,
    /// Free text.
    pub description: String,
    /// At least one; the weights add up to 100.
    pub routes: Vec<FlowRoute>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

/// A share of an alias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowRoute {
    /// Which version.
    pub version: u64,
    /// Percent of the starts.
    pub weight: u32,
}

impl FlowAlias {
    /// The version of one start; `draw` is uniform in 0..100.
    pub fn choose(&self, draw: u32) -> Option<u64> {
        let mut below = 0;
        for route in &self.routes {
            below += route.weight;
            if draw < below {
                return Some(route.version);
            }
        }
        self.routes.last().map(|route| route.version)
    }
}

/// What becomes of moments at which nothing ran.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Misfire {
    /// They are skipped.
    #[default]
    Skip,
    /// The latest of them starts one execution.
    Once,
}

impl Misfire {
    /// The word of the wire and the book.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Skip, Self::Once].into_iter().find(|misfire| misfire.word() == word)
    }
}

/// Starts executions by the calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowSchedule {
    /// Unique in the flow.
    pub name: String,
    /// Its id, as upstream shows one.
    pub id: String,
    /// Six cron fields, seconds first, perhaps after `CRON_TZ=Zone`; or `@every 90s`.
    pub expression: String,
    /// JSON text; becomes `payload` of the input.
    pub payload: Option<String>,
    /// Whether it fires.
    pub is_enabled: bool,
    /// Free text.
    pub description: String,
    /// What becomes of moments that were missed.
    pub misfire: Misfire,
    /// Whether it fires while an execution it started still runs.
    pub may_overlap: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last; moments before it are none.
    pub modified_at: Timestamp,
}

/// Work that outside pollers do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activity {
    /// Whose.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn an_alias_shares_by_weight() {
        let route = |version, weight| FlowRoute { version, weight };
        let alias = FlowAlias {
            name: "prod".into(),
            description: String::new(),
            routes: vec![route(1, 90), route(2, 10)],
            created_at: Timestamp::ZERO,
            modified_at: Timestamp::ZERO,
        };
        let chosen = |draw| alias.choose(draw);
        assert_eq!([chosen(0), chosen(89), chosen(90), chosen(99)], [1, 1, 2, 2].map(Some));
    }

    #[test]
    fn words_read_back() {
        for mode in [FlowMode::Standard, FlowMode::Express] {
            assert_eq!(FlowMode::from_word(mode.word()), Some(mode));
        }
        for misfire in [Misfire::Skip, Misfire::Once] {
            assert_eq!(Misfire::from_word(misfire.word()), Some(misfire));
        }
        assert_eq!(FlowMode::from_word("express"), Some(FlowMode::Express));
    }
}
