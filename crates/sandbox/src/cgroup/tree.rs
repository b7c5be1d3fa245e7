//! Finds where in the mounted trees our directory belongs, and prepares it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{Timespec, poll};

use super::{Controller, write};
use crate::policy::CgroupMode;

/// The leaf a server moves into when it makes its own cgroup an inner node.
const AGENT: &str = "stint.agent";
/// Its share: as much as ten processors' worth of instances.
const AGENT_WEIGHT: u32 = 1_000;
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

/// Where leaves of ours are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In a directory of ours.
    Inside(PathBuf),
    /// In somebody's directory, with our name before theirs.
    Beside { parent: PathBuf, name: String },
}

impl Home {
    /// The directory of a leaf.
    pub(super) fn leaf(&self, leaf: &str) -> PathBuf {
        match self {
            Self::Inside(base) => base.join(leaf),
            Self::Beside { parent, name } => parent.join(format!("{name}.{leaf}")),
        }
    }

    /// Ends what still lives in leaves of ours and removes them.
    pub(super) fn reap(&self) {
        match self {
            Self::Inside(base) => leaves_of(base, "").iter().for_each(|leaf| reap(leaf)),
            Self::Beside { parent, name } => {
                // Names hold no dot, so nobody else's begins like this.
                leaves_of(parent, &format!("{name}.")).iter().for_each(|leaf| reap(leaf));
                // Leaves were inside once.
                leaves_of(&parent.join(name), "").iter().for_each(|leaf| reap(leaf));
                drop(fs::remove_dir(parent.join(name)));
            }
        }
    }

    /// Goes away itself. Not empty means somebody still ends; the next life reaps it.
    pub(super) fn close(&self) {
        match self {
            Self::Inside(base) => drop(fs::remove_dir(base)),
            Self::Beside { .. } => {}
        }
    }

    /// A directory whose files say what a leaf's will be.
    fn sample(&self) -> &Path {
        match self {
            Self::Inside(base) => base,
            Self::Beside { parent, .. } => parent,
        }
    }

    /// Whether leaves count processor time, in words.
    pub(super) fn counts(&self, mode: CgroupMode) -> Option<&'static str> {
        match mode {
            CgroupMode::V2 => Some("version 2 beside version 1"),
            CgroupMode::V1 if self.sample().join("cpuacct.usage").exists() => Some("version 1"),
            CgroupMode::V1 | CgroupMode::None => None,
        }
    }

    /// Whether leaves can be made to stand still, in words.
    pub(super) fn freezes(&self, mode: CgroupMode) -> Option<&'static str> {
        match mode {
            // The root has no such file, its children do.
            CgroupMode::V2 => Some("cgroup.freeze"),
            CgroupMode::V1 if self.sample().join("freezer.state").exists() => Some("freezer.state"),
            CgroupMode::V1 | CgroupMode::None => None,
        }
    }
}

fn leaves_of(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let ours = entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    ours.map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

impl Found {
    /// Places that limit nothing and tell or do something else about a leaf: a version 2 tree without
    /// controllers of ours, or else the accounting and freezing trees of version 1.
    pub(super) fn helpers(&self, name: &str) -> Vec<(CgroupMode, Home)> {
        let inside = |place: &Place| {
            let base = place.own.join(name);
            make(&base).ok()?;
            Some((place.mode, Home::Inside(base)))
        };
        let unified = self.places.iter().find(|place| place.mode == CgroupMode::V2);
        if let Some(helper) = unified.and_then(inside) {
            // Kernels before 5.2 cannot freeze here.
            if helper.1.sample().join("cgroup.freeze").exists() {
                return vec![helper];
            }
            helper.1.close();
        }
        let of = |wanted: &str| {
            self.places.iter().find(|place| place.controllers.iter().any(|c| c == wanted))
        };
        ["cpuacct", "freezer"].into_iter().filter_map(of).filter_map(inside).collect()
    }

    /// The tree that serves a controller; the kernel binds each controller to one version.
    pub(super) fn place(&self, controller: Controller) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.iter().any(|c| c == controller.name()))
    }
}

impl Place {
    /// Makes sure leaves can be made, and says where.
    pub(super) fn prepare(&self, name: &str) -> Result<Home, String> {
        match self.mode {
            CgroupMode::V2 => self.prepare_v2(name),
            CgroupMode::V1 | CgroupMode::None => {
                let base = self.own.join(name);
                make(&base)?;
                let divides = self.controllers.iter().any(|c| c == Controller::Cpu.name());
                if !divides {
                    return Ok(Home::Inside(base));
                }
                // It was made to see that it can be.
                drop(fs::remove_dir(&base));
                Ok(beside(&self.own, name))
            }
        }
    }

    /// Version 2 refuses processes in inner nodes: the server moves into a leaf of its own when it
    /// is alone in its cgroup. When others live there and we are root, our directory goes below
    /// the nearest parent that has none, beside the server's own.
    fn prepare_v2(&self, name: &str) -> Result<Home, String> {
        let own = if self.own.file_name().is_some_and(|last| last == AGENT) {
            self.own.parent().unwrap_or(&self.own).to_owned()
        } else {
            self.own.clone()
        };
        let mut refusal = match enable(&own) {
            Ok(()) => return Ok(self.served(&own, name)),
            Err(error) => format!("{}: {error}", own.display()),
        };
        if alone(&own) {
            make(&own.join(AGENT))?;
            for pid in members(&own) {
                write(&own.join(AGENT), "cgroup.procs", pid).map_err(|e| e.to_string())?;
            }
            match enable(&own) {
                Ok(()) => return Ok(self.served(&own, name)),
                Err(error) => refusal = format!("{}: {error}", own.display()),
            }
        }
        if rustix::process::geteuid().is_root() {
            let above = own.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.mount));
            for dir in above {
                if enable(dir).is_ok() {
                    return Ok(beside(dir, name));
                }
            }
        }
        Err(refusal)
    }

    /// Leaves stand beside the server's own, which gets a share that many of them do not outweigh.
    fn served(&self, own: &Path, name: &str) -> Home {
        // Without the controller there is no such file.
        write(&own.join(AGENT), "cpu.weight", AGENT_WEIGHT).ok();
        beside(own, name)
    }
}

fn beside(parent: &Path, name: &str) -> Home {
    Home::Beside { parent: parent.to_owned(), name: name.to_owned() }
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

/// Ends what still lives in a leaf of ours and removes it.
fn reap(leaf: &Path) {
    for _ in 0..REAP_TRIES {
        // What stands still does not die.
        super::thaw_to_kill(std::slice::from_ref(&leaf.to_owned()));
        for pid in members(leaf).into_iter().filter_map(rustix::process::Pid::from_raw) {
            // Gone already is as good.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        if fs::remove_dir(leaf).is_ok() {
            break;
        }
        // A pause: nothing is watched.
        poll(&mut [], Some(&REAP_PAUSE)).ok();
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
        for other in ["theirs", "ours-too.1-1", "ours.1-2"] {
            fs::create_dir_all(dir.path().join(other)).unwrap();
        }
        Home::Inside(base.clone()).reap();
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        fs::create_dir_all(base.join("1-1")).unwrap();
        let home = beside(dir.path(), "ours");
        assert_eq!(home.leaf("1-2"), dir.path().join("ours.1-2"));
        home.reap();
        assert!(!base.exists(), "the place of an earlier release");
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["ours-too.1-1", "theirs"]);
    }
}
