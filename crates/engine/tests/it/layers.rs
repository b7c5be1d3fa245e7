//! Layers: numbered, shared on request, and not taken from under a function.

use stint_engine::control::Listing;
use stint_engine::control::functions::{FunctionCreate, FunctionPatch};
use stint_engine::control::layers::{LayerCreate, LayerQuery};
use stint_engine::{Engine, EngineError};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::id::AccountId;

use crate::control::{create, house, zip_of};
use crate::house::caller;

fn code_of<T>(result: Result<T, EngineError>) -> Code {
    result.map(drop).expect_err("should be refused").code()
}

async fn layer(engine: &Engine, name: &str, runtimes: &[&str]) -> u64 {
    let input = LayerCreate {
        name: name.into(),
        code: zip_of("x"),
        compatible_runtimes: runtimes.iter().map(|one| (*one).to_owned()).collect(),
        description: String::new(),
        license: String::new(),
    };
    engine.layer_create(&caller(), &input).await.expect("created").version
}

fn using(name: &str, arn: &str) -> FunctionCreate {
    let mut input = create(name);
    input.config = FunctionPatch { layers: Some(vec![arn.into()]), ..input.config };
    input
}

fn arn(layer: &str, version: u64) -> String {
    format!("acs:fc:local:{}:layers/{layer}/versions/{version}", AccountId::ROOT)
}

#[tokio::test]
async fn versions_are_numbered_and_never_reused() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    assert_eq!(layer(engine, "l", &[]).await, 1);
    assert_eq!(layer(engine, "l", &[]).await, 2);
    engine.layer_delete(&me, "l", "2").await.expect("deleted");
    assert_eq!(layer(engine, "l", &[]).await, 3);
    let (page, next) = engine.layer_version_list(&me, "l", None, Some(1)).await.expect("listed");
    assert_eq!((page[0].version, next), (3, Some(1)));
    let (page, next) = engine.layer_version_list(&me, "l", next, None).await.expect("listed");
    assert_eq!((page[0].version, next), (1, None));
    assert_eq!(code_of(engine.layer_get(&me, "l", "2").await), Code::LayerVersionNotFound);
    assert_eq!(code_of(engine.layer_get(&me, "l", "x").await), Code::LayerVersionNotFound);
    assert_eq!(code_of(engine.layer_version_list(&me, "m", None, None).await), Code::LayerNotFound);
}

#[tokio::test]
async fn a_function_names_layers_that_fit_and_holds_them() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    layer(engine, "py", &["python3.10"]).await;
    layer(engine, "js", &["nodejs20"]).await;
    let error = engine.function_create(&me, using("u", &arn("js", 1))).await.expect_err("no fit");
    assert!(
        error.to_string().contains("runtime 'python3.10' is not supported by layer"),
        "{error}"
    );
    let missing = engine.function_create(&me, using("u", &arn("py", 9))).await;
    assert_eq!(code_of(missing), Code::LayerVersionNotFound);
    let view = engine.function_create(&me, using("u", &arn("py", 1))).await.expect("created");
    assert_eq!(view.layers.len(), 1);
    assert!(view.layers[0].1 > 0, "the size is shown");
    let error = engine.layer_delete(&me, "py", "1").await.expect_err("in use");
    assert!(error.to_string().contains("is used by function 'u'"), "{error}");
    engine.function_delete(&me, "u").await.expect("deleted");
    engine.layer_delete(&me, "py", "1").await.expect("deleted");
}

#[tokio::test]
async fn a_public_layer_serves_other_accounts() {
    let house = house().await;
    let (engine, me) = (&house.engine, caller());
    layer(engine, "shared", &[]).await;
    let other = Caller { account: AccountId::new(1_000_000_000_000_002), ..caller() };
    let arn = arn("shared", 1);
    assert_eq!(code_of(engine.layer_get_by_arn(&other, &arn).await), Code::AccessDenied);
    assert_eq!(
        code_of(engine.function_create(&other, using("u", &arn)).await),
        Code::LayerVersionNotFound
    );
    engine.layer_acl_put(&me, "shared", true).await.expect("public");
    engine.layer_get_by_arn(&other, &arn).await.expect("seen");
    engine.function_create(&other, using("u", &arn)).await.expect("created");
    assert_eq!(layer(engine, "shared", &[]).await, 2);
    assert!(engine.layer_get(&me, "shared", "2").await.expect("there").public, "versions to come");
    let official = "acs:fc:local:official:layers/shared/versions/2";
    engine.layer_get_by_arn(&other, official).await.expect("the root account's are official");
    let query = LayerQuery { official: true, listing: Listing::default(), public: None };
    assert_eq!(engine.layer_list(&other, &query).await.expect("listed").items.len(), 1);
    let own = LayerQuery::default();
    assert!(engine.layer_list(&other, &own).await.expect("listed").items.is_empty());
    let error = engine.layer_delete(&me, "shared", "1").await.expect_err("in use");
    assert!(error.to_string().contains("a function of another account"), "{error}");
    assert_eq!(code_of(engine.layer_acl_put(&me, "nope", true).await), Code::LayerNotFound);
}
