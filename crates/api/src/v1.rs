//! The native API: one file per group, one match from operation to handler.

mod accounts;
mod backlogs;
mod executions;
mod flows;
mod functions;
mod keys;
mod logs;
mod observe;
mod submit;
mod tasks;
mod usage;
mod why;

use std::future::ready;

use crate::answer::Handling;
use crate::call::Call;
use crate::config::ApiConfig;
use crate::error::Problem;

/// The largest body of an operation.
pub(crate) fn body_limit(config: &ApiConfig, operation: &str) -> u64 {
    match operation {
        // Base64 makes three bytes four; the rest is room for the options.
        "submitTask" => config.submit_bytes_max / 3 * 4 + config.json_bytes_max,
        "submitBatch" => config.batch_bytes_max,
        // A definition of 1 MiB, written as a JSON text; an input of its size.
        "createFlow" | "updateFlow" | "startExecution" => 3 * config.json_bytes_max,
        _ => config.json_bytes_max,
    }
}

/// From operation to handler.
pub(crate) fn serve(operation: &str, call: Call) -> Handling {
    match operation {
        "submitTask" => Box::pin(submit::one(call)),
        "submitBatch" => Box::pin(submit::batch(call)),
        "listTasks" => Box::pin(tasks::list(call)),
        "countTasks" => Box::pin(tasks::count(call)),
        "stopTasks" => Box::pin(tasks::stop_all(call)),
        "retryTasks" => Box::pin(tasks::retry_all(call)),
        "getTask" | "getFunctionTask" => Box::pin(tasks::get(call)),
        "waitTask" | "waitFunctionTask" => Box::pin(tasks::wait(call)),
        "whyTask" | "whyFunctionTask" => Box::pin(why::get(call)),
        "taskLogs" | "functionTaskLogs" => Box::pin(logs::of_task(call)),
        "taskPayload" | "functionTaskPayload" => Box::pin(tasks::payload(call)),
        "taskResult" | "functionTaskResult" => Box::pin(tasks::result(call)),
        "stopTask" | "stopFunctionTask" => Box::pin(tasks::stop(call)),
        "retryTask" | "retryFunctionTask" => Box::pin(tasks::retry(call)),
        "taskProgress" | "functionTaskProgress" => Box::pin(tasks::progress(call)),
        "searchLogs" => Box::pin(logs::search(call)),
        "overview" => Box::pin(observe::overview(call)),
        "listInstances" => Box::pin(ready(observe::instances(&call))),
        "stopInstance" => Box::pin(observe::instance_stop(call)),
        "listAudit" => Box::pin(observe::audit(call)),
        "getConfig" => Box::pin(ready(observe::settings(&call))),
        "listRuntimes" => Box::pin(ready(observe::runtimes(&call))),
        "listUsage" => Box::pin(ready(usage::list(&call))),
        other => serve_control(other, call),
    }
}

/// Backlogs, functions, accounts and keys.
fn serve_control(operation: &str, call: Call) -> Handling {
    match operation {
        "listBacklogs" => Box::pin(backlogs::list(call)),
        "getBacklog" => Box::pin(backlogs::get(call)),
        "pauseBacklog" => Box::pin(backlogs::pause(call)),
        "resumeBacklog" => Box::pin(backlogs::resume(call)),
        "listFunctions" => Box::pin(functions::list(call)),
        "getFunction" => Box::pin(functions::get(call)),
        "getFunctionLimits" => Box::pin(functions::limits_get(call)),
        "putFunctionLimits" => Box::pin(functions::limits_put(call)),
        "getRetryPolicy" => Box::pin(functions::retry_get(call)),
        "putRetryPolicy" => Box::pin(functions::retry_put(call)),
        "whoAmI" => Box::pin(ready(accounts::who_am_i(&call))),
        "listAccounts" => Box::pin(accounts::list(call)),
        "createAccount" => Box::pin(accounts::create(call)),
        "getAccount" => Box::pin(accounts::get(call)),
        "updateAccount" => Box::pin(accounts::update(call)),
        "listKeys" => Box::pin(keys::list(call)),
        "createKey" => Box::pin(keys::create(call)),
        "createTemporaryKey" => Box::pin(keys::temporary(call)),
        "getKey" => Box::pin(keys::get(call)),
        "updateKey" => Box::pin(keys::update(call)),
        "deleteKey" => Box::pin(keys::delete(call)),
        "rotateKey" => Box::pin(keys::rotate(call)),
        "rotateMasterKey" => Box::pin(keys::rotate_master(call)),
        other => serve_flows(other, call),
    }
}

/// Flows and their executions.
fn serve_flows(operation: &str, call: Call) -> Handling {
    match operation {
        "listFlows" => Box::pin(flows::list(call)),
        "createFlow" => Box::pin(flows::create(call)),
        "getFlow" => Box::pin(flows::get(call)),
        "updateFlow" => Box::pin(flows::update(call)),
        "deleteFlow" => Box::pin(flows::delete(call)),
        "flowGraph" => Box::pin(flows::graph(call)),
        "listFlowVersions" => Box::pin(flows::versions::list(call)),
        "publishFlow" => Box::pin(flows::versions::publish(call)),
        "deleteFlowVersion" => Box::pin(flows::versions::delete(call)),
        "listFlowAliases" => Box::pin(flows::aliases::list(call)),
        "putFlowAlias" => Box::pin(flows::aliases::put(call)),
        "deleteFlowAlias" => Box::pin(flows::aliases::delete(call)),
        "listExecutions" => Box::pin(executions::list(call)),
        "startExecution" => Box::pin(executions::start(call)),
        "getExecution" => Box::pin(executions::get(call)),
        "waitExecution" => Box::pin(executions::wait(call)),
        "executionHistory" => Box::pin(executions::history(call)),
        "executionEvents" => Box::pin(executions::follow::events(call)),
        "whyExecution" => Box::pin(executions::why::get(call)),
        "executionGraph" => Box::pin(executions::graph(call)),
        "stopExecution" => Box::pin(executions::stop(call)),
        "redriveExecution" => Box::pin(executions::redrive(call)),
        other => Box::pin(ready(Err(Problem::later(other)))),
    }
}
