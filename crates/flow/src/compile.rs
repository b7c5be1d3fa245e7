//! From text to plan. The dialect is recognised from what the document says about itself.

use crate::builder::Builder;
use crate::check;
use crate::dialect::{asl, cloudflow, fdl};
use crate::plan::{Dialect, ExecutionMode, Plan};
use crate::prelude::*;
use crate::problem::{Problem, ProblemCode};
use crate::reader::{Place, Problems};
use crate::text::{self, Node};

/// What was compiled, or why not.
#[derive(Debug)]
pub struct Compiled {
    /// What it is written in, if that can be told.
    pub dialect: Option<Dialect>,
    /// The plan; none if there is an error among the problems.
    pub plan: Option<Plan>,
    /// All that was found, in the order of the text.
    pub problems: Vec<Problem>,
}

impl Compiled {
    /// Lets somebody who can judge the syntax of every JSONata expression. What is wrong is one more
    /// problem, and the plan is gone.
    pub fn judge_jsonata(&mut self, check: &dyn Fn(&str) -> Result<(), String>) {
        let Some(plan) = &self.plan else { return };
        let mut found = Vec::new();
        for expression in plan.jsonata() {
            if let Err(said) = check(expression.source) {
                let said = format!("the JSONata expression is wrong: {said}");
                let path = format!("{}/{}", expression.path, expression.field);
                found.push(Problem::error(ProblemCode::BadExpression, path, expression.at, said));
            }
        }
        if !found.is_empty() {
            self.plan = None;
            self.problems.append(&mut found);
            self.problems.sort_by_key(|problem| problem.at);
        }
    }
}

/// What a caller says beside the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions {
    /// Express executions can do less.
    pub mode: ExecutionMode,
}

/// Compiles a definition in any of the dialects. Total: every text gives a plan or problems.
pub fn compile(definition: &str, options: CompileOptions) -> Compiled {
    let tree = match text::read(definition) {
        Ok(tree) => tree,
        Err(problems) => return Compiled { dialect: None, plan: None, problems },
    };
    let problems = Problems::default();
    let place = Place::root(&tree, &problems);
    let Some(dialect) = recognise(&tree) else {
        place.wrong_hint(
            ProblemCode::UnknownDialect,
            "this is no flow definition",
            "FDL has `version` and `type: flow`, CloudFlow `Type: StateMachine`, States Language `StartAt` and `States`",
        );
        return Compiled { dialect: None, plan: None, problems: problems.into_sorted() };
    };
    let mut builder = Builder::new();
    let mut plan = match dialect {
        Dialect::StatesLanguage => {
            let header = asl::read(&mut builder, &place, options.mode);
            let names = builder.names_of_all();
            (builder.build(dialect), header.comment, None, header.timeout, names)
        }
        Dialect::CloudFlow => {
            let header = cloudflow::read(&mut builder, &place, options.mode);
            let names = builder.names_of_all();
            (builder.build(dialect), header.comment, header.name, None, names)
        }
        Dialect::Fdl => {
            let header = fdl::read(&mut builder, &place, options.mode);
            let names = builder.names_of_all();
            let mut plan = builder.build(dialect);
            if let Some(plan) = &mut plan {
                (plan.enter, plan.leave) = (header.enter, header.leave);
            }
            (plan, None, header.name, header.timeout, names)
        }
    };
    if let Some(built) = &mut plan.0 {
        (built.comment, built.name, built.timeout) = (plan.1, plan.2, plan.3);
        if !problems.has_errors() {
            check::check(built).into_iter().for_each(|problem| problems.add(problem));
        }
    }
    let is_refused = problems.has_errors() || plan.0.is_none();
    let problems = plan.4.explain(problems.into_sorted());
    Compiled { dialect: Some(dialect), plan: plan.0.filter(|_| !is_refused), problems }
}

/// What the document says it is.
pub(crate) fn recognise(tree: &Node) -> Option<Dialect> {
    let is_cloud = tree.entry("SpecVersion").is_some()
        || tree.entry("Type").and_then(Node::text) == Some("StateMachine");
    let is_fdl = tree.entry("steps").is_some()
        || (tree.entry("version").is_some() && tree.entry("type").is_some());
    if is_cloud {
        Some(Dialect::CloudFlow)
    } else if is_fdl {
        Some(Dialect::Fdl)
    } else if tree.entry("StartAt").is_some() || tree.entry("States").is_some() {
        Some(Dialect::StatesLanguage)
    } else {
        None
    }
}
