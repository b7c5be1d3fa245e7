//! Refusals in upstream's words: a code, an HTTP status, a document.

use http::StatusCode;
use stint_message::MessageError;
use stint_model::code::{Code, Refusal};
use stint_wire::mns::{self, Element};

use super::Told;
use crate::error::{Problem, status};

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In place of the error's document: the results of a batch.
    body: Option<Element>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), body: None }
    }

    /// A batch of which something failed.
    pub(super) fn batch(status: StatusCode, body: Element) -> Self {
        Self { body: Some(body), ..Self::new(status, "", "") }
    }

    pub(super) fn url() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestURL", "Http request URL format invalid.")
    }

    pub(super) fn digest() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidDigest",
            "The Content-MD5 you specified is invalid.",
        )
    }

    pub(super) fn schema(element: &str) -> Self {
        let shown: String = element.chars().take(64).collect();
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            format!(
                "The XML you provided did not validate against our published schema, cause by Element {shown}."
            ),
        )
    }

    pub(super) fn missing(parameter: &'static str) -> Self {
        let code = match parameter {
            "ReceiptHandle" => "MissingReceiptHandle",
            "VisibilityTimeout" => "MissingVisibilityTimeout",
            _ => "MissingParameter",
        };
        Self::new(StatusCode::BAD_REQUEST, code, format!("{parameter} is required."))
    }

    /// What is wrong with a signature; upstream has codes of its own for its headers.
    pub(super) fn of_signature(problem: Problem) -> Self {
        let is_date = problem.message.contains("ate");
        let code = match problem.code {
            Code::MissingRequiredHeader if problem.message.contains("Authorization") => {
                "MissingAuthorizationHeader"
            }
            Code::MissingRequiredHeader => "MissingDateHeader",
            Code::InvalidArgument if is_date && !problem.message.contains("Authorization") => {
                "InvalidDateHeader"
            }
            Code::InvalidArgument => "InvalidAuthorizationHeader",
            _ => return problem.into(),
        };
        Self::new(StatusCode::BAD_REQUEST, code, problem.message)
    }

    pub(super) fn told(self, of: (&str, &str)) -> Told {
        let body = self.body.unwrap_or_else(|| mns::error(self.code, &self.message, of));
        Told::document(self.status, body)
    }

    /// As an entry of a batch.
    pub(super) fn entry(refusal: Refusal) -> (&'static str, String) {
        let refused = Self::from(Problem::from(refusal));
        (refused.code, refused.message)
    }
}

/// Upstream's word for a code.
fn word(code: Code) -> &'static str {
    match code {
        Code::SignatureNotMatch => "SignatureDoesNotMatch",
        Code::InvalidAccessKeyID => "InvalidAccessKeyId",
        Code::RequestTimeTooSkewed => "TimeExpired",
        Code::PathNotSupported => "InvalidRequestURL",
        Code::EntityTooLarge => "InvalidArgument",
        Code::LimitExceededError => "QueueNumExceededLimit",
        Code::ResourceExhausted => "QpsLimitExceeded",
        Code::InternalServerError => "InternalError",
        code => code.text(),
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let status = match problem.code {
            Code::RequestTimeTooSkewed => StatusCode::REQUEST_TIMEOUT,
            code => status(code),
        };
        Self::new(status, word(problem.code), problem.message)
    }
}

impl From<MessageError> for Refused {
    fn from(error: MessageError) -> Self {
        Problem::from(error).into()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Problem::from(refusal).into()
    }
}
