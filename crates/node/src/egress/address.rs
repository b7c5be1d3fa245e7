//! What kind of place an address is. Pure.
//!
//! An address can hide another one: IPv6 has several ways to write an IPv4 address, and a router on
//! the way may take it for what it hides. So the hidden one is judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The internet.
    Public,
    /// Somebody's own network.
    Private,
    /// Nothing an instance has any business with, whoever allows what; with the reason.
    Never(&'static str),
}

/// Metadata services that lie outside the link-local ranges: whoever asks them becomes the machine.
const METADATA: &[IpAddr] = &[
    // Alibaba Cloud, Azure, Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Amazon, Google, Oracle.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0xa9fe, 0xa9fe, 0, 0)),
];

/// Judges an address.
pub(crate) fn place(address: IpAddr) -> Place {
    let address = unhidden(address);
    if METADATA.contains(&address) {
        return Place::Never("it is a cloud's metadata service");
    }
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

/// The IPv4 address that an IPv6 one stands for, if it does.
pub(crate) fn unhidden(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Mapped, translated, and both well-known prefixes of NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low] => v4(high, low),
        // Compatible, as long as it is not `::` or `::1`.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Place::Never("it is no address of a machine"),
        (127, ..) => Place::Never("it is loopback"),
        (169, 254, _) => Place::Never("it is link-local, where metadata services are"),
        (224..=239, ..) => Place::Never("it is multicast"),
        (240..=255, ..) => Place::Never("it is reserved"),
        (192, 0, 0) => Place::Never("it is reserved"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) | (198, 18..=19, _) => {
            Place::Private
        }
        _ => Place::Public,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if address.is_unspecified() {
        return Place::Never("it is no address of a machine");
    }
    if address.is_loopback() {
        return Place::Never("it is loopback");
    }
    let [first, second, ..] = address.segments();
    match first {
        0xfe80..=0xfebf => Place::Never("it is link-local, where metadata services are"),
        0xff00..=0xffff => Place::Never("it is multicast"),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Place::Private,
        // Teredo hides an address that is written backwards; nobody needs it.
        0x2001 if second == 0 => Place::Never("it is a tunnel"),
        0x2000..=0x3fff => Place::Public,
        _ => Place::Never("it is reserved"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Place {
        place(text.parse().unwrap())
    }

    #[test]
    fn what_nobody_may_reach_is_never_reached() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "2001:0:53aa:64c:0:fbff:5601:80fe",
            "100::1",
        ] {
            assert!(matches!(of(text), Place::Never(_)), "{text}: {:?}", of(text));
        }
    }

    #[test]
    fn an_address_inside_another_is_judged() {
        for hidden in
            ["::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "64:ff9b:1::{}", "::{}", "2002:{}::1"]
        {
            for (v4, expected) in [
                ("127.0.0.1", "never"),
                ("169.254.169.254", "never"),
                ("100.100.100.200", "never"),
                ("10.1.2.3", "private"),
                ("93.184.216.34", "public"),
            ] {
                let octets = v4.parse::<Ipv4Addr>().unwrap().octets();
                let written = if hidden.starts_with("2002") {
                    let [a, b, c, d] = octets;
                    format!("{a:02x}{b:02x}:{c:02x}{d:02x}")
                } else {
                    v4.to_owned()
                };
                let text = hidden.replace("{}", &written);
                let found = match of(&text) {
                    Place::Public => "public",
                    Place::Private => "private",
                    Place::Never(_) => "never",
                };
                assert_eq!(found, expected, "{text}");
            }
        }
    }

    #[test]
    fn the_rest_is_private_or_public() {
        for text in
            ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1"]
        {
            assert_eq!(of(text), Place::Private, "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2606:4700::1111"] {
            assert_eq!(of(text), Place::Public, "{text}");
        }
    }

    proptest! {
        #[test]
        fn mapping_never_changes_the_verdict(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(place(v4.into()), place(v4.to_ipv6_mapped().into()));
        }
    }
}
