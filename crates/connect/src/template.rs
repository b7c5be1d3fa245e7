//! What a function is given instead of the event: a JSON value in which texts choose from the event. A text
//! that is a path (`"$.data.id"`) becomes the value chosen, `null` where there is none; within a text,
//! `${$.data.id}` is replaced by the value's text, nothing where there is none. `$$` at the beginning stands
//! for a `$` that is meant.

use serde_json::{Map, Value};

use crate::path::Path;

/// How deep a template may nest.
const DEPTH_MAX: usize = 32;
/// How many values it may have.
const VALUES_MAX: usize = 2_000;

/// A template that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Template(Part);

#[derive(Clone, PartialEq, Debug)]
enum Part {
    Fixed(Value),
    Chosen(Path),
    Joined(Vec<Piece>),
    List(Vec<Part>),
    Map(Vec<(String, Part)>),
}

#[derive(Clone, PartialEq, Debug)]
enum Piece {
    Text(String),
    Chosen(Path),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// With the place and what is wrong there.
    pub fn read(value: &Value) -> Result<Self, String> {
        let mut left = VALUES_MAX;
        part(value, DEPTH_MAX, &mut left).map(Self)
    }

    /// What it makes of an event.
    pub fn fill(&self, event: &Value) -> Value {
        fill(&self.0, event)
    }
}

fn part(value: &Value, depth: usize, left: &mut usize) -> Result<Part, String> {
    if depth == 0 {
        return Err(format!("a template nests at most {DEPTH_MAX} deep"));
    }
    *left =
        left.checked_sub(1).ok_or_else(|| format!("a template has at most {VALUES_MAX} values"))?;
    Ok(match value {
        Value::String(text) => read_text(text)?,
        Value::Array(items) => {
            let parts = items.iter().map(|item| part(item, depth - 1, left));
            Part::List(parts.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let mut parts = Vec::with_capacity(map.len());
            for (name, item) in map {
                let read = part(item, depth - 1, left).map_err(|why| format!("{name}: {why}"))?;
                parts.push((name.clone(), read));
            }
            Part::Map(parts)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Part::Fixed(value.clone()),
    })
}

fn read_text(text: &str) -> Result<Part, String> {
    if let Some(meant) = text.strip_prefix("$$") {
        return Ok(Part::Fixed(Value::String(format!("${meant}"))));
    }
    if text.starts_with('$') && !text.starts_with("${") {
        return Path::read(text).map(Part::Chosen);
    }
    if !text.contains("${") {
        return Ok(Part::Fixed(Value::String(text.to_owned())));
    }
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (path, later) =
            after.split_once('}').ok_or_else(|| format!("{text:?} has ${{ and no }} after it"))?;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Chosen(Path::read(path)?));
        rest = later;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(Part::Joined(pieces))
}

fn fill(part: &Part, event: &Value) -> Value {
    match part {
        Part::Fixed(value) => value.clone(),
        Part::Chosen(path) => path.find(event).cloned().unwrap_or(Value::Null),
        Part::Joined(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(fixed) => text.push_str(fixed),
                    Piece::Chosen(path) => text.push_str(&path.text(event).unwrap_or_default()),
                }
            }
            Value::String(text)
        }
        Part::List(parts) => Value::Array(parts.iter().map(|part| fill(part, event)).collect()),
        Part::Map(parts) => {
            let filled = parts.iter().map(|(name, part)| (name.clone(), fill(part, event)));
            Value::Object(filled.collect::<Map<String, Value>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn texts_choose_from_the_event() {
        let event = json!({"id": "7", "data": {"n": 3, "tags": ["a"], "none": null}});
        let template = json!({
            "order": "$.data.n", "tags": "$.data.tags", "gone": "$.data.x",
            "text": "n=${$.data.n} id=${$.id} none=${$.data.none}", "price": "$$5", "n": 1,
            "list": ["$.id", "plain"]
        });
        assert_eq!(
            Template::read(&template).unwrap().fill(&event),
            json!({
                "order": 3, "tags": ["a"], "gone": null, "text": "n=3 id=7 none=", "price": "$5",
                "n": 1, "list": ["7", "plain"]
            })
        );
    }

    #[test]
    fn a_bad_template_says_where() {
        let why = |template: Value| Template::read(&template).unwrap_err();
        assert!(why(json!({"a": {"b": "$x"}})).starts_with("a: b: "));
        assert!(why(json!("${$.a")).contains("no }"));
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        assert!(why(deep).contains("deep"));
        assert!(why(json!(vec![1; VALUES_MAX + 1])).contains("at most"));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(|n| json!(n)),
            "[a-z ]{0,8}".prop_map(Value::String)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_without_paths_is_what_it_makes(value in json_value(), event in json_value()) {
            prop_assert_eq!(Template::read(&value).unwrap().fill(&event), value);
        }

        #[test]
        fn the_root_is_the_event(event in json_value()) {
            prop_assert_eq!(Template::read(&json!("$")).unwrap().fill(&event), event);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[$.{}\\[\\]'a-c0-9]{0,30}", event in json_value()) {
            if let Ok(template) = Template::read(&Value::String(text)) {
                template.fill(&event);
            }
        }
    }
}
