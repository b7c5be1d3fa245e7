//! The operations of `/v1` on flows and executions.

use std::time::Duration;

use reqwest::Method;

use super::call::{Call, Query, segment};
use super::native::{WAIT_MARGIN, page_query};
use super::{Client, ClientError, ExecutionFollow};
use crate::native::{
    Execution, ExecutionEvent, ExecutionFilter, ExecutionStart, ExecutionStop, ExecutionWhy, Flow,
    FlowAlias, FlowAliasPut, FlowCreate, FlowGraph, FlowPatch, FlowPublish, FlowVersion, Page,
};
use crate::time::Seconds;

fn flow_path(flow: &str, rest: &str) -> String {
    format!("/v1/flows/{}{rest}", segment(flow))
}

fn execution_path(flow: &str, execution: &str, rest: &str) -> String {
    format!("/v1/flows/{}/executions/{}{rest}", segment(flow), segment(execution))
}

impl ExecutionFilter {
    /// As query parameters.
    pub fn query(&self) -> Query {
        let mut query = Query::new()
            .maybe("flow", self.flow.as_ref())
            .maybe("status", (!self.status.is_empty()).then(|| self.status.join(",")))
            .maybe("prefix", self.prefix.as_ref())
            .maybe("from", self.from)
            .maybe("until", self.until)
            .maybe("error", self.error.as_ref());
        for (key, value) in &self.tags {
            query = query.with("tag", format!("{key}={value}"));
        }
        query
    }
}

impl Client {
    /// Makes a flow.
    pub async fn flow_create(&self, flow: &FlowCreate) -> Result<Flow, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/flows", "createFlow").json(flow)?).await
    }

    /// Changes a flow.
    pub async fn flow_update(&self, flow: &str, patch: &FlowPatch) -> Result<Flow, ClientError> {
        self.answer(Call::new(Method::PATCH, flow_path(flow, ""), "updateFlow").json(patch)?).await
    }

    /// A flow, or one version of it.
    pub async fn flow_get(&self, flow: &str, version: Option<&str>) -> Result<Flow, ClientError> {
        let query = Query::new().maybe("version", version);
        self.read(flow_path(flow, ""), query, "getFlow").await
    }

    /// Flows by name, without their definitions.
    pub async fn flow_list(
        &self,
        prefix: Option<&str>,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Flow>, ClientError> {
        let query = page_query(limit, cursor).maybe("prefix", prefix);
        self.read("/v1/flows".into(), query, "listFlows").await
    }

    /// Removes a flow.
    pub async fn flow_delete(&self, flow: &str) -> Result<(), ClientError> {
        self.done(Call::new(Method::DELETE, flow_path(flow, ""), "deleteFlow")).await
    }

    /// A flow's graph.
    pub async fn flow_graph(
        &self,
        flow: &str,
        version: Option<&str>,
    ) -> Result<FlowGraph, ClientError> {
        let query = Query::new().maybe("version", version);
        self.read(flow_path(flow, "/graph"), query, "flowGraph").await
    }

    /// Published versions, newest first.
    pub async fn flow_versions(
        &self,
        flow: &str,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<FlowVersion>, ClientError> {
        let query = page_query(limit, cursor);
        self.read(flow_path(flow, "/versions"), query, "listFlowVersions").await
    }

    /// Publishes the flow as it is now.
    pub async fn flow_publish(
        &self,
        flow: &str,
        publish: &FlowPublish,
    ) -> Result<FlowVersion, ClientError> {
        let call = Call::new(Method::POST, flow_path(flow, "/versions"), "publishFlow");
        self.answer(call.json(publish)?).await
    }

    /// Removes a version.
    pub async fn flow_version_delete(&self, flow: &str, version: &str) -> Result<(), ClientError> {
        let path = flow_path(flow, &format!("/versions/{}", segment(version)));
        self.done(Call::new(Method::DELETE, path, "deleteFlowVersion")).await
    }

    /// Aliases by name.
    pub async fn flow_aliases(
        &self,
        flow: &str,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<FlowAlias>, ClientError> {
        self.read(flow_path(flow, "/aliases"), page_query(limit, cursor), "listFlowAliases").await
    }

    /// Makes or replaces an alias.
    pub async fn flow_alias_put(
        &self,
        flow: &str,
        alias: &str,
        put: &FlowAliasPut,
    ) -> Result<FlowAlias, ClientError> {
        let path = flow_path(flow, &format!("/aliases/{}", segment(alias)));
        self.answer(Call::new(Method::PUT, path, "putFlowAlias").json(put)?).await
    }

    /// Removes an alias.
    pub async fn flow_alias_delete(&self, flow: &str, alias: &str) -> Result<(), ClientError> {
        let path = flow_path(flow, &format!("/aliases/{}", segment(alias)));
        self.done(Call::new(Method::DELETE, path, "deleteFlowAlias")).await
    }

    /// Finds executions, newest first.
    pub async fn execution_list(
        &self,
        filter: &ExecutionFilter,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<Execution>, ClientError> {
        let query = filter.query().maybe("limit", limit).maybe("cursor", cursor);
        self.read("/v1/executions".into(), query, "listExecutions").await
    }

    /// Starts an execution; of an Express flow it has ended when this returns.
    pub async fn execution_start(
        &self,
        flow: &str,
        start: &ExecutionStart,
    ) -> Result<Execution, ClientError> {
        let call = Call::new(Method::POST, flow_path(flow, "/executions"), "startExecution");
        // An Express flow takes up to five minutes.
        let call = Call { timeout: Some(Duration::from_secs(300) + WAIT_MARGIN), ..call };
        self.answer(call.json(start)?).await
    }

    /// One execution with input, output and definition.
    pub async fn execution_get(
        &self,
        flow: &str,
        execution: &str,
    ) -> Result<Execution, ClientError> {
        self.read(execution_path(flow, execution, ""), Query::new(), "getExecution").await
    }

    /// The execution when it has ended, or as it is after `timeout` (at most what the server allows).
    pub async fn execution_wait(
        &self,
        flow: &str,
        execution: &str,
        timeout: Duration,
    ) -> Result<Execution, ClientError> {
        let path = execution_path(flow, execution, "/wait");
        let call = Call::new(Method::GET, path, "waitExecution");
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let span = stint_model::time::Span::from_millis(millis);
        let call = call.query(Query::new().with("timeout", Seconds(span)));
        self.answer(Call { timeout: Some(timeout.saturating_add(WAIT_MARGIN)), ..call }).await
    }

    /// A page of its history, oldest first.
    pub async fn execution_history(
        &self,
        flow: &str,
        execution: &str,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Page<ExecutionEvent>, ClientError> {
        let path = execution_path(flow, execution, "/history");
        self.read(path, page_query(limit, cursor), "executionHistory").await
    }

    /// Its history as it is written, after the event with this id.
    pub async fn execution_follow(
        &self,
        flow: &str,
        execution: &str,
        after: u64,
    ) -> Result<ExecutionFollow, ClientError> {
        let path = execution_path(flow, execution, "/events");
        let call = Call::new(Method::GET, path, "executionEvents");
        let call = call.query(Query::new().with("after", after));
        let response = self.running(call, "executionEvents").await?;
        Ok(ExecutionFollow::new(response, self.endpoint().to_owned()))
    }

    /// What each step it is in waits for.
    pub async fn execution_why(
        &self,
        flow: &str,
        execution: &str,
    ) -> Result<ExecutionWhy, ClientError> {
        self.read(execution_path(flow, execution, "/why"), Query::new(), "whyExecution").await
    }

    /// Its graph, with how each step stands.
    pub async fn execution_graph(
        &self,
        flow: &str,
        execution: &str,
    ) -> Result<FlowGraph, ClientError> {
        self.read(execution_path(flow, execution, "/graph"), Query::new(), "executionGraph").await
    }

    /// Stops an execution.
    pub async fn execution_stop(
        &self,
        flow: &str,
        execution: &str,
        stop: &ExecutionStop,
    ) -> Result<Execution, ClientError> {
        let path = execution_path(flow, execution, "/stop");
        self.answer(Call::new(Method::POST, path, "stopExecution").json(stop)?).await
    }

    /// Runs again what failed or was stopped.
    pub async fn execution_redrive(
        &self,
        flow: &str,
        execution: &str,
    ) -> Result<Execution, ClientError> {
        let path = execution_path(flow, execution, "/redrive");
        self.answer(Call::new(Method::POST, path, "redriveExecution")).await
    }
}
