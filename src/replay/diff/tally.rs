//! Counting differences while two runs pass.

use super::chain::Chain;
use super::report::{DiffReport, Field, First, Parting, Side, Summary, TradeRow, Trades};
use super::state::Unequal;
use super::venue_name;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::Input;
use crate::domain::intent::{Basket, BasketKind, EdgeTerms, Intent};
use crate::domain::output::{Output, STAGES};
use crate::domain::time::Nanos;
use crate::ops::view::Names;
use crate::replay::divergence::{differences, json};
use crate::replay::plain::bps;
use crate::replay::source::RecordedOutput;
use crate::replay::step::quantity::about_output;
use crate::replay::step::words;
use crate::stage::decode::ConnInfo;
use std::collections::BTreeMap;

/// Trades of each kind that are listed one by one.
const TRADES_MAX: usize = 100;

/// What differences are counted by: stage (or `input`), kind, field, instrument.
type Key = (String, &'static str, String, String);

pub(super) struct Tally {
    pub here: Side,
    pub there: Side,
    /// Outputs that one side's record breaks off before.
    pub unrecorded: u64,
    names: Names,
    conns: Vec<ConnInfo>,
    compared: u64,
    first: Option<First>,
    counts: BTreeMap<Key, Summary>,
    trades: Trades,
    notes: Vec<String>,
    /// By stage: the last input with equal hashes of its state.
    equal: [Seq; STAGES.len()],
    unequal: Option<Unequal>,
    /// Venue and time of the present input.
    venue: String,
    anchor: Nanos,
    mono: Nanos,
    /// `mono` of the first difference, as long as the wall clock is not known.
    untimed: Option<Nanos>,
}

impl Tally {
    pub fn new(names: Names, conns: Vec<ConnInfo>, here: Side, there: Side) -> Self {
        Self {
            here,
            there,
            unrecorded: 0,
            names,
            conns,
            compared: 0,
            first: None,
            counts: BTreeMap::new(),
            trades: Trades::default(),
            notes: Vec::new(),
            equal: [Seq(0); STAGES.len()],
            unequal: None,
            venue: String::new(),
            anchor: 0,
            mono: 0,
            untimed: None,
        }
    }

    /// The record begins with a wall clock that is so much ahead of the monotonic one; 0 = not known yet.
    pub fn begins(&mut self, anchor: Nanos) {
        self.anchor = anchor;
    }

    /// The next input.
    pub fn begin(&mut self, input: &Input, mono: Nanos) {
        if let Input::Anchor(anchor) = input {
            self.anchor = *anchor;
            if let (Some(mono), Some(first)) = (self.untimed.take(), &mut self.first) {
                first.time = calendar::shown(mono.saturating_add(self.anchor));
            }
        }
        self.mono = mono;
        self.venue = venue_name(&self.names, &self.conns, input);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn count(&mut self, seq: Seq, stage: String, kind: &'static str, instrument: String, field: Field) {
        if self.first.is_none() {
            self.untimed = (self.anchor == 0).then_some(self.mono);
            self.first = Some(First {
                seq: seq.0,
                time: calendar::shown(self.mono.saturating_add(self.anchor)),
                stage: stage.clone(),
                kind: kind.to_owned(),
                instrument: instrument.clone(),
                field: field.clone(),
                parting: None,
                chain_a: Vec::new(),
                chain_b: Vec::new(),
            });
        }
        let key = (stage.clone(), kind, field.field.clone(), instrument.clone());
        let row = self.counts.entry(key).or_insert_with(|| Summary {
            stage,
            kind,
            field: field.field,
            instrument,
            count: 0,
            first_seq: seq.0,
            a: field.a,
            b: field.b,
        });
        row.count += 1;
    }

    /// A difference of an input.
    pub fn input(&mut self, seq: Seq, kind: &'static str, field: Field) {
        let venue = self.venue.clone();
        self.count(seq, "input".to_owned(), kind, venue, field);
    }

    /// The listings of an output; of a digest of events, the venue of its input.
    fn about(&self, output: &Output) -> String {
        if matches!(output, Output::Events(_)) {
            return self.venue.clone();
        }
        let name = |id: &crate::domain::instrument::InstrumentId| {
            let symbol = self.names.listings.get(id.index()).map_or("?", |(_, symbol)| symbol.as_str());
            format!("{symbol}.{}", self.names.venue_of(*id))
        };
        about_output(output).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    /// An output that both sides have.
    pub fn both(&mut self, seq: Seq, a: &RecordedOutput, b: &RecordedOutput) {
        self.compared += 1;
        let at = a.0.stage as usize;
        if a.1 == b.1 && a.2 == b.2 {
            if matches!(a.1, Output::State(_)) {
                self.equal[at] = seq;
            }
            return;
        }
        if let (None, &Output::State(recorded)) = (&self.first, &a.1) {
            self.unequal = Some(Unequal { stage: a.0.stage, equal: self.equal[at], at: seq, recorded });
        }
        let mut found = Vec::new();
        differences("", &json(&a.1), &json(&b.1), &mut found);
        let mut fields: Vec<Field> = found.into_iter().map(|(field, a, b)| Field { field, a, b }).collect();
        if a.2 != b.2 {
            fields.push(super::bytes_difference(&a.2, &b.2));
        }
        if fields.is_empty() {
            // Equal as text and yet not the same: the value itself tells it.
            let text = |output: &Output| format!("{output:?}");
            fields.push(Field { field: "output".into(), a: text(&a.1), b: text(&b.1) });
        }
        let (stage, kind, about) = (stage(a), words::output(&a.1), self.about(&a.1));
        for field in fields {
            self.count(seq, stage.clone(), kind, about.clone(), field);
        }
    }

    /// An output that only one side has.
    pub fn only(&mut self, seq: Seq, one: &RecordedOutput, here: bool) {
        let (there, nothing) = (format!("{:?}", one.1), "nothing".to_owned());
        let (a, b) = if here { (there, nothing) } else { (nothing, there) };
        let about = self.about(&one.1);
        self.count(seq, stage(one), words::output(&one.1), about, Field { field: "output".into(), a, b });
    }

    /// Entries that were approved on one side, on the other, or on both with other terms.
    pub fn trades(&mut self, seq: Seq, a: &[RecordedOutput], b: &[RecordedOutput]) {
        let mut theirs: Vec<&Basket> = b.iter().filter_map(entry).collect();
        for basket in a.iter().filter_map(entry) {
            let same = |other: &&Basket| legs(other) == legs(basket);
            match theirs.iter().position(same).map(|at| theirs.swap_remove(at)) {
                Some(other) if terms(other) == terms(basket) => self.trades.same += 1,
                Some(other) => {
                    self.trades.changed += 1;
                    let (row, mut with) = (self.row(seq, basket), self.row(seq, other));
                    let mut found = Vec::new();
                    let json = |of: &Basket| serde_json::to_value(terms(of)).unwrap_or_default();
                    differences("", &json(basket), &json(other), &mut found);
                    with.differs = found.into_iter().map(|(field, a, b)| Field { field, a, b }).collect();
                    list(&mut self.trades.changed_rows, row);
                    list(&mut self.trades.changed_rows, with);
                }
                None => {
                    self.trades.vanished += 1;
                    let row = self.row(seq, basket);
                    list(&mut self.trades.vanished_rows, row);
                }
            }
        }
        for basket in theirs {
            self.trades.appeared += 1;
            let row = self.row(seq, basket);
            list(&mut self.trades.appeared_rows, row);
        }
    }

    fn row(&self, seq: Seq, basket: &Basket) -> TradeRow {
        let venue = |leg: usize| self.names.venue_of(basket.legs[leg].instrument).to_owned();
        TradeRow {
            seq: seq.0,
            time: calendar::shown(self.mono.saturating_add(self.anchor)),
            trade: basket.trade.0,
            instrument: self.names.canonical(basket.canonical).to_owned(),
            buy: venue(0),
            sell: venue(1),
            edge_bps: bps(basket.edge.net).to_string(),
            differs: Vec::new(),
        }
    }

    pub fn first_seq(&self) -> Option<Seq> {
        self.first.as_ref().map(|first| Seq(first.seq))
    }

    /// The first difference, where it is one of a hash of a state.
    pub fn unequal(&self) -> Option<Unequal> {
        self.unequal
    }

    pub fn parted(&mut self, parting: Parting) {
        if let Some(first) = &mut self.first {
            first.parting = Some(parting);
        }
    }

    /// The first difference shows at this input.
    pub fn is_first_at(&self, seq: Seq) -> bool {
        self.first_seq() == Some(seq)
    }

    pub fn explain_here(&mut self, chain: impl Fn(&Names) -> Chain) {
        if let Some(first) = &mut self.first {
            first.chain_a = chain(&self.names);
        }
    }

    pub fn explain_there(&mut self, chain: impl Fn(&Names) -> Chain) {
        if let Some(first) = &mut self.first {
            first.chain_b = chain(&self.names);
        }
    }

    pub fn into_report(self, configuration: Vec<Field>) -> DiffReport {
        let mut summary: Vec<Summary> = self.counts.into_values().collect();
        summary.sort_by_key(|row| row.first_seq);
        DiffReport {
            identical: self.first.is_none(),
            a: self.here,
            b: self.there,
            configuration,
            compared: self.compared,
            unrecorded: self.unrecorded,
            first: self.first,
            summary,
            trades: self.trades,
            notes: self.notes,
        }
    }
}

fn stage(output: &RecordedOutput) -> String {
    format!("{:?}", output.0.stage).to_lowercase()
}

fn list(rows: &mut Vec<TradeRow>, row: TradeRow) {
    if rows.len() < TRADES_MAX {
        rows.push(row);
    }
}

/// What makes an entry: what it was held against is the configuration's.
fn terms(basket: &Basket) -> Basket {
    Basket { edge: EdgeTerms { threshold: 0, ..basket.edge }, ..*basket }
}

/// The basket of an approved entry.
fn entry(output: &RecordedOutput) -> Option<&Basket> {
    match &output.1 {
        Output::Approved(Intent::Basket(basket)) if basket.kind == BasketKind::Entry => Some(basket),
        _ => None,
    }
}

/// What is bought and sold.
fn legs(basket: &Basket) -> Vec<(crate::domain::instrument::InstrumentId, i64)> {
    basket.orders().iter().map(|leg| (leg.instrument, leg.side.sign())).collect()
}
