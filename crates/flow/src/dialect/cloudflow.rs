//! CloudFlow's state machine: a list of states, each with its own name, that shape data with
//! constructors.

mod fields;
mod work;

use crate::builder::{Builder, Names, SCOPE_DEPTH_MAX};
use crate::plan::{
    CatchRule, CatchShape, Enter, ExecutionMode, Kind, Language, Leave, Next, RetryRule, ScopeId,
    ScopeKind, Step, StepId,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use fields::{AFTER, BEFORE, CAUGHT, constructor};

const KINDS: &[(&str, Kind)] = &[
    ("Task", Kind::Task),
    ("Pass", Kind::Pass),
    ("Wait", Kind::Wait),
    ("Succeed", Kind::Succeed),
    ("Fail", Kind::Fail),
    ("Choice", Kind::Choice),
    ("Parallel", Kind::Parallel),
    ("Map", Kind::Map),
];

#[derive(Clone, Copy, Debug)]
struct Around {
    mode: ExecutionMode,
    depth: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) name: Option<String>,
    pub(crate) comment: Option<String>,
}

pub(crate) fn read(builder: &mut Builder, root: &Place<'_>, mode: ExecutionMode) -> Header {
    let Some(fields) = root.fields() else { return Header::default() };
    let _type = fields.need("Type").and_then(|place| place.word(&[("StateMachine", ())]));
    let _version = fields.need("SpecVersion").and_then(|place| place.word(&[("v1", ())]));
    let text =
        |name| fields.get(name).and_then(|place: Place<'_>| place.text()).map(ToOwned::to_owned);
    let (name, comment) = (text("Name"), text("Description"));
    if name.is_none() {
        fields.place.wrong(ProblemCode::MissingField, "`Name` is missing");
    }
    scope(builder, fields, ScopeKind::Machine, None, Around { mode, depth: 0 });
    Header { name, comment }
}

fn scope(
    builder: &mut Builder,
    fields: Fields<'_>,
    kind: ScopeKind,
    owner: Option<StepId>,
    around: Around,
) -> ScopeId {
    let mut names = builder.open(kind, owner);
    let start = fields.need("StartAt");
    let states = fields.need("States");
    if around.depth > SCOPE_DEPTH_MAX {
        fields.place.wrong(ProblemCode::TooLarge, "branches and processors are nested too deep");
        return names.scope;
    }
    let listed = states.as_ref().and_then(Place::list).unwrap_or_default();
    if let Some(states) = &states
        && listed.is_empty()
    {
        states.wrong_hint(
            ProblemCode::MissingField,
            "there is no state",
            "`States` is a list here",
        );
    }
    let mut reserved = Vec::new();
    for place in &listed {
        let name = place.node.entry("Name").and_then(|node| node.text()).unwrap_or_default();
        reserved.push((builder.reserve(&mut names, name, place), name.to_owned()));
    }
    if let Some(start) = start.and_then(|place| builder.target(&names, &place)) {
        builder.start(names.scope, start);
    }
    for ((id, name), place) in reserved.into_iter().zip(&listed) {
        if let Some(step) = state(builder, &names, (id, name), place, around) {
            builder.fill(id, step);
        }
    }
    fields.finish();
    names.scope
}

/// A branch or a processor.
fn inner_scope(
    builder: &mut Builder,
    place: &Place<'_>,
    kind: ScopeKind,
    owner: StepId,
    around: Around,
) -> Option<ScopeId> {
    let fields = place.fields()?;
    if kind == ScopeKind::Iteration {
        let _config = fields.get("ProcessorConfig");
    }
    let around = Around { depth: around.depth + 1, ..around };
    Some(scope(builder, fields, kind, Some(owner), around))
}

fn state(
    builder: &mut Builder,
    names: &Names,
    (id, name): (StepId, String),
    place: &Place<'_>,
    around: Around,
) -> Option<Step> {
    let fields = place.fields()?;
    let kind = fields.need("Type").and_then(|place| place.word(KINDS));
    if fields.need("Name").and_then(|place| place.text()).is_some_and(str::is_empty) {
        fields.place.wrong(ProblemCode::WrongValue, "a state has a name");
    }
    let _description = fields.get("Description").and_then(|place| place.text());
    let kind = kind?;
    let work = work::read(builder, names, (id, kind), &fields, around);
    let build = |name, roots| fields.get(name).map(|place: Place<'_>| constructor(&place, roots));
    let enter = build("InputConstructor", BEFORE).map_or(Enter::Whole, Enter::Shape);
    let leave = Leave::Construct {
        output: build("OutputConstructor", AFTER),
        global: build("GlobalConstructor", AFTER),
    };
    let params = (kind == Kind::Task).then(|| build("Parameters", BEFORE)).flatten();
    let (retry, catch) = if matches!(kind, Kind::Task | Kind::Parallel | Kind::Map) {
        rules(builder, names, &fields)
    } else {
        Default::default()
    };
    let next = next(builder, names, &fields, kind);
    let (scope, at, path) = (names.scope, place.at(), place.path.clone());
    let sees_context = place.node.mentions("$Context");
    fields.finish();
    let (language, assign, work, next) = (Language::Cloud, None, work?, next?);
    Some(Step {
        name,
        kind,
        language,
        scope,
        at,
        path,
        sees_context,
        enter,
        params,
        work,
        leave,
        assign,
        retry,
        catch,
        next,
    })
}

fn next(builder: &Builder, names: &Names, fields: &Fields<'_>, kind: Kind) -> Option<Next> {
    match kind {
        Kind::Choice => {
            let why = "a choice goes where its branches say";
            fields.refuse(&["Next", "End"], ProblemCode::UnknownField, why);
            return Some(Next::End);
        }
        Kind::Succeed | Kind::Fail => {
            fields.refuse(&["Next"], ProblemCode::UnknownField, "this type of state always ends");
            let _end = fields.get("End").and_then(|place| place.boolean());
            return Some(Next::End);
        }
        Kind::Pass | Kind::Task | Kind::Wait | Kind::Parallel | Kind::Map => {}
    }
    let ends = fields.get("End").and_then(|place| place.boolean()).unwrap_or(false);
    match (fields.get("Next"), ends) {
        (Some(next), true) => {
            next.wrong_hint(
                ProblemCode::BothOfTwo,
                "only one of `Next` and `End` may be there",
                "remove one",
            );
            None
        }
        (Some(next), false) => builder.next(names, &next),
        (None, true) => Some(Next::End),
        (None, false) => {
            let said = "the state goes nowhere: `Next` or `End: true` is missing";
            fields.place.wrong(ProblemCode::MissingField, said);
            None
        }
    }
}

fn rules(
    builder: &Builder,
    names: &Names,
    fields: &Fields<'_>,
) -> (Vec<RetryRule>, Vec<CatchRule>) {
    let listed =
        |name| fields.get(name).and_then(|place: Place<'_>| place.list()).unwrap_or_default();
    let retry = listed("Retry").iter().filter_map(retry_rule).collect();
    let catch = |place: &Place<'_>| {
        let fields = place.fields()?;
        let errors = errors(&fields);
        let _description = fields.get("Description").and_then(|place| place.text());
        let next = fields.need("Next").and_then(|place| builder.next(names, &place));
        let output = fields.get("OutputConstructor").map(|place| constructor(&place, CAUGHT));
        fields.finish();
        let shape = CatchShape::Output(output);
        Some(CatchRule { errors: errors?, next: next?, shape, assign: None })
    };
    (retry, listed("Catch").iter().filter_map(catch).collect())
}

fn errors(fields: &Fields<'_>) -> Option<Vec<String>> {
    let place = fields.need("Errors")?;
    let listed = place.list()?;
    if listed.is_empty() {
        place.wrong(ProblemCode::BadErrorRule, "at least one error name is needed");
    }
    Some(listed.iter().filter_map(|place| place.text().map(ToOwned::to_owned)).collect())
}

fn retry_rule(place: &Place<'_>) -> Option<RetryRule> {
    let fields = place.fields()?;
    let errors = errors(&fields);
    let _description = fields.get("Description").and_then(|place| place.text());
    let attempts = fields.need("MaxAttempts").and_then(|place| place.integer(0..=1_000_000));
    let interval = fields.need("IntervalSeconds").and_then(|place| place.integer(0..=86_400));
    let rate = fields.get("BackoffRate").and_then(|place| place.float(1.0..=1e6)).unwrap_or(1.0);
    let most = fields.get("MaxBackoffSeconds").and_then(|place| place.integer(1..=86_400));
    fields.finish();
    Some(RetryRule {
        errors: errors?,
        interval: crate::value::to_f64(interval?),
        rate,
        attempts: u32::try_from(attempts?).unwrap_or(u32::MAX),
        delay_max: most.map(crate::value::to_f64),
        has_jitter: false,
    })
}
