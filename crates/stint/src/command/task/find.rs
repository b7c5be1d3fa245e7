//! Finding tasks, and doing something to all that were found.

use clap::Args;
use stint_model::time::Span;
use stint_wire::native::{BulkRequest, TaskFilter};
use stint_wire::time::{Seconds, Time};

use super::{Which, show_all};
use crate::command::{Context, by_key, pair};
use crate::config::unit;
use crate::failure::Failure;

/// Conditions; all of them hold together.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Of this function.
    #[arg(short, long)]
    pub(crate) function: Option<String>,
    /// In this state; `open` and `ended` stand for several. May be repeated.
    #[arg(long)]
    pub(crate) state: Vec<String>,
    /// The id starts so.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Has this tag. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) tags: Vec<(String, String)>,
    /// Kind or class of its last error.
    #[arg(long)]
    pub(crate) error: Option<String>,
    /// Submitted at or after: 2026-01-02T03:04:05Z, or how long ago, as in 2h.
    #[arg(long, value_parser = moment)]
    pub(crate) from: Option<Moment>,
    /// Submitted before.
    #[arg(long, value_parser = moment)]
    pub(crate) until: Option<Moment>,
    /// Ran at least this long.
    #[arg(long, value_parser = unit::duration)]
    pub(crate) longer: Option<Span>,
    /// Ran at most this long.
    #[arg(long, value_parser = unit::duration)]
    pub(crate) shorter: Option<Span>,
}

/// A time or how long ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    At(Time),
    Ago(Span),
}

pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse::<Time>() {
        return Ok(Moment::At(at));
    }
    unit::duration(text)
        .map(Moment::Ago)
        .map_err(|_| format!("`{text}`: write 2026-01-02T03:04:05Z, or 2h for two hours ago"))
}

impl Moment {
    pub(crate) fn time(self) -> Time {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => Time(stint_supervise::Clock::start().now() - span),
        }
    }
}

impl Filter {
    fn wire(&self) -> Result<TaskFilter, Failure> {
        Ok(TaskFilter {
            function: self.function.clone(),
            qualifier: None,
            state: self.state.clone(),
            id_prefix: self.prefix.clone(),
            from: self.from.map(Moment::time),
            until: self.until.map(Moment::time),
            tags: by_key(&self.tags)?,
            error: self.error.clone(),
            duration_min: self.longer.map(Seconds),
            duration_max: self.shorter.map(Seconds),
            task_mode: None,
        })
    }
}

/// Find tasks.
#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Oldest first.
    #[arg(long)]
    ascending: bool,
    /// Only say how many there are.
    #[arg(long)]
    count: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn list(args: List, context: &Context) -> Result<(), Failure> {
    let (client, filter) = (context.client()?, args.filter.wire()?);
    if args.count {
        let count = client.task_count(&filter).await?;
        let value = serde_json::json!({ "count": count });
        return context.screen.show(&value, || {
            let mut rows = crate::screen::Rows::of_one();
            rows.line("tasks", count.to_string());
            rows
        });
    }
    let (mut tasks, mut cursor) = (Vec::new(), args.cursor);
    while tasks.len() < args.limit {
        let limit = (args.limit - tasks.len()).min(1_000);
        let page =
            client.task_list(&filter, args.ascending, Some(limit), cursor.as_deref()).await?;
        tasks.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    show_all(tasks, cursor, context)
}

/// One task, or every task that meets the filters.
#[derive(Clone, Debug, Args)]
pub(crate) struct Bulk {
    /// A task's uid (tsk_…), FUNCTION/TASK-ID, or with --function a task id.
    #[arg(value_name = "TASK")]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many tasks meet the filters.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the history.
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

impl Bulk {
    /// The task that was named, if one was.
    pub(super) fn one(&self) -> Result<Option<Which>, Failure> {
        let Some(id) = &self.id else { return Ok(None) };
        let bare = Filter { function: self.filter.function.clone(), ..Filter::default() };
        if self.filter.wire()? != bare.wire()? || self.dry_run {
            return Err(Failure::usage("name one task, or give filters, not both"));
        }
        Ok(Some(Which { id: id.clone(), function: self.filter.function.clone() }))
    }

    /// What is asked of the server.
    pub(super) fn request(&self) -> Result<BulkRequest, Failure> {
        let filter = self.filter.wire()?;
        if filter == TaskFilter::default() {
            return Err(Failure::usage("name a task, or say which tasks with a filter")
                .next("--function NAME --state open --dry-run says how many that would be"));
        }
        Ok(BulkRequest { filter, dry_run: self.dry_run, reason: self.reason.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(id: Option<&str>, filter: Filter, dry_run: bool) -> Bulk {
        Bulk { id: id.map(str::to_owned), filter, dry_run, reason: String::new() }
    }

    #[test]
    fn one_or_many_but_never_all_by_accident() {
        let all = bulk(None, Filter::default(), false);
        assert!(all.one().unwrap().is_none() && all.request().is_err());
        let function = Filter { function: Some("etl".into()), ..Filter::default() };
        let one = bulk(Some("job"), function.clone(), false).one().unwrap().unwrap();
        assert_eq!(one.address(), "etl/job");
        let many = bulk(None, function, true).request().unwrap();
        assert!(many.dry_run && many.filter.function.as_deref() == Some("etl"));
        let state = Filter { state: vec!["open".into()], ..Filter::default() };
        assert!(bulk(Some("job"), state, false).one().is_err());
    }

    #[test]
    fn moments_are_times_or_ages() {
        assert_eq!(moment("2h"), Ok(Moment::Ago(Span::from_secs(7_200))));
        assert!(matches!(moment("2026-01-02T03:04:05Z"), Ok(Moment::At(_))));
        assert!(moment("yesterday").is_err());
        let filter = Filter { from: Some(Moment::Ago(Span::from_secs(60))), ..Filter::default() };
        assert!(filter.wire().unwrap().from.is_some());
    }
}
