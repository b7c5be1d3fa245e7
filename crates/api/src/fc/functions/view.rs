//! A function as upstream shows it.

use stint_engine::control::functions::FunctionView;
use stint_model::function::{
    CustomContainer, CustomRuntime, FunctionConfig, HeadUpdate, HealthCheck, Hook,
    InjectCredentials, IsolationMode, LATEST, Readiness,
};
use stint_wire::fc::{
    CustomDns, CustomRuntimeConfig, DnsOption, Function, FunctionLayer, HealthCheckConfig,
    InstanceLifecycleConfig, InvocationRestriction, LifecycleHook, LogConfig, NasConfig,
    NasMountPoint, Tag,
};

use crate::arn;
use crate::call::{Call, rfc3339};

pub(super) fn function(call: &Call, found: &FunctionView) -> Function {
    let (function, config) = (&found.function, &found.revision.config);
    let region = &call.engine().config().region;
    let code = found.revision.code.as_ref();
    let (behind, state_reason) = behind(call, &config.runtime);
    Function {
        function_name: function.name.to_string(),
        function_id: function.id.to_string(),
        function_arn: arn::function(region, function.account, &function.name, &found.qualifier),
        code_size: code.map_or(0, |code| code.size),
        code_checksum: code.map(|code| code.crc64.to_string()).unwrap_or_default(),
        created_time: rfc3339(function.created_at),
        last_modified_time: rfc3339(function.modified_at),
        resource_group_id: function.resource_group.clone(),
        tags: function
            .tags
            .iter()
            .map(|(key, value)| Tag { key: key.clone(), value: value.clone() })
            .collect(),
        layers: found
            .layers
            .iter()
            .map(|(arn, size)| FunctionLayer { arn: arn.clone(), size: *size })
            .collect(),
        invocation_restriction: function.disabled.as_ref().map(|disabled| InvocationRestriction {
            disable: true,
            reason: disabled.reason.clone(),
            last_modified_time: rfc3339(disabled.at),
        }),
        runtime_behind: behind,
        ..with_state(Function { state_reason, ..configured(config) }, found)
    }
}

/// Upstream's word while an image is being fetched.
const FETCHING: &str = "ImageOptimizing";

/// §1.7. A version is what it is; only the head waits for an image or loses one.
fn with_state(shown: Function, found: &FunctionView) -> Function {
    let (active, done) = ("Active".to_owned(), "Successful".to_owned());
    let shown = Function { state: active, last_update_status: done, ..shown };
    if found.qualifier != LATEST {
        return shown;
    }
    let function = &found.function;
    let shown = match &function.readiness {
        Readiness::Active => shown,
        Readiness::Pending => Function {
            state: "Pending".to_owned(),
            state_reason: "the image is being fetched".to_owned(),
            state_reason_code: FETCHING.to_owned(),
            last_update_status: "InProgress".to_owned(),
            last_update_status_reason_code: FETCHING.to_owned(),
            ..shown
        },
        Readiness::Failed(fault) => Function {
            state: "Failed".to_owned(),
            state_reason: fault.reason.clone(),
            state_reason_code: fault.kind.text().to_owned(),
            last_update_status: "Failed".to_owned(),
            last_update_status_reason: fault.reason.clone(),
            last_update_status_reason_code: fault.kind.text().to_owned(),
            ..shown
        },
    };
    match &function.update {
        None => shown,
        Some(HeadUpdate { failed: None, .. }) => Function {
            last_update_status: "InProgress".to_owned(),
            last_update_status_reason: "the image is being fetched".to_owned(),
            last_update_status_reason_code: FETCHING.to_owned(),
            ..shown
        },
        Some(HeadUpdate { failed: Some(fault), .. }) => Function {
            last_update_status: "Failed".to_owned(),
            last_update_status_reason: fault.reason.clone(),
            last_update_status_reason_code: fault.kind.text().to_owned(),
            ..shown
        },
    }
}

/// The part that is the user's configuration.
fn configured(config: &FunctionConfig) -> Function {
    Function {
        description: config.description.clone(),
        runtime: config.runtime.clone(),
        handler: config.handler.clone(),
        cpu: f64::from(config.size.cpu_milli) / 1_000.0,
        memory_size: config.size.memory_mb,
        disk_size: config.disk_mb,
        timeout: config.timeout.secs(),
        instance_concurrency: config.instance_concurrency,
        environment_variables: config.environment.clone(),
        custom_runtime_config: config.custom_runtime.as_ref().map(custom_runtime),
        custom_container_config: config.custom_container.as_ref().and_then(container),
        custom_dns: config.custom_dns.as_ref().map(|dns| CustomDns {
            name_servers: dns.name_servers.clone(),
            searches: dns.searches.clone(),
            dns_options: dns
                .options
                .iter()
                .map(|(name, value)| DnsOption { name: name.clone(), value: value.clone() })
                .collect(),
        }),
        internet_access: config.internet_access,
        role: config.role.clone(),
        instance_lifecycle_config: hooks(config),
        nas_config: config.nas.as_ref().map(|nas| NasConfig {
            user_id: Some(i64::from(nas.user_id)),
            group_id: Some(i64::from(nas.group_id)),
            mount_points: nas
                .mounts
                .iter()
                .map(|mount| NasMountPoint {
                    server_addr: mount.server_addr.clone(),
                    mount_dir: mount.mount_dir.clone(),
                    enable_tls: mount.enable_tls,
                })
                .collect(),
        }),
        log_config: config.log.as_ref().map(|log| LogConfig {
            project: log.project.clone(),
            logstore: log.logstore.clone(),
            enable_request_metrics: log.request_metrics,
            enable_instance_metrics: log.instance_metrics,
            log_begin_rule: Some(log.begin_rule.clone()).filter(|rule| !rule.is_empty()),
        }),
        idle_timeout: config.idle_timeout.secs(),
        disable_ondemand: config.disable_ondemand,
        disable_inject_credentials: inject(config.inject).to_owned(),
        instance_isolation_mode: isolation(config.isolation).to_owned(),
        kept: kept(config),
        ..Function::default()
    }
}

/// What runs the function here; and the same for clients that know upstream's fields only, when another
/// version stands in or no node can run it.
fn behind(call: &Call, runtime: &str) -> (Option<String>, String) {
    let nodes = call.engine().link().nodes();
    let behind = nodes.iter().find_map(|node| node.runtimes.get(runtime).cloned());
    let reason = match &behind {
        Some(behind) => stand_in(runtime, behind),
        None if nodes.is_empty() => String::new(),
        None => format!("no node can run {runtime}; `stint doctor` on a node says what to install"),
    };
    (behind, reason)
}

/// `python3.10`, `/usr/bin/python3.11 (3.11.2)`.
fn stand_in(runtime: &str, behind: &str) -> String {
    let version = runtime.trim_start_matches(|c: char| !c.is_ascii_digit());
    let is_another = behind.contains('(') && !behind.contains(&format!("({version}."));
    if is_another { format!("{runtime} is run by {behind}") } else { String::new() }
}

/// As it was given, and what came of it.
fn container(container: &CustomContainer) -> Option<serde_json::Value> {
    let mut shown: serde_json::Value = serde_json::from_str(&container.raw).ok()?;
    let fields = shown.as_object_mut()?;
    fields.insert("port".to_owned(), container.port.into());
    let status = if container.pinned.is_some() { "Ready" } else { "Preparing" };
    fields.insert("accelerationInfo".to_owned(), serde_json::json!({ "status": status }));
    if let Some(pinned) = &container.pinned {
        fields.insert("resolvedImageUri".to_owned(), pinned.uri.clone().into());
    }
    Some(shown)
}

fn custom_runtime(custom: &CustomRuntime) -> CustomRuntimeConfig {
    CustomRuntimeConfig {
        command: Some(custom.command.clone()),
        args: Some(custom.args.clone()),
        port: Some(custom.port),
        health_check_config: custom.health_check.as_ref().map(health_check),
    }
}

fn health_check(check: &HealthCheck) -> HealthCheckConfig {
    let seconds = |span: stint_model::time::Span| u32::try_from(span.secs()).ok();
    HealthCheckConfig {
        http_get_url: Some(check.path.clone()),
        initial_delay_seconds: seconds(check.initial_delay),
        period_seconds: seconds(check.period),
        timeout_seconds: seconds(check.timeout),
        failure_threshold: Some(check.failure_threshold),
        success_threshold: Some(check.success_threshold),
    }
}

fn hooks(config: &FunctionConfig) -> Option<InstanceLifecycleConfig> {
    let hook = |hook: &Hook| LifecycleHook {
        handler: hook.handler.clone(),
        timeout: u32::try_from(hook.timeout.secs()).ok(),
        command: None,
    };
    if config.initializer.is_none() && config.pre_stop.is_none() {
        return None;
    }
    Some(InstanceLifecycleConfig {
        initializer: config.initializer.as_ref().map(hook),
        pre_stop: config.pre_stop.as_ref().map(hook),
    })
}

fn inject(inject: InjectCredentials) -> &'static str {
    match inject {
        InjectCredentials::Everywhere => "None",
        InjectCredentials::NotEnv => "Env",
        InjectCredentials::NotRequest => "Request",
        InjectCredentials::Nowhere => "All",
    }
}

fn isolation(mode: IsolationMode) -> &'static str {
    match mode {
        IsolationMode::Share => "SHARE",
        IsolationMode::Session => "SESSION_EXCLUSIVE",
        IsolationMode::Request => "REQUEST_EXCLUSIVE",
    }
}

fn kept(config: &FunctionConfig) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut kept: std::collections::BTreeMap<_, _> = config
        .kept
        .iter()
        .filter_map(|(name, text)| Some((name.clone(), serde_json::from_str(text).ok()?)))
        .collect();
    kept.entry("sessionAffinity".to_owned()).or_insert_with(|| "NONE".into());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named() {
        let newer = "/usr/bin/python3.11 (3.11.2)";
        assert_eq!(
            stand_in("python3.10", newer),
            "python3.10 is run by /usr/bin/python3.11 (3.11.2)"
        );
        assert_eq!(stand_in("python3.11", newer), "");
        assert_eq!(stand_in("nodejs20", "/usr/bin/node (20.1.0)"), "");
        assert_eq!(stand_in("custom.debian12", "the package's own server"), "");
    }
}
