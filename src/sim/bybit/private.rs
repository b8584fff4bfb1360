//! Private data: orders, executions, positions and balances as JSON, for both REST replies and pushes.

use super::wire::{exec_uuid, fine, ms_text, order_uuid};
use super::{BybitServer, TOPIC_DELAY, Travel};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use crate::sim::exchange::{
    AccountId, ChangeReason, EndReason, Exchange, Exec, FillRow, ListingId, Order, OrderKey, OrderKind,
    OrderStatus, SelfTrade, Side, Tif,
};
use serde_json::{Value, json};

pub(super) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

fn self_trade(mode: SelfTrade) -> &'static str {
    match mode {
        SelfTrade::Allow => "None",
        SelfTrade::ExpireMaker => "CancelMaker",
        SelfTrade::ExpireTaker => "CancelTaker",
        SelfTrade::ExpireBoth => "CancelBoth",
    }
}

fn status(order: &Order) -> &'static str {
    match order.status {
        OrderStatus::New => "New",
        OrderStatus::PartiallyFilled => "PartiallyFilled",
        OrderStatus::Filled => "Filled",
        OrderStatus::Rejected => "Rejected",
        OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::ExpiredInMatch => "Cancelled",
    }
}

/// The id that the client gave, if any: the exchange names the others itself.
pub(super) fn link_id(order: &Order) -> &str {
    let own = order.client_id.strip_prefix("sim").is_some_and(|number| number == order.id.0.to_string());
    if own { "" } else { &order.client_id }
}

/// An order as REST and the `order` topic show it.
pub(super) fn order(exchange: &Exchange, order: &Order) -> Value {
    let listing = exchange.listing(order.listing);
    let tif = match (order.kind, order.tif) {
        (OrderKind::Market, _) | (_, Tif::Ioc) => "IOC",
        (_, Tif::Gtc) => "GTC",
        (_, Tif::Fok) => "FOK",
        (_, Tif::PostOnly) => "PostOnly",
    };
    let average =
        if order.filled == 0 { String::new() } else { listing.average_text(order.notional, order.filled, 8) };
    let leaves = if order.status.is_open() { order.leaves() } else { 0 };
    json!({
        "category": "linear", "symbol": listing.symbol,
        "orderId": order_uuid(order.id), "orderLinkId": link_id(order),
        "blockTradeId": "", "side": side_text(order.side), "positionIdx": 0,
        "orderStatus": status(order),
        "cancelType": match order.ended {
            EndReason::Client => "CancelByUser",
            EndReason::NothingToReduce => "CancelByReduceOnly",
            EndReason::SelfTrade => "CancelBySmp",
            EndReason::Countdown => "CancelByDCP",
            _ => "UNKNOWN",
        },
        "rejectReason": match order.ended {
            EndReason::WouldTake => "EC_PostOnlyWillTakeLiquidity",
            EndReason::Remainder | EndReason::Unfillable => "EC_NoImmediateQtyToFill",
            EndReason::Client => "EC_PerCancelRequest",
            _ => "EC_NoError",
        },
        "timeInForce": tif, "isLeverage": "",
        "price": if order.kind == OrderKind::Market { "0".into() } else { listing.price_text(order.price) },
        "qty": listing.qty_text(order.qty), "avgPrice": average,
        "leavesQty": listing.qty_text(leaves), "leavesValue": listing.notional(order.price, leaves).to_string(),
        "cumExecQty": listing.qty_text(order.filled), "cumExecValue": order.notional.to_string(),
        "cumExecFee": order.fee.to_string(),
        "orderType": if order.kind == OrderKind::Market { "Market" } else { "Limit" },
        "stopOrderType": "", "orderIv": "", "triggerPrice": "", "takeProfit": "", "stopLoss": "",
        "triggerBy": "", "triggerDirection": 0, "placeType": "", "lastPriceOnCreated": "",
        "tpslMode": "", "closeOnTrigger": false, "reduceOnly": order.reduce_only,
        "smpGroup": 0, "smpType": self_trade(order.self_trade), "smpOrderId": "",
        "createdTime": ms_text(order.created), "updatedTime": ms_text(order.updated),
        "feeCurrency": listing.settle,
    })
}

/// An execution as REST and the `execution` topic show it.
pub(super) fn execution(exchange: &Exchange, row: &FillRow) -> Value {
    let listing = exchange.listing(row.listing);
    let order = exchange.order(row.account, &OrderKey::Id(row.order));
    let settings = exchange.settings();
    let rate = if row.fill.maker { settings.maker_fee_ppb } else { settings.taker_fee_ppb };
    json!({
        "category": "linear", "symbol": listing.symbol,
        "orderId": order_uuid(row.order), "orderLinkId": order.map_or("", link_id),
        "side": side_text(row.side),
        "orderPrice": order.map_or_else(String::new, |order| listing.price_text(order.price)),
        "orderQty": order.map_or_else(String::new, |order| listing.qty_text(order.qty)),
        "leavesQty": order.map_or_else(String::new, |order| listing.qty_text(order.leaves())),
        "orderType": "Limit", "stopOrderType": "UNKNOWN",
        "execFee": row.fill.fee.to_string(), "execId": exec_uuid(row.listing, &row.fill),
        "execPrice": listing.price_text(row.fill.price), "execQty": listing.qty_text(row.fill.qty),
        "execType": "Trade", "execValue": row.notional.to_string(), "execTime": ms_text(row.at),
        "feeCurrency": "", "isMaker": row.fill.maker, "feeRate": super::wire::ppb(rate),
        "tradeIv": "", "markIv": "", "markPrice": fine(listing, listing.mark),
        "indexPrice": "", "underlyingPrice": "", "blockTradeId": "", "closedSize": "",
        "isLeverage": "0", "seq": exchange.last_update(row.listing),
    })
}

/// A position; `entry` is what its average is called (`avgPrice` in REST, `entryPrice` in the topic).
pub(super) fn position(exchange: &Exchange, account: AccountId, id: ListingId, entry: &str) -> Value {
    let listing = exchange.listing(id);
    let holder = exchange.account(account);
    let position = &holder.positions[id.index()];
    let average = if position.qty == 0 {
        "0".to_owned()
    } else {
        listing.average_text(position.cost.abs(), position.qty.abs(), 8)
    };
    let side = match position.qty {
        0 => "",
        1.. => "Buy",
        _ => "Sell",
    };
    let margin = exchange.position_margin(account, id).to_string();
    let mut value = json!({
        "category": "linear", "positionIdx": 0, "tradeMode": 0, "riskId": 1, "riskLimitValue": "2000000",
        "symbol": listing.symbol, "side": side, "size": listing.qty_text(position.qty.abs()),
        "leverage": exchange.leverage_of(account).to_string(),
        "positionValue": if position.qty == 0 { String::new() } else { position.cost.abs().to_string() },
        "positionBalance": "0", "markPrice": fine(listing, listing.mark),
        "positionIM": margin, "positionMM": "0", "takeProfit": "", "stopLoss": "", "trailingStop": "0",
        "unrealisedPnl": holder.unrealised(id.index(), listing).to_string(),
        "curRealisedPnl": "0", "cumRealisedPnl": (position.realised - position.fees + position.funding).to_string(),
        "createdTime": ms_text(position.updated), "updatedTime": ms_text(position.updated),
        "tpslMode": "Full", "liqPrice": "", "bustPrice": "", "positionStatus": "Normal",
        "adlRankIndicator": 0, "autoAddMargin": 0, "seq": exchange.last_update(id), "isReduceOnly": false,
    });
    if let Some(fields) = value.as_object_mut() {
        fields.insert(entry.to_owned(), average.into());
    }
    value
}

/// What REST lists of a contract: one row, or one for each side where long and short are held apart.
pub(super) fn positions(exchange: &Exchange, account: AccountId, id: ListingId) -> Vec<Value> {
    let one = position(exchange, account, id, "avgPrice");
    if !exchange.account_settings(account).long_short {
        return vec![one];
    }
    [1, 2]
        .map(|index| {
            let mut side = one.clone();
            side["positionIdx"] = index.into();
            side
        })
        .to_vec()
}

/// The account as REST and the `wallet` topic show it.
pub(super) fn wallet(exchange: &Exchange, account: AccountId) -> Value {
    let holder = exchange.account(account);
    let (equity, available) = (exchange.equity(account).to_string(), exchange.available(account).to_string());
    let margin = exchange.margin_used(account).to_string();
    let coin = exchange.listings().first().map_or("USDT", |listing| &listing.settle);
    let upl = holder.unrealised_all(exchange.listings()).to_string();
    let wallet = holder.wallet.to_string();
    json!({
        "accountType": "UNIFIED", "accountIMRate": "0", "accountMMRate": "0", "accountLTV": "0",
        "totalEquity": equity, "totalWalletBalance": wallet, "totalMarginBalance": equity,
        "totalAvailableBalance": available, "totalPerpUPL": upl, "totalInitialMargin": margin,
        "totalMaintenanceMargin": "0",
        "coin": [{
            "coin": coin, "equity": equity, "usdValue": equity, "walletBalance": wallet, "locked": "0",
            "availableToWithdraw": "", "availableToBorrow": "", "borrowAmount": "0", "accruedInterest": "0",
            "totalOrderIM": "0", "totalPositionIM": margin, "totalPositionMM": "0", "unrealisedPnl": upl,
            "cumRealisedPnl": "0", "bonus": "0", "collateralSwitch": true, "marginCollateral": true,
            "spotHedgingQty": "0",
        }],
    })
}

impl BybitServer {
    /// What happened to an order: its state, and its execution.
    pub(super) fn push_order(&mut self, order: &Order, exec: &Exec, at: Nanos) {
        if order.account == AccountId::MARKET {
            return;
        }
        let immediate = order.kind == OrderKind::Market || matches!(order.tif, Tif::Ioc | Tif::Fok);
        if *exec == Exec::New && immediate {
            return; // only what became of it is told
        }
        let exchange = self.venue.exchange();
        let value = self::order(exchange, order);
        let execution = match exec {
            Exec::Trade(fill) => Some(FillRow {
                order: order.id,
                account: order.account,
                listing: order.listing,
                side: order.side,
                fill: *fill,
                notional: exchange.listing(order.listing).notional(fill.price, fill.qty),
                at,
            }),
            _ => None,
        };
        let execution = execution.map(|row| self::execution(exchange, &row));
        self.push_private(order.account, "order", &value, at);
        if let Some(execution) = execution {
            self.push_private(order.account, "execution", &execution, at);
        }
    }

    /// A wallet and one position after an operation; funding is an execution of its own type.
    pub(super) fn push_account(
        &mut self,
        account: AccountId,
        id: ListingId,
        reason: ChangeReason,
        change: Money,
        at: Nanos,
    ) {
        let exchange = self.venue.exchange();
        let position = position(exchange, account, id, "entryPrice");
        let wallet = wallet(exchange, account);
        if reason == ChangeReason::Funding {
            let listing = exchange.listing(id);
            let held = exchange.account(account).positions[id.index()].qty;
            let funding = json!({
                "category": "linear", "symbol": listing.symbol, "orderId": "", "orderLinkId": "",
                "side": if held > 0 { "Buy" } else { "Sell" }, "execType": "Funding",
                "execId": super::wire::trade_uuid(id, (at / crate::domain::time::MILLI).unsigned_abs(), 0xb000),
                "execFee": (-change).to_string(), "execQty": listing.qty_text(held.abs()),
                "execPrice": fine(listing, listing.mark), "execTime": ms_text(at), "isMaker": false,
                "feeRate": super::wire::ppb(listing.funding_rate_ppb), "leavesQty": "0",
            });
            self.push_private(account, "execution", &funding, at);
        }
        self.push_private(account, "position", &position, at);
        self.push_private(account, "wallet", &wallet, at);
    }

    /// Sends one row to the account's subscribers of a topic, after the venue's latency.
    fn push_private(&mut self, account: AccountId, topic: &str, value: &Value, at: Nanos) {
        let due = at + self.venue.exchange().settings().latency_out_ns + TOPIC_DELAY;
        self.pushed += 1;
        let text = json!({
            "topic": topic, "id": format!("{}_{}", account.0, self.pushed),
            "creationTime": super::wire::ms(due), "data": [value],
        })
        .to_string();
        for (conn, client) in &self.clients {
            if client.account == Some(account) && client.topics.contains(topic) {
                self.under_way.push(due, Travel::Message(*conn, text.clone()));
            }
        }
    }
}
