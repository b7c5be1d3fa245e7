//! Flows on the server: create, update, list, show, delete, versions, aliases.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stint_flow::ExecutionMode;
use stint_wire::native::{
    Flow, FlowAlias, FlowAliasPut, FlowCreate, FlowPatch, FlowPublish, FlowRoute, FlowVersion,
};

use super::{definition, execution, parts, report};
use crate::command::{Context, by_key, every, pair, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// Make a flow from a definition.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name.
    flow: String,
    /// The definition, JSON or YAML; `-` for standard input.
    file: PathBuf,
    /// Short executions whose end a start waits for.
    #[arg(long)]
    express: bool,
    #[command(flatten)]
    about: About,
}

/// What a flow is beside its definition.
#[derive(Debug, Args)]
struct About {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Recorded with its executions.
    #[arg(long)]
    role: Option<String>,
    /// What expressions may read. May be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    environment: Vec<(String, String)>,
    /// A label. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
}

/// Change a flow.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The flow.
    flow: String,
    /// Its new definition; without one only the rest changes.
    file: Option<PathBuf>,
    #[command(flatten)]
    about: About,
}

/// Show a flow or an execution.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// FLOW, or FLOW/EXECUTION.
    name: String,
    /// This version of the flow.
    #[arg(long)]
    version: Option<String>,
    /// Write only the definition, as it is.
    #[arg(long)]
    definition: bool,
}

/// Names for versions.
#[derive(Debug, Subcommand)]
pub(crate) enum Alias {
    /// Make or replace an alias.
    Set {
        /// The flow.
        flow: String,
        /// The alias.
        alias: String,
        /// VERSION, or VERSION=PERCENT twice.
        #[arg(long = "to", value_name = "VERSION[=PERCENT]", required = true)]
        to: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Aliases by name.
    List {
        /// The flow.
        flow: String,
    },
    /// Remove an alias.
    Delete {
        /// The flow.
        flow: String,
        /// The alias.
        alias: String,
    },
}

/// A definition that the server would refuse is refused here, with its mistakes in place.
pub(in crate::command) fn checked(
    file: &Path,
    express: bool,
    context: &Context,
) -> Result<String, Failure> {
    let (name, text) = definition::read(file)?;
    let mode = if express { ExecutionMode::Express } else { ExecutionMode::Standard };
    let compiled = definition::judged(&text, mode);
    report::show(&name, &text, &compiled.problems, context);
    match compiled.plan {
        Some(_) => Ok(text),
        None => Err(Failure::usage(format!("{name} cannot be used"))),
    }
}

pub(super) async fn create(args: &Create, context: &Context) -> Result<(), Failure> {
    let create = FlowCreate {
        name: args.flow.clone(),
        definition: checked(&args.file, args.express, context)?,
        description: args.about.description.clone().unwrap_or_default(),
        mode: args.express.then(|| "Express".to_owned()),
        role: args.about.role.clone().unwrap_or_default(),
        environment: by_key(&args.about.environment)?,
        tags: by_key(&args.about.tags)?,
    };
    let flow = context.client()?.flow_create(&create).await?;
    context.screen.show(&flow, || one(&flow))
}

pub(super) async fn update(args: &Update, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let definition = match &args.file {
        Some(file) => {
            let express = client.flow_get(&args.flow, None).await?.mode == "Express";
            Some(checked(file, express, context)?)
        }
        None => None,
    };
    let some = |pairs: &[(String, String)]| (!pairs.is_empty()).then(|| by_key(pairs)).transpose();
    let patch = FlowPatch {
        definition,
        description: args.about.description.clone(),
        role: args.about.role.clone(),
        environment: some(&args.about.environment)?,
        tags: some(&args.about.tags)?,
    };
    if patch == FlowPatch::default() {
        return Err(Failure::usage("nothing is to change: give a definition or an option"));
    }
    let flow = client.flow_update(&args.flow, &patch).await?;
    context.screen.show(&flow, || one(&flow))
}

pub(super) async fn list(prefix: Option<&str>, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let page = every!(cursor => client.flow_list(prefix, Some(1_000), cursor));
    context.screen.show(&page, || {
        let mut rows =
            Rows::new(&["FLOW", "DIALECT", "MODE", "CHANGED", "DESCRIPTION"]).or_say("no flows");
        for flow in &page.items {
            rows.row([
                flow.name.clone(),
                flow.dialect.clone(),
                flow.mode.clone(),
                when(flow.modified_at.0),
                flow.description.clone(),
            ]);
        }
        rows
    })
}

fn one(flow: &Flow) -> Rows {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(" ")
    };
    let mut rows = Rows::of_one();
    rows.line("flow", flow.name.as_str());
    rows.line("id", flow.id.as_str());
    rows.line("version", flow.version.as_deref().unwrap_or_default());
    rows.line("dialect", flow.dialect.as_str());
    rows.line("mode", flow.mode.as_str());
    rows.line("description", flow.description.as_str());
    rows.line("role", flow.role.as_str());
    rows.line("environment", pairs(&flow.environment));
    rows.line("tags", pairs(&flow.tags));
    rows.line("created", when(flow.created_at.0));
    rows.line("changed", when(flow.modified_at.0));
    rows
}

pub(super) async fn show(args: &Show, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    if let Some((flow, name)) = parts(&args.name) {
        let run = client.execution_get(flow, name).await?;
        if args.definition {
            return context.screen.raw(run.definition.unwrap_or_default().as_bytes());
        }
        return context.screen.show(&run, || execution::one(&run, context));
    }
    let flow = client.flow_get(&args.name, args.version.as_deref()).await?;
    if args.definition {
        return context.screen.raw(flow.definition.unwrap_or_default().as_bytes());
    }
    context.screen.show(&flow, || one(&flow))
}

pub(super) async fn delete(flow: &str, context: &Context) -> Result<(), Failure> {
    context.client()?.flow_delete(flow).await?;
    context.screen.note(format!("flow {flow} is deleted"));
    Ok(())
}

pub(super) async fn publish(
    flow: &str,
    description: &str,
    context: &Context,
) -> Result<(), Failure> {
    let publish = FlowPublish { description: description.to_owned() };
    let version = context.client()?.flow_publish(flow, &publish).await?;
    context.screen.show(&version, || version_rows(std::slice::from_ref(&version)))
}

fn version_rows(versions: &[FlowVersion]) -> Rows {
    let mut rows =
        Rows::new(&["VERSION", "FLOW", "PUBLISHED", "DESCRIPTION"]).or_say("no versions");
    for version in versions {
        rows.row([
            version.version.clone(),
            version.flow.clone(),
            when(version.created_at.0),
            version.description.clone(),
        ]);
    }
    rows
}

pub(super) async fn versions(flow: &str, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let page = every!(cursor => client.flow_versions(flow, Some(1_000), cursor));
    context.screen.show(&page, || version_rows(&page.items))
}

/// `3`, or `3=90`.
fn routes(said: &[String]) -> Result<Vec<FlowRoute>, Failure> {
    let route = |text: &String| {
        let (version, weight) = match text.split_once('=') {
            Some((version, weight)) => (version, weight.parse().ok()),
            None => (text.as_str(), Some(100).filter(|_| said.len() == 1)),
        };
        let weight = weight.ok_or_else(|| {
            Failure::usage(format!("`{text}`: write VERSION=PERCENT, such as 3=90"))
        })?;
        Ok(FlowRoute { version: version.to_owned(), weight })
    };
    said.iter().map(route).collect()
}

fn alias_rows(aliases: &[FlowAlias]) -> Rows {
    let mut rows = Rows::new(&["ALIAS", "FLOW", "VERSIONS", "DESCRIPTION"]).or_say("no aliases");
    for alias in aliases {
        let route = |route: &FlowRoute| format!("{}={}%", route.version, route.weight);
        let routes: Vec<_> = alias.routes.iter().map(route).collect();
        rows.row([
            alias.name.clone(),
            alias.flow.clone(),
            routes.join(" "),
            alias.description.clone(),
        ]);
    }
    rows
}

pub(super) async fn alias(command: &Alias, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        Alias::Set { flow, alias, to, description } => {
            let put = FlowAliasPut { routes: routes(to)?, description: description.clone() };
            let alias = client.flow_alias_put(flow, alias, &put).await?;
            context.screen.show(&alias, || alias_rows(std::slice::from_ref(&alias)))
        }
        Alias::List { flow } => {
            let page = every!(cursor => client.flow_aliases(flow, Some(1_000), cursor));
            context.screen.show(&page, || alias_rows(&page.items))
        }
        Alias::Delete { flow, alias } => {
            client.flow_alias_delete(flow, alias).await?;
            context.screen.note(format!("alias {alias} of flow {flow} is deleted"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn routes_are_versions_with_shares() {
        let read = |said: &[&str]| {
            let said: Vec<String> = said.iter().map(|text| (*text).to_owned()).collect();
            routes(&said)
        };
        let route = |version: &str, weight| FlowRoute { version: version.into(), weight };
        assert_eq!(read(&["3"]), Ok(vec![route("3", 100)]));
        assert_eq!(read(&["3=90", "4=10"]), Ok(vec![route("3", 90), route("4", 10)]));
        for bad in [&["3", "4"][..], &["3=x"]] {
            assert_eq!(read(bad).unwrap_err().exit, Exit::Usage);
        }
    }
}
