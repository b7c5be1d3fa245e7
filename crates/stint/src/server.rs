//! What `stint up` is put together from: the data directory, metrics, buckets, the
//! node's ports, and the composition itself, which composes and does not decide.

pub(crate) mod buckets;
pub(crate) mod compose;
pub(crate) mod directory;
pub(crate) mod embedded;
pub(crate) mod figures;
pub(crate) mod goodbye;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod logging;
pub(crate) mod programs;
