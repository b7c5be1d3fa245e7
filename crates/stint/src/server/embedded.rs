//! The embedded node: its ports onto the house, interpreters proven in the sandbox, and the loop
//! that is the agent.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use stint_api::InstanceDoor;
use stint_model::id::{AccountId, NodeId};
use stint_model::time::Timestamp;
use stint_node::{
    ApiDoor, CodeSource, EgressConfig, FetchError, Freeze, ImageSettings, LayerLimits, LogSink,
    NodeAgent, NodeBounds, NodeConfig, NodeDeps, NodeHandle, RuntimeTable, UsageSink,
};
use stint_sandbox::{Discovery, Launcher, LauncherConfig, Pump, SandboxError, UserNamespace};
use stint_store::Blobs;
use stint_supervise::{Stop, Supervisor};
use stint_watch::{Logs, UsageBook};
use stint_wire::node::{FromNode, LogPiece, ToNode, UsagePiece};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::command::doctor;
use crate::config::Config;
use crate::config::environment::Environment;

/// Code and payloads straight from the blob store.
#[derive(Debug)]
pub(crate) struct BlobSource(pub(crate) Arc<dyn Blobs>);

#[async_trait]
impl CodeSource for BlobSource {
    async fn get(&self, name: &str) -> Result<Bytes, FetchError> {
        self.0.get(name).await.map_err(|error| FetchError {
            name: name.to_owned(),
            reason: stint_supervise::chain(&error),
        })
    }
}

/// Log lines straight into the log.
#[derive(Debug)]
pub(crate) struct LogPipe(pub(crate) Logs);

#[async_trait]
impl LogSink for LogPipe {
    async fn put(&self, pieces: Vec<LogPiece>) {
        for piece in pieces {
            self.0.push(stint_watch::LogPiece {
                account: piece.account,
                function: piece.function_name,
                request_id: piece.request_id,
                attempt: piece.attempt,
                instance: piece.instance,
                at: piece.at,
                text: piece.text,
            });
        }
    }
}

/// The API for instances, once it is open: the node starts before it.
#[derive(Debug, Default)]
pub(crate) struct LateApi {
    opened: OnceLock<(InstanceDoor, String)>,
}

impl LateApi {
    /// The API is open; `address` is what its control listener says.
    pub(crate) fn open(&self, door: InstanceDoor, address: &str) {
        let url = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        // A listener on every address is reached over loopback.
        let url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:");
        // Nobody else sets it.
        drop(self.opened.set((door, url)));
    }
}

#[async_trait]
impl ApiDoor for LateApi {
    async fn serve(&self, stream: TcpStream, stop: Stop) {
        // Without a door the connection closes; clients try again.
        if let Some((door, _)) = self.opened.get() {
            door.serve(stream, stop).await;
        }
    }

    fn url(&self) -> Option<String> {
        self.opened.get().map(|(_, url)| url.clone())
    }
}

/// What instances use, straight into the sums.
#[derive(Debug)]
pub(crate) struct UsagePipe(pub(crate) UsageBook);

impl UsageSink for UsagePipe {
    fn put(&self, piece: UsagePiece) {
        self.0.put(&piece);
    }
}

/// What accounts have used, for their budgets.
#[derive(Debug)]
pub(crate) struct Spent(pub(crate) UsageBook);

impl stint_engine::Spending for Spent {
    fn spent(&self, account: AccountId, since: Timestamp) -> u64 {
        self.0.spent(account, since)
    }
}

/// What the node needs.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) supervisor: Supervisor,
    pub(crate) launcher: Launcher,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) logs: Logs,
    pub(crate) api: Arc<dyn ApiDoor>,
    pub(crate) usage: UsageBook,
    pub(crate) orders: mpsc::Receiver<ToNode>,
    pub(crate) reports: mpsc::Sender<FromNode>,
    /// Set once the agent is there.
    pub(crate) handle: Arc<OnceLock<NodeHandle>>,
}

/// Starts the small process that forks. Refuses a machine below the demanded isolation.
pub(crate) async fn launcher(
    config: &Config,
    environment: &Environment,
) -> Result<(Launcher, Pump), SandboxError> {
    // Two servers on one machine must not reap each other's leaves.
    let path = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let digest =
        crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(path.as_os_str().as_encoded_bytes());
    Launcher::start(LauncherConfig {
        spawner: doctor::spawner(),
        cgroup_name: format!("stint-{digest:016x}"),
        // An unprivileged sandbox shows nothing below a home.
        base_dir: match rustix::process::geteuid().is_root() {
            true => config.data.join("node/base"),
            false => environment.runtime_dir().join(format!("stint-{digest:016x}")),
        },
        host_network_allowed: doctor::shares_host_network(config),
        policy: doctor::policy(config),
        parked: config.node.parked,
        user_namespace: UserNamespace::WhenAvailable,
    })
    .await
}

/// Proves the interpreters, then serves until stopped.
pub(crate) async fn run(parts: Parts, stop: Stop) -> Result<(), stint_node::NodeError> {
    let look = Discovery::run(&parts.launcher, doctor::configured(&parts.config));
    let Some(discovery) = stop.until(look).await else { return Ok(()) };
    for refused in &discovery.refused {
        let path = refused.path.display();
        tracing::debug!(%path, reason = refused.reason, "an interpreter is not used");
    }
    let wasm = doctor::proven_wasm(&parts.launcher, parts.supervisor.clock()).await;
    if let Err(reason) = &wasm {
        tracing::warn!(reason, "runtime wasm does not work in this machine's sandbox");
    }
    let runtimes =
        RuntimeTable::new(parts.config.node.interpreters.clone(), discovery).with_wasm(wasm);
    tracing::info!(runtimes = ?runtimes.names(), "the node is there");
    let deps = NodeDeps {
        supervisor: parts.supervisor.clone(),
        launcher: parts.launcher,
        runtimes,
        code: Arc::new(BlobSource(parts.blobs)),
        logs: Arc::new(LogPipe(parts.logs)),
        api: parts.api,
        usage: Arc::new(UsagePipe(parts.usage)),
        from_server: parts.orders,
        to_server: parts.reports,
    };
    let (agent, handle) = NodeAgent::new(node_config(&parts.config), deps)?;
    // Nobody else sets it.
    drop(parts.handle.set(handle));
    agent.run(stop).await;
    Ok(())
}

fn node_config(config: &Config) -> NodeConfig {
    NodeConfig {
        node: NodeId(1),
        dir: config.data.join("node"),
        volumes_dir: config.data.join("volumes"),
        capacity: config.node.capacity,
        host_dirs_allowed: config.node.nas_allow.clone(),
        egress: EgressConfig {
            network: config.node.network,
            allow: config.node.egress_allow.clone(),
            deny: config.node.egress_deny.clone(),
            private_for_operator: !config.node.strict,
            host_ports: config.node.egress_host_ports.clone(),
            ..EgressConfig::DEFAULT
        },
        cpu_overcommit_percent: config.node.cpu_overcommit_percent,
        images: ImageSettings {
            registries: config.node.registries.clone(),
            // Strict is for accounts that do not trust each other.
            loopback_allowed: !config.node.strict,
            layouts: config.node.oci_allow.clone(),
            bytes_max: config.node.image_cache,
            layer: LayerLimits { bytes_max: config.node.image_max, ..LayerLimits::DEFAULT },
        },
        account_ids_from: ACCOUNT_IDS_FROM,
        bounds: NodeBounds {
            idle_timeout: config.node.idle_timeout,
            attempt_log_bytes_max: config.history.attempt_log_bytes,
            parked_max: usize::try_from(config.node.parked_interpreters).unwrap_or(usize::MAX),
            parked_memory_mb: config.node.parked_memory_mb,
            freeze: match config.node.freeze {
                true => Freeze::BetweenRequests,
                false => Freeze::Never,
            },
            ..NodeBounds::DEFAULT
        },
    }
}

/// Host user ids of accounts begin here: above those of people, services and usual containers.
const ACCOUNT_IDS_FROM: u32 = 1_879_048_192;
