//! The doors of an instance: listening sockets in its network namespace that somebody outside answers.
//! The runtime API of a program that polls is one, too.
//!
//! A socket belongs to the namespace it was made in, whoever holds it. So nothing is forwarded in
//! here and no process is needed for it: init makes the listeners, hands them out over its control
//! socket, and closes its copies. What comes through a door is then the big process's business.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, listen, socket_with,
};

use crate::message::{Failure, PortsOpen, encode, send};
use crate::spec::{Channel, LaunchSpec, Network};
use crate::sys;

/// Connections that wait to be answered; more are refused by the kernel.
const BACKLOG: i32 = 128;

/// Brings up the loopback of a network of its own, opens the ports there that the spec asks for, if it
/// does, and gives them away.
pub(super) fn hand_out(spec: &LaunchSpec, control: &OwnedFd) -> Result<(), Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    if spec.network.is_own() {
        sys::loopback_up().map_err(at("starting the loopback interface"))?;
    }
    let mut open = Vec::new();
    if let Network::Doors(ports) = spec.network {
        open.push(listener(ports.egress).map_err(at("opening the door to the outside"))?);
        open.push(listener(ports.api).map_err(at("opening the door to the API"))?);
    }
    if let Channel::Listener(port) = spec.channel {
        open.push(listener(port).map_err(at("opening the instance's port"))?);
    }
    if open.is_empty() {
        return Ok(());
    }
    let ports = u8::try_from(open.len()).expect("three at most");
    let fds: Vec<_> = open.iter().map(AsFd::as_fd).collect();
    send(control, &encode(&PortsOpen { ports }), &fds).map_err(at("handing out the ports"))
}

fn listener(port: u16) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}
