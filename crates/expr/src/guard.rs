//! Rewrites an expression so that nothing in it can grow without bound inside one call of the library,
//! where no limit of its own looks.
//!
//! - `$join`, `$pad`, `$replace`, `$string` and others that multiply their input run after a host
//!   function has judged their arguments: `(​$a := …; $b := …; $__may_join($a, $b); $join($a, $b))`.
//! - Operands of `&`, `=`, `!=` and `in`, and every array and object that is built, are measured:
//!   values share their parts, so one that is written out, or compared, can be endless although it
//!   takes no memory.

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};

/// Measures a value and gives it back.
pub(crate) const FITS: &str = "__fits";

/// Functions that are judged before they run, with as many parameters as they have.
pub(crate) const JUDGED: &[(&str, usize)] = &[
    ("join", 2),
    ("pad", 3),
    ("replace", 4),
    ("string", 2),
    ("distinct", 1),
    ("base64encode", 1),
    ("fromMillis", 3),
];

/// Functions whose results are measured.
const MEASURED: &[&str] =
    &["append", "merge", "zip", "spread", "each", "sift", "map", "reverse", "shuffle"];

/// The host function that judges `name`.
pub(crate) fn judge(name: &str) -> String {
    format!("__may_{name}")
}

/// The expression with its guards.
pub(crate) fn guard(node: AstNode) -> AstNode {
    let mut bound = Vec::new();
    bindings(&node, &mut bound);
    Guard { bound, fresh: 0 }.node(node)
}

struct Guard {
    /// Names that the expression binds itself.
    bound: Vec<String>,
    fresh: usize,
}

fn call(name: &str, args: Vec<AstNode>) -> AstNode {
    AstNode::Function { name: name.to_owned(), args, is_builtin: true }
}

fn fits(node: AstNode) -> AstNode {
    call(FITS, vec![node])
}

impl Guard {
    fn all(&mut self, nodes: Vec<AstNode>) -> Vec<AstNode> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn boxed(&mut self, node: Box<AstNode>) -> Box<AstNode> {
        let mut node = node;
        let inner = std::mem::replace(&mut *node, AstNode::Null);
        *node = self.node(inner);
        node
    }

    fn pairs(&mut self, pairs: Vec<(AstNode, AstNode)>) -> Vec<(AstNode, AstNode)> {
        pairs.into_iter().map(|(key, value)| (self.node(key), self.node(value))).collect()
    }

    fn node(&mut self, node: AstNode) -> AstNode {
        match node {
            AstNode::Function { name, args, is_builtin } => {
                let args = self.all(args);
                self.function(name, args, is_builtin)
            }
            AstNode::Variable(name) => self.reference(name),
            AstNode::Binary { op, lhs, rhs } => self.binary(op, lhs, rhs),
            AstNode::Array(items) => fits(self.array(items)),
            AstNode::Object(pairs) => fits(AstNode::Object(self.pairs(pairs))),
            AstNode::Path { steps } => {
                AstNode::Path { steps: steps.into_iter().map(|step| self.step(step)).collect() }
            }
            AstNode::Unary { op, operand } => AstNode::Unary { op, operand: self.boxed(operand) },
            AstNode::Call { procedure, args } => {
                AstNode::Call { procedure: self.boxed(procedure), args: self.all(args) }
            }
            AstNode::Lambda { params, body, signature, thunk } => {
                AstNode::Lambda { params, body: self.boxed(body), signature, thunk }
            }
            AstNode::ObjectTransform { input, pattern } => {
                AstNode::ObjectTransform { input: self.boxed(input), pattern: self.pairs(pattern) }
            }
            AstNode::Block(nodes) => AstNode::Block(self.all(nodes)),
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.boxed(condition),
                then_branch: self.boxed(then_branch),
                else_branch: else_branch.map(|node| self.boxed(node)),
            },
            AstNode::ArrayGroup(nodes) => match self.array(nodes) {
                AstNode::Array(nodes) => AstNode::ArrayGroup(nodes),
                other => other,
            },
            AstNode::FunctionApplication(node) => AstNode::FunctionApplication(self.boxed(node)),
            AstNode::Sort { input, terms } => AstNode::Sort {
                input: self.boxed(input),
                terms: terms.into_iter().map(|(node, order)| (self.node(node), order)).collect(),
            },
            AstNode::Transform { location, update, delete } => AstNode::Transform {
                location: self.boxed(location),
                update: self.boxed(update),
                delete: delete.map(|node| self.boxed(node)),
            },
            leaf @ (AstNode::String(_)
            | AstNode::Name(_)
            | AstNode::Number(_)
            | AstNode::Boolean(_)
            | AstNode::Null
            | AstNode::Undefined
            | AstNode::Placeholder
            | AstNode::Regex { .. }
            | AstNode::ParentVariable(_)
            | AstNode::Wildcard
            | AstNode::Descendant
            | AstNode::Parent(_)) => leaf,
        }
    }

    /// An array inside of an array is one item of it, which is seen by its form.
    fn array(&mut self, items: Vec<AstNode>) -> AstNode {
        let item = |item| match item {
            AstNode::Array(items) => self.array(items),
            other => self.node(other),
        };
        AstNode::Array(items.into_iter().map(item).collect())
    }

    /// A step of a path keeps its form where the form means something: `a.[b]` and `a.{…}` build for
    /// each item.
    fn step(&mut self, step: PathStep) -> PathStep {
        let PathStep { node, stages, focus, index_var, ancestor_label, is_tuple, inner_tuple, id } =
            step;
        let node = match node {
            AstNode::Array(items) => self.array(items),
            AstNode::Object(pairs) => AstNode::Object(self.pairs(pairs)),
            AstNode::Function { name, args, is_builtin } if is_measured(&name) => {
                AstNode::Function { name, args: self.all(args), is_builtin }
            }
            other => self.node(other),
        };
        let stage = |stage| match stage {
            Stage::Filter(node) => Stage::Filter(self.boxed(node)),
            other @ (Stage::KeepArray | Stage::Index(_)) => other,
        };
        let stages = stages.into_iter().map(stage).collect();
        PathStep { node, stages, focus, index_var, ancestor_label, is_tuple, inner_tuple, id }
    }

    fn binary(&mut self, op: BinaryOp, lhs: Box<AstNode>, rhs: Box<AstNode>) -> AstNode {
        match op {
            BinaryOp::Concatenate | BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::In => {
                let (lhs, rhs) = (Box::new(fits(self.node(*lhs))), Box::new(fits(self.node(*rhs))));
                AstNode::Binary { op, lhs, rhs }
            }
            // What is bound is a name, not a use of one.
            BinaryOp::ColonEqual | BinaryOp::FocusBind | BinaryOp::IndexBind => {
                let rhs = self.boxed(rhs);
                let lhs = if matches!(op, BinaryOp::ColonEqual) { lhs } else { self.boxed(lhs) };
                AstNode::Binary { op, lhs, rhs }
            }
            // `a ~> $f(b)` is `$f(a, b)`.
            BinaryOp::ChainPipe => match *rhs {
                AstNode::Function { name, args, is_builtin }
                    if (self.is_judged(&name) || self.is_measured(&name))
                        && !args.iter().any(is_placeholder) =>
                {
                    let mut all = vec![self.node(*lhs)];
                    all.extend(self.all(args));
                    self.function(name, all, is_builtin)
                }
                rhs => AstNode::Binary { op, lhs: self.boxed(lhs), rhs: Box::new(self.node(rhs)) },
            },
            BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Modulo
            | BinaryOp::LessThan
            | BinaryOp::LessThanOrEqual
            | BinaryOp::GreaterThan
            | BinaryOp::GreaterThanOrEqual
            | BinaryOp::And
            | BinaryOp::Or
            | BinaryOp::Range
            | BinaryOp::Coalesce
            | BinaryOp::Default => {
                AstNode::Binary { op, lhs: self.boxed(lhs), rhs: self.boxed(rhs) }
            }
        }
    }

    fn is_judged(&self, name: &str) -> bool {
        JUDGED.iter().any(|(judged, _)| *judged == name) && !self.is_bound(name)
    }

    fn is_measured(&self, name: &str) -> bool {
        is_measured(name) && !self.is_bound(name)
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }

    fn function(&mut self, name: String, args: Vec<AstNode>, is_builtin: bool) -> AstNode {
        if !is_builtin || self.is_bound(&name) {
            return AstNode::Function { name, args, is_builtin };
        }
        if name == "now" {
            let mut all = vec![call("millis", Vec::new())];
            all.extend(args);
            return self.function("fromMillis".to_owned(), all, true);
        }
        if is_measured(&name) && !args.iter().any(is_placeholder) {
            return fits(AstNode::Function { name, args, is_builtin });
        }
        if !self.is_judged(&name) {
            return AstNode::Function { name, args, is_builtin };
        }
        if !args.iter().any(is_placeholder) {
            return self.judged(name, args);
        }
        // A partial application becomes the lambda it stands for.
        let mut params = Vec::new();
        let filled = args
            .into_iter()
            .map(|arg| match arg {
                AstNode::Placeholder => {
                    params.push(self.name());
                    AstNode::Variable(params[params.len() - 1].clone())
                }
                other => other,
            })
            .collect();
        let body = Box::new(self.judged(name, filled));
        AstNode::Lambda { params, body, signature: None, thunk: false }
    }

    fn name(&mut self) -> String {
        self.fresh += 1;
        format!("__{}", self.fresh)
    }

    fn judged(&mut self, name: String, args: Vec<AstNode>) -> AstNode {
        let mut nodes = Vec::new();
        let mut uses = Vec::new();
        for arg in args {
            let fresh = self.name();
            let lhs = Box::new(AstNode::Variable(fresh.clone()));
            nodes.push(AstNode::Binary { op: BinaryOp::ColonEqual, lhs, rhs: Box::new(arg) });
            uses.push(AstNode::Variable(fresh));
        }
        if nodes.is_empty() {
            return AstNode::Function { name, args: Vec::new(), is_builtin: true };
        }
        nodes.push(call(&judge(&name), uses.clone()));
        nodes.push(AstNode::Function { name, args: uses, is_builtin: true });
        AstNode::Block(nodes)
    }

    /// A judged function as a value is a lambda that judges.
    fn reference(&mut self, name: String) -> AstNode {
        if name == "now" && !self.is_bound("now") {
            let body = Box::new(self.function(name, Vec::new(), true));
            return AstNode::Lambda { params: Vec::new(), body, signature: None, thunk: false };
        }
        let judged = JUDGED.iter().find(|(judged, _)| *judged == name && !self.is_bound(&name));
        let Some((_, arity)) = judged else { return AstNode::Variable(name) };
        // What is optional is not passed on by those who call back.
        let arity = if name == "string" { 1 } else { *arity };
        let params: Vec<_> = (0..arity).map(|_| self.name()).collect();
        let uses = params.iter().cloned().map(AstNode::Variable).collect();
        let body = Box::new(self.judged(name, uses));
        AstNode::Lambda { params, body, signature: None, thunk: false }
    }
}

fn is_measured(name: &str) -> bool {
    MEASURED.contains(&name)
}

fn is_placeholder(node: &AstNode) -> bool {
    matches!(node, AstNode::Placeholder)
}

/// Names that the expression binds: they mean what it says.
fn bindings(node: &AstNode, bound: &mut Vec<String>) {
    match node {
        AstNode::Binary { op: BinaryOp::ColonEqual, lhs, .. } => {
            if let AstNode::Variable(name) = &**lhs {
                bound.push(name.clone());
            }
        }
        AstNode::Lambda { params, .. } => bound.extend(params.iter().cloned()),
        AstNode::Path { steps } => {
            for step in steps {
                bound.extend(step.focus.iter().chain(&step.index_var).cloned());
                let index = |stage: &Stage| match stage {
                    Stage::Index(name) => Some(name.clone()),
                    Stage::Filter(_) | Stage::KeepArray => None,
                };
                bound.extend(step.stages.iter().filter_map(index));
            }
        }
        _ => {}
    }
    for inner in inner(node) {
        bindings(inner, bound);
    }
}

/// The nodes right below one.
fn inner(node: &AstNode) -> Vec<&AstNode> {
    let both = |pairs| {
        let pairs: &[(AstNode, AstNode)] = pairs;
        pairs.iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>()
    };
    match node {
        AstNode::Binary { lhs, rhs, .. } => vec![lhs, rhs],
        AstNode::Lambda { body, .. } => vec![body],
        AstNode::Unary { operand: node, .. } | AstNode::FunctionApplication(node) => vec![node],
        AstNode::Function { args: nodes, .. }
        | AstNode::Array(nodes)
        | AstNode::Block(nodes)
        | AstNode::ArrayGroup(nodes) => nodes.iter().collect(),
        AstNode::Call { procedure, args } => std::iter::once(&**procedure).chain(args).collect(),
        AstNode::Object(pairs) => both(pairs),
        AstNode::ObjectTransform { input, pattern } => {
            std::iter::once(&**input).chain(both(pattern)).collect()
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            let all = [Some(condition), Some(then_branch), else_branch.as_ref()];
            all.into_iter().flatten().map(|node| &**node).collect()
        }
        AstNode::Sort { input, terms } => {
            std::iter::once(&**input).chain(terms.iter().map(|(node, _)| node)).collect()
        }
        AstNode::Transform { location, update, delete } => {
            let all = [Some(location), Some(update), delete.as_ref()];
            all.into_iter().flatten().map(|node| &**node).collect()
        }
        AstNode::Path { steps } => {
            let mut all = Vec::new();
            for step in steps {
                all.push(&step.node);
                for stage in &step.stages {
                    if let Stage::Filter(node) = stage {
                        all.push(node);
                    }
                }
            }
            all
        }
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => Vec::new(),
    }
}
