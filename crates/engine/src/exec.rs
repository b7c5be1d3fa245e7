//! A command in a living instance: for people, never for the path of a task. It goes straight between
//! the caller and the node; the shard does not hear of it, the audit trail does before it begins.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::exec::{
    Exec, ExecEnd, ExecId, ExecOrder, ExecStream, ExecWord, PIECE_BYTES_MAX, WINDOW,
};
use stint_model::id::{InstanceId, NodeId};
use stint_model::link::{InstanceReport, InstanceState, ToNode};
use tokio::sync::Notify;

use crate::access::Operation;
use crate::control::{Change, Deed};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::link::Link;

/// Words of a command, and letters of them, as the audit trail shows them.
const SHOWN_MAX: usize = 200;
/// Words and letters of a command.
const COMMAND_WORDS_MAX: usize = 256;
const COMMAND_BYTES_MAX: usize = 16 << 10;

/// Commands that run, by the names the link knows them by.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    next: AtomicU64,
    running: Mutex<BTreeMap<ExecId, (NodeId, Arc<Slot>)>>,
}

/// Where the link puts what a node says about one command.
#[derive(Debug, Default)]
struct Slot {
    said: Mutex<Said>,
    changed: Notify,
}

#[derive(Debug)]
struct Said {
    begun: bool,
    pieces: VecDeque<(ExecStream, Bytes)>,
    /// Pieces of input that may still be sent.
    credit: u32,
    ended: Option<ExecEnd>,
}

impl Default for Said {
    fn default() -> Self {
        Self { begun: false, pieces: VecDeque::new(), credit: WINDOW, ended: None }
    }
}

impl Slot {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, word: ExecWord) {
        let mut said = self.said();
        match word {
            ExecWord::Begun => said.begun = true,
            // More than the window holds: whoever sends it does not keep to what was said.
            ExecWord::Output(..) if said.pieces.len() >= window() => {
                let end = ExecEnd::CutOff("the node said more than it may".to_owned());
                said.ended.get_or_insert(end);
            }
            ExecWord::Output(stream, bytes) => said.pieces.push_back((stream, bytes)),
            ExecWord::Took => said.credit = (said.credit + 1).min(WINDOW),
            ExecWord::Ended(end) => {
                said.ended.get_or_insert(end);
            }
        }
        drop(said);
        self.changed.notify_waiters();
    }

    /// Looks again after each change until there is something.
    async fn wait<T>(&self, look: impl Fn(&mut Said) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.said()) {
                return found;
            }
            changed.await;
        }
    }
}

fn window() -> usize {
    usize::try_from(WINDOW).unwrap_or(usize::MAX)
}

impl Execs {
    fn running(&self) -> MutexGuard<'_, BTreeMap<ExecId, (NodeId, Arc<Slot>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, node: NodeId) -> (ExecId, Arc<Slot>) {
        let id = ExecId(self.next.fetch_add(1, Ordering::Relaxed));
        let slot = Arc::new(Slot::default());
        self.running().insert(id, (node, Arc::clone(&slot)));
        (id, slot)
    }

    fn close(&self, id: ExecId) {
        self.running().remove(&id);
    }

    /// A node said something about a command.
    pub(crate) fn hear(&self, id: ExecId, word: ExecWord) {
        let slot = self.running().get(&id).map(|(_, slot)| Arc::clone(slot));
        if let Some(slot) = slot {
            slot.hear(word);
        }
    }

    /// A node is away, and its commands with it.
    pub(crate) fn leave(&self, node: NodeId) {
        let running = self.running();
        let gone = running.values().filter(|(other, _)| *other == node);
        let slots: Vec<_> = gone.map(|(_, slot)| Arc::clone(slot)).collect();
        drop(running);
        for slot in slots {
            slot.hear(ExecWord::Ended(ExecEnd::CutOff("the node is away".to_owned())));
        }
    }
}

/// A command that runs. Dropping it ends the command.
#[derive(Debug)]
pub struct Visit {
    id: ExecId,
    node: NodeId,
    slot: Arc<Slot>,
    link: Arc<Link>,
}

/// What a command said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecPiece {
    /// Bytes it wrote.
    Output(ExecStream, Bytes),
    /// How it ended; nothing follows.
    End(ExecEnd),
}

impl Visit {
    /// What it said next. Safe to drop.
    pub async fn next(&self) -> ExecPiece {
        let next = self.slot.wait(|said| match said.pieces.pop_front() {
            Some((stream, bytes)) => Some(ExecPiece::Output(stream, bytes)),
            None => said.ended.clone().map(ExecPiece::End),
        });
        let next = next.await;
        if let ExecPiece::Output(..) = next {
            self.order(ExecOrder::Took);
        }
        next
    }

    /// Gives it input, as fast as it takes it; dropped once it has ended. Dropping this loses what was not
    /// sent yet.
    pub async fn write(&self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let may = self.slot.wait(|said| {
                if said.ended.is_some() {
                    return Some(false);
                }
                said.credit = said.credit.checked_sub(1)?;
                Some(true)
            });
            if !may.await {
                return;
            }
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
            self.order(ExecOrder::Input(piece));
        }
    }

    /// There is no more input.
    pub fn close_input(&self) {
        self.order(ExecOrder::InputEnd);
    }

    /// A node that does not keep up loses the command.
    fn order(&self, order: ExecOrder) {
        if !self.link.send(self.node, ToNode::Exec { id: self.id, order }) {
            let end = ExecEnd::CutOff("the node does not keep up".to_owned());
            self.slot.hear(ExecWord::Ended(end));
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.link.execs().close(self.id);
        // One that has ended is not known there any more, which does no harm.
        self.link.send(self.node, ToNode::Exec { id: self.id, order: ExecOrder::End });
    }
}

impl Engine {
    /// Runs a command in a live instance of a function of the caller's. It is on the audit trail before it
    /// begins, also when it then cannot.
    ///
    /// # Errors
    /// `FunctionNotFound`; `ResourceNotFound`, also for another function's instance and for one that does not
    /// serve; `InvalidArgument` when the command cannot be executed.
    pub async fn instance_exec(
        &self,
        caller: &Caller,
        function: &str,
        instance: InstanceId,
        exec: Exec,
    ) -> Result<Visit, EngineError> {
        self.authorize(caller, Operation::InstanceExec, Some(function))?;
        check(&exec)?;
        let entry = self.function_entry(caller, function)?;
        let report = self.link().find_instance(instance);
        let report = report.filter(|report| report.function == entry.function.id);
        let node = serving(instance, report)?;
        let change = Change::new(self.home_of(caller.account, function));
        let resource = format!("functions/{function}/instances/{instance}");
        let deed = Deed::on(Operation::InstanceExec, resource).told(shown(&exec.command));
        self.commit(caller, deed, change).await?;
        let link = Arc::clone(self.link());
        let (id, slot) = link.execs().open(node);
        let visit = Visit { id, node, slot, link };
        visit.order(ExecOrder::Begin { instance, exec });
        let begun = visit.slot.wait(|said| match &said.ended {
            _ if said.begun => Some(Ok(())),
            Some(ExecEnd::NotStarted(why) | ExecEnd::CutOff(why)) => Some(Err(why.clone())),
            Some(ExecEnd::Exited(_) | ExecEnd::Killed(_)) => Some(Ok(())),
            None => None,
        });
        match begun.await {
            Ok(()) => Ok(visit),
            Err(why) => {
                let message = format!("the command was not started: {why}");
                Err(EngineError::refused(Code::InvalidArgument, message))
            }
        }
    }
}

fn serving(instance: InstanceId, report: Option<InstanceReport>) -> Result<NodeId, Refusal> {
    let refuse = |what: &str| {
        let message = format!("instance {instance} {what}; list those that live first");
        Err(Refusal::new(Code::ResourceNotFound, message))
    };
    match report {
        None => refuse("does not exist"),
        Some(report) => match report.state {
            InstanceState::Running => Ok(report.node),
            InstanceState::Creating => refuse("is starting"),
            InstanceState::Terminating => refuse("is ending"),
            InstanceState::Destroyed => refuse("has ended"),
        },
    }
}

fn check(exec: &Exec) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Code::InvalidArgument, message));
    let bytes: usize = exec.command.iter().map(String::len).sum();
    if exec.command.len() > COMMAND_WORDS_MAX || bytes > COMMAND_BYTES_MAX {
        return refuse(format!(
            "a command has at most {COMMAND_WORDS_MAX} words and {COMMAND_BYTES_MAX} bytes"
        ));
    }
    if exec.command.iter().any(|word| word.contains('\0')) {
        return refuse("a command has no NUL byte".to_owned());
    }
    if exec.command.first().is_some_and(String::is_empty) {
        return refuse("the first word of a command names a program".to_owned());
    }
    Ok(())
}

/// A command for the audit trail: cut, and without signs that a terminal would heed.
fn shown(command: &[String]) -> String {
    if command.is_empty() {
        return "a shell".to_owned();
    }
    let all = command.join(" ");
    let plain = all.chars().map(|sign| if sign.is_control() { ' ' } else { sign });
    let mut text: String = plain.take(SHOWN_MAX).collect();
    if all.chars().count() > SHOWN_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(byte: u8) -> ExecWord {
        ExecWord::Output(ExecStream::Stdout, Bytes::copy_from_slice(&[byte]))
    }

    #[tokio::test]
    async fn what_was_said_comes_in_order_and_the_end_last() {
        let slot = Slot::default();
        slot.hear(piece(1));
        slot.hear(ExecWord::Ended(ExecEnd::Exited(3)));
        slot.hear(ExecWord::Ended(ExecEnd::Exited(4)));
        let first = slot.wait(|said| said.pieces.pop_front()).await;
        assert_eq!(first.1.as_ref(), [1]);
        assert_eq!(slot.wait(|said| said.ended.clone()).await, ExecEnd::Exited(3));
    }

    #[tokio::test]
    async fn a_wait_sees_what_comes_later() {
        let slot = Arc::new(Slot::default());
        let later = Arc::clone(&slot);
        let (found, ()) = tokio::join!(slot.wait(|said| said.begun.then_some(7)), async move {
            later.hear(ExecWord::Begun);
        });
        assert_eq!(found, 7);
    }

    #[test]
    fn a_node_that_says_too_much_is_cut_off() {
        let slot = Slot::default();
        (0..WINDOW).for_each(|_| slot.hear(piece(0)));
        assert_eq!(slot.said().ended, None);
        slot.hear(piece(0));
        assert!(matches!(slot.said().ended, Some(ExecEnd::CutOff(_))));
        assert_eq!(slot.said().pieces.len(), window());
    }

    #[test]
    fn a_node_that_leaves_ends_its_commands() {
        let execs = Execs::default();
        let (mine, slot) = execs.open(NodeId(1));
        let (_, other) = execs.open(NodeId(2));
        execs.leave(NodeId(1));
        assert!(slot.said().ended.is_some() && other.said().ended.is_none());
        execs.close(mine);
        execs.hear(mine, ExecWord::Begun);
        assert!(!slot.said().begun);
    }

    #[test]
    fn commands_are_bounded_and_shown_without_tricks() {
        let exec = |command: Vec<String>| Exec {
            command,
            terminal: None,
            stdin: true,
            stdout: true,
            stderr: true,
        };
        assert!(check(&exec(vec![])).is_ok());
        for bad in [vec![String::new()], vec!["a\0".into()], vec!["x".repeat(20_000)]] {
            assert_eq!(check(&exec(bad)).unwrap_err().code, Code::InvalidArgument);
        }
        assert_eq!(shown(&[]), "a shell");
        assert_eq!(shown(&["ls".into(), "\x1b[2J".into()]), "ls  [2J");
        assert_eq!(shown(&["é".repeat(300)]).chars().count(), SHOWN_MAX + 1);
    }
}
