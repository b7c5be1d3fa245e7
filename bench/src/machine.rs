//! What the figures were taken on: processor, memory, kernel, and what an fsync, a hash and a wake-up
//! cost here. Virtual machines of one name differ by a factor of two from day to day, so figures of two
//! runs can be compared only beside these.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::figures::{Latencies, millis, write};

/// The machine in words.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_gib: f64,
    kernel: String,
    load: String,
    fsync_ms: f64,
    sha256_mb_s: f64,
    wake_us: f64,
}

impl Machine {
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores ({}), {:.0} GiB, Linux {}, load before {}, fsync of 4 KiB p50 {} ms, \
             SHA-256 {:.0} MB/s, a wake-up through a socket and back {:.1} µs",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.load,
            write(self.fsync_ms),
            self.sha256_mb_s,
            self.wake_us
        )
    }
}

pub(crate) fn describe() -> Result<Machine> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
    let kilobytes: f64 =
        memory.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let load = read("/proc/loadavg")?;
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        processor: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_default(),
        memory_gib: kilobytes / 1024.0 / 1024.0,
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        load: load.split(' ').next().unwrap_or_default().to_owned(),
        fsync_ms: fsync()?,
        sha256_mb_s: sha256(),
        wake_us: wake()?,
    })
}

/// The floor under every durable acknowledgement.
fn fsync() -> Result<f64> {
    let mut file = tempfile::tempfile().context("tempfile")?;
    let mut taken = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        file.write_all(&[7; 4096]).context("write")?;
        file.sync_data().context("fsync")?;
        taken.push(millis(began.elapsed()));
    }
    Ok(Latencies::of(taken).percentile(50))
}

/// What one core hashes in a second.
fn sha256() -> f64 {
    let block = vec![7; 1_000_000];
    let rates = (0..50).map(|_| {
        let began = Instant::now();
        std::hint::black_box(Sha256::digest(std::hint::black_box(&block)));
        1.0 / began.elapsed().as_secs_f64()
    });
    Latencies::of(rates.collect()).percentile(50)
}

/// What it costs to wake another thread and be woken by it.
fn wake() -> Result<f64> {
    let (mut here, mut there) = UnixStream::pair().context("socketpair")?;
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while there.read_exact(&mut byte).is_ok() && there.write_all(&byte).is_ok() {}
    });
    let mut taken = Vec::new();
    for _ in 0..2_000 {
        let (began, mut byte) = (Instant::now(), [7]);
        here.write_all(&byte).context("write to a socket")?;
        here.read_exact(&mut byte).context("read from a socket")?;
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    drop(here);
    echo.join().ok().context("the echo ended badly")?;
    Ok(Latencies::of(taken).percentile(50))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_is_described() {
        let line = super::describe().unwrap().line();
        assert!(line.contains("cores") && line.contains("fsync"), "{line}");
    }
}
