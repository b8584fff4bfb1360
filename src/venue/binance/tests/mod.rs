//! Tests of the dialect as a whole; here is what they share.

mod account;
mod aster;
mod backfill;
mod corpus;
mod encode;
mod market;

use super::adapter::BinanceAdapter;
use super::encode::BinanceEncoder;
use super::symbols::Listings;
use super::{ASTER, Batch, USDM, conn, op};
use crate::domain::effect::{
    Hole, HoleKind, HttpId, MessageId, OrderCall, OutMeta, Payload, SecretSlot, SessionAction, SignScheme,
    Target, VenueCall,
};
use crate::domain::event::{
    BookReason, BookState, BookStatus, EventBody, OpenInterest, Seq, SessionRole, SessionStatus,
};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec};
use crate::domain::intent::OrderRef;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderReport, OrderSpec, RejectClass, ReportKind, Side, TimeInForce};
use crate::domain::params::{Extras, ListingParams, OrderRoute, SessionKind, VenueParams};
use crate::domain::standing::Pace;
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::{Adapter, Emit, Encoder, OddKind, Out, Rendered, VenueContext};

/// The n-th order of the first boot.
pub(super) fn client(sequence: u64) -> ClientId {
    ClientId::new(1, sequence)
}

pub(super) fn params() -> Vec<ListingParams> {
    ["BTCUSDT", "ETHUSDT"]
        .iter()
        .enumerate()
        .map(|(i, symbol)| ListingParams {
            id: InstrumentId(10 + i as u16),
            venue: VenueId(0),
            symbol: Symbol::new(symbol).unwrap(),
            ..ListingParams::default()
        })
        .collect()
}

pub(super) fn instrument(index: usize) -> Instrument {
    let listing = params()[index];
    Instrument {
        id: listing.id,
        symbol: listing.symbol,
        settle: Currency::new("USDT").unwrap(),
        spec: VenueSpec { multiplier: Num::new(1, 0), ..VenueSpec::default() },
        price_scale: 4,
        qty_scale: 3,
        tick: 1000,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}

pub(super) fn listings() -> Listings {
    let mut listings = Listings::new(&params());
    listings.define(&instrument(0));
    listings.define(&instrument(1));
    listings
}

const WALL: Nanos = 1_700_000_000 * SECOND;
pub(super) const BASE: u8 = 4;

pub(super) fn context(trading: bool) -> VenueContext {
    VenueContext {
        venue: VenueId(0),
        params: VenueParams { order_valid_ms: 2_000, ..VenueParams::default() },
        listings: params(),
        conn_base: ConnId(BASE),
        slot_base: SecretSlot(8),
        trading,
    }
}

/// An adapter with a clock and what it emitted since the last look.
pub(super) struct Rig {
    adapter: BinanceAdapter,
    now: Nanos,
    out: Out,
}

impl Rig {
    pub(super) fn new(trading: bool) -> Self {
        Self { adapter: BinanceAdapter::new(&USDM, &context(trading)), now: 0, out: Out::with_capacity(1024) }
    }

    /// Orders go over HTTP.
    pub(super) fn over_http() -> Self {
        let mut context = context(true);
        context.params.orders = OrderRoute::Http;
        Self { adapter: BinanceAdapter::new(&USDM, &context), ..Self::new(true) }
    }

    /// Started, with connections up, listings defined and streams acknowledged; snapshots not answered.
    pub(super) fn running(trading: bool) -> Self {
        let mut rig = Self::new(trading);
        rig.adapter.on_start(rig.at(), &mut rig.out);
        let seen = rig.take();
        rig.http(seen.http(op::EXCHANGE_INFO)[0].0, 200, r#"{"symbols":[]}"#);
        rig.http(seen.http(op::FUNDING_INFO)[0].0, 200, r#"[{"symbol":"ETHUSDT","fundingIntervalHours":4}]"#);
        rig.take();
        for index in [conn::PUBLIC, conn::MARKET] {
            rig.up(index);
        }
        for index in 0..2 {
            rig.adapter.on_instrument(&instrument(index), rig.at(), &mut rig.out);
        }
        for (conn, batch) in rig.wait(SECOND).batches() {
            rig.frame(conn, &format!(r#"{{"result":null,"id":{}}}"#, batch.request));
        }
        rig
    }

    pub(super) fn at(&self) -> Stamp {
        Stamp { mono: self.now, wall: WALL + self.now }
    }

    pub(super) fn up(&mut self, index: usize) {
        self.adapter.on_conn_up(ConnId(BASE + index as u8), 1, self.at(), &mut self.out);
    }

    pub(super) fn down(&mut self, index: usize) {
        let conn = ConnId(BASE + index as u8);
        self.adapter.on_conn_down(conn, 1, DownReason::Closed, self.at(), &mut self.out);
    }

    pub(super) fn frame(&mut self, index: usize, text: &str) {
        let meta = FrameMeta {
            conn: ConnId(BASE + index as u8),
            epoch: 1,
            kind: FrameKind::Text,
            last: true,
            drained: true,
        };
        self.adapter.on_frame(meta, text.as_bytes(), self.at(), &mut self.out);
    }

    pub(super) fn http(&mut self, id: HttpId, status: u16, body: &str) {
        self.adapter.on_http(id, status, body.as_bytes(), self.at(), &mut self.out);
    }

    /// Lets time pass in milliseconds.
    pub(super) fn wait(&mut self, time: Nanos) -> Seen {
        let end = self.now + time;
        while self.now < end {
            self.now += MILLI;
            self.adapter.on_tick(self.at(), &mut self.out);
        }
        self.take()
    }

    pub(super) fn take(&mut self) -> Seen {
        let items = self.out.items().to_vec();
        self.out.clear();
        Seen(items)
    }
}

#[derive(Debug)]
pub(super) struct Seen(Vec<Emit>);

impl Seen {
    pub(super) fn events(&self) -> Vec<EventBody> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Event(event) = item { Some(*event) } else { None })
            .collect()
    }

    pub(super) fn actions(&self) -> Vec<SessionAction> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Action(action) = item { Some(*action) } else { None })
            .collect()
    }

    pub(super) fn odds(&self) -> Vec<OddKind> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Odd(odd) = item { Some(odd.kind) } else { None })
            .collect()
    }

    pub(super) fn reports(&self) -> Vec<OrderReport> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Report(report) = item { Some(*report) } else { None })
            .collect()
    }

    pub(super) fn http(&self, op: u16) -> Vec<(HttpId, VenueCall)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Http { id, what, .. } if what.op == op => Some((*id, *what)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn batches(&self) -> Vec<(usize, Batch)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Send { conn, what } => {
                    Some((usize::from(conn.0 - BASE), Batch::decode(what.arg)))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn books(&self) -> Vec<(u16, BookState, BookReason)> {
        self.events()
            .iter()
            .filter_map(|event| match event {
                EventBody::Book(BookStatus { instrument, state, reason }) => {
                    Some((instrument.0, *state, *reason))
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn connects(&self) -> Vec<(u8, Option<SecretSlot>)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Connect { conn, slot } => Some((conn.0 - BASE, *slot)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn closes(&self) -> Vec<u8> {
        self.actions()
            .iter()
            .filter_map(
                |action| if let SessionAction::Close { conn } = action { Some(conn.0 - BASE) } else { None },
            )
            .collect()
    }

    pub(super) fn sessions(&self) -> Vec<(SessionRole, bool)> {
        self.events()
            .iter()
            .filter_map(|event| match event {
                EventBody::Session(SessionStatus { role, ready, .. }) => Some((*role, *ready)),
                _ => None,
            })
            .collect()
    }
}
