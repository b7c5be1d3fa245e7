//! The console: files that were built from `console/` and are part of this binary. What a page may do is
//! said in its policy: load from here and talk to here, nothing else; no inline script, no frame.
//!
//! In a debug build the files are read from `console/dist` each time, so that the console can be worked on
//! without compiling.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::answer::{self, Answer};

#[derive(RustEmbed)]
#[folder = "../../console/dist"]
struct Dist;

/// The page that every address of the console begins with.
const INDEX: &str = "index.html";

/// Where files lie whose names change with their content.
const ASSETS: &str = "assets/";

/// What the page may load and do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// A page or a file of the console; `None`: it has nothing there, or the request is not a browser's.
pub(crate) fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    let name = path.strip_prefix('/')?;
    let file = Some(name).filter(|name| !name.is_empty() && !name.ends_with(".gz"));
    let (name, file) = match file.and_then(|name| Some((name, Dist::get(name)?))) {
        Some(found) => found,
        // Addresses inside the console are the page's own matter.
        None if wants_page(name, headers) => (INDEX, Dist::get(INDEX)?),
        None => return None,
    };
    Some(answer(name, file, headers))
}

/// Whether somebody goes to an address with a browser. Files that are not there are not pages.
fn wants_page(name: &str, headers: &HeaderMap) -> bool {
    let accepts = |accept: &str| accept.contains("text/html");
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    !name.starts_with(ASSETS) && accept.is_some_and(accepts)
}

fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Answer {
    let tag = tag(&file);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag.as_str());
    let packed = if takes_gzip(headers) { Dist::get(&format!("{name}.gz")) } else { None };
    let is_packed = packed.is_some();
    let mut answer = if known {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let data = packed.unwrap_or(file).data;
        answer::bytes(Bytes::from(data.into_owned()), kind(name))
    };
    // A new version has new names beside a new page, so names may be kept for ever and the page never.
    let keep =
        if name.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
    answer::set(&mut answer, header::ETAG, &tag);
    for (name, value) in [
        (header::CACHE_CONTROL, keep),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if is_packed && !known {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// Weak, for packed and plain bytes are the same file.
fn tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("W/\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        for half in [byte >> 4, byte & 15] {
            tag.push(char::from_digit(half.into(), 16).expect("a half byte is a digit"));
        }
    }
    tag.push('"');
    tag
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok());
    let mut codings = accepted.unwrap_or_default().split(',').map(str::trim);
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().trim_start_matches("q=").parse::<f32>() == Ok(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    fn get(path: &str, pairs: &[(&'static str, &str)]) -> Option<Answer> {
        serve(&Method::GET, path, &headers(pairs))
    }

    #[test]
    fn every_address_of_a_browser_is_the_page_under_its_policy() {
        for path in ["/", "/tasks", "/functions/a/code", "/index.html"] {
            let answer = get(path, &[("accept", "text/html,*/*")]).unwrap();
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-cache");
        }
    }

    #[test]
    fn who_is_no_browser_is_told_that_nothing_is_there() {
        assert!(get("/", &[("accept", "application/json")]).is_none());
        assert!(get("/tasks", &[]).is_none());
        assert!(get("/assets/none.js", &[("accept", "text/html")]).is_none());
        assert!(get("/../Cargo.toml", &[]).is_none());
        let post = serve(&Method::POST, "/tasks", &headers(&[("accept", "text/html")]));
        assert!(post.is_none());
    }

    #[test]
    fn files_are_kept_for_ever_and_known_by_their_tag() {
        let script = Dist::iter()
            .find(|name| name.starts_with(ASSETS) && name.ends_with(".js"))
            .expect("a built console");
        let path = format!("/{script}");
        let plain = get(&path, &[]).unwrap();
        let packed = get(&path, &[("accept-encoding", "br, gzip")]).unwrap();
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let keep = plain.headers()[header::CACHE_CONTROL].to_str().unwrap();
        assert!(keep.contains("immutable"));
        let tag = plain.headers()[header::ETAG].to_str().unwrap().to_owned();
        let known = get(&path, &[("if-none-match", &tag), ("accept-encoding", "gzip")]).unwrap();
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert!(!known.headers().contains_key(header::CONTENT_ENCODING));
        assert!(get(&format!("{path}.gz"), &[]).is_none(), "packed files have no address");
    }

    #[test]
    fn gzip_may_be_refused() {
        for (accepted, takes) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            assert_eq!(takes_gzip(&headers(&[("accept-encoding", accepted)])), takes, "{accepted}");
        }
    }
}
