//! Runs other programs: their output is the user's, a failure is ours to name.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// A program that has ended and whose output stays open for this long has left a child behind.
const LEFT_BEHIND: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5_000 });

/// Runs a program in the workspace and lets it talk.
pub(crate) fn run(root: &Path, program: &str, args: &[&str]) -> Result<(), String> {
    run_with(root, program, args, &[])
}

/// The same with some environment.
pub(crate) fn run_with(
    root: &Path,
    program: &str,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<(), String> {
    let status = command(root, program, args, env).status();
    judge(program, args, status.map(|status| status.success()))
}

/// Runs a program, passes its standard output on and returns the lines that contain `mark`.
pub(crate) fn run_watched(
    root: &Path,
    program: &str,
    args: &[&str],
    mark: &str,
) -> Result<Vec<String>, String> {
    let child = command(root, program, args, &[]).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("{}: {error}", line(program, args)))?;
    let lines = lines_of(&mut child);
    let mut marked = Vec::new();
    loop {
        let has_ended = child.try_wait().is_ok_and(|status| status.is_some());
        match lines.recv_timeout(LEFT_BEHIND) {
            Ok(text) => {
                println!("{text}");
                if text.contains(mark) {
                    marked.push(text.trim().to_owned());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if has_ended => {
                let line = line(program, args);
                return Err(format!("{line}: ended, but left a process that holds its output"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    judge(program, args, child.wait().map(|status| status.success()))?;
    Ok(marked)
}

/// The output of a child, line by line; the channel closes when the last process that holds the
/// output is gone.
#[expect(clippy::disallowed_methods, reason = "a reader that the reading of a pipe may block")]
fn lines_of(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().expect("it was piped");
    let (send, lines) = mpsc::sync_channel(1_024);
    std::thread::spawn(move || {
        for text in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if send.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                break;
            }
        }
    });
    lines
}

/// Runs a program and returns what it printed.
pub(crate) fn output(root: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let output = command(root, program, args, &[]).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{}: {error}", line(program, args)))?;
    judge(program, args, Ok(output.status.success()))?;
    String::from_utf8(output.stdout).map_err(|_| format!("{}: not UTF-8", line(program, args)))
}

/// Whether a program is there at all.
pub(crate) fn is_installed(program: &str, version_args: &[&str]) -> bool {
    let quiet = Command::new(program)
        .args(version_args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Where cargo puts release binaries: we are one of them, so a target directory set anywhere
/// (environment, configuration) is respected without asking.
pub(crate) fn release_dir() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    own.parent().map(Path::to_owned).ok_or_else(|| "xtask has no directory".to_owned())
}

/// The release binary, built as the tests build it: what they need of the libraries is then compiled once,
/// and not once more for the binary alone.
pub(crate) fn stint(root: &Path) -> Result<PathBuf, String> {
    run(root, "cargo", &["test", "--release", "--locked", "--workspace", "--no-run"])?;
    let binary = release_dir()?.join("stint");
    if !binary.exists() {
        return Err(format!("{} was not built; run this as `cargo xtask`", binary.display()));
    }
    Ok(binary)
}

fn command(root: &Path, program: &str, args: &[&str], env: &[(&str, &str)]) -> Command {
    println!("$ {}", line(program, args));
    let in_tree = root.join(program);
    let found = if program.contains('/') { in_tree } else { PathBuf::from(program) };
    let mut command = Command::new(found);
    command.args(args).envs(env.iter().copied()).current_dir(root).stdin(Stdio::null());
    command
}

fn judge(program: &str, args: &[&str], success: std::io::Result<bool>) -> Result<(), String> {
    match success {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("failed: {}", line(program, args))),
        Err(error) => Err(format!("{}: {error}", line(program, args))),
    }
}

fn line(program: &str, args: &[&str]) -> String {
    [&[program], args].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_named() {
        let root = Path::new("/");
        assert_eq!(run(root, "true", &[]), Ok(()));
        assert_eq!(run(root, "false", &["x"]), Err("failed: false x".to_owned()));
        assert!(run(root, "no-such-program-here", &[]).is_err());
        assert!(is_installed("true", &[]) && !is_installed("no-such-program-here", &[]));
    }

    #[test]
    fn a_process_left_behind_is_noticed() {
        let left = run_watched(Path::new("/"), "sh", &["-c", "sleep 2 & exit 0"], "x");
        assert!(left.unwrap_err().contains("left a process"));
    }

    #[test]
    fn marked_lines_are_kept() {
        let kept = run_watched(Path::new("/"), "printf", &["a 1\nb 2\na 3"], "a ");
        assert_eq!(kept, Ok(vec!["a 1".to_owned(), "a 3".to_owned()]));
        let failed = run_watched(Path::new("/"), "sh", &["-c", "echo a 1; exit 3"], "a ");
        assert_eq!(failed, Err("failed: sh -c echo a 1; exit 3".to_owned()));
        assert_eq!(output(Path::new("/"), "printf", &["x y"]), Ok("x y".to_owned()));
    }
}
