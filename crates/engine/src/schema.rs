//! JSON Schemas for payloads, compiled once per function and text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use stint_model::code::{Code, Refusal};
use stint_model::id::FunctionId;

/// The most compiled schemas kept; past it the cache starts anew.
const COMPILED_MAX: usize = 1_024;

/// A schema's text and what it compiled to.
type Compiled = (Arc<str>, Arc<Validator>);

/// Compiled schemas by function.
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<FunctionId, Compiled>>,
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schemas")
    }
}

impl Schemas {
    pub(crate) fn new() -> Self {
        Self { compiled: Mutex::default() }
    }

    /// Whether a payload is JSON that matches the schema.
    ///
    /// # Errors
    /// `PayloadSchemaMismatch` with the first thing that does not.
    pub(crate) fn check(
        &self,
        function: FunctionId,
        schema: &Arc<str>,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let mismatch = |message: String| Refusal::new(Code::PayloadSchemaMismatch, message);
        let value: serde_json::Value = serde_json::from_slice(payload)
            .map_err(|error| mismatch(format!("the payload is not JSON: {error}")))?;
        let validator = self.validator(function, schema)?;
        let first = validator.iter_errors(&value).next();
        match first {
            None => Ok(()),
            Some(error) => {
                let path = error.instance_path().to_string();
                let place = if path.is_empty() { "/".to_owned() } else { path };
                Err(mismatch(format!(
                    "the payload does not match the function's schema at {place}: {error}"
                )))
            }
        }
    }

    fn validator(
        &self,
        function: FunctionId,
        schema: &Arc<str>,
    ) -> Result<Arc<Validator>, Refusal> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, validator)) = compiled.get(&function)
            && text == schema
        {
            return Ok(Arc::clone(validator));
        }
        let validator = Arc::new(compile(schema)?);
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(function, (Arc::clone(schema), Arc::clone(&validator)));
        Ok(validator)
    }
}

/// Compiles a schema; used when it is set, so that a bad one never gets into the book.
///
/// # Errors
/// `InvalidArgument` when it is no JSON Schema.
pub fn compile(schema: &str) -> Result<Validator, Refusal> {
    let value: serde_json::Value = serde_json::from_str(schema)
        .map_err(|error| Refusal::invalid(format!("the payload schema is not JSON: {error}")))?;
    jsonschema::validator_for(&value)
        .map_err(|error| Refusal::invalid(format!("the payload schema is no JSON Schema: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_held_against_the_schema() {
        let schemas = Schemas::new();
        let schema: Arc<str> = r#"{"type":"object","required":["url"]}"#.into();
        let function = FunctionId::from_number(1);
        assert_eq!(schemas.check(function, &schema, br#"{"url":"x"}"#), Ok(()));
        let missing = schemas.check(function, &schema, b"{}").unwrap_err();
        assert_eq!(missing.code, Code::PayloadSchemaMismatch);
        assert!(missing.message.contains("url"), "{}", missing.message);
        assert!(schemas.check(function, &schema, b"{").is_err());
        let other: Arc<str> = r#"{"type":"array"}"#.into();
        assert_eq!(
            schemas.check(function, &other, b"[]"),
            Ok(()),
            "a changed schema is compiled anew"
        );
    }

    #[test]
    fn a_bad_schema_is_refused() {
        assert!(compile("{").is_err());
        assert!(compile(r#"{"type":"nonsense"}"#).is_err());
    }
}
