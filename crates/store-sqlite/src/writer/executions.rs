//! The statements of executions: heads, documents, history.

use bytes::Bytes;
use rusqlite::params;
use stint_model::id::ExecutionUid;
use stint_store::{CommitError, Document};

use super::apply::{Applied, Counts, Statements, is_taken};
use super::encode::Head;

fn number(uid: ExecutionUid) -> i64 {
    uid.number().cast_signed()
}

impl Statements<'_> {
    pub(super) fn head(&mut self, head: &Head, counts: &mut Counts) -> Applied<()> {
        let uid = number(head.uid);
        if !head.is_new {
            let changed =
                self.head_change.execute(params![uid, head.status, head.ended, head.body])?;
            let missing = CommitError::ExecutionMissing(head.uid);
            return Ok(if changed == 0 { Err(missing) } else { Ok(()) });
        }
        let put = self.head_put.execute(params![
            uid,
            head.list.cast_signed(),
            head.name,
            head.account.cast_signed(),
            head.is_child,
            head.status,
            head.ended,
            head.body
        ]);
        if is_taken(put)? {
            return Ok(Err(CommitError::ExecutionExists(head.uid)));
        }
        counts.executions += 1;
        Ok(Ok(()))
    }

    pub(super) fn document(
        &mut self,
        execution: ExecutionUid,
        document: Option<&Document>,
        counts: &mut Counts,
    ) -> rusqlite::Result<()> {
        let uid = number(execution);
        match document {
            Some(Document { is_open: true, wake_at, asks, body }) => {
                let body: &[u8] = body;
                let row = params![uid, wake_at.micros(), asks, body];
                if self.document_change.execute(row)? == 0 {
                    self.rest_delete.execute([uid])?;
                    self.document_put.execute(row)?;
                    counts.executions_open += 1;
                }
            }
            Some(Document { is_open: false, body, .. }) => {
                let body: &[u8] = body;
                self.close(uid, counts)?;
                self.rest_put.execute(params![uid, body])?;
            }
            None => {
                self.close(uid, counts)?;
                self.rest_delete.execute([uid])?;
            }
        }
        Ok(())
    }

    fn close(&mut self, uid: i64, counts: &mut Counts) -> rusqlite::Result<()> {
        if self.document_delete.execute([uid])? == 1 {
            counts.executions_open -= 1;
        }
        Ok(())
    }

    pub(super) fn history(
        &mut self,
        execution: ExecutionUid,
        (first, count): (u64, u32),
        body: &Bytes,
    ) -> Applied<()> {
        let body: &[u8] = body;
        let row = params![number(execution), first.cast_signed(), count, body];
        if is_taken(self.history_put.execute(row))? {
            return Ok(Err(CommitError::HistoryExists(execution)));
        }
        Ok(Ok(()))
    }

    pub(super) fn forget_execution(
        &mut self,
        execution: ExecutionUid,
        counts: &mut Counts,
    ) -> rusqlite::Result<()> {
        let uid = number(execution);
        if self.head_delete.execute([uid])? == 1 {
            counts.executions -= 1;
        }
        self.close(uid, counts)?;
        self.rest_delete.execute([uid])?;
        self.history_delete.execute([uid])?;
        Ok(())
    }
}
