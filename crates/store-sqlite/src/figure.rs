//! Every metric of this crate, declared once.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const COMMIT_SECONDS: &str = "stint_store_commit_seconds";
pub(crate) const COMMIT_BATCHES: &str = "stint_store_commit_batches";
pub(crate) const COMMIT_ROWS: &str = "stint_store_commit_rows";
pub(crate) const COMMIT_FAILURES: &str = "stint_store_commit_failures_total";
pub(crate) const SYNC_SECONDS: &str = "stint_store_sync_seconds";
pub(crate) const INBOX_BATCHES: &str = "stint_store_inbox_batches";
pub(crate) const CHECKPOINT_SECONDS: &str = "stint_store_checkpoint_seconds";
pub(crate) const LOG_PAGES: &str = "stint_store_log_pages";
pub(crate) const READ_SECONDS: &str = "stint_store_read_seconds";
pub(crate) const SEARCH_LAG_ROWS: &str = "stint_store_search_lag_rows";
pub(crate) const JOURNAL_CHUNKS: &str = "stint_journal_chunks_total";
pub(crate) const JOURNAL_BYTES: &str = "stint_journal_bytes_total";
pub(crate) const DISK_FREE_BYTES: &str = "stint_disk_free_bytes";

/// Tells the installed recorder what each metric means; call it once, after installing one.
pub fn describe_metrics() {
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "one group commit, from begin to disk");
    describe_histogram!(COMMIT_BATCHES, Unit::Count, "batches in one group commit");
    describe_histogram!(COMMIT_ROWS, Unit::Count, "rows written by one group commit");
    describe_counter!(COMMIT_FAILURES, Unit::Count, "group commits that failed as a whole");
    describe_histogram!(SYNC_SECONDS, Unit::Seconds, "the last step of a commit, to disk");
    describe_gauge!(INBOX_BATCHES, Unit::Count, "batches that wait for the writer");
    describe_histogram!(CHECKPOINT_SECONDS, Unit::Seconds, "one folding of the log into the file");
    describe_gauge!(LOG_PAGES, Unit::Count, "pages in the log after the last folding");
    describe_histogram!(READ_SECONDS, Unit::Seconds, "one read, with waiting for a connection");
    describe_gauge!(SEARCH_LAG_ROWS, Unit::Count, "changes the search index has not seen yet");
    describe_counter!(JOURNAL_CHUNKS, Unit::Count, "pieces appended to the journal");
    describe_counter!(JOURNAL_BYTES, Unit::Bytes, "bytes appended to the journal");
    describe_gauge!(DISK_FREE_BYTES, Unit::Bytes, "free bytes where the data directory lies");
}
