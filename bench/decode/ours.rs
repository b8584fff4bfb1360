//! The engine's decoders as the engine uses them: nothing known beforehand about a frame but its connection.

use crate::Order;
use crate::payloads::symbol;
use perpring::domain::effect::SecretSlot;
use perpring::domain::event::SessionRole;
use perpring::domain::input::{ConnId, FrameMeta};
use perpring::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use perpring::domain::number::Num;
use perpring::domain::params::{ListingParams, VenueParams};
use perpring::domain::text::{Currency, Symbol};
use perpring::domain::time::{SECOND, Stamp};
use perpring::venue::message::{Decoder, Message};
use perpring::venue::{Adapter, Emit, Out, VenueContext, dialect};

/// Decoder and adapter of one venue.
pub struct Ours {
    decoder: Box<dyn Decoder>,
    adapter: Box<dyn Adapter>,
    account: FrameMeta,
    out: Out,
    now: Stamp,
}

impl Ours {
    /// Connected, with one instrument defined.
    pub fn new(venue: &str) -> Self {
        let dialect = dialect(venue).expect("a dialect");
        let listing = ListingParams {
            id: InstrumentId(0),
            venue: VenueId(0),
            canonical: CanonicalId(0),
            symbol: Symbol::new(symbol(venue)).expect("a symbol fits"),
        };
        let context = VenueContext {
            venue: VenueId(0),
            params: VenueParams::default(),
            listings: vec![listing],
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: true,
        };
        let conns = dialect.connections(true);
        let account = conns.iter().position(|conn| conn.role == SessionRole::Account).expect("an account");
        let account = FrameMeta {
            conn: ConnId(account as u8),
            epoch: 1,
            last: true,
            drained: true,
            ..FrameMeta::default()
        };
        let now = Stamp { mono: SECOND, wall: 1_790_000_000 * SECOND };
        let mut ours = Self {
            decoder: dialect.decoder(),
            adapter: dialect.adapter(&context),
            account,
            out: Out::with_capacity(1024),
            now,
        };
        ours.adapter.on_start(now, &mut ours.out);
        ours.adapter.on_instrument(&instrument(&listing), now, &mut ours.out);
        for conn in 0..conns.len() {
            ours.adapter.on_conn_up(ConnId(conn as u8), 1, now, &mut ours.out);
        }
        ours.out.clear();
        ours
    }

    /// A frame of market data to messages.
    pub fn market(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Message<'_>)) {
        self.decoder.decode(frame, emit).expect("a message");
    }

    /// A frame of the account to what the order ledger gets: by the adapter, that is with the lookup of the
    /// instrument and the quantities at its scale.
    pub fn order(&mut self, frame: &[u8], emit: &mut dyn FnMut(&Order)) {
        self.adapter.on_frame(self.account, frame, self.now, &mut self.out);
        for item in self.out.items() {
            if let Emit::Report(report) = item {
                emit(&Order {
                    client_id: report.client_id,
                    order_id: report.venue_order_id,
                    side: report.side.expect("a side"),
                    kind: report.kind,
                    filled: report.filled.map_or(Num::ZERO, |qty| Num::new(qty.0, QTY_SCALE)),
                });
            }
        }
        self.out.clear();
    }
}

const QTY_SCALE: u8 = 3;

fn instrument(listing: &ListingParams) -> Instrument {
    Instrument {
        symbol: listing.symbol,
        settle: Currency::new("USDT").expect("a currency fits"),
        spec: VenueSpec {
            multiplier: Num::new(1, 0),
            tick: Num::new(1, 1),
            step: Num::new(1, QTY_SCALE),
            status: Status::Trading,
            code: 10_459,
            ..VenueSpec::default()
        },
        price_scale: 3,
        qty_scale: QTY_SCALE,
        tick: 100,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}
