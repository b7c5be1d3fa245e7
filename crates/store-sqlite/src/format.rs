//! The format of a file: who made it (`application_id`), in which version (`user_version`), and the
//! steps that bring an older one up to date: in one transaction, after a copy was put aside. A newer
//! one is refused untouched.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::store::OpenError;

/// What a file of one purpose looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) application_id: i32,
    pub(crate) version: u32,
    /// Makes an empty file of this version.
    pub(crate) fresh: &'static str,
    /// From each older version to the next, oldest first.
    pub(crate) steps: &'static [Step],
}

/// From one version to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) from: u32,
    pub(crate) sql: &'static str,
}

impl Format {
    /// Brings the file to this version, or says why not.
    pub(crate) fn prepare(&self, conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
        let failed = |source| OpenError::Prepare { path: path.to_owned(), source };
        let read = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let application_id = read("application_id").map_err(failed)?;
        let found = read("user_version").map_err(failed)?;
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: u32 = conn.query_row(tables, [], |row| row.get(0)).map_err(failed)?;
        if application_id == 0 && tables == 0 {
            return self.write(conn, [self.fresh].into_iter()).map_err(failed);
        }
        let found = u32::try_from(found).ok().filter(|_| application_id == self.application_id);
        let Some(found) = found else {
            return Err(OpenError::Foreign { path: path.to_owned(), name: self.name });
        };
        if found > self.version {
            let path = path.to_owned();
            return Err(OpenError::Newer { path, found, known: self.version });
        }
        if found == self.version {
            return Ok(());
        }
        let steps: Vec<&'static str> = (found..self.version)
            .map(|from| self.steps.iter().find(|step| step.from == from).map(|step| step.sql))
            .collect::<Option<_>>()
            .ok_or(OpenError::TooOld { path: path.to_owned(), found })?;
        let aside = aside(path, found);
        // A copy from an attempt that did not finish is of the same, untouched data.
        if !aside.exists() {
            let half = aside.with_extension("half");
            conn.backup("main", &half, None::<fn(rusqlite::backup::Progress)>).map_err(failed)?;
            std::fs::rename(&half, &aside)
                .map_err(|source| OpenError::Directory { path: aside.clone(), source })?;
        }
        tracing::info!(file = %path.display(), found, now = self.version, copy = %aside.display(),
            "bringing an older data format up to date");
        self.write(conn, steps.into_iter()).map_err(failed)
    }

    fn write<'a>(
        &self,
        conn: &mut Connection,
        steps: impl Iterator<Item = &'a str>,
    ) -> rusqlite::Result<()> {
        let change = conn.transaction()?;
        for sql in steps {
            change.execute_batch(sql)?;
        }
        change.pragma_update(None, "application_id", self.application_id)?;
        change.pragma_update(None, "user_version", self.version)?;
        change.commit()
    }
}

fn aside(path: &Path, version: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".v{version}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: Format = Format {
        name: "test",
        application_id: 77,
        version: 2,
        fresh: "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, size INTEGER) STRICT;",
        steps: &[
            Step { from: 0, sql: "ALTER TABLE thing ADD COLUMN name TEXT;" },
            Step { from: 1, sql: "ALTER TABLE thing ADD COLUMN size INTEGER;" },
        ],
    };

    fn open(path: &Path, format: Format) -> Result<Connection, OpenError> {
        let mut conn = Connection::open(path).expect("opens");
        format.prepare(&mut conn, path).map(|()| conn)
    }

    fn version(conn: &Connection) -> u32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads")
    }

    #[test]
    fn an_older_file_is_copied_and_migrated() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let old = Connection::open(&path).expect("opens");
        old.execute_batch(
            "CREATE TABLE thing (id INTEGER PRIMARY KEY) STRICT; INSERT INTO thing VALUES (5);
             PRAGMA application_id = 77; PRAGMA user_version = 0;",
        )
        .expect("an old file");
        drop(old);
        let conn = open(&path, V2).expect("migrates");
        assert_eq!(version(&conn), 2);
        let row = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
        assert_eq!(conn.query_row("SELECT size FROM thing WHERE id = 5", [], row), Ok(None));
        let copy = Connection::open(dir.path().join("a.db.v0")).expect("a copy is kept");
        assert_eq!(copy.query_row("SELECT id FROM thing", [], row), Ok(Some(5)));
        assert_eq!(version(&copy), 0);
        drop(conn);
        assert_eq!(version(&open(&path, V2).expect("opens again")), 2);
    }

    #[test]
    fn a_failed_step_changes_nothing() {
        const BROKEN: Format = Format {
            steps: &[
                Step { from: 0, sql: "ALTER TABLE thing ADD COLUMN name TEXT;" },
                Step { from: 1, sql: "this is not SQL" },
            ],
            ..V2
        };
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let first = Format { version: 0, fresh: "CREATE TABLE thing (id INTEGER);", ..V2 };
        drop(open(&path, first).expect("makes"));
        assert!(matches!(open(&path, BROKEN), Err(OpenError::Prepare { .. })));
        let conn = open(&path, V2).expect("migrates from where it was");
        assert_eq!(version(&conn), 2);
    }

    #[test]
    fn a_newer_or_foreign_file_is_refused_untouched() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        drop(open(&path, Format { version: 9, ..V2 }).expect("makes"));
        let refused = open(&path, V2).expect_err("is newer");
        assert!(matches!(refused, OpenError::Newer { found: 9, known: 2, .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains('9') && text.contains('2'), "{text}");
        let refused = open(&path, Format { application_id: 78, ..V2 }).expect_err("is foreign");
        assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");
        assert_eq!(version(&Connection::open(&path).expect("opens")), 9);
    }
}
