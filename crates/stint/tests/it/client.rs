//! The client's commands against a server: deploy, invoke, tasks, logs, why, backlogs, keys.

use crate::house::{House, eventually, stint};

const GREET: &str = "
import json, logging
logger = logging.getLogger()
def handler(event, context):
    task = json.loads(event)
    print('working on', task['n'])
    if task['n'] < 0:
        raise ValueError('negative')
    return {'double': task['n'] * 2}
";

#[test]
fn a_function_from_template_to_result() {
    let house = House::start();
    house.ok(&["init", "python3.10", "mine", "--name", "mine"]);
    let first = house.json(&["deploy", "--file", "mine/stint.yaml", "--publish"]);
    assert_eq!((&first[0]["action"], &first[0]["version"]), (&"created".into(), &"1".into()));
    let again = house.json(&["deploy", "--file", "mine/stint.yaml"]);
    assert_eq!(again[0]["action"], "unchanged");
    assert!(again[0]["codeBytes"].is_null(), "unchanged code is not sent again");
    let answer = house.ok(&["invoke", "mine", r#"{"name": "you"}"#]);
    assert!(answer.contains("\"hello\": \"you\""), "{answer}");
    let output = house.run(&["invoke", "mine", "{}", "--tail"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("working on"));
    let list = house.json(&["function", "list"]);
    assert_eq!(list["items"][0]["name"], "mine");
    house.ok(&["function", "alias", "set", "mine", "prod", "1"]);
    let alias = house.json(&["function", "alias", "list", "mine"]);
    assert_eq!(alias["items"][0]["versionId"], "1");
    assert!(house.ok(&["invoke", "mine", "{}", "--qualifier", "prod"]).contains("world"));
    house.ok(&["function", "code", "mine", "--to", "saved.zip"]);
    assert!(std::fs::read(house.file("saved.zip")).unwrap().starts_with(b"PK"));
    house.ok(&["function", "alias", "delete", "mine", "prod"]);
    house.ok(&["function", "unpublish", "mine", "1"]);
    house.ok(&["function", "delete", "mine"]);
    assert_eq!(house.fails(&["invoke", "mine", "{}"]).0, 3);
}

#[test]
fn a_task_is_submitted_followed_explained_and_found() {
    let house = House::start();
    house.deploy("greet", GREET, "    async: {retries: 0}\n");
    house.ok(&["backlog", "pause", "greet"]);
    let submit =
        ["task", "submit", "greet", r#"{"n": 21}"#, "--task-id", "a", "--tag", "kind=test"];
    let task = house.json(&submit);
    assert_eq!(task["taskId"], "a");
    let (code, error) = house.fails(&submit);
    assert!(code == 1 && error.contains("AsyncTaskAlreadyExists"), "{code} {error}");
    let why = house.ok(&["why", "greet/a"]);
    assert!(why.contains("paused"), "{why}");
    let (code, _) = house.fails(&["task", "wait", "greet/a", "--timeout", "200ms"]);
    assert_eq!(code, 4, "it waits no longer than it was told");
    let backlog = house.json(&["backlog", "show", "greet"]);
    assert_eq!(backlog["items"][0]["paused"], true);
    house.ok(&["backlog", "resume", "greet"]);

    let done = house.json(&["task", "wait", "a", "--function", "greet", "--timeout", "50s"]);
    assert_eq!(done["state"], "Succeeded");
    assert_eq!(house.ok(&["task", "get", "greet/a", "--result"]), r#"{"double": 42}"#);
    assert_eq!(house.ok(&["task", "get", "greet/a", "--payload"]), r#"{"n": 21}"#);
    let logs = eventually("its log is there", || {
        Some(house.ok(&["task", "logs", "greet/a"])).filter(|logs| logs.contains("working on 21"))
    });
    assert!(!logs.is_empty());

    let (code, error) = house.fails(&["task", "submit", "greet", r#"{"n": -1}"#, "--wait"]);
    assert!(code == 6 && error.contains("negative"), "{code} {error}");
    let failed = house.json(&["task", "list", "--function", "greet", "--state", "Failed"]);
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    let tagged = eventually("search has caught up", || {
        let found = house.json(&["task", "list", "--tag", "kind=test"]);
        Some(found).filter(|found| found["items"].as_array().is_some_and(|all| all.len() == 1))
    });
    assert_eq!(tagged["items"][0]["taskId"], "a");
    let would =
        house.json(&["task", "retry", "--function", "greet", "--state", "Failed", "--dry-run"]);
    assert_eq!((&would["matched"], &would["changed"]), (&1.into(), &0.into()));
    assert_eq!(house.fails(&["task", "get", "greet/none"]).0, 3);
    assert_eq!(house.fails(&["task", "stop"]).0, 2);
}

#[test]
fn many_tasks_from_a_file_and_a_stop_of_all_that_wait() {
    let house = House::start();
    house.deploy("greet", GREET, "");
    house.ok(&["backlog", "pause", "greet"]);
    let lines: String = (0..200).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    std::fs::write(house.file("tasks.txt"), lines).unwrap();
    let sent = house.json(&["task", "submit", "greet", "--lines", "tasks.txt"]);
    assert_eq!(sent["submitted"], 200);
    let count = house.json(&["task", "list", "--function", "greet", "--state", "open", "--count"]);
    assert_eq!(count["count"], 200);
    let stopped = house.json(&["task", "stop", "--function", "greet", "--state", "open"]);
    assert_eq!(stopped["changed"], 200);
    let page = house.json(&["task", "list", "--limit", "120"]);
    assert_eq!(page["items"].as_array().unwrap().len(), 120);
    assert!(page["next"].is_string());
}

#[test]
fn roles_bound_what_a_key_may_do() {
    let house = House::start();
    house.deploy("greet", GREET, "");
    let key = house.json(&["key", "create", "invoker", "--function", "greet"]);
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let run = |args: &[&str]| {
        let mut command = stint(house.data());
        command.args(args).env("STINT_ACCESS_KEY_ID", id).env("STINT_ACCESS_KEY_SECRET", secret);
        command.output().unwrap()
    };
    assert!(run(&["invoke", "greet", r#"{"n": 1}"#]).status.success());
    assert_eq!(run(&["function", "delete", "greet"]).status.code(), Some(7));
    house.ok(&["key", "disable", id]);
    assert_eq!(run(&["invoke", "greet", r#"{"n": 1}"#]).status.code(), Some(7));

    let account = house.json(&["account", "create", "team", "--weight", "50"]);
    assert_eq!(account["limits"]["weight"], 50);
    let accounts = house.json(&["account", "list"]);
    assert_eq!(accounts["items"].as_array().unwrap().len(), 2);
}

#[test]
fn an_s_yaml_of_serverless_devs_is_deployed_and_what_is_not_is_said() {
    let house = House::start();
    std::fs::create_dir(house.file("code")).unwrap();
    std::fs::write(house.file("code/index.py"), GREET).unwrap();
    let file = "
edition: 3.0.0
vars: {name: from-devs}
resources:
  one:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: ${vars.name}
      runtime: python3.10
      handler: index.handler
      code: ./code
      cpu: 0.25
      memorySize: 256
      timeout: 30
      asyncInvokeConfig: {asyncTask: true, maxAsyncRetryAttempts: 0}
      triggers: [{triggerName: daily, triggerType: timer, triggerConfig: {}}]
";
    std::fs::write(house.file("s.yaml"), file).unwrap();
    let output = house.run(&["deploy"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    assert!(error.contains("trigger `daily` (timer) is not deployed"), "{error}");
    assert!(house.ok(&["invoke", "from-devs", r#"{"n": 2}"#]).contains('4'));
}

#[test]
fn without_a_server_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = stint(dir.path()).args(["task", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stint up"));
    let refused = ["--endpoint", "127.0.0.1:1", "task", "list", "-o", "json"];
    let output = stint(dir.path()).args(refused).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exitCode"], 5);
}

#[test]
fn what_needs_no_server_works_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let ok = |args: &[&str]| {
        let output = stint(dir.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ok(&["completion", "bash"]).contains("_stint"));
    assert!(ok(&["version"]).contains(env!("CARGO_PKG_VERSION")));
    let shown = ok(&["config", "show", "--set", "grace=5s", "-o", "yaml"]);
    assert!(shown.contains("--set grace"), "{shown}");
    let wrong = stint(dir.path()).args(["config", "show", "--set", "grce=5s"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `grace`"));
}
