//! From a target to a connection: the node resolves, every address is judged, and the connection goes
//! to an address that was judged and to no other. A name that changes its mind between the look and
//! the connection therefore changes nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;

use async_trait::async_trait;
use stint_model::time::Span;
use stint_supervise::{Clock, Supervisor};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::address::unhidden;
use super::ask::{Host, Target};
use super::rule::{Denied, Destination, Narrow, Rules};

/// The node's own loopback, ports the operator has named.
pub(crate) const NODE_HOST: &str = "host.stint.internal";
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Why a target was not reached; the text is for the person who wrote the function.
#[derive(Debug, Error)]
pub(crate) enum ReachError {
    #[error("{target} may not be reached from a function: {address}: {why}")]
    Denied { target: Target, address: IpAddr, why: Denied },
    #[error(
        "{NODE_HOST}:{0} may not be reached from a function: the operator has not named this port in node.egress_host_ports"
    )]
    NodePort(u16),
    #[error("{0} has no address: {1}")]
    NoAddress(Target, String),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Target, std::io::Error),
    #[error("{0} did not answer in {1} s")]
    TimedOut(Target, u64),
}

/// Who says which addresses a name has.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    /// `of` bounds what one instance may ask at once.
    async fn lookup(&self, name: &str, of: &Arc<Semaphore>) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's resolver. Each question takes a thread until it is answered, also when nobody waits
/// any more; so the places are given back by the thread.
pub(crate) struct System {
    supervisor: Supervisor,
    places: Arc<Semaphore>,
}

impl System {
    pub(crate) fn new(supervisor: Supervisor, lookups_max: usize) -> Self {
        Self { supervisor, places: Arc::new(Semaphore::new(lookups_max)) }
    }
}

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str, of: &Arc<Semaphore>) -> std::io::Result<Vec<IpAddr>> {
        let own = Arc::clone(of).acquire_owned().await;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let name = name.to_owned();
        let asked = self.supervisor.blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            drop((own, place));
            found.map(|found| found.map(|address| address.ip()).collect())
        });
        asked.await.unwrap_or_else(|crash| Err(std::io::Error::other(crash.to_string())))
    }
}

/// What one attempt works with.
pub(crate) struct Reach<'a> {
    pub(crate) rules: Rules<'a>,
    /// What the function says about itself.
    pub(crate) narrow: &'a Narrow,
    pub(crate) host_ports: &'a [u16],
    pub(crate) lookup: &'a dyn Lookup,
    /// Questions of this instance.
    pub(crate) lookups: &'a Arc<Semaphore>,
    pub(crate) clock: &'a Clock,
    /// Resolving and connecting together.
    pub(crate) timeout: Span,
}

impl Reach<'_> {
    pub(crate) async fn connect(&self, target: &Target) -> Result<TcpStream, ReachError> {
        let within = self.clock.within(self.timeout, async {
            let addresses = self.admitted(target).await?;
            first(&addresses).await.map_err(|e| ReachError::Unreachable(target.clone(), e))
        });
        let timed_out = || ReachError::TimedOut(target.clone(), self.timeout.secs());
        within.await.unwrap_or_else(|| Err(timed_out()))
    }

    /// The addresses that may be connected to.
    async fn admitted(&self, target: &Target) -> Result<Vec<SocketAddr>, ReachError> {
        let port = target.port;
        let (host, addresses) = match &target.host {
            Host::Name(name) if name == NODE_HOST => {
                if !self.host_ports.contains(&port) {
                    return Err(ReachError::NodePort(port));
                }
                let address = Ipv4Addr::LOCALHOST.into();
                let to = Destination { host: Some(NODE_HOST), address, port, is_own: true };
                let denied = |why| ReachError::Denied { target: target.clone(), address, why };
                self.narrow.judge(to).map_err(denied)?;
                return Ok(vec![SocketAddr::new(address, port)]);
            }
            Host::Name(name) => {
                let found = self.lookup.lookup(name, self.lookups).await;
                let found =
                    found.map_err(|e| ReachError::NoAddress(target.clone(), e.to_string()))?;
                (Some(name.as_str()), found)
            }
            Host::Address(address) => (None, vec![*address]),
        };
        let mut admitted = Vec::new();
        let mut denied = None;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let to = Destination { host, address, port, is_own: is_own(address) };
            match self.rules.judge(to).and_then(|()| self.narrow.judge(to)) {
                Ok(()) => admitted.push(SocketAddr::new(address, port)),
                Err(why) => denied = denied.or(Some((address, why))),
            }
        }
        match denied {
            Some((address, why)) if admitted.is_empty() => {
                Err(ReachError::Denied { target: target.clone(), address, why })
            }
            None if admitted.is_empty() => {
                Err(ReachError::NoAddress(target.clone(), "its name has none".to_owned()))
            }
            Some(_) | None => Ok(admitted),
        }
    }
}

/// Whether this machine has the address: only then a socket may take it. Asked each time, so that
/// an interface that came up a moment ago counts.
fn is_own(address: IpAddr) -> bool {
    [address, unhidden(address)].into_iter().any(|address| UdpSocket::bind((address, 0)).is_ok())
}

async fn first(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::rule::EgressRule;
    use super::*;

    /// Says something else each time.
    struct Fickle(Mutex<Vec<Vec<IpAddr>>>);

    #[async_trait]
    impl Lookup for Fickle {
        async fn lookup(&self, _: &str, _: &Arc<Semaphore>) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.lock().unwrap().remove(0))
        }
    }

    /// What an attempt borrows.
    struct Bench {
        clock: Clock,
        lookup: Box<dyn Lookup>,
        lookups: Arc<Semaphore>,
        allow: Vec<EgressRule>,
        narrow: Narrow,
    }

    impl Bench {
        fn new(lookup: Box<dyn Lookup>) -> Self {
            let (clock, lookups) = (Clock::start(), Arc::new(Semaphore::new(1)));
            let (allow, narrow) = (vec!["*".parse().unwrap()], Narrow::default());
            Self { clock, lookup, lookups, allow, narrow }
        }

        fn real() -> Self {
            Self::new(Box::new(System::new(Supervisor::new(Clock::start()), 1)))
        }

        fn reach(&self) -> Reach<'_> {
            Reach {
                rules: Rules { allow: &self.allow, deny: &[] },
                narrow: &self.narrow,
                host_ports: &[7],
                lookup: &*self.lookup,
                lookups: &self.lookups,
                clock: &self.clock,
                timeout: Span::from_secs(5),
            }
        }
    }

    fn named(name: &str, port: u16) -> Target {
        Target { host: Host::Name(name.to_owned()), port }
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_changes_nothing() {
        let bench = Bench::new(Box::new(Fickle(Mutex::new(vec![
            addresses(&["203.0.113.9"]),
            addresses(&["127.0.0.1"]),
            addresses(&["169.254.169.254", "203.0.113.9"]),
            addresses(&[]),
        ]))));
        let reach = bench.reach();
        let target = named("rebind.example", 80);
        // What is connected to is what was looked at; nothing looks again.
        let first = reach.admitted(&target).await.unwrap();
        assert_eq!(first, ["203.0.113.9:80".parse().unwrap()]);
        let second = reach.admitted(&target).await.unwrap_err();
        assert!(second.to_string().contains("it is loopback"), "{second}");
        let mixed = reach.admitted(&target).await.unwrap();
        assert_eq!(mixed, ["203.0.113.9:80".parse().unwrap()], "the bad one is left out");
        assert!(matches!(reach.admitted(&target).await, Err(ReachError::NoAddress(..))));
    }

    #[tokio::test]
    async fn other_ways_to_write_loopback_do_not_help() {
        let bench = Bench::real();
        let reach = bench.reach();
        for name in ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"] {
            let refused = reach.admitted(&named(name, 80)).await.unwrap_err();
            let ok = matches!(refused, ReachError::Denied { .. } | ReachError::NoAddress(..));
            assert!(ok, "{name}: {refused}");
        }
        let mine = UdpSocket::bind("0.0.0.0:0").unwrap();
        // Any address of this machine will do; a machine without a route has loopback only.
        let address = match mine.connect("192.0.2.1:9") {
            Ok(()) => mine.local_addr().unwrap().ip(),
            Err(_) => Ipv4Addr::LOCALHOST.into(),
        };
        let target = Target { host: Host::Address(address), port: 80 };
        assert!(matches!(reach.admitted(&target).await, Err(ReachError::Denied { .. })));
    }

    #[tokio::test]
    async fn the_nodes_loopback_has_a_name_and_only_named_ports() {
        let bench = Bench::real();
        let reach = bench.reach();
        let admitted = reach.admitted(&named(NODE_HOST, 7)).await.unwrap();
        assert_eq!(admitted, ["127.0.0.1:7".parse().unwrap()]);
        let refused = reach.admitted(&named(NODE_HOST, 8)).await.unwrap_err();
        assert!(matches!(refused, ReachError::NodePort(8)));
    }
}
