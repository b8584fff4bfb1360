use super::*;
use crate::domain::event::CHUNK_LEVELS;
use crate::domain::instrument::{Price, Qty};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn chunk(clear: bool, id: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> LevelsChunk {
    let mut chunk = LevelsChunk {
        clear,
        last: true,
        update_id: id,
        venue_ns: id as i64,
        bids: bids.len() as u8,
        asks: asks.len() as u8,
        ..LevelsChunk::default()
    };
    for (at, (price, qty)) in bids.iter().chain(asks).enumerate() {
        chunk.levels[at] = (Price(*price), Qty(*qty));
    }
    chunk
}

fn bbo(id: u64, bid: (i64, i64), ask: (i64, i64)) -> Bbo {
    Bbo {
        bid: Price(bid.0),
        bid_qty: Qty(bid.1),
        ask: Price(ask.0),
        ask_qty: Qty(ask.1),
        update_id: id,
        venue_ns: id as i64,
        ..Bbo::default()
    }
}

fn live() -> Book {
    let mut book = Book::new();
    book.set_state(BookState::Live);
    book.apply(&chunk(true, 10, &[(100, 5), (99, 7), (98, 9)], &[(102, 4), (103, 6), (104, 8)]));
    book
}

/// Levels that a taker meets, and the price of taking: by the definition.
fn naive(book: &Book, side: Side, need: i64) -> Option<(i128, i64)> {
    let mut levels: Vec<(i64, i64)> = Vec::new();
    let (top, qty) = book.touch(side)?;
    levels.push((top, qty));
    levels.extend(book.depth(side).filter(|(price, _)| match side {
        Side::Buy => *price > top,
        Side::Sell => *price < top,
    }));
    let (mut left, mut cost) = (need, 0i128);
    for (price, qty) in levels {
        let take = left.min(qty);
        cost += i128::from(take) * i128::from(price);
        left -= take;
        if left == 0 {
            return Some((cost, price));
        }
    }
    None
}

#[test]
fn takers_meet_the_best_level_first() {
    let book = live();
    assert_eq!(book.touch(Side::Sell), Some((100, 5)));
    assert_eq!(book.touch(Side::Buy), Some((102, 4)));
    let fill = book.fill(Side::Buy, 4).unwrap();
    assert_eq!(fill, Fill { vwap: 102 << VWAP_SHIFT, top: 102, worst: 102, deep: false });
    // 4 at 102 and 4 at 103.
    let fill = book.fill(Side::Buy, 8).unwrap();
    assert_eq!(
        fill,
        Fill { vwap: (102 << VWAP_SHIFT) + (1 << (VWAP_SHIFT - 1)), top: 102, worst: 103, deep: true }
    );
    assert_eq!(book.fill(Side::Buy, 18).unwrap().worst, 104);
    assert_eq!(book.fill(Side::Buy, 19), None, "not that deep");
    assert_eq!(book.fill(Side::Sell, 0), None);
    assert_eq!(book.fill(Side::Sell, -1), None);
}

#[test]
fn a_newer_bbo_is_the_touch_and_stale_depth_is_never_better() {
    let mut book = live();
    // The market moved up: bids at 101 now, asks at 103 with less than the depth shows.
    book.set_bbo(&bbo(11, (101, 2), (103, 1)));
    assert_eq!(book.touch(Side::Sell), Some((101, 2)));
    assert_eq!(book.touch(Side::Buy), Some((103, 1)));
    let fill = book.fill(Side::Buy, 3).unwrap();
    assert_eq!((fill.top, fill.worst), (103, 104), "102 is gone and 103 has one contract, not six");
    let fill = book.fill(Side::Sell, 4).unwrap();
    assert_eq!((fill.top, fill.worst), (101, 100));
    assert_eq!(book.touch_ns(), 11);
    assert_eq!(book.depth_ns(), 10);
}

#[test]
fn an_older_bbo_is_ignored() {
    let mut book = live();
    book.set_bbo(&bbo(9, (101, 2), (103, 1)));
    assert_eq!(book.touch(Side::Sell), Some((100, 5)));
    book.set_bbo(&bbo(12, (101, 2), (103, 1)));
    book.set_bbo(&bbo(11, (50, 2), (60, 1)));
    assert_eq!(book.touch(Side::Sell), Some((101, 2)), "out of order");
    book.apply(&chunk(false, 13, &[(101, 3)], &[(102, 0)]));
    assert_eq!(book.touch(Side::Sell), Some((101, 3)), "the depth overtook it");
    assert_eq!(book.touch(Side::Buy), Some((103, 6)));
}

#[test]
fn without_sequence_numbers_venue_time_decides() {
    let mut book = Book::new();
    book.set_state(BookState::Live);
    let mut depth = chunk(true, 0, &[(100, 5)], &[(102, 4)]);
    depth.venue_ns = 50;
    book.apply(&depth);
    let mut quote = bbo(0, (101, 1), (103, 1));
    quote.venue_ns = 49;
    book.set_bbo(&quote);
    assert_eq!(book.touch(Side::Sell), Some((100, 5)));
    quote.venue_ns = 51;
    book.set_bbo(&quote);
    assert_eq!(book.touch(Side::Sell), Some((101, 1)));
}

#[test]
fn only_live_and_complete_books_are_served() {
    let mut book = Book::new();
    assert!(!book.is_served());
    book.set_state(BookState::Live);
    assert!(book.is_served());
    let mut part = chunk(true, 5, &[(100, 5)], &[]);
    part.last = false;
    book.apply(&part);
    assert!(!book.is_served(), "half a message");
    book.apply(&chunk(false, 5, &[], &[(101, 5)]));
    assert!(book.is_served());
    book.set_state(BookState::Invalid);
    assert!(!book.is_served());
    assert_eq!(book.touch(Side::Buy), None, "what is not live is forgotten");
}

#[test]
fn a_restarted_numbering_voids_the_bbo() {
    let mut book = live();
    book.set_bbo(&bbo(1_000, (101, 2), (103, 1)));
    book.apply(&chunk(false, 3, &[(100, 6)], &[]));
    assert_eq!(book.touch(Side::Sell), Some((100, 6)));
}

#[test]
fn the_worst_level_is_dropped_and_counted_when_full() {
    let mut book = Book::new();
    for at in 0..DEPTH_MAX as i64 {
        book.apply(&chunk(false, 1, &[(1_000 + at, 1)], &[]));
    }
    book.apply(&chunk(false, 1, &[(5, 1)], &[]));
    assert_eq!(book.dropped(), 1, "worse than all");
    assert_eq!(book.depth(Side::Sell).count(), DEPTH_MAX);
    book.apply(&chunk(false, 1, &[(1_000_000, 1)], &[]));
    assert_eq!(book.dropped(), 2);
    let levels: Vec<_> = book.depth(Side::Sell).collect();
    assert_eq!((levels.len(), levels[0].0, levels[DEPTH_MAX - 1].0), (DEPTH_MAX, 1_000_000, 1_001));
}

#[test]
fn impossible_numbers_are_refused_and_counted() {
    let mut book = live();
    book.apply(&chunk(false, 11, &[(-1, 5), (0, 5), (100, -5), (i64::MAX, 1)], &[]));
    book.set_bbo(&bbo(12, (-5, 1), (103, 1)));
    book.set_bbo(&bbo(12, (5, 1), (103, i64::MIN)));
    assert_eq!(book.odd(), 6);
    assert_eq!(book.touch(Side::Sell), Some((100, 5)));
    let odd = LevelsChunk { bids: 255, asks: 255, last: true, ..chunk(false, 12, &[], &[]) };
    book.apply(&odd);
    assert_eq!(book.odd(), 6 + CHUNK_LEVELS as u64);
}

fn level() -> impl Strategy<Value = (i64, i64)> {
    (1i64..60, prop_oneof![Just(0i64), 1i64..20])
}

proptest! {
    #[test]
    fn equals_a_map_and_its_hash_depends_on_the_levels_only(
        updates in proptest::collection::vec((proptest::bool::weighted(0.02), proptest::collection::vec(level(), 0..4), proptest::collection::vec(level(), 0..4)), 1..80),
    ) {
        let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
        let mut book = Book::new();
        for (id, (clear, new_bids, new_asks)) in updates.iter().enumerate() {
            book.apply(&chunk(*clear, id as u64 + 1, new_bids, new_asks));
            if *clear {
                bids.clear();
                asks.clear();
            }
            for (map, levels) in [(&mut bids, new_bids), (&mut asks, new_asks)] {
                for (price, qty) in levels {
                    if *qty == 0 { map.remove(price); } else { map.insert(*price, *qty); }
                }
            }
            prop_assert!(book.depth(Side::Sell).eq(bids.iter().rev().map(|(p, q)| (*p, *q))));
            prop_assert!(book.depth(Side::Buy).eq(asks.iter().map(|(p, q)| (*p, *q))));
        }
        let mut fresh = Book::new();
        for (price, qty) in &bids { fresh.apply(&chunk(false, 1, &[(*price, *qty)], &[])); }
        for (price, qty) in &asks { fresh.apply(&chunk(false, 1, &[], &[(*price, *qty)])); }
        prop_assert_eq!(book.bids.hash, fresh.bids.hash);
        prop_assert_eq!(book.asks.hash, fresh.asks.hash);
    }

    #[test]
    fn a_fill_costs_what_the_levels_say(
        bids in proptest::collection::vec((1i64..500, 1i64..50), 1..8),
        asks in proptest::collection::vec((501i64..1_000, 1i64..50), 1..8),
        quote in proptest::option::of((1i64..500, 1i64..50, 501i64..1_000, 1i64..50)),
        need in 1i64..200,
    ) {
        let mut book = Book::new();
        book.set_state(BookState::Live);
        book.apply(&chunk(true, 1, &bids, &[]));
        book.apply(&chunk(false, 1, &[], &asks));
        if let Some((bid, bid_qty, ask, ask_qty)) = quote {
            book.set_bbo(&bbo(2, (bid, bid_qty), (ask, ask_qty)));
        }
        for side in [Side::Buy, Side::Sell] {
            match (book.fill(side, need), naive(&book, side, need)) {
                (Some(fill), Some((cost, worst))) => {
                    prop_assert_eq!(fill.worst, worst);
                    let exact = cost << VWAP_SHIFT;
                    let paid = i128::from(fill.vwap) * i128::from(need);
                    // Rounded against the taker, by less than one unit of the fixed point.
                    let over = (paid - exact) * i128::from(side.sign());
                    prop_assert!((0..i128::from(need)).contains(&over), "{side:?} {over}");
                }
                (None, None) => {}
                (fill, expected) => prop_assert!(false, "{fill:?} {expected:?}"),
            }
        }
    }
}
