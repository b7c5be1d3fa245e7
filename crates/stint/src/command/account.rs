//! `stint account`.

use clap::{Args, Subcommand};
use stint_wire::client::Client;
use stint_wire::native::{
    Account, AccountBudget, AccountCreate, AccountLimits, AccountPatch, RateLimit,
};

use super::{Context, every, when};
use crate::config::unit::size;
use crate::failure::Failure;
use crate::screen::Rows;

/// Accounts and their limits.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all accounts (an admin of the root account).
    List,
    /// Show one: the caller's own unless said.
    Show {
        /// Its 16-digit number.
        account: Option<String>,
    },
    /// Make an account.
    Create {
        /// Letters, digits, `_` and `-`.
        name: String,
        /// For people.
        #[arg(long, default_value = "")]
        display: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Change an account's limits; what is not said stays.
    Limit {
        /// Its 16-digit number.
        account: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Switch an account off: none of its keys is accepted, nothing of it starts.
    Disable {
        /// Its 16-digit number.
        account: String,
    },
    /// Switch it on again.
    Enable {
        /// Its 16-digit number.
        account: String,
    },
    /// Say who this key is.
    Whoami,
}

/// What an account may take.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Most instances at once.
    #[arg(long)]
    instances: Option<u32>,
    /// Most attempts and calls at once; 0: no bound.
    #[arg(long)]
    concurrency: Option<u32>,
    /// Starts per second; 0: no bound.
    #[arg(long)]
    rate: Option<f64>,
    /// Starts saved up.
    #[arg(long, requires = "rate")]
    burst: Option<u32>,
    /// Weight in the fair share between accounts (100).
    #[arg(long)]
    weight: Option<u32>,
    /// Most tasks waiting; 0: no bound.
    #[arg(long)]
    queued: Option<u64>,
    /// Most bytes of code, layers, and large payloads and results, as in 10GiB; 0: no bound.
    #[arg(long, value_parser = size)]
    storage: Option<u64>,
    /// Most functions.
    #[arg(long)]
    functions: Option<u32>,
    /// Compute units it may use in a period before nothing new starts; 0: no bound.
    #[arg(long)]
    budget: Option<f64>,
    /// The budget's period.
    #[arg(long, requires = "budget", value_parser = ["day", "month"])]
    per: Option<String>,
}

impl Limits {
    fn wire(&self) -> AccountLimits {
        AccountLimits {
            instances_max: self.instances,
            concurrency_max: self.concurrency,
            rate: self.rate.map(|per_second| RateLimit { per_second, burst: self.burst }),
            weight: self.weight,
            tasks_queued_max: self.queued,
            storage_bytes_max: self.storage,
            functions_max: self.functions,
            budget: self
                .budget
                .map(|units| AccountBudget { units, period: self.per.clone().unwrap_or_default() }),
        }
    }
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let account: Account = match command {
        Command::List => return list(&client, context).await,
        Command::Whoami => return whoami(&client, context).await,
        Command::Show { account } => {
            let account = match account {
                Some(account) => account,
                None => client.who_am_i().await?.account,
            };
            client.account_get(&account).await?
        }
        Command::Create { name, display, limits } => {
            client.account_create(&AccountCreate { name, display, limits: limits.wire() }).await?
        }
        Command::Limit { account, limits } => {
            let patch = AccountPatch { limits: Some(limits.wire()), ..AccountPatch::default() };
            client.account_update(&account, &patch).await?
        }
        Command::Disable { account } => switch(&client, &account, true).await?,
        Command::Enable { account } => switch(&client, &account, false).await?,
    };
    context.screen.show(&account, || show(&account))
}

async fn switch(client: &Client, account: &str, disabled: bool) -> Result<Account, Failure> {
    let patch = AccountPatch { disabled: Some(disabled), ..AccountPatch::default() };
    Ok(client.account_update(account, &patch).await?)
}

async fn whoami(client: &Client, context: &Context) -> Result<(), Failure> {
    let who = client.who_am_i().await?;
    context.screen.show(&who, || {
        let mut rows = Rows::of_one();
        rows.line("account", who.account.as_str());
        rows.line("role", who.role.as_str());
        rows.line("key", who.key_id.as_str());
        rows.line("functions", who.functions.join(", "));
        rows
    })
}

async fn list(client: &Client, context: &Context) -> Result<(), Failure> {
    let page = every!(cursor => client.account_list(Some(100), cursor));
    context.screen.show(&page, || {
        let mut rows = Rows::new(&["ACCOUNT", "NAME", "CREATED", "INSTANCES", "WEIGHT", "STATE"]);
        for account in &page.items {
            let text = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
            rows.row([
                account.id.clone(),
                account.name.clone(),
                when(account.created_at.0),
                text(account.limits.instances_max),
                text(account.limits.weight),
                if account.disabled_at.is_some() { "disabled" } else { "enabled" }.to_owned(),
            ]);
        }
        rows
    })
}

fn show(account: &Account) -> Rows {
    let limits = &account.limits;
    let text = |n: Option<u32>| n.map_or_else(|| "no bound".to_owned(), |n| n.to_string());
    let mut rows = Rows::of_one();
    rows.line("account", account.id.as_str());
    rows.line("name", account.name.as_str());
    rows.line("display", account.display.as_str());
    rows.line("created", when(account.created_at.0));
    rows.line("disabled", account.disabled_at.map(|at| when(at.0)).unwrap_or_default());
    rows.line("instances", text(limits.instances_max));
    rows.line("concurrency", text(limits.concurrency_max));
    let rate = limits.rate.map_or_else(|| "no bound".to_owned(), |r| format!("{}/s", r.per_second));
    rows.line("rate", rate);
    rows.line("weight", text(limits.weight));
    let long = |n: Option<u64>| n.map_or_else(|| "no bound".to_owned(), |n| n.to_string());
    rows.line("queued", long(limits.tasks_queued_max));
    let usage = account.usage.clone().unwrap_or_default();
    let of = |used: u64, most: String| format!("{used} of {most}");
    rows.line("functions", of(usage.functions, text(limits.functions_max)));
    rows.line("storage", of(usage.storage_bytes, long(limits.storage_bytes_max)) + " bytes");
    rows.line("  of code", usage.code_bytes.to_string());
    rows.line("  of tasks", usage.task_bytes.to_string());
    if let Some(budget) = &limits.budget {
        let used = usage.budget_units.unwrap_or_default();
        let renews = usage.budget_renews_at.map(|at| when(at.0)).unwrap_or_default();
        let text = format!("{used:.3} of {} units, until {renews}", budget.units);
        rows.line("budget", text);
    }
    rows
}
