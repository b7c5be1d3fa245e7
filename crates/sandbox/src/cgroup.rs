//! Control groups: one directory of ours below the server's own path, one leaf per child.
//!
//! Version 2 is one leaf and the child is born in it. Version 1 (also the hybrid layout) has one
//! tree per controller, and entering one may wait several milliseconds for the kernel: there the
//! child enters by itself while it is parked, never while a request waits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::spec::Usage;

/// A directory name that cannot leave its parent.
pub(crate) fn name_is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// Reads what the processes of a leaf use; `leaf` holds its directory in each tree.
pub(crate) fn read_usage(leaf: &[PathBuf]) -> Usage {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| leaf.iter().find_map(|dir| read_number(&dir.join(name))))
    };
    let cpu = leaf
        .iter()
        .find_map(|dir| read_field(&dir.join("cpu.stat"), "usage_usec"))
        .map(Duration::from_micros)
        .or_else(|| first(&["cpuacct.usage"]).map(Duration::from_nanos));
    let oom_kills = leaf.iter().find_map(|dir| {
        read_field(&dir.join("memory.events"), "oom_kill")
            .or_else(|| read_field(&dir.join("memory.oom_control"), "oom_kill"))
    });
    Usage {
        memory_bytes: first(&["memory.current", "memory.usage_in_bytes"]),
        memory_peak_bytes: first(&["memory.peak", "memory.max_usage_in_bytes"]),
        cpu,
        oom_kills: oom_kills.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    }
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A `name value` line of a keyed file.
fn read_field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
