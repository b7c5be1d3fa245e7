//! Async invoke configurations (§1.13).

use stint_engine::control::async_configs::{AsyncConfigPatch, AsyncConfigView};
use stint_model::time::Span;
use stint_wire::fc::{
    AsyncConfig, AsyncConfigInput, AsyncConfigList, Destination, DestinationConfig,
};

use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::{Call, rfc3339};
use crate::error::Problem;

fn view(call: &Call, found: &AsyncConfigView) -> AsyncConfig {
    let config = &found.config;
    let region = &call.engine().config().region;
    let destination =
        |arn: &str| (!arn.is_empty()).then(|| Destination { destination: arn.to_owned() });
    AsyncConfig {
        function_arn: arn::function(region, call.caller.account, &found.function, &found.qualifier),
        async_task: config.task_mode,
        max_async_retry_attempts: config.retry.retries_max,
        max_async_event_age_in_seconds: config.age_max.secs(),
        destination_config: DestinationConfig {
            on_success: destination(&config.on_success),
            on_failure: destination(&config.on_failure),
        },
        created_time: rfc3339(config.created_at),
        last_modified_time: rfc3339(config.modified_at),
    }
}

pub(crate) async fn put(call: Call) -> Result<Answer, Problem> {
    let input: AsyncConfigInput = call.json_or_default()?;
    let destinations = input.destination_config.unwrap_or_default();
    let patch = AsyncConfigPatch {
        task_mode: input.async_task,
        retries_max: input.max_async_retry_attempts,
        age_max: input.max_async_event_age_in_seconds.map(Span::from_secs),
        on_success: destinations.on_success.map(|to| to.destination),
        on_failure: destinations.on_failure.map(|to| to.destination),
        ..AsyncConfigPatch::default()
    };
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    let put = call.engine().async_config_put(&call.caller, function, qualifier, &patch).await?;
    ok(&view(&call, &put))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    let found = call.engine().async_config_get(&call.caller, function, qualifier).await?;
    ok(&view(&call, &found))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    call.engine().async_config_delete(&call.caller, function, qualifier).await?;
    no_content()
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let listing = call.listing()?;
    let function = call.query.get("functionName");
    let page = call.engine().async_config_list(&call.caller, function, &listing).await?;
    let configs = page.items.iter().map(|found| view(&call, found)).collect();
    ok(&AsyncConfigList { configs, next_token: page.next })
}
