//! What Redis answers about streams, read by hand: the order and the doubles of an entry's fields stay, and
//! answers of later versions with more in them still read.

use std::fmt;
use std::str::FromStr;

use ::redis::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, json};
use stint_model::time::Timestamp;

use crate::event::Data;
use crate::reach::broken;
use crate::source::SourceError;

/// An entry's id: the moment it came in milliseconds, and its number within.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct EntryId {
    millis: u64,
    number: u64,
}

impl EntryId {
    /// When it came, unless ids were made by hand.
    pub(super) fn time(self) -> Option<Timestamp> {
        let millis = i64::try_from(self.millis).ok()?;
        millis.checked_mul(1000).map(|_| Timestamp::from_millis(millis))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, number) = text.split_once('-').unwrap_or((text, "0"));
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_plain(millis) || !is_plain(number) {
            return Err(());
        }
        let read = |part: &str| part.parse().map_err(|_| ());
        Ok(Self { millis: read(millis)?, number: read(number)? })
    }
}

/// How far one is in a stream. As text `ID` or `ID COUNT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// The last entry that was read.
    pub(super) id: EntryId,
    /// How many entries the stream was ever given up to that one, where that is known.
    pub(super) count: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            Some(count) => write!(f, "{} {count}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(' ') {
            Some((id, count)) => {
                Ok(Self { id: id.parse()?, count: Some(count.parse().map_err(|_| ())?) })
            }
            None => Ok(Self { id: text.parse()?, count: None }),
        }
    }
}

/// One entry of a stream.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    pub(super) fn size(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// `{"stream", "id", "fields": {name: text}}`; what is no text is Base64 and named in `"base64"`. The
    /// last of two fields with one name holds.
    pub(super) fn data(&self, stream: &str) -> Data {
        let (mut fields, mut encoded) = (Map::new(), Vec::new());
        for (name, value) in &self.fields {
            let name = String::from_utf8_lossy(name).into_owned();
            let text = match std::str::from_utf8(value) {
                Ok(text) => text.to_owned(),
                Err(_) => {
                    encoded.push(name.clone());
                    STANDARD.encode(value)
                }
            };
            fields.insert(name, text.into());
        }
        let mut data = json!({ "stream": stream, "id": self.id.to_string(), "fields": fields });
        if !encoded.is_empty() {
            data["base64"] = encoded.into();
        }
        Data::Json(data)
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

fn id(value: &Value) -> Option<EntryId> {
    text(value)?.parse().ok()
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        _ => &[],
    }
}

/// The value of a name in an answer of names and values in turn.
fn named<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let mut pairs = list(value).chunks_exact(2);
    pairs.find(|pair| text(&pair[0]) == Some(name)).map(|pair| &pair[1])
}

/// The entries of one stream in an answer to `XREADGROUP`; nothing in time is no entry.
pub(super) fn entries(value: &Value) -> Result<Vec<Entry>, SourceError> {
    let Some(of_stream) = list(value).first() else { return Ok(Vec::new()) };
    let entries = list(of_stream).get(1).map(list).unwrap_or_default();
    let read = |entry: &Value| {
        let [entry_id, fields] = list(entry) else { return None };
        let mut pairs = list(fields).chunks_exact(2);
        let pair = |pair: &[Value]| Some((bytes(&pair[0])?.to_vec(), bytes(&pair[1])?.to_vec()));
        Some(Entry { id: id(entry_id)?, fields: pairs.by_ref().map(pair).collect::<Option<_>>()? })
    };
    let entries: Option<Vec<Entry>> = entries.iter().map(read).collect();
    entries.ok_or_else(|| broken("read the stream", "the answer to XREADGROUP is not understood"))
}

/// The ids in an answer to `XPENDING`.
pub(super) fn pending(value: &Value) -> Vec<EntryId> {
    list(value).iter().filter_map(|line| list(line).first().and_then(id)).collect()
}

/// How many entries a group has not yet been given, where Redis knows.
pub(super) fn lag(value: &Value, group: &str) -> Option<u64> {
    let ours = |line: &&Value| named(line, "name").and_then(text) == Some(group);
    match named(list(value).iter().find(ours)?, "lag")? {
        Value::Int(lag) => u64::try_from(*lag).ok(),
        _ => None,
    }
}

/// What a stream says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct StreamInfo {
    /// The newest id that it gave.
    pub(super) last: EntryId,
    /// The newest id that was deleted by its name; Redis 7 and later say it.
    deleted: Option<EntryId>,
    /// How many entries it was ever given; Redis 7 and later say it.
    pub(super) added: Option<u64>,
    /// How many of them are no longer there.
    pub(super) gone: Option<u64>,
}

impl StreamInfo {
    pub(super) fn read(value: &Value) -> Self {
        let of = |name| named(value, name).and_then(id);
        let count = |name| match named(value, name) {
            Some(Value::Int(count)) => u64::try_from(*count).ok(),
            _ => None,
        };
        let (added, length) = (count("entries-added"), count("length"));
        Self {
            last: of("last-generated-id").unwrap_or_default(),
            deleted: of("max-deleted-entry-id"),
            added,
            gone: added.zip(length).map(|(added, length)| added.saturating_sub(length)),
        }
    }

    /// That everything after `place` is still there.
    pub(super) fn check(self, place: Place) -> Result<(), SourceError> {
        let kept = place.id;
        if let Some(deleted) = self.deleted.filter(|deleted| *deleted > kept) {
            let why = format!("the entry {deleted} was deleted before it was read");
            return Err(SourceError::Lost { why });
        }
        // A stream is cut off at its old end: when more are gone than were read, some were not.
        if let (Some(gone), Some(read)) = (self.gone, place.count)
            && gone > read
        {
            let why =
                format!("{} entries were cut off the stream before they were read", gone - read);
            return Err(SourceError::Lost { why });
        }
        if self.last > EntryId::default() && self.last < kept {
            let last = self.last;
            let why = format!("the stream was made anew: its last entry {last} is before {kept}");
            return Err(SourceError::Lost { why });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn ids_are_numbers_and_in_order() {
        let read = |text: &str| text.parse::<EntryId>();
        assert_eq!(read("1700000000000-7").unwrap().to_string(), "1700000000000-7");
        assert_eq!(read("5").unwrap().to_string(), "5-0");
        assert!(read("9-9").unwrap() < read("10-0").unwrap());
        for bad in ["", "-", "1-", "-1", "1-2-3", "+1-0", "a", "18446744073709551616-0"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("18446744073709551615-0").unwrap().time().is_none(), "no such year");
    }

    #[test]
    fn an_entry_keeps_its_fields() {
        let fields = Value::Array(vec![bulk("b"), bulk("2"), bulk("a"), bulk("x")]);
        let entry = Value::Array(vec![bulk("5-1"), fields]);
        let value =
            Value::Array(vec![Value::Array(vec![bulk("orders"), Value::Array(vec![entry])])]);
        let entries = entries(&value).unwrap();
        assert_eq!(
            entries[0].data("orders").to_json().to_string(),
            r#"{"stream":"orders","id":"5-1","fields":{"b":"2","a":"x"}}"#
        );
        let odd = Entry { id: EntryId::default(), fields: vec![(b"n".to_vec(), vec![0xff])] };
        assert_eq!(
            odd.data("s").to_json().to_string(),
            r#"{"stream":"s","id":"0-0","fields":{"n":"/w=="},"base64":["n"]}"#
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert_eq!(entries(&Value::Nil).unwrap(), []);
        let value = Value::Array(vec![Value::Array(vec![
            bulk("orders"),
            Value::Array(vec![Value::Array(vec![bulk("no id"), Value::Nil])]),
        ])]);
        assert!(entries(&value).is_err());
    }

    #[test]
    fn what_was_cut_off_is_noticed() {
        let at = |text: &str| text.parse::<Place>().unwrap();
        assert_eq!(
            (at("4-0 7").to_string(), at("4-0").to_string()),
            ("4-0 7".into(), "4-0".into())
        );
        let last = at("9-0").id;
        let info = StreamInfo { last, deleted: Some(at("4-0").id), ..StreamInfo::default() };
        assert!(info.check(at("4-0")).is_ok(), "that one was read");
        assert!(matches!(info.check(at("3-0")), Err(SourceError::Lost { .. })));
        assert!(matches!(info.check(at("10-0")), Err(SourceError::Lost { .. })));
        let cut = StreamInfo { last, gone: Some(5), ..StreamInfo::default() };
        assert!(cut.check(at("4-0 5")).is_ok(), "those were read");
        assert!(cut.check(at("4-0")).is_ok(), "nobody counted");
        assert!(matches!(cut.check(at("4-0 4")), Err(SourceError::Lost { .. })));
        assert!(StreamInfo::default().check(at("10-0")).is_ok(), "an empty one gives later ids");
    }
}
