//! Laws of task rows and of finding them.

use std::sync::Arc;

use bytes::Bytes;
use stint_model::payload::Payload;
use stint_model::shard::{Fence, Shard};
use stint_model::task::{Task, TaskState};
use stint_model::time::Span;

use super::life::{ACCOUNTS, Lives, START, function, step};
use super::shards::{commit, open};
use crate::batch::{Batch, Put, TaskRow};
use crate::store::{CommitError, Store, StoreError, TaskQuery};

/// The put of a task that is not in the book yet.
pub(super) fn new_row(task: &Task) -> Put {
    Put::Task(Box::new(TaskRow::new(task.clone(), true)))
}

/// The put of one that is.
pub(super) fn row(task: &Task) -> Put {
    Put::Task(Box::new(TaskRow::new(task.clone(), false)))
}

async fn get(store: &dyn Store, task: &Task) -> Option<Task> {
    store.task_get(&[task.uid()]).await.expect("reads").remove(0)
}

async fn insert(store: &dyn Store, fence: Fence, tasks: &[Task]) {
    commit(store, fence, |batch| batch.puts.extend(tasks.iter().map(new_row))).await;
}

async fn update(store: &dyn Store, fence: Fence, task: &Task) {
    commit(store, fence, |batch| batch.puts.push(row(task))).await;
}

/// Through every state, and several at once in the order asked for.
pub async fn a_task_reads_as_written(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(5, Shard::FIRST);
    let mut task = lives.full();
    insert(store, fence, std::slice::from_ref(&task)).await;
    for _ in 0..40 {
        assert_eq!(get(store, &task).await.as_ref(), Some(&task));
        step(&mut task, lives.random());
        update(store, fence, &task).await;
    }
    let (other, missing) = (lives.plain(), lives.plain());
    insert(store, fence, std::slice::from_ref(&other)).await;
    let uids = [other.uid(), missing.uid(), task.uid(), other.uid()];
    let found = store.task_get(&uids).await.expect("reads");
    assert_eq!(found, [Some(other.clone()), None, Some(task), Some(other)]);
    assert!(store.task_get(&[]).await.expect("reads").is_empty());
}

/// A bad last put undoes the good first ones.
pub async fn a_batch_is_all_or_nothing(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let (old, new, unknown) = (lives.plain(), lives.of(0, Some("x")), lives.plain());
    insert(store, fence, std::slice::from_ref(&old)).await;
    let mut batch = Batch::new(fence);
    batch.puts.push(super::records::put(
        crate::Key::new(crate::Kind::Setting, "a"),
        "must not be written",
    ));
    let mut ended = old.clone();
    lives.run_to_success(&mut ended);
    batch.puts.extend([new_row(&new), row(&ended), row(&unknown)]);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskMissing(uid)) if uid == unknown.uid()));
    assert_eq!(get(store, &new).await, None);
    assert_eq!(get(store, &old).await, Some(old.clone()));
    let key = crate::Key::new(crate::Kind::Setting, "a");
    assert_eq!(store.record_get(&key).await.expect("reads"), None);
    assert_eq!(find(store, 0, "x").await, None);
    assert_eq!(store.task_open(Shard::FIRST, None, 10).await.expect("reads"), [old]);
}

/// Even with another content.
pub async fn a_duplicate_uid_refuses_the_batch(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let (task, other) = (lives.plain(), lives.plain());
    insert(store, fence, std::slice::from_ref(&task)).await;
    let mut batch = Batch::new(fence);
    batch.puts.extend([new_row(&other), new_row(&task)]);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskExists(uid)) if uid == task.uid()));
    assert_eq!(get(store, &other).await, None);
}

/// Within the book and within the batch.
pub async fn a_duplicate_chosen_id_refuses_the_batch(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let (first, second) = (lives.of(0, Some("same")), lives.of(0, Some("same")));
    insert(store, fence, std::slice::from_ref(&first)).await;
    let mut batch = Batch::new(fence);
    batch.puts.push(new_row(&second));
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskExists(uid)) if uid == second.uid()));
    let (third, fourth) = (lives.of(0, Some("other")), lives.of(0, Some("other")));
    let mut batch = Batch::new(fence);
    batch.puts.extend([new_row(&third), new_row(&fourth)]);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskExists(uid)) if uid == fourth.uid()));
    assert_eq!(get(store, &third).await, None);
    assert_eq!(find(store, 0, "same").await, Some(first.clone()));
}

/// Other functions may use it too.
pub async fn a_chosen_id_is_unique_within_its_function_only(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let tasks = [lives.of(0, Some("x")), lives.of(1, Some("x")), lives.of(2, Some("X"))];
    insert(store, fence, &tasks).await;
    assert_eq!(find(store, 1, "x").await.as_ref(), Some(&tasks[1]));
    assert_eq!(find(store, 2, "x").await, None, "ids are compared by bytes");
}

/// The owner's memory is wrong: better refused than half written.
pub async fn an_unknown_task_cannot_be_updated(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let (task, other) = (lives.plain(), lives.plain());
    insert(store, fence, std::slice::from_ref(&other)).await;
    let mut ended = task.clone();
    lives.run_to_success(&mut ended);
    for unknown in [task, ended] {
        let mut batch = Batch::new(fence);
        batch.puts.push(row(&unknown));
        let refused = store.commit(batch).await;
        assert!(matches!(refused, Err(CommitError::TaskMissing(uid)) if uid == unknown.uid()));
    }
    let mut batch = Batch::new(fence);
    batch.puts.extend([Put::Forget { task: other.uid() }, row(&other)]);
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::TaskMissing(uid)) if uid == other.uid()));
    assert_eq!(get(store, &other).await, Some(other));
}

/// Forgetting what is not there is no error.
pub async fn a_forgotten_task_frees_its_chosen_id(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let (mut task, next) = (lives.of(0, Some("x")), lives.of(0, Some("x")));
    insert(store, fence, std::slice::from_ref(&task)).await;
    lives.run_to_success(&mut task);
    update(store, fence, &task).await;
    for _ in 0..2 {
        commit(store, fence, |batch| batch.puts.push(Put::Forget { task: task.uid() })).await;
        assert_eq!(get(store, &task).await, None);
        assert_eq!(find(store, 0, "x").await, None);
        assert_eq!(list(store, TaskQuery::default()).await, []);
    }
    insert(store, fence, std::slice::from_ref(&next)).await;
    assert_eq!(find(store, 0, "x").await, Some(next));
}

async fn find(store: &dyn Store, n: usize, id: &str) -> Option<Task> {
    let found = store.task_find(&[(function(n).1, id.to_owned())]).await.expect("finds");
    let uid = found[0]?;
    let task = store.task_get(&[uid]).await.expect("reads").remove(0);
    assert!(task.is_some(), "what is found can be read");
    task
}

/// In the order asked for.
pub async fn chosen_ids_are_found(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let tasks = [lives.of(0, Some("a")), lives.of(1, Some("ü/%_'\"")), lives.of(0, None)];
    insert(store, fence, &tasks).await;
    let asked = [
        (function(1).1, "ü/%_'\"".to_owned()),
        (function(0).1, "b".to_owned()),
        (function(0).1, "a".to_owned()),
    ];
    let found = store.task_find(&asked).await.expect("finds");
    assert_eq!(found, [Some(tasks[1].uid()), None, Some(tasks[0].uid())]);
}

/// By shard, in order, in pages.
pub async fn open_tasks_are_those_that_have_not_ended(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut tasks: Vec<Task> = (0..9).map(|_| lives.plain()).collect();
    insert(store, fence, &tasks).await;
    let other = open(store, Shard::new(1)).await;
    insert(store, other, &[Lives::new(2, Shard::new(1)).plain()]).await;
    for task in tasks.iter_mut().step_by(3) {
        lives.run_to_success(task);
        update(store, fence, task).await;
    }
    let still: Vec<Task> = tasks.into_iter().filter(|task| !task.state().is_terminal()).collect();
    let first = store.task_open(Shard::FIRST, None, 4).await.expect("reads");
    let rest = store.task_open(Shard::FIRST, Some(first[3].uid()), 4).await.expect("reads");
    assert_eq!([first, rest].concat(), still);
}

/// A person's wish moves even what has ended.
pub async fn a_retried_task_is_open_again(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut task = lives.of(0, Some("x"));
    insert(store, fence, std::slice::from_ref(&task)).await;
    lives.run_to_success(&mut task);
    update(store, fence, &task).await;
    assert_eq!(store.task_open(Shard::FIRST, None, 9).await.expect("reads"), []);
    task.retry(Span::from_secs(5), START + Span::from_secs(99)).expect("it has ended");
    update(store, fence, &task).await;
    assert_eq!(store.task_open(Shard::FIRST, None, 9).await.expect("reads"), [task.clone()]);
    assert_eq!(get(store, &task).await, Some(task), "with its new expiry");
}

/// Recovery must find it, so that the delivery is made.
pub async fn a_task_whose_outcome_is_not_delivered_is_open(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut order = lives.plain().order().clone();
    order.on_success = "acs:fc:local:1:functions/next".to_owned();
    let mut task = Task::submit(Arc::new(order));
    insert(store, fence, std::slice::from_ref(&task)).await;
    lives.run_to_success(&mut task);
    update(store, fence, &task).await;
    assert_eq!(store.task_open(Shard::FIRST, None, 9).await.expect("reads"), [task.clone()]);
    let later = START + Span::from_secs(99_999_999);
    assert_eq!(store.task_old(Shard::FIRST, later, 9).await.expect("reads"), []);
    task.delivered(stint_model::task::Delivery::Succeeded);
    update(store, fence, &task).await;
    assert_eq!(store.task_open(Shard::FIRST, None, 9).await.expect("reads"), []);
    assert_eq!(store.task_old(Shard::FIRST, later, 9).await.expect("reads"), [task.uid()]);
}

/// What retention reads, oldest first.
pub async fn old_tasks_are_those_that_ended(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let mut tasks: Vec<Task> = (0..12).map(|_| lives.plain()).collect();
    insert(store, fence, &tasks).await;
    for task in tasks.iter_mut().step_by(2) {
        lives.run_to_success(task);
        update(store, fence, task).await;
    }
    let before = tasks[8].order().submitted_at;
    let ended = tasks.iter().filter(|task| task.state().is_terminal());
    let old: Vec<_> = ended.filter(|t| t.order().submitted_at < before).map(Task::uid).collect();
    let read = async |limit| store.task_old(Shard::FIRST, before, limit).await.expect("reads");
    assert_eq!(read(100).await, old);
    assert_eq!(read(2).await, old[..2]);
    assert_eq!(store.task_old(Shard::new(1), before, 9).await.expect("reads"), []);
    assert_eq!(store.task_old(Shard::FIRST, START, 9).await.expect("reads"), []);
}

pub(super) async fn list(store: &dyn Store, query: TaskQuery) -> Vec<Task> {
    let page = store.task_list(&TaskQuery { limit: 10_000, ..query }).await.expect("lists");
    assert_eq!(page.next, None);
    page.items
}

/// A varied hundred of tasks, moved at random.
async fn crowd(store: &dyn Store) -> Vec<Task> {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(77, Shard::FIRST);
    let mut tasks: Vec<Task> = (0..100).map(|_| lives.fresh()).collect();
    insert(store, fence, &tasks).await;
    for (n, task) in tasks.iter_mut().enumerate() {
        for _ in 0..n % 9 {
            step(task, lives.random());
        }
        update(store, fence, task).await;
    }
    tasks
}

/// One query per filter, and some together.
pub(super) fn queries(tasks: &[Task]) -> Vec<TaskQuery> {
    let plain = TaskQuery { limit: 10_000, ..TaskQuery::default() };
    let middle = tasks.get(tasks.len() / 2).map_or(START, |task| task.order().submitted_at);
    let own_id = tasks.last().map_or(String::new(), |task| task.uid().to_string());
    let bad = vec![TaskState::Failed, TaskState::Stopped, TaskState::Expired];
    let tag = |n: usize| (format!("k{}", n % 2), format!("v{n}"));
    vec![
        plain.clone(),
        TaskQuery { account: Some(ACCOUNTS[1]), ..plain.clone() },
        TaskQuery { functions: vec![function(0).1, function(3).1], ..plain.clone() },
        TaskQuery { account: Some(ACCOUNTS[0]), functions: vec![function(1).1], ..plain.clone() },
        TaskQuery { qualifier: Some("prod".into()), ..plain.clone() },
        TaskQuery { states: vec![TaskState::Enqueued], ..plain.clone() },
        TaskQuery { states: bad.clone(), account: Some(ACCOUNTS[0]), ..plain.clone() },
        TaskQuery { states: bad, functions: vec![function(2).1], ..plain.clone() },
        TaskQuery { task_mode: Some(true), ascending: true, ..plain.clone() },
        TaskQuery { task_mode: Some(false), functions: vec![function(4).1], ..plain.clone() },
        TaskQuery { id_prefix: Some("id-1".into()), ..plain.clone() },
        TaskQuery { id_prefix: Some("tsk_".into()), ascending: true, ..plain.clone() },
        TaskQuery { id_prefix: Some(own_id), ..plain.clone() },
        TaskQuery { id_prefix: Some(String::new()), ..plain.clone() },
        TaskQuery { from: Some(middle), ..plain.clone() },
        TaskQuery { until: Some(middle), ascending: true, ..plain.clone() },
        TaskQuery { from: Some(START), until: Some(middle), ..plain.clone() },
        TaskQuery { tags: vec![tag(0)], ..plain.clone() },
        TaskQuery { tags: vec![tag(1)], account: Some(ACCOUNTS[0]), ..plain.clone() },
        TaskQuery { tags: vec![tag(0), tag(1)], ascending: true, ..plain.clone() },
        TaskQuery { error: Some("KeyError".into()), ..plain.clone() },
        TaskQuery { error: Some("UnhandledInvocationError".into()), ..plain.clone() },
        TaskQuery { error: Some("NoSuchError".into()), ..plain.clone() },
        TaskQuery { duration_min: Some(Span::from_secs(1)), ..plain.clone() },
        TaskQuery { duration_max: Some(Span::from_secs(2)), ascending: true, ..plain.clone() },
        TaskQuery {
            duration_min: Some(Span::from_secs(1)),
            duration_max: Some(Span::from_secs(3)),
            states: vec![TaskState::Succeeded],
            ..plain
        },
    ]
}

/// Each query finds exactly the tasks that match it, in order, whole and in pages.
pub async fn every_filter_narrows(store: &dyn Store) {
    let tasks = crowd(store).await;
    for query in queries(&tasks) {
        let mut expected: Vec<&Task> = tasks.iter().filter(|task| query.matches(task)).collect();
        if !query.ascending {
            expected.reverse();
        }
        let found = list(store, query.clone()).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
        let mut paged = Vec::new();
        let mut page_query = TaskQuery { limit: 3, ..query.clone() };
        loop {
            let page = store.task_list(&page_query).await.expect("lists");
            assert!(page.items.len() <= 3);
            paged.extend(page.items);
            page_query.cursor = page.next;
            if page_query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, found, "in pages: {query:?}");
    }
}

/// Rows that come or go move no other row across pages.
pub async fn paging_is_stable_while_rows_come(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut lives = Lives::new(1, Shard::FIRST);
    let early: Vec<Task> = (0..10).map(|_| lives.plain()).collect();
    insert(store, fence, &early).await;
    let mut query = TaskQuery { limit: 4, ..TaskQuery::default() };
    let first = store.task_list(&query).await.expect("lists");
    let late: Vec<Task> = (0..5).map(|_| lives.plain()).collect();
    insert(store, fence, &late).await;
    let gone = early[9].uid();
    commit(store, fence, |batch| batch.puts.push(Put::Forget { task: gone })).await;
    query.cursor = first.next;
    let second = store.task_list(&query).await.expect("lists");
    let seen: Vec<Task> = [first.items, second.items].concat();
    let expected: Vec<Task> = early.iter().rev().take(8).cloned().collect();
    assert_eq!(seen, expected);
    query.cursor = second.next;
    let third = store.task_list(&query).await.expect("lists");
    assert_eq!((third.items.len(), third.next), (2, None));
}

/// Never a guess.
pub async fn a_foreign_cursor_is_refused(store: &dyn Store) {
    for cursor in ["", "x", "1' OR 1=1", "tsk_", "run_0000000000000"] {
        let query = TaskQuery { limit: 1, cursor: Some(cursor.into()), ..TaskQuery::default() };
        let refused = store.task_list(&query).await;
        assert!(matches!(refused, Err(StoreError::BadCursor)), "{cursor}: {refused:?}");
    }
}

/// For every query; the limit does not count.
pub async fn a_count_is_the_length_of_the_list(store: &dyn Store) {
    let tasks = crowd(store).await;
    for query in queries(&tasks) {
        let expected = tasks.iter().filter(|task| query.matches(task)).count();
        let count = store.task_count(&TaskQuery { limit: 1, ..query.clone() }).await;
        assert_eq!(usize::try_from(count.expect("counts")).ok(), Some(expected), "{query:?}");
    }
}

/// A megabyte in and a megabyte out.
pub async fn large_payloads_read_back(store: &dyn Store) {
    let fence = open(store, Shard::FIRST).await;
    let mut order = Lives::new(1, Shard::FIRST).plain().order().clone();
    order.payload = Payload::Inline(Bytes::from(vec![7; 1 << 20]));
    let task = Task::submit(Arc::new(order));
    insert(store, fence, std::slice::from_ref(&task)).await;
    assert_eq!(get(store, &task).await, Some(task));
}
