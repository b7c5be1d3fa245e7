//! Authorization. Every verb begins with [`Engine::authorize`]; what each needs stands in one table.
//!
//! | role | may |
//! |---|---|
//! | invoker | invoke, submit, follow a task by its id, report progress; start executions, follow one, report by token |
//! | viewer | read everything of the account |
//! | developer | both, and change functions, tasks, layers and tags |
//! | admin | all of that, and keys and audit; of the root account: accounts and the master key |
//!
//! A key with a scope reaches only the functions it names: verbs that name no function refuse it. Flows and
//! activities are matched by their names the same way.

use stint_model::access::{Caller, Need};
use stint_model::code::{Code, Refusal};

use crate::engine::Engine;
use crate::error::EngineError;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $action:literal on $kind:literal needs $($need:ident)|+;)*) => {
        /// Every verb of the engine.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The action's name: `fc:…` where upstream has one, `stint:…` elsewhere.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)* }
            }

            /// What kind of resource it is about, as ARNs write it.
            pub const fn resource_kind(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }

            /// A caller needs one of these.
            pub const fn needs(self) -> &'static [Need] {
                match self { $(Self::$name => &[$(Need::$need),+],)* }
            }
        }
    };
}

operations! {
    /// Call a function and wait for the answer.
    Invoke: "fc:InvokeFunction" on "functions" needs Invoke;
    /// Submit a task.
    Submit: "fc:InvokeFunction" on "functions" needs Invoke;
    /// Submit many tasks.
    SubmitBatch: "fc:InvokeFunction" on "functions" needs Invoke;
    /// Read a task.
    TaskGet: "fc:GetAsyncTask" on "functions" needs Invoke | Read;
    /// Search tasks.
    TaskList: "fc:ListAsyncTasks" on "functions" needs Read;
    /// Stop a task.
    TaskStop: "fc:StopAsyncTask" on "functions" needs Write;
    /// Start an ended task anew.
    TaskRetry: "stint:RetryTask" on "functions" needs Write;
    /// Wait for a task.
    TaskWait: "stint:WaitTask" on "functions" needs Invoke | Read;
    /// Ask why a task waits.
    TaskWhy: "stint:ExplainTask" on "functions" needs Invoke | Read;
    /// Report progress from inside a task.
    TaskProgress: "stint:ReportProgress" on "functions" needs Invoke;
    /// Stop the tasks that meet a condition.
    TasksStopByQuery: "stint:StopTasks" on "functions" needs Write;
    /// Start anew the tasks that meet a condition.
    TasksRetryByQuery: "stint:RetryTasks" on "functions" needs Write;
    /// See a backlog.
    BacklogGet: "stint:GetBacklog" on "functions" needs Read;
    /// See all backlogs.
    BacklogList: "stint:ListBacklogs" on "functions" needs Read;
    /// Let a backlog wait.
    BacklogPause: "stint:PauseBacklog" on "functions" needs Write;
    /// Let it go on.
    BacklogResume: "stint:ResumeBacklog" on "functions" needs Write;
    /// See live instances.
    Instances: "fc:ListInstances" on "functions" needs Read;
    /// Stop an instance.
    InstanceStop: "stint:StopInstance" on "functions" needs Write;
    /// Run a command in an instance.
    InstanceExec: "stint:ExecInstance" on "functions" needs Write;
    /// Make a session.
    SessionCreate: "fc:CreateSession" on "functions" needs Invoke;
    /// Read a session.
    SessionGet: "fc:GetSession" on "functions" needs Invoke | Read;
    /// Change a session.
    SessionUpdate: "fc:UpdateSession" on "functions" needs Invoke;
    /// List sessions.
    SessionList: "fc:ListSessions" on "functions" needs Invoke | Read;
    /// End a session.
    SessionDelete: "fc:DeleteSession" on "functions" needs Invoke;
    /// Read and search logs.
    LogsRead: "stint:GetLogs" on "functions" needs Read;
    /// Follow logs.
    LogsTail: "stint:TailLogs" on "functions" needs Read;
    /// Read the logs of one task.
    TaskLogs: "stint:GetTaskLogs" on "functions" needs Invoke | Read;
    /// See the whole account at a glance.
    Overview: "stint:GetOverview" on "functions" needs Read;
    /// See what was used.
    Usage: "stint:GetUsage" on "functions" needs Read;
    /// List regions.
    Regions: "fc:DescribeRegions" on "regions" needs Invoke | Read;

    /// Create a function.
    FunctionCreate: "fc:CreateFunction" on "functions" needs Write;
    /// Change a function.
    FunctionUpdate: "fc:UpdateFunction" on "functions" needs Write;
    /// Read a function.
    FunctionGet: "fc:GetFunction" on "functions" needs Read;
    /// List functions.
    FunctionList: "fc:ListFunctions" on "functions" needs Read;
    /// Delete a function.
    FunctionDelete: "fc:DeleteFunction" on "functions" needs Write;
    /// Download the code of a function.
    CodeGet: "fc:GetFunctionCode" on "functions" needs Read;
    /// Refuse invocations.
    InvocationDisable: "fc:DisableFunctionInvocation" on "functions" needs Write;
    /// Accept them again.
    InvocationEnable: "fc:EnableFunctionInvocation" on "functions" needs Write;

    /// Publish a version.
    VersionPublish: "fc:PublishFunctionVersion" on "functions" needs Write;
    /// List versions.
    VersionList: "fc:ListFunctionVersions" on "functions" needs Read;
    /// Delete a version.
    VersionDelete: "fc:DeleteFunctionVersion" on "functions" needs Write;
    /// Create an alias.
    AliasCreate: "fc:CreateAlias" on "functions" needs Write;
    /// Read an alias.
    AliasGet: "fc:GetAlias" on "functions" needs Read;
    /// List aliases.
    AliasList: "fc:ListAliases" on "functions" needs Read;
    /// Change an alias.
    AliasUpdate: "fc:UpdateAlias" on "functions" needs Write;
    /// Delete an alias.
    AliasDelete: "fc:DeleteAlias" on "functions" needs Write;

    /// Put an async configuration.
    AsyncConfigPut: "fc:PutFunctionAsyncInvokeConfig" on "functions" needs Write;
    /// Read one.
    AsyncConfigGet: "fc:GetFunctionAsyncInvokeConfig" on "functions" needs Read;
    /// List them.
    AsyncConfigList: "fc:ListFunctionAsyncInvokeConfigs" on "async-invoke-configs" needs Read;
    /// Delete one.
    AsyncConfigDelete: "fc:DeleteFunctionAsyncInvokeConfig" on "functions" needs Write;
    /// Put a concurrency configuration.
    ConcurrencyPut: "fc:PutConcurrencyConfig" on "functions" needs Write;
    /// Read one.
    ConcurrencyGet: "fc:GetConcurrencyConfig" on "functions" needs Read;
    /// List them.
    ConcurrencyList: "fc:ListConcurrencyConfigs" on "concurrency-configs" needs Read;
    /// Delete one.
    ConcurrencyDelete: "fc:DeleteConcurrencyConfig" on "functions" needs Write;
    /// Put a provision configuration.
    ProvisionPut: "fc:PutProvisionConfig" on "functions" needs Write;
    /// Read one.
    ProvisionGet: "fc:GetProvisionConfig" on "functions" needs Read;
    /// List them.
    ProvisionList: "fc:ListProvisionConfigs" on "provision-configs" needs Read;
    /// Delete one.
    ProvisionDelete: "fc:DeleteProvisionConfig" on "functions" needs Write;
    /// Put a scaling configuration.
    ScalingPut: "fc:PutScalingConfig" on "functions" needs Write;
    /// Read one.
    ScalingGet: "fc:GetScalingConfig" on "functions" needs Read;
    /// List them.
    ScalingList: "fc:ListScalingConfigs" on "scaling-configs" needs Read;
    /// Delete one.
    ScalingDelete: "fc:DeleteScalingConfig" on "functions" needs Write;
    /// Set a function's native limits.
    LimitsSet: "stint:SetFunctionLimits" on "functions" needs Write;
    /// Read them.
    LimitsGet: "stint:GetFunctionLimits" on "functions" needs Read;

    /// Label resources.
    TagsPut: "fc:TagResources" on "functions" needs Write;
    /// Take labels off.
    TagsRemove: "fc:UntagResources" on "functions" needs Write;
    /// Read labels.
    TagsList: "fc:ListTagResources" on "functions" needs Read;
    /// Move a resource to another group.
    ResourceGroupChange: "fc:ChangeResourceGroup" on "functions" needs Write;

    /// Create a layer version.
    LayerCreate: "fc:CreateLayerVersion" on "layers" needs Write;
    /// Read a layer version.
    LayerGet: "fc:GetLayerVersion" on "layers" needs Read;
    /// List layers or their versions.
    LayerList: "fc:ListLayers" on "layers" needs Read;
    /// Delete a layer version.
    LayerDelete: "fc:DeleteLayerVersion" on "layers" needs Write;
    /// Make a layer public or private.
    LayerAclPut: "fc:PutLayerACL" on "layers" needs Write;

    /// Create a flow.
    FlowCreate: "fnf:CreateFlow" on "flows" needs Write;
    /// Change a flow.
    FlowUpdate: "fnf:UpdateFlow" on "flows" needs Write;
    /// Read a flow.
    FlowGet: "fnf:DescribeFlow" on "flows" needs Read;
    /// List flows.
    FlowList: "fnf:ListFlows" on "flows" needs Read;
    /// Delete a flow.
    FlowDelete: "fnf:DeleteFlow" on "flows" needs Write;
    /// Check a definition without making anything of it.
    FlowCheck: "stint:CheckFlow" on "flows" needs Read;
    /// Publish a version of a flow.
    FlowVersionPublish: "fnf:PublishFlowVersion" on "flows" needs Write;
    /// List versions of a flow.
    FlowVersionList: "fnf:ListFlowVersions" on "flows" needs Read;
    /// Delete a version of a flow.
    FlowVersionDelete: "fnf:DeleteFlowVersion" on "flows" needs Write;
    /// Create an alias of a flow.
    FlowAliasCreate: "fnf:CreateFlowAlias" on "flows" needs Write;
    /// Change one.
    FlowAliasUpdate: "fnf:UpdateFlowAlias" on "flows" needs Write;
    /// Read one.
    FlowAliasGet: "fnf:DescribeFlowAlias" on "flows" needs Read;
    /// List them.
    FlowAliasList: "fnf:ListFlowAliases" on "flows" needs Read;
    /// Delete one.
    FlowAliasDelete: "fnf:DeleteFlowAlias" on "flows" needs Write;
    /// Start an execution.
    ExecutionStart: "fnf:StartExecution" on "flows" needs Invoke;
    /// Start one and wait for its end.
    ExecutionStartSync: "fnf:StartSyncExecution" on "flows" needs Invoke;
    /// Read an execution.
    ExecutionGet: "fnf:DescribeExecution" on "flows" needs Invoke | Read;
    /// List and search executions.
    ExecutionList: "fnf:ListExecutions" on "flows" needs Read;
    /// Read or follow the history of an execution.
    ExecutionHistory: "fnf:GetExecutionHistory" on "flows" needs Invoke | Read;
    /// Ask why an execution waits, or where it stands in its graph.
    ExecutionWhy: "stint:ExplainExecution" on "flows" needs Invoke | Read;
    /// Stop an execution.
    ExecutionStop: "fnf:StopExecution" on "flows" needs Write;
    /// Run a failed execution again from where it failed.
    ExecutionRedrive: "stint:RedriveExecution" on "flows" needs Write;
    /// Report the end of a step, or a sign of life, by its token.
    ExecutionReport: "fnf:ReportTask" on "flows" needs Invoke;
    /// Create an activity.
    ActivityCreate: "stint:CreateActivity" on "activities" needs Write;
    /// Read or list activities.
    ActivityGet: "stint:DescribeActivity" on "activities" needs Read;
    /// Delete an activity.
    ActivityDelete: "stint:DeleteActivity" on "activities" needs Write;
    /// Take work of an activity.
    ActivityTake: "stint:GetActivityTask" on "activities" needs Invoke;
    /// Create a schedule.
    ScheduleCreate: "fnf:CreateSchedule" on "flows" needs Write;
    /// Change a schedule.
    ScheduleUpdate: "fnf:UpdateSchedule" on "flows" needs Write;
    /// Read a schedule.
    ScheduleGet: "fnf:DescribeSchedule" on "flows" needs Read;
    /// List schedules.
    ScheduleList: "fnf:ListSchedules" on "flows" needs Read;
    /// Delete a schedule.
    ScheduleDelete: "fnf:DeleteSchedule" on "flows" needs Write;
    /// Read or list map runs.
    MapRunGet: "fnf:DescribeMapRun" on "flows" needs Read;
    /// Change the bounds of a map run.
    MapRunUpdate: "fnf:UpdateMapRun" on "flows" needs Write;

    /// Create an account.
    AccountCreate: "stint:CreateAccount" on "accounts" needs Operate;
    /// Read the own account.
    AccountGet: "stint:GetAccount" on "accounts" needs Read;
    /// Read any account, or all.
    AccountList: "stint:ListAccounts" on "accounts" needs Operate;
    /// Change an account, its limits and quotas, or disable it.
    AccountUpdate: "stint:UpdateAccount" on "accounts" needs Operate;
    /// Create a key.
    KeyCreate: "stint:CreateKey" on "keys" needs Administer;
    /// List keys.
    KeyList: "stint:ListKeys" on "keys" needs Administer;
    /// Disable, enable, rotate or delete a key.
    KeyUpdate: "stint:UpdateKey" on "keys" needs Administer;
    /// Issue a temporary key of no more than the caller's own rights.
    KeyIssue: "stint:IssueTemporaryKey" on "keys" needs Write;
    /// Read the audit trail.
    AuditList: "stint:ListAudit" on "audit" needs Administer;
    /// Replace the master key.
    MasterRotate: "stint:RotateMasterKey" on "master-key" needs Operate;
}

impl Operation {
    /// Whether it is about flows and what belongs to them.
    fn is_of_flows(self) -> bool {
        matches!(self.resource_kind(), "flows" | "activities")
    }

    /// Whether the caller may do this to `function` (`None`: to no particular function).
    ///
    /// # Errors
    /// `AccessDenied` in upstream's words.
    pub fn check(
        self,
        region: &str,
        caller: &Caller,
        function: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.needs().iter().any(|need| caller.may(*need, function)) {
            return Ok(());
        }
        let resource = match function {
            Some(name) if self.is_of_flows() => format!("{}/{name}", self.resource_kind()),
            Some(name) => format!("functions/{name}"),
            None => format!("{}/*", self.resource_kind()),
        };
        let message = format!(
            "the caller is not authorized to perform '{}' on resource 'acs:{}:{region}:{}:{resource}' \
             with condition '[role={}{}]'",
            self.action(),
            if self.is_of_flows() { "fnf" } else { "fc" },
            caller.account,
            caller.role.word(),
            if caller.scope.functions.is_empty() { "" } else { " scope=functions" },
        );
        Err(Refusal::new(Code::AccessDenied, message))
    }
}

impl Engine {
    /// What every verb begins with.
    pub fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        function: Option<&str>,
    ) -> Result<(), EngineError> {
        Ok(operation.check(&self.config().region, caller, function)?)
    }
}

#[cfg(test)]
mod tests;
