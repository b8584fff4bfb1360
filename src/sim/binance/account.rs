//! What an account holds and did, as REST and WebSocket API replies show it.

use super::auth::Params;
use super::error::ApiError;
use super::order::{self, quoted, symbol_maybe};
use super::rest::ids;
use super::user::entry_price;
use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, Exchange, Listing, ListingId, MoneyText, Side, fixed};

fn settle_asset(exchange: &Exchange) -> String {
    exchange.listings().first().map_or_else(|| "USDT".into(), |listing| listing.settle.clone())
}

/// `GET …/balance` and `v2/account.balance`.
pub(super) fn balance_json(exchange: &Exchange, id: AccountId) -> String {
    let account = exchange.account(id);
    let available = exchange.available(id).fixed(8);
    let wallet = account.wallet.fixed(8);
    format!(
        concat!(
            "[{{\"accountAlias\":\"{}\",\"asset\":\"{}\",\"balance\":\"{}\",\"crossWalletBalance\":\"{}\",\"crossUnPnl\":\"{}\",",
            "\"availableBalance\":\"{}\",\"maxWithdrawAmount\":\"{}\",\"marginAvailable\":true,\"updateTime\":{}}}]"
        ),
        account.name,
        settle_asset(exchange),
        wallet,
        wallet,
        account.unrealised_all(exchange.listings()).fixed(8),
        available,
        available,
        account.updated / MILLI
    )
}

/// `GET …/account` and `v2/account.status`.
pub(super) fn account_json(exchange: &Exchange, id: AccountId, now: Nanos) -> String {
    let account = exchange.account(id);
    let unrealised = account.unrealised_all(exchange.listings());
    let (wallet, equity) = (account.wallet.fixed(8), exchange.equity(id).fixed(8));
    let used = exchange.margin_used(id);
    let mut held = Money::ZERO;
    for (listing, _) in ids(exchange) {
        held += exchange.position_margin(id, listing);
    }
    let (used_text, held_text) = (used.fixed(8), held.fixed(8));
    let (orders_text, available) = ((used - held).fixed(8), exchange.available(id).fixed(8));
    // Maintenance margin is modelled as a tenth of the initial margin of positions.
    let maintenance = Money(held.0 / 10).fixed(8);
    let asset = format!(
        concat!(
            "{{\"asset\":\"{}\",\"walletBalance\":\"{wallet}\",\"unrealizedProfit\":\"{}\",\"marginBalance\":\"{equity}\",",
            "\"maintMargin\":\"{maintenance}\",\"initialMargin\":\"{used_text}\",\"positionInitialMargin\":\"{held_text}\",",
            "\"openOrderInitialMargin\":\"{orders_text}\",\"crossWalletBalance\":\"{wallet}\",\"crossUnPnl\":\"{}\",",
            "\"availableBalance\":\"{available}\",\"maxWithdrawAmount\":\"{available}\",\"marginAvailable\":true,\"updateTime\":{}}}"
        ),
        settle_asset(exchange),
        unrealised.fixed(8),
        unrealised.fixed(8),
        account.updated / MILLI,
        wallet = wallet,
        equity = equity,
        maintenance = maintenance,
        used_text = used_text,
        held_text = held_text,
        orders_text = orders_text,
        available = available
    );
    let positions: Vec<String> = ids(exchange)
        .map(|(listing_id, listing)| {
            let position = account.positions[listing_id.index()];
            let margin = exchange.position_margin(id, listing_id);
            let notional = listing.settled_at_mark(position.qty);
            format!(
                concat!(
                    "{{\"symbol\":\"{}\",\"initialMargin\":\"{}\",\"maintMargin\":\"{}\",\"unrealizedProfit\":\"{}\",",
                    "\"positionInitialMargin\":\"{}\",\"openOrderInitialMargin\":\"0\",\"leverage\":\"{}\",\"isolated\":false,",
                    "\"entryPrice\":\"{}\",\"breakEvenPrice\":\"{}\",\"maxNotional\":\"100000000\",\"positionSide\":\"BOTH\",",
                    "\"positionAmt\":\"{}\",\"notional\":\"{}\",\"isolatedWallet\":\"0\",\"bidNotional\":\"0\",\"askNotional\":\"0\",\"updateTime\":{}}}"
                ),
                listing.symbol,
                margin.fixed(8),
                Money(margin.0 / 10).fixed(8),
                account.unrealised(listing_id.index(), listing).fixed(8),
                margin.fixed(8),
                exchange.settings().leverage,
                entry_price(listing, &position),
                entry_price(listing, &position),
                listing.qty_text(position.qty),
                notional.fixed(8),
                position.updated / MILLI
            )
        })
        .collect();
    format!(
        concat!(
            "{{\"feeTier\":0,\"canTrade\":{},\"canDeposit\":true,\"canWithdraw\":false,\"updateTime\":{},\"multiAssetsMargin\":false,",
            "\"totalInitialMargin\":\"{}\",\"totalMaintMargin\":\"{}\",\"totalWalletBalance\":\"{}\",\"totalUnrealizedProfit\":\"{}\",",
            "\"totalMarginBalance\":\"{}\",\"totalPositionInitialMargin\":\"{}\",\"totalOpenOrderInitialMargin\":\"{}\",",
            "\"totalCrossWalletBalance\":\"{}\",\"totalCrossUnPnl\":\"{}\",\"availableBalance\":\"{}\",\"maxWithdrawAmount\":\"{}\",",
            "\"assets\":[{}],\"positions\":[{}]}}"
        ),
        exchange.account_settings(id).may_trade,
        now / MILLI,
        used_text,
        maintenance,
        wallet,
        unrealised.fixed(8),
        equity,
        held_text,
        orders_text,
        wallet,
        unrealised.fixed(8),
        available,
        available,
        asset,
        positions.join(",")
    )
}

/// One row of `GET …/positionRisk` and `v2/account.position`; `v3` has more margins and no leverage.
pub(super) fn position_risk(exchange: &Exchange, account: AccountId, id: ListingId, v3: bool) -> String {
    let listing = exchange.listing(id);
    let position = exchange.account(account).positions[id.index()];
    let unrealised = exchange.account(account).unrealised(id.index(), listing).fixed(8);
    let (entry, amount) = (entry_price(listing, &position), listing.qty_text(position.qty));
    let (mark, notional) = (listing.mark.fixed(8), listing.settled_at_mark(position.qty).fixed(8));
    let margin = exchange.position_margin(account, id);
    let (initial, maintenance) = (margin.fixed(8), Money(margin.0 / 10).fixed(8));
    let (symbol, updated) = (&listing.symbol, position.updated / MILLI);
    if v3 {
        return format!(
            concat!(
                "{{\"symbol\":\"{symbol}\",\"positionSide\":\"BOTH\",\"positionAmt\":\"{amount}\",\"entryPrice\":\"{entry}\",",
                "\"breakEvenPrice\":\"{entry}\",\"markPrice\":\"{mark}\",\"unRealizedProfit\":\"{unrealised}\",\"liquidationPrice\":\"0\",",
                "\"isolatedMargin\":\"0\",\"notional\":\"{notional}\",\"marginAsset\":\"{settle}\",\"isolatedWallet\":\"0\",",
                "\"initialMargin\":\"{initial}\",\"maintMargin\":\"{maintenance}\",\"positionInitialMargin\":\"{initial}\",",
                "\"openOrderInitialMargin\":\"0\",\"adl\":2,\"bidNotional\":\"0\",\"askNotional\":\"0\",\"updateTime\":{updated}}}"
            ),
            symbol = symbol,
            amount = amount,
            entry = entry,
            mark = mark,
            unrealised = unrealised,
            notional = notional,
            settle = listing.settle,
            initial = initial,
            maintenance = maintenance,
            updated = updated
        );
    }
    format!(
        concat!(
            "{{\"symbol\":\"{}\",\"positionAmt\":\"{}\",\"entryPrice\":\"{}\",\"breakEvenPrice\":\"{}\",\"markPrice\":\"{}\",",
            "\"unRealizedProfit\":\"{}\",\"liquidationPrice\":\"0\",\"leverage\":\"{}\",\"maxNotionalValue\":\"100000000\",",
            "\"marginType\":\"{}\",\"isolatedMargin\":\"0.00000000\",\"isAutoAddMargin\":\"false\",\"positionSide\":\"BOTH\",",
            "\"notional\":\"{}\",\"isolatedWallet\":\"0\",\"updateTime\":{},\"isolated\":false,\"adlQuantile\":0}}"
        ),
        symbol,
        amount,
        entry,
        entry,
        mark,
        unrealised,
        exchange.leverage_of(account),
        if exchange.account_settings(account).isolated { "isolated" } else { "cross" },
        notional,
        updated
    )
}

pub(super) fn leverage_bracket(exchange: &Exchange, listing: &Listing) -> String {
    format!(
        concat!(
            "{{\"symbol\":\"{}\",\"brackets\":[{{\"bracket\":1,\"initialLeverage\":{},\"{counted}Cap\":100000000,\"{counted}Floor\":0,",
            "\"maintMarginRatio\":{},\"cum\":0.0}}]}}"
        ),
        listing.symbol,
        exchange.settings().leverage,
        fixed(10_000 / i128::from(exchange.settings().leverage.max(1) * 10), 4),
        counted = if listing.is_inverse() { "qty" } else { "notional" },
    )
}

pub(super) fn user_trades(
    exchange: &Exchange,
    account: AccountId,
    id: ListingId,
    params: &Params,
) -> Result<String, ApiError> {
    let listing = exchange.listing(id);
    let from = params.int("fromId")?.unwrap_or(0) as u64;
    let order = params.int("orderId")?;
    let since = params.int("startTime")?.unwrap_or(0) * MILLI;
    let limit = params.int("limit")?.unwrap_or(500).clamp(1, 1_000) as usize;
    let rows: Vec<String> = exchange
        .ledger()
        .fills()
        .iter()
        .filter(|row| row.account == account && row.listing == id && row.fill.trade_id >= from && row.at >= since)
        .filter(|row| order.is_none_or(|order| row.order.0 == order as u64))
        .map(|row| {
            format!(
                concat!(
                    "{{\"symbol\":\"{}\",\"id\":{},\"orderId\":{},\"side\":\"{}\",\"price\":\"{}\",\"qty\":\"{}\",\"realizedPnl\":\"{}\",",
                    "\"{}\":\"{}\",\"commission\":\"{}\",\"commissionAsset\":\"{}\",\"time\":{},\"positionSide\":\"BOTH\",\"buyer\":{},\"maker\":{}}}"
                ),
                listing.symbol,
                row.fill.trade_id,
                row.order.0,
                order::side_text(row.side),
                listing.price_text(row.fill.price),
                listing.qty_text(row.fill.qty),
                row.fill.realised.fixed(8),
                if listing.is_inverse() { "baseQty" } else { "quoteQty" },
                if listing.is_inverse() { row.notional.cut(8) } else { row.notional },
                row.fill.fee.fixed(8),
                listing.settle,
                row.at / MILLI,
                row.side == Side::Buy,
                row.fill.maker
            )
        })
        .collect();
    // With `fromId` or `startTime` the oldest, otherwise the newest.
    let part = if from > 0 || since > 0 {
        &rows[..limit.min(rows.len())]
    } else {
        &rows[rows.len().saturating_sub(limit)..]
    };
    Ok(format!("[{}]", part.join(",")))
}

pub(super) fn income(exchange: &Exchange, account: AccountId, params: &Params) -> Result<String, ApiError> {
    let kind = params.get("incomeType");
    let wanted = symbol_maybe(exchange, params)?;
    let limit = params.int("limit")?.unwrap_or(100).clamp(1, 1_000) as usize;
    let ledger = exchange.ledger();
    let mut rows: Vec<(Nanos, ListingId, &str, Money, u64)> = Vec::new();
    for row in ledger.fills().iter().filter(|row| row.account == account) {
        rows.push((row.at, row.listing, "COMMISSION", -row.fill.fee, row.fill.trade_id));
        if row.fill.realised != Money::ZERO {
            rows.push((row.at, row.listing, "REALIZED_PNL", row.fill.realised, row.fill.trade_id));
        }
    }
    for row in ledger.funding().iter().filter(|row| row.account == account) {
        rows.push((row.at, row.listing, "FUNDING_FEE", row.amount, 0));
    }
    rows.retain(|row| kind.is_none_or(|kind| kind == row.2) && wanted.is_none_or(|wanted| wanted == row.1));
    rows.sort_by_key(|row| row.0);
    let rows: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(number, (at, id, kind, amount, trade))| {
            let listing = exchange.listing(*id);
            let trade = if *trade == 0 { String::new() } else { trade.to_string() };
            format!(
                "{{\"symbol\":\"{}\",\"incomeType\":\"{kind}\",\"income\":\"{}\",\"asset\":\"{}\",\"info\":{},\"time\":{},\"tranId\":{},\"tradeId\":\"{trade}\"}}",
                listing.symbol,
                amount.fixed(8),
                listing.settle,
                quoted(&trade),
                at / MILLI,
                at / MILLI * 1_000 + number as i64
            )
        })
        .collect();
    Ok(format!("[{}]", rows[rows.len().saturating_sub(limit)..].join(",")))
}
