//! stint-node.
