//! Launching: from a configuration to a running engine on the threads of a plan, and to its end.
//!
//! Shared by the demo, by `run` and by the benches; knows no venue and no command line.
#![allow(clippy::disallowed_methods)] // the wall time in a journal's manifest; inputs are stamped by runtime::clock

use super::fused::Fused;
use super::keeper::Keeper;
use super::kill::Killers;
use super::live::FusedAgent;
use super::observer::{Observer, ObserverFiles};
use super::opening::Opening;
use super::probe::Pool;
use super::threaded::{self, Feed, Threaded};
use crate::domain::carry::Carry;
use crate::domain::codec::SCHEMA_VERSION;
use crate::domain::input::{Command, Scope};
use crate::domain::instrument::VenueId;
use crate::domain::time::{MILLI, Nanos};
use crate::journal::{
    Anchor, Clocks, EPOCH_FILE, Hash256, Host, JournalError, JournalOptions, Manifest, RunId, SyncPolicy,
    latest_run, program_hash,
};
use crate::net::http::HttpClient;
use crate::net::tls::{Trust, TrustError};
use crate::ops::latency::{ALL, Latency};
use crate::ops::view::{Board, Names};
use crate::replay::floor::SnapshotFloor;
use crate::replay::source::RunConfig;
use crate::runtime::agent::{AgentExit, AgentHandle, AgentThread, StopFlag};
use crate::runtime::clock::{ClockOrigin, CounterKind};
use crate::runtime::profile::{Layout, Plan};
use crate::stage::decode::UnknownDialect;
use crate::stage::egress::{AheadGate, Credentials, KillLatch, Vault, WriteAhead};
use crate::stage::errand::Errands;
use crate::stage::gateway::{Addresses, Gateway, Orders};
use crate::stage::record::Recorder;
use crate::stage::river::{Parts, River};
use crate::telemetry::TelemetryError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use crate::stage::LOGIC_VERSION;

/// Longest time for an HTTP request.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that a live engine is made of.
pub struct Launch {
    /// Parameters, recorded as the first input.
    pub config: RunConfig,
    /// What the run before left, recorded before the start; `None` where no run continues another.
    pub carry: Option<Carry>,
    /// Where the venues are.
    pub addresses: Addresses,
    /// Credentials by venue.
    pub credentials: Vec<Option<Credentials>>,
    /// Whom to trust over TLS.
    pub trust: Trust,
    /// Threads.
    pub plan: Plan,
    /// Where to record; `None` = nowhere.
    pub journal: Option<(PathBuf, JournalOptions)>,
    /// Remarks for the manifest.
    pub notes: BTreeMap<String, String>,
    /// What becomes of orders.
    pub orders: Orders,
    /// Keep the way of orders warm in idle rounds (profile `fused`, unless its thread sleeps).
    pub rehearse: bool,
    /// What must be recorded of an opening order before it leaves.
    pub write_ahead: WriteAhead,
}

/// Why an engine could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The journal cannot be created.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A dialect that this build does not have.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
    /// The telemetry files cannot be created.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// TLS.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A demand that the profile or the lack of a journal cannot meet.
    #[error("{0}")]
    WriteAhead(&'static str),
    /// The system refused a thread, a poll or a timer.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
}

enum Threads {
    Fused(Box<AgentHandle<FusedAgent>>, StopFlag),
    Threaded(Box<Threaded<Keeper>>),
}

/// A running engine.
pub struct Running {
    threads: Threads,
    commands: mpsc::Sender<Command>,
    latch: Arc<KillLatch>,
    /// Absent where no order reaches a venue.
    killers: Option<Killers>,
    board: Board,
    pool: Pool,
    observer: Observer,
}

/// What a run leaves behind.
pub struct Finished {
    /// Recorder and counts; `None` when the recording thread died.
    pub keeper: Option<Keeper>,
    /// Latencies.
    pub latency: Latency,
    /// How each thread ended.
    pub exits: Vec<AgentExit>,
    /// The first failure.
    pub failure: Option<String>,
}

/// Builds the manifest of a run that begins now.
pub fn manifest(config_bytes: &[u8], created_wall_ns: i64, notes: BTreeMap<String, String>) -> Manifest {
    let host = Host::detect();
    // Unique enough to tell runs apart: time, process and configuration.
    let salt = Hash256::of(format!("{created_wall_ns} {} {host:?}", std::process::id()).as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&salt.0[..16]);
    Manifest {
        run_id: RunId(u128::from_le_bytes(id)),
        parent_id: None,
        logic_version: LOGIC_VERSION,
        schema_hash: u64::from(SCHEMA_VERSION),
        created_wall_ns,
        configuration_hash: Hash256::of(config_bytes).to_string(),
        host,
        notes,
        ..Manifest::default()
    }
}

/// The manifest of a live engine: with what only it knows or takes the time to find out.
fn about(launch: &Launch, dir: &Path, config_bytes: &[u8], wall: i64, origin: ClockOrigin) -> Manifest {
    let params = &launch.config.params;
    let metadata = serde_json::to_vec(&(&params.canonicals, &params.listings)).ok();
    let (ticks, mono_ns, wall_ns) = origin.anchor();
    let counter = match origin.counter() {
        CounterKind::Tsc => "tsc",
        CounterKind::Monotonic => "monotonic",
    };
    // Runs of one configuration stand side by side, with the epoch that they share.
    let beside = dir.parent().filter(|parent| parent.join(EPOCH_FILE).exists());
    Manifest {
        parent_id: launch.carry.as_ref().and_then(parent).or_else(|| beside.and_then(latest_run)),
        binary_hash: program_hash(),
        metadata_hash: metadata.map(|bytes| Hash256::of(&bytes)),
        clocks: Some(Clocks { ticks, mono_ns, wall_ns, counter: counter.to_owned() }),
        ..manifest(config_bytes, wall, launch.notes.clone())
    }
}

/// The run that is taken over.
fn parent(carry: &Carry) -> Option<RunId> {
    u128::from_str_radix(&carry.run, 16).ok().map(RunId)
}

/// Longest age of an opening order's cause at which it still waits for its record, ns.
const WRITE_AHEAD_WAIT_MAX: Nanos = 100 * MILLI;

/// Whether a write-ahead mode can be kept by a layout with (or without) a journal.
///
/// # Errors
/// A sentence that says what to change.
pub fn check_write_ahead(mode: WriteAhead, layout: Layout, has_journal: bool) -> Result<(), LaunchError> {
    match mode {
        WriteAhead::Off => Ok(()),
        _ if !has_journal => Err(LaunchError::WriteAhead(
            "write-ahead needs a journal: set journal_dir, or write_ahead = \"off\"",
        )),
        WriteAhead::Synced if layout == Layout::Fused => Err(LaunchError::WriteAhead(
            "write-ahead `synced` needs a thread for the recorder, because waiting for the disk would hold up \
             the market: use pinning = \"split\" or \"dedicated\", or write_ahead = \"written\"",
        )),
        _ => Ok(()),
    }
}

/// Launches an engine.
///
/// # Errors
/// [`LaunchError`]; nothing is left running then.
pub fn launch(launch: Launch, board: &Board) -> Result<Running, LaunchError> {
    let system = |what| move |source| LaunchError::System { what, source };
    check_write_ahead(launch.write_ahead, launch.plan.layout, launch.journal.is_some())?;
    let config_bytes = launch.config.to_bytes();
    let parts = Parts::new(&launch.config.params, launch.config.trading)?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    let origin = ClockOrigin::begin();
    let recorder = match &launch.journal {
        Some((dir, options)) => {
            let mut options = options.clone();
            if launch.write_ahead == WriteAhead::Synced {
                options.sync = SyncPolicy::Sync;
            }
            let about = about(&launch, dir, &config_bytes, wall, origin);
            if let Some(clocks) = &about.clocks {
                options.anchor = Anchor { tsc: clocks.ticks, wall_ns: clocks.wall_ns };
            }
            Some(Recorder::create_on(dir, &about, &options, Some(Box::new(SnapshotFloor)))?)
        }
        None => None,
    };
    let dir = launch.journal.as_ref().map(|(dir, _)| dir.as_path());
    let keep = recorder.as_ref().and_then(Recorder::housekeeping);
    let observer = ObserverFiles::create(dir, wall)?.with_housekeeping(keep);
    // Nobody holds the board yet.
    board.read().names = Arc::new(Names::of(&launch.config.params));
    let latch = Arc::new(KillLatch::default());
    if let Some(Carry { standing, .. }) = &launch.carry {
        if standing.halted.is_some() {
            latch.hold();
        }
        for (venue, killed) in (0..).map(VenueId).zip(standing.venues_killed) {
            if killed {
                latch.kill_venue(venue);
            }
        }
    }
    let opening = Opening::new(config_bytes).after(launch.carry.as_ref());
    let (commands, received) = mpsc::channel();
    let ahead = recorder
        .as_ref()
        .filter(|_| launch.write_ahead != WriteAhead::Off)
        .map(|recorder| AheadGate::new(launch.write_ahead, recorder.progress(), WRITE_AHEAD_WAIT_MAX));
    let is_ahead = ahead.is_some();
    let keeper = Keeper::new(recorder).with_alarm(Arc::clone(&latch), commands.clone());
    let killers = match launch.orders {
        Orders::Live => Some(
            Killers::start(
                &launch.config.params,
                &launch.addresses,
                &launch.credentials,
                &launch.trust,
                &latch,
                dir,
                board,
            )
            .map_err(system("a thread"))?,
        ),
        Orders::Paper | Orders::None => None,
    };
    let tls = launch.trust.client_config()?;
    let proxies = launch.addresses.proxies.clone();
    let client = |proxy| HttpClient::through(&launch.trust, HTTP_TIMEOUT, proxy);
    let clients = proxies.iter().cloned().chain([None]).map(client).collect();
    let errands = Errands::start(tls, clients, proxies).map_err(system("a thread"))?;
    let vault = Vault::new(launch.credentials);
    let mut gateway =
        Gateway::new(&parts.conns, &launch.addresses, errands, vault, Arc::clone(&latch), launch.orders)
            .map_err(system("a poll of sockets"))?
            .with_write_ahead(ahead);
    let mut pool = Pool::new();
    let threads = if launch.plan.layout == Layout::Fused {
        let stop = StopFlag::new();
        let planned = &launch.plan.threads[0];
        let thread = AgentThread { name: planned.name.clone(), cpu: planned.cpu, idle: launch.plan.idle };
        let conns = parts.conns.clone();
        gateway.time_writes(origin.clock());
        let engine = Fused::new(River::new(parts), keeper).with_write_ahead(is_ahead);
        let agent = FusedAgent::new(
            engine,
            gateway,
            conns,
            origin.clock(),
            received,
            launch.plan.idle,
            stop.clone(),
            board.clone(),
            opening,
            pool.probe(&ALL),
        )
        .with_rehearsals(launch.rehearse);
        let handle = AgentHandle::spawn(thread, stop.clone(), move || agent).map_err(system("a thread"))?;
        Threads::Fused(Box::new(handle), stop)
    } else {
        let feed = Feed::Live { gateway, commands: (commands.clone(), received), opening };
        let started = threaded::start(&launch.plan, parts, feed, keeper, origin, board);
        let started = started.map_err(system("a thread"))?;
        pool = started.pool().clone();
        Threads::Threaded(Box::new(started))
    };
    let observer = observer.start(pool.clone(), board.clone()).map_err(system("a thread"))?;
    Ok(Running { threads, commands, latch, killers, board: board.clone(), pool, observer })
}

impl Running {
    /// Submits a command; it is sequenced within a millisecond or at the next gap.
    pub fn command(&self, command: Command) {
        match command {
            // The gate first: the sequenced command cancels what is open.
            Command::Kill(Scope::Global) => {
                self.latch.kill();
                // By themselves, whatever the river does.
                if let Some(killers) = &self.killers {
                    killers.wake();
                }
            }
            Command::Kill(Scope::Venue(venue)) => self.latch.kill_venue(venue),
            Command::Resume => self.latch.release(),
            Command::Stop => self.latch.stop(),
            _ => {}
        }
        // A run that is ending no longer listens.
        let _ = self.commands.send(command);
    }

    /// The first failure; the run should be ended then.
    pub fn failure(&self) -> Option<String> {
        match &self.threads {
            Threads::Fused(handle, stop) => stop
                .failure()
                .or_else(|| handle.is_finished().then(|| "the engine's thread has ended".to_owned())),
            Threads::Threaded(threaded) => threaded.failure(),
        }
    }

    /// Figures.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Ends the run in order.
    pub fn end(self) -> Finished {
        let finished = match self.threads {
            Threads::Fused(handle, stop) => {
                stop.stop();
                let (agent, exit) = handle.join();
                let failure = stop.failure();
                let keeper = agent.map(|agent| agent.into_engine().into_parts().1);
                Finished { keeper, latency: self.pool.sum(), exits: vec![exit], failure }
            }
            Threads::Threaded(threaded) => {
                let ended = threaded.end();
                Finished {
                    keeper: ended.tap,
                    latency: ended.latency,
                    exits: ended.exits,
                    failure: ended.failure,
                }
            }
        };
        if let Some(killers) = self.killers {
            killers.end();
        }
        self.observer.end(&finished.latency);
        finished
    }
}
