//! `stint backup`, `stint restore`, `stint verify`: on the files of a data directory, also while a
//! server uses it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use stint_store_sqlite::{BackupError, Copied, Progress, Verified};
use stint_supervise::{Clock, Supervisor};

use super::Context;
use crate::config::resolved::BlobsBackend;
use crate::config::unit::show_size;
use crate::failure::{Exit, Failure};
use crate::remote::CREDENTIALS;
use crate::screen::Rows;
use crate::server::directory::{self, MASTER_KEY};

/// Copy the data directory while the server runs.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to: an empty or new directory.
    to: PathBuf,
    /// With master.key and credentials.json. Whoever has both can read every secret.
    #[arg(long)]
    with_keys: bool,
}

/// Put a copy back into an empty data directory (--data).
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The copy.
    from: PathBuf,
}

/// Check a data directory or a copy.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What to check; else the data directory.
    directory: Option<PathBuf>,
}

#[derive(Serialize)]
struct Done {
    from: PathBuf,
    to: PathBuf,
    files: u64,
    bytes: u64,
}

/// Runs blocking work on a thread of its own, with a bar.
async fn watched<T: Send + 'static>(
    context: &Context,
    doing: &str,
    work: impl FnOnce(&mut dyn FnMut(Progress<'_>)) -> T + Send + 'static,
) -> Result<T, Failure> {
    let bar = context.screen.bar(0, doing);
    let shown = bar.clone();
    let supervisor = Supervisor::new(Clock::start());
    let done = supervisor.blocking(move || {
        work(&mut |progress: Progress<'_>| {
            shown.set_message(progress.step.to_owned());
            shown.set_length(progress.total);
            shown.set_position(progress.done);
        })
    });
    let done = done.await.map_err(|crash| Failure::local(crash.to_string()));
    bar.finish_and_clear();
    done
}

pub(crate) async fn backup(args: &Backup, context: &Context) -> Result<(), Failure> {
    let (from, to) = (context.data_dir()?, args.to.clone());
    directory::make(&to).map_err(|e| Failure::cannot(format_args!("make {}", to.display()), &e))?;
    let also: &[&str] = if args.with_keys { &[MASTER_KEY, CREDENTIALS] } else { &[] };
    let (source, target) = (from.clone(), to.clone());
    let copied = watched(context, "copying", move |progress| {
        stint_store_sqlite::backup(&source, &target, also, progress)
    });
    let copied = copied.await?.map_err(told)?;
    show(context, from, to, copied)?;
    if !args.with_keys {
        context.screen.note("master.key is not in it: keep a copy of that elsewhere");
    }
    Ok(())
}

pub(crate) async fn restore(args: &Restore, context: &Context) -> Result<(), Failure> {
    let (from, to) = (args.from.clone(), context.data_dir()?);
    directory::make(&to).map_err(|e| Failure::cannot(format_args!("make {}", to.display()), &e))?;
    let (source, target) = (from.clone(), to.clone());
    let copied = watched(context, "restoring", move |progress| {
        stint_store_sqlite::restore(&source, &target, progress)
    });
    let copied = copied.await?.map_err(told)?;
    let (key, credentials) = (to.join(MASTER_KEY), to.join(CREDENTIALS));
    show(context, from, to, copied)?;
    if !key.exists() {
        context.screen.warn(format!("put your copy of master.key to {}", key.display()));
    }
    if !credentials.exists() {
        context.screen.warn(
            "a copy has no credentials.json: use a key you have, or start once with \
             STINT_ACCESS_KEY_ID and STINT_ACCESS_KEY_SECRET set to a new root key",
        );
    }
    Ok(())
}

pub(crate) async fn verify(args: &Verify, context: &Context) -> Result<(), Failure> {
    let config = context.config(&context.raw(Vec::new())?)?;
    let elsewhere = config.blobs != BlobsBackend::Local;
    let directory = args.directory.clone().unwrap_or(config.data);
    let looked = directory.clone();
    let found = watched(context, "checking", move |progress| {
        stint_store_sqlite::verify(&looked, elsewhere, progress)
    });
    let found = found.await?.map_err(told)?;
    report(&found, &directory, context)
}

fn show(context: &Context, from: PathBuf, to: PathBuf, copied: Copied) -> Result<(), Failure> {
    let done = Done { from, to, files: copied.files, bytes: copied.bytes };
    context.screen.show(&done, || {
        let mut rows = Rows::of_one();
        rows.line("from", done.from.display().to_string());
        rows.line("to", done.to.display().to_string());
        rows.line("files", done.files.to_string());
        rows.line("size", show_size(done.bytes));
        rows
    })
}

fn report(found: &Verified, directory: &Path, context: &Context) -> Result<(), Failure> {
    let value = serde_json::json!({
        "directory": directory,
        "records": found.records,
        "tasks": found.tasks,
        "blobs": found.blobs,
        "problems": found.problems,
        "problemsTotal": found.problems_total,
    });
    context.screen.show(&value, || {
        let mut rows = Rows::of_one();
        rows.line("directory", directory.display().to_string());
        rows.line("records", found.records.to_string());
        rows.line("tasks", found.tasks.to_string());
        rows.line("blobs", found.blobs.to_string());
        rows.line("problems", found.problems.join("\n"));
        rows
    })?;
    match found.problems_total {
        0 => Ok(()),
        n => Err(Failure::new(
            Exit::Other,
            format!("{} is damaged: {n} problems", directory.display()),
        )
        .next("restore the last good copy: stint restore DIR --data NEW")),
    }
}

fn told(error: BackupError) -> Failure {
    let failure = Failure::local(stint_supervise::chain(&error));
    match error {
        BackupError::NotEmpty(_) => {
            failure.next("choose another directory; nothing is overwritten")
        }
        BackupError::NoBook(_) => failure.next("say which data directory with --data DIR"),
        BackupError::Incomplete(_) | BackupError::Damaged(_) => failure.next("use another copy"),
        BackupError::File { .. } | BackupError::Database { .. } => failure,
    }
}
