//! stint-model.
