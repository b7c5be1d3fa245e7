//! Files that are written by our own binary and kept in the tree, so that a change of what they
//! describe shows in review. `docs` writes them; `ci` compares.

use std::fs;
use std::path::Path;

use crate::ci::Notes;
use crate::shell;

/// Arguments of `stint`, and the file that keeps what it prints.
const GENERATED: &[(&[&str], &str)] = &[];

/// Programs of our crates that write files themselves; a test next to each compares.
const WRITERS: &[&[&str]] = &[&["-p", "stint-wire", "--example", "reference"]];

pub(crate) fn write(root: &Path) -> Result<(), String> {
    for writer in WRITERS {
        let args = [&["run", "--quiet", "--release", "--locked"], *writer].concat();
        shell::run(root, "cargo", &args)?;
    }
    each(root, |file, text| {
        let path = root.join(file);
        let dir = path.parent().expect("a file in the tree");
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{file}: {error}"))?;
        println!("wrote {file}");
        Ok(())
    })
}

pub(crate) fn check(root: &Path) -> Result<Notes, String> {
    each(root, |file, text| {
        let kept = fs::read_to_string(root.join(file)).unwrap_or_default();
        compare(file, &kept, text)
    })?;
    Ok(vec![format!("{} generated files are up to date", GENERATED.len())])
}

fn each(root: &Path, visit: impl Fn(&str, &str) -> Result<(), String>) -> Result<(), String> {
    if GENERATED.is_empty() {
        return Ok(());
    }
    let stint = shell::stint(root)?;
    let stint = stint.to_str().ok_or("the target directory is not UTF-8")?;
    for (args, file) in GENERATED {
        visit(file, &shell::output(root, stint, args)?)?;
    }
    Ok(())
}

fn compare(file: &str, kept: &str, fresh: &str) -> Result<(), String> {
    let differs = kept.lines().zip(fresh.lines()).position(|(kept, fresh)| kept != fresh);
    let shorter = kept.lines().count().min(fresh.lines().count());
    if kept == fresh {
        return Ok(());
    }
    let line = differs.unwrap_or(shorter) + 1;
    Err(format!("{file}:{line}: is not what the code says now; run `cargo xtask docs`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_is_named_with_its_first_line() {
        assert_eq!(compare("f", "a\nb\n", "a\nb\n"), Ok(()));
        assert!(compare("f", "a\nb\n", "a\nc\n").unwrap_err().starts_with("f:2:"));
        assert!(compare("f", "a\n", "a\nc\n").unwrap_err().starts_with("f:2:"));
        assert!(compare("f", "", "a\n").unwrap_err().starts_with("f:1:"));
    }
}
