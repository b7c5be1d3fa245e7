//! The operator's word: SIGTERM and SIGINT, each of them as often as it comes.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for signals that ask the process to end.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes SIGTERM and SIGINT over from their default meaning.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// The next signal's name. Safe to drop: a signal that came is kept for the next call.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            // Both branches only receive; dropping the other loses nothing.
            Some(()) = self.term.recv() => "SIGTERM",
            Some(()) = self.int.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }
}
