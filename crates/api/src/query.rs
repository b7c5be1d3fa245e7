//! A request's query: decoded once, asked by name. Booleans and numbers as upstream's SDKs write
//! them (§1.5).

use std::str::FromStr;

use serde::de::DeserializeOwned;
use stint_model::task::TaskState;
use stint_sign::decode_component;

use crate::error::Problem;

/// The pairs, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// More than any operation takes.
const PAIRS_MAX: usize = 200;

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= PAIRS_MAX {
                return Err(Problem::invalid("the query has too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((text_of(name)?, text_of(value)?));
        }
        Ok(Self { pairs })
    }

    /// The first of this name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Nothing but these. A parameter that is passed over would silently ask for something else.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.pairs.iter().find(|(name, _)| !known.contains(&name.as_str()));
        let Some((name, _)) = unknown else { return Ok(()) };
        let known = if known.is_empty() { "none" } else { &known.join(", ") };
        Err(Problem::invalid(format!("there is no parameter '{name}' here; there is {known}")))
    }

    /// All of this name.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// One of a type that is read from text.
    pub(crate) fn read<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let bad = || Problem::invalid(format!("parameter '{name}' is not valid: {text:?}"));
        text.parse().map(Some).map_err(|_| bad())
    }

    /// `True`, `true`, `1` …
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.maybe_flag(name)?.unwrap_or(false))
    }

    pub(crate) fn maybe_flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Some(false)),
            Some(text) => {
                Err(Problem::invalid(format!("parameter '{name}' is no boolean: {text:?}")))
            }
        }
    }

    /// A JSON value in a parameter; arrays may also be given by repeating `name` or `name.N`.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        serde_json::from_str(text)
            .map(Some)
            .map_err(|error| Problem::invalid(format!("parameter '{name}' is not valid: {error}")))
    }

    /// A list of texts: a JSON array, or repeated plain values.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(text) if text.starts_with('[') => Ok(self.json(name)?.unwrap_or_default()),
            Some(_) => Ok(self.all(name).filter(|v| !v.is_empty()).map(str::to_owned).collect()),
        }
    }

    /// `limit` within bounds, or the default.
    pub(crate) fn limit(&self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        match self.read::<usize>(name)? {
            None => Ok(default),
            Some(limit) if (1..=max).contains(&limit) => Ok(limit),
            Some(limit) => {
                Err(Problem::invalid(format!("parameter '{name}' is 1 to {max}, not {limit}")))
            }
        }
    }
}

/// A task's state by its word.
pub(crate) fn state_of(word: &str) -> Result<TaskState, Problem> {
    TaskState::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = TaskState::ALL.into_iter().map(TaskState::word).collect();
        let words = words.join(", ");
        Problem::invalid(format!("{word:?} is none of a task's states, which are {words}"))
    })
}

fn text_of(component: &str) -> Result<String, Problem> {
    String::from_utf8(decode_component(component).into_owned())
        .map_err(|_| Problem::invalid("the query is not UTF-8"))
}

/// One segment of a raw path, decoded. A `+` stands for itself in a path.
pub(crate) fn decode_segment(raw: &str) -> Result<String, Problem> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    percent_encoding::percent_decode_str(raw)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Problem::invalid("the path is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_sdks_write_is_read() {
        let query =
            Query::parse("a=True&b=false&tags=%5B%22x%22%5D&n=5&n=6&s=a+b%2Bc&empty=").unwrap();
        assert_eq!(query.flag("a"), Ok(true));
        assert_eq!(query.maybe_flag("b"), Ok(Some(false)));
        assert_eq!(query.flag("none"), Ok(false));
        assert_eq!(query.texts("tags"), Ok(vec!["x".to_owned()]));
        assert_eq!(query.texts("n"), Ok(vec!["5".to_owned(), "6".to_owned()]));
        assert_eq!(query.get("s"), Some("a b+c"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.limit("n", 20, 100), Ok(5));
        assert!(query.limit("n", 20, 4).is_err());
        assert!(query.flag("s").is_err());
        assert!(query.read::<u32>("s").is_err());
    }

    #[test]
    fn a_segment_is_decoded_as_a_path() {
        assert_eq!(decode_segment("acs%3Afc%2Fx+y"), Ok("acs:fc/x+y".to_owned()));
        assert!(decode_segment("%ff").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            if let Ok(query) = Query::parse(&text) {
                drop((query.flag("a"), query.texts("a"), query.limit("a", 1, 2)));
            }
            drop(decode_segment(&text));
        }
    }
}
