//! Orders, fills, fundings, positions and market figures as JSON, for replies and pushes alike.

use super::action::status;
use super::wire::{ms, price, size, with_point};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use crate::sim::exchange::{
    AccountId, Exchange, FillRow, Listing, ListingId, Order, OrderKey, Side, Steps, Tif,
};
use serde_json::{Value, json};

pub(super) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "B",
        Side::Sell => "A",
    }
}

fn cloid(client_id: &str) -> Option<&str> {
    client_id.starts_with("0x").then_some(client_id)
}

/// An order as `orderUpdates` shows it.
pub(super) fn order(exchange: &Exchange, order: &Order) -> Value {
    let listing = exchange.listing(order.listing);
    let mut value = json!({
        "coin": listing.symbol,
        "side": side_text(order.side),
        "limitPx": price(listing, order.price),
        "sz": size(listing, order.leaves()),
        "oid": order.id.0,
        "timestamp": ms(order.created),
        "origSz": size(listing, order.qty),
    });
    if let Some(id) = cloid(&order.client_id) {
        value["cloid"] = json!(id);
    }
    value
}

/// An order as `frontendOpenOrders`, `historicalOrders` and `orderStatus` show it.
pub(super) fn full_order(exchange: &Exchange, row: &Order) -> Value {
    let mut value = order(exchange, row);
    let more = json!({
        "triggerCondition": "N/A",
        "isTrigger": false,
        "triggerPx": "0.0",
        "children": [],
        "isPositionTpsl": false,
        "reduceOnly": row.reduce_only,
        "orderType": "Limit",
        "tif": match row.tif { Tif::Ioc | Tif::Fok => "Ioc", Tif::Gtc => "Gtc", Tif::PostOnly => "Alo" },
        "cloid": cloid(&row.client_id),
    });
    if let (Some(fields), Some(more)) = (value.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    value
}

/// `{order, status, statusTimestamp}`.
pub(super) fn with_status(shown: Value, row: &Order) -> Value {
    json!({"order": shown, "status": status(row), "statusTimestamp": ms(row.updated)})
}

/// A fill. `before` is the position before it.
pub(super) fn fill(exchange: &Exchange, row: &FillRow, before: Steps) -> Value {
    let listing = exchange.listing(row.listing);
    let after = before + row.side.sign() * row.fill.qty;
    let dir = match (row.side, before) {
        (Side::Buy, 0..) => "Open Long",
        (Side::Sell, ..=0) => "Open Short",
        (Side::Buy, _) if after > 0 => "Short > Long",
        (Side::Sell, _) if after < 0 => "Long > Short",
        (Side::Buy, _) => "Close Short",
        (Side::Sell, _) => "Close Long",
    };
    let mut value = json!({
        "coin": listing.symbol,
        "px": price(listing, row.fill.price),
        "sz": size(listing, row.fill.qty),
        "side": side_text(row.side),
        "time": ms(row.at),
        "startPosition": size(listing, before),
        "dir": dir,
        "closedPnl": amount(row.fill.realised),
        "hash": format!("0x{:064x}", row.fill.trade_id),
        "oid": row.order.0,
        "crossed": !row.fill.maker,
        "fee": amount(row.fill.fee),
        "tid": row.fill.trade_id,
        "feeToken": listing.settle,
        "twapId": null,
    });
    let order = exchange.order(row.account, &OrderKey::Id(row.order));
    if let Some(id) = order.and_then(|order| cloid(&order.client_id)) {
        value["cloid"] = json!(id);
    }
    value
}

/// Every fill of an account, oldest first, with the position before each.
pub(super) fn fills(exchange: &Exchange, account: AccountId, from: Nanos) -> Vec<Value> {
    let mut held = vec![0; exchange.listings().len()];
    let mut shown = Vec::new();
    for row in exchange.ledger().fills().iter().filter(|row| row.account == account) {
        let before = held[row.listing.index()];
        held[row.listing.index()] += row.side.sign() * row.fill.qty;
        if row.at >= from {
            shown.push(fill(exchange, row, before));
        }
    }
    shown
}

/// A funding payment.
pub(super) fn funding(listing: &Listing, qty: Steps, rate_ppb: i64, paid: Money, at: Nanos) -> Value {
    json!({
        "time": ms(at),
        "coin": listing.symbol,
        "usdc": amount(paid),
        "szi": size(listing, qty),
        "fundingRate": Money(i128::from(rate_ppb) * 1_000_000_000).to_string(),
        "nSamples": null,
    })
}

/// An amount, exact, with a decimal.
pub(super) fn amount(money: Money) -> String {
    with_point(money.to_string())
}

/// `clearinghouseState`.
pub(super) fn state(exchange: &Exchange, account: AccountId, at: Nanos) -> Value {
    let holder = exchange.account(account);
    let mut notional = Money::ZERO;
    let mut raw = exchange.equity(account);
    let mut positions = Vec::new();
    for (index, position) in holder.positions.iter().enumerate().filter(|(_, p)| p.qty != 0) {
        let id = ListingId(index as u16);
        let listing = exchange.listing(id);
        let value = listing.notional_at_mark(position.qty);
        notional += value.abs();
        raw -= value;
        let unrealised = holder.unrealised(index, listing);
        positions.push(json!({
            "type": "oneWay",
            "position": {
                "coin": listing.symbol,
                "szi": size(listing, position.qty),
                "leverage": {
                    "type": if exchange.account_settings(account).isolated { "isolated" } else { "cross" },
                    "value": exchange.leverage_of(account),
                },
                "entryPx": with_point(listing.average_text(position.cost.abs(), position.qty.abs(), 8)),
                "positionValue": amount(value.abs()),
                "unrealizedPnl": amount(unrealised),
                "returnOnEquity": "0.0",
                "liquidationPx": null,
                "marginUsed": amount(exchange.position_margin(account, id)),
                "maxLeverage": 40,
                "cumFunding": {
                    "allTime": amount(-position.funding),
                    "sinceOpen": amount(-position.funding),
                    "sinceChange": amount(-position.funding),
                },
            },
        }));
    }
    let summary = json!({
        "accountValue": amount(exchange.equity(account)),
        "totalNtlPos": amount(notional),
        "totalRawUsd": amount(raw),
        "totalMarginUsed": amount(exchange.margin_used(account)),
    });
    json!({
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": amount(exchange.available(account)),
        "assetPositions": positions,
        "time": ms(at),
    })
}

/// The context of an asset, as `activeAssetCtx` and `metaAndAssetCtxs` have it.
pub(super) fn context(exchange: &Exchange, id: ListingId) -> Value {
    let listing = exchange.listing(id);
    let accounts = 0..=exchange.settings().accounts.len() as u16;
    let held = |account: u16| exchange.account(AccountId(account)).positions[id.index()].qty.max(0);
    let interest: Steps = accounts.map(held).sum();
    let book = exchange.book(id);
    let mid = match (book.best(Side::Buy), book.best(Side::Sell)) {
        (Some(bid), Some(ask)) => {
            let sum = listing.to_price(bid.price) + listing.to_price(ask.price);
            json!(amount(Money(sum.0 / 2)))
        }
        _ => Value::Null,
    };
    let cut = |money: Money| {
        let text = crate::sim::exchange::MoneyText::cut(money, (listing.tick.scale + 1).min(18));
        amount(text)
    };
    json!({
        "funding": Money(i128::from(listing.funding_rate_ppb) * 1_000_000_000).to_string(),
        "openInterest": size(listing, interest),
        "prevDayPx": cut(listing.index),
        "dayNtlVlm": "965843.7286000003",
        "premium": null,
        "oraclePx": cut(listing.index),
        "markPx": cut(listing.mark),
        "midPx": mid,
        "impactPxs": null,
        "dayBaseVlm": "7543.61",
    })
}
