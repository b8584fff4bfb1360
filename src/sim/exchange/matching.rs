//! The operations that change books: place, cancel, amend, and the simulated market's quotes and trades.
//!
//! Checks come first and leave nothing behind; an accepted order is matched at once by price, then time.

use super::book::Owner;
use super::listing::MoneyText;
use super::types::{
    AccountId, ChangeReason, EndReason, Exec, Fill, ListingId, NewOrder, Order, OrderId, OrderKey, OrderKind,
    OrderStatus, PublicTrade, Reject, SelfTrade, Side, SimEventBody, Steps, Ticks, Tif,
};
use super::{Exchange, FillRow};
use crate::domain::money::Money;
use crate::domain::time::Nanos;

/// Who takes part in a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Market,
    Client(OrderId),
}

impl Exchange {
    /// Places an order: checks, accepts, matches, and lets the rest stand or end. The order's fate is in the
    /// events and in [`Exchange::order`]. A refusal is recorded in the ledger and changes nothing else.
    pub fn place(&mut self, new: &NewOrder, now: Nanos) -> Result<OrderId, Reject> {
        let checked = self.check(new, now);
        let checked = match checked {
            Ok(qty) => self.asked_refusal(new, now).map_or(Ok(qty), Err),
            refused => refused,
        };
        match checked {
            Ok(qty) => Ok(self.accept(new, qty, now)),
            Err(reject) => {
                let mut order = self.draft(new, new.qty, now);
                order.status = OrderStatus::Rejected;
                self.ledger.record_reject(order, reject);
                Err(reject)
            }
        }
    }

    /// Cancels an open order.
    pub fn cancel(
        &mut self,
        account: AccountId,
        listing: Option<ListingId>,
        key: &OrderKey,
        now: Nanos,
    ) -> Result<OrderId, Reject> {
        let order = self.open_order(account, listing, key)?;
        let id = order.id;
        self.end_resting(id, OrderStatus::Canceled, EndReason::Client, now);
        Ok(id)
    }

    /// Cancels all open orders of an account (of one listing); returns them, oldest first.
    pub fn cancel_all(
        &mut self,
        account: AccountId,
        listing: Option<ListingId>,
        reason: EndReason,
        now: Nanos,
    ) -> Vec<OrderId> {
        let ids: Vec<OrderId> = self.open_orders(account, listing).map(|order| order.id).collect();
        for id in &ids {
            self.end_resting(*id, OrderStatus::Canceled, reason, now);
        }
        ids
    }

    /// Changes price and/or total quantity of an open order. A smaller quantity at the same price keeps its
    /// place; anything else goes to the back and may trade. A total at or below what is filled cancels.
    pub fn amend(
        &mut self,
        account: AccountId,
        listing: Option<ListingId>,
        key: &OrderKey,
        price: Option<Ticks>,
        qty: Option<Steps>,
        now: Nanos,
    ) -> Result<OrderId, Reject> {
        let old = self.open_order(account, listing, key)?.clone();
        let (price, qty) = (price.unwrap_or(old.price), qty.unwrap_or(old.qty));
        if (price, qty) == (old.price, old.qty) {
            return Err(Reject::NoChange);
        }
        self.check_price(old.listing, old.side, price)?;
        if qty <= 0 {
            return Err(Reject::QtyTooSmall);
        }
        if qty > self.listing(old.listing).qty_max {
            return Err(Reject::QtyTooLarge);
        }
        if qty <= old.filled {
            self.end_resting(old.id, OrderStatus::Canceled, EndReason::Client, now);
            return Ok(old.id);
        }
        let more = qty - old.qty;
        if more > 0 && !old.reduce_only && !self.margin_allows(account, old.listing, old.side, more) {
            return Err(Reject::Margin);
        }
        let crosses =
            self.book(old.listing).best(old.side.opposite()).is_some_and(|b| old.side.takes(price, b.price));
        if crosses && old.tif == Tif::PostOnly {
            return Err(Reject::WouldTake);
        }
        let keeps_place = price == old.price && more < 0;
        let left = if keeps_place { qty - old.filled } else { 0 };
        self.books[old.listing.index()].shrink(old.side, old.price, old.id, left);
        self.level_changed(old.listing, old.side, old.price, now);
        if let Some(order) = self.orders.get_mut(&old.id) {
            order.price = price;
            order.qty = qty;
            order.updated = now;
            let order = order.clone();
            self.ledger.record_order(&order);
            self.push(now, SimEventBody::Order { order, exec: Exec::Amended });
        }
        if !keeps_place {
            self.match_client(old.id, price, now);
            self.rest_or_end(old.id, now);
        }
        self.finish(now, Some(old.listing));
        Ok(old.id)
    }

    /// The makers' quantity at a price becomes `qty`. Client orders that the quote crosses are traded with
    /// first, all of them: the market goes through.
    pub fn market_quote(&mut self, listing: ListingId, side: Side, price: Ticks, qty: Steps, now: Nanos) {
        if qty > 0 {
            self.market_take(listing, side, price, Steps::MAX, now);
        }
        if self.books[listing.index()].set_market(side, price, qty) {
            self.level_changed(listing, side, price, now);
        }
    }

    /// The makers' quantity at a price.
    pub fn market_qty(&self, listing: ListingId, side: Side, price: Ticks) -> Steps {
        self.books[listing.index()].side(side).get(&price).map_or(0, super::book::Level::market_qty)
    }

    /// A noise taker (or a crossing maker) takes up to `qty` at `limit` or better; returns what it got.
    pub fn market_take(
        &mut self,
        listing: ListingId,
        side: Side,
        limit: Ticks,
        qty: Steps,
        now: Nanos,
    ) -> Steps {
        self.matching(listing, Party::Market, side, limit, qty, now)
    }

    /// Ends a round of market operations on a listing: publishes the best price if it changed.
    pub fn market_done(&mut self, listing: ListingId, now: Nanos) {
        self.run_deleveraging(listing, now);
        self.finish(now, Some(listing));
    }

    fn open_order(
        &self,
        account: AccountId,
        listing: Option<ListingId>,
        key: &OrderKey,
    ) -> Result<&Order, Reject> {
        self.order(account, key)
            .filter(|order| order.status.is_open() && listing.is_none_or(|listing| order.listing == listing))
            .ok_or(Reject::UnknownOrder)
    }

    /// All checks of a new order; returns the quantity to accept (reduce-only orders are cut).
    fn check(&self, new: &NewOrder, now: Nanos) -> Result<Steps, Reject> {
        let listing = self.listings.get(new.listing.index()).ok_or(Reject::UnknownListing)?;
        if !listing.takes(new.reduce_only, now) {
            return Err(Reject::Closed);
        }
        if new.qty < listing.stated_min() {
            return Err(Reject::QtyTooSmall);
        }
        if new.qty > listing.qty_max {
            return Err(Reject::QtyTooLarge);
        }
        if new.kind == OrderKind::Limit {
            self.check_price(new.listing, new.side, new.price)?;
        }
        if !new.client_id.is_empty()
            && self
                .order(new.account, &OrderKey::Client(new.client_id.clone()))
                .is_some_and(|o| o.status.is_open())
        {
            return Err(Reject::DuplicateClientId);
        }
        let account = &self.accounts[new.account.index()];
        let position = account.positions[new.listing.index()].qty;
        let qty = if new.reduce_only {
            if position * new.side.sign() >= 0 {
                return Err(Reject::ReduceOnly);
            }
            new.qty.min(position.abs())
        } else {
            let notional = match new.kind {
                OrderKind::Limit => listing.notional(new.price, new.qty),
                OrderKind::Market => listing.notional_at_mark(new.qty),
            };
            if notional < listing.notional_min {
                return Err(Reject::NotionalTooSmall);
            }
            if !self.margin_allows(new.account, new.listing, new.side, new.qty) {
                return Err(Reject::Margin);
            }
            new.qty
        };
        if self.open_orders(new.account, Some(new.listing)).count() >= self.settings.open_orders_max {
            return Err(Reject::TooManyOpen);
        }
        if self.settings.refuses_unfillable {
            match self.unfillable(new, qty) {
                Some(EndReason::WouldTake) => return Err(Reject::WouldTake),
                Some(_) => return Err(Reject::Unfillable),
                None => {}
            }
        }
        Ok(qty)
    }

    /// Buys too high and sells too low are refused; passive prices may be far away.
    fn check_price(&self, listing: ListingId, side: Side, price: Ticks) -> Result<(), Reject> {
        if price <= 0 {
            return Err(Reject::BadPrice);
        }
        let band = self.worst_price(listing, side);
        match side {
            Side::Buy if price > band => Err(Reject::PriceTooHigh),
            Side::Sell if price < band => Err(Reject::PriceTooLow),
            _ => Ok(()),
        }
    }

    /// The worst price that an order on this side may have.
    pub fn worst_price(&self, listing: ListingId, side: Side) -> Ticks {
        let listing = self.listing(listing);
        let width = listing.mark.0 / 1_000_000_000 * i128::from(self.price_band_ppb());
        match side {
            Side::Buy => listing.to_ticks(Money(listing.mark.0 + width), Side::Buy),
            Side::Sell => listing.to_ticks(Money(listing.mark.0 - width), Side::Sell).max(1),
        }
    }

    /// Why a post-only or FOK order cannot stand, if so.
    fn unfillable(&self, new: &NewOrder, qty: Steps) -> Option<EndReason> {
        if new.kind == OrderKind::Market {
            return None;
        }
        let book = self.book(new.listing);
        match new.tif {
            Tif::PostOnly => {
                let best = book.best(new.side.opposite())?;
                new.side.takes(new.price, best.price).then_some(EndReason::WouldTake)
            }
            Tif::Fok => {
                let own = |owner| match owner {
                    Owner::Market => false,
                    Owner::Order(id) => {
                        self.orders.get(&id).is_some_and(|order| order.account == new.account)
                    }
                };
                let counts = |owner| new.self_trade == SelfTrade::Allow || !own(owner);
                let available = book.available(new.side.opposite(), new.price, qty, counts);
                (available < qty).then_some(EndReason::Unfillable)
            }
            Tif::Gtc | Tif::Ioc => None,
        }
    }

    fn draft(&self, new: &NewOrder, qty: Steps, now: Nanos) -> Order {
        let market = new.kind == OrderKind::Market;
        Order {
            account: new.account,
            listing: new.listing,
            side: new.side,
            kind: new.kind,
            tif: if market { Tif::Ioc } else { new.tif },
            price: if market { 0 } else { new.price },
            qty,
            reduce_only: new.reduce_only,
            client_id: new.client_id.clone(),
            self_trade: new.self_trade,
            expires_at: new.expires_at,
            created: now,
            updated: now,
            ..Order::default()
        }
    }

    fn accept(&mut self, new: &NewOrder, qty: Steps, now: Nanos) -> OrderId {
        let id = OrderId(self.next_order);
        self.next_order += 1;
        let mut order = self.draft(new, qty, now);
        order.id = id;
        if order.client_id.is_empty() {
            order.client_id = format!("sim{}", id.0);
        }
        self.client_ids.insert((order.account, order.client_id.clone()), id);
        self.accounts[order.account.index()].open.insert(id);
        if order.expires_at > 0 {
            self.lapses.insert((order.expires_at, id));
        }
        self.ledger.record_order(&order);
        self.push(now, SimEventBody::Order { order: order.clone(), exec: Exec::New });
        self.orders.insert(id, order);
        if let Some(reason) = self.unfillable(new, qty) {
            self.end(id, OrderStatus::Canceled, reason, now);
        } else {
            let limit = if new.kind == OrderKind::Market {
                self.worst_price(new.listing, new.side)
            } else {
                new.price
            };
            self.match_client(id, limit, now);
            self.rest_or_end(id, now);
        }
        self.finish(now, Some(new.listing));
        id
    }

    fn match_client(&mut self, id: OrderId, limit: Ticks, now: Nanos) {
        let Some(order) = self.orders.get(&id) else { return };
        let (listing, side, most) = (order.listing, order.side, self.fillable(order));
        self.matching(listing, Party::Client(id), side, limit, most, now);
        self.note_matched(id, most);
    }

    /// What is left of a just matched order rests or ends.
    fn rest_or_end(&mut self, id: OrderId, now: Nanos) {
        let Some(order) = self.orders.get(&id).filter(|order| order.status.is_open()) else { return };
        let (listing, side, price, leaves) = (order.listing, order.side, order.price, order.leaves());
        if order.kind == OrderKind::Market || matches!(order.tif, Tif::Ioc | Tif::Fok) {
            self.end(id, OrderStatus::Expired, EndReason::Remainder, now);
        } else {
            self.books[listing.index()].add(side, price, Owner::Order(id), leaves);
            self.level_changed(listing, side, price, now);
        }
    }

    /// Matches a taker against the opposite side, oldest order of the best price first.
    fn matching(
        &mut self,
        listing: ListingId,
        taker: Party,
        side: Side,
        limit: Ticks,
        qty: Steps,
        now: Nanos,
    ) -> Steps {
        let opposite = side.opposite();
        let mut left = qty;
        let mut tape: Option<PublicTrade> = None;
        while left > 0 {
            let Some((price, entry)) = self.books[listing.index()].front(opposite) else { break };
            if !side.takes(limit, price) {
                break;
            }
            let (maker, most) = match entry.owner {
                Owner::Market => (Party::Market, entry.qty),
                Owner::Order(id) => match self.resting_fillable(taker, id, entry.qty, now) {
                    Fillable::Up(most) => (Party::Client(id), most),
                    Fillable::Removed => continue,
                    Fillable::TakerEnds => break,
                },
            };
            let matched = left.min(most);
            self.books[listing.index()].take_front(opposite, matched);
            let trade_id = self.next_trade[listing.index()];
            self.next_trade[listing.index()] += 1;
            self.level_changed(listing, opposite, price, now);
            self.book_fill(
                listing,
                taker,
                side,
                Fill { trade_id, price, qty: matched, maker: false, ..Fill::default() },
                now,
            );
            self.book_fill(
                listing,
                maker,
                opposite,
                Fill { trade_id, price, qty: matched, maker: true, ..Fill::default() },
                now,
            );
            left -= matched;
            tape = match tape {
                Some(trade) if trade.price == price => {
                    Some(PublicTrade { last: trade_id, qty: trade.qty + matched, ..trade })
                }
                other => {
                    if let Some(trade) = other {
                        self.push(now, SimEventBody::Trade(trade));
                    }
                    Some(PublicTrade {
                        listing,
                        first: trade_id,
                        last: trade_id,
                        price,
                        qty: matched,
                        taker: side,
                    })
                }
            };
        }
        if let Some(trade) = tape {
            self.push(now, SimEventBody::Trade(trade));
        }
        qty - left
    }

    /// How much of a resting client order the taker may take.
    fn resting_fillable(&mut self, taker: Party, id: OrderId, rest: Steps, now: Nanos) -> Fillable {
        let Some(maker) = self.orders.get(&id) else { return Fillable::TakerEnds };
        let (account, listing, side, price, reduce_only) =
            (maker.account, maker.listing, maker.side, maker.price, maker.reduce_only);
        if let Party::Client(taker_id) = taker
            && let Some(order) = self.orders.get(&taker_id)
            && order.account == account
            && order.self_trade != SelfTrade::Allow
        {
            let mode = order.self_trade;
            if mode != SelfTrade::ExpireTaker {
                self.remove_resting(id, OrderStatus::ExpiredInMatch, EndReason::SelfTrade, now);
            }
            if mode == SelfTrade::ExpireMaker {
                return Fillable::Removed;
            }
            self.end(taker_id, OrderStatus::ExpiredInMatch, EndReason::SelfTrade, now);
            return Fillable::TakerEnds;
        }
        if reduce_only {
            let position = self.accounts[account.index()].positions[listing.index()].qty;
            let reducible = if position * side.sign() < 0 { position.abs() } else { 0 };
            if reducible == 0 {
                self.remove_resting(id, OrderStatus::Expired, EndReason::NothingToReduce, now);
                return Fillable::Removed;
            }
            if reducible < rest {
                // The part beyond the position can never trade: cut it away.
                self.books[listing.index()].shrink(side, price, id, reducible);
                if let Some(order) = self.orders.get_mut(&id) {
                    order.qty = order.filled + reducible;
                }
                return Fillable::Up(reducible);
            }
        }
        Fillable::Up(rest)
    }

    /// Takes a resting order out in the middle of a match (the best price is told at the end).
    fn remove_resting(&mut self, id: OrderId, status: OrderStatus, reason: EndReason, now: Nanos) {
        let Some(order) = self.orders.get(&id) else { return };
        let (listing, side, price) = (order.listing, order.side, order.price);
        self.books[listing.index()].shrink(side, price, id, 0);
        self.level_changed(listing, side, price, now);
        self.end(id, status, reason, now);
    }

    /// Books one side of a match: account, order, ledger, event.
    pub(super) fn book_fill(
        &mut self,
        listing: ListingId,
        party: Party,
        side: Side,
        mut fill: Fill,
        now: Nanos,
    ) {
        let index = listing.index();
        let notional = self.listings[index].settled(fill.price, fill.qty);
        let Party::Client(id) = party else {
            let decimals = self.settings.money_decimals;
            self.accounts[0].book(
                (index, &self.listings[index]),
                side,
                (fill.price, fill.qty),
                Money::ZERO,
                decimals,
                now,
            );
            return;
        };
        let rate = if fill.maker { self.settings.maker_fee_ppb } else { self.settings.taker_fee_ppb };
        fill.fee = fee(notional, rate, self.settings.money_decimals);
        let Some(order) = self.orders.get_mut(&id) else { return };
        let account = order.account;
        fill.realised = self.accounts[account.index()].book(
            (index, &self.listings[index]),
            side,
            (fill.price, fill.qty),
            fill.fee,
            self.settings.money_decimals,
            now,
        );
        order.filled += fill.qty;
        order.notional += notional;
        order.fee += fill.fee;
        order.realised += fill.realised;
        order.updated = now;
        order.status = if order.leaves() == 0 { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        let order = order.clone();
        self.ledger.record_fee(fill.fee);
        self.ledger.record_fill(FillRow { order: id, account, listing, side, fill, notional, at: now });
        self.touched.push((account, listing, ChangeReason::Order, Money::ZERO));
        if order.status == OrderStatus::Filled {
            self.retire(&order);
        } else {
            self.ledger.record_order(&order);
        }
        self.push(now, SimEventBody::Order { order, exec: Exec::Trade(fill) });
    }
}

/// How a resting order takes part.
enum Fillable {
    Up(Steps),
    Removed,
    TakerEnds,
}

/// Notional × rate, cut to `decimals` towards zero (Binance charges 0.00115829 on 0.0011583 − ε; the
/// captured figures agree with cutting, not with rounding to nearest).
fn fee(notional: Money, rate_ppb: i64, decimals: u8) -> Money {
    let (whole, rest) = (notional.0 / 1_000_000_000, notional.0 % 1_000_000_000);
    Money(whole * i128::from(rate_ppb) + rest * i128::from(rate_ppb) / 1_000_000_000).cut(decimals)
}
