//! Listeners and connections: bounded, with time-outs, in plain text or TLS, closed politely.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use stint_engine::Engine;
use stint_model::time::Span;
use stint_supervise::{Clock, Guests, OnExit, Stop, Supervisor};
use stint_watch::{Logs, UsageBook};
use stint_wire::native::Setting;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answer::ApiBody;
use crate::body::Drains;
use crate::config::ApiConfig;
use crate::dispatch::{self, Door, Entrance, Face};
use crate::tls;

/// A TLS handshake has this long.
const HANDSHAKE_TIMEOUT: Span = Span::from_secs(10);
/// After a failed accept (no file descriptors, say) the listener breathes this long.
const ACCEPT_PAUSE: Span = Span::from_millis(50);
/// Refused bodies that are read to their end at once.
const DRAINS_MAX: usize = 256;
/// Commands that run in instances over one kind of entrance.
const COMMANDS_MAX: usize = 64;
/// The most header lines of a request.
const HEADERS_MAX: usize = 128;
/// The read buffer of a connection; a request head must fit into it.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What the doors stand on.
pub struct ApiParts {
    /// Resolved settings.
    pub config: ApiConfig,
    /// The verbs.
    pub engine: Engine,
    /// Logs of functions.
    pub logs: Logs,
    /// What functions used.
    pub usage: UsageBook,
    /// Renders `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the server accepts work (`/readyz`).
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What `/v1/config` shows; secrets already left out.
    pub settings: Vec<Setting>,
    /// The server's version.
    pub version: String,
}

impl std::fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiParts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why the doors cannot open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The open doors: addresses are taken, nothing is served before [`Api::serve`].
#[derive(Debug)]
pub struct Api {
    door: Arc<Door>,
    control: TcpListener,
    triggers: TcpListener,
    tls: Option<Arc<tls::Certificates>>,
}

impl Api {
    /// Takes the addresses and reads the certificate.
    ///
    /// # Errors
    /// When an address is taken or the certificate cannot be used.
    pub async fn open(parts: ApiParts) -> Result<Self, OpenError> {
        let tls = match &parts.config.tls {
            Some(files) => Some(Arc::new(tls::Certificates::load(files.clone()).await?)),
            None => None,
        };
        let control = listen(parts.config.listen).await?;
        let triggers = listen(parts.config.trigger_listen).await?;
        Ok(Self { door: Arc::new(Door::new(parts)), control, triggers, tls })
    }

    /// Where control listens.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.control.local_addr()
    }

    /// Where triggers listen.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn trigger_address(&self) -> io::Result<SocketAddr> {
        self.triggers.local_addr()
    }

    /// What instances find behind their door: the control API over connections that are handed in,
    /// in plain text because they never leave the machine. Without a key nothing is answered.
    pub fn instance_door(&self, supervisor: &Supervisor) -> InstanceDoor {
        let streams = supervisor.guests("instance streams", self.door.config.connections_max);
        let clock = supervisor.clock().clone();
        let drained = supervisor.guests("refused bodies of instances", DRAINS_MAX);
        let drains = Drains::new(drained, clock.clone());
        let commands = supervisor.guests("commands of instances", COMMANDS_MAX);
        let entrance = Entrance { face: Face::Instances, secure: false, drains, commands };
        InstanceDoor { door: Arc::clone(&self.door), entrance, streams, clock }
    }

    /// Serves until the supervisor's group is asked to stop: then nothing new is accepted, what is
    /// in flight is finished, waits and follows are answered as things are.
    pub fn serve(self, supervisor: &Supervisor) {
        let acceptor = self.tls.as_ref().map(|certificates| certificates.acceptor());
        if let Some(certificates) = self.tls {
            let clock = supervisor.clock().clone();
            supervisor.spawn_restarting("api/certificates", Span::from_secs(10), move |stop| {
                Arc::clone(&certificates).watch(clock.clone(), stop)
            });
        }
        let drained = supervisor.guests("refused bodies", DRAINS_MAX);
        let drains = Drains::new(drained, supervisor.clock().clone());
        let commands = supervisor.guests("commands", COMMANDS_MAX);
        for (name, guests, listener, face) in [
            ("api/control", "control connections", self.control, Face::Control),
            ("api/triggers", "trigger connections", self.triggers, Face::Triggers),
        ] {
            let drains = Arc::clone(&drains);
            let listener = Listener {
                listener,
                entrance: Entrance {
                    face,
                    secure: acceptor.is_some(),
                    drains,
                    commands: commands.clone(),
                },
                acceptor: acceptor.clone(),
                guests: supervisor.guests(guests, self.door.config.connections_max),
                streams: supervisor.guests(guests, self.door.config.connections_max * 4),
                door: Arc::clone(&self.door),
                clock: supervisor.clock().clone(),
            };
            supervisor.spawn(name, OnExit::StopServer, |stop| listener.run(stop));
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address).await.map_err(|source| OpenError::Listen { address, source })
}

/// See [`Api::instance_door`].
#[derive(Clone, Debug)]
pub struct InstanceDoor {
    door: Arc<Door>,
    entrance: Entrance,
    streams: Guests,
    clock: Clock,
}

impl InstanceDoor {
    /// Serves one connection to its end, or until asked to stop.
    pub async fn serve(&self, socket: TcpStream, stop: Stop) {
        let connection = Connection {
            entrance: self.entrance.clone(),
            acceptor: None,
            streams: self.streams.clone(),
            door: Arc::clone(&self.door),
            clock: self.clock.clone(),
        };
        Box::pin(connection.serve(socket, stop)).await;
    }
}

struct Listener {
    listener: TcpListener,
    entrance: Entrance,
    acceptor: Option<TlsAcceptor>,
    guests: Guests,
    streams: Guests,
    door: Arc<Door>,
    clock: Clock,
}

impl Listener {
    async fn run(self, stop: Stop) {
        loop {
            // A place first, so that what cannot be served waits in the kernel. Both are safe to drop.
            let accepted = stop
                .until(async { (self.guests.admit().await, self.listener.accept().await) })
                .await;
            match accepted {
                None => return,
                Some((guest, Ok((socket, _)))) => {
                    let connection = Connection {
                        entrance: self.entrance.clone(),
                        acceptor: self.acceptor.clone(),
                        streams: self.streams.clone(),
                        door: Arc::clone(&self.door),
                        clock: self.clock.clone(),
                    };
                    guest.spawn(move |stop| connection.serve(socket, stop));
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    entrance: Entrance,
    acceptor: Option<TlsAcceptor>,
    streams: Guests,
    door: Arc<Door>,
    clock: Clock,
}

impl Connection {
    async fn serve(self, socket: TcpStream, stop: Stop) {
        // Without it small answers wait for the peer's acknowledgement.
        if socket.set_nodelay(true).is_err() {
            return;
        }
        let Some(acceptor) = &self.acceptor else {
            return self.speak(socket, stop).await;
        };
        match self.clock.within(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
            Some(Ok(encrypted)) => Box::pin(self.speak(encrypted, stop)).await,
            Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            None => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, stop: Stop) {
        let config = &self.door.config;
        let mut builder = auto::Builder::new(Streams { guests: self.streams.clone() });
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.head_timeout.to_std())
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.streams_max)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(config.head_timeout.to_std())
            .keep_alive_timeout(config.head_timeout.to_std());
        let service = service_fn(|request: Request<Incoming>| {
            answer(Arc::clone(&self.door), self.entrance.clone(), request, stop.clone())
        });
        let mut connection =
            std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            // Nothing is lost: the connection is polled on to its end below.
            () = stop.stopped() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke");
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<ApiBody>, Infallible>> + Send>>;

/// Boxed: the compiler cannot show that so deep a future may move between threads, unless told here.
fn answer(
    door: Arc<Door>,
    entrance: Entrance,
    request: Request<Incoming>,
    stop: Stop,
) -> Answering {
    Box::pin(async move { Ok(dispatch::serve(&door, entrance, request, stop).await) })
}

/// Runs the streams of HTTP/2 connections as guests.
#[derive(Clone)]
struct Streams {
    guests: Guests,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Without a place the stream is dropped, which resets it; the client may try again.
        if let Some(guest) = self.guests.try_admit() {
            let stream: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(stream);
            guest.spawn(move |_| stream);
        }
    }
}
