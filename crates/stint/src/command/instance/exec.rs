//! `stint instance exec`: a command in a live instance, with this terminal as its own.

use std::convert::Infallible;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use bytes::{Bytes, BytesMut};
use clap::Args;
use stint_wire::client::{Client, ExecAsked, ExecHeard, ExecReader, ExecWriter};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::command::Context;
use crate::failure::{Exit, Failure};

/// Input that is read at once.
const READ_BYTES: usize = 16 << 10;
/// Questions of the server that wait for an answer.
const QUESTIONS_MAX: usize = 4;
/// Added to a signal's number, as shells do.
const SIGNALLED: i32 = 128;

/// Run a command in a live instance.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The instance's id, as `instance list` shows it.
    id: String,
    /// Its function; looked up if absent.
    #[arg(long)]
    function: Option<String>,
    /// With a terminal. What it is when a shell is asked for and both ends are one.
    #[arg(short, long)]
    tty: bool,
    /// Without input.
    #[arg(short = 'n', long, conflicts_with = "tty")]
    no_stdin: bool,
    /// The command and its arguments, after `--`; a shell if absent.
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) async fn run(exec: Exec, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let function = match exec.function {
        Some(function) => function,
        None => function_of(&client, &exec.id).await?,
    };
    let both = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let is_terminal = exec.tty || (exec.command.is_empty() && both && !exec.no_stdin);
    // Where there is none of ours, upstream's usual size will do.
    let size = || crossterm::terminal::size().unwrap_or((80, 24));
    let asked = ExecAsked {
        command: exec.command,
        stdin: !exec.no_stdin,
        terminal: is_terminal.then(size),
    };
    let (reader, writer) = client.instance_exec(&function, &exec.id, &asked).await?;
    let raw = (is_terminal && both).then(Raw::begin).transpose()?;
    let heard = talk(reader, writer, asked.stdin).await;
    drop(raw);
    match heard? {
        ExecHeard::Exited(0) => Ok(()),
        ExecHeard::Exited(code) => Err(ended(code, format!("the command ended with code {code}"))),
        ExecHeard::Killed(signal) => {
            Err(ended(SIGNALLED + signal, format!("signal {signal} ended the command")))
        }
        ExecHeard::CutOff(why) => Err(Failure::local(format!("the command was cut off: {why}"))),
        ExecHeard::Stdout(_) | ExecHeard::Stderr(_) | ExecHeard::Asked => Ok(()),
    }
}

fn ended(code: i32, message: String) -> Failure {
    Failure::of_command(u8::try_from(code).unwrap_or(u8::MAX), message)
}

async fn function_of(client: &Client, instance: &str) -> Result<String, Failure> {
    let found = super::every(client, None).await?.into_iter().find(|item| item.id == instance);
    found.map(|item| item.function).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("instance {instance} does not exist"))
            .next("stint instance list")
    })
}

/// Carries bytes both ways until the command has ended. Both directions go on by themselves: either may
/// have to wait for the other side.
async fn talk(reader: ExecReader, writer: ExecWriter, stdin: bool) -> Result<ExecHeard, Failure> {
    let input = stdin.then(our_input).transpose()?;
    let (asked, answers) = mpsc::channel(QUESTIONS_MAX);
    tokio::select! {
        heard = hear(reader, asked) => heard,
        // Does not end: a broken connection is heard of above.
        never = speak(writer, answers, input) => match never {},
    }
}

async fn hear(mut reader: ExecReader, asked: mpsc::Sender<()>) -> Result<ExecHeard, Failure> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    loop {
        match reader.next().await {
            ExecHeard::Stdout(bytes) => {
                out.write_all(&bytes)?;
                out.flush()?;
            }
            ExecHeard::Stderr(bytes) => {
                err.write_all(&bytes)?;
                err.flush()?;
            }
            // One answer among several does.
            ExecHeard::Asked => drop(asked.try_send(())),
            over @ (ExecHeard::Exited(_) | ExecHeard::Killed(_) | ExecHeard::CutOff(_)) => {
                return Ok(over);
            }
        }
    }
}

async fn speak(
    mut writer: ExecWriter,
    mut answers: mpsc::Receiver<()>,
    mut input: Option<tokio::fs::File>,
) -> Infallible {
    let mut read = BytesMut::new();
    loop {
        read.reserve(READ_BYTES);
        let sent = tokio::select! {
            // A question is taken whole or not at all.
            Some(()) = answers.recv() => writer.flush().await,
            // A file's read is finished by its next one.
            count = next_input(input.as_mut(), &mut read) => {
                if count.is_ok_and(|count| count > 0) {
                    writer.write(read.split().freeze()).await
                } else {
                    input = None;
                    // No bytes: that is what says so.
                    writer.write(Bytes::new()).await
                }
            }
        };
        if sent.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn our_input() -> Result<tokio::fs::File, Failure> {
    Ok(tokio::fs::File::from_std(File::from(std::io::stdin().as_fd().try_clone_to_owned()?)))
}

async fn next_input(
    input: Option<&mut tokio::fs::File>,
    read: &mut BytesMut,
) -> std::io::Result<usize> {
    match input {
        Some(input) => input.read_buf(read).await,
        None => std::future::pending().await,
    }
}

/// Our terminal passes every key on, until this is dropped.
struct Raw;

impl Raw {
    fn begin() -> Result<Self, Failure> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nothing else to be done about it.
        crossterm::terminal::disable_raw_mode().ok();
    }
}
