//! Buckets. A bucket is deleted in two steps, so that nothing is put into it between the look whether
//! it is empty and its end.

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::object::{BUCKETS_MAX, Bucket, check_bucket_name};
use stint_store::Kind;
use stint_store::record::object as stored;

use super::is_closing;
use crate::access::Operation;
use crate::control::{Change, Deed, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Makes a bucket.
    ///
    /// # Errors
    /// `InvalidBucketName`, `BucketAlreadyOwnedByYou`, `LimitExceededError`.
    pub async fn bucket_create(&self, caller: &Caller, name: &str) -> Result<Bucket, EngineError> {
        self.authorize(caller, Operation::BucketCreate, None)?;
        self.admitting()?;
        check_bucket_name(name)?;
        let key = stored::bucket_key(caller.account, name);
        if self.store().record_get(&key).await?.is_some() {
            let message = format!("the account has a bucket '{name}' already");
            return Err(EngineError::refused(Code::BucketAlreadyOwnedByYou, message));
        }
        if self.records(Kind::Bucket, &format!("{}/", caller.account)).await?.len() >= BUCKETS_MAX {
            let message = format!("an account has at most {BUCKETS_MAX} buckets");
            return Err(EngineError::refused(Code::LimitExceededError, message));
        }
        let bucket = Bucket {
            account: caller.account,
            name: name.to_owned(),
            created_at: self.clock().now(),
            closing_at: None,
        };
        let mut change = Change::new(self.account_home(caller.account));
        change.create(key, stored::encode_bucket(&bucket));
        let deed = Deed::on(Operation::BucketCreate, format!("buckets/{name}"));
        self.commit(caller, deed, change).await?;
        Ok(bucket)
    }

    /// A bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn bucket_get(&self, caller: &Caller, name: &str) -> Result<Bucket, EngineError> {
        self.authorize(caller, Operation::BucketGet, None)?;
        Ok(self.bucket_read(caller.account, name).await?.value)
    }

    /// All buckets of the account, by name; at most [`BUCKETS_MAX`].
    pub async fn bucket_list(&self, caller: &Caller) -> Result<Vec<Bucket>, EngineError> {
        self.authorize(caller, Operation::BucketList, None)?;
        let records = self.records(Kind::Bucket, &format!("{}/", caller.account)).await?;
        records.iter().map(|record| Ok(stored::decode_bucket(&record.body)?)).collect()
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`; `ConcurrentUpdateError` while somebody else deletes it.
    pub async fn bucket_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        self.authorize(caller, Operation::BucketDelete, None)?;
        self.bucket_set_closing(caller, name, true).await?;
        let emptiness = self.bucket_check_empty(caller, name).await;
        if let Err(refused) = emptiness {
            self.bucket_set_closing(caller, name, false).await?;
            return Err(refused);
        }
        let read = self.bucket_read(caller.account, name).await?;
        let mut change = Change::new(self.account_home(caller.account));
        change.delete(read.expect);
        let deed = Deed::on(Operation::BucketDelete, format!("buckets/{name}"));
        self.commit(caller, deed, change).await
    }

    /// From now on nothing is put into the bucket, or again.
    async fn bucket_set_closing(
        &self,
        caller: &Caller,
        name: &str,
        closing: bool,
    ) -> Result<(), EngineError> {
        retrying!({
            let read = self.bucket_read(caller.account, name).await?;
            let now = self.clock().now();
            if closing && is_closing(&read.value, now) {
                return Err(busy(name).into());
            }
            let bucket = Bucket { closing_at: closing.then_some(now), ..read.value };
            let mut change = Change::new(self.account_home(caller.account));
            change.replace(read.expect, stored::encode_bucket(&bucket));
            self.commit_untold(change).await
        })
    }

    async fn bucket_check_empty(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        let prefix = format!("{}/{name}/", caller.account);
        for (kind, what) in [(Kind::Object, "objects"), (Kind::Upload, "uploads in parts")] {
            if !self.store().record_list(kind, &prefix, None, 1).await?.items.is_empty() {
                let message = format!("bucket '{name}' has {what}; delete them first");
                return Err(EngineError::refused(Code::BucketNotEmpty, message));
            }
        }
        Ok(())
    }
}

/// Somebody deletes the bucket at this moment.
pub(super) fn busy(name: &str) -> Refusal {
    let message = format!("bucket '{name}' is being deleted; try again");
    Refusal::new(Code::ConcurrentUpdateError, message)
}
