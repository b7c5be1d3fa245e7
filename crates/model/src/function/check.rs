//! What may be configured: the rules of the Function Compute API, in one place for every door. Each
//! refusal names the field as the wire does and says what would be allowed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::{
    AsyncConfig, CustomContainer, CustomDns, CustomRuntime, FunctionConfig, FunctionLimits,
    HealthCheck, Hook, IsolationMode, LATEST, NasConfig, NasMount,
};
use crate::code::Refusal;
use crate::id::is_name;
use crate::image::ImageSource;
use crate::limit::{Rate, Resources};
use crate::time::Span;

/// Runtimes a function may be created with.
pub const RUNTIMES: &[&str] = &[
    "nodejs20",
    "nodejs18",
    "nodejs16",
    "nodejs14",
    "nodejs12",
    "python3.12",
    "python3.10",
    "python3.9",
    "python3",
    "java11",
    "java8",
    "go1",
    "bash",
    "php7.2",
    "dotnetcore3.1",
    "custom",
    "custom.debian10",
    "custom.debian11",
    "custom.debian12",
    "custom-container",
    "micro-sandbox",
    "wasm",
];

/// Runtimes that upstream has retired: refused with a word about it.
pub const RUNTIMES_RETIRED: &[&str] =
    &["nodejs10", "nodejs8", "nodejs6", "python2.7", "dotnetcore2.1"];

/// Bytes of all environment variables together.
pub const ENVIRONMENT_BYTES_MAX: usize = 4 * 1024;
/// Layers of one function.
pub const LAYERS_MAX: usize = 5;
/// Tags of one resource.
pub const TAGS_MAX: usize = 20;
/// Mounts of one kind.
pub const MOUNTS_MAX: usize = 5;
/// Bytes of one setting that is only kept.
pub const KEPT_BYTES_MAX: usize = 64 * 1024;
/// The longest time-out the FC API takes.
pub const TIMEOUT_MAX: Span = Span::from_secs(86_400);
/// The longest time-out the native API takes.
pub const TIMEOUT_NATIVE_MAX: Span = Span::from_secs(30 * 86_400);
/// The oldest an async event may become.
pub const AGE_MAX: Span = Span::from_secs(604_800);
/// Retries through the FC API.
pub const RETRIES_MAX: u32 = 8;
/// Retries through the native API.
pub const RETRIES_NATIVE_MAX: u32 = 100;

/// A refusal when a rule does not hold.
fn need(holds: bool, message: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::invalid(message())) }
}

fn within<T: PartialOrd + core::fmt::Display>(
    field: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), Refusal> {
    need(low <= value && value <= high, || {
        format!("{field} must be between {low} and {high}, got {value}")
    })
}

fn at_most(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    let length = text.chars().count();
    need(length <= max, || format!("{field} must have at most {max} characters, got {length}"))
}

/// A function's name.
pub fn function_name(name: &str) -> Result<(), Refusal> {
    name_rule("functionName", name)
}

/// A name that follows the common rule, under the wire's word for it.
pub fn name_rule(field: &str, name: &str) -> Result<(), Refusal> {
    need(is_name(name), || {
        format!(
            "{field} '{name}' is invalid: it must match ^[A-Za-z_][A-Za-z0-9_-]*$ and have 1 to \
             128 characters"
        )
    })
}

/// An alias's name: not `LATEST` (which digits alone, a version, cannot be mistaken for).
pub fn alias_name(name: &str) -> Result<(), Refusal> {
    name_rule("aliasName", name)?;
    need(name != LATEST, || format!("aliasName must not be {LATEST}"))
}

/// A layer's name.
pub fn layer_name(name: &str) -> Result<(), Refusal> {
    name_rule("layerName", name)?;
    at_most("layerName", name, 64)
}

/// Free text about something.
pub fn description(text: &str) -> Result<(), Refusal> {
    at_most("description", text, 256)
}

/// Labels of one resource, all together.
pub fn tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    need(tags.len() <= TAGS_MAX, || {
        format!("a resource can have at most {TAGS_MAX} tags, got {}", tags.len())
    })?;
    tags.iter().try_for_each(|(key, value)| tag(key, value))
}

/// One label.
pub fn tag(key: &str, value: &str) -> Result<(), Refusal> {
    need(!key.is_empty(), || "a tag key must not be empty".into())?;
    at_most("tag key", key, 64)?;
    at_most("tag value", value, 128)?;
    need(!key.starts_with("aliyun") && !key.starts_with("acs:"), || {
        format!("tag key '{key}' must not start with 'aliyun' or 'acs:'")
    })?;
    for text in [key, value] {
        need(!text.contains("http://") && !text.contains("https://"), || {
            format!("tag '{text}' must not contain 'http://' or 'https://'")
        })?;
    }
    Ok(())
}

/// A whole configuration, as it would be stored.
pub fn config(config: &FunctionConfig) -> Result<(), Refusal> {
    description(&config.description)?;
    runtime(&config.runtime)?;
    handler(config)?;
    size(config.size)?;
    need(matches!(config.disk_mb, 512 | 10_240), || {
        format!("diskSize must be 512 or 10240, got {}", config.disk_mb)
    })?;
    within("timeout", config.timeout.secs(), 1, TIMEOUT_NATIVE_MAX.secs())?;
    concurrency(config)?;
    environment(&config.environment)?;
    layers(config)?;
    if let Some(custom) = &config.custom_runtime {
        custom_runtime(custom)?;
    }
    if let Some(container) = &config.custom_container {
        custom_container(container)?;
    }
    if config.is_container() {
        need(config.custom_container.is_some(), || {
            "customContainerConfig.image is required for runtime custom-container".into()
        })?;
        need(config.layers.is_empty(), || {
            "layers cannot be used with runtime custom-container: put the files into the image"
                .into()
        })?;
    }
    if let Some(dns) = &config.custom_dns {
        custom_dns(dns)?;
    }
    at_most("role", &config.role, 300)?;
    need(config.role.is_empty() || config.role.starts_with("acs:ram::"), || {
        format!("role '{}' is not a role ARN (acs:ram::ACCOUNT:role/NAME)", config.role)
    })?;
    hook("initializer", config.initializer.as_ref(), 300)?;
    hook("preStop", config.pre_stop.as_ref(), 90)?;
    stateless(config)?;
    if let Some(config) = &config.nas {
        nas(config)?;
    }
    log(config)?;
    idle_timeout(config.idle_timeout)?;
    isolation(config)?;
    kept(&config.kept)
}

fn runtime(runtime: &str) -> Result<(), Refusal> {
    need(!RUNTIMES_RETIRED.contains(&runtime), || {
        format!("runtime '{runtime}' is retired and cannot be used for new or updated functions")
    })?;
    need(RUNTIMES.contains(&runtime), || {
        format!("runtime '{runtime}' is not supported; use one of {}", RUNTIMES.join(", "))
    })
}

fn handler(config: &FunctionConfig) -> Result<(), Refusal> {
    let length = config.handler.chars().count();
    need((1..=128).contains(&length), || {
        format!("handler must have 1 to 128 characters, got {length}")
    })?;
    let dotted = config.runtime.starts_with("python") || config.runtime.starts_with("nodejs");
    need(!dotted || config.handler.contains('.'), || {
        format!("handler '{}' must have the form 'file.method'", config.handler)
    })?;
    let java = config.runtime.starts_with("java");
    need(!java || config.handler.contains("::"), || {
        format!("handler '{}' must have the form 'package.Class::method'", config.handler)
    })?;
    let file = matches!(config.runtime.as_str(), "go1" | "bash");
    need(!file || !config.handler.split('/').any(|part| part == ".."), || {
        format!("handler '{}' must name a file of the package", config.handler)
    })
}

/// A Wasm program starts anew for every request: a hook would prepare what nobody finds.
fn stateless(config: &FunctionConfig) -> Result<(), Refusal> {
    let has = |hook: &Option<Hook>| hook.as_ref().is_some_and(|hook| !hook.handler.is_empty());
    let hooked = has(&config.initializer) || has(&config.pre_stop);
    need(config.runtime != "wasm" || !hooked, || {
        "instanceLifecycleConfig is not supported by runtime 'wasm': every request gets a fresh \
         instance of the program, so there is nothing to initialize or to stop"
            .into()
    })
}

/// vCPU and memory, each and together.
pub fn size(size: Resources) -> Result<(), Refusal> {
    let Resources { cpu_milli, memory_mb } = size;
    need((50..=16_000).contains(&cpu_milli) && cpu_milli % 50 == 0, || {
        format!("cpu must be between 0.05 and 16 in steps of 0.05, got {}", vcpu(cpu_milli))
    })?;
    need((128..=32_768).contains(&memory_mb) && memory_mb % 64 == 0, || {
        format!("memorySize must be between 128 and 32768 in steps of 64, got {memory_mb}")
    })?;
    // Memory in GB over vCPU, both sides multiplied out.
    let (memory, cpu) = (u64::from(memory_mb) * 1_000, u64::from(cpu_milli) * 1_024);
    need(cpu <= memory && memory <= 4 * cpu, || {
        format!(
            "the ratio of cpu (vCPU) to memorySize (GB) must be between 1:1 and 1:4, got cpu {} \
             and memorySize {memory_mb} MB",
            vcpu(cpu_milli)
        )
    })
}

fn vcpu(milli: u32) -> String {
    let text = format!("{}.{:03}", milli / 1_000, milli % 1_000);
    String::from(text.trim_end_matches('0').trim_end_matches('.'))
}

/// The size when only a part of it was said: a missing half is derived so that the ratio holds
/// (0.7 vCPU per GB, as the console's 0.35 vCPU for 512 MB).
pub fn size_of(cpu_milli: Option<u32>, memory_mb: Option<u32>) -> Resources {
    match (cpu_milli, memory_mb) {
        (Some(cpu_milli), Some(memory_mb)) => Resources { cpu_milli, memory_mb },
        (None, None) => Resources { cpu_milli: 350, memory_mb: 512 },
        (None, Some(memory_mb)) => {
            let cpu = u64::from(memory_mb) * 700 / 1_024;
            let steps = cpu.div_ceil(50).clamp(1, 320);
            let cpu_milli = u32::try_from(steps * 50).expect("at most 16,000");
            Resources { cpu_milli, memory_mb }
        }
        (Some(cpu_milli), None) => {
            let memory = u64::from(cpu_milli) * 1_024 / 700;
            let steps = memory.div_ceil(64).clamp(2, 512);
            let memory_mb = u32::try_from(steps * 64).expect("at most 32,768");
            Resources { cpu_milli, memory_mb }
        }
    }
}

fn concurrency(config: &FunctionConfig) -> Result<(), Refusal> {
    within("instanceConcurrency", config.instance_concurrency, 1, 200)?;
    // A go1 program decides how often it polls at once.
    let several = config.is_custom() || config.runtime == "go1";
    need(several || config.instance_concurrency == 1, || {
        format!(
            "instanceConcurrency must be 1 for runtime '{}': only custom runtimes and go1 serve \
             several requests at once",
            config.runtime
        )
    })
}

fn environment(environment: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for key in environment.keys() {
        let first = key.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        need(first && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), || {
            format!("environment variable '{key}' is invalid: it must match [A-Za-z][A-Za-z0-9_]*")
        })?;
        need(!key.starts_with("FC_"), || {
            format!("environment variable '{key}' is reserved: names must not start with FC_")
        })?;
    }
    let has_nul = environment.values().any(|value| value.contains('\0'));
    need(!has_nul, || "environmentVariables must not contain NUL characters".into())?;
    let bytes: usize = environment.iter().map(|(key, value)| key.len() + value.len()).sum();
    need(bytes <= ENVIRONMENT_BYTES_MAX, || {
        format!("environmentVariables must be at most {ENVIRONMENT_BYTES_MAX} bytes, got {bytes}")
    })
}

fn layers(config: &FunctionConfig) -> Result<(), Refusal> {
    need(config.layers.len() <= LAYERS_MAX, || {
        format!("a function can have at most {LAYERS_MAX} layers, got {}", config.layers.len())
    })?;
    for (index, layer) in config.layers.iter().enumerate() {
        need(!config.layers[..index].contains(layer), || {
            format!("layer '{layer}' is named twice")
        })?;
    }
    Ok(())
}

fn command(field: &str, parts: &[String]) -> Result<(), Refusal> {
    need(parts.len() <= 64, || format!("{field} can have at most 64 parts, got {}", parts.len()))?;
    let bytes: usize = parts.iter().map(String::len).sum();
    need(bytes <= 4_096, || format!("{field} must be at most 4096 bytes, got {bytes}"))?;
    need(!parts.iter().any(|part| part.contains('\0')), || {
        format!("{field} must not contain NUL characters")
    })
}

fn custom_runtime(custom: &CustomRuntime) -> Result<(), Refusal> {
    command("customRuntimeConfig.command", &custom.command)?;
    command("customRuntimeConfig.args", &custom.args)?;
    need(custom.port != 0, || "customRuntimeConfig.port must be between 1 and 65535".into())?;
    health(custom.health_check.as_ref())
}

fn custom_container(container: &CustomContainer) -> Result<(), Refusal> {
    need(!container.image.is_empty(), || "customContainerConfig.image must be set".into())?;
    at_most("customContainerConfig.image", &container.image, 1_024)?;
    ImageSource::parse(&container.image).map_err(|why| {
        Refusal::invalid(format!("customContainerConfig.image is not valid: {why}"))
    })?;
    at_most("registryConfig.authConfig.userName", &container.registry.user, 256)?;
    command("customContainerConfig.entrypoint", &container.entrypoint)?;
    command("customContainerConfig.command", &container.command)?;
    need(container.port != 0, || "customContainerConfig.port must be between 1 and 65535".into())?;
    need(container.raw.len() <= KEPT_BYTES_MAX, || "customContainerConfig is too large".into())?;
    health(container.health_check.as_ref())
}

fn health(check: Option<&HealthCheck>) -> Result<(), Refusal> {
    let Some(check) = check else { return Ok(()) };
    need(check.path.starts_with('/'), || {
        format!("healthCheckConfig.httpGetUrl must start with '/', got '{}'", check.path)
    })?;
    at_most("healthCheckConfig.httpGetUrl", &check.path, 2_048)?;
    within("healthCheckConfig.initialDelaySeconds", check.initial_delay.secs(), 0, 120)?;
    within("healthCheckConfig.periodSeconds", check.period.secs(), 1, 120)?;
    within("healthCheckConfig.timeoutSeconds", check.timeout.secs(), 1, 3)?;
    within("healthCheckConfig.failureThreshold", check.failure_threshold, 1, 120)?;
    within("healthCheckConfig.successThreshold", check.success_threshold, 1, 120)
}

fn custom_dns(dns: &CustomDns) -> Result<(), Refusal> {
    for server in &dns.name_servers {
        need(server.parse::<core::net::IpAddr>().is_ok(), || {
            format!("customDNS.nameServers: '{server}' is not an IP address")
        })?;
    }
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    for text in &dns.searches {
        need(plain(text), || format!("customDNS.searches: '{text}' is not a domain"))?;
    }
    for (name, value) in &dns.options {
        need(plain(name) && (value.is_empty() || plain(value)), || {
            format!("customDNS.dnsOptions: '{name}' is not an option")
        })?;
    }
    let count = dns.name_servers.len() + dns.searches.len() + dns.options.len();
    need(count <= 20, || format!("customDNS can have at most 20 entries, got {count}"))
}

fn hook(name: &str, hook: Option<&Hook>, seconds_max: u64) -> Result<(), Refusal> {
    let Some(hook) = hook else { return Ok(()) };
    let field = format!("instanceLifecycleConfig.{name}");
    let length = hook.handler.chars().count();
    need((1..=128).contains(&length), || {
        format!("{field}.handler must have 1 to 128 characters, got {length}")
    })?;
    within(&format!("{field}.timeout"), hook.timeout.secs(), 1, seconds_max)
}

fn nas(nas: &NasConfig) -> Result<(), Refusal> {
    within("nasConfig.userId", nas.user_id, 0, 65_534)?;
    within("nasConfig.groupId", nas.group_id, 0, 65_534)?;
    need(nas.mounts.len() <= MOUNTS_MAX, || {
        format!("nasConfig can have at most {MOUNTS_MAX} mountPoints, got {}", nas.mounts.len())
    })?;
    for (index, one) in nas.mounts.iter().enumerate() {
        mount(one)?;
        need(nas.mounts[..index].iter().all(|other| other.mount_dir != one.mount_dir), || {
            format!("nasConfig: mountDir '{}' is used twice", one.mount_dir)
        })?;
    }
    Ok(())
}

/// Directories inside an instance that belong to the platform.
const DIRECTORIES_TAKEN: &[&str] = &[
    "/code", "/opt", "/tmp", "/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/sbin", "/lib",
    "/lib64", "/var", "/run",
];

fn mount(mount: &NasMount) -> Result<(), Refusal> {
    let (source, dir) = (&mount.server_addr, &mount.mount_dir);
    at_most("nasConfig.mountPoints.serverAddr", source, 128)?;
    let places = source.split_once(':');
    need(places.is_some_and(|(host, path)| !host.is_empty() && !path.is_empty()), || {
        format!("nasConfig: serverAddr '{source}' must be 'host:/path' or 'volume:NAME'")
    })?;
    need(!source.split(['/', ':']).any(|part| part == ".." || part == "."), || {
        format!("nasConfig: serverAddr '{source}' must not contain '.' or '..'")
    })?;
    at_most("nasConfig.mountPoints.mountDir", dir, 64)?;
    need(dir.starts_with('/') && dir.len() > 1, || {
        format!("nasConfig: mountDir '{dir}' must be an absolute path other than /")
    })?;
    need(!dir.contains("//") && !dir.split('/').any(|part| part == ".." || part == "."), || {
        format!("nasConfig: mountDir '{dir}' must be a plain path")
    })?;
    let taken = DIRECTORIES_TAKEN.iter().find(|taken| {
        dir.strip_prefix(**taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match taken {
        Some(taken) => Err(Refusal::invalid(format!(
            "nasConfig: mountDir '{dir}' lies in {taken}, which is the platform's"
        ))),
        None => Ok(()),
    }
}

fn log(config: &FunctionConfig) -> Result<(), Refusal> {
    let Some(log) = &config.log else { return Ok(()) };
    at_most("logConfig.project", &log.project, 63)?;
    at_most("logConfig.logstore", &log.logstore, 63)?;
    need(matches!(log.begin_rule.as_str(), "" | "None" | "DefaultRegex"), || {
        format!("logConfig.logBeginRule must be None or DefaultRegex, got '{}'", log.begin_rule)
    })
}

fn idle_timeout(timeout: Span) -> Result<(), Refusal> {
    if timeout == Span::ZERO {
        return Ok(());
    }
    within("idleTimeout", timeout.secs(), 300, 3_600)
}

fn isolation(config: &FunctionConfig) -> Result<(), Refusal> {
    let shared = config.isolation == IsolationMode::Share;
    need(shared || config.size.cpu_milli >= 2_000, || {
        "instanceIsolationMode SESSION_EXCLUSIVE and REQUEST_EXCLUSIVE need at least 2 vCPU".into()
    })
}

fn kept(kept: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let big = kept.iter().find(|(_, text)| text.len() > KEPT_BYTES_MAX);
    match big {
        Some((name, text)) => Err(Refusal::invalid(format!(
            "{name} must be at most {KEPT_BYTES_MAX} bytes, got {}",
            text.len()
        ))),
        None => Ok(()),
    }
}

/// An async configuration through the FC API; `native` widens the number of retries.
pub fn async_config(config: &AsyncConfig, native: bool) -> Result<(), Refusal> {
    let retries_max = if native { RETRIES_NATIVE_MAX } else { RETRIES_MAX };
    within("maxAsyncRetryAttempts", config.retry.retries_max, 0, retries_max)?;
    need((Span::from_secs(1)..=AGE_MAX).contains(&config.age_max), || {
        format!(
            "maxAsyncEventAgeInSeconds must be between 1 and {}, got {}",
            AGE_MAX.secs(),
            config.age_max.secs()
        )
    })?;
    at_most("destinationConfig.onSuccess.destination", &config.on_success, 512)?;
    at_most("destinationConfig.onFailure.destination", &config.on_failure, 512)?;
    let (base, cap) = (config.retry.backoff_base, config.retry.backoff_cap);
    need(base >= Span::from_millis(1) && base <= cap && cap <= Span::from_secs(86_400), || {
        "the retry backoff must satisfy 1 ms <= base <= cap <= 24 h".into()
    })?;
    need(config.retry.final_errors.len() <= 50, || {
        format!("at most 50 final error types, got {}", config.retry.final_errors.len())
    })?;
    config.retry.final_errors.iter().try_for_each(|one| at_most("a final error type", one, 128))
}

/// Native limits of a function.
pub fn limits(limits: &FunctionLimits) -> Result<(), Refusal> {
    rate("rate", limits.rate)?;
    rate("keyRate", limits.key_rate)?;
    if let Some(weight) = limits.weight {
        within("weight", weight, 1, 10_000)?;
    }
    if let Some(count) = limits.key_concurrency_max {
        within("keyConcurrencyMax", count, 1, u32::MAX)?;
    }
    let schema = limits.payload_schema.as_deref().unwrap_or("");
    need(schema.len() <= KEPT_BYTES_MAX, || {
        format!("payloadSchema must be at most {KEPT_BYTES_MAX} bytes, got {}", schema.len())
    })
}

/// A token bucket.
pub fn rate(field: &str, rate: Option<Rate>) -> Result<(), Refusal> {
    let Some(rate) = rate else { return Ok(()) };
    need(rate.milli_per_second >= 1, || format!("{field} must let something through"))?;
    within(&format!("{field} burst"), rate.burst, 1, 1_000_000)
}

#[cfg(test)]
mod tests;
