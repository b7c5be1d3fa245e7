//! Container functions over the real shard loop, with a node that answers by what an image is called.

use bytes::Bytes;
use stint_engine::control::functions::{FunctionCreate, FunctionPatch, FunctionUpdate};
use stint_engine::secret::SecretText;
use stint_engine::{AnswerBody, FunctionRef, Invoke};
use stint_model::code::Code;
use stint_model::function::{CustomContainer, Function, Readiness, RegistryConfig};
use stint_store::record::function;
use stint_store::{Key, Kind, Store};

use crate::control::house;
use crate::house::{Answer, House, Plan, ROOT, caller};

fn container(image: &str) -> FunctionPatch {
    let custom = CustomContainer { image: image.into(), ..CustomContainer::default() };
    FunctionPatch { custom_container: Some(custom), ..FunctionPatch::default() }
}

fn create(image: &str) -> FunctionCreate {
    let config = FunctionPatch {
        runtime: Some("custom-container".into()),
        handler: Some("x".into()),
        ..container(image)
    };
    FunctionCreate { name: "boxed".into(), config, ..FunctionCreate::default() }
}

fn now(house: &House) -> std::sync::Arc<Function> {
    let entry = house.engine.catalog().function(ROOT, "boxed").expect("it is there");
    std::sync::Arc::clone(&entry.function)
}

async fn settled(house: &House) -> std::sync::Arc<Function> {
    house.until("its image is settled", async |house| now(house).fetching().is_none()).await;
    now(house)
}

async fn call(house: &House) -> Result<Bytes, Code> {
    let invoke = Invoke { payload: Bytes::from_static(b"x"), ..Invoke::default() };
    let answer = house.engine.invoke(&caller(), &FunctionRef::latest("boxed"), invoke).await;
    match answer.map_err(|error| error.code())?.body {
        AnswerBody::Whole(ended) => Ok(ended.body),
        AnswerBody::Stream(..) => panic!("whole"),
    }
}

fn digest(function: &Function) -> &str {
    let container = function.head.config.custom_container.as_ref().expect("a container");
    &container.pinned.as_ref().expect("resolved").digest
}

#[tokio::test]
async fn an_image_becomes_active_and_an_update_that_fails_changes_nothing() {
    let house = House::build(Plan::new(|start| match &start.spec.image {
        Some(image) if image.pinned.is_some() => Answer::Ok(b"pinned"),
        Some(_) | None => Answer::Fail("Unresolved"),
    }))
    .await;
    let engine = &house.engine;
    engine.function_create(&caller(), create("r.io/a:v1")).await.expect("created");
    let active = settled(&house).await;
    assert_eq!((&active.readiness, digest(&active)), (&Readiness::Active, "sha256:r.io/a:v1"));
    assert_eq!(call(&house).await.expect("served"), "pinned");
    let update = |image: &str| FunctionUpdate { config: container(image), code: None };
    engine.function_update(&caller(), "boxed", update("r.io/a:absent")).await.expect("taken");
    let failed = settled(&house).await;
    assert_eq!(failed.head, active.head);
    assert!(failed.update.as_ref().is_some_and(|update| update.failed.is_some()));
    assert_eq!(call(&house).await.expect("served"), "pinned");
    engine.function_update(&caller(), "boxed", update("r.io/a:v2")).await.expect("taken");
    let updated = settled(&house).await;
    assert_eq!(digest(&updated), "sha256:r.io/a:v2");
    assert_eq!(call(&house).await.expect("served"), "pinned");
}

#[tokio::test]
async fn what_has_no_image_is_refused_at_the_door_and_over_a_restart() {
    let house = house().await;
    house.engine.function_create(&caller(), create("r.io/a:never")).await.expect("created");
    assert_eq!(call(&house).await, Err(Code::FunctionNotReady));
    let publish = house.engine.version_publish(&caller(), "boxed", "").await;
    assert_eq!(publish.expect_err("not yet").code(), Code::FunctionNotReady);
    let book = house.crash();
    let house = House::open(book, Plan::new(|_| Answer::Ok(b"ok"))).await;
    assert_eq!(now(&house).readiness, Readiness::Pending);
    assert_eq!(call(&house).await, Err(Code::FunctionNotReady));
    let update = FunctionUpdate { config: container("r.io/a:v1"), code: None };
    house.engine.function_update(&caller(), "boxed", update).await.expect("taken");
    assert_eq!(settled(&house).await.readiness, Readiness::Active);
    assert_eq!(call(&house).await.expect("served"), "ok");
}

#[tokio::test]
async fn a_registrys_password_is_sealed_and_rotates_with_the_master_key() {
    let house = house().await;
    let mut input = create("r.io/a:v1");
    let custom = input.config.custom_container.as_mut().expect("a container");
    custom.registry = RegistryConfig { user: "me".into(), ..RegistryConfig::default() };
    input.config.registry_password = Some(SecretText::new("s3cret-word"));
    house.engine.function_create(&caller(), input).await.expect("created");
    settled(&house).await;
    house.engine.version_publish(&caller(), "boxed", "").await.expect("published");
    let key = function::key(ROOT, "boxed");
    let master = async |key: &Key| {
        let record = house.store.record_get(key).await.expect("reads").expect("it is there");
        assert!(!String::from_utf8_lossy(&record.body).contains("s3cret-word"));
        let function = function::decode(&record.body).expect("reads");
        let container = function.head.config.custom_container.clone().expect("a container");
        container.registry.password.expect("sealed").master
    };
    assert_eq!(master(&key).await, 1);
    let (newest, sealed) = house.engine.master_rotate(&caller()).await.expect("rotated");
    assert_eq!((newest, master(&key).await), (2, 2));
    assert!(sealed >= 2, "the head's and the version's");
    let versions = house.store.record_list(Kind::Version, "", None, 10).await.expect("reads");
    let body = &versions.items[0].body;
    let version = stint_store::record::version::decode(body).expect("reads");
    let container = version.revision.config.custom_container.clone().expect("a container");
    assert_eq!(container.registry.password.expect("sealed").master, 2);
}
