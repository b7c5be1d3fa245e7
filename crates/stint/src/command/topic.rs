//! `stint topic`.

use clap::{Args, Subcommand};
use stint_wire::native::{PublishMessage, Subscription, SubscriptionPut, Topic, TopicPatch};

use super::{Context, by_key, every, pair, payload, when, whole};
use crate::failure::Failure;
use crate::screen::Rows;

/// Topics and their subscriptions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a topic.
    Create {
        /// Its name: letters, digits and hyphens.
        topic: String,
        /// The largest body, in bytes.
        #[arg(long, value_name = "BYTES")]
        size: Option<u32>,
    },
    /// List topics.
    List,
    /// Show a topic.
    Get {
        /// The topic.
        topic: String,
    },
    /// Remove a topic, its subscriptions, and what was not delivered.
    Delete {
        /// The topic.
        topic: String,
    },
    /// Publish a message.
    Publish(Publish),
    /// Subscribe a queue, an HTTP endpoint or a function.
    Subscribe(Subscribe),
    /// End a subscription.
    Unsubscribe {
        /// The topic.
        topic: String,
        /// The subscription.
        subscription: String,
    },
    /// List the subscriptions of a topic.
    Subscriptions {
        /// The topic.
        topic: String,
    },
}

/// Publish a message.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic.
    topic: String,
    /// The body: a text, `@file`, or `-` for standard input.
    body: String,
    /// For subscriptions that filter.
    #[arg(long)]
    tag: Option<String>,
    /// A property; may be repeated.
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
}

/// Subscribe.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// The topic.
    topic: String,
    /// The subscription's name.
    subscription: String,
    /// http://…, https://…, acs:mns:REGION:ACCOUNT:queues/QUEUE or
    /// acs:fc:REGION:ACCOUNT:functions/FUNCTION.
    endpoint: String,
    /// Only messages with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// BACKOFF_RETRY or EXPONENTIAL_DECAY_RETRY.
    #[arg(long)]
    strategy: Option<String>,
    /// XML, JSON or SIMPLIFIED.
    #[arg(long)]
    format: Option<String>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let page = match command {
        Command::List => every!(cursor => client.topic_list(Some(100), cursor)),
        Command::Create { topic, size } => {
            let said = TopicPatch { message_bytes_max: size, logging: None };
            whole(vec![client.topic_create(&topic, &said).await?])
        }
        Command::Get { topic } => whole(vec![client.topic_get(&topic).await?]),
        Command::Delete { topic } => {
            client.topic_delete(&topic).await?;
            context.screen.note(format!("topic {topic} is deleted"));
            return Ok(());
        }
        Command::Publish(said) => return publish(said, context).await,
        Command::Subscribe(said) => {
            let put = SubscriptionPut {
                endpoint: said.endpoint,
                filter_tag: said.tag,
                strategy: said.strategy,
                format: said.format,
            };
            let at = (&*said.topic, &*said.subscription);
            let made = whole(vec![client.subscription_put(at, &put).await?]);
            return context.screen.show(&made, || subscriptions(&made.items));
        }
        Command::Unsubscribe { topic, subscription } => {
            client.subscription_delete(&topic, &subscription).await?;
            context.screen.note(format!("subscription {subscription} of {topic} has ended"));
            return Ok(());
        }
        Command::Subscriptions { topic } => {
            let found = every!(cursor => client.subscription_list(&topic, Some(100), cursor));
            return context.screen.show(&found, || subscriptions(&found.items));
        }
    };
    context.screen.show(&page, || table(&page.items))
}

async fn publish(said: Publish, context: &Context) -> Result<(), Failure> {
    let body = String::from_utf8(payload(Some(&said.body))?)
        .map_err(|_| Failure::usage("a message's body is text; encode it, in base64 say"))?;
    let properties = by_key(&said.properties)?;
    let message = PublishMessage { body, tag: said.tag, properties, ..PublishMessage::default() };
    let published = context.client()?.topic_publish(&said.topic, &message).await?;
    context.screen.show(&published, || {
        let mut rows = Rows::of_one();
        rows.line("id", published.id.as_str());
        rows
    })
}

fn table(topics: &[Topic]) -> Rows {
    let header = ["TOPIC", "SUBSCRIPTIONS", "WAITING", "MADE"];
    let mut rows = Rows::new(&header).or_say("no topics");
    for topic in topics {
        rows.row([
            topic.name.clone(),
            topic.subscriptions.to_string(),
            topic.waiting.to_string(),
            when(topic.created_at.0),
        ]);
    }
    rows
}

fn subscriptions(found: &[Subscription]) -> Rows {
    let header = ["SUBSCRIPTION", "ENDPOINT", "TAG", "STRATEGY", "FORMAT"];
    let mut rows = Rows::new(&header).or_say("no subscriptions");
    for subscription in found {
        rows.row([
            subscription.name.clone(),
            subscription.endpoint.clone(),
            subscription.filter_tag.clone().unwrap_or_default(),
            subscription.strategy.clone(),
            subscription.format.clone(),
        ]);
    }
    rows
}
