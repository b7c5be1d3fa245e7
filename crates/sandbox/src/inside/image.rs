//! An image as the instance's root: its layers, read-only, under a writable layer in memory.
//!
//! Whoever made the image may have put a link anywhere. So nothing is mounted or made by a path in it
//! before the root has changed: from then on every link ends inside. The layers come as detached
//! mounts, are attached on a stage only for the overlay to take them, and go with the stage.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, mkdir, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
    open_tree, unmount,
};

use super::root::{self, Part, at};
use super::walls;
use crate::message::{Failure, Identity, Orders};
use crate::spec::ImageRoot;
use crate::sys::{self, ATTR_NODEV, ATTR_NOSUID, ATTR_RDONLY, Depth};

/// Files of `/etc` that are the platform's in every image.
pub(super) const ETC_FILES: &[&str] = &["hosts", "hostname", "resolv.conf"];
/// Settings of the kernel: an image may have a user 0, who would own those of its own namespaces.
const KERNEL_SETTINGS: &str = "/proc/sys";

/// `granted` holds the files of `/etc`, the binds and the layers, in this order.
pub(super) fn build(
    orders: &Orders,
    image: &ImageRoot,
    mut granted: Vec<Part>,
) -> Result<(), Failure> {
    let first_layer = granted.len() - image.layers.len();
    let layers = granted.split_off(first_layer);
    let binds = granted.split_off(ETC_FILES.len());
    let mut parts = root::devices_and_masks()?;
    let resolver = root::resolver(orders.spec.network)?;
    if !matches!(orders.identity, Identity::Host(_)) {
        walls::take_ids(orders)?;
    }
    let proc = enter(orders, &layers)?;
    place("/proc", FileType::Directory)?;
    attach(&proc, Path::new("/proc"))?;
    seal_settings()?;
    place("/dev", FileType::Directory)?;
    mount("dev", "/dev", "tmpfs", MountFlags::NOSUID, c"size=64k,nr_inodes=64,mode=0755")
        .map_err(at("mounting /dev"))?;
    for file in &granted {
        make_plain(&file.target)?;
    }
    parts.extend(granted);
    parts.extend(resolver);
    parts.extend(binds);
    parts.iter().try_for_each(root::attach)?;
    root::finish_dev(orders.spec.limits.tmp_mb)?;
    seal(Path::new("/dev"))?;
    make_directory(Path::new("/tmp"), 0o1777)?;
    make_directory(&orders.spec.cwd, 0o755)
}

/// Puts the overlay together and leaves the host's tree for it. Gives a `/proc` to attach: the
/// kernel wants to see one like it while it is made.
fn enter(orders: &Orders, layers: &[Part]) -> Result<OwnedFd, Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("stage", root::STAGE, "tmpfs", flags, c"size=1m,nr_inodes=4096,mode=0755")
        .map_err(at("mounting the stage"))?;
    rustix::process::chdir(root::STAGE).map_err(at("entering the stage"))?;
    let directory = Mode::from_raw_mode(0o755);
    let mut lower = String::new();
    for layer in layers {
        mkdir(&layer.target, directory).map_err(at("making a place for a layer"))?;
        if layer.attributes != 0 {
            sys::mount_setattr(layer.mount.as_fd(), layer.attributes, Depth::Recursive)
                .map_err(at("protecting a layer"))?;
        }
        attach(&layer.mount, &layer.target)?;
        let separator = if lower.is_empty() { "" } else { ":" };
        lower.push_str(separator);
        lower.push_str(&layer.target.to_string_lossy());
    }
    mkdir("writable", directory).map_err(at("making the writable layer"))?;
    root::tmpfs("writable", orders.spec.limits.tmp_mb, "0700")?;
    for name in ["writable/upper", "writable/work"] {
        mkdir(name, directory).map_err(at("making the writable layer"))?;
        if let Identity::Host(user) = orders.identity {
            let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
            chownat(CWD, name, Some(uid), Some(gid), AtFlags::empty())
                .map_err(at("giving away the writable layer"))?;
        }
    }
    mkdir("root", directory).map_err(at("making the root"))?;
    // Extended attributes that need no privilege: the same layers serve root and everybody else.
    let options =
        format!("lowerdir={lower},upperdir=writable/upper,workdir=writable/work,userxattr");
    let options = std::ffi::CString::new(options).expect("numbers and words");
    mount("image", "root", "overlay", flags, options.as_c_str())
        .map_err(at("laying the image's layers over each other"))?;
    let proc = new_proc().map_err(at("making /proc"))?;
    rustix::process::chdir("root").map_err(at("entering the image"))?;
    rustix::process::pivot_root(".", ".").map_err(at("changing the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(at("leaving the host's tree"))?;
    rustix::process::chdir("/").map_err(at("entering the new root"))?;
    Ok(proc)
}

fn new_proc() -> Result<OwnedFd, Errno> {
    let proc = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(proc.as_fd(), "hidepid", "invisible")?;
    fsconfig_create(proc.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(proc.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn attach(what: &OwnedFd, target: &Path) -> Result<(), Failure> {
    move_mount(what, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|errno| Failure::new(format!("mounting {}", target.display()), errno))
}

fn seal_settings() -> Result<(), Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let settings = open_tree(CWD, KERNEL_SETTINGS, flags).map_err(at("opening /proc/sys"))?;
    let sealed = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV;
    sys::mount_setattr(settings.as_fd(), sealed, Depth::This).map_err(at("sealing /proc/sys"))?;
    attach(&settings, Path::new(KERNEL_SETTINGS))
}

fn seal(target: &Path) -> Result<(), Failure> {
    let mounted = open(target, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(at("opening what is to be sealed"))?;
    sys::mount_setattr(mounted.as_fd(), ATTR_RDONLY, Depth::This).map_err(at("sealing /dev"))
}

fn place(target: &str, kind: FileType) -> Result<(), Failure> {
    root::make_target(Path::new(target), kind)
        .map_err(|errno| Failure::new(format!("making a place for {target}"), errno))
}

/// An empty file to mount over, whatever the image has there: often a link to a file of a service
/// manager that does not run here.
fn make_plain(target: &Path) -> Result<(), Failure> {
    let is_file = std::fs::symlink_metadata(target).map(|meta| meta.is_file());
    if let Ok(false) = is_file {
        std::fs::remove_file(target)
            .map_err(|error| Failure::io(format!("replacing {}", target.display()), &error))?;
    }
    root::make_target(target, FileType::RegularFile)
        .map_err(|errno| Failure::new(format!("making {}", target.display()), errno))
}

/// A directory that images often leave out.
fn make_directory(target: &Path, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    if target.is_dir() {
        return Ok(());
    }
    let failed =
        |error: std::io::Error| Failure::io(format!("making {}", target.display()), &error);
    std::fs::create_dir_all(target).map_err(failed)?;
    std::fs::set_permissions(target, std::fs::Permissions::from_mode(mode)).map_err(failed)
}
