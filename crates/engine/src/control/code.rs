//! Code packages: taken from the request or a configured bucket, checked, and kept as a blob of
//! their own before any record names them.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};

use async_trait::async_trait;
use bytes::Bytes;
use crc::{CRC_64_XZ, Crc, Table};
use sha2::{Digest, Sha256};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{CodePackage, Function, FunctionConfig};
use stint_model::id::{AccountId, FunctionId};
use stint_model::time::Timestamp;
use stint_store::CommitError;
use thiserror::Error;

use super::functions::{CANARY_NEVER, packages_of};
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::LinkKey;

/// The largest zip inside a request.
pub const ZIP_BYTES_MAX: usize = 100 << 20;
/// The largest zip from a bucket, and the largest layer.
pub const OBJECT_BYTES_MAX: u64 = 500 << 20;
/// The most a zip may unpack to.
pub const UNPACKED_BYTES_MAX: u64 = 10 << 30;
/// More than this many times its size is taken for a bomb, as the nodes do …
const RATIO_MAX: u64 = 200;
/// … unless it is no more than this.
const RATIO_FROM_BYTES: u64 = 64 << 20;
/// The longest target of a link in a zip.
const LINK_BYTES_MAX: u64 = 4_096;
/// The most files in a zip.
const FILES_MAX: usize = 200_000;
/// Hashed between two looks at what else waits.
const HASH_STEP: usize = 1 << 20;

/// CRC-64 as object storage calls it: ECMA-182, reflected (also known as XZ).
static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// Where code comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeSource {
    /// In the request.
    Zip(Bytes),
    /// In a configured bucket.
    Object {
        /// The bucket's configured name.
        bucket: String,
        /// The object in it.
        object: String,
    },
}

/// Code as a caller gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeInput {
    /// Where it is.
    pub source: CodeSource,
    /// The CRC-64 it must have, a decimal number.
    pub checksum: Option<String>,
}

/// Why an object cannot be had.
#[derive(Debug, Error)]
pub enum BucketError {
    /// The bucket is not configured.
    #[error("bucket '{0}' is not configured on this server")]
    NoBucket(String),
    /// The object is not there.
    #[error("object '{0}' does not exist in the bucket")]
    NoObject(String),
    /// The object is larger than asked for.
    #[error("object '{object}' exceeds the maximum allowed size ({max} bytes)")]
    TooLarge {
        /// Which.
        object: String,
        /// The bound.
        max: u64,
    },
    /// The storage failed.
    #[error("read object '{object}'")]
    Failed {
        /// Which.
        object: String,
        /// The storage's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The storage did not take it.
    #[error("write object '{object}'")]
    NotWritten {
        /// Which.
        object: String,
        /// The storage's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It cannot be listed.
    #[error("list the objects under '{prefix}'")]
    NotListed {
        /// How their keys begin.
        prefix: String,
        /// The storage's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An object of a bucket, as a listing tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectInfo {
    /// Its key in the bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified_at: Timestamp,
    /// What changes with its bytes, where the storage has one.
    pub tag: Option<String>,
}

/// Buckets that code may be taken from, by their configured names; distributed maps read items from them and
/// write results to them.
#[async_trait]
pub trait CodeBuckets: Send + Sync + std::fmt::Debug + 'static {
    /// Reads a whole object of at most `bytes_max`.
    async fn fetch(&self, bucket: &str, object: &str, bytes_max: u64)
    -> Result<Bytes, BucketError>;

    /// Writes a whole object; one of that name is replaced.
    async fn put(&self, bucket: &str, object: &str, bytes: Bytes) -> Result<(), BucketError> {
        drop((object, bytes));
        Err(BucketError::NoBucket(bucket.to_owned()))
    }

    /// Objects whose keys begin with `prefix`, by key, at most `most`.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let _unused = (prefix, most);
        Err(BucketError::NoBucket(bucket.to_owned()))
    }
}

/// No bucket is configured.
#[derive(Debug)]
pub struct NoBuckets;

#[async_trait]
impl CodeBuckets for NoBuckets {
    async fn fetch(&self, bucket: &str, _: &str, _: u64) -> Result<Bytes, BucketError> {
        Err(BucketError::NoBucket(bucket.to_owned()))
    }
}

/// Who looks at code before it is kept, for runtimes that can tell without running it.
#[async_trait]
pub trait CodeJudge: Send + Sync + std::fmt::Debug + 'static {
    /// Whether code of this runtime is looked at.
    fn judges(&self, runtime: &str) -> bool;
    /// Whether the function can run this zip; else why not, for its author.
    async fn judge(&self, config: &FunctionConfig, zip: Bytes) -> Result<(), String>;
    /// The code is in the book: what is slow about its first start may be done now.
    fn kept(&self, account: AccountId, config: &FunctionConfig, code: &CodePackage);
}

/// Everything is found out when it is started.
#[derive(Debug)]
pub struct NoJudge;

#[async_trait]
impl CodeJudge for NoJudge {
    fn judges(&self, _: &str) -> bool {
        false
    }

    async fn judge(&self, _: &FunctionConfig, _: Bytes) -> Result<(), String> {
        Ok(())
    }

    fn kept(&self, _: AccountId, _: &FunctionConfig, _: &CodePackage) {}
}

/// Whose code it is, which decides its blob's name and who looks at it first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CodePlace<'a> {
    /// A function's, as it will be, in place of what its head has.
    Function(&'a Function),
    /// A layer's.
    Layer(AccountId),
    /// A function's, which is the archive of its image.
    Image(&'a Function),
}

impl CodePlace<'_> {
    fn blob(self, random: u128) -> String {
        match self {
            Self::Function(function) => {
                format!("code/{}/{random:032x}.zip", function.account)
            }
            Self::Layer(account) => format!("layer/{account}/{random:032x}.zip"),
            Self::Image(function) => format!("code/{}/{random:032x}.image", function.account),
        }
    }

    /// Whose it is, and which function's head it replaces.
    fn owner(self) -> (AccountId, Option<FunctionId>) {
        match self {
            Self::Function(function) | Self::Image(function) => {
                (function.account, Some(function.id))
            }
            Self::Layer(account) => (account, None),
        }
    }
}

/// Whether the bytes are a zip that may be unpacked.
pub(crate) fn check_zip(bytes: &Bytes) -> Result<(), Refusal> {
    let bad = |why: String| Refusal::invalid(format!("the code is not a valid zip archive: {why}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes.as_ref()))
        .map_err(|error| bad(error.to_string()))?;
    if archive.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    if archive.len() > FILES_MAX {
        return Err(bad(format!("it has more than {FILES_MAX} files")));
    }
    let mut unpacked: u64 = 0;
    let mut links = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| bad(error.to_string()))?;
        let name = file.name().map_err(|error| bad(error.to_string()))?;
        let inside = !name.is_empty()
            && !name.starts_with(['/', '\\'])
            && !name.contains('\0')
            && !name.split(['/', '\\']).any(|part| part == "..");
        if !inside {
            return Err(bad(format!("entry '{name}' leaves the archive")));
        }
        if file.unix_mode().is_some_and(|mode| mode & 0o170_000 == 0o120_000) {
            links.push((index, name.into_owned()));
        }
        unpacked = unpacked.saturating_add(file.size());
    }
    if unpacked > UNPACKED_BYTES_MAX {
        return Err(bad(format!("it unpacks to more than {UNPACKED_BYTES_MAX} bytes")));
    }
    if unpacked > RATIO_FROM_BYTES.max(RATIO_MAX.saturating_mul(bytes.len() as u64)) {
        return Err(bad(format!("it unpacks to more than {RATIO_MAX} times its size")));
    }
    for (index, name) in links {
        let file = archive.by_index(index).map_err(|error| bad(error.to_string()))?;
        let mut target = String::new();
        let read = file.take(LINK_BYTES_MAX).read_to_string(&mut target);
        read.map_err(|error| bad(format!("link '{name}': {error}")))?;
        if leaves(&name, &target) {
            return Err(bad(format!("link '{name}' to '{target}' leaves the archive")));
        }
    }
    Ok(())
}

/// Whether a link leads out of the archive.
fn leaves(name: &str, target: &str) -> bool {
    let mut depth = name.split('/').filter(|part| !part.is_empty()).count().saturating_sub(1);
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    target.starts_with('/')
}

/// Whether the bytes may be the archive of an image: a tar, or a zip with one in it. What is in the tar
/// is judged by the node that unpacks it.
pub(crate) fn check_image(bytes: &Bytes) -> Result<(), Refusal> {
    const MAGIC_AT: usize = 257;
    if bytes.get(MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Ok(());
    }
    check_zip(bytes).map_err(|refusal| {
        let message = format!(
            "image `code` needs a tar (docker save, or an OCI archive), or a zip with one: {}",
            refusal.message
        );
        Refusal::invalid(message)
    })
}

/// The CRC-64 and SHA-256 of a package, letting others run in between.
async fn sums(bytes: &Bytes) -> (u64, [u8; 32]) {
    let (mut crc, mut sha) = (CRC.digest(), Sha256::new());
    for part in bytes.chunks(HASH_STEP) {
        crc.update(part);
        sha.update(part);
        tokio::task::yield_now().await;
    }
    (crc.finalize(), sha.finalize().into())
}

fn check_sum(said: Option<&str>, crc64: u64) -> Result<(), Refusal> {
    match said {
        Some(said) if !said.is_empty() && said.parse() != Ok(crc64) => Err(Refusal::invalid(
            format!("the checksum of the code is {crc64}, which does not match checksum '{said}'"),
        )),
        Some(_) | None => Ok(()),
    }
}

impl Engine {
    /// Takes code, checks it and keeps it as a blob.
    pub(crate) async fn code_keep(
        &self,
        caller: &Caller,
        place: CodePlace<'_>,
        input: &CodeInput,
    ) -> Result<CodePackage, EngineError> {
        let bytes = self.code_bytes(caller, input).await?;
        match place {
            CodePlace::Function(..) | CodePlace::Layer(_) => check_zip(&bytes)?,
            CodePlace::Image(..) => check_image(&bytes)?,
        }
        let (account, replaced) = place.owner();
        self.storage_code_fits(account, bytes.len() as u64, replaced)?;
        let (crc64, sha256) = sums(&bytes).await;
        check_sum(input.checksum.as_deref(), crc64)?;
        if let CodePlace::Function(function) = place {
            self.code_judge(&function.wanted().config, &bytes).await?;
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let blob = place.blob(self.random_u128());
        self.blobs().put(&blob, bytes).await?;
        Ok(CodePackage { blob, size, crc64, sha256 })
    }

    /// Refuses code that its runtime says it cannot run.
    async fn code_judge(&self, config: &FunctionConfig, zip: &Bytes) -> Result<(), Refusal> {
        let judge = self.judge();
        if !judge.judges(&config.runtime) {
            return Ok(());
        }
        let judged = judge.judge(config, zip.clone()).await;
        judged.map_err(|reason| {
            let runtime = &config.runtime;
            Refusal::invalid(format!("the code cannot be run by runtime '{runtime}': {reason}"))
        })
    }

    /// The same for code that stays while what is said about it changes.
    pub(crate) async fn code_judge_again(
        &self,
        config: &FunctionConfig,
        code: Option<&CodePackage>,
    ) -> Result<(), EngineError> {
        if let Some(code) = code.filter(|_| self.judge().judges(&config.runtime)) {
            let zip = self.blobs().get(&code.blob).await?;
            self.code_judge(config, &zip).await?;
        }
        Ok(())
    }

    /// What the request has, or an object of a bucket that the operator configured, or of one of the
    /// account's own.
    async fn code_bytes(&self, caller: &Caller, input: &CodeInput) -> Result<Bytes, EngineError> {
        match &input.source {
            CodeSource::Zip(bytes) if bytes.len() > ZIP_BYTES_MAX => {
                let message = format!(
                    "code size exceeds maximum allowed size ({ZIP_BYTES_MAX} bytes); put it into \
                     a bucket"
                );
                Err(EngineError::refused(Code::EntityTooLarge, message))
            }
            CodeSource::Zip(bytes) => Ok(bytes.clone()),
            CodeSource::Object { bucket, object } => {
                let fetched = self.buckets().fetch(bucket, object, OBJECT_BYTES_MAX).await;
                if let Err(BucketError::NoBucket(_)) = &fetched {
                    return self.code_bytes_own(caller, bucket, object).await;
                }
                fetched.map_err(|error| match error {
                    BucketError::TooLarge { .. } => {
                        EngineError::refused(Code::EntityTooLarge, error.to_string())
                    }
                    BucketError::NoBucket(_) | BucketError::NoObject(_) => {
                        EngineError::refused(Code::InvalidArgument, error.to_string())
                    }
                    BucketError::Failed { .. }
                    | BucketError::NotWritten { .. }
                    | BucketError::NotListed { .. } => {
                        tracing::warn!(error = stint_supervise::chain(&error), "fetch code");
                        EngineError::refused(Code::InternalServerError, error.to_string())
                    }
                })
            }
        }
    }

    async fn code_bytes_own(
        &self,
        caller: &Caller,
        bucket: &str,
        object: &str,
    ) -> Result<Bytes, EngineError> {
        let read = self.object_read(caller, (bucket, object), OBJECT_BYTES_MAX).await;
        read.map_err(|error| match error.code() {
            Code::NoSuchBucket => {
                let message = format!(
                    "bucket '{bucket}' is not configured on this server, and the account has none of \
                     this name"
                );
                EngineError::refused(Code::InvalidArgument, message)
            }
            Code::NoSuchKey => {
                let message = format!("object '{object}' does not exist in the bucket");
                EngineError::refused(Code::InvalidArgument, message)
            }
            _ => error,
        })
    }

    /// Lets go of packages that no record names any more. What is not deleted now is swept later.
    pub(crate) async fn code_drop(&self, packages: impl Iterator<Item = &CodePackage>) {
        for package in packages {
            if let Err(error) = self.blobs().delete(&package.blob).await {
                let error = stint_supervise::chain(&error);
                tracing::warn!(blob = package.blob, error, "the blob stays for the sweep");
            }
        }
    }

    /// Lets go of a package whose record was certainly not written; else the sweep decides.
    pub(crate) async fn code_undo(&self, error: &EngineError, package: Option<&CodePackage>) {
        if matches!(error, EngineError::Refused(_) | EngineError::Commit(CommitError::Stale(_))) {
            self.code_drop(package.into_iter()).await;
        }
    }

    /// The code of a function at a qualifier: the blob to make a short-lived link to, its size and
    /// checksum.
    pub async fn code_get(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<CodePackage, EngineError> {
        self.authorize(caller, Operation::CodeGet, Some(name))?;
        let entry = self.function_entry(caller, name)?;
        let target = entry.resolve(qualifier.unwrap_or(""), CANARY_NEVER)?;
        target.revision.code.clone().ok_or_else(|| {
            EngineError::refused(Code::InvalidArgument, "the function has no code package")
        })
    }

    /// What signs short-lived links to packages; the first one signs, all of them open.
    pub fn link_keys(&self) -> Vec<LinkKey> {
        self.keyring().link_keys()
    }

    /// The bytes of a package, for the short-lived link. The link's signature is the permission.
    pub async fn code_read(&self, blob: &str) -> Result<Bytes, EngineError> {
        if !blob.starts_with("code/") && !blob.starts_with("layer/") {
            return Err(EngineError::refused(Code::ResourceNotFound, "no such code package"));
        }
        Ok(self.blobs().get(blob).await?)
    }

    /// Deletes packages written before `old` that no record names: what a crash between keeping and
    /// committing, or replacing code, leaves behind. Gives how many went.
    pub(crate) async fn code_sweep(&self, old: Timestamp) -> Result<usize, EngineError> {
        const STEP: usize = 1_000;
        let mut swept = 0;
        for area in ["code/", "layer/"] {
            let mut after: Option<String> = None;
            loop {
                let entries = self.blobs().list(area, after.as_deref(), STEP).await?;
                let Some(last) = entries.last() else { break };
                after = Some(last.name.clone());
                // Read after the listing: what was committed meanwhile is named.
                let named = self.code_named();
                let orphans = entries
                    .iter()
                    .filter(|entry| entry.modified_at < old && !named.contains(&entry.name));
                for orphan in orphans {
                    self.blobs().delete(&orphan.name).await?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    /// Every blob that a function, version or layer names.
    fn code_named(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for entry in self.catalog().functions() {
            let versions = entry.versions.values();
            let versions = versions.filter_map(|version| version.revision.code.as_ref());
            let packages = packages_of(&entry.function).chain(versions);
            named.extend(packages.map(|package| package.blob.clone()));
        }
        for newest in self.catalog().layers() {
            let versions = self.catalog().layer_versions(newest.account, &newest.layer);
            named.extend(versions.iter().map(|layer| layer.code.blob.clone()));
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip_of(names: &[&str]) -> Bytes {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"hello").unwrap();
        }
        writer.finish().unwrap().into_inner().into()
    }

    #[test]
    fn a_zip_is_taken_and_anything_else_is_not() {
        assert_eq!(check_zip(&zip_of(&["index.py", "lib/a.py"])), Ok(()));
        for bytes in [Bytes::new(), Bytes::from_static(b"def handler(): pass"), zip_of(&[])] {
            let refusal = check_zip(&bytes).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidArgument);
            assert!(refusal.message.starts_with("the code is not a valid zip archive: "));
        }
        let refusal = check_zip(&zip_of(&["../../etc/passwd"])).unwrap_err();
        assert!(refusal.message.contains("leaves the archive"), "{refusal}");
    }

    #[test]
    fn links_stay_inside() {
        for (name, target) in
            [("a", "b"), ("x/a", "../b"), ("x/y/a", "../../b/./c"), ("a", "x/../b")]
        {
            assert!(!leaves(name, target), "{name} {target}");
        }
        for (name, target) in
            [("a", "/etc/passwd"), ("a", ".."), ("x/a", "../../b"), ("a", "x/../../b")]
        {
            assert!(leaves(name, target), "{name} {target}");
        }
    }

    #[test]
    fn a_bomb_is_refused_when_it_is_brought() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let deflated = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file("zeros", deflated).unwrap();
        writer.write_all(&vec![0_u8; 65 << 20]).unwrap();
        let bytes: Bytes = writer.finish().unwrap().into_inner().into();
        let refusal = check_zip(&bytes).unwrap_err();
        assert!(refusal.message.contains("200 times"), "{refusal}");
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_symlink("ln", "/etc/passwd", zip::write::SimpleFileOptions::default()).unwrap();
        let bytes: Bytes = writer.finish().unwrap().into_inner().into();
        assert!(check_zip(&bytes).unwrap_err().message.contains("link 'ln'"));
    }

    #[test]
    fn an_images_archive_is_a_tar_or_a_zip() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(check_image(&tar.into()), Ok(()));
        assert_eq!(check_image(&zip_of(&["image.tar"])), Ok(()));
        let refusal = check_image(&Bytes::from_static(b"neither")).unwrap_err();
        assert!(refusal.message.starts_with("image `code` needs a tar"), "{refusal}");
    }

    #[tokio::test]
    async fn the_checksum_is_object_storages() {
        // The check value of CRC-64/XZ.
        let (crc64, sha256) = sums(&Bytes::from_static(b"123456789")).await;
        assert_eq!(crc64, 0x995d_c9bb_df19_39fa);
        assert_eq!(hex::encode(sha256)[..8], *"15e2b0d3");
        assert_eq!(check_sum(Some("11051210869376104954"), crc64), Ok(()));
        assert_eq!(check_sum(Some(""), crc64), Ok(()));
        assert_eq!(check_sum(None, crc64), Ok(()));
        for wrong in ["1", "x", "-5"] {
            let refusal = check_sum(Some(wrong), crc64).unwrap_err();
            assert!(refusal.message.contains("does not match"), "{refusal}");
        }
    }
}
