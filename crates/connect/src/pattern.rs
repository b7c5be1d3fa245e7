//! Which events are meant: patterns as EventBridge writes them. An object names fields; a list under a field
//! says what its value may be, and one of them is enough; all named fields must be as they say.
//!
//! ```text
//! {"source": ["kafka:orders"], "data": {"state": ["new", {"prefix": "re"}], "total": [{"numeric": [">", 100]}]}}
//! ```
//!
//! Matchers beside plain values: `prefix`, `suffix`, `equals-ignore-case`, `wildcard`, `anything-but` (a value,
//! a list, or `{"prefix": …}`, `{"suffix": …}`), `numeric`, `exists`, `cidr`; and `$or` over lists of patterns.
//! A field whose value is a list matches when one of its items does.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// How deep a pattern may nest.
const DEPTH_MAX: usize = 16;
/// How many matchers it may have.
const MATCHERS_MAX: usize = 1_000;

/// A pattern that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Pattern(Fields);

#[derive(Clone, PartialEq, Debug, Default)]
struct Fields {
    fields: Vec<(String, Wanted)>,
    /// Each list needs one of its patterns.
    any: Vec<Vec<Fields>>,
}

#[derive(Clone, PartialEq, Debug)]
enum Wanted {
    Inside(Fields),
    OneOf(Vec<Matcher>),
}

#[derive(Clone, PartialEq, Debug)]
enum Matcher {
    Is(Value),
    Prefix(String),
    Suffix(String),
    IgnoreCase(String),
    Wildcard(String),
    Not(Vec<Matcher>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
    Cidr(IpAddr, u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Equal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// With the field and what would be right.
    pub fn read(value: &Value) -> Result<Self, String> {
        let map = value.as_object().ok_or("a pattern is an object")?;
        let mut left = MATCHERS_MAX;
        fields(map, DEPTH_MAX, &mut left).map(Self)
    }

    /// Whether an event is meant.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(event)
    }
}

fn fields(map: &Map<String, Value>, depth: usize, left: &mut usize) -> Result<Fields, String> {
    if depth == 0 {
        return Err(format!("a pattern nests at most {DEPTH_MAX} deep"));
    }
    let mut read = Fields::default();
    for (name, wanted) in map {
        let inside = |why: String| format!("{name}: {why}");
        match wanted {
            Value::Array(patterns) if name == "$or" => {
                let each = |pattern: &Value| {
                    let map = pattern.as_object().ok_or("a pattern is an object")?;
                    fields(map, depth - 1, left)
                };
                let any: Vec<Fields> =
                    patterns.iter().map(each).collect::<Result<_, _>>().map_err(inside)?;
                if any.is_empty() {
                    return Err(inside("it needs a pattern".to_owned()));
                }
                read.any.push(any);
            }
            Value::Object(map) => {
                let inner = fields(map, depth - 1, left).map_err(inside)?;
                read.fields.push((name.clone(), Wanted::Inside(inner)));
            }
            Value::Array(items) => {
                if items.is_empty() {
                    return Err(inside("an empty list matches nothing".to_owned()));
                }
                *left = left
                    .checked_sub(items.len())
                    .ok_or_else(|| format!("a pattern has at most {MATCHERS_MAX} matchers"))?;
                let matchers: Vec<Matcher> =
                    items.iter().map(matcher).collect::<Result<_, _>>().map_err(inside)?;
                read.fields.push((name.clone(), Wanted::OneOf(matchers)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(inside(format!("must be a list, such as [{wanted}]")));
            }
        }
    }
    Ok(read)
}

fn matcher(value: &Value) -> Result<Matcher, String> {
    let map = match value {
        Value::Object(map) => map,
        Value::Array(_) => return Err("a list within a list means nothing".to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Ok(Matcher::Is(value.clone()));
        }
    };
    let mut entries = map.iter();
    let (Some((word, said)), None) = (entries.next(), entries.next()) else {
        return Err("a matcher has one word, such as {\"prefix\": \"a\"}".to_owned());
    };
    let text = || {
        let text = said.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("{word} needs a text"))
    };
    Ok(match word.as_str() {
        "prefix" => Matcher::Prefix(text()?),
        "suffix" => Matcher::Suffix(text()?),
        "equals-ignore-case" => Matcher::IgnoreCase(text()?.to_lowercase()),
        "wildcard" => Matcher::Wildcard(text()?),
        "exists" => Matcher::Exists(said.as_bool().ok_or("exists needs true or false")?),
        "numeric" => Matcher::Numeric(numeric(said)?),
        "cidr" => cidr(&text()?)?,
        "anything-but" => Matcher::Not(match said {
            Value::Array(items) => items.iter().map(plain).collect::<Result<_, _>>()?,
            Value::Object(_) => vec![matcher(said)?],
            other => vec![plain(other)?],
        }),
        other => {
            return Err(format!(
                "{other:?} is no matcher; there are prefix, suffix, equals-ignore-case, wildcard, \
                 anything-but, numeric, exists and cidr"
            ));
        }
    })
}

fn plain(value: &Value) -> Result<Matcher, String> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            Ok(Matcher::Is(value.clone()))
        }
        Value::Array(_) | Value::Object(_) => {
            Err("anything-but needs texts, numbers, true, false or null".to_owned())
        }
    }
}

fn numeric(said: &Value) -> Result<Vec<(Comparison, f64)>, String> {
    let bad = || "numeric needs comparisons, such as [\">\", 0, \"<=\", 5]".to_owned();
    let items = said.as_array().filter(|items| !items.is_empty() && items.len() % 2 == 0);
    let pair = |pair: &[Value]| {
        let comparison = match pair[0].as_str()? {
            "=" => Comparison::Equal,
            "<" => Comparison::Below,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Above,
            ">=" => Comparison::AtLeast,
            _ => return None,
        };
        Some((comparison, pair[1].as_f64()?))
    };
    items.ok_or_else(bad)?.chunks(2).map(|two| pair(two).ok_or_else(bad)).collect()
}

fn cidr(text: &str) -> Result<Matcher, String> {
    let bad = || format!("{text:?} is no range of addresses such as 10.0.0.0/8");
    let (address, bits) = text.split_once('/').ok_or_else(bad)?;
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(bad)?;
    Ok(Matcher::Cidr(address, bits))
}

impl Fields {
    fn matches(&self, value: &Value) -> bool {
        self.fields.iter().all(|(name, wanted)| wanted.matches(value.get(name)))
            && self.any.iter().all(|any| any.iter().any(|one| one.matches(value)))
    }
}

impl Wanted {
    fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Inside(fields) => match value {
                Some(Value::Array(items)) => items.iter().any(|item| fields.matches(item)),
                Some(value) => fields.matches(value),
                // What must not exist does not, in something that is not there.
                None => fields.matches(&Value::Null),
            },
            Self::OneOf(matchers) => matchers.iter().any(|matcher| match value {
                Some(Value::Array(items)) if !matches!(matcher, Matcher::Exists(_)) => {
                    items.iter().any(|item| matcher.matches(Some(item)))
                }
                other => matcher.matches(other),
            }),
        }
    }
}

impl Matcher {
    fn matches(&self, value: Option<&Value>) -> bool {
        if let Self::Exists(wanted) = self {
            return value.is_some() == *wanted;
        }
        let Some(value) = value else { return false };
        let text = value.as_str();
        match self {
            Self::Is(wanted) => same(wanted, value),
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::IgnoreCase(wanted) => text.is_some_and(|text| text.to_lowercase() == *wanted),
            Self::Wildcard(wanted) => text.is_some_and(|text| wild(wanted, text)),
            Self::Not(unwanted) => !unwanted.iter().any(|one| one.matches(Some(value))),
            Self::Numeric(comparisons) => value.as_f64().is_some_and(|number| {
                comparisons.iter().all(|(comparison, bound)| comparison.holds(number, *bound))
            }),
            Self::Exists(wanted) => *wanted,
            Self::Cidr(address, bits) => text
                .and_then(|text| text.parse().ok())
                .is_some_and(|other| is_within(other, *address, *bits)),
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Below => number < bound,
            Self::AtMost => number <= bound,
            Self::Above => number > bound,
            Self::AtLeast => number >= bound,
        }
    }
}

/// Numbers are the same however they are written.
fn same(wanted: &Value, value: &Value) -> bool {
    match (wanted.as_f64(), value.as_f64()) {
        (Some(wanted), Some(value)) => wanted == value,
        _ => wanted == value,
    }
}

fn is_within(address: IpAddr, range: IpAddr, bits: u8) -> bool {
    let top = |number: u128, width: u8| {
        if bits == 0 { 0 } else { number >> (width - bits) }
    };
    match (address, range) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            top(u32::from(a).into(), 32) == top(u32::from(b).into(), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => top(a.into(), 128) == top(b.into(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// `*` stands for any text. Greedy with one step back: linear in most cases, never exponential.
pub(crate) fn wild(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star, mut mark) = (0, 0, None, 0);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            (star, mark) = (Some(p), t);
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some(star) = star {
            mark += 1;
            (p, t) = (star + 1, mark);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
