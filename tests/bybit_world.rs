//! The whole engine between the simulated Binance and the simulated Bybit, which shares no code with the
//! dialect: trades open and close, books of account agree to the last unit, and a recorded run replays.

use crate::safety::{findings, tuned};
use crate::simulated::{START, TempDir, assert_ledgers_equal, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::domain::input::{Command, ConnId};
use perpring::domain::instrument::{Price, VenueId};
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::standing::Check;
use perpring::domain::time::{MICRO, MILLI, SECOND, Stamp};
use perpring::replay::verify::verify;
use perpring::sim::exchange::{EndReason, OrderStatus};
use perpring::sim::{LedgerServer, SimAccountSettings, SimConn};
use perpring::stage::egress::Vault;
use perpring::topology::world;
use perpring::venue::{Rendered, dialect};

const VENUES: [&str; 2] = ["binance-usdm", "bybit"];

#[test]
fn trades_between_binance_and_bybit_equal_the_ledgers() {
    let sim = sim_config(7, &VENUES, |_| {});
    let (mut simulation, _) = simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    assert_ledgers_equal(&mut simulation);
    for server in simulation.servers() {
        let ledger = server.ledger();
        let rejected = ledger.orders().iter().filter(|row| row.order.status == OrderStatus::Rejected);
        assert_eq!(rejected.count(), 0, "no order is refused by {}", ledger.venue());
    }
}

#[test]
fn a_run_with_bybit_replays_identically() {
    let dir = TempDir::new();
    let sim = sim_config(11, &VENUES, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(20 * SECOND);
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!(report.divergence, None);
}

#[test]
fn each_wrong_setting_is_found_named_and_holds_bybit() {
    type Set = fn(&mut SimAccountSettings);
    let cases: [(Set, Check, &str); 6] = [
        (|s| s.long_short = true, Check::PositionMode, "position mode is long and short, must be one-way"),
        (|s| s.isolated = true, Check::MarginMode, "margin mode is isolated, must be cross"),
        (|s| s.leverage = 20, Check::Leverage, "leverage is 20, must be 10"),
        (|s| s.level = 1, Check::AccountLevel, "account level is 1, must be at least 3"),
        (|s| s.may_trade = false, Check::Permission, "permission to trade is not granted, must be granted"),
        (|_| {}, Check::Clock, ""),
    ];
    for (set, check, sentence) in cases {
        let sim = sim_config(7, &VENUES, |sim| set(&mut sim.venues[1].accounts[0].settings));
        let mut simulation = tuned(&sim, |_| {});
        simulation.run_for(10 * SECOND);
        let sent = simulation.engine().keeper().watch().counts().orders_sent;
        if sentence.is_empty() {
            assert_eq!(findings(&mut simulation, 1), [], "nothing is wrong");
            assert!(sent > 0, "and it trades");
            continue;
        }
        assert_eq!(findings(&mut simulation, 1), [(check, sentence.to_owned())]);
        assert_eq!(sent, 0, "{sentence}");
        let parts = simulation.engine().river().parts();
        assert!(parts.scan.scanner().views().any(|view| view.why == WhyNot::VenueHeld));
    }
    let sim = sim_config(7, &VENUES, |_| {});
    let mut simulation = tuned(&sim, |params| params.venues[1].taker_fee_ppb = 400_000);
    simulation.run_for(5 * SECOND);
    let fee = (Check::Fee, "taker fee is 5.5 bps, must be at most 4 bps".to_owned());
    assert_eq!(findings(&mut simulation, 1), [fee]);
    assert_eq!(simulation.engine().keeper().watch().counts().orders_sent, 0);
}

#[test]
fn a_clock_that_is_off_is_known_to_the_millisecond_and_what_is_signed_is_in_the_venues_time() {
    let sim = sim_config(7, &VENUES, |_| {});
    let mut simulation = tuned(&sim, |_| {});
    simulation.run_for(10 * SECOND);
    let now = Stamp { mono: simulation.now() - START, wall: simulation.now() };
    let clocks = simulation.engine().river().parts().risk.rules().start_gate().clocks().clone();
    let estimate = clocks.estimate(VenueId(1), now).expect("it was asked");
    // Simulated venues and the engine share a clock: what is left is what could not be known.
    assert!(estimate.offset.abs() <= estimate.uncertainty && estimate.uncertainty < MILLI, "{estimate:?}");
}

/// What rests when the engine dies is cancelled by the venue that granted its protection; where it did not,
/// the order stays.
#[test]
fn an_order_that_rests_when_the_engine_dies_is_cancelled_where_the_protection_was_granted() {
    for granted in [true, false] {
        let sim = sim_config(7, &VENUES, |sim| {
            sim.venues[1].accounts[0].settings.disconnect_protection = granted;
            for instrument in &mut sim.instruments {
                instrument.jump_every_ns = 0;
            }
        });
        // Nothing trades: the order under test is alone.
        let scan = ScanParams { basis_samples_min: 101, threshold_ppb: 90_000_000, ..world::demo_scan() };
        let mut params = None;
        let mut simulation = tuned(&sim, |tuned| {
            tuned.scan = scan;
            tuned.venues[1].dead_man_ns = 30 * SECOND;
            params = Some(tuned.clone());
        });
        simulation.run_for(40 * SECOND);
        let missing = (Check::DeadMan, "dead man's switch is not armed, must be armed".to_owned());
        assert_eq!(
            findings(&mut simulation, 1).contains(&missing),
            !granted,
            "it must be granted, or not wanted"
        );
        let params = params.expect("built");
        let (_, contexts) = perpring::stage::decode::plan(&params, true).expect("known dialects");
        let context = &contexts[1];
        let listing = context.listings[0];
        let parts = simulation.engine().river().parts();
        let instrument = parts.risk.rules().positions().instrument(listing.id).copied().expect("defined");
        let mid = parts.scan.scanner().mid(listing.id).expect("a live book");
        let mut encoder = dialect("bybit").expect("known").encoder(context);
        encoder.on_instrument(&instrument);
        let order = OrderSpec {
            client_id: ClientId::new(7, 1 << 40),
            venue: VenueId(1),
            instrument: listing.id,
            side: Side::Buy,
            qty: instrument.qty_for_base(Money(10_000_000_000_000_000), mid),
            price: Price((mid.0 * 97 / 100) / instrument.tick * instrument.tick),
            tif: TimeInForce::Gtc,
            reduce_only: false,
        };
        let now = simulation.now();
        let meta = crate::safety::meta_of(order);
        let mut payload = perpring::domain::effect::Payload::new();
        let at = Stamp { mono: 0, wall: now };
        let Ok(Rendered::Socket(conn)) = encoder.order(&order, &meta, at, &mut payload) else {
            panic!("orders go over a socket");
        };
        let mut sealed = Vec::new();
        Vault::new(world::credentials(&sim)).seal(1, &payload, &mut sealed).expect("a known key");

        // The engine sends it and is gone, and its connections with it.
        let (_, mut servers) = simulation.into_parts();
        let server = &mut servers[1];
        let mut pushes = Vec::new();
        let link = |conn: ConnId| SimConn(1 << 8 | u32::from(conn.0));
        server.on_text(link(conn), &sealed, now, &mut pushes);
        server.advance(now + SECOND, &mut pushes);
        let row = |server: &dyn LedgerServer| {
            let rows = server.ledger().orders();
            let ours = rows.iter().rev().find(|row| row.order.client_id == order.client_id.to_string());
            ours.map(|row| (row.order.status.is_open(), row.order.ended))
        };
        assert_eq!(row(&**server), Some((true, EndReason::None)), "it rests");
        for at in 0..3 {
            server.on_closed(link(ConnId(context.conn_base.0 + at)), now + SECOND, &mut pushes);
        }
        server.advance(now + 30 * SECOND, &mut pushes);
        assert_eq!(row(&**server), Some((true, EndReason::None)), "not before its time");
        server.advance(now + 32 * SECOND, &mut pushes);
        let end = if granted { (false, EndReason::Countdown) } else { (true, EndReason::None) };
        assert_eq!(row(&**server), Some(end), "granted: {granted}");
    }
}

#[test]
fn a_budget_of_few_orders_is_kept_to_and_hedges_still_go() {
    let sim = sim_config(7, &VENUES, |sim| sim.venues[1].orders_per_window_max = 2);
    let mut simulation = tuned(&sim, |_| {});
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(10 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened > 0 && counts.denials > 0, "{counts:?}");
    assert_eq!(counts.rejects, 0, "held back by us, not refused by the venue");
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for row in positions.positions() {
        assert_eq!(row.position.qty, 0, "flat at the end");
    }
}
