//! `perpring bench pipeline`: from a frame in memory to the bytes of an order, and how many prices a core takes.
//!
//! Input is a run of the simulated world, recorded once and read back into memory. It passes the composed stages
//! on one thread (`fused`), then the same stages on threads of their own with a ring between each two (five hops:
//! gateway, decode, scan, risk, route and back), one input at a time, so that no queue is measured. Orders are
//! filled in and signed as the gateway does it; nothing is written to a socket.

use super::wire::Tail;
use crate::cli::Failure;
use crate::cli::demo::tempdir;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Flow, FlowBody, Seq};
use crate::domain::input::{Input, InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::OutputKey;
use crate::domain::params::{RiskParams, ScanParams};
use crate::domain::time::{MICRO, Nanos, SECOND, Stamp};
use crate::journal::JournalOptions;
use crate::replay::source::{Inputs, RunConfig};
use crate::ring::{Receiver, Sender, channel};
use crate::runtime::affinity::{AllowedCpus, pin_current_thread};
use crate::runtime::clock::{Clock, ClockOrigin};
use crate::sim::config::SimConfig;
use crate::sim::server_at;
use crate::stage::Made;
use crate::stage::egress::Vault;
use crate::stage::record::Recorder;
use crate::stage::river::{Parts, River, Tap};
use crate::telemetry::histogram::Samples;
use crate::topology::fused::Fused;
use crate::topology::keeper::Keeper;
use crate::topology::launch::manifest;
use crate::topology::simulated::Simulation;
use crate::topology::world;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Wall time at which the simulated run begins.
const START: Nanos = 1_760_000_000 * SECOND;
/// Simulated seconds that are recorded.
const RECORDED_S: i64 = 30;
/// Prepared frames of best prices.
const FRAMES: usize = 40_000;
/// Frames a second that one core should take.
const FRAMES_PER_S_MIN: u64 = 1_000_000;
/// Capacity of the rings.
const CAPACITY: usize = 4_096;
/// Threads that spin in the run with hops, and one spare core for the rest of the machine.
const CORES_TO_SPIN: usize = 6;

/// Arguments of `bench pipeline`.
#[derive(Args, Debug)]
pub struct PipelineArgs {
    /// Seconds in all, about.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// The report; its keys are stable.
#[derive(Debug, Serialize)]
pub struct PipelineReport {
    /// Cores that the process may use.
    pub cores: usize,
    /// Frame to the first order's bytes, all stages on one thread.
    pub fused: Tail,
    /// The same through five hops.
    pub hops: Tail,
    /// False: too few cores, the threads of `hops` yield, and its figures are the scheduler's.
    pub hops_spinning: bool,
    /// Best-price frames to book and edge, by dialect, one core.
    pub throughput: Vec<Throughput>,
}

/// Throughput of one dialect.
#[derive(Debug, Serialize)]
pub struct Throughput {
    /// Dialect.
    pub venue: String,
    /// Frames processed.
    pub frames: u64,
    /// Frames a second.
    pub frames_per_s: u64,
    /// At least a million.
    pub pass: bool,
}

/// Runs the command.
///
/// # Errors
/// When the simulated run cannot be recorded or a thread cannot be started.
pub fn run(args: &PipelineArgs) -> Result<u8, Failure> {
    let report = measure(args.seconds)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(0);
    }
    let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    say!("{} cores; frame in memory to bytes of the first order, ns", report.cores)?;
    say!("{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}", "", "count", "p50", "p90", "p99", "p99.9", "max")?;
    for (name, tail) in [("fused", &report.fused), ("hops", &report.hops)] {
        let Tail { count, p50, p90, p99, p999, max, .. } = *tail;
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(text);
        say!("{name:>8} {count:>8} {p50:>8} {p90:>8} {p99:>8} {p999:>8} {max:>10}")?;
    }
    if !report.hops_spinning {
        say!("hops YIELD: fewer than {CORES_TO_SPIN} cores, figures are the scheduler's")?;
    }
    for throughput in &report.throughput {
        let verdict = if throughput.pass { "met" } else { "MISSED" };
        say!(
            "{}: {} best prices a second to book and edge (at least {FRAMES_PER_S_MIN}): {verdict}",
            throughput.venue,
            throughput.frames_per_s
        )?;
    }
    Ok(0)
}

/// An input in memory.
struct Stored {
    mono: Nanos,
    input: Input,
    bytes: Vec<u8>,
}

impl Stored {
    fn raw(&self) -> RawInput<'_> {
        RawInput { mono: self.mono, input: self.input, bytes: &self.bytes }
    }
}

struct Recording {
    sim: SimConfig,
    config: RunConfig,
    inputs: Arc<Vec<Stored>>,
}

/// Measures for about `seconds`.
///
/// # Errors
/// See [`run`].
pub fn measure(seconds: u64) -> Result<PipelineReport, Failure> {
    let recording = record(if seconds > 3 { RECORDED_S } else { 8 })?;
    let allowed = AllowedCpus::capture();
    let origin = ClockOrigin::begin();
    let share = (seconds.clamp(1, 3_600) * SECOND as u64 / 3) as Nanos;
    let mut clock = origin.clock();
    let mut fused = Samples::new();
    let end = clock.mono_ns() + share;
    loop {
        through_river(&recording, origin.clock(), &mut fused)?;
        if clock.mono_ns() >= end {
            break;
        }
    }
    let spinning = allowed.count() >= CORES_TO_SPIN;
    let mut hops = Samples::new();
    let cpus = if spinning { allowed.as_slice() } else { &[] };
    through_hops(&recording, &origin, cpus, clock.mono_ns() + share, &mut hops)?;
    let mut throughput = Vec::new();
    for venue in 0..recording.sim.venues.len() {
        let each = share / recording.sim.venues.len() as i64;
        throughput.push(prices(&recording, venue, &mut clock, each)?);
    }
    Ok(PipelineReport {
        cores: allowed.count(),
        fused: Tail::of(fused.histogram()),
        hops: Tail::of(hops.histogram()),
        hops_spinning: spinning,
        throughput,
    })
}

/// Records a run of the simulated world in `dir`.
pub(super) fn simulate(
    dir: &Path,
    venues: &[&str],
    instruments: usize,
    seconds: i64,
    options: &JournalOptions,
) -> Result<(SimConfig, RunConfig), Failure> {
    let (mut simulation, sim, config) = simulation(dir, venues, instruments, options, |_| {})?;
    simulation.run_for(seconds * SECOND);
    close(simulation)?;
    Ok((sim, config))
}

/// A simulated world, changed by `change`, that has not begun and is recorded in `dir`.
pub(super) fn simulation(
    dir: &Path,
    venues: &[&str],
    instruments: usize,
    options: &JournalOptions,
    change: impl FnOnce(&mut SimConfig),
) -> Result<(Simulation, SimConfig, RunConfig), Failure> {
    let mut sim = SimConfig::demo(7, venues, instruments)?;
    sim.start_wall_ns = START;
    change(&mut sim);
    let scan = ScanParams { edge_persist_ns: 0, ..world::demo_scan() };
    let params = world::engine_params(&sim, 7, scan, RiskParams::default());
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let recorder = Recorder::create(dir, &manifest(&bytes, START, BTreeMap::new()), options)?;
    let parts = Parts::new(&config.params, true)?;
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let servers = (0..sim.venues.len()).map(|venue| server_at(&sim, venue)).collect::<Result<_, _>>()?;
    let vault = Vault::new(world::credentials(&sim));
    let simulation = Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes);
    Ok((simulation, sim, config))
}

/// Ends the record of a simulated world in order.
pub(super) fn close(simulation: Simulation) -> Result<(), Failure> {
    match simulation.into_parts().0.into_parts().1.into_parts().0 {
        Some(recorder) => Ok(recorder.close()?),
        None => Ok(()),
    }
}

/// Records a run of the simulated world and reads it into memory.
fn record(seconds: i64) -> Result<Recording, Failure> {
    let scratch = tempdir()?;
    let dir = scratch.join("journal");
    let options = JournalOptions { segment_bytes: 16 << 20, ..JournalOptions::default() };
    let (sim, config) = simulate(&dir, &["binance-usdm", "okx"], 4, seconds, &options)?;
    let mut inputs = Vec::new();
    let mut source = Inputs::open(&dir)?;
    while let Some((_, raw)) = source.next()? {
        inputs.push(Stored { mono: raw.mono, input: raw.input, bytes: raw.bytes.to_vec() });
    }
    Ok(Recording { sim, config, inputs: Arc::new(inputs) })
}

/// Seals orders and stamps the first one of each input.
struct Sealer {
    vault: Vault,
    venues: Vec<usize>,
    sealed: Vec<u8>,
    clock: Clock,
    first: Option<Nanos>,
}

impl Sealer {
    fn message(&mut self, message: &OutMsg) {
        let Some(order) = message.meta.order else { return };
        let venue = self.venues.get(order.venue.index()).copied().unwrap_or_default();
        // Credentials are there; a refusal would show as a missing sample.
        if self.vault.seal(venue, &message.payload, &mut self.sealed).is_ok() && self.first.is_none() {
            self.first = Some(self.clock.mono_ns());
        }
    }
}

fn sealer(recording: &Recording, clock: Clock) -> Sealer {
    let vault = Vault::new(world::credentials(&recording.sim));
    let venues = (0..recording.sim.venues.len()).collect();
    Sealer { vault, venues, sealed: Vec::with_capacity(4_096), clock, first: None }
}

struct SealTap(Sealer);

impl Tap for SealTap {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {}
    fn event(&mut self, _: &Event) {}
    fn intent(&mut self, _: OutputKey, _: &Intent) {}
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, message: &OutMsg) {
        self.0.message(message);
    }
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

/// One pass through the composed stages.
fn through_river(recording: &Recording, mut clock: Clock, samples: &mut Samples) -> Result<(), Failure> {
    let mut river = River::new(Parts::new(&recording.config.params, true)?);
    let mut tap = SealTap(sealer(recording, clock.clone()));
    for stored in recording.inputs.iter() {
        tap.0.first = None;
        let began = clock.mono_ns();
        river.input(&stored.raw(), &mut tap);
        if let (Input::Frame(_), Some(first)) = (stored.input, tap.0.first) {
            samples.record(first - began);
        }
    }
    Ok(())
}

/// What travels between the stages; `End` closes an input, `Stop` the run.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)] // rings hold values
enum Item<T> {
    Body(T),
    End,
    Stop,
}

fn push<T: Copy>(to: &mut Sender<T>, item: T, spin: bool) {
    while to.try_push(item).is_err() {
        relax(spin);
    }
}

fn pop<T: Copy>(from: &mut Receiver<T>, spin: bool) -> T {
    loop {
        match from.pop() {
            Some(item) => return item,
            None => relax(spin),
        }
    }
}

fn relax(spin: bool) {
    if spin { std::hint::spin_loop() } else { thread::yield_now() }
}

/// Passes through five hops until `end`, and until the first order, one input at a time.
fn through_hops(
    recording: &Recording,
    origin: &ClockOrigin,
    cpus: &[usize],
    end: Nanos,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let spin = !cpus.is_empty();
    let cpu = |n: usize| cpus.get(n).copied();
    let mut clock = origin.clock();
    loop {
        let Parts { mut decode, mut scan, mut risk, mut route, .. } =
            Parts::new(&recording.config.params, true)?;
        let (mut to_decode, mut at_decode) = channel::<Item<usize>>("gateway→decode", CAPACITY);
        let (mut to_scan, mut at_scan) = channel::<Item<Event>>("decode→scan", CAPACITY);
        let (mut to_risk, mut at_risk) = channel::<Item<Flow>>("scan→risk", CAPACITY);
        let (mut to_route, mut at_route) = channel::<Item<Flow>>("risk→route", CAPACITY);
        let (mut to_gateway, mut at_gateway) = channel::<Item<OutMsg>>("route→gateway", 256);
        let inputs = Arc::clone(&recording.inputs);
        let mut sealer = sealer(recording, clock.clone());
        let over = thread::scope(|scope| {
            scope.spawn(move || {
                pin_current_thread(cpu(1));
                loop {
                    match pop(&mut at_decode, spin) {
                        Item::Body(index) => {
                            let raw = inputs[index].raw();
                            let (seq, at) = decode.sequence(&raw);
                            decode.on_input(&raw, seq, at, &mut |event| {
                                push(&mut to_scan, Item::Body(*event), spin)
                            });
                            push(&mut to_scan, Item::End, spin);
                        }
                        Item::End => {}
                        Item::Stop => return push(&mut to_scan, Item::Stop, spin),
                    }
                }
            });
            scope.spawn(move || {
                pin_current_thread(cpu(2));
                loop {
                    match pop(&mut at_scan, spin) {
                        Item::Body(event) => scan.on_event(&event, &mut |made| {
                            if let Made::Item(flow) = made {
                                push(&mut to_risk, Item::Body(*flow), spin);
                            }
                        }),
                        Item::End => push(&mut to_risk, Item::End, spin),
                        Item::Stop => return push(&mut to_risk, Item::Stop, spin),
                    }
                }
            });
            scope.spawn(move || {
                pin_current_thread(cpu(3));
                loop {
                    match pop(&mut at_risk, spin) {
                        Item::Body(flow) => risk.on_flow(&flow, &mut |made| {
                            if let Made::Item(flow) = made {
                                push(&mut to_route, Item::Body(*flow), spin);
                            }
                        }),
                        Item::End => push(&mut to_route, Item::End, spin),
                        Item::Stop => return push(&mut to_route, Item::Stop, spin),
                    }
                }
            });
            scope.spawn(move || {
                pin_current_thread(cpu(4));
                loop {
                    match pop(&mut at_route, spin) {
                        Item::Body(flow) => route.on_flow(&flow, &mut |made| {
                            if let Made::Item(message) = made {
                                push(&mut to_gateway, Item::Body(*message), spin);
                            }
                        }),
                        Item::End => push(&mut to_gateway, Item::End, spin),
                        Item::Stop => return,
                    }
                }
            });
            pin_current_thread(cpu(0));
            let mut over = false;
            for (index, stored) in recording.inputs.iter().enumerate() {
                sealer.first = None;
                let began = clock.mono_ns();
                push(&mut to_decode, Item::Body(index), spin);
                while let Item::Body(message) = pop(&mut at_gateway, spin) {
                    sealer.message(&message);
                }
                if let (Input::Frame(_), Some(first)) = (stored.input, sealer.first) {
                    samples.record(first - began);
                }
                // However slow the machine, an order is measured if the recording holds one.
                if began > end && !samples.histogram().is_empty() {
                    over = true;
                    break;
                }
            }
            push(&mut to_decode, Item::Stop, spin);
            over
        });
        if over || clock.mono_ns() > end {
            return Ok(());
        }
    }
}

/// How many best prices of a venue one core turns into book and edge.
fn prices(
    recording: &Recording,
    venue: usize,
    clock: &mut Clock,
    limit: Nanos,
) -> Result<Throughput, Failure> {
    let Parts { mut decode, mut scan, conns, .. } = Parts::new(&recording.config.params, true)?;
    let mut templates: Vec<&Stored> = Vec::new();
    let mut symbols: Vec<&[u8]> = Vec::new();
    for stored in recording.inputs.iter() {
        feed(&mut decode, &mut scan, &stored.raw());
        if let Input::Frame(meta) = stored.input
            && conns[meta.conn.index()].venue.index() == venue
            && let Some(symbol) = best_price_symbol(&stored.bytes)
        {
            match symbols.iter().position(|known| *known == symbol) {
                Some(at) => templates[at] = stored,
                None => {
                    symbols.push(symbol);
                    templates.push(stored);
                }
            }
        }
    }
    if templates.is_empty() {
        return Err(format!("the recorded run has no best prices of venue {venue}").into());
    }
    let mono = recording.inputs.last().map_or(0, |stored| stored.mono);
    let (mut frames, mut spent, mut id) = (0u64, 0, 1u64 << 50);
    while spent < limit {
        // Ever newer update numbers, so that every frame changes its book; made outside the measurement.
        let prepared: Vec<Stored> = (0..FRAMES)
            .map(|n| {
                id += 1;
                let template = templates[n % templates.len()];
                Stored { mono, input: template.input, bytes: renumbered(&template.bytes, id) }
            })
            .collect();
        let mut prices = 0;
        let began = clock.mono_ns();
        for stored in &prepared {
            prices += feed(&mut decode, &mut scan, &stored.raw());
        }
        spent += clock.mono_ns() - began;
        frames += FRAMES as u64;
        if prices != FRAMES as u64 {
            return Err(
                format!("{prices} best prices came of {FRAMES} prepared frames of venue {venue}").into()
            );
        }
    }
    let frames_per_s = (u128::from(frames) * SECOND as u128 / spent.max(1) as u128) as u64;
    let venue = recording.sim.venues[venue].dialect.clone();
    Ok(Throughput { venue, frames, frames_per_s, pass: frames_per_s >= FRAMES_PER_S_MIN })
}

/// Decode and scan of one input; best prices among its events.
fn feed(
    decode: &mut crate::stage::decode::Decode,
    scan: &mut crate::stage::scan::Scan,
    raw: &RawInput<'_>,
) -> u64 {
    let mut prices = 0;
    let (seq, at) = decode.sequence(raw);
    decode.on_input(raw, seq, at, &mut |event| {
        prices += u64::from(matches!(event.body, EventBody::Bbo(_)));
        scan.on_event(event, &mut |made| {
            if let Made::Item(Flow { body: FlowBody::Intent(intent), .. }) = made {
                std::hint::black_box(intent);
            }
        });
    });
    prices
}

/// The instrument of a best-price frame.
fn best_price_symbol(frame: &[u8]) -> Option<&[u8]> {
    let key: &[u8] = if memchr::memmem::find(frame, b"\"bookTicker\"").is_some() {
        b"\"s\":\""
    } else if memchr::memmem::find(frame, b"\"bbo-tbt\"").is_some()
        && memchr::memmem::find(frame, b"\"data\"").is_some()
    {
        b"\"instId\":\""
    } else {
        return None;
    };
    let rest = &frame[memchr::memmem::find(frame, key)? + key.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// The frame with another update number.
fn renumbered(frame: &[u8], id: u64) -> Vec<u8> {
    for key in [&b"\"seqId\":"[..], &b"\"u\":"[..]] {
        if let Some(at) = memchr::memmem::find(frame, key).map(|at| at + key.len()) {
            let digits = frame[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            return [&frame[..at], id.to_string().as_bytes(), &frame[at + digits..]].concat();
        }
    }
    frame.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_get_new_numbers_and_nothing_else() {
        let okx = br#"{"arg":{"channel":"bbo-tbt","instId":"A-B-SWAP"},"data":[{"ts":"7","seqId":12}]}"#;
        assert_eq!(best_price_symbol(okx), Some(&b"A-B-SWAP"[..]));
        assert_eq!(renumbered(okx, 345), String::from_utf8_lossy(okx).replace("12}", "345}").into_bytes());
        let binance = br#"{"e":"bookTicker","u":9,"s":"AB","b":"1","B":"2"}"#;
        assert_eq!(best_price_symbol(binance), Some(&b"AB"[..]));
        assert_eq!(
            renumbered(binance, 10),
            String::from_utf8_lossy(binance).replace(":9,", ":10,").into_bytes()
        );
        assert_eq!(best_price_symbol(br#"{"e":"depthUpdate","u":9,"s":"AB"}"#), None);
    }
}
