//! Uploads in parts.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyPartResult, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use stint_model::object::asked::{
    Condition, ObjectOrder, PAGE_MAX, PartAsked, PartSource, UploadRef,
};

use crate::access::caller;
use crate::condition::{Demands, range, seconds};
use crate::error::refused;
use crate::face::Face;
use crate::head::{self, etag};
use crate::intake;
use crate::list::{Writing, limit};
use crate::objects::{order, said, size, source};

pub(crate) async fn create(
    face: &Face,
    mut asked: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let caller = caller(&asked)?;
    let meta = asked.input.metadata.take();
    let input = &asked.input;
    let order = order(&asked, (&input.bucket, &input.key), meta, Condition::Any)?;
    let upload = face.shelf.upload_create(&caller, &order).await.map_err(refused)?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(order.bucket),
        key: Some(order.key),
        upload_id: Some(upload.id),
        ..CreateMultipartUploadOutput::default()
    }))
}

fn number(part: i32) -> S3Result<u32> {
    let bad = || s3_error!(InvalidArgument, "a part's number is between 1 and 10000, got {part}");
    u32::try_from(part).map_err(|_| bad())
}

pub(crate) async fn part(
    face: &Face,
    mut asked: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
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
    let (body, md5) = (input.body.take(), input.content_md5.take());
    let said = said(&asked, md5, sums);
    let (body, verdict) = intake::open(body, said, (&face.clock, face.idle))?;
    let input = &asked.input;
    let at = UploadRef { bucket: &input.bucket, key: &input.key, id: &input.upload_id };
    let number = number(input.part_number)?;
    let part = face.shelf.upload_part(&caller, at, number, body).await;
    let part = part.map_err(|refusal| verdict.error(refused(refusal)))?;
    let sums = verdict.sums();
    Ok(S3Response::new(UploadPartOutput {
        e_tag: Some(etag(&part.etag)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..UploadPartOutput::default()
    }))
}

pub(crate) async fn part_copy(
    face: &Face,
    asked: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let caller = caller(&asked)?;
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
    let bytes = match &input.copy_source_range {
        None => None,
        Some(text) => {
            let bad = || s3_error!(InvalidArgument, "x-amz-copy-source-range is bytes=FIRST-LAST");
            let asked = s3s::dto::Range::parse(text).map_err(|_| bad())?;
            Some(range(Some(&asked), object.bytes)?.0)
        }
    };
    let source = PartSource { bucket: bucket.to_owned(), key: key.to_owned(), bytes };
    let at = UploadRef { bucket: &input.bucket, key: &input.key, id: &input.upload_id };
    let number = number(input.part_number)?;
    let part = face.shelf.upload_part_copy(&caller, at, number, &source).await.map_err(refused)?;
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            e_tag: Some(etag(&part.etag)),
            last_modified: Some(seconds(part.modified_at)),
            ..CopyPartResult::default()
        }),
        ..UploadPartCopyOutput::default()
    }))
}

pub(crate) async fn parts(
    face: &Face,
    asked: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    let at = UploadRef { bucket: &input.bucket, key: &input.key, id: &input.upload_id };
    let mut parts = face.shelf.upload_parts(&caller, at).await.map_err(refused)?;
    let after = input.part_number_marker.unwrap_or(0);
    let limit = limit(input.max_parts, PAGE_MAX)?;
    parts.retain(|part| i64::from(part.number) > i64::from(after));
    let more = parts.len() > limit;
    parts.truncate(limit);
    let shown = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let next = parts.last().filter(|_| more).map(|part| shown(part.number));
    let parts = parts.into_iter().map(|part| Part {
        part_number: Some(shown(part.number)),
        e_tag: Some(etag(&part.etag)),
        size: Some(size(part.run.bytes)),
        last_modified: Some(seconds(part.modified_at)),
        ..Part::default()
    });
    Ok(S3Response::new(ListPartsOutput {
        parts: Some(parts.collect()),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        is_truncated: Some(more),
        max_parts: Some(i32::try_from(limit).unwrap_or(i32::MAX)),
        part_number_marker: Some(after),
        next_part_number_marker: next,
        ..ListPartsOutput::default()
    }))
}

pub(crate) async fn list(
    face: &Face,
    asked: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(s3_error!(NotImplemented, "uploads are listed without a delimiter"));
    }
    let writing = Writing::asked(input.encoding_type.as_ref());
    let prefix = input.prefix.clone().unwrap_or_default();
    let (key, id) = (
        input.key_marker.clone().unwrap_or_default(),
        input.upload_id_marker.clone().unwrap_or_default(),
    );
    let limit = limit(input.max_uploads, PAGE_MAX)?;
    let mut uploads = face.shelf.upload_list(&caller, &input.bucket).await.map_err(refused)?;
    uploads.retain(|upload| {
        // Without an upload's id the marker is past all uploads of its key.
        let is_after = match id.as_str() {
            "" => upload.key > key,
            id => (upload.key.as_str(), upload.id.as_str()) > (key.as_str(), id),
        };
        upload.key.starts_with(&prefix) && (key.is_empty() || is_after)
    });
    let more = uploads.len() > limit;
    uploads.truncate(limit);
    let last = uploads.last().filter(|_| more);
    let next = last.map(|last| (writing.of(&last.key), last.id.clone()));
    let (next_key_marker, next_upload_id_marker) = next.unzip();
    let uploads = uploads.into_iter().map(|upload| MultipartUpload {
        key: Some(writing.of(&upload.key)),
        upload_id: Some(upload.id),
        initiated: Some(seconds(upload.created_at)),
        ..MultipartUpload::default()
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        uploads: Some(uploads.collect()),
        bucket: Some(input.bucket),
        prefix: input.prefix.map(|prefix| writing.of(&prefix)),
        key_marker: Some(writing.of(&key)),
        upload_id_marker: Some(id),
        is_truncated: Some(more),
        max_uploads: Some(i32::try_from(limit).unwrap_or(i32::MAX)),
        next_key_marker,
        next_upload_id_marker,
        encoding_type: input.encoding_type,
        ..ListMultipartUploadsOutput::default()
    }))
}

pub(crate) async fn complete(
    face: &Face,
    asked: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let caller = caller(&asked)?;
    let input = asked.input;
    let condition = head::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let mut parts: Vec<PartAsked> = Vec::with_capacity(named.len());
    for part in named {
        let bad = || s3_error!(MalformedXML, "each part has a PartNumber and an ETag");
        let number = number(part.part_number.ok_or_else(bad)?)?;
        if parts.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "parts are named in the order of their numbers"
            ));
        }
        let etag = part.e_tag.ok_or_else(bad)?.into_value();
        parts.push(PartAsked { number, etag });
    }
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "an object is made of at least one part"));
    }
    let order =
        ObjectOrder { bucket: input.bucket, key: input.key, condition, ..ObjectOrder::default() };
    let done = face.shelf.upload_complete(&caller, (&order, &input.upload_id), &parts).await;
    let object = done.map_err(refused)?;
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", order.bucket, order.key)),
        bucket: Some(order.bucket),
        key: Some(order.key),
        e_tag: Some(etag(&object.etag)),
        ..CompleteMultipartUploadOutput::default()
    }))
}

pub(crate) async fn abort(
    face: &Face,
    asked: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let caller = caller(&asked)?;
    let input = &asked.input;
    let at = UploadRef { bucket: &input.bucket, key: &input.key, id: &input.upload_id };
    face.shelf.upload_abort(&caller, at).await.map_err(refused)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
