//! The results of a distributed map, for those whose `ResultWriter` takes them: files of children by how they ended
//! and a manifest that names them, as Step Functions writes it. Everything is read from the book page by page, and
//! names follow from the map run, so that writing again after a crash gives the same files.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use stint_flow::MapRun;
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::time::Timestamp;
use stint_store::{ExecutionList, ExecutionQuery};

use super::objects;
use crate::engine::Engine;
use crate::shard::flows::integration::{Wrong, execution_arn};

/// Children that are read at a time.
const PAGE: usize = 500;
/// Bytes after which a file of results is full.
const FILE_BYTES_MAX: usize = 8 << 20;

fn failed(cause: impl Into<String>) -> Wrong {
    Wrong::new("States.ResultWriterFailed", cause)
}

/// What of a child is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    /// All that is known of it.
    Whole,
    /// Its output.
    Output,
    /// Its output; of an array its elements.
    Elements,
}

/// `ResultWriter`, read.
#[derive(PartialEq, Eq, Debug)]
struct Writer {
    /// Bucket and prefix; none hands the results on.
    target: Option<(String, String)>,
    shape: Shape,
    is_lines: bool,
}

impl Writer {
    fn read(said: &Value) -> Result<Self, Wrong> {
        let arguments = said.get("Parameters").or_else(|| said.get("Arguments"));
        let word = |name: &str| said.get("WriterConfig")?.get(name)?.as_str();
        let has_target = said.get("Resource").is_some() || arguments.is_some();
        let text = |name: &str| {
            let found = arguments?.get(name).or_else(|| arguments?.get(name.to_lowercase()))?;
            found.as_str().map(str::to_owned)
        };
        let target = match (has_target, text("Bucket")) {
            (false, _) => None,
            (true, Some(bucket)) => Some((bucket, text("Prefix").unwrap_or_default())),
            (true, None) => return Err(failed("ResultWriter names no Bucket")),
        };
        let shape = match (word("Transformation"), &target) {
            (Some("NONE"), _) | (None, Some(_)) => Shape::Whole,
            (Some("COMPACT"), _) | (None, None) => Shape::Output,
            (Some("FLATTEN"), _) => Shape::Elements,
            (Some(other), _) => return Err(failed(format!("Transformation {other} is not known"))),
        };
        let is_lines = match word("OutputType") {
            None | Some("JSON") => false,
            Some("JSONL") => true,
            Some(other) => return Err(failed(format!("OutputType {other} is not known"))),
        };
        Ok(Self { target, shape, is_lines })
    }
}

/// Texts that are told one after the other, as an array or as lines.
struct Texts {
    is_lines: bool,
    body: Vec<u8>,
    count: usize,
}

impl Texts {
    fn new(is_lines: bool) -> Self {
        Self { is_lines, body: Vec::new(), count: 0 }
    }

    fn add(&mut self, value: &Value) {
        if !self.is_lines {
            self.body.push(if self.count == 0 { b'[' } else { b',' });
        }
        serde_json::to_writer(&mut self.body, value).expect("JSON values serialize into memory");
        if self.is_lines {
            self.body.push(b'\n');
        }
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.is_lines {
            self.body.extend_from_slice(if self.count == 0 { b"[]" } else { b"]" });
        }
        self.body
    }
}

/// Writes or gathers the results of a map run whose children have all ended, and gives what the map's step gets.
///
/// # Errors
/// `States.ResultWriterFailed`, `States.DataLimitExceeded` by their names in States Language.
pub(crate) async fn write(
    engine: &Engine,
    execution: &Execution,
    run: &MapRun,
) -> Result<Value, Wrong> {
    let writer = Writer::read(run.writer.as_ref().unwrap_or(&Value::Null))?;
    let children = Children { engine, execution, run, shape: writer.shape };
    let Some((bucket, prefix)) = &writer.target else {
        return gather(&children, writer.is_lines).await;
    };
    let prefix = prefix.trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let folder = format!("{prefix}{slash}{}-{}", execution.uid, run.id);
    let place = Place { bucket, folder: &folder, is_lines: writer.is_lines };
    let mut files = Map::new();
    for (word, statuses) in GROUPS {
        files.insert(word.to_owned(), Value::Array(children.files(&place, word, statuses).await?));
    }
    // What was not started when all had ended: nothing.
    files.insert("PENDING".to_owned(), json!([]));
    let arn = map_run_arn(engine, execution, run);
    let manifest = json!({"DestinationBucket": bucket, "MapRunArn": arn, "ResultFiles": files});
    let key = format!("{folder}/manifest.json");
    place.put(engine, execution, "manifest.json", manifest.to_string().into_bytes()).await?;
    Ok(json!({"MapRunArn": arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}))
}

/// The files of a manifest, and which children stand in them.
const GROUPS: [(&str, &[ExecutionStatus]); 2] = [
    ("FAILED", &[ExecutionStatus::Failed, ExecutionStatus::TimedOut, ExecutionStatus::Stopped]),
    ("SUCCEEDED", &[ExecutionStatus::Succeeded]),
];

fn map_run_arn(engine: &Engine, holder: &Execution, run: &MapRun) -> String {
    let name = if holder.map.is_some() { holder.uid.to_string() } else { holder.name.clone() };
    let (region, account, flow) = (&engine.config().region, holder.account, &holder.flow_name);
    format!("arn:aws:states:{region}:{account}:mapRun:{flow}/{name}:{}", run.id)
}

/// Where files go.
struct Place<'a> {
    bucket: &'a str,
    folder: &'a str,
    is_lines: bool,
}

impl Place<'_> {
    async fn put(
        &self,
        engine: &Engine,
        execution: &Execution,
        name: &str,
        body: Vec<u8>,
    ) -> Result<(), Wrong> {
        let key = format!("{}/{name}", self.folder);
        let target = (self.bucket, key.as_str());
        let written = objects::put(engine, execution.account, target, Bytes::from(body)).await;
        written.map_err(|error| failed(stint_supervise::chain(&error)))
    }
}

/// The children of a map run.
struct Children<'a> {
    engine: &'a Engine,
    execution: &'a Execution,
    run: &'a MapRun,
    shape: Shape,
}

impl Children<'_> {
    async fn page(
        &self,
        statuses: &[ExecutionStatus],
        cursor: Option<String>,
    ) -> Result<(Vec<Execution>, Option<String>), Wrong> {
        let query = ExecutionQuery {
            statuses: statuses.to_vec(),
            call: Some((self.run.id.entered, self.run.id.attempt)),
            ascending: true,
            limit: PAGE,
            cursor,
            ..ExecutionQuery::of(ExecutionList::Children(self.execution.uid))
        };
        let page = self.engine.store().execution_list(&query).await;
        let page = page.map_err(|error| failed(stint_supervise::chain(&error)))?;
        Ok((page.items, page.next))
    }

    /// Writes the files of children that ended so; what the manifest says of them.
    async fn files(
        &self,
        place: &Place<'_>,
        word: &str,
        statuses: &[ExecutionStatus],
    ) -> Result<Vec<Value>, Wrong> {
        let (mut files, mut texts, mut cursor) = (Vec::new(), Texts::new(place.is_lines), None);
        loop {
            let (children, next) = self.page(statuses, cursor).await?;
            for child in &children {
                self.tell(child, &mut texts).await?;
            }
            let is_last = next.is_none();
            if texts.body.len() >= FILE_BYTES_MAX || (is_last && texts.count > 0) {
                let full = std::mem::replace(&mut texts, Texts::new(place.is_lines)).finish();
                let end = if place.is_lines { "jsonl" } else { "json" };
                let name = format!("{word}_{}.{end}", files.len());
                let key = format!("{}/{name}", place.folder);
                files.push(json!({"Key": key, "Size": full.len()}));
                place.put(self.engine, self.execution, &name, full).await?;
            }
            if is_last {
                return Ok(files);
            }
            cursor = next;
        }
    }

    async fn tell(&self, child: &Execution, texts: &mut Texts) -> Result<(), Wrong> {
        // Without an output there is nothing but what happened.
        if self.shape == Shape::Whole || child.status != ExecutionStatus::Succeeded {
            texts.add(&self.whole(child).await?);
            return Ok(());
        }
        let output = self.text(&child.output).await?;
        let output: Value = serde_json::from_str(&output).unwrap_or(Value::String(output));
        match output {
            Value::Array(elements) if self.shape == Shape::Elements => {
                elements.iter().for_each(|element| texts.add(element));
            }
            output => texts.add(&output),
        }
        Ok(())
    }

    async fn text(&self, payload: &stint_model::payload::Payload) -> Result<String, Wrong> {
        let bytes = self.engine.payload(payload).await;
        let bytes = bytes.map_err(|error| failed(stint_supervise::chain(&error)))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn whole(&self, child: &Execution) -> Result<Value, Wrong> {
        let region = &self.engine.config().region;
        let status = match child.status {
            ExecutionStatus::Running => "RUNNING",
            ExecutionStatus::Succeeded => "SUCCEEDED",
            ExecutionStatus::Failed => "FAILED",
            ExecutionStatus::TimedOut => "TIMED_OUT",
            ExecutionStatus::Stopped => "ABORTED",
        };
        let machine =
            format!("arn:aws:states:{region}:{}:stateMachine:{}", child.account, child.flow_name);
        let mut told = json!({
            "ExecutionArn": execution_arn(region, child),
            "Input": self.text(&child.input).await?,
            "InputDetails": {"Included": true},
            "Name": child.name,
            "RedriveCount": child.redrives,
            "StartDate": written(child.started_at),
            "StateMachineArn": machine,
            "Status": status,
            "StopDate": written(child.ended_at),
        });
        if child.status == ExecutionStatus::Succeeded {
            told["Output"] = self.text(&child.output).await?.into();
            told["OutputDetails"] = json!({"Included": true});
        } else {
            told["Error"] = json!(child.error);
            told["Cause"] = json!(child.cause);
        }
        Ok(told)
    }
}

/// The results as the map's own output, within what a map run hands on.
async fn gather(children: &Children<'_>, is_lines: bool) -> Result<Value, Wrong> {
    let most = children.engine.config().flows.map_output_bytes_max;
    let (mut texts, mut cursor) = (Texts::new(is_lines), None);
    loop {
        let (page, next) = children.page(&[], cursor).await?;
        for child in &page {
            children.tell(child, &mut texts).await?;
            if texts.body.len() > most {
                let cause = format!("The results of the children have more than {most} bytes");
                return Err(Wrong::new("States.DataLimitExceeded", cause));
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let text = String::from_utf8(texts.finish()).expect("JSON is UTF-8");
    Ok(if is_lines { text.into() } else { serde_json::from_str(&text).unwrap_or_default() })
}

fn written(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: Value) -> Result<Writer, String> {
        Writer::read(&said).map_err(|wrong| wrong.cause)
    }

    #[test]
    fn a_writer_says_where_and_how() {
        let to = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        let object = "arn:aws:states:::s3:putObject";
        let plain =
            read(json!({"Resource": object, "Parameters": {"Bucket": "b", "Prefix": "p/"}}));
        let target = to("b", "p/");
        assert_eq!(plain, Ok(Writer { target, shape: Shape::Whole, is_lines: false }));
        let lines = read(json!({"Resource": object, "Arguments": {"Bucket": "b"},
            "WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}}));
        let target = to("b", "");
        assert_eq!(lines, Ok(Writer { target, shape: Shape::Elements, is_lines: true }));
        let own = read(json!({"WriterConfig": {"Transformation": "COMPACT"}}));
        assert_eq!(own, Ok(Writer { target: None, shape: Shape::Output, is_lines: false }));
        assert!(
            read(json!({"Resource": object, "Parameters": {}})).unwrap_err().contains("Bucket")
        );
        assert!(read(json!({"WriterConfig": {"OutputType": "XML"}})).unwrap_err().contains("XML"));
        assert!(read(json!({"WriterConfig": {"Transformation": "x"}})).is_err());
    }

    #[test]
    fn results_are_an_array_or_lines() {
        let told = |is_lines, values: &[Value]| {
            let mut texts = Texts::new(is_lines);
            values.iter().for_each(|value| texts.add(value));
            String::from_utf8(texts.finish()).unwrap()
        };
        let two = [json!({"a": 1}), json!([2])];
        assert_eq!(told(false, &two), r#"[{"a":1},[2]]"#);
        assert_eq!(told(true, &two), "{\"a\":1}\n[2]\n");
        assert_eq!((told(false, &[]).as_str(), told(true, &[]).as_str()), ("[]", ""));
        assert_eq!(written(Timestamp::from_millis(1_700_000_000_012)), "2023-11-14T22:13:20.012Z");
    }
}
