//! The host's side of one store: what a guest may see and call. Made anew for every invocation.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::channel::Channel;
use super::http::Outgoing;
use super::limits::Limits;
use super::setting::{Invocation, Setting};
use super::streams::Sink;
use crate::program::world;

pub(crate) struct Guest {
    pub(crate) wasi: WasiP1Ctx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    pub(crate) limits: Limits,
    stderr: Sink,
    channel: Arc<Channel>,
}

/// Where a guest's output can be picked up.
pub(crate) struct Outputs {
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
}

/// What the event and the result travel by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Streams {
    /// Event on standard input, result on standard output.
    Carry,
    /// Both are arguments; what is printed is log.
    Log,
}

impl Guest {
    pub(crate) fn new(
        setting: &Setting,
        invocation: &Invocation,
        streams: Streams,
        channel: &Arc<Channel>,
    ) -> Result<(Self, Outputs)> {
        let [out, err] = &setting.logs;
        let stdout = match streams {
            Streams::Carry => Sink::result(setting.result_bytes_max),
            Streams::Log => Sink::log(out)?,
        };
        let outputs = Outputs { stdout, stderr: Sink::log(err)? };
        let mut builder = WasiCtx::builder();
        builder
            .arg(setting.field("function_name"))
            .envs(&invocation.environment(setting))
            .initial_cwd(setting.field("code_path"))
            .stdout(outputs.stdout.clone())
            .stderr(outputs.stderr.clone())
            // Else a sleep would hold the thread that has to end it.
            .allow_blocking_current_thread(false);
        if streams == Streams::Carry {
            builder.stdin(MemoryInputPipe::new(invocation.event.clone()));
        }
        for preopen in &setting.preopens {
            let perms = if preopen.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            builder.preopened_dir(&preopen.host, &preopen.guest, perms)?;
        }
        if setting.network {
            builder.inherit_network().allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
        }
        let guest = Self {
            wasi: builder.build_p1(),
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(setting.network, setting.proxy()),
            limits: Limits::new(setting.memory_bytes_max),
            stderr: outputs.stderr.clone(),
            channel: Arc::clone(channel),
        };
        Ok((guest, outputs))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: self.wasi.ctx().table,
            ctx: &mut self.http,
        }
    }
}

impl world::stint::function::platform::Host for Guest {
    fn log(&mut self, text: String) {
        self.stderr.line(&text);
    }

    fn progress(&mut self, permille: Option<u16>, message: String) {
        self.channel.progress(permille, &message);
    }
}
