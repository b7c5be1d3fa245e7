//! `stint config`, and the commands that only print something.

use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use serde::Serialize;

use super::Context;
use crate::cli::Cli;
use crate::config::environment::Environment;
use crate::config::{Raw, reference};
use crate::failure::{Exit, Failure};
use crate::remote::Profile;
use crate::screen::Rows;
use crate::server::figures;

/// Settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every value and where it comes from.
    Show,
    /// Check the configuration without starting anything.
    Check,
    /// Print the reference page.
    #[command(hide = true)]
    Reference,
    /// Print the reference page of the metrics.
    #[command(hide = true)]
    Metrics,
}

/// Print a completion script.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// bash, zsh, fish …
    shell: Shell,
}

#[derive(Serialize)]
struct Shown {
    key: &'static str,
    value: String,
    origin: String,
}

pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Show => {
            let raw = context.raw(Vec::new())?;
            let all: Vec<Shown> = raw
                .all()
                .map(|(setting, said)| Shown {
                    key: setting.key,
                    value: said.value.to_string(),
                    origin: said.origin.to_string(),
                })
                .collect();
            context.screen.show(&all, || {
                let mut rows = Rows::new(&["SETTING", "VALUE", "ORIGIN"]);
                for shown in &all {
                    rows.row([shown.key.to_owned(), shown.value.clone(), shown.origin.clone()]);
                }
                rows
            })?;
            // What was said may still not fit together.
            context.config(&raw).map(drop)
        }
        Command::Check => {
            let config = context.config(&context.raw(Vec::new())?)?;
            context
                .screen
                .note(format!("the configuration is right; data in {}", config.data.display()));
            Ok(())
        }
        Command::Reference => {
            let raw = Raw::gather(None, &Environment::default(), &Vec::new());
            let raw = raw.map_err(|error| Failure::cannot("read the defaults", &error))?;
            context.screen.raw(reference::page(&raw).as_bytes())
        }
        Command::Metrics => context.screen.raw(figures::reference::page().as_bytes()),
    }
}

pub(crate) fn completion(args: &Completion, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stint", &mut script);
    context.screen.raw(&script)
}

pub(crate) async fn openapi(context: &Context) -> Result<(), Failure> {
    let document = get(context, "/openapi.json").await?;
    context.screen.document(&document)
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

pub(crate) async fn version(context: &Context) -> Result<(), Failure> {
    let health = match Profile::find(context) {
        Ok(_) => get(context, "/healthz").await.ok(),
        Err(_) => None,
    };
    let server = health.and_then(|text| {
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(value["version"].as_str()?.to_owned())
    });
    let versions = Versions { client: env!("CARGO_PKG_VERSION"), server };
    context.screen.show(&versions, || {
        let mut rows = Rows::of_one();
        rows.line("stint", versions.client);
        rows.line("server", versions.server.as_deref().unwrap_or("not reached"));
        rows
    })
}

/// A page that asks nobody who they are.
async fn get(context: &Context, path: &str) -> Result<String, Failure> {
    let profile = Profile::find(context)?;
    let ca = profile.ca_pem.clone();
    let client = profile.client()?;
    let url = format!("{}{path}", client.endpoint());
    let fetch = async {
        let mut http = reqwest::Client::builder().no_proxy();
        if let Some(pem) = &ca {
            http = http.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        let http = http.build()?;
        http.get(&url).send().await?.error_for_status()?.text().await
    };
    fetch.await.map_err(|error: reqwest::Error| {
        let text = format!("cannot read {url}: {}", stint_supervise::chain(&error.without_url()));
        Failure::new(Exit::Unreachable, text).next("is the server running? `stint up` starts one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "stint", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("backlog"));
        }
    }
}
