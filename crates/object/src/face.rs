//! The operations of S3 that there are; everything else is answered with `NotImplemented`. Each is read
//! in the file of its group.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput,
    CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteBucketInput,
    DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, PutObjectInput, PutObjectOutput, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};
use stint_model::time::Span;
use stint_supervise::Clock;

use crate::shelf::Shelf;
use crate::{list, objects, uploads};

/// Answers operations by verbs of the shelf.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) clock: Clock,
    /// A body that brings nothing for so long is given up.
    pub(crate) idle: Span,
}

impl Face {
    pub(crate) fn new(shelf: Arc<dyn Shelf>, clock: Clock, idle: Span) -> Self {
        Self { shelf, clock, idle }
    }
}

type Asked<T> = S3Request<T>;
type Said<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Face {
    async fn create_bucket(&self, asked: Asked<CreateBucketInput>) -> Said<CreateBucketOutput> {
        list::bucket_create(self, asked).await
    }

    async fn delete_bucket(&self, asked: Asked<DeleteBucketInput>) -> Said<DeleteBucketOutput> {
        list::bucket_delete(self, asked).await
    }

    async fn head_bucket(&self, asked: Asked<HeadBucketInput>) -> Said<HeadBucketOutput> {
        list::bucket_head(self, asked).await
    }

    async fn get_bucket_location(
        &self,
        asked: Asked<GetBucketLocationInput>,
    ) -> Said<GetBucketLocationOutput> {
        list::bucket_location(self, asked).await
    }

    async fn list_buckets(&self, asked: Asked<ListBucketsInput>) -> Said<ListBucketsOutput> {
        list::bucket_list(self, asked).await
    }

    async fn list_objects(&self, asked: Asked<ListObjectsInput>) -> Said<ListObjectsOutput> {
        list::object_list(self, asked).await
    }

    async fn list_objects_v2(&self, asked: Asked<ListObjectsV2Input>) -> Said<ListObjectsV2Output> {
        list::object_list_v2(self, asked).await
    }

    async fn put_object(&self, asked: Asked<PutObjectInput>) -> Said<PutObjectOutput> {
        objects::put(self, asked).await
    }

    async fn get_object(&self, asked: Asked<GetObjectInput>) -> Said<GetObjectOutput> {
        objects::get(self, asked).await
    }

    async fn head_object(&self, asked: Asked<HeadObjectInput>) -> Said<HeadObjectOutput> {
        objects::head(self, asked).await
    }

    async fn copy_object(&self, asked: Asked<CopyObjectInput>) -> Said<CopyObjectOutput> {
        objects::copy(self, asked).await
    }

    async fn delete_object(&self, asked: Asked<DeleteObjectInput>) -> Said<DeleteObjectOutput> {
        objects::delete(self, asked).await
    }

    async fn delete_objects(&self, asked: Asked<DeleteObjectsInput>) -> Said<DeleteObjectsOutput> {
        objects::delete_many(self, asked).await
    }

    async fn create_multipart_upload(
        &self,
        asked: Asked<CreateMultipartUploadInput>,
    ) -> Said<CreateMultipartUploadOutput> {
        uploads::create(self, asked).await
    }

    async fn upload_part(&self, asked: Asked<UploadPartInput>) -> Said<UploadPartOutput> {
        uploads::part(self, asked).await
    }

    async fn upload_part_copy(
        &self,
        asked: Asked<UploadPartCopyInput>,
    ) -> Said<UploadPartCopyOutput> {
        uploads::part_copy(self, asked).await
    }

    async fn list_parts(&self, asked: Asked<ListPartsInput>) -> Said<ListPartsOutput> {
        uploads::parts(self, asked).await
    }

    async fn list_multipart_uploads(
        &self,
        asked: Asked<ListMultipartUploadsInput>,
    ) -> Said<ListMultipartUploadsOutput> {
        uploads::list(self, asked).await
    }

    async fn complete_multipart_upload(
        &self,
        asked: Asked<CompleteMultipartUploadInput>,
    ) -> Said<CompleteMultipartUploadOutput> {
        uploads::complete(self, asked).await
    }

    async fn abort_multipart_upload(
        &self,
        asked: Asked<AbortMultipartUploadInput>,
    ) -> Said<AbortMultipartUploadOutput> {
        uploads::abort(self, asked).await
    }
}
