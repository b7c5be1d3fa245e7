//! Holds an instance: a process in namespaces of its own, with limits, mounts and an end.
//!
//! The big process owns a [`Launcher`]. Behind it a small single-threaded *spawner* (the same
//! binary re-executed, [`spawner_main`]) forks and reaps; it is small because forking a large or
//! threaded process is slow and unsound. What happens between fork and exec is in `inside`.
//!
//! **Invariant:** nothing here is weakened silently. What the machine can enforce is found by doing
//! ([`Capabilities`]), compared with what is demanded ([`IsolationPolicy`]) before the first launch,
//! and told per instance ([`Enforced`]).

#![expect(unsafe_code, reason = "clone3, prctl, capset and seccomp have no safe interface")]

mod cgroup;
mod exec;
mod filter;
mod inside;
mod interpreters;
mod launcher;
mod message;
mod policy;
mod probe;
mod seat;
mod spawner;
mod spec;
mod sys;

pub use cgroup::CpuClass;
pub use exec::{ExecEnd, ExecInput, ExecOutput, ExecSpec, Program, Window};
pub use interpreters::{Candidate, Discovery, Family, Interpreter, Refused};
pub use launcher::{
    Doors, Instance, Launched, Launcher, LauncherConfig, Pump, SandboxError, SpawnerCommand,
};
pub use policy::{Capabilities, CgroupMode, Demand, Finding, IsolationPolicy, UserNamespace};
pub use spawner::spawner_main;
pub use spec::{
    Access, Bind, Channel, DoorPorts, Enforced, Equipment, Exit, ExitHow, HostUser, ImageRoot,
    Inside, LaunchSpec, LimitedBy, Limits, Network, Outfit, RootFs, Signal, SpecError, Usage,
    UserWall,
};
