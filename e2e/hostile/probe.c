/* Tries to get out, from a static binary that needs nothing of its host: an HTTP server as `custom`
 * runtimes have it, which runs every attempt in a process of its own and answers a line for each:
 * its name, and `open` or `shut`. With `--here` as its first argument it does so at once and prints
 * the lines: the control, which shows that the attempts can succeed where nothing holds them.
 *
 * Arguments (or the request's body, one a line): canary file, canary process, port of a service on
 * the host's loopback, abstract socket of the host, port of another instance's server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_CANARY, PROCESS_CANARY, PORT_CANARY, ABSTRACT_CANARY, NEIGHBOUR_PORT, CANARIES };
static char canary[CANARIES][256];

/* Whether the kernel lets us reach a call: a complaint about our arguments counts. */
static int reached(long result) {
    if (result >= 0) return 1;
    return errno != EPERM && errno != ENOSYS && errno != EACCES && errno != EAFNOSUPPORT;
}

static int opens(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static int lists(const char *path) {
    DIR *dir = opendir(path);
    int any = 0;
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) any |= entry->d_name[0] != '.';
    return any;
}

static int holds(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY);
    return fd >= 0 && read(fd, &byte, 1) == 1;
}

static int status_is_not(const char *field, const char *shut) {
    char line[256], name[64], value[64];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63[^:]: %63s", name, value) == 2 && !strcmp(name, field))
            return strcmp(value, shut) != 0;
    return 1;
}

static int makes(int family, int kind, int protocol) { return socket(family, kind, protocol) >= 0; }

/* With a bound: some addresses swallow what comes. */
static int connects(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    socklen_t size = sizeof error;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return 1;
    if (errno != EINPROGRESS) return 0;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    return poll(&wait, 1, 3000) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) && !error;
}

static int connects_abstract(const char *name) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(to.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return !connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

/* What a proxy lets through counts as much as what a socket reaches. */
static int through_proxy(const char *target) {
    char answer[64] = {0}, asked[320];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(3128)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) return 0;
    int length = snprintf(asked, sizeof asked, "CONNECT %s HTTP/1.1\r\n\r\n", target);
    if (write(fd, asked, length) != length || read(fd, answer, sizeof answer - 1) < 12) return 0;
    return !strncmp(answer + 9, "200", 3);
}

static int through_proxy_port(const char *host, const char *port) {
    char target[300];
    snprintf(target, sizeof target, "%s:%s", host, port);
    return through_proxy(target);
}

static int mounts(void) {
    unshare(CLONE_NEWNS);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return !mount("x", "/proc", "tmpfs", 0, NULL);
}

static int mounts_cgroup(const char *kind) {
    unshare(CLONE_NEWNS);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return !mount("x", "/tmp", kind, 0, NULL);
}

static int sees_process(void) {
    char path[64], line[64] = {0};
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", canary[PROCESS_CANARY]);
    int fd = open(path, O_RDONLY);
    return fd >= 0 && read(fd, line, sizeof line - 1) > 0 && strstr(line, "sleep") != NULL;
}

static int signals_process(void) { return !kill(atoi(canary[PROCESS_CANARY]), 0) && sees_process(); }

static int reads_memory(void) {
    pid_t child = fork();
    if (!child) { pause(); _exit(0); }
    int ok = reached(syscall(SYS_process_vm_readv, child, 0, 0, 0, 0, 0));
    kill(child, SIGKILL);
    return ok;
}

static int real_time(void) {
    struct sched_param one = {.sched_priority = 1};
    return !sched_setscheduler(0, SCHED_FIFO, &one);
}

static int raises_cores(void) {
    struct rlimit limit = {1, RLIM_INFINITY};
    return !setrlimit(RLIMIT_CORE, &limit);
}

static int types_ahead(void) {
    char letter = 'x';
    return reached(ioctl(0, TIOCSTI, &letter));
}

static int inherits(void) {
    /* 3 may be the listener of this program; nobody gave us more. */
    int any = 0;
    for (int fd = 5; fd < 256; fd++) any |= fcntl(fd, F_GETFD) >= 0;
    return any;
}

static int traversal(void) {
    char path[300];
    snprintf(path, sizeof path, "/tmp/../../../..%s", canary[FILE_CANARY]);
    return opens(path, O_RDONLY);
}

static int by_descriptor(void) {
    char path[300];
    snprintf(path, sizeof path, "/proc/self/root%s", canary[FILE_CANARY]);
    return opens(path, O_RDONLY);
}

static int device(const char *path) {
    /* Where the host has none there is nothing to show. */
    return opens(path, O_RDONLY);
}

struct attempt { const char *name; int (*run)(void); };
#define ATTEMPT(id, what) static int try_##id(void) { return what; }
#define X32 0x40000000L

/* files */
ATTEMPT(shadow, opens("/etc/shadow", O_RDONLY))
ATTEMPT(canary, opens(canary[FILE_CANARY], O_RDONLY))
ATTEMPT(traversal, traversal())
ATTEMPT(by_descriptor, by_descriptor())
ATTEMPT(init_root, lists("/proc/1/root"))
ATTEMPT(init_environ, opens("/proc/1/environ", O_RDONLY))
ATTEMPT(init_fds, lists("/proc/1/fd"))
ATTEMPT(kcore, opens("/proc/kcore", O_RDONLY))
ATTEMPT(kmsg, opens("/proc/kmsg", O_RDONLY))
ATTEMPT(keys, holds("/proc/keys"))
ATTEMPT(timer_list, opens("/proc/timer_list", O_RDONLY))
ATTEMPT(sysrq, opens("/proc/sysrq-trigger", O_WRONLY))
ATTEMPT(core_pattern, opens("/proc/sys/kernel/core_pattern", O_WRONLY))
ATTEMPT(sys, lists("/sys"))
ATTEMPT(mem, device("/dev/mem"))
ATTEMPT(kvm, device("/dev/kvm"))
ATTEMPT(disk, device("/dev/vda") || device("/dev/sda") || device("/dev/nvme0n1"))
ATTEMPT(mknod, !mknod("/tmp/stint-probe-node", S_IFBLK | 0600, 7 << 8) && !unlink("/tmp/stint-probe-node"))
ATTEMPT(write_usr, opens("/usr", O_TMPFILE | O_WRONLY))
ATTEMPT(write_root, opens("/", O_TMPFILE | O_WRONLY))
ATTEMPT(write_etc, opens("/etc/passwd", O_WRONLY))
ATTEMPT(write_code, opens("/code/bootstrap", O_WRONLY) || opens("/code", O_TMPFILE | O_WRONLY))
/* processes */
ATTEMPT(see_process, sees_process())
ATTEMPT(signal_process, signals_process())
ATTEMPT(ptrace, reached(ptrace(PTRACE_TRACEME, 0, 0, 0)))
ATTEMPT(vm_read, reads_memory())
ATTEMPT(pidfd_getfd, reached(syscall(438, -1, 0, 0)))
ATTEMPT(setns, reached(syscall(SYS_setns, -1, 0)))
ATTEMPT(unshare_user, reached(unshare(CLONE_NEWUSER)))
ATTEMPT(unshare_net, reached(unshare(CLONE_NEWNET)))
ATTEMPT(unshare_mount, reached(unshare(CLONE_NEWNS)))
ATTEMPT(clone_user, reached(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)))
ATTEMPT(clone3, reached(syscall(435, 0, 0)))
ATTEMPT(chroot, !chroot("/"))
ATTEMPT(pivot_root, reached(syscall(SYS_pivot_root, "/x", "/x")))
ATTEMPT(mount, mounts())
ATTEMPT(umount, reached(umount2("/nowhere", 0)))
ATTEMPT(remount, reached(mount(NULL, "/nowhere", NULL, MS_REMOUNT, NULL)))
ATTEMPT(fsopen, reached(syscall(430, "tmpfs", 0)))
ATTEMPT(open_tree, reached(syscall(428, AT_FDCWD, "/", 1)))
ATTEMPT(move_mount, reached(syscall(429, -1, "", -1, "", 0)))
ATTEMPT(personality, reached(syscall(SYS_personality, 0x40000)))
/* privilege */
ATTEMPT(setuid, !setuid(0))
ATTEMPT(setgroups, reached(syscall(SYS_setgroups, 0, NULL)))
ATTEMPT(effective_caps, status_is_not("CapEff", "0000000000000000"))
ATTEMPT(bounding_caps, status_is_not("CapBnd", "0000000000000000"))
ATTEMPT(new_privileges, status_is_not("NoNewPrivs", "1"))
ATTEMPT(unfiltered, status_is_not("Seccomp", "2"))
ATTEMPT(real_time, real_time())
ATTEMPT(nice, nice(-5) == -5)
ATTEMPT(cores, raises_cores())
ATTEMPT(terminal, types_ahead())
ATTEMPT(inherited, inherits())
ATTEMPT(host_env, getenv("STINT_PROBE_CONTROL") != NULL)
/* kernel surface */
ATTEMPT(keyctl, reached(syscall(SYS_keyctl, 0, -3, 0)))
ATTEMPT(add_key, reached(syscall(SYS_add_key, 0, 0, 0, 0, -3)))
ATTEMPT(io_uring, reached(syscall(425, 1, 0)))
ATTEMPT(userfaultfd, reached(syscall(323, 0)))
ATTEMPT(bpf, reached(syscall(SYS_bpf, 9999, 0, 0)))
ATTEMPT(perf, reached(syscall(SYS_perf_event_open, 0, 0, -1, -1, 0)))
ATTEMPT(handle, reached(syscall(SYS_open_by_handle_at, -1, 0, 0)))
ATTEMPT(kexec, reached(syscall(SYS_kexec_load, 0, 1000, 0, 0xffff)))
ATTEMPT(module, reached(syscall(SYS_init_module, 0, 0, "")))
ATTEMPT(iopl, reached(syscall(SYS_iopl, 0)))
ATTEMPT(syslog, reached(syscall(SYS_syslog, 10, 0, 0)))
ATTEMPT(swap, reached(syscall(SYS_swapon, "/nowhere", 0)))
ATTEMPT(clock, reached(syscall(SYS_clock_settime, 99, 0)))
ATTEMPT(x32, syscall(X32 | SYS_getpid) > 0)
/* network */
ATTEMPT(host_loopback, connects("127.0.0.1", atoi(canary[PORT_CANARY])))
ATTEMPT(neighbour, connects("127.0.0.1", atoi(canary[NEIGHBOUR_PORT])))
ATTEMPT(host_abstract, connects_abstract(canary[ABSTRACT_CANARY]))
ATTEMPT(packet, makes(AF_PACKET, SOCK_RAW, 0))
ATTEMPT(raw_icmp, makes(AF_INET, SOCK_RAW, 1))
ATTEMPT(netlink, makes(AF_NETLINK, SOCK_RAW, 0))
ATTEMPT(alg, makes(38, SOCK_SEQPACKET, 0))
ATTEMPT(vsock, makes(40, SOCK_STREAM, 0))
ATTEMPT(metadata, connects("169.254.169.254", 80))
ATTEMPT(proxy_loopback, through_proxy_port("127.0.0.1", canary[PORT_CANARY]))
ATTEMPT(proxy_mapped, through_proxy_port("[::ffff:127.0.0.1]", canary[PORT_CANARY]))
ATTEMPT(proxy_localhost, through_proxy_port("localhost", canary[PORT_CANARY]))
ATTEMPT(proxy_short, through_proxy_port("127.1", canary[PORT_CANARY]))
ATTEMPT(proxy_number, through_proxy_port("2130706433", canary[PORT_CANARY]))
ATTEMPT(proxy_rebound, through_proxy_port("rebound.stint.test", canary[PORT_CANARY]))
ATTEMPT(proxy_neighbour, through_proxy_port("127.0.0.1", canary[NEIGHBOUR_PORT]))
ATTEMPT(proxy_metadata, through_proxy("169.254.169.254:80"))
/* cgroup */
ATTEMPT(cgroup_files, lists("/sys/fs/cgroup"))
ATTEMPT(cgroup_mount, mounts_cgroup("cgroup") || mounts_cgroup("cgroup2"))

#undef ATTEMPT
#define ATTEMPT(id) {#id, try_##id}
static const struct attempt attempts[] = {
    ATTEMPT(shadow), ATTEMPT(canary), ATTEMPT(traversal), ATTEMPT(by_descriptor), ATTEMPT(init_root),
    ATTEMPT(init_environ), ATTEMPT(init_fds), ATTEMPT(kcore), ATTEMPT(kmsg), ATTEMPT(keys),
    ATTEMPT(timer_list), ATTEMPT(sysrq), ATTEMPT(core_pattern), ATTEMPT(sys), ATTEMPT(mem),
    ATTEMPT(kvm), ATTEMPT(disk), ATTEMPT(mknod), ATTEMPT(write_usr), ATTEMPT(write_root),
    ATTEMPT(write_etc), ATTEMPT(write_code), ATTEMPT(see_process), ATTEMPT(signal_process),
    ATTEMPT(ptrace), ATTEMPT(vm_read), ATTEMPT(pidfd_getfd), ATTEMPT(setns),
    ATTEMPT(unshare_user), ATTEMPT(unshare_net), ATTEMPT(unshare_mount), ATTEMPT(clone_user),
    ATTEMPT(clone3), ATTEMPT(chroot), ATTEMPT(pivot_root), ATTEMPT(mount), ATTEMPT(umount),
    ATTEMPT(remount), ATTEMPT(fsopen), ATTEMPT(open_tree), ATTEMPT(move_mount), ATTEMPT(personality),
    ATTEMPT(setuid), ATTEMPT(setgroups), ATTEMPT(effective_caps), ATTEMPT(bounding_caps),
    ATTEMPT(new_privileges), ATTEMPT(unfiltered), ATTEMPT(real_time), ATTEMPT(nice), ATTEMPT(cores),
    ATTEMPT(terminal), ATTEMPT(inherited), ATTEMPT(host_env), ATTEMPT(keyctl), ATTEMPT(add_key),
    ATTEMPT(io_uring), ATTEMPT(userfaultfd), ATTEMPT(bpf), ATTEMPT(perf), ATTEMPT(handle),
    ATTEMPT(kexec), ATTEMPT(module), ATTEMPT(iopl), ATTEMPT(syslog), ATTEMPT(swap), ATTEMPT(clock),
    ATTEMPT(x32), ATTEMPT(host_loopback), ATTEMPT(neighbour), ATTEMPT(host_abstract), ATTEMPT(packet),
    ATTEMPT(raw_icmp), ATTEMPT(netlink), ATTEMPT(alg), ATTEMPT(vsock), ATTEMPT(metadata),
    ATTEMPT(proxy_loopback), ATTEMPT(proxy_mapped), ATTEMPT(proxy_localhost), ATTEMPT(proxy_short),
    ATTEMPT(proxy_number), ATTEMPT(proxy_rebound), ATTEMPT(proxy_neighbour), ATTEMPT(proxy_metadata),
    ATTEMPT(cgroup_files), ATTEMPT(cgroup_mount),
};

static size_t run_all(char *out, size_t room) {
    size_t used = 0;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        int status = 1;
        pid_t pid = fork();
        if (pid == 0) _exit(attempts[i].run() ? 0 : 1);
        waitpid(pid, &status, 0);
        const char *verdict = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "open" : "shut";
        used += snprintf(out + used, room - used, "%s %s\n", attempts[i].name, verdict);
    }
    return used;
}

static void take_canaries(char *text) {
    char *rest = NULL;
    for (int i = 0; i < CANARIES; i++) {
        char *line = strtok_r(i ? NULL : text, "\n", &rest);
        snprintf(canary[i], sizeof canary[i], "%s", line ? line : "0");
    }
}

static void serve(void) {
    static char asked[8192], body[16384], answer[20000];
    const char *said = getenv("FC_CUSTOM_LISTEN_PORT");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(said ? atoi(said) : 9000)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16)) exit(1);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        size_t got = 0, wanted = 0;
        char *start = NULL;
        while (got < sizeof asked - 1 && (!start || got < wanted)) {
            ssize_t n = read(fd, asked + got, sizeof asked - 1 - got);
            if (n <= 0) break;
            got += n;
            asked[got] = 0;
            if (!start && (start = strstr(asked, "\r\n\r\n"))) {
                char *length = strcasestr(asked, "content-length:");
                start += 4;
                wanted = start - asked + (length && length < start ? strtoul(length + 15, NULL, 10) : 0);
            }
        }
        if (start) {
            take_canaries(start);
            size_t length = run_all(body, sizeof body);
            int n = snprintf(answer, sizeof answer,
                             "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s", length, body);
            if (write(fd, answer, n) != n) perror("write");
        }
        close(fd);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && !strcmp(argv[1], "--here")) {
        static char out[16384];
        for (int i = 0; i < CANARIES && i + 2 < argc; i++)
            snprintf(canary[i], sizeof canary[i], "%s", argv[i + 2]);
        run_all(out, sizeof out);
        fputs(out, stdout);
        return 0;
    }
    serve();
}
