//! Positions and profit, from booked fills only, exact to 10⁻¹⁸ of the settlement currency.
//!
//! Every fill is a cash flow; a position is worth what closing it at the mark would bring. Total profit =
//! cash flows + value at the mark − fees + funding, an identity that no rounding enters for linear
//! contracts. Flows of inverse contracts (face ÷ price) are rounded against us at 10⁻¹⁸. The split into
//! realised and unrealised uses the average cost: closing part of a position releases that part of its
//! cost, rounded down; the rest stays with the position, so the sum is always exact.
//!
//! Amounts in the settlement currency become quote amounts at par for linear contracts and at the mark
//! for inverse ones. Knows no limits: see `limits` and `risk`.

use super::digest::Digest;
use super::order::entry::rescale;
use crate::domain::carry::CarriedPosition;
use crate::domain::event::{FundingPayment, PositionReport};
use crate::domain::instrument::{CanonicalId, ContractKind, Instrument, InstrumentId, Price, Qty, VenueId};
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::money::{Amount, Money};
use crate::domain::number::POW10;
use crate::domain::order::{OrderUpdate, Side};
use crate::domain::params::EngineParams;
use crate::domain::text::Currency;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// A venue's statement must contradict ours for this long before it counts as a discrepancy: position
/// and order messages are not ordered against each other, ns.
pub const DISCREPANCY_AFTER: Nanos = 2 * SECOND;

/// Nanoseconds of a UTC day.
const DAY: Nanos = 86_400 * SECOND;

/// What a listing's fills amount to; amounts in the settlement currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Signed contracts: long > 0.
    pub qty: i64,
    /// Cash flow of what is open: negative for a linear long (paid), positive for a short.
    pub open_cash: Money,
    /// Profit of what was closed.
    pub realised: Money,
    /// Fees paid in the settlement currency (negative = rebates).
    pub fees: Money,
    /// Fees paid in other currencies, estimated at the taker rate (they have no rate here).
    pub fees_estimated: Money,
    /// Funding received (negative = paid).
    pub funding: Money,
    /// Last mid, or the last fill before there is one.
    pub mark: Option<Price>,
}

/// A position for views and reports; amounts in the settlement currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionView {
    /// Listing.
    pub instrument: Instrument,
    /// What the fills amount to.
    pub position: Position,
    /// Profit if it were closed at the mark.
    pub unrealised: Money,
    /// Signed contracts that the venue states, where it has.
    pub venue_qty: Option<i64>,
    /// The venue has contradicted ours for longer than [`DISCREPANCY_AFTER`].
    pub discrepant: bool,
}

/// Sums in the quote currency (quote currencies are added at par).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Profit of what was closed.
    pub realised: Money,
    /// Profit of what is open, at the mark.
    pub unrealised: Money,
    /// Fees paid, estimates of foreign currencies included.
    pub fees: Money,
    /// Funding received.
    pub funding: Money,
}

impl Totals {
    /// What remains.
    pub fn net(&self) -> Money {
        self.realised + self.unrealised - self.fees + self.funding
    }

    fn add(&mut self, other: &Self) {
        self.realised += other.realised;
        self.unrealised += other.unrealised;
        self.fees += other.fees;
        self.funding += other.funding;
    }

    fn subtract(&mut self, other: &Self) {
        self.realised -= other.realised;
        self.unrealised -= other.unrealised;
        self.fees -= other.fees;
        self.funding -= other.funding;
    }
}

/// An amount of a currency at a venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueAmount {
    /// Venue.
    pub venue: VenueId,
    /// Currency.
    pub currency: Currency,
    /// Exact amount.
    pub amount: Money,
}

/// The venue's statement beside ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stated {
    qty: Option<i64>,
    differs: bool,
    /// `mono` since which it differs from ours.
    differs_since: Option<Nanos>,
    discrepant: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    instrument: Instrument,
    position: Position,
    stated: Stated,
    /// What this row contributes to the totals.
    totals: Totals,
}

/// All positions of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Positions {
    rows: Vec<Row>,
    taker_fee_ppb: Vec<Ppb>,
    fees: Vec<VenueAmount>,
    funding: Vec<VenueAmount>,
    totals: Totals,
    day: Option<i64>,
    /// Net total when the day began.
    day_base: Money,
    discrepancies: u64,
    /// Listings that differ from the venue's statement, discrepant or not yet.
    differing: u32,
    unknown_fills: u64,
    digest: Digest,
}

impl Positions {
    /// No positions; room for every configured listing.
    pub fn new(params: &EngineParams) -> Self {
        Self {
            rows: vec![Row::default(); params.listings.len()],
            taker_fee_ppb: params.venues.iter().map(|venue| venue.taker_fee_ppb).collect(),
            fees: Vec::with_capacity(64),
            funding: Vec::with_capacity(64),
            totals: Totals::default(),
            day: None,
            day_base: Money::ZERO,
            discrepancies: 0,
            differing: 0,
            unknown_fills: 0,
            digest: Digest::new(),
        }
    }

    /// The instant of an event: begins a new day of the daily result at 00:00 UTC.
    pub fn on_time(&mut self, wall: Nanos) {
        let day = wall.div_euclid(DAY);
        if self.day != Some(day) {
            if self.day.is_some() {
                self.day_base = self.totals.net();
            }
            self.day = Some(day);
        }
    }

    /// A listing was (re)defined: quantities and the mark follow its scales.
    pub fn on_instrument(&mut self, instrument: &Instrument) {
        let Some(row) = self.rows.get_mut(instrument.id.index()) else { return };
        let before = std::mem::replace(&mut row.instrument, *instrument);
        if before.generation > 0 {
            let qty = |value| rescale(value, before.qty_scale, instrument.qty_scale);
            match qty(row.position.qty) {
                Some(value) => row.position.qty = value,
                // Dust finer than the venue can hold: the venue's own statement decides, as a discrepancy.
                None => self.unknown_fills += 1,
            }
            row.stated.qty = row.stated.qty.and_then(qty);
            row.position.mark = row
                .position
                .mark
                .and_then(|mark| rescale(mark.0, before.price_scale, instrument.price_scale))
                .map(Price);
        }
        self.compare(instrument.id, None);
        self.revalue(instrument.id);
    }

    /// Books the fill of an update, if it has one. The ledger sees to it that each comes once.
    pub fn on_update(&mut self, update: &OrderUpdate) {
        if update.fill_qty.0 <= 0 {
            return;
        }
        let id = update.instrument;
        let Some(row) = self.rows.get_mut(id.index()).filter(|row| row.instrument.generation > 0) else {
            self.unknown_fills += 1;
            return;
        };
        let (exact, estimated) = fee_of(&row.instrument, update, &self.taker_fee_ppb);
        let (instrument, position) = (&row.instrument, &mut row.position);
        position.book(instrument, update.side, update.fill_qty, update.fill_price);
        if position.mark.is_none() {
            position.mark = Some(update.fill_price);
        }
        position.fees += exact;
        position.fees_estimated += estimated;
        self.digest.mix(u64::from(id.0));
        self.digest.mix(position.qty as u64);
        self.digest.mix_wide(position.open_cash.0);
        self.digest.mix_wide(position.realised.0);
        self.digest.mix_wide(update.fee.0);
        add_amount(&mut self.fees, update.venue, update.fee_currency, update.fee);
        self.compare(id, None);
        self.revalue(id);
    }

    /// The fee of a fill in the settlement currency: the exact part, and the part that is estimated at the taker rate
    /// because it was paid in a currency without a rate here.
    pub fn fee_of(&self, instrument: &Instrument, update: &OrderUpdate) -> (Money, Money) {
        fee_of(instrument, update, &self.taker_fee_ppb)
    }

    /// The mid of a listing.
    pub fn on_mid(&mut self, id: InstrumentId, mid: Price) {
        if let Some(row) = self.rows.get_mut(id.index())
            && mid.0 > 0
        {
            row.position.mark = Some(mid);
            self.revalue(id);
        }
    }

    /// Funding was paid or received.
    pub fn on_funding(&mut self, payment: &FundingPayment) {
        add_amount(&mut self.funding, payment.venue, payment.currency, payment.amount);
        self.digest.mix_wide(payment.amount.0);
        let settles =
            |row: &Row| row.instrument.venue == payment.venue && row.instrument.settle == payment.currency;
        let named = payment.instrument.and_then(|id| self.rows.get(id.index())).filter(|row| settles(row));
        // A venue that names no listing (Binance, cross margin) pays in a currency that its contracts settle in.
        let Some(of) = named.or_else(|| self.rows.iter().find(|row| settles(row))) else { return };
        if named.is_none() && of.instrument.spec.kind == ContractKind::Linear {
            // At par, whichever of them it was; coins are worth what the contract's mark says.
            self.totals.funding += payment.amount;
            return;
        }
        let id = of.instrument.id;
        if let Some(row) = self.rows.get_mut(id.index()) {
            row.position.funding += payment.amount;
            self.revalue(id);
        }
    }

    /// The venue's statement of a position; `now` is `mono`.
    pub fn on_report(&mut self, report: &PositionReport, now: Nanos) {
        if let Some(row) = self.rows.get_mut(report.instrument.index()) {
            row.stated.qty = Some(report.qty);
            self.compare(report.instrument, Some(now));
        }
    }

    /// Time passed: statements that contradict ours for too long become discrepancies. True when one did.
    pub fn on_tick(&mut self, now: Nanos) -> bool {
        if self.differing == 0 {
            return false;
        }
        let mut found = false;
        for row in &mut self.rows {
            let stated = &mut row.stated;
            if !stated.differs || stated.discrepant {
                continue;
            }
            let since = *stated.differs_since.get_or_insert(now);
            if now - since >= DISCREPANCY_AFTER {
                stated.discrepant = true;
                self.discrepancies += 1;
                self.digest.mix(u64::from(row.instrument.id.0));
                found = true;
            }
        }
        found
    }

    /// A listing's position; flat when unknown.
    pub fn get(&self, id: InstrumentId) -> Position {
        self.rows.get(id.index()).map(|row| row.position).unwrap_or_default()
    }

    /// A listing, once defined.
    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.rows.get(id.index()).map(|row| &row.instrument).filter(|instrument| instrument.generation > 0)
    }

    /// Largest absolute position that has to be reckoned with: ours, or the venue's where it has
    /// contradicted ours for long.
    pub fn worst_qty(&self, id: InstrumentId) -> i64 {
        let Some(row) = self.rows.get(id.index()) else { return 0 };
        let stated = if row.stated.discrepant { row.stated.qty.unwrap_or(0) } else { 0 };
        row.position.qty.saturating_abs().max(stated.saturating_abs())
    }

    /// Profit of the open position at the mark, settlement currency.
    pub fn unrealised(&self, id: InstrumentId) -> Money {
        self.rows.get(id.index()).map_or(Money::ZERO, |row| row.position.unrealised(&row.instrument))
    }

    /// Every listing that has (or had) a position or a statement of the venue.
    pub fn positions(&self) -> impl Iterator<Item = PositionView> + '_ {
        self.rows.iter().filter(|row| row.position != Position::default() || row.stated.qty.is_some()).map(
            |row| PositionView {
                instrument: row.instrument,
                position: row.position,
                unrealised: row.position.unrealised(&row.instrument),
                venue_qty: row.stated.qty,
                discrepant: row.stated.discrepant,
            },
        )
    }

    /// Net base amount over all listings of a canonical instrument: what is unhedged.
    pub fn net_base(&self, canonical: CanonicalId) -> Amount {
        self.rows.iter().filter(|row| row.instrument.canonical == canonical && row.position.qty != 0).fold(
            Amount::ZERO,
            |sum, row| {
                let qty = row.position.qty;
                let base = row
                    .instrument
                    .base_amount(Qty(qty.saturating_abs()), row.position.mark.unwrap_or_default());
                if qty < 0 { sum - base } else { sum + base }
            },
        )
    }

    /// Notional of what is held of each instrument on all venues together, quote currency: perfectly hedged legs
    /// sum to nothing.
    pub fn unhedged(&self) -> Money {
        let mut nets: Vec<(CanonicalId, Money)> = Vec::new();
        for Row { instrument, position, .. } in self.rows.iter().filter(|row| row.position.qty != 0) {
            let Some(mark) = position.mark else { continue };
            let notional = instrument.notional(Qty(position.qty.saturating_abs()), mark);
            let signed = if position.qty < 0 { -notional } else { notional };
            match nets.iter_mut().find(|(canonical, _)| *canonical == instrument.canonical) {
                Some((_, net)) => *net += signed,
                None => nets.push((instrument.canonical, signed)),
            }
        }
        nets.into_iter().fold(Money::ZERO, |sum, (_, net)| sum + net.abs())
    }

    /// Sums over everything, quote currency.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Net result since 00:00 UTC, fees and unrealised included; negative = loss.
    pub fn daily(&self) -> Money {
        self.totals.net() - self.day_base
    }

    /// The UTC day of [`Positions::daily`], in days since 1970-01-01.
    pub fn day(&self) -> i64 {
        self.day.unwrap_or(0)
    }

    /// What the run before held, in the scales of the listing, which is defined. Its results stay with that run, but for
    /// what the open part is to bring.
    pub fn adopt(&mut self, carried: &CarriedPosition) {
        let id = carried.instrument;
        let Some(row) = self.rows.get_mut(id.index()).filter(|row| row.instrument.generation > 0) else {
            self.unknown_fills += 1;
            return;
        };
        let CarriedPosition { qty, open_cash, mark, .. } = *carried;
        row.position = Position { qty, open_cash, mark, ..Position::default() };
        self.digest.mix(u64::from(id.0));
        self.digest.mix(qty as u64);
        self.digest.mix_wide(open_cash.0);
        self.compare(id, None);
        self.revalue(id);
    }

    /// Goes on with a day of which `daily` was the result so far, unless that day is over.
    pub fn resume_day(&mut self, day: i64, daily: Money) {
        // A clock that was set back makes no new day.
        let so_far = if self.day.is_some_and(|today| today <= day) { daily } else { Money::ZERO };
        self.day_base = self.totals.net() - so_far;
    }

    /// Exact fees paid per venue and currency.
    pub fn fees(&self) -> &[VenueAmount] {
        &self.fees
    }

    /// Exact funding received per venue and currency.
    pub fn funding(&self) -> &[VenueAmount] {
        &self.funding
    }

    /// How often a venue's statement contradicted our fills for longer than [`DISCREPANCY_AFTER`].
    pub const fn discrepancies(&self) -> u64 {
        self.discrepancies
    }

    /// Fills and quantities that could not be attributed to a defined listing.
    pub const fn unknown_fills(&self) -> u64 {
        self.unknown_fills
    }

    /// Digest of everything booked.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// Brings the statement beside our own number up to date. A fill (without `now`) restarts the clock, as
    /// the venue's next statement may be on its way; the next tick sets it.
    fn compare(&mut self, id: InstrumentId, now: Option<Nanos>) {
        let Some(row) = self.rows.get_mut(id.index()) else { return };
        let (stated, qty) = (&mut row.stated, row.position.qty);
        let before = std::mem::replace(&mut stated.differs, stated.qty.is_some_and(|stated| stated != qty));
        self.differing = self.differing + u32::from(stated.differs) - u32::from(before);
        if stated.differs {
            stated.differs_since = now.and(stated.differs_since).or(now);
        } else {
            (stated.differs_since, stated.discrepant) = (None, false);
        }
    }

    /// Replaces what a listing contributes to the totals.
    fn revalue(&mut self, id: InstrumentId) {
        let Some(row) = self.rows.get_mut(id.index()) else { return };
        let (instrument, position) = (&row.instrument, &row.position);
        let quote = |amount: Money| to_quote(instrument, amount, position.mark);
        let totals = Totals {
            realised: quote(position.realised),
            unrealised: quote(position.unrealised(instrument)),
            fees: quote(position.fees + position.fees_estimated),
            funding: quote(position.funding),
        };
        self.totals.subtract(&row.totals);
        self.totals.add(&totals);
        row.totals = totals;
    }
}

impl Position {
    /// Books a fill at average cost.
    pub fn book(&mut self, instrument: &Instrument, side: Side, qty: Qty, price: Price) {
        let flow = cash_flow(instrument, side, qty, price);
        let signed = side.sign() * qty.0;
        let opposite = self.qty != 0 && (self.qty > 0) != (signed > 0);
        if opposite {
            let held = self.qty.saturating_abs();
            let closed = held.min(qty.0);
            let close_flow =
                if closed == qty.0 { flow } else { cash_flow(instrument, side, Qty(closed), price) };
            let cost = if closed == held { self.open_cash } else { mul_div(self.open_cash, closed, held) };
            self.realised += cost + close_flow;
            self.open_cash += flow - close_flow - cost;
        } else {
            self.open_cash += flow;
        }
        self.qty += signed;
    }

    /// Profit if it were closed at the mark, settlement currency.
    pub fn unrealised(&self, instrument: &Instrument) -> Money {
        match self.mark {
            Some(mark) if self.qty != 0 => {
                let side = if self.qty > 0 { Side::Sell } else { Side::Buy };
                self.open_cash + cash_flow(instrument, side, Qty(self.qty.saturating_abs()), mark)
            }
            _ => Money::ZERO,
        }
    }
}

/// Cash that a fill moves, settlement currency: positive = received. For an inverse contract, buying
/// fixes face ÷ price of base to be received, selling the same to be paid; rounded against us.
pub fn cash_flow(instrument: &Instrument, side: Side, qty: Qty, price: Price) -> Money {
    match (instrument.spec.kind, side) {
        (ContractKind::Linear, Side::Buy) => -instrument.notional(qty, price),
        (ContractKind::Linear, Side::Sell) => instrument.notional(qty, price),
        (ContractKind::Inverse, Side::Buy) => instrument.base_amount(qty, price),
        (ContractKind::Inverse, Side::Sell) => {
            let down = instrument.base_amount(qty, price);
            let face =
                instrument.notional(qty, price).0 * i128::from(POW10[usize::from(instrument.price_scale)]);
            let exact = price.0 != 0 && face % i128::from(price.0) == 0;
            -Money(down.0 + i128::from(!exact))
        }
    }
}

/// Value of `qty` contracts at `price` in the settlement currency, unsigned.
pub fn settled(instrument: &Instrument, qty: Qty, price: Price) -> Money {
    match instrument.spec.kind {
        ContractKind::Linear => instrument.notional(qty, price),
        ContractKind::Inverse => instrument.base_amount(qty, price),
    }
}

/// A settlement-currency amount in the quote currency.
pub fn to_quote(instrument: &Instrument, amount: Money, mark: Option<Price>) -> Money {
    match (instrument.spec.kind, mark) {
        (ContractKind::Linear, _) => amount,
        (ContractKind::Inverse, Some(mark)) => {
            mul_div(amount, mark.0, POW10[usize::from(instrument.price_scale)])
        }
        (ContractKind::Inverse, None) => Money::ZERO,
    }
}

/// `amount × by ÷ over`, rounded down, without overflow as long as the result fits; 0 when `over` is 0.
pub fn mul_div(amount: Money, by: i64, over: i64) -> Money {
    let (by, over) = (i128::from(by), i128::from(over));
    if over == 0 {
        return Money::ZERO;
    }
    // Both products fit: the whole part as the result does, the remainder below 2^126.
    let (whole, rest) = (amount.0.div_euclid(over), amount.0.rem_euclid(over));
    Money(whole.saturating_mul(by) + (rest * by).div_euclid(over))
}

/// `amount × by ÷ over`, rounded up.
pub fn mul_div_up(amount: Money, by: i64, over: i64) -> Money {
    -mul_div(-amount, by, over)
}

fn fee_of(instrument: &Instrument, update: &OrderUpdate, taker_fee_ppb: &[Ppb]) -> (Money, Money) {
    if update.fee_currency == instrument.settle || update.fee <= Money::ZERO {
        let exact = if update.fee_currency == instrument.settle { update.fee } else { Money::ZERO };
        return (exact, Money::ZERO);
    }
    let value = settled(instrument, update.fill_qty, update.fill_price);
    let rate = taker_fee_ppb.get(update.venue.index()).copied().unwrap_or(0);
    (Money::ZERO, mul_div_up(value, rate, ONE_PPB))
}

fn add_amount(rows: &mut Vec<VenueAmount>, venue: VenueId, currency: Currency, amount: Money) {
    if amount == Money::ZERO {
        return;
    }
    match rows.iter_mut().find(|row| row.venue == venue && row.currency == currency) {
        Some(row) => row.amount += amount,
        None => rows.push(VenueAmount { venue, currency, amount }),
    }
}

#[cfg(test)]
mod tests;
