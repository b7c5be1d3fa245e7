//! The system call filter, as a binary search over ranges of call numbers.
//!
//! A linear list of the same policy costs ten times as much to install. Calls the policy does not
//! know fail as if the kernel did not have them, which is what libraries are prepared for. `clone3`
//! is one of those: its flags lie behind a pointer a filter cannot read, and libraries then fall
//! back to `clone`, whose flags it can.

use libc::sock_filter;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Errno(u16),
    /// Allowed without any of these bits in the low half of the first argument.
    WithoutBits(u32),
    /// Allowed when the argument (by index) is one of the values, else the error.
    OneOf(u8, &'static [u32], u16),
    /// Refused with `EPERM` when the argument (by index) is one of the values.
    NoneOf(u8, &'static [u32]),
}

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;

/// The last call number this policy has an opinion on (`mseal`); later ones do not exist.
const LAST: u32 = 462;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Numbers no kernel of this architecture uses.
#[cfg(target_arch = "x86_64")]
const GAP: std::ops::Range<u32> = 335..424;
#[cfg(target_arch = "aarch64")]
const GAP: std::ops::Range<u32> = 295..424;

/// Every namespace flag that `clone` can carry.
const NEW_ANYTHING: u32 = 0x7e02_0000;
/// Unix, IPv4 and IPv6.
const FAMILIES: &[u32] = &[1, 2, 10];
/// `TIOCSTI`, `TIOCLINUX`, `TIOCSETD`: typing into someone else's terminal, and its relatives.
const TERMINAL: &[u32] = &[0x5412, 0x541c, 0x5423];
/// The normal execution domain, and asking for the present one.
const PERSONALITIES: &[u32] = &[0, u32::MAX];

/// What only an administrator, a debugger or an exploit needs.
const DENIED: &[libc::c_long] = &[
    // Keys, and what is not namespaced.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    // Kernel code.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    // Large surfaces with a history.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    // Files by handle, past every wall.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("call numbers are small and positive")
}

/// The policy: one verdict per call number.
fn verdict(call: u32) -> Verdict {
    if call > LAST || GAP.contains(&call) || call == number(libc::SYS_clone3) {
        return Verdict::Errno(ENOSYS);
    }
    // `statmount`, `listmount` and the calls of security modules have no names in libc yet.
    if (457..=461).contains(&call) || DENIED.iter().any(|denied| number(*denied) == call) {
        return Verdict::Errno(EPERM);
    }
    match libc::c_long::from(call) {
        libc::SYS_clone => Verdict::WithoutBits(NEW_ANYTHING),
        libc::SYS_socket => Verdict::OneOf(0, FAMILIES, EAFNOSUPPORT),
        libc::SYS_ioctl => Verdict::NoneOf(1, TERMINAL),
        libc::SYS_personality => Verdict::OneOf(0, PERSONALITIES, EPERM),
        _ => Verdict::Allow,
    }
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// The filter of every instance.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for call in 0..=LAST + 1 {
        let verdict = verdict(call);
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((call, verdict));
        }
    }
    let mut program = vec![
        plain(LOAD, OFFSET_ARCHITECTURE),
        jump(JUMP_EQUAL, ARCHITECTURE, 1, 0),
        plain(RETURN, RET_KILL_PROCESS),
        plain(LOAD, OFFSET_NUMBER),
    ];
    program.extend(search(&ranges));
    program
}

/// Code that finds the range the number in the accumulator belongs to.
fn search(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    if let [(_, verdict)] = ranges {
        return leaf(*verdict);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let below = search(low);
    let skip = u8::try_from(below.len()).expect("half of the tree fits a jump");
    let mut code = vec![jump(JUMP_AT_LEAST, high[0].0, skip, 0)];
    code.extend(below);
    code.extend(search(high));
    code
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    let argument = |index: u8| plain(LOAD, OFFSET_ARGUMENTS + 8 * u32::from(index));
    match verdict {
        Verdict::Allow => vec![plain(RETURN, RET_ALLOW)],
        Verdict::Errno(errno) => vec![plain(RETURN, RET_ERRNO | u32::from(errno))],
        Verdict::WithoutBits(bits) => vec![
            argument(0),
            jump(JUMP_ANY_BIT, bits, 1, 0),
            plain(RETURN, RET_ALLOW),
            plain(RETURN, RET_ERRNO | u32::from(EPERM)),
        ],
        Verdict::OneOf(index, values, errno) => {
            choice(argument(index), values, RET_ALLOW, RET_ERRNO | u32::from(errno))
        }
        Verdict::NoneOf(index, values) => {
            choice(argument(index), values, RET_ERRNO | u32::from(EPERM), RET_ALLOW)
        }
    }
}

fn choice(load: sock_filter, values: &[u32], hit: u32, miss: u32) -> Vec<sock_filter> {
    let mut code = vec![load];
    for (index, value) in values.iter().enumerate() {
        let ahead = u8::try_from(values.len() - index).expect("a few values");
        code.push(jump(JUMP_EQUAL, *value, ahead, 0));
    }
    code.push(plain(RETURN, miss));
    code.push(plain(RETURN, hit));
    code
}

fn plain(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low(value: u64) -> u32 {
        u32::try_from(value & u64::from(u32::MAX)).unwrap()
    }

    /// Runs a filter as the kernel does.
    fn run(program: &[sock_filter], call: u32, architecture: u32, args: [u64; 2]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let taken = match step.code {
                LOAD => {
                    accumulator = match step.k {
                        OFFSET_NUMBER => call,
                        OFFSET_ARCHITECTURE => architecture,
                        16 => low(args[0]),
                        24 => low(args[1]),
                        other => panic!("load of {other}"),
                    };
                    continue;
                }
                RETURN => return step.k,
                JUMP_EQUAL => accumulator == step.k,
                JUMP_AT_LEAST => accumulator >= step.k,
                JUMP_ANY_BIT => accumulator & step.k != 0,
                other => panic!("instruction {other}"),
            };
            at += usize::from(if taken { step.jt } else { step.jf });
        }
    }

    fn decide(call: libc::c_long, args: [u64; 2]) -> u32 {
        run(&program(), number(call), ARCHITECTURE, args)
    }

    const REFUSED: u32 = RET_ERRNO | EPERM as u32;

    #[test]
    fn the_tree_says_what_the_policy_says() {
        let program = program();
        for call in (0..LAST + 200).chain([0x4000_0000, 0x4000_0000 + 1, u32::MAX]) {
            let said = run(&program, call, ARCHITECTURE, [0, 0]);
            match verdict(call) {
                Verdict::Allow | Verdict::WithoutBits(_) | Verdict::NoneOf(..) => {
                    assert_eq!(said, RET_ALLOW, "call {call}");
                }
                Verdict::Errno(errno) => {
                    assert_eq!(said, RET_ERRNO | u32::from(errno), "call {call}");
                }
                Verdict::OneOf(_, values, errno) => {
                    let zero = values.contains(&0);
                    let expected = if zero { RET_ALLOW } else { RET_ERRNO | u32::from(errno) };
                    assert_eq!(said, expected, "call {call}");
                }
            }
        }
    }

    #[test]
    fn it_stays_short() {
        assert!(program().len() < 260, "{} instructions", program().len());
    }

    #[test]
    fn another_architecture_is_killed() {
        assert_eq!(run(&program(), 0, 0x4000_0003, [0, 0]), RET_KILL_PROCESS);
    }

    #[test]
    fn every_denied_call_is_refused() {
        for call in DENIED {
            assert_eq!(decide(*call, [0, 0]), REFUSED, "call {call}");
        }
    }

    #[test]
    fn clone_makes_threads_and_processes_but_no_namespaces() {
        assert_eq!(decide(libc::SYS_clone, [0x003d_0f00, 0]), RET_ALLOW);
        assert_eq!(decide(libc::SYS_clone, [17, 0]), RET_ALLOW);
        for bit in [
            0x0002_0000,
            0x0200_0000,
            0x0400_0000,
            0x0800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000,
        ] {
            assert_eq!(decide(libc::SYS_clone, [bit | 17, 0]), REFUSED, "{bit:#x}");
        }
        assert_eq!(decide(libc::SYS_clone3, [0, 0]), RET_ERRNO | u32::from(ENOSYS));
    }

    #[test]
    fn arguments_are_compared_as_the_kernel_reads_them() {
        for family in [1, 2, 10] {
            assert_eq!(decide(libc::SYS_socket, [family, 1]), RET_ALLOW);
        }
        for family in [0, 3, 16, 17, 38, 40] {
            let refused = RET_ERRNO | u32::from(EAFNOSUPPORT);
            assert_eq!(decide(libc::SYS_socket, [family, 1]), refused);
        }
        // The kernel looks at 32 bits; garbage above them must not help.
        assert_eq!(decide(libc::SYS_ioctl, [0, 0xdead_0000_0000_5412]), REFUSED);
        assert_eq!(decide(libc::SYS_ioctl, [0, 0x5401]), RET_ALLOW);
        assert_eq!(decide(libc::SYS_personality, [0xffff_ffff, 0]), RET_ALLOW);
        assert_eq!(decide(libc::SYS_personality, [0x0004_0000, 0]), REFUSED);
    }
}
