//! The fields of an `Authorization` header, as ACS3 and Signature Version 4 both write them.

use crate::SignError;

/// What the header says; whether each must be there is the scheme's.
pub(crate) struct Fields<'a> {
    pub(crate) credential: Option<&'a str>,
    pub(crate) signed_headers: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Reads `SCHEME Credential=…,SignedHeaders=…,Signature=…`; each field at most once, and no other.
    pub(crate) fn parse(scheme: &str, authorization: &'a str) -> Result<Self, SignError> {
        let text = authorization.trim_ascii();
        let (said, fields) = text.split_once(' ').ok_or(SignError::Malformed("no fields"))?;
        if said != scheme {
            return Err(SignError::SchemeNotSupported);
        }
        let mut read = Self { credential: None, signed_headers: None, signature: None };
        for field in fields.split(',') {
            let (name, value) = field
                .trim_ascii()
                .split_once('=')
                .ok_or(SignError::Malformed("a field without ="))?;
            let slot = match name {
                "Credential" => &mut read.credential,
                "SignedHeaders" => &mut read.signed_headers,
                "Signature" => &mut read.signature,
                _ => return Err(SignError::Malformed("an unknown field")),
            };
            if slot.replace(value).is_some() {
                return Err(SignError::Malformed("a field twice"));
            }
        }
        Ok(read)
    }
}
