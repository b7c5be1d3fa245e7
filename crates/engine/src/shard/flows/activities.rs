//! Work for pollers: it waits in the document of its execution, and here by activity. A poller's take is an
//! event of the execution; the poller has the work once that is in the book.

use stint_flow::{Call, CallId, EventBody};
use stint_model::id::AccountId;

use super::integration::Wrong;
use super::live::Live;
use super::notes::{Ask, Target};
use super::{Activity, FlowAct, Followup, Shard};
use crate::flows::ActivityTask;
use crate::shard::{Act, Effect, Reads, Reply};

/// The name of an activity, however it is written.
pub(crate) fn activity_name(text: &str) -> &str {
    text.rsplit_once(":activity:").map_or(text, |(_, name)| name)
}

impl Shard {
    pub(super) fn offer_work(
        &mut self,
        live: &mut Live,
        name: String,
        call: Call,
    ) -> Result<(), Wrong> {
        let name = activity_name(&name).to_owned();
        let account = live.head.account;
        if self.catalog.activity(account, &name).is_none() {
            return Err(Wrong::new(
                "States.Runtime",
                format!("the activity '{name}' does not exist"),
            ));
        }
        let (uid, id) = (live.head.uid, call.id);
        live.notes.call(id, Target::Work { activity: name.clone(), is_taken: false });
        live.notes.ask(Ask::Work { activity: name.clone(), call: Box::new(call) });
        self.flows.work.entry((account, name)).or_default().push_back((uid, id));
        self.after_commit(Effect::Act(Act::Flow(FlowAct::Work)));
        Ok(())
    }

    pub(super) fn withdraw_work(&mut self, live: &Live, activity: &str, call: CallId) {
        let key = (live.head.account, activity.to_owned());
        if let Some(waiting) = self.flows.work.get_mut(&key) {
            waiting.retain(|known| *known != (live.head.uid, call));
            if waiting.is_empty() {
                self.flows.work.remove(&key);
            }
        }
    }

    /// The work that a take would give, so that its execution is read.
    pub(super) fn work_first(
        &self,
        activity: &Activity,
    ) -> Option<(stint_model::id::ExecutionUid, CallId)> {
        self.flows.work.get(activity)?.front().copied()
    }

    pub(super) fn work_waiting(&self, activity: &Activity) -> u64 {
        self.flows.work.get(activity).map_or(0, |waiting| waiting.len() as u64)
    }

    pub(super) fn take_work(
        &mut self,
        activity: &Activity,
        poller: Option<String>,
        reply: Reply<Option<ActivityTask>>,
        reads: &mut Reads,
    ) {
        if reply.is_closed() {
            // The poller is gone: the work waits for another.
            return;
        }
        while let Some((uid, call)) = self.work_first(activity) {
            if !self.hold(uid, reads) {
                // Another poller took what was read for this one: the next is read in the next turn.
                break;
            }
            if let Some(waiting) = self.flows.work.get_mut(activity) {
                waiting.pop_front();
                if waiting.is_empty() {
                    self.flows.work.remove(activity);
                }
            }
            let Some(task) = self.work_of(uid, call) else { continue };
            let body = EventBody::Taken { call, poller: poller.clone() };
            if let Some(live) = self.flows.live.get_mut(&uid) {
                live.notes.taken(call);
            }
            if let Some(stint_flow::Verdict::Applied { .. }) = self.happen(uid, body, reads) {
                return self.after_commit(Effect::Flow(Followup::Work(Some(task), reply)));
            }
        }
        self.after_commit(Effect::Flow(Followup::Work(None, reply)));
    }

    fn work_of(&self, uid: stint_model::id::ExecutionUid, call: CallId) -> Option<ActivityTask> {
        let live = self.flows.live.get(&uid)?;
        live.notes.asks().iter().find_map(|ask| match ask {
            Ask::Work { call: known, .. } if known.id == call => {
                let token = known.token.clone().unwrap_or_default();
                Some(ActivityTask { token, input: known.input.to_string() })
            }
            Ask::Work { .. } | Ask::Evaluate(_) | Ask::Http { .. } | Ask::Map(_) | Ask::Go => None,
        })
    }

    /// Work that an opened shard finds in a document.
    pub(super) fn work_again(
        &mut self,
        account: AccountId,
        activity: &str,
        work: (stint_model::id::ExecutionUid, CallId),
    ) {
        let waiting = self.flows.work.entry((account, activity.to_owned())).or_default();
        if !waiting.contains(&work) {
            waiting.push_back(work);
        }
    }
}
