//! `stint init`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::failure::Failure;
use crate::project::template;
use crate::screen::Rows;

/// Make a function's project from a template.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// python3.10, python3.12, nodejs18, nodejs20, java8, java11, go1, bash, custom, custom-container …
    pub(crate) runtime: String,
    /// Where; made if it is not there.
    #[arg(default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Name of the function.
    #[arg(long, default_value = "hello")]
    pub(crate) name: String,
}

pub(crate) fn run(args: &Init, context: &Context) -> Result<(), Failure> {
    if !stint_model::id::is_name(&args.name) {
        return Err(Failure::usage(format!("`{}` cannot be a function's name", args.name))
            .next("letters, digits, `_` and `-`, beginning with a letter"));
    }
    let written = template::write(&args.directory, &args.name, &args.runtime)?;
    context.screen.show(&written, || {
        let mut rows = Rows::new(&["WRITTEN"]);
        for path in &written {
            rows.row([args.directory.join(path).display().to_string()]);
        }
        rows
    })?;
    let file = args.directory.join("stint.yaml");
    // What has to be compiled or pushed first says how in a script of its own.
    let build = args.directory.join("build.sh");
    if build.exists() {
        context.screen.note(format!("first: sh {}", build.display()));
    }
    if args.runtime == "custom-container" {
        context
            .screen
            .note("first: build the image, push it to a registry, and name it in stint.yaml");
    }
    context.screen.note(format!("next: stint deploy --file {}", file.display()));
    Ok(())
}
