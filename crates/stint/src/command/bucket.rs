//! `stint bucket`: buckets and objects, over the object service as any other S3 client.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, WriteMultipart,
};
use serde::Serialize;
use stint_wire::native::Page;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{Context, whole};
use crate::failure::Failure;
use crate::remote::objects::{BucketLine, Objects};
use crate::screen::Rows;

/// Bytes of a part: what is smaller is sent at once.
const PART: usize = 8 << 20;
/// Parts on their way at the same time.
const PARTS_AT_ONCE: usize = 4;

/// Buckets and objects.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a bucket.
    Create {
        /// Its name: small letters, digits, dashes and dots.
        bucket: String,
    },
    /// List buckets.
    List,
    /// Delete an empty bucket.
    Delete {
        /// Its name.
        bucket: String,
    },
    /// Put a file into a bucket; large ones go in parts.
    Put {
        /// The file, or - for standard input.
        file: String,
        /// BUCKET/KEY, or BUCKET/ for the file's own name.
        target: String,
        /// What it is, as in image/jpeg.
        #[arg(long)]
        content_type: Option<String>,
    },
    /// Get an object.
    Get {
        /// BUCKET/KEY.
        source: String,
        /// The file to write, or - for standard output; the key's last part when not said.
        file: Option<String>,
    },
    /// List objects.
    Ls {
        /// BUCKET or BUCKET/PREFIX.
        target: String,
        /// What lies deeper, too.
        #[arg(long, short)]
        recursive: bool,
    },
    /// Delete an object, or with --recursive everything below a prefix.
    Rm {
        /// BUCKET/KEY, or BUCKET/PREFIX/ with --recursive.
        target: String,
        /// Everything below it.
        #[arg(long, short)]
        recursive: bool,
    },
}

/// An object, or what lies deeper.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

/// What was done to one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    bucket: String,
    key: String,
    size: u64,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let objects = Objects::find(context)?;
    match command {
        Command::Create { bucket } => {
            objects.bucket_create(&bucket).await?;
            context.screen.note(format!("bucket {bucket} is there"));
            Ok(())
        }
        Command::Delete { bucket } => {
            objects.bucket_delete(&bucket).await?;
            context.screen.note(format!("bucket {bucket} is gone"));
            Ok(())
        }
        Command::List => {
            let page = whole(objects.bucket_list().await?);
            context.screen.show(&page, || buckets(&page.items))
        }
        Command::Put { file, target, content_type } => {
            put(&objects, context, (&file, &target), content_type).await
        }
        Command::Get { source, file } => get(&objects, context, &source, file).await,
        Command::Ls { target, recursive } => {
            let page = ls(&objects, &target, recursive).await?;
            context.screen.show(&page, || table(&page.items))
        }
        Command::Rm { target, recursive } => rm(&objects, context, &target, recursive).await,
    }
}

fn buckets(lines: &[BucketLine]) -> Rows {
    let mut rows = Rows::new(&["BUCKET", "CREATED"]).or_say("no bucket");
    for line in lines {
        rows.row([line.name.clone(), line.created.clone()]);
    }
    rows
}

fn table(lines: &[Line]) -> Rows {
    let mut rows = Rows::new(&["KEY", "SIZE", "MODIFIED"]).or_say("no object");
    for line in lines {
        let size = line.size.map(|size| size.to_string()).unwrap_or_default();
        rows.row([line.key.clone(), size, line.modified.clone().unwrap_or_default()]);
    }
    rows
}

/// `BUCKET/KEY` in its parts; the key may be empty.
fn parts(target: &str) -> (&str, &str) {
    target.split_once('/').unwrap_or((target, ""))
}

fn path(key: &str) -> Result<Path, Failure> {
    Path::parse(key).map_err(|error| Failure::usage(format!("{key}: {error}")))
}

/// `BUCKET/KEY` with a key.
fn object(target: &str) -> Result<(&str, Path), Failure> {
    match parts(target) {
        (bucket, key) if !bucket.is_empty() && !key.is_empty() => Ok((bucket, path(key)?)),
        _ => Err(Failure::usage(format!("`{target}`: write BUCKET/KEY"))),
    }
}

fn failed(what: impl std::fmt::Display) -> impl FnOnce(object_store::Error) -> Failure {
    move |error| Objects::failure(&what, &error)
}

async fn put(
    objects: &Objects,
    context: &Context,
    (file, target): (&str, &str),
    content_type: Option<String>,
) -> Result<(), Failure> {
    let own_name = || {
        let name = std::path::Path::new(file).file_name().and_then(|name| name.to_str());
        name.filter(|_| file != "-")
            .map(|name| format!("{target}{name}"))
            .ok_or_else(|| Failure::usage(format!("`{target}`: write BUCKET/KEY")))
    };
    let named = if target.ends_with('/') { own_name()? } else { target.to_owned() };
    let (bucket, key) = object(&named)?;
    let store = objects.store(bucket)?;
    let mut attributes = Attributes::new();
    if let Some(kind) = content_type {
        attributes.insert(Attribute::ContentType, kind.into());
    }
    let cannot = |error: &std::io::Error| Failure::cannot(format_args!("read {file}"), error);
    let mut input: Box<dyn AsyncRead + Send + Unpin> = match file {
        "-" => Box::new(tokio::io::stdin()),
        path => Box::new(tokio::fs::File::open(path).await.map_err(|error| cannot(&error))?),
    };
    let first = chunk(&mut input).await.map_err(|error| cannot(&error))?;
    let mut size = first.len();
    let putting = || failed(format!("put {named}"));
    if first.len() < PART {
        let options = object_store::PutOptions { attributes, ..Default::default() };
        store.put_opts(&key, first.into(), options).await.map_err(putting())?;
    } else {
        let options = PutMultipartOptions { attributes, ..Default::default() };
        let upload = store.put_multipart_opts(&key, options).await.map_err(putting())?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut next = first;
        while !next.is_empty() {
            upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(putting())?;
            upload.put(next);
            next = chunk(&mut input).await.map_err(|error| cannot(&error))?;
            size += next.len();
        }
        upload.finish().await.map_err(putting())?;
    }
    let done = Done { bucket: bucket.to_owned(), key: key.to_string(), size: size as u64 };
    context.screen.show(&done, || one(&done))
}

fn one(done: &Done) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("bucket", done.bucket.as_str());
    rows.line("key", done.key.as_str());
    rows.line("size", done.size.to_string());
    rows
}

/// The next part of a file; shorter only at its end.
async fn chunk(input: &mut (dyn AsyncRead + Send + Unpin)) -> std::io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(64 << 10);
    input.take(PART as u64).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

async fn get(
    objects: &Objects,
    context: &Context,
    source: &str,
    file: Option<String>,
) -> Result<(), Failure> {
    let (bucket, key) = object(source)?;
    let found = objects.store(bucket)?.get(&key).await.map_err(failed(format!("get {source}")))?;
    let size = found.meta.size;
    let file = file.unwrap_or_else(|| key.filename().unwrap_or("object").to_owned());
    let mut pieces = found.into_stream();
    if file == "-" {
        while let Some(piece) = pieces.try_next().await.map_err(failed(format!("get {source}")))? {
            context.screen.raw(&piece)?;
        }
        return Ok(());
    }
    let cannot = |error: std::io::Error| Failure::cannot(format_args!("write {file}"), &error);
    // Under another name until it is whole.
    let draft = PathBuf::from(format!("{file}.part"));
    let mut output = tokio::fs::File::create(&draft).await.map_err(cannot)?;
    while let Some(piece) = pieces.try_next().await.map_err(failed(format!("get {source}")))? {
        output.write_all(&piece).await.map_err(cannot)?;
    }
    output.flush().await.map_err(cannot)?;
    tokio::fs::rename(&draft, &file).await.map_err(cannot)?;
    let done = Done { bucket: bucket.to_owned(), key: key.to_string(), size };
    context.screen.show(&done, || {
        let mut rows = one(&done);
        rows.line("file", file.as_str());
        rows
    })
}

fn line(meta: object_store::ObjectMeta) -> Line {
    Line {
        key: meta.location.to_string(),
        size: Some(meta.size),
        etag: meta.e_tag.map(|etag| etag.trim_matches('"').to_owned()),
        modified: Some(meta.last_modified.to_rfc3339()),
    }
}

async fn ls(objects: &Objects, target: &str, recursive: bool) -> Result<Page<Line>, Failure> {
    let (bucket, prefix) = parts(target);
    let store = objects.store(bucket)?;
    let below = path(prefix.trim_end_matches('/'))?;
    let listing = || failed(format!("list {target}"));
    if recursive {
        let found = store.list(Some(&below)).map_ok(line).try_collect().await;
        return Ok(whole(found.map_err(listing())?));
    }
    let found = store.list_with_delimiter(Some(&below)).await.map_err(listing())?;
    let deeper = found.common_prefixes.into_iter().map(|prefix| Line {
        key: format!("{prefix}/"),
        size: None,
        etag: None,
        modified: None,
    });
    Ok(whole(deeper.chain(found.objects.into_iter().map(line)).collect()))
}

async fn rm(
    objects: &Objects,
    context: &Context,
    target: &str,
    recursive: bool,
) -> Result<(), Failure> {
    let removing = || failed(format!("delete {target}"));
    if !recursive {
        let (bucket, key) = object(target)?;
        objects.store(bucket)?.delete(&key).await.map_err(removing())?;
        context.screen.note(format!("{target} is gone"));
        return Ok(());
    }
    let (bucket, prefix) = parts(target);
    let store = objects.store(bucket)?;
    let below = path(prefix.trim_end_matches('/'))?;
    let found = store.list(Some(&below)).map_ok(|meta| meta.location);
    let gone =
        store.delete_stream(Box::pin(found)).try_fold(0_u64, |n, _| async move { Ok(n + 1) });
    let gone = gone.await.map_err(removing())?;
    context.screen.note(format!("{gone} objects are gone"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_by_bucket_and_key() {
        assert_eq!(parts("photos"), ("photos", ""));
        assert_eq!(parts("photos/a/b"), ("photos", "a/b"));
        assert_eq!(object("photos/a/b").unwrap().1.as_ref(), "a/b");
        for bad in ["photos", "photos/", "/a", "photos/a//b"] {
            assert!(object(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_in_parts() {
        let mut input: &[u8] = &vec![7; PART + 3];
        assert_eq!(chunk(&mut input).await.unwrap().len(), PART);
        assert_eq!(chunk(&mut input).await.unwrap().len(), 3);
        assert!(chunk(&mut input).await.unwrap().is_empty());
    }
}
