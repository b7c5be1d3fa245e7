//! Flows in a simulated world: definitions that call the world's functions, a client that starts executions,
//! a poller, and what must hold of every execution in the book.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use stint_engine::flows::executions::decode_rows;
use stint_engine::flows::{ExecutionRef, ExecutionStart, HistoryRow, Moment, Report, StartOutcome};
use stint_engine::{Engine, EngineError};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::flow::{Activity, Flow, FlowMode};
use stint_model::id::{AccountId, FlowId};
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};
use stint_store::record::flow as stored;
use stint_store::{HistoryChunk, Put};
use stint_supervise::{Clock, Stop};

use crate::client::caller;
use crate::dice::Dice;

/// Every failure is retried: in a world that heals each of these ends well.
const RETRY: &str = r#""Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1000, "MaxDelaySeconds": 5}]"#;

/// Name and States of each flow; `@R` is the retry.
const FLOWS: [(&str, &str); 5] = [
    (
        "steps",
        r#"{"StartAt": "A", "States": {
            "A": {"Type": "Task", "Resource": "alpha", @R, "Next": "W"},
            "W": {"Type": "Wait", "Seconds": 2, "Next": "P"},
            "P": {"Type": "Parallel", "End": true, "Branches": [
                {"StartAt": "B", "States": {"B": {"Type": "Task", "Resource": "beta", @R, "End": true}}},
                {"StartAt": "G", "States": {"G": {"Type": "Task", "Resource": "gamma", @R, "End": true}}}]}}}"#,
    ),
    (
        "parent",
        r#"{"StartAt": "C", "States": {"C": {"Type": "Task", "End": true, @R,
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": "arn:aws:states:local:1:stateMachine:steps", "Input": {}}}}}"#,
    ),
    (
        "many",
        r#"{"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 3, "End": true,
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "B", "States": {"B": {"Type": "Task", "Resource": "beta", @R, "End": true}}}}}}"#,
    ),
    (
        "polled",
        r#"{"StartAt": "T", "States": {"T": {"Type": "Task", "End": true, "TimeoutSeconds": 30, @R,
            "Resource": "arn:aws:states:local:1:activity:dig"}}}"#,
    ),
    (
        "short",
        r#"{"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "alpha", "TimeoutSeconds": 1, @R,
            "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "E"}], "End": true},
            "E": {"Type": "Pass", "End": true}}}"#,
    ),
];
/// Items of each map.
const ITEMS: usize = 7;

/// The flows and the activity of every world, as puts of these shards.
pub fn puts(shards: u16, at: Timestamp) -> Vec<(Shard, Put)> {
    let mut puts = Vec::new();
    for (number, (name, definition)) in (50_u64..).zip(FLOWS) {
        let flow = Flow {
            id: FlowId::from_number(number),
            account: AccountId::ROOT,
            name: name.into(),
            mode: FlowMode::Standard,
            revision: 1,
            description: String::new(),
            role: String::new(),
            external_storage: String::new(),
            environment: BTreeMap::new(),
            resource_group: String::new(),
            tags: BTreeMap::new(),
            version_newest: 0,
            created_at: at,
            modified_at: at,
        };
        let shard = Shard::of_function(AccountId::ROOT, name, shards);
        let key = stored::key(AccountId::ROOT, name);
        puts.push((shard, Put::Record { key, shard, body: stored::encode(&flow) }));
        let text = definition.replace("@R", RETRY);
        let body = stored::encode_definition(&text, flow.mode);
        puts.push((shard, Put::Record { key: stored::definition_key(flow.id, 1), shard, body }));
    }
    let activity = Activity { account: AccountId::ROOT, name: "dig".into(), created_at: at };
    let shard = Shard::of_account(AccountId::ROOT, shards);
    let key = stored::activity_key(AccountId::ROOT, "dig");
    puts.push((shard, Put::Record { key, shard, body: stored::encode_activity(&activity) }));
    puts
}

/// Flow and name of every start that was acknowledged, over all lives.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Begun {
    fn note(&self, flow: &str, name: &str) {
        let key = (flow.to_owned(), name.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    fn all(&self) -> BTreeSet<(String, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts executions in one life.
#[derive(Debug)]
pub struct Starter {
    /// Part of the names it chooses.
    pub name: String,
    /// The platform.
    pub engine: Engine,
    /// The simulated clock.
    pub clock: Clock,
    /// Its throws.
    pub dice: Dice,
    /// What it was told.
    pub begun: Begun,
    /// How many it starts.
    pub executions: u32,
}

impl Starter {
    /// Starts its executions, then rests.
    pub async fn run(mut self, stop: Stop) {
        for n in 0..self.executions {
            let pause = Span::from_millis(self.dice.below(400));
            if stop.until(self.clock.sleep(pause)).await.is_none() {
                return;
            }
            self.start(n).await;
        }
    }

    async fn start(&mut self, n: u32) {
        let index = usize::try_from(self.dice.below(FLOWS.len() as u64)).expect("few");
        let flow = FLOWS[index].0;
        let name = format!("{}-{n}", self.name);
        let items: Vec<String> = (0..ITEMS).map(|item| item.to_string()).collect();
        let input = format!("{{\"items\":[{}]}}", items.join(","));
        let start = ExecutionStart {
            name: Some(name.clone()),
            input: Bytes::from(input),
            ..ExecutionStart::default()
        };
        // Twice, as a client does that got no answer: the second must find the first.
        let tries = if self.dice.percent(20) { 2 } else { 1 };
        for attempt in 0..tries {
            match self.engine.execution_start(&caller(), flow, start.clone()).await {
                Ok(started) => {
                    assert!(attempt == 0 || started.outcome != StartOutcome::New, "started twice");
                    self.begun.note(flow, &name);
                }
                Err(EngineError::Refused(refusal)) => panic!("a good start is refused: {refusal}"),
                Err(_) => return,
            }
        }
        if self.dice.percent(5) {
            let one = ExecutionRef::named(flow, name);
            // Ended already, or the process is dying: both are fine.
            drop(self.engine.execution_stop(&caller(), &one, Some("Drawn".into()), None).await);
        }
    }
}

/// Takes work and reports it, but for some that it forgets.
pub async fn poll(engine: Engine, clock: Clock, mut dice: Dice, stop: Stop) {
    while !stop.is_stopped() {
        let wait = Span::from_secs(2);
        let taken = engine.activity_take(&caller(), "dig", Some("sim".into()), wait).await;
        let Ok(Some(work)) = taken else {
            clock.sleep(Span::from_millis(500)).await;
            continue;
        };
        clock.sleep(Span::from_millis(dice.below(3_000))).await;
        if dice.percent(15) {
            continue;
        }
        let report = Report::Succeeded(serde_json::json!({"dug": true}));
        // Over already, or the process is dying: both are fine.
        drop(engine.execution_report(&caller(), &work.token, report).await);
    }
}

type Kept = [(Execution, Vec<HistoryChunk>)];

/// Every execution has ended.
pub fn all_ended(kept: &Kept) -> Vec<String> {
    let open = kept.iter().filter(|(head, _)| !head.status.is_terminal());
    open.map(|(head, chunks)| {
        let last = rows_of(chunks).pop();
        format!("{} of {} ({}) has not ended: {last:?}", head.uid, head.flow_name, head.name)
    })
    .collect()
}

fn rows_of(chunks: &[HistoryChunk]) -> Vec<HistoryRow> {
    chunks.iter().flat_map(|chunk| decode_rows(chunk).expect("history reads")).collect()
}

/// What was acknowledged is there; nothing ended in a way that nobody asked for; history is gapless, begins
/// once and ends once; every call has one result at most; every unit of a map is one child.
pub fn executions_hold(kept: &Kept, begun: &Begun) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: BTreeSet<(String, String)> = kept
        .iter()
        .filter(|(head, _)| head.map.is_none())
        .map(|(head, _)| (head.flow_name.to_string(), head.name.clone()))
        .collect();
    for lost in begun.all().difference(&names) {
        wrong.push(format!("{lost:?} was acknowledged and is lost"));
    }
    let mut children: BTreeMap<u64, usize> = BTreeMap::new();
    for (head, chunks) in kept {
        if head.map.is_some() {
            *children.entry(head.list()).or_default() += 1;
        }
        let is_asked = head.status == ExecutionStatus::Stopped;
        if head.status.is_terminal() && head.status != ExecutionStatus::Succeeded && !is_asked {
            wrong.push(format!("{} of {} ended as {head:?}", head.uid, head.flow_name));
        }
        wrong.extend(history_holds(head, &rows_of(chunks)));
    }
    for (head, _) in kept.iter().filter(|(head, _)| &*head.flow_name == "many") {
        let count = children.get(&head.uid.number()).copied().unwrap_or(0);
        if head.map.is_none() && head.status == ExecutionStatus::Succeeded && count != ITEMS {
            wrong.push(format!("{} has {count} children for {ITEMS} items", head.uid));
        }
    }
    wrong
}

fn history_holds(head: &Execution, rows: &[HistoryRow]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(format!("{} of {}: {what}", head.uid, head.flow_name));
    if let Some((at, row)) = (1_u64..).zip(rows).find(|(at, row)| row.id != *at) {
        say(format!("event {} stands where {at} should", row.id));
    }
    let count =
        |moments: &[Moment]| rows.iter().filter(|row| moments.contains(&row.moment)).count();
    let ends = [
        Moment::ExecutionSucceeded,
        Moment::ExecutionFailed,
        Moment::ExecutionTimedOut,
        Moment::ExecutionStopped,
    ];
    if count(&[Moment::ExecutionStarted]) != 1
        || count(&ends) != usize::from(head.status.is_terminal())
    {
        say(format!(
            "it begins {} and ends {} times",
            count(&[Moment::ExecutionStarted]),
            count(&ends)
        ));
    }
    if head.status.is_terminal() && !rows.last().is_some_and(|row| ends.contains(&row.moment)) {
        say(format!("something happened after its end: {:?}", rows.last()));
    }
    let results = count(&[Moment::TaskSucceeded, Moment::TaskFailed, Moment::TaskTimedOut]);
    let calls = count(&[Moment::TaskScheduled]);
    let is_complete = head.status == ExecutionStatus::Succeeded && calls == results;
    if results > calls || (head.status == ExecutionStatus::Succeeded && !is_complete) {
        say(format!("{calls} calls have {results} results"));
    }
    wrong
}
