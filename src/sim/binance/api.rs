//! The WebSocket API: requests with an id, answered with `status` and `result` or `error`.

use super::BinanceServer;
use super::account::{account_json, balance_json, position_risk};
use super::auth::{Params, check_key, check_ws};
use super::error::ApiError;
use super::order::{self, quoted, symbol};
use super::stream::levels_text;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::SimConn;
use crate::sim::exchange::{ListingId, Side};
use serde_json::Value;

/// A request on its way to the matching engine.
#[derive(Clone, Debug)]
pub(super) struct ApiRequest {
    pub conn: SimConn,
    pub received: Nanos,
    pub body: Value,
}

/// A text that is no request.
pub(super) const INVALID: &str =
    "{\"id\":null,\"status\":400,\"error\":{\"code\":-1000,\"msg\":\"Invalid JSON request.\"}}";

impl BinanceServer {
    /// Executes a request at `now`; returns the reply.
    pub(super) fn execute(&mut self, request: &ApiRequest, now: Nanos) -> String {
        let id = match &request.body["id"] {
            id @ (Value::String(_) | Value::Number(_) | Value::Null) => id.clone(),
            _ => Value::Null,
        };
        let method = request.body["method"].as_str().unwrap_or_default().to_owned();
        let params = Params::of_json(&request.body["params"]);
        let is_order = matches!(method.as_str(), "order.place" | "order.modify");
        let weight = u32::from(!is_order) * if method.contains("account") { 5 } else { 1 };
        let result = if self.limits.weight(weight, now) {
            self.call(&method, &params, (request.conn, request.received), now)
        } else {
            Err(ApiError::new(-1003, "Too many requests; current limit of IP is 2400 requests per minute."))
        };
        let limits = self.limits.json(is_order, now);
        match result {
            Ok(result) => {
                format!("{{\"id\":{id},\"status\":200,\"result\":{result},\"rateLimits\":{limits}}}")
            }
            Err(error) => format!(
                "{{\"id\":{id},\"status\":{},\"error\":{{\"code\":{},\"msg\":{}}},\"rateLimits\":{limits}}}",
                error.status,
                error.code,
                quoted(&error.msg)
            ),
        }
    }

    fn call(
        &mut self,
        method: &str,
        params: &Params,
        (conn, received): (SimConn, Nanos),
        now: Nanos,
    ) -> Result<String, ApiError> {
        let exchange = self.venue.exchange();
        match method {
            "ping" => return Ok("{}".into()),
            "time" => return Ok(format!("{{\"serverTime\":{}}}", now / MILLI)),
            "depth" => {
                let id = symbol(exchange, params)?;
                let limit = params.int("limit")?.unwrap_or(500).clamp(5, 1_000) as usize;
                let (book, listing) = (exchange.book(id), exchange.listing(id));
                return Ok(format!(
                    "{{\"lastUpdateId\":{},\"E\":{},\"T\":{},\"bids\":{},\"asks\":{}}}",
                    exchange.last_update(id),
                    now / MILLI,
                    now / MILLI,
                    levels_text(listing, &book.levels(Side::Buy, limit)),
                    levels_text(listing, &book.levels(Side::Sell, limit))
                ));
            }
            "session.status" => {
                return Ok(format!(
                    "{{\"apiKey\":null,\"authorizedSince\":null,\"connectedSince\":null,\"returnRateLimits\":true,\"serverTime\":{}}}",
                    now / MILLI
                ));
            }
            // Sessions are for Ed25519 keys.
            "session.logon" => {
                let account = check_key(exchange, params.get("apiKey"))?;
                if exchange.keys(account).ed25519_public.is_empty() {
                    return Err(ApiError::new(-4056, "HMAC_SHA256 API key is not supported."));
                }
                check_ws(exchange, params, None, received)?;
                self.sessions.insert(conn, account);
                return Ok(format!(
                    "{{\"apiKey\":{},\"authorizedSince\":{time},\"connectedSince\":{time},\"returnRateLimits\":true,\"serverTime\":{time}}}",
                    quoted(params.get("apiKey").unwrap_or_default()),
                    time = now / MILLI
                ));
            }
            "session.logout" => {
                self.sessions.remove(&conn);
                return Ok("{\"apiKey\":null,\"authorizedSince\":null}".into());
            }
            "userDataStream.start" => {
                let account = check_key(exchange, params.get("apiKey"))?;
                return Ok(format!("{{\"listenKey\":\"{}\"}}", self.users.start(account, now)));
            }
            "userDataStream.ping" => {
                let account = check_key(exchange, params.get("apiKey"))?;
                let key = self.users.extend(account, now);
                let key = key.ok_or_else(|| ApiError::new(-1125, "This listenKey does not exist."))?;
                return Ok(format!("{{\"listenKey\":\"{key}\"}}"));
            }
            "userDataStream.stop" => {
                let account = check_key(exchange, params.get("apiKey"))?;
                self.users.stop(account);
                return Ok("{}".into());
            }
            _ => {}
        }
        const SIGNED: [&str; 10] = [
            "order.place",
            "order.cancel",
            "order.modify",
            "order.status",
            "account.balance",
            "v2/account.balance",
            "account.position",
            "v2/account.position",
            "account.status",
            "v2/account.status",
        ];
        if !SIGNED.contains(&method) {
            return Err(ApiError::new(-1000, format!("Unknown method '{method}'.")));
        }
        // The clock that counts is that of arrival, before the way to the matching engine.
        let account = check_ws(exchange, params, self.sessions.get(&conn).copied(), received)?;
        if method.starts_with("order.") {
            let counts = matches!(method, "order.place" | "order.modify");
            self.limits.order(account, u32::from(counts), now)?;
        }
        let exchange = self.venue.exchange_mut();
        match method {
            "order.place" => order::place(exchange, account, params, now),
            "order.cancel" => order::cancel(exchange, account, params, now),
            "order.modify" => order::modify(exchange, account, params, now),
            "order.status" => order::status(exchange, account, params),
            "account.balance" | "v2/account.balance" => Ok(balance_json(exchange, account)),
            "account.status" | "v2/account.status" => Ok(account_json(exchange, account, now)),
            _ => {
                let rows: Vec<String> = (0..exchange.listings().len())
                    .map(|index| ListingId(index as u16))
                    .filter(|id| {
                        params.get("symbol").is_none_or(|symbol| exchange.listing(*id).symbol == symbol)
                    })
                    .map(|id| position_risk(exchange, account, id, method.starts_with("v2")))
                    .collect();
                Ok(format!("[{}]", rows.join(",")))
            }
        }
    }
}
