//! What stands in for a venue where a recording is silent, by dialect: which connection carries a frame, what
//! acknowledges a subscription, what a request asks for. Knows wire texts only; makes up no market data.

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
    /// What acknowledges a message of the engine; `None` when nothing does.
    pub acknowledge: fn(&[u8]) -> Option<Vec<u8>>,
    /// What a request (`METHOD path?query LF …`) asks for.
    pub ask: fn(&[u8]) -> Ask<'_>,
    /// The reply that states a time, ms.
    pub time: fn(i64) -> Vec<u8>,
}

/// All that there are.
pub static KNOWN: &[&StandIn] = &[&BINANCE];

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
        let at = memchr::memmem::find(text, b"\"id\":")? + 5;
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_subscription = memchr::memmem::find(text, b"\"SUBSCRIBE\"").is_some();
        (is_subscription && digits > 0)
            .then(|| [b"{\"result\":null,\"id\":", &text[at..at + digits], b"}"].concat())
    },
    ask: |request| {
        let end = memchr::memchr(b'\n', request).unwrap_or(request.len());
        let target = request[..end].strip_prefix(b"GET ").unwrap_or(b"");
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &b""[..]),
        };
        let symbol = query.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"symbol="));
        match (path.rsplit(|byte| *byte == b'/').next(), symbol) {
            (Some(b"exchangeInfo"), _) => Ask::Metadata,
            (Some(b"depth"), Some(symbol)) => Ask::Depth(symbol),
            (Some(b"time"), _) => Ask::Time,
            _ => Ask::Other,
        }
    },
    time: |time_ms| format!("{{\"serverTime\":{time_ms}}}").into_bytes(),
};

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

    #[test]
    fn a_subscription_is_acknowledged_by_its_number_and_nothing_else_is() {
        let acknowledge = BINANCE.acknowledge;
        assert_eq!(
            acknowledge(br#"{"method":"SUBSCRIBE","params":["a@trade"],"id":12}"#).unwrap(),
            br#"{"result":null,"id":12}"#
        );
        assert_eq!(acknowledge(br#"{"method":"ping","id":12}"#), None);
        assert_eq!(acknowledge(b"pong"), None);
    }

    #[test]
    fn every_stand_in_is_of_dialects_that_there_are() {
        for dialect in KNOWN.iter().flat_map(|known| known.dialects) {
            assert!(crate::venue::dialect(dialect).is_some(), "{dialect}");
        }
        assert!(stand_in("binance-coinm").is_some() && stand_in("kraken").is_none());
    }
}
