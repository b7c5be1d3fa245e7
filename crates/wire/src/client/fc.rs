//! Function Compute's own operations.

use reqwest::Method;

use super::call::{Call, Query, segment};
use super::{Client, ClientError};
use crate::fc;

const ROOT: &str = "/2023-03-30";

fn function_path(function: &str, rest: &str) -> String {
    format!("{ROOT}/functions/{}{rest}", segment(function))
}

impl Client {
    /// `CreateFunction`.
    pub async fn function_create(
        &self,
        input: &fc::FunctionInput,
    ) -> Result<fc::Function, ClientError> {
        let path = format!("{ROOT}/functions");
        self.answer(Call::new(Method::POST, path, "CreateFunction").json(input)?).await
    }

    /// `UpdateFunction`: absent fields stay.
    pub async fn function_update(
        &self,
        function: &str,
        input: &fc::FunctionInput,
    ) -> Result<fc::Function, ClientError> {
        let path = function_path(function, "");
        self.answer(Call::new(Method::PUT, path, "UpdateFunction").json(input)?).await
    }

    /// `GetFunction`.
    pub async fn function_get(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<fc::Function, ClientError> {
        let call = Call::new(Method::GET, function_path(function, ""), "GetFunction");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier))).await
    }

    /// `ListFunctions`.
    pub async fn function_list(
        &self,
        prefix: Option<&str>,
        limit: Option<usize>,
        next_token: Option<&str>,
    ) -> Result<fc::FunctionList, ClientError> {
        let query = Query::new()
            .maybe("prefix", prefix)
            .maybe("limit", limit)
            .maybe("nextToken", next_token);
        let path = format!("{ROOT}/functions");
        self.answer(Call::new(Method::GET, path, "ListFunctions").query(query)).await
    }

    /// `DeleteFunction`.
    pub async fn function_delete(&self, function: &str) -> Result<(), ClientError> {
        let path = function_path(function, "");
        self.done(Call::new(Method::DELETE, path, "DeleteFunction")).await
    }

    /// `GetFunctionCode`.
    pub async fn function_code(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<fc::FunctionCode, ClientError> {
        let call = Call::new(Method::GET, function_path(function, "/code"), "GetFunctionCode");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier))).await
    }

    /// `DisableFunctionInvocation`.
    pub async fn function_disable(
        &self,
        function: &str,
        input: &fc::DisableInvocationInput,
    ) -> Result<fc::InvocationSwitched, ClientError> {
        let path = function_path(function, "/invoke/disable");
        self.answer(Call::new(Method::POST, path, "DisableFunctionInvocation").json(input)?).await
    }

    /// `EnableFunctionInvocation`.
    pub async fn function_enable(
        &self,
        function: &str,
    ) -> Result<fc::InvocationSwitched, ClientError> {
        let path = function_path(function, "/invoke/enable");
        self.answer(Call::new(Method::POST, path, "EnableFunctionInvocation")).await
    }

    /// `PublishFunctionVersion`.
    pub async fn version_publish(
        &self,
        function: &str,
        description: Option<&str>,
    ) -> Result<fc::Version, ClientError> {
        let input = fc::PublishVersionInput { description: description.map(str::to_owned) };
        let path = function_path(function, "/versions");
        self.answer(Call::new(Method::POST, path, "PublishFunctionVersion").json(&input)?).await
    }

    /// `ListFunctionVersions`.
    pub async fn version_list(
        &self,
        function: &str,
        next_token: Option<&str>,
    ) -> Result<fc::VersionList, ClientError> {
        let call =
            Call::new(Method::GET, function_path(function, "/versions"), "ListFunctionVersions");
        self.answer(call.query(Query::new().maybe("nextToken", next_token))).await
    }

    /// `DeleteFunctionVersion`.
    pub async fn version_delete(&self, function: &str, version: &str) -> Result<(), ClientError> {
        let path = function_path(function, &format!("/versions/{}", segment(version)));
        self.done(Call::new(Method::DELETE, path, "DeleteFunctionVersion")).await
    }

    /// `CreateAlias`.
    pub async fn alias_create(
        &self,
        function: &str,
        input: &fc::AliasInput,
    ) -> Result<fc::Alias, ClientError> {
        let path = function_path(function, "/aliases");
        self.answer(Call::new(Method::POST, path, "CreateAlias").json(input)?).await
    }

    /// `UpdateAlias`.
    pub async fn alias_update(
        &self,
        function: &str,
        alias: &str,
        input: &fc::AliasInput,
    ) -> Result<fc::Alias, ClientError> {
        let path = function_path(function, &format!("/aliases/{}", segment(alias)));
        self.answer(Call::new(Method::PUT, path, "UpdateAlias").json(input)?).await
    }

    /// `GetAlias`.
    pub async fn alias_get(&self, function: &str, alias: &str) -> Result<fc::Alias, ClientError> {
        let path = function_path(function, &format!("/aliases/{}", segment(alias)));
        self.answer(Call::new(Method::GET, path, "GetAlias")).await
    }

    /// `ListAliases`.
    pub async fn alias_list(
        &self,
        function: &str,
        next_token: Option<&str>,
    ) -> Result<fc::AliasList, ClientError> {
        let call = Call::new(Method::GET, function_path(function, "/aliases"), "ListAliases");
        self.answer(call.query(Query::new().maybe("nextToken", next_token))).await
    }

    /// `DeleteAlias`.
    pub async fn alias_delete(&self, function: &str, alias: &str) -> Result<(), ClientError> {
        let path = function_path(function, &format!("/aliases/{}", segment(alias)));
        self.done(Call::new(Method::DELETE, path, "DeleteAlias")).await
    }

    /// `PutAsyncInvokeConfig`: absent fields stay.
    pub async fn async_config_put(
        &self,
        function: &str,
        qualifier: Option<&str>,
        input: &fc::AsyncConfigInput,
    ) -> Result<fc::AsyncConfig, ClientError> {
        let path = function_path(function, "/async-invoke-config");
        let call = Call::new(Method::PUT, path, "PutAsyncInvokeConfig").json(input)?;
        self.answer(call.query(Query::new().maybe("qualifier", qualifier))).await
    }

    /// `GetAsyncInvokeConfig`.
    pub async fn async_config_get(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<fc::AsyncConfig, ClientError> {
        let path = function_path(function, "/async-invoke-config");
        let call = Call::new(Method::GET, path, "GetAsyncInvokeConfig");
        self.answer(call.query(Query::new().maybe("qualifier", qualifier))).await
    }

    /// `DeleteAsyncInvokeConfig`.
    pub async fn async_config_delete(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<(), ClientError> {
        let path = function_path(function, "/async-invoke-config");
        let call = Call::new(Method::DELETE, path, "DeleteAsyncInvokeConfig");
        self.done(call.query(Query::new().maybe("qualifier", qualifier))).await
    }

    /// `GetAsyncTask`.
    pub async fn async_task_get(
        &self,
        function: &str,
        task_id: &str,
    ) -> Result<fc::AsyncTask, ClientError> {
        let path = function_path(function, &format!("/async-tasks/{}", segment(task_id)));
        self.answer(Call::new(Method::GET, path, "GetAsyncTask")).await
    }

    /// `PutConcurrencyConfig`.
    pub async fn concurrency_put(
        &self,
        function: &str,
        reserved: u32,
    ) -> Result<fc::ConcurrencyConfig, ClientError> {
        let input = fc::ConcurrencyInput { reserved_concurrency: Some(reserved) };
        let path = function_path(function, "/concurrency");
        self.answer(Call::new(Method::PUT, path, "PutConcurrencyConfig").json(&input)?).await
    }

    /// `GetConcurrencyConfig`.
    pub async fn concurrency_get(
        &self,
        function: &str,
    ) -> Result<fc::ConcurrencyConfig, ClientError> {
        let path = function_path(function, "/concurrency");
        self.answer(Call::new(Method::GET, path, "GetConcurrencyConfig")).await
    }

    /// `DeleteConcurrencyConfig`.
    pub async fn concurrency_delete(&self, function: &str) -> Result<(), ClientError> {
        let path = function_path(function, "/concurrency");
        self.done(Call::new(Method::DELETE, path, "DeleteConcurrencyConfig")).await
    }

    /// `CreateLayerVersion`.
    pub async fn layer_create(
        &self,
        layer: &str,
        input: &fc::LayerInput,
    ) -> Result<fc::Layer, ClientError> {
        let path = format!("{ROOT}/layers/{}/versions", segment(layer));
        self.answer(Call::new(Method::POST, path, "CreateLayerVersion").json(input)?).await
    }

    /// `ListLayers`.
    pub async fn layer_list(&self, next_token: Option<&str>) -> Result<fc::LayerList, ClientError> {
        let call = Call::new(Method::GET, format!("{ROOT}/layers"), "ListLayers");
        self.answer(call.query(Query::new().maybe("nextToken", next_token))).await
    }
}
