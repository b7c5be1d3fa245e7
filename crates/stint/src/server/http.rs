//! HTTP requests of flows' steps. A flow is written by a user, so that it may call what is public and, unless the
//! operator says otherwise, nothing else: names are resolved here, and loopback, link-local, private and
//! metadata addresses are left out before a connection is made. No redirect is followed, no proxy used.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Method, Response, redirect};
use stint_connect::network::is_public;
use stint_engine::flows::http::{HttpBounds, HttpCaller, HttpFailure, HttpOrder, HttpReply};
use url::{Host, Url};

use crate::failure::Failure;

/// See the module comment.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Calls what is public.
    guarded: Client,
    /// Calls anything.
    free: Client,
}

/// Resolves a name to its public addresses.
#[derive(Debug)]
struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|addr| is_public(addr.ip())).collect();
            if public.is_empty() {
                return Err(refusal(name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn refusal(host: &str) -> String {
    format!("'{host}' is no public address; the setting flows.http_private allows others")
}

impl Caller {
    pub(crate) fn open() -> Result<Self, Failure> {
        let client = || {
            Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .user_agent("stint-flows")
        };
        let failed =
            |error: reqwest::Error| Failure::cannot("prepare HTTP requests of flows", &error);
        let guarded = client().dns_resolver(Arc::new(Guard)).build().map_err(failed)?;
        Ok(Self { guarded, free: client().build().map_err(failed)? })
    }
}

#[async_trait]
impl HttpCaller for Caller {
    async fn call(&self, order: &HttpOrder, bounds: HttpBounds) -> Result<HttpReply, HttpFailure> {
        let refused = |why: String| HttpFailure::Refused(why);
        let url = Url::parse(&order.url)
            .map_err(|error| refused(format!("'{}' is no URL: {error}", order.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!("'{}' is neither http nor https", order.url)));
        }
        if !bounds.allow_private && !may_be_public(&url) {
            return Err(refused(refusal(url.host_str().unwrap_or_default())));
        }
        let method = Method::from_bytes(order.method.as_bytes())
            .map_err(|_| refused(format!("'{}' is no method", order.method)))?;
        let client = if bounds.allow_private { &self.free } else { &self.guarded };
        let mut request = client.request(method, url).timeout(bounds.timeout.to_std());
        for (name, value) in &order.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &order.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(failure)?;
        read(response, bounds.answer_bytes_max).await
    }
}

fn failure(error: reqwest::Error) -> HttpFailure {
    if error.is_timeout() {
        return HttpFailure::TimedOut;
    }
    HttpFailure::Failed(stint_supervise::chain(&error.without_url()))
}

async fn read(mut response: Response, most: usize) -> Result<HttpReply, HttpFailure> {
    let status = response.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(failure)? {
        if body.len() + piece.len() > most {
            return Err(HttpFailure::TooLarge(most));
        }
        body.extend_from_slice(&piece);
    }
    Ok(HttpReply { status, headers, body: Bytes::from(body) })
}

/// Whether a host that is an address is a public one; a name is judged when it is resolved.
fn may_be_public(url: &Url) -> bool {
    match url.host() {
        None => false,
        Some(Host::Domain(_)) => true,
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(url: &str) -> HttpOrder {
        HttpOrder {
            url: url.into(),
            method: "GET".into(),
            headers: Vec::new(),
            body: None,
            is_states: false,
            is_reported: false,
            timeout: None,
        }
    }

    #[tokio::test]
    async fn a_step_reaches_no_private_address() {
        let caller = Caller::open().unwrap();
        let bounds = HttpBounds {
            timeout: stint_model::time::Span::from_secs(5),
            answer_bytes_max: 10,
            allow_private: false,
        };
        for url in [
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "http://2130706433:1/",
            "file:///etc/passwd",
            "x",
        ] {
            let refused = caller.call(&order(url), bounds).await.unwrap_err();
            assert!(matches!(refused, HttpFailure::Refused(_)), "{url}: {refused:?}");
        }
        let named = caller.call(&order("http://localhost:1/"), bounds).await.unwrap_err();
        assert!(matches!(named, HttpFailure::Failed(_)), "{named:?}");
    }
}
