//! Orders by hand: what an engineer asks for becomes an intent like any other, with the prices of the present
//! books, and passes risk and route like any other. The desk follows none of these orders: they are no trades.

use super::{ScanOut, Scanner};
use crate::domain::event::FlowBody;
use crate::domain::input::ByHand;
use crate::domain::instrument::Price;
use crate::domain::intent::{Amend, Basket, BasketKind, Intent, Replace, WorstPrices};
use crate::domain::order::OrderSpec;
use crate::domain::time::Nanos;

impl Scanner {
    /// Makes an intent of it. What concerns no listing of this run is dropped.
    pub(super) fn by_hand(&mut self, what: &ByHand, out: &mut ScanOut) {
        let detected = self.now.mono;
        let intent = match *what {
            ByHand::Place(order) => {
                let Some((mid, age, worst)) = self.price_of(&order) else { return };
                let (trade, client_id) = self.desk.by_hand();
                let canonical = self.listings[order.instrument.index()].params.canonical;
                let kind = BasketKind::Entry;
                let mut basket = Basket { trade, kind, canonical, len: 1, detected, ..Basket::default() };
                basket.legs[0] = OrderSpec { client_id, ..order };
                (basket.mids[0], basket.book_age_ns[0], basket.worst) = (mid, age, worst);
                Intent::Basket(basket)
            }
            ByHand::Amend(to) => {
                let Some((mid, book_age_ns, worst)) = self.price_of(&to) else { return };
                let mut with = Amend { to, mid, book_age_ns, worst, detected, ..Amend::default() };
                if self.replaces.get(to.venue.index()).is_some_and(|replaces| *replaces) {
                    (with.trade, with.to.client_id) = self.desk.by_hand();
                    Intent::Replace(Replace { old: to.client_id, with })
                } else {
                    (with.trade, with.attempt) = self.desk.amend_by_hand();
                    Intent::Amend(with)
                }
            }
            ByHand::Cancel(order) => {
                let listing = self.listings.get(order.instrument.index());
                if listing.is_none_or(|listing| listing.params.venue != order.venue) {
                    return;
                }
                Intent::Cancel(order)
            }
        };
        out.items.push(FlowBody::Intent(intent));
    }

    /// Mid and age of the book that an order is for, and the worst price that its venue accepts.
    fn price_of(&self, order: &OrderSpec) -> Option<(Price, Nanos, WorstPrices)> {
        let listing = self.listings.get(order.instrument.index())?;
        let mut worst = WorstPrices::default();
        worst.0[0] = listing.band.worst(order.side, self.now.mono).unwrap_or_default();
        Some((listing.mid(), listing.touch_age(self.now.wall), worst))
    }
}
