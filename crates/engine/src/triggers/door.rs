//! Triggers whose events come in as requests: which trigger an address means, as whom it acts, and what becomes
//! of posted events.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use stint_connect::cloudevents::Request;
use stint_connect::kind::http::{self, Auth, Stranger};
use stint_connect::kind::webhook::Signature;
use stint_connect::{Secret, Settings};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::trigger::Trigger;

use super::TriggerConfig;
use super::serve::{caller, order_of};
use crate::catalog::FunctionEntry;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::Input;
use crate::submit::{BatchMode, Orders};

/// A trigger that waits for requests.
#[derive(Clone, Debug)]
pub struct TriggerDoor {
    /// The record.
    pub trigger: Arc<Trigger>,
    /// What it says.
    pub config: TriggerConfig,
    /// As whom it acts: an invoker of its function and nothing else.
    pub caller: Caller,
    /// Whether the function is a server that the user brought, which gets requests as they are.
    pub is_custom: bool,
}

/// What became of posted events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Posted {
    /// Events in the request.
    pub events: u64,
    /// Of these, those that the filter let pass.
    pub passed: u64,
    /// Tasks that were made.
    pub tasks: u64,
    /// Tasks that were there already: the events came again.
    pub known: u64,
}

fn nowhere() -> EngineError {
    EngineError::refused(Code::TriggerNotFound, "no HTTP trigger or webhook is at this address")
}

fn is_custom(entry: &FunctionEntry, qualifier: &str) -> bool {
    let target = entry.resolve(qualifier, 0);
    target.is_ok_and(|target| target.revision.config.is_custom())
}

/// What a door is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DoorFace {
    /// A request is a call.
    Http,
    /// A request posts events.
    Webhook,
}

/// What a browser is told before it asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preflight {
    /// Which methods it may use.
    pub methods: String,
    /// For how many seconds that is good.
    pub max_age: u64,
}

/// What a browser must find on an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrossOrigin {
    /// What a script may read.
    pub exposed: String,
    /// Whether cookies may come along.
    pub with_credentials: bool,
}

impl TriggerDoor {
    /// What it is for.
    pub fn face(&self) -> DoorFace {
        match &self.config.settings {
            Settings::Webhook(_) => DoorFace::Webhook,
            _ => DoorFace::Http,
        }
    }

    fn auth(&self) -> &Auth {
        match &self.config.settings {
            Settings::Webhook(webhook) => &webhook.auth,
            Settings::Http(http) => &http.auth,
            // Nothing else is a door.
            _ => &Auth::Function,
        }
    }

    fn http(&self) -> Option<&http::Settings> {
        match &self.config.settings {
            Settings::Http(http) => Some(http),
            _ => None,
        }
    }

    /// Whether who calls must sign with a key of the account.
    pub fn is_signed(&self) -> bool {
        *self.auth() == Auth::Function
    }

    /// Whether what stands in `Authorization` is good; a signature is checked elsewhere.
    ///
    /// # Errors
    /// `AccessDenied` in upstream's words.
    pub fn admit(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        self.auth().admit(authorization).map_err(|stranger| {
            let (Stranger::Missing(why) | Stranger::Wrong(why)) = stranger;
            Refusal::new(Code::AccessDenied, why)
        })
    }

    /// Whether it takes requests of this method.
    pub fn takes(&self, method: &str) -> bool {
        match self.http() {
            Some(http) => http.methods.iter().any(|one| one == method),
            None => matches!(method, "POST" | "PUT"),
        }
    }

    /// The answer to a browser that asks before it asks; `None`: the function answers.
    pub fn preflight(&self, origin: &str, method: &str, headers: &str) -> Option<Preflight> {
        let http = self.http()?;
        let cors = http.cors.as_ref()?;
        if !cors.allows(origin) || !cors.allows_request(method, headers) {
            return None;
        }
        let methods =
            if cors.allow_methods.is_empty() { &http.methods } else { &cors.allow_methods };
        Some(Preflight { methods: methods.join(","), max_age: cors.max_age.unwrap_or(3_600) })
    }

    /// What is said to a script of this origin; `None`: it may not read the answer.
    pub fn cross(&self, origin: &str) -> Option<CrossOrigin> {
        match self.http()?.cors.as_ref() {
            None => {
                let exposed = "Date,x-fc-request-id".to_owned();
                Some(CrossOrigin { exposed, with_credentials: true })
            }
            Some(cors) if cors.allows(origin) => Some(CrossOrigin {
                exposed: cors.expose_headers.join(","),
                with_credentials: cors.allow_credentials,
            }),
            Some(_) => None,
        }
    }
}

impl Engine {
    /// The trigger at an address: account, function, trigger.
    ///
    /// # Errors
    /// `TriggerNotFound` when nothing takes requests there, whatever the reason; `ServiceUnavailable` while
    /// it is paused.
    pub fn trigger_at(&self, path: [&str; 3]) -> Result<TriggerDoor, EngineError> {
        let [account, function, name] = path;
        let account: AccountId = account.parse().map_err(|_| nowhere())?;
        let entry = self.catalog().function(account, function).ok_or_else(nowhere)?;
        let trigger = entry.triggers.get(name).ok_or_else(nowhere)?;
        let config = TriggerConfig::read(&trigger.kind, &trigger.config).map_err(|_| nowhere())?;
        if !config.settings.is_door() || !config.settings.is_enabled() {
            return Err(nowhere());
        }
        if trigger.is_paused {
            let message = format!("trigger '{name}' is paused");
            return Err(EngineError::refused(Code::ServiceUnavailable, message));
        }
        Ok(TriggerDoor {
            trigger: Arc::clone(trigger),
            caller: caller(trigger),
            is_custom: is_custom(&entry, &trigger.qualifier),
            config,
        })
    }

    /// Takes the events of a request to a webhook, by its headers (names in lower case) and its body: in the
    /// book when this returns.
    ///
    /// # Errors
    /// `AccessDenied` for a bad signature; `InvalidArgument` with what is wrong in the body;
    /// `ResourceExhausted` while the backlog is full.
    pub async fn webhook_take(
        &self,
        door: &TriggerDoor,
        (headers, body): (BTreeMap<String, String>, Bytes),
    ) -> Result<Posted, EngineError> {
        let Settings::Webhook(settings) = &door.config.settings else { return Err(nowhere()) };
        let (trigger, request) = (&door.trigger, &Request { headers, body });
        if let Some(signature) = &settings.signature {
            self.webhook_signed(trigger, signature, request).await?;
        }
        let events = settings.events(&trigger.name, request).map_err(Refusal::invalid)?;
        let delivery = &door.config.delivery;
        let waiting = self.waiting_of(trigger).await?;
        if waiting >= delivery.backlog_max {
            let most = delivery.backlog_max;
            let message = format!("{waiting} tasks wait in the backlog, the bound is {most}");
            return Err(EngineError::refused(Code::ResourceExhausted, message));
        }
        let made = || format!("{:032x}", self.random_u128());
        let parcels = delivery.pack(door.config.settings.shape(), &events, made);
        let mut posted = Posted { events: events.len() as u64, ..Posted::default() };
        let into = self.trigger_door(trigger)?;
        let mut items = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            posted.passed += parcel.events as u64;
            items.push(Ok(order_of(self, (trigger, delivery), &into, parcel).await?));
        }
        let orders = Orders { items, places: Vec::new(), mode: BatchMode::PerItem };
        let results = self.ask_shard(into.shard, |reply| Input::Submit { orders, reply }).await?;
        for result in results {
            match result {
                Ok(_) => posted.tasks += 1,
                Err(Refusal { code: Code::AsyncTaskAlreadyExists, .. }) => posted.known += 1,
                // The other side sends all of it again; what was taken is recognised then.
                Err(refusal) => return Err(refusal.into()),
            }
        }
        let now = self.clock().now();
        self.triggers().board.posted(&trigger.id, posted, now);
        metrics::counter!("stint_trigger_events_total").increment(posted.events);
        Ok(posted)
    }

    async fn webhook_signed(
        &self,
        trigger: &Trigger,
        signature: &Signature,
        request: &Request,
    ) -> Result<(), EngineError> {
        let opened = self.secret_open(trigger.account, &signature.key.name).await;
        let secret = match opened {
            Ok(secret) => Secret::new(secret.expose()),
            Err(error) => {
                let now = self.clock().now();
                self.triggers().board.failed(&trigger.id, error.to_string(), now);
                return Err(error);
            }
        };
        if signature.is_good(&secret, request) {
            return Ok(());
        }
        let message = format!("header {} does not sign this body", signature.header);
        Err(EngineError::refused(Code::AccessDenied, message))
    }
}
