//! `stint.yaml`: short names, units in text, unknown keys refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Code, FlowPlan, FunctionPlan, Project};
use crate::config::unit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    #[expect(dead_code, reason = "only `${vars.…}` reads it, before this")]
    vars: Value,
    #[serde(default)]
    functions: BTreeMap<String, Function>,
    #[serde(default)]
    flows: BTreeMap<String, Value>,
}

/// A flow that is more than the file with its definition.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FlowMore {
    /// Relative to the project file.
    definition: String,
    #[serde(default)]
    express: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    environment: BTreeMap<String, Text>,
    #[serde(default)]
    tags: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Function {
    #[serde(default)]
    description: Option<String>,
    runtime: String,
    #[serde(default)]
    handler: Option<String>,
    /// A directory or a zip, relative to the file; `bucket:object` for a configured bucket.
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    cpu: Option<f64>,
    #[serde(default)]
    memory: Option<Text>,
    #[serde(default)]
    disk: Option<Text>,
    #[serde(default)]
    timeout: Option<Text>,
    #[serde(default)]
    idle_timeout: Option<Text>,
    /// Requests one instance serves at once.
    #[serde(default)]
    concurrency: Option<u32>,
    #[serde(default)]
    environment: BTreeMap<String, Text>,
    #[serde(default)]
    layers: Vec<String>,
    /// Runtime custom-container: `[host/]repository[:tag]`, `oci:/directory[:tag]` on the server, or
    /// `code` when `code` is the image's archive.
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    registry: Option<Registry>,
    /// Custom runtimes, and containers.
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    health_check: Option<Value>,
    #[serde(default)]
    initializer: Option<Hook>,
    #[serde(default)]
    pre_stop: Option<Hook>,
    #[serde(default)]
    internet: Option<bool>,
    #[serde(default)]
    volumes: Vec<Volume>,
    /// Who owns what is written to volumes.
    #[serde(default)]
    user: Option<u32>,
    #[serde(default)]
    group: Option<u32>,
    #[serde(default)]
    tags: BTreeMap<String, Text>,
    #[serde(default, rename = "async")]
    asynchronous: Option<Async>,
    #[serde(default)]
    limits: Option<Limits>,
    /// Fields of Function Compute that have no short name here; they win.
    #[serde(default)]
    fc: Map<String, Value>,
}

/// A text, or a number or switch that is meant as one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Number(serde_json::Number),
    Switch(bool),
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Plain(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Switch(switch) => switch.to_string(),
        }
    }
}

/// How the image's registry is reached.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Registry {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    /// Any certificate will do.
    #[serde(default)]
    insecure: bool,
    /// A further authority: PEM in base64.
    #[serde(default)]
    root_ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    handler: String,
    #[serde(default)]
    timeout: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {
    /// `volume:NAME[/sub]` or `host:/directory`.
    from: String,
    /// Where it appears inside.
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Async {
    /// Task mode; on unless said.
    #[serde(default)]
    tasks: Option<bool>,
    #[serde(default)]
    retries: Option<u32>,
    #[serde(default)]
    max_age: Option<Text>,
    #[serde(default)]
    on_success: Option<String>,
    #[serde(default)]
    on_failure: Option<String>,
    #[serde(default)]
    backoff: Option<Text>,
    #[serde(default)]
    backoff_cap: Option<Text>,
    #[serde(default)]
    final_errors: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Limits {
    /// Instances at most (Function Compute's reservedConcurrency).
    #[serde(default)]
    instances: Option<u32>,
    /// Attempts and calls at once.
    #[serde(default)]
    concurrency: Option<u32>,
    /// Starts per second.
    #[serde(default)]
    rate: Option<f64>,
    #[serde(default)]
    burst: Option<u32>,
    #[serde(default)]
    weight: Option<u32>,
    #[serde(default)]
    key_concurrency: Option<u32>,
    #[serde(default)]
    key_rate: Option<f64>,
    #[serde(default)]
    payload_schema: Option<Value>,
    #[serde(default)]
    strict_start: Option<bool>,
}

/// Reads a whole file.
pub(super) fn project(value: Value, base: &Path) -> Result<Project, String> {
    let file: File = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if file.functions.is_empty() && file.flows.is_empty() {
        return Err("it has no functions and no flows".to_owned());
    }
    let mut project = Project::default();
    for (name, function) in file.functions {
        let plan = plan(name.clone(), function, base).map_err(|e| format!("{name}: {e}"))?;
        project.functions.push(plan);
    }
    for (name, flow) in file.flows {
        let more = match flow {
            Value::String(definition) => FlowMore { definition, ..FlowMore::default() },
            other => serde_json::from_value(other).map_err(|error| format!("{name}: {error}"))?,
        };
        project.flows.push(more.plan(name, base));
    }
    Ok(project)
}

impl FlowMore {
    fn plan(self, name: String, base: &Path) -> FlowPlan {
        let plain = |map: BTreeMap<String, Text>| {
            map.into_iter().map(|(key, value)| (key, value.into_text())).collect()
        };
        FlowPlan {
            name,
            definition: base.join(self.definition),
            is_express: self.express,
            description: self.description,
            role: self.role,
            environment: plain(self.environment),
            tags: plain(self.tags),
        }
    }
}

fn plan(name: String, mut function: Function, base: &Path) -> Result<FunctionPlan, String> {
    let asynchronous = function.asynchronous.take();
    let limits = function.limits.take();
    let code = match function.code.take() {
        None => Code::None,
        Some(text) => match text.split_once(':') {
            Some((bucket, object)) if !bucket.contains('/') => {
                Code::Object { bucket: bucket.to_owned(), object: object.to_owned() }
            }
            _ => Code::Path(base.join(text)),
        },
    };
    let (async_config, retry) = match asynchronous {
        Some(config) => config.into_wire()?,
        None => (None, None),
    };
    let reserved_concurrency = limits.as_ref().and_then(|limits| limits.instances);
    let limits = limits.map(Limits::into_wire);
    let config = config(function)?;
    Ok(FunctionPlan { name, config, code, async_config, retry, reserved_concurrency, limits })
}

/// `customContainerConfig`.
fn container(f: &mut Function) -> Result<Value, String> {
    let image = f.image.take().ok_or("`image` is missing: it says what runs")?;
    let (entrypoint, command) = (std::mem::take(&mut f.entrypoint), std::mem::take(&mut f.command));
    let mut container = json!({"image": image, "entrypoint": entrypoint, "command": command});
    container["port"] = f.port.take().unwrap_or(9_000).into();
    if let Some(check) = f.health_check.take() {
        container["healthCheckConfig"] = check;
    }
    if let Some(registry) = f.registry.take() {
        let mut config = Map::new();
        if let Some(user) = registry.user {
            let password = registry.password.unwrap_or_default();
            config.insert("authConfig".to_owned(), json!({"userName": user, "password": password}));
        }
        if registry.insecure || registry.root_ca.is_some() {
            let (insecure, authority) = (registry.insecure, registry.root_ca.unwrap_or_default());
            let cert = json!({"insecure": insecure, "rootCaCertBase64": authority});
            config.insert("certConfig".to_owned(), cert);
        }
        container["registryConfig"] = config.into();
    }
    Ok(container)
}

fn config(mut f: Function) -> Result<Map<String, Value>, String> {
    let container = match f.runtime.as_str() {
        "custom-container" => Some(container(&mut f)?),
        _ if f.image.is_some() || f.registry.is_some() || !f.entrypoint.is_empty() => {
            let message = "`image`, `entrypoint` and `registry` are for runtime custom-container";
            return Err(message.to_owned());
        }
        _ => None,
    };
    let mut config = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(key.to_owned(), value);
        }
    };
    let custom = f.runtime.starts_with("custom") && f.runtime != "custom-container";
    put("description", f.description.map(Value::from));
    put("runtime", Some(f.runtime.into()));
    put("handler", Some(f.handler.unwrap_or_else(|| "index.handler".to_owned()).into()));
    put("cpu", f.cpu.map(Value::from));
    put("memorySize", f.memory.map(megabytes).transpose()?);
    put("diskSize", f.disk.map(megabytes).transpose()?);
    put("timeout", f.timeout.map(seconds).transpose()?);
    put("idleTimeout", f.idle_timeout.map(seconds).transpose()?);
    put("instanceConcurrency", f.concurrency.map(Value::from));
    put("environmentVariables", Some(texts(f.environment)));
    put("layers", (!f.layers.is_empty()).then(|| f.layers.into()));
    put("internetAccess", f.internet.map(Value::from));
    put("customContainerConfig", container);
    if custom {
        let mut runtime =
            json!({"command": f.command, "args": f.args, "port": f.port.unwrap_or(9_000)});
        if let Some(check) = f.health_check {
            runtime["healthCheckConfig"] = check;
        }
        put("customRuntimeConfig", Some(runtime));
    } else if !f.command.is_empty() || !f.args.is_empty() || f.port.is_some() {
        return Err("`command`, `args` and `port` are for custom runtimes".to_owned());
    }
    let mut hooks = Map::new();
    for (key, hook) in [("initializer", f.initializer), ("preStop", f.pre_stop)] {
        if let Some(hook) = hook {
            let timeout = hook.timeout.map(seconds).transpose()?.unwrap_or_else(|| json!(30));
            hooks.insert(key.to_owned(), json!({"handler": hook.handler, "timeout": timeout}));
        }
    }
    put("instanceLifecycleConfig", (!hooks.is_empty()).then(|| hooks.into()));
    if !f.volumes.is_empty() {
        let mount = |v: Volume| json!({"serverAddr": v.from, "mountDir": v.to, "enableTLS": false});
        let mounts: Vec<Value> = f.volumes.into_iter().map(mount).collect();
        let (user, group) = (f.user.unwrap_or(0), f.group.unwrap_or(0));
        put("nasConfig", Some(json!({"userId": user, "groupId": group, "mountPoints": mounts})));
    }
    if !f.tags.is_empty() {
        let tag = |(key, value): (String, Text)| json!({"key": key, "value": value.into_text()});
        put("tags", Some(f.tags.into_iter().map(tag).collect()));
    }
    config.extend(f.fc);
    Ok(config)
}

impl Async {
    fn into_wire(self) -> Result<(Option<Value>, Option<Value>), String> {
        let mut config = json!({ "asyncTask": self.tasks.unwrap_or(true) });
        if let Some(retries) = self.retries {
            // What Function Compute can say; the native policy below says the rest.
            config["maxAsyncRetryAttempts"] = retries.min(8).into();
        }
        if let Some(age) = self.max_age {
            config["maxAsyncEventAgeInSeconds"] = seconds(age)?;
        }
        let to = |destination: String| json!({ "destination": destination });
        let mut destinations = Map::new();
        if let Some(destination) = self.on_success {
            destinations.insert("onSuccess".to_owned(), to(destination));
        }
        if let Some(destination) = self.on_failure {
            destinations.insert("onFailure".to_owned(), to(destination));
        }
        if !destinations.is_empty() {
            config["destinationConfig"] = destinations.into();
        }
        let mut retry = Map::new();
        if let Some(retries) = self.retries.filter(|retries| *retries > 8) {
            retry.insert("retries".to_owned(), retries.into());
        }
        if let Some(backoff) = self.backoff {
            retry.insert("backoff".to_owned(), backoff.into_text().into());
        }
        if let Some(cap) = self.backoff_cap {
            retry.insert("backoffCap".to_owned(), cap.into_text().into());
        }
        if let Some(errors) = self.final_errors {
            retry.insert("finalErrors".to_owned(), errors.into());
        }
        Ok((Some(config), (!retry.is_empty()).then(|| retry.into())))
    }
}

impl Limits {
    fn into_wire(self) -> Value {
        let mut limits = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                limits.insert(key.to_owned(), value);
            }
        };
        let burst = self.burst;
        let rate = |per_second: f64| match burst {
            Some(burst) => json!({"perSecond": per_second, "burst": burst}),
            None => json!({ "perSecond": per_second }),
        };
        put("concurrencyMax", self.concurrency.map(Value::from));
        put("rate", self.rate.map(rate));
        put("weight", self.weight.map(Value::from));
        put("keyConcurrencyMax", self.key_concurrency.map(Value::from));
        put("keyRate", self.key_rate.map(|per_second| json!({ "perSecond": per_second })));
        put("payloadSchema", self.payload_schema);
        put("strictStart", self.strict_start.map(Value::from));
        limits.into()
    }
}

fn texts(map: BTreeMap<String, Text>) -> Value {
    map.into_iter()
        .map(|(key, value)| (key, Value::from(value.into_text())))
        .collect::<Map<_, _>>()
        .into()
}

/// A bare number is MB, as upstream says it.
fn megabytes(text: Text) -> Result<Value, String> {
    let text = text.into_text();
    if let Ok(megabytes) = text.parse::<u32>() {
        return Ok(megabytes.into());
    }
    Ok((unit::size(&text)? >> 20).into())
}

/// A bare number is seconds, as upstream says it.
fn seconds(text: Text) -> Result<Value, String> {
    let text = text.into_text();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds.into());
    }
    Ok(unit::duration(&text)?.secs().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Project, String> {
        project(serde_saphyr::from_str(text).unwrap(), Path::new("/p"))
    }

    #[test]
    fn a_full_function_becomes_the_words_of_function_compute() {
        let project = read(
            r"
vars: {any: thing}
functions:
  slice:
    description: cuts
    runtime: python3.10
    handler: slice.handler
    code: code
    cpu: 0.5
    memory: 1GiB
    timeout: 5m
    environment: {LEVEL: 3, ON: true, NAME: x}
    layers: [acs:fc:local:1:layers/a/versions/1]
    initializer: {handler: slice.init, timeout: 10s}
    volumes: [{from: 'volume:media', to: /mnt/media}]
    user: 1000
    internet: false
    tags: {team: video}
    async: {retries: 20, maxAge: 1h, onFailure: 'acs:fc:::functions/oops', backoff: 2s, finalErrors: [ValueError]}
    limits: {instances: 4, concurrency: 8, rate: 0.5, burst: 2}
    fc: {disableOndemand: false}
",
        )
        .unwrap();
        let [f] = project.functions.as_slice() else { panic!("one function") };
        assert_eq!((f.name.as_str(), &f.code), ("slice", &Code::Path("/p/code".into())));
        assert_eq!(f.config["memorySize"], json!(1024));
        assert_eq!(f.config["timeout"], json!(300));
        assert_eq!(
            f.config["environmentVariables"],
            json!({"LEVEL": "3", "ON": "true", "NAME": "x"})
        );
        assert_eq!(f.config["instanceLifecycleConfig"]["initializer"]["timeout"], json!(10));
        assert_eq!(f.config["nasConfig"]["mountPoints"][0]["mountDir"], json!("/mnt/media"));
        assert_eq!(f.config["nasConfig"]["userId"], json!(1000));
        assert_eq!(f.config["internetAccess"], json!(false));
        assert_eq!(f.config["tags"], json!([{"key": "team", "value": "video"}]));
        assert_eq!(f.config["disableOndemand"], json!(false));
        let asynchronous = f.async_config.as_ref().unwrap();
        assert_eq!(asynchronous["asyncTask"], json!(true));
        assert_eq!(asynchronous["maxAsyncRetryAttempts"], json!(8));
        assert_eq!(asynchronous["maxAsyncEventAgeInSeconds"], json!(3600));
        assert!(asynchronous["destinationConfig"]["onFailure"]["destination"].is_string());
        let retry = f.retry.as_ref().unwrap();
        assert_eq!(retry, &json!({"retries": 20, "backoff": "2s", "finalErrors": ["ValueError"]}));
        assert_eq!(f.reserved_concurrency, Some(4));
        let limits = f.limits.as_ref().unwrap();
        assert_eq!(limits, &json!({"concurrencyMax": 8, "rate": {"perSecond": 0.5, "burst": 2}}));
    }

    #[test]
    fn custom_runtimes_have_a_command_and_others_do_not() {
        let project =
            read("functions: {web: {runtime: custom, command: [./serve], port: 8080}}").unwrap();
        let custom = &project.functions[0].config["customRuntimeConfig"];
        assert_eq!(custom, &json!({"command": ["./serve"], "args": [], "port": 8080}));
        assert_eq!(project.functions[0].code, Code::None);
        let error = read("functions: {f: {runtime: nodejs20, port: 8080}}").unwrap_err();
        assert!(error.contains("custom"), "{error}");
    }

    #[test]
    fn a_container_has_an_image_and_others_do_not() {
        let project = read(
            "functions: {f: {runtime: custom-container, image: 'r.io/a:v1', command: [-x], port: 80, \
             registry: {user: me, password: word, insecure: true}}}",
        )
        .unwrap();
        let container = &project.functions[0].config["customContainerConfig"];
        let registry = json!({"authConfig": {"userName": "me", "password": "word"},
            "certConfig": {"insecure": true, "rootCaCertBase64": ""}});
        let expected = json!({"image": "r.io/a:v1", "entrypoint": [], "command": ["-x"], "port": 80,
            "registryConfig": registry});
        assert_eq!(container, &expected);
        let missing = read("functions: {f: {runtime: custom-container}}").unwrap_err();
        assert!(missing.contains("`image` is missing"), "{missing}");
        let misplaced = read("functions: {f: {runtime: python3.10, image: a}}").unwrap_err();
        assert!(misplaced.contains("custom-container"), "{misplaced}");
    }

    #[test]
    fn code_may_come_from_a_bucket() {
        let project =
            read("functions: {f: {runtime: nodejs20, code: 'media:code/f.zip'}}").unwrap();
        let object = Code::Object { bucket: "media".into(), object: "code/f.zip".into() };
        assert_eq!(project.functions[0].code, object);
    }

    #[test]
    fn a_flow_is_a_file_or_more() {
        let project = read(
            "flows: {a: flows/a.yaml, b: {definition: b.json, express: true, environment: {N: 3}}}",
        )
        .unwrap();
        let [a, b] = project.flows.as_slice() else { panic!("two flows") };
        assert_eq!((a.name.as_str(), a.definition.as_path()), ("a", Path::new("/p/flows/a.yaml")));
        assert!(!a.is_express && b.is_express);
        assert_eq!(b.environment.get("N").map(String::as_str), Some("3"));
        assert!(project.functions.is_empty());
    }

    #[test]
    fn slips_are_refused_with_the_function_named() {
        for (text, word) in [
            ("functions: {f: {runtime: x, memroy: 1}}", "memroy"),
            ("functions: {f: {handler: x}}", "runtime"),
            ("functions: {f: {runtime: x, timeout: soon}}", "f: `soon`"),
            ("functions: {}", "no functions"),
            ("flows: {f: {definition: a, expres: true}}", "expres"),
            ("flows: {f: {express: true}}", "f: missing field `definition`"),
            ("function: {}", "function"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
