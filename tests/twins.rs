//! What every dialect with a second market connection promises, held to by its own adapter and encoder against a
//! small venue: the first copy of a message counts, what one connection loses the other fills in, a planned end
//! costs no book, and requests keep within what the venue documents.

use perpring::domain::effect::{Payload, SecretSlot, SessionAction, VenueCall};
use perpring::domain::event::{BookState, EventBody};
use perpring::domain::input::{ConnId, DownReason, FrameMeta};
use perpring::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use perpring::domain::number::Num;
use perpring::domain::params::{Extras, ListingParams, MarketCopies, VenueParams};
use perpring::domain::text::Symbol;
use perpring::domain::time::{MILLI, Nanos, SECOND, Stamp};
use perpring::venue::{Adapter, Emit, Encoder, Out, VenueContext, dialect};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const WALL: Nanos = 1_790_000_000 * SECOND;
/// The first and the second market connection, without orders.
const TWINS: [u8; 2] = [0, 1];
/// Dialects with one kind of market connection, which get their snapshots on it.
const DIALECTS: [&str; 4] = ["okx", "bybit", "deribit", "hyperliquid"];

/// Levels by price in ticks, bids and asks.
type Levels = [BTreeMap<i64, i64>; 2];

/// The venue's book: every step changes one level a side.
#[derive(Clone, Default)]
struct Model {
    step: u64,
    levels: Levels,
}

impl Model {
    fn next(&mut self) -> [(i64, i64); 2] {
        self.step += 1;
        let n = self.step as i64;
        let qty = if n % 4 == 0 && n > 8 { 0 } else { n % 50 + 1 };
        let changed = [(1_000 - n * 7 % 5, qty), (1_001 + n * 5 % 6, qty)];
        for (side, (price, qty)) in changed.into_iter().enumerate() {
            if qty == 0 {
                self.levels[side].remove(&price);
            } else {
                self.levels[side].insert(price, qty);
            }
        }
        changed
    }
}

/// A book message in the words of a venue: the whole book, or a change of it.
fn frame(venue: &str, symbol: &str, model: &Model, changed: Option<[(i64, i64); 2]>) -> String {
    let whole = |side: usize| model.levels[side].iter().map(|(price, qty)| (*price, *qty)).collect();
    let sides: [Vec<(i64, i64)>; 2] = match changed {
        Some(changed) if venue != "hyperliquid" => changed.map(|level| vec![level]),
        _ => [whole(0), whole(1)],
    };
    let texts = |side: usize| -> Vec<[String; 2]> {
        sides[side]
            .iter()
            .map(|(price, qty)| [format!("{}.{}", price / 10, price % 10), qty.to_string()])
            .collect()
    };
    let (step, ms) = (model.step, 1_787_612_000_000 + model.step);
    let is_whole = changed.is_none();
    match venue {
        "okx" => {
            let rows = |side| -> Vec<Value> { texts(side).iter().map(|[p, q]| json!([p, q, "0", "1"])).collect() };
            json!({"arg": {"channel": "books", "instId": symbol}, "action": if is_whole { "snapshot" } else { "update" },
                "data": [{"bids": rows(0), "asks": rows(1), "ts": ms.to_string(), "checksum": 0, "seqId": step,
                    "prevSeqId": if is_whole { -1 } else { step as i64 - 1 }}]})
        }
        "bybit" => json!({"topic": format!("orderbook.50.{symbol}"), "type": if is_whole { "snapshot" } else { "delta" },
            "ts": ms, "data": {"s": symbol, "b": texts(0), "a": texts(1), "u": step, "seq": 10 * step}, "cts": ms}),
        "deribit" => {
            let rows = |side: usize| -> Vec<Value> {
                let row = |(price, qty): &(i64, i64)| {
                    json!([if *qty == 0 { "delete" } else { "change" }, *price as f64 / 10.0, *qty as f64])
                };
                sides[side].iter().map(row).collect()
            };
            let mut data = json!({"type": if is_whole { "snapshot" } else { "change" }, "timestamp": ms, "change_id": step,
                "instrument_name": symbol, "bids": rows(0), "asks": rows(1)});
            if !is_whole {
                data["prev_change_id"] = (step - 1).into();
            }
            json!({"jsonrpc": "2.0", "method": "subscription",
                "params": {"channel": format!("book.{symbol}.100ms"), "data": data}})
        }
        _ => {
            let rows = |side: usize| -> Vec<Value> {
                let mut rows = texts(side);
                if side == 0 {
                    rows.reverse();
                }
                rows.iter().map(|[px, sz]| json!({"px": px, "sz": sz, "n": 1})).collect()
            };
            json!({"channel": "l2Book", "data": {"coin": symbol, "time": ms, "levels": [rows(0), rows(1)]}})
        }
    }
    .to_string()
}

/// A trade of the first listing.
fn trade(venue: &str, id: &str) -> String {
    let symbol = &names(venue, 1)[0];
    let number: u64 = id.parse().expect("a number");
    match venue {
        "okx" => json!({"arg": {"channel": "trades", "instId": symbol}, "data": [{"instId": symbol, "tradeId": id,
            "px": "100.1", "sz": "3", "side": "buy", "ts": "1787612000000", "count": "1", "seqId": 9}]}),
        "bybit" => json!({"topic": format!("publicTrade.{symbol}"), "type": "snapshot", "ts": 5, "data": [{"i": id,
            "T": 5, "p": "100.1", "v": "3", "S": "Buy", "seq": 9, "s": symbol, "BT": false, "RPI": false}]}),
        "deribit" => json!({"jsonrpc": "2.0", "method": "subscription", "params": {
            "channel": format!("trades.{symbol}.100ms"), "data": [{"trade_seq": 1, "trade_id": id, "timestamp": 5,
            "price": 100.1, "instrument_name": symbol, "direction": "sell", "amount": 3.0}]}}),
        _ => json!({"channel": "trades", "data": [{"coin": symbol, "side": "B", "px": "100.1", "sz": "3",
            "time": 1_799_999_999_999u64, "hash": "0x1", "tid": number, "users": ["0x1", "0x2"]}]}),
    }
    .to_string()
}

/// What the venue answers to a request.
fn answers(venue: &str, request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<Value>(request) else { return vec!["pong".to_owned()] };
    let say = |value: Value| vec![value.to_string()];
    match venue {
        "okx" => {
            let args = request["args"].as_array().expect("arguments").iter();
            args.map(|arg| json!({"event": request["op"], "arg": arg, "connId": "a"}).to_string()).collect()
        }
        "bybit" if request["op"] == "ping" => {
            say(json!({"success": true, "ret_msg": "pong", "conn_id": "a", "op": "ping"}))
        }
        "bybit" => say(json!({"success": true, "ret_msg": "", "conn_id": "a", "req_id": request["req_id"],
            "op": request["op"]})),
        "deribit" => {
            let result = match request["method"].as_str().expect("a method") {
                "public/subscribe" | "public/unsubscribe" => request["params"]["channels"].clone(),
                "public/get_time" => json!(1_790_000_000_000u64),
                "public/test" => json!({"version": "1.2.26"}),
                _ => json!("ok"),
            };
            say(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
        }
        "hyperliquid" if request["method"] == "ping" => say(json!({"channel": "pong"})),
        "hyperliquid" => say(json!({"channel": "subscriptionResponse", "data": request})),
        _ => say(json!({"result": null, "id": request["id"]})),
    }
}

/// A dialect and its venue.
struct World {
    venue: &'static str,
    symbols: Vec<String>,
    adapter: Box<dyn Adapter>,
    encoder: Box<dyn Encoder>,
    out: Out,
    now: Nanos,
    epoch: u32,
    up: Vec<u8>,
    /// Every request: when it was sent, and in which life of a connection.
    sent: Vec<(Nanos, usize, String)>,
    /// The present life of each connection.
    lives: [usize; 4],
    connects: usize,
    /// As the scanner has it, by listing.
    books: Vec<(BookState, Levels)>,
    invalid: usize,
}

impl World {
    /// Started, every listing defined, the connections up and their subscriptions answered.
    fn new(venue: &'static str, symbols: Vec<String>, copies: MarketCopies, extras: Extras) -> Self {
        let listing = |(at, symbol): (usize, &String)| ListingParams {
            id: InstrumentId(at as u16),
            venue: VenueId(0),
            canonical: CanonicalId(at as u16),
            symbol: Symbol::new(symbol).expect("a name"),
        };
        let context = VenueContext {
            venue: VenueId(0),
            params: VenueParams { market_copies: copies, extras, ..VenueParams::default() },
            listings: symbols.iter().enumerate().map(listing).collect(),
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: false,
        };
        let dialect = dialect(venue).expect("a dialect");
        let mut world = Self {
            venue,
            adapter: dialect.adapter(&context),
            encoder: dialect.encoder(&context),
            out: Out::with_capacity(4096),
            now: SECOND,
            epoch: 0,
            up: Vec::new(),
            sent: Vec::new(),
            lives: [0; 4],
            connects: 0,
            books: vec![(BookState::AwaitSnapshot, Levels::default()); symbols.len()],
            invalid: 0,
            symbols,
        };
        world.adapter.on_start(world.at(), &mut world.out);
        for at in 0..world.symbols.len() {
            let id = InstrumentId(at as u16);
            let spec = VenueSpec {
                instrument: id,
                multiplier: Num::new(1, 0),
                tick: Num::new(1, 1),
                step: Num::new(1, 0),
                status: Status::Trading,
                ..VenueSpec::default()
            };
            let instrument = Instrument {
                id,
                symbol: Symbol::new(&world.symbols[at]).expect("a name"),
                spec,
                price_scale: 1,
                qty_scale: 0,
                tick: 1,
                step: 1,
                qty_min: Qty(1),
                qty_max: Qty(i64::MAX),
                generation: 1,
                ..Instrument::default()
            };
            world.encoder.on_instrument(&instrument);
            world.adapter.on_instrument(&instrument, world.at(), &mut world.out);
        }
        world.pass(100 * MILLI);
        world
    }

    fn at(&self) -> Stamp {
        Stamp { mono: self.now, wall: WALL + self.now }
    }

    /// Time passes in steps of 10 ms.
    fn pass(&mut self, span: Nanos) {
        let until = self.now + span;
        while self.now < until {
            self.now = (self.now + 10 * MILLI).min(until);
            self.adapter.on_tick(self.at(), &mut self.out);
            self.look();
        }
    }

    /// Reads what was emitted, and does what a venue does with it.
    fn look(&mut self) {
        while !self.out.items().is_empty() {
            let items = self.out.items().to_vec();
            self.out.clear();
            for item in items {
                match item {
                    Emit::Event(event) => self.on_event(&event),
                    Emit::Action(SessionAction::Connect { conn, .. }) => {
                        self.lives[usize::from(conn.0)] = self.connects;
                        self.connects += 1;
                        self.up.push(conn.0);
                        self.epoch += 1;
                        self.adapter.on_conn_up(conn, self.epoch, self.at(), &mut self.out);
                    }
                    Emit::Action(SessionAction::Close { conn }) => self.lose(conn.0),
                    Emit::Action(SessionAction::Send { conn, what }) => self.on_send(conn, what),
                    _ => {}
                }
            }
        }
    }

    fn on_event(&mut self, event: &EventBody) {
        match event {
            EventBody::Book(status) => {
                self.invalid += usize::from(status.state == BookState::Invalid);
                self.books[usize::from(status.instrument.0)].0 = status.state;
            }
            EventBody::Levels(chunk) => {
                let book = &mut self.books[usize::from(chunk.instrument.0)].1;
                if chunk.clear {
                    *book = Levels::default();
                }
                let bids = usize::from(chunk.bids);
                for (i, (price, qty)) in chunk.levels[..bids + usize::from(chunk.asks)].iter().enumerate() {
                    let side = &mut book[usize::from(i >= bids)];
                    if qty.0 == 0 {
                        side.remove(&price.0);
                    } else {
                        side.insert(price.0, qty.0);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_send(&mut self, conn: ConnId, what: VenueCall) {
        let mut payload = Payload::new();
        self.encoder.send(conn, what, self.at(), &mut payload).expect("it fits");
        let text = String::from_utf8(payload.text().to_vec()).expect("text");
        for answer in answers(self.venue, &text) {
            self.say(conn.0, &answer);
        }
        self.sent.push((self.now, self.lives[usize::from(conn.0)], text));
    }

    fn say(&mut self, conn: u8, text: &str) {
        let meta = FrameMeta { conn: ConnId(conn), epoch: self.epoch, ..FrameMeta::default() };
        self.adapter.on_frame(meta, text.as_bytes(), self.at(), &mut self.out);
    }

    fn lose(&mut self, conn: u8) {
        self.up.retain(|up| *up != conn);
        self.adapter.on_conn_down(ConnId(conn), self.epoch, DownReason::Closed, self.at(), &mut self.out);
    }
}

fn names(venue: &str, count: usize) -> Vec<String> {
    let name = |i: usize| match venue {
        "okx" => format!("COIN{i:03}-USDT-SWAP"),
        "deribit" => format!("COIN{i:03}_USDC-PERPETUAL"),
        "hyperliquid" => format!("COIN{i:03}"),
        _ => format!("1000000COIN{i:03}XUSDT"),
    };
    (0..count).map(name).collect()
}

/// One book on the connections of a venue.
struct Pair {
    world: World,
    model: Model,
    /// Connections to which the book was told since they stand.
    told: Vec<u8>,
}

impl Pair {
    fn live(venue: &'static str, copies: MarketCopies) -> Self {
        let world = World::new(venue, names(venue, 1), copies, Extras::default());
        let mut pair = Self { world, model: Model::default(), told: Vec::new() };
        for _ in 0..20 {
            pair.model.next();
        }
        pair.rounds(10);
        assert_eq!(pair.world.books[0].0, BookState::Live, "{venue}");
        pair
    }

    /// The venue tells what changes every 100 ms to whoever is connected, after a snapshot.
    fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.world.pass(100 * MILLI);
            self.told.retain(|told| self.world.up.contains(told));
            let changed = self.model.next();
            for conn in self.world.up.clone() {
                let is_new = !self.told.contains(&conn);
                let text = frame(
                    self.world.venue,
                    &self.world.symbols[0],
                    &self.model,
                    (!is_new).then_some(changed),
                );
                self.world.say(conn, &text);
                self.world.look();
                if is_new {
                    self.told.push(conn);
                }
            }
        }
    }

    fn assert_whole(&self) {
        let (venue, (state, levels)) = (self.world.venue, &self.world.books[0]);
        assert_eq!((*state, levels), (BookState::Live, &self.model.levels), "{venue}");
        assert_eq!(self.world.invalid, 0, "{venue}");
    }
}

#[test]
fn before_a_day_is_over_a_second_connection_takes_over_and_no_book_goes_invalid() {
    for venue in DIALECTS {
        let mut pair = Pair::live(venue, MarketCopies::Relay);
        for way in 0..3 {
            let (old, new) = (TWINS[way % 2], TWINS[1 - way % 2]);
            assert_eq!(pair.world.up, [old], "{venue}");
            // Frames must have come at all times for the connection to count as alive.
            pair.world.now += 23 * 3600 * SECOND + 900 * SECOND;
            pair.rounds(100);
            assert_eq!(pair.world.up, [new], "{venue}");
            pair.assert_whole();
        }
        assert_eq!(pair.world.connects, 4, "{venue}: made before the other was broken");
    }
}

#[test]
fn either_of_two_connections_may_be_cut_and_no_book_is_lost() {
    for venue in DIALECTS {
        let mut pair = Pair::live(venue, MarketCopies::Two);
        for lost in [0, 1, 0] {
            assert_eq!(pair.world.up.len(), 2, "{venue}");
            pair.world.lose(lost);
            pair.world.look();
            pair.assert_whole();
            // Connects are spaced.
            pair.rounds(60);
            pair.assert_whole();
        }
        let one = Pair::live(venue, MarketCopies::One);
        assert_eq!((one.world.up.as_slice(), one.world.connects), (&[0][..], 1), "{venue}");
    }
}

#[test]
fn a_connection_that_is_silent_while_the_other_is_not_is_made_anew_and_no_book_is_lost() {
    for venue in DIALECTS {
        let mut pair = Pair::live(venue, MarketCopies::Two);
        pair.rounds(400);
        let (connects, from) = (pair.world.connects, pair.world.now);
        // The venue goes on hearing and answering it, tells trades on it, and says nothing of the book.
        while pair.world.connects == connects {
            pair.world.pass(100 * MILLI);
            let changed = pair.model.next();
            let text = frame(venue, &pair.world.symbols[0], &pair.model, Some(changed));
            pair.world.say(1, &text);
            pair.world.say(0, &trade(venue, &pair.model.step.to_string()));
            pair.world.look();
            assert!(pair.world.now - from < 6 * SECOND, "{venue}: seconds, once it is known how busy it is");
        }
        pair.assert_whole();
    }
}

#[test]
fn whatever_one_of_two_connections_loses_or_says_twice_the_book_is_the_same() {
    let mut random = 11u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for venue in DIALECTS {
        let (mut lost, mut twice) = (0, 0);
        for _ in 0..40 {
            let mut pair = Pair::live(venue, MarketCopies::Two);
            let mut script = Vec::new();
            for _ in 0..60 {
                let changed = pair.model.next();
                let text = frame(venue, &pair.world.symbols[0], &pair.model, Some(changed));
                // Never lost on both, and the last one on neither.
                script.push((text, if script.len() < 59 { draw(6) as usize } else { 9 }, draw(8) as usize));
            }
            let mut next = [0; 2];
            while next != [script.len(); 2] {
                // Neither is more than eight messages behind.
                let copy = match (next[0] as i64 - next[1] as i64, draw(2) as usize) {
                    (8.., _) => 1,
                    (..=-8, _) => 0,
                    (_, copy) if next[copy] == script.len() => 1 - copy,
                    (_, copy) => copy,
                };
                let (text, loser, repeats) = &script[next[copy]];
                next[copy] += 1;
                pair.world.pass(5 * MILLI);
                for _ in 0..1 + usize::from(*repeats == copy) {
                    if *loser != copy {
                        pair.world.say(TWINS[copy], text);
                        pair.world.look();
                    }
                }
                lost += usize::from(*loser == copy);
                twice += usize::from(*repeats == copy);
            }
            pair.assert_whole();
        }
        assert!(lost > 200 && twice > 200, "{venue}: {lost}, {twice}");
    }
}

#[test]
fn a_trade_that_two_connections_bring_is_told_once() {
    for venue in DIALECTS {
        let mut pair = Pair::live(venue, MarketCopies::Two);
        let mut told = 0;
        // The second connection alone brings the last one. Where identities have no order, these have none.
        let ids = if venue == "okx" { ["17", "500", "9001"] } else { ["9001", "17", "500"] };
        for (id, copies) in ids.into_iter().zip([&TWINS[..], &TWINS[..], &[1]]) {
            for conn in copies {
                pair.world.say(*conn, &trade(venue, id));
                let is_trade = |item: &&Emit| matches!(item, Emit::Event(EventBody::Trade(_)));
                told += pair.world.out.items().iter().filter(is_trade).count();
                pair.world.look();
            }
        }
        assert_eq!(told, 3, "{venue}");
    }
}

/// The most requests (pings are none) within any `window` on one connection.
fn busiest(world: &World, window: Nanos) -> usize {
    let times = |life: usize| -> Vec<Nanos> {
        world.sent.iter().filter(|(_, of, text)| *of == life && text != "ping").map(|(at, ..)| *at).collect()
    };
    let most = |times: Vec<Nanos>| {
        (0..times.len())
            .map(|i| times[..=i].iter().filter(|at| **at > times[i] - window).count())
            .max()
            .unwrap_or(0)
    };
    (0..world.connects).map(|life| most(times(life))).max().unwrap_or(0)
}

#[test]
fn a_hundred_and_fifty_listings_are_asked_for_within_what_each_venue_documents() {
    for venue in ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"] {
        let extras = if venue == "bybit" { Extras::FREE } else { Extras::ALL };
        let mut world = World::new(venue, names(venue, 150), MarketCopies::Two, extras);
        world.pass(90 * SECOND);
        let asked: Vec<(usize, Value)> = world
            .sent
            .iter()
            .filter_map(|(_, life, text)| Some((*life, serde_json::from_str(text).ok()?)))
            .collect();
        let list = |request: &Value| -> Vec<String> {
            let list = [&request["args"], &request["params"], &request["params"]["channels"]];
            let found = list.into_iter().find_map(Value::as_array);
            found.map_or_else(Vec::new, |list| list.iter().map(|item| item.to_string()).collect())
        };
        let of = |life: usize| asked.iter().filter(move |(on, _)| *on == life).map(|(_, request)| request);
        for symbol in &world.symbols {
            let (lower, quoted) = (symbol.to_lowercase(), format!("{symbol}\""));
            let names_it =
                |(.., text): &(Nanos, usize, String)| text.contains(symbol) || text.contains(&lower);
            assert!(world.sent.iter().any(names_it), "{venue}: {quoted} is asked for");
        }
        let longest = world.sent.iter().map(|(.., text)| text.len()).max().unwrap_or(0);
        for life in 0..world.connects {
            // What is asked for again is not more.
            let topics: BTreeSet<String> = of(life).flat_map(list).collect();
            match venue {
                "binance-usdm" => assert!(topics.len() <= 1_024, "streams: {}", topics.len()),
                "bybit" => {
                    let characters: usize = topics.iter().map(|topic| topic.len() + 1).sum();
                    assert!(characters <= 21_000, "{characters}");
                }
                "deribit" => assert!(of(life).all(|request| list(request).len() <= 500)),
                _ => {}
            }
        }
        match venue {
            "binance-usdm" => assert!(busiest(&world, SECOND) <= 10, "{}", busiest(&world, SECOND)),
            "okx" => {
                let count = busiest(&world, 3600 * SECOND);
                assert!(count <= 480 && longest <= 64 << 10, "{count}, {longest}, {}", world.connects);
            }
            "deribit" => assert_credits(&world),
            "hyperliquid" => {
                let is_one = |(_, request): &&(usize, Value)| request["method"] == "subscribe";
                let all: BTreeSet<String> =
                    asked.iter().filter(is_one).map(|(_, request)| request.to_string()).collect();
                assert_eq!(all.len(), 600, "of 1,000: there is no room for a second connection");
                assert_eq!(world.connects, 1);
                assert!(busiest(&world, 60 * SECOND) <= 2_000);
            }
            _ => {}
        }
    }
}

/// An address has 50,000 credits, of which 10,000 flow in each second; a subscription costs 3,000, anything else 500.
fn assert_credits(world: &World) {
    let (mut level, mut last) = (50_000.0f64, 0);
    for (at, _, text) in &world.sent {
        level = (level + (at - last) as f64 / SECOND as f64 * 10_000.0).min(50_000.0);
        level -= if text.contains("subscribe") { 3_000.0 } else { 500.0 };
        last = *at;
        assert!(level >= 0.0, "{text}");
    }
}

#[test]
fn a_book_that_is_lost_again_and_again_does_not_use_up_the_requests_of_a_connection() {
    let mut world = World::new("okx", names("okx", 6), MarketCopies::One, Extras::default());
    let mut model = Model::default();
    let mut read = 0;
    for _ in 0..4_000 {
        world.pass(SECOND);
        // Whenever a book is asked for it comes, and then a change that does not follow.
        let texts: Vec<String> = world.sent[read..].iter().map(|(.., text)| text.clone()).collect();
        read = world.sent.len();
        for request in texts.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok()) {
            let args = request["args"].as_array().expect("arguments").iter();
            for arg in args.filter(|arg| request["op"] == "subscribe" && arg["channel"] == "books") {
                let symbol = arg["instId"].as_str().expect("a name");
                model.next();
                world.say(0, &frame("okx", symbol, &model, None));
                model.next();
                let changed = model.next();
                world.say(0, &frame("okx", symbol, &model, Some(changed)));
            }
        }
        world.look();
    }
    let count = busiest(&world, 3600 * SECOND);
    assert!((400..=480).contains(&count), "{count}");
}

#[test]
fn two_hundred_listings_leave_no_room_for_a_second_connection_where_an_address_shares_its_subscriptions() {
    let max = |copies| dialect("hyperliquid").expect("a dialect").listings_max(Extras::ALL, copies);
    assert_eq!((max(MarketCopies::Relay), max(MarketCopies::Two)), (249, 124));
    let max = |extras| dialect("bybit").expect("a dialect").listings_max(extras, MarketCopies::Two);
    assert_eq!((max(Extras::FREE), max(Extras::ALL)), (153, 120));
}
