//! Decoding: the engine's decoders beside serde_json, sonic-rs and simd-json, which parse the same messages into
//! structs and convert them to the same exact integers.
//!
//! Rationale: an arbitrage engine reads hundreds of messages for each order that it sends, and the one that triggers
//! it stands in a queue with the others. A general parser costs 0.3 to 50 µs a message; a decoder that knows the
//! venue's schema is to cost a third of it for best prices, 1/2.5 for changes of depth, half for whole books, against
//! the *best* of the three on each message.
//!
//! Workload: our own messages in the documented forms of the venues, 128 different ones in turn (8 whole books), so
//! that neither prices nor lengths are learnt by heart. The contestants take turns batch by batch within one run, in
//! an order that rotates; what disturbs the machine disturbs all. Before anything is measured, every contestant must
//! have read the same out of every message. `orders` are read by the adapter, further than the libraries go.
//!
//!     cargo bench --bench decode                     the table; ends with 1 when a target is missed
//!     cargo bench --bench decode -- --json okx bbo   stable keys; cases whose name contains all words
//!     cargo bench --bench decode -- --rounds 10000   more batches (2000 unless told)

mod ours;
mod payloads;
mod peers;

use ours::Ours;
use payloads::{Case, Kind, cases};
use peers::{Library, Peer, SerdeJson, Simd, Sonic};
use perpring::domain::number::Num;
use perpring::domain::order::{ClientId, ReportKind, Side};
use perpring::venue::message::Message;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

/// An order as every contestant states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Our id.
    pub client_id: ClientId,
    /// The venue's id.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// What became of it.
    pub kind: ReportKind,
    /// Of it.
    pub filled: Num,
}

/// Bytes of a batch, about: a batch is long beside the clock's 30 ns, and short beside a time slice.
const BATCH_BYTES: usize = 16_384;
/// Batches that warm up.
const WARM: usize = 50;

const NAMES: [&str; 4] = ["perpring", SerdeJson::NAME, Sonic::NAME, Simd::NAME];

struct Contest {
    ours: Ours,
    serde_json: Peer<SerdeJson>,
    sonic: Peer<Sonic>,
    simd: Peer<Simd>,
}

impl Contest {
    fn market(&mut self, who: usize, case: &Case, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) {
        match who {
            0 => self.ours.market(frame, emit),
            1 => self.serde_json.market(case.venue, case.kind, frame, emit),
            2 => self.sonic.market(case.venue, case.kind, frame, emit),
            _ => self.simd.market(case.venue, case.kind, frame, emit),
        }
    }

    fn order(&mut self, who: usize, case: &Case, frame: &[u8], emit: &mut dyn FnMut(&Order)) {
        match who {
            0 => self.ours.order(frame, emit),
            1 => self.serde_json.order(case.venue, frame, emit),
            2 => self.sonic.order(case.venue, frame, emit),
            _ => self.simd.order(case.venue, frame, emit),
        }
    }

    fn read(&mut self, who: usize, case: &Case, frame: &[u8]) {
        if case.kind == Kind::Order {
            self.order(who, case, frame, &mut |order| {
                black_box(order);
            });
        } else {
            self.market(who, case, frame, &mut |message| {
                black_box(message);
            });
        }
    }

    /// What a contestant reads out of a frame, in words.
    fn said(&mut self, who: usize, case: &Case, frame: &[u8]) -> String {
        let mut said = String::new();
        if case.kind == Kind::Order {
            self.order(who, case, frame, &mut |order| said += &format!("{:?}", normal(order)));
        } else {
            self.market(who, case, frame, &mut |message| said += &text(message));
        }
        said
    }
}

fn normal(order: &Order) -> Order {
    Order { filled: order.filled.normalized(), ..*order }
}

/// A message with its numbers in one form, as scales differ where floats were rounded.
fn text(message: &Message<'_>) -> String {
    match message {
        Message::Depth(depth) => {
            let side = |levels: &[(Num, Num)]| {
                levels.iter().map(|(price, qty)| format!("{price}:{qty} ")).collect::<String>()
            };
            let (bids, asks) = (side(depth.bids), side(depth.asks));
            format!(
                "{:?}{bids}/{asks}",
                perpring::venue::message::Depth { bids: &[], asks: &[], ..depth.clone() }
            )
        }
        Message::Bbo { symbol, id, bid, ask, time_ms } => {
            format!("{symbol:?}{id} {}:{} {}:{} {time_ms}", bid.0, bid.1, ask.0, ask.1)
        }
        Message::Trade { channel, symbol, id, price, qty, aggressor, time_ms } => {
            format!("{channel}{symbol:?}{id} {price}:{qty} {aggressor:?} {time_ms}")
        }
        other => format!("{other:?}"),
    }
}

/// Nanoseconds a message: the median and the 99th percentile of the batches.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    p50: f64,
    p99: f64,
}

struct Row {
    case: Case,
    figures: [Figures; 4],
}

impl Row {
    fn name(&self) -> String {
        let other = if self.case.reordered { " reordered" } else { "" };
        format!("{} {}{other}", self.case.venue, self.case.kind.name())
    }

    fn bytes(&self) -> usize {
        self.case.frames.iter().map(Vec::len).sum::<usize>() / self.case.frames.len()
    }

    /// The best library, and how many times longer it takes.
    fn best(&self) -> (&'static str, f64) {
        let at = (1..4).min_by(|a, b| self.figures[*a].p50.total_cmp(&self.figures[*b].p50)).unwrap_or(1);
        (NAMES[at], self.figures[at].p50 / self.figures[0].p50)
    }

    /// Judged are the venues' own layouts; none = no target.
    fn passed(&self) -> Option<bool> {
        let target = self.case.kind.target().filter(|_| !self.case.reordered)?;
        Some(self.best().1 >= target)
    }
}

#[allow(clippy::disallowed_methods)] // a bench is what reads the clock
fn measure(case: Case, rounds: usize) -> Row {
    let mut contest = Contest {
        ours: Ours::new(case.venue),
        serde_json: Peer::default(),
        sonic: Peer::default(),
        simd: Peer::default(),
    };
    for frame in &case.frames {
        let expected = contest.said(1, &case, frame);
        assert!(!expected.is_empty());
        for who in [0, 2, 3] {
            let said = contest.said(who, &case, frame);
            assert_eq!(said, expected, "{} of {}", NAMES[who], frame.escape_ascii());
        }
    }
    let bytes = case.frames.iter().map(Vec::len).sum::<usize>() / case.frames.len();
    let batch = (BATCH_BYTES / bytes).clamp(1, 128);
    let mut taken: [Vec<f64>; 4] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds + WARM {
        for turn in 0..4 {
            let who = (round + turn) % 4;
            // Each contestant has met the frames equally often.
            let from = round * batch;
            let start = Instant::now();
            for i in 0..batch {
                contest.read(who, &case, black_box(&case.frames[(from + i) % case.frames.len()]));
            }
            let nanos = start.elapsed().as_nanos() as f64 / batch as f64;
            if round >= WARM {
                taken[who].push(nanos);
            }
        }
    }
    let figures = taken.map(|mut taken| {
        taken.sort_by(f64::total_cmp);
        let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
        // No 99th percentile without ten samples beyond it.
        Figures { p50: at(0.5), p99: if taken.len() < 1000 { f64::NAN } else { at(0.99) } }
    });
    Row { case, figures }
}

fn main() -> ExitCode {
    let (mut json, mut rounds, mut words) = (false, 2000, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = true,
            "--bench" => {}
            "--rounds" => {
                rounds = args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(rounds)
            }
            _ => words.push(arg),
        }
    }
    let chosen = cases().into_iter().filter(|case| {
        let name =
            format!("{} {} {}", case.venue, case.kind.name(), if case.reordered { "reordered" } else { "" });
        words.iter().all(|word| name.contains(word.as_str()))
    });
    let mut rows = Vec::new();
    if !json {
        println!("{}", heading());
    }
    for case in chosen {
        let row = measure(case, rounds);
        if !json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    let missed = rows.iter().filter(|row| row.passed() == Some(false)).count();
    if json {
        println!("{}", to_json(&rows, rounds));
    } else {
        println!(
            "\nmedian ns a message (p99 of batches); ×: best library ÷ perpring; {missed} of {} targets missed",
            rows.iter().filter(|row| row.passed().is_some()).count()
        );
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn heading() -> String {
    let mut out = format!("{:<30}{:>7}", "message", "bytes");
    for name in NAMES {
        let _ = write!(out, "{name:>20}");
    }
    out + "        ×  target"
}

fn line(row: &Row) -> String {
    let mut out = format!("{:<30}{:>7}", row.name(), row.bytes());
    for figures in row.figures {
        let _ = write!(out, "{:>20}", format!("{:.0} ({:.0})", figures.p50, figures.p99));
    }
    let _ = write!(out, "{:>9.2}", row.best().1);
    match (row.case.kind.target(), row.passed()) {
        (Some(target), Some(passed)) => {
            let _ = write!(out, "  {target:.1} {}", if passed { "met" } else { "MISSED" });
        }
        _ => out.push_str("  -"),
    }
    out
}

fn to_json(rows: &[Row], rounds: usize) -> String {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let figures: serde_json::Map<String, serde_json::Value> = NAMES
                .iter()
                .zip(row.figures)
                .map(|(name, f)| {
                    ((*name).to_owned(), serde_json::json!({ "p50_ns": f.p50, "p99_ns": f.p99 }))
                })
                .collect();
            let (best, ratio) = row.best();
            serde_json::json!({
                "venue": row.case.venue,
                "kind": row.case.kind.name(),
                "reordered": row.case.reordered,
                "bytes": row.bytes(),
                "levels": row.case.levels,
                "contestants": figures,
                "best_library": best,
                "ratio": ratio,
                "target": row.case.kind.target(),
                "passed": row.passed(),
            })
        })
        .collect();
    serde_json::json!({ "bench": "decode", "rounds": rounds, "rows": rows }).to_string()
}
