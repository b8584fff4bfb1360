//! What the venue says of our account before it may trade, of its time and of its limits: replies → start checks, a
//! clock sample, a grant.
//!
//! Values are counted as [`Check`] documents them. Whether a finding holds the venue is decided in `core`. Positions
//! are always net, and the margin of a currency always serves all its positions: that is stated as it is.

use super::account::one_or_several;
use super::adapter::DeribitAdapter;
use super::asks::Ask;
use super::calls::currency_of;
use super::credits::Pool;
use super::market::nanos;
use super::parse::{Result, cut};
use super::rows;
use crate::domain::event::EventBody;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::number::{Num, POW10};
use crate::domain::order::ClientId;
use crate::domain::params::VenueParams;
use crate::domain::standing::{Check, CheckSet, ClockSample, Grant};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::Out;
use crate::venue::json::{Cursor, Kind};
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
/// Requests to the matching engine that every account is granted: at once, and in 10 s.
const LEAST_GRANT: (u32, u32) = (20, 50);
/// Seconds between heartbeats that the venue allows.
const HEARTBEAT: std::ops::RangeInclusive<u64> = 10..=3_600;

/// What is read back.
pub(super) const CHECKS: CheckSet = CheckSet::of(&[
    Check::PositionMode,
    Check::MarginMode,
    Check::MarginModel,
    Check::AssetMode,
    Check::Leverage,
    Check::SelfTrade,
    Check::Fee,
    Check::Permission,
    Check::ForeignOrders,
    Check::Clock,
]);

/// What is configured, and how far the questions are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    leverage: i64,
    fee: Ppb,
    /// Seconds of silence after which the venue shall cancel; 0 = it shall not.
    dead_man_s: u64,
    times: u32,
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
        }
    }

    /// Whether orders shall end with their connection.
    pub const fn cancels_on_disconnect(&self) -> bool {
        self.dead_man_s > 0
    }

    /// Seconds between heartbeats of the order connection. One that is dead on our side only is cut when a test
    /// request was not answered by the next: after two of them.
    pub fn order_heartbeat_s(&self) -> u64 {
        (self.dead_man_s / 2).clamp(*HEARTBEAT.start(), *HEARTBEAT.end())
    }
}

/// What a listing's metadata say beside its specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// `taker_commission`: the fee without discounts.
    pub taker: Option<Num>,
    /// `max_leverage`.
    pub leverage_max: Option<Num>,
    /// `price_index`, which fees are stated by.
    pub index: Symbol,
}

/// A decimal in ppb, rounded up.
fn ppb_up(num: Num) -> Option<Ppb> {
    let unit = i128::from(*POW10.get(usize::from(num.scale))?);
    let scaled = i128::from(num.mantissa) * i128::from(ONE_PPB);
    i64::try_from(-(-scaled).div_euclid(unit)).ok()
}

/// The product of two decimals in ppb, rounded up.
fn product_ppb(a: Num, b: Num) -> Option<Ppb> {
    let unit = i128::from(*POW10.get(usize::from(a.scale))?) * i128::from(*POW10.get(usize::from(b.scale))?);
    let scaled =
        i128::from(a.mantissa).checked_mul(i128::from(b.mantissa))?.checked_mul(i128::from(ONE_PPB))?;
    i64::try_from(-(-scaled).div_euclid(unit)).ok()
}

/// Requests a second and at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rate {
    rate: Option<u32>,
    burst: Option<u32>,
}

impl Rate {
    /// The smaller of both, part by part.
    fn least(self, other: Self) -> Self {
        let least = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        Self { rate: least(self.rate, other.rate), burst: least(self.burst, other.burst) }
    }

    /// The rates of an object: its own, and those of its groups that `concerns` us; of several the least.
    fn read(c: &mut Cursor<'_>, concerns: &dyn Fn(&[u8]) -> bool) -> Result<Self> {
        let (mut own, mut inner) = (Self::default(), Self::default());
        c.object(|key, c| {
            match (key, c.kind()?) {
                (b"rate", Kind::Number) => own.rate = count(c)?,
                (b"burst", Kind::Number) => own.burst = count(c)?,
                (group, Kind::Object) if concerns(group) => inner = inner.least(Self::read(c, &|_| false)?),
                _ => c.skip()?,
            }
            Ok(())
        })?;
        Ok(own.least(inner))
    }
}

/// A count, which may come as a float; what lies beyond is as much as can be counted.
fn count(c: &mut Cursor<'_>) -> Result<Option<u32>> {
    let num = cut(c.number()?).filter(|num| num.mantissa >= 0).ok_or(DecodeError::Field("rate"))?;
    let whole = num.mantissa / POW10.get(usize::from(num.scale)).copied().unwrap_or(i64::MAX);
    Ok(Some(u32::try_from(whole).unwrap_or(u32::MAX)))
}

/// What the account's summary of one currency says of its settings.
#[derive(Default)]
struct Summary<'a> {
    currency: &'a [u8],
    model: &'a [u8],
    portfolio: Option<bool>,
    cross: Option<bool>,
    limits: Option<Cursor<'a>>,
    fees: Option<Cursor<'a>>,
}

impl<'a> Summary<'a> {
    fn read(c: &mut Cursor<'a>) -> Result<Self> {
        let mut row = Self::default();
        c.object(|key, c| {
            match key {
                b"currency" => row.currency = c.string()?,
                b"margin_model" => row.model = c.string()?,
                b"portfolio_margining_enabled" => row.portfolio = Some(c.boolean("portfolio")?),
                b"cross_collateral_enabled" => row.cross = Some(c.boolean("cross")?),
                b"limits" if c.kind()? == Kind::Object => {
                    row.limits = Some(*c);
                    c.skip()?;
                }
                b"fees" if c.kind()? != Kind::Null => {
                    row.fees = Some(*c);
                    c.skip()?;
                }
                _ => c.skip()?,
            }
            Ok(())
        })?;
        Ok(row)
    }

    /// What is granted of orders on `symbol` and their cancels, and of other requests. Quotes, block trades, spot and
    /// what else there may be have limits of their own, which are not ours.
    fn limits(&self, symbol: &Symbol) -> Result<(Rate, Rate)> {
        let (mut matching, mut other) = (Rate::default(), Rate::default());
        let Some(mut limits) = self.limits else { return Ok((matching, other)) };
        let pair = symbol.as_str().split('-').next().unwrap_or_default().as_bytes();
        let concerns = |group: &[u8]| {
            matches!(group, b"total" | b"perpetual" | b"perpetuals")
                || group.eq_ignore_ascii_case(self.currency)
                || group.eq_ignore_ascii_case(pair)
        };
        limits.object(|key, c| {
            match (key, c.kind()?) {
                (b"non_matching_engine", Kind::Object) => other = Rate::read(c, &|_| false)?,
                (b"matching_engine", Kind::Object) => c.object(|key, c| {
                    let stated = match (key, c.kind()?) {
                        (b"trading", Kind::Object) => Rate::read(c, &concerns)?,
                        // Once it stood here without groups.
                        (b"rate", Kind::Number) => Rate { rate: count(c)?, burst: None },
                        (b"burst", Kind::Number) => Rate { rate: None, burst: count(c)? },
                        _ => return c.skip(),
                    };
                    matching = matching.least(stated);
                    Ok(())
                })?,
                _ => c.skip()?,
            }
            Ok(())
        })?;
        Ok((matching, other))
    }

    /// Standard margin: model and flag must not contradict.
    fn is_standard(&self) -> bool {
        self.model.ends_with(b"_sm") && self.portfolio != Some(true)
    }

    /// The currency's positions are margined by that currency alone.
    fn is_single(&self) -> bool {
        self.model.starts_with(b"segregated_") && self.cross != Some(true)
    }
}

/// What the fees of a summary say of perpetuals.
fn fees<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(&'a [u8], Num, bool)) -> Result<()> {
    c.array(|c| {
        let (mut index, mut kind): (&[u8], &[u8]) = (b"", b"");
        let (mut taker, mut way): (_, &[u8]) = (None, b"");
        c.object(|key, c| match key {
            b"index_name" => c.string().map(|text| index = text),
            b"kind" => c.string().map(|text| kind = text),
            b"value" => c.object(|key, c| match key {
                b"default" => c.object(|key, c| match key {
                    b"taker" => c.number().map(|text| taker = cut(text)),
                    b"type" => c.string().map(|text| way = text),
                    _ => c.skip(),
                }),
                _ => c.skip(),
            }),
            _ => c.skip(),
        })?;
        if kind != b"perpetual" {
            return Ok(());
        }
        let relative = match way {
            b"fixed" => false,
            b"relative" => true,
            _ => return Err(DecodeError::Field("type")),
        };
        each(index, taker.ok_or(DecodeError::Missing("taker"))?, relative);
        Ok(())
    })
}

impl States for DeribitAdapter {
    fn venue(&self) -> VenueId {
        self.venue
    }
}

impl DeribitAdapter {
    /// States a setting that is right or wrong.
    fn right(&self, check: Check, listing: Option<InstrumentId>, right: bool, out: &mut Out) -> bool {
        self.state(check, listing, (2 - i64::from(right), 1), right, out)
    }

    /// The market connection is up: its time is asked for anew.
    pub fn begin_clock(&mut self, now: Nanos) {
        self.standing.times = 0;
        self.want(Ask::Time, now);
    }

    /// The venue's time, asked at `sent` (`mono`).
    pub fn on_time(&mut self, mut data: Cursor<'_>, sent: Nanos, now: Nanos, out: &mut Out) -> Result<()> {
        let stated = nanos(data.int("result")?);
        if stated <= 0 {
            return Err(DecodeError::Field("result"));
        }
        let venue = self.venue;
        out.event(EventBody::Clock(ClockSample { venue, sent, received: now, stated, resolution: MILLI }));
        self.standing.times += 1;
        let first = self.standing.times < TIMES_FIRST;
        self.want(Ask::Time, now + if first { TIME_PERIOD_FIRST } else { TIME_PERIOD });
        Ok(())
    }

    /// What a login grants; `None` = it was not said.
    pub fn on_scope(&self, scope: Option<&[u8]>, out: &mut Out) {
        if let Some(scope) = scope {
            let may = scope.split(|byte| *byte == b' ').any(|part| part == b"trade:read_write");
            self.right(Check::Permission, None, may, out);
        }
    }

    /// `private/get_account_summaries`, extended: settings, fees and limits. Of the currencies those count in which
    /// our listings are margined.
    pub fn on_settings(&mut self, mut data: Cursor<'_>, now: Nanos, out: &mut Out) -> Result<()> {
        let mut self_trade = None;
        let mut summaries = None;
        data.object(|key, c| {
            match key {
                b"self_trading_reject_mode" => self_trade = Some(c.string()? == b"cancel_maker"),
                b"summaries" => {
                    summaries = Some(*c);
                    c.skip()?;
                }
                _ => c.skip()?,
            }
            Ok(())
        })?;
        let summaries = summaries.ok_or(DecodeError::Missing("summaries"))?;
        let self_trade = self_trade.ok_or(DecodeError::Missing("self_trading_reject_mode"))?;
        let mut good = self.right(Check::SelfTrade, None, self_trade, out);
        let mut told = vec![false; self.listings.len()];
        let mut discounts: Vec<Option<Ppb>> = vec![None; self.listings.len()];
        let (mut matching, mut other) = (Rate::default(), Rate::default());
        let mut rows = summaries;
        rows.array(|c| {
            let row = Summary::read(c)?;
            for (listing, told) in self.listings.iter().zip(&mut told) {
                if currency_of(&listing.symbol).as_bytes() != row.currency {
                    continue;
                }
                if row.model.is_empty() {
                    return Err(DecodeError::Missing("margin_model"));
                }
                *told = true;
                good &= self.right(Check::MarginModel, Some(listing.id), row.is_standard(), out);
                good &= self.right(Check::AssetMode, Some(listing.id), row.is_single(), out);
                let granted = row.limits(&listing.symbol)?;
                (matching, other) = (matching.least(granted.0), other.least(granted.1));
            }
            let Some(mut of_row) = row.fees else { return Ok(()) };
            fees(&mut of_row, |index, taker, relative| {
                for (listing, discount) in self.listings.iter().zip(&mut discounts) {
                    if listing.terms.index.as_bytes() == index {
                        let base = listing.terms.taker.filter(|_| relative);
                        let fee = if relative {
                            base.and_then(|base| product_ppb(base, taker))
                        } else {
                            ppb_up(taker)
                        };
                        // Stated twice, or not to be reckoned: the worst must do.
                        *discount =
                            Some(discount.unwrap_or(fee.unwrap_or(i64::MAX)).max(fee.unwrap_or(i64::MAX)));
                    }
                }
            })
        })?;
        good &= self.right(Check::PositionMode, None, true, out)
            && self.right(Check::MarginMode, None, true, out);
        good &= told.iter().all(|told| *told);
        for (at, discount) in discounts.into_iter().enumerate() {
            good &= self.state_terms(at, discount, out);
        }
        self.granted(matching, other, now, out);
        self.want(Ask::Settings, now + if good { SETTINGS_PERIOD } else { SETTINGS_RETRY });
        Ok(())
    }

    /// Fee and leverage of a listing: what its metadata say, and the account's own fee where that is another.
    fn state_terms(&self, at: usize, discount: Option<Ppb>, out: &mut Out) -> bool {
        let (listing, Standing { leverage, fee, .. }) = (&self.listings[at], self.standing);
        let id = Some(listing.id);
        // Without metadata nothing is stated, and they are followed by another look.
        let (Some(base), Some(most)) = (listing.terms.taker, listing.terms.leverage_max) else {
            return false;
        };
        let Some(taker) = discount.or_else(|| ppb_up(base)) else { return false };
        let good = self.state(Check::Fee, id, (taker, fee), taker <= fee, out);
        // There is no leverage to set. One that the venue does not grant would make margins look too small.
        let most = most.mantissa / POW10.get(usize::from(most.scale)).copied().unwrap_or(i64::MAX);
        self.state(Check::Leverage, id, (most.min(leverage), leverage), most >= leverage, out) && good
    }

    /// What is granted is not exceeded: orders by route, the rest here.
    fn granted(&mut self, matching: Rate, other: Rate, now: Nanos, out: &mut Out) {
        let (least_burst, least_per_10s) = LEAST_GRANT;
        out.event(EventBody::Grant(Grant {
            venue: self.venue,
            burst: matching.burst.unwrap_or(least_burst),
            per_10s: matching.rate.map_or(least_per_10s, |rate| rate.saturating_mul(10)),
            cancels: true,
        }));
        if let (Some(rate), Some(burst)) = (other.rate, other.burst) {
            self.credits[Pool::Account as usize].grant(rate, burst, now);
        }
    }

    /// The open orders were listed: those that are not ours hold the venue until they are gone.
    pub fn on_foreign_counted(&mut self, count: i64, now: Nanos, out: &mut Out) {
        if !self.state(Check::ForeignOrders, None, (count, 0), count == 0, out) {
            self.want(Ask::Foreign, now + SETTINGS_RETRY);
        }
    }

    /// The open orders, looked at for those of others only.
    pub fn on_foreign(&mut self, mut data: Cursor<'_>, now: Nanos, out: &mut Out) -> Result<()> {
        let mut count = 0;
        one_or_several(&mut data, |c| {
            count += i64::from(rows::order(c)?.client_id == ClientId::NONE);
            Ok(())
        })?;
        self.requests[Ask::Foreign as usize].wanted = false;
        self.on_foreign_counted(count, now, out);
        Ok(())
    }
}
