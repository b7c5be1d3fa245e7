//! What a function becomes, case by case.

use stint_model::function::{CodePackage, NasMount};
use stint_model::id::{FunctionId, RevisionId};
use stint_model::image::PinnedImage;
use stint_model::time::Timestamp;

use super::*;

fn made(revision: u64, code: Option<u8>) -> Made {
    let package = |byte| CodePackage {
        blob: format!("code/{byte}"),
        size: 1,
        crc64: u64::from(byte),
        sha256: [byte; 32],
    };
    Made {
        account: AccountId::ROOT,
        function: FunctionId::from_number(1),
        revision: RevisionId::from_number(revision),
        code: code.map(package),
        password: None,
        now: Timestamp::from_millis(i64::try_from(revision).unwrap()),
    }
}

fn said(runtime: &str) -> FunctionPatch {
    FunctionPatch {
        runtime: Some(runtime.into()),
        handler: Some("index.handler".into()),
        ..FunctionPatch::default()
    }
}

fn create(config: FunctionPatch) -> Result<Function, Refusal> {
    let input = FunctionCreate { name: "f".into(), config, ..FunctionCreate::default() };
    decide_create(&input, &made(1, Some(1)), true)
}

fn update(function: &Function, change: FunctionPatch) -> Function {
    decide_update(function, &change, &made(2, None)).unwrap()
}

#[test]
fn a_new_function_has_upstreams_defaults() {
    let function = create(said("python3.10")).unwrap();
    let config = &function.head.config;
    assert_eq!((config.size.cpu_milli, config.size.memory_mb, config.disk_mb), (350, 512, 512));
    assert_eq!((config.timeout.secs(), config.instance_concurrency), (3, 1));
    assert!(config.internet_access);
    assert_eq!(function.head.code.as_ref().unwrap().crc64, 1);
}

#[test]
fn what_is_required_is_asked_for() {
    let missing = |config| create(config).unwrap_err().message;
    assert_eq!(missing(FunctionPatch::default()), "runtime is required");
    let no_handler = FunctionPatch { handler: None, ..said("python3.10") };
    assert_eq!(missing(no_handler), "handler is required");
    let input = FunctionCreate {
        name: "f".into(),
        config: said("python3.10"),
        ..FunctionCreate::default()
    };
    let refusal = decide_create(&input, &made(1, None), false).unwrap_err();
    assert!(refusal.message.contains("Either ossBucketName/ossObjectName or zipFile must be set"));
    let refusal = create(said("micro-sandbox")).unwrap_err();
    assert_eq!(refusal.code, Code::NotImplemented);
    let refusal = create(said("custom-container")).unwrap_err();
    assert!(refusal.message.contains("customContainerConfig.image is required"), "{refusal}");
}

fn container(image: &str) -> FunctionPatch {
    let custom = CustomContainer { image: image.into(), ..CustomContainer::default() };
    FunctionPatch { custom_container: Some(custom), ..said("custom-container") }
}

fn create_container(image: &str) -> Result<Function, Refusal> {
    let config = container(image);
    let input = FunctionCreate { name: "f".into(), config, ..FunctionCreate::default() };
    decide_create(&input, &made(1, None), false)
}

fn active(mut function: Function, digest: &str) -> Function {
    let mut head = Revision::clone(&function.head);
    let pinned = PinnedImage { digest: digest.into(), uri: format!("r@{digest}") };
    head.config.custom_container.as_mut().unwrap().pinned = Some(pinned);
    function.head = Arc::new(head);
    function.readiness = Readiness::Active;
    function
}

#[test]
fn an_image_needs_no_code_unless_it_is_the_code() {
    let function = create_container("r.io/a:v1").unwrap();
    assert_eq!(function.readiness, Readiness::Pending);
    assert_eq!(function.head.config.server_port(), 9000);
    assert!(ready(&function).unwrap_err().message.contains("Pending"));
    assert!(create_container("code").unwrap_err().message.contains("zipFile must be set"));
    assert!(create_container("Not A Reference").is_err());
}

#[test]
fn an_update_of_an_image_waits_beside_the_head() {
    let function = active(create_container("r.io/a:v1").unwrap(), "sha256:a");
    let next = update(&function, container("r.io/a:v2"));
    assert_eq!(next.head, function.head, "the old one serves");
    assert_eq!(next.wanted().config.custom_container.as_ref().unwrap().image, "r.io/a:v2");
    assert_eq!(next.fetching().unwrap().id, RevisionId::from_number(2));
    // The same again asks again what the tag means.
    let same = update(&function, container("r.io/a:v1"));
    assert!(same.fetching().is_some());
    // Another update before the first is in force goes on from it.
    let memory_mb = Some(1_024);
    let then = FunctionPatch { memory_mb, ..FunctionPatch::default() };
    let third = decide_update(&next, &then, &made(3, None)).unwrap();
    let wanted = &third.wanted().config;
    assert_eq!(wanted.custom_container.as_ref().unwrap().image, "r.io/a:v2");
    assert_eq!((wanted.size.memory_mb, third.fetching().unwrap().id.number()), (1_024, 3));
    // What is not about running needs no image.
    let description = Some("d".to_owned());
    let told = update(&function, FunctionPatch { description, ..FunctionPatch::default() });
    assert!(told.fetching().is_none());
    assert_eq!(told.head.id, function.head.id);
}

#[test]
fn a_failed_function_is_pending_after_any_update() {
    let kind = stint_model::image::ImageFaultKind::NotFound;
    let fault = stint_model::image::ImageFault { kind, reason: "gone".into() };
    let mut function = active(create_container("r.io/a:v1").unwrap(), "sha256:a");
    function.readiness = Readiness::Failed(fault);
    assert!(ready(&function).unwrap_err().message.contains("ImageNotFound"));
    let next = update(&function, FunctionPatch::default());
    assert_eq!((&next.readiness, next.head.id.number()), (&Readiness::Pending, 2));
    assert!(next.head.config.custom_container.as_ref().unwrap().pinned.is_none());
}

#[test]
fn a_password_stays_with_its_user() {
    let sealed = SealedSecret { master: 1, nonce: [0; 24], ciphertext: vec![1] };
    let with_user = |user: &str| {
        let mut said = container("r.io/a:v1");
        said.custom_container.as_mut().unwrap().registry.user = user.into();
        said
    };
    let input =
        FunctionCreate { name: "f".into(), config: with_user("me"), ..FunctionCreate::default() };
    let first = Made { password: Some(sealed.clone()), ..made(1, None) };
    let function = decide_create(&input, &first, false).unwrap();
    let password = |function: &Function| {
        function.wanted().config.custom_container.as_ref().unwrap().registry.password.clone()
    };
    assert_eq!(password(&function), Some(sealed.clone()));
    assert_eq!(password(&update(&function, with_user("me"))), Some(sealed));
    assert_eq!(password(&update(&function, with_user("other"))), None);
}

#[test]
fn a_long_timeout_needs_the_native_door() {
    let long = FunctionPatch { timeout: Some(Span::from_secs(86_401)), ..said("python3.10") };
    let refusal = create(long.clone()).unwrap_err();
    assert_eq!(refusal.message, "timeout must be between 1 and 86400, got 86401");
    let function = create(FunctionPatch { native: true, ..long }).unwrap();
    // A later update through the other door that does not speak of it leaves it.
    let memory_mb = Some(1_024);
    let next = update(&function, FunctionPatch { memory_mb, ..FunctionPatch::default() });
    assert_eq!(next.head.config.timeout.secs(), 86_401);
}

#[test]
fn what_is_not_said_stays_and_what_is_empty_goes() {
    let environment = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let mount =
        NasMount { server_addr: "volume:v".into(), mount_dir: "/mnt/v".into(), enable_tls: false };
    let nas = NasConfig { user_id: 1, group_id: 1, mounts: vec![mount] };
    let hook = Hook { handler: "index.init".into(), timeout: Span::ZERO };
    let kept = BTreeMap::from([("vpcConfig".to_owned(), r#"{"vpcId":"v"}"#.to_owned())]);
    let function = create(FunctionPatch {
        environment: Some(environment.clone()),
        nas: Some(nas.clone()),
        initializer: Some(hook),
        log: Some(LogConfig { project: "p".into(), ..LogConfig::default() }),
        kept,
        ..said("python3.10")
    })
    .unwrap();
    assert_eq!(function.head.config.initializer.as_ref().unwrap().timeout, Span::from_secs(3));

    let description = Some("d".to_owned());
    let next = update(&function, FunctionPatch { description, ..FunctionPatch::default() });
    let config = &next.head.config;
    assert_eq!((&config.environment, &config.nas), (&environment, &Some(nas)));
    assert!(config.kept.contains_key("vpcConfig"));

    let vpc = r#"{"vpcId":"","vSwitchIds":[],"securityGroupId":""}"#;
    let cleared = update(
        &next,
        FunctionPatch {
            environment: Some(BTreeMap::new()),
            nas: Some(NasConfig::default()),
            initializer: Some(Hook { handler: String::new(), timeout: Span::ZERO }),
            log: Some(LogConfig { begin_rule: "None".into(), ..LogConfig::default() }),
            kept: BTreeMap::from([("vpcConfig".to_owned(), vpc.to_owned())]),
            ..FunctionPatch::default()
        },
    );
    let config = &cleared.head.config;
    assert!(config.environment.is_empty() && config.kept.is_empty());
    assert_eq!((&config.nas, &config.initializer, &config.log), (&None, &None, &None));
    assert_eq!(config.description, "d");
}

#[test]
fn a_revision_is_new_only_when_what_runs_changed() {
    let function = create(said("python3.10")).unwrap();
    let id = |patch| update(&function, patch).head.id.number();
    let none = FunctionPatch::default;
    assert_eq!(id(none()), 1);
    assert_eq!(id(FunctionPatch { description: Some("d".into()), ..none() }), 1);
    let log = LogConfig { project: "p".into(), ..LogConfig::default() };
    assert_eq!(id(FunctionPatch { log: Some(log), ..none() }), 1);
    assert_eq!(id(FunctionPatch { timeout: Some(Span::from_secs(3)), ..none() }), 1);
    assert_eq!(id(FunctionPatch { timeout: Some(Span::from_secs(4)), ..none() }), 2);
    let environment = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    assert_eq!(id(FunctionPatch { environment: Some(environment), ..none() }), 2);
    // The same zip again is the same code; another is not.
    let again = decide_update(&function, &none(), &made(2, Some(1))).unwrap();
    assert_eq!(again.head.id.number(), 1);
    let other = decide_update(&function, &none(), &made(2, Some(2))).unwrap();
    assert_eq!(other.head.id.number(), 2);
}

#[test]
fn half_a_size_is_completed_on_create_and_checked_on_update() {
    let memory = |mb| FunctionPatch { memory_mb: Some(mb), ..FunctionPatch::default() };
    let function = create(FunctionPatch { memory_mb: Some(2_048), ..said("python3.10") }).unwrap();
    assert_eq!(function.head.config.size.cpu_milli, 1_400);
    let refusal = decide_update(&function, &memory(128), &made(2, None)).unwrap_err();
    assert!(refusal.message.contains("must be between 1:1 and 1:4"), "{refusal}");
}

#[test]
fn kept_settings_are_json_and_known_words() {
    let kept = |name: &str, text: &str| FunctionPatch {
        kept: BTreeMap::from([(name.to_owned(), text.to_owned())]),
        ..said("python3.10")
    };
    assert_eq!(create(kept("vpcConfig", "{")).unwrap_err().message, "vpcConfig is not valid JSON");
    assert!(create(kept("sessionAffinity", r#""STICKY""#)).is_err());
    let function = create(kept("sessionAffinity", r#""MCP_SSE""#)).unwrap();
    let none = kept("sessionAffinity", r#""NONE""#);
    assert!(update(&function, none).head.config.kept.is_empty());
}

#[test]
fn custom_runtimes_listen_on_9000_unless_said() {
    let command = vec!["./server".to_owned()];
    let custom = CustomRuntime { command, ..CustomRuntime::default() };
    let function =
        create(FunctionPatch { custom_runtime: Some(custom), ..said("custom.debian12") }).unwrap();
    assert_eq!(function.head.config.custom_runtime.as_ref().unwrap().port, 9000);
    let empty = Some(CustomRuntime::default());
    let next =
        update(&function, FunctionPatch { custom_runtime: empty, ..FunctionPatch::default() });
    assert_eq!(next.head.config.custom_runtime, None);
}

#[test]
fn numbers_of_the_wire_in_thousandths() {
    for (number, expected) in [
        (0.35, Some(350)),
        (0.05, Some(50)),
        (16.0, Some(16_000)),
        (0.1 + 0.2, Some(300)),
        (1.0, Some(1_000)),
        (0.3555, None),
        (-0.5, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (1e12, None),
    ] {
        assert_eq!(milli(number), expected, "{number}");
    }
}

#[test]
fn a_listing_filters_by_what_is_asked() {
    let mut function = create(said("python3.10")).unwrap();
    function.tags = BTreeMap::from([("team".to_owned(), "media".to_owned())]);
    let wants = |query: FunctionQuery| query.wants(&function);
    let tag = |key: &str, value: Option<&str>| FunctionQuery {
        tags: vec![(key.to_owned(), value.map(str::to_owned))],
        ..FunctionQuery::default()
    };
    assert!(wants(FunctionQuery::default()));
    assert!(wants(tag("team", None)) && wants(tag("team", Some("media"))));
    assert!(!wants(tag("team", Some("etl"))) && !wants(tag("owner", None)));
    let runtime = Some("nodejs20".to_owned());
    assert!(!wants(FunctionQuery { runtime, ..FunctionQuery::default() }));
}
