//! Templates: values with expressions in them. One tree for payload templates, constructors, mappings
//! and single fields; a field without expressions is a constant.

use crate::path::{Env, Miss};
use crate::prelude::*;
use crate::random::Random;
use crate::term::Term;
use crate::text::Position;

#[derive(Clone, Debug)]
pub(crate) enum Template {
    Const(Value),
    Object(Vec<(String, Template)>),
    List(Vec<Template>),
    Leaf(Leaf),
}

/// One expression, with the field that error messages name.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) field: String,
    pub(crate) at: Position,
    pub(crate) expr: Expr,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Term(Term),
    /// Evaluated outside; the value comes back as an event.
    Jsonata(String),
}

/// `InputPath` and `OutputPath`.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    Whole,
    /// null, which gives `{}`
    Empty,
    At(Leaf),
}

/// An expression that has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lapse {
    pub(crate) field: String,
    pub(crate) expression: String,
    pub(crate) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Miss(Miss),
    /// What the evaluator of JSONata said.
    Jsonata(String),
}

/// Values that came back from the evaluator, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    left: vec::IntoIter<Result<Value, String>>,
}

impl Answers {
    pub(crate) fn new(answers: Vec<Result<Value, String>>) -> Self {
        Self { left: answers.into_iter() }
    }

    fn next(&mut self) -> Result<Value, String> {
        self.left.next().unwrap_or_else(|| Err("the evaluator gave no answer".to_owned()))
    }
}

/// All that evaluating a template needs.
#[derive(Debug)]
pub(crate) struct Desk<'a, 'b> {
    pub(crate) env: &'b Env<'a>,
    pub(crate) random: &'b Random,
    pub(crate) answers: &'b mut Answers,
}

impl Template {
    pub(crate) fn fill(&self, desk: &mut Desk<'_, '_>) -> Result<Value, Lapse> {
        Ok(match self {
            Self::Const(value) => value.clone(),
            Self::Object(entries) => {
                let mut map = Map::new();
                for (key, template) in entries {
                    map.insert(key.clone(), template.fill(desk)?);
                }
                Value::Object(map)
            }
            Self::List(templates) => {
                Value::Array(templates.iter().map(|t| t.fill(desk)).collect::<Result<_, _>>()?)
            }
            Self::Leaf(leaf) => leaf.fill(desk)?,
        })
    }

    pub(crate) fn leaves<'a>(&'a self, give: &mut dyn FnMut(&'a Leaf)) {
        match self {
            Self::Const(_) => {}
            Self::Object(entries) => entries.iter().for_each(|(_, template)| template.leaves(give)),
            Self::List(templates) => templates.iter().for_each(|template| template.leaves(give)),
            Self::Leaf(leaf) => give(leaf),
        }
    }

    /// The constant it is, if it holds no expression.
    pub(crate) const fn constant(&self) -> Option<&Value> {
        match self {
            Self::Const(value) => Some(value),
            Self::Object(_) | Self::List(_) | Self::Leaf(_) => None,
        }
    }

    /// A tree without expressions becomes one constant.
    pub(crate) fn folded(self) -> Self {
        match self {
            Self::Object(entries) => {
                let entries: Vec<_> =
                    entries.into_iter().map(|(key, template)| (key, template.folded())).collect();
                if entries.iter().any(|(_, template)| template.constant().is_none()) {
                    return Self::Object(entries);
                }
                let constants = entries
                    .into_iter()
                    .filter_map(|(key, template)| Some((key, template.constant()?.clone())));
                Self::Const(Value::Object(constants.collect()))
            }
            Self::List(templates) => {
                let templates: Vec<_> = templates.into_iter().map(Self::folded).collect();
                if templates.iter().any(|template| template.constant().is_none()) {
                    return Self::List(templates);
                }
                let constants =
                    templates.iter().filter_map(|template| template.constant().cloned());
                Self::Const(Value::Array(constants.collect()))
            }
            Self::Const(_) | Self::Leaf(_) => self,
        }
    }
}

impl Leaf {
    pub(crate) fn fill(&self, desk: &mut Desk<'_, '_>) -> Result<Value, Lapse> {
        let filled = match &self.expr {
            Expr::Term(term) => term.eval(desk.env, desk.random).map_err(Why::Miss),
            Expr::Jsonata(_) => desk.answers.next().map_err(Why::Jsonata),
        };
        filled.map_err(|why| Lapse { field: self.field.clone(), expression: self.source(), why })
    }

    pub(crate) fn jsonata(&self) -> Option<&str> {
        match &self.expr {
            Expr::Jsonata(source) => Some(source),
            Expr::Term(_) => None,
        }
    }

    /// What it says, for messages.
    fn source(&self) -> String {
        match &self.expr {
            Expr::Jsonata(source) => source.clone(),
            Expr::Term(Term::Path(path) | Term::PathOrNull(path)) => path.text.clone(),
            Expr::Term(Term::Call(function, _)) => format!("{}(…)", function.name()),
            Expr::Term(_) => "the expression".to_owned(),
        }
    }
}

impl Selector {
    pub(crate) fn select(&self, desk: &mut Desk<'_, '_>) -> Result<Value, Lapse> {
        match self {
            Self::Whole => Ok(desk.env.current.clone()),
            Self::Empty => Ok(Value::Object(Map::new())),
            Self::At(leaf) => leaf.fill(desk),
        }
    }
}

/// The expression in `{% … %}`, if that is all the text is.
pub(crate) fn braces(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{%")?.strip_suffix("%}")?;
    Some(inner.trim())
}
