//! What an import says at its end: text for people, and JSON whose keys are stable (docs/IMPORT.md).

use super::merge::LineCounts;
use super::study::{LEVELS, PairStudy, Study, WayStudy};
use super::tally::{EpisodesReport, Tally};
use crate::domain::intent::{BPS, Ppb};
use crate::domain::params::EngineParams;
use crate::domain::time::{MILLI, Nanos};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Percentiles that are told of edges, per mille.
const PERCENTILES: [(&str, u64); 9] = [
    ("p0.1", 1),
    ("p1", 10),
    ("p10", 100),
    ("p25", 250),
    ("p50", 500),
    ("p75", 750),
    ("p90", 900),
    ("p99", 990),
    ("p99.9", 999),
];

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Directory of the journal.
    pub journal: String,
    /// Inputs recorded.
    pub inputs: u64,
    /// From the first to the last message, ns since the Unix epoch.
    pub from_ns: Nanos,
    /// See `from_ns`.
    pub to_ns: Nanos,
    /// Intended notional per leg, quote currency.
    pub notional: i64,
    /// Net edge needed to enter, bps.
    pub threshold_bps: f64,
    /// By venue.
    pub venues: Vec<VenueReport>,
    /// By ordered pair.
    pub pairs: Vec<WayReport>,
    /// Trades that the engine opened on paper.
    pub trades: u64,
    /// Orders that it wanted.
    pub orders: u64,
    /// Why it did not trade (more), one sentence each.
    pub why_not: Vec<String>,
    /// Files that could not be read to their end.
    pub unreadable: Vec<String>,
}

/// A venue.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VenueReport {
    /// Dialect.
    pub venue: String,
    /// Its recordings.
    pub files: Vec<FileReport>,
    /// Contracts, unified names.
    pub instruments: Vec<String>,
    /// Messages passed to the engine.
    pub frames: u64,
    /// What was in them, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// What the lines were.
    #[serde(flatten)]
    pub lines: LineCounts,
    /// Lines that this dialect cannot decode: told, and not passed to the engine.
    pub undecodable: u64,
    /// Messages of a connection that was down for the engine.
    pub unheard: u64,
    /// Depth snapshots used.
    pub snapshots: u64,
    /// Depth snapshots that the engine had not asked for.
    pub snapshots_unasked: u64,
    /// How often the recorder made its connection anew.
    pub reconnects: u64,
    /// How often a live book was lost.
    pub gaps: u64,
    /// Contracts whose book was live at the end.
    pub live_at_end: u64,
    /// Receive time less the venue's time: clocks and the way here, ms.
    pub clock_offset_ms: BTreeMap<&'static str, f64>,
}

/// A file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileReport {
    /// Its path as given.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// One direction of a pair.
#[derive(Clone, Debug, Serialize)]
pub struct WayReport {
    /// Where it would be bought: `NAME@venue`.
    pub buy: String,
    /// Where it would be sold.
    pub sell: String,
    /// The engine pairs them; otherwise they settle in different currencies.
    pub engine_pair: bool,
    /// Taker fees of a round trip (four legs), bps.
    pub fees_bps: f64,
    /// Allowance, bps.
    pub allowance_bps: f64,
    /// Prices of both directions were compared so often.
    pub evaluations: u64,
    /// Net of fees, half-spreads at exit, slippage, allowance and the expected basis at exit, bps.
    pub edge_bps: BTreeMap<&'static str, f64>,
    /// How long edges lasted.
    pub episodes: Vec<EpisodesReport>,
    /// Why prices were not compared, with how often.
    pub unpriced: BTreeMap<&'static str, u64>,
    /// Why the engine did not enter, with how often.
    pub why_not: BTreeMap<&'static str, u64>,
}

fn bps(ppb: Ppb) -> f64 {
    ppb as f64 / BPS as f64
}

impl Report {
    /// Adds what the study found.
    pub fn with_study(mut self, params: &EngineParams, study: &Study, live: &[bool]) -> Self {
        for (at, venue) in self.venues.iter_mut().enumerate() {
            for (n, listing) in params.listings.iter().enumerate().filter(|(_, it)| it.venue.index() == at) {
                venue.gaps += study.gaps[n];
                venue.live_at_end += u64::from(live[n]);
                venue.instruments.push(params.canonicals[listing.canonical.index()].name.clone());
            }
            venue.clock_offset_ms = offsets(&study.offsets[at]);
        }
        for pair in &study.pairs {
            for way in 0..2 {
                self.pairs.push(way_report(params, pair, way));
            }
        }
        self.why_not = reasons(params, study, &self);
        self
    }
}

fn offsets(tally: &Tally) -> BTreeMap<&'static str, f64> {
    let ms = |ns: i64| ns as f64 / MILLI as f64;
    let mut told = BTreeMap::new();
    if let (Some((least, most)), Some(median)) = (tally.ends(), tally.percentile(500)) {
        told.extend([("min", ms(least)), ("median", ms(median)), ("max", ms(most))]);
    }
    told
}

fn way_report(params: &EngineParams, pair: &PairStudy, way: usize) -> WayReport {
    let name = |leg: usize| {
        let listing = params.listings[pair.legs[leg].index()];
        let canonical = &params.canonicals[listing.canonical.index()];
        format!("{}@{}", canonical.name, params.venues[listing.venue.index()].dialect)
    };
    let WayStudy { edges, episodes, unpriced, why_not } = &pair.ways[way];
    let mut edge_bps = BTreeMap::new();
    if let (Some((least, most)), Some(mean)) = (edges.ends(), edges.mean()) {
        edge_bps.extend([("min", bps(least)), ("max", bps(most)), ("mean", mean / BPS as f64)]);
        edge_bps
            .extend(PERCENTILES.iter().filter_map(|(name, at)| Some((*name, bps(edges.percentile(*at)?)))));
    }
    WayReport {
        buy: name(way),
        sell: name(1 - way),
        engine_pair: pair.is_engine,
        fees_bps: bps(pair.fees),
        allowance_bps: bps(pair.allowance),
        evaluations: edges.count(),
        edge_bps,
        episodes: episodes.iter().zip(LEVELS).map(|(episodes, above)| episodes.report(above)).collect(),
        unpriced: unpriced.clone(),
        why_not: why_not.clone(),
    }
}

/// Why there was no trade, in sentences; also where there were some.
fn reasons(params: &EngineParams, study: &Study, report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if params.venues.len() < 2 {
        reasons.push("one venue alone has no pairs".to_owned());
    } else if study.pairs.is_empty() {
        reasons.push("no coin is recorded at two venues".to_owned());
    }
    for way in &report.pairs {
        let (buy, sell) = (&way.buy, &way.sell);
        if !way.engine_pair {
            reasons.push(format!(
                "{buy} → {sell}: the contracts settle in different currencies, which the engine never pairs"
            ));
        }
        let most = way.edge_bps.get("max").copied();
        match most {
            Some(most) if most < report.threshold_bps => reasons.push(format!(
                "{buy} → {sell}: the best net edge was {most:.2} bps, {:.2} are needed (fees of the round trip {:.2})",
                report.threshold_bps, way.fees_bps
            )),
            Some(_) => {}
            None => reasons.push(format!("{buy} → {sell}: never priced ({})", counted(&way.unpriced))),
        }
        if !way.why_not.is_empty() {
            reasons.push(format!("{buy} → {sell}: the engine saw: {}", counted(&way.why_not)));
        }
    }
    let limit = params.scan.clock_offset_max_ns as f64 / MILLI as f64;
    for venue in &report.venues {
        if let Some(median) = venue.clock_offset_ms.get("median").filter(|median| median.abs() > limit) {
            reasons.push(format!(
                "{}: the recorder's clock is {median:.0} ms off the venue's, more than the {limit:.0} ms at which the engine trades",
                venue.venue
            ));
        }
    }
    reasons
}

fn counted(counts: &BTreeMap<&'static str, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> = counts.iter().map(|(why, count)| format!("{why} {count}")).collect();
    words.join(", ")
}

/// The report for people.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let seconds = (report.to_ns - report.from_ns) as f64 / 1e9;
    let _ = writeln!(out, "journal {}: {} inputs, {seconds:.1} s of history", report.journal, report.inputs);
    for venue in &report.venues {
        let events: Vec<String> =
            venue.events.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let _ = writeln!(
            out,
            "{}: {} frames ({}), {} snapshots, {} gaps, {} of {} books live at the end",
            venue.venue,
            venue.frames,
            events.join(", "),
            venue.snapshots,
            venue.gaps,
            venue.live_at_end,
            venue.instruments.len()
        );
        let LineCounts { lines, recorder, untimed, too_long, backwards, duplicates } = venue.lines;
        let _ = writeln!(
            out,
            "  {lines} lines: recorder's own {recorder}, undecodable {}, without a time {untimed}, too long {too_long}, \
             out of order {backwards}, duplicates {duplicates}; unheard {}, unasked snapshots {}, reconnects {}",
            venue.undecodable, venue.unheard, venue.snapshots_unasked, venue.reconnects
        );
        if let (Some(least), Some(median)) =
            (venue.clock_offset_ms.get("min"), venue.clock_offset_ms.get("median"))
        {
            let _ = writeln!(out, "  receive time − venue time: min {least:.3} ms, median {median:.3} ms");
        }
    }
    for way in &report.pairs {
        let _ = writeln!(
            out,
            "buy {} sell {}: {} evaluations; net edge, bps, for {} a leg, fees {:.2}",
            way.buy, way.sell, way.evaluations, report.notional, way.fees_bps
        );
        let mut names = vec!["min"];
        names.extend(PERCENTILES.iter().map(|(name, _)| *name));
        names.push("max");
        let figures: Vec<String> =
            names.iter().filter_map(|name| Some(format!("{name} {:.2}", way.edge_bps.get(name)?))).collect();
        let _ = writeln!(out, "  {}", figures.join("  "));
        for episodes in &way.episodes {
            let _ = write!(out, "  above {}: {} episodes", episodes.above.replace('_', " "), episodes.count);
            for (name, length) in &episodes.length_ms {
                let _ = write!(out, ", {name} {length:.1} ms");
            }
            out.push('\n');
            if episodes.count > 0 {
                let parts: Vec<String> = episodes
                    .survival
                    .iter()
                    .map(|(ms, part)| format!("{ms} ms {:.0} %", part * 100.0))
                    .collect();
                let _ = writeln!(out, "    survive {}", parts.join(", "));
            }
        }
        if !way.unpriced.is_empty() {
            let _ = writeln!(out, "  not priced: {}", counted(&way.unpriced));
        }
    }
    let _ = writeln!(out, "trades on paper: {}, orders {}", report.trades, report.orders);
    for why in &report.why_not {
        let _ = writeln!(out, "  {why}");
    }
    for failure in &report.unreadable {
        let _ = writeln!(out, "{failure}");
    }
    out
}
