//! What it means: typed values with units, cross-checked. The composer takes every value from here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use stint_engine::FlowConfig;
use stint_model::limit::Resources;
use stint_model::time::Span;
use stint_node::{EgressRule, HostFor, NodeNetwork, RuleError};
use url::Url;

use super::environment::Environment;
use super::raw::{Raw, Value};
use super::setting::{Kind, setting};
use super::{ConfigError, machine, unit};

/// A server's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) region: String,
    pub(crate) shards: u16,
    pub(crate) grace: Span,
    pub(crate) listen: Listen,
    pub(crate) log: Log,
    pub(crate) node: Node,
    pub(crate) history: History,
    pub(crate) flows: FlowConfig,
    pub(crate) payload: Payload,
    pub(crate) disk: Disk,
    pub(crate) account: Account,
    pub(crate) blobs: BlobsBackend,
    pub(crate) buckets: BTreeMap<String, Url>,
}

/// The listeners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listen {
    pub(crate) control: SocketAddr,
    pub(crate) trigger: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
}

/// PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the server says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) json: bool,
}

/// The embedded node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) capacity: Resources,
    pub(crate) cpu_overcommit_percent: u32,
    pub(crate) idle_timeout: Span,
    pub(crate) parked: u32,
    pub(crate) parked_interpreters: u32,
    pub(crate) parked_memory_mb: u32,
    pub(crate) freeze: bool,
    pub(crate) strict: bool,
    pub(crate) network: NodeNetwork,
    pub(crate) egress_allow: Vec<EgressRule>,
    pub(crate) egress_deny: Vec<EgressRule>,
    pub(crate) egress_host_ports: Vec<u16>,
    pub(crate) nas_allow: Vec<PathBuf>,
    pub(crate) registries: Vec<String>,
    pub(crate) oci_allow: Vec<PathBuf>,
    pub(crate) image_max: u64,
    pub(crate) image_cache: u64,
    pub(crate) interpreters: BTreeMap<String, PathBuf>,
}

/// What is kept, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct History {
    pub(crate) tasks: Span,
    pub(crate) audit: Span,
    pub(crate) logs: Span,
    pub(crate) attempt_log_bytes: u64,
}

/// Sizes of payloads and results, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Payload {
    pub(crate) max: u64,
    pub(crate) inline: u64,
    pub(crate) result_inline: u64,
}

/// Watermarks of the data directory's disk, in bytes free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Disk {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// Defaults of an account's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub(crate) instances: u32,
    pub(crate) functions: u32,
}

/// Where blobs are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BlobsBackend {
    Local,
    Store(Url),
}

/// Below this a function of the smallest size does not fit.
const NODE_MEMORY_MB_MIN: u32 = 128;

impl Config {
    /// Reads and checks what was said.
    pub(crate) fn resolve(raw: &Raw, environment: &Environment) -> Result<Self, ConfigError> {
        let read = Reader { raw };
        let config = Self {
            data: data_dir(&read, environment)?,
            region: read.text("region"),
            shards: read.count("shards")?,
            grace: read.duration("grace")?,
            listen: listen(&read)?,
            log: Log {
                level: read.parse("log.level", level)?,
                json: read.word("log.format")? == "json",
            },
            node: node(&read)?,
            history: History {
                tasks: read.duration("history.tasks")?,
                audit: read.duration("history.audit")?,
                logs: read.duration("history.logs")?,
                attempt_log_bytes: read.size("history.attempt_log")?,
            },
            flows: flows(&read)?,
            payload: Payload {
                max: read.size("payload.max")?,
                inline: read.size("payload.inline")?,
                result_inline: read.size("payload.result_inline")?,
            },
            disk: Disk { low: read.size("disk.low")?, high: read.size("disk.high")? },
            account: Account {
                instances: read.count("account.instances")?,
                functions: read.count("account.functions")?,
            },
            blobs: blobs(&read)?,
            buckets: read.each("buckets", |text| url(text, &["s3", "file"]))?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Together(text.to_owned()));
        if !(1..=1024).contains(&self.shards) {
            return wrong("`shards` must be 1 to 1024");
        }
        if self.payload.inline > self.payload.max {
            return wrong("`payload.inline` must not be above `payload.max`");
        }
        if self.disk.low > self.disk.high {
            return wrong("`disk.low` must not be above `disk.high`");
        }
        if self.node.capacity.memory_mb < NODE_MEMORY_MB_MIN {
            return wrong(
                "the node offers less than 128 MiB: raise `node.memory` or lower \
                 `node.memory_reserve`",
            );
        }
        if self.node.strict && self.node.network == NodeNetwork::Host(HostFor::Operator) {
            return wrong(
                "`node.network = host` opens the host's loopback to functions, which \
                 `node.isolation = strict` is meant to prevent: use `proxy`, or say \
                 `host-for-all-accounts` if every account is trusted with it",
            );
        }
        let ports = [self.listen.control.port(), self.listen.trigger.port()];
        if self.node.egress_host_ports.iter().any(|port| ports.contains(port)) {
            return wrong(
                "`node.egress_host_ports` names a port of Stint itself: functions reach the API \
                 at STINT_ENDPOINT, where everybody must show a key",
            );
        }
        if self.node.cpu_overcommit_percent < 100 {
            return wrong("`node.cpu_overcommit` must be at least 100%");
        }
        Ok(())
    }
}

fn data_dir(read: &Reader<'_>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let said = read.text("data");
    if !said.is_empty() {
        // Sandboxes are told of what lies in it.
        return std::path::absolute(&said).map_err(|error| {
            ConfigError::Together(format!("cannot make {said} absolute: {error}"))
        });
    }
    let home = environment.data_home().ok_or_else(|| {
        let text = "neither HOME nor XDG_DATA_HOME is set: say where the data goes with --data DIR";
        ConfigError::Together(text.to_owned())
    })?;
    Ok(home.join("stint"))
}

fn listen(read: &Reader<'_>) -> Result<Listen, ConfigError> {
    let (cert, key) = (read.text("tls.cert"), read.text("tls.key"));
    let tls = match (cert.is_empty(), key.is_empty()) {
        (true, true) => None,
        (false, false) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
        _ => {
            let text = "`tls.cert` and `tls.key` go together: set both or neither";
            return Err(ConfigError::Together(text.to_owned()));
        }
    };
    let insecure = read.switch("listen.insecure")?;
    let address = |key: &str| {
        let address: SocketAddr = read.parse(key, |text| {
            text.parse().map_err(|_| "write an address and a port, as in 127.0.0.1:7780".to_owned())
        })?;
        if address.ip().is_loopback() || tls.is_some() || insecure {
            return Ok(address);
        }
        let text = format!(
            "`{key}` is {address}, which others can reach: give `tls.cert` and `tls.key`, or say \
             --insecure if something in front of Stint does TLS"
        );
        Err(ConfigError::Together(text))
    };
    Ok(Listen { control: address("listen.control")?, trigger: address("listen.trigger")?, tls })
}

/// A machine that offers less keeps no interpreters waiting unless it is told to.
const PARKING_FROM_MB: u32 = 1_024;
/// Of what is offered, one part in so many is for waiting interpreters, and never more than that.
const PARKING_PART: u32 = 16;
const PARKING_MOST_MB: u32 = 512;

fn node(read: &Reader<'_>) -> Result<Node, ConfigError> {
    let machine = machine::offered();
    let cpu_milli = match read.text("node.cpu").as_str() {
        "auto" => machine.cpu_milli,
        _ => read.parse("node.cpu", unit::cpu_milli)?,
    };
    let offered_mb = match read.text("node.memory").as_str() {
        "auto" => {
            let reserve = megabytes(read.size("node.memory_reserve")?);
            // Half at least: a small machine is still worth something.
            machine.memory_mb.saturating_sub(reserve).max(machine.memory_mb / 2)
        }
        _ => megabytes(read.size("node.memory")?),
    };
    let parked_memory_mb = match read.text("node.parked_memory").as_str() {
        "auto" if offered_mb < PARKING_FROM_MB => 0,
        "auto" => (offered_mb / PARKING_PART).min(PARKING_MOST_MB),
        _ => megabytes(read.size("node.parked_memory")?),
    };
    let memory_mb = match read.text("node.memory").as_str() {
        "auto" => offered_mb.saturating_sub(parked_memory_mb),
        _ => offered_mb,
    };
    let absolute = |text: &str| {
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(path) } else { Err("write an absolute path".to_owned()) }
    };
    let rule = |text: &str| text.parse().map_err(|error: RuleError| error.to_string());
    Ok(Node {
        capacity: Resources { cpu_milli, memory_mb },
        cpu_overcommit_percent: read.parse("node.cpu_overcommit", unit::percent)?,
        idle_timeout: read.duration("node.idle_timeout")?,
        parked: read.count("node.parked")?,
        parked_interpreters: read.count("node.parked_interpreters")?,
        parked_memory_mb,
        freeze: read.switch("node.freeze")?,
        strict: read.word("node.isolation")? == "strict",
        network: match read.word("node.network")?.as_str() {
            "none" => NodeNetwork::None,
            "host" => NodeNetwork::Host(HostFor::Operator),
            "host-for-all-accounts" => NodeNetwork::Host(HostFor::Everybody),
            _ => NodeNetwork::Proxy,
        },
        egress_allow: read.many("node.egress_allow", rule)?,
        egress_deny: read.many("node.egress_deny", rule)?,
        egress_host_ports: read.many("node.egress_host_ports", |text| {
            let port = text.parse().ok().filter(|port| *port != 0);
            port.ok_or_else(|| "write ports, 1 to 65535".to_owned())
        })?,
        nas_allow: read.many("node.nas_allow", absolute)?,
        registries: read.many("node.registries", |text| Ok(text.to_owned()))?,
        oci_allow: read.many("node.oci_allow", absolute)?,
        image_max: read.size("node.image_max")?,
        image_cache: read.size("node.image_cache")?,
        interpreters: read.each("interpreters", absolute)?,
    })
}

fn flows(read: &Reader<'_>) -> Result<FlowConfig, ConfigError> {
    let bytes = |key: &str| Ok(usize::try_from(read.size(key)?).unwrap_or(usize::MAX));
    let payload = read.text("flows.payload_max");
    let payload_bytes_max =
        if payload == "auto" { None } else { Some(bytes("flows.payload_max")?) };
    let events: u64 = read.count("flows.history_events")?;
    Ok(FlowConfig {
        payload_bytes_max,
        history_events_max: Some(events).filter(|events| *events > 0),
        threads_max: read.count("flows.threads")?,
        depth_max: read.count("flows.depth")?,
        flows_max: read.count("flows.flows")?,
        cache_max: read.count("flows.cache")?,
        evaluators: read.count("flows.evaluators")?,
        map_concurrency_max: read.count("flows.map_concurrency")?,
        map_items_max: read.count("flows.map_items")?,
        map_object_bytes_max: read.size("flows.map_object")?,
        map_output_bytes_max: bytes("flows.map_output")?,
        http_timeout: read.duration("flows.http_timeout")?,
        http_answer_bytes_max: bytes("flows.http_answer")?,
        http_allow_private: read.switch("flows.http_private")?,
        retention: read.duration("flows.retention")?,
    })
}

fn blobs(read: &Reader<'_>) -> Result<BlobsBackend, ConfigError> {
    match read.text("blobs").as_str() {
        "local" => Ok(BlobsBackend::Local),
        _ => read.parse("blobs", |text| url(text, &["s3"])).map(BlobsBackend::Store),
    }
}

/// A filter takes any word for the name of a part, and a misspelt level would silence the rest.
fn level(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = levels.iter().any(|level| text.eq_ignore_ascii_case(level));
    let is_filter = text.contains(['=', ',']) || text.starts_with("stint");
    if is_level || is_filter {
        return Ok(text.to_owned());
    }
    Err("write off, error, warn, info, debug or trace, or a filter".to_owned())
}

fn url(text: &str, schemes: &[&str]) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
    if schemes.contains(&url.scheme()) {
        return Ok(url);
    }
    Err(format!("write a URL that begins with {}", schemes.join(":// or ") + "://"))
}

fn megabytes(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// Reads texts and blames the right origin.
struct Reader<'a> {
    raw: &'a Raw,
}

impl Reader<'_> {
    fn text(&self, key: &str) -> String {
        self.raw.get(key).value.to_string()
    }

    fn parse<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let text = self.text(key);
        parse(&text).map_err(|reason| self.blame(key, &text, reason))
    }

    fn blame(&self, key: &str, text: &str, reason: String) -> ConfigError {
        let origin = self.raw.get(key).origin.clone();
        ConfigError::Value { origin, key: key.to_owned(), value: format!("`{text}`"), reason }
    }

    fn duration(&self, key: &str) -> Result<Span, ConfigError> {
        self.parse(key, unit::duration)
    }

    fn size(&self, key: &str) -> Result<u64, ConfigError> {
        self.parse(key, unit::size)
    }

    fn count<T: std::str::FromStr>(&self, key: &str) -> Result<T, ConfigError> {
        let wrong = || "write a whole number in its range".to_owned();
        self.parse(key, |text| text.trim().parse::<T>().ok().ok_or_else(wrong))
    }

    fn switch(&self, key: &str) -> Result<bool, ConfigError> {
        self.parse(key, |text| match text.trim() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" | "" => Ok(false),
            _ => Err("write true or false".to_owned()),
        })
    }

    fn word(&self, key: &str) -> Result<String, ConfigError> {
        let kind = setting(key).expect("a key of the table").kind;
        self.parse(key, |text| match kind {
            Kind::Word(words) if !words.contains(&text) => {
                Err(format!("write {}", words.join(" or ")))
            }
            _ => Ok(text.to_owned()),
        })
    }

    fn many<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Value::Many(texts) = &self.raw.get(key).value else { return Ok(Vec::new()) };
        texts.iter().map(|t| parse(t).map_err(|reason| self.blame(key, t, reason))).collect()
    }

    fn each<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        let Value::Table(table) = &self.raw.get(key).value else { return Ok(BTreeMap::new()) };
        let pair = |(name, text): (&String, &String)| {
            let value = parse(text).map_err(|reason| self.blame(key, text, reason))?;
            Ok((name.clone(), value))
        };
        table.iter().map(pair).collect()
    }
}
