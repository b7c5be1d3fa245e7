//! How much one attempt may say. Attempts are remembered in two generations of bounded size: one
//! that was silent while two generations passed starts anew, which forgives and never leaks.

use std::collections::HashMap;
use std::sync::Arc;

use stint_model::id::{AccountId, InstanceId};

use crate::piece::LogPiece;

/// Attempts per generation.
const GENERATION: usize = 32_768;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Speaker {
    account: AccountId,
    function: Arc<str>,
    request_id: Arc<str>,
    attempt: u32,
    /// Only for what an instance says between requests.
    instance: Option<InstanceId>,
}

/// What becomes of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Within the bound.
    Keep,
    /// The first piece over it: keep a line that says so.
    LastWord,
    /// Over it.
    Drop,
}

#[derive(Debug)]
pub(crate) struct Bounds {
    attempt_bytes_max: usize,
    young: HashMap<Speaker, usize>,
    old: HashMap<Speaker, usize>,
}

impl Bounds {
    pub(crate) fn new(attempt_bytes_max: usize) -> Self {
        Self { attempt_bytes_max, young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn judge(&mut self, piece: &LogPiece) -> Verdict {
        let speaker = Speaker {
            account: piece.account,
            function: Arc::clone(&piece.function),
            request_id: Arc::clone(&piece.request_id),
            attempt: piece.attempt,
            instance: piece.request_id.is_empty().then_some(piece.instance),
        };
        if self.young.len() >= GENERATION && !self.young.contains_key(&speaker) {
            self.old = std::mem::take(&mut self.young);
        }
        let before = match self.young.get(&speaker) {
            Some(said) => *said,
            None => self.old.remove(&speaker).unwrap_or(0),
        };
        let after = before.saturating_add(piece.text.len());
        self.young.insert(speaker, after);
        if after <= self.attempt_bytes_max {
            Verdict::Keep
        } else if before <= self.attempt_bytes_max {
            Verdict::LastWord
        } else {
            Verdict::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stint_model::time::Timestamp;

    use super::*;

    fn piece(request: &str, attempt: u32, instance: u128, len: usize) -> LogPiece {
        LogPiece {
            account: AccountId::ROOT,
            function: "f".into(),
            request_id: request.into(),
            attempt,
            instance: InstanceId(instance),
            at: Timestamp::ZERO,
            text: Bytes::from(vec![b'x'; len]),
        }
    }

    #[test]
    fn an_attempt_has_one_last_word() {
        let mut bounds = Bounds::new(10);
        let said: Vec<_> =
            [6, 4, 1, 1].into_iter().map(|len| bounds.judge(&piece("r", 1, 0, len))).collect();
        assert_eq!(said, [Verdict::Keep, Verdict::Keep, Verdict::LastWord, Verdict::Drop]);
        assert_eq!(bounds.judge(&piece("r", 2, 0, 5)), Verdict::Keep, "the next try is its own");
    }

    #[test]
    fn instances_between_requests_are_counted_one_by_one() {
        let mut bounds = Bounds::new(10);
        assert_eq!(bounds.judge(&piece("", 0, 1, 11)), Verdict::LastWord);
        assert_eq!(bounds.judge(&piece("", 0, 2, 5)), Verdict::Keep);
        assert_eq!(bounds.judge(&piece("", 0, 1, 5)), Verdict::Drop);
    }

    #[test]
    fn memory_is_bounded_and_the_busy_are_remembered() {
        let mut bounds = Bounds::new(10);
        assert_eq!(bounds.judge(&piece("loud", 1, 0, 11)), Verdict::LastWord);
        for n in 0..GENERATION * 3 {
            if n % 1_000 == 0 {
                assert_eq!(bounds.judge(&piece("loud", 1, 0, 1)), Verdict::Drop);
            }
            bounds.judge(&piece(&n.to_string(), 1, 0, 1));
        }
        assert!(bounds.young.len() + bounds.old.len() <= GENERATION * 2);
    }
}
