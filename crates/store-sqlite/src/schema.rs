//! The tables of each file, version by version, and how connections are tuned.

use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::format::{Format, Step};

/// Bytes of a page; see `examples/commit_speed.rs` for what was measured.
pub(crate) const PAGE_BYTES: u64 = 4_096;

fn tune(conn: &Connection, synchronous: &str, cache_kib: u32) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{cache_kib};
         PRAGMA trusted_schema = OFF;"
    ))
}

/// The connection that commits: every commit is on disk before it is answered.
pub(crate) fn tune_writer(conn: &Connection, config: &SqliteConfig) -> rusqlite::Result<()> {
    tune(conn, "FULL", config.writer_cache_kib)?;
    conn.pragma_update(None, "mmap_size", config.mmap_bytes)
}

/// The connection that folds the log.
pub(crate) fn tune_checkpointer(conn: &Connection) -> rusqlite::Result<()> {
    tune(conn, "NORMAL", 256)
}

/// The connection that writes the search index: durable, because the book forgets what it has seen.
pub(crate) fn tune_indexer(conn: &Connection) -> rusqlite::Result<()> {
    tune(conn, "FULL", 8 << 10)?;
    conn.pragma_update(None, "wal_autocheckpoint", 4_000)
}

/// A connection for what may lose its last moments in a power cut (never its integrity).
pub(crate) fn tune_relaxed(conn: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    tune(conn, "NORMAL", cache_kib)
}

/// A connection that reads.
pub(crate) fn tune_reader(
    conn: &Connection,
    cache_kib: u32,
    mmap_bytes: u64,
) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(&format!(
        "PRAGMA query_only = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{cache_kib};
         PRAGMA mmap_size = {mmap_bytes};
         PRAGMA trusted_schema = OFF;"
    ))
}

/// `task` is written once; `task_life` holds what changes and is missing while nothing has;
/// `task_open` is what recovery reads. `task_touched` lists, commit by commit, the tasks that the
/// search index has not seen yet (uids, eight bytes each).
macro_rules! book_v1 {
    () => {
        "
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    minted INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    tasks_open INTEGER NOT NULL
) STRICT;
CREATE TABLE record (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE task (uid INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE task_life (uid INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE task_open (uid INTEGER PRIMARY KEY) STRICT;
CREATE TABLE task_chosen (
    function INTEGER NOT NULL,
    id TEXT NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (function, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE task_touched (seq INTEGER PRIMARY KEY, uids BLOB NOT NULL) STRICT;
CREATE TABLE letter (
    arrival INTEGER PRIMARY KEY,
    to_shard INTEGER NOT NULL,
    from_shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX letter_id ON letter (to_shard, from_shard, number);
CREATE INDEX letter_to ON letter (to_shard, arrival);
CREATE TABLE letter_applied (
    to_shard INTEGER NOT NULL,
    from_shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (to_shard, from_shard, number)
) STRICT, WITHOUT ROWID;
"
    };
}

/// `execution` is the head of one: `list` is the flow's number, of a map run's child the number of the
/// execution that holds it. `execution_open` is what goes on, rewritten at each turn; `execution_ended`
/// what could be run again. `history` has a row for each turn that wrote some.
macro_rules! executions_v2 {
    () => {
        "
ALTER TABLE shard ADD COLUMN executions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shard ADD COLUMN executions_open INTEGER NOT NULL DEFAULT 0;
CREATE TABLE execution (
    uid INTEGER PRIMARY KEY,
    list INTEGER NOT NULL,
    name TEXT NOT NULL,
    account INTEGER NOT NULL,
    is_child INTEGER NOT NULL,
    status INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX execution_name ON execution (list, name);
CREATE INDEX execution_list ON execution (list);
CREATE INDEX execution_status ON execution (list, status);
CREATE INDEX execution_account ON execution (account) WHERE is_child = 0;
CREATE TABLE execution_open (
    uid INTEGER PRIMARY KEY,
    wake_at INTEGER NOT NULL,
    asks INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE execution_ended (uid INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE history (
    execution INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (execution, first)
) STRICT, WITHOUT ROWID;
"
    };
}

/// The book's format.
pub(crate) const BOOK: Format = Format {
    name: "book",
    // "stnB"
    application_id: 0x7374_6e42,
    version: 2,
    fresh: concat!(book_v1!(), executions_v2!()),
    steps: &[Step { from: 1, sql: executions_v2!() }],
};

/// The search index's format.
pub(crate) const SEARCH: Format = Format {
    name: "search index",
    // "stnS"
    application_id: 0x7374_6e53,
    version: 1,
    fresh: SEARCH_V1,
    steps: &[] as &[Step],
};

/// `by_trouble` holds the few tasks that ended badly or have an error. `walk` says how far the book
/// was walked to make the index; `done` once it saw everything.
const SEARCH_V1: &str = "
CREATE TABLE task_search (
    uid INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    function INTEGER NOT NULL,
    qualifier TEXT NOT NULL,
    chosen_id TEXT,
    state INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    submitted INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    error_class TEXT,
    error_kind TEXT
) STRICT;
CREATE INDEX by_account ON task_search (account, uid);
CREATE INDEX by_function ON task_search (function, uid);
CREATE INDEX by_trouble ON task_search (account, uid)
    WHERE error_kind IS NOT NULL OR state BETWEEN 6 AND 9;
CREATE TABLE task_tag (
    account INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (account, key, value, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_tag_uid ON task_tag (uid);
CREATE TABLE walk (id INTEGER PRIMARY KEY CHECK (id = 1), uid INTEGER NOT NULL, done INTEGER NOT NULL) STRICT;
INSERT INTO walk VALUES (1, -1, 0);
";

/// The journal's format.
pub(crate) const JOURNAL: Format = Format {
    name: "journal",
    // "stnJ"
    application_id: 0x7374_6e4a,
    version: 1,
    fresh: JOURNAL_V1,
    steps: &[] as &[Step],
};

/// Streams have numbers, so that a piece does not repeat a long name. `last` keeps the highest
/// number ever given, so that none is given twice after retention has emptied the journal.
const JOURNAL_V1: &str = "
CREATE TABLE stream (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE chunk (
    seq INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_subject ON chunk (stream, subject, seq);
CREATE INDEX chunk_stream ON chunk (stream, seq, at);
CREATE TABLE last (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT;
INSERT INTO last VALUES (1, 0);
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_of_format_1_is_brought_up_to_date() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("book.db");
        let first = Format { version: 1, fresh: book_v1!(), steps: &[], ..BOOK };
        let mut old = Connection::open(&path).expect("opens");
        first.prepare(&mut old, &path).expect("makes an old book");
        old.execute("INSERT INTO shard VALUES (0, 4, 5, 6, 7, 8, 9)", []).expect("writes");
        drop(old);
        let mut conn = Connection::open(&path).expect("opens");
        BOOK.prepare(&mut conn, &path).expect("migrates");
        let sum = "SELECT tasks + executions + executions_open FROM shard";
        assert_eq!(conn.query_row(sum, [], |row| row.get::<_, i64>(0)), Ok(8));
        let none = conn.query_row("SELECT count(*) FROM execution", [], |row| row.get::<_, i64>(0));
        assert_eq!(none, Ok(0));
        assert!(dir.path().join("book.db.v1").exists(), "a copy was put aside");
    }
}
