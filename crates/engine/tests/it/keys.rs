//! Accounts and keys: who gets in, with what, and for how long.

use stint_engine::control::Listing;
use stint_engine::control::accounts::{AccountCreate, AccountPatch};
use stint_engine::control::keys::{GivenKey, IssuedKey, KeyCreate, KeyIssue, NewKey};
use stint_engine::secret::SecretText;
use stint_engine::{Catalog, Engine, EngineError};
use stint_model::access::{Caller, Role, Scope};
use stint_model::account::AccountLimits;
use stint_model::code::Code;
use stint_model::id::AccountId;
use stint_model::time::Span;

use crate::control::{create, house};
use crate::house::House;

fn code_of<T>(result: Result<T, EngineError>) -> Code {
    result.map(drop).expect_err("should be refused").code()
}

fn new_key(role: Role, kind: NewKey) -> KeyCreate {
    let (scope, description) = (Scope::default(), String::new());
    KeyCreate { account: None, kind, role, scope, description }
}

/// A house with a root account and its first key's caller.
async fn rooted() -> (House, IssuedKey, Caller) {
    let house = house().await;
    let first = house.engine.bootstrap(None).await.expect("bootstraps").expect("a new key");
    let caller = house.engine.authenticate_key(&first.key.id).expect("good").caller;
    (house, first, caller)
}

#[tokio::test]
async fn the_first_start_makes_a_root_key_once() {
    let (house, first, caller) = rooted().await;
    assert_eq!((caller.account, caller.role), (AccountId::ROOT, Role::Admin));
    let material = house.engine.authenticate_key(&first.key.id).expect("good");
    assert_eq!(material.secret, first.secret);
    assert!(house.engine.bootstrap(None).await.expect("again").is_none());
    let root = house.engine.account_get(&caller, None).await.expect("there");
    assert_eq!((&*root.name, root.limits.instances_max), ("root", 300));
}

#[tokio::test]
async fn a_given_key_is_taken_and_can_be_given_anew() {
    let house = house().await;
    let give = async |secret: &str| {
        let given = GivenKey { id: "ak".into(), secret: SecretText::new(secret) };
        house.engine.bootstrap(Some(&given)).await.expect("bootstraps").is_some()
    };
    assert!(give("one").await);
    assert!(!give("one").await, "nothing new");
    assert!(give("two").await);
    assert_eq!(house.engine.authenticate_key("ak").expect("good").secret.expose(), "two");
    let bad = GivenKey { id: "a k".into(), secret: SecretText::new("x") };
    assert_eq!(code_of(house.engine.bootstrap(Some(&bad)).await), Code::InvalidArgument);
}

#[tokio::test]
async fn a_key_is_made_used_rotated_disabled_and_deleted() {
    let (house, _, root) = rooted().await;
    let engine = &house.engine;
    let made = engine.key_create(&root, &new_key(Role::Developer, NewKey::Permanent)).await;
    let made = made.expect("made");
    let id = &*made.key.id;
    let bearer = format!("{id}.{}", made.secret.expose());
    assert_eq!(engine.authenticate_bearer(&bearer).expect("good").role, Role::Developer);
    assert_eq!(
        code_of(engine.authenticate_bearer(&format!("{id}.wrong"))),
        Code::InvalidAccessKeyID
    );

    let rotated = engine.key_rotate(&root, id).await.expect("rotated");
    assert_ne!(rotated.secret, made.secret);
    assert_eq!(engine.authenticate_key(id).expect("good").secret, rotated.secret);
    assert_eq!(code_of(engine.authenticate_bearer(&bearer)), Code::InvalidAccessKeyID);

    engine.key_set_disabled(&root, id, true).await.expect("disabled");
    let error = engine.authenticate_key(id).expect_err("disabled");
    assert_eq!(error.to_string(), format!("InvalidAccessKeyID: invalid access key ID '{id}'"));
    engine.key_set_disabled(&root, id, false).await.expect("enabled");
    assert!(engine.authenticate_key(id).is_ok());
    let again = Catalog::load(&house.store).await.expect("reads");
    assert_eq!(again.key(id), engine.catalog().key(id));

    engine.key_delete(&root, id).await.expect("deleted");
    assert_eq!(code_of(engine.authenticate_key(id)), Code::InvalidAccessKeyID);
    assert_eq!(code_of(engine.key_delete(&root, id).await), Code::KeyNotFound);
    assert_eq!(code_of(engine.key_delete(&root, &root.key_id).await), Code::InvalidArgument);
}

#[tokio::test]
async fn temporary_keys_carry_a_token_and_tokens_stand_alone() {
    let (house, _, root) = rooted().await;
    let engine = &house.engine;
    let issue = KeyIssue {
        role: Some(Role::Invoker),
        scope: Scope { functions: vec!["f".to_owned()].into() },
        life: Some(Span::from_secs(60)),
        description: String::new(),
    };
    let made = engine.key_issue(&root, &issue).await.expect("issued");
    let material = engine.authenticate_key(&made.key.id).expect("good");
    assert_eq!(code_of(material.check_session_token(None)), Code::InvalidSecurityToken);
    assert_eq!(code_of(material.check_session_token(Some("x"))), Code::InvalidSecurityToken);
    let token = made.session_token.as_ref().expect("a token").expose();
    material.check_session_token(Some(token)).expect("good");
    assert!(!material.caller.scope.allows(Some("g")));
    let denied = engine.function_get(&material.caller, "f", None).await;
    assert_eq!(code_of(denied), Code::AccessDenied, "an invoker does not read");
    let long = KeyIssue { life: Some(Span::from_secs(37 * 3_600)), ..issue };
    assert_eq!(code_of(engine.key_issue(&root, &long).await), Code::InvalidArgument);

    let made = engine.key_create(&root, &new_key(Role::Viewer, NewKey::Token(None))).await;
    let made = made.expect("made");
    assert_eq!(engine.authenticate_bearer(made.secret.expose()).expect("good").role, Role::Viewer);
    assert_eq!(code_of(engine.authenticate_key(&made.key.id)), Code::InvalidAccessKeyID);
}

#[tokio::test]
async fn nobody_reaches_above_their_role_or_into_another_account() {
    let (house, _, root) = rooted().await;
    let engine = &house.engine;
    let other = account_admin(engine, &root, "media").await;
    assert_eq!(code_of(engine.account_list(&other, &Listing::default()).await), Code::AccessDenied);
    assert_eq!(code_of(engine.master_rotate(&other).await), Code::AccessDenied);
    let theirs = engine.key_delete(&other, &root.key_id).await;
    assert_eq!(code_of(theirs), Code::KeyNotFound, "keys of others do not exist");
    let cross =
        KeyCreate { account: Some(AccountId::ROOT), ..new_key(Role::Invoker, NewKey::Permanent) };
    assert_eq!(code_of(engine.key_create(&other, &cross).await), Code::AccessDenied);
    assert_eq!(code_of(engine.function_get(&other, "f", None).await), Code::FunctionNotFound);

    let developer = Caller { role: Role::Developer, ..other.clone() };
    let up = KeyIssue {
        role: Some(Role::Admin),
        scope: Scope::default(),
        life: None,
        description: String::new(),
    };
    assert_eq!(code_of(engine.key_issue(&developer, &up).await), Code::AccessDenied);
    assert_eq!(
        code_of(engine.key_list(&developer, None, &Listing::default()).await),
        Code::AccessDenied
    );
}

async fn account_admin(engine: &Engine, root: &Caller, name: &str) -> Caller {
    let limits = AccountLimits { functions_max: 1, ..AccountLimits::default() };
    let input = AccountCreate { name: name.into(), display: String::new(), limits };
    let account = engine.account_create(root, &input).await.expect("created");
    let again = engine.account_create(root, &input).await;
    assert_eq!(code_of(again), Code::AccountAlreadyExists);
    let key = KeyCreate { account: Some(account.id), ..new_key(Role::Admin, NewKey::Permanent) };
    engine.key_create(root, &key).await.expect("made").key.caller()
}

#[tokio::test]
async fn a_disabled_account_is_out_and_quotas_hold() {
    let (house, _, root) = rooted().await;
    let engine = &house.engine;
    let other = account_admin(engine, &root, "media").await;
    engine.function_create(&other, create("one")).await.expect("created");
    let second = engine.function_create(&other, create("two")).await;
    assert_eq!(code_of(second), Code::LimitExceededError);
    assert!(engine.authenticate_key(&other.key_id).is_ok());
    let off = AccountPatch { disabled: Some(true), ..AccountPatch::default() };
    engine.account_update(&root, other.account, &off).await.expect("disabled");
    assert_eq!(code_of(engine.authenticate_key(&other.key_id)), Code::InvalidAccessKeyID);
    assert_eq!(
        code_of(engine.account_update(&root, AccountId::ROOT, &off).await),
        Code::InvalidArgument
    );
    let page = engine.account_list(&root, &Listing::default()).await.expect("listed");
    let names: Vec<_> = page.items.iter().map(|account| account.name.to_string()).collect();
    assert_eq!(names, ["media", "root"]);
}

#[tokio::test]
async fn the_master_key_rotates_under_living_keys() {
    let (house, first, root) = rooted().await;
    let engine = &house.engine;
    let (number, sealed) = engine.master_rotate(&root).await.expect("rotated");
    assert_eq!((number, sealed), (2, 1));
    assert_eq!(engine.authenticate_key(&first.key.id).expect("good").secret, first.secret);
    let key = engine.catalog().key(&first.key.id).expect("there");
    assert_eq!(key.secret().expect("signs").master, 2);
}

#[tokio::test]
async fn a_function_gets_credentials_of_its_own() {
    let (house, _, root) = rooted().await;
    let engine = &house.engine;
    let first = engine.issue_for_function(root.account, "f").await.expect("issued");
    let second = engine.issue_for_function(root.account, "f").await.expect("issued");
    assert_eq!(first.access_key_id, second.access_key_id, "kept while good");
    let material = engine.authenticate_key(&first.access_key_id).expect("good");
    material.check_session_token(Some(first.security_token.expose())).expect("good");
    let caller = material.caller;
    assert_eq!(caller.role, Role::Invoker);
    assert!(caller.scope.allows(Some("f")) && !caller.scope.allows(Some("g")));
    // A key that an admin disabled is replaced.
    engine.key_set_disabled(&root, &first.access_key_id, true).await.expect("disabled");
    let third = engine.issue_for_function(root.account, "f").await.expect("issued");
    assert_ne!(third.access_key_id, first.access_key_id);
    assert_eq!(
        code_of(engine.issue_for_function(root.account, "nope").await),
        Code::FunctionNotFound
    );
}
