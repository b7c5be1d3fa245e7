//! What was said: texts by key, each with its origin. No meaning yet, but no unknown key either.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::environment::{self, Environment};
use super::setting::{Kind, SETTINGS, Setting, setting};

/// Built in, so that `config show` can show where a default comes from.
const DEFAULTS: &str = include_str!("../defaults.toml");

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    One(String),
    Many(Vec<String>),
    Table(BTreeMap<String, String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::Many(texts) => f.write_str(&texts.join(", ")),
            Self::Table(table) => {
                let pairs: Vec<_> = table.iter().map(|(k, v)| format!("{k}={v}")).collect();
                f.write_str(&pairs.join(", "))
            }
        }
    }
}

/// A value and its origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Everything that was said, the strongest origin of each key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Raw {
    said: BTreeMap<&'static str, Said>,
}

/// What the command line said: `(flag, key, text)`.
pub(crate) type Flags = Vec<(String, String, String)>;

impl Raw {
    /// Defaults, then the file, then the environment, then flags.
    pub(crate) fn gather(
        file: Option<&Path>,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        raw.toml(DEFAULTS, &Origin::Default, Path::new("defaults.toml"))?;
        let file = file.map(Path::to_owned).or_else(|| default_file(environment));
        if let Some(path) = file {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            raw.toml(&text, &Origin::File(path.clone()), &path)?;
        }
        for setting in SETTINGS {
            if let Some(text) = environment.get(setting.variable) {
                let origin = Origin::Variable(setting.variable.to_owned());
                raw.text(setting, text, origin)?;
            }
        }
        Self::refuse_misspelt_variables(environment)?;
        for (flag, key, text) in flags {
            let origin = Origin::Flag(flag.clone());
            let setting = setting(key).ok_or_else(|| unknown(key, &origin))?;
            raw.text(setting, text, origin)?;
        }
        Ok(raw)
    }

    /// The value of a setting. Every setting has one: the defaults name them all.
    pub(crate) fn get(&self, key: &str) -> &Said {
        self.said.get(key).expect("the defaults name every setting; a test checks it")
    }

    /// Key, value, origin of everything, in the order of the table.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static Setting, &Said)> {
        SETTINGS.iter().map(|setting| (setting, self.get(setting.key)))
    }

    fn toml(&mut self, text: &str, origin: &Origin, path: &Path) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|source| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        self.walk("", &table, origin)
    }

    fn walk(
        &mut self,
        prefix: &str,
        table: &toml::Table,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match (setting(&key), value) {
                (Some(setting), value) => {
                    let value = from_toml(setting, value).map_err(|reason| ConfigError::Value {
                        origin: origin.clone(),
                        key: key.clone(),
                        value: value.to_string(),
                        reason,
                    })?;
                    self.said.insert(setting.key, Said { value, origin: origin.clone() });
                }
                (None, toml::Value::Table(inner)) if is_table(&key) => {
                    self.walk(&key, inner, origin)?;
                }
                (None, _) => return Err(unknown(&key, origin)),
            }
        }
        Ok(())
    }

    fn text(&mut self, setting: &Setting, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let value = match setting.kind {
            Kind::List => Value::Many(parts(text).map(str::to_owned).collect()),
            Kind::Map => {
                let pair = |part: &str| {
                    let (name, text) = part.split_once('=').ok_or_else(|| ConfigError::Value {
                        origin: origin.clone(),
                        key: setting.key.to_owned(),
                        value: format!("`{text}`"),
                        reason: "write name=text,name=text".to_owned(),
                    })?;
                    Ok((name.trim().to_owned(), text.trim().to_owned()))
                };
                Value::Table(parts(text).map(pair).collect::<Result<_, ConfigError>>()?)
            }
            _ => Value::One(text.to_owned()),
        };
        self.said.insert(setting.key, Said { value, origin });
        Ok(())
    }

    /// A variable that is nearly one of ours is a slip. Others are left alone: whoever starts us
    /// may have variables of that prefix (a Kubernetes service named `stint` brings a dozen).
    fn refuse_misspelt_variables(environment: &Environment) -> Result<(), ConfigError> {
        let others = [
            environment::CONFIG,
            environment::ACCESS_KEY_ID,
            environment::ACCESS_KEY_SECRET,
            environment::SECURITY_TOKEN,
            environment::TOKEN,
            environment::ENDPOINT,
            environment::CA,
        ];
        for (name, _) in environment.ours() {
            if !others.contains(&name) && !SETTINGS.iter().any(|s| s.variable == name) {
                let origin = Origin::Variable(name.to_owned());
                let names = SETTINGS.iter().map(|s| s.variable).chain(others);
                let hint = nearest(name, names, 2);
                if !hint.is_empty() {
                    return Err(ConfigError::Unknown { origin, key: name.to_owned(), hint });
                }
            }
        }
        Ok(())
    }
}

/// `--config` beats this; it need not exist.
fn default_file(environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = environment.get(environment::CONFIG) {
        return Some(path.into());
    }
    let path = environment.config_home()?.join("stint/config.toml");
    path.is_file().then_some(path)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn is_table(key: &str) -> bool {
    SETTINGS.iter().any(|s| s.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn from_toml(setting: &Setting, value: &toml::Value) -> Result<Value, String> {
    match (setting.kind, value) {
        (Kind::List, toml::Value::Array(items)) => {
            items.iter().map(scalar).collect::<Result<_, _>>().map(Value::Many)
        }
        (Kind::Map, toml::Value::Table(table)) => table
            .iter()
            .map(|(name, value)| Ok((name.clone(), scalar(value)?)))
            .collect::<Result<_, _>>()
            .map(Value::Table),
        (Kind::List | Kind::Map, _) => Err(format!("it is a {}", setting.kind.describe())),
        (_, value) => scalar(value).map(Value::One),
    }
}

fn scalar(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            Err("a single text, number or switch goes here".to_owned())
        }
    }
}

fn unknown(key: &str, origin: &Origin) -> ConfigError {
    let hint = nearest(key, SETTINGS.iter().map(|setting| setting.key), 3);
    ConfigError::Unknown { origin: origin.clone(), key: key.to_owned(), hint }
}

/// " (did you mean …?)" when something is close.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, far_max: usize) -> String {
    let best = known.map(|known| (distance(name, known), known)).min();
    match best {
        Some((far, known)) if far <= far_max => format!(" (did you mean `{known}`?)"),
        _ => String::new(),
    }
}

/// Edits from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
