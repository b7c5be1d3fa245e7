//! What the embedded store is told, resolved.

use std::path::PathBuf;

/// How the book is kept.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The data directory; made when missing.
    pub dir: PathBuf,
    /// Batches that may wait for the writer.
    pub inbox: usize,
    /// Task rows that one commit takes together at most (a single larger batch still goes through).
    pub group_rows: usize,
    /// Connections that read at once.
    pub readers: usize,
    /// Page cache of the writer in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader in KiB.
    pub reader_cache_kib: u32,
    /// Bytes of the file that are read through the page cache of the kernel without a copy.
    pub mmap_bytes: u64,
    /// The log is folded into the file after about this many written bytes.
    pub checkpoint_bytes: u64,
    /// The log starts over when it has grown to this many bytes.
    pub log_bytes_max: u64,
    /// The log's file is made with this many bytes, so that commits do not wait for it to grow.
    pub log_bytes_ready: u64,
    /// Rows that may wait for the search index before it is brought up to date even under load.
    pub search_lag_rows: usize,
}

impl SqliteConfig {
    /// Sensible values for a machine that does other things too.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            inbox: 1_024,
            group_rows: 8_192,
            readers: 3,
            writer_cache_kib: 32 << 10,
            reader_cache_kib: 4 << 10,
            mmap_bytes: 256 << 20,
            checkpoint_bytes: 8 << 20,
            log_bytes_max: 24 << 20,
            log_bytes_ready: 32 << 20,
            search_lag_rows: 32_768,
        }
    }
}

/// How the journal is kept.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The data directory; made when missing.
    pub dir: PathBuf,
    /// Appends that may wait for the writer.
    pub inbox: usize,
    /// Connections that read at once.
    pub readers: usize,
}

impl JournalConfig {
    /// Sensible values.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), inbox: 1_024, readers: 2 }
    }
}
