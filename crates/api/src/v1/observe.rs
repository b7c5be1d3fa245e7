//! What goes on: overview, instances, runtimes, audit, settings.

use std::collections::BTreeMap;

use stint_engine::access::Operation;
use stint_engine::control::audit::AuditQuery;
use stint_model::code::Code;
use stint_model::id::AccountId;
use stint_model::link::{InstanceReport, InstanceState, StopWhen};
use stint_wire::native::{AuditEntry, Backlog, Instance, Node, Overview, Page, Runtime, Setting};
use stint_wire::time::Time;

use super::backlogs;
use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

/// The longest backlogs that an overview shows.
const BACKLOGS_MAX: usize = 50;

pub(crate) async fn overview(call: Call) -> Result<Answer, Problem> {
    let seen = call.engine().overview(&call.caller).await?;
    let mut shown: Vec<Backlog> =
        seen.backlogs.iter().map(|(name, report)| backlogs::view(&call, name, report)).collect();
    shown.sort_by(|a, b| {
        (b.waiting + b.delayed, &a.function).cmp(&(a.waiting + a.delayed, &b.function))
    });
    let sum = |field: fn(&Backlog) -> u64| shown.iter().map(field).sum::<u64>();
    let (waiting, delayed, running) = (sum(|b| b.waiting), sum(|b| b.delayed), sum(|b| b.running));
    shown.truncate(BACKLOGS_MAX);
    let account = call.caller.account;
    // Figures of the whole server are for those who run it.
    let operates = account == AccountId::ROOT;
    let figures = if operates { (call.door.metrics)() } else { String::new() };
    let figure = |name: &str| total(&figures, name);
    let nodes = seen.nodes.iter().map(|node| Node {
        id: node.node.0.to_string(),
        cpu: f64::from(node.capacity.cpu_milli) / 1_000.0,
        memory_mb: node.capacity.memory_mb,
        cpu_used: f64::from(node.load.used.cpu_milli) / 1_000.0,
        memory_mb_used: node.load.used.memory_mb,
        instances: node.load.instances,
        starting: node.load.starting,
        running: node.load.running,
        running_online: node.load.online,
    });
    let ended = figure("stint_tasks_ended_total{");
    let succeeded = figure("stint_tasks_ended_total{state=\"Succeeded\"}");
    ok(&Overview {
        now: Time(call.engine().clock().now()),
        started_at: Time(call.door.started_at),
        version: call.door.version.clone(),
        functions: call.engine().catalog().functions_count(account) as u64,
        waiting,
        delayed,
        running,
        instances: seen.instances.values().sum(),
        submitted_total: figure("stint_tasks_submitted_total "),
        started_total: figure("stint_attempts_total{"),
        succeeded_total: succeeded,
        failed_total: ended.saturating_sub(succeeded),
        backlogs: shown,
        nodes: if operates { nodes.collect() } else { Vec::new() },
    })
}

/// The sum of a counter's samples in the metrics text, whatever follows `prefix`.
fn total(text: &str, prefix: &str) -> u64 {
    text.lines()
        .filter(|line| line.starts_with(prefix))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

fn instance(call: &Call, report: &InstanceReport) -> Instance {
    let function = call.engine().catalog().function_by_id(report.function);
    let state = match report.state {
        InstanceState::Creating => "Creating",
        InstanceState::Running => "Running",
        InstanceState::Terminating => "Terminating",
        InstanceState::Destroyed => "Destroyed",
    };
    Instance {
        id: report.instance.to_string(),
        function: function.map(|entry| entry.function.name.to_string()).unwrap_or_default(),
        version: report.version.to_string(),
        node: report.node.0.to_string(),
        state: state.to_owned(),
        created_at: Time(report.created_at),
        destroyed_at: Time::known(report.destroyed_at),
        enforced: report.enforced.to_vec(),
        reason: report.reason.clone(),
        sent_bytes: report.sent_bytes,
        received_bytes: report.received_bytes,
    }
}

pub(crate) fn instances(call: &Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let limit = query.limit("limit", 1_000, 1_000)?;
    let after = query.get("cursor").unwrap_or("");
    let reports = call.engine().instances(&call.caller, query.get("function"))?;
    let mut items: Vec<Instance> = reports
        .iter()
        .map(|report| instance(call, report))
        .filter(|instance| instance.id.as_str() > after)
        .collect();
    items.sort_by(|a, b| a.id.cmp(&b.id));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    ok(&Page { items, next })
}

pub(crate) async fn instance_stop(call: Call) -> Result<Answer, Problem> {
    let text = call.param(0);
    let id = text.parse().map_err(|_| {
        let message = format!("instance '{text}' does not exist; an id looks like c-…-…-…");
        Problem::new(Code::ResourceNotFound, message)
    })?;
    let when = if call.query.flag("now")? { StopWhen::Now } else { StopWhen::Idle };
    let report = call.engine().instance_stop(&call.caller, id, when).await?;
    ok(&instance(&call, &report))
}

pub(crate) fn runtimes(call: &Call) -> Result<Answer, Problem> {
    call.engine().authorize(&call.caller, Operation::Overview, None)?;
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for node in call.engine().link().nodes() {
        for (name, behind) in node.runtimes {
            found.entry((name, behind)).or_default().push(node.node.0.to_string());
        }
    }
    let items =
        found.into_iter().map(|((name, behind), nodes)| Runtime { name, behind, nodes }).collect();
    ok(&Page { items, next: None })
}

pub(crate) async fn audit(call: Call) -> Result<Answer, Problem> {
    let until = call.query.read::<Time>("until")?.map(|time| time.0);
    let asked = AuditQuery { account: None, until, listing: call.native_listing()? };
    let page = call.engine().audit_list(&call.caller, &asked).await?;
    let items = page
        .items
        .into_iter()
        .map(|entry| AuditEntry {
            at: Time(entry.at),
            key_id: entry.key_id,
            action: entry.action,
            resource: entry.resource,
            request_id: entry.request_id,
            detail: entry.detail,
        })
        .collect();
    ok(&Page { items, next: page.next })
}

pub(crate) fn settings(call: &Call) -> Result<Answer, Problem> {
    call.engine().authorize(&call.caller, Operation::AccountList, None)?;
    ok(&Page::<Setting> { items: call.door.settings.clone(), next: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_up() {
        let text = "# TYPE a counter\na{state=\"x\"} 3\na{state=\"y\"} 4\nab 5\nsum 1.5\n";
        assert_eq!(total(text, "a{"), 7);
        assert_eq!(total(text, "a{state=\"x\"}"), 3);
        assert_eq!(total(text, "ab "), 5);
        assert_eq!(total("", "a"), 0);
    }
}
