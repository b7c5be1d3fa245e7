//! Every operation walked as every role, with and without a scope, in and outside the root account.

use std::sync::Arc;

use stint_model::access::{Role, Scope};
use stint_model::id::AccountId;

use super::*;

fn caller(role: Role, account: AccountId, scope: &[&str]) -> Caller {
    let functions: Vec<String> = scope.iter().map(|one| (*one).to_owned()).collect();
    let functions: Arc<[String]> = functions.into();
    Caller { account, role, scope: Scope { functions }, key_id: "k".into(), request_id: None }
}

/// Who may do what, written out: `i`nvoker, `v`iewer, `d`eveloper, `a`dmin, `r`oot's admin.
const TABLE: &[(&str, &[Operation])] = &[
    (
        "idar",
        &[
            Operation::Invoke,
            Operation::Submit,
            Operation::SubmitBatch,
            Operation::TaskProgress,
            Operation::SessionCreate,
            Operation::SessionUpdate,
            Operation::SessionDelete,
            Operation::ExecutionStart,
            Operation::ExecutionStartSync,
            Operation::ExecutionReport,
            Operation::ActivityTake,
        ],
    ),
    (
        "ivdar",
        &[
            Operation::SessionGet,
            Operation::SessionList,
            Operation::TaskGet,
            Operation::TaskWait,
            Operation::TaskWhy,
            Operation::TaskLogs,
            Operation::Regions,
            Operation::ExecutionGet,
            Operation::ExecutionHistory,
            Operation::ExecutionWhy,
        ],
    ),
    (
        "vdar",
        &[
            Operation::TaskList,
            Operation::BacklogGet,
            Operation::BacklogList,
            Operation::Instances,
            Operation::LogsRead,
            Operation::LogsTail,
            Operation::Overview,
            Operation::Usage,
            Operation::FunctionGet,
            Operation::FunctionList,
            Operation::CodeGet,
            Operation::VersionList,
            Operation::AliasGet,
            Operation::AliasList,
            Operation::AsyncConfigGet,
            Operation::AsyncConfigList,
            Operation::ProvisionGet,
            Operation::ProvisionList,
            Operation::ScalingGet,
            Operation::ScalingList,
            Operation::ConcurrencyGet,
            Operation::ConcurrencyList,
            Operation::LimitsGet,
            Operation::TagsList,
            Operation::LayerGet,
            Operation::LayerList,
            Operation::AccountGet,
            Operation::FlowGet,
            Operation::FlowList,
            Operation::FlowCheck,
            Operation::FlowVersionList,
            Operation::FlowAliasGet,
            Operation::FlowAliasList,
            Operation::ExecutionList,
            Operation::ActivityGet,
            Operation::ScheduleGet,
            Operation::ScheduleList,
            Operation::MapRunGet,
        ],
    ),
    (
        "dar",
        &[
            Operation::InstanceStop,
            Operation::InstanceExec,
            Operation::TaskStop,
            Operation::TaskRetry,
            Operation::TasksStopByQuery,
            Operation::TasksRetryByQuery,
            Operation::BacklogPause,
            Operation::BacklogResume,
            Operation::FunctionCreate,
            Operation::FunctionUpdate,
            Operation::FunctionDelete,
            Operation::InvocationDisable,
            Operation::InvocationEnable,
            Operation::VersionPublish,
            Operation::VersionDelete,
            Operation::AliasCreate,
            Operation::AliasUpdate,
            Operation::AliasDelete,
            Operation::AsyncConfigPut,
            Operation::AsyncConfigDelete,
            Operation::ProvisionPut,
            Operation::ProvisionDelete,
            Operation::ScalingPut,
            Operation::ScalingDelete,
            Operation::ConcurrencyPut,
            Operation::ConcurrencyDelete,
            Operation::LimitsSet,
            Operation::TagsPut,
            Operation::TagsRemove,
            Operation::ResourceGroupChange,
            Operation::LayerCreate,
            Operation::LayerDelete,
            Operation::LayerAclPut,
            Operation::KeyIssue,
            Operation::FlowCreate,
            Operation::FlowUpdate,
            Operation::FlowDelete,
            Operation::FlowVersionPublish,
            Operation::FlowVersionDelete,
            Operation::FlowAliasCreate,
            Operation::FlowAliasUpdate,
            Operation::FlowAliasDelete,
            Operation::ExecutionStop,
            Operation::ExecutionRedrive,
            Operation::ActivityCreate,
            Operation::ActivityDelete,
            Operation::ScheduleCreate,
            Operation::ScheduleUpdate,
            Operation::ScheduleDelete,
            Operation::MapRunUpdate,
        ],
    ),
    ("ar", &[Operation::KeyCreate, Operation::KeyList, Operation::KeyUpdate, Operation::AuditList]),
    (
        "r",
        &[
            Operation::AccountCreate,
            Operation::AccountList,
            Operation::AccountUpdate,
            Operation::MasterRotate,
        ],
    ),
];

#[test]
fn every_operation_as_every_role() {
    let other = AccountId::new(1_000_000_000_000_002);
    let callers = [
        ('i', Role::Invoker, other),
        ('v', Role::Viewer, other),
        ('d', Role::Developer, other),
        ('a', Role::Admin, other),
        ('r', Role::Admin, AccountId::ROOT),
    ];
    let mut seen = Vec::new();
    for (allowed, operations) in TABLE {
        for operation in *operations {
            seen.push(*operation);
            for (letter, role, account) in callers {
                let who = caller(role, account, &[]);
                for function in [None, Some("f")] {
                    let may = operation.check("local", &who, function).is_ok();
                    assert_eq!(may, allowed.contains(letter), "{operation:?} as {letter}");
                }
            }
        }
    }
    seen.sort_unstable();
    let mut all = Operation::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(seen, all, "the table above names every operation once");
}

#[test]
fn a_scope_narrows_every_operation() {
    for operation in Operation::ALL {
        let who = caller(Role::Admin, AccountId::ROOT, &["etl", "img-*"]);
        assert!(operation.check("local", &who, Some("etl")).is_ok(), "{operation:?}");
        assert!(operation.check("local", &who, Some("img-1")).is_ok(), "{operation:?}");
        assert!(operation.check("local", &who, Some("other")).is_err(), "{operation:?}");
        assert!(operation.check("local", &who, None).is_err(), "{operation:?}");
    }
}

#[test]
fn a_denial_speaks_as_upstream_does() {
    let who = caller(Role::Viewer, AccountId::ROOT, &[]);
    let refusal = Operation::Submit.check("local", &who, Some("f")).unwrap_err();
    assert_eq!(refusal.code, Code::AccessDenied);
    assert_eq!(
        refusal.message,
        "the caller is not authorized to perform 'fc:InvokeFunction' on resource \
         'acs:fc:local:1000000000000001:functions/f' with condition '[role=viewer]'"
    );
    let refusal = Operation::KeyList.check("local", &who, None).unwrap_err();
    assert!(refusal.message.contains("'acs:fc:local:1000000000000001:keys/*'"));
}

#[test]
fn actions_are_named_as_upstream_or_as_ours() {
    for operation in Operation::ALL {
        let action = operation.action();
        assert!(["fc:", "fnf:", "stint:"].iter().any(|p| action.starts_with(p)), "{action}");
        assert!(!operation.needs().is_empty());
    }
}
