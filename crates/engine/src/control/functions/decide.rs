//! What a function becomes. Pure: ids, time and stored code come in as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use stint_model::account::SealedSecret;
use stint_model::code::{Code, Refusal};
use stint_model::function::{
    CodePackage, CustomRuntime, Function, FunctionConfig, FunctionLimits, HeadUpdate, Hook,
    InjectCredentials, IsolationMode, LogConfig, Readiness, Revision, check,
};
use stint_model::id::{AccountId, FunctionId, RevisionId};
use stint_model::image::ImageSource;
use stint_model::limit::Resources;
use stint_model::time::{Span, Timestamp};

use super::{FunctionCreate, FunctionPatch};

/// What was minted, read and stored for a decision.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) account: AccountId,
    pub(crate) function: FunctionId,
    pub(crate) revision: RevisionId,
    pub(crate) code: Option<CodePackage>,
    /// The registry's password, when one was said.
    pub(crate) password: Option<SealedSecret>,
    pub(crate) now: Timestamp,
}

/// Where custom servers listen unless said otherwise.
const PORT: u16 = 9000;
/// A hook's bound unless said otherwise.
const HOOK_TIMEOUT: Span = Span::from_secs(3);

/// A new function. `has_code` says that code was given, stored or not yet.
pub(crate) fn decide_create(
    input: &FunctionCreate,
    made: &Made,
    has_code: bool,
) -> Result<Function, Refusal> {
    check::function_name(&input.name)?;
    check::tags(&input.tags)?;
    let said = &input.config;
    required("runtime", said.runtime.as_deref())?;
    required("handler", said.handler.as_deref())?;
    let config = patched(defaults(said), said, made)?;
    supported(&config.runtime)?;
    code_given(&config, has_code)?;
    let readiness = if config.is_container() { Readiness::Pending } else { Readiness::Active };
    let head =
        Revision { id: made.revision, config, code: made.code.clone(), created_at: made.now };
    Ok(Function {
        id: made.function,
        account: made.account,
        name: input.name.as_str().into(),
        head: Arc::new(head),
        readiness,
        update: None,
        created_at: made.now,
        modified_at: made.now,
        tags: input.tags.clone(),
        resource_group: input.resource_group.clone(),
        version_newest: 0,
        disabled: None,
        paused: false,
        instances_max: None,
        limits: FunctionLimits::default(),
    })
}

/// A function with another head. The revision keeps its id when nothing that runs changed, so that
/// warm instances stay.
pub(crate) fn decide_update(
    function: &Function,
    said: &FunctionPatch,
    made: &Made,
) -> Result<Function, Refusal> {
    let head = function.wanted();
    let mut config = patched(head.config.clone(), said, made)?;
    if config.runtime != head.config.runtime {
        supported(&config.runtime)?;
        let container = |runtime: &str| runtime == "custom-container";
        if container(&config.runtime) != container(&head.config.runtime) {
            return Err(Refusal::invalid(
                "the runtime cannot change between custom-container and code packages; create \
                 another function",
            ));
        }
    }
    let code = made.code.clone().or_else(|| head.code.clone());
    let same_code = code.as_ref().map(|c| c.sha256) == head.code.as_ref().map(|c| c.sha256);
    if config.is_container() {
        code_given(&config, code.is_some())?;
    }
    let failed = matches!(function.readiness, Readiness::Failed(_));
    let same_run = what_runs(&config) == what_runs(&head.config)
        && !(config.is_container() && (said.custom_container.is_some() || failed));
    let same = same_code && same_run;
    let (id, created_at) =
        if same { (head.id, head.created_at) } else { (made.revision, made.now) };
    if let Some(container) = config.custom_container.as_mut().filter(|_| !same) {
        // What the reference means is asked anew with every change of what runs.
        container.pinned = None;
    }
    let fetches = config.is_container() && !same;
    let next = Arc::new(Revision { id, config, code, created_at });
    Ok(placed(Function { modified_at: made.now, ..function.clone() }, next, fetches))
}

/// Where a next revision goes: into force at once, or, when its image must be fetched while another
/// revision serves, beside it.
fn placed(function: Function, next: Arc<Revision>, fetches: bool) -> Function {
    let beside = Some(HeadUpdate { revision: Arc::clone(&next), failed: None });
    let under_way = matches!(&function.update, Some(HeadUpdate { failed: None, .. }));
    match (&function.readiness, fetches) {
        (Readiness::Active, true) => Function { update: beside, ..function },
        (Readiness::Active, false) if under_way => Function { update: beside, ..function },
        (Readiness::Pending | Readiness::Failed(_), true) => {
            Function { head: next, readiness: Readiness::Pending, update: None, ..function }
        }
        (_, false) => Function { head: next, update: None, ..function },
    }
}

/// Code packages need code; images do, when the code is the image.
fn code_given(config: &FunctionConfig, has_code: bool) -> Result<(), Refusal> {
    let image = config.custom_container.as_ref().filter(|_| config.is_container());
    let image = image.map(|container| ImageSource::parse(&container.image));
    let needs_code = matches!(image, None | Some(Ok(ImageSource::Code { .. })));
    if has_code || !needs_code {
        return Ok(());
    }
    Err(Refusal::invalid(
        "code is required: Either ossBucketName/ossObjectName or zipFile must be set",
    ))
}

/// The part of a configuration that instances see.
pub(crate) fn what_runs(config: &FunctionConfig) -> FunctionConfig {
    let (description, log, kept) = (String::new(), None, BTreeMap::new());
    FunctionConfig { description, log, kept, ..config.clone() }
}

fn required(field: &str, said: Option<&str>) -> Result<(), Refusal> {
    match said {
        Some(text) if !text.is_empty() => Ok(()),
        Some(_) | None => Err(Refusal::invalid(format!("{field} is required"))),
    }
}

fn supported(runtime: &str) -> Result<(), Refusal> {
    match runtime {
        "micro-sandbox" => Err(Refusal::new(
            Code::NotImplemented,
            format!("runtime '{runtime}' is not available on this server yet"),
        )),
        _ => Ok(()),
    }
}

fn defaults(said: &FunctionPatch) -> FunctionConfig {
    FunctionConfig {
        description: String::new(),
        runtime: String::new(),
        handler: String::new(),
        size: check::size_of(said.cpu_milli, said.memory_mb),
        disk_mb: 512,
        timeout: Span::from_secs(3),
        instance_concurrency: 1,
        environment: BTreeMap::new(),
        layers: Vec::new(),
        custom_runtime: None,
        custom_container: None,
        custom_dns: None,
        internet_access: true,
        role: String::new(),
        initializer: None,
        pre_stop: None,
        nas: None,
        log: None,
        idle_timeout: Span::ZERO,
        disable_ondemand: false,
        inject: InjectCredentials::Everywhere,
        isolation: IsolationMode::Share,
        kept: BTreeMap::new(),
    }
}

fn set<T: Clone>(slot: &mut T, said: Option<&T>) {
    if let Some(said) = said {
        slot.clone_from(said);
    }
}

/// A configuration with what was said, checked as a whole.
fn patched(
    mut config: FunctionConfig,
    said: &FunctionPatch,
    made: &Made,
) -> Result<FunctionConfig, Refusal> {
    set(&mut config.description, said.description.as_ref());
    set(&mut config.runtime, said.runtime.as_ref());
    set(&mut config.handler, said.handler.as_ref());
    config.size = Resources {
        cpu_milli: said.cpu_milli.unwrap_or(config.size.cpu_milli),
        memory_mb: said.memory_mb.unwrap_or(config.size.memory_mb),
    };
    set(&mut config.disk_mb, said.disk_mb.as_ref());
    set(&mut config.timeout, said.timeout.as_ref());
    set(&mut config.instance_concurrency, said.instance_concurrency.as_ref());
    set(&mut config.environment, said.environment.as_ref());
    set(&mut config.layers, said.layers.as_ref());
    set(&mut config.internet_access, said.internet_access.as_ref());
    set(&mut config.role, said.role.as_ref());
    set(&mut config.idle_timeout, said.idle_timeout.as_ref());
    set(&mut config.disable_ondemand, said.disable_ondemand.as_ref());
    set(&mut config.inject, said.inject.as_ref());
    set(&mut config.isolation, said.isolation.as_ref());
    patch_container(&mut config, said, made);
    patch_parts(&mut config, said);
    keep(&mut config.kept, &said.kept)?;
    if !said.native && said.timeout.is_some_and(is_not_upstreams) {
        let (most, got) = (check::TIMEOUT_MAX.secs(), config.timeout.secs());
        let message = format!("timeout must be between 1 and {most}, got {got}");
        return Err(Refusal::invalid(message));
    }
    if said.instance_concurrency.is_none() {
        concurrency_of_sessions(&mut config);
    }
    check::config(&config)?;
    crate::sessions::check_rules(&config)?;
    Ok(config)
}

/// Beyond what Function Compute lets one say; native configurations go further.
fn is_not_upstreams(timeout: Span) -> bool {
    timeout < Span::from_secs(1) || timeout > check::TIMEOUT_MAX
}

/// The most requests one instance serves at once.
const CONCURRENCY_MAX: u32 = 200;

/// Sessions of a custom server share its instances, and so do their calls (§1.18).
fn concurrency_of_sessions(config: &mut FunctionConfig) {
    let shares = crate::sessions::rules_of(config).is_some();
    if shares && config.runtime.starts_with("custom") && config.instance_concurrency == 1 {
        config.instance_concurrency = CONCURRENCY_MAX;
    }
}

/// The parts that are replaced whole, and cleared by their empty form.
fn patch_parts(config: &mut FunctionConfig, said: &FunctionPatch) {
    if let Some(custom) = &said.custom_runtime {
        let mut custom = custom.clone();
        let empty = custom == CustomRuntime::default();
        custom.port = if custom.port == 0 { PORT } else { custom.port };
        config.custom_runtime = (!empty).then_some(custom);
    }
    if let Some(dns) = &said.custom_dns {
        let count = dns.name_servers.len() + dns.searches.len() + dns.options.len();
        config.custom_dns = (count > 0).then(|| dns.clone());
    }
    patch_hook(&mut config.initializer, said.initializer.as_ref());
    patch_hook(&mut config.pre_stop, said.pre_stop.as_ref());
    if let Some(nas) = &said.nas {
        config.nas = (!nas.mounts.is_empty()).then(|| nas.clone());
    }
    if let Some(log) = &said.log {
        let rule = if log.begin_rule == "None" { "" } else { log.begin_rule.as_str() };
        let plain = LogConfig { begin_rule: rule.to_owned(), ..log.clone() };
        config.log = (plain != LogConfig::default()).then(|| log.clone());
    }
}

/// The container's part; a password that is not said again is the one of the same user.
fn patch_container(config: &mut FunctionConfig, said: &FunctionPatch, made: &Made) {
    let Some(container) = &said.custom_container else { return };
    let mut container = container.clone();
    let before = config.custom_container.as_ref().map(|container| &container.registry);
    let kept = before.filter(|before| before.user == container.registry.user);
    container.registry.password =
        made.password.clone().or_else(|| kept.and_then(|before| before.password.clone()));
    container.port = if container.port == 0 { PORT } else { container.port };
    config.custom_container = (!container.image.is_empty()).then_some(container);
}

fn patch_hook(slot: &mut Option<Hook>, said: Option<&Hook>) {
    let Some(said) = said else { return };
    let timeout = if said.timeout == Span::ZERO { HOOK_TIMEOUT } else { said.timeout };
    let hook = Hook { handler: said.handler.clone(), timeout };
    *slot = (!hook.handler.is_empty()).then_some(hook);
}

/// Settings that are only kept. Each must be JSON; an empty form takes it away.
fn keep(
    kept: &mut BTreeMap<String, String>,
    said: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    for (name, text) in said {
        let value: Value = serde_json::from_str(text)
            .map_err(|_| Refusal::invalid(format!("{name} is not valid JSON")))?;
        if name == "sessionAffinity" {
            session_affinity(&value)?;
        }
        if is_empty(&value) || (name == "sessionAffinity" && value == "NONE") {
            kept.remove(name);
        } else {
            kept.insert(name.clone(), text.clone());
        }
    }
    Ok(())
}

fn session_affinity(value: &Value) -> Result<(), Refusal> {
    const KINDS: [&str; 6] =
        ["", "NONE", "MCP_SSE", "MCP_STREAMABLE", "GENERATED_COOKIE", "HEADER_FIELD"];
    if value.is_null() || value.as_str().is_some_and(|kind| KINDS.contains(&kind)) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("sessionAffinity must be one of {}", KINDS[1..].join(", "))))
}

/// Whether a setting says nothing: `""`, `0`, `false`, `[]`, `{}`, or an object of such.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}
