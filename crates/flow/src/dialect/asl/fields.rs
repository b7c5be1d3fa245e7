//! Fields whose values are expressions, in both query languages.

use crate::path::Path;
use crate::plan::{Language, ResultPath};
use crate::prelude::*;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Place};
use crate::template::{Expr, Leaf, Selector, Template, braces};
use crate::term::{self, Term};
use crate::text::NodeKind;
use crate::value;

/// A variable's name.
const VARIABLE_CHARS_MAX: usize = 80;

/// Which language fields are read in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exprs {
    pub(super) language: Language,
}

impl Exprs {
    /// A value with expressions in it.
    pub(super) fn template(self, place: &Place<'_>) -> Template {
        self.inner(place, place.name()).folded()
    }

    /// The same, where only an object makes sense.
    pub(super) fn object(self, place: &Place<'_>) -> Template {
        let is_object = matches!(place.node.kind, NodeKind::Map(_));
        let is_expression = self.language == Language::Jsonata && place.node.text().is_some();
        if !is_object && !is_expression {
            place.wrong(
                ProblemCode::WrongType,
                format!("an object is expected, not {}", place.node.what()),
            );
        }
        self.template(place)
    }

    fn inner(self, place: &Place<'_>, field: &str) -> Template {
        match &place.node.kind {
            NodeKind::List(_) => {
                let items = place.list().unwrap_or_default();
                Template::List(
                    items.iter().map(|item| self.inner(item, &format!("{field}[]"))).collect(),
                )
            }
            NodeKind::Map(entries) => Template::Object(
                entries
                    .iter()
                    .map(|entry| {
                        let inner = place.inner(&entry.key, &entry.value);
                        self.entry(&inner, &entry.key, field)
                    })
                    .collect(),
            ),
            NodeKind::Text(text) if self.language == Language::Jsonata => match braces(text) {
                Some(source) => Template::Leaf(jsonata(place, field, source)),
                None => Template::Const(place.value()),
            },
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {
                Template::Const(place.value())
            }
        }
    }

    fn entry(self, place: &Place<'_>, key: &str, field: &str) -> (String, Template) {
        let field = format!("{field}/{key}");
        if self.language == Language::Jsonata {
            return (key.to_owned(), self.inner(place, &field));
        }
        let Some(name) = key.strip_suffix(".$") else {
            return (key.to_owned(), self.inner(place, &field));
        };
        let leaf = place.text().and_then(|text| jsonpath(place, key, text));
        (name.to_owned(), leaf.map_or(Template::Const(Value::Null), Template::Leaf))
    }

    /// Names and values of variables.
    pub(super) fn assign(self, place: &Place<'_>) -> Template {
        for entry in place.entries().unwrap_or_default() {
            let name = match self.language {
                Language::JsonPath => entry.key.strip_suffix(".$").unwrap_or(&entry.key),
                Language::Jsonata | Language::Cloud | Language::Fdl => &entry.key,
            };
            let inner = place.inner(&entry.key, &entry.value);
            if name == "states" {
                inner.wrong(ProblemCode::ScopeViolation, "`states` is reserved");
            }
            let is_plain = name.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_numeric());
            if name.is_empty() || !is_plain || name.chars().count() > VARIABLE_CHARS_MAX {
                let said = format!("`{name}` is no name for a variable");
                let hint = "letters, digits and _, at most 80, not beginning with a digit";
                inner.wrong_hint(ProblemCode::WrongValue, said, hint);
            }
        }
        self.template(place)
    }

    /// A field with a literal form and a path form (JSONPath), or with `{% %}` (JSONata). A literal is
    /// checked by `check`, which says what is expected.
    pub(super) fn scalar(
        self,
        fields: &Fields<'_>,
        name: &'static str,
        by_path: &'static str,
        check: &dyn Fn(&Place<'_>),
    ) -> Option<Template> {
        if self.language == Language::Jsonata {
            let place = fields.get(name)?;
            return Some(match place.node.text().and_then(braces) {
                Some(source) => Template::Leaf(jsonata(&place, name, source)),
                None => {
                    check(&place);
                    Template::Const(place.value())
                }
            });
        }
        let place = fields.one_of(&[name, by_path])?;
        if place.name() == by_path {
            return Some(path_field(&place).map_or(Template::Const(Value::Null), Template::Leaf));
        }
        check(&place);
        Some(Template::Const(place.value()))
    }

    /// A field whose value must be an expression in JSONata and a path in JSONPath.
    pub(super) fn condition(place: &Place<'_>) -> Option<Template> {
        if let NodeKind::Bool(is) = place.node.kind {
            return Some(Template::Const(Value::Bool(is)));
        }
        let text = place.text()?;
        let Some(source) = braces(text) else {
            place.wrong(ProblemCode::BadExpression, "a condition is `{% … %}`, true or false");
            return None;
        };
        Some(Template::Leaf(jsonata(place, "Condition", source)))
    }
}

pub(super) fn jsonata(place: &Place<'_>, field: &str, source: &str) -> Leaf {
    if source.is_empty() {
        place.wrong(ProblemCode::BadExpression, "the expression is empty");
    }
    Leaf { field: field.to_owned(), at: place.at(), expr: Expr::Jsonata(source.to_owned()) }
}

/// A path or an intrinsic call.
fn jsonpath(place: &Place<'_>, field: &str, text: &str) -> Option<Leaf> {
    let term = if text.starts_with("States.") {
        term::intrinsic(text).map_err(|said| (ProblemCode::BadExpression, said))
    } else if text.starts_with('$') {
        Path::parse(text).map(Term::Path).map_err(|said| (ProblemCode::BadPath, said))
    } else {
        let said = format!("`{text}` is neither a path nor an intrinsic call");
        Err((ProblemCode::BadPath, said))
    };
    match term {
        Ok(term) => Some(Leaf { field: field.to_owned(), at: place.at(), expr: Expr::Term(term) }),
        Err((code, said)) => {
            let hint =
                "a key that ends in `.$` takes a path or a call; without `.$` the value is literal";
            if place.name().ends_with(".$") {
                place.wrong_hint(code, said, hint);
            } else {
                place.wrong(code, said);
            }
            None
        }
    }
}

/// A field that holds a path.
pub(super) fn path_field(place: &Place<'_>) -> Option<Leaf> {
    jsonpath(place, place.name(), place.text()?)
}

/// `InputPath` and `OutputPath`: null, `$` or a path.
pub(super) fn selector(place: &Place<'_>) -> Selector {
    if matches!(place.node.kind, NodeKind::Null) {
        return Selector::Empty;
    }
    match path_field(place) {
        Some(leaf) if matches!(&leaf.expr, Expr::Term(Term::Path(path)) if path.text == "$") => {
            Selector::Whole
        }
        Some(leaf) => Selector::At(leaf),
        None => Selector::Whole,
    }
}

pub(super) fn result_path(place: Option<&Place<'_>>) -> ResultPath {
    let Some(place) = place else { return ResultPath::Replace };
    if matches!(place.node.kind, NodeKind::Null) {
        return ResultPath::Discard;
    }
    let Some(text) = place.text() else { return ResultPath::Replace };
    match Path::parse(text) {
        Ok(path) if path.root == crate::path::Root::Current && path.is_reference() => {
            if path.is_root() { ResultPath::Replace } else { ResultPath::At(path) }
        }
        Ok(_) => {
            let said = "a place for a result is `$` with names and single indexes only";
            place.wrong_hint(
                ProblemCode::BadPath,
                said,
                "such as `$.result` or `$.items[0].result`",
            );
            ResultPath::Replace
        }
        Err(said) => {
            place.wrong(ProblemCode::BadPath, said);
            ResultPath::Replace
        }
    }
}

/// A literal number in a range.
pub(super) fn whole(range: core::ops::RangeInclusive<i64>) -> impl Fn(&Place<'_>) {
    move |place| {
        place.integer(range.clone());
    }
}

/// A literal timestamp.
pub(super) fn timestamp(place: &Place<'_>) {
    if let Some(text) = place.text()
        && crate::stamp::parse(text).is_none()
    {
        let said = format!("`{text}` is no RFC 3339 timestamp");
        place.wrong_hint(ProblemCode::BadTimestamp, said, "such as 2026-01-31T12:00:00Z");
    }
}

/// A number of a literal template, for checks between fields.
pub(super) fn literal(template: Option<&Template>) -> Option<i64> {
    template.and_then(Template::constant).and_then(value::whole)
}
