//! What checks and gates found, as people read it: with units, and with the way in which it must lie to its limit.

use super::words::{bp, duration, price, qty};
use crate::core::limits::{Checked, RiskCheck, Unit, WHOLE};
use crate::core::pair::{Figure, GateRow, Rule};
use crate::domain::instrument::{Instrument, Price, Qty};
use crate::domain::money::{MONEY_UNIT, Money};
use crate::domain::order::{OrderSpec, Side};

/// A limit at the end of its type limits nothing.
const UNLIMITED: i64 = i64::MAX;

/// How a figure must lie to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lies {
    Is,
    AtMost,
    Below,
    AtLeast,
    Multiple,
}

impl Lies {
    const fn rule(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::AtMost => "at most",
            Self::Below => "below",
            Self::AtLeast => "at least",
            Self::Multiple => "multiple of",
        }
    }

    /// The figure with what it must be.
    fn told(self, value: &str, limit: &str) -> String {
        let blank = if value.is_empty() { "" } else { " " };
        match self {
            Self::Is => format!("{value}{blank}(must be {limit})"),
            Self::AtMost => format!("{value}{blank}(≤ {limit})"),
            Self::Below => format!("{value}{blank}(< {limit})"),
            Self::AtLeast => format!("{value}{blank}(≥ {limit})"),
            Self::Multiple => format!("{value}{blank}(a multiple of {limit})"),
        }
    }
}

/// Whole units; those of figures that are counted and not paid.
pub(super) fn units(value: Money) -> i64 {
    i64::try_from(value.0 / MONEY_UNIT).unwrap_or(UNLIMITED)
}

/// How the figure of a check must lie to its limit, and both in words.
pub(super) fn of_check(
    checked: &Checked,
    order: Option<&OrderSpec>,
    instrument: Option<&Instrument>,
) -> (&'static str, String) {
    use RiskCheck as C;
    let yes = if checked.passed { "yes" } else { "no" };
    let (value, limit) = (units(checked.value), units(checked.limit));
    let lies = match checked.check {
        C::QtyMin | C::NotionalMin | C::Margin => Lies::AtLeast,
        C::QtyStep | C::PriceTick => Lies::Multiple,
        C::DailyLoss | C::Drawdown => Lies::Below,
        C::Band if order.is_some_and(|order| order.side == Side::Sell) => Lies::AtLeast,
        C::Venue | C::Lock | C::TickAndStep | C::Mid | C::AmendTerms | C::AmendPending => Lies::Is,
        check if check.unit() == Unit::State => Lies::Is,
        _ => Lies::AtMost,
    };
    let told = match checked.check {
        C::Venue => match value {
            1 => format!("{yes}, 1 stray order"),
            strays => format!("{yes}, {strays} stray orders"),
        },
        C::Lock if limit > value => format!("{yes}, locked for another {}", duration(limit - value)),
        C::Lock if limit > 0 => format!("{yes}, free since {}", duration(value - limit)),
        C::TickAndStep => {
            format!("{yes}, tick {}, step {}", price(instrument, Price(value)), qty(instrument, Qty(limit)))
        }
        C::Mid if checked.passed => format!("{yes}, {}", price(instrument, Price(value))),
        C::AmendTerms => {
            let [to, filled] = [value, limit].map(|units| qty(instrument, Qty(units)));
            format!("{yes}, quantity {to}, filled {filled}")
        }
        _ if lies == Lies::Is => yes.to_owned(),
        check => {
            let is_sum = checked.leg == WHOLE || check == C::VenuePosition;
            let one = |money| figure(check.unit(), money, is_sum, instrument);
            let exempt = check == C::NotionalMin && checked.passed && checked.value < checked.limit;
            match (one(checked.value), one(checked.limit)) {
                (value, _) if limit == UNLIMITED => format!("{value} (no limit)"),
                (value, _) if check == C::NotionalMin && limit == 0 => format!("{value} (no limit)"),
                (value, limit) if exempt => {
                    format!("{value} (≥ {limit}, but not for what only reduces)")
                }
                (value, limit) => lies.told(&value, &limit),
            }
        }
    };
    (lies.rule(), told)
}

/// A figure of a check with its unit.
fn figure(unit: Unit, money: Money, is_sum: bool, instrument: Option<&Instrument>) -> String {
    let whole = units(money);
    match (unit, instrument) {
        (Unit::State, _) => String::new(),
        (Unit::Count, _) => whole.to_string(),
        (Unit::Nanos, _) => duration(whole),
        (Unit::Ppb, _) => format!("{} bp", bp(whole)),
        (Unit::Price, _) => price(instrument, Price(whole)),
        (Unit::Qty, _) => format!("{} contracts", qty(instrument, Qty(whole))),
        // Sums over instruments add quote currencies at par.
        (Unit::Quote, Some(of)) if !is_sum => format!("{money} {}", of.quote),
        (Unit::Quote, _) => format!("{money} USD"),
        (Unit::Settle, Some(of)) => format!("{money} {}", of.settle),
        (Unit::Settle, None) => money.to_string(),
    }
}

/// What a gate measured and what it must be; `of` is the leg's contract.
pub(super) fn of_gate(row: &GateRow, of: Option<&Instrument>) -> String {
    let shown = |figure: Figure| match figure {
        Figure::Nothing => String::new(),
        Figure::Ppb(UNLIMITED)
        | Figure::Nanos(UNLIMITED)
        | Figure::Count(UNLIMITED)
        | Figure::Price(UNLIMITED)
        | Figure::Qty(UNLIMITED) => "no limit".to_owned(),
        Figure::Ppb(ppb) => format!("{} bp", bp(ppb)),
        Figure::Nanos(ns) => duration(ns),
        Figure::Count(count) => count.to_string(),
        Figure::Price(units) => price(of, Price(units)),
        Figure::Qty(units) => format!("{} contracts", qty(of, Qty(units))),
        Figure::Word(word) => word.to_owned(),
    };
    let (value, limit) = (shown(row.value), shown(row.limit));
    let lies = match row.rule {
        Rule::Is => Lies::Is,
        Rule::AtMost => Lies::AtMost,
        Rule::AtLeast => Lies::AtLeast,
    };
    match limit.as_str() {
        "" => value,
        "no limit" => format!("{value} (no limit)").trim_start().to_owned(),
        limit => lies.told(&value, limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pair::{GateState, WhyNot};
    use crate::domain::text::Currency;

    fn contract() -> Instrument {
        let [quote, settle] = ["USDT", "USDC"].map(|name| Currency::new(name).expect("short"));
        Instrument { price_scale: 2, qty_scale: 3, quote, settle, ..Instrument::default() }
    }

    fn told(check: RiskCheck, value: i64, limit: i64, passed: bool) -> String {
        let side = Side::Sell;
        let order = OrderSpec { side, ..OrderSpec::default() };
        let money = Money::from_units;
        let checked = Checked::leg(check, 0, money(value), money(limit), passed);
        of_check(&checked, Some(&order), Some(&contract())).1
    }

    #[test]
    fn checks_say_units_directions_and_what_limits_nothing() {
        use RiskCheck as C;
        for (said, wanted) in [
            (told(C::BookAge, 6_401_606, 1_000_000_000, true), "6.401606 ms (≤ 1 s)"),
            (told(C::Collar, 98_882, 10_000_000, true), "0.98882 bp (≤ 100 bp)"),
            (told(C::QtyMax, 6_590, i64::MAX, true), "6.59 contracts (no limit)"),
            (told(C::QtyMin, 6_590, 10, true), "6.59 contracts (≥ 0.01 contracts)"),
            (told(C::PriceTick, 5_961_100, 10, true), "59611 (a multiple of 0.1)"),
            (told(C::TickAndStep, 10, 1, true), "yes, tick 0.1, step 0.001"),
            (told(C::Lock, 0, 0, true), "yes"),
            (told(C::Lock, 5, 2_000_000_005, false), "no, locked for another 2 s"),
            (told(C::Band, 5_961_100, 5_683_020, true), "59611 (≥ 56830.2)"),
            (told(C::Mid, 0, 0, false), "no"),
            (told(C::Kill, 0, 0, true), "yes"),
            (told(C::Venue, 2, 0, false), "no, 2 stray orders"),
            (told(C::Notional, 954, 5_000, true), "954 USDT (≤ 5000 USDT)"),
            (told(C::NotionalMin, 954, 0, true), "954 USDT (no limit)"),
            (told(C::NotionalMin, 4, 5, true), "4 USDT (≥ 5 USDT, but not for what only reduces)"),
            (told(C::Margin, 99, 20, true), "99 USDC (≥ 20 USDC)"),
            (told(C::VenuePosition, 954, 50_000, true), "954 USD (≤ 50000 USD)"),
            (told(C::OpenOrders, 65, 64, false), "65 (≤ 64)"),
        ] {
            assert_eq!(said, wanted);
        }
        let loss = Checked::whole(C::DailyLoss, Money::from_units(-3), Money::from_units(1_000), true);
        assert_eq!(of_check(&loss, None, None), ("below", "-3 USD (< 1000 USD)".to_owned()));
        let buy = OrderSpec::default();
        let band = Checked::leg(C::Band, 0, Money::from_units(1), Money::from_units(2), true);
        assert_eq!(of_check(&band, Some(&buy), None).1, "1 (≤ 2)", "a buy may not be dearer");
    }

    #[test]
    fn gates_say_states_and_figures_with_what_they_must_be() {
        let row = |value, rule, limit| GateRow {
            gate: WhyNot::Stale,
            about: "",
            leg: None,
            state: GateState::Passes,
            value,
            rule,
            limit,
        };
        let told = |value, rule, limit| of_gate(&row(value, rule, limit), Some(&contract()));
        assert_eq!(told(Figure::Word("no"), Rule::Is, Figure::Word("no")), "no (must be no)");
        assert_eq!(told(Figure::Nanos(2_000), Rule::AtMost, Figure::Nanos(1_000_000_000)), "2 µs (≤ 1 s)");
        assert_eq!(told(Figure::Nothing, Rule::AtLeast, Figure::Ppb(100_000)), "(≥ 1 bp)");
        assert_eq!(told(Figure::Ppb(5), Rule::AtMost, Figure::Ppb(i64::MAX)), "0.00005 bp (no limit)");
        assert_eq!(
            told(Figure::Word("not stated"), Rule::AtMost, Figure::Ppb(100_000)),
            "not stated (≤ 1 bp)"
        );
    }
}
