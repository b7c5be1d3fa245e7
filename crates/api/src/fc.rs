//! Function Compute 2023-03-30: one file per endpoint group, one table of what is where (in `wire`),
//! one match from operation to handler (here).

pub(crate) mod aliases;
pub(crate) mod async_configs;
pub(crate) mod code;
pub(crate) mod concurrency;
pub(crate) mod functions;
pub(crate) mod instances;
pub(crate) mod invocation;
pub(crate) mod layers;
pub(crate) mod regions;
pub(crate) mod scalings;
pub(crate) mod sessions;
pub(crate) mod tags;
pub(crate) mod tasks;
pub(crate) mod versions;

use std::future::ready;

use stint_model::scaling::ScalingDoor;
use stint_wire::fc::operation::Operation;

use crate::answer::Handling;
use crate::call::Call;
use crate::config::ApiConfig;
use crate::error::Problem;

/// The largest body of an operation.
pub(crate) fn body_limit(config: &ApiConfig, operation: &str) -> u64 {
    match operation {
        "CreateFunction" | "UpdateFunction" | "CreateLayerVersion" => config.code_bytes_max,
        _ => config.json_bytes_max,
    }
}

/// Whether sending it twice does no harm: reads, replacements and removals.
pub(crate) fn is_idempotent(operation: &Operation) -> bool {
    operation.method == "GET"
}

/// From operation to handler. Operations of later work do not come here.
pub(crate) fn serve(operation: &str, call: Call) -> Handling {
    match operation {
        "CreateFunction" => Box::pin(functions::create(call)),
        "UpdateFunction" => Box::pin(functions::update(call)),
        "GetFunction" => Box::pin(functions::get(call)),
        "ListFunctions" => Box::pin(functions::list(call)),
        "DeleteFunction" => Box::pin(functions::delete(call)),
        "DisableFunctionInvocation" => Box::pin(functions::disable(call)),
        "EnableFunctionInvocation" => Box::pin(functions::enable(call)),
        "GetFunctionCode" => Box::pin(code::get(call)),
        "PublishFunctionVersion" => Box::pin(versions::publish(call)),
        "ListFunctionVersions" => Box::pin(versions::list(call)),
        "DeleteFunctionVersion" => Box::pin(versions::delete(call)),
        "CreateAlias" => Box::pin(aliases::create(call)),
        "GetAlias" => Box::pin(aliases::get(call)),
        "UpdateAlias" => Box::pin(aliases::update(call)),
        "ListAliases" => Box::pin(aliases::list(call)),
        "DeleteAlias" => Box::pin(aliases::delete(call)),
        "PutAsyncInvokeConfig" => Box::pin(async_configs::put(call)),
        "GetAsyncInvokeConfig" => Box::pin(async_configs::get(call)),
        "DeleteAsyncInvokeConfig" => Box::pin(async_configs::delete(call)),
        "ListAsyncInvokeConfigs" => Box::pin(async_configs::list(call)),
        "GetAsyncTask" => Box::pin(tasks::get(call)),
        "ListAsyncTasks" => Box::pin(tasks::list(call)),
        "StopAsyncTask" => Box::pin(tasks::stop(call)),
        "PutConcurrencyConfig" => Box::pin(concurrency::put(call)),
        "GetConcurrencyConfig" => Box::pin(concurrency::get(call)),
        "DeleteConcurrencyConfig" => Box::pin(concurrency::delete(call)),
        "ListConcurrencyConfigs" => Box::pin(concurrency::list(call)),
        "PutProvisionConfig" => Box::pin(scalings::put_provision(call)),
        "GetProvisionConfig" => Box::pin(scalings::get_provision(call)),
        "DeleteProvisionConfig" => Box::pin(scalings::delete(call, ScalingDoor::Provision)),
        "ListProvisionConfigs" => Box::pin(scalings::list_provision(call)),
        "PutScalingConfig" => Box::pin(scalings::put_scaling(call)),
        "GetScalingConfig" => Box::pin(scalings::get_scaling(call)),
        "DeleteScalingConfig" => Box::pin(scalings::delete(call, ScalingDoor::Scaling)),
        "ListScalingConfigs" => Box::pin(scalings::list_scaling(call)),
        "ListInstances" => Box::pin(ready(instances::list(&call))),
        "CreateSession" => Box::pin(ready(sessions::create(&call))),
        "GetSession" => Box::pin(ready(sessions::get(&call))),
        "UpdateSession" => Box::pin(ready(sessions::update(&call))),
        "DeleteSession" => Box::pin(ready(sessions::delete(&call))),
        "ListSessions" => Box::pin(ready(sessions::list(&call))),
        other => serve_account(other, call),
    }
}

/// The operations that are not about one function.
fn serve_account(operation: &str, call: Call) -> Handling {
    match operation {
        "CreateLayerVersion" => Box::pin(layers::create(call)),
        "GetLayerVersion" => Box::pin(layers::get(call)),
        "DeleteLayerVersion" => Box::pin(layers::delete(call)),
        "ListLayerVersions" => Box::pin(layers::list_versions(call)),
        "ListLayers" => Box::pin(layers::list(call)),
        "GetLayerVersionByArn" => Box::pin(layers::get_by_arn(call)),
        "PutLayerACL" => Box::pin(layers::put_acl(call)),
        "TagResources" => Box::pin(tags::put(call)),
        "UntagResources" => Box::pin(tags::remove(call)),
        "ListTagResources" => Box::pin(tags::list(call)),
        "ChangeResourceGroup" => Box::pin(tags::change_group(call)),
        "DescribeRegions" => Box::pin(ready(regions::describe(&call))),
        other => Box::pin(ready(Err(Problem::later(other)))),
    }
}
