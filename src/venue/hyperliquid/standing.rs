//! What the venue says of our account before it may trade, of its time, of our limits: replies → start checks;
//! and the dead man's switch, which the venue fires when we no longer say that we live.
//!
//! Values are counted as [`Check`] documents them. Whether a finding holds the venue is decided in `core`.
//! What a reply does not say is not stated, and the gate stays closed.

use super::adapter::{Ask, HyperliquidAdapter};
use super::limits::{Actions, KEPT};
use super::market::nanos;
use super::{ORDERS, calls, rows};
use crate::domain::event::EventBody;
use crate::domain::instrument::VenueId;
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::number::{Num, POW10};
use crate::domain::order::ClientId;
use crate::domain::params::VenueParams;
use crate::domain::standing::{Check, CheckSet, ClockSample};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;
use crate::venue::standing::States;
use crate::venue::{OddKind, Out};
use serde::{Deserialize, Serialize};

/// The venue's time is asked for this often, and at the start this often for the first few times.
const TIME_PERIOD: Nanos = 60 * SECOND;
const TIME_PERIOD_FIRST: Nanos = SECOND;
const TIMES_FIRST: u32 = 8;
/// What the venue states is the time of a block: the true time was up to this much later. Blocks follow each
/// other within some 100 ms \[M\]; how old the stated one may be is to be verified.
const BLOCK_AGE: Nanos = 200 * MILLI;
/// Settings are read back after this, while they are as configured and while they are not.
const SETTINGS_PERIOD: Nanos = 1_800 * SECOND;
const SETTINGS_RETRY: Nanos = 30 * SECOND;
/// An agent whose approval ends sooner is none: longer than [`SETTINGS_PERIOD`], so that it is found in time.
const AGENT_LEFT: Nanos = 3_600 * SECOND;
/// Limits are read again after this, while there is plenty and while there is not.
const RATE_PERIOD: Nanos = 600 * SECOND;
const RATE_PERIOD_SCARCE: Nanos = 60 * SECOND;
/// So many actions are plenty: more than can be sent in [`RATE_PERIOD`].
const PLENTY: i64 = 20_000;
/// The switch is thrown again this often within its time. Each costs an action, of which an account that may
/// use it was granted a million: at 60 s that is 2880 a day.
const DEAD_MAN_ROUNDS: Nanos = 2;
/// The venue takes no switch that fires sooner than 5 s from now; the rest is for the way.
const DEAD_MAN_MIN: Nanos = 10 * SECOND;
/// After a refusal the switch is tried again: it may have been fired ten times today.
const DEAD_MAN_AGAIN: Nanos = 600 * SECOND;

/// What is read back. One-way positions and self-trade prevention are rules of the venue, which every state of
/// the account confirms, and which an account cannot change.
pub(super) const CHECKS: CheckSet = CheckSet::of(&[
    Check::PositionMode,
    Check::MarginMode,
    Check::AssetMode,
    Check::Leverage,
    Check::SelfTrade,
    Check::Fee,
    Check::Permission,
    Check::ForeignOrders,
    Check::Clock,
    Check::DeadMan,
    Check::Requests,
]);

/// What is asked when the account comes up, beside its lists.
const SETTINGS: [Ask; 6] = [Ask::Rate, Ask::Agents, Ask::Role, Ask::Abstraction, Ask::Fees, Ask::Asset];

/// What is configured, and how far the questions are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    leverage: i64,
    fee: Ppb,
    times: u32,
    /// An order of someone else was seen.
    pub foreign_seen: bool,
    /// All settings of listings of the round were as wanted.
    assets_good: bool,
    /// Our address is that of an account; our wallet may sign for it.
    is_account: Option<bool>,
    is_agent: Option<bool>,
    /// Both, as last told.
    permitted: Option<bool>,
    /// Positions are net, as last told.
    one_way: Option<bool>,
    /// Actions of the address.
    pub actions: Actions,
    /// Whether they are enough, and how many there were, as last told.
    enough: Option<(bool, i64)>,
    /// The switch fires so long after it was last thrown; 0 = never.
    dead_man: Nanos,
    dead_man_due: Nanos,
    /// It is armed, as last told.
    armed: Option<bool>,
}

impl Standing {
    /// For a venue as configured.
    pub fn new(params: &VenueParams) -> Self {
        // Margin is configured as the inverse of the leverage.
        let margin = params.margin_ppb.max(1);
        let dead_man = params.dead_man_ns;
        Self {
            leverage: (ONE_PPB + margin / 2) / margin,
            fee: params.taker_fee_ppb,
            times: 0,
            foreign_seen: false,
            assets_good: true,
            is_account: None,
            is_agent: None,
            permitted: None,
            one_way: None,
            actions: Actions::default(),
            enough: None,
            dead_man: if dead_man > 0 { dead_man.max(DEAD_MAN_MIN) } else { 0 },
            dead_man_due: Nanos::MIN,
            armed: None,
        }
    }
}

/// 1 = as wanted, 2 = not.
const fn number(good: bool) -> i64 {
    if good { 1 } else { 2 }
}

/// A rate as ppb, rounded up; `None` when it does not fit.
fn ppb_up(rate: Num) -> Option<Ppb> {
    match rate.scale.checked_sub(9) {
        None | Some(0) => rate.at_scale(9),
        Some(more) => {
            let unit = *POW10.get(usize::from(more))?;
            Some(rate.mantissa.div_euclid(unit) + i64::from(rate.mantissa.rem_euclid(unit) != 0))
        }
    }
}

/// Orders of a list that are not ours.
fn foreign(body: &[u8]) -> Result<i64, DecodeError> {
    let (mut count, mut c) = (0, Cursor::new(body));
    c.array(|c| {
        count += i64::from(rows::order(c)?.client_id == ClientId::NONE);
        Ok(())
    })?;
    c.end()?;
    Ok(count)
}

impl States for HyperliquidAdapter {
    fn venue(&self) -> VenueId {
        self.venue
    }
}

impl HyperliquidAdapter {
    /// The account came up: its settings are read back.
    pub fn read_settings(&mut self, now: Nanos, out: &mut Out) {
        self.standing.assets_good = true;
        for ask in SETTINGS {
            self.want(ask, now);
        }
        self.equal(Check::SelfTrade, None, 1, 1, out);
        if self.standing.dead_man == 0 {
            self.equal(Check::DeadMan, None, 2, 2, out);
        }
    }

    /// The account is gone: nothing is asked.
    pub fn forget_settings(&mut self) {
        for ask in SETTINGS.into_iter().chain([Ask::Foreign]) {
            self.requests[ask as usize] = Default::default();
        }
    }

    fn settings_due(&mut self, ask: Ask, good: bool, now: Nanos) {
        self.want(ask, now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY });
    }

    /// `exchangeStatus`: the venue's time, asked at `sent` (`mono`).
    pub fn on_time(
        &mut self,
        body: &[u8],
        sent: Nanos,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        let (mut stated, mut c) = (0, Cursor::new(body));
        c.object(|key, c| match key {
            b"time" => c.int("time").map(|ms| stated = nanos(ms)),
            _ => c.skip(),
        })?;
        c.end()?;
        if stated <= 0 {
            return Err(DecodeError::Missing("time"));
        }
        let venue = self.venue;
        let sample = ClockSample { venue, sent, received: now, stated, resolution: BLOCK_AGE };
        out.event(EventBody::Clock(sample));
        self.standing.times += 1;
        let first = self.standing.times < TIMES_FIRST;
        self.want(Ask::Time, now + if first { TIME_PERIOD_FIRST } else { TIME_PERIOD });
        Ok(())
    }

    /// `userRole` of our address: an agent has no account, and a sub-account or a vault is not traded for.
    pub fn on_role(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut user, mut c) = (None, Cursor::new(body));
        c.object(|key, c| match key {
            b"role" => c.string().map(|role| user = Some(role == b"user")),
            _ => c.skip(),
        })?;
        c.end()?;
        let user = user.ok_or(DecodeError::Missing("role"))?;
        self.standing.is_account = Some(user);
        self.state_permission(out);
        self.settings_due(Ask::Role, user, now);
        Ok(())
    }

    /// `extraAgents` of our address. The gateway blanks what it knows of us, so the entry whose address is blank
    /// is our wallet's. An unnamed agent is not in the list: the next login of the account replaces it, so it
    /// counts as none.
    pub fn on_agents(&mut self, body: &[u8], now: Stamp, out: &mut Out) -> Result<(), DecodeError> {
        let (mut until, mut c) = (0, Cursor::new(body));
        c.array(|c| {
            let (mut ours, mut ends) = (false, 0);
            c.object(|key, c| {
                match key {
                    b"address" => {
                        let address = c.string()?;
                        ours = !address.is_empty() && address.iter().all(|byte| *byte == b'x');
                    }
                    b"validUntil" => ends = nanos(c.int("validUntil")?),
                    _ => c.skip()?,
                }
                Ok(())
            })?;
            until = if ours { until.max(ends) } else { until };
            Ok(())
        })?;
        c.end()?;
        let good = until > now.wall.saturating_add(AGENT_LEFT);
        self.standing.is_agent = Some(good);
        self.state_permission(out);
        self.settings_due(Ask::Agents, good, now.mono);
        Ok(())
    }

    /// One half that is wrong is enough to say so; both must be right to say that.
    fn state_permission(&mut self, out: &mut Out) {
        let granted = match (self.standing.is_account, self.standing.is_agent) {
            (Some(false), _) | (_, Some(false)) => false,
            (Some(true), Some(true)) => true,
            _ => return,
        };
        if self.standing.permitted.replace(granted) != Some(granted) {
            self.equal(Check::Permission, None, number(granted), 1, out);
        }
    }

    /// `userAbstraction`: with a unified account or portfolio margin the balance stands elsewhere than where we
    /// read it, and all currencies pay for everything. Only `disabled` is known to be neither.
    pub fn on_abstraction(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let mut c = Cursor::new(body);
        let separate = match c.kind()? {
            Kind::String => c.string()? == b"disabled",
            _ => c.skip().map(|()| false)?,
        };
        c.end()?;
        let good = self.equal(Check::AssetMode, None, number(separate), 1, out);
        self.settings_due(Ask::Abstraction, good, now);
        Ok(())
    }

    /// `userFees`: the taker's rate, discounts included.
    pub fn on_fees(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut rate, mut c) = (None, Cursor::new(body));
        c.object(|key, c| match key {
            b"userCrossRate" => c.num("userCrossRate").map(|num| rate = Some(num)),
            _ => c.skip(),
        })?;
        c.end()?;
        let rate = rate.ok_or(DecodeError::Missing("userCrossRate"))?;
        let taker = ppb_up(rate).ok_or(DecodeError::Field("userCrossRate"))?;
        let fee = self.standing.fee;
        let good = self.state(Check::Fee, None, (taker, fee), taker <= fee, out);
        self.settings_due(Ask::Fees, good, now);
        Ok(())
    }

    /// `activeAssetData` of the listing that was asked for: one after the other.
    pub fn on_asset(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut coin, mut leverage, mut c): (&[u8], _, _) = (b"", None, Cursor::new(body));
        c.object(|key, c| {
            match key {
                b"coin" => coin = c.string()?,
                b"leverage" => leverage = Some(rows::leverage(c)?),
                _ => c.skip()?,
            }
            Ok(())
        })?;
        c.end()?;
        let asked = self.requests[Ask::Asset as usize].arg;
        let at = Symbol::from_bytes(coin).and_then(|coin| self.find(&coin));
        let at = at.filter(|at| *at as u64 == asked).ok_or(DecodeError::Field("coin"))?;
        let leverage = leverage.ok_or(DecodeError::Missing("leverage"))?;
        self.standing.assets_good &= self.state_leverage(at, leverage, out);
        if asked + 1 < self.listings.len() as u64 {
            self.want_page(Ask::Asset, asked + 1, now);
        } else {
            let good = std::mem::replace(&mut self.standing.assets_good, true);
            self.settings_due(Ask::Asset, good, now);
        }
        Ok(())
    }

    /// Margin mode and leverage of a listing; what was told already is not told again.
    pub fn state_leverage(&mut self, at: usize, leverage: (bool, i64), out: &mut Out) -> bool {
        let ((cross, value), wanted) = (leverage, self.standing.leverage);
        if self.listings[at].leverage.replace(leverage) != Some(leverage) {
            let listing = Some(self.listings[at].id);
            self.equal(Check::MarginMode, listing, number(cross), 1, out);
            self.equal(Check::Leverage, listing, value, wanted, out);
        }
        cross && value == wanted
    }

    /// Every position in the account's state is a net one, or there is none.
    pub fn state_one_way(&mut self, one_way: bool, out: &mut Out) {
        if self.standing.one_way.replace(one_way) != Some(one_way) {
            self.equal(Check::PositionMode, None, number(one_way), 1, out);
        }
    }

    /// The open orders were listed: those that are not ours hold the venue until they are gone.
    pub fn on_foreign(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let count = foreign(body)?;
        if !self.equal(Check::ForeignOrders, None, count, 0, out) {
            self.want(Ask::Foreign, now + SETTINGS_RETRY);
        }
        Ok(())
    }

    /// An order of someone else was seen on the account: they are counted again.
    pub fn look_for_foreign(&mut self, now: Nanos) {
        if std::mem::take(&mut self.standing.foreign_seen) && !self.asking(Ask::Foreign, now) {
            self.want(Ask::Foreign, now);
        }
    }

    /// `userRateLimit`: actions of the address, used and granted.
    pub fn on_rate(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), DecodeError> {
        let (mut volume, mut used, mut granted, mut reserved) = (None, None, None, 0);
        let mut c = Cursor::new(body);
        c.object(|key, c| {
            match key {
                b"cumVlm" => volume = Some(rows::money(c, "cumVlm")?),
                b"nRequestsUsed" => used = Some(c.int("nRequestsUsed")?),
                b"nRequestsCap" => granted = Some(c.int("nRequestsCap")?),
                b"nRequestsSurplus" => reserved = c.int("nRequestsSurplus")?,
                _ => c.skip()?,
            }
            Ok(())
        })?;
        c.end()?;
        let used = used.ok_or(DecodeError::Missing("nRequestsUsed"))?;
        let granted = granted.ok_or(DecodeError::Missing("nRequestsCap"))?;
        let left = granted.saturating_sub(used).saturating_add(reserved);
        self.standing.actions.on_stated(left, volume.ok_or(DecodeError::Missing("cumVlm"))?);
        self.state_actions(out);
        if self.standing.dead_man > 0 && self.standing.actions.has_switch() == Some(false) {
            self.state_armed(false, out);
        }
        self.want(Ask::Rate, now + if left >= PLENTY { RATE_PERIOD } else { RATE_PERIOD_SCARCE });
        Ok(())
    }

    /// An action of ours was answered.
    pub fn on_action(&mut self, out: &mut Out) {
        self.standing.actions.on_answered();
        if !self.standing.actions.is_enough() && self.standing.enough.is_some_and(|(enough, _)| enough) {
            self.state_actions(out);
        }
    }

    /// What is left is told when it is short, and when it no longer is.
    fn state_actions(&mut self, out: &mut Out) {
        let (enough, left) = (self.standing.actions.is_enough(), self.standing.actions.left());
        let told = (enough, if enough { KEPT } else { left });
        if self.standing.enough.replace(told) != Some(told) {
            self.state(Check::Requests, None, (told.1, KEPT), enough, out);
        }
    }

    fn state_armed(&mut self, armed: bool, out: &mut Out) {
        if self.standing.armed.replace(armed) != Some(armed) {
            self.equal(Check::DeadMan, None, number(armed), 1, out);
        }
    }

    /// Throws the dead man's switch anew when it is time. Not while actions are short: then it fires, which
    /// cancels what rests and costs none.
    pub fn hold_dead_man(&mut self, now: Nanos, out: &mut Out) {
        let standing = &mut self.standing;
        let ready = self.sessions.get(ORDERS).is_some_and(|session| session.ready);
        let may = standing.actions.has_switch() == Some(true) && standing.actions.is_enough();
        if standing.dead_man == 0 || !ready || !may {
            return;
        }
        if now >= standing.dead_man_due {
            standing.dead_man_due = now + standing.dead_man / DEAD_MAN_ROUNDS;
            let after = (standing.dead_man / MILLI).unsigned_abs();
            self.send(ORDERS, calls::call_arg(calls::SCHEDULE_CANCEL, after), out);
        }
        self.arm(self.standing.dead_man_due);
    }

    /// The order connection is new: the switch may have fired meanwhile. After a refusal it waits.
    pub fn renew_dead_man(&mut self, now: Nanos) {
        if self.standing.armed != Some(false) {
            self.standing.dead_man_due = now;
        }
    }

    /// The venue's word about the switch.
    pub fn on_switch(&mut self, armed: bool, now: Nanos, out: &mut Out) {
        if !armed {
            let conn = self.sessions[ORDERS].conn;
            self.odd(conn, OddKind::Refused, out);
            self.standing.dead_man_due = now + DEAD_MAN_AGAIN;
        }
        self.state_armed(armed, out);
    }
}
