//! The composition: puts a server together from its parts, in the order in which they need each
//! other, and takes it apart in the other order. It decides nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use stint_api::{Api, ApiConfig, ApiParts, OpenError};
use stint_engine::{Engine, EngineConfig, Entropy, Ports, Running};
use stint_model::account::AccountLimits;
use stint_model::time::Span;
use stint_node::NodeHandle;
use stint_sandbox::{Launcher, Pump};
use stint_sched::SchedConfig;
use stint_store::{Blobs, Journal, Store};
use stint_store_sqlite::{
    DiskConfig, DiskGuard, JournalConfig, SqliteConfig, SqliteJournal, SqliteStore,
};
use stint_supervise::{Clock, OnExit, Signals, Supervisor, chain};
use stint_watch::{Logs, LogsConfig, Retention, UsageBook};
use stint_wire::native::Setting;
use stint_wire::node::ToNode;
use tokio::sync::mpsc;

use super::buckets::{self, Buckets};
use super::directory::{self, TRIGGER_ADDRESS};
use super::embedded::{self, LateApi};
use super::figures::Figures;
use super::goodbye::{self, Leaving, Wings};
use super::programs::ProgramJudge;
use super::{http, identity, logging};
use crate::config::Config;
use crate::config::environment::Environment;
use crate::failure::Failure;
use crate::remote::{ADDRESS, KeyFile};

/// Values between engine and node that wait for the other side.
const LINK: usize = 8_192;

/// A started server.
struct Server {
    config: Config,
    clock: Clock,
    house: Supervisor,
    wings: Wings,
    engine: Engine,
    logs: Logs,
    node: Arc<OnceLock<NodeHandle>>,
    orders: mpsc::Sender<ToNode>,
    stopping: Arc<AtomicBool>,
    kept: Kept,
}

/// Handles that live until the last stage has ended: a writer whose last handle goes ends by itself.
type Kept = (Arc<dyn Store>, Arc<dyn Journal>, Logs);

/// What the first lines on the screen say.
pub(crate) struct Started {
    pub(crate) address: String,
    pub(crate) trigger_address: String,
    pub(crate) data: PathBuf,
    /// Only when it is new.
    pub(crate) key: Option<KeyFile>,
}

/// Runs a server to its end. `greet` is called once it listens and before it answers anybody, so that
/// whoever sees it ready finds what it said.
pub(crate) async fn run(
    config: Config,
    settings: Vec<Setting>,
    environment: &Environment,
    greet: impl FnOnce(&Started) -> Result<(), Failure>,
) -> Result<(), Failure> {
    logging::start(&config.log)?;
    let mut signals = Signals::listen()?;
    let figures = Figures::install()?;
    directory::make(&config.data)
        .map_err(|error| Failure::cannot(format_args!("make {}", config.data.display()), &error))?;
    let clock = Clock::starting_at(SqliteStore::last_seen(&config.data));
    let house = Supervisor::new(clock.clone());
    let (server, api, started) =
        Box::pin(start(config, settings, environment, &house, figures)).await?;
    greet(&started)?;
    api.serve(&server.wings.doors);
    let failed = tokio::select! {
        // Only notices: dropping one loses nothing.
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            None
        }
        failure = house.failed() => Some(failure),
    };
    server.stopping.store(true, Ordering::Release);
    let leaving = Leaving {
        clock: server.clock,
        grace: if failed.is_some() { Span::ZERO } else { server.config.grace },
        wings: server.wings,
        engine: server.engine,
        logs: server.logs,
        node: server.node,
        orders: server.orders,
    };
    let hurry = async {
        let signal = signals.next().await;
        tracing::warn!(signal, "stopping at once");
    };
    let farewell = goodbye::list(leaving).run(hurry).await;
    tracing::info!(clean = farewell.is_clean(), "stopped");
    drop((server.house, server.kept));
    match failed {
        None => Ok(()),
        Some(failure) => {
            let (name, reason) = (failure.name, failure.reason);
            Err(Failure::local(format!("the server stopped: {name}: {reason}")))
        }
    }
}

async fn start(
    config: Config,
    settings: Vec<Setting>,
    environment: &Environment,
    house: &Supervisor,
    figures: Figures,
) -> Result<(Server, Api, Started), Failure> {
    let clock = house.clock().clone();
    let wings = Wings::of(house);
    // Before the book is made: a book without its key is a copy that is not whole.
    let keyring = identity::keyring(&config.data, &wings.store)?;
    let (store, journal) = open_store(&config, &wings.store)?;
    let blobs = buckets::blobs(&config, environment, &wings.store)?;
    let (logs, storage_allows) = watch(&config, Arc::clone(&journal), &figures, &wings.watch);
    let usage = UsageBook::open(Arc::clone(&journal), config.history.logs, clock.clone()).await;
    let usage = usage.map_err(|error| Failure::cannot("read what was used", &error))?;
    let keeper = usage.clone();
    wings.watch.spawn("usage", OnExit::StopServer, |stop| keeper.run(stop));
    let kept: Kept = (Arc::clone(&store), journal, logs.clone());
    let node = Arc::new(OnceLock::new());
    let ports = Ports {
        store,
        blobs: Arc::clone(&blobs),
        buckets: Arc::new(Buckets::open(&config, environment)?),
        judge: Arc::new(ProgramJudge::new(wings.node.clone(), Arc::clone(&node))),
        http: Arc::new(http::Caller::open()?),
        clock: clock.clone(),
        keyring,
        entropy: Entropy::System,
        spending: Arc::new(embedded::Spent(usage.clone())),
        storage_allows,
    };
    let mut running = stint_engine::start(engine_config(&config), ports, &wings.engine)
        .await
        .map_err(|error| Failure::cannot("read the book", &error))?;
    let sandbox = embedded::launcher(&config, environment).await.map_err(|error| {
        Failure::cannot("start the sandbox", &error).next("stint doctor says what to change")
    })?;
    let for_instances = Arc::new(LateApi::default());
    let parts = NodeParts {
        sandbox,
        blobs,
        logs: logs.clone(),
        usage: usage.clone(),
        handle: Arc::clone(&node),
        api: Arc::clone(&for_instances),
    };
    let orders = start_node(&config, &wings, &running, parts);
    running.ready().await;
    let engine = running.engine.clone();
    identity::check(&engine, &config.data)?;
    let key = identity::ensure(&engine, &config.data, environment).await?;
    let stopping = Arc::new(AtomicBool::new(false));
    let parts = ApiParts {
        config: api_config(&config),
        engine: engine.clone(),
        logs: logs.clone(),
        usage,
        metrics: figures.renderer(logs.clone(), Arc::clone(&node), house.clone()),
        ready: readiness(running, Arc::clone(&stopping)),
        settings,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let api = Api::open(parts).await.map_err(|error| {
        let next = match &error {
            OpenError::Listen { .. } => "choose another address with --listen, or port 0",
            OpenError::Tls(_) => "tls.cert and tls.key name a PEM certificate chain and its key",
        };
        Failure::cannot("open the doors", &error).next(next)
    })?;
    let (address, trigger_address) = write_addresses(&config, &api)?;
    for_instances.open(api.instance_door(&wings.doors), &address);
    let started = Started { address, trigger_address, data: config.data.clone(), key };
    let house = house.clone();
    let server = Server { config, clock, house, wings, engine, logs, node, orders, stopping, kept };
    Ok((server, api, started))
}

/// The book and the journal beside it.
type Books = (Arc<dyn Store>, Arc<dyn Journal>);

fn open_store(config: &Config, supervisor: &Supervisor) -> Result<Books, Failure> {
    let store = SqliteStore::open(&SqliteConfig::in_dir(&config.data), supervisor)
        .map_err(|error| Failure::local(chain(&error)))?;
    let journal = SqliteJournal::open(&JournalConfig::in_dir(&config.data), supervisor)
        .map_err(|error| Failure::local(chain(&error)))?;
    Ok((Arc::new(store), Arc::new(journal)))
}

/// The log, its retention, the disk guard and the recorder's upkeep.
fn watch(
    config: &Config,
    journal: Arc<dyn Journal>,
    figures: &Figures,
    supervisor: &Supervisor,
) -> (Logs, Arc<AtomicBool>) {
    let clock = supervisor.clock().clone();
    let (logs, writer) = Logs::new(Arc::clone(&journal), logs_config(config), clock.clone());
    supervisor.spawn("log", OnExit::StopServer, |stop| writer.run(stop));
    let retention = Retention {
        keep: config.history.logs,
        period: Span::from_secs(600),
        journal,
        clock: clock.clone(),
    };
    supervisor.spawn_restarting("log/retention", Span::from_secs(60), move |stop| {
        retention.clone().run(stop)
    });
    let disk = DiskConfig {
        path: config.data.clone(),
        low_bytes: config.disk.low,
        high_bytes: config.disk.high,
    };
    let allows = DiskGuard::start(disk, supervisor).flag();
    let figures = figures.clone();
    supervisor.spawn("metrics", OnExit::StopServer, |stop| figures.run(clock, stop));
    (logs, allows)
}

/// What the embedded node is started with.
struct NodeParts {
    sandbox: (Launcher, Pump),
    blobs: Arc<dyn Blobs>,
    logs: Logs,
    usage: UsageBook,
    handle: Arc<OnceLock<NodeHandle>>,
    api: Arc<LateApi>,
}

/// The embedded node speaks the messages of a remote one, through memory.
fn start_node(
    config: &Config,
    wings: &Wings,
    running: &Running,
    parts: NodeParts,
) -> mpsc::Sender<ToNode> {
    let (launcher, pump) = parts.sandbox;
    wings.sandbox.spawn("sandbox", OnExit::StopServer, |stop| async move {
        // The pump's own end is an error; being asked to stop is none.
        match stop.until(pump.run()).await {
            Some(error) => Err(error),
            None => Ok(()),
        }
    });
    let (orders, orders_in) = mpsc::channel(LINK);
    let (reports_out, reports) = mpsc::channel(LINK);
    let parts = embedded::Parts {
        config: config.clone(),
        supervisor: wings.node.clone(),
        launcher,
        blobs: parts.blobs,
        logs: parts.logs,
        api: parts.api,
        usage: parts.usage,
        orders: orders_in,
        reports: reports_out,
        handle: parts.handle,
    };
    wings.node.spawn("node", OnExit::StopServer, |stop| embedded::run(parts, stop));
    let (engine, guests) = (running.engine.clone(), wings.engine.guests("link", 1_024));
    let to_node = orders.clone();
    // It ends with the node, whose own end is the one that counts.
    wings
        .engine
        .spawn("link", OnExit::Ignore, |stop| engine.run_node(reports, to_node, guests, stop));
    orders
}

fn readiness(running: Running, stopping: Arc<AtomicBool>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    Arc::new(move || running.is_ready() && !stopping.load(Ordering::Acquire))
}

/// `host:port`, or with TLS a URL, so that whoever reads it knows how to speak.
fn write_addresses(config: &Config, api: &Api) -> Result<(String, String), Failure> {
    let scheme = if config.listen.tls.is_some() { "https://" } else { "" };
    let control = format!("{scheme}{}", api.address()?);
    let trigger = format!("{scheme}{}", api.trigger_address()?);
    for (name, address) in [(ADDRESS, &control), (TRIGGER_ADDRESS, &trigger)] {
        let path = config.data.join(name);
        directory::write_private(&path, format!("{address}\n").as_bytes())
            .map_err(|error| Failure::cannot(format_args!("write {}", path.display()), &error))?;
    }
    Ok((control, trigger))
}

fn logs_config(config: &Config) -> LogsConfig {
    let attempt = usize::try_from(config.history.attempt_log_bytes).unwrap_or(usize::MAX);
    LogsConfig {
        queue_bytes_max: 32 << 20,
        batch_bytes: 1 << 20,
        flush_after: Span::from_millis(200),
        // The node cuts first and says so; this bound is for nodes that do not.
        attempt_bytes_max: attempt.saturating_add(64 << 10),
        tail_pieces_max: 1_024,
        search_bytes_max: 32 << 20,
    }
}

fn engine_config(config: &Config) -> EngineConfig {
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    EngineConfig {
        shards: config.shards,
        region: config.region.clone(),
        payload_bytes_max: config.payload.max,
        payload_inline_max: bytes(config.payload.inline),
        result_inline_max: bytes(config.payload.result_inline),
        inbox_max: 65_536,
        turn_inputs_max: 4_096,
        plan_max: 256,
        lease_write_delay: Span::from_millis(200),
        online_wait: Span::from_secs(60),
        cache_bytes_max: 256 << 20,
        history_retention: config.history.tasks,
        audit_retention: config.history.audit,
        stop_grace: Span::from_secs(90),
        account_limits: AccountLimits {
            instances_max: config.account.instances,
            functions_max: config.account.functions,
            ..AccountLimits::default()
        },
        flows: config.flows.clone(),
        sched: SchedConfig {
            aging: Span::from_secs(60),
            cpu_overcommit_percent: config.node.cpu_overcommit_percent,
            credit: Span::from_secs(1),
            estimate_first: Span::from_millis(100),
            reserve_after: Span::from_secs(10),
            takebacks_max: 64,
            refusals_max: 64,
        },
    }
}

fn api_config(config: &Config) -> ApiConfig {
    ApiConfig {
        listen: config.listen.control,
        trigger_listen: config.listen.trigger,
        tls: config.listen.tls.as_ref().map(|files| stint_api::TlsFiles {
            certificate: files.cert.clone(),
            key: files.key.clone(),
            reload_every: Span::from_secs(10),
        }),
        public_url: None,
        connections_max: 8_192,
        streams_max: 256,
        head_timeout: Span::from_secs(60),
        body_timeout: Span::from_secs(300),
        bodies_bytes_max: 512 << 20,
        invoke_bytes_max: 32 << 20,
        submit_bytes_max: config.payload.max,
        batch_bytes_max: 128 << 20,
        code_bytes_max: 100 << 20,
        json_bytes_max: 1 << 20,
        replay_entries_max: 1_000_000,
        link_lifetime: Span::from_secs(600),
        wait_max: Span::from_secs(60),
    }
}
