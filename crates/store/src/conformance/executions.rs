//! Laws of executions: heads, names, documents, history.

use std::collections::BTreeMap;

use bytes::Bytes;
use stint_model::execution::{CallRef, Execution, ExecutionStatus, MapChild, ParentCall};
use stint_model::flow::FlowMode;
use stint_model::id::{ExecutionUid, FlowId, Mint, number_floor};
use stint_model::payload::Payload;
use stint_model::shard::{Fence, Shard};
use stint_model::time::{Span, Timestamp};

use super::life::{ACCOUNTS, START};
use super::shards::{commit, open};
use crate::batch::{Batch, Document, Put};
use crate::executions::{ExecutionList, ExecutionQuery, HistoryChunk};
use crate::store::{CommitError, Store, StoreError};

/// An execution that uses every field; what is kept of its stored form depends on it.
pub fn full() -> Execution {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let uid = |n| ExecutionUid::from_number(number_floor(START) + n);
    Execution {
        uid: uid(1),
        account: ACCOUNTS[0],
        flow: FlowId::from_number(number_floor(START)),
        flow_name: "etl".into(),
        name: "one".into(),
        mode: FlowMode::Express,
        revision: 4,
        version: Some(2),
        qualifier: "prod".into(),
        role: "role".into(),
        environment: map(&[("A", "b")]),
        tags: map(&[("team", "x")]),
        input: Payload::Inline(Bytes::from_static(br#"{"a":1}"#)),
        started_at: START,
        parent: Some(ParentCall {
            execution: uid(9),
            call: CallRef { entered: 7, attempt: 1 },
            unit: Some(3),
        }),
        callback: Some("token".into()),
        schedule: Some("nightly".into()),
        depth: 2,
        map: Some(MapChild { step: "Each".into(), items: 5 }),
        status: ExecutionStatus::Failed,
        ended_at: START + Span::from_secs(1),
        output: Payload::Blob { name: "execution/1".into(), len: 9 },
        error: Some("E".into()),
        cause: Some("c".into()),
        events: 12,
        redrives: 1,
    }
}

/// Makes executions of one shard.
struct Made {
    mint: Mint,
    now: Timestamp,
}

impl Made {
    fn new() -> Self {
        Self { mint: Mint::resume(Shard::FIRST, 0), now: START }
    }

    /// A plain one that runs, of the `n`-th flow.
    fn of(&mut self, n: u64, name: &str) -> Execution {
        self.now = self.now + Span::from_millis(2);
        let full = full();
        Execution {
            uid: self.mint.execution(self.now),
            flow: FlowId::from_number(number_floor(START) + n),
            name: name.to_owned(),
            started_at: self.now,
            parent: None,
            map: None,
            status: ExecutionStatus::Running,
            ended_at: Timestamp::ZERO,
            output: Payload::empty(),
            error: None,
            cause: None,
            tags: BTreeMap::new(),
            schedule: None,
            qualifier: String::new(),
            ..full
        }
    }

    /// A child of a map run of `parent`.
    fn child(&mut self, parent: &Execution, unit: u64) -> Execution {
        let call = CallRef { entered: 7, attempt: 1 };
        Execution {
            parent: Some(ParentCall { execution: parent.uid, call, unit: Some(unit) }),
            map: Some(MapChild { step: "Each".into(), items: 1 }),
            ..self.of(0, &unit.to_string())
        }
    }
}

fn new(execution: &Execution) -> Put {
    Put::Execution { is_new: true, execution: Box::new(execution.clone()) }
}

fn changed(execution: &Execution) -> Put {
    Put::Execution { is_new: false, execution: Box::new(execution.clone()) }
}

fn document(execution: &Execution, is_open: bool, text: &'static str) -> Put {
    let (wake_at, asks) = (execution.started_at + Span::from_secs(60), text == "asks");
    let body = Bytes::from_static(text.as_bytes());
    let document = Some(Document { is_open, wake_at, asks, body });
    Put::Document { execution: execution.uid, document }
}

fn history(execution: &Execution, first: u64, count: u32) -> Put {
    let body = Bytes::from(format!("{first}+{count}"));
    Put::History { execution: execution.uid, first, count, body }
}

async fn put(store: &dyn Store, fence: Fence, puts: Vec<Put>) {
    commit(store, fence, |batch| batch.puts.extend(puts)).await;
}

async fn refused(store: &dyn Store, fence: Fence, puts: Vec<Put>) -> CommitError {
    let mut batch = Batch::new(fence);
    batch.puts = puts;
    store.commit(batch).await.expect_err("is refused")
}

async fn get(store: &dyn Store, uid: ExecutionUid) -> Option<Execution> {
    store.execution_get(&[uid]).await.expect("reads").remove(0)
}

async fn find(store: &dyn Store, execution: &Execution) -> Option<ExecutionUid> {
    let name = (execution.list(), execution.name.clone());
    store.execution_find(&[name]).await.expect("finds").remove(0)
}

/// With every field, and changed; several in the order asked for.
pub async fn an_execution_reads_as_written(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let (mut made, whole) = (Made::new(), full());
    let mut one = made.of(0, "plain");
    put(store, fence, vec![new(&whole), new(&one)]).await;
    one.status = ExecutionStatus::Succeeded;
    one.ended_at = one.started_at + Span::from_secs(1);
    one.output = Payload::Inline(Bytes::from_static(b"{}"));
    put(store, fence, vec![changed(&one)]).await;
    let missing = made.of(0, "missing").uid;
    let found = store.execution_get(&[one.uid, missing, whole.uid]).await.expect("reads");
    assert_eq!(found, [Some(one.clone()), None, Some(whole.clone())]);
    assert_eq!(find(store, &whole).await, Some(whole.uid));
    assert_eq!(find(store, &one).await, Some(one.uid));
}

/// By its uid or its name, in the book or in the batch; nothing of the batch is written.
pub async fn a_duplicate_execution_refuses_the_batch(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let (one, same) = (made.of(0, "same"), made.of(0, "same"));
    put(store, fence, vec![new(&one)]).await;
    let other = made.of(0, "other");
    let twice = Execution { name: "again".into(), ..one.clone() };
    for bad in [&same, &twice] {
        let error = refused(store, fence, vec![new(&other), new(bad)]).await;
        assert!(matches!(error, CommitError::ExecutionExists(uid) if uid == bad.uid), "{error}");
        assert_eq!(get(store, other.uid).await, None);
    }
    let (third, fourth) = (made.of(0, "x"), made.of(0, "x"));
    let error = refused(store, fence, vec![new(&third), new(&fourth)]).await;
    assert!(matches!(error, CommitError::ExecutionExists(uid) if uid == fourth.uid), "{error}");
}

/// Other flows may use it too, and so may a map run's children.
pub async fn a_name_is_unique_in_its_list_only(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let (one, other) = (made.of(0, "1"), made.of(1, "1"));
    let child = made.child(&one, 1);
    put(store, fence, vec![new(&one), new(&other), new(&child)]).await;
    for execution in [&one, &other, &child] {
        assert_eq!(find(store, execution).await, Some(execution.uid));
    }
}

/// It would be half of one.
pub async fn an_unknown_execution_cannot_be_changed(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let one = Made::new().of(0, "one");
    let error = refused(store, fence, vec![changed(&one)]).await;
    assert!(matches!(error, CommitError::ExecutionMissing(uid) if uid == one.uid), "{error}");
}

/// What recovery reads; a document that is kept closed is still read by its uid.
pub async fn a_document_is_open_until_it_is_not(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let all: Vec<Execution> = (0..4).map(|n| made.of(0, &format!("e{n}"))).collect();
    let puts = all.iter().flat_map(|one| [new(one), document(one, true, "asks")]).collect();
    put(store, fence, puts).await;
    let first = store.execution_open(Shard::FIRST, None, 3).await.expect("reads");
    assert_eq!(
        first.iter().map(|open| open.uid).collect::<Vec<_>>(),
        [0, 1, 2].map(|n: usize| all[n].uid)
    );
    assert!(first[0].asks && first[0].wake_at == all[0].started_at + Span::from_secs(60));
    let rest = store.execution_open(Shard::FIRST, Some(all[2].uid), 3).await.expect("reads");
    assert_eq!(rest.len(), 1);
    assert!(store.execution_open(Shard::new(1), None, 3).await.expect("reads").is_empty());
    let gone = Put::Document { execution: all[1].uid, document: None };
    let puts = vec![document(&all[0], false, "closed"), gone, document(&all[2], true, "later")];
    put(store, fence, puts).await;
    let open = store.execution_open(Shard::FIRST, None, 9).await.expect("reads");
    assert_eq!(open.iter().map(|open| open.uid).collect::<Vec<_>>(), [all[2].uid, all[3].uid]);
    assert!(!open[0].asks);
    let uids: Vec<_> = all.iter().map(|one| one.uid).collect();
    let read = store.execution_document(&uids).await.expect("reads");
    let texts: Vec<_> = read.iter().map(|body| body.as_ref().map(|body| body.to_vec())).collect();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(texts, [text("closed"), None, text("later"), text("asks")]);
    put(store, fence, vec![document(&all[0], true, "again")]).await;
    let open = store.execution_open(Shard::FIRST, None, 9).await.expect("reads");
    assert_eq!(open.len(), 3, "what was closed may be opened again");
    assert_eq!(
        store.execution_document(&uids[..1]).await.expect("reads")[0].as_deref(),
        Some(&b"again"[..])
    );
}

/// By chunks, whole ones.
pub async fn history_is_read_from_any_event_in_both_directions(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let (one, other) = (made.of(0, "one"), made.of(0, "two"));
    let rows =
        vec![history(&one, 1, 3), history(&one, 4, 1), history(&one, 5, 6), history(&other, 1, 2)];
    put(store, fence, rows).await;
    let firsts = |chunks: Vec<HistoryChunk>| chunks.iter().map(|c| c.first).collect::<Vec<_>>();
    for (from, expected) in [
        (0, vec![1, 4, 5]),
        (1, vec![1, 4, 5]),
        (3, vec![1, 4, 5]),
        (4, vec![4, 5]),
        (10, vec![5]),
        (11, vec![]),
    ] {
        let read = store.history_list(one.uid, (from, false), 9).await.expect("reads");
        assert_eq!(firsts(read), expected, "from {from}");
    }
    let read = store.history_list(one.uid, (3, false), 2).await.expect("reads");
    assert_eq!(firsts(read), [1, 4]);
    for (from, expected) in [(u64::MAX, vec![5, 4, 1]), (4, vec![4, 1]), (3, vec![1]), (0, vec![])]
    {
        let read = store.history_list(one.uid, (from, true), 9).await.expect("reads");
        assert_eq!(firsts(read), expected, "down from {from}");
    }
    let read = store.history_list(one.uid, (5, false), 9).await.expect("reads");
    assert_eq!((read[0].count, &read[0].body[..]), (6, &b"5+6"[..]));
}

/// Not even with the same.
pub async fn history_is_never_rewritten(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let one = Made::new().of(0, "one");
    put(store, fence, vec![new(&one), history(&one, 1, 2)]).await;
    let error = refused(store, fence, vec![history(&one, 1, 2)]).await;
    assert!(matches!(error, CommitError::HistoryExists(uid) if uid == one.uid), "{error}");
    let error = refused(store, fence, vec![history(&one, 3, 1), history(&one, 3, 1)]).await;
    assert!(matches!(error, CommitError::HistoryExists(_)), "{error}");
}

async fn listed(store: &dyn Store, query: &ExecutionQuery) -> Vec<String> {
    let page = store.execution_list(query).await.expect("lists");
    page.items.into_iter().map(|one| one.name).collect()
}

/// Each condition alone and in every list; children stand in a list of their own.
pub async fn executions_are_listed_by_condition(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let mut all: Vec<Execution> = (0..6).map(|n| made.of(n % 2, &format!("e{n}"))).collect();
    all[0].status = ExecutionStatus::Failed;
    all[0].error = Some("Boom".into());
    all[0].ended_at = all[0].started_at;
    all[2].tags.insert("team".into(), "x".into());
    all[2].qualifier = "prod".into();
    all[4].schedule = Some("nightly".into());
    all[5].account = ACCOUNTS[1];
    let children: Vec<Execution> = (0..3).map(|unit| made.child(&all[0], unit)).collect();
    put(store, fence, all.iter().chain(&children).map(new).collect()).await;
    let flow = ExecutionList::Flow(all[0].flow);
    let base = || ExecutionQuery::of(flow);
    assert_eq!(listed(store, &base()).await, ["e4", "e2", "e0"]);
    let up = ExecutionQuery { ascending: true, ..base() };
    assert_eq!(listed(store, &up).await, ["e0", "e2", "e4"]);
    let account = ExecutionQuery::of(ExecutionList::Account(ACCOUNTS[0]));
    assert_eq!(listed(store, &account).await, ["e4", "e3", "e2", "e1", "e0"]);
    let of = ExecutionQuery::of(ExecutionList::Children(all[0].uid));
    assert_eq!(listed(store, &of).await, ["2", "1", "0"]);
    let other_call = ExecutionQuery { call: Some((8, 1)), ..of.clone() };
    assert!(listed(store, &other_call).await.is_empty());
    let (failed, running) = (ExecutionStatus::Failed, ExecutionStatus::Running);
    for (query, expected) in [
        (ExecutionQuery { statuses: vec![failed], ..base() }, vec!["e0"]),
        (ExecutionQuery { statuses: vec![running], ..base() }, vec!["e4", "e2"]),
        (ExecutionQuery { statuses: vec![running, failed], ..base() }, vec!["e4", "e2", "e0"]),
        (ExecutionQuery { from: Some(all[2].started_at), ..base() }, vec!["e4", "e2"]),
        (ExecutionQuery { until: Some(all[2].started_at), ..base() }, vec!["e0"]),
        (ExecutionQuery { name_prefix: Some("e2".into()), ..base() }, vec!["e2"]),
        (ExecutionQuery { qualifier: Some("prod".into()), ..base() }, vec!["e2"]),
        (ExecutionQuery { schedule: Some("nightly".into()), ..base() }, vec!["e4"]),
        (ExecutionQuery { tags: vec![("team".into(), "x".into())], ..base() }, vec!["e2"]),
        (ExecutionQuery { error: Some("Boom".into()), ..base() }, vec!["e0"]),
        (ExecutionQuery { call: Some((7, 1)), ..of.clone() }, vec!["2", "1", "0"]),
    ] {
        assert_eq!(listed(store, &query).await, expected, "{query:?}");
    }
}

/// What comes meanwhile moves nothing across pages; a foreign token is refused.
pub async fn paging_executions_is_stable(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let all: Vec<Execution> = (0..7).map(|n| made.of(0, &format!("e{n}"))).collect();
    put(store, fence, all.iter().map(new).collect()).await;
    let mut query =
        ExecutionQuery { limit: 3, ..ExecutionQuery::of(ExecutionList::Flow(all[0].flow)) };
    let mut names = Vec::new();
    loop {
        let page = store.execution_list(&query).await.expect("lists");
        names.extend(page.items.into_iter().map(|one| one.name));
        put(store, fence, vec![new(&made.of(0, &format!("later{}", names.len())))]).await;
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]);
    query.cursor = Some("tsk_0".into());
    assert!(matches!(store.execution_list(&query).await, Err(StoreError::BadCursor)));
}

/// And frees its name.
pub async fn a_forgotten_execution_leaves_nothing(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let (one, next) = (made.of(0, "one"), made.of(0, "one"));
    let rows = vec![new(&one), document(&one, true, "x"), history(&one, 1, 2)];
    put(store, fence, rows).await;
    let forget = Put::ForgetExecution { execution: one.uid };
    put(store, fence, vec![forget.clone(), new(&next)]).await;
    assert_eq!(get(store, one.uid).await, None);
    assert_eq!(store.execution_document(&[one.uid]).await.expect("reads"), [None]);
    assert!(store.history_list(one.uid, (0, false), 9).await.expect("reads").is_empty());
    assert!(store.execution_open(Shard::FIRST, None, 9).await.expect("reads").is_empty());
    assert_eq!(find(store, &next).await, Some(next.uid));
    put(store, fence, vec![forget]).await;
}

/// By its end, not by its start.
pub async fn an_ended_execution_grows_old(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut made = Made::new();
    let mut all: Vec<Execution> = (0..4).map(|n| made.of(0, &format!("e{n}"))).collect();
    let day = Span::from_secs(86_400);
    for (one, ended_at) in all.iter_mut().skip(1).zip([START + day, START + day + day, START]) {
        one.status = ExecutionStatus::Succeeded;
        one.ended_at = ended_at;
    }
    put(store, fence, all.iter().map(new).collect()).await;
    let before = START + day + Span::from_secs(1);
    let old = store.execution_old(Shard::FIRST, before, 9).await.expect("reads");
    assert_eq!(old, [all[1].uid, all[3].uid]);
    assert_eq!(store.execution_old(Shard::FIRST, before, 1).await.expect("reads"), [all[1].uid]);
}

/// So that none is given twice.
pub async fn execution_ids_count_as_minted(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let one = Made::new().of(0, "one");
    put(store, fence, vec![new(&one)]).await;
    let opened = store.shard_open(Shard::FIRST, START).await.expect("opens");
    assert!(opened.minted_max >= one.uid.number());
}
