//! A picture of the live view as a standalone SVG: the same screen, drawn in memory, as the terminal shows.

use super::screen;
use crate::ops::view::View;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::widgets::Widget;
use std::fmt::Write;

/// Characters in a row.
const COLUMNS: u16 = 100;
/// Rows: all tables of the demo and a line of remarks.
const ROWS: u16 = 26;
/// Size of a character cell, in pixels.
const CELL: (f32, f32) = (8.4, 18.0);
/// Space around the text, in pixels.
const MARGIN: f32 = 14.0;

/// Draws the view.
pub fn picture(view: &View) -> String {
    let area = Rect::new(0, 0, COLUMNS, ROWS);
    let mut buffer = Buffer::empty(area);
    screen::screen(view, COLUMNS, ROWS, true).render(area, &mut buffer);
    svg(&buffer)
}

/// A buffer as SVG. Every run of one style is stretched to its exact width, so that columns stay aligned
/// whatever font the viewer has.
pub fn svg(buffer: &Buffer) -> String {
    let columns = usize::from(buffer.area.width).max(1);
    let (width, height) = (buffer.area.width as f32 * CELL.0, buffer.area.height as f32 * CELL.1);
    let (width, height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <title>perpring demo</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>"
    );
    for (row, cells) in buffer.content.chunks(columns).enumerate() {
        let y = MARGIN + (row as f32 + 0.75) * CELL.1;
        let mut from = 0;
        for run in cells.chunk_by(|a, b| (a.fg, a.modifier) == (b.fg, b.modifier)) {
            write_run(&mut out, run, from, y);
            from += run.len();
        }
    }
    out.push_str("</svg>\n");
    out
}

fn write_run(out: &mut String, run: &[Cell], from: usize, y: f32) {
    let Some(first) = run.iter().position(|cell| cell.symbol() != " ") else { return };
    let last = run.iter().rposition(|cell| cell.symbol() != " ").unwrap_or(first);
    let shown = &run[first..=last];
    let x = MARGIN + (from + first) as f32 * CELL.0;
    let length = shown.len() as f32 * CELL.0;
    let weight = if shown[0].modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{weight} xml:space=\"preserve\">",
        fill(shown[0].fg)
    );
    for c in shown.iter().flat_map(|cell| cell.symbol().chars()) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Not allowed in XML, and nothing to be seen.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push_str("</text>\n");
}

fn fill(colour: Color) -> &'static str {
    match colour {
        Color::Cyan => "#56d4dd",
        Color::Green => "#3fb950",
        Color::Red => "#ff7b72",
        Color::Yellow => "#d29922",
        Color::Gray => "#9198a1",
        _ => "#e6edf3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::metrics::tests::sample;

    #[test]
    fn the_picture_is_well_formed_and_shows_the_figures() {
        let mut view = sample();
        view.notes = vec!["a <b> & \"c\" \u{1b}[0m".into()];
        let svg = picture(&view);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        let mut text = String::new();
        let (mut open, mut rest) = (Vec::new(), svg.as_str());
        while let Some((before, tag)) = rest.split_once('<') {
            assert!(!before.contains('>'), "unescaped: {before}");
            text.push_str(before);
            let (tag, after) = tag.split_once('>').expect("tags are closed");
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "tags nest");
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a name"));
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        }
        assert!(open.is_empty() && rest.trim().is_empty());
        assert!(!svg.contains('\u{1b}'));
        for shown in
            ["trading normal", "bin&gt;okx", "market_data", "a &lt;b&gt; &amp; \"c\"", "unhedged 1 now 2 max"]
        {
            assert!(text.contains(shown), "{shown}\n{text}");
        }
    }
}
