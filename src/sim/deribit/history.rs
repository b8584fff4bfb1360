//! The account's own trades as they are asked for: by instrument, currency or order, in pages.

use super::private;
use super::trade::order_id;
use super::wire::{Fault, ms, settles_in, text};
use crate::sim::exchange::{AccountId, Exchange, FillRow};
use serde_json::Value;

/// Trades in a page when the request does not say, and at most.
const PAGE: usize = 10;
const PAGE_MAX: usize = 1_000;

/// Whether `method` is one of these.
pub(super) fn is_history(method: &str) -> bool {
    matches!(
        method,
        "private/get_user_trades_by_instrument"
            | "private/get_user_trades_by_instrument_and_time"
            | "private/get_user_trades_by_currency"
            | "private/get_user_trades_by_currency_and_time"
            | "private/get_user_trades_by_order"
    )
}

/// The newest trades that fit the request. Those of one order come as a bare list, the others with `has_more`.
pub(super) fn trades(
    exchange: &Exchange,
    account: AccountId,
    method: &str,
    params: &Value,
) -> Result<String, Fault> {
    let order = if method.ends_with("_by_order") { Some(order_id(params)?) } else { None };
    let listing = if method.contains("_by_instrument") {
        let name = text(params, "instrument_name").ok_or_else(|| Fault::parameter("instrument_name"))?;
        Some(exchange.find(&name).ok_or_else(|| Fault::parameter("instrument_name"))?)
    } else {
        None
    };
    if method.contains("_by_currency") && text(params, "currency").is_none() {
        return Err(Fault::parameter("currency"));
    }
    let timed = method.ends_with("_and_time");
    let (from, to) = (number(params, "start_timestamp")?, number(params, "end_timestamp")?);
    if timed && from.is_none() {
        return Err(Fault::parameter("start_timestamp"));
    }
    let page = match number(params, "count")? {
        None if order.is_some() => PAGE_MAX,
        None => PAGE,
        Some(count) => usize::try_from(count)
            .ok()
            .filter(|count| (1..=PAGE_MAX).contains(count))
            .ok_or_else(|| Fault::parameter("count"))?,
    };
    let ascending = match text(params, "sorting").as_deref() {
        None | Some("default" | "desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Fault::parameter("sorting")),
    };
    let fits = |row: &&FillRow| {
        row.account == account
            && listing.is_none_or(|id| row.listing == id)
            && order.is_none_or(|id| row.order == id)
            && settles_in(exchange.listing(row.listing), params)
            && from.is_none_or(|from| ms(row.at) >= from)
            && to.is_none_or(|to| ms(row.at) <= to)
    };
    let fills = exchange.ledger().fills().iter();
    let mut rows: Vec<&FillRow> = if ascending {
        fills.filter(fits).take(page + 1).collect()
    } else {
        fills.rev().filter(fits).take(page + 1).collect()
    };
    let more = rows.len() > page;
    rows.truncate(page);
    let rows: Vec<String> = rows.into_iter().map(|row| private::trade(exchange, row)).collect();
    let rows = format!("[{}]", rows.join(","));
    Ok(if order.is_some() { rows } else { format!(r#"{{"trades":{rows},"has_more":{more}}}"#) })
}

/// A whole number among the parameters, if it is there.
fn number(params: &Value, name: &str) -> Result<Option<i64>, Fault> {
    let parse = |text: String| text.parse().map_err(|_| Fault::parameter(name));
    text(params, name).map(parse).transpose()
}
