//! The desk alone, on trades in states that take long to reach.

use super::*;
use crate::domain::instrument::{CanonicalId, InstrumentId, Qty, Status, VenueId, VenueSpec};
use crate::domain::number::Num;
use crate::domain::params::ListingParams;

/// 0.001 of base by step, on its own venue; without a book.
fn listing(at: u16) -> Listing {
    let (id, venue) = (InstrumentId(at), VenueId(at as u8));
    let mut listing = Listing::new(ListingParams { id, venue, ..ListingParams::default() });
    listing.define(&Instrument {
        id,
        venue,
        spec: VenueSpec { multiplier: Num::new(1, 0), status: Status::Trading, ..VenueSpec::default() },
        price_scale: 3,
        qty_scale: 4,
        tick: 100,
        step: 10,
        qty_min: Qty(10),
        qty_max: Qty(1_000_000),
        generation: 1,
        ..Instrument::default()
    });
    listing.refresh();
    listing.pairs = vec![0];
    listing
}

#[test]
fn what_a_trade_can_neither_hedge_nor_unwind_is_closed_from_its_listings() {
    // A crumb beside a leg that was turned round by late fills; two legs that were.
    for positions in [[5, 700], [-500, 498]] {
        let params = ScanParams::default();
        let mut desk = Desk::new(1, &params, &RiskParams { price_collar_ppb: 0, ..RiskParams::default() });
        let mut listings = [listing(0), listing(1)];
        let mut pairs = [Pair::new(CanonicalId(0), [0, 1], [0; 2], 0, &params)];
        let legs = [0, 1].map(|at| Leg {
            listing: at as u16,
            side: ENTRY_SIDES[at],
            position: positions[at],
            ..Leg::default()
        });
        desk.trades[0] =
            Some(Trade { legs, phase: Phase::Balancing, mid: Price(60_000_000), ..Trade::default() });
        desk.open = 1;
        listings.iter_mut().for_each(|listing| listing.trade = Some(0));
        let mut out = Vec::new();
        let mut floor = Floor {
            listings: &mut listings,
            pairs: &mut pairs,
            modes: &Modes::default(),
            params: &params,
            now: Stamp { mono: 1, wall: 1 },
            out: &mut out,
        };
        desk.on_time(&mut floor);
        let closing: Vec<_> = desk.trades().filter(|trade| trade.phase == Phase::Exiting).collect();
        assert_eq!(closing.len(), positions.iter().filter(|held: &&i64| held.abs() >= 10).count());
        for (at, held) in positions.into_iter().enumerate() {
            let legs = closing.iter().map(|trade| trade.legs[0]).filter(|leg| usize::from(leg.listing) == at);
            let total = legs.map(|leg| leg.position).sum::<i64>() + floor.listings[at].residual;
            assert_eq!(total, held, "nothing is dropped");
        }
        assert!(desk.due() <= params.retry_ns + 1, "and somebody comes back to it");
    }
}
