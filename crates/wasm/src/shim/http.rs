//! Requests a guest sends through `wasi:http`. Whether it may at all is the function's
//! `internetAccess`; what is reached then is the sandbox's business.

use std::sync::OnceLock;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

type Outcome = Result<(http::Response<WasiBody>, Driver), Error>;
/// What is left to do for a request once its answer has begun.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Https = Client<HttpsConnector<HttpConnector>, WasiBody>;

/// What waits longer than this is over; the invocation's own time ends sooner, most often.
const PATIENCE: Duration = Duration::from_secs(600);

/// One invocation's way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) allowed: bool,
    client: Option<Https>,
}

impl Outgoing {
    pub(crate) fn new(allowed: bool) -> Self {
        Self { allowed, client: None }
    }
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
        let client = match &self.client {
            Some(client) => Ok(client.clone()),
            None => connect(),
        };
        if let Ok(client) = &client {
            self.client = Some(client.clone());
        }
        let within = options.and_then(|options| options.first_byte_timeout).unwrap_or(PATIENCE);
        Box::new(async move {
            let answer = tokio::time::timeout(within, client?.request(request)).await;
            let answer = answer.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| {
                let error = std::io::Error::other(chain(&error));
                Error::Connect(error)
            })?;
            let answer = answer.map(|body| body.map_err(Error::from).boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Driver))
        })
    }
}

fn connect() -> Result<Https, Error> {
    static TLS: OnceLock<Option<rustls::ClientConfig>> = OnceLock::new();
    let tls = TLS.get_or_init(trusted).clone().ok_or(Error::TlsCertificateError)?;
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
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
