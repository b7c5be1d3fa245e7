//! The ordered end of the house: a list of stages, each with a name and a deadline, walked from the
//! door to the store. A stage that overruns is named and left behind; a second signal leaves all.

use std::pin::{Pin, pin};

use stint_model::time::Span;

use crate::clock::Clock;
use crate::supervisor::Supervisor;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Stage {
    name: &'static str,
    deadline: Span,
    work: Work,
}

/// The list. Built in one function of the composition root, in the order in which it is walked.
pub struct Shutdown {
    clock: Clock,
    stages: Vec<Stage>,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// Stages that ended in time.
    pub done: Vec<&'static str>,
    /// Stages that did not.
    pub overran: Vec<&'static str>,
    /// Stages never reached, because somebody was in a hurry.
    pub skipped: Vec<&'static str>,
}

impl Farewell {
    /// Everything ended in time.
    pub fn is_clean(&self) -> bool {
        self.overran.is_empty() && self.skipped.is_empty()
    }
}

impl Shutdown {
    /// An empty list.
    pub fn new(clock: Clock) -> Self {
        Self { clock, stages: Vec::new() }
    }

    /// A stage that stops a group of tasks and waits for them.
    #[must_use]
    pub fn group(self, name: &'static str, deadline: Span, group: &Supervisor) -> Self {
        let group = group.clone();
        self.step(name, deadline, async move {
            group.stop().request();
            group.ended().await;
        })
    }

    /// A stage that is any piece of work.
    #[must_use]
    pub fn step(
        mut self,
        name: &'static str,
        deadline: Span,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.stages.push(Stage { name, deadline, work: Box::pin(work) });
        self
    }

    /// Walks the list. When `hurry` returns (a second signal) what is left is skipped.
    pub async fn run(self, hurry: impl Future<Output = ()>) -> Farewell {
        let mut hurry = pin!(hurry);
        let mut farewell = Farewell::default();
        let mut stages = self.stages.into_iter();
        for stage in stages.by_ref() {
            tracing::info!(stage = stage.name, "shutting down");
            let in_time = tokio::select! {
                biased;
                // In a hurry: the work is dropped with the process, which the book survives.
                () = &mut hurry => {
                    farewell.skipped.push(stage.name);
                    break;
                }
                // Overrun work is dropped; what it would have written is derived again at the start.
                in_time = self.clock.within(stage.deadline, stage.work) => in_time.is_some(),
            };
            if in_time {
                farewell.done.push(stage.name);
            } else {
                tracing::warn!(stage = stage.name, "did not end in time; going on without it");
                farewell.overran.push(stage.name);
            }
        }
        farewell.skipped.extend(stages.map(|stage| stage.name));
        farewell
    }
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.stages.iter().map(|stage| stage.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use stint_model::time::Timestamp;

    use super::*;
    use crate::supervisor::OnExit;

    #[tokio::test]
    async fn stages_end_in_their_order() {
        let (clock, _hand) = Clock::simulated(Timestamp::ZERO);
        let house = Supervisor::new(clock.clone());
        let (door, store) = (house.group(), house.group());
        let store_stop = store.stop().clone();
        door.spawn("api", OnExit::StopServer, move |stop| async move {
            stop.stopped().await;
            assert!(!store_stop.is_stopped(), "the store outlives the door");
        });
        store.spawn("writer", OnExit::StopServer, |stop| async move { stop.stopped().await });
        let farewell = Shutdown::new(clock)
            .group("close the door", Span::from_secs(1), &door)
            .step("flush", Span::from_secs(1), async {})
            .group("close the store", Span::from_secs(1), &store)
            .run(pending())
            .await;
        assert_eq!(farewell.done, ["close the door", "flush", "close the store"]);
        assert!(farewell.is_clean());
        assert!(house.status().is_empty(), "{:?}", house.status());
    }

    #[tokio::test]
    async fn a_stage_that_overruns_is_named_and_left_behind() {
        let (clock, hand) = Clock::simulated(Timestamp::ZERO);
        let list = Shutdown::new(clock)
            .step("let nodes finish", Span::from_secs(30), pending())
            .step("flush", Span::from_secs(5), async {});
        let mut run = pin!(list.run(pending()));
        tokio::select! {
            biased;
            _ = &mut run => panic!("it waits for the deadline"),
            () = tokio::task::yield_now() => hand.advance(Span::from_secs(30)),
        }
        let farewell = run.await;
        assert_eq!((farewell.overran, farewell.done), (vec!["let nodes finish"], vec!["flush"]));
    }

    #[tokio::test]
    async fn a_second_signal_is_immediate() {
        let (clock, _hand) = Clock::simulated(Timestamp::ZERO);
        let list = Shutdown::new(clock)
            .step("close the door", Span::from_secs(1), async {})
            .step("let nodes finish", Span::from_secs(30), pending())
            .step("flush", Span::from_secs(5), async { panic!("never reached") });
        let (signal, signalled) = tokio::sync::oneshot::channel::<()>();
        signal.send(()).unwrap();
        let farewell = list.run(async { signalled.await.unwrap() }).await;
        assert!(!farewell.is_clean());
        assert_eq!(farewell.skipped, ["close the door", "let nodes finish", "flush"]);
    }
}
