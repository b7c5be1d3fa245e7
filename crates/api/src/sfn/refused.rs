//! Refusals in the words of Step Functions: an exception's name, 400 for what the caller can change.

use http::StatusCode;
use stint_engine::EngineError;
use stint_model::code::Code;
use stint_sign::SignError;

use crate::error::{Problem, status};

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    /// The exception's name.
    pub(super) kind: &'static str,
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// What it was before it had this name; for operations that have another.
    pub(super) code: Option<Code>,
}

impl Refused {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: StatusCode::BAD_REQUEST, message: message.into(), code: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// Another name where this operation has one for the code.
    pub(super) fn named(mut self, code: Code, kind: &'static str) -> Self {
        if self.code == Some(code) {
            self.kind = kind;
        }
        self
    }
}

/// The name of each code where the operation has none of its own.
const fn kind(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::InvalidArgument | Code::EntityTooLarge | Code::PayloadSchemaMismatch => {
            "ValidationException"
        }
        Code::AccessDenied | Code::RequestReplayed => "AccessDeniedException",
        Code::InvalidAccessKeyID | Code::InvalidSecurityToken => "UnrecognizedClientException",
        Code::SignatureNotMatch | Code::RequestTimeTooSkewed => "InvalidSignatureException",
        Code::MissingRequiredHeader => "MissingAuthenticationTokenException",
        Code::FlowNotExists => "StateMachineDoesNotExist",
        Code::FlowVersionNotExists | Code::FlowAliasNotExists | Code::MapRunNotExists => {
            "ResourceNotFound"
        }
        Code::FlowAlreadyExists => "StateMachineAlreadyExists",
        Code::FlowAliasAlreadyExists | Code::ConcurrentUpdateError => "ConflictException",
        Code::ExecutionNotExists => "ExecutionDoesNotExist",
        Code::ExecutionAlreadyExists => "ExecutionAlreadyExists",
        Code::ExecutionNotRedrivable => "ExecutionNotRedrivable",
        Code::ActivityNotExists => "ActivityDoesNotExist",
        Code::InvalidTaskToken => "InvalidToken",
        Code::TaskAlreadyCompleted => "TaskTimedOut",
        Code::ActionNotSupported => "StateMachineTypeNotSupported",
        Code::LimitExceededError | Code::QuotaExceeded => "ServiceQuotaExceededException",
        Code::ResourceThrottled | Code::ResourceExhausted => "ThrottlingException",
        Code::ServiceUnavailable | Code::InsufficientStorage => "ServiceUnavailable",
        Code::InternalServerError => "InternalFailure",
        _ => return None,
    })
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let said = status(problem.code);
        let status = if said.is_server_error() { said } else { StatusCode::BAD_REQUEST };
        let kind = kind(problem.code).unwrap_or(problem.code.text());
        Self { kind, status, message: problem.message, code: Some(problem.code) }
    }
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Problem::from(error).into()
    }
}

impl From<SignError> for Refused {
    fn from(error: SignError) -> Self {
        let kind = match error {
            SignError::Malformed(_) | SignError::HeaderMissing(_) | SignError::BadDate => {
                "IncompleteSignatureException"
            }
            _ => return Problem::from(error).into(),
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_speak_this_api() {
        let refused = Refused::from(Problem::new(Code::FlowNotExists, "m"));
        assert_eq!((refused.kind, refused.status.as_u16()), ("StateMachineDoesNotExist", 400));
        let renamed = refused.clone().named(Code::FlowNotExists, "ResourceNotFound");
        assert_eq!(renamed.kind, "ResourceNotFound");
        assert_eq!(refused.clone().named(Code::AccessDenied, "X"), refused);
        let ours = Refused::from(Problem::new(Code::InternalServerError, "m"));
        assert_eq!((ours.kind, ours.status.as_u16()), ("InternalFailure", 500));
    }
}
