//! Each rule with the text it refuses in.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::code::Code;
use crate::function::{InjectCredentials, LogConfig, RetryPolicy};

fn good() -> FunctionConfig {
    FunctionConfig {
        description: String::new(),
        runtime: "python3.10".into(),
        handler: "index.handler".into(),
        size: Resources { cpu_milli: 350, memory_mb: 512 },
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

fn mount_at(dir: &str) -> NasConfig {
    let mount =
        NasMount { server_addr: "volume:v".into(), mount_dir: dir.into(), enable_tls: false };
    NasConfig { user_id: 0, group_id: 0, mounts: vec![mount] }
}

fn checked_health(change: fn(&mut HealthCheck)) -> Option<CustomRuntime> {
    let mut check = HealthCheck {
        path: "/".into(),
        initial_delay: Span::ZERO,
        period: Span::from_secs(3),
        timeout: Span::from_secs(1),
        failure_threshold: 3,
        success_threshold: 1,
    };
    change(&mut check);
    Some(CustomRuntime { port: 9000, health_check: Some(check), ..CustomRuntime::default() })
}

type Rule = (fn(&mut FunctionConfig), &'static str);

const RULES: &[Rule] = &[
    (|c| c.description = "x".repeat(257), "description must have at most 256 characters, got 257"),
    (|c| c.runtime = "cobol".into(), "runtime 'cobol' is not supported; use one of nodejs20,"),
    (|c| c.runtime = "nodejs8".into(), "runtime 'nodejs8' is retired"),
    (|c| c.handler = String::new(), "handler must have 1 to 128 characters, got 0"),
    (|c| c.handler = "x".repeat(129), "handler must have 1 to 128 characters, got 129"),
    (|c| c.handler = "handler".into(), "handler 'handler' must have the form 'file.method'"),
    (
        |c| (c.runtime, c.handler) = ("java11".into(), "example.App".into()),
        "handler 'example.App' must have the form 'package.Class::method'",
    ),
    (
        |c| (c.runtime, c.handler) = ("go1".into(), "../bin/env".into()),
        "handler '../bin/env' must name a file of the package",
    ),
    (|c| c.size.cpu_milli = 0, "cpu must be between 0.05 and 16 in steps of 0.05, got 0"),
    (|c| c.size.cpu_milli = 355, "in steps of 0.05, got 0.355"),
    (|c| c.size.cpu_milli = 16_050, "got 16.05"),
    (|c| c.size.memory_mb = 64, "memorySize must be between 128 and 32768 in steps of 64, got 64"),
    (|c| c.size.memory_mb = 500, "in steps of 64, got 500"),
    (|c| c.size.memory_mb = 32_832, "in steps of 64, got 32832"),
    (|c| c.size.cpu_milli = 1_000, "must be between 1:1 and 1:4, got cpu 1 and memorySize 512 MB"),
    (|c| c.size.memory_mb = 2_048, "must be between 1:1 and 1:4, got cpu 0.35"),
    (|c| c.disk_mb = 1_024, "diskSize must be 512 or 10240, got 1024"),
    (|c| c.timeout = Span::ZERO, "timeout must be between 1 and"),
    (|c| c.timeout = Span::from_secs(31 * 86_400), "timeout must be between 1 and 2592000"),
    (|c| c.instance_concurrency = 0, "instanceConcurrency must be between 1 and 200, got 0"),
    (|c| c.instance_concurrency = 201, "instanceConcurrency must be between 1 and 200, got 201"),
    (|c| c.instance_concurrency = 2, "instanceConcurrency must be 1 for runtime 'python3.10'"),
    (
        |c| drop(c.environment.insert("1A".into(), "".into())),
        "environment variable '1A' is invalid",
    ),
    (|c| drop(c.environment.insert("".into(), "".into())), "environment variable '' is invalid"),
    (|c| drop(c.environment.insert("A-B".into(), "".into())), "variable 'A-B' is invalid"),
    (|c| drop(c.environment.insert("FC_X".into(), "".into())), "variable 'FC_X' is reserved"),
    (|c| drop(c.environment.insert("A".into(), "\0".into())), "must not contain NUL"),
    (
        |c| drop(c.environment.insert("A".into(), "x".repeat(4_096))),
        "environmentVariables must be at most 4096 bytes, got 4097",
    ),
    (
        |c| c.layers = (0..6).map(|n| format!("l{n}")).collect(),
        "a function can have at most 5 layers, got 6",
    ),
    (|c| c.layers = vec!["l".into(), "l".into()], "layer 'l' is named twice"),
    (
        |c| c.custom_runtime = Some(CustomRuntime::default()),
        "customRuntimeConfig.port must be between 1 and 65535",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.path = "health".into()),
        "healthCheckConfig.httpGetUrl must start with '/', got 'health'",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.initial_delay = Span::from_secs(121)),
        "healthCheckConfig.initialDelaySeconds must be between 0 and 120, got 121",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.period = Span::ZERO),
        "healthCheckConfig.periodSeconds must be between 1 and 120, got 0",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.timeout = Span::from_secs(4)),
        "healthCheckConfig.timeoutSeconds must be between 1 and 3, got 4",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.failure_threshold = 0),
        "healthCheckConfig.failureThreshold must be between 1 and 120, got 0",
    ),
    (
        |c| c.custom_runtime = checked_health(|h| h.success_threshold = 121),
        "healthCheckConfig.successThreshold must be between 1 and 120, got 121",
    ),
    (
        |c| c.custom_container = Some(CustomContainer { port: 1, ..CustomContainer::default() }),
        "customContainerConfig.image must be set",
    ),
    (
        |c| {
            c.custom_dns =
                Some(CustomDns { name_servers: vec!["dns".into()], ..CustomDns::default() });
        },
        "customDNS.nameServers: 'dns' is not an IP address",
    ),
    (|c| c.role = "x".repeat(301), "role must have at most 300 characters, got 301"),
    (|c| c.role = "me".into(), "role 'me' is not a role ARN"),
    (
        |c| c.initializer = Some(Hook { handler: "a.b".into(), timeout: Span::from_secs(301) }),
        "instanceLifecycleConfig.initializer.timeout must be between 1 and 300, got 301",
    ),
    (
        |c| c.pre_stop = Some(Hook { handler: "a.b".into(), timeout: Span::from_secs(91) }),
        "instanceLifecycleConfig.preStop.timeout must be between 1 and 90, got 91",
    ),
    (
        |c| c.pre_stop = Some(Hook { handler: String::new(), timeout: Span::from_secs(1) }),
        "instanceLifecycleConfig.preStop.handler must have 1 to 128 characters",
    ),
    (
        |c| c.nas = Some(NasConfig { user_id: 65_535, ..mount_at("/mnt/a") }),
        "nasConfig.userId must be between 0 and 65534, got 65535",
    ),
    (
        |c| {
            let mount = mount_at("/mnt/a").mounts[0].clone();
            let at = |n: u32| NasMount { mount_dir: format!("/mnt/{n}"), ..mount.clone() };
            c.nas = Some(NasConfig { mounts: (0..6).map(at).collect(), ..mount_at("/mnt/a") });
        },
        "nasConfig can have at most 5 mountPoints, got 6",
    ),
    (
        |c| {
            let mount = mount_at("/mnt/a").mounts[0].clone();
            c.nas = Some(NasConfig { mounts: vec![mount.clone(), mount], ..mount_at("/mnt/a") });
        },
        "nasConfig: mountDir '/mnt/a' is used twice",
    ),
    (|c| c.nas = Some(mount_at("mnt")), "nasConfig: mountDir 'mnt' must be an absolute path"),
    (|c| c.nas = Some(mount_at("/")), "nasConfig: mountDir '/' must be an absolute path"),
    (
        |c| c.nas = Some(mount_at("/mnt/../x")),
        "nasConfig: mountDir '/mnt/../x' must be a plain path",
    ),
    (|c| c.nas = Some(mount_at("/code/x")), "lies in /code, which is the platform's"),
    (|c| c.nas = Some(mount_at("/proc")), "lies in /proc, which is the platform's"),
    (
        |c| {
            let mut nas = mount_at("/mnt/a");
            nas.mounts[0].server_addr = "host".into();
            c.nas = Some(nas);
        },
        "nasConfig: serverAddr 'host' must be 'host:/path' or 'volume:NAME'",
    ),
    (
        |c| {
            let mut nas = mount_at("/mnt/a");
            nas.mounts[0].server_addr = "host:/a/../b".into();
            c.nas = Some(nas);
        },
        "must not contain '.' or '..'",
    ),
    (
        |c| c.log = Some(LogConfig { project: "x".repeat(64), ..LogConfig::default() }),
        "logConfig.project must have at most 63 characters",
    ),
    (
        |c| c.log = Some(LogConfig { begin_rule: "x".into(), ..LogConfig::default() }),
        "logConfig.logBeginRule must be None or DefaultRegex, got 'x'",
    ),
    (
        |c| c.idle_timeout = Span::from_secs(299),
        "idleTimeout must be between 300 and 3600, got 299",
    ),
    (|c| c.isolation = IsolationMode::Request, "need at least 2 vCPU"),
    (
        |c| drop(c.kept.insert("vpcConfig".into(), "x".repeat(KEPT_BYTES_MAX + 1))),
        "vpcConfig must be at most 65536 bytes",
    ),
];

#[test]
fn each_rule_refuses_in_its_own_words() {
    assert_eq!(config(&good()), Ok(()));
    for (break_it, message) in RULES {
        let mut bad = good();
        break_it(&mut bad);
        let refusal = config(&bad).expect_err(message);
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert!(refusal.message.contains(message), "{:?} lacks {message:?}", refusal.message);
    }
}

#[test]
fn what_upstream_takes_is_taken() {
    let fine: &[fn(&mut FunctionConfig)] = &[
        |c| c.runtime = "python3".into(),
        |c| {
            c.runtime = "custom.debian12".into();
            c.handler = "x".into();
            c.instance_concurrency = 200;
            c.custom_runtime = checked_health(|_| ());
        },
        |c| c.size = Resources { cpu_milli: 50, memory_mb: 128 },
        |c| c.size = Resources { cpu_milli: 16_000, memory_mb: 32_768 },
        |c| c.size = Resources { cpu_milli: 1_000, memory_mb: 1_024 },
        |c| c.size = Resources { cpu_milli: 1_000, memory_mb: 4_096 },
        |c| c.disk_mb = 10_240,
        |c| c.timeout = TIMEOUT_MAX,
        |c| c.nas = Some(mount_at("/mnt/shared")),
        |c| c.nas = Some(mount_at("/codex")),
        |c| c.idle_timeout = Span::from_secs(300),
        |c| drop(c.environment.insert("A_1".into(), "v".into())),
        |c| c.role = "acs:ram::1:role/r".into(),
    ];
    for change in fine {
        let mut one = good();
        change(&mut one);
        assert_eq!(config(&one), Ok(()));
    }
}

#[test]
fn every_half_of_a_size_completes_to_a_good_one() {
    assert_eq!(size_of(None, None), Resources { cpu_milli: 350, memory_mb: 512 });
    assert_eq!(size_of(None, Some(512)), Resources { cpu_milli: 350, memory_mb: 512 });
    for memory_mb in (128..=32_768).step_by(64) {
        assert_eq!(size(size_of(None, Some(memory_mb))), Ok(()), "{memory_mb} MB");
    }
    for cpu_milli in (50..=16_000).step_by(50) {
        assert_eq!(size(size_of(Some(cpu_milli), None)), Ok(()), "{cpu_milli}");
    }
}

#[test]
fn names() {
    for name in ["f", "_f", "a-b_C9"] {
        assert_eq!(function_name(name), Ok(()));
    }
    let long = "x".repeat(129);
    for name in ["", "1f", "-f", "f.g", "f g", "ü", long.as_str()] {
        let refusal = function_name(name).unwrap_err();
        assert!(refusal.message.starts_with("functionName '"), "{refusal}");
    }
    assert!(alias_name(LATEST).is_err());
    assert!(alias_name("12").is_err());
    assert!(alias_name("prod").is_ok());
    assert!(layer_name(&"x".repeat(65)).is_err());
}

#[test]
fn labels() {
    let many: BTreeMap<_, _> = (0..21).map(|n| (n.to_string(), String::new())).collect();
    assert_eq!(tags(&many).unwrap_err().message, "a resource can have at most 20 tags, got 21");
    assert_eq!(tag("k", "v"), Ok(()));
    let (long_key, long_value) = ("k".repeat(65), "v".repeat(129));
    for (key, value) in [
        ("", "v"),
        ("aliyun-x", "v"),
        ("acs:x", "v"),
        ("http://x", "v"),
        ("k", "see https://x"),
        (long_key.as_str(), "v"),
        ("k", long_value.as_str()),
    ] {
        assert!(tag(key, value).is_err(), "{key} {value}");
    }
}

#[test]
fn async_configs() {
    assert_eq!(async_config(&AsyncConfig::default(), false), Ok(()));
    let retries = |count| AsyncConfig {
        retry: RetryPolicy { retries_max: count, ..RetryPolicy::default() },
        ..AsyncConfig::default()
    };
    let refusal = async_config(&retries(9), false).unwrap_err();
    assert_eq!(refusal.message, "maxAsyncRetryAttempts must be between 0 and 8, got 9");
    assert_eq!(async_config(&retries(9), true), Ok(()));
    for age in [Span::ZERO, Span::from_secs(604_801)] {
        let config = AsyncConfig { age_max: age, ..AsyncConfig::default() };
        let refusal = async_config(&config, false).unwrap_err();
        assert!(
            refusal.message.starts_with("maxAsyncEventAgeInSeconds must be between 1 and 604800")
        );
    }
    let mut config = AsyncConfig::default();
    config.retry.backoff_base = Span::from_secs(61);
    assert!(async_config(&config, true).is_err(), "base over cap");
}

#[test]
fn native_limits() {
    assert_eq!(limits(&FunctionLimits::default()), Ok(()));
    let zero = Some(Rate { milli_per_second: 0, burst: 1 });
    assert!(limits(&FunctionLimits { rate: zero, ..FunctionLimits::default() }).is_err());
    let no_burst = Some(Rate { milli_per_second: 5, burst: 0 });
    assert!(limits(&FunctionLimits { key_rate: no_burst, ..FunctionLimits::default() }).is_err());
    assert!(limits(&FunctionLimits { weight: Some(0), ..FunctionLimits::default() }).is_err());
}
