//! What every kind shares: which events are taken, what becomes of them, how many make one task, and what is
//! said of that task. Written under `delivery` in a trigger's configuration.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use stint_model::time::Span;

use crate::event::{Data, Event};
use crate::kind::Shape;
use crate::path::Path;
use crate::pattern::Pattern;
use crate::settings::{self, ConfigError};
use crate::template::Template;

/// The most events of one task.
const BATCH_MAX: u64 = 10_000;
/// The longest window in seconds.
const WINDOW_SECONDS_MAX: u64 = 300;
/// The most tasks that may wait before a source is not read.
const BACKLOG_MAX: u64 = 10_000_000;
/// What is not said.
const BACKLOG_DEFAULT: u64 = 10_000;
/// Bytes of events in one task.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Shared options; everything in them was checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// At most so many events make a task; 1: each event is one, and is no list.
    pub batch_count: usize,
    /// How long to wait for a batch to fill.
    pub batch_window: Span,
    /// Which events are taken.
    pub filter: Option<Pattern>,
    /// What the function is given of each.
    pub transform: Option<Template>,
    /// What it is given without a transform; the kind's own when not said.
    pub shape: Option<Shape>,
    /// What an event is known by instead of the kind's own name for it.
    pub event_id: Option<Path>,
    /// Tasks of one key go one at a time, in order.
    pub order_key: Option<OrderKey>,
    /// 0 to 9.
    pub priority: Option<u8>,
    /// While so many tasks wait, the source is not read.
    pub backlog_max: u64,
    /// Retries of the tasks instead of the function's.
    pub retries: Option<u32>,
    /// Before the first retry.
    pub backoff: Option<Span>,
    /// The longest wait between retries.
    pub backoff_max: Option<Span>,
    /// Where a task goes that failed for good, instead of the function's destination.
    pub dead_letter: Option<String>,
    /// Whether the next batch waits for the end of this one's tasks.
    pub wait: bool,
}

/// Where the order of tasks comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderKey {
    /// From the source: Kafka's key, a queue's group.
    Source,
    /// From the event.
    Path(Path),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Said {
    batch: Option<BatchSaid>,
    filter: Option<Value>,
    transform: Option<Value>,
    shape: Option<Shape>,
    event_id: Option<String>,
    order_key: Option<String>,
    priority: Option<u64>,
    backlog_max: Option<u64>,
    retries: Option<u64>,
    backoff_seconds: Option<u64>,
    backoff_max_seconds: Option<u64>,
    dead_letter: Option<String>,
    wait: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchSaid {
    count: u64,
    #[serde(default)]
    seconds: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self::checked(Said::default()).expect("nothing said is nothing wrong")
    }
}

impl Delivery {
    /// Reads what stands under `delivery`.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(value: &Value) -> Result<Self, ConfigError> {
        let said: Said = settings::read(&value.to_string())?;
        Self::checked(said)
    }

    fn checked(said: Said) -> Result<Self, ConfigError> {
        let (count, seconds) = said.batch.map_or((1, 0), |batch| (batch.count, batch.seconds));
        settings::within("batch.count", count, (1, BATCH_MAX))?;
        settings::within("batch.seconds", seconds, (0, WINDOW_SECONDS_MAX))?;
        settings::within("priority", said.priority.unwrap_or(4), (0, 9))?;
        settings::within("retries", said.retries.unwrap_or(0), (0, 100))?;
        let backlog_max = said.backlog_max.unwrap_or(BACKLOG_DEFAULT);
        settings::within("backlogMax", backlog_max, (1, BACKLOG_MAX))?;
        for (name, seconds) in [
            ("backoffSeconds", said.backoff_seconds),
            ("backoffMaxSeconds", said.backoff_max_seconds),
        ] {
            settings::within(name, seconds.unwrap_or(1), (0, 86_400))?;
        }
        let order_key = said.order_key.as_deref().map(|text| match text {
            "source" => Ok(OrderKey::Source),
            path => in_field("orderKey", Path::read(path)).map(OrderKey::Path),
        });
        let event_id = said.event_id.map(|text| in_field("eventId", Path::read(&text)));
        let filter = said.filter.map(|value| in_field("filter", Pattern::read(&value)));
        let transform = said.transform.map(|value| in_field("transform", Template::read(&value)));
        Ok(Self {
            batch_count: usize::try_from(count).unwrap_or(1),
            batch_window: Span::from_secs(seconds),
            filter: filter.transpose()?,
            transform: transform.transpose()?,
            shape: said.shape,
            event_id: event_id.transpose()?,
            order_key: order_key.transpose()?,
            priority: said.priority.and_then(|priority| u8::try_from(priority).ok()),
            backlog_max,
            retries: said.retries.and_then(|retries| u32::try_from(retries).ok()),
            backoff: said.backoff_seconds.map(Span::from_secs),
            backoff_max: said.backoff_max_seconds.map(Span::from_secs),
            dead_letter: said.dead_letter,
            wait: said.wait,
        })
    }
}

fn in_field<T>(field: &str, read: Result<T, String>) -> Result<T, ConfigError> {
    read.map_err(|why| ConfigError::field(field, why))
}

/// What one task is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parcel {
    /// What the events in it are known by, when all have a name: the same events, the same text.
    pub id: Option<String>,
    /// The order the task keeps.
    pub order_key: Option<String>,
    /// What the function is given.
    pub payload: Bytes,
    /// How many events it holds.
    pub events: usize,
}

impl Delivery {
    /// What becomes of these events, in their order. `made` names an event that has no name of its own.
    pub fn pack(
        &self,
        shape: Shape,
        events: &[Event],
        mut made: impl FnMut() -> String,
    ) -> Vec<Parcel> {
        let shape = self.shape.unwrap_or(shape);
        let mut lists: Vec<(Option<String>, Vec<Item>)> = Vec::new();
        let mut open: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for event in events {
            let whole = event.to_cloud_event(&made());
            if self.filter.as_ref().is_some_and(|filter| !filter.matches(&whole)) {
                continue;
            }
            let item = self.item(shape, event, &whole);
            let key = match &self.order_key {
                None => None,
                Some(OrderKey::Source) => event.order_key.clone(),
                Some(OrderKey::Path(path)) => path.text(&whole),
            };
            // Events of another key are another task: the order is the task's.
            let place = open.get(&key).copied().filter(|place| self.has_room(&lists[*place].1));
            match place {
                Some(place) => lists[place].1.push(item),
                None => {
                    open.insert(key.clone(), lists.len());
                    lists.push((key, vec![item]));
                }
            }
        }
        lists.into_iter().map(|(key, items)| self.parcel(key, items)).collect()
    }

    fn has_room(&self, items: &[Item]) -> bool {
        let bytes: usize = items.iter().map(|item| item.payload.len()).sum();
        items.len() < self.batch_count && bytes < BATCH_BYTES_MAX
    }

    fn item(&self, shape: Shape, event: &Event, whole: &Value) -> Item {
        let id = match &self.event_id {
            Some(path) => path.text(whole),
            None => event.id.as_ref().map(|id| format!("{}\n{id}", event.source)),
        };
        // In a list each must be JSON.
        let is_listed = self.batch_count > 1;
        let payload = match (&self.transform, shape) {
            (Some(template), _) if is_listed => Bytes::from(template.fill(whole).to_string()),
            (Some(template), _) => as_payload(&template.fill(whole)),
            (None, Shape::CloudEvent) => Bytes::from(whole.to_string()),
            (None, Shape::Data) if is_listed => Bytes::from(event.data.to_json().to_string()),
            (None, Shape::Data) => event.data.to_bytes(),
        };
        Item { id, payload }
    }

    fn parcel(&self, order_key: Option<String>, items: Vec<Item>) -> Parcel {
        let ids: Option<Vec<&str>> = items.iter().map(|item| item.id.as_deref()).collect();
        let id = ids.map(|ids| ids.join("\n"));
        let events = items.len();
        if self.batch_count == 1 {
            let payload = items.into_iter().next().map(|item| item.payload).unwrap_or_default();
            return Parcel { id, order_key, payload, events };
        }
        let mut payload = Vec::from(*b"[");
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                payload.push(b',');
            }
            payload.extend_from_slice(&item.payload);
        }
        payload.push(b']');
        Parcel { id, order_key, payload: payload.into(), events }
    }
}

struct Item {
    id: Option<String>,
    payload: Bytes,
}

/// A text that a template made is given as it is; anything else as JSON.
fn as_payload(value: &Value) -> Bytes {
    match value {
        Value::String(text) => Bytes::from(text.clone()),
        other => Bytes::from(other.to_string()),
    }
}

/// About how many bytes these events have.
pub fn size(events: &[Event]) -> usize {
    events.iter().map(|event| Data::size(&event.data)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, data: Value, key: &str) -> Event {
        Event {
            id: Some(id.into()),
            source: "s".into(),
            event_type: "t".into(),
            data: Data::Json(data),
            order_key: Some(key.into()),
            ..Event::default()
        }
    }

    fn pack(said: Value, events: &[Event]) -> Vec<(Option<String>, String, usize)> {
        let delivery = Delivery::read(&said).unwrap();
        let parcels = delivery.pack(Shape::Data, events, || "made".into());
        let text = |parcel: &Parcel| String::from_utf8(parcel.payload.to_vec()).unwrap();
        parcels.iter().map(|one| (one.order_key.clone(), text(one), one.events)).collect()
    }

    #[test]
    fn one_event_is_one_task_and_a_batch_is_a_list() {
        let events = [event("1", json!({"n": 1}), "a"), event("2", json!({"n": 2}), "b")];
        assert_eq!(
            pack(json!({}), &events),
            [(None, r#"{"n":1}"#.into(), 1), (None, r#"{"n":2}"#.into(), 1)]
        );
        let list = pack(json!({"batch": {"count": 10}}), &events);
        assert_eq!(list, [(None, r#"[{"n":1},{"n":2}]"#.into(), 2)]);
        let whole = pack(json!({"shape": "cloudEvent"}), &events[..1]);
        assert!(whole[0].1.starts_with(r#"{"id":"1","source":"s","specversion":"1.0""#));
    }

    #[test]
    fn what_is_filtered_is_no_task_and_what_is_transformed_is_what_the_template_says() {
        let events = [event("1", json!({"n": 1}), "a"), event("2", json!({"n": 2}), "a")];
        let said = json!({
            "filter": {"data": {"n": [{"numeric": [">", 1]}]}}, "transform": "n is ${$.data.n}"
        });
        assert_eq!(pack(said, &events), [(None, "n is 2".into(), 1)]);
        let said = json!({"transform": {"x": "$.data.n"}, "batch": {"count": 2}});
        assert_eq!(pack(said, &events), [(None, r#"[{"x":1},{"x":2}]"#.into(), 2)]);
    }

    #[test]
    fn a_batch_holds_one_order() {
        let events = [
            event("1", json!(1), "a"),
            event("2", json!(2), "b"),
            event("3", json!(3), "a"),
            event("4", json!(4), "a"),
        ];
        let said = json!({"orderKey": "source", "batch": {"count": 2}});
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(
            pack(said, &events),
            [(a.clone(), "[1,3]".into(), 2), (b, "[2]".into(), 1), (a, "[4]".into(), 1)]
        );
    }

    #[test]
    fn an_id_is_the_events() {
        let events = [event("1", json!({"k": "x"}), "a")];
        let id = |said: Value| {
            Delivery::read(&said).unwrap().pack(Shape::Data, &events, String::new)[0].id.clone()
        };
        assert_eq!(id(json!({})).as_deref(), Some("s\n1"));
        assert_eq!(id(json!({"eventId": "$.data.k"})).as_deref(), Some("x"));
        assert_eq!(id(json!({"eventId": "$.data.none"})), None, "it has no name then");
    }

    #[test]
    fn bad_options_are_named() {
        for (said, field) in [
            (json!({"batch": {"count": 0}}), "batch.count"),
            (json!({"batch": {"count": 5, "seconds": 301}}), "batch.seconds"),
            (json!({"priority": 10}), "priority"),
            (json!({"filter": {"a": "b"}}), "filter"),
            (json!({"transform": "$x"}), "transform"),
            (json!({"eventId": "id"}), "eventId"),
            (json!({"shape": "avro"}), "shape"),
            (json!({"batches": 1}), "batches"),
        ] {
            let why = Delivery::read(&said).unwrap_err().to_string();
            assert!(why.contains(field), "{said}: {why}");
        }
    }
}
