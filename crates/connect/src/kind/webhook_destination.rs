//! A webhook as a destination: a `POST` of the body with the attributes of CloudEvents as headers, signed as
//! Standard Webhooks does it (`webhook-id`, `webhook-timestamp`, `webhook-signature`), so that a receiver
//! knows who sent it, that nobody changed it, and which delivery is a second one.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::Sha256;
use stint_model::time::{Span, Timestamp};
use tokio::sync::OnceCell;
use url::Url;

use crate::destination::{DeliverError, Destination, Message};
use crate::reach::{self, CONNECT_MAX, broken, missing, not_accepted, unreachable};
use crate::secret::{Secret, SecretRef};
use crate::settings::{self, ConfigError};
use crate::source::{Host, SourceError};

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "url": "https://hooks.example/stint",
  "signingSecret": { "secret": "webhook-signing" },
  "headers": { "x-team": "orders" }
}"#;

/// The longest URL in characters.
const URL_CHARS_MAX: usize = 2048;
/// The most headers of the user's.
const HEADERS_MAX: usize = 32;
/// The longest value of one, in characters.
const HEADER_CHARS_MAX: usize = 4096;
/// How long a receiver may take when nothing is said, and at most.
const TIMEOUT_SECONDS: u64 = 30;
const TIMEOUT_SECONDS_MAX: u64 = 300;
/// What is shown of a refusal's body.
const SAID_CHARS_MAX: usize = 200;

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    url: Url,
    signing: Option<SecretRef>,
    bearer: Option<SecretRef>,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    url: String,
    #[serde(default)]
    signing_secret: Option<SecretRef>,
    #[serde(default)]
    bearer_token: Option<SecretRef>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default = "timeout")]
    timeout_seconds: u64,
}

const fn timeout() -> u64 {
    TIMEOUT_SECONDS
}

/// What we say ourselves.
const OURS: [&str; 6] =
    ["host", "content-type", "content-length", "authorization", "connection", "transfer-encoding"];

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        settings::text("url", &said.url, URL_CHARS_MAX)?;
        let bad = || ConfigError::field("url", "must be an http or https URL without a login");
        let url = Url::parse(&said.url).map_err(|_| bad())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain {
            return Err(bad());
        }
        reach::check_secret("signingSecret", said.signing_secret.as_ref())?;
        reach::check_secret("bearerToken", said.bearer_token.as_ref())?;
        settings::within("timeoutSeconds", said.timeout_seconds, (1, TIMEOUT_SECONDS_MAX))?;
        if said.headers.len() > HEADERS_MAX {
            return Err(ConfigError::field("headers", format!("has at most {HEADERS_MAX}")));
        }
        let headers = said.headers.iter().map(|(name, value)| header(name, value));
        Ok(Self {
            url,
            signing: said.signing_secret,
            bearer: said.bearer_token,
            headers: headers.collect::<Result<_, _>>()?,
            timeout: Span::from_secs(said.timeout_seconds),
        })
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let field = format!("headers.{name}");
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
        return Err(ConfigError::field(field, "is said by the server itself"));
    }
    let bad = || ConfigError::field(field.clone(), "is no header of HTTP");
    if value.len() > HEADER_CHARS_MAX {
        return Err(bad());
    }
    let name = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| bad())?;
    Ok((name, HeaderValue::from_str(value).map_err(|_| bad())?))
}

/// Posts to a URL.
#[derive(Debug)]
pub struct WebhookDestination {
    settings: DestinationSettings,
    client: OnceCell<reqwest::Client>,
}

impl WebhookDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    async fn client(&self) -> Result<&reqwest::Client, SourceError> {
        let make = || async {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_MAX.to_std())
                // A redirect would lead where nobody asked for leave.
                .redirect(reqwest::redirect::Policy::none())
                .build()
        };
        let made = self.client.get_or_try_init(make).await;
        made.map_err(|error| broken("make an HTTP client", error))
    }

    async fn headers(&self, host: &dyn Host, message: &Message) -> Result<HeaderMap, DeliverError> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| DeliverError::Refused(format!("{text:?} cannot stand in a header")))
        };
        for (name, text) in &message.attributes {
            let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes());
            let name = name.map_err(|error| DeliverError::Refused(error.to_string()))?;
            headers.insert(name, value(text)?);
        }
        headers.extend(self.settings.headers.iter().cloned());
        headers.insert("ce-id", value(&message.id)?);
        headers.insert("content-type", value(&message.content_type)?);
        headers.insert("webhook-id", value(&message.id)?);
        let at = host.clock().wall_now();
        headers.insert("webhook-timestamp", value(&at.seconds().to_string())?);
        if let Some(secret) = reach::open(self.settings.signing.as_ref(), host).await? {
            let signature = signature(&secret, message, at)?;
            headers.insert("webhook-signature", value(&signature)?);
        }
        if let Some(token) = reach::open(self.settings.bearer.as_ref(), host).await? {
            let text = format!("Bearer {}", token.expose());
            let mut token = HeaderValue::from_str(&text)
                .map_err(|_| not_accepted("read a secret", "the token cannot stand in a header"))?;
            token.set_sensitive(true);
            headers.insert("authorization", token);
        }
        Ok(headers)
    }
}

/// `v1,` and the HMAC-SHA256 of `id.timestamp.body` in Base64. A secret that begins with `whsec_` is Base64
/// itself.
fn signature(secret: &Secret, message: &Message, at: Timestamp) -> Result<String, SourceError> {
    let key = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| not_accepted("read a secret", "after whsec_ there must be Base64"))?,
        None => secret.expose().as_bytes().to_vec(),
    };
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{}.{}.", message.id, at.seconds()).as_bytes());
    mac.update(&message.body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[async_trait]
impl Destination for WebhookDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        const WHAT: &str = "post to the webhook";
        let settings = &self.settings;
        let name = settings.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = settings.url.port_or_known_default().unwrap_or(443);
        host.may_reach(name, port).await?;
        let headers = self.headers(host.as_ref(), message).await?;
        let post = self
            .client()
            .await?
            .post(settings.url.clone())
            .headers(headers)
            .timeout(settings.timeout.to_std())
            .body(message.body.clone());
        let answer = post.send().await.map_err(|error| unreachable(WHAT, innermost(&error)))?;
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(());
        }
        let why = format!("the receiver says {status}{}", said(answer).await);
        Err(match status {
            401 | 403 | 407 => not_accepted(WHAT, why).into(),
            404 | 405 | 410 => missing(WHAT, why).into(),
            408 | 425 | 429 | 500..=599 => DeliverError::Busy(why),
            300..=399 => SourceError::Misconfigured {
                what: WHAT,
                why: format!("{why}: a redirect is not followed; name where it leads"),
            }
            .into(),
            _ => DeliverError::Refused(why),
        })
    }
}

/// The beginning of what a receiver says.
async fn said(mut answer: reqwest::Response) -> String {
    match answer.chunk().await {
        Ok(Some(piece)) => {
            let text = String::from_utf8_lossy(&piece);
            let line: String =
                text.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect();
            format!(": {line}")
        }
        Ok(None) | Err(_) => String::new(),
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::TestHost;
    use crate::source::Class;
    use bytes::Bytes;
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn message() -> Message {
        Message {
            id: "msg_1".into(),
            content_type: "application/json".into(),
            attributes: [("type".to_owned(), "stint:task:done".to_owned())].into(),
            key: None,
            body: Bytes::from("{\"test\": 2432232314}"),
        }
    }

    /// The example of Standard Webhooks.
    #[test]
    fn a_signature_is_the_standards() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let message = Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(), ..message() };
        let at = Timestamp::from_millis(1_614_265_330_000);
        assert_eq!(
            signature(&secret, &message, at).unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    /// Answers one request with this status line and gives what was asked.
    async fn answer(listener: &TcpListener, status: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.ends_with("2432232314}") {
            let count = stream.read(&mut piece).await.unwrap();
            text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhy!");
        stream.write_all(answer.as_bytes()).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_post_carries_all_and_its_answer_is_understood() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let json = DESTINATION_EXAMPLE.replace("https://hooks.example/stint", &url);
        let destination = WebhookDestination::new(DestinationSettings::read(&json).unwrap());
        let secrets = [("webhook-signing".to_owned(), "k".to_owned())];
        let host = TestHost::new(secrets.into());
        let message = message();
        let deliver = || destination.deliver(Arc::clone(&host) as _, &message);
        let (done, asked) = tokio::join!(deliver(), answer(&listener, "204 No Content"));
        done.unwrap();
        assert!(asked.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{asked}");
        for line in [
            "ce-id: msg_1",
            "ce-type: stint:task:done",
            "webhook-id: msg_1",
            "webhook-signature: v1,",
            "x-team: orders",
            "content-type: application/json",
        ] {
            assert!(asked.contains(line), "{line} in {asked}");
        }
        for (status, wanted) in [
            ("503 Busy", Class::Transient),
            ("429 Slow", Class::Transient),
            ("404 None", Class::Transient),
            ("401 Who", Class::Transient),
            ("400 Bad", Class::Permanent),
            ("302 Found", Class::Permanent),
        ] {
            let (done, _) = tokio::join!(deliver(), answer(&listener, status));
            let error = done.unwrap_err();
            assert_eq!(error.class(), wanted, "{status}: {error}");
            assert!(error.to_string().contains("why!"), "{error}");
        }
        drop(listener);
        let error = deliver().await.unwrap_err();
        assert!(matches!(error, DeliverError::Way(SourceError::Unreachable { .. })), "{error:?}");
        let nobody = TestHost::new(BTreeMap::new());
        let error = destination.deliver(nobody, &message).await.unwrap_err();
        assert!(matches!(error, DeliverError::Way(SourceError::Credentials { .. })), "{error:?}");
    }

    #[test]
    fn bad_settings_say_what_would_be_right() {
        let why = |text: &str| DestinationSettings::read(text).unwrap_err().to_string();
        assert!(why("{}").contains("missing field `url`"));
        assert!(why(r#"{"url":"hooks.example"}"#).starts_with("url: must be an http"));
        assert!(why(r#"{"url":"https://u:p@a/"}"#).starts_with("url: must be an http"));
        let ours = why(r#"{"url":"http://a","headers":{"Authorization":"x"}}"#);
        assert_eq!(ours, "headers.Authorization: is said by the server itself");
        let bad = why(r#"{"url":"http://a","headers":{"a b":"x"}}"#);
        assert_eq!(bad, "headers.a b: is no header of HTTP");
    }
}
