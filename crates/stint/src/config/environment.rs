//! The only file that reads the environment: every variable Stint looks at is named here or in the
//! table of settings.

use std::path::PathBuf;

/// Where the configuration file is.
pub(crate) const CONFIG: &str = "STINT_CONFIG";
/// The root key of a first start, and the key of client commands.
pub(crate) const ACCESS_KEY_ID: &str = "STINT_ACCESS_KEY_ID";
/// Its secret.
pub(crate) const ACCESS_KEY_SECRET: &str = "STINT_ACCESS_KEY_SECRET";
/// Session token of a temporary key.
pub(crate) const SECURITY_TOKEN: &str = "STINT_SECURITY_TOKEN";
/// A bearer token instead of a key.
pub(crate) const TOKEN: &str = "STINT_TOKEN";
/// Which server client commands talk to.
pub(crate) const ENDPOINT: &str = "STINT_ENDPOINT";
/// Certificates that client commands trust beside the system's.
pub(crate) const CA: &str = "STINT_CA";
/// See <https://no-color.org>.
pub(crate) const NO_COLOR: &str = "NO_COLOR";

/// A snapshot of the environment, so that the rest works on a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: std::collections::BTreeMap<String, String>,
}

impl Environment {
    /// The process's own; what is not UTF-8 is left out.
    pub(crate) fn read() -> Self {
        let text = |v: std::ffi::OsString| v.into_string().ok();
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?)));
        Self { variables: variables.collect() }
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Self { variables: pairs.iter().map(own).collect() }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable of ours.
    pub(crate) fn ours(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        all.filter(|(name, value)| name.starts_with("STINT_") && !value.is_empty())
    }

    /// How to reach S3-compatible storage.
    pub(crate) fn of_aws(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        all.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
    }

    /// `~`, when there is one.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
    }

    /// Where data of this user goes by default.
    pub(crate) fn data_home(&self) -> Option<PathBuf> {
        let said = self.get("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        said.or_else(|| Some(self.home()?.join(".local/share")))
    }

    /// Where short-lived files of this user go.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        let said = self.get("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        said.unwrap_or_else(std::env::temp_dir)
    }

    /// Where settings of this user are by default.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        let said = self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        said.or_else(|| Some(self.home()?.join(".config")))
    }
}
