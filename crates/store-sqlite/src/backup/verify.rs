//! Checks a data directory or a copy: files against the list (in a copy), databases against
//! themselves, every record and task for reading, and every blob that is named for being there.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use stint_model::id::{ExecutionUid, TaskUid};
use stint_store::batch::is_open;
use stint_store::record::check::{record_blobs, task_blobs};
use stint_store::record::execution::blobs as blobs_of;
use stint_store::{Kind, StoreError};

use super::manifest::{MANIFEST, Manifest};
use super::{BLOBS, BackupError, DATABASES, Progress, open};
use crate::read::executions::head_of;
use crate::read::failed;
use crate::read::rows::task_of;

/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 100;
/// Rows between two reports.
const REPORT_EVERY: u64 = 4_096;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Control records that read.
    pub records: u64,
    /// Tasks that read.
    pub tasks: u64,
    /// Executions that read.
    pub executions: u64,
    /// Blobs that are named and there.
    pub blobs: u64,
    /// What is wrong, in words; empty when all is well. The first hundred.
    pub problems: Vec<String>,
    /// All of them.
    pub problems_total: u64,
}

impl Verified {
    fn problem(&mut self, words: String) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(words);
        }
    }
}

/// Checks the data directory of a server (which may be running) or a copy. `blobs_elsewhere`: blobs are
/// kept in an object store and not looked for.
///
/// # Errors
/// When there is no book or it cannot be opened at all; what is wrong inside is in the answer.
pub fn verify(
    dir: &Path,
    blobs_elsewhere: bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Verified, BackupError> {
    let mut found = Verified::default();
    if !dir.join(DATABASES[0]).is_file() {
        return Err(BackupError::NoBook(dir.to_owned()));
    }
    if dir.join(MANIFEST).is_file() {
        files(dir, &mut found, progress)?;
    }
    let mut named = BTreeSet::new();
    for name in DATABASES {
        let path = dir.join(name);
        if !path.is_file() {
            continue;
        }
        let failed = |source| BackupError::Database { path: path.clone(), source };
        progress(Progress { step: &format!("checking {name}"), done: 0, total: 0 });
        let conn = open(&path).map_err(failed)?;
        let moment = conn.unchecked_transaction().map_err(failed)?;
        if let Err(error) = integrity(&moment, name, &mut found) {
            found.problem(format!("{name}: {error}"));
            continue;
        }
        if name == DATABASES[0] {
            let read = records(&moment, &mut found, &mut named)
                .and_then(|()| tasks(&moment, &mut found, &mut named, progress))
                .and_then(|()| executions(&moment, &mut found, &mut named, progress))
                .and_then(|()| orphans(&moment, &mut found));
            if let Err(error) = read {
                found.problem(format!("{name}: {}", stint_supervise::chain(&error)));
            }
        }
    }
    if !blobs_elsewhere {
        blobs(dir, &named, &mut found, progress);
    }
    Ok(found)
}

fn files(
    dir: &Path,
    found: &mut Verified,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), BackupError> {
    let listed = Manifest::read(dir)?;
    let there = Manifest::of(dir, progress)?;
    for (name, sum) in &listed.files {
        match there.files.get(name) {
            None => found.problem(format!("{name} is missing")),
            Some(is) if is != sum => found.problem(format!("{name} is not what was copied")),
            Some(_) => {}
        }
    }
    Ok(())
}

fn integrity(conn: &Connection, name: &str, found: &mut Verified) -> rusqlite::Result<()> {
    let mut check = conn.prepare("PRAGMA integrity_check")?;
    let lines: Vec<String> =
        check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    lines.iter().filter(|line| *line != "ok").for_each(|line| {
        found.problem(format!("{name}: {line}"));
    });
    Ok(())
}

fn records(
    conn: &Connection,
    found: &mut Verified,
    named: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let sql = "SELECT kind, name, body FROM record";
    let mut statement = conn.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (number, name): (u8, String) =
            row.get(0).and_then(|number| Ok((number, row.get(1)?))).map_err(failed)?;
        let body: Vec<u8> = row.get(2).map_err(failed)?;
        let Some(kind) = Kind::from_number(number) else {
            found.problem(format!("record {number} {name:?} is of an unknown kind"));
            continue;
        };
        match record_blobs(kind, &body) {
            Ok(blobs) => {
                found.records += 1;
                named.extend(blobs);
            }
            Err(error) => found.problem(format!("{kind:?} {name:?}: {error}")),
        }
    }
    Ok(())
}

fn tasks(
    conn: &Connection,
    found: &mut Verified,
    named: &mut BTreeSet<String>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), StoreError> {
    let sql = "SELECT sum(tasks) FROM shard";
    let total: Option<i64> = conn.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
    let total = u64::try_from(total.unwrap_or(0)).unwrap_or(0);
    let sql = "SELECT task.uid, task.body, task_life.body, task_open.uid FROM task
        LEFT JOIN task_life ON task_life.uid = task.uid
        LEFT JOIN task_open ON task_open.uid = task.uid";
    let mut statement = conn.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let number: i64 = row.get(0).map_err(failed)?;
        let uid = TaskUid::from_number(number.cast_unsigned());
        let open: Option<i64> = row.get(3).map_err(failed)?;
        match task_of(row, 1) {
            Ok(task) if task.uid() != uid => found.problem(format!("{uid} holds another task")),
            Ok(task) if is_open(&task) != open.is_some() => {
                found
                    .problem(format!("{uid} is {} and its open mark says otherwise", task.state()));
            }
            Ok(task) => {
                found.tasks += 1;
                named.extend(task_blobs(&task));
            }
            Err(error) => found.problem(format!("{uid}: {error}")),
        }
        if found.tasks.is_multiple_of(REPORT_EVERY) {
            progress(Progress { step: "reading tasks", done: found.tasks, total });
        }
    }
    Ok(())
}

fn executions(
    conn: &Connection,
    found: &mut Verified,
    named: &mut BTreeSet<String>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), StoreError> {
    let sql = "SELECT sum(executions) FROM shard";
    let total: Option<i64> = conn.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
    let total = u64::try_from(total.unwrap_or(0)).unwrap_or(0);
    let sql = "SELECT execution.uid, execution.body, execution_open.uid FROM execution
        LEFT JOIN execution_open ON execution_open.uid = execution.uid";
    let mut statement = conn.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let number: i64 = row.get(0).map_err(failed)?;
        let uid = ExecutionUid::from_number(number.cast_unsigned());
        let open: Option<i64> = row.get(2).map_err(failed)?;
        match head_of(row, 1) {
            Ok(head) if head.uid != uid => {
                found.problem(format!("{uid} holds another execution"));
            }
            Ok(head) if head.status.is_terminal() == open.is_some() => {
                let word = head.status.word();
                found.problem(format!("{uid} is {word} and its document says otherwise"));
            }
            Ok(head) => {
                found.executions += 1;
                named.extend(blobs_of(&head));
            }
            Err(error) => found.problem(format!("{uid}: {error}")),
        }
        if found.executions.is_multiple_of(REPORT_EVERY) {
            progress(Progress { step: "reading executions", done: found.executions, total });
        }
    }
    Ok(())
}

/// Rows that belong to no task, or to no execution.
fn orphans(conn: &Connection, found: &mut Verified) -> Result<(), StoreError> {
    for (table, column, owner) in [
        ("task_life", "uid", "task"),
        ("task_open", "uid", "task"),
        ("task_chosen", "uid", "task"),
        ("execution_open", "uid", "execution"),
        ("execution_ended", "uid", "execution"),
        ("history", "execution", "execution"),
    ] {
        let sql = format!(
            "SELECT count(*) FROM {table}
             WHERE NOT EXISTS (SELECT 1 FROM {owner} WHERE {owner}.uid = {table}.{column})"
        );
        let count: i64 = conn.query_row(&sql, [], |row| row.get(0)).map_err(failed)?;
        if count > 0 {
            found.problem(format!("{count} rows of {table} belong to no {owner}"));
        }
    }
    Ok(())
}

fn blobs(
    dir: &Path,
    named: &BTreeSet<String>,
    found: &mut Verified,
    progress: &mut dyn FnMut(Progress<'_>),
) {
    let total = u64::try_from(named.len()).unwrap_or(0);
    for name in named {
        if dir.join(BLOBS).join(name).is_file() {
            found.blobs += 1;
        } else {
            found.problem(format!("blob {name} is named and not there"));
        }
        if found.blobs.is_multiple_of(REPORT_EVERY) {
            progress(Progress { step: "looking for blobs", done: found.blobs, total });
        }
    }
}
