//! Uploads in parts: begun, fed in any order and at the same time, listed, and made an object of or
//! given up. Completing moves no bytes: the object names the runs of its parts.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::object::asked::{ObjectOrder, PartAsked, PartSource, UploadRef};
use stint_model::object::{
    OBJECT_BYTES_MAX, Object, ObjectDeed, PART_BYTES_MIN, PARTS_MAX, Part, Run, Upload,
};
use stint_store::record::object::{self as stored, UploadRecord};
use stint_store::{Expect, Kind, Record, StoreError};

use super::ObjectStream;
use super::put::Content;
use super::write::Written;
use crate::access::Operation;
use crate::control::{Change, Read, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

fn no_upload(id: &str) -> EngineError {
    let message = format!("upload '{id}' does not exist: it was completed, aborted or never begun");
    EngineError::refused(Code::NoSuchUpload, message)
}

fn corrupt(record: &Record) -> StoreError {
    StoreError::Corrupt { what: format!("{:?}: not what its key says", record.key) }
}

fn part_of(record: &Record) -> Result<Part, StoreError> {
    match stored::decode_upload(&record.body)? {
        UploadRecord::Part(_, part) => Ok(part),
        UploadRecord::Upload(_) => Err(corrupt(record)),
    }
}

/// The parts asked for, in their order, and what they are together.
fn put_together(parts: &[Part], asked: &[PartAsked]) -> Result<Content, Refusal> {
    let invalid = |number: u32| {
        let message = format!("part {number} was never uploaded, or it has another ETag");
        Refusal::new(Code::InvalidPart, message)
    };
    if asked.is_empty() {
        return Err(Refusal::invalid("an object is made of at least one part"));
    }
    let (mut runs, mut sum, mut bytes) = (Vec::new(), Md5::new(), 0_u64);
    for (at, want) in asked.iter().enumerate() {
        let found = parts.binary_search_by_key(&want.number, |part| part.number);
        let part = found.ok().map(|found| &parts[found]).filter(|part| part.etag == want.etag);
        let part = part.ok_or_else(|| invalid(want.number))?;
        if part.run.bytes < PART_BYTES_MIN && at + 1 < asked.len() {
            let message = format!(
                "part {} has {} bytes; every part but the last has at least {PART_BYTES_MIN}",
                part.number, part.run.bytes
            );
            return Err(Refusal::new(Code::EntityTooSmall, message));
        }
        let digest = hex::decode(&part.etag).map_err(|_| invalid(part.number))?;
        sum.update(&digest);
        bytes = bytes.saturating_add(part.run.bytes);
        if part.run.bytes > 0 {
            runs.push(part.run);
        }
    }
    if bytes > OBJECT_BYTES_MAX {
        let message = format!("an object has at most {OBJECT_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::EntityTooLarge, message));
    }
    let etag = format!("{}-{}", hex::encode(sum.finalize()), asked.len());
    Ok(Content { runs, etag, parts: u32::try_from(asked.len()).unwrap_or(PARTS_MAX) })
}

impl Engine {
    /// Begins an upload in parts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `InvalidArgument`.
    pub async fn upload_create(
        &self,
        caller: &Caller,
        order: &ObjectOrder,
    ) -> Result<Upload, EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        self.admitting()?;
        order.check()?;
        let upload = Upload {
            account: caller.account,
            bucket: Arc::from(order.bucket.as_str()),
            key: order.key.clone(),
            // By time, so that the oldest are found first.
            id: format!("{:012x}{:032x}", self.clock().now().millis(), self.random_u128()),
            created_at: self.clock().now(),
            headers: order.headers.clone(),
        };
        retrying!({
            let bucket = self.bucket_open_for(caller, &order.bucket).await?;
            let mut change = Change::new(self.account_home(caller.account));
            Self::bucket_stays(&mut change, bucket);
            let key = stored::upload_key(caller.account, &order.bucket, &upload.id);
            change.create(key, stored::encode_upload(&UploadRecord::Upload(upload.clone())));
            self.commit_untold(change).await
        })?;
        Ok(upload)
    }

    async fn upload_read(
        &self,
        account: AccountId,
        at: UploadRef<'_>,
    ) -> Result<Read<Upload>, EngineError> {
        let key = stored::upload_key(account, at.bucket, at.id);
        let Some(record) = self.store().record_get(&key).await? else {
            self.bucket_read(account, at.bucket).await?;
            return Err(no_upload(at.id));
        };
        let UploadRecord::Upload(upload) = stored::decode_upload(&record.body)? else {
            return Err(corrupt(&record).into());
        };
        if upload.key != at.key {
            return Err(no_upload(at.id));
        }
        Ok(Read { value: upload, expect: expect_of(&record) })
    }

    /// Writes a part; one of the same number is replaced.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidArgument`, and as [`Engine::object_put`].
    pub async fn upload_part(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        body: ObjectStream,
    ) -> Result<Part, EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        self.admitting()?;
        if !(1..=PARTS_MAX).contains(&number) {
            let message = format!("a part's number is between 1 and {PARTS_MAX}, got {number}");
            return Err(Refusal::invalid(message).into());
        }
        self.upload_read(caller.account, at).await?;
        let done = match self.object_write(caller.account, body).await {
            Ok(written) => self.part_commit(caller, at, number, written).await,
            Err(error) => Err(error),
        };
        self.objects_tidy().await;
        done
    }

    /// Makes a part of some of an object's bytes.
    ///
    /// # Errors
    /// As [`Engine::upload_part`].
    pub async fn upload_part_copy(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        source: &PartSource,
    ) -> Result<Part, EngineError> {
        let reader = self.object_open(caller, &source.bucket, &source.key).await?;
        let range = source.bytes.clone().unwrap_or(0..reader.object().bytes);
        self.upload_part(caller, at, number, reader.range(range)).await
    }

    async fn part_commit(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
        number: u32,
        mut written: Written,
    ) -> Result<Part, EngineError> {
        let account = caller.account;
        let key = stored::part_key(account, at.bucket, at.id, number);
        written.hand_over();
        let done = retrying!({
            let upload = self.upload_read(account, at).await?;
            let before = self.store().record_get(&key).await?;
            let part = Part {
                number,
                etag: hex::encode(written.md5),
                modified_at: self.clock().now(),
                run: written.run,
            };
            let mut change = Change::new(self.account_home(account));
            change.expects(upload.expect);
            let body = stored::encode_upload(&UploadRecord::Part(account, part.clone()));
            let version = before.as_ref().map_or(0, |record| record.version);
            change.replace(Expect { key: key.clone(), version }, body);
            self.commit_untold(change).await?;
            let before = before.as_ref().map(part_of).transpose()?;
            Ok((part, before.map(|part| part.run)))
        });
        match done {
            Ok((part, before)) => {
                self.objects().release(account, before.as_slice());
                Ok(part)
            }
            Err(error) => {
                written.take_back(&error);
                Err(error)
            }
        }
    }

    async fn part_records(
        &self,
        account: AccountId,
        at: UploadRef<'_>,
    ) -> Result<Vec<Record>, EngineError> {
        let first = stored::part_key(account, at.bucket, at.id, 0).name;
        let prefix = first.strip_suffix("00000").unwrap_or(&first);
        self.records(Kind::Upload, prefix).await
    }

    /// The parts of an upload so far, by number.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub async fn upload_parts(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
    ) -> Result<Vec<Part>, EngineError> {
        self.authorize(caller, Operation::ObjectList, None)?;
        self.upload_read(caller.account, at).await?;
        let records = self.part_records(caller.account, at).await?;
        Ok(records.iter().map(part_of).collect::<Result<_, StoreError>>()?)
    }

    /// Uploads in parts of a bucket that were not completed, by key and time.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub async fn upload_list(
        &self,
        caller: &Caller,
        bucket: &str,
    ) -> Result<Vec<Upload>, EngineError> {
        self.authorize(caller, Operation::ObjectList, None)?;
        self.bucket_read(caller.account, bucket).await?;
        let records =
            self.records(Kind::Upload, &format!("{}/{bucket}/u/", caller.account)).await?;
        let mut uploads = Vec::with_capacity(records.len());
        for record in &records {
            match stored::decode_upload(&record.body)? {
                UploadRecord::Upload(upload) => uploads.push(upload),
                UploadRecord::Part(..) => return Err(corrupt(record).into()),
            }
        }
        uploads.sort_by(|one, other| (&one.key, &one.id).cmp(&(&other.key, &other.id)));
        Ok(uploads)
    }

    /// Makes an object of parts; the others are let go.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidPart`, `EntityTooSmall`, `EntityTooLarge`, `PreconditionFailed`.
    pub async fn upload_complete(
        &self,
        caller: &Caller,
        (order, id): (&ObjectOrder, &str),
        asked: &[PartAsked],
    ) -> Result<Object, EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        let account = caller.account;
        let at = UploadRef { bucket: &order.bucket, key: &order.key, id };
        // Another part may come meanwhile: decided again from what is there then.
        let (object, left) = retrying!({
            let upload = self.upload_read(account, at).await?;
            let records = self.part_records(account, at).await?;
            let parts: Vec<Part> =
                records.iter().map(part_of).collect::<Result<_, StoreError>>()?;
            let content = put_together(&parts, asked)?;
            let order = ObjectOrder { headers: upload.value.headers.clone(), ..order.clone() };
            let also = |change: &mut Change| {
                change.delete(upload.expect.clone());
                records.iter().for_each(|record| change.delete(expect_of(record)));
                Ok(())
            };
            let object =
                self.object_commit(caller, &order, (&content, ObjectDeed::Complete), also).await?;
            let is_left = |run: &Run| !content.runs.contains(run);
            let left: Vec<Run> = parts.iter().map(|part| part.run).filter(is_left).collect();
            Ok((object, left))
        })?;
        self.objects_free(account, &left).await;
        Ok(object)
    }

    /// Gives an upload up; its parts are let go.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub async fn upload_abort(
        &self,
        caller: &Caller,
        at: UploadRef<'_>,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::ObjectPut, None)?;
        self.upload_forget(caller.account, at).await
    }

    pub(super) async fn upload_forget(
        &self,
        account: AccountId,
        at: UploadRef<'_>,
    ) -> Result<(), EngineError> {
        let runs = retrying!({
            let upload = self.upload_read(account, at).await?;
            let records = self.part_records(account, at).await?;
            let mut change = Change::new(self.account_home(account));
            change.delete(upload.expect);
            records.iter().for_each(|record| change.delete(expect_of(record)));
            self.commit_untold(change).await?;
            let runs = records.iter().map(|record| Ok(part_of(record)?.run));
            Ok(runs.collect::<Result<Vec<Run>, StoreError>>()?)
        })?;
        self.objects_free(account, &runs).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stint_model::time::Timestamp;

    use super::*;

    fn part(number: u32, bytes: u64) -> Part {
        let run = Run { id: u128::from(number), bytes };
        let etag = format!("{number:032x}");
        Part { number, etag, modified_at: Timestamp::ZERO, run }
    }

    fn ask(numbers: &[u32]) -> Vec<PartAsked> {
        let ask = |number: &u32| PartAsked { number: *number, etag: format!("{number:032x}") };
        numbers.iter().map(ask).collect()
    }

    #[test]
    fn an_object_is_put_together_from_its_parts() {
        let parts = [part(1, PART_BYTES_MIN), part(3, PART_BYTES_MIN), part(7, 1)];
        let content = put_together(&parts, &ask(&[1, 7])).unwrap();
        assert_eq!(content.runs, [parts[0].run, parts[2].run]);
        let mut sum = Md5::new();
        sum.update(1_u128.to_be_bytes());
        sum.update(7_u128.to_be_bytes());
        assert_eq!(content.etag, format!("{}-2", hex::encode(sum.finalize())));
        let code = |numbers: &[u32]| put_together(&parts, &ask(numbers)).unwrap_err().code;
        assert_eq!(code(&[1, 2]), Code::InvalidPart);
        assert_eq!(code(&[7, 1]), Code::EntityTooSmall);
        assert_eq!(code(&[]), Code::InvalidArgument);
        let mut other = ask(&[1]);
        other[0].etag = "0".into();
        assert_eq!(put_together(&parts, &other).unwrap_err().code, Code::InvalidPart);
    }
}
