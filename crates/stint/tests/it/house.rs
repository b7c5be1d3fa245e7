//! A server of our own on free ports and a directory of its own, and the commands against it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use stint_model::time::Span;
use stint_supervise::Clock;

/// What is waited for happens within this, also on a busy machine.
const DEADLINE: Span = Span::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` gives something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    let end = clock.now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.now() < end, "{what} has not happened");
        std::thread::park_timeout(LOOK);
    }
}

/// `stint` with nothing of this process's settings.
pub(crate) fn stint(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stint"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("STINT_")) {
        command.env_remove(name);
    }
    command.env("STINT_DATA", data).env("HOME", data).env_remove("XDG_CONFIG_HOME");
    command.env_remove("XDG_DATA_HOME").stdin(Stdio::null());
    command
}

pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) child: Child,
}

impl House {
    /// A server that is ready.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    pub(crate) fn start_in(dir: tempfile::TempDir, more: &[&str]) -> Self {
        let child = Self::spawn(dir.path(), more);
        let mut house = Self { dir, child };
        eventually("the server is ready", || {
            if let Some(status) = house.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", house.log());
            }
            (house.get("/readyz")?.0 == 200).then_some(())
        });
        house
    }

    /// The process alone; what it says goes to files in the directory.
    pub(crate) fn spawn(dir: &Path, more: &[&str]) -> Child {
        std::fs::create_dir_all(dir).unwrap();
        // An address of an earlier life must not be taken for the new one's.
        drop(std::fs::remove_file(dir.join("address")));
        let file = |name: &str| std::fs::File::create(dir.join(name)).unwrap();
        stint(dir)
            .args(["up", "--listen", "127.0.0.1:0", "--listen-trigger", "127.0.0.1:0"])
            .args(["--set", "node.parked=1", "--set", "disk.low=0", "--set", "disk.high=0"])
            .args(more)
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap()
    }

    pub(crate) fn data(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    pub(crate) fn address(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.file("address")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.file("stderr")).unwrap_or_default()
    }

    /// Status and body of a plain request.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let mut stream = std::net::TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(DEADLINE.to_std())).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split_whitespace().nth(1)?.parse().ok()?;
        let body = text.split_once("\r\n\r\n")?.1.to_owned();
        Some((status, body))
    }

    /// Runs a command against this server.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        stint(self.data()).current_dir(self.data()).args(args).output().unwrap()
    }

    /// Runs one that must succeed; its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}\nserver: {}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let all = [args, &["--output", "json"]].concat();
        let text = self.ok(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Exit code and standard error.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), error)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the server ends", || child.try_wait().unwrap())
    }

    /// A polite end; the directory lives on.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.signal(rustix::process::Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.log());
        assert!(!self.log().contains("ERROR"), "a polite stop is no error: {}", self.log());
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Writes a function's project and deploys it.
    pub(crate) fn deploy(&self, name: &str, code: &str, more: &str) {
        let dir = self.file(&format!("project-{name}"));
        std::fs::create_dir_all(dir.join("code")).unwrap();
        std::fs::write(dir.join("code/index.py"), code).unwrap();
        let project = format!(
            "functions:\n  {name}:\n    runtime: python3.10\n    handler: index.handler\n    \
             code: code\n    cpu: 0.25\n    memory: 256\n    timeout: 30s\n{more}"
        );
        std::fs::write(dir.join("stint.yaml"), project).unwrap();
        self.ok(&["deploy", "--file", dir.join("stint.yaml").to_str().unwrap()]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Only our own child; it has ended already after a polite stop.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
