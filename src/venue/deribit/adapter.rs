//! Decode side of Deribit: dispatches frames, drives the connections, and asks for what they need.
//!
//! Market rows are handled in [`super::market`], account rows in [`super::account`], contracts in [`super::contracts`]. Deadlines of any kind
//! lower `due`; `on_tick` does nothing before that, so that a frame pays one comparison for all timers.

use super::account::{Operation, of_request};
use super::asks::{ACCOUNT_ASKS, ASKS, Ask};
use super::calls::{self, call, call_arg};
use super::continuity::DeribitContinuity;
use super::credits::{self, Credits, HttpPause, Pool};
use super::errors::is_fatal;
use super::parse::{Frame, Parser};
use super::session::{NEVER, Phase, Session, Wish, note_ready};
use super::standing::{Standing, Terms};
use super::{ACCOUNT, MARKET, ORDERS, TERMS, rows};
use crate::domain::effect::{HttpId, SessionAction, VenueCall};
use crate::domain::event::{EventBody, SessionRole, SessionStatus, SweepReply};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId, VenueSpec};
use crate::domain::money::Money;
use crate::domain::params::Extras;
use crate::domain::standing::Pace;
use crate::domain::state::{room, roomy};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::contracts::Rereading;
use crate::venue::copies::{COPIES, CopyCounts, Latest, Seen};
use crate::venue::extras::Told;
use crate::venue::full::Full;
use crate::venue::json::Cursor;
use crate::venue::lines::Book;
use crate::venue::markets::Market as _;
use crate::venue::message::DecodeError;
use crate::venue::missed::Missed;
use crate::venue::request::{Request, next_id};
use crate::venue::twins::Twins;
use crate::venue::{Adapter, Emit, OddKind, Oddity, Out, VenueContext};
use serde::{Deserialize, Serialize};

/// Orders or listings that are listed after each other: room without allocation.
const WANTED: usize = 64;
/// Levels of one message: room without allocation.
const SCRATCH: usize = 4096;

/// Time between two connects.
const CONNECT_EVERY: Nanos = 350 * MILLI;
/// Pause after the venue ended a session for too many requests.
const TOO_MANY_PAUSE: Nanos = 5 * SECOND;
/// Patience for a reply.
const REPLY_WITHIN: Nanos = 10 * SECOND;
/// Metadata is asked for at most this often: the venue grants one request in 10 s.
pub(super) const REFRESH_EVERY: Nanos = 10 * SECOND;
/// Delay after an error that only a change of configuration can cure.
const FATAL_DELAY: Nanos = 60 * SECOND;

/// A configured listing and its book.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listing {
    pub id: InstrumentId,
    pub symbol: Symbol,
    /// Scales; generation 0 = not defined yet.
    pub instrument: Instrument,
    /// What was last handed to the registry.
    pub spec: Option<VenueSpec>,
    /// The venue named its book among the channels that it subscribed, by market connection.
    pub confirmed: [bool; COPIES],
    pub book: Book<DeribitContinuity>,
    pub best: Latest,
    pub trades: Seen,
    pub ticker: Latest,
    /// Named by the list being read.
    pub seen: bool,
    /// Fee and leverage as its metadata state them.
    pub terms: Terms,
    /// Funding of the session so far as last stated, and which session that was.
    pub funding: Option<(Money, i64)>,
    /// Open interest and last price as last told.
    pub told: Told,
}

/// Session machines and decoders of Deribit.
#[derive(Serialize, Deserialize)]
pub(super) struct DeribitAdapter {
    pub venue: VenueId,
    /// What amounts in the currency of linear contracts count as; empty = as themselves.
    pub at_par: Currency,
    pub extras: Extras,
    conn_base: ConnId,
    pub listings: Vec<Listing>,
    /// Positions in `listings`, ordered by symbol.
    by_symbol: Vec<(Symbol, usize)>,
    pub sessions: Vec<Session>,
    /// The market connections.
    pub twins: Twins,
    pub requests: [Request; ASKS],
    pub standing: Standing,
    /// By [`Pool`].
    pub credits: [Credits; 2],
    /// Instruments whose own trades have to be listed; the first one is being asked for.
    #[serde(deserialize_with = "roomy::<_, _, WANTED>")]
    pub trades_wanted: Vec<InstrumentId>,
    pub missed: Missed,
    /// The listing whose currency's trades are read, and from which second on.
    pub missed_at: (usize, u64),
    #[serde(skip, default = "Parser::new")]
    pub parser: Parser,
    /// Levels of one message at the instrument's scales.
    #[serde(skip, default = "room::<_, SCRATCH>")]
    pub scratch: Vec<(Price, Qty)>,
    /// When to log in again on each connection, before the login lapses.
    renew_at: [Nanos; 4],
    next_id: u32,
    /// Earliest time at which anything has to be done.
    due: Nanos,
    connect_free_at: Nanos,
    http: HttpPause,
    pub rereading: Rereading,
    /// The account was listed completely since its connection came up.
    pub reconciled: bool,
}

impl DeribitAdapter {
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
                confirmed: [false; COPIES],
                book: Book::new(listing.id, copies.has_second(), TERMS),
                best: Latest::default(),
                trades: if copies.has_second() { Seen::new() } else { Seen::default() },
                ticker: Latest::default(),
                seen: false,
                terms: Terms::default(),
                funding: None,
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
            at_par: context.params.settle_at_par,
            extras: context.params.extras,
            conn_base: context.conn_base,
            listings,
            by_symbol,
            sessions: (0..all).map(|at| Session::new(conn(at), role(at), TERMS)).collect(),
            twins: Twins::new(&context.params, copies, MARKET, used),
            requests: [Request::default(); ASKS],
            standing: Standing::new(&context.params),
            credits: [Credits::default(); 2],
            trades_wanted: Vec::with_capacity(WANTED),
            missed: Missed::new(context.venue),
            missed_at: (0, 0),
            parser: Parser::new(),
            scratch: Vec::with_capacity(SCRATCH),
            renew_at: [NEVER; 4],
            next_id: 0,
            due: NEVER,
            connect_free_at: Nanos::MIN,
            http: HttpPause::default(),
            rereading: Rereading::new(REFRESH_EVERY),
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
        self.renew_at[at] = NEVER;
        if let Some(copy) = self.twins.copy_of(at) {
            if !self.twins.is_up(&self.sessions, 1 - copy) {
                self.requests[Ask::Time as usize] = Request::default();
            }
            return self.lose_market(copy, now, out);
        }
        if at == ACCOUNT {
            self.reconciled = false;
            for ask in Ask::ALL.iter().filter(|ask| ask.price().0 == Pool::Account) {
                self.requests[*ask as usize] = Request::default();
            }
            self.trades_wanted.clear();
            self.missed.lose();
        }
    }

    /// Whether it is being asked for, or is about to be; a later date is not.
    pub fn asking(&self, ask: Ask, now: Nanos) -> bool {
        self.requests[ask as usize].is_asking(now)
    }

    /// Wants a reply.
    pub fn want(&mut self, ask: Ask, at: Nanos) {
        self.requests[ask as usize] = Request::wanted_at(at);
        self.arm(at);
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
        if self.renew_at[at] <= now {
            self.renew_at[at] = NEVER;
            self.send(at, call(calls::AUTH), out);
        }
        self.arm(self.renew_at[at]);
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
                self.send(at, call(calls::TEST), out);
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
        if now >= request.due {
            if request.is_out() {
                return self.failed(ask, 0, now);
            }
            if ask == Ask::Instruments && now < self.http.free_at {
                request.due = self.http.free_at;
                return self.arm(self.http.free_at);
            }
            let (pool, cost) = ask.price();
            if let Err(at) = self.credits[pool as usize].take(cost, now) {
                request.due = at;
                return self.arm(at);
            }
            // Ids begin beyond the codes of session calls.
            let id = calls::ASKS_FROM + next_id(&mut self.next_id, ask as usize);
            request.send(id, now + REPLY_WITHIN);
            let instrument = self.trades_wanted.first().copied();
            if ask == Ask::Instruments {
                let what = call(ask.op());
                out.action(SessionAction::Http { venue: self.venue, id: HttpId(id), what });
            } else {
                let what = call_arg(ask.op(), u64::from(id));
                let (listing, second) = self.missed_at;
                let (instrument, what) = match ask {
                    Ask::Trades => (instrument, what),
                    Ask::Missed => {
                        let arg = calls::since(second, id);
                        (self.listings.get(listing).map(|listing| listing.id), VenueCall { arg, ..what })
                    }
                    _ => (None, what),
                };
                let market = self.twins.standing(&self.sessions);
                let at = if pool == Pool::Address { market } else { ACCOUNT };
                self.send(at, VenueCall { instrument, ..what }, out);
            }
        }
        let due = self.requests[ask as usize].due;
        self.arm(due);
    }

    /// A request failed: it is sent again later.
    fn failed(&mut self, ask: Ask, code: i32, now: Nanos) {
        let seed = u64::from(self.venue.0) << 8 | ask as u64;
        let due = self.requests[ask as usize].fail(now, |failures| match is_fatal(code) {
            true => FATAL_DELAY,
            false => 4 * TERMS.back_off(failures, seed),
        });
        self.arm(due);
    }

    fn on_result(&mut self, at: usize, id: &[u8], data: Cursor<'_>, now: Stamp, out: &mut Out) {
        let conn = self.sessions[at].conn;
        if let Some((operation, client_id)) = of_request(id) {
            return self.on_operation(conn, operation, client_id, data, now.mono, out);
        }
        match number(id) {
            Some(id) if id >= calls::ASKS_FROM => self.on_answer(id, Ok(data), now, out),
            Some(op) => self.on_step(at, op as u16, data, now.mono, out),
            None => self.odd(conn, OddKind::Unknown, out),
        }
    }

    /// A session call succeeded.
    fn on_step(&mut self, at: usize, op: u16, mut data: Cursor<'_>, now: Nanos, out: &mut Out) {
        let conn = self.sessions[at].conn;
        match op {
            calls::AUTH => {
                let (lasts, scope) = rows::login(&mut data).unwrap_or((0, None));
                let lasts = lasts.clamp(0, 1_000_000_000);
                self.on_scope(scope, out);
                self.renew_at[at] = if lasts > 0 { now + lasts * SECOND / 5 * 4 } else { NEVER };
                if std::mem::replace(&mut self.sessions[at].logged_in, true) {
                    return;
                }
                let orders = at == ORDERS;
                let beat = if orders { self.standing.order_heartbeat_s() } else { calls::HEARTBEAT_SECONDS };
                self.send(at, call_arg(calls::HEARTBEAT, beat), out);
                let switch = u64::from(self.standing.cancels_on_disconnect());
                let next = if orders {
                    call_arg(calls::CANCEL_ON_DISCONNECT, switch)
                } else {
                    call(calls::SUBSCRIBE_ACCOUNT)
                };
                self.send(at, next, out);
                self.credits[Pool::Account as usize].spend(credits::SUBSCRIPTION, now);
                self.sessions[at].acks = 1;
                self.sessions[at].step(now);
            }
            calls::SUBSCRIBE_MARKET => {
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if self.confirm(copy, &mut data).is_err() {
                    self.odd(conn, OddKind::Malformed, out);
                }
                self.acked(at, now, out);
            }
            calls::SUBSCRIBE_ACCOUNT => {
                let mut count = 0;
                let read = data.array(|c| {
                    let name = c.string()?;
                    count += usize::from(calls::ACCOUNT_CHANNELS.iter().any(|ours| ours.as_bytes() == name));
                    Ok(())
                });
                if read.is_err() || count < calls::ACCOUNT_CHANNELS.len() {
                    // A channel that is silently missing would leave us blind.
                    self.odd(conn, OddKind::Refused, out);
                    return self.close(at, true, now, out);
                }
                self.acked(at, now, out);
            }
            calls::CANCEL_ON_DISCONNECT => self.acked(at, now, out),
            calls::CANCEL_ALL => {
                out.event(EventBody::Sweep(SweepReply { venue: self.venue, accepted: true }))
            }
            _ => {}
        }
    }

    /// Notes which books the venue subscribed: unknown channels are silently missing.
    fn confirm(&mut self, copy: usize, data: &mut Cursor<'_>) -> Result<(), DecodeError> {
        data.array(|c| {
            let channel = c.string()?;
            if let Some(rest) = channel.strip_prefix(b"book.")
                && let Some(at) = rest
                    .split(|byte| *byte == b'.')
                    .next()
                    .and_then(Symbol::from_bytes)
                    .and_then(|symbol| self.find(&symbol))
            {
                self.listings[at].confirmed[copy] = true;
            }
            Ok(())
        })
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
            SessionRole::Market => {
                let (conn, copy) = (self.sessions[at].conn, self.twins.copy_of(at).unwrap_or(0));
                let is_absent = |l: &&Listing| l.book.lines[copy].subscribed && !l.confirmed[copy];
                for _ in self.listings.iter().filter(is_absent) {
                    self.odd(conn, OddKind::UnknownSymbol, out);
                }
                self.status(at, true, out);
            }
            // What happens from now on arrives by itself; what was before is asked for.
            SessionRole::Account => {
                if self.missed.resume() {
                    self.want_missed(now);
                }
                self.reconcile(now);
                self.want(Ask::Settings, now);
            }
            SessionRole::Orders => {
                self.status(at, true, out);
                if self.sessions[ACCOUNT].logged_in && self.sessions[ACCOUNT].acks == 0 {
                    // Replies may have been lost with the connection: list the orders again.
                    self.reconcile(now);
                }
            }
        }
    }

    fn reconcile(&mut self, now: Nanos) {
        self.reconciled = false;
        for ask in ACCOUNT_ASKS {
            self.want(ask, now);
        }
    }

    fn on_answer(&mut self, id: u32, answer: Result<Cursor<'_>, i32>, now: Stamp, out: &mut Out) {
        let Some(ask) = Ask::of_id(id - calls::ASKS_FROM) else { return };
        let request = &self.requests[ask as usize];
        if !request.awaits(id) {
            return;
        }
        let sent = request.due - REPLY_WITHIN;
        let public = ask.price().0 == Pool::Address;
        let conn = if public { self.sessions[MARKET].conn } else { self.account_conn() };
        let listed = match answer {
            Err(code) => {
                self.odd(conn, OddKind::Refused, out);
                return self.failed(ask, code, now.mono);
            }
            Ok(data) if ask == Ask::Instruments => self.on_instruments(data, now.mono, out),
            Ok(data) if ask == Ask::Time => self.on_time(data, sent, now.mono, out),
            Ok(data) if ask == Ask::Settings => self.on_settings(data, now.mono, out),
            Ok(data) if ask == Ask::Foreign => self.on_foreign(data, now.mono, out),
            Ok(data) => self.on_listed(ask, data, now, out),
        };
        match listed {
            Ok(()) => self.reconcile_end(out),
            Err(_) => {
                self.odd(conn, OddKind::Malformed, out);
                self.failed(ask, 0, now.mono);
            }
        }
    }

    fn on_error(&mut self, at: usize, id: &[u8], code: i32, now: Stamp, out: &mut Out) {
        let conn = self.sessions[at].conn;
        if Self::is_too_many(code) {
            // The venue ends the session now: come back late, and at our own time.
            self.connect_free_at = self.connect_free_at.max(now.mono + TOO_MANY_PAUSE);
            self.credits.iter_mut().for_each(|pool| pool.drained(now.mono));
            let (venue, retry_after_s) = (self.venue, (TOO_MANY_PAUSE / SECOND) as u32);
            out.event(EventBody::Pace(Pace { venue, status: 429, retry_after_s, ..Pace::default() }));
        }
        if let Some((operation, client_id)) = of_request(id) {
            if operation != Operation::Query {
                self.odd(conn, OddKind::Refused, out);
            }
            return self.outcome(operation, client_id, code, out);
        }
        match number(id) {
            Some(id) if id >= calls::ASKS_FROM => self.on_answer(id, Err(code), now, out),
            id => {
                self.odd(conn, OddKind::Refused, out);
                if id == Some(u32::from(calls::CANCEL_ALL)) {
                    let reply = SweepReply { venue: self.venue, accepted: false };
                    out.event(EventBody::Sweep(reply));
                }
                let session = &self.sessions[at];
                let logging_in = session.role != SessionRole::Market && !session.logged_in;
                let stepping = logging_in || session.acks > 0 || Self::is_too_many(code);
                if stepping || id == Some(u32::from(calls::AUTH)) {
                    self.close(at, is_fatal(code), now.mono, out);
                }
            }
        }
    }
}

/// A JSON-RPC id of digits.
fn number(id: &[u8]) -> Option<u32> {
    std::str::from_utf8(id).ok()?.parse().ok()
}

impl Adapter for DeribitAdapter {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        for at in 0..self.sessions.len() {
            let is_spare = self.twins.is_spare(at);
            self.sessions[at].phase = if is_spare { Phase::Idle } else { Phase::Down { due: now.mono } };
        }
        self.want(Ask::Instruments, now.mono);
        self.work(now, out);
    }

    fn on_conn_up(&mut self, conn: ConnId, _epoch: u32, now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(conn) else { return };
        if self.sessions[at].phase == Phase::Idle {
            return out.action(SessionAction::Close { conn });
        }
        self.sessions[at].up(now.mono);
        if let Some(copy) = self.twins.copy_of(at) {
            self.twins.up(copy, now.mono);
            self.send(at, call_arg(calls::HEARTBEAT, calls::HEARTBEAT_SECONDS), out);
            self.send(at, call(calls::SUBSCRIBE_STATES), out);
            self.credits[Pool::Address as usize].spend(credits::SUBSCRIPTION, now.mono);
            if !self.twins.is_up(&self.sessions, 1 - copy) {
                self.begin_clock(now.mono);
            }
            if !self.asking(Ask::Instruments, now.mono) && self.rereading.is_allowed(now.mono) {
                // We may have missed a change of specification.
                self.want(Ask::Instruments, now.mono);
            }
        } else {
            self.send(at, call(calls::AUTH), out);
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
            Ok(Frame::Market { channel }) => {
                out.marked(meta.conn, self.parser.marks);
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if channel.is_core() {
                    self.twins.hear(copy, now.mono);
                }
                self.on_market((meta.conn, copy), channel, now.mono, out);
            }
            Ok(Frame::Private { channel, data }) => self.on_private(meta.conn, channel, data, now, out),
            Ok(Frame::Result { id, data }) => {
                self.on_result(at, id, data, now, out);
                self.work(now, out);
            }
            Ok(Frame::Error { id, code }) => {
                self.on_error(at, id, code, now, out);
                self.work(now, out);
            }
            Ok(Frame::TestRequest) => self.send(at, call(calls::TEST), out),
            Ok(Frame::Heartbeat | Frame::Ignored(_)) => {}
            Ok(Frame::Unknown) => {
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
        if id.0 < calls::ASKS_FROM || id.0 >> 31 == 1 {
            return;
        }
        // Errors come as JSON-RPC too; anything else is a failure of the way.
        let mut full = Full::new();
        let limited = matches!(status, 418 | 429);
        let answer = match self.parser.parse(body, &mut full) {
            Ok(Frame::Result { data, .. }) if !limited => Ok(data),
            Ok(Frame::Error { code, .. }) => Err(code),
            _ => Err(-32_000),
        };
        if limited || answer.as_ref().is_err_and(|code| Self::is_too_many(*code)) {
            self.credits[Pool::Address as usize].drained(now.mono);
            self.http.refused(now.mono);
        } else if answer.is_ok() {
            self.http.answered();
        }
        self.on_answer(id.0, answer, now, out);
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

    fn reread_positions(&mut self, now: Stamp, out: &mut Out) {
        if self.reconciled {
            self.want(Ask::Positions, now.mono);
        }
        self.work(now, out);
    }

    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.refresh(now.mono);
        self.work(now, out);
    }

    fn on_pace(&mut self, pace: &Pace, now: Stamp, _: &mut Out) {
        if pace.is_refusal() {
            let asked = Nanos::from(pace.retry_after_s) * SECOND;
            self.http.free_at = self.http.free_at.max(now.mono.saturating_add(asked));
        }
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
