//! How a command ends badly: what is said and which exit code scripts see.

use std::fmt;

use stint_supervise::chain;

/// The exit codes, their meaning. `docs/cli.md` carries the same table; a test compares them.
pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "the server refused, or something on this machine went wrong"),
    (2, "the command line or a project file is wrong"),
    (3, "what was asked for does not exist"),
    (4, "waited for as long as was asked, and it has not happened"),
    (5, "cannot connect to the server"),
    (6, "the task, the execution or the invocation failed"),
    (7, "the key is missing, wrong, or not allowed to do this"),
    (130, "interrupted"),
];

/// One of the codes above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    NotFound = 3,
    TimedOut = 4,
    Unreachable = 5,
    TaskFailed = 6,
    Denied = 7,
    Interrupted = 130,
}

/// What went wrong, and what to do next where that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) next: Option<String>,
    /// The exit code of a command that ran in an instance, instead of ours.
    pub(crate) command: Option<u8>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: None, command: None }
    }

    /// Something on this machine.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(Exit::Other, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A command that ran in an instance has failed with this code.
    pub(crate) fn of_command(code: u8, message: impl Into<String>) -> Self {
        Self { command: Some(code), ..Self::new(Exit::TaskFailed, message) }
    }

    /// A local error with its sources, after "cannot".
    pub(crate) fn cannot(
        doing: impl fmt::Display,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::local(format!("cannot {doing}: {}", chain(error)))
    }

    pub(crate) fn code(&self) -> u8 {
        if let Some(code) = self.command {
            return code;
        }
        // The discriminants are the codes of the table.
        match self.exit {
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::TimedOut => 4,
            Exit::Unreachable => 5,
            Exit::TaskFailed => 6,
            Exit::Denied => 7,
            Exit::Interrupted => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::Interrupted {
            return Self::new(Exit::Interrupted, "interrupted");
        }
        Self::local(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_and_in_the_docs() {
        let exits = [
            Exit::Other,
            Exit::Usage,
            Exit::NotFound,
            Exit::TimedOut,
            Exit::Unreachable,
            Exit::TaskFailed,
            Exit::Denied,
            Exit::Interrupted,
        ];
        let docs = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md"));
        for exit in exits {
            let code = Failure::new(exit, "").code();
            assert!(EXIT_CODES.iter().any(|(known, _)| *known == code), "{exit:?}");
        }
        for (code, meaning) in EXIT_CODES {
            assert!(docs.contains(&format!("| {code} | {meaning} |")), "docs/cli.md lacks {code}");
        }
    }

    #[test]
    fn what_to_do_next_stands_on_a_line_of_its_own() {
        let failure = Failure::local("cannot do it").next("stint doctor");
        assert_eq!(failure.to_string(), "cannot do it\n  next: stint doctor");
    }
}
