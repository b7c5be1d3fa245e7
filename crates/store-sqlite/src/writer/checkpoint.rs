//! Folds the log into the file, off the commit path: a connection and a thread of its own. Passive
//! folding never waits for anybody; only when the log has outgrown its bound is the writer held for a
//! moment so that the log can start over.

use std::sync::Arc;

use metrics::{gauge, histogram};
use rusqlite::Connection;
use stint_supervise::{Clock, OnExit, Stop, Supervisor};
use tokio::sync::Notify;

use super::seconds;
use crate::config::SqliteConfig;
use crate::figure;
use crate::lock::DirLock;
use crate::schema;
use crate::store::OpenError;

const PAGE: u64 = schema::PAGE_BYTES;

struct Checkpointer {
    conn: Connection,
    log_bytes_max: u64,
    clock: Clock,
}

/// Starts the thread.
pub(crate) fn start(
    config: &SqliteConfig,
    (nudge, lock): (Arc<Notify>, Arc<DirLock>),
    supervisor: &Supervisor,
) -> Result<(), OpenError> {
    let path = config.dir.join("book.db");
    let failed = |source| OpenError::Prepare { path: path.clone(), source };
    let conn = Connection::open(&path).map_err(failed)?;
    schema::tune_checkpointer(&conn).map_err(failed)?;
    let clock = supervisor.clock().clone();
    let checkpointer = Checkpointer { conn, log_bytes_max: config.log_bytes_max, clock };
    let runtime = tokio::runtime::Handle::current();
    let run = move |stop: Stop| {
        let done = checkpointer.run(&runtime, &nudge, &stop);
        drop(lock);
        done
    };
    supervisor
        .thread("store/checkpoint", OnExit::StopServer, run)
        .map(drop)
        .map_err(|source| OpenError::Thread { source })
}

impl Checkpointer {
    fn run(
        self,
        runtime: &tokio::runtime::Handle,
        nudge: &Arc<Notify>,
        stop: &Stop,
    ) -> Result<(), rusqlite::Error> {
        // The writer rings a last time when it ends and lets go of its end of the bell.
        while Arc::strong_count(nudge) > 1 && !stop.is_stopped() {
            // Both may be dropped: a ring that was missed is stored.
            runtime.block_on(async {
                tokio::select! {
                    () = nudge.notified() => {}
                    () = stop.stopped() => {}
                }
            });
            self.fold("PASSIVE")?;
        }
        Ok(())
    }

    fn fold(&self, mode: &str) -> Result<(), rusqlite::Error> {
        let began = self.clock.now();
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let (busy, log, done): (i64, i64, i64) =
            self.conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        histogram!(figure::CHECKPOINT_SECONDS).record(seconds(self.clock.now().since(began)));
        let pages = u32::try_from(log).unwrap_or(0);
        gauge!(figure::LOG_PAGES).set(f64::from(pages));
        tracing::debug!(mode, busy, log, done, "folded the log into the file");
        if mode == "PASSIVE" && u64::from(pages) * PAGE > self.log_bytes_max {
            // Little is left to fold by now. The file keeps its size: writing over is cheaper than
            // growing.
            self.fold("RESTART")?;
        }
        Ok(())
    }
}
