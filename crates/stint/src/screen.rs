//! Where results go: a table for people, JSON or YAML for scripts; colours and bars only on a
//! terminal. Results go to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::config::environment::{Environment, NO_COLOR};
use crate::failure::Failure;

/// `--output`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
    /// For scripts and people.
    Yaml,
}

/// The terminal, or what stands in for it.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    pub(crate) format: Format,
    /// Standard output is a terminal.
    pub(crate) is_live: bool,
    colour_out: bool,
    colour_err: bool,
}

impl Screen {
    pub(crate) fn new(format: Format, environment: &Environment) -> Self {
        let allowed =
            environment.get(NO_COLOR).is_none() && environment.get("TERM") != Some("dumb");
        let is_live = std::io::stdout().is_terminal();
        Self {
            format,
            is_live,
            colour_out: allowed && is_live,
            colour_err: allowed && std::io::stderr().is_terminal(),
        }
    }

    /// A result: `table` is only built when a table is asked for.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        table: impl FnOnce() -> Rows,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => table().render(self),
            Format::Json => json(value)?,
            Format::Yaml => yaml(value)?,
        };
        write_out(text.as_bytes())
    }

    /// A JSON document: as it is, or as YAML when that is asked for.
    pub(crate) fn document(&self, text: &str) -> Result<(), Failure> {
        if self.format != Format::Yaml {
            return self.raw(text.as_bytes());
        }
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| Failure::local(format!("the document is not JSON: {error}")))?;
        write_out(yaml(&value)?.as_bytes())
    }

    /// Bytes as they are (a payload, a log line).
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        write_out(bytes)
    }

    /// A line beside the result: what was done, what comes next.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        write_err(&format!("{}\n", text.as_ref()));
    }

    /// Something to look at.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let (on, off) = self.paint(self.colour_err, AnsiColor::Yellow);
        write_err(&format!("{on}warning{off}: {}\n", text.as_ref()));
    }

    /// The end of a command that failed.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.format == Format::Json {
            let value = serde_json::json!({
                "error": failure.message, "next": failure.next, "exitCode": failure.code(),
            });
            return write_err(&format!("{value}\n"));
        }
        let (on, off) = self.paint(self.colour_err, AnsiColor::Red);
        write_err(&format!("{on}error{off}: {failure}\n"));
    }

    /// A bar on standard error, hidden where nobody looks.
    pub(crate) fn bar(&self, total: u64, doing: &str) -> ProgressBar {
        let shown = std::io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}")
            .expect("a template that is right");
        bar.set_style(style);
        bar.set_message(doing.to_owned());
        bar
    }

    /// The word of a state in its colour.
    pub(crate) fn state(&self, word: &str) -> String {
        let colour = match word {
            "Succeeded" | "Active" | "ok" | "yes" => AnsiColor::Green,
            "Failed" | "Expired" | "Invalid" | "no" => AnsiColor::Red,
            "Running" | "Creating" => AnsiColor::Cyan,
            "Stopped" | "Stopping" | "Retrying" | "paused" => AnsiColor::Yellow,
            _ => return word.to_owned(),
        };
        let (on, off) = self.paint(self.colour_out, colour);
        format!("{on}{word}{off}")
    }

    fn paint(&self, allowed: bool, colour: AnsiColor) -> (String, String) {
        if !allowed {
            return (String::new(), String::new());
        }
        let style = Style::new().fg_color(Some(colour.into()));
        (style.render().to_string(), style.render_reset().to_string())
    }
}

/// A table, or a list of names and values.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Said instead of an empty table.
    empty: &'static str,
}

impl Rows {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), empty: "nothing" }
    }

    /// What one thing is: names and values.
    pub(crate) fn of_one() -> Self {
        Self::new(&[])
    }

    #[must_use]
    pub(crate) fn or_say(mut self, empty: &'static str) -> Self {
        self.empty = empty;
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// A name and its value; an empty value is left out.
    pub(crate) fn line(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.rows.push(vec![name.to_owned(), value]);
        }
    }

    fn render(self, screen: &Screen) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // Some terminals do not know how wide they are.
        if screen.is_live && crossterm::terminal::size().is_ok_and(|(columns, _)| columns > 0) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        if !self.header.is_empty() {
            table.set_header(self.header);
        }
        table.add_rows(self.rows);
        let text = table.to_string();
        // The style pads every cell by one blank on both sides.
        let line = |line: &str| format!("{}\n", line.strip_prefix(' ').unwrap_or(line).trim_end());
        let lines: String = text.lines().map(line).collect();
        lines
    }
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Failure::cannot("write JSON", &error))
}

pub(crate) fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    // Through JSON: what a type says about JSON holds for YAML too.
    let value = serde_json::to_value(value).map_err(|e| Failure::cannot("write YAML", &e))?;
    let text = serde_saphyr::to_string(&value);
    text.map_err(|error| Failure::local(format!("cannot write YAML: {error}")))
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever read us has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn write_err(text: &str) {
    // Nobody can be told that standard error is gone.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(format: Format) -> Screen {
        Screen { format, is_live: false, colour_out: false, colour_err: false }
    }

    #[test]
    fn a_table_has_no_colour_and_no_trailing_blanks_off_a_terminal() {
        let screen = screen(Format::Table);
        let mut rows = Rows::new(&["NAME", "STATE"]);
        rows.row(["etl".to_owned(), screen.state("Running")]);
        rows.row(["a-long-name".to_owned(), screen.state("Succeeded")]);
        let text = rows.render(&screen);
        assert!(!text.contains('\u{1b}') && text.lines().all(|l| l == l.trim_end()), "{text:?}");
        assert_eq!(text.lines().count(), 3);
        assert_eq!(Rows::new(&["X"]).or_say("no tasks").render(&screen), "no tasks\n");
    }

    #[test]
    fn colours_appear_when_allowed() {
        let screen = Screen { colour_out: true, ..screen(Format::Table) };
        assert!(screen.state("Failed").contains('\u{1b}'));
        assert_eq!(screen.state("Enqueued"), "Enqueued");
    }

    #[test]
    fn scripts_get_json_and_yaml() {
        let value = serde_json::json!({"name": "f", "tags": ["a", "b"], "none": null});
        let read: serde_json::Value = serde_json::from_str(&json(&value).unwrap()).unwrap();
        assert_eq!(read, value);
        let text = yaml(&value).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
    }

    #[test]
    fn one_thing_leaves_empty_values_out() {
        let mut rows = Rows::of_one();
        rows.line("name", "f");
        rows.line("description", "");
        assert_eq!(rows.rows.len(), 1);
    }
}
