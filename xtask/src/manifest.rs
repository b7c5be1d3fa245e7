//! As much of a Cargo.toml as the rules need: sections and the names of their keys.

/// A name in a dependency section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) dev: bool,
}

/// Every dependency that the text names, whatever the section's target.
pub(crate) fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut section = Section::Other;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = Section::of(header);
            // `[dependencies.name]` names one in its header.
            if let Section::One(name, dev) = &section {
                found.push(Dependency { name: name.clone(), dev: *dev });
            }
        } else if let Section::Many { dev } = section
            && let Some((key, value)) = line.split_once('=')
        {
            let key = key.trim().trim_matches('"');
            let key = key.split('.').next().unwrap_or(key).trim();
            // `alias = { package = "name" }` names what it renames.
            let package = value.split("package = \"").nth(1).and_then(|v| v.split('"').next());
            found.push(Dependency { name: package.unwrap_or(key).to_owned(), dev });
        }
    }
    found
}

/// The lines of one section.
pub(crate) fn section<'t>(text: &'t str, header: &str) -> Vec<&'t str> {
    let mut lines = text.lines().skip_while(|line| line.trim() != header).skip(1);
    let lines = lines.by_ref().take_while(|line| !line.starts_with('['));
    lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

enum Section {
    Many { dev: bool },
    One(String, bool),
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        let last = header.rsplit('.').next().unwrap_or(header);
        if let Some(dev) = kind(last) {
            return Self::Many { dev };
        }
        let before = header.strip_suffix(last).map_or("", |before| before.trim_end_matches('.'));
        let before = before.rsplit('.').next().unwrap_or(before);
        match kind(before) {
            Some(dev) => Self::One(last.trim_matches('"').to_owned(), dev),
            None => Self::Other,
        }
    }
}

fn kind(word: &str) -> Option<bool> {
    match word {
        "dependencies" | "build-dependencies" => Some(false),
        "dev-dependencies" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_dependency_is_seen() {
        let text = r#"
[package]
name = "stint-node"
[dependencies] # ours
stint-model.workspace = true
stint-wire = { workspace = true }
hidden = { package = "stint-store", path = "../store" }
"quoted" = "1"
# stint-engine.workspace = true
[target.'cfg(target_os = "linux")'.dependencies]
rustix.workspace = true
[dependencies.stint-sandbox]
workspace = true
[dev-dependencies]
tempfile.workspace = true
[build-dependencies]
cc = "1"
[features]
dependencies-of-mine = []
"#;
        let names = |dev| {
            let found = dependencies(text).into_iter().filter(move |found| found.dev == dev);
            found.map(|found| found.name).collect::<Vec<_>>()
        };
        let expected = ["stint-model", "stint-wire", "stint-store", "quoted", "rustix"];
        assert_eq!(names(false), [&expected[..], &["stint-sandbox", "cc"]].concat());
        assert_eq!(names(true), ["tempfile"]);
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "[a]\nx = 1\n\n# no\ny = 2\n[b]\nz = 3\n";
        assert_eq!(section(text, "[a]"), ["x = 1", "y = 2"]);
        assert_eq!(section(text, "[c]"), Vec::<&str>::new());
    }
}
