//! Step Functions, JSON protocol 1.0: `X-Amz-Target` names the operation, bodies are JSON objects.

pub mod operation;

/// What an operation's name is written after in `X-Amz-Target`.
pub const TARGET_PREFIX: &str = "AWSStepFunctions.";
/// The content type of every answer.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
