//! Decode side of Hyperliquid: dispatches frames, drives the connections, and asks for what they need over
//! HTTP.
//!
//! Market rows are handled in [`super::market`], account rows in [`super::account`], what the venue says of our
//! account and its limits in [`super::standing`]. Deadlines of any kind lower `due`; `on_tick` does nothing before that, so that a frame pays one comparison for all timers.

use super::calls::{self, call, call_arg};
use super::continuity::HyperliquidContinuity;
use super::limits::{CHEAP, DEAR, PLAIN, Share, Weights};
use super::market::FUNDING_EVERY;
use super::parse::{Frame, Item, Parser};
use super::relay::{MESSAGES, listings_max};
use super::session::{NEVER, Phase, Session, Wish, note_ready};
use super::standing::Standing;
use super::{ACCOUNT, MARKET, TERMS, metadata};
use crate::domain::effect::{HttpId, SessionAction, VenueCall};
use crate::domain::event::{EventBody, SessionRole, SessionStatus};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId, VenueSpec};
use crate::domain::number::Num;
use crate::domain::params::{Extras, MarketCopies};
use crate::domain::standing::Pace;
use crate::domain::state::room;
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::contracts::{Rereading, suspend};
use crate::venue::copies::{COPIES, CopyCounts, Latest, Leader, Seen};
use crate::venue::extras::Told;
use crate::venue::full::Full;
use crate::venue::lines::Book;
use crate::venue::markets::Market as _;
use crate::venue::message::DecodeError;
use crate::venue::missed::Missed;
use crate::venue::quota::Quota;
use crate::venue::request::{Request, kind_of, next_id};
use crate::venue::twins::Twins;
use crate::venue::{Adapter, Emit, OddKind, Oddity, Out, VenueContext};
use serde::{Deserialize, Serialize};

/// Levels of one message: room without allocation.
const SCRATCH: usize = 256;

/// Time between two connects: the venue allows 30 a minute.
const CONNECT_EVERY: Nanos = 2_100 * MILLI;
/// The first connections of a run need not wait for each other.
const CONNECT_FREE: u32 = 6;
/// Patience for an HTTP reply.
const HTTP_WITHIN: Nanos = 10 * SECOND;
/// Metadata of a listing that was not listed is asked for again after this.
const ABSENT_AGAIN: Nanos = 60 * SECOND;
/// Metadata is read again after this: the venue announces no change.
const METADATA_PERIOD: Nanos = 60 * SECOND;
/// Metadata is asked for again at most this often when a number does not fit it.
pub(super) const REFRESH_EVERY: Nanos = 10 * SECOND;
/// The account's state is asked for this long after a fill: no channel states positions.
pub(super) const STATE_AFTER: Nanos = 500 * MILLI;
/// The account's state is asked for at least this often.
const STATE_EVERY: Nanos = 10 * SECOND;
/// Nothing is asked for this long after the venue refused for its limits, unless it says longer.
const PAUSE_MIN: Nanos = 10 * SECOND;

/// What we ask for over HTTP; the number is its place in [`HyperliquidAdapter::requests`] and in the low
/// bits of the [`HttpId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    State,
    Pending,
    Fills,
    Rate,
    Meta,
    Time,
    Agents,
    Role,
    Abstraction,
    Fees,
    Foreign,
    Asset,
    Missed,
}

/// How many kinds of questions there are.
const ASKS: usize = 13;

impl Ask {
    /// In the order in which they are asked.
    const ALL: [Self; ASKS] = [
        Self::State,
        Self::Pending,
        Self::Fills,
        Self::Rate,
        Self::Meta,
        Self::Time,
        Self::Agents,
        Self::Role,
        Self::Abstraction,
        Self::Fees,
        Self::Foreign,
        Self::Asset,
        Self::Missed,
    ];

    const fn op(self) -> u16 {
        match self {
            Self::State => calls::STATE,
            Self::Pending | Self::Foreign => calls::PENDING,
            Self::Fills | Self::Missed => calls::FILLS,
            Self::Rate => calls::RATE,
            Self::Meta => calls::META,
            Self::Time => calls::TIME,
            Self::Agents => calls::AGENTS,
            Self::Role => calls::ROLE,
            Self::Abstraction => calls::ABSTRACTION,
            Self::Fees => calls::FEES,
            Self::Asset => calls::ASSET,
        }
    }

    /// What it weighs, and whose weight that is.
    const fn weight(self) -> (u32, Share) {
        match self {
            Self::State => (CHEAP, Share::Account),
            Self::Pending | Self::Fills | Self::Missed | Self::Rate => (PLAIN, Share::Account),
            Self::Time => (CHEAP, Share::Data),
            Self::Role => (DEAR, Share::Data),
            Self::Meta | Self::Agents | Self::Abstraction | Self::Fees | Self::Foreign => {
                (PLAIN, Share::Data)
            }
            Self::Asset => (PLAIN, Share::Bulk),
        }
    }

    /// Asked of everyone alike.
    const fn is_public(self) -> bool {
        matches!(self, Self::Meta | Self::Time)
    }
}

/// A configured listing and its book.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listing {
    pub id: InstrumentId,
    pub symbol: Symbol,
    /// Scales; generation 0 = not defined yet.
    pub instrument: Instrument,
    /// What was last handed to the registry.
    spec: Option<VenueSpec>,
    /// Wall time of the subscription, by market connection.
    pub subscribed_wall: [Nanos; COPIES],
    pub book: Book<HyperliquidContinuity>,
    pub best: Latest,
    pub trades: Seen,
    pub context: Leader,
    /// Position and entry price in the list being read.
    pub stated: (i64, Num),
    /// Time of the last funding payment that was told, ms.
    pub funding_ms: i64,
    /// Cross margin and leverage, as last told.
    pub leverage: Option<(bool, i64)>,
    /// Open interest as last told.
    pub told: Told,
}

/// Session machines and decoders of Hyperliquid.
#[derive(Serialize, Deserialize)]
pub(super) struct HyperliquidAdapter {
    pub venue: VenueId,
    conn_base: ConnId,
    pub listings: Vec<Listing>,
    /// Positions in `listings`, ordered by symbol.
    by_symbol: Vec<(Symbol, usize)>,
    pub sessions: Vec<Session>,
    /// The market connections.
    pub twins: Twins,
    /// What may still be sent for subscriptions.
    pub messages: Quota,
    pub requests: [Request; ASKS],
    pub standing: Standing,
    /// Weight of our questions.
    pub weights: Weights,
    #[serde(skip, default = "Parser::new")]
    pub parser: Parser,
    /// Levels of one message at the instrument's scales.
    #[serde(skip, default = "room::<_, SCRATCH>")]
    pub scratch: Vec<(Price, Qty)>,
    pub extras: Extras,
    /// What the venue settles in.
    pub currency: Currency,
    /// What amounts in it count as; empty = as themselves.
    pub at_par: Currency,
    /// Wall time of the start.
    pub started_wall: Nanos,
    pub missed: Missed,
    next_id: u32,
    /// Earliest time at which anything has to be done.
    due: Nanos,
    connect_free_at: Nanos,
    connects: u32,
    /// Nothing is asked before this (429).
    asks_free_at: Nanos,
    pub rereading: Rereading,
    /// When the account's state is due again.
    pub state_due: Nanos,
    /// The account was listed completely since its connection came up.
    pub reconciled: bool,
}

impl HyperliquidAdapter {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        // Both connections share the subscriptions of our address.
        let has_room = context.listings.len() <= listings_max(true);
        let copies = if has_room { context.params.market_copies } else { MarketCopies::One };
        let listings: Vec<Listing> = context
            .listings
            .iter()
            .map(|listing| Listing {
                id: listing.id,
                symbol: listing.symbol,
                instrument: Instrument::default(),
                spec: None,
                subscribed_wall: [0; COPIES],
                book: Book::new(listing.id, copies.has_second(), TERMS),
                best: Latest::default(),
                trades: if copies.has_second() { Seen::new() } else { Seen::default() },
                context: Leader::default(),
                stated: (0, Num::ZERO),
                funding_ms: 0,
                leverage: None,
                told: Told::default(),
            })
            .collect();
        let mut by_symbol: Vec<_> =
            listings.iter().enumerate().map(|(at, listing)| (listing.symbol, at)).collect();
        by_symbol.sort_unstable();
        let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
        let used = if context.trading { roles.len() } else { 1 };
        let all = used + usize::from(copies.has_second());
        let role = |at: usize| if at < used { roles[at] } else { SessionRole::Market };
        let conn = |at: usize| ConnId(context.conn_base.0 + at as u8);
        Self {
            venue: context.venue,
            conn_base: context.conn_base,
            listings,
            by_symbol,
            sessions: (0..all).map(|at| Session::new(conn(at), role(at), TERMS)).collect(),
            twins: Twins::new(&context.params, copies, MARKET, used),
            messages: MESSAGES,
            requests: [Request::default(); ASKS],
            standing: Standing::new(&context.params),
            weights: Weights::default(),
            parser: Parser::new(),
            scratch: Vec::with_capacity(SCRATCH),
            extras: context.params.extras,
            currency: Currency::new("USDC").unwrap_or_default(),
            at_par: context.params.settle_at_par,
            started_wall: 0,
            missed: Missed::new(context.venue),
            next_id: 0,
            due: NEVER,
            connect_free_at: Nanos::MIN,
            connects: 0,
            asks_free_at: Nanos::MIN,
            rereading: Rereading::new(REFRESH_EVERY),
            state_due: NEVER,
            reconciled: false,
        }
    }

    /// Position of the listing with that native name.
    #[inline]
    pub fn find(&self, symbol: &Symbol) -> Option<usize> {
        self.by_symbol.binary_search_by(|(have, _)| have.cmp(symbol)).ok().map(|at| self.by_symbol[at].1)
    }

    /// Something has to be done at `at`.
    pub fn arm(&mut self, at: Nanos) {
        self.due = self.due.min(at);
    }

    pub fn odd(&self, conn: ConnId, kind: OddKind, out: &mut Out) {
        out.emit(Emit::Odd(Oddity { conn, kind }));
    }

    /// The connection that account replies are attributed to.
    pub fn account_conn(&self) -> ConnId {
        self.sessions.get(ACCOUNT).unwrap_or(&self.sessions[MARKET]).conn
    }

    fn session_at(&self, conn: ConnId) -> Option<usize> {
        let at = usize::from(conn.0.checked_sub(self.conn_base.0)?);
        (at < self.sessions.len()).then_some(at)
    }

    /// Sends a session message.
    pub fn send(&self, at: usize, what: VenueCall, out: &mut Out) {
        out.action(SessionAction::Send { conn: self.sessions[at].conn, what });
    }

    pub fn status(&mut self, at: usize, ready: bool, out: &mut Out) {
        if let Some(ready) = note_ready(&mut self.sessions, at, ready) {
            let role = self.sessions[at].role;
            out.event(EventBody::Session(SessionStatus { venue: self.venue, role, ready }));
        }
    }

    pub fn close(&mut self, at: usize, now: Nanos, out: &mut Out) {
        if matches!(self.sessions[at].phase, Phase::Idle | Phase::Down { .. } | Phase::Closing { .. }) {
            return;
        }
        out.action(SessionAction::Close { conn: self.sessions[at].conn });
        self.sessions[at].closing(now, false);
        self.quarantine(at, now, out);
        self.arm(now);
    }

    /// Nothing that the connection carried can be trusted until it is back.
    fn quarantine(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.status(at, false, out);
        if let Some(copy) = self.twins.copy_of(at) {
            return self.lose_market(copy, now, out);
        }
        if at == ACCOUNT {
            self.reconciled = false;
            self.state_due = NEVER;
            for ask in [Ask::Pending, Ask::State, Ask::Missed] {
                self.requests[ask as usize] = Request::default();
            }
            self.missed.lose();
            self.forget_settings();
        }
    }

    /// Whether it is being asked for, or is about to be; a later date is not.
    pub fn asking(&self, ask: Ask, now: Nanos) -> bool {
        self.requests[ask as usize].is_asking(now)
    }

    /// Wants an HTTP reply.
    pub fn want(&mut self, ask: Ask, at: Nanos) {
        self.requests[ask as usize] = Request::wanted_at(at);
        self.arm(at);
    }

    /// Wants a reply that starts at `arg`.
    pub fn want_page(&mut self, ask: Ask, arg: u64, now: Nanos) {
        self.want(ask, now);
        self.requests[ask as usize].arg = arg;
    }

    /// Wants the account's state as of `at` or later: an outstanding reply may be of before.
    pub fn want_state(&mut self, at: Nanos) {
        let request = &self.requests[Ask::State as usize];
        if !request.wanted || request.is_out() {
            self.want(Ask::State, at);
        }
    }

    /// Does everything that is due, and finds out when the next thing will be.
    fn work(&mut self, now: Stamp, out: &mut Out) {
        self.due = NEVER;
        self.relay(now.mono, out);
        for at in 0..self.sessions.len() {
            self.drive(at, now.mono, out);
        }
        if now.mono >= self.state_due {
            self.state_due = now.mono + STATE_EVERY;
            self.want_state(now.mono);
        }
        self.arm(self.state_due);
        self.look_for_foreign(now.mono);
        for ask in Ask::ALL {
            self.ask(ask, now.mono, out);
        }
        for copy in 0..COPIES {
            if self.twins.is_up(&self.sessions, copy) {
                self.subscribe(copy, now, out);
                self.resync(copy, now.mono, out);
            }
        }
        self.hold_dead_man(now.mono, out);
    }

    fn drive(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let (wish, next) = self.sessions[at].due(now);
        match wish {
            Wish::None => self.arm(next),
            Wish::Connect if now < self.connect_free_at => self.arm(self.connect_free_at),
            Wish::Connect => {
                self.connects = self.connects.saturating_add(1);
                if self.connects > CONNECT_FREE {
                    self.connect_free_at = now + CONNECT_EVERY;
                }
                self.sessions[at].connecting(now);
                out.action(SessionAction::Connect { conn: self.sessions[at].conn, slot: None });
                let (_, next) = self.sessions[at].due(now);
                self.arm(next);
            }
            Wish::Ping => {
                self.send(at, call(calls::PING), out);
                self.arm(next);
            }
            Wish::Close => {
                self.close(at, now, out);
                let (_, next) = self.sessions[at].due(now);
                self.arm(next);
            }
        }
    }

    fn ask(&mut self, ask: Ask, now: Nanos, out: &mut Out) {
        let request = &mut self.requests[ask as usize];
        if !request.wanted {
            return;
        }
        if now >= request.due {
            if request.is_out() {
                return self.failed(ask, now);
            }
            if now < self.asks_free_at {
                return self.arm(self.asks_free_at);
            }
            let (weight, share) = ask.weight();
            if let Err(free_at) = self.weights.take(now, weight, share) {
                return self.arm(free_at);
            }
            let id = next_id(&mut self.next_id, ask as usize);
            request.send(id, now + HTTP_WITHIN);
            let what = call_arg(ask.op(), request.arg);
            out.action(SessionAction::Http { venue: self.venue, id: HttpId(id), what });
        }
        let due = self.requests[ask as usize].due;
        self.arm(due);
    }

    /// A request failed: it is sent again later.
    fn failed(&mut self, ask: Ask, now: Nanos) {
        let seed = u64::from(self.venue.0) << 8 | ask as u64;
        let due = self.requests[ask as usize].fail(now, |failures| 2 * TERMS.back_off(failures, seed));
        self.arm(due);
    }

    fn acked(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let session = &mut self.sessions[at];
        if session.acks == 0 {
            return;
        }
        session.acks -= 1;
        if session.acks > 0 {
            return;
        }
        session.step_done();
        match session.role {
            SessionRole::Market => self.status(at, true, out),
            // What happens from now on arrives by itself; what was before is asked for.
            SessionRole::Account => {
                if self.missed.resume() {
                    self.want_page(Ask::Missed, self.missed.since_ms(), now);
                }
                self.reconcile(now);
                self.read_settings(now, out);
            }
            SessionRole::Orders => {}
        }
    }

    /// The text of an `error`: a subscription that stands already is as good as acknowledged; anything else
    /// is refused, and where something was being subscribed, the connection starts over.
    fn on_error(&mut self, at: usize, text: &[u8], now: Nanos, out: &mut Out) {
        const STANDS: &[u8] = b"Already subscribed";
        if text.windows(STANDS.len()).any(|part| part == STANDS) {
            return self.acked(at, now, out);
        }
        self.odd(self.sessions[at].conn, OddKind::Refused, out);
        if self.sessions[at].acks > 0 {
            self.close(at, now, out);
        }
    }

    fn reconcile(&mut self, now: Nanos) {
        self.reconciled = false;
        for ask in [Ask::Pending, Ask::State] {
            self.want(ask, now);
        }
    }

    fn on_meta(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let assets = metadata::read(body, self.listings.len(), |name| {
            Symbol::from_bytes(name).and_then(|symbol| self.find(&symbol))
        })?;
        let conn = self.sessions[MARKET].conn;
        let mut absent = false;
        for (at, asset) in assets.into_iter().enumerate() {
            let Some(asset) = asset else {
                absent = true;
                suspend(&mut self.listings[at].spec, conn, out);
                continue;
            };
            let spec = asset.spec(self.listings[at].id);
            if self.listings[at].spec != Some(spec) {
                self.listings[at].spec = Some(spec);
                out.emit(Emit::Spec(spec));
            }
        }
        let due = self.rereading.read(now, if absent { ABSENT_AGAIN } else { METADATA_PERIOD });
        self.want(Ask::Meta, due);
        Ok(())
    }
}

impl HyperliquidAdapter {
    /// The body of an answer to a question that was asked at `sent`.
    fn on_answer(
        &mut self,
        ask: Ask,
        body: &[u8],
        sent: Nanos,
        now: Stamp,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        match ask {
            Ask::State => self.on_state(body, now, out),
            Ask::Pending => {
                self.on_pending(body, out)?;
                self.on_foreign(body, now.mono, out)
            }
            Ask::Fills => self.on_fills(body, now.mono, out),
            Ask::Missed => self.on_missed(body, now.mono, out),
            Ask::Rate => self.on_rate(body, now.mono, out),
            Ask::Meta => self.on_meta(body, now.mono, out),
            Ask::Time => self.on_time(body, sent, now.mono, out),
            Ask::Agents => self.on_agents(body, now, out),
            Ask::Role => self.on_role(body, now.mono, out),
            Ask::Abstraction => self.on_abstraction(body, now.mono, out),
            Ask::Fees => self.on_fees(body, now.mono, out),
            Ask::Foreign => self.on_foreign(body, now.mono, out),
            Ask::Asset => self.on_asset(body, now.mono, out),
        }
    }
}

impl Adapter for HyperliquidAdapter {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.started_wall = now.wall;
        for listing in &mut self.listings {
            listing.funding_ms = now.wall_ms();
        }
        for at in 0..self.sessions.len() {
            let is_spare = self.twins.is_spare(at);
            self.sessions[at].phase = if is_spare { Phase::Idle } else { Phase::Down { due: now.mono } };
        }
        self.want(Ask::Meta, now.mono);
        self.want(Ask::Time, now.mono);
        self.work(now, out);
    }

    fn on_conn_up(&mut self, conn: ConnId, _epoch: u32, now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(conn) else { return };
        if self.sessions[at].phase == Phase::Idle {
            return out.action(SessionAction::Close { conn });
        }
        self.sessions[at].up(now.mono);
        match self.sessions[at].role {
            SessionRole::Market => {
                if let Some(copy) = self.twins.copy_of(at) {
                    self.twins.up(copy, now.mono);
                }
                if !self.asking(Ask::Meta, now.mono) && self.rereading.is_allowed(now.mono) {
                    // We may have missed a change of specification.
                    self.want(Ask::Meta, now.mono);
                }
            }
            SessionRole::Account => {
                for channel in 0..calls::ACCOUNT_CHANNELS.len() as u64 {
                    self.send(at, call_arg(calls::SUBSCRIBE_ACCOUNT, channel), out);
                }
                self.sessions[at].logged_in = true;
                self.sessions[at].acks = calls::ACCOUNT_CHANNELS.len() as u32;
                self.sessions[at].step(now.mono);
            }
            SessionRole::Orders => {
                // There is nothing to log in to: every action is signed.
                self.status(at, true, out);
                self.renew_dead_man(now.mono);
                if self.sessions[ACCOUNT].logged_in && self.sessions[ACCOUNT].acks == 0 {
                    // Replies may have been lost with the connection: list the orders again.
                    self.reconcile(now.mono);
                }
            }
        }
        self.work(now, out);
    }

    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, _reason: DownReason, now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(conn) else { return };
        self.quarantine(at, now.mono, out);
        self.sessions[at].down(now.mono, u64::from(conn.0) << 32 | u64::from(epoch));
        self.work(now, out);
    }

    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(meta.conn) else { return };
        self.sessions[at].heard(now.mono);
        if self.sessions[at].phase != Phase::Up {
            return;
        }
        match meta.kind {
            FrameKind::Text => {}
            FrameKind::Binary => return self.odd(meta.conn, OddKind::Malformed, out),
            FrameKind::Ping | FrameKind::Pong => return,
        }
        if at == ACCOUNT {
            self.missed.hear(now.wall);
        }
        let mut full = Full::new();
        match self.parser.parse(frame, &mut full) {
            Ok(Frame::Market) => {
                out.marked(meta.conn, self.parser.marks);
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if self.parser.items.iter().any(Item::is_core) {
                    self.twins.hear(copy, now.mono);
                }
                self.on_market((meta.conn, copy), now, out);
            }
            Ok(Frame::Private(channel, data)) => self.on_private(meta.conn, channel, data, now, out),
            Ok(Frame::Subscribed) => {
                self.acked(at, now.mono, out);
                self.work(now, out);
            }
            Ok(Frame::Error(text)) => {
                self.on_error(at, text, now.mono, out);
                self.work(now, out);
            }
            Ok(Frame::Pong | Frame::Unsubscribed | Frame::Ignored(_)) => {}
            Ok(Frame::RestPrivate(_) | Frame::Unknown) => {
                self.odd(meta.conn, OddKind::Unknown, out);
                out.untyped(meta.conn);
            }
            Err(error) => {
                out.unread(meta.conn, error);
                self.odd(meta.conn, OddKind::Malformed, out);
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if let Some(at) = self.parser.book_hint.and_then(|symbol| self.find(&symbol)) {
                    self.lose_message(at, copy, now.mono, out);
                }
            }
        }
    }

    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        if id.0 >> 31 == 1 {
            self.on_query(id, status, body, now.mono, out);
            return self.work(now, out);
        }
        let Some(ask) = Ask::ALL.get(kind_of(id.0)).copied() else { return };
        let request = &mut self.requests[ask as usize];
        if !request.awaits(id.0) {
            return;
        }
        // Before the reply is read, which may want the same again.
        request.wanted = status != 200;
        let sent = request.due - HTTP_WITHIN;
        let result = if status == 200 { self.on_answer(ask, body, sent, now, out) } else { Ok(()) };
        let conn = if ask.is_public() { self.sessions[MARKET].conn } else { self.account_conn() };
        match result {
            Ok(()) if status == 200 => self.reconcile_end(now.mono, out),
            Ok(()) => {
                if status != 0 {
                    self.odd(conn, OddKind::Refused, out);
                }
                self.failed(ask, now.mono);
            }
            Err(_) => {
                self.odd(conn, OddKind::Malformed, out);
                self.requests[ask as usize].wanted = true;
                self.failed(ask, now.mono);
            }
        }
        self.work(now, out);
    }

    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        let Some(at) = self.listings.iter().position(|listing| listing.id == instrument.id) else { return };
        if instrument.generation == 0 || instrument.generation == self.listings[at].instrument.generation {
            return;
        }
        self.listings[at].instrument = *instrument;
        self.rescale(at, now.mono, out);
        if self.reconciled {
            // Positions could not be expressed before, or were in the old scales.
            self.want_state(now.mono);
        }
        // Subscriptions wait for the next tick, so that listings defined together go out together.
        self.arm(now.mono);
    }

    fn on_pace(&mut self, pace: &Pace, now: Stamp, _: &mut Out) {
        if pace.is_refusal() {
            let asked = Nanos::from(pace.retry_after_s) * SECOND;
            self.asks_free_at = self.asks_free_at.max(now.mono + asked.max(PAUSE_MIN));
        }
    }

    fn reread_positions(&mut self, now: Stamp, out: &mut Out) {
        if self.reconciled {
            self.want_state(now.mono);
        }
        self.work(now, out);
    }

    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.refresh(now.mono);
        self.work(now, out);
    }

    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        if now.mono >= self.due {
            self.work(now, out);
        }
    }

    fn funding_interval(&self, id: InstrumentId) -> Option<Nanos> {
        self.listings.iter().any(|listing| listing.id == id).then_some(FUNDING_EVERY)
    }

    fn copies(&self) -> Option<&CopyCounts> {
        self.twins.counted()
    }

    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        if let Some(at) = self.session_at(conn) {
            self.close(at, now.mono, out);
        }
    }

    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        for at in 0..self.sessions.len() {
            self.close(at, now.mono, out);
            self.sessions[at].phase = Phase::Idle;
        }
        self.requests = [Request::default(); ASKS];
        (self.due, self.state_due) = (NEVER, NEVER);
    }
}
