//! Mappings and paths of FDL.

use crate::path::{Path, Root};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::Place;
use crate::template::{Expr, Leaf, Template};
use crate::term::Term;
use crate::text::NodeKind;

/// Roots that a mapping may name, by where it stands.
pub(super) const FLOW: &[&str] = &["input", "context"];
pub(super) const BEFORE: &[&str] = &["input", "local", "context"];
pub(super) const TASK: &[&str] = &["input", "local", "context"];
pub(super) const AFTER: &[&str] = &["input", "local", "context"];
pub(super) const ERROR: &[&str] = &["local"];

/// `- {target: key, source: value}`; later targets overwrite earlier ones.
pub(super) fn mappings(place: &Place<'_>, roots: &[&str]) -> Template {
    let mut entries = Vec::new();
    for place in place.list().unwrap_or_default() {
        let Some(fields) = place.fields() else { continue };
        let target = fields.need("target").and_then(|place| place.text());
        let source = fields.need("source").map(|place| source(&place, roots));
        fields.finish();
        if let (Some(target), Some(source)) = (target, source) {
            entries.push((target.to_owned(), source));
        }
    }
    Template::Object(entries).folded()
}

/// A text that begins with one of the roots is a path; everything else is a constant, also a text
/// that begins with another `$`.
fn source(place: &Place<'_>, roots: &[&str]) -> Template {
    let constant = Template::Const(place.value());
    let Some(text) = place.node.text() else { return constant };
    let Some(rest) = text.strip_prefix('$') else { return constant };
    let word = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if !BEFORE.contains(&word) {
        return constant;
    }
    if !roots.contains(&word) {
        place.wrong(ProblemCode::BadPath, format!("`${word}` does not exist here"));
        return constant;
    }
    parsed(place, text).unwrap_or(constant)
}

fn parsed(place: &Place<'_>, text: &str) -> Option<Template> {
    match Path::parse(text) {
        Ok(path) => {
            let (field, expr) = (text.to_owned(), Expr::Term(Term::Path(path)));
            Some(Template::Leaf(Leaf { field, at: place.at(), expr }))
        }
        Err(said) => {
            place.wrong(ProblemCode::BadPath, said);
            None
        }
    }
}

/// A path from `$`, the step's mapped input.
pub(super) fn path(place: &Place<'_>, text: &str) -> Option<Template> {
    let template = parsed(place, text)?;
    if let Template::Leaf(Leaf { expr: Expr::Term(Term::Path(path)), .. }) = &template
        && path.root != Root::Current
    {
        let said = "here paths begin at `$`, the step's mapped input";
        place.wrong(ProblemCode::BadPath, said);
        return None;
    }
    Some(template)
}

/// `serviceParams`: a path, or an object in which texts that begin with `$` are paths.
pub(super) fn params(place: &Place<'_>) -> Template {
    match &place.node.kind {
        NodeKind::Text(text) if text.starts_with('$') => {
            path(place, text).unwrap_or(Template::Const(Value::Null))
        }
        NodeKind::Map(entries) => Template::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), params(&place.inner(&entry.key, &entry.value))))
                .collect(),
        )
        .folded(),
        NodeKind::Null
        | NodeKind::Bool(_)
        | NodeKind::Number(_)
        | NodeKind::Text(_)
        | NodeKind::List(_) => Template::Const(place.value()),
    }
}
