//! `stint doctor`: what this machine can isolate and run, found by doing, and what to install.

use clap::Args;
use serde::Serialize;
use stint_node::{EgressRule, HostFor, NodeNetwork, WasmProgram};
use stint_sandbox::{
    Candidate, Discovery, Family, IsolationPolicy, Launcher, LauncherConfig, SpawnerCommand,
    UserNamespace,
};
use stint_supervise::{Clock, OnExit, Supervisor};

use super::Context;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::scratch::Scratch;
use crate::screen::Rows;

/// What this machine can isolate and run, and what to install.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
    /// What `node.isolation` demands and the machine lacks.
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Check {
    check: String,
    works: bool,
    seen: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

/// Runtimes that people ask for, and what each takes.
const RUNTIMES: [(&str, Family, (u32, u32), &str); 8] = [
    ("python3.9", Family::Python, (3, 9), "apt-get install python3"),
    ("python3.10", Family::Python, (3, 10), "apt-get install python3"),
    ("python3.12", Family::Python, (3, 12), "install Python 3.12 or newer below /usr"),
    ("nodejs18", Family::Node, (18, 0), "apt-get install nodejs"),
    ("nodejs20", Family::Node, (20, 0), "install Node.js 20 or newer below /usr"),
    ("java8", Family::Java, (8, 0), "apt-get install default-jre-headless"),
    ("java11", Family::Java, (11, 0), "apt-get install default-jre-headless"),
    ("bash", Family::Bash, (4, 4), "apt-get install bash"),
];

pub(crate) async fn run(_args: &Doctor, context: &Context) -> Result<(), Failure> {
    let config = context.config(&context.raw(Vec::new())?)?;
    let base = Scratch::make("doctor")?;
    let launcher = || LauncherConfig {
        spawner: spawner(),
        cgroup_name: format!("stint-doctor-{}", std::process::id()),
        base_dir: base.path().to_owned(),
        host_network_allowed: shares_host_network(&config),
        // Look at everything, whatever is demanded.
        policy: IsolationPolicy::personal(),
        parked: 0,
        user_namespace: UserNamespace::WhenAvailable,
    };
    let machine = Launcher::probe(launcher());
    let machine = machine.await.map_err(|error| Failure::cannot("probe the sandbox", &error))?;
    let mut report = Report { checks: Vec::new(), missing: policy(&config).missing(&machine) };
    report.checks.extend(machine.findings.iter().map(|finding| Check {
        check: finding.name.clone(),
        works: finding.works,
        seen: finding.seen.clone(),
        advice: finding.advice.clone(),
    }));
    if IsolationPolicy::personal().missing(&machine).is_empty() {
        report.checks.extend(runtimes(launcher(), &config).await?);
    }
    report.checks.push(network(&config));
    report.checks.push(memory(&config));
    report.checks.push(disk(&config));
    show(&report, context)
}

/// This binary again, as the small process that forks.
pub(crate) fn spawner() -> SpawnerCommand {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    SpawnerCommand { program, args: vec![crate::SPAWNER.to_owned()] }
}

/// This binary again, as what compiles and runs WebAssembly in a sandbox.
pub(crate) fn wasm_program() -> Result<WasmProgram, String> {
    let path = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(WasmProgram {
        path,
        arguments: vec![crate::WASM.to_owned()],
        key: stint_wasm::key()?,
        version: stint_wasm::VERSION.to_owned(),
    })
}

/// The same, proven to work behind the sandbox's walls.
pub(crate) async fn proven_wasm(launcher: &Launcher, clock: &Clock) -> Result<WasmProgram, String> {
    let program = wasm_program()?;
    program.prove(launcher, clock).await?;
    Ok(program)
}

/// What the configuration demands.
pub(crate) fn policy(config: &Config) -> IsolationPolicy {
    if config.node.strict { IsolationPolicy::strict() } else { IsolationPolicy::personal() }
}

/// Whether some function may be on the host's network.
pub(crate) fn shares_host_network(config: &Config) -> bool {
    matches!(config.node.network, NodeNetwork::Host(_))
}

/// Interpreters the operator names, by what they are called.
pub(crate) fn configured(config: &Config) -> Vec<Candidate> {
    let all = config.node.interpreters.iter();
    all.filter_map(|(runtime, path)| {
        let family = if runtime.starts_with("python") {
            Family::Python
        } else if runtime.starts_with("nodejs") {
            Family::Node
        } else if runtime.starts_with("java") {
            Family::Java
        } else if runtime == "bash" {
            Family::Bash
        } else {
            return None;
        };
        Some(Candidate { family, path: path.clone() })
    })
    .collect()
}

async fn runtimes(launcher: LauncherConfig, config: &Config) -> Result<Vec<Check>, Failure> {
    let started = Launcher::start(launcher).await;
    let (launcher, pump) = started.map_err(|e| Failure::cannot("start the sandbox", &e))?;
    let supervisor = Supervisor::new(Clock::start());
    let pump = supervisor.spawn("pump", OnExit::Ignore, |stop| async move {
        // With it the spawner ends.
        drop(stop.until(pump.run()).await);
    });
    let discovery = Discovery::run(&launcher, configured(config)).await;
    let mut checks = Vec::new();
    for (runtime, family, wanted, advice) in RUNTIMES {
        let found = discovery.choose(family, wanted);
        checks.push(Check {
            check: format!("runtime {runtime}"),
            works: found.is_some(),
            seen: found.map_or_else(
                || "no interpreter ran in the sandbox".to_owned(),
                |f| {
                    let (major, minor, patch) = f.version;
                    format!("{} ({major}.{minor}.{patch})", f.path.display())
                },
            ),
            advice: if found.is_some() { String::new() } else { advice.to_owned() },
        });
    }
    checks.push(Check {
        check: "runtime go1".to_owned(),
        works: true,
        seen: "the package's own program".to_owned(),
        advice: String::new(),
    });
    checks.push(wasm(&launcher).await);
    for refused in &discovery.refused {
        checks.push(Check {
            check: format!("interpreter {}", refused.path.display()),
            works: false,
            seen: refused.reason.clone(),
            advice: String::new(),
        });
    }
    drop(launcher);
    pump.stop();
    let wait = Clock::start();
    wait.within(stint_model::time::Span::from_secs(5), pump.ended()).await;
    Ok(checks)
}

/// What `internetAccess` means here.
fn network(config: &Config) -> Check {
    let node = &config.node;
    let list = |rules: &[EgressRule]| {
        rules.iter().map(EgressRule::to_string).collect::<Vec<_>>().join(", ")
    };
    let allowed = match (node.egress_allow.as_slice(), node.strict) {
        ([], true) => "public".to_owned(),
        ([], false) => "public; private for the operator's account".to_owned(),
        (said, _) => list(said),
    };
    let denied = match node.egress_deny.as_slice() {
        [] => String::new(),
        said => format!("; denied: {}", list(said)),
    };
    let (works, seen) = match node.network {
        NodeNetwork::None => (true, "functions have no network".to_owned()),
        NodeNetwork::Proxy => (true, format!("through the node's proxy to {allowed}{denied}")),
        NodeNetwork::Host(HostFor::Operator) => {
            (false, "functions of the operator's account share the host's network".to_owned())
        }
        NodeNetwork::Host(HostFor::Everybody) => {
            (false, "functions of every account share the host's network".to_owned())
        }
    };
    let advice =
        if works { "" } else { "node.network = \"proxy\" keeps the host's loopback closed" };
    Check { check: "internetAccess".to_owned(), works, seen, advice: advice.to_owned() }
}

/// Where WebAssembly is compiled and run, and what holds it.
async fn wasm(launcher: &Launcher) -> Check {
    let proven = proven_wasm(launcher, &Clock::start()).await;
    Check {
        check: "runtime wasm".to_owned(),
        works: proven.is_ok(),
        seen: match &proven {
            Ok(program) => format!(
                "{} in a sandboxed process per instance, never shared between functions",
                program.version
            ),
            Err(reason) => reason.clone(),
        },
        advice: String::new(),
    }
}

fn memory(config: &Config) -> Check {
    let offered = config.node.capacity;
    let (cpu, memory) = (f64::from(offered.cpu_milli) / 1_000.0, offered.memory_mb);
    Check {
        check: "capacity".to_owned(),
        works: true,
        seen: format!("{cpu} vCPU and {memory} MB are offered to instances"),
        advice: String::new(),
    }
}

fn disk(config: &Config) -> Check {
    let check = "data directory".to_owned();
    match free(&config.data) {
        Some(free) => {
            let works = free >= config.disk.high;
            let shown = crate::config::unit::show_size(free);
            Check {
                check,
                works,
                seen: format!("{} has {shown} free", config.data.display()),
                advice: if works { String::new() } else { "make room".to_owned() },
            }
        }
        None => Check {
            check,
            works: false,
            seen: format!("{} cannot be looked at", config.data.display()),
            advice: "choose another with --data DIR".to_owned(),
        },
    }
}

fn show(report: &Report, context: &Context) -> Result<(), Failure> {
    context.screen.show(report, || {
        let mut rows = Rows::new(&["CHECK", "WORKS", "SEEN", "WHAT TO DO"]);
        for check in &report.checks {
            rows.row([
                check.check.clone(),
                context.screen.state(if check.works { "yes" } else { "no" }),
                check.seen.clone(),
                check.advice.clone(),
            ]);
        }
        rows
    })?;
    if report.missing.is_empty() {
        return Ok(());
    }
    let text = format!("this machine lacks what is demanded: {}", report.missing.join("; "));
    Err(Failure::new(Exit::Other, text))
}

/// Bytes free for us on the disk of `path` (or of its nearest parent that exists).
fn free(path: &std::path::Path) -> Option<u64> {
    path.ancestors().find_map(|path| {
        let is_here = path.as_os_str().is_empty();
        let stat = rustix::fs::statvfs(if is_here { std::path::Path::new(".") } else { path });
        stat.ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_disk_is_looked_at_even_before_the_directory_exists() {
        assert!(free(Path::new("/tmp/not/there/yet")).unwrap() > 0);
        assert!(free(Path::new("relative")).unwrap() > 0);
    }
}
