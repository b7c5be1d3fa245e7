//! Concurrency configurations (§1.15).

use stint_wire::fc::{ConcurrencyConfig, ConcurrencyInput, ConcurrencyList};

use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::Call;
use crate::error::Problem;

fn view(call: &Call, function: &str, reserved: u32) -> ConcurrencyConfig {
    let region = &call.engine().config().region;
    ConcurrencyConfig {
        function_arn: arn::function(region, call.caller.account, function, ""),
        reserved_concurrency: reserved,
    }
}

pub(crate) async fn put(call: Call) -> Result<Answer, Problem> {
    let input: ConcurrencyInput = call.json()?;
    let reserved = input
        .reserved_concurrency
        .ok_or_else(|| Problem::invalid("reservedConcurrency is required"))?;
    call.engine().concurrency_put(&call.caller, call.param(0), reserved).await?;
    ok(&view(&call, call.param(0), reserved))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let reserved = call.engine().concurrency_get(&call.caller, call.param(0)).await?;
    ok(&view(&call, call.param(0), reserved))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().concurrency_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let listing = call.listing()?;
    let function = call.query.get("functionName");
    let page = call.engine().concurrency_list(&call.caller, function, &listing).await?;
    let configs = page.items.iter().map(|(name, reserved)| view(&call, name, *reserved)).collect();
    ok(&ConcurrencyList { configs, next_token: page.next })
}
