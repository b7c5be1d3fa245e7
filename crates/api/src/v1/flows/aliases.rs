//! Aliases: made or replaced in one call.

use stint_engine::flows::{FlowAliasCreate, FlowAliasPatch};
use stint_model::code::Code;
use stint_model::flow::{FlowAlias as Pointer, FlowRoute as Share};
use stint_wire::native::{FlowAlias, FlowAliasPut, FlowRoute, Page};
use stint_wire::time::Time;

use crate::answer::{Answer, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(alias: &Pointer, flow: &str) -> FlowAlias {
    let route =
        |share: &Share| FlowRoute { version: share.version.to_string(), weight: share.weight };
    FlowAlias {
        flow: flow.to_owned(),
        name: alias.name.clone(),
        description: alias.description.clone(),
        routes: alias.routes.iter().map(route).collect(),
        created_at: Time(alias.created_at),
        modified_at: Time(alias.modified_at),
    }
}

pub(in crate::v1) async fn list(call: Call) -> Result<Answer, Problem> {
    let (flow, listing) = (call.param(0), super::listing(&call)?);
    let page = call.engine().flow_alias_list(&call.caller, flow, &listing).await?;
    let items = page.items.iter().map(|alias| view(alias, flow)).collect();
    ok(&Page { items, next: page.next })
}

pub(in crate::v1) async fn put(call: Call) -> Result<Answer, Problem> {
    let input: FlowAliasPut = call.json()?;
    let (flow, name) = (call.param(0), call.param(1));
    let mut routes = Vec::with_capacity(input.routes.len());
    for FlowRoute { version, weight } in input.routes {
        let version = version.parse().map_err(|_| {
            let message = format!("version '{version}' of flow '{flow}' does not exist");
            Problem::new(Code::FlowVersionNotExists, message)
        })?;
        routes.push(Share { version, weight });
    }
    let engine = call.engine();
    let description = input.description;
    let patch =
        FlowAliasPatch { description: Some(description.clone()), routes: Some(routes.clone()) };
    let alias = match engine.flow_alias_update(&call.caller, flow, name, &patch).await {
        Err(error) if error.code() == Code::FlowAliasNotExists => {
            let create = FlowAliasCreate { name: name.to_owned(), description, routes };
            engine.flow_alias_create(&call.caller, flow, &create).await?
        }
        done => done?,
    };
    ok(&view(&alias, flow))
}

pub(in crate::v1) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().flow_alias_delete(&call.caller, call.param(0), call.param(1)).await?;
    no_content()
}
