//! The protocol over HTTP: signatures, tokens, JSON-RPC bodies, and what is read page by page.

use super::*;
use crate::domain::time::SECOND;
use serde_json::{Value, json};

const T0: Nanos = 1_790_000_000 * SECOND;
const BTC: &str = "BTC_USDC-PERPETUAL";

struct Rig {
    server: DeribitServer,
    now: Nanos,
}

impl Rig {
    fn new() -> Self {
        let mut config = SimConfig::demo(7, &["deribit"], 2).unwrap();
        config.start_wall_ns = T0;
        Self { server: DeribitServer::new(&config, 0), now: T0 }
    }

    fn send(&mut self, request: &HttpRequest) -> (u16, Value) {
        let reply = self.server.on_http(request, self.now, &mut Vec::new());
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    /// A signed `GET`, as clients that use no JSON-RPC body send it.
    fn get(&mut self, target: &str) -> Value {
        self.send(&signed("GET", target, "", self.now, "sim-secret")).1
    }

    /// Moves on and buys at any price; the reply.
    fn buy(&mut self) -> Value {
        self.now += SECOND;
        self.get(&format!("/api/v2/private/buy?instrument_name={BTC}&amount=0.01&type=market"))
    }

    fn trades(&mut self, more: &str) -> (Vec<String>, Value) {
        let target = format!("/api/v2/private/get_user_trades_by_instrument{more}");
        let result = self.get(&target)["result"].clone();
        (ids(&result["trades"]), result["has_more"].clone())
    }
}

fn ids(trades: &Value) -> Vec<String> {
    trades.as_array().unwrap().iter().map(|trade| trade["trade_id"].as_str().unwrap().to_owned()).collect()
}

fn plain(method: &str, target: &str, body: &str) -> HttpRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    HttpRequest {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        headers: Vec::new(),
        body: body.into(),
    }
}

fn signed(method: &str, target: &str, body: &str, at: Nanos, secret: &str) -> HttpRequest {
    let stamp = at / MILLI;
    let sign = auth::sign(secret, &format!("{stamp}\n{stamp}\n{method}\n{target}\n{body}\n"));
    let header = format!("deri-hmac-sha256 id=sim-key,ts={stamp},sig={sign},nonce={stamp}");
    HttpRequest { headers: vec![("authorization".into(), header)], ..plain(method, target, body) }
}

#[test]
fn a_signature_covers_the_query_and_the_time_and_nothing_private_is_read_without_one() {
    let mut rig = Rig::new();
    let target = "/api/v2/private/get_positions?currency=USDC&kind=future";
    let good = signed("GET", target, "", rig.now, "sim-secret");
    assert_eq!(rig.send(&good), (200, rig.send(&good).1));
    assert_eq!(rig.send(&good).1["result"], json!([]));
    let tampered = HttpRequest { query: "currency=BTC&kind=future".into(), ..good.clone() };
    let refusals = [
        (plain("GET", target, ""), 13_009),
        (tampered, 13_009),
        (signed("GET", target, "", rig.now, "wrong"), 13_009),
        (signed("GET", target, "", rig.now - 61 * SECOND, "sim-secret"), 13_004),
    ];
    for (request, code) in refusals {
        let (status, reply) = rig.send(&request);
        assert_eq!((status, &reply["error"]["code"]), (400, &json!(code)), "{request:?}");
    }
}

#[test]
fn a_json_rpc_body_is_signed_and_its_id_comes_back() {
    let mut rig = Rig::new();
    let body = r#"{"jsonrpc":"2.0","id":"n7","method":"private/get_account_summaries","params":{}}"#;
    let request = signed("POST", "/api/v2", body, rig.now, "sim-secret");
    let (status, reply) = rig.send(&request);
    assert_eq!((status, &reply["id"], &reply["testnet"]), (200, &json!("n7"), &json!(true)));
    assert_eq!(reply["result"]["summaries"][0]["equity"], 100_000.0);
    let tampered = HttpRequest { body: body.replace("n7", "n8").into(), ..request };
    assert_eq!(rig.send(&tampered).1["error"]["code"], 13_009);
}

#[test]
fn the_token_of_a_login_opens_private_methods_and_another_does_not() {
    let mut rig = Rig::new();
    let target =
        "/api/v2/public/auth?grant_type=client_credentials&client_id=sim-key&client_secret=sim-secret";
    let (_, login) = rig.send(&plain("GET", target, ""));
    let token = login["result"]["access_token"].as_str().unwrap().to_owned();
    let mut ask = |token: &str| {
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        let request = plain("GET", "/api/v2/private/get_open_orders", "");
        rig.send(&HttpRequest { headers, ..request }).1
    };
    assert_eq!(ask(&token)["result"], json!([]));
    assert_eq!(ask("0000")["error"]["code"], 13_009);
}

#[test]
fn currencies_are_those_of_the_instruments_and_lists_keep_to_the_one_that_is_asked_for() {
    let mut rig = Rig::new();
    let mut read = |method: &str| rig.send(&plain("GET", &format!("/api/v2/public/{method}"), "")).1;
    let currencies = read("get_currencies");
    let names: Vec<&str> = currencies["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["currency"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["BTC", "ETH", "USDC"]);
    for (query, listed) in [("", 2), ("?currency=any", 2), ("?currency=USDC", 2), ("?currency=BTC", 0)] {
        let reply = read(&format!("get_instruments{query}"));
        assert_eq!(reply["result"].as_array().unwrap().len(), listed, "{query}");
    }
    for (depth, levels) in [("&depth=1", 1), ("&depth=10", 10), ("", 20)] {
        let book = read(&format!("get_order_book?instrument_name={BTC}{depth}"));
        assert_eq!(book["result"]["bids"].as_array().unwrap().len(), levels, "{depth}");
    }
    let whole = read(&format!("get_order_book?instrument_name={BTC}&depth=1000"));
    assert!(whole["result"]["asks"].as_array().unwrap().len() > 20);
    assert_eq!(read(&format!("get_order_book?instrument_name={BTC}&depth=0"))["error"]["code"], -32_602);
}

#[test]
fn open_orders_and_positions_keep_to_the_currency_that_is_asked_for() {
    let mut rig = Rig::new();
    rig.buy();
    let asks = format!("/api/v2/private/sell?instrument_name={BTC}&amount=0.01&type=limit&price=");
    let book = rig.get(&format!("/api/v2/public/get_order_book?instrument_name={BTC}&depth=20"));
    let far = book["result"]["asks"][19][0].to_string();
    assert_eq!(rig.get(&format!("{asks}{far}"))["result"]["order"]["order_state"], "open");
    for method in ["get_open_orders_by_currency", "get_positions"] {
        for (currency, rows) in [("USDC", 1), ("any", 1), ("BTC", 0)] {
            let reply = rig.get(&format!("/api/v2/private/{method}?currency={currency}"));
            assert_eq!(reply["result"].as_array().unwrap().len(), rows, "{method} {currency}");
        }
    }
}

#[test]
fn own_trades_come_ten_at_a_time_newest_first_unless_asked_otherwise() {
    let mut rig = Rig::new();
    let mut all: Vec<String> = Vec::new();
    let mut orders: Vec<(String, Vec<String>)> = Vec::new();
    let mut third = 0;
    for turn in 0..12 {
        let bought = rig.buy()["result"].clone();
        let made = ids(&bought["trades"]);
        if turn == 2 {
            third = rig.now / MILLI;
        }
        all.extend(made.iter().cloned());
        orders.push((bought["order"]["order_id"].as_str().unwrap().to_owned(), made));
    }
    assert!(all.len() >= 12, "every purchase traded");
    let newest: Vec<String> = all.iter().rev().cloned().collect();
    let named = format!("?instrument_name={BTC}");
    assert_eq!(rig.trades(&named), (newest[..10].to_vec(), json!(true)));
    assert_eq!(rig.trades(&format!("{named}&count=1000")), (newest.clone(), json!(false)));
    assert_eq!(rig.trades(&format!("{named}&count=3&sorting=asc")), (all[..3].to_vec(), json!(true)));
    let since: Vec<String> = orders[2..].iter().flat_map(|(_, made)| made.iter().cloned()).collect();
    let timed = format!("_and_time{named}&count=1000&sorting=asc&start_timestamp={third}");
    assert_eq!(rig.trades(&timed), (since, json!(false)));
    for wrong in ["&count=0", "&count=1001", "&sorting=up"] {
        let target = format!("/api/v2/private/get_user_trades_by_instrument{named}{wrong}");
        assert_eq!(rig.get(&target)["error"]["code"], -32_602, "{wrong}");
    }
    let by = |what: &str| format!("/api/v2/private/get_user_trades_by_{what}");
    assert_eq!(ids(&rig.get(&by("currency?currency=USDC&count=1000"))["result"]["trades"]), newest);
    assert_eq!(rig.get(&by("currency?currency=BTC"))["result"]["trades"], json!([]));
    assert_eq!(rig.get(&by("currency"))["error"]["code"], -32_602);
    let (order, made) = &orders[4];
    let of_order = rig.get(&by(&format!("order?order_id={order}&sorting=asc")))["result"].clone();
    assert_eq!(&ids(&of_order), made);
}
