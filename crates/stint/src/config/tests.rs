//! Merging, origins, refusals, meanings, the page.

use std::io::Write as _;
use std::path::Path;

use stint_model::time::Span;
use stint_node::{HostFor, NodeNetwork};

use super::environment::Environment;
use super::raw::{Flags, Origin, Raw, Value};
use super::resolved::BlobsBackend;
use super::setting::SETTINGS;
use super::{Config, ConfigError, reference};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn flag(flag: &str, key: &str, text: &str) -> Flags {
    vec![(flag.to_owned(), key.to_owned(), text.to_owned())]
}

fn home() -> Environment {
    Environment::of(&[("HOME", "/home/nobody-here")])
}

fn resolve(flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let own =
        |(key, text): &(&str, &str)| ("--set".to_owned(), (*key).to_owned(), (*text).to_owned());
    let flags: Flags = flags.iter().map(own).collect();
    Config::resolve(&Raw::gather(None, &home(), &flags)?, &home())
}

fn refused(flags: &[(&str, &str)]) -> String {
    resolve(flags).unwrap_err().to_string()
}

#[test]
fn the_defaults_name_every_setting_and_resolve() {
    let raw = Raw::gather(None, &home(), &Flags::new()).unwrap();
    assert_eq!(raw.all().count(), SETTINGS.len());
    assert!(raw.all().all(|(_, said)| said.origin == Origin::Default));
    let config = Config::resolve(&raw, &home()).unwrap();
    assert_eq!(config.data, Path::new("/home/nobody-here/.local/share/stint"));
    assert_eq!(config.listen.control.to_string(), "127.0.0.1:7780");
    assert_eq!(config.history.tasks, Span::from_secs(30 * 86_400));
    assert_eq!(config.payload.inline, 128 << 10);
    assert_eq!(config.blobs, BlobsBackend::Local);
    assert_eq!(config.node.network, NodeNetwork::Proxy);
    assert!(config.node.capacity.cpu_milli >= 1_000);
}

#[test]
fn keys_variables_and_flags_are_unique() {
    let mut keys: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
    let mut variables: Vec<_> = SETTINGS.iter().map(|s| s.variable).collect();
    keys.sort_unstable();
    keys.dedup();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!((keys.len(), variables.len()), (SETTINGS.len(), SETTINGS.len()));
    assert!(variables.iter().all(|name| name.starts_with("STINT_")));
}

#[test]
fn the_stronger_origin_wins_and_is_remembered() {
    let file = file("grace = \"10s\"\nregion = \"file\"\nshards = 3\n[history]\ntasks = \"1d\"\n");
    let environment =
        Environment::of(&[("HOME", "/h"), ("STINT_REGION", "env"), ("STINT_SHARDS", "4")]);
    let raw = Raw::gather(Some(file.path()), &environment, &flag("--set", "shards", "5")).unwrap();
    let origin = |key: &str| raw.get(key).origin.clone();
    assert_eq!(origin("grace"), Origin::File(file.path().to_owned()));
    assert_eq!(origin("region"), Origin::Variable("STINT_REGION".into()));
    assert_eq!(origin("shards"), Origin::Flag("--set".into()));
    assert_eq!(origin("blobs"), Origin::Default);
    let config = Config::resolve(&raw, &environment).unwrap();
    assert_eq!((config.shards, config.region.as_str()), (5, "env"));
    assert_eq!(
        (config.grace, config.history.tasks),
        (Span::from_secs(10), Span::from_secs(86_400))
    );
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    let file = file("[histroy]\ntasks = \"1d\"\n");
    let error = Raw::gather(Some(file.path()), &home(), &Flags::new()).unwrap_err().to_string();
    assert!(error.contains("histroy") && error.contains(file.path().to_str().unwrap()), "{error}");

    let environment = Environment::of(&[("HOME", "/h"), ("STINT_SHARD", "2")]);
    let error = Raw::gather(None, &environment, &Flags::new()).unwrap_err().to_string();
    assert!(error.contains("did you mean `STINT_SHARDS`"), "{error}");

    let foreign = Environment::of(&[("HOME", "/h"), ("STINT_SERVICE_HOST", "10.0.0.1")]);
    assert!(
        Raw::gather(None, &foreign, &Flags::new()).is_ok(),
        "a slip is refused, not a neighbour"
    );

    let error = Raw::gather(None, &home(), &flag("--set", "node.mem", "1GiB")).unwrap_err();
    assert!(matches!(error, ConfigError::Unknown { .. }), "{error}");

    let nested = self::file("shards = { many = 1 }\n");
    assert!(Raw::gather(Some(nested.path()), &home(), &Flags::new()).is_err());
    let syntax = self::file("shards = \n");
    let error = Raw::gather(Some(syntax.path()), &home(), &Flags::new()).unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { .. }), "{error}");
    assert!(Raw::gather(Some(Path::new("/no/such")), &home(), &Flags::new()).is_err());
}

#[test]
fn lists_and_maps_come_from_files_and_texts() {
    let file = file(
        "[node]\nnas_allow = [\"/srv/a\", \"/srv/b\"]\n[interpreters]\n\"python3.10\" = \"/usr/bin/python3\"\n",
    );
    let flags = flag("--set", "buckets", "media=s3://media/code, tmp=file:///tmp");
    let raw = Raw::gather(Some(file.path()), &home(), &flags).unwrap();
    assert_eq!(
        raw.get("node.nas_allow").value,
        Value::Many(vec!["/srv/a".into(), "/srv/b".into()])
    );
    let config = Config::resolve(&raw, &home()).unwrap();
    assert_eq!(config.node.interpreters["python3.10"], Path::new("/usr/bin/python3"));
    assert_eq!(config.buckets["media"].as_str(), "s3://media/code");
    assert_eq!(config.buckets.len(), 2);
}

#[test]
fn wrong_values_say_who_said_what_and_what_to_write() {
    let text = refused(&[("grace", "soon")]);
    assert!(text.contains("--set") && text.contains("`soon`") && text.contains("30s"), "{text}");
    assert!(refused(&[("node.isolation", "lax")]).contains("personal or strict"));
    assert!(refused(&[("listen.control", "7780")]).contains("127.0.0.1:7780"));
    assert!(refused(&[("log.level", "loud")]).contains("error, warn, info"));
    assert!(refused(&[("shards", "0")]).contains("1 to 1024"));
    assert!(refused(&[("shards", "many")]).contains("whole number"));
    assert!(refused(&[("blobs", "ftp://x")]).contains("s3://"));
    assert!(refused(&[("buckets", "x")]).contains("name=text"));
    assert!(refused(&[("disk.low", "2GiB")]).contains("disk.high"));
    assert!(refused(&[("payload.inline", "1GiB")]).contains("payload.max"));
    assert!(refused(&[("node.memory", "1MiB")]).contains("128 MiB"));
    assert!(refused(&[("node.nas_allow", "relative")]).contains("absolute"));
    assert!(refused(&[("tls.cert", "/c.pem")]).contains("both or neither"));
}

#[test]
fn a_listener_that_others_reach_needs_tls_or_a_word() {
    let open = ("listen.control", "0.0.0.0:7780");
    assert!(refused(&[open]).contains("--insecure"));
    assert!(resolve(&[open, ("listen.insecure", "true")]).is_ok());
    assert!(resolve(&[open, ("tls.cert", "/c.pem"), ("tls.key", "/k.pem")]).is_ok());
    assert!(refused(&[("listen.trigger", "[::]:1")]).contains("listen.trigger"));
    assert!(resolve(&[("listen.control", "[::1]:0")]).is_ok());
}

#[test]
fn without_a_home_the_data_directory_must_be_said() {
    let nowhere = Environment::default();
    let raw = Raw::gather(None, &nowhere, &Flags::new()).unwrap();
    let text = Config::resolve(&raw, &nowhere).unwrap_err().to_string();
    assert!(text.contains("--data"), "{text}");
    let xdg = Environment::of(&[("XDG_DATA_HOME", "/x")]);
    assert_eq!(Config::resolve(&raw, &xdg).unwrap().data, Path::new("/x/stint"));
}

#[test]
fn the_reference_page_is_up_to_date() {
    let raw = Raw::gather(None, &home(), &Flags::new()).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let page = reference::page(&raw);
    assert!(
        kept == page,
        "docs/reference/configuration.md is not what the table says; write it again with \
         `stint config reference > docs/reference/configuration.md`"
    );
}

#[test]
fn the_hosts_network_is_never_shared_by_accident() {
    let config = resolve(&[("node.network", "host")]).unwrap();
    assert_eq!(config.node.network, NodeNetwork::Host(HostFor::Operator));
    let said = refused(&[("node.network", "host"), ("node.isolation", "strict")]);
    assert!(said.contains("host-for-all-accounts"), "{said}");
    let explicit = [("node.network", "host-for-all-accounts"), ("node.isolation", "strict")];
    let config = resolve(&explicit).unwrap();
    assert_eq!(config.node.network, NodeNetwork::Host(HostFor::Everybody));
}

#[test]
fn lists_of_destinations_are_read_and_blamed() {
    let config = resolve(&[
        ("node.egress_allow", "public,10.1.0.0/16:5432,*.example.com"),
        ("node.egress_deny", "192.0.2.0/24"),
        ("node.egress_host_ports", "5432, 6379"),
    ])
    .unwrap();
    assert_eq!((config.node.egress_allow.len(), config.node.egress_deny.len()), (3, 1));
    assert_eq!(config.node.egress_host_ports, [5432, 6379]);
    let said = refused(&[("node.egress_allow", "http://example.com")]);
    assert!(said.contains("node.egress_allow") && said.contains("10.0.0.0/8"), "{said}");
    let said = refused(&[("node.egress_host_ports", "7780")]);
    assert!(said.contains("STINT_ENDPOINT"), "{said}");
}
