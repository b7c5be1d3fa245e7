//! Backlogs: what waits, pause, resume.

use stint_engine::BacklogReport;
use stint_model::function::Readiness;
use stint_wire::native::{Backlog, Page};
use stint_wire::time::{Time, to_f64};

use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

/// What keeps all tasks of a function from starting until somebody does something about it: a stable
/// word and a sentence.
pub(crate) fn held(call: &Call, function: &str) -> Option<(&'static str, String)> {
    let entry = call.engine().catalog().function(call.caller.account, function)?;
    let function = &entry.function;
    if let Some(disabled) = &function.disabled {
        let refusal = disabled.refusal(&function.name);
        return Some(("disabled", format!("{}; enable it to go on", refusal.message)));
    }
    if function.paused {
        return Some(("paused", "the backlog is paused; resume it to go on".to_owned()));
    }
    let is_fetched = function.readiness == Readiness::Pending;
    is_fetched.then(|| ("preparing", "the function's image is being fetched".to_owned()))
}

/// A backlog as it is shown.
pub(crate) fn view(call: &Call, function: &str, report: &BacklogReport) -> Backlog {
    let entry = call.engine().catalog().function(call.caller.account, function);
    let paused = entry.is_some_and(|entry| entry.function.paused);
    let view = &report.view;
    let put_off = view.delayed + view.held;
    let (held_by, sentence) = held(call, function).unzip();
    Backlog {
        function: function.to_owned(),
        waiting: view.waiting.saturating_sub(put_off),
        delayed: put_off,
        running: u64::from(view.running),
        instances: report.demand.instances,
        wanted: report.demand.wanted,
        starts_per_second: to_f64(report.demand.starts_per_1000s) / 1_000.0,
        load: to_f64(report.demand.load_milli) / 1_000.0,
        by_priority: view.by_priority.to_vec(),
        oldest_at: view.oldest.map(Time),
        paused,
        held_by: held_by.map(str::to_owned),
        sentence,
    }
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let reports = call.engine().backlogs(&call.caller).await?;
    let mut items: Vec<Backlog> =
        reports.iter().map(|(name, report)| view(&call, name, report)).collect();
    items.sort_by(|a, b| {
        (b.waiting + b.delayed, &a.function).cmp(&(a.waiting + a.delayed, &b.function))
    });
    items.truncate(call.query.limit("limit", 1_000, 1_000)?);
    ok(&Page { items, next: None })
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let function = call.param(0);
    let report = call.engine().backlog(&call.caller, function).await?;
    ok(&view(&call, function, &report))
}

pub(crate) async fn pause(call: Call) -> Result<Answer, Problem> {
    call.engine().backlog_pause(&call.caller, call.param(0)).await?;
    get(call).await
}

pub(crate) async fn resume(call: Call) -> Result<Answer, Problem> {
    call.engine().backlog_resume(&call.caller, call.param(0)).await?;
    get(call).await
}
