//! Interpreters that wait: used when they may be, once, and like any other then.

use std::sync::Arc;

use stint_model::function::{FunctionConfig, NasConfig, NasMount};
use stint_wire::node::{Outcome, PoolSpec};

use crate::rig::{As, Finished, Rig, is_root};

const PYTHON: &str = r#"
import os, json, logging, socket
def knock(port, asked):
    with socket.create_connection(("127.0.0.1", port), 15) as door:
        door.sendall(asked)
        return door.recv(4096).decode()
with open("/tmp/start", "w") as file:
    file.write("left behind")
def handler(event, context):
    logging.info("said by %s", context.function.name)
    shm = os.statvfs("/tmp")
    return {
        "own": os.environ.get("OWN"), "name": os.environ["FC_FUNCTION_NAME"], "cwd": os.getcwd(),
        "code": sorted(os.listdir("/code")), "layers": os.path.isdir("/opt/python"), "mnt": os.listdir("/mnt"),
        "tmp_mb": shm.f_blocks * shm.f_frsize >> 20, "uid": os.getuid(), "argv": __import__("sys").argv[1:],
        "api": knock(3129, b"GET /v1/whoami HTTP/1.1\r\nhost: x\r\n\r\n"),
        "out": knock(3128, b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n"), "proxy": os.environ["http_proxy"],
        "hash": hash("a word"), "seen": sorted(os.listdir("/tmp")),
    }
"#;

const NODE: &str = r#"
exports.handler = async () => ({
  own: process.env.OWN, name: process.env.FC_FUNCTION_NAME, cwd: process.cwd(), argv: process.argv.slice(2),
  code: require('fs').readdirSync('/code').sort(), uid: process.getuid(),
});
"#;

async fn rig(who: As) -> Rig {
    Rig::with(who, |config| config.bounds.parked_max = 2).await
}

fn whos() -> Vec<As> {
    if is_root() { vec![As::Me, As::Nobody] } else { vec![As::Me] }
}

/// Whether the instance that ran it was one that waited.
async fn waited(rig: &Rig, done: &Finished) -> bool {
    let instance = done.measured.instance.unwrap();
    rig.until("the instance says how it is held", |heard| {
        let report =
            heard.instances.iter().find(|r| r.instance == instance && !r.enforced.is_empty());
        report.map(|report| report.enforced.iter().any(|line| line.contains("that waited")))
    })
    .await
}

/// Invokes function after function until one runs on an interpreter that waited.
async fn on_one_that_waited(rig: &Rig, make: impl Fn() -> PoolSpec) -> Finished {
    for _ in 0..500 {
        let done = rig.invoke(&Arc::new(make()), b"").await;
        assert_eq!(done.outcome, Outcome::Ok, "{done:?}");
        if waited(rig, &done).await {
            return done;
        }
    }
    panic!("none waited");
}

fn own(config: &mut FunctionConfig) {
    config.environment.insert("OWN".into(), "mine".into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_finds_everything_on_an_interpreter_that_waited() {
    for who in whos() {
        let rig = rig(who).await;
        let make = || rig.function_with("python3", &[("index.py", PYTHON), ("lib/x.so", "")], own);
        let done = on_one_that_waited(&rig, make).await;
        let seen = done.json();
        assert_eq!(seen["own"], "mine", "{seen}");
        assert_eq!((&seen["cwd"], &seen["mnt"]), (&"/code".into(), &serde_json::json!([])));
        assert_eq!(seen["code"], serde_json::json!(["index.py", "lib"]));
        assert_eq!(seen["seen"], serde_json::json!(["start"]), "nobody was there before");
        assert_eq!((&seen["tmp_mb"], &seen["uid"]), (&128.into(), &1000.into()), "{seen}");
        assert_eq!(seen["argv"], serde_json::json!([]));
        assert_eq!(seen["proxy"], "http://127.0.0.1:3128");
        assert!(seen["api"].as_str().unwrap().contains("the platform heard"), "{seen}");
        assert!(seen["out"].as_str().unwrap().starts_with("HTTP/1.1 403"), "{seen}");
        assert!(done.log.contains("said by function-"), "{}", done.log);
        let other = on_one_that_waited(&rig, make).await;
        assert_ne!(other.measured.instance, done.measured.instance, "each is used once");
        assert_ne!(other.json()["hash"], seen["hash"], "and has randomness of its own");
        rig.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_waits_as_well() {
    for who in whos() {
        let rig = rig(who).await;
        let make = || rig.function_with("nodejs20", &[("index.js", NODE)], own);
        let seen = on_one_that_waited(&rig, make).await.json();
        assert_eq!((&seen["own"], &seen["cwd"]), (&"mine".into(), &"/code".into()), "{seen}");
        assert_eq!(seen["code"], serde_json::json!(["index.js"]));
        assert_eq!((&seen["argv"], &seen["uid"]), (&serde_json::json!([]), &1000.into()));
        rig.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_come_later_starts_the_ordinary_way() {
    let rig = rig(As::Me).await;
    let code = "def handler(event, context):\n    return 1";
    on_one_that_waited(&rig, || rig.function("python3", &[("index.py", code)])).await;
    let loader = rig.function_with("python3", &[("index.py", code)], |config| {
        config.environment.insert("PYTHONHASHSEED".into(), "0".into());
    });
    let volume = rig.function_with("python3", &[("index.py", code)], |config| {
        let mount = NasMount {
            server_addr: "volume:v".into(),
            mount_dir: "/mnt/v".into(),
            enable_tls: false,
        };
        config.nas = Some(NasConfig { user_id: 5, group_id: 5, mounts: vec![mount] });
    });
    let proxy = rig.function_with("python3", &[("index.py", code)], |config| {
        config.environment.insert("NO_PROXY".into(), "example.com".into());
    });
    for spec in [loader, volume, proxy] {
        let done = rig.invoke(&Arc::new(spec), b"").await;
        assert_eq!(done.outcome, Outcome::Ok, "{done:?}");
        assert!(!waited(&rig, &done).await);
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_as_always() {
    let rig = rig(As::Me).await;
    let good = "def handler(event, context):\n    return 1";
    on_one_that_waited(&rig, || rig.function("python3", &[("index.py", good)])).await;
    for (code, class, kind) in [
        ("import nowhere_to_be_found", "UnhandledInvocationError", "ImportModuleError"),
        ("import os\nos._exit(3)", "UnhandledInvocationError", "FunctionUnhandledError"),
        (
            "def handler(event, context):\n    x = [bytes(8 << 20) and bytearray(8 << 20) for _ in range(90)]",
            "UnhandledInvocationError",
            "FunctionOOMError",
        ),
    ] {
        let done = rig.invoke(&Arc::new(rig.function("python3", &[("index.py", code)])), b"").await;
        assert_eq!((done.user_error().0, done.user_error().1), (class, kind), "{done:?}");
    }
    rig.close().await;
}
