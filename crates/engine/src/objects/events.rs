//! What happened to objects, for whoever acts on it: read in order, by a cursor, and waited for. The
//! numbers are given by the committer, so that nobody who reads on finds an event before its cursor.

use stint_model::id::AccountId;
use stint_model::object::ObjectEvent;
use stint_model::shard::Shard;
use stint_model::time::Timestamp;
use stint_store::Kind;
use stint_store::record::object as stored;
use tokio::sync::watch;

use crate::control::{Change, expect_of};
use crate::engine::Engine;
use crate::error::EngineError;

/// Events of one step of the sweep.
const STEP: usize = 1_000;

impl Engine {
    /// Events of an account after the event with number `after` (`None`: from the oldest that is
    /// kept), oldest first, at most `limit`. An event is there as long as
    /// [`EngineConfig::object_event_retention`](crate::EngineConfig::object_event_retention) says. For
    /// the platform itself: nobody's rights are asked.
    pub async fn object_events(
        &self,
        account: AccountId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ObjectEvent>, EngineError> {
        let prefix = format!("{account}/");
        let cursor = after.map(|number| stored::event_key(account, number).name);
        let limit = limit.max(1);
        let page =
            self.store().record_list(Kind::ObjectEvent, &prefix, cursor.as_deref(), limit).await?;
        page.items.iter().map(|record| Ok(stored::decode_event(&record.body)?)).collect()
    }

    /// The number that an event committed from now on is above: where a new reader begins that wants
    /// nothing of the past.
    pub fn object_events_end(&self, account: AccountId) -> u64 {
        self.minted(self.account_home(account))
    }

    /// Changes whenever there are new events of any account: what a reader waits for.
    pub fn object_events_watch(&self) -> watch::Receiver<u64> {
        self.objects().told.subscribe()
    }

    /// Somebody may wait for it.
    pub(super) fn object_told(&self) {
        self.objects().told.send_modify(|count| *count += 1);
    }

    /// Forgets events from before `old`; says how many.
    pub(super) async fn object_events_sweep(&self, old: Timestamp) -> Result<usize, EngineError> {
        let mut swept = 0;
        for account in self.catalog().accounts() {
            let prefix = format!("{}/", account.id);
            loop {
                let page = self.store().record_list(Kind::ObjectEvent, &prefix, None, STEP).await?;
                let mut change = Change::new(self.account_home(account.id));
                let mut count = 0;
                for record in &page.items {
                    if stored::decode_event(&record.body)?.at < old {
                        change.delete(expect_of(record));
                        count += 1;
                    }
                }
                if count == 0 {
                    break;
                }
                self.commit_untold(change).await?;
                swept += count;
                if count < STEP {
                    break;
                }
            }
        }
        Ok(swept)
    }

    fn minted(&self, shard: Shard) -> u64 {
        self.mint_last(shard)
    }
}
