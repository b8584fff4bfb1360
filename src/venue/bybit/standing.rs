//! What the venue says of our account before it may trade, and of its time: replies → start checks; and the
//! venue's protection against disconnects, which cancels our orders when this process is gone.
//!
//! Values are counted as [`Check`] documents them. Whether a finding holds the venue is decided in `core`.
//! Self-trade prevention is not read back: every order states it, the taker's word counts, and the account
//! has none of its own.

use super::ACCOUNT;
use super::adapter::{Ask, BybitAdapter};
use super::calls::{self, call};
use super::rows::{self, PositionRow, Reply};
use crate::domain::event::EventBody;
use crate::domain::instrument::VenueId;
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::order::ClientId;
use crate::domain::params::VenueParams;
use crate::domain::standing::{Check, CheckSet, ClockSample};
use crate::domain::time::{MICRO, MILLI, Nanos, SECOND};
use crate::venue::Out;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::standing::States;
use serde::{Deserialize, Serialize};

/// The venue's time is asked for this often, and at the start this often for the first few times.
const TIME_PERIOD: Nanos = 60 * SECOND;
const TIME_PERIOD_FIRST: Nanos = SECOND;
const TIMES_FIRST: u32 = 8;
/// Settings are read back after this, while they are as configured and while they are not.
const SETTINGS_PERIOD: Nanos = 1800 * SECOND;
const SETTINGS_RETRY: Nanos = 30 * SECOND;
/// Between the questions about two listings: the venue counts requests per second.
const LISTING_PAUSE: Nanos = 100 * MILLI;
/// A changed protection takes effect within this; the venue advises to ask again then.
const DEAD_MAN_AGAIN: Nanos = 10 * SECOND;
/// The lowest `unifiedMarginStatus` of a unified trading account (1 = classic); its wallet is the one we read.
const LEVEL_MIN: i64 = 3;

/// What is read back.
pub(super) const CHECKS: CheckSet = CheckSet::of(&[
    Check::PositionMode,
    Check::MarginMode,
    Check::Leverage,
    Check::AccountLevel,
    Check::Fee,
    Check::Permission,
    Check::ForeignOrders,
    Check::Clock,
    Check::DeadMan,
]);

/// What is asked when the account comes up, beside its lists.
const SETTINGS: [Ask; 4] = [Ask::Info, Ask::Key, Ask::Fee, Ask::Leverage];

/// What is configured, and how far the questions are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    leverage: i64,
    fee: Ppb,
    /// Seconds of disconnection after which the venue shall cancel; 0 = never.
    dead_man_s: u64,
    times: u32,
    /// Open orders that are not ours, in the list being read.
    pub foreign: i64,
    /// The listing whose leverage is asked for.
    leverage_at: usize,
    /// All of the round were as wanted.
    leverages_good: bool,
    /// This account connection counts for the protection.
    protected: bool,
    /// The venue refused that this connection counts for it.
    unheard: bool,
}

impl Standing {
    /// For a venue as configured.
    pub fn new(params: &VenueParams) -> Self {
        // Margin is configured as the inverse of the leverage.
        let margin = params.margin_ppb.max(1);
        Self {
            leverage: (ONE_PPB + margin / 2) / margin,
            fee: params.taker_fee_ppb,
            dead_man_s: (params.dead_man_ns / SECOND).max(0).unsigned_abs(),
            times: 0,
            foreign: 0,
            leverage_at: 0,
            leverages_good: true,
            protected: false,
            unheard: false,
        }
    }
}

/// 1 when it is as wanted, else 2.
fn flag(good: bool) -> i64 {
    2 - i64::from(good)
}

fn result<'a>(reply: &Reply<'a>) -> Result<Cursor<'a>, DecodeError> {
    reply.result.ok_or(DecodeError::Missing("result"))
}

fn list<'a>(reply: &Reply<'a>) -> Result<Cursor<'a>, DecodeError> {
    reply.list.ok_or(DecodeError::Missing("list"))
}

impl States for BybitAdapter {
    fn venue(&self) -> VenueId {
        self.venue
    }
}

impl BybitAdapter {
    /// The account came up: its settings are read back, and the protection is asked for.
    pub fn read_settings(&mut self, now: Nanos, out: &mut Out) {
        (self.standing.protected, self.standing.unheard) = (false, false);
        for ask in SETTINGS {
            self.want(ask, now);
        }
        self.read_leverages(now);
        if self.standing.dead_man_s > 0 {
            self.want(Ask::DeadMan, now);
            // The connection that counted is gone.
            self.equal(Check::DeadMan, None, 2, 1, out);
        }
    }

    /// The account is gone: nothing is asked.
    pub fn forget_settings(&mut self) {
        for ask in SETTINGS.into_iter().chain([Ask::Foreign, Ask::DeadMan, Ask::SetDeadMan]) {
            *self.request_mut(ask) = Default::default();
        }
    }

    fn settings_due(&mut self, ask: Ask, good: bool, now: Nanos) {
        self.want(ask, now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY });
    }

    /// The venue's time, asked at `sent` (`mono`).
    pub fn on_time(
        &mut self,
        reply: &Reply<'_>,
        sent: Nanos,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        let mut stated = 0;
        result(reply)?.object(|key, c| match key {
            b"timeNano" => c.int("timeNano").map(|ns| stated = ns),
            _ => c.skip(),
        })?;
        if stated <= 0 {
            return Err(DecodeError::Missing("timeNano"));
        }
        let venue = self.venue;
        // Documented as nanoseconds in one language and as microseconds in another.
        out.event(EventBody::Clock(ClockSample { venue, sent, received: now, stated, resolution: MICRO }));
        self.standing.times = self.standing.times.saturating_add(1);
        let first = self.standing.times < TIMES_FIRST;
        self.want(Ask::Time, now + if first { TIME_PERIOD_FIRST } else { TIME_PERIOD });
        Ok(())
    }

    /// `account/info`: what kind of account, and how its positions are margined.
    pub fn on_info(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut level, mut margin) = (None, None);
        result(reply)?.object(|key, c| match key {
            b"unifiedMarginStatus" => c.int("unifiedMarginStatus").map(|value| level = Some(value)),
            b"marginMode" => c.string().map(|text| {
                margin = Some(match text {
                    b"REGULAR_MARGIN" => 1,
                    b"PORTFOLIO_MARGIN" => 3,
                    _ => 2,
                });
            }),
            _ => c.skip(),
        })?;
        let level = level.ok_or(DecodeError::Missing("unifiedMarginStatus"))?;
        let margin = margin.ok_or(DecodeError::Missing("marginMode"))?;
        let mut good = self.state(Check::AccountLevel, None, (level, LEVEL_MIN), level >= LEVEL_MIN, out);
        good &= self.equal(Check::MarginMode, None, margin, 1, out);
        if self.standing.dead_man_s == 0 {
            self.equal(Check::DeadMan, None, 2, 2, out);
        }
        self.settings_due(Ask::Info, good, now);
        Ok(())
    }

    /// `user/query-api`: a key that writes, and may trade contracts.
    pub fn on_key(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut read_only, mut trades) = (None, None);
        result(reply)?.object(|key, c| match key {
            b"readOnly" => c.int("readOnly").map(|value| read_only = Some(value != 0)),
            b"permissions" => {
                let mut found = false;
                c.object(|area, c| {
                    let wanted: &[u8] = match area {
                        b"ContractTrade" => b"Order",
                        b"Derivatives" => b"DerivativesTrade",
                        _ => return c.skip(),
                    };
                    c.array(|c| {
                        found |= c.string()? == wanted;
                        Ok(())
                    })
                })?;
                trades = Some(found);
                Ok(())
            }
            _ => c.skip(),
        })?;
        let read_only = read_only.ok_or(DecodeError::Missing("readOnly"))?;
        let trades = trades.ok_or(DecodeError::Missing("permissions"))?;
        let good = self.equal(Check::Permission, None, flag(trades && !read_only), 1, out);
        self.settings_due(Ask::Key, good, now);
        Ok(())
    }

    /// `account/fee-rate` of all contracts; one of ours that is missing is asked for again.
    pub fn on_fee(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut good, mut missing) = (true, self.listings.len());
        list(reply)?.array(|c| {
            let (mut symbol, mut rate): (&[u8], _) = (b"", None);
            c.object(|key, c| match key {
                b"symbol" => c.string().map(|text| symbol = text),
                b"takerFeeRate" => c.num_or_absent("takerFeeRate").map(|num| rate = num),
                _ => c.skip(),
            })?;
            let Some(at) = self.listing_of(symbol) else { return Ok(()) };
            let taker = rate.and_then(|num| num.at_scale(9)).ok_or(DecodeError::Field("takerFeeRate"))?;
            let (listing, fee) = (Some(self.listings[at].id), self.standing.fee);
            good &= self.state(Check::Fee, listing, (taker, fee), taker <= fee, out);
            missing = missing.saturating_sub(1);
            Ok(())
        })?;
        self.settings_due(Ask::Fee, good && missing == 0, now);
        Ok(())
    }

    /// Position mode and leverage belong to a contract here: one question each, from the first.
    fn read_leverages(&mut self, at: Nanos) {
        (self.standing.leverage_at, self.standing.leverages_good) = (0, true);
        self.ask_leverage(at);
    }

    fn ask_leverage(&mut self, at: Nanos) {
        let listing = self.listings.get(self.standing.leverage_at).map(|listing| listing.id);
        self.want(Ask::Leverage, at);
        let request = self.request_mut(Ask::Leverage);
        (request.instrument, request.wanted) = (listing, listing.is_some());
    }

    /// `position/list` of one contract: a row in one-way mode, two otherwise, even without a position.
    pub fn on_leverage(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let listing = self.request_mut(Ask::Leverage).instrument;
        let wanted = self.standing.leverage;
        let (mut one_way, mut leverage) = (true, None);
        list(reply)?.array(|c| {
            let row = rows::position(c)?;
            if self.listing_of(row.symbol).map(|at| self.listings[at].id) == listing {
                one_way &= row.one_way;
                // The wrong one of two counts.
                leverage = row.leverage.filter(|stated| leverage.is_none() || *stated != wanted).or(leverage);
            }
            Ok(())
        })?;
        let leverage = leverage.ok_or(DecodeError::Missing("leverage"))?;
        let mut good = self.equal(Check::PositionMode, listing, flag(one_way), 1, out);
        good &= self.equal(Check::Leverage, listing, leverage, wanted, out);
        self.standing.leverages_good &= good;
        self.standing.leverage_at += 1;
        if self.standing.leverage_at < self.listings.len() {
            self.ask_leverage(now + LISTING_PAUSE);
        } else {
            let good = self.standing.leverages_good;
            self.read_leverages(now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY });
        }
        Ok(())
    }

    /// A position was told: a mode or leverage that changed for the worse holds at once and is read again.
    pub fn check_position(&mut self, at: usize, row: &PositionRow<'_>, now: Nanos, out: &mut Out) {
        let (listing, wanted) = (Some(self.listings[at].id), self.standing.leverage);
        let leverage = row.leverage.unwrap_or(wanted);
        if row.one_way && leverage == wanted {
            return;
        }
        if !row.one_way {
            self.equal(Check::PositionMode, listing, flag(false), 1, out);
        }
        if leverage != wanted {
            self.equal(Check::Leverage, listing, leverage, wanted, out);
        }
        if self.is_later(Ask::Leverage, now + SETTINGS_RETRY) {
            self.read_leverages(now + SETTINGS_RETRY);
        }
    }

    /// The open orders were listed: those that are not ours hold the venue until they are gone.
    pub fn on_foreign_counted(&mut self, now: Nanos, out: &mut Out) {
        let count = std::mem::take(&mut self.standing.foreign);
        if !self.equal(Check::ForeignOrders, None, count, 0, out) {
            self.want(Ask::Foreign, now + SETTINGS_RETRY);
        }
    }

    /// The first page of a coin's open orders, looked at for orders of others only. What further pages hold is
    /// not known to be ours.
    pub fn on_foreign(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let mut count = i64::from(reply.more);
        list(reply)?.array(|c| {
            let row = rows::order(c)?;
            count += i64::from(row.linear && row.client_id == ClientId::NONE);
            Ok(())
        })?;
        self.standing.foreign += count;
        if self.turn_page(Ask::Foreign, false, now) {
            self.on_foreign_counted(now, out);
        }
        Ok(())
    }

    /// `account/query-dcp-info`: the venue grants the protection to some accounts, and says so only to them.
    pub fn on_dead_man(&mut self, reply: &Reply<'_>, now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let mut granted = None;
        result(reply)?.object(|key, c| {
            if key != b"dcpInfos" {
                return c.skip();
            }
            c.array(|c| {
                let (mut ours, mut on, mut seconds) = (false, false, 0);
                c.object(|key, c| match key {
                    b"product" => c.string().map(|text| ours = text == b"DERIVATIVES"),
                    b"dcpStatus" => c.string().map(|text| on = text == b"ON"),
                    b"timeWindow" => c.int("timeWindow").map(|value| seconds = value),
                    _ => c.skip(),
                })?;
                if ours && on {
                    granted = Some(seconds.unsigned_abs());
                }
                Ok(())
            })
        })?;
        self.want(Ask::DeadMan, now + SETTINGS_PERIOD);
        // Configured and not to be had: nobody may rely on it.
        let armed = granted == Some(self.standing.dead_man_s) && !self.standing.unheard;
        self.equal(Check::DeadMan, None, flag(armed), 1, out);
        let Some(seconds) = granted else { return Ok(()) };
        if !std::mem::replace(&mut self.standing.protected, true) {
            self.send(ACCOUNT, call(calls::SUBSCRIBE_DEAD_MAN), out);
        }
        if seconds != self.standing.dead_man_s {
            self.want_page(Ask::SetDeadMan, self.standing.dead_man_s, now);
        }
        Ok(())
    }

    /// The venue does not count this connection among those whose loss fires the protection.
    pub fn on_dead_man_unheard(&mut self, out: &mut Out) {
        self.standing.unheard = true;
        self.equal(Check::DeadMan, None, 2, 1, out);
    }

    /// The venue took another time for the protection: whether it has, is asked when it should.
    pub fn on_dead_man_set(&mut self, now: Nanos, out: &mut Out) {
        self.request_mut(Ask::SetDeadMan).wanted = false;
        self.equal(Check::DeadMan, None, flag(!self.standing.unheard), 1, out);
        self.want(Ask::DeadMan, now + DEAD_MAN_AGAIN);
    }
}
