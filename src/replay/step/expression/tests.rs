//! Reading expressions: types, choices, and errors that point. What they say of a run is tested on one.

use super::super::filter::tests::book;
use super::*;
use proptest::prelude::*;

fn read_in<T>(text: &str, with: impl FnOnce(&str, &Scope<'_>) -> T) -> T {
    let book = book();
    with(text, &Scope { book: &book, start: 0, epoch: 7 })
}

fn choices(text: &str) -> usize {
    read_in(text, |text, scope| Predicate::parse(text, scope).expect(text).choices.len())
}

fn error(text: &str) -> String {
    read_in(text, |text, scope| Predicate::parse(text, scope).err().expect(text).to_string())
}

#[test]
fn quantities_of_one_subject_and_filter_speak_of_one_choice() {
    assert_eq!(choices("seq > 5 and mode == normal and open_orders[okx] > 2"), 0);
    assert_eq!(choices("book.crossed and venue == okx and position > 0"), 1);
    assert_eq!(choices("position[okx] != 0 and residual[ okx ] > 0"), 1);
    assert_eq!(choices("position[okx] > position[binance]"), 2);
    assert_eq!(choices("event == mark and venue == okx"), 1);
    assert_eq!(choices("edge_bps > 8 and buy == okx and event == trade"), 2);
    assert_eq!(choices("position != position.venue"), 1);
    assert_eq!(choices("t >= +12.5s and book.age > 250ms or order == 2a"), 2);
}

#[test]
fn errors_point_at_the_column_and_list_what_exists() {
    for (text, column, part) in [
        ("bok.crossed", 1, "book.crossed, "),
        ("seq > many", 7, "is not a number such as 8"),
        ("edge_bps", 1, "is a number: compare it"),
        ("mode == asleep", 9, "one of normal, reducing, halted"),
        ("mode < halted", 1, "has no order"),
        ("seq[okx] > 1", 4, "takes no filter"),
        ("book.live[kraken]", 10, "the venues binance-usdm, okx"),
        ("book.live and venue == kraken", 24, "the instruments BTC/USDT:USDT, ETH/USDT:USDT"),
        ("book.live and event == trade and venue == okx", 34, "choose by a filter"),
        ("edge_bps > 8 and venue == okx", 18, "`buy` and `sell`"),
        ("t > 5", 5, "such as +12.5s"),
        ("order == xyz", 10, "32 hex digits"),
        ("book.age > 5", 12, "such as 250ms"),
        ("seq > t", 7, "`t` is an instant; a number belongs here"),
        ("seq > 1[okx]", 7, "takes no filter"),
        ("book.live[okx] and book.live[binance] and book.live[BTC] and book.live[ETH]", 62, "at most 3"),
    ] {
        let said = error(text);
        assert!(said.starts_with(&format!("column {column}: ")) && said.contains(part), "{text}: {said}");
    }
}

#[test]
fn numbers_are_compared_exactly() {
    let value =
        |text: &str| match read_in(text, |text, scope| Predicate::parse(text, scope).expect(text)).root {
            Node::Compare(_, _, Right::Number(number)) => number,
            _ => panic!("{text}"),
        };
    assert!(value("net_pnl > 0.100000000000000001") > value("net_pnl > 0.1"));
    assert_eq!(value("net_pnl > 1e-18"), Money(1));
}

#[test]
fn an_order_is_named_in_full_or_by_its_number() {
    let id = |text: &str| match read_in(text, |text, scope| Predicate::parse(text, scope).expect(text)).root {
        Node::Compare(_, _, Right::Order(id)) => id,
        _ => panic!("{text}"),
    };
    assert_eq!(id("order == 2a"), ClientId::new(7, 42));
    assert_eq!(id("order == 0000000000000003000000000000002a"), ClientId::new(3, 42));
}

#[test]
fn a_quantity_alone_is_watched_by_its_values() {
    let is_quantity = |text| {
        matches!(read_in(text, |text, scope| Watch::parse(text, scope).expect(text)), Watch::Quantity { .. })
    };
    assert!(is_quantity("residual[BTC okx]") && is_quantity("mode") && !is_quantity("seq > 5"));
    assert!(read_in("nothing", |text, scope| Watch::parse(text, scope).is_err()));
}

/// Expressions made of real words, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let names: Vec<&str> = QUANTITIES.iter().map(|quantity| quantity.name).collect();
    let others = [
        "and",
        "or",
        "not",
        "(",
        ")",
        "==",
        "!=",
        "<",
        ">=",
        "[okx]",
        "[okx>binance]",
        "[]",
        "8",
        "-1.5",
        "+2s",
        "trade",
        "normal",
        "okx",
        "BTC",
        "true",
        "1e99",
        "ffff",
    ];
    let word =
        prop_oneof![3 => proptest::sample::select(names), 4 => proptest::sample::select(others.to_vec())];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_expression_is_typed_or_an_error_inside_of_it(text in prop_oneof![pieces(), "\\PC{0,30}"]) {
        let wrong = read_in(&text, |text, scope| Predicate::parse(text, scope).err());
        let watched = read_in(&text, |text, scope| Watch::parse(text, scope).is_ok());
        prop_assert!(watched || wrong.is_some(), "what is an expression can be watched");
        if let Some(why) = wrong {
            prop_assert!((1..=text.chars().count() + 1).contains(&why.column) && !why.what.is_empty());
        }
    }
}
