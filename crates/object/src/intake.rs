//! A body on its way in: summed up while it passes, given up when nothing comes, and checked at its end
//! against what the client said of it. When it was not that, the stream ends with an error, and whoever
//! put it learns why from the [`Verdict`].

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, crypto, s3_error};
use stint_model::time::Span;
use stint_supervise::Clock;

use crate::shelf::Stream;

/// What the client says of a body.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// `Content-MD5`.
    pub(crate) md5: Option<String>,
    /// Checksums in headers.
    pub(crate) sums: Checksum,
    /// Which checksum the headers announce, by its name.
    pub(crate) announced: Option<String>,
    /// What comes after the body.
    pub(crate) trailers: Option<TrailingHeaders>,
}

/// Why a body was refused, or what its checksums are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<Result<Checksum, S3Error>>>>);

impl Verdict {
    fn set(&self, said: Result<Checksum, S3Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    /// Takes it: the checksums that were asked for, or the refusal; nothing when the body was not read
    /// to its end.
    pub(crate) fn take(&self) -> Option<Result<Checksum, S3Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The error of a put: the body's own, if it has one.
    pub(crate) fn error(&self, other: S3Error) -> S3Error {
        match self.take() {
            Some(Err(error)) => error,
            Some(Ok(_)) | None => other,
        }
    }

    /// The checksums of a body that was taken.
    pub(crate) fn sums(&self) -> Checksum {
        self.take().and_then(Result::ok).unwrap_or_default()
    }
}

struct Intake {
    body: StreamingBlob,
    said: Said,
    md5: Option<(Md5, Vec<u8>)>,
    hasher: ChecksumHasher,
    verdict: Verdict,
    clock: Clock,
    idle: Span,
}

fn hasher(said: &Said) -> ChecksumHasher {
    let named = |name: &str| {
        said.announced.as_deref().is_some_and(|announced| announced.eq_ignore_ascii_case(name))
    };
    let sums = &said.sums;
    ChecksumHasher {
        crc32: (sums.checksum_crc32.is_some() || named("CRC32")).then(crypto::Crc32::new),
        crc32c: (sums.checksum_crc32c.is_some() || named("CRC32C")).then(crypto::Crc32c::new),
        sha1: (sums.checksum_sha1.is_some() || named("SHA1")).then(crypto::Sha1::new),
        sha256: (sums.checksum_sha256.is_some() || named("SHA256")).then(crypto::Sha256::new),
        crc64nvme: (sums.checksum_crc64nvme.is_some() || named("CRC64NVME"))
            .then(crypto::Crc64Nvme::new),
    }
}

/// A body as the shelf takes it.
pub(crate) fn open(
    body: Option<StreamingBlob>,
    said: Said,
    (clock, idle): (&Clock, Span),
) -> S3Result<(Stream, Verdict)> {
    let verdict = Verdict::default();
    let Some(body) = body else {
        return Ok((Box::pin(futures_util::stream::empty()), verdict));
    };
    let md5 = said.md5.as_deref().map(|text| {
        let digest = STANDARD.decode(text).ok().filter(|digest| digest.len() == 16);
        let bad = || s3_error!(InvalidDigest, "Content-MD5 is not the Base64 of an MD5");
        digest.map(|digest| (Md5::new(), digest)).ok_or_else(bad)
    });
    let intake = Intake {
        md5: md5.transpose()?,
        hasher: hasher(&said),
        body,
        said,
        verdict: verdict.clone(),
        clock: clock.clone(),
        idle,
    };
    let stream = futures_util::stream::unfold(Some(intake), |intake| async move {
        let mut intake = intake?;
        match intake.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(intake))),
            Ok(None) => match intake.end() {
                Ok(()) => None,
                Err(broken) => Some((Err(broken), None)),
            },
            Err(error) => {
                intake.verdict.set(Err(error));
                Some((Err(std::io::Error::other("the body was refused")), None))
            }
        }
    });
    Ok((Box::pin(stream), verdict))
}

impl Intake {
    async fn next(&mut self) -> S3Result<Option<bytes::Bytes>> {
        // Dropped with the request: nothing is lost that is not given up.
        match self.clock.within(self.idle, self.body.next()).await {
            None => Err(s3_error!(RequestTimeout, "the body brought nothing for too long")),
            Some(None) => Ok(None),
            Some(Some(Ok(bytes))) => {
                if let Some((sum, _)) = &mut self.md5 {
                    sum.update(&bytes);
                }
                self.hasher.update(&bytes);
                Ok(Some(bytes))
            }
            Some(Some(Err(error))) => Err(broken(error.as_ref())),
        }
    }

    fn end(self) -> std::io::Result<()> {
        let verdict = self.verdict.clone();
        let said = self.judge();
        let is_good = said.is_ok();
        verdict.set(said);
        if is_good { Ok(()) } else { Err(std::io::Error::other("the body was refused")) }
    }

    fn judge(self) -> S3Result<Checksum> {
        let other = |what: &str| {
            s3_error!(BadDigest, "the {what} that was sent is not the one of the body")
        };
        if let Some((sum, said)) = self.md5
            && sum.finalize().as_slice() != said
        {
            return Err(other("Content-MD5"));
        }
        let found = self.hasher.finalize();
        let trailer = |name: &str| {
            let read = self.said.trailers.as_ref()?.read(|headers| {
                headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            });
            read.flatten()
        };
        let sums = &self.said.sums;
        for (name, found, said) in [
            ("crc32", &found.checksum_crc32, &sums.checksum_crc32),
            ("crc32c", &found.checksum_crc32c, &sums.checksum_crc32c),
            ("sha1", &found.checksum_sha1, &sums.checksum_sha1),
            ("sha256", &found.checksum_sha256, &sums.checksum_sha256),
            ("crc64nvme", &found.checksum_crc64nvme, &sums.checksum_crc64nvme),
        ] {
            let header = format!("x-amz-checksum-{name}");
            let said = said.clone().or_else(|| trailer(&header));
            if let (Some(found), Some(said)) = (found, &said)
                && found != said
            {
                return Err(other(&header));
            }
        }
        Ok(found)
    }
}

/// What broke in a body, as far as the client should know.
fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let text = error.to_string();
    let is_hash = text.to_ascii_lowercase().contains("mismatch");
    tracing::debug!(error = text, "a body broke");
    if is_hash {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_message(code, "the body is not the one that was signed");
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else {
        s3_error!(IncompleteBody, "the body could not be read to its end")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn take(said: Said) -> (usize, Option<Result<Checksum, S3Error>>) {
        let pieces =
            ["hel", "lo"].map(|p| Ok::<_, std::io::Error>(Bytes::from_static(p.as_bytes())));
        let body = StreamingBlob::wrap(futures_util::stream::iter(pieces));
        let clock = Clock::start();
        let (stream, verdict) = open(Some(body), said, (&clock, Span::from_secs(1))).unwrap();
        let good = stream.filter(|item| std::future::ready(item.is_ok())).count().await;
        (good, verdict.take())
    }

    #[tokio::test]
    async fn a_body_is_checked_at_its_end() {
        let (count, verdict) = take(Said::default()).await;
        assert_eq!(count, 2);
        assert!(verdict.unwrap().is_ok());
        let good = Said { md5: Some("XUFAKrxLKna5cZ2REBfFkg==".into()), ..Said::default() };
        assert!(take(good).await.1.unwrap().is_ok());
        let bad = Said { md5: Some("AUFAKrxLKna5cZ2REBfFkg==".into()), ..Said::default() };
        assert_eq!(take(bad).await.1.unwrap().unwrap_err().code().as_str(), "BadDigest");
        let sums = Checksum { checksum_crc32: Some("NhCmhg==".into()), ..Checksum::default() };
        let found = take(Said { sums, ..Said::default() }).await.1.unwrap().unwrap();
        assert_eq!(found.checksum_crc32.as_deref(), Some("NhCmhg=="));
        let sums = Checksum { checksum_sha256: Some("AA==".into()), ..Checksum::default() };
        assert!(take(Said { sums, ..Said::default() }).await.1.unwrap().is_err());
    }

    #[test]
    fn a_digest_that_is_none_is_refused() {
        let body = StreamingBlob::wrap(futures_util::stream::empty::<Result<_, std::io::Error>>());
        let said = Said { md5: Some("x".into()), ..Said::default() };
        let refused = open(Some(body), said, (&Clock::start(), Span::from_secs(1)));
        assert_eq!(refused.err().unwrap().code().as_str(), "InvalidDigest");
    }
}
