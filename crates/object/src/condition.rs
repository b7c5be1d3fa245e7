//! Conditions on an object that is read, in the order of RFC 9110, and the bytes of it that are wanted.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use stint_model::object::Object;

/// What a request demands of the object it reads.
#[derive(Debug, Default)]
pub(crate) struct Demands<'a> {
    pub(crate) if_match: Option<&'a ETagCondition>,
    pub(crate) if_none_match: Option<&'a ETagCondition>,
    pub(crate) if_modified_since: Option<&'a Timestamp>,
    pub(crate) if_unmodified_since: Option<&'a Timestamp>,
}

/// A time of ours, as S3 shows it: whole seconds.
pub(crate) fn seconds(at: stint_model::time::Timestamp) -> Timestamp {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn is(condition: &ETagCondition, object: &Object) -> bool {
    condition.is_any() || condition.as_etag().is_some_and(|etag| etag.value() == object.etag)
}

impl Demands<'_> {
    /// Whether the object is to be read. `is_copy`: nobody has a copy of it that could be told to be
    /// good still.
    pub(crate) fn check(&self, object: &Object, is_copy: bool) -> S3Result<()> {
        let modified = seconds(object.modified_at);
        let failed = || S3Error::new(S3ErrorCode::PreconditionFailed);
        match self.if_match {
            Some(condition) if !is(condition, object) => return Err(failed()),
            Some(_) => {}
            None => {
                if self.if_unmodified_since.is_some_and(|since| modified > *since) {
                    return Err(failed());
                }
            }
        }
        let fresh = match self.if_none_match {
            Some(condition) => is(condition, object),
            None => self.if_modified_since.is_some_and(|since| modified <= *since),
        };
        match (fresh, is_copy) {
            (false, _) => Ok(()),
            (true, true) => Err(failed()),
            (true, false) => {
                let mut error = S3Error::new(S3ErrorCode::NotModified);
                let mut headers = HeaderMap::new();
                if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", object.etag)) {
                    headers.insert(header::ETAG, etag);
                }
                error.set_headers(headers);
                Err(error)
            }
        }
    }
}

/// The bytes a `Range` header asks for, and whether it does.
pub(crate) fn range(asked: Option<&s3s::dto::Range>, bytes: u64) -> S3Result<(Range<u64>, bool)> {
    match asked {
        None => Ok((0..bytes, false)),
        Some(range) => match range.check(bytes) {
            Ok(range) if !range.is_empty() => Ok((range, true)),
            Ok(_) | Err(_) => {
                let mut error = s3_error!(InvalidRange, "the object has {bytes} bytes");
                let mut headers = HeaderMap::new();
                if let Ok(value) = HeaderValue::from_str(&format!("bytes */{bytes}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
                error.set_headers(headers);
                Err(error)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;
    use stint_model::id::AccountId;
    use stint_model::object::ObjectHeaders;

    use super::*;

    fn object() -> Object {
        Object {
            account: AccountId::ROOT,
            bucket: "b".into(),
            key: "k".into(),
            bytes: 10,
            etag: "e".into(),
            modified_at: stint_model::time::Timestamp::from_millis(1_000_500),
            headers: ObjectHeaders::default(),
            runs: Vec::new(),
            parts: 0,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn code(demands: &Demands<'_>) -> &'static str {
        match demands.check(&object(), false) {
            Ok(()) => "ok",
            Err(error) if *error.code() == S3ErrorCode::NotModified => "304",
            Err(_) => "412",
        }
    }

    #[test]
    fn conditions_of_a_read() {
        let same = ETagCondition::ETag(ETag::Strong("e".into()));
        let other = ETagCondition::ETag(ETag::Strong("f".into()));
        let none = Demands::default();
        let (before, then) = (at(999), at(1_000));
        assert_eq!(code(&none), "ok");
        assert_eq!(code(&Demands { if_match: Some(&same), ..none }), "ok");
        assert_eq!(code(&Demands { if_match: Some(&other), ..Demands::default() }), "412");
        assert_eq!(code(&Demands { if_none_match: Some(&same), ..Demands::default() }), "304");
        assert_eq!(code(&Demands { if_none_match: Some(&other), ..Demands::default() }), "ok");
        assert_eq!(code(&Demands { if_modified_since: Some(&then), ..Demands::default() }), "304");
        assert_eq!(code(&Demands { if_modified_since: Some(&before), ..Demands::default() }), "ok");
        let since = Demands { if_unmodified_since: Some(&before), ..Demands::default() };
        assert_eq!(code(&since), "412");
        // The tag says more than the time.
        let both = Demands { if_match: Some(&same), ..since };
        assert_eq!(code(&both), "ok");
        let copy = Demands { if_none_match: Some(&same), ..Demands::default() };
        assert_eq!(
            *copy.check(&object(), true).unwrap_err().code(),
            S3ErrorCode::PreconditionFailed
        );
    }

    #[test]
    fn ranges_of_an_object() {
        let asked = |text| range(Some(&s3s::dto::Range::parse(text).unwrap()), 10).ok();
        assert_eq!(range(None, 10).unwrap(), (0..10, false));
        assert_eq!(asked("bytes=0-0"), Some((0..1, true)));
        assert_eq!(asked("bytes=4-"), Some((4..10, true)));
        assert_eq!(asked("bytes=-3"), Some((7..10, true)));
        assert_eq!(asked("bytes=8-99"), Some((8..10, true)));
        assert_eq!(asked("bytes=10-"), None);
        assert!(range(Some(&s3s::dto::Range::parse("bytes=-1").unwrap()), 0).is_err());
    }
}
