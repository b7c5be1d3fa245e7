//! What object storage cleans up by itself: uploads nobody completes, events past their time, and blobs
//! that no record names, which a crash between writing and committing leaves behind. Idempotent.

use std::collections::{BTreeMap, BTreeSet};

use stint_model::id::AccountId;
use stint_model::object::asked::UploadRef;
use stint_model::object::{BLOB_AREA, Run};
use stint_model::time::{Span, Timestamp};
use stint_store::record::object::{self as stored, UploadRecord};
use stint_store::{Kind, StoreError};
use stint_supervise::Stop;

use crate::engine::Engine;
use crate::error::EngineError;

/// Records and blobs of one step.
const STEP: usize = 1_000;
/// An upload that nobody completes goes after this.
const UPLOAD_LIFE: Span = Span::from_secs(7 * 86_400);
/// All records are read to find what none names: not more often than this.
const RUNS_PERIOD: Span = Span::from_secs(86_400);
/// Between two steps, so that the path keeps its disk.
const STEP_PAUSE: Span = Span::from_millis(20);

impl Engine {
    /// The pass. Blobs written before `old` that nothing names go; what is younger may be on its way
    /// into a commit.
    pub(crate) async fn objects_sweep(
        &self,
        old: Timestamp,
        stop: &Stop,
    ) -> Result<(), EngineError> {
        self.objects_tidy().await;
        let now = self.clock().now();
        self.object_events_sweep(now - self.config().object_event_retention).await?;
        self.uploads_sweep(now - UPLOAD_LIFE).await?;
        let due = self.objects().state().swept_at.is_none_or(|at| now.since(at) >= RUNS_PERIOD);
        if due {
            let swept = self.runs_sweep(old, stop).await?;
            metrics::counter!("stint_blobs_swept_total").increment(swept);
            self.objects().state().swept_at = Some(now);
        }
        Ok(())
    }

    async fn uploads_sweep(&self, old: Timestamp) -> Result<(), EngineError> {
        for record in self.records(Kind::Upload, "").await? {
            let UploadRecord::Upload(upload) = stored::decode_upload(&record.body)? else {
                continue;
            };
            if upload.created_at < old {
                let at = UploadRef { bucket: &upload.bucket, key: &upload.key, id: &upload.id };
                self.upload_forget(upload.account, at).await?;
            }
        }
        Ok(())
    }

    /// Blobs that are old enough are looked for first: mostly there are none of what nothing names, and
    /// records are read only for those.
    async fn runs_sweep(&self, old: Timestamp, stop: &Stop) -> Result<u64, EngineError> {
        let writing = self.objects().state().writing.clone();
        let mut named = None;
        let (mut swept, mut after) = (0, None::<String>);
        while !stop.is_stopped() {
            let entries = self.blobs().list(BLOB_AREA, after.as_deref(), STEP).await?;
            let Some(last) = entries.last() else { break };
            after = Some(last.name.clone());
            for entry in entries.iter().filter(|entry| entry.modified_at < old) {
                let Some((account, run)) = Run::of_blob(&entry.name) else { continue };
                if named.is_none() {
                    named = Some(self.runs_named().await?);
                }
                let is_named = named.as_ref().is_some_and(|named| named.has(account, run));
                if !is_named && !writing.contains(&run) && !self.objects().is_read(run) {
                    self.blobs().delete(&entry.name).await?;
                    swept += 1;
                }
            }
            self.clock().sleep(STEP_PAUSE).await;
        }
        Ok(swept)
    }

    /// Every run a record names. Parts are read first: a part that becomes an object meanwhile is found
    /// there.
    async fn runs_named(&self) -> Result<Named, EngineError> {
        let mut named = Named::default();
        for kind in [Kind::Upload, Kind::Object] {
            let mut cursor: Option<String> = None;
            loop {
                let page = self.store().record_list(kind, "", cursor.as_deref(), STEP).await?;
                for record in &page.items {
                    named.add(kind, &record.body)?;
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(named)
    }
}

/// Runs by account: half of each id, which is enough never to meet by chance.
#[derive(Debug, Default)]
struct Named(BTreeMap<AccountId, BTreeSet<u64>>);

fn half(run: u128) -> u64 {
    u64::try_from(run >> 64).expect("the upper half")
}

impl Named {
    fn add(&mut self, kind: Kind, body: &[u8]) -> Result<(), StoreError> {
        if kind == Kind::Object {
            let object = stored::decode(body)?;
            let runs = self.0.entry(object.account).or_default();
            runs.extend(object.runs.iter().map(|run| half(run.id)));
        } else if let UploadRecord::Part(account, part) = stored::decode_upload(body)? {
            self.0.entry(account).or_default().insert(half(part.run.id));
        }
        Ok(())
    }

    fn has(&self, account: AccountId, run: u128) -> bool {
        self.0.get(&account).is_some_and(|runs| runs.contains(&half(run)))
    }
}

impl super::Objects {
    fn is_read(&self, run: u128) -> bool {
        self.state().reading.contains_key(&run)
    }
}
