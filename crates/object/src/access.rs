//! Who calls: the secret a signature is checked with, then the session token, and whether everything
//! that matters was signed. What the caller may do is the shelf's to say.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Request, S3Result, s3_error};
use stint_model::access::Caller;

use crate::error::refused;
use crate::shelf::Shelf;

/// An address is good for at most a week.
const LINK_LIFE_MAX: u64 = 7 * 86_400;

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Looks secrets up.
pub(crate) struct Keys {
    shelf: Arc<dyn Shelf>,
}

impl Keys {
    pub(crate) fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf }
    }
}

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.shelf.secret(access_key).map_err(refused)?;
        Ok(SecretKey::from(secret.into_text()))
    }
}

/// Finds out who a good signature is of.
pub(crate) struct Rights {
    shelf: Arc<dyn Shelf>,
}

impl Rights {
    pub(crate) fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf }
    }
}

#[async_trait]
impl S3Access for Rights {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "requests without a signature are refused"));
        };
        let query = cx.uri().query().unwrap_or_default();
        let signed = match parameter(query, "X-Amz-SignedHeaders") {
            Some(signed) => {
                let life = parameter(query, "X-Amz-Expires").and_then(|life| life.parse().ok());
                if life.is_none_or(|life: u64| life > LINK_LIFE_MAX) {
                    let message = "X-Amz-Expires is a number of seconds, at most a week";
                    return Err(s3_error!(AuthorizationQueryParametersError, "{message}"));
                }
                signed
            }
            None => signed_headers(cx.headers()).unwrap_or_default(),
        };
        check_signed(cx.headers(), &signed)?;
        let token = parameter(query, "X-Amz-Security-Token")
            .or_else(|| text(cx.headers(), "x-amz-security-token").map(str::to_owned));
        let admitted = self.shelf.admit(&credentials.access_key, token.as_deref());
        let mut caller = admitted.map_err(refused)?;
        caller.request_id = cx.extensions_mut().get::<RequestId>().map(|id| Arc::clone(&id.0));
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}

/// Who calls, once [`Rights`] has found out.
pub(crate) fn caller<T>(request: &S3Request<T>) -> S3Result<Caller> {
    let caller = request.extensions.get::<Caller>().cloned();
    caller.ok_or_else(|| s3_error!(AccessDenied, "requests without a signature are refused"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

fn signed_headers(headers: &HeaderMap) -> Option<String> {
    let fields = text(headers, "authorization")?.split([',', ' ']);
    let signed = fields.into_iter().find_map(|field| field.trim().strip_prefix("SignedHeaders="));
    signed.map(str::to_owned)
}

/// Whoever forwards a request could add what was not signed.
fn check_signed(headers: &HeaderMap, signed: &str) -> S3Result<()> {
    let is_signed = |name: &str| signed.split(';').any(|one| one.eq_ignore_ascii_case(name));
    if !is_signed("host") {
        return Err(s3_error!(AccessDenied, "the host header must be signed"));
    }
    // Its value is part of what is signed in any case, or it is checked against the body.
    let is_covered = |name: &str| name == "x-amz-content-sha256" || is_signed(name);
    let mut amz = headers.keys().map(http::HeaderName::as_str).filter(|n| n.starts_with("x-amz-"));
    match amz.find(|name| !is_covered(name)) {
        None => Ok(()),
        Some(name) => {
            Err(s3_error!(AccessDenied, "the header {name} was sent and is not among those signed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_must_be_signed() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "h".parse().unwrap());
        headers.insert("x-amz-date", "d".parse().unwrap());
        headers.insert("x-amz-content-sha256", "s".parse().unwrap());
        assert!(check_signed(&headers, "host;x-amz-date").is_ok());
        assert!(check_signed(&headers, "x-amz-date").is_err());
        headers.insert("x-amz-meta-a", "v".parse().unwrap());
        assert!(check_signed(&headers, "host;x-amz-date").is_err());
        assert!(check_signed(&headers, "host;x-amz-date;x-amz-meta-a").is_ok());
    }

    #[test]
    fn fields_of_a_signature_are_found() {
        let mut headers = HeaderMap::new();
        let value = "AWS4-HMAC-SHA256 Credential=K/x, SignedHeaders=host;x-amz-date,Signature=0";
        headers.insert("authorization", value.parse().unwrap());
        assert_eq!(signed_headers(&headers).as_deref(), Some("host;x-amz-date"));
        assert_eq!(parameter("a=1&X-Amz-Expires=60", "X-Amz-Expires").as_deref(), Some("60"));
        assert_eq!(parameter("t=a%2Fb%2B", "t").as_deref(), Some("a/b+"));
        assert_eq!(parameter("t=a", "u"), None);
    }
}
