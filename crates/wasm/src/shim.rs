//! The shim: one instance of a Wasm function. It reads frames, runs one invocation at a time in a
//! store of its own, and answers. Nothing of a guest outlives its invocation but files in `/tmp`.

mod call;
mod channel;
mod deadline;
pub(crate) mod guest;
mod http;
mod limits;
pub(crate) mod measure;
mod setting;
mod streams;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use wasmtime::Engine;

use crate::engine;
use crate::program::{self, Program};

use call::{Answer, call};
use channel::{Channel, Heard, Said};
use deadline::Deadline;
use setting::{Invocation, Setting};

/// Threads for file operations.
const FILE_THREADS: usize = 4;

/// Serves until the node closes the channel.
pub(crate) fn main(artefact: &str) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(FILE_THREADS).build();
    let (Ok(runtime), Ok(engine)) = (runtime, engine::shim()) else {
        return ExitCode::from(70);
    };
    let channel = Arc::new(Channel::inherited());
    match serve(&channel, &engine, Path::new(artefact), &runtime) {
        // The node is gone; so are we.
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(74),
    }
}

/// What the configure frame made ready.
struct Ready {
    program: Program,
    setting: Setting,
    deadline: Deadline,
}

fn serve(
    channel: &Arc<Channel>,
    engine: &Engine,
    artefact: &Path,
    runtime: &tokio::runtime::Runtime,
) -> std::io::Result<()> {
    let mut ready = None;
    while let Some(frame) = channel.read()? {
        match (frame.kind, &ready) {
            (Said::Configure, _) => {
                let made = configure(engine, artefact, &frame.head, &frame.body);
                match made {
                    Ok(made) => {
                        ready = Some(made);
                        channel.write(Heard::Loaded, &[], &[])?;
                    }
                    Err(reason) => channel.write(Heard::NotLoaded, &[], &refusal(&reason))?,
                }
            }
            (Said::Invoke, Some(ready)) => {
                let invocation = Invocation::parse(&frame.head, frame.body);
                let answer = runtime.block_on(call(engine, ready.parts(), &invocation, channel));
                let head = used(answer.class());
                match answer {
                    Answer::Result(bytes) => {
                        channel.write(Heard::Result, head.as_bytes(), &bytes)?
                    }
                    Answer::Error { body, .. } => {
                        channel.write(Heard::Error, head.as_bytes(), &body)?;
                    }
                }
            }
            (Said::Invoke | Said::Hook, _) => {
                let reason = "this runtime has no hooks and serves nothing unconfigured";
                channel.write(Heard::HookFailed, &[], &refusal(reason))?;
            }
        }
    }
    Ok(())
}

impl Ready {
    fn parts(&self) -> call::Parts<'_> {
        call::Parts { program: &self.program, setting: &self.setting, deadline: &self.deadline }
    }
}

fn configure(engine: &Engine, artefact: &Path, head: &[u8], body: &[u8]) -> Result<Ready, String> {
    let program = program::load(engine, artefact).map_err(|error| format!("{error:#}"))?;
    let setting = Setting::parse(head, body)?;
    let deadline = Deadline::start(engine).map_err(|error| error.to_string())?;
    Ok(Ready { program, setting, deadline })
}

fn refusal(reason: &str) -> Vec<u8> {
    serde_json::json!({"errorMessage": reason, "errorType": "WasmNotLoaded"}).to_string().into()
}

/// Processor time since the last answer, peak memory, and what kind of end it was.
fn used(class: &str) -> String {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    use std::sync::atomic::{AtomicI64, Ordering};
    static SEEN: AtomicI64 = AtomicI64::new(0);
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return format!("0\x000\0{class}") };
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let before = SEEN.swap(cpu, Ordering::Relaxed);
    format!("{}\0{}\0{class}", (cpu - before).max(0), usage.max_rss())
}
