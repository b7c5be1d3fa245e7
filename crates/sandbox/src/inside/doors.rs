//! The doors of an instance: listening sockets in its network namespace that somebody outside answers.
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

use crate::message::{DoorsOpen, Failure, encode, send};
use crate::spec::Network;
use crate::sys;

/// Connections that wait to be answered; more are refused by the kernel.
const BACKLOG: i32 = 128;

/// Brings up the loopback of a network of its own, makes the doors that the spec asks for, if it does,
/// and gives them away.
pub(super) fn hand_out(network: Network, control: &OwnedFd) -> Result<(), Failure> {
    let at = |stage: &'static str| move |errno: Errno| Failure::new(stage, errno);
    if network.is_own() {
        sys::loopback_up().map_err(at("starting the loopback interface"))?;
    }
    let Network::Doors(ports) = network else { return Ok(()) };
    let egress = listener(ports.egress).map_err(at("opening the door to the outside"))?;
    let api = listener(ports.api).map_err(at("opening the door to the API"))?;
    send(control, &encode(&DoorsOpen { doors: 2 }), &[egress.as_fd(), api.as_fd()])
        .map_err(at("handing out the doors"))
}

fn listener(port: u16) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}
