//! Laws of the journal.

use bytes::Bytes;
use stint_model::time::{Span, Timestamp};

use super::life::START;
use crate::journal::{Chunk, Journal, JournalQuery, Scope};

fn at(seconds: u64) -> Timestamp {
    START + Span::from_secs(seconds)
}

fn chunk(stream: &str, subject: &str, seconds: u64) -> Chunk {
    let body = Bytes::from(format!("{stream} {subject} {seconds}"));
    Chunk { seq: 0, stream: stream.into(), subject: subject.into(), at: at(seconds), body }
}

fn query(stream: &str) -> JournalQuery {
    JournalQuery { stream: stream.into(), limit: 100, ..JournalQuery::default() }
}

async fn bodies(journal: &dyn Journal, query: JournalQuery) -> Vec<String> {
    let chunks = journal.range(&query).await.expect("reads");
    let text = |chunk: Chunk| String::from_utf8(chunk.body.to_vec()).expect("text");
    chunks.into_iter().map(text).collect()
}

async fn fill(journal: &dyn Journal) -> u64 {
    let first = journal.append(vec![chunk("a", "x", 1), chunk("b", "x", 2), chunk("a", "y", 3)]);
    let first = first.await.expect("appends");
    let last = journal.append(vec![chunk("a", "x", 4)]).await.expect("appends");
    assert!(last > first);
    last
}

/// Both ways, with their numbers.
pub async fn pieces_come_back_in_order(journal: &dyn Journal) {
    let last = fill(journal).await;
    assert_eq!(bodies(journal, query("a")).await, ["a x 1", "a y 3", "a x 4"]);
    let newest = JournalQuery { descending: true, limit: 2, ..query("a") };
    assert_eq!(bodies(journal, newest.clone()).await, ["a x 4", "a y 3"]);
    let pieces = journal.range(&newest).await.expect("reads");
    assert_eq!(pieces[0], Chunk { seq: last, ..chunk("a", "x", 4) });
}

/// And a subject within it.
pub async fn a_stream_holds_only_its_own(journal: &dyn Journal) {
    fill(journal).await;
    assert_eq!(bodies(journal, query("b")).await, ["b x 2"]);
    assert!(bodies(journal, query("c")).await.is_empty());
    let subject = JournalQuery { subject: Some("y".into()), ..query("a") };
    assert_eq!(bodies(journal, subject).await, ["a y 3"]);
}

/// From is in, until is out, after is out.
pub async fn a_range_is_bounded_by_time_and_number(journal: &dyn Journal) {
    let last = fill(journal).await;
    let from = JournalQuery { from: Some(at(3)), ..query("a") };
    assert_eq!(bodies(journal, from).await, ["a y 3", "a x 4"]);
    let until = JournalQuery { until: Some(at(3)), ..query("a") };
    assert_eq!(bodies(journal, until).await, ["a x 1"]);
    let after = JournalQuery { after: Some(last - 1), ..query("a") };
    assert_eq!(bodies(journal, after).await, ["a x 4"]);
    let before = JournalQuery { after: Some(last), descending: true, limit: 1, ..query("a") };
    assert_eq!(bodies(journal, before).await, ["a y 3"]);
}

/// And never a number is given twice.
pub async fn retention_drops_the_oldest_in_steps(journal: &dyn Journal) {
    let last = fill(journal).await;
    assert_eq!(journal.retain(at(4), 2).await.expect("drops"), 2);
    assert_eq!(bodies(journal, query("a")).await, ["a y 3", "a x 4"]);
    assert_eq!(journal.retain(at(4), 2).await.expect("drops"), 1);
    assert_eq!(journal.retain(at(4), 2).await.expect("drops"), 0);
    assert_eq!(journal.retain(at(5), 2).await.expect("drops"), 1);
    assert!(journal.append(vec![chunk("a", "z", 9)]).await.expect("appends") > last);
}

/// In one order, in pages that join, and nothing of a name that only begins alike.
pub async fn the_groups_below_a_name_are_read_together(journal: &dyn Journal) {
    let mut chunks = Vec::new();
    for n in 0..40 {
        let stream = ["log/7/a", "log/7/b", "log/77/a", "log/7", "log/7/c"][n % 5];
        let subject = if n % 3 == 0 { "x" } else { "y" };
        chunks.push(chunk(stream, subject, u64::try_from(n).expect("small")));
    }
    journal.append(chunks).await.expect("appends");
    let below = |limit| JournalQuery { scope: Scope::Below, limit, ..query("log/7") };
    let wanted: Vec<u64> = (0..40).filter(|n| ![2, 3].contains(&(n % 5))).collect();
    for descending in [false, true] {
        let mut found = Vec::new();
        let mut ask = JournalQuery { descending, ..below(7) };
        loop {
            let page = journal.range(&ask).await.expect("reads");
            assert!(page.iter().all(|chunk| chunk.stream.starts_with("log/7/")));
            ask.after = page.last().map(|chunk| chunk.seq);
            found.extend(page.iter().map(|chunk| chunk.at));
            if page.len() < 7 {
                break;
            }
        }
        if descending {
            found.reverse();
        }
        assert_eq!(found, wanted.iter().map(|n| at(*n)).collect::<Vec<_>>());
    }
    let subject = JournalQuery { subject: Some("x".into()), ..below(100) };
    let found = journal.range(&subject).await.expect("reads");
    assert_eq!(found.len(), wanted.iter().filter(|n| *n % 3 == 0).count());
    let window = JournalQuery { from: Some(at(5)), until: Some(at(10)), ..below(100) };
    assert_eq!(journal.range(&window).await.expect("reads").len(), 3);
}

/// And is no error.
pub async fn nothing_appended_is_nothing_read(journal: &dyn Journal) {
    let before = journal.append(Vec::new()).await.expect("appends");
    assert!(bodies(journal, query("a")).await.is_empty());
    assert_eq!(journal.append(Vec::new()).await.expect("appends"), before);
}
