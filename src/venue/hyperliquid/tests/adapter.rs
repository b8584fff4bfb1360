//! The session machines, the account and the encoder, driven by frames and time.

use crate::domain::effect::{
    HttpId, MessageId, OutMeta, Payload, SecretSlot, SessionAction, SignScheme, Target,
};
use crate::domain::event::{BookReason, BookState, EventBody, Seq};
use crate::domain::input::{ConnId, DownReason, FrameMeta};
use crate::domain::instrument::{
    CanonicalId, Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec,
};
use crate::domain::intent::{ONE_PPB, OrderRef};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderReport, OrderSpec, RejectClass, ReportKind, Side, TimeInForce};
use crate::domain::params::{ListingParams, VenueParams};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::hyperliquid::adapter::HyperliquidAdapter;
use crate::venue::hyperliquid::calls::{self, Posted, post_id};
use crate::venue::hyperliquid::encoder::HyperliquidEncoder;
use crate::venue::{Adapter, Emit, Encoder, OddKind, Out, Rendered, VenueContext};

pub(super) const BTC: InstrumentId = InstrumentId(4);
const MARKET: ConnId = ConnId(3);
pub(super) const ACCOUNT: ConnId = ConnId(4);
pub(super) const ORDERS: ConnId = ConnId(5);
pub(super) const WALL: Nanos = 1_790_000_000 * SECOND;

pub(super) fn context(valid_ms: i64) -> VenueContext {
    let params = VenueParams {
        order_valid_ms: valid_ms,
        margin_ppb: ONE_PPB / 5,
        taker_fee_ppb: 450_000,
        settle_at_par: Currency::new("USDT").unwrap(),
        ..VenueParams::default()
    };
    VenueContext {
        venue: VenueId(1),
        params,
        listings: vec![ListingParams {
            id: BTC,
            venue: VenueId(1),
            canonical: CanonicalId(0),
            symbol: Symbol::new("BTC").unwrap(),
        }],
        conn_base: MARKET,
        slot_base: SecretSlot(0),
        trading: true,
    }
}

fn instrument() -> Instrument {
    Instrument {
        id: BTC,
        venue: VenueId(1),
        symbol: Symbol::new("BTC").unwrap(),
        spec: VenueSpec {
            instrument: BTC,
            multiplier: Num::new(1, 0),
            tick: Num::new(1, 0),
            step: Num::new(1, 5),
            status: Status::Trading,
            code: 1,
            ..VenueSpec::default()
        },
        price_scale: 2,
        qty_scale: 6,
        tick: 100,
        step: 10,
        qty_min: Qty(10),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}

pub(super) struct Rig {
    pub adapter: HyperliquidAdapter,
    pub out: Out,
    pub now: Nanos,
    /// What is said instead of the usual.
    pub says: Vec<(u16, &'static str)>,
}

impl Rig {
    /// Up, subscribed and reconciled.
    pub fn ready() -> Self {
        Self::started(&context(0), &[])
    }

    /// The same with other parameters and other answers.
    pub fn started(context: &VenueContext, says: &[(u16, &'static str)]) -> Self {
        let adapter = HyperliquidAdapter::new(context);
        let mut rig = Self { adapter, out: Out::with_capacity(256), now: SECOND, says: says.to_vec() };
        rig.adapter.on_start(rig.stamp(), &mut rig.out);
        rig.adapter.on_instrument(&instrument(), rig.stamp(), &mut rig.out);
        for conn in [MARKET, ACCOUNT, ORDERS] {
            rig.adapter.on_conn_up(conn, 1, rig.stamp(), &mut rig.out);
        }
        for _ in 0..calls::MARKET_CHANNELS.len() {
            rig.frame(MARKET, r#"{"channel":"subscriptionResponse","data":{"method":"subscribe"}}"#);
        }
        for _ in 0..calls::ACCOUNT_CHANNELS.len() {
            rig.frame(ACCOUNT, r#"{"channel":"subscriptionResponse","data":{"method":"subscribe"}}"#);
        }
        rig.answer();
        rig
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { mono: self.now, wall: WALL + self.now }
    }

    pub fn frame(&mut self, conn: ConnId, text: &str) {
        let meta = FrameMeta { conn, epoch: 1, ..FrameMeta::default() };
        self.adapter.on_frame(meta, text.as_bytes(), self.stamp(), &mut self.out);
    }

    /// Answers the requests that are out; returns what was asked.
    pub fn answer(&mut self) -> Vec<u16> {
        let asked: Vec<(HttpId, u16)> = self
            .out
            .items()
            .iter()
            .filter_map(|item| match item {
                Emit::Action(SessionAction::Http { id, what, .. }) => Some((*id, what.op)),
                _ => None,
            })
            .collect();
        for (id, op) in &asked {
            let said = self.says.iter().find(|(other, _)| other == op);
            let body = match *op {
                _ if said.is_some() => said.map_or("", |(_, body)| body),
                calls::META => {
                    r#"[{"universe":[{"name":"ETH","szDecimals":4},{"name":"BTC","szDecimals":5}]},[{},{"markPx":"61000"}]]"#
                }
                calls::PENDING => "[]",
                calls::TIME => r#"{"time":1790000001000,"specialStatuses":null}"#,
                calls::ROLE => r#"{"role":"user"}"#,
                calls::AGENTS => {
                    r#"[{"name":"phone","address":"0x286edfa08c04f6899dab3bfdecf2dd133f9733b9","validUntil":1},{"name":"engine","address":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","validUntil":1799000000000}]"#
                }
                calls::ABSTRACTION => "\"disabled\"",
                calls::FEES => {
                    r#"{"feeSchedule":{"cross":"0.00045"},"userCrossRate":"0.000315","userAddRate":"0.000105"}"#
                }
                calls::RATE => r#"{"cumVlm":"2854574.593578","nRequestsUsed":2890,"nRequestsCap":2864574}"#,
                calls::ASSET => {
                    r#"{"user":"xxxxxx","coin":"BTC","leverage":{"type":"cross","value":5},"maxTradeSzs":["0.0","0.0"],"markPx":"61000.0"}"#
                }
                calls::FILLS => {
                    r#"[{"coin":"BTC","px":"61000.0","sz":"0.001","side":"B","time":1790000002000,"oid":9,"crossed":true,"fee":"0.02745","tid":77,"cloid":"0x00000000000000010000000000000007","feeToken":"USDC"}]"#
                }
                _ => {
                    r#"{"assetPositions":[{"type":"oneWay","position":{"coin":"BTC","szi":"-0.002","entryPx":"61000.0","unrealizedPnl":"1.5"}}],"marginSummary":{"accountValue":"1001.5"},"withdrawable":"900.0","time":1790000001000}"#
                }
            };
            self.adapter.on_http(*id, 200, body.as_bytes(), self.stamp(), &mut self.out);
        }
        asked.into_iter().map(|(_, op)| op).collect()
    }

    pub fn pass(&mut self, time: Nanos) {
        self.now += time;
        self.adapter.on_tick(self.stamp(), &mut self.out);
    }

    fn reports(&mut self) -> Vec<OrderReport> {
        let reports = self.out.items().iter().filter_map(|item| match item {
            Emit::Report(report) => Some(*report),
            _ => None,
        });
        let reports = reports.collect();
        self.out.clear();
        reports
    }

    pub fn odd(&self) -> Vec<OddKind> {
        let odd = self.out.items().iter().filter_map(|item| match item {
            Emit::Odd(odd) => Some(odd.kind),
            _ => None,
        });
        odd.collect()
    }
}

#[test]
fn the_account_is_ready_after_subscriptions_and_both_lists() {
    let mut rig = Rig::ready();
    let items = rig.out.items().to_vec();
    assert!(items.contains(&Emit::ReconcileEnd(VenueId(1))));
    let events: Vec<EventBody> =
        items.iter().filter_map(|i| if let Emit::Event(event) = i { Some(*event) } else { None }).collect();
    let ready = events.iter().filter(|e| matches!(e, EventBody::Session(s) if s.ready)).count();
    assert_eq!(ready, 3);
    assert!(events.iter().any(|e| matches!(e, EventBody::Position(p) if p.qty == -2_000 && p.snapshot)));
    let balance = events.iter().find_map(|e| if let EventBody::Balance(b) = e { Some(*b) } else { None });
    let balance = balance.unwrap();
    assert_eq!(balance.wallet.to_string(), "1000", "without unrealised profit");
    assert_eq!(balance.currency, Currency::new("USDT").unwrap(), "at par, because the configuration says so");
    assert_eq!(rig.odd(), []);
    // The specification: the place in the list, five figures at this price.
    let spec = items.iter().find_map(|i| if let Emit::Spec(spec) = i { Some(*spec) } else { None }).unwrap();
    assert_eq!((spec.code, spec.tick, spec.step), (1, Num::new(1, 0), Num::new(1, 5)));
    // Lost and found again.
    rig.out.clear();
    rig.adapter.on_conn_down(ACCOUNT, 1, DownReason::Broken, rig.stamp(), &mut rig.out);
    assert!(rig.out.items().iter().any(|i| matches!(i, Emit::Event(EventBody::Session(s)) if !s.ready)));
}

#[test]
fn a_silent_connection_is_pinged_and_the_state_is_asked_for_regularly() {
    let mut rig = Rig::ready();
    rig.out.clear();
    rig.pass(20 * SECOND);
    let pings =
        rig.out.items().iter().filter(
            |i| matches!(i, Emit::Action(SessionAction::Send { what, .. }) if what.op == calls::PING),
        );
    assert_eq!(pings.count(), 3);
    assert_eq!(rig.answer(), [calls::STATE, calls::TIME]);
    rig.out.clear();
    rig.frame(MARKET, r#"{"channel":"pong"}"#);
    rig.pass(10 * SECOND);
    let closes = rig.out.items().iter().filter(|i| matches!(i, Emit::Action(SessionAction::Close { .. })));
    assert_eq!(closes.count(), 2, "those that did not answer");
}

#[test]
fn snapshots_make_books_and_bad_ones_take_them_away_until_the_next() {
    let mut rig = Rig::ready();
    rig.out.clear();
    let book = |time: u32, price: &str| {
        format!(
            r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":{time},"levels":[[{{"px":"{price}","sz":"1.5","n":2}}],[{{"px":"61001.0","sz":"2","n":1}}]]}}}}"#
        )
    };
    let bbo =
        r#"{"channel":"bbo","data":{"coin":"BTC","time":1700,"bbo":[{"px":"60999.0","sz":"1","n":1},null]}}"#;
    let count = |rig: &mut Rig, text: &str| {
        rig.frame(MARKET, text);
        let (mut levels, mut bbos, mut state) = (0, 0, None);
        for item in rig.out.items() {
            match item {
                Emit::Event(EventBody::Levels(chunk)) => levels += usize::from(chunk.bids + chunk.asks),
                Emit::Event(EventBody::Bbo(_)) => bbos += 1,
                Emit::Event(EventBody::Book(status)) => state = Some((status.state, status.reason)),
                _ => {}
            }
        }
        rig.out.clear();
        (levels, bbos, state)
    };
    assert_eq!(count(&mut rig, bbo), (0, 0, None), "not before the first snapshot");
    let live = Some((BookState::Live, BookReason::Sync));
    assert_eq!(count(&mut rig, &book(1_000, "61000.0")), (2, 0, live));
    assert_eq!(count(&mut rig, bbo), (0, 1, None));
    assert_eq!(count(&mut rig, &book(999, "61000.0")), (0, 0, None), "older");
    assert_eq!(count(&mut rig, &book(1_500, "61000.0")), (2, 0, None));
    let lost = Some((BookState::Invalid, BookReason::Malformed));
    assert_eq!(count(&mut rig, &book(2_000, "61000.0001")), (0, 0, lost), "not exact");
    assert_eq!(count(&mut rig, bbo), (0, 0, None));
    assert_eq!(count(&mut rig, &book(2_500, "61000.0")), (2, 0, live));
    let half = r#"{"channel":"l2Book","data":{"coin":"BTC","time":3000,"levels":[[{"px":"6"#;
    assert_eq!(count(&mut rig, half), (0, 0, lost));
    // Only when no snapshot comes at all the subscription is renewed.
    rig.pass(10 * SECOND);
    let renewed = rig.out.items().iter().filter(|i| {
        matches!(i, Emit::Action(SessionAction::Send { conn: MARKET, what }) if what.instrument == Some(BTC))
    });
    assert_eq!(renewed.count(), 2);
}

#[test]
fn trades_of_before_the_subscription_are_not_news() {
    let mut rig = Rig::ready();
    rig.out.clear();
    let now = (WALL + rig.now) / MILLI;
    for (time, news) in [(now - 5_000, 0), (now + 5, 1)] {
        rig.frame(MARKET, &format!(r#"{{"channel":"trades","data":[{{"coin":"BTC","side":"A","px":"61000.0","sz":"0.42","time":{time},"hash":"0x1","tid":5}}]}}"#));
        let trades = rig.out.items().iter().filter(|i| matches!(i, Emit::Event(EventBody::Trade(_)))).count();
        assert_eq!(trades, news);
    }
}

#[test]
fn orders_end_by_updates_fills_come_once_each_and_replies_are_only_words() {
    let mut rig = Rig::ready();
    rig.out.clear();
    let id = ClientId::new(1, 7);
    let posted = |id: u64, statuses: &str| {
        format!(
            r#"{{"channel":"post","data":{{"id":{id},"response":{{"type":"action","payload":{{"status":"ok","response":{{"type":"order","data":{{"statuses":[{statuses}]}}}}}}}}}}}}"#
        )
    };
    let place = post_id(Posted::Place(id)).unwrap();
    rig.frame(ORDERS, &posted(place, r#"{"filled":{"totalSz":"0.001","avgPx":"61000.0","oid":9}}"#));
    let report = rig.reports()[0];
    assert_eq!((report.client_id, report.kind, report.venue_order_id), (id, ReportKind::Acked, 9));
    rig.frame(ORDERS, &posted(place, r#"{"error":"Insufficient margin to place order. asset=1"}"#));
    let report = rig.reports()[0];
    assert_eq!((report.kind, report.reject), (ReportKind::Rejected, RejectClass::Margin));
    rig.frame(
        ORDERS,
        &posted(
            place,
            r#"{"error":"Order could not immediately match against any resting orders. asset=1"}"#,
        ),
    );
    assert_eq!(rig.reports()[0].kind, ReportKind::Canceled, "a miss is no refusal");
    let cancel = post_id(Posted::Cancel(id)).unwrap();
    rig.frame(ORDERS, &posted(cancel, "\"success\""));
    assert_eq!(rig.reports(), []);
    rig.frame(
        ORDERS,
        &posted(cancel, r#"{"error":"Order was never placed, already canceled, or filled. asset=1"}"#),
    );
    let report = rig.reports()[0];
    assert_eq!((report.kind, report.reject), (ReportKind::CancelRejected, RejectClass::NotFound));
    let update = |status: &str, rest: &str| {
        format!(
            r#"{{"channel":"orderUpdates","data":[{{"order":{{"coin":"BTC","side":"B","limitPx":"61000.0","sz":"{rest}","oid":9,"timestamp":1790000002000,"origSz":"0.003","cloid":"0x{id}"}},"status":"{status}","statusTimestamp":1790000002001}}]}}"#
        )
    };
    for (status, rest, kind, filled) in [
        ("open", "0.003", ReportKind::Open, Some(Qty(0))),
        ("filled", "0.0", ReportKind::Filled, Some(Qty(3_000))),
        ("filled", "0.002", ReportKind::Canceled, Some(Qty(1_000))),
        ("canceled", "0.002", ReportKind::Canceled, Some(Qty(1_000))),
        ("tickRejected", "0.003", ReportKind::Rejected, None),
    ] {
        rig.frame(ACCOUNT, &update(status, rest));
        let report = rig.reports()[0];
        assert_eq!((report.client_id, report.kind, report.filled), (id, kind, filled), "{status}");
    }
    rig.frame(ACCOUNT, &update("somethingNew", "0.003"));
    assert_eq!(rig.odd(), [OddKind::UnknownExecution]);
    rig.out.clear();
    let fill = |snapshot: bool, time: i64, cloid: &str| {
        format!(
            r#"{{"channel":"userFills","data":{{"isSnapshot":{snapshot},"user":"0x1","fills":[{{"coin":"BTC","px":"61000.0","sz":"0.001","side":"B","time":{time},"dir":"Open Long","oid":9,"crossed":true,"fee":"-0.02745","tid":77,"cloid":{cloid},"feeToken":"USDC"}}]}}}}"#
        )
    };
    let ours = format!("\"0x{id}\"");
    for (snapshot, time, cloid, told) in [
        (false, 1_790_000_002_000, ours.as_str(), 1),
        (true, 1_790_000_002_000, &ours, 1),
        (true, 1_600_000_000_000, &ours, 0),
        (true, 1_790_000_002_000, "null", 0),
        (false, 1_790_000_002_000, "null", 1),
    ] {
        rig.frame(ACCOUNT, &fill(snapshot, time, cloid));
        let reports = rig.reports();
        assert_eq!(reports.len(), told, "{snapshot} {time} {cloid}");
        for report in reports {
            let fill = report.fill.unwrap();
            assert_eq!((fill.qty, fill.price), (Qty(1_000), Price(6_100_000)));
            assert_eq!(fill.fee.unwrap().to_string(), "-0.02745");
            assert_eq!(fill.fee_currency, Currency::new("USDT").unwrap());
            assert!(!fill.maker && fill.trade_id & 0xffff == 77 && fill.trade_id >> 50 != 0);
        }
    }
    // After fills the state is asked for; then funding, once.
    rig.pass(SECOND);
    assert_eq!(rig.answer(), [calls::STATE, calls::TIME]);
    rig.out.clear();
    let funding = r#"{"channel":"userFundings","data":{"isSnapshot":false,"user":"0x1","fundings":[{"time":1790000100000,"coin":"BTC","usdc":"-0.0005","szi":"0.002","fundingRate":"0.00001"}]}}"#;
    rig.frame(ACCOUNT, funding);
    rig.frame(ACCOUNT, funding);
    let paid: Vec<String> = rig
        .out
        .items()
        .iter()
        .filter_map(|i| {
            if let Emit::Event(EventBody::Funding(f)) = i { Some(f.amount.to_string()) } else { None }
        })
        .collect();
    assert_eq!(paid, ["-0.0005"]);
}

#[test]
fn a_query_tells_the_state_and_asks_for_the_fills_behind_it() {
    let mut rig = Rig::ready();
    rig.out.clear();
    let id = HttpId(1 << 31 | 77);
    rig.adapter.on_http(id, 200, br#"{"status":"unknownOid"}"#, rig.stamp(), &mut rig.out);
    let report = rig.reports()[0];
    assert_eq!(
        (report.kind, report.client_id, report.venue_order_id),
        (ReportKind::NotFound, ClientId::NONE, 77)
    );
    let body = br#"{"status":"order","order":{"order":{"coin":"BTC","side":"B","limitPx":"61000.0","sz":"0.0","oid":9,"timestamp":1790000002000,"origSz":"0.001","tif":"Ioc","cloid":"0x00000000000000010000000000000007"},"status":"filled","statusTimestamp":1790000002001}}"#;
    rig.adapter.on_http(id, 200, body, rig.stamp(), &mut rig.out);
    assert_eq!(rig.answer(), [calls::FILLS]);
    let reports = rig.reports();
    assert_eq!((reports[0].kind, reports[0].filled), (ReportKind::Filled, Some(Qty(1_000))));
    assert_eq!(reports[1].fill.unwrap().qty, Qty(1_000));
    rig.adapter.on_http(id, 0, b"", rig.stamp(), &mut rig.out);
    rig.adapter.on_http(id, 429, b"null", rig.stamp(), &mut rig.out);
    assert_eq!(rig.odd(), [OddKind::Refused]);
}

fn meta() -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ORDERS),
        epoch: 0,
        urgent: false,
        order: None,
    }
}

#[test]
fn actions_are_rendered_with_rising_nonces_and_a_hole_for_the_signature() {
    let mut encoder = HyperliquidEncoder::new(&context(1_000));
    let order = OrderSpec {
        client_id: ClientId::new(1, 7),
        venue: VenueId(1),
        instrument: BTC,
        side: Side::Sell,
        qty: Qty(1_000),
        price: Price(6_100_050),
        tif: TimeInForce::Ioc,
        reduce_only: false,
    };
    let (now, mut payload) = (Stamp { mono: 1, wall: WALL }, Payload::new());
    assert!(encoder.order(&order, &meta(), now, &mut payload).is_err(), "not defined yet");
    encoder.on_instrument(&instrument());
    for (reduce_only, deadline, nonce) in [(false, "1790000001000", 0), (true, "null", 1)] {
        let order = OrderSpec { reduce_only, ..order };
        assert_eq!(encoder.order(&order, &meta(), now, &mut payload), Ok(Rendered::Socket(ORDERS)));
        let expected = format!(
            r#"{{"method":"post","id":{},"request":{{"type":"action","payload":{{"action":{{"type":"order","orders":[{{"a":1,"b":false,"p":"61001","s":"0.001","r":{reduce_only},"t":{{"limit":{{"tif":"Ioc"}}}},"c":"0x00000000000000010000000000000007"}}],"grouping":"na"}},"nonce":179000000000{nonce},"signature":,"vaultAddress":null,"expiresAfter":{deadline}}}}}}}"#,
            post_id(Posted::Place(order.client_id)).unwrap()
        );
        assert_eq!(std::str::from_utf8(payload.text()), Ok(expected.as_str()));
        assert_eq!((payload.scheme, payload.text_holes().len()), (SignScheme::AgentMainnet, 1));
        let tail = if reduce_only { 9 } else { 18 };
        let nonce_at = payload.sign_text().len() - tail;
        assert_eq!(payload.sign_text()[nonce_at..nonce_at + 8], (1_790_000_000_000u64 + nonce).to_be_bytes());
    }
    let fok = OrderSpec { tif: TimeInForce::Fok, ..order };
    assert!(encoder.order(&fok, &meta(), now, &mut payload).is_err(), "the venue has none");
    let reference = OrderRef { client_id: order.client_id, venue: VenueId(1), instrument: BTC };
    encoder.cancel(&reference, &meta(), now, &mut payload).unwrap();
    let text = std::str::from_utf8(payload.text()).unwrap();
    assert!(text.contains(r#""action":{"type":"cancelByCloid","cancels":[{"asset":1,"cloid":"0x00000000000000010000000000000007"}]},"nonce":1790000000002"#), "{text}");
    assert_eq!(encoder.query(&reference, &meta(), now, &mut payload), Ok(Rendered::Http));
    let text = std::str::from_utf8(payload.text()).unwrap();
    assert!(
        text.starts_with(
            "POST /info\nContent-Type: application/json\n\n{\"type\":\"orderStatus\",\"user\":\"\""
        ),
        "{text}"
    );
    assert_eq!(payload.scheme, SignScheme::None);
    // The venue's clock as we know it may step back; nonces may not.
    let earlier = Stamp { mono: 2, wall: WALL - 5 * SECOND };
    encoder.cancel(&reference, &meta(), earlier, &mut payload).unwrap();
    let text = std::str::from_utf8(payload.text()).unwrap();
    assert!(text.contains(r#""nonce":1790000000003,"#), "{text}");
}
