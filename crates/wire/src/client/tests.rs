//! What is sent: read by a little server that answers once per connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use stint_model::time::Timestamp;
use stint_sign::{Request, SecretKey, acs3};

use super::*;
use crate::native::{TaskFilter, TaskSubmit};

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

fn client(address: SocketAddr, credentials: Credentials) -> Client {
    Client::new(ClientConfig {
        endpoint: address.to_string(),
        credentials,
        timeout: Duration::from_secs(20),
        ca_pem: None,
        now: Arc::new(|| NOW),
    })
    .unwrap()
}

/// Answers one request with `answer` and gives back what was asked.
#[expect(clippy::disallowed_methods, reason = "a test's own little server")]
fn serve_once(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0_u8; 4096];
        loop {
            let count = socket.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                break;
            }
        }
        socket.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, server)
}

#[tokio::test]
async fn what_is_sent_verifies() {
    let (address, server) = serve_once(
        "HTTP/1.1 202 Accepted\r\ncontent-length: 67\r\n\r\n{\"uid\":\"tsk_1\",\"taskId\":\"a\",\"requestId\":\"1-r\",\"taskMode\":true}     ",
    );
    let credentials = Credentials::Key {
        id: "ak".into(),
        secret: "sk".into(),
        security_token: Some("token".into()),
    };
    let accepted = client(address, credentials)
        .task_submit("f", Some("a b"), &TaskSubmit::with_payload(b"{}"))
        .await
        .unwrap();
    assert_eq!(accepted.uid, "tsk_1");
    let seen = server.join().unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"payloadText":"{}"}"#);
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/functions/f/tasks?qualifier=a%20b HTTP/1.1"));
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let authorization = headers.iter().find(|(name, _)| *name == "authorization").unwrap().1;
    let request =
        Request { method: "POST", path: "/v1/functions/f/tasks", query: "qualifier=a%20b" };
    let verified = acs3::Claim::parse(authorization)
        .unwrap()
        .verify(request, &headers[..], &SecretKey::new(b"sk"), NOW)
        .unwrap();
    verified.check_body(&stint_sign::sha256(body.as_bytes())).unwrap();
}

#[tokio::test]
async fn a_refusal_keeps_its_code() {
    let (address, server) = serve_once(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 66\r\n\r\n{\"Code\":\"AsyncTaskNotFound\",\"Message\":\"no task\",\"RequestId\":\"1-r\"}",
    );
    let client = client(address, Credentials::Bearer("t".into()));
    let refused = client.task_get("f/a").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::AsyncTaskNotFound));
    assert_eq!(refused.status(), Some(404));
    let seen = server.join().unwrap();
    assert!(seen.starts_with("GET /v1/functions/f/tasks/a HTTP/1.1"), "{seen}");
    assert!(seen.contains("authorization: Bearer t\r\n"), "{seen}");
}

#[tokio::test]
async fn lines_are_followed_to_the_end() {
    let (address, server) = serve_once(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\nevent: line\ndata: {\"at\":5,\"function\":\"f\",\"requestId\":\"r\",\"attempt\":1,\"instance\":\"c\",\"text\":\"hi\"}\n\nevent: end\ndata: {}\n\n",
    );
    let client = client(address, Credentials::Anonymous);
    let mut follow = client.task_logs_follow("tsk_1").await.unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().text, "hi");
    assert_eq!(follow.next().await.unwrap(), None);
    assert!(server.join().unwrap().starts_with("GET /v1/tasks/tsk_1/logs?follow=true "));
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address, Credentials::Anonymous).ready().await.unwrap_err();
    assert!(error.to_string().contains("reach http://127.0.0.1"), "{error}");
}

#[test]
fn an_address_is_checked() {
    for endpoint in ["ftp://x", "http://", "http://a:b"] {
        let config = ClientConfig {
            endpoint: endpoint.into(),
            credentials: Credentials::Anonymous,
            timeout: Duration::from_secs(1),
            ca_pem: None,
            now: Arc::new(|| NOW),
        };
        assert!(Client::new(config).is_err(), "{endpoint}");
    }
    let filter = TaskFilter { state: vec!["Failed".into()], ..TaskFilter::default() };
    assert!(format!("{:?}", filter.query()).contains("Failed"));
}
