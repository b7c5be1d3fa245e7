//! The system calls that have no safe interface, each behind one that is. All `unsafe` lives here.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;

pub(crate) const NEW_NAMESPACES: u64 = flag(libc::CLONE_NEWNS)
    | flag(libc::CLONE_NEWPID)
    | flag(libc::CLONE_NEWIPC)
    | flag(libc::CLONE_NEWUTS);
pub(crate) const NEW_USER: u64 = flag(libc::CLONE_NEWUSER);
pub(crate) const NEW_NET: u64 = flag(libc::CLONE_NEWNET);

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

pub(crate) const ATTR_RDONLY: u64 = 0x1;
pub(crate) const ATTR_NOSUID: u64 = 0x2;
pub(crate) const ATTR_NODEV: u64 = 0x4;

const fn flag(value: libc::c_int) -> u64 {
    value.unsigned_abs() as u64
}

/// A new process and the descriptor that names it for ever.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// How many threads this process has; a process with more than one must not [`fork`].
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
}

/// Forks into new namespaces and, on version 2, straight into a cgroup. `child` runs in the new
/// process, whose exit code is what it returns; it never comes back here, even when it panics.
pub(crate) fn fork(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> Result<Forked, Errno> {
    let mut pidfd: RawFd = -1;
    let mut flags = namespaces | flag(libc::CLONE_PIDFD) | CLONE_CLEAR_SIGHAND;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let raw = |fd: RawFd| u64::try_from(fd).expect("an open descriptor is not negative");
    let args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: flag(libc::SIGCHLD),
        cgroup: cgroup.map_or(0, |fd| raw(fd.as_raw_fd())),
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are a valid `clone_args` of the given size and outlive the call; without
    // CLONE_VM the child has a copy of this memory and its own stack. The callers are single-threaded
    // (the spawner asserts it), so no lock is held by a thread that does not exist in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if pid < 0 {
        return Err(last_error());
    }
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(70);
        // SAFETY: ends the child without running the parent's exit handlers or destructors.
        unsafe { libc::_exit(code) }
    }
    let pid = i32::try_from(pid).expect("a process id fits");
    // SAFETY: the kernel has put a fresh descriptor there that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked { pid, pidfd })
}

/// Forks a plain child, by the call that a filtered process may still make.
pub(crate) fn fork_plain(child: impl FnOnce() -> i32) -> Result<i32, Errno> {
    // SAFETY: the caller is single-threaded, as for [`fork`].
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(last_error());
    }
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(70);
        // SAFETY: ends the child without running the parent's exit handlers or destructors.
        unsafe { libc::_exit(code) }
    }
    Ok(pid)
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    This,
    Recursive,
}

/// Adds attributes to the mount behind a descriptor.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, set: u64, depth: Depth) -> Result<(), Errno> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    let recursive = if depth == Depth::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, the attributes are of the given size; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result)
}

/// Closes every descriptor except the standard ones and those in `keep`.
pub(crate) fn close_others(keep: &[RawFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1, 0)?;
        }
        from = from.max(fd + 1);
    }
    close_range(from, u32::MAX, 0)
}

/// Marks every descriptor from `from` on to be closed by the next exec.
pub(crate) fn cloexec_from(from: u32) -> Result<(), Errno> {
    close_range(from, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(from: u32, to: u32, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: takes three integers. Callers pass only ranges they know nobody uses any more.
    check(unsafe { libc::syscall(libc::SYS_close_range, from, to, flags) })
}

/// Makes `number` name the same open file as `fd`, kept over exec.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: takes two integers; what `number` named before is only ever a standard descriptor or 3
    // of a process that is about to exec.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into())
}

/// A copy of a descriptor out of the way of the low numbers, closed on exec.
pub(crate) fn lift(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 10)
}

pub(crate) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: callers use options whose arguments are integers.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }.into())
}

pub(crate) fn set_process_name(name: &std::ffi::CStr) -> Result<(), Errno> {
    // SAFETY: the name is a C string that outlives the call.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }.into())
}

/// Gives up every capability of this thread.
pub(crate) fn clear_capabilities() -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let sets = [[0_u32; 3]; 2];
    // SAFETY: header and both sets are laid out as version 3 of the interface wants them.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    check(result)
}

/// Installs a system call filter on this thread; it needs no-new-privileges.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?;
    let fprog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `fprog` points to `len` instructions that outlive the call; the kernel only reads them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const fprog)
    };
    check(result)
}

/// The landlock version the kernel offers; zero when it has none.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel takes no attributes and returns a number.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(result).unwrap_or(0)
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).expect("ASCII");
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).expect("a small flag");
    // SAFETY: the request is a filled `ifreq` that outlives the call.
    check(
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }
            .into(),
    )
}

/// An ended child, and what it and the children it waited for have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) peak_kb: u64,
    pub(crate) cpu_us: u64,
}

/// Takes one ended child, if there is one.
pub(crate) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals of the right type.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    if pid <= 0 {
        return None;
    }
    let micros = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Some(Reaped {
        pid,
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        peak_kb: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
    })
}

/// Has the runtime watch a descriptor.
pub(crate) fn watch(fd: OwnedFd) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor names the same open file for as long as it lives, and closes it only
    // when it is dropped, which is when the runtime forgets it.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(std::io::Error::from)
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

fn check(result: libc::c_long) -> Result<(), Errno> {
    if result < 0 { Err(last_error()) } else { Ok(()) }
}
