//! FDL v1: data model, control rules and errors, through whole executions.

use serde_json::{Value, json};
use stint_flow::{
    CallMode, CompileOptions, Dialect, EventBody, Outcome, Plan, ProblemCode, Report, Resource,
    compile,
};

use crate::world::{Answer, ready};

fn plan(steps: &str) -> Plan {
    let compiled = compile(&format!("version: v1\ntype: flow\n{steps}"), CompileOptions::default());
    compiled.plan.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
}

fn codes(steps: &str) -> Vec<ProblemCode> {
    let compiled = compile(&format!("version: v1\ntype: flow\n{steps}"), CompileOptions::default());
    compiled.problems.iter().filter(|p| p.is_error()).map(|problem| problem.code).collect()
}

fn run(steps: &str, input: Value, script: &[(&str, Answer)]) -> Outcome {
    let plan = plan(steps);
    assert_eq!(plan.dialect(), Dialect::Fdl);
    ready(&plan, script).run(input)
}

fn output(steps: &str, input: Value) -> Value {
    match run(steps, input, &[]) {
        Outcome::Succeeded { output } => output,
        other => panic!("{other:?}"),
    }
}

fn done(output: Value) -> Answer {
    Answer::Output(output)
}

fn failed(error: &str) -> Answer {
    Answer::Error(Some(error.into()), Some("why".into()))
}

const TASK: &str = "
steps:
  - type: task
    name: call
    resourceArn: acs:fc:::services/s/functions/f
    retry:
      - errors: [FC.ResourceThrottled]
        intervalSeconds: 2
        maxAttempts: 2
        multiplier: 2
    catch:
      - errors: [Known]
        goto: handle
    errorMappings:
      - {target: what, source: $local.error}
      - {target: why, source: $local.cause}
  - {type: succeed, name: good}
  - type: pass
    name: handle
    outputMappings:
      - {target: handled, source: $input.what}
";

#[test]
fn locals_accumulate_and_outputs_are_mapped() {
    let steps = "
inputMappings:
  - {target: a, source: $input.x}
  - {target: constant, source: $price}
steps:
  - type: pass
    name: first
    outputMappings:
      - {target: one, source: 1}
      - {target: both, source: [$input.a]}
  - type: pass
    name: second
    inputMappings:
      - {target: seen, source: $local.one}
      - {target: seen, source: $input.constant}
    outputMappings:
      - {target: two, source: $input.seen}
      - {target: one, source: 11}
outputMappings:
  - {target: all, source: $local}
  - {target: input, source: $input}
";
    let expected =
        json!({"all": {"one": 11, "both": ["$input.a"], "two": "$price"}, "input": {"x": 5}});
    assert_eq!(output(steps, json!({"x": 5})), expected);
}

#[test]
fn without_mappings_a_step_sees_input_under_local_and_a_pass_gives_nothing() {
    let steps = "
steps:
  - {type: pass, name: set, outputMappings: [{target: a, source: 2}]}
  - {type: pass, name: nothing}
  - {type: pass, name: see, outputMappings: [{target: sum, source: $input.a}, {target: b, source: $input.b}]}
";
    assert_eq!(output(steps, json!({"a": 1, "b": 9})), json!({"a": 2, "sum": 2, "b": 9}));
}

#[test]
fn a_missing_path_fails_the_step_and_an_indefinite_one_is_empty() {
    let steps = |path: &str| {
        format!(
            "
steps:
  - {{type: pass, name: see, outputMappings: [{{target: v, source: {path}}}]}}
"
        )
    };
    assert_eq!(output(&steps("'$input.none[*]'"), json!({})), json!({"v": []}));
    let outcome = run(&steps("$input.none"), json!({}), &[]);
    assert!(
        matches!(outcome, Outcome::Failed { error, .. } if error.as_deref() == Some("FnF.RuntimeError"))
    );
}

#[test]
fn tasks_retry_catch_and_map_their_errors() {
    let throttled = || failed("FC.ResourceThrottled");
    let plan = plan(TASK);
    let mut world = ready(
        &plan,
        &[("call", throttled()), ("call", throttled()), ("call", done(json!({"r": 1})))],
    );
    let start = world.now;
    assert_eq!(world.run(json!({})), Outcome::Succeeded { output: json!({"r": 1}) });
    assert_eq!(world.now.since(start).secs(), 2 + 4);
    let caught = run(TASK, json!({}), &[("call", failed("Known"))]);
    let output = json!({"what": "Known", "why": "why", "handled": "Known"});
    assert_eq!(caught, Outcome::Succeeded { output });
    let unknown = run(TASK, json!({}), &[("call", failed("Other"))]);
    assert!(matches!(unknown, Outcome::Failed { error, .. } if error.as_deref() == Some("Other")));
    let no_object = run(TASK, json!({}), &[("call", done(json!([1])))]);
    assert!(
        matches!(no_object, Outcome::Failed { error, .. } if error.as_deref() == Some("FnF.InvalidLocal"))
    );
}

const CHOICE: &str = "
steps:
  - type: choice
    name: look
    choices:
      - condition: $.status == \"ready\" && $.n <= 3
        steps:
          - {type: pass, name: inner, outputMappings: [{target: was, source: ready}], end: true}
          - {type: pass, name: never, outputMappings: [{target: never, source: 1}]}
        goto: last
      - condition: $.status == \"failed\"
        goto: bad
    outputMappings:
      - {target: chosen, source: $local}
  - {type: pass, name: between, outputMappings: [{target: between, source: true}]}
  - {type: pass, name: last, outputMappings: [{target: last, source: true}], end: true}
  - {type: fail, name: bad, error: Bad, cause: it was bad}
";

#[test]
fn choices_run_inline_steps_then_go_on() {
    let ready = json!({"chosen": {"was": "ready"}, "last": true});
    assert_eq!(output(CHOICE, json!({"status": "ready", "n": 3})), ready);
    let none = json!({"chosen": {}, "between": true, "last": true});
    assert_eq!(output(CHOICE, json!({"status": "other", "n": 3})), none, "no match, no default");
    let bad = run(CHOICE, json!({"status": "failed", "n": 1}), &[]);
    assert_eq!(
        bad,
        Outcome::Failed { error: Some("Bad".into()), cause: Some("it was bad".into()) }
    );
}

#[test]
fn parallel_and_foreach_lose_their_results_without_mappings() {
    let steps = |mappings: &str| {
        format!(
            "
steps:
  - type: parallel
    name: both
    branches:
      - steps: [{{type: pass, name: l, outputMappings: [{{target: v, source: left}}]}}]
      - steps: [{{type: pass, name: r, outputMappings: [{{target: v, source: right}}]}}]
{mappings}"
        )
    };
    assert_eq!(output(&steps(""), json!({})), json!({}));
    let mapped = steps(
        "    outputMappings: [{target: all, source: '$local[*].v'}, {target: first, source: '$local[0]'}]\n",
    );
    assert_eq!(
        output(&mapped, json!({})),
        json!({"all": ["left", "right"], "first": {"v": "left"}})
    );
}

#[test]
fn foreach_gives_item_and_index() {
    let steps = "
steps:
  - type: foreach
    name: each
    iterationMapping: {collection: $.names, item: name, index: i}
    steps:
      - {type: pass, name: one, outputMappings: [{target: got, source: $input.name}, {target: at, source: $input.i}, {target: outer, source: $input.outer}]}
    outputMappings: [{target: all, source: $local}]
";
    let all = json!([{"got": "a", "at": 0, "outer": 7}, {"got": "b", "at": 1, "outer": 7}]);
    assert_eq!(output(steps, json!({"names": ["a", "b"], "outer": 7})), json!({"all": all}));
    assert_eq!(output(steps, json!({"names": [], "outer": 7})), json!({"all": []}));
}

#[test]
fn a_failing_branch_fails_the_flow_with_its_error() {
    let steps = "
steps:
  - type: parallel
    name: both
    branches:
      - steps: [{type: fail, name: f, error: Mine}]
      - steps: [{type: wait, name: w, duration: 100}]
";
    assert_eq!(
        run(steps, json!({}), &[]),
        Outcome::Failed { error: Some("Mine".into()), cause: None }
    );
}

#[test]
fn end_ends_a_list_and_succeed_too() {
    let steps = "
steps:
  - type: parallel
    name: both
    branches:
      - steps:
          - {type: pass, name: a, outputMappings: [{target: a, source: 1}], end: true}
          - {type: pass, name: b, outputMappings: [{target: b, source: 1}]}
      - steps:
          - {type: succeed, name: s}
          - {type: fail, name: f}
    outputMappings: [{target: all, source: $local}]
  - {type: pass, name: after, outputMappings: [{target: after, source: 1}]}
";
    assert_eq!(output(steps, json!({})), json!({"all": [{"a": 1}, {}], "after": 1}));
}

#[test]
fn callbacks_take_the_token_from_the_context() {
    let steps = "
steps:
  - type: task
    name: ask
    resourceArn: acs:mns:::/topics/t/messages
    pattern: waitForCallback
    timeoutSeconds: 60
    inputMappings:
      - {target: token, source: $context.task.token}
      - {target: id, source: $context.step.eventId}
    serviceParams: {MessageBody: $, Tag: constant}
";
    let plan = plan(steps);
    let mut world = ready(&plan, &[]);
    world.start(json!({}));
    world.act_all();
    let call = world.calls[0].clone();
    assert_eq!(call.mode, CallMode::Callback);
    assert_eq!(
        call.resource,
        Resource::Service { product: "mns".into(), api: "/topics/t/messages".into() }
    );
    assert_eq!(call.input["MessageBody"]["id"], json!(2));
    assert_eq!(call.input["Tag"], json!("constant"));
    let token = call.input["MessageBody"]["token"].as_str().unwrap().to_owned();
    let address = stint_flow::TokenAddress::parse(&token).unwrap();
    assert_eq!(address.call, call.id);
    world.send(EventBody::Reported { token, report: Report::Succeeded(json!({"ok": true})) });
    assert_eq!(world.state.outcome(), Some(&Outcome::Succeeded { output: json!({"ok": true}) }));
    let names: Vec<_> = world.rows.iter().map(|row| row.name.as_str()).collect();
    let expected = [
        "ExecutionStarted",
        "StepEntered",
        "StepStarted",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "StepSucceeded",
        "StepExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(names, expected);
}

#[test]
fn timeouts_have_fnf_names() {
    let steps = "
timeoutSeconds: 100
steps:
  - type: task
    name: slow
    resourceArn: acs:fnf:::flow/child
    pattern: sync
    timeoutSeconds: 5
    serviceParams: {Input: $.for_child}
";
    let outcome = run(steps, json!({"for_child": {"x": 1}}), &[("slow", Answer::Silence)]);
    assert!(
        matches!(outcome, Outcome::Failed { error, .. } if error.as_deref() == Some("FnF.TaskTimeout"))
    );
}

#[test]
fn what_a_definition_may_not_say() {
    let table = [
        ("steps:\n  - {type: pass, name: a, goto: b}\n", ProblemCode::UnknownField),
        (
            "steps:\n  - {type: pass, name: a}\n  - {type: pass, name: a}\n",
            ProblemCode::DuplicateName,
        ),
        (
            "steps:\n  - {type: wait, name: a, duration: 1, timestamp: 2024-01-01T00:00:00Z}\n",
            ProblemCode::BothOfTwo,
        ),
        ("steps:\n  - {type: wait, name: a, duration: 172801}\n", ProblemCode::WrongValue),
        ("steps:\n  - {type: wait, name: a, timestamp: 2024-01-01}\n", ProblemCode::BadTimestamp),
        ("steps:\n  - {type: pass, name: a, retry: []}\n", ProblemCode::BadErrorRule),
        ("steps:\n  - {type: loop, name: a}\n", ProblemCode::WrongValue),
        (
            "steps:\n  - {type: task, name: a, resourceArn: x, action: 'a:b'}\n",
            ProblemCode::BothOfTwo,
        ),
        (
            "steps:\n  - {type: task, name: a, resourceArn: 'acs:fc:::functions/f', pattern: sync}\n",
            ProblemCode::WrongValue,
        ),
        (
            "steps:\n  - {type: choice, name: a, choices: [{condition: $.a = 1}]}\n",
            ProblemCode::BadExpression,
        ),
        ("steps: []\n", ProblemCode::MissingField),
    ];
    for (steps, code) in table {
        assert!(
            codes(steps).contains(&code),
            "{} not in {:?}: {steps}",
            code.as_str(),
            codes(steps)
        );
    }
}

#[test]
fn a_goto_across_levels_is_refused_where_it_stands() {
    let text = "version: v1
type: flow
steps:
  - type: choice
    name: look
    choices:
      - condition: $.a
        steps:
          - type: task
            name: inner
            resourceArn: acs:fc:::functions/f
            catch:
              - errors: [FnF.ALL]
                goto: outer
  - {type: pass, name: outer}
";
    let problem = compile(text, CompileOptions::default()).problems.remove(0);
    assert_eq!(problem.code, ProblemCode::TargetOutOfScope);
    assert_eq!((problem.at.line, problem.at.column), (14, 23));
    assert_eq!(problem.path, "/steps/0/choices/0/steps/0/catch/0/goto");
}
