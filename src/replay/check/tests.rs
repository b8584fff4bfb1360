//! A clean history breaks no rule; each rule is broken by one change to it, and by nothing else.

use super::*;
use crate::domain::effect::{MessageId, Target};
use crate::domain::event::Mark;
use crate::domain::input::{ConnId, RefuseReason};
use crate::domain::instrument::{InstrumentId, Price, Qty, VenueId, VenueSpec};
use crate::domain::intent::TradeId;
use crate::domain::number::Num;
use crate::domain::order::{OrderState, Side, TimeInForce};
use crate::domain::time::MILLI;

enum Owned {
    Input(Input),
    Event(EventBody),
    Wish(Basket),
    Approved(Basket),
    Denied(Denial),
    /// Wanted, or approved.
    Replace(Replace, bool),
    Message(OutMeta, Vec<u8>),
}

impl Owned {
    fn checked(&self, checker: &mut Checker, seq: u64, mono: Nanos) {
        let fact = match self {
            Self::Input(input) => Fact::Input(input),
            Self::Event(body) => Fact::Event(body),
            Self::Wish(basket) => return checker.fact(Seq(seq), mono, Fact::Wish(&Intent::Basket(*basket))),
            Self::Approved(basket) => {
                return checker.fact(Seq(seq), mono, Fact::Approved(&Intent::Basket(*basket)));
            }
            Self::Denied(denial) => Fact::Denied(denial),
            Self::Replace(replace, approved) => {
                let intent = Intent::Replace(*replace);
                let fact = if *approved { Fact::Approved(&intent) } else { Fact::Wish(&intent) };
                return checker.fact(Seq(seq), mono, fact);
            }
            Self::Message(meta, text) => Fact::Message(meta, text),
        };
        checker.fact(Seq(seq), mono, fact);
    }
}

/// A history that can be changed before it is checked.
#[derive(Default)]
struct History {
    facts: Vec<(u64, Nanos, Owned)>,
    seq: u64,
    mono: Nanos,
}

const PRICE: i64 = 6_000_000; // 60000.00

fn listing(id: u16) -> Instrument {
    Instrument {
        id: InstrumentId(id),
        venue: VenueId(id as u8),
        spec: VenueSpec { multiplier: Num::new(1, 0), status: Status::Trading, ..VenueSpec::default() },
        price_scale: 2,
        qty_scale: 3,
        tick: 1,
        step: 1,
        generation: 1,
        ..Instrument::default()
    }
}

fn order(n: u64, leg: u16, side: Side, qty: i64) -> OrderSpec {
    OrderSpec {
        client_id: ClientId::new(1, n),
        venue: VenueId(leg as u8),
        instrument: InstrumentId(leg),
        side,
        qty: Qty(qty),
        price: Price(PRICE),
        ..OrderSpec::default()
    }
}

fn basket(trade: u32, kind: BasketKind, orders: &[OrderSpec]) -> Basket {
    let mut basket = Basket { trade: TradeId(trade), kind, len: orders.len() as u8, ..Basket::default() };
    for (i, order) in orders.iter().enumerate() {
        basket.legs[i] = *order;
        basket.mids[i] = Price(PRICE);
        basket.book_age_ns[i] = MILLI;
    }
    basket
}

fn meta(order: OrderSpec) -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(order.client_id.sequence()),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 1,
        urgent: false,
        order: Some(order),
    }
}

fn filled(order: &OrderSpec, before: i64, qty: i64, trade_id: u64) -> OrderUpdate {
    let leaves = order.qty.0 - before - qty;
    OrderUpdate {
        client_id: order.client_id,
        venue: order.venue,
        instrument: order.instrument,
        side: order.side,
        state: if leaves == 0 { OrderState::Filled } else { OrderState::PartiallyFilled },
        filled: Qty(before + qty),
        leaves: Qty(leaves),
        fill_qty: Qty(qty),
        fill_price: order.price,
        trade_id,
        ..OrderUpdate::default()
    }
}

fn sent(order: OrderSpec, fate: SendFate) -> Input {
    Input::Outcome(SendOutcome { message: MessageId(order.client_id.sequence()), fate, order: Some(order) })
}

impl History {
    fn begun() -> Self {
        let mut history = Self::default();
        history.input(Input::Config);
        for id in 0..2 {
            history.fact(Owned::Event(EventBody::Instrument(listing(id))));
        }
        history
    }

    fn input(&mut self, input: Input) {
        self.seq += 1;
        self.mono += 10 * MILLI;
        self.fact(Owned::Input(input));
    }

    fn fact(&mut self, fact: Owned) {
        self.facts.push((self.seq, self.mono, fact));
    }

    /// Wanted, approved, made into messages and sent.
    fn placed(&mut self, basket: Basket) {
        self.input(Input::Tick);
        self.fact(Owned::Wish(basket));
        self.fact(Owned::Approved(basket));
        for order in basket.orders() {
            let text = format!("{{\"id\":\"{}\"}}", order.client_id);
            self.fact(Owned::Message(meta(*order), text.into_bytes()));
        }
        for order in basket.orders() {
            self.input(sent(*order, SendFate::Sent));
        }
    }

    fn update(&mut self, update: OrderUpdate) {
        self.input(Input::Tick);
        self.fact(Owned::Event(EventBody::Order(update)));
    }

    fn checked(&self, limits: &CheckLimits) -> CheckReport {
        let mut checker = Checker::new(limits.clone());
        self.facts.iter().for_each(|(seq, mono, fact)| fact.checked(&mut checker, *seq, *mono));
        checker.finish()
    }

    fn rules(&self) -> Vec<&'static str> {
        rules(&self.checked(&limits()))
    }
}

fn rules(report: &CheckReport) -> Vec<&'static str> {
    assert_eq!(report.violations, report.first.len() as u64);
    let mut rules: Vec<_> = report.first.iter().map(|v| v.rule).collect();
    rules.dedup();
    rules
}

fn limits() -> CheckLimits {
    CheckLimits::of(&EngineParams::default())
}

fn entry() -> [OrderSpec; 2] {
    [order(1, 0, Side::Buy, 50), order(2, 1, Side::Sell, 50)]
}

fn exit() -> [OrderSpec; 2] {
    let closing = |n, leg, side| OrderSpec { reduce_only: true, ..order(n, leg, side, 50) };
    [closing(3, 0, Side::Sell), closing(4, 1, Side::Buy)]
}

/// A trade that opens in three fills and closes in two.
fn clean() -> History {
    let mut history = History::begun();
    let (open, close) = (entry(), exit());
    history.placed(basket(1, BasketKind::Entry, &open));
    history.update(filled(&open[0], 0, 20, 1));
    history.update(filled(&open[0], 20, 30, 2));
    history.update(filled(&open[1], 0, 50, 1));
    history.placed(basket(1, BasketKind::Exit, &close));
    history.update(filled(&close[0], 0, 50, 3));
    history.update(filled(&close[1], 0, 50, 2));
    history
}

#[test]
fn a_clean_history_breaks_no_rule_and_its_residual_is_reported() {
    let report = clean().checked(&limits());
    assert_eq!(report.first, []);
    assert_eq!((report.baskets, report.orders, report.fills, report.strays), (2, 4, 5, 0));
    assert_eq!(report.unhedged_max, Money::from_units(3000), "0.05 at 60000");
    assert_eq!((report.unhedged_longest_ns, report.unhedged_open), (20 * MILLI, 0));
}

#[test]
fn tightened_limits_are_seen_to_be_broken() {
    let units = Money::from_units;
    type Tighten = fn(&mut CheckLimits);
    let cases: [(&str, Tighten); 9] = [
        ("order_notional", |l| l.order_notional_max = Money::from_units(1499)),
        ("instrument_position", |l| l.instrument_position_max = Money::from_units(2900)),
        ("venue_position", |l| l.venue_position_max = Money::from_units(2900)),
        ("gross_exposure", |l| l.gross_exposure_max = Money::from_units(5800)),
        ("open_orders", |l| l.open_orders_max = 1),
        ("order_rate", |l| l.order_rate_per_s_max = 1),
        ("book_age", |l| l.book_age_max_ns = MILLI / 100),
        ("unhedged_notional", |l| l.unhedged_notional_max = Some(Money::from_units(2999))),
        ("unhedged_time", |l| l.unhedged_ns_max = Some(19 * MILLI)),
    ];
    for (rule, tighten) in cases {
        let mut tight = limits();
        tighten(&mut tight);
        assert_eq!(rules(&clean().checked(&tight)), [rule], "{rule}");
    }
    let mut loose = limits();
    loose.instrument_position_max = units(2950); // within the tolerance of the valuation
    assert_eq!(clean().checked(&loose).violations, 0);
}

#[test]
fn what_was_not_approved_as_sent_is_found() {
    let stranger = order(9, 0, Side::Buy, 10);
    let mut history = clean();
    history.input(sent(stranger, SendFate::Sent));
    assert_eq!(history.rules(), ["sent_without_approval"]);

    let mut history = clean();
    history.input(sent(entry()[0], SendFate::Unknown));
    assert_eq!(history.rules(), ["sent_twice"]);

    let mut history = History::begun();
    let asked = order(1, 0, Side::Buy, 50);
    let wish = basket(1, BasketKind::Entry, &[asked]);
    history.fact(Owned::Wish(wish));
    history.fact(Owned::Approved(wish));
    history.fact(Owned::Message(meta(OrderSpec { qty: Qty(51), ..asked }), asked.client_id.hex().to_vec()));
    assert_eq!(history.rules(), ["sent_differs"]);

    let mut history = History::begun();
    history.fact(Owned::Wish(wish));
    history.fact(Owned::Approved(basket(
        1,
        BasketKind::Entry,
        &[OrderSpec { price: Price(PRICE + 1), ..asked }],
    )));
    assert_eq!(history.rules(), ["approved_without_wish"]);

    let mut history = History::begun();
    history.fact(Owned::Wish(wish));
    history.fact(Owned::Approved(wish));
    history.fact(Owned::Message(meta(asked), b"{\"id\":\"another\"}".to_vec()));
    assert_eq!(history.rules(), ["text_without_id"]);
}

#[test]
fn a_denied_basket_is_never_sent_and_a_refused_order_is_not_open() {
    let asked = order(1, 0, Side::Buy, 50);
    let wish = basket(1, BasketKind::Entry, &[asked]);
    let mut history = History::begun();
    history.input(Input::Tick);
    history.fact(Owned::Wish(wish));
    history.fact(Owned::Approved(wish));
    history.fact(Owned::Denied(Denial {
        trade: TradeId(1),
        attempt: 0,
        kind: BasketKind::Entry,
        reason: crate::domain::intent::DenyReason::RouteUnavailable,
        leg: 255,
        value: Money::ZERO,
        limit: Money::ZERO,
    }));
    assert_eq!(history.rules(), [] as [&str; 0]);
    history.input(sent(asked, SendFate::Sent));
    assert_eq!(history.rules(), ["sent_without_approval"]);

    let mut tight = limits();
    tight.open_orders_max = 2;
    let mut history = History::begun();
    let first = [order(11, 0, Side::Buy, 50), order(12, 1, Side::Sell, 50)];
    history.input(Input::Tick);
    history.fact(Owned::Wish(basket(2, BasketKind::Entry, &first)));
    history.fact(Owned::Approved(basket(2, BasketKind::Entry, &first)));
    for order in first {
        history.input(sent(order, SendFate::Refused(RefuseReason::Stale)));
    }
    history.placed(basket(1, BasketKind::Entry, &entry()));
    assert_eq!(history.checked(&tight).violations, 0);
}

#[test]
fn repeated_ids_and_holes_in_the_sequence_are_found() {
    let mut history = clean();
    let again = basket(2, BasketKind::Entry, &entry()[..1]);
    history.input(Input::Tick);
    history.fact(Owned::Wish(again));
    history.fact(Owned::Approved(again));
    assert_eq!(history.rules(), ["client_id_repeated"]);

    let mut history = clean();
    history.seq += 1;
    history.input(Input::Tick);
    history.input(Input::Tick);
    let report = history.checked(&limits());
    assert_eq!((rules(&report), report.violations), (vec!["input_hole"], 1));
}

#[test]
fn prices_far_from_the_mid_are_found_and_urgent_orders_may_lie_further() {
    let far = |kind, reduce_only, bps: i64| {
        let price = Price(PRICE + PRICE * bps / 10_000);
        let mut history = History::begun();
        history.placed(basket(1, kind, &[OrderSpec { price, reduce_only, ..order(1, 0, Side::Buy, 10) }]));
        history.rules()
    };
    assert_eq!(far(BasketKind::Entry, false, 99), [] as [&str; 0]);
    assert_eq!(far(BasketKind::Entry, false, 101), ["price_collar"]);
    assert_eq!(far(BasketKind::Exit, true, 299), [] as [&str; 0]);
    assert_eq!(far(BasketKind::Exit, true, 301), ["price_collar"]);
    assert_eq!(far(BasketKind::Unwind, false, 0), ["not_reduce_only"]);
}

#[test]
fn prices_beyond_a_venues_band_are_found_as_long_as_it_is_known() {
    let num = |text: &str| Num::parse(text.as_bytes()).ok();
    let rules = |mark: Mark, side, price: i64, later: Nanos| {
        let mut history = History::begun();
        history.fact(Owned::Event(EventBody::Mark(mark)));
        history.mono += later;
        history.input(Input::Tick);
        let spec = OrderSpec { price: Price(price), reduce_only: true, ..order(1, 0, side, 10) };
        history.placed(basket(1, BasketKind::Exit, &[spec]));
        history.rules()
    };
    let stated = Mark { buy_max: num("60000.5"), sell_min: num("59999.5"), ..Mark::default() };
    assert_eq!(rules(stated, Side::Buy, PRICE + 50, SECOND), [] as [&str; 0]);
    assert_eq!(rules(stated, Side::Buy, PRICE + 51, SECOND), ["price_band"]);
    assert_eq!(rules(stated, Side::Sell, PRICE - 50, SECOND), [] as [&str; 0]);
    assert_eq!(rules(stated, Side::Sell, PRICE - 51, SECOND), ["price_band"]);
    assert_eq!(rules(stated, Side::Buy, PRICE + 51, 16 * SECOND), [] as [&str; 0], "too long ago");
    assert_eq!(rules(Mark { mark: num("1"), ..Mark::default() }, Side::Buy, PRICE, 0), [] as [&str; 0]);
}

#[test]
fn old_books_are_found_but_under_what_only_reduces() {
    let old = |kind, reduce_only, age| {
        let mut history = History::begun();
        let order = OrderSpec { reduce_only, ..order(1, 0, Side::Buy, 10) };
        let mut basket = basket(1, kind, &[order]);
        basket.book_age_ns[0] = age;
        history.placed(basket);
        history.rules()
    };
    let most = limits().book_age_max_ns;
    assert_eq!(old(BasketKind::Entry, false, most), [] as [&str; 0]);
    assert_eq!(old(BasketKind::Entry, false, most + 1), ["book_age"]);
    assert_eq!(old(BasketKind::Hedge, false, 10 * most), ["hedge_enlarges"], "it has no trade here");
    assert_eq!(old(BasketKind::Hedge, false, 10 * most + 1), ["book_age", "hedge_enlarges"]);
    assert_eq!(old(BasketKind::Exit, true, 1_000 * most), [] as [&str; 0]);
}

#[test]
fn wrong_fills_are_found() {
    let with = |change: fn(&mut OrderUpdate)| {
        let mut history = History::begun();
        history.placed(basket(1, BasketKind::Entry, &entry()));
        let mut update = filled(&entry()[0], 0, 20, 1);
        change(&mut update);
        history.update(update);
        history.rules()
    };
    assert_eq!(with(|_| ()), [] as [&str; 0]);
    assert_eq!(with(|u| u.client_id = ClientId::new(1, 77)), ["fill_unknown"]);
    assert_eq!(with(|u| u.side = Side::Sell), ["fill_mismatch"]);
    assert_eq!(with(|u| (u.filled, u.leaves) = (Qty(30), Qty(20))), ["fill_sum"]);
    assert_eq!(with(|u| u.leaves = Qty(31)), ["fill_exceeds"]);
    assert_eq!(with(|u| u.fill_price = Price(PRICE + 1)), ["fill_beyond_limit"]);

    let mut history = clean();
    history.update(filled(&entry()[0], 20, 30, 2));
    let rules = history.rules();
    assert!(
        ["fill_after_end", "fill_repeated", "fill_sum"].iter().all(|rule| rules.contains(rule)),
        "{rules:?}"
    );
}

#[test]
fn a_fill_of_an_order_that_was_taken_over_is_known_once() {
    let old = entry()[0];
    let unknown = OrderUpdate { fill_qty: Qty(0), ..filled(&old, 0, 0, 0) };
    let mut history = History::begun();
    history.input(Input::Carry);
    history.fact(Owned::Event(EventBody::Order(OrderUpdate { state: OrderState::Unknown, ..unknown })));
    history.update(filled(&old, 20, 30, 2));
    assert_eq!(history.rules(), [] as [&str; 0]);
    history.update(filled(&old, 20, 30, 2));
    assert_eq!(history.rules(), ["fill_repeated"]);
    history.update(filled(&entry()[1], 0, 50, 3));
    assert_eq!(history.rules(), ["fill_repeated", "fill_unknown"], "another one was not taken over");
}

#[test]
fn a_reduce_only_order_that_opens_or_turns_a_position_is_found() {
    let mut history = History::begun();
    let close = OrderSpec { reduce_only: true, ..order(1, 0, Side::Sell, 10) };
    history.placed(basket(1, BasketKind::Exit, &[close]));
    history.update(filled(&close, 0, 10, 1));
    assert_eq!(history.rules(), ["reduce_only_increases"]);

    // The same order against a position that was there before the run is fine.
    let report = |qty| {
        let report =
            crate::domain::event::PositionReport { instrument: InstrumentId(0), qty, ..Default::default() };
        EventBody::Position(report)
    };
    history.facts.insert(1, (1, 0, Owned::Event(report(10))));
    assert_eq!(history.rules(), [] as [&str; 0]);
    history.facts[1] = (1, 0, Owned::Event(report(6)));
    assert_eq!(history.rules(), ["reduce_only_increases"], "10 sold of 6");
}

#[test]
fn a_hedge_that_enlarges_the_residual_is_found() {
    let hedged = |side| {
        let mut history = History::begun();
        let open = entry();
        history.placed(basket(1, BasketKind::Entry, &open));
        history.update(filled(&open[0], 0, 50, 1));
        history.placed(basket(1, BasketKind::Hedge, &[order(5, 1, side, 50)]));
        history.rules()
    };
    assert_eq!(hedged(Side::Sell), [] as [&str; 0]);
    assert_eq!(hedged(Side::Buy), ["hedge_enlarges"]);
}

#[test]
fn nothing_opens_while_trading_is_stopped() {
    let after = |command, reduce_only, kind| {
        let mut history = History::begun();
        history.input(Input::Command(command));
        history.placed(basket(1, kind, &[OrderSpec { reduce_only, ..order(1, 0, Side::Buy, 10) }]));
        history.rules()
    };
    let none: [&str; 0] = [];
    assert_eq!(after(Command::Kill(Scope::Global), false, BasketKind::Entry), ["opens_while_stopped"]);
    assert_eq!(
        after(Command::Kill(Scope::Venue(VenueId(0))), false, BasketKind::Entry),
        ["opens_while_stopped"]
    );
    assert_eq!(after(Command::Kill(Scope::Venue(VenueId(1))), false, BasketKind::Entry), none);
    assert_eq!(after(Command::Kill(Scope::Global), true, BasketKind::Exit), none);
    assert_eq!(after(Command::Reduce, false, BasketKind::Entry), ["opens_while_stopped"]);
    assert_eq!(after(Command::Resume, false, BasketKind::Entry), none);
}

#[test]
fn a_trade_left_open_counts_to_the_end_of_the_record() {
    let mut history = History::begun();
    history.placed(basket(1, BasketKind::Entry, &entry()));
    history.update(filled(&entry()[0], 0, 50, 1));
    (0..100).for_each(|_| history.input(Input::Tick));
    let report = history.checked(&limits());
    assert_eq!((report.unhedged_open, report.unhedged_longest_ns), (1, SECOND));
}

#[test]
fn an_order_in_old_steps_and_an_opening_at_a_suspended_contract_are_found() {
    let changed = |change: fn(&mut Instrument)| {
        let mut history = History::begun();
        let mut instrument = listing(0);
        change(&mut instrument);
        history.fact(Owned::Event(EventBody::Instrument(instrument)));
        history.placed(basket(1, BasketKind::Entry, &entry()));
        history.rules()
    };
    assert_eq!(changed(|_| ()), Vec::<&str>::new());
    assert_eq!(changed(|instrument| instrument.step = 60), ["off_grid"]);
    assert_eq!(changed(|instrument| instrument.tick = 1_000_003), ["off_grid"]);
    assert_eq!(changed(|instrument| instrument.spec.status = Status::Suspended), ["opens_suspended"]);
}

#[test]
fn an_order_in_the_place_of_another_one_keeps_every_rule_of_an_order() {
    // An order of 50 of which 20 have filled; a total of 60 is asked for, so 40 take its place.
    let old = OrderSpec { tif: TimeInForce::Gtc, ..order(1, 0, Side::Buy, 50) };
    let replaced = |change: fn(&mut Replace), more: fn(&mut History, &OrderSpec)| {
        let mut history = History::begun();
        history.placed(basket(1, BasketKind::Entry, &[old]));
        history.update(filled(&old, 0, 20, 1));
        let to = OrderSpec { client_id: ClientId::new(1, 2), qty: Qty(60), ..old };
        let with = Amend { trade: TradeId(2), to, mid: Price(PRICE), ..Amend::default() };
        let wish = Replace { old: old.client_id, with };
        history.fact(Owned::Replace(wish, false));
        let mut approved = wish;
        approved.with.to.qty = Qty(40);
        change(&mut approved);
        history.fact(Owned::Replace(approved, true));
        let new = approved.with.to;
        history.fact(Owned::Message(meta(new), new.client_id.to_string().into_bytes()));
        let outcome = SendOutcome { message: MessageId(2), fate: SendFate::Sent, order: Some(new) };
        history.input(Input::ReplaceOutcome { outcome, old: old.client_id });
        more(&mut history, &new);
        history.rules()
    };
    let none: [&str; 0] = [];
    assert_eq!(replaced(|_| (), |history, new| history.update(filled(new, 0, 40, 2))), none);
    let over = |replace: &mut Replace| replace.with.to.qty = Qty(60);
    assert_eq!(
        replaced(over, |_, _| ()),
        ["approved_without_wish"],
        "what has filled is not asked for again"
    );
    let unknown = |replace: &mut Replace| replace.old = ClientId::new(1, 9);
    assert_eq!(replaced(unknown, |_, _| ()), ["approved_without_wish", "amend_unknown"]);
    let turned = |replace: &mut Replace| replace.with.to.side = Side::Sell;
    assert_eq!(replaced(turned, |_, _| ()), ["approved_without_wish", "sent_differs"]);
    let far = |history: &mut History, new: &OrderSpec| {
        history.update(OrderUpdate { fill_price: Price(new.price.0 + 1), ..filled(new, 0, 40, 2) });
    };
    assert_eq!(replaced(|_| (), far), ["fill_beyond_limit"]);
    // A second one while the first is open.
    let again = |history: &mut History, new: &OrderSpec| {
        let to = OrderSpec { client_id: ClientId::new(1, 3), qty: Qty(60), ..*new };
        let with = Amend { trade: TradeId(3), to, mid: Price(PRICE), ..Amend::default() };
        let mut replace = Replace { old: ClientId::new(1, 1), with };
        history.fact(Owned::Replace(replace, false));
        replace.with.to.qty = Qty(40);
        history.fact(Owned::Replace(replace, true));
    };
    assert_eq!(replaced(|_| (), again), ["amend_overlaps"]);
}
