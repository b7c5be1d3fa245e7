//! The stored form of pieces that were written close together for one request.
//!
//! ```text
//! body   = form (1 byte) · rest
//! form 1 = pieces as they are          form 2 = lz4 block of them, its length before it
//! piece  = attempt u32 · instance u128 · at i64 · len u32 · text       (little endian)
//! ```
//!
//! A body that does not read gives the pieces before the damage; a log is never refused for it.

use bytes::Bytes;
use stint_model::id::InstanceId;
use stint_model::time::{Span, Timestamp};

use crate::piece::LogPiece;

const PLAIN: u8 = 1;
const LZ4: u8 = 2;
/// Below this the frame of the compression costs more than it saves.
const COMPRESS_FROM: usize = 200;
/// No chunk of ours opens to more; a larger claim is damage.
const OPENED_BYTES_MAX: usize = 64 << 20;
/// Pieces further apart than this are not put into one chunk, so that a time window finds a chunk
/// by its first moment.
pub(crate) const SPAN_MAX: Span = Span::from_secs(5);

/// A chunk that is being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) stream: String,
    pub(crate) subject: String,
    first: Timestamp,
    last: Timestamp,
    body: Vec<u8>,
}

impl Filling {
    pub(crate) fn new(piece: &LogPiece) -> Self {
        Self {
            stream: piece.stream(),
            subject: piece.request_id.as_ref().to_owned(),
            first: piece.at,
            last: piece.at,
            body: vec![PLAIN],
        }
    }

    /// Whether a piece of this time belongs into it.
    pub(crate) fn takes(&self, at: Timestamp) -> bool {
        let (first, last) = (self.first.min(at), self.last.max(at));
        last.since(first) <= SPAN_MAX
    }

    pub(crate) fn add(&mut self, piece: &LogPiece) {
        self.first = self.first.min(piece.at);
        self.last = self.last.max(piece.at);
        let len = u32::try_from(piece.text.len()).expect("a piece is bounded by the queue");
        self.body.extend_from_slice(&piece.attempt.to_le_bytes());
        self.body.extend_from_slice(&piece.instance.0.to_le_bytes());
        self.body.extend_from_slice(&piece.at.micros().to_le_bytes());
        self.body.extend_from_slice(&len.to_le_bytes());
        self.body.extend_from_slice(&piece.text);
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn close(self) -> stint_store::Chunk {
        let body = if self.body.len() < COMPRESS_FROM {
            self.body
        } else {
            let packed = lz4_flex::block::compress_prepend_size(&self.body[1..]);
            let mut body = Vec::with_capacity(packed.len() + 1);
            body.push(LZ4);
            body.extend_from_slice(&packed);
            body
        };
        stint_store::Chunk {
            seq: 0,
            stream: self.stream,
            subject: self.subject,
            at: self.first,
            body: body.into(),
        }
    }
}

/// A piece as it is read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) attempt: u32,
    pub(crate) instance: InstanceId,
    pub(crate) at: Timestamp,
    pub(crate) text: Bytes,
}

/// The pieces of a stored body, and how many bytes were opened to see them.
pub(crate) fn open(body: &Bytes) -> (Vec<Kept>, usize) {
    let mut rest = match body.first() {
        Some(&PLAIN) => body.slice(1..),
        Some(&LZ4) => match unpack(&body[1..]) {
            Some(opened) => opened.into(),
            None => return (Vec::new(), body.len()),
        },
        Some(_) | None => return (Vec::new(), body.len()),
    };
    let opened = rest.len();
    let mut pieces = Vec::new();
    while let Some(piece) = next(&mut rest) {
        pieces.push(piece);
    }
    (pieces, opened)
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (size, block) = lz4_flex::block::uncompressed_size(packed).ok()?;
    if size > OPENED_BYTES_MAX {
        return None;
    }
    lz4_flex::block::decompress(block, size).ok()
}

fn next(rest: &mut Bytes) -> Option<Kept> {
    const HEAD: usize = 4 + 16 + 8 + 4;
    let head: [u8; HEAD] = rest.get(..HEAD)?.try_into().ok()?;
    let len = u32::from_le_bytes(head[28..].try_into().ok()?);
    let end = HEAD.checked_add(usize::try_from(len).ok()?)?;
    if rest.len() < end {
        return None;
    }
    let text = rest.split_to(end).slice(HEAD..);
    Some(Kept {
        attempt: u32::from_le_bytes(head[..4].try_into().ok()?),
        instance: InstanceId(u128::from_le_bytes(head[4..20].try_into().ok()?)),
        at: Timestamp::from_micros(i64::from_le_bytes(head[20..28].try_into().ok()?)),
        text,
    })
}

#[cfg(test)]
mod tests {
    use stint_model::id::AccountId;

    use super::*;

    fn piece(at_ms: i64, text: &str) -> LogPiece {
        LogPiece {
            account: AccountId::ROOT,
            function: "f".into(),
            request_id: "r".into(),
            attempt: 2,
            instance: InstanceId(u128::MAX - 5),
            at: Timestamp::from_millis(at_ms),
            text: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    fn filled(pieces: &[LogPiece]) -> stint_store::Chunk {
        let mut filling = Filling::new(&pieces[0]);
        pieces.iter().for_each(|piece| filling.add(piece));
        filling.close()
    }

    #[test]
    fn small_and_large_chunks_read_back() {
        for text in ["hello\n".to_owned(), "the same line again and again\n".repeat(1_000)] {
            let pieces = [piece(20, &text), piece(10, "second\n")];
            let chunk = filled(&pieces);
            assert_eq!(chunk.at, Timestamp::from_millis(10), "the earliest moment");
            let (kept, opened) = open(&chunk.body);
            assert!(opened > text.len());
            assert_eq!(kept.len(), 2);
            assert_eq!(kept[0].text, pieces[0].text);
            assert_eq!((kept[1].attempt, kept[1].at), (2, Timestamp::from_millis(10)));
            assert_eq!(kept[1].instance, InstanceId(u128::MAX - 5));
            assert!(chunk.body.len() < text.len() + 200);
        }
    }

    #[test]
    fn a_chunk_covers_a_short_time_only() {
        let filling = Filling::new(&piece(10_000, "x\n"));
        assert!(filling.takes(Timestamp::from_millis(15_000)));
        assert!(filling.takes(Timestamp::from_millis(5_000)));
        assert!(!filling.takes(Timestamp::from_millis(15_001)));
        assert!(!filling.takes(Timestamp::from_millis(4_999)));
    }

    #[test]
    fn damage_gives_what_is_before_it_and_never_panics() {
        let whole = filled(&[piece(1, "one\n"), piece(2, "two\n")]).body;
        for cut in 0..whole.len() {
            let (kept, _) = open(&whole.slice(..cut));
            assert!(kept.len() < 2);
        }
        let large = filled(&[piece(1, &"long line\n".repeat(500))]).body;
        for at in 0..large.len() {
            let mut bad = large.to_vec();
            bad[at] ^= 0xff;
            drop(open(&bad.into()));
        }
        let mut liar = vec![LZ4];
        liar.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(open(&liar.into()).0.is_empty());
    }
}
