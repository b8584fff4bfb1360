//! The decode side: connections, listen key, reconciliation and the duties that repeat, around
//! [`Market`] and the user stream. All HTTP goes through one table of chores with back-off, and every reply
//! is recognised by its id alone. The order connection, and what stands for it, is in `entry`,
//! the user stream in `user`.

mod entry;

mod contracts;

mod user;

use super::backfill::{self, Backfill};
use super::dead_man::DeadMan;
use super::duties::{Chore, DUTIES, Duty, RECONCILE, SETTINGS};
use super::limits::Limits;
use super::link::{Link, LinkState, NEVER, backoff};
use super::locks::Locks;
use super::market::{Heard, LINKS, Market, Suspicion};
use super::standing::Standing;
use super::symbols::Listings;
use super::{Variant, account, conn, metadata, op};
use crate::domain::effect::{HttpId, SecretSlot, SessionAction, VenueCall};
use crate::domain::event::{EventBody, SessionRole, SessionStatus};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, VenueId, VenueSpec};
use crate::domain::params::{Extras, MarketCopies, OrderRoute, SessionKind};
use crate::domain::standing::Pace;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::copies::CopyCounts;
use crate::venue::missed::Missed;
use crate::venue::{Adapter, Emit, OddKind, Oddity, Out, VenueContext};
use serde::{Deserialize, Serialize};

/// Resolution of this venue's timers.
const SWEEP: Nanos = 10 * MILLI;
/// A request without reply for this long failed.
const HTTP_TIMEOUT: Nanos = 15 * SECOND;
/// Metadata is read again after this.
const METADATA_PERIOD: Nanos = 1800 * SECOND;
/// The same where changes of contracts are not announced.
const METADATA_PERIOD_UNANNOUNCED: Nanos = 60 * SECOND;
/// Metadata is not read again sooner than this, whatever does not fit.
const METADATA_PAUSE: Nanos = 30 * SECOND;
/// A listen key lives 60 min; the venue asks for a renewal every 30.
const KEEP_ALIVE: Nanos = 29 * 60 * SECOND;
/// Free margin is in no stream.
const BALANCE_PERIOD: Nanos = 30 * SECOND;
/// The venue's word about a contract is read up after this: it announces several at a time.
const ANNOUNCED_PAUSE: Nanos = SECOND;
/// The venue's time is asked for this often, and at the start this often for the first few times.
const TIME_PERIOD: Nanos = 60 * SECOND;
const TIME_PERIOD_FIRST: Nanos = SECOND;
const TIMES_FIRST: u32 = 8;
/// Settings are read back after this, while they are as configured and while they are not.
const SETTINGS_PERIOD: Nanos = 1800 * SECOND;
const SETTINGS_RETRY: Nanos = 30 * SECOND;
/// Commissions cost 20 of 2400 weight units a listing: quickly for a few listings, else slowly.
const COMMISSION_QUICK: usize = 20;
const COMMISSION_PAUSE: [Nanos; 2] = [100 * MILLI, 2 * SECOND];
/// Open interest is in no stream: each listing is asked for this often (weight 1 of 2400 a minute), one at a time,
/// and never more than this closely.
const INTEREST_PERIOD: Nanos = 30 * SECOND;
const INTEREST_PAUSE: Nanos = SECOND;
/// Indicators (weight 10 of 2400 a minute) are read this often; after a refusal that speaks of them at once, but no
/// closer than this.
const INDICATORS_PERIOD: Nanos = 60 * SECOND;
const INDICATORS_PAUSE: Nanos = SECOND;
/// The venue pings every 3 min: a private connection without anything for this long is dead.
const PRIVATE_SILENCE: Nanos = 600 * SECOND;
/// A `session.logon` without answer for this long failed.
const LOGON_TIMEOUT: Nanos = 10 * SECOND;
/// HTTP ids: low bits = which listing's snapshot, [`CHORE_CODE`] + chore, or [`BACKFILL_CODE`] + place.
const CODE_BITS: u32 = 10;
const CHORE_CODE: u32 = 512;
/// From here on: places of [`Backfill`].
const BACKFILL_CODE: u32 = 576;
const _: () = assert!(BACKFILL_CODE as usize + backfill::ROOM <= 1 << CODE_BITS);
/// The upper half of the id range belongs to order requests.
const SEQUENCE_MAX: u32 = (1 << (31 - CODE_BITS)) - 1;

/// The decode side of one Binance market.
#[derive(Debug, Serialize, Deserialize)]
pub struct BinanceAdapter {
    #[serde(with = "super::by_name")]
    variant: &'static Variant,
    venue: VenueId,
    conn_base: ConnId,
    /// How many connections the venue has before second ones for market data.
    conns: usize,
    copies: MarketCopies,
    slot: SecretSlot,
    listings: Listings,
    extras: Extras,
    /// Whose open interest is asked for next.
    interest_at: usize,
    links: Vec<Link>,
    market: Market,
    market_ready: bool,
    account_ready: bool,
    orders_ready: bool,
    /// Orders go over HTTP: there is no order connection, and they can go while the account is known.
    orders_http: bool,
    /// The order connection is logged on once (else every request is signed).
    logon: bool,
    /// When an unanswered logon counts as failed.
    logon_until: Nanos,
    /// Reconciliation parts still missing, by bit of [`RECONCILE`]; 0 = none under way.
    missing: u8,
    chores: [Chore; DUTIES.len()],
    backfill: Backfill,
    missed: Missed,
    /// The listing whose executions are read, and from which trade on (0 = from the outage on).
    missed_at: (usize, u64),
    standing: Standing,
    /// Times of the venue asked for so far.
    times: u32,
    dead_man: DeadMan,
    limits: Limits,
    locks: Locks,
    specs: Vec<Option<VenueSpec>>,
    /// When metadata were read last.
    read_at: Nanos,
    /// A contract changed while they were being read.
    stale: bool,
    sequence: u32,
    /// When the request was made whose reply is being read.
    asked_at: Nanos,
    /// No HTTP before this (429, 418).
    http_pause: Nanos,
    /// No snapshots and backfills before this: most of the weight of the minute is used.
    data_pause: Nanos,
    http_limited: u32,
    /// End of the pause that the last of them brought.
    http_limited_until: Nanos,
    next_sweep: Nanos,
    started: bool,
    /// The venue has stated the funding intervals.
    intervals_known: bool,
}

impl BinanceAdapter {
    /// Nothing happens before [`Adapter::on_start`].
    pub fn new(variant: &'static Variant, context: &VenueContext) -> Self {
        let conns = variant.connections(context.trading).len();
        let copies = context.params.market_copies;
        let count = conns + if copies.has_second() { LINKS } else { 0 };
        Self {
            variant,
            venue: context.venue,
            conn_base: context.conn_base,
            conns,
            copies,
            slot: context.slot_base,
            listings: Listings::new(&context.listings),
            extras: context.params.extras,
            interest_at: 0,
            links: (0..count)
                .map(|i| {
                    Link::new(ConnId(context.conn_base.0 + i as u8), context.params.connection_age_max())
                })
                .collect(),
            market: Market::new(context.listings.len(), context.params.extras, copies.has_second()),
            market_ready: false,
            account_ready: false,
            orders_ready: false,
            orders_http: variant.route(context) == OrderRoute::Http,
            logon: context.params.session == SessionKind::Logon,
            logon_until: NEVER,
            missing: 0,
            chores: [Chore { due: NEVER, request: None, attempts: 0 }; DUTIES.len()],
            backfill: Backfill::default(),
            missed: Missed::new(context.venue),
            missed_at: (0, 0),
            standing: Standing::new(context.venue, &context.params),
            times: 0,
            dead_man: DeadMan::new(context.params.dead_man_ns, context.listings.len()),
            limits: Limits::default(),
            locks: Locks::new(context.listings.len()),
            specs: vec![None; context.listings.len()],
            read_at: Nanos::MIN,
            stale: false,
            sequence: 0,
            asked_at: 0,
            http_pause: 0,
            data_pause: 0,
            http_limited: 0,
            http_limited_until: 0,
            next_sweep: 0,
            started: false,
            intervals_known: false,
        }
    }

    /// Index of a connection of ours.
    fn link_of(&self, conn: ConnId) -> Option<usize> {
        let index = conn.index().checked_sub(self.conn_base.index())?;
        (index < self.links.len()).then_some(index)
    }

    /// Which market stream a connection carries, and as which copy.
    fn slot(&self, index: usize) -> Option<usize> {
        conn::slot(index, self.conns)
    }

    /// The other connection that may carry the same market stream.
    fn twin(&self, index: usize) -> Option<usize> {
        let count = self.conns;
        let twin = match self.slot(index)? {
            slot if slot < LINKS => count + slot,
            slot => slot - LINKS,
        };
        (twin < self.links.len()).then_some(twin)
    }

    fn odd(&self, link: usize, kind: OddKind, out: &mut Out) {
        let conn = ConnId(self.conn_base.0 + link as u8);
        out.emit(Emit::Odd(Oddity { conn, kind }));
    }

    fn session(&self, role: SessionRole, ready: bool, out: &mut Out) {
        out.event(EventBody::Session(SessionStatus { venue: self.venue, role, ready }));
    }

    fn next_id(&mut self, code: u32) -> HttpId {
        self.sequence = (self.sequence + 1) & SEQUENCE_MAX;
        HttpId((self.sequence << CODE_BITS) | code)
    }

    fn request(&mut self, code: u32, what: VenueCall, out: &mut Out) -> u32 {
        let id = self.next_id(code);
        out.action(SessionAction::Http { venue: self.venue, id, what });
        id.0
    }

    fn chore(&mut self, duty: Duty) -> &mut Chore {
        &mut self.chores[duty as usize]
    }

    /// Market data is ready when every defined listing is subscribed on both connections.
    fn update_market_ready(&mut self, out: &mut Out) {
        let is_up = |index: usize| {
            self.links[index].is_up() || self.twin(index).is_some_and(|twin| self.links[twin].is_up())
        };
        let ready = (0..LINKS).all(is_up) && self.market.is_ready(&self.listings);
        if ready != self.market_ready {
            self.market_ready = ready;
            self.session(SessionRole::Market, ready, out);
        }
    }

    fn on_market_frame(&mut self, link: usize, slot: usize, frame: &[u8], now: Stamp, out: &mut Out) {
        let place = (slot, &mut self.links[link]);
        let Heard { odd, control, stale_metadata, announced, leaving, .. } =
            self.market.on_frame(place, frame, &self.listings, now.mono, out);
        if leaving && self.copies.has_second() {
            self.links[link].leave(now.mono);
        }
        if let Some(kind) = odd {
            self.odd(link, kind, out);
        }
        if control {
            self.update_market_ready(out);
        }
        if stale_metadata || announced {
            let due = now.mono + if announced { ANNOUNCED_PAUSE } else { METADATA_PAUSE };
            self.read_metadata(due);
        }
    }

    /// Begins a reconciliation; what is under way is asked for anew.
    fn reconcile(&mut self, now: Nanos, out: &mut Out) {
        self.missing = (1 << RECONCILE.len()) - 1;
        for duty in RECONCILE.into_iter().chain(SETTINGS) {
            *self.chore(duty) = Chore { due: now, request: None, attempts: 0 };
        }
        (self.standing.commission_at, self.standing.account_at) = (0, 0);
        if self.missed.resume() {
            self.missed_at = (0, 0);
            self.chore(Duty::Missed).due = now;
        }
        self.chore(Duty::Countdown).due = self.dead_man.begin(now, &self.listings, &self.standing, out);
        self.indicators_due(now);
    }

    fn reconciled(&mut self, duty: Duty, out: &mut Out) {
        let Some(bit) = RECONCILE.iter().position(|part| *part == duty) else { return };
        let before = self.missing;
        self.missing &= !(1 << bit);
        if before != 0 && self.missing == 0 {
            out.emit(Emit::ReconcileEnd(self.venue));
            if !self.account_ready {
                self.account_ready = true;
                self.session(SessionRole::Account, true, out);
                if self.orders_http {
                    self.orders_up(out);
                }
            }
        }
    }

    /// Every timer of this venue.
    fn sweep(&mut self, now: Stamp, out: &mut Out) {
        let mono = now.mono;
        for index in 0..self.links.len() {
            let slot = self.slot(index);
            self.relay(index, mono);
            if self.links[index].is_due(mono) {
                if slot.is_none() && index == conn::PRIVATE {
                    // The key may have expired with the connection: the request returns the valid one.
                    self.links[index].retry_at = NEVER;
                    self.chore(Duty::ListenKey).due = mono;
                } else {
                    self.links[index].connect(None, out);
                }
            }
            if slot.is_none() && index == conn::API && self.links[index].is_up() && mono >= self.logon_until {
                self.odd(index, OddKind::Refused, out);
                self.links[index].close(out);
            }
            let silent = if let Some(slot) = slot {
                self.market.sweep(slot, &mut self.links[index], &self.listings, mono, out)
            } else {
                self.links[index].is_up() && mono >= self.links[index].heard_at + PRIVATE_SILENCE
            };
            let silent = silent || slot.is_some_and(|slot| self.is_dead(index, slot, mono));
            if silent {
                self.odd(index, OddKind::Refused, out);
            }
            let is_old = slot.is_some() && self.links[index].is_old(mono);
            if silent || (is_old && self.may_leave(index, mono)) {
                self.links[index].close(out);
            }
        }
        self.update_market_ready(out);
        self.run_chores(mono, out);
        if mono >= self.http_pause && mono >= self.data_pause {
            if let Some((place, order)) = self.backfill.next(self.conn_base, mono) {
                let what = VenueCall {
                    op: op::USER_TRADES,
                    arg: order.venue_order_id,
                    instrument: order.instrument,
                };
                let id = self.request(BACKFILL_CODE + place as u32, what, out);
                self.backfill.requested(place, id, mono, mono + HTTP_TIMEOUT);
            }
            let mut from = 0;
            while let Some(index) = self.market.next_snapshot(from, mono) {
                let instrument = Some(self.listings.params(index).id);
                let id = self.request(index as u32, VenueCall { op: op::DEPTH, arg: 0, instrument }, out);
                self.market.requested(index, id, mono);
                from = index + 1;
            }
        }
    }

    /// Whether a second connection is wanted now: while there is one at all times, or while the first is to be
    /// left.
    fn relay(&mut self, index: usize, now: Nanos) {
        let (MarketCopies::Relay, Some(twin)) = (self.copies, self.twin(index)) else { return };
        let (is_other_up, is_other_old) = (self.links[twin].is_up(), self.links[twin].is_old(now));
        let link = &mut self.links[index];
        if link.state == LinkState::Down && is_other_up {
            if !is_other_old {
                link.retry_at = NEVER;
            } else if link.retry_at == NEVER {
                link.retry_at = now;
            }
        }
    }

    /// Whether the silence of a market connection says that it is dead. One that may be is left for a second one,
    /// which costs nothing if it was not.
    fn is_dead(&mut self, index: usize, slot: usize, now: Nanos) -> bool {
        if !self.copies.has_second() || !self.links[index].is_up() {
            return false;
        }
        let suspicion = self.market.suspicion(slot, now);
        let may_relay = self.copies == MarketCopies::Relay && !self.links[index].is_old(now);
        if suspicion == Suspicion::Silent && may_relay {
            self.market.doubt(slot);
            self.links[index].leave(now);
        }
        suspicion == Suspicion::Dead
    }

    /// A connection is left once the other one of its kind brings everything, or where there is no other.
    fn may_leave(&mut self, index: usize, now: Nanos) -> bool {
        match self.twin(index).and_then(|twin| Some((twin, self.slot(twin)?))) {
            Some((twin, slot)) => self.links[twin].is_up() && self.market.carries(slot, now),
            None => true,
        }
    }

    fn run_chores(&mut self, now: Nanos, out: &mut Out) {
        self.dead_man.on_time(now, &self.listings, &self.standing, out);
        for (duty, code) in DUTIES {
            if self.chores[duty as usize].request.is_some_and(|(_, until)| now >= until) {
                self.chore_failed(duty, now, out);
            }
            let chore = self.chores[duty as usize];
            let spare = duty != Duty::OpenInterest || now >= self.data_pause;
            if chore.request.is_none() && now >= chore.due && now >= self.http_pause && spare {
                let what = self.call(duty, code);
                let id = self.request(CHORE_CODE + duty as u32, what, out);
                if duty == Duty::OpenInterest {
                    // One after the other: a listing that is refused does not hold up the others.
                    self.interest_at = (self.interest_at + 1) % self.listings.len().max(1);
                }
                let chore = self.chore(duty);
                chore.request = Some((id, now + HTTP_TIMEOUT));
                chore.due = NEVER;
            }
        }
    }

    /// The request of a duty; some are about one listing after the other.
    fn call(&self, duty: Duty, op: u16) -> VenueCall {
        let listing = |index: usize| (index < self.listings.len()).then(|| self.listings.params(index).id);
        let (instrument, arg) = match duty {
            Duty::Commission => (listing(self.standing.commission_at), 0),
            Duty::OpenInterest => (listing(self.interest_at), 0),
            Duty::AccountConfig => (None, self.standing.account_at as u64),
            Duty::Missed => {
                let (at, from_id) = self.missed_at;
                let arg = if from_id == 0 { self.missed.since_ms() } else { op::FROM_ID | from_id };
                (listing(at), arg)
            }
            Duty::Countdown => (listing(self.dead_man.at()), self.dead_man.milliseconds()),
            _ => (None, 0),
        };
        VenueCall { op, arg, instrument }
    }

    fn settings_due(good: bool, now: Nanos) -> Nanos {
        now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY }
    }

    fn chore_failed(&mut self, duty: Duty, now: Nanos, out: &mut Out) {
        if duty == Duty::Countdown {
            self.dead_man.on_failed(&self.listings, &self.standing, out);
        }
        let base = self.conn_base;
        let chore = self.chore(duty);
        chore.request = None;
        chore.attempts += 1;
        chore.due = now + backoff(base, chore.attempts);
    }

    /// 429 and 418: nothing is asked for a while.
    fn on_rate_limit(&mut self, status: u16, now: Nanos) {
        // What was under way when the first refusal came is no further offence.
        if now >= self.http_limited_until {
            self.http_limited += 1;
        }
        let base = if status == 418 { 120 * SECOND } else { 10 * SECOND };
        let until = now + (base << self.http_limited.saturating_sub(1).min(4));
        self.http_limited_until = self.http_limited_until.max(until);
        self.http_pause = self.http_pause.max(until);
    }

    fn on_chore_reply(&mut self, duty: Duty, body: &[u8], now: Stamp, out: &mut Out) -> Result<(), OddKind> {
        let mono = now.mono;
        match duty {
            Duty::ExchangeInfo => {
                let changed = self.on_exchange_info(body, out)?;
                self.on_limits(body, out)?;
                let announced = self.variant.knows.contract_info;
                let period = match std::mem::take(&mut self.stale) {
                    true => METADATA_PAUSE,
                    // One change is often followed by another, which may go unheard.
                    false if announced && !changed => METADATA_PERIOD,
                    false => METADATA_PERIOD_UNANNOUNCED,
                };
                self.read_at = mono;
                self.chore(duty).due = mono + period;
            }
            Duty::FundingInfo => {
                let Self { market, listings, .. } = self;
                metadata::funding_info(body, |symbol, interval| {
                    if let Some(index) = listings.find(symbol) {
                        market.set_interval(index, interval);
                    }
                })
                .map_err(|_| OddKind::Malformed)?;
                self.intervals_known = true;
                self.chore(duty).due = mono + METADATA_PERIOD;
            }
            Duty::ListenKey => {
                self.chore(Duty::KeepAlive).due = mono + KEEP_ALIVE;
                let slot = self.slot;
                let link = &mut self.links[conn::PRIVATE];
                if link.state == LinkState::Down {
                    link.connect(Some(slot), out);
                }
            }
            Duty::KeepAlive => self.chore(duty).due = mono + KEEP_ALIVE,
            Duty::OpenOrders => {
                let from = out.items().len();
                let result = account::open_orders(body, self.venue, &self.listings, out);
                for item in &out.items()[from..] {
                    if let Emit::Report(report) = item {
                        self.backfill.want(report, mono);
                    }
                }
                result.or_else(tolerable)?;
                self.on_foreign(body, mono, out)?;
            }
            Duty::Positions => account::positions(body, &self.listings, now.wall, out)?,
            Duty::Time => {
                let sent = self.asked_at;
                self.standing.time(body, sent, mono, out)?;
                self.times += 1;
                let period = if self.times < TIMES_FIRST { TIME_PERIOD_FIRST } else { TIME_PERIOD };
                self.chore(duty).due = mono + period;
            }
            Duty::AccountConfig => {
                let parts = self.variant.rest.account_config.len();
                let good = self.standing.account(body, parts == 1, out)?;
                let next = (self.standing.account_at + usize::from(good)) % parts;
                self.standing.account_at = next;
                self.chore(duty).due = if good && next > 0 { mono } else { Self::settings_due(good, mono) };
            }
            Duty::SymbolConfig => {
                let good = self.standing.symbols(body, &self.listings, out)?;
                self.chore(duty).due = Self::settings_due(good, mono);
            }
            Duty::Commission => {
                let good = self.standing.commission(body, &self.listings, out)?;
                let count = self.listings.len();
                let pause = COMMISSION_PAUSE[usize::from(count > COMMISSION_QUICK)];
                // A fee that is too high is asked for again; the others wait for it.
                self.standing.commission_at += usize::from(good);
                self.chore(duty).due = if !good {
                    mono + SETTINGS_RETRY
                } else if self.standing.commission_at < count {
                    mono + pause
                } else {
                    self.standing.commission_at = 0;
                    mono + SETTINGS_PERIOD
                };
            }
            Duty::Foreign => self.on_foreign(body, mono, out)?,
            Duty::Indicators => {
                self.locks.on_status(body, &self.listings, mono, out)?;
                let chore = self.chore(duty);
                chore.due = chore.due.min(mono + INDICATORS_PERIOD);
            }
            Duty::OpenInterest => {
                self.market.on_interest(body, &self.listings, now, out)?;
                let pause = INTEREST_PERIOD / self.listings.len().max(1) as Nanos;
                self.chore(duty).due = mono + pause.max(INTEREST_PAUSE);
            }
            Duty::Countdown => {
                self.dead_man.on_reply(body, (self.asked_at, &self.listings), &self.standing, out)?;
                self.chore(duty).due = self.dead_man.due(mono);
            }
            Duty::Missed => self.on_missed(body, mono, out)?,
            Duty::Balances => {
                account::balances(body, self.venue, &self.listings, now.wall, out)?;
                self.chore(duty).due = mono + BALANCE_PERIOD;
            }
        }
        self.reconciled(duty, out);
        Ok(())
    }

    fn on_foreign(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), OddKind> {
        let good = self.standing.foreign(body, out)?;
        self.chore(Duty::Foreign).due = if good { NEVER } else { now + SETTINGS_RETRY };
        Ok(())
    }
}

/// An order on a symbol that is not ours does not hold up the reconciliation.
const fn tolerable(kind: OddKind) -> Result<(), OddKind> {
    if matches!(kind, OddKind::UnknownSymbol) { Ok(()) } else { Err(kind) }
}

impl Adapter for BinanceAdapter {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.started = true;
        self.next_sweep = now.mono;
        self.chore(Duty::ExchangeInfo).due = now.mono;
        self.chore(Duty::FundingInfo).due = now.mono;
        self.chore(Duty::Time).due = now.mono;
        if self.extras.open_interest {
            self.chore(Duty::OpenInterest).due = now.mono + INTEREST_PAUSE;
        }
        for link in 0..self.links.len() {
            // The private connection needs its key first.
            let is_spare = self.copies == MarketCopies::Relay && link >= self.conns;
            let is_unused = self.slot(link).is_none() && link == conn::API && self.orders_http;
            self.links[link].retry_at = if is_spare || is_unused { NEVER } else { now.mono };
        }
        self.on_tick(now, out);
    }

    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        let Some(index) = self.link_of(conn) else { return };
        self.links[index].on_up(now.mono);
        if !self.started {
            self.links[index].close(out);
            return;
        }
        match (self.slot(index), index) {
            (Some(slot), _) => {
                self.market.on_up(slot, now.mono);
                if epoch > 1 && slot % LINKS == conn::MARKET {
                    // We may have missed a change of a contract.
                    self.read_metadata(now.mono.max(self.read_at.saturating_add(METADATA_PAUSE)));
                }
            }
            (None, conn::PRIVATE) => {
                self.missed.hear(now.wall);
                self.reconcile(now.mono, out);
            }
            (None, _) if self.logon => {
                self.logon_until = now.mono + LOGON_TIMEOUT;
                out.action(SessionAction::Send {
                    conn,
                    what: VenueCall { op: op::LOGON, ..VenueCall::default() },
                });
            }
            (None, _) => self.orders_up(out),
        }
        self.next_sweep = now.mono;
        self.on_tick(now, out);
    }

    fn on_conn_down(&mut self, conn: ConnId, _: u32, _: DownReason, now: Stamp, out: &mut Out) {
        let Some(index) = self.link_of(conn) else { return };
        self.links[index].on_down(now.mono);
        if !self.started {
            self.links[index].retry_at = NEVER;
        }
        match (self.slot(index), index) {
            (Some(slot), _) => {
                self.market.on_down(slot, &self.listings, now.mono, out);
                self.update_market_ready(out);
            }
            (None, conn::PRIVATE) => self.account_down(out),
            (None, _) => {
                self.logon_until = NEVER;
                self.orders_down(out);
            }
        }
    }

    #[inline]
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        let Some(index) = self.link_of(meta.conn) else { return };
        let slot = self.slot(index);
        if slot.is_none() {
            // Where there is market data, only that is a proof of life.
            self.links[index].heard_at = now.mono;
            if index == conn::PRIVATE {
                self.missed.hear(now.wall);
            }
        }
        match meta.kind {
            FrameKind::Text => {}
            FrameKind::Ping | FrameKind::Pong => return,
            FrameKind::Binary => return self.odd(index, OddKind::Malformed, out),
        }
        if let Some(slot) = slot {
            return self.on_market_frame(index, slot, frame, now, out);
        }
        match index {
            conn::PRIVATE => self.on_user_frame(frame, now.mono, out),
            conn::API if self.logon_until != NEVER => self.on_logon(frame, out),
            _ => self.on_api_frame(frame, now, out),
        }
    }

    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        let code = id.0 & ((1 << CODE_BITS) - 1);
        if matches!(status, 429 | 418) {
            self.on_rate_limit(status, now.mono);
        } else if status == 200 {
            self.http_limited = 0;
        }
        if let Some(order) = id.order() {
            return self.on_order_reply(order, (status, body), now.mono, out);
        }
        if code < CHORE_CODE {
            let reply = (status == 200).then_some(body);
            let odd = self.market.on_snapshot(code as usize, id.0, reply, &self.listings, now.mono, out);
            if let Some(kind) = odd {
                self.odd(conn::PUBLIC, kind, out);
            }
            return;
        }
        if code >= BACKFILL_CODE {
            let place = (code - BACKFILL_CODE) as usize;
            let Self { backfill, listings, conn_base, .. } = self;
            let result =
                backfill.on_reply(place, (id.0, status, body), (*conn_base, listings), now.mono, out);
            if let Err(kind) = result {
                self.odd(conn::PRIVATE, kind, out);
            }
            return;
        }
        let Some((duty, _)) = DUTIES.get((code - CHORE_CODE) as usize).copied() else { return };
        if self.chore(duty).request.is_none_or(|(request, _)| request != id.0) {
            return;
        }
        let result = if status == 200 {
            self.asked_at = self.chore(duty).request.map_or(now.mono, |(_, until)| until - HTTP_TIMEOUT);
            self.chore(duty).request = None;
            self.on_chore_reply(duty, body, now, out)
        } else {
            Err(OddKind::Refused)
        };
        match result {
            Ok(()) => self.chore(duty).attempts = 0,
            Err(kind) => {
                if status != 0 {
                    self.odd(
                        if matches!(
                            duty,
                            Duty::ExchangeInfo | Duty::FundingInfo | Duty::Time | Duty::OpenInterest
                        ) {
                            conn::PUBLIC
                        } else {
                            conn::PRIVATE
                        },
                        kind,
                        out,
                    );
                }
                self.chore_failed(duty, now.mono, out);
                if duty == Duty::KeepAlive && (400..500).contains(&status) && !matches!(status, 418 | 429) {
                    // The key is gone (−1125): a new one, a new connection, reconcile.
                    self.chore(Duty::KeepAlive).due = NEVER;
                    self.links[conn::PRIVATE].close(out);
                }
            }
        }
    }

    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        if let Some(index) = self.listings.define(instrument) {
            self.market.on_instrument(index, instrument, now.mono, out);
        }
    }

    fn on_pace(&mut self, pace: &Pace, now: Stamp, _: &mut Out) {
        if pace.is_refusal() {
            let asked = Nanos::from(pace.retry_after_s) * SECOND;
            self.http_pause = self.http_pause.max(now.mono.saturating_add(asked));
        } else if pace.weight_1m.is_some_and(|used| used >= self.limits.data_weight_max) {
            // The venue's minutes are those of its clock.
            let minute = 60 * SECOND;
            self.data_pause = now.mono + (minute - now.wall.rem_euclid(minute));
        }
    }

    fn reread_positions(&mut self, now: Stamp, _: &mut Out) {
        if self.account_ready {
            self.chore(Duty::Positions).due = now.mono;
        }
    }

    #[inline]
    fn on_order_wrong(&mut self, now: Stamp, _: &mut Out) {
        self.read_metadata(now.mono.max(self.read_at.saturating_add(METADATA_PAUSE)));
    }

    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        if now.mono < self.next_sweep || !self.started {
            return;
        }
        self.next_sweep = now.mono + SWEEP;
        self.sweep(now, out);
    }

    fn funding_interval(&self, id: InstrumentId) -> Option<Nanos> {
        let index = self.listings.index(id).filter(|_| self.intervals_known)?;
        Some(self.market.interval(index))
    }

    fn copies(&self) -> Option<&CopyCounts> {
        self.market.counts()
    }

    fn depart(&mut self, conn: ConnId, _: Stamp, out: &mut Out) {
        self.leave_private(conn, out);
    }

    fn on_stop(&mut self, _: Stamp, out: &mut Out) {
        self.started = false;
        for link in &mut self.links {
            link.retry_at = NEVER;
            link.close(out);
        }
    }
}
