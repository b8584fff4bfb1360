//! The REST interface: public market data, signed account and order requests, listen keys.

use super::BinanceServer;
use super::account::{account_json, balance_json, income, leverage_bracket, position_risk, user_trades};
use super::auth::{Params, check_key, check_rest};
use super::error::ApiError;
use super::flavour::{Flavour, pair_field};
use super::info::{book_ticker, exchange_info, funding_info, premium_index};
use super::order::{self, symbol, symbol_maybe};
use super::stream::{levels_text, rate_text};
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, EndReason, Exchange, Listing, ListingId, MoneyText, OrderKey, Side};
use crate::sim::{HttpReply, HttpRequest};

/// A request with what was found out about it.
struct Call<'a> {
    request: &'a HttpRequest,
    params: Params,
    body: String,
    now: Nanos,
}

impl BinanceServer {
    /// Answers a request at once (order latency applies to the WebSocket API).
    pub(super) fn answer(&mut self, request: &HttpRequest, now: Nanos) -> HttpReply {
        let Some(path) = self.flavour.rest_path(&request.path).map(std::borrow::Cow::into_owned) else {
            let error = no_path(&request.method, &request.path);
            return HttpReply { status: error.status, headers: Vec::new(), body: error.body().into_bytes() };
        };
        let request = &HttpRequest { path, ..request.clone() };
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let params = Params::of_query(&request.query, &body);
        let call = Call { request, params, body, now };
        let result = if self.limits.weight(weight(&call), now) {
            self.route(&call)
        } else {
            Err(ApiError::new(
                -1003,
                "Too many requests; current limit of IP is 2400 requests per minute. Please use the websocket for live updates to avoid polling the API.",
            ))
        };
        let mut headers =
            vec![("X-MBX-USED-WEIGHT-1M".to_string(), self.limits.weight_used(now).to_string())];
        if let Some((ten, minute)) = self.limits.orders_used(now).filter(|_| request.path.contains("/order"))
        {
            if self.flavour != Flavour::Aster {
                headers.push(("X-MBX-ORDER-COUNT-10S".into(), ten.to_string()));
            }
            headers.push(("X-MBX-ORDER-COUNT-1M".into(), minute.to_string()));
        }
        match result {
            Ok(body) => HttpReply { status: 200, headers, body: body.into_bytes() },
            Err(error) => {
                if error.status == 429 {
                    let wait = (self.limits.weight_ends(now) - now).div_euclid(1_000 * MILLI) + 1;
                    headers.push(("Retry-After".into(), wait.to_string()));
                }
                HttpReply { status: error.status, headers, body: error.body().into_bytes() }
            }
        }
    }

    fn route(&mut self, call: &Call<'_>) -> Result<String, ApiError> {
        let (method, path) = (call.request.method.as_str(), call.request.path.as_str());
        if let Some(result) = self.public(method, path, call) {
            return result;
        }
        if path == "/fapi/v1/listenKey" {
            let account = check_key(self.venue.exchange(), call.key())?;
            return self.listen_key(method, account, call.now);
        }
        let known = ACCOUNT_PATHS.iter().any(|(methods, known)| *known == path && methods.contains(&method));
        if !known {
            return Err(no_path(method, path));
        }
        if let Some(name) = self.flavour.unread(path, &call.params) {
            return Err(ApiError::new(-1104, format!("Not all sent parameters were read: '{name}'.")));
        }
        let exchange = self.venue.exchange();
        let account =
            check_rest(exchange, call.key(), &call.request.query, &call.body, &call.params, call.now)?;
        match (method, path) {
            ("POST" | "PUT" | "DELETE", _) => self.change(method, path, account, call),
            _ => self.account_query(path, account, call),
        }
    }

    fn public(&self, method: &str, path: &str, call: &Call<'_>) -> Option<Result<String, ApiError>> {
        if method != "GET" {
            return None;
        }
        let exchange = self.venue.exchange();
        let now = call.now;
        Some(match path {
            "/fapi/v1/ping" => Ok("{}".into()),
            "/fapi/v1/time" => Ok(format!("{{\"serverTime\":{}}}", now / MILLI)),
            "/fapi/v1/exchangeInfo" => Ok(exchange_info(exchange, now)),
            "/fapi/v1/depth" => self.depth(call),
            "/fapi/v1/premiumIndex" => per_symbol(exchange, call, |_, listing| premium_index(listing, now)),
            "/fapi/v1/ticker/24hr" => {
                per_symbol(exchange, call, |id, listing| self.market_data.day(id).json(listing, now))
            }
            "/fapi/v1/ticker/bookTicker" => {
                per_symbol(exchange, call, |id, listing| book_ticker(exchange, id, listing, now))
            }
            "/fapi/v1/ticker/price" | "/fapi/v2/ticker/price" => per_symbol(exchange, call, |id, listing| {
                let price = listing.price_text(self.market_data.day(id).last);
                format!(
                    "{{\"symbol\":\"{}\",\"price\":\"{price}\",\"time\":{}}}",
                    listing.symbol,
                    now / MILLI
                )
            }),
            "/fapi/v1/openInterest" => symbol(exchange, &call.params).map(|id| {
                let listing = exchange.listing(id);
                // Every contract has a long and a short side; the market account holds the other one.
                let interest = exchange.account(AccountId::MARKET).positions[id.index()].qty.abs();
                format!(
                    "{{\"symbol\":\"{}\",\"openInterest\":\"{}\",\"time\":{}}}",
                    listing.symbol,
                    listing.qty_text(interest),
                    now / MILLI
                )
            }),
            "/fapi/v1/fundingInfo" => Ok(funding_info(exchange)),
            "/fapi/v1/fundingRate" => Ok(self.funding_history(call)),
            _ => return None,
        })
    }

    fn depth(&self, call: &Call<'_>) -> Result<String, ApiError> {
        let exchange = self.venue.exchange();
        let id = symbol(exchange, &call.params)?;
        let limit = call.params.int("limit")?.unwrap_or(500);
        if ![5, 10, 20, 50, 100, 500, 1000].contains(&limit) {
            return Err(ApiError::new(-4021, format!("{limit} is not valid depth limit.")));
        }
        let (book, listing, now) = (exchange.book(id), exchange.listing(id), call.now / MILLI);
        Ok(format!(
            "{{\"lastUpdateId\":{},{}\"E\":{now},\"T\":{now},\"bids\":{},\"asks\":{}}}",
            exchange.last_update(id),
            if listing.is_inverse() {
                format!("\"symbol\":\"{}\",{}", listing.symbol, pair_field("pair", listing))
            } else {
                String::new()
            },
            levels_text(listing, &book.levels(Side::Buy, limit as usize)),
            levels_text(listing, &book.levels(Side::Sell, limit as usize)),
        ))
    }

    fn funding_history(&self, call: &Call<'_>) -> String {
        let wanted = call.params.get("symbol");
        let rows: Vec<String> = self
            .funding_paid
            .iter()
            .filter(|(symbol, ..)| wanted.is_none_or(|wanted| wanted == symbol))
            .map(|(symbol, rate, mark, at)| {
                format!(
                    "{{\"symbol\":\"{symbol}\",\"fundingTime\":{},\"fundingRate\":\"{}\",\"markPrice\":\"{}\"}}",
                    at / MILLI,
                    rate_text(*rate),
                    mark.fixed(8)
                )
            })
            .collect();
        format!("[{}]", rows.join(","))
    }

    fn listen_key(&mut self, method: &str, account: AccountId, now: Nanos) -> Result<String, ApiError> {
        match method {
            "POST" => Ok(format!("{{\"listenKey\":\"{}\"}}", self.users.start(account, now))),
            "PUT" => match self.users.extend(account, now) {
                Some(_) if self.flavour == Flavour::Aster => Ok("{}".into()),
                Some(key) => Ok(format!("{{\"listenKey\":\"{key}\"}}")),
                None => Err(ApiError::new(-1125, "This listenKey does not exist.")),
            },
            "DELETE" => {
                self.users.stop(account);
                Ok("{}".into())
            }
            _ => Err(ApiError {
                status: 404,
                code: -5000,
                msg: "Path /fapi/v1/listenKey, Method is invalid".into(),
            }),
        }
    }

    fn change(
        &mut self,
        method: &str,
        path: &str,
        account: AccountId,
        call: &Call<'_>,
    ) -> Result<String, ApiError> {
        let now = call.now;
        if path == "/fapi/v1/order" {
            self.limits.order(account, u32::from(method != "DELETE"), now)?;
        }
        let exchange = self.venue.exchange_mut();
        match (method, path) {
            ("POST", "/fapi/v1/order") => order::place(exchange, account, &call.params, now),
            ("PUT", "/fapi/v1/order") => order::modify(exchange, account, &call.params, now),
            ("DELETE", "/fapi/v1/order") => order::cancel(exchange, account, &call.params, now),
            ("DELETE", "/fapi/v1/allOpenOrders") => {
                let listing = symbol(exchange, &call.params)?;
                exchange.cancel_all(account, Some(listing), EndReason::Client, now);
                Ok("{\"code\":200,\"msg\":\"The operation of cancel all open order is done.\"}".into())
            }
            ("POST", "/fapi/v1/countdownCancelAll") => {
                let listing = symbol(exchange, &call.params)?;
                let time =
                    call.params.int("countdownTime")?.ok_or_else(|| ApiError::missing("countdownTime"))?;
                let name = exchange.listing(listing).symbol.clone();
                self.countdowns.remove(&(account, listing));
                if time > 0 {
                    self.countdowns.insert((account, listing), now + time * MILLI);
                }
                Ok(format!("{{\"symbol\":\"{name}\",\"countdownTime\":\"{time}\"}}"))
            }
            ("POST", "/fapi/v1/leverage") => {
                let listing = symbol(exchange, &call.params)?;
                let leverage = i64::from(exchange.settings().leverage);
                let wanted = call.params.int("leverage")?.ok_or_else(|| ApiError::missing("leverage"))?;
                if wanted != leverage {
                    return Err(ApiError::new(-4028, format!("Leverage {wanted} is not valid")));
                }
                let name = &exchange.listing(listing).symbol;
                Ok(format!(
                    "{{\"leverage\":{leverage},\"maxNotionalValue\":\"100000000\",\"symbol\":\"{name}\"}}"
                ))
            }
            ("POST", "/fapi/v1/positionSide/dual") if !call.params.flag("dualSidePosition") => {
                Err(ApiError::new(-4059, "No need to change position side."))
            }
            ("POST", "/fapi/v1/marginType") if call.params.get("marginType") == Some("CROSSED") => {
                Err(ApiError::new(-4046, "No need to change margin type."))
            }
            _ => Err(ApiError::new(-4067, "The simulated account is one-way and cross-margined only.")),
        }
    }

    fn account_query(&self, path: &str, account: AccountId, call: &Call<'_>) -> Result<String, ApiError> {
        let exchange = self.venue.exchange();
        let (params, now) = (&call.params, call.now);
        let settings = exchange.account_settings(account);
        let wanted = symbol_maybe(exchange, params)?;
        let list = |rows: Vec<String>| format!("[{}]", rows.join(","));
        let orders = |keep: &dyn Fn(&crate::sim::exchange::Order) -> bool| {
            let orders = exchange.open_orders(account, wanted).filter(|order| keep(order));
            list(orders.map(|order| order::json(exchange.listing(order.listing), order, true)).collect())
        };
        Ok(match path {
            "/fapi/v1/order" => order::status(exchange, account, params)?,
            "/fapi/v1/openOrder" => {
                let text = order::status(exchange, account, params)?;
                if !text.contains("\"status\":\"NEW\"") && !text.contains("\"status\":\"PARTIALLY_FILLED\"") {
                    return Err(ApiError::new(-2013, "Order does not exist."));
                }
                text
            }
            "/fapi/v1/openOrders" => orders(&|_| true),
            "/fapi/v1/allOrders" => self.all_orders(account, symbol(exchange, params)?),
            "/fapi/v1/account" | "/fapi/v2/account" | "/fapi/v3/account" => account_json(exchange, account, now),
            "/fapi/v1/balance" | "/fapi/v2/balance" | "/fapi/v3/balance" => balance_json(exchange, account),
            "/fapi/v1/positionRisk" | "/fapi/v2/positionRisk" => {
                let ids = (0..exchange.listings().len()).map(|index| ListingId(index as u16));
                list(ids.filter(|id| wanted.is_none_or(|w| w == *id)).map(|id| position_risk(exchange, account, id, false)).collect())
            }
            "/fapi/v3/positionRisk" => {
                let ids = (0..exchange.listings().len()).map(|index| ListingId(index as u16));
                let held = |id: &ListingId| {
                    exchange.account(account).positions[id.index()].qty != 0
                        || exchange.open_orders(account, Some(*id)).next().is_some()
                };
                list(ids.filter(|id| wanted.is_none_or(|w| w == *id)).filter(held).map(|id| position_risk(exchange, account, id, true)).collect())
            }
            "/fapi/v1/leverageBracket" => {
                let text = |(_, listing): (ListingId, &Listing)| leverage_bracket(exchange, listing);
                match wanted {
                    Some(id) => format!("[{}]", text((id, exchange.listing(id)))),
                    None => list(ids(exchange).map(text).collect()),
                }
            }
            "/fapi/v1/positionSide/dual" => format!("{{\"dualSidePosition\":{}}}", settings.long_short),
            "/fapi/v1/multiAssetsMargin" => format!("{{\"multiAssetsMargin\":{}}}", settings.multi_asset),
            "/fapi/v1/accountConfig" => format!(
                concat!(
                    "{{\"feeTier\":0,\"canTrade\":{},\"canDeposit\":true,\"canWithdraw\":false,\"dualSidePosition\":{},",
                    "\"updateTime\":0,\"multiAssetsMargin\":{},\"tradeGroupId\":-1}}"
                ),
                settings.may_trade, settings.long_short, settings.multi_asset
            ),
            "/fapi/v1/apiTradingStatus" => {
                let locks = exchange.trouble().locks(account, now);
                let rows: Vec<String> = locks
                    .filter(|(id, _)| wanted.is_none_or(|w| w == *id))
                    .map(|(id, until)| {
                        format!(
                            "\"{}\":[{{\"isLocked\":true,\"plannedRecoverTime\":{},\"indicator\":\"UFR\",\"value\":0.997,\"triggerValue\":0.995}}]",
                            exchange.listing(id).symbol,
                            (until + MILLI - 1) / MILLI
                        )
                    })
                    .collect();
                format!("{{\"indicators\":{{{}}},\"updateTime\":{}}}", rows.join(","), now / MILLI)
            }
            "/fapi/v1/symbolConfig" => list(
                ids(exchange)
                    .filter(|(id, _)| wanted.is_none_or(|w| w == *id))
                    .map(|(_, listing)| {
                        format!(
                            "{{\"symbol\":\"{}\",\"marginType\":\"{}\",\"isAutoAddMargin\":false,\"leverage\":{},\"maxNotionalValue\":\"100000000\"}}",
                            listing.symbol,
                            if settings.isolated { "ISOLATED" } else { "CROSSED" },
                            exchange.leverage_of(account)
                        )
                    })
                    .collect(),
            ),
            "/fapi/v1/commissionRate" => {
                let listing = exchange.listing(symbol(exchange, params)?);
                format!(
                    "{{\"symbol\":\"{}\",\"makerCommissionRate\":\"{}\",\"takerCommissionRate\":\"{}\",\"rpiCommissionRate\":\"0.00000000\"}}",
                    listing.symbol,
                    rate_text(exchange.settings().maker_fee_ppb),
                    rate_text(exchange.settings().taker_fee_ppb)
                )
            }
            "/fapi/v1/userTrades" => user_trades(exchange, account, symbol(exchange, params)?, params)?,
            "/fapi/v1/income" => income(exchange, account, params)?,
            _ => return Err(ApiError::new(-5000, "Path is invalid")),
        })
    }

    fn all_orders(&self, account: AccountId, listing: ListingId) -> String {
        let exchange = self.venue.exchange();
        let rows: Vec<String> = exchange
            .ledger()
            .orders()
            .iter()
            .filter(|row| {
                row.reject.is_none() && row.order.account == account && row.order.listing == listing
            })
            .map(|row| {
                // The exchange's own copy is newer than the ledger's for orders that just moved.
                let live = exchange.order(account, &OrderKey::Id(row.order.id)).unwrap_or(&row.order);
                order::json(exchange.listing(listing), live, true)
            })
            .collect();
        format!("[{}]", rows[rows.len().saturating_sub(500)..].join(","))
    }
}

/// A path that the market does not have.
fn no_path(method: &str, path: &str) -> ApiError {
    ApiError { status: 404, code: -5000, msg: format!("Path {path}, Method {method} is invalid") }
}

impl Call<'_> {
    fn key(&self) -> Option<&str> {
        self.request
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("x-mbx-apikey"))
            .map(|(_, value)| value.as_str())
    }
}

/// Signed paths and their methods.
const ACCOUNT_PATHS: [(&[&str], &str); 26] = [
    (&["GET", "POST", "PUT", "DELETE"], "/fapi/v1/order"),
    (&["GET"], "/fapi/v1/openOrder"),
    (&["GET"], "/fapi/v1/openOrders"),
    (&["GET"], "/fapi/v1/allOrders"),
    (&["DELETE"], "/fapi/v1/allOpenOrders"),
    (&["POST"], "/fapi/v1/countdownCancelAll"),
    (&["POST"], "/fapi/v1/leverage"),
    (&["POST"], "/fapi/v1/marginType"),
    (&["GET", "POST"], "/fapi/v1/positionSide/dual"),
    (&["GET"], "/fapi/v1/multiAssetsMargin"),
    (&["GET"], "/fapi/v1/accountConfig"),
    (&["GET"], "/fapi/v1/apiTradingStatus"),
    (&["GET"], "/fapi/v1/account"),
    (&["GET"], "/fapi/v2/account"),
    (&["GET"], "/fapi/v3/account"),
    (&["GET"], "/fapi/v1/balance"),
    (&["GET"], "/fapi/v2/balance"),
    (&["GET"], "/fapi/v3/balance"),
    (&["GET"], "/fapi/v1/positionRisk"),
    (&["GET"], "/fapi/v2/positionRisk"),
    (&["GET"], "/fapi/v3/positionRisk"),
    (&["GET"], "/fapi/v1/leverageBracket"),
    (&["GET"], "/fapi/v1/symbolConfig"),
    (&["GET"], "/fapi/v1/commissionRate"),
    (&["GET"], "/fapi/v1/userTrades"),
    (&["GET"], "/fapi/v1/income"),
];

/// Request weight, from the venue's documentation.
fn weight(call: &Call<'_>) -> u32 {
    let limit = call.params.get("limit").and_then(|limit| limit.parse::<u32>().ok()).unwrap_or(500);
    let all = call.params.get("symbol").is_none();
    match call.request.path.as_str() {
        "/fapi/v1/depth" => match limit {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        "/fapi/v1/openOrders" | "/fapi/v1/ticker/24hr" if all => 40,
        "/fapi/v1/ticker/bookTicker" => 2 + 3 * u32::from(all),
        "/fapi/v1/premiumIndex" | "/fapi/v1/apiTradingStatus" if all => 10,
        "/fapi/v1/order" if call.request.method != "GET" => u32::from(call.request.method == "DELETE"),
        "/fapi/v1/countdownCancelAll" => 10,
        "/fapi/v1/commissionRate" => 20,
        "/fapi/v1/income" | "/fapi/v1/positionSide/dual" | "/fapi/v1/multiAssetsMargin" => 30,
        "/fapi/v1/accountConfig" | "/fapi/v1/symbolConfig" => 5,
        path if path.ends_with("/account")
            || path.ends_with("/balance")
            || path.ends_with("/positionRisk") =>
        {
            5
        }
        "/fapi/v1/userTrades" | "/fapi/v1/allOrders" => 5,
        _ => 1,
    }
}

/// All listings with their ids.
pub(super) fn ids(exchange: &Exchange) -> impl Iterator<Item = (ListingId, &Listing)> {
    exchange.listings().iter().enumerate().map(|(index, listing)| (ListingId(index as u16), listing))
}

/// One object for a symbol, an array without one.
fn per_symbol(
    exchange: &Exchange,
    call: &Call<'_>,
    text: impl Fn(ListingId, &Listing) -> String,
) -> Result<String, ApiError> {
    Ok(match symbol_maybe(exchange, &call.params)? {
        Some(id) => text(id, exchange.listing(id)),
        None => format!(
            "[{}]",
            ids(exchange).map(|(id, listing)| text(id, listing)).collect::<Vec<_>>().join(",")
        ),
    })
}
