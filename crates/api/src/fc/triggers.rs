//! Triggers (§1.11).

use stint_engine::{TriggerCreate, TriggerPatch, TriggerView};
use stint_wire::fc::{HttpTrigger, Trigger, TriggerInput, TriggerList};
use stint_wire::time::Time;

use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::Call;
use crate::error::Problem;

fn view(call: &Call, view: &TriggerView) -> Trigger {
    let trigger = &view.trigger;
    let region = &call.engine().config().region;
    let url = crate::http::url(call, trigger);
    Trigger {
        trigger_id: trigger.id.clone(),
        trigger_name: trigger.name.clone(),
        trigger_type: trigger.kind.clone(),
        trigger_config: trigger.config.clone(),
        qualifier: trigger.qualifier.clone(),
        source_arn: trigger.source_arn.clone(),
        target_arn: arn::function(
            region,
            trigger.account,
            &trigger.function_name,
            &trigger.qualifier,
        ),
        invocation_role: trigger.invocation_role.clone(),
        description: trigger.description.clone(),
        status: view.status.state.word().to_owned(),
        created_time: Time(trigger.created_at).to_string(),
        last_modified_time: Time(trigger.modified_at).to_string(),
        http_trigger: url.map(|url| HttpTrigger { url_internet: url.clone(), url_intranet: url }),
    }
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: TriggerInput = call.json()?;
    let create = TriggerCreate {
        name: input.trigger_name.unwrap_or_default(),
        kind: input.trigger_type.unwrap_or_default(),
        config: input.trigger_config.unwrap_or_default(),
        qualifier: input.qualifier.unwrap_or_default(),
        source_arn: input.source_arn.unwrap_or_default(),
        invocation_role: input.invocation_role.unwrap_or_default(),
        description: input.description.unwrap_or_default(),
    };
    let made = call.engine().trigger_create(&call.caller, call.param(0), &create).await?;
    ok(&view(&call, &made))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    let found = call.engine().trigger_get(&call.caller, function, name).await?;
    ok(&view(&call, &found))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let input: TriggerInput = call.json()?;
    let patch = TriggerPatch {
        config: input.trigger_config,
        qualifier: input.qualifier,
        invocation_role: input.invocation_role,
        description: input.description,
    };
    let (function, name) = (call.param(0), call.param(1));
    let changed = call.engine().trigger_update(&call.caller, function, name, &patch).await?;
    ok(&view(&call, &changed))
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let listing = call.listing()?;
    let page = call.engine().trigger_list(&call.caller, call.param(0), &listing).await?;
    let triggers = page.items.iter().map(|one| view(&call, one)).collect();
    ok(&TriggerList { triggers, next_token: page.next })
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    call.engine().trigger_delete(&call.caller, function, name).await?;
    no_content()
}
