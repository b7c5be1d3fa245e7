//! What an object says about itself, from headers and into them.

use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};
use stint_model::object::asked::Condition;
use stint_model::object::{Object, ObjectHeaders};

/// What an object without a type is.
pub(crate) const DEFAULT_TYPE: &str = "binary/octet-stream";

/// From the headers of a request; `meta` are those that begin with `x-amz-meta-`.
pub(crate) fn read(headers: &HeaderMap, meta: Option<HashMap<String, String>>) -> ObjectHeaders {
    let text = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let mut meta: Vec<(String, String)> = meta.unwrap_or_default().into_iter().collect();
    meta.sort();
    ObjectHeaders {
        content_type: text(header::CONTENT_TYPE),
        cache_control: text(header::CACHE_CONTROL),
        content_disposition: text(header::CONTENT_DISPOSITION),
        content_encoding: text(header::CONTENT_ENCODING).and_then(|value| encoding(&value)),
        content_language: text(header::CONTENT_LANGUAGE),
        expires: text(header::EXPIRES),
        meta,
    }
}

/// `aws-chunked` is how the body was sent, not what it is.
fn encoding(value: &str) -> Option<String> {
    let parts: Vec<&str> =
        value.split(',').map(str::trim).filter(|part| *part != "aws-chunked").collect();
    let value = parts.join(", ");
    (!value.is_empty()).then_some(value)
}

/// The user's own metadata, as answers have it.
pub(crate) fn meta(object: &Object) -> Option<HashMap<String, String>> {
    let meta = &object.headers.meta;
    (!meta.is_empty()).then(|| meta.iter().cloned().collect())
}

/// What `s3s` has no field of text for.
pub(crate) fn expires(object: &Object) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = object.headers.expires.as_deref();
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(header::EXPIRES, value);
    }
    headers
}

pub(crate) fn etag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

/// What a write demands of the object before it.
pub(crate) fn condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Any),
        (None, Some(condition)) if condition.is_any() => Ok(Condition::Absent),
        (Some(condition), None) => {
            let etag = condition.as_etag().map_or("*", ETag::value);
            Ok(Condition::Match(etag.to_owned()))
        }
        (None | Some(_), Some(_)) => {
            Err(s3_error!(NotImplemented, "a write may have If-Match, or If-None-Match: *"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_object() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/plain".parse().unwrap());
        headers.insert("content-encoding", "aws-chunked".parse().unwrap());
        let meta = HashMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
        let found = read(&headers, Some(meta));
        assert_eq!(found.content_type.as_deref(), Some("text/plain"));
        assert_eq!(found.content_encoding, None);
        assert_eq!(found.meta, [("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(encoding("gzip, aws-chunked").as_deref(), Some("gzip"));
    }

    #[test]
    fn conditions_of_a_write() {
        let tag = ETagCondition::ETag(etag("e"));
        assert_eq!(condition(None, None).unwrap(), Condition::Any);
        assert_eq!(condition(None, Some(&ETagCondition::Any)).unwrap(), Condition::Absent);
        assert_eq!(condition(Some(&tag), None).unwrap(), Condition::Match("e".into()));
        assert!(condition(None, Some(&tag)).is_err());
    }
}
