//! What implementations commonly get wrong (section F of the specification), one test a line. Numbers
//! are those of that list; what concerns the API and not the core is tested there.

use serde_json::{Value, json};
use stint_flow::{
    Command, CompileOptions, EventBody, ExecutionMode, Limits, Moment, Outcome, Plan, Problem,
    ProblemCode, Refusal, Report, TimerId, Verdict, compile,
};
use stint_model::time::Span;

use crate::world::{Answer, World, ready};

fn plan(definition: &Value) -> Plan {
    let compiled = compile(&definition.to_string(), CompileOptions::default());
    compiled.plan.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
}

fn problems(definition: &Value) -> Vec<Problem> {
    compile(&definition.to_string(), CompileOptions::default()).problems
}

fn codes(definition: &Value) -> Vec<ProblemCode> {
    problems(definition).into_iter().filter(Problem::is_error).map(|problem| problem.code).collect()
}

/// A machine whose first state is `A`.
fn machine(states: Value) -> Value {
    json!({"StartAt": "A", "States": states})
}

fn run(definition: &Value, input: Value) -> Outcome {
    run_with(definition, input, &[])
}

fn world<'p>(plan: &'p Plan, script: &[(&str, Answer)]) -> World<'p> {
    ready(plan, script)
}

fn run_with(definition: &Value, input: Value, script: &[(&str, Answer)]) -> Outcome {
    let plan = plan(definition);
    world(&plan, script).run(input)
}

fn output(definition: &Value, input: Value) -> Value {
    match run(definition, input) {
        Outcome::Succeeded { output } => output,
        other => panic!("{other:?}"),
    }
}

fn error(definition: &Value, input: Value) -> String {
    match run(definition, input) {
        Outcome::Failed { error, .. } => error.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn failed(error: &str) -> Answer {
    Answer::Error(Some(error.into()), Some("cause".into()))
}

fn done(output: Value) -> Answer {
    Answer::Output(output)
}

/// A task `A` that is retried and caught as said.
fn task(more: Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "f", "End": true});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    with_handler(task)
}

/// The handler is there if a rule leads to it.
fn with_handler(state: Value) -> Value {
    let is_needed = state.to_string().contains("Caught");
    let mut states = json!({"A": state});
    if is_needed {
        states["Caught"] = json!({"Type": "Pass", "End": true});
    }
    machine(states)
}

fn catch_all() -> Value {
    json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}])
}

#[test]
fn f01_result_path_goes_into_the_raw_input() {
    let definition =
        machine(json!({"A": {"Type": "Pass", "InputPath": "$.inner", "Parameters": {"p.$": "$.x"},
        "ResultPath": "$.result", "End": true}}));
    let input = json!({"inner": {"x": 1}, "outer": 2});
    let expected = json!({"inner": {"x": 1}, "outer": 2, "result": {"p": 1}});
    assert_eq!(output(&definition, input.clone()), expected);
    let definition = task(json!({"InputPath": "$.inner", "Catch": catch_all()}));
    let outcome = run_with(&definition, input, &[("A", failed("X"))]);
    let expected =
        json!({"inner": {"x": 1}, "outer": 2, "error": {"Error": "X", "Cause": "cause"}});
    assert_eq!(outcome, Outcome::Succeeded { output: expected });
}

#[test]
fn f02_null_paths() {
    let pass = |more: Value| {
        let mut pass = json!({"Type": "Pass", "End": true});
        pass.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        machine(json!({"A": pass}))
    };
    assert_eq!(output(&pass(json!({"InputPath": null})), json!({"x": 1})), json!({}));
    assert_eq!(output(&pass(json!({"OutputPath": null})), json!({"x": 1})), json!({}));
    let discarded = pass(json!({"Result": 5, "ResultPath": null}));
    assert_eq!(output(&discarded, json!({"x": 1})), json!({"x": 1}));
}

#[test]
fn f03_indefinite_paths_give_arrays_and_definite_ones_miss() {
    let select = |path: &str| {
        machine(json!({"A": {"Type": "Pass", "Parameters": {"v.$": path}, "End": true}}))
    };
    let input = json!({"one": [{"a": 1}], "list": [1, 2]});
    assert_eq!(output(&select("$.one[*].a"), input.clone()), json!({"v": [1]}));
    assert_eq!(output(&select("$.items[*]"), json!({})), json!({"v": []}));
    assert_eq!(output(&select("$.one[?(@.a > 5)]"), input.clone()), json!({"v": []}));
    assert_eq!(error(&select("$.items"), json!({})), "States.Runtime");
    assert_eq!(error(&select("$[0]"), json!({})), "States.Runtime");
    assert_eq!(output(&select("$[0]"), json!([7])), json!({"v": 7}));
}

#[test]
fn f04_filters_compare_as_jayway_does() {
    let select = |path: &str| {
        machine(json!({"A": {"Type": "Pass", "Parameters": {"v.$": path}, "End": true}}))
    };
    let input = json!({"l": [{"s": "b", "n": 1}, {"s": "a", "n": 2.5}, {"n": "x"}]});
    assert_eq!(output(&select("$.l[?(@.s == 'a')].n"), input.clone()), json!({"v": [2.5]}));
    assert_eq!(output(&select("$.l[?(@.s != 'a')].n"), input.clone()), json!({"v": [1, "x"]}));
    assert_eq!(output(&select("$.l[?(@.n >= 1)].n"), input), json!({"v": [1, 2.5]}));
}

fn choice(rule: Value) -> Value {
    let mut rule = rule;
    rule["Next"] = json!("Yes");
    machine(json!({"A": {"Type": "Choice", "Choices": [rule], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": true, "End": true}, "No": {"Type": "Pass", "Result": false, "End": true}}))
}

#[test]
fn f05_wrong_types_are_false_and_a_missing_variable_is_an_error() {
    let is = |rule: Value, input: Value| output(&choice(rule), input);
    assert_eq!(is(json!({"Variable": "$.v", "NumericEquals": 1}), json!({"v": "1"})), json!(false));
    assert_eq!(is(json!({"Variable": "$.v", "NumericEquals": 1}), json!({"v": 1.0})), json!(true));
    assert_eq!(is(json!({"Variable": "$.v", "IsPresent": false}), json!({})), json!(true));
    assert_eq!(
        is(json!({"Variable": "$.v", "IsTimestamp": true}), json!({"v": "2024-01-01"})),
        json!(false)
    );
    let zoned = json!({"Variable": "$.v", "TimestampEquals": "2024-01-01T01:00:00+01:00"});
    assert_eq!(is(zoned, json!({"v": "2024-01-01T00:00:00Z"})), json!(true));
    let missing = choice(json!({"Variable": "$.v", "NumericEquals": 1}));
    assert_eq!(error(&missing, json!({})), "States.Runtime");
    let not = json!({"Not": {"Variable": "$.v", "StringMatches": "a*"}});
    assert_eq!(is(not, json!({"v": "abc"})), json!(false));
}

#[test]
fn f06_a_path_applied_to_null_is_a_runtime_error() {
    let definition = choice(json!({"Variable": "$", "IsNull": true}));
    assert_eq!(error(&definition, json!(null)), "States.Runtime");
}

fn map(more: Value) -> Value {
    let mut map = json!({"Type": "Map", "MaxConcurrency": 1, "End": true, "ItemProcessor": {"StartAt": "T",
        "States": {"T": {"Type": "Task", "Resource": "f", "End": true}}}});
    map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    with_handler(map)
}

#[test]
fn f07_the_first_failing_iteration_stops_the_rest() {
    let definition = map(json!({"Catch": [{"ErrorEquals": ["Inner"], "Next": "Caught"}]}));
    let plan = plan(&definition);
    let mut world =
        world(&plan, &[("T", done(json!(1))), ("T", failed("Inner")), ("T", done(json!(3)))]);
    let outcome = world.run(json!([1, 2, 3]));
    assert_eq!(outcome, Outcome::Succeeded { output: json!({"Error": "Inner", "Cause": "cause"}) });
    assert_eq!(world.calls.len(), 2, "the third iteration never starts");
}

#[test]
fn f08_retriers_count_for_themselves() {
    let rules = json!({"Retry": [{"ErrorEquals": ["X"], "MaxAttempts": 1}, {"ErrorEquals": ["Y"], "MaxAttempts": 2},
        {"ErrorEquals": ["Z"], "MaxAttempts": 0}]});
    let plan = plan(&task(rules));
    let attempts = |errors: &[&str]| {
        let script: Vec<_> = errors.iter().map(|error| ("A", failed(error))).collect();
        let mut world = world(&plan, &script);
        world.script.get_mut("A").unwrap().push_back(done(json!("ok")));
        let outcome = world.run(json!({}));
        (world.calls.len(), outcome)
    };
    assert_eq!(attempts(&["X", "Y", "Y"]).1, Outcome::Succeeded { output: json!("ok") });
    let (calls, outcome) = attempts(&["X", "Y", "X"]);
    assert!(
        calls == 3
            && matches!(outcome, Outcome::Failed { error, .. } if error.as_deref() == Some("X"))
    );
    assert_eq!(attempts(&["Z"]).0, 1, "no attempt but the first");
}

#[test]
fn f08_jitter_comes_after_the_cap() {
    let rules = |jitter: &str| {
        json!({"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "BackoffRate": 3.0,
            "MaxAttempts": 4, "MaxDelaySeconds": 150, "JitterStrategy": jitter}]})
    };
    let delays = |jitter: &str| {
        let plan = plan(&task(rules(jitter)));
        let mut world = world(&plan, &[("A", failed("X")), ("A", failed("X")), ("A", failed("X"))]);
        world.start(json!({}));
        let mut delays = Vec::new();
        for _ in 0..3 {
            world.act_all();
            delays.push(world.timer_at(TimerId::Thread(0)).unwrap().since(world.now).secs());
            world.wake();
        }
        delays
    };
    assert_eq!(delays("NONE"), [100, 150, 150]);
    assert!(delays("FULL").iter().zip([100, 150, 150]).all(|(delay, most)| *delay < most));
}

#[test]
fn f09_runtime_errors_are_fatal_and_branch_errors_keep_their_name() {
    let fatal = machine(
        json!({"A": {"Type": "Parallel", "End": true, "Branches": [{"StartAt": "P", "States":
        {"P": {"Type": "Pass", "InputPath": "$.none", "End": true}}}],
        "Catch": [{"ErrorEquals": ["States.Runtime"], "Next": "C"}, {"ErrorEquals": ["States.ALL"], "Next": "C"}]},
        "C": {"Type": "Pass", "End": true}}),
    );
    assert_eq!(error(&fatal, json!({})), "States.Runtime");
    let failing = machine(
        json!({"A": {"Type": "Parallel", "End": true, "Branches": [{"StartAt": "F", "States":
        {"F": {"Type": "Fail", "Error": "Own", "Cause": "mine"}}}]}}),
    );
    let own = Outcome::Failed { error: Some("Own".into()), cause: Some("mine".into()) };
    assert_eq!(run(&failing, json!({})), own);
    let timeout = task(json!({"TimeoutSeconds": 5, "Catch":
        [{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"}]}));
    let outcome = run_with(&timeout, json!({}), &[("A", Answer::Silence)]);
    assert_eq!(
        outcome,
        Outcome::Failed { error: Some("States.Timeout".into()), cause: Some(String::new()) }
    );
    let heartbeat = task(json!({"TimeoutSeconds": 50, "HeartbeatSeconds": 5, "Catch":
        [{"ErrorEquals": ["States.Timeout"], "Next": "Caught"}]}));
    let outcome = run_with(&heartbeat, json!({}), &[("A", Answer::Silence)]);
    let caught = json!({"Error": "States.HeartbeatTimeout", "Cause": ""});
    assert_eq!(outcome, Outcome::Succeeded { output: caught });
}

fn callback(more: Value) -> Value {
    let mut more = more;
    more["Resource"] = json!("arn:aws:states:::lambda:invoke.waitForTaskToken");
    more["Parameters"] = json!({"token.$": "$$.Task.Token", "n.$": "$$.State.RetryCount"});
    task(more)
}

fn token(world: &World<'_>) -> String {
    world.calls.last().unwrap().input["token"].as_str().unwrap().to_owned()
}

fn report(world: &mut World<'_>, token: &str, report: Report) -> Verdict {
    world.send(EventBody::Reported { token: token.to_owned(), report })
}

#[test]
fn f10_a_timed_out_token_is_void_and_each_retry_has_its_own() {
    let plan = plan(&callback(
        json!({"TimeoutSeconds": 10, "Retry": [{"ErrorEquals": ["States.Timeout"]}]}),
    ));
    let mut world = world(&plan, &[]);
    world.start(json!({}));
    world.act_all();
    let first = token(&world);
    world.wake();
    world.act_all();
    let late = report(&mut world, &first, Report::Succeeded(json!(1)));
    assert_eq!(late, Verdict::Refused(Refusal::UnknownToken));
    world.wake();
    world.act_all();
    let second = token(&world);
    assert_ne!(first, second);
    assert_eq!(world.calls[1].input["n"], json!(1));
    assert_eq!(world.calls[1].id.attempt, 2);
    let old = report(&mut world, &first, Report::Succeeded(json!(1)));
    assert_eq!(old, Verdict::Refused(Refusal::UnknownToken));
    let Verdict::Applied { event: Some(event) } =
        report(&mut world, &second, Report::Succeeded(json!(2)))
    else {
        panic!("the report is taken");
    };
    assert_eq!(world.rows[usize::try_from(event).unwrap() - 1].moment, Moment::TaskSucceeded);
    assert_eq!(world.state.outcome(), Some(&Outcome::Succeeded { output: json!(2) }));
    let again = report(&mut world, &second, Report::Succeeded(json!(2)));
    assert_eq!(again, Verdict::Refused(Refusal::Ended));
}

#[test]
fn f10_a_report_that_races_the_submit_wins() {
    let plan = plan(&callback(json!({})));
    let mut world = world(&plan, &[]);
    world.start(json!({}));
    world.act_all();
    let (token, call) = (token(&world), world.calls[0].id);
    report(&mut world, &token, Report::Succeeded(json!("early")));
    assert_eq!(world.send(EventBody::Submitted { call }), Verdict::Refused(Refusal::Ended));
    assert_eq!(world.state.outcome(), Some(&Outcome::Succeeded { output: json!("early") }));
}

#[test]
fn f11_heartbeats_and_timeouts_are_measured_from_where_they_should() {
    let plan = plan(&callback(json!({"TimeoutSeconds": 100, "HeartbeatSeconds": 30})));
    let mut world = world(&plan, &[]);
    let start = world.now;
    world.start(json!({}));
    world.act_all();
    let token = token(&world);
    for _ in 0..3 {
        world.now = world.now + Span::from_secs(29);
        assert!(matches!(report(&mut world, &token, Report::Alive), Verdict::Applied { .. }));
    }
    // 87 seconds have passed; timers that went off early only set themselves again.
    while world.state.outcome().is_none() {
        assert!(world.wake());
        world.act_all();
    }
    assert_eq!(
        world.now.since(start).secs(),
        100,
        "the timeout counts from the start of the attempt"
    );
    let error = Some("States.Timeout".into());
    assert_eq!(world.state.outcome(), Some(&Outcome::Failed { error, cause: Some(String::new()) }));
}

#[test]
fn f11_a_callback_without_timeout_waits_for_the_execution_s_end() {
    let mut definition = callback(json!({}));
    definition["TimeoutSeconds"] = json!(1000);
    let plan = plan(&definition);
    let mut world = world(&plan, &[]);
    world.start(json!({}));
    world.settle();
    assert_eq!(world.state.outcome(), None);
    assert_eq!(
        world.send(EventBody::Woken { timer: TimerId::Execution }),
        Verdict::Refused(Refusal::UnknownTimer)
    );
    world.now = world.now + Span::from_secs(1000);
    world.send(EventBody::Woken { timer: TimerId::Execution });
    assert!(matches!(world.state.outcome(), Some(Outcome::TimedOut { .. })));
    let last = world.rows.last().unwrap();
    assert_eq!(last.name, "ExecutionTimedOut");
}

#[test]
fn f12_a_timeout_stops_the_remote_work() {
    let plan = plan(&task(json!({"TimeoutSeconds": 5})));
    let mut world = world(&plan, &[("A", Answer::Silence)]);
    world.run(json!({}));
    let call = world.calls[0].id;
    assert!(world.stopped.contains(&call));
}

fn jsonata(state: Value) -> Value {
    let mut definition = machine(json!({"A": state}));
    definition["QueryLanguage"] = json!("JSONata");
    definition
}

#[test]
fn f13_jsonata_results() {
    let pass =
        |output: &str| jsonata(json!({"Type": "Pass", "Output": {"v": output}, "End": true}));
    assert_eq!(error(&pass("{% $states.input.none %}"), json!({})), "States.QueryEvaluationError");
    assert_eq!(output(&pass("{% null %}"), json!({})), json!({"v": null}));
    assert_eq!(
        output(&pass("{% $states.input.l[$ > 1] %}"), json!({"l": [1, 2]})),
        json!({"v": 2})
    );
    assert_eq!(
        output(&pass("{% $states.input.l[$ > 1][] %}"), json!({"l": [1, 2]})),
        json!({"v": [2]})
    );
    assert_eq!(error(&pass("{% function($x){$x} %}"), json!({})), "States.QueryEvaluationError");
    assert_eq!(
        output(&pass("x {% 1 %}"), json!({})),
        json!({"v": "x {% 1 %}"}),
        "text around: a literal"
    );
    let Outcome::Failed { cause, .. } = run(&pass("{% $none %}"), json!({})) else { panic!() };
    assert!(cause.unwrap().contains("field 'Output/v' returned nothing (undefined)"));
}

#[test]
fn f14_assign_and_output_do_not_see_each_other() {
    let definition = json!({"StartAt": "A", "QueryLanguage": "JSONata", "States": {
        "A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x": 2}, "Output": "{% $x %}", "Next": "C"},
        "C": {"Type": "Pass", "Output": "{% [$states.input, $x] %}", "End": true}}});
    assert_eq!(output(&definition, json!({})), json!([1, 2]));
}

#[test]
fn f14_inner_variables_vanish_and_outer_ones_cannot_be_assigned() {
    let inner = |name: &str| {
        machine(json!({"A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "P"},
            "P": {"Type": "Parallel", "Next": "Z", "Branches": [{"StartAt": "I", "States":
                {"I": {"Type": "Pass", "Assign": {name: 2}, "Next": "J"},
                 "J": {"Type": "Pass", "Parameters": {"x.$": "$x", "own.$": format!("${name}")}, "End": true}}}]},
            "Z": {"Type": "Pass", "Parameters": {"x.$": "$x"}, "End": true}}))
    };
    assert_eq!(output(&inner("y"), json!({})), json!({"x": 1}));
    assert_eq!(codes(&inner("x")), [ProblemCode::ScopeViolation]);
    let mut leaking = inner("y");
    leaking["States"]["Z"]["Parameters"]["x.$"] = json!("$y");
    assert_eq!(error(&leaking, json!({})), "States.Runtime");
}

#[test]
fn f15_templates_without_the_suffix_are_literal() {
    let definition = machine(json!({"A": {"Type": "Pass", "End": true, "Parameters":
        {"a": "$.x", "b": [{"c.$": "$.x"}, "$.x"], "d": "States.UUID()"}}}));
    let expected = json!({"a": "$.x", "b": [{"c": 1}, "$.x"], "d": "States.UUID()"});
    assert_eq!(output(&definition, json!({"x": 1})), expected);
    let wrong = machine(json!({"A": {"Type": "Pass", "Parameters": {"a.$": "x"}, "End": true}}));
    assert_eq!(codes(&wrong), [ProblemCode::BadPath]);
    let number = machine(json!({"A": {"Type": "Pass", "Parameters": {"a.$": 1}, "End": true}}));
    assert_eq!(codes(&number), [ProblemCode::WrongType]);
}

#[test]
fn f16_intrinsics_can_nest_and_their_failure_has_a_name() {
    let definition = machine(json!({"A": {"Type": "Pass", "End": true, "Parameters": {
        "merged.$": "States.JsonMerge($.o, States.StringToJson($.text), false)",
        "said.$": r"States.Format('it\'s \{{}\}', $.o.a)"}}}));
    let input = json!({"o": {"a": 1}, "text": "{\"b\": \"x\\\\\"}"});
    let expected = json!({"merged": {"a": 1, "b": "x\\"}, "said": "it's {1}"});
    assert_eq!(output(&definition, input), expected);
    let failing = machine(
        json!({"A": {"Type": "Pass", "End": true, "Parameters": {"v.$": "States.StringToJson('{')"}}}),
    );
    assert_eq!(error(&failing, json!({})), "States.IntrinsicFailure");
}

#[test]
fn f17_results_keep_the_order_of_declaration() {
    let branch = |name: &str, seconds: u64| {
        json!({"StartAt": name, "States": {name:
        {"Type": "Wait", "Seconds": seconds, "Next": format!("{name}p")},
        format!("{name}p"): {"Type": "Pass", "Result": name, "End": true}}})
    };
    let definition = machine(json!({"A": {"Type": "Parallel", "End": true,
        "Branches": [branch("slow", 9), branch("fast", 1)]}}));
    assert_eq!(output(&definition, json!({})), json!(["slow", "fast"]));
}

#[test]
fn f18_waits_that_cannot_be_fail() {
    let wait = machine(json!({"A": {"Type": "Wait", "SecondsPath": "$.s", "End": true}}));
    for wrong in [json!(1.5), json!(-1), json!(99_999_999_999_i64), json!("5"), json!(null)] {
        assert_eq!(error(&wait, json!({"s": wrong})), "States.Runtime", "{wrong}");
    }
    assert_eq!(output(&wait, json!({"s": 3.0})), json!({"s": 3.0}));
    let until = machine(json!({"A": {"Type": "Wait", "TimestampPath": "$.t", "End": true}}));
    for wrong in ["2300-01-01T00:00:00Z", "2024-01-01", "tomorrow"] {
        assert_eq!(error(&until, json!({"t": wrong})), "States.Runtime", "{wrong}");
    }
    let past = json!({"t": "2001-01-01T00:00:00Z"});
    assert_eq!(output(&until, past.clone()), past, "the past is at once");
}

#[test]
fn f23_history_is_gapless_and_causes_stay_in_their_branch() {
    let plan = plan(&map(json!({"MaxConcurrency": 0})));
    let mut world =
        world(&plan, &[("T", done(json!(1))), ("T", done(json!(2))), ("T", done(json!(3)))]);
    world.run(json!([1, 2, 3]));
    for (at, row) in world.rows.iter().enumerate() {
        assert_eq!(row.id, at as u64 + 1);
        let Some(before) =
            row.previous.checked_sub(1).and_then(|at| world.rows.get(usize::try_from(at).unwrap()))
        else {
            continue;
        };
        let is_fork = row.moment == Moment::IterationStarted;
        assert!(
            is_fork || before.thread == row.thread || row.thread == 0,
            "{row:?} after {before:?}"
        );
    }
    let names: Vec<_> = world.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        &names[..4],
        ["ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapIterationStarted"]
    );
    assert_eq!(
        &names[names.len() - 3..],
        ["MapStateSucceeded", "MapStateExited", "ExecutionSucceeded"]
    );
}

#[test]
fn f24_sizes_are_checked_on_every_step() {
    let double = json!({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "Next": "A"});
    let definition = machine(json!({"A": double, "E": {"Type": "Succeed"}}));
    // `E` is not reached, so the definition is refused; a rule makes it reachable.
    assert!(codes(&definition).contains(&ProblemCode::UnreachableState));
    let definition = machine(
        json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.end", "IsPresent": true,
        "Next": "E"}], "Default": "D"}, "D": {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "Next": "A"},
        "E": {"Type": "Succeed"}}),
    );
    assert_eq!(error(&definition, json!({"x": "é".repeat(1000)})), "States.DataLimitExceeded");
    let large = || done(json!("x".repeat(262_200)));
    let caught = task(
        json!({"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Caught"}]}),
    );
    let outcome = run_with(&caught, json!({}), &[("A", large())]);
    let Outcome::Succeeded { output } = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        output["e"]["Error"],
        json!("States.DataLimitExceeded"),
        "a task's result can be handled"
    );
}

#[test]
fn f25_definitions_are_checked_when_they_are_made() {
    let pass = || json!({"Type": "Pass", "End": true});
    let table = [
        (machine(json!({"A": {"Type": "Pass", "Next": "Nope"}})), ProblemCode::DanglingTarget),
        (machine(json!({"A": pass(), "B": pass()})), ProblemCode::UnreachableState),
        (machine(json!({"A": {"Type": "Pass", "Next": "A"}})), ProblemCode::NoTerminalState),
        (json!({"StartAt": "X", "States": {"A": pass()}}), ProblemCode::DanglingTarget),
        (machine(json!({"A": {"Type": "Pass"}})), ProblemCode::MissingField),
        (machine(json!({"A": {"Type": "Pass", "End": true, "Next": "A"}})), ProblemCode::BothOfTwo),
        (
            machine(
                json!({"A": {"Type": "Wait", "Seconds": 1, "SecondsPath": "$.x", "End": true}}),
            ),
            ProblemCode::BothOfTwo,
        ),
        (
            machine(
                json!({"A": {"Type": "Wait", "Timestamp": "2024-13-01T00:00:00Z", "End": true}}),
            ),
            ProblemCode::BadTimestamp,
        ),
        (machine(json!({"A": {"Type": "Paas", "End": true}})), ProblemCode::WrongValue),
        (
            machine(json!({"A": {"Type": "Pass", "End": true, "Retry": []}})),
            ProblemCode::UnknownField,
        ),
        (
            machine(json!({"A": {"Type": "Pass", "End": true, "Output": 1}})),
            ProblemCode::WrongLanguage,
        ),
        (
            machine(json!({"A": {"Type": "Pass", "End": true, "ResultPath": "$.a[*]"}})),
            ProblemCode::BadPath,
        ),
    ];
    each_is_found(&table);
}

#[test]
fn f25_so_are_rules_resources_and_languages() {
    let pass = || json!({"Type": "Pass", "End": true});
    let table = [
        (
            task(json!({"Catch": [{"ErrorEquals": ["States.ALL", "X"], "Next": "Caught"}]})),
            ProblemCode::BadErrorRule,
        ),
        (
            task(json!({"Catch": catch_all(), "TimeoutSeconds": 5, "HeartbeatSeconds": 5})),
            ProblemCode::WrongValue,
        ),
        (
            task(json!({"Catch": catch_all(), "Resource": "arn:aws:s3:::b"})),
            ProblemCode::BadResource,
        ),
        (
            machine(
                json!({"A": {"Type": "Map", "End": true, "Label": "x", "ItemProcessor": {"StartAt": "T", "States": {"T": pass()}}}}),
            ),
            ProblemCode::WrongValue,
        ),
        (
            machine(
                json!({"A": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "A", "States": {"A": pass()}}}}),
            ),
            ProblemCode::DuplicateName,
        ),
        (
            jsonata(json!({"Type": "Pass", "QueryLanguage": "JSONPath", "End": true})),
            ProblemCode::WrongLanguage,
        ),
        (
            jsonata(json!({"Type": "Pass", "Assign": {"states": 1}, "End": true})),
            ProblemCode::ScopeViolation,
        ),
    ];
    each_is_found(&table);
}

fn each_is_found(table: &[(Value, ProblemCode)]) {
    for (definition, code) in table {
        let found = problems(definition);
        let meant = found.iter().find(|problem| problem.code == *code && problem.is_error());
        let meant =
            meant.unwrap_or_else(|| panic!("{} not in {found:#?}\n{definition}", code.as_str()));
        assert!(meant.at.line == 1 && meant.at.column > 0, "{meant:?}");
    }
}

#[test]
fn f25_a_target_in_another_scope_is_named() {
    let definition = machine(
        json!({"A": {"Type": "Parallel", "End": true, "Branches": [{"StartAt": "I", "States":
        {"I": {"Type": "Pass", "Next": "A"}}}]}}),
    );
    let found = problems(&definition);
    assert_eq!(found[0].code, ProblemCode::TargetOutOfScope);
    assert_eq!(found[0].path, "/States/A/Branches/0/States/I/Next");
}

#[test]
fn express_flows_have_no_callbacks() {
    let express = CompileOptions { mode: ExecutionMode::Express };
    let compiled = compile(&callback(json!({"Catch": catch_all()})).to_string(), express);
    assert!(compiled.problems.iter().any(|problem| problem.code == ProblemCode::NotInExpress));
    assert!(compiled.plan.is_none());
}

#[test]
fn stop_gives_up_everything_under_way() {
    let plan = plan(&map(json!({"MaxConcurrency": 0})));
    let mut world = world(&plan, &[]);
    world.start(json!([1, 2, 3]));
    world.act_all();
    world.send(EventBody::Stop { error: Some("E".into()), cause: None });
    world.act_all();
    assert_eq!(world.stopped.len(), 3);
    assert_eq!(world.rows.last().unwrap().name, "ExecutionAborted");
    let call = world.calls[0].id;
    let late = world.send(EventBody::Succeeded { call, output: json!(1) });
    assert_eq!(late, Verdict::Refused(Refusal::Ended));
}

#[test]
fn a_redrive_runs_again_what_failed_and_nothing_else() {
    let plan = plan(&map(json!({"MaxConcurrency": 1})));
    let mut world = world(&plan, &[("T", done(json!(1))), ("T", failed("X"))]);
    assert!(matches!(world.run(json!([1, 2, 3])), Outcome::Failed { .. }));
    assert_eq!(world.calls.len(), 2);
    let again = ["T", "T"].map(|state| (state, done(json!("again"))));
    for (state, answer) in again {
        world.script.get_mut(state).unwrap().push_back(answer);
    }
    assert!(matches!(world.send(EventBody::Redriven), Verdict::Applied { .. }));
    world.settle();
    let output = json!([1, "again", "again"]);
    assert_eq!(world.state.outcome(), Some(&Outcome::Succeeded { output }));
    assert_eq!(world.calls.len(), 4, "what succeeded is not called again");
    let ids: std::collections::BTreeSet<_> = world.calls.iter().map(|call| call.id).collect();
    assert_eq!(ids.len(), 4, "every call has an id of its own");
    assert_eq!(world.send(EventBody::Redriven), Verdict::Refused(Refusal::NotFailed));
}

#[test]
fn an_endless_loop_ends_at_the_history_s_limit_and_turns_stay_short() {
    let definition = machine(
        json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.stop", "IsPresent": true,
        "Next": "E"}], "Default": "A"}, "E": {"Type": "Succeed"}}),
    );
    let plan = plan(&definition);
    let mut world = world(&plan, &[]);
    let limits = Limits {
        turn_steps_max: 100,
        history_events_max: 3_000,
        ..Limits::of(plan.dialect(), ExecutionMode::Standard)
    };
    world.start_with(json!({}), limits, None);
    world.settle();
    assert!(
        matches!(world.state.outcome(), Some(Outcome::Failed { error, .. }) if error.as_deref() == Some("States.Runtime"))
    );
    assert!(world.rows.len() < 3_010);
    assert!(world.continued > 10, "one turn does not do it all");
}

#[test]
fn the_same_event_twice_changes_nothing() {
    let plan = plan(&task(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}]})));
    let mut world = world(&plan, &[]);
    world.start(json!({}));
    world.act_all();
    let call = world.calls[0].id;
    let failure = || EventBody::Failed { call, error: Some("X".into()), cause: None };
    assert!(matches!(world.send(failure()), Verdict::Applied { .. }));
    let before = world.state.clone();
    assert_eq!(world.send(failure()), Verdict::Refused(Refusal::UnknownCall));
    assert_eq!(world.state, before);
    let commands = world.take_commands();
    assert!(commands.iter().any(|command| matches!(command, Command::Wake { .. })));
}

#[test]
fn values_cannot_grow_deep_without_end() {
    let definition = machine(json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.stop",
        "IsPresent": true, "Next": "E"}], "Default": "D"}, "D": {"Type": "Pass", "Parameters":
        {"a.$": "$"}, "Next": "A"}, "E": {"Type": "Succeed"}}));
    assert_eq!(error(&definition, json!({})), "States.DataLimitExceeded");
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let pass = machine(json!({"A": {"Type": "Pass", "End": true}}));
    assert_eq!(error(&pass, deep), "States.DataLimitExceeded");
}

#[test]
fn errors_from_outside_are_cut() {
    let long = || Some("é".repeat(100_000));
    let outcome = run_with(&task(json!({})), json!({}), &[("A", Answer::Error(long(), long()))]);
    let Outcome::Failed { error: Some(error), cause: Some(cause) } = outcome else { panic!() };
    assert_eq!((error.len(), cause.len()), (256, 32 * 1024));
}

#[test]
fn endless_retries_end_at_the_history_s_limit_too() {
    let definition =
        task(json!({"Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 99_999_999,
        "MaxDelaySeconds": 2}]}));
    let plan = plan(&definition);
    let mut world = world(&plan, &[]);
    let failures = std::iter::repeat_n(failed("X"), 2_000);
    world.script.insert("A".to_owned(), failures.collect());
    let limits =
        Limits { history_events_max: 500, ..Limits::of(plan.dialect(), ExecutionMode::Standard) };
    world.start_with(json!({}), limits, None);
    world.settle();
    let Some(Outcome::Failed { error, .. }) = world.state.outcome() else { panic!() };
    assert_eq!(error.as_deref(), Some("States.Runtime"));
    assert!(world.rows.len() < 510);
}
