//! Published versions.

use std::sync::Arc;

use serde_json::{Value, json};
use stint_model::code::Code;
use stint_model::flow::FlowVersion;

use super::asked::{Asked, object, seconds};
use super::refused::Refused;

/// With `revisionId`, only if that is still the newest definition.
pub(super) async fn publish(asked: Asked) -> Result<Value, Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    if let Some(revision) = asked.text("revisionId")? {
        let found = asked.engine().flow_get(&asked.caller, &machine.flow, None).await?;
        if found.flow.revision.to_string() != revision {
            let message = format!("revision {revision} is not the newest of '{}'", machine.flow);
            return Err(Refused::new("ConflictException", message));
        }
    }
    let description = asked.bounded("description", 256)?.unwrap_or_default();
    let made =
        asked.engine().flow_version_publish(&asked.caller, &machine.flow, &description).await?;
    Ok(json!({
        "stateMachineVersionArn": asked.arns().qualified(&machine.flow, &made.number.to_string()),
        "creationDate": seconds(made.created_at),
    }))
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    let listing = asked.listing()?;
    let page = asked.engine().flow_version_list(&asked.caller, &machine.flow, &listing).await?;
    let version = |version: &Arc<FlowVersion>| {
        let number = version.number.to_string();
        json!({
            "stateMachineVersionArn": asked.arns().qualified(&machine.flow, &number),
            "creationDate": seconds(version.created_at),
        })
    };
    let versions: Vec<Value> = page.items.iter().map(version).collect();
    Ok(object(json!({"stateMachineVersions": versions, "nextToken": page.next})))
}

/// What is not there is deleted already, as upstream.
pub(super) async fn delete(asked: Asked) -> Result<Value, Refused> {
    let (flow, version) = asked.arns().read_qualified(asked.need("stateMachineVersionArn")?)?;
    let number = version
        .parse()
        .map_err(|_| Refused::new("InvalidArn", format!("'{version}' is no version's number")))?;
    match asked.engine().flow_version_delete(&asked.caller, &flow, number).await {
        Ok(()) => Ok(json!({})),
        Err(error) => match Refused::from(error) {
            gone if gone.code == Some(Code::FlowVersionNotExists) => Ok(json!({})),
            refused => Err(refused
                .named(Code::FlowNotExists, "ResourceNotFound")
                .named(Code::InvalidArgument, "ConflictException")),
        },
    }
}
