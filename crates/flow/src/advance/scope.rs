//! Threads: branches, iterations and inline lists start, end, and are counted by whoever waits.

use serde_json::json;

use super::Turn;
use super::sight::Seen;
use crate::command::Outcome;
use crate::fault::Fault;
use crate::history::Moment;
use crate::plan::{Dialect, Language, ScopeId, ScopeKind, Step, Work};
use crate::prelude::*;
use crate::state::{Item, Join, Parent, Phase, Stage, Thread};
use crate::template::Answers;
use crate::value;

impl<'p> Turn<'p> {
    /// The first thread, which runs the machine, or the processor of a distributed map.
    pub(super) fn begin_machine(&mut self) {
        let scope = self.run.scope;
        let input = self.run.input.clone();
        let id = self.spawn(None, scope, input.clone());
        if let Some(template) = self.plan.enter.as_ref().filter(|_| scope == 0) {
            match self.fill(id, template, Seen::of(&input), &mut Answers::default()) {
                Ok(input) => self.give_scope(id, input),
                Err(fault) => {
                    self.set(id, Phase::Broken);
                    return self.end_failed(fault);
                }
            }
        }
        self.run.ready.push_back(id);
    }

    fn give_scope(&mut self, id: u64, input: Value) {
        if let Some(thread) = self.run.threads.get_mut(&id) {
            thread.scope_input = input;
        }
    }

    fn spawn(&mut self, parent: Option<Parent>, scope: ScopeId, input: Value) -> u64 {
        let id = self.run.thread_next;
        self.run.thread_next += 1;
        let step = self.plan.scopes.get(scope).map_or(0, |scope| scope.start);
        let last_event = match parent.and_then(|parent| self.thread(parent.thread)) {
            Some(parent) => parent.last_event,
            None => self.run.history_next.saturating_sub(1),
        };
        let accumulates = self.plan.accumulates();
        let (raw, scope_input) =
            if accumulates { (Value::Null, input) } else { (input, Value::Null) };
        let empty = || if accumulates { Value::Object(Map::new()) } else { Value::Null };
        let thread = Thread {
            parent,
            scope,
            step,
            last_event,
            entered: 0,
            entered_at: self.at.micros(),
            raw: if accumulates { empty() } else { raw },
            input: Value::Null,
            scope_input,
            scope_local: empty(),
            variables: Map::new(),
            item: None,
            retries: Vec::new(),
            token: None,
            error: None,
            phase: Phase::Ready(Stage::Enter),
        };
        self.run.threads.insert(id, thread);
        id
    }

    fn room(&self, more: usize) -> Result<(), Fault> {
        let most = self.run.limits.threads_max;
        if self.run.threads.len().saturating_add(more) <= most {
            return Ok(());
        }
        let said = format!("more than {most} branches and iterations at one moment");
        Err(Fault::exhausted(self.plan.dialect, said))
    }

    pub(super) fn fork(&mut self, id: u64, scopes: &[ScopeId], input: &Value) -> Result<(), Fault> {
        self.room(scopes.len())?;
        let join = Join {
            way: None,
            waiting: Vec::new(),
            next: scopes.len(),
            concurrency: scopes.len(),
            running: scopes.len(),
            results: vec![Value::Null; scopes.len()],
            bytes: 0,
        };
        self.set(id, Phase::Joined(Box::new(join)));
        for (slot, scope) in scopes.iter().enumerate() {
            let child = self.spawn(Some(Parent { thread: id, slot }), *scope, input.clone());
            self.branch_row(child, Moment::BranchEntered, json!({"index": slot, "local": {}}));
            self.run.ready.push_back(child);
        }
        Ok(())
    }

    /// The inline steps of an FDL choice.
    pub(super) fn fork_block(
        &mut self,
        id: u64,
        scope: ScopeId,
        (way, input): (Option<usize>, Value),
    ) -> Result<(), Fault> {
        self.room(1)?;
        let (waiting, results) = (Vec::new(), vec![Value::Null]);
        let join = Join { way, waiting, next: 1, concurrency: 1, running: 1, results, bytes: 0 };
        self.set(id, Phase::Joined(Box::new(join)));
        let child = self.spawn(Some(Parent { thread: id, slot: 0 }), scope, input);
        self.run.ready.push_back(child);
        Ok(())
    }

    pub(super) fn fork_items(
        &mut self,
        id: u64,
        mut items: Vec<Value>,
        asked: u32,
    ) -> Result<(), Fault> {
        let most = self.run.limits.inline_concurrency_max.max(1);
        let concurrency = if asked == 0 { most } else { asked.min(most) };
        let results = vec![Value::Null; items.len()];
        items.reverse();
        let join = Join {
            way: None,
            waiting: items,
            next: 0,
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            running: 0,
            results,
            bytes: 0,
        };
        self.set(id, Phase::Joined(Box::new(join)));
        self.start_items(id)
    }

    /// Starts as many iterations as may run.
    fn start_items(&mut self, id: u64) -> Result<(), Fault> {
        loop {
            let Some(thread) = self.run.threads.get_mut(&id) else { return Ok(()) };
            let Phase::Joined(join) = &mut thread.phase else { return Ok(()) };
            if join.running >= join.concurrency {
                return Ok(());
            }
            let Some(value) = join.waiting.pop() else {
                if join.running == 0 {
                    self.joined(id);
                }
                return Ok(());
            };
            let index = join.next;
            join.next += 1;
            join.running += 1;
            self.room(1)?;
            self.start_item(id, index, value);
        }
    }

    fn start_item(&mut self, id: u64, index: usize, value: Value) {
        let Some(step) = self.step(id) else { return };
        let Work::Map(map) = &step.work else { return };
        let child = self.spawn(Some(Parent { thread: id, slot: index }), map.scope, value.clone());
        if let Some(thread) = self.run.threads.get_mut(&child) {
            thread.item = Some(Item { index, value: value.clone(), key: None });
            if map.selector.is_some() || map.keys.is_some() {
                thread.phase = Phase::Ready(Stage::Item);
            }
        }
        let detail = json!({"name": step.name, "index": index, "item": value});
        self.branch_row(child, Moment::IterationStarted, detail);
        self.run.ready.push_back(child);
    }

    /// A row about a branch or an iteration: it names the step that holds it.
    pub(super) fn branch_row(&mut self, child: u64, moment: Moment, detail: Value) {
        let Some(parent) = self.thread(child).and_then(|thread| thread.parent) else { return };
        let last = self.thread(child).map_or(0, |thread| thread.last_event);
        let before = self.thread(parent.thread).map_or(0, |thread| thread.last_event);
        if let Some(thread) = self.run.threads.get_mut(&parent.thread) {
            thread.last_event = last;
        }
        let id = self.row(parent.thread, moment, detail);
        if let Some(row) = self.rows.last_mut().filter(|row| row.id == id) {
            row.thread = child;
        }
        if let Some(thread) = self.run.threads.get_mut(&parent.thread) {
            thread.last_event = before;
        }
        if let Some(thread) = self.run.threads.get_mut(&child) {
            thread.last_event = id;
        }
    }

    /// The input of an iteration, made in the sight of its map.
    pub(super) fn make_item(
        &mut self,
        id: u64,
        step: &'p Step,
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        let Work::Map(map) = &step.work else { return Ok(()) };
        let Some(thread) = self.thread(id) else { return Ok(()) };
        let (Some(parent), Some(item)) = (thread.parent, thread.item.clone()) else {
            return Ok(());
        };
        let input = self.thread(parent.thread).map_or(Value::Null, |thread| thread.input.clone());
        let made = match (&map.selector, &map.keys) {
            (Some(selector), _) => {
                let seen = Seen { item: Some(&item), ..Seen::of(&input) };
                self.fill(parent.thread, selector, seen, answers)?
            }
            (None, Some((item_key, index_key))) => {
                let mut map = input.as_object().cloned().unwrap_or_default();
                map.insert(item_key.clone(), item.value.clone());
                map.insert(index_key.clone(), Value::from(item.index));
                Value::Object(map)
            }
            (None, None) => item.value.clone(),
        };
        let accumulates = self.plan.accumulates();
        if let Some(thread) = self.run.threads.get_mut(&id) {
            if accumulates {
                thread.scope_input = made;
            } else {
                thread.raw = made;
            }
        }
        self.set(id, Phase::Ready(Stage::Enter));
        self.run.ready.push_front(id);
        Ok(())
    }

    /// The thread has reached the end of its scope.
    pub(super) fn end_scope(&mut self, id: u64, output: Value) {
        let Some(thread) = self.thread(id) else { return };
        let Some(parent) = thread.parent else { return self.end_machine(id, output) };
        let kind = self.plan.scopes.get(thread.scope).map(|scope| scope.kind);
        let name = self.step(parent.thread).map_or("", |step| step.name.as_str());
        let detail = json!({"name": name, "index": parent.slot, "local": output});
        match kind {
            Some(ScopeKind::Branch(_)) => self.branch_row(id, Moment::BranchExited, detail),
            Some(ScopeKind::Iteration) => self.branch_row(id, Moment::IterationSucceeded, detail),
            Some(ScopeKind::Machine | ScopeKind::Block) | None => {}
        }
        let last = self.thread(id).map_or(0, |thread| thread.last_event);
        self.run.threads.remove(&id);
        let limit = self.run.limits.payload_bytes_max;
        let dialect = self.plan.dialect;
        let Some(waiting) = self.run.threads.get_mut(&parent.thread) else { return };
        waiting.last_event = last;
        let Phase::Joined(join) = &mut waiting.phase else { return };
        join.running = join.running.saturating_sub(1);
        join.bytes = join.bytes.saturating_add(value::size(&output));
        if let Some(slot) = join.results.get_mut(parent.slot) {
            *slot = output;
        }
        // FDL bounds what a step gives, not what its iterations hold together.
        if dialect != Dialect::Fdl && join.bytes > limit {
            let fault = Fault::too_large(dialect, "task result", limit);
            return self.fail(parent.thread, fault);
        }
        if let Err(fault) = self.start_items(parent.thread) {
            self.fail(parent.thread, fault);
        }
    }

    /// Everything a step waited for is there.
    fn joined(&mut self, id: u64) {
        let Some(step) = self.step(id) else { return };
        let Some(thread) = self.run.threads.get_mut(&id) else { return };
        let Phase::Joined(join) = &mut thread.phase else { return };
        let (way, mut results) = (join.way, core::mem::take(&mut join.results));
        let result = match (&step.work, step.language) {
            (Work::Choice { .. }, _) => results.pop().unwrap_or(Value::Null),
            (Work::Parallel(_), Language::Cloud) => {
                let named = results
                    .into_iter()
                    .enumerate()
                    .map(|(at, value)| (format!("Branch{at}"), value));
                Value::Object(named.collect())
            }
            (Work::Map(_), Language::Cloud) => json!({"Items": results}),
            (
                Work::Pass { .. }
                | Work::Task(_)
                | Work::Wait(_)
                | Work::Succeed
                | Work::Fail { .. }
                | Work::Parallel(_)
                | Work::Map(_),
                _,
            ) => Value::Array(results),
        };
        if matches!(step.work, Work::Parallel(_) | Work::Map(_)) {
            self.row(id, Moment::Succeeded, json!({"output": result}));
        }
        self.work_done(id, step, result, way);
    }

    fn end_machine(&mut self, id: u64, output: Value) {
        let leave = self.plan.leave.as_ref().filter(|_| self.run.scope == 0);
        let output = match leave {
            None => Ok(output),
            Some(template) => {
                let input = self.run.input.clone();
                let seen = Seen { output: Some(&output), ..Seen::of(&input) };
                self.fill(id, template, seen, &mut Answers::default())
            }
        };
        match output {
            Ok(output) => {
                self.run.threads.remove(&id);
                let detail = json!({"output": output});
                self.end(Moment::ExecutionSucceeded, detail, Outcome::Succeeded { output });
            }
            Err(fault) => {
                self.set(id, Phase::Broken);
                self.end_failed(fault);
            }
        }
    }

    pub(super) fn end_failed(&mut self, fault: Fault) {
        let Fault { error, cause, .. } = fault;
        let detail = json!({"error": error, "cause": cause});
        self.end(Moment::ExecutionFailed, detail, Outcome::Failed { error, cause });
    }

    /// Everyone below a thread.
    pub(super) fn below(&self, id: u64) -> Vec<u64> {
        let mut all = vec![id];
        let mut at = 0;
        while let Some(here) = all.get(at).copied() {
            let children =
                self.run.threads.iter().filter(|(_, thread)| {
                    thread.parent.is_some_and(|parent| parent.thread == here)
                });
            all.extend(children.map(|(id, _)| *id));
            at += 1;
        }
        all.remove(0);
        all
    }
}
