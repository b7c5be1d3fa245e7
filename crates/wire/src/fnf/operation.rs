//! The 29 operations of the workflow API (spec A.2), once: the dispatcher and
//! `docs/compatibility.md` are held against this table.

/// One operation. `Action` names it; both methods are accepted for each, since clients differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Upstream's name.
    pub name: &'static str,
    /// The method that the official SDK uses.
    pub method: &'static str,
    /// Whether sending it twice does no harm.
    pub is_read: bool,
    /// Parameters that must be there and not be empty.
    pub required: &'static [&'static str],
}

macro_rules! operations {
    ($($name:ident $method:ident $kind:ident [$($required:literal)*];)*) => {
        /// All of them, in the order of A.2.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            name: stringify!($name),
            method: stringify!($method),
            is_read: operations!(@ $kind),
            required: &[$($required),*],
        },)*];
    };
    (@ read) => { true };
    (@ write) => { false };
}

operations! {
    CreateFlow POST write ["Name" "Definition"];
    UpdateFlow POST write ["Name"];
    DescribeFlow GET read ["Name"];
    ListFlows GET read [];
    DeleteFlow POST write ["Name"];
    PublishFlowVersion POST write ["FlowName"];
    ListFlowVersions GET read ["FlowName"];
    DeleteFlowVersion POST write ["FlowName" "FlowVersion"];
    CreateFlowAlias POST write ["FlowName" "Name" "RoutingConfigurations"];
    UpdateFlowAlias POST write ["FlowName" "Name"];
    DescribeFlowAlias GET read ["FlowName" "Name"];
    ListFlowAliases GET read ["FlowName"];
    DeleteFlowAlias POST write ["FlowName" "Name"];
    StartExecution POST write ["FlowName"];
    StartSyncExecution POST write ["FlowName"];
    DescribeExecution GET read ["FlowName" "ExecutionName"];
    ListExecutions GET read ["FlowName"];
    GetExecutionHistory GET read ["FlowName" "ExecutionName"];
    StopExecution POST write ["FlowName" "ExecutionName"];
    ReportTaskSucceeded POST write ["TaskToken" "Output"];
    ReportTaskFailed POST write ["TaskToken" "Error"];
    CreateSchedule POST write ["FlowName" "ScheduleName" "CronExpression"];
    UpdateSchedule POST write ["FlowName" "ScheduleName"];
    DescribeSchedule GET read ["FlowName" "ScheduleName"];
    ListSchedules GET read ["FlowName"];
    DeleteSchedule POST write ["FlowName" "ScheduleName"];
    DescribeMapRun GET read ["FlowName" "ExecutionName" "MapRunName"];
    UpdateMapRun GET write ["FlowName" "ExecutionName" "MapRunName"];
    DescribeRegions POST read [];
}

/// The operation of this name.
pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_twenty_nine() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!((names.len(), OPERATIONS.len()), (29, 29));
        assert_eq!(find("UpdateMapRun").map(|operation| operation.method), Some("GET"));
        assert!(find("RunFlow").is_none());
    }
}
