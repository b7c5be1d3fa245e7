//! Queues, messages, topics and subscriptions: the nouns and their bounds. Lengths of time that users
//! write are whole seconds, as upstream has them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::code::Refusal;
use crate::id::{AccountId, MessageId, QueueId};
use crate::time::{Span, Timestamp};

/// The longest name of a queue, topic or subscription.
pub const NAME_MAX: usize = 255;
/// The longest tag of a message, and of a filter.
pub const TAG_MAX: usize = 16;
/// Messages of one request.
pub const BATCH_MAX: usize = 16;
/// The longest a receive waits, in seconds.
pub const WAIT_MAX: u32 = 30;
/// The longest a message is hidden from others, in seconds.
pub const VISIBILITY_MAX: u32 = 43_200;
/// The longest a message is put off, in seconds.
pub const DELAY_MAX: u32 = 604_800;
/// The least and the most a message is kept, in seconds.
pub const RETENTION: (u32, u32) = (60, 1_296_000);
/// The least bound of a message's size, in bytes.
pub const SIZE_MIN: u32 = 1_024;
/// Properties of one message.
pub const PROPERTIES_MAX: usize = 32;
/// Names and values of a message's properties together, in bytes.
pub const PROPERTY_BYTES_MAX: usize = 16 << 10;
/// The lowest priority; 1 is the highest.
pub const PRIORITY_LOW: u8 = 16;
/// The priority of who says none.
pub const PRIORITY_DEFAULT: u8 = 8;
/// Receipts after which a message may be put aside.
pub const RECEIVES_MAX: u32 = 1_000;
/// The longest endpoint of a subscription.
pub const ENDPOINT_MAX: usize = 1_024;

/// What can be set of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSettings {
    /// Seconds a sent message waits before it can be received.
    pub delay_secs: u32,
    /// The largest body, in bytes.
    pub size_max: u32,
    /// Seconds a message is kept.
    pub retention_secs: u32,
    /// Seconds a received message is hidden from others.
    pub visibility_secs: u32,
    /// Seconds a receive waits that does not say.
    pub wait_secs: u32,
    /// Whether the caller wants operations logged; kept and shown.
    pub logging: bool,
    /// Where messages go that are received too often.
    pub dead_letter: Option<DeadLetter>,
}

/// What becomes of a message that nobody can handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The queue it goes to, in the same account.
    pub queue: String,
    /// After so many receipts.
    pub receives_max: u32,
}

impl QueueSettings {
    /// What holds when nothing is said, with upstream's numbers.
    pub fn new(size_max: u32) -> Self {
        Self {
            delay_secs: 0,
            size_max,
            retention_secs: 345_600,
            visibility_secs: 30,
            wait_secs: 0,
            logging: false,
            dead_letter: None,
        }
    }

    /// Whether every value is in its bounds; `size_most` is what the installation allows.
    ///
    /// # Errors
    /// `InvalidArgument` that names the value and its bounds.
    pub fn check(&self, size_most: u32) -> Result<(), Refusal> {
        between("DelaySeconds", self.delay_secs, (0, DELAY_MAX))?;
        between("MaximumMessageSize", self.size_max, (SIZE_MIN, size_most))?;
        between("MessageRetentionPeriod", self.retention_secs, RETENTION)?;
        between("VisibilityTimeout", self.visibility_secs, (1, VISIBILITY_MAX))?;
        between("PollingWaitSeconds", self.wait_secs, (0, WAIT_MAX))?;
        let Some(dead) = &self.dead_letter else { return Ok(()) };
        check_name("queue", &dead.queue)?;
        between("MaxReceiveCount", dead.receives_max, (1, RECEIVES_MAX))
    }
}

/// Whether a value is in its bounds.
///
/// # Errors
/// `InvalidArgument` in upstream's words.
pub fn between(what: &str, value: u32, (low, high): (u32, u32)) -> Result<(), Refusal> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let message = format!("the value of {what} should be between {low} and {high}, got {value}");
    Err(Refusal::invalid(message))
}

/// Whether a text may name a queue, topic or subscription: letters, digits and hyphens, a letter or
/// digit first.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let is_good = name.len() <= NAME_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if is_good {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let message = format!(
        "'{shown}' is no name of a {what}: 1 to {NAME_MAX} letters, digits and hyphens, and no \
         hyphen first"
    );
    Err(Refusal::invalid(message))
}

/// A queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queue {
    /// Whose it is.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// Messages lie under it; emptying a queue gives it another one.
    pub id: QueueId,
    /// What was set.
    pub settings: QueueSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// The type of a property, by upstream's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertyKind {
    /// A decimal number.
    Number,
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// Bytes, in base64.
    Binary,
}

impl PropertyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Number, Self::String, Self::Boolean, Self::Binary];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Number => "NUMBER",
            Self::String => "STRING",
            Self::Boolean => "BOOLEAN",
            Self::Binary => "BINARY",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A property of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// What its value is.
    pub kind: PropertyKind,
    /// As it was written.
    pub value: String,
}

/// What a sender says: written once, never changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// Text that XML can carry.
    pub body: String,
    /// The sender's own properties.
    pub properties: BTreeMap<String, Property>,
    /// Properties that upstream gives a meaning, such as `traceparent`.
    pub system: BTreeMap<String, Property>,
    /// The tag it was published with.
    pub tag: Option<String>,
    /// The topic it was published to, for what a subscription's reader is told.
    pub origin: Option<Origin>,
    /// Message attributes of a publication, as JSON texts by name.
    pub attributes: BTreeMap<String, String>,
}

/// Where a message of a subscription comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The subscription.
    pub subscription: String,
    /// The publication's id.
    pub message: MessageId,
    /// When it was published.
    pub published_at: Timestamp,
}

impl Content {
    /// Whether it may be sent.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(&self, size_max: u32) -> Result<(), Refusal> {
        let bytes = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        between("the bytes of MessageBody", bytes, (1, size_max))?;
        if !self.body.chars().all(is_xml_char) {
            return Err(Refusal::invalid(
                "the message body has a character that XML cannot carry; encode it, in base64 say",
            ));
        }
        let all = || self.properties.iter().chain(&self.system);
        if all().count() > PROPERTIES_MAX {
            let message = format!("a message has at most {PROPERTIES_MAX} properties");
            return Err(Refusal::invalid(message));
        }
        let sum: usize = all().map(|(name, property)| name.len() + property.value.len()).sum();
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        if sum + attributes > PROPERTY_BYTES_MAX {
            let message = format!("properties have at most {PROPERTY_BYTES_MAX} bytes together");
            return Err(Refusal::invalid(message));
        }
        let texts = all().flat_map(|(name, property)| [name, &property.value]);
        if texts.into_iter().any(|text| !text.chars().all(is_xml_char)) {
            return Err(Refusal::invalid("a property has a character that XML cannot carry"));
        }
        match &self.tag {
            Some(tag) => check_tag("MessageTag", tag),
            None => Ok(()),
        }
    }
}

/// Whether XML 1.0 can carry the character.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a text may be a tag.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_tag(what: &str, tag: &str) -> Result<(), Refusal> {
    if (1..=TAG_MAX).contains(&tag.len()) && tag.chars().all(is_xml_char) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{what} has 1 to {TAG_MAX} bytes")))
}

/// What changes of a message: who holds it and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// When it can be received (again).
    pub at: Timestamp,
    /// How often it was received.
    pub received: u32,
    /// When it was received first.
    pub first_received_at: Timestamp,
    /// Names the present holder; every receipt and every change has a number of its own.
    pub holder: u64,
}

/// A message as it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// 1 to 16; lower is sooner.
    pub priority: u8,
    /// How it began: when it can be received, and who may delete it before.
    pub life: Life,
    /// What the sender said.
    pub content: Content,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Whose it is.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// What was set.
    pub settings: TopicSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// What can be set of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicSettings {
    /// The largest body, in bytes.
    pub size_max: u32,
    /// Kept and shown.
    pub logging: bool,
}

/// Where a subscription sends to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A queue of the topic's account.
    Queue(String),
    /// An address that takes a POST.
    Http(String),
    /// A function of the topic's account and its qualifier, called as a task.
    Function(String, String),
}

impl Endpoint {
    /// Reads an endpoint: `http(s)://…`, `acs:mns:{region}:{account}:queues/{queue}`,
    /// `acs:fc:{region}:{account}:functions/{function}[.{qualifier}]`.
    ///
    /// # Errors
    /// `InvalidArgument` that shows the forms.
    pub fn parse(text: &str, account: AccountId) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::invalid(format!(
                "an endpoint is http://…, https://…, acs:mns:REGION:{account}:queues/QUEUE or \
                 acs:fc:REGION:{account}:functions/FUNCTION[.QUALIFIER], all of this account"
            ))
        };
        if text.len() > ENDPOINT_MAX || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong());
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(String::from(text)));
        }
        let parts: Vec<&str> = text.splitn(5, ':').collect();
        let ["acs", service, _region, owner, resource] = parts[..] else {
            return Err(wrong());
        };
        if owner.parse::<AccountId>().ok() != Some(account) {
            return Err(wrong());
        }
        let resource = resource.trim_start_matches('/');
        match service {
            "mns" => {
                let queue = resource.strip_prefix("queues/").ok_or_else(wrong)?;
                check_name("queue", queue)?;
                Ok(Self::Queue(String::from(queue)))
            }
            "fc" => {
                let rest = resource.strip_prefix("functions/").ok_or_else(wrong)?;
                let (name, qualifier) = rest.split_once('.').unwrap_or((rest, "LATEST"));
                if !crate::id::is_name(name) || qualifier.is_empty() {
                    return Err(wrong());
                }
                Ok(Self::Function(String::from(name), String::from(qualifier)))
            }
            _ => Err(wrong()),
        }
    }

    /// As it is shown and kept.
    pub fn text(&self, region: &str, account: AccountId) -> String {
        match self {
            Self::Queue(queue) => format!("acs:mns:{region}:{account}:queues/{queue}"),
            Self::Http(url) => url.clone(),
            Self::Function(name, qualifier) => {
                format!("acs:fc:{region}:{account}:functions/{name}.{qualifier}")
            }
        }
    }
}

/// How often and when a failed notification is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NotifyStrategy {
    /// Three times, after 10 to 20 seconds each.
    #[default]
    Backoff,
    /// 176 times within a day: after 1, 2, 4 … 512 seconds, then every 512.
    Decay,
}

impl NotifyStrategy {
    /// Upstream's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backoff => "BACKOFF_RETRY",
            Self::Decay => "EXPONENTIAL_DECAY_RETRY",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Backoff, Self::Decay].into_iter().find(|strategy| strategy.word() == word)
    }

    /// When try number `tried` has failed: how long until the next, or `None` after the last. `draw` is
    /// any number; it spreads the tries of [`NotifyStrategy::Backoff`].
    pub fn pause(self, tried: u32, draw: u64) -> Option<Span> {
        match self {
            Self::Backoff if tried <= 3 => Some(Span::from_millis(10_000 + draw % 10_001)),
            Self::Decay if tried <= 176 => {
                Some(Span::from_secs(1 << tried.saturating_sub(1).min(9)))
            }
            Self::Backoff | Self::Decay => None,
        }
    }
}

/// How a notification is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ContentFormat {
    /// XML with everything about the message.
    #[default]
    Xml,
    /// JSON with everything about the message.
    Json,
    /// The body alone.
    Simplified,
}

impl ContentFormat {
    /// Upstream's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Xml => "XML",
            Self::Json => "JSON",
            Self::Simplified => "SIMPLIFIED",
        }
    }

    /// From its word; `STREAM` is what triggers call the body alone.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "STREAM" => Some(Self::Simplified),
            word => {
                [Self::Xml, Self::Json, Self::Simplified].into_iter().find(|f| f.word() == word)
            }
        }
    }
}

/// A subscription of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Whose it is.
    pub account: AccountId,
    /// Of which topic.
    pub topic: String,
    /// Unique in the topic.
    pub name: String,
    /// Where notifications wait that are not delivered yet.
    pub outbox: QueueId,
    /// What was set.
    pub settings: SubscriptionSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// What can be set of a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionSettings {
    /// Where it sends to.
    pub endpoint: Endpoint,
    /// Only messages of this tag; all when there is none.
    pub filter_tag: Option<String>,
    /// When a notification is tried again.
    pub strategy: NotifyStrategy,
    /// How a notification is written.
    pub format: ContentFormat,
}

impl SubscriptionSettings {
    /// Whether a message with this tag is for it.
    pub fn wants(&self, tag: Option<&str>) -> bool {
        self.filter_tag.as_deref().is_none_or(|wanted| tag == Some(wanted))
    }
}

/// What a holder shows to say that a message is theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// [`Life::holder`] when it was handed out.
    pub holder: u64,
}

impl core::fmt::Display for Receipt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}-{:016x}", self.message.number(), self.holder)
    }
}

impl core::str::FromStr for Receipt {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let number = |text: &str| {
            let is_hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let parsed = text.split_once('-').and_then(|(message, holder)| {
            let message = MessageId::from_number(number(message)?);
            Some(Self { message, holder: number(holder)? })
        });
        parsed.ok_or_else(|| {
            let message = "the receipt handle you provide is not valid";
            Refusal::new(crate::code::Code::ReceiptHandleError, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::code::Code;

    const ACCOUNT: AccountId = AccountId::ROOT;

    #[test]
    fn endpoints_of_the_own_account_are_read_and_shown() {
        for text in [
            "http://example.com/notifications",
            "https://example.com:8443/x?y=1",
            "acs:mns:local:1000000000000001:queues/q-1",
            "acs:fc:local:1000000000000001:functions/f.LATEST",
        ] {
            let endpoint = Endpoint::parse(text, ACCOUNT).unwrap();
            assert_eq!(endpoint.text("local", ACCOUNT), text);
        }
        for text in [
            "",
            "ftp://x",
            "acs:mns:local:1000000000000002:queues/q",
            "acs:mns:local:1000000000000001:topics/q",
            "acs:fc:local:1000000000000001:functions/",
            "acs:oss:local:1000000000000001:b",
            "http://a b",
        ] {
            assert_eq!(Endpoint::parse(text, ACCOUNT).unwrap_err().code, Code::InvalidArgument);
        }
    }

    #[test]
    fn a_notification_is_tried_as_its_strategy_says() {
        let pauses = |strategy: NotifyStrategy| {
            (1..).map_while(move |tried| strategy.pause(tried, 77)).collect::<Vec<_>>()
        };
        let backoff = pauses(NotifyStrategy::Backoff);
        assert_eq!(backoff.len(), 3);
        assert!(backoff.iter().all(|pause| (10..=20).contains(&pause.secs())));
        let decay = pauses(NotifyStrategy::Decay);
        assert_eq!(decay.len(), 176);
        assert_eq!(decay[..3].iter().map(|pause| pause.secs()).collect::<Vec<_>>(), [1, 2, 4]);
        let sum: u64 = decay.iter().map(|pause| pause.secs()).sum();
        assert!((85_000..90_000).contains(&sum), "about a day: {sum}");
    }

    #[test]
    fn settings_outside_their_bounds_are_named() {
        let good = QueueSettings::new(65_536);
        assert_eq!(good.check(65_536), Ok(()));
        let long = QueueSettings { visibility_secs: 43_201, ..good.clone() };
        assert!(long.check(65_536).unwrap_err().message.contains("VisibilityTimeout"));
        let large = QueueSettings { size_max: 65_537, ..good };
        assert!(large.check(65_536).unwrap_err().message.contains("65536"));
        for name in ["", "-a", "a_b", "a/b", &"a".repeat(256)] {
            assert!(check_name("queue", name).is_err(), "{name}");
        }
        assert_eq!(check_name("queue", "1-a"), Ok(()));
    }

    proptest! {
        #[test]
        fn receipts_read_back_and_nothing_panics(message in 0_u64..1 << 63, holder: u64, text in ".{0,40}") {
            let receipt = Receipt { message: MessageId::from_number(message), holder };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
            drop(text.parse::<Receipt>());
            drop(Endpoint::parse(&text, ACCOUNT));
        }
    }
}
