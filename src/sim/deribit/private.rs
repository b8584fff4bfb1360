//! Private data: orders, trades, positions and balances as JSON.

use super::wire::{amount, ms, pointed, price, quoted, size};
use crate::domain::money::Money;
use crate::domain::time::Nanos;
use crate::sim::exchange::{
    AccountId, Exchange, FillRow, Listing, ListingId, Order, OrderKey, OrderKind, OrderStatus, Position,
    Side, Tif,
};
use std::collections::BTreeSet;

pub(super) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// The number of an order as the venue writes it: linear contracts are kept under their settlement currency.
pub(super) fn order_name(listing: &Listing, order: &Order) -> String {
    format!("{}-{}", listing.settle, order.id.0)
}

/// The label that the client gave, if any: the exchange names the others itself.
pub(super) fn label(order: &Order) -> &str {
    let own = order.client_id.strip_prefix("sim").is_some_and(|number| number == order.id.0.to_string());
    if own { "" } else { &order.client_id }
}

fn state(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New | OrderStatus::PartiallyFilled => "open",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled | OrderStatus::Expired | OrderStatus::ExpiredInMatch => "cancelled",
        OrderStatus::Rejected => "rejected",
    }
}

/// An order. Market orders carry a text for their price.
pub(super) fn order(exchange: &Exchange, order: &Order) -> String {
    let listing = exchange.listing(order.listing);
    let market = order.kind == OrderKind::Market;
    let shown = if market { r#""market_price""#.to_owned() } else { price(listing, order.price) };
    let average = if order.filled == 0 {
        "0.0".to_owned()
    } else {
        pointed(&listing.average_text(order.notional, order.filled, 8))
    };
    format!(
        r#"{{"is_liquidation":false,"risk_reducing":false,"order_type":"{}","order_state":"{}","reject_post_only":false,"contracts":{amount_text},"average_price":{average},"reduce_only":{},"post_only":{},"last_update_timestamp":{},"filled_amount":{},"replaced":false,"mmp":false,"web":false,"api":true,"creation_timestamp":{},"order_id":"{}","instrument_name":"{}","time_in_force":"{}","direction":"{}","amount":{amount_text},"price":{shown},"label":{}}}"#,
        if market { "market" } else { "limit" },
        state(order.status),
        order.reduce_only,
        order.tif == Tif::PostOnly,
        ms(order.updated),
        size(listing, order.filled),
        ms(order.created),
        order_name(listing, order),
        listing.symbol,
        match order.tif {
            Tif::Ioc => "immediate_or_cancel",
            Tif::Fok => "fill_or_kill",
            Tif::Gtc | Tif::PostOnly => "good_til_cancelled",
        },
        side_text(order.side),
        quoted(label(order)),
        amount_text = size(listing, order.qty),
    )
}

/// An own trade.
pub(super) fn trade(exchange: &Exchange, row: &FillRow) -> String {
    let listing = exchange.listing(row.listing);
    let placed = exchange.order(row.account, &OrderKey::Id(row.order));
    format!(
        r#"{{{liquidation}"trade_seq":{id},"trade_id":"{settle}-{id}","timestamp":{},"tick_direction":0,"state":"{}","self_trade":false,"reduce_only":{},"profit_loss":{},"price":{},"post_only":false,"order_type":"limit","order_id":"{settle}-{}","matching_id":null,"mark_price":{},"liquidity":"{}","label":{},"instrument_name":"{}","index_price":{},"fee_currency":"{settle}","fee":{},"direction":"{}","amount":{qty},"contracts":{qty}}}"#,
        ms(row.at),
        placed.map_or("filled", |order| state(order.status)),
        placed.is_some_and(|order| order.reduce_only),
        amount(row.fill.realised),
        price(listing, row.fill.price),
        row.order.0,
        amount(listing.mark),
        if row.fill.maker { "M" } else { "T" },
        quoted(placed.map_or("", label)),
        listing.symbol,
        amount(listing.index),
        amount(row.fill.fee),
        side_text(row.side),
        // The other side was being liquidated.
        liquidation = if placed.is_some_and(|order| order.by_venue) { r#""liquidation":"M","# } else { "" },
        id = row.fill.trade_id,
        settle = listing.settle,
        qty = size(listing, row.fill.qty),
    )
}

/// A position; funding and PnL are those of the session.
pub(super) fn position(
    exchange: &Exchange,
    account: AccountId,
    id: ListingId,
    position: &Position,
) -> String {
    let listing = exchange.listing(id);
    let entry = if position.qty == 0 {
        "0.0".to_owned()
    } else {
        pointed(&listing.average_text(position.cost.abs(), position.qty.abs(), 8))
    };
    let way = match position.qty {
        0 => "zero",
        1.. => "buy",
        _ => "sell",
    };
    let unrealised = exchange.account(account).unrealised(id.index(), listing);
    let margin = exchange.position_margin(account, id);
    format!(
        r#"{{"average_price":{entry},"direction":"{way}","floating_profit_loss":{},"index_price":{},"initial_margin":{},"instrument_name":"{}","kind":"future","leverage":{},"maintenance_margin":{},"mark_price":{},"open_orders_margin":0.0,"realized_funding":{},"realized_profit_loss":{},"settlement_price":{},"size":{qty},"size_currency":{qty},"total_profit_loss":{}}}"#,
        amount(unrealised),
        amount(listing.index),
        amount(margin),
        listing.symbol,
        exchange.settings().leverage,
        amount(Money(margin.0 / 2)),
        amount(listing.mark),
        amount(position.funding),
        amount(position.realised - position.fees),
        amount(listing.index),
        amount(unrealised + position.realised),
        qty = size(listing, position.qty),
    )
}

/// The currency that the account is kept in.
pub(super) fn currency(exchange: &Exchange) -> &str {
    exchange.listings().first().map_or("USDC", |listing| &listing.settle)
}

/// The currencies of `public/get_currencies`: those that something here is counted or settled in. Nothing can be
/// withdrawn from this venue, so that costs nothing.
pub(super) fn currencies(exchange: &Exchange) -> Vec<String> {
    let both = |listing: &Listing| [listing.base.clone(), listing.settle.clone()];
    let names: BTreeSet<String> = exchange.listings().iter().flat_map(both).collect();
    let row = |name: &String| {
        format!(
            r#"{{"coin_type":"{name}","currency":"{name}","currency_long":"{name}","min_confirmations":1,"min_withdrawal_fee":0.0,"withdrawal_fee":0.0,"withdrawal_priorities":[],"network_currency":"{name}","network_fee":0.0,"decimals":{}}}"#,
            exchange.settings().money_decimals,
        )
    };
    names.iter().map(row).collect()
}

/// What the extended summaries say of the account as a whole.
pub(super) fn about(exchange: &Exchange, account: AccountId) -> String {
    format!(
        r#""id":{},"type":"main","system_name":"sim","username":"sim","email":"sim@example.com","creation_timestamp":1687352432143,"referrer_id":null,"login_enabled":false,"security_keys_enabled":false,"mmp_enabled":false,"interuser_transfers_enabled":false,"block_rfq_self_match_prevention":true,"self_trading_reject_mode":{},"self_trading_extended_to_subaccounts":false"#,
        account.0,
        quoted(&exchange.account_settings(account).self_trade),
    )
}

/// The extended summary of the account's currency: the portfolio and its limits.
pub(super) fn summary(exchange: &Exchange, account: AccountId, limits: &str) -> String {
    let portfolio = portfolio(exchange, account);
    format!(r#"{},"limits":{limits}}}"#, portfolio.strip_suffix('}').unwrap_or(&portfolio))
}

/// A portfolio. What was realised since the start is in the session, as no settlement has come yet.
pub(super) fn portfolio(exchange: &Exchange, account: AccountId) -> String {
    let (holder, settings) = (exchange.account(account), exchange.account_settings(account));
    let mut session = Money::ZERO;
    for position in &holder.positions {
        session += position.realised - position.fees + position.funding;
    }
    let unrealised = holder.unrealised_all(exchange.listings());
    let margin = exchange.margin_used(account);
    let equity = exchange.equity(account);
    format!(
        r#"{{"currency":"{}","balance":{},"session_rpl":{},"session_upl":{},"futures_session_rpl":{},"futures_session_upl":{},"equity":{},"margin_balance":{},"initial_margin":{},"maintenance_margin":{},"available_funds":{},"available_withdrawal_funds":{},"total_pl":{},"fee_balance":0.0,"delta_total":0.0,"portfolio_margining_enabled":{},"cross_collateral_enabled":{},"margin_model":"{}_{}"}}"#,
        currency(exchange),
        amount(holder.wallet - session),
        amount(session),
        amount(unrealised),
        amount(session),
        amount(unrealised),
        amount(equity),
        amount(equity),
        amount(margin),
        amount(Money(margin.0 / 2)),
        amount(exchange.available(account)),
        amount(exchange.available(account)),
        amount(unrealised + session),
        settings.portfolio,
        settings.multi_asset,
        if settings.multi_asset { "cross" } else { "segregated" },
        if settings.portfolio { "pm" } else { "sm" },
    )
}

/// An instrument as `public/get_instruments` shows it.
pub(super) fn instrument(exchange: &Exchange, id: ListingId, now: Nanos) -> String {
    let listing = exchange.listing(id);
    let settings = exchange.settings();
    let fee = |ppb: i64| pointed(&Money(i128::from(ppb) * 1_000_000_000).to_string());
    format!(
        r#"{{"min_trade_amount":{least},"instrument_id":{},"is_active":{active},"price_index":"{base_low}_usdc","state":"{state}","taker_commission":{},"max_leverage":{leverage},"base_currency":"{base}","settlement_currency":"{settle}","contract_size":{step},"kind":"future","future_type":"linear","tick_size_steps":[],"expiration_timestamp":32503708800000,"instrument_name":"{}","creation_timestamp":1534167754000,"settlement_period":"perpetual","product_group":"{base}","max_liquidation_commission":0.0075,"instrument_type":"linear","counter_currency":"{quote}","tick_size":{},"maker_commission":{},"quote_currency":"{quote}","lot_size":1}}"#,
        124_972 + u32::from(id.0),
        fee(settings.taker_fee_ppb),
        listing.symbol,
        pointed(&listing.stated_tick().to_string()),
        fee(settings.maker_fee_ppb),
        active = listing.is_trading(now),
        state = if listing.is_trading(now) { "open" } else { "locked" },
        least = size(listing, listing.stated_min()),
        base_low = listing.base.to_ascii_lowercase(),
        base = listing.base,
        settle = listing.settle,
        quote = listing.quote,
        leverage = settings.leverage,
        step = size(listing, listing.whole_lots(1)),
    )
}
