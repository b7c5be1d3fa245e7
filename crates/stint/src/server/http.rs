//! HTTP requests of flows' steps. A flow is written by a user, so that it may call what is public and, unless the
//! operator says otherwise, nothing else: names are resolved here, and loopback, link-local, private and
//! metadata addresses are left out before a connection is made. No redirect is followed, no proxy used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Method, Response, redirect};
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

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_unspecified()
        || ip.is_broadcast()
        || ip.is_multicast()
        || ip.is_documentation()
        // This network, shared address space (where a cloud keeps its metadata), protocol assignments,
        // benchmarks, what is reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let first = ip.segments()[0];
    let is_special = ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || (first & 0xfe00) == 0xfc00
        || (first & 0xffc0) == 0xfe80
        || (first & 0xffc0) == 0xfec0;
    !is_special
}

/// The older address that a newer one leads to: mapped, compatible, translated or tunnelled.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_public_is_called() {
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

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
