//! A further program in a living instance: what it is, and our ends of it.
//!
//! The instance's own init starts it, from behind the walls that the instance's program is behind: it has
//! that user, that filter, those limits, and is in that control group. Nothing of the host enters with
//! it but the descriptors made here.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use crate::message::decode;
use crate::spec::{ExitHow, SpecError, plain, plain_env};
use crate::sys;

/// Further programs in one instance at once.
pub(crate) const EXECS_MAX: usize = 4;

/// A program to run in a living instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The program and its arguments. A bare name is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Where it starts; `/` when that is not there.
    pub cwd: PathBuf,
    /// A terminal instead of three pipes.
    pub terminal: Option<Window>,
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub columns: u16,
    pub rows: u16,
}

impl ExecSpec {
    /// Checks what does not depend on the instance.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(SpecError::Program(String::new()));
        }
        if self.argv.iter().any(|arg| arg.contains('\0')) {
            return Err(SpecError::Nul { field: "an argument" });
        }
        plain_env(&self.env)?;
        plain("cwd", &self.cwd)
    }
}

/// A further program that has been executed.
#[derive(Debug)]
pub struct Program {
    /// What it reads. Dropping it ends a pipe; a terminal has no end.
    pub input: ExecInput,
    pub output: ExecOutput,
    /// Nothing with a terminal: there is one stream.
    pub errors: Option<ExecOutput>,
    pub end: ExecEnd,
}

/// Where the program's input is written to.
#[derive(Debug)]
pub struct ExecInput(Writes);

#[derive(Debug)]
enum Writes {
    Pipe(pipe::Sender),
    Terminal(Arc<AsyncFd<OwnedFd>>),
}

/// Where its output is read.
#[derive(Debug)]
pub struct ExecOutput(Reads);

#[derive(Debug)]
enum Reads {
    Pipe(pipe::Receiver),
    Terminal(Arc<AsyncFd<OwnedFd>>),
}

/// Tells how it ended. Dropping this ends the program, and what it has started in its session.
#[derive(Debug)]
pub struct ExecEnd(pipe::Receiver);

impl ExecInput {
    /// Writes some of the bytes; how many. Safe to drop: what was not counted was not written.
    ///
    /// # Errors
    /// When the program reads no more.
    pub async fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        match &self.0 {
            Writes::Pipe(pipe) => loop {
                pipe.writable().await?;
                match pipe.try_write(bytes) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    written => return written,
                }
            },
            Writes::Terminal(terminal) => {
                let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, bytes)?);
                terminal.async_io(Interest::WRITABLE, write).await
            }
        }
    }
}

impl ExecOutput {
    /// Reads some bytes; none at the end. Safe to drop.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub async fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &self.0 {
            Reads::Pipe(pipe) => loop {
                pipe.readable().await?;
                match pipe.try_read(buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            Reads::Terminal(terminal) => {
                let read = terminal
                    .async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut *buffer)?))
                    .await;
                match read {
                    // What a terminal says when the last program has left it.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
                    read => read,
                }
            }
        }
    }
}

impl ExecEnd {
    /// How the program ended; nothing when the instance ended under it. Safe to drop.
    pub async fn wait(&mut self) -> Option<ExitHow> {
        let mut buffer = [0; 32];
        loop {
            self.0.readable().await.ok()?;
            match self.0.try_read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => return decode(&buffer[..length]).ok(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

/// Both ends of everything a further program is born with.
pub(crate) struct ExecEnds {
    pub(crate) ours: Program,
    /// Input, output, errors, and where its end is told.
    theirs: [OwnedFd; 4],
}

impl ExecEnds {
    pub(crate) fn new(terminal: Option<Window>) -> std::io::Result<Self> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let end = ExecEnd(pipe::Receiver::from_owned_fd(told)?);
        match terminal {
            Some(window) => Self::terminal(window, end, tell),
            None => Self::pipes(end, tell),
        }
    }

    fn pipes(end: ExecEnd, tell: OwnedFd) -> std::io::Result<Self> {
        let (their_input, input) = pipe_with(PipeFlags::CLOEXEC)?;
        let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, their_errors) = pipe_with(PipeFlags::CLOEXEC)?;
        let reads =
            |fd| pipe::Receiver::from_owned_fd(fd).map(|pipe| ExecOutput(Reads::Pipe(pipe)));
        let (output, errors) = (reads(output)?, Some(reads(errors)?));
        let input = ExecInput(Writes::Pipe(pipe::Sender::from_owned_fd(input)?));
        let ours = Program { input, output, errors, end };
        Ok(Self { ours, theirs: [their_input, their_output, their_errors, tell] })
    }

    fn terminal(window: Window, end: ExecEnd, tell: OwnedFd) -> std::io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        let Window { columns: ws_col, rows: ws_row } = window;
        tcsetwinsize(&ours, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let ours = Arc::new(sys::watch(ours)?);
        let input = ExecInput(Writes::Terminal(Arc::clone(&ours)));
        let output = ExecOutput(Reads::Terminal(ours));
        let again = || theirs.try_clone();
        let theirs = [again()?, again()?, again()?, tell];
        Ok(Self { ours: Program { input, output, errors: None, end }, theirs })
    }

    pub(crate) fn theirs(&self) -> Vec<BorrowedFd<'_>> {
        self.theirs.iter().map(AsFd::as_fd).collect()
    }
}

/// What init answers for one that was not executed, for a person.
pub(crate) fn refusal(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => "there is no such program in the instance",
        Errno::ACCESS => "the program may not be executed",
        Errno::NOEXEC => "the program is none that can be executed",
        Errno::USERS => "too many further programs run in the instance",
        Errno::AGAIN | Errno::NOMEM => "the instance has no room for a further process",
        Errno::BUSY => "the instance is not ready for a further program",
        _ => "the program could not be started",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> ExecSpec {
        ExecSpec {
            argv: vec!["sh".to_owned()],
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            cwd: "/code".into(),
            terminal: None,
        }
    }

    #[test]
    fn what_cannot_be_executed_says_why() {
        assert_eq!(good().validate(), Ok(()));
        type Break = fn(&mut ExecSpec);
        let cases: [(Break, &str); 6] = [
            (|s| s.argv.clear(), "program"),
            (|s| s.argv[0].clear(), "program"),
            (|s| s.argv.push("a\0".to_owned()), "NUL"),
            (|s| s.env[0].0 = "A=B".to_owned(), "holds `=`"),
            (|s| s.env[0].1 = "\0".to_owned(), "NUL"),
            (|s| s.cwd = "code".into(), "cwd"),
        ];
        for (spoil, expected) in cases {
            let mut spec = good();
            spoil(&mut spec);
            let said = spec.validate().unwrap_err().to_string();
            assert!(said.contains(expected), "{said} should contain {expected}");
        }
    }

    #[tokio::test]
    async fn ends_carry_bytes_and_say_when_the_other_side_is_gone() {
        let ExecEnds { ours, theirs } = ExecEnds::new(None).unwrap();
        let [input, output, errors, tell] = theirs;
        assert_eq!(ours.input.write(b"in").await.unwrap(), 2);
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&input, &mut buffer).unwrap(), 2);
        rustix::io::write(&output, b"out").unwrap();
        assert_eq!(ours.output.read(&mut buffer).await.unwrap(), 3);
        drop((output, errors));
        assert_eq!(ours.output.read(&mut buffer).await.unwrap(), 0);
        let mut end = ours.end;
        rustix::io::write(&tell, &crate::message::encode(&ExitHow::Code(3))).unwrap();
        assert_eq!(end.wait().await, Some(ExitHow::Code(3)));
        drop(tell);
        assert_eq!(end.wait().await, None);
    }

    #[tokio::test]
    async fn a_terminal_ends_when_the_last_program_has_left_it() {
        let window = Window { columns: 100, rows: 30 };
        let ExecEnds { ours, theirs } = ExecEnds::new(Some(window)).unwrap();
        let size = rustix::termios::tcgetwinsize(&theirs[0]).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (100, 30));
        rustix::io::write(&theirs[1], b"out").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(ours.output.read(&mut buffer).await.unwrap(), 3);
        drop(theirs);
        assert_eq!(ours.output.read(&mut buffer).await.unwrap(), 0);
    }
}
