//! JSON-RPC requests over WebSocket and HTTP: logins, subscriptions, lists, and order requests on their way to
//! the matching engine.

use super::feed::Channel;
use super::history::{self, is_history};
use super::limits::Payer;
use super::trade::{OrderRequest, by_label, is_matching, order_id};
use super::wire::{Fault, ms, reply, settles_in, text};
use super::{DeribitServer, Travel, auth, private};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{AccountId, ListingId, OrderKey, Side};
use crate::sim::{HttpReply, HttpRequest, Push, SimConn};
use serde_json::{Map, Value};

/// Seconds that a login lasts.
const LOGIN_SECONDS: i64 = 900;

impl DeribitServer {
    pub(super) fn on_request(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        let id = request.get("id").cloned();
        let answer = |outcome: Result<String, Fault>, out: &mut Vec<Push>| {
            out.push(Push::Text(conn, reply(id.as_ref(), &outcome, now, now).into_bytes()));
        };
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return answer(Err(Fault::new(-32_600, "request entity is invalid")), out);
        };
        let params = request.get("params").cloned().unwrap_or_default();
        let account = self.clients.get(&conn).and_then(|client| client.account);
        if method.starts_with("private/") && account.is_none() {
            return answer(Err(Fault::new(13_009, "unauthorized")), out);
        }
        if !self.limits.take(account.map_or(Payer::Conn(conn), Payer::Account), method, now) {
            // Beyond the limit the session ends.
            answer(Err(Fault::new(10_028, "too_many_requests")), out);
            out.push(Push::Close(conn));
            return self.forget(conn, now);
        }
        match (method, account) {
            (method, Some(account)) if is_matching(method) => {
                let latency = self.venue.exchange().settings().latency_in_ns;
                let method = method.to_owned();
                let request = OrderRequest { conn, account, method, params, id: id.clone(), arrived: now };
                self.under_way.push(now + latency, Travel::Request(Box::new(request)));
            }
            ("public/subscribe" | "private/subscribe", _) => {
                let (names, first) = self.subscribe(conn, &params, now);
                answer(Ok(Value::from(names).to_string()), out);
                out.extend(first.into_iter().map(|text| Push::Text(conn, text.into_bytes())));
            }
            ("public/unsubscribe" | "private/unsubscribe", _) => {
                let names = self.unsubscribe(conn, &params);
                answer(Ok(Value::from(names).to_string()), out);
            }
            _ => {
                let outcome = self.session_call(conn, method, &params, now);
                let outcome = outcome.unwrap_or_else(|| self.call(account, method, &params, now));
                answer(outcome, out);
            }
        }
    }

    /// Methods that concern the connection itself.
    fn session_call(
        &mut self,
        conn: SimConn,
        method: &str,
        params: &Value,
        now: Nanos,
    ) -> Option<Result<String, Fault>> {
        if method == "public/auth" {
            let login = auth::login(self.venue.exchange(), params, now);
            if let Ok(account) = login {
                self.clients.get_mut(&conn)?.account = Some(account);
            }
            return Some(login.map(|account| self.tokens(account)));
        }
        let client = self.clients.get_mut(&conn)?;
        Some(match method {
            "public/set_heartbeat" => {
                let seconds = text(params, "interval").and_then(|text| text.parse::<i64>().ok());
                match seconds.filter(|seconds| (10..=3_600).contains(seconds)) {
                    Some(seconds) => {
                        client.beat_every = seconds * SECOND;
                        client.beat_at = now + client.beat_every;
                        Ok(r#""ok""#.to_owned())
                    }
                    None => Err(Fault::parameter("interval")),
                }
            }
            "public/disable_heartbeat" => {
                client.beat_at = Nanos::MAX;
                Ok(r#""ok""#.to_owned())
            }
            "private/enable_cancel_on_disconnect" | "private/disable_cancel_on_disconnect" => {
                client.cancel_on_disconnect = method.contains("enable_") && !method.contains("disable_");
                Ok(r#""ok""#.to_owned())
            }
            _ => return None,
        })
    }

    fn tokens(&self, account: AccountId) -> String {
        let exchange = self.venue.exchange();
        let (access, refresh) =
            (auth::token(exchange, account, "access"), auth::token(exchange, account, "refresh"));
        let trade = if exchange.account_settings(account).may_trade { "read_write" } else { "read" };
        format!(
            r#"{{"token_type":"bearer","scope":"account:read connection mainaccount trade:{trade} wallet:none","refresh_token":"{refresh}","expires_in":{LOGIN_SECONDS},"access_token":"{access}"}}"#
        )
    }

    /// Subscribes what there is; the rest is silently left out. Also the first messages.
    fn subscribe(&mut self, conn: SimConn, params: &Value, now: Nanos) -> (Vec<String>, Vec<String>) {
        let (mut names, mut first) = (Vec::new(), Vec::new());
        for name in channels(params) {
            let Some(client) = self.clients.get_mut(&conn) else { break };
            if let Some((channel, id)) = Channel::parse(&name, self.venue.exchange()) {
                first.extend(self.feed.subscribe(self.venue.exchange(), channel, id, conn, now));
            } else if client.account.is_some() && is_private(&name) {
                client.channels.insert(name.clone());
            } else {
                continue;
            }
            names.push(name);
        }
        (names, first)
    }

    fn unsubscribe(&mut self, conn: SimConn, params: &Value) -> Vec<String> {
        let mut names = Vec::new();
        for name in channels(params) {
            if let Some((channel, id)) = Channel::parse(&name, self.venue.exchange()) {
                self.feed.unsubscribe(channel, id, conn);
            } else if let Some(client) = self.clients.get_mut(&conn) {
                client.channels.remove(&name);
            }
            names.push(name);
        }
        names
    }

    /// Methods that only read.
    fn call(
        &mut self,
        account: Option<AccountId>,
        method: &str,
        params: &Value,
        now: Nanos,
    ) -> Result<String, Fault> {
        let exchange = self.venue.exchange();
        let ids = (0..exchange.listings().len()).map(|index| ListingId(index as u16));
        let named = || {
            let name = text(params, "instrument_name").ok_or_else(|| Fault::parameter("instrument_name"))?;
            exchange.find(&name).ok_or_else(|| Fault::parameter("instrument_name"))
        };
        let list = |rows: Vec<String>| format!("[{}]", rows.join(","));
        match (method, account) {
            ("public/test", _) => Ok(r#"{"version":"1.2.26"}"#.to_owned()),
            ("public/get_time", _) => Ok(ms(now).to_string()),
            ("public/get_instruments", _) => {
                let kind = text(params, "kind");
                let future = kind.is_none_or(|kind| matches!(kind.as_str(), "future" | "any"));
                let shown = ids.filter(|id| {
                    let listing = exchange.listing(*id);
                    future && listing.is_listed() && settles_in(listing, params)
                });
                Ok(list(shown.map(|id| private::instrument(exchange, id, now)).collect()))
            }
            ("public/get_currencies", _) => Ok(list(private::currencies(exchange))),
            ("public/ticker", _) => named().map(|id| self.feed.ticker(exchange, id, now)),
            ("public/get_order_book", _) => named().and_then(|id| {
                let depth = depth(params)?;
                let side = |side| {
                    let levels = exchange.book(id).levels(side, depth);
                    let listing = exchange.listing(id);
                    list(
                        levels
                            .iter()
                            .map(|level| {
                                let (price, qty) = (
                                    super::wire::price(listing, level.price),
                                    super::wire::size(listing, level.qty),
                                );
                                format!("[{price},{qty}]")
                            })
                            .collect(),
                    )
                };
                Ok(format!(
                    r#"{{"timestamp":{},"instrument_name":"{}","change_id":{},"bids":{},"asks":{},"state":"open"}}"#,
                    ms(now),
                    exchange.listing(id).symbol,
                    exchange.last_update(id),
                    side(Side::Buy),
                    side(Side::Sell),
                ))
            }),
            ("private/get_open_orders" | "private/get_open_orders_by_currency", Some(account)) => {
                let open = exchange.open_orders(account, None);
                let open = open.filter(|order| settles_in(exchange.listing(order.listing), params));
                Ok(list(open.map(|order| private::order(exchange, order)).collect()))
            }
            ("private/get_open_orders_by_instrument", Some(account)) => {
                let id = named()?;
                Ok(list(exchange.open_orders(account, Some(id)).map(|o| private::order(exchange, o)).collect()))
            }
            ("private/get_positions", Some(account)) => {
                let positions = &exchange.account(account).positions;
                let held = ids.filter(|id| positions[id.index()].qty != 0);
                let held = held.filter(|id| settles_in(exchange.listing(*id), params));
                Ok(list(
                    held.map(|id| private::position(exchange, account, id, &positions[id.index()])).collect(),
                ))
            }
            ("private/get_position", Some(account)) => {
                let id = named()?;
                let position = &exchange.account(account).positions[id.index()];
                Ok(private::position(exchange, account, id, position))
            }
            ("private/get_account_summaries", Some(account)) if extended(params) => Ok(format!(
                r#"{{{},"summaries":[{}]}}"#,
                private::about(exchange, account),
                private::summary(exchange, account, &self.limits.stated()),
            )),
            ("private/get_account_summaries", Some(account)) => {
                Ok(format!(r#"{{"summaries":[{}]}}"#, private::portfolio(exchange, account)))
            }
            ("private/get_account_summary", Some(account)) if extended(params) => {
                let about = private::about(exchange, account);
                let row = private::summary(exchange, account, &self.limits.stated());
                Ok(format!("{{{about},{}", row.strip_prefix('{').unwrap_or(&row)))
            }
            ("private/get_account_summary", Some(account)) => Ok(private::portfolio(exchange, account)),
            ("private/get_order_state", Some(account)) => {
                let order = exchange.order(account, &OrderKey::Id(order_id(params)?));
                let order = order.ok_or_else(|| Fault::new(10_004, "order_not_found"))?;
                Ok(private::order(exchange, order))
            }
            ("private/get_order_state_by_label", Some(account)) => {
                let label = text(params, "label").ok_or_else(|| Fault::parameter("label"))?;
                Ok(by_label(exchange, account, &label))
            }
            (_, Some(account)) if is_history(method) => history::trades(exchange, account, method, params),
            _ => Err(Fault::new(-32_601, "Method not found")),
        }
    }

    /// `GET /api/v2/<method>?…`, or a JSON-RPC body at `POST /api/v2` or `/api/v2/<method>`.
    pub(super) fn rest(&mut self, request: &HttpRequest, now: Nanos) -> HttpReply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let method = request.path.strip_prefix("/api/v2").unwrap_or_default().trim_start_matches('/');
        let method = body.get("method").and_then(Value::as_str).unwrap_or(method).to_owned();
        let params = match body.get("params") {
            Some(params) => params.clone(),
            None => query(&request.query),
        };
        let outcome = self.rest_call(&method, &params, request, now);
        let status = if outcome.is_ok() { 200 } else { 400 };
        let body = reply(body.get("id"), &outcome, now, now).into_bytes();
        HttpReply { status, headers: Vec::new(), body }
    }

    fn rest_call(
        &mut self,
        method: &str,
        params: &Value,
        request: &HttpRequest,
        now: Nanos,
    ) -> Result<String, Fault> {
        let too_many = || Fault::new(10_028, "too_many_requests");
        if !method.starts_with("private/") && !self.limits.take(Payer::Http, method, now) {
            return Err(too_many());
        }
        if method == "public/auth" {
            return auth::login(self.venue.exchange(), params, now).map(|account| self.tokens(account));
        }
        if !method.starts_with("private/") {
            return self.call(None, method, params, now);
        }
        let account = auth::http(self.venue.exchange(), request, now)?;
        if !self.limits.take(Payer::Account(account), method, now) {
            return Err(too_many());
        }
        if !is_matching(method) {
            return self.call(Some(account), method, params, now);
        }
        self.execute(account, method, params, None, now)
    }
}

fn extended(params: &Value) -> bool {
    text(params, "extended").as_deref() == Some("true")
}

/// Levels per side that a book is asked for.
fn depth(params: &Value) -> Result<usize, Fault> {
    let Some(asked) = text(params, "depth") else { return Ok(20) };
    let depth = asked.parse().ok().filter(|depth| (1..=10_000).contains(depth));
    depth.ok_or_else(|| Fault::parameter("depth"))
}

fn channels(params: &Value) -> Vec<String> {
    let list = params.get("channels").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Channels that this venue serves to an account: every event at once.
fn is_private(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    matches!(
        parts[..],
        ["user", "orders" | "trades" | "changes", "future" | "any", "any", "raw"]
            | ["user", "portfolio", "any"]
    )
}

/// A query string as parameters.
fn query(text: &str) -> Value {
    let mut params = Map::new();
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        params.insert(name.to_owned(), Value::from(value.replace("%20", " ").replace("%2F", "/")));
    }
    Value::Object(params)
}
