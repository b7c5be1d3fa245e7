//! Who may come in: signatures, tokens, temporary keys, replays, changed bodies.

use stint_model::code::Code;
use stint_sign::{Request, SecretKey, acs3, format_utc};
use stint_wire::client::{Credentials, InvokeOptions};
use stint_wire::native::{KeyCreate, KeyPatch, KeyTemporary};
use stint_wire::time::Seconds;

use crate::house::{House, raw};

/// A signed request as bytes.
fn signed(house: &House, request: (&str, &str, &str), body: &[u8], nonce: &str) -> Vec<u8> {
    let (method, path, query) = request;
    let (id, secret) = &house.admin_key;
    let host = house.address.to_string();
    let date = format_utc(house.clock.wall_now());
    let hash = acs3::body_hash(body);
    let headers = [
        ("host", host.as_str()),
        ("x-acs-date", date.as_str()),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-content-sha256", hash.as_str()),
        ("x-acs-action", "Test"),
    ];
    let line = Request { method, path, query };
    let authorization =
        acs3::sign(line, &headers, id, &SecretKey::new(secret.as_bytes())).expect("signs");
    let mut text = format!("{method} {path}");
    if !query.is_empty() {
        text.push('?');
        text.push_str(query);
    }
    text.push_str(" HTTP/1.1\r\n");
    for (name, value) in headers {
        text.extend([
            name, ": ", value, "
",
        ]);
    }
    text.extend([format!(
        "authorization: {authorization}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )]);
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_request_is_good_once_if_it_changes_something() {
    let house = House::build().await;
    house.function("f").await;
    let read = signed(&house, ("GET", "/2023-03-30/functions/f", ""), b"", "n1");
    assert!(raw(house.address, &read).await.starts_with("HTTP/1.1 200"));
    assert!(raw(house.address, &read).await.starts_with("HTTP/1.1 200"), "reads may repeat");
    let path = "/2023-03-30/functions/f/invocations";
    let call = signed(&house, ("POST", path, ""), b"x", "n2");
    assert!(raw(house.address, &call).await.starts_with("HTTP/1.1 200"));
    let replayed = raw(house.address, &call).await;
    assert!(
        replayed.starts_with("HTTP/1.1 403") && replayed.contains("RequestReplayed"),
        "{replayed}"
    );
    assert!(replayed.contains("x-fc-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_body_or_query_is_noticed() {
    let house = House::build().await;
    house.function("f").await;
    let path = "/2023-03-30/functions/f/invocations";
    let mut call = signed(&house, ("POST", path, ""), b"abc", "n");
    *call.last_mut().unwrap() = b'd';
    let answer = raw(house.address, &call).await;
    assert!(answer.contains("SignatureNotMatch"), "{answer}");
    let call = signed(&house, ("POST", path, "qualifier=LATEST"), b"abc", "n");
    let changed = String::from_utf8(call).unwrap().replace("qualifier=LATEST", "qualifier=LATESS");
    let answer = raw(house.address, changed.as_bytes()).await;
    assert!(answer.contains("SignatureNotMatch"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_token_speaks_for_its_key_until_it_is_switched_off() {
    let house = House::build().await;
    house.function("f").await;
    let made = house
        .admin
        .key_create(&KeyCreate {
            kind: Some("token".into()),
            role: "invoker".into(),
            functions: vec!["f".into()],
            ..KeyCreate::default()
        })
        .await
        .unwrap();
    let client = house.client(Credentials::Bearer(made.token.unwrap()));
    let who = client.who_am_i().await.unwrap();
    assert_eq!((who.role.as_str(), &who.functions[..]), ("invoker", &["f".to_owned()][..]));
    assert_eq!(client.invoke("f", "x", InvokeOptions::default()).await.unwrap().status, 200);
    let denied = client.function_get("f", None).await.unwrap_err();
    assert_eq!((denied.code(), denied.status()), (Some(Code::AccessDenied), Some(403)));
    house.admin.key_update(&made.key.id, &KeyPatch { disabled: Some(true) }).await.unwrap();
    let refused = client.who_am_i().await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::InvalidAccessKeyID));
    let wrong = house.client(Credentials::Bearer("nobody.nothing".into()));
    assert_eq!(wrong.who_am_i().await.unwrap_err().status(), Some(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_key_needs_its_session_token() {
    let house = House::build().await;
    let made = house
        .admin
        .key_temporary(&KeyTemporary {
            role: Some("viewer".into()),
            expires_in: Some("15m".parse::<Seconds>().unwrap()),
            ..KeyTemporary::default()
        })
        .await
        .unwrap();
    let secret = made.secret.unwrap();
    let with = |token: Option<String>| {
        let (id, secret) = (made.key.id.clone(), secret.clone());
        house.client(Credentials::Key { id, secret, security_token: token })
    };
    assert_eq!(with(made.security_token.clone()).who_am_i().await.unwrap().role, "viewer");
    for token in [None, Some("wrong".to_owned())] {
        let refused = with(token).who_am_i().await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::InvalidSecurityToken));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_is_taken_at_once() {
    let house = House::build().await;
    let made = house
        .admin
        .key_create(&KeyCreate { role: "viewer".into(), ..KeyCreate::default() })
        .await
        .unwrap();
    let client = |secret: &str| {
        let (id, secret) = (made.key.id.clone(), secret.to_owned());
        house.client(Credentials::Key { id, secret, security_token: None })
    };
    let old = made.secret.clone().unwrap();
    assert!(client(&old).who_am_i().await.is_ok());
    let new = house.admin.key_rotate(&made.key.id).await.unwrap().secret.unwrap();
    assert_eq!(client(&old).who_am_i().await.unwrap_err().code(), Some(Code::SignatureNotMatch));
    assert!(client(&new).who_am_i().await.is_ok());
    house.admin.key_delete(&made.key.id).await.unwrap();
    assert_eq!(client(&new).who_am_i().await.unwrap_err().code(), Some(Code::InvalidAccessKeyID));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_what_is_missing_but_not_what_is_there() {
    let house = House::build().await;
    for request in [
        "GET /2023-03-30/functions HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /2023-03-30/nonsense HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v1/nonsense HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: AWSStepFunctions.ListStateMachines\r\ncontent-length: 0\r\n\r\n",
    ] {
        let answer = raw(house.address, request.as_bytes()).await;
        let said = ["MissingRequiredHeader", "MissingAuthenticationTokenException"];
        assert!(said.iter().any(|code| answer.contains(code)), "{request}: {answer}");
    }
    let old = "GET /v1/whoami HTTP/1.1\r\nhost: x\r\nauthorization: acs AK:c2ln\r\n\r\n";
    let answer = raw(house.address, old.as_bytes()).await;
    assert!(answer.contains("not supported; sign with ACS3-HMAC-SHA256"), "{answer}");
}
