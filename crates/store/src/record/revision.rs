//! The stored form of a revision (code and configuration), inside functions and versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stint_model::function::{
    CodePackage, CustomContainer, CustomDns, CustomRuntime, FunctionConfig, HealthCheck, Hook,
    InjectCredentials, IsolationMode, LogConfig, NasConfig, NasMount, RegistryConfig, Revision,
};
use stint_model::id::RevisionId;
use stint_model::image::PinnedImage;
use stint_model::limit::Resources;

use super::access_key::SealedForm;
use super::json::{at, bytes, corrupt, span};
use crate::store::StoreError;

#[derive(Serialize, Deserialize)]
pub(crate) struct RevisionForm {
    id: u64,
    created_us: i64,
    config: ConfigForm,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    code: Option<CodeForm>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CodeForm {
    blob: String,
    size: u64,
    crc64: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct ConfigForm {
    description: String,
    runtime: String,
    handler: String,
    cpu_milli: u32,
    memory_mb: u32,
    disk_mb: u32,
    timeout_us: u64,
    instance_concurrency: u32,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    layers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    custom_runtime: Option<CustomRuntimeForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    custom_container: Option<CustomContainerForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    custom_dns: Option<DnsForm>,
    internet_access: bool,
    #[serde(default)]
    role: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    initializer: Option<HookForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pre_stop: Option<HookForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    nas: Option<NasForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    log: Option<LogForm>,
    idle_timeout_us: u64,
    disable_ondemand: bool,
    inject: String,
    isolation: String,
    #[serde(default)]
    kept: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct CustomRuntimeForm {
    command: Vec<String>,
    args: Vec<String>,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    health_check: Option<HealthForm>,
}

#[derive(Serialize, Deserialize)]
struct CustomContainerForm {
    image: String,
    entrypoint: Vec<String>,
    command: Vec<String>,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    health_check: Option<HealthForm>,
    raw: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    registry: Option<RegistryForm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pinned: Option<PinnedForm>,
}

#[derive(Serialize, Deserialize)]
struct RegistryForm {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    password: Option<SealedForm>,
    insecure: bool,
    root_ca_base64: String,
}

#[derive(Serialize, Deserialize)]
struct PinnedForm {
    digest: String,
    uri: String,
}

#[derive(Serialize, Deserialize)]
struct HealthForm {
    path: String,
    initial_delay_us: u64,
    period_us: u64,
    timeout_us: u64,
    failure_threshold: u32,
    success_threshold: u32,
}

#[derive(Serialize, Deserialize)]
struct DnsForm {
    name_servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct HookForm {
    handler: String,
    timeout_us: u64,
}

#[derive(Serialize, Deserialize)]
struct NasForm {
    user_id: u32,
    group_id: u32,
    mounts: Vec<MountForm>,
}

#[derive(Serialize, Deserialize)]
struct MountForm {
    server_addr: String,
    mount_dir: String,
    enable_tls: bool,
}

#[derive(Serialize, Deserialize)]
struct LogForm {
    project: String,
    logstore: String,
    request_metrics: bool,
    instance_metrics: bool,
    begin_rule: String,
}

impl From<&Revision> for RevisionForm {
    fn from(revision: &Revision) -> Self {
        Self {
            id: revision.id.number(),
            created_us: revision.created_at.micros(),
            config: (&revision.config).into(),
            code: revision.code.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<RevisionForm> for Arc<Revision> {
    type Error = StoreError;
    fn try_from(form: RevisionForm) -> Result<Self, StoreError> {
        Ok(Self::new(Revision {
            id: RevisionId::from_number(form.id),
            config: form.config.try_into()?,
            code: form.code.map(TryInto::try_into).transpose()?,
            created_at: at(form.created_us),
        }))
    }
}

impl From<&CodePackage> for CodeForm {
    fn from(code: &CodePackage) -> Self {
        Self {
            blob: code.blob.clone(),
            size: code.size,
            crc64: code.crc64,
            sha256: hex::encode(code.sha256),
        }
    }
}

impl TryFrom<CodeForm> for CodePackage {
    type Error = StoreError;
    fn try_from(form: CodeForm) -> Result<Self, StoreError> {
        Ok(Self {
            sha256: bytes("code", &form.sha256)?,
            blob: form.blob,
            size: form.size,
            crc64: form.crc64,
        })
    }
}

const INJECT: [(InjectCredentials, &str); 4] = [
    (InjectCredentials::Everywhere, "everywhere"),
    (InjectCredentials::NotEnv, "not-env"),
    (InjectCredentials::NotRequest, "not-request"),
    (InjectCredentials::Nowhere, "nowhere"),
];

const ISOLATION: [(IsolationMode, &str); 3] = [
    (IsolationMode::Share, "share"),
    (IsolationMode::Session, "session"),
    (IsolationMode::Request, "request"),
];

fn word<T: PartialEq>(table: &[(T, &str)], value: &T) -> String {
    let found = table.iter().find(|(one, _)| one == value);
    found.map(|(_, word)| (*word).to_owned()).expect("the table lists every value")
}

fn unword<T: Copy>(table: &[(T, &str)], word: &str) -> Result<T, StoreError> {
    let found = table.iter().find(|(_, one)| *one == word);
    found.map(|(value, _)| *value).ok_or_else(|| corrupt("function", &format!("word {word:?}")))
}

impl From<&FunctionConfig> for ConfigForm {
    fn from(config: &FunctionConfig) -> Self {
        Self {
            description: config.description.clone(),
            runtime: config.runtime.clone(),
            handler: config.handler.clone(),
            cpu_milli: config.size.cpu_milli,
            memory_mb: config.size.memory_mb,
            disk_mb: config.disk_mb,
            timeout_us: config.timeout.micros(),
            instance_concurrency: config.instance_concurrency,
            environment: config.environment.clone(),
            layers: config.layers.clone(),
            custom_runtime: config.custom_runtime.as_ref().map(Into::into),
            custom_container: config.custom_container.as_ref().map(Into::into),
            custom_dns: config.custom_dns.as_ref().map(Into::into),
            internet_access: config.internet_access,
            role: config.role.clone(),
            initializer: config.initializer.as_ref().map(Into::into),
            pre_stop: config.pre_stop.as_ref().map(Into::into),
            nas: config.nas.as_ref().map(Into::into),
            log: config.log.as_ref().map(Into::into),
            idle_timeout_us: config.idle_timeout.micros(),
            disable_ondemand: config.disable_ondemand,
            inject: word(&INJECT, &config.inject),
            isolation: word(&ISOLATION, &config.isolation),
            kept: config.kept.clone(),
        }
    }
}

impl TryFrom<ConfigForm> for FunctionConfig {
    type Error = StoreError;
    fn try_from(form: ConfigForm) -> Result<Self, StoreError> {
        Ok(Self {
            description: form.description,
            runtime: form.runtime,
            handler: form.handler,
            size: Resources { cpu_milli: form.cpu_milli, memory_mb: form.memory_mb },
            disk_mb: form.disk_mb,
            timeout: span(form.timeout_us),
            instance_concurrency: form.instance_concurrency,
            environment: form.environment,
            layers: form.layers,
            custom_runtime: form.custom_runtime.map(Into::into),
            custom_container: form.custom_container.map(TryInto::try_into).transpose()?,
            custom_dns: form.custom_dns.map(Into::into),
            internet_access: form.internet_access,
            role: form.role,
            initializer: form.initializer.map(Into::into),
            pre_stop: form.pre_stop.map(Into::into),
            nas: form.nas.map(Into::into),
            log: form.log.map(Into::into),
            idle_timeout: span(form.idle_timeout_us),
            disable_ondemand: form.disable_ondemand,
            inject: unword(&INJECT, &form.inject)?,
            isolation: unword(&ISOLATION, &form.isolation)?,
            kept: form.kept,
        })
    }
}

/// The same fields on both sides: one line per part instead of two blocks.
macro_rules! mirror {
    ($noun:ident, $form:ident { $($field:ident),* } $(spans { $($span:ident as $stored:ident),* })? $(into { $($part:ident),* })?) => {
        impl From<&$noun> for $form {
            fn from(noun: &$noun) -> Self {
                Self {
                    $($field: noun.$field.clone(),)*
                    $($($stored: noun.$span.micros(),)*)?
                    $($($part: noun.$part.as_ref().map(Into::into),)*)?
                }
            }
        }

        impl From<$form> for $noun {
            fn from(form: $form) -> Self {
                Self {
                    $($field: form.$field,)*
                    $($($span: span(form.$stored),)*)?
                    $($($part: form.$part.map(Into::into),)*)?
                }
            }
        }
    };
}

mirror!(CustomRuntime, CustomRuntimeForm { command, args, port } into { health_check });
mirror!(PinnedImage, PinnedForm { digest, uri });
mirror!(HealthCheck, HealthForm { path, failure_threshold, success_threshold }
    spans { initial_delay as initial_delay_us, period as period_us, timeout as timeout_us });
mirror!(CustomDns, DnsForm { name_servers, searches, options });
mirror!(Hook, HookForm { handler } spans { timeout as timeout_us });
mirror!(NasMount, MountForm { server_addr, mount_dir, enable_tls });
mirror!(LogConfig, LogForm { project, logstore, request_metrics, instance_metrics, begin_rule });

impl From<&CustomContainer> for CustomContainerForm {
    fn from(container: &CustomContainer) -> Self {
        let registry = &container.registry;
        let is_plain = *registry == RegistryConfig::default();
        Self {
            image: container.image.clone(),
            entrypoint: container.entrypoint.clone(),
            command: container.command.clone(),
            port: container.port,
            health_check: container.health_check.as_ref().map(Into::into),
            raw: container.raw.clone(),
            registry: (!is_plain).then(|| registry.into()),
            pinned: container.pinned.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<CustomContainerForm> for CustomContainer {
    type Error = StoreError;
    fn try_from(form: CustomContainerForm) -> Result<Self, StoreError> {
        Ok(Self {
            image: form.image,
            entrypoint: form.entrypoint,
            command: form.command,
            port: form.port,
            health_check: form.health_check.map(Into::into),
            raw: form.raw,
            registry: form.registry.map(TryInto::try_into).transpose()?.unwrap_or_default(),
            pinned: form.pinned.map(Into::into),
        })
    }
}

impl From<&RegistryConfig> for RegistryForm {
    fn from(registry: &RegistryConfig) -> Self {
        Self {
            user: registry.user.clone(),
            password: registry.password.as_ref().map(Into::into),
            insecure: registry.insecure,
            root_ca_base64: registry.root_ca_base64.clone(),
        }
    }
}

impl TryFrom<RegistryForm> for RegistryConfig {
    type Error = StoreError;
    fn try_from(form: RegistryForm) -> Result<Self, StoreError> {
        Ok(Self {
            user: form.user,
            password: form.password.map(TryInto::try_into).transpose()?,
            insecure: form.insecure,
            root_ca_base64: form.root_ca_base64,
        })
    }
}

impl From<&NasConfig> for NasForm {
    fn from(nas: &NasConfig) -> Self {
        Self {
            user_id: nas.user_id,
            group_id: nas.group_id,
            mounts: nas.mounts.iter().map(Into::into).collect(),
        }
    }
}

impl From<NasForm> for NasConfig {
    fn from(form: NasForm) -> Self {
        Self {
            user_id: form.user_id,
            group_id: form.group_id,
            mounts: form.mounts.into_iter().map(Into::into).collect(),
        }
    }
}
