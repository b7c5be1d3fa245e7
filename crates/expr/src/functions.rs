//! Host functions: those that States Language adds, those that are taken away, and the judges that the
//! guards call.

use std::cell::Cell;
use std::rc::Rc;

use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::value::JValue;
use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::bounds::Bounds;
use crate::guard::{FITS, JUDGED, judge};
use crate::number::fits;

/// Items of `$range`.
const RANGE_MAX: f64 = 1_000.0;

type Answer = Result<JValue, EvaluatorError>;

fn refuse<T>(said: impl Into<String>) -> Result<T, EvaluatorError> {
    Err(EvaluatorError::EvaluationError(said.into()))
}

/// What an evaluation draws on: entropy and time that came in as values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) entropy: [u8; 16],
    pub(crate) now_ms: i64,
}

pub(crate) fn register(
    evaluator: &mut Evaluator,
    bounds: Bounds,
    turn: Turn,
) -> Result<(), EvaluatorError> {
    let most = bounds.value_bytes_max;
    evaluator.register_fn(FITS, move |args: &[JValue]| measure(args, most))?;
    for (name, _) in JUDGED {
        let name = *name;
        evaluator.register_fn(judge(name), move |args: &[JValue]| may(name, args, most))?;
    }
    evaluator.register_fn_override("eval", |_: &[JValue]| refuse("$eval is not available"))?;
    // Time is the turn's: `guard` turns `$now` into a use of it.
    let now = turn.now_ms;
    evaluator.register_fn_override("millis", move |_: &[JValue]| Ok(JValue::from(now)))?;
    evaluator.register_fn("parse", move |args: &[JValue]| parse(args, most))?;
    evaluator.register_fn("hash", hash)?;
    evaluator.register_fn("partition", partition)?;
    evaluator.register_fn("range", range)?;
    let drawn = Rc::new(Cell::new(0_u64));
    let draw = move || draw(&turn.entropy, &drawn);
    let again = draw.clone();
    evaluator.register_fn("uuid", move |_: &[JValue]| Ok(JValue::from(uuid(again()))))?;
    evaluator.register_fn_override("random", move |args: &[JValue]| match args.first() {
        None | Some(JValue::Undefined) => Ok(JValue::Number(fraction(draw()))),
        Some(JValue::Number(seed)) => {
            let digest = Sha256::digest(seed.to_be_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            Ok(JValue::Number(fraction(bytes)))
        }
        Some(_) => refuse("T0410: $random takes a number as its seed"),
    })?;
    Ok(())
}

fn measure(args: &[JValue], most: usize) -> Answer {
    let value = args.first().cloned().unwrap_or(JValue::Undefined);
    let mut budget = most;
    if fits(&value, &mut budget) {
        return Ok(value);
    }
    refuse(format!("D3999: a value inside the expression has more than {most} bytes"))
}

fn length(value: Option<&JValue>) -> usize {
    value.and_then(JValue::as_str).map_or(0, str::len)
}

/// Refuses calls whose result would be too large. What is wrong with the arguments otherwise is said by
/// the function itself.
fn may(name: &str, args: &[JValue], most: usize) -> Answer {
    let mut budget = most;
    let do_fit = args.iter().all(|arg| fits(arg, &mut budget));
    let bytes = match name {
        "pad" => args.get(1).and_then(JValue::as_f64).map_or(0.0, f64::abs) * 4.0,
        "join" => {
            let items = args.first().and_then(JValue::as_array).map_or(0, Vec::len);
            as_f64(items) * as_f64(length(args.get(1)))
        }
        "replace" => as_f64(matches_at_most(args)) * as_f64(length(args.get(2))),
        "fromMillis" if args.get(1).is_some_and(has_wide_part) => f64::INFINITY,
        _ => 0.0,
    };
    if do_fit && bytes <= as_f64(most) {
        return Ok(JValue::Undefined);
    }
    refuse(format!("D3999: ${name} would give more than {most} bytes"))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn as_f64(n: usize) -> f64 {
    n as f64
}

/// How often a pattern can be found: exactly for texts, once a character for patterns.
fn matches_at_most(args: &[JValue]) -> usize {
    let text = args.first().and_then(JValue::as_str).unwrap_or_default();
    let found = match args.get(1).and_then(JValue::as_str) {
        Some("") => 0,
        Some(pattern) => text.matches(pattern).count(),
        None => text.chars().count() + 1,
    };
    let limit = args.get(3).and_then(JValue::as_f64).filter(|limit| *limit >= 0.0);
    limit
        .map_or(found, |limit| if limit < as_f64(found) { found.min(number(limit)) } else { found })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn number(float: f64) -> usize {
    float.max(0.0) as usize
}

/// A part of a picture says after a comma how wide it is.
fn has_wide_part(picture: &JValue) -> bool {
    let wide = |part: &str| {
        part.split('-')
            .any(|width| width.trim_start().bytes().take_while(u8::is_ascii_digit).count() > 3)
    };
    picture.as_str().is_some_and(|text| text.split(',').skip(1).any(wide))
}

fn parse(args: &[JValue], most: usize) -> Answer {
    let text = match args.first() {
        Some(JValue::String(text)) => text,
        None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(_) => return refuse("T0410: $parse takes a string"),
    };
    if text.len() > most {
        return refuse(format!("D3999: $parse takes at most {most} bytes"));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => Ok(JValue::from(value)),
        Err(error) => refuse(format!("D3120: this is no JSON: {error}")),
    }
}

fn hash(args: &[JValue]) -> Answer {
    let text = match args.first() {
        Some(JValue::String(text)) => text.to_string(),
        None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(_) => return refuse("T0410: $hash takes a string"),
    };
    let digest = match args.get(1).and_then(JValue::as_str) {
        Some("MD5") => hex::encode(Md5::digest(text)),
        Some("SHA-1") => hex::encode(Sha1::digest(text)),
        Some("SHA-256") => hex::encode(Sha256::digest(text)),
        Some("SHA-384") => hex::encode(Sha384::digest(text)),
        Some("SHA-512") => hex::encode(Sha512::digest(text)),
        _ => return refuse("T0410: $hash knows MD5, SHA-1, SHA-256, SHA-384 and SHA-512"),
    };
    Ok(JValue::from(digest))
}

fn whole(value: Option<&JValue>, what: &str) -> Result<f64, EvaluatorError> {
    match value.and_then(JValue::as_f64) {
        Some(number) if number.is_finite() => Ok(number.round()),
        _ => refuse(format!("T0410: {what} takes numbers")),
    }
}

fn partition(args: &[JValue]) -> Answer {
    let Some(items) = args.first().filter(|value| !value.is_undefined()) else {
        return Ok(JValue::Undefined);
    };
    let size = number(whole(args.get(1), "$partition")?);
    let Some(items) = items.as_array() else { return refuse("T0410: $partition takes an array") };
    if size == 0 {
        return refuse("D3001: the size of the parts must be positive");
    }
    Ok(JValue::array(items.chunks(size).map(|part| JValue::array(part.to_vec())).collect()))
}

fn range(args: &[JValue]) -> Answer {
    let first = whole(args.first(), "$range")?;
    let last = whole(args.get(1), "$range")?;
    let step = whole(args.get(2), "$range")?;
    if step == 0.0 {
        return refuse("D3001: the step must not be 0");
    }
    let count = ((last - first) / step).floor() + 1.0;
    if count > RANGE_MAX {
        return refuse(format!("D3001: $range gives at most {RANGE_MAX} items"));
    }
    let items = (0..number(count)).map(|at| JValue::Number(first + as_f64(at) * step));
    Ok(JValue::array(items.collect()))
}

fn draw(entropy: &[u8; 16], drawn: &Cell<u64>) -> [u8; 16] {
    let count = drawn.get();
    drawn.set(count.wrapping_add(1));
    let digest = Sha256::new().chain_update(entropy).chain_update(count.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes
}

fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn fraction(bytes: [u8; 16]) -> f64 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[..4]);
    f64::from(u32::from_be_bytes(four)) / (f64::from(u32::MAX) + 1.0)
}
