//! Functions: code plus configuration; versions, aliases, layers and what tells Stint how to run
//! and retry them. Validation lives in `function::check`, so that every door passes the same.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::account::SealedSecret;
use crate::code::{Code, Refusal};
use crate::id::{AccountId, FunctionId, RevisionId};
use crate::image::{ImageFault, PinnedImage};
use crate::limit::{Rate, Resources};
use crate::time::{Span, Timestamp};

pub mod check;

/// The qualifier that always names the mutable head.
pub const LATEST: &str = "LATEST";

/// A function: its head, and what is bound to the function as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its own id; a function made again under the same name has another.
    pub id: FunctionId,
    /// Whose it is.
    pub account: AccountId,
    /// Unique in the account.
    pub name: Arc<str>,
    /// The state of `LATEST`.
    pub head: Arc<Revision>,
    /// Whether the head can be invoked. Only images take time for it, or stop being there.
    pub readiness: Readiness,
    /// A change of the head that is not in force.
    pub update: Option<HeadUpdate>,
    /// When the function was created.
    pub created_at: Timestamp,
    /// When the head last changed.
    pub modified_at: Timestamp,
    /// Labels of the function.
    pub tags: BTreeMap<String, String>,
    /// The resource group it was put into; empty for none.
    pub resource_group: String,
    /// Number of the newest published version; zero before the first.
    pub version_newest: u64,
    /// Set while invocations are switched off.
    pub disabled: Option<Disabled>,
    /// The backlog is paused: tasks are accepted and wait.
    pub paused: bool,
    /// Most instances of this function (`reservedConcurrency`); zero lets nothing start.
    pub instances_max: Option<u32>,
    /// Beyond upstream: most tasks and calls at once, starts per second, share among functions.
    pub limits: FunctionLimits,
}

/// Whether a head can be invoked (§1.7).
///
/// ```text
/// code package ───────────────► Active
/// image ──► Pending ──ready───► Active ──the image is gone──► Failed ──update, ready──► Active
///              └──no image────► Failed
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Readiness {
    /// It can.
    #[default]
    Active,
    /// Its image is being fetched for the first time.
    Pending,
    /// Its image cannot be had; an update helps.
    Failed(ImageFault),
}

/// A change of the head whose image is being fetched, or could not be had. Until it is ready, what
/// was there before stays in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadUpdate {
    /// The head to be.
    pub revision: Arc<Revision>,
    /// Why it will not be.
    pub failed: Option<ImageFault>,
}

/// Why and since when a function refuses invocations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disabled {
    /// What the operator said.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

impl Disabled {
    /// What callers of the function are told.
    pub fn refusal(&self, function: &str) -> Refusal {
        let colon = if self.reason.is_empty() { "" } else { ": " };
        let reason = &self.reason;
        let message =
            alloc::format!("invocation of function '{function}' is disabled{colon}{reason}");
        Refusal::new(Code::InvocationDisabled, message)
    }
}

/// Native limits of a function; all optional.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FunctionLimits {
    /// Most attempts and calls running at once.
    pub concurrency_max: Option<u32>,
    /// Starts per second.
    pub rate: Option<Rate>,
    /// Weight in the fair share between the functions of the account; 100 unless said.
    pub weight: Option<u32>,
    /// Most attempts at once for one limit key.
    pub key_concurrency_max: Option<u32>,
    /// Starts per second for one limit key.
    pub key_rate: Option<Rate>,
    /// A JSON Schema that task payloads must match at submit; JSON text.
    pub payload_schema: Option<Arc<str>>,
    /// Whether an attempt may start before its transition is committed.
    pub strict_start: bool,
}

/// One state of code and configuration. Immutable: an update makes another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revision {
    /// Its own id; instances belong to a revision.
    pub id: RevisionId,
    /// What was configured.
    pub config: FunctionConfig,
    /// The code package; `None` for container images.
    pub code: Option<CodePackage>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where the zip of a revision or a layer lies, and what it weighs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodePackage {
    /// The blob's name.
    pub blob: String,
    /// Bytes of the zip.
    pub size: u64,
    /// CRC-64/ECMA-182 (reflected, as upstream's "crc64 ecma") of the zip, a decimal number.
    pub crc64: u64,
    /// SHA-256 of the zip; what nodes cache it by.
    pub sha256: [u8; 32],
}

/// What a user configures; field names follow upstream's §1.7, units are in the names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionConfig {
    /// Free text, up to 256 characters.
    pub description: String,
    /// The runtime's name as upstream spells it (`python3.10`, `nodejs20`, `custom`, …).
    pub runtime: String,
    /// `file.method` and the like; ignored by custom runtimes.
    pub handler: String,
    /// vCPU and memory.
    pub size: Resources,
    /// Writable disk of an instance in MB: 512 or 10240.
    pub disk_mb: u32,
    /// Per attempt, 1 s to 24 h; longer only through the native API.
    pub timeout: Span,
    /// Requests one instance serves at once.
    pub instance_concurrency: u32,
    /// Up to 4 KB together.
    pub environment: BTreeMap<String, String>,
    /// Layer version ARNs, first wins on conflicts.
    pub layers: Vec<String>,
    /// Start command and port of `custom*` runtimes.
    pub custom_runtime: Option<CustomRuntime>,
    /// Image and start command of `custom-container`.
    pub custom_container: Option<CustomContainer>,
    /// Name servers of the instance.
    pub custom_dns: Option<CustomDns>,
    /// Whether instances may reach the internet.
    pub internet_access: bool,
    /// A role whose credentials the instance gets; its text is kept as given.
    pub role: String,
    /// Initializer hook.
    pub initializer: Option<Hook>,
    /// PreStop hook.
    pub pre_stop: Option<Hook>,
    /// Shared volumes.
    pub nas: Option<NasConfig>,
    /// Log settings, kept as given; Stint always keeps logs.
    pub log: Option<LogConfig>,
    /// Idle instances of this function are kept this long; zero: the platform's default.
    pub idle_timeout: Span,
    /// Only provisioned instances serve.
    pub disable_ondemand: bool,
    /// Where credentials are not injected.
    pub inject: InjectCredentials,
    /// `SHARE`, `SESSION_EXCLUSIVE` or `REQUEST_EXCLUSIVE`.
    pub isolation: IsolationMode,
    /// Settings that are accepted, kept and given back, and have no effect on this platform yet:
    /// wire name to JSON text (vpcConfig, tracingConfig, ossMountConfig, gpuConfig, …).
    pub kept: BTreeMap<String, String>,
}

/// Start command and port of a custom runtime.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomRuntime {
    /// Program and its first arguments; empty: `/code/bootstrap`.
    pub command: Vec<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Where the server listens; 9000 unless said.
    pub port: u16,
    /// Health check.
    pub health_check: Option<HealthCheck>,
}

/// Image and start command of a container function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomContainer {
    /// The image reference.
    pub image: String,
    /// Replaces the image's entry point.
    pub entrypoint: Vec<String>,
    /// Replaces the image's command.
    pub command: Vec<String>,
    /// Where the server listens.
    pub port: u16,
    /// Health check.
    pub health_check: Option<HealthCheck>,
    /// All of it as given but for the password, JSON text.
    pub raw: String,
    /// How the registry is reached.
    pub registry: RegistryConfig,
    /// What the reference meant when it was created or updated; `None` until a node has the image.
    pub pinned: Option<PinnedImage>,
}

/// `registryConfig`: how a registry is reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistryConfig {
    /// Empty: anonymous.
    pub user: String,
    /// Sealed for [`registry_secret_owner`].
    pub password: Option<SealedSecret>,
    /// Any certificate will do.
    pub insecure: bool,
    /// A further authority, PEM in base64.
    pub root_ca_base64: String,
}

/// Whose a sealed registry password is: it opens for this function only.
pub fn registry_secret_owner(account: AccountId, function: FunctionId) -> String {
    alloc::format!("registry/{account}/{function}")
}

/// How a custom server is asked whether it is well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// Path, starts with `/`.
    pub path: String,
    /// Before the first check.
    pub initial_delay: Span,
    /// Between checks.
    pub period: Span,
    /// For one check.
    pub timeout: Span,
    /// This many failures in a row make it unhealthy.
    pub failure_threshold: u32,
    /// This many successes in a row make it healthy.
    pub success_threshold: u32,
}

/// Name resolution inside an instance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomDns {
    /// Addresses of name servers.
    pub name_servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// `name:value` options.
    pub options: Vec<(String, String)>,
}

/// A lifecycle hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// `file.method`, or any non-empty text for custom runtimes.
    pub handler: String,
    /// Its bound.
    pub timeout: Span,
}

/// Shared volumes and who owns what is written to them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NasConfig {
    /// User inside, 0 to 65534.
    pub user_id: u32,
    /// Group inside, 0 to 65534.
    pub group_id: u32,
    /// At most five.
    pub mounts: Vec<NasMount>,
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NasMount {
    /// `volume:NAME[/sub]` for a named volume, or `host:/directory` for a directory the operator
    /// allows.
    pub server_addr: String,
    /// Where it appears inside.
    pub mount_dir: String,
    /// Kept as given.
    pub enable_tls: bool,
}

/// Kept as given; see `FunctionConfig::log`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogConfig {
    /// Log project.
    pub project: String,
    /// Log store.
    pub logstore: String,
    /// Per-request metrics.
    pub request_metrics: bool,
    /// Per-instance metrics.
    pub instance_metrics: bool,
    /// `None` or `DefaultRegex`.
    pub begin_rule: String,
}

/// `disableInjectCredentials`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InjectCredentials {
    /// Injected everywhere (upstream's `None`).
    #[default]
    Everywhere,
    /// Not into the environment.
    NotEnv,
    /// Not into requests.
    NotRequest,
    /// Nowhere.
    Nowhere,
}

/// `instanceIsolationMode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IsolationMode {
    /// Instances are reused.
    #[default]
    Share,
    /// One session per instance.
    Session,
    /// A fresh instance per request.
    Request,
}

/// A published version: a name for one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// 1, 2, …; never reused.
    pub number: u64,
    /// What the user said about it.
    pub description: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// What it names.
    pub revision: Arc<Revision>,
}

/// A named pointer to a version, perhaps with a canary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alias {
    /// Unique in the function.
    pub name: String,
    /// Where most calls go.
    pub version: u64,
    /// Another version and its share in millionths (0 < share ≤ 1,000,000).
    pub canary: Option<(u64, u32)>,
    /// What the user said about it.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
}

impl Alias {
    /// The version a draw of `0..1_000_000` picks.
    pub fn pick(&self, draw_millionths: u32) -> u64 {
        match self.canary {
            Some((version, share)) if draw_millionths < share => version,
            Some(_) | None => self.version,
        }
    }
}

/// How async invocations through one qualifier are kept, retried and reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsyncConfig {
    /// Task mode: ids, states, stop, for every async invocation through the qualifier.
    pub task_mode: bool,
    /// Beyond the defaults of §3.3.
    pub retry: RetryPolicy,
    /// Messages older than this are dropped before they start.
    pub age_max: Span,
    /// Where the result goes when it is good; empty for nowhere.
    pub on_success: String,
    /// Where it goes when it is not.
    pub on_failure: String,
    /// When it was first put.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
}

/// How a failing task is tried again. User errors only: throttling and system errors back off by
/// themselves and are not charged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Tries after the first: 0 to 8 through the FC API, more through the native one.
    pub retries_max: u32,
    /// Before the first retry; doubles from there.
    pub backoff_base: Span,
    /// The longest wait.
    pub backoff_cap: Span,
    /// Error types that are final at once (matched against `errorType`).
    pub final_errors: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries_max: 3,
            backoff_base: Span::from_secs(1),
            backoff_cap: Span::from_secs(60),
            final_errors: Vec::new(),
        }
    }
}

impl Default for AsyncConfig {
    fn default() -> Self {
        Self {
            task_mode: false,
            retry: RetryPolicy::default(),
            age_max: Span::from_secs(86_400),
            on_success: String::new(),
            on_failure: String::new(),
            created_at: Timestamp::ZERO,
            modified_at: Timestamp::ZERO,
        }
    }
}

/// A layer version: files that appear under `/opt`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerVersion {
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub layer: String,
    /// 1, 2, …
    pub version: u64,
    /// The zip.
    pub code: CodePackage,
    /// Runtimes it says it fits; empty for any.
    pub compatible_runtimes: Vec<String>,
    /// What the user said about it.
    pub description: String,
    /// Licence text.
    pub license: String,
    /// Whether other accounts may use it.
    pub public: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Function {
    /// What its owner configured last: the update under way, or else the head.
    pub fn wanted(&self) -> &Arc<Revision> {
        match &self.update {
            Some(HeadUpdate { revision, failed: None }) => revision,
            Some(HeadUpdate { failed: Some(_), .. }) | None => &self.head,
        }
    }

    /// The revision whose image a node must still fetch.
    pub fn fetching(&self) -> Option<&Arc<Revision>> {
        match (&self.update, &self.readiness) {
            (Some(HeadUpdate { revision, failed: None }), _) => Some(revision),
            (_, Readiness::Pending) => Some(&self.head),
            (_, Readiness::Active | Readiness::Failed(_)) => None,
        }
    }
}

impl FunctionConfig {
    /// Whether an image runs, not a code package.
    pub fn is_container(&self) -> bool {
        self.runtime == "custom-container"
    }

    /// Where the user's server listens.
    pub fn server_port(&self) -> u16 {
        const DEFAULT: u16 = 9000;
        let configured = if self.is_container() {
            self.custom_container.as_ref().map(|container| container.port)
        } else {
            self.custom_runtime.as_ref().map(|custom| custom.port)
        };
        configured.filter(|port| *port != 0).unwrap_or(DEFAULT)
    }

    /// How the user's server is asked whether it is well.
    pub fn server_health(&self) -> Option<&HealthCheck> {
        if self.is_container() {
            return self.custom_container.as_ref()?.health_check.as_ref();
        }
        self.custom_runtime.as_ref()?.health_check.as_ref()
    }

    /// Whether a process of ours runs the code (as opposed to a server the user brings).
    pub fn is_custom(&self) -> bool {
        self.runtime.starts_with("custom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_takes_its_share() {
        let alias = Alias {
            name: "prod".into(),
            version: 1,
            canary: Some((2, 250_000)),
            description: String::new(),
            created_at: Timestamp::ZERO,
            modified_at: Timestamp::ZERO,
        };
        assert_eq!(alias.pick(0), 2);
        assert_eq!(alias.pick(249_999), 2);
        assert_eq!(alias.pick(250_000), 1);
    }
}
