//! Which server client commands talk to, as whom, and how its refusals are told.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stint_model::code::Code;
use stint_supervise::{Clock, chain};
use stint_wire::client::{Client, ClientConfig, ClientError, Credentials};

use crate::command::Context;
use crate::config::environment;
use crate::failure::{Exit, Failure};

/// For requests that do not wait on purpose.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `DIR/credentials.json`: written at the first start, read by client commands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyFile {
    pub(crate) account_id: String,
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: String,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFile({})", self.access_key_id)
    }
}

/// File names in the data directory.
pub(crate) const CREDENTIALS: &str = "credentials.json";
pub(crate) const ADDRESS: &str = "address";

/// Where to and as whom.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) endpoint: String,
    pub(crate) credentials: Credentials,
    /// Trusted beside the system's certificates.
    pub(crate) ca_pem: Option<Vec<u8>>,
}

impl Profile {
    /// Flags, then the environment, then the data directory of this machine.
    pub(crate) fn find(context: &Context) -> Result<Self, Failure> {
        let (global, environment) = (&context.global, &context.environment);
        let own = |name: &str| environment.get(name).map(str::to_owned);
        let endpoint = global.endpoint.clone().or_else(|| own(environment::ENDPOINT));
        // Who says where the server is needs no directory.
        let dir = match &endpoint {
            Some(_) => context.data_dir().ok(),
            None => Some(context.data_dir()?),
        };
        let endpoint = endpoint.or_else(|| read_address(dir.as_deref()?)).ok_or_else(|| {
            let dir = dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
            Failure::new(Exit::Unreachable, format!("no server is known: {dir} has no address"))
                .next("start one with `stint up`, or say --endpoint or $STINT_ENDPOINT")
        })?;
        let id = global.key_id.clone().or_else(|| own(environment::ACCESS_KEY_ID));
        let secret = global.key_secret.clone().or_else(|| own(environment::ACCESS_KEY_SECRET));
        let credentials = match (own(environment::TOKEN), id, secret) {
            (_, Some(id), Some(secret)) => {
                Credentials::Key { id, secret, security_token: own(environment::SECURITY_TOKEN) }
            }
            (Some(token), _, _) => Credentials::Bearer(token),
            (None, None, None) => dir.as_deref().map_or(Ok(Credentials::Anonymous), read_key)?,
            (None, _, _) => {
                return Err(Failure::new(Exit::Denied, "a key has an id and a secret")
                    .next("set $STINT_ACCESS_KEY_ID and $STINT_ACCESS_KEY_SECRET"));
            }
        };
        let ca = global.ca.clone().or_else(|| own(environment::CA).map(Into::into));
        let ca_pem = ca.map(|path| {
            std::fs::read(&path)
                .map_err(|error| Failure::cannot(format_args!("read {}", path.display()), &error))
        });
        Ok(Self { endpoint, credentials, ca_pem: ca_pem.transpose()? })
    }

    /// A client; nothing is sent yet.
    pub(crate) fn client(self) -> Result<Client, Failure> {
        let clock = Clock::start();
        let config = ClientConfig {
            endpoint: self.endpoint,
            credentials: self.credentials,
            timeout: TIMEOUT,
            ca_pem: self.ca_pem,
            now: std::sync::Arc::new(move || clock.wall_now()),
        };
        Ok(Client::new(config)?)
    }
}

fn read_address(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(ADDRESS)).ok()?;
    Some(dialled(text.trim())).filter(|text| !text.is_empty())
}

/// A listener on every address is reached over loopback, by the name that certificates have.
fn dialled(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let port = rest.strip_prefix("0.0.0.0:").or_else(|| rest.strip_prefix("[::]:"));
    match port {
        Some(port) => format!("{scheme}localhost:{port}"),
        None => address.to_owned(),
    }
}

fn read_key(dir: &Path) -> Result<Credentials, Failure> {
    let path = dir.join(CREDENTIALS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Credentials::Anonymous);
        }
        Err(error) => {
            return Err(Failure::cannot(format_args!("read {}", path.display()), &error)
                .next("the key of the server's user; or set $STINT_ACCESS_KEY_ID and …_SECRET"));
        }
    };
    let key: KeyFile = serde_json::from_str(&text)
        .map_err(|error| Failure::cannot(format_args!("read {}", path.display()), &error))?;
    let (id, secret) = (key.access_key_id, key.access_key_secret);
    Ok(Credentials::Key { id, secret, security_token: None })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Transport { ref source, .. } if source.is_timeout() => {
                Self::new(Exit::TimedOut, chain(&error))
            }
            ClientError::Transport { .. } => {
                let text = chain(&error);
                let next = match text.contains("certificate") {
                    true => "trust the server's certificate with --ca FILE or $STINT_CA",
                    false => "is the server running? `stint up` starts one here",
                };
                Self::new(Exit::Unreachable, text).next(next)
            }
            ClientError::Config(_) => Self::usage(error.to_string()),
            ClientError::BadAnswer { .. } => Self::local(error.to_string())
                .next("is this a Stint server, and not older than this program?"),
            ClientError::Refused { status, ref envelope } => {
                let exit = match status {
                    404 => Exit::NotFound,
                    401 | 403 => Exit::Denied,
                    408 | 504 => Exit::TimedOut,
                    _ => Exit::Other,
                };
                let text = format!("{} (request {})", error, envelope.request_id);
                let failure = Self::new(exit, text);
                match envelope.known().and_then(advice) {
                    Some(next) => failure.next(next),
                    None => failure,
                }
            }
        }
    }
}

/// What to do about a code, where that is always the same.
fn advice(code: Code) -> Option<&'static str> {
    match code {
        Code::FunctionNotFound => Some("stint function list"),
        Code::AsyncTaskNotFound => Some("stint task list"),
        Code::AsyncTaskNotFinished => Some("stint task stop ID, or wait for its end"),
        Code::FlowNotExists => Some("stint flow list"),
        Code::FlowVersionNotExists => Some("stint flow versions FLOW"),
        Code::ExecutionNotExists => Some("stint flow executions --flow FLOW"),
        Code::ExecutionAlreadyExists => Some("give another --name"),
        Code::AccountNotFound => Some("stint account list"),
        Code::KeyNotFound => Some("stint key list"),
        Code::InvalidAccessKeyID | Code::SignatureNotMatch | Code::MissingRequiredHeader => {
            Some("give a key with $STINT_ACCESS_KEY_ID and $STINT_ACCESS_KEY_SECRET")
        }
        Code::RequestTimeTooSkewed => Some("set this machine's clock"),
        Code::AccessDenied => Some("stint account whoami says what this key may do"),
        Code::InsufficientStorage => Some("make room on the server's disk"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use stint_wire::problem::Envelope;

    use super::*;
    use crate::cli::Cli;
    use crate::config::environment::Environment;
    use crate::screen::{Format, Screen};

    fn context(args: &[&str], variables: &[(&str, &str)]) -> Context {
        let all = ["stint"].iter().chain(args).chain(&["version"]);
        let cli = Cli::try_parse_from(all).unwrap();
        let environment = Environment::of(variables);
        let screen = Screen::new(Format::Table, &environment);
        Context { global: cli.global, environment, screen }
    }

    #[test]
    fn on_one_machine_it_just_works() {
        let dir = tempfile::tempdir().unwrap();
        let home = [("STINT_DATA", dir.path().to_str().unwrap())];
        let error = Profile::find(&context(&[], &home)).unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable);
        std::fs::write(dir.path().join(ADDRESS), "127.0.0.1:7780\n").unwrap();
        let profile = Profile::find(&context(&[], &home)).unwrap();
        assert_eq!(profile.endpoint, "127.0.0.1:7780");
        assert!(matches!(profile.credentials, Credentials::Anonymous));
        let key = KeyFile {
            account_id: "1".into(),
            access_key_id: "k".into(),
            access_key_secret: "s".into(),
        };
        std::fs::write(dir.path().join(CREDENTIALS), serde_json::to_vec(&key).unwrap()).unwrap();
        let profile = Profile::find(&context(&[], &home)).unwrap();
        assert!(matches!(profile.credentials, Credentials::Key { ref id, .. } if id == "k"));
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_directory() {
        let env = [
            ("HOME", "/h"),
            ("STINT_ENDPOINT", "env:1"),
            ("STINT_ACCESS_KEY_ID", "env"),
            ("STINT_ACCESS_KEY_SECRET", "s"),
        ];
        let profile = Profile::find(&context(&["--endpoint", "flag:2"], &env)).unwrap();
        assert_eq!(profile.endpoint, "flag:2");
        assert!(matches!(profile.credentials, Credentials::Key { ref id, .. } if id == "env"));
        let token = [("HOME", "/h"), ("STINT_ENDPOINT", "e:1"), ("STINT_TOKEN", "t")];
        let profile = Profile::find(&context(&[], &token)).unwrap();
        assert!(matches!(profile.credentials, Credentials::Bearer(_)));
        let half = [("HOME", "/h"), ("STINT_ENDPOINT", "e:1"), ("STINT_ACCESS_KEY_ID", "k")];
        assert_eq!(Profile::find(&context(&[], &half)).unwrap_err().exit, Exit::Denied);
    }

    #[test]
    fn refusals_have_their_exit_codes_and_advice() {
        let refused = |status: u16, code: Code| {
            let envelope = Envelope {
                code: code.text().to_owned(),
                message: "m".to_owned(),
                request_id: "r".to_owned(),
            };
            Failure::from(ClientError::Refused { status, envelope })
        };
        let missing = refused(404, Code::FunctionNotFound);
        assert_eq!(
            (missing.exit, missing.next.as_deref()),
            (Exit::NotFound, Some("stint function list"))
        );
        assert!(missing.message.contains("request r"), "{missing}");
        assert_eq!(refused(403, Code::AccessDenied).exit, Exit::Denied);
        assert_eq!(refused(409, Code::FunctionAlreadyExists).exit, Exit::Other);
    }

    #[test]
    fn secrets_do_not_print() {
        let key = KeyFile {
            account_id: "1".into(),
            access_key_id: "id".into(),
            access_key_secret: "hidden".into(),
        };
        assert!(!format!("{key:?}").contains("hidden"));
    }
}
