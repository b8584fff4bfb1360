//! The promises of the ledger, one by one, and the same history in any order.

use super::entry::NOT_FOUND_GRACE;
use super::*;
use crate::domain::effect::MessageId;
use crate::domain::instrument::{InstrumentId, Price};
use crate::domain::order::{Side, TimeInForce};
use crate::domain::params::VenueParams;
use crate::domain::text::Currency;
use crate::domain::time::MILLI;
use proptest::prelude::*;

mod amending;
mod replacing;

const EPOCH: u64 = 7;
const TIMEOUT: Nanos = 500 * MILLI;
const QTY: i64 = 10;

struct Bench {
    ledger: Ledger,
    now: Stamp,
    out: LedgerOut,
}

impl Bench {
    fn new() -> Self {
        let venue = VenueParams { ack_timeout_ns: TIMEOUT, ..VenueParams::default() };
        let params = EngineParams {
            boot_epoch: EPOCH,
            venues: vec![venue.clone(), venue],
            listings: vec![crate::domain::params::ListingParams::default(); 2],
            ..EngineParams::default()
        };
        Self { ledger: Ledger::new(&params), now: Stamp::default(), out: LedgerOut::with_capacity(64) }
    }

    /// Runs `step` and returns the states and fill quantities that it published.
    fn step(&mut self, step: impl FnOnce(&mut Ledger, Stamp, &mut LedgerOut)) -> Vec<(OrderState, i64)> {
        self.out.clear();
        step(&mut self.ledger, self.now, &mut self.out);
        self.out.updates.iter().map(|update| (update.state, update.fill_qty.0)).collect()
    }

    fn outcome(&mut self, fate: SendFate, order: OrderSpec) -> Vec<(OrderState, i64)> {
        let outcome = SendOutcome { message: MessageId(1), fate, order: Some(order) };
        self.step(|ledger, now, out| ledger.on_outcome(&outcome, now, out))
    }

    fn sent(&mut self, order: OrderSpec) -> Vec<(OrderState, i64)> {
        self.outcome(SendFate::Sent, order)
    }

    fn hear(&mut self, report: OrderReport) -> Vec<(OrderState, i64)> {
        self.step(|ledger, now, out| ledger.on_report(&report, now, out))
    }

    fn wait(&mut self, by: Nanos) -> Vec<(OrderState, i64)> {
        self.now.mono += by;
        self.step(Ledger::on_tick)
    }

    fn queries(&self) -> usize {
        self.out.queries.len()
    }

    fn odd(&self) -> Vec<LedgerOddKind> {
        self.out.odd.iter().map(|odd| odd.kind).collect()
    }
}

fn id(sequence: u64) -> ClientId {
    ClientId::new(EPOCH, sequence)
}

fn spec(tif: TimeInForce) -> OrderSpec {
    OrderSpec {
        client_id: id(1),
        instrument: InstrumentId(1),
        side: Side::Buy,
        qty: Qty(QTY),
        price: Price(100),
        tif,
        ..OrderSpec::default()
    }
}

fn says(kind: ReportKind) -> OrderReport {
    OrderReport {
        client_id: id(1),
        instrument: Some(InstrumentId(1)),
        side: Some(Side::Buy),
        kind,
        ..OrderReport::default()
    }
}

fn total(kind: ReportKind, filled: i64) -> OrderReport {
    OrderReport { filled: Some(Qty(filled)), ..says(kind) }
}

fn fill(trade_id: u64, qty: i64) -> FillReport {
    FillReport {
        trade_id,
        qty: Qty(qty),
        price: Price(100),
        fee: Some(Money(i128::from(trade_id) * 1000 + i128::from(qty))),
        fee_currency: Currency::new("USDT").unwrap(),
        maker: false,
    }
}

fn filled(kind: ReportKind, trade_id: u64, qty: i64, cumulative: i64) -> OrderReport {
    OrderReport { fill: Some(fill(trade_id, qty)), ..total(kind, cumulative) }
}

/// A fill notice without fee and cumulative quantity.
fn lite(trade_id: u64, qty: i64) -> OrderReport {
    let fill = FillReport { fee: None, ..fill(trade_id, qty) };
    OrderReport { fill: Some(fill), ..says(ReportKind::PartiallyFilled) }
}

use OrderState as S;
use ReportKind as K;

#[test]
fn every_word_in_every_state_has_one_effect() {
    // Rows: the state that an order of 10 (resting, so that time plays no part) is brought into. Columns:
    // the state after Acked, Open, PartiallyFilled(3 more), Filled(rest), Canceled, Rejected, Expired,
    // CancelRejected, NotFound.
    let words = |booked: i64| {
        [
            says(K::Acked),
            total(K::Open, booked),
            filled(K::PartiallyFilled, 90, 3, booked + 3),
            filled(K::Filled, 91, QTY - booked, QTY),
            total(K::Canceled, booked),
            OrderReport { reject: RejectClass::Margin, ..says(K::Rejected) },
            total(K::Expired, booked),
            says(K::CancelRejected),
            says(K::NotFound),
        ]
    };
    let p = S::PartiallyFilled;
    let table: [(S, i64, [S; 9]); 9] = [
        (
            S::PendingNew,
            0,
            [
                S::PendingNew,
                S::Open,
                p,
                S::Filled,
                S::Canceled,
                S::Rejected,
                S::Expired,
                S::PendingNew,
                S::Unknown,
            ],
        ),
        (
            S::Open,
            0,
            [S::Open, S::Open, p, S::Filled, S::Canceled, S::Rejected, S::Expired, S::Open, S::Unknown],
        ),
        (p, 4, [p, p, p, S::Filled, S::Canceled, S::Unknown, S::Expired, p, S::Unknown]),
        (
            S::Unknown,
            0,
            [S::Unknown, S::Open, p, S::Filled, S::Canceled, S::Rejected, S::Expired, S::Unknown, S::Unknown],
        ),
        (
            S::Unknown,
            4,
            [S::Unknown, p, p, S::Filled, S::Canceled, S::Unknown, S::Expired, S::Unknown, S::Unknown],
        ),
        (S::Filled, 10, [S::Filled; 9]),
        (
            S::Canceled,
            4,
            [
                S::Canceled,
                S::Canceled,
                S::Canceled,
                S::Filled,
                S::Canceled,
                S::Canceled,
                S::Canceled,
                S::Canceled,
                S::Canceled,
            ],
        ),
        (
            S::Rejected,
            0,
            [
                S::Rejected,
                S::Rejected,
                S::Rejected,
                S::Filled,
                S::Rejected,
                S::Rejected,
                S::Rejected,
                S::Rejected,
                S::Rejected,
            ],
        ),
        (
            S::Expired,
            4,
            [
                S::Expired,
                S::Expired,
                S::Expired,
                S::Filled,
                S::Expired,
                S::Expired,
                S::Expired,
                S::Expired,
                S::Expired,
            ],
        ),
    ];
    for (state, booked, expected) in table {
        for (word, expected) in words(booked).into_iter().zip(expected) {
            let mut bench = Bench::new();
            bench.sent(spec(TimeInForce::Gtc));
            if booked > 0 && booked < QTY {
                bench.hear(filled(K::PartiallyFilled, 1, booked, booked));
            }
            match state {
                S::PendingNew | S::PartiallyFilled => {}
                S::Open => drop(bench.hear(total(K::Open, 0))),
                S::Unknown => drop(bench.hear(says(K::NotFound))),
                S::Filled => drop(bench.hear(filled(K::Filled, 1, QTY, QTY))),
                S::Canceled => drop(bench.hear(total(K::Canceled, booked))),
                S::Expired => drop(bench.hear(total(K::Expired, booked))),
                S::Rejected => {
                    drop(bench.hear(OrderReport { reject: RejectClass::Margin, ..says(K::Rejected) }));
                }
                S::PendingAmend | S::PendingCancel => unreachable!("not in the table"),
            }
            assert_eq!(bench.ledger.order(id(1)).unwrap(), (state, Qty(booked)), "set-up of {state:?}");
            if word.fill.is_some_and(|fill| fill.qty.0 == 0) {
                continue; // nothing left to fill
            }
            let published = bench.hear(word);
            let (after, now_booked) = bench.ledger.order(id(1)).unwrap();
            assert_eq!(after, expected, "{state:?} with {booked} hears {:?}", word.kind);
            let fills: i64 = published.iter().map(|(_, qty)| qty).sum();
            assert_eq!(now_booked.0, booked + fills, "{state:?} hears {:?}", word.kind);
            let changed = after != state || fills > 0;
            assert_eq!(
                published.len(),
                usize::from(changed),
                "{state:?} hears {:?}: once per change",
                word.kind
            );
            let again = bench.hear(word);
            assert_eq!(again, [], "{state:?} hears {:?} again", word.kind);
        }
    }
}

#[test]
fn leaves_end_with_the_order() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.out.updates[0].leaves, Qty(10));
    bench.hear(filled(K::PartiallyFilled, 1, 4, 4));
    assert_eq!((bench.out.updates[0].leaves, bench.out.updates[0].filled), (Qty(6), Qty(4)));
    assert_eq!(
        bench.ledger.open_orders().map(|o| (o.state, o.leaves)).collect::<Vec<_>>(),
        [(S::PartiallyFilled, Qty(6))]
    );
    bench.hear(total(K::Canceled, 4));
    assert_eq!((bench.out.updates[0].leaves, bench.out.updates[0].filled), (Qty(0), Qty(4)));
    assert_eq!(bench.ledger.open_orders().count(), 0);
}

#[test]
fn a_refusal_at_the_gate_is_a_reject_and_an_unknown_fate_is_queried() {
    let mut bench = Bench::new();
    let refused = SendFate::Refused(RefuseReason::Stale);
    assert_eq!(bench.outcome(refused, spec(TimeInForce::Ioc)), [(S::Rejected, 0)]);
    assert_eq!(bench.out.updates[0].reject, RejectClass::Retry);
    let mut bench = Bench::new();
    assert_eq!(bench.outcome(SendFate::Unknown, spec(TimeInForce::Ioc)), [(S::Unknown, 0)]);
    assert_eq!(
        bench.out.queries,
        [OrderRef { client_id: id(1), venue: VenueId(0), instrument: InstrumentId(1) }]
    );
}

#[test]
fn silence_becomes_unknown_and_queries_back_off() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!((bench.wait(TIMEOUT - 1), bench.queries()), (vec![], 0));
    assert_eq!((bench.wait(1), bench.queries()), (vec![(S::Unknown, 0)], 1));
    let mut pauses = Vec::new();
    let mut last = bench.now.mono;
    while pauses.len() < 9 {
        assert_eq!(bench.wait(10 * MILLI), [], "Unknown is published once");
        if bench.queries() == 1 {
            pauses.push((bench.now.mono - last) / MILLI);
            last = bench.now.mono;
        }
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    assert_eq!(bench.hear(filled(K::Filled, 1, 10, 10)), [(S::Filled, 10)]);
    assert_eq!((bench.wait(60 * SECOND), bench.queries()), (vec![], 0));
}

#[test]
fn an_acknowledged_ioc_still_owes_its_outcome_but_a_resting_order_does_not() {
    for (tif, expected) in [(TimeInForce::Ioc, vec![(S::Unknown, 0)]), (TimeInForce::Gtc, vec![])] {
        let mut bench = Bench::new();
        bench.sent(spec(tif));
        bench.hear(total(K::Open, 0));
        assert_eq!(bench.wait(TIMEOUT), expected, "{tif:?}");
    }
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    assert_eq!(bench.hear(says(K::Acked)), []);
    assert_eq!(bench.wait(TIMEOUT), [(S::Unknown, 0)], "accepted by a gateway is not yet an order");
}

#[test]
fn a_fill_without_fee_waits_for_the_full_report_and_then_for_a_query() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(total(K::Open, 0));
    assert_eq!(bench.hear(lite(5, 4)), []);
    assert_eq!(bench.hear(lite(5, 4)), []);
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 5, 4, 4)), [(S::PartiallyFilled, 4)]);
    assert_eq!(bench.out.updates[0].fee, fill(5, 4).fee.unwrap());
    assert_eq!(bench.hear(lite(5, 4)), [], "late notice of a booked fill");
    assert_eq!(bench.wait(10 * SECOND), [], "nothing is owed");
    assert_eq!(bench.hear(lite(6, 6)), []);
    assert_eq!((bench.wait(TIMEOUT), bench.queries()), (vec![(S::Unknown, 0)], 1));
    assert_eq!(bench.hear(total(K::Filled, 10)), [], "the reply lacks the fill: still unknown");
    assert_eq!(bench.hear(filled(K::Filled, 6, 6, 10)), [(S::Filled, 6)]);
}

#[test]
fn an_end_with_more_filled_than_booked_waits_for_the_fills() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.hear(total(K::Canceled, 4)), [], "not closed while a fill is missing");
    assert_eq!((bench.wait(TIMEOUT), bench.queries()), (vec![(S::Unknown, 0)], 1));
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 1, 3, 3)), [(S::Unknown, 3)]);
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 2, 1, 4)), [(S::Canceled, 1)]);
    assert_eq!(bench.out.updates[0].leaves, Qty(0));
}

#[test]
fn a_cancelled_order_stays_liable_for_late_fills() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.hear(says(K::Canceled)), [(S::Canceled, 0)]);
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 1, 3, 3)), [(S::Canceled, 3)]);
    assert_eq!(bench.hear(total(K::Canceled, 5)), [], "two more are missing");
    assert_eq!(
        (bench.wait(TIMEOUT), bench.queries()),
        (vec![], 1),
        "closed stays closed, but it is asked for"
    );
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 2, 2, 5)), [(S::Canceled, 2)]);
    assert_eq!((bench.wait(60 * SECOND), bench.queries()), (vec![], 0));
}

#[test]
fn the_same_fill_under_another_trade_id_is_not_booked_twice() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    bench.hear(filled(K::PartiallyFilled, 1, 4, 4));
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 77, 4, 4)), []);
    assert_eq!(bench.odd(), [LedgerOddKind::BeyondCumulative]);
    let beyond = OrderReport { filled: None, ..filled(K::PartiallyFilled, 78, 7, 0) };
    assert_eq!(bench.hear(beyond), [], "more than the order's quantity");
    assert_eq!(bench.hear(filled(K::Filled, 2, 6, 10)), [(S::Filled, 6)]);
}

/// What comes in, in any order: our own send outcome, the response to the request, the report of the stream.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Sent,
    Says(OrderReport),
}

#[test]
fn an_order_ends_the_same_whichever_of_stream_response_and_outcome_comes_first() {
    use Arrival::{Says, Sent};
    // (what, reduce-only, response, stream, booked, asked about for ever)
    let cut = filled(K::Filled, 1, 6, 6);
    let full = filled(K::Filled, 1, QTY, QTY);
    let table = [
        ("cut, acknowledged", true, says(K::Acked), cut, 6, false),
        ("cut, both state the total", true, total(K::Filled, 6), cut, 6, false),
        ("cut, the response has no total", true, says(K::Filled), cut, 6, false),
        ("cut, the response calls it cancelled", true, total(K::Canceled, 6), cut, 6, false),
        ("cut, the stream calls it expired", true, says(K::Acked), filled(K::Expired, 1, 6, 6), 6, false),
        ("not cut, acknowledged", true, says(K::Acked), full, QTY, false),
        ("not cut, the response has no total", true, says(K::Filled), full, QTY, false),
        ("whole", false, total(K::Filled, QTY), full, QTY, false),
        ("whole, the response has no total", false, says(K::Filled), full, QTY, false),
        // Filled, says the venue, and never of how much: four are owed until it does.
        ("no total at all", true, says(K::Filled), filled(K::PartiallyFilled, 1, 6, 6), 6, true),
        ("an order that may not be cut", false, says(K::Acked), cut, 6, true),
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (what, reduce_only, response, stream, booked, owed) in table {
        let arrivals = [Sent, Says(response), Says(stream)];
        for order in orders {
            let mut bench = Bench::new();
            let mut fills = 0;
            for at in order {
                let published = match arrivals[at] {
                    Sent => bench.sent(OrderSpec { reduce_only, ..spec(TimeInForce::Ioc) }),
                    Says(report) => bench.hear(report),
                };
                fills += published.iter().map(|(_, qty)| qty).sum::<i64>();
                assert_eq!(bench.odd(), [], "{what} {order:?}");
            }
            let mut queries = 0;
            for _ in 0..60 {
                fills += bench.wait(SECOND).iter().map(|(_, qty)| qty).sum::<i64>();
                queries += bench.queries();
                // The venue answers as it answers about an order that it has cut.
                if bench.queries() > 0 && !owed {
                    bench.hear(OrderReport { fill: None, ..stream });
                }
            }
            let (state, total) = bench.ledger.order(id(1)).unwrap();
            assert_eq!((fills, total.0), (booked, booked), "{what} {order:?}");
            assert_eq!(queries > 0, owed, "{what} {order:?}: asked {queries} times");
            if !owed {
                assert!(state.is_terminal(), "{what} {order:?}: {state:?}");
                assert_eq!(bench.ledger.open_orders().count(), 0, "{what} {order:?}");
            }
        }
    }
}

#[test]
fn a_reduce_only_order_that_the_venue_cut_ends_with_what_it_filled() {
    let mut bench = Bench::new();
    bench.sent(OrderSpec { reduce_only: true, ..spec(TimeInForce::Ioc) });
    assert_eq!(bench.hear(filled(K::Filled, 7, 4, 4)), [(S::Canceled, 4)]);
    assert_eq!((bench.wait(TIMEOUT), bench.queries()), (Vec::new(), 0), "nothing is missing");
    // Any other order is as large as it was sent: what is not booked is asked for.
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_ne!(bench.hear(filled(K::Filled, 7, 4, 4)), [(S::Canceled, 4)]);
}

#[test]
fn not_found_is_never_a_fill_and_believed_only_after_the_grace() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    bench.wait(TIMEOUT);
    assert_eq!(bench.hear(says(K::NotFound)), []);
    bench.wait(NOT_FOUND_GRACE - 1);
    for _ in 0..5 {
        assert_eq!(bench.hear(says(K::NotFound)), [], "often enough, but within the grace");
    }
    bench.wait(1);
    assert_eq!(bench.hear(says(K::NotFound)), [(S::Rejected, 0)]);
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.hear(says(K::NotFound)), [(S::Unknown, 0)]);
    bench.wait(10 * NOT_FOUND_GRACE);
    assert_eq!(bench.hear(says(K::NotFound)), [], "long enough, but only twice");
    assert_eq!(bench.hear(says(K::NotFound)), [(S::Rejected, 0)]);
    assert_eq!(bench.out.updates[0].reject, RejectClass::NotFound);
    assert_eq!(
        bench.hear(total(K::Open, 0)),
        [(S::Open, 0)],
        "it lives after all: the conclusion is revoked"
    );
    assert_eq!(bench.hear(filled(K::Filled, 1, 10, 10)), [(S::Filled, 10)]);
}

#[test]
fn an_answer_that_names_no_order_belongs_to_the_one_that_was_asked_about() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    bench.sent(OrderSpec { client_id: id(2), ..spec(TimeInForce::Ioc) });
    let nameless =
        OrderReport { client_id: ClientId::NONE, instrument: None, side: None, ..says(K::NotFound) };
    assert_eq!(bench.hear(nameless), [], "nobody was asked about");
    let mut asked = Vec::new();
    bench.wait(TIMEOUT);
    for _ in 0..40 {
        assert!(bench.queries() <= 1, "one question at a time");
        let question = bench.out.queries.first().map(|query| query.client_id.sequence());
        asked.extend(question);
        if question.is_some() {
            bench.hear(nameless);
        }
        bench.wait(SECOND / 4);
    }
    assert!(asked.contains(&1) && asked.contains(&2));
    for sequence in [1, 2] {
        assert_eq!(bench.ledger.order(id(sequence)), Some((S::Rejected, Qty(0))), "{asked:?}");
    }
    // Without an answer the next order's turn comes after a while.
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    bench.sent(OrderSpec { client_id: id(2), ..spec(TimeInForce::Ioc) });
    let mut asked = Vec::new();
    for _ in 0..300 {
        bench.wait(10 * MILLI);
        asked.extend(bench.out.queries.iter().map(|query| query.client_id.sequence()));
    }
    assert!(asked.contains(&1) && asked.contains(&2), "{asked:?}");
}

#[test]
fn an_order_that_matching_had_is_not_closed_by_not_found_alone() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(filled(K::PartiallyFilled, 1, 4, 4));
    for _ in 0..10 {
        bench.wait(SECOND);
        bench.hear(says(K::NotFound));
    }
    assert_eq!(bench.ledger.order(id(1)), Some((S::Unknown, Qty(4))));
    // Only when the complete list of open orders lacks it as well.
    bench.step(|ledger, now, out| ledger.on_account_down(VenueId(0), now, out));
    bench.step(|ledger, now, out| ledger.on_reconcile_end(VenueId(0), now, out));
    assert_eq!(bench.queries(), 1);
    assert_eq!(bench.hear(says(K::NotFound)), [(S::Canceled, 0)]);
}

#[test]
fn losing_the_account_session_makes_its_orders_unknown_until_asked() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(total(K::Open, 0));
    let other = OrderSpec { client_id: id(2), venue: VenueId(1), ..spec(TimeInForce::Gtc) };
    bench.sent(other);
    let named = OrderSpec { client_id: id(3), ..spec(TimeInForce::Gtc) };
    bench.sent(named);
    assert_eq!(
        bench.step(|l, now, out| l.on_account_down(VenueId(0), now, out)),
        [(S::Unknown, 0), (S::Unknown, 0)]
    );
    assert_eq!(bench.hear(OrderReport { client_id: id(3), ..total(K::Open, 0) }), [(S::Open, 0)]);
    assert_eq!(bench.step(|l, now, out| l.on_reconcile_end(VenueId(0), now, out)), []);
    let asked =
        |bench: &Bench| -> Vec<u64> { bench.out.queries.iter().map(|q| q.client_id.sequence()).collect() };
    assert_eq!(asked(&bench), [1], "the missing one; not the other venue's");
    assert_eq!(bench.ledger.order(id(1)).unwrap().0, S::Unknown);
    assert_eq!(bench.ledger.order(id(3)).unwrap().0, S::Open);
    assert_eq!(bench.hear(filled(K::Filled, 1, 10, 10)), [(S::Filled, 10)]);
    bench.wait(1);
    assert_eq!(asked(&bench), [3], "then the one that may have filled meanwhile");
    bench.hear(OrderReport { client_id: id(3), ..total(K::Open, 0) });
    assert_eq!(bench.step(|l, now, out| l.on_reconcile_end(VenueId(0), now, out)), []);
    assert_eq!(bench.queries(), 0, "asked once");
}

#[test]
fn a_refusal_that_does_not_say_what_happened_is_queried() {
    for reject in [RejectClass::UnknownOutcome, RejectClass::Duplicate] {
        let mut bench = Bench::new();
        bench.sent(spec(TimeInForce::Ioc));
        assert_eq!(bench.hear(OrderReport { reject, ..says(K::Rejected) }), [(S::Unknown, 0)]);
        assert_eq!(bench.queries(), 1);
    }
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(total(K::Open, 0));
    let refused = OrderReport { reject: RejectClass::NotFound, ..says(K::CancelRejected) };
    assert_eq!(bench.hear(refused), [(S::Unknown, 0)], "filled or cancelled: the venue does not say");
    assert_eq!(bench.queries(), 1);
}

#[test]
fn executions_that_are_not_ours_pass_once_per_trade() {
    let mut bench = Bench::new();
    let liquidation = OrderReport { client_id: ClientId::NONE, ..filled(K::Filled, 9, 5, 5) };
    assert_eq!(bench.hear(liquidation), [(S::Filled, 5)]);
    assert_eq!(bench.out.updates[0].client_id, ClientId::NONE);
    assert_eq!(bench.hear(liquidation), []);
    let notice = OrderReport { client_id: ClientId::NONE, ..lite(10, 5) };
    assert_eq!(bench.hear(notice), [], "the full report follows");
    let full = OrderReport { client_id: ClientId::NONE, ..filled(K::PartiallyFilled, 10, 5, 5) };
    assert_eq!(bench.hear(full), [(S::PartiallyFilled, 5)]);
    assert_eq!(bench.ledger.open_orders().count(), 0);
}

#[test]
fn an_order_of_an_older_epoch_is_adopted_without_its_old_fills() {
    let mut bench = Bench::new();
    let old = ClientId::new(EPOCH - 1, 5);
    assert_eq!(
        bench.hear(OrderReport { client_id: old, ..total(K::PartiallyFilled, 4) }),
        [(S::PartiallyFilled, 0)]
    );
    assert_eq!(bench.odd(), [LedgerOddKind::Adopted]);
    assert_eq!(bench.out.updates[0].filled, Qty(4));
    assert_eq!(bench.wait(10 * SECOND), [], "its earlier fills are not owed");
    assert_eq!(
        bench.hear(OrderReport { client_id: old, ..filled(K::PartiallyFilled, 8, 2, 6) }),
        [(S::PartiallyFilled, 2)]
    );
    assert_eq!(bench.hear(OrderReport { client_id: old, ..total(K::Canceled, 6) }), [(S::Canceled, 0)]);
}

#[test]
fn the_venue_may_be_faster_than_our_own_loopback() {
    let mut bench = Bench::new();
    assert_eq!(bench.hear(filled(K::PartiallyFilled, 1, 4, 4)), [(S::PartiallyFilled, 4)]);
    assert_eq!(bench.sent(spec(TimeInForce::Ioc)), []);
    assert_eq!(bench.hear(filled(K::Filled, 2, 6, 10)), [(S::Filled, 6)]);
    // A reply that names neither listing nor side cannot be published before the order is known.
    let mut bench = Bench::new();
    let bare = OrderReport { instrument: None, side: None, ..total(K::Canceled, 0) };
    assert_eq!(bench.hear(bare), []);
    assert_eq!(bench.sent(spec(TimeInForce::Ioc)), [(S::Canceled, 0)]);
}

#[test]
fn words_about_another_listing_or_venue_are_not_taken() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.hear(OrderReport { venue: VenueId(1), ..filled(K::Filled, 1, 10, 10) }), []);
    assert_eq!(bench.odd(), [LedgerOddKind::Mismatch]);
    assert_eq!(
        bench.hear(OrderReport { instrument: Some(InstrumentId(0)), ..filled(K::Filled, 1, 10, 10) }),
        []
    );
    assert_eq!(bench.odd(), [LedgerOddKind::Mismatch]);
}

#[test]
fn quantities_follow_a_change_of_scales() {
    let mut bench = Bench::new();
    let listing = |qty_scale, generation| Instrument {
        id: InstrumentId(1),
        qty_scale,
        price_scale: 2,
        generation,
        ..Instrument::default()
    };
    bench.ledger.on_instrument(&listing(1, 1), &mut bench.out);
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(filled(K::PartiallyFilled, 1, 4, 4));
    bench.ledger.on_instrument(&listing(2, 2), &mut bench.out);
    assert_eq!(bench.hear(filled(K::Filled, 2, 60, 100)), [(S::Filled, 60)]);
    assert_eq!(bench.out.updates[0].filled, Qty(100));
}

#[test]
fn memory_is_bounded_and_the_oldest_closed_orders_are_forgotten_first() {
    let mut bench = Bench::new();
    for sequence in 1..=(3 * ORDERS_MAX as u64) {
        bench.sent(OrderSpec { client_id: id(sequence), ..spec(TimeInForce::Ioc) });
        if sequence != 1 {
            bench.hear(OrderReport { client_id: id(sequence), ..total(K::Canceled, 0) });
        }
    }
    assert_eq!(bench.ledger.open_orders().count(), 1);
    assert_eq!(bench.ledger.order(id(1)).unwrap().0, S::PendingNew, "live orders are never forgotten");
    assert_eq!(bench.ledger.order(id(2)), None);
    assert_eq!(bench.ledger.order(id(3 * ORDERS_MAX as u64)).unwrap().0, S::Canceled);
    let replayed = OrderReport { client_id: id(2), ..filled(K::Filled, 1, 10, 10) };
    assert_eq!(bench.hear(replayed), [(S::Filled, 10)], "a late fill of a forgotten order still counts");
    assert_eq!(bench.hear(replayed), []);
    let mut bench = Bench::new();
    for sequence in 1..=(LIVE_MAX as u64) {
        bench.sent(OrderSpec { client_id: id(sequence), ..spec(TimeInForce::Gtc) });
        assert_eq!(bench.odd(), []);
    }
    bench.sent(OrderSpec { client_id: id(99_999), ..spec(TimeInForce::Gtc) });
    assert_eq!(bench.odd(), [LedgerOddKind::TableFull]);
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Sent,
    Report(OrderReport),
}

/// A valid history of one order: how it fills and ends, and how talkative the venue is.
fn history(parts: &[i64], cancel: bool, lites: bool, totals: bool) -> Vec<Step> {
    let mut steps = vec![Step::Sent, Step::Report(says(K::Acked)), Step::Report(total(K::Open, 0))];
    let whole: i64 = parts.iter().sum();
    let mut cumulative = 0;
    for (at, qty) in parts.iter().enumerate() {
        let trade = at as u64 + 1;
        cumulative += qty;
        if lites {
            steps.push(Step::Report(lite(trade, *qty)));
        }
        let last = at + 1 == parts.len() && !cancel && whole == QTY;
        let kind = if last { K::Filled } else { K::PartiallyFilled };
        steps.push(Step::Report(filled(kind, trade, *qty, cumulative)));
        if totals {
            steps.push(Step::Report(total(kind, cumulative)));
        }
    }
    if whole < QTY {
        steps.push(Step::Report(if totals { total(K::Canceled, whole) } else { says(K::Canceled) }));
    }
    steps
}

/// Parts of at most the order's quantity.
fn parts() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(1i64..5, 0..6).prop_map(|wanted| {
        let mut left = QTY;
        wanted
            .into_iter()
            .map_while(|qty| {
                (left > 0).then(|| {
                    let part = qty.min(left);
                    left -= part;
                    part
                })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_order_and_repetition_of_a_history_ends_the_same(
        parts in parts(),
        (cancel, lites, totals) in any::<(bool, bool, bool)>(),
        keys in proptest::collection::vec(any::<u32>(), 40),
        repeats in proptest::collection::vec(0usize..100, 0..12),
        gaps in proptest::collection::vec(0i64..2_000_000_000, 60),
    ) {
        let straight = history(&parts, cancel, lites, totals);
        let mut steps: Vec<(u32, Step)> = keys.iter().copied().zip(straight.iter().copied()).collect();
        prop_assert_eq!(steps.len(), straight.len());
        for (at, repeat) in repeats.iter().enumerate() {
            // Reports are repeated; our own send outcome is not.
            if let step @ Step::Report(_) = straight[repeat % straight.len()] {
                steps.push((keys[at].rotate_left(7), step));
            }
        }
        steps.sort_by_key(|(key, _)| *key);

        let mut bench = Bench::new();
        let (mut updates, mut closed, mut before_sent) = (Vec::new(), 0, 0);
        for ((_, step), gap) in steps.iter().zip(gaps.iter().cycle()) {
            bench.wait(*gap);
            updates.append(&mut bench.out.updates);
            match step {
                Step::Sent => {
                    before_sent = updates.len();
                    bench.sent(spec(TimeInForce::Ioc));
                }
                Step::Report(report) => drop(bench.hear(*report)),
            }
            updates.append(&mut bench.out.updates);
        }
        let whole: i64 = parts.iter().sum();
        let expected = if whole == QTY { S::Filled } else { S::Canceled };
        prop_assert_eq!(bench.ledger.order(id(1)), Some((expected, Qty(whole))));
        prop_assert_eq!(bench.ledger.open_orders().count(), 0);
        bench.wait(100 * SECOND);
        prop_assert_eq!((bench.out.updates.len(), bench.queries()), (0, 0), "nothing is owed");

        let mut trades: Vec<(u64, i64, Money)> = Vec::new();
        let (mut state, mut sum) = (None, 0);
        for (at, update) in updates.iter().enumerate() {
            prop_assert!(update.fill_qty.0 > 0 || state != Some(update.state), "an update without a change");
            prop_assert!(state.is_none_or(|s: S| !s.is_terminal() || update.state.is_terminal()), "reopened");
            state = Some(update.state);
            closed += usize::from(update.state.is_terminal() && update.fill_qty.0 == 0);
            sum += update.fill_qty.0;
            prop_assert_eq!(update.filled.0, sum);
            // Before our own outcome is back the ledger does not know the order's size.
            let open = !update.state.is_terminal() && at >= before_sent;
            prop_assert_eq!(update.leaves.0, if open { QTY - sum } else { 0 });
            if update.fill_qty.0 > 0 {
                trades.push((update.trade_id, update.fill_qty.0, update.fee));
            }
        }
        prop_assert!(closed <= 1);
        trades.sort_unstable();
        let expected: Vec<_> = parts.iter().enumerate().map(|(at, qty)| {
            let trade = at as u64 + 1;
            (trade, *qty, fill(trade, *qty).fee.unwrap())
        }).collect();
        prop_assert_eq!(trades, expected);
    }
}

#[test]
fn a_cancel_that_was_not_answered_is_a_question_and_a_tag_finds_its_order() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    bench.hear(says(ReportKind::Open));
    let refused = |reject| OrderReport { reject, ..says(ReportKind::CancelRejected) };
    assert_eq!(bench.hear(refused(RejectClass::VenueDown)), []);
    assert_eq!(bench.queries(), 0, "it rests as before");
    assert_eq!(bench.hear(refused(RejectClass::UnknownOutcome)), [(S::Unknown, 0)]);
    assert_eq!(bench.queries(), 1);
    let (tag, venue) = (id(1).tag(), spec(TimeInForce::Gtc).venue);
    assert_eq!(bench.ledger.tagged(venue, tag), Some(id(1)));
    assert_eq!(bench.ledger.tagged(VenueId(venue.0 + 1), tag), None, "another venue's");
    assert_eq!(bench.ledger.tagged(venue, id(2).tag()), None);
    bench.hear(total(ReportKind::Canceled, 0));
    assert_eq!(bench.ledger.tagged(venue, tag), None, "it owes nothing any more");
}

/// An order handed to an HTTP thread.
fn handed() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.outcome(SendFate::Handed, spec(TimeInForce::Ioc)), [(S::PendingNew, 0)]);
    bench
}

impl Bench {
    fn place_reply(&mut self, status: u16) {
        self.ledger.on_place_reply(spec(TimeInForce::Ioc).venue, id(1).tag(), status);
    }

    /// Hears "no such order" every half second for `span`; the states published.
    fn not_found_for(&mut self, span: Nanos) -> Vec<(OrderState, i64)> {
        let (mut states, end) = (Vec::new(), self.now.mono + span);
        while self.now.mono < end {
            states.extend(self.wait(SECOND / 2));
            states.extend(self.hear(says(K::NotFound)));
        }
        states
    }
}

#[test]
fn no_such_order_is_not_believed_while_the_request_that_places_it_is_on_its_way() {
    let mut bench = handed();
    let states = bench.not_found_for(60 * SECOND);
    assert_eq!(states, [(S::Unknown, 0)], "asked about, and no more");
    // It arrives after all.
    bench.place_reply(200);
    bench.hear(says(K::Acked));
    assert_eq!(bench.hear(filled(K::Filled, 1, QTY, QTY)), [(S::Filled, QTY)]);
}

#[test]
fn no_such_order_is_believed_after_the_answer_to_its_request() {
    for status in [200, 400, 429] {
        let mut bench = handed();
        bench.not_found_for(10 * SECOND);
        bench.place_reply(status);
        assert_eq!(bench.not_found_for(3 * SECOND), [(S::Rejected, 0)], "{status}");
    }
}

#[test]
fn no_such_order_is_believed_without_an_answer_only_when_the_request_is_too_late_for_the_venue() {
    for status in [0, 408, 500, 502, 503] {
        let mut bench = handed();
        bench.not_found_for(SECOND);
        bench.place_reply(status);
        let left = HTTP_VALID_MS_MIN * MILLI + EXPIRY_MARGIN - 2 * SECOND;
        assert_eq!(bench.not_found_for(left), [], "{status}: it may still arrive");
        assert_eq!(bench.not_found_for(4 * SECOND), [(S::Rejected, 0)], "{status}");
    }
    // A configured time that is longer counts.
    let mut bench = Bench::new();
    bench.ledger.http_valid_ns[0] = 60 * SECOND;
    bench.outcome(SendFate::Handed, spec(TimeInForce::Ioc));
    bench.place_reply(0);
    assert_eq!(bench.not_found_for(59 * SECOND), [(S::Unknown, 0)]);
}

#[test]
fn an_order_that_was_withdrawn_was_not_sent_whatever_was_thought_before() {
    let withdrawn = SendFate::Withdrawn(RefuseReason::Killed);
    let mut bench = handed();
    assert_eq!(bench.outcome(withdrawn, spec(TimeInForce::Ioc)), [(S::Rejected, 0)]);
    assert_eq!(bench.ledger.open_orders().count(), 0);
    // It waited for so long that it was asked about.
    let mut bench = handed();
    assert_eq!(bench.not_found_for(2 * SECOND), [(S::Unknown, 0)]);
    assert_eq!(bench.outcome(withdrawn, spec(TimeInForce::Ioc)), [(S::Rejected, 0)]);
    bench.wait(60 * SECOND);
    assert_eq!(bench.queries(), 0, "nothing is left to ask");
    // What the venue has spoken of was not withdrawn; nor was what went over a socket.
    let mut bench = handed();
    bench.hear(says(K::Acked));
    assert_eq!(bench.outcome(withdrawn, spec(TimeInForce::Ioc)), []);
    assert_eq!(bench.odd(), [LedgerOddKind::Contradiction]);
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.outcome(withdrawn, spec(TimeInForce::Ioc)), []);
    assert_eq!(bench.odd(), [LedgerOddKind::Contradiction]);
}

#[test]
fn an_order_whose_connection_broke_behind_it_may_arrive_until_it_is_too_late_for_the_venue() {
    let broken: [fn(&mut Bench); 2] = [
        |bench| {
            bench.outcome(SendFate::Unknown, spec(TimeInForce::Ioc));
        },
        |bench| {
            bench.sent(spec(TimeInForce::Ioc));
            bench.step(|ledger, now, out| ledger.on_account_down(VenueId(0), now, out));
            bench.step(|ledger, now, out| ledger.on_reconcile_end(VenueId(0), now, out));
        },
    ];
    for breaks in broken {
        let mut bench = Bench::new();
        breaks(&mut bench);
        assert_eq!(bench.not_found_for(HTTP_VALID_MS_MIN * MILLI), [], "it may still arrive");
        let mut late = bench.ledger.clone();
        assert_eq!(bench.not_found_for(5 * SECOND), [(S::Rejected, 0)]);
        late.on_report(&filled(K::Filled, 1, QTY, QTY), bench.now, &mut bench.out);
        assert_eq!(late.order(id(1)), Some((S::Filled, Qty(QTY))), "and if it does, it counts");
    }
}

/// An execution as a list tells it that names the venue's order only.
fn listed(venue_order_id: u64, trade_id: u64, qty: i64) -> OrderReport {
    let report = OrderReport { venue_order_id, fill: Some(fill(trade_id, qty)), ..says(K::Acked) };
    OrderReport { client_id: ClientId::NONE, ..report }
}

impl Bench {
    fn execution(&mut self, report: OrderReport) -> Vec<(OrderState, i64)> {
        self.step(|ledger, now, out| ledger.on_execution(&report, now, out))
    }
}

#[test]
fn an_execution_that_names_the_venues_order_is_booked_for_ours_or_as_foreign_once() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    assert_eq!(bench.execution(listed(77, 1, 4)), [], "ours has no number yet: it may be that one");
    assert_eq!(bench.execution(listed(78, 2, 5)), []);
    assert!(bench.ledger.is_pending(VenueId(0), InstrumentId(1)));
    bench.hear(OrderReport { venue_order_id: 77, ..total(K::Canceled, 4) });
    let (states, updates) = (bench.wait(SECOND), bench.out.updates.clone());
    assert_eq!(states.len(), 2, "{states:?}");
    let of = |client: ClientId| updates.iter().find(|u| u.client_id == client).map(|u| (u.state, u.fill_qty));
    assert_eq!(of(id(1)), Some((S::Canceled, Qty(4))));
    assert_eq!(of(ClientId::NONE), Some((S::PartiallyFilled, Qty(5))), "deleveraging, at its own price");
    for again in [listed(77, 1, 4), listed(78, 2, 5)] {
        assert_eq!(bench.execution(again), []);
    }
    assert!(!bench.ledger.is_pending(VenueId(0), InstrumentId(1)));
}

#[test]
fn an_order_that_its_venue_never_resolves_is_told_and_ends_by_the_position() {
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Ioc));
    let mut told = 0;
    for _ in 0..120 {
        bench.wait(SECOND);
        told += bench.out.unresolved.len();
    }
    assert_eq!(told, 1, "once");
    assert_eq!(bench.ledger.order(id(1)), Some((S::Unknown, Qty(0))), "it keeps its capital");
    assert!(!bench.ledger.is_pending(VenueId(0), InstrumentId(1)), "the position is compared without it");
    let settled = bench.step(|ledger, now, out| {
        ledger.on_position_settled(VenueId(0), InstrumentId(1), now, out);
    });
    assert_eq!(settled, [(S::Rejected, 0)]);
    assert_eq!(bench.wait(600 * SECOND), []);
    assert_eq!(bench.queries(), 0);
    // The venue speaks after all.
    assert_eq!(bench.hear(filled(K::Filled, 1, QTY, QTY)), [(S::Filled, QTY)]);
    // One that may rest is not given up.
    let mut bench = Bench::new();
    bench.sent(spec(TimeInForce::Gtc));
    (0..120).for_each(|_| drop(bench.wait(SECOND)));
    let settled = bench.step(|ledger, now, out| {
        ledger.on_position_settled(VenueId(0), InstrumentId(1), now, out);
    });
    assert_eq!(settled, []);
}
