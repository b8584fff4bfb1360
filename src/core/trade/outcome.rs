//! The table of the trade machine: what the fates of both legs lead to. Pure; sends nothing.
//!
//! | long \ short | full | partial | zero | rejected | unknown |
//! |---|---|---|---|---|---|
//! | full | open | hedge short | hedge short | hedge short | wait |
//! | partial | hedge long | balance | hedge short | hedge short | wait |
//! | zero | hedge long | hedge long | miss | miss | wait |
//! | rejected | hedge long | hedge long | miss | miss | wait |
//! | unknown | wait | wait | wait | wait | wait |
//!
//! *Hedge* completes the leg that filled less, on its own venue; when that is not possible any more
//! (attempts used up, not allowed, below the minimum, refused for good) it becomes *unwind*: the leg that
//! filled more is reduced on the venue where it filled. Never a third venue. *Balance* is open when both
//! amounts agree within a step, else hedge. A rejection counts as a failure, a zero fill does not.

use crate::domain::order::{OrderState, RejectClass};
use serde::{Deserialize, Serialize};

/// The fate of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Filled completely.
    Full,
    /// Filled in part; the rest is gone.
    Partial,
    /// Not filled: a miss, not a failure.
    #[default]
    Zero,
    /// Refused without a fill.
    Rejected,
    /// Not terminal: in flight or unknown. Nothing is assumed.
    Unknown,
}

impl Outcome {
    /// What the state and the cumulative fill of an order of `qty` contracts say.
    pub const fn of(state: OrderState, filled: i64, qty: i64) -> Self {
        match state {
            state if !state.is_terminal() => Self::Unknown,
            _ if filled >= qty => Self::Full,
            _ if filled > 0 => Self::Partial,
            OrderState::Rejected => Self::Rejected,
            _ => Self::Zero,
        }
    }
}

/// True when the venue will refuse the same order again: hedging there is hopeless.
pub const fn is_final(reject: RejectClass) -> bool {
    matches!(
        reject,
        RejectClass::Never
            | RejectClass::Margin
            | RejectClass::Fatal
            | RejectClass::VenueDown
            | RejectClass::Duplicate
    )
}

/// How the held amounts of both legs compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Nothing is held on either leg.
    pub flat: bool,
    /// Something is held on both legs.
    pub both: bool,
    /// The leg that holds more, when they differ by at least a step.
    pub surplus: Option<usize>,
    /// Contracts that complete the other leg; 0 when a hedge is impossible or not allowed.
    pub hedge_qty: i64,
    /// Contracts by which the surplus leg can be reduced; 0 when no order may be that small.
    pub unwind_qty: i64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An order is not resolved: wait for the ledger.
    Wait,
    /// Nothing was filled: the trade ends as a miss.
    Miss,
    /// Both legs hold the same: hold.
    Open,
    /// Complete this leg.
    Hedge(usize),
    /// Reduce this leg.
    Unwind(usize),
    /// One leg holds less than any order may be: book it as a residual and end.
    Residual,
}

/// The one action for the fates of both legs and what is held after them.
pub fn decide(outcomes: [Outcome; 2], balance: &Balance) -> Action {
    if outcomes.contains(&Outcome::Unknown) {
        return Action::Wait;
    }
    if balance.flat {
        return Action::Miss;
    }
    match balance.surplus {
        None if balance.both => Action::Open,
        None => Action::Residual,
        Some(leg) if balance.hedge_qty > 0 => Action::Hedge(1 - leg.min(1)),
        Some(leg) if balance.unwind_qty > 0 => Action::Unwind(leg),
        Some(_) if balance.both => Action::Open,
        Some(_) => Action::Residual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Full, Partial, Rejected, Unknown, Zero};

    const ALL: [Outcome; 5] = [Full, Partial, Zero, Rejected, Unknown];

    /// 10 contracts of one step each were wanted on both legs.
    fn balance(held: [i64; 2], hedge_allowed: bool) -> Balance {
        let gap = held[0] - held[1];
        Balance {
            flat: held == [0, 0],
            both: held[0] > 0 && held[1] > 0,
            surplus: match gap {
                0 => None,
                1.. => Some(0),
                _ => Some(1),
            },
            hedge_qty: if hedge_allowed { gap.abs() } else { 0 },
            unwind_qty: gap.abs(),
        }
    }

    fn held(outcome: Outcome, partial: i64) -> i64 {
        match outcome {
            Full => 10,
            Partial => partial,
            _ => 0,
        }
    }

    #[test]
    fn every_outcome_of_two_legs_has_its_one_action() {
        use Action::{Hedge, Miss, Open, Unwind, Wait};
        // (long, short) → with a hedge allowed, without.
        let table = [
            (Full, Full, Open, Open),
            (Full, Partial, Hedge(1), Unwind(0)),
            (Full, Zero, Hedge(1), Unwind(0)),
            (Full, Rejected, Hedge(1), Unwind(0)),
            (Full, Unknown, Wait, Wait),
            (Partial, Full, Hedge(0), Unwind(1)),
            (Partial, Partial, Open, Open),
            (Partial, Zero, Hedge(1), Unwind(0)),
            (Partial, Rejected, Hedge(1), Unwind(0)),
            (Partial, Unknown, Wait, Wait),
            (Zero, Full, Hedge(0), Unwind(1)),
            (Zero, Partial, Hedge(0), Unwind(1)),
            (Zero, Zero, Miss, Miss),
            (Zero, Rejected, Miss, Miss),
            (Zero, Unknown, Wait, Wait),
            (Rejected, Full, Hedge(0), Unwind(1)),
            (Rejected, Partial, Hedge(0), Unwind(1)),
            (Rejected, Zero, Miss, Miss),
            (Rejected, Rejected, Miss, Miss),
            (Rejected, Unknown, Wait, Wait),
            (Unknown, Full, Wait, Wait),
            (Unknown, Partial, Wait, Wait),
            (Unknown, Zero, Wait, Wait),
            (Unknown, Rejected, Wait, Wait),
            (Unknown, Unknown, Wait, Wait),
        ];
        for long in ALL {
            for short in ALL {
                let rows: Vec<_> = table.iter().filter(|row| (row.0, row.1) == (long, short)).collect();
                assert_eq!(rows.len(), 1, "{long:?}/{short:?} stands once in the table");
                let held = [held(long, 4), held(short, 4)];
                assert_eq!(decide([long, short], &balance(held, true)), rows[0].2, "{long:?}/{short:?}");
                assert_eq!(
                    decide([long, short], &balance(held, false)),
                    rows[0].3,
                    "{long:?}/{short:?}, no hedge"
                );
            }
        }
    }

    #[test]
    fn unequal_partials_are_equalised_and_dust_becomes_a_residual() {
        assert_eq!(decide([Partial, Partial], &balance([6, 4], true)), Action::Hedge(1));
        assert_eq!(decide([Partial, Partial], &balance([4, 6], false)), Action::Unwind(1));
        let dust = Balance { surplus: Some(0), ..Balance::default() };
        assert_eq!(decide([Partial, Zero], &dust), Action::Residual);
        assert_eq!(decide([Partial, Full], &Balance { both: true, ..dust }), Action::Open);
    }

    #[test]
    fn an_order_is_judged_by_its_cumulative_fill_not_by_its_last_word() {
        assert_eq!(Outcome::of(OrderState::Canceled, 0, 10), Zero);
        assert_eq!(Outcome::of(OrderState::Canceled, 3, 10), Partial);
        assert_eq!(Outcome::of(OrderState::Canceled, 10, 10), Full);
        assert_eq!(Outcome::of(OrderState::Expired, 0, 10), Zero);
        assert_eq!(Outcome::of(OrderState::Rejected, 0, 10), Rejected);
        assert_eq!(Outcome::of(OrderState::Rejected, 2, 10), Partial);
        for state in
            [OrderState::Unknown, OrderState::PendingNew, OrderState::Open, OrderState::PendingCancel]
        {
            assert_eq!(Outcome::of(state, 10, 10), Unknown, "{state:?} is never assumed to be over");
        }
    }
}
