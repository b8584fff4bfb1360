//! The whole engine among venues that misbehave in every way that `--faults` knows: it trades on, every order's
//! fate becomes known, books of account agree in the end, no limit is broken, and the run replays.

use crate::simulated::{START, TempDir, changed_simulation, sim_config};
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::domain::event::SessionStatus;
use perpring::domain::input::Command;
use perpring::domain::instrument::{ContractKind, InstrumentId, VenueId};
use perpring::domain::money::Money;
use perpring::domain::params::{OrderRoute, RiskParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::ops::watch::Counts;
use perpring::replay::check::check_dir;
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use perpring::sim::faults::FaultKind;
use perpring::sim::{FaultCounts, FaultPlan};
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::time::Duration;

/// Every venue that settles in the quote currency.
const VENUES: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];

/// How many seeds the worlds of all faults are run with; the long form sets it higher.
const SEEDS: &str = "PERPRING_FAULT_SEEDS";

/// A world of one busy instrument: a jump every two seconds, thin books, makers every 10 ms, so that few simulated
/// seconds hold many trades.
pub struct World<'a> {
    /// Dialects.
    pub venues: &'a [&'a str],
    /// The way of orders, where a venue has it.
    pub route: OrderRoute,
    /// Of the market.
    pub seed: u64,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// Seconds of trading.
    pub trading: i64,
    /// Seconds within which everything that is open must be closed: a ban holds our requests for two minutes.
    pub closing: i64,
}

/// Runs it; `look` is called twice a simulated second while there is trading. Everything that must hold at the end is
/// asserted: every order's fate is known, all is flat, books of account agree, no rule is broken, the run replays.
pub fn survives_in(world: &World<'_>, mut look: impl FnMut(&mut Simulation)) -> (Counts, FaultCounts) {
    survives_until(world, |simulation| {
        look(simulation);
        false
    })
}

/// The same, until `look` says that it is enough; the world's time of trading is the longest.
fn survives_until(world: &World<'_>, mut look: impl FnMut(&mut Simulation) -> bool) -> (Counts, FaultCounts) {
    let dir = TempDir::new();
    let sim = sim_config(world.seed, world.venues, |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 12;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    // Misses and losses are the faults' doing here and must not end the experiment.
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    if world.route == OrderRoute::Http {
        world::route_orders(&mut params, world.route);
    }
    let (mut simulation, config) =
        changed_simulation(params, &sim, 100 * MICRO, Some(dir.path()), &world.plan);
    for _ in 0..world.trading * 2 {
        simulation.run_for(SECOND / 2);
        if look(&mut simulation) {
            break;
        }
    }
    simulation.command(Command::Reduce);
    let mut left = world.closing;
    while left > 0 && open(&mut simulation).is_some() {
        simulation.run_for(SECOND);
        left -= 1;
    }
    simulation.run_for(2 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let mut faults = FaultCounts::default();
    simulation.servers().iter().for_each(|server| faults.add(&server.faults()));
    println!("seed {}, closed in {} s: {counts:?}; faults: {faults}", world.seed, world.closing - left);
    assert_eq!(open(&mut simulation), None, "seed {}", world.seed);
    // What larger lots left of a trade is closed by another one.
    let whole = faults.of(FaultKind::Metadata) == 0;
    assert!(!whole || counts.trades_opened == counts.trades_closed, "seed {}: {counts:?}", world.seed);
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    assert_eq!(check_dir(dir.path(), &config.params).expect("a journal"), Vec::<String>::new());
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    (counts, faults)
}

/// What is still open, or differs from a venue's books.
fn open(simulation: &mut Simulation) -> Option<String> {
    let counts = *simulation.engine().keeper().watch().counts();
    let rules = simulation.engine().river().parts().risk.rules();
    if rules.open_orders() > 0 {
        return Some(format!("{} orders, {counts:?}", rules.open_orders()));
    }
    let positions = rules.positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised, mut slack) = (Money::ZERO, Money::ZERO, 0);
        for row in positions.positions().filter(|row| row.instrument.venue.index() == index) {
            if row.position.qty != 0 {
                return Some(format!("{} of {}", row.position.qty, row.instrument.symbol));
            }
            fees += row.position.fees;
            realised += row.position.realised;
            if row.instrument.spec.kind == ContractKind::Inverse {
                // Both are exact sums of face ÷ price; each cuts its own way at 10⁻¹⁸, once a fill.
                slack = ledger.fills().len() as i128;
            }
        }
        let theirs = ledger.totals(account);
        if fees != theirs.fees || (realised.0 - theirs.realised.0).abs() > slack {
            return Some(format!("{}: {fees}, {realised}, but {theirs:?}", ledger.venue()));
        }
    }
    None
}

/// What became of each venue after each fault.
struct Recovery {
    /// By venue, in the order of [`FaultKind::ALL`]: how often it struck, and since when no more.
    struck: Vec<Vec<(u64, Nanos)>>,
    /// By venue: when the latest order was placed there of which something filled.
    filled: Vec<Nanos>,
    /// By venue, now: what is not as it should be.
    ill: Vec<Option<String>>,
}

impl Recovery {
    fn new(venues: usize) -> Self {
        Self {
            struck: vec![vec![(0, 0); FaultKind::ALL.len()]; venues],
            filled: vec![0; venues],
            ill: vec![None; venues],
        }
    }

    fn look(&mut self, simulation: &mut Simulation) {
        let now = simulation.now();
        for (venue, server) in simulation.servers().iter().enumerate() {
            let counts = server.faults();
            for (kind, (struck, since)) in FaultKind::ALL.into_iter().zip(&mut self.struck[venue]) {
                if std::mem::replace(struck, counts.of(kind)) != counts.of(kind) {
                    *since = now;
                }
            }
            let orders = server.ledger().orders();
            let placed = orders.iter().filter(|row| row.order.filled > 0).map(|row| row.order.created);
            self.filled[venue] = placed.max().unwrap_or(0);
        }
        for venue in 0..self.ill.len() {
            self.ill[venue] = ill(simulation, VenueId(venue as u8));
        }
    }

    /// What is missing until every venue has its sessions and books again and, with `traded`, something was filled there
    /// after each kind of fault.
    fn missing(&self, traded: bool) -> Option<String> {
        for (venue, struck) in self.struck.iter().enumerate() {
            if let Some(ill) = &self.ill[venue] {
                return Some(format!("venue {venue}: {ill}"));
            }
            let untraded =
                |(_, (count, since)): &(FaultKind, &(u64, Nanos))| *count > 0 && self.filled[venue] <= *since;
            let after = FaultKind::ALL.into_iter().zip(struck).find(untraded).filter(|_| traded);
            if let Some((kind, _)) = after {
                return Some(format!("venue {venue}: nothing was filled after {}", kind.name()));
            }
        }
        None
    }

    /// How often a kind struck at the venue where it did least.
    fn least(&self, kind: FaultKind) -> u64 {
        let place = FaultKind::ALL.iter().position(|other| *other == kind).expect("one of all");
        self.struck.iter().map(|struck| struck[place].0).min().unwrap_or(0)
    }
}

/// What a venue lacks that it needs for trading.
fn ill(simulation: &mut Simulation, venue: VenueId) -> Option<String> {
    let down = |status: &&SessionStatus| status.venue == venue && !status.ready;
    if let Some(status) = simulation.engine().keeper().watch().sessions().iter().find(down) {
        return Some(format!("no session for {:?}", status.role));
    }
    let parts = simulation.engine().river().parts();
    if !parts.risk.rules().start_gate().is_open(venue) {
        return Some("the start gate is shut".to_owned());
    }
    let scanner = parts.scan.scanner();
    let listings = (0..).map(InstrumentId).map_while(|id| scanner.listing(id));
    let mut dead = listings.filter(|listing| listing.params.venue == venue && !listing.book.is_served());
    dead.next().map(|listing| format!("no book of {}", listing.params.symbol))
}

/// Every kind of fault at every one of these venues within `until` seconds; rare ones at staggered instants. Without
/// deleveraging, which a venue tells once, on a stream that other faults close (see [`survives_a_venue_that_matches_badly`]), and
/// without bans, which hold our requests for minutes (see the test of its own).
pub fn every_kind(seed: u64, venues: &[&str], until: i64) -> FaultPlan {
    let mut text = format!("seed = {seed}\nuntil_s = {until}\n");
    for kind in FaultKind::ALL {
        let often = |rate: u32, rest: &str| (format!("per_minute = {rate}\n{rest}"), None);
        let (rest, at) = match kind {
            FaultKind::Disconnect => ("on = 'any'".to_owned(), Some(6.0)),
            FaultKind::HalfOpen => ("on = 'any'".to_owned(), Some(9.0)),
            FaultKind::Gap | FaultKind::Duplicate | FaultKind::Reorder => often(12, "on = 'market'"),
            FaultKind::Delay => often(8, "for_ms = 200"),
            FaultKind::Stale => ("for_ms = 800".to_owned(), Some(11.0)),
            FaultKind::Truncated | FaultKind::Malformed => often(6, ""),
            FaultKind::AckLost => often(12, ""),
            FaultKind::Http429 => ("for_ms = 1_000".to_owned(), Some(5.5)),
            FaultKind::Maintenance => ("for_ms = 1_500".to_owned(), Some(13.0)),
            FaultKind::FillBeforeAck => often(15, "for_ms = 20"),
            FaultKind::PartialFill | FaultKind::Reject => often(15, ""),
            FaultKind::ClockSkew => ("by_ms = 1_500\nfor_ms = 3_000".to_owned(), Some(7.0)),
            FaultKind::PriceBand => ("band_bps = 1\nfor_ms = 1_500".to_owned(), Some(4.5)),
            FaultKind::Metadata => ("for_ms = 2_500".to_owned(), Some(3.5)),
            FaultKind::SymbolLock => often(12, "for_ms = 1_000"),
            FaultKind::PlannedCut => ("for_ms = 2_000".to_owned(), Some(10.0)),
            FaultKind::Adl | FaultKind::Http418 | FaultKind::OldAge => continue,
        };
        let name = kind.name();
        match at {
            None => text += &format!("[[fault]]\nkind = '{name}'\n{rest}\n"),
            Some(at) => {
                for (place, venue) in names(venues).iter().enumerate() {
                    let (first, second) = (at + place as f64 * 0.7, at + 8.0 + place as f64 * 0.7);
                    text += &format!(
                        "[[fault]]\nkind = '{name}'\nvenue = '{venue}'\n{rest}\nat_s = [{first}, {second}]\n"
                    );
                }
            }
        }
    }
    FaultPlan::parse("faults", &text).expect("a plan")
}

/// The venues' names in the simulated world.
fn names(venues: &[&str]) -> Vec<String> {
    let name = |(place, venue): (usize, &&str)| match venues[..place].contains(venue) {
        true => format!("{venue}-{place}"),
        false => (*venue).to_owned(),
    };
    venues.iter().enumerate().map(name).collect()
}

/// Seconds of faults.
const UNTIL: i64 = 24;
/// Trades among many venues.
const CLOSED: u64 = 10;

/// Every kind strikes at every venue, and afterwards each has its sessions, its books and, among many, trades again; some
/// only after a minute, which is how long a login that was refused in the wrong time is not repeated. What is lost is found
/// by asking. Between two venues (not `many`) there are too few orders for
/// every kind that befalls orders.
fn survives_every_kind(venues: &[&str], many: bool) {
    let seeds = std::env::var(SEEDS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 1..=seeds {
        let plan = every_kind(seed, venues, UNTIL);
        let mut recovery = Recovery::new(venues.len());
        let world = World { venues, route: OrderRoute::Websocket, seed, plan, trading: 160, closing: 150 };
        let (counts, faults) = survives_until(&world, |simulation| {
            recovery.look(simulation);
            let closed = simulation.engine().keeper().watch().counts().trades_closed;
            let is_over = simulation.now() > START + (UNTIL + 2) * SECOND;
            is_over && recovery.missing(many).is_none() && (!many || closed >= CLOSED)
        });
        assert_eq!(recovery.missing(many), None, "seed {seed}: {counts:?}");
        assert!(
            counts.orders_sent > 0 && (!many || counts.trades_closed >= CLOSED && counts.unknown > 0),
            "{counts:?}"
        );
        for kind in FaultKind::ALL {
            let of_orders = matches!(
                kind,
                FaultKind::AckLost | FaultKind::FillBeforeAck | FaultKind::PartialFill | FaultKind::Reject
            );
            // A lock falls on an opening order of one venue, and has a world of its own.
            let elsewhere = matches!(
                kind,
                FaultKind::Adl | FaultKind::Http418 | FaultKind::SymbolLock | FaultKind::OldAge
            );
            let struck = if of_orders { faults.of(kind) } else { recovery.least(kind) };
            let left_out = elsewhere || (of_orders && !many);
            assert!(left_out || struck > 0, "{} is missing somewhere: {faults}", kind.name());
        }
    }
}

#[test]
fn trading_among_all_five_survives_every_kind_of_fault_and_lost_acknowledgements_are_resolved() {
    survives_every_kind(&VENUES, true);
}

#[test]
fn trading_in_inverse_contracts_survives_every_kind_of_fault() {
    survives_every_kind(&["binance-coinm", "binance-coinm"], false);
}

#[test]
fn trading_at_a_venue_that_announces_nothing_and_takes_orders_over_http_survives_every_kind_of_fault() {
    survives_every_kind(&["aster", "okx"], false);
}

#[test]
fn refusals_of_requests_sent_together_are_one_offence_and_a_ban_ends_in_time_to_close_trades() {
    let text = "until_s = 10\n\
        [[fault]]\nkind = 'ack_lost'\nper_minute = 30\n\
        [[fault]]\nkind = 'disconnect'\non = 'private'\nat_s = [5.2]\n\
        [[fault]]\nkind = 'http_418'\nat_s = [5]\nfor_ms = 3_000\n";
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let venues = &["binance-usdm", "okx", "bybit"];
    let (counts, faults) = survives_in(
        &World { venues, route: OrderRoute::Websocket, seed: 2, plan, trading: 10, closing: 150 },
        |_| (),
    );
    assert!(counts.trades_closed > 0 && faults.of(FaultKind::Http418) == 3, "{counts:?}, {faults}");
}

/// Orders over HTTP, everything of which a reply is capable, and what befalls the streams that tell of fills.
#[test]
fn orders_over_http_meet_the_same_faults_and_the_books_agree() {
    let text = "until_s = 45\n\
         [[fault]]\nkind = 'ack_lost'\nper_minute = 8\n\
         [[fault]]\nkind = 'reject'\nper_minute = 4\n\
         [[fault]]\nkind = 'partial_fill'\nper_minute = 8\n\
         [[fault]]\nkind = 'fill_before_ack'\nper_minute = 8\nfor_ms = 40\n\
         [[fault]]\nkind = 'duplicate'\nper_minute = 10\non = 'private'\n\
         [[fault]]\nkind = 'delay'\nper_minute = 2\nfor_ms = 800\non = 'private'\n\
         [[fault]]\nkind = 'truncated'\nat_s = [12]\non = 'private'\n\
         [[fault]]\nkind = 'malformed'\nat_s = [24]\non = 'private'\n\
         [[fault]]\nkind = 'disconnect'\nat_s = [30]\non = 'private'\n\
         [[fault]]\nkind = 'http_429'\nvenue = 'binance-usdm'\nat_s = [38]\nfor_ms = 3000\n\
         [[fault]]\nkind = 'http_418'\nvenue = 'okx'\nat_s = [44]\nfor_ms = 2000\n";
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let venues = &["binance-usdm", "okx"];
    let world = World { venues, route: OrderRoute::Http, seed: 2, plan, trading: 46, closing: 130 };
    let (counts, faults) = survives_in(&world, |_| ());
    assert!(counts.trades_closed >= 5 && counts.rejects > 0 && counts.unknown > 0, "{counts:?}");
    for kind in [
        FaultKind::AckLost,
        FaultKind::Reject,
        FaultKind::PartialFill,
        FaultKind::FillBeforeAck,
        FaultKind::Duplicate,
        FaultKind::Delay,
        FaultKind::Disconnect,
        FaultKind::Http429,
        FaultKind::Http418,
    ] {
        assert!(faults.of(kind) > 0, "no {}: {faults}", kind.name());
    }
}

/// Early fills, halves, refusals, a moving clock and a narrow band, all at `venue`; and it takes halves of positions
/// away, which is booked as what it is, once, and alarmed, and the other leg is closed. News are told twice; every fill
/// counts once.
fn survives_a_venue_that_matches_badly(venue: &str) {
    let text = format!(
        "until_s = 36\n\
         [[fault]]\nkind = 'fill_before_ack'\nvenue = '{venue}'\nper_minute = 20\nfor_ms = 20\n\
         [[fault]]\nkind = 'partial_fill'\nvenue = '{venue}'\nper_minute = 20\n\
         [[fault]]\nkind = 'reject'\nvenue = '{venue}'\nper_minute = 10\n\
         [[fault]]\nkind = 'duplicate'\nvenue = '{venue}'\nper_minute = 120\non = 'private'\n\
         [[fault]]\nkind = 'clock_skew'\nvenue = '{venue}'\nat_s = [8]\nby_ms = 1_500\nfor_ms = 4_000\n\
         [[fault]]\nkind = 'price_band'\nvenue = '{venue}'\nat_s = [15]\nband_bps = 1\nfor_ms = 2_000\n\
         [[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [4, 10, 18, 26]\n"
    );
    let plan = FaultPlan::parse("faults", &text).expect("a plan");
    let other = if venue == "binance-usdm" { "okx" } else { "binance-usdm" };
    let venues = &[other, venue];
    let (counts, faults) = survives_in(
        &World { venues, route: OrderRoute::Websocket, seed: 7, plan, trading: 40, closing: 30 },
        |_| (),
    );
    for kind in [
        FaultKind::FillBeforeAck,
        FaultKind::PartialFill,
        FaultKind::Reject,
        FaultKind::Duplicate,
        FaultKind::ClockSkew,
        FaultKind::PriceBand,
    ] {
        assert!(faults.of(kind) > 0, "no {} at {venue}: {faults}", kind.name());
    }
    assert!(counts.rejects > 0 && counts.trades_closed > 0, "{counts:?}");
    assert!(faults.of(FaultKind::Adl) > 0, "{faults}");
    assert_eq!(counts.foreign, faults.of(FaultKind::Adl), "{venue}: each is seen, once");
}

#[test]
fn binance_may_match_badly_repeat_itself_and_take_positions_away() {
    survives_a_venue_that_matches_badly("binance-usdm");
}

#[test]
fn okx_may_match_badly_repeat_itself_and_take_positions_away() {
    survives_a_venue_that_matches_badly("okx");
}

#[test]
fn bybit_may_match_badly_repeat_itself_and_take_positions_away() {
    survives_a_venue_that_matches_badly("bybit");
}

#[test]
fn deribit_may_match_badly_repeat_itself_and_take_positions_away() {
    survives_a_venue_that_matches_badly("deribit");
}

#[test]
fn hyperliquid_may_match_badly_repeat_itself_and_take_positions_away() {
    survives_a_venue_that_matches_badly("hyperliquid");
}

/// Nobody gets in for three seconds while trades are open at `venue`: they are closed afterwards. How many orders
/// were filled there later.
fn survives_maintenance(venue: &str) -> usize {
    let text = format!("[[fault]]\nkind = 'maintenance'\nvenue = '{venue}'\nat_s = [6]\nfor_ms = 3_000\n");
    let plan = FaultPlan::parse("faults", &text).expect("a plan");
    let other = if venue == "okx" { "bybit" } else { "okx" };
    let venues = &[other, venue];
    let mut late = 0;
    let world = World { venues, route: OrderRoute::Websocket, seed: 3, plan, trading: 20, closing: 30 };
    let (counts, faults) = survives_in(&world, |simulation| {
        let since = START + 12 * SECOND;
        let orders = simulation.servers()[1].ledger().orders();
        late = orders.iter().filter(|row| row.order.created > since && row.order.filled > 0).count();
    });
    assert_eq!(faults.of(FaultKind::Maintenance), 1);
    println!("{venue}: {late} orders filled afterwards, {counts:?}");
    late
}

#[test]
fn maintenance_of_each_venue_is_outlived() {
    let late: usize = VENUES.iter().map(|venue| survives_maintenance(venue)).sum();
    assert!(late > 0, "they are traded afterwards");
}

#[test]
fn a_demo_with_faults_tells_them() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let file = dir.path().join("faults.toml");
    let text = "[[fault]]\nkind = 'gap'\nper_minute = 600\nvenue = 'okx'\n\
                [[fault]]\nkind = 'disconnect'\nat_s = [2]\non = 'market'\nvenue = 'binance-usdm'\n";
    std::fs::write(&file, text).expect("temporary disk");
    let args = DemoArgs {
        duration: Some(Duration::from_secs(3)),
        instruments: 1,
        pinning: Some("fused".into()),
        idle: Some(IdleMode::Yield),
        faults: Some(file),
        json: true,
        ..DemoArgs::default()
    };
    let report = trade(&args, &Signals::default()).expect("a demo on loopback");
    assert!(report.to_string().contains("faults of the venues, as asked: disconnect 1, gap "), "{report}");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["faults"]["disconnect"], 1, "{json}");
    assert!(json["faults"]["gap"].as_u64() > Some(0) && json["faults"]["stale"] == 0, "{json}");
    assert!(json["ledgers"].as_array().expect("a list").iter().all(|row| row["equal"] == true), "{json}");
}
