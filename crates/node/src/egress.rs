//! The way out of an instance: the node answers the door that the sandbox has handed out, decides, and
//! connects. Nothing of this runs inside.
//!
//! ```text
//! program ─► 127.0.0.1:3128 ═door═► ask (CONNECT, HTTP, SOCKS5) ─► reach (resolve, judge, connect) ─► relay
//!         ─► 127.0.0.1:3129 ═door═► the platform's API, as if over its listener
//! ```
//! What is not asked for through a door does not leave: the namespace has no other interface.

mod address;
mod ask;
mod reach;
mod relay;
mod rule;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use stint_model::id::{AccountId, InstanceId};
use stint_model::time::Span;
use stint_sandbox::{DoorPorts, Doors, Network};
use stint_supervise::{Guest, Guests, Stop, Supervisor};
use stint_wire::node::PoolSpec;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{EgressConfig, HostFor, NodeNetwork};
use crate::environment::Outside;
use crate::ports::ApiDoor;
use crate::shared::NodeShared;

use ask::{AskError, Asked, Refusal, Speech};
use reach::{Lookup, Reach, ReachError, System};
use relay::{Traffic, relay, write_all};
use rule::Rules;

pub(crate) use rule::Narrow;
pub use rule::{EgressRule, RuleError};

/// Where the doors are inside; a server of the user's own may want one of these ports.
const DOOR_PORTS: [u16; 3] = [3128, 3129, 3130];
/// From the first byte of a connection to the end of its request.
const HEAD_TIMEOUT: Span = Span::from_secs(10);
/// After a refusal: what the client still sends is read for so long, so that it sees the answer.
const LINGER: Span = Span::from_millis(500);
/// Names that one instance may ask for at once: slow ones must not hold up everybody's.
const LOOKUPS_PER_INSTANCE: usize = 8;
/// Refusals that are written to an instance's log; the rest is only counted.
const REFUSALS_LOGGED: u64 = 20;
/// After a failed accept (no file descriptors, say) a door breathes this long.
const ACCEPT_PAUSE: Span = Span::from_millis(50);

/// The network of an instance. `own_port` is where its own server listens, `narrow` what the function
/// says about itself, which only the proxy can hold it to.
pub(crate) fn network(
    config: &EgressConfig,
    spec: &PoolSpec,
    own_port: Option<u16>,
    narrow: &Narrow,
) -> Network {
    if !spec.config.internet_access {
        return Network::Loopback;
    }
    match config.network {
        NodeNetwork::None => Network::Loopback,
        // Two servers on the host's network would meet at one port.
        NodeNetwork::Host(whose)
            if own_port.is_none() && narrow.is_empty() && is_for(whose, spec.account) =>
        {
            Network::Host
        }
        NodeNetwork::Host(_) | NodeNetwork::Proxy => Network::Doors(door_ports(own_port)),
    }
}

/// The network of most functions: of those with access to the internet, of the operator's account,
/// that say nothing about it themselves.
pub(crate) fn usual(config: &EgressConfig) -> Network {
    match config.network {
        NodeNetwork::None => Network::Loopback,
        NodeNetwork::Host(_) => Network::Host,
        NodeNetwork::Proxy => Network::Doors(door_ports(None)),
    }
}

fn is_for(whose: HostFor, account: AccountId) -> bool {
    match whose {
        HostFor::Operator => account == AccountId::ROOT,
        HostFor::Everybody => true,
    }
}

fn door_ports(taken: Option<u16>) -> DoorPorts {
    let mut free = DOOR_PORTS.into_iter().filter(|port| Some(*port) != taken);
    let mut next = || free.next().expect("one of three can be taken");
    DoorPorts { egress: next(), api: next() }
}

/// What all doors of a node share.
pub(crate) struct Egress {
    config: EgressConfig,
    lookup: Box<dyn Lookup>,
    api: Arc<dyn ApiDoor>,
    keepers: Guests,
    connections: Guests,
    default_for_operator: Vec<EgressRule>,
    default_for_others: Vec<EgressRule>,
}

impl Egress {
    pub(crate) fn new(
        config: EgressConfig,
        api: Arc<dyn ApiDoor>,
        supervisor: &Supervisor,
        instances_max: usize,
    ) -> Self {
        let mut default_for_operator = vec![EgressRule::PUBLIC];
        if config.private_for_operator {
            default_for_operator.push(EgressRule::PRIVATE);
        }
        Self {
            lookup: Box::new(System::new(supervisor.clone(), config.lookups_max)),
            api,
            keepers: supervisor.guests("door", instances_max),
            connections: supervisor.guests("egress", config.connections_max),
            default_for_operator,
            default_for_others: vec![EgressRule::PUBLIC],
            config,
        }
    }

    /// What an instance on this network is told.
    pub(crate) fn outside(&self, network: Network) -> Outside {
        match network {
            Network::Loopback => Outside::default(),
            Network::Doors(ports) => Outside {
                proxy: Some(ports.egress),
                api: Some(format!("http://127.0.0.1:{}", ports.api)),
            },
            Network::Host => Outside { proxy: None, api: self.api.url() },
        }
    }

    fn rules(&self, account: AccountId) -> Rules<'_> {
        let allow = match (self.config.allow.as_slice(), account == AccountId::ROOT) {
            ([], true) => &self.default_for_operator,
            ([], false) => &self.default_for_others,
            (said, _) => said,
        };
        Rules { allow, deny: &self.config.deny }
    }
}

/// The open doors of one instance; dropping it closes them and everything behind them.
#[derive(Debug)]
pub(crate) struct Gate {
    stop: Stop,
    traffic: Arc<Traffic>,
}

impl Gate {
    /// Bytes sent and received so far.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        (get(&self.traffic.sent), get(&self.traffic.received))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// Answers the doors of an instance for as long as the gate is held. `None`: there is no place for
/// another keeper, and the doors are shut.
pub(crate) fn open(
    shared: &Arc<NodeShared>,
    spec: &Arc<PoolSpec>,
    instance: InstanceId,
    doors: Doors,
) -> Option<Gate> {
    // It was read before the launch, and has not changed.
    let narrow = Narrow::read(&spec.config.environment).ok()?;
    let stop = shared.supervisor.stop().child();
    let traffic = Arc::new(Traffic::default());
    let keeper = Keeper {
        shared: Arc::clone(shared),
        spec: Arc::clone(spec),
        instance,
        narrow,
        traffic: Arc::clone(&traffic),
        places: Arc::new(Semaphore::new(shared.egress.config.connections_per_instance)),
        lookups: Arc::new(Semaphore::new(LOOKUPS_PER_INSTANCE)),
        stop: stop.clone(),
    };
    let Some(place) = shared.egress.keepers.try_admit() else {
        tracing::warn!(%instance, "nobody is left to answer the doors of an instance");
        return None;
    };
    place.spawn(move |_| async move {
        let stop = keeper.stop.clone();
        stop.until(Arc::new(keeper).keep(doors)).await;
    });
    Some(Gate { stop, traffic })
}

struct Keeper {
    shared: Arc<NodeShared>,
    spec: Arc<PoolSpec>,
    instance: InstanceId,
    narrow: Narrow,
    traffic: Arc<Traffic>,
    places: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    stop: Stop,
}

enum Door {
    Egress,
    Api,
}

impl Keeper {
    async fn keep(self: Arc<Self>, doors: Doors) {
        let Doors { egress, api } = doors;
        loop {
            let (door, accepted) = tokio::select! {
                // An accepted connection is taken or not at all.
                accepted = accept(&egress) => (Door::Egress, accepted),
                accepted = accept(&api) => (Door::Api, accepted),
            };
            let Ok(stream) = accepted else {
                self.shared.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let place = Arc::clone(&self.places).try_acquire_owned();
            match (place, self.shared.egress.connections.try_admit()) {
                (Ok(place), Some(guest)) => Arc::clone(&self).serve(guest, place, door, stream),
                (Err(_), _) => {
                    self.full(&stream, "this instance has as many connections as it may")
                }
                (_, None) => self.full(&stream, "this node has as many connections as it may"),
            }
        }
    }

    fn serve(
        self: Arc<Self>,
        guest: Guest,
        place: OwnedSemaphorePermit,
        door: Door,
        stream: TcpStream,
    ) {
        guest.spawn(move |_| async move {
            let stop = self.stop.clone();
            let work = async {
                match door {
                    // Its buffers are large.
                    Door::Egress => Box::pin(self.converse(stream)).await,
                    Door::Api => self.shared.egress.api.serve(stream, stop.clone()).await,
                }
            };
            // The instance is gone: whatever was under way for it ends here.
            stop.until(work).await;
            drop(place);
        });
    }

    /// Not worth a place: the answer fits the empty socket, or is lost with it.
    fn full(&self, stream: &TcpStream, why: &str) {
        self.count("too-many");
        stream.try_write(&ask::refused(Speech::Connect, Refusal::TooMany, why)).ok();
    }

    async fn converse(&self, stream: TcpStream) {
        let clock = &self.shared.clock;
        let mut input = Vec::new();
        let asked = match clock.within(HEAD_TIMEOUT, read_request(&stream, &mut input)).await {
            Some(Ok(asked)) => asked,
            Some(Err(Unheard::Nonsense(speech, error))) => {
                let refused = (Refusal::BadRequest, error.to_string());
                return self.refuse(&stream, speech, refused).await;
            }
            // It left, or said nothing.
            Some(Err(Unheard::Gone)) | None => return,
        };
        let egress = &self.shared.egress;
        let reach = Reach {
            rules: egress.rules(self.spec.account),
            narrow: &self.narrow,
            host_ports: &egress.config.host_ports,
            lookup: &*egress.lookup,
            lookups: &self.lookups,
            clock,
            timeout: egress.config.connect_timeout,
        };
        let outside = match reach.connect(&asked.target).await {
            Ok(outside) => outside,
            Err(error) => {
                let refusal = match error {
                    ReachError::Denied { .. } | ReachError::NodePort(_) => Refusal::Denied,
                    ReachError::NoAddress(..) | ReachError::Unreachable(..) => Refusal::Unreachable,
                    ReachError::TimedOut(..) => Refusal::TimedOut,
                };
                return self.refuse(&stream, asked.speech, (refusal, error.to_string())).await;
            }
        };
        self.count("open");
        self.traffic.connections.fetch_add(1, Ordering::Relaxed);
        let begun = async {
            write_all(&stream, ask::accepted(asked.speech)).await?;
            write_all(&outside, &asked.first).await?;
            write_all(&outside, &input[asked.used..]).await
        };
        if begun.await.is_ok() {
            relay(&stream, &outside, &self.traffic, clock, egress.config.idle_timeout).await;
        }
    }

    /// Says no, in the client's language and, some times, in the instance's log.
    async fn refuse(&self, stream: &TcpStream, speech: Speech, refused: (Refusal, String)) {
        let (refusal, why) = refused;
        self.count(match refusal {
            Refusal::BadRequest => "bad-request",
            Refusal::Denied => "denied",
            Refusal::Unreachable => "unreachable",
            Refusal::TimedOut => "timed-out",
            Refusal::TooMany => "too-many",
        });
        if self.traffic.refused.fetch_add(1, Ordering::Relaxed) < REFUSALS_LOGGED {
            let text = Bytes::from(format!("[stint] no connection: {why}\n"));
            self.shared.log_loose(&self.spec, self.instance, text).await;
        }
        if write_all(stream, &ask::refused(speech, refusal, &why)).await.is_err() {
            return;
        }
        rustix::net::shutdown(stream, rustix::net::Shutdown::Write).ok();
        let rest = async {
            let mut nothing = [0; 4096];
            while stream.readable().await.is_ok() {
                match stream.try_read(&mut nothing) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => return,
                }
            }
        };
        self.shared.clock.within(LINGER, rest).await;
    }

    fn count(&self, verdict: &'static str) {
        metrics::counter!("stint_egress_connections_total", "verdict" => verdict).increment(1);
    }
}

async fn accept(door: &TcpListener) -> std::io::Result<TcpStream> {
    let (stream, _) = door.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// No request came of it.
enum Unheard {
    Gone,
    Nonsense(Speech, AskError),
}

/// Reads until a request is whole. What follows it stays in `input`.
async fn read_request(stream: &TcpStream, input: &mut Vec<u8>) -> Result<Asked, Unheard> {
    more(stream, input).await?;
    if input.first() != Some(&5) {
        loop {
            match ask::http(input) {
                Ok(Some(asked)) => return Ok(asked),
                Ok(None) => more(stream, input).await?,
                Err(error) => return Err(Unheard::Nonsense(Speech::Connect, error)),
            }
        }
    }
    let greeted = loop {
        match ask::greeting(input) {
            Some((answer, used)) => {
                write_all(stream, &answer).await.map_err(|_| Unheard::Gone)?;
                if answer[1] != 0 {
                    return Err(Unheard::Gone);
                }
                break used;
            }
            None => more(stream, input).await?,
        }
    };
    input.drain(..greeted);
    loop {
        match ask::socks(input) {
            Ok(Some(asked)) => return Ok(asked),
            Ok(None) => more(stream, input).await?,
            Err(error) => return Err(Unheard::Nonsense(Speech::Socks, error)),
        }
    }
}

async fn more(stream: &TcpStream, input: &mut Vec<u8>) -> Result<(), Unheard> {
    let mut piece = [0; 2048];
    loop {
        stream.readable().await.map_err(|_| Unheard::Gone)?;
        match stream.try_read(&mut piece) {
            Ok(0) => return Err(Unheard::Gone),
            Ok(n) => {
                input.extend_from_slice(&piece[..n]);
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Unheard::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn config(network: NodeNetwork) -> EgressConfig {
        EgressConfig { network, ..EgressConfig::DEFAULT }
    }

    #[test]
    fn who_gets_which_network() {
        let doors = Network::Doors(DoorPorts { egress: 3128, api: 3129 });
        let (own, other) = (AccountId::ROOT, AccountId::new(77));
        let operator = NodeNetwork::Host(HostFor::Operator);
        let everybody = NodeNetwork::Host(HostFor::Everybody);
        for (network, internet, account, port, expected) in [
            (NodeNetwork::Proxy, true, own, None, doors),
            (NodeNetwork::Proxy, true, other, Some(9000), doors),
            (NodeNetwork::Proxy, false, own, None, Network::Loopback),
            (NodeNetwork::None, true, own, None, Network::Loopback),
            (operator, true, own, None, Network::Host),
            (operator, false, own, None, Network::Loopback),
            (operator, true, other, None, doors),
            (operator, true, own, Some(9000), doors),
            (everybody, true, other, None, Network::Host),
        ] {
            let mut draft = testing::spec("custom", "x");
            draft.config_mut(|config| config.internet_access = internet);
            draft.spec.account = account;
            let none = Narrow::default();
            let found = super::network(&config(network), &draft.spec, port, &none);
            assert_eq!(found, expected, "{network:?}");
            if (internet, account, port) == (true, own, None) {
                assert_eq!(usual(&config(network)), expected, "what waits fits most");
            }
        }
        let mut draft = testing::spec("custom", "x");
        draft.config_mut(|config| config.internet_access = true);
        let said = [("STINT_EGRESS_DENY".to_owned(), "*:25".to_owned())];
        let narrow = Narrow::read(&said.into()).unwrap();
        assert_eq!(network(&config(everybody), &draft.spec, None, &narrow), doors);
    }

    #[test]
    fn a_servers_own_port_stays_free() {
        let ports = |taken| {
            let DoorPorts { egress, api } = door_ports(taken);
            (egress, api)
        };
        assert_eq!(ports(None), (3128, 3129));
        assert_eq!(ports(Some(3128)), (3129, 3130));
        assert_eq!(ports(Some(3129)), (3128, 3130));
    }
}
