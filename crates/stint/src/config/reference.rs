//! The reference page of all settings, written from the table. A test compares it with
//! `docs/reference/configuration.md`; `stint config reference` prints it.

use super::raw::Raw;
use super::setting::SETTINGS;
use crate::config::environment;

/// The page.
pub(crate) fn page(defaults: &Raw) -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Written by `stint config reference`; change crates/stint/src/config/setting.rs. -->\n\n\
         A value is taken from the flag, else the environment variable, else the file, else the\n\
         default; `stint config show` prints every value with its origin. The file is TOML: `--config\n\
         FILE`, else `$STINT_CONFIG`, else `stint/config.toml` under the XDG configuration home.\n\
         Unknown keys, and variables that are nearly one of ours, are refused. Every setting can also\n\
         be given as `--set KEY=VALUE`. There is no live reload, except of TLS certificates.\n\n\
         Units: durations are `ms`, `s`, `m`, `h`, `d` (`1h30m`); sizes are `KiB`, `MiB`, `GiB`, `TiB`\n\
         (powers of two) or `kB`, `MB`, `GB`, `TB` (powers of ten).\n",
    );
    for setting in SETTINGS {
        let default = defaults.get(setting.key).value.to_string();
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        let flag = setting.flag.map(|flag| format!(" · flag `{flag}`")).unwrap_or_default();
        let (key, variable, since) = (setting.key, setting.variable, setting.since);
        let (kind, about) = (setting.kind.describe(), setting.about);
        let entry = format!(
            "\n## `{key}`\n\n{about}\n\n{kind} · default {default} · variable `{variable}`{flag} · \
             since {since}\n"
        );
        page.push_str(&entry);
    }
    page += &others();
    page
}

fn others() -> String {
    let others = [
        (environment::CONFIG, "The configuration file."),
        (environment::ENDPOINT, "The server that client commands talk to."),
        (
            environment::ACCESS_KEY_ID,
            "The key of client commands; for `stint up` a root key that is made if there is none of \
             this id.",
        ),
        (environment::ACCESS_KEY_SECRET, "Its secret."),
        (environment::SECURITY_TOKEN, "Session token of a temporary key."),
        (environment::TOKEN, "A bearer token in place of a key."),
        (environment::CA, "A file of certificates that client commands trust beside the system's."),
        (environment::NO_COLOR, "No colours, whatever the terminal."),
    ];
    let rows: String =
        others.into_iter().map(|(name, about)| format!("| `{name}` | {about} |\n")).collect();
    format!("\n## Other variables\n\n| variable | meaning |\n|---|---|\n{rows}")
}
