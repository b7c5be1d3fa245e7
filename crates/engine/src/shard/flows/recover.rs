//! Opening a shard: of each open execution it learns when to wake it, and reads those that asked something
//! outside, to ask again.

use stint_flow::EventBody;
use stint_model::id::ExecutionUid;
use stint_store::OpenExecution;

use super::notes::Ask;
use super::{FlowAct, Shard};
use crate::shard::{Act, Reads};

impl Shard {
    /// A page of open executions as the book has them.
    pub(crate) fn recover_executions(&mut self, open: Vec<OpenExecution>) {
        for OpenExecution { uid, wake_at, asks } in open {
            self.flows.set_wake(uid, Some(wake_at));
            if asks {
                self.flows.wanted.insert(uid);
                self.flows.asking.insert(uid);
            }
        }
    }

    /// What an execution asked outside is asked again; an answer that comes twice changes nothing.
    pub(super) fn ask_again(&mut self, uid: ExecutionUid, reads: &mut Reads) {
        let Some(live) = self.flows.live.get(&uid) else { return };
        let account = live.head.account;
        for ask in live.notes.asks().to_vec() {
            match ask {
                Ask::Evaluate(evaluation) => {
                    let entropy = self.flows.entropy(&reads.seed);
                    let act = FlowAct::Evaluate { execution: uid, evaluation, entropy };
                    self.acts.push(Act::Flow(act));
                }
                Ask::Http { call, order } => {
                    self.acts.push(Act::Flow(FlowAct::Http { execution: uid, call, order }));
                }
                Ask::Work { activity, call } => {
                    self.work_again(account, &activity, (uid, call.id));
                    self.acts.push(Act::Flow(FlowAct::Work));
                }
                Ask::Map(call) => self.map_again((uid, call)),
                Ask::Go => {
                    if let Some(live) = self.flows.live.get_mut(&uid) {
                        live.notes.answered(|ask| *ask == Ask::Go);
                    }
                    self.happen(uid, EventBody::Continued, reads);
                }
            }
        }
    }
}
