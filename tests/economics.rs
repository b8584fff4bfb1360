//! Honest economics: where nothing can be earned nothing is, what is paid is what the venues' terms say, and
//! being late costs money. Each over several seeds.

use crate::simulated::{outcome, sim_config};
use perpring::domain::params::ScanParams;
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::sim::SimConfig;
use perpring::topology::world;

const BOTH: [&str; 2] = ["binance-usdm", "okx"];
const SEEDS: [u64; 3] = [7, 21, 1_000];

/// A world whose venues all follow the latent price at once: there is no edge in it.
fn without_lag(seed: u64) -> SimConfig {
    sim_config(seed, &BOTH, |config| {
        for venue in &mut config.venues {
            venue.lag_ns = 0;
        }
    })
}

#[test]
fn without_lag_there_is_nothing_to_trade() {
    for seed in SEEDS {
        let run = outcome(&without_lag(seed), world::demo_scan(), 100 * MICRO, 20);
        assert!(run.counts.frames > 2_000, "seed {seed}: {:?}", run.counts);
        assert_eq!((run.counts.intents, run.counts.orders_sent), (0, 0), "seed {seed}");
    }
}

/// Fees and half-spreads on everything that was filled, from the venues' terms and their own books alone.
fn terms(sim: &SimConfig, run: &crate::simulated::Outcome) -> (f64, f64) {
    let (mut fees, mut spreads) = (0.0, 0.0);
    for (venue, server) in sim.venues.iter().zip(&run.servers) {
        let ledger = server.ledger();
        for fill in ledger.fills() {
            let listing = &venue.listings[usize::from(fill.listing.0)];
            let notional = fill.notional.to_f64();
            let price0 = sim.instruments[listing.instrument].price0;
            let price0 = price0.mantissa as f64 / 10f64.powi(i32::from(price0.scale));
            let tick = listing.tick.mantissa as f64 / 10f64.powi(i32::from(listing.tick.scale));
            fees += notional * venue.taker_fee_ppb as f64 / 1e9;
            // Never less than half a tick.
            spreads += notional * (venue.half_spread_ppb as f64 / 1e9).max(tick / price0 / 2.0);
        }
    }
    (fees, spreads)
}

#[test]
fn random_entry_loses_fees_and_spreads() {
    let scan = ScanParams { random_entry_ns: SECOND, hold_max_ns: SECOND, ..world::demo_scan() };
    for seed in SEEDS {
        let sim = without_lag(seed);
        let run = outcome(&sim, scan.clone(), 100 * MICRO, 30);
        assert!(run.counts.trades_opened > 15, "seed {seed}: {:?}", run.counts);
        let (fees, spreads) = terms(&sim, &run);
        let (paid, lost) = (run.totals.fees.to_f64(), -run.totals.net().to_f64());
        println!("seed {seed}: fees {paid} of {fees}, lost {lost}, spreads {spreads}");
        // A venue cuts every fee to its last decimal.
        assert!((paid - fees).abs() < 1e-4, "seed {seed}: fees {paid}, by the terms {fees}");
        // Beyond the fees goes the half-spread of every fill, within half of it for moves on the way; that is
        // within 2 % of all that is lost.
        let beyond = lost - paid;
        assert!(
            (0.5 * spreads..1.5 * spreads).contains(&beyond),
            "seed {seed}: {beyond} beyond the fees, {spreads}"
        );
        assert!((lost / (fees + spreads) - 1.0).abs() < 0.02, "seed {seed}: {lost} of {}", fees + spreads);
    }
}

#[test]
fn more_latency_means_fewer_hits_and_less_profit() {
    const LATENCIES: [Nanos; 3] = [100 * MICRO, 40 * MILLI, 120 * MILLI];
    let by_latency = LATENCIES.map(|latency| {
        let (mut hits, mut net) = (0, 0.0);
        for seed in SEEDS {
            let run = outcome(&sim_config(seed, &BOTH, |_| {}), world::demo_scan(), latency, 60);
            hits += run.counts.trades_opened;
            net += run.totals.net().to_f64();
        }
        (hits, net)
    });
    println!("{by_latency:?}");
    assert!(
        by_latency.is_sorted_by(|faster, slower| faster.0 > slower.0 && faster.1 > slower.1),
        "{by_latency:?}"
    );
    assert!(by_latency[0].1 > 0.0, "{by_latency:?}");
}
