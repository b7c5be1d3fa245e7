//! The stored forms of buckets, objects, uploads and their parts, and of what happened to objects.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::id::AccountId;
use stint_model::object::{
    Bucket, Object, ObjectDeed, ObjectEvent, ObjectHeaders, Part, Run, Upload,
};

use super::json::{at, corrupt, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a bucket's record lies.
pub fn bucket_key(account: AccountId, bucket: &str) -> Key {
    Key::new(Kind::Bucket, format!("{account}/{bucket}"))
}

/// Where an object's record lies.
pub fn key(account: AccountId, bucket: &str, key: &str) -> Key {
    Key::new(Kind::Object, format!("{account}/{bucket}/{key}"))
}

/// Where an upload's record lies.
pub fn upload_key(account: AccountId, bucket: &str, upload: &str) -> Key {
    Key::new(Kind::Upload, format!("{account}/{bucket}/u/{upload}"))
}

/// Where a part's record lies.
pub fn part_key(account: AccountId, bucket: &str, upload: &str, number: u32) -> Key {
    Key::new(Kind::Upload, format!("{account}/{bucket}/p/{upload}/{number:05}"))
}

/// Where an event's record lies.
pub fn event_key(account: AccountId, number: u64) -> Key {
    Key::new(Kind::ObjectEvent, format!("{account}/{number:016x}"))
}

/// A record of the kind [`Kind::Upload`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadRecord {
    /// The upload itself.
    Upload(Upload),
    /// One of its parts, and whose it is.
    Part(AccountId, Part),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredBucket {
    #[serde(rename = "1")]
    V1(BucketForm),
}

#[derive(Serialize, Deserialize)]
struct BucketForm {
    account: u64,
    name: String,
    created_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closing_us: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredObject {
    #[serde(rename = "1")]
    V1(ObjectForm),
}

#[derive(Serialize, Deserialize)]
struct ObjectForm {
    account: u64,
    bucket: String,
    key: String,
    bytes: u64,
    etag: String,
    modified_us: i64,
    #[serde(default, skip_serializing_if = "HeadersForm::is_empty")]
    headers: HeadersForm,
    runs: Vec<RunForm>,
    #[serde(default, skip_serializing_if = "is_zero")]
    parts: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Its id in hexadecimal digits, and its bytes.
#[derive(Serialize, Deserialize)]
struct RunForm(String, u64);

impl From<Run> for RunForm {
    fn from(run: Run) -> Self {
        Self(format!("{:032x}", run.id), run.bytes)
    }
}

impl TryFrom<RunForm> for Run {
    type Error = StoreError;
    fn try_from(form: RunForm) -> Result<Self, StoreError> {
        let id = u128::from_str_radix(&form.0, 16);
        let id = id.map_err(|error| corrupt("run of an object", &error.to_string()))?;
        Ok(Self { id, bytes: form.1 })
    }
}

#[derive(PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct HeadersForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    meta: Vec<(String, String)>,
}

impl HeadersForm {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&ObjectHeaders> for HeadersForm {
    fn from(headers: &ObjectHeaders) -> Self {
        Self {
            content_type: headers.content_type.clone(),
            cache_control: headers.cache_control.clone(),
            content_disposition: headers.content_disposition.clone(),
            content_encoding: headers.content_encoding.clone(),
            content_language: headers.content_language.clone(),
            expires: headers.expires.clone(),
            meta: headers.meta.clone(),
        }
    }
}

impl From<HeadersForm> for ObjectHeaders {
    fn from(form: HeadersForm) -> Self {
        Self {
            content_type: form.content_type,
            cache_control: form.cache_control,
            content_disposition: form.content_disposition,
            content_encoding: form.content_encoding,
            content_language: form.content_language,
            expires: form.expires,
            meta: form.meta,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredUpload {
    #[serde(rename = "upload-1")]
    Upload(UploadForm),
    #[serde(rename = "part-1")]
    Part(PartForm),
}

#[derive(Serialize, Deserialize)]
struct UploadForm {
    account: u64,
    bucket: String,
    key: String,
    id: String,
    created_us: i64,
    #[serde(default, skip_serializing_if = "HeadersForm::is_empty")]
    headers: HeadersForm,
}

#[derive(Serialize, Deserialize)]
struct PartForm {
    account: u64,
    number: u32,
    etag: String,
    modified_us: i64,
    run: RunForm,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredEvent {
    #[serde(rename = "1")]
    V1(EventForm),
}

#[derive(Serialize, Deserialize)]
struct EventForm {
    number: u64,
    account: u64,
    bucket: String,
    key: String,
    event: String,
    bytes: u64,
    etag: String,
    at_us: i64,
    request_id: String,
    key_id: String,
}

/// A bucket as bytes.
pub fn encode_bucket(bucket: &Bucket) -> Bytes {
    write(&StoredBucket::V1(BucketForm {
        account: bucket.account.number(),
        name: bucket.name.clone(),
        created_us: bucket.created_at.micros(),
        closing_us: bucket.closing_at.map(stint_model::time::Timestamp::micros),
    }))
}

/// Bytes as a bucket.
pub fn decode_bucket(body: &[u8]) -> Result<Bucket, StoreError> {
    let StoredBucket::V1(form) = read("bucket", body)?;
    Ok(Bucket {
        account: AccountId::new(form.account),
        name: form.name,
        created_at: at(form.created_us),
        closing_at: form.closing_us.map(at),
    })
}

/// An object as bytes.
pub fn encode(object: &Object) -> Bytes {
    write(&StoredObject::V1(ObjectForm {
        account: object.account.number(),
        bucket: object.bucket.to_string(),
        key: object.key.clone(),
        bytes: object.bytes,
        etag: object.etag.clone(),
        modified_us: object.modified_at.micros(),
        headers: (&object.headers).into(),
        runs: object.runs.iter().map(|run| (*run).into()).collect(),
        parts: object.parts,
    }))
}

/// Bytes as an object.
pub fn decode(body: &[u8]) -> Result<Object, StoreError> {
    let StoredObject::V1(form) = read("object", body)?;
    let runs: Vec<Run> =
        form.runs.into_iter().map(TryInto::try_into).collect::<Result<_, StoreError>>()?;
    let sum = runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.bytes));
    if sum != Some(form.bytes) {
        return Err(corrupt("object", "its runs do not have its bytes"));
    }
    Ok(Object {
        account: AccountId::new(form.account),
        bucket: Arc::from(form.bucket),
        key: form.key,
        bytes: form.bytes,
        etag: form.etag,
        modified_at: at(form.modified_us),
        headers: form.headers.into(),
        runs,
        parts: form.parts,
    })
}

/// An upload or a part as bytes.
pub fn encode_upload(record: &UploadRecord) -> Bytes {
    write(&match record {
        UploadRecord::Upload(upload) => StoredUpload::Upload(UploadForm {
            account: upload.account.number(),
            bucket: upload.bucket.to_string(),
            key: upload.key.clone(),
            id: upload.id.clone(),
            created_us: upload.created_at.micros(),
            headers: (&upload.headers).into(),
        }),
        UploadRecord::Part(account, part) => StoredUpload::Part(PartForm {
            account: account.number(),
            number: part.number,
            etag: part.etag.clone(),
            modified_us: part.modified_at.micros(),
            run: part.run.into(),
        }),
    })
}

/// Bytes as an upload or a part.
pub fn decode_upload(body: &[u8]) -> Result<UploadRecord, StoreError> {
    Ok(match read("upload", body)? {
        StoredUpload::Upload(form) => UploadRecord::Upload(Upload {
            account: AccountId::new(form.account),
            bucket: Arc::from(form.bucket),
            key: form.key,
            id: form.id,
            created_at: at(form.created_us),
            headers: form.headers.into(),
        }),
        StoredUpload::Part(form) => UploadRecord::Part(
            AccountId::new(form.account),
            Part {
                number: form.number,
                etag: form.etag,
                modified_at: at(form.modified_us),
                run: form.run.try_into()?,
            },
        ),
    })
}

/// An event as bytes.
pub fn encode_event(event: &ObjectEvent) -> Bytes {
    write(&StoredEvent::V1(EventForm {
        number: event.number,
        account: event.account.number(),
        bucket: event.bucket.clone(),
        key: event.key.clone(),
        event: event.deed.event().to_owned(),
        bytes: event.bytes,
        etag: event.etag.clone(),
        at_us: event.at.micros(),
        request_id: event.request_id.clone(),
        key_id: event.key_id.clone(),
    }))
}

/// Bytes as an event.
pub fn decode_event(body: &[u8]) -> Result<ObjectEvent, StoreError> {
    let StoredEvent::V1(form) = read("object event", body)?;
    let deed = ObjectDeed::from_event(&form.event)
        .ok_or_else(|| corrupt("object event", &format!("no event '{}'", form.event)))?;
    Ok(ObjectEvent {
        number: form.number,
        account: AccountId::new(form.account),
        bucket: form.bucket,
        key: form.key,
        deed,
        bytes: form.bytes,
        etag: form.etag,
        at: at(form.at_us),
        request_id: form.request_id,
        key_id: form.key_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first release of object storage wrote them; they must stay readable.
    const BUCKET: &str =
        r#"{"form":"1","account":1000000000000001,"name":"photos","created_us":1767323045000000}"#;
    const OBJECT: &str = r#"{"form":"1","account":1000000000000001,"bucket":"photos","key":"a/ü.jpg","bytes":7,"etag":"0cc175b9c0f1b6a831c399e269772661-2","modified_us":1767323045000000,"headers":{"content_type":"image/jpeg","meta":[["k","v"]]},"runs":[["000000000000000000000000000000ff",4],["00000000000000000000000000000001",3]],"parts":2}"#;
    const UPLOAD: &str = r#"{"form":"upload-1","account":1000000000000001,"bucket":"photos","key":"k","id":"u1","created_us":1767323045000000}"#;
    const PART: &str = r#"{"form":"part-1","account":1000000000000001,"number":7,"etag":"0cc175b9c0f1b6a831c399e269772661","modified_us":1767323045000000,"run":["000000000000000000000000000000ff",4]}"#;
    const EVENT: &str = r#"{"form":"1","number":9,"account":1000000000000001,"bucket":"photos","key":"k","event":"oss:ObjectCreated:PutObject","bytes":3,"etag":"e","at_us":1767323045000000,"request_id":"r","key_id":"STINTk"}"#;

    #[test]
    fn what_was_written_stays_readable() {
        let bucket = decode_bucket(BUCKET.as_bytes()).unwrap();
        assert_eq!(encode_bucket(&bucket), BUCKET);
        let object = decode(OBJECT.as_bytes()).unwrap();
        assert_eq!(encode(&object), OBJECT);
        assert_eq!((object.runs[0].id, object.parts), (255, 2));
        for text in [UPLOAD, PART] {
            assert_eq!(encode_upload(&decode_upload(text.as_bytes()).unwrap()), text);
        }
        let event = decode_event(EVENT.as_bytes()).unwrap();
        assert_eq!(encode_event(&event), EVENT);
        assert_eq!(event.deed, ObjectDeed::Put);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(decode(OBJECT.replace("\"bytes\":7", "\"bytes\":8").as_bytes()).is_err());
        assert!(decode(OBJECT.replace("00ff", "00fg").as_bytes()).is_err());
        assert!(decode_event(EVENT.replace("PutObject", "X").as_bytes()).is_err());
    }

    #[test]
    fn records_lie_in_the_order_they_are_read_in() {
        let account = AccountId::ROOT;
        assert_eq!(event_key(account, 255).name, "1000000000000001/00000000000000ff");
        assert!(event_key(account, 255) < event_key(account, 256));
        assert!(part_key(account, "b", "u", 9) < part_key(account, "b", "u", 10));
    }
}
