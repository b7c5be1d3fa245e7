//! One trigger's source from its opening to its end: read, decide, commit the tasks with the cursor, settle;
//! wait while the backlog is full, back off when it fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use stint_connect::source::Origin;
use stint_connect::{
    Class, Cursor, Delivery, Event, Host, Parcel, Reading, Room, Secret, SecretRef, Source,
    SourceError, Start,
};
use stint_model::access::{Caller, Role, Scope};
use stint_model::code::{Code, Refusal};
use stint_model::id::TaskUid;
use stint_model::limit::Priority;
use stint_model::shard::Shard;
use stint_model::task::Order;
use stint_model::time::{Span, Timestamp};
use stint_model::trigger::{Trigger, TriggerCursor};
use stint_store::record::trigger as stored;
use stint_store::{CommitError, Key};
use stint_supervise::{Clock, Stop, Supervisor};

use super::TriggerConfig;
use super::board::TriggerState;
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::{Ask, Fire, Fired, Input};
use crate::submit::{Door, FunctionRef, Submit, TaskOptions};

/// After a failure the source is opened again after this long, twice as long each time …
const PAUSE_FIRST: Span = Span::from_millis(500);
/// … up to this.
const PAUSE_MAX: Span = Span::from_secs(60);
/// A source without events gives an empty reading this often.
const IDLE_MAX: Span = Span::from_secs(30);
/// How often a source that is held looks again.
const HELD_LOOK: Span = Span::from_millis(250);
/// Events of one reading when each makes a task.
const READING_MAX: usize = 256;
/// The parts of names that a task id holds.
const NAME_CHARS_MAX: usize = 60;
/// The longest text in a tag.
const TAG_BYTES_MAX: usize = 256;

/// Why a source's turn ended.
enum Failure {
    Source(SourceError),
    Engine(EngineError),
    /// The configuration does not read.
    Config(Refusal),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Self::Source(error) => format!("failed to {error}"),
            Self::Engine(error) => stint_supervise::chain(error),
            Self::Config(refusal) => refusal.message.clone(),
        }
    }

    fn is_final(&self) -> bool {
        match self {
            Self::Source(error) => error.class() == Class::Permanent,
            Self::Engine(_) => false,
            Self::Config(_) => true,
        }
    }
}

/// Runs a trigger until it is asked to stop.
pub(crate) async fn run(engine: Engine, trigger: Arc<Trigger>, stop: Stop) {
    let mut pause = PAUSE_FIRST;
    loop {
        let began = engine.clock().now();
        // Dropped wherever it stands: what was not committed is delivered to the successor.
        let Some(ended) = stop.until(serve(&engine, &trigger)).await else { return };
        let Err(failure) = ended else { continue };
        let now = engine.clock().now();
        if matches!(failure, Failure::Engine(EngineError::Commit(CommitError::Stale(_)))) {
            // Somebody else moved the cursor: it is read again.
            continue;
        }
        let why = failure.text();
        let board = &engine.triggers().board;
        tracing::warn!(trigger = trigger.name, function = %trigger.function_name, why, "a trigger's source failed");
        metrics::counter!("stint_trigger_failures_total").increment(1);
        board.failed(&trigger.id, why, now);
        if failure.is_final() {
            board.is(&trigger.id, TriggerState::Failed, now);
            return stop.stopped().await;
        }
        if now.since(began) > PAUSE_MAX {
            pause = PAUSE_FIRST;
        }
        // No two sources that lost one broker come back at the same moment.
        let spread = u64::try_from(engine.random_u128() % 1_000).unwrap_or(0);
        let wait = Span::from_micros(pause.micros() / 2 + pause.micros() / 2_000 * spread);
        board.is(&trigger.id, TriggerState::BackingOff(now + wait), now);
        let waited = async {
            tokio::select! {
                // A sleep loses nothing.
                () = engine.clock().sleep(wait) => {}
                // What is not heard here is made up for by the sleep.
                () = engine.triggers().secrets.notified() => {}
            }
        };
        if stop.until(waited).await.is_none() {
            return;
        }
        pause = pause.times(2).min(PAUSE_MAX);
    }
}

/// What a source sees of the house.
#[derive(Debug)]
struct House {
    engine: Engine,
    trigger: Arc<Trigger>,
    group: Supervisor,
}

impl Drop for House {
    fn drop(&mut self) {
        self.group.stop().request();
    }
}

#[async_trait]
impl Host for House {
    fn clock(&self) -> &Clock {
        self.engine.clock()
    }

    fn supervisor(&self) -> &Supervisor {
        &self.group
    }

    async fn secret(&self, secret: &SecretRef) -> Result<Secret, SourceError> {
        let opened = self.engine.secret_open(self.trigger.account, &secret.name).await;
        let failed = |why: String| SourceError::Credentials { what: "read a secret", why };
        let text = opened.map_err(|error| failed(error.to_string()))?;
        Ok(Secret::new(text.expose()))
    }

    async fn may_reach(&self, host: &str, port: u16) -> Result<(), SourceError> {
        stint_connect::network::judge(host, port, self.engine.config().triggers_private).await
    }

    fn may_read(&self, directory: &Path) -> Result<(), SourceError> {
        let allowed = &self.engine.config().triggers_directories;
        if allowed.iter().any(|root| directory.starts_with(root)) {
            return Ok(());
        }
        Err(SourceError::Forbidden {
            to: directory.display().to_string(),
            why: "it is in none of the directories of the setting triggers.directories".to_owned(),
        })
    }
}

/// One life of a source.
async fn serve(engine: &Engine, trigger: &Arc<Trigger>) -> Result<(), Failure> {
    let config = TriggerConfig::read(&trigger.kind, &trigger.config).map_err(Failure::Config)?;
    let Some(mut source) = config.settings.source() else { return Ok(()) };
    engine.triggers().board.is(&trigger.id, TriggerState::Connecting, engine.clock().now());
    let (cursor, version) = engine.trigger_cursor(trigger).await?;
    let house = Arc::new(House {
        engine: engine.clone(),
        trigger: Arc::clone(trigger),
        group: engine.triggers().supervisor.group(),
    });
    // Whatever holds a clone of the house, the group ends with this life.
    let _ends = GroupEnd(house.group.clone());
    let mut life = Life { engine, trigger, config, cursor, version };
    let origin = Origin {
        account: trigger.account,
        function: trigger.function_name.to_string(),
        trigger: trigger.name.clone(),
    };
    let kept = life.cursor.cursor.clone();
    let start = Start { origin, cursor: kept.map(Cursor::new).transpose()?, since: trigger.since };
    source.open(house, start).await?;
    loop {
        life.wait_for_room().await?;
        life.is(TriggerState::Running);
        let reading = life.gather(source.as_mut()).await?;
        life.take(reading, source.as_mut()).await?;
    }
}

/// Ends a group of tasks when it goes.
pub(super) struct GroupEnd(pub(super) Supervisor);

impl Drop for GroupEnd {
    fn drop(&mut self) {
        self.0.stop().request();
    }
}

struct Life<'a> {
    engine: &'a Engine,
    trigger: &'a Arc<Trigger>,
    config: TriggerConfig,
    /// As it is in the book.
    cursor: TriggerCursor,
    version: u64,
}

impl Life<'_> {
    fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    fn is(&self, state: TriggerState) {
        self.engine.triggers().board.is(&self.trigger.id, state, self.now());
    }

    /// Returns when the function's backlog has room.
    async fn wait_for_room(&self) -> Result<(), EngineError> {
        let most = self.config.delivery.backlog_max;
        loop {
            let waiting = self.engine.waiting_of(self.trigger).await?;
            if waiting < most {
                return Ok(());
            }
            let why = format!("{waiting} tasks wait in the backlog, the bound is {most}");
            self.is(TriggerState::Held(why));
            self.engine.clock().sleep(HELD_LOOK).await;
        }
    }

    /// The events of one commit: what is there, or what comes in the window.
    async fn gather(&self, source: &mut dyn Source) -> Result<Reading, SourceError> {
        let delivery = &self.config.delivery;
        let target = delivery.batch_count;
        let events_max = if target == 1 { READING_MAX } else { target };
        let bytes_max = stint_connect::delivery::BATCH_BYTES_MAX;
        let room = Room { events_max, bytes_max, wait_max: IDLE_MAX };
        let mut reading = source.read(room).await?;
        if reading.events.is_empty() || delivery.batch_window == Span::ZERO || target == 1 {
            return Ok(reading);
        }
        let until = self.now() + delivery.batch_window;
        loop {
            let bytes = stint_connect::delivery::size(&reading.events);
            let wait_max = until.since(self.now());
            let left = target.saturating_sub(reading.events.len());
            if left == 0 || bytes >= bytes_max || wait_max == Span::ZERO {
                return Ok(reading);
            }
            let room = Room { events_max: left, bytes_max: bytes_max - bytes, wait_max };
            let more = source.read(room).await?;
            reading.events.extend(more.events);
            reading.cursor = more.cursor.or(reading.cursor);
            reading.receipt = more.receipt;
        }
    }

    /// Makes tasks of a reading, and tells the source.
    async fn take(&mut self, reading: Reading, source: &mut dyn Source) -> Result<(), Failure> {
        let Reading { events, cursor, receipt } = reading;
        let lag = source.lag();
        let moved = cursor.as_ref().map(Cursor::as_str);
        if events.is_empty()
            && moved.is_none_or(|moved| Some(moved) == self.cursor.cursor.as_deref())
        {
            self.engine.triggers().board.took(&self.trigger.id, (0, lag), self.now());
            return Ok(());
        }
        let count = events.len() as u64;
        let fired = self.fire(&events, moved).await?;
        self.engine.triggers().board.took(&self.trigger.id, (count, lag), self.now());
        metrics::counter!("stint_trigger_events_total").increment(count);
        source.settle(receipt).await?;
        if self.config.delivery.wait {
            self.wait_for(fired.tasks.iter().flatten()).await?;
        }
        Ok(())
    }

    /// One commit. What the engine cannot take now is tried again, with the source at rest.
    async fn fire(&mut self, events: &[Event], moved: Option<&str>) -> Result<Fired, Failure> {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.fire_once(events, moved).await {
                Ok(fired) => {
                    (self.cursor, self.version) = (fired.cursor.clone(), fired.version);
                    return Ok(fired);
                }
                Err(EngineError::Refused(refusal)) => {
                    self.is(TriggerState::Held(refusal.message));
                    self.engine.clock().sleep(pause).await;
                    pause = pause.times(2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn fire_once(&self, events: &[Event], moved: Option<&str>) -> Result<Fired, EngineError> {
        let (engine, trigger) = (self.engine, self.trigger);
        let mut next = self.cursor.clone();
        next.events += events.len() as u64;
        next.last_at = self.now();
        if let Some(moved) = moved {
            next.cursor = Some(moved.to_owned());
        }
        let parcels = if self.passes_over().await? {
            Vec::new()
        } else {
            let shape = self.config.settings.shape();
            let made = || format!("{:032x}", engine.random_u128());
            self.config.delivery.pack(shape, events, made)
        };
        next.passed += parcels.iter().map(|parcel| parcel.events as u64).sum::<u64>();
        let door = engine.trigger_door(trigger)?;
        let mut orders = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            let held = parcel.events as u64;
            match order_of(engine, (trigger, &self.config.delivery), &door, parcel).await {
                Ok(order) => orders.push(order),
                Err(EngineError::Refused(refusal)) if is_of_the_event(refusal.code) => {
                    next.refused += held;
                    let why = format!("an event was left out: {}", refusal.message);
                    engine.triggers().board.failed(&trigger.id, why, self.now());
                    metrics::counter!("stint_trigger_refused_total").increment(held);
                }
                Err(error) => return Err(error),
            }
        }
        let key = cursor_key(trigger);
        let fire = Box::new(Fire { key, version: self.version, cursor: next, orders });
        engine.ask_shard(door.shard, |reply| Input::Fire { fire, reply }).await
    }

    /// Whether these events are passed over because an earlier one's task is not done.
    async fn passes_over(&self) -> Result<bool, EngineError> {
        let Some(last) = self.cursor.last_task.filter(|_| self.config.settings.skips_overlap())
        else {
            return Ok(false);
        };
        let found = self.engine.store().task_get(&[last]).await?.pop().flatten();
        Ok(found.is_some_and(|task| !task.state().is_terminal()))
    }

    /// Returns when these tasks have ended.
    async fn wait_for(&self, tasks: impl Iterator<Item = &TaskUid>) -> Result<(), EngineError> {
        for uid in tasks {
            let uid = *uid;
            self.engine.ask_shard(uid.shard(), |reply| Input::Wait { task: uid, reply }).await?;
        }
        Ok(())
    }
}

/// What one parcel asks for.
pub(super) async fn order_of(
    engine: &Engine,
    (trigger, delivery): (&Trigger, &Delivery),
    door: &Door,
    parcel: Parcel,
) -> Result<Order, EngineError> {
    let mut tags = BTreeMap::from([("trigger".to_owned(), trigger.name.clone())]);
    if let Some(id) = parcel.id.as_deref().filter(|_| parcel.events == 1) {
        let short = id.split_once('\n').map_or(id, |(_, id)| id);
        tags.insert("event".to_owned(), cut(short, TAG_BYTES_MAX));
    }
    let options = TaskOptions {
        task_id: parcel.id.as_deref().map(|id| task_id(trigger, id)),
        order_key: parcel.order_key,
        priority: delivery.priority.and_then(Priority::new),
        retries_max: delivery.retries,
        backoff_base: delivery.backoff,
        backoff_cap: delivery.backoff_max,
        tags,
        ..TaskOptions::default()
    };
    let uid = engine.mint_task(door.shard);
    let submit = Submit { payload: parcel.payload, options };
    let mut order = engine.order(door, (uid, Vec::new()), submit).await?;
    if let Some(arn) = &delivery.dead_letter {
        order.on_failure.clone_from(arn);
    }
    Ok(order)
}

/// A refusal that would come again for the same event and says nothing of others.
fn is_of_the_event(code: Code) -> bool {
    matches!(code, Code::EntityTooLarge | Code::PayloadSchemaMismatch | Code::InvalidArgument)
}

fn cursor_key(trigger: &Trigger) -> Key {
    stored::cursor_key(trigger.account, &trigger.function_name, &trigger.name)
}

/// At most so many bytes of a text.
fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The id of the task of an event: the same event, the same id; the trigger's own id is in it, so that one
/// made again under the name takes its events anew.
pub(super) fn task_id(trigger: &Trigger, event: &str) -> String {
    let mut hash = Sha256::new();
    for part in [trigger.id.as_bytes(), b"\n", event.as_bytes()] {
        hash.update(part);
    }
    let name = cut(&trigger.name, NAME_CHARS_MAX);
    format!("{name}-{}", hex::encode(&hash.finalize()[..16]))
}

/// A trigger acts as an invoker of its function.
pub(super) fn caller(trigger: &Trigger) -> Caller {
    let functions: Arc<[String]> = Arc::from([trigger.function_name.to_string()]);
    Caller {
        account: trigger.account,
        role: Role::Invoker,
        scope: Scope { functions },
        key_id: format!("trigger:{}", trigger.name).into(),
        request_id: None,
    }
}

impl Engine {
    pub(super) fn trigger_door(&self, trigger: &Trigger) -> Result<Door, EngineError> {
        let function = FunctionRef {
            name: trigger.function_name.to_string(),
            qualifier: trigger.qualifier.clone(),
        };
        self.door(&caller(trigger), Operation::Submit, &function)
    }

    /// How far a trigger is and the version of the record that says so; the start when it never fired.
    pub(crate) async fn trigger_cursor(
        &self,
        trigger: &Trigger,
    ) -> Result<(TriggerCursor, u64), EngineError> {
        let new = || TriggerCursor { trigger: trigger.id.clone(), ..TriggerCursor::default() };
        let Some(record) = self.store().record_get(&cursor_key(trigger)).await? else {
            return Ok((new(), 0));
        };
        let cursor = stored::decode_cursor(&record.body)?;
        let cursor = if cursor.trigger == trigger.id { cursor } else { new() };
        Ok((cursor, record.version))
    }

    pub(super) async fn waiting_of(&self, trigger: &Trigger) -> Result<u64, EngineError> {
        let wanted = Some(vec![trigger.function]);
        let shard = Shard::of_function(trigger.account, &trigger.function_name, self.shards());
        let ask = |reply| Input::Ask(Ask::Backlogs(wanted, reply));
        let found = self.ask_shard(shard, ask).await?;
        Ok(found.first().map_or(0, |report| report.view.waiting))
    }
}
