//! A command that somebody runs in a living instance: its input, output and end go between the sandbox
//! and the server in pieces, a window of them on the way. It is ended when nobody is there any more, when
//! nothing was said for too long, or when too much was.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use stint_model::exec::{
    Exec, ExecEnd, ExecId, ExecOrder, ExecStream, ExecWord, PIECE_BYTES_MAX, TerminalSize, WINDOW,
};
use stint_model::time::{Span, Timestamp};
use stint_sandbox::{ExecInput, ExecOutput, ExecSpec, ExitHow, Instance, Program, Window};
use stint_wire::node::FromNode;
use tokio::sync::mpsc;

use crate::agent::{AgentEvent, InstanceKey};
use crate::shared::NodeShared;

/// Without a byte in either direction a command is ended after this (§1.20).
const SILENCE_MAX: Span = Span::from_secs(600);
/// What a command may write while somebody listens.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// What is still on its way when the program has ended comes within this.
const LAST_WORDS: Span = Span::from_secs(2);
/// A shell, the better one if there are two.
const SHELL: [&str; 3] =
    ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec /bin/sh"];
/// The end of input, typed into a terminal.
const TYPED_END: &[u8] = b"\x04";
/// What programs take a terminal for unless the function says otherwise.
const TERM: (&str, &str) = ("TERM", "xterm-256color");

/// A command on its way to its instance.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) id: ExecId,
    pub(crate) exec: Exec,
    pub(crate) orders: mpsc::Receiver<ExecOrder>,
}

/// What the instance's own program found when it started.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: PathBuf,
}

/// Runs one command to its end, and says how that was.
pub(super) async fn visit(
    shared: Arc<NodeShared>,
    (key, instance, home): (InstanceKey, Instance, Arc<Home>),
    visit: Visit,
) {
    let Visit { id, exec, orders } = visit;
    let spec = spec_of(&exec, &home);
    let end = match instance.exec(spec).await {
        Ok(execution) => {
            shared.send(FromNode::Exec { id, word: ExecWord::Begun }).await;
            let talk = Talk::new(shared.clone(), id, &exec, shared.clock.now());
            talk.run(execution, orders).await
        }
        Err(error) => ExecEnd::NotStarted(stint_supervise::chain(&error)),
    };
    shared.tell(AgentEvent::Visited { key, id, counted: true }).await;
    shared.send(FromNode::Exec { id, word: ExecWord::Ended(end) }).await;
}

/// The answer to a command that cannot be run.
pub(super) async fn refuse(shared: &NodeShared, key: InstanceKey, visit: &Visit, why: &str) {
    let (id, end) = (visit.id, ExecEnd::NotStarted(why.to_owned()));
    shared.tell(AgentEvent::Visited { key, id, counted: false }).await;
    shared.send(FromNode::Exec { id, word: ExecWord::Ended(end) }).await;
}

fn spec_of(exec: &Exec, home: &Home) -> ExecSpec {
    let argv = match exec.command.as_slice() {
        [] => SHELL.map(str::to_owned).to_vec(),
        command => command.to_vec(),
    };
    let mut env = home.env.clone();
    let terminal = exec.terminal.map(|TerminalSize { columns, rows }| Window { columns, rows });
    if terminal.is_some() && !env.iter().any(|(name, _)| name == TERM.0) {
        env.push((TERM.0.to_owned(), TERM.1.to_owned()));
    }
    ExecSpec { argv, env, cwd: home.cwd.clone(), terminal }
}

/// A command that runs, as far as its words are concerned.
struct Talk {
    shared: Arc<NodeShared>,
    id: ExecId,
    wants: (bool, bool, bool),
    is_terminal: bool,
    /// Pieces of input that wait for the program.
    waiting: VecDeque<Bytes>,
    no_more: bool,
    /// Pieces of output that may still be sent.
    credit: u32,
    written: u64,
    spoken_at: Timestamp,
    /// How the program ended, and when that was seen.
    ended: Option<(ExecEnd, Timestamp)>,
}

/// What one turn woke up for.
enum Wake {
    Told(Option<ExecOrder>),
    Wrote(std::io::Result<usize>),
    Read(ExecStream, std::io::Result<usize>),
    Ended(Option<ExitHow>),
    Due,
}

impl Talk {
    fn new(shared: Arc<NodeShared>, id: ExecId, exec: &Exec, now: Timestamp) -> Self {
        Self {
            shared,
            id,
            wants: (exec.stdin, exec.stdout, exec.stderr),
            is_terminal: exec.terminal.is_some(),
            waiting: VecDeque::new(),
            no_more: false,
            credit: WINDOW,
            written: 0,
            spoken_at: now,
            ended: None,
        }
    }

    /// To the end. Dropping the execution's end is what ends the program.
    async fn run(mut self, program: Program, mut orders: mpsc::Receiver<ExecOrder>) -> ExecEnd {
        let Program { input, output, errors, mut end } = program;
        let (mut output, mut errors) = (Some(output), errors);
        let mut input = Some(input).filter(|_| self.wants.0 || self.is_terminal);
        let mut buffers = (vec![0; PIECE_BYTES_MAX], vec![0; PIECE_BYTES_MAX]);
        loop {
            if self.no_more && self.waiting.is_empty() {
                input = None;
            }
            if let Some(over) = self.over(output.is_none() && errors.is_none()) {
                return over;
            }
            let until = self.until();
            let wake = tokio::select! {
                biased;
                // An order is taken whole or not at all.
                order = orders.recv() => Wake::Told(order),
                // What was not counted was not written.
                wrote = write(input.as_ref(), self.waiting.front()) => Wake::Wrote(wrote),
                // What was read is in the buffer, whoever wins; so with the next.
                read = read(output.as_ref(), &mut buffers.0),
                    if self.may_read(ExecStream::Stdout) => Wake::Read(ExecStream::Stdout, read),
                read = read(errors.as_ref(), &mut buffers.1),
                    if self.may_read(ExecStream::Stderr) => Wake::Read(ExecStream::Stderr, read),
                // The end stays in its pipe until it is read whole.
                how = end.wait(), if self.ended.is_none() => Wake::Ended(how),
                // A wait.
                () = self.shared.clock.sleep_until(until) => Wake::Due,
            };
            match wake {
                Wake::Told(order) => {
                    if let Some(over) = self.told(order) {
                        return over;
                    }
                }
                Wake::Wrote(Ok(count)) => self.wrote(count).await,
                // It reads no more: what comes for it is taken and dropped.
                Wake::Wrote(Err(_)) => {
                    input = None;
                    self.drop_waiting().await;
                }
                Wake::Read(ExecStream::Stdout, Ok(count)) if count > 0 => {
                    self.say(ExecStream::Stdout, &buffers.0[..count]).await;
                }
                Wake::Read(ExecStream::Stderr, Ok(count)) if count > 0 => {
                    self.say(ExecStream::Stderr, &buffers.1[..count]).await;
                }
                Wake::Read(ExecStream::Stdout, _) => output = None,
                Wake::Read(ExecStream::Stderr, _) => errors = None,
                Wake::Ended(how) => {
                    let how = match how {
                        Some(ExitHow::Code(code)) => ExecEnd::Exited(code),
                        Some(ExitHow::Signal(signal)) => ExecEnd::Killed(signal),
                        None => ExecEnd::CutOff("the instance has ended".to_owned()),
                    };
                    self.ended = Some((how, self.shared.clock.now()));
                }
                Wake::Due => {}
            }
            if input.is_none() && !self.waiting.is_empty() {
                self.drop_waiting().await;
            }
        }
    }

    /// Whether nothing more is to come, and how it ended then.
    fn over(&self, all_said: bool) -> Option<ExecEnd> {
        let now = self.shared.clock.now();
        if let Some((how, at)) = &self.ended
            && (all_said || now >= *at + LAST_WORDS)
        {
            return Some(how.clone());
        }
        if now >= self.spoken_at + SILENCE_MAX {
            let silence = SILENCE_MAX.micros() / 1_000_000;
            return Some(ExecEnd::CutOff(format!("nothing was said for {silence} s")));
        }
        (self.written > OUTPUT_BYTES_MAX)
            .then(|| ExecEnd::CutOff(format!("it wrote more than {} MB", OUTPUT_BYTES_MAX >> 20)))
    }

    fn until(&self) -> Timestamp {
        let silent = self.spoken_at + SILENCE_MAX;
        self.ended.as_ref().map_or(silent, |(_, at)| silent.min(*at + LAST_WORDS))
    }

    /// What nobody wants to hear is read all the same, so that the program goes on.
    fn may_read(&self, stream: ExecStream) -> bool {
        self.credit > 0 || !self.wants(stream)
    }

    fn wants(&self, stream: ExecStream) -> bool {
        match stream {
            ExecStream::Stdout => self.wants.1,
            ExecStream::Stderr => self.wants.2,
        }
    }

    fn told(&mut self, order: Option<ExecOrder>) -> Option<ExecEnd> {
        match order {
            Some(ExecOrder::Input(bytes)) => {
                self.spoken_at = self.shared.clock.now();
                self.waiting.push_back(bytes);
            }
            Some(ExecOrder::InputEnd) if self.is_terminal => {
                self.waiting.push_back(Bytes::from_static(TYPED_END));
            }
            Some(ExecOrder::InputEnd) => self.no_more = true,
            Some(ExecOrder::Took) => self.credit = (self.credit + 1).min(WINDOW),
            Some(ExecOrder::Begin { .. }) => {}
            Some(ExecOrder::End) | None => {
                return Some(ExecEnd::CutOff("nobody listens any more".to_owned()));
            }
        }
        None
    }

    async fn wrote(&mut self, count: usize) {
        let Some(piece) = self.waiting.front_mut() else { return };
        drop(piece.split_to(count.min(piece.len())));
        if piece.is_empty() {
            self.waiting.pop_front();
            self.word(ExecWord::Took).await;
        }
    }

    async fn drop_waiting(&mut self) {
        while self.waiting.pop_front().is_some() {
            self.word(ExecWord::Took).await;
        }
    }

    async fn say(&mut self, stream: ExecStream, bytes: &[u8]) {
        self.spoken_at = self.shared.clock.now();
        self.written += bytes.len() as u64;
        if self.wants(stream) {
            self.credit -= 1;
            self.word(ExecWord::Output(stream, Bytes::copy_from_slice(bytes))).await;
        }
    }

    async fn word(&self, word: ExecWord) {
        self.shared.send(FromNode::Exec { id: self.id, word }).await;
    }
}

/// Writes some of a piece; waits for ever when there is nothing to write, or nowhere.
async fn write(input: Option<&ExecInput>, piece: Option<&Bytes>) -> std::io::Result<usize> {
    match (input, piece) {
        (Some(input), Some(piece)) => input.write(piece).await,
        (None, _) | (_, None) => std::future::pending().await,
    }
}

/// Reads; waits for ever when the stream is over.
async fn read(output: Option<&ExecOutput>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match output {
        Some(output) => output.read(buffer).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &[&str], terminal: Option<TerminalSize>) -> Exec {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Exec { command, terminal, stdin: true, stdout: true, stderr: true }
    }

    #[test]
    fn a_command_finds_what_the_program_found() {
        let env = vec![("A".to_owned(), "b".to_owned())];
        let home = Home { env: env.clone(), cwd: "/code".into() };
        let spec = spec_of(&exec(&["ls", "-l"], None), &home);
        assert_eq!((spec.argv, spec.env), (vec!["ls".to_owned(), "-l".to_owned()], env));
        assert_eq!(spec.terminal, None);
    }

    #[test]
    fn no_command_is_a_shell_and_a_terminal_has_a_name() {
        let size = TerminalSize { columns: 80, rows: 24 };
        let term = |name: &str| ("TERM".to_owned(), name.to_owned());
        let home = Home { env: Vec::new(), cwd: "/".into() };
        let spec = spec_of(&exec(&[], Some(size)), &home);
        assert_eq!(spec.argv[0], "/bin/sh");
        assert_eq!(spec.env, [term("xterm-256color")]);
        assert_eq!(spec.terminal, Some(Window { columns: 80, rows: 24 }));
        let home = Home { env: vec![term("dumb")], cwd: "/".into() };
        assert_eq!(spec_of(&exec(&[], Some(size)), &home).env, [term("dumb")]);
    }
}
