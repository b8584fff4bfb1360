//! OKX's REST service: routes, authentication, budgets, and the replies.
//!
//! A request is answered at once; whoever owns the socket holds an order request, and the reply to it, for the
//! simulated latency ([`crate::sim::Server::order_travel`]).

use super::private::{self, side_text};
use super::trade::{Ack, Action, BATCH_MAX, Naming, execute, key_of, listing_of, summary, text};
use super::wire::{Fault, failure, ms, ppb, price, reply, size, success, us};
use super::{OkxServer, auth, frames, instruments};
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::exchange::{AccountId, Exchange, ListingId, Order, OrderStatus};
use crate::sim::{HttpReply, HttpRequest};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Time,
    Instruments,
    Books,
    Tickers,
    Ticker,
    Funding,
    Mark,
    PriceLimit,
    Interest,
    Currencies,
    Balance,
    Positions,
    Config,
    Fees,
    Leverage,
    SetLeverage,
    SetPositionMode,
    MaxSize,
    OrderState,
    Pending,
    History,
    Fills,
    Bills,
    Orders(Action, bool),
    CancelAllAfter,
}

/// Method, path after `/api/v5/`, service, whether it needs a key, requests per 2 s.
type Route = (&'static str, &'static str, Service, bool, u32);

const ROUTES: [Route; 32] = [
    ("GET", "public/time", Service::Time, false, 20),
    ("GET", "public/instruments", Service::Instruments, false, 20),
    ("GET", "market/books", Service::Books, false, 40),
    ("GET", "market/tickers", Service::Tickers, false, 20),
    ("GET", "market/ticker", Service::Ticker, false, 20),
    ("GET", "public/funding-rate", Service::Funding, false, 20),
    ("GET", "public/mark-price", Service::Mark, false, 20),
    ("GET", "public/price-limit", Service::PriceLimit, false, 20),
    ("GET", "public/open-interest", Service::Interest, false, 20),
    ("GET", "asset/currencies", Service::Currencies, true, 12),
    ("GET", "account/instruments", Service::Instruments, true, 20),
    ("GET", "account/balance", Service::Balance, true, 20),
    ("GET", "account/positions", Service::Positions, true, 20),
    ("GET", "account/config", Service::Config, true, 10),
    ("GET", "account/trade-fee", Service::Fees, true, 10),
    ("GET", "account/leverage-info", Service::Leverage, true, 40),
    ("POST", "account/set-leverage", Service::SetLeverage, true, 40),
    ("POST", "account/set-position-mode", Service::SetPositionMode, true, 10),
    ("GET", "account/max-size", Service::MaxSize, true, 40),
    ("GET", "account/bills", Service::Bills, true, 10),
    ("GET", "trade/order", Service::OrderState, true, 120),
    ("GET", "trade/orders-pending", Service::Pending, true, 120),
    ("GET", "trade/orders-history", Service::History, true, 80),
    ("GET", "trade/fills", Service::Fills, true, 120),
    ("GET", "trade/fills-history", Service::Fills, true, 20),
    ("POST", "trade/order", Service::Orders(Action::Place, false), true, 0),
    ("POST", "trade/batch-orders", Service::Orders(Action::Place, true), true, 0),
    ("POST", "trade/cancel-order", Service::Orders(Action::Cancel, false), true, 0),
    ("POST", "trade/cancel-batch-orders", Service::Orders(Action::Cancel, true), true, 0),
    ("POST", "trade/amend-order", Service::Orders(Action::Amend, false), true, 0),
    ("POST", "trade/amend-batch-orders", Service::Orders(Action::Amend, true), true, 0),
    ("POST", "trade/cancel-all-after", Service::CancelAllAfter, true, 2),
];

/// Whether a request places, changes, cancels or asks about a single order.
pub(super) fn is_about_an_order(path: &str) -> bool {
    let service = path.strip_prefix("/api/v5/trade/");
    service.is_some_and(|service| matches!(service, "order" | "cancel-order" | "amend-order"))
}

/// Rows in a list reply.
const ROWS_MAX: usize = 100;
/// Number of the venue's first bill.
const FIRST_BILL: u64 = 1_000_000_000;

impl OkxServer {
    /// Answers a request at `now`, to which the venue has been advanced.
    pub(super) fn rest(&mut self, request: &HttpRequest, now: Nanos) -> HttpReply {
        let Some(path) = request.path.strip_prefix("/api/v5/") else { return unknown() };
        let Some(route) = ROUTES.iter().find(|route| route.1 == path && route.0 == request.method) else {
            if ROUTES.iter().any(|route| route.1 == path) {
                return failure(405, &Fault::new("50115", "Invalid request method."));
            }
            return unknown();
        };
        let (_, path, service, private, limit) = *route;
        let account = if private {
            match auth::rest(self.venue.exchange(), request, now) {
                Ok(account) => Some(account),
                Err(fault) => return failure(401, &fault),
            }
        } else {
            None
        };
        if limit > 0 && !self.limits.take_path(account, path, limit, now) {
            return too_many();
        }
        if let Some(deadline) = auth::header(request, "exptime")
            && deadline.parse::<i64>().is_ok_and(|deadline| deadline < now / MILLI)
        {
            return failure(400, &expired());
        }
        let arguments = match request.method.as_str() {
            "POST" => match serde_json::from_slice(&request.body) {
                Ok(body) => body,
                Err(_) => return failure(400, &Fault::new("50002", "JSON syntax error")),
            },
            _ => query(&request.query),
        };
        self.serve(service, account.unwrap_or_default(), &arguments, now)
    }

    fn serve(&mut self, service: Service, account: AccountId, args: &Value, now: Nanos) -> HttpReply {
        let exchange = self.venue.exchange();
        let answer = match service {
            Service::Time => Ok(vec![json!({"ts": ms(now)})]),
            Service::Orders(action, batch) => return self.serve_orders(account, action, batch, args, now),
            Service::CancelAllAfter => return self.cancel_all_after(account, args, now),
            Service::Instruments => selected(exchange, args).map(|ids| {
                let listed = ids.iter().map(|id| exchange.listing(*id)).filter(|listing| listing.is_listed());
                listed.map(|listing| instruments::instrument(exchange, listing, now)).collect()
            }),
            Service::Books => books(exchange, args, now),
            Service::Tickers => selected(exchange, args)
                .map(|ids| ids.iter().map(|id| parsed(&self.feed.ticker(exchange, *id, now))).collect()),
            Service::Ticker => {
                needed(exchange, args).map(|id| vec![parsed(&self.feed.ticker(exchange, id, now))])
            }
            Service::Funding => {
                needed(exchange, args).map(|id| vec![parsed(&self.feed.funding(exchange, id, now))])
            }
            Service::Mark => selected(exchange, args)
                .map(|ids| ids.iter().map(|id| parsed(&frames::mark(exchange.listing(*id), now))).collect()),
            Service::PriceLimit => needed(exchange, args)
                .map(|id| vec![parsed(&frames::limits(exchange, exchange.listing(id), now))]),
            Service::Interest => selected(exchange, args)
                .map(|ids| ids.iter().map(|id| parsed(&frames::interest(exchange, *id, now))).collect()),
            Service::Currencies => {
                let names: BTreeSet<&str> =
                    exchange.listings().iter().flat_map(|l| [l.base.as_str(), &l.settle]).collect();
                Ok(names.into_iter().map(instruments::currency).collect())
            }
            Service::Balance => Ok(vec![private::balance(exchange, account, now)]),
            Service::Positions => selected(exchange, args).map(|ids| self.positions(account, &ids)),
            Service::Config => Ok(vec![config(exchange, account)]),
            Service::Fees => Ok(vec![fees(exchange, now)]),
            Service::Leverage => leverages(exchange, account, args),
            Service::SetLeverage => set_leverage(exchange, account, args),
            Service::SetPositionMode => match text(args, "posMode").as_deref() {
                Some("net_mode") => Ok(vec![json!({"posMode": "net_mode"})]),
                _ => Err(Fault::parameter("posMode")), // the simulated account is in net mode
            },
            Service::MaxSize => needed(exchange, args).map(|id| vec![max_size(exchange, account, id)]),
            Service::OrderState => listing_of(exchange, Naming::Symbol, args).and_then(|listing| {
                let order = exchange.order(account, &key_of(args)?).filter(|order| order.listing == listing);
                let order = order.ok_or_else(|| Fault::new("51603", "Order does not exist"))?;
                Ok(vec![private::order(exchange, order)])
            }),
            Service::Pending => selected(exchange, args).map(|ids| {
                let open: Vec<&Order> = exchange.open_orders(account, None).collect();
                orders(exchange, open.into_iter().rev(), &ids, args)
            }),
            Service::History => selected(exchange, args).map(|ids| {
                let rows = exchange.ledger().orders().iter().rev().map(|row| &row.order);
                let done = rows.filter(|o| {
                    o.account == account && !o.status.is_open() && o.status != OrderStatus::Rejected
                });
                orders(exchange, done, &ids, args)
            }),
            Service::Fills => selected(exchange, args).map(|ids| fills(exchange, account, &ids, args)),
            Service::Bills => Ok(bills(exchange, account, args)),
        };
        match answer {
            Ok(data) => success(data),
            Err(fault) => failure(if fault.code == "50014" { 400 } else { 200 }, &fault),
        }
    }

    fn positions(&self, account: AccountId, ids: &[ListingId]) -> Vec<Value> {
        let exchange = self.venue.exchange();
        let held = ids.iter().filter_map(|id| {
            let position = &exchange.account(account).positions[id.index()];
            (position.qty != 0).then(|| private::position(exchange, &self.feed, account, *id, position))
        });
        held.collect()
    }

    fn serve_orders(
        &mut self,
        account: AccountId,
        action: Action,
        batch: bool,
        args: &Value,
        now: Nanos,
    ) -> HttpReply {
        let list = match args {
            Value::Array(list) if batch && (1..=BATCH_MAX).contains(&list.len()) => list.as_slice(),
            Value::Object(_) if !batch => std::slice::from_ref(args),
            _ => return failure(400, &Fault::new("50002", "JSON syntax error")),
        };
        let exchange = self.venue.exchange();
        let listings: Vec<ListingId> =
            list.iter().filter_map(|arg| listing_of(exchange, Naming::Symbol, arg).ok()).collect();
        if let Err(fault) = self.limits.take_orders(exchange, account, action, batch, &listings, now) {
            return if fault.code == "50011" { too_many() } else { failure(200, &fault) };
        }
        let acks: Vec<Ack> =
            list.iter().map(|arg| self.execute(account, action, Naming::Symbol, arg, now)).collect();
        let code = summary(&acks);
        let message = match code {
            "0" => "",
            "1" => "All operations failed",
            _ => "Bulk operation partially succeeded.",
        };
        let data: Vec<Value> = acks.iter().map(|ack| parsed(&ack.to_json(now))).collect();
        reply(200, json!({"code": code, "data": data, "msg": message, "inTime": us(now), "outTime": us(now)}))
    }

    /// Executes one order and remembers what the following events need.
    pub(super) fn execute(
        &mut self,
        account: AccountId,
        action: Action,
        naming: Naming,
        arg: &Value,
        now: Nanos,
    ) -> Ack {
        self.amend_request.clear();
        if action == Action::Amend {
            self.amend_request = text(arg, "reqId").unwrap_or_default();
        }
        let ack = execute(self.venue.exchange_mut(), account, action, naming, arg, now);
        self.collect(now);
        ack
    }

    fn cancel_all_after(&mut self, account: AccountId, args: &Value, now: Nanos) -> HttpReply {
        let seconds = match text(args, "timeOut").map(|text| text.parse::<i64>()) {
            Some(Ok(seconds @ (0 | 10..=120))) => seconds,
            Some(_) => return failure(200, &Fault::parameter("timeOut")),
            None => return failure(400, &Fault::missing("timeOut")),
        };
        let tag = text(args, "tag").unwrap_or_default();
        let trigger = if seconds == 0 {
            self.countdowns.remove(&account);
            "0".to_owned()
        } else {
            let at = now + seconds * SECOND;
            self.countdowns.insert(account, at);
            ms(at)
        };
        success(vec![json!({"triggerTime": trigger, "tag": tag, "ts": ms(now)})])
    }
}

fn unknown() -> HttpReply {
    failure(404, &Fault::new("404", "Not Found"))
}

fn too_many() -> HttpReply {
    failure(429, &Fault::new("50011", "Too Many Requests"))
}

/// The request came after its own deadline.
pub(super) fn expired() -> Fault {
    Fault::new(
        "50036",
        "The expTime can't be earlier than the current system time. Please adjust the expTime and try again.",
    )
}

/// Our own frames and rows are JSON; nothing else is passed in.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

/// A query string as an object of strings.
fn query(query: &str) -> Value {
    let decode = |text: &str| -> String {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            let hex = |byte: u8| char::from(byte).to_digit(16);
            match (first, tail) {
                (b'+', _) => bytes.push(b' '),
                (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                    let value = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                    bytes.push(value as u8);
                    rest = after;
                }
                _ => bytes.push(*first),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let fields: Map<String, Value> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), Value::String(decode(value))))
        .collect();
    Value::Object(fields)
}

/// The instrument named by `instId`, which must be there.
fn needed(exchange: &Exchange, args: &Value) -> Result<ListingId, Fault> {
    listing_of(exchange, Naming::Symbol, args)
}

/// Instruments by `instType` (only swaps exist here), `instFamily` or `uly`, and `instId` (a comma-separated list).
fn selected(exchange: &Exchange, args: &Value) -> Result<Vec<ListingId>, Fault> {
    let kind = text(args, "instType").unwrap_or_default();
    if !matches!(kind.as_str(), "" | "SWAP" | "SPOT" | "MARGIN" | "FUTURES" | "OPTION") {
        return Err(Fault::parameter("instType"));
    }
    let family = text(args, "instFamily").or_else(|| text(args, "uly")).unwrap_or_default();
    let named = text(args, "instId").unwrap_or_default();
    let names: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| exchange.find(name).is_none()) {
        return Err(Fault::instrument());
    }
    let listings = exchange.listings().iter().enumerate().filter(|(_, listing)| {
        matches!(kind.as_str(), "" | "SWAP")
            && (family.is_empty() || frames::index_name(listing) == family)
            && (names.is_empty() || names.contains(&listing.symbol.as_str()))
    });
    Ok(listings.map(|(index, _)| ListingId(index as u16)).collect())
}

fn books(exchange: &Exchange, args: &Value, now: Nanos) -> Result<Vec<Value>, Fault> {
    use crate::sim::exchange::Side;
    let id = needed(exchange, args)?;
    let depth = match text(args, "sz").filter(|size| !size.is_empty()) {
        None => 1,
        Some(size) => {
            size.parse().ok().filter(|size| (1..=400).contains(size)).ok_or_else(|| Fault::parameter("sz"))?
        }
    };
    let (listing, book) = (exchange.listing(id), exchange.book(id));
    Ok(vec![json!({
        "asks": parsed(&frames::levels(listing, &book.levels(Side::Sell, depth))),
        "bids": parsed(&frames::levels(listing, &book.levels(Side::Buy, depth))),
        "ts": ms(now),
        "seqId": exchange.last_update(id),
    })])
}

fn config(exchange: &Exchange, account: AccountId) -> Value {
    let settings = exchange.account_settings(account);
    json!({
        "acctLv": settings.level.to_string(), "acctStpMode": settings.self_trade, "autoLoan": false, "ctIsoMode": "automatic",
        "enableSpotBorrow": false, "feeType": "0", "greeksType": "PA", "ip": "", "kycLv": "3", "label": "simulated",
        "level": "Lv1", "levelTmp": "", "liquidationGear": "-1", "mainUid": private::uid(account), "mgnIsoMode": "automatic",
        "opAuth": "0", "perm": if settings.may_trade { "read_only,trade" } else { "read_only" },
        "posMode": if settings.long_short { "long_short_mode" } else { "net_mode" }, "roleType": "0", "settleCcy": "USDT",
        "settleCcyList": ["USDT"], "spotBorrowAutoRepay": false, "spotOffsetType": "", "spotRoleType": "0",
        "spotTraderInsts": [], "traderInsts": [], "type": "0", "uid": private::uid(account),
    })
}

fn fees(exchange: &Exchange, now: Nanos) -> Value {
    let settings = exchange.settings();
    let (maker, taker) = (ppb(-settings.maker_fee_ppb), ppb(-settings.taker_fee_ppb));
    json!({
        "category": "1", "delivery": "", "exercise": "", "feeGroup": [], "fiat": [], "instType": "SWAP", "level": "Lv1",
        "maker": maker, "makerU": maker, "makerUSDC": maker, "ruleType": "normal", "settle": "",
        "taker": taker, "takerU": taker, "takerUSDC": taker, "ts": ms(now),
    })
}

fn leverage(exchange: &Exchange, account: AccountId, id: ListingId) -> Value {
    json!({
        "ccy": "", "instId": exchange.listing(id).symbol, "lever": exchange.leverage_of(account).to_string(),
        "mgnMode": "cross", "posSide": "net",
    })
}

/// Leverages of up to twenty instruments, named in a list.
fn leverages(exchange: &Exchange, account: AccountId, args: &Value) -> Result<Vec<Value>, Fault> {
    match text(args, "mgnMode").as_deref() {
        Some("cross") => {}
        Some("isolated") => return Ok(Vec::new()),
        _ => return Err(Fault::missing("mgnMode")),
    }
    let ids = selected(exchange, args)?;
    match text(args, "instId") {
        Some(names) if !names.is_empty() && ids.len() <= 20 => {
            Ok(ids.into_iter().map(|id| leverage(exchange, account, id)).collect())
        }
        _ => Err(Fault::missing("instId")),
    }
}

/// The leverage of a simulated venue is fixed: setting the same is granted, another is refused.
fn set_leverage(exchange: &Exchange, account: AccountId, args: &Value) -> Result<Vec<Value>, Fault> {
    let id = needed(exchange, args)?;
    let fixed = exchange.leverage_of(account).to_string();
    if text(args, "mgnMode").as_deref() != Some("cross") {
        return Err(Fault::parameter("mgnMode"));
    }
    match text(args, "lever") {
        None => Err(Fault::missing("lever")),
        Some(lever) if lever == fixed => Ok(vec![leverage(exchange, account, id)]),
        Some(_) => Err(Fault::new("59102", format!("Leverage is fixed at {fixed} on this simulated venue."))),
    }
}

/// What could be bought and sold with the available margin, plus what the position gives back.
fn max_size(exchange: &Exchange, account: AccountId, id: ListingId) -> Value {
    let listing = exchange.listing(id);
    let one = listing.notional_at_mark(1).0.max(1);
    let funds = exchange.available(account).0 * i128::from(exchange.settings().leverage);
    let free = i64::try_from(funds / one).unwrap_or(i64::MAX).min(listing.qty_max);
    let held = exchange.account(account).positions[id.index()].qty;
    let side = |against: i64| size(listing, free.saturating_add(2 * against.max(0)).min(listing.qty_max));
    json!({"ccy": listing.settle, "instId": listing.symbol, "maxBuy": side(-held), "maxSell": side(held)})
}

fn limit(args: &Value) -> usize {
    text(args, "limit")
        .and_then(|limit| limit.parse().ok())
        .map_or(ROWS_MAX, |limit: usize| limit.clamp(1, ROWS_MAX))
}

/// Newest first; `after` pages to older, `before` to newer order ids.
fn orders<'a>(
    exchange: &Exchange,
    rows: impl Iterator<Item = &'a Order>,
    ids: &[ListingId],
    args: &Value,
) -> Vec<Value> {
    let bound = |name: &str| text(args, name).and_then(|id| id.parse::<u64>().ok());
    let (after, before) = (bound("after"), bound("before"));
    let state = text(args, "state").filter(|state| !state.is_empty());
    rows.filter(|order| ids.contains(&order.listing))
        .filter(|order| after.is_none_or(|id| order.id.0 < id) && before.is_none_or(|id| order.id.0 > id))
        .map(|order| private::order(exchange, order))
        .filter(|row| state.is_none() || row["state"].as_str() == state.as_deref())
        .take(limit(args))
        .collect()
}

fn fills(exchange: &Exchange, account: AccountId, ids: &[ListingId], args: &Value) -> Vec<Value> {
    let order = text(args, "ordId").and_then(|id| id.parse::<u64>().ok());
    let bound = |name: &str| text(args, name).and_then(|at| at.parse::<i64>().ok());
    let (begin, end) = (bound("begin"), bound("end"));
    // Pages go on behind a bill: those are numbered through.
    let after = text(args, "after").and_then(|id| id.parse::<u64>().ok());
    let rows = (FIRST_BILL..).zip(exchange.ledger().fills()).collect::<Vec<_>>().into_iter().rev();
    rows.filter(|(_, row)| {
        row.account == account && ids.contains(&row.listing) && order.is_none_or(|id| row.order.0 == id)
    })
    .filter(|(_, row)| begin.is_none_or(|at| row.at / MILLI >= at))
    .filter(|(_, row)| end.is_none_or(|at| row.at / MILLI <= at))
    .filter(|(bill, _)| after.is_none_or(|after| *bill < after))
    .take(limit(args))
    .map(|(bill, row)| private::fill(exchange, row, bill))
    .collect()
}

/// Trades (type 2) and funding (type 8), newest first within each.
fn bills(exchange: &Exchange, account: AccountId, args: &Value) -> Vec<Value> {
    let kind = text(args, "type").unwrap_or_default();
    let ledger = exchange.ledger();
    let mut rows: Vec<(Nanos, Value)> = Vec::new();
    if matches!(kind.as_str(), "" | "8") {
        rows.extend(ledger.funding().iter().rev().filter(|row| row.account == account).take(ROWS_MAX).map(|row| {
            let listing = exchange.listing(row.listing);
            let value = json!({
                "bal": "", "balChg": row.amount.to_string(), "billId": (row.at / MILLI).to_string(), "ccy": listing.settle,
                "instId": listing.symbol, "instType": "SWAP", "mgnMode": "cross", "pnl": row.amount.to_string(), "px": row.mark.to_string(),
                "subType": if row.amount.0 < 0 { "173" } else { "174" }, "sz": size(listing, row.qty), "ts": ms(row.at), "type": "8",
            });
            (row.at, value)
        }));
    }
    if matches!(kind.as_str(), "" | "2") {
        rows.extend(ledger.fills().iter().rev().filter(|row| row.account == account).take(ROWS_MAX).map(|row| {
            let listing = exchange.listing(row.listing);
            let value = json!({
                "bal": "", "balChg": (row.fill.realised - row.fill.fee).to_string(), "billId": row.fill.trade_id.to_string(),
                "ccy": listing.settle, "fee": (-row.fill.fee).to_string(), "instId": listing.symbol, "instType": "SWAP",
                "mgnMode": "cross", "ordId": row.order.0.to_string(), "pnl": row.fill.realised.to_string(),
                "px": price(listing, row.fill.price), "side": side_text(row.side), "subType": "", "sz": size(listing, row.fill.qty),
                "tradeId": row.fill.trade_id.to_string(), "ts": ms(row.at), "type": "2",
            });
            (row.at, value)
        }));
    }
    rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    rows.into_iter().take(limit(args)).map(|(_, value)| value).collect()
}
