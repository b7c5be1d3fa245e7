//! The error envelope of every door: `{"Code", "Message", "RequestId"}`.

use std::fmt;

use serde::{Deserialize, Serialize};
use stint_model::code::Code;
use utoipa::ToSchema;

/// What a refused or failed request is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Envelope {
    /// A stable code; `docs/reference/errors.md` has a section for each.
    #[serde(alias = "code")]
    pub code: String,
    /// For a person: what happened and what to do.
    #[serde(alias = "message")]
    pub message: String,
    /// The request's id.
    #[serde(alias = "requestId", default)]
    pub request_id: String,
}

impl Envelope {
    /// The code as one of ours, if it is.
    pub fn known(&self) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.text() == self.code)
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (request {})", self.code, self.message, self.request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case_is_read() {
        let upper = r#"{"Code":"FunctionNotFound","Message":"m","RequestId":"r"}"#;
        let lower = r#"{"code":"FunctionNotFound","message":"m","requestId":"r"}"#;
        let read: Envelope = serde_json::from_str(lower).unwrap();
        assert_eq!(read.known(), Some(Code::FunctionNotFound));
        assert_eq!(serde_json::to_string(&read).unwrap(), upper);
    }
}
