//! What crosses the sockets between the big process, the spawner and a sandbox's init, and how.
//!
//! Every socket is `SOCK_SEQPACKET`: one packet is one message, descriptors ride along. The readers
//! parse into bounded types; a sandbox's init is on the hostile side of the wall once the program runs.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exec::ExecSpec;
use crate::policy::Capabilities;
use crate::policy::UserNamespace;
use crate::spec::{
    BINDS_MAX, Enforced, Equipment, Exit, HostUser, LAYERS_MAX, LaunchSpec, LimitedBy,
};

/// No packet is larger.
pub(crate) const PACKET_BYTES_MAX: usize = 128 * 1024;
/// No packet carries more descriptors: the instance's ends, its `/etc`, its binds, its layers. The
/// kernel takes 253.
pub(crate) const PACKET_FDS_MAX: usize = 4 + 3 + BINDS_MAX + LAYERS_MAX;

/// Big process → spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message, once.
    Configure(SpawnerSetup),
    /// With stdout, stderr, the control socket and, when asked for, the channel.
    Launch { id: u64, spec: LaunchSpec },
    /// Gives a waiting instance what belongs to one function.
    Equip { id: u64, equipment: Equipment },
    /// Nobody waits for this launch any more.
    Abandon { id: u64 },
}

/// What the spawner must know before it forks anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpawnerSetup {
    /// Name of our directory in every cgroup tree.
    pub(crate) cgroup_name: String,
    /// A directory of ours with the prepared `/etc` trees.
    pub(crate) base_dir: std::path::PathBuf,
    /// How many children wait, already in cgroup and namespaces.
    pub(crate) parked: u32,
    /// Whether root may use user namespaces; everybody else must.
    pub(crate) user_namespace: UserNamespace,
}

/// Spawner → big process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Ready(Capabilities),
    /// With a pidfd of the sandbox's init.
    Launched {
        id: u64,
        pid: u32,
        enforced: Enforced,
        cgroup: Vec<std::path::PathBuf>,
    },
    Failed {
        id: u64,
        failure: Failure,
    },
    /// The answer to [`Request::Equip`], unless the instance ends before.
    Equipped {
        id: u64,
        failed: Option<Failure>,
    },
    Exited {
        id: u64,
        exit: Exit,
    },
    /// A child that waited for orders is gone, or none could be made. Another is made.
    ParkedLost {
        why: String,
    },
}

/// A launch that did not reach its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What was being done, for a person.
    pub(crate) stage: String,
    /// Zero when there is no error number.
    pub(crate) errno: i32,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stage, errno } = self;
        write!(f, "{stage}: {}", std::io::Error::from_raw_os_error(*errno))
    }
}

impl Failure {
    pub(crate) fn new(stage: impl Into<String>, errno: impl Into<Errno>) -> Self {
        Self { stage: stage.into(), errno: errno.into().raw_os_error() }
    }

    pub(crate) fn io(stage: impl Into<String>, error: &std::io::Error) -> Self {
        Self { stage: stage.into(), errno: error.raw_os_error().unwrap_or(0) }
    }
}

/// Spawner → a parked child, with the descriptors of the request, and after them the mounts of `/etc`
/// and of every bind when the spawner is privileged: it may look where the child may not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) spec: LaunchSpec,
    /// Host directory shown as `/etc`.
    pub(crate) etc: std::path::PathBuf,
    pub(crate) identity: Identity,
    pub(crate) landlock_abi: u32,
    pub(crate) memory: LimitedBy,
    pub(crate) processes: LimitedBy,
}

/// Spawner → a sandbox's init whose program waits, with the mounts when the spawner is privileged.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Later {
    pub(crate) equipment: Equipment,
}

/// Which ids the child takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identity {
    /// The mapped ids of its user namespace, and no other group.
    Mapped,
    /// The mapped ids; without privilege the caller's groups cannot be given up.
    MappedWithGroups,
    /// Plain host ids: there is no user namespace.
    Host(HostUser),
}

/// Sandbox's init → spawner.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// In its cgroup, waiting for orders.
    Parked,
    /// The program has been executed.
    Running { landlock_abi: u32, filter_length: u32 },
    /// The waiting program has what it needs, and init is behind the walls.
    Equipped,
    /// The program has not been executed, or not been equipped.
    Failed(Failure),
    /// The program has ended; everything else dies with init.
    Ended { code: Option<i32>, signal: Option<i32>, watchdog: bool, peak_kb: u64, cpu_us: u64 },
}

/// Big process → sandbox's init. Each is answered by a [`Done`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Control {
    /// Connect to a TCP port on the instance's loopback; the answer carries the socket.
    Connect {
        port: u16,
    },
    /// Let nothing of the instance run until it is thawed.
    Freeze,
    Thaw,
    /// Start a further program, with its input, output, errors and the pipe its end is told on.
    Exec(ExecSpec),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) errno: i32,
}

/// Sandbox's init → big process, before the program runs and only when listeners were asked for: with
/// those of egress and API, and the program's own, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PortsOpen {
    /// How many descriptors ride along.
    pub(crate) ports: u8,
}

/// A connected pair of packet sockets, closed on exec.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (a, b) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&a, &b] {
        sockopt::set_socket_send_buffer_size(end, 4 * PACKET_BYTES_MAX)?;
    }
    Ok((a, b))
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_stdvec(message).expect("plain values always encode")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Errno> {
    postcard::from_bytes(bytes).map_err(|_| Errno::BADMSG)
}

/// Sends one packet; a gone peer is `EPIPE`, never a signal.
pub(crate) fn send(to: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    assert!(fds.len() <= PACKET_FDS_MAX, "a packet carries at most {PACKET_FDS_MAX} descriptors");
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(fds));
        assert!(fits, "the space was made for {PACKET_FDS_MAX}");
    }
    loop {
        match sendmsg(to.as_fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives one packet; `None` when the peer is gone.
pub(crate) fn receive(
    from: impl AsFd,
    buffer: &mut [u8],
) -> Result<Option<(usize, Vec<OwnedFd>)>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PACKET_FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(from.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    Ok(Some((got.bytes, fds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_carries_bytes_and_descriptors() {
        let (a, b) = pair().unwrap();
        let (c, d) = pair().unwrap();
        send(&a, &encode(&Control::Connect { port: 9000 }), &[c.as_fd()]).unwrap();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        let (length, fds) = receive(&b, &mut buffer).unwrap().unwrap();
        let read = decode::<Control>(&buffer[..length]).unwrap();
        assert_eq!(read, Control::Connect { port: 9000 });
        assert_eq!(fds.len(), 1);
        send(&fds[0], b"through", &[]).unwrap();
        let (length, _) = receive(&d, &mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..length], b"through");
    }

    #[test]
    fn a_gone_peer_is_the_end_and_not_a_signal() {
        let (a, b) = pair().unwrap();
        drop(b);
        assert_eq!(receive(&a, &mut [0; 8]).unwrap().map(|got| got.0), None);
        assert_eq!(send(&a, b"x", &[]), Err(Errno::PIPE));
    }

    #[test]
    fn a_large_packet_passes_and_a_larger_one_is_refused() {
        let (a, b) = pair().unwrap();
        let large = vec![7; PACKET_BYTES_MAX];
        send(&a, &large, &[]).unwrap();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        assert_eq!(receive(&b, &mut buffer).unwrap().unwrap().0, PACKET_BYTES_MAX);
        assert_eq!(send(&a, &vec![7; PACKET_BYTES_MAX + 1], &[]), Err(Errno::MSGSIZE));
    }

    #[test]
    fn garbage_is_refused() {
        assert!(decode::<Word>(&[0xff; 16]).is_err());
        assert!(decode::<Request>(&[]).is_err());
    }
}
