//! Legs that miss are learnt and cost the edge: at a venue whose blocks match cancels before our orders they miss more,
//! the engine finds out by its own orders, and what is not worth it any more is not entered.

use crate::simulated::{changed_simulation, sim_config};
use perpring::core::scanner::Scanner;
use perpring::core::trade::desk::DeskCounters;
use perpring::domain::instrument::{InstrumentId, VenueId};
use perpring::domain::intent::{BPS, ONE_PPB};
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::sim::FaultPlan;
use perpring::topology::world;

const VENUES: [&str; 3] = ["binance-usdm", "okx", "hyperliquid"];
const SEEDS: [u64; 3] = [7, 21, 1_000];

/// What a run of half a minute came to.
struct Run {
    /// Learnt probability that a leg misses by venue, mean of its listings, parts of 1.
    misses: [f64; 3],
    desk: DeskCounters,
    net: f64,
}

/// The same prior everywhere; only what is seen tells venues apart.
fn run(seed: u64, prior_orders: u32) -> Run {
    let sim = sim_config(seed, &VENUES, |config| {
        // Makers that follow within a block or two: what is seen is often gone when a block comes.
        config.venues[1].lag_ns = 120 * MILLI;
        config.venues[2].lag_ns = 120 * MILLI;
        for instrument in &mut config.instruments {
            // A round trip costs 19 to 21 bp: many edges are worth it by little.
            (instrument.jump_min_ppb, instrument.jump_max_ppb) = (20 * BPS, 30 * BPS);
            instrument.jump_every_ns = 1_500 * MILLI;
        }
    });
    let scan = ScanParams { miss_prior_orders: prior_orders, ..world::demo_scan() };
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        drawdown_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let mut params = world::engine_params(&sim, 7, scan, risk);
    params.venues.iter_mut().for_each(|venue| venue.miss_prior_ppb = 500 * BPS);
    let (mut simulation, config) = changed_simulation(params, &sim, 100 * MICRO, None, &FaultPlan::default());
    simulation.run_for(30 * SECOND);
    let parts = simulation.engine().river().parts();
    let scanner: &Scanner = parts.scan.scanner();
    let mean = |venue: VenueId| {
        let listed = config.params.listings.iter().filter(|listing| listing.venue == venue);
        let rates: Vec<f64> = listed
            .filter_map(|listing| scanner.quality(InstrumentId(listing.id.0)))
            .map(|quality| quality.miss_ppb as f64 / ONE_PPB as f64)
            .collect();
        rates.iter().sum::<f64>() / rates.len() as f64
    };
    let net = parts.risk.rules().positions().totals().net().to_f64();
    Run { misses: [0, 1, 2].map(|venue| mean(VenueId(venue))), desk: scanner.totals().desk, net }
}

#[test]
fn the_venue_whose_blocks_match_cancels_first_is_learnt_and_marginal_trades_there_end() {
    let sums = [0, 20].map(|orders| {
        let runs = SEEDS.map(|seed| run(seed, orders));
        for run in &runs {
            println!("{orders}: {:.3?}, net {:.3}, {:?}", run.misses, run.net, run.desk);
            let [binance, okx, hyperliquid] = run.misses;
            if orders > 0 {
                assert!(hyperliquid > binance && hyperliquid > okx && hyperliquid > 0.05, "{:?}", run.misses);
            } else {
                assert_eq!(run.misses, [0.0; 3], "nothing is learnt");
            }
        }
        let entries: u64 = runs.iter().map(|run| run.desk.opened).sum();
        (entries, runs.iter().map(|run| run.net).sum::<f64>())
    });
    println!("{sums:?}");
    let [without, with] = sums;
    assert!(with.0 > 10 && with.0 < without.0, "fewer entries, but entries: {sums:?}");
    let each = |(entries, net): (u64, f64)| net / entries as f64;
    assert!(each(with) >= each(without), "no worse an entry: {sums:?}");
}
