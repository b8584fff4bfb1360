//! Scan and risk joined: what the desk means to send is what risk lets pass.

use super::rig::{MID, Rig, WALL, engine, scan_params};
use crate::core::risk::{Risk, RiskOut};
use crate::domain::event::{BalanceReport, EventBody, Flow, FlowBody, Seq, SessionRole, SessionStatus};
use crate::domain::instrument::VenueId;
use crate::domain::intent::{BPS, Basket, BasketKind, Denial, Intent, ONE_PPB};
use crate::domain::money::Money;
use crate::domain::params::ScanParams;
use crate::domain::text::Currency;
use crate::domain::time::{SECOND, Stamp};

struct Joined {
    rig: Rig,
    risk: Risk,
}

impl Joined {
    /// Two venues that are ready, and the baseline is learnt.
    fn warm(scan: ScanParams) -> Self {
        let mut params = engine(2, scan);
        let usdt = Currency::new("USDT").unwrap();
        (params.canonicals[0].settle, params.canonicals[0].quote) = (usdt, usdt);
        params.venues.iter_mut().for_each(|venue| venue.margin_ppb = ONE_PPB / 10);
        let mut joined = Self { rig: Rig::of(&params), risk: Risk::new(&params) };
        for venue in [VenueId(0), VenueId(1)] {
            for role in [SessionRole::Account, SessionRole::Orders] {
                joined.rig.event(EventBody::Session(SessionStatus { venue, role, ready: true }));
            }
            let wallet = Money::from_units(100_000);
            let report = BalanceReport { venue, currency: usdt, wallet, available: None, venue_ns: 0 };
            joined.rig.event(EventBody::Balance(report));
        }
        joined.rig.run_ms(1_500);
        assert_eq!(joined.pass(), (vec![], vec![]));
        joined
    }

    /// With a trade open that risk has let in.
    fn open() -> Self {
        let mut joined = Self::warm(scan_params());
        joined.rig.spread(30);
        let (admitted, denied) = joined.pass();
        assert_eq!((admitted.len(), denied), (1, vec![]));
        admitted[0].orders().iter().for_each(|order| joined.rig.fill(order));
        assert_eq!(joined.pass(), (vec![], vec![]));
        joined
    }

    /// Hands risk what scan has emitted since the last look: baskets admitted and denied.
    fn pass(&mut self) -> (Vec<Basket>, Vec<Denial>) {
        let at = Stamp { mono: self.rig.now, wall: WALL + self.rig.now };
        let (mut admitted, mut denied) = (vec![], vec![]);
        let mut out = RiskOut::default();
        for body in std::mem::take(&mut self.rig.flow) {
            out.clear();
            self.risk.on_flow(&Flow { seq: Seq(self.rig.seq), at, body }, &mut out);
            denied.append(&mut out.denials);
            admitted.extend(out.flows.iter().filter_map(|flow| match flow {
                FlowBody::Intent(Intent::Basket(basket)) => Some(*basket),
                _ => None,
            }));
        }
        (admitted, denied)
    }

    /// Books of so many bps to either side of the mid, both in one burst.
    fn widen(&mut self, bps: i64) {
        let half = MID * bps / 10_000;
        for at in [0, 1] {
            self.rig.bbo(at, MID - half, 10_000_000, MID + half, 10_000_000, 0);
        }
        self.rig.burst_end(1, true);
    }
}

#[test]
fn a_quiet_market_does_not_keep_an_exit_back() {
    let mut joined = Joined::open();
    joined.rig.tick_ms(40_000);
    let (admitted, denied) = joined.pass();
    assert_eq!(denied, vec![]);
    let exit = admitted[0];
    assert_eq!((exit.kind, exit.len), (BasketKind::Exit, 2));
    assert!(exit.book_age_ns[0] >= 40 * SECOND, "and it says so");
}

#[test]
fn an_exit_from_a_wide_market_is_priced_inside_the_collar() {
    let mut joined = Joined::open();
    joined.widen(290);
    let (admitted, denied) = joined.pass();
    assert_eq!(denied, vec![], "20 bps beyond the touch would be too far");
    let [long, short] = [admitted[0].legs[0], admitted[0].legs[1]];
    assert_eq!((long.price.0, short.price.0), (MID - 3 * MID / 100, MID + 3 * MID / 100));
}

#[test]
fn a_market_too_wide_for_the_collar_is_waited_for_with_both_legs() {
    let mut joined = Joined::open();
    joined.widen(310);
    (0..20).for_each(|_| joined.rig.tick_ms(100));
    assert_eq!(joined.pass(), (vec![], vec![]), "no price that may be sent would trade");
    joined.widen(100);
    joined.rig.tick_ms(100);
    let (admitted, denied) = joined.pass();
    assert_eq!((admitted[0].kind, admitted[0].len, denied), (BasketKind::Exit, 2, vec![]));
}

#[test]
fn an_entry_with_much_slack_is_priced_inside_the_collar() {
    let mut joined = Joined::warm(ScanParams { limit_slack_ppb: 200 * BPS, ..scan_params() });
    joined.rig.spread(30);
    let (admitted, denied) = joined.pass();
    assert_eq!(denied, vec![]);
    assert_eq!(admitted[0].legs[0].price.0, MID + MID / 100);
    // 1 % below the mid of 60 180.0, up to the tick.
    assert_eq!(admitted[0].legs[1].price.0, 59_578_200);
}
