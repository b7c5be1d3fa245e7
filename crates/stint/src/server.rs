//! What `stint up` is put together from: the data directory, the disk guard, metrics, the listeners'
//! addresses, and the composition itself.

pub(crate) mod disk;
