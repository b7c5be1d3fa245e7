//! The engine: submit, dispatch, settle, and the control plane. Modules in the order of a task's
//! life; what the life stands on comes after it.

pub mod edit;
pub mod error;

pub mod catalog;

pub use catalog::{Catalog, CatalogChange, FunctionEntry, Target};
