//! Order requests: parsed, checked, executed, acknowledged. WebSocket operations and REST calls share all of it.

use super::wire::{Fault, ms, quoted, reject_fault};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{
    AccountId, Exchange, ListingId, NewOrder, OrderId, OrderKey, OrderKind, OrderStatus, RateWindow, Reject,
    SelfTrade, Side, Tif,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Orders in one batch.
pub(super) const BATCH_MAX: usize = 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Place,
    Cancel,
    Amend,
}

impl Action {
    /// A WebSocket operation: what it does, and whether it is a batch.
    pub(super) fn of_op(op: &str) -> Option<(Self, bool)> {
        Some(match op {
            "order" => (Self::Place, false),
            "batch-orders" => (Self::Place, true),
            "cancel-order" => (Self::Cancel, false),
            "batch-cancel-orders" => (Self::Cancel, true),
            "amend-order" => (Self::Amend, false),
            "batch-amend-orders" => (Self::Amend, true),
            _ => return None,
        })
    }
}

/// How a request names its instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// WebSocket: `instIdCode`.
    Code,
    /// REST: `instId`.
    Symbol,
}

/// The outcome of one order of a request.
#[derive(Clone, Debug)]
pub(super) struct Ack {
    pub(super) client_id: String,
    pub(super) order_id: String,
    /// Only in acknowledgements of placing.
    pub(super) tag: Option<String>,
    /// Only in acknowledgements of amendments.
    pub(super) request_id: Option<String>,
    pub(super) fault: Option<Fault>,
}

impl Ack {
    pub(super) fn to_json(&self, at: Nanos) -> String {
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(r#""tag":{},"#, quoted(tag)));
        let request =
            self.request_id.as_ref().map_or_else(String::new, |id| format!(r#""reqId":{},"#, quoted(id)));
        let (code, message) =
            self.fault.as_ref().map_or(("0", ""), |fault| (fault.code, fault.message.as_ref()));
        format!(
            r#"{{"clOrdId":{},"ordId":"{}",{request}{tag}"ts":"{}","sCode":"{code}","sMsg":{}}}"#,
            quoted(&self.client_id),
            self.order_id,
            ms(at),
            quoted(message),
        )
    }
}

/// `code` of a whole request: 0 all went well, 1 none did, 2 some.
pub(super) fn summary(acks: &[Ack]) -> &'static str {
    let failed = acks.iter().filter(|ack| ack.fault.is_some()).count();
    match failed {
        0 => "0",
        all if all == acks.len() => "1",
        _ => "2",
    }
}

/// Executes one order of a request at `now`.
pub(super) fn execute(
    exchange: &mut Exchange,
    account: AccountId,
    action: Action,
    naming: Naming,
    arg: &Value,
    now: Nanos,
) -> Ack {
    let text = |name: &str| text(arg, name).unwrap_or_default();
    let mut ack = Ack {
        client_id: text("clOrdId"),
        order_id: text("ordId"),
        tag: (action == Action::Place).then(|| text("tag")),
        request_id: (action == Action::Amend).then(|| text("reqId")),
        fault: None,
    };
    let outcome = listing_of(exchange, naming, arg).and_then(|listing| match action {
        Action::Place => place(exchange, account, listing, arg, now),
        Action::Cancel => cancel(exchange, account, listing, arg, now),
        Action::Amend => amend(exchange, account, listing, arg, now),
    });
    match outcome {
        Ok(id) => {
            ack.order_id = id.0.to_string();
            if let Some(order) = exchange.order(account, &OrderKey::Id(id))
                && action != Action::Place
            {
                super::private::client_id(order).clone_into(&mut ack.client_id);
            }
        }
        Err(fault) => {
            if action == Action::Place {
                ack.order_id.clear();
            }
            ack.fault = Some(fault);
        }
    }
    ack
}

/// The instrument of an order request.
pub(super) fn listing_of(exchange: &Exchange, naming: Naming, arg: &Value) -> Result<ListingId, Fault> {
    let (name, found) = match naming {
        Naming::Code => (
            "instIdCode",
            text(arg, "instIdCode").map(|code| code.parse().ok().and_then(|code| exchange.find_code(code))),
        ),
        Naming::Symbol => ("instId", text(arg, "instId").map(|symbol| exchange.find(&symbol))),
    };
    found.ok_or_else(|| Fault::missing(name))?.ok_or_else(Fault::instrument)
}

fn place(
    exchange: &mut Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
    now: Nanos,
) -> Result<OrderId, Fault> {
    let settings = exchange.account_settings(account);
    if !settings.may_trade {
        return Err(Fault::new("50120", "This API key doesn't have permission to use this function"));
    }
    if settings.long_short {
        return Err(Fault::parameter("posSide")); // it is needed in that mode, and not simulated
    }
    if settings.level < 2 {
        return Err(Fault::new("51010", "You can't complete this request under your current account mode."));
    }
    let new = parse_order(exchange, account, listing, arg)?;
    // Whatever the order would do: only cancels pass.
    if !exchange.listing(listing).is_trading(now) {
        return Err(Fault::new("51022", "Contract suspended"));
    }
    exchange.place(&new, now).map_err(|reject| reject_fault(reject, exchange.listing(listing), exchange))
}

fn parse_order(
    exchange: &Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
) -> Result<NewOrder, Fault> {
    let needed =
        |name: &str| text(arg, name).filter(|value| !value.is_empty()).ok_or_else(|| Fault::missing(name));
    let contract = exchange.listing(listing);
    if needed("tdMode")? != "cross" {
        return Err(Fault::parameter("tdMode")); // the simulated account has cross margin only
    }
    let side = match needed("side")?.as_str() {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        _ => return Err(Fault::parameter("side")),
    };
    if !matches!(text(arg, "posSide").as_deref(), None | Some("" | "net")) {
        return Err(Fault::parameter("posSide")); // net position mode
    }
    let (kind, tif) = match needed("ordType")?.as_str() {
        "limit" => (OrderKind::Limit, Tif::Gtc),
        "post_only" => (OrderKind::Limit, Tif::PostOnly),
        "ioc" => (OrderKind::Limit, Tif::Ioc),
        "fok" => (OrderKind::Limit, Tif::Fok),
        "market" | "optimal_limit_ioc" => (OrderKind::Market, Tif::Ioc),
        _ => return Err(Fault::parameter("ordType")),
    };
    let price = match kind {
        OrderKind::Market => 0,
        OrderKind::Limit => contract.parse_price(&needed("px")?).ok_or_else(|| Fault::parameter("px"))?,
    };
    let size = needed("sz")?;
    let qty = contract.parse_qty(&size).ok_or_else(|| {
        if crate::domain::number::Num::parse(size.as_bytes()).is_ok() {
            Fault::new("51121", "Order quantity must be a multiple of the lot size.")
        } else {
            Fault::parameter("sz")
        }
    })?;
    let client_id = text(arg, "clOrdId").unwrap_or_default();
    if client_id.len() > 32 || !client_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Fault::parameter("clOrdId"));
    }
    let reduce_only = match text(arg, "reduceOnly").as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(Fault::parameter("reduceOnly")),
    };
    let self_trade = match text(arg, "stpMode").as_deref() {
        None | Some("" | "cancel_maker") => SelfTrade::ExpireMaker,
        Some("cancel_taker") => SelfTrade::ExpireTaker,
        Some("cancel_both") => SelfTrade::ExpireBoth,
        Some(_) => return Err(Fault::parameter("stpMode")),
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

/// The order that a request means: `ordId` wins over `clOrdId`.
pub(super) fn key_of(arg: &Value) -> Result<OrderKey, Fault> {
    let given = |name: &str| text(arg, name).filter(|value| !value.is_empty());
    match (given("ordId"), given("clOrdId")) {
        (Some(id), _) => {
            id.parse().map(|id| OrderKey::Id(OrderId(id))).map_err(|_| Fault::parameter("ordId"))
        }
        (None, Some(client)) => Ok(OrderKey::Client(client)),
        (None, None) => Err(Fault::missing("ordId")),
    }
}

fn cancel(
    exchange: &mut Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
    now: Nanos,
) -> Result<OrderId, Fault> {
    let key = key_of(arg)?;
    exchange.cancel(account, Some(listing), &key, now).map_err(|_| {
        match exchange.order(account, &key).map(|order| order.status) {
            Some(OrderStatus::Filled) => {
                Fault::new("51402", "Order cancellation failed as the order is already completed.")
            }
            Some(_) => {
                Fault::new("51401", "Order cancellation failed as the order has already been canceled.")
            }
            None => Fault::new(
                "51400",
                "Order cancellation failed as the order has been filled, canceled or does not exist.",
            ),
        }
    })
}

fn amend(
    exchange: &mut Exchange,
    account: AccountId,
    listing: ListingId,
    arg: &Value,
    now: Nanos,
) -> Result<OrderId, Fault> {
    let key = key_of(arg)?;
    let given = |name: &str| text(arg, name).filter(|value| !value.is_empty());
    let contract = exchange.listing(listing);
    let price = given("newPx")
        .map(|px| contract.parse_price(&px).ok_or_else(|| Fault::parameter("newPx")))
        .transpose()?;
    let qty = given("newSz")
        .map(|sz| contract.parse_qty(&sz).ok_or_else(|| Fault::parameter("newSz")))
        .transpose()?;
    if price.is_none() && qty.is_none() {
        return Err(reject_fault(Reject::NoChange, contract, exchange));
    }
    let result = exchange.amend(account, Some(listing), &key, price, qty, now);
    if result.is_err() && text(arg, "cxlOnFail").as_deref() == Some("true") {
        let _ = exchange.cancel(account, Some(listing), &key, now); // it may be gone already: then nothing is left to cancel
    }
    result.map_err(|reject| reject_fault(reject, exchange.listing(listing), exchange))
}

/// A field as text: OKX takes numbers and booleans as strings, and most servers of it the bare ones too.
pub(super) fn text(arg: &Value, name: &str) -> Option<String> {
    match arg.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Request budgets: per account, instrument and kind for orders, per account and path for the rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    orders: BTreeMap<(AccountId, Action, ListingId, bool), RateWindow>,
    accounts: BTreeMap<AccountId, RateWindow>,
    paths: BTreeMap<(Option<AccountId>, &'static str), RateWindow>,
}

impl Limits {
    /// Counts `orders` of a request on one instrument.
    pub(super) fn take_orders(
        &mut self,
        exchange: &Exchange,
        account: AccountId,
        action: Action,
        batch: bool,
        listings: &[ListingId],
        now: Nanos,
    ) -> Result<(), Fault> {
        let settings = exchange.settings();
        let (limit, window) = (settings.orders_per_window_max, settings.order_window_ns);
        // Batches have a budget of their own, counted in orders: five times the single one.
        let limit = if batch { limit.saturating_mul(5) } else { limit };
        let mut within = true;
        for listing in listings {
            let budget = self
                .orders
                .entry((account, action, *listing, batch))
                .or_insert_with(|| RateWindow::new(limit, window));
            within &= budget.take(1, now);
        }
        if !within {
            return Err(Fault::new(
                "50011",
                "Rate limit reached. Please refer to API documentation and throttle requests accordingly.",
            ));
        }
        let total = self
            .accounts
            .entry(account)
            .or_insert_with(|| RateWindow::new(SUB_ACCOUNT_ORDERS_MAX, 2 * SECOND));
        if action != Action::Cancel && !total.take(listings.len() as u32, now) {
            return Err(Fault::new("50061", "You've reached the maximum order rate limit for this account."));
        }
        Ok(())
    }

    /// Counts a REST request; false when there are too many.
    pub(super) fn take_path(
        &mut self,
        account: Option<AccountId>,
        path: &'static str,
        limit: u32,
        now: Nanos,
    ) -> bool {
        self.paths.entry((account, path)).or_insert_with(|| RateWindow::new(limit, 2 * SECOND)).take(1, now)
    }
}

/// New and amended orders per account in 2 s.
const SUB_ACCOUNT_ORDERS_MAX: u32 = 1_000;
