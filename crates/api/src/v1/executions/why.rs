//! Why is it waiting? What each step that an execution is in waits for, as a stable word and a
//! sentence.

use stint_engine::flows::{CallTarget, StepWhy as Why, Waits};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::time::Timestamp;
use stint_wire::native::{ExecutionWhy, StepWhy};
use stint_wire::time::Time;

use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

pub(in crate::v1) async fn get(call: Call) -> Result<Answer, Problem> {
    let meant = super::meant(&call);
    let run = call.engine().execution_get(&call.caller, &meant, None).await?;
    let steps = call.engine().execution_why(&call.caller, &meant).await?;
    let steps: Vec<StepWhy> = steps.iter().map(step).collect();
    ok(&ExecutionWhy {
        flow: run.flow_name.to_string(),
        name: run.name.clone(),
        status: run.status.word().to_owned(),
        sentence: sentence(&run, &steps),
        steps,
    })
}

/// One line for the whole.
fn sentence(run: &Execution, steps: &[StepWhy]) -> String {
    let ended = at(run.ended_at);
    let error = match (&run.error, &run.cause) {
        (Some(error), Some(cause)) => format!(": {error}: {cause}"),
        (Some(text), None) | (None, Some(text)) => format!(": {text}"),
        (None, None) => String::new(),
    };
    match run.status {
        ExecutionStatus::Succeeded => format!("it succeeded at {ended}"),
        ExecutionStatus::Failed => format!("it failed at {ended}{error}"),
        ExecutionStatus::TimedOut => format!("its time was up at {ended}{error}"),
        ExecutionStatus::Stopped => format!("it was stopped at {ended}{error}"),
        ExecutionStatus::Running => match steps {
            [] => "it is between two steps".to_owned(),
            [one] => format!("it is in step '{}': {}", one.step, one.sentence),
            [first, rest @ ..] => format!(
                "it is in {} steps; the first is '{}': {}",
                rest.len() + 1,
                first.step,
                first.sentence
            ),
        },
    }
}

fn at(time: Timestamp) -> String {
    Time(time).to_string()
}

fn step(why: &Why) -> StepWhy {
    let (cause, until, mut sentence) = waits(&why.open.waits);
    let mut shown = StepWhy {
        step: why.open.step.clone(),
        entered: why.open.entered,
        retries: why.open.retries,
        cause: cause.to_owned(),
        until: until.map(|micros| Time(Timestamp::from_micros(micros))),
        ..StepWhy::default()
    };
    if let Some(target) = &why.target {
        sentence = called(target, &mut shown);
    }
    if let Some(cause) = why.task.as_ref().and_then(|task| task.cause.as_ref()) {
        let (_, because) = crate::v1::why::explain(cause);
        sentence = format!("{sentence}; {because}");
    }
    shown.sentence = sentence;
    shown
}

/// A word, when the wait is over, and a sentence.
fn waits(waits: &Waits) -> (&'static str, Option<i64>, String) {
    let time = |micros: i64| at(Timestamp::from_micros(micros));
    match *waits {
        Waits::Turn => ("turn", None, "nothing holds it: it goes on next".into()),
        Waits::Evaluation => ("evaluation", None, "an expression is being evaluated".into()),
        Waits::Call { until: None, .. } => {
            ("call", None, "it waits for the end of its call".into())
        }
        Waits::Call { until: Some(until), .. } => {
            let sentence = format!("it waits for the end of its call, until {}", time(until));
            ("call", Some(until), sentence)
        }
        Waits::Time { until } => ("time", Some(until), format!("it waits until {}", time(until))),
        Waits::Retry { until } => {
            let sentence = format!("its last try failed; the next is at {}", time(until));
            ("retry", Some(until), sentence)
        }
        Waits::Threads { running, waiting: 0 } => {
            ("threads", None, format!("{running} branches or iterations are under way"))
        }
        Waits::Threads { running, waiting } => (
            "threads",
            None,
            format!("{running} branches or iterations are under way, {waiting} wait for a place"),
        ),
        Waits::MapRun { .. } => ("mapRun", None, "its distributed map is under way".into()),
        Waits::Redrive => ("redrive", None, "it failed; a redrive runs it again".into()),
    }
}

/// What a call waits for; fills in where to look on.
fn called(target: &CallTarget, shown: &mut StepWhy) -> String {
    match target {
        CallTarget::Task { function, task } => {
            shown.task = task.map(|task| task.to_string());
            match task {
                Some(task) => format!("it waits for task {task} of function '{function}'"),
                None => format!("its task of function '{function}' is being submitted"),
            }
        }
        CallTarget::Execution { flow, execution } => {
            shown.execution = execution.map(|execution| format!("{flow}/{execution}"));
            match execution {
                Some(execution) => format!("it waits for execution {execution} of flow '{flow}'"),
                None => format!("its execution of flow '{flow}' is being started"),
            }
        }
        CallTarget::Http { url } => format!("it waits for the answer of {url}"),
        CallTarget::Activity { name, is_taken: false } => {
            format!("nobody has taken its work from activity '{name}' yet")
        }
        CallTarget::Activity { name, is_taken: true } => {
            format!("a poller of activity '{name}' has its work and has not reported yet")
        }
        CallTarget::Report => "it waits for somebody to report with its task token".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stint_engine::flows::{CallId, OpenStep};

    use super::*;

    fn open(waits: Waits) -> OpenStep {
        OpenStep { thread: 1, step: "S".into(), entered: 2, retries: 0, waits }
    }

    #[test]
    fn a_call_says_what_it_waits_for() {
        let call = CallId { entered: 2, attempt: 1 };
        let waits = Waits::Call { call, until: Some(5_000_000) };
        let target = CallTarget::Activity { name: "a".into(), is_taken: false };
        let shown = step(&Why { open: open(waits), target: Some(target), task: None });
        assert_eq!(shown.cause, "call");
        assert_eq!(shown.until, Some(Time(Timestamp::from_millis(5_000))));
        assert_eq!(shown.sentence, "nobody has taken its work from activity 'a' yet");
        let child = CallTarget::Execution { flow: "g".into(), execution: None };
        let shown = step(&Why { open: open(waits), target: Some(child), task: None });
        assert_eq!(shown.execution, None);
        assert!(shown.sentence.contains("is being started"), "{}", shown.sentence);
    }

    #[test]
    fn every_wait_has_a_word() {
        let call = CallId { entered: 2, attempt: 1 };
        let all = [
            (Waits::Turn, "turn"),
            (Waits::Evaluation, "evaluation"),
            (Waits::Call { call, until: None }, "call"),
            (Waits::Time { until: 1 }, "time"),
            (Waits::Retry { until: 1 }, "retry"),
            (Waits::Threads { running: 1, waiting: 2 }, "threads"),
            (Waits::MapRun { call }, "mapRun"),
            (Waits::Redrive, "redrive"),
        ];
        for (waits, word) in all {
            assert_eq!(step(&Why { open: open(waits), target: None, task: None }).cause, word);
        }
    }
}
