//! Flows through all three doors, each with its own signature, over the real engine.

use serde_json::{Value, json};
use stint_sign::{Request, SecretKey, format_utc, rpc, sha256, sigv4};
use stint_wire::client::ExecutionNews;
use stint_wire::native::{
    ExecutionFilter, ExecutionStart, ExecutionStop, FlowAliasPut, FlowCreate, FlowPublish,
    FlowRoute,
};
use stint_wire::{fnf, sfn};

use crate::house::{House, raw};

const PASS: &str =
    r#"{"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"v": 1}, "End": true}}}"#;
const WAIT: &str =
    r#"{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}}"#;

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn body(answer: &str) -> Value {
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn encode(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(name);
        text.push('=');
        stint_sign::encode_component(value.as_bytes(), &mut text);
        text.push('&');
    }
    text
}

/// A call of the workflow API, signed with V1: what it is about in the form.
async fn fnf_call(house: &House, action: &str, nonce: &str, form: &[(&str, &str)]) -> String {
    let (id, secret) = &house.admin_key;
    let now = format_utc(house.clock.wall_now());
    let mut query = encode(&[
        ("Action", action),
        ("Version", "2019-03-15"),
        ("AccessKeyId", id),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", nonce),
        ("Timestamp", &now),
    ]);
    let form = encode(form);
    let key = SecretKey::new(secret.as_bytes());
    let signature = rpc::Params::parse(&query, &form).expect("ours").sign("POST", &key);
    query.push_str(&encode(&[("Signature", &signature)]));
    let request = format!(
        "POST /?{query} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    raw(house.address, request.as_bytes()).await
}

/// A call of Step Functions, signed as AWS signs.
async fn sfn_call(house: &House, operation: &str, input: &Value) -> String {
    let (id, secret) = &house.admin_key;
    let date: String =
        format_utc(house.clock.wall_now()).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let target = format!("{}{operation}", sfn::TARGET_PREFIX);
    let text = input.to_string();
    let headers = [("host", "x"), ("x-amz-date", date.as_str()), ("x-amz-target", target.as_str())];
    let request = Request { method: "POST", path: "/", query: "" };
    let key = SecretKey::new(secret.as_bytes());
    let hash = sha256(text.as_bytes());
    let signed =
        sigv4::sign(request, &headers, &hash, ("r", "states"), (id, &key)).expect("signed");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-date: {date}\r\nx-amz-target: {target}\r\nauthorization: {signed}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    raw(house.address, request.as_bytes()).await
}

async fn flow(house: &House, name: &str, definition: &str) {
    let create =
        FlowCreate { name: name.into(), definition: definition.into(), ..FlowCreate::default() };
    house.admin.flow_create(&create).await.expect("made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_lives_behind_the_native_door() {
    let house = House::build().await;
    let client = &house.admin;
    flow(&house, "f", PASS).await;
    let found = client.flow_get("f", None).await.unwrap();
    assert_eq!(
        (found.dialect.as_str(), found.definition.as_deref()),
        ("States Language", Some(PASS))
    );
    assert_eq!(client.flow_list(None, None, None).await.unwrap().items[0].definition, None);
    let version = client.flow_publish("f", &FlowPublish::default()).await.unwrap();
    let put = FlowAliasPut {
        routes: vec![FlowRoute { version: version.version, weight: 100 }],
        description: String::new(),
    };
    for _ in 0..2 {
        assert_eq!(client.flow_alias_put("f", "prod", &put).await.unwrap().name, "prod");
    }
    let start = ExecutionStart {
        name: Some("e".into()),
        qualifier: Some("prod".into()),
        tags: [("team".to_owned(), "a".to_owned())].into(),
        ..ExecutionStart::default()
    };
    let run = client.execution_start("f", &start).await.unwrap();
    assert_eq!((run.name.as_str(), run.alias.as_deref()), ("e", Some("prod")));
    let wait = std::time::Duration::from_secs(10);
    let run = client.execution_wait("f", "e", wait).await.unwrap();
    assert_eq!((run.status.as_str(), run.output), ("Succeeded", Some(json!({"v": 1}))));
    let history = client.execution_history("f", "e", None, None).await.unwrap().items;
    let kinds: Vec<&str> = history.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    );
    let graph = client.execution_graph("f", "e").await.unwrap();
    assert_eq!(graph.steps[0].live.as_ref().map(|live| live.state.as_str()), Some("done"));
    let filter = ExecutionFilter {
        flow: Some("f".into()),
        tags: start.tags.clone(),
        status: vec!["ended".into()],
        ..ExecutionFilter::default()
    };
    let found = client.execution_list(&filter, None, None).await.unwrap();
    assert_eq!(found.items.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["e"]);
    client.flow_delete("f").await.unwrap();
    assert_eq!(client.flow_get("f", None).await.unwrap_err().status(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_is_followed_and_goes_on_where_it_broke() {
    let house = House::build().await;
    let client = &house.admin;
    flow(&house, "w", WAIT).await;
    let start = ExecutionStart { name: Some("e".into()), ..ExecutionStart::default() };
    client.execution_start("w", &start).await.unwrap();
    let mut news = client.execution_follow("w", "e", 0).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match news.next().await.unwrap() {
            Some(ExecutionNews::Event(event)) => seen.push(event.id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [1, 2]);
    drop(news);
    let why = client.execution_why("w", "e").await.unwrap();
    assert_eq!((why.steps[0].step.as_str(), why.steps[0].cause.as_str()), ("W", "time"));
    let mut news = client.execution_follow("w", "e", 1).await.unwrap();
    let stop = ExecutionStop { error: Some("E".into()), cause: None };
    let stopped = client.execution_stop("w", "e", &stop).await.unwrap();
    assert_eq!((stopped.status.as_str(), stopped.error.as_deref()), ("Stopped", Some("E")));
    let mut ids = Vec::new();
    loop {
        match news.next().await.unwrap() {
            Some(ExecutionNews::Event(event)) => ids.push(event.id),
            Some(ExecutionNews::Ended(run)) => {
                assert_eq!(run.status, "Stopped");
                break;
            }
            None => panic!("closed before the end"),
        }
    }
    assert_eq!(ids.first(), Some(&2));
    assert!(ids.windows(2).all(|two| two[1] == two[0] + 1), "{ids:?}");
    assert_eq!(news.next().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_of_fnf_checks_its_signature() {
    let house = House::build().await;
    let form = [("Name", "f"), ("Definition", PASS), ("Type", "FDL"), ("Description", "a b&c=d")];
    let answer = fnf_call(&house, "CreateFlow", "n1", &form).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let made = body(&answer);
    assert_eq!(
        (&made["Name"], &made["Type"], &made["Description"]),
        (&json!("f"), &json!("ASL"), &json!("a b&c=d"))
    );
    let again = fnf_call(&house, "CreateFlow", "n1", &form).await;
    assert_eq!((status(&again), &body(&again)["Code"]), (403, &json!("RequestReplayed")));
    let taken = fnf_call(&house, "CreateFlow", "n2", &form).await;
    assert_eq!((status(&taken), &body(&taken)["Code"]), (409, &json!("FlowAlreadyExists")));
    let missing = fnf_call(&house, "StartExecution", "n3", &[("RequestId", "mine")]).await;
    let missing_body = body(&missing);
    assert_eq!((status(&missing), &missing_body["Code"]), (400, &json!("MissingRequiredParams")));
    assert_eq!(
        (&missing_body["RequestId"], &missing_body["HostId"]),
        (&json!("mine"), &json!("x"))
    );
    let started =
        fnf_call(&house, "StartExecution", "n4", &[("FlowName", "f"), ("ExecutionName", "e")])
            .await;
    assert_eq!(body(&started)["Name"], "e", "{started}");
    house
        .until("it ends", async || {
            let form = [("FlowName", "f"), ("ExecutionName", "e"), ("WaitTimeSeconds", "5")];
            let found = fnf_call(&house, "DescribeExecution", "same", &form).await;
            body(&found)["Status"] == "Succeeded"
        })
        .await;
    let page = fnf_call(
        &house,
        "GetExecutionHistory",
        "n5",
        &[("FlowName", "f"), ("ExecutionName", "e"), ("Limit", "3")],
    );
    let page = body(&page.await);
    assert_eq!(
        (page["Events"].as_array().map(Vec::len), &page["NextToken"]),
        (Some(3), &json!("4"))
    );
    let unsigned = "GET /?Action=ListFlows HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let unsigned = raw(house.address, unsigned.as_bytes()).await;
    assert_eq!(
        (status(&unsigned), &body(&unsigned)["Code"]),
        (400, &json!("MissingRequiredParams"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_states_door_checks_its_signature() {
    let house = House::build().await;
    let create = json!({"name": "m", "definition": PASS, "roleArn": "arn:aws:iam::1:role/r"});
    let answer = sfn_call(&house, "CreateStateMachine", &create).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let arn = body(&answer)["stateMachineArn"].clone();
    let bad =
        sfn_call(&house, "CreateStateMachine", &json!({"name": "n", "definition": "{}"})).await;
    assert_eq!((status(&bad), &body(&bad)["__type"]), (400, &json!("InvalidDefinition")));
    let started =
        sfn_call(&house, "StartExecution", &json!({"stateMachineArn": arn, "name": "e"})).await;
    let run = body(&started)["executionArn"].clone();
    house
        .until("it ends", async || {
            let found = sfn_call(&house, "DescribeExecution", &json!({"executionArn": run})).await;
            body(&found)["status"] == "SUCCEEDED"
        })
        .await;
    let history = sfn_call(
        &house,
        "GetExecutionHistory",
        &json!({"executionArn": run, "reverseOrder": true}),
    )
    .await;
    assert_eq!(body(&history)["events"][0]["type"], "ExecutionSucceeded", "{history}");
    let trial = json!({"definition": r#"{"Type": "Pass", "Result": 5, "Next": "N"}"#});
    let tried = body(&sfn_call(&house, "TestState", &trial).await);
    assert_eq!(tried, json!({"status": "SUCCEEDED", "output": "5", "nextState": "N"}));
}

/// Nobody gets in, an admin finds every operation built, and nothing is answered that is no JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_of_both_doors_is_built() {
    let house = House::build().await;
    for (at, operation) in fnf::operation::OPERATIONS.iter().enumerate() {
        let answer = fnf_call(&house, operation.name, &format!("nonce{at}"), &[]).await;
        let code = body(&answer)["Code"].clone();
        assert!(!matches!(status(&answer), 500 | 501), "{}: {answer}", operation.name);
        let is_whole = operation.required.is_empty();
        assert_eq!(
            code == json!("MissingRequiredParams"),
            !is_whole,
            "{}: {answer}",
            operation.name
        );
    }
    for operation in sfn::operation::OPERATIONS {
        let answer = sfn_call(&house, operation.name, &json!({})).await;
        assert!(!matches!(status(&answer), 500 | 501), "{}: {answer}", operation.name);
        assert!(body(&answer)["__type"] != "UnknownOperationException", "{answer}");
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: AWSStepFunctions.{}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}",
            operation.name
        );
        let nobody = raw(house.address, request.as_bytes()).await;
        assert_eq!(body(&nobody)["__type"], "MissingAuthenticationTokenException", "{nobody}");
    }
}
