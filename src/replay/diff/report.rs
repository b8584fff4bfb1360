//! The result of a comparison, as data and as text.

use super::chain::Link;
use serde::Serialize;
use std::fmt;

/// Rows of the summary that the text shows.
const ROWS_MAX: usize = 40;
/// Differing terms of an entry in text.
const TERMS_MAX: usize = 6;
/// Characters of a value that the text shows.
const VALUE_MAX: usize = 160;

/// One of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is.
    pub what: String,
    /// Version of the rules that made it.
    pub logic_version: u32,
    /// Its inputs.
    pub inputs: u64,
    /// Its outputs.
    pub outputs: u64,
}

/// A field with both values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its path.
    pub field: String,
    /// The first one's value.
    pub a: String,
    /// The second one's value.
    pub b: String,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct First {
    /// The input at which it shows.
    pub seq: u64,
    /// When that was received.
    pub time: String,
    /// `input`, or the stage whose output differs.
    pub stage: String,
    /// Kind of the input or output.
    pub kind: String,
    /// What it is about; empty = not one instrument.
    pub instrument: String,
    /// The field.
    #[serde(flatten)]
    pub field: Field,
    /// Of a hash of a state: where the states themselves part. The chains are those of that input then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parting: Option<Parting>,
    /// Input, events and decisions on the first side, as this program derives them.
    pub chain_a: Vec<Link>,
    /// The same on the second side; empty where only its outputs are known.
    pub chain_b: Vec<Link>,
}

/// Where the states of a stage part, when a hash of them is the first difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parting {
    /// The input after which they differ.
    pub seq: u64,
    /// When that was received.
    pub time: String,
    /// The first values that it made differ, by their paths in the state.
    pub fields: Vec<Field>,
    /// How many more there are.
    pub more: u64,
}

/// Differences of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `input`, or the stage.
    pub stage: String,
    /// Kind of the inputs or outputs.
    pub kind: &'static str,
    /// The field.
    pub field: String,
    /// What they are about.
    pub instrument: String,
    /// How many.
    pub count: u64,
    /// The first one's input.
    pub first_seq: u64,
    /// The first one's value on the first side.
    pub a: String,
    /// And on the second side.
    pub b: String,
}

/// An approved entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeRow {
    /// The input that caused it.
    pub seq: u64,
    /// When.
    pub time: String,
    /// Its number on its side.
    pub trade: u32,
    /// What.
    pub instrument: String,
    /// Where it is bought.
    pub buy: String,
    /// Where it is sold.
    pub sell: String,
    /// Net edge at the decision.
    pub edge_bps: String,
    /// Of the second row of an entry with other terms: what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Field>,
}

/// Entries on both sides: the same input, listings and sides are the same trade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trades {
    /// On both sides, the same.
    pub same: u64,
    /// On both sides, with other terms.
    pub changed: u64,
    /// On the first side only.
    pub vanished: u64,
    /// On the second side only.
    pub appeared: u64,
    /// The first of those with other terms, both sides one after the other.
    pub changed_rows: Vec<TradeRow>,
    /// The first of those on the first side only.
    pub vanished_rows: Vec<TradeRow>,
    /// The first of those on the second side only.
    pub appeared_rows: Vec<TradeRow>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffReport {
    /// No input and no output differs.
    pub identical: bool,
    /// The first one.
    pub a: Side,
    /// The second one.
    pub b: Side,
    /// Values of the configuration that differ, where both are known. They alone are no difference.
    pub configuration: Vec<Field>,
    /// Outputs that both sides have.
    pub compared: u64,
    /// Outputs that one side's record breaks off before.
    pub unrecorded: u64,
    /// The first difference.
    pub first: Option<First>,
    /// All differences, by the input at which their kind shows first.
    pub summary: Vec<Summary>,
    /// Entries.
    pub trades: Trades,
    /// Remarks.
    pub notes: Vec<String>,
}

fn short(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn trades(f: &mut fmt::Formatter<'_>, what: &str, count: u64, rows: &[TradeRow]) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(f, "entries {what}: {count}")?;
    for row in rows.iter().take(ROWS_MAX) {
        let TradeRow { seq, time, trade, instrument, buy, sell, edge_bps, differs } = row;
        writeln!(f, "  input {seq} {time}: trade {trade} {instrument} {buy}>{sell}, edge {edge_bps} bps")?;
        for Field { field, a, b } in differs.iter().take(TERMS_MAX) {
            writeln!(f, "    {field}: a {}, b {}", short(a), short(b))?;
        }
    }
    if count > rows.len().min(ROWS_MAX) as u64 {
        writeln!(f, "  …")?;
    }
    Ok(())
}

impl fmt::Display for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, time, stage, kind, instrument, field, .. } = self;
        writeln!(f, "first difference at input {seq} ({time}) in {stage}: {kind} {instrument}")?;
        writeln!(f, "  {}: a {}, b {}", field.field, short(&field.a), short(&field.b))?;
        if let Some(Parting { seq, time, fields, more }) = &self.parting {
            writeln!(f, "the states differ after input {seq} ({time}) in:")?;
            for Field { field, a, b } in fields {
                writeln!(f, "  {field}: a {}, b {}", short(a), short(b))?;
            }
            if *more > 0 {
                writeln!(f, "  … and {more} more values")?;
            }
        }
        for (side, chain) in [("a", &self.chain_a), ("b", &self.chain_b)] {
            if chain.is_empty() {
                continue;
            }
            writeln!(f, "chain of {side}:")?;
            for Link { of, kind, what } in chain {
                writeln!(f, "  {of} {kind}: {}", short(what))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, side) in [("a", &self.a), ("b", &self.b)] {
            let Side { what, logic_version, inputs, outputs } = side;
            writeln!(f, "{name}: {what} (rules {logic_version}): {inputs} inputs, {outputs} outputs")?;
        }
        for Field { field, a, b } in &self.configuration {
            writeln!(f, "configuration: {field}: {} → {}", short(a), short(b))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        if self.unrecorded > 0 {
            writeln!(f, "outputs beyond the end of a record (unclean end): {}", self.unrecorded)?;
        }
        let Some(first) = &self.first else {
            return write!(f, "identical: {} outputs compared", self.compared);
        };
        write!(f, "{first}")?;
        writeln!(f, "all differences:")?;
        for row in self.summary.iter().take(ROWS_MAX) {
            let Summary { stage, kind, field, instrument, count, first_seq, .. } = row;
            writeln!(f, "  {count:>8}  {stage} {kind} {field} {instrument} (first at input {first_seq})")?;
        }
        if let Some(more) = self.summary.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            writeln!(f, "  … {more} more kinds; --json has them all")?;
        }
        let of = &self.trades;
        trades(f, "that vanish", of.vanished, &of.vanished_rows)?;
        trades(f, "that appear", of.appeared, &of.appeared_rows)?;
        trades(f, "with other terms (a, then b)", of.changed, &of.changed_rows)?;
        write!(f, "entries that are the same: {}", of.same)
    }
}
