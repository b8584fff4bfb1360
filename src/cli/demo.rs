//! `perpring demo`: simulated venues and the engine over real sockets, with paper money.
#![allow(clippy::disallowed_methods)] // the command's own pace and duration; the engine gets its time from runtime::clock

use super::error::{full_name, naming};
use super::live_view::{LiveView, Wish};
use super::report::{DemoReport, LedgerCheck};
use super::{CliError, Failure, Signals};
use crate::domain::input::Command;
use crate::domain::params::{OrderRoute, RiskParams};
use crate::domain::time::SECOND;
use crate::journal::{Housekeeping, JournalOptions};
use crate::net::tls::Trust;
use crate::ops::view::Board;
use crate::replay::source::RunConfig;
use crate::runtime::affinity::AllowedCpus;
use crate::runtime::idle::IdleMode;
use crate::runtime::profile::{Plan, Profile};
use crate::sim::config::SimConfig;
use crate::sim::socket::{HostOptions, SimHost, TlsIdentity, WallClock};
use crate::sim::{FaultCounts, FaultPlan, LedgerServer, server_with};
use crate::stage::egress::WriteAhead;
use crate::stage::gateway::{Addresses, Orders};
use crate::topology::launch::{Launch, Running, launch};
use crate::topology::world;
use crate::venue::{connections, dialect, market_copies};
use clap::Args;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long open trades may take to close at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// How long to trade, such as `20s`, `5m`; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = super::parse_duration)]
    pub duration: Option<Duration>,
    /// Seed of the simulated market. Over sockets it fixes the market only: timing differs from run to run.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Venues, in the order in which they lead.
    #[arg(long, value_delimiter = ',', default_value = "binance,okx", help = naming("Venues, in the order in which they lead"))]
    pub venues: Vec<String>,
    /// Instruments on every venue.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub instruments: u16,
    /// Keep the journal in this directory (it must not exist or be empty).
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Keep the venues' own ledgers in this directory.
    #[arg(long, value_name = "DIR")]
    pub ledger: Option<PathBuf>,
    /// Let the venues misbehave as this file says (see docs/faults.example.toml).
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// The way of orders, at venues that have it: websocket or http; without it the usual one of each.
    #[arg(long, value_name = "WAY")]
    pub orders: Option<OrderRoute>,
    /// TLS between engine and venues, with a certificate generated for this run.
    #[arg(long)]
    pub tls: bool,
    /// Pinning profile (fused, split, dedicated) or a file; without it what suits the cores.
    #[arg(long, value_name = "NAME|FILE")]
    pub pinning: Option<String>,
    /// How idle threads wait: spin, yield or park.
    #[arg(long)]
    pub idle: Option<IdleMode>,
    /// Serve `/metrics`, `/livez` and `/readyz` on this loopback address, such as `127.0.0.1:9100`.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// Draw the live view at the end of trading into this SVG file.
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// What of an opening order must be recorded before it leaves: off, written or synced.
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub write_ahead: WriteAhead,
    /// Size of a journal segment, KiB; a multiple of 4.
    #[arg(long, value_name = "KIB", default_value_t = 16 << 10)]
    pub segment_kib: u32,
    /// Leave closed segments of the journal uncompressed.
    #[arg(long)]
    pub raw_segments: bool,
    /// No new trades below so many free MiB on the journal's file system; an alarm below twice as many.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    pub space_stop_mib: u64,
    /// Nothing is opened after so many trades lost or failed in a row (`consecutive_failures_max` of a run): with faults,
    /// the usual limit ends trading within minutes.
    #[arg(long, value_name = "N", default_value_t = RiskParams::default().consecutive_failures_max)]
    pub failures_max: u32,
    /// One JSON object at the end instead of text.
    #[arg(long)]
    pub json: bool,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self {
            duration: None,
            seed: 7,
            venues: vec!["binance".into(), "okx".into()],
            instruments: 4,
            journal: None,
            ledger: None,
            faults: None,
            orders: None,
            tls: false,
            pinning: None,
            idle: None,
            metrics: None,
            picture: None,
            write_ahead: WriteAhead::Off,
            segment_kib: 16 << 10,
            raw_segments: false,
            space_stop_mib: 0,
            failures_max: RiskParams::default().consecutive_failures_max,
            json: false,
        }
    }
}

/// Resolves profile and idle strategy against the cores that this process may use.
pub fn plan(pinning: Option<&str>, idle: Option<IdleMode>) -> Result<Plan, Failure> {
    let allowed = AllowedCpus::capture();
    let mut profile = match pinning {
        Some(name) => Profile::load(name)?,
        None => Profile::choose(&allowed),
    };
    // The simulated venues need a core too: a spinning engine must leave them one.
    let default = if pinning.is_none() && allowed.count() <= 2 { Some(IdleMode::Yield) } else { None };
    if let Some(idle) = idle.or(default) {
        profile = profile.with_idle(idle);
    }
    Ok(profile.plan(&allowed)?)
}

/// Simulated venues behind sockets.
pub struct Venues {
    /// The world that they share.
    pub config: SimConfig,
    hosts: Vec<SimHost<Box<dyn LedgerServer>>>,
    /// Where they are.
    pub addresses: Addresses,
    /// Whom to trust to reach them.
    pub trust: Trust,
}

impl Venues {
    /// Starts every venue of `config` on loopback.
    pub fn start(config: SimConfig, tls: bool) -> Result<Self, Failure> {
        Self::start_with(config, tls, &FaultPlan::default())
    }

    /// The same, each venue with its faults of `plan`.
    pub fn start_with(mut config: SimConfig, tls: bool, plan: &FaultPlan) -> Result<Self, Failure> {
        let clock = WallClock::start();
        config.start_wall_ns = clock.now();
        let identity = if tls { Some(TlsIdentity::generate()?) } else { None };
        let mut trust = Trust::nobody();
        if let Some(identity) = &identity {
            trust.add(identity.ca_der().to_vec().into());
        }
        let scheme = if tls { "s" } else { "" };
        let mut addresses = Addresses::default();
        let mut hosts = Vec::new();
        for index in 0..config.venues.len() {
            let options =
                HostOptions { tls: identity.clone(), clock, ..HostOptions::new(&config.venues[index].name) };
            let server = server_with(&config, index, plan)?;
            let host = SimHost::start(server, SocketAddr::from(([127, 0, 0, 1], 0)), options)?;
            let name = &config.venues[index].dialect;
            let dialect = dialect(name).ok_or_else(|| format!("no venue dialect `{name}`"))?;
            let at = host.addr();
            addresses.sockets.extend(
                connections(dialect, market_copies(name, false), true)
                    .iter()
                    .map(|_| format!("ws{scheme}://localhost:{}", at.port())),
            );
            addresses.http.push(format!("http{scheme}://localhost:{}", at.port()));
            hosts.push(host);
        }
        Ok(Self { config, hosts, addresses, trust })
    }

    /// Stops every venue and hands them out with their books.
    pub fn stop(self) -> Result<Vec<Box<dyn LedgerServer>>, Failure> {
        self.hosts.into_iter().map(|host| host.stop().map_err(Into::into)).collect()
    }
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<u8, Failure> {
    let report = trade(args, &Signals::listen()?)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        say!("{report}")?;
    }
    Ok(u8::from(report.has_finding()))
}

/// Refuses what could only fail after the run.
fn check(args: &DemoArgs) -> Result<(), CliError> {
    if args.venues.len() < 2 {
        let given = args.venues.join(",");
        let what = format!("two venues are needed for arbitrage; --venues names only `{given}`: add another");
        return Err(CliError::Argument(what));
    }
    if let Some(dir) = &args.ledger {
        std::fs::create_dir_all(dir).map_err(|failure| {
            CliError::Argument(format!("cannot create the ledger directory {}: {failure}", dir.display()))
        })?;
    }
    if let Some(path) = &args.picture {
        // Opened without truncation: an old picture stays until there is a new one.
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(
            |failure| CliError::Argument(format!("cannot write the picture {}: {failure}", path.display())),
        )?;
    }
    Ok(())
}

/// The whole demo, up to its report.
///
/// # Errors
/// Everything that keeps venues or engine from starting, or results from being written.
pub fn trade(args: &DemoArgs, signals: &Signals) -> Result<DemoReport, Failure> {
    check(args)?;
    let plan = plan(args.pinning.as_deref(), args.idle)?;
    let dialects: Vec<&str> = args.venues.iter().map(|name| full_name(name)).collect();
    let sim = SimConfig::demo(args.seed, &dialects, usize::from(args.instruments))?;
    let plan_of_faults =
        args.faults.as_ref().map(|file| FaultPlan::load(file, &sim)).transpose()?.unwrap_or_default();
    let scratch = tempdir()?;
    let journal_dir = args.journal.clone().unwrap_or_else(|| scratch.path.join("journal"));
    let venues = Venues::start_with(sim, args.tls, &plan_of_faults)?;
    let mut params = world::engine_params(
        &venues.config,
        venues.config.start_wall_ns as u64 / SECOND as u64,
        world::demo_scan(),
        RiskParams { consecutive_failures_max: args.failures_max, ..RiskParams::default() },
    );
    if let Some(route) = args.orders {
        world::route_orders(&mut params, route);
    }
    let config = RunConfig { trading: true, params };
    let board = Board::default();
    let monitors = args.metrics.map(|address| crate::ops::metrics::serve(address, &board)).transpose()?;
    let started = Instant::now();
    let notes = BTreeMap::from([
        ("command".to_owned(), "demo".to_owned()),
        ("seed".to_owned(), args.seed.to_string()),
        ("profile".to_owned(), plan.to_string()),
    ]);
    let keep = Housekeeping {
        compress: Housekeeping::default().compress.filter(|_| !args.raw_segments),
        space_alarm_bytes: args.space_stop_mib.saturating_mul(2 << 20),
        space_stop_bytes: args.space_stop_mib.saturating_mul(1 << 20),
        ..Housekeeping::default()
    };
    let running = launch(
        Launch {
            config: config.clone(),
            // Its venues are new with every start.
            carry: None,
            addresses: venues.addresses.clone(),
            credentials: world::credentials(&venues.config),
            trust: venues.trust.clone(),
            plan: plan.clone(),
            journal: Some((
                journal_dir.clone(),
                JournalOptions {
                    segment_bytes: (args.segment_kib as usize) << 10,
                    keep: Some(keep),
                    ..JournalOptions::default()
                },
            )),
            notes,
            orders: Orders::Live,
            rehearse: true,
            write_ahead: args.write_ahead,
        },
        &board,
    )?;
    let mut memory = Memory::default();
    watch(args, &running, signals, started, &mut memory);
    let drawn = args.picture.as_ref().map(|_| super::picture::picture(&board.read().clone()));
    close(&running, signals);
    memory.sample();
    let finished = running.end();
    let seconds = started.elapsed().as_secs_f64();
    let config_of_venues = venues.config.clone();
    let mut servers = venues.stop()?;
    if let Some(dir) = &args.ledger {
        for (venue, server) in config_of_venues.venues.iter().zip(&mut servers) {
            let dir = dir.join(&venue.name);
            server
                .write_ledger(&dir)
                .map_err(|failure| format!("cannot write the ledger {}: {failure}", dir.display()))?;
        }
    }
    if let (Some(path), Some(drawn)) = (&args.picture, drawn) {
        std::fs::write(path, drawn)
            .map_err(|failure| format!("cannot write {}: {failure}", path.display()))?;
    }
    drop(monitors);
    let view = board.read().clone();
    let ledgers: Vec<LedgerCheck> = servers
        .iter()
        .enumerate()
        .map(|(venue, server)| LedgerCheck::compare(venue, &view, server.ledger()))
        .collect();
    let mut faults = FaultCounts::default();
    servers.iter().for_each(|server| faults.add(&server.faults()));
    DemoReport::build(
        args,
        &plan,
        &config,
        seconds,
        &journal_dir,
        finished,
        &view,
        ledgers,
        faults,
        memory.anonymous_max,
    )
}

/// Shows progress until the time is over, Ctrl-C, or a failure.
fn watch(args: &DemoArgs, running: &Running, signals: &Signals, started: Instant, memory: &mut Memory) {
    let mut next_line = 1;
    let screen = std::io::stdout().is_terminal() && !args.json;
    let mut live = LiveView::start(screen);
    loop {
        let elapsed = started.elapsed();
        let over = args.duration.is_some_and(|limit| elapsed >= limit);
        let wish = live.wish();
        if wish == Some(Wish::Kill) {
            signals.kill.store(true, Ordering::Release);
        }
        signals.heed_kill(running);
        let stopped = signals.stop.load(Ordering::Acquire) || wish == Some(Wish::Quit);
        if over || stopped || running.failure().is_some() {
            break;
        }
        if live.is_on() {
            // A copy, so that no stage finds the board taken while the terminal is slow.
            let view = running.board().read().clone();
            live.draw(&view);
        }
        if elapsed.as_secs() >= next_line {
            next_line = elapsed.as_secs() + 1;
            memory.sample();
            if !live.is_on() {
                let line = super::report::line(elapsed.as_secs(), &running.board().read());
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
        std::thread::sleep(Duration::from_millis(if live.is_on() { 100 } else { 20 }));
    }
    live.stop();
}

/// Ends trading in order: no new entries, open trades closed, sessions closed. A further Ctrl-C kills and
/// does not wait for the trades.
pub fn close(running: &Running, signals: &Signals) {
    running.command(Command::Reduce);
    signals.stop.store(false, Ordering::Release);
    let begun = Instant::now();
    let mut calm = 0;
    // Figures are published a few times a second: several calm readings in a row mean flat.
    while begun.elapsed() < CLOSE_LIMIT && calm < 5 && running.failure().is_none() {
        std::thread::sleep(Duration::from_millis(100));
        signals.heed_kill(running);
        if signals.stop.load(Ordering::Acquire) {
            super::kill(running);
            break;
        }
        let view = running.board().read();
        let flat = view.trades_open == 0 && view.open_orders == 0;
        calm = if flat { calm + 1 } else { 0 };
    }
    running.command(Command::Stop);
    std::thread::sleep(Duration::from_millis(250));
}

/// Anonymous memory of this process over time.
#[derive(Default)]
struct Memory {
    anonymous_max: u64,
}

impl Memory {
    fn sample(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = kilobytes.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        self.anonymous_max = self.anonymous_max.max(kilobytes.unwrap_or(0) * 1024);
    }
}

/// A directory that goes away with its owner.
pub struct TempDir {
    /// Where it is.
    pub path: PathBuf,
}

/// Makes a temporary directory.
pub fn tempdir() -> std::io::Result<TempDir> {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("perpring-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path)?;
    Ok(TempDir { path })
}

impl TempDir {
    /// A path in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What remains in the temporary directory is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_only_fail_after_the_run_is_refused_before_it() {
        let dir = tempdir().unwrap();
        let file = dir.join("file");
        std::fs::write(&file, b"old").unwrap();
        let said = |args: DemoArgs| trade(&args, &Signals::default()).unwrap_err().to_string();
        let one = said(DemoArgs { venues: vec!["binance".into()], ..DemoArgs::default() });
        assert!(one.contains("two venues are needed"), "{one}");
        let ledger = said(DemoArgs { ledger: Some(file.join("ledger")), ..DemoArgs::default() });
        assert!(ledger.contains(&file.join("ledger").display().to_string()), "{ledger}");
        let picture = said(DemoArgs { picture: Some(dir.join("no/x.svg")), ..DemoArgs::default() });
        assert!(picture.contains("no/x.svg"), "{picture}");
        check(&DemoArgs { picture: Some(file.clone()), ..DemoArgs::default() }).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old", "kept until there is a new one");
    }

    #[test]
    fn a_kill_halts_the_run_and_the_end_is_in_order() {
        let signals = Signals::default();
        signals.kill.store(true, Ordering::Release);
        let args = DemoArgs {
            duration: Some(Duration::from_secs(3)),
            instruments: 1,
            json: true,
            pinning: Some("fused".into()),
            idle: Some(IdleMode::Park),
            ..DemoArgs::default()
        };
        let report = serde_json::to_value(trade(&args, &signals).unwrap()).unwrap();
        assert_eq!((&report["orders_sent"], &report["failure"]), (&0.into(), &serde_json::Value::Null));
        assert!(report["frames"].as_u64().unwrap() > 0, "it went on");
        assert!(!signals.kill.load(Ordering::Acquire), "once");
        assert!(report["ledgers"].as_array().unwrap().iter().all(|row| row["equal"] == true), "{report}");
    }
}
