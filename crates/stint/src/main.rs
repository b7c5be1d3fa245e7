//! The binary: command line, configuration, composition. `compose.rs` puts a server together, the
//! files under `command` are the client's; both see the rest of the house through its public faces.

mod cli;
mod command;
mod config;
mod failure;
mod project;
mod remote;
mod scratch;
mod screen;
mod server;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::command::Context;
use crate::config::environment::Environment;
use crate::failure::Failure;
use crate::screen::Screen;

/// The first argument of the spawner, which is this binary again. No user types it.
pub(crate) const SPAWNER: &str = "__spawner";
/// The first argument of the Wasm tier's programs, which are this binary again, inside a sandbox.
pub(crate) const WASM: &str = "__wasm";

/// The C library's allocator gives pages back and faults them in again on every turn.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: the spawner stays small and single-threaded.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == SPAWNER) {
        return stint_sandbox::spawner_main();
    }
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|argument| argument == WASM) {
        let arguments: Vec<_> = arguments.filter_map(|text| text.into_string().ok()).collect();
        return stint_wasm::main(&arguments);
    }
    let cli = Cli::parse();
    let environment = Environment::read();
    let screen = Screen::new(cli.global.output, &environment);
    match run(cli, environment, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.fail(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli, environment: Environment, screen: &Screen) -> Result<(), Failure> {
    let context = Context { global: cli.global, environment, screen: screen.clone() };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(dispatch(cli.command, &context));
    // What is left does not hold up the end: the book survives it.
    runtime.shutdown_background();
    done
}

async fn dispatch(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Up(args) => Box::pin(command::up::run(args, context)).await,
        Command::Init(args) => command::init::run(&args, context),
        Command::Deploy(args) => command::deploy::run(&args, context).await,
        Command::Function(args) => command::function::run(args, context).await,
        Command::Invoke(args) => command::invoke::run(args, context).await,
        Command::Task(args) => command::task::run(args, context).await,
        Command::Logs(args) => command::logs::run(&args, context).await,
        Command::Why(args) => command::why::run(&args, context).await,
        Command::Backlog(args) => command::backlog::run(args, context).await,
        Command::Instance(args) => command::instance::run(args, context).await,
        Command::Usage(args) => command::usage::run(args, context).await,
        Command::Account(args) => command::account::run(args, context).await,
        Command::Key(args) => command::key::run(args, context).await,
        Command::Top(args) => command::top::run(&args, context).await,
        Command::Config(args) => command::config::run(&args, context),
        Command::Flow(command) => Box::pin(command::flow::run(command, context)).await,
        Command::Doctor(args) => command::doctor::run(&args, context).await,
        Command::Backup(args) => command::upkeep::backup(&args, context).await,
        Command::Restore(args) => command::upkeep::restore(&args, context).await,
        Command::Verify(args) => command::upkeep::verify(&args, context).await,
        Command::Openapi => command::config::openapi(context).await,
        Command::Completion(args) => command::config::completion(&args, context),
        Command::Version => command::config::version(context).await,
    }
}
