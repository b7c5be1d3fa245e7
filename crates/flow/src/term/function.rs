//! The functions of both dialects that have some. Arguments come in evaluated; what a function
//! refuses is a text, which the dialect turns into its error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::collection;
use crate::path::regex;
use crate::prelude::*;
use crate::random::Random;
use crate::value;

/// Longest text that is hashed or coded in States Language.
const TEXT_MAX: usize = 10_000;

macro_rules! functions {
    ($($name:ident $states:literal $cloud:literal $least:literal $most:literal,)+) => {
        /// A function, by what it does; `""` where a dialect has no name for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function {
            $($name,)+
        }

        impl Function {
            pub(crate) fn of_states(name: &str) -> Option<Self> {
                match name {
                    $($states if !$states.is_empty() => Some(Self::$name),)+
                    _ => None,
                }
            }

            fn named_in_cloud(name: &str) -> Option<Self> {
                match name {
                    $($cloud if !$cloud.is_empty() => Some(Self::$name),)+
                    _ => None,
                }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => if $states.is_empty() { $cloud } else { $states },)+
                }
            }

            const fn arity(self) -> (usize, usize) {
                match self {
                    $(Self::$name => ($least, $most),)+
                }
            }
        }
    };
}

functions! {
    Format "States.Format" "" 1 100,
    StringToJson "States.StringToJson" "" 1 1,
    JsonToString "States.JsonToString" "" 1 1,
    Array "States.Array" "" 0 1000,
    ArrayPartition "States.ArrayPartition" "" 2 2,
    ArrayContains "States.ArrayContains" "" 2 2,
    ArrayRange "States.ArrayRange" "" 3 3,
    ArrayGetItem "States.ArrayGetItem" "" 2 2,
    ArrayLength "States.ArrayLength" "" 1 1,
    ArrayUnique "States.ArrayUnique" "" 1 1,
    Base64Encode "States.Base64Encode" "" 1 1,
    Base64Decode "States.Base64Decode" "" 1 1,
    Hash "States.Hash" "" 2 2,
    JsonMerge "States.JsonMerge" "" 3 3,
    MathRandom "States.MathRandom" "" 2 3,
    MathAdd "States.MathAdd" "" 2 2,
    StringSplit "States.StringSplit" "" 2 2,
    Uuid "States.UUID" "" 0 0,
    CloudFormat "" "format" 1 100,
    CloudParse "" "stringToJson" 1 1,
    CloudPrint "" "jsonToString" 1 1,
    CloudArray "" "toArray" 0 1000,
    CloudContains "" "arrayContains" 2 2,
    CloudUnique "" "arrayUnique" 1 1,
    CloudGet "" "get" 2 2,
    CloudLength "" "length" 1 1,
    CloudKeys "" "mapKeys" 1 1,
    CloudValues "" "mapValues" 1 1,
    CloudMerge "" "jsonMerge" 2 2,
    CloudSplit "" "split" 2 2,
    CloudMatch "" "regexMatchString" 2 2,
    CloudHash "" "hash" 2 2,
    CloudDecode "" "fromBase64" 1 1,
    CloudEncode "" "toBase64" 1 1,
    CloudAdd "" "intAdd" 2 2,
    CloudRandom "" "randomInt" 2 2,
    CloudUuid "" "uuid" 0 0,
}

impl Function {
    /// Also the names that only translations of the documentation use.
    pub(crate) fn of_cloud(name: &str) -> Option<Self> {
        match name {
            "fromJSON" => Some(Self::CloudParse),
            "toJSON" => Some(Self::CloudPrint),
            name => Self::named_in_cloud(name),
        }
    }

    pub(crate) fn check_arity(self, count: usize) -> Result<(), String> {
        let (least, most) = self.arity();
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let takes = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        Err(format!("{} takes {takes} arguments, not {count}", self.name()))
    }

    pub(super) fn call(self, arguments: Vec<Value>, random: &Random) -> Result<Value, String> {
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().unwrap_or(Value::Null);
        Ok(match self {
            Self::Uuid | Self::CloudUuid => Value::String(random.uuid()),
            Self::Array | Self::CloudArray => Value::Array(arguments.collect()),
            Self::Format => format_states(&text(next())?, arguments)?,
            Self::CloudFormat => format_cloud(&text(next())?, arguments)?,
            Self::StringToJson | Self::CloudParse => parse_json(next())?,
            Self::JsonToString | Self::CloudPrint => Value::String(next().to_string()),
            Self::ArrayPartition => collection::partition(next(), &next())?,
            Self::ArrayContains | Self::CloudContains => {
                let (items, wanted) = (list(next())?, next());
                Value::Bool(items.iter().any(|item| value::equal(item, &wanted)))
            }
            Self::ArrayRange => collection::range(&next(), &next(), &next())?,
            Self::ArrayGetItem => collection::item(next(), &next())?,
            Self::ArrayLength => Value::from(list(next())?.len()),
            Self::ArrayUnique | Self::CloudUnique => collection::unique(list(next())?),
            Self::Base64Encode => encode(&short(next())?),
            Self::CloudEncode => encode(&text(next())?),
            Self::Base64Decode => decode(&short(next())?)?,
            Self::CloudDecode => decode(&text(next())?)?,
            Self::Hash => hash(&short_or_json(next())?, &text(next())?)?,
            Self::CloudHash => hash(&text(next())?, &text(next())?)?,
            Self::JsonMerge => {
                let (under, over, deep) = (object(next())?, object(next())?, next());
                if deep != Value::Bool(false) {
                    return Err("the third argument must be false: merging is shallow".to_owned());
                }
                value::merged(&under, &over)
            }
            Self::CloudMerge => value::merged(&object(next())?, &object(next())?),
            Self::MathRandom => {
                let (low, high) = (integer(&next())?, integer(&next())?);
                match arguments.next() {
                    None => draw(low, high, random)?,
                    Some(seed) => draw(low, high, &Random::seeded(&seed.to_string()))?,
                }
            }
            Self::CloudRandom => draw(integer(&next())?, integer(&next())?, random)?,
            Self::MathAdd => {
                let (a, b) = (rounded(&next())?, rounded(&next())?);
                a.checked_add(b).map(Value::from).ok_or("the sum is too large")?
            }
            Self::CloudAdd => {
                let (a, b) = (integer(&next())?, integer(&next())?);
                a.checked_add(b).map(Value::from).ok_or("the sum is too large")?
            }
            Self::StringSplit => collection::split_any(&text(next())?, &text(next())?),
            Self::CloudSplit => collection::split(&text(next())?, &text(next())?),
            Self::CloudGet => collection::get(next(), &next())?,
            Self::CloudLength => collection::length(&next())?,
            Self::CloudKeys => {
                object(next())?.as_object().into_iter().flat_map(Map::keys).cloned().collect()
            }
            Self::CloudValues => {
                object(next())?.as_object().into_iter().flat_map(Map::values).cloned().collect()
            }
            Self::CloudMatch => {
                let (pattern, subject) = (text(next())?, text(next())?);
                Value::Bool(regex(&pattern, "")?.is_match(&subject))
            }
        })
    }
}

fn text(value: Value) -> Result<String, String> {
    let Value::String(text) = value else {
        return Err(format!("a string is expected, not a {}", value::kind(&value)));
    };
    Ok(text)
}

fn short(value: Value) -> Result<String, String> {
    let text = text(value)?;
    if text.chars().count() <= TEXT_MAX {
        return Ok(text);
    }
    Err(format!("at most {TEXT_MAX} characters are taken"))
}

fn short_or_json(value: Value) -> Result<String, String> {
    if value.is_string() { short(value) } else { short(Value::String(value.to_string())) }
}

fn list(value: Value) -> Result<Vec<Value>, String> {
    let Value::Array(items) = value else {
        return Err(format!("an array is expected, not a {}", value::kind(&value)));
    };
    Ok(items)
}

fn object(value: Value) -> Result<Value, String> {
    if value.is_object() {
        return Ok(value);
    }
    Err(format!("an object is expected, not a {}", value::kind(&value)))
}

pub(super) fn integer(value: &Value) -> Result<i64, String> {
    value::whole(value).ok_or_else(|| "an integer is expected".to_owned())
}

/// States Language rounds what should be an integer; halves go up.
pub(super) fn rounded(value: &Value) -> Result<i64, String> {
    let Value::Number(number) = value else {
        return Err(format!("a number is expected, not a {}", value::kind(value)));
    };
    let float = number.as_f64().unwrap_or(f64::NAN);
    Ok(number.as_i64().unwrap_or_else(|| value::round_half_up(float)))
}

fn draw(low: i64, high: i64, random: &Random) -> Result<Value, String> {
    let span =
        high.checked_sub(low).and_then(|span| u64::try_from(span).ok()).filter(|span| *span > 0);
    let span = span.ok_or("the first number must be below the second")?;
    Ok(Value::from(low.saturating_add_unsigned(random.below(span))))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn format_states(template: &str, mut arguments: vec::IntoIter<Value>) -> Result<Value, String> {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\'' | '{' | '}' | '\\')) => out.extend(chars.next()),
            ('{', Some('}')) => {
                chars.next();
                let value = arguments.next().ok_or("there are more {} than values")?;
                out.push_str(&shown(&value));
            }
            _ => out.push(c),
        }
    }
    if arguments.next().is_some() {
        return Err("there are more values than {}".to_owned());
    }
    Ok(Value::String(out))
}

fn format_cloud(template: &str, mut arguments: vec::IntoIter<Value>) -> Result<Value, String> {
    let mut pieces = template.split("{}");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let value = arguments.next().ok_or("there are more {} than values")?;
        out.push_str(&shown(&value));
        out.push_str(piece);
    }
    if arguments.next().is_some() {
        return Err("there are more values than {}".to_owned());
    }
    Ok(Value::String(out))
}

fn parse_json(value: Value) -> Result<Value, String> {
    let text = text(value)?;
    serde_json::from_str(&text).map_err(|error| format!("this is no JSON: {error}"))
}

fn encode(text: &str) -> Value {
    Value::String(STANDARD.encode(text))
}

fn decode(text: &str) -> Result<Value, String> {
    let bytes = STANDARD.decode(text).map_err(|_| "this is no Base64")?;
    String::from_utf8(bytes)
        .map(Value::String)
        .map_err(|_| "the bytes are no UTF-8 text".to_owned())
}

fn hash(text: &str, algorithm: &str) -> Result<Value, String> {
    let digest = match algorithm {
        "MD5" => hex::encode(Md5::digest(text)),
        "SHA-1" => hex::encode(Sha1::digest(text)),
        "SHA-256" => hex::encode(Sha256::digest(text)),
        "SHA-384" => hex::encode(Sha384::digest(text)),
        "SHA-512" => hex::encode(Sha512::digest(text)),
        other => {
            return Err(format!("`{other}` is none of MD5, SHA-1, SHA-256, SHA-384 and SHA-512"));
        }
    };
    Ok(Value::String(digest))
}
