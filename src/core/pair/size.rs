//! The common size of two legs: one base amount that both venues' steps and limits permit.

use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::money::{Amount, MONEY_UNIT, Money};
use crate::domain::number::POW10;

/// The intended quantities of both legs, equal in base as nearly as the steps permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Contracts of each leg.
    pub qty: [Qty; 2],
}

/// Solves both legs' steps and limits for a notional at a mid price; `None` when a leg falls below its
/// minimum or the contracts cannot be compared.
pub fn common_size(a: &Instrument, b: &Instrument, notional: i64, mid: Price) -> Option<Size> {
    if mid.0 <= 0 || !are_comparable(a, b) {
        return None;
    }
    let unit = i128::from(*POW10.get(usize::from(a.price_scale))?);
    let wanted = i128::from(notional).checked_mul(MONEY_UNIT)?.checked_mul(unit)? / i128::from(mid.0);
    let mut qty_a = a.qty_for_base(Money(wanted), mid).min(floor_to_step(a));
    let mut qty_b = Qty(0);
    // Each round takes the smaller of both amounts down to the other's step; they meet on a common
    // multiple, or (incommensurable steps) stop within one step of each other.
    for _ in 0..16 {
        let base_a = a.base_amount(qty_a, mid);
        qty_b = b.qty_for_base(base_a, mid).min(floor_to_step(b));
        let base_b = b.base_amount(qty_b, mid);
        if base_a == base_b {
            break;
        }
        let next = a.qty_for_base(base_b, mid);
        if next == qty_a {
            break;
        }
        qty_a = next;
    }
    let fits = accepts(a, qty_a, mid) && accepts(b, qty_b, mid);
    let gap = (a.base_amount(qty_a, mid) - b.base_amount(qty_b, mid)).abs();
    (fits && gap < coarser_step(a, b, mid)).then_some(Size { qty: [qty_a, qty_b] })
}

/// The larger base amount of one step of either contract.
pub fn coarser_step(a: &Instrument, b: &Instrument, mid: Price) -> Amount {
    a.base_amount(Qty(a.step), mid).max(b.base_amount(Qty(b.step), mid))
}

/// True when the venue takes an order of this quantity that opens a position. The notional keeps 2 %
/// above the venue's minimum, since the venue may measure it at another price.
pub fn accepts(instrument: &Instrument, qty: Qty, mid: Price) -> bool {
    let minimum = Money::from_num(instrument.spec.notional_min).0;
    qty.0 > 0
        && qty >= instrument.qty_min
        && qty <= instrument.qty_max
        && instrument.notional(qty, mid).0 >= minimum.saturating_add(minimum / 50)
}

/// Same money on both sides, one price scale: USDT, USDC and USD are different currencies.
pub fn are_comparable(a: &Instrument, b: &Instrument) -> bool {
    a.base == b.base
        && a.quote == b.quote
        && a.settle == b.settle
        && a.spec.kind == b.spec.kind
        && a.price_scale == b.price_scale
}

/// The largest order quantity that is a multiple of the step.
fn floor_to_step(instrument: &Instrument) -> Qty {
    Qty(instrument.qty_max.0 / instrument.step.max(1) * instrument.step.max(1))
}
