//! What a [`TaskQuery`] means: the definition every backend's search is measured by.

use stint_model::id::TaskUid;
use stint_model::task::{Order, Task};

use crate::store::{StoreError, TaskQuery};

/// The most items of one page.
pub const LIMIT_MAX: usize = 10_000;

impl TaskQuery {
    /// Whether the task meets all conditions (`cursor` and `limit` are not conditions).
    pub fn matches(&self, task: &Task) -> bool {
        self.matches_order(task.order())
            && (self.states.is_empty() || self.states.contains(&task.state()))
            && self.error.as_deref().is_none_or(|word| {
                task.error().is_some_and(|error| error.kind == word || error.class == word)
            })
            && self.duration_min.is_none_or(|least| task.duration() >= least)
            && self.duration_max.is_none_or(|most| task.duration() <= most)
    }

    fn matches_order(&self, order: &Order) -> bool {
        self.account.is_none_or(|account| order.account == account)
            && (self.functions.is_empty() || self.functions.contains(&order.function))
            && self.qualifier.as_deref().is_none_or(|qualifier| *order.qualifier == *qualifier)
            && self.task_mode.is_none_or(|mode| order.task_mode == mode)
            && self.from.is_none_or(|from| order.submitted_at >= from)
            && self.until.is_none_or(|until| order.submitted_at < until)
            && self.tags.iter().all(|(key, value)| order.tags.get(key) == Some(value))
            && self.id_prefix.as_deref().is_none_or(|prefix| match &order.chosen_id {
                Some(id) => id.starts_with(prefix),
                None => order.uid.to_string().starts_with(prefix),
            })
    }

    /// How many items a page has.
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, LIMIT_MAX)
    }

    /// Where the page before ended.
    ///
    /// # Errors
    /// `BadCursor` when the token is not ours.
    pub fn resume(&self) -> Result<Option<TaskUid>, StoreError> {
        let parse = |token: &str| token.parse().map_err(|_| StoreError::BadCursor);
        self.cursor.as_deref().map(parse).transpose()
    }
}
