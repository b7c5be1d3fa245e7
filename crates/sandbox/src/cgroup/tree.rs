//! Finds where in the mounted trees our directory belongs, and prepares it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{Timespec, poll};

use super::{Controller, write};
use crate::policy::CgroupMode;

/// The leaf a server moves into when it makes its own cgroup an inner node.
const AGENT: &str = "stint.agent";
/// How often a leftover leaf is looked at while its processes end, and how long in between.
const REAP_TRIES: u32 = 50;
const REAP_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Every place a directory of ours could be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    places: Vec<Place>,
}

/// The server's own directory in one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) mode: CgroupMode,
    /// The root of what is mounted; we never look above it.
    mount: PathBuf,
    own: PathBuf,
    controllers: Vec<String>,
}

pub(super) fn find() -> Found {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut found = parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    for place in &mut found.places {
        if place.mode == CgroupMode::V2 {
            let list = fs::read_to_string(place.own.join("cgroup.controllers"));
            place.controllers =
                list.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        }
    }
    found
}

/// `mounts` as in `/proc/self/mountinfo`, `own` as in `/proc/self/cgroup`.
fn parse(mounts: &str, own: &str) -> Found {
    let mut found = Found::default();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(mount)) = (left.get(3), left.get(4)) else { continue };
        let (Some(kind), Some(options)) = (right.first(), right.get(2)) else { continue };
        let mode = match *kind {
            "cgroup2" => CgroupMode::V2,
            "cgroup" => CgroupMode::V1,
            _ => continue,
        };
        let options: Vec<&str> = options.split(',').collect();
        let Some(path) = own.lines().find_map(|line| own_path(line, mode, &options)) else {
            continue;
        };
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let controllers = match mode {
            CgroupMode::V1 => options.iter().map(|&option| option.to_owned()).collect(),
            CgroupMode::V2 | CgroupMode::None => Vec::new(),
        };
        let mount = PathBuf::from(mount);
        found.places.push(Place { mode, own: mount.join(below), mount, controllers });
    }
    found
}

/// The path of a `id:controllers:path` line, when the line is about this tree.
fn own_path<'a>(line: &'a str, mode: CgroupMode, options: &[&str]) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = match mode {
        CgroupMode::V2 => id == "0" && controllers.is_empty(),
        CgroupMode::V1 => {
            !controllers.is_empty() && controllers.split(',').all(|c| options.contains(&c))
        }
        CgroupMode::None => false,
    };
    ours.then_some(path)
}

impl Found {
    /// The tree that serves a controller; the kernel binds each controller to one version.
    pub(super) fn place(&self, controller: Controller) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.iter().any(|c| c == controller.name()))
    }
}

impl Place {
    /// Makes our directory and returns it.
    pub(super) fn prepare(&self, name: &str) -> Result<PathBuf, String> {
        match self.mode {
            CgroupMode::V2 => self.prepare_v2(name),
            CgroupMode::V1 | CgroupMode::None => {
                let base = self.own.join(name);
                make(&base)?;
                Ok(base)
            }
        }
    }

    /// Version 2 refuses processes in inner nodes: the server moves into a leaf of its own when it
    /// is alone in its cgroup. When others live there and we are root, our directory goes below
    /// the nearest parent that has none, beside the server's own.
    fn prepare_v2(&self, name: &str) -> Result<PathBuf, String> {
        let own = if self.own.file_name().is_some_and(|last| last == AGENT) {
            self.own.parent().unwrap_or(&self.own).to_owned()
        } else {
            self.own.clone()
        };
        let mut refusal = match enable(&own) {
            Ok(()) => return inner(&own, name),
            Err(error) => format!("{}: {error}", own.display()),
        };
        if alone(&own) {
            make(&own.join(AGENT))?;
            for pid in members(&own) {
                write(&own.join(AGENT), "cgroup.procs", pid).map_err(|e| e.to_string())?;
            }
            match enable(&own) {
                Ok(()) => return inner(&own, name),
                Err(error) => refusal = format!("{}: {error}", own.display()),
            }
        }
        if rustix::process::geteuid().is_root() {
            let above = own.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.mount));
            for dir in above {
                if enable(dir).is_ok() {
                    return inner(dir, name);
                }
            }
        }
        Err(refusal)
    }
}

fn inner(parent: &Path, name: &str) -> Result<PathBuf, String> {
    let base = parent.join(name);
    make(&base)?;
    enable(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    Ok(base)
}

fn enable(dir: &Path) -> io::Result<()> {
    let has = fs::read_to_string(dir.join("cgroup.subtree_control"))?;
    let has: Vec<&str> = has.split_whitespace().collect();
    let offered = fs::read_to_string(dir.join("cgroup.controllers"))?;
    let offered: Vec<&str> = offered.split_whitespace().collect();
    for controller in Controller::ALL.map(Controller::name) {
        if offered.contains(&controller) && !has.contains(&controller) {
            write(dir, "cgroup.subtree_control", format_args!("+{controller}"))?;
        }
    }
    Ok(())
}

fn make(dir: &Path) -> Result<(), String> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(format!("{}: {error}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn members(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Only the server and its spawner live there.
fn alone(dir: &Path) -> bool {
    let ours = [std::process::id(), std::os::unix::process::parent_id()];
    let members = members(dir);
    !members.is_empty()
        && members.iter().all(|pid| u32::try_from(*pid).is_ok_and(|pid| ours.contains(&pid)))
}

/// Ends what still lives in the leaves of a directory of ours and removes them.
pub(super) fn reap(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    let leaves: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    for leaf in leaves {
        for _ in 0..REAP_TRIES {
            for pid in members(&leaf).into_iter().filter_map(rustix::process::Pid::from_raw) {
                // Gone already is as good.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
            if fs::remove_dir(&leaf).is_ok() {
                break;
            }
            // A pause: nothing is watched.
            poll(&mut [], Some(&REAP_PAUSE)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
    const OWN: &str = "\
4:cpu,cpuacct:/user.slice
3:pids:/docker/abc/x
2:memory:/a b/c
1:name=systemd:/
0::/init.scope
";

    #[test]
    fn own_directories_are_found_in_every_tree() {
        let found = parse(HYBRID, OWN);
        let own = |c| found.place(c).map(|place| place.own.to_str().unwrap().to_owned());
        assert_eq!(own(Controller::Cpu).unwrap(), "/sys/fs/cgroup/cpu,cpuacct/user.slice");
        assert_eq!(own(Controller::Memory).unwrap(), "/sys/fs/cgroup/memory/a b/c");
        // Only the part of the tree that is mounted here.
        assert_eq!(own(Controller::Pids).unwrap(), "/sys/fs/cgroup/pids/x");
        let unified = found.places.iter().find(|place| place.mode == CgroupMode::V2).unwrap();
        assert_eq!(unified.own, Path::new("/sys/fs/cgroup/unified/init.scope"));
    }

    #[test]
    fn nothing_mounted_is_nothing_found() {
        assert_eq!(parse("", OWN), Found::default());
        assert_eq!(parse(HYBRID, ""), Found::default());
        assert!(Found::default().place(Controller::Memory).is_none());
    }

    #[test]
    fn reaping_removes_empty_leaves_and_nothing_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("ours");
        fs::create_dir_all(base.join("1-1")).unwrap();
        fs::create_dir_all(dir.path().join("theirs")).unwrap();
        reap(&base);
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        assert!(dir.path().join("theirs").exists());
    }
}
