//! What the figures were taken on: processor, memory, kernel, and what an fsync costs here.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result};

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
}

impl Machine {
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores ({}), {:.0} GiB, Linux {}, load before {}, fsync of 4 KiB p50 {} ms",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.load,
            write(self.fsync_ms)
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_is_described() {
        let line = super::describe().unwrap().line();
        assert!(line.contains("cores") && line.contains("fsync"), "{line}");
    }
}
