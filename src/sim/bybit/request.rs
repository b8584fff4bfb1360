//! WebSocket requests: authentication, subscriptions, pings, and order operations on their way to matching.

use super::feed::Topic;
use super::settings::{PROTECTED, Spent};
use super::trade::{Action, text};
use super::wire::{Fault, ms, ms_text};
use super::{BybitServer, Travel, auth};
use crate::domain::time::Nanos;
use crate::sim::exchange::AccountId;
use crate::sim::{Push, SimConn};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Characters of all arguments of one request.
const ARGS_MAX: usize = 21_000;
/// Private topics.
const PRIVATE: [&str; 5] = ["order", "execution", "position", "wallet", PROTECTED];

/// The three WebSocket services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Public,
    Private,
    Trade,
}

impl Service {
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path.split('?').next()? {
            "/v5/public/linear" => Some(Self::Public),
            "/v5/private" => Some(Self::Private),
            "/v5/trade" => Some(Self::Trade),
            _ => None,
        }
    }
}

/// A connected client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) service: Service,
    /// Who authenticated.
    pub(super) account: Option<AccountId>,
    /// Private topics.
    pub(super) topics: BTreeSet<&'static str>,
    /// Last message of the client.
    pub(super) active_at: Nanos,
    /// Every `reqId` of an order request so far.
    requests: BTreeSet<String>,
    /// The venue's name for the connection.
    conn_id: String,
}

impl Client {
    pub(super) fn new(service: Service, number: u32, now: Nanos) -> Self {
        // Looks random, is not: the same run gives the same names.
        let hash = number.wrapping_add(0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
        Self {
            service,
            account: None,
            topics: BTreeSet::new(),
            active_at: now,
            requests: BTreeSet::new(),
            conn_id: format!("d{:08x}s{number}-sim", hash ^ (hash >> 15)),
        }
    }
}

/// An order operation that was accepted at the door.
pub(super) struct OrderRequest {
    conn: SimConn,
    account: AccountId,
    action: Action,
    /// Of the client.
    id: String,
    arg: Value,
    /// Time and window as stated: matching must not see it too late.
    stamp: String,
    window: String,
    /// What it left of the account's budget.
    spent: Spent,
}

fn op_name(action: Action) -> &'static str {
    match action {
        Action::Create => "order.create",
        Action::Cancel => "order.cancel",
        Action::Amend => "order.amend",
    }
}

impl BybitServer {
    pub(super) fn on_request(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        let Some(client) = self.clients.get(&conn) else { return };
        let service = client.service;
        let op = request.get("op").and_then(Value::as_str).unwrap_or_default();
        match (op, service) {
            ("ping", _) => {
                let text = pong(client, &request, now);
                out.push(Push::Text(conn, text.into_bytes()));
            }
            ("auth", Service::Private | Service::Trade) => self.authenticate(conn, &request, now, out),
            ("subscribe" | "unsubscribe", Service::Public | Service::Private) => {
                self.subscribe(conn, op, &request, now, out);
            }
            ("order.create", Service::Trade) => self.order(conn, Action::Create, &request, now),
            ("order.cancel", Service::Trade) => self.order(conn, Action::Cancel, &request, now),
            ("order.amend", Service::Trade) => self.order(conn, Action::Amend, &request, now),
            (_, Service::Trade) => {
                let fault = Fault::new(10001, format!("Unsupported op: {op}"));
                let text = trade_reply(client, &request, op, Err(&fault), None, now);
                out.push(Push::Text(conn, text.into_bytes()));
            }
            _ => {
                let text = session_reply(client, &request, op, Err("error:json Unmarshal failed".into()));
                out.push(Push::Text(conn, text.into_bytes()));
            }
        }
    }

    /// The private service says `success`, the trade service `retCode`.
    fn authenticate(&mut self, conn: SimConn, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        let outcome = auth::socket(self.venue.exchange(), request.get("args"), now);
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.account = outcome.as_ref().ok().copied();
        let text = match client.service {
            Service::Trade => {
                let (code, message) =
                    outcome.err().map_or((0, "OK".into()), |fault| (fault.code, fault.message));
                json!({"retCode": code, "retMsg": message, "op": "auth", "connId": client.conn_id})
                    .to_string()
            }
            _ => {
                let said = outcome.map(drop).map_err(|fault| fault.message.into_owned());
                session_reply(client, request, "auth", said)
            }
        };
        out.push(Push::Text(conn, text.into_bytes()));
    }

    /// One bad topic fails the whole request.
    fn subscribe(&mut self, conn: SimConn, op: &str, request: &Value, now: Nanos, out: &mut Vec<Push>) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let args: Vec<&str> = request
            .get("args")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |args| args.iter().map(|arg| arg.as_str().unwrap_or_default()).collect());
        let exchange = self.venue.exchange();
        let mut refusal = None;
        let (mut public, mut private) = (Vec::new(), Vec::new());
        for arg in &args {
            match client.service {
                Service::Public => match Topic::parse(arg, exchange) {
                    Some(topic) => public.push(topic),
                    None => refusal = Some(format!("Invalid symbol :[{arg}]")),
                },
                _ => match PRIVATE.iter().find(|topic| *topic == arg) {
                    Some(topic) => private.push(*topic),
                    None => refusal = Some(format!("handler not found,topic:{arg}")),
                },
            }
        }
        if args.is_empty() || args.iter().map(|arg| arg.len()).sum::<usize>() > ARGS_MAX {
            refusal = Some("Params Error".into());
        }
        if client.service == Service::Private && client.account.is_none() {
            refusal = Some("Request not authorized".into());
        }
        let accepted = refusal.is_none();
        let text = session_reply(client, request, op, refusal.map_or(Ok(()), Err));
        out.push(Push::Text(conn, text.into_bytes()));
        if !accepted {
            return;
        }
        for topic in private {
            if (topic, op) == (PROTECTED, "subscribe")
                && let Some(account) = client.account
            {
                self.countdowns.remove(&account);
            }
            match op {
                "subscribe" => client.topics.insert(topic),
                _ => client.topics.remove(topic),
            };
        }
        for (topic, listing) in public {
            if op == "unsubscribe" {
                self.feed.unsubscribe(topic, listing, conn);
            } else if let Some(first) = self.feed.subscribe(exchange, topic, listing, conn, now) {
                out.push(Push::Text(conn, first.into_bytes()));
            }
        }
    }

    /// An order request at the door: what is wrong with it is said at once, else it sets out for matching.
    fn order(&mut self, conn: SimConn, action: Action, request: &Value, now: Nanos) {
        let settings = self.venue.exchange().settings();
        let (latency_in, latency_out) = (settings.latency_in_ns, settings.latency_out_ns);
        match self.admit(conn, action, request, now) {
            Ok(accepted) => self.under_way.push(now + latency_in, Travel::Request(Box::new(accepted))),
            Err(fault) => {
                let account = self.clients.get(&conn).and_then(|client| client.account);
                let spent = account.map(|account| self.spent(account, action.path(), now));
                let Some(client) = self.clients.get(&conn) else { return };
                let done = now + latency_out;
                let reply = trade_reply(client, request, op_name(action), Err(&fault), spent.as_ref(), done);
                self.under_way.push(done, Travel::Message(conn, reply));
            }
        }
    }

    fn admit(
        &mut self,
        conn: SimConn,
        action: Action,
        request: &Value,
        now: Nanos,
    ) -> Result<OrderRequest, Fault> {
        let unknown = || Fault::new(10001, "Params Error");
        let client = self.clients.get_mut(&conn).ok_or_else(unknown)?;
        let account = client.account.ok_or_else(|| Fault::new(10005, "Permission denied, please auth"))?;
        let id = text(request, "reqId").unwrap_or_default();
        if id.len() > 36 {
            return Err(Fault::parameter("reqId"));
        }
        if !id.is_empty() && !client.requests.insert(id.clone()) {
            return Err(Fault::new(20006, "reqId is duplicated"));
        }
        let header = request.get("header").cloned().unwrap_or_default();
        let stamp = text(&header, "X-BAPI-TIMESTAMP").unwrap_or_default();
        let window = text(&header, "X-BAPI-RECV-WINDOW").unwrap_or_default();
        auth::in_time(&stamp, &window, now)?;
        let arg = match request.get("args").and_then(Value::as_array).map(Vec::as_slice) {
            Some([arg]) => arg.clone(),
            _ => return Err(unknown()),
        };
        let spent = self.spend(account, action.path(), now)?;
        Ok(OrderRequest { conn, account, action, id, arg, stamp, window, spent })
    }

    pub(super) fn run_request(&mut self, request: OrderRequest, at: Nanos) {
        let outcome = auth::in_time(&request.stamp, &request.window, at)
            .and_then(|()| self.execute(request.account, request.action, &request.arg, at));
        let late = self.venue.exchange_mut().take_ack_delay();
        let done = at + self.venue.exchange().settings().latency_out_ns + late;
        let Some(client) = self.clients.get(&request.conn) else { return };
        let named = json!({"reqId": request.id});
        let spent = Some(&request.spent);
        let reply = trade_reply(client, &named, op_name(request.action), outcome.as_ref(), spent, done);
        self.under_way.push(done, Travel::Message(request.conn, reply));
    }
}

/// Three shapes of one thing.
fn pong(client: &Client, request: &Value, now: Nanos) -> String {
    let id = request.get("req_id").cloned().unwrap_or_else(|| "".into());
    let conn = &client.conn_id;
    match client.service {
        Service::Public => {
            json!({"success": true, "ret_msg": "pong", "conn_id": conn, "req_id": id, "op": "ping"})
        }
        Service::Private => json!({"req_id": id, "op": "pong", "args": [ms_text(now)], "conn_id": conn}),
        Service::Trade => {
            json!({"retCode": 0, "retMsg": "OK", "op": "pong", "data": [ms_text(now)], "connId": conn})
        }
    }
    .to_string()
}

/// `{"success":…,"ret_msg":…}` with the request's id where it has one.
fn session_reply(client: &Client, request: &Value, op: &str, said: Result<(), String>) -> String {
    let good = if op == "subscribe" && client.service == Service::Public { "subscribe" } else { "" };
    let (success, message) = said.map_or_else(|why| (false, why), |()| (true, good.to_owned()));
    let mut reply = json!({"success": success, "ret_msg": message, "conn_id": client.conn_id, "op": op});
    if let (Some(id), Some(fields)) = (request.get("req_id"), reply.as_object_mut()) {
        fields.insert("req_id".to_owned(), id.clone());
    }
    reply.to_string()
}

/// `{"reqId":…,"retCode":…,"data":…}`.
fn trade_reply(
    client: &Client,
    request: &Value,
    op: &str,
    outcome: Result<&Value, &Fault>,
    spent: Option<&Spent>,
    at: Nanos,
) -> String {
    let empty = json!({});
    let (code, message, data) = match outcome {
        Ok(data) => (0, "OK", data),
        Err(fault) => (fault.code, fault.message.as_ref(), &empty),
    };
    let mut header = json!({"Timenow": ms_text(at), "Traceid": format!("{:016x}", ms(at))});
    for (name, value) in spent.map_or_else(Vec::new, Spent::headers) {
        header[name] = value.into();
    }
    json!({
        "reqId": request.get("reqId").cloned().unwrap_or_else(|| "".into()),
        "retCode": code, "retMsg": message, "op": op, "data": data, "retExtInfo": {},
        "header": header, "connId": client.conn_id,
    })
    .to_string()
}
