//! Objects: put, read, copied, deleted.

use http::HeaderMap;
use s3s::dto::{
    Checksum, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, MetadataDirective, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};
use stint_model::object::Object;
use stint_model::object::asked::{Condition, ObjectOrder};

use crate::access::caller;
use crate::condition::{Demands, range, seconds};
use crate::error::refused;
use crate::face::Face;
use crate::head::{self, DEFAULT_TYPE, etag};
use crate::intake::{self, Said};
use crate::shelf::Stream;

pub(crate) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Which checksum the headers announce.
fn announced(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-amz-sdk-checksum-algorithm")
        .map(str::to_owned)
        .or_else(|| Some(text("x-amz-trailer")?.strip_prefix("x-amz-checksum-")?.to_owned()))
}

/// What a request says of its body.
pub(crate) fn said<T>(asked: &S3Request<T>, md5: Option<String>, sums: Checksum) -> Said {
    let (announced, trailers) = (announced(&asked.headers), asked.trailing_headers.clone());
    Said { md5, sums, announced, trailers }
}

/// Nothing that would be kept silently otherwise than asked for.
fn check_wishes(headers: &HeaderMap) -> S3Result<()> {
    let unknown = [
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-legal-hold",
        "x-amz-website-redirect-location",
        "x-amz-tagging",
        "x-amz-write-offset-bytes",
    ];
    match unknown.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => Err(s3_error!(NotImplemented, "the header {name} is not supported")),
        None => Ok(()),
    }
}

pub(crate) fn order<T>(
    asked: &S3Request<T>,
    (bucket, key): (&str, &str),
    meta: Option<s3s::dto::Metadata>,
    condition: Condition,
) -> S3Result<ObjectOrder> {
    check_wishes(&asked.headers)?;
    Ok(ObjectOrder {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        headers: head::read(&asked.headers, meta),
        condition,
    })
}

pub(crate) async fn put(
    face: &Face,
    mut asked: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let caller = caller(&asked)?;
    let input = &mut asked.input;
    let sums = Checksum {
        checksum_crc32: input.checksum_crc32.take(),
        checksum_crc32c: input.checksum_crc32c.take(),
        checksum_crc64nvme: input.checksum_crc64nvme.take(),
        checksum_sha1: input.checksum_sha1.take(),
        checksum_sha256: input.checksum_sha256.take(),
        ..Checksum::default()
    };
    let (body, md5, meta) = (input.body.take(), input.content_md5.take(), input.metadata.take());
    let condition = head::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let order = order(&asked, (&asked.input.bucket, &asked.input.key), meta, condition)?;
    let said = said(&asked, md5, sums);
    let (body, verdict) = intake::open(body, said, (&face.clock, face.idle))?;
    let put = face.shelf.object_put(&caller, &order, body).await;
    let object = put.map_err(|refusal| verdict.error(refused(refusal)))?;
    let sums = verdict.sums();
    Ok(S3Response::new(PutObjectOutput {
        e_tag: Some(etag(&object.etag)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..PutObjectOutput::default()
    }))
}

/// Versions of objects are not kept: `null` is the name of the only one.
fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "versions of objects are not kept")),
    }
}

/// Parts are not remembered as such: an object may be asked for its first, which is all of it, only
/// when it has no other.
fn check_part(object: &Object, part: Option<i32>) -> S3Result<()> {
    match part {
        None => Ok(()),
        Some(1) if object.parts <= 1 => Ok(()),
        Some(_) => Err(s3_error!(NotImplemented, "parts of an object are read by range")),
    }
}

pub(crate) async fn get(
    face: &Face,
    asked: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let caller = caller(&asked)?;
    let input = &asked.input;
    check_version(input.version_id.as_deref())?;
    let opened = face.shelf.object_open(&caller, &input.bucket, &input.key).await;
    let opened = opened.map_err(refused)?;
    let object = opened.object();
    let demands = Demands {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    demands.check(object, false)?;
    check_part(object, input.part_number)?;
    let (range, is_part) = range(input.range.as_ref(), object.bytes)?;
    let content_range =
        is_part.then(|| format!("bytes {}-{}/{}", range.start, range.end - 1, object.bytes));
    let headers = object.headers.clone();
    let output = GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        content_length: Some(size(range.end - range.start)),
        content_range,
        content_type: headers.content_type.or_else(|| Some(DEFAULT_TYPE.into())),
        cache_control: headers.cache_control,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(seconds(object.modified_at)),
        metadata: head::meta(object),
        body: Some(blob(opened.read(range))),
        ..GetObjectOutput::default()
    };
    Ok(S3Response::with_headers(output, head::expires(object)))
}

fn blob(stream: Stream) -> StreamingBlob {
    let frames = futures_util::TryStreamExt::map_ok(stream, http_body::Frame::data);
    StreamingBlob::from(Body::http_body_unsync(http_body_util::StreamBody::new(frames)))
}

pub(crate) async fn head(
    face: &Face,
    asked: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let caller = caller(&asked)?;
    let input = &asked.input;
    check_version(input.version_id.as_deref())?;
    let object = face.shelf.object_get(&caller, &input.bucket, &input.key).await;
    let object = object.map_err(refused)?;
    let demands = Demands {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    demands.check(&object, false)?;
    check_part(&object, input.part_number)?;
    let (range, is_part) = range(input.range.as_ref(), object.bytes)?;
    let content_range =
        is_part.then(|| format!("bytes {}-{}/{}", range.start, range.end - 1, object.bytes));
    let headers = object.headers.clone();
    let mut answer = S3Response::with_headers(
        HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(size(range.end - range.start)),
            content_range,
            content_type: headers.content_type.or_else(|| Some(DEFAULT_TYPE.into())),
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            e_tag: Some(etag(&object.etag)),
            last_modified: Some(seconds(object.modified_at)),
            metadata: head::meta(&object),
            ..HeadObjectOutput::default()
        },
        head::expires(&object),
    );
    if is_part {
        answer.status = Some(http::StatusCode::PARTIAL_CONTENT);
    }
    Ok(answer)
}

/// Bucket and key of what is copied.
pub(crate) fn source(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            check_version(version_id.as_deref())?;
            Ok((bucket, key))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "a copy's source is BUCKET/KEY"))
        }
    }
}

pub(crate) async fn copy(
    face: &Face,
    mut asked: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let caller = caller(&asked)?;
    let meta = asked.input.metadata.take();
    let input = &asked.input;
    let (bucket, key) = source(&input.copy_source)?;
    let object = face.shelf.object_get(&caller, bucket, key).await.map_err(refused)?;
    let demands = Demands {
        if_match: input.copy_source_if_match.as_ref(),
        if_none_match: input.copy_source_if_none_match.as_ref(),
        if_modified_since: input.copy_source_if_modified_since.as_ref(),
        if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
    };
    demands.check(&object, true)?;
    let replaces = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let mut order = order(&asked, (&input.bucket, &input.key), meta, Condition::Any)?;
    if !replaces {
        if (bucket, key) == (input.bucket.as_str(), input.key.as_str()) {
            let message = "an object is copied onto itself only to replace its metadata";
            return Err(s3_error!(InvalidRequest, "{message}"));
        }
        order.headers = object.headers.clone();
    }
    let made = face.shelf.object_copy(&caller, (bucket, key), &order).await.map_err(refused)?;
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            e_tag: Some(etag(&made.etag)),
            last_modified: Some(seconds(made.modified_at)),
            ..CopyObjectResult::default()
        }),
        ..CopyObjectOutput::default()
    }))
}

pub(crate) async fn delete(
    face: &Face,
    asked: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let caller = caller(&asked)?;
    let input = &asked.input;
    check_version(input.version_id.as_deref())?;
    if input.if_match.is_some()
        || input.if_match_size.is_some()
        || input.if_match_last_modified_time.is_some()
    {
        return Err(s3_error!(NotImplemented, "a deletion has no conditions"));
    }
    face.shelf.object_delete(&caller, &input.bucket, &input.key).await.map_err(refused)?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(crate) async fn delete_many(
    face: &Face,
    asked: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let caller = caller(&asked)?;
    let delete = asked.input.delete;
    if delete.objects.is_empty() || delete.objects.len() > 1_000 {
        return Err(s3_error!(MalformedXML, "a deletion names 1 to 1000 objects"));
    }
    for object in &delete.objects {
        check_version(object.version_id.as_deref())?;
    }
    let keys: Vec<String> = delete.objects.into_iter().map(|object| object.key).collect();
    let deleted = face.shelf.objects_delete(&caller, &asked.input.bucket, &keys).await;
    deleted.map_err(refused)?;
    let deleted = (!delete.quiet.unwrap_or(false)).then(|| {
        let one = |key| DeletedObject { key: Some(key), ..DeletedObject::default() };
        keys.into_iter().map(one).collect()
    });
    Ok(S3Response::new(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() }))
}
