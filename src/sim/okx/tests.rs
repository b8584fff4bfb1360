use super::*;
use crate::sim::exchange::{ListingId, Order, Side};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const START: Nanos = 1_790_000_000_000_000_000;
const CONN: SimConn = SimConn(7);
const ORDERS: SimConn = SimConn(8);

/// The venue with one public and one logged-in private connection, driven by hand.
struct Rig {
    server: OkxServer,
    now: Nanos,
    out: Vec<Push>,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::demo(7, &["okx"], 2).expect("a known dialect");
        config.start_wall_ns = START;
        change(&mut config);
        config.check().expect("a sound configuration");
        let mut rig = Self { server: OkxServer::new(&config, 0), now: START, out: Vec::new() };
        assert!(rig.server.on_connect(CONN, "/ws/v5/public", rig.now, &mut rig.out));
        assert!(rig.server.on_connect(ORDERS, "/ws/v5/private", rig.now, &mut rig.out));
        rig
    }

    fn logged_in() -> Self {
        let mut rig = Self::new();
        rig.log_in();
        rig
    }

    fn log_in(&mut self) {
        let replies = self.send(
            ORDERS,
            &login_request("sim-key", "sim-passphrase", "sim-secret", &(self.now / SECOND).to_string()),
        );
        assert_eq!(
            (replies[0]["event"].as_str(), replies[0]["code"].as_str()),
            (Some("login"), Some("0")),
            "{replies:?}"
        );
    }

    /// Messages since the last call to that connection, parsed (`pong` as a string).
    fn take(&mut self, conn: SimConn) -> Vec<Value> {
        let mut taken = Vec::new();
        self.out.retain(|push| match push {
            Push::Text(to, bytes) if *to == conn => {
                taken.push(
                    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into()),
                );
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

    /// An order request and its reply, after both latencies; other messages of the connection follow.
    fn order(&mut self, op: &str, args: &Value) -> (Value, Vec<Value>) {
        assert!(
            self.send(ORDERS, &json!({"id": "a1", "op": op, "args": args}).to_string()).is_empty(),
            "answered before its time"
        );
        self.run(3 * MILLI);
        let mut messages = self.take(ORDERS);
        let at =
            messages.iter().position(|m| m["op"] == op).unwrap_or_else(|| panic!("no reply in {messages:?}"));
        let reply = messages.remove(at);
        (reply, messages)
    }

    fn rest(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let request = signed(method, target, body, self.now, "sim-key", "sim-passphrase", "sim-secret");
        self.http(&request)
    }

    fn http(&mut self, request: &HttpRequest) -> (u16, Value) {
        let reply = self.server.on_http(request, self.now, &mut self.out);
        (reply.status, serde_json::from_slice(&reply.body).expect("JSON"))
    }

    fn best(&self, side: Side) -> (String, i64) {
        let exchange = self.server.venue.exchange();
        let level = exchange.book(ListingId(0)).best(side).expect("a quoted book");
        (wire::price(exchange.listing(ListingId(0)), level.price), level.qty)
    }

    fn limit(&self, id: &str, side: &str, kind: &str, price: &str, size: &str) -> Value {
        json!([{"instIdCode": 10459, "tdMode": "cross", "side": side, "ordType": kind, "px": price, "sz": size, "clOrdId": id}])
    }
}

fn login_request(key: &str, passphrase: &str, secret: &str, timestamp: &str) -> String {
    let sign = auth::sign(secret, &[timestamp, "GET", "/users/self/verify"]);
    json!({"op": "login", "args": [{"apiKey": key, "passphrase": passphrase, "timestamp": timestamp, "sign": sign}]}).to_string()
}

fn iso(at: Nanos) -> String {
    // Only for times of this test: 2026-09-21 and the days after it.
    let seconds = (at - START) / SECOND + 14 * 3600 + 13 * 60 + 20;
    let (day, rest) = (21 + seconds / 86_400, seconds % 86_400);
    format!(
        "2026-09-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        at / MILLI % 1000
    )
}

fn signed(
    method: &str,
    target: &str,
    body: &str,
    at: Nanos,
    key: &str,
    passphrase: &str,
    secret: &str,
) -> HttpRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let stamp = iso(at);
    let sign = auth::sign(secret, &[&stamp, method, target, body]);
    let headers = [
        ("ok-access-key", key),
        ("ok-access-passphrase", passphrase),
        ("ok-access-timestamp", &stamp),
        ("ok-access-sign", &sign),
    ];
    HttpRequest {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: body.into(),
    }
}

fn code(reply: &Value) -> (&str, &str) {
    (reply["code"].as_str().unwrap_or_default(), reply["data"][0]["sCode"].as_str().unwrap_or_default())
}

fn channel<'a>(messages: &'a [Value], name: &str) -> Vec<&'a Value> {
    messages.iter().filter(|m| m["arg"]["channel"] == name && m.get("event").is_none()).collect()
}

#[test]
fn subscriptions_are_acknowledged_one_by_one_and_wrong_ones_named() {
    let mut rig = Rig::new();
    let request = r#"{"id":"x1","op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT-SWAP"},{"channel":"books","instId":"NOPE"},{"channel":"orders","instType":"SWAP"},{"channel":"nothing"}]}"#;
    let replies = rig.send(CONN, request);
    assert_eq!(replies.len(), 4, "{replies:?}");
    assert_eq!(
        (&replies[0]["event"], &replies[0]["id"], &replies[0]["arg"]["channel"]),
        (&json!("subscribe"), &json!("x1"), &json!("trades"))
    );
    assert_eq!(replies[0]["connId"].as_str().map(str::len), Some(8));
    for reply in &replies[1..] {
        assert_eq!((&reply["event"], &reply["code"]), (&json!("error"), &json!("60018")));
    }
    assert!(replies[1]["msg"].as_str().unwrap().contains("channel:books,instId:NOPE doesn't exist"));
    for nonsense in
        ["", "{", "[]", r#"{"op":"dance"}"#, r#"{"op":"subscribe"}"#, r#"{"op":"subscribe","args":[]}"#]
    {
        assert_eq!(rig.send(CONN, nonsense)[0]["code"], "60012", "{nonsense}");
    }
    let private = rig.send(ORDERS, r#"{"op":"subscribe","args":[{"channel":"orders","instType":"SWAP"}]}"#);
    assert_eq!(private[0]["code"], "60011", "before login");
}

#[test]
fn ping_is_answered_as_text_and_silence_of_30_seconds_is_cut() {
    let mut rig = Rig::new();
    assert_eq!(rig.send(CONN, "ping"), [json!("pong")]);
    rig.run(29 * SECOND);
    assert_eq!(rig.send(CONN, "ping"), [json!("pong")]);
    rig.run(2 * SECOND);
    assert!(rig.out.contains(&Push::Close(ORDERS)), "nothing was said on this one");
    assert!(!rig.out.contains(&Push::Close(CONN)));
    rig.send(CONN, r#"{"op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"}]}"#);
    for _ in 0..60 {
        rig.run(SECOND);
    }
    assert!(!rig.out.contains(&Push::Close(CONN)), "it is spoken to");
}

#[test]
fn a_book_built_from_snapshot_and_updates_equals_the_exchange_at_every_message() {
    let mut rig = Rig::new();
    let request = r#"{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}"#;
    let mut messages = rig.send(CONN, request);
    let mut book: [BTreeMap<String, String>; 2] = Default::default();
    let mut sequence = -1;
    let mut updates = 0;
    let late = SimConn(9);
    let mut late_sequence = None;
    for round in 0..200 {
        for message in channel(&messages, "books") {
            let data = &message["data"][0];
            let snapshot = message["action"] == "snapshot";
            assert_eq!(snapshot, sequence == -1);
            assert_eq!(data["prevSeqId"].as_i64(), Some(sequence));
            assert_eq!(data["checksum"], 0);
            assert!(data["seqId"].as_i64().unwrap() > sequence);
            sequence = data["seqId"].as_i64().unwrap();
            updates += usize::from(!snapshot);
            for (side, name) in ["bids", "asks"].into_iter().enumerate() {
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
            for (side, levels) in [Side::Buy, Side::Sell]
                .into_iter()
                .map(|side| exchange.book(ListingId(0)).levels(side, 400))
                .enumerate()
            {
                let expected: BTreeMap<String, String> = levels
                    .iter()
                    .map(|l| (wire::price(listing, l.price), wire::size(listing, l.qty)))
                    .collect();
                assert_eq!(book[side], expected);
            }
        }
        if round == 50 {
            // Joins between two publications: its snapshot must be one that the next update continues.
            rig.run(30 * MILLI);
            assert!(rig.server.on_connect(late, "/ws/v5/public", rig.now, &mut rig.out));
            let first = rig.send(late, request);
            late_sequence = first[1]["data"][0]["seqId"].as_i64();
            assert_eq!(first[1]["data"][0]["prevSeqId"], -1);
            rig.run(70 * MILLI);
        } else {
            rig.run(100 * MILLI);
        }
        if round >= 50 {
            for update in channel(&rig.take(late), "books") {
                assert_eq!(update["data"][0]["prevSeqId"].as_i64(), late_sequence);
                late_sequence = update["data"][0]["seqId"].as_i64();
            }
        }
        messages = rig.take(CONN);
    }
    assert!(updates > 100, "only {updates} updates");
}

#[test]
fn every_public_channel_says_something_with_the_documented_fields() {
    let mut rig = Rig::new();
    let of = |name: &str, id: &str| json!({"channel": name, "instId": id});
    let swap = [
        "bbo-tbt",
        "books5",
        "trades",
        "tickers",
        "mark-price",
        "funding-rate",
        "open-interest",
        "price-limit",
    ];
    let mut args: Vec<Value> = swap.iter().map(|name| of(name, "ETH-USDT-SWAP")).collect();
    args.push(of("index-tickers", "ETH-USDT"));
    args.push(json!({"channel": "instruments", "instType": "SWAP"}));
    let mut messages = rig.send(CONN, &json!({"op": "subscribe", "args": args}).to_string());
    for _ in 0..700 {
        rig.run(100 * MILLI);
        messages.extend(rig.take(CONN));
    }
    for (name, at_least, fields) in [
        ("bbo-tbt", 300, &["asks", "bids", "ts", "seqId"][..]),
        ("books5", 100, &["asks", "bids", "instId", "ts", "seqId"]),
        ("trades", 50, &["instId", "tradeId", "px", "sz", "side", "ts", "count", "source", "seqId"]),
        (
            "tickers",
            100,
            &[
                "last",
                "lastSz",
                "askPx",
                "askSz",
                "bidPx",
                "bidSz",
                "open24h",
                "high24h",
                "low24h",
                "vol24h",
                "volCcy24h",
                "ts",
            ],
        ),
        ("mark-price", 20, &["instId", "instType", "markPx", "ts"]),
        ("index-tickers", 20, &["instId", "idxPx", "ts"]),
        (
            "funding-rate",
            2,
            &["fundingRate", "fundingTime", "nextFundingTime", "nextFundingRate", "method", "ts"],
        ),
        ("open-interest", 20, &["oi", "oiCcy", "oiUsd", "ts"]),
        ("price-limit", 20, &["buyLmt", "sellLmt", "ts"]),
        ("instruments", 1, &["instId", "instIdCode", "ctVal", "tickSz", "lotSz", "minSz", "state"]),
    ] {
        let got = channel(&messages, name);
        assert!(got.len() >= at_least, "{name}: {} messages", got.len());
        for message in got {
            for field in fields {
                assert!(message["data"][0].get(field).is_some(), "{name} lacks {field}: {message}");
            }
        }
    }
    let sequences: Vec<i64> =
        channel(&messages, "bbo-tbt").iter().map(|m| m["data"][0]["seqId"].as_i64().unwrap()).collect();
    assert!(sequences.is_sorted());
    rig.send(CONN, &json!({"op": "unsubscribe", "args": args}).to_string());
    rig.run(SECOND);
    assert_eq!(rig.take(CONN), [Value::Null; 0]);
}

#[test]
fn every_way_to_fail_a_login_has_its_code() {
    let mut rig = Rig::new();
    let now = (rig.now / SECOND).to_string();
    let old = (rig.now / SECOND - 31).to_string();
    for (request, expected) in [
        (login_request("sim-key", "sim-passphrase", "sim-secret", "soon"), "60004"),
        (login_request("", "sim-passphrase", "sim-secret", &now), "60005"),
        (login_request("sim-key", "sim-passphrase", "sim-secret", &old), "60006"),
        (login_request("sim-key", "sim-passphrase", "another", &now), "60007"),
        (login_request("stranger", "sim-passphrase", "sim-secret", &now), "60032"),
        (login_request("sim-key", "guess", "sim-secret", &now), "60024"),
        (r#"{"op":"login","args":[]}"#.to_owned(), "60009"),
    ] {
        let reply = &rig.send(ORDERS, &request)[0];
        assert_eq!((&reply["event"], &reply["code"]), (&json!("error"), &json!(expected)), "{reply}");
    }
    let order = rig.send(ORDERS, r#"{"id":"1","op":"order","args":[{}]}"#);
    assert_eq!(order[0]["code"], "60011", "still not logged in");
    rig.log_in();
}

#[test]
fn a_filled_ioc_is_acknowledged_after_the_latency_and_told_on_all_private_channels() {
    let mut rig = Rig::logged_in();
    let subscribe = json!({"op": "subscribe", "args": [
        {"channel": "orders", "instType": "SWAP"}, {"channel": "positions", "instType": "SWAP"},
        {"channel": "account"}, {"channel": "balance_and_position"},
    ]});
    let first = rig.send(ORDERS, &subscribe.to_string());
    assert_eq!(first.iter().filter(|m| m["event"] == "channel-conn-count").count(), 4);
    assert!(channel(&first, "orders").is_empty(), "orders have no snapshot");
    assert_eq!(channel(&first, "account")[0]["data"][0]["details"][0]["cashBal"], "100000");
    assert_eq!(channel(&first, "positions")[0]["data"], json!([]));

    let (ask, _) = rig.best(Side::Sell);
    let limit = format!("{}", ask.parse::<f64>().unwrap() + 50.0);
    let sent = rig.now;
    let order = rig.limit("0123456789abcdef0123456789abcdef", "buy", "ioc", &limit, "2");
    let (reply, messages) = rig.order("order", &order);
    assert_eq!(code(&reply), ("0", "0"), "{reply}");
    assert_eq!(reply["id"], "a1");
    assert_eq!(reply["inTime"], (sent / MICRO).to_string());
    assert_eq!(reply["outTime"], ((sent + 2 * MILLI) / MICRO).to_string(), "two latencies of a millisecond");
    let orders = channel(&messages, "orders");
    assert_eq!(orders[0]["data"][0]["state"], "live");
    let last = &orders.last().unwrap()["data"][0];
    assert_eq!(
        (&last["state"], &last["accFillSz"], &last["execType"]),
        (&json!("filled"), &json!("2"), &json!("T"))
    );
    assert_eq!(
        (&last["clOrdId"], &last["ordId"]),
        (&json!("0123456789abcdef0123456789abcdef"), &reply["data"][0]["ordId"])
    );
    assert_eq!(orders[0]["arg"]["uid"].as_str().map(|uid| !uid.is_empty()), Some(true));

    // Fills on the channel, the ledger and the account agree to the last digit.
    let ledger = rig.server.ledger();
    let account = ledger.account_ids().next().unwrap();
    let fees: Vec<String> = ledger.fills().iter().map(|row| (-row.fill.fee).to_string()).collect();
    let told: Vec<&str> = orders[1..].iter().map(|m| m["data"][0]["fillFee"].as_str().unwrap()).collect();
    assert_eq!(told, fees);
    let wallet = ledger.totals(account).wallet.to_string();
    let after = channel(&messages, "account").last().unwrap()["data"][0]["details"][0]["cashBal"].clone();
    assert_eq!(after, wallet.as_str());
    let both = channel(&messages, "balance_and_position");
    let both = &both.last().unwrap()["data"][0];
    assert_eq!((&both["eventType"], &both["balData"][0]["cashBal"]), (&json!("filled"), &json!(wallet)));
    assert_eq!(
        (&both["posData"][0]["pos"], &both["trades"][0]["instId"]),
        (&json!("2"), &json!("BTC-USDT-SWAP"))
    );
    let positions = channel(&messages, "positions");
    assert_eq!(positions.last().unwrap()["data"][0]["pos"], "2");

    // Reduce-only sell of more than the position is cut to it and leaves it flat.
    let (bid, _) = rig.best(Side::Buy);
    let limit = format!("{}", bid.parse::<f64>().unwrap() - 50.0);
    let mut exit = rig.limit("exit", "sell", "ioc", &limit, "5");
    exit[0]["reduceOnly"] = true.into();
    let (reply, messages) = rig.order("order", &exit);
    assert_eq!(code(&reply), ("0", "0"), "{reply}");
    assert_eq!(channel(&messages, "positions").last().unwrap()["data"][0]["pos"], "0");
    let (reply, _) = rig.order("order", &exit);
    assert_eq!(code(&reply), ("1", "51169"), "nothing left to reduce");
}

#[test]
fn bad_order_requests_get_their_codes_and_change_nothing() {
    let mut rig = Rig::logged_in();
    let (bid, _) = rig.best(Side::Buy);
    let good = rig.limit("id1", "buy", "limit", &bid, "1")[0].clone();
    for (field, value, expected) in [
        ("instIdCode", Value::Null, "50014"),
        ("instIdCode", json!(99), "51001"),
        ("tdMode", json!("isolated"), "51000"),
        ("side", json!("both"), "51000"),
        ("posSide", json!("long"), "51000"),
        ("ordType", json!("iceberg"), "51000"),
        ("px", json!("abc"), "51000"),
        ("px", json!("60000.05"), "51000"),
        ("px", json!("1000000"), "51006"),
        ("sz", json!("0.001"), "51121"),
        ("sz", json!("0"), "51020"),
        ("sz", json!("x"), "51000"),
        ("sz", json!("100000000"), "51101"),
        ("sz", json!("900000"), "51008"),
        ("clOrdId", json!("with-hyphen"), "51000"),
        ("clOrdId", json!("a".repeat(33)), "51000"),
        ("reduceOnly", json!(true), "51169"),
        ("stpMode", json!("maybe"), "51000"),
    ] {
        let mut bad = good.clone();
        bad[field] = value.clone();
        let (reply, messages) = rig.order("order", &json!([bad]));
        assert_eq!(code(&reply), ("1", expected), "{field} = {value}: {reply}");
        assert!(channel(&messages, "orders").is_empty());
    }
    assert_eq!(rig.server.venue.exchange().open_orders(AccountId(1), None).count(), 0);
    let with_symbol = json!([{"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "limit", "px": bid, "sz": "1"}]);
    let (reply, _) = rig.order("order", &with_symbol);
    assert_eq!(code(&reply), ("1", "50014"), "the WebSocket takes instIdCode only");
    assert!(reply["data"][0]["sMsg"].as_str().unwrap().contains("instIdCode can not be empty"));
    for (request, expected) in [
        (json!({"id": "a b", "op": "order", "args": [good]}), "60013"),
        (json!({"id": "1", "op": "order", "args": []}), "60013"),
        (json!({"id": "1", "op": "order", "args": [good, good]}), "60013"),
        (
            json!({"id": "1", "op": "order", "args": [good], "expTime": (rig.now / MILLI - 1).to_string()}),
            "50036",
        ),
    ] {
        rig.send(ORDERS, &request.to_string());
        rig.run(3 * MILLI);
        assert_eq!(rig.take(ORDERS)[0]["code"], expected, "{request}");
    }
    // In time when it was sent, too late when it reached the engine.
    let tight = json!({"id": "1", "op": "order", "args": [good], "expTime": (rig.now / MILLI).to_string()});
    rig.send(ORDERS, &tight.to_string());
    rig.run(3 * MILLI);
    assert_eq!(code(&rig.take(ORDERS)[0]), ("1", "51149"));
}

#[test]
fn resting_orders_are_amended_and_canceled_and_finished_ones_are_not() {
    let mut rig = Rig::logged_in();
    rig.send(ORDERS, r#"{"op":"subscribe","args":[{"channel":"orders","instType":"ANY"}]}"#);
    let (bid, _) = rig.best(Side::Buy);
    let low = format!("{}", bid.parse::<f64>().unwrap() - 1_000.0);
    let lower = format!("{}", bid.parse::<f64>().unwrap() - 1_500.0);
    let (reply, _) = rig.order("order", &rig.limit("rest", "buy", "limit", &low, "1"));
    assert_eq!(code(&reply), ("0", "0"));
    let (reply, _) = rig.order("order", &rig.limit("rest", "buy", "limit", &low, "1"));
    assert_eq!(code(&reply), ("1", "51016"), "duplicate client id");

    let amend =
        json!([{"instIdCode": 10459, "clOrdId": "rest", "newPx": lower, "newSz": "3", "reqId": "r9"}]);
    let (reply, messages) = rig.order("amend-order", &amend);
    assert_eq!((code(&reply), &reply["data"][0]["reqId"]), (("0", "0"), &json!("r9")));
    let told = &channel(&messages, "orders")[0]["data"][0];
    assert_eq!(
        (&told["px"], &told["sz"], &told["amendResult"], &told["reqId"]),
        (&json!(lower), &json!("3"), &json!("0"), &json!("r9"))
    );

    let cancel = json!([{"instIdCode": 10459, "clOrdId": "rest"}]);
    let (reply, messages) = rig.order("cancel-order", &cancel);
    assert_eq!(code(&reply), ("0", "0"));
    let told = &channel(&messages, "orders")[0]["data"][0];
    assert_eq!((&told["state"], &told["cancelSource"]), (&json!("canceled"), &json!("1")));
    assert_eq!(code(&rig.order("cancel-order", &cancel).0), ("1", "51401"));
    assert_eq!(code(&rig.order("amend-order", &amend).0), ("1", "51503"));
    let unknown = json!([{"instIdCode": 10459, "ordId": "123"}]);
    assert_eq!(code(&rig.order("cancel-order", &unknown).0), ("1", "51400"));

    // Post-only that would take: accepted, then canceled by the venue.
    let (ask, _) = rig.best(Side::Sell);
    let (reply, messages) = rig.order("order", &rig.limit("maker", "buy", "post_only", &ask, "1"));
    assert_eq!(code(&reply), ("0", "0"));
    let told = &channel(&messages, "orders").last().unwrap()["data"][0];
    assert_eq!((&told["state"], &told["cancelSource"]), (&json!("canceled"), &json!("31")));
    // IOC that cannot fill: canceled with nothing filled.
    let (_, messages) = rig.order("order", &rig.limit("miss", "buy", "ioc", &low, "1"));
    let told = &channel(&messages, "orders").last().unwrap()["data"][0];
    assert_eq!(
        (&told["state"], &told["cancelSource"], &told["accFillSz"]),
        (&json!("canceled"), &json!("14"), &json!("0"))
    );

    // A batch of a good and a bad one.
    let batch = json!([
        rig.limit("b1", "buy", "limit", &low, "1")[0],
        rig.limit("b2", "buy", "limit", &low, "0.001")[0]
    ]);
    let (reply, _) = rig.order("batch-orders", &batch);
    assert_eq!(
        (&reply["code"], &reply["data"][0]["sCode"], &reply["data"][1]["sCode"]),
        (&json!("2"), &json!("0"), &json!("51121"))
    );
}

#[test]
fn the_sixty_first_order_in_two_seconds_is_refused_per_instrument() {
    let mut rig = Rig::logged_in();
    rig.run(2 * SECOND - (rig.now % (2 * SECOND)));
    let (bid, _) = rig.best(Side::Buy);
    let low = format!("{}", bid.parse::<f64>().unwrap() - 1_000.0);
    for index in 0..61 {
        let request = json!({"id": format!("i{index}"), "op": "order", "args": rig.limit(&format!("o{index}"), "buy", "limit", &low, "0.01")});
        rig.send(ORDERS, &request.to_string());
    }
    let eth = json!({"id": "eth", "op": "order", "args": [{"instIdCode": 10460, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "0.01"}]});
    rig.send(ORDERS, &eth.to_string());
    rig.run(5 * MILLI);
    let replies = rig.take(ORDERS);
    let of = |id: &str| {
        replies.iter().find(|r| r["id"] == id).unwrap_or_else(|| panic!("no reply to {id}"))["code"].clone()
    };
    assert_eq!((of("i59"), of("i60"), of("eth")), (json!("0"), json!("50011"), json!("0")));
    rig.run(2 * SECOND);
    assert_eq!(code(&rig.order("order", &rig.limit("again", "buy", "limit", &low, "0.01")).0), ("0", "0"));
}

#[test]
fn unauthenticated_rest_requests_get_their_codes() {
    let mut rig = Rig::new();
    let now = rig.now;
    let target = "/api/v5/account/balance";
    let request = |at: Nanos, key: &str, passphrase: &str, secret: &str| {
        signed("GET", target, "", at, key, passphrase, secret)
    };
    let without = |name: &str| {
        let mut request = request(now, "sim-key", "sim-passphrase", "sim-secret");
        request.headers.retain(|(header, _)| header != name);
        request
    };
    let mut garbled = request(now, "sim-key", "sim-passphrase", "sim-secret");
    garbled.headers[2].1 = "1790000000".to_owned();
    let mut tampered = request(now, "sim-key", "sim-passphrase", "sim-secret");
    tampered.query = "ccy=BTC".to_owned();
    for (request, expected) in [
        (without("ok-access-key"), "50103"),
        (without("ok-access-passphrase"), "50104"),
        (without("ok-access-sign"), "50106"),
        (without("ok-access-timestamp"), "50107"),
        (garbled, "50112"),
        (request(now - 31 * SECOND, "sim-key", "sim-passphrase", "sim-secret"), "50102"),
        (request(now, "stranger", "sim-passphrase", "sim-secret"), "50111"),
        (request(now, "sim-key", "guess", "sim-secret"), "50105"),
        (request(now, "sim-key", "sim-passphrase", "another"), "50113"),
        (tampered, "50113"),
    ] {
        let (status, reply) = rig.http(&request);
        assert_eq!((status, reply["code"].as_str()), (401, Some(expected)), "{reply}");
    }
    assert_eq!(rig.rest("GET", target, "").0, 200);
    assert_eq!(rig.rest("GET", "/api/v5/nowhere", "").0, 404);
    assert_eq!(rig.rest("POST", target, "{}").0, 405);
    assert_eq!(rig.rest("POST", "/api/v5/trade/order", "{").1["code"], "50002");
}

#[test]
fn an_order_lives_over_rest_and_the_account_adds_up() {
    let mut rig = Rig::new();
    let (bid, _) = rig.best(Side::Buy);
    let low = format!("{}", bid.parse::<f64>().unwrap() - 1_000.0);
    let body = json!({"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "limit", "px": low, "sz": "10", "clOrdId": "r1"}).to_string();
    let (status, placed) = rig.rest("POST", "/api/v5/trade/order", &body);
    assert_eq!((status, code(&placed)), (200, ("0", "0")), "{placed}");
    let id = placed["data"][0]["ordId"].as_str().unwrap().to_owned();
    let (_, pending) = rig.rest("GET", "/api/v5/trade/orders-pending?instType=SWAP", "");
    assert_eq!((&pending["data"][0]["ordId"], &pending["data"][0]["state"]), (&json!(id), &json!("live")));
    let (_, order) = rig.rest("GET", "/api/v5/trade/order?instId=BTC-USDT-SWAP&clOrdId=r1", "");
    assert_eq!((&order["data"][0]["ordId"], &order["data"][0]["px"]), (&json!(id), &json!(low)));
    let (_, balance) = rig.rest("GET", "/api/v5/account/balance", "");
    let frozen = balance["data"][0]["ordFroz"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((frozen - 600.0).abs() < 60.0, "0.1 BTC at ten times leverage: {frozen}");
    let cancel = json!({"instId": "BTC-USDT-SWAP", "ordId": id}).to_string();
    assert_eq!(code(&rig.rest("POST", "/api/v5/trade/cancel-order", &cancel).1), ("0", "0"));
    let (_, again) = rig.rest("POST", "/api/v5/trade/cancel-order", &cancel);
    assert_eq!((code(&again), &again["msg"]), (("1", "51401"), &json!("All operations failed")));
    assert_eq!(rig.rest("GET", "/api/v5/trade/orders-pending", "").1["data"], json!([]));

    let market = json!([{"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "sell", "ordType": "market", "sz": "3"}]).to_string();
    let (_, placed) = rig.rest("POST", "/api/v5/trade/batch-orders", &market);
    assert_eq!(code(&placed), ("0", "0"), "{placed}");
    let id = placed["data"][0]["ordId"].as_str().unwrap().to_owned();
    let (_, order) = rig.rest("GET", &format!("/api/v5/trade/order?instId=BTC-USDT-SWAP&ordId={id}"), "");
    assert_eq!(
        (&order["data"][0]["state"], &order["data"][0]["accFillSz"], &order["data"][0]["clOrdId"]),
        (&json!("filled"), &json!("3"), &json!(""))
    );
    let (_, fills) = rig.rest("GET", "/api/v5/trade/fills?instType=SWAP", "");
    let rows = fills["data"].as_array().unwrap();
    let sold: f64 = rows.iter().map(|row| row["fillSz"].as_str().unwrap().parse::<f64>().unwrap()).sum();
    assert!(
        (sold - 3.0).abs() < 1e-9 && rows.iter().all(|row| row["side"] == "sell" && row["execType"] == "T")
    );
    let (_, positions) = rig.rest("GET", "/api/v5/account/positions", "");
    assert_eq!(
        (&positions["data"][0]["pos"], &positions["data"][0]["posSide"]),
        (&json!("-3"), &json!("net"))
    );
    let (_, balance) = rig.rest("GET", "/api/v5/account/balance", "");
    let ledger = rig.server.ledger();
    let totals = ledger.totals(ledger.account_ids().next().unwrap());
    assert_eq!(balance["data"][0]["details"][0]["cashBal"], totals.wallet.to_string());
    let (_, history) = rig.rest("GET", "/api/v5/trade/orders-history?instType=SWAP", "");
    assert_eq!(history["data"].as_array().unwrap().len(), 2);
    let (_, missing) = rig.rest("GET", "/api/v5/trade/order?instId=BTC-USDT-SWAP&ordId=5", "");
    assert_eq!(missing["code"], "51603");
}

#[test]
fn the_dead_mans_switch_cancels_unless_it_is_posted_again() {
    let mut rig = Rig::logged_in();
    rig.send(ORDERS, r#"{"op":"subscribe","args":[{"channel":"orders","instType":"SWAP"}]}"#);
    let (bid, _) = rig.best(Side::Buy);
    let low = format!("{}", bid.parse::<f64>().unwrap() - 1_000.0);
    rig.order("order", &rig.limit("d1", "buy", "limit", &low, "1"));
    assert_eq!(rig.rest("POST", "/api/v5/trade/cancel-all-after", r#"{"timeOut":"5"}"#).1["code"], "51000");
    for _ in 0..3 {
        assert_eq!(rig.rest("POST", "/api/v5/trade/cancel-all-after", r#"{"timeOut":"10"}"#).1["code"], "0");
        rig.run(8 * SECOND);
        rig.send(ORDERS, "ping");
    }
    let open = |rig: &Rig| rig.server.venue.exchange().open_orders(AccountId(1), None).count();
    assert_eq!(open(&rig), 1, "posted in time");
    rig.run(2 * SECOND + 3 * MILLI);
    assert_eq!(open(&rig), 0);
    let messages = rig.take(ORDERS);
    let told = &channel(&messages, "orders").last().unwrap()["data"][0];
    assert_eq!((&told["state"], &told["cancelSource"]), (&json!("canceled"), &json!("20")));
}

#[test]
fn public_rest_answers_what_a_client_needs_to_start() {
    let mut rig = Rig::new();
    let get = |rig: &mut Rig, target: &str| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = HttpRequest {
            method: "GET".into(),
            path: format!("/api/v5/{path}"),
            query: query.into(),
            ..HttpRequest::default()
        };
        rig.http(&request).1
    };
    assert_eq!(get(&mut rig, "public/time")["data"][0]["ts"], (START / MILLI).to_string());
    let instruments = get(&mut rig, "public/instruments?instType=SWAP");
    assert_eq!(instruments["data"].as_array().unwrap().len(), 2);
    let btc = &instruments["data"][0];
    let expected = json!(["BTC-USDT-SWAP", 10459, "0.01", "0.1", "0.01", "linear", "USDT", "live"]);
    let fields = ["instId", "instIdCode", "ctVal", "tickSz", "lotSz", "ctType", "settleCcy", "state"];
    assert_eq!(json!(fields.map(|name| btc[name].clone())), expected);
    assert_eq!(get(&mut rig, "public/instruments?instType=SPOT")["data"], json!([]));
    let book = get(&mut rig, "market/books?instId=BTC-USDT-SWAP&sz=400");
    assert_eq!(book["data"][0]["bids"][0][0], rig.best(Side::Buy).0.as_str());
    assert!(book["data"][0]["asks"].as_array().unwrap().len() > 20);
    for target in [
        "market/ticker",
        "public/funding-rate",
        "public/mark-price",
        "public/price-limit",
        "public/open-interest",
    ] {
        let reply = get(&mut rig, &format!("{target}?instId=ETH-USDT-SWAP"));
        assert_eq!(
            (&reply["code"], &reply["data"][0]["instId"]),
            (&json!("0"), &json!("ETH-USDT-SWAP")),
            "{target}"
        );
        assert_eq!(get(&mut rig, &format!("{target}?instId=NOPE"))["code"], "51001", "{target}");
    }
    assert_eq!(get(&mut rig, "market/tickers?instType=SWAP")["data"].as_array().unwrap().len(), 2);
    assert_eq!(get(&mut rig, "market/books")["code"], "50014");
    for _ in 0..20 {
        get(&mut rig, "public/time");
    }
    assert_eq!(get(&mut rig, "public/time")["code"], "50011", "20 in 2 s");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || {
        let mut rig = Rig::logged_in();
        rig.send(CONN, r#"{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"},{"channel":"trades","instId":"BTC-USDT-SWAP"}]}"#);
        rig.send(ORDERS, r#"{"op":"subscribe","args":[{"channel":"orders","instType":"SWAP"}]}"#);
        let order = json!({"op": "order", "args": [{"instIdCode": 10459, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"}]});
        rig.server.on_text(ORDERS, order.to_string().as_bytes(), rig.now, &mut rig.out);
        for _ in 0..30 {
            rig.run(77 * MILLI);
        }
        (rig.out.clone(), rig.server.ledger().to_json())
    };
    let (one, two) = (run(), run());
    assert!(one.0.len() > 20, "only {}", one.0.len());
    assert_eq!(one, two);
}

#[test]
fn an_order_without_a_client_id_shows_none() {
    let order = Order { id: crate::sim::exchange::OrderId(5), client_id: "sim5".into(), ..Order::default() };
    assert_eq!(private::client_id(&order), "");
    let own = Order { client_id: "sim6".into(), ..order };
    assert_eq!(private::client_id(&own), "sim6");
}
