//! `Retry` and `Catch`.

use super::fields::{Exprs, result_path};
use crate::builder::{Builder, Names};
use crate::plan::{CatchRule, CatchShape, Language, RetryRule};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};

const ALL: &str = "States.ALL";
const KNOWN: &[&str] = &[
    ALL,
    "States.Timeout",
    "States.HeartbeatTimeout",
    "States.TaskFailed",
    "States.Permissions",
    "States.ResultPathMatchFailure",
    "States.ParameterPathFailure",
    "States.BranchFailed",
    "States.NoChoiceMatched",
    "States.IntrinsicFailure",
    "States.ExceedToleratedFailureThreshold",
    "States.ItemReaderFailed",
    "States.ResultWriterFailed",
    "States.DataLimitExceeded",
    "States.Runtime",
    "States.QueryEvaluationError",
    "States.Http.Socket",
];

pub(super) fn read(
    builder: &Builder,
    names: &Names,
    fields: &Fields<'_>,
    exprs: Exprs,
) -> (Vec<RetryRule>, Vec<CatchRule>) {
    let retry = fields.get("Retry").and_then(|place| place.list()).unwrap_or_default();
    let last = retry.len().saturating_sub(1);
    let retry =
        retry.iter().enumerate().filter_map(|(at, place)| retrier(place, at == last)).collect();
    let catch = fields.get("Catch").and_then(|place| place.list()).unwrap_or_default();
    let last = catch.len().saturating_sub(1);
    let catch = catch
        .iter()
        .enumerate()
        .filter_map(|(at, place)| catcher(builder, names, place, (exprs, at == last)))
        .collect();
    (retry, catch)
}

fn errors(fields: &Fields<'_>, is_last: bool) -> Option<Vec<String>> {
    let place = fields.need("ErrorEquals")?;
    let listed = place.list()?;
    let names: Vec<_> =
        listed.iter().filter_map(|place| Some((place, place.text()?.to_owned()))).collect();
    if listed.is_empty() {
        place.wrong(ProblemCode::BadErrorRule, "at least one error name is needed");
    }
    for (place, name) in &names {
        if name == ALL && (names.len() > 1 || !is_last) {
            let said = "`States.ALL` stands alone in its list, in the last rule";
            place.wrong(ProblemCode::BadErrorRule, said);
        }
        if name.starts_with("States.") && !KNOWN.contains(&name.as_str()) {
            place.warn(
                ProblemCode::BadErrorRule,
                format!("`{name}` is a reserved name that no error has"),
            );
        }
        if name == "States.Runtime" {
            place.warn(ProblemCode::BadErrorRule, "`States.Runtime` is never retried or caught");
        }
    }
    Some(names.into_iter().map(|(_, name)| name).collect())
}

fn retrier(place: &Place<'_>, is_last: bool) -> Option<RetryRule> {
    let fields = place.fields()?;
    let errors = errors(&fields, is_last);
    let number = |name, range, default| {
        let number = fields.get(name).and_then(|place: Place<'_>| place.integer(range));
        number.unwrap_or(default)
    };
    let interval = number("IntervalSeconds", 1..=99_999_999, 1);
    let attempts = number("MaxAttempts", 0..=99_999_999, 3);
    let delay_max = fields.get("MaxDelaySeconds").and_then(|place| {
        let most = place.integer(1..=31_622_399)?;
        if most <= interval {
            place.warn(
                ProblemCode::BadErrorRule,
                "a cap that is not above `IntervalSeconds` makes every delay the cap",
            );
        }
        Some(crate::value::to_f64(most))
    });
    let rate = fields.get("BackoffRate").and_then(|place| place.float(1.0..=1e9)).unwrap_or(2.0);
    let jitter = fields
        .get("JitterStrategy")
        .and_then(|place| place.word(&[("NONE", false), ("FULL", true)]));
    let _comment = fields.get("Comment").and_then(|place| place.text());
    fields.finish();
    Some(RetryRule {
        errors: errors?,
        interval: crate::value::to_f64(interval),
        rate,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        delay_max,
        has_jitter: jitter.unwrap_or(false),
    })
}

fn catcher(
    builder: &Builder,
    names: &Names,
    place: &Place<'_>,
    (exprs, is_last): (Exprs, bool),
) -> Option<CatchRule> {
    let fields = place.fields()?;
    let errors = errors(&fields, is_last);
    let next = fields.need("Next").and_then(|place| builder.next(names, &place));
    let assign = fields.get("Assign").map(|place| exprs.assign(&place));
    let shape = if exprs.language == Language::Jsonata {
        fields.refuse(
            &["ResultPath"],
            ProblemCode::WrongLanguage,
            "a field of JSONPath in a JSONata state",
        );
        CatchShape::Output(fields.get("Output").map(|place| exprs.template(&place)))
    } else {
        fields.refuse(
            &["Output"],
            ProblemCode::WrongLanguage,
            "a field of JSONata in a JSONPath state",
        );
        CatchShape::Result(result_path(fields.get("ResultPath").as_ref()))
    };
    let _comment = fields.get("Comment").and_then(|place| place.text());
    fields.finish();
    Some(CatchRule { errors: errors?, next: next?, shape, assign })
}
