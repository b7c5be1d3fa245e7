//! The operations of `/v1` on triggers and the secrets they name.

use reqwest::Method;

use super::call::{Call, Query, segment};
use super::native::page_query;
use super::{Client, ClientError};
use crate::native::{Page, Secret, SecretPut, Trigger, TriggerCreate, TriggerPatch};

fn trigger_path(function: &str, trigger: &str, rest: &str) -> String {
    format!("/v1/triggers/{}/{}{rest}", segment(function), segment(trigger))
}

impl Client {
    /// Makes a trigger.
    pub async fn trigger_create(&self, trigger: &TriggerCreate) -> Result<Trigger, ClientError> {
        self.answer(Call::new(Method::POST, "/v1/triggers", "createTrigger").json(trigger)?).await
    }

    /// Triggers of one function, or of all.
    pub async fn trigger_list(
        &self,
        function: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Page<Trigger>, ClientError> {
        let query = page_query(Some(100), cursor).maybe("function", function);
        self.read("/v1/triggers".into(), query, "listTriggers").await
    }

    /// One trigger.
    pub async fn trigger_get(&self, function: &str, trigger: &str) -> Result<Trigger, ClientError> {
        self.read(trigger_path(function, trigger, ""), Query::new(), "getTrigger").await
    }

    /// Changes a trigger.
    pub async fn trigger_update(
        &self,
        function: &str,
        trigger: &str,
        patch: &TriggerPatch,
    ) -> Result<Trigger, ClientError> {
        let path = trigger_path(function, trigger, "");
        self.answer(Call::new(Method::PATCH, path, "updateTrigger").json(patch)?).await
    }

    /// Lets a trigger wait.
    pub async fn trigger_pause(
        &self,
        function: &str,
        trigger: &str,
    ) -> Result<Trigger, ClientError> {
        let path = trigger_path(function, trigger, "/pause");
        self.answer(Call::new(Method::POST, path, "pauseTrigger")).await
    }

    /// Lets it go on.
    pub async fn trigger_resume(
        &self,
        function: &str,
        trigger: &str,
    ) -> Result<Trigger, ClientError> {
        let path = trigger_path(function, trigger, "/resume");
        self.answer(Call::new(Method::POST, path, "resumeTrigger")).await
    }

    /// Removes a trigger.
    pub async fn trigger_delete(&self, function: &str, trigger: &str) -> Result<(), ClientError> {
        let path = trigger_path(function, trigger, "");
        self.done(Call::new(Method::DELETE, path, "deleteTrigger")).await
    }

    /// Keeps a secret.
    pub async fn secret_put(&self, name: &str, put: &SecretPut) -> Result<Secret, ClientError> {
        let path = format!("/v1/secrets/{}", segment(name));
        self.answer(Call::new(Method::PUT, path, "putSecret").json(put)?).await
    }

    /// Names of secrets.
    pub async fn secret_list(&self, cursor: Option<&str>) -> Result<Page<Secret>, ClientError> {
        self.read("/v1/secrets".into(), page_query(Some(100), cursor), "listSecrets").await
    }

    /// Removes a secret.
    pub async fn secret_delete(&self, name: &str) -> Result<(), ClientError> {
        let path = format!("/v1/secrets/{}", segment(name));
        self.done(Call::new(Method::DELETE, path, "deleteSecret")).await
    }
}
