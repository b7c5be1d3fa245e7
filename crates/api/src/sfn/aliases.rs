//! Aliases of a state machine.

use std::sync::Arc;

use serde_json::{Value, json};
use stint_engine::flows::{FlowAliasCreate, FlowAliasPatch};
use stint_model::code::Code;
use stint_model::flow::{FlowAlias, FlowRoute};

use super::asked::{Asked, object, seconds};
use super::machines::check_name;
use super::refused::Refused;

/// Flow and routes of `routingConfiguration`; all of one flow.
fn routes(asked: &Asked) -> Result<Option<(String, Vec<FlowRoute>)>, Refused> {
    let Some(list) = asked.list("routingConfiguration")? else { return Ok(None) };
    let bad = || Refused::invalid("a route has stateMachineVersionArn and a weight of 0 to 100");
    let (mut flow, mut routes) = (None, Vec::new());
    for route in list {
        let arn = route.get("stateMachineVersionArn").and_then(Value::as_str).ok_or_else(bad)?;
        let weight = route.get("weight").and_then(Value::as_u64).ok_or_else(bad)?;
        let weight = u32::try_from(weight).map_err(|_| bad())?;
        let (name, version) = asked.arns().read_qualified(arn)?;
        let version = version
            .parse()
            .map_err(|_| Refused::invalid(format!("'{arn}' is not the ARN of a version")))?;
        if flow.get_or_insert_with(|| name.clone()) != &name {
            return Err(Refused::invalid("all versions of an alias are of one state machine"));
        }
        // Upstream allows a route that nobody takes.
        if weight > 0 {
            routes.push(FlowRoute { version, weight });
        }
    }
    let flow =
        flow.ok_or_else(|| Refused::invalid("routingConfiguration names one or two versions"))?;
    Ok(Some((flow, routes)))
}

pub(super) async fn create(asked: Asked) -> Result<Value, Refused> {
    let name = asked.need("name")?;
    check_name(name)?;
    let (flow, routes) = routes(&asked)?
        .ok_or_else(|| Refused::invalid("routingConfiguration names one or two versions"))?;
    let description = asked.bounded("description", 256)?.unwrap_or_default();
    let create = FlowAliasCreate { name: name.to_owned(), description, routes };
    let made = asked.engine().flow_alias_create(&asked.caller, &flow, &create).await;
    let made = made.map_err(|e| Refused::from(e).named(Code::FlowNotExists, "ResourceNotFound"))?;
    Ok(json!({
        "stateMachineAliasArn": asked.arns().qualified(&flow, &made.name),
        "creationDate": seconds(made.created_at),
    }))
}

pub(super) async fn update(asked: Asked) -> Result<Value, Refused> {
    let (flow, name) = asked.arns().read_qualified(asked.need("stateMachineAliasArn")?)?;
    let routes = routes(&asked)?;
    if routes.as_ref().is_some_and(|(of, _)| *of != flow) {
        return Err(Refused::invalid("all versions of an alias are of its state machine"));
    }
    let patch = FlowAliasPatch {
        description: asked.bounded("description", 256)?,
        routes: routes.map(|(_, routes)| routes),
    };
    let changed = asked.engine().flow_alias_update(&asked.caller, &flow, &name, &patch).await;
    let changed =
        changed.map_err(|e| Refused::from(e).named(Code::FlowNotExists, "ResourceNotFound"))?;
    Ok(json!({"updateDate": seconds(changed.modified_at)}))
}

pub(super) async fn describe(asked: Asked) -> Result<Value, Refused> {
    let (flow, name) = asked.arns().read_qualified(asked.need("stateMachineAliasArn")?)?;
    let found = asked.engine().flow_alias_get(&asked.caller, &flow, &name).await;
    let found =
        found.map_err(|e| Refused::from(e).named(Code::FlowNotExists, "ResourceNotFound"))?;
    let route = |route: &FlowRoute| {
        let version = route.version.to_string();
        json!({
            "stateMachineVersionArn": asked.arns().qualified(&flow, &version),
            "weight": route.weight,
        })
    };
    Ok(json!({
        "stateMachineAliasArn": asked.arns().qualified(&flow, &found.name),
        "name": found.name,
        "description": found.description,
        "routingConfiguration": found.routes.iter().map(route).collect::<Vec<_>>(),
        "creationDate": seconds(found.created_at),
        "updateDate": seconds(found.modified_at),
    }))
}

/// Of a machine all, of a version those that lead to it.
pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    let listing = asked.listing()?;
    let page = asked.engine().flow_alias_list(&asked.caller, &machine.flow, &listing).await?;
    let version = machine.qualifier.as_ref().and_then(|version| version.parse::<u64>().ok());
    let leads_there = |alias: &&Arc<FlowAlias>| {
        version.is_none_or(|version| alias.routes.iter().any(|route| route.version == version))
    };
    let alias = |alias: &Arc<FlowAlias>| {
        json!({
            "stateMachineAliasArn": asked.arns().qualified(&machine.flow, &alias.name),
            "creationDate": seconds(alias.created_at),
        })
    };
    let aliases: Vec<Value> = page.items.iter().filter(leads_there).map(alias).collect();
    Ok(object(json!({"stateMachineAliases": aliases, "nextToken": page.next})))
}

pub(super) async fn delete(asked: Asked) -> Result<Value, Refused> {
    let (flow, name) = asked.arns().read_qualified(asked.need("stateMachineAliasArn")?)?;
    let gone = asked.engine().flow_alias_delete(&asked.caller, &flow, &name).await;
    gone.map_err(|e| Refused::from(e).named(Code::FlowNotExists, "ResourceNotFound"))?;
    Ok(json!({}))
}
