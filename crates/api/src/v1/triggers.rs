//! Triggers with their status, and the secrets they name.

use stint_engine::secret::SecretText;
use stint_engine::{SecretView, TriggerCreate, TriggerPatch, TriggerState, TriggerView};
use stint_model::time::Timestamp;
use stint_wire::native::{Page, Secret, SecretPut, Trigger};
use stint_wire::time::Time;

use crate::answer::{Answer, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(call: &Call, view: &TriggerView) -> Trigger {
    let (trigger, status, cursor) = (&view.trigger, &view.status, &view.cursor);
    let held_by = match &status.state {
        TriggerState::Held(why) => Some(why.clone()),
        TriggerState::Paused
        | TriggerState::Disabled
        | TriggerState::Listening
        | TriggerState::Connecting
        | TriggerState::Running
        | TriggerState::BackingOff(_)
        | TriggerState::Failed => None,
    };
    let retry_at = match &status.state {
        TriggerState::BackingOff(at) => Some(Time(*at)),
        _ => None,
    };
    Trigger {
        function: trigger.function_name.to_string(),
        name: trigger.name.clone(),
        id: trigger.id.clone(),
        kind: trigger.kind.clone(),
        config: serde_json::from_str(&trigger.config).unwrap_or_default(),
        qualifier: trigger.qualifier.clone(),
        description: trigger.description.clone(),
        promise: view.promise.to_owned(),
        state: status.state.word().to_owned(),
        state_since: Time(status.since),
        held_by,
        retry_at,
        last_error: status.last_error.as_ref().map(|(_, why)| why.clone()),
        last_error_at: status.last_error.as_ref().map(|(at, _)| Time(*at)),
        lag: status.lag,
        events_last_minute: status.events_last_minute,
        events: cursor.events + status.posted.events,
        passed: cursor.passed + status.posted.passed,
        known: cursor.known + status.posted.known,
        refused: cursor.refused,
        tasks: cursor.tasks + status.posted.tasks,
        last_event_at: (cursor.last_at > Timestamp::ZERO).then_some(Time(cursor.last_at)),
        last_task: cursor.last_task.map(|uid| uid.to_string()),
        cursor: cursor.cursor.clone(),
        next: view.next.iter().copied().map(Time).collect(),
        url: crate::http::url(call, trigger),
        created_at: Time(trigger.created_at),
        modified_at: Time(trigger.modified_at),
    }
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let listing = call.native_listing()?;
    let page = match call.query.get("function") {
        Some(function) => call.engine().trigger_list(&call.caller, function, &listing).await?,
        None => call.engine().trigger_list_all(&call.caller, &listing).await?,
    };
    let items = page.items.iter().map(|one| view(&call, one)).collect();
    ok(&Page { items, next: page.next })
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: stint_wire::native::TriggerCreate = call.json()?;
    let create = TriggerCreate {
        name: input.name,
        kind: input.kind,
        config: input.config.to_string(),
        qualifier: input.qualifier.unwrap_or_default(),
        description: input.description.unwrap_or_default(),
        ..TriggerCreate::default()
    };
    let made = call.engine().trigger_create(&call.caller, &input.function, &create).await?;
    ok(&view(&call, &made))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    let found = call.engine().trigger_get(&call.caller, function, name).await?;
    ok(&view(&call, &found))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let input: stint_wire::native::TriggerPatch = call.json()?;
    let patch = TriggerPatch {
        config: input.config.map(|config| config.to_string()),
        qualifier: input.qualifier,
        description: input.description,
        invocation_role: None,
    };
    let (function, name) = (call.param(0), call.param(1));
    let changed = call.engine().trigger_update(&call.caller, function, name, &patch).await?;
    ok(&view(&call, &changed))
}

pub(crate) async fn pause(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    let paused = call.engine().trigger_pause(&call.caller, function, name).await?;
    ok(&view(&call, &paused))
}

pub(crate) async fn resume(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    let resumed = call.engine().trigger_resume(&call.caller, function, name).await?;
    ok(&view(&call, &resumed))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    let (function, name) = (call.param(0), call.param(1));
    call.engine().trigger_delete(&call.caller, function, name).await?;
    no_content()
}

fn secret_view(secret: &SecretView) -> Secret {
    Secret {
        name: secret.name.clone(),
        created_at: Time(secret.created_at),
        modified_at: Time(secret.modified_at),
    }
}

pub(crate) async fn secret_put(call: Call) -> Result<Answer, Problem> {
    let input: SecretPut = call.json()?;
    let text = SecretText::new(input.value);
    let kept = call.engine().secret_put(&call.caller, call.param(0), &text).await?;
    ok(&secret_view(&kept))
}

pub(crate) async fn secret_list(call: Call) -> Result<Answer, Problem> {
    let page = call.engine().secret_list(&call.caller, &call.native_listing()?).await?;
    ok(&Page { items: page.items.iter().map(secret_view).collect(), next: page.next })
}

pub(crate) async fn secret_delete(call: Call) -> Result<Answer, Problem> {
    call.engine().secret_delete(&call.caller, call.param(0)).await?;
    no_content()
}
