//! What a simulated exchange does wrong, or to its clients, on request: it fills less than it could, refuses for a
//! reason of its own, answers late, narrows its price band, takes a position away.
//!
//! Asked for by `sim/faults`; each asked thing befalls the next order that it can befall, at a time that follows
//! from the venue's own inputs.

use super::listing::Listing;
use super::types::{
    AccountId, Fill, ListingId, NewOrder, Order, OrderId, OrderKind, OrderStatus, Reject, Side, Steps, Tif,
};
use super::{Exchange, matching::Party};
use crate::domain::time::Nanos;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};

/// Why a venue refuses an order that it could take. Dialects answer with codes of their venue's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Not now.
    Retry,
    /// The order is said to be wrong.
    Never,
    /// The venue says that it does not know what became of it (it was not executed).
    UnknownOutcome,
    /// Too many requests.
    RateLimit,
    /// Overloaded, or in maintenance.
    VenueDown,
    /// Not enough margin.
    Margin,
    /// Outside the price band.
    PriceBand,
    /// Reduce-only that would not reduce.
    ReduceOnly,
    /// Post-only that would take.
    PostOnly,
    /// Keys, permissions, account modes.
    Fatal,
    /// The request's time is said to be wrong.
    Clock,
    /// The client id is said to be in use.
    Duplicate,
    /// Only reductions are taken on the listing: never asked for by itself, see [`Trouble::lock_next`].
    #[serde(skip)]
    Locked,
}

impl Refusal {
    /// Every class.
    pub const ALL: [Self; 12] = [
        Self::Retry,
        Self::Never,
        Self::UnknownOutcome,
        Self::RateLimit,
        Self::VenueDown,
        Self::Margin,
        Self::PriceBand,
        Self::ReduceOnly,
        Self::PostOnly,
        Self::Fatal,
        Self::Clock,
        Self::Duplicate,
    ];

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Never => "never",
            Self::UnknownOutcome => "unknown_outcome",
            Self::RateLimit => "rate_limit",
            Self::VenueDown => "venue_down",
            Self::Margin => "margin",
            Self::PriceBand => "price_band",
            Self::ReduceOnly => "reduce_only",
            Self::PostOnly => "post_only",
            Self::Fatal => "fatal",
            Self::Clock => "clock",
            Self::Duplicate => "duplicate",
            Self::Locked => "locked",
        }
    }

    /// Whether a venue of the dialect can answer an order with it: its error table has such a code, and says it of
    /// an order rather than of a whole request or session.
    pub fn is_known_to(self, dialect: &str) -> bool {
        match dialect {
            _ if self == Self::Locked => false,
            // Post-only refusals come as the end of an accepted order.
            "okx" | "bybit" => self != Self::PostOnly,
            // No code for client ids (labels repeat) nor for time.
            "deribit" => !matches!(self, Self::Duplicate | Self::Clock),
            // Keys and nonces concern the whole request; nothing says that the outcome is unknown.
            "hyperliquid" => !matches!(self, Self::Fatal | Self::Clock | Self::UnknownOutcome),
            _ => true,
        }
    }

    /// What the exchange says: one of its own reasons where it has one.
    fn reject(self, side: Side) -> Reject {
        match self {
            Self::Margin => Reject::Margin,
            Self::PriceBand if side == Side::Buy => Reject::PriceTooHigh,
            Self::PriceBand => Reject::PriceTooLow,
            Self::ReduceOnly => Reject::ReduceOnly,
            Self::PostOnly => Reject::WouldTake,
            Self::Duplicate => Reject::DuplicateClientId,
            other => Reject::Asked(other),
        }
    }
}

/// What befell orders and positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TroubleCounts {
    /// Orders filled in part although there was more.
    pub partial: u64,
    /// Orders refused.
    pub refused: u64,
    /// Acknowledgements that came behind their fill.
    pub late_acks: u64,
    /// Positions that the venue reduced.
    pub deleveraged: u64,
    /// Listings that the venue locked for an account.
    pub locked: u64,
}

/// What is still to befall, and what did.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    partial: u32,
    refusals: VecDeque<Refusal>,
    /// Per fill, how much later its acknowledgement leaves, ns.
    late: VecDeque<Nanos>,
    /// Of the order that was placed last, ns.
    ack_delay: Nanos,
    band_ppb: Option<i64>,
    deleverage: u32,
    /// How long the next locks last, ns.
    locks_asked: VecDeque<Nanos>,
    /// Until when an account may only reduce.
    locks: BTreeMap<(AccountId, ListingId), Nanos>,
    counts: TroubleCounts,
}

impl Trouble {
    /// The next immediate-or-cancel order that could fill with more than a step gets about half.
    pub fn fill_in_part(&mut self) {
        self.partial += 1;
    }

    /// The next order that would be accepted is refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push_back(refusal);
    }

    /// The acknowledgement of the next order that fills at once leaves so much later, ns.
    pub fn acknowledge_late(&mut self, by: Nanos) {
        self.late.push_back(by);
    }

    /// Orders may lie so far from the mark, ppb; `None` = as configured.
    pub fn set_band(&mut self, ppb: Option<i64>) {
        self.band_ppb = ppb;
    }

    /// As soon as a client holds something, the venue takes half of it.
    pub fn deleverage(&mut self) {
        self.deleverage += 1;
    }

    /// The listing of the next order that does not reduce takes only reductions of that account, for so long, ns.
    pub fn lock_next(&mut self, for_ns: Nanos) {
        self.locks_asked.push_back(for_ns);
    }

    /// What still waits for its occasion.
    pub fn waiting(&self) -> TroubleCounts {
        TroubleCounts {
            partial: self.partial.into(),
            refused: self.refusals.len() as u64,
            late_acks: self.late.len() as u64,
            deleveraged: self.deleverage.into(),
            locked: self.locks_asked.len() as u64,
        }
    }

    /// Listings that are locked for an account, and until when.
    pub fn locks(&self, account: AccountId, now: Nanos) -> impl Iterator<Item = (ListingId, Nanos)> + '_ {
        let of = self.locks.iter().filter(move |((owner, _), until)| *owner == account && **until > now);
        of.map(|((_, listing), until)| (*listing, *until))
    }

    /// What befell so far.
    pub fn counts(&self) -> TroubleCounts {
        self.counts
    }
}

impl Exchange {
    /// What goes wrong here.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// The same, to ask for more.
    pub fn trouble_mut(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    /// How far from the mark orders may lie now, ppb.
    pub fn price_band_ppb(&self) -> i64 {
        self.trouble.band_ppb.unwrap_or(self.settings.price_band_ppb)
    }

    /// How much later than usual the acknowledgement of the order placed last leaves, ns. Asked once per order.
    pub fn take_ack_delay(&mut self) -> Nanos {
        std::mem::take(&mut self.trouble.ack_delay)
    }

    /// Why an order that would be accepted is refused all the same.
    pub(super) fn asked_refusal(&mut self, new: &NewOrder, now: Nanos) -> Option<Reject> {
        self.trouble.ack_delay = 0;
        if self.is_locked(new, now) {
            return Some(Reject::Asked(Refusal::Locked));
        }
        let refusal = self.trouble.refusals.pop_front()?;
        self.trouble.counts.refused += 1;
        Some(refusal.reject(new.side))
    }

    /// Whether the order is on a listing that takes only reductions; it may be the one that brings the lock about.
    fn is_locked(&mut self, new: &NewOrder, now: Nanos) -> bool {
        if new.reduce_only {
            return false;
        }
        let key = (new.account, new.listing);
        let stands = self.trouble.locks.get(&key).is_some_and(|until| *until > now);
        if let Some(lasting) = self.trouble.locks_asked.pop_front_if(|_| !stands) {
            self.trouble.locks.insert(key, now.saturating_add(lasting));
            self.trouble.counts.locked += 1;
            return true;
        }
        stands
    }

    /// How much of an order may be matched: all, unless it is to be filled in part.
    pub(super) fn fillable(&self, order: &Order) -> Steps {
        let partly = self.trouble.partial > 0 && order.tif == Tif::Ioc && order.leaves() > 1;
        if partly { order.leaves() / 2 } else { order.leaves() }
    }

    /// An order was matched for the first time, as far as it could be: notes what befell it.
    pub(super) fn note_matched(&mut self, id: OrderId, most: Steps) {
        let Some(order) = self.orders.get(&id) else { return };
        if order.filled == 0 {
            return;
        }
        if most < order.qty && order.filled == most && self.trouble.partial > 0 {
            self.trouble.partial -= 1;
            self.trouble.counts.partial += 1;
        }
        if let Some(delay) = self.trouble.late.pop_front() {
            self.trouble.ack_delay = delay;
            self.trouble.counts.late_acks += 1;
        }
    }

    /// Takes half of what a client holds in the listing, if that was asked for: auto-deleveraging. The simulated
    /// market is the other side, the price is the mark, as the venues' own documents have it.
    pub(super) fn run_deleveraging(&mut self, listing: ListingId, now: Nanos) {
        if self.trouble.deleverage == 0 {
            return;
        }
        let held = |account: &super::Account| account.positions[listing.index()].qty;
        let Some(at) = self.accounts.iter().skip(1).position(|account| held(account) != 0) else { return };
        let account = AccountId(at as u16 + 1);
        let position = held(&self.accounts[account.index()]);
        self.trouble.deleverage -= 1;
        self.trouble.counts.deleveraged += 1;
        let side = if position > 0 { Side::Sell } else { Side::Buy };
        let qty = (position.abs() / 2).max(1);
        let price = mark_ticks(self.listing(listing), side);
        let order = Order { by_venue: true, ..self.venue_order(account, listing, side, price, qty, now) };
        let id = order.id;
        self.accounts[account.index()].open.insert(id);
        self.ledger.record_order(&order);
        self.orders.insert(id, order);
        let trade_id = self.next_trade[listing.index()];
        self.next_trade[listing.index()] += 1;
        let fill = Fill { trade_id, price, qty, ..Fill::default() };
        self.book_fill(listing, Party::Client(id), side, fill, now);
        self.book_fill(listing, Party::Market, side.opposite(), Fill { maker: true, ..fill }, now);
    }

    fn venue_order(
        &mut self,
        account: AccountId,
        listing: ListingId,
        side: Side,
        price: i64,
        qty: Steps,
        now: Nanos,
    ) -> Order {
        let id = OrderId(self.next_order);
        self.next_order += 1;
        Order {
            id,
            account,
            listing,
            side,
            kind: OrderKind::Limit,
            tif: Tif::Ioc,
            price,
            qty,
            reduce_only: true,
            client_id: format!("sim{}", id.0),
            status: OrderStatus::New,
            created: now,
            updated: now,
            ..Order::default()
        }
    }
}

fn mark_ticks(listing: &Listing, side: Side) -> i64 {
    listing.to_ticks(listing.mark, side).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BTC, CLIENT, exchange, order};
    use super::*;
    use crate::sim::exchange::{Exec, OrderKey, SimEventBody};

    /// A venue with ten steps on offer at a price inside its band, and that price.
    fn offered() -> (Exchange, i64) {
        let mut x = exchange();
        let price = mark_ticks(x.listing(BTC), Side::Buy);
        x.market_quote(BTC, Side::Sell, price, 1_000, 1);
        (x, price)
    }

    fn ioc(price: i64, qty: Steps) -> NewOrder {
        NewOrder { tif: Tif::Ioc, ..order(CLIENT, Side::Buy, price, qty) }
    }

    #[test]
    fn a_partial_fill_leaves_what_the_book_still_has() {
        let (mut x, price) = offered();
        x.trouble_mut().fill_in_part();
        let id = x.place(&ioc(price, 101), 2).unwrap();
        let placed = x.order(CLIENT, &OrderKey::Id(id)).unwrap();
        assert_eq!((placed.filled, placed.status), (50, OrderStatus::Expired));
        assert_eq!(x.book(BTC).best(Side::Sell).unwrap().qty, 950);
        let id = x.place(&ioc(price, 101), 3).unwrap();
        assert_eq!(x.order(CLIENT, &OrderKey::Id(id)).unwrap().filled, 101, "one order, no more");
        assert_eq!(x.trouble().counts().partial, 1);
    }

    #[test]
    fn refusals_come_in_the_order_asked_and_change_nothing() {
        let (mut x, price) = offered();
        x.trouble_mut().refuse(Refusal::Margin);
        x.trouble_mut().refuse(Refusal::VenueDown);
        assert_eq!(x.place(&ioc(price, 100), 2), Err(Reject::Margin));
        assert_eq!(x.place(&ioc(price, 100), 2), Err(Reject::Asked(Refusal::VenueDown)));
        assert_eq!((x.account(CLIENT).positions[0].qty, x.trouble().counts().refused), (0, 2));
        assert!(x.place(&ioc(price, 100), 2).is_ok());
    }

    #[test]
    fn only_the_acknowledgement_of_an_order_that_fills_is_late() {
        let (mut x, price) = offered();
        x.trouble_mut().acknowledge_late(7);
        x.place(&ioc(price - 1, 100), 2).unwrap();
        assert_eq!(x.take_ack_delay(), 0);
        x.place(&ioc(price, 100), 2).unwrap();
        assert_eq!((x.take_ack_delay(), x.take_ack_delay()), (7, 0));
        x.place(&ioc(price, 100), 2).unwrap();
        assert_eq!(x.take_ack_delay(), 0);
    }

    #[test]
    fn a_locked_listing_takes_reductions_only_until_the_lock_ends() {
        let (mut x, price) = offered();
        x.place(&ioc(price, 100), 2).unwrap();
        x.trouble_mut().lock_next(50);
        let locked = Err(Reject::Asked(Refusal::Locked));
        assert_eq!(x.place(&ioc(price, 100), 10), locked);
        assert_eq!(x.place(&ioc(price, 100), 59), locked);
        assert_eq!(x.trouble().locks(CLIENT, 59).collect::<Vec<_>>(), [(BTC, 60)]);
        x.market_quote(BTC, Side::Buy, price - 1, 1_000, 20);
        let sale = NewOrder { reduce_only: true, ..order(CLIENT, Side::Sell, price - 1, 100) };
        assert!(x.place(&sale, 21).is_ok(), "what is held may be sold");
        assert!(x.place(&ioc(price, 100), 60).is_ok());
        assert_eq!((x.trouble().locks(CLIENT, 60).count(), x.trouble().counts().locked), (0, 1));
    }

    #[test]
    fn a_narrow_band_refuses_what_the_usual_one_takes() {
        let (mut x, price) = offered();
        x.trouble_mut().set_band(Some(0));
        assert_eq!(x.place(&ioc(price + 10, 100), 2), Err(Reject::PriceTooHigh));
        x.trouble_mut().set_band(None);
        assert!(x.place(&ioc(price + 10, 100), 2).is_ok());
    }

    #[test]
    fn deleveraging_takes_half_of_a_position_at_the_mark_and_no_money_is_lost() {
        let (mut x, price) = offered();
        x.trouble_mut().deleverage();
        x.market_done(BTC, 2);
        assert_eq!(x.trouble().counts().deleveraged, 0, "nothing is held yet");
        x.place(&ioc(price, 100), 3).unwrap();
        x.take_events(&mut Vec::new());
        x.market_done(BTC, 4);
        x.market_done(BTC, 5);
        assert_eq!((x.account(CLIENT).positions[0].qty, x.trouble().counts().deleveraged), (50, 1));
        let mut events = Vec::new();
        x.take_events(&mut events);
        let told = events.iter().find_map(|event| match &event.body {
            SimEventBody::Order { order, exec: Exec::Trade(fill) } => Some((order.clone(), *fill)),
            _ => None,
        });
        let (told, fill) = told.expect("an execution");
        assert!(told.by_venue && told.side == Side::Sell && fill.qty == 50, "{told:?}");
        let sum: i64 = x.accounts.iter().map(|account| account.positions[0].qty).sum();
        assert_eq!(sum, 0);
    }
}
