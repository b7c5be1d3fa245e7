//! Secrets of triggers and destinations: named in settings, kept sealed by the engine, and given out only
//! where a connection is made.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How settings name a secret: `{"secret": "kafka-password"}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The secret's name in the account.
    #[serde(rename = "secret")]
    pub name: String,
}

/// A secret text: it does not print and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one who connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
