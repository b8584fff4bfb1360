//! Bybit's REST service: routes, authentication, pages, and the replies.
//!
//! A request is answered at once: the simulated latency of order requests applies to the WebSocket only, as an
//! HTTP reply cannot be delayed by a venue that does not own the socket.

use super::settings::{self, PATHS};
use super::trade::{Action, key_of, listing_of, text};
use super::wire::{Fault, failure, ms, reply, success};
use super::{BybitServer, auth, feed, private};
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::exchange::{AccountId, Exchange, Listing, ListingId, Order, Side};
use crate::sim::{HttpReply, HttpRequest};
use serde_json::{Map, Value, json};

impl BybitServer {
    /// Answers a request at `now`, to which the venue has been advanced.
    pub(super) fn rest(&mut self, request: &HttpRequest, now: Nanos) -> HttpReply {
        let Some(path) = request.path.strip_prefix("/v5/") else { return not_found() };
        let args = match request.method.as_str() {
            "POST" => match serde_json::from_slice(&request.body) {
                Ok(body) => body,
                Err(_) => return failure(&Fault::parameter("body"), now),
            },
            _ => query(&request.query),
        };
        let answer = match (request.method.as_str(), path) {
            ("GET", "market/time") => {
                Ok(json!({"timeSecond": (now / SECOND).to_string(), "timeNano": now.to_string()}))
            }
            ("GET", "market/instruments-info") => self.instruments(&args, now),
            ("GET", "market/orderbook") => self.book(&args, now),
            ("GET", "market/tickers") => self.tickers(&args),
            _ => return self.private(request, path, &args, now),
        };
        match answer {
            Ok(result) => success(&result, now),
            Err(fault) => failure(&fault, now),
        }
    }

    /// What needs a key: counted against the budget of its path, which the reply's headers tell.
    fn private(&mut self, request: &HttpRequest, path: &str, args: &Value, now: Nanos) -> HttpReply {
        let known = PATHS.iter().find(|(method, name, _)| *name == path && *method == request.method);
        let Some((_, path, _)) = known.copied() else { return not_found() };
        let account = match auth::rest(self.venue.exchange(), request, now) {
            Ok(account) => account,
            Err(fault) => return failure(&fault, now),
        };
        let answer = self.spend(account, path, now).and_then(|_| self.answer(account, path, args, now));
        let mut reply = match answer {
            Ok(result) => success(&result, now),
            Err(fault) => failure(&fault, now),
        };
        let spent = self.spent(account, path, now).headers();
        reply.headers.extend(spent.into_iter().map(|(name, value)| (name.to_owned(), value)));
        reply.headers.push(("Timenow".to_owned(), ms(now).to_string()));
        reply
    }

    fn answer(&mut self, account: AccountId, path: &str, args: &Value, now: Nanos) -> Result<Value, Fault> {
        let exchange = self.venue.exchange();
        match path {
            "account/wallet-balance" if exchange.account_settings(account).level < 2 => {
                Err(Fault::new(10001, "accountType only support CONTRACT."))
            }
            "account/wallet-balance" => Ok(json!({"list": [private::wallet(exchange, account)]})),
            "account/info" => Ok(settings::info(exchange, account)),
            "account/fee-rate" => selected(exchange, args).map(|ids| settings::fees(exchange, &ids)),
            "account/query-dcp-info" => Ok(self.protection(account)),
            "user/query-api" => Ok(settings::key(exchange, account)),
            "position/list" => selected(exchange, args).map(|ids| {
                let held = |id: &&ListingId| {
                    text(args, "symbol").is_some() || exchange.account(account).positions[id.index()].qty != 0
                };
                let rows = ids.iter().filter(held);
                page(args, 200, rows.flat_map(|id| private::positions(exchange, account, *id)).collect())
            }),
            "order/realtime" => orders(exchange, account, args, true),
            "order/history" => orders(exchange, account, args, false),
            "execution/list" => executions(exchange, account, args),
            "order/create" => self.execute(account, Action::Create, args, now),
            "order/cancel" => self.execute(account, Action::Cancel, args, now),
            "order/amend" => self.execute(account, Action::Amend, args, now),
            "order/cancel-all" => {
                let ids = selected(exchange, args).and_then(|ids| scoped(args).map(|()| ids))?;
                Ok(self.cancel_listed(account, &ids, now))
            }
            "order/disconnected-cancel-all" => self.protect(account, args),
            _ => Err(Fault::parameter("path")),
        }
    }

    fn instruments(&self, args: &Value, now: Nanos) -> Result<Value, Fault> {
        let exchange = self.venue.exchange();
        let ids = selected(exchange, args)?;
        let listed = ids.iter().map(|id| exchange.listing(*id)).filter(|listing| listing.is_listed());
        Ok(page(args, 1_000, listed.map(|listing| instrument(exchange, listing, now)).collect()))
    }

    fn book(&self, args: &Value, now: Nanos) -> Result<Value, Fault> {
        let exchange = self.venue.exchange();
        let id = listing_of(exchange, args)?;
        let depth = text(args, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(25).clamp(1, 500);
        let listing = exchange.listing(id);
        let side = |side: Side| -> Value {
            let levels = exchange.book(id).levels(side, depth);
            serde_json::from_str(&feed::levels(listing, &levels)).unwrap_or_default()
        };
        Ok(json!({
            "s": listing.symbol, "b": side(Side::Buy), "a": side(Side::Sell), "ts": ms(now),
            "u": exchange.last_update(id), "seq": exchange.last_update(id), "cts": ms(now),
        }))
    }

    fn tickers(&self, args: &Value) -> Result<Value, Fault> {
        let exchange = self.venue.exchange();
        let rows = selected(exchange, args)?.into_iter().map(|id| {
            let mut row = Map::new();
            row.insert("symbol".to_owned(), exchange.listing(id).symbol.as_str().into());
            let fields = self.feed.ticker(exchange, id);
            row.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))));
            Value::Object(row)
        });
        Ok(json!({"category": "linear", "list": rows.collect::<Vec<_>>()}))
    }
}

/// An instrument as `instruments-info` shows it.
fn instrument(exchange: &Exchange, listing: &Listing, now: Nanos) -> Value {
    let plain = |num: crate::domain::number::Num| num.to_string();
    let most = listing.qty_text(listing.qty_max);
    let status = if listing.is_trading(now) { "Trading" } else { "Delivering" };
    let tick = plain(listing.stated_tick());
    json!({
        "symbol": listing.symbol, "contractType": "LinearPerpetual", "status": status,
        "baseCoin": listing.base, "quoteCoin": listing.quote, "settleCoin": listing.settle,
        "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "",
        "priceScale": listing.tick.scale.to_string(),
        "leverageFilter": {
            "minLeverage": "1", "maxLeverage": exchange.settings().leverage.to_string(), "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.8", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": most, "minOrderQty": listing.qty_text(listing.stated_min()),
            "qtyStep": plain(listing.stated_step()), "postOnlyMaxOrderQty": most, "maxMktOrderQty": most,
            "minNotionalValue": listing.notional_min.to_string(),
        },
        "unifiedMarginTrade": true,
        "fundingInterval": listing.funding_interval_ns / (60 * SECOND),
        "copyTrading": "both", "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375",
        "isPreListing": false, "preListingInfo": null,
    })
}

/// Instruments by `category`, and `symbol`, `settleCoin` or `baseCoin` where given.
fn selected(exchange: &Exchange, args: &Value) -> Result<Vec<ListingId>, Fault> {
    match text(args, "category").as_deref() {
        Some("linear") => {}
        // Nothing else is listed here.
        Some("spot" | "inverse" | "option") => return Ok(Vec::new()),
        _ => return Err(Fault::new(10001, "Illegal category")),
    }
    let given = |name: &str| text(args, name).filter(|value| !value.is_empty());
    let (symbol, settle, base) = (given("symbol"), given("settleCoin"), given("baseCoin"));
    if let Some(symbol) = &symbol
        && exchange.find(symbol).is_none()
    {
        return Err(Fault::parameter("symbol"));
    }
    let fits = |listing: &Listing| {
        symbol.as_ref().is_none_or(|symbol| *symbol == listing.symbol)
            && settle.as_ref().is_none_or(|coin| *coin == listing.settle)
            && base.as_ref().is_none_or(|coin| *coin == listing.base)
    };
    let all = exchange.listings().iter().enumerate();
    Ok(all.filter(|(_, listing)| fits(listing)).map(|(at, _)| ListingId(at as u16)).collect())
}

/// Of linear contracts, not all at once can be meant.
fn scoped(args: &Value) -> Result<(), Fault> {
    let given = ["symbol", "settleCoin", "baseCoin"].iter().any(|name| text(args, name).is_some());
    given.then_some(()).ok_or_else(|| {
        Fault::new(10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin")
    })
}

fn not_found() -> HttpReply {
    reply(404, &json!({"retCode": 404, "retMsg": "Not Found"}))
}

/// A page of rows: the cursor is percent-encoded, as the venue's is.
fn page(args: &Value, most: usize, rows: Vec<Value>) -> Value {
    let limit = text(args, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(most).clamp(1, most);
    let from = text(args, "cursor")
        .and_then(|cursor| cursor.strip_prefix("page:")?.parse::<usize>().ok())
        .unwrap_or(0);
    let next = from + limit;
    let cursor = if next < rows.len() { format!("page%3A{next}") } else { String::new() };
    let rows: Vec<Value> = rows.into_iter().skip(from).take(limit).collect();
    json!({"category": "linear", "list": rows, "nextPageCursor": cursor})
}

/// Open orders, newest first; a request that names an order finds closed ones as well.
fn orders(exchange: &Exchange, account: AccountId, args: &Value, open: bool) -> Result<Value, Fault> {
    let ids = selected(exchange, args)?;
    let named = key_of(args).ok();
    if open && named.is_none() {
        scoped(args)?;
    }
    let mut rows: Vec<&Order> = match named {
        Some(key) => exchange.order(account, &key).into_iter().collect(),
        None if open => exchange.open_orders(account, None).collect(),
        None => {
            let all = exchange.ledger().orders().iter().map(|row| &row.order);
            all.filter(|order| order.account == account && !order.status.is_open()).collect()
        }
    };
    rows.reverse();
    let rows = rows.into_iter().filter(|order| ids.contains(&order.listing));
    Ok(page(args, 50, rows.map(|order| private::order(exchange, order)).collect()))
}

/// Executions, newest first.
fn executions(exchange: &Exchange, account: AccountId, args: &Value) -> Result<Value, Fault> {
    let ids = selected(exchange, args)?;
    let named = key_of(args).ok();
    let order = named.as_ref().map(|key| exchange.order(account, key).map(|order| order.id));
    let bound = |name: &str| text(args, name).and_then(|ms| ms.parse::<i64>().ok());
    let (from, to) = (bound("startTime"), bound("endTime"));
    let rows = exchange.ledger().fills().iter().rev().filter(|row| {
        row.account == account
            && ids.contains(&row.listing)
            && from.is_none_or(|ms| row.at / MILLI >= ms)
            && to.is_none_or(|ms| row.at / MILLI <= ms)
            && order.is_none_or(|order| order == Some(row.order))
    });
    Ok(page(args, 100, rows.map(|row| private::execution(exchange, row)).collect()))
}

/// A query string as an object of strings.
fn query(query: &str) -> Value {
    let decode = |text: &str| -> String {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let mut after = rest.clone();
            let mut hex = || char::from(after.next()?).to_digit(16);
            match (byte, hex().zip(hex())) {
                (b'%', Some((high, low))) => {
                    bytes.push((high * 16 + low) as u8);
                    rest = after;
                }
                (b'+', _) => bytes.push(b' '),
                _ => bytes.push(byte),
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
