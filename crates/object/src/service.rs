//! The service: what is let through to `s3s`, and what is not.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Error, S3Result, s3_error};
use stint_model::time::Span;
use stint_supervise::Clock;

use crate::access::{Keys, RequestId, Rights};
use crate::face::Face;
use crate::shelf::Shelf;

/// The most bytes of an XML document in a request: a thousand long keys, ten thousand parts.
const XML_BYTES_MAX: usize = 4 << 20;
/// Beneath this name buckets are hosts: `bucket.localhost`.
const BASE_HOST: &str = "localhost";

/// Resolved settings.
#[derive(Clone, Debug)]
pub struct ObjectConfig {
    /// A body that brings nothing for so long is given up.
    pub idle_timeout: Span,
}

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ObjectService {
    inner: S3Service,
}

impl ObjectService {
    /// A service over a shelf.
    pub fn new(config: &ObjectConfig, shelf: &Arc<dyn Shelf>, clock: Clock) -> Self {
        let face = Face::new(Arc::clone(shelf), clock, config.idle_timeout);
        let mut builder = S3ServiceBuilder::new(face);
        builder.set_auth(Keys::new(Arc::clone(shelf)));
        builder.set_access(Rights::new(Arc::clone(shelf)));
        builder.set_host(Hosts);
        let mut limits = S3Config::default();
        limits.xml_max_body_size = XML_BYTES_MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
        Self { inner: builder.build() }
    }

    /// Answers one request.
    pub async fn call<B>(&self, request: Request<B>, request_id: &Arc<str>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let mut response = match check(&request) {
            Ok(()) => {
                let mut request = request.map(Body::http_body_unsync);
                request.extensions_mut().insert(RequestId(Arc::clone(request_id)));
                match self.inner.call(request).await {
                    Ok(response) => response,
                    Err(error) => {
                        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
                        tracing::error!(%error, "an object request failed");
                        refuse(s3_error!(InternalError, "the server failed"))
                    }
                }
            }
            Err(error) => refuse(error),
        };
        if let Ok(id) = HeaderValue::from_str(request_id) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response
    }
}

fn refuse(error: S3Error) -> Response<Body> {
    error.to_http_response().unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Whether a request is signed with Signature Version 4 for object storage: in its header, or in its
/// address. The signature itself is checked later.
pub(crate) fn is_signed<B>(request: &Request<B>) -> bool {
    let authorization = request.headers().get(header::AUTHORIZATION);
    match authorization.map(HeaderValue::as_bytes) {
        Some(value) => {
            let scope = b"/s3/aws4_request";
            value.starts_with(b"AWS4-HMAC-SHA256")
                && value.windows(scope.len()).any(|window| window == scope)
        }
        None => {
            let query = request.uri().query().unwrap_or_default();
            query.contains("X-Amz-Signature=")
                && ["%2Fs3%2Faws4_request", "%2fs3%2faws4_request", "/s3/aws4_request"]
                    .iter()
                    .any(|scope| query.contains(scope))
        }
    }
}

/// What must not even be read: nobody is anonymous here, older signatures are not taken, and forms
/// would be gathered in memory before anybody is asked who sent them.
fn check<B>(request: &Request<B>) -> S3Result<()> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_form = kind.is_some_and(|kind| {
        kind.as_bytes().to_ascii_lowercase().trim_ascii_start().starts_with(b"multipart/")
    });
    if request.method() == Method::POST && is_form {
        return Err(s3_error!(NotImplemented, "uploads by an HTML form are not supported"));
    }
    if is_signed(request) {
        return Ok(());
    }
    let is_signed_otherwise = request.headers().contains_key(header::AUTHORIZATION)
        || request.uri().query().is_some_and(|query| query.contains("Signature="));
    if is_signed_otherwise {
        let message = "requests are signed with AWS Signature Version 4 for service s3";
        return Err(s3_error!(InvalidRequest, "{message}"));
    }
    Err(s3_error!(AccessDenied, "requests without a signature are refused"))
}

impl ObjectService {
    /// Whether a request that came through a door of several services is for this one.
    pub fn wants<B>(request: &Request<B>) -> bool {
        is_signed(request)
    }
}

/// Buckets are in the path, or a host beneath `localhost`.
struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bucket = name.strip_suffix(BASE_HOST).and_then(|rest| rest.strip_suffix('.'));
        Ok(match bucket.filter(|bucket| !bucket.is_empty()) {
            Some(bucket) => VirtualHost::new(BASE_HOST).with_bucket(bucket),
            None => VirtualHost::new(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn only_signed_requests_are_let_through() {
        let v4 = "AWS4-HMAC-SHA256 Credential=K/20260101/local/s3/aws4_request, Signature=0";
        assert!(check(&request("GET", "/", &[("authorization", v4)])).is_ok());
        let link =
            "/b/k?X-Amz-Credential=K%2F20260101%2Flocal%2Fs3%2Faws4_request&X-Amz-Signature=0";
        assert!(check(&request("GET", link, &[])).is_ok());
        let code = |request| check(&request).unwrap_err().code().as_str().to_owned();
        assert_eq!(code(request("GET", "/b/k", &[])), "AccessDenied");
        assert_eq!(code(request("GET", "/", &[("authorization", "AWS K:s")])), "InvalidRequest");
        assert_eq!(code(request("GET", "/b?Signature=x&AWSAccessKeyId=k", &[])), "InvalidRequest");
        let states = v4.replace("/s3/", "/states/");
        assert_eq!(code(request("GET", "/", &[("authorization", &states)])), "InvalidRequest");
        let form = [("content-type", "Multipart/form-data; boundary=x"), ("authorization", v4)];
        assert_eq!(code(request("POST", "/b", &form)), "NotImplemented");
    }

    #[test]
    fn a_host_may_name_the_bucket() {
        let bucket =
            |host: &'static str| Hosts.parse_host_header(host).unwrap().bucket().map(str::to_owned);
        assert_eq!(bucket("localhost:7782"), None);
        assert_eq!(bucket("photos.localhost:7782"), Some("photos".into()));
        assert_eq!(bucket("a.b.localhost"), Some("a.b".into()));
        assert_eq!(bucket("s3.example.com"), None);
        assert_eq!(bucket("notlocalhost"), None);
    }
}
