//! Aliases of a flow. `RoutingConfigurations` is a JSON text; its weights come as numbers or texts.

use serde::Deserialize;
use stint_engine::flows::{FlowAliasCreate, FlowAliasPatch};
use stint_model::flow::{FlowAlias, FlowRoute};
use stint_wire::fnf::{Alias, Aliases, Nothing, OneAlias, Route, Weight};

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::time;

/// A route as it is sent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    version: serde_json::Value,
    weight: serde_json::Value,
}

fn routes(asked: &Asked) -> Result<Option<Vec<FlowRoute>>, Problem> {
    let name = "RoutingConfigurations";
    let Some(sent) = asked.json::<Vec<Sent>>(name)? else { return Ok(None) };
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse::<u64>().ok(),
        other => other.as_u64(),
    };
    let bad =
        || Problem::invalid(format!("parameter {name}: Version and Weight are whole numbers"));
    let mut routes = Vec::with_capacity(sent.len());
    for Sent { version, weight } in &sent {
        let weight = number(weight).and_then(|weight| u32::try_from(weight).ok());
        let (version, weight) = (number(version).ok_or_else(bad)?, weight.ok_or_else(bad)?);
        routes.push(FlowRoute { version, weight });
    }
    Ok(Some(routes))
}

fn view(alias: &FlowAlias, flow: &str, weight: impl Fn(u32) -> Weight) -> Alias {
    let route = |route: &FlowRoute| Route {
        version: route.version.to_string(),
        weight: weight(route.weight),
    };
    Alias {
        flow_name: flow.to_owned(),
        name: alias.name.clone(),
        description: alias.description.clone(),
        routing_configurations: alias.routes.iter().map(route).collect(),
        created_time: time(alias.created_at),
    }
}

pub(super) async fn create(asked: Asked) -> Result<Answer, Problem> {
    let flow = asked.need("FlowName");
    let create = FlowAliasCreate {
        name: asked.need("Name").to_owned(),
        description: asked.get("Description").unwrap_or("").to_owned(),
        routes: routes(&asked)?.unwrap_or_default(),
    };
    let made = asked.engine().flow_alias_create(&asked.caller, flow, &create).await?;
    asked.ok(view(&made, flow, Weight::Number))
}

pub(super) async fn update(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("Name"));
    let patch = FlowAliasPatch { description: asked.said("Description"), routes: routes(&asked)? };
    let changed = asked.engine().flow_alias_update(&asked.caller, flow, name, &patch).await?;
    asked.ok(view(&changed, flow, Weight::Number))
}

pub(super) async fn describe(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("Name"));
    let found = asked.engine().flow_alias_get(&asked.caller, flow, name).await?;
    asked.ok(OneAlias { alias: view(&found, "", Weight::Number) })
}

pub(super) async fn list(asked: Asked) -> Result<Answer, Problem> {
    let (flow, listing) = (asked.need("FlowName"), asked.listing(999)?);
    let page = asked.engine().flow_alias_list(&asked.caller, flow, &listing).await?;
    let text = |weight: u32| Weight::Text(weight.to_string());
    let aliases = page.items.iter().map(|alias| view(alias, "", text)).collect();
    asked.ok(Aliases { aliases, next_token: page.next })
}

pub(super) async fn delete(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("Name"));
    asked.engine().flow_alias_delete(&asked.caller, flow, name).await?;
    asked.ok(Nothing {})
}
