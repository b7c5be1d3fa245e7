//! The table, and the document it stands in.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::figures::{median, write};
use crate::machine::Machine;

/// One figure, taken several times.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) taken: Vec<f64>,
    pub(crate) target: &'static str,
    /// What bounds it, as far as this run shows.
    pub(crate) note: String,
}

/// To whoever watches.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listening is no reason to stop measuring.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

fn cells(row: &Row) -> [String; 5] {
    let least = row.taken.iter().copied().fold(f64::INFINITY, f64::min);
    let most = row.taken.iter().copied().fold(0.0, f64::max);
    let spread = match row.taken.len() {
        0 | 1 => String::new(),
        _ => format!("{} – {}", write(least), write(most)),
    };
    let value = format!("{} {}", write(median(&row.taken)), row.unit);
    [row.name.to_owned(), value, spread, row.target.to_owned(), row.note.clone()]
}

/// As Markdown, in columns that also line up in a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["what", "median", "least – most", "target", "in this run"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if at == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// `bench/RESULTS.md`.
pub(crate) fn document(machine: &Machine, rows: &[Row], repeats: usize) -> String {
    format!(
        "# Results\n\n<!-- Written by `cargo run --release -p stint-bench`. -->\n\n\
         Server, load generator and user code share this machine: {}.\n\
         Each figure is the median of {repeats} runs. What the rows mean is in \
         [README.md](README.md).\n\n{}",
        machine.line(),
        table(rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let row = Row {
            name: "submit",
            unit: "/s",
            taken: vec![3.0, 1.0, 2.0],
            target: "≥ 1",
            note: String::new(),
        };
        let text = table(&[row]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [widths[0]; 3]);
        assert!(text.contains("2.00 /s") && text.contains("1.00 – 3.00"), "{text}");
    }
}
