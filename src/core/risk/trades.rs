//! What risk knows of each trade: its net quantity per listing and its result, to tell a failed or lost
//! trade from a won one and a true hedge from an entry in disguise. Knows nothing of why it was entered.

use crate::core::position::{Position, to_quote};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::intent::{Basket, LEGS_MAX, TradeId};
use crate::domain::money::{Amount, Money};
use crate::domain::order::OrderUpdate;
use crate::domain::state::sparse;
use serde::{Deserialize, Serialize};

/// Trades remembered; the oldest without open orders is forgotten first, and flat ones before those that hold
/// something: a forgotten trade's hedges could not be told from entries.
const TRADES_MAX: usize = 256;
/// Places that a trade may take.
const PLACES: usize = 8;

/// How a trade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Flat with a profit.
    Won,
    /// Flat with a loss.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Leg {
    instrument: InstrumentId,
    position: Position,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Trade {
    id: TradeId,
    /// Rises with every new trade; 0 = free slot.
    serial: u64,
    /// Baskets whose orders are not all closed.
    baskets: u16,
    /// Already counted as failed.
    failed: bool,
    len: u8,
    legs: [Leg; LEGS_MAX],
}

impl Trade {
    fn is_flat(&self) -> bool {
        self.legs[..usize::from(self.len)].iter().all(|leg| leg.position.qty == 0)
    }
}

/// Recent trades.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trades {
    #[serde(with = "sparse")]
    rows: Vec<Trade>,
    serial: u64,
}

impl Trades {
    /// None, with all its room.
    pub fn new() -> Self {
        Self { rows: vec![Trade::default(); TRADES_MAX], serial: 0 }
    }

    /// A basket of the trade was admitted.
    pub fn begin(&mut self, id: TradeId) {
        let at = match self.find(id) {
            Some(at) => at,
            None => {
                let idle = places(id).filter(|at| self.rows[*at].baskets == 0);
                let age = |at: &usize| (!self.rows[*at].is_flat(), self.rows[*at].serial);
                let Some(at) = idle.min_by_key(age) else { return };
                self.serial += 1;
                self.rows[at] = Trade { id, serial: self.serial, ..Trade::default() };
                at
            }
        };
        self.rows[at].baskets = self.rows[at].baskets.saturating_add(1);
    }

    /// Books a fill of one of the trade's orders.
    pub fn book(&mut self, id: TradeId, update: &OrderUpdate, instrument: &Instrument, fee: Money) {
        let Some(at) = self.find(id) else { return };
        let trade = &mut self.rows[at];
        let used = &trade.legs[..usize::from(trade.len)];
        let leg = match used.iter().position(|leg| leg.instrument == update.instrument) {
            Some(leg) => leg,
            None if usize::from(trade.len) < LEGS_MAX => {
                trade.len += 1;
                usize::from(trade.len) - 1
            }
            None => return,
        };
        let leg = &mut trade.legs[leg];
        leg.instrument = update.instrument;
        leg.position.book(instrument, update.side, update.fill_qty, update.fill_price);
        leg.position.fees += fee;
        leg.position.mark = Some(update.fill_price);
    }

    /// All orders of a basket are closed. `failed` counts once per trade (returned as `true`); a trade that
    /// was not counted gets its verdict when it is flat.
    pub fn finish(
        &mut self,
        id: TradeId,
        failed: bool,
        instrument: impl Fn(InstrumentId) -> Option<Instrument>,
    ) -> (bool, Option<Verdict>) {
        let Some(at) = self.find(id) else { return (failed, None) };
        let trade = &mut self.rows[at];
        trade.baskets = trade.baskets.saturating_sub(1);
        let newly_failed = failed && !trade.failed;
        trade.failed |= failed;
        let legs = &trade.legs[..usize::from(trade.len)];
        let closed = trade.baskets == 0 && !legs.is_empty() && trade.is_flat();
        if !closed {
            return (newly_failed, None);
        }
        let result = legs.iter().fold(Money::ZERO, |sum, leg| {
            let Some(instrument) = instrument(leg.instrument) else { return sum };
            sum + to_quote(&instrument, leg.position.realised - leg.position.fees, leg.position.mark)
        });
        let counted = trade.failed;
        trade.len = 0;
        let verdict = if result < Money::ZERO { Verdict::Lost } else { Verdict::Won };
        (newly_failed, (!counted).then_some(verdict))
    }

    /// True when the basket's orders bring the trade's net base amount towards zero, not beyond it by more
    /// than one step.
    pub fn reduces(&self, basket: &Basket, instrument: impl Fn(InstrumentId) -> Option<Instrument>) -> bool {
        let Some(at) = self.find(basket.trade) else { return false };
        let trade = &self.rows[at];
        let mut net = Amount::ZERO;
        for leg in &trade.legs[..usize::from(trade.len)] {
            let Some(instrument) = instrument(leg.instrument) else { return false };
            net += signed_base(&instrument, leg.position.qty, leg.position.mark.unwrap_or_default());
        }
        let (mut change, mut step) = (Amount::ZERO, Amount::ZERO);
        for order in basket.orders() {
            let Some(instrument) = instrument(order.instrument) else { return false };
            change += signed_base(&instrument, order.side.sign() * order.qty.0, order.price);
            step = step.max(instrument.base_amount(Qty(instrument.step), order.price));
        }
        (change > Amount::ZERO) != (net > Amount::ZERO)
            && change.abs() <= net.abs() + step
            && net != Amount::ZERO
    }

    fn find(&self, id: TradeId) -> Option<usize> {
        places(id).find(|at| self.rows[*at].serial > 0 && self.rows[*at].id == id)
    }
}

/// Where a trade may stand: few places, so that finding one is cheap; ids are consecutive, so they spread.
fn places(id: TradeId) -> impl Iterator<Item = usize> {
    (0..PLACES).map(move |step| (id.0 as usize).wrapping_add(step) % TRADES_MAX)
}

fn signed_base(instrument: &Instrument, qty: i64, price: Price) -> Amount {
    let base = instrument.base_amount(Qty(qty.saturating_abs()), price);
    if qty < 0 { -base } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::Side;

    #[test]
    fn a_trade_that_holds_something_is_remembered_before_one_that_is_flat() {
        let instrument = Instrument { step: 1, ..Instrument::default() };
        let mut trades = Trades::new();
        let fill =
            OrderUpdate { side: Side::Buy, fill_qty: Qty(1), fill_price: Price(1), ..OrderUpdate::default() };
        trades.begin(TradeId(1));
        trades.book(TradeId(1), &fill, &instrument, Money::ZERO);
        trades.finish(TradeId(1), false, |_| Some(instrument));
        // Newer trades fill every place that the first one shares with one to come.
        for id in (2..=PLACES as u32).chain([1 + TRADES_MAX as u32]) {
            trades.begin(TradeId(id));
            trades.finish(TradeId(id), false, |_| Some(instrument));
        }
        assert!(trades.find(TradeId(1)).is_some(), "it is still open");
        assert!(trades.find(TradeId(2)).is_none(), "the oldest flat one gave way");
        assert!(trades.find(TradeId(1 + TRADES_MAX as u32)).is_some());
    }
}
