//! What an input says, in the engine's terms. Ranges are checked there.

use std::collections::BTreeMap;

use stint_engine::control::functions::{FunctionPatch, milli};
use stint_engine::secret::SecretText;
use stint_model::function::{
    CustomContainer, CustomDns, CustomRuntime, HealthCheck, Hook, InjectCredentials, IsolationMode,
    LogConfig, NasConfig, NasMount, RegistryConfig,
};
use stint_model::time::Span;
use stint_wire::fc::{
    CustomRuntimeConfig, FunctionInput, HealthCheckConfig, KEPT, LifecycleHook,
    LogConfig as WireLog, NasConfig as WireNas,
};

use crate::error::Problem;

pub(super) fn patch(input: FunctionInput) -> Result<FunctionPatch, Problem> {
    let cpu_milli = match input.cpu {
        None => None,
        Some(cpu) => Some(milli(cpu).ok_or_else(|| {
            Problem::invalid(format!("cpu must be a number of vCPU in steps of 0.05, got {cpu}"))
        })?),
    };
    let (initializer, pre_stop) = match input.instance_lifecycle_config {
        None => (None, None),
        Some(hooks) => (
            hooks.initializer.map(|said| hook("initializer", said)).transpose()?,
            hooks.pre_stop.map(|said| hook("preStop", said)).transpose()?,
        ),
    };
    let (custom_container, registry_password) = match input.custom_container_config {
        None => (None, None),
        Some(said) => {
            let (container, password) = custom_container(said)?;
            (Some(container), password)
        }
    };
    Ok(FunctionPatch {
        description: input.description,
        runtime: input.runtime,
        handler: input.handler,
        cpu_milli,
        memory_mb: input.memory_size,
        disk_mb: input.disk_size,
        timeout: input.timeout.map(seconds),
        instance_concurrency: input.instance_concurrency,
        environment: input.environment_variables,
        layers: input.layers,
        custom_runtime: input.custom_runtime_config.map(custom_runtime),
        custom_container,
        registry_password,
        custom_dns: input.custom_dns.map(|said| CustomDns {
            name_servers: said.name_servers,
            searches: said.searches,
            options: said.dns_options.into_iter().map(|o| (o.name, o.value)).collect(),
        }),
        internet_access: input.internet_access,
        role: input.role,
        initializer,
        pre_stop,
        nas: input.nas_config.map(nas).transpose()?,
        log: input.log_config.map(log),
        idle_timeout: input.idle_timeout.map(seconds),
        disable_ondemand: input.disable_ondemand,
        inject: input.disable_inject_credentials.as_deref().map(inject).transpose()?,
        isolation: input.instance_isolation_mode.as_deref().map(isolation).transpose()?,
        kept: kept(input.rest),
        native: false,
    })
}

fn seconds(seconds: u32) -> Span {
    Span::from_secs(u64::from(seconds))
}

fn hook(name: &str, said: LifecycleHook) -> Result<Hook, Problem> {
    if said.command.is_some_and(|command| !command.is_empty()) {
        return Err(Problem::invalid(format!(
            "{name}.command is for GPU functions only; give a handler"
        )));
    }
    Ok(Hook { handler: said.handler, timeout: seconds(said.timeout.unwrap_or(0)) })
}

fn custom_runtime(said: CustomRuntimeConfig) -> CustomRuntime {
    CustomRuntime {
        command: said.command.unwrap_or_default(),
        args: said.args.unwrap_or_default(),
        port: said.port.unwrap_or(0),
        health_check: said.health_check_config.and_then(health_check),
    }
}

/// A check without a path is none.
fn health_check(said: HealthCheckConfig) -> Option<HealthCheck> {
    Some(HealthCheck {
        path: said.http_get_url.filter(|path| !path.is_empty())?,
        initial_delay: seconds(said.initial_delay_seconds.unwrap_or(0)),
        period: seconds(said.period_seconds.unwrap_or(3)),
        timeout: seconds(said.timeout_seconds.unwrap_or(1)),
        failure_threshold: said.failure_threshold.unwrap_or(3),
        success_threshold: said.success_threshold.unwrap_or(1),
    })
}

/// What is read of `customContainerConfig`; the rest is kept as given.
#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    image: Option<String>,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
    port: Option<u16>,
    health_check_config: Option<HealthCheckConfig>,
    registry_config: Option<RegistrySaid>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RegistrySaid {
    auth_config: Option<AuthSaid>,
    cert_config: Option<CertSaid>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AuthSaid {
    user_name: Option<String>,
    password: Option<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CertSaid {
    insecure: Option<bool>,
    root_ca_cert_base64: Option<String>,
}

/// The configuration, and the password apart: it is kept sealed and never shown.
fn custom_container(
    mut said: serde_json::Value,
) -> Result<(CustomContainer, Option<SecretText>), Problem> {
    let secret =
        said.pointer_mut("/registryConfig/authConfig/password").map(serde_json::Value::take);
    let password = secret.as_ref().and_then(serde_json::Value::as_str);
    let password = password.filter(|text| !text.is_empty()).map(SecretText::new);
    for ours in ["accelerationInfo", "resolvedImageUri"] {
        // Given back by clients that read, change and write; not theirs to say.
        said.as_object_mut().map(|fields| fields.remove(ours));
    }
    let raw = said.to_string();
    let said: Container = serde_json::from_value(said).map_err(|error| {
        Problem::invalid(format!("customContainerConfig is not valid: {error}"))
    })?;
    let registry = said.registry_config.unwrap_or_default();
    let auth = registry.auth_config.unwrap_or_default();
    let cert = registry.cert_config.unwrap_or_default();
    let container = CustomContainer {
        image: said.image.unwrap_or_default(),
        entrypoint: said.entrypoint.unwrap_or_default(),
        command: said.command.unwrap_or_default(),
        port: said.port.unwrap_or(0),
        health_check: said.health_check_config.and_then(health_check),
        raw,
        registry: RegistryConfig {
            user: auth.user_name.unwrap_or_default(),
            password: None,
            insecure: cert.insecure.unwrap_or(false),
            root_ca_base64: cert.root_ca_cert_base64.unwrap_or_default(),
        },
        pinned: None,
    };
    Ok((container, password))
}

fn nas(said: WireNas) -> Result<NasConfig, Problem> {
    let id = |name: &str, given: Option<i64>| {
        let given = given.unwrap_or(0);
        u32::try_from(given).map_err(|_| {
            Problem::invalid(format!("nasConfig.{name} must be between 0 and 65534, got {given}"))
        })
    };
    Ok(NasConfig {
        user_id: id("userId", said.user_id)?,
        group_id: id("groupId", said.group_id)?,
        mounts: said
            .mount_points
            .into_iter()
            .map(|mount| NasMount {
                server_addr: mount.server_addr,
                mount_dir: mount.mount_dir,
                enable_tls: mount.enable_tls,
            })
            .collect(),
    })
}

fn log(said: WireLog) -> LogConfig {
    LogConfig {
        project: said.project,
        logstore: said.logstore,
        request_metrics: said.enable_request_metrics,
        instance_metrics: said.enable_instance_metrics,
        begin_rule: said.log_begin_rule.unwrap_or_default(),
    }
}

fn inject(word: &str) -> Result<InjectCredentials, Problem> {
    match word {
        "" | "None" => Ok(InjectCredentials::Everywhere),
        "Env" => Ok(InjectCredentials::NotEnv),
        "Request" => Ok(InjectCredentials::NotRequest),
        "All" => Ok(InjectCredentials::Nowhere),
        other => Err(Problem::invalid(format!(
            "disableInjectCredentials must be None, Env, Request or All, got {other:?}"
        ))),
    }
}

fn isolation(word: &str) -> Result<IsolationMode, Problem> {
    match word {
        "" | "SHARE" => Ok(IsolationMode::Share),
        "SESSION_EXCLUSIVE" => Ok(IsolationMode::Session),
        "REQUEST_EXCLUSIVE" => Ok(IsolationMode::Request),
        other => Err(Problem::invalid(format!(
            "instanceIsolationMode must be SHARE, SESSION_EXCLUSIVE or REQUEST_EXCLUSIVE, got {other:?}"
        ))),
    }
}

/// What is kept and given back; what upstream does not know either is left out.
fn kept(rest: BTreeMap<String, serde_json::Value>) -> BTreeMap<String, String> {
    rest.into_iter()
        .filter(|(name, value)| KEPT.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FunctionPatch, Problem> {
        patch(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_is_not_said_is_not_said() {
        assert_eq!(read("{}"), Ok(FunctionPatch::default()));
        assert_eq!(
            read(r#"{"role":null,"unknown":1,"gpuConfig":null}"#),
            Ok(FunctionPatch::default())
        );
    }

    #[test]
    fn the_parts_arrive() {
        let said = read(
            r#"{"cpu":0.35,"timeout":60,"customRuntimeConfig":{"command":["node"],"healthCheckConfig":{"httpGetUrl":"/ok"}},
            "instanceLifecycleConfig":{"initializer":{"handler":"i.h","timeout":5}},"nasConfig":{"userId":1000,"groupId":1000,
            "mountPoints":[{"serverAddr":"volume:v","mountDir":"/mnt/v"}]},"disableInjectCredentials":"Env",
            "vpcConfig":{"vpcId":"v"}}"#,
        )
        .unwrap();
        assert_eq!(said.cpu_milli, Some(350));
        assert_eq!(said.timeout, Some(Span::from_secs(60)));
        let custom = said.custom_runtime.unwrap();
        assert_eq!(custom.health_check.unwrap().period, Span::from_secs(3));
        assert_eq!(said.initializer.unwrap().timeout, Span::from_secs(5));
        assert_eq!(said.pre_stop, None);
        assert_eq!(said.nas.unwrap().mounts.len(), 1);
        assert_eq!(said.inject, Some(InjectCredentials::NotEnv));
        assert_eq!(said.kept["vpcConfig"], r#"{"vpcId":"v"}"#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in [
            r#"{"nasConfig":{"userId":-1}}"#,
            r#"{"instanceIsolationMode":"ALONE"}"#,
            r#"{"disableInjectCredentials":"some"}"#,
            r#"{"instanceLifecycleConfig":{"initializer":{"command":["x"]}}}"#,
            r#"{"customContainerConfig":{"port":"x"}}"#,
            r#"{"cpu":0.12345}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
