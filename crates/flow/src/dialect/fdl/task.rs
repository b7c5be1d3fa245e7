//! Task steps of FDL: what is called, and what happens when it fails.

use super::fields;
use crate::builder::{Builder, Names};
use crate::plan::{
    CallMode, CatchRule, CatchShape, ExecutionMode, Resource, RetryRule, Task, Work,
};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::resource;
use crate::template::Template;

pub(super) fn task(fields: &Fields<'_>, mode: ExecutionMode) -> Option<Work> {
    let patterns = [
        ("requestResponse", CallMode::Request),
        ("sync", CallMode::Follow),
        ("waitForCallback", CallMode::Callback),
    ];
    let pattern = fields.get("pattern");
    let call = pattern.as_ref().map_or(Some(CallMode::Request), |place| place.word(&patterns));
    let timeout = fields.get("timeoutSeconds").and_then(|place| {
        place.integer(1..=99_999_999).map(|seconds| Template::Const(Value::from(seconds)))
    });
    let Some(place) = fields.one_of(&["resourceArn", "action"]) else {
        fields.place.wrong(ProblemCode::MissingField, "`resourceArn` is missing");
        return None;
    };
    let text = place.text()?;
    let resource = if place.name() == "action" {
        resource::action(text).ok_or_else(|| format!("`{text}` is no product:Api"))
    } else {
        resource::acs(text)
    };
    let resource = resource.map_err(|said| place.wrong(ProblemCode::BadResource, said)).ok()?;
    let call = call?;
    if call == CallMode::Follow && !can_be_followed(&resource) {
        let said = "`sync` waits for child flows only";
        pattern.as_ref().unwrap_or(&place).wrong(ProblemCode::WrongValue, said);
    }
    if mode == ExecutionMode::Express && call != CallMode::Request {
        let said = "an Express flow only makes calls that answer";
        pattern.as_ref().unwrap_or(&place).wrong(ProblemCode::NotInExpress, said);
    }
    Some(Work::Task(Task { resource, mode: call, timeout, heartbeat: None, credentials: None }))
}

fn can_be_followed(resource: &Resource) -> bool {
    match resource {
        Resource::Flow { .. } => true,
        Resource::Service { product, api } => product == "fnf" && api == "StartExecution",
        Resource::Function { .. } | Resource::Activity { .. } => false,
    }
}

pub(super) fn rules(
    builder: &Builder,
    names: &Names,
    fields: &Fields<'_>,
) -> (Vec<RetryRule>, Vec<CatchRule>) {
    let retry = fields.get("retry").and_then(|place| place.list()).unwrap_or_default();
    let retry = retry.iter().filter_map(policy).collect();
    let shape = fields.get("errorMappings").map(|place| fields::mappings(&place, fields::ERROR));
    let place = fields.get("catch");
    let listed = place.as_ref().and_then(Place::list).unwrap_or_default();
    let handler = |place: &Place<'_>| {
        let fields = place.fields()?;
        let errors = errors(&fields);
        let next = fields.need("goto").and_then(|place| builder.next(names, &place));
        fields.refuse(
            &["steps"],
            ProblemCode::UnknownField,
            "give the handler as a step and `goto` it",
        );
        fields.finish();
        let shape = CatchShape::Output(shape.clone());
        Some(CatchRule { errors: errors?, next: next?, shape, assign: None })
    };
    let catch: Vec<_> = listed.iter().filter_map(handler).collect();
    (retry, catch)
}

fn errors(fields: &Fields<'_>) -> Option<Vec<String>> {
    let place = fields.need("errors")?;
    let listed = place.list()?;
    if listed.is_empty() {
        place.wrong(ProblemCode::BadErrorRule, "at least one error name is needed");
    }
    Some(listed.iter().filter_map(|place| place.text().map(ToOwned::to_owned)).collect())
}

fn policy(place: &Place<'_>) -> Option<RetryRule> {
    let fields = place.fields()?;
    let errors = errors(&fields);
    let number = |name, range, default| {
        let number = fields.get(name).and_then(|place: Place<'_>| place.integer(range));
        number.unwrap_or(default)
    };
    let interval = number("intervalSeconds", 1..=86_400, 1);
    let attempts = number("maxAttempts", 0..=1_000_000, 3);
    let rate = fields.get("multiplier").and_then(|place| place.float(1.0..=1e6)).unwrap_or(2.0);
    let most = fields.get("maxIntervalSeconds").and_then(|place| place.integer(1..=86_400));
    fields.finish();
    Some(RetryRule {
        errors: errors?,
        interval: crate::value::to_f64(interval),
        rate,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        delay_max: most.map(crate::value::to_f64),
        has_jitter: false,
    })
}
