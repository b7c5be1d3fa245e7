//! Buckets, objects, uploads in parts and what happened to objects. An object's bytes are *runs*: each
//! was written as one stream and lies in the blob store in pieces of [`PIECE`] bytes, so that nobody
//! holds a whole object in memory and an upload in parts becomes an object without copying.

pub mod asked;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::code::{Code, Refusal};
use crate::id::AccountId;
use crate::time::Timestamp;

/// Bytes of a piece; the last one of a run has fewer.
pub const PIECE: u64 = 2 << 20;
/// The most bytes of one stream: an object put at once, or a part.
pub const STREAM_BYTES_MAX: u64 = 5 << 30;
/// The most bytes of an object.
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// The least bytes of a part that is not the last.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// The highest number of a part; the lowest is 1.
pub const PARTS_MAX: u32 = 10_000;
/// The longest key in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Names and values of an object's own metadata together, in bytes.
pub const META_BYTES_MAX: usize = 2_048;
/// Buckets of an account.
pub const BUCKETS_MAX: usize = 1_000;

/// Where the blobs of objects lie.
pub const BLOB_AREA: &str = "object/";

/// A named room for objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Whose it is. Names are unique inside an account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when somebody looks whether it is empty, to delete it; nothing is put into it meanwhile.
    pub closing_at: Option<Timestamp>,
}

/// What an object says about itself beside its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`, as it was sent.
    pub expires: Option<String>,
    /// The user's own, by name in small letters.
    pub meta: Vec<(String, String)>,
}

impl ObjectHeaders {
    /// Whether they are small enough.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn check(&self) -> Result<(), Refusal> {
        let own: usize = self.meta.iter().map(|(name, value)| name.len() + value.len()).sum();
        if own > META_BYTES_MAX {
            let message = format!(
                "metadata has {own} bytes, and {META_BYTES_MAX} are the most an object has"
            );
            return Err(Refusal::invalid(message));
        }
        let system = [
            &self.content_type,
            &self.cache_control,
            &self.content_disposition,
            &self.content_encoding,
            &self.content_language,
            &self.expires,
        ];
        let long = system.into_iter().flatten().find(|value| value.len() > META_BYTES_MAX);
        if long.is_some() {
            let message = format!("a header of an object has at most {META_BYTES_MAX} bytes");
            return Err(Refusal::invalid(message));
        }
        Ok(())
    }
}

/// One stream of bytes in the blob store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Run {
    /// Names its blobs; never used twice.
    pub id: u128,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Run {
    /// How many blobs it has.
    pub const fn pieces(self) -> u64 {
        self.bytes.div_ceil(PIECE)
    }

    /// The name of a piece's blob.
    pub fn blob(self, account: AccountId, piece: u64) -> String {
        // Spread over directories, so that none becomes large.
        format!("{BLOB_AREA}{account}/{:02x}/{:032x}.{piece}", self.id >> 120, self.id)
    }

    /// Whose blob this is: the account and the run's id.
    pub fn of_blob(name: &str) -> Option<(AccountId, u128)> {
        let mut parts = name.strip_prefix(BLOB_AREA)?.split('/');
        let (account, _, file) = (parts.next()?, parts.next()?, parts.next()?);
        let (id, _) = file.split_once('.')?;
        Some((account.parse().ok()?, u128::from_str_radix(id, 16).ok()?))
    }
}

/// A part of a piece that somebody reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Of which run.
    pub run: Run,
    /// Which piece.
    pub piece: u64,
    /// Which bytes of the piece.
    pub bytes: Range<u64>,
}

/// The slices that make up a range of bytes of runs laid end to end.
pub fn slices(runs: &[Run], range: &Range<u64>) -> Vec<Slice> {
    let mut found = Vec::new();
    let mut begin = 0;
    for run in runs {
        let end = begin + run.bytes;
        let (from, to) = (range.start.max(begin), range.end.min(end));
        let mut at = from;
        while at < to {
            let inside = at - begin;
            let piece = inside / PIECE;
            let next = (begin + (piece + 1) * PIECE).min(to);
            let base = piece * PIECE;
            found.push(Slice { run: *run, piece, bytes: inside - base..next - begin - base });
            at = next;
        }
        begin = end;
    }
    found
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Whose it is.
    pub account: AccountId,
    /// In which bucket.
    pub bucket: Arc<str>,
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// The MD5 of its bytes; of an object made of parts, the MD5 of their MD5s, a dash and their number.
    /// Hexadecimal, without quotes.
    pub etag: String,
    /// When it was written.
    pub modified_at: Timestamp,
    /// What it says about itself.
    pub headers: ObjectHeaders,
    /// Its bytes.
    pub runs: Vec<Run>,
    /// How many parts it was made of; zero for an object that was put at once.
    pub parts: u32,
}

/// An upload in parts that has not been completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// Whose it is.
    pub account: AccountId,
    /// In which bucket.
    pub bucket: Arc<str>,
    /// Of which key.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What the object will say about itself.
    pub headers: ObjectHeaders,
}

/// An uploaded part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// 1 to [`PARTS_MAX`].
    pub number: u32,
    /// The MD5 of its bytes, hexadecimal.
    pub etag: String,
    /// When it was written.
    pub modified_at: Timestamp,
    /// Its bytes.
    pub run: Run,
}

/// What was done to an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ObjectDeed {
    /// Put at once.
    Put,
    /// Copied from another.
    Copy,
    /// Put together from parts.
    Complete,
    /// Deleted.
    Delete,
    /// Deleted together with others.
    DeleteMany,
}

impl ObjectDeed {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Put, Self::Copy, Self::Complete, Self::Delete, Self::DeleteMany];

    /// As OSS names the event; stored.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Put => "oss:ObjectCreated:PutObject",
            Self::Copy => "oss:ObjectCreated:CopyObject",
            Self::Complete => "oss:ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "oss:ObjectRemoved:DeleteObject",
            Self::DeleteMany => "oss:ObjectRemoved:DeleteObjects",
        }
    }

    /// From the event's name.
    pub fn from_event(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.event() == name)
    }
}

/// Something that happened to an object, committed together with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectEvent {
    /// Rises with each event of an account, in the order of the commits: the cursor of a reader. Given
    /// by the committer.
    pub number: u64,
    /// Whose object.
    pub account: AccountId,
    /// In which bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// What was done.
    pub deed: ObjectDeed,
    /// Bytes it has, or had.
    pub bytes: u64,
    /// Its ETag, or what it was.
    pub etag: String,
    /// When.
    pub at: Timestamp,
    /// Of the request that did it.
    pub request_id: String,
    /// The access key that did it.
    pub key_id: String,
}

/// Whether a bucket may have this name: 3 to 63 small letters, digits and dashes, a letter or digit at
/// both ends; dots as S3 allows them.
///
/// # Errors
/// `InvalidBucketName`.
pub fn check_bucket_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let is_address = name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| is_plain(*b) || matches!(b, b'-' | b'.'))
        && bytes.first().is_some_and(|b| is_plain(*b))
        && bytes.last().is_some_and(|b| is_plain(*b))
        && !name.contains("..")
        && !is_address;
    if good {
        return Ok(());
    }
    let message = format!(
        "a bucket's name has 3 to 63 small letters, digits, dashes and dots, a letter or digit at both \
         ends, and is no address; got '{name}'"
    );
    Err(Refusal::new(Code::InvalidBucketName, message))
}

/// Whether an object may have this key.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let message =
            format!("an object's key has 1 to {KEY_BYTES_MAX} bytes of UTF-8; got {}", key.len());
        return Err(Refusal::invalid(message));
    }
    if key.contains('\0') {
        return Err(Refusal::invalid("an object's key has no zero byte"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;

    const RUNS: [Run; 3] = [
        Run { id: 1, bytes: 2 * PIECE + 10 },
        Run { id: 2, bytes: 0 },
        Run { id: 0xab << 120, bytes: 5 },
    ];

    #[test]
    fn a_range_is_cut_where_pieces_end() {
        let total = 2 * PIECE + 15;
        let cut = |range: Range<u64>| {
            let cut = slices(&RUNS, &range).into_iter();
            cut.map(|slice| (slice.run.id & 0xff, slice.piece, slice.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(
            cut(0..total),
            vec![(1, 0, 0..PIECE), (1, 1, 0..PIECE), (1, 2, 0..10), (0, 0, 0..5)]
        );
        assert_eq!(cut(PIECE - 1..PIECE + 1), vec![(1, 0, PIECE - 1..PIECE), (1, 1, 0..1)]);
        assert_eq!(cut(total - 6..total - 4), vec![(1, 2, 9..10), (0, 0, 0..1)]);
        assert_eq!(cut(3..3), vec![]);
    }

    #[test]
    fn every_range_has_its_bytes() {
        let total = 2 * PIECE + 15;
        let marks =
            [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 10, total - 1, total];
        for from in marks {
            for to in marks.into_iter().filter(|to| *to >= from) {
                let sum: u64 =
                    slices(&RUNS, &(from..to)).iter().map(|s| s.bytes.end - s.bytes.start).sum();
                assert_eq!(sum, to - from, "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_blob_says_whose_it_is() {
        let run = RUNS[2];
        let name = run.blob(AccountId::ROOT, 7);
        assert_eq!(name, "object/1000000000000001/ab/ab000000000000000000000000000000.7");
        assert_eq!(Run::of_blob(&name), Some((AccountId::ROOT, run.id)));
        assert_eq!(Run::of_blob("code/1000000000000001/ab/0.1"), None);
        assert_eq!((RUNS[0].pieces(), RUNS[1].pieces()), (3, 0));
    }

    #[test]
    fn names_of_buckets() {
        for good in ["abc", "my-bucket", "1.2", "logs.2026", "a".repeat(63).as_str()] {
            assert!(check_bucket_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "Abc",
            "-ab",
            "ab-",
            "a..b",
            "1.2.3.4",
            "a_b",
            "ü12",
            "a".repeat(64).as_str(),
        ] {
            assert!(check_bucket_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_of_objects() {
        assert!(check_key("a/../b ü").is_ok());
        assert!(check_key(&"k".repeat(1_024)).is_ok());
        for bad in ["", "a\0b", "k".repeat(1_025).as_str()] {
            assert!(check_key(bad).is_err());
        }
    }

    #[test]
    fn metadata_is_bounded() {
        let mut headers = ObjectHeaders::default();
        headers.meta.push(("n".to_string(), "v".repeat(2_047)));
        assert!(headers.check().is_ok());
        headers.meta.push(("m".to_string(), String::new()));
        assert!(headers.check().is_err());
    }

    #[test]
    fn deeds_are_found_by_their_events() {
        for deed in ObjectDeed::ALL {
            assert_eq!(ObjectDeed::from_event(deed.event()), Some(deed));
        }
        assert_eq!(ObjectDeed::from_event("oss:ObjectCreated"), None);
    }
}
