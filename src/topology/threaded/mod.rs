//! The engine on several threads: a stage (or a few) on each, rings between them.
//!
//! The same wiring serves live runs and replays: a replay feeds decode from a journal instead of a gateway,
//! and puts a comparer where the recorder is. Ends in flow order: decode says `Shutdown` behind its last
//! input, every stage passes it on, and record has everything once it has heard it from all of them.
#![allow(clippy::disallowed_methods)] // the time limit of shutting down

pub mod decode;
pub mod gateway;
pub mod hops;
pub mod pure;
pub mod record;

use self::decode::{DecodeAgent, Live, Source};
use self::gateway::GatewayAgent;
use self::hops::Hop;
use self::pure::{RiskAgent, RouteAgent, ScanAgent};
use self::record::{Chores, RecordAgent};
use super::live::{Metronome, STALL_NS};
use super::opening::Opening;
use super::probe::Pool;
use crate::domain::input::Command;
use crate::domain::output::Stage;
use crate::ops::latency::{Latency, Path};
use crate::ops::view::Board;
use crate::replay::source::Inputs;
use crate::ring::fan::fan;
use crate::ring::slab::{SlabCounts, slab};
use crate::ring::spsc::channel;
use crate::runtime::agent::{Agent, AgentExit, AgentHandle, AgentThread, StopFlag};
use crate::runtime::clock::ClockOrigin;
use crate::runtime::profile::{Plan, StageName};
use crate::stage::gateway::Gateway;
use crate::stage::river::{Ordinals, Parts, Tap};
use crate::stage::route::CREDIT_MAX;
use crate::telemetry::stall::StallTracker;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Events between decode and its two readers.
const FAN_CAPACITY: usize = 1 << 15;
/// Items between the pure stages, and from them to record.
const FLOW_CAPACITY: usize = 1 << 11;
/// Messages to the gateway, each ring, and to record.
const MESSAGE_CAPACITY: usize = 1 << 8;
/// Arrivals of market data.
const MARKET_CAPACITY: usize = 1 << 12;
/// Arrivals of private data, outcomes included.
const PRIVATE_CAPACITY: usize = 1 << 11;
/// Frame memory: 31 MiB; more small slots than the rings hold frames, so that a backlog of market data
/// never takes the slots of private frames.
const SLAB: SlabCounts = SlabCounts { small: 6_400, medium: 256, large: 20 };
/// Large bodies between decode and record.
const BODIES_CAPACITY: usize = 1 << 8;
/// Events of one input that found no room: what the largest input makes.
const BACKLOG_CAPACITY: usize = 1 << 14;
/// How long the stages may take to finish what is in the rings.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

const _: () = assert!(SLAB.small > MARKET_CAPACITY + PRIVATE_CAPACITY);
// The private ring must hold the outcomes of every message on credit beside what was read.
const _: () = assert!(PRIVATE_CAPACITY > 2 * CREDIT_MAX as usize);
const _: () = assert!(FLOW_CAPACITY > 2 * pure::ROOM);

/// Where the inputs come from.
#[allow(clippy::large_enum_variant)] // there is one
pub enum Feed {
    /// Sockets, time and people.
    Live {
        /// Sockets and egress gate.
        gateway: Gateway,
        /// Commands to be sequenced, and their sending end for the recorder's lag.
        commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
        /// What is recorded first.
        opening: Opening,
    },
    /// A recorded run.
    Journal(Inputs),
}

/// Sizes of the rings that a test may want tiny.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Events between decode and its two readers; a power of two.
    pub fan: usize,
    /// Items between the pure stages, and from them to record.
    pub flow: usize,
    /// Messages to the gateway, each ring, and to record.
    pub message: usize,
    /// Large bodies between decode and record.
    pub bodies: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { fan: FAN_CAPACITY, flow: FLOW_CAPACITY, message: MESSAGE_CAPACITY, bodies: BODIES_CAPACITY }
    }
}

type Stages = Vec<Box<dyn Agent + Send>>;

/// A running engine.
pub struct Threaded<T> {
    upstream: Vec<AgentHandle<Stages>>,
    downstream: Vec<AgentHandle<Stages>>,
    up: StopFlag,
    down: StopFlag,
    finished: Arc<AtomicBool>,
    pool: Pool,
    done: Arc<Mutex<Option<T>>>,
}

/// What a run on threads leaves behind.
pub struct Ended<T> {
    /// The tap; `None` when record could not finish.
    pub tap: Option<T>,
    /// All latencies.
    pub latency: Latency,
    /// How each thread ended, and where it ran.
    pub exits: Vec<AgentExit>,
    /// The first failure.
    pub failure: Option<String>,
}

/// Puts the stages of `parts` on the threads of `plan`.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start<T: Tap + Chores + Send + 'static>(
    plan: &Plan,
    parts: Parts,
    feed: Feed,
    tap: T,
    origin: ClockOrigin,
    board: &Board,
) -> io::Result<Threaded<T>> {
    start_sized(plan, parts, feed, tap, origin, board, Sizes::default())
}

/// Like [`start`], with rings of other sizes.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start_sized<T: Tap + Chores + Send + 'static>(
    plan: &Plan,
    parts: Parts,
    feed: Feed,
    tap: T,
    origin: ClockOrigin,
    board: &Board,
    sizes: Sizes,
) -> io::Result<Threaded<T>> {
    let (up, down) = (StopFlag::new(), StopFlag::new());
    let finished = Arc::new(AtomicBool::new(false));
    let pool = Pool::new();
    let done = Arc::new(Mutex::new(None));
    let (publisher, scan_events, record_events) = fan("decode→scan,record", sizes.fan, Hop::Empty);
    let (scan_flows, risk_input) = channel("scan→risk", sizes.flow);
    let (risk_flows, route_input) = channel("risk→route", sizes.flow);
    let (scan_notes, scan_noted) = channel("scan→record", sizes.flow);
    let (risk_notes, risk_noted) = channel("risk→record", sizes.flow);
    let (route_sent, record_sent) = channel("route→record", sizes.message);
    let (bodies, record_bodies) = channel("decode→record bodies", sizes.bodies);
    let gateway_closed = Arc::new(AtomicBool::new(false));
    let Parts { conns, decode, scan, risk, route } = parts;
    let mut agents: BTreeMap<StageName, Box<dyn Agent + Send>> = BTreeMap::new();

    let (source, messages, risk_denials, route_denials, returner, lag_commands) = match feed {
        Feed::Journal(inputs) => (Source::Journal(inputs), None, None, None, None, None),
        Feed::Live { gateway, commands: (command_sender, commands), opening } => {
            let mut clock = origin.clock();
            let (now, anchor) = (clock.mono_ns(), clock.wall_offset_ns());
            let (writer, reader, returner) = slab(SLAB, false);
            let (urgent_sender, urgent) = channel("route→gateway urgent", sizes.message);
            let (normal_sender, normal) = channel("route→gateway", sizes.message);
            let (private_sender, private) = channel("gateway→decode private", PRIVATE_CAPACITY);
            let (market_sender, market) = channel("gateway→decode market", MARKET_CAPACITY);
            let (risk_denials, risk_denied) = channel("risk→decode denials", FLOW_CAPACITY);
            let (route_denials, route_denied) = channel("route→decode denials", FLOW_CAPACITY);
            let agent = GatewayAgent {
                gateway,
                conns: conns.clone(),
                clock: origin.clock(),
                idle: plan.idle,
                stop: up.clone(),
                urgent,
                normal,
                private: private_sender,
                market: market_sender,
                slab: writer,
                board: board.clone(),
                bytes: Vec::new(),
                probe: pool.probe(&[Path::TickToOrder, Path::WireToWire]),
                last_order: None,
                waiting_private: None,
                waiting_market: std::collections::VecDeque::new(),
                market_bytes: Vec::new(),
                market_waits: false,
                stalls: 0,
                turns: StallTracker::new(STALL_NS),
                rested: false,
                noted: now,
                closed: Arc::clone(&gateway_closed),
            };
            agents.insert(StageName::Gateway, Box::new(agent));
            let live = Live {
                private,
                market,
                denials: [risk_denied, route_denied],
                metronome: Metronome::new(commands, anchor, now),
                slab: reader,
                opening: (opening, anchor),
            };
            (
                Source::Live(live),
                Some([urgent_sender, normal_sender]),
                Some(risk_denials),
                Some(route_denials),
                Some(returner),
                Some(command_sender),
            )
        }
    };
    agents.insert(
        StageName::Decode,
        Box::new(DecodeAgent {
            decode,
            conns,
            source,
            publisher,
            bodies,
            clock: origin.clock(),
            stop: up.clone(),
            probe: pool.probe(&[Path::Stage(Stage::Decode)]),
            board: board.clone(),
            published: 0,
            ended: false,
            backlog: std::collections::VecDeque::with_capacity(BACKLOG_CAPACITY),
        }),
    );
    agents.insert(
        StageName::Scan,
        Box::new(ScanAgent {
            scan,
            events: scan_events,
            flows: scan_flows,
            notes: scan_notes,
            stop: down.clone(),
            keys: Ordinals::new(Stage::Scan),
            clock: origin.clock(),
            probe: pool.probe(&[Path::MarketData, Path::Stage(Stage::Scan)]),
            board: board.clone(),
            spent: 0,
            published: 0,
        }),
    );
    agents.insert(
        StageName::Risk,
        Box::new(RiskAgent {
            risk,
            input: risk_input,
            flows: risk_flows,
            notes: risk_notes,
            denials: risk_denials,
            stop: down.clone(),
            keys: Ordinals::new(Stage::Risk),
            clock: origin.clock(),
            probe: pool.probe(&[Path::Stage(Stage::Risk)]),
            board: board.clone(),
            published: 0,
        }),
    );
    agents.insert(
        StageName::Route,
        Box::new(RouteAgent {
            route,
            input: route_input,
            messages,
            gateway_closed,
            sent: route_sent,
            denials: route_denials,
            stop: down.clone(),
            keys: Ordinals::new(Stage::Route),
            clock: origin.clock(),
            probe: pool.probe(&[Path::Stage(Stage::Route)]),
        }),
    );
    agents.insert(
        StageName::Record,
        Box::new(RecordAgent {
            tap: Some(tap),
            events: record_events,
            bodies: record_bodies,
            slab: returner,
            notes: [scan_noted, risk_noted],
            sent: record_sent,
            ended: 0,
            finished: Arc::clone(&finished),
            done: Arc::clone(&done),
            commands: lag_commands,
            lag: 0,
            lag_max: 0,
            clock: origin.clock(),
            board: board.clone(),
            published: 0,
            probe: pool.probe(&[Path::EndToEndTrade]),
        }),
    );

    let mut threaded =
        Threaded { upstream: Vec::new(), downstream: Vec::new(), up, down, finished, pool, done };
    for planned in &plan.threads {
        let stages: Stages = planned.stages.iter().filter_map(|stage| agents.remove(stage)).collect();
        if stages.is_empty() {
            continue; // the gateway of a replay
        }
        let upstream =
            planned.stages.contains(&StageName::Decode) || planned.stages.contains(&StageName::Gateway);
        let thread = AgentThread { name: planned.name.clone(), cpu: planned.cpu, idle: plan.idle };
        let flag = if upstream { &threaded.up } else { &threaded.down };
        let handle = AgentHandle::spawn(thread, flag.clone(), move || stages)?;
        if upstream { threaded.upstream.push(handle) } else { threaded.downstream.push(handle) }
    }
    Ok(threaded)
}

impl<T> Threaded<T> {
    /// Whether everything that was fed has been recorded or compared (a journal has ended).
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// The first failure of any thread; the run should be ended then.
    pub fn failure(&self) -> Option<String> {
        self.up.failure().or_else(|| self.down.failure())
    }

    /// Where the latencies come together.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Ends the run in flow order and gives back what it leaves.
    pub fn end(self) -> Ended<T> {
        let mut exits = Vec::new();
        self.up.stop();
        for handle in self.upstream {
            exits.push(handle.join().1);
        }
        let begun = std::time::Instant::now();
        while !self.finished.load(Ordering::Acquire)
            && self.down.failure().is_none()
            && begun.elapsed() < DRAIN_LIMIT
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.down.stop();
        for handle in self.downstream {
            exits.push(handle.join().1);
        }
        let failure = self.up.failure().or_else(|| self.down.failure());
        let tap = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ended { tap, latency: self.pool.sum(), exits, failure }
    }
}
