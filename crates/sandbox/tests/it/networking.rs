//! Instances have networks of their own, and the node reaches their ports all the same.

use stint_sandbox::{Channel, DoorPorts, Launched, Network, Outfit, SandboxError, SpecError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{Lab, Mode, finish, modes, spec};

/// Listens on every address, greets with its name, echoes a line and ends.
const SERVER: &str = "import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', int(sys.argv[2]))); s.listen(8); print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.sendall(sys.argv[1].encode() + b' ' + c.recv(100)); c.close()";

async fn serve(lab: &Lab, name: &str, port: u16, network: Network) -> (Launched, u16) {
    let port = port.to_string();
    let mut spec = spec(&["/usr/bin/python3", "-I", "-S", "-c", SERVER, name, &port]);
    spec.network = network;
    let mut launched = lab.launcher.launch(spec).await.unwrap();
    let mut digits = Vec::new();
    loop {
        match launched.stdout.read_u8().await.unwrap() {
            b'\n' => break,
            digit => digits.push(digit),
        }
    }
    let port = String::from_utf8(digits).unwrap().parse().unwrap();
    (launched, port)
}

async fn talk(launched: &Launched, port: u16) -> String {
    let mut stream = launched.instance.connect_tcp(port).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_listen_on_the_same_port_and_each_is_reached() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let (left, _) = serve(&lab, "left", 9000, Network::Loopback).await;
        let (right, _) = serve(&lab, "right", 9000, Network::Loopback).await;
        assert_eq!(talk(&right, 9000).await, "right hello");
        assert_eq!(talk(&left, 9000).await, "left hello");
        for launched in [left, right] {
            assert_eq!(finish(launched).await.code(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_and_an_ended_instance_say_so() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let launched = lab.launcher.launch(spec(&["/bin/sleep", "1000"])).await.unwrap();
        let instance = launched.instance.clone();
        let refused = instance.connect_tcp(9000).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{mode:?}");
        instance.kill();
        finish(launched).await;
        let gone = instance.connect_tcp(9000).await.unwrap_err();
        assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionReset, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_hosts_network_the_port_is_the_hosts() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let (launched, port) = serve(&lab, "host", 0, Network::Host).await;
        assert_eq!(launched.instance.enforced().network, Network::Host);
        assert_eq!(talk(&launched, port).await, "host hello");
        finish(launched).await;
    }
}

const DOORS: Network = Network::Doors(DoorPorts { egress: 3128, api: 3129 });

/// The doors are open before the program runs, lead to whoever launched it, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn doors_lead_to_the_launcher_and_only_there() {
    let knock = "import socket, sys
for port in (3128, 3129):
    s = socket.create_connection(('127.0.0.1', port), 5); s.sendall(b'from inside ')
    print(s.recv(100).decode())
for address in ('0.0.0.0', '127.0.0.1'):
    try: socket.socket().bind((address, 3128)); print('taken over')
    except OSError: print('held')";
    for mode in modes() {
        for (parked, outfit) in [(0, Outfit::Whole), (1, Outfit::Whole), (1, Outfit::Later)] {
            let lab = Lab::with(mode, |config| config.parked = parked).await;
            let mut spec = spec(&["/usr/bin/python3", "-I", "-S", "-c", knock]);
            (spec.network, spec.outfit) = (DOORS, outfit);
            let mut launched = lab.launcher.launch(spec.clone()).await.unwrap();
            assert_eq!(launched.instance.enforced().network, DOORS);
            let doors = launched.doors.take().unwrap();
            for (door, greeting) in [(&doors.egress, "the world"), (&doors.api, "the platform")] {
                let (mut stream, from) = door.accept().await.unwrap();
                assert!(from.ip().is_loopback());
                stream.write_all(greeting.as_bytes()).await.unwrap();
            }
            let outcome = finish(launched).await;
            let said: Vec<_> = outcome.out.lines().collect();
            assert_eq!(said, ["the world", "the platform", "held", "held"], "{mode:?} {outcome:?}");
            // The namespace is still there, and nobody in it any more.
            let outside = tokio::net::TcpStream::connect("127.0.0.1:3128").await;
            assert!(outside.is_err(), "the host's own loopback has no door");
            // Without anybody behind them: closed, not hanging.
            let shut = lab.launcher.launch(spec).await.unwrap();
            drop(shut.doors);
            let launched = Launched { doors: None, ..shut };
            assert_ne!(finish(launched).await.code(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_doors_there_are_none() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let launched = lab.launcher.launch(spec(&["/bin/true"])).await.unwrap();
        assert!(launched.doors.is_none());
        finish(launched).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_network_is_only_for_those_who_are_allowed() {
    let lab = Lab::with(Mode::Own, |config| config.host_network_allowed = false).await;
    let mut spec = spec(&["/bin/true"]);
    spec.network = Network::Host;
    let refused = lab.launcher.launch(spec).await.unwrap_err();
    assert!(matches!(refused, SandboxError::HostNetworkDenied));
}

/// Connects at once: the port must be open before the program runs.
const CLIENT: &str = "import socket, sys
c = socket.create_connection(('127.0.0.1', 9001)); c.sendall(sys.argv[1].encode())
print(c.recv(100).decode())";

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_open_inside_before_the_program_runs_and_we_take_its_connections() {
    for mode in modes() {
        let lab = Lab::open(mode).await;
        let launch = |name| {
            let mut spec = spec(&["/usr/bin/python3", "-I", "-S", "-c", CLIENT, name]);
            spec.channel = Channel::Listener(9001);
            lab.launcher.launch(spec)
        };
        // Each has a port of its own, of the same number.
        let (left, right) = (launch("left").await.unwrap(), launch("right").await.unwrap());
        for (mut launched, name) in [(left, "left"), (right, "right")] {
            let listener = launched.listener.take().unwrap();
            let (mut stream, from) = listener.accept().await.unwrap();
            assert!(from.ip().is_loopback());
            let mut buffer = [0; 16];
            let length = stream.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], name.as_bytes(), "{mode:?}");
            stream.write_all(b"taken").await.unwrap();
            let outcome = finish(launched).await;
            assert_eq!((outcome.code(), outcome.out.as_str()), (0, "taken\n"), "{mode:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_never_on_the_hosts_network() {
    let lab = Lab::open(Mode::Own).await;
    let mut spec = spec(&["/bin/true"]);
    (spec.network, spec.channel) = (Network::Host, Channel::Listener(9001));
    let refused = lab.launcher.launch(spec).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Spec(SpecError::SharedListener)));
}
