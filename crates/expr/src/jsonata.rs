//! The evaluator: one per thread, with a small cache of what it has parsed.

use std::collections::HashMap;
use std::rc::Rc;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator as Engine, EvaluatorError, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Map, Value};

use crate::bounds::Bounds;
use crate::functions::{self, Turn};
use crate::guard::guard;
use crate::number::{Unfit, leave};

/// Expressions that stay parsed.
const CACHE_MAX: usize = 512;

/// Expressions to evaluate with the same bindings.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Sources, in order.
    pub sources: Vec<String>,
    /// What `$states` is; none leaves it unbound.
    pub states: Option<Value>,
    /// Variables by name.
    pub variables: Map<String, Value>,
    /// The input, `$`; none is nothing.
    pub data: Option<Value>,
    /// Randomness of this request.
    pub entropy: [u8; 16],
    /// Time of this request, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// An expression that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// JSONata's code, where it has one.
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

/// Whoever evaluates: the engine knows this and no library.
pub trait Evaluator {
    /// One answer for each source. An error reads after "the expression".
    fn evaluate(&mut self, request: &Request) -> Vec<Result<Value, String>>;
}

/// Whether a source parses.
pub fn check(source: &str) -> Result<(), Mistake> {
    parse(source, Bounds::default()).map(drop)
}

fn parse(source: &str, bounds: Bounds) -> Result<AstNode, Mistake> {
    let mistake = |message: String| Mistake { code: code(&message), message };
    if source.len() > bounds.source_bytes_max {
        return Err(mistake(format!("it has more than {} bytes", bounds.source_bytes_max)));
    }
    parser::parse(source).map_err(|error| match error {
        // The library has no code for this one; the suite has.
        parser::ParserError::UnclosedComment => mistake(format!("S0106: {error}")),
        error => mistake(error.to_string()),
    })
}

fn code(message: &str) -> Option<String> {
    jsonata_core::evaluator::error_code_prefix(message).map(ToOwned::to_owned)
}

/// The library, guarded.
pub struct Jsonata {
    bounds: Bounds,
    parsed: HashMap<String, Rc<AstNode>>,
}

impl std::fmt::Debug for Jsonata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jsonata").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Jsonata {
    /// An evaluator for one thread.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, parsed: HashMap::new() }
    }

    fn guarded(&mut self, source: &str) -> Result<Rc<AstNode>, Mistake> {
        if let Some(node) = self.parsed.get(source) {
            return Ok(Rc::clone(node));
        }
        let node = Rc::new(guard(parse(source, self.bounds)?));
        if self.parsed.len() >= CACHE_MAX {
            self.parsed.clear();
        }
        self.parsed.insert(source.to_owned(), Rc::clone(&node));
        Ok(node)
    }

    /// One expression; the error carries JSONata's code.
    pub fn evaluate_one(
        &mut self,
        source: &str,
        request: &Request,
    ) -> Result<Option<Value>, Mistake> {
        let node = self.guarded(source)?;
        let mut context = Context::new();
        if let Some(states) = &request.states {
            context.bind("states".to_owned(), JValue::from(states.clone()));
        }
        for (name, value) in &request.variables {
            context.bind(name.clone(), JValue::from(value.clone()));
        }
        let options = EvaluatorOptions {
            timeout_ms: Some(self.bounds.time_ms),
            max_stack_depth: Some(self.bounds.depth_max),
            max_sequence_length: Some(self.bounds.sequence_max),
            ..EvaluatorOptions::default()
        };
        let mut engine = Engine::with_options(context, options);
        let turn = Turn { entropy: request.entropy, now_ms: request.now_ms };
        functions::register(&mut engine, self.bounds, turn).map_err(mistake)?;
        let data = request.data.clone().map_or(JValue::Undefined, JValue::from);
        let result = engine.evaluate(&node, &data).map_err(mistake)?;
        let mut budget = self.bounds.output_bytes_max;
        let refuse = |message: String| Mistake { code: None, message };
        match leave(&result, &mut budget) {
            Ok(value) => Ok(Some(value)),
            Err(Unfit::Undefined) => Ok(None),
            Err(Unfit::Unsupported) => {
                Err(refuse("returned an unsupported result type.".to_owned()))
            }
            Err(Unfit::TooLarge) => {
                let most = self.bounds.output_bytes_max;
                Err(refuse(format!("returned more than {most} bytes.")))
            }
        }
    }
}

fn mistake(error: EvaluatorError) -> Mistake {
    Mistake { code: error.code().map(ToOwned::to_owned), message: error.message().to_owned() }
}

impl Evaluator for Jsonata {
    fn evaluate(&mut self, request: &Request) -> Vec<Result<Value, String>> {
        let one = |source: &String| match self.evaluate_one(source, request) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err("returned nothing (undefined).".to_owned()),
            Err(mistake) if mistake.message.starts_with("returned") => Err(mistake.message),
            Err(mistake) => Err(format!("failed: {mistake}")),
        };
        request.sources.iter().map(one).collect()
    }
}
