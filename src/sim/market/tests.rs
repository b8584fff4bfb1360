use super::SimVenue;
use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::config::SimConfig;
use crate::sim::exchange::{ListingId, Side, SimEvent};

const START: Nanos = 1_800_000_000 * SECOND;
const BTC: ListingId = ListingId(0);

fn world(lag_ns: Nanos) -> SimConfig {
    let mut config = SimConfig::demo(7, &["binance-usdm", "binance-usdm"], 2).unwrap();
    config.start_wall_ns = START;
    config.venues[1].lag_ns = lag_ns;
    config.venues[1].half_spread_ppb = config.venues[0].half_spread_ppb;
    for listing in &mut config.venues[1].listings {
        listing.basis_ppb = 0;
    }
    config
}

fn pair(config: &SimConfig) -> [SimVenue; 2] {
    [SimVenue::new(config, 0), SimVenue::new(config, 1)]
}

/// Twice the mid, ticks.
fn mid2(venue: &SimVenue, listing: ListingId) -> i64 {
    let best = |side| venue.exchange().book(listing).best(side).expect("quoted").price;
    best(Side::Buy) + best(Side::Sell)
}

/// How far the second venue's mid is from the first's, ppb.
fn apart_ppb(venues: &[SimVenue; 2], listing: ListingId) -> i64 {
    let (a, b) = (mid2(&venues[0], listing), mid2(&venues[1], listing));
    (b - a) * 1_000_000_000 / a
}

#[test]
fn without_lag_and_noise_venues_quote_the_same_at_equal_times() {
    let mut config = world(0);
    for venue in &mut config.venues {
        (venue.takers_per_second, venue.flicker_ppm) = (0, 0);
    }
    let mut venues = pair(&config);
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..6_000 {
        venues.iter_mut().for_each(|venue| venue.advance(START + step * 10 * MILLI));
        for listing in [BTC, ListingId(1)] {
            assert_eq!(mid2(&venues[0], listing), mid2(&venues[1], listing), "step {step}");
        }
        seen.insert(mid2(&venues[0], BTC));
    }
    assert!(seen.len() > 1_000, "the price moves: {}", seen.len());
}

#[test]
fn without_lag_noise_alone_never_moves_a_price_by_the_fees() {
    let mut venues = pair(&world(0));
    let mut worst = 0;
    for step in 0..12_000 {
        venues.iter_mut().for_each(|venue| venue.advance(START + step * 5 * MILLI));
        worst = worst.max(apart_ppb(&venues, BTC).abs()).max(apart_ppb(&venues, ListingId(1)).abs());
    }
    assert!(worst > 0 && worst < 400_000, "at most 4 bps against 20 bps of fees: {worst} ppb");
}

#[test]
fn a_lagging_venue_is_off_after_jumps_and_comes_back_within_its_lag() {
    let lag = 200 * MILLI;
    let mut venues = pair(&world(lag));
    let (mut gaps, mut off_since, mut lasted) = (0, None, Vec::new());
    for step in 0..24_000i64 {
        let now = START + step * 5 * MILLI;
        venues.iter_mut().for_each(|venue| venue.advance(now));
        if apart_ppb(&venues, BTC).abs() > 2_000_000 {
            let since = *off_since.get_or_insert(now);
            // Two jumps in a row may follow each other; one gap is closed after at most 1.8 × the lag.
            assert!(now - since < 4 * lag, "still off {} ms after the jump", (now - since) / MILLI);
        } else if let Some(since) = off_since.take() {
            gaps += 1;
            lasted.push(now - since);
        }
    }
    // Whoever needs longer finds fewer of them still there.
    let left: Vec<usize> =
        [0, 80, 160, 240, 500].map(|ms| lasted.iter().filter(|time| **time > ms * MILLI).count()).to_vec();
    assert!(left.windows(2).all(|w| w[0] > w[1]), "{left:?}");
    assert!((15..=60).contains(&gaps), "about a jump each 4 s in 120 s: {gaps}");
}

#[test]
fn one_seed_one_market_whatever_the_rhythm_of_advancing() {
    let run = |stride: Nanos| {
        let mut venue = SimVenue::new(&world(100 * MILLI), 1);
        let mut events: Vec<SimEvent> = Vec::new();
        let mut now = START;
        while now <= START + 5 * SECOND {
            venue.advance(now);
            venue.take_events(&mut events);
            now += stride;
        }
        venue.advance(START + 5 * SECOND);
        venue.take_events(&mut events);
        events
    };
    let one = run(5 * MILLI);
    assert!(one.len() > 5_000);
    assert_eq!(one, run(7 * MILLI));
    assert_eq!(one, run(SECOND));
}

#[test]
fn the_book_is_deep_and_never_crossed() {
    let mut venue = SimVenue::new(&world(0), 0);
    let mut events = Vec::new();
    for step in 0..4_000 {
        venue.advance(START + step * 5 * MILLI);
        venue.take_events(&mut events);
        for listing in [BTC, ListingId(1)] {
            let book = venue.exchange().book(listing);
            let (bids, asks) = (book.levels(Side::Buy, 100), book.levels(Side::Sell, 100));
            assert!(bids.len() >= 20 && asks.len() >= 20, "{} bids, {} asks", bids.len(), asks.len());
            assert!(bids[0].price < asks[0].price);
            assert!(bids.iter().chain(&asks).all(|level| level.qty > 0));
        }
    }
}

#[test]
fn funding_is_planned_and_settled_on_whole_intervals() {
    let mut config = world(0);
    config.venues[0].funding_interval_ns = 10 * SECOND;
    let mut venue = SimVenue::new(&config, 0);
    venue.advance(START + SECOND);
    let planned = venue.exchange().listing(BTC).funding_at;
    assert_eq!((planned % (10 * SECOND), planned), (0, START + 10 * SECOND));
    venue.advance(planned);
    assert_eq!(venue.exchange().listing(BTC).funding_at, START + 20 * SECOND);
    assert!((-100_000..=300_000).contains(&venue.exchange().listing(BTC).funding_rate_ppb));
    assert_eq!(venue.exchange().ledger().house(), Money::ZERO);
}
