//! A server's life: first start, second process, health, signals, restart.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::house::{House, eventually, stint};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_start_makes_a_key_and_says_where_it_listens() {
    let house = House::start();
    assert_eq!(mode(&house.file("credentials.json")), 0o600);
    assert_eq!(mode(&house.file("master.key")), 0o600);
    let trigger = std::fs::read_to_string(house.file("trigger-address")).unwrap();
    assert_ne!(trigger.trim(), house.address().unwrap());
    assert!(!house.address().unwrap().ends_with(":0"));
    let said = std::fs::read_to_string(house.file("stdout")).unwrap();
    let key: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(house.file("credentials.json")).unwrap())
            .unwrap();
    let secret = key["accessKeySecret"].as_str().unwrap().to_owned();
    assert!(said.contains(&secret) && said.contains(&house.address().unwrap()), "{said}");
    let who = house.json(&["account", "whoami"]);
    assert_eq!(who["role"], "admin");
    assert_eq!(who["account"], key["accountId"]);

    assert_eq!(house.get("/healthz").unwrap().0, 200);
    let (status, metrics) = house.get("/metrics").unwrap();
    assert_eq!(status, 200);
    for name in ["stint_disk_free_bytes", "stint_uptime_seconds", "stint_log_queued_bytes"] {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name}: {metrics}");
    }

    let again = House::start_in(house.stop(), &[]);
    let said = std::fs::read_to_string(again.file("stdout")).unwrap();
    assert!(!said.contains(&secret), "a key is printed once");
    assert_eq!(again.json(&["account", "whoami"])["role"], "admin");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let house = House::start();
    let output = stint(house.data())
        .args(["up", "--listen", "127.0.0.1:0", "--listen-trigger", "127.0.0.1:0"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains(house.data().to_str().unwrap()), "{error}");
    assert_eq!(house.get("/readyz").unwrap().0, 200, "the first one is not disturbed");
}

#[test]
fn a_key_may_be_given_by_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = stint(dir.path())
        .args(["up", "--listen", "127.0.0.1:0", "--listen-trigger", "127.0.0.1:0"])
        .env("STINT_ACCESS_KEY_ID", "chosen")
        .env("STINT_ACCESS_KEY_SECRET", "by-the-operator")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let file = dir.path().join("credentials.json");
    let output = eventually("the key works", || {
        let output = stint(dir.path())
            .args(["account", "whoami", "-o", "json", "--key-id", "chosen"])
            .env("STINT_ACCESS_KEY_SECRET", "by-the-operator")
            .output()
            .unwrap();
        output.status.success().then_some(output)
    });
    let who: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(who["keyId"], "chosen");
    assert!(file.is_file());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_listener_that_others_reach_is_refused_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let output = stint(dir.path()).args(["up", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure"));
    assert!(!dir.path().join("book.db").exists(), "nothing was begun");
}

#[test]
fn a_second_signal_does_not_wait_for_the_grace() {
    let mut house = House::start_in(tempfile::tempdir().unwrap(), &["--set", "grace=10m"]);
    house.deploy("slow", "import time\ndef handler(e, c):\n    time.sleep(25)\n", "");
    house.ok(&["task", "submit", "slow", "{}"]);
    eventually("it runs", || (house.json(&["top"])["running"].as_u64()? > 0).then_some(()));
    house.signal(Signal::TERM);
    eventually("it says that it stops", || (house.get("/readyz")?.0 == 503).then_some(()));
    house.signal(Signal::INT);
    assert!(house.ended().success());
}

#[test]
fn a_polite_stop_lets_attempts_finish() {
    let mut house = House::start();
    let code = "import time\ndef handler(e, c):\n    time.sleep(2)\n    return 'done'\n";
    house.deploy("slow", code, "");
    let task = house.json(&["task", "submit", "slow", "{}"]);
    eventually("it runs", || (house.json(&["top"])["running"].as_u64()? > 0).then_some(()));
    house.signal(Signal::TERM);
    assert!(house.ended().success(), "{}", house.log());
    let dir = std::mem::replace(&mut house.dir, tempfile::tempdir().unwrap());
    let house = House::start_in(dir, &[]);
    let task = house.json(&["task", "get", task["uid"].as_str().unwrap()]);
    assert_eq!((&task["state"], &task["attemptsTotal"]), (&"Succeeded".into(), &1.into()));
}

#[test]
fn what_was_acknowledged_survives_a_crash() {
    let mut house = House::start();
    house.deploy("echo", "def handler(e, c):\n    return e\n", "");
    house.ok(&["backlog", "pause", "echo"]);
    let task = house.json(&["task", "submit", "echo", "payload", "--task-id", "kept"]);
    house.signal(Signal::KILL);
    house.ended();
    let dir = std::mem::replace(&mut house.dir, tempfile::tempdir().unwrap());
    let house = House::start_in(dir, &[]);
    house.ok(&["backlog", "resume", "echo"]);
    house.ok(&["task", "wait", task["uid"].as_str().unwrap(), "--timeout", "50s"]);
    assert_eq!(house.ok(&["task", "get", "echo/kept", "--result"]), "payload");
}
