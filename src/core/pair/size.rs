//! The common size of two legs: one base amount that both venues' steps and limits permit.

use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::money::{Amount, MONEY_UNIT, Money};
use crate::domain::number::POW10;
use serde::{Deserialize, Serialize};

/// The intended quantities of both legs, equal in base as nearly as the steps permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::{ContractKind, VenueSpec};
    use crate::domain::number::Num;
    use proptest::prelude::*;

    fn contract(
        kind: ContractKind,
        multiplier: (i64, u8),
        qty_scale: u8,
        step: i64,
        notional_min: i64,
    ) -> Instrument {
        Instrument {
            spec: VenueSpec {
                kind,
                multiplier: Num::new(multiplier.0, multiplier.1),
                notional_min: Num::new(notional_min, 0),
                ..VenueSpec::default()
            },
            price_scale: 3,
            qty_scale,
            tick: 100,
            step,
            qty_min: Qty(step),
            qty_max: Qty(1_000_000_000),
            generation: 1,
            ..Instrument::default()
        }
    }

    const MID: Price = Price(60_000_000);

    #[test]
    fn steps_of_both_venues_are_met_or_nothing_is_sized() {
        let coins = contract(ContractKind::Linear, (1, 0), 4, 10, 5);
        let contracts = contract(ContractKind::Linear, (1, 2), 3, 10, 5);
        assert_eq!(common_size(&coins, &contracts, 1_000, MID), Some(Size { qty: [Qty(160), Qty(1_600)] }));
        assert_eq!(common_size(&contracts, &coins, 1_000, MID), Some(Size { qty: [Qty(1_600), Qty(160)] }));
        // Steps of 0.003 and 0.0004 meet at multiples of 0.006 (0.012 below 0.0166).
        let odd = contract(ContractKind::Linear, (1, 0), 4, 30, 5);
        let fine = contract(ContractKind::Linear, (1, 0), 4, 4, 5);
        assert_eq!(common_size(&odd, &fine, 1_000, MID), Some(Size { qty: [Qty(120), Qty(120)] }));
        assert_eq!(common_size(&coins, &contracts, 59, MID), None, "below a step");
        let dear = contract(ContractKind::Linear, (1, 2), 3, 10, 960);
        assert_eq!(
            common_size(&coins, &dear, 1_000, MID),
            None,
            "960 is worth less than the minimum and its margin"
        );
        let small = Instrument { qty_max: Qty(57), ..coins };
        assert_eq!(common_size(&small, &contracts, 1_000, MID), Some(Size { qty: [Qty(50), Qty(500)] }));
        let inverse = contract(ContractKind::Inverse, (100, 0), 0, 1, 0);
        assert_eq!(common_size(&inverse, &inverse, 1_000, MID), Some(Size { qty: [Qty(10), Qty(10)] }));
        assert_eq!(common_size(&inverse, &coins, 1_000, MID), None, "never compared");
        assert_eq!(common_size(&coins, &contracts, i64::MAX, Price(1)), None, "out of range is no size");
    }

    proptest! {
        #[test]
        fn a_size_fits_both_contracts_and_the_intent(
            step_a in 1i64..500, step_b in 1i64..500, scale_a in 0u8..5, scale_b in 0u8..5,
            multiplier in 1i64..200, notional in 1i64..1_000_000, mid in 1i64..200_000_000,
        ) {
            let a = contract(ContractKind::Linear, (1, 0), scale_a, step_a, 0);
            let b = contract(ContractKind::Linear, (multiplier, 2), scale_b, step_b, 0);
            if let Some(size) = common_size(&a, &b, notional, Price(mid)) {
                let base = [a.base_amount(size.qty[0], Price(mid)), b.base_amount(size.qty[1], Price(mid))];
                prop_assert!((base[0] - base[1]).abs() < coarser_step(&a, &b, Price(mid)));
                prop_assert!(size.qty[0].0 % step_a == 0 && size.qty[1].0 % step_b == 0);
                prop_assert!(size.qty[0].0 > 0 && size.qty[1].0 > 0);
                for (instrument, qty) in [(&a, size.qty[0]), (&b, size.qty[1])] {
                    prop_assert!(instrument.notional(qty, Price(mid)) <= Money::from_units(notional));
                }
            }
        }
    }
}
