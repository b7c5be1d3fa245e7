//! What the node says about the function and about one invocation, parsed into values.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

/// Memory the shim itself takes; the rest of the function's belongs to its guests.
pub(crate) const SHIM_MB: u64 = 32;
/// A guest gets this much however small the function is.
const GUEST_MB_LEAST: u64 = 16;
/// Between the paths of `mounts`.
const MOUNT_SEPARATOR: char = '\u{1f}';
/// Names that mean something to native programs only.
const NATIVE: &[&str] = &["PATH", "LD_LIBRARY_PATH", "NODE_PATH"];

/// The function, as the configure frame says.
#[derive(Debug)]
pub(crate) struct Setting {
    fields: BTreeMap<String, String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) preopens: Vec<Preopen>,
    /// Whether the program may use the network at all; the sandbox decides what it reaches.
    pub(crate) network: bool,
    pub(crate) memory_bytes_max: usize,
    pub(crate) result_bytes_max: usize,
    /// Where standard output and error of guests go.
    pub(crate) logs: [File; 2],
}

/// A directory that guests may open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Preopen {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) writable: bool,
}

impl Setting {
    /// `head`: names and values; `environment`: the same for the guest's environment.
    pub(crate) fn parse(head: &[u8], environment: &[u8]) -> Result<Self, String> {
        let fields: BTreeMap<String, String> = pairs(head).collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let memory_mb: u64 = field("memory").parse().map_err(|_| "no memory is said".to_owned())?;
        let guest_mb = memory_mb.saturating_sub(SHIM_MB).max(GUEST_MB_LEAST);
        let result_bytes_max = field("result_bytes_max").parse().unwrap_or(6 << 20);
        let logs = logs().map_err(|error| format!("no output: {error}"))?;
        let network = field("network") == "yes";
        let preopens = preopens(field("code_path"), field("mounts"));
        let environment =
            pairs(environment).filter(|(name, _)| !NATIVE.contains(&name.as_str())).collect();
        let memory_bytes_max = usize::try_from(guest_mb << 20).unwrap_or(usize::MAX);
        Ok(Self {
            fields,
            environment,
            preopens,
            network,
            memory_bytes_max,
            result_bytes_max,
            logs,
        })
    }

    /// The way out that the environment names.
    pub(crate) fn proxy(&self) -> Option<http::Uri> {
        let find = |wanted: &str| self.environment.iter().find(|(name, _)| name == wanted);
        let (_, said) = find("https_proxy").or_else(|| find("http_proxy"))?;
        said.parse().ok().filter(|uri: &http::Uri| uri.scheme_str() == Some("http"))
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> u32 {
        self.field(name).parse().unwrap_or(0)
    }
}

fn logs() -> std::io::Result<[File; 2]> {
    let out = std::io::stdout().as_fd().try_clone_to_owned()?;
    let err = std::io::stderr().as_fd().try_clone_to_owned()?;
    Ok([out.into(), err.into()])
}

/// `/tmp` and the code always; layers and volumes where the function has them.
fn preopens(code: &str, mounts: &str) -> Vec<Preopen> {
    let preopen =
        |path: &str, writable| Preopen { host: path.into(), guest: path.to_owned(), writable };
    let mut preopens = vec![preopen("/tmp", true)];
    if !code.is_empty() {
        preopens.push(preopen(code, false));
    }
    for mount in mounts.split(MOUNT_SEPARATOR) {
        match mount.split_once(':') {
            Some(("w", path)) => preopens.push(preopen(path, true)),
            Some((_, path)) => preopens.push(preopen(path, false)),
            None => {}
        }
    }
    preopens
}

/// One invocation, as its frame says.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) task_id: String,
    pub(crate) retries: u32,
    pub(crate) idempotency_key: String,
    pub(crate) qualifier: String,
    pub(crate) timeout: Duration,
    pub(crate) event: Bytes,
}

impl Invocation {
    pub(crate) fn parse(head: &[u8], event: Bytes) -> Self {
        let head = String::from_utf8_lossy(head);
        let mut fields = head.split('\0').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        let (request_id, task_id) = (next(), next());
        let retries = next().parse().unwrap_or(0);
        let (idempotency_key, qualifier) = (next(), next());
        // A node that says no time-out watches alone.
        let timeout = Duration::from_millis(next().parse().unwrap_or(u64::from(u32::MAX)));
        Self { request_id, task_id, retries, idempotency_key, qualifier, timeout, event }
    }

    /// What a command, which has nothing but its environment, is told.
    pub(crate) fn environment(&self, setting: &Setting) -> Vec<(String, String)> {
        let mut environment = setting.environment.clone();
        let mut say = |name: &str, value: &str| {
            let there = environment.iter().any(|(there, _)| there == name);
            if !value.is_empty() && !there {
                environment.push((name.to_owned(), value.to_owned()));
            }
        };
        say("FC_REQUEST_ID", &self.request_id);
        say("FC_ASYNC_TASK_ID", &self.task_id);
        say("FC_RETRY_COUNT", &self.retries.to_string());
        say("FC_QUALIFIER", &self.qualifier);
        say("STINT_IDEMPOTENCY_KEY", &self.idempotency_key);
        say("ALIBABA_CLOUD_ACCESS_KEY_ID", setting.field("access_key_id"));
        say("ALIBABA_CLOUD_ACCESS_KEY_SECRET", setting.field("access_key_secret"));
        say("ALIBABA_CLOUD_SECURITY_TOKEN", setting.field("security_token"));
        environment
    }
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = (String, String)> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let pairs: Vec<_> =
        parts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_read_from_its_frame() {
        let head = b"memory\x00128\0handler\0main.wasm\0network\0yes\0code_path\0/code\0mounts\0r:/opt\x1fw:/mnt/a";
        let setting = Setting::parse(head, b"A\x001\0PATH\0/bin\0FC_REGION\0local").unwrap();
        assert_eq!(setting.memory_bytes_max, 96 << 20);
        assert!(setting.network);
        assert_eq!(setting.environment.len(), 2);
        let shown: Vec<_> =
            setting.preopens.iter().map(|open| (open.guest.as_str(), open.writable)).collect();
        let expected = [("/tmp", true), ("/code", false), ("/opt", false), ("/mnt/a", true)];
        assert_eq!(shown, expected);
        assert_eq!(setting.field("handler"), "main.wasm");
        let plain = Setting::parse(b"memory\x0016", b"").unwrap();
        assert_eq!((plain.memory_bytes_max, plain.network), (16 << 20, false));
        assert_eq!(plain.preopens.len(), 1);
        assert!(Setting::parse(b"", b"").is_err());
    }

    #[test]
    fn an_invocation_is_read_and_becomes_an_environment() {
        let head = b"r-1\0t-1\x002\0key\0prod\x001500";
        let invocation = Invocation::parse(head, Bytes::from_static(b"{}"));
        assert_eq!(invocation.timeout, Duration::from_millis(1_500));
        let setting = Setting::parse(b"memory\x00128\0access_key_id\0STS.1", b"A\x001").unwrap();
        let environment: BTreeMap<_, _> = invocation.environment(&setting).into_iter().collect();
        assert_eq!(environment["FC_REQUEST_ID"], "r-1");
        assert_eq!(environment["FC_RETRY_COUNT"], "2");
        assert_eq!(environment["ALIBABA_CLOUD_ACCESS_KEY_ID"], "STS.1");
        assert!(!environment.contains_key("ALIBABA_CLOUD_SECURITY_TOKEN"));
        let bare = Invocation::parse(b"r", Bytes::new());
        assert!(bare.timeout > Duration::from_secs(1_000_000));
    }
}
