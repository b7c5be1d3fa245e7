//! Figures for `bench/`: what a fresh instance of a program costs in a live shim, and what ten
//! thousand living ones take. No function is behind it, and no sandbox around it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::{Engine, Instance, InstanceAllocationStrategy, Module, Result, Store};

use super::call::{Answer, Parts, call};
use super::channel::Channel;
use super::deadline::Deadline;
use super::setting::{Invocation, Setting};
use crate::engine;
use crate::program::{self, Code};

/// A page of memory, and a `_start` that writes to it.
const PROGRAM: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x07\x0a\x01\x06_start\0\0\x0a\x0b\x01\x09\0\x41\0\x41\x01\x36\x02\0\x0b";
/// Calls that are timed.
const CALLS: usize = 5_000;
/// Addresses for each of many instances.
const RESERVED_BYTES: u64 = 64 << 20;

/// Prints the figures as one line of JSON.
pub(crate) fn main(count: &str) -> ExitCode {
    let measured = count.parse().map_err(wasmtime::Error::from).and_then(measure);
    let said = match &measured {
        Ok(figures) => writeln!(std::io::stdout(), "{figures}"),
        Err(error) => writeln!(std::io::stderr(), "{error:#}"),
    };
    if measured.is_ok() && said.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn measure(count: u32) -> Result<serde_json::Value> {
    let mut fresh = fresh_calls()?;
    fresh.sort_by(f64::total_cmp);
    let at = |percent: usize| fresh[(fresh.len() - 1) * percent / 100];
    let (kilobytes, milliseconds) = many(count)?;
    Ok(serde_json::json!({
        "freshP50Micros": at(50), "freshP99Micros": at(99),
        "instances": count, "kilobytesEach": kilobytes, "startedInMs": milliseconds,
    }))
}

#[expect(clippy::disallowed_methods, reason = "it measures itself")]
fn now() -> Instant {
    Instant::now()
}

/// The whole of an invocation but the frames: store, WASI, instance, call, end. In microseconds.
fn fresh_calls() -> Result<Vec<f64>> {
    let engine = engine::shim()?;
    let program = program::link(&engine, Code::Module(Module::from_binary(&engine, PROGRAM)?))?;
    let setting = Setting::parse(b"memory\x00128\0result_bytes_max\x00100", b"")
        .map_err(|reason| wasmtime::format_err!("{reason}"))?;
    let deadline = Deadline::start(&engine)?;
    let (ours, _theirs) = UnixStream::pair()?;
    let channel = Arc::new(Channel::new(ours));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut taken = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let invocation = Invocation::parse(b"r\0\x000\0\0\x0010000", bytes::Bytes::new());
        let began = now();
        let parts = Parts { program: &program, setting: &setting, deadline: &deadline };
        let answer = runtime.block_on(call(&engine, parts, &invocation, &channel));
        taken.push(began.elapsed().as_secs_f64() * 1e6);
        if let Answer::Error { body, .. } = answer {
            wasmtime::bail!("{}", String::from_utf8_lossy(&body));
        }
    }
    Ok(taken)
}

/// Resident kilobytes of each of `count` living instances that have run, and the time to make all.
fn many(count: u32) -> Result<(f64, f64)> {
    let mut config = engine::common();
    let mut pool = engine::pool(1);
    pool.total_core_instances(count)
        .total_memories(count)
        .total_tables(1)
        .max_memory_size(usize::try_from(RESERVED_BYTES)?);
    config
        .memory_reservation(RESERVED_BYTES)
        .memory_guard_size(64 << 10)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let module = Module::from_binary(&engine, PROGRAM)?;
    let before = resident_kilobytes()?;
    let began = now();
    let mut living = Vec::new();
    for _ in 0..count {
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[])?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
        living.push(store);
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    let taken = resident_kilobytes()? - before;
    drop(living);
    Ok((taken / f64::from(count), took))
}

/// Memory and page tables of this process.
fn resident_kilobytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    Ok(field("VmRSS:") + field("VmPTE:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_figures() {
        let figures = measure(50).unwrap();
        assert!(figures["freshP50Micros"].as_f64().unwrap() > 0.0);
        assert_eq!(figures["instances"], 50);
    }
}
