//! Signatures of webhooks: HMAC-SHA256 of the body, in lower-case hexadecimal.

use alloc::string::String;

use crate::secret::SecretKey;

/// The signature of a body.
pub fn signature(key: &SecretKey, body: &[u8]) -> String {
    hex::encode(key.mac(&[body]))
}
