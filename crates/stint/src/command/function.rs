//! `stint function`.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use stint_wire::client::Client;
use stint_wire::fc::{Alias, AliasInput, Function, FunctionCode, Version};
use stint_wire::native::FunctionSummary;

use super::{Context, every, pair, when, whole};
use crate::failure::Failure;
use crate::screen::Rows;

/// Functions, versions, aliases.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List functions.
    List {
        /// Only names that start so.
        #[arg(long)]
        prefix: Option<String>,
    },
    /// Show one function.
    Get {
        /// Its name.
        function: String,
        /// LATEST, a version or an alias.
        #[arg(long)]
        qualifier: Option<String>,
    },
    /// Delete a function with its versions and aliases; its history stays.
    Delete {
        /// Its name.
        function: String,
    },
    /// Save a function's code.
    Code {
        /// Its name.
        function: String,
        /// The zip to write.
        #[arg(long, value_name = "FILE", default_value = "code.zip")]
        to: PathBuf,
        /// LATEST, a version or an alias.
        #[arg(long)]
        qualifier: Option<String>,
    },
    /// Publish LATEST as a version.
    Publish {
        /// Its name.
        function: String,
        /// What is new in it.
        #[arg(long)]
        description: Option<String>,
    },
    /// List published versions.
    Versions {
        /// Its name.
        function: String,
    },
    /// Remove a published version.
    Unpublish {
        /// Its name.
        function: String,
        /// The version.
        version: String,
    },
    /// Named pointers to versions.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Switch invocations off.
    Disable {
        /// Its name.
        function: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Switch them on again.
    Enable {
        /// Its name.
        function: String,
    },
}

/// `stint function alias`.
#[derive(Debug, Subcommand)]
pub(crate) enum AliasCommand {
    /// List a function's aliases.
    List {
        /// The function.
        function: String,
    },
    /// Point an alias to a version; made if it is not there.
    Set {
        /// The function.
        function: String,
        /// The alias.
        alias: String,
        /// The version.
        version: String,
        /// Another version and its share, as in 2=0.1.
        #[arg(long, value_name = "VERSION=SHARE", value_parser = pair)]
        canary: Option<(String, String)>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
    },
    /// Remove an alias.
    Delete {
        /// The function.
        function: String,
        /// The alias.
        alias: String,
    },
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let screen = &context.screen;
    match command {
        Command::List { prefix } => {
            let page = every!(at => client.function_summaries(prefix.as_deref(), Some(100), at));
            screen.show(&page, || list(&page.items, context))
        }
        Command::Get { function, qualifier } => {
            let found = client.function_get(&function, qualifier.as_deref()).await?;
            screen.show(&found, || show(&found, context))
        }
        Command::Delete { function } => {
            client.function_delete(&function).await?;
            screen.note(format!("function {function} is deleted"));
            Ok(())
        }
        Command::Code { function, to, qualifier } => {
            let code = client.function_code(&function, qualifier.as_deref()).await?;
            save(&code, &to, context).await
        }
        Command::Publish { function, description } => {
            let version = client.version_publish(&function, description.as_deref()).await?;
            screen.show(&version, || versions(std::slice::from_ref(&version)))
        }
        Command::Versions { function } => {
            let (mut items, mut next) = (Vec::new(), None);
            loop {
                let page = client.version_list(&function, next.as_deref()).await?;
                items.extend(page.versions);
                next = page.next_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    break;
                }
            }
            let page = whole(items);
            screen.show(&page, || versions(&page.items))
        }
        Command::Unpublish { function, version } => {
            client.version_delete(&function, &version).await?;
            screen.note(format!("version {version} of {function} is removed"));
            Ok(())
        }
        Command::Alias(command) => alias(command, &client, context).await,
        Command::Disable { function, reason } => {
            let input = stint_wire::fc::DisableInvocationInput {
                reason: Some(reason),
                ..Default::default()
            };
            client.function_disable(&function, &input).await?;
            screen.note(format!("{function} is not invoked any more"));
            Ok(())
        }
        Command::Enable { function } => {
            client.function_enable(&function).await?;
            screen.note(format!("{function} is invoked again"));
            Ok(())
        }
    }
}

async fn alias(command: AliasCommand, client: &Client, context: &Context) -> Result<(), Failure> {
    let screen = &context.screen;
    match command {
        AliasCommand::List { function } => {
            let (mut items, mut next) = (Vec::new(), None);
            loop {
                let page = client.alias_list(&function, next.as_deref()).await?;
                items.extend(page.aliases);
                next = page.next_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    break;
                }
            }
            let page = whole(items);
            screen.show(&page, || aliases(&page.items))
        }
        AliasCommand::Set { function, alias, version, canary, description } => {
            let weight = canary.map(|(version, share)| {
                let share: f64 = share.parse().map_err(|_| {
                    Failure::usage(format!("`{share}` is no share: write 0.1 for a tenth"))
                })?;
                Ok::<_, Failure>(std::collections::BTreeMap::from([(version, share)]))
            });
            let mut input = AliasInput {
                alias_name: None,
                version_id: Some(version),
                // An empty table takes a canary away.
                additional_version_weight: Some(weight.transpose()?.unwrap_or_default()),
                description,
            };
            let there = client.alias_get(&function, &alias).await.map_err(Failure::from);
            let done = match there {
                Ok(_) => client.alias_update(&function, &alias, &input).await?,
                Err(failure) if failure.exit == crate::failure::Exit::NotFound => {
                    input.alias_name = Some(alias);
                    client.alias_create(&function, &input).await?
                }
                Err(failure) => return Err(failure),
            };
            screen.show(&done, || aliases(std::slice::from_ref(&done)))
        }
        AliasCommand::Delete { function, alias } => {
            client.alias_delete(&function, &alias).await?;
            screen.note(format!("alias {alias} of {function} is removed"));
            Ok(())
        }
    }
}

async fn save(code: &FunctionCode, to: &std::path::Path, context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Saved {
        path: PathBuf,
        bytes: usize,
    }
    let fetch = async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        client.get(&code.url).send().await?.error_for_status()?.bytes().await
    };
    let bytes = fetch
        .await
        .map_err(|error: reqwest::Error| Failure::cannot("fetch the code", &error.without_url()))?;
    if !code.checksum.is_empty() && crate::project::pack::checksum(&bytes) != code.checksum {
        return Err(Failure::local("the code came damaged; try again"));
    }
    std::fs::write(to, &bytes)
        .map_err(|error| Failure::cannot(format_args!("write {}", to.display()), &error))?;
    let saved = Saved { path: to.to_owned(), bytes: bytes.len() };
    context.screen.show(&saved, || {
        let mut rows = Rows::of_one();
        rows.line("written", saved.path.display().to_string());
        rows.line("bytes", saved.bytes.to_string());
        rows
    })
}

fn list(functions: &[FunctionSummary], context: &Context) -> Rows {
    let header = ["FUNCTION", "RUNTIME", "CPU", "MEMORY", "TIMEOUT", "VERSION", "STATE", "CHANGED"];
    let mut rows =
        Rows::new(&header).or_say("no functions; `stint init` and `stint deploy` make one");
    for function in functions {
        let state = match (&function.disabled, function.paused) {
            (Some(_), _) => "disabled",
            (None, true) => "paused",
            (None, false) => "Active",
        };
        rows.row([
            function.name.clone(),
            function.runtime.clone(),
            function.cpu.to_string(),
            format!("{} MB", function.memory_mb),
            crate::config::unit::show_span(function.timeout.0),
            function.version_newest.to_string(),
            context.screen.state(state),
            when(function.modified_at.0),
        ]);
    }
    rows
}

fn show(function: &Function, context: &Context) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("function", function.function_name.as_str());
    rows.line("arn", function.function_arn.as_str());
    rows.line("description", function.description.as_str());
    rows.line("runtime", function.runtime.as_str());
    rows.line("handler", function.handler.as_str());
    rows.line("size", format!("{} vCPU, {} MB", function.cpu, function.memory_size));
    rows.line("timeout", format!("{} s", function.timeout));
    rows.line("concurrency", function.instance_concurrency.to_string());
    let pairs = function.environment_variables.iter().map(|(k, v)| format!("{k}={v}"));
    rows.line("environment", pairs.collect::<Vec<_>>().join("\n"));
    let layers: Vec<_> = function.layers.iter().map(|layer| layer.arn.as_str()).collect();
    rows.line("layers", layers.join("\n"));
    rows.line("state", context.screen.state(&function.state));
    rows.line("changed", function.last_modified_time.as_str());
    rows
}

fn versions(versions: &[Version]) -> Rows {
    let mut rows = Rows::new(&["VERSION", "PUBLISHED", "DESCRIPTION"]).or_say("no versions");
    for version in versions {
        let Version { version_id, created_time, description, .. } = version;
        rows.row([version_id.clone(), created_time.clone(), description.clone()]);
    }
    rows
}

fn aliases(aliases: &[Alias]) -> Rows {
    let mut rows = Rows::new(&["ALIAS", "VERSION", "CANARY", "DESCRIPTION"]).or_say("no aliases");
    for alias in aliases {
        let canary = alias.additional_version_weight.iter();
        let canary: Vec<_> = canary.map(|(version, share)| format!("{version}={share}")).collect();
        rows.row([
            alias.alias_name.clone(),
            alias.version_id.clone(),
            canary.join(" "),
            alias.description.clone(),
        ]);
    }
    rows
}
