//! Tasks: durable async invocations with recorded state.
