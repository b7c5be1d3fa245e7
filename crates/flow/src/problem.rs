//! What is wrong with a definition: where, why, and what to do. Codes are stable: tools and the
//! documentation name them.

use crate::prelude::*;
use crate::text::Position;

/// One finding. An error forbids the definition, a warning does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable name of the kind of mistake.
    pub code: ProblemCode,
    /// Whether it forbids the definition.
    pub severity: Severity,
    /// Where in the document, as a JSON pointer; empty for the document itself.
    pub path: String,
    /// Where in the text.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// The kinds of mistakes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ProblemCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// The text is no JSON or YAML.
    Syntax = "syntax",
    /// The text or its nesting is too large.
    TooLarge = "too-large",
    /// A key twice in one object.
    DuplicateKey = "duplicate-key",
    /// Neither FDL, CloudFlow nor States Language.
    UnknownDialect = "unknown-dialect",
    /// A field that does not exist here.
    UnknownField = "unknown-field",
    /// A field that must be there is not.
    MissingField = "missing-field",
    /// A value of the wrong type.
    WrongType = "wrong-type",
    /// A value outside its range or set.
    WrongValue = "wrong-value",
    /// Two fields of which only one may be there.
    BothOfTwo = "both-of-two",
    /// A name that is used twice.
    DuplicateName = "duplicate-name",
    /// A transition to a state that is not there.
    DanglingTarget = "dangling-target",
    /// A transition into or out of another list, branch or processor.
    TargetOutOfScope = "target-out-of-scope",
    /// No way leads to this state.
    UnreachableState = "unreachable-state",
    /// No way leads from here to an end.
    NoTerminalState = "no-terminal-state",
    /// A variable of an outer scope is assigned, or one that is reserved.
    ScopeViolation = "scope-violation",
    /// A path that does not parse or may not stand here.
    BadPath = "bad-path",
    /// An expression, intrinsic call or condition that does not parse.
    BadExpression = "bad-expression",
    /// A timestamp that is none.
    BadTimestamp = "bad-timestamp",
    /// A resource or action that cannot be understood.
    BadResource = "bad-resource",
    /// A retry or catch rule that can never fire or is misplaced.
    BadErrorRule = "bad-error-rule",
    /// A field of the other query language.
    WrongLanguage = "wrong-language",
    /// Something that an Express flow cannot do.
    NotInExpress = "not-in-express",
}

impl Problem {
    pub(crate) fn error(
        code: ProblemCode,
        path: impl Into<String>,
        at: Position,
        message: impl Into<String>,
    ) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { code, severity: Severity::Error, path, at, message, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it forbids the definition.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The candidate that is probably meant.
pub(crate) fn nearest<'a>(said: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (said.chars().count() / 3).max(1);
    let near = among.map(|name| (distance(said, name), name)).filter(|(far, _)| *far <= limit);
    near.min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

/// Edits between two words; upper and lower case are near each other.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().flat_map(char::to_lowercase).take(64).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_stable() {
        let names: alloc::collections::BTreeSet<_> =
            ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ProblemCode::ALL.len());
        assert!(names.contains("dangling-target"));
    }

    #[test]
    fn the_nearest_name_is_offered() {
        let fields = ["Next", "ResultPath", "Retry"];
        assert_eq!(nearest("next", fields.into_iter()), Some("Next"));
        assert_eq!(nearest("ResultPaht", fields.into_iter()), Some("ResultPath"));
        assert_eq!(nearest("Elephant", fields.into_iter()), None);
    }
}
