//! The 73 operations of Function Compute 2023-03-30 (§1.6), once: the router and
//! `docs/compatibility.md` are held against this table.

/// How far an operation is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It works.
    Built,
    /// It is refused with `NotImplemented`, naming the operation.
    Later,
}

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Upstream's name.
    pub name: &'static str,
    /// `GET`, `POST` …
    pub method: &'static str,
    /// After `/2023-03-30`, with `{parameters}`.
    pub path: &'static str,
    /// How far it is built.
    pub state: State,
}

macro_rules! operations {
    ($($name:ident $method:ident $path:literal $state:ident;)*) => {
        /// All of them, in the order of §1.6.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            name: stringify!($name),
            method: stringify!($method),
            path: $path,
            state: State::$state,
        },)*];
    };
}

operations! {
    CreateFunction POST "/functions" Built;
    UpdateFunction PUT "/functions/{f}" Built;
    GetFunction GET "/functions/{f}" Built;
    ListFunctions GET "/functions" Built;
    DeleteFunction DELETE "/functions/{f}" Built;
    GetFunctionCode GET "/functions/{f}/code" Built;
    InvokeFunction POST "/functions/{f}/invocations" Built;
    DisableFunctionInvocation POST "/functions/{f}/invoke/disable" Built;
    EnableFunctionInvocation POST "/functions/{f}/invoke/enable" Built;
    PublishFunctionVersion POST "/functions/{f}/versions" Built;
    ListFunctionVersions GET "/functions/{f}/versions" Built;
    DeleteFunctionVersion DELETE "/functions/{f}/versions/{v}" Built;
    CreateAlias POST "/functions/{f}/aliases" Built;
    GetAlias GET "/functions/{f}/aliases/{a}" Built;
    UpdateAlias PUT "/functions/{f}/aliases/{a}" Built;
    ListAliases GET "/functions/{f}/aliases" Built;
    DeleteAlias DELETE "/functions/{f}/aliases/{a}" Built;
    CreateTrigger POST "/functions/{f}/triggers" Later;
    GetTrigger GET "/functions/{f}/triggers/{t}" Later;
    UpdateTrigger PUT "/functions/{f}/triggers/{t}" Later;
    ListTriggers GET "/functions/{f}/triggers" Later;
    DeleteTrigger DELETE "/functions/{f}/triggers/{t}" Later;
    PutAsyncInvokeConfig PUT "/functions/{f}/async-invoke-config" Built;
    GetAsyncInvokeConfig GET "/functions/{f}/async-invoke-config" Built;
    DeleteAsyncInvokeConfig DELETE "/functions/{f}/async-invoke-config" Built;
    ListAsyncInvokeConfigs GET "/async-invoke-configs" Built;
    GetAsyncTask GET "/functions/{f}/async-tasks/{k}" Built;
    ListAsyncTasks GET "/functions/{f}/async-tasks" Built;
    StopAsyncTask PUT "/functions/{f}/async-tasks/{k}/stop" Built;
    PutConcurrencyConfig PUT "/functions/{f}/concurrency" Built;
    GetConcurrencyConfig GET "/functions/{f}/concurrency" Built;
    DeleteConcurrencyConfig DELETE "/functions/{f}/concurrency" Built;
    ListConcurrencyConfigs GET "/concurrency-configs" Built;
    PutProvisionConfig PUT "/functions/{f}/provision-config" Built;
    GetProvisionConfig GET "/functions/{f}/provision-config" Built;
    DeleteProvisionConfig DELETE "/functions/{f}/provision-config" Built;
    ListProvisionConfigs GET "/provision-configs" Built;
    PutScalingConfig PUT "/functions/{f}/scaling-config" Built;
    GetScalingConfig GET "/functions/{f}/scaling-config" Built;
    DeleteScalingConfig DELETE "/functions/{f}/scaling-config" Built;
    ListScalingConfigs GET "/scaling-configs" Built;
    CreateSession POST "/functions/{f}/sessions" Built;
    GetSession GET "/functions/{f}/sessions/{s}" Built;
    UpdateSession PUT "/functions/{f}/sessions/{s}" Built;
    DeleteSession DELETE "/functions/{f}/sessions/{s}" Built;
    ListSessions GET "/functions/{f}/sessions" Built;
    PauseSession PUT "/functions/{f}/sessions/{s}/pause" Later;
    ResumeSession PUT "/functions/{f}/sessions/{s}/resume" Later;
    CreateSnapshot POST "/functions/{f}/snapshots" Later;
    GetSnapshot GET "/functions/{f}/snapshots/{n}" Later;
    DeleteSnapshot DELETE "/functions/{f}/snapshots/{n}" Later;
    ListSnapshots GET "/snapshots" Later;
    ListInstances GET "/functions/{f}/instances" Built;
    CreateLayerVersion POST "/layers/{l}/versions" Built;
    GetLayerVersion GET "/layers/{l}/versions/{v}" Built;
    DeleteLayerVersion DELETE "/layers/{l}/versions/{v}" Built;
    ListLayerVersions GET "/layers/{l}/versions" Built;
    ListLayers GET "/layers" Built;
    GetLayerVersionByArn GET "/layerarn/{arn}" Built;
    PutLayerACL PUT "/layers/{l}/acl" Built;
    CreateCustomDomain POST "/custom-domains" Later;
    GetCustomDomain GET "/custom-domains/{d}" Later;
    UpdateCustomDomain PUT "/custom-domains/{d}" Later;
    DeleteCustomDomain DELETE "/custom-domains/{d}" Later;
    ListCustomDomains GET "/custom-domains" Later;
    CreateVpcBinding POST "/functions/{f}/vpc-bindings" Later;
    ListVpcBindings GET "/functions/{f}/vpc-bindings" Later;
    DeleteVpcBinding DELETE "/functions/{f}/vpc-bindings/{vpc}" Later;
    TagResources POST "/tags-v2" Built;
    UntagResources DELETE "/tags-v2" Built;
    ListTagResources GET "/tags-v2" Built;
    ChangeResourceGroup PUT "/resource-groups" Built;
    DescribeRegions GET "/regions" Built;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_seventy_three() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        assert_eq!(OPERATIONS.len(), 73);
    }
}
