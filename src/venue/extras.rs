//! Open interest, last prices and liquidations as events, the same way for every dialect: what was told last is
//! not told again, and nothing is told unless the run's parameters say so.

use super::Out;
use crate::domain::event::{EventBody, Liquidation, OpenInterest, Ticker};
use crate::domain::number::Num;
use crate::domain::params::Extras;
use serde::{Deserialize, Serialize};

/// What was told of one listing. Venues repeat these figures in every message of a ticker.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    interest: Option<Num>,
    last: Option<Num>,
}

impl Told {
    /// A statement of open interest: an event when it differs from the last one.
    pub fn interest(&mut self, extras: Extras, interest: OpenInterest, out: &mut Out) {
        if extras.stated && self.interest.replace(interest.qty) != Some(interest.qty) {
            out.event(EventBody::OpenInterest(interest));
        }
    }

    /// A ticker: an event when it states another last price.
    pub fn ticker(&mut self, extras: Extras, ticker: Ticker, out: &mut Out) {
        if extras.stated && ticker.last.is_some() && self.last != ticker.last {
            self.last = ticker.last;
            out.event(EventBody::Ticker(ticker));
        }
    }
}

/// A liquidation: always an event. Without a price or quantity it is none.
pub fn liquidation(extras: Extras, liquidation: Liquidation, out: &mut Out) {
    if extras.stated && !liquidation.qty.is_zero() && !liquidation.price.is_zero() {
        out.event(EventBody::Liquidation(liquidation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::InstrumentId;
    use crate::venue::Emit;

    #[test]
    fn the_same_figure_is_told_once_and_nothing_without_the_parameter() {
        let (mut told, mut out) = (Told::default(), Out::default());
        let interest = |qty| OpenInterest { instrument: InstrumentId(3), qty: Num::new(qty, 1), venue_ns: 9 };
        let ticker = |last: Option<i64>| Ticker { last: last.map(|n| Num::new(n, 1)), ..Ticker::default() };
        told.interest(Extras::default(), interest(5), &mut out);
        told.ticker(Extras::default(), ticker(Some(7)), &mut out);
        let forced = Liquidation { price: Num::new(1, 0), qty: Num::new(2, 0), ..Liquidation::default() };
        liquidation(Extras::default(), forced, &mut out);
        assert!(out.items().is_empty());
        for qty in [5, 5, 6] {
            told.interest(Extras::FREE, interest(qty), &mut out);
        }
        for last in [Some(7), None, Some(7), Some(8)] {
            told.ticker(Extras::FREE, ticker(last), &mut out);
        }
        liquidation(Extras::FREE, forced, &mut out);
        liquidation(Extras::FREE, Liquidation { qty: Num::ZERO, ..forced }, &mut out);
        let expected = [
            EventBody::OpenInterest(interest(5)),
            EventBody::OpenInterest(interest(6)),
            EventBody::Ticker(ticker(Some(7))),
            EventBody::Ticker(ticker(Some(8))),
            EventBody::Liquidation(forced),
        ];
        assert_eq!(out.items(), expected.map(Emit::Event));
    }
}
