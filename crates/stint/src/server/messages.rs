//! The message service and what its topics notify: HTTP endpoints through the guarded client that flows
//! use, functions through the engine, as tasks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use stint_engine::flows::http::{HttpBounds, HttpCaller as _, HttpOrder};
use stint_engine::{Engine, FunctionRef, Submit, TaskOptions};
use stint_message::{
    Endpoints, FunctionCall, MessageConfig, MessageParts, Messages, Post, PushError,
};
use stint_model::access::{Caller, Role, Scope};
use stint_model::code::Code;
use stint_store::Store;
use stint_supervise::{Supervisor, chain};

use super::http;
use crate::config::Config;
use crate::failure::Failure;

/// An endpoint's answer is read up to this size; only its status counts.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Who submits for a topic, in the records.
const KEY_ID: &str = "mns";

/// Starts the message service on the book.
pub(crate) fn start(
    config: &Config,
    engine: &Engine,
    (store, storage_allows): (Arc<dyn Store>, Arc<AtomicBool>),
    supervisor: &Supervisor,
) -> Result<Messages, Failure> {
    let endpoints = Outside {
        http: http::Caller::open()?,
        engine: engine.clone(),
        allow_private: config.message.push_private,
    };
    let config = MessageConfig {
        size_max: config.message.size_max,
        messages_max: config.message.messages,
        push_timeout: config.message.push_timeout,
        ..MessageConfig::new(&config.region)
    };
    let endpoints = Arc::new(endpoints);
    Ok(stint_message::start(MessageParts { config, store, endpoints, storage_allows }, supervisor))
}

#[derive(Debug)]
struct Outside {
    http: http::Caller,
    engine: Engine,
    allow_private: bool,
}

#[async_trait]
impl Endpoints for Outside {
    async fn post(&self, post: &Post) -> Result<(), PushError> {
        let headers = post.headers.iter();
        let order = HttpOrder {
            url: post.url.clone(),
            method: "POST".to_owned(),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: Some(post.body.clone()),
            is_states: false,
            is_reported: false,
            timeout: None,
        };
        let bounds = HttpBounds {
            timeout: post.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
            allow_private: self.allow_private,
        };
        match self.http.call(&order, bounds).await {
            Ok(reply) if (200..300).contains(&reply.status) => Ok(()),
            Ok(reply) => Err(PushError(format!("the endpoint answered {}", reply.status))),
            Err(error) => Err(PushError(chain(&error))),
        }
    }

    async fn call(&self, call: &FunctionCall) -> Result<(), PushError> {
        let caller = Caller {
            account: call.account,
            role: Role::Invoker,
            scope: Scope::default(),
            key_id: KEY_ID.into(),
            request_id: None,
        };
        let function =
            FunctionRef { name: call.function.clone(), qualifier: call.qualifier.clone() };
        let options = TaskOptions { task_id: Some(call.key.clone()), ..TaskOptions::default() };
        let submit = Submit { payload: Bytes::from(call.payload.clone()), options };
        match self.engine.submit(&caller, &function, submit).await {
            Ok(_) => Ok(()),
            // An earlier try came through and its answer did not.
            Err(error) if error.code() == Code::AsyncTaskAlreadyExists => Ok(()),
            Err(error) => Err(PushError(chain(&error))),
        }
    }
}
