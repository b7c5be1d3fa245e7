//! What a node finds, and what becomes of the function.

use stint_model::image::ImageFaultKind;

use super::*;
use crate::catalog::samples;

fn pinned(text: &str) -> PinnedImage {
    PinnedImage { digest: text.to_owned(), uri: format!("r/a@{text}") }
}

fn fault() -> ImageFault {
    ImageFault { kind: ImageFaultKind::NotFound, reason: "gone".into() }
}

fn container(id: u64, pin: Option<&str>) -> Arc<Revision> {
    let mut revision = Revision::clone(&samples::function(1, "f").head);
    revision.id = RevisionId::from_number(id);
    revision.config.runtime = "custom-container".into();
    revision.config.custom_container = Some(stint_model::function::CustomContainer {
        image: "r.io/a:v1".into(),
        port: 9000,
        pinned: pin.map(pinned),
        ..Default::default()
    });
    Arc::new(revision)
}

fn function(head: Arc<Revision>, readiness: Readiness, update: Option<HeadUpdate>) -> Function {
    Function { head, readiness, update, ..Function::clone(&samples::function(1, "f")) }
}

const NOW: Timestamp = Timestamp::from_millis(9);

fn after(function: &Function, revision: u64, found: Found) -> Option<Function> {
    decide_image(function, RevisionId::from_number(revision), &found, NOW)
}

fn pin_of(revision: &Revision) -> Option<String> {
    Some(revision.config.custom_container.as_ref()?.pinned.as_ref()?.digest.clone())
}

#[test]
fn a_first_image_makes_the_function_active_or_failed() {
    let pending = function(container(1, None), Readiness::Pending, None);
    let active = after(&pending, 1, Ok(pinned("a"))).unwrap();
    assert_eq!((active.readiness, pin_of(&active.head)), (Readiness::Active, Some("a".into())));
    let failed = after(&pending, 1, Err(fault())).unwrap();
    assert_eq!(failed.readiness, Readiness::Failed(fault()));
    assert_eq!(after(&pending, 2, Ok(pinned("a"))), None, "about another revision");
}

#[test]
fn an_update_takes_force_when_its_image_is_there_and_not_before() {
    let update = |failed| Some(HeadUpdate { revision: container(2, None), failed });
    let old = function(container(1, Some("a")), Readiness::Active, update(None));
    assert_eq!(old.fetching().unwrap().id.number(), 2);
    let new = after(&old, 2, Ok(pinned("b"))).unwrap();
    assert_eq!((new.head.id.number(), pin_of(&new.head)), (2, Some("b".into())));
    assert!(new.update.is_none());
    let failed = after(&old, 2, Err(fault())).unwrap();
    assert_eq!(failed.head, old.head, "the old one stays in force");
    assert_eq!(failed.update, update(Some(fault())));
    assert!(failed.fetching().is_none());
    assert_eq!(failed.wanted(), &old.head);
    assert_eq!(after(&failed, 2, Ok(pinned("b"))), None, "too late");
}

#[test]
fn the_same_image_keeps_its_warm_instances() {
    let update = Some(HeadUpdate { revision: container(2, None), failed: None });
    let old = function(container(1, Some("a")), Readiness::Active, update);
    let new = after(&old, 2, Ok(pinned("a"))).unwrap();
    assert_eq!(new.head.id.number(), 1);
}

#[test]
fn an_image_that_is_gone_fails_the_head_only() {
    let active = function(container(1, Some("a")), Readiness::Active, None);
    let failed = after(&active, 1, Err(fault())).unwrap();
    assert_eq!(failed.readiness, Readiness::Failed(fault()));
    assert_eq!(after(&active, 7, Err(fault())), None, "a version's");
    assert_eq!(after(&failed, 1, Ok(pinned("a"))), None);
}

#[test]
fn a_node_gets_the_opened_password() {
    let keyring = Keyring::in_memory();
    let mut revision = Revision::clone(&container(1, None));
    let sample = samples::function(1, "f");
    let owner = registry_secret_owner(sample.account, sample.id);
    let sealed = keyring.seal(&crate::secret::SecretText::new("pass"), &owner);
    if let Some(container) = &mut revision.config.custom_container {
        container.registry.user = "me".into();
        container.registry.password = Some(sealed);
    }
    let order = order_of(&keyring, &sample, &revision).unwrap();
    assert_eq!((order.access.user.as_str(), order.access.password.as_str()), ("me", "pass"));
    assert!(!format!("{order:?}").contains("pass\""), "it does not print");
    assert!(order_of(&keyring, &sample, &sample.head).is_none());
}
