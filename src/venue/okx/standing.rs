//! What the venue says of our account before it may trade, and of its time: replies → start checks; and the
//! dead man's switch, which the venue fires when we no longer say that we live.
//!
//! Values are counted as [`Check`] documents them. Whether a finding holds the venue is decided in `core`.

use super::adapter::{Ask, OkxAdapter};
use super::market::nanos;
use super::rows;
use crate::domain::event::EventBody;
use crate::domain::instrument::VenueId;
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::number::Num;
use crate::domain::order::ClientId;
use crate::domain::params::VenueParams;
use crate::domain::standing::{Check, CheckSet, ClockSample};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::Out;
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
/// Listings in one question for leverages.
pub(super) const LEVERAGE_PAGE: usize = 5;
/// The switch is thrown again this often within its time.
const DEAD_MAN_ROUNDS: Nanos = 3;
/// The lowest account level that trades perpetuals (1 = spot only).
const LEVEL_MIN: i64 = 2;

/// What is read back.
pub(super) const CHECKS: CheckSet = CheckSet::of(&[
    Check::PositionMode,
    Check::MarginMode,
    Check::Leverage,
    Check::AccountLevel,
    Check::SelfTrade,
    Check::Fee,
    Check::Permission,
    Check::ForeignOrders,
    Check::Clock,
    Check::DeadMan,
]);

/// What is asked when the account comes up, beside its lists.
const SETTINGS: [Ask; 3] = [Ask::Config, Ask::Leverage, Ask::Fee];

/// What is configured, and how far the questions are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    leverage: i64,
    fee: Ppb,
    /// Seconds of silence after which the venue cancels; 0 = never.
    dead_man_s: u64,
    times: u32,
    /// Pending orders that are not ours, in the list being read.
    pub foreign: i64,
    /// All leverages of the round were as wanted.
    leverages_good: bool,
    /// Whether the switch is armed, as was told last.
    armed: Option<bool>,
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
            leverages_good: true,
            armed: None,
        }
    }
}

impl States for OkxAdapter {
    fn venue(&self) -> VenueId {
        self.venue
    }
}

impl OkxAdapter {
    /// The account came up: its settings are read back, and the switch is armed.
    pub fn read_settings(&mut self, now: Nanos, out: &mut Out) {
        self.standing.leverages_good = true;
        for ask in SETTINGS {
            self.want(ask, now);
        }
        if self.standing.dead_man_s > 0 {
            self.want_page(Ask::DeadMan, self.standing.dead_man_s, now);
            self.state_armed(false, out);
        } else {
            self.equal(Check::DeadMan, None, 2, 2, out);
        }
    }

    /// Tells whether the switch is armed, when that is news.
    pub fn state_armed(&mut self, armed: bool, out: &mut Out) {
        if self.standing.armed.replace(armed) != Some(armed) {
            self.equal(Check::DeadMan, None, 2 - i64::from(armed), 1, out);
        }
    }

    /// What was not confirmed does not count as armed.
    pub fn unarmed(&mut self, ask: Ask, out: &mut Out) {
        if ask == Ask::DeadMan {
            self.state_armed(false, out);
        }
    }

    /// The account is gone: nothing is asked, and the switch may fire.
    pub fn forget_settings(&mut self) {
        for ask in SETTINGS.into_iter().chain([Ask::Foreign, Ask::DeadMan]) {
            self.requests[ask as usize] = Default::default();
        }
    }

    fn settings_due(&mut self, ask: Ask, good: bool, now: Nanos) {
        self.want(ask, now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY });
    }

    /// The venue's time, asked at `sent` (`mono`).
    pub fn on_time(
        &mut self,
        body: &[u8],
        sent: Nanos,
        now: Nanos,
        out: &mut Out,
    ) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let mut stated = 0;
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            c.object(|key, c| match key {
                b"ts" => c.int("ts").map(|ms| stated = nanos(ms)),
                _ => c.skip(),
            })
        })?;
        if stated <= 0 {
            return Err(DecodeError::Missing("ts"));
        }
        let venue = self.venue;
        out.event(EventBody::Clock(ClockSample { venue, sent, received: now, stated, resolution: MILLI }));
        self.standing.times += 1;
        let first = self.standing.times < TIMES_FIRST;
        self.want(Ask::Time, now + if first { TIME_PERIOD_FIRST } else { TIME_PERIOD });
        Ok(0)
    }

    /// `account/config`.
    pub fn on_config(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let (mut level, mut mode, mut self_trade) = (None, None, None);
        let mut permission = None;
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            c.object(|key, c| match key {
                b"acctLv" => c.int("acctLv").map(|value| level = Some(value)),
                b"posMode" => c.string().map(|text| mode = Some(text == b"net_mode")),
                b"acctStpMode" => c.string().map(|text| self_trade = Some(text == b"cancel_maker")),
                b"perm" => {
                    let text = c.string()?;
                    permission = Some(text.split(|byte| *byte == b',').any(|part| part == b"trade"));
                    Ok(())
                }
                _ => c.skip(),
            })
        })?;
        let level = level.ok_or(DecodeError::Missing("acctLv"))?;
        let number = |good: bool| 2 - i64::from(good);
        let mut good = self.state(Check::AccountLevel, None, (level, LEVEL_MIN), level >= LEVEL_MIN, out);
        for (check, stated, name) in [
            (Check::PositionMode, mode, "posMode"),
            (Check::SelfTrade, self_trade, "acctStpMode"),
            (Check::Permission, permission, "perm"),
        ] {
            let stated = number(stated.ok_or(DecodeError::Missing(name))?);
            good &= self.equal(check, None, stated, 1, out);
        }
        self.settings_due(Ask::Config, good, now);
        Ok(0)
    }

    /// `account/leverage-info` of a page of listings.
    pub fn on_leverage(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let mut good = true;
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            let (mut symbol, mut margin): (&[u8], &[u8]) = (b"", b"");
            let mut lever = None;
            c.object(|key, c| match key {
                b"instId" => c.string().map(|text| symbol = text),
                b"mgnMode" => c.string().map(|text| margin = text),
                b"lever" => c.num("lever").map(|num| lever = Some(num)),
                _ => c.skip(),
            })?;
            let found = Symbol::from_bytes(symbol).and_then(|symbol| self.find(&symbol));
            let Some(at) = found else { return Ok(()) };
            let listing = Some(self.listings[at].id);
            // A broken number is as wrong as another one.
            let lever = lever.ok_or(DecodeError::Missing("lever"))?.normalized();
            let lever = if lever.scale == 0 { lever.mantissa } else { -1 };
            good &= self.equal(Check::MarginMode, listing, 2 - i64::from(margin == b"cross"), 1, out);
            good &= self.equal(Check::Leverage, listing, lever, self.standing.leverage, out);
            Ok(())
        })?;
        self.standing.leverages_good &= good;
        let next = self.requests[Ask::Leverage as usize].arg + LEVERAGE_PAGE as u64;
        if next < self.listings.len() as u64 {
            self.want_page(Ask::Leverage, next, now);
        } else {
            let good = std::mem::replace(&mut self.standing.leverages_good, true);
            self.settings_due(Ask::Leverage, good, now);
        }
        Ok(0)
    }

    /// `account/trade-fee`: costs are negative; contracts that settle in USDT have a rate of their own.
    pub fn on_fee(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let mut rates = [None, None, None];
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            c.object(|key, c| {
                let at = match key {
                    b"taker" => 0,
                    b"takerU" => 1,
                    b"takerUSDC" => 2,
                    _ => return c.skip(),
                };
                rates[at] = c.num_or_absent("taker")?;
                Ok(())
            })
        })?;
        // Which of them applies depends on the contract: the worst must do.
        let cost = |rate: Num| rate.at_scale(9).map(i64::saturating_neg);
        let rates = rates.into_iter().flatten().map(cost);
        let worst = rates.max_by_key(|cost| cost.unwrap_or(i64::MAX));
        let taker = worst.flatten().ok_or(DecodeError::Missing("taker"))?;
        let fee = self.standing.fee;
        let good = self.state(Check::Fee, None, (taker, fee), taker <= fee, out);
        self.settings_due(Ask::Fee, good, now);
        Ok(0)
    }

    /// The pending orders were listed: those that are not ours hold the venue until they are gone.
    pub fn on_foreign_counted(&mut self, now: Nanos, out: &mut Out) {
        let count = std::mem::take(&mut self.standing.foreign);
        if !self.equal(Check::ForeignOrders, None, count, 0, out) {
            self.want(Ask::Foreign, now + SETTINGS_RETRY);
        }
    }

    /// The first page of pending orders, looked at for orders of others only.
    pub fn on_foreign(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let mut count = 0;
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            count += i64::from(rows::order(c)?.client_id == ClientId::NONE);
            Ok(())
        })?;
        self.requests[Ask::Foreign as usize].wanted = false;
        self.standing.foreign = count;
        self.on_foreign_counted(now, out);
        Ok(0)
    }

    /// The switch was armed, if the venue says when it fires: in time before that, it is armed again.
    pub fn on_dead_man(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code == 0 {
            let mut fires = None;
            data.ok_or(DecodeError::Missing("data"))?.array(|c| {
                c.object(|key, c| match key {
                    b"triggerTime" => c.int("triggerTime").map(|ms| fires = Some(ms)),
                    _ => c.skip(),
                })
            })?;
            // 0 = it never fires.
            let armed = fires.ok_or(DecodeError::Missing("triggerTime"))? > 0;
            self.state_armed(armed, out);
            let seconds = self.standing.dead_man_s;
            let next = now + seconds as Nanos * SECOND / DEAD_MAN_ROUNDS;
            self.want_page(Ask::DeadMan, seconds, next);
        }
        Ok(code)
    }
}
