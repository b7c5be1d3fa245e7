//! Published versions of a flow.

use stint_model::code::Code;
use stint_model::flow::FlowVersion as Published;
use stint_wire::fnf::{FlowVersion, FlowVersions, Nothing};

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::time;

fn view(version: &Published, flow: &str) -> FlowVersion {
    FlowVersion {
        flow_name: flow.to_owned(),
        version: version.number.to_string(),
        description: version.description.clone(),
        created_time: time(version.created_at),
    }
}

pub(super) async fn publish(asked: Asked) -> Result<Answer, Problem> {
    let (flow, description) = (asked.need("FlowName"), asked.get("Description").unwrap_or(""));
    let made = asked.engine().flow_version_publish(&asked.caller, flow, description).await?;
    asked.ok(view(&made, flow))
}

pub(super) async fn list(asked: Asked) -> Result<Answer, Problem> {
    let (flow, listing) = (asked.need("FlowName"), asked.listing(999)?);
    let page = asked.engine().flow_version_list(&asked.caller, flow, &listing).await?;
    let flow_versions = page.items.iter().map(|version| view(version, "")).collect();
    asked.ok(FlowVersions { flow_versions, next_token: page.next })
}

pub(super) async fn delete(asked: Asked) -> Result<Answer, Problem> {
    let (flow, version) = (asked.need("FlowName"), asked.need("FlowVersion"));
    // What is no number is no version.
    let number = version.parse().map_err(|_| {
        let message = format!("version '{version}' of flow '{flow}' does not exist");
        Problem::new(Code::FlowVersionNotExists, message)
    })?;
    asked.engine().flow_version_delete(&asked.caller, flow, number).await?;
    asked.ok(Nothing {})
}
