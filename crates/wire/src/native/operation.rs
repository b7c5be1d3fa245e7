//! Every operation of `/v1`, once: the router, the OpenAPI document, the reference page and the test
//! that walks every endpoint are held against this table.

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its name in the OpenAPI document.
    pub id: &'static str,
    /// `GET`, `POST` …
    pub method: &'static str,
    /// With `{parameters}`.
    pub path: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the caller needs: `open` (nobody is asked), `any`, `invoke`, `follow` (`invoke` or
    /// `read`), `read`, `write`, `administer` or `operate`.
    pub need: &'static str,
    /// Names from [`QUERY`], in order.
    pub query: &'static [&'static str],
    /// The request body's schema; empty for none.
    pub body: &'static str,
    /// Status and schema of a good answer; an empty schema is an empty body, `text`, `json` and `bytes` are
    /// what they say.
    pub answer: (u16, &'static str),
}

/// Query parameters and what they mean.
pub const QUERY: &[(&str, &str)] = &[
    ("qualifier", "LATEST (if absent), a version's number or an alias."),
    ("function", "Only of this function."),
    ("state", "Only in these states, joined with commas; `open` and `ended` stand for several."),
    ("idPrefix", "The task id or uid starts so."),
    ("from", "At or after this time (RFC 3339 or Unix milliseconds)."),
    ("until", "Before this time."),
    ("tag", "Has this tag, written `key=value`; may be repeated."),
    ("error", "The kind or class of its last error."),
    ("durationMin", "Ran at least this long (`250ms`, `90s`, `5m`)."),
    ("durationMax", "Ran at most this long."),
    ("taskMode", "`true`: only tasks of task mode; `false`: only plain invocations."),
    ("order", "`desc` (newest first, if absent) or `asc`."),
    ("includePayload", "`true`: with payloads."),
    ("limit", "At most so many, 1 to 1,000; 100 if absent."),
    ("cursor", "`next` of the page before."),
    ("now", "`true`: what runs on it is ended too, and tried again."),
    ("timeout", "How long to wait, up to 60 s; 30 s if absent."),
    ("follow", "`true`: keep the answer open and send lines as server-sent events."),
    ("attempt", "Only of this try."),
    ("task", "Only of this task: its uid, or `function/taskId`."),
    ("request", "Only of this request id."),
    ("instance", "Only of this instance."),
    ("text", "Only lines that contain this."),
    ("account", "Of this account instead of the caller's; needs an admin of the root account."),
    ("prefix", "The name starts so."),
    ("format", "`json` (if absent), `csv` or `parquet`."),
    ("window", "How long a line's time is: `hour`, `day` (if absent) or `all`."),
    ("groupBy", "`function` (if absent) or `account`."),
    ("flow", "Only of this flow."),
    (
        "status",
        "Only in these states, joined with commas: `Running`, `Succeeded`, `Failed`, `TimedOut`, `Stopped`; `ended` stands for the last four.",
    ),
    ("version", "The number of a published version; the flow as it is now if absent."),
    ("after", "Only events after the one with this id; the header `Last-Event-ID` says the same."),
];

const TASK_FILTER: &[&str] = &[
    "function",
    "qualifier",
    "state",
    "idPrefix",
    "from",
    "until",
    "tag",
    "error",
    "durationMin",
    "durationMax",
    "taskMode",
    "order",
    "includePayload",
    "limit",
    "cursor",
];

macro_rules! operations {
    ($($group:literal { $($id:ident $method:ident $path:literal $need:ident [$($query:tt)*] $body:literal => $status:literal $answer:literal, $summary:literal;)* })*) => {
        /// All of them, by group.
        pub const OPERATIONS: &[Operation] = &[$($(Operation {
            id: stringify!($id),
            method: stringify!($method),
            path: $path,
            group: $group,
            summary: $summary,
            need: stringify!($need),
            query: operations!(@query $($query)*),
            body: $body,
            answer: ($status, $answer),
        },)*)*];
    };
    (@query FILTER) => { TASK_FILTER };
    (@query $($name:literal)*) => { &[$($name),*] };
}

operations! {
    "Tasks" {
        submitTask POST "/v1/functions/{function}/tasks" invoke ["qualifier"] "TaskSubmit" => 202 "TaskAccepted",
            "Submits a task: durable when answered.";
        submitBatch POST "/v1/functions/{function}/tasks:batch" invoke ["qualifier"] "BatchSubmit" => 202 "BatchResult",
            "Submits up to 10,000 tasks in one commit.";
        listTasks GET "/v1/tasks" read [FILTER] "" => 200 "Page_Task",
            "Finds tasks, newest first.";
        countTasks GET "/v1/tasks:count" read ["function" "qualifier" "state" "idPrefix" "from" "until" "tag" "error" "durationMin" "durationMax" "taskMode"] "" => 200 "TaskCount",
            "Counts tasks.";
        stopTasks POST "/v1/tasks:stop" write [] "BulkRequest" => 200 "BulkResult",
            "Stops every task that meets a filter, or says how many would be.";
        retryTasks POST "/v1/tasks:retry" write [] "BulkRequest" => 200 "BulkResult",
            "Starts every ended task that meets a filter anew, or says how many would be.";
        getTask GET "/v1/tasks/{task}" follow ["includePayload"] "" => 200 "Task",
            "One task with its attempts, events and result.";
        getFunctionTask GET "/v1/functions/{function}/tasks/{task}" follow ["includePayload"] "" => 200 "Task",
            "The same, by function and task id. Every address below works in this form too.";
        waitTask GET "/v1/tasks/{task}/wait" follow ["timeout"] "" => 200 "Task",
            "Answers when the task has ended, or at the time-out with the task as it is.";
        waitFunctionTask GET "/v1/functions/{function}/tasks/{task}/wait" follow ["timeout"] "" => 200 "Task",
            "The same, by function and task id.";
        whyTask GET "/v1/tasks/{task}/why" follow [] "" => 200 "Why",
            "Why the task is where it is: cause, position, estimated start.";
        whyFunctionTask GET "/v1/functions/{function}/tasks/{task}/why" follow [] "" => 200 "Why",
            "The same, by function and task id.";
        taskLogs GET "/v1/tasks/{task}/logs" follow ["attempt" "text" "follow" "limit" "cursor"] "" => 200 "Page_LogLine",
            "What the task wrote; with `follow`, until it ends.";
        functionTaskLogs GET "/v1/functions/{function}/tasks/{task}/logs" follow ["attempt" "text" "follow" "limit" "cursor"] "" => 200 "Page_LogLine",
            "The same, by function and task id.";
        taskPayload GET "/v1/tasks/{task}/payload" follow [] "" => 200 "bytes",
            "The payload's bytes.";
        functionTaskPayload GET "/v1/functions/{function}/tasks/{task}/payload" follow [] "" => 200 "bytes",
            "The same, by function and task id.";
        taskResult GET "/v1/tasks/{task}/result" follow [] "" => 200 "bytes",
            "The result's bytes.";
        functionTaskResult GET "/v1/functions/{function}/tasks/{task}/result" follow [] "" => 200 "bytes",
            "The same, by function and task id.";
        stopTask POST "/v1/tasks/{task}/stop" write [] "StopRequest" => 200 "Task",
            "Stops a task that waits or runs.";
        stopFunctionTask POST "/v1/functions/{function}/tasks/{task}/stop" write [] "StopRequest" => 200 "Task",
            "The same, by function and task id.";
        retryTask POST "/v1/tasks/{task}/retry" write [] "" => 200 "Task",
            "Starts an ended task anew.";
        retryFunctionTask POST "/v1/functions/{function}/tasks/{task}/retry" write [] "" => 200 "Task",
            "The same, by function and task id.";
        taskProgress POST "/v1/tasks/{task}/progress" invoke [] "ProgressReport" => 204 "",
            "Says from inside a task how far it is; also its heartbeat.";
        functionTaskProgress POST "/v1/functions/{function}/tasks/{task}/progress" invoke [] "ProgressReport" => 204 "",
            "The same, by function and task id.";
    }
    "Backlogs" {
        listBacklogs GET "/v1/backlogs" read ["limit" "cursor"] "" => 200 "Page_Backlog",
            "The backlogs of all functions, longest first.";
        getBacklog GET "/v1/backlogs/{function}" read [] "" => 200 "Backlog",
            "One function's backlog and what holds it back.";
        pauseBacklog POST "/v1/backlogs/{function}:pause" write [] "" => 200 "Backlog",
            "Lets nothing of it start; submits are still accepted.";
        resumeBacklog POST "/v1/backlogs/{function}:resume" write [] "" => 200 "Backlog",
            "Lets it go on.";
    }
    "Functions" {
        listFunctions GET "/v1/functions" read ["prefix" "limit" "cursor"] "" => 200 "Page_FunctionSummary",
            "Functions with their native limits. Code and configuration are changed through Function Compute's API.";
        getFunction GET "/v1/functions/{function}" read [] "" => 200 "FunctionSummary",
            "One function.";
        getFunctionLimits GET "/v1/functions/{function}/limits" read [] "" => 200 "FunctionLimits",
            "Its native limits.";
        putFunctionLimits PUT "/v1/functions/{function}/limits" write [] "FunctionLimits" => 200 "FunctionLimits",
            "Replaces its native limits.";
        getRetryPolicy GET "/v1/functions/{function}/retry-policy" read ["qualifier"] "" => 200 "RetryPolicy",
            "How failing tasks of a qualifier are retried.";
        putRetryPolicy PUT "/v1/functions/{function}/retry-policy" write ["qualifier"] "RetryPolicy" => 200 "RetryPolicy",
            "Changes that; absent fields stay as they are.";
        listRuntimes GET "/v1/runtimes" read [] "" => 200 "Page_Runtime",
            "Runtime names and what stands behind each on this installation.";
    }
    "Flows" {
        listFlows GET "/v1/flows" read ["prefix" "limit" "cursor"] "" => 200 "Page_Flow",
            "Flows by name, without their definitions.";
        createFlow POST "/v1/flows" write [] "FlowCreate" => 201 "Flow",
            "Makes a flow. A definition that cannot be used is refused with every mistake and its place.";
        getFlow GET "/v1/flows/{flow}" read ["version"] "" => 200 "Flow",
            "One flow with its definition, whatever API made it.";
        updateFlow PATCH "/v1/flows/{flow}" write [] "FlowPatch" => 200 "Flow",
            "Changes a flow; executions under way keep the definition they began with.";
        deleteFlow DELETE "/v1/flows/{flow}" write [] "" => 204 "",
            "Removes a flow; its executions end after their current step.";
        flowGraph GET "/v1/flows/{flow}/graph" read ["version"] "" => 200 "FlowGraph",
            "Steps and ways, for consoles.";
        listFlowVersions GET "/v1/flows/{flow}/versions" read ["limit" "cursor"] "" => 200 "Page_FlowVersion",
            "Published versions, newest first.";
        publishFlow POST "/v1/flows/{flow}/versions" write [] "FlowPublish" => 201 "FlowVersion",
            "Publishes the flow as it is now as a version that does not change.";
        deleteFlowVersion DELETE "/v1/flows/{flow}/versions/{version}" write [] "" => 204 "",
            "Removes a version that no alias names.";
        listFlowAliases GET "/v1/flows/{flow}/aliases" read ["limit" "cursor"] "" => 200 "Page_FlowAlias",
            "Aliases by name.";
        putFlowAlias PUT "/v1/flows/{flow}/aliases/{alias}" write [] "FlowAliasPut" => 200 "FlowAlias",
            "Makes or replaces an alias: one version, or two with their shares.";
        deleteFlowAlias DELETE "/v1/flows/{flow}/aliases/{alias}" write [] "" => 204 "",
            "Removes an alias.";
    }
    "Executions" {
        listExecutions GET "/v1/executions" read ["flow" "status" "prefix" "from" "until" "tag" "error" "limit" "cursor"] "" => 200 "Page_Execution",
            "Finds executions of one flow or of all, newest first.";
        startExecution POST "/v1/flows/{flow}/executions" invoke [] "ExecutionStart" => 202 "Execution",
            "Starts an execution: durable when answered. One of an Express flow has ended when it is answered.";
        getExecution GET "/v1/flows/{flow}/executions/{execution}" follow [] "" => 200 "Execution",
            "One execution with input, output and definition.";
        waitExecution GET "/v1/flows/{flow}/executions/{execution}/wait" follow ["timeout"] "" => 200 "Execution",
            "Answers when it has ended, or at the time-out with the execution as it is.";
        executionHistory GET "/v1/flows/{flow}/executions/{execution}/history" follow ["order" "limit" "cursor"] "" => 200 "Page_ExecutionEvent",
            "Every event, oldest first unless `order` says otherwise.";
        executionEvents GET "/v1/flows/{flow}/executions/{execution}/events" follow ["after"] "" => 200 "events",
            "The history as it is written, as server-sent events `event` with the event's id, then `end` with the execution. To go on after a break, send `Last-Event-ID`.";
        whyExecution GET "/v1/flows/{flow}/executions/{execution}/why" follow [] "" => 200 "ExecutionWhy",
            "What each step it is in waits for.";
        executionGraph GET "/v1/flows/{flow}/executions/{execution}/graph" follow [] "" => 200 "FlowGraph",
            "Steps and ways, and how each step stands.";
        stopExecution POST "/v1/flows/{flow}/executions/{execution}/stop" write [] "ExecutionStop" => 200 "Execution",
            "Stops an execution and the work it waits for.";
        redriveExecution POST "/v1/flows/{flow}/executions/{execution}/redrive" write [] "" => 200 "Execution",
            "Runs again what failed or was stopped; what succeeded keeps its result.";
    }
    "Accounts and keys" {
        whoAmI GET "/v1/whoami" any [] "" => 200 "WhoAmI",
            "Who the request is from.";
        listAccounts GET "/v1/accounts" operate ["limit" "cursor"] "" => 200 "Page_Account",
            "All accounts.";
        createAccount POST "/v1/accounts" operate [] "AccountCreate" => 200 "Account",
            "Makes an account.";
        getAccount GET "/v1/accounts/{account}" read [] "" => 200 "Account",
            "One account: the caller's own, or any for an admin of the root account.";
        updateAccount PATCH "/v1/accounts/{account}" operate [] "AccountPatch" => 200 "Account",
            "Changes an account's limits, or switches it off or on.";
        listKeys GET "/v1/keys" administer ["account" "limit" "cursor"] "" => 200 "Page_Key",
            "The account's keys, without secrets.";
        createKey POST "/v1/keys" administer [] "KeyCreate" => 200 "KeyCreated",
            "Makes a permanent key or a bearer token; its secret is shown once.";
        createTemporaryKey POST "/v1/keys:temporary" write [] "KeyTemporary" => 200 "KeyCreated",
            "Makes a temporary key with the caller's rights or fewer.";
        getKey GET "/v1/keys/{key}" administer [] "" => 200 "Key",
            "One key.";
        updateKey PATCH "/v1/keys/{key}" administer [] "KeyPatch" => 200 "Key",
            "Switches a key off or on.";
        deleteKey DELETE "/v1/keys/{key}" administer [] "" => 204 "",
            "Removes a key.";
        rotateKey POST "/v1/keys/{key}/rotate" administer [] "" => 200 "KeyCreated",
            "Replaces a key's secret; it is shown once.";
        rotateMasterKey POST "/v1/master-key:rotate" operate [] "" => 200 "MasterKeyRotated",
            "Replaces the key that secrets are sealed under, and seals every secret again.";
    }
    "Observation" {
        overview GET "/v1/overview" read [] "" => 200 "Overview",
            "What goes on now.";
        listInstances GET "/v1/instances" read ["function" "limit" "cursor"] "" => 200 "Page_Instance",
            "Instances that live, and those that ended lately with the reason.";
        stopInstance POST "/v1/instances/{instance}/stop" write ["now"] "" => 200 "Instance",
            "Ends an instance when what runs on it has ended, or with `now` at once; such attempts are tried again.";
        searchLogs GET "/v1/logs" read ["function" "task" "request" "instance" "attempt" "text" "from" "until" "order" "follow" "limit" "cursor"] "" => 200 "Page_LogLine",
            "Finds log lines of one function or of all, by task, request, time and text; with `follow`, new ones as they come.";
        listAudit GET "/v1/audit" administer ["until" "limit" "cursor"] "" => 200 "Page_AuditEntry",
            "Who changed what, newest first.";
        listUsage GET "/v1/usage" read ["account" "function" "from" "until" "window" "groupBy" "format" "limit" "cursor"] "" => 200 "Page_Usage",
            "What functions used, for 92 days, by hour for the last 8. Whole hours count, from the one of `from` on; tables have no pages.";
        getConfig GET "/v1/config" operate [] "" => 200 "Page_Setting",
            "The server's settings and where each was said.";
    }
    "Health" {
        healthz GET "/healthz" open [] "" => 200 "Health",
            "The process answers.";
        readyz GET "/readyz" open [] "" => 200 "Health",
            "The server accepts work; 503 while it starts or stops.";
        metrics GET "/metrics" open [] "" => 200 "text",
            "Prometheus metrics.";
        openapi GET "/openapi.json" open [] "" => 200 "json",
            "This document.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_addresses_are_unique_and_parameters_known() {
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len());
        let addresses: BTreeSet<_> = OPERATIONS.iter().map(|op| (op.method, op.path)).collect();
        assert_eq!(addresses.len(), OPERATIONS.len());
        for operation in OPERATIONS {
            for name in operation.query {
                assert!(QUERY.iter().any(|(known, _)| known == name), "{name}");
            }
        }
    }
}
