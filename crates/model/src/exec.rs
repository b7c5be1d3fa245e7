//! What server and nodes say about a command that somebody runs in a living instance. It is no
//! invocation: it takes no slot, and nothing of it is kept but that it was asked for.
//!
//! Both directions are windows of pieces: whoever sends has at most [`WINDOW`] pieces on the way and is
//! told of each that was taken, so that nobody's memory grows with what the other one says.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::InstanceId;

/// Pieces on the way in each direction.
pub const WINDOW: u32 = 16;
/// The longest piece.
pub const PIECE_BYTES_MAX: usize = 32 * 1024;

/// Names a command on the link; minted by the server, never used again while it lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExecId(pub u64);

/// A command to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exec {
    /// Program and arguments; empty: a shell.
    pub command: Vec<String>,
    /// With a terminal of this size.
    pub terminal: Option<TerminalSize>,
    /// Whether it has input; without it reads an end.
    pub stdin: bool,
    /// Whether its output is wanted.
    pub stdout: bool,
    /// Whether its errors are wanted.
    pub stderr: bool,
}

/// How large a terminal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Server to node, about one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecOrder {
    /// Run it in this instance. Answered by [`ExecWord::Begun`] or [`ExecWord::Ended`].
    Begin {
        /// Where.
        instance: InstanceId,
        /// What.
        exec: Exec,
    },
    /// A piece of input. Answered by [`ExecWord::Took`].
    Input(Bytes),
    /// There is no more input.
    InputEnd,
    /// A piece of output was taken.
    Took,
    /// Nobody is there any more: end it.
    End,
}

/// Which stream of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExecStream {
    /// Output; with a terminal everything.
    Stdout,
    /// Errors.
    Stderr,
}

/// Node to server, about one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecWord {
    /// It has been executed.
    Begun,
    /// A piece of what it wrote. Answered by [`ExecOrder::Took`].
    Output(ExecStream, Bytes),
    /// A piece of input was taken.
    Took,
    /// It is over, the last word.
    Ended(ExecEnd),
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecEnd {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// It was never executed.
    NotStarted(String),
    /// It was ended: it, or who listens, was silent for too long or said too much, or its instance ended.
    CutOff(String),
}
