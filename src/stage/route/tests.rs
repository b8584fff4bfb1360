//! The route stage with the real encoders of two venues.

use super::*;
use crate::domain::event::SweepReply;
use crate::domain::input::{RefuseReason, SendOutcome};
use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId};
use crate::domain::intent::BasketKind;
use crate::domain::params::ListingParams;
use crate::domain::standing::Grant;
use crate::domain::text::Symbol;
use crate::stage::decode::plan;
use crate::venue::dialect;

const NAMES: [(&str, &str); 2] = [("deribit", "BTC_USDC-PERPETUAL"), ("okx", "BTC-USDT-SWAP")];

/// A route stage with the real encoders of two venues, and the texts of what it sends.
struct Rig {
    route: Route,
    now: Nanos,
}

impl Rig {
    fn new() -> Self {
        Self::with(OrderFallback::Off)
    }

    /// The second venue takes orders over HTTP while its order session is down.
    fn with(fallback: OrderFallback) -> Self {
        let venue = |(name, _): (&str, &str)| VenueParams {
            dialect: name.to_owned(),
            orders_per_10s_max: 200,
            orders_fallback: if name == "okx" { fallback } else { OrderFallback::Off },
            ..VenueParams::default()
        };
        let listing = |at: usize| ListingParams {
            id: InstrumentId(at as u16),
            venue: VenueId(at as u8),
            canonical: CanonicalId(0),
            symbol: Symbol::new(NAMES[at].1).unwrap(),
        };
        let params = EngineParams {
            venues: NAMES.map(venue).into(),
            listings: vec![listing(0), listing(1)],
            ..EngineParams::default()
        };
        let (conns, contexts) = plan(&params, true).unwrap();
        let encoder =
            |context: &crate::venue::VenueContext| dialect(&context.params.dialect).unwrap().encoder(context);
        let encoders = contexts.iter().map(encoder).collect();
        let mut rig = Self { route: Route::new(&params, conns, encoders), now: SECOND };
        for (at, venue) in [VenueId(0), VenueId(1)].into_iter().enumerate() {
            let listing = listing(at);
            rig.event(EventBody::Instrument(Instrument {
                id: listing.id,
                venue,
                symbol: listing.symbol,
                generation: 1,
                ..Instrument::default()
            }));
            let role = SessionRole::Orders;
            rig.event(EventBody::Session(SessionStatus { venue, role, ready: true }));
        }
        rig
    }

    fn flow(&mut self, body: FlowBody) -> Vec<String> {
        let mut sent = Vec::new();
        let at = Stamp { mono: self.now, wall: 1_790_000_000 * SECOND + self.now };
        self.route.on_flow(&Flow { seq: Seq(1), at, body }, &mut |made| {
            if let Made::Item(message) = made {
                assert!(message.meta.urgent);
                sent.push(String::from_utf8(message.payload.text().to_vec()).unwrap());
            }
        });
        sent
    }

    fn event(&mut self, event: EventBody) -> Vec<String> {
        self.flow(FlowBody::Event(event))
    }

    fn session(&mut self, role: SessionRole, ready: bool) {
        self.event(EventBody::Session(SessionStatus { venue: VenueId(1), role, ready }));
    }

    /// An order of that kind at the second venue: where it goes, or none when it is denied.
    fn basket(&mut self, kind: BasketKind) -> Option<Target> {
        let order = OrderSpec {
            client_id: ClientId::new(1, 7),
            venue: VenueId(1),
            instrument: InstrumentId(1),
            ..OrderSpec::default()
        };
        let basket = Basket { kind, len: 1, legs: [order; LEGS_MAX], ..Basket::default() };
        let at = Stamp { mono: self.now, wall: 1_790_000_000 * SECOND + self.now };
        let mut target = None;
        let body = FlowBody::Intent(Intent::Basket(basket));
        self.route.on_flow(&Flow { seq: Seq(1), at, body }, &mut |made| {
            if let Made::Item(message) = made {
                target = Some(message.meta.target);
            }
        });
        target
    }

    /// Places an order at a venue, as a reduction.
    fn place(&mut self, venue: u8, number: u64) -> Vec<String> {
        let order = OrderSpec {
            client_id: ClientId::new(1, number),
            venue: VenueId(venue),
            instrument: InstrumentId(u16::from(venue)),
            qty: crate::domain::instrument::Qty(10),
            price: crate::domain::instrument::Price(100),
            reduce_only: true,
            ..OrderSpec::default()
        };
        let mut basket = Basket { kind: BasketKind::Exit, len: 1, ..Basket::default() };
        basket.legs[0] = order;
        self.flow(FlowBody::Intent(Intent::Basket(basket)))
    }

    /// All that one cancel of everything at Deribit takes the place of: the second to the last of `numbers`.
    fn swept(numbers: std::ops::RangeInclusive<u64>) -> Self {
        let mut rig = Self::new();
        rig.event(EventBody::Grant(Grant { venue: VenueId(0), burst: 4, per_10s: 50, cancels: true }));
        (100..103).for_each(|number| drop(rig.cancel(0, number)));
        for number in numbers {
            let sent = rig.cancel(0, number);
            assert!(sent.iter().all(|sent| sent.contains("private/cancel_all")), "{sent:?}");
        }
        rig
    }

    /// What leaves with the ticks of so many milliseconds.
    fn ticks(&mut self, count: u32) -> Vec<String> {
        let mut sent = Vec::new();
        for _ in 0..count {
            self.now += crate::domain::time::MILLI;
            sent.extend(self.event(EventBody::Tick));
        }
        sent
    }

    fn cancel(&mut self, venue: u8, number: u64) -> Vec<String> {
        let (client_id, instrument) = (ClientId::new(1, number), InstrumentId(u16::from(venue)));
        let order = OrderRef { client_id, venue: VenueId(venue), instrument };
        self.flow(FlowBody::Intent(Intent::Cancel(order)))
    }
}

#[test]
fn where_cancels_count_one_for_all_takes_the_place_of_those_that_are_one_too_many() {
    let mut rig = Rig::new();
    let grant = Grant { venue: VenueId(0), burst: 4, per_10s: 10, cancels: true };
    assert!(rig.event(EventBody::Grant(grant)).is_empty());
    for number in 1..=3 {
        assert!(rig.cancel(0, number)[0].contains("private/cancel_by_label"));
    }
    assert!(rig.cancel(0, 4)[0].contains("private/cancel_all"));
    assert!(rig.cancel(0, 5).is_empty(), "that one is among all");
    rig.now += SWEEP_NS;
    assert!(rig.cancel(0, 5)[0].contains("private/cancel_all"), "it is open still");
    rig.now += 10 * SECOND;
    assert!(rig.cancel(0, 6)[0].contains("private/cancel_by_label"));
    // Where they do not count, nothing is held back.
    for number in 1..=300 {
        assert_eq!(rig.cancel(1, number).len(), 1);
    }
}

#[test]
fn while_the_order_session_is_down_orders_take_the_other_way_as_far_as_configured() {
    use BasketKind::{Entry, Exit, Hedge, Unwind};
    for (fallback, entries, reductions) in [
        (OrderFallback::Off, false, false),
        (OrderFallback::Reductions, false, true),
        (OrderFallback::All, true, true),
    ] {
        let mut rig = Rig::with(fallback);
        rig.session(SessionRole::Account, true);
        let over_http = |target: Option<Target>| matches!(target, Some(Target::Http { .. }));
        let on_socket = |target: Option<Target>| matches!(target, Some(Target::Socket(_)));
        for kind in [Entry, Exit, Hedge, Unwind] {
            assert!(on_socket(rig.basket(kind)), "{fallback:?}: {kind:?} with a session");
        }
        rig.session(SessionRole::Orders, false);
        for kind in [Entry, Exit, Hedge, Unwind] {
            let expected = if kind == Entry { entries } else { reductions };
            let target = rig.basket(kind);
            assert_eq!(over_http(target), expected, "{fallback:?}: {kind:?}: {target:?}");
            assert!(expected || target.is_none());
        }
        assert_eq!(rig.cancel(1, 3)[0].starts_with("POST /api/v5/trade/cancel-order"), reductions);
        // Without the account's own news nobody would hear of a fill.
        rig.session(SessionRole::Account, false);
        assert_eq!(rig.basket(Exit), None, "{fallback:?}");
        rig.session(SessionRole::Account, true);
        rig.session(SessionRole::Orders, true);
        for kind in [Entry, Exit, Hedge, Unwind] {
            assert!(on_socket(rig.basket(kind)), "{fallback:?}: back");
        }
        assert!(rig.cancel(1, 4)[0].contains("\"op\":\"cancel-order\""));
    }
}

#[test]
fn a_withdrawn_order_or_amendment_gives_no_credit_back_a_second_time() {
    let mut rig = Rig::new();
    rig.basket(BasketKind::Exit).expect("it goes");
    let outcome = |fate| {
        let (message, order) = (MessageId(1), Some(OrderSpec::default()));
        SendOutcome { message, fate, order }
    };
    assert_eq!(rig.route.outstanding, 1);
    rig.event(EventBody::Outcome(outcome(SendFate::Handed)));
    rig.basket(BasketKind::Exit).expect("it goes");
    let withdrawn = outcome(SendFate::Withdrawn(RefuseReason::Killed));
    rig.event(EventBody::Outcome(withdrawn));
    rig.event(EventBody::AmendOutcome(withdrawn));
    assert_eq!(rig.route.outstanding, 1, "the second one is under way still");
}

#[test]
fn a_cancel_of_everything_that_is_refused_or_lost_gives_way_to_single_ones() {
    let reply = |accepted| EventBody::Sweep(SweepReply { venue: VenueId(0), accepted });
    let fate = |fate| {
        // Three single cancels came before the sweep.
        let outcome = SendOutcome { message: MessageId(4), fate, order: None };
        EventBody::Outcome(outcome)
    };
    for (what, event) in [
        ("refused", Some(reply(false))),
        ("not sent", Some(fate(SendFate::Refused(RefuseReason::Epoch)))),
        ("perhaps sent", Some(fate(SendFate::Unknown))),
        ("unanswered", None),
    ] {
        let mut rig = Rig::swept(1..=9);
        assert!(rig.ticks(100).is_empty(), "{what}: nothing is known yet");
        rig.event(event.unwrap_or(EventBody::Tick));
        let sent = rig.ticks(500);
        assert_eq!(sent.len(), 9, "{what}: {sent:?}");
        assert!(sent.iter().all(|sent| sent.contains("private/cancel_by_label")), "{what}: {sent:?}");
        let again = rig.cancel(0, 9);
        assert!(again[0].contains("private/cancel_by_label"), "{what}: no other sweep at once");
        assert!(rig.ticks(2_000).is_empty(), "{what}: each once");
    }
    let mut rig = Rig::swept(1..=9);
    rig.event(fate(SendFate::Sent));
    rig.event(reply(true));
    assert!(rig.ticks(2_000).is_empty(), "done");
}

#[test]
fn after_a_cancel_of_everything_was_accepted_no_single_one_is_kept() {
    let mut rig = Rig::swept(1..=9);
    assert_eq!(rig.route.held.len(), 9);
    rig.event(EventBody::Sweep(SweepReply { venue: VenueId(0), accepted: true }));
    assert!(rig.route.held.is_empty(), "their orders are gone");
    for number in 1..=200 {
        assert!(rig.cancel(0, number).is_empty(), "{number} is among all");
    }
    assert!(rig.route.held.is_empty(), "{:?}", rig.route.held);
    rig.now += SWEEP_NS;
    let sent = rig.cancel(0, 9);
    assert_eq!(sent.len(), 1, "an order that is open still is asked for again");
    assert!(rig.ticks(2_000).is_empty(), "nothing is left to leave");
}

#[test]
fn an_order_that_was_placed_after_a_cancel_of_everything_has_its_own() {
    let mut rig = Rig::swept(1..=2);
    rig.now += SECOND / 5;
    assert_eq!(rig.place(0, 3).len(), 1);
    assert!(rig.cancel(0, 2).is_empty(), "covered");
    let sent = rig.cancel(0, 3);
    assert_eq!(sent.len(), 1, "not covered");
}

#[test]
fn a_grant_of_nothing_lets_cancels_and_reductions_leave() {
    let mut rig = Rig::new();
    rig.event(EventBody::Grant(Grant { venue: VenueId(0), burst: 0, per_10s: 0, cancels: true }));
    assert_eq!(rig.place(0, 1).len(), 1);
    assert_eq!(rig.cancel(0, 1).len(), 1);
}

#[test]
fn a_kill_cancels_everything_at_once_where_the_order_session_can() {
    let mut rig = Rig::new();
    let kill = |scope| EventBody::Command(Command::Kill(scope));
    assert!(rig.event(kill(Scope::Venue(VenueId(1)))).is_empty(), "one by one there");
    let sent = rig.event(kill(Scope::Global));
    assert!(sent.len() == 1 && sent[0].contains("private/cancel_all"), "{sent:?}");
    let (venue, role) = (VenueId(0), SessionRole::Orders);
    rig.event(EventBody::Session(SessionStatus { venue, role, ready: false }));
    assert!(rig.event(kill(Scope::Venue(VenueId(0)))).is_empty(), "no session");
}

#[test]
fn a_window_that_is_used_up_holds_what_can_wait_until_the_venue_takes_orders_again() {
    let venue = VenueParams { orders_per_10s_max: 100, ..VenueParams::default() };
    let params = EngineParams { venues: vec![venue], ..EngineParams::default() };
    let mut route = Route::new(&params, Vec::new(), Vec::new());
    let left = |route: &mut Route, orders_left, retry_after_s, now| {
        let pace = Pace { status: 200, orders_left: Some(orders_left), retry_after_s, ..Pace::default() };
        route.on_pace(&pace, now);
        [false, true].map(|urgent| route.budgets[0].available(now, urgent) > 0)
    };
    assert_eq!(left(&mut route, 1, 0, 0), [true, true]);
    assert_eq!(left(&mut route, 0, 0, 0), [false, true], "a hedge is tried all the same");
    assert_eq!(left(&mut route, 9, 0, SECOND - 1), [false, true]);
    assert_eq!(left(&mut route, 9, 0, SECOND), [true, true]);
    assert_eq!(left(&mut route, 0, 3, SECOND), [false, true]);
    assert_eq!(left(&mut route, 9, 0, 4 * SECOND - 1), [false, true]);
    assert_eq!(left(&mut route, 9, 0, 4 * SECOND), [true, true]);
}

#[test]
fn a_ban_holds_even_hedges_for_as_long_as_the_venue_says_and_for_two_minutes_where_it_says_nothing() {
    let venue = VenueParams { orders_per_10s_max: 100, ..VenueParams::default() };
    let params = EngineParams { venues: vec![venue], ..EngineParams::default() };
    let mut route = Route::new(&params, Vec::new(), Vec::new());
    let urgent = |route: &mut Route, now| route.budgets[0].available(now, true) > 0;
    route.on_pace(&Pace { status: 418, retry_after_s: 3, ..Pace::default() }, 0);
    assert_eq!([3 * SECOND - 1, 3 * SECOND].map(|now| urgent(&mut route, now)), [false, true]);
    route.on_pace(&Pace { status: 418, ..Pace::default() }, 10 * SECOND);
    assert_eq!([130 * SECOND - 1, 130 * SECOND].map(|now| urgent(&mut route, now)), [false, true]);
}
