//! Filling the catalog from the book at the start.

use stint_model::id::AccountId;
use stint_store::record::layer::LayerRecord;
use stint_store::record::{
    access_key, account, alias, async_config, flow, function, layer, scaling, version,
};
use stint_store::{Kind, Record, Store, StoreError};

use super::{Catalog, CatalogChange, FlowChange, FlowPart};

/// Records of one read.
const PAGE: usize = 1_000;

impl Catalog {
    /// Every control record of the book.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let catalog = Self::default();
        // Functions first: what is bound to one finds it by name.
        for kind in [
            Kind::Account,
            Kind::AccessKey,
            Kind::Layer,
            Kind::Function,
            Kind::Version,
            Kind::Alias,
            Kind::AsyncConfig,
            Kind::Scaling,
            Kind::Flow,
            Kind::FlowVersion,
            Kind::FlowAlias,
            Kind::FlowSchedule,
            Kind::Activity,
        ] {
            catalog.load_kind(store, kind).await?;
        }
        Ok(catalog)
    }

    async fn load_kind(&self, store: &dyn Store, kind: Kind) -> Result<(), StoreError> {
        let mut cursor: Option<String> = None;
        loop {
            let page = store.record_list(kind, "", cursor.as_deref(), PAGE).await?;
            for record in &page.items {
                if let Some(change) = self.change_of(record)? {
                    self.apply(change);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// What a record means for the catalog; `None` when it is nothing the path reads.
    fn change_of(&self, record: &Record) -> Result<Option<CatalogChange>, StoreError> {
        let body = &record.body;
        Ok(Some(match record.key.kind {
            Kind::Account => CatalogChange::AccountSet(account::decode(body)?),
            Kind::AccessKey => CatalogChange::KeySet(access_key::decode(body)?),
            Kind::Function => CatalogChange::FunctionSet(function::decode(body)?),
            Kind::Layer => match layer::decode(body)? {
                LayerRecord::Version(layer) => CatalogChange::LayerSet(layer),
                LayerRecord::Counter { .. } => return Ok(None),
            },
            Kind::Version => {
                let (function, _) = self.owner(record)?;
                CatalogChange::VersionSet { function, version: version::decode(body)? }
            }
            Kind::Alias => {
                let (function, _) = self.owner(record)?;
                CatalogChange::AliasSet { function, alias: alias::decode(body)? }
            }
            Kind::AsyncConfig => {
                let (function, qualifier) = self.owner(record)?;
                let config = async_config::decode(body)?;
                CatalogChange::AsyncConfigSet { function, qualifier, config }
            }
            Kind::Scaling => {
                let (function, qualifier) = self.owner(record)?;
                let config = scaling::decode(body)?;
                CatalogChange::ScalingSet { function, qualifier, config }
            }
            Kind::Flow => CatalogChange::Flow(FlowChange::Set(flow::decode(body)?)),
            Kind::FlowVersion => {
                self.part(record, FlowPart::Version(flow::decode_version(body)?))?
            }
            Kind::FlowAlias => self.part(record, FlowPart::Alias(flow::decode_alias(body)?))?,
            Kind::FlowSchedule => {
                self.part(record, FlowPart::Schedule(flow::decode_schedule(body)?))?
            }
            Kind::Activity => {
                CatalogChange::Flow(FlowChange::ActivitySet(flow::decode_activity(body)?))
            }
            Kind::ShardState
            | Kind::Audit
            | Kind::Secret
            | Kind::Setting
            | Kind::FlowDefinition
            | Kind::MapRun => return Ok(None),
        }))
    }

    /// What is bound to a flow, by its record's key.
    fn part(&self, record: &Record, part: FlowPart) -> Result<CatalogChange, StoreError> {
        let bad = || StoreError::Corrupt { what: format!("{:?}: no such flow", record.key) };
        let mut parts = record.key.name.splitn(3, '/');
        let (Some(account), Some(name), Some(_)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let account: AccountId = account.parse().map_err(|_| bad())?;
        let flow = self.flow(account, name).ok_or_else(bad)?.flow.id;
        Ok(CatalogChange::Flow(FlowChange::Part { flow, part }))
    }

    /// The function a record is bound to and the last part of its key.
    fn owner(&self, record: &Record) -> Result<(stint_model::id::FunctionId, String), StoreError> {
        let bad = || StoreError::Corrupt { what: format!("{:?}: no such function", record.key) };
        let mut parts = record.key.name.splitn(3, '/');
        let (Some(account), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let account: AccountId = account.parse().map_err(|_| bad())?;
        let entry = self.function(account, name).ok_or_else(bad)?;
        Ok((entry.function.id, rest.to_owned()))
    }
}
