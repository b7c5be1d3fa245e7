//! Looking on while an execution goes: its graph with the state of each step, drawn anew with every
//! event on a terminal; elsewhere one line for each event.

use stint_model::time::Span;
use stint_supervise::Clock;
use stint_wire::client::{Client, ExecutionNews};
use stint_wire::native::Execution;

use super::{execution, find, graph};
use crate::command::Context;
use crate::failure::Failure;
use crate::screen::Format;

/// After a break the server is asked again this often.
const PAUSE: Span = Span::from_millis(500);
/// Breaks in a row that are put up with.
const BREAKS_MAX: u32 = 20;

pub(super) async fn run(
    client: &Client,
    started: &Execution,
    timeout: Option<Span>,
    context: &Context,
) -> Result<(), Failure> {
    let clock = Clock::start();
    let watching = watch(client, started, &clock, context);
    let ended = match timeout {
        None => Some(watching.await),
        Some(timeout) => clock.within(timeout, watching).await,
    };
    match ended {
        Some(run) => execution::shown(&run?, context),
        None => Err(execution::still_running(started)),
    }
}

async fn watch(
    client: &Client,
    started: &Execution,
    clock: &Clock,
    context: &Context,
) -> Result<Execution, Failure> {
    let (flow, name) = (started.flow.as_str(), started.name.as_str());
    let mut picture = Picture::default();
    let (mut after, mut breaks) = (0, 0);
    loop {
        let followed = follow(client, started, &mut after, &mut picture, context).await;
        match followed {
            Ok(true) => return Ok(client.execution_get(flow, name).await?),
            // The server stopped, or the connection broke: go on after the last event.
            Ok(false) => {}
            Err(failure) if breaks >= BREAKS_MAX => return Err(failure),
            Err(_) => {}
        }
        breaks += 1;
        clock.sleep(PAUSE).await;
    }
}

/// Follows until the end (true) or a break.
async fn follow(
    client: &Client,
    started: &Execution,
    after: &mut u64,
    picture: &mut Picture,
    context: &Context,
) -> Result<bool, Failure> {
    let mut news = client.execution_follow(&started.flow, &started.name, *after).await?;
    while let Some(next) = news.next().await? {
        match next {
            ExecutionNews::Event(event) => {
                *after = event.id;
                if context.screen.is_live && context.screen.format == Format::Table {
                    picture.draw(client, started, context).await?;
                } else {
                    find::write(&event, context)?;
                }
            }
            ExecutionNews::Ended(_) => {
                if context.screen.is_live && context.screen.format == Format::Table {
                    picture.draw(client, started, context).await?;
                }
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What stands on the terminal.
#[derive(Debug, Default)]
struct Picture {
    definition: Option<String>,
    text: String,
}

impl Picture {
    /// Draws the graph over the last one.
    async fn draw(
        &mut self,
        client: &Client,
        started: &Execution,
        context: &Context,
    ) -> Result<(), Failure> {
        let live = client.execution_graph(&started.flow, &started.name).await?;
        if self.definition.is_none() {
            self.definition.clone_from(&started.definition);
        }
        let text = self.definition.as_deref().unwrap_or_default();
        let mut graph = graph::compiled(&started.flow, text, context)?;
        graph::mark(&mut graph, &live);
        let drawn = graph.terminal();
        if drawn == self.text {
            return Ok(());
        }
        let up = self.text.lines().count();
        // Up over the last drawing and clear what is below; the first has nothing above it.
        let over = if up == 0 { String::new() } else { format!("\u{1b}[{up}A\u{1b}[J") };
        context.screen.raw(format!("{over}{drawn}").as_bytes())?;
        self.text = drawn;
        Ok(())
    }
}
