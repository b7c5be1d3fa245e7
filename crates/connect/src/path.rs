//! Definite paths into an event: `$.data.items[0]['a name']`. What is chosen is one value or nothing; there
//! are no wildcards, so reading one costs as much as it is long.

use serde_json::Value;

/// The longest path in characters.
const CHARS_MAX: usize = 512;

/// A path that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Key(String),
    /// From the end when below zero.
    Index(i64),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// With what is wrong, as a sentence's end.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > CHARS_MAX {
            return Err(format!("a path has at most {CHARS_MAX} characters"));
        }
        let bad =
            |what: &str| format!("{text:?} is no path: {what}; write one like $.data.items[0]");
        let mut rest = text.strip_prefix('$').ok_or_else(|| bad("it begins with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, left) = after.split_at(end);
                if name.is_empty() || name == "*" {
                    return Err(bad("a name is missing, or it is not definite"));
                }
                steps.push(Step::Key(name.to_owned()));
                rest = left;
            } else if let Some(after) = rest.strip_prefix('[') {
                let (step, left) = bracket(after).ok_or_else(|| bad("between [ and ]"))?;
                steps.push(step);
                rest = left;
            } else {
                return Err(bad("after a name comes . or ["));
            }
        }
        Ok(Self { steps })
    }

    /// What it chooses.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(value, |value, step| match (step, value) {
            (Step::Key(name), Value::Object(map)) => map.get(name),
            (Step::Index(index), Value::Array(items)) => {
                let place = if *index < 0 {
                    items.len().checked_add_signed(isize::try_from(*index).ok()?)?
                } else {
                    usize::try_from(*index).ok()?
                };
                items.get(place)
            }
            (Step::Key(_) | Step::Index(_), _) => None,
        })
    }

    /// What it chooses as text: a text as it is, anything else as JSON; nothing for `null`.
    pub fn text(&self, value: &Value) -> Option<String> {
        match self.find(value)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// `0]…`, `'a name']…` or `"a name"]…`: the step and what is left.
fn bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (name, rest) = rest.split_once(quote)?;
            return Some((Step::Key(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (number, rest) = text.split_once(']')?;
    Some((Step::Index(number.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_path_chooses_one_value() {
        let value = json!({"data": {"items": [{"a name": 1}, "x"]}, "id": "7"});
        let find = |text: &str| Path::read(text).unwrap().find(&value).cloned();
        assert_eq!(find("$"), Some(value.clone()));
        assert_eq!(find("$.data.items[0]['a name']"), Some(json!(1)));
        assert_eq!(find("$['data'][\"items\"][-1]"), Some(json!("x")));
        for nothing in ["$.data.none", "$.data.items[2]", "$.data.items[-3]", "$.id.x", "$.id[0]"] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
        assert_eq!(Path::read("$.data.items[1]").unwrap().text(&value).as_deref(), Some("x"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in
            ["", "data", "$data", "$.", "$..a", "$.*", "$[", "$[x]", "$['a]", "$[0", "$.a[0]b"]
        {
            assert!(Path::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$.\\[\\]'\"a-c0-9*-]{0,30}") {
            if let Ok(path) = Path::read(&text) {
                path.find(&json!({"a": [{"b": 1}], "b": {"c": [1, 2]}}));
            }
        }
    }
}
