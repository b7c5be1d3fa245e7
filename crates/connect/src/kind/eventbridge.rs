//! EventBridge triggers (§6.9): a source by upstream's name with its parameters, a filter, and how events are
//! pushed. Here it is read and checked as upstream writes it; the source is one of ours with its own name.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::settings::{self, ConfigError};

/// Upstream's source types and the field their parameters stand in.
const SOURCES: [(&str, &str); 7] = [
    ("Default", "sourceDefaultParameters"),
    ("MNS", "sourceMNSParameters"),
    ("RocketMQ", "sourceRocketMQParameters"),
    ("RabbitMQ", "sourceRabbitMQParameters"),
    ("Kafka", "sourceKafkaParameters"),
    ("MQTT", "sourceMQTTParameters"),
    ("DTS", "sourceDTSParameters"),
];

/// An EventBridge trigger's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Upstream's word.
    pub source: String,
    /// Its parameters, as they were written.
    pub parameters: Map<String, Value>,
    /// What `delivery` says in our words.
    pub delivery: crate::delivery::Delivery,
    /// Whether it fires.
    pub is_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default = "yes")]
    trigger_enable: bool,
    #[serde(default)]
    async_invocation_type: bool,
    #[serde(default)]
    event_rule_filter_pattern: String,
    #[serde(default)]
    event_sink_config: SinkSaid,
    event_source_config: SourceSaid,
    #[serde(default)]
    run_options: RunSaid,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SinkSaid {
    delivery_option: DeliverySaid,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DeliverySaid {
    event_schema: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceSaid {
    event_source_type: String,
    #[serde(default)]
    event_source_parameters: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RunSaid {
    mode: String,
    batch_window: Option<WindowSaid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WindowSaid {
    #[serde(default = "one")]
    count_based_window: u64,
    #[serde(default)]
    time_based_window: u64,
}

const fn yes() -> bool {
    true
}

const fn one() -> u64 {
    1
}

impl Said {
    /// The same in our words.
    fn delivery(&self, source: &str) -> Result<crate::delivery::Delivery, ConfigError> {
        let mut delivery = Map::new();
        if !self.event_rule_filter_pattern.trim().is_empty() {
            let pattern: Value = settings::read(&self.event_rule_filter_pattern)
                .map_err(|error| ConfigError::field("eventRuleFilterPattern", error.to_string()))?;
            delivery.insert("filter".into(), pattern);
        }
        let is_stream = match self.run_options.mode.as_str() {
            "event-streaming" => true,
            "event-driven" => false,
            "" => source != "Default",
            other => {
                let why = format!("is event-streaming or event-driven, not {other:?}");
                return Err(ConfigError::field("runOptions.mode", why));
            }
        };
        let window = self.run_options.batch_window.as_ref();
        let (count, seconds) =
            window.map_or((1, 0), |one| (one.count_based_window, one.time_based_window));
        settings::within("runOptions.batchWindow.TimeBasedWindow", seconds, (0, 15))?;
        if is_stream {
            // A stream's payload is a list, also of one.
            let batch = serde_json::json!({ "count": count.max(2), "seconds": seconds });
            delivery.insert("batch".into(), batch);
        }
        let shape = match self.event_sink_config.delivery_option.event_schema.as_str() {
            "" | "CloudEvents" => "cloudEvent",
            "RawData" => "data",
            other => {
                let why = format!("is CloudEvents or RawData, not {other:?}");
                return Err(ConfigError::field("eventSinkConfig.deliveryOption.eventSchema", why));
            }
        };
        delivery.insert("shape".into(), shape.into());
        delivery.insert("wait".into(), (!self.async_invocation_type).into());
        crate::delivery::Delivery::read(&Value::Object(delivery))
    }
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let mut said: Said = settings::read(text)?;
        let source = std::mem::take(&mut said.event_source_config.event_source_type);
        let Some((_, field)) = SOURCES.iter().find(|(name, _)| *name == source) else {
            let known: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).collect();
            let why = format!("{source:?} is not one of {}", known.join(", "));
            return Err(ConfigError::field("eventSourceConfig.eventSourceType", why));
        };
        let parameters = match said.event_source_config.event_source_parameters.remove(*field) {
            Some(Value::Object(map)) => map,
            Some(Value::Null) | None => Map::new(),
            Some(_) => {
                let field = format!("eventSourceConfig.eventSourceParameters.{field}");
                return Err(ConfigError::field(field, "must be an object"));
            }
        };
        let delivery = said.delivery(&source)?;
        Ok(Self { source, parameters, delivery, is_enabled: said.trigger_enable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_example_is_read() {
        let text = r#"{"triggerEnable":true,"asyncInvocationType":false,"eventRuleFilterPattern":"{}",
 "eventSinkConfig":{"deliveryOption":{"eventSchema":"CloudEvents","concurrency":1}},
 "eventSourceConfig":{"eventSourceType":"Kafka","eventSourceParameters":{"sourceKafkaParameters":{"Topic":"t"}}},
 "runOptions":{"mode":"event-streaming","errorsTolerance":"ALL","batchWindow":{"CountBasedWindow":100,"TimeBasedWindow":10}}}"#;
        let settings = Settings::read(text).unwrap();
        assert_eq!(
            (settings.source.as_str(), &settings.parameters["Topic"]),
            ("Kafka", &"t".into())
        );
        assert_eq!(settings.delivery.batch_count, 100);
        assert!(settings.delivery.wait, "synchronous unless said");
    }

    #[test]
    fn bad_settings_are_named() {
        for (text, what) in [
            (r#"{"eventSourceConfig":{"eventSourceType":"Pigeon"}}"#, "eventSourceType"),
            (
                r#"{"eventSourceConfig":{"eventSourceType":"MNS"},"runOptions":{"mode":"x"}}"#,
                "mode",
            ),
            (
                r#"{"eventSourceConfig":{"eventSourceType":"MNS"},"eventRuleFilterPattern":"{"}"#,
                "FilterPattern",
            ),
        ] {
            assert!(Settings::read(text).unwrap_err().to_string().contains(what), "{text}");
        }
    }
}
