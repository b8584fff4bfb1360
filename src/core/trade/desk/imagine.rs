//! The basket of an entry that is not made, for rehearsals.

use super::act::leg_order;
use super::{Desk, entry_wants, next_due};
use crate::core::listing::Listing;
use crate::core::pair::Pair;
use crate::domain::intent::{Basket, BasketKind, EdgeTerms, LEGS_MAX, TradeId};
use crate::domain::order::ClientId;
use crate::domain::params::ScanParams;
use crate::domain::time::Stamp;
use std::hint::black_box;

impl Desk {
    /// What [`Desk::enter`] would send, with the ids that it would take. Nothing is opened or remembered.
    pub fn imagine(
        &self,
        pair: &Pair,
        way: usize,
        edge: EdgeTerms,
        listings: &[Listing],
        now: Stamp,
        params: &ScanParams,
    ) -> Option<Basket> {
        self.trades.iter().position(Option::is_none)?;
        let (at, wants) = entry_wants(pair, way, listings, now.mono, params)?;
        let mut basket = Basket {
            trade: TradeId(self.trade_last + 1),
            kind: BasketKind::Entry,
            canonical: pair.canonical,
            edge,
            detected: now.mono,
            ..Basket::default()
        };
        for (n, want) in wants.iter().flatten().enumerate() {
            let id = ClientId::new(self.epoch, self.order_last + 1 + n as u64);
            let slot = n.min(LEGS_MAX - 1);
            let listing = &listings[usize::from(at[want.leg])];
            let (order, mid, _) = leg_order(listing, want, id, false, now);
            // Of its age nothing is wanted: a quiet market must not end the rehearsal at its first check.
            (basket.legs[slot], basket.mids[slot], basket.len) = (order, mid, slot as u8 + 1);
            basket.worst.0[slot] = listing.band.worst(want.side, now.mono).unwrap_or_default();
            black_box(self.recent.knows(id));
        }
        // A real entry looks for the next deadline.
        black_box(self.trades.iter().flatten().map(next_due).min());
        Some(basket)
    }
}
