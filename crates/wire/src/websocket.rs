//! WebSockets, as both sides of a command in an instance speak them: the library's messages with our
//! bounds.

use tokio::io::{AsyncRead, AsyncWrite};
pub use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
pub use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};

/// The only version there is.
pub const VERSION: &str = "13";
/// The longest message that is taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What the server proves with that it knows the protocol.
pub fn accept(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

/// A client's key: sixteen random bytes in base64.
pub fn key() -> String {
    generate_key()
}

/// A connection that has been upgraded.
pub async fn socket<S>(io: S, role: Role) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bounds = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketStream::from_raw_socket(io, role, Some(bounds)).await
}

/// A last message that says why.
pub fn farewell(code: CloseCode, reason: impl Into<String>) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into().into() }))
}
