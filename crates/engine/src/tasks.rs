//! What callers ask about tasks, and of them: get, list, stop, retry, wait, why; backlogs, instances
//! and the overview.

use std::collections::BTreeMap;

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::{AccountId, FunctionId, InstanceId, TaskUid};
use stint_model::link::{InstanceReport, InstanceState, StopWhen, ToNode};
use stint_model::payload::Payload;
use stint_model::task::{Progress, Task, TaskState};
use stint_model::time::{Span, Timestamp};
use stint_store::{Page, TaskQuery};

use crate::access::Operation;
use crate::control::{Change, Deed};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::link::NodeView;
use crate::shard::{Ask, BacklogReport, Input, Reply, ShardReport, Why};
use crate::submit::TaskRef;

/// Which tasks; all conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskFilter {
    /// Of these functions, by name; empty: of any.
    pub functions: Vec<String>,
    /// Submitted through this qualifier.
    pub qualifier: Option<String>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Only task mode (`true`), only plain invocations (`false`), or both.
    pub task_mode: Option<bool>,
    /// Task id starts so.
    pub id_prefix: Option<String>,
    /// Submitted at or after.
    pub from: Option<Timestamp>,
    /// Submitted before.
    pub until: Option<Timestamp>,
    /// Has all of these tags.
    pub tags: Vec<(String, String)>,
    /// Its last error is of this type or class.
    pub error: Option<String>,
    /// Ran at least this long.
    pub duration_min: Option<Span>,
    /// Ran at most this long.
    pub duration_max: Option<Span>,
    /// Oldest first; else newest first.
    pub ascending: bool,
}

/// What a verb over many tasks did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bulk {
    /// How many tasks the filter met in a state the verb applies to.
    pub matched: u64,
    /// How many it changed; zero in a dry run.
    pub changed: u64,
    /// Some of them.
    pub sample: Vec<TaskUid>,
}

/// The platform at a glance, as far as the caller may see it.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What waits and runs, by shard.
    pub shards: Vec<ShardReport>,
    /// The nodes.
    pub nodes: Vec<NodeView>,
    /// Backlogs of the caller's functions that have any, with their names.
    pub backlogs: Vec<(String, BacklogReport)>,
    /// Live instances of the caller's functions by function name.
    pub instances: BTreeMap<String, u64>,
    /// What the book weighs.
    pub figures: Vec<(&'static str, u64)>,
}

/// Tasks named in a bulk answer.
const SAMPLE_MAX: usize = 20;
/// Tasks a bulk verb takes at a time.
const BULK_PAGE: usize = 500;

fn again(task: &Task, reply: Reply<()>) -> Input {
    let after = task.order().after.iter().map(|dependency| dependency.task).collect();
    Input::Retry { task: task.uid(), after, reply }
}

impl Engine {
    /// A task as it is now.
    ///
    /// # Errors
    /// `AsyncTaskNotFound`; also for another account's task.
    pub async fn task_get(&self, caller: &Caller, task: &TaskRef) -> Result<Task, EngineError> {
        let task = self.task_for(caller, Operation::TaskGet, task).await?;
        self.freshest(task).await
    }

    /// The bytes of a payload or result.
    ///
    /// # Errors
    /// When the blob store fails.
    pub async fn payload(&self, payload: &Payload) -> Result<Bytes, EngineError> {
        match payload {
            Payload::Inline(bytes) => Ok(bytes.clone()),
            Payload::Blob { name, .. } => Ok(self.blobs().get(name).await?),
        }
    }

    /// A page of tasks. Rows of running tasks may be a moment behind `task_get`.
    ///
    /// # Errors
    /// `FunctionNotFound` for a name that is none; `InvalidArgument` for a bad cursor.
    pub async fn task_list(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Page<Task>, EngineError> {
        let mut query = self.query(caller, Operation::TaskList, filter)?;
        query.limit = limit;
        query.cursor = cursor;
        let mut page = self.store().task_list(&query).await?;
        self.freshen(&mut page.items).await?;
        Ok(page)
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// As `task_list`.
    pub async fn task_count(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
    ) -> Result<u64, EngineError> {
        let query = self.query(caller, Operation::TaskList, filter)?;
        Ok(self.store().task_count(&query).await?)
    }

    /// Stops a task: at once when it waits; a running attempt gets its PreStop hook and a grace.
    ///
    /// # Errors
    /// `AsyncTaskAlreadyFinished` when it has ended.
    pub async fn task_stop(
        &self,
        caller: &Caller,
        task: &TaskRef,
        reason: &str,
    ) -> Result<(), EngineError> {
        let task = self.task_for(caller, Operation::TaskStop, task).await?.uid();
        let reason = reason.to_owned();
        self.ask_shard(task.shard(), |reply| Input::Stop { task, reason, reply }).await
    }

    /// Runs an ended task again, with its history.
    ///
    /// # Errors
    /// `AsyncTaskNotFinished` while it has not ended.
    pub async fn task_retry(&self, caller: &Caller, task: &TaskRef) -> Result<(), EngineError> {
        self.admitting()?;
        let task = self.task_for(caller, Operation::TaskRetry, task).await?;
        self.ask_shard(task.uid().shard(), |reply| again(&task, reply)).await
    }

    /// Stops every task that meets the filter and has not ended; the history keeps the reason.
    ///
    /// # Errors
    /// As `task_list`.
    pub async fn tasks_stop(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        dry_run: bool,
        reason: &str,
    ) -> Result<Bulk, EngineError> {
        let reason = if reason.is_empty() { "stopped by query" } else { reason };
        let query = self.query(caller, Operation::TasksStopByQuery, filter)?;
        self.bulk(
            query,
            dry_run,
            |state| !state.is_terminal(),
            |task, reply| {
                let reason = reason.to_owned();
                Input::Stop { task: task.uid(), reason, reply }
            },
        )
        .await
    }

    /// Runs every task again that meets the filter and has ended, but not well (unless the filter
    /// names states).
    ///
    /// # Errors
    /// As `task_list`.
    pub async fn tasks_retry(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        dry_run: bool,
    ) -> Result<Bulk, EngineError> {
        self.admitting()?;
        let query = self.query(caller, Operation::TasksRetryByQuery, filter)?;
        let any = !filter.states.is_empty();
        let applies =
            move |state: TaskState| state.is_terminal() && (any || state != TaskState::Succeeded);
        // Oldest first: what a task depends on is run again before it.
        self.bulk(query, dry_run, applies, again).await
    }

    async fn bulk(
        &self,
        mut query: TaskQuery,
        dry_run: bool,
        applies: impl Fn(TaskState) -> bool,
        input: impl Fn(&Task, Reply<()>) -> Input,
    ) -> Result<Bulk, EngineError> {
        let mut bulk = Bulk::default();
        query.limit = BULK_PAGE;
        query.ascending = true;
        // Tasks that come in while this runs are not meant.
        query.until = Some(query.until.unwrap_or(Timestamp::MAX).min(self.clock().now()));
        loop {
            let page = self.store().task_list(&query).await?;
            let mut answers = Vec::new();
            for task in page.items.iter().filter(|task| applies(task.state())) {
                bulk.matched += 1;
                if bulk.sample.len() < SAMPLE_MAX {
                    bulk.sample.push(task.uid());
                }
                if !dry_run {
                    let (reply, answer) = tokio::sync::oneshot::channel();
                    self.tell_shard(task.uid().shard(), input(task, reply)).await?;
                    answers.push(answer);
                }
            }
            for answer in answers {
                // One that ended meanwhile is refused, which is no failure of the whole.
                bulk.changed += u64::from(matches!(answer.await, Ok(Ok(()))));
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(bulk);
            }
        }
    }

    /// Waits for a task's end, at most `timeout`; then gives it as it is.
    ///
    /// # Errors
    /// `AsyncTaskNotFound`.
    pub async fn task_wait(
        &self,
        caller: &Caller,
        task: &TaskRef,
        timeout: Span,
    ) -> Result<Task, EngineError> {
        let task = self.task_for(caller, Operation::TaskWait, task).await?;
        if task.state().is_terminal() {
            return Ok(task);
        }
        let uid = task.uid();
        let ended = self.ask_shard(uid.shard(), |reply| Input::Wait { task: uid, reply });
        match self.clock().within(timeout, ended).await {
            Some(ended) => ended,
            None => self.freshest(task).await,
        }
    }

    /// Why a task is where it is.
    ///
    /// # Errors
    /// `AsyncTaskNotFound`.
    pub async fn task_why(&self, caller: &Caller, task: &TaskRef) -> Result<Why, EngineError> {
        let task = self.task_for(caller, Operation::TaskWhy, task).await?;
        let uid = task.uid();
        let why = self.ask_shard(uid.shard(), |reply| Input::Ask(Ask::Why(uid, reply))).await?;
        Ok(why.unwrap_or(Why { task, cause: None, position: 0, estimated_start: None }))
    }

    /// User code, or whoever acts for it, says how far a running task is.
    ///
    /// # Errors
    /// `InvalidArgument` when it does not run.
    pub async fn task_progress(
        &self,
        caller: &Caller,
        task: &TaskRef,
        permille: u16,
        message: &str,
    ) -> Result<(), EngineError> {
        let task = self.task_for(caller, Operation::TaskProgress, task).await?.uid();
        let message: String = message.chars().take(1_000).collect();
        let progress = Progress { permille: permille.min(1_000), message, at: self.clock().now() };
        self.ask_shard(task.shard(), |reply| Input::Progress { task, progress, reply }).await
    }

    /// What waits in a function.
    ///
    /// # Errors
    /// `FunctionNotFound`.
    pub async fn backlog(&self, caller: &Caller, name: &str) -> Result<BacklogReport, EngineError> {
        self.authorize(caller, Operation::BacklogGet, Some(name))?;
        let function = self.function_entry(caller, name)?.function.id;
        let wanted = Some(vec![function]);
        let shard = stint_model::shard::Shard::of_function(caller.account, name, self.shards());
        let ask = |reply| Input::Ask(Ask::Backlogs(wanted, reply));
        let mut found = self.ask_shard(shard, ask).await?;
        Ok(found.pop().expect("one answer for one function"))
    }

    /// What waits in every function of the account that has anything waiting or running, by name.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn backlogs(
        &self,
        caller: &Caller,
    ) -> Result<Vec<(String, BacklogReport)>, EngineError> {
        self.authorize(caller, Operation::BacklogList, None)?;
        self.backlogs_of(caller.account).await
    }

    /// Every function of every account with waiting or running work, for the operator's figures.
    ///
    /// # Errors
    /// When a shard does not answer.
    pub async fn every_backlog(&self) -> Result<Vec<BacklogReport>, EngineError> {
        let all = self.ask_all(|reply| Ask::Backlogs(None, reply)).await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn backlogs_of(
        &self,
        account: AccountId,
    ) -> Result<Vec<(String, BacklogReport)>, EngineError> {
        let names: BTreeMap<FunctionId, String> =
            self.function_ids(account).into_iter().map(|(name, id)| (id, name)).collect();
        let all = self.every_backlog().await?.into_iter();
        let named =
            all.filter_map(|report| names.get(&report.function).map(|name| (name.clone(), report)));
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(named)
    }

    /// Instances of the caller's functions, or of one of them.
    ///
    /// # Errors
    /// `FunctionNotFound`.
    pub fn instances(
        &self,
        caller: &Caller,
        function: Option<&str>,
    ) -> Result<Vec<InstanceReport>, EngineError> {
        self.authorize(caller, Operation::Instances, function)?;
        if let Some(name) = function {
            let function = self.function_entry(caller, name)?.function.id;
            return Ok(self.link().instances(Some(function)));
        }
        let mine = self.function_ids(caller.account);
        let mut reports = self.link().instances(None);
        reports.retain(|report| mine.values().any(|id| *id == report.function));
        Ok(reports)
    }

    /// Ends one instance of a function of the caller's; harmless when it has ended.
    ///
    /// # Errors
    /// `ResourceNotFound`, also for another account's instance; `ServiceUnavailable` when its node
    /// does not listen.
    pub async fn instance_stop(
        &self,
        caller: &Caller,
        instance: InstanceId,
        when: StopWhen,
    ) -> Result<InstanceReport, EngineError> {
        let absent = || {
            let message = format!("instance {instance} does not exist; list them first");
            Refusal::new(Code::ResourceNotFound, message)
        };
        let mine = self.function_ids(caller.account);
        let report = self.link().find_instance(instance);
        let named = report.and_then(|report| {
            let (name, _) = mine.iter().find(|(_, id)| **id == report.function)?;
            Some((name.clone(), report))
        });
        let Some((name, report)) = named else {
            // Whoever may stop nothing learns nothing about what exists.
            self.authorize(caller, Operation::InstanceStop, None)?;
            return Err(absent().into());
        };
        self.authorize(caller, Operation::InstanceStop, Some(&name))?;
        if report.state == InstanceState::Destroyed {
            return Ok(report);
        }
        let change = Change::new(self.home_of(caller.account, &name));
        let resource = format!("functions/{name}/instances/{instance}");
        let detail = match when {
            StopWhen::Idle => "when what runs on it has ended",
            StopWhen::Now => "now",
        };
        let deed = Deed::on(Operation::InstanceStop, resource).told(detail);
        self.commit(caller, deed, change).await?;
        if !self.link().send(report.node, ToNode::StopInstance { instance, when }) {
            let message = "the node of the instance does not listen; try again";
            return Err(Refusal::new(Code::ServiceUnavailable, message).into());
        }
        Ok(report)
    }

    /// The platform at a glance.
    ///
    /// # Errors
    /// When the caller may not.
    pub async fn overview(&self, caller: &Caller) -> Result<Overview, EngineError> {
        self.authorize(caller, Operation::Overview, None)?;
        let mut instances = BTreeMap::new();
        let names: BTreeMap<FunctionId, String> =
            self.function_ids(caller.account).into_iter().map(|(name, id)| (id, name)).collect();
        for report in self.link().instances(None) {
            let live = report.destroyed_at == Timestamp::ZERO;
            if let (true, Some(name)) = (live, names.get(&report.function)) {
                *instances.entry(name.clone()).or_default() += 1;
            }
        }
        Ok(Overview {
            shards: self.ask_all(Ask::Report).await?,
            nodes: self.link().nodes(),
            backlogs: self.backlogs_of(caller.account).await?,
            instances,
            figures: self.store().figures().await?,
        })
    }

    /// A task the caller may do `operation` to, as the book has it.
    async fn task_for(
        &self,
        caller: &Caller,
        operation: Operation,
        task: &TaskRef,
    ) -> Result<Task, EngineError> {
        if let TaskRef::Named { function, .. } = task {
            self.authorize(caller, operation, Some(function))?;
        }
        let found = match self.find_task(caller.account, task).await? {
            Some(uid) => self.store().task_get(&[uid]).await?.pop().flatten(),
            None => None,
        };
        let found = found.filter(|found| found.order().account == caller.account);
        let Some(found) = found else {
            return Err(not_found(task).into());
        };
        self.authorize(caller, operation, Some(&found.order().function_name))?;
        Ok(found)
    }

    /// The uid behind a reference. That the task exists is not said for a uid.
    pub(crate) async fn find_task(
        &self,
        account: AccountId,
        task: &TaskRef,
    ) -> Result<Option<TaskUid>, EngineError> {
        let (function, task_id) = match task {
            TaskRef::Uid(uid) if uid.shard().number() < self.shards() => return Ok(Some(*uid)),
            TaskRef::Uid(_) => return Ok(None),
            TaskRef::Named { function, task_id } => (function, task_id),
        };
        let Some(entry) = self.catalog().function(account, function) else {
            let message = format!("function '{function}' does not exist");
            return Err(EngineError::refused(Code::FunctionNotFound, message));
        };
        let id = entry.function.id;
        let chosen = self.store().task_find(&[(id, task_id.clone())]).await?.pop().flatten();
        if chosen.is_some() {
            return Ok(chosen);
        }
        // A task without a chosen id goes by its own.
        let Ok(uid) = task_id.parse::<TaskUid>() else { return Ok(None) };
        let found = self.store().task_get(&[uid]).await?.pop().flatten();
        Ok(found.filter(|task| task.order().function == id).map(|task| task.uid()))
    }

    /// The task as its shard has it in memory, if it runs; else as it was read.
    async fn freshest(&self, task: Task) -> Result<Task, EngineError> {
        let mut one = vec![task];
        self.freshen(&mut one).await?;
        Ok(one.pop().expect("still one"))
    }

    async fn freshen(&self, tasks: &mut [Task]) -> Result<(), EngineError> {
        let mut by_shard: BTreeMap<_, Vec<TaskUid>> = BTreeMap::new();
        for task in tasks.iter().filter(|task| !task.state().is_terminal()) {
            by_shard.entry(task.uid().shard()).or_default().push(task.uid());
        }
        for (shard, uids) in by_shard {
            let ask = |reply| Input::Ask(Ask::Live(uids, reply));
            for live in self.ask_shard(shard, ask).await? {
                if let Some(stale) = tasks.iter_mut().find(|task| task.uid() == live.uid()) {
                    *stale = live;
                }
            }
        }
        Ok(())
    }

    fn query(
        &self,
        caller: &Caller,
        operation: Operation,
        filter: &TaskFilter,
    ) -> Result<TaskQuery, EngineError> {
        if filter.functions.is_empty() {
            self.authorize(caller, operation, None)?;
        }
        let mut functions = Vec::with_capacity(filter.functions.len());
        for name in &filter.functions {
            self.authorize(caller, operation, Some(name))?;
            functions.push(self.function_entry(caller, name)?.function.id);
        }
        Ok(TaskQuery {
            account: Some(caller.account),
            functions,
            qualifier: filter.qualifier.clone(),
            states: filter.states.clone(),
            task_mode: filter.task_mode,
            id_prefix: filter.id_prefix.clone(),
            from: filter.from,
            until: filter.until,
            tags: filter.tags.clone(),
            error: filter.error.clone(),
            duration_min: filter.duration_min,
            duration_max: filter.duration_max,
            ascending: filter.ascending,
            limit: 0,
            cursor: None,
        })
    }
}

fn not_found(task: &TaskRef) -> Refusal {
    let name = match task {
        TaskRef::Uid(uid) => uid.to_string(),
        TaskRef::Named { task_id, .. } => task_id.clone(),
    };
    Refusal::new(Code::AsyncTaskNotFound, format!("async task '{name}' does not exist"))
}
