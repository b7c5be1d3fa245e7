//! Resolved settings of the doors.

use std::net::SocketAddr;
use std::path::PathBuf;

use stint_model::time::Span;

/// Resolved settings; the composer says every value.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where control listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where triggers listen; guest bytes never leave from the console's origin.
    pub trigger_listen: SocketAddr,
    /// Certificate and key; read again when either file changes.
    pub tls: Option<TlsFiles>,
    /// How addresses of this server begin in links it gives out (`https://stint.example`); the
    /// request's own scheme and `Host` if absent.
    pub public_url: Option<String>,
    /// Connections served at once, per listener; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// A connection on which no request head arrives for this long is closed.
    pub head_timeout: Span,
    /// A body has this long to arrive.
    pub body_timeout: Span,
    /// Bytes of large bodies in memory at once.
    pub bodies_bytes_max: usize,
    /// Largest body of a sync call.
    pub invoke_bytes_max: u64,
    /// Largest body of an async call; the engine spills to blobs.
    pub submit_bytes_max: u64,
    /// Largest body of a batch.
    pub batch_bytes_max: u64,
    /// Largest body that carries code.
    pub code_bytes_max: u64,
    /// Largest other JSON body.
    pub json_bytes_max: u64,
    /// Signatures remembered against replays.
    pub replay_entries_max: usize,
    /// How long a signed code link is good.
    pub link_lifetime: Span,
    /// The longest a wait or follow is held.
    pub wait_max: Span,
}

/// Where the certificate is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// How often the files are looked at.
    pub reload_every: Span,
}

impl ApiConfig {
    /// Free ports of the loopback, small bounds.
    pub fn for_tests() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: loopback,
            trigger_listen: loopback,
            tls: None,
            public_url: None,
            connections_max: 256,
            streams_max: 64,
            head_timeout: Span::from_secs(10),
            body_timeout: Span::from_secs(10),
            bodies_bytes_max: 64 << 20,
            invoke_bytes_max: 32 << 20,
            submit_bytes_max: 32 << 20,
            batch_bytes_max: 64 << 20,
            code_bytes_max: 100 << 20,
            json_bytes_max: 1 << 20,
            replay_entries_max: 10_000,
            link_lifetime: Span::from_secs(600),
            wait_max: Span::from_secs(60),
        }
    }
}
