//! `GET /metrics`: the page that Prometheus reads. Anybody who reaches the listener sees the figures of the
//! platform; series that name a function are for keys that may read: those of the root account see every
//! account's, others their own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use metrics::{Gauge, Label};
use stint_engine::{BacklogReport, Engine, EngineError};
use stint_model::access::{Caller, Need};
use stint_model::id::{AccountId, FunctionId};
use stint_model::time::Timestamp;
use stint_wire::time::to_f64;

/// Functions whose backlogs are told, those with the most waiting.
const BACKLOGS_MAX: usize = 500;

/// The gauges of backlogs, set when the page is read: who has none any more goes back to zero.
#[derive(Debug, Default)]
pub(crate) struct Backlogs {
    told: Mutex<BTreeMap<FunctionId, Gauges>>,
}

#[derive(Debug)]
struct Gauges {
    waiting: Gauge,
    running: Gauge,
    oldest: Gauge,
}

impl Backlogs {
    /// # Errors
    /// When a shard does not answer; the gauges stay as they were.
    pub(crate) async fn look(&self, engine: &Engine) -> Result<(), EngineError> {
        let mut reports = engine.every_backlog().await?;
        reports.sort_by_key(|report| std::cmp::Reverse((report.view.waiting, report.function)));
        reports.truncate(BACKLOGS_MAX);
        let now = engine.clock().now();
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.retain(|function, gauges| {
            let is_there = reports.iter().any(|report| report.function == *function);
            if !is_there {
                gauges.set(None, now);
            }
            is_there
        });
        for report in &reports {
            let Some(entry) = engine.catalog().function_by_id(report.function) else { continue };
            let function = &entry.function;
            let gauges = told
                .entry(report.function)
                .or_insert_with(|| Gauges::new(function.account, &function.name));
            gauges.set(Some(report), now);
        }
        Ok(())
    }
}

impl Gauges {
    fn new(account: AccountId, function: &str) -> Self {
        let labels = || {
            let account = Label::new("account", account.to_string());
            vec![account, Label::new("function", function.to_owned())]
        };
        Self {
            waiting: metrics::gauge!("stint_backlog_waiting", labels()),
            running: metrics::gauge!("stint_backlog_running", labels()),
            oldest: metrics::gauge!("stint_backlog_oldest_seconds", labels()),
        }
    }

    fn set(&self, report: Option<&BacklogReport>, now: Timestamp) {
        let oldest = report.and_then(|report| report.view.oldest);
        self.waiting.set(report.map_or(0.0, |report| to_f64(report.view.waiting)));
        self.running.set(report.map_or(0.0, |report| f64::from(report.view.running)));
        self.oldest.set(oldest.map_or(0.0, |oldest| now.since(oldest).to_std().as_secs_f64()));
    }
}

/// What `caller` may see of a page; `None` is somebody without a key.
pub(crate) fn visible(page: &str, caller: Option<&Caller>) -> String {
    let caller = caller.filter(|caller| caller.may(Need::Read, None));
    if caller.is_some_and(|caller| caller.account == AccountId::ROOT) {
        return page.to_owned();
    }
    let own = caller.map(|caller| format!("account=\"{}\"", caller.account));
    let is_seen = |line: &&str| {
        line.starts_with('#')
            || !line.contains("account=\"")
            || own.as_deref().is_some_and(|own| line.contains(own))
    };
    page.lines().filter(is_seen).fold(String::with_capacity(page.len()), |mut page, line| {
        page.push_str(line);
        page.push('\n');
        page
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stint_model::access::{Role, Scope};

    use super::*;

    fn caller(account: AccountId, role: Role, functions: &[&str]) -> Caller {
        let functions: Vec<String> = functions.iter().map(|f| (*f).to_owned()).collect();
        let scope = Scope { functions: functions.into() };
        Caller { account, role, scope, key_id: Arc::from("k"), request_id: None }
    }

    #[test]
    fn series_that_name_functions_are_for_those_who_may_read() {
        let other: AccountId = AccountId::new(1_000_000_000_000_007);
        let page = format!(
            "# HELP a b\na 1\nb{{account=\"{}\",function=\"f\"}} 2\nb{{account=\"{other}\",function=\"g\"}} 3\n",
            AccountId::ROOT
        );
        let lines = |caller: Option<&Caller>| visible(&page, caller).lines().count();
        assert_eq!(lines(None), 2);
        assert_eq!(lines(Some(&caller(AccountId::ROOT, Role::Viewer, &[]))), 4);
        assert_eq!(lines(Some(&caller(AccountId::ROOT, Role::Invoker, &[]))), 2);
        assert_eq!(lines(Some(&caller(other, Role::Admin, &["f"]))), 2, "a narrowed key");
        let own = caller(other, Role::Viewer, &[]);
        assert!(visible(&page, Some(&own)).ends_with("function=\"g\"} 3\n"));
        assert_eq!(lines(Some(&own)), 3);
    }
}
