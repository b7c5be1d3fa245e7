//! The shelf against a list that is searched from one end to the other.

use proptest::prelude::*;

use super::*;

fn id(number: u64) -> MessageId {
    MessageId::from_number(number)
}

fn at(secs: u64) -> Timestamp {
    Timestamp::ZERO + Span::from_secs(secs)
}

fn fresh(sent: u64, priority: u8, delay: u64, holder: u64) -> Entry {
    let life =
        Life { at: at(sent + delay), received: 0, first_received_at: Timestamp::ZERO, holder };
    Entry { sent_at: at(sent), priority, life, content: None }
}

#[test]
fn a_message_is_held_by_one_and_returns_in_its_place() {
    let mut shelf = Shelf::default();
    shelf.put(id(1), fresh(0, 8, 0, 1), at(0));
    shelf.put(id(2), fresh(0, 8, 0, 2), at(0));
    let first = shelf.next().unwrap().0;
    assert_eq!(first, id(1));
    let entry = shelf.receive(id(1), (at(0), at(30)), 7);
    assert_eq!((entry.life.received, entry.life.first_received_at), (1, at(0)));
    let receipt = Receipt { message: id(1), holder: 7 };
    assert_eq!(shelf.check(receipt, at(29)), Ok(()));
    let late = shelf.check(receipt, at(30)).unwrap_err();
    assert_eq!(late.code, Code::MessageNotExist, "the visibility time is over");
    shelf.advance(at(30));
    assert_eq!(shelf.counts(), Counts { ready: 2, delayed: 0, held: 0 });
    shelf.receive(id(1), (at(31), at(60)), 8);
    assert!(shelf.check(receipt, at(32)).is_err(), "an old receipt");
    shelf.change(id(1), (at(33), at(33)), 9);
    assert_eq!(shelf.counts().ready, 2, "shown at once");
}

#[test]
fn what_is_aside_is_nobodys() {
    let mut shelf = Shelf::default();
    shelf.put(id(1), fresh(0, 8, 0, 1), at(0));
    shelf.set_aside(id(1));
    assert!(shelf.next().is_none());
    assert_eq!(shelf.counts().held, 1);
    assert!(shelf.check(Receipt { message: id(1), holder: 1 }, at(0)).is_err());
    assert!(shelf.remove(id(1)).is_some());
    assert_eq!(shelf.len(), 0);
}

/// The reference: every question is answered by looking at everything.
#[derive(Default)]
struct List(Vec<(MessageId, Entry)>);

impl List {
    fn next(&self, now: Timestamp) -> Option<MessageId> {
        let ready = self.0.iter().filter(|(_, entry)| entry.life.at <= now);
        ready.min_by_key(|(id, entry)| (entry.priority, entry.life.at, *id)).map(|(id, _)| *id)
    }

    fn held(&self, receipt: Receipt, now: Timestamp) -> Option<usize> {
        self.0.iter().position(|(id, entry)| {
            *id == receipt.message && entry.life.holder == receipt.holder && entry.life.at > now
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { priority: u8, delay: u64 },
    Receive { hide: u64 },
    Delete { which: usize },
    Change { which: usize, hide: u64 },
    Pass { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u8..4, 0_u64..5).prop_map(|(priority, delay)| Step::Send { priority, delay }),
        (1_u64..6).prop_map(|hide| Step::Receive { hide }),
        (0_usize..12).prop_map(|which| Step::Delete { which }),
        (0_usize..12, 0_u64..6).prop_map(|(which, hide)| Step::Change { which, hide }),
        (0_u64..4).prop_map(|secs| Step::Pass { secs }),
    ]
}

proptest! {
    #[test]
    fn it_does_what_a_plain_list_does(steps in prop::collection::vec(step(), 0..120)) {
        let (mut shelf, mut list, mut seconds, mut number) = (Shelf::default(), List::default(), 0, 0);
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut holders = BTreeSet::new();
        for step in steps {
            let now = at(seconds);
            number += 1;
            shelf.advance(now);
            match step {
                Step::Send { priority, delay } => {
                    let entry = fresh(seconds, priority, delay, number);
                    receipts.push(Receipt { message: id(number), holder: number });
                    list.0.push((id(number), entry.clone()));
                    shelf.put(id(number), entry, now);
                }
                Step::Receive { hide } => {
                    let next = shelf.next().map(|(id, _)| id);
                    prop_assert_eq!(next, list.next(now));
                    if let Some(next) = next {
                        let entry = shelf.receive(next, (now, at(seconds + hide)), number);
                        let place = list.0.iter().position(|(id, _)| *id == next).unwrap();
                        list.0[place].1 = entry;
                        receipts.push(Receipt { message: next, holder: number });
                        prop_assert!(holders.insert(number), "a receipt is given once");
                    }
                }
                Step::Delete { which } if !receipts.is_empty() => {
                    let receipt = receipts[which % receipts.len()];
                    let held = list.held(receipt, now);
                    prop_assert_eq!(shelf.check(receipt, now).is_ok(), held.is_some());
                    if let Some(place) = held {
                        list.0.remove(place);
                        prop_assert!(shelf.remove(receipt.message).is_some());
                    }
                }
                Step::Change { which, hide } if !receipts.is_empty() => {
                    let receipt = receipts[which % receipts.len()];
                    if let Some(place) = list.held(receipt, now) {
                        let life = shelf.change(receipt.message, (now, at(seconds + hide)), number);
                        list.0[place].1.life = life;
                        receipts.push(Receipt { message: receipt.message, holder: number });
                    }
                }
                Step::Delete { .. } | Step::Change { .. } => {}
                Step::Pass { secs } => seconds += secs,
            }
            // At most one receipt of a message is good at any time.
            let now = at(seconds);
            let mut good: Vec<MessageId> = receipts
                .iter()
                .filter(|receipt| shelf.check(**receipt, now).is_ok())
                .map(|receipt| receipt.message)
                .collect();
            let all = good.len();
            good.dedup();
            good.sort_unstable();
            good.dedup();
            prop_assert_eq!(good.len(), all);
            prop_assert_eq!(shelf.len(), list.0.len());
        }
    }
}
