//! A trigger's configuration as a whole: the kind's settings, and beside them under `delivery` what every kind
//! shares.

use serde_json::Value;
use stint_connect::{ConfigError, Delivery, Kind, Settings};
use stint_model::code::{Code, Refusal};

use crate::destination::FunctionArn;

/// What a configuration means.
#[derive(Clone, PartialEq, Debug)]
pub struct TriggerConfig {
    /// The kind's.
    pub settings: Settings,
    /// What every kind shares.
    pub delivery: Delivery,
}

impl TriggerConfig {
    /// Reads and checks.
    ///
    /// # Errors
    /// `InvalidArgument` with the field that is wrong; `NotImplemented` for a kind of upstream's whose source
    /// is not here.
    pub fn read(kind: &str, text: &str) -> Result<Self, Refusal> {
        let kind = Kind::from_word(kind).map_err(refusal)?;
        let mut said: Value = stint_connect::settings::read(text).map_err(refusal)?;
        let Some(map) = said.as_object_mut() else {
            return Err(Refusal::invalid("triggerConfig must be the text of a JSON object"));
        };
        let delivery = map.remove("delivery");
        let settings = Settings::read(kind, &said.to_string()).map_err(refusal)?;
        let delivery = match delivery {
            Some(said) => Delivery::read(&said).map_err(|error| {
                let refused = refusal(error);
                Refusal::new(refused.code, refused.message.replacen(": ", ": delivery.", 1))
            })?,
            None => settings.delivery(),
        };
        if let Some(arn) = &delivery.dead_letter
            && FunctionArn::parse(arn).is_none()
        {
            let message = format!(
                "triggerConfig: delivery.deadLetter: {arn:?} is no function \
                 (acs:fc:REGION:ACCOUNT:functions/NAME)"
            );
            return Err(Refusal::invalid(message));
        }
        Ok(Self { settings, delivery })
    }
}

fn refusal(error: ConfigError) -> Refusal {
    match error {
        ConfigError::UnknownKind { .. } => Refusal::invalid(format!("triggerType: {error}")),
        ConfigError::NoSource(why) => Refusal::new(Code::NotImplemented, why),
        ConfigError::Malformed(_) | ConfigError::Field { .. } => {
            Refusal::invalid(format!("triggerConfig: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(kind: &str, text: &str) -> Refusal {
        TriggerConfig::read(kind, text).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(why("kafkaesque", "{}").message.starts_with("triggerType: there is no trigger"));
        assert!(why("timer", "[]").message.contains("JSON object"));
        assert!(why("timer", "{").message.starts_with("triggerConfig: "));
        let refused = why("timer", r#"{"cronExpression":"@every 1m","delivery":{"priority":12}}"#);
        assert_eq!(
            refused.message,
            "triggerConfig: delivery.priority: must be from 0 to 9, not 12"
        );
        let refused =
            why("timer", r#"{"cronExpression":"@every 1m","delivery":{"deadLetter":"x"}}"#);
        assert!(refused.message.contains("deadLetter"));
    }

    #[test]
    fn both_parts_are_read() {
        let text = r#"{"cronExpression":"@every 1m","delivery":{"priority":7}}"#;
        let config = TriggerConfig::read("timer", text).unwrap();
        assert_eq!(config.delivery.priority, Some(7));
        assert_eq!(config.settings.kind(), Kind::Timer);
    }
}
