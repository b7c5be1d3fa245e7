//! What the three doors to flows share: reading what the engine shows, and names of what a step calls.

use bytes::Bytes;
use serde_json::Value;
use stint_engine::Engine;
use stint_engine::flows::{Dialect, HistoryRow, Moment};
use stint_model::id::AccountId;
use stint_model::payload::Payload;
use stint_model::time::Timestamp;
use stint_wire::time::Time;

use crate::error::Problem;

/// The text of a payload; JSON is UTF-8.
pub(crate) async fn text(engine: &Engine, payload: &Payload) -> Result<String, Problem> {
    let bytes: Bytes = engine.payload(payload).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a payload; none for an empty one.
pub(crate) async fn value(engine: &Engine, payload: &Payload) -> Result<Option<Value>, Problem> {
    if payload.is_empty() {
        return Ok(None);
    }
    let bytes = engine.payload(payload).await?;
    // It was JSON when it was written.
    Ok(Some(serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// What a definition is written in, for people.
pub(crate) const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Fdl => "FDL",
        Dialect::CloudFlow => "CloudFlow",
        Dialect::StatesLanguage => "States Language",
    }
}

/// A moment with milliseconds; empty for "not yet".
pub(crate) fn time(at: Timestamp) -> String {
    Time::known(at).map(|at| at.to_string()).unwrap_or_default()
}

/// What a step calls, as the history of the core has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called<'a> {
    /// A function.
    Function { name: &'a str, qualifier: Option<&'a str> },
    /// Another flow.
    Flow(&'a str),
    /// An activity.
    Activity(&'a str),
    /// An API of a service.
    Service { product: &'a str, api: &'a str },
}

impl<'a> Called<'a> {
    /// Reads the `resource` of a `TaskScheduled` event.
    pub(crate) fn of(resource: &'a Value) -> Option<Self> {
        let (kind, rest) = resource.as_object()?.iter().next()?;
        let part = |name: &str| rest.get(name).and_then(Value::as_str);
        match kind.as_str() {
            "Function" => {
                Some(Self::Function { name: part("name")?, qualifier: part("qualifier") })
            }
            "Flow" => Some(Self::Flow(part("name")?)),
            "Activity" => Some(Self::Activity(part("name")?)),
            "Service" => Some(Self::Service { product: part("product")?, api: part("api")? }),
            _ => None,
        }
    }

    /// As FDL and CloudFlow write it.
    pub(crate) fn acs(&self, region: &str, account: AccountId) -> String {
        match self {
            Self::Function { name, qualifier } => {
                crate::arn::function(region, account, name, qualifier.unwrap_or_default())
            }
            Self::Flow(name) => format!("acs:fnf:{region}:{account}:flow/{name}"),
            Self::Activity(name) => format!("acs:fnf:{region}:{account}:activity/{name}"),
            Self::Service { product, api } => format!("{product}:{api}"),
        }
    }
}

/// The details of an event as a door shows them: the same, but what is called as a text, and a map
/// run by a name that is unique in its flow.
pub(crate) fn details(
    row: &HistoryRow,
    called: impl Fn(&Called<'_>) -> String,
    execution: &str,
) -> Value {
    let mut detail = row.detail.clone();
    if let Some(resource) = detail.get("resource").and_then(Called::of).map(|found| called(&found))
    {
        detail["resource"] = Value::String(resource);
    }
    if row.moment == Moment::MapRunStarted
        && let Some(name) = detail.get("MapRunName").and_then(Value::as_str)
    {
        detail["MapRunName"] = Value::String(map_run_name(execution, name));
    }
    detail
}

/// A map run's name is the call that made it; with the execution before it, it stands for itself.
pub(crate) fn map_run_name(execution: &str, call: &str) -> String {
    format!("{execution}:{call}")
}

/// The execution and the call of such a name.
pub(crate) fn map_run_parts(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once(':').filter(|(execution, call)| !execution.is_empty() && !call.is_empty())
}

/// Hundredths of a percent as a percentage.
pub(crate) fn percent(basis_points: Option<u32>) -> f64 {
    f64::from(basis_points.unwrap_or_default()) / 100.0
}

/// Hundredths of a percent; none for what is no percentage.
pub(crate) fn basis_points(percent: f64) -> Option<u32> {
    let is_percentage = percent.is_finite() && (0.0..=100.0).contains(&percent);
    let thousandths = is_percentage.then(|| stint_wire::native::milli(percent)).flatten()?;
    u32::try_from(thousandths / 10).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_called_is_written_as_the_door_writes_it() {
        let account = AccountId::new(7);
        let write = |resource: Value| Called::of(&resource).map(|found| found.acs("r", account));
        let function = json!({"Function": {"name": "f", "qualifier": "prod"}});
        assert_eq!(write(function), Some(format!("acs:fc:r:{account}:functions/f/prod")));
        let plain = json!({"Function": {"name": "f", "qualifier": null}});
        assert_eq!(write(plain), Some(format!("acs:fc:r:{account}:functions/f")));
        assert_eq!(
            write(json!({"Flow": {"name": "g"}})),
            Some(format!("acs:fnf:r:{account}:flow/g"))
        );
        let service = json!({"Service": {"product": "http", "api": "request"}});
        assert_eq!(write(service), Some("http:request".to_owned()));
        for other in
            [json!(null), json!({}), json!({"Function": {}}), json!({"New": {}}), json!("x")]
        {
            assert_eq!(write(other), None);
        }
    }

    #[test]
    fn a_map_run_s_name_takes_itself_apart() {
        let name = map_run_name("NAME:with:colons", "7.1");
        assert_eq!(map_run_parts(&name), Some(("NAME:with:colons", "7.1")));
        assert_eq!(map_run_parts("7.1"), None);
        assert_eq!(map_run_parts(":7.1"), None);
    }

    #[test]
    fn percentages_have_two_decimals() {
        assert_eq!(basis_points(12.5), Some(1_250));
        assert_eq!(basis_points(100.0), Some(10_000));
        assert_eq!(basis_points(0.01), Some(1));
        for bad in [-1.0, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(basis_points(bad), None);
        }
        assert!((percent(Some(1_250)) - 12.5).abs() < 1e-9);
    }
}
