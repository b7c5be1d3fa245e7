//! Tags and resource groups (§1.22).

use stint_engine::control::tags::{TagQuery, TagsGone};
use stint_wire::fc::{
    ResourceGroupChanged, ResourceGroupInput, Tag, TagResource, TagResourceList, TagResourcesInput,
};

use super::functions::labels;
use crate::answer::{Answer, empty, ok};
use crate::arn;
use crate::call::Call;
use crate::error::Problem;

pub(crate) async fn put(call: Call) -> Result<Answer, Problem> {
    let input: TagResourcesInput = call.json()?;
    let tags = labels(Some(input.tag))?;
    call.engine().tags_put(&call.caller, &input.resource_type, &input.resource_id, &tags).await?;
    Ok(empty(http::StatusCode::OK))
}

pub(crate) async fn remove(call: Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let gone =
        if query.flag("All")? { TagsGone::All } else { TagsGone::Keys(query.texts("TagKey")?) };
    let resources = query.texts("ResourceId")?;
    let kind = query.get("ResourceType").unwrap_or("");
    call.engine().tags_remove(&call.caller, kind, &resources, &gone).await?;
    Ok(empty(http::StatusCode::OK))
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let kind = query.get("ResourceType").unwrap_or("");
    let tags: Vec<Tag> = query.json("Tag")?.unwrap_or_default();
    let asked = TagQuery {
        resource_type: kind.to_owned(),
        resources: query.texts("ResourceId")?,
        tags: tags
            .into_iter()
            .map(|tag| (tag.key, Some(tag.value).filter(|v| !v.is_empty())))
            .collect(),
        listing: call.listing()?,
    };
    let page = call.engine().tags_list(&call.caller, &asked).await?;
    let region = &call.engine().config().region;
    let tag_resources = page
        .items
        .into_iter()
        .map(|row| TagResource {
            resource_id: arn::function(region, call.caller.account, &row.function, ""),
            resource_type: kind.to_owned(),
            tag_key: row.key,
            tag_value: row.value,
        })
        .collect();
    let request_id = call.request_id.to_string();
    ok(&TagResourceList { tag_resources, next_token: page.next, request_id })
}

pub(crate) async fn change_group(call: Call) -> Result<Answer, Problem> {
    let input: ResourceGroupInput = call.json()?;
    let (resource, group) = (&input.resource_id, &input.new_resource_group_id);
    let before = call.engine().resource_group_change(&call.caller, resource, group).await?;
    ok(&ResourceGroupChanged {
        resource_id: input.resource_id,
        old_resource_group_id: before,
        new_resource_group_id: input.new_resource_group_id,
    })
}
