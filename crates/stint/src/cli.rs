//! The command line. Each group's arguments stand in its own file under `command`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    account, backlog, config, deploy, doctor, flow, function, init, instance, invoke, key, logs,
    task, top, up, upkeep, usage, why,
};
use crate::config::raw::Flags;
use crate::screen::Format;

/// An open, self-hosted platform for serverless jobs.
#[derive(Debug, Parser)]
#[command(name = "stint", version, max_term_width = 100, after_long_help = exit_codes())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn exit_codes() -> String {
    let lines = crate::failure::EXIT_CODES.iter();
    let lines: String = lines.map(|(code, meaning)| format!("  {code:>3}  {meaning}\n")).collect();
    format!("Exit codes:\n{lines}")
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// How results are written.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// The server to talk to: host:port or a URL. Else $STINT_ENDPOINT, else the server of the data
    /// directory.
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Connection")]
    pub(crate) endpoint: Option<String>,
    /// Access key id. Else $STINT_ACCESS_KEY_ID, else DIR/credentials.json.
    #[arg(long, global = true, value_name = "ID", help_heading = "Connection")]
    pub(crate) key_id: Option<String>,
    /// Its secret; better in $STINT_ACCESS_KEY_SECRET, which others cannot list.
    #[arg(long, global = true, value_name = "SECRET", help_heading = "Connection", hide = true)]
    pub(crate) key_secret: Option<String>,
    /// Certificates to trust beside the system's, PEM: for a server with a certificate of one's own.
    /// Else $STINT_CA.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What a command may say about the configuration.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Data directory.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Configuration")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting, see docs/reference/configuration.md; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub(crate) set: Vec<String>,
}

impl Settings {
    /// As the configuration takes them.
    pub(crate) fn flags(&self) -> Result<Flags, crate::failure::Failure> {
        let mut flags = Flags::new();
        for pair in &self.set {
            let (key, text) = pair.split_once('=').ok_or_else(|| {
                crate::failure::Failure::usage(format!("--set {pair}: write --set KEY=VALUE"))
            })?;
            flags.push((format!("--set {key}"), key.trim().to_owned(), text.to_owned()));
        }
        if let Some(data) = &self.data {
            let text = data.display().to_string();
            flags.push(("--data".to_owned(), "data".to_owned(), text));
        }
        Ok(flags)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server: control plane and one node in one process.
    Up(up::Up),
    /// Make a function's project from a template.
    Init(init::Init),
    /// Make the functions of a project file so.
    Deploy(deploy::Deploy),
    /// Functions, versions, aliases.
    #[command(subcommand)]
    Function(function::Command),
    /// Call a function.
    Invoke(invoke::Invoke),
    /// Durable tasks: submit, find, wait for, stop, retry, logs.
    #[command(subcommand)]
    Task(task::Command),
    /// Say why a task waits, or what became of it.
    Why(why::Why),
    /// What functions wrote: by task, request, time and text, in one function or all.
    Logs(logs::Logs),
    /// What waits, per function.
    #[command(subcommand)]
    Backlog(backlog::Command),
    /// Flows and their executions: create, start, follow, explain, stop, run again.
    #[command(subcommand)]
    Flow(flow::Command),
    /// Live instances.
    #[command(subcommand)]
    Instance(instance::Command),
    /// Accounts and their limits.
    #[command(subcommand)]
    Account(account::Command),
    /// Access keys and tokens.
    #[command(subcommand)]
    Key(key::Command),
    /// What functions used, by day.
    Usage(usage::UsageOf),
    /// A live view of queues, instances and throughput.
    Top(top::Top),
    /// Settings: every value and its origin.
    #[command(subcommand)]
    Config(config::Command),
    /// What this machine can isolate and run, and what to install.
    Doctor(doctor::Doctor),
    /// Copy the data directory while the server runs.
    Backup(upkeep::Backup),
    /// Put a copy back into an empty data directory.
    Restore(upkeep::Restore),
    /// Check a data directory or a copy.
    Verify(upkeep::Verify),
    /// Print the server's OpenAPI document.
    Openapi,
    /// Print a completion script.
    Completion(config::Completion),
    /// Print the version of this program and of the server.
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_become_flags() {
        let settings = Settings {
            data: Some("/d".into()),
            config: None,
            set: vec!["grace=5s".to_owned(), "buckets=a=file:///x".to_owned()],
        };
        let flags = settings.flags().unwrap();
        assert_eq!(flags[0], ("--set grace".into(), "grace".into(), "5s".into()));
        assert_eq!(flags[1].2, "a=file:///x");
        assert_eq!(flags[2].1, "data");
        let wrong = Settings { set: vec!["grace".to_owned()], ..Settings::default() };
        assert!(wrong.flags().unwrap_err().message.contains("KEY=VALUE"));
    }
}
