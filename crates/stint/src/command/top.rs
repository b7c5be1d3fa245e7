//! `stint top`: queues, instances, throughput, live on a terminal and once elsewhere.

use clap::Args;
use crossterm::event::{Event, KeyCode, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};
use stint_model::time::Span;
use stint_wire::client::Client;
use stint_wire::native::{Node, Overview};

use super::{Context, when};
use crate::config::unit;
use crate::failure::Failure;
use crate::screen::{Format, Rows};

/// Seconds of throughput that are drawn.
const HISTORY: usize = 300;

/// A live view of queues, instances and throughput.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Between two looks.
    #[arg(long, value_parser = unit::duration, default_value = "1s")]
    every: Span,
    /// Print once, as off a terminal.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(args: &Top, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    if args.once || !context.screen.is_live || context.screen.format != Format::Table {
        let overview = client.overview().await?;
        return context.screen.show(&overview, || plain(&overview));
    }
    let mut terminal = ratatui::init();
    let done = live(&mut terminal, &client, args.every).await;
    ratatui::restore();
    done
}

/// What is drawn.
#[derive(Debug, Default)]
struct View {
    overview: Overview,
    /// Tasks that ended in each interval.
    ended: Vec<u64>,
    started_per_second: f64,
    ended_per_second: f64,
    submitted_per_second: f64,
    /// The last look failed so.
    trouble: Option<String>,
}

impl View {
    fn take(&mut self, next: Overview) {
        let before = &self.overview;
        let seconds = stint_wire::time::millis(next.now.0.since(before.now.0)) / 1_000.0;
        let settled = |o: &Overview| o.succeeded_total.saturating_add(o.failed_total);
        let is_first = before.now == stint_wire::time::Time::default();
        // A restarted server counts from zero again.
        let is_same = before.started_at == next.started_at;
        if !is_first && is_same && seconds > 0.0 {
            let rate =
                |new: u64, old: u64| stint_wire::time::to_f64(new.saturating_sub(old)) / seconds;
            self.submitted_per_second = rate(next.submitted_total, before.submitted_total);
            self.started_per_second = rate(next.started_total, before.started_total);
            self.ended_per_second = rate(settled(&next), settled(before));
            self.ended.push(settled(&next).saturating_sub(settled(before)));
            if self.ended.len() > HISTORY {
                self.ended.remove(0);
            }
        }
        self.overview = next;
        self.trouble = None;
    }
}

async fn live(
    terminal: &mut ratatui::DefaultTerminal,
    client: &Client,
    every: Span,
) -> Result<(), Failure> {
    let mut view = View::default();
    let pause = every.to_std().max(std::time::Duration::from_millis(100));
    loop {
        match client.overview().await {
            Ok(overview) => view.take(overview),
            Err(error) => view.trouble = Some(Failure::from(error).message),
        }
        terminal.draw(|frame| draw(frame, &view))?;
        // Nothing else happens on this thread meanwhile; a key ends the wait.
        if crossterm::event::poll(pause)?
            && let Event::Key(key) = crossterm::event::read()?
        {
            let interrupt = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if interrupt => return Ok(()),
                _ => {}
            }
        }
    }
}

fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Min(5),
        Constraint::Length(5),
        Constraint::Length(1),
    ]);
    let [head, graph, backlogs, nodes, foot] = rows.areas(frame.area());
    summary(frame, head, view);
    let data: Vec<u64> = {
        let width = usize::from(graph.width.saturating_sub(2));
        let from = view.ended.len().saturating_sub(width);
        view.ended[from..].to_vec()
    };
    let line = Sparkline::default().data(data).block(Block::bordered().title("tasks ended"));
    frame.render_widget(line, graph);
    table_of_backlogs(frame, backlogs, view);
    table_of_nodes(frame, nodes, view);
    let text = view.trouble.clone().unwrap_or_else(|| "q ends".to_owned());
    frame.render_widget(Paragraph::new(text), foot);
}

fn summary(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let o = &view.overview;
    let lines = vec![
        Line::from(format!(
            "stint {} since {} · {} functions · {} instances",
            o.version,
            when(o.started_at.0),
            o.functions,
            o.instances
        )),
        Line::from(format!(
            "waiting {} · delayed {} · running {} · succeeded {} · failed {}",
            o.waiting, o.delayed, o.running, o.succeeded_total, o.failed_total
        )),
        Line::from(format!(
            "submitted {:.0}/s · started {:.0}/s · ended {:.0}/s",
            view.submitted_per_second, view.started_per_second, view.ended_per_second
        )),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn table_of_backlogs(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let rows = view.overview.backlogs.iter().map(|backlog| {
        Row::new([
            Cell::from(backlog.function.clone()),
            Cell::from(backlog.waiting.to_string()),
            Cell::from(backlog.delayed.to_string()),
            Cell::from(backlog.running.to_string()),
            Cell::from(backlog.sentence.clone().unwrap_or_default()),
        ])
    });
    let widths = [
        Constraint::Percentage(30),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Percentage(40),
    ];
    let header = Row::new(["FUNCTION", "WAITING", "DELAYED", "RUNNING", "HELD BY"]);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let table = Table::new(rows, widths).header(header.style(bold));
    frame.render_widget(table.block(Block::bordered().title("backlogs")), area);
}

fn table_of_nodes(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let rows = view.overview.nodes.iter().map(|node| {
        Row::new([
            node.id.clone(),
            format!("{:.2} of {:.2} vCPU", node.cpu_used, node.cpu),
            format!("{} of {} MB", node.memory_mb_used, node.memory_mb),
            format!("{} instances", node.instances),
            running(node),
        ])
    });
    let widths = [Constraint::Percentage(20); 5];
    let table = Table::new(rows, widths).block(Block::bordered().title("nodes"));
    frame.render_widget(table, area);
}

/// What runs on a node, by class.
fn running(node: &Node) -> String {
    let batch = node.running.saturating_sub(node.running_online);
    format!("{} online, {batch} batch", node.running_online)
}

fn plain(overview: &Overview) -> Rows {
    let mut rows = Rows::of_one();
    rows.line("version", overview.version.as_str());
    rows.line("since", when(overview.started_at.0));
    rows.line("functions", overview.functions.to_string());
    rows.line("waiting", overview.waiting.to_string());
    rows.line("delayed", overview.delayed.to_string());
    rows.line("running", overview.running.to_string());
    rows.line("instances", overview.instances.to_string());
    rows.line("submitted", overview.submitted_total.to_string());
    rows.line("succeeded", overview.succeeded_total.to_string());
    rows.line("failed", overview.failed_total.to_string());
    for backlog in &overview.backlogs {
        let text = format!(
            "{} waiting, {} delayed, {} running",
            backlog.waiting, backlog.delayed, backlog.running
        );
        rows.line(&backlog.function, text);
    }
    for node in &overview.nodes {
        let text = format!(
            "{:.2}/{:.2} vCPU, {}/{} MB, {} instances, {}",
            node.cpu_used,
            node.cpu,
            node.memory_mb_used,
            node.memory_mb,
            node.instances,
            running(node)
        );
        rows.line(&format!("node {}", node.id), text);
    }
    rows
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use stint_model::time::Timestamp;
    use stint_wire::native::Backlog;
    use stint_wire::time::Time;

    use super::*;

    fn at(seconds: i64, ended: u64) -> Overview {
        Overview {
            now: Time(Timestamp::from_millis(1_000_000 + seconds * 1_000)),
            started_at: Time(Timestamp::from_millis(1)),
            submitted_total: ended * 2,
            succeeded_total: ended,
            backlogs: vec![Backlog { function: "etl".into(), waiting: 7, ..Backlog::default() }],
            nodes: vec![Node { running: 5, running_online: 2, instances: 4, ..Node::default() }],
            ..Overview::default()
        }
    }

    #[test]
    fn rates_come_from_two_looks() {
        let mut view = View::default();
        view.take(at(0, 100));
        assert!(view.ended.is_empty());
        view.take(at(2, 300));
        assert!((view.ended_per_second - 100.0).abs() < 0.01, "{}", view.ended_per_second);
        assert!((view.submitted_per_second - 200.0).abs() < 0.01);
        assert_eq!(view.ended, [200]);
        let restarted = Overview { started_at: Time(Timestamp::from_millis(2)), ..at(3, 0) };
        view.take(restarted);
        assert_eq!(view.ended, [200], "a restart is no throughput");
    }

    #[test]
    fn the_view_is_drawn() {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        let mut view = View::default();
        view.take(at(0, 1));
        terminal.draw(|frame| draw(frame, &view)).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("etl") && text.contains("backlogs") && text.contains("nodes"));
        assert!(text.contains("4 instances") && text.contains("2 online, 3 batch"), "{text}");
        view.trouble = Some("cannot reach it".into());
        terminal.draw(|frame| draw(frame, &view)).unwrap();
        assert!(terminal.backend().to_string().contains("cannot reach it"));
    }
}
