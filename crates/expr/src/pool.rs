//! A bounded queue between loops that must not stand still and threads that evaluate. The host starts
//! the threads; each calls [`Pool::serve`] with an evaluator of its own.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::jsonata::{Evaluator, Request};

/// One answer for each source of a request.
pub type Answers = Vec<Result<Value, String>>;

/// The queue.
#[derive(Debug)]
pub struct Pool {
    waiting_max: usize,
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<(Request, SyncSender<Answers>)>,
    is_closed: bool,
}

/// The queue has no room, or is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where an answer arrives.
#[derive(Debug)]
pub struct Ticket {
    answer: Receiver<Answers>,
}

impl Ticket {
    /// The answers, once they are there; `None` if the pool was closed before.
    pub fn wait(self) -> Option<Answers> {
        self.answer.recv().ok()
    }
}

impl Pool {
    /// A queue for at most `waiting_max` requests.
    pub fn new(waiting_max: usize) -> Self {
        Self { waiting_max, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request in. Never waits.
    pub fn submit(&self, request: Request) -> Result<Ticket, Full> {
        let mut waiting = self.lock();
        if waiting.is_closed || waiting.requests.len() >= self.waiting_max {
            return Err(Full);
        }
        let (sender, answer) = sync_channel(1);
        waiting.requests.push_back((request, sender));
        drop(waiting);
        self.changed.notify_one();
        Ok(Ticket { answer })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().requests.len()
    }

    /// Evaluates until the pool is closed. One thread, one evaluator.
    pub fn serve(&self, evaluator: &mut dyn Evaluator) {
        loop {
            let mut waiting = self.lock();
            let (request, sender) = loop {
                if let Some(next) = waiting.requests.pop_front() {
                    break next;
                }
                if waiting.is_closed {
                    return;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            };
            drop(waiting);
            let answers = evaluator.evaluate(&request);
            // Whoever asked may be gone; then nobody wants the answer.
            drop(sender.send(answers));
        }
    }

    /// No more requests; those that wait are dropped.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.requests.clear();
        drop(waiting);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Jsonata};

    fn request(source: &str) -> Request {
        Request { sources: vec![source.to_owned()], ..Request::default() }
    }

    #[test]
    fn what_is_handed_in_comes_back_evaluated() {
        let pool = Pool::new(4);
        std::thread::scope(|scope| {
            scope.spawn(|| pool.serve(&mut Jsonata::new(Bounds::default())));
            let ticket = pool.submit(request("1 + 1")).unwrap();
            assert_eq!(ticket.wait(), Some(vec![Ok(Value::from(2))]));
            pool.close();
        });
        assert_eq!(pool.submit(request("1")).unwrap_err(), Full);
    }

    #[test]
    fn the_queue_is_bounded() {
        let pool = Pool::new(1);
        let ticket = pool.submit(request("1")).unwrap();
        assert_eq!(pool.submit(request("2")).unwrap_err(), Full);
        assert_eq!(pool.waiting(), 1);
        pool.close();
        assert_eq!(ticket.wait(), None);
    }
}
