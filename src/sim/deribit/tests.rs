//! The protocol as a client meets it, without sockets.

use super::*;
use crate::domain::time::SECOND;
use crate::sim::exchange::{AccountId, Side};
use serde_json::{Value, json};

const T0: Nanos = 1_790_000_000 * SECOND;
const BTC: &str = "BTC_USDC-PERPETUAL";

struct Rig {
    server: DeribitServer,
    now: Nanos,
    heard: Vec<Value>,
    closed: bool,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(tune: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::demo(7, &["deribit"], 2).unwrap();
        config.start_wall_ns = T0;
        tune(&mut config);
        for instrument in &mut config.instruments {
            instrument.jump_every_ns = 0;
        }
        let mut rig =
            Self { server: DeribitServer::new(&config, 0), now: T0, heard: Vec::new(), closed: false };
        let mut out = Vec::new();
        assert!(!rig.server.on_connect(SimConn(9), "/ws/v5/public", T0, &mut out));
        assert!(rig.server.on_connect(SimConn(1), "/ws/api/v2", T0, &mut out));
        rig
    }

    fn hear(&mut self, out: Vec<Push>) {
        for push in out {
            match push {
                Push::Text(SimConn(1), text) => self.heard.push(serde_json::from_slice(&text).unwrap()),
                Push::Close(SimConn(1)) => self.closed = true,
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: Nanos) {
        self.now += time;
        let mut out = Vec::new();
        self.server.advance(self.now, &mut out);
        self.hear(out);
    }

    fn say(&mut self, id: u64, method: &str, params: Value) {
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let mut out = Vec::new();
        self.server.on_text(SimConn(1), text.as_bytes(), self.now, &mut out);
        self.hear(out);
    }

    /// Sends a request and lets 10 ms pass; the reply.
    fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(id, method, params);
        self.pass(10 * MILLI);
        self.heard.iter().rev().find(|message| message["id"] == id).cloned().expect("a reply")
    }

    fn login(&mut self) -> Value {
        let stamp = (self.now / MILLI).to_string();
        let signature = auth::sign("sim-secret", &format!("{stamp}\nn\n"));
        self.ask(
            1,
            "public/auth",
            json!({"grant_type": "client_signature", "client_id": "sim-key", "timestamp": stamp,
                   "nonce": "n", "data": "", "signature": signature}),
        )
    }

    fn of(&self, channel: &str) -> Vec<&Value> {
        let named = |m: &&Value| m["params"]["channel"] == channel;
        self.heard.iter().filter(named).map(|m| &m["params"]["data"]).collect()
    }

    fn buy(&mut self, id: u64, price: &Value, amount: f64, more: Value) -> Value {
        let mut params = json!({"instrument_name": BTC, "amount": amount, "type": "limit", "price": price,
            "label": format!("l{id}"), "time_in_force": "immediate_or_cancel", "post_only": false});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask(id, "private/buy", params)
    }

    fn best_ask(&mut self) -> Value {
        self.ask(90, "public/ticker", json!({"instrument_name": BTC}))["result"]["best_ask_price"].clone()
    }
}

#[test]
fn a_login_needs_the_right_signature_and_unknown_channels_are_silently_missing() {
    let mut rig = Rig::new();
    let refused = rig.ask(2, "private/get_positions", json!({"currency": "any"}));
    assert_eq!(refused["error"]["code"], 13_009);
    let wrong = rig.ask(
        3,
        "public/auth",
        json!({"grant_type": "client_signature", "client_id": "sim-key",
        "timestamp": (rig.now / MILLI).to_string(), "nonce": "n", "data": "", "signature": "00"}),
    );
    assert_eq!(wrong["error"]["code"], 13_004);
    let login = rig.login();
    assert!(login["result"]["access_token"].is_string() && login["result"]["expires_in"] == 900);
    let channels = json!({"channels": ["quote.BTC_USDC-PERPETUAL", "book.NOPE.100ms", "user.portfolio.any"]});
    let reply = rig.ask(4, "private/subscribe", channels);
    assert_eq!(reply["result"], json!(["quote.BTC_USDC-PERPETUAL", "user.portfolio.any"]));
}

#[test]
fn book_changes_chain_from_the_snapshot_and_rebuild_the_book() {
    let mut rig = Rig::new();
    rig.ask(1, "public/subscribe", json!({"channels": ["book.BTC_USDC-PERPETUAL.100ms"]}));
    rig.pass(2 * SECOND);
    let messages = rig.of("book.BTC_USDC-PERPETUAL.100ms");
    assert!(messages.len() > 5 && messages[0]["type"] == "snapshot");
    let mut bids = BTreeMap::new();
    let mut last = Value::Null;
    for message in &messages {
        if message["type"] == "change" {
            assert_eq!(message["prev_change_id"], last);
        }
        last = message["change_id"].clone();
        for level in message["bids"].as_array().unwrap() {
            let price = level[1].to_string();
            let action = match level[0].as_str().unwrap() {
                "delete" => bids.remove(&price).is_some(),
                "new" => bids.insert(price, level[2].clone()).is_none(),
                _ => bids.insert(price, level[2].clone()).is_some(),
            };
            assert!(action, "the action agrees with the book: {level}");
        }
    }
    let real = rig.server.venue.exchange().book(crate::sim::exchange::ListingId(0)).levels(Side::Buy, 1_000);
    assert!((bids.len() as i64 - real.len() as i64).abs() < 10 && !real.is_empty());
}

#[test]
fn a_fill_is_in_the_reply_and_on_the_stream_with_the_same_trade_id() {
    let mut rig = Rig::new();
    rig.login();
    rig.ask(
        4,
        "private/subscribe",
        json!({"channels": ["user.trades.future.any.raw",
        "user.orders.future.any.raw", "user.changes.future.any.raw", "user.portfolio.any"]}),
    );
    let ask = rig.best_ask();
    let reply = rig.buy(5, &json!(ask.as_f64().unwrap() + 50.0), 0.01, json!({}));
    let order = &reply["result"]["order"];
    assert_eq!(
        (order["order_state"].as_str(), order["filled_amount"].as_f64()),
        (Some("filled"), Some(0.01))
    );
    let in_reply = &reply["result"]["trades"][0];
    let streamed = rig.of("user.trades.future.any.raw");
    assert_eq!(streamed[0][0]["trade_id"], in_reply["trade_id"]);
    assert_eq!(in_reply["label"], "l5");
    assert_eq!(rig.of("user.changes.future.any.raw").last().unwrap()["positions"][0]["size"], 0.01);
    let portfolio = *rig.of("user.portfolio.any").last().unwrap();
    let fee = in_reply["fee"].as_f64().unwrap();
    assert!(fee > 0.0 && (portfolio["session_rpl"].as_f64().unwrap() + fee).abs() < 1e-9);
}

#[test]
fn limit_orders_are_post_only_unless_told_otherwise_and_late_ones_are_refused() {
    let mut rig = Rig::new();
    rig.login();
    let ask = rig.best_ask().as_f64().unwrap();
    let forgot = json!({"instrument_name": BTC, "amount": 0.01, "type": "limit", "price": ask + 50.0});
    let reply = rig.ask(5, "private/buy", forgot);
    assert_eq!(reply["result"]["trades"], json!([]), "{reply}");
    let order = &reply["result"]["order"];
    assert_eq!(order["order_state"], "open");
    assert!(order["price"].as_f64().unwrap() < ask, "re-priced next to the spread: {order}");
    let price = json!(ask + 50.0);
    let more = json!({"time_in_force": "good_til_cancelled", "post_only": true, "reject_post_only": true});
    assert_eq!(rig.buy(7, &price, 0.01, more)["error"]["code"], 11_054);
    let late = rig.buy(6, &json!(ask + 50.0), 0.01, json!({"valid_until": rig.now / MILLI - 1}));
    assert_eq!(late["error"]["data"]["reason"], "valid_until");
}

#[test]
fn a_closed_connection_cancels_what_it_placed_when_asked_to() {
    let mut rig = Rig::new();
    rig.login();
    rig.ask(2, "private/enable_cancel_on_disconnect", json!({"scope": "connection"}));
    let price = rig.best_ask().as_f64().unwrap() - 1_000.0;
    rig.buy(5, &json!(price), 0.01, json!({"time_in_force": "good_til_cancelled"}));
    assert_eq!(rig.ask(6, "private/get_open_orders", json!({}))["result"].as_array().unwrap().len(), 1);
    let mut out = Vec::new();
    rig.server.on_closed(SimConn(1), rig.now, &mut out);
    assert_eq!(rig.server.venue.exchange().open_orders(AccountId(1), None).count(), 0);
}

#[test]
fn a_client_that_does_not_answer_a_test_request_is_cut() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask(1, "public/set_heartbeat", json!({"interval": 5}))["error"]["code"], -32_602);
    rig.ask(2, "public/set_heartbeat", json!({"interval": 10}));
    rig.pass(11 * SECOND);
    let tests = rig.heard.iter().filter(|m| m["params"]["type"] == "test_request").count();
    assert_eq!(tests, 1);
    rig.say(3, "public/test", json!({}));
    rig.pass(10 * SECOND);
    assert!(!rig.closed);
    rig.pass(10 * SECOND);
    assert!(rig.closed);
}

#[test]
fn too_many_order_requests_end_the_session() {
    let mut rig = Rig::new();
    rig.login();
    for id in 100..201 {
        rig.say(id, "private/cancel_by_label", json!({"label": "none"}));
    }
    assert!(rig.closed);
    assert!(rig.heard.iter().any(|m| m["error"]["code"] == 10_028));
}

#[test]
fn requests_that_do_not_reach_the_engine_cost_credits() {
    let mut rig = Rig::new();
    let channels = json!({"channels": ["quote.BTC_USDC-PERPETUAL"]});
    for id in 100..116 {
        rig.say(id, "public/subscribe", channels.clone());
    }
    assert!(!rig.closed, "16 at once are granted");
    rig.say(116, "public/subscribe", channels);
    assert!(rig.closed);
    assert_eq!(rig.heard.last().unwrap()["error"]["code"], 10_028);
}

#[test]
fn the_extended_summaries_state_settings_and_limits_and_a_key_that_may_only_read_says_so() {
    let mut rig = Rig::new();
    let login = rig.login();
    let scope = |login: &Value| login["result"]["scope"].as_str().unwrap().to_owned();
    assert!(scope(&login).split(' ').any(|part| part == "trade:read_write"));
    let short = rig.ask(2, "private/get_account_summaries", json!({}))["result"].clone();
    assert!(short["self_trading_reject_mode"].is_null() && short["summaries"][0]["limits"].is_null());
    let long = rig.ask(3, "private/get_account_summaries", json!({"extended": true}))["result"].clone();
    assert_eq!(long["self_trading_reject_mode"], "cancel_maker");
    let row = &long["summaries"][0];
    assert_eq!(
        (row["currency"].as_str(), row["margin_model"].as_str()),
        (Some("USDC"), Some("segregated_sm"))
    );
    assert_eq!(row["limits"]["matching_engine"]["trading"]["total"], json!({"rate": 30, "burst": 100}));
    let one = rig.ask(4, "private/get_account_summary", json!({"currency": "USDC", "extended": true}));
    assert_eq!(one["result"]["limits"], row["limits"]);
    assert_eq!(one["result"]["self_trading_reject_mode"], "cancel_maker");

    let mut rig = Rig::with(|config| config.venues[0].accounts[0].settings.may_trade = false);
    assert!(scope(&rig.login()).split(' ').any(|part| part == "trade:read"));
    assert_eq!(rig.buy(5, &json!(60_000.0), 0.01, json!({}))["error"]["code"], 13_021);
}
