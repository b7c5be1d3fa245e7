//! From what went wrong to what the caller is told: the one place where codes become HTTP statuses.

use std::error::Error as _;

use http::{HeaderValue, Response, StatusCode, header};
use stint_engine::EngineError;
use stint_model::code::{Code, Refusal};
use stint_sign::SignError;
use stint_supervise::chain;
use stint_watch::SearchError;
use stint_wire::problem::Envelope;

use crate::answer::{ApiBody, json};

/// What a request is refused with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The HTTP status of each code (§1.24).
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument
        | Code::MissingRequiredHeader
        | Code::PathNotSupported
        | Code::EntityTooLarge
        | Code::LimitExceededError
        | Code::InstanceMetricsRequired
        | Code::ExecutionAlreadyExists
        | Code::ExecutionAlreadyCompleted
        | Code::ExecutionNotRedrivable
        | Code::InvalidTaskToken
        | Code::TaskAlreadyCompleted
        | Code::ActionNotSupported
        | Code::PayloadSchemaMismatch => StatusCode::BAD_REQUEST,
        Code::AccessDenied
        | Code::SignatureNotMatch
        | Code::InvalidAccessKeyID
        | Code::InvalidSecurityToken
        | Code::RequestTimeTooSkewed
        | Code::RequestReplayed
        | Code::InvocationDisabled => StatusCode::FORBIDDEN,
        Code::FunctionNotFound
        | Code::AliasNotFound
        | Code::VersionNotFound
        | Code::SessionNotFound
        | Code::TriggerNotFound
        | Code::LayerNotFound
        | Code::LayerVersionNotFound
        | Code::AsyncConfigNotExists
        | Code::AsyncTaskNotFound
        | Code::ConcurrencyConfigNotFound
        | Code::ProvisionConfigNotFound
        | Code::ScalingConfigNotFound
        | Code::AccountNotFound
        | Code::KeyNotFound
        | Code::FlowNotExists
        | Code::FlowVersionNotExists
        | Code::FlowAliasNotExists
        | Code::ExecutionNotExists
        | Code::ScheduleNotExists
        | Code::ActivityNotExists
        | Code::MapRunNotExists
        | Code::ResourceNotFound => StatusCode::NOT_FOUND,
        Code::ProvisionConfigExist
        | Code::ScalingConfigExist
        | Code::FunctionAlreadyExists
        | Code::AliasAlreadyExists
        | Code::AccountAlreadyExists
        | Code::AsyncTaskAlreadyExists
        | Code::AsyncTaskAlreadyFinished
        | Code::AsyncTaskNotFinished
        | Code::FlowAlreadyExists
        | Code::FlowAliasAlreadyExists
        | Code::ScheduleAlreadyExists
        | Code::ConcurrentUpdateError => StatusCode::CONFLICT,
        Code::FunctionNotStarted | Code::FunctionNotReady => StatusCode::PRECONDITION_FAILED,
        Code::ResourceExhausted | Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Code::ResourceThrottled | Code::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
    }
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// An operation that is known and not built yet.
    pub(crate) fn later(operation: &str) -> Self {
        Self::new(
            Code::NotImplemented,
            format!("{operation} is not implemented by this version of Stint"),
        )
    }

    /// No operation at this method and path, in upstream's words.
    pub(crate) fn no_path(method: &http::Method, path: &str) -> Self {
        Self::new(Code::PathNotSupported, format!("'{method}' against '{path}' is not supported"))
    }

    /// Our fault: the caller learns the request id, the log learns the rest.
    pub(crate) fn ours(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(
            Code::InternalServerError,
            "the server failed; the request id finds the cause in its log",
        )
    }

    pub(crate) fn answer(self, request_id: &str) -> Response<ApiBody> {
        let envelope = Envelope {
            code: self.code.text().to_owned(),
            message: self.message,
            request_id: request_id.to_owned(),
        };
        let status = status(self.code);
        let mut response = json(status, &envelope);
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        if let EngineError::Refused(refusal) = error {
            return refusal.into();
        }
        let code = error.code();
        match code {
            Code::InternalServerError => Self::ours(&error),
            Code::ConcurrentUpdateError => {
                Self::new(code, "somebody else changed it at the same time; read it and try again")
            }
            Code::InvalidArgument => {
                let message = "the page token is not one of this listing; begin without one";
                Self::new(code, message)
            }
            Code::ServiceUnavailable => {
                Self::new(code, "the server is stopping; try again, or on another server")
            }
            _ => Self::new(code, error.to_string()),
        }
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        error.refusal().into()
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::BadCursor => Self::invalid("the cursor is not one of this search"),
            SearchError::Journal(_) => Self::ours(error.source().unwrap_or(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/reference/errors.md` has a section for each code and for nothing else.
    #[test]
    fn every_code_has_a_status_and_a_section() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md");
        let page = std::fs::read_to_string(path).unwrap();
        let sections: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("## ")).collect();
        for code in Code::ALL {
            assert!(status(*code).as_u16() >= 400);
            let heading = format!("{} ({})", code.text(), status(*code).as_u16());
            assert!(sections.contains(&heading.as_str()), "no section '## {heading}'");
        }
        assert_eq!(sections.len(), Code::ALL.len(), "a section for a code that is none");
    }

    #[test]
    fn what_failed_inside_is_not_told() {
        let inner = EngineError::Bug("secret detail".into());
        let problem = Problem::from(inner);
        assert_eq!(problem.code, Code::InternalServerError);
        assert!(!problem.message.contains("secret"));
    }
}
