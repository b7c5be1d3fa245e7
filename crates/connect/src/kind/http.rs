//! HTTP triggers (§6.2): who may call, with which methods, from which origins. The requests themselves come to
//! the trigger listener; what is decided about one from its head is here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::{self, ConfigError};

/// The most tokens, and the most users.
const ENTRIES_MAX: usize = 20;
/// The methods there are.
pub const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

/// An HTTP trigger's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Who may call.
    pub auth: Auth,
    /// With which methods.
    pub methods: Vec<String>,
    /// Whether nothing is answered at the public address.
    pub is_off: bool,
    /// From which origins a browser may; without it any, with credentials.
    pub cors: Option<Cors>,
}

/// Who may call.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    Anonymous,
    /// Who signs with a key of the account that may invoke the function.
    Function,
    /// Who shows one of these tokens.
    Bearer(Vec<String>),
    /// Who shows one of these names and passwords.
    Basic(Vec<(String, String)>),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Function => "Function",
            Self::Bearer(_) => "Bearer(..)",
            Self::Basic(_) => "Basic(..)",
        })
    }
}

/// Cross-origin rules.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// `*`, `https://*` or an origin.
    pub allow_origins: Vec<String>,
    /// Methods of a preflight; empty: those of the trigger.
    pub allow_methods: Vec<String>,
    /// Headers of a preflight; `*` or names.
    pub allow_headers: Vec<String>,
    /// What a script may read.
    pub expose_headers: Vec<String>,
    /// Whether cookies come along.
    pub allow_credentials: bool,
    /// How long a preflight's answer is good.
    pub max_age: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    auth_type: Option<String>,
    #[serde(default)]
    methods: Option<Vec<String>>,
    #[serde(default, rename = "disableURLInternet")]
    disable_url_internet: bool,
    #[serde(default)]
    auth_config: Option<Value>,
    #[serde(default)]
    cors_config: Option<Cors>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BearerSaid {
    tokens: Vec<TokenSaid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenSaid {
    token_data: String,
    #[serde(default = "yes")]
    enable: bool,
}

#[derive(Deserialize)]
struct BasicSaid {
    users: Vec<UserSaid>,
}

#[derive(Deserialize)]
struct UserSaid {
    #[serde(alias = "username")]
    name: String,
    password: String,
}

const fn yes() -> bool {
    true
}

impl Settings {
    /// Reads and checks. Fields that are not known are passed over, as upstream does.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        let methods = said.methods.unwrap_or_else(|| METHODS.map(str::to_owned).to_vec());
        for method in &methods {
            if !METHODS.contains(&method.as_str()) {
                let why = format!("{method:?} is not one of {}", METHODS.join(", "));
                return Err(ConfigError::field("methods", why));
            }
        }
        if methods.is_empty() {
            return Err(ConfigError::field("methods", "names no method"));
        }
        if let Some(cors) = &said.cors_config {
            check_cors(cors)?;
        }
        let auth = auth(said.auth_type.as_deref(), said.auth_config)?;
        Ok(Self { auth, methods, is_off: said.disable_url_internet, cors: said.cors_config })
    }
}

/// Reads `authType` and `authConfig`, which is a text that holds JSON or the JSON itself.
pub(crate) fn auth(word: Option<&str>, said: Option<Value>) -> Result<Auth, ConfigError> {
    let said = match said {
        Some(Value::String(text)) if !text.trim().is_empty() => {
            Some(settings::read::<Value>(&text).map_err(inside)?)
        }
        Some(Value::String(_) | Value::Null) | None => None,
        Some(other) => Some(other),
    };
    let text = || said.as_ref().map(Value::to_string).unwrap_or_default();
    match word.unwrap_or("function") {
        "anonymous" => Ok(Auth::Anonymous),
        "function" => Ok(Auth::Function),
        "bearer" => {
            let bearer: BearerSaid = settings::read(&text()).map_err(inside)?;
            let most = bearer.tokens.len();
            let tokens: Vec<String> =
                bearer.tokens.into_iter().filter(|one| one.enable).map(|one| one.token_data).collect();
            count("authConfig.tokens", most)?;
            for token in &tokens {
                let is_good = (32..=128).contains(&token.len())
                    && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-~.".contains(&b));
                if !is_good {
                    let why = "a token has 32 to 128 letters, digits and + / = - ~ .";
                    return Err(ConfigError::field("authConfig.tokens", why));
                }
            }
            Ok(Auth::Bearer(tokens))
        }
        "basic" => {
            let basic: BasicSaid = settings::read(&text()).map_err(inside)?;
            count("authConfig.users", basic.users.len())?;
            for user in &basic.users {
                let fits = |text: &str| (12..=128).contains(&text.chars().count());
                if !fits(&user.name) || !fits(&user.password) || user.name.contains(':') {
                    let why = "a name and a password have 12 to 128 characters, a name no colon";
                    return Err(ConfigError::field("authConfig.users", why));
                }
            }
            Ok(Auth::Basic(basic.users.into_iter().map(|one| (one.name, one.password)).collect()))
        }
        "jwt" => Err(ConfigError::NoSource(
            "authType jwt is not implemented by this version of Stint; use function, bearer or basic"
                .to_owned(),
        )),
        other => {
            let why = format!("{other:?} is not one of anonymous, function, jwt, bearer, basic");
            Err(ConfigError::field("authType", why))
        }
    }
}

fn inside(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Field { field, why } => {
            ConfigError::Field { field: format!("authConfig.{field}"), why }
        }
        ConfigError::Malformed(why) => ConfigError::field("authConfig", why),
        other @ (ConfigError::UnknownKind { .. } | ConfigError::NoSource(_)) => other,
    }
}

fn count(field: &str, count: usize) -> Result<(), ConfigError> {
    if (1..=ENTRIES_MAX).contains(&count) {
        return Ok(());
    }
    Err(ConfigError::field(field, format!("has 1 to {ENTRIES_MAX} entries")))
}

fn check_cors(cors: &Cors) -> Result<(), ConfigError> {
    let too_many = cors.allow_origins.len() > 100
        || cors.allow_headers.len() > 50
        || cors.expose_headers.len() > 50;
    if too_many {
        let why = "has at most 100 origins and 50 headers of each kind";
        return Err(ConfigError::field("corsConfig", why));
    }
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin == "*") {
        let why = "cannot be * together with allowCredentials";
        return Err(ConfigError::field("corsConfig.allowOrigins", why));
    }
    if cors.allow_methods.iter().any(|method| method == "OPTIONS") {
        return Err(ConfigError::field("corsConfig.allowMethods", "OPTIONS is answered anyway"));
    }
    settings::within("corsConfig.maxAge", cors.max_age.unwrap_or(0), (0, 86_400))
}

/// Why somebody is not let in; a signature is checked elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stranger {
    /// Nothing was shown.
    Missing(&'static str),
    /// What was shown is not good.
    Wrong(&'static str),
}

impl Auth {
    /// Whether what stands in `Authorization` is good. Comparisons take the same time wherever texts differ.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn admit(&self, authorization: Option<&str>) -> Result<(), Stranger> {
        match self {
            Self::Anonymous | Self::Function => Ok(()),
            Self::Bearer(tokens) => {
                let shown = authorization
                    .ok_or(Stranger::Missing("Authorization header is expected but missing"))?;
                let token = scheme(shown, "bearer").unwrap_or("");
                let good =
                    tokens.iter().fold(false, |good, one| stint_sign::text_eq(one, token) | good);
                let why = "access denied due to invalid bearer token";
                good.then_some(()).ok_or(Stranger::Wrong(why))
            }
            Self::Basic(users) => {
                let shown = authorization.ok_or(Stranger::Missing("authorization require"))?;
                let why = "Authorization header must start with Basic";
                let coded = scheme(shown, "basic").ok_or(Stranger::Wrong(why))?;
                let plain =
                    STANDARD.decode(coded).ok().and_then(|plain| String::from_utf8(plain).ok());
                let plain = plain.unwrap_or_default();
                let good = users.iter().fold(false, |good, (name, password)| {
                    stint_sign::text_eq(&format!("{name}:{password}"), &plain) | good
                });
                good.then_some(()).ok_or(Stranger::Wrong("access denied due to invalid user"))
            }
        }
    }
}

fn scheme<'a>(shown: &'a str, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then_some(rest.trim())
}

impl Cors {
    /// Whether a browser may call from this origin.
    pub fn allows(&self, origin: &str) -> bool {
        self.allow_origins.iter().any(|one| match one.as_str() {
            "*" => true,
            pattern if pattern.contains('*') => crate::pattern::wild(pattern, origin),
            exact => exact == origin,
        })
    }

    /// Whether a preflight for this method and these headers is answered with yes.
    pub fn allows_request(&self, method: &str, headers: &str) -> bool {
        let methods = &self.allow_methods;
        let named = |method: &str| methods.iter().any(|one| one == "*" || one == method);
        let known = |name: &str| {
            self.allow_headers.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(name))
        };
        (methods.is_empty() || named(method))
            && headers.split(',').map(str::trim).filter(|name| !name.is_empty()).all(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::read(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_upstreams_default() {
        let settings = read("{}").unwrap();
        assert_eq!((settings.auth, settings.methods.len()), (Auth::Function, 7));
    }

    #[test]
    fn auth_config_is_a_text_or_an_object() {
        let token = "a".repeat(32);
        let object = format!(r#"{{"tokens":[{{"tokenName":"n","tokenData":"{token}"}}]}}"#);
        let as_text = serde_json::to_string(&object).unwrap();
        for said in [object, as_text] {
            let text = format!(r#"{{"authType":"bearer","authConfig":{said}}}"#);
            let settings = read(&text).unwrap();
            assert_eq!(settings.auth.admit(Some(&format!("Bearer {token}"))), Ok(()));
            assert!(matches!(settings.auth.admit(None), Err(Stranger::Missing(_))));
            assert!(matches!(settings.auth.admit(Some("Bearer x")), Err(Stranger::Wrong(_))));
            assert!(!format!("{settings:?}").contains(&token), "it does not print");
        }
    }

    #[test]
    fn a_user_shows_name_and_password() {
        let text = r#"{"authType":"basic","authConfig":{"users":[{"name":"operator-one","password":"correct horse"}]}}"#;
        let auth = read(text).unwrap().auth;
        let shown = format!("Basic {}", STANDARD.encode("operator-one:correct horse"));
        assert_eq!(auth.admit(Some(&shown)), Ok(()));
        assert_eq!(
            auth.admit(Some("Bearer x")),
            Err(Stranger::Wrong("Authorization header must start with Basic"))
        );
        assert!(auth.admit(Some("Basic !")).is_err());
    }

    #[test]
    fn bad_settings_are_named() {
        for (text, what) in [
            (r#"{"authType":"magic"}"#, "authType"),
            (r#"{"authType":"jwt"}"#, "not implemented"),
            (r#"{"methods":["TRACE"]}"#, "methods"),
            (
                r#"{"authType":"bearer","authConfig":{"tokens":[{"tokenData":"short"}]}}"#,
                "32 to 128",
            ),
            (r#"{"authType":"basic","authConfig":"{"}"#, "authConfig"),
            (r#"{"corsConfig":{"allowOrigins":["*"],"allowCredentials":true}}"#, "allowOrigins"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(what), "{text}: {why}");
        }
    }

    #[test]
    fn origins_are_exact_or_wild() {
        let cors = Cors {
            allow_origins: vec!["https://*.example.com".into(), "http://a".into()],
            allow_headers: vec!["X-One".into()],
            allow_methods: vec!["GET".into()],
            ..Cors::default()
        };
        assert!(cors.allows("https://x.example.com") && cors.allows("http://a"));
        assert!(!cors.allows("http://x.example.com") && !cors.allows("http://a.b"));
        assert!(cors.allows_request("GET", "x-one") && !cors.allows_request("PUT", ""));
        assert!(!cors.allows_request("GET", "x-one, x-two"));
    }
}
