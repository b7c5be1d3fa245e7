//! Aliases and canaries (§1.10).

use std::collections::BTreeMap;

use stint_engine::control::aliases::{AliasCreate, AliasPatch, weight_millionths};
use stint_model::function::Alias as Pointer;
use stint_wire::fc::{Alias, AliasInput, AliasList};

use crate::answer::{Answer, no_content, ok};
use crate::call::{Call, rfc3339};
use crate::error::Problem;

fn view(alias: &Pointer) -> Alias {
    let weight = |share: u32| f64::from(share) / 1e6;
    Alias {
        alias_name: alias.name.clone(),
        version_id: alias.version.to_string(),
        additional_version_weight: alias
            .canary
            .iter()
            .map(|(version, share)| (version.to_string(), weight(*share)))
            .collect(),
        description: alias.description.clone(),
        created_time: rfc3339(alias.created_at),
        last_modified_time: rfc3339(alias.modified_at),
    }
}

fn canary(
    weights: Option<BTreeMap<String, f64>>,
) -> Result<Option<BTreeMap<String, u32>>, Problem> {
    let Some(weights) = weights else { return Ok(None) };
    let mut canary = BTreeMap::new();
    for (version, weight) in weights {
        canary.insert(version, weight_millionths(weight)?);
    }
    Ok(Some(canary))
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: AliasInput = call.json()?;
    let required = |name: &str| Problem::invalid(format!("{name} is required"));
    let create = AliasCreate {
        name: input.alias_name.ok_or_else(|| required("aliasName"))?,
        version_id: input.version_id.ok_or_else(|| required("versionId"))?,
        canary: canary(input.additional_version_weight)?.unwrap_or_default(),
        description: input.description.unwrap_or_default(),
    };
    ok(&view(&*call.engine().alias_create(&call.caller, call.param(0), &create).await?))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    ok(&view(&*call.engine().alias_get(&call.caller, call.param(0), call.param(1)).await?))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let input: AliasInput = call.json_or_default()?;
    let patch = AliasPatch {
        version_id: input.version_id,
        canary: canary(input.additional_version_weight)?,
        description: input.description,
    };
    let (function, alias) = (call.param(0), call.param(1));
    ok(&view(&*call.engine().alias_update(&call.caller, function, alias, &patch).await?))
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let listing = call.listing()?;
    let page = call.engine().alias_list(&call.caller, call.param(0), &listing).await?;
    let aliases = page.items.iter().map(|alias| view(alias)).collect();
    ok(&AliasList { aliases, next_token: page.next })
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().alias_delete(&call.caller, call.param(0), call.param(1)).await?;
    no_content()
}
