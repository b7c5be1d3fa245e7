//! Labels of functions, and the resource group a function is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::function::{Function, check};
use stint_store::Page;

use super::{Deed, Listing, function_not_found};
use crate::access::Operation;
use crate::catalog::{FunctionEntry, NameSpan};
use crate::destination::FunctionArn;
use crate::engine::Engine;
use crate::error::EngineError;

/// Resources of one call.
const RESOURCES_MAX: usize = 50;

/// One label of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagRow {
    /// The function's name.
    pub function: Arc<str>,
    /// The label.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Which labels go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagsGone {
    /// These keys.
    Keys(Vec<String>),
    /// All of them.
    All,
}

/// Which labels are listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TagQuery {
    /// `function` in one of upstream's spellings.
    pub resource_type: String,
    /// ARNs or names; empty for all functions.
    pub resources: Vec<String>,
    /// Only functions that have all of these; an absent value is any.
    pub tags: Vec<(String, Option<String>)>,
    /// Limit and token.
    pub listing: Listing,
}

fn check_type(resource_type: &str) -> Result<(), Refusal> {
    let known = ["function", "ALIYUN::FC::FUNCTION"];
    if known.iter().any(|one| one.eq_ignore_ascii_case(resource_type)) {
        return Ok(());
    }
    let message = format!("ResourceType '{resource_type}' is not supported; use FUNCTION");
    Err(Refusal::invalid(message))
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{what} must name 1 to {max}, got {count}")))
}

/// The function that an ARN or a name means.
fn name_of(caller: &Caller, resource: &str) -> Result<String, EngineError> {
    match FunctionArn::parse(resource) {
        Some(arn) if arn.account == caller.account => Ok(arn.function),
        Some(_) => Err(function_not_found(resource)),
        None => {
            check::name_rule("ResourceId", resource)?;
            Ok(resource.to_owned())
        }
    }
}

fn with_tags(
    function: &Function,
    tags: &BTreeMap<String, String>,
) -> Result<Function, EngineError> {
    let mut all = function.tags.clone();
    all.extend(tags.clone());
    check::tags(&all)?;
    Ok(Function { tags: all, ..function.clone() })
}

impl Engine {
    /// Names of resources, each authorized and there.
    fn tagged(
        &self,
        caller: &Caller,
        operation: Operation,
        resources: &[String],
    ) -> Result<Vec<String>, EngineError> {
        let mut names = Vec::with_capacity(resources.len());
        for resource in resources {
            let name = name_of(caller, resource)?;
            self.authorize(caller, operation, Some(&name))?;
            self.function_entry(caller, &name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Puts labels on functions. All are checked before the first is changed.
    pub async fn tags_put(
        &self,
        caller: &Caller,
        resource_type: &str,
        resources: &[String],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        check_type(resource_type)?;
        check_count("ResourceId", resources.len(), RESOURCES_MAX)?;
        check_count("Tag", tags.len(), check::TAGS_MAX)?;
        let names = self.tagged(caller, Operation::TagsPut, resources)?;
        for name in &names {
            with_tags(&self.function_entry(caller, name)?.function, tags)?;
        }
        for name in &names {
            let deed = || Deed::on_function(Operation::TagsPut, name);
            self.function_change(caller, deed, name, |function| with_tags(function, tags)).await?;
        }
        Ok(())
    }

    /// Takes labels off functions.
    pub async fn tags_remove(
        &self,
        caller: &Caller,
        resource_type: &str,
        resources: &[String],
        gone: &TagsGone,
    ) -> Result<(), EngineError> {
        check_type(resource_type)?;
        check_count("ResourceId", resources.len(), RESOURCES_MAX)?;
        if let TagsGone::Keys(keys) = gone {
            check_count("TagKey", keys.len(), check::TAGS_MAX)?;
        }
        for name in self.tagged(caller, Operation::TagsRemove, resources)? {
            let deed = || Deed::on_function(Operation::TagsRemove, &name);
            self.function_change(caller, deed, &name, |function| {
                let mut tags = function.tags.clone();
                match gone {
                    TagsGone::All => tags.clear(),
                    TagsGone::Keys(keys) => tags.retain(|key, _| !keys.contains(key)),
                }
                Ok(Function { tags, ..function.clone() })
            })
            .await?;
        }
        Ok(())
    }

    /// Labels by function and key.
    pub async fn tags_list(
        &self,
        caller: &Caller,
        query: &TagQuery,
    ) -> Result<Page<TagRow>, EngineError> {
        check_type(&query.resource_type)?;
        let asked = query.listing.checked()?;
        let wants = |entry: &FunctionEntry| {
            query.tags.iter().all(|(key, value)| {
                let mine = entry.function.tags.get(key);
                mine.is_some_and(|mine| value.as_ref().is_none_or(|value| value == mine))
            })
        };
        let entries = if query.resources.is_empty() {
            self.authorize(caller, Operation::TagsList, None)?;
            let all = NameSpan { prefix: "", after: None, limit: usize::MAX };
            self.catalog().functions_of(caller.account, all, wants)
        } else {
            check_count("ResourceId", query.resources.len(), RESOURCES_MAX)?;
            let mut names = self.tagged(caller, Operation::TagsList, &query.resources)?;
            names.sort_unstable();
            let entries: Result<Vec<_>, _> =
                names.iter().map(|name| self.function_entry(caller, name)).collect();
            entries?.into_iter().filter(|entry| wants(entry)).collect()
        };
        let rows = entries.iter().flat_map(|entry| {
            entry.function.tags.iter().map(|(key, value)| TagRow {
                function: Arc::clone(&entry.function.name),
                key: key.clone(),
                value: value.clone(),
            })
        });
        Ok(asked.page_of(rows, |row| format!("{} {}", row.function, row.key)))
    }

    /// Moves a function to another resource group; gives the one it was in.
    pub async fn resource_group_change(
        &self,
        caller: &Caller,
        resource: &str,
        group: &str,
    ) -> Result<String, EngineError> {
        let name = name_of(caller, resource)?;
        self.authorize(caller, Operation::ResourceGroupChange, Some(&name))?;
        if group.chars().count() > 128 {
            return Err(Refusal::invalid("a resource group has at most 128 characters").into());
        }
        let old = self.function_entry(caller, &name)?.function.resource_group.clone();
        let deed = || Deed::on_function(Operation::ResourceGroupChange, &name).told(group);
        self.function_change(caller, deed, &name, |function| {
            Ok(Function { resource_group: group.to_owned(), ..function.clone() })
        })
        .await?;
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use stint_model::access::{Role, Scope};
    use stint_model::id::AccountId;

    use super::*;
    use crate::catalog::samples;

    #[test]
    fn upstreams_spellings_of_the_type() {
        for good in ["function", "FUNCTION", "ALIYUN::FC::FUNCTION"] {
            assert_eq!(check_type(good), Ok(()));
        }
        assert!(check_type("service").is_err());
    }

    #[test]
    fn a_resource_is_an_arn_or_a_name() {
        let caller = Caller {
            account: AccountId::ROOT,
            role: Role::Admin,
            scope: Scope::default(),
            key_id: "k".into(),
            request_id: None,
        };
        let arn = format!("acs:fc:local:{}:functions/f", AccountId::ROOT);
        assert_eq!(name_of(&caller, &arn).unwrap(), "f");
        assert_eq!(name_of(&caller, "f").unwrap(), "f");
        assert!(name_of(&caller, "acs:fc:local:1000000000000002:functions/f").is_err());
        assert!(name_of(&caller, "not a name").is_err());
    }

    #[test]
    fn labels_merge_up_to_twenty() {
        let tags = |from: u32, to: u32| -> BTreeMap<String, String> {
            (from..to).map(|n| (format!("k{n}"), "v".to_owned())).collect()
        };
        let function = samples::function(1, "f");
        let tagged = with_tags(&function, &tags(0, 15)).unwrap();
        assert_eq!(with_tags(&tagged, &tags(10, 20)).unwrap().tags.len(), 20);
        assert!(with_tags(&tagged, &tags(10, 21)).is_err());
    }

    #[test]
    fn counts_of_a_call() {
        assert!(check_count("ResourceId", 0, 50).is_err());
        assert_eq!(check_count("ResourceId", 50, 50), Ok(()));
        assert!(check_count("ResourceId", 51, 50).is_err());
    }
}
