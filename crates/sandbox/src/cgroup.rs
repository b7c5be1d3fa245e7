//! Control groups: one directory of ours below the server's own path, one leaf per child.
//!
//! Version 2 is one leaf and the child is born in it. Version 1 (also the hybrid layout) has one
//! tree per controller, and entering one may wait several milliseconds for the kernel: there the
//! child enters by itself, while it is parked, so that neither a request nor the spawner waits.
//! What is found in our directory at start is left over from our own earlier life and is reaped;
//! nothing else is ever touched.

mod tree;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::CgroupMode;
use crate::spec::{Limits, Usage};

/// What a leaf can limit or count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// One directory of ours and the controllers it serves.
#[derive(Debug)]
struct Tree {
    base: PathBuf,
    controllers: Vec<Controller>,
}

/// Our place in the machine's control groups.
#[derive(Debug)]
pub(crate) struct Cgroups {
    mode: CgroupMode,
    trees: Vec<Tree>,
    /// Why a controller is not there.
    refusals: Vec<(Controller, String)>,
    /// Leaves have the spawner's id in their name, so that a life never meets an earlier one.
    prefix: u32,
    next: u64,
}

/// The directories of one child, one per tree.
#[derive(Debug)]
pub(crate) struct Leaf {
    mode: CgroupMode,
    places: Vec<(PathBuf, Vec<Controller>)>,
}

impl Cgroups {
    /// Finds our place, makes it, and reaps what an earlier life has left there.
    pub(crate) fn open(name: &str) -> Self {
        let prefix = std::process::id();
        let found = tree::find();
        let mut refusals = Vec::new();
        let mut trees: Vec<Tree> = Vec::new();
        let mut mode = CgroupMode::None;
        for controller in Controller::ALL {
            let placed = match found.place(controller) {
                None => Err("no tree with this controller is mounted".to_owned()),
                Some(place) => place.prepare(name).map(|base| (place.mode, base)),
            };
            match placed {
                Ok((found, base)) => {
                    mode = found;
                    match trees.iter_mut().find(|tree| tree.base == base) {
                        Some(tree) => tree.controllers.push(controller),
                        None => trees.push(Tree { base, controllers: vec![controller] }),
                    }
                }
                Err(why) => refusals.push((controller, why)),
            }
        }
        for tree in &trees {
            tree::reap(&tree.base);
        }
        Self { mode, trees, refusals, prefix, next: 0 }
    }

    pub(crate) fn mode(&self) -> CgroupMode {
        self.mode
    }

    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.trees.iter().any(|tree| tree.controllers.contains(&controller))
    }

    /// Why a controller cannot be used, for `doctor`.
    pub(crate) fn refusal(&self, controller: Controller) -> Option<&str> {
        self.refusals.iter().find(|(c, _)| *c == controller).map(|(_, why)| why.as_str())
    }

    /// Makes the directories for one more child.
    pub(crate) fn leaf(&mut self) -> io::Result<Leaf> {
        self.next += 1;
        let name = format!("{}-{}", self.prefix, self.next);
        let mut leaf = Leaf { mode: self.mode, places: Vec::new() };
        for tree in &self.trees {
            let dir = tree.base.join(&name);
            if let Err(error) = fs::create_dir(&dir) {
                // Half a leaf is no leaf; the error says more than a failed removal could.
                drop(leaf.remove());
                return Err(error);
            }
            leaf.places.push((dir, tree.controllers.clone()));
        }
        Ok(leaf)
    }

    /// Removes our own, now empty, directories.
    pub(crate) fn close(&self) {
        for tree in &self.trees {
            tree::reap(&tree.base);
            // Not empty means somebody still ends; the next life reaps it.
            drop(fs::remove_dir(&tree.base));
        }
    }
}

impl Leaf {
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.places.iter().map(|(dir, _)| dir.clone()).collect()
    }

    /// On version 2, the directory a child can be born in.
    pub(crate) fn birthplace(&self) -> io::Result<Option<OwnedFd>> {
        match (self.mode, self.places.first()) {
            (CgroupMode::V2, Some((dir, _))) => Ok(Some(File::open(dir)?.into())),
            _ => Ok(None),
        }
    }

    /// On version 1, the files a child writes itself into.
    pub(crate) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        if self.mode != CgroupMode::V1 {
            return Ok(Vec::new());
        }
        let open = |(dir, _): &(PathBuf, _)| {
            let file = OpenOptions::new().write(true).open(dir.join("cgroup.procs"))?;
            Ok(file.into())
        };
        self.places.iter().map(open).collect()
    }

    /// Writes the limits. Anything that does not take is an error: a limit is never half there.
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<()> {
        for (dir, controllers) in &self.places {
            for controller in controllers {
                self.limit_one(dir, *controller, limits)?;
            }
        }
        Ok(())
    }

    fn limit_one(&self, dir: &Path, controller: Controller, limits: &Limits) -> io::Result<()> {
        let memory = u64::from(limits.memory_mb) << 20;
        // One more for the sandbox's own init.
        let pids = u64::from(limits.pids_max) + 1;
        let quota = u64::from(limits.cpu_milli) * 100;
        match (self.mode, controller) {
            (CgroupMode::None, _) => Ok(()),
            (_, Controller::Pids) => write(dir, "pids.max", pids),
            (CgroupMode::V2, Controller::Memory) => {
                write(dir, "memory.max", memory)?;
                write_if_there(dir, "memory.swap.max", 0)
            }
            (CgroupMode::V1, Controller::Memory) => {
                // The kernel keeps the sum with swap at least as large, whichever way both move.
                let sum = "memory.memsw.limit_in_bytes";
                if read_number(&dir.join(sum)).is_some_and(|before| before < memory) {
                    write(dir, sum, memory)?;
                }
                write(dir, "memory.limit_in_bytes", memory)?;
                write_if_there(dir, sum, memory)
            }
            (CgroupMode::V2, Controller::Cpu) => {
                write(dir, "cpu.max", format_args!("{quota} 100000"))?;
                write(dir, "cpu.weight", weight(limits.cpu_milli))
            }
            (CgroupMode::V1, Controller::Cpu) => {
                write(dir, "cpu.cfs_period_us", 100_000)?;
                write(dir, "cpu.cfs_quota_us", quota)?;
                write(dir, "cpu.shares", shares(limits.cpu_milli))
            }
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        read_usage(&self.dirs())
    }

    /// Removes the directories; fails while a process is still on its way out.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for (dir, _) in &self.places {
            match fs::remove_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// On version 2: a hundred for a whole processor.
fn weight(cpu_milli: u32) -> u64 {
    (u64::from(cpu_milli) / 10).clamp(1, 10_000)
}

/// On version 1: 1,024 for a whole processor.
fn shares(cpu_milli: u32) -> u64 {
    (u64::from(cpu_milli) * 1024 / 1000).clamp(2, 262_144)
}

/// Whether an instance stands back for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuClass {
    /// It has its share of the processor.
    Usual,
    /// It has what nobody else of the same machine wants at the moment.
    Idle,
}

/// Puts the processes of a leaf into a class; `leaf` holds its directory in each tree. False where no
/// control group limits the processor.
pub(crate) fn set_class(leaf: &[PathBuf], class: CpuClass, cpu_milli: u32) -> io::Result<bool> {
    let of_version = |dir: &&PathBuf, file: &str| dir.join(file).exists();
    let (dir, file, usual, least) =
        if let Some(dir) = leaf.iter().find(|dir| of_version(dir, "cpu.weight")) {
            (dir, "cpu.weight", weight(cpu_milli), 1)
        } else if let Some(dir) = leaf.iter().find(|dir| of_version(dir, "cpu.shares")) {
            (dir, "cpu.shares", shares(cpu_milli), 2)
        } else {
            return Ok(false);
        };
    let has_class = dir.join("cpu.idle").exists();
    match class {
        CpuClass::Idle if has_class => write(dir, "cpu.idle", 1)?,
        // Kernels before 5.15: as little as there is, while others want it.
        CpuClass::Idle => write(dir, file, least)?,
        CpuClass::Usual => {
            // The kernel forgets the share of who stood back.
            write_if_there(dir, "cpu.idle", 0)?;
            write(dir, file, usual)?;
        }
    }
    Ok(true)
}

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

/// Control files take a whole value in one write.
fn write(dir: &Path, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
    fs::write(dir.join(file), value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
}

fn write_if_there(dir: &Path, file: &str, value: u64) -> io::Result<()> {
    if dir.join(file).exists() { write(dir, file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        assert!(name_is_plain("stint-0a1b_2"));
        for bad in ["", "..", "a/b", "a b", "a.b", &"x".repeat(65)] {
            assert!(!name_is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn a_class_is_written_for_either_version_and_with_or_without_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = vec![dir.path().join("none"), dir.path().to_owned()];
        let put = |name: &str| fs::write(dir.path().join(name), "0").unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!set_class(&leaf, CpuClass::Idle, 500).unwrap());
        put("cpu.shares");
        assert!(set_class(&leaf, CpuClass::Idle, 500).unwrap());
        assert_eq!(read("cpu.shares"), "2");
        put("cpu.idle");
        set_class(&leaf, CpuClass::Usual, 500).unwrap();
        assert_eq!((read("cpu.shares").as_str(), read("cpu.idle").as_str()), ("512", "0"));
        set_class(&leaf, CpuClass::Idle, 500).unwrap();
        assert_eq!((read("cpu.shares").as_str(), read("cpu.idle").as_str()), ("512", "1"));
        put("cpu.weight");
        set_class(&leaf, CpuClass::Usual, 500).unwrap();
        assert_eq!((read("cpu.weight").as_str(), read("cpu.idle").as_str()), ("50", "0"));
    }

    #[test]
    fn usage_is_read_from_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let leaf = vec![dir.path().to_owned()];
        assert_eq!(read_usage(&leaf), Usage::default());
        put("memory.usage_in_bytes", "4096\n");
        put("memory.max_usage_in_bytes", "8192\n");
        put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        put("cpuacct.usage", "3000000\n");
        let v1 = read_usage(&leaf);
        assert_eq!((v1.memory_bytes, v1.memory_peak_bytes), (Some(4096), Some(8192)));
        assert_eq!((v1.cpu, v1.oom_kills), (Some(Duration::from_millis(3)), 2));
        put("memory.current", "1\n");
        put("memory.peak", "2\n");
        put("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n");
        put("cpu.stat", "usage_usec 5000\nuser_usec 1\n");
        let v2 = read_usage(&leaf);
        assert_eq!((v2.memory_bytes, v2.memory_peak_bytes), (Some(1), Some(2)));
        assert_eq!((v2.cpu, v2.oom_kills), (Some(Duration::from_millis(5)), 1));
    }
}
