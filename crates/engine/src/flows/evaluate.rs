//! JSONata, outside of every loop: a bounded pool whose threads begin with the first expression and end with
//! the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use stint_expr::{Bounds, Jsonata, Pool, Request};
use stint_flow::Evaluation;
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, OnExit, Supervisor};

/// Requests that wait for a thread.
const WAITING_MAX: usize = 4_096;
/// How soon a full queue is tried again.
const FULL_PAUSE: Span = Span::from_millis(5);

/// See the module comment.
#[derive(Debug)]
pub(crate) struct Evaluator {
    pool: Arc<Pool>,
    supervisor: Supervisor,
    threads: u32,
    has_begun: AtomicBool,
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Evaluator {
    pub(crate) fn new(supervisor: Supervisor, threads: u32) -> Self {
        let pool = Arc::new(Pool::new(WAITING_MAX));
        Self { pool, supervisor, threads: threads.max(1), has_begun: AtomicBool::new(false) }
    }

    fn begin(&self) {
        if self.has_begun.swap(true, Ordering::AcqRel) {
            return;
        }
        for number in 0..self.threads {
            let pool = Arc::clone(&self.pool);
            let serve = move |_stop| pool.serve(&mut Jsonata::new(Bounds::default()));
            let begun = self.supervisor.thread(format!("expr/{number}"), OnExit::Ignore, serve);
            if let Err(error) = begun {
                tracing::error!(%error, "a thread for expressions cannot be started");
            }
        }
    }

    /// One answer for each source. Waits while the queue is full.
    pub(crate) async fn evaluate(
        &self,
        clock: &Clock,
        evaluation: &Evaluation,
        (entropy, now): ([u8; 16], Timestamp),
    ) -> Vec<Result<Value, String>> {
        self.begin();
        let request = Request {
            sources: evaluation.sources.clone(),
            states: Some(evaluation.states.clone()),
            variables: evaluation.variables.clone(),
            data: None,
            entropy,
            now_ms: now.millis(),
        };
        let ticket = loop {
            match self.pool.submit(request.clone()) {
                Ok(ticket) => break ticket,
                Err(stint_expr::Full) => clock.sleep(FULL_PAUSE).await,
            }
        };
        let answers = self.supervisor.blocking(move || ticket.wait()).await;
        match answers {
            Ok(Some(answers)) => answers,
            Ok(None) | Err(_) => {
                let told = "could not be evaluated: the server is stopping".to_owned();
                evaluation.sources.iter().map(|_| Err(told.clone())).collect()
            }
        }
    }
}
