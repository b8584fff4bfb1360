//! Decode side of Bybit: dispatches frames, drives the connections, and asks for what they need over HTTP.
//!
//! Market rows are handled in [`super::market`], account rows in [`super::account`]. Deadlines of any kind
//! lower `due`; `on_tick` does nothing before that, so that a frame pays one comparison for all timers.

use super::calls::{self, call};
use super::continuity::BybitContinuity;
use super::errors::{classify, is_fatal};
use super::market::About;
use super::parse::{Frame, Op, OrderOp, Parser, Window};
use super::rows::{self, InstrumentRow, Reply};
use super::session::{FATAL_DELAY, NEVER, Phase, Session, Wish, note_ready};
use super::standing::Standing;
use super::ticker::Whole;
use super::{ACCOUNT, MARKET, ORDERS, ROLES, TERMS, connection_count};
use crate::domain::effect::{HttpId, SessionAction, VenueCall};
use crate::domain::event::{EventBody, SessionRole, SessionStatus};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec};
use crate::domain::order::{ClientId, RejectClass};
use crate::domain::params::Extras;
use crate::domain::standing::Pace;
use crate::domain::state::{room, roomy};
use crate::domain::text::Symbol;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::venue::contracts::{Rereading, suspend};
use crate::venue::copies::{COPIES, CopyCounts, Latest, Seen};
use crate::venue::extras::Told;
use crate::venue::full::Full;
use crate::venue::lines::Book;
use crate::venue::markets::Market as _;
use crate::venue::message::DecodeError;
use crate::venue::missed::Missed;
use crate::venue::pace::seconds_between;
use crate::venue::price_limits::PriceLimits;
use crate::venue::request::{Request, kind_of, next_id};
use crate::venue::twins::Twins;
use crate::venue::{Adapter, Emit, OddKind, Oddity, Out, VenueContext};
use serde::{Deserialize, Serialize};

/// Orders or listings that are listed after each other: room without allocation.
const WANTED: usize = 64;
/// Levels of one message: room without allocation.
const SCRATCH: usize = 2048;

/// Patience for an HTTP reply.
const HTTP_WITHIN: Nanos = 10 * SECOND;
/// Metadata of a listing that was not listed is asked for again after this.
const ABSENT_AGAIN: Nanos = 60 * SECOND;
/// Metadata is read again after this while a listing does not trade: the venue does not say when it does again.
const SUSPENDED_AGAIN: Nanos = 15 * SECOND;
/// Metadata is read again after this, for what the venue does not announce.
const METADATA_PERIOD: Nanos = 60 * SECOND;
/// Metadata is asked for again at most this often when a number does not fit it.
pub(super) const REFRESH_EVERY: Nanos = 10 * SECOND;
/// No HTTP request for this long after the venue said "too many visits" (budgets are per second).
const RATE_PAUSE: Nanos = 2 * SECOND;
/// No HTTP request for this long after status 403, "access too frequent".
const BAN_PAUSE: Nanos = 600 * SECOND;

/// What we ask for over HTTP; the number is its place in [`BybitAdapter::requests`] and in the low bits of
/// the [`HttpId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Instruments,
    Pending,
    Positions,
    Balance,
    Fills,
    Time,
    Info,
    Key,
    Leverage,
    Fee,
    Foreign,
    DeadMan,
    SetDeadMan,
    Missed,
}

/// How many kinds of questions there are.
const ASKS: usize = 14;

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
        Self::Info,
        Self::Key,
        Self::Leverage,
        Self::Fee,
        Self::Foreign,
        Self::DeadMan,
        Self::SetDeadMan,
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
            Self::Info => calls::INFO,
            Self::Key => calls::KEY,
            Self::Leverage => calls::LEVERAGE,
            Self::Fee => calls::FEE,
            Self::Foreign => calls::FOREIGN,
            Self::DeadMan => calls::DEAD_MAN,
            Self::SetDeadMan => calls::SET_DEAD_MAN,
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
    pub book: Book<BybitContinuity>,
    /// `u` and `seq` of the book: whether a connection numbers its messages as the other one does.
    pub numbers: (u64, u64),
    pub best: Latest,
    /// `u` of the last best prices; 0 = none on this connection.
    pub best_update: u64,
    pub trades: Seen,
    pub ticker: Latest,
    pub forced: Latest,
    /// Named by the list being read.
    pub seen: bool,
    /// The ticker's parts together.
    pub whole: Whole,
    /// Time between settlements as the metadata state it, ns; 0 = not stated.
    funding_interval: Nanos,
    pub limits: PriceLimits,
    /// Open interest and last price as last told.
    pub told: Told,
}

/// Session machines and decoders of Bybit.
#[derive(Serialize, Deserialize)]
pub(super) struct BybitAdapter {
    pub venue: VenueId,
    conn_base: ConnId,
    pub listings: Vec<Listing>,
    /// Positions in `listings`, ordered by symbol.
    by_symbol: Vec<(Symbol, usize)>,
    pub sessions: Vec<Session>,
    /// The market connections.
    pub twins: Twins,
    pub requests: [Request; ASKS],
    pub standing: Standing,
    /// Orders whose fills have to be listed; the first one's listing is being asked for.
    #[serde(deserialize_with = "roomy::<_, _, WANTED>")]
    pub fills_wanted: Vec<(ClientId, InstrumentId)>,
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
    /// No HTTP request before this.
    http_free_at: Nanos,
    pub rereading: Rereading,
    /// The account was listed completely since its connection came up.
    pub reconciled: bool,
}

impl BybitAdapter {
    /// From the configuration.
    pub fn new(context: &VenueContext) -> Self {
        let copies = context.params.market_copies;
        let blank = |id, symbol| Listing {
            id,
            symbol,
            instrument: Instrument::default(),
            spec: None,
            book: Book::new(id, copies.has_second(), TERMS),
            numbers: (0, 0),
            best: Latest::default(),
            best_update: 0,
            trades: if copies.has_second() { Seen::new() } else { Seen::default() },
            ticker: Latest::default(),
            forced: Latest::default(),
            seen: false,
            whole: Whole::default(),
            funding_interval: 0,
            limits: PriceLimits::default(),
            told: Told::default(),
        };
        let listings: Vec<Listing> = context.listings.iter().map(|l| blank(l.id, l.symbol)).collect();
        let mut by_symbol: Vec<_> =
            listings.iter().enumerate().map(|(at, listing)| (listing.symbol, at)).collect();
        by_symbol.sort_unstable();
        let used = connection_count(context.trading);
        let all = used + usize::from(copies.has_second());
        let role = |at: usize| if at < used { ROLES[at] } else { SessionRole::Market };
        let conn = |at: usize| ConnId(context.conn_base.0 + at as u8);
        Self {
            venue: context.venue,
            conn_base: context.conn_base,
            listings,
            by_symbol,
            sessions: (0..all).map(|at| Session::new(conn(at), role(at), TERMS)).collect(),
            twins: Twins::new(&context.params, copies, MARKET, used),
            requests: [Request::default(); ASKS],
            standing: Standing::new(&context.params),
            fills_wanted: Vec::with_capacity(WANTED),
            missed: Missed::new(context.venue),
            parser: Parser::new(),
            scratch: Vec::with_capacity(SCRATCH),
            extras: context.params.extras,
            next_id: 0,
            due: NEVER,
            http_free_at: Nanos::MIN,
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
        if let Some(copy) = self.twins.copy_of(at) {
            return self.lose_market(copy, now, out);
        }
        if at == ACCOUNT {
            self.reconciled = false;
            for ask in ACCOUNT_ASKS.into_iter().chain([Ask::Missed]) {
                self.requests[ask as usize] = Request::default();
            }
            self.missed.lose();
            self.forget_settings();
        }
    }

    pub fn request_mut(&mut self, ask: Ask) -> &mut Request {
        &mut self.requests[ask as usize]
    }

    /// Whether the answer to `ask` is still wanted.
    pub fn wants(&self, ask: Ask) -> bool {
        self.requests[ask as usize].wanted
    }

    /// Whether it is being asked for, or is about to be; a later date is not.
    pub fn asking(&self, ask: Ask, now: Nanos) -> bool {
        self.requests[ask as usize].is_asking(now)
    }

    /// Whether it waits for its time, which is later than `at`.
    pub fn is_later(&self, ask: Ask, at: Nanos) -> bool {
        self.requests[ask as usize].is_later(at)
    }

    /// Wants an HTTP reply, from its first page.
    pub fn want(&mut self, ask: Ask, at: Nanos) {
        self.requests[ask as usize] = Request::wanted_at(at);
        self.arm(at);
    }

    /// Wants another page of the same.
    pub fn want_page(&mut self, ask: Ask, arg: u64, now: Nanos) {
        let instrument = self.requests[ask as usize].instrument;
        self.want(ask, now);
        let request = self.request_mut(ask);
        (request.arg, request.instrument) = (arg, instrument);
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
            Wish::None => return self.arm(next),
            Wish::Connect => {
                self.sessions[at].connecting(now);
                out.action(SessionAction::Connect { conn: self.sessions[at].conn, slot: None });
            }
            Wish::Ping => {
                self.send(at, call(calls::PING), out);
                return self.arm(next);
            }
            Wish::Close => self.close(at, false, now, out),
        }
        let (_, next) = self.sessions[at].due(now);
        self.arm(next);
    }

    fn ask(&mut self, ask: Ask, now: Nanos, out: &mut Out) {
        let free_at = self.http_free_at;
        if !self.requests[ask as usize].wanted || self.waits_for_cursor(ask) {
            return;
        }
        let request = &mut self.requests[ask as usize];
        if !request.is_out() {
            request.due = request.due.max(free_at);
        }
        if now >= request.due {
            if request.is_out() {
                return self.failed(ask, 0, now);
            }
            let id = next_id(&mut self.next_id, ask as usize);
            request.send(id, now + HTTP_WITHIN);
            let what = VenueCall { op: ask.op(), arg: request.arg, instrument: request.instrument };
            out.action(SessionAction::Http { venue: self.venue, id: HttpId(id), what });
        }
        let due = self.requests[ask as usize].due;
        self.arm(due);
    }

    /// Both lists of executions keep the place of their next page in one slot: one of them is read at a time.
    fn waits_for_cursor(&self, ask: Ask) -> bool {
        let fills = &self.requests[Ask::Fills as usize];
        let under_way = fills.wanted && (fills.is_out() || fills.pages > 0);
        match ask {
            Ask::Missed => under_way,
            Ask::Fills => !under_way && self.wants(Ask::Missed),
            _ => false,
        }
    }

    /// A request failed: it is sent again later.
    fn failed(&mut self, ask: Ask, code: i32, now: Nanos) {
        if classify(code) == RejectClass::RateLimit {
            self.http_free_at = self.http_free_at.max(now + RATE_PAUSE);
        }
        let seed = u64::from(self.venue.0) << 8 | ask as u64;
        let due = self.requests[ask as usize].fail(now, |failures| match is_fatal(code) {
            true => FATAL_DELAY,
            false => TERMS.back_off(failures, seed),
        });
        self.arm(due);
    }

    fn on_session(&mut self, at: usize, frame: (Op, bool, i32, &[u8]), now: Nanos, out: &mut Out) {
        let (op, good, code, id) = frame;
        let awaited = id.first() == Some(&calls::AWAITED);
        match (op, good) {
            (Op::Pong | Op::Unsubscribe, _) => {}
            (Op::Auth, true) => {
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
                    self.sessions[at].acks = 1;
                    self.sessions[at].step(now);
                }
                self.arm(now);
            }
            (Op::Auth, false) => {
                self.odd(self.sessions[at].conn, OddKind::Refused, out);
                // The private connection gives no code: a wrong clock looks like a wrong key.
                self.close(at, code == 0 || is_fatal(code), now, out);
            }
            (Op::Subscribe, true) if awaited => self.acked(at, now, out),
            (Op::Subscribe, true) => {}
            (Op::Subscribe, false) => {
                self.odd(self.sessions[at].conn, OddKind::Refused, out);
                match at {
                    ACCOUNT if id.first() == Some(&calls::DEAD_MAN_ID) => self.on_dead_man_unheard(out),
                    // One bad symbol: the others have requests of their own.
                    _ if self.sessions[at].role == SessionRole::Market => {
                        if awaited {
                            self.acked(at, now, out);
                        }
                    }
                    _ => self.close(at, true, now, out),
                }
            }
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
                    self.want_missed(false, now);
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
        // The open orders are being counted anew.
        self.requests[Ask::Foreign as usize] = Request::default();
    }

    /// Opening orders that the venue still takes in its present second, as the reply to one of them says.
    fn on_window(&self, window: &Window, out: &mut Out) {
        let Some(left) = window.left.and_then(|left| u32::try_from(left).ok()) else { return };
        let wait = if left == 0 { seconds_between(window.replied_ms, window.reset_ms) } else { 0 };
        out.event(EventBody::Pace(Pace {
            venue: self.venue,
            status: 200,
            // Instants that are not stated are no wait.
            retry_after_s: if window.replied_ms > 0 { wait } else { 0 },
            orders_left: Some(left),
            ..Pace::default()
        }));
    }

    /// A page of specifications.
    fn on_instruments(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let conn = self.sessions[MARKET].conn;
        if self.requests[Ask::Instruments as usize].arg == 0 {
            for listing in &mut self.listings {
                listing.seen = false;
            }
        }
        reply.list.ok_or(DecodeError::Missing("list"))?.array(|c| {
            let InstrumentRow { symbol, spec, funding_minutes } = rows::specification(c)?;
            let Some(at) = Symbol::from_bytes(symbol).and_then(|symbol| self.find(&symbol)) else {
                return Ok(());
            };
            self.listings[at].seen = true;
            self.listings[at].funding_interval = funding_minutes.max(0).saturating_mul(60 * SECOND);
            match spec {
                Ok(spec) => {
                    let spec = VenueSpec { instrument: self.listings[at].id, ..spec };
                    if self.listings[at].spec.replace(spec) != Some(spec) {
                        out.emit(Emit::Spec(spec));
                    }
                }
                Err(_) => self.odd(conn, OddKind::Malformed, out),
            }
            Ok(())
        })?;
        if reply.more {
            self.want_page(Ask::Instruments, calls::NEXT_PAGE, now);
            return Ok(());
        }
        let rests = |listing: &Listing| listing.spec.is_some_and(|spec| spec.status != Status::Trading);
        let mut again = if self.listings.iter().any(rests) { SUSPENDED_AGAIN } else { METADATA_PERIOD };
        for listing in self.listings.iter_mut().filter(|listing| !listing.seen) {
            again = ABSENT_AGAIN;
            suspend(&mut listing.spec, conn, out);
        }
        let due = self.rereading.read(now, again);
        self.want(Ask::Instruments, due);
        Ok(())
    }
}

impl Adapter for BybitAdapter {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        for at in 0..self.sessions.len() {
            let is_spare = self.twins.is_spare(at);
            self.sessions[at].phase = if is_spare { Phase::Idle } else { Phase::Down { due: now.mono } };
        }
        self.want(Ask::Instruments, now.mono);
        self.want(Ask::Time, now.mono);
        self.work(now, out);
    }

    fn on_conn_up(&mut self, conn: ConnId, _epoch: u32, now: Stamp, out: &mut Out) {
        let Some(at) = self.session_at(conn) else { return };
        if self.sessions[at].phase == Phase::Idle {
            return out.action(SessionAction::Close { conn });
        }
        self.sessions[at].up(now.mono);
        let Some(copy) = self.twins.copy_of(at) else {
            self.send(at, call(calls::AUTH), out);
            self.sessions[at].step(now.mono);
            return self.work(now, out);
        };
        self.twins.up(copy, now.mono);
        if !self.asking(Ask::Instruments, now.mono) && self.rereading.is_allowed(now.mono) {
            // We may have missed a change of specification.
            self.want(Ask::Instruments, now.mono);
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
        let conn = meta.conn;
        match meta.kind {
            FrameKind::Text => {}
            FrameKind::Binary => return self.odd(conn, OddKind::Malformed, out),
            FrameKind::Ping | FrameKind::Pong => return,
        }
        if at == ACCOUNT {
            self.missed.hear(now.wall);
        }
        let mut full = Full::new();
        match self.parser.parse(frame, &mut full) {
            Ok(Frame::Market { channel, symbol, snapshot, time_ms }) => {
                out.marked(conn, self.parser.marks);
                let copy = self.twins.copy_of(at).unwrap_or(0);
                if channel.is_core() {
                    self.twins.hear(copy, now.mono);
                }
                self.on_market(About { conn, copy, channel, snapshot, time_ms }, &symbol, now, out);
            }
            Ok(Frame::Private { channel, data }) => self.on_private(conn, channel, data, now, out),
            Ok(Frame::Reply { op, id, code, data, window }) => {
                if op == OrderOp::Create {
                    self.on_window(&window, out);
                }
                self.on_reply(conn, op, id, code, data, out);
            }
            Ok(Frame::Session { op, good, code, id }) => {
                self.on_session(at, (op, good, code, id), now.mono, out);
                self.work(now, out);
            }
            Ok(Frame::Ignored(_)) => {}
            Ok(Frame::Rest | Frame::Unknown) => {
                self.odd(conn, OddKind::Unknown, out);
                out.untyped(conn);
            }
            Err(error) => {
                out.unread(conn, error);
                self.odd(conn, OddKind::Malformed, out);
                if let Some(copy) = self.twins.copy_of(at) {
                    self.lose_frame(copy, now.mono, out);
                }
            }
        }
    }

    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        if status == 403 {
            // Whether the ban is for the sockets as well is not documented: orders that can wait do.
            self.http_free_at = now.mono + BAN_PAUSE;
            let retry_after_s = (BAN_PAUSE / SECOND) as u32;
            out.event(EventBody::Pace(Pace {
                venue: self.venue,
                status: 429,
                retry_after_s,
                ..Pace::default()
            }));
        }
        if id.0 >> 31 == 1 {
            return self.on_query(id, status, body, now.mono, out);
        }
        let Some(ask) = Ask::ALL.get(kind_of(id.0)).copied() else { return };
        let request = &self.requests[ask as usize];
        if !request.awaits(id.0) {
            return;
        }
        let sent = request.due - HTTP_WITHIN;
        let public = matches!(ask, Ask::Instruments | Ask::Time);
        let conn = if public { self.sessions[MARKET].conn } else { self.account_conn() };
        match rows::envelope(body) {
            Ok(reply) if status == 200 && reply.code == 0 && reply.linear => {
                let read = match ask {
                    Ask::Instruments => self.on_instruments(&reply, now.mono, out),
                    Ask::Pending => self.on_pending(&reply, now.mono, out),
                    Ask::Positions => self.on_positions(&reply, now, out),
                    Ask::Balance => self.on_balance(&reply, now, out),
                    Ask::Fills => self.on_fills(&reply, now.mono, out),
                    Ask::Missed => self.on_missed(&reply, now.mono, out),
                    Ask::Time => self.on_time(&reply, sent, now.mono, out),
                    Ask::Info => self.on_info(&reply, now.mono, out),
                    Ask::Key => self.on_key(&reply, now.mono, out),
                    Ask::Leverage => self.on_leverage(&reply, now.mono, out),
                    Ask::Fee => self.on_fee(&reply, now.mono, out),
                    Ask::Foreign => self.on_foreign(&reply, now.mono, out),
                    Ask::DeadMan => self.on_dead_man(&reply, now.mono, out),
                    Ask::SetDeadMan => {
                        self.on_dead_man_set(now.mono, out);
                        Ok(())
                    }
                };
                match read {
                    Ok(()) => self.reconcile_end(out),
                    Err(_) => {
                        self.odd(conn, OddKind::Malformed, out);
                        self.failed(ask, 0, now.mono);
                    }
                }
            }
            Ok(reply) => {
                self.odd(conn, OddKind::Refused, out);
                self.failed(ask, reply.code, now.mono);
            }
            Err(_) => {
                let kind = if status == 200 { OddKind::Malformed } else { OddKind::Refused };
                self.odd(conn, kind, out);
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
        let asked = Nanos::from(pace.retry_after_s) * SECOND;
        if pace.is_refusal() {
            self.http_free_at = self.http_free_at.max(now.mono + asked.max(RATE_PAUSE));
        } else if pace.requests_left == Some(0) {
            // The venue counts by path: the others wait with the one that is used up.
            self.http_free_at = self.http_free_at.max(now.mono + asked.max(SECOND));
        }
    }

    fn funding_interval(&self, id: InstrumentId) -> Option<Nanos> {
        let listing = self.listings.iter().find(|listing| listing.id == id)?;
        Some(listing.funding_interval).filter(|interval| *interval > 0)
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
