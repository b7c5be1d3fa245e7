//! A client of the simulated platform: submits tasks with ids it remembers, stops some of them, and
//! writes down what was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use stint_engine::{BatchMode, Engine, EngineError, FunctionRef, Submit, TaskOptions, TaskRef};
use stint_model::access::{Caller, Role, Scope};
use stint_model::code::Code;
use stint_model::id::{AccountId, TaskUid};
use stint_model::limit::Priority;
use stint_model::task::When;
use stint_model::time::Span;
use stint_supervise::{Clock, Stop};

use crate::dice::Dice;
use crate::world::FUNCTIONS;

/// Function and task id, with the uid where it is known.
type Told = BTreeMap<(String, String), Option<TaskUid>>;

/// What a client was told, over all lives.
#[derive(Clone, Debug, Default)]
pub struct Acked(Arc<Mutex<Told>>);

impl Acked {
    /// Function and task id of everything that was acknowledged, with the uid where it is known.
    pub fn tasks(&self) -> Told {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, function: &str, id: &str, uid: Option<TaskUid>) {
        let key = (function.to_owned(), id.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, uid);
    }

    fn some(&self, dice: &mut Dice) -> Option<(String, String)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(dice.below(known.len().max(1) as u64)).expect("an index");
        known.keys().nth(index).cloned()
    }
}

/// The root account's administrator.
pub fn caller() -> Caller {
    Caller {
        account: AccountId::ROOT,
        role: Role::Admin,
        scope: Scope::default(),
        key_id: "sim".into(),
        request_id: None,
    }
}

/// One client in one life.
#[derive(Debug)]
pub struct Client {
    /// Its name, part of the ids it chooses.
    pub name: String,
    /// The platform.
    pub engine: Engine,
    /// The simulated clock.
    pub clock: Clock,
    /// Its throws.
    pub dice: Dice,
    /// What it was told.
    pub acked: Acked,
    /// How many tasks it submits.
    pub tasks: u32,
}

impl Client {
    /// Submits its tasks, then rests.
    pub async fn run(mut self, stop: Stop) {
        for n in 0..self.tasks {
            let pause = Span::from_millis(self.dice.below(300));
            if stop.until(self.clock.sleep(pause)).await.is_none() {
                return;
            }
            if self.dice.percent(10) {
                self.submit_chain(n).await;
            } else {
                self.submit(n).await;
            }
            if self.dice.percent(5) {
                self.stop_one().await;
            }
        }
    }

    async fn submit(&mut self, n: u32) {
        let index = usize::try_from(self.dice.below(FUNCTIONS.len() as u64)).expect("few");
        let function = FUNCTIONS[index];
        let id = format!("{}-{n}", self.name);
        let mut options = TaskOptions { task_id: Some(id.clone()), ..TaskOptions::default() };
        if self.dice.percent(20) {
            options.order_key = Some(format!("k{}", self.dice.below(3)));
        }
        if self.dice.percent(20) {
            options.delay = Some(Span::from_millis(self.dice.below(5_000)));
        }
        if self.dice.percent(15) {
            let age = Span::from_millis(1 + self.dice.below(8_000));
            options.deadline = Some(self.clock.now() + age);
        }
        if self.dice.percent(20) {
            let class = u8::try_from(self.dice.below(10)).expect("below ten");
            options.priority = Priority::new(class);
        }
        if self.dice.percent(15)
            && let Some((function, task_id)) = self.acked.some(&mut self.dice)
        {
            let when = if self.dice.percent(50) { When::Ended } else { When::Succeeded };
            options.depends_on.push((TaskRef::Named { function, task_id }, when));
        }
        let submit = Submit { payload: Bytes::from_static(b"{}"), options };
        // Twice, as a client does that got no answer: the second must say "exists".
        let tries = if self.dice.percent(10) { 2 } else { 1 };
        for _ in 0..tries {
            let function_ref = FunctionRef::latest(function);
            let answer = self.engine.submit(&caller(), &function_ref, submit.clone()).await;
            match answer {
                Ok(accepted) => self.acked.note(function, &id, Some(accepted.uid)),
                Err(error) if exists(&error) => self.acked.note_known(function, &id),
                Err(_) => {}
            }
        }
    }

    /// Three tasks in one batch, each of which waits for the next.
    async fn submit_chain(&mut self, n: u32) {
        let index = usize::try_from(self.dice.below(FUNCTIONS.len() as u64)).expect("few");
        let function = FUNCTIONS[index];
        let id = |link: u32| format!("{}-{n}-{link}", self.name);
        let items = (0..3).map(|link| {
            let mut options = TaskOptions { task_id: Some(id(link)), ..TaskOptions::default() };
            if link < 2 {
                let next = TaskRef::Named { function: function.to_owned(), task_id: id(link + 1) };
                options.depends_on.push((next, When::Ended));
            }
            Ok(Submit { payload: Bytes::from_static(b"{}"), options })
        });
        let function_ref = FunctionRef::latest(function);
        let mode = BatchMode::AllOrNothing;
        let answer =
            self.engine.submit_batch(&caller(), &function_ref, items.collect(), mode).await;
        for (link, accepted) in (0..3).zip(answer.into_iter().flatten()) {
            let accepted = accepted.expect("all or nothing");
            self.acked.note(function, &id(link), Some(accepted.uid));
        }
    }

    async fn stop_one(&mut self) {
        let Some((function, task_id)) = self.acked.some(&mut self.dice) else { return };
        let task = TaskRef::Named { function, task_id };
        // Ended already, or the process is dying: both are fine.
        drop(self.engine.task_stop(&caller(), &task, "drawn").await);
    }
}

impl Acked {
    /// The id exists, so it was accepted, whoever was told.
    fn note_known(&self, function: &str, id: &str) {
        let key = (function.to_owned(), id.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default();
    }
}

fn exists(error: &EngineError) -> bool {
    error.code() == Code::AsyncTaskAlreadyExists
}
