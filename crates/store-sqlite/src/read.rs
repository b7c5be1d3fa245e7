//! Reads: a bounded pool of read-only connections, each read on a blocking thread. A read sees one
//! moment of the book and never waits for the writer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::histogram;
use rusqlite::{Connection, OpenFlags};
use stint_store::StoreError;
use stint_supervise::Supervisor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::SqliteConfig;
use crate::figure;
use crate::schema;
use crate::writer::seconds;

pub(crate) mod executions;
pub(crate) mod rows;

/// The pool. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    pool: Arc<Pool>,
    supervisor: Supervisor,
}

#[derive(Debug)]
struct Pool {
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// A connection on loan; goes back when dropped, also when the read panics.
struct Loan {
    conn: Option<Connection>,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

impl Readers {
    pub(crate) fn open(
        path: &Path,
        config: &SqliteConfig,
        supervisor: &Supervisor,
    ) -> rusqlite::Result<Self> {
        let count = config.readers.max(1);
        let open = |_| open_reader(path, config.reader_cache_kib, config.mmap_bytes);
        let idle = (0..count).map(open).collect::<rusqlite::Result<Vec<_>>>()?;
        let pool = Pool { places: Arc::new(Semaphore::new(count)), idle: Mutex::new(idle) };
        Ok(Self { pool: Arc::new(pool), supervisor: supervisor.clone() })
    }

    /// Runs a read. When the caller stops waiting it still goes on to its end.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + Send + 'static,
    {
        let began = self.supervisor.clock().now();
        let place = Arc::clone(&self.pool.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let conn = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan {
            conn: Some(conn.expect("as many connections as places")),
            pool: Arc::clone(&self.pool),
            _place: place,
        };
        let read = self.supervisor.blocking(move || {
            let conn = loan.conn.as_ref().expect("taken only when dropped");
            let transaction = conn.unchecked_transaction().map_err(failed)?;
            let found = work(&transaction).map_err(Into::into);
            transaction.finish().map_err(failed)?;
            found
        });
        let found = read.await;
        histogram!(figure::READ_SECONDS)
            .record(seconds(self.supervisor.clock().now().since(began)));
        found.unwrap_or_else(|crash| {
            Err(StoreError::Backend { operation: "read", source: Box::new(crash) })
        })
    }
}

/// A read-only connection.
pub(crate) fn open_reader(
    path: &Path,
    cache_kib: u32,
    mmap_bytes: u64,
) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    schema::tune_reader(&conn, cache_kib, mmap_bytes)?;
    Ok(conn)
}

/// The backend failed while reading.
pub(crate) fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::Backend { operation: "read", source: Box::new(source) }
}
