//! What each type of state does.

use super::fields::{self, AFTER, BEFORE, ITEM, constructor, either};
use super::{Around, inner_scope};
use crate::builder::{Builder, Names};
use crate::plan::{
    CallMode, Distributed, ExecutionMode, Items, Kind, MapSpec, Rule, SECONDS_MAX, ScopeKind,
    StepId, Task, Tolerances, WaitFor, Way, When, Work,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::resource;
use crate::template::{Expr, Template};

/// Branches of one parallel state.
const BRANCHES_MAX: usize = 50;
const TIMEOUT_MAX: i64 = 604_800;

pub(super) fn read(
    builder: &mut Builder,
    names: &Names,
    (id, kind): (StepId, Kind),
    fields: &Fields<'_>,
    around: Around,
) -> Option<Work> {
    match kind {
        Kind::Pass => Some(Work::Pass { result: None }),
        Kind::Succeed => Some(Work::Succeed),
        Kind::Fail => {
            let text = |name| {
                let text = fields.get(name).and_then(|place: Place<'_>| place.text());
                text.map(|text| Template::Const(Value::String(text.to_owned())))
            };
            Some(Work::Fail { error: text("Code"), cause: text("Detail") })
        }
        Kind::Task => task(fields, around.mode),
        Kind::Wait => wait(fields),
        Kind::Choice => choice(builder, names, fields),
        Kind::Parallel => parallel(builder, id, fields, around),
        Kind::Map => map(builder, id, fields, around),
    }
}

fn integer(range: core::ops::RangeInclusive<i64>) -> impl Fn(&Place<'_>) {
    move |place| {
        place.integer(range.clone());
    }
}

fn task(fields: &Fields<'_>, mode: ExecutionMode) -> Option<Work> {
    let modes = [
        ("RequestComplete", CallMode::Request),
        ("WaitForSystemCallback", CallMode::Follow),
        ("WaitForCustomCallback", CallMode::Callback),
    ];
    let place = fields.get("TaskMode");
    let call = place.as_ref().map_or(Some(CallMode::Request), |place| place.word(&modes));
    let timeout = either(fields, ["Timeout", "Timeout.$"], &integer(0..=TIMEOUT_MAX));
    let action = fields.need("Action")?;
    let text = action.text()?;
    let Some(resource) = resource::action(text) else {
        action.wrong(ProblemCode::BadResource, format!("`{text}` is no Service:Api"));
        return None;
    };
    let call = call?;
    if mode == ExecutionMode::Express && call != CallMode::Request {
        let said = "an Express flow has no callbacks";
        place.as_ref().unwrap_or(&action).wrong(ProblemCode::NotInExpress, said);
    }
    Some(Work::Task(Task { resource, mode: call, timeout, heartbeat: None, credentials: None }))
}

fn wait(fields: &Fields<'_>) -> Option<Work> {
    let until = |place: &Place<'_>| {
        if place.text().is_some_and(|text| crate::stamp::parse(text).is_none()) {
            place.wrong(
                ProblemCode::BadTimestamp,
                "an RFC 3339 timestamp or an expression is expected",
            );
        }
    };
    let seconds = either(fields, ["Seconds", "Seconds.$"], &integer(0..=SECONDS_MAX));
    let until = either(fields, ["UntilDateTime", "UntilDateTime.$"], &until);
    // Seconds win if both are there.
    match (seconds, until) {
        (Some(seconds), _) => Some(Work::Wait(WaitFor::Seconds(seconds))),
        (None, Some(until)) => Some(Work::Wait(WaitFor::Until(until))),
        (None, None) => {
            fields
                .place
                .wrong(ProblemCode::MissingField, "a wait has `Seconds` or `UntilDateTime`");
            None
        }
    }
}

fn choice(builder: &Builder, names: &Names, fields: &Fields<'_>) -> Option<Work> {
    let place = fields.need("Branches");
    let default = fields.need("Default").and_then(|place| builder.next(names, &place));
    let place = place?;
    let mut rules = Vec::new();
    for place in place.list()? {
        let fields = place.fields()?;
        let leaf = fields.need("Condition").and_then(|place| fields::expression(&place, BEFORE));
        let next = fields.need("Next").and_then(|place| builder.next(names, &place));
        fields.finish();
        let Expr::Term(term) = leaf?.expr else { return None };
        let way = Way { next: next?, block: None, output: None, assign: None };
        rules.push(Rule { when: When::Term(term), way });
    }
    if rules.is_empty() {
        place.wrong(ProblemCode::MissingField, "there is no branch");
    }
    let default = Way { next: default?, block: None, output: None, assign: None };
    Some(Work::Choice { rules, default: Some(default) })
}

fn parallel(
    builder: &mut Builder,
    id: StepId,
    fields: &Fields<'_>,
    around: Around,
) -> Option<Work> {
    let place = fields.need("Branches")?;
    let listed = place.list()?;
    if listed.is_empty() || listed.len() > BRANCHES_MAX {
        place.wrong(ProblemCode::WrongValue, format!("1 to {BRANCHES_MAX} branches are expected"));
    }
    let mut branches = Vec::new();
    for (at, place) in listed.iter().enumerate() {
        branches.extend(inner_scope(builder, place, ScopeKind::Branch(at), id, around));
    }
    (branches.len() == listed.len() && !branches.is_empty()).then_some(Work::Parallel(branches))
}

fn map(builder: &mut Builder, id: StepId, fields: &Fields<'_>, around: Around) -> Option<Work> {
    let processor = fields.need("Processor")?;
    let mode = processor.node.entry("ProcessorConfig").and_then(|node| {
        let fields = processor.inner("ProcessorConfig", node).fields()?;
        let modes = [("Standard", ExecutionMode::Standard), ("Express", ExecutionMode::Express)];
        let mode = fields.get("ExecutionMode").and_then(|place| place.word(&modes));
        fields.finish();
        mode
    });
    if mode.is_some() && around.mode == ExecutionMode::Express {
        fields.place.wrong(ProblemCode::NotInExpress, "an Express flow has no distributed map");
    }
    let scope = inner_scope(builder, &processor, ScopeKind::Iteration, id, around);
    let items = fields.get("ItemsPath").and_then(|place| fields::expression(&place, BEFORE));
    // The first spelling is the documented one.
    let place = fields.one_of(&["MaxConcuccency", "MaxConcurrency"]);
    let concurrency = place.and_then(|place| {
        place.integer(0..=SECONDS_MAX).map(|number| Template::Const(Value::from(number)))
    });
    let build = |name, roots| fields.get(name).map(|place: Place<'_>| constructor(&place, roots));
    let selector = build("ItemConstructor", ITEM);
    let reader = build("ItemReader", BEFORE);
    let spread = [
        ("ItemBatcher", build("ItemBatcher", BEFORE)),
        ("ResultWriter", build("ResultWriter", AFTER)),
    ];
    let number = |names: [&'static str; 2]| either(fields, names, &integer(0..=SECONDS_MAX));
    let items_max = number(["MaxItems", "MaxItems.$"]);
    let count = number(["ToleratedFailureCount", "ToleratedFailureCount.$"]);
    let percent = |place: &Place<'_>| {
        place.float(0.0..=100.0);
    };
    let names = ["ToleratedFailurePercentage", "ToleratedFailurePercentage.$"];
    let percentage = either(fields, names, &percent);
    let items = match (items, &reader) {
        (_, Some(_)) => Items::Read,
        (Some(leaf), None) => Items::Template(Template::Leaf(leaf)),
        (None, None) => {
            fields.place.wrong(ProblemCode::MissingField, "`ItemsPath` is missing");
            return None;
        }
    };
    let [(_, batch), (_, writer)] = spread;
    let distributed =
        mode.map(|mode| Distributed { mode, label: None, reader, writer, items_max, batch });
    if distributed.is_none() {
        let why = "only a distributed map has this; set `ProcessorConfig.ExecutionMode`";
        fields.refuse(&["ItemReader", "ItemBatcher", "ResultWriter"], ProblemCode::WrongValue, why);
    }
    let tolerances = Tolerances { count, percentage };
    let (keys, scope) = (None, scope?);
    Some(Work::Map(Box::new(MapSpec {
        scope,
        items,
        selector,
        keys,
        concurrency,
        tolerances,
        distributed,
    })))
}
