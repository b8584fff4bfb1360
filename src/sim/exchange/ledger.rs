//! The venue's own books: every client order, fill, fee and funding payment, and the resulting balances and
//! positions, as exact decimals.
//!
//! Written by the exchange only, never read by it: what the engine believes is compared with this.

use super::account::Account;
use super::listing::Listing;
use super::types::{
    AccountId, EndReason, Fill, ListingId, Order, OrderId, OrderKind, OrderStatus, Position, Reject, Side,
    Steps, Tif,
};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// An order's last known state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The order; id 0 when it was refused.
    pub order: Order,
    /// Why it was refused.
    pub reject: Option<Reject>,
}

/// One side of a match that a client took part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillRow {
    /// Which order.
    pub order: OrderId,
    /// Whose.
    pub account: AccountId,
    /// What.
    pub listing: ListingId,
    /// Buy or sell.
    pub side: Side,
    /// Price, quantity, fee, PnL.
    pub fill: Fill,
    /// Value, settlement currency.
    pub notional: Money,
    /// Wall time, ns.
    pub at: Nanos,
}

/// A funding payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingRow {
    /// Whose.
    pub account: AccountId,
    /// What.
    pub listing: ListingId,
    /// Position at the instant.
    pub qty: Steps,
    /// Mark price.
    pub mark: Money,
    /// Rate, ppb.
    pub rate_ppb: i64,
    /// Received (negative = paid).
    pub amount: Money,
    /// Wall time, ns.
    pub at: Nanos,
}

/// Sums of an account over all listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountTotals {
    /// Put in.
    pub deposits: Money,
    /// deposits + realised − fees + funding.
    pub wallet: Money,
    /// PnL realised, before fees.
    pub realised: Money,
    /// Fees paid.
    pub fees: Money,
    /// Funding received.
    pub funding: Money,
}

/// Frames sent on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Connection number.
    pub conn: u32,
    /// Path of its upgrade request, without secrets (listen keys are cut).
    pub path: String,
    /// Text messages sent.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 over all of them in order, each followed by a newline; lower-case hex.
    pub sha256: String,
    /// The same before each of the last frames, oldest first: what a reader has that was cut off.
    pub tail: Vec<FramePrefix>,
}

/// The first frames of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramePrefix {
    /// How many.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 over them, as in [`FrameRow::sha256`].
    pub sha256: String,
}

/// The books of one venue.
#[derive(Clone, Debug, Default)]
pub struct VenueLedger {
    venue: String,
    listings: Vec<Listing>,
    accounts: Vec<(String, AccountTotals, Vec<Position>)>,
    orders: Vec<OrderRow>,
    order_rows: BTreeMap<OrderId, usize>,
    fills: Vec<FillRow>,
    funding: Vec<FundingRow>,
    house: Money,
    frames: Vec<FrameRow>,
}

impl VenueLedger {
    pub(crate) fn new(venue: &str, listings: &[Listing], accounts: &[Account]) -> Self {
        let mut ledger = Self { venue: venue.into(), listings: listings.to_vec(), ..Self::default() };
        for account in accounts {
            let totals = AccountTotals {
                deposits: account.deposits,
                wallet: account.wallet,
                ..AccountTotals::default()
            };
            ledger.accounts.push((account.name.clone(), totals, account.positions.clone()));
        }
        ledger
    }

    /// The venue's name.
    pub fn venue(&self) -> &str {
        &self.venue
    }

    /// Listings, by [`ListingId`]. Marks in here are those of the start.
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// The listing of that native name.
    pub fn listing(&self, symbol: &str) -> Option<(ListingId, &Listing)> {
        let at = self.listings.iter().position(|listing| listing.symbol == symbol)?;
        Some((ListingId(at as u16), &self.listings[at]))
    }

    /// Orders, oldest first, each in its last state; refused ones included.
    pub fn orders(&self) -> &[OrderRow] {
        &self.orders
    }

    /// The newest order with that client id.
    pub fn order(&self, client_id: &str) -> Option<&OrderRow> {
        self.orders.iter().rev().find(|row| row.order.client_id == client_id)
    }

    /// Client fills, oldest first.
    pub fn fills(&self) -> &[FillRow] {
        &self.fills
    }

    /// Funding payments of clients, oldest first.
    pub fn funding(&self) -> &[FundingRow] {
        &self.funding
    }

    /// Client accounts.
    pub fn account_ids(&self) -> impl Iterator<Item = AccountId> {
        (1..self.accounts.len()).map(|index| AccountId(index as u16))
    }

    /// Sums of an account; zeros for an unknown one.
    pub fn totals(&self, account: AccountId) -> AccountTotals {
        self.accounts.get(account.index()).map(|a| a.1).unwrap_or_default()
    }

    /// An account's position; flat for an unknown one.
    pub fn position(&self, account: AccountId, listing: ListingId) -> Position {
        self.accounts.get(account.index()).and_then(|a| a.2.get(listing.index())).copied().unwrap_or_default()
    }

    /// Fees that the venue earned.
    pub fn house(&self) -> Money {
        self.house
    }

    /// Frames sent per connection, as far as they were handed in.
    pub fn frames(&self) -> &[FrameRow] {
        &self.frames
    }

    pub(crate) fn set_frames(&mut self, frames: Vec<FrameRow>) {
        self.frames = frames;
    }

    pub(crate) fn record_order(&mut self, order: &Order) {
        let next = self.orders.len();
        let at = *self.order_rows.entry(order.id).or_insert(next);
        if at == next {
            self.orders.push(OrderRow { order: order.clone(), reject: None });
        } else {
            self.orders[at].order.clone_from(order);
        }
    }

    pub(crate) fn record_reject(&mut self, order: Order, reject: Reject) {
        self.orders.push(OrderRow { order, reject: Some(reject) });
    }

    pub(crate) fn record_fill(&mut self, row: FillRow) {
        self.fills.push(row);
    }

    pub(crate) fn record_fee(&mut self, fee: Money) {
        self.house += fee;
    }

    pub(crate) fn record_funding(&mut self, row: FundingRow) {
        self.funding.push(row);
    }

    pub(crate) fn record_account(&mut self, id: AccountId, account: &Account) {
        let Some((_, totals, positions)) = self.accounts.get_mut(id.index()) else { return };
        positions.clone_from(&account.positions);
        *totals =
            AccountTotals { deposits: account.deposits, wallet: account.wallet, ..AccountTotals::default() };
        for position in positions.iter() {
            totals.realised += position.realised;
            totals.fees += position.fees;
            totals.funding += position.funding;
        }
    }

    /// Everything as one JSON object; numbers are exact decimal strings.
    pub fn to_json(&self) -> Value {
        json!({
            "venue": self.venue,
            "orders": self.orders.iter().map(|row| self.order_json(row)).collect::<Vec<_>>(),
            "fills": self.fills.iter().map(|row| self.fill_json(row)).collect::<Vec<_>>(),
            "funding": self.funding.iter().map(|row| self.funding_json(row)).collect::<Vec<_>>(),
            "balances": self.balances_json(),
            "frames": self.frames_json(),
        })
    }

    /// Writes `orders.ndjson`, `fills.ndjson`, `funding.ndjson`, `balances.json` and `frames.json` into
    /// `dir`, which is made if missing.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let lines = |name: &str, rows: &mut dyn Iterator<Item = Value>| -> io::Result<()> {
            let mut file = io::BufWriter::new(std::fs::File::create(dir.join(name))?);
            for row in rows {
                writeln!(file, "{row}")?;
            }
            file.flush()
        };
        lines("orders.ndjson", &mut self.orders.iter().map(|row| self.order_json(row)))?;
        lines("fills.ndjson", &mut self.fills.iter().map(|row| self.fill_json(row)))?;
        lines("funding.ndjson", &mut self.funding.iter().map(|row| self.funding_json(row)))?;
        lines("balances.json", &mut std::iter::once(self.balances_json()))?;
        lines("frames.json", &mut std::iter::once(self.frames_json()))
    }

    fn name(&self, account: AccountId) -> &str {
        self.accounts.get(account.index()).map_or("", |a| a.0.as_str())
    }

    fn order_json(&self, row: &OrderRow) -> Value {
        let order = &row.order;
        let Some(listing) = self.listings.get(order.listing.index()) else {
            return json!({"client_id": order.client_id, "status": "Rejected", "reject": row.reject.map(|r| r.to_string())});
        };
        json!({
            "order_id": order.id.0.to_string(),
            "client_id": order.client_id,
            "account": self.name(order.account),
            "symbol": listing.symbol,
            "side": side_text(order.side),
            "type": match order.kind { OrderKind::Limit => "limit", OrderKind::Market => "market" },
            "tif": match order.tif { Tif::Gtc => "gtc", Tif::Ioc => "ioc", Tif::Fok => "fok", Tif::PostOnly => "post_only" },
            "price": listing.price_text(order.price),
            "qty": listing.qty_text(order.qty),
            "filled": listing.qty_text(order.filled),
            "notional": order.notional.to_string(),
            "fee": order.fee.to_string(),
            "realised": order.realised.to_string(),
            "reduce_only": order.reduce_only,
            "status": status_text(order.status),
            "ended": match order.ended { EndReason::None => Value::Null, reason => json!(format!("{reason:?}")) },
            "reject": row.reject.map(|reject| reject.to_string()),
            "created_ns": order.created.to_string(),
            "updated_ns": order.updated.to_string(),
        })
    }

    fn fill_json(&self, row: &FillRow) -> Value {
        let listing = &self.listings[row.listing.index()];
        let client_id = self.order_rows.get(&row.order).map(|at| self.orders[*at].order.client_id.as_str());
        json!({
            "trade_id": row.fill.trade_id.to_string(),
            "order_id": row.order.0.to_string(),
            "client_id": client_id,
            "account": self.name(row.account),
            "symbol": listing.symbol,
            "side": side_text(row.side),
            "price": listing.price_text(row.fill.price),
            "qty": listing.qty_text(row.fill.qty),
            "notional": row.notional.to_string(),
            "fee": row.fill.fee.to_string(),
            "realised": row.fill.realised.to_string(),
            "maker": row.fill.maker,
            "time_ns": row.at.to_string(),
        })
    }

    fn funding_json(&self, row: &FundingRow) -> Value {
        let listing = &self.listings[row.listing.index()];
        json!({
            "account": self.name(row.account),
            "symbol": listing.symbol,
            "qty": listing.qty_text(row.qty),
            "mark": row.mark.to_string(),
            "rate": Money(i128::from(row.rate_ppb) * 1_000_000_000).to_string(),
            "amount": row.amount.to_string(),
            "time_ns": row.at.to_string(),
        })
    }

    fn balances_json(&self) -> Value {
        let accounts: Vec<Value> = self
            .accounts
            .iter()
            .map(|(name, totals, positions)| {
                let held = positions.iter().zip(&self.listings).filter(|(p, _)| p.updated != 0);
                json!({
                    "account": name,
                    "deposits": totals.deposits.to_string(),
                    "wallet": totals.wallet.to_string(),
                    "realised": totals.realised.to_string(),
                    "fees": totals.fees.to_string(),
                    "funding": totals.funding.to_string(),
                    "positions": held.map(|(position, listing)| json!({
                        "symbol": listing.symbol,
                        "qty": listing.qty_text(position.qty),
                        "cost": position.cost.to_string(),
                        "realised": position.realised.to_string(),
                        "fees": position.fees.to_string(),
                        "funding": position.funding.to_string(),
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({"venue": self.venue, "accounts": accounts, "house_fees": self.house.to_string()})
    }

    fn frames_json(&self) -> Value {
        let rows: Vec<Value> = self
            .frames
            .iter()
            .map(|row| {
                let tail = row.tail.iter().map(|first| json!([first.frames, first.bytes, first.sha256]));
                json!({
                    "conn": row.conn, "path": row.path, "frames": row.frames, "bytes": row.bytes,
                    "sha256": row.sha256, "tail": tail.collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({"venue": self.venue, "connections": rows})
    }
}

fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn status_text(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "new",
        OrderStatus::PartiallyFilled => "partially_filled",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled => "canceled",
        OrderStatus::Expired => "expired",
        OrderStatus::ExpiredInMatch => "expired_in_match",
        OrderStatus::Rejected => "rejected",
    }
}
