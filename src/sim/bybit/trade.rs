//! Order requests: parsed, checked, executed. WebSocket operations and REST calls share all of it.

use super::wire::{Fault, order_of_uuid, reject_fault};
use super::{BybitServer, wire};
use crate::domain::time::Nanos;
use crate::sim::exchange::{
    AccountId, Exchange, ListingId, NewOrder, OrderId, OrderKey, OrderKind, SelfTrade, Side, Tif,
};
use serde_json::{Value, json};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Create,
    Cancel,
    Amend,
}

impl Action {
    /// The path whose budget it counts against, wherever it comes from.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Create => "order/create",
            Self::Cancel => "order/cancel",
            Self::Amend => "order/amend",
        }
    }
}

impl BybitServer {
    /// Executes a request at `now`: `{"orderId":…,"orderLinkId":…}`.
    pub(super) fn execute(
        &mut self,
        account: AccountId,
        action: Action,
        arg: &Value,
        now: Nanos,
    ) -> Result<Value, Fault> {
        let exchange = self.venue.exchange_mut();
        if !exchange.account_settings(account).may_trade {
            return Err(Fault::permission());
        }
        let done = listing_of(exchange, arg).and_then(|listing| match action {
            Action::Create => create(exchange, account, listing, arg, now),
            Action::Cancel => {
                let key = key_of(arg)?;
                exchange.cancel(account, Some(listing), &key, now).map_err(reject_fault)
            }
            Action::Amend => amend(exchange, account, listing, arg, now),
        });
        self.collect();
        let link = text(arg, "orderLinkId").unwrap_or_default();
        done.map(|id| json!({"orderId": wire::order_uuid(id), "orderLinkId": link}))
    }
}

/// The instrument of a request: linear contracts are all that there is.
pub(super) fn listing_of(exchange: &Exchange, arg: &Value) -> Result<ListingId, Fault> {
    if text(arg, "category").as_deref() != Some("linear") {
        return Err(Fault::new(10001, "Illegal category"));
    }
    let symbol = text(arg, "symbol").unwrap_or_default();
    exchange.find(&symbol).ok_or_else(|| Fault::parameter("symbol"))
}

/// The order that a request means: `orderId` wins over `orderLinkId`.
pub(super) fn key_of(arg: &Value) -> Result<OrderKey, Fault> {
    let given = |name: &str| text(arg, name).filter(|value| !value.is_empty());
    match (given("orderId"), given("orderLinkId")) {
        // What was never handed out names no order.
        (Some(id), _) => Ok(OrderKey::Id(order_of_uuid(&id).unwrap_or(OrderId(0)))),
        (None, Some(link)) => Ok(OrderKey::Client(link)),
        (None, None) => Err(Fault::parameter("orderId")),
    }
}

fn create(
    exchange: &mut Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
    now: Nanos,
) -> Result<OrderId, Fault> {
    if exchange.account_settings(account).long_short {
        // One of the two sides is needed in that mode, which is not simulated.
        return Err(Fault::new(10001, "position idx not match position mode"));
    }
    let new = parse_order(exchange, account, listing, arg)?;
    // Unlike elsewhere, an id of a closed order is taken as well.
    let used = !new.client_id.is_empty()
        && exchange.order(account, &OrderKey::Client(new.client_id.clone())).is_some();
    if used {
        return Err(Fault::new(110_072, "OrderLinkedID is duplicate"));
    }
    exchange.place(&new, now).map_err(reject_fault)
}

/// Unchanged fields may be omitted; `qty` is the total.
fn amend(
    exchange: &mut Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
    now: Nanos,
) -> Result<OrderId, Fault> {
    let given = |name: &str| text(arg, name).filter(|value| !value.is_empty());
    let contract = exchange.listing(listing);
    let price = given("price")
        .map(|price| contract.parse_price(&price).ok_or_else(|| Fault::parameter("price")))
        .transpose()?;
    let qty = given("qty")
        .map(|qty| contract.parse_qty(&qty).ok_or_else(|| Fault::new(10001, "Qty invalid")))
        .transpose()?;
    exchange.amend(account, Some(listing), &key_of(arg)?, price, qty, now).map_err(reject_fault)
}

fn parse_order(
    exchange: &Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
) -> Result<NewOrder, Fault> {
    let needed =
        |name: &str| text(arg, name).filter(|value| !value.is_empty()).ok_or_else(|| Fault::parameter(name));
    let contract = exchange.listing(listing);
    let side = match needed("side")?.as_str() {
        "Buy" => Side::Buy,
        "Sell" => Side::Sell,
        _ => return Err(Fault::parameter("side")),
    };
    if !matches!(text(arg, "positionIdx").as_deref(), None | Some("0")) {
        return Err(Fault::new(10001, "position idx not match position mode"));
    }
    let kind = match needed("orderType")?.as_str() {
        "Limit" => OrderKind::Limit,
        "Market" => OrderKind::Market,
        _ => return Err(Fault::parameter("orderType")),
    };
    let tif = match (kind, text(arg, "timeInForce").unwrap_or_default().as_str()) {
        (OrderKind::Market, _) | (_, "IOC") => Tif::Ioc,
        (_, "GTC" | "") => Tif::Gtc,
        (_, "FOK") => Tif::Fok,
        (_, "PostOnly") => Tif::PostOnly,
        _ => return Err(Fault::parameter("timeInForce")),
    };
    let price = match kind {
        OrderKind::Market => 0,
        OrderKind::Limit => {
            contract.parse_price(&needed("price")?).ok_or_else(|| Fault::parameter("price"))?
        }
    };
    let qty = contract.parse_qty(&needed("qty")?).ok_or_else(|| Fault::new(10001, "Qty invalid"))?;
    let client_id = text(arg, "orderLinkId").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if client_id.len() > 36 || !client_id.bytes().all(plain) {
        return Err(Fault::parameter("orderLinkId"));
    }
    let reduce_only = match text(arg, "reduceOnly").as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(Fault::parameter("reduceOnly")),
    };
    let self_trade = match text(arg, "smpType").as_deref() {
        None | Some("" | "None") => SelfTrade::Allow,
        Some("CancelMaker") => SelfTrade::ExpireMaker,
        Some("CancelTaker") => SelfTrade::ExpireTaker,
        Some("CancelBoth") => SelfTrade::ExpireBoth,
        Some(_) => return Err(Fault::parameter("smpType")),
    };
    Ok(NewOrder {
        account,
        listing,
        side,
        kind,
        tif,
        price,
        qty,
        reduce_only,
        client_id,
        self_trade,
        expires_at: 0,
    })
}

/// A field as text: numbers and booleans may stand bare.
pub(super) fn text(arg: &Value, name: &str) -> Option<String> {
    match arg.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
