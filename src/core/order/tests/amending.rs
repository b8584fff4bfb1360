//! The promises about amendments.

use super::*;
use crate::domain::order::OrderTerms;

const LARGER: OrderTerms = OrderTerms { price: Price(99), qty: Qty(16) };

/// An order of 10 at 100 that rests.
fn resting() -> Bench {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    assert_eq!(bench.hear(total(ReportKind::Open, 0)), [(OrderState::Open, 0)]);
    bench
}

impl Bench {
    fn amend(&mut self, fate: SendFate, terms: OrderTerms) -> Vec<(OrderState, i64)> {
        let order = OrderSpec { price: terms.price, qty: terms.qty, ..spec(TimeInForce::Gtc) };
        let outcome = SendOutcome { message: MessageId(2), fate, order: Some(order) };
        self.step(|ledger, now, out| ledger.on_amend_outcome(&outcome, now, out))
    }

    fn amends(&self) -> Vec<(OrderTerms, Option<OrderTerms>, RejectClass)> {
        self.out.amends.iter().map(|update| (update.terms, update.pending, update.reject)).collect()
    }

    fn leaves(&self) -> i64 {
        self.ledger.open_orders().map(|open| open.leaves.0).sum()
    }
}

fn old() -> OrderTerms {
    spec(TimeInForce::Gtc).terms()
}

fn stated(kind: ReportKind, filled: i64, terms: OrderTerms) -> OrderReport {
    OrderReport { terms: Some(terms), ..total(kind, filled) }
}

#[test]
fn an_amendment_is_pending_until_the_venue_states_the_new_terms() {
    let mut bench = resting();
    assert_eq!(bench.amend(SendFate::Sent, LARGER), [(OrderState::PendingAmend, 0)]);
    assert_eq!(bench.amends(), [(old(), Some(LARGER), RejectClass::None)]);
    assert_eq!(bench.leaves(), 16, "the larger of both can fill");
    // An acknowledgement is no outcome, nor is a fill at the old terms.
    assert_eq!(bench.hear(says(ReportKind::Acked)), []);
    let part = OrderReport { terms: Some(old()), ..filled(ReportKind::PartiallyFilled, 1, 3, 3) };
    assert_eq!(bench.hear(part), [(OrderState::PendingAmend, 3)]);
    assert_eq!((bench.amends(), bench.leaves()), (vec![], 13));
    assert_eq!(bench.hear(stated(ReportKind::Amended, 3, LARGER)), [(OrderState::PartiallyFilled, 0)]);
    assert_eq!(bench.amends(), [(LARGER, None, RejectClass::None)]);
    assert_eq!(bench.hear(filled(ReportKind::Filled, 2, 13, 16)), [(OrderState::Filled, 13)]);
    assert_eq!(bench.hear(filled(ReportKind::Filled, 2, 13, 16)), [], "once");
}

#[test]
fn a_smaller_order_may_still_fill_as_the_larger_one_until_the_venue_says_otherwise() {
    let smaller = OrderTerms { price: Price(100), qty: Qty(6) };
    let mut bench = resting();
    bench.amend(SendFate::Sent, smaller);
    assert_eq!(bench.leaves(), 10);
    // It filled as it was before the amendment came.
    assert_eq!(bench.hear(filled(ReportKind::Filled, 1, 10, 10)), [(OrderState::Filled, 10)]);
    assert_eq!(bench.amends(), [(old(), None, RejectClass::None)]);
    // Or as what it has become, though nobody said so before.
    let mut bench = resting();
    bench.amend(SendFate::Sent, smaller);
    assert_eq!(bench.hear(filled(ReportKind::Filled, 1, 6, 6)), [(OrderState::Filled, 6)]);
    assert_eq!(bench.leaves(), 0);
}

#[test]
fn a_refusal_leaves_the_order_as_it_is() {
    for class in [RejectClass::PostOnly, RejectClass::RateLimit, RejectClass::Margin] {
        let mut bench = resting();
        bench.amend(SendFate::Sent, LARGER);
        let refused = OrderReport { reject: class, ..says(ReportKind::AmendRejected) };
        assert_eq!(bench.hear(refused), [(OrderState::Open, 0)]);
        assert_eq!((bench.amends(), bench.leaves()), (vec![(old(), None, class)], 10));
        assert_eq!(bench.queries(), 0);
    }
    let mut bench = resting();
    assert_eq!(bench.amend(SendFate::Refused(RefuseReason::Stale), LARGER), []);
    assert_eq!((bench.amends(), bench.leaves()), (vec![(old(), None, RejectClass::Retry)], 10));
}

#[test]
fn a_refusal_that_says_nothing_is_asked_about() {
    for reject in [RejectClass::NotFound, RejectClass::UnknownOutcome] {
        let mut bench = resting();
        bench.amend(SendFate::Sent, LARGER);
        let refused = OrderReport { reject, ..says(ReportKind::AmendRejected) };
        assert_eq!(bench.hear(refused), [(OrderState::Unknown, 0)]);
        assert_eq!((bench.queries(), bench.leaves()), (1, 16), "nothing is concluded");
        assert_eq!(bench.hear(stated(ReportKind::Open, 0, LARGER)), [(OrderState::Open, 0)]);
        assert_eq!(bench.amends(), [(LARGER, None, RejectClass::None)]);
    }
}

#[test]
fn a_lost_reply_leaves_it_open_until_the_venue_is_asked_and_its_terms_win() {
    let mut bench = resting();
    bench.amend(SendFate::Sent, LARGER);
    assert_eq!(bench.wait(TIMEOUT), [(OrderState::Unknown, 0)]);
    assert_eq!(bench.queries(), 1);
    // It may still be on its way: the old terms prove nothing yet.
    assert_eq!(bench.hear(stated(ReportKind::Open, 0, old())), [(OrderState::PendingAmend, 0)]);
    assert_eq!((bench.amends(), bench.leaves()), (vec![], 16));
    while bench.now.mono < 2 * SECOND {
        bench.wait(TIMEOUT);
    }
    assert_eq!(bench.hear(stated(ReportKind::Open, 0, old())).last(), Some(&(OrderState::Open, 0)));
    assert_eq!((bench.amends(), bench.leaves()), (vec![(old(), None, RejectClass::None)], 10));
    // What the venue states later wins all the same, and so does what nobody had asked for.
    bench.hear(stated(ReportKind::Open, 0, LARGER));
    assert_eq!((bench.amends(), bench.leaves()), (vec![(LARGER, None, RejectClass::None)], 16));
    let other = OrderTerms { price: Price(98), qty: Qty(7) };
    bench.hear(stated(ReportKind::Amended, 0, other));
    assert_eq!(bench.amends(), [(other, None, RejectClass::None)]);
}

#[test]
fn an_amendment_of_unknown_fate_is_queried_at_once() {
    let mut bench = resting();
    assert_eq!(bench.amend(SendFate::Unknown, LARGER), [(OrderState::Unknown, 0)]);
    assert_eq!((bench.queries(), bench.leaves()), (1, 16));
    assert_eq!(bench.hear(stated(ReportKind::Open, 0, LARGER)), [(OrderState::Open, 0)]);
}

#[test]
fn an_answer_that_was_overtaken_does_not_bring_the_old_terms_back() {
    let mut bench = resting();
    bench.amend(SendFate::Sent, LARGER);
    let at = |report: OrderReport, ms: i64| OrderReport { venue_ns: ms * MILLI, ..report };
    bench.hear(at(stated(ReportKind::Amended, 0, LARGER), 20));
    bench.hear(at(stated(ReportKind::Open, 0, old()), 10));
    assert_eq!((bench.amends(), bench.leaves()), (vec![], 16));
}

#[test]
fn an_end_ends_the_amendment_too_and_what_was_not_amended_is_never_resized() {
    let mut bench = resting();
    bench.amend(SendFate::Sent, LARGER);
    assert_eq!(bench.hear(stated(ReportKind::Canceled, 0, old())), [(OrderState::Canceled, 0)]);
    assert_eq!(bench.amends(), [(old(), None, RejectClass::None)]);
    // The venue finds nothing to change: that is no news.
    let late = OrderReport { reject: RejectClass::NotFound, ..says(ReportKind::AmendRejected) };
    assert_eq!((bench.hear(late), bench.amends(), bench.queries()), (vec![], vec![], 0));
    assert_eq!(bench.amend(SendFate::Sent, LARGER), []);
    assert_eq!(bench.amends(), [(old(), None, RejectClass::NotFound)], "it ended before it was sent");
    // A reduce-only order that the venue cuts to the position.
    let mut bench = resting();
    bench.hear(stated(ReportKind::Open, 0, OrderTerms { price: Price(100), qty: Qty(4) }));
    assert_eq!((bench.amends(), bench.leaves()), (vec![], 10));
}

#[test]
fn an_amendment_that_was_withdrawn_leaves_the_order_and_over_http_it_may_be_under_way_for_longer() {
    let withdrawn = SendFate::Withdrawn(RefuseReason::Killed);
    let mut bench = resting();
    assert_eq!(bench.amend(SendFate::Handed, LARGER), [(OrderState::PendingAmend, 0)]);
    assert_eq!(bench.leaves(), 16);
    assert_eq!(bench.amend(withdrawn, LARGER), [(OrderState::Open, 0)]);
    assert_eq!(bench.amends(), [(old(), None, reject_class(RefuseReason::Killed))]);
    assert_eq!((bench.leaves(), bench.odd()), (10, vec![]));
    // Nothing of it is left to take back.
    assert_eq!((bench.amend(withdrawn, LARGER), bench.amends()), (vec![], vec![]));
    assert_eq!(bench.odd(), [LedgerOddKind::Contradiction]);
    // While it may wait for a thread, the old terms are no refusal.
    let mut bench = resting();
    bench.amend(SendFate::Handed, LARGER);
    let (sent, lasts) = (bench.now.mono, HTTP_VALID_MS_MIN * MILLI + EXPIRY_MARGIN);
    for (age, leaves) in [(2 * SECOND, 16), (lasts - 1, 16), (lasts, 10)] {
        bench.now.mono = sent + age;
        bench.hear(stated(ReportKind::Open, 0, old()));
        assert_eq!(bench.leaves(), leaves, "{age}");
    }
    // The order ended first.
    let mut bench = resting();
    bench.amend(SendFate::Handed, LARGER);
    bench.hear(stated(ReportKind::Canceled, 0, old()));
    assert_eq!((bench.amend(withdrawn, LARGER), bench.amends(), bench.odd()), (vec![], vec![], vec![]));
}

proptest! {
    /// Whatever the order in which the venue's words arrive: every fill counts once, and in the end all of it is booked.
    #[test]
    fn in_any_order_of_the_venues_words_every_fill_counts_once(seed in any::<u64>(), before in 1..6i64) {
        let mut words = vec![
            says(ReportKind::Acked),
            stated(ReportKind::Open, 0, old()),
            OrderReport { terms: Some(old()), ..filled(ReportKind::PartiallyFilled, 8, before, before) },
            stated(ReportKind::Amended, before, LARGER),
            OrderReport { terms: Some(LARGER), ..filled(ReportKind::Filled, 9, 16 - before, 16) },
        ];
        for (at, word) in words.iter_mut().enumerate() {
            // The venue's own time tells which of them is the last.
            word.venue_ns = at as i64 * MILLI;
        }
        let mut bench = resting();
        bench.amend(SendFate::Sent, LARGER);
        let (mut left, mut seed, mut sum) = (words, seed, 0);
        while !left.is_empty() {
            let word = left.remove((seed % left.len() as u64) as usize);
            seed /= 5;
            sum += bench.hear(word).iter().map(|(_, fill)| fill).sum::<i64>();
        }
        prop_assert_eq!(sum, 16);
        prop_assert_eq!(bench.ledger.order(id(1)), Some((OrderState::Filled, Qty(16))));
    }
}
