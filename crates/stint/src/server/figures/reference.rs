//! The reference page of the metrics, from what is described to the recorder:
//! `docs/reference/metrics.md`; `stint config metrics` prints it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// A recorder that keeps descriptions and records nothing.
#[derive(Default)]
struct Collector {
    seen: Mutex<BTreeMap<String, Meaning>>,
}

struct Meaning {
    kind: &'static str,
    unit: Option<Unit>,
    about: SharedString,
}

impl Collector {
    fn keep(&self, name: &KeyName, kind: &'static str, unit: Option<Unit>, about: SharedString) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(name.as_str().to_owned(), Meaning { kind, unit, about });
    }
}

impl Recorder for Collector {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.keep(&name, "counter", unit, about);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.keep(&name, "gauge", unit, about);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.keep(&name, "histogram", unit, about);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

const HEAD: &str = "# Metrics

<!-- Written by `stint config metrics`; change crates/stint/src/server/figures.rs. -->

`GET /metrics` of the control listener, in the text form that Prometheus reads. Whoever reaches the
listener sees the figures of the platform. Series that name a function (labels `account` and
`function`) are for keys that may read: a key of the root account sees every account's, others their own; give Prometheus
one with `authorization: { type: Bearer, credentials: … }`. The 500 functions that came first have
labels of their own, the rest shares `other`.

| name | kind | unit | what |
|---|---|---|---|
";

/// The page.
pub(crate) fn page() -> String {
    let collector = Collector::default();
    metrics::with_local_recorder(&collector, super::describe);
    let mut page = HEAD.to_owned();
    let seen = collector.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, Meaning { kind, unit, about }) in seen {
        let unit = unit.map_or("", |unit| match unit {
            Unit::Count => "",
            other => other.as_str(),
        });
        writeln!(page, "| `{name}` | {kind} | {unit} | {about} |")
            .expect("a String takes everything");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_tree_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md");
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == page(),
            "docs/reference/metrics.md is not what is described; write it again with \
             `stint config metrics > docs/reference/metrics.md`"
        );
    }

    /// Names in the sources' macros.
    fn used(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("a directory of ours").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
                used(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                for part in text.split("metrics::").skip(1) {
                    let quoted = ["counter!(", "gauge!(", "histogram!("]
                        .iter()
                        .find_map(|start| part.strip_prefix(start))
                        .map(str::trim_start)
                        .and_then(|rest| rest.strip_prefix('"'));
                    found.extend(quoted.and_then(|rest| rest.split('"').next()).map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn whatever_is_counted_is_described() {
        let mut found = Vec::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
        assert!(found.len() > 20, "the macros were found: {found:?}");
        let page = page();
        found.retain(|name| !page.contains(&format!("| `{name}` |")) && name.starts_with("stint_"));
        assert!(found.is_empty(), "not described: {found:?}");
    }
}
