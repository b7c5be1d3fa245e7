//! `stint queue`: message queues. A function's waiting tasks are its backlog, see `stint backlog`.

use clap::{Args, Subcommand};
use stint_wire::native::{
    DeadLetterPolicy, DeleteMessages, Queue, QueuePatch, ReceiveMessages, ReceivedMessage,
    SendMessage, SendMessages,
};
use stint_wire::time::Seconds;

use super::{Context, by_key, every, pair, payload, when};
use crate::failure::Failure;
use crate::screen::Rows;

/// Message queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a queue.
    Create(Create),
    /// List queues.
    List,
    /// Show a queue: attributes, and how many messages stand where.
    Get {
        /// The queue.
        queue: String,
    },
    /// Remove a queue and what is in it.
    Delete {
        /// The queue.
        queue: String,
    },
    /// Send a message.
    Send(Send),
    /// Take messages; they are hidden from others until they are deleted or their time is over.
    Receive(Receive),
    /// See what would be received next, without taking it.
    Peek {
        /// The queue.
        queue: String,
        /// At most so many, up to 16.
        #[arg(long, default_value_t = 1)]
        count: u32,
    },
    /// Remove what is in a queue.
    Purge {
        /// The queue.
        queue: String,
    },
}

/// Make a queue.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name: letters, digits and hyphens.
    queue: String,
    /// How long a received message is hidden from others: 30s if not said.
    #[arg(long, value_name = "TIME")]
    visibility: Option<Seconds>,
    /// How long a sent message waits before it can be received.
    #[arg(long, value_name = "TIME")]
    delay: Option<Seconds>,
    /// How long a message is kept: 4d if not said.
    #[arg(long, value_name = "TIME")]
    retention: Option<Seconds>,
    /// How long a receive waits that does not say.
    #[arg(long, value_name = "TIME")]
    wait: Option<Seconds>,
    /// The largest body, in bytes.
    #[arg(long, value_name = "BYTES")]
    size: Option<u32>,
    /// Where messages go that are received too often.
    #[arg(long, value_name = "QUEUE")]
    dead_letter: Option<String>,
    /// After so many receipts.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "dead_letter")]
    max_receives: u32,
}

/// Send a message.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The queue.
    queue: String,
    /// The body: a text, `@file`, or `-` for standard input.
    body: String,
    /// How long it waits.
    #[arg(long, value_name = "TIME")]
    delay: Option<Seconds>,
    /// 1 to 16, lower is sooner.
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// A property; may be repeated.
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
}

/// Take messages.
#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// The queue.
    queue: String,
    /// At most so many, up to 16.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// How long to wait for the first, up to 30s.
    #[arg(long, value_name = "TIME")]
    wait: Option<Seconds>,
    /// Delete them at once.
    #[arg(long)]
    delete: bool,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let queue = match command {
        Command::List => {
            let page = every!(cursor => client.queue_list(Some(100), cursor));
            return context.screen.show(&page, || table(&page.items));
        }
        Command::Create(create) => {
            let (name, said) = patch(create);
            client.queue_create(&name, &said).await?
        }
        Command::Get { queue } => client.queue_get(&queue).await?,
        Command::Purge { queue } => client.queue_purge(&queue).await?,
        Command::Delete { queue } => {
            client.queue_delete(&queue).await?;
            context.screen.note(format!("queue {queue} is deleted"));
            return Ok(());
        }
        Command::Send(said) => return send(said, context).await,
        Command::Receive(said) => return receive(said, context).await,
        Command::Peek { queue, count } => {
            let seen = client.messages_peek(&queue, Some(count)).await?;
            return context.screen.show(&seen, || messages(&seen.messages));
        }
    };
    context.screen.show(&queue, || one(&queue))
}

fn patch(create: Create) -> (String, QueuePatch) {
    let max_receives = create.max_receives;
    let said = QueuePatch {
        delay: create.delay,
        message_bytes_max: create.size,
        retention: create.retention,
        visibility: create.visibility,
        wait: create.wait,
        dead_letter: create.dead_letter.map(|queue| DeadLetterPolicy { queue, max_receives }),
        ..QueuePatch::default()
    };
    (create.queue, said)
}

async fn send(said: Send, context: &Context) -> Result<(), Failure> {
    let body = String::from_utf8(payload(Some(&said.body))?)
        .map_err(|_| Failure::usage("a message's body is text; encode it, in base64 say"))?;
    let message = SendMessage {
        body,
        delay: said.delay,
        priority: said.priority,
        properties: by_key(&said.properties)?,
    };
    let asked = SendMessages { messages: vec![message] };
    let sent = context.client()?.messages_send(&said.queue, &asked).await?;
    if let Some(why) = sent.results.iter().find_map(|result| result.message.as_deref()) {
        return Err(Failure::usage(format!("the message was not sent: {why}")));
    }
    context.screen.show(&sent, || {
        let mut rows = Rows::of_one();
        for result in &sent.results {
            rows.line("id", result.id.clone().unwrap_or_default());
            rows.line("receipt", result.receipt.clone().unwrap_or_default());
        }
        rows
    })
}

async fn receive(said: Receive, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let asked = ReceiveMessages { count: Some(said.count), wait: said.wait };
    let received = client.messages_receive(&said.queue, &asked).await?;
    if said.delete && !received.messages.is_empty() {
        let receipts = received.messages.iter().filter_map(|message| message.receipt.clone());
        let receipts = DeleteMessages { receipts: receipts.collect() };
        let deleted = client.messages_delete(&said.queue, &receipts).await?;
        if let Some(why) = deleted.results.iter().find_map(|result| result.message.as_deref()) {
            context.screen.warn(format!("not every message was deleted: {why}"));
        }
    }
    context.screen.show(&received, || messages(&received.messages))
}

fn messages(messages: &[ReceivedMessage]) -> Rows {
    let header = ["ID", "SENT", "RECEIVED", "BODY", "RECEIPT"];
    let mut rows = Rows::new(&header).or_say("no message");
    for message in messages {
        rows.row([
            message.id.clone(),
            when(message.sent_at.0),
            message.received.to_string(),
            message.body.clone(),
            message.receipt.clone().unwrap_or_default(),
        ]);
    }
    rows
}

fn table(queues: &[Queue]) -> Rows {
    let header = ["QUEUE", "ACTIVE", "INACTIVE", "DELAYED", "OLDEST"];
    let mut rows = Rows::new(&header).or_say("no queues");
    for queue in queues {
        rows.row([
            queue.name.clone(),
            queue.active.to_string(),
            queue.inactive.to_string(),
            queue.delayed.to_string(),
            queue.oldest_at.map(|at| when(at.0)).unwrap_or_default(),
        ]);
    }
    rows
}

fn one(queue: &Queue) -> Rows {
    let seconds = |ms: u64| format!("{} s", ms / 1_000);
    let mut rows = Rows::of_one();
    rows.line("queue", queue.name.as_str());
    rows.line("active", queue.active.to_string());
    rows.line("inactive", queue.inactive.to_string());
    rows.line("delayed", queue.delayed.to_string());
    rows.line("oldest", queue.oldest_at.map(|at| when(at.0)).unwrap_or_default());
    rows.line("visibility", seconds(queue.visibility_ms));
    rows.line("delay", seconds(queue.delay_ms));
    rows.line("retention", seconds(queue.retention_ms));
    rows.line("wait", seconds(queue.wait_ms));
    rows.line("largest body", format!("{} bytes", queue.message_bytes_max));
    if let Some(dead) = &queue.dead_letter {
        let text = format!("{} after {} receipts", dead.queue, dead.max_receives);
        rows.line("dead letters", text);
    }
    rows.line("made", when(queue.created_at.0));
    rows
}
