//! What one would use instead, in the same run: how long other tools take to start the same Python and
//! see it end. Each is measured where it is installed; none is asked to be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::Plan;
use crate::figures::{Latencies, millis, write};
use crate::report::Row;

use super::row;

const PROGRAM: [&str; 4] = ["/usr/bin/python3", "-I", "-c", "pass"];
const STARTS: usize = 30;

/// A tool and how it is told to run the program; `None` when it is not here.
type Tool = (&'static str, fn(&Path) -> Result<Option<Vec<Vec<String>>>>);

const TOOLS: [Tool; 5] = [
    ("beside: the bare interpreter, p50", |_| Ok(Some(vec![strings(&PROGRAM)]))),
    ("beside: bubblewrap, p50", bubblewrap),
    ("beside: crun, p50", |dir| bundle(dir, "crun")),
    ("beside: runsc, p50", |dir| bundle(dir, "runsc")),
    ("beside: docker run, p50", docker),
];

pub(super) fn beside(plan: &Plan) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir().context("tempdir")?;
    let mut rows = Vec::new();
    for (name, tool) in TOOLS {
        let Some(commands) = tool(dir.path()).with_context(|| name.to_owned())? else { continue };
        let mut row = row(name, "ms", "–");
        for _ in 0..plan.repeats {
            match starts(&commands, STARTS / plan.divide.min(6)) {
                Ok(taken) => {
                    row.taken.push(taken.percentile(50));
                    row.note = format!("start to end; p99 {} ms", write(taken.percentile(99)));
                }
                Err(error) => row.note = format!("does not work here: {error:#}"),
            }
        }
        if !row.taken.is_empty() {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn starts(commands: &[Vec<String>], count: usize) -> Result<Latencies> {
    let mut taken = Vec::new();
    for at in 0..count {
        let began = Instant::now();
        for command in commands {
            let words = command.iter().map(|word| word.replace("ID", &format!("bench-{at}")));
            let mut words = words.collect::<Vec<_>>().into_iter();
            let program = words.next().context("a command")?;
            let done = Command::new(program)
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .output()
                .context("start it")?;
            if !done.status.success() {
                bail!("{}", String::from_utf8_lossy(&done.stderr).trim());
            }
        }
        taken.push(millis(began.elapsed()));
    }
    Ok(Latencies::of(taken))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn bubblewrap(_: &Path) -> Result<Option<Vec<Vec<String>>>> {
    if !is_here("bwrap") {
        return Ok(None);
    }
    let mut words = strings(&[
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
    ]);
    words.extend(strings(&PROGRAM));
    Ok(Some(vec![words]))
}

/// A bundle of the OCI runtime specification whose root is the host's `/usr`.
fn bundle(dir: &Path, runtime: &'static str) -> Result<Option<Vec<Vec<String>>>> {
    if !is_here(runtime) {
        return Ok(None);
    }
    let bundle = dir.join(runtime);
    let root = bundle.join("rootfs");
    for made in ["usr", "proc", "dev", "tmp"] {
        std::fs::create_dir_all(root.join(made)).context("make a bundle")?;
    }
    for name in ["lib", "lib64", "bin"] {
        symlink(format!("usr/{name}"), root.join(name)).context("make a bundle")?;
    }
    let kinds = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({ "type": kind }));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": PROGRAM, "cwd": "/", "env": ["PATH=/usr/bin"]},
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {"namespaces": kinds},
    });
    std::fs::write(bundle.join("config.json"), config.to_string()).context("make a bundle")?;
    let bundle = bundle.display().to_string();
    Ok(Some(vec![strings(&[runtime, "run", "--bundle", &bundle, "ID"])]))
}

/// Debian's slim Python, when its image is here already.
fn docker(_: &Path) -> Result<Option<Vec<Vec<String>>>> {
    const IMAGE: &str = "python:3-slim";
    let has_image = is_here("docker")
        && Command::new("docker")
            .args(["image", "inspect", IMAGE])
            .output()
            .is_ok_and(|shown| shown.status.success());
    let run = strings(&["docker", "run", "--rm", IMAGE, "python3", "-I", "-c", "pass"]);
    Ok(has_image.then(|| vec![run]))
}
