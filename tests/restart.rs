//! A restarted engine remembers: halts, losses, open trades and orders without an end.
#![allow(clippy::disallowed_methods)] // a process is waited for

use crate::simulated::{START, TempDir, sim_config};
use perpring::core::limits::TradingState;
use perpring::core::position::Totals;
use perpring::core::trade::Trade;
use perpring::domain::carry::{Carry, Ending, Halt};
use perpring::domain::codec::{HEADER_MAX, decode_input, encode_input};
use perpring::domain::effect::OutMsg;
use perpring::domain::event::{Event, EventBody, Seq};
use perpring::domain::input::{Command, Input, InputClass, RawInput, Scope};
use perpring::domain::instrument::VenueId;
use perpring::domain::intent::{Denial, Intent, NearMiss, Ppb};
use perpring::domain::money::Money;
use perpring::domain::output::OutputKey;
use perpring::domain::params::{EngineParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::journal::{JournalOptions, Manifest, Reader, RunId, Stream, patch_record, recover};
use perpring::ops::watch::Counts;
use perpring::replay::audit::{AuditOptions, CarryVerdict, Verdict, audit};
use perpring::replay::cursor::Cursor;
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::{FaultPlan, LedgerServer, SimConfig, server_with};
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River, Tap};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::opening::Opening;
use perpring::topology::restart::previous;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const BOTH: [&str; 2] = ["binance-usdm", "okx"];
const LATENCY: Nanos = 100 * MICRO;
const SEGMENT: u64 = 4 << 20;

/// Venues that live on, and the runs of one journal directory that trade there.
pub struct Desk {
    root: TempDir,
    sim: SimConfig,
    scan: ScanParams,
    risk: RiskParams,
    plan: FaultPlan,
    runs: u64,
}

impl Desk {
    /// Of the usual world, changed.
    pub fn new(tune: impl FnOnce(&mut SimConfig)) -> Self {
        let (scan, risk) = (world::demo_scan(), RiskParams::default());
        Self::of(sim_config(7, &BOTH, tune), scan, risk, FaultPlan::default())
    }

    /// Of this world.
    pub fn of(sim: SimConfig, scan: ScanParams, risk: RiskParams, plan: FaultPlan) -> Self {
        let root = TempDir::new();
        fs::create_dir_all(root.path()).expect("temporary disk");
        Self { root, sim, scan, risk, plan, runs: 0 }
    }

    fn params(&self) -> EngineParams {
        world::engine_params(&self.sim, 7 + self.runs, self.scan.clone(), self.risk.clone())
    }

    /// Its venues before their first input.
    pub fn venues(&self) -> Vec<Box<dyn LedgerServer>> {
        let server = |venue| server_with(&self.sim, venue, &self.plan).expect("a valid world");
        (0..self.sim.venues.len()).map(server).collect()
    }

    /// Where a run is recorded; the first is 1.
    pub fn dir(&self, run: u64) -> PathBuf {
        self.root.path().join(format!("run-{run}"))
    }

    /// Begins the next run at `now`, as `perpring run` does; also tells what it has taken over.
    pub fn run(&mut self, venues: Vec<Box<dyn LedgerServer>>, now: Nanos) -> (Simulation, Carry) {
        let carry = previous(self.root.path(), true, &self.params(), &mut |_| {}).expect("readable");
        self.runs += 1;
        let config = RunConfig { trading: true, params: self.params() };
        let bytes = config.to_bytes();
        let notes = BTreeMap::from([("mode".to_owned(), "live".to_owned())]);
        let manifest = Manifest { run_id: RunId(u128::from(self.runs)), ..manifest(&bytes, now, notes) };
        let options =
            JournalOptions { segment_bytes: SEGMENT as usize, helper: false, ..JournalOptions::default() };
        let recorder =
            Recorder::create(&self.dir(self.runs), &manifest, &options).expect("a fresh directory");
        let parts = Parts::new(&config.params, true).expect("known dialects");
        let conns = parts.conns.clone();
        let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
        let vault = Vault::new(world::credentials(&self.sim));
        // The first run of all is one of a version that knew of no such record.
        let opening = Opening::new(bytes).after((carry.ending != Ending::First).then_some(&carry));
        (Simulation::new(engine, venues, conns, vault, now, LATENCY, opening), carry)
    }

    fn assert_replays(&self) {
        for run in 1..=self.runs {
            let report = verify(&self.dir(run), &mut |_| {}).expect("readable");
            assert!(report.divergence.is_none(), "run {run}: {:?}", report.divergence);
            assert!(report.inputs > 0);
        }
    }
}

fn counts(simulation: &mut Simulation) -> Counts {
    *simulation.engine().keeper().watch().counts()
}

fn state(simulation: &mut Simulation) -> TradingState {
    simulation.engine().river().parts().risk.rules().state()
}

fn totals(simulation: &mut Simulation) -> Totals {
    *simulation.engine().river().parts().risk.rules().positions().totals()
}

fn open_trades(simulation: &mut Simulation) -> Vec<Trade> {
    simulation.engine().river().parts().scan.scanner().trades().copied().collect()
}

/// Learnt probabilities that a leg of an entry misses, by listing.
fn misses(simulation: &mut Simulation) -> Vec<Ppb> {
    let parts = simulation.engine().river().parts();
    let listings = parts.risk.rules().positions().positions().map(|row| row.instrument.id);
    let rates = listings.filter_map(|id| parts.scan.scanner().quality(id)).map(|quality| quality.miss_ppb);
    rates.collect()
}

/// Fees paid and profit realised so far, by venue.
fn booked(simulation: &mut Simulation) -> [(Money, Money); 2] {
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    [0, 1].map(|venue| {
        let rows = positions.positions().filter(|row| row.instrument.venue == VenueId(venue));
        rows.fold((Money::ZERO, Money::ZERO), |(fees, realised), row| {
            (fees + row.position.fees, realised + row.position.realised)
        })
    })
}

/// Ends a run that trades in order, and holds the venues' books against what all runs have booked.
fn settle(mut simulation: Simulation, before: [(Money, Money); 2]) {
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let ours = booked(&mut simulation);
    for (at, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let theirs = ledger.totals(ledger.account_ids().next().expect("one account"));
        let all = (before[at].0 + ours[at].0, before[at].1 + ours[at].1);
        assert_eq!(all, (theirs.fees, theirs.realised), "{}", ledger.venue());
    }
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    assert!(positions.positions().all(|row| row.position.qty == 0), "flat at the end");
    assert_eq!(positions.discrepancies(), 0);
}

#[test]
fn a_killed_engine_stays_halted_over_restarts_until_the_operator_resumes() {
    let mut desk = Desk::new(|_| {});
    let venues = desk.venues();
    let (mut first, carry) = desk.run(venues, START);
    assert_eq!(carry, Carry::default());
    first.run_for(15 * SECOND);
    assert!(counts(&mut first).trades_opened > 0);
    first.command(Command::Kill(Scope::Global));
    first.run_for(3 * SECOND);
    let learnt = misses(&mut first);
    assert!(learnt.iter().any(|rate| *rate != learnt[0]), "{learnt:?}");
    let (mut before, mut now) = (booked(&mut first), first.now());
    let mut venues = first.die(SECOND);
    // Twice: a halt that was taken over is handed on.
    for _ in 0..2 {
        let (mut halted, carry) = desk.run(venues, now + SECOND);
        assert_eq!((carry.standing.halted, carry.ending), (Some(Halt::Killed), Ending::Crashed));
        halted.run_for(8 * SECOND);
        assert_eq!((state(&mut halted), counts(&mut halted).orders_sent), (TradingState::Halted, 0));
        assert_eq!(misses(&mut halted), learnt, "what was learnt of legs that miss is handed on");
        let ours = booked(&mut halted);
        for (before, ours) in before.iter_mut().zip(ours) {
            *before = (before.0 + ours.0, before.1 + ours.1);
        }
        now = halted.now();
        venues = halted.die(SECOND);
    }
    let (mut last, _) = desk.run(venues, now + SECOND);
    last.run_for(5 * SECOND);
    assert_eq!(counts(&mut last).orders_sent, 0);
    last.command(Command::Resume);
    last.run_for(20 * SECOND);
    assert!(counts(&mut last).trades_opened > 0, "resumed: {:?}", counts(&mut last));
    settle(last, before);
    desk.assert_replays();
}

/// The second venue takes its time: its leg fills after the other one.
pub fn slow_second(sim: &mut SimConfig) {
    sim.venues[1].latency_in_ns = 8 * MILLI;
}

/// Runs in small steps to a moment at which one leg of a trade has filled and the other order is under way.
pub fn until_between_legs(simulation: &mut Simulation) -> Trade {
    let end = simulation.now() + 120 * SECOND;
    simulation.run_for(4 * SECOND);
    while simulation.now() < end {
        simulation.run_for(20 * MICRO);
        let between = |trade: &Trade| {
            let [a, b] = &trade.legs;
            trade.is_hit()
                && ((a.position == 0 && a.working.is_some()) || (b.position == 0 && b.working.is_some()))
        };
        if let Some(trade) = open_trades(simulation).into_iter().find(between) {
            return trade;
        }
    }
    panic!("no trade was between its legs");
}

#[test]
fn a_crash_between_legs_is_cleared_up_before_anything_is_opened() {
    // The other leg's order fills while nobody is there; its venue has never heard of it.
    for arrives in [true, false] {
        let mut desk = Desk::new(slow_second);
        let venues = desk.venues();
        let (mut first, _) = desk.run(venues, START);
        let trade = until_between_legs(&mut first);
        let (mut before, now) = (booked(&mut first), first.now());
        let mut venues = first.die(2 * SECOND);
        if !arrives {
            venues[1] = desk.venues().remove(1);
            before[1] = (Money::ZERO, Money::ZERO);
        }
        let (mut next, carry) = desk.run(venues, now + 2 * SECOND);
        assert!(carry.standing.reducing && carry.ending == Ending::Crashed);
        let taken: Vec<_> = carry.trades.iter().filter(|taken| taken.id == trade.id.0).collect();
        assert_eq!(taken[0].legs.map(|leg| leg.position), [0, 1].map(|leg| trade.legs[leg].position));
        assert!(!carry.orders.is_empty(), "the other leg's order is asked about");
        assert_eq!(state(&mut next), TradingState::Reducing);
        let adopted = open_trades(&mut next);
        assert!(
            adopted
                .iter()
                .any(|adopted| adopted.legs.map(|leg| leg.position) == trade.legs.map(|leg| leg.position))
        );
        while state(&mut next) == TradingState::Reducing {
            assert!(next.now() < now + 60 * SECOND, "arrives: {arrives}: {:?}", open_trades(&mut next));
            assert_eq!(counts(&mut next).trades_opened, 0, "nothing is opened before");
            next.run_for(100 * MILLI);
        }
        assert_eq!(open_trades(&mut next), [], "flat when it begins");
        next.run_for(15 * SECOND);
        assert!(counts(&mut next).trades_opened > 0, "then it trades: {:?}", counts(&mut next));
        settle(next, before);
        desk.assert_replays();
    }
}

#[test]
fn the_audit_of_a_run_that_took_over_begins_with_what_was_carried_and_holds_it_against_the_run_before() {
    let mut desk = Desk::new(slow_second);
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    until_between_legs(&mut first);
    let (before, now) = (booked(&mut first), first.now());
    let (mut next, carry) = desk.run(first.die(2 * SECOND), now + 2 * SECOND);
    next.run_for(40 * SECOND);
    settle(next, before);

    let dir = desk.dir(2);
    let audited = |options: &AuditOptions<'_>| audit(&dir, options, &mut |_| {}).expect("a readable journal");
    let report = audited(&AuditOptions::default());
    println!("{report}");
    let taken = report.carried.clone().expect("it took over");
    assert_eq!((taken.verdict, &taken.run), (CarryVerdict::Equal, &carry.run));
    assert_eq!((taken.ending, taken.day_result), (Ending::Crashed, carry.standing.daily));
    assert!(!taken.positions.is_empty() && taken.trades > 0 && taken.orders > 0, "{taken:?}");
    assert_eq!((report.first.clone(), report.hedging.open), (vec![], 0));
    for row in &report.money {
        assert!(
            matches!(row.verdict, Verdict::Exact | Verdict::Rounded),
            "not only position_before: {row:?}"
        );
        assert_eq!((row.difference.0 / 100_000_000_000, row.carried), (0, Money::ZERO), "{row:?}");
    }

    // Elsewhere the run before is not known, and can be named.
    let away = desk.root.path().join("elsewhere").join("run-1");
    fs::create_dir_all(away.parent().expect("a parent")).expect("temporary disk");
    fs::rename(desk.dir(1), &away).expect("temporary disk");
    let verdict = |options: &AuditOptions<'_>| audited(options).carried.expect("it took over").verdict;
    assert_eq!(verdict(&AuditOptions::default()), CarryVerdict::NotFound);
    let follows = AuditOptions { follows: Some(&away), ..AuditOptions::default() };
    assert_eq!(verdict(&follows), CarryVerdict::Equal);

    // Less of a loss than there was, and a position that cost something else.
    let mut reader = Reader::open(&dir, Stream::Inputs).expect("readable");
    let mut wrong = carry;
    wrong.standing.daily += Money::from_units(1);
    wrong.positions.iter_mut().filter(|held| held.qty != 0).for_each(|held| held.open_cash += Money(7));
    while let Some(record) = reader.next().expect("undamaged") {
        if let Ok((input @ Input::Carry, _)) = decode_input(record.body) {
            let mut scratch = [0; HEADER_MAX];
            let body = [encode_input(&input, &mut scratch), &wrong.to_bytes()].concat();
            patch_record(&dir, Stream::Inputs, record.index, &body).expect("temporary disk");
            break;
        }
    }
    let report = audited(&follows);
    let subjects: Vec<&str> = report
        .first
        .iter()
        .filter(|finding| finding.rule == "carry_differs")
        .map(|finding| finding.subject.as_str())
        .collect();
    assert!(subjects.contains(&"result of the day"), "{report}");
    assert!(
        subjects.iter().any(|subject| subject.contains("binance") || subject.contains("okx")),
        "{report}"
    );
    assert_eq!(report.carried.expect("it took over").verdict, CarryVerdict::Differs);
}

/// The inputs of a journal: number, what it is, and where its record begins in the stream.
fn inputs(dir: &Path) -> Vec<(u64, Input, u64)> {
    let mut reader = Reader::open(dir, Stream::Inputs).expect("readable");
    let mut found = Vec::new();
    loop {
        let position = reader.position();
        let Some(record) = reader.next().expect("whole") else { return found };
        let (input, _) = decode_input(record.body).expect("of this version");
        found.push((record.seq, input, position));
    }
}

/// Ends the record of inputs at a byte of the stream, as a lost tail does.
fn cut_at(dir: &Path, position: u64) {
    let mut names: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("inputs")))
        .collect();
    names.sort();
    for (ordinal, path) in (0..).zip(names) {
        if ordinal * SEGMENT > position {
            fs::remove_file(path).expect("temporary disk");
        } else if (ordinal + 1) * SEGMENT > position {
            let file = OpenOptions::new().write(true).open(path).expect("temporary disk");
            file.set_len(position - ordinal * SEGMENT).expect("temporary disk");
        }
    }
}

/// The record ends so many inputs before the fate of the trade's first order, as with a host that lost its power.
pub fn lose_tail(dir: &Path, trade: &Trade, earlier: usize) {
    let working = trade.legs[1].working.or(trade.legs[0].working).expect("an order is out").id;
    let of_trade = working.sequence() - u64::from(trade.legs[1].working.is_some());
    let is_of_trade = |input: &Input| match input {
        Input::Outcome(outcome) => outcome.order.is_some_and(|order| order.client_id.sequence() >= of_trade),
        _ => false,
    };
    let all = inputs(dir);
    let at = all.iter().position(|(_, input, _)| is_of_trade(input)).expect("it was sent");
    cut_at(dir, all[at - earlier].2);
}

#[test]
fn orders_that_were_sent_and_never_recorded_are_found_at_the_venues_and_closed() {
    // The record loses its tail, as with a host that lost its power: from the fate of the trade's first order on, of
    // which then only the wish can be told; and from before the trade was wished for.
    for earlier in [0, 60] {
        let mut desk = Desk::new(slow_second);
        let venues = desk.venues();
        let (mut first, _) = desk.run(venues, START);
        let trade = until_between_legs(&mut first);
        let now = first.now();
        let venues = first.die(SECOND);
        lose_tail(&desk.dir(1), &trade, earlier);
        let (mut next, carry) = desk.run(venues, now + SECOND);
        let known = carry.trades.iter().any(|taken| taken.legs.iter().any(|leg| leg.position != 0));
        assert_eq!((known, carry.standing.adopts), (false, true), "no fill is recorded: {carry:?}");
        assert_eq!(carry.orders.len(), if earlier == 0 { 2 } else { 0 }, "orders to ask about");
        next.run_for(20 * SECOND);
        assert_eq!(state(&mut next), TradingState::Active, "{earlier}: {:?}", open_trades(&mut next));
        assert!(counts(&mut next).trades_opened > 0);
        next.command(Command::Reduce);
        next.run_for(5 * SECOND);
        let positions = next.engine().river().parts().risk.rules().positions().clone();
        for held in positions.positions() {
            let (ours, theirs) = (held.position.qty, held.venue_qty.unwrap_or(0));
            assert_eq!((ours, theirs), (0, 0), "{earlier}: {}", held.instrument.symbol);
        }
    }
}

/// Positions from fills alone.
#[derive(Default)]
struct Fills(BTreeMap<u16, i64>);

impl Tap for Fills {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {}
    fn event(&mut self, event: &Event) {
        if let EventBody::Order(update) = event.body {
            *self.0.entry(update.instrument.0).or_default() += update.side.sign() * update.fill_qty.0;
        }
    }
    fn intent(&mut self, _: OutputKey, _: &Intent) {}
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, _: &OutMsg) {}
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("temporary disk");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("temporary disk");
    }
}

#[test]
fn a_torn_record_loses_no_halt_that_it_holds_and_invents_no_position() {
    let mut desk = Desk::new(|_| {});
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    first.run_for(9 * SECOND);
    first.command(Command::Kill(Scope::Global));
    first.run_for(SECOND);
    first.die(0);
    let all = inputs(&desk.dir(1));
    let end = all.last().expect("inputs").2;
    let killed = |input: &Input| matches!(input, Input::Command(Command::Kill(_)));
    let kill = all.iter().find(|(_, input, _)| killed(input)).map(|(seq, ..)| *seq).expect("it was recorded");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut halts, mut held) = (0, 0);
    for round in 0..8 {
        let scratch = TempDir::new();
        let dir = scratch.path().join("run-1");
        copy(&desk.dir(1), &dir);
        // Half of the cuts are near the end, where the kill is; some stand inside the very first records.
        let from = [0, end / 2, end - end / 12, end - end / 12][round % 4];
        cut_at(&dir, rng.random_range(from..end));
        let carry =
            previous(scratch.path(), true, &desk.params(), &mut |_| {}).expect("a crash is no damage");
        let verdict = recover(&dir).expect("recovered before");
        let last = verdict.streams[0].last_seq.unwrap_or(0);
        assert_eq!(carry.standing.halted.is_some(), last >= kill, "round {round}: cut after input {last}");
        let mut fills = Fills::default();
        if last > 0 {
            Cursor::open(&dir)
                .and_then(|mut cursor| cursor.seek(Seq(last), &mut fills, &mut |_| {}))
                .expect("readable");
        }
        let ours: BTreeMap<u16, i64> =
            carry.positions.iter().map(|position| (position.instrument.0, position.qty)).collect();
        let flat = |positions: &BTreeMap<u16, i64>| -> BTreeMap<u16, i64> {
            positions.iter().filter(|(_, qty)| **qty != 0).map(|(id, qty)| (*id, *qty)).collect()
        };
        assert_eq!(flat(&ours), flat(&fills.0), "round {round}: cut after input {last}");
        halts += u32::from(carry.standing.halted.is_some());
        held += u32::from(!flat(&ours).is_empty());
    }
    println!("{halts} of 8 were cut after the kill, {held} while something was held");
    assert!((1..8).contains(&halts));
}

#[test]
fn the_loss_of_a_day_counts_in_every_run_of_that_day_and_in_none_of_the_next() {
    // Entries at random lose their fees.
    let mut desk = Desk::new(|_| {});
    desk.scan.random_entry_ns = 2 * SECOND;
    desk.risk.daily_loss_max_usd = 3;
    desk.risk.consecutive_failures_max = 1_000;
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    first.run_for(25 * SECOND);
    let opened = counts(&mut first).trades_opened;
    first.run_for(10 * SECOND);
    assert!(opened > 0);
    assert_eq!(counts(&mut first).trades_opened, opened, "the loss has ended it: {:?}", totals(&mut first));
    assert_eq!(open_trades(&mut first), []);
    let (lost, now) = (totals(&mut first).net(), first.now());
    assert!(lost <= Money::from_units(-3));
    let venues = first.die(SECOND);
    let (mut same_day, carry) = desk.run(venues, now + SECOND);
    assert_eq!(carry.standing.daily, lost);
    same_day.run_for(15 * SECOND);
    assert_eq!(counts(&mut same_day).trades_opened, 0);
    assert!(counts(&mut same_day).denials > 0, "entries are wanted and denied");
    assert_eq!(same_day.engine().river().parts().risk.rules().positions().daily(), lost);
    drop(same_day.die(0));
    // A day later; the venues are new, as a day of their market would take long.
    desk.sim.start_wall_ns += 86_400 * SECOND;
    let start = desk.sim.start_wall_ns;
    let venues = desk.venues();
    let (mut next_day, carry) = desk.run(venues, start);
    assert_eq!(carry.standing.daily, lost);
    next_day.run_for(25 * SECOND);
    assert!(counts(&mut next_day).trades_opened > 0, "{:?}", counts(&mut next_day));
    let rules = next_day.engine().river().parts().risk.rules().clone();
    assert_eq!(rules.result(), lost + rules.positions().totals().net(), "what all runs have brought goes on");
    assert!(rules.drawdown() >= -rules.result(), "and so does how far that is below its peak");
    desk.assert_replays();
}

#[test]
fn a_run_before_that_cannot_be_read_is_refused_with_what_to_do() {
    let mut desk = Desk::new(|_| {});
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    first.run_for(SECOND);
    first.command(Command::Stop);
    let (engine, _) = first.into_parts();
    engine.into_parts().1.into_parts().0.expect("a recorder").close().expect("a disk");
    let ended = previous(desk.root.path(), true, &desk.params(), &mut |_| {}).expect("readable");
    assert_eq!((ended.ending, ended.standing.reducing), (Ending::Ordered, false));
    let of_paper = previous(desk.root.path(), false, &desk.params(), &mut |_| {}).expect("readable");
    assert_eq!(of_paper, Carry::default(), "a live run is none that a paper run continues");
    // A byte in the middle of a record that is known to be on the disk.
    let dir = desk.dir(1);
    let at = inputs(&dir)[40].2;
    let segment = fs::read_dir(&dir)
        .expect("a directory")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("inputs-000000"))
        .expect("a segment");
    let mut bytes = fs::read(&segment).expect("readable");
    bytes[at as usize + 48] ^= 1;
    fs::write(&segment, bytes).expect("temporary disk");
    let refused =
        previous(desk.root.path(), true, &desk.params(), &mut |_| {}).expect_err("damaged").to_string();
    for part in ["run-1", "journal verify", "--forget-previous-run", "--resume", "by hand"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // A manifest that is not one any more.
    fs::write(dir.join("manifest.json"), "{").expect("temporary disk");
    let refused =
        previous(desk.root.path(), true, &desk.params(), &mut |_| {}).expect_err("damaged").to_string();
    assert!(refused.contains("--forget-previous-run"), "{refused}");
}

#[test]
fn something_open_in_a_contract_that_is_not_listed_any_more_is_refused() {
    let mut desk = Desk::new(slow_second);
    let venues = desk.venues();
    let (mut first, _) = desk.run(venues, START);
    let trade = until_between_legs(&mut first);
    let held = usize::from(trade.legs[usize::from(trade.legs[0].position == 0)].listing);
    drop(first.die(0));
    let mut params = desk.params();
    // Another symbol in its place.
    let symbol = params.listings[held].symbol;
    params.listings[held].symbol = perpring::domain::text::Text::new("OTHER").expect("short");
    let refused = previous(desk.root.path(), true, &params, &mut |_| {}).expect_err("homeless").to_string();
    assert!(refused.contains(symbol.as_str()) && refused.contains("--forget-previous-run"), "{refused}");
}

/// A run of the program itself.
fn program(config: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_perpring"));
    command.arg("run").arg("--config").arg(config).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_program_killed_and_started_again_takes_over_and_two_at_a_time_are_refused() {
    let scratch = TempDir::new();
    fs::create_dir_all(scratch.path()).expect("temporary disk");
    let config = scratch.path().join("perpring.toml");
    let venue = |dialect: &str| {
        format!(
            "[[venues]]\ndialect = \"{dialect}\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\n\
             sockets = [\"ws://127.0.0.1:1\"]\nhttp = \"http://127.0.0.1:1\"\n"
        )
    };
    let journals = scratch.path().join("journals");
    let text = format!(
        "[engine]\njournal_dir = {:?}\n{}{}[[instruments]]\nname = \"BTC/USDT:USDT\"\n",
        journals.display().to_string(),
        venue("binance-usdm"),
        venue("okx")
    );
    fs::write(&config, text).expect("temporary disk");
    let mut first = program(&config, &[]).spawn().expect("it starts");
    let mut lines = BufReader::new(first.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("paper run"));
    assert!(started.is_some(), "it says that it runs");
    // It has recorded its start by the time it tells of its first second.
    lines.next();
    let second = program(&config, &["--for", "1s"]).output().expect("it starts");
    let refused = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && refused.contains("another run"), "{refused}");
    first.kill().expect("SIGKILL");
    first.wait().expect("it is gone");
    let again = |arguments: &[&str]| {
        let output = program(&config, arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = again(&["--for", "300ms"]);
    assert!(
        said.contains("the run before") && said.contains("crashed") && !said.contains("HALTED"),
        "{said}"
    );
    let said = again(&["--for", "300ms"]);
    assert!(said.contains("ended in order"), "{said}");
    let said = again(&["--for", "300ms", "--forget-previous-run"]);
    assert!(
        said.contains("does not count") && said.contains("HALTED") && said.contains("--resume"),
        "{said}"
    );
    let said = again(&["--for", "300ms"]);
    assert!(said.contains("HALTED"), "a halt is handed on: {said}");
    let said = again(&["--for", "300ms", "--resume"]);
    assert!(!said.contains("HALTED"), "{said}");
    let said = again(&["--for", "300ms"]);
    assert!(said.contains("ended in order") && !said.contains("HALTED"), "{said}");
    for entry in fs::read_dir(&journals).expect("journals").flatten().filter(|entry| entry.path().is_dir()) {
        let report = verify(&entry.path(), &mut |_| {}).expect("readable");
        assert!(report.divergence.is_none(), "{:?}", report.divergence);
    }
}
