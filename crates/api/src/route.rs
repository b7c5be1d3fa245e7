//! From method and raw path to an operation. Paths are matched as they were sent and decoded segment
//! by segment, so that a layer's ARN (`acs%3Afc%3A…%2F…`) stays one parameter.

use http::Method;
use stint_wire::{fc, native};

use crate::error::Problem;
use crate::query::decode_segment;

/// What a path came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// An operation of Function Compute.
    Fc(&'static fc::operation::Operation, Vec<String>),
    /// An operation of `/v1`.
    Native(&'static native::operation::Operation, Vec<String>),
    /// Nothing here.
    None,
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fc(operation, _) => operation.name,
            Self::Native(operation, _) => operation.id,
            Self::None => "none",
        })
    }
}

/// Every Function Compute path begins so.
pub(crate) const FC_ROOT: &str = "/2023-03-30";

/// Finds the operation.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, Problem> {
    if let Some(rest) = path.strip_prefix(FC_ROOT) {
        for operation in fc::operation::OPERATIONS {
            if operation.method == method.as_str()
                && let Some(params) = matches(operation.path, rest)
            {
                return Ok(Route::Fc(operation, decode(&params)?));
            }
        }
        return Ok(Route::None);
    }
    // An address with a verb (`tasks:stop`) is looked for before one whose parameter would take it.
    let mut found = None;
    for operation in native::operation::OPERATIONS {
        if operation.method == method.as_str()
            && let Some(params) = matches(operation.path, path)
        {
            let verb = operation.path.contains(':');
            if verb || found.is_none() {
                found = Some((operation, params));
            }
            if verb {
                break;
            }
        }
    }
    match found {
        Some((operation, params)) => Ok(Route::Native(operation, decode(&params)?)),
        None => Ok(Route::None),
    }
}

/// Function and instance of a command in an instance (§1.20), which is no operation of the SDK.
pub(crate) fn exec(method: &Method, path: &str) -> Option<Result<(String, String), Problem>> {
    let rest = path.strip_prefix(FC_ROOT).filter(|_| method == Method::GET)?;
    let params = matches("/functions/{f}/instances/{i}/exec", rest)?;
    Some(decode(&params).map(|params| {
        let mut params = params.into_iter();
        let mut next = || params.next().unwrap_or_default();
        (next(), next())
    }))
}

/// The raw parameters, if the path fits the pattern.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut params = Vec::new();
    let mut path = path.split('/');
    for expected in pattern.split('/') {
        let given = path.next()?;
        match expected.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            None if expected == given => {}
            None => return None,
            Some((_, verb)) => {
                let value = given.strip_suffix(verb)?;
                if value.is_empty() {
                    return None;
                }
                params.push(value);
            }
        }
    }
    if path.next().is_some() { None } else { Some(params) }
}

fn decode(raw: &[&str]) -> Result<Vec<String>, Problem> {
    raw.iter().map(|segment| decode_segment(segment)).collect()
}

/// The function of `POST /2023-03-30/functions/{f}/invocations`, looked at before any table.
pub(crate) fn invocation(method: &Method, path: &str) -> Option<Result<String, Problem>> {
    if method != Method::POST {
        return None;
    }
    let name = path.strip_prefix("/2023-03-30/functions/")?.strip_suffix("/invocations")?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    Some(decode_segment(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(method: &str, path: &str) -> String {
        find(&Method::from_bytes(method.as_bytes()).unwrap(), path).unwrap().to_string()
    }

    #[test]
    fn every_operation_is_found_under_its_own_address() {
        let fill = |path: &str| path.replace('{', "x").replace('}', "y");
        for operation in fc::operation::OPERATIONS {
            let path = format!("{FC_ROOT}{}", fill(operation.path));
            assert_eq!(name(operation.method, &path), operation.name);
        }
        for operation in native::operation::OPERATIONS {
            assert_eq!(name(operation.method, &fill(operation.path)), operation.id);
        }
    }

    #[test]
    fn a_parameter_stays_one_segment() {
        let found = find(&Method::GET, "/2023-03-30/layerarn/acs%3Afc%3Ar%3A1%3Alayers%2Fl");
        let Ok(Route::Fc(operation, params)) = found else { panic!("{found:?}") };
        assert_eq!(operation.name, "GetLayerVersionByArn");
        assert_eq!(params, ["acs:fc:r:1:layers/l"]);
        for path in
            ["/2023-03-30/functions/", "/2023-03-30/functions/a/b/c", "/v2", "", "/v1/tasks/"]
        {
            assert_eq!(name("GET", path), "none", "{path}");
        }
        assert!(find(&Method::GET, "/v1/tasks/%ff").is_err());
        assert_eq!(name("POST", "/v1/backlogs/f:pause"), "pauseBacklog");
        assert_eq!(name("POST", "/v1/backlogs/:pause"), "none");
    }

    #[test]
    fn an_invocation_needs_no_table() {
        let found = |path| invocation(&Method::POST, path);
        assert_eq!(found("/2023-03-30/functions/f%41/invocations"), Some(Ok("fA".to_owned())));
        assert_eq!(found("/2023-03-30/functions//invocations"), None);
        assert_eq!(found("/2023-03-30/functions/a/b/invocations"), None);
        assert_eq!(invocation(&Method::GET, "/2023-03-30/functions/f/invocations"), None);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "[/a-z0-9%:{}.]{0,60}", tail in ".{0,20}") {
            drop(find(&Method::GET, &path));
            drop(find(&Method::POST, &format!("/v1/{path}{tail}")));
            drop(find(&Method::PUT, &format!("/2023-03-30/{path}{tail}")));
            drop(invocation(&Method::POST, &path));
        }
    }
}
