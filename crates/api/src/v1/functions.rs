//! Functions as the native API sees them: summaries, native limits, retry policies.

use std::sync::Arc;

use stint_engine::control::async_configs::AsyncConfigPatch;
use stint_engine::control::functions::FunctionQuery;
use stint_model::function::{Function, FunctionLimits as Limits, RetryPolicy as Policy};
use stint_model::limit::Rate;
use stint_model::time::Span;
use stint_wire::native::{FunctionLimits, FunctionSummary, Page, RetryPolicy};
use stint_wire::time::{Seconds, Time};

use crate::answer::{Answer, ok};
use crate::arn;
use crate::call::Call;
use crate::error::Problem;

fn limits(limits: &Limits) -> FunctionLimits {
    FunctionLimits {
        concurrency_max: limits.concurrency_max,
        rate: limits.rate.map(Into::into),
        weight: limits.weight,
        key_concurrency_max: limits.key_concurrency_max,
        key_rate: limits.key_rate.map(Into::into),
        payload_schema: limits
            .payload_schema
            .as_ref()
            .and_then(|schema| serde_json::from_str(schema).ok()),
        strict_start: limits.strict_start,
    }
}

fn said(limits: FunctionLimits) -> Result<Limits, Problem> {
    let schema = limits.payload_schema.filter(|schema| !schema.is_null());
    Ok(Limits {
        concurrency_max: limits.concurrency_max,
        rate: limits.rate.map(Rate::try_from).transpose()?,
        weight: limits.weight,
        key_concurrency_max: limits.key_concurrency_max,
        key_rate: limits.key_rate.map(Rate::try_from).transpose()?,
        payload_schema: schema.map(|schema| Arc::from(schema.to_string())),
        strict_start: limits.strict_start,
    })
}

fn summary(call: &Call, function: &Function) -> FunctionSummary {
    let config = &function.head.config;
    let region = &call.engine().config().region;
    FunctionSummary {
        name: function.name.to_string(),
        id: function.id.to_string(),
        arn: arn::function(region, function.account, &function.name, ""),
        runtime: config.runtime.clone(),
        handler: config.handler.clone(),
        cpu: f64::from(config.size.cpu_milli) / 1_000.0,
        memory_mb: config.size.memory_mb,
        timeout: Seconds(config.timeout),
        instance_concurrency: config.instance_concurrency,
        version_newest: function.version_newest,
        code_bytes: function.head.code.as_ref().map_or(0, |code| code.size),
        tags: function.tags.clone(),
        paused: function.paused,
        disabled: function.disabled.as_ref().map(|disabled| disabled.reason.clone()),
        created_at: Time(function.created_at),
        modified_at: Time(function.modified_at),
        limits: limits(&function.limits),
    }
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let asked = FunctionQuery { listing: call.native_listing()?, ..FunctionQuery::default() };
    let page = call.engine().function_list(&call.caller, &asked).await?;
    let items = page.items.iter().map(|found| summary(&call, &found.function)).collect();
    ok(&Page::<FunctionSummary> { items, next: page.next })
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let found = call.engine().function_get(&call.caller, call.param(0), None).await?;
    ok(&summary(&call, &found.function))
}

pub(crate) async fn limits_get(call: Call) -> Result<Answer, Problem> {
    ok(&limits(&call.engine().limits_get(&call.caller, call.param(0)).await?))
}

pub(crate) async fn limits_put(call: Call) -> Result<Answer, Problem> {
    let wanted = said(call.json()?)?;
    let changed = call.engine().limits_set(&call.caller, call.param(0), &wanted).await?;
    ok(&limits(&changed.limits))
}

fn policy(policy: &Policy) -> RetryPolicy {
    RetryPolicy {
        retries: Some(policy.retries_max),
        backoff: Some(Seconds(policy.backoff_base)),
        backoff_cap: Some(Seconds(policy.backoff_cap)),
        final_errors: Some(policy.final_errors.clone()),
    }
}

pub(crate) async fn retry_get(call: Call) -> Result<Answer, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    let found = call.engine().async_config_get(&call.caller, function, qualifier).await?;
    ok(&policy(&found.config.retry))
}

pub(crate) async fn retry_put(call: Call) -> Result<Answer, Problem> {
    let wanted: RetryPolicy = call.json()?;
    let patch = AsyncConfigPatch {
        retries_max: wanted.retries,
        backoff_base: wanted.backoff.map(Span::from),
        backoff_cap: wanted.backoff_cap.map(Span::from),
        final_errors: wanted.final_errors,
        native: true,
        ..AsyncConfigPatch::default()
    };
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    let put = call.engine().async_config_put(&call.caller, function, qualifier, &patch).await?;
    ok(&policy(&put.config.retry))
}
