//! What the node needs from outside and does not know: where code and payloads lie, and who keeps
//! log lines.

use async_trait::async_trait;
use bytes::Bytes;
use stint_supervise::Stop;
use stint_wire::node::{LogPiece, UsagePiece};
use thiserror::Error;
use tokio::net::TcpStream;

/// Where code packages and large payloads come from.
#[async_trait]
pub trait CodeSource: Send + Sync + 'static {
    /// The whole blob.
    async fn get(&self, name: &str) -> Result<Bytes, FetchError>;
}

/// A blob that did not come.
#[derive(Debug, Error)]
#[error("cannot fetch {name}: {reason}")]
pub struct FetchError {
    /// The blob's name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Who keeps the lines user code writes. Waiting here slows down the one instance that writes, which
/// is what bounds it; a sink that would rather drop lines than slow anybody down may do so.
#[async_trait]
pub trait LogSink: Send + Sync + 'static {
    /// Takes the pieces in order.
    async fn put(&self, pieces: Vec<LogPiece>);
}

/// The platform's API, for functions that call it.
#[async_trait]
pub trait ApiDoor: Send + Sync + 'static {
    /// Speaks HTTP over a connection that came out of an instance, which is nobody until it shows a
    /// key. Closes it when the API is not there (yet).
    async fn serve(&self, stream: TcpStream, stop: Stop);

    /// Where the API listens for those on the host's network, as a URL.
    fn url(&self) -> Option<String>;
}

/// Who adds up what instances use. Never waits: an instance says something every few seconds.
pub trait UsageSink: Send + Sync + 'static {
    /// Takes one piece.
    fn put(&self, piece: UsagePiece);
}
