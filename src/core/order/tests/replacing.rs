//! The promises about orders that take another one's place: two orders, and each is known by its own words.

use super::*;

/// The order in the place of the first one.
fn new() -> OrderSpec {
    OrderSpec { client_id: id(2), price: Price(99), qty: Qty(6), ..spec(TimeInForce::Gtc) }
}

fn says_new(kind: ReportKind) -> OrderReport {
    OrderReport { client_id: id(2), ..says(kind) }
}

fn refused(reject: RejectClass) -> OrderReport {
    OrderReport { reject, ..says_new(ReportKind::Rejected) }
}

/// An order of 10 at 100 that rests.
fn resting() -> Bench {
    let mut bench = Bench::new();
    bench.now.mono = SECOND;
    bench.sent(spec(TimeInForce::Gtc));
    assert_eq!(bench.hear(total(ReportKind::Open, 0)), [(OrderState::Open, 0)]);
    bench
}

impl Bench {
    fn replace(&mut self, fate: SendFate) -> Vec<(OrderState, i64)> {
        let outcome = SendOutcome { message: MessageId(2), fate, order: Some(new()) };
        self.step(|ledger, now, out| ledger.on_replace_outcome(&outcome, id(1), now, out))
    }

    /// The orders asked about.
    fn asked(&self) -> Vec<u64> {
        self.out.queries.iter().map(|order| order.client_id.sequence()).collect()
    }

    /// Every order that is not closed: number, state, and what can still fill.
    fn open(&self) -> Vec<(u64, OrderState, i64)> {
        let mut open: Vec<_> = self
            .ledger
            .open_orders()
            .map(|open| (open.spec.client_id.sequence(), open.state, open.leaves.0))
            .collect();
        open.sort_unstable_by_key(|open| open.0);
        open
    }
}

#[test]
fn both_orders_count_until_the_venue_states_the_end_of_the_old_one() {
    let mut bench = resting();
    assert_eq!(bench.replace(SendFate::Sent), [(S::PendingNew, 0), (S::PendingAmend, 0)]);
    assert_eq!(bench.open(), [(1, S::PendingAmend, 10), (2, S::PendingNew, 6)]);
    // What the old one fills on the way comes on top.
    bench.hear(filled(K::PartiallyFilled, 1, 3, 3));
    assert_eq!(bench.open(), [(1, S::PendingAmend, 7), (2, S::PendingNew, 6)]);
    bench.hear(says_new(K::Acked));
    bench.hear(total(K::Canceled, 3));
    bench.hear(says_new(K::Open));
    assert_eq!(bench.open(), [(2, S::Open, 6)]);
    assert_eq!(bench.ledger.order(id(1)), Some((S::Canceled, Qty(3))));
    bench.wait(10 * SECOND);
    assert_eq!((bench.asked(), bench.odd()), (vec![], vec![]), "nothing is left to ask");
}

#[test]
fn the_words_may_come_in_any_order() {
    for swap in [false, true] {
        let mut bench = resting();
        bench.replace(SendFate::Sent);
        let mut words = [total(K::Canceled, 0), says_new(K::Open)];
        if swap {
            words.reverse();
        }
        for word in words {
            bench.hear(word);
        }
        bench.hear(says_new(K::Acked));
        assert_eq!(bench.open(), [(2, S::Open, 6)], "{swap}");
    }
}

#[test]
fn after_a_refusal_the_old_order_is_asked_about_because_nobody_says_what_became_of_it() {
    for (answer, state) in [(K::Open, Some(S::Open)), (K::Canceled, None), (K::Filled, None)] {
        let mut bench = resting();
        bench.replace(SendFate::Sent);
        let published = bench.hear(refused(RejectClass::PostOnly));
        assert_eq!(published, [(S::Rejected, 0), (S::Unknown, 0)], "{answer:?}");
        assert_eq!(bench.asked(), [1], "{answer:?}");
        let filled = i64::from(answer == K::Filled) * QTY;
        if filled > 0 {
            bench.hear(super::filled(K::Filled, 1, QTY, QTY));
        }
        bench.hear(total(answer, filled));
        let open: Vec<_> = bench.open().iter().map(|open| open.1).collect();
        assert_eq!(open, state.into_iter().collect::<Vec<_>>(), "{answer:?}");
        bench.wait(10 * SECOND);
        assert!(bench.asked().is_empty(), "{answer:?}: once");
    }
}

#[test]
fn without_a_reply_both_are_asked_about_and_an_early_answer_proves_nothing() {
    let mut bench = resting();
    bench.replace(SendFate::Sent);
    bench.wait(TIMEOUT);
    assert_eq!(bench.asked().len(), 1, "one question of a venue at a time");
    // The old one lives, as of now: the message may still come.
    bench.hear(total(K::Open, 0));
    let mut asked = bench.asked();
    for _ in 0..6 {
        bench.wait(SECOND / 2);
        asked.extend(bench.asked());
        bench.hear(total(K::Open, 0));
        bench.hear(OrderReport { reject: RejectClass::NotFound, ..says_new(K::NotFound) });
    }
    assert!(asked.contains(&1) && asked.contains(&2), "{asked:?}");
    for _ in 0..6 {
        bench.wait(10 * SECOND);
        bench.hear(OrderReport { reject: RejectClass::NotFound, ..says_new(K::NotFound) });
        bench.hear(total(K::Open, 0));
    }
    // The venue never heard of the message: the old one is as before, the new one never was.
    assert_eq!(bench.open(), [(1, S::Open, 10)]);
    assert_eq!(bench.ledger.order(id(2)), Some((S::Rejected, Qty(0))));
    bench.wait(60 * SECOND);
    assert!(bench.asked().is_empty());
}

#[test]
fn a_lost_reply_is_made_good_by_what_the_venue_says_of_either() {
    let mut bench = resting();
    bench.replace(SendFate::Sent);
    bench.wait(TIMEOUT);
    bench.hear(total(K::Canceled, 0));
    bench.wait(TIMEOUT);
    bench.hear(filled(K::PartiallyFilled, 0, 0, 0));
    bench.hear(OrderReport { client_id: id(2), ..total(K::Open, 0) });
    assert_eq!(bench.open(), [(2, S::Open, 6)]);
}

#[test]
fn a_message_of_unknown_fate_makes_both_unknown_at_once() {
    let mut bench = resting();
    assert_eq!(bench.replace(SendFate::Unknown), [(S::Unknown, 0), (S::Unknown, 0)]);
    assert_eq!(bench.open(), [(1, S::Unknown, 10), (2, S::Unknown, 6)]);
}

#[test]
fn a_message_that_did_not_leave_changes_nothing_for_the_old_order() {
    let mut bench = resting();
    assert_eq!(bench.replace(SendFate::Refused(RefuseReason::Stale)), [(S::Rejected, 0)]);
    assert_eq!(bench.open(), [(1, S::Open, 10)]);
    bench.wait(10 * SECOND);
    assert!(bench.asked().is_empty());
}

#[test]
fn an_order_that_filled_before_the_message_came_is_filled_and_the_new_one_refused() {
    let mut bench = resting();
    bench.replace(SendFate::Sent);
    bench.hear(filled(K::Filled, 1, QTY, QTY));
    assert_eq!(bench.hear(refused(RejectClass::Retry)), [(S::Rejected, 0)]);
    assert_eq!((bench.open(), bench.asked()), (vec![], vec![]));
    // It had ended before the message left.
    let mut bench = resting();
    bench.hear(filled(K::Filled, 1, QTY, QTY));
    assert_eq!(bench.replace(SendFate::Sent), [(S::PendingNew, 0)]);
}

#[test]
fn what_is_known_of_a_replacement_survives_being_saved() {
    let mut bench = resting();
    bench.replace(SendFate::Sent);
    let text = serde_json::to_string(&bench.ledger).unwrap();
    let mut again = Bench { ledger: serde_json::from_str(&text).unwrap(), ..Bench::new() };
    again.now = bench.now;
    for bench in [&mut bench, &mut again] {
        assert_eq!(bench.hear(refused(RejectClass::Margin)), [(S::Rejected, 0), (S::Unknown, 0)]);
        assert_eq!(bench.asked(), [1]);
    }
}
