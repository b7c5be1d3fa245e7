"""Tries to get out. Prints one line per attempt: its name, and `open` or `shut`.

Runs inside a sandbox, where everything must be shut, and outside of one, where the same attempts
must be open: a probe that fails everywhere proves nothing. Every attempt has a process of its own
and changes nothing that outlives it.
"""
import ctypes
import errno
import os
import socket
import sys

CANARY_FILE, CANARY_PID, CANARY_PORT, CANARY_ABSTRACT = sys.argv[1:5]
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EAFNOSUPPORT)


def call(number, *args):
    """Whether the kernel lets us reach a system call: a complaint about our arguments counts."""
    ctypes.set_errno(0)
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    if libc.syscall(ctypes.c_long(number), *args) == -1:
        return ctypes.get_errno() not in REFUSED
    return True


def opens(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))
    return True


def makes(family, kind=socket.SOCK_RAW, protocol=0):
    socket.socket(family, kind, protocol).close()
    return True


def connects(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(address)
    return True


def mounts(kind=b"tmpfs", place=b"/proc"):
    libc.unshare(0x20000)
    libc.mount(b"none", b"/", None, 0x44000, None)
    return libc.mount(b"x", place, kind, 0, None) == 0


def inherited():
    """Descriptors that nobody opened here; the listing itself needs one."""
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 3]


def status(field, shut):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return line.split()[1] != shut
    return True


def set_fifo():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


def raises_cores():
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (1, resource.RLIM_INFINITY))
    return True


def terminal():
    import fcntl
    try:
        fcntl.ioctl(0, 0x5412, b"x")
    except OSError as error:
        return error.errno not in REFUSED
    return True


ATTEMPTS = {
    # files
    "shadow": lambda: opens("/etc/shadow"),
    "canary": lambda: opens(CANARY_FILE),
    "traversal": lambda: opens("/tmp/../../../.." + CANARY_FILE),
    "canary-by-fd": lambda: opens("/proc/self/root" + CANARY_FILE),
    "init-root": lambda: bool(os.listdir("/proc/1/root")),
    "init-environ": lambda: opens("/proc/1/environ"),
    "init-fds": lambda: bool(os.listdir("/proc/1/fd")),
    "kcore": lambda: opens("/proc/kcore"),
    "kmsg": lambda: opens("/proc/kmsg"),
    "timer-list": lambda: opens("/proc/timer_list"),
    "keys": lambda: bool(open("/proc/keys").read()),
    "sysrq": lambda: opens("/proc/sysrq-trigger", os.O_WRONLY),
    "core-pattern": lambda: opens("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "uevent": lambda: opens("/sys/kernel/uevent_helper", os.O_RDONLY) or True,
    "mem": lambda: opens("/dev/mem"),
    "disk": lambda: opens("/dev/vda") if os.path.exists("/dev/vda") else not os.path.exists("/code"),
    "mknod": lambda: os.mknod("/tmp/stint-escape-%d" % os.getpid(), 0o60600, os.makedev(7, 0)) or True,
    "write-usr": lambda: opens("/usr", os.O_TMPFILE | os.O_WRONLY),
    "write-root": lambda: opens("/", os.O_TMPFILE | os.O_WRONLY),
    "kvm": lambda: opens("/dev/kvm"),
    "sys-write": lambda: opens("/sys/kernel/mm/ksm/run", os.O_WRONLY),
    "write-code": lambda: opens("/code/escape.py", os.O_WRONLY),
    "write-etc": lambda: opens("/etc/passwd", os.O_WRONLY),
    # processes
    "see-host-pid": lambda: bool(os.stat("/proc/%s/exe" % CANARY_PID)) and open("/proc/%s/cmdline" % CANARY_PID).read().startswith("/usr/bin/sleep"),
    "signal-host-pid": lambda: os.kill(int(CANARY_PID), 0) or True,
    "remount": lambda: call(165, 0, b"/nowhere", 0, 0x20, 0),
    "unshare-user": lambda: call(272, 0x10000000),
    "unshare-net": lambda: call(272, 0x40000000),
    "unshare-mount": lambda: call(272, 0x20000),
    "clone-user": lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": lambda: call(435, 0, 0),
    "setns": lambda: call(308, 0, 0),
    "chroot": lambda: os.chroot("/") or True,
    "pivot-root": lambda: call(155, b"/x", b"/x"),
    "mount": mounts,
    "umount": lambda: call(166, b"/nowhere", 0),
    "fsopen": lambda: call(430, b"tmpfs", 0),
    "open-tree": lambda: call(428, -100, b"/", 1),
    "move-mount": lambda: call(429, -1, b"", -1, b"", 0),
    "personality": lambda: call(135, 0x40000),
    "ptrace": lambda: call(101, 0, 0, 0, 0),
    "vm-read": lambda: call(310, os.getpid(), 0, 0, 0, 0, 0),
    "pidfd-getfd": lambda: call(438, -1, 0, 0),
    # privilege
    "setuid": lambda: os.setuid(0) or True,
    "setgroups": lambda: os.setgroups([0]) or True,
    "effective-caps": lambda: status("CapEff", "0000000000000000"),
    "bounding-caps": lambda: status("CapBnd", "0000000000000000"),
    "new-privileges": lambda: status("NoNewPrivs", "1"),
    "unfiltered": lambda: status("Seccomp", "2"),
    "real-time": set_fifo,
    "nice": lambda: os.nice(-5) is not None,
    "cores": raises_cores,
    "terminal": terminal,
    "host-env": lambda: "STINT_CANARY" in os.environ,
    "inherited-fds": lambda: bool(inherited()),
    # kernel surface
    "x32": lambda: libc.syscall(ctypes.c_long(0x40000000 | 39)) > 0,
    "keyctl": lambda: call(250, 0, -3, 0),
    "add-key": lambda: call(248, 0, 0, 0, 0, -3),
    "io-uring": lambda: call(425, 1, 0),
    "userfaultfd": lambda: call(323, 0),
    "bpf": lambda: call(321, 9999, 0, 0),
    "perf": lambda: call(298, 0, 0, -1, -1, 0),
    "handle": lambda: call(304, -1, 0, 0),
    "kexec": lambda: call(246, 0, 1000, 0, 0xFFFF),
    "module": lambda: call(175, 0, 0, b""),
    "iopl": lambda: call(172, 0),
    "syslog": lambda: call(103, 10, 0, 0),
    "swap": lambda: call(167, b"/nowhere", 0),
    "clock": lambda: call(227, 99, 0),
    # network
    "host-loopback": lambda: connects(socket.AF_INET, ("127.0.0.1", int(CANARY_PORT))),
    "host-abstract": lambda: connects(socket.AF_UNIX, "\0" + CANARY_ABSTRACT),
    "packet": lambda: makes(socket.AF_PACKET),
    "raw-icmp": lambda: makes(socket.AF_INET, socket.SOCK_RAW, 1),
    "netlink": lambda: makes(socket.AF_NETLINK),
    "alg": lambda: makes(38, socket.SOCK_SEQPACKET),
    "vsock": lambda: makes(40, socket.SOCK_STREAM),
    "metadata": lambda: connects(socket.AF_INET, ("169.254.169.254", 80)),
    # cgroups
    "cgroup-files": lambda: bool(os.listdir("/sys/fs/cgroup")),
    "cgroup-mount": lambda: mounts(b"cgroup2", b"/tmp") or mounts(b"cgroup", b"/tmp"),
    "cgroup-procs": lambda: opens("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY),
    "release-agent": lambda: opens("/sys/fs/cgroup/memory/release_agent", os.O_WRONLY),
}


def attempt(name):
    pid = os.fork()
    if pid == 0:
        result = 1
        try:
            result = 0 if ATTEMPTS[name]() else 1
        except BaseException:
            result = 1
        finally:
            os._exit(result)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


for name in ATTEMPTS:
    print(name, "open" if attempt(name) == 0 else "shut", flush=True)
