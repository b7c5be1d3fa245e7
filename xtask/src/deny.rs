//! Licences and bans, offline: reads deny.toml and holds it against the packages that are
//! really built here, and what they say of themselves. Where cargo-deny is installed it runs as well; it knows more, and its
//! advisories need a database that a fresh machine does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::ci::Notes;
use crate::shell;

pub(crate) fn check(root: &Path) -> Result<Notes, String> {
    let text = fs::read_to_string(root.join("deny.toml"));
    let rules = Rules::of(&text.map_err(|error| format!("deny.toml: {error}"))?);
    let args = ["tree", "--locked", "--workspace", "--edges", "normal,build,dev"];
    let args = [&args[..], &["--prefix", "none", "--format", "{p}|{l}"]].concat();
    let packages = packages(&shell::output(root, "cargo", &args)?);
    let mut problems: Vec<_> = packages.iter().filter_map(|p| unlicensed(&rules, p)).collect();
    problems.extend(packages.iter().filter_map(|package| banned(&rules, package)));
    for (name, wrappers) in &rules.wrapped {
        if packages.iter().any(|package| package.name == *name) {
            let args = ["tree", "--locked", "--workspace", "--edges", "normal,build,dev"];
            let args = [&args[..], &["--prefix", "none", "--depth", "1", "-i", name]].concat();
            let tree = shell::output(root, "cargo", &args)?;
            problems.extend(strangers(name, wrappers, &tree));
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let mut notes = vec![format!("{} packages: licences and bans hold", packages.len())];
    notes.extend(cargo_deny(root)?);
    Ok(notes)
}

fn cargo_deny(root: &Path) -> Result<Notes, String> {
    if !shell::is_installed("cargo", &["deny", "--version"]) {
        return Ok(vec!["cargo-deny is not installed: advisories were not checked".to_owned()]);
    }
    let args = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    shell::run(root, "cargo", &args)?;
    #[expect(clippy::disallowed_methods, reason = "a tool reads its environment")]
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|h| h + "/.cargo"));
    if !home.is_ok_and(|home| Path::new(&home).join("advisory-dbs").is_dir()) {
        return Ok(vec!["no advisory database at hand: advisories were not checked".to_owned()]);
    }
    shell::run(root, "cargo", &["deny", "--offline", "check", "advisories"])?;
    Ok(vec!["cargo-deny: bans, licences, sources and advisories hold".to_owned()])
}

/// What deny.toml says.
#[derive(Debug, Default)]
struct Rules {
    licences: BTreeSet<String>,
    bans: BTreeSet<String>,
    /// Banned but for these, who may bring it.
    wrapped: BTreeMap<String, BTreeSet<String>>,
}

impl Rules {
    fn of(text: &str) -> Self {
        let (mut bans, mut wrapped) = (BTreeSet::new(), BTreeMap::new());
        for line in text.lines() {
            let Some(name) = quoted_after(line, "crate = ").into_iter().next() else { continue };
            let wrappers =
                line.split("wrappers = [").nth(1).and_then(|rest| rest.split(']').next());
            match wrappers {
                Some(wrappers) => {
                    let names = wrappers.split('"').skip(1).step_by(2).map(str::to_owned);
                    wrapped.insert(name, names.collect());
                }
                None => drop(bans.insert(name)),
            }
        }
        let allow = text.split("\nallow = [").nth(1).and_then(|rest| rest.split(']').next());
        let licences = allow.unwrap_or("").split('"').skip(1).step_by(2).map(str::to_owned);
        Self { licences: licences.collect(), bans, wrapped }
    }
}

/// A package and its SPDX expression.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    licence: String,
}

/// `cargo tree` prints `name v1.2.3 (what it is)|licence`, and a star where it repeats itself.
fn packages(tree: &str) -> BTreeSet<Package> {
    let lines = tree.lines().filter_map(|line| line.trim_end_matches(" (*)").rsplit_once('|'));
    let packages = lines.filter_map(|(package, licence)| {
        let name = package.split(' ').next()?.to_owned();
        Some(Package { name, licence: licence.trim().to_owned() })
    });
    packages.collect()
}

fn quoted_after(text: &str, mark: &str) -> Vec<String> {
    let after = text.split(mark).skip(1);
    let quoted = after.filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
    quoted.map(str::to_owned).collect()
}

fn banned(rules: &Rules, package: &Package) -> Option<String> {
    let Package { name, .. } = package;
    let banned = rules.bans.contains(name);
    banned
        .then(|| format!("{name}: banned in deny.toml; `cargo tree -i {name}` says who brings it"))
}

/// Who brings a banned package without being allowed to; the tree's first line is the package itself.
fn strangers(name: &str, wrappers: &BTreeSet<String>, tree: &str) -> Vec<String> {
    let parents = tree.lines().skip(1).filter_map(|line| line.split(' ').next());
    let strange = parents.filter(|parent| !parent.is_empty() && !wrappers.contains(*parent));
    strange.map(|parent| format!("{name}: {parent} may not bring it, says deny.toml")).collect()
}

fn unlicensed(rules: &Rules, package: &Package) -> Option<String> {
    let Package { name, licence } = package;
    let allowed = is_allowed(rules, licence);
    (!allowed).then(|| format!("{name}: licence {licence:?} is not allowed in deny.toml"))
}

/// SPDX, as far as it is used: `OR` binds weaker than `AND`; parentheses only group one choice.
fn is_allowed(rules: &Rules, expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let one = |term: &str| rules.licences.contains(term.trim().trim_matches(['(', ')', ' ']));
    let is_grouped = expression.contains(") AND") || expression.contains("AND (");
    if is_grouped {
        return expression.split(" AND ").all(|choice| choice.split(" OR ").any(one));
    }
    expression.split(" OR ").any(|all| all.split(" AND ").all(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let text = "[licenses]\nallow = [\n  \"MIT\", # fine\n  \"Apache-2.0\",\n  \"ISC\",\n]\n\
                    [bans]\ndeny = [\n  { crate = \"native-tls\", reason = \"one TLS\" },\n]\n";
        Rules::of(text)
    }

    #[test]
    fn a_banned_crate_is_found() {
        let package = |name: &str| Package { name: name.to_owned(), licence: "MIT".to_owned() };
        let found = banned(&rules(), &package("native-tls")).unwrap();
        assert!(found.starts_with("native-tls: banned"), "{found}");
        assert_eq!(banned(&rules(), &package("native-tls-lookalike")), None);
    }

    #[test]
    fn a_wrapped_crate_comes_with_its_wrapper_only() {
        let text = "deny = [\n  { crate = \"openssl-sys\", wrappers = [\"rdkafka-sys\"], reason = \"\" },\n]\n";
        let rules = Rules::of(text);
        assert!(rules.bans.is_empty());
        let wrappers = &rules.wrapped["openssl-sys"];
        let tree = "openssl-sys v0.9.1\nrdkafka-sys v4.1.0\n";
        assert_eq!(strangers("openssl-sys", wrappers, tree), Vec::<String>::new());
        let found = strangers("openssl-sys", wrappers, &format!("{tree}openssl v0.10.1\n"));
        assert_eq!(found, ["openssl-sys: openssl may not bring it, says deny.toml"]);
    }

    #[test]
    fn licences_are_read_as_choices() {
        for good in
            ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR X11) AND ISC", "MIT AND ISC"]
        {
            assert!(is_allowed(&rules(), good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND X11"] {
            assert!(!is_allowed(&rules(), bad), "{bad}");
        }
    }

    #[test]
    fn packages_are_read_from_the_tree() {
        let text = "stint v0.1.0 (/home/me/stint)|Apache-2.0\na v1.0.0|MIT\n\nb v2.0.0 (proc-macro)|\n\
                    a v1.0.0|MIT (*)\n";
        let found: Vec<_> = packages(text).into_iter().collect();
        let names: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.licence.as_str())).collect();
        assert_eq!(names, [("a", "MIT"), ("b", ""), ("stint", "Apache-2.0")]);
        assert!(unlicensed(&rules(), &found[1]).is_some(), "no licence is no permission");
    }
}
