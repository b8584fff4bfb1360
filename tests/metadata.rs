//! Venues change contracts while the engine trades them: steps of prices and quantities, suspensions, delistings, and back
//! again. The engine follows with a new generation, opens nothing where nothing trades, sends no order in old steps (rules
//! `off_grid` and `opens_suspended` of the checker, which is held against every journal here), resolves those that were
//! under way, closes what it holds, and trades on afterwards.

use crate::faults::{World, survives_in};
use crate::simulated::START;
use perpring::domain::instrument::{Instrument, Status, VenueId};
use perpring::domain::number::Num;
use perpring::domain::params::OrderRoute;
use perpring::domain::time::{Nanos, SECOND};
use perpring::sim::FaultPlan;
use perpring::sim::faults::FaultKind;
use perpring::topology::simulated::Simulation;

/// What the engine knew of the contract of a venue, with the simulated second.
#[derive(Default)]
struct Followed {
    seen: Vec<(i64, Instrument)>,
    /// Orders that the venue filled, by the nanosecond after the start.
    filled: Vec<Nanos>,
    /// Orders that the venue refused.
    refused: usize,
}

impl Followed {
    fn look(&mut self, simulation: &mut Simulation, venue: usize) {
        let second = (simulation.now() - START) / SECOND;
        let rules = simulation.engine().river().parts().risk.rules();
        let mut rows = rules.positions().positions();
        let found = rows.find(|row| row.instrument.venue == VenueId(venue as u8)).map(|row| row.instrument);
        drop(rows);
        self.seen.extend(found.map(|instrument| (second, instrument)));
        let orders = simulation.servers()[venue].ledger().orders();
        let filled = orders.iter().filter(|row| row.order.filled > 0);
        self.filled = filled.map(|row| row.order.created - START).collect();
        self.refused = orders.iter().filter(|row| row.reject.is_some()).count();
    }

    fn within(&self, from: i64, until: i64) -> impl Iterator<Item = &Instrument> {
        self.seen.iter().filter(move |(at, _)| (from..until).contains(at)).map(|(_, instrument)| instrument)
    }

    /// The order requests filled in these seconds.
    fn traded(&self, from: i64, until: i64) -> usize {
        self.filled.iter().filter(|at| (from * SECOND..until * SECOND).contains(*at)).count()
    }
}

/// The contract at the second of two venues changes, each time for `lasts` seconds from a second on; each change is
/// followed, and once the first one is over it is traded again.
fn follows(venues: [&str; 2], name: &str, changes: &[(&str, i64)], lasts: i64, trading: i64) {
    let mut text = String::new();
    for (change, at) in changes {
        let for_ms = lasts * 1_000;
        text += &format!(
            "[[fault]]\nkind = 'metadata'\nvenue = '{name}'\nchange = '{change}'\nat_s = [{at}]\nfor_ms = {for_ms}\n"
        );
    }
    let plan = FaultPlan::parse("faults", &text).expect("a plan");
    let mut followed = Followed::default();
    let world = World { venues: &venues, route: OrderRoute::Websocket, seed: 5, plan, trading, closing: 90 };
    let (counts, faults) = survives_in(&world, |simulation| followed.look(simulation, 1));
    println!("{name}: {} orders refused", followed.refused);
    assert_eq!(faults.of(FaultKind::Metadata), changes.len() as u64, "{faults}");
    assert!(counts.trades_closed > 1, "{counts:?}");
    let plain = followed.within(0, changes[0].1).last().expect("the contract is known");
    for (change, at) in changes {
        let tenfold = |is: Num, was: Num| {
            let scale = is.scale.max(was.scale);
            is.at_scale(scale) == was.at_scale(scale).map(|was| 10 * was)
        };
        let is_followed = |seen: &Instrument| match *change {
            "tick" => tenfold(seen.spec.tick, plain.spec.tick) && seen.generation > plain.generation,
            "lot" => tenfold(seen.spec.step, plain.spec.step) && seen.generation > plain.generation,
            _ => seen.spec.status == Status::Suspended,
        };
        // Read up at the pace that the venue allows.
        assert!(followed.within(*at, at + lasts + 2).any(is_followed), "{name}: {change} was not followed");
    }
    let (_, last) = followed.seen.last().expect("the contract is known");
    assert_eq!(last.spec.status, Status::Trading, "{name}: back again");
    let after = changes[0].1 + lasts;
    assert!(followed.traded(after, trading) > 0, "{name}: traded afterwards");
}

/// Every change, at venues that tell of it.
const ANNOUNCED: [(&str, i64); 4] = [("tick", 4), ("lot", 14), ("suspended", 24), ("delisted", 34)];

#[test]
fn binance_announces_changes_and_is_followed() {
    follows(["okx", "binance-usdm"], "binance-usdm", &ANNOUNCED, 8, 56);
}

#[test]
fn binance_coin_margined_announces_changes_and_is_followed() {
    follows(["binance-coinm", "binance-coinm"], "binance-coinm-1", &ANNOUNCED, 8, 56);
}

#[test]
fn okx_announces_changes_and_is_followed() {
    follows(["binance-usdm", "okx"], "okx", &ANNOUNCED, 8, 56);
}

#[test]
fn deribit_announces_whether_contracts_trade_and_is_followed_in_all() {
    // What it does not announce is read within a minute at the latest.
    follows(["okx", "deribit"], "deribit", &[("lot", 4), ("suspended", 70)], 62, 150);
}

#[test]
fn bybit_announces_nothing_and_is_followed() {
    follows(["okx", "bybit"], "bybit", &[("tick", 4), ("suspended", 70)], 62, 150);
}

#[test]
fn hyperliquid_announces_nothing_and_is_followed() {
    follows(["okx", "hyperliquid"], "hyperliquid", &[("lot", 4)], 62, 132);
}

#[test]
fn a_contract_that_is_finer_than_at_the_start_rescales_every_listing_of_its_instrument() {
    // Coarse from the start: the engine first learns the larger steps, and then the finer ones.
    let text = "[[fault]]\nkind = 'metadata'\nvenue = 'okx'\nchange = 'tick'\nat_s = [0]\nfor_ms = 8_000\n\
                [[fault]]\nkind = 'metadata'\nvenue = 'binance-usdm'\nchange = 'tick'\nat_s = [0]\nfor_ms = 60_000\n";
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let (mut okx, mut binance) = (Followed::default(), Followed::default());
    let world = World {
        venues: &["binance-usdm", "okx"],
        route: OrderRoute::Websocket,
        seed: 5,
        plan,
        trading: 26,
        closing: 90,
    };
    survives_in(&world, |simulation| {
        binance.look(simulation, 0);
        okx.look(simulation, 1);
    });
    for (name, followed) in [("okx", &okx), ("binance", &binance)] {
        let (before, after) =
            (followed.within(2, 8).last().expect("known"), followed.within(22, 26).last().expect("known"));
        assert_eq!(after.price_scale, before.price_scale + 1, "{name}");
        assert!(after.generation > before.generation, "{name}: its books and prices began anew");
        assert!(followed.traded(22, 26) > 0, "{name} is traded in the new scale");
    }
    assert_eq!(
        binance.seen.last().map(|(_, seen)| seen.spec.tick),
        Some(Num::new(1, 0)),
        "its own steps are the old ones"
    );
}
