//! WebSocket requests: login, subscriptions, and order operations on their way to the matching engine.

use super::session::{Channel, Client, Endpoint, Subscription};
use super::trade::{self, Ack, Action, BATCH_MAX, Naming, listing_of, summary};
use super::wire::{Fault, quoted, us};
use super::{OkxServer, Travel, auth, instruments, rest};
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, ListingId};
use crate::sim::{Push, SimConn};
use serde_json::{Value, json};

/// An order operation that was accepted at the door.
pub(super) struct OrderRequest {
    conn: SimConn,
    account: AccountId,
    action: Action,
    op: String,
    /// The client's `id` as JSON, or nothing.
    id: Option<Value>,
    args: Vec<Value>,
    arrived: Nanos,
    /// The client's deadline, ns.
    expires: Nanos,
}

impl OkxServer {
    pub(super) fn run_request(&mut self, request: OrderRequest, at: Nanos) {
        let late = request.expires < at;
        let mut acks = Vec::with_capacity(request.args.len());
        for arg in &request.args {
            let mut ack = if late {
                let text = |name: &str| trade::text(arg, name).unwrap_or_default();
                Ack {
                    client_id: text("clOrdId"),
                    order_id: text("ordId"),
                    tag: None,
                    request_id: None,
                    fault: None,
                }
            } else {
                self.execute(request.account, request.action, Naming::Code, arg, at)
            };
            if late {
                ack.fault = Some(Fault::new("51149", "Order timed out. Please try again."));
            }
            acks.push(ack);
        }
        let delay = self.venue.exchange_mut().take_ack_delay();
        let done = at + self.venue.exchange().settings().latency_out_ns + delay;
        let data: Vec<String> = acks.iter().map(|ack| ack.to_json(at)).collect();
        let reply = order_reply(&request, summary(&acks), "", &data, done);
        self.under_way.push(done, Travel::Message(request.conn, reply));
    }

    pub(super) fn on_request(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        let op = request.get("op").and_then(Value::as_str).unwrap_or_default();
        match op {
            "login" => self.login(conn, &request, now, out),
            "subscribe" | "unsubscribe" => self.subscribe(conn, op, &request, now, out),
            _ if Action::of_op(op).is_some() => self.order_request(conn, op, &request, now, out),
            _ => {
                let shown = String::from_utf8_lossy(text);
                let fault = Fault::new("60012", format!("Illegal request: {shown}"));
                self.send_error(conn, &request, &fault, out);
            }
        }
    }

    fn send_error(&self, conn: SimConn, request: &Value, fault: &Fault, out: &mut Vec<Push>) {
        let Some(client) = self.clients.get(&conn) else { return };
        let text = format!(
            r#"{{{}"event":"error","code":"{}","msg":{},"connId":"{}"}}"#,
            id_prefix(request.get("id")),
            fault.code,
            quoted(&fault.message),
            client.conn_id,
        );
        out.push(Push::Text(conn, text.into_bytes()));
    }

    /// Counts a login or subscription against the hourly budget.
    fn count_request(&mut self, conn: SimConn, request: &Value, now: Nanos, out: &mut Vec<Push>) -> bool {
        let within = self.clients.get_mut(&conn).is_some_and(|client| client.requests.take(1, now));
        if !within {
            self.send_error(conn, request, &Fault::new("60014", "Requests too frequent"), out);
        }
        within
    }

    fn login(&mut self, conn: SimConn, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        if !self.count_request(conn, request, now, out) {
            return;
        }
        let Some(client) = self.clients.get_mut(&conn) else { return };
        match auth::login(self.venue.exchange(), request.get("args"), now) {
            Ok(account) => {
                client.account = Some(account);
                let text =
                    format!(r#"{{"event":"login","code":"0","msg":"","connId":"{}"}}"#, client.conn_id);
                out.push(Push::Text(conn, text.into_bytes()));
            }
            Err(fault) => self.send_error(conn, request, &fault, out),
        }
    }

    fn subscribe(&mut self, conn: SimConn, op: &str, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        if !self.count_request(conn, request, now, out) {
            return;
        }
        let Some(args) = request.get("args").and_then(Value::as_array).filter(|args| !args.is_empty()) else {
            let fault = Fault::new("60012", format!("Illegal request: {request}"));
            return self.send_error(conn, request, &fault, out);
        };
        for arg in args {
            if let Err(fault) = self.subscribe_one(conn, op, arg, request.get("id"), now, out) {
                self.send_error(conn, request, &fault, out);
            }
        }
    }

    fn subscribe_one(
        &mut self,
        conn: SimConn,
        op: &str,
        arg: &Value,
        id: Option<&Value>,
        now: Nanos,
        out: &mut Vec<Push>,
    ) -> Result<(), Fault> {
        let Some(client) = self.clients.get_mut(&conn) else { return Ok(()) };
        let subscription = Subscription::parse(arg, client.endpoint, self.venue.exchange())?;
        let account = match (client.endpoint, client.account) {
            (Endpoint::Private, None) => return Err(Fault::new("60011", "Please log in")),
            (_, account) => account,
        };
        let (channel, listing) = (subscription.channel, subscription.listing);
        client.subscriptions.retain(|other| !other.same(&subscription));
        let ack = format!(r#"{{{}"event":"{op}","arg":{arg},"connId":"{}"}}"#, id_prefix(id), client.conn_id);
        let mut send = |text: String| out.push(Push::Text(conn, text.into_bytes()));
        send(ack);
        if op == "unsubscribe" {
            if let Some(listing) = listing {
                self.feed.unsubscribe(channel, listing, conn);
            } else if channel == Channel::Liquidations {
                self.every_listing().for_each(|listing| self.feed.unsubscribe(channel, listing, conn));
            }
            return Ok(());
        }
        client.subscriptions.push(subscription.clone());
        if let Some(account) = account
            && channel.endpoint() == Endpoint::Private
        {
            let same = |client: &&Client| {
                client.account == Some(account) && client.subscriptions.iter().any(|s| s.channel == channel)
            };
            let count = self.clients.values().filter(same).count();
            send(format!(
                r#"{{"event":"channel-conn-count","channel":"{}","connCount":"{count}","connId":"{}"}}"#,
                channel.name(),
                self.clients[&conn].conn_id,
            ));
            if let Some(snapshot) = self.private_snapshot(account, &subscription, now) {
                send(snapshot);
            }
        } else if let Some(listing) = listing {
            if let Some(first) = self.feed.first(self.venue.exchange(), channel, listing, now) {
                send(first);
            }
            self.feed.subscribe(channel, listing, conn);
        } else if channel == Channel::Liquidations {
            self.every_listing().for_each(|listing| self.feed.subscribe(channel, listing, conn));
        } else if channel == Channel::Instruments {
            let exchange = self.venue.exchange();
            let listed = exchange.listings().iter().filter(|listing| listing.is_listed());
            let all: Vec<Value> = listed.map(|l| instruments::instrument(exchange, l, now)).collect();
            send(json!({"arg": arg, "data": all}).to_string());
        }
        Ok(())
    }

    /// What a channel of all contracts is about.
    fn every_listing(&self) -> impl Iterator<Item = ListingId> + use<> {
        (0..self.venue.exchange().listings().len() as u16).map(ListingId)
    }

    fn order_request(&mut self, conn: SimConn, op: &str, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        let Some((action, batch)) = Action::of_op(op) else { return };
        let Some(client) = self.clients.get(&conn) else { return };
        let (Endpoint::Private, Some(account)) = (client.endpoint, client.account) else {
            let fault = match client.endpoint {
                Endpoint::Private => Fault::new("60011", "Please log in"),
                _ => Fault::new("60012", format!("Illegal request: {request}")),
            };
            return self.send_error(conn, request, &fault, out);
        };
        let expires = trade::text(request, "expTime").and_then(|ms| ms.parse::<i64>().ok());
        let order_request = OrderRequest {
            conn,
            account,
            action,
            op: op.to_owned(),
            id: request.get("id").cloned(),
            args: request.get("args").and_then(Value::as_array).cloned().unwrap_or_default(),
            arrived: now,
            expires: expires.map_or(Nanos::MAX, |ms| ms.saturating_mul(MILLI)),
        };
        let exchange = self.venue.exchange();
        let settings = exchange.settings();
        let (latency_in, latency_out) = (settings.latency_in_ns, settings.latency_out_ns);
        let most = if batch { BATCH_MAX } else { 1 };
        let wrong_id = match &order_request.id {
            Some(Value::String(id)) => {
                id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_alphanumeric())
            }
            Some(_) => true,
            None => false,
        };
        let fault = if wrong_id || order_request.args.is_empty() || order_request.args.len() > most {
            Some(Fault::new("60013", "Invalid args"))
        } else if order_request.expires < now {
            Some(rest::expired())
        } else {
            let args = order_request.args.iter();
            let listings: Vec<ListingId> =
                args.filter_map(|arg| listing_of(exchange, Naming::Code, arg).ok()).collect();
            self.limits.take_orders(exchange, account, action, batch, &listings, now).err()
        };
        match fault {
            Some(fault) => {
                let done = now + latency_out;
                let reply = order_reply(&order_request, fault.code, &fault.message, &[], done);
                self.under_way.push(done, Travel::Message(conn, reply));
            }
            None => self.under_way.push(now + latency_in, Travel::Request(Box::new(order_request))),
        }
    }
}

fn id_prefix(id: Option<&Value>) -> String {
    id.map_or_else(String::new, |id| format!(r#""id":{id},"#))
}

fn order_reply(request: &OrderRequest, code: &str, message: &str, data: &[String], done: Nanos) -> String {
    format!(
        r#"{{{}"op":"{}","code":"{code}","msg":{},"data":[{}],"inTime":"{}","outTime":"{}"}}"#,
        id_prefix(request.id.as_ref()),
        request.op,
        quoted(message),
        data.join(","),
        us(request.arrived),
        us(done),
    )
}
