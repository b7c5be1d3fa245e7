//! What the server says about itself, on standard error: text for people, JSON lines for collectors.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::resolved::Log;
use crate::failure::Failure;

/// Starts the log of this process; once.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    // It calls every refusal of a client an error of the server. Failures of ours are told by the API.
    let level = match log.level.contains("s3s") {
        true => log.level.clone(),
        false => format!("{},s3s=off", log.level),
    };
    let filter = EnvFilter::builder().parse(&level).map_err(|error| {
        Failure::usage(format!("`log.level` is `{}`: {error}", log.level))
            .next("write error, warn, info, debug, or a filter such as info,stint_node=debug")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if log.json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber.with_ansi(std::io::stderr().is_terminal()).compact().try_init()
    };
    started.map_err(|error| Failure::local(format!("cannot start the log: {error}")))
}
