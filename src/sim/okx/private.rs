//! Private data: orders, fills, positions and balances as JSON, for both REST replies and WebSocket pushes.

use super::feed::Feed;
use super::frames::mark_text;
use super::wire::{amount, ms, price, size, trim, with_blanks};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use crate::sim::exchange::{
    AccountId, EndReason, Exchange, Exec, FillRow, ListingId, Order, OrderKey, OrderKind, OrderStatus,
    Position, SelfTrade, Side, Tif,
};
use serde_json::{Value, json};

/// Decimals of money in replies.
const MONEY_DECIMALS: u8 = 12;
/// Maintenance margin as a share of the notional: 1/250.
const MAINTENANCE: i128 = 250;

/// The user number of an account.
pub(super) fn uid(account: AccountId) -> String {
    format!("7798237873841{:04}", account.0)
}

pub(super) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn order_type(order: &Order) -> &'static str {
    match (order.kind, order.tif) {
        (OrderKind::Market, _) => "market",
        (_, Tif::Gtc) => "limit",
        (_, Tif::Ioc) => "ioc",
        (_, Tif::Fok) => "fok",
        (_, Tif::PostOnly) => "post_only",
    }
}

fn state(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "live",
        OrderStatus::PartiallyFilled => "partially_filled",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled
        | OrderStatus::Expired
        | OrderStatus::ExpiredInMatch
        | OrderStatus::Rejected => "canceled",
    }
}

/// The id that the client gave, if any: the exchange names the others itself.
pub(super) fn client_id(order: &Order) -> &str {
    let own = order.client_id.strip_prefix("sim").is_some_and(|number| number == order.id.0.to_string());
    if own { "" } else { &order.client_id }
}

/// `cancelSource`: who ended it, by OKX's numbers.
fn cancel_source(order: &Order) -> &'static str {
    match order.ended {
        EndReason::None => "",
        EndReason::Client => "1",
        EndReason::Unfillable => "13",
        EndReason::Remainder => "14",
        EndReason::Countdown => "20",
        EndReason::WouldTake => "31",
        EndReason::SelfTrade => "32",
        EndReason::Lapsed | EndReason::NothingToReduce | EndReason::Delisted => "0",
    }
}

/// An order without the figures of a single fill.
fn order_base(exchange: &Exchange, order: &Order) -> Value {
    let listing = exchange.listing(order.listing);
    let average = trim(listing.average_text(order.notional, order.filled, 10));
    let value = json!({
        "accFillSz": size(listing, order.filled),
        "attachAlgoOrds": [],
        "avgPx": if order.filled == 0 { String::new() } else { average },
        "cTime": ms(order.created),
        "cancelSource": cancel_source(order),
        "category": if order.by_venue { "adl" } else { "normal" },
        "clOrdId": client_id(order),
        "fee": amount(-order.fee, MONEY_DECIMALS),
        "feeCcy": listing.settle,
        "fillSz": "0",
        "instId": listing.symbol,
        "instType": "SWAP",
        "isTpLimit": "false",
        "lever": exchange.settings().leverage.to_string(),
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": order.id.0.to_string(),
        "ordType": order_type(order),
        "pnl": amount(order.realised, MONEY_DECIMALS),
        "posSide": "net",
        "px": if order.kind == OrderKind::Market { String::new() } else { price(listing, order.price) },
        "rebate": "0",
        "rebateCcy": listing.settle,
        "reduceOnly": order.reduce_only.to_string(),
        "side": side_text(order.side),
        "state": state(order.status),
        "stpMode": match order.self_trade {
            SelfTrade::ExpireMaker => "cancel_maker",
            SelfTrade::ExpireTaker => "cancel_taker",
            SelfTrade::ExpireBoth => "cancel_both",
            SelfTrade::Allow => "",
        },
        "sz": size(listing, order.qty),
        "tdMode": "cross",
        "uTime": ms(order.updated),
    });
    with_blanks(
        value,
        &[
            "algoClOrdId",
            "algoId",
            "attachAlgoClOrdId",
            "cancelSourceReason",
            "ccy",
            "execType",
            "fillPx",
            "fillTime",
            "tradeId",
            "pxType",
            "pxUsd",
            "pxVol",
            "quickMgnType",
            "slOrdPx",
            "slTriggerPx",
            "slTriggerPxType",
            "source",
            "stpId",
            "tag",
            "tgtCcy",
            "tpOrdPx",
            "tpTriggerPx",
            "tpTriggerPxType",
        ],
    )
}

fn set(object: &mut Value, fields: &[(&str, Value)]) {
    if let Some(map) = object.as_object_mut() {
        for (name, value) in fields {
            map.insert((*name).to_owned(), value.clone());
        }
    }
}

/// An order as REST returns it, with its last fill.
pub(super) fn order(exchange: &Exchange, order: &Order) -> Value {
    let mut value = order_base(exchange, order);
    let last = exchange.ledger().fills().iter().rev().find(|row| row.order == order.id);
    if let (Some(row), true) = (last, order.filled > 0) {
        let listing = exchange.listing(order.listing);
        set(
            &mut value,
            &[
                ("fillPx", price(listing, row.fill.price).into()),
                ("fillSz", size(listing, row.fill.qty).into()),
                ("fillTime", ms(row.at).into()),
                ("tradeId", row.fill.trade_id.to_string().into()),
            ],
        );
    }
    value
}

/// An order as the `orders` channel tells of `exec`. `request` is the `reqId` of an amendment.
pub(super) fn order_push(exchange: &Exchange, order: &Order, exec: &Exec, request: &str, at: Nanos) -> Value {
    let listing = exchange.listing(order.listing);
    let mut value = order_base(exchange, order);
    let notional = amount(listing.notional(order.price, order.qty), 8);
    set(
        &mut value,
        &[
            ("amendResult", "".into()),
            ("amendSource", "".into()),
            ("code", "0".into()),
            ("fillFee", "0".into()),
            ("fillFeeCcy", "".into()),
            ("fillNotionalUsd", "".into()),
            ("fillPnl", "0".into()),
            ("lastPx", "".into()),
            ("msg", "".into()),
            ("notionalUsd", notional.into()),
            ("reqId", "".into()),
        ],
    );
    match exec {
        Exec::Trade(fill) => set(
            &mut value,
            &[
                ("execType", if fill.maker { "M" } else { "T" }.into()),
                ("fillFee", amount(-fill.fee, MONEY_DECIMALS).into()),
                ("fillFeeCcy", listing.settle.as_str().into()),
                ("fillNotionalUsd", amount(listing.notional(fill.price, fill.qty), 8).into()),
                ("fillPnl", amount(fill.realised, MONEY_DECIMALS).into()),
                ("fillPx", price(listing, fill.price).into()),
                ("fillSz", size(listing, fill.qty).into()),
                ("fillTime", ms(at).into()),
                ("tradeId", fill.trade_id.to_string().into()),
            ],
        ),
        Exec::Amended => set(&mut value, &[("amendResult", "0".into()), ("reqId", request.into())]),
        Exec::New | Exec::Ended => {}
    }
    value
}

/// A fill as `trade/fills` returns it; `bill` numbers it among all fills of the venue.
pub(super) fn fill(exchange: &Exchange, row: &FillRow, bill: u64) -> Value {
    let listing = exchange.listing(row.listing);
    let placed = exchange.order(row.account, &OrderKey::Id(row.order));
    let client_id = placed.map_or("", client_id);
    let value = json!({
        "billId": bill.to_string(),
        "clOrdId": client_id,
        "execType": if row.fill.maker { "M" } else { "T" },
        "fee": amount(-row.fill.fee, MONEY_DECIMALS),
        "feeCcy": listing.settle,
        "fillPnl": amount(row.fill.realised, MONEY_DECIMALS),
        "fillPx": price(listing, row.fill.price),
        "fillSz": size(listing, row.fill.qty),
        "fillTime": ms(row.at),
        "instId": listing.symbol,
        "instType": "SWAP",
        "ordId": row.order.0.to_string(),
        "posSide": "net",
        "side": side_text(row.side),
        "subType": match (placed.is_some_and(|order| order.by_venue), row.side) {
            (false, _) => "1",
            // Deleveraged: a long closed, a short closed.
            (true, Side::Sell) => "125",
            (true, Side::Buy) => "126",
        },
        "tradeId": row.fill.trade_id.to_string(),
        "ts": ms(row.at),
    });
    with_blanks(
        value,
        &["fillIdxPx", "fillMarkPx", "fillMarkVol", "fillPxUsd", "fillPxVol", "fillFwdPx", "tag"],
    )
}

/// Average entry price of a position.
fn entry(exchange: &Exchange, id: ListingId, position: &Position) -> String {
    if position.qty == 0 {
        return String::new();
    }
    trim(exchange.listing(id).average_text(position.cost.abs(), position.qty.abs(), 10))
}

fn position_id(account: AccountId, id: ListingId) -> String {
    format!("30{:04}{:06}", account.0, id.0)
}

/// A position as REST and the `positions` channel show it.
pub(super) fn position(
    exchange: &Exchange,
    feed: &Feed,
    account: AccountId,
    id: ListingId,
    position: &Position,
) -> Value {
    let listing = exchange.listing(id);
    let holder = exchange.account(account);
    let unrealised = holder.unrealised(id.index(), listing);
    let notional = listing.notional_at_mark(position.qty).abs();
    let margin = exchange.position_margin(account, id);
    let flat = position.qty == 0;
    let ratio = match margin.0 {
        0 => Money::ZERO,
        // A quotient with nine decimals: nothing leaves i128.
        margin => Money(unrealised.0 / (margin / 1_000_000_000).max(1) * 1_000_000_000),
    };
    let text = |money: Money| if flat { String::new() } else { amount(money, MONEY_DECIMALS) };
    let realised = position.realised - position.fees + position.funding;
    let value = json!({
        "adl": if flat { "" } else { "1" },
        "avgPx": entry(exchange, id, position),
        "cTime": ms(position.updated),
        "ccy": listing.settle,
        "closeOrderAlgo": [],
        "fee": amount(-position.fees, MONEY_DECIMALS),
        "fundingFee": amount(position.funding, MONEY_DECIMALS),
        "idxPx": amount(listing.index, (listing.tick.scale + 2).min(18)),
        "imr": text(margin),
        "instId": listing.symbol,
        "instType": "SWAP",
        "last": feed.last_price(listing, id),
        "lever": exchange.settings().leverage.to_string(),
        "liqPenalty": "0",
        "markPx": mark_text(listing),
        "mgnMode": "cross",
        "mmr": text(Money(notional.0 / MAINTENANCE)),
        "notionalUsd": text(notional),
        "pnl": amount(position.realised, MONEY_DECIMALS),
        "pos": size(listing, position.qty),
        "posId": position_id(account, id),
        "posSide": "net",
        "realizedPnl": amount(realised, MONEY_DECIMALS),
        "tradeId": last_trade(exchange, account, id),
        "uTime": ms(position.updated),
        "upl": text(unrealised),
        "uplLastPx": text(unrealised),
        "uplRatio": text(ratio),
        "uplRatioLastPx": text(ratio),
        "usdPx": "1",
    });
    with_blanks(
        value,
        &[
            "availPos",
            "baseBal",
            "baseBorrowed",
            "baseInterest",
            "bePx",
            "deltaBS",
            "deltaPA",
            "gammaBS",
            "gammaPA",
            "thetaBS",
            "thetaPA",
            "vegaBS",
            "vegaPA",
            "interest",
            "liab",
            "liabCcy",
            "liqPx",
            "margin",
            "mgnRatio",
            "optVal",
            "pendingCloseOrdLiabVal",
            "posCcy",
            "quoteBal",
            "quoteBorrowed",
            "quoteInterest",
            "spotInUseAmt",
            "spotInUseCcy",
        ],
    )
}

fn last_trade(exchange: &Exchange, account: AccountId, id: ListingId) -> String {
    let rows = exchange.ledger().fills().iter().rev();
    let own = rows.take(LAST_TRADE_SCAN).find(|row| row.account == account && row.listing == id);
    own.map_or_else(String::new, |row| row.fill.trade_id.to_string())
}

/// The currency that the account is kept in.
fn currency(exchange: &Exchange) -> &str {
    exchange.listings().first().map_or("USDT", |listing| &listing.settle)
}

/// The account as REST and the `account` channel show it.
pub(super) fn balance(exchange: &Exchange, account: AccountId, at: Nanos) -> Value {
    let holder = exchange.account(account);
    let (equity, available) = (exchange.equity(account), exchange.available(account));
    let margin = exchange.margin_used(account);
    let unrealised = holder.unrealised_all(exchange.listings());
    let mut notional = Money::ZERO;
    let mut position_margin = Money::ZERO;
    for (index, position) in holder.positions.iter().enumerate() {
        let id = ListingId(index as u16);
        notional += exchange.listing(id).notional_at_mark(position.qty).abs();
        position_margin += exchange.position_margin(account, id);
    }
    let maintenance = Money(notional.0 / MAINTENANCE);
    let money = |value: Money| amount(value, MONEY_DECIMALS);
    let frozen = money(margin - position_margin);
    let details = json!({
        "availBal": money(available),
        "availEq": money(available),
        "cashBal": money(holder.wallet),
        "ccy": currency(exchange),
        "coinUsdPrice": "1",
        "collateralEnabled": false,
        "disEq": money(equity),
        "eq": money(equity),
        "eqUsd": money(equity),
        "fixedBal": "0",
        "frozenBal": money(margin),
        "imr": money(margin),
        "isoEq": "0", "isoUpl": "0",
        "mmr": money(maintenance),
        "ordFrozen": frozen,
        "rewardBal": "0", "smtSyncEq": "0",
        "spotCopyTradingEq": "0", "spotIsoBal": "0",
        "stgyEq": "0",
        "twap": "0",
        "uTime": ms(holder.updated),
        "upl": money(unrealised),
    });
    let value = json!({
        "adjEq": money(equity),
        "availEq": money(available),
        "details": [with_blanks(details, &DETAIL_BLANKS)],
        "imr": money(margin),
        "isoEq": "0",
        "mmr": money(maintenance),
        "notionalUsd": money(notional),
        "notionalUsdForSwap": money(notional),
        "ordFroz": frozen,
        "totalEq": money(equity),
        "uTime": ms(at),
        "upl": money(unrealised),
    });
    with_blanks(
        value,
        &["borrowFroz", "mgnRatio", "notionalUsdForBorrow", "notionalUsdForFutures", "notionalUsdForOption"],
    )
}

/// A message of `balance_and_position` about the given positions.
pub(super) fn balance_and_position(
    exchange: &Exchange,
    account: AccountId,
    listings: &[ListingId],
    event: &str,
    trades: &[(ListingId, u64)],
    at: Nanos,
) -> Value {
    let holder = exchange.account(account);
    let positions: Vec<Value> = listings
        .iter()
        .map(|id| {
            let (listing, position) = (exchange.listing(*id), &holder.positions[id.index()]);
            json!({
                "avgPx": entry(exchange, *id, position),
                "baseBal": "",
                "ccy": listing.settle,
                "instId": listing.symbol,
                "instType": "SWAP",
                "mgnMode": "cross",
                "pos": size(listing, position.qty),
                "posCcy": "",
                "posId": position_id(account, *id),
                "posSide": "net",
                "quoteBal": "",
                "tradeId": last_trade(exchange, account, *id),
                "uTime": ms(position.updated),
            })
        })
        .collect();
    let trades: Vec<Value> = trades
        .iter()
        .map(|(id, trade)| json!({"instId": exchange.listing(*id).symbol, "tradeId": trade.to_string()}))
        .collect();
    json!({
        "pTime": ms(at),
        "eventType": event,
        "balData": [{
            "ccy": currency(exchange),
            "cashBal": amount(holder.wallet, MONEY_DECIMALS),
            "uTime": ms(holder.updated),
        }],
        "posData": positions,
        "trades": trades,
    })
}

/// How far back a position's last trade is looked for.
const LAST_TRADE_SCAN: usize = 1_000;

/// Fields of a balance that do not apply to a futures account.
const DETAIL_BLANKS: [&str; 19] = [
    "accAvgPx",
    "borrowFroz",
    "clSpotInUseAmt",
    "crossLiab",
    "interest",
    "isoLiab",
    "liab",
    "maxLoan",
    "maxSpotInUseAmt",
    "mgnRatio",
    "notionalLever",
    "openAvgPx",
    "spotBal",
    "spotInUseAmt",
    "spotUpl",
    "spotUplRatio",
    "totalPnl",
    "totalPnlRatio",
    "uplLiab",
];
