//! Messages of every venue and kind in their documented forms, made from a seed: prices that walk, quantities of
//! every usual length, ids that grow. No two of a pool are alike, so that no branch is learnt by heart.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write as _;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Best bid and ask.
    Bbo,
    /// A change of depth, or the 20 levels that Hyperliquid sends each time.
    Delta,
    /// A whole book.
    Snapshot,
    /// One public trade.
    Trade,
    /// One order of ours.
    Order,
}

impl Kind {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bbo => "bbo",
            Self::Delta => "delta",
            Self::Snapshot => "snapshot",
            Self::Trade => "trade",
            Self::Order => "order",
        }
    }

    /// How many times faster than the best library it is to be.
    pub const fn target(self) -> Option<f64> {
        match self {
            Self::Bbo => Some(3.0),
            Self::Delta => Some(2.5),
            Self::Snapshot => Some(2.0),
            Self::Trade | Self::Order => None,
        }
    }
}

/// Messages of one venue and kind.
pub struct Case {
    /// The dialect's name.
    pub venue: &'static str,
    /// What they are about.
    pub kind: Kind,
    /// Levels of both sides together.
    pub levels: usize,
    /// Spaces and another order of keys than the venue's.
    pub reordered: bool,
    /// The messages.
    pub frames: Vec<Vec<u8>>,
}

/// The native symbol of a venue.
pub fn symbol(venue: &str) -> &'static str {
    match venue {
        "okx" => "BTC-USDT-SWAP",
        "deribit" => "BTC-PERPETUAL",
        "hyperliquid" => "BTC",
        _ => "BTCUSDT",
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let shapes: [(&str, &[(Kind, usize)]); 5] = [
        ("binance-usdm", &[(Kind::Bbo, 0), (Kind::Delta, 12), (Kind::Snapshot, 1000)]),
        ("okx", &[(Kind::Bbo, 0), (Kind::Delta, 10), (Kind::Snapshot, 400)]),
        ("bybit", &[(Kind::Bbo, 0), (Kind::Delta, 10), (Kind::Snapshot, 200)]),
        ("deribit", &[(Kind::Bbo, 0), (Kind::Delta, 10), (Kind::Snapshot, 400)]),
        ("hyperliquid", &[(Kind::Bbo, 0), (Kind::Delta, 20)]),
    ];
    let mut cases = Vec::new();
    for (venue, kinds) in shapes {
        for (kind, a_side) in kinds.iter().copied().chain([(Kind::Trade, 0), (Kind::Order, 0)]) {
            cases.push(case(venue, kind, a_side));
        }
    }
    for venue in shapes.map(|(venue, _)| venue) {
        for (kind, a_side) in [(Kind::Bbo, 0), (Kind::Delta, 10)] {
            let mut case = case(venue, kind, a_side);
            case.reordered = true;
            for frame in &mut case.frames {
                // Keys by the alphabet, one to a line.
                let value: serde_json::Value = serde_json::from_slice(frame).expect("JSON");
                *frame = serde_json::to_vec_pretty(&value).expect("a value");
            }
            cases.push(case);
        }
    }
    cases
}

fn case(venue: &'static str, kind: Kind, a_side: usize) -> Case {
    let mut maker = Maker::new(venue);
    let pool = if kind == Kind::Snapshot { 8 } else { 128 };
    let frames = (0..pool).map(|_| maker.frame(kind, a_side).into_bytes()).collect();
    Case { venue, kind, levels: 2 * a_side, reordered: false, frames }
}

struct Maker {
    venue: &'static str,
    random: ChaCha8Rng,
    /// In tenths.
    price: i64,
    id: u64,
    time: i64,
}

impl Maker {
    fn new(venue: &'static str) -> Self {
        let random = ChaCha8Rng::seed_from_u64(venue.len() as u64);
        Self { venue, random, price: 987_654, id: 7_961_638_724, time: 1_790_000_000_000 }
    }

    fn frame(&mut self, kind: Kind, a_side: usize) -> String {
        self.price = (self.price + self.random.random_range(-400..401)).max(900_000);
        self.id += self.random.random_range(1..900);
        self.time += self.random.random_range(1..40);
        match self.venue {
            "binance-usdm" => self.binance(kind, a_side),
            "okx" => self.okx(kind, a_side),
            "bybit" => self.bybit(kind, a_side),
            "deribit" => self.deribit(kind, a_side),
            _ => self.hyperliquid(kind, a_side),
        }
    }

    /// A quantity as text: whole, with few decimals, with many.
    fn qty(&mut self) -> String {
        let whole = self.random.random_range(0..40) * self.random.random_range(0..40);
        match self.random.random_range(0..4) {
            0 => format!("{}", whole + 1),
            1 => format!("{whole}.{}", self.random.random_range(1..10)),
            _ => format!("{whole}.{:03}", self.random.random_range(1..1000)),
        }
    }

    fn price_at(&self, tenths: i64) -> String {
        format!("{}.{}", tenths / 10, tenths % 10)
    }

    /// Levels of a side, away from the middle; every tenth of a change is a deletion.
    fn side(
        &mut self,
        count: usize,
        bids: bool,
        deletions: bool,
        level: impl Fn(&str, &str, u32) -> String,
    ) -> String {
        let (mut at, mut out) = (self.price, String::new());
        for i in 0..count {
            let step = self.random.random_range(1..30);
            at += if bids { -step } else { step };
            let qty = match deletions && self.random.random_range(0..10) == 0 {
                true => "0".to_owned(),
                false => self.qty(),
            };
            let orders = self.random.random_range(1..30);
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{}", level(&self.price_at(at), &qty, orders));
        }
        out
    }

    fn both(
        &mut self,
        count: usize,
        deletions: bool,
        level: impl Fn(&str, &str, u32) -> String,
    ) -> [String; 2] {
        [self.side(count, true, deletions, &level), self.side(count, false, deletions, &level)]
    }

    fn client_id(&mut self) -> String {
        // As ours are: a boot epoch and a number within it (Hyperliquid's have no room for more).
        let (epoch, sequence) =
            (self.random.random_range(1..1u64 << 32), self.random.random_range(1..1u64 << 29));
        format!("{epoch:016x}{sequence:016x}")
    }

    fn coin(&mut self, yes: &'static str, no: &'static str) -> &'static str {
        if self.random.random_range(0..2) == 0 { yes } else { no }
    }

    fn binance(&mut self, kind: Kind, a_side: usize) -> String {
        let (id, time, sent) = (self.id, self.time, self.time + 3);
        let pair = |price: &str, qty: &str, _: u32| format!(r#"["{price}","{qty}"]"#);
        let (price, above) = (self.price_at(self.price), self.price_at(self.price + 1));
        let (qty, other) = (self.qty(), self.qty());
        match kind {
            Kind::Bbo => format!(
                r#"{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"{price}","B":"{qty}","a":"{above}","A":"{other}","T":{time},"E":{sent}}}"#
            ),
            Kind::Delta => {
                let [bids, asks] = self.both(a_side, true, pair);
                let (first, before) = (id - 40, id - 41);
                format!(
                    r#"{{"e":"depthUpdate","E":{sent},"T":{time},"s":"BTCUSDT","U":{first},"u":{id},"pu":{before},"b":[{bids}],"a":[{asks}]}}"#
                )
            }
            Kind::Snapshot => {
                let [bids, asks] = self.both(a_side, false, pair);
                format!(r#"{{"lastUpdateId":{id},"E":{sent},"T":{time},"bids":[{bids}],"asks":[{asks}]}}"#)
            }
            Kind::Trade => {
                let maker = self.coin("true", "false");
                format!(
                    r#"{{"e":"aggTrade","E":{sent},"a":{id},"s":"BTCUSDT","p":"{price}","q":"{qty}","f":{id},"l":{id},"T":{time},"m":{maker}}}"#
                )
            }
            Kind::Order => {
                let (client, side, zero) = (self.client_id(), self.coin("BUY", "SELL"), "0");
                format!(
                    r#"{{"e":"ORDER_TRADE_UPDATE","E":{sent},"T":{time},"o":{{"s":"BTCUSDT","c":"{client}","S":"{side}","o":"LIMIT","f":"GTC","q":"{qty}","p":"{price}","ap":"{price}","sp":"0","x":"TRADE","X":"FILLED","i":{id},"l":"{qty}","z":"{qty}","L":"{price}","N":"USDT","n":"0.{id}","T":{time},"t":{id},"b":"{zero}","a":"{zero}","m":false,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"BOTH","cp":false,"rp":"0","pP":false,"si":0,"ss":0,"V":"NONE","pm":"NONE","gtd":0}}}}"#
                )
            }
        }
    }

    fn okx(&mut self, kind: Kind, a_side: usize) -> String {
        let (id, time) = (self.id, self.time);
        let level = |price: &str, qty: &str, orders: u32| format!(r#"["{price}","{qty}","0","{orders}"]"#);
        let arg = |channel: &str| format!(r#"{{"arg":{{"channel":"{channel}","instId":"BTC-USDT-SWAP"}}"#);
        let (price, qty) = (self.price_at(self.price), self.qty());
        match kind {
            Kind::Bbo => {
                let [bids, asks] = self.both(1, false, level);
                format!(
                    r#"{},"data":[{{"asks":[{asks}],"bids":[{bids}],"ts":"{time}","seqId":{id}}}]}}"#,
                    arg("bbo-tbt")
                )
            }
            Kind::Delta | Kind::Snapshot => {
                let snapshot = kind == Kind::Snapshot;
                let [bids, asks] = self.both(a_side, !snapshot, level);
                let (action, before) = if snapshot { ("snapshot", -1) } else { ("update", id as i64 - 3) };
                let sum = self.random.random_range(i32::MIN..i32::MAX);
                format!(
                    r#"{},"action":"{action}","data":[{{"asks":[{asks}],"bids":[{bids}],"ts":"{time}","checksum":{sum},"seqId":{id},"prevSeqId":{before}}}]}}"#,
                    arg("books")
                )
            }
            Kind::Trade => {
                let side = self.coin("buy", "sell");
                format!(
                    r#"{},"data":[{{"instId":"BTC-USDT-SWAP","tradeId":"{id}","px":"{price}","sz":"{qty}","side":"{side}","ts":"{time}","count":"3","source":"0","seqId":{id}}}]}}"#,
                    arg("trades")
                )
            }
            Kind::Order => {
                let (client, side) = (self.client_id(), self.coin("buy", "sell"));
                format!(
                    r#"{{"arg":{{"channel":"orders","instType":"SWAP","uid":"77982378738415879"}},"data":[{{"accFillSz":"{qty}","amendResult":"","avgPx":"{price}","cTime":"{time}","category":"normal","ccy":"","clOrdId":"{client}","code":"0","execType":"T","fee":"-0.0{id}","feeCcy":"USDT","fillFee":"-0.0{id}","fillFeeCcy":"USDT","fillNotionalUsd":"600.5","fillPx":"{price}","fillSz":"{qty}","fillTime":"{time}","instId":"BTC-USDT-SWAP","instType":"SWAP","lever":"5","msg":"","notionalUsd":"600.5","ordId":"{id}","ordType":"limit","pnl":"0","posSide":"net","px":"{price}","rebate":"0","rebateCcy":"USDT","reduceOnly":"false","reqId":"","side":"{side}","slOrdPx":"","slTriggerPx":"","slTriggerPxType":"","source":"","state":"filled","sz":"{qty}","tag":"","tdMode":"cross","tgtCcy":"","tpOrdPx":"","tpTriggerPx":"","tpTriggerPxType":"","tradeId":"{id}","uTime":"{time}"}}]}}"#
                )
            }
        }
    }

    fn bybit(&mut self, kind: Kind, a_side: usize) -> String {
        let (id, time, sent) = (self.id, self.time, self.time + 2);
        let pair = |price: &str, qty: &str, _: u32| format!(r#"["{price}","{qty}"]"#);
        let (price, qty) = (self.price_at(self.price), self.qty());
        let mut book = |depth: &str, action: &str, count| {
            let [bids, asks] = self.both(count, action == "delta", pair);
            format!(
                r#"{{"topic":"orderbook.{depth}.BTCUSDT","type":"{action}","ts":{sent},"data":{{"s":"BTCUSDT","b":[{bids}],"a":[{asks}],"u":{},"seq":{id}}},"cts":{time}}}"#,
                id / 7
            )
        };
        match kind {
            Kind::Bbo => book("1", "snapshot", 1),
            Kind::Delta => book("50", "delta", a_side),
            Kind::Snapshot => book("200", "snapshot", a_side),
            Kind::Trade => {
                let side = self.coin("Buy", "Sell");
                format!(
                    r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{sent},"data":[{{"T":{time},"s":"BTCUSDT","S":"{side}","v":"{qty}","p":"{price}","L":"PlusTick","i":"220000{id}","BT":false,"RPI":false,"seq":{id}}}]}}"#
                )
            }
            Kind::Order => {
                let (client, side) = (self.client_id(), self.coin("Buy", "Sell"));
                format!(
                    r#"{{"id":"5923240c6880ab-c59f-420b-9adb-3639adc9dd90","topic":"order","creationTime":{sent},"data":[{{"category":"linear","symbol":"BTCUSDT","orderId":"220000{id}","orderLinkId":"{client}","blockTradeId":"","side":"{side}","positionIdx":0,"orderStatus":"Filled","cancelType":"UNKNOWN","rejectReason":"EC_NoError","timeInForce":"GTC","isLeverage":"","price":"{price}","qty":"{qty}","avgPrice":"{price}","leavesQty":"0","leavesValue":"0","cumExecQty":"{qty}","cumExecValue":"600.5","cumExecFee":"0.33","orderType":"Limit","stopOrderType":"","orderIv":"","triggerPrice":"","takeProfit":"","stopLoss":"","triggerBy":"","tpTriggerBy":"","slTriggerBy":"","triggerDirection":0,"placeType":"","lastPriceOnCreated":"{price}","closeOnTrigger":false,"reduceOnly":false,"smpGroup":0,"smpType":"None","smpOrderId":"","slLimitPrice":"0","tpLimitPrice":"0","tpslMode":"UNKNOWN","createType":"CreateByUser","marketUnit":"","createdTime":"{time}","updatedTime":"{sent}","feeCurrency":""}}]}}"#
                )
            }
        }
    }

    fn deribit(&mut self, kind: Kind, a_side: usize) -> String {
        let (id, time, price) = (self.id, self.time, self.price_at(self.price));
        let above = self.price_at(self.price + 5);
        // Amounts are dollars, in tens.
        let mut amount = || format!("{}.0", self.random.random_range(1..90_000) * 10);
        let (qty, other) = (amount(), amount());
        let head = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":""#;
        match kind {
            Kind::Bbo => format!(
                r#"{head}quote.BTC-PERPETUAL","data":{{"timestamp":{time},"instrument_name":"BTC-PERPETUAL","best_bid_price":{price},"best_bid_amount":{qty},"best_ask_price":{above},"best_ask_amount":{other}}}}}}}"#
            ),
            Kind::Delta | Kind::Snapshot => {
                let snapshot = kind == Kind::Snapshot;
                let [bids, asks] = self.both(a_side, !snapshot, |price, qty, orders| match qty {
                    "0" => format!(r#"["delete",{price},0.0]"#),
                    _ if snapshot || orders % 2 == 0 => format!(r#"["new",{price},{}.0]"#, orders * 1230),
                    _ => format!(r#"["change",{price},{}.0]"#, orders * 70),
                });
                let (action, before) = match snapshot {
                    true => ("snapshot", String::new()),
                    false => ("change", format!(r#","prev_change_id":{}"#, id - 7)),
                };
                format!(
                    r#"{head}book.BTC-PERPETUAL.100ms","data":{{"timestamp":{time},"type":"{action}","change_id":{id},"instrument_name":"BTC-PERPETUAL","bids":[{bids}],"asks":[{asks}]{before}}}}}}}"#
                )
            }
            Kind::Trade => {
                let side = self.coin("buy", "sell");
                format!(
                    r#"{head}trades.BTC-PERPETUAL.100ms","data":[{{"timestamp":{time},"price":{price},"amount":{qty},"direction":"{side}","index_price":{above},"instrument_name":"BTC-PERPETUAL","trade_seq":140284854,"mark_price":{price},"tick_direction":0,"trade_id":"{id}","contracts":{other}}}]}}}}"#
                )
            }
            Kind::Order => {
                let (client, side) = (self.client_id(), self.coin("buy", "sell"));
                format!(
                    r#"{head}user.orders.any.any.raw","data":{{"is_liquidation":false,"risk_reducing":false,"order_type":"limit","creation_timestamp":{time},"order_state":"filled","reject_post_only":false,"contracts":{other},"average_price":{price},"reduce_only":false,"last_update_timestamp":{time},"post_only":false,"replaced":false,"filled_amount":{qty},"web":false,"api":true,"mmp":false,"instrument_name":"BTC-PERPETUAL","order_id":"{id}","label":"{client}","amount":{qty},"time_in_force":"good_til_cancelled","direction":"{side}","price":{price},"max_show":{qty}}}}}}}"#
                )
            }
        }
    }

    fn hyperliquid(&mut self, kind: Kind, a_side: usize) -> String {
        let (id, time, price, qty) = (self.id, self.time, self.price_at(self.price), self.qty());
        let level =
            |price: &str, qty: &str, orders: u32| format!(r#"{{"px":"{price}","sz":"{qty}","n":{orders}}}"#);
        match kind {
            Kind::Bbo => {
                let [bid, ask] = self.both(1, false, level);
                format!(r#"{{"channel":"bbo","data":{{"coin":"BTC","time":{time},"bbo":[{bid},{ask}]}}}}"#)
            }
            Kind::Delta | Kind::Snapshot => {
                let [bids, asks] = self.both(a_side, false, level);
                format!(
                    r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":{time},"levels":[[{bids}],[{asks}]]}}}}"#
                )
            }
            Kind::Trade => {
                let (side, one, two) = (self.coin("A", "B"), self.client_id(), self.client_id());
                format!(
                    r#"{{"channel":"trades","data":[{{"coin":"BTC","side":"{side}","px":"{price}","sz":"{qty}","time":{time},"hash":"0x{one}{two}","tid":{id},"users":["0x{one}1d4f6a2b","0x{two}9c8e7d60"]}}]}}"#
                )
            }
            Kind::Order => {
                let (client, side) = (self.client_id(), self.coin("A", "B"));
                format!(
                    r#"{{"channel":"orderUpdates","data":[{{"order":{{"coin":"BTC","side":"{side}","limitPx":"{price}","sz":"0.0","oid":{id},"timestamp":{time},"origSz":"{qty}","cloid":"0x{client}"}},"status":"filled","statusTimestamp":{time}}}]}}"#
                )
            }
        }
    }
}
