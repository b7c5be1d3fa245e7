//! Versions (§1.9).

use stint_engine::control::versions::Direction;
use stint_model::function::Version as Published;
use stint_wire::fc::{PublishVersionInput, Version, VersionList};

use crate::answer::{Answer, no_content, ok};
use crate::call::{Call, rfc3339};
use crate::error::Problem;

fn view(version: &Published) -> Version {
    Version {
        version_id: version.number.to_string(),
        description: version.description.clone(),
        created_time: rfc3339(version.created_at),
        last_modified_time: rfc3339(version.created_at),
    }
}

pub(crate) async fn publish(call: Call) -> Result<Answer, Problem> {
    let input: PublishVersionInput = call.json_or_default()?;
    let description = input.description.unwrap_or_default();
    let made = call.engine().version_publish(&call.caller, call.param(0), &description).await?;
    ok(&view(&made))
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let (direction, word) = match call.query.get("direction") {
        None | Some("BACKWARD") => (Direction::Backward, "BACKWARD"),
        Some("FORWARD") => (Direction::Forward, "FORWARD"),
        Some(other) => {
            let message = format!("direction is BACKWARD or FORWARD, not {other:?}");
            return Err(Problem::invalid(message));
        }
    };
    let listing = call.listing()?;
    let function = call.param(0);
    let page = call.engine().version_list(&call.caller, function, direction, &listing).await?;
    ok(&VersionList {
        versions: page.items.iter().map(|version| view(version)).collect(),
        next_token: page.next,
        direction: word.to_owned(),
    })
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().version_delete(&call.caller, call.param(0), call.param(1)).await?;
    no_content()
}
