//! The graph in a terminal: steps from the start downwards, ways that do not go to the next line as
//! arrows, what a step holds beside a bar.

use core::fmt::Write as _;

use super::{EdgeKind, Graph};
use crate::plan::Kind;
use crate::prelude::*;

impl Graph {
    /// Lines for a terminal.
    pub fn terminal(&self) -> String {
        let mut out = String::new();
        self.write_scope(0, "", &mut out);
        out
    }

    fn write_scope(&self, scope: usize, indent: &str, out: &mut String) {
        let order: Vec<usize> = self.ranks(scope).concat();
        for (at, step) in order.iter().enumerate() {
            let following = order.get(at + 1).copied();
            self.write_step(*step, following, indent, out);
        }
    }

    fn write_step(&self, at: usize, following: Option<usize>, indent: &str, out: &mut String) {
        let step = &self.steps[at];
        let sign = match step.kind {
            Kind::Choice => '◇',
            Kind::Parallel | Kind::Map => '▣',
            Kind::Wait => '◷',
            Kind::Succeed => '◉',
            Kind::Fail => '✗',
            Kind::Pass | Kind::Task => '●',
        };
        // Names are a stranger's: control characters stay out of the terminal.
        let name: String = step.name.chars().filter(|c| !c.is_control()).collect();
        let calls = step.calls.as_ref().map(|calls| format!(" {calls}")).unwrap_or_default();
        let spread = if step.is_distributed { " distributed" } else { "" };
        let retries = if step.retries > 0 { " ↻" } else { "" };
        // Writing to a String cannot fail.
        let _ok = writeln!(out, "{indent}{sign} {name}  {:?}{calls}{spread}{retries}", step.kind);
        for (number, scope) in self.held(at).into_iter().enumerate() {
            let kind = self.scopes[scope].kind;
            let _ok = writeln!(out, "{indent}│ ┌ {kind} {}", number + 1);
            self.write_scope(scope, &format!("{indent}│ │ "), out);
        }
        self.write_ways(at, following, indent, out);
    }

    fn write_ways(&self, at: usize, following: Option<usize>, indent: &str, out: &mut String) {
        for edge in self.edges_of(at) {
            if edge.kind == EdgeKind::Next && edge.to.is_some() && edge.to == following {
                let _ok = writeln!(out, "{indent}│");
                continue;
            }
            let to = edge.to.map_or("end", |to| self.steps[to].name.as_str());
            let sign = if edge.kind == EdgeKind::Catch { "⚠ " } else { "" };
            let space = if edge.label.is_empty() { "" } else { " " };
            let _ok = writeln!(out, "{indent}├─ {sign}{}{space}→ {to}", edge.label);
        }
    }
}
