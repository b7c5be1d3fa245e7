//! A program that is ready to be instantiated: loaded, and linked to what it may import.

use std::path::Path;

use wasmtime::component::{Component, HasSelf};
use wasmtime::{Engine, InstancePre, Linker, Module, Precompiled, Result, bail};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::shim::guest::Guest;

/// The interfaces of `runtimes/wasm/wit`.
pub(crate) mod world {
    wasmtime::component::bindgen!({
        path: "../../runtimes/wasm/wit",
        world: "stint:function/function",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// Machine code in memory.
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

/// How it is called.
pub(crate) enum Program {
    Module(InstancePre<Guest>),
    Command(CommandPre<Guest>),
    Handler(world::FunctionPre<Guest>),
    Http(ProxyPre<Guest>),
}

/// Maps machine code that [`crate::compile`] has made.
pub(crate) fn load(engine: &Engine, artefact: &Path) -> Result<Program> {
    let code = match Engine::detect_precompiled_file(artefact)? {
        Some(Precompiled::Module) => {
            // SAFETY: the node shows this process nothing but what the compiler of this version
            // wrote, which it has checked against its own digest; and were it forged, this process
            // is behind the wall that holds any program.
            Code::Module(unsafe { Module::deserialize_file(engine, artefact)? })
        }
        Some(Precompiled::Component) => {
            // SAFETY: as above.
            Code::Component(unsafe { Component::deserialize_file(engine, artefact)? })
        }
        None => bail!("the artefact is no machine code"),
    };
    link(engine, code)
}

/// Gives it what it may import and nothing else.
pub(crate) fn link(engine: &Engine, code: Code) -> Result<Program> {
    match code {
        Code::Module(module) => {
            let mut linker = Linker::new(engine);
            wasmtime_wasi::p1::add_to_linker_async(&mut linker, |guest: &mut Guest| {
                &mut guest.wasi
            })?;
            Ok(Program::Module(linker.instantiate_pre(&module)?))
        }
        Code::Component(component) => {
            let mut linker = wasmtime::component::Linker::new(engine);
            wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
            wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
            world::stint::function::platform::add_to_linker::<_, HasSelf<Guest>>(
                &mut linker,
                |guest: &mut Guest| guest,
            )?;
            let pre = linker.instantiate_pre(&component)?;
            // The first that fits; a component may export several.
            if let Ok(handler) = world::FunctionPre::new(pre.clone()) {
                return Ok(Program::Handler(handler));
            }
            if let Ok(http) = ProxyPre::new(pre.clone()) {
                return Ok(Program::Http(http));
            }
            Ok(Program::Command(CommandPre::new(pre)?))
        }
    }
}
