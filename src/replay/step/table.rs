//! What a command of the debugger answers: rows with named columns, for people as text and for programs as JSON.

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
}

impl Table {
    /// Without rows yet.
    pub fn new(what: &'static str, columns: &[&'static str]) -> Self {
        Self { what, columns: columns.to_vec(), rows: Vec::new() }
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

/// Aligned columns; numbers to the right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "no {}", self.what);
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
        let head: Vec<String> = self.columns.iter().map(|name| (*name).to_owned()).collect();
        for row in std::iter::once(&head).chain(&cells) {
            for (at, (cell, (width, right))) in row.iter().zip(&shape).enumerate() {
                match (right, at == last) {
                    (true, _) => write!(f, "{cell:>width$}")?,
                    (false, false) => write!(f, "{cell:<width$}")?,
                    (false, true) => write!(f, "{cell}")?,
                }
                if at != last {
                    write!(f, "  ")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
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
}
