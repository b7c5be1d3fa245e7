//! What each type of state does.

use super::fields::{self, Exprs, literal};
use super::{Around, Worked, inner_scope};
use crate::builder::{Builder, Names};
use crate::choice::{Against, Operator, Test, comparator, pattern, property};
use crate::path::Path;
use crate::plan::{
    CallMode, Distributed, ExecutionMode, Items, Kind, Language, MapSpec, Rule, SECONDS_MAX,
    ScopeKind, StepId, Task, Tolerances, WaitFor, Way, When, Work,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::resource;
use crate::scan::NESTING_MAX;
use crate::template::Template;

pub(super) fn read(
    builder: &mut Builder,
    names: &Names,
    (id, kind): (StepId, Kind),
    fields: &Fields<'_>,
    around: Around,
) -> Worked {
    let exprs = Exprs { language: around.language };
    match kind {
        Kind::Pass => {
            let is_path = around.language == Language::JsonPath;
            let result = is_path.then(|| fields.get("Result")).flatten();
            Some(Work::Pass { result: result.map(|place| place.value()) })
        }
        Kind::Task => task(fields, exprs, around.mode),
        Kind::Choice => choice(builder, names, fields, exprs),
        Kind::Wait => wait(fields, exprs),
        Kind::Succeed => Some(Work::Succeed),
        Kind::Fail => Some(fail(fields, exprs)),
        Kind::Parallel => parallel(builder, id, fields, around),
        Kind::Map => map(builder, id, fields, around),
    }
}

fn task(fields: &Fields<'_>, exprs: Exprs, mode: ExecutionMode) -> Worked {
    let place = fields.need("Resource");
    let resource = place.as_ref().and_then(|place| {
        let read = resource::states(place.text()?);
        read.map_err(|said| place.wrong(ProblemCode::BadResource, said)).ok()
    });
    let seconds = fields::whole(1..=99_999_999);
    let timeout = exprs.scalar(fields, "TimeoutSeconds", "TimeoutSecondsPath", &seconds);
    let heartbeat = exprs.scalar(fields, "HeartbeatSeconds", "HeartbeatSecondsPath", &seconds);
    if let (Some(timeout), Some(heartbeat)) =
        (literal(timeout.as_ref()), literal(heartbeat.as_ref()))
        && heartbeat >= timeout
        && let Some(place) = fields.get("HeartbeatSeconds")
    {
        place.wrong(ProblemCode::WrongValue, "`HeartbeatSeconds` must be below `TimeoutSeconds`");
    }
    let credentials = fields.get("Credentials").map(|place| exprs.object(&place));
    let (resource, call) = resource?;
    if mode == ExecutionMode::Express
        && call != CallMode::Request
        && let Some(place) = &place
    {
        let said = "an Express flow has no callbacks, activities or `.sync` calls";
        place.wrong(ProblemCode::NotInExpress, said);
    }
    Some(Work::Task(Task { resource, mode: call, timeout, heartbeat, credentials }))
}

fn wait(fields: &Fields<'_>, exprs: Exprs) -> Worked {
    let mut all = vec!["Seconds", "Timestamp"];
    if exprs.language == Language::JsonPath {
        all.extend(["SecondsPath", "TimestampPath"]);
    }
    let Some(place) = fields.one_of(&all) else {
        let said = format!("a wait has one of {}", all.join(", "));
        fields.place.wrong(ProblemCode::MissingField, said);
        return None;
    };
    let template = if place.name().starts_with("Seconds") {
        let check = fields::whole(0..=99_999_999);
        exprs.scalar(fields, "Seconds", "SecondsPath", &check).map(WaitFor::Seconds)
    } else {
        exprs.scalar(fields, "Timestamp", "TimestampPath", &fields::timestamp).map(WaitFor::Until)
    };
    template.map(Work::Wait)
}

fn fail(fields: &Fields<'_>, exprs: Exprs) -> Work {
    let text = |place: &Place<'_>| {
        place.text();
    };
    Work::Fail {
        error: exprs.scalar(fields, "Error", "ErrorPath", &text),
        cause: exprs.scalar(fields, "Cause", "CausePath", &text),
    }
}

fn parallel(builder: &mut Builder, id: StepId, fields: &Fields<'_>, around: Around) -> Worked {
    let place = fields.need("Branches")?;
    let listed = place.list()?;
    if listed.is_empty() {
        place.wrong(ProblemCode::MissingField, "there is no branch");
    }
    let read = |(at, place): (usize, &Place<'_>)| {
        inner_scope(builder, place, ScopeKind::Branch(at), id, around)
    };
    let branches: Vec<_> = listed.iter().enumerate().map(read).collect();
    let branches: Option<Vec<_>> = branches.into_iter().collect();
    branches.filter(|branches| !branches.is_empty()).map(Work::Parallel)
}

fn choice(builder: &Builder, names: &Names, fields: &Fields<'_>, exprs: Exprs) -> Worked {
    let place = fields.need("Choices")?;
    let listed = place.list()?;
    if listed.is_empty() {
        place.wrong(ProblemCode::MissingField, "there is no rule");
    }
    let rules: Vec<_> = listed.iter().map(|place| rule(builder, names, place, exprs)).collect();
    let default = fields.get("Default");
    let is_broken = default.is_some();
    let default = default.and_then(|place| builder.next(names, &place));
    let is_broken = is_broken && default.is_none();
    // What the default way assigns and gives is what the state itself says.
    let default = default.map(|next| Way { next, block: None, output: None, assign: None });
    let rules: Option<Vec<_>> = rules.into_iter().collect();
    let rules = rules?;
    (!is_broken).then_some(Work::Choice { rules, default })
}

fn rule(builder: &Builder, names: &Names, place: &Place<'_>, exprs: Exprs) -> Option<Rule> {
    let fields = place.fields()?;
    let next = fields.need("Next").and_then(|place| builder.next(names, &place));
    let assign = fields.get("Assign").map(|place| exprs.assign(&place));
    let _comment = fields.get("Comment").and_then(|place| place.text());
    let (when, output) = if exprs.language == Language::Jsonata {
        let output = fields.get("Output").map(|place| exprs.template(&place));
        let condition = fields.need("Condition").and_then(|place| Exprs::condition(&place));
        (condition.map(When::Jsonata), output)
    } else {
        (test(&fields, 0).map(When::Test), None)
    };
    fields.finish();
    Some(Rule { when: when?, way: Way { next: next?, block: None, output, assign } })
}

fn test(fields: &Fields<'_>, depth: usize) -> Option<Test> {
    if depth > NESTING_MAX {
        fields.place.wrong(ProblemCode::TooLarge, "rules are nested too deep");
        return None;
    }
    if let Some(place) = fields.one_of(&["And", "Or", "Not"]) {
        for name in ["Variable", "Condition"] {
            if let Some(both) = fields.get(name) {
                both.wrong(ProblemCode::BothOfTwo, format!("`{name}` beside `{}`", place.name()));
            }
        }
        if place.name() == "Not" {
            return nested(&place, depth).map(|test| Test::Not(Box::new(test)));
        }
        let listed = place.list()?;
        if listed.is_empty() {
            place.wrong(ProblemCode::MissingField, "there is no rule");
        }
        let tests: Vec<_> = listed.iter().map(|place| nested(place, depth)).collect();
        let tests: Option<Vec<_>> = tests.into_iter().collect();
        return tests.map(if place.name() == "And" { Test::And } else { Test::Or });
    }
    let variable = fields.need("Variable");
    let path = variable.and_then(|place| path(&place));
    let operator = operator(fields);
    Some(Test::One(path?, operator?))
}

fn nested(place: &Place<'_>, depth: usize) -> Option<Test> {
    let fields = place.fields()?;
    if let Some(next) = fields.get("Next") {
        next.wrong(ProblemCode::UnknownField, "a nested rule has no `Next`");
    }
    let _comment = fields.get("Comment").and_then(|place| place.text());
    let test = test(&fields, depth + 1);
    fields.finish();
    test
}

fn path(place: &Place<'_>) -> Option<Path> {
    let parsed = Path::parse(place.text()?);
    parsed.map_err(|said| place.wrong(ProblemCode::BadPath, said)).ok()
}

const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringEqualsPath",
    "StringLessThan",
    "StringLessThanPath",
    "StringGreaterThan",
    "StringGreaterThanPath",
    "StringLessThanEquals",
    "StringLessThanEqualsPath",
    "StringGreaterThanEquals",
    "StringGreaterThanEqualsPath",
    "StringMatches",
    "NumericEquals",
    "NumericEqualsPath",
    "NumericLessThan",
    "NumericLessThanPath",
    "NumericGreaterThan",
    "NumericGreaterThanPath",
    "NumericLessThanEquals",
    "NumericLessThanEqualsPath",
    "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath",
    "BooleanEquals",
    "BooleanEqualsPath",
    "TimestampEquals",
    "TimestampEqualsPath",
    "TimestampLessThan",
    "TimestampLessThanPath",
    "TimestampGreaterThan",
    "TimestampGreaterThanPath",
    "TimestampLessThanEquals",
    "TimestampLessThanEqualsPath",
    "TimestampGreaterThanEquals",
    "TimestampGreaterThanEqualsPath",
    "IsNull",
    "IsPresent",
    "IsNumeric",
    "IsString",
    "IsBoolean",
    "IsTimestamp",
];

fn operator(fields: &Fields<'_>) -> Option<Operator> {
    let Some(place) = fields.one_of(OPERATORS) else {
        fields
            .place
            .wrong(ProblemCode::MissingField, "the rule compares nothing: a comparator is missing");
        return None;
    };
    let name = place.name();
    if let Some(property) = property(name) {
        return place.boolean().map(|wanted| Operator::Is(property, wanted));
    }
    if name == "StringMatches" {
        let pieces = pattern(place.text()?);
        let pieces = pieces.map_err(|said| place.wrong(ProblemCode::BadExpression, said)).ok()?;
        return Some(Operator::Matches(pieces));
    }
    let (sort, orders, by_path) = comparator(name)?;
    if by_path {
        return path(&place).map(|path| Operator::Compare(sort, orders, Against::Path(path)));
    }
    let value = place.value();
    if !sort.takes(&value) {
        let code = if name.starts_with("Timestamp") && value.is_string() {
            ProblemCode::BadTimestamp
        } else {
            ProblemCode::WrongType
        };
        place.wrong(code, format!("`{name}` cannot compare with {value}"));
        return None;
    }
    Some(Operator::Compare(sort, orders, Against::Value(value)))
}

fn map(builder: &mut Builder, id: StepId, fields: &Fields<'_>, around: Around) -> Worked {
    let exprs = Exprs { language: around.language };
    let Some(processor) = fields.one_of(&["ItemProcessor", "Iterator"]) else {
        fields.place.wrong(ProblemCode::MissingField, "`ItemProcessor` is missing");
        return None;
    };
    let config = processor
        .node
        .entry("ProcessorConfig")
        .map(|node| processor.inner("ProcessorConfig", node));
    let distributed = config.and_then(|config| config_of(&config)).flatten();
    let scope = inner_scope(builder, &processor, ScopeKind::Iteration, id, around);
    if distributed.is_some() && around.mode == ExecutionMode::Express {
        fields.place.wrong(ProblemCode::NotInExpress, "an Express flow has no distributed map");
    }
    let concurrency = exprs.scalar(
        fields,
        "MaxConcurrency",
        "MaxConcurrencyPath",
        &fields::whole(0..=SECONDS_MAX),
    );
    let selector = match exprs.language {
        Language::JsonPath => fields.one_of(&["ItemSelector", "Parameters"]),
        Language::Jsonata | Language::Cloud | Language::Fdl => fields.get("ItemSelector"),
    };
    let selector = selector.map(|place| exprs.template(&place));
    let mut items = items(fields, exprs);
    let (spread, tolerances) = spread(fields, exprs, distributed);
    if spread.as_ref().is_some_and(|spread| spread.reader.is_some()) {
        items = Items::Read;
    }
    let (keys, scope) = (None, scope?);
    Some(Work::Map(Box::new(MapSpec {
        scope,
        items,
        selector,
        keys,
        concurrency,
        tolerances,
        distributed: spread,
    })))
}

fn items(fields: &Fields<'_>, exprs: Exprs) -> Items {
    if exprs.language == Language::Jsonata {
        return fields.get("Items").map_or(Items::Whole, |place| {
            let template = exprs.template(&place);
            if matches!(template.constant(), Some(value) if !value.is_array() && !value.is_object())
            {
                place.wrong(ProblemCode::WrongType, "a list or an expression is expected");
            }
            Items::Template(template)
        });
    }
    let leaf = fields.get("ItemsPath").and_then(|place| fields::path_field(&place));
    leaf.map_or(Items::Whole, |leaf| Items::Template(Template::Leaf(leaf)))
}

/// `Some(Some(mode))` for a distributed map.
fn config_of(config: &Place<'_>) -> Option<Option<ExecutionMode>> {
    let fields = config.fields()?;
    let is_distributed = fields
        .get("Mode")
        .and_then(|place| place.word(&[("INLINE", false), ("DISTRIBUTED", true)]));
    let modes = [("STANDARD", ExecutionMode::Standard), ("EXPRESS", ExecutionMode::Express)];
    let mode = fields.get("ExecutionType").and_then(|place| place.word(&modes));
    fields.finish();
    Some(is_distributed.unwrap_or(false).then(|| mode.unwrap_or_default()))
}

/// The fields that only a distributed map has; an inline one may carry the tolerances, which say
/// nothing there.
fn spread(
    fields: &Fields<'_>,
    exprs: Exprs,
    mode: Option<ExecutionMode>,
) -> (Option<Distributed>, Tolerances) {
    let percent = |place: &Place<'_>| {
        place.float(0.0..=100.0);
    };
    let count = exprs.scalar(
        fields,
        "ToleratedFailureCount",
        "ToleratedFailureCountPath",
        &fields::whole(0..=SECONDS_MAX),
    );
    let percentage = exprs.scalar(
        fields,
        "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath",
        &percent,
    );
    let tolerances = Tolerances { count, percentage };
    let Some(mode) = mode else {
        let why = "only a distributed map has this; set `ProcessorConfig.Mode` to `DISTRIBUTED`";
        fields.refuse(
            &["ItemReader", "ItemBatcher", "ResultWriter", "Label"],
            ProblemCode::WrongValue,
            why,
        );
        return (None, tolerances);
    };
    let label = fields.get("Label").and_then(|place| label(&place));
    let template = |name| fields.get(name).map(|place: Place<'_>| exprs.object(&place));
    let reader = fields.get("ItemReader").map(|place| reader(&place, exprs));
    let spread = Distributed {
        mode,
        label,
        reader,
        writer: template("ResultWriter"),
        items_max: None,
        batch: fields.get("ItemBatcher").map(|place| batcher(&place, exprs)),
    };
    (Some(spread), tolerances)
}

fn label(place: &Place<'_>) -> Option<String> {
    let text = place.text()?;
    let is_bad =
        |c: char| c.is_whitespace() || c.is_control() || "*?<>{}[]\"#%\\^|~`$&,;:/".contains(c);
    if text.is_empty() || text.chars().count() > 40 || text.contains(is_bad) {
        let said = "a label has 1 to 40 characters, no spaces, wildcards or brackets";
        place.wrong(ProblemCode::WrongValue, said);
    }
    Some(text.to_owned())
}

fn reader(place: &Place<'_>, exprs: Exprs) -> Template {
    if let Some(fields) = place.fields() {
        let _resource = fields.need("Resource").and_then(|place| place.text());
        let _parameters = fields.one_of(&["Parameters", "Arguments"]);
        if let Some(config) = fields.get("ReaderConfig").and_then(|place| place.fields()) {
            let kinds = ["CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"].map(|kind| (kind, ()));
            let _kind = config.get("InputType").and_then(|place| place.word(&kinds));
            let _both = config.one_of(&["MaxItems", "MaxItemsPath"]);
            let header = [("FIRST_ROW", false), ("GIVEN", true)];
            let given = config.get("CSVHeaderLocation").and_then(|place| place.word(&header));
            let headers = config.get("CSVHeaders");
            if given == Some(true) && headers.is_none() {
                config.place.wrong(ProblemCode::MissingField, "`CSVHeaders` is missing");
            }
            let words = ["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"].map(|word| (word, ()));
            let _delimiter = config.get("CSVDelimiter").and_then(|place| place.word(&words));
            let _more = (
                config.get("ItemsPointer"),
                config.get("ManifestType"),
                config.get("Transformation"),
            );
            config.finish();
        }
        fields.finish();
    }
    numbered(exprs.object(place), place)
}

fn batcher(place: &Place<'_>, exprs: Exprs) -> Template {
    if let Some(fields) = place.fields() {
        let count = fields.one_of(&["MaxItemsPerBatch", "MaxItemsPerBatchPath"]);
        let bytes = fields.one_of(&["MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"]);
        if count.is_none() && bytes.is_none() {
            let said = "`MaxItemsPerBatch` or `MaxInputBytesPerBatch` is missing";
            fields.place.wrong(ProblemCode::MissingField, said);
        }
        let _input = fields.get("BatchInput");
        fields.finish();
    }
    numbered(exprs.object(place), place)
}

/// `…Path` fields become the field they stand for.
fn numbered(template: Template, place: &Place<'_>) -> Template {
    let Template::Object(entries) = template else {
        return match template.constant() {
            Some(Value::Object(map))
                if map.keys().any(|key| is_by_path(key)) || map.contains_key("ReaderConfig") =>
            {
                let entries =
                    map.iter().map(|(key, value)| (key.clone(), Template::Const(value.clone())));
                numbered(Template::Object(entries.collect()), place)
            }
            _ => template,
        };
    };
    let entries = entries.into_iter().map(|(key, template)| {
        let inner = place.node.entry(&key).map(|node| place.inner(&key, node));
        match (key.strip_suffix("Path"), inner) {
            (Some(name), Some(inner)) if is_by_path(&key) => {
                let leaf = fields::path_field(&inner);
                (name.to_owned(), leaf.map_or(Template::Const(Value::Null), Template::Leaf))
            }
            (_, Some(inner)) if key == "ReaderConfig" => (key, numbered(template, &inner)),
            _ => (key, template),
        }
    });
    Template::Object(entries.collect()).folded()
}

fn is_by_path(key: &str) -> bool {
    ["MaxItemsPath", "MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"].contains(&key)
}
