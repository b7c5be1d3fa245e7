//! The OpenAPI document of `/v1`, made from the operation table and the types' own schemas.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::native::operation::{OPERATIONS, Operation, QUERY};
use crate::native::{
    Account, AccountCreate, AccountPatch, AuditEntry, Backlog, BatchResult, BatchSubmit,
    BulkRequest, BulkResult, Execution, ExecutionEvent, ExecutionStart, ExecutionStop,
    ExecutionWhy, Flow, FlowAlias, FlowAliasPut, FlowCreate, FlowGraph, FlowPatch, FlowPublish,
    FlowVersion, FunctionLimits, FunctionSummary, Health, Instance, Key, KeyCreate, KeyCreated,
    KeyPatch, KeyTemporary, LogLine, MasterKeyRotated, Overview, Page, ProgressReport, RetryPolicy,
    Runtime, Setting, StopRequest, Task, TaskAccepted, TaskCount, TaskSubmit, Usage, WhoAmI, Why,
};
use crate::problem::Envelope;

#[derive(OpenApi)]
#[openapi(components(schemas(
    Account, AccountCreate, AccountPatch, BatchResult, BatchSubmit, BulkRequest, BulkResult,
    Backlog, Envelope, Execution, ExecutionStart, ExecutionStop, ExecutionWhy, Flow, FlowAlias,
    FlowAliasPut, FlowCreate, FlowGraph, FlowPatch, FlowPublish, FlowVersion, FunctionLimits, FunctionSummary, Health, Instance, Key, KeyCreate, KeyCreated,
    KeyPatch, KeyTemporary, MasterKeyRotated, Overview, ProgressReport, RetryPolicy, StopRequest, Task,
    TaskAccepted, TaskCount, TaskSubmit, WhoAmI, Why, Page<Account>, Page<AuditEntry>,
    Page<Backlog>, Page<Execution>, Page<ExecutionEvent>, Page<Flow>, Page<FlowAlias>,
    Page<FlowVersion>, Page<FunctionSummary>, Page<Instance>, Page<Key>, Page<LogLine>,
    Page<Runtime>, Page<Setting>, Page<Task>, Page<Usage>
)))]
struct Schemas;

/// The document as JSON.
pub fn document(version: &str) -> Value {
    let schemas = serde_json::to_value(Schemas::openapi()).expect("plain data serializes");
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(operation);
    }
    let mut groups: Vec<&str> = OPERATIONS.iter().map(|operation| operation.group).collect();
    groups.dedup();
    let tags: Vec<Value> = groups.iter().map(|group| json!({ "name": group })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stint native API",
            "version": version,
            "description": "Tasks, backlogs, flows, limits, keys and observation beyond the APIs of Function Compute (under /2023-03-30), FnF and Step Functions, which the same address serves.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas["components"]["schemas"],
            "securitySchemes": {
                "acs3": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "ACS3-HMAC-SHA256, as the official SDKs sign.",
                },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

/// The document as text, as it is served and kept in the repository.
pub fn document_text(version: &str) -> String {
    let mut text = serde_json::to_string_pretty(&document(version)).expect("plain data serializes");
    text.push('\n');
    text
}

/// Bodies that may be left out.
const OPTIONAL_BODIES: [&str; 4] =
    ["StopRequest", "ExecutionStart", "ExecutionStop", "FlowPublish"];

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.group],
        "x-need": operation.need,
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    if !operation.body.is_empty() {
        described["requestBody"] = json!({
            "required": !OPTIONAL_BODIES.contains(&operation.body),
            "content": { "application/json": { "schema": reference(operation.body) } },
        });
    }
    described["security"] = match operation.need {
        "open" => json!([]),
        _ => json!([{ "acs3": [] }, { "bearer": [] }]),
    };
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = path_parameters(operation.path).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = operation.query.iter().map(|name| {
        let (_, meaning) = QUERY.iter().find(|(known, _)| known == name).unwrap_or(&("", ""));
        json!({
            "name": name, "in": "query", "required": false, "description": meaning,
            "schema": { "type": "string" },
        })
    });
    in_path.chain(in_query).collect()
}

/// Names between braces.
pub fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

fn responses(operation: &Operation) -> Value {
    let (status, schema) = operation.answer;
    let mut good = match schema {
        "" => json!({ "description": "Done." }),
        "text" => {
            json!({ "description": "Done.", "content": { "text/plain": { "schema": { "type": "string" } } } })
        }
        "json" => {
            json!({ "description": "Done.", "content": { "application/json": { "schema": { "type": "object" } } } })
        }
        "events" => json!({
            "description": "Server-sent events.",
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        }),
        "bytes" => json!({ "description": "Done.", "content": { "application/octet-stream": {} } }),
        schema => json!({
            "description": "Done.",
            "content": { "application/json": { "schema": reference(schema) } },
        }),
    };
    if operation.query.contains(&"follow") {
        // With `follow=true`: events `line`, and `end` when the task has ended.
        good["content"]["text/event-stream"] = json!({ "schema": { "type": "string" } });
    }
    if operation.query.contains(&"format") {
        good["content"]["text/csv"] = json!({ "schema": { "type": "string" } });
        good["content"]["application/vnd.apache.parquet"] = json!({});
    }
    json!({
        status.to_string(): good,
        "default": {
            "description": "Refused or failed; see docs/reference/errors.md.",
            "content": { "application/json": { "schema": reference("Envelope") } },
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The reference page for people, `docs/reference/api.md`.
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut group = "";
    for operation in OPERATIONS {
        if operation.group != group {
            group = operation.group;
            let _ = write!(
                page,
                "\n## {group}\n\n| Call | What it does | Needs | Body → answer |\n|---|---|---|---|\n"
            );
        }
        let body = if operation.body.is_empty() { "–" } else { operation.body };
        let (status, answer) = operation.answer;
        let answer = if answer.is_empty() { "–" } else { answer };
        let _ = writeln!(
            page,
            "| `{} {}` | {} | {} | {body} → {status} {answer} |",
            operation.method, operation.path, operation.summary, operation.need
        );
    }
    page.push_str("\n## Query parameters\n\n| Name | Meaning |\n|---|---|\n");
    for (name, meaning) in QUERY {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    page
}

const INTRODUCTION: &str = "\
# The native API

Generated from the operation table (`crates/wire/src/native/operation.rs`); the full document with every field is \
`/openapi.json` of a running server, `stint openapi`, or [openapi.json](openapi.json).

- JSON in camelCase. Times are RFC 3339 in UTC; where a time is read, Unix milliseconds work too. Lengths of time are \
seconds, or texts such as `\"250ms\"`, `\"5m\"`, `\"2h\"`.
- Requests are signed with ACS3-HMAC-SHA256 as the official SDKs do, or carry `Authorization: Bearer TOKEN`.
- Errors are `{\"Code\", \"Message\", \"RequestId\"}`; [errors.md](errors.md) has a section for each code. Every answer \
carries `X-Fc-Request-Id`.
- *Needs* names what the key's role must allow: `invoke` (invoker, developer, admin), `read` (viewer, developer, admin), \
`follow` (either of the two), `write` (developer, admin), `administer` (admin), `operate` (admin of the root account), `any` (every key), `open` (no key).
- Pages: `limit` and `cursor`; an answer's `next` is the next `cursor`, absent at the end.
- The fields of `TaskSubmit` also work as headers on Function Compute's `InvokeFunction`: `x-stint-priority`, \
`x-stint-tags` (`k=v,k=v`), `x-stint-order-key`, `x-stint-limit-key`, `x-stint-run-at`, `x-stint-timeout`, `x-stint-heartbeat`, `x-stint-cpu`, \
`x-stint-memory`, `x-stint-deadline`, `x-stint-depends-on` (`TASK[:ended],…`), `x-stint-retries`, `x-stint-backoff`, \
`x-stint-backoff-cap`, `x-stint-final-errors`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_has_its_schema() {
        let document = document("0");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        let mut references = 0;
        for piece in text.split("#/components/schemas/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} of {:?}", schemas.keys());
            references += 1;
        }
        assert!(references > 50);
    }

    #[test]
    fn every_path_parameter_is_described() {
        assert_eq!(
            path_parameters("/v1/functions/{function}/tasks/{task}").collect::<Vec<_>>(),
            ["function", "task"]
        );
        let document = document("0");
        let get = &document["paths"]["/v1/tasks/{task}"]["get"];
        assert_eq!(get["parameters"][0]["name"], "task");
    }
}
