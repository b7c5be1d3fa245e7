//! `stint up`.

use clap::Args;
use stint_wire::native::Setting;

use super::Context;
use crate::config::raw::Flags;
use crate::failure::Failure;
use crate::screen::{Format, Rows};
use crate::server::compose::{self, Started};

/// Start a server: control plane and one node in one process.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// API, health and metrics: address and port. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// HTTP triggers: address and port.
    #[arg(long, value_name = "ADDRESS")]
    listen_trigger: Option<String>,
    /// Allow addresses that others can reach without TLS.
    #[arg(long)]
    insecure: bool,
    /// What the server says: error, warn, info, debug, or a filter.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Up {
    fn flags(&self) -> Flags {
        let said = [
            ("--listen", "listen.control", self.listen.clone()),
            ("--listen-trigger", "listen.trigger", self.listen_trigger.clone()),
            ("--insecure", "listen.insecure", self.insecure.then(|| "true".to_owned())),
            ("--log", "log.level", self.log.clone()),
        ];
        let flag = |(flag, key, text): (&str, &str, Option<String>)| {
            Some((flag.to_owned(), key.to_owned(), text?))
        };
        said.into_iter().filter_map(flag).collect()
    }
}

pub(crate) async fn run(args: Up, context: &Context) -> Result<(), Failure> {
    let raw = context.raw(args.flags())?;
    let config = context.config(&raw)?;
    let settings = raw.all().map(|(setting, said)| Setting {
        name: setting.key.to_owned(),
        value: said.value.to_string(),
        origin: said.origin.to_string(),
    });
    let settings = settings.collect();
    let greet = |started: &Started| greet(started, context);
    Box::pin(compose::run(config, settings, &context.environment, greet)).await
}

fn greet(started: &Started, context: &Context) -> Result<(), Failure> {
    let value = serde_json::json!({
        "address": started.address,
        "triggerAddress": started.trigger_address,
        "data": started.data,
        "accessKeyId": started.key.as_ref().map(|key| &key.access_key_id),
        "accessKeySecret": started.key.as_ref().map(|key| &key.access_key_secret),
    });
    context.screen.show(&value, || {
        let url = |address: &str| match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let mut rows = Rows::of_one();
        rows.line("listening on", url(&started.address));
        rows.line("triggers on", url(&started.trigger_address));
        rows.line("data in", started.data.display().to_string());
        if let Some(key) = &started.key {
            rows.line("access key id", key.access_key_id.as_str());
            rows.line("access key secret", key.access_key_secret.as_str());
        }
        rows
    })?;
    if started.key.is_some() && context.screen.format == Format::Table {
        context
            .screen
            .note("the key is shown once; it is kept in credentials.json beside the data");
    }
    Ok(())
}
