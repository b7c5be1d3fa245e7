//! FDL v1: lists of steps that run in order. A list becomes a scope; the inline steps of a choice
//! become one too, whose end leads to the choice's `goto`.

mod fields;
mod task;

use crate::builder::{Builder, Names, SCOPE_DEPTH_MAX};
use crate::plan::{
    Enter, ExecutionMode, Items, Kind, Language, Leave, MapSpec, Next, Rule, ScopeId, ScopeKind,
    Step, StepId, Tolerances, WaitFor, Way, When, Work,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::template::Template;
use crate::term;

const KINDS: &[(&str, Kind)] = &[
    ("task", Kind::Task),
    ("pass", Kind::Pass),
    ("wait", Kind::Wait),
    ("choice", Kind::Choice),
    ("parallel", Kind::Parallel),
    ("foreach", Kind::Map),
    ("succeed", Kind::Succeed),
    ("fail", Kind::Fail),
];
/// Branches of one parallel step.
const BRANCHES_MAX: usize = 100;
/// Iterations of one foreach that run at the same moment.
const CONCURRENCY: i64 = 100;
/// A wait of two days is the longest.
const WAIT_SECONDS_MAX: i64 = 2 * 86_400;

#[derive(Clone, Copy, Debug)]
struct Around {
    mode: ExecutionMode,
    depth: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) name: Option<String>,
    pub(crate) timeout: Option<u64>,
    pub(crate) enter: Option<Template>,
    pub(crate) leave: Option<Template>,
}

pub(crate) fn read(builder: &mut Builder, root: &Place<'_>, mode: ExecutionMode) -> Header {
    let Some(fields) = root.fields() else { return Header::default() };
    let versions = [("v1", ()), ("v1beta1", ())];
    let _version = fields.need("version").and_then(|place| place.word(&versions));
    let _type = fields.need("type").and_then(|place| place.word(&[("flow", ())]));
    let name = fields.get("name").and_then(|place| place.text()).map(ToOwned::to_owned);
    let timeout =
        fields.get("timeoutSeconds").and_then(|place| place.integer(1..=i64::from(u32::MAX)));
    let enter = fields.get("inputMappings").map(|place| fields::mappings(&place, fields::FLOW));
    let leave = fields.get("outputMappings").map(|place| fields::mappings(&place, fields::AFTER));
    let timeout = timeout.and_then(|seconds| u64::try_from(seconds).ok());
    if let Some(steps) = fields.need("steps") {
        list(builder, &steps, ScopeKind::Machine, None, Around { mode, depth: 0 });
    }
    fields.finish();
    Header { name, timeout, enter, leave }
}

fn list(
    builder: &mut Builder,
    place: &Place<'_>,
    kind: ScopeKind,
    owner: Option<StepId>,
    around: Around,
) -> Option<ScopeId> {
    let listed = place.list()?;
    let mut names = builder.open(kind, owner);
    if listed.is_empty() {
        place.wrong(ProblemCode::MissingField, "there is no step");
    }
    if around.depth > SCOPE_DEPTH_MAX {
        place.wrong(ProblemCode::TooLarge, "steps are nested too deep");
        return None;
    }
    let mut reserved = Vec::new();
    for place in &listed {
        let name = place.node.entry("name").and_then(|node| node.text()).unwrap_or_default();
        reserved.push((builder.reserve(&mut names, name, place), name.to_owned()));
    }
    if let Some((first, _)) = reserved.first() {
        builder.start(names.scope, *first);
    }
    for (at, place) in listed.iter().enumerate() {
        let following = reserved.get(at + 1).map_or(Next::End, |(id, _)| Next::Step(*id));
        let own = reserved[at].clone();
        if let Some(step) = step(builder, &names, own, place, (following, around)) {
            builder.fill(reserved[at].0, step);
        }
    }
    Some(names.scope)
}

fn step(
    builder: &mut Builder,
    names: &Names,
    (id, name): (StepId, String),
    place: &Place<'_>,
    (following, around): (Next, Around),
) -> Option<Step> {
    let fields = place.fields()?;
    let kind = fields.need("type").and_then(|place| place.word(KINDS));
    if let Some(place) = fields.need("name")
        && let Some(name) = place.text()
        && name.is_empty()
    {
        place.wrong(ProblemCode::WrongValue, "a step has a name");
    }
    let kind = kind?;
    let with_token = kind == Kind::Task;
    let roots = if with_token { fields::TASK } else { fields::BEFORE };
    let enter = match fields.get("inputMappings") {
        Some(place) => Enter::Shape(fields::mappings(&place, roots)),
        None => Enter::Merge,
    };
    let output = fields.get("outputMappings").map(|place| fields::mappings(&place, fields::AFTER));
    let gives_local = !matches!(kind, Kind::Parallel | Kind::Map);
    let leave = Leave::Mappings { output, gives_local };
    let ends = if matches!(kind, Kind::Succeed | Kind::Fail) {
        fields.refuse(&["end"], ProblemCode::UnknownField, "this type of step always ends");
        true
    } else {
        fields.get("end").and_then(|place| place.boolean()).unwrap_or(false)
    };
    let next = if ends { Next::End } else { following };
    let mut params = None;
    let (mut retry, mut catch) = (Vec::new(), Vec::new());
    let work = match kind {
        Kind::Pass => Some(Work::Pass { result: None }),
        Kind::Succeed => Some(Work::Succeed),
        Kind::Fail => Some(fail(&fields)),
        Kind::Wait => wait(&fields),
        Kind::Choice => choice(builder, names, id, &fields, (next, around)),
        Kind::Parallel => parallel(builder, id, &fields, around),
        Kind::Map => foreach(builder, id, &fields, around),
        Kind::Task => {
            params = fields.get("serviceParams").map(|place| fields::params(&place));
            (retry, catch) = task::rules(builder, names, &fields);
            task::task(&fields, around.mode)
        }
    };
    if !matches!(kind, Kind::Task) {
        let why =
            "only task steps have this; wrap the step in a child flow and handle its errors there";
        fields.refuse(&["retry", "catch"], ProblemCode::BadErrorRule, why);
    }
    let (scope, at, path) = (names.scope, place.at(), place.path.clone());
    let sees_context = place.node.mentions("$context");
    fields.finish();
    let (language, assign, work) = (Language::Fdl, None, work?);
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

fn fail(fields: &Fields<'_>) -> Work {
    let text = |name| {
        let text = fields.get(name).and_then(|place: Place<'_>| place.text());
        text.map(|text| Template::Const(Value::String(text.to_owned())))
    };
    Work::Fail { error: text("error"), cause: text("cause") }
}

fn wait(fields: &Fields<'_>) -> Option<Work> {
    let Some(place) = fields.one_of(&["duration", "timestamp"]) else {
        fields.place.wrong(ProblemCode::MissingField, "a wait has `duration` or `timestamp`");
        return None;
    };
    let by_path = place.node.text().filter(|text| text.starts_with('$'));
    let template = match by_path {
        Some(text) => fields::path(&place, text)?,
        None if place.name() == "duration" => {
            place.integer(0..=WAIT_SECONDS_MAX)?;
            Template::Const(place.value())
        }
        None => {
            let text = place.text()?;
            if crate::stamp::parse(text).is_none() {
                place
                    .wrong(ProblemCode::BadTimestamp, format!("`{text}` is no RFC 3339 timestamp"));
            }
            Template::Const(place.value())
        }
    };
    let is_duration = place.name() == "duration";
    Some(Work::Wait(if is_duration {
        WaitFor::Seconds(template)
    } else {
        WaitFor::Until(template)
    }))
}

fn choice(
    builder: &mut Builder,
    names: &Names,
    id: StepId,
    fields: &Fields<'_>,
    (next, around): (Next, Around),
) -> Option<Work> {
    let place = fields.need("choices")?;
    let mut rules = Vec::new();
    for place in place.list()? {
        let fields = place.fields()?;
        let condition = fields.need("condition").and_then(|place| {
            let parsed = term::condition(place.text()?);
            let hint = "such as $.status == \"ready\" && $.n <= 3";
            parsed.map_err(|said| place.wrong_hint(ProblemCode::BadExpression, said, hint)).ok()
        });
        let way = way(builder, names, id, &fields, (next, around));
        fields.finish();
        rules.push(Rule { when: When::Term(condition?), way: way? });
    }
    if rules.is_empty() {
        place.wrong(ProblemCode::MissingField, "there is no choice");
    }
    let default = match fields.get("default") {
        Some(place) => {
            let fields = place.fields()?;
            let way = way(builder, names, id, &fields, (next, around));
            fields.finish();
            way?
        }
        // Nothing matches and there is no default: the choice just ends.
        None => Way { next, block: None, output: None, assign: None },
    };
    Some(Work::Choice { rules, default: Some(default) })
}

fn way(
    builder: &mut Builder,
    names: &Names,
    id: StepId,
    fields: &Fields<'_>,
    (next, around): (Next, Around),
) -> Option<Way> {
    let block = match fields.get("steps") {
        Some(place) => {
            let around = Around { depth: around.depth + 1, ..around };
            Some(list(builder, &place, ScopeKind::Block, Some(id), around)?)
        }
        None => None,
    };
    let next = match fields.get("goto") {
        Some(place) => builder.next(names, &place)?,
        None => next,
    };
    Some(Way { next, block, output: None, assign: None })
}

fn parallel(
    builder: &mut Builder,
    id: StepId,
    fields: &Fields<'_>,
    around: Around,
) -> Option<Work> {
    let place = fields.need("branches")?;
    let listed = place.list()?;
    if listed.is_empty() || listed.len() > BRANCHES_MAX {
        place.wrong(ProblemCode::WrongValue, format!("1 to {BRANCHES_MAX} branches are expected"));
    }
    let around = Around { depth: around.depth + 1, ..around };
    let mut branches = Vec::new();
    for (at, place) in listed.iter().enumerate() {
        let fields = place.fields()?;
        let scope = fields
            .need("steps")
            .and_then(|place| list(builder, &place, ScopeKind::Branch(at), Some(id), around));
        fields.finish();
        branches.extend(scope);
    }
    (branches.len() == listed.len() && !branches.is_empty()).then_some(Work::Parallel(branches))
}

fn foreach(builder: &mut Builder, id: StepId, fields: &Fields<'_>, around: Around) -> Option<Work> {
    let around = Around { depth: around.depth + 1, ..around };
    let scope = fields
        .need("steps")
        .and_then(|place| list(builder, &place, ScopeKind::Iteration, Some(id), around));
    let mapping = fields.need("iterationMapping")?;
    let inner = mapping.fields()?;
    let collection = inner.need("collection").and_then(|place| fields::path(&place, place.text()?));
    let key = |name: &'static str, default: &str| {
        let text = inner.get(name).and_then(|place: Place<'_>| place.text());
        text.unwrap_or(default).to_owned()
    };
    let keys = Some((key("item", "item"), key("index", "index")));
    inner.finish();
    Some(Work::Map(Box::new(MapSpec {
        scope: scope?,
        items: Items::Template(collection?),
        selector: None,
        keys,
        concurrency: Some(Template::Const(Value::from(CONCURRENCY))),
        tolerances: Tolerances::default(),
        distributed: None,
    })))
}
