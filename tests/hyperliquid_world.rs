//! The whole engine trading between the simulated Binance and Hyperliquid, which share no code with it: what
//! it believes equals the venues' own books to the last unit, and the run replays identically.

use crate::safety::{findings, tuned};
use crate::simulated::{TempDir, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::domain::codec::decode_output;
use perpring::domain::event::Seq;
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::output::Output;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::standing::Check;
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::journal::{Reader, Stream};
use perpring::replay::verify::verify;
use perpring::topology::world;
use std::collections::BTreeMap;

const BOTH: [&str; 2] = ["binance-usdm", "hyperliquid"];

/// Best prices come with blocks of 70 ms: an edge has to outlast them.
fn scan() -> ScanParams {
    ScanParams { edge_persist_ns: 80 * MILLI, ..world::demo_scan() }
}

#[test]
fn trades_with_hyperliquid_equal_both_ledgers_and_replay_identically() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, _) = simulation(&sim, scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(90 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(8 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 3, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised, mut funding) = (Money::ZERO, Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue == VenueId(index as u8)) {
            assert_eq!(row.position.qty, 0, "flat at the end");
            assert_eq!(row.venue_qty, Some(0), "and the venue says so");
            assert!(!row.discrepant);
            fees += row.position.fees;
            realised += row.position.realised;
            funding += row.position.funding;
        }
        let theirs = ledger.totals(account);
        assert_eq!(
            (fees, realised, funding),
            (theirs.fees, theirs.realised, theirs.funding),
            "{}",
            ledger.venue()
        );
        assert!(fees > Money::ZERO);
        let filled = ledger.orders().iter().filter(|row| row.order.filled > 0).count();
        assert!(filled >= 6, "{filled} orders filled at {}", ledger.venue());
    }
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert!(report.divergence.is_none(), "{:?}", report.divergence);
    quick_signatures_leave_first(dir.path());
}

/// Of the legs that one input sends, the one that is signed by an elliptic curve is the last.
fn quick_signatures_leave_first(journal: &std::path::Path) {
    let mut legs: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
    let mut reader = Reader::open(journal, Stream::Outputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let (_, output, _) = decode_output(Seq(record.seq), record.body).expect("this version");
        if let Output::Message(shape) = output
            && shape.meta.order.is_some()
        {
            legs.entry(record.seq).or_default().push(shape.scheme.is_slow());
        }
    }
    let pairs: Vec<&Vec<bool>> = legs.values().filter(|legs| legs.len() == 2).collect();
    assert!(!pairs.is_empty() && pairs.iter().all(|legs| **legs == [false, true]), "{pairs:?}");
}

#[test]
fn funding_of_both_venues_is_booked_as_they_pay_it() {
    let sim = sim_config(7, &BOTH, |config| {
        // An hour is long for a test: the same rule with a shorter time.
        for venue in &mut config.venues {
            venue.funding_interval_ns = 5 * SECOND;
        }
    });
    let scan = ScanParams { random_entry_ns: SECOND, hold_max_ns: 6 * SECOND, ..scan() };
    let risk = RiskParams { consecutive_failures_max: 1_000_000, ..RiskParams::default() };
    let (mut simulation, _) = simulation(&sim, scan, risk, 100 * MICRO, None);
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(8 * SECOND);
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    let server = &simulation.servers()[1];
    let account = server.ledger().account_ids().next().expect("one account");
    let ours = positions.positions().filter(|row| row.instrument.venue == VenueId(1));
    let (mut booked, mut fees) = (Money::ZERO, Money::ZERO);
    for row in ours {
        booked += row.position.funding;
        fees += row.position.fees;
    }
    let theirs = server.ledger().totals(account);
    assert!(!server.ledger().funding().is_empty());
    assert_eq!((booked, fees), (theirs.funding, theirs.fees));
}

#[test]
fn each_setting_that_is_not_as_configured_is_named_and_holds_the_venue() {
    type Tune = fn(&mut perpring::sim::SimVenueConfig);
    let cases: [(Tune, &[(Check, &str)]); 9] = [
        (|_| {}, &[]),
        (|v| v.accounts[0].settings.leverage = 20, &[(Check::Leverage, "leverage is 20, must be 10")]),
        (
            |v| v.accounts[0].settings.isolated = true,
            &[(Check::MarginMode, "margin mode is isolated, must be cross")],
        ),
        (
            |v| v.accounts[0].settings.multi_asset = true,
            &[(Check::AssetMode, "asset mode is multi-asset, must be single-asset")],
        ),
        (
            |v| v.accounts[0].settings.may_trade = false,
            &[
                (Check::Permission, "permission to trade is not granted, must be granted"),
                (Check::DeadMan, "dead man's switch is not armed, must be armed"),
            ],
        ),
        (
            |v| v.accounts[0].settings.agent_valid_ns = 1_800 * SECOND,
            &[(Check::Permission, "permission to trade is not granted, must be granted")],
        ),
        (
            |v| v.accounts[0].settings.traded_usd = 999_999,
            &[(Check::DeadMan, "dead man's switch is not armed, must be armed")],
        ),
        (
            |v| (v.address_requests, v.accounts[0].settings.traded_usd) = (900, 0),
            &[
                (Check::DeadMan, "dead man's switch is not armed, must be armed"),
                (Check::Requests, "requests left is 900, must be at least 1000"),
            ],
        ),
        (|v| v.taker_fee_ppb = 500_000, &[(Check::Fee, "taker fee is 5 bps, must be at most 4.5 bps")]),
    ];
    for (tune, expected) in cases {
        let sim = sim_config(7, &BOTH, |sim| tune(&mut sim.venues[1]));
        let mut simulation = tuned(&sim, |params| {
            params.scan.edge_persist_ns = 80 * MILLI;
            params.venues[1].taker_fee_ppb = 450_000;
        });
        simulation.run_for(10 * SECOND);
        let expected: Vec<_> = expected.iter().map(|(check, text)| (*check, (*text).to_owned())).collect();
        assert_eq!(findings(&mut simulation, 1), expected);
        assert_eq!(findings(&mut simulation, 0), [], "the other venue is well");
        let held = simulation
            .engine()
            .river()
            .parts()
            .scan
            .scanner()
            .views()
            .any(|view| view.why == WhyNot::VenueHeld);
        assert_eq!(held, !expected.is_empty(), "{expected:?}");
        if held {
            assert_eq!(simulation.engine().keeper().watch().counts().orders_sent, 0, "{expected:?}");
        }
    }
}

#[test]
fn requests_are_stamped_in_the_venues_time_and_the_switch_is_kept_armed() {
    // The venue's world starts with its own clock; the engine's wall clock is what the simulation says.
    let sim = sim_config(7, &BOTH, |_| {});
    let mut simulation = tuned(&sim, |params| params.scan.threshold_ppb = 90_000_000);
    simulation.run_for(100 * SECOND);
    assert_eq!(findings(&mut simulation, 1), []);
    let now = simulation.now();
    let gate = simulation.engine().river().parts().risk.rules().start_gate();
    let at = perpring::domain::time::Stamp { mono: 100 * SECOND, wall: now };
    let estimate = gate.clocks().estimate(VenueId(1), at).expect("it was asked");
    assert!(estimate.offset.abs() <= estimate.uncertainty, "{estimate:?}: the truth is 0");
    assert!(
        estimate.uncertainty >= 100 * MILLI && estimate.uncertainty < 110 * MILLI,
        "half a block's age and the way"
    );
}
