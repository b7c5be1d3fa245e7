//! Flows, whatever API they were made through.

pub(super) mod aliases;
pub(super) mod versions;

use http::StatusCode;
use stint_engine::flows::{
    EdgeKind, FlowCreate, FlowListing, FlowPatch, FlowView, Graph, LiveStep, StepKind, StepState,
};
use stint_model::flow::FlowMode;
use stint_wire::native::{
    Flow, FlowCreate as WireCreate, FlowGraph, FlowPatch as WirePatch, GraphEdge, GraphScope,
    GraphStep, Page, StepLive,
};
use stint_wire::time::Time;

use crate::answer::{Answer, json, no_content, ok};
use crate::call::Call;
use crate::error::Problem;
use crate::flow::dialect;

fn view(view: &FlowView) -> Flow {
    let flow = &view.flow;
    Flow {
        id: flow.id.to_string(),
        name: flow.name.to_string(),
        dialect: dialect(view.dialect).to_owned(),
        mode: flow.mode.word().to_owned(),
        description: flow.description.clone(),
        role: flow.role.clone(),
        environment: flow.environment.clone(),
        tags: flow.tags.clone(),
        definition: Some(view.definition.to_string()),
        version: view.version.map(|version| version.to_string()),
        created_at: Time(flow.created_at),
        modified_at: Time(flow.modified_at),
    }
}

/// The page that a listing asks for.
fn listing(call: &Call) -> Result<FlowListing, Problem> {
    let limit = call.query.limit("limit", 100, 1_000)?;
    Ok(FlowListing {
        prefix: call.query.get("prefix").unwrap_or("").to_owned(),
        limit: u32::try_from(limit).ok(),
        token: call.query.get("cursor").map(str::to_owned),
    })
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let page = call.engine().flow_list(&call.caller, &listing(&call)?).await?;
    let short = |found: &FlowView| Flow { definition: None, ..view(found) };
    ok(&Page { items: page.items.iter().map(short).collect(), next: page.next })
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: WireCreate = call.json()?;
    let mode = input.mode.as_deref().unwrap_or(FlowMode::Standard.word());
    let mode = FlowMode::from_word(mode)
        .ok_or_else(|| Problem::invalid(format!("mode is Standard or Express, not {mode:?}")))?;
    let create = FlowCreate {
        name: input.name,
        definition: input.definition,
        mode,
        description: input.description,
        role: input.role,
        environment: input.environment,
        tags: input.tags,
        ..FlowCreate::default()
    };
    let made = call.engine().flow_create(&call.caller, create).await?;
    Ok(json(StatusCode::CREATED, &view(&made)))
}

pub(super) async fn get(call: Call) -> Result<Answer, Problem> {
    let version = call.query.get("version");
    ok(&view(&call.engine().flow_get(&call.caller, call.param(0), version).await?))
}

pub(super) async fn update(call: Call) -> Result<Answer, Problem> {
    let input: WirePatch = call.json()?;
    let patch = FlowPatch {
        definition: input.definition,
        description: input.description,
        role: input.role,
        environment: input.environment,
        tags: input.tags,
    };
    ok(&view(&call.engine().flow_update(&call.caller, call.param(0), &patch).await?))
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().flow_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(super) async fn graph(call: Call) -> Result<Answer, Problem> {
    let version = call.query.get("version");
    let graph = call.engine().flow_graph(&call.caller, call.param(0), version).await?;
    ok(&drawn(&graph, &[]))
}

const fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Pass => "Pass",
        StepKind::Task => "Task",
        StepKind::Choice => "Choice",
        StepKind::Wait => "Wait",
        StepKind::Succeed => "Succeed",
        StepKind::Fail => "Fail",
        StepKind::Parallel => "Parallel",
        StepKind::Map => "Map",
    }
}

/// How a step stands; none where it was never entered.
fn live(step: &LiveStep) -> Option<StepLive> {
    let state = match step.state {
        StepState::Untouched => return None,
        StepState::Active => "active",
        StepState::Done => "done",
        StepState::Caught => "caught",
        StepState::Failed => "failed",
        StepState::Aborted => "aborted",
    };
    Some(StepLive { state: state.to_owned(), visits: step.entered, failed: step.failed })
}

/// A graph, with how its steps stand where that is known.
pub(super) fn drawn(graph: &Graph, steps: &[LiveStep]) -> FlowGraph {
    let scopes = graph.scopes.iter().map(|scope| GraphScope {
        kind: scope.kind.to_owned(),
        owner: scope.owner,
        start: scope.start,
        steps: scope.steps.clone(),
    });
    let shown = graph.steps.iter().enumerate().map(|(at, step)| GraphStep {
        name: step.name.clone(),
        kind: kind(step.kind).to_owned(),
        scope: step.scope,
        line: step.line,
        calls: step.calls.clone(),
        is_distributed: step.is_distributed,
        retries: step.retries,
        live: steps.iter().find(|live| live.step == at).and_then(live),
    });
    let edges = graph.edges.iter().map(|edge| GraphEdge {
        from: edge.from,
        to: edge.to,
        kind: match edge.kind {
            EdgeKind::Next => "next",
            EdgeKind::Rule => "rule",
            EdgeKind::Default => "default",
            EdgeKind::Catch => "catch",
        }
        .to_owned(),
        label: edge.label.clone(),
    });
    FlowGraph {
        dialect: dialect(graph.dialect).to_owned(),
        status: None,
        scopes: scopes.collect(),
        steps: shown.collect(),
        edges: edges.collect(),
    }
}
