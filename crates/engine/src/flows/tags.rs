//! Labels of flows: put and taken off by one verb. The shard decides whether the flow is still the one that was
//! read, so that two callers who change labels at the same time both get what they asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::flow::Flow;
use stint_model::function::check;
use stint_store::record::flow as stored;

use super::definitions::{deed, flow_missing};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FlowChange};
use crate::control::{Change, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

/// A change of labels; what it does not name stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlowTags {
    /// These are there afterwards, with these values.
    Put(BTreeMap<String, String>),
    /// None of these keys is there afterwards.
    Remove(Vec<String>),
}

impl FlowTags {
    fn apply(&self, tags: &mut BTreeMap<String, String>) {
        match self {
            Self::Put(more) => tags.extend(more.clone()),
            Self::Remove(keys) => tags.retain(|key, _| !keys.contains(key)),
        }
    }
}

impl Engine {
    /// Changes a flow's labels and gives them as they are then.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` and `LimitExceededError` for bad or too many labels.
    pub async fn flow_tags(
        &self,
        caller: &Caller,
        name: &str,
        tags: &FlowTags,
    ) -> Result<BTreeMap<String, String>, EngineError> {
        self.authorize(caller, Operation::FlowUpdate, Some(name))?;
        retrying!({
            self.flow_entry(caller.account, name)?;
            let key = stored::key(caller.account, name);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| flow_missing(name))?;
            let mut flow = Flow::clone(&*stored::decode(&record.body)?);
            tags.apply(&mut flow.tags);
            check::tags(&flow.tags)?;
            flow.modified_at = self.clock().now();
            let flow = Arc::new(flow);
            let mut change = Change::new(self.flow_home(caller.account, name));
            change.replace(expect_of(&record), stored::encode(&flow));
            change.shows(CatalogChange::Flow(FlowChange::Set(Arc::clone(&flow))));
            self.commit(caller, deed(Operation::FlowUpdate, name), change).await?;
            Ok(flow.tags.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_does_not_name_stays() {
        let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mut all = tags(&[("a", "1"), ("b", "2")]);
        FlowTags::Put(tags(&[("b", "3"), ("c", "4")])).apply(&mut all);
        assert_eq!(all, tags(&[("a", "1"), ("b", "3"), ("c", "4")]));
        FlowTags::Remove(vec!["a".into(), "none".into()]).apply(&mut all);
        assert_eq!(all, tags(&[("b", "3"), ("c", "4")]));
    }
}
