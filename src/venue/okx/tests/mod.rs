//! What the OKX dialect promises: the oracle's books and lines, sessions, accounts, rendered requests.

mod adapter;
mod conformance;
mod copies;
mod render;

use crate::domain::effect::{HttpId, SecretSlot, SessionAction};
use crate::domain::event::EventBody;
use crate::domain::input::{ConnId, FrameMeta};
use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use crate::domain::number::Num;
use crate::domain::order::OrderReport;
use crate::domain::params::{ListingParams, MarketCopies, VenueParams};
use crate::domain::text::Symbol;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::{Adapter, Emit, Out, VenueContext};
use std::path::PathBuf;

/// The shared corpus, where it is present; otherwise the test says that it skips.
fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var("PERPRING_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into());
    let path = PathBuf::from(root).join(path);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

const BTC: InstrumentId = InstrumentId(4);
const ETH: InstrumentId = InstrumentId(9);
const PUBLIC: ConnId = ConnId(3);
const ACCOUNT: ConnId = ConnId(4);
const ORDERS: ConnId = ConnId(5);
const WALL: Nanos = 1_607_418_537_715_000_000;

fn context(trading: bool) -> VenueContext {
    let listing = |id, symbol| ListingParams {
        id,
        venue: VenueId(1),
        canonical: CanonicalId(id.0),
        symbol: Symbol::new(symbol).unwrap(),
    };
    VenueContext {
        venue: VenueId(1),
        params: VenueParams { order_valid_ms: 1_000, ..VenueParams::default() },
        listings: vec![listing(BTC, "BTC-USDT-SWAP"), listing(ETH, "ETH-USDT-SWAP")],
        conn_base: PUBLIC,
        slot_base: SecretSlot(0),
        trading,
    }
}

fn instrument(id: InstrumentId, symbol: &str, code: u64, generation: u16) -> Instrument {
    Instrument {
        id,
        venue: VenueId(1),
        canonical: CanonicalId(id.0),
        symbol: Symbol::new(symbol).unwrap(),
        spec: VenueSpec {
            instrument: id,
            multiplier: Num::new(1, 2),
            tick: Num::new(1, 1),
            step: Num::new(1, 2),
            status: Status::Trading,
            code,
            ..VenueSpec::default()
        },
        price_scale: 3,
        qty_scale: 2,
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
        Self::of(&context(trading))
    }

    fn of(context: &VenueContext) -> Self {
        let adapter = crate::venue::Dialect::adapter(&super::Okx, context);
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

    /// Started, both instruments defined, market connection up and subscribed, books live at `seqId` 100.
    fn live(trading: bool) -> Self {
        Self::live_of(&context(trading))
    }

    fn live_of(context: &VenueContext) -> Self {
        let mut rig = Self::of(context);
        rig.adapter.on_start(at(rig.now), &mut rig.out);
        let started = rig.take();
        let id = asked(&started, super::calls::INSTRUMENTS).expect("metadata is asked for at the start");
        rig.http(id, 200, INSTRUMENTS);
        rig.adapter.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1), at(rig.now), &mut rig.out);
        rig.adapter.on_instrument(&instrument(ETH, "ETH-USDT-SWAP", 10461, 1), at(rig.now), &mut rig.out);
        rig.up(PUBLIC);
        for channel in super::calls::MARKET_CHANNELS {
            for symbol in ["BTC-USDT-SWAP", "ETH-USDT-SWAP"] {
                rig.frame(
                    PUBLIC,
                    &format!(r#"{{"event":"subscribe","arg":{{"channel":"{channel}","instId":"{symbol}"}},"connId":"a"}}"#),
                );
            }
        }
        rig.frame(
            PUBLIC,
            r#"{"event":"subscribe","arg":{"channel":"instruments","instType":"SWAP"},"connId":"a"}"#,
        );
        rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "snapshot", 100, -1));
        rig.frame(PUBLIC, &book("ETH-USDT-SWAP", "snapshot", 100, -1));
        rig
    }
}

const INSTRUMENTS: &str = r#"{"code":"0","msg":"","data":[
 {"instId":"XRP-USDT-SWAP","instIdCode":1,"ctType":"linear","ctVal":"100","ctMult":"1","tickSz":"0.0001","lotSz":"1","minSz":"1","maxLmtSz":"9","state":"live"},
 {"instId":"BTC-USDT-SWAP","instIdCode":10459,"ctType":"linear","ctVal":"0.01","ctMult":"1","tickSz":"0.1","lotSz":"0.01","minSz":"0.01","maxLmtSz":"100000000.0000000000000000","maxLmtAmt":"","state":"live"},
 {"instId":"ETH-USDT-SWAP","instIdCode":10461,"ctType":"inverse","ctVal":"10","ctMult":"0.1","tickSz":"0.010","lotSz":"1","minSz":"1","maxLmtSz":"","state":"suspend"}]}"#;

/// A depth message of one level a side.
fn book(symbol: &str, action: &str, seq: u64, prev: i64) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"{symbol}"}},"action":"{action}","data":[{{"asks":[["61000.2","5","0","1"]],"bids":[["61000.1","7.50","0","2"]],"ts":"1787612486107","checksum":0,"seqId":{seq},"prevSeqId":{prev}}}]}}"#
    )
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
    items
        .iter()
        .filter_map(|item| if let Emit::Report(report) = item { Some(*report) } else { None })
        .collect()
}
