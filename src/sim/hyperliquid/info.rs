//! `/info`: questions that anyone may ask about anyone, by address.

use super::wire::{ms, price, with_point};
use super::{HyperliquidServer, feed, rows};
use crate::domain::number::Num;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, Exchange, Listing, ListingId, Order, OrderId, OrderKey};
use serde_json::{Map, Value, json};

/// What a request weighs against the budget of an IP address.
pub(super) fn weight(path: &str, body: &Value) -> u32 {
    let cheap = [
        "l2Book",
        "allMids",
        "clearinghouseState",
        "orderStatus",
        "spotClearinghouseState",
        "exchangeStatus",
    ];
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
        Some((_, listing)) => {
            let decimals = listing.stated_step().scale;
            let mut row = json!({
                "name": listing.symbol, "szDecimals": decimals, "maxLeverage": 40, "marginTableId": 56,
            });
            if !listing.is_listed() {
                row["isDelisted"] = true.into();
            }
            row
        }
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
            // What it knows is as old as the last block.
            "exchangeStatus" => json!({"time": ms(self.block_time(now)), "specialStatuses": null}),
            "userRateLimit" => {
                let address = user()?.and_then(|account| self.addresses.get(&account)).copied();
                address.unwrap_or_default().shown()
            }
            "userAbstraction" => {
                let unified = user()?.is_some_and(|account| exchange.account_settings(account).multi_asset);
                json!(if unified { "unifiedAccount" } else { "disabled" })
            }
            "userFees" => {
                user()?;
                let settings = exchange.settings();
                let rate = |ppb: i64| with_point(Num::new(ppb, 9).normalized().to_string());
                json!({
                    "userCrossRate": rate(settings.taker_fee_ppb), "userAddRate": rate(settings.maker_fee_ppb),
                    "activeReferralDiscount": "0.0", "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
                })
            }
            "userRole" => {
                let address = body["user"].as_str().ok_or_else(wrong)?.to_ascii_lowercase();
                let master = self.agents.iter().position(|agent| *agent == address);
                let master = master.map(|at| AccountId(at as u16 + 1)).filter(|id| self.may_sign(*id, now));
                match (user()?, master) {
                    (Some(_), _) => json!({"role": "user"}),
                    (None, Some(id)) => {
                        json!({"role": "agent", "data": {"user": exchange.keys(id).api_key}})
                    }
                    (None, None) => json!({"role": "missing"}),
                }
            }
            "extraAgents" => {
                let approved = user()?.filter(|account| self.may_sign(*account, now));
                let row = |account: AccountId| {
                    json!({
                        "name": "engine",
                        "address": self.agents[usize::from(account.0) - 1],
                        "validUntil": ms(self.started + exchange.account_settings(account).agent_valid_ns),
                    })
                };
                // A wallet of someone's phone is there as well.
                let phone = json!({"name": "phone", "address": "0x286edfa08c04f6899dab3bfdecf2dd133f9733b9", "validUntil": ms(now) + 1});
                user()?.map(|_| phone).into_iter().chain(approved.map(row)).collect()
            }
            "activeAssetData" => {
                let (account, id) = (user()?.ok_or_else(wrong)?, coin()?);
                let isolated = exchange.account_settings(account).isolated;
                let mut leverage = json!({
                    "type": if isolated { "isolated" } else { "cross" }, "value": exchange.leverage_of(account),
                });
                if isolated {
                    leverage["rawUsd"] = json!("0.0");
                }
                let free = rows::amount(exchange.available(account));
                json!({
                    "user": body["user"], "coin": body["coin"], "leverage": leverage,
                    "maxTradeSzs": ["0.0", "0.0"], "availableToTrade": [free, free],
                    "markPx": rows::context(exchange, id)["markPx"],
                })
            }
            _ => return Err(wrong()),
        })
    }
}
