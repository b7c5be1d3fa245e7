//! Amazon States Language: the machine and what its states have in common.

mod fields;
mod rules;
mod work;

use crate::builder::{Builder, Names, SCOPE_DEPTH_MAX};
use crate::plan::{
    Enter, ExecutionMode, Kind, Language, Leave, Next, ScopeId, ScopeKind, Step, StepId, Work,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::template::{Selector, Template};
use fields::Exprs;

const NAME_CHARS_MAX: usize = 80;

const KINDS: &[(&str, Kind)] = &[
    ("Pass", Kind::Pass),
    ("Task", Kind::Task),
    ("Choice", Kind::Choice),
    ("Wait", Kind::Wait),
    ("Succeed", Kind::Succeed),
    ("Fail", Kind::Fail),
    ("Parallel", Kind::Parallel),
    ("Map", Kind::Map),
];

/// What a state inherits from where it lies.
#[derive(Clone, Copy, Debug)]
struct Around {
    /// The state's.
    language: Language,
    /// The machine's, which nested states have unless they say otherwise.
    machine: Language,
    mode: ExecutionMode,
    depth: usize,
}

/// What the machine says besides its states.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) comment: Option<String>,
    pub(crate) timeout: Option<u64>,
}

pub(crate) fn read(builder: &mut Builder, root: &Place<'_>, mode: ExecutionMode) -> Header {
    let Some(fields) = root.fields() else { return Header::default() };
    let comment = fields.get("Comment").and_then(|place| place.text()).map(ToOwned::to_owned);
    let timeout = fields.get("TimeoutSeconds").and_then(|place| place.integer(1..=99_999_999));
    if let Some(version) = fields.get("Version")
        && version.text() != Some("1.0")
    {
        version.wrong(ProblemCode::WrongValue, "the only version is \"1.0\"");
    }
    let language = language(&fields).unwrap_or(Language::JsonPath);
    scope(
        builder,
        fields,
        ScopeKind::Machine,
        None,
        Around { language, machine: language, mode, depth: 0 },
    );
    Header { comment, timeout: timeout.and_then(|seconds| u64::try_from(seconds).ok()) }
}

fn language(fields: &Fields<'_>) -> Option<Language> {
    let words = [("JSONPath", Language::JsonPath), ("JSONata", Language::Jsonata)];
    fields.get("QueryLanguage")?.word(&words)
}

/// Reads `StartAt` and `States`; other fields were asked for by the caller.
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
        fields.place.wrong(ProblemCode::TooLarge, "branches and iterations are nested too deep");
        return names.scope;
    }
    let mut reserved = Vec::new();
    for entry in states.as_ref().and_then(Place::entries).unwrap_or_default() {
        let Some(states) = &states else { break };
        let place = states.inner(&entry.key, &entry.value);
        if entry.key.is_empty() || entry.key.chars().count() > NAME_CHARS_MAX {
            let said = format!("a state's name has 1 to {NAME_CHARS_MAX} characters");
            place.wrong(ProblemCode::WrongValue, said);
        }
        let id = builder.reserve(&mut names, &entry.key, &place);
        reserved.push((id, entry.key.clone(), place));
    }
    if reserved.is_empty()
        && let Some(states) = &states
    {
        states.wrong(ProblemCode::MissingField, "there is no state");
    }
    if let Some(start) = start.and_then(|place| builder.target(&names, &place)) {
        builder.start(names.scope, start);
    }
    for (id, name, place) in reserved {
        if let Some(step) = state(builder, &names, (id, name), &place, around) {
            builder.fill(id, step);
        }
    }
    fields.finish();
    names.scope
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
    let _comment = fields.get("Comment").and_then(|place| place.text());
    let own = language(&fields);
    if own == Some(Language::JsonPath) && around.machine == Language::Jsonata {
        let said = "a JSONata machine cannot hold JSONPath states";
        fields.place.wrong(ProblemCode::WrongLanguage, said);
    }
    let language = own.unwrap_or(around.machine);
    let around = Around { language, ..around };
    let kind = kind?;
    let exprs = Exprs { language };
    refuse_other_language(&fields, language);
    let work = work::read(builder, names, (id, kind), &fields, around);
    let enter = enter(&fields, kind, language);
    let params = params(&fields, kind, exprs);
    let leave = leave(&fields, kind, exprs);
    let assign = (!matches!(kind, Kind::Succeed | Kind::Fail))
        .then(|| fields.get("Assign"))
        .flatten()
        .map(|place| exprs.assign(&place));
    let handles = matches!(kind, Kind::Task | Kind::Parallel | Kind::Map);
    let (retry, catch) =
        if handles { rules::read(builder, names, &fields, exprs) } else { Default::default() };
    let next = next(builder, names, &fields, kind);
    let (scope, at, path) = (names.scope, place.at(), place.path.clone());
    let sees_context = place.node.mentions("$$");
    fields.finish();
    let (work, next) = (work?, next?);
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

const JSONPATH_ONLY: &[&str] = &[
    "InputPath",
    "OutputPath",
    "ResultPath",
    "ResultSelector",
    "Parameters",
    "Result",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "MaxConcurrencyPath",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentagePath",
    "ErrorPath",
    "CausePath",
];
const JSONATA_ONLY: &[&str] = &["Arguments", "Output", "Items"];

fn refuse_other_language(fields: &Fields<'_>, language: Language) {
    match language {
        Language::Jsonata => {
            let why = "a field of JSONPath in a JSONata state";
            fields.refuse(JSONPATH_ONLY, ProblemCode::WrongLanguage, why);
        }
        Language::JsonPath | Language::Cloud | Language::Fdl => {
            let why = "a field of JSONata in a JSONPath state";
            fields.refuse(JSONATA_ONLY, ProblemCode::WrongLanguage, why);
        }
    }
}

fn params(fields: &Fields<'_>, kind: Kind, exprs: Exprs) -> Option<Template> {
    if exprs.language == Language::Jsonata {
        let has_arguments = matches!(kind, Kind::Task | Kind::Parallel);
        let place = has_arguments.then(|| fields.get("Arguments")).flatten();
        return place.map(|place| exprs.template(&place));
    }
    let has_parameters = matches!(kind, Kind::Task | Kind::Parallel | Kind::Pass);
    let place = has_parameters.then(|| fields.get("Parameters")).flatten();
    place.map(|place| exprs.object(&place))
}

fn enter(fields: &Fields<'_>, kind: Kind, language: Language) -> Enter {
    if language == Language::Jsonata || kind == Kind::Fail {
        return Enter::Whole;
    }
    match fields.get("InputPath") {
        None => Enter::Whole,
        Some(place) => Enter::Select(fields::selector(&place)),
    }
}

fn leave(fields: &Fields<'_>, kind: Kind, exprs: Exprs) -> Leave {
    if exprs.language == Language::Jsonata {
        let output = (kind != Kind::Fail).then(|| fields.get("Output")).flatten();
        return Leave::Output(output.map(|place| exprs.template(&place)));
    }
    let has_result = matches!(kind, Kind::Task | Kind::Parallel | Kind::Map);
    let selector = has_result.then(|| fields.get("ResultSelector")).flatten();
    let selector = selector.map(|place| exprs.object(&place));
    let result = (has_result || kind == Kind::Pass).then(|| fields.get("ResultPath")).flatten();
    let result = fields::result_path(result.as_ref());
    let output = (kind != Kind::Fail).then(|| fields.get("OutputPath")).flatten();
    let output = output.map_or(Selector::Whole, |place| fields::selector(&place));
    Leave::Pipe { selector, result, output }
}

fn next(builder: &Builder, names: &Names, fields: &Fields<'_>, kind: Kind) -> Option<Next> {
    if matches!(kind, Kind::Choice | Kind::Succeed | Kind::Fail) {
        let why = "this type of state has no `Next` or `End`";
        fields.refuse(&["Next", "End"], ProblemCode::UnknownField, why);
        return Some(Next::End);
    }
    let ends = fields.get("End").and_then(|place| {
        let ends = place.boolean();
        if ends == Some(false) {
            place.warn(ProblemCode::WrongValue, "`End: false` says nothing");
        }
        ends
    });
    let next = fields.get("Next");
    match (next, ends) {
        (Some(next), Some(true)) => {
            next.wrong_hint(
                ProblemCode::BothOfTwo,
                "only one of `Next` and `End` may be there",
                "remove one",
            );
            None
        }
        (Some(next), _) => builder.next(names, &next),
        (None, Some(true)) => Some(Next::End),
        (None, _) => {
            let said = "the state goes nowhere: `Next` or `End` is missing";
            fields.place.wrong_hint(
                ProblemCode::MissingField,
                said,
                "add `\"End\": true` or `\"Next\"`",
            );
            None
        }
    }
}

/// Whether a choice is complete is known to its own reader; this is what it leaves for.
fn inner_scope(
    builder: &mut Builder,
    place: &Place<'_>,
    kind: ScopeKind,
    owner: StepId,
    around: Around,
) -> Option<ScopeId> {
    let fields = place.fields()?;
    let own = language(&fields);
    let machine = own.unwrap_or(around.machine);
    let around = Around { machine, depth: around.depth + 1, ..around };
    let _comment = fields.get("Comment").and_then(|place| place.text());
    if matches!(kind, ScopeKind::Iteration) {
        let _config = fields.get("ProcessorConfig");
    }
    Some(scope(builder, fields, kind, Some(owner), around))
}

type Worked = Option<Work>;
