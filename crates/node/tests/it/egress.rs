//! The way out of an instance: what is behind the doors, what is not, and what is said about it.

use std::sync::Arc;

use serde_json::{Value, json};
use stint_node::{EgressConfig, NodeNetwork};
use stint_wire::node::{InstanceState, PoolSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::rig::{As, Rig, is_root};

/// Goes where the event says, in the way the event says.
const TRAVELLER: &str = r#"
import json, os, socket, urllib.error, urllib.request

def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except OSError as error:
        return [0, str(error)]

def through(asked, expected):
    s = socket.create_connection(("127.0.0.1", 3128), 15)
    s.sendall(asked)
    got = b""
    while expected not in got:
        piece = s.recv(4096)
        if not piece:
            break
        got += piece
    return s, got

def connect(target):
    s, got = through(b"CONNECT %s HTTP/1.1\r\n\r\n" % target.encode(), b"\r\n\r\n")
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    rest = b""
    while True:
        piece = s.recv(4096)
        if not piece:
            return (got + rest).decode()
        rest += piece

def socks(host, port):
    s, got = through(b"\x05\x01\x00", b"\x05\x00")
    s.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
    verdict = s.recv(10)[1]
    if verdict == 0:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return [verdict, s.recv(4096).decode()]
    return [verdict, ""]

def raw(address, port):
    try:
        socket.create_connection((address, port), 5).close()
        return "connected"
    except OSError as error:
        return error.strerror or str(error)

def hold(host, port):
    s, got = through(b"CONNECT %s:%d HTTP/1.1\r\n\r\n" % (host.encode(), port), b"\r\n\r\n")
    hold.kept = s
    return got.decode()

def crowd(n):
    kept = [socket.create_connection(("127.0.0.1", 3128), 5) for _ in range(n)]
    last = socket.create_connection(("127.0.0.1", 3128), 5)
    last.settimeout(10)
    return last.recv(200).decode()

def env():
    return {k: v for k, v in os.environ.items() if "proxy" in k.lower() or k == "STINT_ENDPOINT"}

def handler(event, context):
    asked = json.loads(event)
    return json.dumps(globals()[asked[0]](*asked[1:]))
"#;

fn traveller(rig: &Rig) -> Arc<PoolSpec> {
    Arc::new(rig.function("python3.10", &[("index.py", TRAVELLER)]))
}

async fn go(rig: &Rig, spec: &Arc<PoolSpec>, how: Value) -> Value {
    let done = rig.invoke(spec, how.to_string().as_bytes()).await;
    assert_eq!(done.outcome, stint_wire::node::Outcome::Ok, "{how}: {}", done.text());
    done.json()
}

/// Answers each connection with what it read first.
async fn host_service(rig: &Rig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    rig.serve("host-service", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let n = stream.read(&mut asked).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&asked[..n]).lines().next().unwrap_or("").to_owned();
            let body = format!("host heard {line}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.ok();
        }
    });
    port
}

async fn rig(who: As) -> (Rig, u16) {
    // The port must be known before the node is.
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let rig = Rig::with(who, |config| {
        config.egress.host_ports = (1..=u16::MAX).collect();
        config.egress.host_ports.retain(|known| *known != port);
    })
    .await;
    (rig, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_is_reached_in_every_language() {
    for who in if is_root() { vec![As::Me, As::Nobody] } else { vec![As::Me] } {
        let (rig, _) = rig(who).await;
        let (port, spec) = (host_service(&rig).await, traveller(&rig));
        let url = format!("http://host.stint.internal:{port}/path?x=1");
        let got = go(&rig, &spec, json!(["fetch", url])).await;
        assert_eq!(got, json!([200, "host heard GET /path?x=1 HTTP/1.1"]), "{who:?}");
        let got = go(&rig, &spec, json!(["connect", format!("host.stint.internal:{port}")])).await;
        let got = got.as_str().unwrap();
        assert!(got.starts_with("HTTP/1.1 200 Connection established\r\n\r\n"), "{got}");
        assert!(got.ends_with("host heard GET / HTTP/1.0"), "{got}");
        let got = go(&rig, &spec, json!(["socks", "host.stint.internal", port])).await;
        assert_eq!(got[0], 0);
        assert!(got[1].as_str().unwrap().ends_with("host heard GET / HTTP/1.0"), "{got}");
        rig.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused_with_the_reason() {
    let (rig, unnamed) = rig(As::Me).await;
    let (port, spec) = (host_service(&rig).await, traveller(&rig));
    for (host, reason) in [
        (format!("127.0.0.1:{port}"), "it is loopback"),
        (format!("[::ffff:127.0.0.1]:{port}"), "it is loopback"),
        (format!("localhost:{port}"), "it is loopback"),
        (format!("127.1:{port}"), "it is loopback"),
        ("169.254.169.254:80".to_owned(), "link-local"),
        ("100.100.100.200:80".to_owned(), "metadata"),
        ("[fd00:ec2::254]:80".to_owned(), "metadata"),
        ("0.0.0.0:80".to_owned(), "no address"),
        (format!("host.stint.internal:{unnamed}"), "node.egress_host_ports"),
    ] {
        // Python itself takes loopback as near; ask the proxy in so many words.
        let got = go(&rig, &spec, json!(["connect", host])).await;
        let got = got.as_str().unwrap();
        assert!(
            got.starts_with("HTTP/1.1 403 Forbidden\r\n") && got.contains(reason),
            "{host}: {got}"
        );
        assert!(got.contains("x-stint-egress: denied"));
    }
    let got = go(&rig, &spec, json!(["fetch", "http://169.254.169.254/latest/meta-data/"])).await;
    assert_eq!(got[0], 403, "{got}");
    assert_eq!(go(&rig, &spec, json!(["socks", "127.0.0.1", port])).await, json!([2, ""]));
    let got = go(&rig, &spec, json!(["fetch", "http://no-such-name.invalid/"])).await;
    assert_eq!(got[0], 502, "{got}");
    rig.log_has("", "[stint] no connection: 169.254.169.254:80 may not be reached").await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_past_the_doors() {
    let (rig, _) = rig(As::Me).await;
    let (port, spec) = (host_service(&rig).await, traveller(&rig));
    assert_eq!(go(&rig, &spec, json!(["raw", "127.0.0.1", port])).await, "Connection refused");
    for address in ["192.0.2.1", "169.254.169.254", "10.0.0.1"] {
        assert_eq!(go(&rig, &spec, json!(["raw", address, 80])).await, "Network is unreachable");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_is_behind_its_own_door() {
    let (rig, _) = rig(As::Me).await;
    let spec = traveller(&rig);
    let env = go(&rig, &spec, json!(["env"])).await;
    assert_eq!(env["STINT_ENDPOINT"], "http://127.0.0.1:3129");
    assert_eq!(env["https_proxy"], "http://127.0.0.1:3128");
    let got = go(&rig, &spec, json!(["fetch", "http://127.0.0.1:3129/v1/whoami"])).await;
    assert_eq!(got, json!([200, "the platform heard GET /v1/whoami HTTP/1.1"]));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_internet_access_there_is_no_door() {
    let off = |config: &mut stint_node::NodeConfig| {
        config.egress = EgressConfig { network: NodeNetwork::None, ..EgressConfig::DEFAULT };
    };
    for (rig, internet) in [(Rig::open().await, false), (Rig::with(As::Me, off).await, true)] {
        let files = [("index.py", TRAVELLER)];
        let adjust = |config: &mut stint_model::function::FunctionConfig| {
            config.internet_access = internet;
        };
        let spec = Arc::new(rig.function_with("python3.10", &files, adjust));
        assert_eq!(go(&rig, &spec, json!(["env"])).await, json!({}));
        for port in [3128, 3129] {
            let got = go(&rig, &spec, json!(["raw", "127.0.0.1", port])).await;
            assert_eq!(got, "Connection refused");
        }
        rig.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_is_counted_and_ends_with_the_instance() {
    let (rig, _) = rig(As::Me).await;
    let spec = traveller(&rig);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let held = go(&rig, &spec, json!(["hold", "host.stint.internal", port])).await;
    assert!(held.as_str().unwrap().starts_with("HTTP/1.1 200"));
    let (mut outside, _) = listener.accept().await.unwrap();
    outside.write_all(&[7; 1000]).await.unwrap();
    rig.send(stint_wire::node::ToNode::Evict { pool: spec.pool, count: 1 }).await;
    let mut rest = Vec::new();
    // An end or a reset: either way it is over.
    drop(
        tokio::time::timeout(std::time::Duration::from_secs(10), outside.read_to_end(&mut rest))
            .await
            .unwrap(),
    );
    let bytes = rig
        .until("the instance is gone", |heard| {
            let gone = heard.instances.iter().find(|r| r.state == InstanceState::Destroyed)?;
            Some((gone.sent_bytes, gone.received_bytes))
        })
        .await;
    assert_eq!(bytes, (0, 1000));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_has_a_bounded_number_of_connections() {
    let rig = Rig::with(As::Me, |config| config.egress.connections_per_instance = 5).await;
    let spec = traveller(&rig);
    let got = go(&rig, &spec, json!(["crowd", 5])).await;
    let got = got.as_str().unwrap();
    assert!(got.starts_with("HTTP/1.1 503 ") && got.contains("as many connections"), "{got}");
    rig.close().await;
}
