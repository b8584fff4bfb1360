//! `/info`: questions that anyone may ask about anyone, by address.

use super::wire::{ms, price};
use super::{HyperliquidServer, feed, rows};
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, Exchange, Listing, ListingId, Order, OrderId, OrderKey};
use serde_json::{Map, Value, json};

/// What a request weighs against the budget of an IP address.
pub(super) fn weight(path: &str, body: &Value) -> u32 {
    let cheap = ["l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState"];
    match body["type"].as_str() {
        _ if path == "/exchange" => 1,
        Some(kind) if cheap.contains(&kind) => 2,
        Some("userRole") => 60,
        _ => 20,
    }
}

/// The listing at a place of the universe; places between ours belong to assets that are gone.
fn universe(exchange: &Exchange) -> Vec<Option<(ListingId, &Listing)>> {
    let last = exchange.listings().iter().map(|listing| listing.code).max().unwrap_or(0);
    let at = |code: u64| exchange.find_code(code).map(|id| (id, exchange.listing(id)));
    (0..=last).map(at).collect()
}

fn meta(exchange: &Exchange) -> Value {
    let row = |(index, entry): (usize, &Option<(ListingId, &Listing)>)| match entry {
        Some((_, listing)) => json!({
            "name": listing.symbol, "szDecimals": listing.step.scale, "maxLeverage": 40, "marginTableId": 56,
        }),
        None => json!({
            "name": format!("GONE{index}"), "szDecimals": 1, "maxLeverage": 3, "marginTableId": 3,
            "isDelisted": true,
        }),
    };
    let rows: Vec<Value> = universe(exchange).iter().enumerate().map(row).collect();
    json!({"universe": rows, "marginTables": [[56, {"description": "", "marginTiers": []}]], "collateralToken": 0})
}

fn contexts(exchange: &Exchange) -> Value {
    let row = |entry: &Option<(ListingId, &Listing)>| match entry {
        Some((id, _)) => rows::context(exchange, *id),
        None => json!({
            "funding": "0.0", "openInterest": "0.0", "prevDayPx": "1.0", "dayNtlVlm": "0.0", "premium": null,
            "oraclePx": "1.0", "markPx": "1.0", "midPx": null, "impactPxs": null, "dayBaseVlm": "0.0",
        }),
    };
    universe(exchange).iter().map(row).collect()
}

impl HyperliquidServer {
    /// Answers a question; the error is the text of a 422.
    pub(super) fn info(&self, body: &Value, now: Nanos) -> Result<Value, String> {
        let exchange = self.venue.exchange();
        let wrong = || "Failed to deserialize the JSON body into the target type".to_owned();
        let coin = || body["coin"].as_str().and_then(|coin| exchange.find(coin)).ok_or_else(wrong);
        let user = || {
            let address = body["user"].as_str().ok_or_else(wrong)?;
            Ok::<Option<AccountId>, String>(exchange.authenticate(&address.to_ascii_lowercase()))
        };
        let orders = |show: &dyn Fn(&Order) -> Value| {
            let account = user()?;
            let open = account.into_iter().flat_map(|account| exchange.open_orders(account, None));
            Ok::<Value, String>(open.map(show).collect())
        };
        Ok(match body["type"].as_str().ok_or_else(wrong)? {
            "meta" => meta(exchange),
            "metaAndAssetCtxs" => json!([meta(exchange), contexts(exchange)]),
            "perpDexs" => json!([null]),
            "spotMeta" => json!({"universe": [], "tokens": []}),
            "spotMetaAndAssetCtxs" => json!([{"universe": [], "tokens": []}, []]),
            "allMids" => {
                let mut mids = Map::new();
                for (index, listing) in exchange.listings().iter().enumerate() {
                    let context = rows::context(exchange, ListingId(index as u16));
                    mids.insert(listing.symbol.clone(), context["midPx"].clone());
                }
                Value::Object(mids)
            }
            "l2Book" => serde_json::from_str(&feed::book(exchange, coin()?, now)).map_err(|_| wrong())?,
            "clearinghouseState" => match user()? {
                Some(account) => rows::state(exchange, account, now),
                None => json!({
                    "marginSummary": {"accountValue": "0.0", "totalNtlPos": "0.0", "totalRawUsd": "0.0", "totalMarginUsed": "0.0"},
                    "withdrawable": "0.0", "assetPositions": [], "time": ms(now),
                }),
            },
            "spotClearinghouseState" => json!({"balances": []}),
            "openOrders" => orders(&|order| {
                let listing = exchange.listing(order.listing);
                json!({
                    "coin": listing.symbol, "limitPx": price(listing, order.price), "oid": order.id.0,
                    "side": rows::side_text(order.side), "sz": super::wire::size(listing, order.leaves()),
                    "timestamp": ms(order.created),
                })
            })?,
            "frontendOpenOrders" => orders(&|order| rows::full_order(exchange, order))?,
            "historicalOrders" => {
                let account = user()?;
                let mine = exchange.ledger().orders().iter().rev();
                mine.filter(|row| Some(row.order.account) == account && row.reject.is_none())
                    .take(2_000)
                    .map(|row| rows::with_status(rows::full_order(exchange, &row.order), &row.order))
                    .collect()
            }
            "orderStatus" => {
                let key = match &body["oid"] {
                    Value::String(cloid) => OrderKey::Client(cloid.clone()),
                    number => OrderKey::Id(OrderId(number.as_u64().ok_or_else(wrong)?)),
                };
                match user()?.and_then(|account| exchange.order(account, &key)) {
                    Some(order) => {
                        let shown = rows::with_status(rows::full_order(exchange, order), order);
                        json!({"status": "order", "order": shown})
                    }
                    None => json!({"status": "unknownOid"}),
                }
            }
            kind @ ("userFills" | "userFillsByTime") => {
                let from = body["startTime"].as_i64().unwrap_or(0).saturating_mul(MILLI);
                let mut fills =
                    user()?.map(|account| rows::fills(exchange, account, from)).unwrap_or_default();
                if kind == "userFills" {
                    fills.reverse(); // newest first
                }
                fills.truncate(2_000);
                Value::from(fills)
            }
            "userFunding" => {
                let account = user()?;
                let paid = account.map(|account| self.fundings(account)).unwrap_or_default();
                paid.into_iter()
                    .map(|mut row| {
                        let time = row["time"].take();
                        row["type"] = json!("funding");
                        json!({"delta": row, "hash": "0x0", "time": time})
                    })
                    .collect()
            }
            "userRateLimit" => json!({"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10_000}),
            "userAbstraction" => json!("disabled"),
            "userFees" => json!({"userCrossRate": "0.00045", "userAddRate": "0.00015"}),
            _ => return Err(wrong()),
        })
    }
}
