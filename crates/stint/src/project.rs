//! What `stint deploy` deploys: functions as a project file describes them, in the words of Function
//! Compute, and flows. Two formats lead here: `stint.yaml` and the `s.yaml` of Serverless Devs.

pub(crate) mod component;
pub(crate) mod devs;
pub(crate) mod interpolate;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Functions and flows to deploy, and what is in the file and is not deployed.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Project {
    pub(crate) functions: Vec<FunctionPlan>,
    pub(crate) flows: Vec<FlowPlan>,
    /// Said to the user: nothing is left out silently.
    pub(crate) notes: Vec<String>,
}

/// One function.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct FunctionPlan {
    pub(crate) name: String,
    /// Fields of `CreateFunctionInput`, without `functionName` and `code`.
    pub(crate) config: Map<String, Value>,
    pub(crate) code: Code,
    /// `PutAsyncInvokeConfigInput`.
    pub(crate) async_config: Option<Value>,
    /// The native retry policy.
    pub(crate) retry: Option<Value>,
    pub(crate) reserved_concurrency: Option<u32>,
    /// The native limits.
    pub(crate) limits: Option<Value>,
}

/// One flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FlowPlan {
    pub(crate) name: String,
    /// The file with its definition.
    pub(crate) definition: PathBuf,
    pub(crate) is_express: bool,
    pub(crate) description: String,
    pub(crate) role: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Where the code is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// A directory to pack or a zip as it is.
    Path(PathBuf),
    /// A directory to pack, with a program that was made of it.
    Component { path: PathBuf, program: Vec<u8> },
    /// An object of a configured bucket.
    Object { bucket: String, object: String },
    /// An image, or nothing said: the code stays as it is.
    None,
}

/// Files that are looked for, in this order.
const NAMES: [&str; 4] = ["stint.yaml", "stint.yml", "s.yaml", "s.yml"];

/// The project file of a directory.
pub(crate) fn find(directory: &Path) -> Result<PathBuf, Failure> {
    let found = NAMES.iter().map(|name| directory.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::usage(format!("there is no stint.yaml (or s.yaml) in {}", directory.display()))
            .next("stint init python3.10 makes one, or name the file with --file")
    })
}

/// Reads a project file of either format.
pub(crate) fn read(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Project, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::cannot(format_args!("read {}", path.display()), &error))?;
    let base = path.parent().unwrap_or(Path::new("."));
    let wrong = |reason: String| Failure::usage(format!("{}: {reason}", path.display()));
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if !value.is_object() {
        let reason = "it holds no `functions:` (or `resources:`, as an s.yaml does)";
        return Err(wrong(reason.to_owned()).next("stint init python3.10 shows how one looks"));
    }
    if value.get("resources").is_some() {
        let value = interpolate::resolve(value, base, variable).map_err(wrong)?;
        devs::project(&value, base).map_err(wrong)
    } else {
        let value = interpolate::resolve(value, base, variable).map_err(wrong)?;
        manifest::project(value, base).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_directory_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let error = find(dir.path()).unwrap_err();
        assert!(error.next.unwrap().contains("stint init"));
        std::fs::write(dir.path().join("s.yaml"), "").unwrap();
        assert_eq!(find(dir.path()).unwrap(), dir.path().join("s.yaml"));
        std::fs::write(dir.path().join("stint.yaml"), "").unwrap();
        assert_eq!(find(dir.path()).unwrap(), dir.path().join("stint.yaml"));
    }

    #[test]
    fn a_wrong_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stint.yaml");
        for text in ["functions: [", "functions: {f: {runtim: x}}", "{}"] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path, &|_| None).unwrap_err();
            assert!(error.message.contains("stint.yaml"), "{error}");
        }
    }
}
