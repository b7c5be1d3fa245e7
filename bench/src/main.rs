//! Measures the released binary from outside: one command, one table, medians over repeats.
//!
//! `cargo run --release -p stint-bench [-- --quick] [--only NAME,…] [--bin PATH] [--out FILE]`
#![expect(
    clippy::disallowed_methods,
    reason = "a load generator outside the house: it has its own clock and nobody's supervisor"
)]

mod cases;
mod connection;
mod figures;
mod image;
mod machine;
mod report;
mod request;
mod server;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    bin: PathBuf,
    out: Option<PathBuf>,
    only: Vec<String>,
    /// How often each figure is taken; the table shows the median.
    pub(crate) repeats: usize,
    /// Divides the sizes, for a look that takes seconds.
    pub(crate) divide: usize,
}

impl Plan {
    /// Whether a case was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some(image::SERVE) => image::serve(),
        Some(_) | None => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let plan = read_arguments(std::env::args().skip(1))?;
    let machine = machine::describe()?;
    report::say(&machine.line());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let rows = runtime.block_on(cases::run(&plan))?;
    let table = report::table(&rows);
    report::say(&table);
    if let Some(out) = &plan.out {
        std::fs::write(out, report::document(&machine, &rows, plan.repeats))
            .with_context(|| format!("write {}", out.display()))?;
        report::say(&format!("written to {}", out.display()));
    }
    Ok(())
}

fn read_arguments(mut given: impl Iterator<Item = String>) -> Result<Plan> {
    let (mut bin, mut out, mut only, mut quick) = (None, None, Vec::new(), false);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => quick = true,
            "--bin" => bin = Some(PathBuf::from(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--only" => only = value()?.split(',').map(str::to_owned).collect(),
            other => bail!("{other}: --quick, --only NAME,…, --bin PATH and --out FILE are known"),
        }
    }
    let whole = !quick && only.is_empty();
    let bin = match bin {
        Some(bin) => bin,
        None => build()?,
    };
    let (repeats, divide) = if quick { (1, 10) } else { (3, 1) };
    let out = out.or_else(|| {
        whole.then(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md")))
    });
    Ok(Plan { bin, out, only, repeats, divide })
}

/// Builds the server beside this program, in the same profile's directory.
fn build() -> Result<PathBuf> {
    report::say("building the release binary");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "-p", "stint"])
        .current_dir(root)
        .status()
        .context("run cargo")?;
    if !status.success() {
        bail!("the release binary does not build");
    }
    let own = std::env::current_exe().context("find this program")?;
    Ok(own.with_file_name("stint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Plan> {
        read_arguments(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_say_what_is_measured_and_where_it_goes() {
        let plan = read("--bin /b --quick --only submit-1,memory").unwrap();
        assert_eq!((plan.repeats, plan.divide, plan.out.is_none()), (1, 10, true));
        assert!(plan.wants("memory") && !plan.wants("batch"));
        let plan = read("--bin /b").unwrap();
        assert!(plan.wants("batch") && plan.out.unwrap().ends_with("bench/RESULTS.md"));
        assert!(read("--bin").is_err() && read("--fast").is_err());
    }
}
