//! A house for one test: doors on free ports, an engine, a scripted node, clients for every role.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use stint_api::{Api, ApiConfig, ApiParts};
use stint_engine::control::code::{NoBuckets, NoJudge};
use stint_engine::secret::Keyring;
use stint_engine::{Engine, EngineConfig, Ports, Running};
use stint_model::id::{InstanceId, NodeId};
use stint_model::limit::Resources;
use stint_model::link::{AnswerHead, Event, FromNode, Lease, Outcome, Start, StopReason, ToNode};
use stint_model::task::Measured;
use stint_model::time::Span;
use stint_store::memory::{MemoryBlobs, MemoryJournal, MemoryStore};
use stint_supervise::{Clock, OnExit, Supervisor};
use stint_watch::{LogPiece, Logs, LogsConfig, UsageBook};
use stint_wire::client::{Client, ClientConfig, Credentials};
use stint_wire::fc::{AsyncConfigInput, CodeLocation, FunctionInput};
use stint_wire::native::{KeyCreate, Setting};
use tokio::sync::mpsc;

/// A zip with `index.py`.
pub(crate) const ZIP_BASE64: &str = "UEsDBBQAAAAAAAAAIVy0CHBpLgAAAC4AAAAIAAAAaW5kZXgucHlkZWYgaGFuZGxlcihldmVudCwgY29udGV4dCk6CiAgICByZXR1cm4gZXZlbnQKUEsBAhQDFAAAAAAAAAAhXLQIcGkuAAAALgAAAAgAAAAAAAAAAAAAAIABAAAAAGluZGV4LnB5UEsFBgAAAAABAAEANgAAAFQAAAAAAA==";
/// Its length.
pub(crate) const ZIP_BYTES: u64 = 160;

pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) trigger_address: SocketAddr,
    pub(crate) supervisor: Supervisor,
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    /// The root account's admin.
    pub(crate) admin: Client,
    pub(crate) admin_key: (String, String),
    _running: Running,
}

impl House {
    pub(crate) async fn build() -> Self {
        Self::build_with(ApiConfig::for_tests()).await
    }

    pub(crate) async fn build_with(config: ApiConfig) -> Self {
        let clock = Clock::start();
        let supervisor = Supervisor::new(clock.clone());
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            blobs: Arc::new(MemoryBlobs::new()),
            buckets: Arc::new(NoBuckets),
            judge: Arc::new(NoJudge),
            http: Arc::new(stint_engine::flows::http::NoHttp),
            clock: clock.clone(),
            entropy: stint_engine::Entropy::System,
            keyring: Keyring::in_memory(),
            spending: Arc::new(stint_engine::Unmetered),
            storage_allows: Arc::new(AtomicBool::new(true)),
        };
        let engine_config = EngineConfig::for_tests();
        let mut running =
            stint_engine::start(engine_config, ports, &supervisor).await.expect("starts");
        running.ready().await;
        let engine = running.engine.clone();
        let key = engine.bootstrap(None).await.expect("bootstraps").expect("a first key");
        let (logs, writer) =
            Logs::new(Arc::new(MemoryJournal::new()), LogsConfig::for_tests(), clock.clone());
        supervisor.spawn("logs", OnExit::Ignore, |stop| writer.run(stop));
        attach_node(&engine, &supervisor, logs.clone());
        let usage =
            UsageBook::open(Arc::new(MemoryJournal::new()), Span::from_secs(86_400), clock.clone());
        let usage = usage.await.expect("an empty journal reads");
        let secure = config.tls.is_some();
        let api = Api::open(ApiParts {
            config,
            engine: engine.clone(),
            logs,
            usage,
            metrics: Arc::new(|| "stint_up 1\n".to_owned()),
            ready: Arc::new(|| true),
            settings: vec![Setting {
                name: "listen".into(),
                value: "127.0.0.1:7780".into(),
                origin: "default".into(),
            }],
            version: "1.2.3".into(),
        })
        .await
        .expect("the doors open");
        let address = api.address().expect("an address");
        let trigger_address = api.trigger_address().expect("an address");
        api.serve(&supervisor);
        let admin_key = (key.key.id.to_string(), key.secret.expose().to_owned());
        let scheme = if secure { "https" } else { "http" };
        let admin = client(
            format!("{scheme}://{address}"),
            Credentials::Key {
                id: admin_key.0.clone(),
                secret: admin_key.1.clone(),
                security_token: None,
            },
            &clock,
        );
        Self {
            address,
            trigger_address,
            supervisor,
            engine,
            clock,
            admin,
            admin_key,
            _running: running,
        }
    }

    pub(crate) fn client(&self, credentials: Credentials) -> Client {
        client(format!("http://{}", self.address), credentials, &self.clock)
    }

    /// A client of the root account with this role, narrowed to these functions.
    pub(crate) async fn with_role(&self, role: &str, functions: &[&str]) -> Client {
        let made = self
            .admin
            .key_create(&KeyCreate {
                role: role.into(),
                functions: functions.iter().map(|name| (*name).to_owned()).collect(),
                ..KeyCreate::default()
            })
            .await
            .expect("a key");
        let secret = made.secret.expect("a permanent key has a secret");
        self.client(Credentials::Key { id: made.key.id, secret, security_token: None })
    }

    /// A function whose async calls are tasks.
    pub(crate) async fn function(&self, name: &str) {
        self.admin.function_create(&function_input(name)).await.expect("created");
        let tasks = AsyncConfigInput {
            async_task: Some(true),
            max_async_retry_attempts: Some(0),
            ..AsyncConfigInput::default()
        };
        self.admin.async_config_put(name, None, &tasks).await.expect("configured");
    }

    /// Waits for a condition, at most ten seconds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let by = self.clock.now() + Span::from_secs(10);
        while !holds().await {
            assert!(self.clock.now() < by, "in vain: {what}");
            self.clock.sleep(Span::from_millis(5)).await;
        }
    }
}

pub(crate) fn function_input(name: &str) -> FunctionInput {
    FunctionInput {
        function_name: Some(name.into()),
        runtime: Some("python3.10".into()),
        handler: Some("index.handler".into()),
        cpu: Some(0.1),
        memory_size: Some(128),
        timeout: Some(60),
        code: Some(CodeLocation { zip_file: Some(ZIP_BASE64.into()), ..CodeLocation::default() }),
        ..FunctionInput::default()
    }
}

fn client(endpoint: String, credentials: Credentials, clock: &Clock) -> Client {
    let clock = clock.clone();
    Client::new(ClientConfig {
        endpoint,
        credentials,
        timeout: Duration::from_secs(20),
        ca_pem: Some(include_bytes!("fixtures/one.crt").to_vec()),
        now: Arc::new(move || clock.wall_now()),
    })
    .expect("a client")
}

fn attach_node(engine: &Engine, supervisor: &Supervisor, logs: Logs) {
    let (to_node, inbox) = mpsc::channel(1_024);
    let (outbox, from_node) = mpsc::channel(1_024);
    let pump = engine.clone();
    let guests = supervisor.guests("node/outside", 64);
    supervisor
        .spawn("link", OnExit::Ignore, move |stop| pump.run_node(from_node, to_node, guests, stop));
    let node = FakeNode { clock: supervisor.clock().clone(), outbox, logs };
    supervisor.spawn("node", OnExit::Ignore, move |stop| async move {
        // Stopped or done, the node is gone.
        stop.until(node.run(inbox)).await;
    });
}

/// Answers by what the event says: `fail`, `stream`, `break`, `hang`, `not-started`, `full`; anything
/// else is echoed.
struct FakeNode {
    clock: Clock,
    outbox: mpsc::Sender<FromNode>,
    logs: Logs,
}

impl FakeNode {
    async fn run(self, mut inbox: mpsc::Receiver<ToNode>) {
        let node = NodeId(1);
        let capacity = Resources { cpu_milli: 8_000, memory_mb: 16_384 };
        let runtimes =
            BTreeMap::from([("python3.10".to_owned(), "/usr/bin/python3.11".to_owned())]);
        self.say(FromNode::Hello { node, capacity, runtimes }).await;
        let mut live: BTreeMap<u32, u32> = BTreeMap::new();
        let mut hanging: Vec<Lease> = Vec::new();
        while let Some(message) = inbox.recv().await {
            match message {
                ToNode::Start(start) => {
                    let count = live.entry(start.spec.pool).or_default();
                    if !start.warm {
                        *count += 1;
                    }
                    let (pool, live) = (start.spec.pool, *count);
                    self.say(FromNode::Pool { node, pool, live, starting: 0 }).await;
                    if self.start(&start).await {
                        hanging.push(start.lease);
                    }
                }
                ToNode::Stop { lease, reason, .. } => {
                    if let Some(at) = hanging.iter().position(|hung| *hung == lease) {
                        hanging.remove(at);
                        self.stopped(lease, reason).await;
                    }
                }
                ToNode::Evict { .. }
                | ToNode::Keep { .. }
                | ToNode::Retire { .. }
                | ToNode::StopInstance { .. }
                | ToNode::Exec { .. }
                | ToNode::Session(_)
                | ToNode::Prepare(_)
                | ToNode::Fence { .. }
                | ToNode::Drain { .. } => {}
            }
        }
    }

    async fn stopped(&self, lease: Lease, reason: StopReason) {
        self.finish(lease, Outcome::Stopped(reason), Bytes::new()).await;
    }

    async fn say(&self, report: FromNode) {
        // A closed pump means that the house is gone.
        drop(self.outbox.send(report).await);
    }

    /// True when the attempt hangs.
    async fn start(&self, start: &Start) -> bool {
        let event = match &start.event {
            Event::Inline(bytes) => bytes.clone(),
            Event::Blob(name) => Bytes::from(name.clone()),
        };
        self.logs.push(LogPiece {
            account: start.spec.account,
            function: Arc::clone(&start.spec.function_name),
            request_id: Arc::clone(&start.request_id),
            attempt: start.lease.attempt,
            instance: InstanceId(7),
            at: self.clock.now(),
            text: Bytes::from(format!("begin\ngot {} bytes\n", event.len())),
        });
        let lease = start.lease;
        self.say(FromNode::Started { lease, measured: self.measured() }).await;
        match &event[..] {
            b"hang" => return true,
            b"fail" => {
                let outcome = Outcome::UserError {
                    class: "UnhandledInvocationError".into(),
                    kind: "ValueError".into(),
                    message: "boom".into(),
                };
                self.finish(lease, outcome, Bytes::from_static(b"{\"errorMessage\":\"boom\"}"))
                    .await;
            }
            b"not-started" => {
                let message = "check function health failed with status code: 500".into();
                self.finish(lease, Outcome::NotStarted { message }, Bytes::new()).await;
            }
            b"full" => {
                let reason = "no room".into();
                self.finish(lease, Outcome::Refused { reason }, Bytes::new()).await;
            }
            b"stream" | b"break" => {
                let head = AnswerHead { status: 200, headers: Vec::new() };
                self.say(FromNode::Head { lease, head }).await;
                for piece in [&b"one "[..], b"two "] {
                    self.say(FromNode::Chunk { lease, bytes: Bytes::from_static(piece) }).await;
                }
                let outcome = if &event[..] == b"stream" {
                    Outcome::Ok
                } else {
                    Outcome::SystemError { reason: "died".into() }
                };
                self.finish(lease, outcome, Bytes::new()).await;
            }
            _ => self.finish(lease, Outcome::Ok, event).await,
        }
        false
    }

    async fn finish(&self, lease: Lease, outcome: Outcome, body: Bytes) {
        let mut measured = self.measured();
        measured.ended_at = self.clock.now();
        let log_tail = Bytes::from_static(b"the tail\n");
        self.say(FromNode::Finished { lease, outcome, body, measured, log_tail }).await;
    }

    fn measured(&self) -> Measured {
        let now = self.clock.now();
        Measured {
            instance: Some(InstanceId(7)),
            placed_at: now,
            started_at: now,
            memory_milli_mb: 9_200,
            ..Measured::default()
        }
    }
}

/// One raw exchange on a fresh connection: what was written, what came back until the peer closed or
/// a whole answer was there.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    // The server may answer and close before it has read everything.
    drop(socket.write_all(request).await);
    let mut answer = Vec::new();
    let mut buffer = vec![0_u8; 16 << 10];
    while let Ok(count) = socket.read(&mut buffer).await {
        answer.extend_from_slice(&buffer[..count]);
        if count == 0 || is_whole(&answer) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|len| body.len() >= len)
}
