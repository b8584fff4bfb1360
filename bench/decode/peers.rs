//! What a good engineer writes with a JSON library: one struct per message with borrowed texts, parsed at once, and
//! the same conversion to integers behind it. The type of each message is known beforehand, which the engine's
//! decoders have to find out. Deribit writes bare numbers: they are taken as floats and rounded to the tick, which is
//! faster than exact.

use crate::Order;
use crate::payloads::Kind;
use perpring::domain::number::Num;
use perpring::domain::order::{ClientId, ReportKind, Side};
use perpring::venue::message::{Depth, Level, Message};
use serde::Deserialize;

/// A library.
pub trait Library {
    /// Its name.
    const NAME: &'static str;
    /// Parses a message into its struct.
    fn read<'a, T: Deserialize<'a>>(&'a mut self, text: &'a [u8]) -> T;
}

/// serde_json.
#[derive(Default)]
pub struct SerdeJson;

impl Library for SerdeJson {
    const NAME: &'static str = "serde_json";

    fn read<'a, T: Deserialize<'a>>(&'a mut self, text: &'a [u8]) -> T {
        serde_json::from_slice(text).expect("a message")
    }
}

/// sonic-rs.
#[derive(Default)]
pub struct Sonic;

impl Library for Sonic {
    const NAME: &'static str = "sonic-rs";

    fn read<'a, T: Deserialize<'a>>(&'a mut self, text: &'a [u8]) -> T {
        sonic_rs::from_slice(text).expect("a message")
    }
}

/// simd-json: it writes into what it parses, and the frame belongs to the journal, so that it gets a copy.
#[derive(Default)]
pub struct Simd {
    copy: Vec<u8>,
    buffers: simd_json::Buffers,
}

impl Library for Simd {
    const NAME: &'static str = "simd-json";

    fn read<'a, T: Deserialize<'a>>(&'a mut self, text: &'a [u8]) -> T {
        self.copy.clear();
        self.copy.extend_from_slice(text);
        simd_json::serde::from_slice_with_buffers(&mut self.copy, &mut self.buffers).expect("a message")
    }
}

/// A library with the scratch space for levels.
#[derive(Default)]
pub struct Peer<L> {
    library: L,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// What a peer hands out: a message or an order.
pub type Emit<'e> = &'e mut dyn FnMut(&Message<'_>);

fn num(text: &str) -> Num {
    Num::parse(text.as_bytes()).expect("a number")
}

fn int<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("an integer")
}

/// Rounded to tenths.
fn tenths(value: f64) -> Num {
    Num::new((value * 10.0).round() as i64, 1)
}

fn client_id(text: &str) -> ClientId {
    ClientId::parse(text.as_bytes()).unwrap_or(ClientId::NONE)
}

const fn side(buy: bool) -> Side {
    if buy { Side::Buy } else { Side::Sell }
}

fn convert<T>(from: &[T], to: &mut Vec<Level>, level: impl Fn(&T) -> Level) {
    to.clear();
    to.extend(from.iter().map(level));
}

impl<L: Library> Peer<L> {
    /// Parses and converts a message of market data.
    pub fn market(&mut self, venue: &str, kind: Kind, text: &[u8], emit: Emit<'_>) {
        match venue {
            "binance-usdm" => self.binance(kind, text, emit),
            "okx" => self.okx(kind, text, emit),
            "bybit" => self.bybit(kind, text, emit),
            "deribit" => self.deribit(kind, text, emit),
            _ => self.hyperliquid(kind, text, emit),
        }
    }

    fn binance(&mut self, kind: Kind, text: &[u8], emit: Emit<'_>) {
        let Self { library, bids, asks } = self;
        let pair = |level: &[&str; 2]| (num(level[0]), num(level[1]));
        match kind {
            Kind::Bbo => {
                let m: BookTicker<'_> = library.read(text);
                emit(&Message::Bbo {
                    symbol: m.s.as_bytes(),
                    id: m.u,
                    bid: (num(m.b), num(m.bid_qty)),
                    ask: (num(m.a), num(m.ask_qty)),
                    time_ms: m.time,
                });
            }
            Kind::Trade => {
                let m: AggTrade<'_> = library.read(text);
                emit(&Message::Trade {
                    channel: "aggTrade",
                    symbol: m.s.as_bytes(),
                    id: m.a,
                    price: num(m.p),
                    qty: num(m.q),
                    aggressor: side(!m.m),
                    time_ms: m.time,
                });
            }
            Kind::Delta => {
                let m: DepthUpdate<'_> = library.read(text);
                convert(&m.b, bids, pair);
                convert(&m.a, asks, pair);
                emit(&Message::Depth(Depth {
                    channel: "depth",
                    symbol: m.s.as_bytes(),
                    snapshot: false,
                    first: m.first,
                    last: m.u,
                    prev: m.pu,
                    checksum: None,
                    bids,
                    asks,
                    time_ms: m.time,
                }));
            }
            _ => {
                let m: RestDepth<'_> = library.read(text);
                convert(&m.bids, bids, pair);
                convert(&m.asks, asks, pair);
                emit(&Message::Depth(Depth {
                    channel: "rest-depth",
                    symbol: b"",
                    snapshot: true,
                    first: 0,
                    last: m.last_update_id,
                    prev: -1,
                    checksum: None,
                    bids,
                    asks,
                    time_ms: m.time,
                }));
            }
        }
    }

    fn okx(&mut self, kind: Kind, text: &[u8], emit: Emit<'_>) {
        let Self { library, bids, asks } = self;
        if kind == Kind::Trade {
            let m: OkxFrame<'_, OkxTrade<'_>> = library.read(text);
            for row in &m.data {
                emit(&Message::Trade {
                    channel: "trades",
                    symbol: row.inst_id.as_bytes(),
                    id: int(row.trade_id),
                    price: num(row.px),
                    qty: num(row.sz),
                    aggressor: side(row.side == "buy"),
                    time_ms: int(row.ts),
                });
            }
            return;
        }
        let m: OkxFrame<'_, OkxBook<'_>> = library.read(text);
        for row in &m.data {
            let level = |level: &[&str; 4]| (num(level[0]), num(level[1]));
            convert(&row.bids, bids, level);
            convert(&row.asks, asks, level);
            let (symbol, time_ms) = (m.arg.inst_id.as_bytes(), int(row.ts));
            if kind == Kind::Bbo {
                emit(&Message::Bbo { symbol, id: row.seq_id, bid: bids[0], ask: asks[0], time_ms });
                continue;
            }
            emit(&Message::Depth(Depth {
                channel: "books",
                symbol,
                snapshot: m.action == Some("snapshot"),
                first: 0,
                last: row.seq_id,
                prev: row.prev_seq_id.unwrap_or(-1),
                checksum: row.checksum.filter(|sum| *sum != 0),
                bids,
                asks,
                time_ms,
            }));
        }
    }

    fn bybit(&mut self, kind: Kind, text: &[u8], emit: Emit<'_>) {
        let Self { library, bids, asks } = self;
        if kind == Kind::Trade {
            let m: BybitFrame<'_, Vec<BybitTrade<'_>>> = library.read(text);
            for row in &m.data {
                emit(&Message::Trade {
                    channel: "publicTrade",
                    symbol: row.s.as_bytes(),
                    id: int(row.i),
                    price: num(row.p),
                    qty: num(row.v),
                    aggressor: side(row.side == "Buy"),
                    time_ms: row.time,
                });
            }
            return;
        }
        let m: BybitFrame<'_, BybitBook<'_>> = library.read(text);
        let pair = |level: &[&str; 2]| (num(level[0]), num(level[1]));
        convert(&m.data.b, bids, pair);
        convert(&m.data.a, asks, pair);
        let (symbol, time_ms) = (m.data.s.as_bytes(), m.cts.unwrap_or(m.ts));
        match kind {
            Kind::Bbo => emit(&Message::Bbo { symbol, id: m.data.seq, bid: bids[0], ask: asks[0], time_ms }),
            _ => emit(&Message::Depth(Depth {
                channel: if kind == Kind::Delta { "orderbook.50" } else { "orderbook.200" },
                symbol,
                snapshot: m.kind == "snapshot",
                first: m.data.seq,
                last: m.data.u,
                prev: -1,
                checksum: None,
                bids,
                asks,
                time_ms,
            })),
        }
    }

    fn deribit(&mut self, kind: Kind, text: &[u8], emit: Emit<'_>) {
        let Self { library, bids, asks } = self;
        match kind {
            Kind::Bbo => {
                let m: DeribitFrame<DeribitQuote<'_>> = library.read(text);
                let row = m.params.data;
                emit(&Message::Bbo {
                    symbol: row.instrument_name.as_bytes(),
                    id: 0,
                    bid: (tenths(row.best_bid_price), tenths(row.best_bid_amount)),
                    ask: (tenths(row.best_ask_price), tenths(row.best_ask_amount)),
                    time_ms: row.timestamp,
                });
            }
            Kind::Trade => {
                let m: DeribitFrame<Vec<DeribitTrade<'_>>> = library.read(text);
                for row in &m.params.data {
                    emit(&Message::Trade {
                        channel: "trades",
                        symbol: row.instrument_name.as_bytes(),
                        id: int(row.trade_id),
                        price: tenths(row.price),
                        qty: tenths(row.amount),
                        aggressor: side(row.direction == "buy"),
                        time_ms: row.timestamp,
                    });
                }
            }
            _ => {
                let m: DeribitFrame<DeribitBook<'_>> = library.read(text);
                let row = m.params.data;
                let level = |level: &(&str, f64, f64)| (tenths(level.1), tenths(level.2));
                convert(&row.bids, bids, level);
                convert(&row.asks, asks, level);
                emit(&Message::Depth(Depth {
                    channel: "book",
                    symbol: row.instrument_name.as_bytes(),
                    snapshot: row.kind == "snapshot",
                    first: 0,
                    last: row.change_id,
                    prev: row.prev_change_id.unwrap_or(-1),
                    checksum: None,
                    bids,
                    asks,
                    time_ms: row.timestamp,
                }));
            }
        }
    }

    fn hyperliquid(&mut self, kind: Kind, text: &[u8], emit: Emit<'_>) {
        let Self { library, bids, asks } = self;
        let level = |level: &HyperLevel<'_>| (num(level.px), num(level.sz));
        match kind {
            Kind::Bbo => {
                let m: HyperFrame<HyperBbo<'_>> = library.read(text);
                let zero = (Num::ZERO, Num::ZERO);
                let [bid, ask] = m.data.bbo.each_ref().map(|side| side.as_ref().map_or(zero, level));
                let (symbol, time_ms) = (m.data.coin.as_bytes(), m.data.time);
                emit(&Message::Bbo { symbol, id: time_ms as u64, bid, ask, time_ms });
            }
            Kind::Trade => {
                let m: HyperFrame<Vec<HyperTrade<'_>>> = library.read(text);
                for row in &m.data {
                    emit(&Message::Trade {
                        channel: "trades",
                        symbol: row.coin.as_bytes(),
                        id: row.tid,
                        price: num(row.px),
                        qty: num(row.sz),
                        aggressor: side(row.side == "B"),
                        time_ms: row.time,
                    });
                }
            }
            _ => {
                let m: HyperFrame<HyperBook<'_>> = library.read(text);
                convert(&m.data.levels[0], bids, level);
                convert(&m.data.levels[1], asks, level);
                emit(&Message::Depth(Depth {
                    channel: "l2Book",
                    symbol: m.data.coin.as_bytes(),
                    snapshot: true,
                    first: 0,
                    last: m.data.time as u64,
                    prev: -1,
                    checksum: None,
                    bids,
                    asks,
                    time_ms: m.data.time,
                }));
            }
        }
    }

    /// Parses and converts an update of an order.
    pub fn order(&mut self, venue: &str, text: &[u8], emit: &mut dyn FnMut(&Order)) {
        let library = &mut self.library;
        let filled = |client_id, order_id, buy, qty| Order {
            client_id,
            order_id,
            side: side(buy),
            kind: ReportKind::Filled,
            filled: qty,
        };
        match venue {
            "binance-usdm" => {
                let m: BinanceUpdate<'_> = library.read(text);
                let o = m.o;
                std::hint::black_box((num(o.last_price), num(o.l), num(o.n), o.time, o.t));
                emit(&filled(client_id(o.c), o.i, o.side == "BUY", num(o.z)));
            }
            "okx" => {
                let m: OkxFrame<'_, OkxOrder<'_>> = library.read(text);
                for o in &m.data {
                    std::hint::black_box((num(o.fill_px), num(o.fill_sz), num(o.fill_fee), o.u_time));
                    emit(&filled(client_id(o.cl_ord_id), int(o.ord_id), o.side == "buy", num(o.acc_fill_sz)));
                }
            }
            "bybit" => {
                let m: BybitFrame<'_, Vec<BybitOrder<'_>>> = library.read(text);
                for o in &m.data {
                    std::hint::black_box(int::<i64>(o.updated_time));
                    let qty = num(o.cum_exec_qty);
                    emit(&filled(client_id(o.order_link_id), int(o.order_id), o.side == "Buy", qty));
                }
            }
            "deribit" => {
                let m: DeribitFrame<DeribitOrder<'_>> = library.read(text);
                let o = m.params.data;
                std::hint::black_box(o.last_update_timestamp);
                emit(&filled(
                    client_id(o.label),
                    int(o.order_id),
                    o.direction == "buy",
                    tenths(o.filled_amount),
                ));
            }
            _ => {
                let m: HyperFrame<Vec<HyperUpdate<'_>>> = library.read(text);
                for row in &m.data {
                    let (o, whole) = (&row.order, num(row.order.orig_sz));
                    std::hint::black_box((num(o.sz), row.status, row.status_timestamp));
                    emit(&filled(client_id(&o.cloid[2..]), o.oid, o.side == "B", whole));
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct BookTicker<'a> {
    u: u64,
    s: &'a str,
    b: &'a str,
    #[serde(rename = "B")]
    bid_qty: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_qty: &'a str,
    #[serde(rename = "T")]
    time: i64,
}

#[derive(Deserialize)]
struct AggTrade<'a> {
    a: u64,
    s: &'a str,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

#[derive(Deserialize)]
struct DepthUpdate<'a> {
    #[serde(rename = "T")]
    time: i64,
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    pu: i64,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct RestDepth<'a> {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(rename = "T")]
    time: i64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct BinanceUpdate<'a> {
    #[serde(borrow)]
    o: BinanceOrder<'a>,
}

#[derive(Deserialize)]
struct BinanceOrder<'a> {
    c: &'a str,
    #[serde(rename = "S")]
    side: &'a str,
    i: u64,
    l: &'a str,
    z: &'a str,
    #[serde(rename = "L")]
    last_price: &'a str,
    n: &'a str,
    #[serde(rename = "T")]
    time: i64,
    t: u64,
}

#[derive(Deserialize)]
struct OkxFrame<'a, T> {
    #[serde(borrow)]
    arg: OkxArg<'a>,
    action: Option<&'a str>,
    data: Vec<T>,
}

#[derive(Deserialize)]
struct OkxArg<'a> {
    #[serde(rename = "instId", default)]
    inst_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OkxBook<'a> {
    #[serde(borrow)]
    asks: Vec<[&'a str; 4]>,
    #[serde(borrow)]
    bids: Vec<[&'a str; 4]>,
    ts: &'a str,
    checksum: Option<i32>,
    seq_id: u64,
    prev_seq_id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OkxTrade<'a> {
    inst_id: &'a str,
    trade_id: &'a str,
    px: &'a str,
    sz: &'a str,
    side: &'a str,
    ts: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OkxOrder<'a> {
    acc_fill_sz: &'a str,
    cl_ord_id: &'a str,
    fill_fee: &'a str,
    fill_px: &'a str,
    fill_sz: &'a str,
    ord_id: &'a str,
    side: &'a str,
    u_time: &'a str,
}

#[derive(Deserialize)]
struct BybitFrame<'a, T> {
    #[serde(rename = "type", default)]
    kind: &'a str,
    #[serde(default)]
    ts: i64,
    data: T,
    cts: Option<i64>,
}

#[derive(Deserialize)]
struct BybitBook<'a> {
    s: &'a str,
    #[serde(borrow)]
    b: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    a: Vec<[&'a str; 2]>,
    u: u64,
    seq: u64,
}

#[derive(Deserialize)]
struct BybitTrade<'a> {
    #[serde(rename = "T")]
    time: i64,
    s: &'a str,
    #[serde(rename = "S")]
    side: &'a str,
    v: &'a str,
    p: &'a str,
    i: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BybitOrder<'a> {
    order_id: &'a str,
    order_link_id: &'a str,
    side: &'a str,
    cum_exec_qty: &'a str,
    updated_time: &'a str,
}

#[derive(Deserialize)]
struct DeribitFrame<T> {
    params: DeribitParams<T>,
}

#[derive(Deserialize)]
struct DeribitParams<T> {
    data: T,
}

#[derive(Deserialize)]
struct DeribitQuote<'a> {
    timestamp: i64,
    instrument_name: &'a str,
    best_bid_price: f64,
    best_bid_amount: f64,
    best_ask_price: f64,
    best_ask_amount: f64,
}

#[derive(Deserialize)]
struct DeribitBook<'a> {
    timestamp: i64,
    #[serde(rename = "type")]
    kind: &'a str,
    change_id: u64,
    prev_change_id: Option<i64>,
    instrument_name: &'a str,
    #[serde(borrow)]
    bids: Vec<(&'a str, f64, f64)>,
    #[serde(borrow)]
    asks: Vec<(&'a str, f64, f64)>,
}

#[derive(Deserialize)]
struct DeribitTrade<'a> {
    timestamp: i64,
    price: f64,
    amount: f64,
    direction: &'a str,
    instrument_name: &'a str,
    trade_id: &'a str,
}

#[derive(Deserialize)]
struct DeribitOrder<'a> {
    last_update_timestamp: i64,
    filled_amount: f64,
    order_id: &'a str,
    label: &'a str,
    direction: &'a str,
}

#[derive(Deserialize)]
struct HyperFrame<T> {
    data: T,
}

#[derive(Deserialize)]
struct HyperLevel<'a> {
    px: &'a str,
    sz: &'a str,
}

#[derive(Deserialize)]
struct HyperBbo<'a> {
    coin: &'a str,
    time: i64,
    #[serde(borrow)]
    bbo: [Option<HyperLevel<'a>>; 2],
}

#[derive(Deserialize)]
struct HyperBook<'a> {
    coin: &'a str,
    time: i64,
    #[serde(borrow)]
    levels: [Vec<HyperLevel<'a>>; 2],
}

#[derive(Deserialize)]
struct HyperTrade<'a> {
    coin: &'a str,
    side: &'a str,
    px: &'a str,
    sz: &'a str,
    time: i64,
    tid: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HyperUpdate<'a> {
    #[serde(borrow)]
    order: HyperOrder<'a>,
    status: &'a str,
    status_timestamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HyperOrder<'a> {
    side: &'a str,
    sz: &'a str,
    oid: u64,
    orig_sz: &'a str,
    cloid: &'a str,
}
