use super::*;
use crate::domain::time::MILLI;
use crate::sim::exchange::{ListingId, Side};
use signature::sign;

const START: Nanos = 1_790_000_000_000_000_000;
const MARKET: SimConn = SimConn(7);
const USER: SimConn = SimConn(8);
const KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";
const ADDRESS: &str = "0x61fb9e7583dc92cc76eb52f93d88addaa0f02265";

/// The venue with a public and a following connection, driven by hand.
struct Rig {
    server: HyperliquidServer,
    now: Nanos,
    out: Vec<Push>,
    nonce: u64,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(tune: impl FnOnce(&mut crate::sim::SimVenueConfig)) -> Self {
        let mut config = SimConfig::demo(7, &["hyperliquid"], 2).expect("a known dialect");
        config.start_wall_ns = START;
        tune(&mut config.venues[0]);
        for instrument in &mut config.instruments {
            instrument.jump_every_ns = 0;
        }
        config.check().expect("a sound configuration");
        let server = HyperliquidServer::new(&config, 0);
        let mut rig = Self { server, now: START, out: Vec::new(), nonce: wire::ms(START).unsigned_abs() };
        for conn in [MARKET, USER] {
            assert!(rig.server.on_connect(conn, "/ws", rig.now, &mut rig.out));
        }
        assert!(!rig.server.on_connect(SimConn(9), "/ws/v5/public", rig.now, &mut rig.out));
        for channel in ["orderUpdates", "userFills", "userFundings"] {
            rig.follow(channel);
        }
        rig.take(USER);
        rig
    }

    fn follow(&mut self, channel: &str) {
        let subscription = json!({"type": channel, "user": ADDRESS});
        self.send(USER, &json!({"method": "subscribe", "subscription": subscription}));
    }

    /// Connections that were silent for too long are made again.
    fn reconnect(&mut self) {
        self.out.clear();
        for conn in [MARKET, USER] {
            assert!(self.server.on_connect(conn, "/ws", self.now, &mut self.out));
        }
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

    fn send(&mut self, conn: SimConn, message: &Value) -> Vec<Value> {
        self.server.on_text(conn, message.to_string().as_bytes(), self.now, &mut self.out);
        self.out
            .iter()
            .filter_map(|push| match push {
                Push::Text(to, bytes) if *to == conn => serde_json::from_slice(bytes).ok(),
                _ => None,
            })
            .collect()
    }

    fn run(&mut self, ns: Nanos) {
        self.now += ns;
        self.server.advance(self.now, &mut self.out);
        assert!(self.server.next_due() > self.now);
    }

    /// A posted action: its payload, and what the followers of the account hear.
    fn act(&mut self, action: &Value) -> (Value, Vec<Value>) {
        self.nonce += 1;
        let request = sign(action, self.nonce, None, KEY).expect("a key");
        self.post(&request)
    }

    fn post(&mut self, request: &Value) -> (Value, Vec<Value>) {
        self.take(USER);
        self.take(MARKET);
        let message = json!({"method": "post", "id": 5, "request": {"type": "action", "payload": request}});
        assert!(self.send(MARKET, &message).is_empty(), "answered before its time");
        self.run(BLOCK + 3 * MILLI);
        let replies = self.take(MARKET);
        let reply = replies.iter().find(|m| m["channel"] == "post").expect("a reply").clone();
        assert_eq!((&reply["data"]["id"], &reply["data"]["response"]["type"]), (&json!(5), &json!("action")));
        (reply["data"]["response"]["payload"].clone(), self.take(USER))
    }

    fn order(&mut self, buy: bool, price: &str, size: &str, tif: &str, id: u8) -> (Value, Vec<Value>) {
        let (reply, news) = self.act(&order(buy, price, size, tif, id, false));
        assert_eq!(reply["status"], "ok", "{reply}");
        (reply["response"]["data"]["statuses"][0].clone(), news)
    }

    fn info(&mut self, body: Value) -> Value {
        let request = HttpRequest {
            method: "POST".into(),
            path: "/info".into(),
            body: body.to_string().into_bytes(),
            ..HttpRequest::default()
        };
        let reply = self.server.on_http(&request, self.now, &mut self.out);
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    fn best(&self, side: Side) -> i64 {
        self.server.venue.exchange().book(ListingId(0)).best(side).expect("a quoted book").price
    }
}

fn cloid(id: u8) -> String {
    format!("0x{id:032x}")
}

fn order(buy: bool, price: &str, size: &str, tif: &str, id: u8, reduce: bool) -> Value {
    json!({"type": "order", "grouping": "na", "orders": [{
        "a": 3, "b": buy, "p": price, "s": size, "r": reduce, "t": {"limit": {"tif": tif}}, "c": cloid(id),
    }]})
}

#[test]
fn subscriptions_are_echoed_begin_with_the_present_and_follow_blocks() {
    let mut rig = Rig::new();
    for channel in ["l2Book", "bbo", "trades", "activeAssetCtx"] {
        let subscription = json!({"type": channel, "coin": "BTC"});
        let heard = rig.send(MARKET, &json!({"method": "subscribe", "subscription": subscription}));
        assert_eq!(
            heard[0],
            json!({"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": subscription}})
        );
        assert_eq!(heard[1]["channel"], channel);
        rig.take(MARKET);
        let again = rig.send(MARKET, &json!({"method": "subscribe", "subscription": subscription}));
        assert!(again[0]["data"].as_str().unwrap().starts_with("Already subscribed"), "{again:?}");
        rig.take(MARKET);
    }
    rig.run(10 * SECOND);
    let heard = rig.take(MARKET);
    let count = |channel: &str| heard.iter().filter(|m| m["channel"] == channel).count();
    assert!((19..=21).contains(&count("l2Book")), "{}", count("l2Book"));
    assert!(count("bbo") > 20 && count("trades") > 5 && count("activeAssetCtx") == 10);
    let book = heard.iter().rfind(|m| m["channel"] == "l2Book").unwrap();
    let levels = book["data"]["levels"].as_array().unwrap();
    assert_eq!((levels[0].as_array().unwrap().len(), levels[1].as_array().unwrap().len()), (20, 20));
    for (text, reply) in [
        (json!({"method": "ping"}), "pong"),
        (json!({"method": "subscribe", "subscription": {"type": "l2Book", "coin": "DOGE"}}), "error"),
        (json!({"method": "dance"}), "error"),
    ] {
        rig.take(MARKET);
        assert_eq!(rig.send(MARKET, &text)[0]["channel"], reply);
    }
    // Nothing is ever sent to the follower, which does not ping: it is cut after a minute.
    rig.run(61 * SECOND);
    assert!(rig.out.contains(&Push::Close(USER)) && !rig.out.contains(&Push::Close(MARKET)));
}

#[test]
fn only_the_agent_of_an_account_acts_and_each_nonce_once() {
    let mut rig = Rig::new();
    let action = order(true, "50000", "0.001", "Gtc", 1, false);
    let nonce = wire::ms(rig.now).unsigned_abs();
    let good = sign(&action, nonce, None, KEY).unwrap();
    let response = |rig: &mut Rig, request: &Value| rig.post(request).0["response"].to_string();
    let stranger = sign(&action, nonce, None, &KEY.replace("0123", "4567")).unwrap();
    assert!(response(&mut rig, &stranger).contains("does not exist"));
    let mut forged = good.clone();
    forged["action"]["orders"][0]["s"] = json!("0.002");
    assert!(response(&mut rig, &forged).contains("does not exist"), "another action, another signer");
    for (nonce, said) in [(nonce - 200_000_000, "Invalid nonce"), (nonce + 100_000_000, "Invalid nonce")] {
        let request = sign(&action, nonce, None, KEY).unwrap();
        assert!(response(&mut rig, &request).contains(said));
    }
    let late = sign(&action, nonce + 1, Some(nonce - 1), KEY).unwrap();
    assert!(response(&mut rig, &late).contains("expiresAfter"));
    assert!(response(&mut rig, &good).contains("resting"));
    assert!(response(&mut rig, &good).contains("duplicate nonce"));
    assert!(response(&mut rig, &json!({"action": {"type": "news"}})).contains("Failed to deserialize"));
}

#[test]
fn orders_fill_miss_rest_and_are_refused_and_the_followers_hear_of_it() {
    let mut rig = Rig::new();
    let (bid, ask) = (rig.best(Side::Buy), rig.best(Side::Sell));
    let (status, news) = rig.order(true, &(ask + 100).to_string(), "0.01", "Ioc", 1);
    assert_eq!(
        (&status["filled"]["totalSz"], &status["filled"]["cloid"]),
        (&json!("0.01"), &json!(cloid(1)))
    );
    let update = &news.iter().find(|m| m["channel"] == "orderUpdates").unwrap()["data"][0];
    assert_eq!((&update["status"], &update["order"]["sz"]), (&json!("filled"), &json!("0.0")));
    let fills = &news.iter().find(|m| m["channel"] == "userFills").unwrap()["data"]["fills"];
    assert_eq!((&fills[0]["dir"], &fills[0]["feeToken"]), (&json!("Open Long"), &json!("USDC")));
    let state = rig.info(json!({"type": "clearinghouseState", "user": ADDRESS}));
    assert_eq!(state["assetPositions"][0]["position"]["szi"], "0.01");
    // A miss is accepted and over.
    let (status, news) = rig.order(true, &(bid - 100).to_string(), "0.01", "Ioc", 2);
    assert!(status["error"].as_str().unwrap().starts_with("Order could not immediately match"));
    let update = &news.iter().find(|m| m["channel"] == "orderUpdates").unwrap()["data"][0];
    assert_eq!((&update["status"], &update["order"]["sz"]), (&json!("iocCancelRejected"), &json!("0.01")));
    // Rest, query, cancel, cancel again.
    let (status, news) = rig.order(true, &(bid - 1_000).to_string(), "0.01", "Alo", 3);
    assert!(status["resting"]["oid"].is_u64());
    assert_eq!(news[0]["data"][0]["status"], "open");
    let query = json!({"type": "orderStatus", "user": ADDRESS, "oid": cloid(3)});
    assert_eq!(rig.info(query.clone())["order"]["status"], "open");
    let open = rig.info(json!({"type": "frontendOpenOrders", "user": ADDRESS}));
    assert_eq!((open.as_array().unwrap().len(), &open[0]["cloid"]), (1, &json!(cloid(3))));
    let cancel = json!({"type": "cancelByCloid", "cancels": [{"asset": 3, "cloid": cloid(3)}]});
    let (reply, news) = rig.act(&cancel);
    assert_eq!(reply["response"]["data"]["statuses"], json!(["success"]));
    assert_eq!(news[0]["data"][0]["status"], "canceled");
    let again = rig.act(&cancel).0.to_string();
    assert!(again.contains("never placed"), "{again}");
    assert_eq!(rig.info(query)["order"]["status"], "canceled");
    let unknown = rig.info(json!({"type": "orderStatus", "user": ADDRESS, "oid": cloid(99)}));
    assert_eq!(unknown, json!({"status": "unknownOid"}));
    // Refusals.
    for (price, size, tif, said) in [
        ("60000.5", "0.01", "Ioc", "tick size"),
        ("59000", "0.000001", "Gtc", "invalid size"),
        ("59000", "0.0001", "Gtc", "minimum value"),
        ("59000", "900", "Gtc", "nsufficient margin"),
        ("90000", "0.01", "Gtc", "reference price"),
    ] {
        let (status, _) = rig.order(true, price, size, tif, 50);
        assert!(status["error"].as_str().unwrap().contains(said), "{price} {size}: {status}");
    }
    let (status, _) = rig.order(true, &(ask + 100).to_string(), "0.01", "Alo", 51);
    assert!(status["error"].as_str().unwrap().contains("Post only"));
    let more = rig.act(&order(true, &(ask + 100).to_string(), "0.01", "Ioc", 52, true)).0.to_string();
    assert!(more.contains("Reduce only"), "{more}");
    // Prices with trailing zeros are hashed without them by the venue: the client must do the same.
    let mut zeros = sign(&order(true, "59000", "0.01", "Gtc", 53, false), rig.nonce + 1, None, KEY).unwrap();
    zeros["action"]["orders"][0]["p"] = json!("59000.0");
    assert_eq!(rig.post(&zeros).0["status"], "ok");
}

#[test]
fn orders_wait_for_their_block_in_which_post_only_orders_and_cancels_come_first() {
    let mut rig = Rig::new();
    let (bid, ask) = (rig.best(Side::Buy), rig.best(Side::Sell));
    rig.order(true, &(bid - 1_000).to_string(), "0.01", "Gtc", 1);
    rig.take(USER);
    // A third of a block in: there is time for all of them.
    let begun = (rig.now.div_euclid(BLOCK) + 1) * BLOCK;
    rig.run(begun + BLOCK / 3 - rig.now);
    rig.take(MARKET);
    rig.take(USER);
    let actions = [
        order(true, &(ask + 100).to_string(), "0.01", "Ioc", 2, false),
        json!({"type": "cancelByCloid", "cancels": [{"asset": 3, "cloid": cloid(1)}]}),
        order(true, &(bid - 1_000).to_string(), "0.01", "Alo", 3, false),
    ];
    for (id, action) in actions.iter().enumerate() {
        rig.nonce += 1;
        let request = sign(action, rig.nonce, None, KEY).expect("a key");
        let request = json!({"type": "action", "payload": request});
        rig.send(MARKET, &json!({"method": "post", "id": id, "request": request}));
        rig.run(2 * MILLI);
    }
    rig.run(begun + BLOCK - 1 - rig.now);
    assert_eq!((rig.take(MARKET), rig.take(USER)), (vec![], vec![]), "nothing before the block");
    rig.run(3 * MILLI);
    let replies = rig.take(MARKET);
    let ids: Vec<u64> = replies.iter().filter_map(|reply| reply["data"]["id"].as_u64()).collect();
    assert_eq!(ids, [2, 1, 0], "the order of the block, not the one in which they were sent");
    let oid = |at: usize, kind: &str| {
        let status = &replies[at]["data"]["response"]["payload"]["response"]["data"]["statuses"][0];
        status[kind]["oid"].as_u64().unwrap_or_else(|| panic!("{status}"))
    };
    assert!(oid(0, "resting") < oid(2, "filled"));
}

#[test]
fn a_dead_mans_switch_cancels_all_and_has_a_daily_limit() {
    let mut rig = Rig::new();
    let price = (rig.best(Side::Buy) - 1_000).to_string();
    let at = |rig: &Rig, ns: Nanos| wire::ms(rig.now + ns);
    let soon = json!({"type": "scheduleCancel", "time": at(&rig, 4 * SECOND)});
    assert_eq!(rig.act(&soon).0["status"], "err", "five seconds at least");
    for trigger in 0..TRIGGERS_PER_DAY_MAX {
        rig.order(true, &price, "0.01", "Gtc", 1 + trigger as u8);
        let arm = json!({"type": "scheduleCancel", "time": at(&rig, 6 * SECOND)});
        assert_eq!(rig.act(&arm).0["status"], "ok");
        rig.run(5 * SECOND);
        assert_eq!(rig.info(json!({"type": "openOrders", "user": ADDRESS})).as_array().unwrap().len(), 1);
        rig.run(2 * SECOND);
        assert_eq!(rig.info(json!({"type": "openOrders", "user": ADDRESS})), json!([]));
        let status =
            rig.info(json!({"type": "orderStatus", "user": ADDRESS, "oid": cloid(1 + trigger as u8)}));
        assert_eq!(status["order"]["status"], "scheduledCancel");
        rig.run(30 * SECOND); // the budget of questions
        rig.send(USER, &json!({"method": "ping"}));
    }
    let arm = json!({"type": "scheduleCancel", "time": at(&rig, 6 * SECOND)});
    assert_eq!(rig.act(&arm).0["status"], "err", "ten a day");
}

#[test]
fn an_account_shows_its_settings_its_agents_and_what_its_address_may_still_do() {
    let agent = "0x14791697260e4c9a71f18484c9f997b308e59325";
    let mut rig = Rig::with(|venue| {
        venue.address_requests = 100;
        let settings = &mut venue.accounts[0].settings;
        (settings.traded_usd, settings.isolated, settings.leverage, settings.multi_asset) =
            (0, true, 20, true);
        settings.agent_valid_ns = 3_600 * SECOND;
    });
    let ask =
        |rig: &mut Rig, kind: &str, user: &str| rig.info(json!({"type": kind, "user": user, "coin": "BTC"}));
    assert_eq!(ask(&mut rig, "userRole", ADDRESS), json!({"role": "user"}));
    assert_eq!(ask(&mut rig, "userRole", agent), json!({"role": "agent", "data": {"user": ADDRESS}}));
    assert_eq!(ask(&mut rig, "userRole", &format!("0x{}", "1".repeat(40))), json!({"role": "missing"}));
    let agents = ask(&mut rig, "extraAgents", ADDRESS);
    let ends = agents.as_array().unwrap().iter().find(|row| row["address"] == agent).unwrap();
    assert_eq!(ends["validUntil"], wire::ms(START + 3_600 * SECOND));
    assert_eq!(ask(&mut rig, "userAbstraction", ADDRESS), "unifiedAccount");
    assert_eq!(ask(&mut rig, "userFees", ADDRESS)["userCrossRate"], "0.00045");
    let asset = ask(&mut rig, "activeAssetData", ADDRESS);
    assert_eq!(asset["leverage"], json!({"type": "isolated", "value": 20, "rawUsd": "0.0"}));
    let time = rig.info(json!({"type": "exchangeStatus"}))["time"].as_i64().unwrap();
    assert!((0..70).contains(&(wire::ms(rig.now) - time)), "the time of a block");
    // An action costs one, what is traded is granted.
    let best = rig.best(Side::Sell);
    rig.order(true, &(best + 100).to_string(), "0.001", "Ioc", 1);
    let limits = ask(&mut rig, "userRateLimit", ADDRESS);
    let volume: f64 = limits["cumVlm"].as_str().unwrap().parse().unwrap();
    assert!(volume > 50.0 && limits["nRequestsUsed"] == 1, "{limits}");
    assert_eq!(limits["nRequestsCap"], 100 + volume as i64);
    let arm = json!({"type": "scheduleCancel", "time": wire::ms(rig.now + 60 * SECOND)});
    let said = rig.act(&arm).0["response"].to_string();
    assert!(said.contains("until enough volume traded. Required: $1000000. Traded: $"), "{said}");
    // The approval ends, and with it every action.
    rig.run(3_601 * SECOND);
    rig.reconnect();
    let said = rig.act(&order(true, "50000", "0.001", "Gtc", 9, false)).0["response"].to_string();
    assert!(said.contains("does not exist"), "{said}");
    assert_eq!(ask(&mut rig, "userRole", agent), json!({"role": "missing"}));
}

#[test]
fn an_address_without_requests_is_refused_and_may_still_cancel() {
    let mut rig = Rig::with(|venue| {
        venue.address_requests = 2;
        venue.accounts[0].settings.traded_usd = 0;
    });
    let price = (rig.best(Side::Buy) - 1_000).to_string();
    for id in 1..=3 {
        rig.order(true, &price, "0.01", "Gtc", id);
    }
    let said = rig.act(&order(true, &price, "0.01", "Gtc", 4, false)).0["response"].to_string();
    assert!(said.contains("Too many cumulative requests sent (4 > 2)"), "{said}");
    let cancel = json!({"type": "cancelByCloid", "cancels": [{"asset": 3, "cloid": cloid(1)}]});
    assert_eq!(rig.act(&cancel).0["response"]["data"]["statuses"], json!(["success"]));
}

#[test]
fn funding_is_paid_every_hour_and_questions_have_a_budget() {
    let mut rig = Rig::new();
    let ask = rig.best(Side::Sell);
    rig.order(true, &(ask + 100).to_string(), "0.1", "Ioc", 1);
    let mut paid = Vec::new();
    for _ in 0..70 {
        rig.run(60 * SECOND);
        for conn in [USER, MARKET] {
            rig.send(conn, &json!({"method": "ping"}));
        }
        paid.extend(rig.take(USER).into_iter().filter(|m| m["channel"] == "userFundings"));
    }
    let ledger = rig.server.ledger().funding().to_vec();
    assert_eq!((paid.len(), ledger.len()), (1, 1));
    assert_eq!(paid[0]["data"]["fundings"][0]["usdc"], rows::amount(ledger[0].amount));
    let ask = |rig: &mut Rig| {
        let body = json!({"type": "userFills", "user": ADDRESS}).to_string().into_bytes();
        let request =
            HttpRequest { method: "POST".into(), path: "/info".into(), body, ..HttpRequest::default() };
        rig.server.on_http(&request, rig.now, &mut rig.out).status
    };
    let statuses: Vec<u16> = (0..61).map(|_| ask(&mut rig)).collect();
    assert!(statuses[..60].iter().all(|status| *status == 200) && statuses[60] == 429);
}

#[test]
fn a_modified_order_ends_and_a_new_one_with_a_number_of_its_own_takes_its_place() {
    let mut rig = Rig::new();
    let (placed, _) = rig.order(true, "50000", "0.001", "Gtc", 1);
    let first = placed["resting"]["oid"].as_u64().expect("a number");
    let changed = |oid: Value, price: &str, tif: &str, id: u8| {
        let order = order(true, price, "0.002", tif, id, false)["orders"][0].clone();
        json!({"type": "batchModify", "modifies": [{"oid": oid, "order": order}]})
    };
    let status = |reply: &Value| reply["response"]["data"]["statuses"][0].clone();
    // By our id, with another id for the new one.
    let (reply, news) = rig.act(&changed(json!(cloid(1)), "51000", "Gtc", 2));
    let second = status(&reply)["resting"]["oid"].as_u64().expect("a number");
    assert!(second != first && status(&reply)["resting"]["cloid"] == cloid(2), "{reply}");
    let told: Vec<(Value, Value, Value)> = news
        .iter()
        .flat_map(|news| news["data"].as_array().expect("a list").clone())
        .map(|row| (row["order"]["oid"].clone(), row["order"]["cloid"].clone(), row["status"].clone()))
        .collect();
    let expected =
        [(json!(first), json!(cloid(1)), json!("canceled")), (json!(second), json!(cloid(2)), json!("open"))];
    assert_eq!(told, expected);
    // What has ended is not modified, whoever ended it.
    let (reply, news) = rig.act(&changed(json!(cloid(1)), "51000", "Gtc", 3));
    assert!(status(&reply)["error"].as_str().unwrap().starts_with("Cannot modify canceled or filled order"));
    assert_eq!(news, Vec::<Value>::new());
    // What is wrong by itself leaves the old one, what the engine refuses does not.
    let (reply, news) = rig.act(&changed(json!(second), "51000.123", "Gtc", 3));
    assert!(status(&reply)["error"].as_str().unwrap().starts_with("Price must be divisible"), "{reply}");
    assert_eq!(news, Vec::<Value>::new());
    let (reply, news) = rig.act(&changed(json!(second), "90000", "Alo", 3));
    let text = status(&reply)["error"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Error placing new order during modify: "), "{text}");
    assert_eq!(news[0]["data"][0]["status"], "canceled");
    // The other form has no list of statuses.
    let (placed, _) = rig.order(true, "50000", "0.001", "Gtc", 4);
    let row = changed(placed["resting"]["oid"].clone(), "50500", "Gtc", 5)["modifies"][0].clone();
    let action = json!({"type": "modify", "oid": row["oid"], "order": row["order"]});
    let (reply, _) = rig.act(&action);
    assert_eq!(reply, json!({"status": "ok", "response": {"type": "default"}}));
    let (reply, _) = rig.act(&action);
    assert_eq!(reply["status"], "err", "{reply}");
}
