//! The operations of Step Functions, once: the dispatcher and `docs/compatibility.md` are held
//! against this table.

use crate::fc::operation::State;

/// One operation; `X-Amz-Target: AWSStepFunctions.NAME` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Upstream's name.
    pub name: &'static str,
    /// What it is about.
    pub group: &'static str,
    /// How far it is built.
    pub state: State,
}

macro_rules! operations {
    ($($group:literal { $($name:ident $(= $state:ident)?)* })*) => {
        /// All of them, by group.
        pub const OPERATIONS: &[Operation] = &[$($(Operation {
            name: stringify!($name),
            group: $group,
            state: operations!(@ $($state)?),
        },)*)*];
    };
    (@) => { State::Built };
    (@ $state:ident) => { State::$state };
}

operations! {
    "State machines" {
        CreateStateMachine UpdateStateMachine DescribeStateMachine ListStateMachines DeleteStateMachine
        ValidateStateMachineDefinition TestState DescribeStateMachineForExecution
    }
    "Versions and aliases" {
        PublishStateMachineVersion ListStateMachineVersions DeleteStateMachineVersion
        CreateStateMachineAlias UpdateStateMachineAlias DescribeStateMachineAlias ListStateMachineAliases
        DeleteStateMachineAlias
    }
    "Executions" {
        StartExecution StartSyncExecution DescribeExecution ListExecutions GetExecutionHistory StopExecution
        RedriveExecution
    }
    "Tasks and activities" {
        SendTaskSuccess SendTaskFailure SendTaskHeartbeat CreateActivity DescribeActivity ListActivities
        DeleteActivity GetActivityTask
    }
    "Map runs" { DescribeMapRun ListMapRuns UpdateMapRun }
    "Tags" { TagResource UntagResource ListTagsForResource }
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
    fn there_are_thirty_seven() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!((names.len(), OPERATIONS.len()), (37, 37));
        assert!(find("StartExecution").is_some() && find("startExecution").is_none());
    }
}
