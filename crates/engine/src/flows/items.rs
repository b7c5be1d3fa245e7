//! The items of a distributed map: from its input, or from an object of a configured bucket as JSON, JSON
//! Lines or CSV; each shaped for its child.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value};
use stint_flow::{CallId, MapRun, RawItem, Shaped, map_item};
use stint_model::execution::Execution;
use stint_model::id::ExecutionUid;

use super::plans::Definition;
use crate::engine::Engine;
use crate::shard::flows::integration::Wrong;

/// Sources that stay in memory between two reads.
const SOURCES_MAX: usize = 4;

/// Where items come from, cut into items but not read.
#[derive(Debug)]
enum Source {
    Values(Vec<Value>),
    Pairs(Vec<(String, Value)>),
    /// Lines of JSON: where each begins and ends.
    Lines(Bytes, Vec<(usize, usize)>),
    /// Records of CSV under these names.
    Records {
        bytes: Bytes,
        records: Vec<(usize, usize)>,
        names: Vec<String>,
        mark: u8,
    },
}

/// The last few sources, so that an object is fetched once for all its items.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    kept: Mutex<Vec<(ExecutionUid, CallId, Arc<Source>)>>,
}

impl Sources {
    fn get(&self, execution: ExecutionUid, call: CallId) -> Option<Arc<Source>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(uid, known, _)| (*uid, *known) == (execution, call));
        found.map(|(_, _, source)| Arc::clone(source))
    }

    fn keep(&self, execution: ExecutionUid, call: CallId, source: Arc<Source>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SOURCES_MAX {
            kept.remove(0);
        }
        kept.push((execution, call, source));
    }

    fn drop_source(&self, execution: ExecutionUid, call: CallId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(uid, known, _)| (*uid, *known) != (execution, call));
    }
}

fn failed(cause: impl Into<String>) -> Wrong {
    Wrong::new("States.ItemReaderFailed", cause)
}

/// Items from number `from` on, at most `count`, shaped; and whether they are the last.
pub(crate) async fn read(
    engine: &Engine,
    (execution, definition): (&Execution, &Definition),
    run: &MapRun,
    (from, count): (u64, u64),
) -> Result<(Vec<Value>, bool), Wrong> {
    let source = match engine.sources().get(execution.uid, run.id) {
        Some(source) => source,
        None => {
            let source = Arc::new(open(engine, run).await?);
            engine.sources().keep(execution.uid, run.id, Arc::clone(&source));
            source
        }
    };
    let start = usize::try_from(from).unwrap_or(usize::MAX).min(source.len());
    let end = start.saturating_add(usize::try_from(count).unwrap_or(usize::MAX)).min(source.len());
    let mut items = Vec::with_capacity(end - start);
    for at in start..end {
        let (key, value) = source.item(at)?;
        let index = u64::try_from(at).unwrap_or(u64::MAX);
        let raw = RawItem { index, key: key.as_deref(), value: &value };
        items.push(shaped(engine, definition, run, raw).await?);
    }
    let is_last = end == source.len();
    if is_last {
        engine.sources().drop_source(execution.uid, run.id);
    }
    Ok((items, is_last))
}

async fn shaped(
    engine: &Engine,
    definition: &Definition,
    run: &MapRun,
    raw: RawItem<'_>,
) -> Result<Value, Wrong> {
    let mut answers = None;
    loop {
        match map_item(&definition.plan, run, raw, answers.take()) {
            Shaped::Done(Ok(item)) => return Ok(item),
            Shaped::Done(Err(fault)) => {
                let error = fault.error.unwrap_or_else(|| "States.Runtime".to_owned());
                return Err(Wrong::new(error, fault.cause.unwrap_or_default()));
            }
            Shaped::Evaluate(evaluation) => {
                let entropy = engine.random_u128().to_le_bytes();
                let now = engine.clock().now();
                let evaluator = engine.evaluator();
                let said = evaluator.evaluate(engine.clock(), &evaluation, (entropy, now)).await;
                answers = Some(said);
            }
        }
    }
}

async fn open(engine: &Engine, run: &MapRun) -> Result<Source, Wrong> {
    let Some(reader) = &run.reader else {
        return Ok(match run.items.clone().unwrap_or(Value::Null) {
            Value::Array(items) => Source::Values(items),
            Value::Object(map) => Source::Pairs(map.into_iter().collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(failed("the items are neither an array nor an object"));
            }
        });
    };
    let resource = reader.get("Resource").and_then(Value::as_str).unwrap_or_default();
    if resource.contains("listObjects") {
        return Err(failed("listing a bucket is not supported by this version of Stint"));
    }
    let arguments = reader.get("Parameters").or_else(|| reader.get("Arguments"));
    let text = |keys: [&str; 2]| {
        let found = keys.iter().find_map(|key| arguments?.get(*key)?.as_str());
        found.map(str::to_owned).ok_or_else(|| failed(format!("ItemReader names no {}", keys[0])))
    };
    let (bucket, key) = (text(["Bucket", "bucket"])?, text(["Key", "key"])?);
    let most = engine.config().flows.map_object_bytes_max;
    let bytes = engine.buckets().fetch(&bucket, &key, most).await;
    let bytes = bytes.map_err(|error| failed(stint_supervise::chain(&error)))?;
    cut(bytes, reader.get("ReaderConfig").unwrap_or(&Value::Null), &key)
}

fn cut(bytes: Bytes, config: &Value, key: &str) -> Result<Source, Wrong> {
    let said = config.get("InputType").and_then(Value::as_str).map(str::to_ascii_uppercase);
    let by_name = || match key.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref()
    {
        Some("csv") => "CSV".to_owned(),
        Some("jsonl") => "JSONL".to_owned(),
        Some(_) | None => "JSON".to_owned(),
    };
    match said.unwrap_or_else(by_name).as_str() {
        "JSON" => json(&bytes, config),
        "JSONL" => {
            let lines = lines(&bytes, None);
            Ok(Source::Lines(bytes, lines))
        }
        "CSV" => csv(bytes, config),
        other => {
            Err(failed(format!("InputType {other} is not supported by this version of Stint")))
        }
    }
}

fn json(bytes: &Bytes, config: &Value) -> Result<Source, Wrong> {
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| failed(format!("no JSON: {error}")))?;
    if let Some(pointer) = config.get("ItemsPointer").and_then(Value::as_str) {
        let found = value.pointer_mut(pointer).map(Value::take);
        value = found.ok_or_else(|| failed(format!("ItemsPointer {pointer:?} leads nowhere")))?;
    }
    match value {
        Value::Array(items) => Ok(Source::Values(items)),
        Value::Object(map) => Ok(Source::Pairs(map.into_iter().collect())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(failed("the object is neither an array nor an object"))
        }
    }
}

fn csv(bytes: Bytes, config: &Value) -> Result<Source, Wrong> {
    let mark = match config.get("CSVDelimiter").and_then(Value::as_str) {
        None | Some("COMMA" | ",") => b',',
        Some("SEMICOLON" | ";") => b';',
        Some("TAB" | "\t") => b'\t',
        Some("PIPE" | "|") => b'|',
        Some("SPACE" | " ") => b' ',
        Some(other) => return Err(failed(format!("CSVDelimiter {other:?} is not known"))),
    };
    let mut records = lines(&bytes, Some(b'"'));
    let given = config.get("CSVHeaderLocation").and_then(Value::as_str) == Some("GIVEN");
    let names = if given {
        let names = config.get("CSVHeaders").and_then(Value::as_array);
        let names = names.ok_or_else(|| failed("CSVHeaders is missing"))?;
        names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
    } else {
        if records.is_empty() {
            return Err(failed("the object has no first row with names"));
        }
        let (start, end) = records.remove(0);
        fields(&bytes[start..end], mark)
    };
    Ok(Source::Records { bytes, records, names, mark })
}

/// Where lines begin and end, empty ones left out; inside quotes a line goes on.
fn lines(bytes: &[u8], quote: Option<u8>) -> Vec<(usize, usize)> {
    let (mut found, mut start, mut is_quoted) = (Vec::new(), 0, false);
    let mut take = |start: usize, mut end: usize| {
        if end > start && bytes[end - 1] == b'\r' {
            end -= 1;
        }
        if bytes[start..end].iter().any(|byte| !byte.is_ascii_whitespace()) {
            found.push((start, end));
        }
    };
    for (at, byte) in bytes.iter().enumerate() {
        if Some(*byte) == quote {
            is_quoted = !is_quoted;
        } else if *byte == b'\n' && !is_quoted {
            take(start, at);
            start = at + 1;
        }
    }
    take(start, bytes.len());
    found
}

/// The fields of a record; `""` in quotes is one quote.
fn fields(record: &[u8], mark: u8) -> Vec<String> {
    let (mut found, mut field, mut is_quoted) = (Vec::new(), Vec::new(), false);
    let mut bytes = record.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if is_quoted && byte == b'"' && bytes.peek() == Some(&b'"') {
            bytes.next();
            field.push(b'"');
        } else if byte == b'"' {
            is_quoted = !is_quoted;
        } else if byte == mark && !is_quoted {
            found.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
        } else {
            field.push(byte);
        }
    }
    found.push(String::from_utf8_lossy(&field).into_owned());
    found
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Values(items) => items.len(),
            Self::Pairs(pairs) => pairs.len(),
            Self::Lines(_, lines) => lines.len(),
            Self::Records { records, .. } => records.len(),
        }
    }

    fn item(&self, at: usize) -> Result<(Option<String>, Value), Wrong> {
        Ok(match self {
            Self::Values(items) => (None, items[at].clone()),
            Self::Pairs(pairs) => (Some(pairs[at].0.clone()), pairs[at].1.clone()),
            Self::Lines(bytes, lines) => {
                let (start, end) = lines[at];
                let value = serde_json::from_slice(&bytes[start..end]);
                let told = |error| failed(format!("item {at} is no JSON: {error}"));
                (None, value.map_err(told)?)
            }
            Self::Records { bytes, records, names, mark } => {
                let (start, end) = records[at];
                let mut fields = fields(&bytes[start..end], *mark).into_iter();
                let mut row = Map::new();
                for name in names {
                    row.insert(name.clone(), Value::String(fields.next().unwrap_or_default()));
                }
                (None, Value::Object(row))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items(text: &'static str, config: Value, key: &str) -> Vec<Value> {
        let source = cut(Bytes::from_static(text.as_bytes()), &config, key).expect("cuts");
        (0..source.len()).map(|at| source.item(at).expect("reads").1).collect()
    }

    #[test]
    fn objects_are_cut_by_their_type() {
        assert_eq!(items("[1,2]", json!({}), "a.json"), [json!(1), json!(2)]);
        assert_eq!(
            items("{\"a\":1}\n\n{\"a\":2}\r\n", json!({}), "a.jsonl"),
            [json!({"a": 1}), json!({"a": 2})]
        );
        let config = json!({"InputType": "JSON", "ItemsPointer": "/x/y"});
        assert_eq!(items("{\"x\":{\"y\":[3]}}", config, "a"), [json!(3)]);
        let rows = items("n,t\n1,\"a, \"\"b\"\"\nc\"\n2,\n", json!({}), "a.csv");
        assert_eq!(rows, [json!({"n": "1", "t": "a, \"b\"\nc"}), json!({"n": "2", "t": ""})]);
        let config = json!({"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["x"], "CSVDelimiter": "PIPE"});
        assert_eq!(items("a|b", config, "a"), [json!({"x": "a"})]);
    }

    #[test]
    fn what_cannot_be_cut_says_why() {
        for (text, config, word) in [
            ("{", json!({}), "no JSON"),
            ("1", json!({}), "neither"),
            ("[]", json!({"ItemsPointer": "/x"}), "nowhere"),
            ("", json!({"InputType": "CSV"}), "first row"),
            ("", json!({"InputType": "PARQUET"}), "not supported"),
        ] {
            let wrong = cut(Bytes::from_static(text.as_bytes()), &config, "a").unwrap_err();
            assert_eq!(wrong.error, "States.ItemReaderFailed");
            assert!(wrong.cause.contains(word), "{}", wrong.cause);
        }
    }
}
