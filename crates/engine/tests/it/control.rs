//! The control plane over the real shard loop: what a verb says is in the book, in the catalog and
//! in the audit trail.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use bytes::Bytes;
use stint_engine::control::Listing;
use stint_engine::control::aliases::{AliasCreate, AliasPatch};
use stint_engine::control::async_configs::AsyncConfigPatch;
use stint_engine::control::audit::AuditQuery;
use stint_engine::control::code::{CodeInput, CodeSource};
use stint_engine::control::functions::{
    FunctionCreate, FunctionPatch, FunctionQuery, FunctionUpdate, FunctionView,
};
use stint_engine::control::tags::{TagQuery, TagsGone};
use stint_engine::control::versions::Direction;
use stint_engine::{Catalog, Engine, EngineError, FunctionRef, Invoke, Submit, TaskOptions};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::function::FunctionLimits;
use stint_model::task::TaskState;
use stint_model::time::Span;
use stint_store::{Blobs, Kind, Store};

use crate::house::{Answer, House, Plan, a_function, caller};

pub(crate) async fn house() -> House {
    House::build(Plan::new(|_| Answer::Ok(b"ok"))).await
}

pub(crate) fn zip_of(text: &str) -> CodeInput {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("index.py", zip::write::SimpleFileOptions::default()).expect("starts");
    writer.write_all(text.as_bytes()).expect("writes");
    let bytes: Bytes = writer.finish().expect("finishes").into_inner().into();
    CodeInput { source: CodeSource::Zip(bytes), checksum: None }
}

pub(crate) fn create(name: &str) -> FunctionCreate {
    FunctionCreate {
        name: name.into(),
        config: FunctionPatch {
            runtime: Some("python3.10".into()),
            handler: Some("index.handler".into()),
            ..FunctionPatch::default()
        },
        code: Some(zip_of("def handler(event, context): return event")),
        ..FunctionCreate::default()
    }
}

fn describe(text: &str) -> FunctionUpdate {
    let config = FunctionPatch { description: Some(text.into()), ..FunctionPatch::default() };
    FunctionUpdate { config, code: None }
}

async fn made(engine: &Engine, name: &str) -> FunctionView {
    engine.function_create(&caller(), create(name)).await.expect("created")
}

async fn blobs_of(house: &House) -> usize {
    house.blobs.list("code/", None, 1_000).await.expect("lists").len()
}

fn code_of<T>(result: Result<T, EngineError>) -> Code {
    result.map(drop).expect_err("should be refused").code()
}

/// What was written is what a fresh start reads.
async fn reloaded(house: &House) -> Catalog {
    Catalog::load(&house.store).await.expect("the book reads")
}

#[tokio::test]
async fn a_function_lives_from_create_to_delete() {
    let house = house().await;
    let engine = &house.engine;
    let view = made(engine, "etl").await;
    assert_eq!(view.qualifier, "LATEST");
    let package = view.revision.code.clone().expect("code");
    assert_eq!(engine.code_read(&package.blob).await.expect("kept").len() as u64, package.size);
    assert_eq!(
        code_of(engine.function_create(&caller(), create("etl")).await),
        Code::FunctionAlreadyExists
    );
    assert_eq!(blobs_of(&house).await, 1, "what was refused left no blob");

    let view = engine.function_update(&caller(), "etl", describe("d")).await.expect("updated");
    assert_eq!(view.revision.config.description, "d");
    assert_eq!(view.revision.code, Some(package.clone()));
    let read = engine.function_get(&caller(), "etl", None).await.expect("read");
    assert_eq!(read, view, "reads see writes");
    let again = reloaded(&house).await;
    assert_eq!(again.function(caller().account, "etl").expect("there").function, view.function);

    engine.function_delete(&caller(), "etl").await.expect("deleted");
    assert_eq!(code_of(engine.function_get(&caller(), "etl", None).await), Code::FunctionNotFound);
    assert_eq!(code_of(engine.function_delete(&caller(), "etl").await), Code::FunctionNotFound);
    assert_eq!(blobs_of(&house).await, 0, "the code went with it");
    let other = made(engine, "etl").await;
    assert_ne!(other.function.id, view.function.id, "another life, another id");
}

#[tokio::test]
async fn bad_code_is_refused_before_anything_is_kept() {
    let house = house().await;
    let me = caller();
    let refused = |code: Option<CodeInput>| {
        house.engine.function_create(&me, FunctionCreate { code, ..create("x") })
    };
    let text = CodeSource::Zip(Bytes::from_static(b"print()"));
    let error = refused(Some(CodeInput { source: text, checksum: None })).await.expect_err("bad");
    assert!(error.to_string().contains("not a valid zip archive"), "{error}");
    let wrong = CodeInput { checksum: Some("1".into()), ..zip_of("x") };
    let error = refused(Some(wrong)).await.expect_err("bad");
    assert!(error.to_string().contains("does not match checksum '1'"), "{error}");
    let source = CodeSource::Object { bucket: "b".into(), object: "o.zip".into() };
    let error = refused(Some(CodeInput { source, checksum: None })).await.expect_err("bad");
    assert!(error.to_string().contains("bucket 'b' is not configured"), "{error}");
    let error = refused(None).await.expect_err("bad");
    assert!(
        error.to_string().contains("Either ossBucketName/ossObjectName or zipFile must be set")
    );
    assert_eq!(blobs_of(&house).await, 0);
}

#[tokio::test]
async fn two_writers_both_get_their_change_in() {
    let house = house().await;
    let engine = &house.engine;
    made(engine, "f1").await;
    let me = caller();
    let limits = FunctionLimits { weight: Some(7), ..FunctionLimits::default() };
    let (a, b, c) = tokio::join!(
        engine.function_update(&me, "f1", describe("d")),
        engine.limits_set(&me, "f1", &limits),
        engine.backlog_pause(&me, "f1"),
    );
    a.expect("update");
    b.expect("limits");
    c.expect("pause");
    let view = engine.function_get(&me, "f1", None).await.expect("read");
    assert_eq!(view.revision.config.description, "d");
    assert_eq!(view.function.limits.weight, Some(7));
    assert!(view.function.paused);
}

#[tokio::test]
async fn functions_are_listed_in_pages() {
    let house = house().await;
    let engine = &house.engine;
    for name in ["l1", "l2", "l3"] {
        made(engine, name).await;
    }
    let listing = Listing { prefix: "l".into(), limit: Some(2), token: None };
    let mut query = FunctionQuery { listing, ..FunctionQuery::default() };
    let mut names = Vec::new();
    loop {
        let page = engine.function_list(&caller(), &query).await.expect("listed");
        assert!(page.items.len() <= 2);
        names.extend(page.items.iter().map(|view| view.function.name.to_string()));
        match page.next {
            Some(next) => query.listing.token = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["l1", "l2", "l3"]);
}

#[tokio::test]
async fn versions_and_aliases_lead_to_what_was_published() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    made(engine, "v").await;
    let first = engine.version_publish(&me, "v", "one").await.expect("published");
    assert_eq!(first.number, 1);
    let error = engine.version_publish(&me, "v", "").await.expect_err("no changes");
    assert_eq!(error.to_string(), "InvalidArgument: no changes since version '1' was published");
    engine.function_update(&me, "v", describe("two")).await.expect("updated");
    engine.version_publish(&me, "v", "two").await.expect("published");

    let input =
        AliasCreate { name: "prod".into(), version_id: "1".into(), ..AliasCreate::default() };
    engine.alias_create(&me, "v", &input).await.expect("created");
    assert_eq!(code_of(engine.alias_create(&me, "v", &input).await), Code::AliasAlreadyExists);
    let described = |view: FunctionView| view.revision.config.description.clone();
    let at = async |q| described(engine.function_get(&me, "v", Some(q)).await.expect("read"));
    assert_eq!((at("prod").await, at("2").await), (String::new(), "two".to_owned()));
    let patch = AliasPatch { version_id: Some("2".into()), ..AliasPatch::default() };
    engine.alias_update(&me, "v", "prod", &patch).await.expect("moved");
    assert_eq!(at("prod").await, "two");

    let listing = Listing { limit: Some(1), ..Listing::default() };
    let page = engine.version_list(&me, "v", Direction::Backward, &listing).await.expect("listed");
    assert_eq!(page.items[0].number, 2);
    let next = Listing { token: page.next, ..listing };
    let page = engine.version_list(&me, "v", Direction::Backward, &next).await.expect("listed");
    assert_eq!((page.items[0].number, page.next), (1, None));

    engine.version_delete(&me, "v", "2").await.expect("deleted");
    assert_eq!(code_of(engine.version_delete(&me, "v", "2").await), Code::VersionNotFound);
    assert_eq!(code_of(engine.version_delete(&me, "v", "LATEST").await), Code::InvalidArgument);
    let gone = engine.function_get(&me, "v", Some("prod")).await;
    assert_eq!(code_of(gone), Code::VersionNotFound);
    engine.function_update(&me, "v", describe("three")).await.expect("updated");
    let third = engine.version_publish(&me, "v", "").await.expect("published");
    assert_eq!(third.number, 3, "numbers are never used twice");
    engine.alias_delete(&me, "v", "prod").await.expect("deleted");
    assert_eq!(code_of(engine.alias_get(&me, "v", "prod").await), Code::AliasNotFound);
}

#[tokio::test]
async fn deleting_a_function_takes_everything_bound_to_it() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    made(engine, "d").await;
    made(engine, "d-other").await;
    for name in ["d", "d-other"] {
        engine.version_publish(&me, name, "").await.expect("published");
        let input =
            AliasCreate { name: "a".into(), version_id: "1".into(), ..AliasCreate::default() };
        engine.alias_create(&me, name, &input).await.expect("created");
        let patch = AsyncConfigPatch { task_mode: Some(true), ..AsyncConfigPatch::default() };
        engine.async_config_put(&me, name, Some("a"), &patch).await.expect("put");
    }
    engine.function_delete(&me, "d").await.expect("deleted");
    for kind in [Kind::Version, Kind::Alias, Kind::AsyncConfig] {
        let prefix = format!("{}/d", me.account);
        let page = house.store.record_list(kind, &prefix, None, 100).await.expect("listed");
        let names: Vec<_> = page.items.iter().map(|record| record.key.name.as_str()).collect();
        assert!(names.iter().all(|name| name.contains("/d-other/")), "{names:?}");
        assert_eq!(names.len(), 1, "{kind:?}");
    }
    assert_eq!(
        reloaded(&house).await.function(me.account, "d-other").expect("there").versions.len(),
        1
    );
    // Another life starts with nothing of the old one.
    made(engine, "d").await;
    let entry = engine.catalog().function(me.account, "d").expect("there");
    assert!(entry.versions.is_empty() && entry.aliases.is_empty());
}

#[tokio::test]
async fn async_configs_merge_and_go() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    made(engine, "a").await;
    let get = async || engine.async_config_get(&me, "a", None).await;
    assert_eq!(code_of(get().await), Code::AsyncConfigNotExists);
    let patch = AsyncConfigPatch { task_mode: Some(true), ..AsyncConfigPatch::default() };
    let view = engine.async_config_put(&me, "a", None, &patch).await.expect("put");
    assert_eq!((view.qualifier.as_str(), view.config.retry.retries_max), ("LATEST", 3));
    let patch = AsyncConfigPatch { retries_max: Some(0), ..AsyncConfigPatch::default() };
    engine.async_config_put(&me, "a", Some("LATEST"), &patch).await.expect("put");
    let config = get().await.expect("there").config;
    assert!(config.task_mode && config.retry.retries_max == 0);
    let unknown = engine.async_config_put(&me, "a", Some("nope"), &patch).await;
    assert_eq!(code_of(unknown), Code::AliasNotFound);
    let page = engine.async_config_list(&me, None, &Listing::default()).await.expect("listed");
    let names: Vec<_> = page.items.iter().map(|view| view.function.to_string()).collect();
    assert_eq!(names, ["a", "f", "g"]);
    engine.async_config_delete(&me, "a", None).await.expect("deleted");
    assert_eq!(code_of(get().await), Code::AsyncConfigNotExists);
    assert_eq!(
        code_of(engine.async_config_delete(&me, "a", None).await),
        Code::AsyncConfigNotExists
    );
}

#[tokio::test]
async fn reserved_instances_stay_under_ninety_percent() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    engine.concurrency_put(&me, "f", 200).await.expect("put");
    let error = engine.concurrency_put(&me, "g", 71).await.expect_err("too many");
    assert!(error.to_string().contains("(270)"), "{error}");
    engine.concurrency_put(&me, "g", 70).await.expect("put");
    // A function's own reservation does not count against itself.
    engine.concurrency_put(&me, "f", 150).await.expect("put");
    assert_eq!(engine.concurrency_get(&me, "f").await.expect("there"), 150);
    let page = engine.concurrency_list(&me, None, &Listing::default()).await.expect("listed");
    assert_eq!(page.items, [("f".into(), 150), ("g".into(), 70)]);
    engine.concurrency_delete(&me, "f").await.expect("deleted");
    assert_eq!(code_of(engine.concurrency_get(&me, "f").await), Code::ConcurrencyConfigNotFound);
    assert_eq!(code_of(engine.concurrency_delete(&me, "f").await), Code::ConcurrencyConfigNotFound);
}

#[tokio::test]
async fn a_paused_backlog_waits_and_a_disabled_function_refuses() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    engine.backlog_pause(&me, "f").await.expect("paused");
    let task = house.submit("f", TaskOptions::default()).await;
    engine.invocation_disable(&me, "g", "maintenance").await.expect("disabled");
    let submit = Submit { payload: Bytes::new(), options: TaskOptions::default() };
    let refused = engine.submit(&me, &FunctionRef::latest("g"), submit.clone()).await;
    assert_eq!(code_of(refused), Code::InvocationDisabled);
    let view = engine.function_get(&me, "g", None).await.expect("read");
    assert_eq!(view.function.disabled.as_ref().expect("disabled").reason, "maintenance");
    assert!(house.started().is_empty(), "paused");

    engine.invocation_enable(&me, "g").await.expect("enabled");
    engine.submit(&me, &FunctionRef::latest("g"), submit).await.expect("accepted");
    engine.backlog_resume(&me, "f").await.expect("resumed");
    house.ended(&task).await;
}

#[tokio::test]
async fn a_schema_is_checked_when_set_and_holds_at_submit() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    let limits = |schema: &str| FunctionLimits {
        payload_schema: Some(schema.into()),
        ..FunctionLimits::default()
    };
    assert_eq!(code_of(engine.limits_set(&me, "f", &limits("{")).await), Code::InvalidArgument);
    let bad = limits(r#"{"type":"nothing"}"#);
    assert_eq!(code_of(engine.limits_set(&me, "f", &bad).await), Code::InvalidArgument);
    let good = limits(r#"{"type":"object","required":["url"]}"#);
    engine.limits_set(&me, "f", &good).await.expect("set");
    assert_eq!(engine.limits_get(&me, "f").await.expect("read"), good);
    let submit = Submit { payload: Bytes::from_static(b"{}"), options: TaskOptions::default() };
    let refused = engine.submit(&me, &FunctionRef::latest("f"), submit).await;
    assert_eq!(code_of(refused), Code::PayloadSchemaMismatch);
}

#[tokio::test]
async fn labels_are_put_listed_and_taken_off() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    let arn = format!("acs:fc:local:{}:functions/f", me.account);
    let tags = BTreeMap::from([("team".to_owned(), "media".to_owned())]);
    engine.tags_put(&me, "FUNCTION", &[arn, "g".into()], &tags).await.expect("put");
    let query = TagQuery { resource_type: "function".into(), ..TagQuery::default() };
    let rows = async |query: &TagQuery| engine.tags_list(&me, query).await.expect("listed").items;
    assert_eq!(rows(&query).await.len(), 2);
    let one = TagQuery { resources: vec!["f".into()], ..query.clone() };
    assert_eq!(&*rows(&one).await[0].function, "f");
    let missing = engine.tags_put(&me, "function", &["f".into(), "nope".into()], &tags).await;
    assert_eq!(code_of(missing), Code::FunctionNotFound);
    let keys = TagsGone::Keys(vec!["team".into()]);
    engine.tags_remove(&me, "function", &["f".into()], &keys).await.expect("removed");
    engine.tags_remove(&me, "function", &["g".into()], &TagsGone::All).await.expect("removed");
    assert!(rows(&query).await.is_empty());
    let old = engine.resource_group_change(&me, "f", "rg-1").await.expect("moved");
    assert_eq!(old, "");
    assert_eq!(engine.resource_group_change(&me, "f", "").await.expect("moved"), "rg-1");
}

#[tokio::test]
async fn every_change_is_in_the_audit_trail_newest_first() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    made(engine, "au").await;
    house.clock.sleep(Span::from_millis(2)).await;
    engine.function_update(&me, "au", describe("d")).await.expect("updated");
    house.clock.sleep(Span::from_millis(2)).await;
    engine.function_delete(&me, "au").await.expect("deleted");
    let listing = Listing { limit: Some(2), ..Listing::default() };
    let mut query = AuditQuery { listing, ..AuditQuery::default() };
    let first = engine.audit_list(&me, &query).await.expect("listed");
    let actions = |items: &[stint_store::record::audit::AuditEntry]| -> Vec<String> {
        items.iter().map(|entry| format!("{} {}", entry.action, entry.resource)).collect()
    };
    assert_eq!(
        actions(&first.items),
        ["fc:DeleteFunction functions/au", "fc:UpdateFunction functions/au"]
    );
    assert_eq!((first.items[0].key_id.as_str(), first.items[0].role.as_str()), ("test", "admin"));
    query.listing.token = first.next;
    let rest = engine.audit_list(&me, &query).await.expect("listed");
    assert_eq!(actions(&rest.items), ["fc:CreateFunction functions/au"]);
    assert_eq!(rest.next, None);
    // Refusals change nothing and leave no entry.
    assert!(engine.function_delete(&me, "au").await.is_err());
    let until = Some(first.items[1].at);
    let before = AuditQuery { until, listing: Listing::default(), account: None };
    let page = engine.audit_list(&me, &before).await.expect("listed");
    assert_eq!(page.items.len(), 2, "at or before the update");
}

#[tokio::test]
async fn disabling_at_once_stops_what_runs_and_leaves_what_waits() {
    let mut plan = Plan::new(|_| Answer::Hang);
    let limits = FunctionLimits { concurrency_max: Some(1), ..FunctionLimits::default() };
    plan.functions[0].0 = a_function("f", 1, limits);
    let house = House::build(plan).await;
    let running = house.submit("f", TaskOptions::default()).await;
    house.until("it runs", async |house| house.started().len() == 1).await;
    let waiting = house.submit("f", TaskOptions::default()).await;
    house.engine.invocation_disable_now(&caller(), "f", "stop").await.expect("disabled");
    assert_eq!(house.ended(&running).await.state(), TaskState::Stopped);
    assert!(house.get(&waiting).await.state().is_waiting());
}

#[tokio::test]
async fn disabling_at_once_tells_those_who_wait_for_a_call() {
    let house = House::build(Plan::new(|_| Answer::Hang)).await;
    let me = caller();
    let (function, invoke) = (FunctionRef::latest("f"), Invoke::default());
    let call = house.engine.invoke(&me, &function, invoke);
    let disable = async {
        house.until("it runs", async |house| house.started().len() == 1).await;
        house.engine.invocation_disable_now(&me, "f", "broken").await.expect("disabled")
    };
    let (called, _) = tokio::join!(call, disable);
    let EngineError::Refused(refusal) = called.expect_err("ended") else { panic!("refused") };
    assert_eq!(refusal.code, Code::InvocationDisabled);
    assert_eq!(refusal.message, "invocation of function 'f' is disabled: broken");
    house.engine.invocation_enable(&me, "f").await.expect("enabled");
}

#[tokio::test]
async fn an_entry_says_which_request_it_was() {
    let house = house().await;
    let me = Caller { request_id: Some("1-2-3".into()), ..caller() };
    house.engine.function_update(&me, "f", describe("d")).await.expect("updated");
    let page = house.engine.audit_list(&me, &AuditQuery::default()).await.expect("listed");
    assert_eq!(page.items[0].request_id.as_deref(), Some("1-2-3"));
}

/// Every verb's future can be held by a server's task.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn check(engine: &Engine) {
        let me = caller();
        is_send(engine.function_create(&me, create("s")));
        is_send(engine.function_update(&me, "s", describe("")));
        is_send(engine.function_delete(&me, "s"));
        is_send(engine.version_publish(&me, "s", ""));
        is_send(engine.tags_put(&me, "function", &[], &BTreeMap::new()));
        is_send(engine.key_rotate(&me, "k"));
        is_send(engine.master_rotate(&me));
        is_send(engine.bootstrap(None));
        is_send(engine.issue_for_function(me.account, "s"));
    }
    let _: fn(&Engine) = check;
}
