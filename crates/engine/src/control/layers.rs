//! Layers: versioned zips that appear under `/opt` of the functions that name them. A public layer
//! may be used by every account; public layers of the root account are the official ones.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{FunctionConfig, LayerVersion, check};
use stint_model::id::AccountId;
use stint_store::record::layer::{self as stored, LayerRecord};
use stint_store::{Expect, Page};

use super::code::{CodeInput, CodePlace};
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::engine::Engine;
use crate::error::EngineError;

/// Versions of one layer.
const VERSIONS_MAX: usize = 100;
/// Bytes of all layers of a function.
const BYTES_TOGETHER_MAX: u64 = 2 << 30;

/// A new layer version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerCreate {
    /// The layer's name.
    pub name: String,
    /// Its zip.
    pub code: CodeInput,
    /// Runtimes it says it fits; empty for any.
    pub compatible_runtimes: Vec<String>,
    /// Free text.
    pub description: String,
    /// Licence text.
    pub license: String,
}

/// Which layers are listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LayerQuery {
    /// Name prefix, limit, token.
    pub listing: Listing,
    /// Only public ones (of any account), or only private ones.
    pub public: Option<bool>,
    /// The platform's own.
    pub official: bool,
}

/// A layer version named by an ARN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LayerArn {
    pub(crate) account: AccountId,
    pub(crate) layer: String,
    pub(crate) version: u64,
}

impl LayerArn {
    /// Reads `acs:fc:{region}:{account or official}:layers/{name}/versions/{n}`.
    pub(crate) fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(5, ':');
        if (parts.next()?, parts.next()?) != ("acs", "fc") {
            return None;
        }
        let _region = parts.next()?;
        let account = match parts.next()? {
            "official" => AccountId::ROOT,
            account => account.parse().ok()?,
        };
        let (layer, version) = parts.next()?.strip_prefix("layers/")?.split_once("/versions/")?;
        let layer = Some(layer).filter(|layer| check::layer_name(layer).is_ok())?.to_owned();
        Some(Self { account, layer, version: version.parse().ok()? })
    }
}

fn not_found(layer: &str, version: &str) -> Refusal {
    let message = format!("layer '{layer}' version '{version}' does not exist");
    Refusal::new(Code::LayerVersionNotFound, message)
}

fn check_create(input: &LayerCreate) -> Result<(), Refusal> {
    check::layer_name(&input.name)?;
    check::description(&input.description)?;
    if input.license.chars().count() > 256 {
        return Err(Refusal::invalid("license must have at most 256 characters"));
    }
    if input.compatible_runtimes.len() > check::RUNTIMES.len() {
        return Err(Refusal::invalid("compatibleRuntime names too many runtimes"));
    }
    let known = |runtime: &str| {
        check::RUNTIMES.contains(&runtime) || check::RUNTIMES_RETIRED.contains(&runtime)
    };
    match input.compatible_runtimes.iter().find(|runtime| !known(runtime)) {
        Some(runtime) => {
            Err(Refusal::invalid(format!("compatibleRuntime: '{runtime}' is not a runtime")))
        }
        None => Ok(()),
    }
}

/// Whether the layers of a function exist, fit its runtime, and are not too large together.
fn check_fit(config: &FunctionConfig, layers: &[Arc<LayerVersion>]) -> Result<(), Refusal> {
    for (arn, layer) in config.layers.iter().zip(layers) {
        let fits = &layer.compatible_runtimes;
        if !fits.is_empty() && !fits.contains(&config.runtime) {
            let message = format!("runtime '{}' is not supported by layer '{arn}'", config.runtime);
            return Err(Refusal::invalid(message));
        }
    }
    let bytes: u64 = layers.iter().map(|layer| layer.code.size).sum();
    if bytes > BYTES_TOGETHER_MAX {
        let message = format!("layers must be at most {BYTES_TOGETHER_MAX} bytes together");
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

impl Engine {
    /// The layer version an ARN names, as far as the account may see it.
    pub(crate) fn layer_by_arn(&self, account: AccountId, arn: &str) -> Option<Arc<LayerVersion>> {
        let arn = LayerArn::parse(arn)?;
        let layer = self.catalog().layer(arn.account, &arn.layer, arn.version)?;
        (layer.account == account || layer.public).then_some(layer)
    }

    /// Whether a configuration's layers can be used by it.
    pub(crate) fn layers_fit(
        &self,
        account: AccountId,
        config: &FunctionConfig,
    ) -> Result<(), EngineError> {
        let mut layers = Vec::with_capacity(config.layers.len());
        for arn in &config.layers {
            if LayerArn::parse(arn).is_none() {
                return Err(Refusal::invalid(format!("layer '{arn}' is not a layer ARN")).into());
            }
            layers.push(self.layer_by_arn(account, arn).ok_or_else(|| {
                Refusal::new(Code::LayerVersionNotFound, format!("layer '{arn}' does not exist"))
            })?);
        }
        Ok(check_fit(config, &layers)?)
    }

    /// Creates the next version of a layer, and the layer with its first.
    pub async fn layer_create(
        &self,
        caller: &Caller,
        input: &LayerCreate,
    ) -> Result<Arc<LayerVersion>, EngineError> {
        self.authorize(caller, Operation::LayerCreate, None)?;
        self.admitting()?;
        self.storage_allows()?;
        check_create(input)?;
        let account = caller.account;
        if self.catalog().layer_versions(account, &input.name).len() >= VERSIONS_MAX {
            let message = format!("a layer can have at most {VERSIONS_MAX} versions");
            return Err(EngineError::refused(Code::LimitExceededError, message));
        }
        let code = self.code_keep(CodePlace::Layer(account), &input.code).await?;
        let created = retrying!({
            let (counter, newest, public) = self.layer_counter(account, &input.name).await?;
            let layer = Arc::new(LayerVersion {
                account,
                layer: input.name.clone(),
                version: newest + 1,
                code: code.clone(),
                compatible_runtimes: input.compatible_runtimes.clone(),
                description: input.description.clone(),
                license: input.license.clone(),
                public,
                created_at: self.clock().now(),
            });
            let mut change = Change::new(self.account_home(account));
            let record = LayerRecord::Counter { newest: newest + 1, public };
            change.replace(counter, stored::encode(&record));
            let key = stored::key(account, &layer.layer, layer.version);
            change.create(key, stored::encode(&LayerRecord::Version(Arc::clone(&layer))));
            change.shows(CatalogChange::LayerSet(Arc::clone(&layer)));
            let resource = format!("layers/{}/versions/{}", layer.layer, layer.version);
            self.commit(caller, Deed::on(Operation::LayerCreate, resource), change).await?;
            Ok(layer)
        });
        if let Err(error) = &created {
            self.code_undo(error, Some(&code)).await;
        }
        created
    }

    /// A layer's counter: how it must be, the newest number, and whether the layer is public.
    async fn layer_counter(
        &self,
        account: AccountId,
        layer: &str,
    ) -> Result<(Expect, u64, bool), EngineError> {
        let key = stored::key(account, layer, 0);
        let Some(record) = self.store().record_get(&key).await? else {
            return Ok((Expect { key, version: 0 }, 0, false));
        };
        match stored::decode(&record.body)? {
            LayerRecord::Counter { newest, public } => Ok((expect_of(&record), newest, public)),
            LayerRecord::Version(_) => {
                Err(EngineError::Bug(format!("layer {layer} has a version at number zero")))
            }
        }
    }

    /// One version of an own layer.
    pub async fn layer_get(
        &self,
        caller: &Caller,
        layer: &str,
        version: &str,
    ) -> Result<Arc<LayerVersion>, EngineError> {
        self.authorize(caller, Operation::LayerGet, None)?;
        let number = version.parse().map_err(|_| not_found(layer, version))?;
        let found = self.catalog().layer(caller.account, layer, number);
        Ok(found.ok_or_else(|| not_found(layer, version))?)
    }

    /// A layer version by its ARN: own, public or official.
    pub async fn layer_get_by_arn(
        &self,
        caller: &Caller,
        arn: &str,
    ) -> Result<Arc<LayerVersion>, EngineError> {
        self.authorize(caller, Operation::LayerGet, None)?;
        let parsed = LayerArn::parse(arn);
        let parsed =
            parsed.ok_or_else(|| Refusal::invalid(format!("'{arn}' is not a layer ARN")))?;
        let layer = self.catalog().layer(parsed.account, &parsed.layer, parsed.version);
        let layer = layer.ok_or_else(|| not_found(&parsed.layer, &parsed.version.to_string()))?;
        if layer.account != caller.account && !layer.public {
            let message = format!("layer '{arn}' is private to another account");
            return Err(EngineError::refused(Code::AccessDenied, message));
        }
        Ok(layer)
    }

    /// Versions of an own layer, newest first from `start`; and the number to go on with.
    pub async fn layer_version_list(
        &self,
        caller: &Caller,
        layer: &str,
        start: Option<u64>,
        limit: Option<u32>,
    ) -> Result<(Vec<Arc<LayerVersion>>, Option<u64>), EngineError> {
        self.authorize(caller, Operation::LayerList, None)?;
        let limit = Listing { limit, ..Listing::default() }.checked()?.limit;
        let versions = self.catalog().layer_versions(caller.account, layer);
        if versions.is_empty() {
            let message = format!("layer '{layer}' does not exist");
            return Err(EngineError::refused(Code::LayerNotFound, message));
        }
        let start = start.filter(|start| *start > 0).unwrap_or(u64::MAX);
        let mut wanted = versions.into_iter().rev().filter(|one| one.version <= start);
        let page: Vec<_> = wanted.by_ref().take(limit).collect();
        Ok((page, wanted.next().map(|one| one.version)))
    }

    /// The newest version of each layer: own ones, or public ones of any account, or official ones.
    pub async fn layer_list(
        &self,
        caller: &Caller,
        query: &LayerQuery,
    ) -> Result<Page<Arc<LayerVersion>>, EngineError> {
        self.authorize(caller, Operation::LayerList, None)?;
        let asked = query.listing.checked()?;
        let wanted = |layer: &Arc<LayerVersion>| {
            if query.official {
                return layer.account == AccountId::ROOT && layer.public;
            }
            match query.public {
                Some(true) => layer.public,
                Some(false) => layer.account == caller.account && !layer.public,
                None => layer.account == caller.account,
            }
        };
        let mut layers: Vec<_> = self.catalog().layers().into_iter().filter(wanted).collect();
        let name = |layer: &Arc<LayerVersion>| format!("{} {}", layer.layer, layer.account);
        layers.sort_by_cached_key(name);
        Ok(asked.page_of(layers.into_iter(), name))
    }

    /// Deletes a layer version that no function uses.
    pub async fn layer_delete(
        &self,
        caller: &Caller,
        layer: &str,
        version: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::LayerDelete, None)?;
        let account = caller.account;
        let number: u64 = version
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| not_found(layer, version))?;
        let arn = LayerArn { account, layer: layer.to_owned(), version: number };
        if let Some(user) = self.layer_user(&arn) {
            let message = format!("layer '{layer}' version '{version}' is used by {user}");
            return Err(EngineError::refused(Code::InvalidArgument, message));
        }
        let code = retrying!({
            let key = stored::key(account, layer, number);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| not_found(layer, version))?;
            let LayerRecord::Version(found) = stored::decode(&record.body)? else {
                return Err(EngineError::Bug(format!("layer {layer}: {number} is a counter")));
            };
            let mut change = Change::new(self.account_home(account));
            change.delete(expect_of(&record));
            let gone =
                CatalogChange::LayerGone { account, layer: layer.to_owned(), version: number };
            change.shows(gone);
            let resource = format!("layers/{layer}/versions/{version}");
            self.commit(caller, Deed::on(Operation::LayerDelete, resource), change).await?;
            Ok(found.code.clone())
        })?;
        self.code_drop(std::iter::once(&code)).await;
        Ok(())
    }

    /// A function, of any account, that names a layer version in its head or a version.
    fn layer_user(&self, arn: &LayerArn) -> Option<String> {
        let uses = |config: &FunctionConfig| {
            config.layers.iter().any(|text| LayerArn::parse(text).as_ref() == Some(arn))
        };
        let all = self.catalog().functions();
        let user = all.iter().find(|entry| {
            let versions = entry.versions.values().map(|version| &version.revision);
            let mut revisions = std::iter::once(&entry.function.head).chain(versions);
            revisions.any(|revision| uses(&revision.config))
        })?;
        Some(if user.function.account == arn.account {
            format!("function '{}'", user.function.name)
        } else {
            "a function of another account".to_owned()
        })
    }

    /// Makes every version of a layer, and those to come, public or private.
    pub async fn layer_acl_put(
        &self,
        caller: &Caller,
        layer: &str,
        public: bool,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::LayerAclPut, None)?;
        let account = caller.account;
        retrying!({
            let (counter, newest, _) = self.layer_counter(account, layer).await?;
            let prefix = format!("{account}/{layer}/");
            let records = self.records(stint_store::Kind::Layer, &prefix).await?;
            let mut change = Change::new(self.account_home(account));
            for record in &records {
                let LayerRecord::Version(found) = stored::decode(&record.body)? else { continue };
                let next = Arc::new(LayerVersion { public, ..LayerVersion::clone(&found) });
                let body = stored::encode(&LayerRecord::Version(Arc::clone(&next)));
                change.replace(expect_of(record), body);
                change.shows(CatalogChange::LayerSet(next));
            }
            if newest == 0 {
                let message = format!("layer '{layer}' does not exist");
                return Err(EngineError::refused(Code::LayerNotFound, message));
            }
            change.replace(counter, stored::encode(&LayerRecord::Counter { newest, public }));
            let deed = Deed::on(Operation::LayerAclPut, format!("layers/{layer}"));
            self.commit(caller, deed.told(if public { "public" } else { "private" }), change).await
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stint_model::function::CodePackage;
    use stint_model::time::Timestamp;

    use super::super::code::CodeSource;
    use super::*;
    use crate::catalog::samples;

    fn layer(runtimes: &[&str], size: u64) -> Arc<LayerVersion> {
        Arc::new(LayerVersion {
            account: AccountId::ROOT,
            layer: "l".into(),
            version: 1,
            code: CodePackage { blob: "b".into(), size, crc64: 1, sha256: [0; 32] },
            compatible_runtimes: runtimes.iter().map(|one| (*one).to_owned()).collect(),
            description: String::new(),
            license: String::new(),
            public: false,
            created_at: Timestamp::ZERO,
        })
    }

    #[test]
    fn arns_of_layers() {
        let arn = LayerArn::parse("acs:fc:local:1000000000000002:layers/l/versions/3").unwrap();
        assert_eq!(
            (arn.account.number(), &*arn.layer, arn.version),
            (1_000_000_000_000_002, "l", 3)
        );
        let official = LayerArn::parse("acs:fc:cn-hangzhou:official:layers/Py/versions/1").unwrap();
        assert_eq!(official.account, AccountId::ROOT);
        for bad in [
            "",
            "l",
            "acs:oss:local:1:layers/l/versions/1",
            "acs:fc:local:1:layers/l",
            "acs:fc:local:1:layers/l/versions/x",
            "acs:fc:local:1:layers/../versions/1",
            "acs:fc:local:x:layers/l/versions/1",
        ] {
            assert_eq!(LayerArn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn layers_fit_the_runtime_and_are_not_too_large_together() {
        let mut config = samples::config();
        config.layers = vec!["acs:fc:local:1:layers/l/versions/1".into(), "m".into()];
        let fit = |layers: &[Arc<LayerVersion>]| check_fit(&config, layers);
        assert_eq!(fit(&[layer(&[], 5), layer(&["python3.10"], 5)]), Ok(()));
        let refusal = fit(&[layer(&["nodejs20"], 5)]).unwrap_err();
        assert_eq!(
            refusal.message,
            "runtime 'python3.10' is not supported by layer 'acs:fc:local:1:layers/l/versions/1'"
        );
        assert!(fit(&[layer(&[], 1 << 30), layer(&[], (1 << 30) + 1)]).is_err());
    }

    #[test]
    fn what_a_layer_says_about_itself() {
        let zip = CodeSource::Zip(Bytes::new());
        let good = LayerCreate {
            name: "l".into(),
            code: CodeInput { source: zip, checksum: None },
            compatible_runtimes: vec!["python3.10".into(), "nodejs8".into()],
            description: String::new(),
            license: "MIT".into(),
        };
        assert_eq!(check_create(&good), Ok(()));
        let runtimes = vec!["cobol".to_owned()];
        assert!(
            check_create(&LayerCreate { compatible_runtimes: runtimes, ..good.clone() }).is_err()
        );
        assert!(check_create(&LayerCreate { name: "1".into(), ..good.clone() }).is_err());
        assert!(check_create(&LayerCreate { license: "x".repeat(257), ..good }).is_err());
    }
}
