//! What the Bybit dialect promises: the corpus, sessions, accounts, rendered requests.

mod adapter;
mod corpus;
mod render;
mod standing;

use crate::domain::effect::{HttpId, SecretSlot, SessionAction};
use crate::domain::event::EventBody;
use crate::domain::input::{ConnId, FrameMeta};
use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use crate::domain::number::Num;
use crate::domain::order::OrderReport;
use crate::domain::params::{ListingParams, VenueParams};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::{Adapter, Emit, OddKind, Out, VenueContext};

const BTC: InstrumentId = InstrumentId(4);
const ETH: InstrumentId = InstrumentId(9);
const PUBLIC: ConnId = ConnId(3);
const ACCOUNT: ConnId = ConnId(4);
const ORDERS: ConnId = ConnId(5);
const WALL: Nanos = 1_700_000_000_000_000_000;

fn context(trading: bool) -> VenueContext {
    let listing = |id, symbol| ListingParams {
        id,
        venue: VenueId(1),
        canonical: CanonicalId(id.0),
        symbol: Symbol::new(symbol).unwrap(),
    };
    VenueContext {
        venue: VenueId(1),
        params: VenueParams {
            order_valid_ms: 1_000,
            taker_fee_ppb: 550_000,
            margin_ppb: 200_000_000,
            dead_man_ns: 60 * SECOND,
            ..VenueParams::default()
        },
        listings: vec![listing(BTC, "BTCUSDT"), listing(ETH, "ETHUSDT")],
        conn_base: PUBLIC,
        slot_base: SecretSlot(4),
        trading,
    }
}

fn instrument(id: InstrumentId, symbol: &str, generation: u16) -> Instrument {
    Instrument {
        id,
        venue: VenueId(1),
        canonical: CanonicalId(id.0),
        symbol: Symbol::new(symbol).unwrap(),
        settle: Currency::new("USDT").unwrap(),
        spec: VenueSpec {
            instrument: id,
            multiplier: Num::new(1, 0),
            tick: Num::new(1, 1),
            step: Num::new(1, 3),
            status: Status::Trading,
            ..VenueSpec::default()
        },
        price_scale: 3,
        qty_scale: 3,
        tick: 100,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation,
        ..Instrument::default()
    }
}

fn at(mono: Nanos) -> Stamp {
    Stamp { mono, wall: WALL + mono }
}

/// An adapter with its output, driven by time in seconds.
struct Rig {
    adapter: Box<dyn Adapter>,
    out: Out,
    now: Nanos,
    epoch: u32,
}

impl Rig {
    fn new(trading: bool) -> Self {
        let adapter = crate::venue::Dialect::adapter(&super::Bybit, &context(trading));
        Self { adapter, out: Out::with_capacity(1024), now: SECOND, epoch: 0 }
    }

    fn take(&mut self) -> Vec<Emit> {
        let items = self.out.items().to_vec();
        self.out.clear();
        items
    }

    /// Lets time pass in steps of 10 ms and collects what happens.
    fn pass(&mut self, span: Nanos) -> Vec<Emit> {
        let until = self.now + span;
        while self.now < until {
            self.now = (self.now + SECOND / 100).min(until);
            self.adapter.on_tick(at(self.now), &mut self.out);
        }
        self.take()
    }

    fn up(&mut self, conn: ConnId) -> Vec<Emit> {
        self.epoch += 1;
        self.adapter.on_conn_up(conn, self.epoch, at(self.now), &mut self.out);
        self.take()
    }

    fn down(&mut self, conn: ConnId) -> Vec<Emit> {
        let reason = crate::domain::input::DownReason::Closed;
        self.adapter.on_conn_down(conn, self.epoch, reason, at(self.now), &mut self.out);
        self.take()
    }

    fn frame(&mut self, conn: ConnId, text: &str) -> Vec<Emit> {
        let meta = FrameMeta { conn, epoch: self.epoch, ..FrameMeta::default() };
        self.adapter.on_tick(at(self.now), &mut self.out);
        self.adapter.on_frame(meta, text.as_bytes(), at(self.now), &mut self.out);
        self.take()
    }

    fn http(&mut self, id: HttpId, status: u16, body: &str) -> Vec<Emit> {
        self.adapter.on_http(id, status, body.as_bytes(), at(self.now), &mut self.out);
        self.take()
    }

    /// Started, both instruments defined, market connection up and subscribed, books live at `u` 100.
    fn live(trading: bool) -> Self {
        let mut rig = Self::new(trading);
        rig.adapter.on_start(at(rig.now), &mut rig.out);
        let started = rig.take();
        let id = asked(&started, super::calls::INSTRUMENTS).expect("metadata is asked for at the start");
        rig.http(id, 200, INSTRUMENTS);
        for (id, symbol) in [(BTC, "BTCUSDT"), (ETH, "ETHUSDT")] {
            rig.adapter.on_instrument(&instrument(id, symbol, 1), at(rig.now), &mut rig.out);
        }
        rig.up(PUBLIC);
        rig.frame(PUBLIC, &acked("subscribe", "m0"));
        rig.frame(PUBLIC, &acked("subscribe", "m1"));
        rig.frame(PUBLIC, &book("BTCUSDT", "snapshot", 100));
        rig.frame(PUBLIC, &book("ETHUSDT", "snapshot", 100));
        rig
    }
}

const INSTRUMENTS: &str = r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","nextPageCursor":"","list":[
 {"symbol":"XRPUSDT","contractType":"LinearPerpetual","status":"Trading","priceFilter":{"tickSize":"0.0001"},"lotSizeFilter":{"qtyStep":"0.1","minOrderQty":"0.1","maxOrderQty":"9"}},
 {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","settleCoin":"USDT","priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","maxMktOrderQty":"119.000","minNotionalValue":"5"},"fundingInterval":480},
 {"symbol":"ETHUSDT","contractType":"LinearPerpetual","status":"PreLaunch","priceFilter":{"tickSize":"0.01"},"lotSizeFilter":{"qtyStep":"0.01","minOrderQty":"0.01","maxOrderQty":""}}]},"retExtInfo":{},"time":1}"#;

fn acked(op: &str, id: &str) -> String {
    format!(r#"{{"success":true,"ret_msg":"","conn_id":"a","req_id":"{id}","op":"{op}"}}"#)
}

/// A depth message of one level a side; `seq` is ten times `u`.
fn book(symbol: &str, kind: &str, update: u64) -> String {
    format!(
        r#"{{"topic":"orderbook.50.{symbol}","type":"{kind}","ts":1787612486110,"data":{{"s":"{symbol}","b":[["61000.1","7.50"]],"a":[["61000.2","5"]],"u":{update},"seq":{}}},"cts":1787612486107}}"#,
        10 * update
    )
}

/// Everything that is asked for over HTTP, by its code.
fn all_asked(items: &[Emit]) -> Vec<u16> {
    let op = |item: &Emit| match item {
        Emit::Action(SessionAction::Http { what, .. }) => Some(what.op),
        _ => None,
    };
    items.iter().filter_map(op).collect()
}

fn odd(items: &[Emit]) -> Vec<OddKind> {
    items.iter().filter_map(|i| if let Emit::Odd(odd) = i { Some(odd.kind) } else { None }).collect()
}

fn asked(items: &[Emit], op: u16) -> Option<HttpId> {
    items.iter().find_map(|item| match item {
        Emit::Action(SessionAction::Http { id, what, .. }) if what.op == op => Some(*id),
        _ => None,
    })
}

fn sends(items: &[Emit]) -> Vec<(ConnId, u16)> {
    let send = |item: &Emit| match item {
        Emit::Action(SessionAction::Send { conn, what }) => Some((*conn, what.op)),
        _ => None,
    };
    items.iter().filter_map(send).collect()
}

fn events(items: &[Emit]) -> Vec<EventBody> {
    items.iter().filter_map(|item| if let Emit::Event(event) = item { Some(*event) } else { None }).collect()
}

fn reports(items: &[Emit]) -> Vec<OrderReport> {
    let report = |item: &Emit| if let Emit::Report(report) = item { Some(*report) } else { None };
    items.iter().filter_map(report).collect()
}
