//! The operations of `/v1`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::call::{Call, Query, segment};
use super::{Client, ClientError, LogFollow};
use crate::native::{
    Account, AccountCreate, AccountPatch, AuditEntry, Backlog, BatchResult, BatchSubmit,
    BulkRequest, BulkResult, FunctionLimits, FunctionSummary, Health, Instance, Key, KeyCreate,
    KeyCreated, KeyPatch, KeyTemporary, LogFilter, LogLine, MasterKeyRotated, Overview, Page,
    ProgressReport, RetryPolicy, Runtime, Setting, StopRequest, Task, TaskAccepted, TaskCount,
    TaskFilter, TaskSubmit, WhoAmI, Why,
};
use crate::time::Seconds;

/// A little longer than what the server is asked to wait.
pub(super) const WAIT_MARGIN: Duration = Duration::from_secs(15);

/// `/v1/tasks/{uid}`, or `/v1/functions/{function}/tasks/{id}` for `function/id`.
fn task_path(task: &str, rest: &str) -> String {
    match task.split_once('/') {
        Some((function, id)) => {
            format!("/v1/functions/{}/tasks/{}{rest}", segment(function), segment(id))
        }
        None => format!("/v1/tasks/{}{rest}", segment(task)),
    }
}

fn function_path(function: &str, rest: &str) -> String {
    format!("/v1/functions/{}{rest}", segment(function))
}

pub(super) fn page_query(limit: Option<usize>, cursor: Option<&str>) -> Query {
    Query::new().maybe("limit", limit).maybe("cursor", cursor)
}

impl TaskFilter {
    /// As query parameters.
    pub fn query(&self) -> Query {
        let mut query = Query::new()
            .maybe("function", self.function.as_ref())
            .maybe("qualifier", self.qualifier.as_ref())
            .maybe("state", (!self.state.is_empty()).then(|| self.state.join(",")))
            .maybe("idPrefix", self.id_prefix.as_ref())
            .maybe("from", self.from)
            .maybe("until", self.until)
            .maybe("error", self.error.as_ref())
            .maybe("durationMin", self.duration_min)
            .maybe("durationMax", self.duration_max)
            .maybe("taskMode", self.task_mode);
        for (key, value) in &self.tags {
            query = query.with("tag", format!("{key}={value}"));
        }
        query
    }
}

impl LogFilter {
    /// As query parameters.
    pub fn query(&self) -> Query {
        Query::new()
            .maybe("function", self.function.as_ref())
            .maybe("task", self.task.as_ref())
            .maybe("request", self.request_id.as_ref())
            .maybe("instance", self.instance.as_ref())
            .maybe("attempt", self.attempt)
            .maybe("text", self.text.as_ref())
            .maybe("from", self.from)
            .maybe("until", self.until)
    }
}

impl Client {
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: String,
        query: Query,
        operation: &str,
    ) -> Result<T, ClientError> {
        self.answer(Call::new(Method::GET, path, operation).query(query)).await
    }

    /// Submits a task; durable when this returns.
    pub async fn task_submit(
        &self,
        function: &str,
        qualifier: Option<&str>,
        task: &TaskSubmit,
    ) -> Result<TaskAccepted, ClientError> {
        let call = Call::new(Method::POST, function_path(function, "/tasks"), "submitTask");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier)).json(task)?).await
    }

    /// Submits up to 10,000 tasks in one commit.
    pub async fn task_submit_batch(
        &self,
        function: &str,
        qualifier: Option<&str>,
        batch: &BatchSubmit,
    ) -> Result<BatchResult, ClientError> {
        let call = Call::new(Method::POST, function_path(function, "/tasks:batch"), "submitBatch");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier)).json(batch)?).await
    }

    /// One task; `task` is a `uid` or `function/taskId`, here and below.
    pub async fn task_get(&self, task: &str) -> Result<Task, ClientError> {
        self.read(task_path(task, ""), Query::new(), "getTask").await
    }

    /// Finds tasks, newest first unless `ascending`.
    pub async fn task_list(
        &self,
        filter: &TaskFilter,
        ascending: bool,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Task>, ClientError> {
        let query = filter
            .query()
            .maybe("order", ascending.then_some("asc"))
            .maybe("limit", limit)
            .maybe("cursor", cursor);
        self.read("/v1/tasks".into(), query, "listTasks").await
    }

    /// Counts tasks.
    pub async fn task_count(&self, filter: &TaskFilter) -> Result<u64, ClientError> {
        let counted: TaskCount =
            self.read("/v1/tasks:count".into(), filter.query(), "countTasks").await?;
        Ok(counted.count)
    }

    /// Waits until the task has ended, at most about 60 s; answers it as it is then.
    pub async fn task_wait(&self, task: &str, timeout: Duration) -> Result<Task, ClientError> {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let seconds = Seconds(stint_model::time::Span::from_millis(millis));
        let mut call = Call::new(Method::GET, task_path(task, "/wait"), "waitTask")
            .query(Query::new().with("timeout", seconds));
        call.timeout = Some(timeout.saturating_add(WAIT_MARGIN));
        self.answer(call).await
    }

    /// Why the task is where it is.
    pub async fn task_why(&self, task: &str) -> Result<Why, ClientError> {
        self.read(task_path(task, "/why"), Query::new(), "whyTask").await
    }

    /// The payload's bytes.
    pub async fn task_payload(&self, task: &str) -> Result<Bytes, ClientError> {
        let call = Call::new(Method::GET, task_path(task, "/payload"), "taskPayload");
        self.send(call).await.map(|raw| raw.body)
    }

    /// The result's bytes.
    pub async fn task_result(&self, task: &str) -> Result<Bytes, ClientError> {
        let call = Call::new(Method::GET, task_path(task, "/result"), "taskResult");
        self.send(call).await.map(|raw| raw.body)
    }

    /// Stops a task that waits or runs.
    pub async fn task_stop(&self, task: &str, reason: &str) -> Result<Task, ClientError> {
        let body = StopRequest { reason: reason.to_owned() };
        let call = Call::new(Method::POST, task_path(task, "/stop"), "stopTask");
        self.answer(call.json(&body)?).await
    }

    /// Starts an ended task anew.
    pub async fn task_retry(&self, task: &str) -> Result<Task, ClientError> {
        self.answer(Call::new(Method::POST, task_path(task, "/retry"), "retryTask")).await
    }

    /// Says from inside a task how far it is.
    pub async fn task_progress(
        &self,
        task: &str,
        report: &ProgressReport,
    ) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, task_path(task, "/progress"), "taskProgress");
        self.done(call.json(report)?).await
    }

    /// Stops every task that meets a filter.
    pub async fn tasks_stop(&self, request: &BulkRequest) -> Result<BulkResult, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/tasks:stop", "stopTasks").json(request)?).await
    }

    /// Starts every ended task that meets a filter anew.
    pub async fn tasks_retry(&self, request: &BulkRequest) -> Result<BulkResult, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/tasks:retry", "retryTasks").json(request)?).await
    }

    /// What a task wrote.
    pub async fn task_logs(
        &self,
        task: &str,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<LogLine>, ClientError> {
        self.read(task_path(task, "/logs"), page_query(limit, cursor), "taskLogs").await
    }

    /// What a task writes, until it ends.
    pub async fn task_logs_follow(&self, task: &str) -> Result<LogFollow, ClientError> {
        self.follow(task_path(task, "/logs"), Query::new(), "taskLogs").await
    }

    /// Finds log lines.
    pub async fn log_search(
        &self,
        filter: &LogFilter,
        ascending: bool,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<LogLine>, ClientError> {
        let query = filter
            .query()
            .maybe("order", ascending.then_some("asc"))
            .maybe("limit", limit)
            .maybe("cursor", cursor);
        self.read("/v1/logs".into(), query, "searchLogs").await
    }

    /// New log lines as they come.
    pub async fn log_follow(&self, filter: &LogFilter) -> Result<LogFollow, ClientError> {
        self.follow("/v1/logs".into(), filter.query(), "searchLogs").await
    }

    /// Ends an instance; answers it as it was.
    pub async fn instance_stop(&self, instance: &str, now: bool) -> Result<Instance, ClientError> {
        let path = format!("/v1/instances/{}/stop", segment(instance));
        let query = Query::new().maybe("now", now.then_some("true"));
        self.answer(Call::new(Method::POST, path, "stopInstance").query(query)).await
    }

    async fn follow(
        &self,
        path: String,
        query: Query,
        operation: &str,
    ) -> Result<LogFollow, ClientError> {
        let call = Call::new(Method::GET, path, operation).query(query.with("follow", true));
        let response = self.running(call, operation).await?;
        Ok(LogFollow::new(response, self.endpoint().to_owned()))
    }

    /// Sends a request whose answer goes on for as long as there is something to tell.
    pub(super) async fn running(
        &self,
        mut call: Call<'_>,
        operation: &str,
    ) -> Result<reqwest::Response, ClientError> {
        call.timeout = Some(Duration::MAX);
        call.headers.push(("accept", "text/event-stream".into()));
        let response = self.open(call).await?;
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|source| self.transport(source))?;
        match serde_json::from_slice(&body) {
            Ok(envelope) => Err(ClientError::Refused { status, envelope }),
            Err(error) => Err(ClientError::BadAnswer {
                operation: operation.to_owned(),
                what: format!("status {status}: {error}"),
            }),
        }
    }

    /// The backlogs of all functions, longest first.
    pub async fn backlog_list(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Backlog>, ClientError> {
        self.read("/v1/backlogs".into(), page_query(limit, cursor), "listBacklogs").await
    }

    /// One function's backlog.
    pub async fn backlog_get(&self, function: &str) -> Result<Backlog, ClientError> {
        let path = format!("/v1/backlogs/{}", segment(function));
        self.read(path, Query::new(), "getBacklog").await
    }

    /// Lets nothing of a function start.
    pub async fn backlog_pause(&self, function: &str) -> Result<Backlog, ClientError> {
        let path = format!("/v1/backlogs/{}:pause", segment(function));
        self.answer(Call::new(Method::POST, path, "pauseBacklog")).await
    }

    /// Lets it go on.
    pub async fn backlog_resume(&self, function: &str) -> Result<Backlog, ClientError> {
        let path = format!("/v1/backlogs/{}:resume", segment(function));
        self.answer(Call::new(Method::POST, path, "resumeBacklog")).await
    }

    /// Functions with their native limits.
    pub async fn function_summaries(
        &self,
        prefix: Option<&str>,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<FunctionSummary>, ClientError> {
        let query = page_query(limit, cursor).maybe("prefix", prefix);
        self.read("/v1/functions".into(), query, "listFunctions").await
    }

    /// One function with its native limits.
    pub async fn function_summary(&self, function: &str) -> Result<FunctionSummary, ClientError> {
        self.read(function_path(function, ""), Query::new(), "getFunction").await
    }

    /// A function's native limits.
    pub async fn limits_get(&self, function: &str) -> Result<FunctionLimits, ClientError> {
        self.read(function_path(function, "/limits"), Query::new(), "getFunctionLimits").await
    }

    /// Replaces them.
    pub async fn limits_put(
        &self,
        function: &str,
        limits: &FunctionLimits,
    ) -> Result<FunctionLimits, ClientError> {
        let path = function_path(function, "/limits");
        self.answer(Call::new(Method::PUT, path, "putFunctionLimits").json(limits)?).await
    }

    /// How failing tasks of a qualifier are retried.
    pub async fn retry_policy_get(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<RetryPolicy, ClientError> {
        let query = Query::new().maybe("qualifier", qualifier);
        self.read(function_path(function, "/retry-policy"), query, "getRetryPolicy").await
    }

    /// Changes how failing tasks of a qualifier are retried.
    pub async fn retry_policy_put(
        &self,
        function: &str,
        qualifier: Option<&str>,
        policy: &RetryPolicy,
    ) -> Result<RetryPolicy, ClientError> {
        let call =
            Call::new(Method::PUT, function_path(function, "/retry-policy"), "putRetryPolicy");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier)).json(policy)?).await
    }

    /// Runtime names and what stands behind each.
    pub async fn runtime_list(&self) -> Result<Page<Runtime>, ClientError> {
        self.read("/v1/runtimes".into(), Query::new(), "listRuntimes").await
    }

    /// Who the server takes this client for.
    pub async fn who_am_i(&self) -> Result<WhoAmI, ClientError> {
        self.read("/v1/whoami".into(), Query::new(), "whoAmI").await
    }

    /// All accounts.
    pub async fn account_list(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Account>, ClientError> {
        self.read("/v1/accounts".into(), page_query(limit, cursor), "listAccounts").await
    }

    /// Makes an account.
    pub async fn account_create(&self, account: &AccountCreate) -> Result<Account, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/accounts", "createAccount").json(account)?).await
    }

    /// One account.
    pub async fn account_get(&self, account: &str) -> Result<Account, ClientError> {
        let path = format!("/v1/accounts/{}", segment(account));
        self.read(path, Query::new(), "getAccount").await
    }

    /// Changes an account.
    pub async fn account_update(
        &self,
        account: &str,
        patch: &AccountPatch,
    ) -> Result<Account, ClientError> {
        let path = format!("/v1/accounts/{}", segment(account));
        self.answer(Call::new(Method::PATCH, path, "updateAccount").json(patch)?).await
    }

    /// Keys of the caller's account, or of another.
    pub async fn key_list(&self, account: Option<&str>) -> Result<Page<Key>, ClientError> {
        self.read("/v1/keys".into(), Query::new().maybe("account", account), "listKeys").await
    }

    /// Makes a key; its secret is shown once.
    pub async fn key_create(&self, key: &KeyCreate) -> Result<KeyCreated, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/keys", "createKey").json(key)?).await
    }

    /// Makes a temporary key.
    pub async fn key_temporary(&self, key: &KeyTemporary) -> Result<KeyCreated, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/keys:temporary", "createTemporaryKey").json(key)?)
            .await
    }

    /// Switches a key off or on.
    pub async fn key_update(&self, key: &str, patch: &KeyPatch) -> Result<Key, ClientError> {
        let path = format!("/v1/keys/{}", segment(key));
        self.answer(Call::new(Method::PATCH, path, "updateKey").json(patch)?).await
    }

    /// Removes a key.
    pub async fn key_delete(&self, key: &str) -> Result<(), ClientError> {
        let path = format!("/v1/keys/{}", segment(key));
        self.done(Call::new(Method::DELETE, path, "deleteKey")).await
    }

    /// Replaces a key's secret; it is shown once.
    pub async fn key_rotate(&self, key: &str) -> Result<KeyCreated, ClientError> {
        let path = format!("/v1/keys/{}/rotate", segment(key));
        self.answer(Call::new(Method::POST, path, "rotateKey")).await
    }

    /// Replaces the key that secrets are sealed under.
    pub async fn master_key_rotate(&self) -> Result<MasterKeyRotated, ClientError> {
        let path = "/v1/master-key:rotate".to_owned();
        self.answer(Call::new(Method::POST, path, "rotateMasterKey")).await
    }

    /// What goes on now.
    pub async fn overview(&self) -> Result<Overview, ClientError> {
        self.read("/v1/overview".into(), Query::new(), "overview").await
    }

    /// Live instances.
    pub async fn instance_list(
        &self,
        function: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Page<Instance>, ClientError> {
        let query = Query::new().maybe("function", function).maybe("cursor", cursor);
        self.read("/v1/instances".into(), query, "listInstances").await
    }

    /// Who changed what, newest first.
    pub async fn audit_list(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEntry>, ClientError> {
        self.read("/v1/audit".into(), page_query(limit, cursor), "listAudit").await
    }

    /// The server's settings.
    pub async fn setting_list(&self) -> Result<Page<Setting>, ClientError> {
        self.read("/v1/config".into(), Query::new(), "getConfig").await
    }

    /// Whether the server accepts work.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        self.read("/readyz".into(), Query::new(), "readyz").await
    }
}
