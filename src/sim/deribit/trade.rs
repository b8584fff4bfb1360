//! Requests to the matching engine: parsed, checked, executed. WebSocket and HTTP share all of it.

use super::private::{self, order_name};
use super::wire::{Fault, ms, reject_fault, reply, text};
use super::{DeribitServer, Travel};
use crate::domain::time::Nanos;
use crate::sim::SimConn;
use crate::sim::exchange::{
    AccountId, Exchange, FillRow, NewOrder, OrderId, OrderKey, OrderKind, Reject, SelfTrade, Side, Tif,
};
use serde_json::Value;

/// A request that was accepted at the door.
pub(super) struct OrderRequest {
    pub(super) conn: SimConn,
    pub(super) account: AccountId,
    pub(super) method: String,
    pub(super) params: Value,
    pub(super) id: Option<Value>,
    pub(super) arrived: Nanos,
}

/// Whether a method goes to the matching engine.
pub(super) fn is_matching(method: &str) -> bool {
    matches!(
        method,
        "private/buy"
            | "private/sell"
            | "private/edit"
            | "private/edit_by_label"
            | "private/cancel"
            | "private/cancel_all"
            | "private/cancel_all_by_instrument"
            | "private/cancel_by_label"
    )
}

impl DeribitServer {
    /// Executes a request that has arrived at the engine, and sends its reply on the way.
    pub(super) fn run_request(&mut self, request: &OrderRequest, at: Nanos) {
        let outcome = self.execute(request.account, &request.method, &request.params, Some(request.conn), at);
        let late = self.venue.exchange_mut().take_ack_delay();
        let done = at + self.venue.exchange().settings().latency_out_ns + late;
        let text = reply(request.id.as_ref(), &outcome, request.arrived, done);
        self.under_way.push(done, Travel::Message(request.conn, text));
    }

    /// One request to the engine.
    pub(super) fn execute(
        &mut self,
        account: AccountId,
        method: &str,
        params: &Value,
        conn: Option<SimConn>,
        now: Nanos,
    ) -> Result<String, Fault> {
        let outcome = match method {
            _ if !self.venue.exchange().account_settings(account).may_trade => {
                Err(Fault::new(13_021, "forbidden"))
            }
            "private/buy" => self.place(account, Side::Buy, params, conn, now),
            "private/sell" => self.place(account, Side::Sell, params, conn, now),
            "private/edit" => self.edit(account, &OrderKey::Id(order_id(params)?), params, now),
            "private/edit_by_label" => match text(params, "label") {
                Some(label) => self.edit(account, &OrderKey::Client(label), params, now),
                None => Err(Fault::parameter("label")),
            },
            "private/cancel" => self.cancel(account, params, now),
            _ => self.cancel_several(account, method, params, now),
        };
        self.collect();
        outcome
    }

    fn place(
        &mut self,
        account: AccountId,
        side: Side,
        params: &Value,
        conn: Option<SimConn>,
        now: Nanos,
    ) -> Result<String, Fault> {
        let mut new = parse_order(self.venue.exchange(), account, side, params)?;
        stand_aside(self.venue.exchange(), &mut new, params)?;
        if let Some(until) = text(params, "valid_until").and_then(|ms| ms.parse::<i64>().ok())
            && until < ms(now)
        {
            return Err(Fault { reason: "valid_until".into(), ..Fault::new(11_030, "other_reject") });
        }
        let booked = self.venue.exchange().ledger().fills().len();
        let exchange = self.venue.exchange_mut();
        let id = exchange.place(&new, now).map_err(reject_fault)?;
        if let Some(client) = conn.and_then(|conn| self.clients.get_mut(&conn)) {
            client.placed.push(id);
        }
        self.placed(account, id, booked)
    }

    /// The order, and the trades that it made: those booked since `booked`.
    fn placed(&self, account: AccountId, id: OrderId, booked: usize) -> Result<String, Fault> {
        let exchange = self.venue.exchange();
        let order = exchange.order(account, &OrderKey::Id(id)).ok_or_else(unknown_order)?;
        let own = |row: &&FillRow| row.order == id;
        let trades: Vec<String> = exchange.ledger().fills()[booked..]
            .iter()
            .filter(own)
            .map(|row| private::trade(exchange, row))
            .collect();
        Ok(format!(r#"{{"trades":[{}],"order":{}}}"#, trades.join(","), private::order(exchange, order)))
    }

    /// The order keeps its number, and its place only when nothing but the amount shrinks.
    fn edit(
        &mut self,
        account: AccountId,
        key: &OrderKey,
        params: &Value,
        now: Nanos,
    ) -> Result<String, Fault> {
        let exchange = self.venue.exchange_mut();
        let order = exchange.order(account, key).ok_or_else(unknown_order)?;
        let (id, listing) = (order.id, order.listing);
        let contract = exchange.listing(listing);
        let price = text(params, "price").and_then(|text| contract.parse_price(&text));
        let qty = text(params, "amount").and_then(|text| contract.parse_qty(&text));
        let booked = exchange.ledger().fills().len();
        exchange.amend(account, None, &OrderKey::Id(id), price, qty, now).map_err(reject_fault)?;
        self.placed(account, id, booked)
    }

    fn cancel(&mut self, account: AccountId, params: &Value, now: Nanos) -> Result<String, Fault> {
        let key = OrderKey::Id(order_id(params)?);
        let exchange = self.venue.exchange_mut();
        exchange.order(account, &key).ok_or_else(unknown_order)?;
        exchange.cancel(account, None, &key, now).map_err(reject_fault)?;
        let exchange = self.venue.exchange();
        let order = exchange.order(account, &key).ok_or_else(unknown_order)?;
        Ok(private::order(exchange, order))
    }

    fn cancel_several(
        &mut self,
        account: AccountId,
        method: &str,
        params: &Value,
        now: Nanos,
    ) -> Result<String, Fault> {
        let label = text(params, "label");
        if method == "private/cancel_by_label" && label.is_none() {
            return Err(Fault::parameter("label"));
        }
        let listing = match text(params, "instrument_name") {
            Some(name) => {
                Some(self.venue.exchange().find(&name).ok_or_else(|| Fault::parameter("instrument_name"))?)
            }
            None => None,
        };
        let wanted: Vec<OrderId> = self
            .venue
            .exchange()
            .open_orders(account, listing)
            .filter(|order| label.as_ref().is_none_or(|label| private::label(order) == label))
            .map(|order| order.id)
            .collect();
        for id in &wanted {
            let exchange = self.venue.exchange_mut();
            exchange.cancel(account, None, &OrderKey::Id(*id), now).map_err(reject_fault)?;
        }
        Ok(wanted.len().to_string())
    }
}

fn unknown_order() -> Fault {
    Fault::new(10_004, "order_not_found")
}

/// The number in `order_id`: `USDC-…` or bare.
pub(super) fn order_id(params: &Value) -> Result<OrderId, Fault> {
    let name = text(params, "order_id").ok_or_else(|| Fault::parameter("order_id"))?;
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.parse().map(OrderId).map_err(|_| unknown_order())
}

/// Orders that carry a label, open or recently finished.
pub(super) fn by_label(exchange: &Exchange, account: AccountId, label: &str) -> String {
    // The exchange keeps the newest order of a label; clients that repeat labels see that one only.
    let order = exchange.order(account, &OrderKey::Client(label.to_owned()));
    debug_assert!(order.is_none_or(|order| order_name(exchange.listing(order.listing), order).contains('-')));
    order.map_or_else(|| "[]".to_owned(), |order| format!("[{}]", private::order(exchange, order)))
}

/// A post-only order that would take is refused if the client wants that, else put next to the spread.
fn stand_aside(exchange: &Exchange, new: &mut NewOrder, params: &Value) -> Result<(), Fault> {
    let best = exchange.book(new.listing).best(new.side.opposite());
    let Some(best) = best.filter(|best| new.tif == Tif::PostOnly && new.side.takes(new.price, best.price))
    else {
        return Ok(());
    };
    if text(params, "reject_post_only").as_deref() == Some("true") {
        return Err(reject_fault(Reject::WouldTake));
    }
    new.price = best.price - new.side.sign();
    Ok(())
}

fn parse_order(
    exchange: &Exchange,
    account: AccountId,
    side: Side,
    params: &Value,
) -> Result<NewOrder, Fault> {
    let needed = |name: &str| text(params, name).ok_or_else(|| Fault::parameter(name));
    let listing =
        exchange.find(&needed("instrument_name")?).ok_or_else(|| Fault::parameter("instrument_name"))?;
    let contract = exchange.listing(listing);
    let flag = |name: &str, default: bool| match text(params, name).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Fault::parameter(name)),
    };
    let kind = match text(params, "type").as_deref() {
        None | Some("limit") => OrderKind::Limit,
        Some("market") => OrderKind::Market,
        Some(_) => return Err(Fault::parameter("type")),
    };
    // The schema's default for limit orders is true: who forgets it never takes.
    let waits = text(params, "time_in_force").is_none_or(|tif| tif == "good_til_cancelled");
    let post_only = flag("post_only", kind == OrderKind::Limit && waits)?;
    let tif = match text(params, "time_in_force").as_deref() {
        None | Some("good_til_cancelled" | "good_til_day") if post_only => Tif::PostOnly,
        None | Some("good_til_cancelled" | "good_til_day") => Tif::Gtc,
        Some("immediate_or_cancel") => Tif::Ioc,
        Some("fill_or_kill") => Tif::Fok,
        Some(_) => return Err(Fault::parameter("time_in_force")),
    };
    let price = match kind {
        OrderKind::Market => 0,
        OrderKind::Limit => {
            contract.parse_price(&needed("price")?).ok_or_else(|| Fault::new(10_043, "price_wrong_tick"))?
        }
    };
    let qty = text(params, "amount").or_else(|| text(params, "contracts"));
    let qty = qty.and_then(|qty| contract.parse_qty(&qty)).ok_or_else(|| Fault::parameter("amount"))?;
    let label = text(params, "label").unwrap_or_default();
    if label.len() > 64 {
        return Err(Fault::parameter("label"));
    }
    Ok(NewOrder {
        account,
        listing,
        side,
        kind,
        tif,
        price,
        qty,
        reduce_only: flag("reduce_only", false)?,
        client_id: label,
        self_trade: match exchange.account_settings(account).self_trade.as_str() {
            "cancel_maker" => SelfTrade::ExpireMaker,
            _ => SelfTrade::ExpireTaker,
        },
        expires_at: 0,
    })
}
