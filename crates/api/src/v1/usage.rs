//! What functions used: JSON, or a table for other programs (CSV, Parquet).

mod table;

use stint_engine::access::Operation;
use stint_watch::{GroupBy, UsageQuery, UsageRow, Window};
use stint_wire::native::{Page, Usage};
use stint_wire::time::{Time, to_f64};

use super::accounts::named;
use crate::answer::{Answer, bytes, ok};
use crate::call::Call;
use crate::error::Problem;

/// The most lines of one table; a page of JSON has the bound of every listing.
const ROWS_MAX: usize = 200_000;

pub(crate) fn list(call: &Call) -> Result<Answer, Problem> {
    let asked = asked(call)?;
    let rows = call.door.usage.rows(&asked);
    let format = call.query.get("format").unwrap_or("json");
    if format == "json" {
        return page(call, &rows);
    }
    if rows.len() > ROWS_MAX {
        let message = format!(
            "{} lines are too many for one table (at most {ROWS_MAX}); ask for a shorter time, a \
             longer window, or groupBy=account",
            rows.len()
        );
        return Err(Problem::invalid(message));
    }
    let items: Vec<Usage> = rows.iter().map(view).collect();
    match format {
        "csv" => Ok(bytes(table::csv(&items).into(), "text/csv; charset=utf-8")),
        "parquet" => {
            let body = table::parquet(&items).map_err(|error| Problem::ours(&error))?;
            Ok(bytes(body.into(), "application/vnd.apache.parquet"))
        }
        other => Err(Problem::invalid(format!("format is json, csv or parquet, not {other:?}"))),
    }
}

fn asked(call: &Call) -> Result<UsageQuery, Problem> {
    let account = match call.query.get("account") {
        Some(text) => Some(named(call, text)?),
        None => None,
    };
    let account = call.engine().acting_in(&call.caller, Operation::Usage, account)?;
    let window = match call.query.get("window") {
        None | Some("day") => Window::Day,
        Some("hour") => Window::Hour,
        Some("all") => Window::All,
        Some(other) => {
            return Err(Problem::invalid(format!("window is hour, day or all, not {other:?}")));
        }
    };
    let group_by = match call.query.get("groupBy") {
        None | Some("function") => GroupBy::Function,
        Some("account") => GroupBy::Account,
        Some(other) => {
            let message = format!("groupBy is function or account, not {other:?}");
            return Err(Problem::invalid(message));
        }
    };
    let function = call.query.get("function").map(str::to_owned);
    let scope = &call.caller.scope;
    if !scope.functions.is_empty() && (function.is_none() || group_by == GroupBy::Account) {
        let message = "the key is narrowed to functions: ask for one of them with function=";
        return Err(Problem::new(stint_model::code::Code::AccessDenied, message));
    }
    if let Some(function) = &function {
        call.engine().authorize(&call.caller, Operation::Usage, Some(function))?;
    }
    let time = |name: &str| Ok::<_, Problem>(call.query.read::<Time>(name)?.map(|time| time.0));
    let (from, until) = (time("from")?, time("until")?);
    Ok(UsageQuery { account: Some(account), function, from, until, window, group_by })
}

/// A page of lines: they stand in a fixed order, so that a page begins after the last one's place.
fn page(call: &Call, rows: &[UsageRow]) -> Result<Answer, Problem> {
    let limit = call.query.limit("limit", 100, 1_000)?;
    let place = |row: &UsageRow| format!("{}/{}", row.start.micros(), row.function);
    let begin = match call.query.get("cursor") {
        None => 0,
        Some(cursor) => {
            let found = rows.iter().position(|row| place(row) == cursor);
            let bad = || Problem::invalid("the cursor is not one of this listing");
            found.ok_or_else(bad)? + 1
        }
    };
    let rest = &rows[begin..];
    let shown = &rest[..rest.len().min(limit)];
    let next = (rest.len() > limit).then(|| shown.last().map(place)).flatten();
    ok(&Page::<Usage> { items: shown.iter().map(view).collect(), next })
}

fn view(row: &UsageRow) -> Usage {
    let sums = &row.sums;
    Usage {
        start: Time(row.start),
        end: Time(row.end),
        account: row.account.to_string(),
        function: row.function.to_string(),
        invocations: sums.invocations,
        active_seconds: millionths(sums.active_micros),
        idle_seconds: millionths(sums.idle_micros),
        vcpu_seconds: millionths(sums.vcpu_micros),
        memory_gb_seconds: millionths(sums.memory_active_micros),
        idle_memory_gb_seconds: millionths(sums.memory_idle_micros),
        disk_gb_seconds: millionths(sums.disk_micros),
        cpu_used_seconds: millionths(sums.cpu_micros),
        kept_seconds: millionths(sums.kept_micros),
        kept_vcpu_seconds: millionths(sums.kept_vcpu_micros),
        kept_memory_gb_seconds: millionths(sums.kept_memory_micros),
        kept_disk_gb_seconds: millionths(sums.kept_disk_micros),
        units: millionths(sums.micro_units()),
    }
}

pub(super) fn millionths(micros: u64) -> f64 {
    to_f64(micros) / 1e6
}
