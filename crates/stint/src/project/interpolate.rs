//! `${…}` in project files: `${env('NAME')}`, `${env('NAME', 'default')}`, `${vars.a.b}`,
//! `${resources.x.props.y}`, `${path('rel')}`. A text that is nothing but one `${…}` takes the
//! value's type; elsewhere it is put in as text.

use std::path::Path;

use serde_json::Value;

/// A value may lead to another so many times.
const DEPTH_MAX: usize = 8;

struct Source<'a> {
    root: Value,
    base: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Replaces every `${…}`.
pub(crate) fn resolve(
    value: Value,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, String> {
    let source = Source { root: value.clone(), base, variable };
    source.walk(value, 0)
}

impl Source<'_> {
    fn walk(&self, value: Value, depth: usize) -> Result<Value, String> {
        match value {
            Value::String(text) => self.text(&text, depth),
            Value::Array(items) => items.into_iter().map(|item| self.walk(item, depth)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| Ok((key, self.walk(value, depth)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value),
        }
    }

    fn text(&self, text: &str, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("`{text}` leads to itself"));
        }
        let (mut done, mut rest) = (String::new(), text);
        while let Some(start) = rest.find("${") {
            let end = rest[start..]
                .find('}')
                .ok_or_else(|| format!("`{text}` has `${{` without its `}}`"))?
                + start;
            let value = self.expression(rest[start + 2..end].trim())?;
            let value = self.walk(value, depth + 1)?;
            if start == 0 && end + 1 == text.len() {
                return Ok(value);
            }
            done.push_str(&rest[..start]);
            match value {
                Value::String(part) => done.push_str(&part),
                Value::Bool(_) | Value::Number(_) => done.push_str(&value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(format!("`{text}` puts something into a text that is none"));
                }
            }
            rest = &rest[end + 1..];
        }
        done.push_str(rest);
        Ok(Value::String(done))
    }

    fn expression(&self, expression: &str) -> Result<Value, String> {
        if let Some(arguments) = call(expression, "env") {
            let name = arguments.first().ok_or("`env` needs the name of a variable")?;
            let fallback = arguments.get(1).map(|text| (*text).to_owned());
            return (self.variable)(name).or(fallback).map(Value::String).ok_or_else(|| {
                format!("the environment variable `{name}` is not set: set it, or write env('{name}', 'default')")
            });
        }
        if let Some(arguments) = call(expression, "path") {
            let relative = arguments.first().ok_or("`path` needs a path")?;
            return Ok(Value::String(self.base.join(relative).display().to_string()));
        }
        let mut at = &self.root;
        for name in expression.split('.') {
            at = at.get(name).ok_or_else(|| {
                format!(
                    "`${{{expression}}}` is not known: env('NAME'), path('…'), vars.… and \
                     resources.….props.… are"
                )
            })?;
        }
        Ok(at.clone())
    }
}

/// Arguments of `name('a', "b")`.
fn call<'a>(expression: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let inside = expression.strip_prefix(name)?.trim().strip_prefix('(')?.strip_suffix(')')?;
    let plain = |part: &'a str| part.trim().trim_matches(|c| c == '\'' || c == '"');
    Some(inside.split(',').map(plain).filter(|part| !part.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(value: Value) -> Result<Value, String> {
        let variable = |name: &str| (name == "SET").then(|| "from-env".to_owned());
        resolve(value, Path::new("/base"), &variable)
    }

    #[test]
    fn every_form_is_replaced_and_types_survive() {
        let value = json!({
            "vars": {"n": 5, "name": "app", "deep": {"list": [1, 2]}},
            "a": "${vars.n}",
            "b": "${vars.name}-${env('SET')}-${vars.n}",
            "c": "${env(UNSET, 'fallback')}",
            "d": "${path('./code')}",
            "e": "${vars.deep.list}",
            "f": "plain $ {text}",
        });
        let done = resolved(value).unwrap();
        assert_eq!(done["a"], json!(5));
        assert_eq!(done["b"], json!("app-from-env-5"));
        assert_eq!(done["c"], json!("fallback"));
        assert_eq!(done["d"], json!("/base/./code"));
        assert_eq!(done["e"], json!([1, 2]));
        assert_eq!(done["f"], json!("plain $ {text}"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let error = |text: &str| resolved(json!({ "a": text })).unwrap_err();
        assert!(error("${env('UNSET')}").contains("UNSET"));
        assert!(error("${config('AccountID')}").contains("is not known"));
        assert!(error("${vars.none}").contains("is not known"));
        assert!(error("${open").contains("without its"));
        assert!(error("${a}").contains("leads to itself"));
        assert!(resolved(json!({"a": "x ${b}", "b": {}})).unwrap_err().contains("is none"));
    }
}
