//! Ten thousand requests that mean no good leave the server healthy.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use crate::house::{House, raw};

const COUNT: usize = 10_000;

/// Bytes that are almost a request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let path = prop_oneof![
        Just("/2023-03-30/functions/f/invocations".to_owned()),
        Just("/v1/functions/f/tasks:batch".to_owned()),
        Just("/2023-03-30/functions".to_owned()),
        "/(v1|2023-03-30|links/code)/[a-zA-Z0-9%/:{}._-]{0,60}",
        "/[ -~]{0,80}",
        Just(format!("/v1/tasks?{}", "a=b&".repeat(3_000))),
    ];
    let method = prop_oneof!["GET", "POST", "PUT", "DELETE", "PATCH", "[A-Z]{1,9}", "[ -~]{0,6}"];
    let header = prop_oneof![
        "authorization: (ACS3-HMAC-SHA256|FC|Bearer|acs|) [ -~]{0,80}",
        Just(authorization(&"a".repeat(64))),
        "x-acs-(date|content-sha256|signature-nonce|security-token): [ -~]{0,70}",
        Just("x-acs-date: 2026-01-02T03:04:05Z".to_owned()),
        "x-fc-(invocation-type|async-delay|async-task-id|log-type): [ -~]{0,40}",
        "x-stint-(tags|depends-on|priority|cpu|run-at): [ -~]{0,60}",
        "content-type: [ -~]{0,30}",
        "(transfer-encoding: chunked|content-length: [0-9]{1,12}|expect: 100-continue)",
        "[a-z-]{1,20}: [ -~]{0,60}",
        Just(format!("x-long: {}", "y".repeat(9_000))),
        "[ -~]{0,40}",
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(b"{\"tasks\":[{\"payload\":".to_vec()),
        Just("[".repeat(5_000).into_bytes()),
        "\\PC{0,100}".prop_map(String::into_bytes),
    ];
    (method, path, proptest::collection::vec(header, 0..8), body).prop_map(
        |(method, path, headers, body)| {
            let mut text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
            for header in headers {
                text.push_str(&header);
                text.push_str("\r\n");
            }
            text.push_str("\r\n");
            let mut bytes = text.into_bytes();
            bytes.extend_from_slice(&body);
            bytes
        },
    )
}

fn authorization(signature: &str) -> String {
    format!(
        "authorization: ACS3-HMAC-SHA256 Credential=k,SignedHeaders=host;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce,Signature={signature}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_requests_leave_the_server_healthy() {
    let mut config = stint_api::ApiConfig::for_tests();
    // Requests that never end are let go quickly.
    config.head_timeout = stint_model::time::Span::from_millis(200);
    config.body_timeout = stint_model::time::Span::from_millis(200);
    let house = House::build_with(config).await;
    house.function("f").await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let strategy = request();
    let mut sent = 0;
    while sent < COUNT {
        let requests: Vec<Vec<u8>> = (0..100)
            .map(|_| strategy.new_tree(&mut runner).expect("a request").current())
            .collect();
        sent += requests.len();
        let answers = requests.iter().map(|request| raw(house.address, request));
        for (answer, request) in
            futures_util::future::join_all(answers).await.into_iter().zip(&requests)
        {
            let good = answer.is_empty() || answer.starts_with("HTTP/1.1 ");
            let text = String::from_utf8_lossy(request);
            assert!(good, "{text}\n{answer}");
            assert!(!answer.starts_with("HTTP/1.1 5"), "{text}\n{answer}");
            assert!(!answer.starts_with("HTTP/1.1 2") || is_open(&text), "{text}\n{answer}");
        }
    }
    assert_eq!(house.admin.ready().await.unwrap().status, "ok");
    house.admin.function_get("f", None).await.unwrap();
}

/// Addresses that answer anybody.
fn is_open(request: &str) -> bool {
    ["/healthz", "/readyz", "/metrics", "/openapi.json"].iter().any(|path| request.contains(path))
}
