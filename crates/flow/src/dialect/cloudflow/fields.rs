//! Constructors and expressions of CloudFlow.

use crate::path::Root;
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::template::{Expr, Leaf, Template};
use crate::term::{self, Term};
use crate::text::NodeKind;

/// Roots, by where an expression stands.
pub(super) const BEFORE: &[&str] = &["Context", "Input", "Global"];
pub(super) const AFTER: &[&str] = &["Context", "Input", "Global", "Output"];
pub(super) const CAUGHT: &[&str] = &["Context", "Input", "Global", "Output"];
pub(super) const ITEM: &[&str] = &["Context", "Input", "Global", "Item"];

/// An object in which keys that end in `.$` have expressions.
pub(super) fn constructor(place: &Place<'_>, roots: &'static [&'static str]) -> Template {
    if !matches!(place.node.kind, NodeKind::Map(_)) {
        place.wrong(
            ProblemCode::WrongType,
            format!("an object is expected, not {}", place.node.what()),
        );
    }
    inner(place, roots).folded()
}

fn inner(place: &Place<'_>, roots: &'static [&'static str]) -> Template {
    match &place.node.kind {
        NodeKind::List(_) => {
            let items = place.list().unwrap_or_default();
            Template::List(items.iter().map(|item| inner(item, roots)).collect())
        }
        NodeKind::Map(entries) => Template::Object(
            entries
                .iter()
                .map(|entry| {
                    let place = place.inner(&entry.key, &entry.value);
                    match entry.key.strip_suffix(".$") {
                        None => (entry.key.clone(), inner(&place, roots)),
                        Some(name) => {
                            let leaf = expression(&place, roots).map(Template::Leaf);
                            (name.to_owned(), leaf.unwrap_or(Template::Const(Value::Null)))
                        }
                    }
                })
                .collect(),
        ),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {
            Template::Const(place.value())
        }
    }
}

/// A text that is an expression; a literal is none.
pub(super) fn expression(place: &Place<'_>, roots: &'static [&'static str]) -> Option<Leaf> {
    let text = place.text()?;
    let term = match term::cloud(text) {
        Ok(Term::Literal(_)) => Err("a literal is no expression; drop the `.$`".to_owned()),
        read => read,
    };
    let term = term.map_err(|said| place.wrong(ProblemCode::BadExpression, said)).ok()?;
    let mut is_known = true;
    term.paths(&mut |path| match &path.root {
        Root::Named(name) if roots.contains(&name.as_str()) => {}
        Root::Named(name) => {
            is_known = false;
            let said = format!("`${name}` does not exist here, only {}", listed(roots));
            place.wrong(ProblemCode::BadPath, said);
        }
        Root::Current | Root::Context => {
            is_known = false;
            place.wrong(
                ProblemCode::BadPath,
                format!("a path begins with one of {}", listed(roots)),
            );
        }
    });
    let (field, at) = (place.name().to_owned(), place.at());
    is_known.then_some(Leaf { field, at, expr: Expr::Term(term) })
}

fn listed(roots: &[&str]) -> String {
    roots.iter().map(|root| format!("${root}")).collect::<Vec<_>>().join(", ")
}

/// `Name` with a literal, or `Name.$` with an expression.
pub(super) fn either(
    fields: &Fields<'_>,
    names: [&'static str; 2],
    literal: &dyn Fn(&Place<'_>),
) -> Option<Template> {
    let place = fields.one_of(&names)?;
    if place.name() == names[1] {
        return expression(&place, BEFORE).map(Template::Leaf);
    }
    if let Some(text) = place.node.text()
        && text.starts_with('$')
    {
        return expression(&place, BEFORE).map(Template::Leaf);
    }
    literal(&place);
    Some(Template::Const(place.value()))
}
