//! The message service's own protocol: XML over paths (`/queues/Q/messages`), signed with the MNS
//! scheme, as the official SDKs speak it. One file for queues, one for topics; what went wrong becomes
//! upstream's codes in `refused.rs`.

mod queues;
mod refused;
mod topics;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use stint_message::{Messages, Wanted};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_supervise::Stop;
use stint_wire::mns::{self, Element};

use crate::answer::{self, Answer, whole};
use crate::dispatch::{Arrived, Door, count, origin};
use crate::error::Problem;
use crate::query::{Query, decode_segment};
use refused::Refused;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-mns-request-id");
const VERSION: HeaderName = HeaderName::from_static("x-mns-version");
/// The longest path and query together.
const TARGET_BYTES_MAX: usize = 8 << 10;
/// Names of one page at most, and when nothing is said.
const PAGE_MAX: usize = 1_000;

/// One request, checked.
struct Asked {
    door: Arc<Door>,
    caller: Caller,
    parts: Parts,
    query: Query,
    body: Bytes,
    /// Scheme and authority under which the client reached us.
    origin: String,
    stop: Stop,
}

/// What is answered: a status, a document, where the new thing is.
struct Told {
    status: StatusCode,
    body: Option<Element>,
    location: Option<String>,
}

impl Told {
    fn empty(status: StatusCode) -> Self {
        Self { status, body: None, location: None }
    }

    fn document(status: StatusCode, body: Element) -> Self {
        Self { status, body: Some(body), location: None }
    }

    /// 201 for what is new, 204 for what was there as it is asked for.
    fn made(is_new: bool, location: String) -> Self {
        let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        Self { status, body: None, location: Some(location) }
    }
}

impl Asked {
    fn messages(&self) -> &Messages {
        &self.door.messages
    }

    fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
    }

    /// The body's root element, of this name; an empty one when there is no body.
    fn element(&self, name: &str) -> Result<Element, Refused> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Element::new(name));
        }
        let element = self.document()?;
        if element.name == name { Ok(element) } else { Err(Refused::schema(&element.name)) }
    }

    fn document(&self) -> Result<Element, Refused> {
        let text = std::str::from_utf8(&self.body)
            .map_err(|_| Refused::from(Problem::new(Code::MalformedXML, "it is not UTF-8")))?;
        let read = Element::parse(text);
        read.map_err(|error| Problem::new(Code::MalformedXML, error.to_string()).into())
    }

    /// What a listing's headers ask for.
    fn wanted(&self) -> Result<Wanted, Refused> {
        let limit = match self.header("x-mns-ret-number") {
            None => PAGE_MAX,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| Problem::invalid("x-mns-ret-number is 1 to 1000"))?,
        };
        Ok(Wanted {
            prefix: self.header("x-mns-prefix").unwrap_or("").to_owned(),
            after: self.header("x-mns-marker").map(str::to_owned),
            limit,
        })
    }
}

/// A number in an element.
fn number(element: &Element, name: &str) -> Result<Option<u32>, Refused> {
    let Some(text) = element.get(name).map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = || Problem::invalid(format!("the value of {name} is no whole number"));
    Ok(Some(text.parse().map_err(|_| wrong())?))
}

/// A truth value in an element.
fn truth(element: &Element, name: &str) -> Result<Option<bool>, Refused> {
    match element.get(name).map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(Problem::invalid(format!("the value of {name} is True or False")).into()),
    }
}

/// Answers one request, whatever it comes to.
pub(crate) async fn serve(door: &Arc<Door>, arrived: Arrived, request_id: &Arc<str>) -> Answer {
    let host = origin(door, &arrived.parts, arrived.secure);
    let answered = match read(door, arrived, request_id).await {
        Ok(asked) => perform(asked).await,
        Err(refused) => Err(refused),
    };
    let told = answered.unwrap_or_else(|refused| refused.told((request_id, &host)));
    let body = told.body.map(|body| body.document()).unwrap_or_default();
    let has_body = !body.is_empty();
    let mut answer = whole(told.status, body.into());
    if has_body {
        let kind = HeaderValue::from_static(mns::CONTENT_TYPE);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
    if let Some(location) = &told.location {
        answer::set(&mut answer, LOCATION, location);
    }
    answer::set(&mut answer, REQUEST_ID, request_id);
    answer::set(&mut answer, VERSION, mns::VERSION);
    answer
}

/// Checks who calls before the body is read, and that it is the one that was signed once it is.
async fn read(door: &Arc<Door>, arrived: Arrived, request_id: &Arc<str>) -> Result<Asked, Refused> {
    let Arrived { parts, body, secure, stop, .. } = arrived;
    if parts.uri.path().len() + parts.uri.query().map_or(0, str::len) > TARGET_BYTES_MAX {
        return Err(Refused::url());
    }
    let mut caller = door.doorman.admit_mns(&parts).map_err(Refused::of_signature)?;
    caller.request_id = Some(Arc::clone(request_id));
    check_host(&parts, &caller)?;
    let query = Query::parse(parts.uri.query().unwrap_or(""))?;
    let body = door.room.read(body, door.config.messages_bytes_max).await?.bytes;
    check_md5(&parts, &body)?;
    let (door, origin) = (Arc::clone(door), origin(door, &parts, secure));
    Ok(Asked { door, caller, parts, query, body, origin, stop })
}

/// A host that begins with an account, as upstream's do, must be the key's.
fn check_host(parts: &Parts, caller: &Caller) -> Result<(), Refused> {
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let Some((label, rest)) = host.and_then(|host| host.split_once('.')) else { return Ok(()) };
    let is_account = label.len() >= 16 && label.bytes().all(|b| b.is_ascii_digit());
    if is_account && rest.starts_with("mns.") && label != caller.account.to_string() {
        let message = "the OwnerId that your access key is of is not the host's account";
        return Err(Problem::new(Code::AccessDenied, message).into());
    }
    Ok(())
}

/// The body's MD5, in base64 of its bytes or (as the Python SDK writes it) of its hexadecimal text.
fn check_md5(parts: &Parts, body: &[u8]) -> Result<(), Refused> {
    let Some(said) = parts.headers.get("content-md5").and_then(|md5| md5.to_str().ok()) else {
        return Ok(());
    };
    let hex = stint_message::md5_hex(body);
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok())
        .collect();
    let is_good =
        [STANDARD.encode(hex.to_ascii_lowercase()), STANDARD.encode(&hex), STANDARD.encode(bytes)]
            .iter()
            .any(|good| good == said.trim());
    if is_good { Ok(()) } else { Err(Refused::digest()) }
}

/// What is where.
async fn perform(asked: Asked) -> Result<Told, Refused> {
    let path = asked.parts.uri.path().trim_matches('/').to_owned();
    let segments = path.split('/').map(decode_segment).collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = asked.parts.method.clone();
    match (segments.as_slice(), &method) {
        ([""], &Method::GET) if asked.flag("accountmeta") => {
            count("GetAccountAttributes");
            let account = Element::new("Account").with("LoggingBucket", "");
            Ok(Told::document(StatusCode::OK, account))
        }
        ([""], &Method::PUT) if asked.flag("accountmeta") => {
            count("SetAccountAttributes");
            let bucket = asked.element("Account")?;
            match bucket.get("LoggingBucket").map(str::trim) {
                None | Some("") => Ok(Told::empty(StatusCode::NO_CONTENT)),
                Some(_) => Err(Problem::invalid(
                    "operations are not logged to a bucket here; see the metrics and the server's log",
                )
                .into()),
            }
        }
        (["queues", rest @ ..], method) => Box::pin(queues::serve(&asked, method, rest)).await,
        (["topics", rest @ ..], method) => Box::pin(topics::serve(&asked, method, rest)).await,
        _ => Err(Refused::url()),
    }
}

/// One page of addresses.
fn page(
    asked: &Asked,
    (root, item): (&str, &str),
    (names, next): (Vec<(String, Vec<(&'static str, String)>)>, Option<String>),
) -> Told {
    let mut list = Element::new(root);
    for (path, meta) in names {
        let mut element =
            Element::new(item).with(&format!("{item}URL"), format!("{}/{path}", asked.origin));
        for (name, value) in meta {
            element = element.with(name, value);
        }
        list = list.holding(element);
    }
    if let Some(next) = next {
        list = list.with("NextMarker", next);
    }
    Told::document(StatusCode::OK, list)
}
