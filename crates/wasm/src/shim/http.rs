//! Requests a guest sends through `wasi:http`. Whether it may at all is the function's
//! `internetAccess`; the way out is the proxy that the environment names, as for every runtime, and what
//! is reached through it is the node's business.

use std::sync::OnceLock;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

type Outcome = Result<(http::Response<WasiBody>, Driver), Error>;
/// What is left to do for a request once its answer has begun.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Https<C> = Client<HttpsConnector<C>, WasiBody>;

/// What waits longer than this is over; the invocation's own time ends sooner, most often.
const PATIENCE: Duration = Duration::from_secs(600);

/// One invocation's way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) allowed: bool,
    proxy: Option<http::Uri>,
    near: Option<Https<HttpConnector>>,
    far: Option<Https<Tunnel<HttpConnector>>>,
}

impl Outgoing {
    pub(crate) fn new(allowed: bool, proxy: Option<http::Uri>) -> Self {
        Self { allowed, proxy, near: None, far: None }
    }

    /// Begins a request; what is on the instance's own loopback is reached without the proxy.
    fn begin(&mut self, request: http::Request<WasiBody>) -> Result<ResponseFuture, Error> {
        match self.proxy.as_ref().filter(|_| !is_near(request.uri())) {
            Some(proxy) => {
                let tunnel = || Tunnel::new(proxy.clone(), HttpConnector::new());
                Ok(client(&mut self.far, tunnel)?.request(request))
            }
            None => Ok(client(&mut self.near, plain)?.request(request)),
        }
    }
}

/// Whether it is on the instance's own loopback.
fn is_near(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn plain() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector
}

/// The client that is there, or one made now.
fn client<C>(kept: &mut Option<Https<C>>, connector: impl FnOnce() -> C) -> Result<Https<C>, Error>
where
    HttpsConnector<C>: Connect + Clone + Send + Sync + 'static,
{
    if kept.is_none() {
        static TLS: OnceLock<Option<rustls::ClientConfig>> = OnceLock::new();
        let tls = TLS.get_or_init(trusted).clone().ok_or(Error::TlsCertificateError)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = builder.enable_http1().wrap_connector(connector());
        *kept = Some(Client::builder(TokioExecutor::new()).build(connector));
    }
    Ok(kept.clone().expect("made just above"))
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Driver,
    ) -> Box<dyn Future<Output = Outcome> + Send> {
        if !self.allowed {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let begun = self.begin(request);
        let within = options.and_then(|options| options.first_byte_timeout).unwrap_or(PATIENCE);
        Box::new(async move {
            let answer = tokio::time::timeout(within, begun?).await;
            let answer = answer.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| {
                let error = std::io::Error::other(chain(&error));
                Error::Connect(error)
            })?;
            let answer = answer.map(|body| body.map_err(Error::from).boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Driver))
        })
    }
}

/// The machine's own roots, which the sandbox shows.
fn trusted() -> Option<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into());
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(roots).with_no_client_auth())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
