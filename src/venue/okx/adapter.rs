//! Decode side of OKX: dispatches frames, drives the connections, and asks for what they need over HTTP.
//!
//! Market rows are handled in [`super::market`], account rows in [`super::account`]. Deadlines of any kind
//! lower `due`; `on_tick` does nothing before that, so that a frame pays one comparison for all timers.

mod contracts;

use super::calls::{self, call, call_arg};
use super::continuity::{OkxContinuity, SentBook};
use super::errors::is_fatal;
use super::market::MARKS;
use super::parse::{EventKind, Frame, Parser};
use super::session::{NEVER, Phase, Session, Wish, note_ready};
use super::standing::Standing;
use super::{ACCOUNT, MARKET, ORDERS, TERMS, connection_count, rows};
use crate::domain::effect::{HttpId, OrderCall, SessionAction, VenueCall};
use crate::domain::event::{EventBody, SessionRole, SessionStatus};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId, VenueSpec};
use crate::domain::money::Money;
use crate::domain::params::{Extras, OrderRoute};
use crate::domain::standing::Pace;
use crate::domain::state::{room, roomy};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::contracts::Rereading;
use crate::venue::copies::{COPIES, CopyCounts, Latest};
use crate::venue::extras::Told;
use crate::venue::full::Full;
use crate::venue::lines::Book;
use crate::venue::markets::Market as _;
use crate::venue::missed::Missed;
use crate::venue::price_limits::PriceLimits;
use crate::venue::quota::Quota;
use crate::venue::request::{Request, kind_of, next_id};
use crate::venue::twins::Twins;
use crate::venue::{Adapter, Emit, OddKind, Oddity, Out, VenueContext};
use serde::{Deserialize, Serialize};

/// Orders or listings that are listed after each other: room without allocation.
const WANTED: usize = 64;
/// Levels of one message: room without allocation.
const SCRATCH: usize = 1024;

/// Time between two connects: the venue allows three a second.
const CONNECT_EVERY: Nanos = 350 * MILLI;
/// Patience for an HTTP reply.
const HTTP_WITHIN: Nanos = 10 * SECOND;
/// Notice 64008 comes 60 s before the cut: a private connection is left within this.
const NOTICE_WITHIN: Nanos = 50 * SECOND;
/// The venue's word about a contract is read up after this: it announces several at a time.
const ANNOUNCED_PAUSE: Nanos = SECOND;
/// Metadata is asked for again at most this often when a number does not fit it.
pub(super) const REFRESH_EVERY: Nanos = 10 * SECOND;
/// Subscriptions on one connection, and taking them back: the venue allows 480 an hour, logins included.
pub(super) const SUBSCRIPTIONS: Quota = Quota::new(470, 3600 * SECOND);
/// Delay after an HTTP error that only a change of configuration can cure.
const FATAL_DELAY: Nanos = 60 * SECOND;

/// What we ask for over HTTP; the number is its place in [`OkxAdapter::requests`] and in the low bits of
/// the [`HttpId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Instruments,
    Pending,
    Positions,
    Balance,
    Fills,
    Time,
    Config,
    Leverage,
    Fee,
    Foreign,
    DeadMan,
    Missed,
}
/// How many kinds of questions there are.
const ASKS: usize = 12;
/// What makes the account known again.
const ACCOUNT_ASKS: [Ask; 3] = [Ask::Pending, Ask::Positions, Ask::Balance];

impl Ask {
    const ALL: [Self; ASKS] = [
        Self::Instruments,
        Self::Pending,
        Self::Positions,
        Self::Balance,
        Self::Fills,
        Self::Time,
        Self::Config,
        Self::Leverage,
        Self::Fee,
        Self::Foreign,
        Self::DeadMan,
        Self::Missed,
    ];

    const fn op(self) -> u16 {
        match self {
            Self::Instruments => calls::INSTRUMENTS,
            Self::Pending => calls::PENDING,
            Self::Positions => calls::POSITIONS,
            Self::Balance => calls::BALANCE,
            Self::Fills => calls::FILLS,
            Self::Time => calls::TIME,
            Self::Config => calls::CONFIG,
            Self::Leverage => calls::LEVERAGE,
            Self::Fee => calls::FEE,
            Self::Foreign => calls::PENDING,
            Self::DeadMan => calls::DEAD_MAN,
            Self::Missed => calls::MISSED,
        }
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
    pub book: Book<OkxContinuity>,
    pub best: Latest,
    pub trades: Latest,
    /// What comes without a number of its own, by kind.
    pub marks: [Latest; MARKS],
    /// Levels as sent; only after a snapshot that came with a checksum.
    pub sent: Option<Box<SentBook>>,
    /// Whether `sent` holds the present book.
    pub sent_live: bool,
    /// Named by the list being read.
    pub seen: bool,
    /// Funding of the present position so far, as last stated.
    pub funding: Option<Money>,
    pub limits: PriceLimits,
    /// Open interest and last price as last told.
    pub told: Told,
}

/// Session machines and decoders of OKX.
#[derive(Serialize, Deserialize)]
pub(super) struct OkxAdapter {
    pub venue: VenueId,
    conn_base: ConnId,
    pub listings: Vec<Listing>,
    /// Positions in `listings`, ordered by symbol.
    by_symbol: Vec<(Symbol, usize)>,
    pub sessions: Vec<Session>,
    /// The market connections.
    pub twins: Twins,
    /// What may still be subscribed on each of them.
    pub quotas: [Quota; COPIES],
    pub requests: [Request; ASKS],
    pub standing: Standing,
    /// Orders (by the venue's id) whose fills have to be listed; the first one is being asked for.
    #[serde(deserialize_with = "roomy::<_, _, WANTED>")]
    pub fills_wanted: Vec<u64>,
    pub missed: Missed,
    #[serde(skip, default = "Parser::new")]
    pub parser: Parser,
    /// Levels of one message at the instrument's scales.
    #[serde(skip, default = "room::<_, SCRATCH>")]
    pub scratch: Vec<(Price, Qty)>,
    pub extras: Extras,
    next_id: u32,
    /// Earliest time at which anything has to be done.
    due: Nanos,
    connect_free_at: Nanos,
    /// Nothing is asked before this (429).
    asks_free_at: Nanos,
    pub rereading: Rereading,
    /// Channels of no listing in particular were asked for on the present connection of each copy.
    pub asked_wide: [bool; COPIES],
    /// The account was listed completely since its connection came up.
    pub reconciled: bool,
    /// Orders go over HTTP: the order connection is not made, and they can go while the account is known.
    pub orders_http: bool,
}

impl OkxAdapter {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        let copies = context.params.market_copies;
        let listings: Vec<Listing> = context
            .listings
            .iter()
            .map(|listing| Listing {
                id: listing.id,
                symbol: listing.symbol,
                instrument: Instrument::default(),
                spec: None,
                book: Book::new(listing.id, copies.has_second(), TERMS),
                best: Latest::default(),
                trades: Latest::default(),
                marks: [Latest::default(); MARKS],
                sent: None,
                sent_live: false,
                seen: false,
                funding: None,
                limits: PriceLimits::default(),
                told: Told::default(),
            })
            .collect();
        let mut by_symbol: Vec<_> =
            listings.iter().enumerate().map(|(at, listing)| (listing.symbol, at)).collect();
        by_symbol.sort_unstable();
        let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
        let used = connection_count(context.trading);
        let all = used + usize::from(copies.has_second());
        let conn = |at: usize| ConnId(context.conn_base.0 + at as u8);
        let role = |at: usize| if at < used { roles[at] } else { SessionRole::Market };
        Self {
            venue: context.venue,
            conn_base: context.conn_base,
            listings,
            by_symbol,
            sessions: (0..all).map(|at| Session::new(conn(at), role(at), TERMS)).collect(),
            twins: Twins::new(&context.params, copies, MARKET, used),
            quotas: [SUBSCRIPTIONS; COPIES],
            requests: [Request::default(); ASKS],
            standing: Standing::new(&context.params),
            fills_wanted: Vec::with_capacity(WANTED),
            missed: Missed::new(context.venue),
            parser: Parser::new(),
            scratch: Vec::with_capacity(SCRATCH),
            extras: context.params.extras,
            next_id: 0,
            due: NEVER,
            connect_free_at: Nanos::MIN,
            asks_free_at: Nanos::MIN,
            rereading: Rereading::new(REFRESH_EVERY),
            asked_wide: [false; COPIES],
            reconciled: false,
            orders_http: context.params.orders == OrderRoute::Http,
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

    pub fn send(&self, at: usize, what: VenueCall, out: &mut Out) {
        out.action(SessionAction::Send { conn: self.sessions[at].conn, what });
    }

    pub fn status(&mut self, at: usize, ready: bool, out: &mut Out) {
        if let Some(ready) = note_ready(&mut self.sessions, at, ready) {
            let role = self.sessions[at].role;
            out.event(EventBody::Session(SessionStatus { venue: self.venue, role, ready }));
        }
    }

    pub fn close(&mut self, at: usize, fatal: bool, now: Nanos, out: &mut Out) {
        if matches!(self.sessions[at].phase, Phase::Idle | Phase::Down { .. } | Phase::Closing { .. }) {
            return;
        }
        out.action(SessionAction::Close { conn: self.sessions[at].conn });
        self.sessions[at].closing(now, fatal);
        self.quarantine(at, now, out);
        self.arm(now);
    }

    /// Nothing that the connection carried can be trusted until it is back.
    fn quarantine(&mut self, at: usize, now: Nanos, out: &mut Out) {
        self.status(at, false, out);
        if let Some(copy) = self.twins.copy_of(at) {
            self.asked_wide[copy] = false;
            return self.lose_market(copy, now, out);
        }
        if at == ACCOUNT {
            self.reconciled = false;
            for ask in ACCOUNT_ASKS.into_iter().chain([Ask::Missed]) {
                self.requests[ask as usize] = Request::default();
            }
            self.missed.lose();
            if self.orders_http {
                self.status(ORDERS, false, out);
            }
            self.forget_settings();
        }
    }

    /// Wants an HTTP reply, from its first page.
    pub fn want(&mut self, ask: Ask, at: Nanos) {
        self.requests[ask as usize] = Request::wanted_at(at);
        self.arm(at);
    }

    /// Wants the page that starts after `arg`.
    pub fn want_page(&mut self, ask: Ask, arg: u64, now: Nanos) {
        self.want(ask, now);
        self.requests[ask as usize].arg = arg;
    }

    /// Does everything that is due, and finds out when the next thing will be.
    fn work(&mut self, now: Stamp, out: &mut Out) {
        self.due = NEVER;
        self.relay(now.mono, out);
        for at in 0..self.sessions.len() {
            self.drive(at, now.mono, out);
        }
        for ask in Ask::ALL {
            self.ask(ask, now.mono, out);
        }
        for copy in 0..COPIES {
            if self.twins.is_up(&self.sessions, copy) {
                self.subscribe(copy, now.mono, out);
                self.resync(copy, now.mono, out);
            }
        }
    }

    fn drive(&mut self, at: usize, now: Nanos, out: &mut Out) {
        let (wish, next) = self.sessions[at].due(now);
        match wish {
            Wish::None => self.arm(next),
            Wish::Connect if now < self.connect_free_at => self.arm(self.connect_free_at),
            Wish::Connect => {
                self.connect_free_at = now + CONNECT_EVERY;
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
                self.close(at, false, now, out);
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
        // The switch must be armed whatever else waits.
        if !request.is_out() && now < self.asks_free_at && ask != Ask::DeadMan {
            let due = request.due.max(self.asks_free_at);
            return self.arm(due);
        }
        if now >= request.due {
            if request.is_out() {
                self.unarmed(ask, out);
                return self.failed(ask, 0, now);
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
    fn failed(&mut self, ask: Ask, code: i32, now: Nanos) {
        let seed = u64::from(self.venue.0) << 8 | ask as u64;
        let due = self.requests[ask as usize].fail(now, |failures| match is_fatal(code) {
            true => FATAL_DELAY,
            false => 2 * TERMS.back_off(failures, seed),
        });
        self.arm(due);
    }

    /// Subscribes the listings that are defined and not subscribed, in messages of neighbours.
    fn subscribe(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let market = self.twins.session(copy);
        let mut at = 0;
        while at < self.listings.len() {
            let wants = |l: &Listing| l.instrument.generation > 0 && !l.book.lines[copy].subscribed;
            let count =
                self.listings[at..].iter().take(calls::LISTINGS_PER_BATCH).take_while(|l| wants(l)).count();
            if count == 0 {
                at += 1;
                continue;
            }
            // The first batch of a connection asks for the venue's word about its contracts too.
            let wide = !self.asked_wide[copy];
            let requests = 1 + u32::from(self.extra_acks(count, wide) > 0);
            if let Err(due) = self.quotas[copy].take(requests, now) {
                return self.arm(due);
            }
            for listing in &mut self.listings[at..at + count] {
                listing.book.subscribe(copy, now, out);
            }
            self.asked_wide[copy] = true;
            self.send(market, call_arg(calls::SUBSCRIBE_MARKET, calls::range(at, count, wide)), out);
            self.sessions[market].acks += (count * calls::MARKET_CHANNELS.len() + usize::from(wide)) as u32;
            self.subscribe_extras(market, (at, count, wide), out);
            self.sessions[market].step(now);
            self.arm(now);
            at += count;
        }
    }

    /// Acknowledgements of what else of the market is wanted of the same listings.
    fn extra_acks(&self, count: usize, wide: bool) -> usize {
        let channels = calls::wanted(self.extras).iter().filter(|wanted| **wanted).count();
        count * channels + usize::from(wide && self.extras.liquidations)
    }

    /// Asks for what else of the market is wanted of the same listings; acknowledged one by one, too.
    fn subscribe_extras(&mut self, market: usize, (at, count, wide): (usize, usize, bool), out: &mut Out) {
        let acks = self.extra_acks(count, wide);
        if acks > 0 {
            self.send(market, call_arg(calls::SUBSCRIBE_EXTRAS, calls::range(at, count, wide)), out);
            self.sessions[market].acks += acks as u32;
        }
    }

    fn on_event(&mut self, at: usize, kind: EventKind, code: i32, id: &[u8], now: Nanos, out: &mut Out) {
        let conn = self.sessions[at].conn;
        match kind {
            EventKind::Subscribe => self.acked(at, now, out),
            EventKind::Login if code == 0 => {
                self.sessions[at].logged_in = true;
                self.sessions[at].step_done();
                if at == ORDERS {
                    self.status(at, true, out);
                    if self.sessions[ACCOUNT].logged_in && self.sessions[ACCOUNT].acks == 0 {
                        // Replies may have been lost with the connection: list the orders again.
                        self.reconcile(now);
                    }
                } else {
                    self.send(at, call(calls::SUBSCRIBE_ACCOUNT), out);
                    self.sessions[at].acks = calls::ACCOUNT_CHANNELS;
                    self.sessions[at].step(now);
                }
                self.arm(now);
            }
            EventKind::Login | EventKind::Error => {
                self.odd(conn, OddKind::Refused, out);
                if self.on_refused_operation(id, code, out) {
                    return;
                }
                let session = &self.sessions[at];
                let logging_in = session.role != SessionRole::Market && !session.logged_in;
                match code {
                    // One bad channel or instrument: the others are acknowledged as usual.
                    60018 if session.acks > 0 => self.acked(at, now, out),
                    60011 => self.close(at, false, now, out),
                    _ if logging_in || session.acks > 0 => self.close(at, is_fatal(code), now, out),
                    _ => {}
                }
            }
            // The connection will be cut within a minute: come back at our own time.
            EventKind::Notice if code == 64008 && self.twins.copy_of(at).is_some() => {
                self.leave(at, now, out);
            }
            EventKind::Notice if code == 64008 => {
                out.emit(Emit::Leave { conn, by: now + NOTICE_WITHIN });
            }
            EventKind::ConnCountError => {
                self.odd(conn, OddKind::Refused, out);
                self.close(at, false, now, out);
            }
            EventKind::Unsubscribe | EventKind::Notice | EventKind::ConnCount => {}
        }
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
                    self.want(Ask::Missed, now);
                }
                self.reconcile(now);
                self.read_settings(now, out);
            }
            SessionRole::Orders => {}
        }
    }

    fn reconcile(&mut self, now: Nanos) {
        self.reconciled = false;
        for ask in ACCOUNT_ASKS {
            self.want(ask, now);
        }
    }
}

impl Adapter for OkxAdapter {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        for at in 0..self.sessions.len() {
            let is_spare = self.twins.is_spare(at);
            let is_unused = at == ORDERS && self.orders_http;
            self.sessions[at].phase =
                if is_spare || is_unused { Phase::Idle } else { Phase::Down { due: now.mono } };
        }
        self.want(Ask::Instruments, now.mono);
        self.want(Ask::Time, now.mono);
        self.work(now, out);
    }

    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(conn) else { return };
        if self.sessions[at].phase == Phase::Idle {
            return out.action(SessionAction::Close { conn });
        }
        self.sessions[at].up(now.mono);
        if let Some(copy) = self.twins.copy_of(at) {
            self.twins.up(copy, now.mono);
            self.quotas[copy].reset();
            if epoch > 1 {
                // We may have missed a change of specification.
                self.refresh(0, now.mono);
            }
        } else {
            self.send(at, call(calls::LOGIN), out);
            self.sessions[at].step(now.mono);
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
            Ok(Frame::Market { channel, symbol, snapshot }) => {
                out.marked(meta.conn, self.parser.marks);
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if channel.is_core() {
                    self.twins.hear(copy, now.mono);
                }
                self.on_market((meta.conn, copy), channel, &symbol, snapshot, now, out);
            }
            Ok(Frame::Private { channel, data, snapshot }) => {
                self.on_private(meta.conn, channel, data, snapshot, now, out);
            }
            Ok(Frame::Reply { op, id, code, data }) => self.on_reply(meta.conn, op, id, code, data, out),
            Ok(Frame::Event { kind, code, id }) => {
                self.on_event(at, kind, code, id, now.mono, out);
                self.work(now, out);
            }
            Ok(Frame::Ignored("instruments")) => self.refresh(ANNOUNCED_PAUSE, now.mono),
            Ok(Frame::Pong | Frame::Ignored(_)) => {}
            Ok(Frame::Rest { .. } | Frame::Unknown) => {
                self.odd(meta.conn, OddKind::Unknown, out);
                out.untyped(meta.conn);
            }
            Err(error) => {
                out.unread(meta.conn, error);
                self.odd(meta.conn, OddKind::Malformed, out);
                if let Some(copy) = self.twins.copy_of(at) {
                    self.lose_frame(copy, now.mono, out);
                }
            }
        }
    }

    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        match id.order() {
            Some((OrderCall::Query, _)) => return self.on_query(id, status, body, now.mono, out),
            Some((call, _)) => return self.on_order_reply(call, status, body, out),
            None => {}
        }
        let Some(ask) = Ask::ALL.get(kind_of(id.0)).copied() else { return };
        let request = &mut self.requests[ask as usize];
        if !request.awaits(id.0) {
            return;
        }
        let sent = request.due - HTTP_WITHIN;
        let result = match (status, ask) {
            (200, Ask::Instruments) => self.on_instruments(body, now.mono, out),
            (200, Ask::Pending) => self.on_pending(body, now.mono, out),
            (200, Ask::Positions) => self.on_positions_list(body, now, out),
            (200, Ask::Balance) => self.on_balance(body, now, out),
            (200, Ask::Fills) => self.on_fills(body, now.mono, out),
            (200, Ask::Time) => self.on_time(body, sent, now.mono, out),
            (200, Ask::Config) => self.on_config(body, now.mono, out),
            (200, Ask::Leverage) => self.on_leverage(body, now.mono, out),
            (200, Ask::Fee) => self.on_fee(body, now.mono, out),
            (200, Ask::Foreign) => self.on_foreign(body, now.mono, out),
            (200, Ask::Missed) => self.on_missed(body, now.mono, out),
            (200, Ask::DeadMan) => self.on_dead_man(body, now.mono, out),
            // Errors come with their own status (401 for a bad key) and the code in the body.
            _ => rows::envelope(body).map(|(code, _)| if code == 0 { 50001 } else { code }).or(Ok(50001)),
        };
        let public = matches!(ask, Ask::Instruments | Ask::Time);
        let conn = if public { self.sessions[MARKET].conn } else { self.account_conn() };
        match result {
            Ok(0) => self.reconcile_end(out),
            Ok(code) => {
                self.odd(conn, OddKind::Refused, out);
                self.unarmed(ask, out);
                self.failed(ask, code, now.mono);
            }
            Err(_) => {
                self.odd(conn, OddKind::Malformed, out);
                self.unarmed(ask, out);
                self.failed(ask, 0, now.mono);
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
            self.want(Ask::Positions, now.mono);
        }
        // Subscriptions wait for the next tick, so that listings defined together go out together.
        self.arm(now.mono);
    }

    fn on_pace(&mut self, pace: &Pace, now: Stamp, _: &mut Out) {
        if pace.is_refusal() {
            // Budgets are per path and 2 s; without a word of the venue one of them must pass.
            let asked = Nanos::from(pace.retry_after_s) * SECOND;
            self.asks_free_at = self.asks_free_at.max(now.mono + asked.max(2 * SECOND));
        }
    }

    fn reread_positions(&mut self, now: Stamp, out: &mut Out) {
        if self.reconciled {
            self.want(Ask::Positions, now.mono);
        }
        self.work(now, out);
    }

    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.refresh(0, now.mono);
        self.work(now, out);
    }

    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        if now.mono >= self.due {
            self.work(now, out);
        }
    }

    fn copies(&self) -> Option<&CopyCounts> {
        self.twins.counted()
    }

    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        if let Some(at) = self.session_at(conn) {
            self.close(at, false, now.mono, out);
        }
    }

    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        for at in 0..self.sessions.len() {
            self.close(at, false, now.mono, out);
            self.sessions[at].phase = Phase::Idle;
        }
        self.requests = [Request::default(); ASKS];
        self.due = NEVER;
    }
}
