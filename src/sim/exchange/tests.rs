use super::*;
use crate::sim::config::{SimConfig, SimVenueConfig};
use proptest::prelude::*;

pub(super) const CLIENT: AccountId = AccountId(1);
const OTHER: AccountId = AccountId(2);
pub(super) const BTC: ListingId = ListingId(0);

fn exchange_with(change: impl FnOnce(&mut SimVenueConfig)) -> Exchange {
    let mut config = SimConfig::demo(7, &["binance-usdm"], 2).unwrap();
    let venue = &mut config.venues[0];
    venue.accounts = vec![Default::default(); 2];
    venue.accounts[1].api_key = "other".into();
    change(venue);
    Exchange::new(&config, 0)
}

pub(super) fn exchange() -> Exchange {
    exchange_with(|_| {})
}

/// 60 000 is 600 000 ticks of 0.1.
const MID: Ticks = 600_000;

pub(super) fn order(account: AccountId, side: Side, price: Ticks, qty: Steps) -> NewOrder {
    NewOrder { account, side, price, qty, ..NewOrder::default() }
}

fn events(exchange: &mut Exchange) -> Vec<SimEventBody> {
    let mut events = Vec::new();
    exchange.take_events(&mut events);
    events.into_iter().map(|event| event.body).collect()
}

fn fills(exchange: &mut Exchange) -> Vec<(OrderId, Fill)> {
    events(exchange)
        .into_iter()
        .filter_map(|body| match body {
            SimEventBody::Order { order, exec: Exec::Trade(fill) } => Some((order.id, fill)),
            _ => None,
        })
        .collect()
}

/// Σ (wallet − cost of open positions) + fees − deposits.
fn drift(exchange: &Exchange) -> Money {
    let mut sum = exchange.ledger().house();
    for account in &exchange.accounts {
        sum += account.wallet - account.deposits;
        for position in &account.positions {
            sum -= position.cost;
        }
    }
    sum
}

fn state(exchange: &Exchange, id: OrderId) -> (OrderStatus, Steps) {
    let order = exchange
        .order(CLIENT, &OrderKey::Id(id))
        .or_else(|| exchange.order(OTHER, &OrderKey::Id(id)))
        .unwrap();
    (order.status, order.filled)
}

#[test]
fn better_prices_first_then_older_orders() {
    let mut x = exchange();
    let a = x.place(&order(OTHER, Side::Sell, MID + 10, 5), 1).unwrap();
    let b = x.place(&order(OTHER, Side::Sell, MID, 5), 2).unwrap();
    x.market_quote(BTC, Side::Sell, MID, 7, 3);
    let c = x.place(&order(OTHER, Side::Sell, MID, 5), 4).unwrap();
    events(&mut x);
    let taker = x.place(&order(CLIENT, Side::Buy, MID + 10, 19), 5).unwrap();
    let seen: Vec<(OrderId, Ticks, Steps)> = fills(&mut x)
        .into_iter()
        .filter(|(_, fill)| fill.maker)
        .map(|(id, fill)| (id, fill.price, fill.qty))
        .collect();
    assert_eq!(seen, [(b, MID, 5), (c, MID, 5), (a, MID + 10, 2)], "the makers' 7 stood between b and c");
    assert_eq!(state(&x, taker), (OrderStatus::Filled, 19));
    assert_eq!(x.account(AccountId::MARKET).positions[0].qty, -7);
    assert_eq!(drift(&x), Money::ZERO);
}

#[test]
fn makers_who_reduce_or_add_never_jump_a_client() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Buy, MID, 10, 1);
    let id = x.place(&order(CLIENT, Side::Buy, MID, 4), 2).unwrap();
    x.market_quote(BTC, Side::Buy, MID, 3, 3);
    x.market_quote(BTC, Side::Buy, MID, 9, 4);
    assert_eq!(x.book(BTC).level(Side::Buy, MID), LevelView { price: MID, qty: 13, orders: 3 });
    assert_eq!(x.market_take(BTC, Side::Sell, MID, 3, 5), 3);
    assert_eq!(state(&x, id), (OrderStatus::New, 0));
    assert_eq!(x.market_take(BTC, Side::Sell, MID, 5, 6), 5);
    assert_eq!(state(&x, id), (OrderStatus::Filled, 4));
    assert_eq!(x.market_qty(BTC, Side::Buy, MID), 5);
}

#[test]
fn a_market_that_trades_through_fills_resting_orders() {
    let mut x = exchange();
    let id = x.place(&order(CLIENT, Side::Buy, MID - 50, 1_000), 1).unwrap();
    x.market_quote(BTC, Side::Sell, MID - 51, 10, 2);
    assert_eq!(state(&x, id), (OrderStatus::Filled, 1_000));
    let order = x.order(CLIENT, &OrderKey::Id(id)).unwrap();
    // 1 BTC at 59 995, maker fee 2 bps.
    assert_eq!((order.notional.to_string().as_str(), order.fee.to_string().as_str()), ("59995", "11.999"));
}

#[test]
fn time_in_force_is_kept() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Sell, MID, 10, 1);
    let with = |tif, price, qty| NewOrder { tif, ..order(CLIENT, Side::Buy, price, qty) };
    let ioc = x.place(&with(Tif::Ioc, MID, 25), 2).unwrap();
    assert_eq!(state(&x, ioc), (OrderStatus::Expired, 10));
    let miss = x.place(&with(Tif::Ioc, MID, 25), 3).unwrap();
    assert_eq!(state(&x, miss), (OrderStatus::Expired, 0));
    x.market_quote(BTC, Side::Sell, MID, 10, 4);
    assert_eq!(x.place(&with(Tif::Fok, MID, 11), 5), Err(Reject::Unfillable));
    let fok = x.place(&with(Tif::Fok, MID, 10), 6).unwrap();
    assert_eq!(state(&x, fok), (OrderStatus::Filled, 10));
    x.market_quote(BTC, Side::Sell, MID, 10, 7);
    assert_eq!(x.place(&with(Tif::PostOnly, MID, 1), 8), Err(Reject::WouldTake));
    let rests = x.place(&with(Tif::PostOnly, MID - 1, 10), 9).unwrap();
    let gtc = x.place(&with(Tif::Gtc, MID, 15), 10).unwrap();
    assert_eq!(
        (state(&x, rests), state(&x, gtc)),
        ((OrderStatus::New, 0), (OrderStatus::PartiallyFilled, 10))
    );
    assert_eq!(x.book(BTC).best(Side::Buy).unwrap(), LevelView { price: MID, qty: 5, orders: 1 });
}

#[test]
fn venues_that_accept_first_cancel_what_cannot_stand() {
    let mut x = exchange_with(|venue| venue.refuses_unfillable = false);
    x.market_quote(BTC, Side::Sell, MID, 10, 1);
    for (tif, reason) in [(Tif::PostOnly, EndReason::WouldTake), (Tif::Fok, EndReason::Unfillable)] {
        let id = x.place(&NewOrder { tif, ..order(CLIENT, Side::Buy, MID, 11) }, 2).unwrap();
        let order = x.order(CLIENT, &OrderKey::Id(id)).unwrap();
        assert_eq!((order.status, order.filled, order.ended), (OrderStatus::Canceled, 0, reason));
    }
}

#[test]
fn good_till_orders_lapse_when_their_time_comes() {
    let mut x = exchange();
    let id = x.place(&NewOrder { expires_at: 50, ..order(CLIENT, Side::Buy, MID, 1) }, 1).unwrap();
    assert_eq!(x.next_lapse(), 50);
    x.lapse(49);
    assert_eq!(state(&x, id).0, OrderStatus::New);
    x.lapse(50);
    assert_eq!(state(&x, id).0, OrderStatus::Expired);
    assert_eq!((x.next_lapse(), x.book(BTC).best(Side::Buy)), (Nanos::MAX, None));
}

#[test]
fn what_breaks_a_rule_is_refused_and_changes_nothing() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Sell, MID, 1_000_000, 1);
    let first =
        x.place(&NewOrder { client_id: "a".into(), ..order(CLIENT, Side::Buy, MID - 9, 1) }, 2).unwrap();
    let base = || order(CLIENT, Side::Buy, MID, 1);
    let eth = ListingId(1);
    let cases = [
        (NewOrder { listing: ListingId(9), ..base() }, Reject::UnknownListing),
        (NewOrder { qty: 0, ..base() }, Reject::QtyTooSmall),
        (NewOrder { qty: 1_000_000_000, ..base() }, Reject::QtyTooLarge),
        (NewOrder { price: 0, ..base() }, Reject::BadPrice),
        (NewOrder { price: MID * 106 / 100, ..base() }, Reject::PriceTooHigh),
        (NewOrder { side: Side::Sell, price: MID * 94 / 100, ..base() }, Reject::PriceTooLow),
        (NewOrder { listing: eth, price: 300_000, ..base() }, Reject::NotionalTooSmall),
        (NewOrder { client_id: "a".into(), ..base() }, Reject::DuplicateClientId),
        (NewOrder { reduce_only: true, ..base() }, Reject::ReduceOnly),
        // 100 000 of equity at leverage 10 carry 1 000 000 of notional: 16.666 BTC, less the open 0.001.
        (NewOrder { qty: 16_667, ..base() }, Reject::Margin),
    ];
    events(&mut x);
    for (new, reject) in cases {
        assert_eq!(x.place(&new, 3), Err(reject), "{new:?}");
        assert_eq!(x.ledger().orders().last().unwrap().reject, Some(reject));
    }
    assert_eq!(events(&mut x), []);
    assert_eq!(x.account(CLIENT).wallet.to_string(), "100000");
    assert!(x.place(&NewOrder { qty: 16_665, ..base() }, 4).is_ok());
    x.cancel(CLIENT, Some(BTC), &OrderKey::Id(first), 5).unwrap();
    assert_eq!(x.cancel(CLIENT, Some(BTC), &OrderKey::Id(first), 6), Err(Reject::UnknownOrder));
    assert_eq!(x.cancel(OTHER, None, &OrderKey::Client("a".into()), 6), Err(Reject::UnknownOrder));
    // The id is free again.
    let sell = order(CLIENT, Side::Sell, MID + 5, 1);
    assert!(x.place(&NewOrder { client_id: "a".into(), ..sell }, 7).is_ok());
}

#[test]
fn reduce_only_never_opens_or_turns_a_position() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Sell, MID, 100, 1);
    x.market_quote(BTC, Side::Buy, MID - 1, 100, 1);
    x.place(&order(CLIENT, Side::Buy, MID, 10), 2).unwrap();
    let reduce =
        |price, qty, tif| NewOrder { reduce_only: true, tif, ..order(CLIENT, Side::Sell, price, qty) };
    let cut = x.place(&reduce(MID - 1, 25, Tif::Ioc), 3).unwrap();
    assert_eq!((state(&x, cut), x.account(CLIENT).positions[0].qty), ((OrderStatus::Filled, 10), 0));
    x.place(&order(CLIENT, Side::Buy, MID, 10), 4).unwrap();
    let one = x.place(&reduce(MID + 1, 8, Tif::Gtc), 5).unwrap();
    let two = x.place(&reduce(MID + 1, 8, Tif::Gtc), 6).unwrap();
    x.market_quote(BTC, Side::Sell, MID, 0, 7);
    assert_eq!(x.market_take(BTC, Side::Buy, MID + 1, 100, 8), 10);
    assert_eq!(x.account(CLIENT).positions[0].qty, 0);
    assert_eq!((state(&x, one), state(&x, two)), ((OrderStatus::Filled, 8), (OrderStatus::Filled, 2)));
    assert_eq!(drift(&x), Money::ZERO);
}

#[test]
fn an_amended_order_keeps_its_place_only_when_it_shrinks() {
    let mut x = exchange();
    let a = x.place(&order(CLIENT, Side::Sell, MID, 5), 1).unwrap();
    let b = x.place(&order(OTHER, Side::Sell, MID, 5), 2).unwrap();
    let amend = |x: &mut Exchange, account, id, price, qty| {
        x.amend(account, Some(BTC), &OrderKey::Id(id), price, qty, 3)
    };
    amend(&mut x, CLIENT, a, None, Some(4)).unwrap();
    x.market_take(BTC, Side::Buy, MID, 1, 4);
    assert_eq!(state(&x, a), (OrderStatus::PartiallyFilled, 1));
    amend(&mut x, CLIENT, a, None, Some(6)).unwrap();
    x.market_take(BTC, Side::Buy, MID, 1, 5);
    assert_eq!((state(&x, a).1, state(&x, b).1), (1, 1), "more quantity goes to the back");
    assert_eq!(amend(&mut x, CLIENT, a, Some(MID), Some(6)), Err(Reject::NoChange));
    x.market_quote(BTC, Side::Buy, MID - 10, 3, 6);
    amend(&mut x, OTHER, b, Some(MID - 10), None).unwrap();
    assert_eq!(state(&x, b), (OrderStatus::PartiallyFilled, 4), "a new price may trade at once");
    amend(&mut x, CLIENT, a, None, Some(1)).unwrap();
    assert_eq!(state(&x, a), (OrderStatus::Canceled, 1), "what is filled already cannot be taken back");
}

#[test]
fn an_account_does_not_trade_with_itself_unless_it_wants_to() {
    for (mode, resting, taking, left) in [
        (SelfTrade::ExpireMaker, OrderStatus::ExpiredInMatch, OrderStatus::PartiallyFilled, 5),
        (SelfTrade::ExpireTaker, OrderStatus::New, OrderStatus::ExpiredInMatch, 10),
        (SelfTrade::ExpireBoth, OrderStatus::ExpiredInMatch, OrderStatus::ExpiredInMatch, 5),
        (SelfTrade::Allow, OrderStatus::Filled, OrderStatus::Filled, 0),
    ] {
        let mut x = exchange();
        let maker = x.place(&order(CLIENT, Side::Sell, MID, 5), 1).unwrap();
        x.place(&order(OTHER, Side::Sell, MID, 5), 2).unwrap();
        let taker = x.place(&NewOrder { self_trade: mode, ..order(CLIENT, Side::Buy, MID, 10) }, 3).unwrap();
        assert_eq!((state(&x, maker).0, state(&x, taker).0), (resting, taking), "{mode:?}");
        let open: Steps =
            [Side::Buy, Side::Sell].iter().filter_map(|side| x.book(BTC).best(*side)).map(|l| l.qty).sum();
        assert_eq!(open, left, "{mode:?}");
        assert_eq!(drift(&x), Money::ZERO);
    }
}

#[test]
fn funding_moves_money_from_long_to_short() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Sell, MID, 1_000, 1);
    x.place(&order(CLIENT, Side::Buy, MID, 1_000), 2).unwrap();
    let before = x.account(CLIENT).wallet;
    x.set_funding_rate(BTC, 100_000);
    let at = x.listing(BTC).funding_at;
    events(&mut x);
    x.settle_funding(BTC, at);
    assert_eq!((x.account(CLIENT).wallet - before).to_string(), "-6", "60 000 at 1 bps");
    assert_eq!(x.listing(BTC).funding_at - at, x.listing(BTC).funding_interval_ns);
    assert_eq!(drift(&x), Money::ZERO);
    let told = events(&mut x).into_iter().any(|body| {
        matches!(body, SimEventBody::Account { reason: ChangeReason::Funding, change, .. } if change.to_string() == "-6")
    });
    assert!(told);
    assert_eq!(x.ledger().totals(CLIENT).funding.to_string(), "-6");
}

#[test]
fn positions_and_pnl_follow_the_fills() {
    let mut x = exchange_with(|venue| (venue.maker_fee_ppb, venue.taker_fee_ppb) = (0, 0));
    let trade = |x: &mut Exchange, side: Side, price, qty| {
        x.market_quote(BTC, side.opposite(), price, qty, 1);
        x.place(&order(CLIENT, side, price, qty), 2).unwrap();
    };
    trade(&mut x, Side::Buy, MID, 10);
    trade(&mut x, Side::Buy, MID + 100, 20);
    let entry = |x: &Exchange| {
        x.listing(BTC).average_text(
            x.account(CLIENT).positions[0].cost,
            x.account(CLIENT).positions[0].qty,
            8,
        )
    };
    assert_eq!(entry(&x), "60006.66666666");
    trade(&mut x, Side::Sell, MID + 200, 7);
    // 7 × 0.001 × (60 020 − 60 006.666…) = 0.09333333…, cut to 8 decimals.
    assert_eq!(x.account(CLIENT).positions[0].realised.to_string(), "0.09333333");
    trade(&mut x, Side::Sell, MID - 100, 40);
    let position = x.account(CLIENT).positions[0];
    assert_eq!((position.qty, entry(&x).as_str()), (-17, "59990.00000000"));
    // All in all: sold 7 at 60 020 and 23 at 59 990, bought 10 at 60 000 and 20 at 60 010.
    assert_eq!(position.realised.to_string(), "-0.29");
    assert_eq!(x.account(CLIENT).wallet.to_string(), "99999.71");
    assert_eq!(drift(&x), Money::ZERO);
}

#[test]
fn best_price_events_agree_with_the_book_at_their_update_id() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Buy, MID, 5, 1);
    x.market_quote(BTC, Side::Sell, MID + 1, 5, 1);
    x.market_done(BTC, 1);
    x.place(&order(CLIENT, Side::Buy, MID + 1, 9), 2).unwrap();
    let mut ids = Vec::new();
    let mut bbo = None;
    for body in events(&mut x) {
        match body {
            SimEventBody::Level { update, .. } => ids.push(update),
            SimEventBody::Bbo { bid, ask, update, .. } => {
                bbo = Some((bid.unwrap().price, ask, update, *ids.last().unwrap()));
            }
            _ => {}
        }
    }
    assert!(ids.windows(2).all(|w| w[1] == w[0] + 1));
    let (bid, ask, update, last) = bbo.unwrap();
    assert_eq!((bid, ask, update), (MID + 1, None, last));
}

#[test]
fn the_ledger_writes_what_it_holds() {
    let mut x = exchange();
    x.market_quote(BTC, Side::Sell, MID, 10, 1);
    x.place(&NewOrder { client_id: "one".into(), tif: Tif::Ioc, ..order(CLIENT, Side::Buy, MID, 25) }, 2)
        .unwrap();
    let _ = x.place(&NewOrder { reduce_only: true, ..order(CLIENT, Side::Buy, MID, 1) }, 3);
    let json = x.ledger().to_json();
    assert_eq!(json["orders"][0]["client_id"], "one");
    assert_eq!(json["orders"][0]["filled"], "0.010");
    assert_eq!(json["orders"][0]["status"], "expired");
    assert_eq!(json["orders"][1]["reject"], "reduce-only order would not reduce");
    // 600 × 5 bps.
    assert_eq!(json["fills"][0]["fee"], "0.3");
    assert_eq!(json["balances"]["accounts"][1]["wallet"], "99999.7");
    assert_eq!(json["balances"]["accounts"][1]["positions"][0]["qty"], "0.010");
    assert_eq!(json["balances"]["house_fees"], "0.3");
    let dir = std::env::temp_dir().join(format!("perpring-ledger-{}", std::process::id()));
    x.ledger().write(&dir).unwrap();
    let lines = std::fs::read_to_string(dir.join("orders.ndjson")).unwrap();
    assert_eq!(lines.lines().count(), 2);
    std::fs::remove_dir_all(dir).unwrap();
}

/// One random operation.
#[derive(Clone, Debug)]
enum Step {
    Place { account: u16, buy: bool, price: Ticks, qty: Steps, tif: u8, reduce: bool, self_trade: u8 },
    Cancel { account: u16, nth: usize },
    Amend { account: u16, nth: usize, price: Ticks, qty: Steps },
    Quote { buy: bool, price: Ticks, qty: Steps },
    Take { buy: bool, price: Ticks, qty: Steps },
    Fund { rate_ppb: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let price = MID - 20..MID + 20;
    prop_oneof![
        4 => (1u16..3, any::<bool>(), price.clone(), 1i64..50, 0u8..4, any::<bool>(), 0u8..4)
            .prop_map(|(account, buy, price, qty, tif, reduce, self_trade)| Step::Place { account, buy, price, qty, tif, reduce, self_trade }),
        1 => (1u16..3, 0usize..4).prop_map(|(account, nth)| Step::Cancel { account, nth }),
        1 => (1u16..3, 0usize..4, price.clone(), 1i64..50).prop_map(|(account, nth, price, qty)| Step::Amend { account, nth, price, qty }),
        2 => (any::<bool>(), price.clone(), 0i64..50).prop_map(|(buy, price, qty)| Step::Quote { buy, price, qty }),
        1 => (any::<bool>(), price, 1i64..50).prop_map(|(buy, price, qty)| Step::Take { buy, price, qty }),
        1 => (-1_000_000i64..1_000_000).prop_map(|rate_ppb| Step::Fund { rate_ppb }),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_operations_creates_money_or_crosses_the_book(steps in proptest::collection::vec(step(), 1..120)) {
        let mut x = exchange();
        let side = |buy| if buy { Side::Buy } else { Side::Sell };
        let nth = |x: &Exchange, account, nth| x.open_orders(AccountId(account), None).nth(nth).map(|o| o.id);
        for (now, step) in steps.iter().enumerate() {
            let now = now as Nanos + 1;
            match *step {
                Step::Place { account, buy, price, qty, tif, reduce, self_trade } => {
                    let tif = [Tif::Gtc, Tif::Ioc, Tif::Fok, Tif::PostOnly][usize::from(tif)];
                    let self_trade = [SelfTrade::ExpireMaker, SelfTrade::ExpireTaker, SelfTrade::ExpireBoth, SelfTrade::Allow][usize::from(self_trade)];
                    let new = NewOrder { tif, self_trade, reduce_only: reduce, ..order(AccountId(account), side(buy), price, qty) };
                    let position = x.account(AccountId(account)).positions[0].qty;
                    if x.place(&new, now).is_ok() && reduce {
                        let after = x.account(AccountId(account)).positions[0].qty;
                        prop_assert!(after.abs() <= position.abs() && after * position >= 0);
                    }
                }
                Step::Cancel { account, nth: n } => {
                    if let Some(id) = nth(&x, account, n) {
                        prop_assert!(x.cancel(AccountId(account), None, &OrderKey::Id(id), now).is_ok());
                    }
                }
                Step::Amend { account, nth: n, price, qty } => {
                    if let Some(id) = nth(&x, account, n) {
                        let _ = x.amend(AccountId(account), None, &OrderKey::Id(id), Some(price), Some(qty), now);
                    }
                }
                Step::Quote { buy, price, qty } => {
                    x.market_quote(BTC, side(buy), price, qty, now);
                    x.market_done(BTC, now);
                }
                Step::Take { buy, price, qty } => {
                    x.market_take(BTC, side(buy), price, qty, now);
                    x.market_done(BTC, now);
                }
                Step::Fund { rate_ppb } => {
                    x.set_funding_rate(BTC, rate_ppb);
                    x.settle_funding(BTC, now);
                }
            }
            prop_assert_eq!(drift(&x), Money::ZERO);
            prop_assert_eq!(x.accounts.iter().map(|a| a.positions[0].qty).sum::<Steps>(), 0);
            if let (Some(bid), Some(ask)) = (x.book(BTC).best(Side::Buy), x.book(BTC).best(Side::Sell)) {
                prop_assert!(bid.price < ask.price, "crossed at {} {}", bid.price, ask.price);
            }
            let resting: Steps = x.orders.values().filter(|o| o.status.is_open()).map(Order::leaves).sum();
            let book: Steps = [Side::Buy, Side::Sell].iter().flat_map(|s| x.books[0].side(*s).values())
                .map(|level| level.qty - level.market_qty()).sum();
            prop_assert_eq!(resting, book, "open orders and the book agree");
        }
        // The ledger adds up: totals are the sums of its rows, and rows of orders agree with rows of fills.
        for account in [CLIENT, OTHER] {
            let totals = x.ledger().totals(account);
            let (mut fees, mut realised, mut funding) = (Money::ZERO, Money::ZERO, Money::ZERO);
            for row in x.ledger().fills().iter().filter(|row| row.account == account) {
                fees += row.fill.fee;
                realised += row.fill.realised;
            }
            x.ledger().funding().iter().filter(|row| row.account == account).for_each(|row| funding += row.amount);
            prop_assert_eq!((totals.fees, totals.realised, totals.funding), (fees, realised, funding));
            prop_assert_eq!(totals.wallet, totals.deposits + realised - fees + funding);
            prop_assert_eq!(totals.wallet, x.account(account).wallet);
        }
        for row in x.ledger().orders().iter().filter(|row| row.reject.is_none()) {
            let filled: Steps = x.ledger().fills().iter().filter(|f| f.order == row.order.id).map(|f| f.fill.qty).sum();
            prop_assert_eq!(row.order.filled, filled);
        }
    }
}

fn inverse() -> Exchange {
    let mut config = SimConfig::demo(7, &["binance-coinm"], 1).unwrap();
    config.venues[0].accounts = vec![Default::default(); 2];
    config.venues[0].accounts[1].api_key = "other".into();
    config.check().unwrap();
    Exchange::new(&config, 0)
}

#[test]
fn inverse_profit_and_fees_are_in_coins() {
    let mut x = inverse();
    // 600 contracts of 100 dollars: bought at 60 000 (1 BTC), sold at 50 000 (1.2 BTC): 0.2 BTC lost.
    x.market_quote(BTC, Side::Sell, 600_000, 600, 1);
    x.place(&order(CLIENT, Side::Buy, 600_000, 600), 2).unwrap();
    let position = x.account(CLIENT).positions[0];
    assert_eq!((position.qty, position.cost.to_string()), (600, "-1".to_owned()));
    assert_eq!(position.fees.to_string(), "0.0005", "5 bps of 1 BTC");
    assert_eq!(x.listing(BTC).average_text(position.cost, position.qty, 2), "60000.00");
    x.set_mark(BTC, Money::from_units(50_000), Money::from_units(50_000));
    assert_eq!(x.account(CLIENT).unrealised(0, x.listing(BTC)).to_string(), "-0.2");
    assert_eq!(x.position_margin(CLIENT, BTC).to_string(), "0.12", "a tenth of 1.2 BTC");
    x.set_funding_rate(BTC, 100_000);
    x.settle_funding(BTC, 3);
    assert_eq!(x.account(CLIENT).positions[0].funding.to_string(), "-0.00012", "long pays 1 bps of 1.2 BTC");
    x.market_quote(BTC, Side::Buy, 500_000, 600, 4);
    let id = x.place(&order(CLIENT, Side::Sell, 500_000, 600), 5).unwrap();
    let closed = x.account(CLIENT).positions[0];
    assert_eq!((closed.qty, closed.cost), (0, Money::ZERO));
    assert_eq!(closed.realised.to_string(), "-0.2");
    assert_eq!(closed.fees.to_string(), "0.0011");
    assert_eq!(x.order(CLIENT, &OrderKey::Id(id)).unwrap().notional.to_string(), "1.2");
    assert_eq!(drift(&x), Money::ZERO);
}

proptest! {
    #[test]
    fn no_coin_is_made_or_lost_by_inverse_trades(
        trades in proptest::collection::vec((any::<bool>(), 1..2_000_000i64, 1..500i64, any::<bool>()), 1..60),
    ) {
        let mut x = inverse();
        for (now, (buy, price, qty, other)) in trades.iter().enumerate() {
            let (now, price) = (now as Nanos + 1, 590_000 + price % 20_000);
            let side = if *buy { Side::Buy } else { Side::Sell };
            let account = if *other { OTHER } else { CLIENT };
            x.market_quote(BTC, side.opposite(), price, *qty, now);
            let _ = x.place(&NewOrder { tif: Tif::Ioc, ..order(account, side, price, *qty + 3) }, now);
            x.market_quote(BTC, side.opposite(), price, 0, now);
            prop_assert_eq!(drift(&x), Money::ZERO);
            prop_assert_eq!(x.accounts.iter().map(|a| a.positions[0].qty).sum::<Steps>(), 0);
        }
    }
}
