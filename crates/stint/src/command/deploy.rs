//! `stint deploy`: makes the functions and flows of a project file so. Deploying the same twice changes
//! nothing: unchanged code is not sent again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use stint_model::time::Span;
use stint_supervise::Clock;
use stint_wire::client::{Client, ClientError};
use stint_wire::fc::{AsyncConfig, CodeLocation, Function, FunctionInput};
use stint_wire::native::{FlowCreate, FlowPatch, FlowPublish};

use super::{Context, flow};
use crate::config::unit;
use crate::failure::Failure;
use crate::project::{self, Code, FlowPlan, FunctionPlan, Project, component, pack};
use crate::screen::Rows;

/// How often `--watch` looks.
const WATCH: Span = Span::from_millis(500);
/// How often a function whose image is being fetched is looked at, and how long that is waited for.
const FETCH_LOOK: Span = Span::from_millis(200);
const FETCH_WITHIN: Span = Span::from_secs(30 * 60);

/// Make the functions and flows of a project file so.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Only these functions and flows.
    names: Vec<String>,
    /// stint.yaml, or an s.yaml of Serverless Devs. Else the one in this directory.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on, and deploy again whenever a file changes.
    #[arg(long)]
    watch: bool,
    /// Make Python and JavaScript functions WebAssembly components (componentize-py, and componentize-js
    /// or componentize-qjs, must be installed).
    #[arg(long)]
    wasm: bool,
    /// Publish a version of each function and flow.
    #[arg(long)]
    publish: bool,
}

/// What was done with one function or flow.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    #[serde(skip_serializing_if = "String::is_empty")]
    function: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    flow: String,
    action: &'static str,
    code_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

pub(crate) async fn run(args: &Deploy, context: &Context) -> Result<(), Failure> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => project::find(Path::new("."))?,
    };
    let client = context.client()?;
    let clock = Clock::start();
    let mut seen = BTreeMap::new();
    loop {
        let outcome = async {
            let mut project = read(&file, args, context)?;
            seen = stamps(&file, &project);
            if args.wasm {
                components(&mut project, &file, context)?;
            }
            let scene = Scene { client: &client, clock: &clock };
            deploy(&project, args, scene, context).await
        };
        match outcome.await {
            Err(failure) if args.watch => context.screen.fail(&failure),
            other => other?,
        }
        if !args.watch {
            return Ok(());
        }
        context.screen.note("watching for changes; Ctrl-C ends it");
        loop {
            clock.sleep(WATCH).await;
            let now = match read(&file, args, context) {
                Ok(project) => stamps(&file, &project),
                // Half-written: look again.
                Err(_) => continue,
            };
            if now != seen {
                seen = now;
                break;
            }
        }
    }
}

fn read(file: &Path, args: &Deploy, context: &Context) -> Result<Project, Failure> {
    let variable = |name: &str| context.environment.get(name).map(str::to_owned);
    let mut project = project::read(file, &variable)?;
    let functions = project.functions.iter().map(|function| function.name.as_str());
    let known: Vec<_> =
        functions.chain(project.flows.iter().map(|flow| flow.name.as_str())).collect();
    if let Some(name) = args.names.iter().find(|name| !known.contains(&name.as_str())) {
        let text = format!("{} has no function and no flow `{name}`", file.display());
        return Err(Failure::usage(text).next(format!("it has {}", known.join(", "))));
    }
    if !args.names.is_empty() {
        project.functions.retain(|function| args.names.contains(&function.name));
        project.flows.retain(|flow| args.names.contains(&flow.name));
    }
    Ok(project)
}

/// Whom we speak to, and our time.
#[derive(Clone, Copy)]
struct Scene<'a> {
    client: &'a Client,
    clock: &'a Clock,
}

/// Makes components where the language allows it, and says where not.
fn components(project: &mut Project, file: &Path, context: &Context) -> Result<(), Failure> {
    let base = file.parent().filter(|base| !base.as_os_str().is_empty());
    for plan in &mut project.functions {
        let made = component::transform(plan, base.unwrap_or(Path::new(".")));
        let made = made.map_err(|mut failure| {
            failure.message = format!("{}: {}", plan.name, failure.message);
            failure
        })?;
        if !made {
            context.screen.note(format!("{} is deployed as it is", plan.name));
        }
    }
    Ok(())
}

async fn deploy(
    project: &Project,
    args: &Deploy,
    scene: Scene<'_>,
    context: &Context,
) -> Result<(), Failure> {
    for note in &project.notes {
        context.screen.warn(note);
    }
    let count = project.functions.len() + project.flows.len();
    let total = u64::try_from(count).unwrap_or(u64::MAX);
    let bar = context.screen.bar(total, "deploying");
    let mut done = Vec::new();
    for plan in &project.functions {
        bar.set_message(plan.name.clone());
        let deployed = one(plan, args.publish, scene).await.map_err(|mut failure| {
            bar.finish_and_clear();
            failure.message = format!("{}: {}", plan.name, failure.message);
            failure
        })?;
        done.push(deployed);
        bar.inc(1);
    }
    // Flows call functions: those come first.
    for plan in &project.flows {
        bar.set_message(plan.name.clone());
        let deployed = flow_of(plan, args.publish, scene.client, context).await;
        done.push(deployed.map_err(|mut failure| {
            bar.finish_and_clear();
            failure.message = format!("{}: {}", plan.name, failure.message);
            failure
        })?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    context.screen.show(&done, || {
        let mut rows = Rows::new(&["NAME", "ACTION", "CODE", "VERSION"]);
        for deployed in &done {
            let is_flow = deployed.function.is_empty();
            let bytes = deployed.code_bytes.and_then(|bytes| u64::try_from(bytes).ok());
            rows.row([
                if is_flow { &deployed.flow } else { &deployed.function }.clone(),
                deployed.action.to_owned(),
                match bytes {
                    _ if is_flow => "flow".to_owned(),
                    Some(bytes) => unit::show_size(bytes),
                    None => "unchanged".to_owned(),
                },
                deployed.version.clone().unwrap_or_default(),
            ]);
        }
        rows
    })
}

async fn one(plan: &FunctionPlan, publish: bool, scene: Scene<'_>) -> Result<Deployed, Failure> {
    let client = scene.client;
    let there = there(client.function_get(&plan.name, None).await)?;
    let mut input: FunctionInput = typed("the configuration", Value::Object(plan.config.clone()))?;
    let mut code_bytes = None;
    match &plan.code {
        Code::Path(path) => {
            let zip = pack::pack(path)?;
            code_bytes = send_code(zip, there.as_ref(), &mut input);
        }
        Code::Component { path, program } => {
            let zip = pack::pack_with(path, &[(component::PROGRAM, program)])?;
            code_bytes = send_code(zip, there.as_ref(), &mut input);
        }
        Code::Object { bucket, object } => {
            input.code = Some(CodeLocation {
                oss_bucket_name: Some(bucket.clone()),
                oss_object_name: Some(object.clone()),
                ..CodeLocation::default()
            });
        }
        Code::None => {}
    }
    let before = match there {
        Some(before) => {
            // Tags are set at creation; upstream changes them through its tag operations.
            input.tags = None;
            Some((client.function_update(&plan.name, &input).await?, before))
        }
        None => {
            input.function_name = Some(plan.name.clone());
            client.function_create(&input).await?;
            None
        }
    };
    let settings = settings(plan, client).await?;
    let action = match before {
        None => "created",
        Some((after, before)) if before == after && settings == Settings::AsTheyWere => "unchanged",
        Some(_) => "updated",
    };
    in_force(&plan.name, scene).await?;
    let version = match publish {
        true => published(&plan.name, client).await?,
        false => None,
    };
    Ok(Deployed { function: plan.name.clone(), action, code_bytes, version, ..Deployed::default() })
}

/// Makes one flow so. Its mode never changes: that is another flow.
async fn flow_of(
    plan: &FlowPlan,
    publish: bool,
    client: &Client,
    context: &Context,
) -> Result<Deployed, Failure> {
    let definition = flow::checked(&plan.definition, plan.is_express, context)?;
    let there = there(client.flow_get(&plan.name, None).await)?;
    let is_same = there.as_ref().is_some_and(|found| {
        found.definition.as_deref() == Some(definition.as_str())
            && found.description == plan.description
            && found.role == plan.role
            && found.environment == plan.environment
            && found.tags == plan.tags
    });
    let mode = if plan.is_express { "Express" } else { "Standard" };
    let action = match there {
        Some(found) if found.mode != mode => {
            return Err(Failure::usage(format!("it is {} and cannot become {mode}", found.mode))
                .next("stint flow delete removes it; or choose another name"));
        }
        Some(_) if is_same => "unchanged",
        Some(_) => {
            let patch = FlowPatch {
                definition: Some(definition),
                description: Some(plan.description.clone()),
                role: Some(plan.role.clone()),
                environment: Some(plan.environment.clone()),
                tags: Some(plan.tags.clone()),
            };
            client.flow_update(&plan.name, &patch).await?;
            "updated"
        }
        None => {
            let create = FlowCreate {
                name: plan.name.clone(),
                definition,
                description: plan.description.clone(),
                mode: Some(mode.to_owned()),
                role: plan.role.clone(),
                environment: plan.environment.clone(),
                tags: plan.tags.clone(),
            };
            client.flow_create(&create).await?;
            "created"
        }
    };
    let version = match publish && action != "unchanged" {
        true => Some(client.flow_publish(&plan.name, &FlowPublish::default()).await?.version),
        false => None,
    };
    Ok(Deployed { flow: plan.name.clone(), action, version, ..Deployed::default() })
}

/// How the server refuses to publish what is published already.
const NO_CHANGES: &str = "no changes since version";

/// A version of what is deployed now: a new one, unless the newest is that already.
async fn published(function: &str, client: &Client) -> Result<Option<String>, Failure> {
    match client.version_publish(function, None).await {
        Ok(version) => Ok(Some(version.version_id)),
        Err(ClientError::Refused { envelope, .. }) if envelope.message.starts_with(NO_CHANGES) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until what was sent is what runs: images take their time.
async fn in_force(name: &str, Scene { client, clock }: Scene<'_>) -> Result<(), Failure> {
    let until = clock.now() + FETCH_WITHIN;
    loop {
        let found = client.function_get(name, None).await?;
        if found.state == "Failed" || found.last_update_status == "Failed" {
            let failed = [
                (&found.last_update_status_reason_code, &found.last_update_status_reason),
                (&found.state_reason_code, &found.state_reason),
            ];
            let (code, reason) =
                failed.into_iter().find(|(code, _)| !code.is_empty()).unwrap_or(failed[0]);
            return Err(Failure::local(format!("its image cannot be used ({code}): {reason}"))
                .next("correct the image or its registry in the project file and deploy again"));
        }
        if found.state != "Pending" && found.last_update_status != "InProgress" {
            return Ok(());
        }
        if clock.now() >= until {
            return Err(Failure::local("its image is still being fetched".to_owned())
                .next("stint function get shows its state"));
        }
        clock.sleep(FETCH_LOOK).await;
    }
}

/// Sends the code unless it is there already; how many bytes it sends.
fn send_code(zip: Vec<u8>, there: Option<&Function>, input: &mut FunctionInput) -> Option<usize> {
    let checksum = pack::checksum(&zip);
    if there.is_some_and(|function| function.code_checksum == checksum) {
        return None;
    }
    input.code = Some(CodeLocation {
        zip_file: Some(base64(&zip)),
        checksum: Some(checksum),
        ..CodeLocation::default()
    });
    Some(zip.len())
}

/// What deploying did to what stands beside a function's own configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settings {
    AsTheyWere,
    Changed,
}

/// Makes what stands beside the function's own configuration so.
async fn settings(plan: &FunctionPlan, client: &Client) -> Result<Settings, Failure> {
    let (name, mut same) = (&plan.name, true);
    if let Some(config) = &plan.async_config {
        let config = typed("the async configuration", config.clone())?;
        let before = there(client.async_config_get(name, None).await)?;
        let after = client.async_config_put(name, None, &config).await?;
        // Each change has its time, also one that changes nothing.
        let timeless = |config: AsyncConfig| AsyncConfig {
            created_time: String::new(),
            last_modified_time: String::new(),
            ..config
        };
        same &= before.map(timeless) == Some(timeless(after));
    }
    if let Some(retry) = &plan.retry {
        let retry = typed("the retry policy", retry.clone())?;
        let before = there(client.retry_policy_get(name, None).await)?;
        same &= before == Some(client.retry_policy_put(name, None, &retry).await?);
    }
    if let Some(reserved) = plan.reserved_concurrency {
        let before = there(client.concurrency_get(name).await)?;
        same &= before == Some(client.concurrency_put(name, reserved).await?);
    }
    if let Some(limits) = &plan.limits {
        let limits = typed("the limits", limits.clone())?;
        let before = there(client.limits_get(name).await)?;
        same &= before == Some(client.limits_put(name, &limits).await?);
    }
    Ok(if same { Settings::AsTheyWere } else { Settings::Changed })
}

/// An answer, or nothing where nothing is.
fn there<T>(answer: Result<T, ClientError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn typed<T: serde::de::DeserializeOwned>(what: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::usage(format!("{what}: {error}")))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Last change and size of every file that a deployment reads.
type Stamps = BTreeMap<PathBuf, (SystemTime, u64)>;

fn stamps(file: &Path, project: &Project) -> Stamps {
    let mut found = Stamps::new();
    stamp(file, &mut found);
    for function in &project.functions {
        if let Code::Path(path) = &function.code {
            stamp(path, &mut found);
        }
    }
    for flow in &project.flows {
        stamp(&flow.definition, &mut found);
    }
    found
}

/// What cannot be read now is simply not there; the next look finds it.
fn stamp(path: &Path, found: &mut Stamps) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    if meta.is_file() {
        let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        found.insert(path.to_owned(), (changed, meta.len()));
    } else if meta.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            // A link to a directory may lead in circles; packing refuses it anyway.
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) && entry.file_name() != ".git"
            {
                stamp(&entry.path(), found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_change_of_any_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        project::template::write(dir.path(), "f", "python3.10").unwrap();
        let file = dir.path().join("stint.yaml");
        let project = project::read(&file, &|_| None).unwrap();
        let before = stamps(&file, &project);
        assert_eq!(before.len(), 2);
        assert_eq!(stamps(&file, &project), before);
        std::fs::write(dir.path().join("code/new.py"), "A = 1").unwrap();
        assert_ne!(stamps(&file, &project), before);
    }

    #[test]
    fn a_plan_is_what_function_compute_reads() {
        let dir = tempfile::tempdir().unwrap();
        project::template::write(dir.path(), "f", "custom").unwrap();
        let project = project::read(&dir.path().join("stint.yaml"), &|_| None).unwrap();
        let plan = &project.functions[0];
        let input: FunctionInput = typed("it", Value::Object(plan.config.clone())).unwrap();
        assert_eq!(input.runtime.as_deref(), Some("custom"));
        assert_eq!(input.memory_size, Some(512));
        assert!(input.rest.is_empty(), "{:?}", input.rest);
        let wrong = typed::<FunctionInput>("it", serde_json::json!({"cpu": "much"})).unwrap_err();
        assert_eq!(wrong.exit, Exit::Usage);
    }
}
