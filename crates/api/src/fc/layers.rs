//! Layers (§1.12).

use stint_engine::control::layers::{LayerCreate, LayerQuery};
use stint_model::function::LayerVersion;
use stint_wire::fc::{Layer, LayerCode, LayerInput, LayerList, LayerVersionList};

use super::code;
use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::{Call, rfc3339};
use crate::error::Problem;

/// With a link to the zip, as reading one version gives it.
fn whole(call: &Call, layer: &LayerVersion) -> Layer {
    let location = code::link_to(call, &layer.code.blob);
    let code = LayerCode { location, repository_type: "oss".to_owned() };
    Layer { code, ..view(call, layer) }
}

fn view(call: &Call, layer: &LayerVersion) -> Layer {
    let region = &call.engine().config().region;
    Layer {
        layer_name: layer.layer.clone(),
        version: layer.version,
        layer_version_arn: arn::layer(region, layer.account, &layer.layer, layer.version),
        description: layer.description.clone(),
        compatible_runtime: layer.compatible_runtimes.clone(),
        code: LayerCode::default(),
        code_size: layer.code.size,
        code_checksum: layer.code.crc64.to_string(),
        create_time: rfc3339(layer.created_at),
        license: layer.license.clone(),
        acl: if layer.public { "1" } else { "0" }.to_owned(),
    }
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: LayerInput = call.json()?;
    let create = LayerCreate {
        name: call.param(0).to_owned(),
        code: code::said(input.code)?.ok_or_else(|| {
            Problem::invalid(
                "code is required: Either ossBucketName/ossObjectName or zipFile must be set",
            )
        })?,
        compatible_runtimes: input.compatible_runtime.unwrap_or_default(),
        description: input.description.unwrap_or_default(),
        license: input.license.unwrap_or_default(),
    };
    let made = call.engine().layer_create(&call.caller, &create).await?;
    ok(&whole(&call, &made))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let found = call.engine().layer_get(&call.caller, call.param(0), call.param(1)).await?;
    ok(&whole(&call, &found))
}

pub(crate) async fn get_by_arn(call: Call) -> Result<Answer, Problem> {
    let found = call.engine().layer_get_by_arn(&call.caller, call.param(0)).await?;
    ok(&whole(&call, &found))
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().layer_delete(&call.caller, call.param(0), call.param(1)).await?;
    no_content()
}

pub(crate) async fn list_versions(call: Call) -> Result<Answer, Problem> {
    let start = call.query.read("startVersion")?;
    let limit = call.query.read("limit")?;
    let (found, next_version) =
        call.engine().layer_version_list(&call.caller, call.param(0), start, limit).await?;
    let layers = found.iter().map(|layer| view(&call, layer)).collect();
    ok(&LayerVersionList { layers, next_version })
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let asked = LayerQuery {
        listing: call.listing()?,
        public: call.query.maybe_flag("public")?,
        official: call.query.flag("official")?,
    };
    let page = call.engine().layer_list(&call.caller, &asked).await?;
    let layers = page.items.iter().map(|layer| view(&call, layer)).collect();
    ok(&LayerList { layers, next_token: page.next })
}

pub(crate) async fn put_acl(call: Call) -> Result<Answer, Problem> {
    let public = match (call.query.maybe_flag("public")?, call.query.get("acl")) {
        (Some(public), _) => public,
        (None, Some("1")) => true,
        (None, Some("0")) => false,
        (None, _) => {
            return Err(Problem::invalid("say public=true or false, or acl=1 or 0"));
        }
    };
    call.engine().layer_acl_put(&call.caller, call.param(0), public).await?;
    no_content()
}
