//! What an operator says about where instances may go, and the verdict for one destination. Pure:
//! whether an address is the node's own comes in as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::address::{Place, place, unhidden};

/// One entry of a list: `10.0.0.0/8`, `192.0.2.7:5432`, `[fd00::/8]:443`, `example.com`,
/// `*.example.com:443`, `public`, `private`, `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EgressRule {
    what: What,
    port: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Everything,
    Public,
    Private,
    /// Network and length of its prefix.
    Net(IpAddr, u8),
    Host(String),
    /// Everything below this domain, and not the domain itself.
    Below(String),
}

/// An entry that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "write an address, a network (10.0.0.0/8), a host (example.com), hosts below a domain \
     (*.example.com), `public`, `private` or `*`, each with :PORT if it is meant for one port"
)]
pub struct RuleError;

impl FromStr for EgressRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, rest) = rest.split_once(']').ok_or(RuleError)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port_of(port)?),
                None if rest.is_empty() => None,
                None => return Err(RuleError),
            };
            return Ok(Self { what: net(inner).ok_or(RuleError)?, port });
        }
        if text.matches(':').count() > 1 {
            return Ok(Self { what: net(text).ok_or(RuleError)?, port: None });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port_of(port)?)),
            None => (text, None),
        };
        let what = match name {
            "*" => What::Everything,
            "public" => What::Public,
            "private" => What::Private,
            _ => net(name).or_else(|| host(name)).ok_or(RuleError)?,
        };
        Ok(Self { what, port })
    }
}

fn port_of(text: &str) -> Result<u16, RuleError> {
    text.parse().ok().filter(|port| *port != 0).ok_or(RuleError)
}

fn net(text: &str) -> Option<What> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(length) => length.parse().ok().filter(|length| *length <= most)?,
        None => most,
    };
    Some(What::Net(address, length))
}

fn host(text: &str) -> Option<What> {
    let (below, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let digits = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if name.is_empty() || digits || !name.chars().all(plain) || name.split('.').any(str::is_empty) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(if below { What::Below(name) } else { What::Host(name) })
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let what = match &self.what {
            What::Everything => "*".to_owned(),
            What::Public => "public".to_owned(),
            What::Private => "private".to_owned(),
            What::Net(address, length) if *length == whole(address) => address.to_string(),
            What::Net(address, length) => format!("{address}/{length}"),
            What::Host(name) => name.clone(),
            What::Below(name) => format!("*.{name}"),
        };
        match self.port {
            Some(port) if what.contains(':') => write!(f, "[{what}]:{port}"),
            Some(port) => write!(f, "{what}:{port}"),
            None => f.write_str(&what),
        }
    }
}

/// Where somebody wants to go: the name they said, if they said one, and an address of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// The node itself has this address.
    pub(crate) is_own: bool,
}

impl EgressRule {
    /// Every other port stays as it is.
    pub const PUBLIC: Self = Self { what: What::Public, port: None };
    /// Networks that are not the internet.
    pub const PRIVATE: Self = Self { what: What::Private, port: None };

    fn matches(&self, to: Destination<'_>) -> bool {
        if self.port.is_some_and(|port| port != to.port) {
            return false;
        }
        let host = to.host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        match &self.what {
            What::Everything => true,
            What::Public => place(to.address) == Place::Public,
            What::Private => place(to.address) == Place::Private,
            What::Net(net, length) => {
                contains(*net, *length, to.address) || contains(*net, *length, unhidden(to.address))
            }
            What::Host(name) => host.is_some_and(|host| host == *name),
            What::Below(name) => host.is_some_and(|host| {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }),
        }
    }
}

fn contains(net: IpAddr, length: u8, address: IpAddr) -> bool {
    let length = u32::from(length);
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            let differs = u32::from(net) ^ u32::from(address);
            differs.checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            let differs = u128::from(net) ^ u128::from(address);
            differs.checked_shr(128 - length).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// What holds for one instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) allow: &'a [EgressRule],
    pub(crate) deny: &'a [EgressRule],
}

/// Names of the variables by which a function narrows its own way out.
pub(crate) const OWN_ALLOW: &str = "STINT_EGRESS_ALLOW";
pub(crate) const OWN_DENY: &str = "STINT_EGRESS_DENY";

/// What a function says about itself. It can only take away from what the operator allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Narrow {
    allow: Vec<EgressRule>,
    deny: Vec<EgressRule>,
}

impl Narrow {
    /// Reads the configured variables; an entry that cannot be read is told, not left out.
    pub(crate) fn read(environment: &BTreeMap<String, String>) -> Result<Self, String> {
        let list = |name: &str| {
            let text = environment.get(name).map_or("", String::as_str);
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            let read = |entry: &str| {
                entry.parse().map_err(|error: RuleError| format!("{name} has '{entry}': {error}"))
            };
            entries.map(read).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { allow: list(OWN_ALLOW)?, deny: list(OWN_DENY)? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    pub(crate) fn judge(&self, to: Destination<'_>) -> Result<(), Denied> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.matches(to)) {
            return Err(Denied::OwnDeny(rule.to_string()));
        }
        if self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(to)) {
            return Ok(());
        }
        Err(Denied::OwnAllow)
    }
}

/// Why somebody may not go there; reads after "because".
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Denied {
    #[error("{0}")]
    Never(&'static str),
    #[error("it is an address of this node")]
    Own,
    #[error("the operator denies {0}")]
    Listed(String),
    #[error("it is in a private network, which the operator has not allowed")]
    Private,
    #[error("it is not among what the operator allows")]
    NotListed,
    #[error("the function itself denies {0} ({OWN_DENY})")]
    OwnDeny(String),
    #[error("it is not among what the function itself allows ({OWN_ALLOW})")]
    OwnAllow,
}

impl Rules<'_> {
    /// In this order: what nobody may, what the operator denies, what the operator allows.
    pub(crate) fn judge(&self, to: Destination<'_>) -> Result<(), Denied> {
        if let Place::Never(why) = place(to.address) {
            return Err(Denied::Never(why));
        }
        if to.is_own {
            return Err(Denied::Own);
        }
        if let Some(rule) = self.deny.iter().find(|rule| rule.matches(to)) {
            return Err(Denied::Listed(rule.to_string()));
        }
        if self.allow.iter().any(|rule| rule.matches(to)) {
            return Ok(());
        }
        let is_private = place(to.address) == Place::Private;
        Err(if is_private { Denied::Private } else { Denied::NotListed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<EgressRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn judge(allow: &[&str], deny: &[&str], to: (Option<&str>, &str, u16)) -> String {
        let (allow, deny) = (rules(allow), rules(deny));
        let (host, address, port) = to;
        let to = Destination { host, address: address.parse().unwrap(), port, is_own: false };
        match (Rules { allow: &allow, deny: &deny }).judge(to) {
            Ok(()) => "ok".to_owned(),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn entries_are_read_and_shown_as_they_were() {
        for text in [
            "10.0.0.0/8",
            "192.0.2.7",
            "192.0.2.7:5432",
            "10.0.0.0/8:443",
            "fd00::/8",
            "[fd00::/8]:443",
            "::1",
            "example.com",
            "*.example.com:443",
            "public",
            "private:5432",
            "*",
            "*:25",
        ] {
            assert_eq!(text.parse::<EgressRule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.0/",
            "example..com",
            "exa mple.com",
            "example.com:0",
            "example.com:99999",
            "[fd00::/8",
            "[fd00::/8]x",
            "http://example.com",
            "**.example.com",
            ".example.com",
        ] {
            assert!(text.parse::<EgressRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_nobody_may_cannot_be_allowed() {
        for address in ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254"] {
            let allow = ["*", "127.0.0.0/8", "169.254.0.0/16", "::/0", "evil.example"];
            let said = judge(&allow, &[], (Some("evil.example"), address, 80));
            assert_ne!(said, "ok", "{address}");
        }
        let allow = rules(&["*"]);
        let to = Destination {
            host: None,
            address: "203.0.113.9".parse().unwrap(),
            port: 80,
            is_own: true,
        };
        assert_eq!(Rules { allow: &allow, deny: &[] }.judge(to), Err(Denied::Own));
    }

    #[test]
    fn a_function_can_only_take_away() {
        let own = |allow: &str, deny: &str| {
            let pairs =
                [(OWN_ALLOW.to_owned(), allow.to_owned()), (OWN_DENY.to_owned(), deny.to_owned())];
            Narrow::read(&BTreeMap::from(pairs))
        };
        let to = |host: Option<&'static str>, port| Destination {
            host,
            address: "93.184.216.34".parse().unwrap(),
            port,
            is_own: false,
        };
        let narrow = own("*.example.com:443, 93.184.216.34:80", "bad.example.com").unwrap();
        assert_eq!(narrow.judge(to(Some("a.example.com"), 443)), Ok(()));
        assert_eq!(narrow.judge(to(None, 80)), Ok(()));
        assert_eq!(narrow.judge(to(Some("a.example.com"), 22)), Err(Denied::OwnAllow));
        let denied = Denied::OwnDeny("bad.example.com".to_owned());
        assert_eq!(narrow.judge(to(Some("bad.example.com"), 443)), Err(denied));
        let open = own("", "").unwrap();
        assert!(open.is_empty() && open.judge(to(None, 1)).is_ok() && !narrow.is_empty());
        assert!(own("http://x", "").unwrap_err().contains("STINT_EGRESS_ALLOW has 'http://x'"));
        // Allowing oneself something does not make the operator allow it.
        let rules = Rules { allow: &[EgressRule::PUBLIC], deny: &[] };
        let private = Destination { address: "10.0.0.1".parse().unwrap(), ..to(None, 80) };
        assert!(own("10.0.0.0/8", "").unwrap().judge(private).is_ok());
        assert_eq!(rules.judge(private), Err(Denied::Private));
    }

    #[test]
    fn lists_decide_in_order() {
        let public = "93.184.216.34";
        let ok = "ok";
        let private = "it is in a private network, which the operator has not allowed";
        let absent = "it is not among what the operator allows";
        for (allow, deny, host, address, port, expected) in [
            (&["public"][..], &[][..], None, public, 443, ok),
            (&["public"], &[], None, "10.0.0.1", 443, private),
            (&["public", "private"], &[], None, "10.0.0.1", 443, ok),
            (&["public", "10.1.0.0/16:5432"], &[], None, "10.1.2.3", 5432, ok),
            (&["public", "10.1.0.0/16:5432"], &[], None, "10.1.2.3", 80, private),
            (&["example.com"], &[], Some("Example.COM."), public, 443, ok),
            (&["example.com"], &[], Some("www.example.com"), public, 443, absent),
            (&["*.example.com"], &[], Some("a.b.example.com"), public, 443, ok),
            (&["*.example.com"], &[], Some("example.com"), public, 443, absent),
            (&["*.example.com"], &[], Some("notexample.com"), public, 443, absent),
            (&["*.example.com"], &[], None, public, 443, absent),
            (&["*"], &["93.184.0.0/16"], None, public, 443, "the operator denies 93.184.0.0/16"),
            (
                &["*"],
                &["93.184.0.0/16"],
                None,
                "::ffff:93.184.216.34",
                443,
                "the operator denies 93.184.0.0/16",
            ),
            (&["*"], &["*:25"], Some("mail.example"), public, 25, "the operator denies *:25"),
            (
                &["*"],
                &["evil.example"],
                Some("evil.example"),
                public,
                443,
                "the operator denies evil.example",
            ),
            (&[], &[], None, public, 443, absent),
            (&["0.0.0.0/0"], &[], None, "2606:4700::1", 443, absent),
            (&["::/0"], &[], None, "2606:4700::1", 443, ok),
        ] {
            assert_eq!(judge(allow, deny, (host, address, port)), expected, "{allow:?} {address}");
        }
    }
}
