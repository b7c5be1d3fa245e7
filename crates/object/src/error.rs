//! Refusals in the words of S3, in one function.

use s3s::{S3Error, S3ErrorCode};
use stint_model::code::{Code, Refusal};

/// A refusal as S3 says it.
pub(crate) fn refused(refusal: Refusal) -> S3Error {
    let code = match refusal.code {
        Code::NoSuchBucket => S3ErrorCode::NoSuchBucket,
        Code::NoSuchKey => S3ErrorCode::NoSuchKey,
        Code::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        Code::InvalidBucketName => S3ErrorCode::InvalidBucketName,
        Code::BucketAlreadyOwnedByYou => S3ErrorCode::BucketAlreadyOwnedByYou,
        Code::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
        Code::InvalidPart => S3ErrorCode::InvalidPart,
        Code::EntityTooSmall => S3ErrorCode::EntityTooSmall,
        Code::EntityTooLarge => S3ErrorCode::EntityTooLarge,
        Code::PreconditionFailed => S3ErrorCode::PreconditionFailed,
        Code::LimitExceededError => S3ErrorCode::TooManyBuckets,
        Code::InvalidArgument => S3ErrorCode::InvalidArgument,
        Code::AccessDenied => S3ErrorCode::AccessDenied,
        Code::InvalidAccessKeyID => S3ErrorCode::InvalidAccessKeyId,
        Code::InvalidSecurityToken => S3ErrorCode::InvalidToken,
        Code::ConcurrentUpdateError => S3ErrorCode::OperationAborted,
        Code::ServiceUnavailable => S3ErrorCode::ServiceUnavailable,
        Code::QuotaExceeded | Code::InsufficientStorage => {
            return full(refusal);
        }
        _ => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, refusal.message)
}

/// S3 has no word for a full store; those who are compatible with it say this.
fn full(refusal: Refusal) -> S3Error {
    let code = match refusal.code {
        Code::QuotaExceeded => "QuotaExceeded",
        _ => "InsufficientStorage",
    };
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), refusal.message);
    // A client that is told to try again would, and nothing would change.
    error.set_status_code(match refusal.code {
        Code::QuotaExceeded => http::StatusCode::FORBIDDEN,
        _ => http::StatusCode::INSUFFICIENT_STORAGE,
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_speak_s3() {
        let said = |code| {
            let error = refused(Refusal::new(code, "why"));
            (error.code().as_str().to_owned(), error.status_code().unwrap().as_u16())
        };
        assert_eq!(said(Code::NoSuchKey), ("NoSuchKey".into(), 404));
        assert_eq!(said(Code::BucketNotEmpty), ("BucketNotEmpty".into(), 409));
        assert_eq!(said(Code::PreconditionFailed), ("PreconditionFailed".into(), 412));
        assert_eq!(said(Code::AccessDenied), ("AccessDenied".into(), 403));
        assert_eq!(said(Code::InvalidAccessKeyID), ("InvalidAccessKeyId".into(), 403));
        assert_eq!(said(Code::QuotaExceeded), ("QuotaExceeded".into(), 403));
        assert_eq!(said(Code::InsufficientStorage), ("InsufficientStorage".into(), 507));
        assert_eq!(said(Code::InternalServerError), ("InternalError".into(), 500));
    }
}
