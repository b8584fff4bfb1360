//! The timeline of an explanation as SVG: a lane per venue, logarithmic in the time since the trigger.

use super::page::escaped;
use crate::replay::why::Moment;
use std::fmt::Write;

/// Width of the picture and of the names before the lanes, in pixels.
const WIDTH: f64 = 1_080.0;
const NAMES: f64 = 150.0;
/// Height of a row of a lane and of the axis.
const ROW: f64 = 18.0;
const AXIS: f64 = 34.0;
/// Width of a mark: what lies nearer than that goes to the next row.
const MARK: f64 = 13.0;
/// Times below this are drawn at the beginning, ns.
const BEGIN: f64 = 1_000.0;

/// A lane: a venue, or what concerns no single one.
struct Lane<'a> {
    name: &'a str,
    /// Each with its place and row.
    marks: Vec<(&'a Moment, f64, usize)>,
    rows: usize,
}

/// Draws the moments.
pub(super) fn svg(moments: &[Moment]) -> String {
    let end = moments.iter().map(|moment| moment.since_ns).max().unwrap_or(0).max(1_000_000) as f64;
    let decades = (end / BEGIN).log10().max(1.0);
    let place = |ns: i64| {
        let passed = (ns.max(0) as f64 / BEGIN).max(1.0).log10() / decades;
        NAMES + 10.0 + passed * (WIDTH - NAMES - 30.0)
    };
    let lanes = lanes(moments, place);
    let height = AXIS + lanes.iter().map(|lane| (lane.rows as f64 + 0.6) * ROW).sum::<f64>();
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-labelledby=\"timeline-title\">\n\
         <title id=\"timeline-title\">Timeline: time since the trigger on a logarithmic scale; the table below says the \
         same in words</title>"
    );
    let mut decade = 0;
    while f64::from(decade) <= decades {
        let x = place((BEGIN * 10f64.powi(decade)) as i64);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{height:.1}\"/>\
             <text class=\"axis\" x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            AXIS - 14.0,
            unit(decade)
        );
        decade += 1;
    }
    let mut y = AXIS;
    for lane in &lanes {
        let _ = writeln!(
            out,
            "<text class=\"lane\" x=\"4\" y=\"{:.1}\">{}</text>\
             <line class=\"grid\" x1=\"0\" y1=\"{:.1}\" x2=\"{WIDTH:.0}\" y2=\"{:.1}\"/>",
            y + 12.0,
            escaped(lane.name),
            y - 4.0,
            y - 4.0
        );
        for (moment, x, row) in &lane.marks {
            let (class, letter) = mark(moment.kind);
            let _ = writeln!(
                out,
                "<g class=\"{class}\"><title>+{} ns: {}</title><circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"6\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{letter}</text></g>",
                moment.since_ns,
                escaped(&moment.what),
                y + *row as f64 * ROW + 8.0,
                y + *row as f64 * ROW + 11.5
            );
        }
        y += (lane.rows as f64 + 0.6) * ROW;
    }
    out.push_str("</svg>\n");
    out
}

fn lanes(moments: &[Moment], place: impl Fn(i64) -> f64) -> Vec<Lane<'_>> {
    let mut lanes: Vec<Lane<'_>> = Vec::new();
    for moment in moments {
        let name = moment.venue.as_deref().unwrap_or("engine");
        let at = lanes.iter().position(|lane| lane.name == name).unwrap_or_else(|| {
            lanes.push(Lane { name, marks: Vec::new(), rows: 1 });
            lanes.len() - 1
        });
        let lane = &mut lanes[at];
        let x = place(moment.since_ns);
        let taken =
            |row: usize| lane.marks.iter().any(|(_, other, at)| *at == row && (x - other).abs() < MARK);
        let row = (0..).find(|row| !taken(*row)).unwrap_or(0);
        lane.rows = lane.rows.max(row + 1);
        lane.marks.push((moment, x, row));
    }
    lanes
}

/// Style and letter of a kind of moment: never told by colour alone.
pub(super) const fn mark(kind: &str) -> (&'static str, &'static str) {
    match kind.as_bytes() {
        b"trigger" => ("m-trigger", "T"),
        b"intent" => ("m-intent", "I"),
        b"denied" => ("m-bad", "D"),
        b"message" => ("m-message", "M"),
        b"fate" => ("m-fate", "S"),
        b"ack" => ("m-ack", "A"),
        b"fill" => ("m-fill", "F"),
        b"end" => ("m-end", "E"),
        b"cancel" => ("m-bad", "C"),
        b"taken" => ("m-bad", "X"),
        b"funding" => ("m-fill", "$"),
        _ => ("m-phase", "P"),
    }
}

fn unit(decade: i32) -> String {
    let nanos = 10i64.pow(3 + decade.clamp(0, 15) as u32);
    match nanos {
        0..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{} s", nanos / 1_000_000_000),
    }
}
