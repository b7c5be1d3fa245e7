//! What functions used.

use bytes::Bytes;
use reqwest::Method;

use super::call::{Call, Query};
use super::{Client, ClientError};
use crate::native::{Page, Usage};

impl Client {
    /// What functions used, page by page.
    pub async fn usage_list(
        &self,
        asked: &UsageAsked,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<Usage>, ClientError> {
        let query = asked.query().maybe("limit", limit).maybe("cursor", cursor);
        self.answer(Call::new(Method::GET, "/v1/usage", "listUsage").query(query)).await
    }

    /// The same as one table in another format (`csv`, `parquet`).
    pub async fn usage_table(
        &self,
        asked: &UsageAsked,
        format: &str,
    ) -> Result<Bytes, ClientError> {
        let query = asked.query().with("format", format);
        let call = Call::new(Method::GET, "/v1/usage", "listUsage").query(query);
        self.send(call).await.map(|raw| raw.body)
    }
}

/// Which usage.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UsageAsked {
    /// Of this account instead of one's own.
    pub account: Option<String>,
    /// Only of this function.
    pub function: Option<String>,
    /// From this time.
    pub from: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// `hour`, `day` or `all`.
    pub window: Option<String>,
    /// `function` or `account`.
    pub group_by: Option<String>,
}

impl UsageAsked {
    fn query(&self) -> Query {
        let said = [
            ("account", &self.account),
            ("function", &self.function),
            ("from", &self.from),
            ("until", &self.until),
            ("window", &self.window),
            ("groupBy", &self.group_by),
        ];
        said.into_iter()
            .fold(Query::new(), |query, (name, value)| query.maybe(name, value.as_deref()))
    }
}
