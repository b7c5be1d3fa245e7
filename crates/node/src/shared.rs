//! What every instance of a node shares: ports, values and the two ways to speak.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use stint_model::id::InstanceId;
use stint_sandbox::Launcher;
use stint_supervise::{Clock, Guests, Supervisor};
use stint_wire::node::{FromNode, LogPiece, PoolSpec, Start};
use tokio::sync::mpsc;

use crate::agent::AgentEvent;
use crate::code::CodeCache;
use crate::config::NodeConfig;
use crate::egress::Egress;
use crate::identity::Identities;
use crate::image::Images;
use crate::instance::Parking;
use crate::ports::{CodeSource, LogSink, UsageSink};
use crate::runtimes::RuntimeTable;
use crate::volume::Volumes;
use crate::wasm::Wasm;

/// See the module.
pub(crate) struct NodeShared {
    pub(crate) config: NodeConfig,
    pub(crate) clock: Clock,
    pub(crate) supervisor: Supervisor,
    pub(crate) launcher: Launcher,
    pub(crate) runtimes: RuntimeTable,
    pub(crate) cache: CodeCache,
    pub(crate) images: Images,
    pub(crate) source: Arc<dyn CodeSource>,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) usage: Arc<dyn UsageSink>,
    pub(crate) identities: Identities,
    pub(crate) volumes: Volumes,
    pub(crate) shims: PathBuf,
    pub(crate) parking: Parking,
    /// Where the machine runs WebAssembly.
    pub(crate) wasm: Option<Wasm>,
    /// Connections to custom servers.
    pub(crate) connections: Guests,
    /// Commands that somebody runs in instances.
    pub(crate) visits: Guests,
    /// Ways out of instances.
    pub(crate) egress: Egress,
    pub(crate) events: mpsc::Sender<AgentEvent>,
    pub(crate) link: mpsc::Sender<FromNode>,
}

impl NodeShared {
    /// To the server. When nobody listens any more the node is ending, and the word is lost.
    pub(crate) async fn send(&self, report: FromNode) {
        drop(self.link.send(report).await);
    }

    /// To the agent; see [`Self::send`].
    pub(crate) async fn tell(&self, event: AgentEvent) {
        drop(self.events.send(event).await);
    }

    /// Hands over what an attempt wrote.
    pub(crate) async fn log(
        &self,
        spec: &PoolSpec,
        instance: InstanceId,
        start: &Start,
        text: Bytes,
    ) {
        let request_id = Arc::clone(&start.request_id);
        self.put(spec, instance, (request_id, start.lease.attempt), text).await;
    }

    /// Hands over what an instance wrote between requests.
    pub(crate) async fn log_loose(&self, spec: &PoolSpec, instance: InstanceId, text: Bytes) {
        self.put(spec, instance, ("".into(), 0), text).await;
    }

    async fn put(
        &self,
        spec: &PoolSpec,
        instance: InstanceId,
        (request_id, attempt): (Arc<str>, u32),
        text: Bytes,
    ) {
        let piece = LogPiece {
            account: spec.account,
            function: spec.function,
            function_name: Arc::clone(&spec.function_name),
            request_id,
            attempt,
            instance,
            at: self.clock.now(),
            text,
        };
        self.logs.put(vec![piece]).await;
    }
}
