//! Objects come, are replaced and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::Refusal;
use stint_model::object::asked::ObjectOrder;
use stint_model::object::{Bucket, Object, ObjectDeed, Run};
use stint_store::record::object as stored;

use super::{ObjectStream, is_closing, no_key};
use crate::access::Operation;
use crate::control::{Change, Read, Tries, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

/// How often a record is decided again that others write at the same time: as many as may want the same
/// key, since the last of them wins and none is refused.
const TRIES: u32 = 256;
/// Objects of one deletion.
pub const DELETE_MAX: usize = 1_000;

/// Bytes that were written, for the record that names them.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) runs: Vec<Run>,
    pub(super) etag: String,
    pub(super) parts: u32,
}

impl Engine {
    /// Puts an object at once. Its record and the event are one commit, and the bytes are on disk before.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`, `EntityTooLarge`, `PreconditionFailed`, `QuotaExceeded`,
    /// `InsufficientStorage`.
    pub async fn object_put(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
        body: ObjectStream,
    ) -> Result<Object, EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        self.object_put_as(caller, order, body, ObjectDeed::Put).await
    }

    /// Copies an object's bytes; what the new one says about itself is the order's.
    ///
    /// # Errors
    /// As [`Engine::object_put`], and `NoSuchKey`.
    pub async fn object_copy(
        &self,
        caller: &Caller,
        (bucket, key): (&str, &str),
        order: &ObjectOrder,
    ) -> Result<Object, EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        let body = self.object_open(caller, bucket, key).await?.whole();
        self.object_put_as(caller, order, body, ObjectDeed::Copy).await
    }

    async fn object_put_as(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
        body: ObjectStream,
        deed: ObjectDeed,
    ) -> Result<Object, EngineError> {
        self.admitting()?;
        order.check()?;
        // Asked again in the commit; now, so that a refusal comes before the bytes.
        self.bucket_open_for(caller, &order.bucket).await?;
        let before = self.object_find(caller.account, &order.bucket, &order.key).await?;
        order.condition.check(before.as_ref().map(|read| &read.value))?;
        let written = self.object_write(caller.account, body).await;
        let mut written = match written {
            Ok(written) => written,
            Err(error) => {
                self.objects_tidy().await;
                return Err(error);
            }
        };
        let content = Content {
            runs: Vec::from_iter((written.run.bytes > 0).then_some(written.run)),
            etag: hex::encode(written.md5),
            parts: 0,
        };
        written.hand_over();
        let done = self.object_commit(caller, order, (&content, deed), |_| Ok(())).await;
        if let Err(error) = &done {
            written.take_back(error);
            drop(written);
            self.objects_tidy().await;
        }
        done
    }

    /// A bucket that takes objects.
    pub(super) async fn bucket_open_for(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Read<Bucket>, EngineError> {
        let read = self.bucket_read(caller.account, name).await?;
        if is_closing(&read.value, self.clock().now()) {
            return Err(super::buckets::busy(name).into());
        }
        Ok(read)
    }

    /// The bucket must be as it was read; a mark that somebody left who wanted to delete it goes.
    pub(super) fn bucket_stays(change: &mut Change, read: Read<Bucket>) {
        if read.value.closing_at.is_some() {
            let bucket = Bucket { closing_at: None, ..read.value };
            change.replace(read.expect, stored::encode_bucket(&bucket));
        } else {
            change.expects(read.expect);
        }
    }

    /// Names written bytes in a record, and tells of it. `also` adds to the commit.
    pub(super) async fn object_commit(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
        (content, deed): (&Content, ObjectDeed),
        also: impl Fn(&mut Change) -> Result<(), EngineError>,
    ) -> Result<Object, EngineError> {
        let account = caller.account;
        let (object, before) = retrying!(Tries::at_most(TRIES), {
            let bucket = self.bucket_open_for(caller, &order.bucket).await?;
            let before = self.object_find(account, &order.bucket, &order.key).await?;
            order.condition.check(before.as_ref().map(|read| &read.value))?;
            let object = Object {
                account,
                bucket: Arc::from(order.bucket.as_str()),
                key: order.key.clone(),
                bytes: content.runs.iter().map(|run| run.bytes).sum(),
                etag: content.etag.clone(),
                modified_at: self.clock().now(),
                headers: order.headers.clone(),
                runs: content.runs.clone(),
                parts: content.parts,
            };
            let mut change = Change::new(self.account_home(account));
            Self::bucket_stays(&mut change, bucket);
            let body = stored::encode(&object);
            let before = match before {
                Some(read) => {
                    change.replace(read.expect, body);
                    read.value.runs
                }
                None => {
                    change.create(stored::key(account, &order.bucket, &order.key), body);
                    Vec::new()
                }
            };
            also(&mut change)?;
            change.tells(self.object_event(caller, &object, deed));
            self.commit_untold(change).await?;
            Ok((object, before))
        })?;
        self.object_told();
        self.objects_free(account, &before).await;
        Ok(object)
    }

    /// Deletes an object; false when there was none.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn object_delete(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<bool, EngineError> {
        self.authorize(caller, Operation::ObjectDelete, None)?;
        let keys = [key.to_owned()];
        Ok(self.objects_delete_as(caller, bucket, &keys, ObjectDeed::Delete).await? > 0)
    }

    /// Deletes up to [`DELETE_MAX`] objects in one commit; says how many there were.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument` for too many.
    pub async fn objects_delete(
        &self,
        caller: &Caller,
        bucket: &str,
        keys: &[String],
    ) -> Result<usize, EngineError> {
        self.authorize(caller, Operation::ObjectDelete, None)?;
        if keys.len() > DELETE_MAX {
            let message = format!("{DELETE_MAX} objects are the most that are deleted at once");
            return Err(Refusal::invalid(message).into());
        }
        self.objects_delete_as(caller, bucket, keys, ObjectDeed::DeleteMany).await
    }

    async fn objects_delete_as(
        &self,
        caller: &Caller,
        bucket: &str,
        keys: &[String],
        deed: ObjectDeed,
    ) -> Result<usize, EngineError> {
        let account = caller.account;
        let keys: BTreeSet<&String> = keys.iter().collect();
        let gone = retrying!(Tries::at_most(TRIES), {
            self.bucket_read(account, bucket).await?;
            let mut change = Change::new(self.account_home(account));
            let mut gone = Vec::new();
            for key in &keys {
                let Some(read) = self.object_find(account, bucket, key).await? else { continue };
                change.delete(read.expect);
                change.tells(self.object_event(caller, &read.value, deed));
                gone.push(read.value);
            }
            if !gone.is_empty() {
                self.commit_untold(change).await?;
            }
            Ok(gone)
        })?;
        if !gone.is_empty() {
            self.object_told();
        }
        for object in &gone {
            self.objects_free(account, &object.runs).await;
        }
        Ok(gone.len())
    }

    /// An object's record.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub async fn object_get(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
    ) -> Result<Object, EngineError> {
        self.authorize(caller, Operation::ObjectGet, None)?;
        if let Some(read) = self.object_find(caller.account, bucket, key).await? {
            return Ok(read.value);
        }
        self.bucket_read(caller.account, bucket).await?;
        Err(no_key(bucket, key))
    }
}
