//! Metrics: the recorder, what each of them means, and the page that Prometheus reads.

use std::sync::Arc;

use metrics::{Unit, describe_counter, describe_gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use stint_model::time::Span;
use stint_node::NodeHandle;
use stint_supervise::{Clock, SLEW_PARTS_PER_HUNDRED, Stop, Supervisor};
use stint_watch::Logs;
use stint_wire::time::to_f64;

use crate::failure::Failure;

/// Seconds from a hundredth of a millisecond to ten minutes.
const SECONDS: [f64; 16] = [
    0.00001, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
    120.0, 600.0,
];
/// Between two tidyings of the recorder.
const UPKEEP: Span = Span::from_secs(5);

/// Gauges that are set when the page is read, with their meaning: (name, unit, about).
const GAUGES: &[(&str, Unit, &str)] = &[
    ("stint_node_instances", Unit::Count, "instances: ready, busy or idle"),
    ("stint_node_instances_starting", Unit::Count, "instances being started"),
    ("stint_node_attempts", Unit::Count, "attempts bound to instances"),
    ("stint_node_cpu_used_cores", Unit::Count, "vCPU promised to instances"),
    ("stint_node_cpu_cores", Unit::Count, "vCPU offered to instances"),
    ("stint_node_memory_used_bytes", Unit::Bytes, "memory promised to instances"),
    ("stint_node_memory_bytes", Unit::Bytes, "memory offered to instances"),
    ("stint_node_parked_interpreters", Unit::Count, "started interpreters that wait"),
    ("stint_log_queued_bytes", Unit::Bytes, "log bytes that wait for the writer"),
    ("stint_log_queue_bytes_max", Unit::Bytes, "bound of the above"),
    ("stint_log_kept_bytes", Unit::Bytes, "log bytes kept since the start"),
    ("stint_log_stored_bytes", Unit::Bytes, "log bytes written since the start, compressed"),
    ("stint_log_chunks", Unit::Count, "log chunks written since the start"),
    ("stint_log_dropped_bytes", Unit::Bytes, "log bytes dropped since the start: too much at once"),
    (
        "stint_log_cut_bytes",
        Unit::Bytes,
        "log bytes over the bound of their attempt since the start",
    ),
    ("stint_log_failed_appends", Unit::Count, "log writes that failed since the start"),
    ("stint_supervised_tasks", Unit::Count, "components that run"),
    ("stint_supervised_restarts", Unit::Count, "restarts of components since the start"),
    ("stint_uptime_seconds", Unit::Seconds, "since the start"),
    (
        "stint_clock_behind_seconds",
        Unit::Seconds,
        "what the wall clock is ahead of the engine's time; negative: behind it",
    ),
];
/// A wall clock that is further from the engine's time than this was set by somebody.
const STEPPED: Span = Span::from_secs(5);

/// The recorder of this process.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    handle: PrometheusHandle,
}

impl Figures {
    /// Installs the recorder; once, before anything counts.
    pub(crate) fn install() -> Result<Self, Failure> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| Failure::cannot("set up metrics", &error))?;
        let handle = builder
            .install_recorder()
            .map_err(|error| Failure::cannot("set up metrics", &error))?;
        describe();
        Ok(Self { handle })
    }

    /// What renders the page.
    pub(crate) fn renderer(
        &self,
        logs: Logs,
        node: Arc<std::sync::OnceLock<NodeHandle>>,
        supervisor: Supervisor,
    ) -> Arc<dyn Fn() -> String + Send + Sync> {
        let handle = self.handle.clone();
        let started = supervisor.clock().now();
        Arc::new(move || {
            for (name, value) in logs.figures() {
                metrics::gauge!(format!("stint_{name}")).set(to_f64(value));
            }
            if let Some(node) = node.get() {
                of_node(node);
            }
            let status = supervisor.status();
            let restarts = status.iter().map(|task| task.restarts).sum();
            metrics::gauge!("stint_supervised_tasks").set(count(status.len()));
            metrics::gauge!("stint_supervised_restarts").set(to_f64(restarts));
            let uptime = supervisor.clock().now().since(started);
            metrics::gauge!("stint_uptime_seconds").set(to_f64(uptime.secs()));
            let (skew, is_ahead) = supervisor.clock().skew();
            let behind = skew.to_std().as_secs_f64();
            metrics::gauge!("stint_clock_behind_seconds").set(if is_ahead {
                -behind
            } else {
                behind
            });
            handle.render()
        })
    }

    /// Tidies the recorder until stopped, so that histograms nobody reads do not grow; says when somebody
    /// set the wall clock.
    pub(crate) async fn run(self, clock: Clock, stop: Stop) {
        let mut was_stepped = false;
        while stop.until(clock.sleep(UPKEEP)).await.is_some() {
            self.handle.run_upkeep();
            let (skew, is_ahead) = clock.skew();
            let is_stepped = skew > STEPPED;
            if is_stepped && !was_stepped {
                let sign = if is_ahead { "-" } else { "+" };
                tracing::warn!(
                    "the wall clock was set, or the machine stood still: it is {sign}{} s from our time, which \
                     follows at {SLEW_PARTS_PER_HUNDRED} seconds in a hundred; until then moments given as dates \
                     come by our time",
                    skew.secs()
                );
            }
            was_stepped = is_stepped;
        }
    }
}

fn of_node(node: &NodeHandle) {
    let status = node.status();
    let cores = |milli: u32| f64::from(milli) / 1_000.0;
    let bytes = |mb: u32| f64::from(mb) * 1_048_576.0;
    metrics::gauge!("stint_node_instances").set(f64::from(status.live));
    metrics::gauge!("stint_node_instances_starting").set(f64::from(status.starting));
    metrics::gauge!("stint_node_attempts").set(f64::from(status.running));
    metrics::gauge!("stint_node_cpu_used_cores").set(cores(status.used.cpu_milli));
    metrics::gauge!("stint_node_cpu_cores").set(cores(status.capacity.cpu_milli));
    metrics::gauge!("stint_node_memory_used_bytes").set(bytes(status.used.memory_mb));
    metrics::gauge!("stint_node_memory_bytes").set(bytes(status.capacity.memory_mb));
}

fn count(number: usize) -> f64 {
    to_f64(u64::try_from(number).unwrap_or(u64::MAX))
}

fn describe() {
    stint_store_sqlite::describe_metrics();
    for (name, unit, about) in GAUGES {
        describe_gauge!(*name, *unit, *about);
    }
    for (name, about) in [
        ("stint_tasks_submitted_total", "tasks accepted"),
        ("stint_attempts_total", "attempts that ended, by outcome"),
        ("stint_tasks_ended_total", "tasks that ended, by state"),
        ("stint_tasks_expired_total", "tasks that expired before they started"),
        ("stint_tasks_forgotten_total", "tasks dropped by retention"),
        ("stint_blobs_swept_total", "orphaned blobs removed"),
        ("stint_calls_refused_total", "sync calls refused for want of room"),
        ("stint_stale_reports_total", "reports of nodes refused by the fence"),
        ("stint_shard_reopened_total", "shards opened again after a failed commit"),
        ("stint_egress_connections_total", "connections that functions asked for, by verdict"),
        ("stint_sandbox_spawner_restarts_total", "spawners hired in place of dead ones"),
        ("stint_sandbox_parked_lost_total", "parked sandboxes that were lost and replaced"),
        ("stint_executions_started_total", "executions of flows that began"),
        ("stint_executions_ended_total", "executions of flows that ended, by how"),
        ("stint_executions_forgotten_total", "executions dropped by retention"),
        ("stint_flow_events_total", "history events of executions"),
        ("stint_flow_calls_total", "calls made by steps of flows"),
        ("stint_map_runs_started_total", "distributed maps that began"),
        ("stint_schedules_fired_total", "executions started by schedules"),
        ("stint_schedules_skipped_total", "moments skipped because an execution still ran"),
        ("stint_destination_errors_total", "deliveries to destinations that failed"),
        ("stint_node_cold_starts_total", "instances begun"),
        (
            "stint_node_parked_taken_total",
            "cold starts that asked for an interpreter that waits: hit, soon, miss",
        ),
    ] {
        describe_counter!(name, Unit::Count, about);
    }
    let about = "bytes between functions and the world outside, by direction";
    describe_counter!("stint_egress_bytes_total", Unit::Bytes, about);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_the_log_is_described() {
        let clock = Clock::start();
        let journal = Arc::new(stint_store::MemoryJournal::default());
        let (logs, _writer) = Logs::new(journal, stint_watch::LogsConfig::for_tests(), clock);
        for (name, _) in logs.figures() {
            let name = format!("stint_{name}");
            assert!(GAUGES.iter().any(|(known, _, _)| *known == name), "{name}");
        }
    }
}
