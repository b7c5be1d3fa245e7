//! Provision and scaling configurations (§1.16, §1.17).

use serde::{Deserialize, Serialize};

/// Body of `PutProvisionConfig`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ProvisionInput {
    pub default_target: Option<u32>,
    pub target: Option<u32>,
    #[serde(rename = "alwaysAllocateCPU")]
    pub always_allocate_cpu: Option<bool>,
    #[serde(rename = "alwaysAllocateGPU")]
    pub always_allocate_gpu: Option<bool>,
    pub scheduled_actions: Option<Vec<ScheduledPolicy>>,
    pub target_tracking_policies: Option<Vec<TargetTrackingPolicy>>,
}

/// `ScheduledAction`, and `ScheduledPolicy` of scaling configurations.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ScheduledPolicy {
    pub name: String,
    pub start_time: String,
    pub end_time: String,
    pub schedule_expression: String,
    pub target: u32,
    pub time_zone: String,
}

/// `TargetTrackingPolicy`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TargetTrackingPolicy {
    pub name: String,
    pub start_time: String,
    pub end_time: String,
    pub metric_type: String,
    pub metric_target: f64,
    pub min_capacity: u32,
    pub max_capacity: u32,
    pub time_zone: String,
}

/// `ProvisionConfig`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ProvisionConfig {
    pub function_arn: String,
    pub default_target: u32,
    pub target: u32,
    pub current: u32,
    pub current_error: String,
    #[serde(rename = "alwaysAllocateCPU")]
    pub always_allocate_cpu: bool,
    #[serde(rename = "alwaysAllocateGPU")]
    pub always_allocate_gpu: bool,
    pub scheduled_actions: Vec<ScheduledPolicy>,
    pub target_tracking_policies: Vec<TargetTrackingPolicy>,
}

/// Answer of `ListProvisionConfigs`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ProvisionList {
    pub provision_configs: Vec<ProvisionConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Body of `PutScalingConfig`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ScalingInput {
    pub min_instances: Option<u32>,
    pub scheduled_policies: Option<Vec<ScheduledPolicy>>,
    pub horizontal_scaling_policies: Option<Vec<ScalingPolicy>>,
    pub enable_on_demand_scaling: Option<bool>,
    pub enable_mix_mode: Option<bool>,
    pub request_dispatch_policy: Option<String>,
    pub resident_pool_id: Option<String>,
}

/// `ScalingPolicy`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ScalingPolicy {
    pub name: String,
    pub start_time: String,
    pub end_time: String,
    pub metric_type: String,
    pub metric_target: f64,
    pub min_instances: u32,
    pub max_instances: u32,
    pub time_zone: String,
}

/// `ScalingConfigStatus`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ScalingStatus {
    pub function_arn: String,
    pub min_instances: u32,
    pub target_instances: u32,
    pub current_instances: u32,
    pub current_error: String,
    pub scheduled_policies: Vec<ScheduledPolicy>,
    pub horizontal_scaling_policies: Vec<ScalingPolicy>,
    pub enable_on_demand_scaling: bool,
    pub enable_mix_mode: bool,
}

/// Answer of `ListScalingConfigs`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct ScalingList {
    pub scaling_configs: Vec<ScalingStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
