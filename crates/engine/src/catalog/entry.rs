//! One function as the path sees it: an immutable snapshot, and what a qualifier means in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::function::{Alias, AsyncConfig, Function, LATEST, Revision, Version};
use stint_model::scaling::ScalingConfig;

/// A function with its versions, aliases and async configurations.
#[derive(Clone, Debug)]
pub struct FunctionEntry {
    /// The function and its head.
    pub function: Arc<Function>,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Arc<Version>>,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Arc<Alias>>,
    /// Async configurations by qualifier.
    pub async_configs: BTreeMap<String, Arc<AsyncConfig>>,
    /// What qualifiers keep.
    pub scalings: BTreeMap<String, Arc<ScalingConfig>>,
    latest: Arc<str>,
    plain: Arc<AsyncConfig>,
}

/// What a qualifier came to, for one call.
#[derive(Clone, Debug)]
pub struct Target {
    /// What runs.
    pub revision: Arc<Revision>,
    /// `LATEST`, or the version's number.
    pub version_label: Arc<str>,
    /// The qualifier as it was used; `LATEST` when none was.
    pub qualifier: Arc<str>,
}

impl FunctionEntry {
    /// A function with nothing bound to it yet.
    pub fn new(function: Arc<Function>) -> Self {
        Self {
            function,
            versions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            async_configs: BTreeMap::new(),
            scalings: BTreeMap::new(),
            latest: LATEST.into(),
            plain: Arc::new(AsyncConfig::default()),
        }
    }

    /// The same with another state of the function itself.
    #[must_use]
    pub fn with_function(&self, function: Arc<Function>) -> Self {
        Self { function, ..self.clone() }
    }

    /// What runs for a call through `qualifier` (empty is `LATEST`). An alias with a canary takes
    /// the version that the draw of `0..1_000_000` picks.
    pub fn resolve(&self, qualifier: &str, draw_millionths: u32) -> Result<Target, Refusal> {
        if qualifier.is_empty() || qualifier == LATEST {
            return Ok(Target {
                revision: Arc::clone(&self.function.head),
                version_label: Arc::clone(&self.latest),
                qualifier: Arc::clone(&self.latest),
            });
        }
        let number = match version_number(qualifier) {
            Some(number) => number,
            None => self.alias(qualifier)?.pick(draw_millionths),
        };
        let version = self.version(number)?;
        Ok(Target {
            revision: Arc::clone(&version.revision),
            version_label: version.number.to_string().into(),
            qualifier: qualifier.into(),
        })
    }

    /// A version, or the refusal that names it.
    pub fn version(&self, number: u64) -> Result<&Arc<Version>, Refusal> {
        self.versions.get(&number).ok_or_else(|| version_not_found(&number.to_string()))
    }

    /// An alias, or the refusal that names it.
    pub fn alias(&self, name: &str) -> Result<&Arc<Alias>, Refusal> {
        self.aliases.get(name).ok_or_else(|| self.alias_missing(name))
    }

    /// The refusal for an alias that is not there.
    pub(crate) fn alias_missing(&self, name: &str) -> Refusal {
        Refusal::new(Code::AliasNotFound, format!("alias '{name}' does not exist"))
    }

    /// How async calls through `qualifier` (empty is `LATEST`) are kept: its own configuration or
    /// the platform's defaults. There is no fall-back from an alias or version to `LATEST`.
    pub fn async_config(&self, qualifier: &str) -> Arc<AsyncConfig> {
        let qualifier = if qualifier.is_empty() { LATEST } else { qualifier };
        Arc::clone(self.async_configs.get(qualifier).unwrap_or(&self.plain))
    }
}

/// The refusal for a version that is not there.
pub(crate) fn version_not_found(version: &str) -> Refusal {
    Refusal::new(Code::VersionNotFound, format!("version '{version}' does not exist"))
}

/// A qualifier that is all digits names a version.
pub(crate) fn version_number(qualifier: &str) -> Option<u64> {
    let digits = !qualifier.is_empty() && qualifier.bytes().all(|b| b.is_ascii_digit());
    // More digits than a number holds name a version that cannot exist.
    digits.then(|| qualifier.parse().unwrap_or(u64::MAX))
}
