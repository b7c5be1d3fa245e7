//! CloudFlow's state machine, through whole executions.

use serde_json::{Value, json};
use stint_flow::{
    CallMode, CompileOptions, Dialect, Outcome, Plan, ProblemCode, Resource, compile,
};

use crate::world::{Answer, ready};

fn text(states: &str) -> String {
    format!("Type: StateMachine\nName: demo\nSpecVersion: v1\nStartAt: A\nStates:\n{states}")
}

fn plan(states: &str) -> Plan {
    let compiled = compile(&text(states), CompileOptions::default());
    compiled.plan.unwrap_or_else(|| panic!("{:#?}", compiled.problems))
}

fn codes(states: &str) -> Vec<ProblemCode> {
    let compiled = compile(&text(states), CompileOptions::default());
    compiled.problems.iter().filter(|p| p.is_error()).map(|problem| problem.code).collect()
}

fn run(states: &str, input: Value, script: &[(&str, Answer)]) -> Outcome {
    let plan = plan(states);
    assert_eq!(plan.dialect(), Dialect::CloudFlow);
    ready(&plan, script).run(input)
}

fn output(states: &str, input: Value) -> Value {
    match run(states, input, &[]) {
        Outcome::Succeeded { output } => output,
        other => panic!("{other:?}"),
    }
}

#[test]
fn constructors_replace_and_globals_are_committed_after_output() {
    let states = r#"
  - Type: Pass
    Name: A
    InputConstructor:
      x.$: $Input.n
      literal: $Input.n
      nested: [{y.$: "intAdd($Input.n, 1)"}]
    OutputConstructor:
      seen.$: $Output.x
      before.$: $Global
    GlobalConstructor:
      total.$: $Output.x
    Next: B
  - Type: Pass
    Name: B
    OutputConstructor:
      all.$: $Input
      total.$: $Global.total
      name.$: $Context.Current.Name
    End: true
"#;
    let expected = json!({"all": {"seen": 5, "before": {}}, "total": 5, "name": "B"});
    assert_eq!(output(states, json!({"n": 5})), expected);
}

#[test]
fn parallel_and_map_wrap_their_results() {
    let states = "
  - Type: Parallel
    Name: A
    Branches:
      - StartAt: L
        States: [{Type: Pass, Name: L, OutputConstructor: {v: left}, End: true}]
      - StartAt: R
        States: [{Type: Succeed, Name: R, End: true}]
    Next: M
  - Type: Map
    Name: M
    ItemsPath: toArray($Input.Branch0, $Input.Branch1)
    MaxConcuccency: 1
    Processor:
      StartAt: P
      States: [{Type: Pass, Name: P, OutputConstructor: {got.$: $Input}, End: true}]
    End: true
";
    let items = json!({"Items": [{"got": {"v": "left"}}, {"got": {"x": 1}}]});
    assert_eq!(output(states, json!({"x": 1})), items);
}

#[test]
fn choices_and_waits() {
    let states = "
  - Type: Choice
    Name: A
    Branches:
      - Condition: $Context.Current.Input.Size>=1024 && $Input.status==\"ready\"
        Next: Big
    Default: Small
  - {Type: Wait, Name: Big, UntilDateTime: $Input.t, Seconds: 3, End: true}
  - {Type: Fail, Name: Small, Code: TooSmall, Detail: sorry}
";
    let big = json!({"Size": 2048, "status": "ready", "t": "2020-01-01T00:00:00Z"});
    assert_eq!(output(states, big.clone()), big);
    let small = run(states, json!({"Size": 1, "status": "ready"}), &[]);
    assert_eq!(
        small,
        Outcome::Failed { error: Some("TooSmall".into()), cause: Some("sorry".into()) }
    );
    let no_boolean = run(states, json!({"status": "x"}), &[]);
    assert!(
        matches!(no_boolean, Outcome::Failed { error, .. } if error.as_deref() == Some("FnF.RuntimeError"))
    );
}

#[test]
fn tasks_retry_and_catch() {
    let states = "
  - Type: Task
    Name: A
    Action: FC:InvokeFunction
    TaskMode: WaitForCustomCallback
    Timeout: 0
    Parameters:
      resourceArn: acs:fc:::functions/f
      body: {token.$: $Context.Current.TaskToken, retries.$: $Context.Current.RetryCount}
    Retry: [{Errors: [Again], MaxAttempts: 1, IntervalSeconds: 7}]
    Catch: [{Errors: [FnF.ALL], Next: H, OutputConstructor: {code.$: $Context.Current.Error.Code, detail.$: $Context.Current.Error.Detail}}]
    OutputConstructor: {r.$: $Output.Body.x}
    End: true
  - {Type: Pass, Name: H, End: true}
";
    let plan = plan(states);
    let failed = |error: &str| Answer::Error(Some(error.into()), Some("why".into()));
    let mut world = ready(&plan, &[("A", failed("Again")), ("A", failed("Again"))]);
    let start = world.now;
    let output = json!({"code": "Again", "detail": "why"});
    assert_eq!(world.run(json!({})), Outcome::Succeeded { output });
    assert_eq!(world.now.since(start).secs(), 7);
    let call = &world.calls[1];
    assert_eq!(call.mode, CallMode::Callback);
    assert_eq!(
        call.resource,
        Resource::Service { product: "fc".into(), api: "InvokeFunction".into() }
    );
    assert_eq!(call.input["body"]["retries"], json!(1));
    assert_ne!(world.calls[0].input["body"]["token"], call.input["body"]["token"]);
    assert_eq!(call.timeout, None, "zero is none");
    let done =
        run(states, json!({}), &[("A", Answer::Output(json!({"Body": {"x": 3}, "Code": 200})))]);
    assert_eq!(done, Outcome::Succeeded { output: json!({"r": 3}) });
}

#[test]
fn a_fail_in_a_branch_can_be_caught_around_it() {
    let states = "
  - Type: Parallel
    Name: A
    Branches:
      - StartAt: F
        States: [{Type: Fail, Name: F, Code: Mine}]
    Catch: [{Errors: [Mine], Next: H}]
    End: true
  - {Type: Pass, Name: H, End: true}
";
    assert_eq!(output(states, json!({"kept": 1})), json!({"kept": 1}));
}

#[test]
fn distributed_maps_run_children_with_shaped_items() {
    let states = "
  - Type: Map
    Name: A
    ItemsPath: $Input.list
    ItemConstructor: {it.$: $Item, outer.$: $Input.outer}
    Processor:
      ProcessorConfig: {ExecutionMode: Express}
      StartAt: P
      States: [{Type: Pass, Name: P, End: true}]
    End: true
";
    let items = json!({"Items": [{"it": 1, "outer": 9}, {"it": 2, "outer": 9}]});
    assert_eq!(output(states, json!({"list": [1, 2], "outer": 9})), items);
}

#[test]
fn what_a_definition_may_not_say() {
    let pass = "{Type: Pass, Name: A, End: true, OutputConstructor: ";
    let table = [
        (format!("  - {pass}{{a.$: literal}}}}\n"), ProblemCode::BadExpression),
        (format!("  - {pass}{{a.$: 3}}}}\n"), ProblemCode::WrongType),
        (format!("  - {pass}{{a.$: $Item}}}}\n"), ProblemCode::BadPath),
        (
            "  - {Type: Pass, Name: A, End: true, InputConstructor: {a.$: $Output}}\n".into(),
            ProblemCode::BadPath,
        ),
        (
            "  - {Type: Choice, Name: A, Branches: [{Condition: '$Input.a', Next: A}]}\n".into(),
            ProblemCode::MissingField,
        ),
        ("  - {Type: Task, Name: A, Action: nope, End: true}\n".into(), ProblemCode::BadResource),
        ("  - {Type: Pass, Name: A}\n".into(), ProblemCode::MissingField),
        ("  - {Type: Pass, Name: A, End: true, Retry: []}\n".into(), ProblemCode::UnknownField),
    ];
    for (states, code) in table {
        assert!(
            codes(&states).contains(&code),
            "{} not in {:?}: {states}",
            code.as_str(),
            codes(&states)
        );
    }
    let object =
        "Type: StateMachine\nName: d\nSpecVersion: v1\nStartAt: A\nStates: {A: {Type: Pass}}\n";
    let problems = compile(object, CompileOptions::default()).problems;
    assert!(problems.iter().any(|problem| problem.code == ProblemCode::WrongType));
}
