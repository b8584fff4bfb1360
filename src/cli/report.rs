//! The demo's report: stable keys, the ledger comparison, and its text form.

use super::Failure;
use super::demo::DemoArgs;
use crate::domain::money::Money;
use crate::ops::latency::{Summary, Target};
use crate::ops::view::View;
use crate::ops::watch::Counts;
use crate::replay::source::RunConfig;
use crate::runtime::profile::Plan;
use crate::sim::VenueLedger;
use crate::topology::launch::Finished;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Where the run was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct JournalReport {
    /// Directory.
    pub dir: String,
    /// Records.
    pub records: u64,
    /// Body bytes.
    pub bytes: u64,
}

/// The engine's figures beside one venue's own books. All amounts are exact decimals.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerCheck {
    /// Venue.
    pub venue: String,
    /// Everything agrees to the last unit.
    pub equal: bool,
    /// Fills in the venue's books.
    pub fills: usize,
    /// What differs: name, ours, theirs.
    pub differences: Vec<(String, String, String)>,
}

impl LedgerCheck {
    /// Compares positions, fees, funding and realised profit of the venue with number `venue`.
    pub fn compare(venue: usize, view: &View, ledger: &VenueLedger) -> Self {
        let mut differences = Vec::new();
        let mut check = |name: String, ours: String, theirs: String| {
            if ours != theirs {
                differences.push((name, ours, theirs));
            }
        };
        let (mut realised, mut fees, mut funding) = (Money::ZERO, Money::ZERO, Money::ZERO);
        let account = ledger.account_ids().next();
        for row in view.positions.iter().filter(|row| row.instrument.venue.index() == venue) {
            realised += row.position.realised;
            fees += row.position.fees;
            funding += row.position.funding;
            let symbol = row.instrument.symbol.to_string();
            if let (Some(account), Some((id, listing))) = (account, ledger.listing(&symbol)) {
                let theirs = listing.qty_text(ledger.position(account, id).qty);
                let ours = crate::domain::number::Num::new(row.position.qty, row.instrument.qty_scale);
                let theirs =
                    crate::domain::number::Num::parse(theirs.as_bytes()).map_or(theirs, |n| n.to_string());
                check(format!("{symbol} position"), ours.to_string(), theirs);
            }
        }
        if let Some(account) = account {
            let totals = ledger.totals(account);
            check("fees".into(), fees.to_string(), totals.fees.to_string());
            check("funding".into(), funding.to_string(), totals.funding.to_string());
            check("realised".into(), realised.to_string(), totals.realised.to_string());
        }
        Self {
            venue: ledger.venue().to_owned(),
            equal: differences.is_empty(),
            fills: ledger.fills().len(),
            differences,
        }
    }
}

/// The report of a demo.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    seed: u64,
    seconds: f64,
    venues: Vec<String>,
    profile: String,
    #[serde(flatten)]
    counts: Counts,
    violations: usize,
    violation_details: Vec<String>,
    pnl: BTreeMap<&'static str, Money>,
    ledgers: Vec<LedgerCheck>,
    rss_anon_bytes_max: u64,
    journal: JournalReport,
    latency_ns: BTreeMap<&'static str, Summary>,
    targets: Vec<Target>,
    threads: Vec<String>,
    notes: Vec<String>,
    failure: Option<String>,
}

impl DemoReport {
    /// Puts the report together; closes the journal and checks it.
    #[allow(clippy::too_many_arguments)] // everything that a run leaves behind, used once
    pub fn build(
        args: &DemoArgs,
        plan: &Plan,
        config: &RunConfig,
        seconds: f64,
        journal_dir: &Path,
        finished: Finished,
        view: &View,
        ledgers: Vec<LedgerCheck>,
        rss_anon_bytes_max: u64,
    ) -> Result<Self, Failure> {
        let mut failure = finished.failure;
        let mut counts = Counts::default();
        let mut journal = JournalReport { dir: journal_dir.display().to_string(), records: 0, bytes: 0 };
        if let Some(mut keeper) = finished.keeper {
            counts = *keeper.watch().counts();
            if let Some(recorder) = keeper.into_parts().0 {
                (journal.records, journal.bytes) = recorder.totals();
                if let Err(broken) = recorder.close() {
                    failure.get_or_insert(broken.to_string());
                }
            }
        }
        let violations = crate::replay::audit::check_dir(journal_dir, &config.params)?;
        let totals = view.totals;
        Ok(Self {
            seed: args.seed,
            seconds,
            venues: args.venues.clone(),
            profile: plan.to_string(),
            counts,
            violations: violations.len(),
            violation_details: violations.iter().take(20).map(ToString::to_string).collect(),
            pnl: BTreeMap::from([
                ("realised", totals.realised),
                ("unrealised", totals.unrealised),
                ("fees", totals.fees),
                ("funding", totals.funding),
                ("net", totals.net()),
            ]),
            ledgers,
            rss_anon_bytes_max,
            journal,
            latency_ns: finished.latency.summaries().into_iter().collect(),
            targets: finished.latency.targets(),
            threads: finished
                .exits
                .iter()
                .map(|exit| format!("{}: {}", exit.name, pin_text(&exit.pin)))
                .collect(),
            notes: view.notes.clone(),
            failure,
        })
    }

    /// Something that a careful operator would not let pass.
    pub fn has_finding(&self) -> bool {
        self.violations > 0
            || self.failure.is_some()
            || self.ledgers.iter().any(|ledger| !ledger.equal)
            || self.targets.iter().any(|target| !target.pass)
    }
}

fn pin_text(pin: &crate::runtime::affinity::PinReport) -> String {
    match (pin.wanted, &pin.error) {
        (None, _) => format!("not pinned, cores {:?}", pin.actual),
        (Some(cpu), None) => format!("asked for core {cpu}, runs on {:?}", pin.actual),
        (Some(cpu), Some(error)) => format!("could not be pinned to core {cpu}: {error}"),
    }
}

/// One line of progress.
pub fn line(second: u64, view: &View) -> String {
    let c = &view.counts;
    format!(
        "{second:>4} s  frames {:>8}  intents {:>5}  orders {:>5}  fills {:>5}  misses {:>4}  open {:>2}  closed {:>4}  denied {:>4}  net {:>12.4}",
        c.frames,
        c.intents,
        c.orders_sent,
        c.fills,
        c.misses,
        view.trades_open,
        c.trades_closed,
        c.denials,
        view.totals.net().to_f64(),
    )
}

/// Nanoseconds for people.
pub fn duration_text(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        writeln!(f, "\n{:.1} s on {}", self.seconds, self.profile)?;
        for thread in &self.threads {
            writeln!(f, "  thread {thread}")?;
        }
        writeln!(
            f,
            "frames {}, events {}, intents {}, orders {}, fills {}",
            c.frames, c.events, c.intents, c.orders_sent, c.fills
        )?;
        writeln!(
            f,
            "trades opened {}, closed {}, missed {}; denied {}, refused {}, rejected {}, unknown {}",
            c.trades_opened, c.trades_closed, c.misses, c.denials, c.refused, c.rejects, c.unknown
        )?;
        let pnl: Vec<String> = self.pnl.iter().map(|(name, amount)| format!("{name} {amount}")).collect();
        writeln!(f, "profit and loss: {}", pnl.join(", "))?;
        for ledger in &self.ledgers {
            if ledger.equal {
                writeln!(f, "ledger of {}: equal to the last unit ({} fills)", ledger.venue, ledger.fills)?;
            } else {
                writeln!(f, "ledger of {}: DIFFERENT: {:?}", ledger.venue, ledger.differences)?;
            }
        }
        writeln!(f, "violations: {}", self.violations)?;
        for violation in &self.violation_details {
            writeln!(f, "  {violation}")?;
        }
        writeln!(
            f,
            "journal {}: {} records, {} bytes",
            self.journal.dir, self.journal.records, self.journal.bytes
        )?;
        writeln!(f, "anonymous memory at most {:.1} MB", self.rss_anon_bytes_max as f64 / 1e6)?;
        let cell = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), duration_text);
        writeln!(
            f,
            "{:<18}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "latency", "samples", "50 %", "90 %", "99 %", "99.9 %", "worst"
        )?;
        for (name, s) in &self.latency_ns {
            writeln!(
                f,
                "{name:<18}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
                s.count,
                cell(s.p50),
                cell(s.p90),
                cell(s.p99),
                cell(s.p999),
                cell(s.max)
            )?;
        }
        for target in &self.targets {
            writeln!(
                f,
                "target {}: {} ({} {}, limit {})",
                target.name,
                if target.pass { "passed" } else { "MISSED" },
                target.basis,
                duration_text(target.p999),
                duration_text(target.limit_ns)
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "FAILED: {failure}")?;
        }
        Ok(())
    }
}
