//! The documents of an image, as far as we need them: which manifest is for this machine, which
//! layers it has, and what it says about starting. Pure.

use serde::{Deserialize, Serialize};

use super::ImageError;

/// Bytes of one index, manifest or configuration.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Manifests of one index, layers of one manifest.
const ITEMS_MAX: usize = 127;
/// What we ask a registry for.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// An index's name for one of its images.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A pointer from one document to another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    platform: Option<Platform>,
    annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    /// The name that an index of a layout gives it.
    pub(super) fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
}

/// An index or a manifest: which of the two is told by what it has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pub(super) manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
}

/// What a document leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// To the manifest for this machine.
    Manifest(Descriptor),
    /// To the configuration and the layers, the lowest first.
    Image { config: Descriptor, layers: Vec<Descriptor> },
}

impl Document {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ImageError> {
        let document: Self = serde_json::from_slice(bytes).map_err(|error| {
            ImageError::Invalid(format!("its manifest cannot be read: {error}"))
        })?;
        if document.manifests.len() > ITEMS_MAX || document.layers.len() > ITEMS_MAX {
            let message = format!("it has more than {ITEMS_MAX} manifests or layers");
            return Err(ImageError::Invalid(message));
        }
        Ok(document)
    }

    pub(super) fn step(self) -> Result<Step, ImageError> {
        if let Some(config) = self.config {
            return Ok(Step::Image { config, layers: self.layers });
        }
        let (os, architecture) = ("linux", architecture());
        let offered: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|m| m.platform.as_ref())
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        let ours = self.manifests.into_iter().find(|manifest| {
            let platform = manifest.platform.as_ref();
            platform.is_none_or(|p| p.os == os && p.architecture == architecture)
        });
        ours.map(Step::Manifest).ok_or_else(|| {
            let offered = if offered.is_empty() { "nothing".into() } else { offered.join(", ") };
            ImageError::Invalid(format!("it is for {offered}, this node is {os}/{architecture}"))
        })
    }
}

/// This machine in the words of images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The image's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigDocument {
    os: String,
    architecture: String,
    config: Option<RunDocument>,
    rootfs: RootDocument,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct RootDocument {
    diff_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunDocument {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// How an image wants to be started.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RunConfig {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Absolute.
    pub(crate) working_dir: String,
    /// `name`, `number`, either with `:group`; empty for the image's root.
    pub(crate) user: String,
}

/// Bytes of everything an image says about starting.
const RUN_BYTES_MAX: usize = 64 * 1024;

/// The parts of a configuration: the digests of the unpacked layers, and how to start.
pub(super) fn config(bytes: &[u8]) -> Result<(Vec<String>, RunConfig), ImageError> {
    let invalid = |text: String| ImageError::Invalid(text);
    let read: ConfigDocument = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("its configuration cannot be read: {error}")))?;
    let fits = |said: &str, ours: &str| said.is_empty() || said == ours;
    if !fits(&read.os, "linux") || !fits(&read.architecture, architecture()) {
        let ours = architecture();
        let (os, theirs) = (read.os, read.architecture);
        return Err(invalid(format!("it is for {os}/{theirs}, this node is linux/{ours}")));
    }
    let diffs = read.rootfs.diff_ids;
    if diffs.len() > ITEMS_MAX || !diffs.iter().all(|diff| stint_model::image::is_digest(diff)) {
        return Err(invalid("its configuration does not name its layers by their sha256".into()));
    }
    let run = read.config.unwrap_or_default();
    let directory = run.working_dir.unwrap_or_default();
    let working_dir = match directory.as_str() {
        "" => "/".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    if working_dir.split('/').any(|part| part == "..") {
        return Err(invalid(format!("its working directory {working_dir:?} climbs")));
    }
    let env = run.env.unwrap_or_default().into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    let run = RunConfig {
        entrypoint: run.entrypoint.unwrap_or_default(),
        command: run.cmd.unwrap_or_default(),
        env: env.collect(),
        working_dir,
        user: run.user.unwrap_or_default(),
    };
    let words = run.entrypoint.iter().chain(&run.command).map(String::len).sum::<usize>();
    let variables: usize = run.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if words + variables > RUN_BYTES_MAX {
        return Err(invalid(format!(
            "its command and environment take over {RUN_BYTES_MAX} bytes"
        )));
    }
    Ok((diffs, run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_leads_to_the_manifest_of_this_machine() {
        let ours = architecture();
        let text = format!(
            r#"{{"manifests":[
                {{"digest":"sha256:a","platform":{{"os":"linux","architecture":"s390x"}}}},
                {{"digest":"sha256:b","platform":{{"os":"linux","architecture":"{ours}"}},
                  "annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#
        );
        let Step::Manifest(found) = Document::read(text.as_bytes()).unwrap().step().unwrap() else {
            panic!()
        };
        assert_eq!((found.digest.as_str(), found.ref_name()), ("sha256:b", Some("v1")));
        let foreign = r#"{"manifests":[{"digest":"sha256:a","platform":{"os":"plan9","architecture":"mips"}}]}"#;
        let said = Document::read(foreign.as_bytes()).unwrap().step().unwrap_err().to_string();
        assert!(said.contains("plan9/mips"), "{said}");
    }

    #[test]
    fn a_configuration_says_how_to_start() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = format!(
            r#"{{"os":"linux","architecture":"{}","rootfs":{{"diff_ids":["{digest}"]}},
            "config":{{"User":"app:app","Env":["A=b=c","broken","=x"],"Entrypoint":["serve"],
            "Cmd":["-p","9000"],"WorkingDir":"srv"}}}}"#,
            architecture()
        );
        let (diffs, run) = config(text.as_bytes()).unwrap();
        assert_eq!(diffs, [digest]);
        assert_eq!(run.env, [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!((run.working_dir.as_str(), run.user.as_str()), ("/srv", "app:app"));
        assert_eq!((run.entrypoint, run.command.len()), (vec!["serve".to_owned()], 2));
        let null = br#"{"config":{"Env":null,"Entrypoint":null,"Cmd":null,"WorkingDir":null}}"#;
        assert_eq!(config(null).unwrap().1.working_dir, "/");
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        for (text, word) in [
            (r#"{"os":"windows"}"#, "windows"),
            (r#"{"rootfs":{"diff_ids":["md5:1"]}}"#, "sha256"),
            (r#"{"config":{"WorkingDir":"/a/../b"}}"#, "climbs"),
            ("{", "cannot be read"),
        ] {
            let said = config(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
