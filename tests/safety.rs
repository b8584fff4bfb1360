//! Venue safety end to end: settings that are wrong at the venue, contracts that are suspended, an engine that
//! dies with an order resting.

use crate::simulated::{changed_simulation, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::core::trade::{Phase, Trade};
use perpring::domain::effect::{MessageId, OutMeta, Payload, Target};
use perpring::domain::event::Seq;
use perpring::domain::input::ConnId;
use perpring::domain::instrument::VenueId;
use perpring::domain::intent::{ONE_PPB, TradeId};
use perpring::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use perpring::domain::params::{EngineParams, RiskParams, ScanParams};
use perpring::domain::standing::Check;
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::sim::exchange::EndReason;
use perpring::sim::{FaultPlan, SimAccountSettings, SimConfig, SimConn};
use perpring::stage::egress::Vault;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::{Rendered, dialect};

const BOTH: [&str; 2] = ["binance-usdm", "okx"];

/// A simulation of `sim` whose engine has its parameters changed by `tune`.
pub fn tuned(sim: &SimConfig, tune: impl FnOnce(&mut EngineParams)) -> Simulation {
    let mut params = world::engine_params(sim, 7, world::demo_scan(), RiskParams::default());
    tune(&mut params);
    changed_simulation(params, sim, 100 * MICRO, None, &FaultPlan::default()).0
}

/// Findings of a venue: check and sentence, without those per listing but the first.
pub fn findings(simulation: &mut Simulation, venue: u8) -> Vec<(Check, String)> {
    let gate = simulation.engine().river().parts().risk.rules().start_gate();
    let mut found: Vec<_> = gate
        .findings()
        .filter(|finding| finding.venue == VenueId(venue))
        .map(|finding| (finding.check, finding.sentence()))
        .collect();
    found.dedup();
    found
}

#[test]
fn each_wrong_setting_is_found_named_and_holds_its_venue() {
    type Set = fn(&mut SimAccountSettings);
    let both: [(Set, Check, &str); 4] = [
        (|s| s.long_short = true, Check::PositionMode, "position mode is long and short, must be one-way"),
        (|s| s.leverage = 20, Check::Leverage, "leverage is 20, must be 10"),
        (|s| s.may_trade = false, Check::Permission, "permission to trade is not granted, must be granted"),
        (|_| {}, Check::Clock, ""),
    ];
    let binance: [(Set, Check, &str); 2] = [
        (|s| s.isolated = true, Check::MarginMode, "margin mode is isolated, must be cross"),
        (|s| s.multi_asset = true, Check::AssetMode, "asset mode is multi-asset, must be single-asset"),
    ];
    let okx: [(Set, Check, &str); 2] = [
        (|s| s.level = 1, Check::AccountLevel, "account level is 1, must be at least 2"),
        (
            |s| s.self_trade = "cancel_taker".into(),
            Check::SelfTrade,
            "self-trade prevention is another rule, must be cancel maker",
        ),
    ];
    for venue in 0..2u8 {
        let own = if venue == 0 { binance } else { okx };
        for (set, check, sentence) in both.into_iter().chain(own) {
            let sim = sim_config(7, &BOTH, |sim| {
                set(&mut sim.venues[usize::from(venue)].accounts[0].settings);
            });
            let mut simulation = tuned(&sim, |_| {});
            simulation.run_for(10 * SECOND);
            let sent = simulation.engine().keeper().watch().counts().orders_sent;
            if sentence.is_empty() {
                assert_eq!(findings(&mut simulation, venue), [], "nothing is wrong");
                assert!(sent > 0, "and it trades");
                continue;
            }
            assert_eq!(findings(&mut simulation, venue), [(check, sentence.to_owned())], "venue {venue}");
            assert_eq!(findings(&mut simulation, 1 - venue), [], "the other venue is well");
            assert_eq!(sent, 0, "{sentence}");
            let parts = simulation.engine().river().parts();
            assert!(parts.scan.scanner().views().any(|view| view.why == WhyNot::VenueHeld));
        }
    }
}

#[test]
fn a_fee_above_the_configured_one_and_orders_of_others_hold_their_venue() {
    let sim = sim_config(7, &BOTH, |_| {});
    for venue in 0..2u8 {
        let mut simulation = tuned(&sim, |params| params.venues[usize::from(venue)].taker_fee_ppb = 400_000);
        simulation.run_for(5 * SECOND);
        let fee = (Check::Fee, "taker fee is 5 bps, must be at most 4 bps".to_owned());
        assert_eq!(findings(&mut simulation, venue).first(), Some(&fee));
        assert_eq!(simulation.engine().keeper().watch().counts().orders_sent, 0);
    }
}

#[test]
fn a_suspended_contract_is_left_alone_and_traded_again_when_the_venue_lets_it() {
    for venue in 0..2 {
        let sim = sim_config(7, &BOTH, |sim| {
            for listing in &mut sim.venues[venue].listings {
                listing.suspend_after_ns = 20 * SECOND;
                listing.resume_after_ns = 50 * SECOND;
            }
        });
        let (mut simulation, _) =
            simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
        simulation.run_for(19 * SECOND);
        let before = simulation.engine().keeper().watch().counts().trades_opened;
        assert!(before > 0);
        // The word reaches us, metadata are read up, what was open closes by its own rules.
        simulation.run_for(6 * SECOND);
        let during = *simulation.engine().keeper().watch().counts();
        simulation.run_for(24 * SECOND);
        let counts = *simulation.engine().keeper().watch().counts();
        assert_eq!(counts.trades_opened, during.trades_opened, "venue {venue}: nothing is opened");
        // Binance takes reductions all the same; at OKX a pair waits, or its leg there, when its exit was on its way.
        let stays = counts.trades_opened - counts.trades_closed;
        assert!(stays <= [0, 2][venue], "venue {venue}: {stays} of {} stay open", counts.trades_opened);
        let suspended = |view: &perpring::core::scanner::PairView| view.why == WhyNot::Suspended;
        assert!(simulation.engine().river().parts().scan.scanner().views().all(|view| suspended(&view)));
        simulation.run_for(40 * SECOND);
        let after = simulation.engine().keeper().watch().counts().trades_opened;
        assert!(after > counts.trades_opened, "venue {venue}: traded again");
    }
}

/// While OKX takes no order, the leg at the other venue is not closed alone: the pair waits, and leaves together.
#[test]
fn a_pair_stays_together_while_one_venue_takes_no_order_for_its_contract() {
    let built = |suspended_at: Option<Nanos>| {
        let sim = sim_config(7, &BOTH, |sim| {
            for listing in &mut sim.venues[1].listings {
                listing.suspend_after_ns = suspended_at.unwrap_or(0);
                listing.resume_after_ns = suspended_at.map_or(0, |at| at + 20 * SECOND);
            }
        });
        // Trades leave by time alone, after the word of the suspension has reached us.
        let scan = ScanParams {
            hold_max_ns: 10 * SECOND,
            exit_tolerance_ppb: -ONE_PPB,
            loss_max_ppb: ONE_PPB,
            ..world::demo_scan()
        };
        simulation(&sim, scan, RiskParams::default(), 100 * MICRO, None).0
    };
    let trade = |simulation: &mut Simulation, id: Option<TradeId>| {
        let scanner = simulation.engine().river().parts().scan.scanner();
        let wanted = |trade: &&Trade| id.map_or(trade.phase == Phase::Open, |id| trade.id == id);
        scanner.trades().find(wanted).copied()
    };
    // An instant at which a trade has just been opened.
    let mut simulation = built(None);
    simulation.run_for(10 * SECOND);
    let (mut now, mut held) = (10 * SECOND, None);
    let (id, at) = loop {
        held = match held {
            Some((id, since)) if now - since >= SECOND => break (id, since),
            Some((id, _)) if trade(&mut simulation, Some(id)).is_some_and(|t| t.phase == Phase::Open) => held,
            _ => trade(&mut simulation, None).map(|trade| (trade.id, now)),
        };
        simulation.run_for(50 * MILLI);
        now += 50 * MILLI;
        assert!(now < 200 * SECOND, "no trade was held for a second");
    };
    let mut simulation = built(Some(at));
    simulation.run_for(at + 6 * SECOND);
    for step in 0..130 {
        let trade = trade(&mut simulation, Some(id)).expect("it is still open");
        let held = trade.legs.map(|leg| leg.position);
        assert!(held.iter().all(|held| *held != 0), "step {step}: one leg stands alone: {held:?}");
        simulation.run_for(100 * MILLI);
    }
    let refused = simulation.engine().river().parts().scan.scanner().totals().desk.failures;
    assert!(refused > 0, "it has tried to leave");
    simulation.run_for(20 * SECOND);
    assert_eq!(trade(&mut simulation, Some(id)), None, "and left when it could");
}

/// About an order that no engine sent.
pub fn meta_of(order: OrderSpec) -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: Some(order),
    }
}

/// What rests when the engine dies is cancelled by the venue, because the engine had armed the switch and no
/// longer says that it lives.
#[test]
fn an_order_that_rests_when_the_engine_dies_is_cancelled_by_the_venue() {
    for (dialects, venue) in [(BOTH, 0usize), (BOTH, 1), (["binance-usdm", "hyperliquid"], 1)] {
        let sim = sim_config(7, &dialects, |sim| {
            for instrument in &mut sim.instruments {
                instrument.jump_every_ns = 0;
            }
        });
        // Nothing trades: the order under test is alone.
        let scan = ScanParams { basis_samples_min: 101, ..world::demo_scan() };
        let mut params = None;
        let mut simulation = tuned(&sim, |tuned| {
            tuned.scan = ScanParams { threshold_ppb: 90_000_000, ..scan };
            tuned.venues.iter_mut().for_each(|venue| venue.dead_man_ns = 30 * SECOND);
            params = Some(tuned.clone());
        });
        simulation.run_for(40 * SECOND);
        let params = params.expect("built");
        let (_, contexts) = perpring::stage::decode::plan(&params, true).expect("known dialects");
        let context = &contexts[venue];
        let listing = context.listings[0];
        let parts = simulation.engine().river().parts();
        let position = parts.risk.rules().positions().instrument(listing.id).copied().expect("defined");
        let mid = parts.scan.scanner().mid(listing.id).expect("a live book");
        let mut encoder = dialect(&context.params.dialect).expect("known").encoder(context);
        encoder.on_instrument(&position);
        let price = (mid.0 * 97 / 100) / position.tick * position.tick;
        let order = OrderSpec {
            client_id: ClientId::new(7, 1 << 28),
            venue: VenueId(venue as u8),
            instrument: listing.id,
            side: Side::Buy,
            qty: position.qty_for_base(perpring::domain::money::Money(10_000_000_000_000_000), mid),
            price: perpring::domain::instrument::Price(price),
            tif: TimeInForce::Gtc,
            reduce_only: false,
        };
        let now = simulation.now();
        let meta = meta_of(order);
        let mut payload = Payload::new();
        let at = Stamp { mono: 0, wall: now };
        let Ok(Rendered::Socket(conn)) = encoder.order(&order, &meta, at, &mut payload) else {
            panic!("orders go over a socket");
        };
        let mut sealed = Vec::new();
        Vault::new(world::credentials(&sim)).seal(venue, &payload, &mut sealed).expect("a known key");

        // The engine is gone; its connections still stand at the venue.
        let (_, mut servers) = simulation.into_parts();
        let server = &mut servers[venue];
        let mut pushes = Vec::new();
        server.on_text(SimConn(1 << 8 | u32::from(conn.0)), &sealed, now, &mut pushes);
        let row = |server: &dyn perpring::sim::LedgerServer| {
            let rows = server.ledger().orders();
            let ours = |id: &str| id.trim_start_matches("0x") == order.client_id.to_string();
            let ours = rows.iter().rev().find(|row| ours(&row.order.client_id));
            ours.map(|row| (row.order.status.is_open(), row.order.ended))
        };
        server.advance(now + SECOND, &mut pushes);
        assert_eq!(row(&**server), Some((true, EndReason::None)), "venue {venue}: it rests");
        server.advance(now + 31 * SECOND, &mut pushes);
        assert_eq!(row(&**server), Some((false, EndReason::Countdown)), "venue {venue}: the switch fired");
    }
}

#[test]
fn a_venue_that_refuses_for_its_limits_is_left_in_peace_and_then_traded() {
    let sim = sim_config(7, &BOTH, |sim| sim.venues[0].weight_per_minute_max = 150);
    let mut simulation = tuned(&sim, |_| {});
    simulation.run_for(150 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    assert_eq!(findings(&mut simulation, 0), [], "everything was read in the end");
    assert!(counts.trades_opened > 0, "{counts:?}");
}
