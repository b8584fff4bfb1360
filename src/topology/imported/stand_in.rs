//! What stands in for a venue where a recording is silent, by dialect: which connection carries a frame, what
//! acknowledges a subscription, what a request asks for. Knows wire texts only; makes up no market data.

use serde_json::{Value, json};

/// What an HTTP request of the engine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// The contracts.
    Metadata,
    /// A depth snapshot of this symbol.
    Depth(&'a [u8]),
    /// The venue's time.
    Time,
    /// Anything else: it gets no reply.
    Other,
}

/// Stands in for one family of dialects.
#[derive(Debug)]
pub struct StandIn {
    /// The dialects.
    pub dialects: &'static [&'static str],
    /// What the contracts are called at the venue: for people who have to supply them.
    pub metadata: &'static str,
    /// Which of the venue's market connections carries the frame, from 0.
    pub link: fn(&[u8]) -> usize,
    /// What acknowledges a message of the engine: a text for each thing that was asked for, none when nothing is.
    pub acknowledge: fn(&[u8]) -> Vec<Vec<u8>>,
    /// Depth snapshots are asked for over HTTP; where they are not, they are frames like all others.
    pub asks_depth: bool,
    /// What a request (`METHOD path?query LF …`) asks for.
    pub ask: fn(&[u8]) -> Ask<'_>,
    /// The number of a message that asks for the venue's time on a connection; `None` = it asks for something else.
    pub asks_time: fn(&[u8]) -> Option<u32>,
    /// The reply that states a time, ms, to the request of that number.
    pub time: fn(i64, u32) -> Vec<u8>,
}

/// All that there are.
pub static KNOWN: &[&StandIn] = &[&BINANCE, &OKX, &BYBIT, &DERIBIT, &HYPERLIQUID];

/// The one for a dialect.
pub fn stand_in(dialect: &str) -> Option<&'static StandIn> {
    KNOWN.iter().copied().find(|known| known.dialects.contains(&dialect))
}

static BINANCE: StandIn = StandIn {
    dialects: &["binance-usdm", "binance-coinm", "aster"],
    metadata: "the reply to GET …/v1/exchangeInfo",
    link: |frame| {
        // Best prices and depth on the first connection, everything else on the second.
        let head = &frame[..frame.len().min(160)];
        let has = |name: &[u8]| memchr::memmem::find(head, name).is_some();
        usize::from(!(has(b"bookTicker") || has(b"depthUpdate") || has(b"@depth")))
    },
    acknowledge: |text| {
        let Ok(asked) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
        let is_subscription = asked["method"] == "SUBSCRIBE" && asked["id"].is_number();
        let answer = json!({"result": null, "id": asked["id"]});
        is_subscription.then(|| answer.to_string().into_bytes()).into_iter().collect()
    },
    asks_depth: true,
    ask: |request| {
        let Get { path, query } = get(request);
        match (path.rsplit(|byte| *byte == b'/').next(), parameter(query, b"symbol=")) {
            (Some(b"exchangeInfo"), _) => Ask::Metadata,
            (Some(b"depth"), Some(symbol)) => Ask::Depth(symbol),
            (Some(b"time"), _) => Ask::Time,
            _ => Ask::Other,
        }
    },
    asks_time: |_| None,
    time: |time_ms, _| json!({"serverTime": time_ms}).to_string().into_bytes(),
};

static OKX: StandIn = StandIn {
    dialects: &["okx"],
    metadata: "the reply to GET /api/v5/public/instruments?instType=SWAP",
    link: |_| 0,
    // One acknowledgement a channel.
    acknowledge: |text| {
        if text == b"ping" {
            return vec![b"pong".to_vec()];
        }
        let Ok(asked) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
        let channels = asked["args"].as_array().into_iter().flatten();
        let event = &asked["op"];
        let answer =
            |arg: &Value| json!({"event": event, "arg": arg, "connId": "0"}).to_string().into_bytes();
        match event.as_str() {
            Some("subscribe" | "unsubscribe") => channels.map(answer).collect(),
            _ => Vec::new(),
        }
    },
    asks_depth: false,
    ask: |request| {
        let Get { path, query } = get(request);
        match path {
            b"/api/v5/public/instruments" if parameter(query, b"instType=") == Some(b"SWAP") => Ask::Metadata,
            b"/api/v5/public/time" => Ask::Time,
            _ => Ask::Other,
        }
    },
    asks_time: |_| None,
    time: |time_ms, _| {
        json!({"code": "0", "msg": "", "data": [{"ts": time_ms.to_string()}]}).to_string().into_bytes()
    },
};

static BYBIT: StandIn = StandIn {
    dialects: &["bybit"],
    metadata: "the reply to GET /v5/market/instruments-info?category=linear&limit=1000",
    link: |_| 0,
    acknowledge: |text| {
        let Ok(asked) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
        let message = if asked["op"] == "ping" { "pong" } else { "" };
        let mut answer = json!({"success": true, "ret_msg": message, "conn_id": "0", "op": asked["op"]});
        if let Some(id) = asked.get("req_id") {
            answer["req_id"] = id.clone();
        }
        match asked["op"].as_str() {
            Some("subscribe" | "unsubscribe" | "ping") => vec![answer.to_string().into_bytes()],
            _ => Vec::new(),
        }
    },
    asks_depth: false,
    ask: |request| {
        let Get { path, query } = get(request);
        match path {
            // What was supplied is all: there is no further page.
            b"/v5/market/instruments-info" if parameter(query, b"cursor=").is_some() => Ask::Other,
            b"/v5/market/instruments-info" if parameter(query, b"category=") == Some(b"linear") => {
                Ask::Metadata
            }
            b"/v5/market/time" => Ask::Time,
            _ => Ask::Other,
        }
    },
    asks_time: |_| None,
    time: |time_ms, _| {
        let result = json!({
            "timeSecond": (time_ms / 1_000).to_string(),
            "timeNano": format!("{time_ms}000000"),
        });
        json!({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": time_ms})
            .to_string()
            .into_bytes()
    },
};

static DERIBIT: StandIn = StandIn {
    dialects: &["deribit"],
    metadata: "the reply to GET /api/v2/public/get_instruments?currency=any&kind=future&expired=false",
    link: |_| 0,
    acknowledge: |text| {
        let Ok(asked) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
        let result = match asked["method"].as_str() {
            Some("public/subscribe" | "public/unsubscribe") => asked["params"]["channels"].clone(),
            Some("public/set_heartbeat") => json!("ok"),
            Some("public/test") => json!({"version": "1.2.26"}),
            _ => return Vec::new(),
        };
        vec![json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string().into_bytes()]
    },
    asks_depth: false,
    ask: |request| {
        let Get { path, query } = get(request);
        let all = || parameter(query, b"currency=") == Some(b"any");
        if path == b"/api/v2/public/get_instruments" && all() { Ask::Metadata } else { Ask::Other }
    },
    asks_time: |text| {
        let asked: Value = serde_json::from_slice(text).unwrap_or_default();
        let id = asked["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.filter(|_| asked["method"] == "public/get_time")
    },
    time: |time_ms, id| json!({"jsonrpc": "2.0", "id": id, "result": time_ms}).to_string().into_bytes(),
};

static HYPERLIQUID: StandIn = StandIn {
    dialects: &["hyperliquid"],
    metadata: "the reply to POST /info {\"type\":\"metaAndAssetCtxs\"}",
    link: |_| 0,
    acknowledge: |text| {
        let Ok(asked) = serde_json::from_slice::<Value>(text) else { return Vec::new() };
        let answer = match asked["method"].as_str() {
            Some("ping") => json!({"channel": "pong"}),
            Some("subscribe" | "unsubscribe") => json!({"channel": "subscriptionResponse", "data": asked}),
            _ => return Vec::new(),
        };
        vec![answer.to_string().into_bytes()]
    },
    asks_depth: false,
    ask: |request| {
        let body = memchr::memmem::find(request, b"\n\n").map_or(&b""[..], |at| &request[at + 2..]);
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        match asked["type"].as_str() {
            Some("metaAndAssetCtxs") => Ask::Metadata,
            Some("exchangeStatus") => Ask::Time,
            _ => Ask::Other,
        }
    },
    asks_time: |_| None,
    time: |time_ms, _| json!({"time": time_ms, "specialStatuses": null}).to_string().into_bytes(),
};

/// What a GET request names.
struct Get<'a> {
    path: &'a [u8],
    query: &'a [u8],
}

/// Reads the first line of a request; everything is empty where it is no GET.
fn get(request: &[u8]) -> Get<'_> {
    let end = memchr::memchr(b'\n', request).unwrap_or(request.len());
    let target = request[..end].strip_prefix(b"GET ").unwrap_or(b"");
    match memchr::memchr(b'?', target) {
        Some(at) => Get { path: &target[..at], query: &target[at + 1..] },
        None => Get { path: target, query: b"" },
    }
}

/// The value of a parameter whose name ends in `=`.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_path_and_the_rest_gets_no_reply() {
        let ask = BINANCE.ask;
        assert_eq!(ask(b"GET /fapi/v1/exchangeInfo\n\n"), Ask::Metadata);
        assert_eq!(ask(b"GET /dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000\n\n"), Ask::Depth(b"BTCUSD_PERP"));
        assert_eq!(ask(b"GET /fapi/v3/time\n\n"), Ask::Time);
        assert_eq!(ask(b"GET /fapi/v1/fundingInfo\n\n"), Ask::Other);
        assert_eq!(ask(b"POST /fapi/v1/depth?symbol=X\n\n"), Ask::Other);
    }

    #[test]
    fn frames_go_to_the_connection_that_the_engine_expects_them_on() {
        let link = BINANCE.link;
        assert_eq!(link(br#"{"stream":"btcusdt@depth@0ms","data":{}}"#), 0);
        assert_eq!(link(br#"{"e":"bookTicker","u":1}"#), 0);
        assert_eq!(link(br#"{"e":"depthUpdate","E":1}"#), 0);
        assert_eq!(link(br#"{"stream":"btcusdt@trade","data":{}}"#), 1);
        assert_eq!(link(br#"{"e":"markPriceUpdate"}"#), 1);
    }

    fn answers(of: &StandIn, text: &str) -> Vec<Value> {
        let answers = (of.acknowledge)(text.as_bytes());
        answers.iter().map(|answer| serde_json::from_slice(answer).unwrap()).collect()
    }

    #[test]
    fn a_subscription_is_acknowledged_as_the_venue_does_it_and_nothing_else_is() {
        assert_eq!(
            answers(&BINANCE, r#"{"method":"SUBSCRIBE","params":["a@trade"],"id":12}"#),
            [json!({"result": null, "id": 12})]
        );
        assert!(answers(&BINANCE, r#"{"method":"ping","id":12}"#).is_empty());
        assert!(answers(&BINANCE, "pong").is_empty());
        let two = r#"{"op":"subscribe","args":[{"channel":"books","instId":"A"},{"channel":"trades","instId":"A"}]}"#;
        let okx = answers(&OKX, two);
        assert_eq!(okx.len(), 2, "one a channel");
        assert_eq!(okx[1]["arg"], json!({"channel": "trades", "instId": "A"}));
        assert_eq!((OKX.acknowledge)(b"ping"), [b"pong"]);
        assert!(answers(&OKX, r#"{"op":"login","args":[{}]}"#).is_empty());
        let bybit = answers(&BYBIT, r#"{"req_id":"m3","op":"subscribe","args":["tickers.A"]}"#);
        assert_eq!((&bybit[0]["req_id"], &bybit[0]["success"]), (&json!("m3"), &json!(true)));
        let deribit =
            r#"{"jsonrpc":"2.0","id":4,"method":"public/subscribe","params":{"channels":["quote.A"]}}"#;
        assert_eq!(answers(&DERIBIT, deribit)[0]["result"], json!(["quote.A"]));
        let time = br#"{"jsonrpc":"2.0","id":77,"method":"public/get_time","params":{}}"#;
        assert_eq!((DERIBIT.asks_time)(time), Some(77));
        assert_eq!((DERIBIT.asks_time)(deribit.as_bytes()), None);
        let hyperliquid = r#"{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}"#;
        assert_eq!(answers(&HYPERLIQUID, hyperliquid)[0]["data"]["subscription"]["coin"], "BTC");
    }

    #[test]
    fn contracts_are_told_from_other_requests_at_every_venue() {
        assert_eq!((OKX.ask)(b"GET /api/v5/public/instruments?instType=SWAP\n\n"), Ask::Metadata);
        assert_eq!((OKX.ask)(b"GET /api/v5/public/instruments?instType=SPOT\n\n"), Ask::Other);
        let page = b"GET /v5/market/instruments-info?category=linear&limit=1000\n\n";
        assert_eq!((BYBIT.ask)(page), Ask::Metadata);
        let next = b"GET /v5/market/instruments-info?category=linear&limit=1000&cursor=x\n\n";
        assert_eq!((BYBIT.ask)(next), Ask::Other, "or it would be read for ever");
        let all = b"GET /api/v2/public/get_instruments?currency=any&kind=future&expired=false\n\n";
        assert_eq!((DERIBIT.ask)(all), Ask::Metadata);
        let of =
            |kind: &str| format!("POST /info\nContent-Type: application/json\n\n{{\"type\":\"{kind}\"}}");
        assert_eq!((HYPERLIQUID.ask)(of("metaAndAssetCtxs").as_bytes()), Ask::Metadata);
        assert_eq!((HYPERLIQUID.ask)(of("exchangeStatus").as_bytes()), Ask::Time);
        assert_eq!((HYPERLIQUID.ask)(of("userFees").as_bytes()), Ask::Other);
    }

    #[test]
    fn every_stand_in_is_of_dialects_that_there_are() {
        for dialect in KNOWN.iter().flat_map(|known| known.dialects) {
            assert!(crate::venue::dialect(dialect).is_some(), "{dialect}");
        }
        assert!(stand_in("binance-coinm").is_some() && stand_in("kraken").is_none());
    }
}
