//! The binary under measurement, on a directory and ports of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::request::{Api, Signer};

/// How long a start may take before it is given up.
const START_MAX: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    bin: PathBuf,
    home: tempfile::TempDir,
    child: Option<Child>,
    /// From the start of the process to the first good `/readyz`.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// A new directory and a server on it.
    pub(crate) async fn start(bin: &Path) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("stint-bench-").tempdir().context("tempdir")?;
        let mut server =
            Self { bin: bin.to_owned(), home, child: None, ready_after: Duration::ZERO };
        server.up().await?;
        Ok(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("data").join(name)
    }

    /// Starts the process and waits until it is ready.
    pub(crate) async fn up(&mut self) -> Result<()> {
        match std::fs::remove_file(self.file("address")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = std::fs::File::create(self.home.path().join("server.log")).context("log")?;
        let began = Instant::now();
        let child = Command::new(&self.bin)
            .args(["up", "--listen", "127.0.0.1:0", "--listen-trigger", "127.0.0.1:0", "--data"])
            .arg(self.home.path().join("data"))
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.bin.display()))?;
        self.child = Some(child);
        while !self.is_ready().await {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let said = std::fs::read_to_string(self.home.path().join("server.log"));
                bail!("the server ended with {status}: {}", said.unwrap_or_default());
            }
            if began.elapsed() > START_MAX {
                bail!("the server is not ready after {START_MAX:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.ready_after = began.elapsed();
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.is_ok_and(|answer| answer.status == 200)
    }

    /// A page that needs no key.
    async fn ask(&self, path: &str) -> Result<Answer> {
        let address = self.address()?;
        let mut connection = Connection::open(&address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        connection.exchange(request.as_bytes()).await
    }

    pub(crate) fn address(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.file("address")).context("address")?;
        let text = text.trim().trim_start_matches("http://");
        if text.is_empty() {
            bail!("no address yet");
        }
        Ok(text.to_owned())
    }

    pub(crate) async fn api(&self) -> Result<Api> {
        let text = std::fs::read_to_string(self.file("credentials.json")).context("credentials")?;
        let key: Value = serde_json::from_str(&text)?;
        let field = |name: &str| key[name].as_str().context("credentials").map(str::to_owned);
        let (id, secret) = (field("accessKeyId")?, field("accessKeySecret")?);
        Api::open(Signer::new(&self.address()?, &id, &secret)).await
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("kill")?;
            child.wait().context("wait")?;
        }
        Ok(())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let id = self.child.as_ref().context("not running")?.id();
        std::fs::read_to_string(format!("/proc/{id}/{file}")).context("proc")
    }

    /// Returns when the search index has seen everything: work put off by what came before is not
    /// what comes after.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        for _ in 0..3_000 {
            let answer = self.ask("/metrics").await?;
            let text = String::from_utf8_lossy(&answer.body);
            if text.lines().any(|line| line == "stint_store_search_lag_rows 0") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the search index does not catch up");
    }

    /// Resident memory in MB.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Processor time of the server's own process so far. A tick is 10 ms on Linux.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let ticks: u64 = fields.get(11).context("stat")?.parse::<u64>()?
            + fields.get(12).context("stat")?.parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            crate::report::say(&format!("bench: {error:#}"));
        }
    }
}
