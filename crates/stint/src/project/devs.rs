//! The `s.yaml` of Serverless Devs, its `fc3` component: functions and their async configuration.
//! What this does not deploy is noted, never dropped in silence.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Code, FunctionPlan, Project};

/// Props that are not fields of the function.
const HANDLED: [&str; 6] =
    ["functionName", "code", "region", "asyncInvokeConfig", "concurrencyConfig", "triggers"];
/// Props that arrive in later work, and what to say.
const LATER: [&str; 6] =
    ["provisionConfig", "scalingConfig", "customDomain", "vpcBinding", "aliases", "mcpConfig"];

/// Reads a whole file (its `${…}` are replaced already).
pub(super) fn project(file: &Value, base: &Path) -> Result<Project, String> {
    let resources = file["resources"].as_object().ok_or("`resources` is no table")?;
    let mut project = Project::default();
    for (name, resource) in resources {
        let component = resource["component"].as_str().unwrap_or_default();
        if component != "fc3" && !component.starts_with("fc3@") {
            project.notes.push(format!("{name}: component `{component}` is not deployed; fc3 is"));
            continue;
        }
        if resource.get("actions").is_some() {
            project.notes.push(format!("{name}: `actions` are not run"));
        }
        let props = resource["props"].as_object().ok_or_else(|| format!("{name}: no `props`"))?;
        let plan = plan(name, props, base, &mut project.notes);
        project.functions.push(plan.map_err(|error| format!("{name}: {error}"))?);
    }
    if project.functions.is_empty() {
        return Err("it has no resource with component fc3".to_owned());
    }
    Ok(project)
}

fn plan(
    resource: &str,
    props: &Map<String, Value>,
    base: &Path,
    notes: &mut Vec<String>,
) -> Result<FunctionPlan, String> {
    let name = props.get("functionName").and_then(Value::as_str).unwrap_or(resource).to_owned();
    let mut config = Map::new();
    for (key, value) in props {
        if HANDLED.contains(&key.as_str()) {
            continue;
        }
        if LATER.contains(&key.as_str()) {
            notes.push(format!("{name}: `{key}` is not deployed: it comes in a later version"));
        } else if value.as_str() == Some("auto") {
            notes.push(format!("{name}: `{key}: auto` makes nothing here and is left out"));
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    // What the component fills in itself.
    for (key, value) in [("memorySize", json!(512)), ("timeout", json!(3))] {
        config.entry(key).or_insert(value);
    }
    config.entry("handler").or_insert_with(|| json!("index.handler"));
    triggers(&name, props.get("triggers"), notes);
    let reserved_concurrency = match props.get("concurrencyConfig") {
        None => None,
        Some(value) => {
            let count = value["reservedConcurrency"].as_u64().and_then(|n| u32::try_from(n).ok());
            Some(count.ok_or("`concurrencyConfig` needs `reservedConcurrency`")?)
        }
    };
    let async_config = props.get("asyncInvokeConfig").map(|value| {
        let mut value = value.clone();
        if let Some(config) = value.as_object_mut()
            && let Some(qualifier) = config.remove("qualifier")
            && qualifier != "LATEST"
        {
            notes.push(format!("{name}: asyncInvokeConfig is put for LATEST, not {qualifier}"));
        }
        value
    });
    Ok(FunctionPlan {
        name,
        config,
        code: code(props.get("code"), base)?,
        async_config,
        retry: None,
        reserved_concurrency,
        limits: None,
    })
}

fn code(said: Option<&Value>, base: &Path) -> Result<Code, String> {
    match said {
        None | Some(Value::Null) => Ok(Code::None),
        Some(Value::String(path)) => Ok(Code::Path(base.join(path))),
        Some(Value::Object(object)) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            if let Some(path) = text("src") {
                return Ok(Code::Path(base.join(path)));
            }
            match (text("ossBucketName"), text("ossObjectName")) {
                (Some(bucket), Some(key)) => {
                    Ok(Code::Object { bucket: bucket.to_owned(), object: key.to_owned() })
                }
                _ => Err("`code` needs a path, or ossBucketName and ossObjectName".to_owned()),
            }
        }
        Some(_) => Err("`code` is a path or a table".to_owned()),
    }
}

fn triggers(name: &str, said: Option<&Value>, notes: &mut Vec<String>) {
    for trigger in said.and_then(Value::as_array).into_iter().flatten() {
        let what = trigger["triggerName"].as_str().unwrap_or("?");
        let kind = trigger["triggerType"].as_str().unwrap_or("?");
        notes.push(format!(
            "{name}: trigger `{what}` ({kind}) is not deployed: triggers come in a later version"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::interpolate;
    use super::*;

    const FILE: &str = r#"
edition: 3.0.0
name: app
access: default
vars: {region: cn-hangzhou, prefix: video}
resources:
  cutter:
    component: fc3
    actions: {pre-deploy: [{run: make}]}
    props:
      region: ${vars.region}
      functionName: ${vars.prefix}-cut
      runtime: python3.10
      handler: cut.handler
      code: ./code
      cpu: 1
      memorySize: 1024
      environmentVariables: {TOKEN: "${env('TOKEN', 'none')}"}
      logConfig: auto
      nasConfig: {userId: 0, groupId: 0, mountPoints: [{serverAddr: 'volume:m', mountDir: /mnt/m}]}
      asyncInvokeConfig:
        qualifier: LATEST
        asyncTask: true
        maxAsyncRetryAttempts: 1
        destinationConfig: {onSuccess: {destination: 'acs:fc:::functions/next'}}
      concurrencyConfig: {reservedConcurrency: 3}
      triggers: [{triggerName: every, triggerType: timer, triggerConfig: {}}]
      provisionConfig: {defaultTarget: 1}
  bucket:
    component: oss
    props: {}
"#;

    fn read(text: &str) -> Result<Project, String> {
        let value = serde_saphyr::from_str(text).unwrap();
        project(&interpolate::resolve(value, Path::new("/p"), &|_| None)?, Path::new("/p"))
    }

    #[test]
    fn a_function_with_its_async_configuration() {
        let project = read(FILE).unwrap();
        let [f] = project.functions.as_slice() else { panic!("one function") };
        assert_eq!((f.name.as_str(), &f.code), ("video-cut", &Code::Path("/p/./code".into())));
        assert_eq!(f.config["runtime"], json!("python3.10"));
        assert_eq!(f.config["timeout"], json!(3), "the component's default");
        assert_eq!(f.config["environmentVariables"]["TOKEN"], json!("none"));
        assert_eq!(f.config["nasConfig"]["mountPoints"][0]["serverAddr"], json!("volume:m"));
        assert!(!f.config.contains_key("logConfig") && !f.config.contains_key("region"));
        let asynchronous = f.async_config.as_ref().unwrap();
        assert_eq!(asynchronous["maxAsyncRetryAttempts"], json!(1));
        assert!(asynchronous.get("qualifier").is_none());
        assert_eq!(f.reserved_concurrency, Some(3));
    }

    #[test]
    fn what_is_not_deployed_is_said() {
        let notes = read(FILE).unwrap().notes.join("\n");
        for word in
            ["trigger `every` (timer)", "provisionConfig", "logConfig: auto", "oss", "actions"]
        {
            assert!(notes.contains(word), "{word}: {notes}");
        }
    }

    #[test]
    fn an_image_is_passed_on() {
        let text = "resources: {f: {component: fc3, props: {runtime: custom-container, \
            customContainerConfig: {image: 'r.io/a:v1', port: 80}}}}";
        let project = read(text).unwrap();
        let config = &project.functions[0].config["customContainerConfig"];
        assert_eq!(config, &json!({"image": "r.io/a:v1", "port": 80}));
        assert_eq!(project.functions[0].code, Code::None);
    }

    #[test]
    fn code_in_a_bucket_and_files_without_functions() {
        let text = "resources: {f: {component: fc3, props: {runtime: x, code: {ossBucketName: b, ossObjectName: o}}}}";
        let object = Code::Object { bucket: "b".into(), object: "o".into() };
        assert_eq!(read(text).unwrap().functions[0].code, object);
        assert!(read("resources: {f: {component: oss}}").unwrap_err().contains("fc3"));
        assert!(read("resources: {f: {component: fc3}}").unwrap_err().contains("props"));
        let wrong = "resources: {f: {component: fc3, props: {code: {}}}}";
        assert!(read(wrong).unwrap_err().contains("ossBucketName"));
    }
}
