//! The demo's report: stable keys, the ledger comparison, and its text form.

use super::Failure;
use super::demo::DemoArgs;
use crate::domain::money::{MONEY_UNIT, Money};
use crate::ops::drift::{DriftReport, reports};
use crate::ops::latency::{Summary, Target};
use crate::ops::view::{FindingView, OddCounts, Stalls, View};
use crate::ops::watch::Counts;
use crate::replay::source::RunConfig;
use crate::runtime::affinity::AllowedCpus;
use crate::runtime::idle::IdleMode;
use crate::runtime::profile::Plan;
use crate::sim::{FaultCounts, VenueLedger};
use crate::topology::launch::Finished;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The last unit of a wallet as venues state it.
const WALLET_UNIT: Money = Money(MONEY_UNIT / 100_000_000);

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
    /// Compares positions, fees, funding, realised profit and the wallet of the venue with number `venue`. The
    /// wallet is compared where the venue has stated one, to the 8 decimals that venues state.
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
            let Some((id, listing)) = ledger.listing(&symbol) else {
                check(format!("{symbol} listing"), "traded".into(), "unknown".into());
                continue;
            };
            if let Some(account) = account {
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
            let stated = view.accounts.iter().filter(|row| row.venue.index() == venue);
            if let Some(wallet) = stated.filter_map(|row| row.wallet).reduce(|sum, wallet| sum + wallet) {
                let theirs = totals.wallet;
                // A venue states fewer decimals than its books have.
                if (wallet - theirs).abs() >= WALLET_UNIT {
                    check("wallet".into(), wallet.to_string(), theirs.to_string());
                }
            }
        } else {
            check("account".into(), "traded with".into(), "unknown".into());
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
    odd: OddCounts,
    /// Where public messages depart from the documentation.
    drift: Vec<DriftReport>,
    alarms: u64,
    stalls: Stalls,
    /// Trades and orders that the engine still holds open.
    open_at_end: usize,
    unhedged_notional: Money,
    unhedged_notional_max: Money,
    violations: usize,
    violation_details: Vec<String>,
    pnl: BTreeMap<&'static str, Money>,
    ledgers: Vec<LedgerCheck>,
    /// What was done to the engine on purpose.
    faults: FaultCounts,
    rss_anon_bytes_max: u64,
    journal: JournalReport,
    latency_ns: BTreeMap<&'static str, Summary>,
    targets: Vec<Target>,
    /// Why the targets are not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_judged: Option<String>,
    threads: Vec<String>,
    /// What held venues at the end.
    findings: Vec<FindingView>,
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
        faults: FaultCounts,
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
        let violations = crate::replay::check::check_dir(journal_dir, &config.params)?;
        let totals = view.totals;
        let not_judged = crowded(plan, AllowedCpus::capture().count());
        let targets = finished.latency.targets().into_iter();
        let targets =
            targets.map(|target| if not_judged.is_some() { target.unfit_host() } else { target }).collect();
        Ok(Self {
            seed: args.seed,
            seconds,
            venues: args.venues.clone(),
            profile: plan.to_string(),
            counts,
            odd: view.odd,
            drift: reports(view),
            alarms: view.alarms,
            stalls: view.stalls,
            open_at_end: view.trades_open as usize + view.open_orders,
            unhedged_notional: view.unhedged,
            unhedged_notional_max: view.unhedged_max,
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
            faults,
            rss_anon_bytes_max,
            journal,
            latency_ns: finished.latency.summaries().into_iter().collect(),
            targets,
            not_judged,
            threads: finished
                .exits
                .iter()
                .map(|exit| format!("{}: {}", exit.name, pin_text(&exit.pin)))
                .collect(),
            findings: view.findings.clone(),
            notes: view.notes.clone(),
            failure,
        })
    }

    /// Something that a careful operator would not let pass.
    pub fn has_finding(&self) -> bool {
        self.violations > 0
            || self.failure.is_some()
            || self.ledgers.iter().any(|ledger| !ledger.equal)
            || self.targets.iter().any(Target::is_finding)
    }
}

/// Why latencies say nothing about the engine here: more waiting threads than cores, placed by the scheduler.
fn crowded(plan: &Plan, cores: usize) -> Option<String> {
    let loose = plan.idle != IdleMode::Spin && plan.threads.iter().all(|thread| thread.cpu.is_none());
    (loose && plan.threads.len() > cores)
        .then(|| format!("{} threads on {cores} core(s)", plan.threads.len()))
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
        if c.foreign > 0 {
            writeln!(
                f,
                "ALARM: {} fills that are not ours: a venue took positions away, or somebody traded",
                c.foreign
            )?;
        }
        let pnl: Vec<String> = self.pnl.iter().map(|(name, amount)| format!("{name} {amount}")).collect();
        writeln!(f, "profit and loss: {}", pnl.join(", "))?;
        for ledger in &self.ledgers {
            if ledger.equal {
                writeln!(f, "ledger of {}: equal to the last unit ({} fills)", ledger.venue, ledger.fills)?;
            } else {
                writeln!(f, "ledger of {}: DIFFERENT: {:?}", ledger.venue, ledger.differences)?;
            }
        }
        if self.faults.total() > 0 {
            writeln!(f, "faults of the venues, as asked: {}", self.faults)?;
        }
        if self.odd != OddCounts::default() || self.alarms > 0 {
            writeln!(f, "odd on the wire: {:?}; insane edges: {}", self.odd, self.alarms)?;
        }
        for finding in &self.drift {
            writeln!(
                f,
                "drift: {} {}: {} `{}` {} ({} times): {}",
                finding.venue,
                finding.channel,
                finding.kind,
                finding.name,
                finding.value,
                finding.count,
                finding.sample
            )?;
        }
        writeln!(
            f,
            "unhedged notional at most {}; stalls: gateway {}, decode {}, journal {}; recorder at most {} % full; \
             {} late turns of the duty cycle, worst {}",
            self.unhedged_notional_max,
            self.stalls.gateway,
            self.stalls.decode,
            self.stalls.journal,
            self.stalls.recorder_lag_max,
            self.stalls.duty_cycle,
            duration_text(self.stalls.duty_cycle_worst_ns.unsigned_abs())
        )?;
        for finding in &self.findings {
            writeln!(f, "held: {finding}")?;
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
            let (name, verdict, limit) = (target.name, target.verdict(), duration_text(target.limit_ns));
            if target.samples == 0 {
                writeln!(f, "target {name}: {verdict} (limit {limit})")?;
                continue;
            }
            let value = duration_text(target.p999);
            write!(f, "target {name}: {verdict} ({} {value}, limit {limit})", target.basis)?;
            match &self.not_judged {
                Some(why) if !target.pass => writeln!(f, ", not judged: {why}")?,
                _ => writeln!(f)?,
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::position::{Position, PositionView};
    use crate::domain::instrument::{Instrument, VenueId};
    use crate::domain::text::Text;
    use crate::ops::view::AccountView;
    use crate::runtime::profile::Profile;
    use crate::sim::config::SimConfig;
    use crate::sim::server_at;

    #[test]
    fn ledgers_differ_in_a_wallet_an_unknown_listing_or_a_missing_account() {
        let config = SimConfig::demo(7, &["binance-usdm", "okx"], 1).unwrap();
        let server = server_at(&config, 0).unwrap();
        let ledger = server.ledger();
        let wallet = ledger.totals(ledger.account_ids().next().unwrap()).wallet;
        let mut view = View::default();
        let names = |view: &View, ledger: &VenueLedger| -> Vec<String> {
            let check = LedgerCheck::compare(0, view, ledger);
            assert_eq!(check.equal, check.differences.is_empty());
            check.differences.into_iter().map(|difference| difference.0).collect()
        };
        assert_eq!(names(&view, ledger), Vec::<String>::new(), "no wallet stated");
        let account = AccountView { venue: VenueId(0), wallet: Some(wallet), ..AccountView::default() };
        view.accounts = vec![account.clone(), AccountView { venue: VenueId(1), ..account }];
        assert_eq!(names(&view, ledger), Vec::<String>::new());
        view.accounts[0].wallet = Some(wallet + Money::from_units(1));
        assert_eq!(names(&view, ledger), ["wallet"]);
        view.accounts.clear();
        let instrument = Instrument { symbol: Text::new("NOWHERE").unwrap(), ..Instrument::default() };
        let position = Position::default();
        let unrealised = Money::ZERO;
        view.positions =
            vec![PositionView { instrument, position, unrealised, venue_qty: None, discrepant: false }];
        assert_eq!(names(&view, ledger), ["NOWHERE listing"]);
        view.positions.clear();
        assert_eq!(names(&view, &VenueLedger::default()), ["account"]);
    }

    #[test]
    fn only_loose_threads_that_outnumber_the_cores_are_not_judged() {
        let plan = |name: &str, idle, cores: usize| {
            let allowed = AllowedCpus::from_list((0..cores).collect());
            let plan = Profile::load(name).unwrap().with_idle(idle).plan(&allowed).unwrap();
            crowded(&plan, cores)
        };
        let why = plan("dedicated", IdleMode::Yield, 2).unwrap();
        assert!(why.ends_with("threads on 2 core(s)"), "{why}");
        assert_eq!(plan("dedicated", IdleMode::Park, 64), None);
        assert_eq!(plan("fused", IdleMode::Yield, 2), None);
        assert_eq!(plan("split", IdleMode::Spin, 4), None);
    }
}
