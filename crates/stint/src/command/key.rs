//! `stint key`.

use clap::Subcommand;
use stint_model::time::Span;
use stint_wire::native::{Key, KeyCreate, KeyCreated, KeyPatch, KeyTemporary};
use stint_wire::time::Seconds;

use super::{Context, when};
use crate::config::unit;
use crate::failure::Failure;
use crate::screen::Rows;

/// Access keys and tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the account's keys.
    List {
        /// Of another account (an admin of the root account).
        #[arg(long)]
        account: Option<String>,
    },
    /// Make a permanent key, or with --token a bearer token. The secret is shown once.
    Create {
        /// admin, developer, viewer or invoker.
        role: String,
        /// A bearer token instead of a key that signs.
        #[arg(long)]
        token: bool,
        /// For another account (an admin of the root account).
        #[arg(long)]
        account: Option<String>,
        /// Only for these functions; `prefix*` stands for several. May be repeated.
        #[arg(long = "function", value_name = "NAME")]
        functions: Vec<String>,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
        /// Tokens only: good for this long, as in 30d.
        #[arg(long, requires = "token", value_parser = unit::duration)]
        expires: Option<Span>,
    },
    /// Make a temporary key with your own rights or fewer.
    Temporary {
        /// Not above your own.
        #[arg(long)]
        role: Option<String>,
        /// Only for these functions. May be repeated.
        #[arg(long = "function", value_name = "NAME")]
        functions: Vec<String>,
        /// Good for this long: 1m to 36h (1h).
        #[arg(long, value_parser = unit::duration)]
        expires: Option<Span>,
    },
    /// Replace a key's secret. The new one is shown once.
    Rotate {
        /// The access key id.
        key: String,
    },
    /// Replace the master key and seal every secret again (an admin of the root account).
    RotateMaster,
    /// Switch a key off.
    Disable {
        /// The access key id.
        key: String,
    },
    /// Switch it on again.
    Enable {
        /// The access key id.
        key: String,
    },
    /// Remove a key.
    Delete {
        /// The access key id.
        key: String,
    },
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let created: KeyCreated = match command {
        Command::List { account } => {
            let page = client.key_list(account.as_deref()).await?;
            return context.screen.show(&page, || table(&page.items));
        }
        Command::RotateMaster => {
            let done = client.master_key_rotate().await?;
            return context.screen.show(&done, || {
                let mut rows = Rows::of_one();
                rows.line("master key", done.master_key.to_string());
                rows.line("secrets sealed again", done.sealed.to_string());
                rows
            });
        }
        Command::Disable { key } => {
            let key = client.key_update(&key, &KeyPatch { disabled: Some(true) }).await?;
            return context.screen.show(&key, || table(std::slice::from_ref(&key)));
        }
        Command::Enable { key } => {
            let key = client.key_update(&key, &KeyPatch { disabled: Some(false) }).await?;
            return context.screen.show(&key, || table(std::slice::from_ref(&key)));
        }
        Command::Delete { key } => {
            client.key_delete(&key).await?;
            context.screen.note(format!("key {key} is removed"));
            return Ok(());
        }
        Command::Create { role, token, account, functions, description, expires } => {
            let kind = Some(if token { "token" } else { "permanent" }.to_owned());
            let expires_in = expires.map(Seconds);
            let create = KeyCreate { account, kind, role, functions, description, expires_in };
            client.key_create(&create).await?
        }
        Command::Temporary { role, functions, expires } => {
            let expires_in = expires.map(Seconds);
            let create = KeyTemporary { role, functions, expires_in, ..KeyTemporary::default() };
            client.key_temporary(&create).await?
        }
        Command::Rotate { key } => client.key_rotate(&key).await?,
    };
    context.screen.show(&created, || secrets(&created))?;
    context.screen.note("keep it now: the secret is not shown again");
    Ok(())
}

fn table(keys: &[Key]) -> Rows {
    let header = ["KEY", "ROLE", "KIND", "FUNCTIONS", "CREATED", "EXPIRES", "STATE", "DESCRIPTION"];
    let mut rows = Rows::new(&header).or_say("no keys");
    for key in keys {
        rows.row([
            key.id.clone(),
            key.role.clone(),
            key.kind.clone(),
            if key.functions.is_empty() { "all".to_owned() } else { key.functions.join(" ") },
            when(key.created_at.0),
            key.expires_at.map(|at| when(at.0)).unwrap_or_default(),
            if key.disabled_at.is_some() { "disabled" } else { "enabled" }.to_owned(),
            key.description.clone(),
        ]);
    }
    rows
}

fn secrets(created: &KeyCreated) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("key id", created.key.id.as_str());
    rows.line("role", created.key.role.as_str());
    rows.line("secret", created.secret.as_deref().unwrap_or_default());
    rows.line("security token", created.security_token.as_deref().unwrap_or_default());
    rows.line("token", created.token.as_deref().unwrap_or_default());
    rows.line("expires", created.key.expires_at.map(|at| when(at.0)).unwrap_or_default());
    rows
}
