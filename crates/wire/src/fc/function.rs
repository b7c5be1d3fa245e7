//! Functions (§1.7, §1.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `CreateFunctionInput` and `UpdateFunctionInput`: in an update, absent is unchanged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.7")]
pub struct FunctionInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_runtime_config: Option<CustomRuntimeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_container_config: Option<Value>,
    #[serde(rename = "customDNS", skip_serializing_if = "Option::is_none")]
    pub custom_dns: Option<CustomDns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_access: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_lifecycle_config: Option<InstanceLifecycleConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nas_config: Option<NasConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_ondemand: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_inject_credentials: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_isolation_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Everything else that was sent; see [`KEPT`].
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// Settings that are accepted, kept and given back, and have no effect on this platform yet.
pub const KEPT: [&str; 11] = [
    "enableLongLiving",
    "gpuConfig",
    "invocationRestrictionPolicy",
    "juiceFsConfig",
    "microSandboxConfig",
    "ossMountConfig",
    "polarFsConfig",
    "sessionAffinity",
    "sessionAffinityConfig",
    "tracingConfig",
    "vpcConfig",
];

/// `InputCodeLocation`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.7")]
pub struct CodeLocation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oss_bucket_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oss_object_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// A tag; upper-case names, lower case is read too.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Tag {
    #[serde(rename = "Key", alias = "key")]
    pub key: String,
    #[serde(rename = "Value", alias = "value", default)]
    pub value: String,
}

/// `customRuntimeConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct CustomRuntimeConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_config: Option<HealthCheckConfig>,
}

/// `healthCheckConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct HealthCheckConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u32>,
}

/// `customDNS`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.7")]
pub struct CustomDns {
    pub name_servers: Vec<String>,
    pub searches: Vec<String>,
    pub dns_options: Vec<DnsOption>,
}

/// One entry of `customDNS.dnsOptions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct DnsOption {
    pub name: String,
    pub value: String,
}

/// `instanceLifecycleConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.7")]
pub struct InstanceLifecycleConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initializer: Option<LifecycleHook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<LifecycleHook>,
}

/// `LifecycleHook`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct LifecycleHook {
    pub handler: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// `nasConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct NasConfig {
    pub user_id: Option<i64>,
    pub group_id: Option<i64>,
    pub mount_points: Vec<NasMountPoint>,
}

/// One entry of `nasConfig.mountPoints`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct NasMountPoint {
    pub server_addr: String,
    pub mount_dir: String,
    #[serde(rename = "enableTLS")]
    pub enable_tls: bool,
}

/// `logConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.8")]
pub struct LogConfig {
    pub project: String,
    pub logstore: String,
    pub enable_request_metrics: bool,
    pub enable_instance_metrics: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_begin_rule: Option<String>,
}

/// A layer as a function names it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct FunctionLayer {
    pub arn: String,
    pub size: u64,
}

/// `invocationRestriction`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct InvocationRestriction {
    pub disable: bool,
    pub reason: String,
    pub last_modified_time: String,
}

/// `Function`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.7")]
pub struct Function {
    pub function_name: String,
    pub function_id: String,
    pub function_arn: String,
    pub description: String,
    pub runtime: String,
    pub handler: String,
    pub cpu: f64,
    pub memory_size: u32,
    pub disk_size: u32,
    pub timeout: u64,
    pub instance_concurrency: u32,
    pub environment_variables: BTreeMap<String, String>,
    pub layers: Vec<FunctionLayer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_runtime_config: Option<CustomRuntimeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_container_config: Option<Value>,
    #[serde(rename = "customDNS", skip_serializing_if = "Option::is_none")]
    pub custom_dns: Option<CustomDns>,
    pub internet_access: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_lifecycle_config: Option<InstanceLifecycleConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nas_config: Option<NasConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    pub idle_timeout: u64,
    pub disable_ondemand: bool,
    pub disable_inject_credentials: String,
    pub instance_isolation_mode: String,
    pub code_size: u64,
    pub code_checksum: String,
    pub created_time: String,
    pub last_modified_time: String,
    pub state: String,
    pub state_reason: String,
    pub state_reason_code: String,
    pub last_update_status: String,
    pub last_update_status_reason: String,
    pub last_update_status_reason_code: String,
    pub resource_group_id: String,
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_restriction: Option<InvocationRestriction>,
    /// Beyond upstream: the interpreter that stands behind `runtime` here, when it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_behind: Option<String>,
    /// The kept settings, as they were given.
    #[serde(flatten)]
    pub kept: BTreeMap<String, Value>,
}

/// Answer of `ListFunctions`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct FunctionList {
    pub functions: Vec<Function>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Answer of `GetFunctionCode`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct FunctionCode {
    pub url: String,
    pub checksum: String,
}

/// Body of `DisableFunctionInvocation`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct DisableInvocationInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Spelt so upstream.
    #[serde(alias = "abortOngoingRequests", skip_serializing_if = "Option::is_none")]
    pub abort_ongoing_request: Option<bool>,
}

/// Answer of the two invocation switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct InvocationSwitched {
    pub success: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_send_reads() {
        let text = r#"{"functionName":"f","runtime":"python3.10","handler":"index.handler","cpu":1,"memorySize":512,
            "code":{"zipFile":"UEs="},"vpcConfig":{"vpcId":"","vSwitchIds":[],"securityGroupId":""},"nasConfig":{"userId":0,"groupId":0,"mountPoints":[]},
            "customDNS":{"nameServers":["1.1.1.1"]},"tags":[],"instanceLifecycleConfig":{"preStop":{"handler":"index.stop","timeout":30}},"role":null}"#;
        let input: FunctionInput = serde_json::from_str(text).unwrap();
        assert_eq!(input.cpu, Some(1.0));
        assert_eq!(input.role, None);
        assert_eq!(input.tags, Some(vec![]));
        assert_eq!(input.rest.keys().collect::<Vec<_>>(), ["vpcConfig"]);
        assert_eq!(input.instance_lifecycle_config.unwrap().pre_stop.unwrap().timeout, Some(30));
        assert_eq!(input.custom_dns.unwrap().name_servers, ["1.1.1.1"]);
    }
}
