//! Code packages (§1.7): as they are said in an input, and as short-lived signed links.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stint_engine::control::code::{CodeInput, CodeSource};
use stint_model::code::Code;
use stint_sign::{SecretKey, SignError, link};
use stint_wire::fc::{CodeLocation, FunctionCode};

use crate::answer::{Answer, bytes, ok};
use crate::call::Call;
use crate::dispatch::Door;
use crate::error::Problem;

/// Where links to code begin; reached before authentication, opened by the link's own signature.
pub(crate) const LINK_ROOT: &str = "/links/code/";

/// What an input says about its code; an empty location says nothing.
pub(crate) fn said(location: Option<CodeLocation>) -> Result<Option<CodeInput>, Problem> {
    let Some(location) = location else { return Ok(None) };
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let zip = some(location.zip_file);
    let (bucket, object) = (some(location.oss_bucket_name), some(location.oss_object_name));
    let source = match (zip, bucket, object) {
        (Some(zip), None, None) => {
            let decoded = STANDARD
                .decode(zip.trim_ascii())
                .map_err(|_| Problem::invalid("code.zipFile is not base64"))?;
            CodeSource::Zip(decoded.into())
        }
        (None, Some(bucket), Some(object)) => CodeSource::Object { bucket, object },
        (None, None, None) => return Ok(None),
        _ => {
            return Err(Problem::invalid(
                "code is not valid: Either ossBucketName/ossObjectName or zipFile must be set",
            ));
        }
    };
    Ok(Some(CodeInput { source, checksum: some(location.checksum) }))
}

/// A link to a blob of code, good for a short while.
pub(crate) fn link_to(call: &Call, blob: &str) -> String {
    let path = format!("{LINK_ROOT}{}", URL_SAFE_NO_PAD.encode(blob));
    let until = call.engine().clock().wall_now() + call.door.config.link_lifetime;
    let keys = keys(&call.door);
    let query = link::make(&keys[0], link::Purpose::Code, &path, until);
    format!("{}{path}?{query}", call.origin)
}

/// What links are signed with; the first one signs. Never empty.
fn keys(door: &Door) -> Vec<SecretKey> {
    door.engine.link_keys().iter().map(|key| SecretKey::new(key.as_slice())).collect()
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let qualifier = call.query.get("qualifier");
    let package = call.engine().code_get(&call.caller, call.param(0), qualifier).await?;
    let url = link_to(&call, &package.blob);
    ok(&FunctionCode { url, checksum: package.crc64.to_string() })
}

/// Whoever follows a link signed nothing: they are told about the link.
fn refused(error: SignError) -> Problem {
    let (code, message) = match error {
        SignError::Expired => (Code::AccessDenied, "the link has expired; ask for a new one"),
        _ => (
            Code::SignatureNotMatch,
            "the link is not one of this server, or was changed; ask for a new one",
        ),
    };
    Problem::new(code, message)
}

/// Follows a link.
pub(crate) async fn download(
    door: &Arc<Door>,
    method: &http::Method,
    encoded: &str,
    query: &str,
) -> Result<Answer, Problem> {
    let path = format!("{LINK_ROOT}{encoded}");
    if method != http::Method::GET {
        return Err(Problem::no_path(method, &path));
    }
    let now = door.engine.clock().wall_now();
    let check = |key: &SecretKey| link::check(key, link::Purpose::Code, &path, query, now);
    let mut opened = Err(SignError::Mismatch);
    for key in keys(door) {
        opened = check(&key);
        if opened != Err(SignError::Mismatch) {
            break;
        }
    }
    opened.map_err(refused)?;
    let missing = || Problem::new(Code::ResourceNotFound, "the link leads to nothing");
    let blob = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| missing())?;
    let blob = String::from_utf8(blob).map_err(|_| missing())?;
    Ok(bytes(door.engine.code_read(&blob).await?, "application/zip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_or_none() {
        let read = |text: &str| said(serde_json::from_str(text).unwrap());
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"zipFile":""}"#), Ok(None));
        let zip = read(r#"{"zipFile":"UEs=","checksum":"5"}"#).unwrap().unwrap();
        assert_eq!(zip.checksum.as_deref(), Some("5"));
        assert!(read(r#"{"ossBucketName":"b","ossObjectName":"o"}"#).unwrap().is_some());
        assert!(read(r#"{"ossBucketName":"b"}"#).is_err());
        assert!(read(r#"{"zipFile":"?"}"#).is_err());
    }
}
