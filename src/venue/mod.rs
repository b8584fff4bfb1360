//! Venue dialects: decoding, continuity, session machines, encoding, instruments. One folder a venue.
//!
//! Sans-I/O: bytes and time come in as arguments, events and wishes go out through [`Out`]. No sockets,
//! no clock, no randomness, no secrets (only holes for them), and nothing of another venue. Imports
//! only `domain`. The decode stage drives [`Adapter`]s, the route stage [`Encoder`]s, and the `decode`
//! and `book` commands [`message::Decoder`]s, so all three see the same parser.

pub mod binance;
pub mod bybit;
mod contracts;
pub mod copies;
pub mod deribit;
pub mod drift;
pub mod extras;
pub mod full;
pub mod hyperliquid;
pub mod json;
mod lines;
mod markets;
pub mod message;
mod missed;
pub mod okx;
pub mod pace;
mod price_limits;
mod quota;
mod request;
mod session;
pub mod shape;
pub mod silence;
mod standing;
mod twins;

use self::copies::CopyCounts;
use self::drift::{Drift, DriftKind, Marks};
use self::message::DecodeError;
use self::shape::Shape;
use crate::domain::effect::{
    HttpId, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SessionAction, VenueCall,
};
use crate::domain::event::{EventBody, SessionRole};
use crate::domain::input::{ConnId, DownReason, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, VenueId, VenueSpec};
use crate::domain::intent::{BPS, OrderRef, Ppb};
use crate::domain::order::{ClientId, OrderReport, OrderSpec};
pub use crate::domain::params::Amending;
use crate::domain::params::{Extras, ListingParams, MarketCopies, OrderRoute, VenueParams};
use crate::domain::standing::{CheckSet, Pace};
use crate::domain::state::State;
use crate::domain::time::{Nanos, Stamp};

/// Something that an adapter produced while handling one input.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // lives in a preallocated buffer
pub enum Emit {
    /// An event for the scanner and beyond.
    Event(EventBody),
    /// Something to be done.
    Action(SessionAction),
    /// A word about an order: goes to the order ledger, which turns it into `EventBody::Order`.
    Report(OrderReport),
    /// The venue announced the end of a private connection: it is to be left by that instant (`mono`, ns), at a moment
    /// at which no order needs it, by [`Adapter::depart`].
    Leave {
        /// Which one.
        conn: ConnId,
        /// At the latest.
        by: Nanos,
    },
    /// Contract specification: goes to the instrument registry, which answers by [`Adapter::on_instrument`].
    Spec(VenueSpec),
    /// The account snapshot after (re)connecting is complete: open orders that were reported by the
    /// venue since `SessionStatus` went down are all; every other order of ours is gone.
    ReconcileEnd(VenueId),
    /// An execution out of the venue's list that names the venue's order and not ours: the ledger finds out whose it is.
    Execution(OrderReport),
    /// Every execution since the account's stream was away was read from the venue's list.
    ExecutionsRead(VenueId),
    /// A message could not be understood; counted, sampled and alarmed.
    Odd(Oddity),
    /// A public message is not as the venue documents it; counted by name and sampled.
    Drift(Drift),
}

/// Something on the wire that should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Where it came from.
    pub conn: ConnId,
    /// What is odd.
    pub kind: OddKind,
}

/// Kinds of odd messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OddKind {
    /// Not JSON, or fields missing or of the wrong type.
    Malformed,
    /// A message type or channel outside the documented list.
    Unknown,
    /// A symbol that is not configured.
    UnknownSymbol,
    /// A number that is not exact at the instrument's scale.
    Inexact,
    /// An execution type outside the documented list.
    UnknownExecution,
    /// The venue refused a request of a session machine (login, subscription).
    Refused,
}

/// Collects what adapters emit; preallocated, drained by the decode stage after each input.
#[derive(Debug, Default)]
pub struct Out {
    items: Vec<Emit>,
}

impl Out {
    /// Room for `capacity` items without allocation.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity) }
    }

    /// Emits an event.
    #[inline]
    pub fn event(&mut self, event: EventBody) {
        self.items.push(Emit::Event(event));
    }

    /// Emits a wish.
    pub fn action(&mut self, action: SessionAction) {
        self.items.push(Emit::Action(action));
    }

    /// A public message was understood and read with these marks.
    #[inline]
    pub fn marked(&mut self, conn: ConnId, marks: Marks) {
        if !marks.is_empty() {
            self.items.push(Emit::Drift(Drift { conn, what: DriftKind::Marked(marks) }));
        }
    }

    /// A public message could not be read; broken JSON says nothing of the venue's schema.
    pub fn unread(&mut self, conn: ConnId, error: DecodeError) {
        if let Some(what) = DriftKind::of_error(error) {
            self.items.push(Emit::Drift(Drift { conn, what }));
        }
    }

    /// A public message is of a type that is not documented.
    pub fn untyped(&mut self, conn: ConnId) {
        self.items.push(Emit::Drift(Drift { conn, what: DriftKind::Type }));
    }

    /// Emits anything.
    #[inline]
    pub fn emit(&mut self, emit: Emit) {
        self.items.push(emit);
    }

    /// What was emitted so far.
    #[inline]
    pub fn items(&self) -> &[Emit] {
        &self.items
    }

    /// Reports that name no order are about this one; without it they are about nobody, and dropped.
    pub fn name_reports(&mut self, order: Option<ClientId>) {
        self.items.retain_mut(|item| match item {
            Emit::Report(report) if report.client_id == ClientId::NONE => order.is_some_and(|order| {
                report.client_id = order;
                true
            }),
            _ => true,
        });
    }

    /// Empties the buffer, keeping its room.
    #[inline]
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

/// A connection that a venue needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnSpec {
    /// What it is for; `Account` and `Orders` connections are polled first.
    pub role: SessionRole,
    /// Base address without path, such as `wss://fstream.binance.com`.
    pub url: String,
}

/// What an adapter and an encoder are built from.
#[derive(Clone, Debug)]
pub struct VenueContext {
    /// This venue.
    pub venue: VenueId,
    /// Its parameters.
    pub params: VenueParams,
    /// Its listings.
    pub listings: Vec<ListingParams>,
    /// First of its connections; the others follow in the order of [`connections`].
    pub conn_base: ConnId,
    /// First of its secret slots (it may use 4).
    pub slot_base: SecretSlot,
    /// False: market data only (no login, no private streams, no orders).
    pub trading: bool,
}

/// Decode side of a venue: session machines and decoders with mandatory continuity.
///
/// Must be deterministic: the same inputs yield the same output. `on_frame` and `on_tick` must not
/// allocate in steady state. Its state ([`State`]) holds no secret, and goes into one that is built from the same context:
/// what comes after is as if nothing had happened.
pub trait Adapter: Send + State {
    /// The run starts: ask for metadata, connect.
    fn on_start(&mut self, now: Stamp, out: &mut Out);
    /// A connection of this venue is established.
    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out);
    /// A connection of this venue was lost or could not be made: quarantine, plan the reconnect.
    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, reason: DownReason, now: Stamp, out: &mut Out);
    /// A message of the current epoch of its connection (older epochs never get here).
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out);
    /// The reply to a request; `status` 0 = there was none. Reports of a reply to an order or a cancel
    /// ([`HttpId::order`]) may leave the client id empty: decode finds it by the request's tag.
    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out);
    /// The registry defined (or redefined, with a higher generation) one of its listings. A listing that a
    /// list of the venue no longer names is to be stated as `Status::Suspended`.
    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out);
    /// The venue called one of our orders wrong for good, which it does when a contract has changed: metadata are to be
    /// read again, at the dialect's own pace.
    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        let _ = (now, out);
    }
    /// The account's positions are to be stated again, as a list: what is known of them is doubted. Called while the
    /// account is ready or not; in the latter case they are read anyway. The default leaves it to the dialect's own pace.
    fn reread_positions(&mut self, now: Stamp, out: &mut Out) {
        let _ = (now, out);
    }
    /// Time passed; called before every other input too, so deadlines fire on time.
    fn on_tick(&mut self, now: Stamp, out: &mut Out);
    /// The venue said how much of its limits is used, or refused a request for their sake; comes just before
    /// the reply that carried it. The default leaves it to the reply's status.
    fn on_pace(&mut self, pace: &Pace, now: Stamp, out: &mut Out) {
        let _ = (pace, now, out);
    }
    /// Time between settlements of a listing as the venue's metadata over HTTP states it, or its rules do; `None`
    /// where they say nothing (yet).
    fn funding_interval(&self, _: InstrumentId) -> Option<Nanos> {
        None
    }
    /// What became of the messages that two connections bring; `None` while only one does.
    fn copies(&self) -> Option<&CopyCounts> {
        None
    }
    /// A private connection is to be left now, for a new one: no order needs it, or its end is near. It is not ready any
    /// more from here on.
    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out);
    /// The run ends: unsubscribe is not needed, closing is.
    fn on_stop(&mut self, now: Stamp, out: &mut Out);
}

/// Route side of a venue: renders requests to bytes. Its state is saved and put back as that of an [`Adapter`].
pub trait Encoder: Send + State {
    /// The registry defined one of its listings.
    fn on_instrument(&mut self, instrument: &Instrument);
    /// From now on orders, cancels and queries take that way, one of [`Dialect::order_routes`].
    fn take_route(&mut self, route: OrderRoute) {
        let _ = route;
    }
    /// Renders an order; returns where it goes. Over HTTP every order says when it is too late: the ledger relies on
    /// it (`core::order::HTTP_VALID_MS_MIN`, or the configured time if that is longer).
    fn order(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull>;
    /// Renders a cancellation.
    fn cancel(
        &mut self,
        order: &OrderRef,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull>;
    /// Renders the change of a resting order to the price and the total quantity of `to`; `None` = the venue has no
    /// such request, or none that leaves a doubt-free order behind ([`Dialect::amending`]).
    fn amend(
        &mut self,
        to: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        payload: &mut Payload,
    ) -> Result<Option<Rendered>, PayloadFull> {
        let _ = (to, meta, now, payload);
        Ok(None)
    }
    /// Renders one request that ends the resting order `old` and places `with` in its stead; `None` = the venue has no such
    /// request ([`Amending::Replace`]). Says when it is too late as an order does.
    fn replace(
        &mut self,
        old: ClientId,
        with: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        payload: &mut Payload,
    ) -> Result<Option<Rendered>, PayloadFull> {
        let _ = (old, with, meta, now, payload);
        Ok(None)
    }
    /// Renders the cancellation of all open orders of the account over the order session; `None` = the venue has
    /// no such request there. Asked for in a kill, and when single cancels would exceed what the venue grants.
    fn cancel_all(&mut self, now: Stamp, to: &mut Payload) -> Result<Option<Rendered>, PayloadFull> {
        let _ = (now, to);
        Ok(None)
    }
    /// Renders a query for an order's state.
    fn query(
        &mut self,
        order: &OrderRef,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull>;
    /// Renders a session message.
    fn send(
        &mut self,
        conn: ConnId,
        what: VenueCall,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<(), PayloadFull>;
    /// Takes back what the latest [`Encoder::order`] used up, such as a nonce: it was imagined and goes nowhere.
    fn take_back(&mut self) {}
    /// Renders an HTTP request.
    fn http(&mut self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>, PayloadFull>;
    /// Renders path and query of the upgrade request of a connection.
    fn connect(
        &mut self,
        conn: ConnId,
        slot: Option<SecretSlot>,
        to: &mut Payload,
    ) -> Result<(), PayloadFull>;
}

/// Cancels every open order of an account over HTTP, by itself: what a kill does beside the river. Knows no
/// order of ours: it asks the venue. Deterministic; blocking and retrying are the caller's.
pub trait KillSwitch: Send {
    /// The requests that a round begins with, in the form of [`Encoder::http`].
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull>;
    /// Takes the reply to `request`; further requests of the round go to `out`.
    fn on_reply(
        &mut self,
        request: &Payload,
        status: u16,
        body: &[u8],
        now: Stamp,
        out: &mut Vec<Payload>,
    ) -> Result<KillReply, PayloadFull>;
}

/// What a reply means for a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReply {
    /// The round goes on.
    Next,
    /// The venue says that no order is open.
    Clear,
    /// The venue refused, or could not be understood: to be tried again.
    Refused,
}

/// Where a rendered order message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// A message on a connection.
    Socket(ConnId),
    /// An HTTP request; its id is [`HttpId::of_order`], from the upper half of the range, and the reply is
    /// handed to [`Adapter::on_http`] like every other.
    Http,
}

/// A venue's factory.
pub trait Dialect: Sync {
    /// Name in configuration and on the command line, such as `binance-usdm`.
    fn name(&self) -> &'static str;
    /// The WebSocket connections that it needs, in production.
    fn connections(&self, trading: bool) -> Vec<ConnSpec>;
    /// Whether its adapter knows what to do with a second connection for market data (see [`connections`]).
    fn relays(&self) -> bool {
        false
    }
    /// Base address for HTTP in production.
    fn http_url(&self) -> &'static str;
    /// Its decode side.
    fn adapter(&self, context: &VenueContext) -> Box<dyn Adapter>;
    /// What this dialect reads back from the account and states as `EventBody::Check` (and, for
    /// `Check::Clock`, as `EventBody::Clock`) when it trades: a live run holds the venue until all of it
    /// was stated as configured. The default reads nothing back and is held by nothing.
    fn start_checks(&self) -> CheckSet {
        CheckSet::EMPTY
    }
    /// Orders in 10 s that every account is granted, with a margin: the budget where none is configured.
    fn orders_per_10s(&self) -> u32 {
        10
    }
    /// The shortest time of its dead man's switch, s.
    fn dead_man_min_s(&self) -> i64 {
        10
    }
    /// The ways that orders can take at this venue; the first one is taken unless the configuration says another.
    fn order_routes(&self) -> &'static [OrderRoute] {
        &[OrderRoute::Websocket]
    }
    /// Whether resting orders can be amended here. The default denies every amendment: a cancel and a new order are
    /// never sent in its place as two requests, because between the two the order is nowhere.
    fn amending(&self) -> Amending {
        Amending::None
    }
    /// Probability that a leg of an entry misses at this venue, or the share of it that does, ppb: what is assumed until
    /// own orders tell (`core/miss.rs`).
    fn miss_prior(&self) -> Ppb {
        500 * BPS
    }
    /// Listings that its connections have room for.
    fn listings_max(&self, extras: Extras, copies: MarketCopies) -> usize {
        let _ = (extras, copies);
        usize::MAX
    }
    /// The route side.
    fn encoder(&self, context: &VenueContext) -> Box<dyn Encoder>;
    /// What cancels everything over HTTP beside the river; `None` = this venue has no such way yet.
    fn kill_switch(&self, context: &VenueContext) -> Option<Box<dyn KillSwitch>> {
        let _ = context;
        None
    }
    /// What its private messages are documented to hold.
    fn private_shapes(&self) -> &'static [Shape] {
        &[]
    }
    /// The stateless parser for the `decode` and `book` commands.
    fn decoder(&self) -> Box<dyn message::Decoder>;
}

/// The connections of a venue in a run: those of the dialect, then a second one for each of its market
/// connections in the same order, where the run has such and the dialect knows them.
pub fn connections(dialect: &dyn Dialect, copies: MarketCopies, trading: bool) -> Vec<ConnSpec> {
    let mut specs = dialect.connections(trading);
    if copies.has_second() && dialect.relays() {
        let market = specs.iter().filter(|spec| spec.role == SessionRole::Market);
        let seconds: Vec<ConnSpec> = market.cloned().collect();
        specs.extend(seconds);
    }
    specs
}

/// How many connections carry the market data of a venue that is configured so.
pub fn market_copies(name: &str, redundant: bool) -> MarketCopies {
    match dialect(name) {
        Some(dialect) if dialect.relays() && redundant => MarketCopies::Two,
        Some(dialect) if dialect.relays() => MarketCopies::Relay,
        _ => MarketCopies::One,
    }
}

/// Every dialect that there is.
pub static DIALECTS: &[&dyn Dialect] = &[
    &binance::BinanceUsdm,
    &binance::BinanceCoinm,
    &okx::Okx,
    &bybit::Bybit,
    &deribit::Deribit,
    &hyperliquid::Hyperliquid,
    &binance::Aster,
];

/// The dialect of that name.
pub fn dialect(name: &str) -> Option<&'static dyn Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.name() == name)
}
