//! `stint usage`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stint_wire::client::UsageAsked;
use stint_wire::native::Usage;

use super::{Context, every, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// What functions used.
#[derive(Debug, Args)]
pub(crate) struct UsageOf {
    /// Only of this function.
    #[arg(long)]
    function: Option<String>,
    /// Of this account instead of one's own.
    #[arg(long)]
    account: Option<String>,
    /// From this day (`2026-01-02`, UTC) or time.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this day or time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How long a line's time is.
    #[arg(long, value_parser = ["hour", "day", "all"], default_value = "day")]
    window: String,
    /// What a line is about.
    #[arg(long, value_parser = ["function", "account"], default_value = "function")]
    by: String,
    /// Write a table for other programs instead.
    #[arg(long)]
    export: Option<Export>,
    /// Where to; standard output unless said.
    #[arg(long, requires = "export")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Export {
    Csv,
    Parquet,
}

pub(crate) async fn run(args: UsageOf, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let asked = UsageAsked {
        account: args.account,
        function: args.function,
        from: args.from.map(midnight),
        until: args.until.map(midnight),
        window: Some(args.window),
        group_by: Some(args.by),
    };
    if let Some(export) = args.export {
        let format = match export {
            Export::Csv => "csv",
            Export::Parquet => "parquet",
        };
        let table = client.usage_table(&asked, format).await?;
        return match args.to {
            None => context.screen.raw(&table),
            Some(path) => std::fs::write(&path, &table)
                .map_err(|error| Failure::cannot(format_args!("write {}", path.display()), &error)),
        };
    }
    let page = every!(cursor => client.usage_list(&asked, Some(1_000), cursor));
    context.screen.show(&page, || {
        let header = [
            "FROM",
            "FUNCTION",
            "CALLS",
            "ACTIVE s",
            "IDLE s",
            "KEPT s",
            "vCPU s",
            "GB s",
            "IDLE GB s",
            "DISK GB s",
            "UNITS",
        ];
        let mut rows = Rows::new(&header).or_say("nothing was used");
        for usage in &page.items {
            rows.row(line(usage));
        }
        rows
    })
}

/// A day alone is its beginning; anything else goes as it was said.
fn midnight(mut text: String) -> String {
    if text.len() == "2026-01-02".len() && text.contains('-') {
        text.push_str("T00:00:00Z");
    }
    text
}

fn line(usage: &Usage) -> [String; 11] {
    let short = |number: f64| format!("{number:.3}");
    [
        when(usage.start.0),
        if usage.function.is_empty() { "(all)".to_owned() } else { usage.function.clone() },
        usage.invocations.to_string(),
        short(usage.active_seconds),
        short(usage.idle_seconds),
        short(usage.kept_seconds),
        short(usage.vcpu_seconds),
        short(usage.memory_gb_seconds),
        short(usage.idle_memory_gb_seconds),
        short(usage.disk_gb_seconds),
        short(usage.units),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_beginning() {
        let said = |text: &str| midnight(text.to_owned());
        assert_eq!(said("2026-01-02"), "2026-01-02T00:00:00Z");
        assert_eq!(said("2026-01-02T10:00:00Z"), "2026-01-02T10:00:00Z");
        assert_eq!(said("1767312000000"), "1767312000000");
    }
}
