//! Async invoke configurations, per function and qualifier: a put creates or merges.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{AsyncConfig, LATEST, check};
use stint_model::id::AccountId;
use stint_model::time::{Span, Timestamp};
use stint_store::Page;
use stint_store::record::async_config as stored;

use super::functions::CANARY_NEVER;
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::{CatalogChange, NameSpan};
use crate::destination::FunctionArn;
use crate::engine::Engine;
use crate::error::EngineError;

/// What is said about a configuration; what is `None` keeps its value or has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AsyncConfigPatch {
    /// Task mode for every async invocation through the qualifier.
    pub task_mode: Option<bool>,
    /// Tries after the first.
    pub retries_max: Option<u32>,
    /// Older messages are dropped before they start.
    pub age_max: Option<Span>,
    /// Where a good result goes; empty for nowhere.
    pub on_success: Option<String>,
    /// Where a bad one goes; empty for nowhere.
    pub on_failure: Option<String>,
    /// Beyond upstream: before the first retry.
    pub backoff_base: Option<Span>,
    /// Beyond upstream: the longest wait.
    pub backoff_cap: Option<Span>,
    /// Beyond upstream: error types that are final at once.
    pub final_errors: Option<Vec<String>>,
    /// Whether the wider bounds of the native API hold (more than 8 retries).
    pub native: bool,
}

/// A configuration and what it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsyncConfigView {
    /// Of which function.
    pub function: Arc<str>,
    /// For which qualifier.
    pub qualifier: String,
    /// The configuration.
    pub config: Arc<AsyncConfig>,
}

fn decide_put(
    before: Option<&AsyncConfig>,
    patch: &AsyncConfigPatch,
    account: AccountId,
    now: Timestamp,
) -> Result<AsyncConfig, Refusal> {
    let fresh = AsyncConfig { created_at: now, ..AsyncConfig::default() };
    let mut next = AsyncConfig { modified_at: now, ..before.cloned().unwrap_or(fresh) };
    if let Some(task_mode) = patch.task_mode {
        next.task_mode = task_mode;
    }
    if let Some(retries_max) = patch.retries_max {
        next.retry.retries_max = retries_max;
    }
    if let Some(age_max) = patch.age_max {
        next.age_max = age_max;
    }
    if let Some(base) = patch.backoff_base {
        next.retry.backoff_base = base;
    }
    if let Some(cap) = patch.backoff_cap {
        next.retry.backoff_cap = cap;
    }
    if let Some(errors) = &patch.final_errors {
        next.retry.final_errors.clone_from(errors);
    }
    if let Some(destination) = &patch.on_success {
        next.on_success = decide_destination(destination, account)?;
    }
    if let Some(destination) = &patch.on_failure {
        next.on_failure = decide_destination(destination, account)?;
    }
    // What another door allowed before is not refused now that nobody speaks of it.
    let native = patch.native || patch.retries_max.is_none();
    check::async_config(&next, native)?;
    Ok(next)
}

/// Functions of the own account are served; other services are known and come later. An ARN that
/// names no account (`acs:fc:::functions/next`) means the own one, so that a project file fits any.
fn decide_destination(arn: &str, account: AccountId) -> Result<String, Refusal> {
    if arn.is_empty() {
        return Ok(String::new());
    }
    let whole = match arn.split_once("::functions/") {
        Some((service, name)) => format!("{service}:{account}:functions/{name}"),
        None => arn.to_owned(),
    };
    if let Some(target) = FunctionArn::parse(&whole) {
        return if target.account == account {
            Ok(whole)
        } else {
            let message = format!("destination '{arn}' belongs to another account");
            Err(Refusal::new(Code::AccessDenied, message))
        };
    }
    let service = arn.strip_prefix("acs:").and_then(|rest| rest.split(':').next());
    match service {
        Some("mns" | "eventbridge" | "mq" | "rocketmq") => Err(Refusal::new(
            Code::NotImplemented,
            format!("destination '{arn}' is not available on this server yet; use a function"),
        )),
        Some(_) | None => Err(Refusal::invalid(format!(
            "destination '{arn}' is not the ARN of a destination \
             (acs:fc:REGION:ACCOUNT:functions/NAME)"
        ))),
    }
}

fn of(qualifier: Option<&str>) -> &str {
    qualifier.filter(|qualifier| !qualifier.is_empty()).unwrap_or(LATEST)
}

fn missing(function: &str, qualifier: &str) -> EngineError {
    let message = format!(
        "async invoke config of function '{function}' and qualifier '{qualifier}' does not exist"
    );
    EngineError::refused(Code::AsyncConfigNotExists, message)
}

impl Engine {
    /// Whoever names a destination has it run, so they must be allowed to.
    fn may_run(
        &self,
        caller: &Caller,
        patch: &AsyncConfigPatch,
        config: &AsyncConfig,
    ) -> Result<(), EngineError> {
        let named = [
            patch.on_success.as_ref().map(|_| &config.on_success),
            patch.on_failure.as_ref().map(|_| &config.on_failure),
        ];
        let mut targets = named.into_iter().flatten().filter_map(|arn| FunctionArn::parse(arn));
        targets.try_for_each(|target| {
            self.authorize(caller, Operation::Submit, Some(&target.function))
        })
    }

    /// Creates the configuration of a qualifier or merges into it.
    pub async fn async_config_put(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
        patch: &AsyncConfigPatch,
    ) -> Result<AsyncConfigView, EngineError> {
        self.authorize(caller, Operation::AsyncConfigPut, Some(function))?;
        let qualifier = of(qualifier);
        let account = caller.account;
        let key = stored::key(account, function, qualifier);
        retrying!({
            let read = self.function_read(account, function).await?;
            self.function_entry(caller, function)?.resolve(qualifier, CANARY_NEVER)?;
            let record = self.store().record_get(&key).await?;
            let before = record.as_ref().map(|record| stored::decode(&record.body)).transpose()?;
            let now = self.clock().now();
            let config = Arc::new(decide_put(before.as_deref(), patch, account, now)?);
            self.may_run(caller, patch, &config)?;
            let mut change = Change::new(self.home_of(account, function));
            change.expects(read.expect);
            match &record {
                Some(record) => change.replace(expect_of(record), stored::encode(&config)),
                None => change.create(key.clone(), stored::encode(&config)),
            }
            change.shows(CatalogChange::AsyncConfigSet {
                function: read.value.id,
                qualifier: qualifier.to_owned(),
                config: Arc::clone(&config),
            });
            let deed = Deed::on_function(Operation::AsyncConfigPut, function);
            self.commit(caller, deed.told(format!("qualifier {qualifier}")), change).await?;
            let function = Arc::clone(&read.value.name);
            Ok(AsyncConfigView { function, qualifier: qualifier.to_owned(), config })
        })
    }

    /// The configuration of a qualifier.
    pub async fn async_config_get(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<AsyncConfigView, EngineError> {
        self.authorize(caller, Operation::AsyncConfigGet, Some(function))?;
        let qualifier = of(qualifier);
        let entry = self.function_entry(caller, function)?;
        let config = entry.async_configs.get(qualifier);
        let config = Arc::clone(config.ok_or_else(|| missing(function, qualifier))?);
        let function = Arc::clone(&entry.function.name);
        Ok(AsyncConfigView { function, qualifier: qualifier.to_owned(), config })
    }

    /// Configurations of one function, or of all, by function and qualifier.
    pub async fn async_config_list(
        &self,
        caller: &Caller,
        function: Option<&str>,
        listing: &Listing,
    ) -> Result<Page<AsyncConfigView>, EngineError> {
        self.authorize(caller, Operation::AsyncConfigList, function)?;
        let asked = listing.checked()?;
        let entries = match function {
            Some(function) => vec![self.function_entry(caller, function)?],
            None => {
                let all = NameSpan { prefix: "", after: None, limit: usize::MAX };
                let has = |entry: &crate::catalog::FunctionEntry| !entry.async_configs.is_empty();
                self.catalog().functions_of(caller.account, all, has)
            }
        };
        let views = entries.iter().flat_map(|entry| {
            entry.async_configs.iter().map(|(qualifier, config)| AsyncConfigView {
                function: Arc::clone(&entry.function.name),
                qualifier: qualifier.clone(),
                config: Arc::clone(config),
            })
        });
        // A character below every name's, so that texts sort as the pairs do.
        Ok(asked.page_of(views, |view| format!("{} {}", view.function, view.qualifier)))
    }

    /// Deletes the configuration of a qualifier.
    pub async fn async_config_delete(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::AsyncConfigDelete, Some(function))?;
        let qualifier = of(qualifier);
        let key = stored::key(caller.account, function, qualifier);
        retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| missing(function, qualifier))?;
            let mut change = Change::new(self.home_of(caller.account, function));
            change.delete(expect_of(&record));
            change.shows(CatalogChange::AsyncConfigGone {
                function: entry.function.id,
                qualifier: qualifier.to_owned(),
            });
            let deed = Deed::on_function(Operation::AsyncConfigDelete, function);
            self.commit(caller, deed.told(format!("qualifier {qualifier}")), change).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(before: Option<&AsyncConfig>, patch: &AsyncConfigPatch) -> Result<AsyncConfig, Refusal> {
        decide_put(before, patch, AccountId::ROOT, Timestamp::from_millis(5))
    }

    #[test]
    fn a_put_creates_with_defaults_and_then_merges() {
        let patch = AsyncConfigPatch { task_mode: Some(true), ..AsyncConfigPatch::default() };
        let first = put(None, &patch).unwrap();
        assert!(first.task_mode);
        assert_eq!((first.retry.retries_max, first.age_max.secs()), (3, 86_400));
        let retries_max = Some(0);
        let second = put(Some(&first), &AsyncConfigPatch { retries_max, ..Default::default() });
        let second = second.unwrap();
        assert!(second.task_mode, "what is not said stays");
        assert_eq!(second.retry.retries_max, 0);
        assert_eq!(second.created_at, first.created_at);
    }

    #[test]
    fn more_retries_need_the_native_door_once() {
        let many = AsyncConfigPatch { retries_max: Some(20), ..AsyncConfigPatch::default() };
        assert!(put(None, &many).is_err());
        let config = put(None, &AsyncConfigPatch { native: true, ..many }).unwrap();
        let other = AsyncConfigPatch { task_mode: Some(true), ..AsyncConfigPatch::default() };
        assert_eq!(put(Some(&config), &other).unwrap().retry.retries_max, 20);
    }

    #[test]
    fn destinations_are_functions_of_the_own_account() {
        let to = |arn: &str| {
            let on_success = Some(arn.to_owned());
            put(None, &AsyncConfigPatch { on_success, ..AsyncConfigPatch::default() })
        };
        let arn = format!("acs:fc:local:{}:functions/g/prod", AccountId::ROOT);
        assert_eq!(to(&arn).unwrap().on_success, arn);
        assert_eq!(to("").unwrap().on_success, "");
        let own = |region: &str| format!("acs:fc:{region}:{}:functions/g", AccountId::ROOT);
        assert_eq!(to("acs:fc:::functions/g").unwrap().on_success, own(""));
        assert_eq!(to("acs:fc:cn-x::functions/g").unwrap().on_success, own("cn-x"));
        for (arn, code) in [
            ("acs:fc:local:1000000000000002:functions/g", Code::AccessDenied),
            ("acs:mns:local:1:/queues/q/messages", Code::NotImplemented),
            ("acs:eventbridge:local:1:eventbus/b", Code::NotImplemented),
            ("acs:mq:local:1:/instances/i/topics/t", Code::NotImplemented),
            ("acs:fc:local:1:layers/l", Code::InvalidArgument),
            ("http://example.com", Code::InvalidArgument),
        ] {
            assert_eq!(to(arn).unwrap_err().code, code, "{arn}");
        }
    }
}
