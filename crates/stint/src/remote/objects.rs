//! The object service, for client commands: a store per bucket, and signed requests for buckets
//! themselves, which stores know nothing of.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{Certificate, ClientOptions};
use quick_xml::events::Event;
use serde::Serialize;
use stint_sign::{Request, SecretKey, sigv4};
use stint_supervise::Clock;
use stint_wire::client::Credentials;

use super::Profile;
use crate::command::Context;
use crate::config::environment;
use crate::failure::{Exit, Failure};

/// `DIR/s3-address`.
const OBJECT_ADDRESS: &str = "s3-address";
/// Signed for; any is accepted.
const REGION: &str = "us-east-1";
/// For requests about buckets.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The SHA-256 of no bytes.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// A bucket as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BucketLine {
    pub(crate) name: String,
    pub(crate) created: String,
}

/// Where the object service is and as whom.
pub(crate) struct Objects {
    endpoint: String,
    key: (String, String, Option<String>),
    ca_pem: Option<Vec<u8>>,
}

impl Objects {
    /// `$STINT_S3_ENDPOINT`, else the data directory of this machine; the key of the other commands.
    pub(crate) fn find(context: &Context) -> Result<Self, Failure> {
        let said = context.environment.get(environment::S3_ENDPOINT).map(str::to_owned);
        let read = || {
            let path = context.data_dir().ok()?.join(OBJECT_ADDRESS);
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let endpoint = said.or_else(read).ok_or_else(|| {
            Failure::new(Exit::Unreachable, "no object service is known")
                .next("start a server with `stint up`, or say $STINT_S3_ENDPOINT")
        })?;
        let endpoint = match endpoint.contains("://") {
            true => endpoint,
            false => format!("http://{endpoint}"),
        };
        let (credentials, ca_pem) = Profile::credentials(context)?;
        let Credentials::Key { id, secret, security_token } = credentials else {
            return Err(Failure::new(Exit::Denied, "object storage takes a key that signs")
                .next("set $STINT_ACCESS_KEY_ID and $STINT_ACCESS_KEY_SECRET"));
        };
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { endpoint, key: (id, secret, security_token), ca_pem })
    }

    /// The objects of a bucket.
    pub(crate) fn store(&self, bucket: &str) -> Result<AmazonS3, Failure> {
        let (id, secret, token) = &self.key;
        let mut options = ClientOptions::new().with_allow_http(true);
        if let Some(pem) = &self.ca_pem {
            let roots = Certificate::from_pem_bundle(pem);
            let roots = roots.map_err(|error| Failure::cannot("read the CA file", &error))?;
            options = roots.into_iter().fold(options, ClientOptions::with_root_certificate);
        }
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_region(REGION)
            .with_bucket_name(bucket)
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .with_client_options(options);
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
        builder.build().map_err(|error| Self::failure(&format!("use bucket {bucket}"), &error))
    }

    /// What a store could not do.
    pub(crate) fn failure(what: &dyn std::fmt::Display, error: &object_store::Error) -> Failure {
        let exit = match error {
            object_store::Error::NotFound { .. } => Exit::NotFound,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Exit::Denied,
            _ => Exit::Other,
        };
        Failure::new(exit, format!("cannot {what}: {}", stint_supervise::chain(error)))
    }

    pub(crate) async fn bucket_create(&self, bucket: &str) -> Result<(), Failure> {
        self.send("PUT", &format!("/{bucket}")).await.map(drop)
    }

    pub(crate) async fn bucket_delete(&self, bucket: &str) -> Result<(), Failure> {
        self.send("DELETE", &format!("/{bucket}")).await.map(drop)
    }

    pub(crate) async fn bucket_list(&self) -> Result<Vec<BucketLine>, Failure> {
        let text = self.send("GET", "/").await?;
        buckets(&text).map_err(|error| Failure::cannot("read the list of buckets", &error))
    }

    async fn send(&self, method: &str, path: &str) -> Result<String, Failure> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'.');
        if !path.bytes().all(is_plain) {
            let message = "a bucket's name has small letters, digits, dashes and dots";
            return Err(Failure::usage(message));
        }
        let url = format!("{}{path}", self.endpoint);
        let client = self.client()?;
        let host = self.endpoint.split("://").last().unwrap_or_default().to_owned();
        let at = jiff::Timestamp::from_microsecond(Clock::start().wall_now().micros());
        let at = at.map_err(|error| Failure::cannot("tell the time", &error))?;
        let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let (id, secret, token) = &self.key;
        let hash = hex::encode(EMPTY);
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-amz-content-sha256", hash.as_str()),
            ("x-amz-date", date.as_str()),
        ];
        headers.extend(token.as_deref().map(|token| ("x-amz-security-token", token)));
        let secret = SecretKey::new(secret.as_bytes());
        let request = Request { method, path, query: "" };
        let signed = sigv4::sign(request, &headers, &EMPTY, (REGION, "s3"), (id, &secret));
        let signed = signed.map_err(|error| Failure::cannot("sign the request", &error))?;
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("one of three");
        let mut request = client.request(method, url).header("authorization", signed);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| unreachable(&error))?;
        if status.is_success() { Ok(text) } else { Err(refused(status.as_u16(), &text)) }
    }

    fn client(&self) -> Result<reqwest::Client, Failure> {
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        if let Some(pem) = &self.ca_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem);
            let roots = roots.map_err(|error| Failure::cannot("read the CA file", &error))?;
            builder = roots.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        builder.build().map_err(|error| Failure::cannot("prepare requests", &error))
    }
}

fn unreachable(error: &reqwest::Error) -> Failure {
    Failure::new(Exit::Unreachable, stint_supervise::chain(error))
        .next("is the server running? `stint up` starts one here")
}

/// What S3 says, with the exit code of its status.
fn refused(status: u16, text: &str) -> Failure {
    let fields = fields(text, "Error", &["Code", "Message"]).unwrap_or_default();
    let said = match fields.first().map(Vec::as_slice) {
        Some([code, message]) => format!("{code}: {message}"),
        _ => format!("status {status}"),
    };
    let exit = match status {
        404 => Exit::NotFound,
        401 | 403 => Exit::Denied,
        _ => Exit::Other,
    };
    Failure::new(exit, said)
}

fn buckets(text: &str) -> Result<Vec<BucketLine>, quick_xml::Error> {
    let found = fields(text, "Bucket", &["Name", "CreationDate"])?;
    let line = |mut values: Vec<String>| BucketLine {
        created: values.pop().unwrap_or_default(),
        name: values.pop().unwrap_or_default(),
    };
    Ok(found.into_iter().map(line).collect())
}

/// The texts of some children of every element of a name, in the order asked for.
fn fields(text: &str, of: &str, names: &[&str]) -> Result<Vec<Vec<String>>, quick_xml::Error> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut found, mut field) = (Vec::new(), None);
    loop {
        match reader.read_event()? {
            Event::Start(start) if start.name().as_ref() == of.as_bytes() => {
                found.push(vec![String::new(); names.len()]);
            }
            Event::Start(start) => {
                field = names.iter().position(|name| name.as_bytes() == start.name().as_ref());
            }
            Event::End(_) => field = None,
            Event::Text(said) => {
                let last: Option<&mut Vec<String>> = found.last_mut();
                if let (Some(field), Some(last)) = (field, last) {
                    last[field] += &String::from_utf8_lossy(&said);
                }
            }
            Event::GeneralRef(reference) => {
                let last: Option<&mut Vec<String>> = found.last_mut();
                let name = String::from_utf8_lossy(&reference).into_owned();
                let sign = quick_xml::escape::resolve_predefined_entity(&name).unwrap_or("?");
                if let (Some(field), Some(last)) = (field, last) {
                    last[field] += sign;
                }
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let text = "<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets><Bucket>\
                    <CreationDate>2026-01-02T03:04:05Z</CreationDate><Name>a</Name></Bucket>\
                    <Bucket><Name>b</Name></Bucket></Buckets><Owner><ID>1</ID></Owner>\
                    </ListAllMyBucketsResult>";
        let found = buckets(text).unwrap();
        let names: Vec<_> = found.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found[0].created, "2026-01-02T03:04:05Z");
        let text = "<Error><Code>NoSuchBucket</Code><Message>it&apos;s gone</Message></Error>";
        let failure = refused(404, text);
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::NotFound, "NoSuchBucket: it's gone")
        );
        assert_eq!(refused(500, "").message, "status 500");
    }
}
