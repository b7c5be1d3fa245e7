//! Every control noun survives its stored form, and yesterday's bytes still read.

use stint_model::access::{Role, Scope};
use stint_model::account::{AccessKey, Account, AccountLimits, KeyKind, SealedSecret, TokenHash};
use stint_model::function::*;
use stint_model::id::RevisionId;
use stint_model::image::{ImageFault, ImageFaultKind, PinnedImage};
use stint_model::limit::{Rate, Resources};
use stint_model::time::{Span, Timestamp};

use super::*;
use crate::record::{access_key, account, alias, async_config, audit, layer, version};

fn health() -> HealthCheck {
    HealthCheck {
        path: "/health".into(),
        initial_delay: Span::from_secs(1),
        period: Span::from_secs(3),
        timeout: Span::from_secs(1),
        failure_threshold: 3,
        success_threshold: 1,
    }
}

fn package() -> CodePackage {
    CodePackage {
        blob: "code/1/a".into(),
        size: 312,
        crc64: 5_697_641_582_914_695_457,
        sha256: [0xab; 32],
    }
}

fn config() -> FunctionConfig {
    FunctionConfig {
        description: "d".into(),
        runtime: "custom.debian12".into(),
        handler: "index.handler".into(),
        size: Resources { cpu_milli: 350, memory_mb: 512 },
        disk_mb: 512,
        timeout: Span::from_secs(60),
        instance_concurrency: 20,
        environment: [("A".to_owned(), "1".to_owned())].into(),
        layers: vec!["acs:fc:local:1:layers/l/versions/1".into()],
        custom_runtime: Some(CustomRuntime {
            command: vec!["./run".into()],
            args: vec!["-v".into()],
            port: 9000,
            health_check: Some(health()),
        }),
        custom_container: Some(CustomContainer {
            image: "i".into(),
            entrypoint: vec![],
            command: vec!["c".into()],
            port: 80,
            health_check: None,
            raw: "{}".into(),
            registry: RegistryConfig {
                user: "u".into(),
                password: Some(SealedSecret {
                    master: 1,
                    nonce: [7; 24],
                    ciphertext: vec![1, 2, 3],
                }),
                insecure: true,
                root_ca_base64: "Y2E=".into(),
            },
            pinned: Some(PinnedImage { digest: "sha256:1".into(), uri: "r/i@sha256:1".into() }),
        }),
        custom_dns: Some(CustomDns {
            name_servers: vec!["1.1.1.1".into()],
            searches: vec!["local".into()],
            options: vec![("ndots".into(), "1".into())],
        }),
        internet_access: false,
        role: "acs:ram::1:role/r".into(),
        initializer: Some(Hook { handler: "i".into(), timeout: Span::from_secs(10) }),
        pre_stop: Some(Hook { handler: "p".into(), timeout: Span::from_secs(3) }),
        nas: Some(NasConfig {
            user_id: 1000,
            group_id: 1001,
            mounts: vec![NasMount {
                server_addr: "volume:v".into(),
                mount_dir: "/mnt/v".into(),
                enable_tls: false,
            }],
        }),
        log: Some(LogConfig { project: "p".into(), ..LogConfig::default() }),
        idle_timeout: Span::from_secs(300),
        disable_ondemand: true,
        inject: InjectCredentials::NotEnv,
        isolation: IsolationMode::Request,
        kept: [("vpcConfig".to_owned(), "{}".to_owned())].into(),
    }
}

fn revision() -> Arc<Revision> {
    Arc::new(Revision {
        id: RevisionId::from_number(77),
        config: config(),
        code: Some(package()),
        created_at: Timestamp::from_millis(5),
    })
}

#[test]
fn a_function_with_everything_reads_back() {
    let function = Function {
        id: FunctionId::from_number(u64::MAX >> 1),
        account: AccountId::ROOT,
        name: "f".into(),
        head: revision(),
        readiness: Readiness::Pending,
        update: Some(HeadUpdate {
            revision: revision(),
            failed: Some(ImageFault { kind: ImageFaultKind::NotFound, reason: "gone".into() }),
        }),
        created_at: Timestamp::from_millis(1),
        modified_at: Timestamp::from_millis(2),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        resource_group: "rg".into(),
        version_newest: 9,
        disabled: Some(Disabled { reason: "r".into(), at: Timestamp::from_millis(3) }),
        paused: true,
        instances_max: Some(0),
        limits: FunctionLimits {
            concurrency_max: Some(4),
            rate: Some(Rate { milli_per_second: 500, burst: 1 }),
            weight: Some(7),
            key_concurrency_max: Some(1),
            key_rate: Some(Rate { milli_per_second: 1, burst: 2 }),
            payload_schema: Some("{}".into()),
            strict_start: true,
        },
    };
    assert_eq!(*decode(&encode(&function)).unwrap(), function);
    assert_eq!(key(function.account, "f").name, "1000000000000001/f");
}

#[test]
fn versions_aliases_and_async_configs_read_back() {
    let one = Version {
        number: 3,
        description: "v".into(),
        created_at: Timestamp::from_millis(4),
        revision: revision(),
    };
    assert_eq!(*version::decode(&version::encode(&one)).unwrap(), one);
    let one = Alias {
        name: "prod".into(),
        version: 3,
        canary: Some((2, 250_000)),
        description: String::new(),
        created_at: Timestamp::ZERO,
        modified_at: Timestamp::MAX,
    };
    assert_eq!(*alias::decode(&alias::encode(&one)).unwrap(), one);
    let one = AsyncConfig {
        task_mode: true,
        on_success: "acs:fc:::functions/g".into(),
        retry: RetryPolicy { final_errors: vec!["Bad".into()], ..RetryPolicy::default() },
        ..AsyncConfig::default()
    };
    assert_eq!(*async_config::decode(&async_config::encode(&one)).unwrap(), one);
}

#[test]
fn layers_and_their_counter_read_back() {
    let one = layer::LayerRecord::Version(Arc::new(LayerVersion {
        account: AccountId::ROOT,
        layer: "l".into(),
        version: 2,
        code: package(),
        compatible_runtimes: vec!["python3.10".into()],
        description: "d".into(),
        license: "MIT".into(),
        public: true,
        created_at: Timestamp::from_millis(8),
    }));
    assert_eq!(layer::decode(&layer::encode(&one)).unwrap(), one);
    let one = layer::LayerRecord::Counter { newest: 12, public: false };
    assert_eq!(layer::decode(&layer::encode(&one)).unwrap(), one);
    let (counter, first) =
        (layer::key(AccountId::ROOT, "l", 0), layer::key(AccountId::ROOT, "l", 1));
    assert!(counter < first, "the counter is listed before the versions");
}

#[test]
fn accounts_keys_and_audit_entries_read_back() {
    let one = Account {
        id: AccountId::ROOT,
        name: "root".into(),
        display: "Root".into(),
        created_at: Timestamp::from_millis(1),
        modified_at: Timestamp::from_millis(1),
        disabled: Some(Timestamp::from_millis(9)),
        limits: AccountLimits { tasks_queued_max: Some(5), ..AccountLimits::default() },
    };
    assert_eq!(*account::decode(&account::encode(&one)).unwrap(), one);
    let secret = SealedSecret { master: 2, nonce: [3; 24], ciphertext: vec![1, 2, 3] };
    let kinds = [
        KeyKind::Permanent { secret: secret.clone() },
        KeyKind::Temporary {
            secret,
            session_token: TokenHash([4; 32]),
            expires_at: Timestamp::from_millis(7),
        },
        KeyKind::Token { token: TokenHash([5; 32]), expires_at: None },
    ];
    for kind in kinds {
        let one = AccessKey {
            id: "STINTk".into(),
            account: AccountId::ROOT,
            role: Role::Viewer,
            scope: Scope { functions: vec!["a*".to_owned()].into() },
            kind,
            disabled: None,
            created_at: Timestamp::from_millis(1),
            rotated_at: Some(Timestamp::from_millis(2)),
            description: "d".into(),
            issued_by: "root".into(),
        };
        assert_eq!(*access_key::decode(&access_key::encode(&one)).unwrap(), one);
    }
    let one = audit::AuditEntry {
        account: AccountId::ROOT,
        at: Timestamp::from_millis(1),
        key_id: "k".into(),
        role: "admin".into(),
        action: "fc:CreateFunction".into(),
        resource: "functions/f".into(),
        request_id: Some("1-0".into()),
        detail: String::new(),
    };
    assert_eq!(audit::decode(&audit::encode(&one)).unwrap(), one);
    let at = |millis| audit::key(AccountId::ROOT, Timestamp::from_millis(millis), "x");
    assert!(at(2) < at(1), "newer entries come first");
    let cursor = audit::cursor_at(AccountId::ROOT, Timestamp::from_millis(1));
    assert!(at(2).name < cursor && cursor < at(1).name);
}

#[test]
fn the_first_form_still_reads() {
    let body = br#"{"form":"1","id":7,"account":1000000000000001,"name":"f","head":{"id":8,
        "created_us":1,"config":{"description":"","runtime":"python3.10","handler":"index.handler",
        "cpu_milli":350,"memory_mb":512,"disk_mb":512,"timeout_us":3000000,
        "instance_concurrency":1,"internet_access":true,"idle_timeout_us":0,
        "disable_ondemand":false,"inject":"everywhere","isolation":"share"}},"created_us":1,
        "modified_us":2,"version_newest":0}"#;
    let function = decode(body).unwrap();
    assert_eq!((&*function.name, function.head.config.size.memory_mb), ("f", 512));
}

#[test]
fn what_is_not_ours_is_corrupt_not_a_panic() {
    for body in [&b"{}"[..], b"", b"{\"form\":\"99\"}", b"[1]"] {
        assert!(matches!(decode(body), Err(StoreError::Corrupt { .. })));
        assert!(matches!(access_key::decode(body), Err(StoreError::Corrupt { .. })));
    }
}
