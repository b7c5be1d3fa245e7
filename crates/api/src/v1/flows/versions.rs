//! Published versions.

use std::sync::Arc;

use http::StatusCode;
use stint_model::code::Code;
use stint_model::flow::FlowVersion as Published;
use stint_wire::native::{FlowPublish, FlowVersion, Page};
use stint_wire::time::Time;

use crate::answer::{Answer, json, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(version: &Arc<Published>, flow: &str) -> FlowVersion {
    FlowVersion {
        flow: flow.to_owned(),
        version: version.number.to_string(),
        description: version.description.clone(),
        created_at: Time(version.created_at),
    }
}

pub(in crate::v1) async fn list(call: Call) -> Result<Answer, Problem> {
    let (flow, listing) = (call.param(0), super::listing(&call)?);
    let page = call.engine().flow_version_list(&call.caller, flow, &listing).await?;
    let items = page.items.iter().map(|version| view(version, flow)).collect();
    ok(&Page { items, next: page.next })
}

pub(in crate::v1) async fn publish(call: Call) -> Result<Answer, Problem> {
    let (flow, input): (_, FlowPublish) = (call.param(0), call.json_or_default()?);
    let made = call.engine().flow_version_publish(&call.caller, flow, &input.description).await?;
    Ok(json(StatusCode::CREATED, &view(&made, flow)))
}

pub(in crate::v1) async fn delete(call: Call) -> Result<Answer, Problem> {
    let (flow, version) = (call.param(0), call.param(1));
    let number = version.parse().map_err(|_| {
        let message = format!("version '{version}' of flow '{flow}' does not exist");
        Problem::new(Code::FlowVersionNotExists, message)
    })?;
    call.engine().flow_version_delete(&call.caller, flow, number).await?;
    no_content()
}
