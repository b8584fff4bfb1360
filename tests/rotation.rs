//! Planned ends of private connections: whole engines leave them between trades, never between the legs of one.

use crate::simulated::{
    START, TempDir, assert_ledgers_equal, changed_simulation, faulty_simulation, sim_config,
};
use perpring::core::departure::QUIET_FOR;
use perpring::domain::effect::HttpId;
use perpring::domain::event::SessionRole;
use perpring::domain::input::{Command, ConnId, DownReason, FrameMeta, Input};
use perpring::domain::instrument::{Instrument, InstrumentId, VenueId};
use perpring::domain::params::RiskParams;
use perpring::domain::standing::{Check, Pace};
use perpring::domain::state::{State, StateError};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::journal::{JournalOptions, Manifest, RunId};
use perpring::ops::watch::Counts;
use perpring::replay::check::check_dir;
use perpring::replay::source::{Inputs, RunConfig};
use perpring::replay::verify::{verify, verify_with};
use perpring::sim::faults::FaultKind;
use perpring::sim::{FaultPlan, LedgerServer, SimConfig, server_with};
use perpring::stage::decode::plan;
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::copies::CopyCounts;
use perpring::venue::{Adapter, Emit, Out};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The venue whose connections end.
const VENUE: VenueId = VenueId(1);
/// One way: an order is under way for twice as long.
const LATENCY: Nanos = 2 * MILLI;
/// How many times they end.
const ENDS: usize = 3;

/// What the test and the adapter that it has wrapped tell each other.
#[derive(Default)]
struct Told {
    /// When the end of the venue's private connections is announced, wall ns.
    at: Vec<Nanos>,
    /// How long before.
    lead: Nanos,
    announced: usize,
    /// Those that ended.
    ends: Vec<ConnId>,
}

/// An adapter whose venue announces the end of its private connections on request.
struct Announcing {
    inner: Box<dyn Adapter>,
    private: Vec<ConnId>,
    told: Arc<Mutex<Told>>,
}

impl State for Announcing {
    fn save(&self) -> Result<String, StateError> {
        self.inner.save()
    }
    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        self.inner.load(saved)
    }
}

impl Adapter for Announcing {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.inner.on_start(now, out);
    }
    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        self.inner.on_conn_up(conn, epoch, now, out);
    }
    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, reason: DownReason, now: Stamp, out: &mut Out) {
        if self.private.contains(&conn) {
            self.told.lock().expect("one thread").ends.push(conn);
        }
        self.inner.on_conn_down(conn, epoch, reason, now, out);
    }
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        self.inner.on_frame(meta, frame, now, out);
    }
    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        self.inner.on_http(id, status, body, now, out);
    }
    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        self.inner.on_instrument(instrument, now, out);
    }
    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.inner.on_order_wrong(now, out);
    }
    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        let mut told = self.told.lock().expect("one thread");
        if told.at.get(told.announced).is_some_and(|at| now.wall >= *at) {
            told.announced += 1;
            for conn in &self.private {
                out.emit(Emit::Leave { conn: *conn, by: now.mono + told.lead });
            }
        }
        drop(told);
        self.inner.on_tick(now, out);
    }
    fn on_pace(&mut self, pace: &Pace, now: Stamp, out: &mut Out) {
        self.inner.on_pace(pace, now, out);
    }
    fn funding_interval(&self, listing: InstrumentId) -> Option<Nanos> {
        self.inner.funding_interval(listing)
    }
    fn copies(&self) -> Option<&CopyCounts> {
        self.inner.copies()
    }
    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        self.inner.depart(conn, now, out);
    }
    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        self.inner.on_stop(now, out);
    }
}

/// The engine's parts, [`VENUE`]'s adapter wrapped.
fn parts(config: &RunConfig, told: &Arc<Mutex<Told>>) -> Parts {
    let (conns, _) = plan(&config.params, true).expect("known dialects");
    let is_private =
        |index: &usize| conns[*index].venue == VENUE && conns[*index].role != SessionRole::Market;
    let private: Vec<ConnId> = (0..conns.len()).filter(is_private).map(|index| ConnId(index as u8)).collect();
    let mut venue = 0;
    Parts::with_adapters(&config.params, true, |inner| {
        venue += 1;
        if VenueId(venue - 1) != VENUE {
            return inner;
        }
        Box::new(Announcing { inner, private: private.clone(), told: told.clone() })
    })
    .expect("known dialects")
}

/// Orders are often filled in part, so that trades have legs to make equal.
fn trading(venues: &[&str]) -> (SimConfig, FaultPlan, RiskParams) {
    let sim = sim_config(7, venues, |_| {});
    let plan = "[[fault]]\nkind = 'partial_fill'\nper_minute = 60\n";
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    (sim, FaultPlan::parse("faults", plan).expect("a plan"), risk)
}

fn simulation(
    sim: &SimConfig,
    plan: &FaultPlan,
    config: &RunConfig,
    told: &Arc<Mutex<Told>>,
    dir: &Path,
) -> Simulation {
    let bytes = config.to_bytes();
    let about = Manifest { run_id: RunId(42), ..manifest(&bytes, START, Default::default()) };
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let recorder = Recorder::create(dir, &about, &options).expect("a fresh directory");
    let parts = parts(config, told);
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let servers: Vec<Box<dyn LedgerServer>> =
        (0..sim.venues.len()).map(|venue| server_with(sim, venue, plan).expect("a valid world")).collect();
    let vault = Vault::new(world::credentials(sim));
    Simulation::new(engine, servers, conns, vault, START, LATENCY, &bytes)
}

/// Whether a trade is between its legs with an order under way at [`VENUE`].
fn is_between_legs(simulation: &mut Simulation) -> bool {
    let parts = simulation.engine().river().parts();
    let under_way = parts.decode.ledger().open_orders().any(|order| order.spec.venue == VENUE);
    under_way && parts.scan.scanner().totals().unbalanced > 0
}

/// Whether opening orders at [`VENUE`] are held for the sake of its connections.
fn is_held(simulation: &mut Simulation) -> bool {
    let gate = simulation.engine().river().parts().risk.rules().start_gate();
    let held = gate.findings().any(|finding| (finding.venue, finding.check) == (VENUE, Check::Connections));
    assert!(!held || !gate.is_open(VENUE));
    held
}

/// Trading while the private connections of `venue` end again and again in the midst of trades, announced `lead`
/// before: the run, and which of them ended. It replays in any case.
fn trade(venue: &str, lead: Nanos) -> (Counts, Vec<SessionRole>) {
    let dir = TempDir::new();
    let other = if venue == "okx" { "bybit" } else { "okx" };
    let (sim, faults, risk) = trading(&[other, venue]);
    let config = RunConfig { trading: true, params: world::engine_params(&sim, 7, world::demo_scan(), risk) };
    let told = Arc::new(Mutex::new(Told { lead, ..Told::default() }));
    let mut simulation = simulation(&sim, &faults, &config, &told, dir.path());
    for _ in 0..ENDS {
        simulation.run_for(6 * SECOND);
        let mut patience = 60 * SECOND / MILLI;
        while !is_between_legs(&mut simulation) {
            assert!(patience > 0, "{venue}: no trade");
            patience -= 1;
            simulation.run_for(MILLI);
        }
        let now = simulation.now();
        told.lock().expect("one thread").at.push(now + 1);
        simulation.run_for(MILLI + 1);
        assert!(is_held(&mut simulation), "{venue}");
        // Both one after the other, and a new connection for each.
        let mut patience = 60 * SECOND / MILLI;
        while is_held(&mut simulation) {
            assert!(patience > 0, "{venue}: never ready again");
            patience -= 1;
            simulation.run_for(MILLI);
        }
        let least = if lead > 0 { 2 * QUIET_FOR } else { 0 };
        assert!(simulation.now() - now >= least, "{venue}");
    }
    simulation.run_for(4 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(20 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    assert_eq!(simulation.engine().river().parts().risk.rules().open_orders(), 0);
    assert_eq!(counts.trades_opened, counts.trades_closed, "{venue}: {counts:?}");
    assert_ledgers_equal(&mut simulation);
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    let again =
        Told { announced: 0, ends: Vec::new(), ..std::mem::take(&mut *told.lock().expect("one thread")) };
    let ends = {
        let again = Arc::new(Mutex::new(again));
        let report = verify_with(dir.path(), None, |config| Ok(parts(config, &again)), &mut |_| {});
        assert_eq!(report.expect("a journal").divergence, None, "{venue}");
        std::mem::take(&mut again.lock().expect("one thread").ends)
    };
    let (conns, _) = plan(&config.params, true).expect("known dialects");
    (counts, ends.into_iter().map(|conn| conns[conn.index()].role).collect())
}

/// Orders in flight, and hedges of them, are not touched by the end of the connections.
fn loses_no_order(venue: &str) {
    let (counts, ends) = trade(venue, 20 * SECOND);
    assert_eq!(counts.unknown, 0, "{venue}: {counts:?}");
    let each = [SessionRole::Orders, SessionRole::Account].repeat(ENDS);
    assert_eq!(ends, each, "{venue}: each once, the order session first");
    assert!(counts.trades_opened > ENDS as u64, "{venue}: {counts:?}");
}

#[test]
fn at_binance_a_planned_end_between_legs_loses_no_order() {
    loses_no_order("binance-usdm");
}

#[test]
fn at_okx_a_planned_end_between_legs_loses_no_order() {
    loses_no_order("okx");
}

#[test]
fn at_bybit_a_planned_end_between_legs_loses_no_order() {
    loses_no_order("bybit");
}

#[test]
fn at_deribit_a_planned_end_between_legs_loses_no_order() {
    loses_no_order("deribit");
}

#[test]
fn at_hyperliquid_a_planned_end_between_legs_loses_no_order() {
    loses_no_order("hyperliquid");
}

#[test]
fn without_time_to_wait_the_same_ends_do_lose_orders() {
    let (counts, ends) = trade("okx", 0);
    assert!(counts.unknown > 0, "{counts:?}");
    assert_eq!(ends.len(), 2 * ENDS);
}

/// The notices of the venues that have one are followed on private connections before the cut.
#[test]
fn announced_cuts_are_forestalled_on_private_connections() {
    for venue in ["okx", "binance-usdm", "aster"] {
        let dir = TempDir::new();
        let other = if venue == "okx" { "bybit" } else { "okx" };
        let (sim, _, risk) = trading(&[other, venue]);
        let plan = format!(
            "[[fault]]\nkind = 'planned_cut'\non = 'private'\nvenue = '{venue}'\nat_s = [8, 18, 28]\nfor_ms = 9_000\n"
        );
        let plan = FaultPlan::parse("faults", &plan).expect("a plan");
        let (mut simulation, _) =
            faulty_simulation(&sim, world::demo_scan(), risk, LATENCY, Some(dir.path()), &plan);
        simulation.run_for(8 * SECOND);
        assert!(!is_held(&mut simulation), "{venue}");
        simulation.run_for(100 * MILLI);
        assert!(is_held(&mut simulation), "{venue}: the notice was understood");
        simulation.run_for(8 * SECOND);
        assert!(!is_held(&mut simulation), "{venue}: both stand anew before the cut");
        simulation.run_for(22 * SECOND);
        simulation.command(Command::Reduce);
        simulation.run_for(10 * SECOND);
        let counts = *simulation.engine().keeper().watch().counts();
        assert_eq!(counts.unknown, 0, "{venue}: {counts:?}");
        assert!(counts.trades_opened > 3, "{venue}: {counts:?}");
        assert_eq!(simulation.servers()[VENUE.index()].faults().of(FaultKind::PlannedCut), 3);
        assert_ledgers_equal(&mut simulation);
        let (engine, _) = simulation.into_parts();
        engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
        assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    }
}

/// All five venues, which cut every connection that is `CUT_S` old, for three lives of connections that are left at
/// `age_s`; 0 = at the usual age.
fn lives(age_s: i64) -> (Counts, u64, TempDir, RunConfig) {
    /// A connection with an age of 20 s is left after 20 + 4 × 0.5 + 5 s at the latest, counted from when it is ready.
    const CUT_S: i64 = 32;
    let dir = TempDir::new();
    let venues = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];
    let (_, _, risk) = trading(&venues);
    let mut sim = SimConfig::demo(7, &venues, 1).expect("known dialects");
    sim.start_wall_ns = START;
    let plan = format!("[[fault]]\nkind = 'old_age'\nat_s = [0]\nfor_ms = {}\n", CUT_S * 1_000);
    let plan = FaultPlan::parse("faults", &plan).expect("a plan");
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    params.venues.iter_mut().for_each(|venue| venue.connection_age_max_ns = age_s * SECOND);
    let (mut simulation, config) = changed_simulation(params, &sim, 100 * MICRO, Some(dir.path()), &plan);
    simulation.run_for(14 * SECOND);
    let mut closed = 0;
    for third in 0..3 {
        for _ in 0..34 {
            simulation.run_for(SECOND / 2);
            let scanner = simulation.engine().river().parts().scan.scanner();
            let listings = (0..).map(InstrumentId).map_while(|id| scanner.listing(id));
            let dead = listings.filter(|listing| !listing.book.is_served()).count();
            assert!(age_s == 0 || dead == 0, "{dead} books are not live");
        }
        let counts = *simulation.engine().keeper().watch().counts();
        assert!(age_s == 0 || counts.trades_closed > closed, "no trades in part {third}: {counts:?}");
        closed = counts.trades_closed;
    }
    simulation.command(Command::Reduce);
    simulation.run_for(8 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let cuts = simulation.servers().iter().map(|server| server.faults().of(FaultKind::OldAge)).sum();
    assert_ledgers_equal(&mut simulation);
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    (counts, cuts, dir, config)
}

#[test]
fn connections_of_all_venues_are_left_before_their_venues_cut_them_and_nothing_is_lost_by_it() {
    let (counts, cuts, dir, config) = lives(20);
    assert_eq!((cuts, counts.unknown), (0, 0), "{counts:?}");
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    assert_eq!(check_dir(dir.path(), &config.params).expect("a journal"), Vec::<String>::new());
    // What serves each of a venue's roles lived three times.
    let (conns, _) = plan(&config.params, true).expect("known dialects");
    let mut lives = vec![0; conns.len()];
    let mut inputs = Inputs::open(dir.path()).expect("a journal");
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        if let Input::ConnUp { conn, .. } = raw.input {
            lives[conn.index()] += 1;
        }
    }
    for venue in (0..5).map(VenueId) {
        for role in [SessionRole::Market, SessionRole::Account, SessionRole::Orders] {
            let of = conns.iter().zip(&lives).filter(|(conn, _)| (conn.venue, conn.role) == (venue, role));
            let most = of.map(|(_, lives)| *lives).sum::<i32>();
            assert!(most >= 3, "{venue:?} {role:?}: {most} lives");
        }
    }
}

#[test]
fn connections_that_are_not_left_in_time_are_cut() {
    let (_, cuts, dir, _) = lives(0);
    assert!(cuts > 10, "{cuts} cuts");
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
}
