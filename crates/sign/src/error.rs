//! Why a signature is not accepted. `api` maps each to upstream's code and message.

use alloc::string::String;
use core::fmt;

use stint_model::code::{Code, Refusal};

/// Why a signature is not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignError {
    /// No `Authorization` header.
    Unsigned,
    /// A scheme we do not verify (`ACS3-RSA-SHA256`, ROA v2 `acs AK:…`).
    SchemeNotSupported,
    /// The `Authorization` header is not of its scheme's form.
    Malformed(&'static str),
    /// A header the scheme needs is absent.
    HeaderMissing(&'static str),
    /// A header that must be covered by the signature is not.
    HeaderUnsigned(&'static str),
    /// The time of the request is not a time.
    BadDate,
    /// The time of the request is too far from ours.
    Skewed,
    /// The signature is not the one we compute.
    Mismatch,
    /// The body is not the one that was signed.
    BodyMismatch,
    /// A signed link is past its time.
    Expired,
    /// A parameter the RPC scheme needs is absent.
    ParamMissing(&'static str),
    /// A parameter of the RPC scheme is not of its form.
    BadParam(&'static str),
}

impl SignError {
    /// The stable code of each.
    pub fn code(&self) -> Code {
        match self {
            Self::Unsigned | Self::HeaderMissing(_) => Code::MissingRequiredHeader,
            Self::SchemeNotSupported | Self::Malformed(_) | Self::HeaderUnsigned(_) => {
                Code::InvalidArgument
            }
            Self::BadDate | Self::ParamMissing(_) | Self::BadParam(_) => Code::InvalidArgument,
            Self::Skewed => Code::RequestTimeTooSkewed,
            Self::Mismatch | Self::BodyMismatch => Code::SignatureNotMatch,
            Self::Expired => Code::AccessDenied,
        }
    }

    /// As a refusal with its code.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(self.code(), alloc::format!("{self}"))
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("required HTTP header Authorization was not specified"),
            Self::SchemeNotSupported => f.write_str(
                "this signature scheme is not supported; sign with ACS3-HMAC-SHA256 or use a bearer token",
            ),
            Self::Malformed(what) => write!(f, "the Authorization header is not valid: {what}"),
            Self::HeaderMissing(name) => {
                write!(f, "required HTTP header {name} was not specified")
            }
            Self::HeaderUnsigned(name) => {
                write!(f, "HTTP header {name} must be among the SignedHeaders")
            }
            Self::BadDate => f.write_str(
                "the request's date is not valid; x-acs-date and Timestamp are written 2026-01-02T03:04:05Z, X-Amz-Date 20260102T030405Z",
            ),
            Self::Skewed => f.write_str(
                "the difference between the request time and the current time is too large; 15 minutes are allowed",
            ),
            Self::Mismatch => f.write_str(
                "The request signature we calculated does not match the signature you provided. Check your access key and signing method",
            ),
            Self::BodyMismatch => f.write_str(
                "The request signature we calculated does not match the signature you provided: the body is not the one that was signed (x-acs-content-sha256)",
            ),
            Self::Expired => f.write_str("the signed link has expired"),
            Self::ParamMissing(name) => write!(f, "required parameter {name} was not specified"),
            Self::BadParam(what) => write!(f, "the request's parameters are not valid: {what}"),
        }
    }
}

impl core::error::Error for SignError {}

impl From<SignError> for String {
    fn from(error: SignError) -> Self {
        alloc::format!("{error}")
    }
}
