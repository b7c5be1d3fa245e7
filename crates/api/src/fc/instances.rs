//! `ListInstances` (§1.20).

use stint_model::link::{InstanceReport, InstanceState};
use stint_model::time::Timestamp;
use stint_wire::fc::{Instance, InstanceList};

use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

pub(crate) fn list(call: &Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let reports = call.engine().instances(&call.caller, Some(call.param(0)))?;
    let statuses = query.texts("instanceStatus")?;
    let statuses: Vec<_> =
        statuses.iter().map(|status| status_of(status)).collect::<Result<_, _>>()?;
    let ids = query.texts("instanceIds")?;
    let from = query.read::<i64>("startTimeMs")?.map(Timestamp::from_millis);
    let until = query.read::<i64>("endTimeMs")?.map(Timestamp::from_millis);
    let start = query.get("startKey").unwrap_or("");
    let limit = query.limit("limit", 20, 100)?;
    // Without a filter only what lives is shown, as this says explicitly.
    query.maybe_flag("withAllActive")?;
    let all = !statuses.is_empty() || !ids.is_empty() || from.is_some() || until.is_some();
    let version = version_of(call)?;
    let instances = reports
        .iter()
        .filter(|report| all || report.state != InstanceState::Destroyed)
        .filter(|report| version.as_ref().is_none_or(|version| **version == *report.version))
        .filter(|report| statuses.is_empty() || statuses.contains(&word(report.state)))
        .filter(|report| ids.is_empty() || ids.contains(&report.instance.to_string()))
        .filter(|report| from.is_none_or(|from| report.created_at >= from))
        .filter(|report| until.is_none_or(|until| report.created_at <= until))
        .map(view)
        .filter(|instance| instance.instance_id.as_str() > start)
        .take(limit)
        .collect();
    ok(&InstanceList { instances, request_id: call.request_id.to_string() })
}

/// Which version's instances are asked for: what the qualifier means now, if one is given.
fn version_of(call: &Call) -> Result<Option<String>, Problem> {
    let Some(qualifier) = call.query.get("qualifier") else { return Ok(None) };
    let entry = call.engine().catalog().function(call.caller.account, call.param(0));
    let Some(entry) = entry else { return Ok(None) };
    let target = entry.resolve(qualifier, 1_000_000)?;
    Ok(Some(target.version_label.to_string()))
}

fn status_of(text: &str) -> Result<&'static str, Problem> {
    let words = ["Running", "Terminating", "Destroyed"];
    words.into_iter().find(|word| word.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let message = format!("instanceStatus is Running, Terminating or Destroyed, not {text:?}");
        Problem::invalid(message)
    })
}

fn word(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Creating | InstanceState::Running => "Running",
        InstanceState::Terminating => "Terminating",
        InstanceState::Destroyed => "Destroyed",
    }
}

fn view(report: &InstanceReport) -> Instance {
    let latest = *report.version == *stint_model::function::LATEST;
    Instance {
        instance_id: report.instance.to_string(),
        version_id: if latest { "0".to_owned() } else { report.version.to_string() },
        qualifier: report.version.to_string(),
        status: word(report.state).to_owned(),
        resource_type: "on-demand".to_owned(),
        created_time_ms: report.created_at.millis(),
        destroyed_time_ms: report.destroyed_at.millis(),
    }
}
