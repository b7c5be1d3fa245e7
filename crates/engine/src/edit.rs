//! An edit of control records, as a value: what was read, what is to be written, and what changes in
//! the catalog once it is. The shard loop checks the versions and puts the edit into its next batch,
//! so that control records and tasks have one committer.

use stint_model::shard::Shard;
use stint_store::{Expect, Put};

use crate::catalog::CatalogChange;

/// One atomic change of control records that live in one shard.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Whose records.
    pub shard: Shard,
    /// The versions they were read at (zero: must not exist). A difference is a conflict: the
    /// verb reads again.
    pub expects: Vec<Expect>,
    /// `Put::Record` and `Put::Delete` only.
    pub puts: Vec<Put>,
    /// Applied to the catalog after the commit and before the answer (read your writes).
    pub changes: Vec<CatalogChange>,
}
