//! `stint trigger` and `stint secret`.

use clap::Subcommand;
use stint_connect::Kind;
use stint_wire::native::{SecretPut, Trigger, TriggerCreate, TriggerPatch};

use super::{Context, every, payload, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// What functions are called for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a trigger; it fires from now on.
    Create {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
        /// What it is: timer, http, webhook, directory …
        #[arg(long = "type")]
        kind: String,
        /// Its configuration: JSON, `@file`, or `-` for standard input.
        #[arg(long)]
        config: Option<String>,
        /// Through which qualifier the function is called.
        #[arg(long)]
        qualifier: Option<String>,
        /// Free text.
        #[arg(long)]
        description: Option<String>,
    },
    /// Change a trigger's configuration.
    Update {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
        /// The whole of it: JSON, `@file`, or `-` for standard input.
        #[arg(long)]
        config: String,
    },
    /// List triggers: of one function, or all.
    List {
        /// Only of this function.
        function: Option<String>,
    },
    /// Show one: what it does, how far it is, its last error, when it fires next.
    Get {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
    },
    /// Close its source; how far it was is kept.
    Pause {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
    },
    /// Let it go on where it was; one that failed is tried again.
    Resume {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
    },
    /// Remove a trigger; tasks that it made go on.
    Delete {
        /// The function.
        function: String,
        /// Its name in the function.
        name: String,
    },
    /// Print a configuration to begin with.
    Init {
        /// Its kind.
        kind: String,
    },
}

/// Secrets that triggers name: kept sealed, never shown.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Keep a secret, new or in place of the one of its name.
    Put {
        /// Its name in the account.
        name: String,
        /// `@file`, or `-` for standard input (if absent), so that it is not in the shell's history.
        value: Option<String>,
    },
    /// List their names.
    List,
    /// Remove one.
    Delete {
        /// Its name in the account.
        name: String,
    },
}

fn config(said: Option<&str>) -> Result<serde_json::Value, Failure> {
    let bytes = payload(said)?;
    if bytes.is_empty() {
        return Ok(serde_json::json!({}));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("the configuration is not JSON: {error}")))
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    if let Command::Init { kind } = &command {
        let kind = Kind::from_word(kind).map_err(|error| Failure::usage(error.to_string()))?;
        return context.screen.document(&format!("{}\n", kind.example()));
    }
    let client = context.client()?;
    let trigger = match command {
        Command::Init { .. } => return Ok(()),
        Command::List { function } => {
            let function = function.as_deref();
            let page = every!(cursor => client.trigger_list(function, cursor));
            return context.screen.show(&page, || list(&page.items));
        }
        Command::Delete { function, name } => {
            client.trigger_delete(&function, &name).await?;
            context.screen.note(format!("{function}/{name} is removed"));
            return Ok(());
        }
        Command::Create { function, name, kind, config: said, qualifier, description } => {
            let config = config(said.as_deref())?;
            let create = TriggerCreate { function, name, kind, config, qualifier, description };
            client.trigger_create(&create).await?
        }
        Command::Update { function, name, config: said } => {
            let config = Some(config(Some(&said))?);
            let patch = TriggerPatch { config, ..TriggerPatch::default() };
            client.trigger_update(&function, &name, &patch).await?
        }
        Command::Get { function, name } => client.trigger_get(&function, &name).await?,
        Command::Pause { function, name } => client.trigger_pause(&function, &name).await?,
        Command::Resume { function, name } => client.trigger_resume(&function, &name).await?,
    };
    context.screen.show(&trigger, || show(&trigger))
}

fn list(triggers: &[Trigger]) -> Rows {
    let mut rows = Rows::new(&[
        "FUNCTION",
        "TRIGGER",
        "TYPE",
        "STATE",
        "EVENTS",
        "TASKS",
        "LAG",
        "LAST EVENT",
    ]);
    for trigger in triggers {
        rows.row([
            trigger.function.clone(),
            trigger.name.clone(),
            trigger.kind.clone(),
            trigger.state.clone(),
            trigger.events.to_string(),
            trigger.tasks.to_string(),
            trigger.lag.map(|lag| lag.to_string()).unwrap_or_default(),
            trigger.last_event_at.map(|at| when(at.0)).unwrap_or_default(),
        ]);
    }
    rows.or_say("no triggers: stint trigger create makes one")
}

fn show(trigger: &Trigger) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("trigger", format!("{}/{}", trigger.function, trigger.name));
    rows.line("type", trigger.kind.as_str());
    rows.line("promise", trigger.promise.as_str());
    rows.line("qualifier", trigger.qualifier.as_str());
    rows.line("state", format!("{} since {}", trigger.state, when(trigger.state_since.0)));
    if let Some(why) = &trigger.held_by {
        rows.line("held by", why.as_str());
    }
    if let Some(at) = trigger.retry_at {
        rows.line("tried again", when(at.0));
    }
    if let (Some(why), Some(at)) = (&trigger.last_error, trigger.last_error_at) {
        rows.line("last error", format!("{}: {why}", when(at.0)));
    }
    if let Some(lag) = trigger.lag {
        rows.line("lag", lag.to_string());
    }
    rows.line("last minute", format!("{} events", trigger.events_last_minute));
    rows.line("events", trigger.events.to_string());
    rows.line("  passed", trigger.passed.to_string());
    rows.line("  known", trigger.known.to_string());
    rows.line("  refused", trigger.refused.to_string());
    rows.line("tasks", trigger.tasks.to_string());
    rows.line("last task", trigger.last_task.clone().unwrap_or_default());
    for at in &trigger.next {
        rows.line("next", when(at.0));
    }
    if let Some(url) = &trigger.url {
        rows.line("url", url.as_str());
    }
    rows.line("config", trigger.config.to_string());
    rows
}

pub(crate) async fn secret(command: SecretCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        SecretCommand::Put { name, value } => {
            let said = value.as_deref().unwrap_or("-");
            if said != "-" && !said.starts_with('@') {
                return Err(Failure::usage("a secret comes from @file or standard input"));
            }
            let text = String::from_utf8(payload(Some(said))?)
                .map_err(|_| Failure::usage("a secret is a text"))?;
            let value = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            client.secret_put(&name, &SecretPut { value }).await?;
            context.screen.note(format!("{name} is kept"));
            Ok(())
        }
        SecretCommand::Delete { name } => {
            client.secret_delete(&name).await?;
            context.screen.note(format!("{name} is removed"));
            Ok(())
        }
        SecretCommand::List => {
            let page = every!(cursor => client.secret_list(cursor));
            context.screen.show(&page, || {
                let mut rows = Rows::new(&["SECRET", "CREATED", "CHANGED"]);
                for secret in &page.items {
                    let (created, changed) = (secret.created_at.0, secret.modified_at.0);
                    rows.row([secret.name.clone(), when(created), when(changed)]);
                }
                rows.or_say("no secrets")
            })
        }
    }
}
