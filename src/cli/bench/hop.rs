//! `perpring bench hop`: what it costs to hand a message from one thread to another.
//!
//! Workload: two threads, each spinning on a core of its own, send one 56-byte message to and fro (what
//! shares a cache line with its stamp in our ring; larger values add their lines); half of each round trip
//! is a sample of one way. The floor is the same with one bare atomic number a direction, which is what the
//! hardware needs to move a cache line. All kinds take turns in short rounds of one run, so that a noisy
//! host hits them alike. A sample contains half a clock reading (about 5 ns), the floor's too. Then, as
//! throughput, one thread sends to the other as fast as it can; a bare atomic holds one message, so its
//! throughput is that of the ping-pong.

use crate::cli::{CliError, Failure};
use crate::ring::{Full, Receiver, Sender, channel};
use crate::runtime::affinity::{AllowedCpus, PinReport, pin_current_thread};
use crate::runtime::clock::{Clock, ClockOrigin};
use crate::telemetry::histogram::{Percentiles, Samples};
use clap::Args;
use serde::Serialize;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

/// Arguments of `bench hop`.
#[derive(Args, Debug)]
pub struct HopArgs {
    /// Seconds in all.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What travels: the first number counts, the rest is payload.
type Message = [u64; 7];
/// Ends a round.
const STOP: u64 = u64::MAX;
/// Capacity of every ring and channel, messages.
const CAPACITY: usize = 1024;
/// Length of one ping-pong of one kind, and of one stream of messages, ns.
const ROUND_NS: i64 = 40_000_000;
/// Round trips before the first sample.
const WARM_UP: u64 = 2_000;
/// Our hop may take this many times the floor's median.
const RATIO_MAX: f64 = 1.3;

/// The report; its keys are stable.
#[derive(Debug, Serialize)]
pub struct HopReport {
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Cores of the two threads, as read back; empty = not pinned.
    pub cpus: Vec<usize>,
    /// False: there are too few cores to spin, the threads yield, and the figures are those of the scheduler.
    pub spinning: bool,
    /// One way of a bare atomic number.
    pub floor_ns: Figures,
    /// One way of our hop.
    pub hop_ns: Figures,
    /// One way of a bounded `crossbeam-channel`.
    pub crossbeam_ns: Figures,
    /// One way of a `std::sync::mpsc::sync_channel`.
    pub std_ns: Figures,
    /// What should hold.
    pub targets: Vec<Target>,
}

/// One kind's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// One way, ns.
    #[serde(flatten)]
    pub one_way: Percentiles,
    /// Throughput.
    pub messages_per_s: u64,
}

/// A target and whether it is met; judged only when the threads spin.
#[derive(Debug, Serialize)]
pub struct Target {
    /// What is compared.
    pub name: &'static str,
    /// The limit of the ratio.
    pub limit: f64,
    /// The ratio; absent without enough samples.
    pub ratio: Option<f64>,
    /// Whether it is met; absent when it cannot be judged.
    pub pass: Option<bool>,
}

/// Runs the command.
///
/// # Errors
/// When a thread cannot be started.
pub fn run(args: &HopArgs) -> Result<u8, Failure> {
    let report = measure(args.seconds, &AllowedCpus::capture());
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report)?;
    }
    Ok(0)
}

fn print(report: &HopReport) -> Result<(), CliError> {
    let how =
        if report.spinning { "spinning" } else { "YIELDING: too few cores, figures are the scheduler's" };
    say!("one way of {} bytes between cores {:?}, {how}", report.message_bytes, report.cpus)?;
    say!(
        "{:>10} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "ns",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "M msg/s"
    )?;
    let kinds = [
        ("floor", &report.floor_ns),
        ("hop", &report.hop_ns),
        ("crossbeam", &report.crossbeam_ns),
        ("std", &report.std_ns),
    ];
    for (name, figures) in kinds {
        let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let Percentiles { p50, p90, p99, p999, max, .. } = figures.one_way;
        let millions = figures.messages_per_s as f64 / 1e6;
        say!(
            "{name:>10} {:>8} {:>8} {:>8} {:>8} {:>10} {millions:>10.1}",
            text(p50),
            text(p90),
            text(p99),
            text(p999),
            text(max)
        )?;
    }
    for target in &report.targets {
        if let Some(ratio) = target.ratio {
            let verdict = match target.pass {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not judged",
            };
            say!("{}: {ratio:.2} (limit {:.2}): {verdict}", target.name, target.limit)?;
        }
    }
    Ok(())
}

/// Measures for about `seconds` on two of the allowed cores.
pub fn measure(seconds: u64, allowed: &AllowedCpus) -> HopReport {
    let cpus = match allowed.as_slice() {
        [.., near, far] => Some((*near, *far)),
        _ => None,
    };
    let bench = Bench { origin: ClockOrigin::begin(), cpus };
    let mut kinds: [Collected; 4] = std::array::from_fn(|_| Collected::default());
    let mut clock = bench.origin.clock();
    let end = clock.mono_ns() + i64::try_from(seconds.clamp(1, 3_600)).unwrap_or(1) * 1_000_000_000;
    while clock.mono_ns() < end {
        let [floor, hop, crossbeam, std] = &mut kinds;
        bench.ping_pong(atomics(), floor);
        bench.ping_pong(hops(), hop);
        bench.ping_pong(crossbeams(), crossbeam);
        bench.ping_pong(stds(), std);
        bench.stream(hops(), hop);
        bench.stream(crossbeams(), crossbeam);
        bench.stream(stds(), std);
    }
    let spinning = cpus.is_some();
    let pinned = kinds[0].pinned.clone();
    let [floor_ns, hop_ns, crossbeam_ns, std_ns] = kinds.map(|kind| kind.figures());
    let targets = vec![target("hop p50 / floor p50", &hop_ns, &floor_ns, spinning)];
    HopReport {
        message_bytes: size_of::<Message>(),
        cpus: pinned,
        spinning,
        floor_ns,
        hop_ns,
        crossbeam_ns,
        std_ns,
        targets,
    }
}

fn target(name: &'static str, figures: &Figures, floor: &Figures, judge: bool) -> Target {
    let ratio =
        figures.one_way.p50.zip(floor.one_way.p50).map(|(ours, floor)| ours as f64 / floor.max(1) as f64);
    Target { name, limit: RATIO_MAX, ratio, pass: ratio.filter(|_| judge).map(|ratio| ratio <= RATIO_MAX) }
}

/// What the rounds of one kind have brought.
#[derive(Default)]
struct Collected {
    samples: Samples,
    ping_pong_ns: i64,
    streamed: u64,
    stream_ns: i64,
    pinned: Vec<usize>,
}

impl Collected {
    fn figures(&self) -> Figures {
        let (messages, ns) = match self.stream_ns {
            0 => (2 * self.samples.count(), self.ping_pong_ns),
            ns => (self.streamed, ns),
        };
        let messages_per_s = u128::from(messages) * 1_000_000_000 / ns.max(1) as u128;
        Figures { one_way: self.samples.percentiles(), messages_per_s: messages_per_s as u64 }
    }
}

/// One end of a connection in both directions. Neither call waits.
trait Link: Send + 'static {
    /// Sends; false = no room now.
    fn send(&mut self, message: &Message) -> bool;
    /// The next message, if one is there.
    fn receive(&mut self) -> Option<Message>;
}

struct Bench {
    origin: ClockOrigin,
    /// Cores of the two threads; `None` = there are not two, so yield.
    cpus: Option<(usize, usize)>,
}

impl Bench {
    #[inline]
    fn relax(&self) {
        if self.cpus.is_some() { spin_loop() } else { thread::yield_now() }
    }

    fn send(&self, link: &mut impl Link, message: &Message) {
        while !link.send(message) {
            self.relax();
        }
    }

    fn receive(&self, link: &mut impl Link) -> Message {
        loop {
            match link.receive() {
                Some(message) => return message,
                None => self.relax(),
            }
        }
    }

    /// Runs `near` and `far` on the two cores; returns what `near` gives and where they ran.
    fn pair<R: Send>(
        &self,
        near: impl FnOnce(Clock) -> R + Send,
        far: impl FnOnce() + Send,
    ) -> (R, Vec<usize>) {
        let (near_cpu, far_cpu) = (self.cpus.map(|cpus| cpus.0), self.cpus.map(|cpus| cpus.1));
        let core = |report: PinReport| if report.as_wanted() { report.wanted } else { None };
        thread::scope(|scope| {
            let far = scope.spawn(move || {
                let pinned = core(pin_current_thread(far_cpu));
                far();
                pinned
            });
            let near = scope.spawn(move || {
                let pinned = core(pin_current_thread(near_cpu));
                (near(self.origin.clock()), pinned)
            });
            // The threads end when their closures do; a panic in one is ours.
            let (result, near_core) = near.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let far_core = far.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (result, near_core.into_iter().chain(far_core).collect())
        })
    }

    /// One round of to and fro.
    fn ping_pong<L: Link>(&self, (mut near, mut far): (L, L), into: &mut Collected) {
        let ping = |mut clock: Clock| {
            let samples = &mut into.samples;
            let mut begun = 0;
            let mut last = 0;
            for number in 1.. {
                self.send(&mut near, &[number; 7]);
                let back = self.receive(&mut near);
                debug_assert_eq!(back[0], number);
                let now = clock.mono_ns();
                if number == WARM_UP {
                    begun = now;
                } else if number > WARM_UP {
                    samples.record((now - last + 1) / 2);
                    if now - begun > ROUND_NS {
                        break;
                    }
                }
                last = now;
            }
            self.send(&mut near, &[STOP; 7]);
            last - begun
        };
        let pong = || {
            loop {
                let message = self.receive(&mut far);
                if message[0] == STOP {
                    return;
                }
                self.send(&mut far, &message);
            }
        };
        let (elapsed, pinned) = self.pair(ping, pong);
        into.ping_pong_ns += elapsed;
        into.pinned = pinned;
    }

    /// One round in one direction, as fast as it goes.
    fn stream<L: Link>(&self, (mut near, mut far): (L, L), into: &mut Collected) {
        let sender = |mut clock: Clock| {
            let begun = clock.mono_ns();
            let mut sent = 0u64;
            let mut now = begun;
            while now - begun < ROUND_NS {
                for _ in 0..1_000 {
                    sent += 1;
                    self.send(&mut near, &[sent; 7]);
                }
                now = clock.mono_ns();
            }
            self.send(&mut near, &[STOP; 7]);
            let done = self.receive(&mut near); // the receiver has them all
            debug_assert_eq!(done[0], sent);
            (sent, clock.mono_ns() - begun)
        };
        let receiver = || {
            let mut received = 0;
            while self.receive(&mut far)[0] != STOP {
                received += 1;
            }
            self.send(&mut far, &[received; 7]);
        };
        let ((sent, elapsed), _) = self.pair(sender, receiver);
        into.streamed += sent;
        into.stream_ns += elapsed;
    }
}

/// A number on two cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

struct AtomicLink {
    out: Arc<Cell>,
    back: Arc<Cell>,
    seen: u64,
}

impl Link for AtomicLink {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.out.0.store(message[0], Ordering::Release);
        true
    }

    #[inline]
    fn receive(&mut self) -> Option<Message> {
        let number = self.back.0.load(Ordering::Acquire);
        if number == self.seen {
            return None;
        }
        self.seen = number;
        Some([number; 7])
    }
}

fn atomics() -> (AtomicLink, AtomicLink) {
    let (there, back) = (Arc::new(Cell::default()), Arc::new(Cell::default()));
    let near = AtomicLink { out: Arc::clone(&there), back: Arc::clone(&back), seen: 0 };
    (near, AtomicLink { out: back, back: there, seen: 0 })
}

struct HopLink(Sender<Message>, Receiver<Message>);

impl Link for HopLink {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        !matches!(self.0.try_push(*message), Err(Full(_)))
    }

    #[inline]
    fn receive(&mut self) -> Option<Message> {
        self.1.pop()
    }
}

fn hops() -> (HopLink, HopLink) {
    let (to_far, from_near) = channel("bench →", CAPACITY);
    let (to_near, from_far) = channel("bench ←", CAPACITY);
    (HopLink(to_far, from_far), HopLink(to_near, from_near))
}

struct CrossbeamLink(crossbeam_channel::Sender<Message>, crossbeam_channel::Receiver<Message>);

impl Link for CrossbeamLink {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.0.try_send(*message).is_ok()
    }

    #[inline]
    fn receive(&mut self) -> Option<Message> {
        self.1.try_recv().ok()
    }
}

fn crossbeams() -> (CrossbeamLink, CrossbeamLink) {
    let (to_far, from_near) = crossbeam_channel::bounded(CAPACITY);
    let (to_near, from_far) = crossbeam_channel::bounded(CAPACITY);
    (CrossbeamLink(to_far, from_far), CrossbeamLink(to_near, from_near))
}

struct StdLink(mpsc::SyncSender<Message>, mpsc::Receiver<Message>);

impl Link for StdLink {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.0.try_send(*message).is_ok()
    }

    #[inline]
    fn receive(&mut self) -> Option<Message> {
        self.1.try_recv().ok()
    }
}

fn stds() -> (StdLink, StdLink) {
    let (to_far, from_near) = mpsc::sync_channel(CAPACITY);
    let (to_near, from_far) = mpsc::sync_channel(CAPACITY);
    (StdLink(to_far, from_far), StdLink(to_near, from_near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_measured_and_a_single_core_is_marked() {
        let report = measure(1, &AllowedCpus::from_list(vec![0]));
        assert!(!report.spinning && report.cpus.is_empty());
        for figures in [&report.floor_ns, &report.hop_ns, &report.crossbeam_ns, &report.std_ns] {
            assert!(figures.one_way.count > 0 && figures.messages_per_s > 0);
        }
        assert_eq!(report.targets[0].pass, None, "yielding threads are not judged");
        let json = serde_json::to_value(&report).unwrap();
        for key in ["floor_ns", "hop_ns", "crossbeam_ns", "std_ns"] {
            for inner in ["p50", "p90", "p99", "p999", "max", "count", "messages_per_s"] {
                assert!(json[key].get(inner).is_some(), "{key}.{inner}");
            }
        }
    }
}
