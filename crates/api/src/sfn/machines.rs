//! State machines: create, change, read, list, delete, check.

use serde_json::{Value, json};
use stint_engine::flows::{FlowCreate, FlowPatch, FlowView, Problem as Finding, Severity};
use stint_model::code::Code;
use stint_model::flow::FlowMode;

use super::asked::{Asked, object, seconds};
use super::refused::Refused;
use super::tags;

/// What this API forbids in names; the engine says what a flow's name allows besides.
pub(super) fn check_name(name: &str) -> Result<(), Refused> {
    let is_forbidden =
        |c: char| c.is_whitespace() || c.is_control() || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(c);
    let length = name.chars().count();
    if !(1..=80).contains(&length) || name.chars().any(is_forbidden) {
        let shown: String = name.chars().take(100).collect();
        return Err(Refused::new("InvalidName", format!("Invalid Name: '{shown}'")));
    }
    Ok(())
}

/// `STANDARD` and `EXPRESS`, as this API writes them.
pub(super) const fn kind(mode: FlowMode) -> &'static str {
    match mode {
        FlowMode::Standard => "STANDARD",
        FlowMode::Express => "EXPRESS",
    }
}

fn mode(asked: &Asked) -> Result<FlowMode, Refused> {
    match asked.text("type")? {
        None => Ok(FlowMode::Standard),
        Some(word) => FlowMode::from_word(word)
            .ok_or_else(|| Refused::invalid(format!("type is STANDARD or EXPRESS, not '{word}'"))),
    }
}

fn refused_definition(refused: impl Into<Refused>) -> Refused {
    refused.into().named(Code::InvalidArgument, "InvalidDefinition")
}

/// With `publish`, the number of the version made from what was just written.
async fn published(asked: &Asked, flow: &str) -> Result<Value, Refused> {
    if asked.flag("publish")? != Some(true) {
        if asked.text("versionDescription")?.is_some() {
            return Err(Refused::invalid("versionDescription is for publish"));
        }
        return Ok(Value::Null);
    }
    let description = asked.text("versionDescription")?.unwrap_or_default();
    let version = asked.engine().flow_version_publish(&asked.caller, flow, description).await?;
    Ok(asked.arns().qualified(flow, &version.number.to_string()).into())
}

pub(super) async fn create(asked: Asked) -> Result<Value, Refused> {
    let name = asked.need("name")?;
    check_name(name)?;
    let input = FlowCreate {
        name: name.to_owned(),
        definition: asked.need("definition")?.to_owned(),
        mode: mode(&asked)?,
        role: asked.text("roleArn")?.unwrap_or_default().to_owned(),
        tags: tags::read(&asked)?,
        ..FlowCreate::default()
    };
    let made = asked.engine().flow_create(&asked.caller, input.clone()).await;
    let made = match made {
        Ok(made) => made,
        // Idempotent: the same again is what is there.
        Err(error) if error.code() == Code::FlowAlreadyExists => {
            same(&asked, &input).await?.ok_or_else(|| Refused::from(error))?
        }
        Err(error) => return Err(refused_definition(error)),
    };
    let version = published(&asked, name).await?;
    Ok(object(json!({
        "stateMachineArn": asked.arns().machine(name),
        "creationDate": seconds(made.flow.created_at),
        "stateMachineVersionArn": version,
    })))
}

/// The flow that is there under this name, if it is the one asked for.
async fn same(asked: &Asked, input: &FlowCreate) -> Result<Option<FlowView>, Refused> {
    let found = asked.engine().flow_get(&asked.caller, &input.name, None).await;
    Ok(found.ok().filter(|found| {
        found.definition.as_ref() == input.definition
            && found.flow.mode == input.mode
            && found.flow.role == input.role
    }))
}

pub(super) async fn update(asked: Asked) -> Result<Value, Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    let patch = FlowPatch {
        definition: asked.text("definition")?.map(str::to_owned),
        role: asked.text("roleArn")?.map(str::to_owned),
        ..FlowPatch::default()
    };
    let kept = ["loggingConfiguration", "tracingConfiguration", "encryptionConfiguration"];
    let says_something = patch != FlowPatch::default()
        || asked.flag("publish")? == Some(true)
        || kept.iter().any(|name| asked.input.contains_key(*name));
    if !says_something {
        let message = "Either the definition, the role ARN, or a configuration must be specified";
        return Err(Refused::new("MissingRequiredParameter", message));
    }
    let changed = asked.engine().flow_update(&asked.caller, &machine.flow, &patch).await;
    let changed = changed.map_err(refused_definition)?;
    let version = published(&asked, &machine.flow).await?;
    Ok(object(json!({
        "updateDate": seconds(changed.flow.modified_at),
        "revisionId": changed.flow.revision.to_string(),
        "stateMachineVersionArn": version,
    })))
}

/// What descriptions of a machine share.
fn shown(asked: &Asked, view: &FlowView, arn: String) -> Value {
    let flow = &view.flow;
    json!({
        "stateMachineArn": arn,
        "name": flow.name.as_ref(),
        "definition": view.definition.as_ref(),
        "roleArn": role(asked, &flow.role),
        "type": kind(flow.mode),
        "status": "ACTIVE",
        "creationDate": seconds(flow.created_at),
        "description": if flow.description.is_empty() { Value::Null } else { flow.description.clone().into() },
        "revisionId": flow.revision.to_string(),
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": false},
        "tracingConfiguration": {"enabled": false},
    })
}

/// Clients expect one; a flow of another API may have none.
fn role(asked: &Asked, role: &str) -> String {
    match role {
        "" => format!("arn:aws:iam::{}:role/none", asked.caller.account),
        role => role.to_owned(),
    }
}

pub(super) async fn describe(asked: Asked) -> Result<Value, Refused> {
    let arn = asked.need("stateMachineArn")?;
    let machine = asked.arns().read_machine(arn)?;
    let (flow, qualifier) = (machine.flow.as_str(), machine.qualifier.as_deref());
    let found = asked.engine().flow_get(&asked.caller, flow, qualifier).await;
    let found = found.map_err(|error| {
        Refused::from(error)
            .named(Code::FlowVersionNotExists, "StateMachineDoesNotExist")
            .named(Code::FlowAliasNotExists, "StateMachineDoesNotExist")
    })?;
    let arn = match &machine.qualifier {
        Some(qualifier) => asked.arns().qualified(flow, qualifier),
        None => asked.arns().machine(flow),
    };
    Ok(object(shown(&asked, &found, arn)))
}

pub(super) async fn describe_for_execution(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    let run = asked.engine().execution_get(&asked.caller, &meant, None).await?;
    let definition = asked.engine().execution_definition(&asked.caller, &meant).await?;
    Ok(object(json!({
        "stateMachineArn": asked.arns().machine(&run.flow_name),
        "name": run.flow_name.as_ref(),
        "definition": definition.as_ref(),
        "roleArn": role(&asked, &run.role),
        "updateDate": seconds(run.started_at),
        "revisionId": run.revision.to_string(),
        "label": run.map.as_ref().map(|child| child.step.clone()),
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": false},
        "tracingConfiguration": {"enabled": false},
    })))
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let page = asked.engine().flow_list(&asked.caller, &asked.listing()?).await?;
    let machine = |view: &FlowView| {
        json!({
            "stateMachineArn": asked.arns().machine(&view.flow.name),
            "name": view.flow.name.as_ref(),
            "type": kind(view.flow.mode),
            "creationDate": seconds(view.flow.created_at),
        })
    };
    let machines: Vec<Value> = page.items.iter().map(machine).collect();
    Ok(object(json!({"stateMachines": machines, "nextToken": page.next})))
}

/// What is not there is deleted already, as upstream.
pub(super) async fn delete(asked: Asked) -> Result<Value, Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    if machine.qualifier.is_some() {
        return Err(Refused::invalid("a version or alias is deleted by its own operation"));
    }
    match asked.engine().flow_delete(&asked.caller, &machine.flow).await.map_err(Refused::from) {
        Err(refused) if refused.code != Some(Code::FlowNotExists) => Err(refused),
        Ok(()) | Err(_) => Ok(json!({})),
    }
}

fn diagnostic(finding: &Finding) -> Value {
    let code = finding.code.as_str().replace('-', "_").to_ascii_uppercase();
    let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    json!({
        "severity": match finding.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        },
        "code": code,
        "message": format!("{}{hint}", finding.message),
        "location": finding.path,
    })
}

pub(super) async fn validate(asked: Asked) -> Result<Value, Refused> {
    let (definition, mode) = (asked.need("definition")?, mode(&asked)?);
    let least = asked.text("severity")?.unwrap_or("ERROR");
    let most = asked.max_results()?.filter(|most| *most <= 100).unwrap_or(100);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let checked = asked.engine().flow_check(&asked.caller, definition, mode).await?;
    let is_bad = checked.problems.iter().any(Finding::is_error);
    let wanted: Vec<&Finding> =
        checked.problems.iter().filter(|found| found.is_error() || least == "WARNING").collect();
    let diagnostics: Vec<Value> = wanted.iter().take(most).map(|found| diagnostic(found)).collect();
    Ok(json!({
        "result": if is_bad { "FAIL" } else { "OK" },
        "truncated": wanted.len() > diagnostics.len(),
        "diagnostics": diagnostics,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "a-b_c.d", "é", &"x".repeat(80)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "a/b", "a*", "a\n", &"x".repeat(81)] {
            assert_eq!(check_name(bad).unwrap_err().kind, "InvalidName", "{bad:?}");
        }
    }
}
