//! Functions: create, change, read, list, delete, and switch invocations off and on.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::account::SealedSecret;
use stint_model::code::{Code, Refusal};
use stint_model::function::{
    CodePackage, CustomContainer, CustomDns, CustomRuntime, Disabled, Function, FunctionConfig,
    Hook, InjectCredentials, IsolationMode, LATEST, LogConfig, NasConfig, Readiness, Revision,
    check, registry_secret_owner,
};
use stint_model::id::AccountId;
use stint_model::image::ImageSource;
use stint_model::time::Span;
use stint_store::record::function as stored;
use stint_store::{Kind, Page};

use super::code::{CodeInput, CodePlace};
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FunctionEntry, version_number};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::SecretText;
use crate::shard::Input;

pub(crate) use decide::{Made, decide_create, decide_update, what_runs};

/// What is said about a configuration. On create, what is not said has its default; on update it
/// stays. Empty forms clear, as upstream's tools rely on: an empty map or list, a hook without a
/// handler, a `nas` without mounts, an empty `log`, `vpcConfig` with empty ids, and so on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionPatch {
    /// Free text.
    pub description: Option<String>,
    /// Runtime's name.
    pub runtime: Option<String>,
    /// `file.method` and the like.
    pub handler: Option<String>,
    /// Thousandths of a vCPU ([`milli`] of the wire's number).
    pub cpu_milli: Option<u32>,
    /// Megabytes.
    pub memory_mb: Option<u32>,
    /// Megabytes.
    pub disk_mb: Option<u32>,
    /// Per attempt.
    pub timeout: Option<Span>,
    /// Requests one instance serves at once.
    pub instance_concurrency: Option<u32>,
    /// Replaces all variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Replaces all layers.
    pub layers: Option<Vec<String>>,
    /// Replaces the whole; port zero is 9000.
    pub custom_runtime: Option<CustomRuntime>,
    /// Replaces the whole; port zero is 9000.
    pub custom_container: Option<CustomContainer>,
    /// The registry's password; when it is not said, that of the same user stays.
    pub registry_password: Option<SecretText>,
    /// Replaces the whole.
    pub custom_dns: Option<CustomDns>,
    /// Whether instances may reach the internet.
    pub internet_access: Option<bool>,
    /// Whose credentials instances get.
    pub role: Option<String>,
    /// A time-out of zero is 3 s.
    pub initializer: Option<Hook>,
    /// A time-out of zero is 3 s.
    pub pre_stop: Option<Hook>,
    /// Replaces the whole.
    pub nas: Option<NasConfig>,
    /// Replaces the whole.
    pub log: Option<LogConfig>,
    /// Zero is the platform's default.
    pub idle_timeout: Option<Span>,
    /// Only provisioned instances serve.
    pub disable_ondemand: Option<bool>,
    /// Where credentials go.
    pub inject: Option<InjectCredentials>,
    /// Who shares an instance.
    pub isolation: Option<IsolationMode>,
    /// Settings that are only kept: wire name to JSON text. What is not named stays.
    pub kept: BTreeMap<String, String>,
    /// Whether the wider bounds of the native API hold (time-outs over 24 h).
    pub native: bool,
}

/// A new function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionCreate {
    /// Unique in the account.
    pub name: String,
    /// Runtime and handler must be said.
    pub config: FunctionPatch,
    /// Must be said, except for container images.
    pub code: Option<CodeInput>,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Empty for none.
    pub resource_group: String,
}

/// A change of a function's head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionUpdate {
    /// What is said.
    pub config: FunctionPatch,
    /// Other code.
    pub code: Option<CodeInput>,
}

/// A function as it is shown: one of its revisions and what that stands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionView {
    /// The function as a whole.
    pub function: Arc<Function>,
    /// The revision that was asked for.
    pub revision: Arc<Revision>,
    /// How it was asked for; `LATEST` when not said.
    pub qualifier: String,
    /// Its layers with the bytes of their zips.
    pub layers: Vec<(String, u64)>,
}

/// Which functions are listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionQuery {
    /// Name prefix, limit, token.
    pub listing: Listing,
    /// Has all of these labels; an absent value is any.
    pub tags: Vec<(String, Option<String>)>,
    /// This runtime exactly.
    pub runtime: Option<String>,
    /// The name contains this.
    pub name_contains: Option<String>,
    /// The description contains this.
    pub description_contains: Option<String>,
    /// This resource group exactly.
    pub resource_group: Option<String>,
}

impl FunctionQuery {
    fn wants(&self, function: &Function) -> bool {
        let config = &function.head.config;
        let has = |text: &str, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.contains(part.as_str()))
        };
        self.runtime.as_ref().is_none_or(|runtime| *runtime == config.runtime)
            && self.resource_group.as_ref().is_none_or(|group| *group == function.resource_group)
            && has(&function.name, &self.name_contains)
            && has(&config.description, &self.description_contains)
            && self.tags.iter().all(|(key, value)| {
                let mine = function.tags.get(key);
                mine.is_some_and(|mine| value.as_ref().is_none_or(|value| value == mine))
            })
    }
}

/// What decides how code is run.
fn runs_by(config: &FunctionConfig) -> (&str, &str) {
    (&config.runtime, &config.handler)
}

/// A number of the wire in thousandths; `None` when it is no number of thousandths.
pub fn milli(number: f64) -> Option<u32> {
    let text = format!("{number:.6}");
    let (whole, part) = text.split_once('.')?;
    let (thousandths, rest) = part.split_at_checked(3)?;
    if rest.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(thousandths.parse().ok()?)
}

impl Engine {
    /// Creates a function. The code is in the blob store before the record names it.
    pub async fn function_create(
        &self,
        caller: &Caller,
        input: FunctionCreate,
    ) -> Result<FunctionView, EngineError> {
        self.authorize(caller, Operation::FunctionCreate, Some(&input.name))?;
        self.admitting()?;
        self.storage_allows()?;
        check::function_name(&input.name)?;
        let account = caller.account;
        self.functions_quota(account, &input.name)?;
        let shard = self.home_of(account, &input.name);
        let mut made = Made {
            account,
            function: self.mint_function(shard),
            revision: self.mint_revision(shard),
            code: None,
            password: None,
            now: self.clock().now(),
        };
        made.password = self.registry_seal(&input.config, &made);
        // Decided once without the code, so that nothing is stored for what is refused anyway.
        let has_code = input.code.is_some();
        let draft = decide_create(&input, &made, has_code)?;
        self.layers_fit(account, &draft.head.config)?;
        if let Some(code) = &input.code {
            let place = code_place(&draft);
            made.code = Some(self.code_keep(place, code).await?);
        }
        let function = Arc::new(decide_create(&input, &made, has_code)?);
        let mut change = Change::new(shard);
        change.create(stored::key(account, &function.name), stored::encode(&function));
        change.shows(CatalogChange::FunctionSet(Arc::clone(&function)));
        let deed = Deed::on_function(Operation::FunctionCreate, &function.name);
        match self.commit(caller, deed, change).await {
            Ok(()) => {
                self.images_nudge().notify_one();
                self.code_kept(&function);
                Ok(self.view(function))
            }
            Err(error) => {
                self.code_undo(&error, made.code.as_ref()).await;
                Err(if error.code() == Code::ConcurrentUpdateError {
                    function_exists(&input.name)
                } else {
                    error
                })
            }
        }
    }

    fn registry_seal(&self, said: &FunctionPatch, made: &Made) -> Option<SealedSecret> {
        let owner = registry_secret_owner(made.account, made.function);
        said.registry_password.as_ref().map(|secret| self.keyring().seal(secret, &owner))
    }

    fn code_kept(&self, function: &Function) {
        if let Some(code) = &function.head.code {
            self.judge().kept(function.account, &function.head.config, code);
        }
    }

    fn functions_quota(&self, account: AccountId, name: &str) -> Result<(), EngineError> {
        if self.catalog().function(account, name).is_some() {
            return Err(function_exists(name));
        }
        let Some(limits) = self.catalog().account(account).map(|a| a.limits.clone()) else {
            return Ok(());
        };
        let most = usize::try_from(limits.functions_max).unwrap_or(usize::MAX);
        if self.catalog().functions_count(account) >= most {
            let message = format!("the account has its most functions ({most})");
            return Err(EngineError::refused(Code::LimitExceededError, message));
        }
        Ok(())
    }

    /// Changes the head. A new revision is made only when code or what runs changed; else warm
    /// instances stay.
    pub async fn function_update(
        &self,
        caller: &Caller,
        name: &str,
        input: FunctionUpdate,
    ) -> Result<FunctionView, EngineError> {
        self.authorize(caller, Operation::FunctionUpdate, Some(name))?;
        self.admitting()?;
        let account = caller.account;
        let before = self.function_read(account, name).await?.value;
        let mut made = Made {
            account,
            function: before.id,
            revision: self.mint_revision(self.home_of(account, name)),
            code: None,
            password: None,
            now: self.clock().now(),
        };
        made.password = self.registry_seal(&input.config, &made);
        let draft = decide_update(&before, &input.config, &made)?;
        self.layers_fit(account, &draft.wanted().config)?;
        if let Some(code) = &input.code {
            self.storage_allows()?;
            let place = code_place(&draft);
            made.code = Some(self.code_keep(place, code).await?);
        } else if runs_by(&draft.wanted().config) != runs_by(&before.wanted().config) {
            let wanted = draft.wanted();
            self.code_judge_again(&wanted.config, wanted.code.as_ref()).await?;
        }
        let changed = self
            .function_change(
                caller,
                || Deed::on_function(Operation::FunctionUpdate, name),
                name,
                |function| {
                    let next = decide_update(function, &input.config, &made)?;
                    self.layers_fit(account, &next.wanted().config)?;
                    Ok(next)
                },
            )
            .await;
        match changed {
            Ok(function) => {
                self.images_nudge().notify_one();
                self.code_kept(&function);
                Ok(self.view(function))
            }
            Err(error) => {
                self.code_undo(&error, made.code.as_ref()).await;
                Err(error)
            }
        }
    }

    /// A function at a qualifier.
    pub async fn function_get(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<FunctionView, EngineError> {
        self.authorize(caller, Operation::FunctionGet, Some(name))?;
        let entry = self.function_entry(caller, name)?;
        let qualifier = qualifier.unwrap_or("");
        let target = entry.resolve(qualifier, CANARY_NEVER)?;
        let function = Arc::clone(&entry.function);
        let revision = if *target.qualifier == *LATEST {
            Arc::clone(function.wanted())
        } else {
            target.revision
        };
        Ok(self.view_of(function, revision, &target.qualifier))
    }

    /// Functions by name.
    pub async fn function_list(
        &self,
        caller: &Caller,
        query: &FunctionQuery,
    ) -> Result<Page<FunctionView>, EngineError> {
        self.authorize(caller, Operation::FunctionList, None)?;
        let asked = query.listing.checked()?;
        let wants = |entry: &FunctionEntry| query.wants(&entry.function);
        let found = self.catalog().functions_of(caller.account, asked.span(), wants);
        let page = asked.page(found, |entry| entry.function.name.to_string());
        let items = page.items.iter().map(|entry| self.view(Arc::clone(&entry.function))).collect();
        Ok(Page { items, next: page.next })
    }

    /// Deletes a function with its versions, aliases and configurations, in one edit; then its
    /// code. Waiting tasks become invalid.
    pub async fn function_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        self.authorize(caller, Operation::FunctionDelete, Some(name))?;
        let packages = retrying!({ self.function_delete_once(caller, name).await })?;
        self.code_drop(packages.iter()).await;
        Ok(())
    }

    async fn function_delete_once(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<CodePackage>, EngineError> {
        let account = caller.account;
        let read = self.function_read(account, name).await?;
        let mut packages: Vec<_> = packages_of(&read.value).cloned().collect();
        let mut change = Change::new(self.home_of(account, name));
        change.delete(read.expect);
        for kind in [Kind::Version, Kind::Alias, Kind::AsyncConfig, Kind::Scaling] {
            for record in self.records(kind, &format!("{account}/{name}/")).await? {
                if kind == Kind::Version {
                    let version = stint_store::record::version::decode(&record.body)?;
                    packages.extend(version.revision.code.iter().cloned());
                }
                change.delete(expect_of(&record));
            }
        }
        let (id, name) = (read.value.id, Arc::clone(&read.value.name));
        change.shows(CatalogChange::FunctionGone { account, name: Arc::clone(&name), id });
        let deed = Deed::on_function(Operation::FunctionDelete, &name);
        self.commit(caller, deed, change).await?;
        packages.sort_unstable_by(|a, b| a.blob.cmp(&b.blob));
        packages.dedup_by(|a, b| a.blob == b.blob);
        Ok(packages)
    }

    /// Refuses invocations from now on.
    pub async fn invocation_disable(
        &self,
        caller: &Caller,
        name: &str,
        reason: &str,
    ) -> Result<Arc<Function>, EngineError> {
        self.authorize(caller, Operation::InvocationDisable, Some(name))?;
        check::description(reason)?;
        let deed = || Deed::on_function(Operation::InvocationDisable, name).told(reason);
        let at = self.clock().now();
        self.function_change(caller, deed, name, |function| {
            let disabled = Some(Disabled { reason: reason.to_owned(), at });
            Ok(Function { disabled, ..function.clone() })
        })
        .await
    }

    /// Refuses invocations from now on and ends what runs, tasks and sync calls; what waits stays.
    pub async fn invocation_disable_now(
        &self,
        caller: &Caller,
        name: &str,
        reason: &str,
    ) -> Result<Arc<Function>, EngineError> {
        let function = self.invocation_disable(caller, name, reason).await?;
        let Some(disabled) = &function.disabled else { return Ok(function) };
        let (id, refusal) = (function.id, disabled.refusal(name));
        let home = self.home_of(caller.account, name);
        self.ask_shard(home, |reply| Input::EndAll { function: id, refusal, reply }).await?;
        Ok(function)
    }

    /// Accepts invocations again.
    pub async fn invocation_enable(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Arc<Function>, EngineError> {
        self.authorize(caller, Operation::InvocationEnable, Some(name))?;
        let deed = || Deed::on_function(Operation::InvocationEnable, name);
        self.function_change(caller, deed, name, |function| {
            Ok(Function { disabled: None, ..function.clone() })
        })
        .await
    }

    fn view(&self, function: Arc<Function>) -> FunctionView {
        let revision = Arc::clone(function.wanted());
        self.view_of(function, revision, LATEST)
    }

    fn view_of(
        &self,
        function: Arc<Function>,
        revision: Arc<Revision>,
        qualifier: &str,
    ) -> FunctionView {
        let size_of = |arn: &String| {
            let layer = self.layer_by_arn(function.account, arn);
            (arn.clone(), layer.map_or(0, |layer| layer.code.size))
        };
        let layers = revision.config.layers.iter().map(size_of).collect();
        FunctionView { function, revision, qualifier: qualifier.to_owned(), layers }
    }
}

fn code_place(draft: &Function) -> CodePlace<'_> {
    let config = &draft.wanted().config;
    let image = config.custom_container.as_ref().filter(|_| config.is_container());
    match image.map(|container| ImageSource::parse(&container.image)) {
        Some(Ok(ImageSource::Code { .. })) => CodePlace::Image(draft),
        Some(_) | None => CodePlace::Function(draft),
    }
}

/// What a function itself names: the code of its head, and of what may become its head.
pub(crate) fn packages_of(function: &Function) -> impl Iterator<Item = &CodePackage> {
    let update = function.update.as_ref().map(|update| &update.revision);
    std::iter::once(&function.head).chain(update).filter_map(|revision| revision.code.as_ref())
}

/// The refusal for a head that cannot run; nothing when it can.
pub(crate) fn ready(function: &Function) -> Result<(), Refusal> {
    let name = &function.name;
    let message = match &function.readiness {
        Readiness::Active => return Ok(()),
        Readiness::Pending => {
            format!("function '{name}' is Pending: its image is being fetched; try again soon")
        }
        Readiness::Failed(fault) => format!(
            "function '{name}' is Failed ({}): {}; update the function",
            fault.kind.text(),
            fault.reason
        ),
    };
    Err(Refusal::new(Code::FunctionNotReady, message))
}

/// A draw that no canary takes: reading through an alias shows its main version.
pub(crate) const CANARY_NEVER: u32 = 1_000_000;

fn function_exists(name: &str) -> EngineError {
    EngineError::refused(Code::FunctionAlreadyExists, format!("function '{name}' already exists"))
}

/// A version's number as the wire writes it.
pub(crate) fn version_of(text: &str) -> Result<u64, Refusal> {
    version_number(text).filter(|number| *number > 0).ok_or_else(|| {
        Refusal::invalid(format!("versionId '{text}' is invalid: it must be a published version"))
    })
}
