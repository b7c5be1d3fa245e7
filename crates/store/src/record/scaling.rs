//! The stored form of a provision or scaling configuration.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::id::AccountId;
use stint_model::scaling::{
    IdleCpu, Metric, OnDemand, PolicySpan, ScalingConfig, ScalingDoor, Schedule, Tracking,
};

use super::json::{at, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where the configuration of a qualifier lies.
pub fn key(account: AccountId, function: &str, qualifier: &str) -> Key {
    Key::new(Kind::Scaling, format!("{account}/{function}/{qualifier}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    door: String,
    minimum: u32,
    idle_cpu: bool,
    #[serde(default)]
    schedules: Vec<ScheduleForm>,
    #[serde(default)]
    trackings: Vec<TrackingForm>,
    on_demand: bool,
    always_gpu: bool,
    modified_us: i64,
}

#[derive(Serialize, Deserialize)]
struct ScheduleForm {
    name: String,
    span: [String; 3],
    expression: String,
    target: u32,
}

#[derive(Serialize, Deserialize)]
struct TrackingForm {
    name: String,
    span: [String; 3],
    metric: String,
    mark_permille: u32,
    minimum: u32,
    maximum: u32,
}

fn texts(span: &PolicySpan) -> [String; 3] {
    [span.start.clone(), span.end.clone(), span.zone.clone()]
}

fn span([start, end, zone]: [String; 3]) -> PolicySpan {
    PolicySpan { start, end, zone }
}

/// A configuration as bytes.
pub fn encode(config: &ScalingConfig) -> Bytes {
    let schedule = |schedule: &Schedule| ScheduleForm {
        name: schedule.name.clone(),
        span: texts(&schedule.span),
        expression: schedule.expression.clone(),
        target: schedule.target,
    };
    let tracking = |tracking: &Tracking| TrackingForm {
        name: tracking.name.clone(),
        span: texts(&tracking.span),
        metric: tracking.metric.word().to_owned(),
        mark_permille: tracking.mark_permille,
        minimum: tracking.minimum,
        maximum: tracking.maximum,
    };
    write(&Stored::V1(Form {
        door: config.door.word().to_owned(),
        minimum: config.minimum,
        idle_cpu: config.idle_cpu == IdleCpu::Allocated,
        schedules: config.schedules.iter().map(schedule).collect(),
        trackings: config.trackings.iter().map(tracking).collect(),
        on_demand: config.on_demand == OnDemand::On,
        always_gpu: config.always_gpu,
        modified_us: config.modified_at.micros(),
    }))
}

/// Bytes as a configuration.
pub fn decode(body: &[u8]) -> Result<Arc<ScalingConfig>, StoreError> {
    let Stored::V1(form) = read("scaling config", body)?;
    let unknown = |what: &str| StoreError::Corrupt { what: format!("scaling config: {what}") };
    let mut trackings = Vec::new();
    for tracking in form.trackings {
        trackings.push(Tracking {
            metric: Metric::from_word(&tracking.metric).ok_or_else(|| unknown(&tracking.metric))?,
            name: tracking.name,
            span: span(tracking.span),
            mark_permille: tracking.mark_permille,
            minimum: tracking.minimum,
            maximum: tracking.maximum,
        });
    }
    let schedule = |schedule: ScheduleForm| Schedule {
        name: schedule.name,
        span: span(schedule.span),
        expression: schedule.expression,
        target: schedule.target,
    };
    Ok(Arc::new(ScalingConfig {
        door: match form.door.as_str() {
            "provision" => ScalingDoor::Provision,
            "scaling" => ScalingDoor::Scaling,
            other => return Err(unknown(other)),
        },
        minimum: form.minimum,
        idle_cpu: if form.idle_cpu { IdleCpu::Allocated } else { IdleCpu::Released },
        schedules: form.schedules.into_iter().map(schedule).collect(),
        trackings,
        on_demand: if form.on_demand { OnDemand::On } else { OnDemand::Off },
        always_gpu: form.always_gpu,
        modified_at: at(form.modified_us),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_back_and_an_old_example_too() {
        let span = PolicySpan { start: "a".into(), end: "b".into(), zone: "Asia/Shanghai".into() };
        let config = ScalingConfig {
            door: ScalingDoor::Scaling,
            minimum: 3,
            idle_cpu: IdleCpu::Released,
            schedules: vec![Schedule {
                name: "s".into(),
                span: span.clone(),
                expression: "cron(0 0 20 * * *)".into(),
                target: 7,
            }],
            trackings: vec![Tracking {
                name: "t".into(),
                span,
                metric: Metric::Memory,
                mark_permille: 600,
                minimum: 1,
                maximum: 9,
            }],
            on_demand: OnDemand::Off,
            always_gpu: true,
            modified_at: at(5),
        };
        assert_eq!(*decode(&encode(&config)).unwrap(), config);
        let kept = br#"{"form":"1","door":"scaling","minimum":3,"idle_cpu":false,"schedules":[{"name":"s","span":["a","b","Asia/Shanghai"],"expression":"cron(0 0 20 * * *)","target":7}],"trackings":[{"name":"t","span":["a","b","Asia/Shanghai"],"metric":"MemoryUtilization","mark_permille":600,"minimum":1,"maximum":9}],"on_demand":false,"always_gpu":true,"modified_us":5}"#;
        assert_eq!(*decode(kept).unwrap(), config);
        assert_eq!(&encode(&config)[..], &kept[..]);
    }
}
