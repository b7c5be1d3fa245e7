//! What can be wrong with a plan as a whole: states nobody reaches, scopes that never end, variables
//! assigned from inside.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::plan::{Dialect, Kind, Next, Plan, ScopeId, Step, StepId, Work};
use crate::prelude::*;
use crate::problem::{Problem, ProblemCode, Severity};
use crate::template::Template;

pub(crate) fn check(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for scope in 0..plan.scopes.len() {
        reach(plan, scope, &mut problems);
    }
    if plan.dialect == Dialect::StatesLanguage {
        scopes_of_variables(plan, &mut problems);
    }
    problems
}

fn problem(code: ProblemCode, step: &Step, said: String) -> Problem {
    Problem::error(code, step.path.clone(), step.at, said)
}

impl Step {
    /// Where it may go on within its scope.
    pub(crate) fn ways(&self) -> Vec<Next> {
        let mut ways = Vec::new();
        match &self.work {
            Work::Choice { rules, default } => {
                ways.extend(rules.iter().map(|rule| rule.way.next));
                ways.extend(default.iter().map(|way| way.next));
            }
            Work::Fail { .. } => {}
            Work::Pass { .. }
            | Work::Task(_)
            | Work::Wait(_)
            | Work::Succeed
            | Work::Parallel(_)
            | Work::Map(_) => ways.push(self.next),
        }
        ways.extend(self.catch.iter().map(|rule| rule.next));
        ways
    }
}

fn reach(plan: &Plan, scope: ScopeId, problems: &mut Vec<Problem>) {
    let scope = &plan.scopes[scope];
    let mut seen = BTreeSet::new();
    let mut left = vec![scope.start];
    let mut ends = false;
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        let step = &plan.steps[id];
        ends |= matches!(step.kind, Kind::Fail | Kind::Succeed);
        for way in step.ways() {
            match way {
                Next::Step(next) => left.push(next),
                Next::End => ends = true,
            }
        }
    }
    for id in scope.steps.iter().filter(|id| !seen.contains(id)) {
        let step = &plan.steps[*id];
        let said = format!("no way leads to `{}`", step.name);
        let mut problem = problem(ProblemCode::UnreachableState, step, said);
        problem.hint = Some("remove it, or let a `Next`, a rule or a catch lead to it".to_owned());
        // FDL's lists run in order, so what nobody reaches there is dead but harmless.
        if plan.dialect == Dialect::Fdl {
            problem.severity = Severity::Warning;
        }
        problems.push(problem);
    }
    if !ends && let Some(step) = plan.steps.get(scope.start) {
        let said = format!("from `{}` no way leads to an end", step.name);
        let mut problem = problem(ProblemCode::NoTerminalState, step, said);
        problem.hint = Some("some state must end the scope".to_owned());
        problems.push(problem);
    }
}

/// Names that the steps of a scope assign.
fn assigned(step: &Step) -> BTreeSet<&str> {
    let mut templates: Vec<&Template> = step.assign.iter().collect();
    templates.extend(step.catch.iter().filter_map(|rule| rule.assign.as_ref()));
    if let Work::Choice { rules, default } = &step.work {
        let ways = rules.iter().map(|rule| &rule.way).chain(default);
        templates.extend(ways.filter_map(|way| way.assign.as_ref()));
    }
    templates.into_iter().flat_map(keys).collect()
}

fn keys(template: &Template) -> Vec<&str> {
    match template {
        Template::Object(entries) => entries.iter().map(|(key, _)| key.as_str()).collect(),
        Template::Const(Value::Object(map)) => map.keys().map(String::as_str).collect(),
        Template::Const(_) | Template::List(_) | Template::Leaf(_) => Vec::new(),
    }
}

fn scopes_of_variables(plan: &Plan, problems: &mut Vec<Problem>) {
    let mut by_scope: BTreeMap<ScopeId, BTreeMap<&str, StepId>> = BTreeMap::new();
    for (id, step) in plan.steps.iter().enumerate() {
        for name in assigned(step) {
            by_scope.entry(step.scope).or_default().entry(name).or_insert(id);
        }
    }
    for step in &plan.steps {
        for name in assigned(step) {
            let outer = plan.outer_scopes(step.scope);
            let first = outer.iter().find_map(|scope| by_scope.get(scope)?.get(name));
            if let Some(first) = first.and_then(|id| plan.steps.get(*id)) {
                let said = format!(
                    "`{}` assigns ${name}, which belongs to an outer scope (`{}`, line {})",
                    step.name, first.name, first.at.line
                );
                let mut problem = problem(ProblemCode::ScopeViolation, step, said);
                problem.hint =
                    Some("use another name, or hand the value out as the output".to_owned());
                problems.push(problem);
            }
        }
    }
}

impl Plan {
    /// The scopes around one, up to where variables are visible: a distributed map shows none.
    pub(crate) fn outer_scopes(&self, scope: ScopeId) -> Vec<ScopeId> {
        let mut outer = Vec::new();
        let mut here = scope;
        while let Some(owner) = self.scopes.get(here).and_then(|scope| self.steps.get(scope.owner?))
        {
            if matches!(&owner.work, Work::Map(map) if map.distributed.is_some()) {
                break;
            }
            here = owner.scope;
            outer.push(here);
        }
        outer
    }
}
