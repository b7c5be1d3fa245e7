//! Pushing, searching, following, bounds, a failing journal, retention.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use stint_model::id::{AccountId, InstanceId};
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, OnExit, Stop, Supervised, Supervisor};
use stint_watch::{
    Followed, LogPiece, LogQuery, Logs, LogsConfig, Order, Retention, SearchError, TailFilter,
};

use crate::shelf::Shelf;

const HOUR_MS: i64 = 3_600_000;

struct House {
    logs: Logs,
    journal: Arc<Shelf>,
    clock: Clock,
    writer: Supervised,
    supervisor: Supervisor,
}

fn house(config: LogsConfig) -> House {
    let clock = Clock::start();
    let journal = Arc::new(Shelf::default());
    let (logs, writer) =
        Logs::new(Arc::clone(&journal) as Arc<dyn stint_store::Journal>, config, clock.clone());
    let supervisor = Supervisor::new(clock.clone());
    let writer = supervisor.spawn("log", OnExit::StopServer, |stop| writer.run(stop));
    House { logs, journal, clock, writer, supervisor }
}

fn piece(function: &str, request: &str, attempt: u32, at_ms: i64, text: &str) -> LogPiece {
    LogPiece {
        account: AccountId::ROOT,
        function: function.into(),
        request_id: request.into(),
        attempt,
        instance: InstanceId(9),
        at: Timestamp::from_millis(at_ms),
        text: Bytes::copy_from_slice(text.as_bytes()),
    }
}

async fn texts(logs: &Logs, query: &LogQuery) -> Vec<String> {
    let page = logs.search(query).await.unwrap();
    assert_eq!(page.next, None);
    page.lines.into_iter().map(|line| line.text).collect()
}

fn of(function: &str) -> LogQuery {
    LogQuery::of(AccountId::ROOT, function)
}

fn figure(logs: &Logs, name: &str) -> u64 {
    logs.figures().into_iter().find(|(n, _)| *n == name).unwrap().1
}

#[tokio::test]
async fn what_was_pushed_is_found_by_every_condition() {
    let House { logs, .. } = house(LogsConfig::for_tests());
    logs.push(piece("etl", "r1", 1, 1_000, "begin\nrow 17 is bad\n"));
    logs.push(piece("etl", "r1", 2, 2_000, "begin\nrow 17 is fine\n"));
    logs.push(piece("etl", "r2", 1, 3_000, "other request\n"));
    logs.push(piece("img", "r3", 1, 4_000, "other function\n"));
    let mut other = piece("etl", "r1", 1, 1_000, "other account\n");
    other.account = AccountId::new(5);
    logs.push(other);

    assert_eq!(texts(&logs, &of("etl")).await.len(), 5);
    let request = LogQuery { request_id: Some("r1".into()), ..of("etl") };
    assert_eq!(texts(&logs, &request).await, ["begin", "row 17 is bad", "begin", "row 17 is fine"]);
    let attempt = LogQuery { attempt: Some(2), ..request.clone() };
    assert_eq!(texts(&logs, &attempt).await, ["begin", "row 17 is fine"]);
    let text = LogQuery { text: Some("17 is".into()), ..of("etl") };
    assert_eq!(texts(&logs, &text).await, ["row 17 is bad", "row 17 is fine"]);
    let window = LogQuery {
        from: Some(Timestamp::from_millis(2_000)),
        until: Some(Timestamp::from_millis(3_000)),
        ..of("etl")
    };
    assert_eq!(texts(&logs, &window).await, ["begin", "row 17 is fine"]);
    let newest = LogQuery { order: Order::NewestFirst, ..request };
    assert_eq!(texts(&logs, &newest).await, ["row 17 is fine", "begin", "row 17 is bad", "begin"]);
    assert_eq!(texts(&logs, &of("nobody")).await, [""; 0]);
}

#[tokio::test]
async fn an_account_is_searched_as_a_whole() {
    let House { logs, .. } = house(LogsConfig::for_tests());
    for n in 0..200_i64 {
        let function = format!("f{}", n % 9);
        logs.push(piece(&function, &format!("r{n}"), 1, n, &format!("line {n} of {function}\n")));
        if n % 30 == 0 {
            logs.flush().await;
        }
    }
    let mut other = piece("f1", "r7", 1, 7, "another account's line\n");
    other.account = AccountId::new(5);
    logs.push(other);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut query = LogQuery { order, limit: 17, ..LogQuery::all(AccountId::ROOT) };
        let mut found = Vec::new();
        loop {
            let page = logs.search(&query).await.unwrap();
            for line in &page.lines {
                assert!(line.text.ends_with(&*line.function), "{line:?}");
            }
            found.extend(page.lines.into_iter().map(|line| line.text));
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 200);
    }
    let request = LogQuery { request_id: Some("r7".into()), ..LogQuery::all(AccountId::ROOT) };
    assert_eq!(texts(&logs, &request).await, ["line 7 of f7"]);
    let text = LogQuery { text: Some("line 19".into()), ..LogQuery::all(AccountId::ROOT) };
    assert_eq!(texts(&logs, &text).await.len(), 11);
}

#[tokio::test]
async fn pages_join_to_the_whole_from_either_end() {
    let House { logs, .. } = house(LogsConfig::for_tests());
    let mut said = Vec::new();
    for n in 0..300_i64 {
        let lines: Vec<String> =
            (0..=n % 4).map(|k| format!("line {n}.{k} of some length")).collect();
        logs.push(piece("f", &format!("r{}", n % 7), 1, n * 400, &(lines.join("\n") + "\n")));
        if n % 20 == 0 {
            logs.flush().await;
        }
        said.extend(lines);
    }
    said.sort();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for limit in [1, 7, 1_000] {
            let mut query = LogQuery { order, limit, ..of("f") };
            let mut found = Vec::new();
            loop {
                let page = logs.search(&query).await.unwrap();
                assert!(page.lines.len() <= limit);
                found.extend(page.lines.into_iter().map(|line| line.text));
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
            found.sort();
            assert_eq!(found, said, "{order:?} {limit}");
        }
    }
    let bad = LogQuery { cursor: Some("n1.1".into()), ..of("f") };
    assert!(matches!(logs.search(&bad).await, Err(SearchError::BadCursor)));
}

#[tokio::test]
async fn a_call_does_bounded_work_and_says_how_to_go_on() {
    let config = LogsConfig { search_bytes_max: 10_000, ..LogsConfig::for_tests() };
    let House { logs, .. } = house(config);
    for n in 0..400 {
        logs.push(piece("f", &format!("r{n}"), 1, n, &format!("{}\n", "x".repeat(100))));
    }
    logs.push(piece("f", "last", 1, 400, "needle\n"));
    let mut query = LogQuery { text: Some("needle".into()), ..of("f") };
    let mut calls = 0;
    let found = loop {
        let page = logs.search(&query).await.unwrap();
        calls += 1;
        assert!(page.scanned_bytes < 30_000, "{}", page.scanned_bytes);
        match page.next {
            Some(next) => {
                assert!(page.lines.is_empty());
                query.cursor = Some(next);
            }
            None => break page.lines,
        }
    };
    assert!(calls > 2, "{calls}");
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn followers_see_their_lines_and_are_told_what_they_missed() {
    let House { logs, supervisor, .. } = house(LogsConfig::for_tests());
    let filter = TailFilter {
        account: AccountId::ROOT,
        function: Some("f".into()),
        request_id: None,
        attempt: None,
    };
    let mut follower = logs.follow(filter.clone());
    logs.push(piece("g", "r", 1, 1, "not mine\n"));
    logs.push(piece("f", "r", 1, 1, "mine\n"));
    let Some(Followed::Piece(seen)) = follower.next().await else { panic!("a piece") };
    assert_eq!(seen.text, "mine\n");

    for n in 0..200 {
        logs.push(piece("f", "r", 1, n, &format!("{n}\n")));
    }
    logs.flush().await;
    let Some(Followed::Missed(missed)) = follower.next().await else { panic!("it was too slow") };
    assert!(missed >= 100, "{missed}");
    assert!(matches!(follower.next().await, Some(Followed::Piece(_))), "and goes on");

    supervisor.stop().request();
    supervisor.ended().await;
    while follower.next().await.is_some() {}
    assert_eq!(logs.follow(filter).next().await, None, "a late follower ends at once");
}

#[tokio::test]
async fn an_attempt_that_says_too_much_is_cut_and_says_so() {
    let config = LogsConfig { attempt_bytes_max: 100, ..LogsConfig::for_tests() };
    let House { logs, .. } = house(config);
    for _ in 0..20 {
        logs.push(piece("f", "loud", 1, 1, "0123456789abcdefghi\n"));
    }
    logs.push(piece("f", "loud", 2, 1, "next try\n"));
    let found = texts(&logs, &of("f")).await;
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(found[5].contains("over 100 bytes"), "{}", found[5]);
    assert_eq!(found[6], "next try");
    assert_eq!(figure(&logs, "log_cut_bytes"), 300);
}

#[tokio::test]
async fn an_overload_drops_and_the_log_tells() {
    let config = LogsConfig { queue_bytes_max: 1_000, ..LogsConfig::for_tests() };
    let House { logs, .. } = house(config);
    // The writer has no chance to run between these: the test's runtime has one thread.
    for _ in 0..30 {
        logs.push(piece("f", "r", 1, 1, &format!("{}\n", "x".repeat(99))));
    }
    let found = texts(&logs, &of("f")).await;
    assert_eq!(found.len(), 11);
    assert_eq!(found[10], "… 2000 bytes dropped");
    assert_eq!(figure(&logs, "log_dropped_bytes"), 2_000);
    logs.push(piece("f", "r", 1, 2, "room again\n"));
    assert_eq!(texts(&logs, &of("f")).await.last().unwrap(), "room again");
    assert_eq!(figure(&logs, "log_queued_bytes"), 0);
}

#[tokio::test]
async fn a_journal_that_fails_for_a_while_loses_nothing() {
    let House { logs, journal, .. } = house(LogsConfig::for_tests());
    journal.failing.store(2, Ordering::Relaxed);
    logs.push(piece("f", "r", 1, 1, "patience\n"));
    assert_eq!(texts(&logs, &of("f")).await, ["patience"]);
    assert_eq!(figure(&logs, "log_failed_appends"), 2);
}

#[tokio::test]
async fn pieces_are_written_by_themselves_and_at_a_polite_stop() {
    let House { logs, journal, writer, supervisor, .. } = house(LogsConfig::for_tests());
    logs.push(piece("f", "r", 1, 1, "by time\n"));
    let written = async {
        while journal.chunks.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("flushed by time");
    logs.push(piece("f", "r", 1, 2, "at the end\n"));
    supervisor.stop().request();
    writer.ended().await;
    assert_eq!(journal.chunks.lock().unwrap().len(), 2);
    logs.push(piece("f", "r", 1, 2, "too late\n"));
    assert_eq!(texts(&logs, &of("f")).await, ["by time", "at the end"], "searching still works");
    assert_eq!(figure(&logs, "log_dropped_bytes"), 9);
}

#[tokio::test]
async fn retention_drops_what_is_old_in_steps() {
    let House { logs, journal, clock, .. } = house(LogsConfig::for_tests());
    let now = clock.now().millis();
    for n in 0..2_500 {
        logs.push(piece("f", &format!("r{n}"), 1, now - 2 * HOUR_MS, "old\n"));
    }
    logs.push(piece("f", "new", 1, now, "new\n"));
    logs.flush().await;
    let keep =
        Retention { keep: Span::from_secs(3_600), period: Span::from_secs(60), journal, clock };
    assert_eq!(keep.pass(&Stop::new()).await.unwrap(), 2_500);
    assert_eq!(keep.pass(&Stop::new()).await.unwrap(), 0);
    assert_eq!(texts(&logs, &of("f")).await, ["new"]);
}
