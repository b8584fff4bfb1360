use super::*;
use crate::sim::exchange::{ListingId, Side};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const START: Nanos = 1_790_000_000_000_000_000;
const PUBLIC: SimConn = SimConn(7);
const PRIVATE: SimConn = SimConn(8);
const TRADE: SimConn = SimConn(9);

/// The venue with one connection of each service, driven by hand.
struct Rig {
    server: BybitServer,
    now: Nanos,
    out: Vec<Push>,
    requests: u32,
}

impl Rig {
    fn new() -> Self {
        Self::with_step(5 * MILLI)
    }

    /// The market moves once in `step`.
    fn with_step(step: Nanos) -> Self {
        Self::with(|config| config.step_ns = step)
    }

    fn with(tune: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::demo(7, &["bybit"], 2).expect("a known dialect");
        (config.start_wall_ns, config.step_ns) = (START, 5 * MILLI);
        tune(&mut config);
        let mut rig = Self { server: BybitServer::new(&config, 0), now: START, out: Vec::new(), requests: 0 };
        for (conn, path) in [(PUBLIC, "/v5/public/linear"), (PRIVATE, "/v5/private"), (TRADE, "/v5/trade")] {
            assert!(rig.server.on_connect(conn, path, rig.now, &mut rig.out));
        }
        assert!(!rig.server.on_connect(SimConn(1), "/v5/public/spot", rig.now, &mut rig.out));
        rig
    }

    fn authenticated() -> Self {
        Self::authenticated_with(|_| {})
    }

    fn authenticated_with(tune: impl FnOnce(&mut SimConfig)) -> Self {
        let mut rig = Self::with(tune);
        let expires = rig.now / MILLI + 5_000;
        let good = auth_request("sim-secret", expires);
        assert_eq!(rig.send(PRIVATE, &good)[0]["success"], true);
        assert_eq!(rig.send(TRADE, &good)[0]["retCode"], 0);
        let topics = r#"{"op":"subscribe","args":["order","execution","position","wallet"]}"#;
        assert_eq!(rig.send(PRIVATE, topics)[0]["success"], true);
        rig
    }

    fn take(&mut self, conn: SimConn) -> Vec<Value> {
        let mut taken = Vec::new();
        self.out.retain(|push| match push {
            Push::Text(to, bytes) if *to == conn => {
                taken.push(serde_json::from_slice(bytes).expect("JSON"));
                false
            }
            _ => true,
        });
        taken
    }

    fn send(&mut self, conn: SimConn, text: &str) -> Vec<Value> {
        self.take(conn);
        self.server.on_text(conn, text.as_bytes(), self.now, &mut self.out);
        self.take(conn)
    }

    fn run(&mut self, ns: Nanos) {
        self.now += ns;
        self.server.advance(self.now, &mut self.out);
        assert!(self.server.next_due() > self.now);
    }

    /// An order operation: its reply, and what the private topics said, by topic.
    fn order(&mut self, op: &str, arg: &Value) -> (Value, BTreeMap<String, Vec<Value>>) {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        let header =
            json!({"X-BAPI-TIMESTAMP": (self.now / MILLI).to_string(), "X-BAPI-RECV-WINDOW": "5000"});
        let request = json!({"reqId": id, "header": header, "op": op, "args": [arg]});
        self.take(PRIVATE);
        assert!(self.send(TRADE, &request.to_string()).is_empty(), "answered before its time");
        self.run(3 * MILLI);
        let reply = self.take(TRADE).remove(0);
        assert_eq!(reply["reqId"], id);
        let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for message in self.take(PRIVATE) {
            let topic = message["topic"].as_str().unwrap().to_owned();
            told.entry(topic).or_default().extend(message["data"].as_array().unwrap().iter().cloned());
        }
        (reply, told)
    }

    fn rest(&mut self, target: &str, secret: &str) -> Value {
        let reply = self.call("GET", target, "", secret);
        assert_eq!(reply.status, 200);
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// A request with a body, signed as it must be.
    fn post(&mut self, path: &str, body: &Value) -> Value {
        let reply = self.call("POST", path, &body.to_string(), "sim-secret");
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    fn call(&mut self, method: &str, target: &str, body: &str, secret: &str) -> HttpReply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let stamp = (self.now / MILLI).to_string();
        let signed = if method == "GET" { query } else { body };
        let sign = auth::sign(secret, &[&stamp, "sim-key", "5000", signed]);
        let headers = [
            ("x-bapi-api-key", "sim-key"),
            ("x-bapi-timestamp", &stamp),
            ("x-bapi-recv-window", "5000"),
            ("x-bapi-sign", &sign),
        ];
        let request = HttpRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.as_bytes().to_vec(),
        };
        self.server.on_http(&request, self.now, &mut self.out)
    }

    fn limit(&self, link: &str, side: &str, tif: &str, beyond: i64, qty: &str) -> Value {
        let exchange = self.server.venue.exchange();
        let best = |side| exchange.book(ListingId(0)).best(side).expect("a quoted book").price;
        let price = if side == "Buy" { best(Side::Sell) + beyond } else { best(Side::Buy) - beyond };
        let price = exchange.listing(ListingId(0)).price_text(price);
        json!({"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Limit", "qty": qty,
            "price": price, "timeInForce": tif, "orderLinkId": link, "positionIdx": 0, "reduceOnly": false})
    }
}

fn auth_request(secret: &str, expires: i64) -> String {
    let sign = auth::sign(secret, &["GET/realtime", &expires.to_string()]);
    json!({"op": "auth", "args": ["sim-key", expires, sign]}).to_string()
}

#[test]
fn a_book_built_from_snapshot_and_deltas_equals_the_exchange_at_every_message() {
    let mut rig = Rig::new();
    let request = r#"{"req_id":"1","op":"subscribe","args":["orderbook.50.BTCUSDT","orderbook.1.BTCUSDT"]}"#;
    let mut messages = rig.send(PUBLIC, request);
    assert_eq!((&messages[0]["success"], &messages[0]["req_id"]), (&json!(true), &json!("1")));
    messages.remove(0);
    let mut book: [BTreeMap<String, String>; 2] = Default::default();
    let (mut update, mut deltas, mut best) = (None, 0, 0);
    for _ in 0..300 {
        for message in &messages {
            let data = &message["data"];
            if message["topic"] == "orderbook.1.BTCUSDT" {
                assert_eq!(message["type"], "snapshot");
                best += 1;
                continue;
            }
            if message["type"] == "snapshot" {
                assert_eq!(update, None);
            } else {
                assert_eq!(data["u"].as_u64(), update.map(|u: u64| u + 1));
                deltas += 1;
            }
            update = data["u"].as_u64();
            for (side, name) in ["b", "a"].into_iter().enumerate() {
                for level in data[name].as_array().unwrap() {
                    let (price, size) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                    match size {
                        "0" => assert!(book[side].remove(price).is_some(), "deletes what is not there"),
                        _ => drop(book[side].insert(price.into(), size.into())),
                    }
                }
            }
            let exchange = rig.server.venue.exchange();
            let listing = exchange.listing(ListingId(0));
            for (at, side) in [Side::Buy, Side::Sell].into_iter().enumerate() {
                let levels = exchange.book(ListingId(0)).levels(side, 50);
                let expected: BTreeMap<String, String> =
                    levels.iter().map(|l| (listing.price_text(l.price), listing.qty_text(l.qty))).collect();
                assert_eq!(book[at], expected);
            }
        }
        rig.run(20 * MILLI);
        messages = rig.take(PUBLIC);
    }
    assert!(deltas > 50 && best > 10, "{deltas} deltas, {best} best prices");
}

#[test]
fn one_bad_topic_fails_the_request_and_pongs_have_three_shapes() {
    let mut rig = Rig::with_step(SECOND);
    let replies = rig.send(PUBLIC, r#"{"op":"subscribe","args":["tickers.BTCUSDT","orderbook.50.NOSUCH"]}"#);
    assert_eq!((replies.len(), &replies[0]["success"]), (1, &json!(false)));
    assert_eq!(replies[0]["ret_msg"], "Invalid symbol :[orderbook.50.NOSUCH]");
    rig.run(SECOND);
    assert!(rig.take(PUBLIC).is_empty(), "nothing was subscribed");
    assert_eq!(rig.send(PRIVATE, r#"{"op":"subscribe","args":["order"]}"#)[0]["success"], false);
    let ping = r#"{"req_id":"p","op":"ping"}"#;
    assert_eq!(rig.send(PUBLIC, ping)[0]["ret_msg"], "pong");
    assert_eq!(rig.send(PRIVATE, ping)[0]["op"], "pong");
    assert_eq!(rig.send(TRADE, ping)[0]["retCode"], 0);
    rig.run(300 * SECOND);
    rig.send(PUBLIC, ping);
    rig.run(301 * SECOND);
    assert!(rig.out.contains(&Push::Close(TRADE)) && !rig.out.contains(&Push::Close(PUBLIC)));
}

#[test]
fn tickers_come_whole_once_and_then_in_parts() {
    let mut rig = Rig::new();
    let request = r#"{"op":"subscribe","args":["tickers.BTCUSDT","publicTrade.BTCUSDT"]}"#;
    let first = rig.send(PUBLIC, request).remove(1);
    assert_eq!(first["type"], "snapshot");
    for field in ["markPrice", "indexPrice", "fundingRate", "nextFundingTime", "openInterest", "bid1Price"] {
        assert!(first["data"][field].is_string(), "{field}");
    }
    rig.run(10 * SECOND);
    let messages = rig.take(PUBLIC);
    let deltas: Vec<_> = messages.iter().filter(|m| m["topic"] == "tickers.BTCUSDT").collect();
    assert!(deltas.len() > 20 && deltas.iter().all(|m| m["type"] == "delta"));
    assert!(deltas.iter().all(|m| m["data"].get("nextFundingTime").is_none()), "it did not change");
    assert!(messages.iter().any(|m| m["topic"] == "publicTrade.BTCUSDT"));
}

#[test]
fn orders_are_acknowledged_before_their_outcome_is_told() {
    let mut rig = Rig::authenticated();
    let (reply, told) = rig.order("order.create", &rig.limit("a1", "Buy", "IOC", 50, "0.010"));
    assert_eq!((&reply["retCode"], &reply["data"]["orderLinkId"]), (&json!(0), &json!("a1")));
    let last = told["order"].last().unwrap();
    assert_eq!((&last["orderStatus"], &last["cumExecQty"]), (&json!("Filled"), &json!("0.010")));
    assert_eq!(told["execution"][0]["execType"], "Trade");
    assert_eq!(told["position"][0]["side"], "Buy");
    assert!(told["wallet"][0]["coin"][0]["walletBalance"].is_string());
    // An id of a closed order is taken.
    let again = rig.limit("a1", "Buy", "IOC", 50, "0.010");
    assert_eq!(rig.order("order.create", &again).0["retCode"], 110_072);
    // What cannot trade is cancelled; a post-only order that would take as well.
    let (_, told) = rig.order("order.create", &rig.limit("a2", "Buy", "IOC", -500, "0.010"));
    assert_eq!(told["order"][0]["orderStatus"], "Cancelled");
    let (_, told) = rig.order("order.create", &rig.limit("a3", "Buy", "PostOnly", 50, "0.010"));
    let why = &told["order"].last().unwrap()["rejectReason"];
    assert_eq!(why, "EC_PostOnlyWillTakeLiquidity");
    // Rest, cancel, cancel again.
    let (_, told) = rig.order("order.create", &rig.limit("a4", "Buy", "GTC", -500, "0.010"));
    assert_eq!(told["order"][0]["orderStatus"], "New");
    let named = json!({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a4"});
    let (reply, told) = rig.order("order.cancel", &named);
    assert_eq!((&reply["retCode"], &told["order"][0]["cancelType"]), (&json!(0), &json!("CancelByUser")));
    assert_eq!(rig.order("order.cancel", &named).0["retCode"], 110_001);
    let far = rig.limit("a5", "Buy", "IOC", 500_000, "0.010");
    assert_eq!(rig.order("order.create", &far).0["retCode"], 110_003);
}

#[test]
fn request_ids_clocks_and_budgets_are_enforced() {
    let mut rig = Rig::authenticated();
    let arg = rig.limit("b1", "Buy", "IOC", -500, "0.010");
    let request = |id: &str, stamp: i64, now: Nanos| {
        let header = json!({"X-BAPI-TIMESTAMP": (now / MILLI + stamp).to_string()});
        json!({"reqId": id, "header": header, "op": "order.create", "args": [arg]}).to_string()
    };
    let mut code = |id: &str, stamp: i64| {
        let text = request(id, stamp, rig.now);
        rig.send(TRADE, &text);
        rig.run(3 * MILLI);
        rig.take(TRADE)[0]["retCode"].as_i64().unwrap()
    };
    assert_eq!(code("one", 0), 0);
    assert_eq!(code("one", 0), 20006);
    assert_eq!(code("old", -6_000), 10002);
    assert_eq!(code("ahead", 2_000), 10002);
    let codes: Vec<i64> = (0..12).map(|i| code(&format!("many{i}"), 0)).collect();
    assert!(codes.contains(&10006), "ten a second: {codes:?}");
    let wrong = auth_request("wrong", rig.now / MILLI + 5_000);
    assert_eq!(rig.send(TRADE, &wrong)[0]["retCode"], 10004);
    assert_eq!(rig.send(PRIVATE, &wrong)[0]["success"], false);
}

#[test]
fn rest_lists_come_in_pages_and_name_closed_orders() {
    let mut rig = Rig::authenticated();
    let first = rig.rest("/v5/market/instruments-info?category=linear&limit=1", "");
    let cursor = first["result"]["nextPageCursor"].as_str().unwrap().to_owned();
    assert_eq!(first["result"]["list"][0]["symbol"], "BTCUSDT");
    let next = rig.rest(&format!("/v5/market/instruments-info?category=linear&limit=1&cursor={cursor}"), "");
    assert_eq!(next["result"]["list"][0]["symbol"], "ETHUSDT");
    assert_eq!(next["result"]["nextPageCursor"], "");
    let order = rig.limit("c1", "Sell", "IOC", 50, "0.010");
    rig.order("order.create", &order);
    let named = rig.rest("/v5/order/realtime?category=linear&orderLinkId=c1", "sim-secret");
    assert_eq!(named["result"]["list"][0]["orderStatus"], "Filled");
    let open = rig.rest("/v5/order/realtime?category=linear&settleCoin=USDT", "sim-secret");
    assert_eq!(open["result"]["list"], json!([]));
    assert_eq!(rig.rest("/v5/order/realtime?category=linear", "sim-secret")["retCode"], 10001);
    let fills = rig.rest("/v5/execution/list?category=linear&symbol=BTCUSDT", "sim-secret");
    assert_eq!(fills["result"]["list"][0]["orderLinkId"], "c1");
    let held = rig.rest("/v5/position/list?category=linear&settleCoin=USDT", "sim-secret");
    assert_eq!(
        (&held["result"]["list"][0]["side"], &held["result"]["list"][0]["size"]),
        (&json!("Sell"), &json!("0.010"))
    );
    let wallet = rig.rest("/v5/account/wallet-balance?accountType=UNIFIED", "sim-secret");
    assert_eq!(wallet["result"]["list"][0]["accountType"], "UNIFIED");
    assert_eq!(rig.rest("/v5/account/wallet-balance?accountType=UNIFIED", "wrong")["retCode"], 10004);
}

#[test]
fn the_account_service_says_how_the_account_is_set_up() {
    let says = |tune: fn(&mut crate::sim::SimAccountSettings), target: &str| {
        let mut rig = Rig::with(|config| tune(&mut config.venues[0].accounts[0].settings));
        rig.rest(target, "sim-secret")["result"].clone()
    };
    let info = says(|_| {}, "/v5/account/info");
    assert_eq!((&info["marginMode"], &info["unifiedMarginStatus"]), (&json!("REGULAR_MARGIN"), &json!(5)));
    let info = says(|s| (s.isolated, s.level) = (true, 1), "/v5/account/info");
    assert_eq!((&info["marginMode"], &info["unifiedMarginStatus"]), (&json!("ISOLATED_MARGIN"), &json!(1)));
    let key = says(|_| {}, "/v5/user/query-api");
    assert_eq!((&key["apiKey"], &key["readOnly"]), (&json!("sim-key"), &json!(0)));
    assert_eq!(key["permissions"]["ContractTrade"], json!(["Order", "Position"]));
    let key = says(|s| s.may_trade = false, "/v5/user/query-api");
    assert_eq!((&key["readOnly"], &key["permissions"]["ContractTrade"]), (&json!(1), &json!([])));
    let fees = says(|_| {}, "/v5/account/fee-rate?category=linear");
    assert_eq!(
        fees["list"][0],
        json!({"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"})
    );
    let one = says(|s| s.leverage = 7, "/v5/position/list?category=linear&symbol=BTCUSDT");
    assert_eq!((&one["list"][0]["leverage"], one["list"].as_array().unwrap().len()), (&json!("7"), 1));
    let two = says(|s| s.long_short = true, "/v5/position/list?category=linear&symbol=BTCUSDT");
    assert_eq!((&two["list"][0]["positionIdx"], &two["list"][1]["positionIdx"]), (&json!(1), &json!(2)));
    let ungranted = says(|s| s.disconnect_protection = false, "/v5/account/query-dcp-info");
    assert_eq!(ungranted, json!({"dcpInfos": []}));
    // Orders of a key that only reads, and without a side where there are two, are refused.
    for (tune, code) in [
        ((|s| s.may_trade = false) as fn(&mut crate::sim::SimAccountSettings), 10005),
        (|s| s.long_short = true, 10001),
    ] {
        let mut rig = Rig::authenticated_with(|config| tune(&mut config.venues[0].accounts[0].settings));
        assert_eq!(
            rig.order("order.create", &rig.limit("d1", "Buy", "GTC", -500, "0.010")).0["retCode"],
            code
        );
    }
}

#[test]
fn cancel_all_needs_a_scope_and_leaves_nothing_of_it() {
    let mut rig = Rig::authenticated();
    for link in ["e1", "e2", "e3"] {
        rig.order("order.create", &rig.limit(link, "Buy", "GTC", -500, "0.010"));
    }
    let all = "/v5/order/cancel-all";
    assert_eq!(rig.post(all, &json!({"category": "linear"}))["retCode"], 10001);
    let none = rig.post(all, &json!({"category": "linear", "settleCoin": "USDC"}));
    assert_eq!(none["result"], json!({"list": [], "success": "1"}));
    let open = |rig: &mut Rig| {
        let open = rig.rest("/v5/order/realtime?category=linear&settleCoin=USDT", "sim-secret");
        open["result"]["list"].as_array().unwrap().len()
    };
    assert_eq!(open(&mut rig), 3);
    let done = rig.post(all, &json!({"category": "linear", "settleCoin": "USDT"}));
    let links: Vec<&str> = done["result"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["orderLinkId"].as_str())
        .collect();
    assert_eq!(links, ["e1", "e2", "e3"]);
    assert_eq!(open(&mut rig), 0);
    rig.run(10 * MILLI);
    let told = rig.take(PRIVATE);
    let by_user = told.iter().filter(|message| message["data"][0]["cancelType"] == "CancelByUser");
    assert_eq!(by_user.count(), 3, "{told:?}");
}

#[test]
fn replies_tell_what_is_left_of_their_budget() {
    let mut rig = Rig::authenticated();
    let header = |reply: &HttpReply, name: &str| {
        let found = reply.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.parse::<i64>().unwrap())
    };
    let path = "/v5/account/query-dcp-info";
    for left in [4, 3, 2, 1, 0] {
        let reply = rig.call("GET", path, "", "sim-secret");
        assert_eq!(header(&reply, "X-Bapi-Limit-Status"), Some(left));
        assert_eq!(header(&reply, "X-Bapi-Limit"), Some(5));
    }
    let reply = rig.call("GET", path, "", "sim-secret");
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["retCode"], header(&reply, "X-Bapi-Limit-Status")), (&json!(10006), Some(0)));
    assert!(header(&reply, "X-Bapi-Limit-Reset-Timestamp") > header(&reply, "Timenow"));
    assert_eq!(
        header(&rig.call("GET", "/v5/account/info", "", "sim-secret"), "X-Bapi-Limit-Status"),
        Some(49)
    );
    rig.run(SECOND);
    assert_eq!(header(&rig.call("GET", path, "", "sim-secret"), "X-Bapi-Limit-Status"), Some(4));
    let (first, _) = rig.order("order.create", &rig.limit("f1", "Buy", "IOC", -500, "0.010"));
    let (second, _) = rig.order("order.create", &rig.limit("f2", "Buy", "IOC", -500, "0.010"));
    let left = |reply: &Value| reply["header"]["X-Bapi-Limit-Status"].as_str().unwrap().to_owned();
    assert_eq!((left(&first), left(&second)), ("9".to_owned(), "8".to_owned()));
    let (refused, _) = (0..12)
        .map(|i| rig.order("order.create", &rig.limit(&format!("g{i}"), "Buy", "IOC", -500, "0.010")))
        .find(|(reply, _)| reply["retCode"] == 10006)
        .expect("ten a second");
    assert_eq!(left(&refused), "0");
    let instant = |name: &str| refused["header"][name].as_str().unwrap().parse::<i64>().unwrap();
    assert!(instant("X-Bapi-Limit-Reset-Timestamp") > instant("Timenow"));
}

#[test]
fn the_protection_cancels_when_the_last_protected_connection_is_gone_for_its_time() {
    for (granted, back) in [(true, false), (true, true), (false, false)] {
        let mut rig = Rig::authenticated_with(|config| {
            config.venues[0].accounts[0].settings.disconnect_protection = granted;
        });
        let set = rig
            .post("/v5/order/disconnected-cancel-all", &json!({"product": "DERIVATIVES", "timeWindow": 20}));
        assert_eq!(set["retCode"], if granted { 0 } else { 10005 });
        let info = rig.rest("/v5/account/query-dcp-info", "sim-secret");
        let window = &info["result"]["dcpInfos"][0]["timeWindow"];
        assert_eq!(*window, if granted { json!("20") } else { Value::Null });
        let protect = r#"{"op":"subscribe","args":["dcp.future"]}"#;
        assert_eq!(rig.send(PRIVATE, protect)[0]["success"], true);
        rig.order("order.create", &rig.limit("h1", "Buy", "GTC", -20_000, "0.010"));
        let open = |rig: &Rig| {
            let account = rig.server.venue.exchange().authenticate("sim-key").unwrap();
            rig.server.venue.exchange().open_orders(account, None).count()
        };
        // The order connection is not protected: its loss starts nothing.
        rig.server.on_closed(TRADE, rig.now, &mut rig.out);
        rig.run(30 * SECOND);
        assert_eq!(open(&rig), 1);
        rig.server.on_closed(PRIVATE, rig.now, &mut rig.out);
        rig.run(19 * SECOND);
        assert_eq!(open(&rig), 1);
        if back {
            assert!(rig.server.on_connect(PRIVATE, "/v5/private", rig.now, &mut rig.out));
            let good = auth_request("sim-secret", rig.now / MILLI + 5_000);
            rig.send(PRIVATE, &good);
            rig.send(PRIVATE, protect);
        }
        rig.run(2 * SECOND);
        assert_eq!(open(&rig), usize::from(back || !granted), "granted: {granted}, back: {back}");
    }
}
