//! Buckets, and listings of what is in them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    Bucket, BucketLocationConstraint, CommonPrefix, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, EncodingType, GetBucketLocationInput,
    GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use stint_model::access::Caller;
use stint_model::object::asked::{ObjectEntry, ObjectPage, ObjectQuery, PAGE_MAX};

use crate::access::caller;
use crate::condition::seconds;
use crate::error::refused;
use crate::face::Face;
use crate::head::etag;
use crate::objects::size;

/// What stays as it is in a listing that is sent encoded.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How names are written in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    encoded: bool,
}

impl Writing {
    pub(crate) fn asked(encoding: Option<&EncodingType>) -> Self {
        Self { encoded: encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL) }
    }

    pub(crate) fn of(self, name: &str) -> String {
        if self.encoded { utf8_percent_encode(name, PLAIN).to_string() } else { name.to_owned() }
    }
}

pub(crate) async fn bucket_create(
    face: &Face,
    asked: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = caller(&asked)?;
    if asked.input.object_lock_enabled_for_bucket == Some(true) {
        return Err(s3_error!(NotImplemented, "objects are not locked"));
    }
    // There is one region; a client that names another has its own idea of the name only.
    let bucket = face.shelf.bucket_create(&caller, &asked.input.bucket).await.map_err(refused)?;
    let location = Some(format!("/{}", bucket.name));
    Ok(S3Response::new(CreateBucketOutput { location }))
}

pub(crate) async fn bucket_delete(
    face: &Face,
    asked: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let caller = caller(&asked)?;
    face.shelf.bucket_delete(&caller, &asked.input.bucket).await.map_err(refused)?;
    let mut answer = S3Response::new(DeleteBucketOutput::default());
    answer.status = Some(http::StatusCode::NO_CONTENT);
    Ok(answer)
}

pub(crate) async fn bucket_head(
    face: &Face,
    asked: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let caller = caller(&asked)?;
    face.shelf.bucket_get(&caller, &asked.input.bucket).await.map_err(refused)?;
    let bucket_region = Some(face.shelf.region().to_owned());
    Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
}

pub(crate) async fn bucket_location(
    face: &Face,
    asked: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let caller = caller(&asked)?;
    face.shelf.bucket_get(&caller, &asked.input.bucket).await.map_err(refused)?;
    let region = BucketLocationConstraint::from(face.shelf.region().to_owned());
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: Some(region) }))
}

fn owner(caller: &Caller) -> Owner {
    let id = caller.account.to_string();
    Owner { id: Some(id.clone()), display_name: Some(id) }
}

pub(crate) async fn bucket_list(
    face: &Face,
    asked: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.as_deref().map(token_read).transpose()?;
    let limit = limit(input.max_buckets, 10_000)?;
    let mut buckets = face.shelf.bucket_list(&caller).await.map_err(refused)?;
    buckets.retain(|bucket| {
        bucket.name.starts_with(&prefix) && after.as_ref().is_none_or(|after| bucket.name > *after)
    });
    let more = buckets.len() > limit;
    buckets.truncate(limit);
    let next = buckets.last().filter(|_| more).map(|last| token(&last.name));
    let buckets = buckets.into_iter().map(|bucket| Bucket {
        name: Some(bucket.name),
        creation_date: Some(seconds(bucket.created_at)),
        ..Bucket::default()
    });
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        owner: Some(owner(&caller)),
        continuation_token: next,
        prefix: input.prefix,
    }))
}

pub(crate) fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

pub(crate) fn token_read(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is none of ours"))
}

/// A page's size; more than the most is the most.
pub(crate) fn limit(asked: Option<i32>, most: usize) -> S3Result<usize> {
    match asked {
        None => Ok(most),
        Some(asked) => {
            let asked = usize::try_from(asked);
            let asked = asked
                .map_err(|_| s3_error!(InvalidArgument, "the size of a page is not negative"))?;
            Ok(asked.min(most))
        }
    }
}

/// A page as both versions of the listing write it.
struct Lines {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
}

fn lines(page: ObjectPage, writing: Writing, owner: Option<&Owner>) -> Lines {
    let mut lines = Lines { contents: Vec::new(), prefixes: Vec::new() };
    for entry in page.entries {
        match entry {
            ObjectEntry::Object(object) => lines.contents.push(Object {
                key: Some(writing.of(&object.key)),
                e_tag: Some(etag(&object.etag)),
                last_modified: Some(seconds(object.modified_at)),
                size: Some(size(object.bytes)),
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                owner: owner.cloned(),
                ..Object::default()
            }),
            ObjectEntry::Prefix(prefix) => {
                lines.prefixes.push(CommonPrefix { prefix: Some(writing.of(&prefix)) });
            }
        }
    }
    lines
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) async fn object_list(
    face: &Face,
    asked: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    let writing = Writing::asked(input.encoding_type.as_ref());
    let query = ObjectQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.marker.clone().unwrap_or_default(),
        limit: limit(input.max_keys, PAGE_MAX)?,
    };
    let page = face.shelf.object_list(&caller, &input.bucket, &query).await.map_err(refused)?;
    let next_marker = page.next().map(|next| writing.of(next));
    let is_truncated = Some(page.more);
    let Lines { contents, prefixes } = lines(page, writing, Some(&owner(&caller)));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: input.prefix.map(|prefix| writing.of(&prefix)),
        marker: Some(writing.of(&query.after)),
        max_keys: Some(count(query.limit)),
        is_truncated,
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        delimiter: input.delimiter.map(|delimiter| writing.of(&delimiter)),
        next_marker,
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    }))
}

pub(crate) async fn object_list_v2(
    face: &Face,
    asked: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    let writing = Writing::asked(input.encoding_type.as_ref());
    let after = match &input.continuation_token {
        Some(token) => token_read(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let query = ObjectQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit: limit(input.max_keys, PAGE_MAX)?,
    };
    let page = face.shelf.object_list(&caller, &input.bucket, &query).await.map_err(refused)?;
    let next = page.next().map(token);
    let (is_truncated, key_count) = (Some(page.more), Some(count(page.entries.len())));
    let who = input.fetch_owner.unwrap_or(false).then(|| owner(&caller));
    let Lines { contents, prefixes } = lines(page, writing, who.as_ref());
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(writing.of(&query.prefix)),
        max_keys: Some(count(query.limit)),
        key_count,
        continuation_token: input.continuation_token,
        is_truncated,
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        delimiter: input.delimiter.map(|delimiter| writing.of(&delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| writing.of(&after)),
        ..ListObjectsV2Output::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_answers() {
        let url = EncodingType::from_static(EncodingType::URL);
        let encoded = Writing::asked(Some(&url));
        assert_eq!(encoded.of("a b/ü+%.txt"), "a%20b/%C3%BC%2B%25.txt");
        assert_eq!(Writing::asked(None).of("a b"), "a b");
    }

    #[test]
    fn pages_and_tokens() {
        assert_eq!(limit(None, 1_000).unwrap(), 1_000);
        assert_eq!(limit(Some(5_000), 1_000).unwrap(), 1_000);
        assert_eq!(limit(Some(0), 1_000).unwrap(), 0);
        assert!(limit(Some(-1), 1_000).is_err());
        assert_eq!(token_read(&token("a/ü")).unwrap(), "a/ü");
        assert!(token_read("%").is_err());
    }
}
