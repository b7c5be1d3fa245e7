//! Resource names: ARNs of both clouds and short forms, with how a call's end is known.

use crate::plan::{CallMode, Resource};
use crate::prelude::*;

/// What a `Resource` of States Language means.
pub(crate) fn states(text: &str) -> Result<(Resource, CallMode), String> {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "states", "", "", call] => service(call),
        ["arn", _, "states", _, _, what] => match what.split_once(':') {
            Some(("activity", name)) if !name.is_empty() => {
                Ok((Resource::Activity { name: name.to_owned() }, CallMode::Poll))
            }
            _ => Err(format!("`{text}` is neither an activity nor an integration")),
        },
        ["arn", _, "lambda", _, _, what] => {
            let name = what.strip_prefix("function:").filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| format!("`{text}` names no function"))?;
            let (name, qualifier) = qualified(name, ':');
            Ok((Resource::Function { name, qualifier }, CallMode::Request))
        }
        ["acs", ..] => acs(text).map(|resource| (resource, CallMode::Request)),
        ["arn", ..] => Err(format!("`{text}` is no resource that can be called")),
        _ if text.is_empty() || text.contains(char::is_whitespace) => {
            Err("a resource is an ARN or the name of a function".to_owned())
        }
        _ => {
            let (name, qualifier) = qualified(text, ':');
            Ok((Resource::Function { name, qualifier }, CallMode::Request))
        }
    }
}

/// `lambda:invoke.waitForTaskToken`, `aws-sdk:s3:putObject`, `states:startExecution.sync:2`.
fn service(call: &str) -> Result<(Resource, CallMode), String> {
    let endings = [
        (".waitForTaskToken", CallMode::Callback),
        (".sync:2", CallMode::FollowParsed),
        (".sync", CallMode::Follow),
    ];
    let ending = endings.iter().find_map(|(end, mode)| Some((call.strip_suffix(end)?, *mode)));
    let (call, mode) = ending.unwrap_or((call, CallMode::Request));
    let (product, api) = call.rsplit_once(':').unwrap_or(("", call));
    if product.is_empty() || api.is_empty() || api.contains('.') {
        return Err(format!("`{call}` is no `service:api`"));
    }
    let (product, api) = (product.to_lowercase(), api.to_owned());
    Ok((Resource::Service { product, api }, mode))
}

fn qualified(name: &str, between: char) -> (String, Option<String>) {
    match name.split_once(between) {
        Some((name, qualifier)) if !qualifier.is_empty() => {
            (name.to_owned(), Some(qualifier.to_owned()))
        }
        Some((name, _)) => (name.to_owned(), None),
        None => (name.to_owned(), None),
    }
}

/// `acs:fc:…`, `acs:fnf:…`, `acs:mns:…`
pub(crate) fn acs(text: &str) -> Result<Resource, String> {
    let parts: Vec<_> = text.splitn(5, ':').collect();
    let ["acs", product, _, _, what] = parts.as_slice() else {
        return Err(format!(
            "`{text}` is no resource name of the form acs:product:region:account:what"
        ));
    };
    match *product {
        "fc" => function(what).ok_or_else(|| format!("`{what}` names no function")),
        "fnf" => match what.strip_prefix("flow/").filter(|name| !name.is_empty()) {
            Some(name) => Ok(Resource::Flow { name: name.to_owned() }),
            None => Err(format!("`{what}` names no flow; write flow/NAME")),
        },
        "mns" => {
            let is_known = (what.starts_with("/queues/") || what.starts_with("/topics/"))
                && what.ends_with("/messages");
            if !is_known {
                return Err(format!(
                    "`{what}` is neither /queues/NAME/messages nor /topics/NAME/messages"
                ));
            }
            Ok(Resource::Service { product: "mns".to_owned(), api: (*what).to_owned() })
        }
        other => Err(format!("there is no integration with `{other}`")),
    }
}

/// `functions/NAME[/QUALIFIER]`, `services/SERVICE[.QUALIFIER]/functions/NAME`
fn function(what: &str) -> Option<Resource> {
    let parts: Vec<_> = what.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    match parts.as_slice() {
        ["functions", name] => {
            Some(Resource::Function { name: (*name).to_owned(), qualifier: None })
        }
        ["functions", name, qualifier] => {
            let qualifier = Some((*qualifier).to_owned());
            Some(Resource::Function { name: (*name).to_owned(), qualifier })
        }
        ["services", service, "functions", name] => {
            let (service, qualifier) = qualified(service, '.');
            Some(Resource::Function { name: format!("{service}${name}"), qualifier })
        }
        _ => None,
    }
}

/// `Product:Api`, also written `Product::Api`.
pub(crate) fn action(text: &str) -> Option<Resource> {
    let (product, api) = text.split_once("::").or_else(|| text.split_once(':'))?;
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if !is_word(product) || !is_word(api) {
        return None;
    }
    Some(Resource::Service { product: product.to_lowercase(), api: api.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service_of(product: &str, api: &str) -> Resource {
        Resource::Service { product: product.into(), api: api.into() }
    }

    fn function_of(name: &str, qualifier: Option<&str>) -> Resource {
        Resource::Function { name: name.into(), qualifier: qualifier.map(Into::into) }
    }

    #[test]
    fn resources_of_states_language() {
        let table = [
            ("arn:aws:states:::lambda:invoke", service_of("lambda", "invoke"), CallMode::Request),
            (
                "arn:aws:states:::lambda:invoke.waitForTaskToken",
                service_of("lambda", "invoke"),
                CallMode::Callback,
            ),
            (
                "arn:aws:states:::states:startExecution.sync:2",
                service_of("states", "startExecution"),
                CallMode::FollowParsed,
            ),
            (
                "arn:aws:states:::aws-sdk:s3:putObject",
                service_of("aws-sdk:s3", "putObject"),
                CallMode::Request,
            ),
            ("arn:aws:lambda:us-east-1:1:function:f", function_of("f", None), CallMode::Request),
            (
                "arn:aws:lambda:us-east-1:1:function:f:$LATEST",
                function_of("f", Some("$LATEST")),
                CallMode::Request,
            ),
            (
                "arn:aws:states:us-east-1:1:activity:a",
                Resource::Activity { name: "a".into() },
                CallMode::Poll,
            ),
            ("acs:fc:::functions/f/prod", function_of("f", Some("prod")), CallMode::Request),
            ("f", function_of("f", None), CallMode::Request),
        ];
        for (text, resource, mode) in table {
            assert_eq!(states(text), Ok((resource, mode)), "{text}");
        }
        for text in [
            "",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:r:1:layer:x",
            "arn:aws:states:::lambda",
            "a b",
        ] {
            assert!(states(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resources_of_fdl_and_actions() {
        assert_eq!(acs("acs:fc:::services/s.q/functions/f"), Ok(function_of("s$f", Some("q"))));
        assert_eq!(acs("acs:fnf:::flow/child"), Ok(Resource::Flow { name: "child".into() }));
        assert_eq!(
            acs("acs:mns:::/queues/q/messages"),
            Ok(service_of("mns", "/queues/q/messages"))
        );
        for text in ["acs:fc:::functions/", "acs:oss:::x", "acs:fnf:::flows/x", "x"] {
            assert!(acs(text).is_err(), "{text}");
        }
        assert_eq!(action("FC::InvokeFunction"), Some(service_of("fc", "InvokeFunction")));
        assert_eq!(action("HTTP:Request"), Some(service_of("http", "Request")));
        assert_eq!(action("HTTP"), None);
    }
}
