//! Functions (§1.7): create, change, read, list, delete, and the invocation switch.

mod said;
mod view;

use stint_engine::control::functions::{FunctionCreate, FunctionQuery, FunctionUpdate};
use stint_wire::fc::{
    DisableInvocationInput, FunctionInput, FunctionList, InvocationSwitched, Tag,
};

use crate::answer::{Answer, no_content, ok};
use crate::call::Call;
use crate::error::Problem;
use crate::fc::code;

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let mut input: FunctionInput = call.json()?;
    let create = FunctionCreate {
        name: input
            .function_name
            .take()
            .ok_or_else(|| Problem::invalid("functionName is required"))?,
        code: code::said(input.code.take())?,
        tags: labels(input.tags.take())?,
        resource_group: input.resource_group_id.take().unwrap_or_default(),
        config: said::patch(input)?,
    };
    let made = call.engine().function_create(&call.caller, create).await?;
    ok(&view::function(&call, &made))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let mut input: FunctionInput = call.json_or_default()?;
    let update =
        FunctionUpdate { code: code::said(input.code.take())?, config: said::patch(input)? };
    let changed = call.engine().function_update(&call.caller, call.param(0), update).await?;
    ok(&view::function(&call, &changed))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let qualifier = call.query.get("qualifier");
    let found = call.engine().function_get(&call.caller, call.param(0), qualifier).await?;
    ok(&view::function(&call, &found))
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let text = |name: &str| query.get(name).map(str::to_owned);
    if let Some(version) = query.get("fcVersion").filter(|version| *version != "v3") {
        // There are no functions of the older kind here; anything else is a mistake.
        return match version {
            "v2" => ok(&FunctionList::default()),
            other => Err(Problem::invalid(format!("fcVersion is v2 or v3, not {other:?}"))),
        };
    }
    let tags: Vec<Tag> = query.json("tags")?.unwrap_or_default();
    let asked = FunctionQuery {
        listing: call.listing()?,
        tags: tags
            .into_iter()
            .map(|tag| (tag.key, Some(tag.value).filter(|v| !v.is_empty())))
            .collect(),
        runtime: text("runtime"),
        name_contains: text("functionName"),
        description_contains: text("description"),
        resource_group: text("resourceGroupId"),
    };
    let page = call.engine().function_list(&call.caller, &asked).await?;
    let functions = page.items.iter().map(|found| view::function(&call, found)).collect();
    ok(&FunctionList { functions, next_token: page.next })
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().function_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(crate) async fn disable(call: Call) -> Result<Answer, Problem> {
    let input: DisableInvocationInput = call.json_or_default()?;
    let reason = input.reason.unwrap_or_default();
    let (engine, name) = (call.engine(), call.param(0));
    if input.abort_ongoing_request == Some(true) {
        engine.invocation_disable_now(&call.caller, name, &reason).await?;
    } else {
        engine.invocation_disable(&call.caller, name, &reason).await?;
    }
    ok(&InvocationSwitched { success: true })
}

pub(crate) async fn enable(call: Call) -> Result<Answer, Problem> {
    call.engine().invocation_enable(&call.caller, call.param(0)).await?;
    ok(&InvocationSwitched { success: true })
}

/// Tags as labels; the same key twice is a mistake.
pub(crate) fn labels(
    tags: Option<Vec<Tag>>,
) -> Result<std::collections::BTreeMap<String, String>, Problem> {
    let mut labels = std::collections::BTreeMap::new();
    for tag in tags.unwrap_or_default() {
        if labels.insert(tag.key.clone(), tag.value).is_some() {
            return Err(Problem::invalid(format!("tag '{}' is given twice", tag.key)));
        }
    }
    Ok(labels)
}
