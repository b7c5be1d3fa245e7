//! What the machine can enforce, what the operator demands, and the gap in words.

use serde::{Deserialize, Serialize};

/// One thing the machine was asked to do, and whether it did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, for example `user-namespace`.
    pub name: String,
    pub works: bool,
    /// What was seen: a version, a mode, an error.
    pub seen: String,
    /// What to install or enable when it does not work; empty otherwise.
    pub advice: String,
}

impl Finding {
    pub(crate) fn yes(name: &str, seen: impl Into<String>) -> Self {
        Self { name: name.to_owned(), works: true, seen: seen.into(), advice: String::new() }
    }

    pub(crate) fn no(name: &str, seen: impl Into<String>, advice: &str) -> Self {
        Self { name: name.to_owned(), works: false, seen: seen.into(), advice: advice.to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupMode {
    /// Every controller of ours is on the v2 tree.
    V2,
    /// The controllers are on v1 trees.
    V1,
    /// Nothing we may write to.
    None,
}

/// What the spawner found when it started. Each line was found by doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub root: bool,
    pub user_namespace: bool,
    /// Mount, PID, IPC, UTS and network namespaces, with a `/proc` of their own.
    pub namespaces: bool,
    pub seccomp: bool,
    pub landlock_abi: u32,
    pub cgroup: CgroupMode,
    pub limits_memory: bool,
    pub limits_processes: bool,
    pub limits_cpu: bool,
    /// Every check in a fixed order, for `stint doctor`.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Demand {
    Required,
    /// Used when the machine has it; its absence is reported per instance.
    WhenAvailable,
}

/// What root does about user namespaces; everybody else cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    WhenAvailable,
    Never,
}

/// The least that must hold before anything runs. Namespaces, a system call filter, no new
/// privileges and no capabilities are always required and therefore not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsolationPolicy {
    /// Memory, processes and CPU limited by control groups, not by weaker means.
    pub cgroup_limits: Demand,
    pub landlock: Demand,
    /// Root maps instances into a user namespace.
    pub user_namespace: Demand,
}

impl IsolationPolicy {
    /// Several accounts that do not trust each other.
    pub fn strict() -> Self {
        Self {
            cgroup_limits: Demand::Required,
            landlock: Demand::Required,
            user_namespace: Demand::Required,
        }
    }

    /// One person's machine: the walls are required, the limits are as good as the machine allows.
    pub fn personal() -> Self {
        Self {
            cgroup_limits: Demand::WhenAvailable,
            landlock: Demand::WhenAvailable,
            user_namespace: Demand::WhenAvailable,
        }
    }

    /// What is demanded and missing, in words; empty when the machine is good enough.
    pub fn missing(&self, machine: &Capabilities) -> Vec<String> {
        let mut missing = Vec::new();
        let mut need = |demand: Demand, has: bool, name: &str| {
            if demand == Demand::Required && !has {
                let advice = machine.findings.iter().find(|f| f.name == name && !f.works);
                missing.push(match advice {
                    Some(f) if !f.advice.is_empty() => format!("{name} ({}): {}", f.seen, f.advice),
                    Some(f) => format!("{name} ({})", f.seen),
                    None => name.to_owned(),
                });
            }
        };
        need(Demand::Required, machine.namespaces, "namespaces");
        need(Demand::Required, machine.seccomp, "seccomp");
        let user = if machine.root { self.user_namespace } else { Demand::Required };
        need(user, machine.user_namespace, "user-namespace");
        need(self.landlock, machine.landlock_abi > 0, "landlock");
        need(self.cgroup_limits, machine.limits_memory, "cgroup-memory");
        need(self.cgroup_limits, machine.limits_processes, "cgroup-pids");
        need(self.cgroup_limits, machine.limits_cpu, "cgroup-cpu");
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Capabilities {
        Capabilities {
            root: true,
            user_namespace: true,
            namespaces: true,
            seccomp: true,
            landlock_abi: 6,
            cgroup: CgroupMode::V1,
            limits_memory: true,
            limits_processes: true,
            limits_cpu: true,
            findings: vec![Finding::no("landlock", "ENOSYS", "boot with lsm=landlock")],
        }
    }

    #[test]
    fn a_full_machine_satisfies_everyone() {
        assert!(IsolationPolicy::strict().missing(&machine()).is_empty());
        assert!(IsolationPolicy::personal().missing(&machine()).is_empty());
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let weak = Capabilities { landlock_abi: 0, limits_cpu: false, ..machine() };
        assert!(IsolationPolicy::personal().missing(&weak).is_empty());
        assert_eq!(
            IsolationPolicy::strict().missing(&weak),
            ["landlock (ENOSYS): boot with lsm=landlock", "cgroup-cpu"]
        );
    }

    #[test]
    fn the_walls_are_never_optional() {
        let bare =
            Capabilities { namespaces: false, seccomp: false, user_namespace: false, ..machine() };
        assert_eq!(IsolationPolicy::personal().missing(&bare), ["namespaces", "seccomp"]);
        let caller = Capabilities { root: false, user_namespace: false, ..machine() };
        assert_eq!(IsolationPolicy::personal().missing(&caller), ["user-namespace"]);
    }
}
