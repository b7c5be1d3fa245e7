//! The instance's file system: a small read-only root, the host's `/usr`, and what the spec binds.
//! An image takes the place of the first two (see `image`).
//!
//! Sources are opened as detached mounts while the host's tree is still there; then the root is
//! changed; then everything is attached. So no path of the spec, and no symbolic link in a user's
//! directory, is ever resolved against the host's tree as a target.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdir, open, openat2, symlink};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};

use super::{image, walls};
use crate::message::{Failure, Identity, Orders};
use crate::spec::{Access, Bind, LaunchSpec, Network, Outfit, RootFs};
use crate::sys::{self, ATTR_NODEV, ATTR_NOSUID, ATTR_RDONLY, Depth};

/// Where the new root is mounted before it becomes `/`; every Linux has it.
pub(super) const STAGE: &str = "/tmp";
/// Where the host's tree stays for a while when nobody can open it for us; a place of the root that
/// is empty afterwards.
const HOST: &str = "/mnt";
/// Parts of the host's `/etc` shown as they are now: they follow what is installed in `/usr`.
const LIVE_ETC: &[&str] =
    &["/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/fonts"];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// World-readable files of `/proc` that say something about the host's other users.
const MASKED: &[&str] = &["/proc/keys", "/proc/key-users"];
const DIRECTORIES: &[&str] = &[
    "usr", "etc", "proc", "dev", "tmp", "code", "opt", "mnt", "home", "run", "srv", "var",
    "var/lib",
];
/// Top-level directories that are links into `/usr` on today's distributions.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64", "lib32", "libx32"];
const SHM_MB_MAX: u32 = 64;
const SEALED: u64 = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV;

/// A detached mount and where it goes.
pub(super) struct Part {
    pub(super) mount: OwnedFd,
    pub(super) target: PathBuf,
    /// What must still be added to the mount before it is attached.
    pub(super) attributes: u64,
}

/// A top-level name and what it links to.
type Link = (&'static str, PathBuf);

/// `opened` holds the mounts that the spawner has opened, in the order of [`granted`], or nothing.
pub(super) fn build(orders: &Orders, opened: Vec<OwnedFd>) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(at("leaving the host's mounts"))?;
    let granted = take_granted(orders, opened)?;
    if let RootFs::Image(root) = &orders.spec.root {
        return image::build(orders, root, granted);
    }
    let (parts, links) = collect(orders, granted)?;
    if !matches!(orders.identity, Identity::Host(_)) {
        walls::take_ids(orders)?;
    }
    enter_new_root(host_place(orders))?;
    for (name, to) in &links {
        symlink(to, format!("/{name}")).map_err(at("linking into /usr"))?;
    }
    // Over directories of the root that parts go into, so they come first.
    tmpfs("/tmp", orders.spec.limits.tmp_mb, "1777")?;
    for part in parts {
        attach(&part)?;
    }
    for (name, to) in [("/var/tmp", "/tmp"), ("/var/run", "/run")] {
        symlink(to, name).map_err(at("linking in /var"))?;
    }
    finish_dev(orders.spec.limits.tmp_mb)?;
    if orders.spec.outfit == Outfit::Later {
        // The loader remembers which of the directories it was told of are there.
        for dir in ["/code/lib", "/opt/lib"] {
            mkdir(dir, Mode::from_raw_mode(0o755)).map_err(at("making places for libraries"))?;
        }
    }
    let root = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(at("opening the new root"))?;
    sys::mount_setattr(root.as_fd(), ATTR_RDONLY, Depth::This).map_err(at("sealing the root"))
}

pub(super) fn at(stage: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::new(stage, errno)
}

/// Opens every source, and reads which top-level directories are links.
fn collect(orders: &Orders, granted: Vec<Part>) -> Result<(Vec<Part>, Vec<Link>), Failure> {
    let mut parts = vec![part(Path::new("/usr"), Path::new("/usr"), SEALED)?];
    let mut links = Vec::new();
    for name in MERGED {
        let path = PathBuf::from(format!("/{name}"));
        match std::fs::read_link(&path) {
            Ok(to) => links.push((*name, to)),
            Err(_) if path.is_dir() => parts.push(part(&path, &path, SEALED)?),
            Err(_) => {}
        }
    }
    let mut granted = granted.into_iter();
    parts.extend(granted.next());
    for path in LIVE_ETC.iter().map(Path::new).filter(|path| path.exists()) {
        parts.push(part(path, path, SEALED)?);
    }
    parts.extend(resolver(orders.spec.network)?);
    parts.extend(devices_and_masks()?);
    parts.extend(granted);
    Ok((parts, links))
}

/// How names are resolved where the host's network is shared.
pub(super) fn resolver(network: Network) -> Result<Option<Part>, Failure> {
    let path = Path::new("/etc/resolv.conf");
    if network == Network::Loopback || !path.exists() {
        return Ok(None);
    }
    part(path, path, SEALED).map(Some)
}

/// The same in every sandbox: a few devices, and what is hidden of `/proc`.
pub(super) fn devices_and_masks() -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for path in DEVICES.iter().map(Path::new) {
        parts.push(part(path, path, ATTR_NOSUID)?);
    }
    for path in MASKED.iter().map(Path::new).filter(|path| path.exists()) {
        parts.push(part(Path::new("/dev/null"), path, ATTR_NOSUID | ATTR_RDONLY)?);
    }
    Ok(parts)
}

/// Brings what belongs to the function into a root that was built without it, as [`open_binds`] has
/// opened it, or from the host's tree, which then goes.
pub(super) fn equip(orders: &Orders, binds: &[Bind], opened: Vec<OwnedFd>) -> Result<(), Failure> {
    let keeps_host = host_place(orders) != Host::Leave;
    if !keeps_host && opened.len() != binds.len() {
        return Err(Failure::new("counting the mounts", Errno::BADF));
    }
    if keeps_host {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host = open(HOST, flags, Mode::empty()).map_err(at("opening the host's tree"))?;
        for bind in binds {
            let mut wanted = Wanted::of(bind);
            wanted.resolve |= ResolveFlags::IN_ROOT;
            attach(&wanted.open_from(host.as_fd())?)?;
        }
        drop(host);
        unmount(HOST, UnmountFlags::DETACH).map_err(at("leaving the host's tree"))?;
    }
    for (mount, bind) in opened.into_iter().zip(binds) {
        attach(&Part { mount, target: bind.target.clone(), attributes: 0 })?;
    }
    let tmp_mb = orders.spec.limits.tmp_mb;
    resize("/tmp", tmp_mb)?;
    resize("/dev/shm", tmp_mb.min(SHM_MB_MAX))
}

/// Opens and protects binds, for a privileged spawner.
pub(crate) fn open_binds(binds: &[Bind]) -> Result<Vec<OwnedFd>, Failure> {
    binds.iter().map(|bind| Wanted::of(bind).open_protected()).collect()
}

/// What becomes of the host's tree when the root is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Leave,
    /// It stays at [`HOST`] until the equipment has been opened.
    Keep,
}

/// Only who waits without a privileged spawner needs it.
fn host_place(orders: &Orders) -> Host {
    let waits = orders.spec.outfit == Outfit::Later;
    if waits && orders.identity == Identity::MappedWithGroups { Host::Keep } else { Host::Leave }
}

/// What only the spec or the server's own directory decides: `/etc` (or in an image the files of it
/// that are ours) first, then the binds, then the layers.
fn granted(etc: &Path, spec: &LaunchSpec) -> Vec<Wanted> {
    let mut granted = match &spec.root {
        RootFs::Host => vec![Wanted::sealed(etc, Path::new("/etc"))],
        RootFs::Image(_) => image::ETC_FILES
            .iter()
            .map(|name| Wanted::sealed(&etc.join(name), &Path::new("/etc").join(name)))
            .collect(),
    };
    granted.extend(spec.binds.iter().map(Wanted::of));
    if let RootFs::Image(root) = &spec.root {
        let layers = root.layers.iter().enumerate();
        granted.extend(layers.map(|(i, layer)| Wanted::sealed(layer, Path::new(&i.to_string()))));
    }
    granted
}

/// A mount that is still to be opened.
struct Wanted {
    source: PathBuf,
    target: PathBuf,
    attributes: u64,
    /// Which links of the source are followed.
    resolve: ResolveFlags,
}

impl Wanted {
    fn of(bind: &Bind) -> Self {
        let read_only = Self::sealed(&bind.source, &bind.target);
        match bind.access {
            Access::ReadOnly => read_only,
            // Users write there, also while we look.
            Access::ReadWrite => Self {
                attributes: ATTR_NOSUID | ATTR_NODEV,
                resolve: ResolveFlags::NO_SYMLINKS,
                ..read_only
            },
        }
    }

    fn sealed(source: &Path, target: &Path) -> Self {
        let (source, target) = (source.to_owned(), target.to_owned());
        Self { source, target, attributes: SEALED, resolve: ResolveFlags::empty() }
    }

    fn open(&self) -> Result<Part, Failure> {
        self.open_from(CWD)
    }

    fn open_protected(&self) -> Result<OwnedFd, Failure> {
        let part = self.open()?;
        protect(&part)?;
        Ok(part.mount)
    }

    fn open_from(&self, root: BorrowedFd<'_>) -> Result<Part, Failure> {
        let stage = |errno| {
            Failure::new(format!("opening the bind source {}", self.source.display()), errno)
        };
        let place = openat2(
            root,
            &self.source,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            self.resolve,
        )
        .map_err(stage)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let mount = open_tree(&place, "", flags).map_err(stage)?;
        Ok(Part { mount, target: self.target.clone(), attributes: self.attributes })
    }
}

/// Opens and protects what is [`granted`], for a privileged spawner: the child in its user
/// namespace is nobody in the directories of the host's other users.
pub(crate) fn open_granted(etc: &Path, spec: &LaunchSpec) -> Result<Vec<OwnedFd>, Failure> {
    granted(etc, spec).iter().map(Wanted::open_protected).collect()
}

/// What is [`granted`]: as the spawner has opened it, or opened here.
fn take_granted(orders: &Orders, opened: Vec<OwnedFd>) -> Result<Vec<Part>, Failure> {
    let granted = granted(&orders.etc, &orders.spec);
    if !opened.is_empty() && opened.len() != granted.len() {
        return Err(Failure::new("counting the mounts", Errno::BADF));
    }
    let mut opened = opened.into_iter();
    let take = |wanted: Wanted| match opened.next() {
        Some(mount) => Ok(Part { mount, target: wanted.target, attributes: 0 }),
        None => wanted.open(),
    };
    granted.into_iter().map(take).collect()
}

pub(super) fn part(source: &Path, target: &Path, attributes: u64) -> Result<Part, Failure> {
    Wanted { attributes, ..Wanted::sealed(source, target) }.open()
}

fn protect(part: &Part) -> Result<(), Failure> {
    let stage = |errno| Failure::new(format!("protecting {}", part.target.display()), errno);
    sys::mount_setattr(part.mount.as_fd(), part.attributes, Depth::Recursive).map_err(stage)
}

/// Mounts an empty root with a `/proc` of this PID namespace, and leaves the host's tree for good.
fn enter_new_root(host: Host) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("root", STAGE, "tmpfs", flags, c"size=1m,nr_inodes=4096,mode=0755")
        .map_err(at("mounting the root"))?;
    rustix::process::chdir(STAGE).map_err(at("entering the root"))?;
    for name in DIRECTORIES {
        mkdir(*name, Mode::from_raw_mode(0o755)).map_err(at("making the root's directories"))?;
    }
    // While the host's /proc is still mounted: the kernel wants to see one like it.
    mount("proc", "proc", "proc", flags | MountFlags::NOEXEC, c"hidepid=invisible")
        .map_err(at("mounting /proc"))?;
    match host {
        Host::Leave => {
            rustix::process::pivot_root(".", ".").map_err(at("changing the root"))?;
            unmount(".", UnmountFlags::DETACH).map_err(at("leaving the host's tree"))?;
        }
        Host::Keep => {
            let place = HOST.trim_start_matches('/');
            rustix::process::pivot_root(".", place).map_err(at("changing the root"))?;
        }
    }
    rustix::process::chdir("/").map_err(at("entering the new root"))
}

pub(super) fn attach(part: &Part) -> Result<(), Failure> {
    let named = |doing: &str| {
        let stage = format!("{doing} {}", part.target.display());
        move |errno: Errno| Failure::new(stage, errno)
    };
    if part.attributes != 0 {
        protect(part)?;
    }
    let stat = fstat(&part.mount).map_err(named("looking at the source of"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    make_target(&part.target, kind).map_err(named("making a place for"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&part.mount, "", CWD, &part.target, flags).map_err(named("mounting"))
}

/// Makes the directories up to a mount point, and the point itself.
pub(super) fn make_target(target: &Path, kind: FileType) -> Result<(), Errno> {
    if target.exists() {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(Path::new("/"));
    let ancestors: Vec<&Path> = parent.ancestors().collect();
    for dir in ancestors.into_iter().rev().skip(1) {
        match mkdir(dir, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    if kind == FileType::Directory {
        return mkdir(target, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    open(target, flags, Mode::from_raw_mode(0o644)).map(drop)
}

pub(super) fn tmpfs(target: &str, size_mb: u32, mode: &str) -> Result<(), Failure> {
    let options = CString::new(format!("{},mode={mode}", size(size_mb))).expect("no NUL in there");
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(|errno| Failure::new(format!("mounting {target}"), errno))
}

/// Changes the size of what [`tmpfs`] has mounted.
fn resize(target: &str, size_mb: u32) -> Result<(), Failure> {
    let options = CString::new(size(size_mb)).expect("no NUL in there");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(target, flags, options.as_c_str())
        .map_err(|errno| Failure::new(format!("resizing {target}"), errno))
}

fn size(size_mb: u32) -> String {
    // One inode per 4 KiB, so that empty files cannot take more memory than full ones.
    format!("size={size_mb}m,nr_inodes={}", u64::from(size_mb) * 256)
}

pub(super) fn finish_dev(tmp_mb: u32) -> Result<(), Failure> {
    for (name, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, name).map_err(at("linking in /dev"))?;
    }
    mkdir("/dev/shm", Mode::from_raw_mode(0o755)).map_err(at("making /dev/shm"))?;
    tmpfs("/dev/shm", tmp_mb.min(SHM_MB_MAX), "1777")
}
