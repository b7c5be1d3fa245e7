//! Which sources run: an idempotent pass over the catalog, on a period and on a nudge. It takes no input from
//! the nudge, so a restart of the server is one more pass.

use std::collections::HashMap;
use std::sync::Arc;

use stint_model::time::Span;
use stint_model::trigger::Trigger;
use stint_supervise::{Stop, Supervised, Supervisor};

use super::TriggerConfig;
use super::board::TriggerState;
use super::serve::{self, GroupEnd};
use crate::engine::Engine;

/// How often it looks although nobody said anything.
const LOOK_EVERY: Span = Span::from_secs(30);
/// A source's task that crashed is started again after this long.
const CRASH_PAUSE: Span = Span::from_secs(1);

struct Running {
    trigger: Arc<Trigger>,
    handle: Supervised,
}

pub(crate) async fn run(engine: Engine, stop: Stop) {
    let mut running: HashMap<String, Running> = HashMap::new();
    // However this ends, the sources it started end too.
    let group = GroupEnd(engine.triggers().supervisor.group());
    loop {
        let nudged = engine.triggers().nudge.notified();
        pass(&engine, &group.0, &mut running).await;
        let waited = async {
            tokio::select! {
                // A nudge that is dropped here is made up for by the next pass.
                () = nudged => {}
                // A sleep loses nothing.
                () = engine.clock().sleep(LOOK_EVERY) => {}
            }
        };
        if stop.until(waited).await.is_none() {
            break;
        }
    }
}

/// Whether a source that was started for one still does for the other.
fn is_same(a: &Trigger, b: &Trigger) -> bool {
    (a.since, &a.config, &a.qualifier) == (b.since, &b.config, &b.qualifier)
}

async fn pass(engine: &Engine, group: &Supervisor, running: &mut HashMap<String, Running>) {
    let mut wanted: HashMap<String, Arc<Trigger>> = HashMap::new();
    let now = engine.clock().now();
    let mut known = std::collections::HashSet::new();
    for entry in engine.catalog().functions() {
        for trigger in entry.triggers.values() {
            known.insert(trigger.id.clone());
            match state(trigger) {
                None => drop(wanted.insert(trigger.id.clone(), Arc::clone(trigger))),
                Some(state) => engine.triggers().board.is(&trigger.id, state, now),
            }
        }
    }
    let over: Vec<String> = running
        .iter()
        .filter(|(id, one)| !wanted.get(*id).is_some_and(|next| is_same(next, &one.trigger)))
        .map(|(id, _)| id.clone())
        .collect();
    for id in over {
        let Some(one) = running.remove(&id) else { continue };
        one.handle.stop();
        // Its successor reads the cursor when the last commit is done.
        one.handle.ended().await;
    }
    engine.triggers().board.keep(|id| known.contains(id));
    for (id, trigger) in wanted {
        if !running.contains_key(&id) {
            let handle = start(engine, group, &trigger);
            running.insert(id, Running { trigger, handle });
        }
    }
}

/// Why no source runs; `None` when one does.
fn state(trigger: &Trigger) -> Option<TriggerState> {
    if trigger.is_paused {
        return Some(TriggerState::Paused);
    }
    // What an older server accepted and this one does not read is told by the source's own task.
    let config = TriggerConfig::read(&trigger.kind, &trigger.config).ok()?;
    if !config.settings.is_enabled() {
        return Some(TriggerState::Disabled);
    }
    config.settings.is_door().then_some(TriggerState::Listening)
}

fn start(engine: &Engine, group: &Supervisor, trigger: &Arc<Trigger>) -> Supervised {
    let name = format!("trigger/{}/{}/{}", trigger.account, trigger.function_name, trigger.name);
    let (engine, trigger) = (engine.clone(), Arc::clone(trigger));
    group.spawn_restarting(name, CRASH_PAUSE, move |stop| {
        serve::run(engine.clone(), Arc::clone(&trigger), stop)
    })
}
