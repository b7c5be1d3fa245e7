//! What is asked of object storage: the inputs and answers of its verbs, as every door fills them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::{Object, ObjectHeaders, check_key};
use crate::code::{Code, Refusal};

/// What a request demands of the object that is there before it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// There is none (`If-None-Match: *`).
    Absent,
    /// It has this ETag (`If-Match`), or any with `*`.
    Match(String),
}

impl Condition {
    /// Whether it holds for what is there.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn check(&self, before: Option<&Object>) -> Result<(), Refusal> {
        let holds = match (self, before) {
            (Self::Any, _) | (Self::Absent, None) => true,
            (Self::Match(etag), Some(object)) => etag == "*" || *etag == object.etag,
            (Self::Absent, Some(_)) | (Self::Match(_), None) => false,
        };
        if holds {
            return Ok(());
        }
        let message = "at least one of the preconditions that were given does not hold";
        Err(Refusal::new(Code::PreconditionFailed, message))
    }
}

/// Where an object goes and what it will be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectOrder {
    /// In which bucket.
    pub bucket: String,
    /// Under which key.
    pub key: String,
    /// What it says about itself.
    pub headers: ObjectHeaders,
    /// What must be there before.
    pub condition: Condition,
}

impl ObjectOrder {
    /// Whether it may be put.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(&self) -> Result<(), Refusal> {
        check_key(&self.key)?;
        self.headers.check()
    }
}

/// The most entries of a page.
pub const PAGE_MAX: usize = 1_000;

/// Which objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectQuery {
    /// How keys begin; empty for all.
    pub prefix: String,
    /// What ends a common prefix; empty for none.
    pub delimiter: String,
    /// Keys and common prefixes after this one; empty for all.
    pub after: String,
    /// At most so many entries, up to [`PAGE_MAX`].
    pub limit: usize,
}

/// One line of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObjectEntry {
    /// An object.
    Object(Box<Object>),
    /// What the keys of several objects begin with, up to the delimiter.
    Prefix(String),
}

impl ObjectEntry {
    /// What it is sorted by.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(object) => &object.key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// A page of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectPage {
    /// By name, bytewise.
    pub entries: Vec<ObjectEntry>,
    /// Whether there are more, after the last of these.
    pub more: bool,
}

impl ObjectPage {
    /// What to ask for to go on; `None` at the end.
    pub fn next(&self) -> Option<&str> {
        self.entries.last().filter(|_| self.more).map(ObjectEntry::name)
    }
}

/// A part as whoever completes an upload names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartAsked {
    /// Its number.
    pub number: u32,
    /// The ETag it was answered with.
    pub etag: String,
}

/// An upload's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadRef<'a> {
    /// In which bucket.
    pub bucket: &'a str,
    /// Of which key.
    pub key: &'a str,
    /// Its id.
    pub id: &'a str,
}

/// Bytes of an object that become a part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartSource {
    /// In which bucket.
    pub bucket: String,
    /// Which object.
    pub key: String,
    /// Some of its bytes; all when not said.
    pub bytes: Option<Range<u64>>,
}

#[cfg(test)]
mod tests {
    use crate::id::AccountId;
    use crate::time::Timestamp;

    use super::*;

    #[test]
    fn conditions_against_what_is_there() {
        let object = Object {
            account: AccountId::ROOT,
            bucket: "b".into(),
            key: "k".into(),
            bytes: 0,
            etag: "e".into(),
            modified_at: Timestamp::ZERO,
            headers: ObjectHeaders::default(),
            runs: Vec::new(),
            parts: 0,
        };
        let table = [
            (Condition::Any, true, true),
            (Condition::Absent, true, false),
            (Condition::Match("*".into()), false, true),
            (Condition::Match("e".into()), false, true),
            (Condition::Match("f".into()), false, false),
        ];
        for (condition, without, with) in table {
            assert_eq!(condition.check(None).is_ok(), without, "{condition:?}");
            assert_eq!(condition.check(Some(&object)).is_ok(), with, "{condition:?}");
        }
    }
}
