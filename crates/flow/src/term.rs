//! Expressions that are evaluated here: intrinsic calls of States Language, expressions of CloudFlow,
//! conditions of FDL. Three grammars, one tree, one evaluator; only which functions exist and what a
//! missing path means differs, and that is in the tree.

mod collection;
mod function;
mod parse;

use core::cmp::Ordering;

use crate::path::{Env, Miss, Path};
use crate::prelude::*;
use crate::random::Random;
use crate::value;
pub(crate) use function::Function;
pub(crate) use parse::{cloud, condition, intrinsic};

/// Bytes of JSON that one call may be given.
const ARGUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Clone, Debug)]
pub(crate) enum Term {
    Literal(Value),
    Path(Path),
    /// A path of FDL's conditions: nothing is null.
    PathOrNull(Path),
    List(Vec<Term>),
    Object(Vec<(String, Term)>),
    Call(Function, Vec<Term>),
    Not(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    Compare(Box<Term>, Relation, Box<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Term {
    pub(crate) fn eval(&self, env: &Env<'_>, random: &Random) -> Result<Value, Miss> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => path.find(env)?.into_owned(),
            Self::PathOrNull(path) => match path.find(env) {
                Ok(value) => value.into_owned(),
                Err(Miss::Nothing(_)) => Value::Null,
                Err(wrong) => return Err(wrong),
            },
            Self::List(terms) => Value::Array(all(terms, env, random)?),
            Self::Object(entries) => {
                let mut map = Map::new();
                for (key, term) in entries {
                    map.insert(key.clone(), term.eval(env, random)?);
                }
                Value::Object(map)
            }
            Self::Call(function, terms) => {
                let arguments = all(terms, env, random)?;
                if arguments.iter().map(value::size).sum::<usize>() > ARGUMENT_BYTES_MAX {
                    return Err(Miss::Wrong(format!(
                        "{}: its arguments are too large",
                        function.name()
                    )));
                }
                let called = function.call(arguments, random);
                called.map_err(|said| Miss::Wrong(format!("{}: {said}", function.name())))?
            }
            Self::Not(term) => Value::Bool(!truth(term, env, random)?),
            Self::And(left, right) => {
                Value::Bool(truth(left, env, random)? && truth(right, env, random)?)
            }
            Self::Or(left, right) => {
                Value::Bool(truth(left, env, random)? || truth(right, env, random)?)
            }
            Self::Compare(left, relation, right) => {
                Value::Bool(relation.holds(&left.eval(env, random)?, &right.eval(env, random)?)?)
            }
        })
    }

    /// Every path in it.
    pub(crate) fn paths(&self, give: &mut dyn FnMut(&Path)) {
        match self {
            Self::Literal(_) => {}
            Self::Path(path) | Self::PathOrNull(path) => give(path),
            Self::List(terms) | Self::Call(_, terms) => terms.iter().for_each(|t| t.paths(give)),
            Self::Object(entries) => entries.iter().for_each(|(_, term)| term.paths(give)),
            Self::Not(term) => term.paths(give),
            Self::And(left, right) | Self::Or(left, right) | Self::Compare(left, _, right) => {
                left.paths(give);
                right.paths(give);
            }
        }
    }
}

fn all(terms: &[Term], env: &Env<'_>, random: &Random) -> Result<Vec<Value>, Miss> {
    terms.iter().map(|term| term.eval(env, random)).collect()
}

/// The value of a condition: nothing but a boolean is one.
pub(crate) fn truth(term: &Term, env: &Env<'_>, random: &Random) -> Result<bool, Miss> {
    let value = term.eval(env, random)?;
    value.as_bool().ok_or_else(|| {
        let kind = value::kind(&value);
        Miss::Wrong(format!("a condition must be true or false, not a {kind}"))
    })
}

impl Relation {
    fn holds(self, left: &Value, right: &Value) -> Result<bool, Miss> {
        let order = match (left, right) {
            (Value::Number(a), Value::Number(b)) => value::compare_numbers(a, b),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            _ => None,
        };
        let is = |wanted: &[Ordering]| {
            order.map(|order| wanted.contains(&order)).ok_or_else(|| {
                let kinds = (value::kind(left), value::kind(right));
                Miss::Wrong(format!("a {} and a {} have no order", kinds.0, kinds.1))
            })
        };
        match self {
            Self::Equal => Ok(value::equal(left, right)),
            Self::NotEqual => Ok(!value::equal(left, right)),
            Self::Less => is(&[Ordering::Less]),
            Self::LessEqual => is(&[Ordering::Less, Ordering::Equal]),
            Self::Greater => is(&[Ordering::Greater]),
            Self::GreaterEqual => is(&[Ordering::Greater, Ordering::Equal]),
        }
    }
}

#[cfg(test)]
mod tests;
