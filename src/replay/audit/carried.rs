//! What a run took over from the one before: told, and held against what that one ended with.

use super::finding::Findings;
use super::ledger::names;
use crate::domain::carry::{CarriedPosition, CarriedTrade, Carry, Ending, Halt};
use crate::domain::event::Seq;
use crate::domain::instrument::{InstrumentId, Qty};
use crate::domain::money::Money;
use crate::domain::params::EngineParams;
use crate::domain::time::Nanos;
use crate::journal::Manifest;
use crate::replay::cursor::Cursor;
use crate::replay::source::ReplayError;
use crate::stage::LOGIC_VERSION;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whether what was carried is what the run before ended with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CarryVerdict {
    /// Position for position, trade for trade, to the last unit.
    Equal,
    /// It is not: see the findings.
    Differs,
    /// The journal of the run before does not lie beside this one, and no other place was given.
    #[default]
    NotFound,
    /// It is there, and does not tell: it cannot be read to its end, or other rules wrote it. See the notes.
    NotComparable,
}

/// A position that was taken over, from the run before or from the state where a part of a run begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CarriedRow {
    /// Venue.
    pub venue: String,
    /// The contract's native name.
    pub symbol: String,
    /// Signed contracts.
    pub qty: Money,
    /// What had flowed into it, settlement currency: where money begins to count.
    pub cost: Money,
}

/// What a run took over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CarryReport {
    /// The run before; empty = none, or it was not to count.
    pub run: String,
    /// How that ended.
    pub ending: Ending,
    /// The instant of its last input, ns since the epoch.
    pub ended_ns: Nanos,
    /// Positions.
    pub positions: Vec<CarriedRow>,
    /// Open trades.
    pub trades: u64,
    /// Orders without an end.
    pub orders: u64,
    /// The result of the day so far, quote currency.
    pub day_result: Money,
    /// The result of all runs so far.
    pub result: Money,
    /// A halt that holds on.
    pub halted: Option<Halt>,
    /// It only reduces until that is closed.
    pub reducing: bool,
    /// Journal of the run before.
    pub parent: Option<String>,
    /// Whether that ended with this.
    pub verdict: CarryVerdict,
}

/// The journal of a run with what it took over.
pub(super) struct Taken<'a> {
    pub dir: &'a Path,
    pub carry: &'a Carry,
    pub params: &'a EngineParams,
    /// Where it stands in the record.
    pub place: (Seq, Nanos),
}

impl Taken<'_> {
    /// Tells it, and compares it with the journal of the run before: `follows`, or the one beside this one.
    pub fn compare(
        &self,
        follows: Option<&Path>,
        notes: &mut Vec<String>,
        findings: &mut Findings,
    ) -> CarryReport {
        let mut report = self.told();
        let parent = match follows {
            Some(dir) => Some(dir.to_owned()),
            None => self.beside(),
        };
        let Some(parent) = parent.filter(|_| !self.carry.run.is_empty()) else { return report };
        report.parent = Some(parent.display().to_string());
        let before = findings.count;
        report.verdict = match ended_with(&parent, &self.carry.run) {
            Err(why) => {
                notes
                    .push(format!("what was taken over cannot be compared with {}: {why}", parent.display()));
                CarryVerdict::NotComparable
            }
            Ok((ended, params)) => {
                self.differences(&ended, &params, findings);
                if findings.count == before { CarryVerdict::Equal } else { CarryVerdict::Differs }
            }
        };
        report
    }

    fn told(&self) -> CarryReport {
        let carry = self.carry;
        CarryReport {
            run: carry.run.clone(),
            ending: carry.ending,
            ended_ns: carry.wall_ns,
            positions: rows(carry, self.params),
            trades: carry.trades.len() as u64,
            orders: carry.orders.len() as u64,
            day_result: carry.standing.daily,
            result: carry.standing.result,
            halted: carry.standing.halted,
            reducing: carry.standing.reducing,
            ..CarryReport::default()
        }
    }

    /// The journal of the run before, where it lies beside this one.
    fn beside(&self) -> Option<PathBuf> {
        let root = self.dir.canonicalize().ok()?.parent()?.to_owned();
        let entries = std::fs::read_dir(root).ok()?.flatten().map(|entry| entry.path());
        let is_it = |dir: &PathBuf| {
            Manifest::read(dir).is_ok_and(|manifest| manifest.run_id.to_string() == self.carry.run)
        };
        entries.into_iter().find(is_it)
    }

    fn differences(&self, ended: &Carry, params: &EngineParams, findings: &mut Findings) {
        let mut differs = |subject: String, ours: String, theirs: String| {
            let detail = format!("{ours} was taken over, the run before ended with {theirs}");
            findings.add("carry", "carry_differs", self.place, subject, detail);
        };
        let (here, there) = (Places::new(self.params), Places::new(params));
        let apart = |ours: BTreeMap<String, String>, theirs: BTreeMap<String, String>| {
            let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let said =
                |of: &BTreeMap<String, String>, name| of.get(name).cloned().unwrap_or("nothing".into());
            let rows = names.into_iter().map(|name| (name.clone(), said(&ours, name), said(&theirs, name)));
            rows.filter(|(_, ours, theirs)| ours != theirs).collect::<Vec<_>>()
        };
        // Accounts on paper end with their run.
        if params.paper.is_none() {
            let rows = apart(positions(self.carry, &here), positions(ended, &there)).into_iter();
            let trades = apart(trades(self.carry, &here), trades(ended, &there));
            rows.chain(trades).for_each(|(name, ours, theirs)| differs(name, ours, theirs));
            for order in &ended.orders {
                let id = order.spec.client_id;
                if !self.carry.orders.iter().any(|taken| taken.spec.client_id == id) {
                    differs(format!("order {id}"), "nothing".into(), "it without an end".into());
                }
            }
        }
        let (ours, theirs) = (&self.carry.standing, &ended.standing);
        for (name, ours, theirs) in [
            ("result of the day", (ours.day, ours.daily), (theirs.day, theirs.daily)),
            ("result", (0, ours.result), (0, theirs.result)),
            ("largest result", (0, ours.peak), (0, theirs.peak)),
            ("failures in a row", (0, Money::from_units(i64::from(ours.failures))), {
                (0, Money::from_units(i64::from(theirs.failures)))
            }),
        ] {
            if ours != theirs {
                differs(name.to_owned(), ours.1.to_string(), theirs.1.to_string());
            }
        }
        // A kill that the engine did not live to record counts, too.
        if theirs.halted.is_some() && ours.halted.is_none() {
            differs("halt".into(), "none".into(), format!("{:?}", theirs.halted));
        }
    }
}

/// What is held of each listing.
pub(super) fn rows(carry: &Carry, params: &EngineParams) -> Vec<CarriedRow> {
    let place = Places::new(params);
    let held = carry.positions.iter().filter(|position| position.qty != 0);
    let row = |position: &CarriedPosition| {
        let (venue, symbol) = place.of(position.instrument);
        let known = carry.instruments.iter().find(|known| known.id == position.instrument);
        let qty = known.map_or(Money(i128::from(position.qty)), |known| {
            Money::from_num(known.qty_num(Qty(position.qty)))
        });
        CarriedRow { venue, symbol, qty, cost: -position.open_cash }
    };
    held.map(row).collect()
}

/// Names of listings, which two runs may number otherwise.
struct Places<'a> {
    venues: Vec<String>,
    params: &'a EngineParams,
}

impl<'a> Places<'a> {
    fn new(params: &'a EngineParams) -> Self {
        Self { venues: names(params), params }
    }

    fn of(&self, id: InstrumentId) -> (String, String) {
        let listing = self.params.listings.get(id.index());
        let venue = listing.and_then(|of| self.venues.get(of.venue.index())).cloned().unwrap_or_default();
        (venue, listing.map_or_else(|| id.0.to_string(), |of| of.symbol.to_string()))
    }

    fn name(&self, id: InstrumentId) -> String {
        let (venue, symbol) = self.of(id);
        format!("{venue} {symbol}")
    }
}

fn positions(carry: &Carry, places: &Places<'_>) -> BTreeMap<String, String> {
    let held = carry.positions.iter().filter(|position| position.qty != 0);
    let row = |position: &CarriedPosition| {
        let said = format!("{} contracts that cost {}", position.qty, -position.open_cash);
        (places.name(position.instrument), said)
    };
    held.map(row).collect()
}

fn trades(carry: &Carry, places: &Places<'_>) -> BTreeMap<String, String> {
    let open =
        |trade: &&CarriedTrade| trade.legs.iter().any(|leg| leg.position != 0 || leg.working.is_some());
    let row = |trade: &CarriedTrade| {
        let legs = trade.legs.map(|leg| format!("{} of {}", leg.position, places.name(leg.instrument)));
        (format!("trade {}", trade.id), legs.join(", "))
    };
    carry.trades.iter().filter(open).map(row).collect()
}

/// What the run in `dir` ended with, and its parameters; an error in words.
fn ended_with(dir: &Path, run: &str) -> Result<(Carry, EngineParams), String> {
    let said = |error: ReplayError| error.to_string();
    let mut cursor = Cursor::open(dir).map_err(said)?;
    let manifest = cursor.manifest();
    if manifest.run_id.to_string() != run {
        return Err(format!("it is of run {}, and the one before was {run}", manifest.run_id));
    }
    if manifest.logic_version != LOGIC_VERSION {
        return Err(format!(
            "version {} of the rules wrote it, and not {LOGIC_VERSION}",
            manifest.logic_version
        ));
    }
    cursor.snapshots().set_spacing(0);
    cursor.seek(Seq(u64::MAX), &mut (), &mut |_| {}).map_err(said)?;
    let mut ended = Carry::default();
    let parts = cursor.parts();
    parts.risk.rules().carry(&mut ended);
    parts.scan.scanner().carry(&mut ended);
    parts.decode.carry(&mut ended);
    Ok((ended, cursor.config().params.clone()))
}
