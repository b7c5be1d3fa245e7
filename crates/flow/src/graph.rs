//! The graph of a plan: steps, edges and scopes as plain data, for consoles and for drawing.

mod svg;
mod terminal;

use serde::Serialize;

use crate::plan::{Dialect, Kind, Next, Plan, Resource, ScopeKind, Step, Work};
use crate::prelude::*;

/// A flow as a graph. Steps and scopes are named by their index.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// What it was written in.
    pub dialect: Dialect,
    /// Lists of steps that run as one: the machine, branches, iterations.
    pub scopes: Vec<GraphScope>,
    /// Steps.
    pub steps: Vec<GraphStep>,
    /// Ways between steps.
    pub edges: Vec<Edge>,
}

/// A list of steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphScope {
    /// `machine`, `branch`, `iteration` or `block`.
    pub kind: &'static str,
    /// The step that holds it.
    pub owner: Option<usize>,
    /// The first step.
    pub start: usize,
    /// All of them.
    pub steps: Vec<usize>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphStep {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// The scope it lies in.
    pub scope: usize,
    /// Line of the definition.
    pub line: u32,
    /// What a task calls.
    pub calls: Option<String>,
    /// Whether a map's items run as executions of their own.
    pub is_distributed: bool,
    /// Retry rules.
    pub retries: usize,
}

/// A way from a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// From this step.
    pub from: usize,
    /// To this one; none is the end of the scope.
    pub to: Option<usize>,
    /// What makes it go this way.
    pub kind: EdgeKind,
    /// In words: which rule, which errors.
    pub label: String,
}

/// Why an edge is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EdgeKind {
    /// The step is done.
    Next,
    /// A rule of a choice matched.
    Rule,
    /// No rule matched.
    Default,
    /// An error was caught.
    Catch,
}

impl Plan {
    /// The plan as a graph.
    pub fn graph(&self) -> Graph {
        let mut edges = Vec::new();
        for (from, step) in self.steps.iter().enumerate() {
            step.edges(from, &mut edges);
        }
        let scopes = self.scopes.iter().map(|scope| GraphScope {
            kind: match scope.kind {
                ScopeKind::Machine => "machine",
                ScopeKind::Branch(_) => "branch",
                ScopeKind::Iteration => "iteration",
                ScopeKind::Block => "block",
            },
            owner: scope.owner,
            start: scope.start,
            steps: scope.steps.clone(),
        });
        let steps = self.steps.iter().map(|step| GraphStep {
            name: step.name.clone(),
            kind: step.kind,
            scope: step.scope,
            line: step.at.line,
            calls: step.calls(),
            is_distributed: matches!(&step.work, Work::Map(map) if map.distributed.is_some()),
            retries: step.retry.len(),
        });
        Graph { dialect: self.dialect, scopes: scopes.collect(), steps: steps.collect(), edges }
    }
}

impl Step {
    fn calls(&self) -> Option<String> {
        let Work::Task(task) = &self.work else { return None };
        Some(match &task.resource {
            Resource::Function { name, qualifier: None } => name.clone(),
            Resource::Function { name, qualifier: Some(qualifier) } => {
                format!("{name}:{qualifier}")
            }
            Resource::Flow { name } => format!("flow {name}"),
            Resource::Activity { name } => format!("activity {name}"),
            Resource::Service { product, api } => format!("{product}:{api}"),
        })
    }

    fn edges(&self, from: usize, edges: &mut Vec<Edge>) {
        let mut add = |next: Next, kind, label: String| {
            let to = match next {
                Next::Step(step) => Some(step),
                Next::End => None,
            };
            edges.push(Edge { from, to, kind, label });
        };
        match &self.work {
            Work::Choice { rules, default } => {
                for (at, rule) in rules.iter().enumerate() {
                    add(rule.way.next, EdgeKind::Rule, format!("rule {}", at + 1));
                }
                if let Some(way) = default {
                    add(way.next, EdgeKind::Default, "default".to_owned());
                }
            }
            Work::Fail { .. } => {}
            Work::Pass { .. }
            | Work::Task(_)
            | Work::Wait(_)
            | Work::Succeed
            | Work::Parallel(_)
            | Work::Map(_) => add(self.next, EdgeKind::Next, String::new()),
        }
        for rule in &self.catch {
            add(rule.next, EdgeKind::Catch, rule.errors.join(", "));
        }
    }
}

impl Graph {
    /// The scopes that a step holds, in order.
    fn held(&self, step: usize) -> Vec<usize> {
        let is_held = |(_, scope): &(usize, &GraphScope)| scope.owner == Some(step);
        self.scopes.iter().enumerate().filter(is_held).map(|(at, _)| at).collect()
    }

    fn edges_of(&self, step: usize) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == step)
    }

    /// Steps of a scope by how far they are from its start; what nobody reaches comes last.
    fn ranks(&self, scope: usize) -> Vec<Vec<usize>> {
        let scope = &self.scopes[scope];
        let mut seen = alloc::collections::BTreeSet::from([scope.start]);
        let mut ranks = Vec::new();
        let mut rank = vec![scope.start];
        while !rank.is_empty() {
            let mut next = Vec::new();
            for to in rank.iter().flat_map(|from| self.edges_of(*from)).filter_map(|edge| edge.to) {
                if seen.insert(to) {
                    next.push(to);
                }
            }
            ranks.push(core::mem::replace(&mut rank, next));
        }
        let rest: Vec<_> =
            scope.steps.iter().copied().filter(|step| !seen.contains(step)).collect();
        if !rest.is_empty() {
            ranks.push(rest);
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use crate::{CompileOptions, compile};

    const FLOW: &str = r#"{"StartAt": "Look", "States": {
        "Look": {"Type": "Choice", "Choices": [{"Variable": "$.n", "IsPresent": true, "Next": "Both"}], "Default": "Oops"},
        "Both": {"Type": "Parallel", "Branches": [
            {"StartAt": "L", "States": {"L": {"Type": "Task", "Resource": "left", "End": true}}},
            {"StartAt": "R<>", "States": {"R<>": {"Type": "Wait", "Seconds": 1, "End": true}}}],
          "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Oops"}], "Next": "Done"},
        "Oops": {"Type": "Fail"}, "Done": {"Type": "Succeed"}}}"#;

    #[test]
    fn a_graph_has_every_way() {
        let graph = compile(FLOW, CompileOptions::default()).plan.unwrap().graph();
        let named = |at: usize| graph.steps[at].name.as_str();
        let ways: Vec<_> = graph
            .edges
            .iter()
            .map(|edge| (named(edge.from), edge.to.map(named), edge.label.as_str()))
            .collect();
        assert!(ways.contains(&("Look", Some("Both"), "rule 1")));
        assert!(ways.contains(&("Look", Some("Oops"), "default")));
        assert!(ways.contains(&("Both", Some("Oops"), "States.ALL")));
        assert!(ways.contains(&("L", None, "")));
        assert_eq!(graph.scopes.len(), 3);
    }

    #[test]
    fn drawings_name_every_step_and_escape_them() {
        let graph = compile(FLOW, CompileOptions::default()).plan.unwrap().graph();
        let drawn = graph.terminal();
        for name in ["Look", "Both", "L", "R<>", "Oops", "Done"] {
            assert!(drawn.contains(name), "{name} in\n{drawn}");
        }
        let svg = graph.svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("R&lt;&gt;") && !svg.contains("R<>"));
    }
}
