//! What is wrong with a definition, as a compiler says it: where, the line itself, and what to do.

use serde::Serialize;
use stint_flow::Problem;

use crate::command::Context;

/// One finding for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    file: String,
    line: u32,
    column: u32,
    severity: &'static str,
    code: &'static str,
    message: String,
    hint: Option<String>,
    path: String,
}

impl Finding {
    pub(super) fn of(file: &str, problem: &Problem) -> Self {
        Self {
            file: file.to_owned(),
            line: problem.at.line,
            column: problem.at.column,
            severity: severity(problem),
            code: problem.code.as_str(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            path: problem.path.clone(),
        }
    }
}

const fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        stint_flow::Severity::Error => "error",
        stint_flow::Severity::Warning => "warning",
    }
}

pub(super) fn show(file: &str, text: &str, problems: &[Problem], context: &Context) {
    for problem in problems {
        context.screen.note(lines(file, text, problem));
    }
}

/// Characters of a line that are shown.
const SHOWN: usize = 100;

fn lines(file: &str, text: &str, problem: &Problem) -> String {
    let (line, column) = (problem.at.line, problem.at.column);
    let code = problem.code.as_str();
    let head =
        format!("{file}:{line}:{column}: {}[{code}]: {}\n", severity(problem), problem.message);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let source = line.checked_sub(1).and_then(|at| text.lines().nth(usize::try_from(at).ok()?));
    let source = source.map(|source| {
        let (shown, mark) = excerpt(source, usize::try_from(column).unwrap_or(1));
        format!(" {margin} |\n {number} | {shown}\n {margin} | {mark}^\n")
    });
    let path = Some(&problem.path).filter(|path| !path.is_empty());
    let path = path.map(|path| format!(" {margin} = at: {path}\n"));
    let hint = problem.hint.as_ref().map(|hint| format!(" {margin} = help: {hint}\n"));
    [Some(head), source, path, hint].into_iter().flatten().collect()
}

/// A part of a line around a column, and the space before its mark.
fn excerpt(line: &str, column: usize) -> (String, String) {
    let at = column.saturating_sub(1);
    let start = at.saturating_sub(SHOWN / 2);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(start).take(SHOWN).map(visible).collect();
    (shown, " ".repeat(at - start))
}

#[cfg(test)]
mod tests {
    use stint_flow::{CompileOptions, compile};

    use super::*;

    #[test]
    fn a_finding_shows_its_line() {
        let text =
            "{\"StartAt\": \"A\",\n \"States\": {\"A\": {\"Type\": \"Pass\", \"Next\": \"B\"}}}";
        let compiled = compile(text, CompileOptions::default());
        let shown = lines("f.json", text, &compiled.problems[0]);
        assert!(shown.starts_with("f.json:2:43: error[dangling-target]: "), "{shown}");
        assert!(shown.contains(" 2 |  \"States\""), "{shown}");
        assert!(shown.contains(" = at: /States/A/Next"), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let (shown, mark) = excerpt(&"x".repeat(5_000), 3_000);
        assert_eq!((shown.len(), mark.len()), (SHOWN, SHOWN / 2));
        assert_eq!(excerpt("ab", 1), ("ab".to_owned(), String::new()));
    }
}
