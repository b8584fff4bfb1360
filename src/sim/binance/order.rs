//! Orders between Binance parameters and the exchange: one translation for REST and WebSocket API.

use super::auth::Params;
use super::error::ApiError;
use super::flavour::pair_field;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::exchange::{
    AccountId, Exchange, Listing, ListingId, MoneyText, NewOrder, Order, OrderId, OrderKey, OrderKind,
    OrderStatus, Reject, SelfTrade, Side, Tif,
};

/// How much of a new order's fate the reply tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// The accepted order before matching.
    Ack,
    /// After matching.
    Result,
}

/// `order.place`, `POST /fapi/v1/order`.
pub(super) fn place(
    exchange: &mut Exchange,
    account: AccountId,
    params: &Params,
    now: Nanos,
) -> Result<String, ApiError> {
    let settings = exchange.account_settings(account);
    if !settings.may_trade {
        return Err(ApiError::new(
            -2015,
            "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1",
        ));
    }
    if settings.long_short && params.get("positionSide").is_none_or(|side| side == "BOTH") {
        return Err(ApiError::new(-4061, "Order's position side does not match user's setting."));
    }
    let (new, detail) = parse(exchange, account, params, now)?;
    if !new.reduce_only && !exchange.listing(new.listing).is_trading(now) {
        return Err(ApiError::new(-4140, "Invalid symbol status for opening position."));
    }
    let id = exchange.place(&new, now)?;
    let order = exchange.order(account, &OrderKey::Id(id)).ok_or_else(unknown)?;
    let listing = exchange.listing(order.listing);
    Ok(match detail {
        Detail::Result => json(listing, order, false),
        Detail::Ack => json(listing, &as_accepted(order), false),
    })
}

/// `order.cancel`, `DELETE /fapi/v1/order`.
pub(super) fn cancel(
    exchange: &mut Exchange,
    account: AccountId,
    params: &Params,
    now: Nanos,
) -> Result<String, ApiError> {
    let listing = symbol(exchange, params)?;
    let id = exchange.cancel(account, Some(listing), &key(params)?, now)?;
    let order = exchange.order(account, &OrderKey::Id(id)).ok_or_else(unknown)?;
    Ok(json(exchange.listing(listing), order, false))
}

/// `order.modify`, `PUT /fapi/v1/order`: needs both price and total quantity.
pub(super) fn modify(
    exchange: &mut Exchange,
    account: AccountId,
    params: &Params,
    now: Nanos,
) -> Result<String, ApiError> {
    let listing = symbol(exchange, params)?;
    let contract = exchange.listing(listing);
    let price = price(contract, params.need("price")?)?;
    let qty = quantity(contract, params.need("quantity")?)?;
    let key = key(params)?;
    let amended = exchange.amend(account, Some(listing), &key, Some(price), Some(qty), now);
    if amended == Err(Reject::WouldTake) {
        // The amendment of a post-only order that would take cancels it ("Modify Order" of the documentation).
        let _ = exchange.cancel(account, Some(listing), &key, now);
    }
    let id = amended.map_err(|reject| match ApiError::from(reject) {
        error if error.code == -2011 => ApiError::new(-2013, "Order does not exist."),
        error => error,
    })?;
    let order = exchange.order(account, &OrderKey::Id(id)).ok_or_else(unknown)?;
    Ok(json(exchange.listing(listing), order, false))
}

/// `order.status`, `GET /fapi/v1/order`.
pub(super) fn status(exchange: &Exchange, account: AccountId, params: &Params) -> Result<String, ApiError> {
    let listing = symbol(exchange, params)?;
    let order = exchange
        .order(account, &key(params)?)
        .filter(|order| order.listing == listing)
        .ok_or_else(unknown)?;
    Ok(json(exchange.listing(listing), order, true))
}

/// The listing of the mandatory `symbol`.
pub(super) fn symbol(exchange: &Exchange, params: &Params) -> Result<ListingId, ApiError> {
    exchange.find(params.need("symbol")?).ok_or_else(ApiError::symbol)
}

/// The listing of an optional `symbol`.
pub(super) fn symbol_maybe(exchange: &Exchange, params: &Params) -> Result<Option<ListingId>, ApiError> {
    params.get("symbol").map(|symbol| exchange.find(symbol).ok_or_else(ApiError::symbol)).transpose()
}

/// The client id as the venue tells it: its own orders that take positions away have a name of their own.
pub(super) fn client_id(order: &Order) -> &str {
    if order.by_venue { "adl_autoclose" } else { &order.client_id }
}

/// An order as replies show it. Placing and cancelling replies carry `cumQty`, queries carry `time`.
pub(super) fn json(listing: &Listing, order: &Order, query: bool) -> String {
    let filled = listing.qty_text(order.filled);
    let cum_qty = if query { String::new() } else { format!("\"cumQty\":\"{filled}\",") };
    let time = if query { format!("\"time\":{},", order.created / MILLI) } else { String::new() };
    format!(
        concat!(
            "{{\"orderId\":{},\"symbol\":\"{}\",{}\"status\":\"{}\",\"clientOrderId\":{},\"price\":\"{}\",\"avgPrice\":\"{}\",",
            "\"origQty\":\"{}\",\"executedQty\":\"{}\",{}\"{}\":\"{}\",\"timeInForce\":\"{}\",\"type\":\"{}\",",
            "\"reduceOnly\":{},\"closePosition\":false,\"side\":\"{}\",\"positionSide\":\"BOTH\",\"stopPrice\":\"0.00\",",
            "\"workingType\":\"CONTRACT_PRICE\",\"priceProtect\":false,\"origType\":\"{}\",\"priceMatch\":\"NONE\",",
            "\"selfTradePreventionMode\":\"{}\",\"goodTillDate\":{},{}\"updateTime\":{}}}"
        ),
        order.id.0,
        listing.symbol,
        pair_field("pair", listing),
        status_text(order.status),
        quoted(client_id(order)),
        listing.price_text(order.price),
        average(listing, order),
        listing.qty_text(order.qty),
        filled,
        cum_qty,
        if listing.is_inverse() { "cumBase" } else { "cumQuote" },
        if listing.is_inverse() { order.notional.cut(8) } else { order.notional },
        tif_text(order),
        kind_text(order.kind),
        order.reduce_only,
        side_text(order.side),
        kind_text(order.kind),
        self_trade_text(order.self_trade),
        order.expires_at / MILLI,
        time,
        order.updated / MILLI,
    )
}

/// Average fill price, `0.00` when there is none.
pub(super) fn average(listing: &Listing, order: &Order) -> String {
    if order.filled == 0 {
        return "0.00".into();
    }
    listing.average_text(order.notional, order.filled, listing.tick.scale + 4)
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

pub(super) fn kind_text(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Limit => "LIMIT",
        OrderKind::Market => "MARKET",
    }
}

pub(super) fn tif_text(order: &Order) -> &'static str {
    match order.tif {
        _ if order.kind == OrderKind::Market => "GTC",
        Tif::Gtc if order.expires_at > 0 => "GTD",
        Tif::Gtc => "GTC",
        Tif::Ioc => "IOC",
        Tif::Fok => "FOK",
        Tif::PostOnly => "GTX",
    }
}

pub(super) fn status_text(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "NEW",
        OrderStatus::PartiallyFilled => "PARTIALLY_FILLED",
        OrderStatus::Filled => "FILLED",
        OrderStatus::Canceled => "CANCELED",
        OrderStatus::Expired => "EXPIRED",
        OrderStatus::ExpiredInMatch => "EXPIRED_IN_MATCH",
        OrderStatus::Rejected => "REJECTED",
    }
}

pub(super) fn self_trade_text(mode: SelfTrade) -> &'static str {
    match mode {
        SelfTrade::ExpireMaker => "EXPIRE_MAKER",
        SelfTrade::ExpireTaker => "EXPIRE_TAKER",
        SelfTrade::ExpireBoth => "EXPIRE_BOTH",
        SelfTrade::Allow => "NONE",
    }
}

fn unknown() -> ApiError {
    ApiError::new(-2013, "Order does not exist.")
}

/// The order as it was accepted, before matching.
fn as_accepted(order: &Order) -> Order {
    let mut accepted = order.clone();
    accepted.filled = 0;
    accepted.notional = crate::domain::money::Money::ZERO;
    accepted.status = OrderStatus::New;
    accepted.updated = order.created;
    accepted
}

fn key(params: &Params) -> Result<OrderKey, ApiError> {
    if let Some(id) = params.int("orderId")? {
        return Ok(OrderKey::Id(OrderId(id as u64)));
    }
    params.get("origClientOrderId").map(|id| OrderKey::Client(id.into())).ok_or_else(|| {
        ApiError::new(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    })
}

fn parse(
    exchange: &Exchange,
    account: AccountId,
    params: &Params,
    now: Nanos,
) -> Result<(NewOrder, Detail), ApiError> {
    let listing = symbol(exchange, params)?;
    let contract = exchange.listing(listing);
    let side = match params.need("side")? {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(ApiError::new(-1117, "Invalid side.")),
    };
    match params.get("positionSide") {
        None | Some("BOTH") => {}
        Some("LONG" | "SHORT") => {
            return Err(ApiError::new(-4061, "Order's position side does not match user's setting."));
        }
        Some(_) => return Err(ApiError::new(-4060, "Invalid position side.")),
    }
    let kind = match params.need("type")? {
        "LIMIT" => OrderKind::Limit,
        "MARKET" => OrderKind::Market,
        "STOP" | "STOP_MARKET" | "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" | "TRAILING_STOP_MARKET" => {
            return Err(ApiError::new(
                -4120,
                "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
            ));
        }
        _ => return Err(ApiError::new(-1116, "Invalid orderType.")),
    };
    if params.get("priceMatch").is_some_and(|mode| mode != "NONE") {
        return Err(ApiError::new(-1106, "Parameter 'priceMatch' sent when not required."));
    }
    let qty = quantity(contract, params.need("quantity")?)?;
    let (mut tif, mut limit, mut expires_at) = (Tif::Ioc, 0, 0);
    if kind == OrderKind::Limit {
        tif = match params.need("timeInForce")? {
            "GTC" | "GTD" => Tif::Gtc,
            "IOC" => Tif::Ioc,
            "FOK" => Tif::Fok,
            "GTX" => Tif::PostOnly,
            _ => return Err(ApiError::new(-1115, "Invalid timeInForce.")),
        };
        limit = price(contract, params.need("price")?)?;
        if params.get("timeInForce") == Some("GTD") {
            let date = params.int("goodTillDate")?.ok_or_else(|| ApiError::missing("goodTillDate"))?;
            if date * MILLI < now + 600 * SECOND {
                return Err(ApiError::new(
                    -5040,
                    "The goodTillDate timestamp must be greater than the current time plus 600 seconds.",
                ));
            }
            expires_at = date / 1_000 * SECOND;
        }
    }
    let client_id = params.get("newClientOrderId").unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    if client_id.len() > 36 || !client_id.bytes().all(legal) {
        return Err(ApiError::new(-4015, "Client order id is not valid."));
    }
    let self_trade = match params.get("selfTradePreventionMode") {
        None | Some("EXPIRE_MAKER") => SelfTrade::ExpireMaker,
        Some("EXPIRE_TAKER") => SelfTrade::ExpireTaker,
        Some("EXPIRE_BOTH") => SelfTrade::ExpireBoth,
        Some("NONE") => SelfTrade::Allow,
        Some(_) => {
            return Err(ApiError::new(
                -1130,
                "Data sent for parameter 'selfTradePreventionMode' is not valid.",
            ));
        }
    };
    let detail = match params.get("newOrderRespType") {
        None | Some("ACK") => Detail::Ack,
        Some("RESULT") => Detail::Result,
        Some(_) => return Err(ApiError::new(-1118, "New order response type is not valid.")),
    };
    let reduce_only = params.flag("reduceOnly");
    let new = NewOrder {
        account,
        listing,
        side,
        kind,
        tif,
        price: limit,
        qty,
        reduce_only,
        client_id: client_id.into(),
        self_trade,
        expires_at,
    };
    Ok((new, detail))
}

fn price(listing: &Listing, text: &str) -> Result<i64, ApiError> {
    listing
        .parse_price(text)
        .ok_or_else(|| not_a_multiple(text, listing.tick.scale, -4014, "Price not increased by tick size."))
}

fn quantity(listing: &Listing, text: &str) -> Result<i64, ApiError> {
    let qty = listing
        .parse_qty(text)
        .ok_or_else(|| not_a_multiple(text, listing.step.scale, -4023, "Qty not increased by step size."))?;
    if qty <= 0 {
        return Err(ApiError::new(-4003, "Quantity less than or equal to zero."));
    }
    Ok(qty)
}

/// Too many decimals are −1111; a number off the grid has its own code; anything else is −1100.
fn not_a_multiple(text: &str, decimals: u8, code: i64, msg: &str) -> ApiError {
    if text.parse::<f64>().is_err() {
        return ApiError::new(-1100, "Illegal characters found in a parameter.");
    }
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len());
    if fraction > usize::from(decimals) {
        return ApiError::new(-1111, "Precision is over the maximum defined for this asset.");
    }
    ApiError::new(code, msg)
}
