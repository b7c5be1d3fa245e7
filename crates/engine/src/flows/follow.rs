//! Following an execution as it goes: its history from a place on, then its end.

use std::collections::VecDeque;

use stint_flow::Row;
use stint_model::access::Caller;
use stint_model::execution::Execution;
use stint_model::id::ExecutionUid;

use super::ExecutionRef;
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::{FlowInput, Input};

/// Events of one read.
const ROWS_MAX: usize = 256;

/// What comes from an execution that is followed.
#[derive(Clone, PartialEq, Debug)]
pub enum Followed {
    /// The next event, in order, none left out.
    Row(Row),
    /// It has ended; nothing comes after this.
    Ended(Box<Execution>),
}

/// An execution that is followed. Dropping it ends the following.
#[derive(Debug)]
pub struct ExecutionFollow {
    engine: Engine,
    uid: ExecutionUid,
    /// The last event that was given.
    after: u64,
    rows: VecDeque<Row>,
    has_ended: bool,
}

impl ExecutionFollow {
    /// The next thing; waits for it. `None` after the end.
    ///
    /// # Errors
    /// When the book cannot be read, or the server is stopping.
    pub async fn next(&mut self) -> Result<Option<Followed>, EngineError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                self.after = row.id;
                return Ok(Some(Followed::Row(row)));
            }
            if self.has_ended {
                return Ok(None);
            }
            let slice = self.engine.history_of(self.uid, (self.after + 1, false), ROWS_MAX).await?;
            self.rows.extend(slice.rows);
            if !self.rows.is_empty() {
                continue;
            }
            let (uid, after) = (self.uid, Some(self.after));
            let head = self.engine.ask_shard(uid.shard(), |reply| {
                Input::Flow(FlowInput::Wait { execution: uid, after, reply })
            });
            let head = head.await?;
            if head.status.is_terminal() {
                let slice = self.engine.history_of(uid, (self.after + 1, false), ROWS_MAX).await?;
                if slice.rows.is_empty() {
                    self.has_ended = true;
                    return Ok(Some(Followed::Ended(Box::new(head))));
                }
                self.rows.extend(slice.rows);
            }
        }
    }
}

impl Engine {
    /// Follows an execution from the event after `after` on (zero: from the first).
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_follow(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        after: u64,
    ) -> Result<ExecutionFollow, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionHistory, execution).await?;
        Ok(ExecutionFollow {
            engine: self.clone(),
            uid: found.uid,
            after,
            rows: VecDeque::new(),
            has_ended: false,
        })
    }
}
