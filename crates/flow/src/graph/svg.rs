//! The graph as SVG: ranks from top to bottom, what a step holds inside of its box. No scripts, no
//! fonts, no links: safe to show anywhere.

use core::fmt::Write as _;

use super::{EdgeKind, Graph};
use crate::plan::Kind;
use crate::prelude::*;

const WIDTH: i64 = 190;
const HEIGHT: i64 = 46;
const GAP: i64 = 36;
const MARGIN: i64 = 18;

#[derive(Clone, Copy, Default)]
struct Place {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// Sizes of all steps and scopes.
struct Sizes {
    steps: Vec<(i64, i64)>,
    scopes: Vec<(i64, i64)>,
}

impl Graph {
    /// A drawing.
    pub fn svg(&self) -> String {
        let mut sizes = Sizes {
            steps: vec![(0, 0); self.steps.len()],
            scopes: vec![(0, 0); self.scopes.len()],
        };
        let (width, height) = self.measure(0, &mut sizes);
        let mut places = vec![Place::default(); self.steps.len()];
        self.place(0, (MARGIN, MARGIN), &sizes, &mut places);
        let (width, height) = (width + 2 * MARGIN, height + 2 * MARGIN);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
             markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#667\"/></marker></defs>\n"
        );
        // Outer boxes first, so that what they hold lies on top.
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        order.sort_by_key(|at| core::cmp::Reverse(places[*at].width * places[*at].height));
        for at in order {
            self.draw_step(at, places[at], &mut out);
        }
        for edge in &self.edges {
            if let Some(to) = edge.to {
                draw_edge(places[edge.from], places[to], (edge.kind, &edge.label), &mut out);
            }
        }
        out.push_str("</svg>\n");
        out
    }

    /// Width and height of a scope; fills in those of everything inside.
    fn measure(&self, scope: usize, sizes: &mut Sizes) -> (i64, i64) {
        let (mut width, mut height) = (0, 0);
        for rank in self.ranks(scope) {
            let (mut across, mut tall) = (0, 0);
            for step in rank {
                let size = self.measure_step(step, sizes);
                sizes.steps[step] = size;
                across += size.0 + GAP;
                tall = tall.max(size.1);
            }
            width = width.max(across - GAP);
            height += tall + GAP;
        }
        sizes.scopes[scope] = (width, height - GAP);
        sizes.scopes[scope]
    }

    fn measure_step(&self, step: usize, sizes: &mut Sizes) -> (i64, i64) {
        let held = self.held(step);
        if held.is_empty() {
            return (WIDTH, HEIGHT);
        }
        let (mut width, mut height) = (MARGIN, 0);
        for scope in held {
            let size = self.measure(scope, sizes);
            width += size.0 + MARGIN;
            height = height.max(size.1);
        }
        (width.max(WIDTH), height + HEIGHT + MARGIN)
    }

    fn place(&self, scope: usize, (x, y): (i64, i64), sizes: &Sizes, places: &mut [Place]) {
        let mut top = y;
        for rank in self.ranks(scope) {
            let across: i64 = rank.iter().map(|step| sizes.steps[*step].0 + GAP).sum::<i64>() - GAP;
            let mut left = x + (sizes.scopes[scope].0 - across) / 2;
            let mut tall = 0;
            for step in rank {
                let (width, height) = sizes.steps[step];
                places[step] = Place { x: left, y: top, width, height };
                let mut inside = left + MARGIN;
                for scope in self.held(step) {
                    self.place(scope, (inside, top + HEIGHT), sizes, places);
                    inside += sizes.scopes[scope].0 + MARGIN;
                }
                left += width + GAP;
                tall = tall.max(height);
            }
            top += tall + GAP;
        }
    }

    fn draw_step(&self, at: usize, place: Place, out: &mut String) {
        let step = &self.steps[at];
        let (fill, line) = match step.kind {
            Kind::Task => ("#e8f1fd", "#3b76c4"),
            Kind::Choice => ("#fdf5dc", "#b08a1e"),
            Kind::Fail => ("#fde8e8", "#b93a3a"),
            Kind::Succeed => ("#e6f6ea", "#2f8a4c"),
            Kind::Parallel | Kind::Map => ("#f5f3fb", "#7a63b8"),
            Kind::Wait | Kind::Pass => ("#f3f4f6", "#7b8190"),
        };
        let Place { x, y, width, height } = place;
        let dash = if step.is_distributed { " stroke-dasharray=\"5 3\"" } else { "" };
        let what = step.calls.clone().unwrap_or_else(|| format!("{:?}", step.kind));
        let middle = x + width / 2;
        let _ok = writeln!(
            out,
            "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"7\" \
             fill=\"{fill}\" stroke=\"{line}\"{dash}/><text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" \
             font-weight=\"600\">{}</text><text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" \
             fill=\"#667\">{}</text></g>",
            escape(&step.name),
            y + 19,
            escape(&shorten(&step.name)),
            y + 36,
            escape(&shorten(&what)),
        );
    }
}

fn draw_edge(from: Place, to: Place, (kind, label): (EdgeKind, &str), out: &mut String) {
    let (x1, y1) = (from.x + from.width / 2, from.y + from.height);
    let (x2, y2) = (to.x + to.width / 2, to.y);
    let dash = if kind == EdgeKind::Catch { " stroke-dasharray=\"4 3\"" } else { "" };
    let path = if y2 > y1 {
        let middle = (y1 + y2) / 2;
        format!("M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}")
    } else {
        // Back up, around the right side.
        let (right, y1, y2) = (from.x + from.width, from.y + from.height / 2, to.y + to.height / 2);
        let x2 = to.x + to.width;
        let far = right.max(x2) + GAP;
        format!("M{right} {y1}C{far} {y1} {far} {y2} {x2} {y2}")
    };
    let _ok = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#667\"{dash} marker-end=\"url(#tip)\"/>"
    );
    if !label.is_empty() {
        let (x, y) = ((x1 + x2) / 2 + 4, (y1 + y2) / 2 + 4);
        let text = escape(&shorten(label));
        let _ok =
            writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"10\" fill=\"#667\">{text}</text>");
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(25) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
