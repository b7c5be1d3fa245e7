//! How fast flows are decided and how large their state is. Prints figures and asserts nothing:
//! `cargo run --release -p stint-flow --example speed`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "measuring needs a real clock, and somebody reads the figures"
)]

use std::time::Instant;

use serde_json::{Value, json};
use stint_flow::{
    Command, CompileOptions, Event, EventBody, ExecutionMode, Facts, Limits, Plan, Start, State,
    advance, compile,
};
use stint_model::time::Timestamp;

fn main() {
    println!("{:<52} {:>12}", "what", "figure");
    let ten = chain(10);
    let text = ten.to_string();
    let (plan, nanos) = timed(1_000, || compile(&text, CompileOptions::default()).plan);
    let plan = plan.expect("it compiles");
    say("compile ten tasks", nanos / 1_000, "us");
    for bytes in [100, 10_000] {
        let input = json!({"text": "x".repeat(bytes)});
        let (state, nanos) = timed(2_000, || execution(&plan, &input, false));
        say(&format!("ten tasks, input of {bytes} bytes: a step"), nanos / 10, "ns");
        let (_, nanos) = timed(500, || execution(&plan, &input, true));
        say("the same with the state stored and loaded: a step", nanos / 10, "ns");
        say("state when it has ended", state.store().len() as u128, "bytes");
    }
    let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "End": true, "ItemProcessor":
        {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}}}});
    let plan = compile(&map.to_string(), CompileOptions::default()).plan.expect("it compiles");
    let items = Value::Array((0..5_000).map(Value::from).collect());
    let (_, nanos) = timed(3, || execution(&plan, &items, false));
    say("inline map of 5,000: an item", nanos / 5_000, "ns");
}

fn say(what: &str, figure: u128, unit: &str) {
    println!("{what:<52} {figure:>12} {unit}");
}

fn timed<T>(times: u32, mut work: impl FnMut() -> T) -> (T, u128) {
    let started = Instant::now();
    let mut last = work();
    for _ in 1..times {
        last = work();
    }
    (last, started.elapsed().as_nanos() / u128::from(times))
}

fn chain(length: usize) -> Value {
    let mut states = serde_json::Map::new();
    for at in 0..length {
        let mut state = json!({"Type": "Task", "Resource": "f", "Parameters": {"n": at, "in.$": "$"},
            "ResultPath": "$.last", "TimeoutSeconds": 60});
        if at + 1 < length {
            state["Next"] = Value::String(format!("S{}", at + 1));
        } else {
            state["End"] = Value::Bool(true);
        }
        states.insert(format!("S{at}"), state);
    }
    json!({"StartAt": "S0", "States": states})
}

/// A whole execution whose tasks answer at once.
fn execution(plan: &Plan, input: &Value, is_stored: bool) -> State {
    let mode = ExecutionMode::Standard;
    let start = Start {
        input: input.clone(),
        facts: Facts { id: "e".into(), name: "e".into(), ..Facts::default() },
        limits: Limits { history_events_max: u64::MAX, ..Limits::of(plan.dialect(), mode) },
        item_of: None,
    };
    let mut next = Some(EventBody::Started(Box::new(start)));
    let mut state = State::new();
    while let Some(body) = next.take() {
        let event = Event { at: Timestamp::from_millis(1), entropy: [1; 16], body };
        let decision = advance(plan, state, event);
        state = decision.state;
        if is_stored {
            state = State::load(&state.store()).expect("it reads back");
        }
        for command in decision.commands {
            match command {
                Command::Submit(call) => {
                    next = Some(EventBody::Succeeded { call: call.id, output: json!({"ok": 1}) });
                }
                Command::Continue => next = Some(EventBody::Continued),
                _ => {}
            }
        }
    }
    assert!(state.outcome().is_some(), "it ends");
    state
}
