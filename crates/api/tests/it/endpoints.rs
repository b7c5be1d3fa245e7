//! Every endpoint of both tables: refuses nobody and who may not, never answers an error without a
//! body, and says so when it is not built yet.

use stint_wire::client::Client;
use stint_wire::fc::operation::{self, State};
use stint_wire::native::operation as native;

use crate::house::{House, raw};

fn fill(path: &str) -> String {
    let mut filled = path.to_owned();
    for (parameter, value) in [
        ("{function}", "f"),
        ("{task}", "t"),
        ("{account}", "1000000000000001"),
        ("{key}", "k"),
        ("{f}", "f"),
        ("{v}", "1"),
    ] {
        filled = filled.replace(parameter, value);
    }
    // Whatever is left takes any name.
    while let (Some(open), Some(close)) = (filled.find('{'), filled.find('}')) {
        filled.replace_range(open..=close, "x");
    }
    filled
}

/// A bearer token of a role, so that requests can be written by hand.
async fn token(house: &House, role: &str) -> String {
    let key = stint_wire::native::KeyCreate {
        kind: Some("token".into()),
        role: role.into(),
        ..stint_wire::native::KeyCreate::default()
    };
    house.admin.key_create(&key).await.expect("made").token.expect("a token")
}

async fn ask(house: &House, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let authorization =
        token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\n{authorization}connection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let answer = raw(house.address, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    assert!(answer.to_lowercase().contains("x-fc-request-id: "), "{method} {path}: {answer}");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    if status >= 400 {
        for field in ["\"Code\":", "\"Message\":", "\"RequestId\":"] {
            assert!(body.contains(field), "{method} {path}: {answer}");
        }
    }
    (status, body)
}

/// A role that may not, for each need.
fn weak(need: &str) -> Option<&'static str> {
    match need {
        "invoke" => Some("viewer"),
        "read" => Some("invoker"),
        "write" => Some("viewer"),
        "administer" | "operate" => Some("developer"),
        "follow" | "any" | "open" => None,
        other => panic!("no such need: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_native_endpoint_refuses_nobody_and_who_may_not() {
    let house = House::build().await;
    house.function("f").await;
    let mut tokens = std::collections::BTreeMap::new();
    for role in ["invoker", "viewer", "developer"] {
        tokens.insert(role, token(&house, role).await);
    }
    for operation in native::OPERATIONS {
        let path = fill(operation.path);
        let (status, body) = ask(&house, operation.method, &path, None).await;
        if operation.need == "open" {
            assert_eq!(status, 200, "{path}: {body}");
            continue;
        }
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body.contains("MissingRequiredHeader"), "{path}: {body}");
        let Some(role) = weak(operation.need) else { continue };
        let (status, body) = ask(&house, operation.method, &path, Some(&tokens[role])).await;
        // What is not there may be told apart from what one may not touch only by those who may.
        let hides = ["/tasks/t", "/instances/x", "/flows/x"];
        let hidden = status == 404 && hides.iter().any(|place| path.contains(place));
        let refused = status == 403 && body.contains("AccessDenied");
        let unread = status == 400 && body.contains("InvalidArgument");
        assert!(
            refused || hidden || unread,
            "{} {path} as {role}: {status} {body}",
            operation.method
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_upstream_operation_refuses_nobody_and_is_built_or_says_that_it_is_not() {
    let house = House::build().await;
    house.function("f").await;
    let admin = token(&house, "admin").await;
    let invoker = token(&house, "invoker").await;
    for operation in operation::OPERATIONS {
        let path = format!("/2023-03-30{}", fill(operation.path));
        let (status, body) = ask(&house, operation.method, &path, None).await;
        assert_eq!(status, 400, "{}: {body}", operation.name);
        assert!(body.contains("MissingRequiredHeader"), "{}: {body}", operation.name);
        if operation.state == State::Later {
            let (status, body) = ask(&house, operation.method, &path, Some(&admin)).await;
            assert_eq!(status, 501, "{}: {body}", operation.name);
            assert!(body.contains("NotImplemented") && body.contains(operation.name), "{body}");
            continue;
        }
        // Last, for then the function would be gone.
        if operation.name != "DeleteFunction" {
            let (status, body) = ask(&house, operation.method, &path, Some(&admin)).await;
            assert_ne!(status, 501, "{}: {body}", operation.name);
            assert_ne!(status, 500, "{}: {body}", operation.name);
        }
        // Who may call may have sessions to call in.
        let open_to_invokers = operation.name.contains("Session")
            || ["InvokeFunction", "GetAsyncTask", "DescribeRegions"].contains(&operation.name);
        if !open_to_invokers {
            let (status, body) = ask(&house, operation.method, &path, Some(&invoker)).await;
            assert!(matches!(status, 400 | 403), "{}: {status} {body}", operation.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_nowhere_is_said_in_json() {
    let house = House::build().await;
    let admin = token(&house, "admin").await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/index.html", 404),
        ("PATCH", "/2023-03-30/functions", 400),
        ("GET", "/v1/nothing", 400),
        ("GET", "/2023-03-30/functions/%ff", 400),
    ] {
        let (got, body) = ask(&house, method, path, Some(&admin)).await;
        assert_eq!(got, status, "{method} {path}: {body}");
    }
    let answer = raw(house.trigger_address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("TriggerNotFound"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_served() {
    let house = House::build().await;
    let (status, body) = ask(&house, "GET", "/openapi.json", None).await;
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["info"]["version"], "1.2.3");
    let (status, body) = ask(&house, "GET", "/metrics", None).await;
    assert_eq!((status, body.as_str()), (200, "stint_up 1\n"));
    let client: &Client = &house.admin;
    assert_eq!(client.ready().await.unwrap().status, "ok");
}
