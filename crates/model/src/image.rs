//! What a container image is called, and what became of it. Pure: who fetches one is the node.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// Where an image comes from, as `customContainerConfig.image` says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageSource {
    /// `[host[:port]/]repository[:tag][@sha256:…]`: a registry.
    Registry {
        /// With its port, if one was said. `docker.io` unless a host was said.
        host: String,
        /// Below the host.
        repository: String,
        /// `latest` when neither tag nor digest was said.
        tag: Option<String>,
        /// What it must be.
        digest: Option<String>,
    },
    /// `oci:/directory[:tag]`: an OCI layout on the node, in a directory the operator allows.
    Layout {
        /// Absolute.
        path: String,
        /// By its annotation; not needed when there is only one image.
        tag: Option<String>,
    },
    /// `code[:tag]`: an archive that was uploaded as the function's code.
    Code {
        /// By its name in the archive; not needed when there is only one image.
        tag: Option<String>,
    },
}

/// The registry that images without a host are of.
const HOST_DEFAULT: &str = "docker.io";

impl ImageSource {
    /// Reads a reference.
    ///
    /// # Errors
    /// What is wrong with it, for the caller.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("image '{text}' holds a blank"));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = tagged(rest);
            let climbs = path.split('/').any(|part| part == "..");
            if !path.starts_with('/') || climbs {
                return Err(format!("image '{text}': write oci:/absolute/directory[:tag]"));
            }
            return Ok(Self::Layout { path: path.to_owned(), tag });
        }
        match tagged(text) {
            ("code", tag) => Ok(Self::Code { tag }),
            _ => registry(text),
        }
    }
}

fn registry(text: &str) -> Result<ImageSource, String> {
    let wrong = |why: &str| format!("image '{text}' is not [host[:port]/]repository[:tag]: {why}");
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) if is_digest(digest) => (name, Some(digest.to_owned())),
        Some(_) => return Err(wrong("the digest must be sha256: and 64 hexadecimal digits")),
        None => (text, None),
    };
    let (name, tag) = tagged(name);
    let (host, repository) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':', '[']) || host == "localhost" => (host, rest),
        Some(_) | None => (HOST_DEFAULT, name),
    };
    let repository = match (host, repository.contains('/')) {
        (HOST_DEFAULT, false) => format!("library/{repository}"),
        _ => repository.to_owned(),
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let parts_hold = repository.split('/').all(|part| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(plain)
    });
    if !parts_hold || repository.len() > 255 {
        return Err(wrong("a repository is lower-case letters, digits, '.', '_', '-' and '/'"));
    }
    let host_holds = host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(c));
    if !host_holds {
        return Err(wrong("the host is not one"));
    }
    let tag = match (tag, &digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag,
    };
    let tag_holds = tag.as_ref().is_none_or(|tag| {
        tag.len() <= 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    });
    if !tag_holds {
        return Err(wrong("a tag is at most 128 letters, digits, '.', '_' and '-'"));
    }
    Ok(ImageSource::Registry { host: host.to_owned(), repository, tag, digest })
}

/// A name and the tag after its last colon, unless that is a port.
fn tagged(name: &str) -> (&str, Option<String>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.is_empty() && !tag.contains('/') => (name, Some(tag.to_owned())),
        Some(_) | None => (name, None),
    }
}

/// Whether a text is a digest as images have them.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// What a reference meant when the function was created or updated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinnedImage {
    /// `sha256:…` of what the reference named.
    pub digest: String,
    /// For people and tools: the reference with the digest in place of the tag.
    pub uri: String,
}

/// Why an image cannot be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageFault {
    /// Which kind.
    pub kind: ImageFaultKind,
    /// In words, for the function's owner.
    pub reason: String,
}

/// The kinds; each has a stable text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageFaultKind {
    /// The registry, directory or archive has no such image.
    NotFound,
    /// Wrong or missing credentials.
    AccessDenied,
    /// The registry does not answer, or not as one.
    Unreachable,
    /// It is there and cannot be run: a bad archive, another platform, too large.
    Invalid,
    /// The operator does not allow its source.
    NotAllowed,
    /// The tag names another image now, and the pinned one is no longer on the node.
    Changed,
    /// The node's own trouble.
    Internal,
}

impl ImageFaultKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotFound,
        Self::AccessDenied,
        Self::Unreachable,
        Self::Invalid,
        Self::NotAllowed,
        Self::Changed,
        Self::Internal,
    ];

    /// The reason code on the wire and in the book.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "ImageNotFound",
            Self::AccessDenied => "ImageAccessDenied",
            Self::Unreachable => "ImageUnreachable",
            Self::Invalid => "ImageInvalid",
            Self::NotAllowed => "ImageNotAllowed",
            Self::Changed => "ImageChanged",
            Self::Internal => "ImageInternalError",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (String, String, String) {
        match ImageSource::parse(text) {
            Ok(ImageSource::Registry { host, repository, tag, digest }) => {
                (host, repository, digest.or(tag).unwrap())
            }
            Ok(ImageSource::Layout { path, tag }) => ("oci".into(), path, tag.unwrap_or_default()),
            Ok(ImageSource::Code { tag }) => {
                ("code".into(), String::new(), tag.unwrap_or_default())
            }
            Err(error) => (error, String::new(), String::new()),
        }
    }

    #[test]
    fn references_are_read_as_tools_write_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, host, rest, version) in [
            ("busybox", "docker.io", "library/busybox", "latest"),
            ("busybox:1.36", "docker.io", "library/busybox", "1.36"),
            ("team/app:v1", "docker.io", "team/app", "v1"),
            ("localhost/app", "localhost", "app", "latest"),
            ("127.0.0.1:5000/team/app:v1", "127.0.0.1:5000", "team/app", "v1"),
            ("[::1]:5000/app", "[::1]:5000", "app", "latest"),
            ("registry.example.com/a/b", "registry.example.com", "a/b", "latest"),
            ("oci:/srv/images/app", "oci", "/srv/images/app", ""),
            ("oci:/srv/images/app:v2", "oci", "/srv/images/app", "v2"),
            ("code", "code", "", ""),
            ("code:app", "code", "", "app"),
        ] {
            assert_eq!(of(text), (host.into(), rest.into(), version.into()), "{text}");
        }
        assert_eq!(of(&format!("r.io/a@{digest}")), ("r.io".into(), "a".into(), digest.clone()));
        assert_eq!(of(&format!("r.io/a:t@{digest}")).2, digest);
    }

    #[test]
    fn what_is_no_reference_says_why() {
        for (text, word) in [
            ("Busybox", "lower-case"),
            ("a//b", "lower-case"),
            ("", "lower-case"),
            ("a b", "blank"),
            ("a@sha256:12", "64 hexadecimal"),
            ("oci:images", "absolute"),
            ("oci:/srv/../etc", "absolute"),
            ("http://r.io/a", "repository"),
            ("r.io/a:b+c", "a tag is"),
        ] {
            let said = ImageSource::parse(text).unwrap_err();
            assert!(said.contains(word), "{said} should contain {word}");
        }
    }
}
