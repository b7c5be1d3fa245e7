//! Task options from the two places they come from: `x-fc-*` and `x-stint-*` headers, and the fields
//! of a native submit. Both end in the engine's own type.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use stint_engine::submit::is_request_id;
use stint_engine::{Submit, TaskOptions, TaskRef};
use stint_model::limit::Priority;
use stint_model::task::When;
use stint_model::time::Span;
use stint_wire::native::{TaskSubmit, milli};
use stint_wire::time::{Seconds, Time};

use crate::answer::TASK_ID;
use crate::error::Problem;

/// A header's text; some SDK generations put it into JSON quotes (§2.2).
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad(name, "it is not plain text"))?.trim();
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    Ok((!text.is_empty()).then_some(text))
}

fn bad(name: &str, why: &str) -> Problem {
    Problem::invalid(format!("header {name} is not valid: {why}"))
}

fn read<T: FromStr>(headers: &HeaderMap, name: &str, why: &str) -> Result<Option<T>, Problem> {
    let Some(text) = header(headers, name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| bad(name, why))
}

const LENGTH: &str = "a number of seconds, or a text such as 90s, 5m, 2h";
const MOMENT: &str = "a time such as 2026-01-02T03:04:05Z, or Unix milliseconds";

const OURS: &str = "x-stint-";
/// Every header of ours that an async call may carry.
const NAMES: [&str; 15] = [
    "x-stint-run-at",
    "x-stint-priority",
    "x-stint-order-key",
    "x-stint-limit-key",
    "x-stint-timeout",
    "x-stint-heartbeat",
    "x-stint-cpu",
    "x-stint-memory",
    "x-stint-deadline",
    "x-stint-retries",
    "x-stint-backoff",
    "x-stint-backoff-cap",
    "x-stint-final-errors",
    "x-stint-tags",
    "x-stint-depends-on",
];

/// The options of an async `InvokeFunction`.
pub(crate) fn from_headers(headers: &HeaderMap, function: &str) -> Result<TaskOptions, Problem> {
    let mut options = TaskOptions {
        task_id: header(headers, TASK_ID.as_str())?.map(str::to_owned),
        request_id: request_id(headers)?,
        delay: span(headers, "x-fc-async-delay")?,
        ..TaskOptions::default()
    };
    // One look instead of fifteen when none of ours is there, which is the usual case.
    let mut ours = headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with(OURS));
    let Some(first) = ours.next() else { return Ok(options) };
    if let Some(unknown) = [first].into_iter().chain(ours).find(|name| !NAMES.contains(name)) {
        // A misspelt option that is passed over is an option that silently does nothing.
        return Err(bad(unknown, &format!("there are {}", NAMES.join(", "))));
    }
    options.not_before = moment(headers, "x-stint-run-at")?;
    options.priority = match read(headers, "x-stint-priority", "0 to 9")? {
        Some(value) => Some(priority(value)?),
        None => None,
    };
    options.order_key = header(headers, "x-stint-order-key")?.map(str::to_owned);
    options.limit_key = header(headers, "x-stint-limit-key")?.map(str::to_owned);
    options.timeout = span(headers, "x-stint-timeout")?;
    options.heartbeat = span(headers, "x-stint-heartbeat")?;
    options.cpu_milli = match read(headers, "x-stint-cpu", "a number of vCPU")? {
        Some(cpu) => Some(cpu_milli(cpu)?),
        None => None,
    };
    options.memory_mb = read(headers, "x-stint-memory", "a number of MB")?;
    options.deadline = moment(headers, "x-stint-deadline")?;
    options.retries_max = read(headers, "x-stint-retries", "a small number")?;
    options.backoff_base = span(headers, "x-stint-backoff")?;
    options.backoff_cap = span(headers, "x-stint-backoff-cap")?;
    if let Some(text) = header(headers, "x-stint-final-errors")? {
        options.final_errors = Some(text.split(',').map(|kind| kind.trim().to_owned()).collect());
    }
    if let Some(text) = header(headers, "x-stint-tags")? {
        options.tags = tags(text)?;
    }
    if let Some(text) = header(headers, "x-stint-depends-on")? {
        options.depends_on = depends_on(text, function)?;
    }
    Ok(options)
}

/// A synchronous call has no options: one that is given would silently do nothing.
pub(crate) fn none_of_ours(headers: &HeaderMap) -> Result<(), Problem> {
    let mut names = headers.keys().map(HeaderName::as_str);
    match names.find(|name| name.starts_with(OURS)) {
        None => Ok(()),
        Some(name) => Err(bad(name, "it belongs to asynchronous calls")),
    }
}

/// What the client wants its request to be called. A trace id that cannot be a request id is one all
/// the same, and names nothing.
pub(crate) fn request_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match header(headers, "x-fc-request-id")? {
        Some(id) if is_request_id(id) => Ok(Some(id.to_owned())),
        Some(_) => Err(Problem::invalid(
            "header x-fc-request-id has 1 to 128 letters, digits, hyphens and underscores",
        )),
        None => {
            let trace = header(headers, "x-fc-trace-id")?.filter(|id| is_request_id(id));
            Ok(trace.map(str::to_owned))
        }
    }
}

fn span(headers: &HeaderMap, name: &str) -> Result<Option<Span>, Problem> {
    Ok(read::<Seconds>(headers, name, LENGTH)?.map(Span::from))
}

fn moment(
    headers: &HeaderMap,
    name: &str,
) -> Result<Option<stint_model::time::Timestamp>, Problem> {
    Ok(read::<Time>(headers, name, MOMENT)?.map(|time| time.0))
}

fn tags(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let pair = pair.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) =
                pair.ok_or_else(|| bad("x-stint-tags", "write key=value,key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn depends_on(text: &str, function: &str) -> Result<Vec<(TaskRef, When)>, Problem> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (task, when) = match item.rsplit_once(':') {
                Some((task, "ended")) => (task, When::Ended),
                Some((task, "succeeded")) => (task, When::Succeeded),
                Some(_) => {
                    return Err(bad(
                        "x-stint-depends-on",
                        "write TASK, TASK:succeeded or TASK:ended",
                    ));
                }
                None => (item, When::Succeeded),
            };
            Ok((task_ref(task, function)?, when))
        })
        .collect()
}

/// A task's uid, `function/taskId`, or only `taskId` for a task of the same function.
fn task_ref(text: &str, function: &str) -> Result<TaskRef, Problem> {
    if let Ok(task) = text.parse() {
        return Ok(task);
    }
    format!("{function}/{text}").parse().map_err(|_| {
        Problem::invalid(format!(
            "no task is called {text:?}: write its uid, function/taskId, or taskId alone for a task \
             of the same function"
        ))
    })
}

fn priority(value: u8) -> Result<Priority, Problem> {
    Priority::new(value).ok_or_else(|| Problem::invalid("a priority is 0 (last) to 9 (first)"))
}

fn cpu_milli(cpu: f64) -> Result<u32, Problem> {
    let milli = milli(cpu).and_then(|milli| u32::try_from(milli).ok());
    milli.ok_or_else(|| Problem::invalid("cpu is a number of vCPU, such as 0.5"))
}

/// A native submit in the engine's terms.
pub(crate) fn submit(task: TaskSubmit, function: &str) -> Result<Submit, Problem> {
    let payload = payload(task.payload, task.payload_text, task.payload_base64)?;
    let options = TaskOptions {
        task_id: task.task_id,
        request_id: task.request_id,
        not_before: task.run_at.map(|time| time.0),
        delay: task.delay.map(Span::from),
        priority: task.priority.map(priority).transpose()?,
        tags: task.tags,
        order_key: task.order_key,
        limit_key: task.limit_key,
        depends_on: task
            .depends_on
            .iter()
            .map(|dependency| Ok((task_ref(&dependency.task, function)?, dependency.when.into())))
            .collect::<Result<_, Problem>>()?,
        timeout: task.timeout.map(Span::from),
        heartbeat: task.heartbeat.map(Span::from),
        cpu_milli: task.cpu.map(cpu_milli).transpose()?,
        memory_mb: task.memory,
        retries_max: task.retries,
        backoff_base: task.backoff.map(Span::from),
        backoff_cap: task.backoff_cap.map(Span::from),
        final_errors: task.final_errors,
        deadline: task.deadline.map(|time| time.0),
    };
    Ok(Submit { payload, options })
}

fn payload(
    json: Option<Box<serde_json::value::RawValue>>,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Bytes, Problem> {
    match (json, text, base64) {
        (None, None, None) => Ok(Bytes::new()),
        (Some(json), None, None) => Ok(Bytes::from(String::from(Box::<str>::from(json)))),
        (None, Some(text), None) => Ok(Bytes::from(text)),
        (None, None, Some(base64)) => base64::engine::general_purpose::STANDARD
            .decode(base64)
            .map(Bytes::from)
            .map_err(|_| Problem::invalid("payloadBase64 is not base64")),
        _ => Err(Problem::invalid("give one of payload, payloadText and payloadBase64")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    #[test]
    fn headers_say_what_fields_say() {
        let given = headers(&[
            ("x-fc-async-task-id", "\"job-1\""),
            ("x-fc-async-delay", "1.5"),
            ("x-stint-priority", "9"),
            ("x-stint-tags", "a=1, b=x=y"),
            ("x-stint-order-key", "o"),
            ("x-stint-limit-key", "l"),
            ("x-stint-timeout", "2h"),
            ("x-stint-heartbeat", "30s"),
            ("x-stint-cpu", "0.35"),
            ("x-stint-memory", "256"),
            ("x-stint-deadline", "2026-01-02T03:04:05Z"),
            ("x-stint-depends-on", "a, f/b:ended"),
            ("x-stint-retries", "5"),
            ("x-stint-backoff", "250ms"),
            ("x-stint-backoff-cap", "1m"),
            ("x-stint-final-errors", "ValueError,KeyError"),
        ]);
        let from_headers = from_headers(&given, "f").unwrap();
        let text = r#"{"taskId":"job-1","delay":1.5,"priority":9,"tags":{"a":"1","b":"x=y"},"orderKey":"o","limitKey":"l",
            "timeout":7200,"heartbeat":30,"cpu":0.35,"memory":256,"deadline":"2026-01-02T03:04:05Z","retries":5,"backoff":0.25,"backoffCap":60,
            "dependsOn":[{"task":"f/a"},{"task":"f/b","when":"ended"}],"finalErrors":["ValueError","KeyError"]}"#;
        let from_json = submit(serde_json::from_str(text).unwrap(), "f").unwrap();
        assert_eq!(from_headers, from_json.options);
        assert_eq!(from_json.options.cpu_milli, Some(350));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("x-stint-priority", "10"),
            ("x-stint-priority", "high"),
            ("x-stint-tag", "a=b"),
            ("x-stint-tags", "=v"),
            ("x-stint-depends-on", "no/bo/dy"),
            ("x-stint-depends-on", "a b"),
            ("x-stint-cpu", "-1"),
            ("x-stint-run-at", "soon"),
            ("x-fc-async-delay", "-5"),
        ] {
            assert!(from_headers(&headers(&[(name, value)]), "f").is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn one_payload_at_most() {
        let read = |text: &str| submit(serde_json::from_str(text).unwrap(), "f");
        assert_eq!(read("{}").unwrap().payload, Bytes::new());
        assert_eq!(read(r#"{"payload":{"a": 1}}"#).unwrap().payload, r#"{"a": 1}"#);
        assert_eq!(read(r#"{"payloadText":"hi"}"#).unwrap().payload, "hi");
        assert_eq!(read(r#"{"payloadBase64":"AAE="}"#).unwrap().payload, &[0, 1][..]);
        assert!(read(r#"{"payloadBase64":"?"}"#).is_err());
        assert!(read(r#"{"payloadText":"a","payload":1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}") {
            for name in ["x-fc-async-delay", "x-stint-tags", "x-stint-depends-on", "x-stint-deadline", "x-stint-cpu"] {
                drop(from_headers(&headers(&[(name, &value)]), "f"));
            }
        }
    }
}
