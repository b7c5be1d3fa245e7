//! The environment an instance is born with (§4.1). Pure.

use std::collections::BTreeMap;

use stint_model::function::InjectCredentials;
use stint_model::id::InstanceId;
use stint_wire::node::PoolSpec;

/// Where code lies inside.
pub(crate) const CODE: &str = "/code";
/// Where the platform's API is; client commands of `stint` look at the same variable.
const ENDPOINT: &str = "STINT_ENDPOINT";
/// Names of the credentials in what the platform adds.
const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const ACCESS_KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
const CREDENTIALS: [&str; 3] = [ACCESS_KEY_ID, ACCESS_KEY_SECRET, SECURITY_TOKEN];

/// Temporary credentials of the function's role; empty where there are none.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

/// What every instance of the platform's own runtimes is born with.
const PLATFORM: [(&str, &str); 7] = [
    ("PATH", "/opt/bin:/code/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("LD_LIBRARY_PATH", "/code:/code/lib:/opt/lib"),
    ("NODE_PATH", "/opt/nodejs/node_modules:/opt/node_modules:/code/node_modules"),
    ("HOME", "/tmp"),
    ("TMPDIR", "/tmp"),
    ("TZ", "UTC"),
    ("LANG", "C.UTF-8"),
];
/// Names, or beginnings of names, that a loader, an interpreter, one of their libraries or our shim
/// looks at once, when the process starts.
const READ_AT_START: [&str; 15] = [
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "PYTHON",
    "NODE_",
    "UV_",
    "LANG",
    "LC_",
    "OPENSSL_",
    "SSL_CERT_",
    "GCONV_PATH",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// What a process is started with that waits for its function.
pub(crate) fn waiting(outside: &Outside) -> Vec<(String, String)> {
    let mut env = Base::Platform.pairs();
    env.extend(outside.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    env.into_iter().collect()
}

/// Whether this environment may be given to a process that was started with what is [`waiting`].
pub(crate) fn can_come_later(env: &[(String, String)], outside: &Outside) -> bool {
    let waiting = waiting(outside);
    let at_start = |pair: &&(String, String)| {
        let name = &pair.0;
        // Those of proxies are known in capitals, too.
        READ_AT_START.iter().any(|start| name.starts_with(start) || name.to_lowercase() == *start)
    };
    env.iter().filter(at_start).all(|pair| waiting.contains(pair))
        && waiting.iter().filter(at_start).all(|pair| env.contains(pair))
}

/// As a shim takes it: names and values, each ended by NUL.
pub(crate) fn encoded(env: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    for text in env.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// What an instance is told about the ways out it has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Outside {
    /// Port of the proxy on its loopback.
    pub(crate) proxy: Option<u16>,
    /// Where it reaches the platform's API.
    pub(crate) api: Option<String>,
}

impl Outside {
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Some(port) = self.proxy {
            // Not `socks5h://`, although it is spoken: some clients refuse to start when they see
            // it and lack a library for it.
            let proxy = format!("http://127.0.0.1:{port}");
            for name in
                ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
            {
                variables.push((name, proxy.clone()));
            }
            for name in ["no_proxy", "NO_PROXY"] {
                variables.push((name, "localhost,127.0.0.1,::1".to_owned()));
            }
            // Node.js 24 and late 22 look at the others only then.
            variables.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
        }
        variables.extend(self.api.iter().map(|url| (ENDPOINT, url.clone())));
        variables
    }
}

/// What the environment starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base<'a> {
    /// Where the platform's runtimes look for things.
    Platform,
    /// What the image says, and its user's home.
    Image { env: &'a [(String, String)], home: &'a str },
}

/// Where programs are looked for in an image that does not say.
const IMAGE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Base<'_> {
    fn pairs(self) -> BTreeMap<String, String> {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        match self {
            Self::Platform => own(&PLATFORM),
            Self::Image { env, home } => {
                let mut pairs: BTreeMap<String, String> =
                    own(&[("PATH", IMAGE_PATH), ("HOME", home), ("TZ", "UTC")]);
                pairs.extend(env.iter().cloned());
                pairs
            }
        }
    }
}

/// The whole environment. What the user configured wins, except over `FC_*`.
pub(crate) fn environment(
    spec: &PoolSpec,
    instance: InstanceId,
    (base, outside): (Base<'_>, &Outside),
) -> Vec<(String, String)> {
    let mut env = base.pairs();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    for (name, value) in outside.variables() {
        set(name, value);
    }
    for (name, value) in &spec.config.environment {
        if !name.starts_with("FC_") {
            set(name, value.clone());
        }
    }
    let in_env =
        matches!(spec.config.inject, InjectCredentials::Everywhere | InjectCredentials::NotRequest);
    for (name, value) in &spec.extra_env {
        if in_env || !CREDENTIALS.contains(&name.as_str()) {
            set(name, value.clone());
        }
    }
    set("FC_FUNCTION_NAME", spec.function_name.to_string());
    set("FC_FUNCTION_HANDLER", spec.config.handler.clone());
    set("FC_FUNCTION_MEMORY_SIZE", spec.size.memory_mb.to_string());
    set("FC_ACCOUNT_ID", spec.account.to_string());
    set("FC_INSTANCE_ID", instance.to_string());
    set("FC_FUNC_CODE_PATH", CODE.to_owned());
    set("FC_FUNCTION_VERSION", spec.version.to_string());
    set("FC_VER_ID", spec.version.to_string());
    if spec.config.is_custom() {
        set("FC_CUSTOM_LISTEN_PORT", port(spec).to_string());
    }
    env.into_iter().collect()
}

/// Where a custom server listens.
pub(crate) fn port(spec: &PoolSpec) -> u16 {
    spec.config.server_port()
}

/// What requests carry; nothing where the function does not want it.
pub(crate) fn request_credentials(spec: &PoolSpec) -> Credentials {
    let in_request =
        matches!(spec.config.inject, InjectCredentials::Everywhere | InjectCredentials::NotEnv);
    if !in_request {
        return Credentials::default();
    }
    let get = |name: &str| spec.extra_env.get(name).cloned().unwrap_or_default();
    Credentials {
        id: get(ACCESS_KEY_ID),
        secret: get(ACCESS_KEY_SECRET),
        token: get(SECURITY_TOKEN),
    }
}

/// The region, as the platform said.
pub(crate) fn region(spec: &PoolSpec) -> &str {
    spec.extra_env.get("FC_REGION").map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn reserved_names_are_ours_and_the_rest_is_the_users() {
        let mut spec = testing::spec("python3.10", "index.handler");
        spec.config_mut(|config| {
            config.environment.insert("FC_ACCOUNT_ID".into(), "forged".into());
            config.environment.insert("TZ".into(), "Asia/Shanghai".into());
            config.environment.insert("OWN".into(), "yes".into());
        });
        let env = environment(&spec.spec, InstanceId(7), (Base::Platform, &Outside::default()));
        let env: BTreeMap<_, _> = env.into_iter().collect();
        assert_eq!(env["FC_ACCOUNT_ID"], spec.spec.account.to_string());
        assert_eq!((env["TZ"].as_str(), env["OWN"].as_str()), ("Asia/Shanghai", "yes"));
        assert_eq!(env["FC_INSTANCE_ID"], "c-00000000-00000000-000000000007");
        assert_eq!(env["FC_REGION"], "local");
        assert!(!env.contains_key("FC_CUSTOM_LISTEN_PORT"));
        assert!(!env.keys().any(|name| name.to_lowercase().contains("proxy")));
        assert!(!env.contains_key("STINT_ENDPOINT"));
    }

    #[test]
    fn the_ways_out_are_told_and_the_user_may_know_better() {
        let mut spec = testing::spec("python3.10", "index.handler");
        spec.config_mut(|config| {
            config.environment.insert("no_proxy".into(), "example.com".into());
        });
        let outside = Outside { proxy: Some(3128), api: Some("http://127.0.0.1:3129".into()) };
        let env: BTreeMap<_, _> =
            environment(&spec.spec, InstanceId(7), (Base::Platform, &outside))
                .into_iter()
                .collect();
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            assert_eq!(env[name], "http://127.0.0.1:3128");
            assert_eq!(env[&name.to_uppercase()], "http://127.0.0.1:3128");
        }
        assert_eq!(env["no_proxy"], "example.com");
        assert_eq!(env["NO_PROXY"], "localhost,127.0.0.1,::1");
        assert_eq!(env["STINT_ENDPOINT"], "http://127.0.0.1:3129");
    }

    #[test]
    fn an_image_says_first_and_the_user_wins() {
        let mut spec = testing::spec("custom-container", "x");
        spec.config_mut(|config| drop(config.environment.insert("MODE".into(), "fast".into())));
        let said = [("MODE", "slow"), ("PATH", "/app/bin"), ("FC_INSTANCE_ID", "forged")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let base = Base::Image { env: &said, home: "/srv" };
        let env: BTreeMap<_, _> =
            environment(&spec.spec, InstanceId(7), (base, &Outside::default()))
                .into_iter()
                .collect();
        assert_eq!((env["MODE"].as_str(), env["PATH"].as_str()), ("fast", "/app/bin"));
        assert_eq!(env["HOME"], "/srv");
        assert!(!env.contains_key("LD_LIBRARY_PATH"), "that is the platform's");
        assert_eq!(env["FC_INSTANCE_ID"], "c-00000000-00000000-000000000007");
        assert_eq!(env["FC_CUSTOM_LISTEN_PORT"], "9000");
    }

    #[test]
    fn what_is_read_at_the_start_cannot_come_later() {
        let mut spec = testing::spec("python3.10", "index.handler");
        let none = Outside::default();
        let env = |spec: &PoolSpec| environment(spec, InstanceId(7), (Base::Platform, &none));
        assert!(can_come_later(&env(&spec.spec), &none));
        spec.config_mut(|config| {
            config.environment.insert("TZ".into(), "Asia/Shanghai".into());
            config.environment.insert("OWN".into(), "yes".into());
            config.environment.insert("LANG".into(), "C.UTF-8".into());
        });
        assert!(can_come_later(&env(&spec.spec), &none));
        for name in ["LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "LC_ALL", "NODE_PATH"] {
            let mut spec = testing::spec("python3.10", "index.handler");
            spec.config_mut(|config| {
                config.environment.insert(name.into(), "/code/x".into());
            });
            assert!(!can_come_later(&env(&spec.spec), &none), "{name}");
        }
        let doors = Outside { proxy: Some(3128), api: None };
        let env = |spec: &PoolSpec| environment(spec, InstanceId(7), (Base::Platform, &doors));
        let mut spec = testing::spec("python3.10", "index.handler");
        assert!(can_come_later(&env(&spec.spec), &doors));
        assert!(!can_come_later(&env(&spec.spec), &none), "it would not find the proxy");
        spec.config_mut(|config| {
            config.environment.insert("NO_PROXY".into(), "example.com".into());
        });
        assert!(!can_come_later(&env(&spec.spec), &doors));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(encoded(&[pair("A", "b=c"), pair("D", "")]), b"A\0b=c\0D\0\0");
    }

    #[test]
    fn credentials_go_only_where_they_are_wanted() {
        for (inject, in_env, in_request) in [
            (InjectCredentials::Everywhere, true, true),
            (InjectCredentials::NotEnv, false, true),
            (InjectCredentials::NotRequest, true, false),
            (InjectCredentials::Nowhere, false, false),
        ] {
            let mut spec = testing::spec("custom", "x");
            spec.config_mut(|config| config.inject = inject);
            spec.spec.extra_env.insert(ACCESS_KEY_ID.into(), "STS.1".into());
            let base = (Base::Platform, &Outside::default());
            let env = environment(&spec.spec, InstanceId(7), base);
            let env: BTreeMap<_, _> = env.into_iter().collect();
            assert_eq!(env.contains_key(ACCESS_KEY_ID), in_env, "{inject:?}");
            assert_eq!(request_credentials(&spec.spec).id == "STS.1", in_request, "{inject:?}");
            assert_eq!(env["FC_CUSTOM_LISTEN_PORT"], "9000");
        }
    }
}
