//! What all front ends share while they build a plan: steps get their numbers before they are read, so
//! that transitions can point forward.

use alloc::collections::BTreeMap;

use crate::plan::{Dialect, Next, Plan, Scope, ScopeId, ScopeKind, Step, StepId};
use crate::prelude::*;
use crate::problem::{Problem, ProblemCode, nearest};
use crate::reader::Place;
use crate::text::Position;

/// Steps of one definition.
const STEPS_MAX: usize = 10_000;
/// How deep branches and iterations may lie in each other.
pub(crate) const SCOPE_DEPTH_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Builder {
    steps: Vec<Option<Step>>,
    scopes: Vec<Scope>,
    /// Every name of the definition with the scope it lies in.
    names: BTreeMap<String, (ScopeId, Position)>,
}

/// The steps of the scope that is being read.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) scope: ScopeId,
    ids: BTreeMap<String, StepId>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { steps: Vec::new(), scopes: Vec::new(), names: BTreeMap::new() }
    }

    pub(crate) fn open(&mut self, kind: ScopeKind, owner: Option<StepId>) -> Names {
        let scope = self.scopes.len();
        self.scopes.push(Scope { kind, owner, start: usize::MAX, steps: Vec::new() });
        Names { scope, ids: BTreeMap::new() }
    }

    /// A number for a step of this name; complains about a second of it.
    pub(crate) fn reserve(&mut self, names: &mut Names, name: &str, place: &Place<'_>) -> StepId {
        let id = self.steps.len();
        self.steps.push(None);
        if let Some(scope) = self.scopes.get_mut(names.scope) {
            scope.steps.push(id);
        }
        if id == STEPS_MAX {
            place.wrong(ProblemCode::TooLarge, format!("a flow has at most {STEPS_MAX} steps"));
        }
        if let Some((_, first)) = self.names.get(name) {
            let said = format!("the name `{name}` is already used on line {}", first.line);
            let hint = "names are unique in the whole definition, nested steps included";
            place.wrong_hint(ProblemCode::DuplicateName, said, hint);
        } else {
            self.names.insert(name.to_owned(), (names.scope, place.at()));
        }
        names.ids.entry(name.to_owned()).or_insert(id);
        id
    }

    pub(crate) fn fill(&mut self, id: StepId, step: Step) {
        if let Some(slot) = self.steps.get_mut(id) {
            *slot = Some(step);
        }
    }

    pub(crate) fn start(&mut self, scope: ScopeId, start: StepId) {
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.start = start;
        }
    }

    /// The step a transition names, in the scope of the one who goes.
    pub(crate) fn target(&self, names: &Names, place: &Place<'_>) -> Option<StepId> {
        let said = place.text()?;
        if let Some(id) = names.ids.get(said) {
            return Some(*id);
        }
        let known = names.ids.keys().map(String::as_str);
        let message = format!("there is no state `{said}` in this scope");
        match nearest(said, known) {
            Some(near) => {
                let hint = format!("did you mean `{near}`?");
                place.wrong_hint(ProblemCode::DanglingTarget, message, &hint);
            }
            None => place.wrong(ProblemCode::DanglingTarget, message),
        }
        None
    }

    pub(crate) fn next(&self, names: &Names, place: &Place<'_>) -> Option<Next> {
        self.target(names, place).map(Next::Step)
    }

    /// The plan, if every step could be read.
    pub(crate) fn build(self, dialect: Dialect) -> Option<Plan> {
        let steps: Option<Vec<_>> = self.steps.into_iter().collect();
        let steps = steps.filter(|steps| !steps.is_empty())?;
        if self.scopes.iter().any(|scope| scope.start >= steps.len()) {
            return None;
        }
        let (name, comment, timeout, enter, leave) = (None, None, None, None, None);
        let scopes = self.scopes;
        Some(Plan { dialect, name, comment, scopes, steps, timeout, enter, leave })
    }

    /// Every name with its place, for messages that are written when all are known.
    pub(crate) fn names_of_all(&self) -> AllNames {
        AllNames { names: self.names.iter().map(|(name, (_, at))| (name.clone(), *at)).collect() }
    }
}

#[derive(Debug)]
pub(crate) struct AllNames {
    names: BTreeMap<String, Position>,
}

impl AllNames {
    /// A target that was not found may lie in another scope: then that is the mistake.
    pub(crate) fn explain(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in &mut problems {
            let name = problem.message.split('`').nth(1).unwrap_or_default();
            if problem.code == ProblemCode::DanglingTarget
                && let Some(at) = self.names.get(name)
            {
                problem.code = ProblemCode::TargetOutOfScope;
                problem.message = format!("`{name}` lies in another scope, on line {}", at.line);
                let hint = "a transition cannot enter or leave a branch, an iteration or a list";
                problem.hint = Some(hint.to_owned());
            }
        }
        problems
    }
}
