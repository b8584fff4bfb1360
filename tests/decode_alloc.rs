//! Decoders and session machines allocate nothing per message once the books stand.
//!
//! Every adapter of the crate is brought up as in a run (its subscriptions rendered by its own encoder and
//! acknowledged), then fed thousands of prepared frames under the counting allocator.

use crate::alloc::allocations;
use perpring::domain::effect::{Payload, SecretSlot, SessionAction};
use perpring::domain::event::{BookState, EventBody};
use perpring::domain::input::{ConnId, FrameMeta};
use perpring::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use perpring::domain::number::Num;
use perpring::domain::params::{Extras, ListingParams, VenueParams};
use perpring::domain::text::{Currency, Symbol};
use perpring::domain::time::{MILLI, SECOND, Stamp};
use perpring::venue::{Adapter, Dialect, Emit, Encoder, Out, VenueContext, dialect};

/// Messages that warm up caches and lazily made buffers, and messages that are counted.
const WARM: usize = 200;
const COUNTED: usize = 5_000;

/// A venue under test: its adapter and encoder, and a clock that the test moves.
struct Bench {
    dialect: &'static dyn Dialect,
    context: VenueContext,
    adapter: Box<dyn Adapter>,
    encoder: Box<dyn Encoder>,
    out: Out,
    now: i64,
}

impl Bench {
    fn new(dialect: &'static dyn Dialect, symbol: &str) -> Self {
        let listing = ListingParams {
            id: InstrumentId(0),
            venue: VenueId(0),
            canonical: CanonicalId(0),
            symbol: Symbol::new(symbol).unwrap(),
        };
        let context = VenueContext {
            venue: VenueId(0),
            params: VenueParams { extras: Extras::ALL, ..VenueParams::default() },
            listings: vec![listing],
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: false,
        };
        let mut bench = Self {
            adapter: dialect.adapter(&context),
            encoder: dialect.encoder(&context),
            dialect,
            context,
            out: Out::with_capacity(1024),
            now: SECOND,
        };
        let instrument = Instrument {
            symbol: listing.symbol,
            settle: Currency::new("USDT").unwrap(),
            spec: VenueSpec {
                multiplier: Num::new(1, 0),
                tick: Num::new(1, 1),
                step: Num::new(1, 2),
                status: Status::Trading,
                code: 10459,
                ..VenueSpec::default()
            },
            price_scale: 3,
            qty_scale: 3,
            tick: 100,
            step: 10,
            qty_min: Qty(10),
            qty_max: Qty(i64::MAX),
            generation: 1,
            ..Instrument::default()
        };
        bench.adapter.on_start(bench.stamp(), &mut bench.out);
        bench.out.clear();
        bench.encoder.on_instrument(&instrument);
        bench.adapter.on_instrument(&instrument, bench.stamp(), &mut bench.out);
        for conn in 0..dialect.connections(false).len() {
            bench.adapter.on_conn_up(ConnId(conn as u8), 1, bench.stamp(), &mut bench.out);
        }
        bench
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: self.now, wall: 1_700_000_000 * SECOND + self.now }
    }

    fn frame(&mut self, conn: u8, frame: &[u8]) {
        let meta =
            FrameMeta { conn: ConnId(conn), epoch: 1, last: true, drained: true, ..FrameMeta::default() };
        self.adapter.on_tick(self.stamp(), &mut self.out);
        self.adapter.on_frame(meta, frame, self.stamp(), &mut self.out);
    }

    /// Lets a second pass and answers what the session machine sends: subscriptions by `ack`, requests for
    /// the listing's depth by `snapshot`. Returns the book state that was told last.
    fn settle(
        &mut self,
        ack: impl Fn(&serde_json::Value) -> Option<String>,
        snapshot: &str,
    ) -> Option<BookState> {
        let mut state = None;
        for _ in 0..1_000 {
            self.now += MILLI;
            self.adapter.on_tick(self.stamp(), &mut self.out);
            let items = self.out.items().to_vec();
            self.out.clear();
            for item in items {
                match item {
                    Emit::Action(SessionAction::Send { conn, what }) => {
                        let mut payload = Payload::new();
                        self.encoder.send(conn, what, self.stamp(), &mut payload).unwrap();
                        let sent = serde_json::from_slice(payload.text()).unwrap_or_default();
                        if let Some(reply) = ack(&sent) {
                            self.frame(conn.0, reply.as_bytes());
                        }
                    }
                    Emit::Action(SessionAction::Http { id, what, .. }) if what.instrument.is_some() => {
                        self.adapter.on_http(id, 200, snapshot.as_bytes(), self.stamp(), &mut self.out);
                    }
                    Emit::Event(EventBody::Book(status)) => state = Some(status.state),
                    _ => {}
                }
            }
        }
        state
    }

    /// Puts the adapter's state into a new one, which goes on in its place.
    fn reload(&mut self) {
        let saved = self.adapter.save().expect("saves");
        self.adapter = self.dialect.adapter(&self.context);
        self.adapter.load(&saved).expect("loads");
    }

    /// Feeds the frames 100 µs apart, one half to an adapter that was loaded from the other's state; returns events and
    /// allocations of all but the first [`WARM`].
    fn run(&mut self, frames: &[(u8, String)]) -> (usize, u64) {
        let (mut events, mut before) = (0, 0);
        for (i, (conn, frame)) in frames.iter().enumerate() {
            if i == WARM {
                (events, before) = (0, allocations());
            }
            if i == WARM + COUNTED / 2 {
                let reloading = allocations();
                self.reload();
                before += allocations() - reloading;
            }
            self.now += MILLI / 10;
            self.frame(*conn, frame.as_bytes());
            for item in self.out.items() {
                match item {
                    Emit::Event(EventBody::Book(status)) => panic!("frame {i}: {status:?}"),
                    Emit::Event(_) => events += 1,
                    Emit::Odd(odd) => panic!("frame {i}: {odd:?}"),
                    _ => {}
                }
            }
            self.out.clear();
        }
        (events, allocations() - before)
    }
}

/// Levels around `base`, moving with `i`: some new, some changed, some deleted.
fn levels(base: usize, i: usize, tail: &str) -> String {
    let level = |k: usize| {
        format!(r#"["{}.{}","{}.{:02}"{tail}]"#, base + (i + k) % 50, k % 10, (i * 7 + k) % 5, k % 100)
    };
    (0..8).map(level).collect::<Vec<_>>().join(",")
}

#[test]
fn okx_allocates_nothing_per_message() {
    let mut bench = Bench::new(dialect("okx").expect("the dialect is registered"), "BTC-USDT-SWAP");
    bench.settle(|_| None, "");
    let arg = |channel: &str| format!(r#""arg":{{"channel":"{channel}","instId":"BTC-USDT-SWAP"}}"#);
    let depth = |action: &str, i: usize, prev: i64| {
        format!(
            r#"{{{},"action":"{action}","data":[{{"asks":[{}],"bids":[{}],"ts":"1787612486107","checksum":0,"seqId":{},"prevSeqId":{prev}}}]}}"#,
            arg("books"),
            levels(61_000, i, r#","0","3""#),
            levels(60_900, i, r#","0","3""#),
            i + 1,
        )
    };
    bench.frame(0, depth("snapshot", 0, -1).as_bytes());
    assert!(
        bench
            .out
            .items()
            .iter()
            .any(|i| matches!(i, Emit::Event(EventBody::Book(b)) if b.state == BookState::Live))
    );
    bench.out.clear();
    let mut seq = 0;
    let frames: Vec<(u8, String)> = (0..WARM + COUNTED)
        .map(|i| {
            let frame = match i % 5 {
                0 | 1 => {
                    seq += 1;
                    depth("update", seq, seq as i64)
                }
                2 => format!(
                    r#"{{{},"data":[{{"asks":[["61000.{}","95","0","3"]],"bids":[["60999.1","12.5","0","1"]],"ts":"1597026383085","seqId":{seq}}}]}}"#,
                    arg("bbo-tbt"),
                    i % 10
                ),
                3 => format!(
                    r#"{{{},"data":[{{"instId":"BTC-USDT-SWAP","tradeId":"{i}","px":"61000.1","sz":"0.12","side":"buy","ts":"1630048897897","count":"3","source":"0","seqId":{seq}}}]}}"#,
                    arg("trades")
                ),
                _ if i % 10 == 4 => format!(
                    r#"{{{},"data":[{{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"{i}.5","oiCcy":"1","oiUsd":"2","ts":"1790757203016"}}]}}"#,
                    arg("open-interest"),
                ),
                _ => format!(
                    r#"{{{},"data":[{{"instId":"BTC-USDT-SWAP","instType":"SWAP","markPx":"61000.{}","ts":"1790757203016"}}]}}"#,
                    arg("mark-price"),
                    i % 10
                ),
            };
            (0, frame)
        })
        .collect();
    let (events, allocated) = bench.run(&frames);
    assert!(events >= COUNTED, "{events} events: every frame has one at least");
    assert_eq!(allocated, 0, "allocations in {COUNTED} messages");
}

#[test]
fn binance_allocates_nothing_per_message() {
    // One protocol, two dialects.
    ["binance-usdm", "aster"].into_iter().for_each(binance_like);
}

fn binance_like(name: &str) {
    let dialect = dialect(name).expect("the dialect is registered");
    let mut bench = Bench::new(dialect, "BTCUSDT");
    let ack = |sent: &serde_json::Value| Some(format!(r#"{{"result":null,"id":{}}}"#, sent.get("id")?));
    let depth = |i: usize| {
        format!(
            r#"{{"e":"depthUpdate","E":1787612486107,"T":1787612486105,"s":"BTCUSDT","U":{},"u":{},"pu":{},"b":[{}],"a":[{}]}}"#,
            10 * i + 1,
            10 * (i + 1),
            10 * i,
            levels(60_900, i, ""),
            levels(61_000, i, ""),
        )
    };
    bench.settle(ack, "");
    for i in 0..3 {
        bench.frame(0, depth(i).as_bytes());
    }
    let snapshot = r#"{"lastUpdateId":15,"E":1,"T":1,"bids":[["60900.1","1"]],"asks":[["61100.1","1"]]}"#;
    assert_eq!(bench.settle(ack, snapshot), Some(BookState::Live));
    let mut seq = 2;
    let frames: Vec<(u8, String)> = (0..WARM + COUNTED)
        .map(|i| match i % 5 {
            0 | 1 => {
                seq += 1;
                (0, depth(seq))
            }
            2 => (
                0,
                format!(
                    r#"{{"e":"bookTicker","u":{},"s":"BTCUSDT","b":"60999.1","B":"12.5","a":"61000.{}","A":"95","T":1787612486105,"E":1787612486107}}"#,
                    10 * (seq + 1),
                    i % 10
                ),
            ),
            3 => (
                1,
                format!(
                    r#"{{"e":"aggTrade","E":1787612486107,"s":"BTCUSDT","a":{i},"p":"61000.1","q":"0.12","f":1,"l":2,"T":1787612486105,"m":true}}"#
                ),
            ),
            _ => (
                1,
                format!(
                    r#"{{"e":"markPriceUpdate","E":1787612486107,"s":"BTCUSDT","p":"61000.{}","i":"61000.2","P":"61000.3","r":"0.0001","T":1787616000000}}"#,
                    i % 10
                ),
            ),
        })
        .collect();
    let (events, allocated) = bench.run(&frames);
    assert!(events >= COUNTED, "{events} events: every frame has one at least");
    assert_eq!(allocated, 0, "allocations in {COUNTED} messages");
}

#[test]
fn bybit_allocates_nothing_per_message() {
    let mut bench = Bench::new(dialect("bybit").expect("the dialect is registered"), "BTCUSDT");
    let ack = |sent: &serde_json::Value| {
        let (op, id) = (sent.get("op")?, sent.get("req_id")?);
        Some(format!(r#"{{"success":true,"ret_msg":"","conn_id":"a","req_id":{id},"op":{op}}}"#))
    };
    bench.settle(ack, "");
    let depth = |kind: &str, i: usize| {
        format!(
            r#"{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":1787612486107,"data":{{"s":"BTCUSDT","b":[{}],"a":[{}],"u":{},"seq":{}}},"cts":1787612486105}}"#,
            levels(60_900, i, ""),
            levels(61_000, i, ""),
            i + 7,
            10 * i,
        )
    };
    bench.frame(0, depth("snapshot", 0).as_bytes());
    let live = |i: &Emit| matches!(i, Emit::Event(EventBody::Book(b)) if b.state == BookState::Live);
    assert!(bench.out.items().iter().any(live));
    bench.out.clear();
    let mut seq = 0;
    let frames: Vec<(u8, String)> = (0..WARM + COUNTED)
        .map(|i| {
            let frame = match i % 5 {
                0 | 1 => {
                    seq += 1;
                    depth("delta", seq)
                }
                2 => format!(
                    r#"{{"topic":"orderbook.1.BTCUSDT","ts":1787612486107,"type":"snapshot","data":{{"s":"BTCUSDT","b":[["60999.1","12.5"]],"a":[["61000.{}","95"]],"u":{i},"seq":{}}},"cts":1787612486105}}"#,
                    i % 10,
                    10 * seq,
                ),
                3 => format!(
                    r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1787612486107,"data":[{{"T":1787612486105,"s":"BTCUSDT","S":"Buy","v":"0.12","p":"61000.1","L":"PlusTick","i":"9dc75fca-4bdd-4773-9f78-6f5d7ab{i:05}","BT":false}}]}}"#
                ),
                _ => format!(
                    r#"{{"topic":"tickers.BTCUSDT","type":"delta","data":{{"symbol":"BTCUSDT","lastPrice":"61000.1","openInterest":"{i}.25","markPrice":"61000.{}","fundingRate":"0.0001"}},"cs":{i},"ts":1787612486107}}"#,
                    i % 10
                ),
            };
            (0, frame)
        })
        .collect();
    let (events, allocated) = bench.run(&frames);
    assert!(events >= COUNTED, "{events} events: every frame has one at least");
    assert_eq!(allocated, 0, "allocations in {COUNTED} messages");
}

#[test]
fn hyperliquid_allocates_nothing_per_message() {
    let mut bench = Bench::new(dialect("hyperliquid").expect("the dialect is registered"), "BTC");
    let ack = |sent: &serde_json::Value| {
        let subscription = sent.get("subscription")?;
        let data = serde_json::json!({"method": "subscribe", "subscription": subscription});
        Some(serde_json::json!({"channel": "subscriptionResponse", "data": data}).to_string())
    };
    bench.settle(ack, "");
    let level =
        |price: usize, i: usize| format!(r#"{{"px":"{price}.{}","sz":"{}.25","n":3}}"#, i % 10, i % 7);
    let book = |time: usize| {
        let side = |base: usize| (0..20).map(|k| level(base + k, time)).collect::<Vec<_>>().join(",");
        format!(
            r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":{time},"levels":[[{}],[{}]]}}}}"#,
            side(60_900),
            side(61_000),
        )
    };
    bench.frame(0, book(1).as_bytes());
    bench.out.clear();
    let now = 1_700_000_100_000u64;
    let frames: Vec<(u8, String)> = (0..WARM + COUNTED)
        .map(|i| {
            let frame = match i % 4 {
                0 => book(i + 2),
                1 => format!(
                    r#"{{"channel":"bbo","data":{{"coin":"BTC","time":{i},"bbo":[{},{}]}}}}"#,
                    level(60_999, i),
                    level(61_000, i),
                ),
                2 => format!(
                    r#"{{"channel":"trades","data":[{{"coin":"BTC","side":"A","px":"61000.1","sz":"0.12","time":{now},"hash":"0xab","tid":{i},"users":["0x76","0xbb"]}}]}}"#
                ),
                _ => format!(
                    r#"{{"channel":"activeAssetCtx","data":{{"coin":"BTC","ctx":{{"funding":"0.0000125","openInterest":"5259.34","dayNtlVlm":"965843.7286000003","premium":null,"oraclePx":"61000.{}","markPx":"61000.5","impactPxs":null}}}}}}"#,
                    i % 10,
                ),
            };
            (0, frame)
        })
        .collect();
    let (events, allocated) = bench.run(&frames);
    assert!(events >= COUNTED, "{events} events: every frame has one at least");
    assert_eq!(allocated, 0, "allocations in {COUNTED} messages");
}

#[test]
fn deribit_allocates_nothing_per_message() {
    const NAME: &str = "BTC_USDC-PERPETUAL";
    let mut bench = Bench::new(dialect("deribit").expect("the dialect is registered"), NAME);
    bench.settle(|_| None, "");
    let frame = |channel: &str, data: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}"#
        )
    };
    let book = |i: usize, prev: Option<usize>| {
        let side = |base: usize| {
            let level = |k: usize| format!(r#"["change",{}.{},{}.0]"#, base + (i + k) % 50, k % 10, k + 1);
            (0..8).map(level).collect::<Vec<_>>().join(",")
        };
        let (kind, prev) = match prev {
            Some(prev) => ("change", format!(r#","prev_change_id":{prev}"#)),
            None => ("snapshot", String::new()),
        };
        frame(
            &format!("book.{NAME}.100ms"),
            &format!(
                r#"{{"timestamp":1789344931302,"type":"{kind}","change_id":{i},"instrument_name":"{NAME}","bids":[{}],"asks":[{}]{prev}}}"#,
                side(60_900),
                side(61_000),
            ),
        )
    };
    bench.frame(0, book(1, None).as_bytes());
    assert!(
        bench
            .out
            .items()
            .iter()
            .any(|i| matches!(i, Emit::Event(EventBody::Book(b)) if b.state == BookState::Live))
    );
    bench.out.clear();
    let mut id = 1;
    let frames: Vec<(u8, String)> = (0..WARM + COUNTED)
        .map(|i| {
            let best = format!(
                r#""timestamp":1789344931302,"instrument_name":"{NAME}","best_bid_price":60999.0,"best_bid_amount":1.0002e1,"best_ask_price":61000.{},"best_ask_amount":3"#,
                i % 10
            );
            let text = match i % 5 {
                0 | 1 => {
                    id += 7;
                    book(id, Some(id - 7))
                }
                2 => frame(&format!("quote.{NAME}"), &format!("{{{best}}}")),
                3 => frame(
                    &format!("trades.{NAME}.100ms"),
                    &format!(
                        r#"[{{"timestamp":1789344933994,"price":61000.5,"amount":0.1,"direction":"buy","instrument_name":"{NAME}","trade_seq":{i},"starbase_match_id":18446744073709551615,"trade_id":"USDC-{i}"}}]"#
                    ),
                ),
                _ => frame(
                    &format!("ticker.{NAME}.100ms"),
                    &format!(
                        r#"{{{best},"stats":{{"high":null}},"state":"open","mark_price":61000.{},"index_price":61000.123456,"interest_value":-4.467407940520975e-5,"current_funding":-2.171412345678901e-5}}"#,
                        i % 10
                    ),
                ),
            };
            (0, text)
        })
        .collect();
    let (events, allocated) = bench.run(&frames);
    assert!(events >= COUNTED, "{events} events: every frame has one at least");
    assert_eq!(allocated, 0, "allocations in {COUNTED} messages");
}
