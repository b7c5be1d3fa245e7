//! Who is it? A signature (ACS3, legacy FC) or a bearer token is checked before the body is read;
//! the body's hash and the replay filter follow once it is. RPC V1 and AWS Signature Version 4 cover
//! the body itself: there the key is looked up before it is read, and the signature checked after.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use stint_engine::Engine;
use stint_engine::control::keys::KeyMaterial;
use stint_model::access::Caller;
use stint_model::account::AccessKey;
use stint_model::code::Code;
use stint_sign::{Headers, Request, SecretKey, SignError, acs3, legacy, rpc, sigv4};
use stint_supervise::Clock;

use crate::answer::TASK_ID;
use crate::error::Problem;
use crate::replay::ReplayFilter;

/// Prepared keys; past it the cache starts anew.
const PREPARED_MAX: usize = 10_000;

/// Checks who calls.
#[derive(Debug)]
pub(crate) struct Doorman {
    engine: Engine,
    clock: Clock,
    prepared: RwLock<HashMap<Arc<str>, Prepared>>,
    replay: ReplayFilter,
}

/// A key ready to check signatures with; good while the catalog shows the same record.
#[derive(Clone, Debug)]
struct Prepared {
    record: Arc<AccessKey>,
    secret: SecretKey,
    material: Arc<KeyMaterial>,
}

/// Somebody whose signature or token was good, and what the body must still show.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    body: Option<acs3::Verified>,
    /// What makes this request unlike any other of its key; `None` for bearer tokens.
    once: Option<Vec<u8>>,
    /// Whether a task id beside it was signed too (ACS3 says which headers are). Whoever replays a
    /// request can write any other.
    pub(crate) signs_task_id: bool,
}

/// A request's headers as signatures see them.
struct Signed<'a>(&'a Parts);

impl Headers for Signed<'_> {
    fn each(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let mut any = false;
        for value in self.0.headers.get_all(name) {
            any = true;
            each(value.as_bytes());
        }
        // HTTP/2 says the host in the request line.
        if !any
            && name == "host"
            && let Some(authority) = self.0.uri.authority()
        {
            each(authority.as_str().as_bytes());
        }
    }
}

impl Doorman {
    pub(crate) fn new(engine: Engine, replay_entries_max: usize) -> Self {
        let clock = engine.clock().clone();
        let replay = ReplayFilter::new(replay_entries_max);
        Self { engine, clock, prepared: RwLock::default(), replay }
    }

    /// How many signatures are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.replay.len()
    }

    /// Checks signature or token; nothing of the body is read.
    pub(crate) fn admit(&self, parts: &Parts) -> Result<Admitted, Problem> {
        if let Some(token) = text(&parts.headers, "x-acs-bearer-token") {
            return self.admit_token(token);
        }
        let authorization = authorization(parts)?;
        match authorization.split_once(' ').map(|(scheme, rest)| (scheme, rest.trim_ascii())) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.admit_token(token)
            }
            Some(("FC", _)) => self.admit_legacy(parts, authorization),
            Some(_) | None => self.admit_acs3(parts, authorization),
        }
    }

    fn admit_acs3(&self, parts: &Parts, authorization: &str) -> Result<Admitted, Problem> {
        let claim = acs3::Claim::parse(authorization)?;
        let key = self.key(claim.key_id)?;
        let verified =
            claim.verify(line(parts), &Signed(parts), &key.secret, self.clock.wall_now())?;
        key.material.check_session_token(text(&parts.headers, "x-acs-security-token"))?;
        let nonce = parts.headers.get("x-acs-signature-nonce");
        let once = nonce.map(|nonce| nonce.as_bytes().to_vec()).unwrap_or_default();
        let signs_task_id = claim.signed_headers.split(';').any(|name| TASK_ID == name);
        let caller = key.record.caller();
        Ok(Admitted { caller, body: Some(verified), once: Some(once), signs_task_id })
    }

    fn admit_legacy(&self, parts: &Parts, authorization: &str) -> Result<Admitted, Problem> {
        let claim = legacy::Claim::parse(authorization)?;
        let key = self.key(claim.key_id)?;
        let names: Vec<&str> = parts
            .headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|name| name.starts_with("x-fc-"))
            .collect();
        let message = legacy::Message {
            request: line(parts),
            fc_headers: &names,
            query: legacy::Query::Ignored,
        };
        claim.verify(&message, &Signed(parts), &key.secret, self.clock.wall_now())?;
        key.material.check_session_token(text(&parts.headers, "x-acs-security-token"))?;
        let once = Some(authorization.as_bytes().to_vec());
        Ok(Admitted { caller: key.record.caller(), body: None, once, signs_task_id: false })
    }

    /// Whether there is a good key of this id: asked before a body is read that its signature covers.
    pub(crate) fn is_known(&self, key_id: &str) -> Result<(), Problem> {
        self.key(key_id).map(drop)
    }

    /// Checks RPC V1: the signature over query and form, and, for a mutation, that its nonce is new.
    pub(crate) fn admit_rpc(
        &self,
        method: &str,
        params: &rpc::Params<'_>,
        idempotent: bool,
    ) -> Result<Caller, Problem> {
        let claim = rpc::Claim::of(params)?;
        let key = self.key(claim.key_id)?;
        claim.verify(method, params, &key.secret, self.clock.wall_now())?;
        key.material.check_session_token(claim.security_token)?;
        let once = Some(claim.nonce.as_bytes().to_vec());
        let admitted =
            Admitted { caller: key.record.caller(), body: None, once, signs_task_id: false };
        self.check_body(&admitted, b"", idempotent)?;
        Ok(admitted.caller)
    }

    /// Checks AWS Signature Version 4 with the body it covers. It has no nonce, and two equal requests
    /// of one second are two requests, so nothing is remembered.
    pub(crate) fn admit_sigv4(&self, parts: &Parts, body: &[u8]) -> Result<Caller, Problem> {
        let claim = sigv4::Claim::parse(authorization(parts)?)?;
        let key = self.key(claim.key_id)?;
        let (hash, now) = (stint_sign::sha256(body), self.clock.wall_now());
        claim.verify(line(parts), &Signed(parts), &hash, (&key.secret, now))?;
        key.material.check_session_token(text(&parts.headers, "x-amz-security-token"))?;
        Ok(key.record.caller())
    }

    fn admit_token(&self, token: &str) -> Result<Admitted, Problem> {
        let caller = self.engine.authenticate_bearer(token)?;
        Ok(Admitted { caller, body: None, once: None, signs_task_id: false })
    }

    /// Whether this is the body that was signed, and, for a mutation that carries no idempotency
    /// key of its own, whether the request is here for the first time.
    pub(crate) fn check_body(
        &self,
        admitted: &Admitted,
        body: &[u8],
        idempotent: bool,
    ) -> Result<(), Problem> {
        if let Some(verified) = &admitted.body {
            verified.check_body(&stint_sign::sha256(body))?;
        }
        let Some(once) = admitted.once.as_ref().filter(|_| !idempotent) else { return Ok(()) };
        if self.replay.is_new(&admitted.caller.key_id, once, self.clock.wall_now()) {
            return Ok(());
        }
        Err(Problem::new(
            Code::RequestReplayed,
            "this signed request was seen before; sign each request with a nonce of its own",
        ))
    }

    /// The key behind an id. The engine opens its secret once; afterwards a look at the catalog
    /// says whether it is still the same and still good.
    fn key(&self, id: &str) -> Result<Prepared, Problem> {
        if let Some(record) = self.engine.catalog().key(id) {
            let prepared = self.prepared.read().unwrap_or_else(PoisonError::into_inner);
            let found = prepared.get(id).filter(|found| Arc::ptr_eq(&found.record, &record));
            if let Some(found) = found.filter(|_| self.engine.key_is_good(&record)) {
                return Ok(found.clone());
            }
        }
        let shown: String = id.chars().take(128).collect();
        let material = self.engine.authenticate_key(&shown)?;
        let record = self.engine.catalog().key(id).ok_or_else(|| {
            Problem::new(Code::InvalidAccessKeyID, format!("invalid access key ID '{shown}'"))
        })?;
        let secret = SecretKey::new(material.secret.expose().as_bytes());
        let made = Prepared { record, secret, material: Arc::new(material) };
        let mut prepared = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() >= PREPARED_MAX {
            prepared.clear();
        }
        prepared.insert(Arc::clone(&made.record.id), made.clone());
        Ok(made)
    }
}

/// The text of `Authorization`.
pub(crate) fn authorization(parts: &Parts) -> Result<&str, SignError> {
    let value = parts.headers.get(header::AUTHORIZATION).ok_or(SignError::Unsigned)?;
    let text = value.to_str().map_err(|_| SignError::Malformed("it is not plain text"))?;
    Ok(text.trim_ascii())
}

fn line(parts: &Parts) -> Request<'_> {
    Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
