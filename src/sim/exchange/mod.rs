//! A simulated exchange: price-time matching, accounts, margin, funding and the venue's own ledger.
//!
//! Knows no protocol and no clock: every operation takes the wall time at which it happens, and leaves
//! [`SimEvent`]s behind. Dialects (`sim/binance`, `sim/okx`) translate; the market (`sim/market`) provides
//! liquidity through the same books. All maps are ordered, so the same inputs give the same events.

mod account;
mod book;
mod ledger;
mod limits;
mod listing;
mod matching;
mod terms;
mod trouble;
mod types;

pub use account::Account;
pub use book::Book;
pub use ledger::{AccountTotals, FillRow, FramePrefix, FrameRow, FundingRow, OrderRow, VenueLedger};
pub use limits::RateWindow;
pub use listing::{Listing, MoneyText, fixed};
pub use terms::{Change, Standing, Terms};
pub use trouble::{Refusal, Trouble, TroubleCounts};
pub use types::*;

use super::config::{SimConfig, SimVenueConfig, whole};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// Terminal orders that can still be queried.
const FINISHED_ORDERS_MAX: usize = 10_000;

/// One venue's matching engine and accounts.
#[derive(Clone, Debug)]
pub struct Exchange {
    settings: SimVenueConfig,
    listings: Vec<Listing>,
    books: Vec<Book>,
    accounts: Vec<Account>,
    orders: BTreeMap<OrderId, Order>,
    /// Newest order per account and client id.
    client_ids: BTreeMap<(AccountId, String), OrderId>,
    /// Finished orders, oldest first, for pruning.
    finished: std::collections::VecDeque<OrderId>,
    /// Good-till orders by time.
    lapses: BTreeSet<(Nanos, OrderId)>,
    ledger: VenueLedger,
    events: Vec<SimEvent>,
    /// Published best prices per listing.
    published: Vec<(Option<LevelView>, Option<LevelView>)>,
    /// Accounts and listings touched by the operation under way.
    touched: Vec<(AccountId, ListingId, ChangeReason, Money)>,
    next_order: u64,
    next_trade: Vec<u64>,
    next_update: u64,
    last_update: Vec<u64>,
    trouble: Trouble,
}

impl Exchange {
    /// The `venue`-th venue of a checked configuration.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        let settings = config.venues[venue].clone();
        let listings: Vec<Listing> = settings
            .listings
            .iter()
            .map(|listing| {
                let instrument = &config.instruments[listing.instrument];
                let own = Some(settings.settles_in.as_str()).filter(|own| !own.is_empty());
                let currencies = [
                    instrument.base.as_str(),
                    own.unwrap_or(&instrument.quote),
                    own.unwrap_or(&instrument.settle),
                ];
                Listing::new(&settings, listing, currencies, instrument.price0, config.start_wall_ns)
            })
            .collect();
        let count = listings.len();
        let mut accounts = vec![Account::new("market".into(), Money::ZERO, count, 0)];
        for (index, account) in settings.accounts.iter().enumerate() {
            let name = format!("account-{}", index + 1);
            accounts.push(Account::new(name, whole(account.balance), count, config.start_wall_ns));
        }
        Self {
            ledger: VenueLedger::new(&settings.name, &listings, &accounts),
            books: vec![Book::default(); count],
            orders: BTreeMap::new(),
            client_ids: BTreeMap::new(),
            finished: std::collections::VecDeque::new(),
            lapses: BTreeSet::new(),
            events: Vec::new(),
            published: vec![(None, None); count],
            touched: Vec::new(),
            trouble: Trouble::default(),
            next_order: settings.order_id_base.max(1),
            next_trade: vec![1_000_000; count],
            // Large, as at real venues, so that clients that keep ids in 32 bits fail here too.
            next_update: 9_000_000_000_000,
            last_update: vec![9_000_000_000_000 - 1; count],
            listings,
            accounts,
            settings,
        }
    }

    /// The venue's configuration.
    pub fn settings(&self) -> &SimVenueConfig {
        &self.settings
    }

    /// Listings, by [`ListingId`].
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// One listing. Panics on an id that this exchange did not hand out.
    pub fn listing(&self, id: ListingId) -> &Listing {
        &self.listings[id.index()]
    }

    /// The listing of that native name.
    pub fn find(&self, symbol: &str) -> Option<ListingId> {
        self.listings.iter().position(|listing| listing.symbol == symbol).map(|at| ListingId(at as u16))
    }

    /// The listing of that numeric code.
    pub fn find_code(&self, code: u64) -> Option<ListingId> {
        self.listings.iter().position(|listing| listing.code == code).map(|at| ListingId(at as u16))
    }

    /// The account of an API key.
    pub fn authenticate(&self, api_key: &str) -> Option<AccountId> {
        let at = self.settings.accounts.iter().position(|account| account.api_key == api_key)?;
        Some(AccountId(at as u16 + 1))
    }

    /// The keys of a client account (from [`Exchange::authenticate`]).
    pub fn keys(&self, account: AccountId) -> &super::config::SimAccount {
        &self.settings.accounts[account.index() - 1]
    }

    /// How a client account is set up (from [`Exchange::authenticate`]).
    pub fn account_settings(&self, account: AccountId) -> &super::config::SimAccountSettings {
        &self.keys(account).settings
    }

    /// The leverage that a client account states.
    pub fn leverage_of(&self, account: AccountId) -> u32 {
        match self.account_settings(account).leverage {
            0 => self.settings.leverage,
            own => own,
        }
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> &Account {
        &self.accounts[id.index()]
    }

    /// A listing's book.
    pub fn book(&self, id: ListingId) -> &Book {
        &self.books[id.index()]
    }

    /// Update id of the listing's last level change.
    pub fn last_update(&self, id: ListingId) -> u64 {
        self.last_update[id.index()]
    }

    /// Id of the listing's next trade.
    pub fn next_trade_id(&self, id: ListingId) -> u64 {
        self.next_trade[id.index()]
    }

    /// The venue's books of account.
    pub fn ledger(&self) -> &VenueLedger {
        &self.ledger
    }

    pub(crate) fn ledger_mut(&mut self) -> &mut VenueLedger {
        &mut self.ledger
    }

    /// Moves all events since the last call to the end of `into`, oldest first.
    pub fn take_events(&mut self, into: &mut Vec<SimEvent>) {
        into.append(&mut self.events);
    }

    /// An account's order, open or recently finished.
    pub fn order(&self, account: AccountId, key: &OrderKey) -> Option<&Order> {
        let id = match key {
            OrderKey::Id(id) => *id,
            OrderKey::Client(client) => *self.client_ids.get(&(account, client.clone()))?,
        };
        self.orders.get(&id).filter(|order| order.account == account)
    }

    /// An account's open orders, oldest first.
    pub fn open_orders(
        &self,
        account: AccountId,
        listing: Option<ListingId>,
    ) -> impl Iterator<Item = &Order> {
        self.accounts[account.index()]
            .open
            .iter()
            .filter_map(|id| self.orders.get(id))
            .filter(move |order| listing.is_none_or(|listing| order.listing == listing))
    }

    /// Initial margin of an account's positions and open orders: per listing the larger of the two
    /// positions that result if all buys or all sells fill, at the mark, divided by the leverage.
    pub fn margin_used(&self, account: AccountId) -> Money {
        let mut sum = Money::ZERO;
        for index in 0..self.listings.len() {
            sum += self.listing_margin(account, ListingId(index as u16), 0, 0);
        }
        sum
    }

    /// Initial margin of the position alone.
    pub fn position_margin(&self, account: AccountId, listing: ListingId) -> Money {
        let qty = self.accounts[account.index()].positions[listing.index()].qty;
        self.margin_of(listing, qty.abs())
    }

    /// Wallet plus unrealised PnL.
    pub fn equity(&self, account: AccountId) -> Money {
        let account = &self.accounts[account.index()];
        account.wallet + account.unrealised_all(&self.listings)
    }

    /// What new orders may use: equity minus margin, not below zero.
    pub fn available(&self, account: AccountId) -> Money {
        (self.equity(account) - self.margin_used(account)).max(Money::ZERO)
    }

    /// Sets mark and index price (market only).
    pub fn set_mark(&mut self, listing: ListingId, mark: Money, index: Money) {
        let listing = &mut self.listings[listing.index()];
        listing.mark = mark;
        listing.index = index;
    }

    /// Sets the rate of the coming settlement, ppb.
    pub fn set_funding_rate(&mut self, listing: ListingId, rate_ppb: i64) {
        self.listings[listing.index()].funding_rate_ppb = rate_ppb;
    }

    /// Pays funding of a listing at its settlement instant and plans the next one: long pays short when the
    /// rate is positive; amount = value at mark × rate, cut to the venue's decimals towards zero. The
    /// simulated market is the other side.
    pub fn settle_funding(&mut self, listing: ListingId, now: Nanos) {
        let index = listing.index();
        let (rate, mark) = (self.listings[index].funding_rate_ppb, self.listings[index].mark);
        for account in 1..self.accounts.len() {
            let id = AccountId(account as u16);
            let qty = self.accounts[account].positions[index].qty;
            if qty == 0 {
                continue;
            }
            let value = self.listings[index].settled_at_mark(qty);
            let amount = Money(-value.0 / 1_000_000_000 * i128::from(rate)).cut(self.settings.money_decimals);
            for (id, amount) in [(id, amount), (AccountId::MARKET, -amount)] {
                let account = &mut self.accounts[id.index()];
                account.wallet += amount;
                account.positions[index].funding += amount;
                account.updated = now;
            }
            self.ledger.record_funding(FundingRow {
                account: id,
                listing,
                qty,
                mark,
                rate_ppb: rate,
                amount,
                at: now,
            });
            self.touched.push((id, listing, ChangeReason::Funding, amount));
        }
        self.push(now, SimEventBody::FundingSettled { listing, rate_ppb: rate });
        self.listings[index].funding_at += self.listings[index].funding_interval_ns;
        self.finish(now, None);
    }

    /// When the next good-till order lapses; `i64::MAX` for never.
    pub fn next_lapse(&self) -> Nanos {
        self.lapses.first().map_or(Nanos::MAX, |lapse| lapse.0)
    }

    /// Expires good-till orders that are due at `now`.
    pub fn lapse(&mut self, now: Nanos) {
        while let Some((at, id)) = self.lapses.first().copied() {
            if at > now {
                break;
            }
            self.lapses.pop_first();
            self.end_resting(id, OrderStatus::Expired, EndReason::Lapsed, now);
        }
    }

    fn push(&mut self, at: Nanos, body: SimEventBody) {
        self.events.push(SimEvent { at, body });
    }

    fn margin_of(&self, listing: ListingId, qty: Steps) -> Money {
        Money(
            self.listings[listing.index()].settled_at_mark(qty).0 / i128::from(self.settings.leverage.max(1)),
        )
    }

    /// Margin of a listing with additional open buys and sells.
    fn listing_margin(&self, account: AccountId, listing: ListingId, buys: Steps, sells: Steps) -> Money {
        let position = self.accounts[account.index()].positions[listing.index()].qty;
        let (mut long, mut short) = (position + buys, position - sells);
        for order in self.open_orders(account, Some(listing)).filter(|order| !order.reduce_only) {
            match order.side {
                Side::Buy => long += order.leaves(),
                Side::Sell => short -= order.leaves(),
            }
        }
        self.margin_of(listing, long.abs().max(short.abs()))
    }

    /// Whether the account can carry one more order of `qty`.
    fn margin_allows(&self, account: AccountId, listing: ListingId, side: Side, qty: Steps) -> bool {
        let (buys, sells) = if side == Side::Buy { (qty, 0) } else { (0, qty) };
        let before = self.listing_margin(account, listing, 0, 0);
        let after = self.listing_margin(account, listing, buys, sells);
        after <= before || self.equity(account) >= self.margin_used(account) - before + after
    }

    /// Closes an operation: tells touched accounts and, for `listing`, a changed best price.
    fn finish(&mut self, now: Nanos, listing: Option<ListingId>) {
        let touched = std::mem::take(&mut self.touched);
        for (at, &(account, touched_listing, reason, change)) in touched.iter().enumerate() {
            if touched[at + 1..]
                .iter()
                .any(|later| (later.0, later.1, later.2) == (account, touched_listing, reason))
            {
                continue; // only the last state is told
            }
            let wallet = self.accounts[account.index()].wallet;
            let position = self.accounts[account.index()].positions[touched_listing.index()];
            self.ledger.record_account(account, &self.accounts[account.index()]);
            self.push(
                now,
                SimEventBody::Account { account, reason, wallet, change, listing: touched_listing, position },
            );
        }
        if !touched.is_empty() {
            self.ledger.record_account(AccountId::MARKET, &self.accounts[0]);
            self.touched = touched;
            self.touched.clear();
        }
        if let Some(listing) = listing {
            self.publish_bbo(listing, now);
        }
    }

    fn publish_bbo(&mut self, listing: ListingId, now: Nanos) {
        let index = listing.index();
        let best = (self.books[index].best(Side::Buy), self.books[index].best(Side::Sell));
        if best != self.published[index] {
            self.published[index] = best;
            let update = self.last_update[index];
            self.push(now, SimEventBody::Bbo { listing, bid: best.0, ask: best.1, update });
        }
    }

    fn level_changed(&mut self, listing: ListingId, side: Side, price: Ticks, now: Nanos) {
        let level = self.books[listing.index()].level(side, price);
        let update = self.next_update;
        self.next_update += 1;
        self.last_update[listing.index()] = update;
        self.push(now, SimEventBody::Level { listing, side, level, update });
    }

    /// Marks an order as done: index, ledger, event.
    fn end(&mut self, id: OrderId, status: OrderStatus, reason: EndReason, now: Nanos) {
        let Some(order) = self.orders.get_mut(&id) else { return };
        order.status = status;
        order.ended = reason;
        order.updated = now;
        let order = order.clone();
        self.retire(&order);
        if status != OrderStatus::Filled {
            self.push(now, SimEventBody::Order { order, exec: Exec::Ended });
        }
    }

    /// Takes a finished order out of the open sets; the oldest finished ones are forgotten.
    fn retire(&mut self, order: &Order) {
        self.accounts[order.account.index()].open.remove(&order.id);
        if order.expires_at > 0 {
            self.lapses.remove(&(order.expires_at, order.id));
        }
        self.ledger.record_order(order);
        self.finished.push_back(order.id);
        while self.finished.len() > FINISHED_ORDERS_MAX {
            let Some(old) = self.finished.pop_front() else { break };
            if let Some(order) = self.orders.remove(&old) {
                let key = (order.account, order.client_id);
                if self.client_ids.get(&key) == Some(&old) {
                    self.client_ids.remove(&key);
                }
            }
        }
    }

    /// Ends an order that rests in the book.
    fn end_resting(&mut self, id: OrderId, status: OrderStatus, reason: EndReason, now: Nanos) {
        let Some(order) = self.orders.get(&id).filter(|order| order.status.is_open()) else { return };
        let (listing, side, price) = (order.listing, order.side, order.price);
        if self.books[listing.index()].shrink(side, price, id, 0) {
            self.level_changed(listing, side, price, now);
        }
        self.end(id, status, reason, now);
        self.finish(now, Some(listing));
    }
}

#[cfg(test)]
mod tests;
