//! `perpring bench wire`: from the planned instant of a price to the orders at the venues, over real sockets.
//!
//! Load venues on loopback send a background of market data and, at planned instants, a price that pays. A
//! sample runs from the planned instant (not from the actual send, so that a stalled sender hides nothing) to
//! the instant at which the venue's own thread had read the first and the last leg; it counts only when the
//! venue then accepted the order, signature and all. The floor takes the engine's place in every second round.
#![allow(clippy::disallowed_methods)] // the harness paces itself; the engine gets its time from runtime::clock

pub mod floor;
pub mod load;
pub mod verdict;

use self::load::{Arrival, LoadServer, Schedule};
use self::verdict::WireTarget;
use crate::cli::demo::tempdir;
use crate::cli::{CliError, Failure};
use crate::domain::params::{RiskParams, ScanParams};
use crate::domain::standing::CheckSet;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::journal::JournalOptions;
use crate::net::tls::Trust;
use crate::ops::latency::{Latency, ORDER_PARTS, Path as Way};
use crate::ops::view::Board;
use crate::replay::source::RunConfig;
use crate::runtime::affinity::AllowedCpus;
use crate::runtime::idle::IdleMode;
use crate::runtime::profile::{Plan, Profile};
use crate::sim::config::SimConfig;
use crate::sim::server_at;
use crate::sim::socket::{HostOptions, SimHost, TlsIdentity, WallClock};
use crate::stage::gateway::{Addresses, Orders};
use crate::telemetry::histogram::{Samples, percentile};
use crate::topology::launch::{Launch, Running, launch};
use crate::topology::world;
use crate::venue::{connections, dialect, market_copies};
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Background frames a second at × 1, both venues together: what best prices and depth of BTC and ETH make on
/// two venues in lively hours (some 150 to 250 frames a second for each instrument and venue).
const PACE_PER_S: u64 = 1_000;
/// Instruments on each venue.
const INSTRUMENTS: usize = 50;
/// Between triggers.
const TRIGGER_NS: Nanos = 110 * MILLI;
/// An order later than this after its trigger belongs to nothing.
const MATCH_NS: Nanos = 90 * MILLI;
/// Most seconds of a quick run.
const QUICK_S: u64 = 20;
/// Longest wait for an engine to be ready.
const READY_LIMIT: Duration = Duration::from_secs(40);
/// Parts of tick-to-order, as printed; by [`ORDER_PARTS`].
const PART_NAMES: [&str; 6] = ["  decode", "  scan", "  risk", "  route", "  gate, sign", "  frame, write"];

/// Arguments of `bench wire`.
#[derive(Args, Debug)]
pub struct WireArgs {
    /// Measured seconds of each case (and of its floor). A p99 needs 1,000 triggers: 115 s.
    #[arg(long, default_value_t = 130, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Cases to run; all but `cold` without this. Cases of one run take turns, so that what disturbs the
    /// machine disturbs them alike.
    #[arg(long = "case", value_enum, value_delimiter = ',')]
    pub cases: Vec<CaseName>,
    /// One round of at most 20 seconds; without `--case` only the first case.
    #[arg(long)]
    pub quick: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CaseName {
    /// One thread, journal on, the usual background.
    Fused,
    /// Ten times the background.
    X10,
    /// Without a journal.
    NoJournal,
    /// TLS to the venues.
    Tls,
    /// Profile `split`.
    Split,
    /// Profile `dedicated`.
    Dedicated,
    /// As `fused`, without rehearsals of the order's way: what they bring.
    Cold,
}

/// Percentiles with as many nines as the samples bear (10 samples beyond each), ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: Option<u64>,
    /// 90 %.
    pub p90: Option<u64>,
    /// 99 %.
    pub p99: Option<u64>,
    /// 99.9 %.
    pub p999: Option<u64>,
    /// 99.99 %.
    pub p9999: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
}

impl Tail {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: percentile(histogram, 50_000),
            p90: percentile(histogram, 90_000),
            p99: percentile(histogram, 99_000),
            p999: percentile(histogram, 99_900),
            p9999: percentile(histogram, 99_990),
            max: (!histogram.is_empty()).then(|| histogram.max()),
        }
    }
}

/// The report; its keys are stable.
#[derive(Debug, Serialize)]
pub struct WireReport {
    /// Cores that the process may use.
    pub cores: usize,
    /// The floor of the first case.
    pub floor: FloorFigures,
    /// What should hold, and whether it does.
    pub targets: Vec<WireTarget>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// The floor's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FloorFigures {
    /// Planned instant to first order read.
    pub first_leg: Tail,
    /// Planned instant to last order read.
    pub last_leg: Tail,
    /// A round trip of 200 bytes over plain TCP between two threads.
    pub plain_echo: Tail,
}

/// One case.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// Threads.
    pub profile: String,
    /// How they wait.
    pub idle: String,
    /// False: fewer cores than the profile's threads and the venues need; the scheduler is measured too.
    pub cores_suffice: bool,
    /// TLS to the venues.
    pub tls: bool,
    /// Journal on.
    pub journal: bool,
    /// Idle rounds keep the way of orders warm (profile `fused` alone does).
    pub rehearsals: bool,
    /// Background, times the captured pace.
    pub rate: u32,
    /// Planned instant to first order read.
    pub first_leg: Tail,
    /// Planned instant to last order read.
    pub last_leg: Tail,
    /// Frame read to order handed to the socket, inside the engine.
    pub tick_to_order: Tail,
    /// Frame read to the write of the first order, without the write; empty on several threads.
    pub tick_to_write: Tail,
    /// Parts of `tick_to_order`, by `part_names`; empty on several threads.
    pub parts: [Tail; ORDER_PARTS.len()],
    /// Names of `parts`.
    pub part_names: [&'static str; ORDER_PARTS.len()],
    /// Triggers sent.
    pub triggers: u64,
    /// Triggers without two accepted orders: misses of the engine or of this harness.
    pub unanswered: u64,
    /// Orders that belong to no trigger.
    pub stray: u64,
    /// Orders that the venue refused.
    pub refused: u64,
    /// The floor of the same rounds (plain TCP).
    pub floor_first_leg: Tail,
    /// See `floor_first_leg`.
    pub floor_last_leg: Tail,
}

struct Wanted {
    name: &'static str,
    profile: &'static str,
    tls: bool,
    journal: bool,
    rehearse: bool,
    rate: u32,
}

impl CaseName {
    /// All that are run unless some are named.
    const USUAL: [Self; 6] =
        [Self::Fused, Self::X10, Self::NoJournal, Self::Tls, Self::Split, Self::Dedicated];

    fn wanted(self) -> Wanted {
        let fused =
            Wanted { name: "fused", profile: "fused", tls: false, journal: true, rehearse: true, rate: 1 };
        match self {
            Self::Fused => fused,
            Self::X10 => Wanted { name: "x10", rate: 10, ..fused },
            Self::NoJournal => Wanted { name: "no-journal", journal: false, ..fused },
            Self::Tls => Wanted { name: "tls", tls: true, ..fused },
            Self::Split => Wanted { name: "split", profile: "split", rehearse: false, ..fused },
            Self::Dedicated => Wanted { name: "dedicated", profile: "dedicated", rehearse: false, ..fused },
            Self::Cold => Wanted { name: "cold", rehearse: false, ..fused },
        }
    }
}

/// Runs the command; 1 = a judged target was missed, or a venue refused an order.
///
/// # Errors
/// When a venue or an engine cannot be started.
pub fn run(args: &WireArgs) -> Result<u8, Failure> {
    let report = measure(args.seconds, args.quick, &args.cases)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report)?;
    }
    Ok(verdict::exit_code(&report))
}

/// Measures `cases`, or the usual ones when none are named (`quick`: the first alone, in one round).
///
/// # Errors
/// When a venue or an engine cannot be started, or is not ready in time.
pub fn measure(seconds: u64, quick: bool, cases: &[CaseName]) -> Result<WireReport, Failure> {
    let usual = if quick { &CaseName::USUAL[..1] } else { &CaseName::USUAL[..] };
    let cases = if cases.is_empty() { usual } else { cases };
    let rounds = if quick { 1 } else { 3 };
    let seconds = if quick { seconds.min(QUICK_S) } else { seconds };
    let round_ns = (seconds.clamp(1, 3_600) * SECOND as u64 / rounds) as Nanos;
    let mut echo = Samples::new();
    floor::plain_echo(Duration::from_millis(if quick { 200 } else { 2_000 }), |ns| echo.record(ns))?;
    let mut runs = cases.iter().map(|case| Run::new(case.wanted())).collect::<Result<Vec<_>, _>>()?;
    let sim = quiet_world()?;
    for round in 0..rounds {
        for run in &mut runs {
            tell!(
                "round {} of {rounds}, case {}: {:.0} s of the engine, then of the floor",
                round + 1,
                run.wanted.name,
                round_ns as f64 / SECOND as f64
            );
            run.round(&sim, round_ns)?;
        }
    }
    let cases = runs.iter().map(Run::case).collect::<Vec<Case>>();
    let cores = AllowedCpus::capture().count();
    let (first_leg, last_leg) =
        cases.first().map(|case| (case.floor_first_leg, case.floor_last_leg)).unwrap_or_default();
    let floor = FloorFigures { first_leg, last_leg, plain_echo: Tail::of(echo.histogram()) };
    Ok(WireReport { cores, floor, targets: verdict::targets(cores, &cases), cases })
}

/// The threads of a case, with the strategy of waiting that the cores allow.
fn plan_for(name: &str) -> Result<(Plan, bool), Failure> {
    let allowed = AllowedCpus::capture();
    let profile = Profile::load(name)?;
    let threads = profile.threads.len();
    // A core for the engine's every thread and one for the venues.
    let suffice = allowed.count() > threads;
    let idle = match (suffice, threads) {
        (true, _) => IdleMode::Spin,
        (false, 1) => IdleMode::Park,
        (false, _) => IdleMode::Yield,
    };
    Ok((profile.with_idle(idle).plan(&allowed)?, suffice))
}

struct Venues {
    hosts: Vec<SimHost<LoadServer>>,
    addresses: Addresses,
    trust: Trust,
    clock: WallClock,
}

fn start_venues(sim: &SimConfig, tls: bool, rate: u32) -> Result<Venues, Failure> {
    let clock = WallClock::start();
    let mut sim = sim.clone();
    sim.start_wall_ns = clock.now();
    let identity = if tls { Some(TlsIdentity::generate()?) } else { None };
    let mut trust = Trust::nobody();
    if let Some(identity) = &identity {
        trust.add(identity.ca_der().to_vec().into());
    }
    let secure = if tls { "s" } else { "" };
    let background_ns = (SECOND as u64 * sim.venues.len() as u64 / (PACE_PER_S * u64::from(rate))) as Nanos;
    let mut venues = Venues { hosts: Vec::new(), addresses: Addresses::default(), trust, clock };
    for (index, venue) in sim.venues.iter().enumerate() {
        let server = LoadServer::new(server_at(&sim, index)?, &sim, index, clock, background_ns);
        let options = HostOptions { tls: identity.clone(), clock, ..HostOptions::new(&venue.name) };
        let host = SimHost::start(server, SocketAddr::from(([127, 0, 0, 1], 0)), options)?;
        let port = host.addr().port();
        let dialect =
            dialect(&venue.dialect).ok_or_else(|| format!("no venue dialect `{}`", venue.dialect))?;
        let sockets = connections(dialect, market_copies(&venue.dialect, false), true).len();
        venues.addresses.sockets.extend((0..sockets).map(|_| format!("ws{secure}://localhost:{port}")));
        venues.addresses.http.push(format!("http{secure}://localhost:{port}"));
        venues.hosts.push(host);
    }
    Ok(venues)
}

/// A world that stands still, its matching books 1 % away from what is shown.
fn quiet_world() -> Result<SimConfig, Failure> {
    let mut sim = SimConfig::demo(7, &["binance-usdm", "okx"], INSTRUMENTS)?;
    for instrument in &mut sim.instruments {
        (instrument.volatility_ppb, instrument.jump_every_ns) = (0, 0);
    }
    for (index, venue) in sim.venues.iter_mut().enumerate() {
        (venue.takers_per_second, venue.flicker_ppm, venue.lag_ns) = (0, 0, 0);
        (venue.latency_in_ns, venue.latency_out_ns) = (0, 0);
        (venue.weight_per_minute_max, venue.messages_per_second_max) = (100_000, 1_000);
        // We sell on the first venue, where bids are lower than shown, and buy on the second, where asks are higher.
        let away = if index == 0 { -10_000_000 } else { 10_000_000 };
        venue.listings.iter_mut().for_each(|listing| listing.basis_ppb = away);
    }
    Ok(sim)
}

fn scan_params() -> ScanParams {
    ScanParams {
        basis_sample_ns: 50 * MILLI,
        basis_samples: 41,
        basis_samples_min: 11,
        cooldown_ns: SECOND,
        // The load states no index prices.
        index_required: false,
        ..ScanParams::default()
    }
}

#[derive(Default)]
struct Legs {
    first: Samples,
    last: Samples,
    triggers: u64,
    unanswered: u64,
    stray: u64,
    refused: u64,
}

/// A case on its way: what its rounds have brought so far.
struct Run {
    wanted: Wanted,
    plan: Plan,
    cores_suffice: bool,
    legs: Legs,
    floor: Legs,
    latency: Latency,
}

impl Run {
    fn new(wanted: Wanted) -> Result<Self, Failure> {
        let (plan, cores_suffice) = plan_for(wanted.profile)?;
        let latency = Latency::new();
        Ok(Self { wanted, plan, cores_suffice, legs: Legs::default(), floor: Legs::default(), latency })
    }

    /// The engine, then the floor. New venues each time: both programs begin alike.
    fn round(&mut self, sim: &SimConfig, round_ns: Nanos) -> Result<(), Failure> {
        let venues = start_venues(sim, self.wanted.tls, self.wanted.rate)?;
        let habits = self.engine(sim, &venues, round_ns)?;
        let venues = start_venues(sim, false, self.wanted.rate)?;
        let mut at = Vec::new();
        for (host, habits) in venues.hosts.iter().zip(habits) {
            host.with(|server, _, _| server.serve_floor(true))?;
            at.push((host.addr(), habits));
        }
        let running = floor::start(&at, self.plan.threads[0].cpu, self.plan.idle == IdleMode::Park)?;
        std::thread::sleep(Duration::from_millis(300));
        fire(&venues, round_ns, true, &mut self.floor)?;
        running.end()?;
        Ok(())
    }

    fn engine(
        &mut self,
        sim: &SimConfig,
        venues: &Venues,
        round_ns: Nanos,
    ) -> Result<Vec<load::Habits>, Failure> {
        let scratch = tempdir()?;
        let boot = venues.clock.now() as u64 / SECOND as u64;
        let mut params = world::engine_params(sim, boot, scan_params(), RiskParams::default());
        // The load's venues have no accounts to read back.
        params.venues.iter_mut().for_each(|venue| venue.start_checks = CheckSet::EMPTY);
        let journal = self.wanted.journal.then(|| {
            let options = JournalOptions { segment_bytes: 16 << 20, ..JournalOptions::default() };
            (scratch.join("journal"), options)
        });
        let engine = Launch {
            config: RunConfig { trading: true, params },
            carry: None,
            addresses: venues.addresses.clone(),
            credentials: world::credentials(sim),
            trust: venues.trust.clone(),
            plan: self.plan.clone(),
            journal,
            notes: [("command".to_owned(), "bench wire".to_owned())].into(),
            orders: Orders::Live,
            rehearse: self.wanted.rehearse,
            write_ahead: crate::stage::egress::WriteAhead::Off,
        };
        let running = launch(engine, &Board::default())?;
        await_ready(&running, venues)?;
        // A window of samples.
        std::thread::sleep(Duration::from_millis(1_500));
        fire(venues, round_ns, false, &mut self.legs)?;
        let mut habits = Vec::new();
        for host in &venues.hosts {
            let (found, refusals) =
                host.with(|server, _, _| (server.habits(), server.refusals().to_vec()))?;
            for refusal in refusals {
                tell!("refused: {refusal}");
            }
            habits.push(found);
        }
        let finished = running.end();
        if let Some(failure) = finished.failure {
            return Err(failure.into());
        }
        self.latency.merge(&finished.latency);
        if habits.iter().any(|habits| habits.order.is_empty()) {
            return Err("no order reached a venue: the engine did not trade on any trigger".into());
        }
        Ok(habits)
    }

    fn case(&self) -> Case {
        let Self { wanted, legs, floor, latency, .. } = self;
        let inside = |way| latency.histogram(way).map(Tail::of).unwrap_or_default();
        Case {
            name: wanted.name,
            profile: wanted.profile.to_owned(),
            idle: self.plan.idle.name().to_owned(),
            cores_suffice: self.cores_suffice,
            tls: wanted.tls,
            journal: wanted.journal,
            rehearsals: wanted.rehearse && self.plan.idle != IdleMode::Park,
            rate: wanted.rate,
            first_leg: Tail::of(legs.first.histogram()),
            last_leg: Tail::of(legs.last.histogram()),
            tick_to_order: inside(Way::TickToOrder),
            tick_to_write: inside(Way::TickToWrite),
            parts: ORDER_PARTS.map(|part| inside(Way::Order(part))),
            part_names: ["decode", "scan", "risk", "route", "gate", "write"],
            triggers: legs.triggers,
            unanswered: legs.unanswered,
            stray: legs.stray,
            refused: legs.refused,
            floor_first_leg: Tail::of(floor.first.histogram()),
            floor_last_leg: Tail::of(floor.last.histogram()),
        }
    }
}

/// Waits until every market is sent and its snapshot fetched.
fn await_ready(running: &Running, venues: &Venues) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let mut live = 0;
        for host in &venues.hosts {
            live += host.with(|server, _, _| server.ready())?;
        }
        let ready = INSTRUMENTS * venues.hosts.len();
        if live == ready {
            return Ok(());
        }
        if let Some(failure) = running.failure() {
            return Err(failure.into());
        }
        if begun.elapsed() > READY_LIMIT {
            return Err(format!("the engine is ready for {live} of {ready} markets in {READY_LIMIT:?}; is the machine overloaded?").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends the triggers of a round and collects what came back.
fn fire(venues: &Venues, round_ns: Nanos, floor: bool, legs: &mut Legs) -> Result<(), Failure> {
    let count = (round_ns / TRIGGER_NS).max(1) as usize;
    let schedule = Schedule { start: venues.clock.now() + 100 * MILLI, every: TRIGGER_NS, count };
    for host in &venues.hosts {
        host.with(move |server, _, _| server.begin(schedule))?;
    }
    let end = schedule.at(count) + 50 * MILLI;
    std::thread::sleep(Duration::from_nanos((end - venues.clock.now()).max(0) as u64));
    let mut arrivals = Vec::new();
    for host in &venues.hosts {
        arrivals.push(host.with(|server, _, _| server.finish())?);
    }
    let planned: Vec<(Nanos, usize)> =
        (0..count).map(|k| (schedule.at(k), Schedule::instrument(k, INSTRUMENTS))).collect();
    let matched = match_legs(&planned, &arrivals);
    legs.triggers += count as u64;
    legs.unanswered += (count - matched.legs.len()) as u64;
    legs.stray += matched.stray;
    if !floor {
        legs.refused += matched.refused;
    }
    for (first, last) in matched.legs {
        legs.first.record(first);
        legs.last.record(last);
    }
    Ok(())
}

/// What belongs together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Matched {
    /// First and last leg after the planned instant, ns, of each trigger with an accepted order at every venue.
    legs: Vec<(Nanos, Nanos)>,
    /// Orders without a trigger, or beyond the first of a venue.
    stray: u64,
    /// Orders that the venue refused.
    refused: u64,
}

/// Matches orders (by venue, in order of time) to triggers (planned instant, instrument; in order of time).
fn match_legs(planned: &[(Nanos, usize)], arrivals: &[Vec<Arrival>]) -> Matched {
    let mut matched = Matched::default();
    let mut found: Vec<Vec<Option<Nanos>>> = vec![vec![None; arrivals.len()]; planned.len()];
    for (venue, arrivals) in arrivals.iter().enumerate() {
        for arrival in arrivals {
            if !arrival.accepted {
                matched.refused += 1;
                continue;
            }
            let after = planned.partition_point(|(at, _)| *at <= arrival.at);
            let slot = after.checked_sub(1).filter(|k| {
                arrival.at - planned[*k].0 <= MATCH_NS
                    && arrival.instrument.is_none_or(|instrument| instrument == planned[*k].1)
                    && found[*k][venue].is_none()
            });
            match slot {
                Some(k) => found[k][venue] = Some(arrival.at - planned[k].0),
                None => matched.stray += 1,
            }
        }
    }
    for legs in found {
        if let (Some(legs), false) = (legs.iter().copied().collect::<Option<Vec<Nanos>>>(), legs.is_empty()) {
            let first = legs.iter().copied().min().unwrap_or_default();
            matched.legs.push((first, legs.iter().copied().max().unwrap_or_default()));
        }
    }
    matched
}

fn print(report: &WireReport) -> Result<(), CliError> {
    let micros =
        |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.1}", ns as f64 / 1_000.0));
    let row = |name: &str, tail: &Tail, floor: Option<&Tail>| {
        let ratio = |ours: Option<u64>, floor: Option<u64>| {
            ours.zip(floor)
                .map_or_else(|| "-".to_owned(), |(a, b)| format!("{:.2}", a as f64 / b.max(1) as f64))
        };
        let (mut half, mut tail_ratio) = ("-".to_owned(), "-".to_owned());
        if let Some(floor) = floor {
            (half, tail_ratio) = (ratio(tail.p50, floor.p50), ratio(tail.p99, floor.p99));
        }
        say!(
            "  {name:<16} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {half:>7} {tail_ratio:>7}",
            tail.count,
            micros(tail.p50),
            micros(tail.p90),
            micros(tail.p99),
            micros(tail.p999),
            micros(tail.p9999),
            micros(tail.max)
        )
    };
    say!(
        "{} cores; microseconds; {PACE_PER_S} frames/s at x1, {INSTRUMENTS} instruments on each of two venues",
        report.cores
    )?;
    say!(
        "  {:<16} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "",
        "count",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "p50/fl",
        "p99/fl"
    )?;
    row("plain echo", &report.floor.plain_echo, None)?;
    for case in &report.cases {
        let mark = if case.cores_suffice { "" } else { " (TOO FEW CORES: the scheduler is measured too)" };
        say!(
            "{}: {} {} | tls {} | journal {} | x{}{mark}: {} triggers, {} unanswered, {} stray, {} refused",
            case.name,
            case.profile,
            case.idle,
            case.tls,
            case.journal,
            case.rate,
            case.triggers,
            case.unanswered,
            case.stray,
            case.refused
        )?;
        row("floor first leg", &case.floor_first_leg, None)?;
        row("floor last leg", &case.floor_last_leg, None)?;
        row("first leg", &case.first_leg, Some(&case.floor_first_leg))?;
        row("last leg", &case.last_leg, Some(&case.floor_last_leg))?;
        row("tick to order", &case.tick_to_order, None)?;
        if case.tick_to_write.count > 0 {
            row("tick to write", &case.tick_to_write, None)?;
        }
        for (name, part) in PART_NAMES.iter().zip(&case.parts).filter(|(_, part)| part.count > 0) {
            row(name, part, None)?;
        }
    }
    for target in &report.targets {
        say!("{}", target.line())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(at: Nanos, instrument: Option<usize>, accepted: bool) -> Arrival {
        Arrival { at, instrument, id: Vec::new(), accepted }
    }

    #[test]
    fn orders_are_matched_by_time_instrument_and_venue() {
        let planned = [(1_000, 0), (1_000 + TRIGGER_NS, 1), (1_000 + 2 * TRIGGER_NS, 2)];
        let second = planned[1].0;
        let arrivals = [
            vec![order(1_050, Some(0), true), order(1_060, Some(0), true), order(second + 70, Some(1), true)],
            vec![
                order(900, Some(0), true),
                order(1_090, None, true),
                order(second + 40, Some(1), false),
                order(second + 50, Some(7), true),
                order(planned[2].0 + MATCH_NS + 1, Some(2), true),
            ],
        ];
        let matched = match_legs(&planned, &arrivals);
        assert_eq!(matched.legs, [(50, 90)], "only the first trigger has an accepted order at both venues");
        // A second order of one venue, one before any trigger, one of another instrument, one too late.
        assert_eq!((matched.stray, matched.refused), (4, 1));
        assert_eq!(match_legs(&planned, &[]).legs, []);
    }

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let mut samples = Samples::new();
        (1..=1_000).for_each(|ns| samples.record(ns * 1_000));
        let tail = Tail::of(samples.histogram());
        assert!(tail.p99.is_some() && tail.p999.is_none() && tail.p9999.is_none());
        assert_eq!(tail.count, 1_000);
        assert_eq!(Tail::of(Samples::new().histogram()), Tail::default());
    }
}
