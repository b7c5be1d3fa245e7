//! The history of an execution. A page's token is the id of the event at which the next one starts.

use stint_engine::flows::{ExecutionRef, HistoryAsked, HistoryRow};
use stint_wire::fnf::{History, HistoryEvent};

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::{details, time};

pub(super) async fn get(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("ExecutionName"));
    let wanted = HistoryAsked {
        from: asked.read("NextToken")?,
        limit: asked.within("Limit", 1, 999)?,
        reverse: false,
    };
    let meant = ExecutionRef::named(flow, name);
    let slice = asked.engine().execution_history(&asked.caller, &meant, wanted).await?;
    let (region, account) = (&asked.engine().config().region, asked.caller.account);
    let event = |row: &HistoryRow| HistoryEvent {
        event_id: row.id,
        schedule_event_id: row.previous,
        step_name: row.step.clone(),
        kind: row.name.clone(),
        time: time(row.at),
        event_detail: details(row, |called| called.acs(region, account), name).to_string(),
    };
    let events = slice.rows.iter().map(event).collect();
    asked.ok(History { events, next_token: slice.next.map(|id| id.to_string()) })
}
