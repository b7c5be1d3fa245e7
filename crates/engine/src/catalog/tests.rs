//! Snapshots, qualifiers and paging.

use stint_model::code::Code;
use stint_model::function::{CodePackage, LATEST};
use stint_model::time::Timestamp;

use super::samples::{function, version};
use super::*;

fn filled() -> Catalog {
    let catalog = Catalog::default();
    let id = FunctionId::from_number(1);
    catalog.apply(CatalogChange::FunctionSet(function(1, "f")));
    for number in [1, 2] {
        catalog.apply(CatalogChange::VersionSet { function: id, version: version(number) });
    }
    let alias = Alias {
        name: "prod".into(),
        version: 1,
        canary: Some((2, 100_000)),
        description: String::new(),
        created_at: Timestamp::ZERO,
        modified_at: Timestamp::ZERO,
    };
    catalog.apply(CatalogChange::AliasSet { function: id, alias: Arc::new(alias) });
    catalog
}

#[test]
fn a_qualifier_is_the_head_a_version_or_an_alias() {
    let entry = filled().function(AccountId::ROOT, "f").unwrap();
    for (qualifier, draw, revision, label) in [
        ("", 0, 100, LATEST),
        (LATEST, 0, 100, LATEST),
        ("1", 0, 1, "1"),
        ("2", 0, 2, "2"),
        ("prod", 99_999, 2, "2"),
        ("prod", 100_000, 1, "1"),
    ] {
        let target = entry.resolve(qualifier, draw).unwrap();
        assert_eq!(target.revision.id.number(), revision, "{qualifier} {draw}");
        assert_eq!(&*target.version_label, label);
        assert_eq!(&*target.qualifier, if qualifier.is_empty() { LATEST } else { qualifier });
    }
}

#[test]
fn a_qualifier_that_names_nothing_says_what() {
    let entry = filled().function(AccountId::ROOT, "f").unwrap();
    for (qualifier, code, message) in [
        ("3", Code::VersionNotFound, "version '3' does not exist"),
        ("0", Code::VersionNotFound, "version '0' does not exist"),
        ("dev", Code::AliasNotFound, "alias 'dev' does not exist"),
        ("latest", Code::AliasNotFound, "alias 'latest' does not exist"),
    ] {
        let refusal = entry.resolve(qualifier, 0).unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_str()), (code, message));
    }
}

#[test]
fn an_alias_whose_version_went_is_refused_not_redirected() {
    let catalog = filled();
    let function = FunctionId::from_number(1);
    catalog.apply(CatalogChange::VersionGone { function, number: 1 });
    let entry = catalog.function(AccountId::ROOT, "f").unwrap();
    assert_eq!(entry.resolve("prod", 999_999).unwrap_err().code, Code::VersionNotFound);
    assert_eq!(&*entry.resolve("prod", 0).unwrap().version_label, "2");
}

#[test]
fn a_snapshot_does_not_change_under_its_reader() {
    let catalog = filled();
    let before = catalog.function(AccountId::ROOT, "f").unwrap();
    let id = before.function.id;
    catalog.apply(CatalogChange::AliasGone { function: id, alias: "prod".into() });
    assert!(before.aliases.contains_key("prod"));
    assert!(!catalog.function_by_id(id).unwrap().aliases.contains_key("prod"));
}

#[test]
fn an_update_keeps_what_is_bound_and_a_new_life_does_not() {
    let catalog = filled();
    let mut updated = Function::clone(&catalog.function(AccountId::ROOT, "f").unwrap().function);
    updated.paused = true;
    catalog.apply(CatalogChange::FunctionSet(Arc::new(updated)));
    let entry = catalog.function(AccountId::ROOT, "f").unwrap();
    assert!(entry.function.paused);
    assert_eq!(entry.versions.len(), 2);

    catalog.apply(CatalogChange::FunctionSet(function(9, "f")));
    let entry = catalog.function(AccountId::ROOT, "f").unwrap();
    assert!(entry.versions.is_empty());
    assert!(catalog.function_by_id(FunctionId::from_number(1)).is_none());
    // A late word about the old life changes nothing of the new one.
    let old = FunctionId::from_number(1);
    catalog.apply(CatalogChange::VersionSet { function: old, version: version(7) });
    let name: Arc<str> = "f".into();
    catalog.apply(CatalogChange::FunctionGone { account: AccountId::ROOT, name, id: old });
    assert!(catalog.function(AccountId::ROOT, "f").unwrap().versions.is_empty());
}

#[test]
fn async_configs_do_not_fall_back() {
    let catalog = filled();
    let config = AsyncConfig { task_mode: true, ..AsyncConfig::default() };
    catalog.apply(CatalogChange::AsyncConfigSet {
        function: FunctionId::from_number(1),
        qualifier: LATEST.into(),
        config: Arc::new(config),
    });
    let entry = catalog.function(AccountId::ROOT, "f").unwrap();
    assert!(entry.async_config("").task_mode);
    assert!(entry.async_config(LATEST).task_mode);
    assert!(!entry.async_config("prod").task_mode);
    assert_eq!(entry.async_config("prod").retry.retries_max, 3);
}

#[test]
fn functions_are_listed_by_name_in_pages() {
    let catalog = Catalog::default();
    for (id, name) in [(1, "b"), (2, "ab"), (3, "aa"), (4, "ac"), (5, "a")] {
        catalog.apply(CatalogChange::FunctionSet(function(id, name)));
    }
    let names = |prefix: &str, after: Option<&str>, limit: usize| -> Vec<String> {
        let span = NameSpan { prefix, after, limit };
        let found = catalog.functions_of(AccountId::ROOT, span, |_| true);
        found.iter().map(|entry| entry.function.name.to_string()).collect()
    };
    assert_eq!(names("", None, 10), ["a", "aa", "ab", "ac", "b"]);
    assert_eq!(names("a", None, 2), ["a", "aa"]);
    assert_eq!(names("a", Some("aa"), 10), ["ab", "ac"]);
    assert_eq!(names("b", Some("a"), 10), ["b"]);
    assert_eq!(catalog.functions_count(AccountId::ROOT), 5);
    assert!(
        catalog
            .functions_of(AccountId::new(5), NameSpan { prefix: "", after: None, limit: 9 }, |_| {
                true
            })
            .is_empty()
    );
}

#[test]
fn layers_are_listed_by_their_newest_version() {
    let catalog = Catalog::default();
    for number in [1, 2] {
        catalog.apply(CatalogChange::LayerSet(Arc::new(LayerVersion {
            account: AccountId::ROOT,
            layer: "l".into(),
            version: number,
            code: CodePackage { blob: "b".into(), size: 1, crc64: 1, sha256: [0; 32] },
            compatible_runtimes: Vec::new(),
            description: String::new(),
            license: String::new(),
            public: false,
            created_at: Timestamp::ZERO,
        })));
    }
    assert_eq!(catalog.layers().len(), 1);
    assert_eq!(catalog.layers()[0].version, 2);
    let gone =
        |version| CatalogChange::LayerGone { account: AccountId::ROOT, layer: "l".into(), version };
    catalog.apply(gone(2));
    assert_eq!(catalog.layer_versions(AccountId::ROOT, "l").len(), 1);
    catalog.apply(gone(1));
    assert!(catalog.layers().is_empty());
}
