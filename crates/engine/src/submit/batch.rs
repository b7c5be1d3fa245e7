//! Many tasks of one function in one commit, which may wait for each other: an item names another by
//! the task id that one chose, before or after it in the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::id::TaskUid;
use stint_model::task::{Dependency, Order, When};

use super::{
    Accepted, BatchMode, DEPENDENCIES_MAX, Door, FunctionRef, Orders, Submit, TaskRef, of_item,
    spilled_of,
};
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::run::delete_blobs;
use crate::shard::Input;

/// The most tasks of one batch call.
const BATCH_MAX: usize = 10_000;
/// The most items named in the message about a circle.
const CIRCLE_SHOWN_MAX: usize = 8;

impl Engine {
    /// Accepts up to [`BATCH_MAX`] tasks of one function in one commit. An item that did not even
    /// read comes as its refusal.
    ///
    /// # Errors
    /// As [`Engine::submit`] for the whole batch in mode `AllOrNothing`; in mode `PerItem` only
    /// what concerns the function, the items have their own results. Items that wait for each other
    /// in a circle are refused, and what waits for a refused item is refused with it.
    pub async fn submit_batch(
        &self,
        caller: &Caller,
        function: &FunctionRef,
        items: Vec<Result<Submit, Refusal>>,
        mode: BatchMode,
    ) -> Result<Vec<Result<Accepted, Refusal>>, EngineError> {
        if items.is_empty() || items.len() > BATCH_MAX {
            let message =
                format!("a batch has 1 to {BATCH_MAX} tasks, this one has {}", items.len());
            return Err(Refusal::invalid(message).into());
        }
        let door = self.door(caller, Operation::SubmitBatch, function)?;
        let among = Among::of(&door, &items);
        let places = among.sequence();
        let mut orders = self.batch_orders((caller, &door), items, &among, mode).await?;
        let spilled: Vec<_> = orders.iter().map(spilled_of).collect();
        among.refuse_dependents(&mut orders, &places);
        let answered = self.batch_enter(&door, orders, places, mode).await;
        match &answered {
            Ok(accepted) => self.forget_refused(&spilled, accepted).await,
            Err(EngineError::Refused(_)) => {
                delete_blobs(self, spilled.into_iter().flatten().collect()).await;
            }
            // Nobody knows whether it was written: the sweep will.
            Err(_) => {}
        }
        answered
    }

    /// Hands the orders to the shard, in the sequence of `places` where there is one; the answers
    /// come in the order of the items.
    async fn batch_enter(
        &self,
        door: &Door,
        orders: Vec<Result<Order, Refusal>>,
        places: Vec<usize>,
        mode: BatchMode,
    ) -> Result<Vec<Result<Accepted, Refusal>>, EngineError> {
        if places.is_empty() {
            let orders = Orders { items: orders, places, mode };
            return self.ask_shard(door.shard, |reply| Input::Submit { orders, reply }).await;
        }
        let mut orders: Vec<Option<Result<Order, Refusal>>> =
            orders.into_iter().map(Some).collect();
        let items = places.iter().map(|place| orders[*place].take().expect("each place once"));
        let orders = Orders { items: items.collect(), places: places.clone(), mode };
        let results = self.ask_shard(door.shard, |reply| Input::Submit { orders, reply }).await?;
        let mut results: Vec<_> = places.into_iter().zip(results).collect();
        results.sort_by_key(|(place, _)| *place);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    /// Each item's order, or why not; in mode `AllOrNothing` the first refusal ends it.
    async fn batch_orders(
        &self,
        (caller, door): (&Caller, &Door),
        items: Vec<Result<Submit, Refusal>>,
        among: &Among,
        mode: BatchMode,
    ) -> Result<Vec<Result<Order, Refusal>>, EngineError> {
        let uids: Vec<TaskUid> = items.iter().map(|_| self.mint_task(door.shard)).collect();
        let mut known: HashMap<TaskRef, TaskUid> = HashMap::new();
        let mut orders = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let order = match (item, among.circle(index)) {
                (Err(refusal), _) | (Ok(_), Some(refusal)) => Err(refusal.into()),
                (Ok(item), None) => {
                    self.batch_order((caller, door), (item, index), among, (&uids, &mut known))
                        .await
                }
            };
            match order {
                Ok(order) => orders.push(Ok(order)),
                Err(EngineError::Refused(refusal)) if mode == BatchMode::PerItem => {
                    orders.push(Err(refusal));
                }
                Err(error) => {
                    let spilled = orders.iter().filter_map(spilled_of).collect();
                    delete_blobs(self, spilled).await;
                    return Err(of_item(index, error));
                }
            }
        }
        Ok(orders)
    }

    async fn batch_order(
        &self,
        (caller, door): (&Caller, &Door),
        (mut item, index): (Submit, usize),
        among: &Among,
        (uids, known): (&[TaskUid], &mut HashMap<TaskRef, TaskUid>),
    ) -> Result<Order, EngineError> {
        let wanted = std::mem::take(&mut item.options.depends_on);
        if wanted.len() > DEPENDENCIES_MAX {
            let message = format!("a task depends on at most {DEPENDENCIES_MAX} tasks");
            return Err(Refusal::invalid(message).into());
        }
        let mut after = Vec::with_capacity(wanted.len());
        for (task, when) in &wanted {
            let uid = if let Some(other) = among.index(task) {
                uids[other]
            } else if let Some(uid) = known.get(task) {
                *uid
            } else {
                let uid = self.dependency(caller, task).await?;
                known.insert(task.clone(), uid);
                uid
            };
            after.push(Dependency { task: uid, when: *when });
        }
        self.order(door, (uids[index], after), item).await
    }
}

/// Which items of a batch wait for which others of it.
#[derive(Debug, Default)]
struct Among {
    count: usize,
    function: String,
    /// Items by the id they chose, where somebody may want to know.
    by_id: HashMap<String, usize>,
    /// What each item waits for, where it waits for items at all.
    waits_for: BTreeMap<usize, Vec<usize>>,
    /// Items that wait for each other in a circle, or for one that does: nothing could start them.
    stuck: BTreeSet<usize>,
}

impl Among {
    fn of(door: &Door, items: &[Result<Submit, Refusal>]) -> Self {
        let mut among = Self {
            count: items.len(),
            function: door.entry.function.name.to_string(),
            ..Self::default()
        };
        let read = || {
            let read = items.iter().enumerate();
            read.filter_map(|(index, item)| Some((index, &item.as_ref().ok()?.options)))
        };
        if read().all(|(_, options)| options.depends_on.is_empty()) {
            return among;
        }
        for (index, options) in read() {
            if let Some(id) = &options.task_id {
                among.by_id.entry(id.clone()).or_insert(index);
            }
        }
        for (index, options) in read() {
            let others = |(task, _): &(TaskRef, When)| among.index(task);
            let others: Vec<usize> = options.depends_on.iter().filter_map(others).collect();
            if !others.is_empty() {
                among.waits_for.insert(index, others);
            }
        }
        let placed: BTreeSet<usize> = among.order().into_iter().collect();
        among.stuck = (0..among.count).filter(|index| !placed.contains(index)).collect();
        among
    }

    /// The item a reference means.
    fn index(&self, task: &TaskRef) -> Option<usize> {
        match task {
            TaskRef::Named { function, task_id } if *function == self.function => {
                self.by_id.get(task_id).copied()
            }
            TaskRef::Named { .. } | TaskRef::Uid(_) => None,
        }
    }

    /// The items so that each comes after what it waits for, else as they came; those that are
    /// stuck are left out.
    fn order(&self) -> Vec<usize> {
        let mut missing = vec![0_usize; self.count];
        let mut waited_by: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, others) in &self.waits_for {
            missing[*index] = others.len();
            for other in others {
                waited_by.entry(*other).or_default().push(*index);
            }
        }
        let free = (0..self.count).filter(|index| missing[*index] == 0);
        let mut ready: BTreeSet<usize> = free.collect();
        let mut order = Vec::with_capacity(self.count);
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for by in waited_by.get(&index).into_iter().flatten() {
                missing[*by] -= 1;
                if missing[*by] == 0 {
                    ready.insert(*by);
                }
            }
        }
        order
    }

    /// The places of the items in the order in which the shard must see them; empty when that is
    /// how they came.
    fn sequence(&self) -> Vec<usize> {
        if self.waits_for.is_empty() {
            return Vec::new();
        }
        let mut places = self.order();
        places.extend(&self.stuck);
        places
    }

    /// Why an item that is stuck can never start.
    fn circle(&self, index: usize) -> Option<Refusal> {
        if !self.stuck.contains(&index) {
            return None;
        }
        // Along what is stuck itself one comes back to the item, or into a circle behind it.
        let mut path = vec![index];
        loop {
            let last = path.last().expect("never empty");
            let next = self.waits_for[last].iter().find(|other| self.stuck.contains(other));
            let next = *next.expect("what is stuck waits for what is stuck");
            if next == index {
                path.push(index);
                let named = path.iter().take(CIRCLE_SHOWN_MAX).map(|item| format!("item {item}"));
                let mut text = named.collect::<Vec<_>>().join(" → ");
                if path.len() > CIRCLE_SHOWN_MAX {
                    text.push_str(" → …");
                }
                let message = format!("dependsOn goes in a circle, so none could start: {text}");
                return Some(Refusal::invalid(message));
            }
            if path.contains(&next) {
                return Some(Refusal::invalid(format!(
                    "it depends on item {}, which waits for itself in a circle",
                    path.get(1).copied().unwrap_or(next)
                )));
            }
            path.push(next);
        }
    }

    /// What waits for an item that the door refused is refused with it; `places` is the order.
    fn refuse_dependents(&self, orders: &mut [Result<Order, Refusal>], places: &[usize]) {
        for index in places {
            let Some(others) = self.waits_for.get(index) else { continue };
            if orders[*index].is_err() {
                continue;
            }
            let refused = others.iter().find_map(|other| {
                let refusal = orders[*other].as_ref().err()?;
                Some(format!("it depends on item {other}, which was refused: {}", refusal.message))
            });
            if let Some(message) = refused {
                orders[*index] = Err(Refusal::invalid(message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(count: usize, edges: &[(usize, usize)]) -> Among {
        let mut among = Among { count, ..Among::default() };
        for (index, other) in edges {
            among.waits_for.entry(*index).or_default().push(*other);
        }
        let placed: BTreeSet<usize> = among.order().into_iter().collect();
        among.stuck = (0..count).filter(|index| !placed.contains(index)).collect();
        among
    }

    #[test]
    fn what_waits_comes_after_what_it_waits_for() {
        let batch = among(5, &[(0, 3), (3, 4), (1, 0)]);
        assert_eq!(batch.sequence(), [2, 4, 3, 0, 1]);
        assert!((0..5).all(|index| batch.circle(index).is_none()));
        assert!(among(5, &[]).sequence().is_empty(), "nothing to reorder");
    }

    #[test]
    fn a_circle_is_told_and_so_is_what_waits_for_it() {
        let batch = among(5, &[(0, 1), (1, 2), (2, 0), (3, 1), (4, 4)]);
        let message = |index: usize| batch.circle(index).expect("stuck").message;
        assert!(message(0).contains("item 0 → item 1 → item 2 → item 0"), "{}", message(0));
        assert!(message(3).contains("depends on item 1"), "{}", message(3));
        assert!(message(4).contains("item 4 → item 4"), "{}", message(4));
        let mut places = batch.sequence();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3, 4], "each has its result");
    }

    #[test]
    fn the_same_dependency_twice_is_one_circle_less() {
        assert_eq!(among(2, &[(0, 1), (0, 1)]).sequence(), [1, 0]);
    }
}
