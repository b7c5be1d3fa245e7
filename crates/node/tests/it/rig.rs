//! A node with a real launcher, played by a server that only remembers what it was told.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stint_model::function::{
    CodePackage, CustomRuntime, FunctionConfig, Hook, InjectCredentials, IsolationMode,
};
use stint_model::id::{AccountId, FunctionId, NodeId, RevisionId};
use stint_model::limit::{Class, Resources};
use stint_model::shard::{Epoch, Shard};
use stint_model::task::{Measured, Progress};
use stint_model::time::Span;
use stint_node::{
    ApiDoor, CodeSource, EgressConfig, FetchError, ImageSettings, LayerLimits, LogSink, NodeAgent,
    NodeBounds, NodeConfig, NodeDeps, NodeHandle, RuntimeTable, UsageSink,
};
use stint_sandbox::{
    Discovery, IsolationPolicy, Launcher, LauncherConfig, SpawnerCommand, UserNamespace,
};
use stint_supervise::{Clock, OnExit, Stop, Supervisor};
use stint_wire::node::{
    AnswerHead, Event, FromNode, InstanceReport, Lease, LogPiece, NodeLoad, Outcome, PoolSpec,
    Start, ToNode, UsagePiece,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

/// Everything the node has said.
#[derive(Default, Debug)]
pub(crate) struct Heard {
    pub(crate) attempts: HashMap<Lease, Attempt>,
    pub(crate) pools: HashMap<u32, (u32, u32)>,
    pub(crate) instances: Vec<InstanceReport>,
    pub(crate) runtimes: BTreeMap<String, String>,
    pub(crate) drained: bool,
    pub(crate) load: NodeLoad,
    pub(crate) gauge: Option<stint_wire::node::Gauge>,
}

/// All reports of one lease.
#[derive(Default, Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) started: Option<Measured>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) head: Option<AnswerHead>,
    pub(crate) chunks: Vec<u8>,
    pub(crate) finished: Option<Finished>,
}

#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) body: Bytes,
    pub(crate) measured: Measured,
    pub(crate) tail: String,
    /// What the sink had when the report came.
    pub(crate) log: String,
}

impl Finished {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn user_error(&self) -> (&str, &str, &str) {
        match &self.outcome {
            Outcome::UserError { class, kind, message } => (class, kind, message),
            other => panic!("not a user error: {other:?}, log: {}", self.log),
        }
    }
}

#[derive(Default)]
struct Shelf {
    blobs: Mutex<HashMap<String, Bytes>>,
}

#[async_trait]
impl CodeSource for Shelf {
    async fn get(&self, name: &str) -> Result<Bytes, FetchError> {
        let missing = || FetchError { name: name.to_owned(), reason: "absent".to_owned() };
        self.blobs.lock().unwrap().get(name).cloned().ok_or_else(missing)
    }
}

#[derive(Default)]
struct Sink {
    pieces: Mutex<Vec<LogPiece>>,
    used: Mutex<Vec<UsagePiece>>,
}

impl UsageSink for Sink {
    fn put(&self, piece: UsagePiece) {
        self.used.lock().unwrap().push(piece);
    }
}

#[async_trait]
impl LogSink for Sink {
    async fn put(&self, pieces: Vec<LogPiece>) {
        self.pieces.lock().unwrap().extend(pieces);
    }
}

/// Stands behind the door to the API: says what it was asked.
struct Platform;

#[async_trait]
impl ApiDoor for Platform {
    async fn serve(&self, mut stream: TcpStream, _: Stop) {
        let mut asked = [0; 1024];
        let n = stream.read(&mut asked).await.unwrap_or(0);
        let line = String::from_utf8_lossy(&asked[..n]).lines().next().unwrap_or("").to_owned();
        let body = format!("the platform heard {line}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.ok();
    }

    fn url(&self) -> Option<String> {
        None
    }
}

pub(crate) struct Rig {
    _dir: TempDir,
    pub(crate) handle: NodeHandle,
    supervisor: Supervisor,
    /// The node's part, which ends before the pump does.
    group: Supervisor,
    shelf: Arc<Shelf>,
    sink: Arc<Sink>,
    to_node: mpsc::Sender<ToNode>,
    heard: watch::Receiver<Arc<Mutex<Heard>>>,
    works: AtomicU64,
    pools: AtomicU32,
}

/// Who runs the spawner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum As {
    /// Whoever runs the tests.
    Me,
    /// A user without any privilege.
    Nobody,
}

impl Rig {
    pub(crate) async fn open() -> Self {
        Self::with(As::Me, |_| {}).await
    }

    pub(crate) async fn with(who: As, adjust: impl FnOnce(&mut NodeConfig)) -> Self {
        let dir = tempfile::Builder::new().prefix("stint-node-").tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let supervisor = Supervisor::new(Clock::start());
        let (launcher, pump) = Launcher::start(launcher_config(dir.path(), who)).await.unwrap();
        supervisor.spawn("pump", OnExit::Ignore, |stop| async move {
            stop.until(pump.run()).await;
        });
        let discovery = Discovery::run(&launcher, Vec::new()).await;
        let mut config = NodeConfig {
            node: NodeId(1),
            dir: dir.path().join("node"),
            volumes_dir: dir.path().join("volumes"),
            capacity: Resources { cpu_milli: 16_000, memory_mb: 4_096 },
            host_dirs_allowed: Vec::new(),
            egress: EgressConfig::DEFAULT,
            images: ImageSettings {
                registries: Vec::new(),
                loopback_allowed: true,
                layouts: Vec::new(),
                bytes_max: 1 << 30,
                layer: LayerLimits::DEFAULT,
            },
            cpu_overcommit_percent: 100,
            account_ids_from: 100_000,
            // Whoever wants interpreters to wait says so.
            bounds: NodeBounds { parked_max: 0, ..NodeBounds::DEFAULT },
        };
        adjust(&mut config);
        let (shelf, sink) = (Arc::new(Shelf::default()), Arc::new(Sink::default()));
        let (to_node, from_server) = mpsc::channel(64);
        let (to_server, reports) = mpsc::channel(64);
        let group = supervisor.group();
        let deps = NodeDeps {
            supervisor: group.clone(),
            launcher,
            runtimes: RuntimeTable::new(BTreeMap::new(), discovery),
            code: Arc::clone(&shelf) as Arc<dyn CodeSource>,
            logs: Arc::clone(&sink) as Arc<dyn LogSink>,
            api: Arc::new(Platform),
            usage: Arc::clone(&sink) as Arc<dyn UsageSink>,
            from_server,
            to_server,
        };
        let (agent, handle) = NodeAgent::new(config, deps).unwrap();
        group.spawn("node", OnExit::Ignore, |stop| agent.run(stop));
        let (tell, heard) = watch::channel(Arc::new(Mutex::new(Heard::default())));
        let log = Arc::clone(&sink);
        supervisor.spawn("server", OnExit::Ignore, |_| listen(reports, tell, log));
        let (works, pools) = (AtomicU64::new(1), AtomicU32::new(1));
        Self { _dir: dir, handle, supervisor, group, shelf, sink, to_node, heard, works, pools }
    }

    /// A pool of a function with these files.
    pub(crate) fn function(&self, runtime: &str, files: &[(&str, &str)]) -> PoolSpec {
        self.function_with(runtime, files, |_| {})
    }

    pub(crate) fn function_with(
        &self,
        runtime: &str,
        files: &[(&str, &str)],
        adjust: impl FnOnce(&mut FunctionConfig),
    ) -> PoolSpec {
        let size = Resources { cpu_milli: 500, memory_mb: 256 };
        let mut config = FunctionConfig {
            description: String::new(),
            runtime: runtime.into(),
            handler: "index.handler".into(),
            size,
            disk_mb: 512,
            timeout: Span::from_secs(30),
            instance_concurrency: 1,
            environment: BTreeMap::new(),
            layers: Vec::new(),
            custom_runtime: None,
            custom_container: None,
            custom_dns: None,
            internet_access: true,
            role: String::new(),
            initializer: None,
            pre_stop: None,
            nas: None,
            log: None,
            idle_timeout: Span::ZERO,
            disable_ondemand: false,
            inject: InjectCredentials::Everywhere,
            isolation: IsolationMode::Share,
            kept: BTreeMap::new(),
        };
        adjust(&mut config);
        let pool = self.pools.fetch_add(1, Ordering::Relaxed);
        PoolSpec {
            pool,
            account: AccountId::ROOT,
            function: FunctionId::from_number(u64::from(pool)),
            function_name: format!("function-{pool}").into(),
            revision: RevisionId::from_number(u64::from(pool)),
            version: "LATEST".into(),
            size: config.size,
            config: Arc::new(config),
            code: Some(self.package(files)),
            image: None,
            layers: Vec::new(),
            extra_env: BTreeMap::from([("FC_REGION".into(), "local".into())]),
        }
    }

    pub(crate) fn package(&self, files: &[(&str, &str)]) -> CodePackage {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
            zip.start_file(*name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let bytes = Bytes::from(zip.finish().unwrap().into_inner());
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let blob = format!("code/{}", self.works.fetch_add(1, Ordering::Relaxed));
        let size = u64::try_from(bytes.len()).unwrap();
        self.shelf.blobs.lock().unwrap().insert(blob.clone(), bytes);
        CodePackage { blob, size, crc64: 0, sha256 }
    }

    pub(crate) fn blob(&self, name: &str, bytes: impl Into<Bytes>) -> Event {
        self.shelf.blobs.lock().unwrap().insert(name.to_owned(), bytes.into());
        Event::Blob(name.to_owned())
    }

    /// An order to start, not sent yet.
    pub(crate) fn start(&self, spec: &Arc<PoolSpec>, event: &[u8]) -> Start {
        let work = self.works.fetch_add(1, Ordering::Relaxed);
        Start {
            lease: Lease { shard: Shard::FIRST, epoch: Epoch(1), work, attempt: 1 },
            spec: Arc::clone(spec),
            class: Class::Batch,
            request_id: format!("r-{work}").into(),
            task_id: Some(format!("task-{work}").into()),
            qualifier: "LATEST".into(),
            event: Event::Inline(Bytes::copy_from_slice(event)),
            timeout: spec.config.timeout,
            retries: 0,
            idempotency_key: format!("key-{work}").into(),
            log_tail: true,
            session: None,
            warm: false,
        }
    }

    pub(crate) async fn send(&self, order: ToNode) {
        self.to_node.send(order).await.unwrap();
    }

    pub(crate) async fn run(&self, start: Start) -> Lease {
        let lease = start.lease;
        self.send(ToNode::Start(Box::new(start))).await;
        lease
    }

    /// Runs to the end.
    pub(crate) async fn invoke(&self, spec: &Arc<PoolSpec>, event: &[u8]) -> Finished {
        let lease = self.run(self.start(spec, event)).await;
        self.finished(lease).await
    }

    pub(crate) async fn finished(&self, lease: Lease) -> Finished {
        self.until("the attempt is finished", |heard| heard.attempts.get(&lease)?.finished.clone())
            .await
    }

    pub(crate) async fn started(&self, lease: Lease) -> Measured {
        self.until("the attempt is started", |heard| heard.attempts.get(&lease)?.started.clone())
            .await
    }

    pub(crate) fn attempt(&self, lease: Lease) -> Attempt {
        self.heard.borrow().lock().unwrap().attempts[&lease].clone()
    }

    /// Waits until what was heard gives something.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Heard) -> Option<T>,
    ) -> T {
        let mut heard = self.heard.clone();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let seen = look(&heard.borrow_and_update().lock().unwrap());
                if let Some(found) = seen {
                    return found;
                }
                heard.changed().await.unwrap();
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain until {what}: {:#?}", self.heard.borrow().lock()),
        }
    }

    pub(crate) async fn pool_is(&self, spec: &PoolSpec, live: u32) {
        self.until(&format!("{live} instances live"), |heard| {
            (heard.pools.get(&spec.pool) == Some(&(live, 0))).then_some(())
        })
        .await;
    }

    /// Everything in the sink whose request is this, or all of an instance's loose lines.
    pub(crate) fn log_of(&self, request_id: &str) -> String {
        text_of(&self.sink.pieces.lock().unwrap(), request_id)
    }

    /// What instances said they used so far.
    pub(crate) fn used(&self) -> Vec<UsagePiece> {
        self.sink.used.lock().unwrap().clone()
    }

    pub(crate) async fn log_has(&self, request_id: &str, text: &str) {
        let found = tokio::time::timeout(PATIENCE, async {
            while !self.log_of(request_id).contains(text) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(found.await.is_ok(), "no {text:?} in {:?}", self.log_of(request_id));
    }

    /// Runs beside the node until the rig closes.
    pub(crate) fn serve(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) {
        self.supervisor.spawn(name, OnExit::Ignore, |stop| async move {
            stop.until(work).await;
        });
    }

    pub(crate) async fn close(self) {
        self.group.stop().request();
        tokio::time::timeout(PATIENCE, self.group.ended()).await.unwrap();
        self.supervisor.stop().request();
        tokio::time::timeout(PATIENCE, self.supervisor.ended()).await.unwrap();
    }
}

fn text_of(pieces: &[LogPiece], request_id: &str) -> String {
    let of = pieces.iter().filter(|piece| &*piece.request_id == request_id);
    of.map(|piece| String::from_utf8_lossy(&piece.text).into_owned()).collect()
}

async fn listen(
    mut reports: mpsc::Receiver<FromNode>,
    tell: watch::Sender<Arc<Mutex<Heard>>>,
    sink: Arc<Sink>,
) {
    while let Some(report) = reports.recv().await {
        tell.send_modify(|heard| {
            let mut heard = heard.lock().unwrap();
            match report {
                FromNode::Hello { runtimes, .. } => heard.runtimes = runtimes,
                FromNode::Started { lease, measured } => {
                    let attempt = heard.attempts.entry(lease).or_default();
                    assert!(attempt.finished.is_none(), "started after it was finished");
                    attempt.started = Some(measured);
                }
                FromNode::Progress { lease, progress } => {
                    heard.attempts.entry(lease).or_default().progress.push(progress);
                }
                FromNode::Head { lease, head } => {
                    heard.attempts.entry(lease).or_default().head = Some(head);
                }
                FromNode::Chunk { lease, bytes } => {
                    heard.attempts.entry(lease).or_default().chunks.extend_from_slice(&bytes);
                }
                FromNode::Finished { lease, outcome, body, measured, log_tail } => {
                    let pieces = sink.pieces.lock().unwrap();
                    let log = text_of(&pieces, &format!("r-{}", lease.work));
                    let tail = String::from_utf8(log_tail.to_vec()).unwrap();
                    let attempt = heard.attempts.entry(lease).or_default();
                    assert!(attempt.finished.is_none(), "finished twice");
                    attempt.finished = Some(Finished { outcome, body, measured, tail, log });
                }
                FromNode::Pool { pool, live, starting, .. } => {
                    heard.pools.insert(pool, (live, starting));
                }
                FromNode::Instance(report) => heard.instances.push(report),
                // Played from outside: a registry is needed.
                FromNode::Image { .. } => {}
                FromNode::Drained { .. } => heard.drained = true,
                FromNode::Exec { .. } => {}
                FromNode::Load { load, .. } => heard.load = load,
                FromNode::Gauge { gauge, .. } => heard.gauge = Some(gauge),
            }
        });
    }
}

fn launcher_config(dir: &Path, who: As) -> LauncherConfig {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_stint-node-spawner"));
    let name = dir.file_name().unwrap().to_str().unwrap().replace('.', "_");
    let base_dir = dir.join("base");
    let mut spawner = SpawnerCommand { program: built.clone(), args: Vec::new() };
    if who == As::Nobody {
        // The build directory may be closed to others.
        let copy = dir.join("spawner");
        std::fs::copy(built, &copy).unwrap();
        std::fs::create_dir(&base_dir).unwrap();
        std::os::unix::fs::chown(&base_dir, Some(NOBODY), Some(NOBODY)).unwrap();
        let id = NOBODY.to_string();
        let args = ["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all"];
        spawner.program = "/usr/bin/setpriv".into();
        spawner.args = args.map(str::to_owned).to_vec();
        spawner.args.push(copy.to_str().unwrap().to_owned());
    }
    LauncherConfig {
        spawner,
        cgroup_name: name,
        base_dir,
        host_network_allowed: false,
        policy: IsolationPolicy::personal(),
        parked: 0,
        user_namespace: UserNamespace::WhenAvailable,
    }
}

/// A hook of this name with a long bound.
pub(crate) fn hook(handler: &str) -> Option<Hook> {
    Some(Hook { handler: handler.into(), timeout: Span::from_secs(20) })
}

pub(crate) fn custom(command: &[&str], port: u16) -> Option<CustomRuntime> {
    Some(CustomRuntime {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        args: Vec::new(),
        port,
        health_check: None,
    })
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
