//! Flows: create, change, read, list, delete.

use stint_engine::flows::{Dialect, FlowCreate, FlowPatch, FlowView};
use stint_model::flow::FlowMode;
use stint_wire::fnf::{Flow, Flows, Nothing};

use super::asked::{Asked, shown};
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::time;

fn view(view: &FlowView) -> Flow {
    let flow = &view.flow;
    Flow {
        id: flow.id.to_string(),
        name: flow.name.to_string(),
        definition: view.definition.to_string(),
        description: flow.description.clone(),
        kind: match view.dialect {
            Dialect::Fdl | Dialect::CloudFlow => "FDL",
            Dialect::StatesLanguage => "ASL",
        }
        .to_owned(),
        role_arn: flow.role.clone(),
        execution_mode: flow.mode.word().to_owned(),
        external_storage_location: flow.external_storage.clone(),
        environment: shown(&flow.environment),
        resource_group_id: flow.resource_group.clone(),
        created_time: time(flow.created_at),
        last_modified_time: time(flow.modified_at),
    }
}

/// `Type` says nothing that the definition does not, but a wrong one is a mistake.
fn check_type(asked: &Asked) -> Result<(), Problem> {
    match asked.get("Type") {
        None | Some("FDL" | "ASL") => Ok(()),
        Some(other) => {
            Err(Problem::invalid(format!("parameter Type is FDL or ASL, not {other:?}")))
        }
    }
}

pub(super) async fn create(asked: Asked) -> Result<Answer, Problem> {
    check_type(&asked)?;
    let mode = asked.get("ExecutionMode").unwrap_or(FlowMode::Standard.word());
    let mode = FlowMode::from_word(mode).ok_or_else(|| {
        Problem::invalid(format!("parameter ExecutionMode is Standard or Express, not {mode:?}"))
    })?;
    let text = |name: &str| asked.said(name).unwrap_or_default();
    let input = FlowCreate {
        name: text("Name"),
        definition: text("Definition"),
        mode,
        description: text("Description"),
        role: text("RoleArn"),
        external_storage: text("ExternalStorageLocation"),
        environment: asked.environment()?.unwrap_or_default(),
        resource_group: text("ResourceGroupId"),
        tags: std::collections::BTreeMap::new(),
    };
    let made = asked.engine().flow_create(&asked.caller, input).await?;
    asked.ok(view(&made))
}

pub(super) async fn update(asked: Asked) -> Result<Answer, Problem> {
    check_type(&asked)?;
    let patch = FlowPatch {
        definition: asked.get("Definition").map(str::to_owned),
        description: asked.said("Description"),
        role: asked.said("RoleArn"),
        environment: asked.environment()?,
        tags: None,
    };
    let changed = asked.engine().flow_update(&asked.caller, asked.need("Name"), &patch).await?;
    asked.ok(view(&changed))
}

pub(super) async fn describe(asked: Asked) -> Result<Answer, Problem> {
    let (name, version) = (asked.need("Name"), asked.get("FlowVersion"));
    let found = asked.engine().flow_get(&asked.caller, name, version).await?;
    asked.ok(view(&found))
}

pub(super) async fn list(asked: Asked) -> Result<Answer, Problem> {
    let listing = asked.listing(999)?;
    let page = asked.engine().flow_list(&asked.caller, &listing).await?;
    let group = asked.get("ResourceGroupId");
    let is_meant = |found: &&FlowView| group.is_none_or(|group| found.flow.resource_group == group);
    let flows = page.items.iter().filter(is_meant).map(view).collect();
    asked.ok(Flows { flows, next_token: page.next })
}

pub(super) async fn delete(asked: Asked) -> Result<Answer, Problem> {
    asked.engine().flow_delete(&asked.caller, asked.need("Name")).await?;
    asked.ok(Nothing {})
}
