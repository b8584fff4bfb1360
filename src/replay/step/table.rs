//! What a command of the debugger answers: rows with named columns, for people as text and for programs as JSON.

use crate::domain::calendar;
use crate::domain::time::Nanos;
use crate::replay::plain::{bps, duration};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// Rows of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Of what.
    pub what: &'static str,
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// A value per column.
    pub rows: Vec<Vec<Value>>,
    /// People get a row as lines of its own.
    is_blocks: bool,
}

impl Table {
    /// Without rows yet.
    pub fn new(what: &'static str, columns: &[&'static str]) -> Self {
        Self { what, columns: columns.to_vec(), rows: Vec::new(), is_blocks: false }
    }

    /// Without rows yet; each holds so much that it takes lines of its own.
    pub fn blocks(what: &'static str, columns: &[&'static str]) -> Self {
        Self { is_blocks: true, ..Self::new(what, columns) }
    }
}

/// `{"what": …, "rows": [{column: value}]}`.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = |row: &Vec<Value>| -> Map<String, Value> {
            self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect()
        };
        let rows: Vec<Map<String, Value>> = self.rows.iter().map(object).collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("what", self.what)?;
        map.serialize_entry("rows", &rows)?;
        map.end()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

/// Nanoseconds from here on are an instant since 1970: eleven days of them are no duration of a field.
const WALL_MIN: Nanos = 1_000_000_000_000_000;
/// Characters of a recorded text that people are shown; programs get all of it.
const EXCERPT: usize = 400;
/// Least columns in which sentences are wrapped beside other cells.
const BESIDE: usize = 24;

impl Table {
    /// As text, fitted to a terminal of so many columns; `None` = as wide as it is.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut out = String::new();
        if self.rows.is_empty() {
            return format!("no {}\n", self.what);
        }
        if self.is_blocks {
            self.rows.iter().for_each(|row| self.block(row, width, &mut out));
            return out;
        }
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let is_number = |text: &str| text == "-" || text.parse::<f64>().is_ok();
        let last = self.columns.len().saturating_sub(1);
        let shape: Vec<(usize, bool)> = (0..self.columns.len())
            .map(|at| {
                let column = || cells.iter().filter_map(|row| row.get(at));
                let width = column().map(|text| text.chars().count()).max().unwrap_or(0);
                (width.max(self.columns[at].len()), column().all(|text| is_number(text)))
            })
            .collect();
        let before: usize = shape.iter().take(last).map(|(wide, _)| wide + 2).sum();
        let (end, is_figure) = shape.last().copied().unwrap_or_default();
        let room = width.filter(|width| before + end > *width);
        match room {
            Some(width) if is_figure || width < before + BESIDE => {
                self.rows.iter().for_each(|row| self.paragraph(row, width, &mut out));
                return out;
            }
            _ => {}
        }
        let head: Vec<String> = self.columns.iter().map(|name| (*name).to_owned()).collect();
        for row in std::iter::once(&head).chain(&cells) {
            let mut line = String::new();
            for (at, (cell, (wide, right))) in row.iter().zip(&shape).enumerate() {
                match (right, at == last) {
                    (true, _) => line += &format!("{cell:>wide$}"),
                    (false, false) => line += &format!("{cell:<wide$}"),
                    (false, true) => line += cell,
                }
                if at != last {
                    line += "  ";
                }
            }
            match room {
                Some(width) => wrapped(line.split(' '), width, before, &mut out),
                None => out += &(line + "\n"),
            }
        }
        out
    }

    /// A row that is too wide for a line: each cell with its name, over as many lines as it takes.
    fn paragraph(&self, row: &[Value], width: usize, out: &mut String) {
        let items: Vec<String> =
            self.columns.iter().zip(row).map(|(name, cell)| format!("{name} {} ", text(cell))).collect();
        wrapped(items.iter().map(String::as_str), width, 2, out);
    }

    /// A row in lines of its own: names on the first, then a line per field of what it holds.
    fn block(&self, row: &[Value], width: Option<usize>, out: &mut String) {
        let (mut head, mut fields): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
        let last = self.columns.len().saturating_sub(1);
        for (at, (name, cell)) in self.columns.iter().zip(row).enumerate() {
            match cell {
                Value::Null => {}
                Value::Object(_) | Value::Array(_) => flat("", cell, &mut fields),
                Value::String(text) if at == last => fields.push(((*name).to_owned(), cut(text))),
                Value::String(text) if text.is_empty() => {}
                other => head.push(text(other)),
            }
        }
        out.push_str(&head.join(" "));
        out.push('\n');
        let names = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &fields {
            let line = format!("  {name:<names$}  {value}");
            match width.filter(|width| line.chars().count() > *width && *width >= names + 4 + BESIDE) {
                Some(width) => wrapped(line.split(' '), width, names + 4, out),
                None => *out += &(line + "\n"),
            }
        }
    }
}

/// The beginning of a long text, and how long it is.
fn cut(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((at, _)) => format!("{}… ({} characters; --json has all)", &text[..at], text.chars().count()),
        None => text.to_owned(),
    }
}

/// Words in lines of `width` at most, those behind the first moved in; a word that is longer is broken.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, width: usize, indent: usize, out: &mut String) {
    let indent = indent.min(width / 2);
    // What is on the line, and how many characters that is.
    let (mut line, mut taken, mut is_begun) = (String::new(), 0, false);
    let mut end = |line: &mut String, taken: &mut usize| {
        out.push_str(line.trim_end());
        out.push('\n');
        *line = " ".repeat(indent);
        *taken = indent;
    };
    for word in words {
        let bare = word.trim_end_matches(' ');
        let mut rest: Vec<char> = bare.chars().collect();
        if (is_begun || taken >= width) && !rest.is_empty() && taken + rest.len() > width {
            end(&mut line, &mut taken);
        }
        while taken + rest.len() > width && !rest.is_empty() {
            line.extend(rest.drain(..(width.saturating_sub(taken)).max(1).min(rest.len())));
            end(&mut line, &mut taken);
        }
        is_begun |= !bare.is_empty();
        let blanks = 1 + word.len() - bare.len();
        taken += rest.len() + blanks;
        line.extend(rest);
        line.push_str(&" ".repeat(blanks));
    }
    end(&mut line, &mut taken);
}

/// The fields of a value, one a line: `edge.net`, `legs[0].price`; what is empty is left out.
fn flat(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    let variant = |fields: &Map<String, Value>| match fields.iter().next() {
        Some((key, inner)) if fields.len() == 1 && key.starts_with(char::is_uppercase) => {
            Some((key.clone(), inner.clone()))
        }
        _ => None,
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => match variant(fields) {
            Some((key, inner @ (Value::Object(_) | Value::Array(_)))) => {
                out.push((if name.is_empty() { "is".to_owned() } else { name.to_owned() }, key));
                flat(name, &inner, out);
            }
            Some((key, inner)) => out.push((name.to_owned(), format!("{key} {}", text(&inner)))),
            None => fields.iter().for_each(|(key, inner)| flat(&below(key), inner, out)),
        },
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                flat(&format!("{name}[{at}]"), item, out);
            }
        }
        Value::Array(items) => {
            let one = |item: &Value| match item {
                Value::Array(pair) => pair.iter().map(text).collect::<Vec<_>>().join(" × "),
                other => figure(name, other),
            };
            let all: Vec<String> = items.iter().filter(|item| !item.is_null()).map(one).collect();
            if !all.is_empty() {
                out.push((plain_name(name).to_owned(), all.join(", ")));
            }
        }
        other => out.push((plain_name(name).to_owned(), figure(name, other))),
    }
}

/// The name of a field without the unit that its value says.
fn plain_name(name: &str) -> &str {
    name.strip_suffix("_ns").or(name.strip_suffix("_ppb")).unwrap_or(name)
}

/// A value with the unit that its field has.
fn figure(name: &str, value: &Value) -> String {
    let Some(number) = value.as_i64() else { return text(value) };
    let name = name.rsplit('.').next().unwrap_or(name);
    match name {
        "age_max" if number == 0 => "never".to_owned(),
        "age_max" => duration(number),
        "detected" | "cause_mono" => format!("{} (monotonic)", duration(number)),
        _ if name.ends_with("_ns") && number >= WALL_MIN => calendar::shown(number),
        _ if name.ends_with("_ns") => duration(number),
        _ if name.ends_with("_ppb") => format!("{} bps", bps(number)),
        _ => number.to_string(),
    }
}

/// Aligned columns; numbers to the right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_aligned_for_people_and_objects_for_programs() {
        let mut table = Table::new("things", &["name", "qty"]);
        assert_eq!(table.to_string(), "no things\n");
        table.rows = vec![vec![json!("a"), json!("10.5")], vec![json!("long"), Value::Null]];
        assert_eq!(table.to_string(), "name   qty\na     10.5\nlong     -\n");
        let told = serde_json::to_value(&table).expect("plain data");
        assert_eq!(
            told,
            json!({"what": "things", "rows": [{"name": "a", "qty": "10.5"}, {"name": "long", "qty": null}]})
        );
    }

    #[test]
    fn rows_that_a_terminal_is_too_narrow_for_lose_nothing() {
        let columns = ["instrument", "buy", "net_bps", "threshold_bps"];
        let mut table = Table::new("pairs", &columns);
        table.rows = vec![vec![json!("BTC/USDT:USDT"), json!("binance-usdm"), json!("-21.5"), json!("1")]; 2];
        let wide = table.text(None);
        assert_eq!(wide.lines().count(), 3, "as wide as it is");
        assert_eq!(table.text(Some(80)), wide, "it fits");
        let narrow = table.text(Some(40));
        assert_eq!(
            narrow.lines().take(2).collect::<Vec<_>>(),
            ["instrument BTC/USDT:USDT", "  buy binance-usdm  net_bps -21.5"]
        );
        for word in columns.iter().chain(&["BTC/USDT:USDT", "binance-usdm", "-21.5"]) {
            assert_eq!(narrow.matches(word).count(), 2, "{word} in\n{narrow}");
        }
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");

        let mut help = Table::new("commands", &["command", "what"]);
        help.rows = vec![vec![json!("step"), json!("passes so many inputs, and looks at what came of them")]];
        assert_eq!(
            help.text(Some(36)),
            "command  what\nstep     passes so many inputs, and\n         looks at what came of them\n"
        );
    }

    #[test]
    fn a_block_has_a_line_for_each_field_with_its_unit() {
        let mut table = Table::blocks("outputs", &["stage", "kind", "what", "message"]);
        let what = json!({
            "Basket": {"book_age_ns": [6_503_722, 250_779], "edge": {"net": "35.4 bps"}, "holes": [null, null],
                       "legs": [{"price": "59836", "reduce_only": false}], "target": {"Socket": 12}, "age_max": 50_000_000,
                       "venue_ns": 1_764_220_000_000_000_000_i64}
        });
        table.rows = vec![vec![json!("scan"), json!("intent"), what, json!("x".repeat(500))]];
        let text = table.to_string();
        assert!(text.starts_with("scan intent\n  is "), "{text}");
        let line = |name: &str| {
            let found = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in\n{text}")).trim_start().to_owned()
        };
        assert_eq!(line("book_age "), "6.503722 ms, 250.779 µs");
        assert_eq!(line("edge.net"), "35.4 bps");
        assert_eq!(line("legs[0].price"), "59836");
        assert_eq!(line("legs[0].reduce_only"), "no");
        assert_eq!(line("target"), "Socket 12");
        assert_eq!(line("age_max"), "50 ms");
        assert!(line("venue ").starts_with("2025-"), "{text}");
        assert!(!text.contains("null") && !text.contains("holes"), "{text}");
        assert!(text.contains("… (500 characters; --json has all)"), "{text}");
        assert!(serde_json::to_string(&table).expect("plain data").contains(&"x".repeat(500)), "all of it");
        assert!(
            table.text(Some(60)).lines().all(|line| line.chars().count() <= 60),
            "{}",
            table.text(Some(60))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_wrapped_without_loss(text in "\\PC{0,60}", width in 4usize..40, indent in 0usize..12) {
            let mut out = String::new();
            wrapped(text.split(' '), width, indent, &mut out);
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(visible(&out), visible(&text));
            proptest::prop_assert!(out.lines().all(|line| line.chars().count() <= width), "{:?}", out);
        }
    }
}
