//! Resting orders are amended at every simulated venue that knows how, by hand and through every check: the venues'
//! books and the engine's agree to the last unit whatever is lost on the way, the recorded run replays, and the
//! checker finds no limit broken.

use crate::alloc::allocations;
use crate::simulated::{TempDir, changed_simulation, sim_config};
use perpring::domain::effect::{MessageId, OutMeta, Payload, Target};
use perpring::domain::event::Seq;
use perpring::domain::input::{ByHand, Command, ConnId, Input, Scope};
use perpring::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId};
use perpring::domain::intent::OrderRef;
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, OrderSpec, OrderState, Side, TimeInForce};
use perpring::domain::params::{EngineParams, OrderRoute, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, SECOND, Stamp};
use perpring::replay::check::check_dir;
use perpring::replay::source::{Inputs, RunConfig};
use perpring::replay::verify::verify;
use perpring::sim::FaultPlan;
use perpring::sim::exchange::{OrderStatus, Side as SimSide};
use perpring::stage::decode::plan;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::{Rendered, dialect};
use std::path::Path;

const BTC: InstrumentId = InstrumentId(0);

/// A world of `venue` and another one, in which the engine itself finds nothing worth trading.
fn quiet(
    venue: &str,
    dir: Option<&Path>,
    plan: &str,
    tune: impl FnOnce(&mut EngineParams),
) -> (Simulation, RunConfig) {
    let other = if venue == "okx" { "binance-usdm" } else { "okx" };
    let sim = if venue == "binance-coinm" {
        sim_config(7, &[venue, venue], |_| {})
    } else {
        sim_config(7, &[venue, other], |_| {})
    };
    let scan = ScanParams { threshold_ppb: i64::MAX / 4, ..world::demo_scan() };
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        price_collar_ppb: 20_000_000,
        ..RiskParams::default()
    };
    let mut params = world::engine_params(&sim, 7, scan, risk);
    tune(&mut params);
    let plan = if plan.is_empty() {
        FaultPlan::default()
    } else {
        FaultPlan::parse("faults", plan).expect("a plan")
    };
    changed_simulation(params, &sim, 100 * MICRO, dir, &plan)
}

fn instrument(simulation: &mut Simulation) -> Instrument {
    let rules = simulation.engine().river().parts().risk.rules();
    *rules.positions().instrument(BTC).expect("defined")
}

/// The mid price of the first listing, in its own ticks.
fn mid(simulation: &mut Simulation) -> i64 {
    let rules = simulation.engine().river().parts().risk.rules();
    rules.positions().get(BTC).mark.expect("a mid").0
}

fn by_hand(simulation: &mut Simulation, what: ByHand) {
    simulation.command(Command::ByHand(what));
}

/// A buy of `steps` minimum quantities at `ppm` of the mid below it.
fn buy(simulation: &mut Simulation, steps: i64, ppm: i64) -> OrderSpec {
    let contract = instrument(simulation);
    let price = (i128::from(mid(simulation)) * i128::from(1_000_000 - ppm) / 1_000_000) as i64;
    let mut unit = contract.step.max(contract.qty_min.0);
    while contract.notional(Qty(unit), Price(price)) < Money::from_units(50) {
        unit *= 2;
    }
    OrderSpec {
        client_id: ClientId::NONE,
        venue: VenueId(0),
        instrument: BTC,
        side: Side::Buy,
        qty: Qty(unit * steps),
        price: Price(price / contract.tick * contract.tick),
        tif: TimeInForce::Gtc,
        reduce_only: false,
    }
}

/// The open orders as the ledger has them.
fn open(simulation: &mut Simulation) -> Vec<(OrderSpec, OrderState)> {
    let ledger = simulation.engine().river().parts().decode.ledger();
    ledger.open_orders().map(|open| (open.spec, open.state)).collect()
}

/// What the first venue has of an order: price and total in text, filled in steps, and whether it is open.
fn at_venue(simulation: &Simulation, id: ClientId) -> (String, String, i64, bool) {
    let ledger = simulation.servers()[0].ledger();
    // Hyperliquid writes it as a number.
    let row = ledger.order(&id.to_string()).or_else(|| ledger.order(&format!("0x{id}"))).expect("placed");
    let listing = &ledger.listings()[row.order.listing.index()];
    let open = matches!(row.order.status, OrderStatus::New | OrderStatus::PartiallyFilled);
    (listing.price_text(row.order.price), listing.qty_text(row.order.qty), row.order.filled, open)
}

/// Price and total of an order as the engine would write them.
fn as_text(contract: &Instrument, order: &OrderSpec) -> (String, String) {
    (contract.price_num(order.price).to_string(), contract.qty_num(order.qty).to_string())
}

/// Both texts say the same number.
fn same(a: &str, b: &str) -> bool {
    a.parse::<f64>().expect("a number") == b.parse::<f64>().expect("a number")
}

fn assert_at_venue(simulation: &mut Simulation, order: &OrderSpec) {
    let contract = instrument(simulation);
    let (price, qty) = as_text(&contract, order);
    let (their_price, their_qty, ..) = at_venue(simulation, order.client_id);
    assert!(same(&price, &their_price) && same(&qty, &their_qty), "{price} {qty}: {their_price} {their_qty}");
}

/// Positions and fees of the engine are the first venue's own.
fn assert_books_agree(simulation: &mut Simulation) {
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    let ledger = simulation.servers()[0].ledger();
    let account = ledger.account_ids().next().expect("one account");
    let mut fees = Money::ZERO;
    for row in positions.positions().filter(|row| row.instrument.venue == VenueId(0)) {
        let (id, listing) = ledger.listing(row.instrument.symbol.as_str()).expect("listed");
        let theirs = ledger.position(account, id).qty;
        let ours = row.instrument.qty_num(Qty(row.position.qty)).to_string();
        let theirs =
            listing.qty_text(theirs.abs()).parse::<f64>().expect("a number") * theirs.signum() as f64;
        assert_eq!(ours.parse::<f64>().expect("a number"), theirs);
        fees += row.position.fees;
    }
    assert_eq!(fees, ledger.totals(account).fees, "{}", ledger.venue());
}

/// Ends the run: its record replays, and breaks no limit.
fn assert_record(simulation: Simulation, config: &RunConfig, dir: &Path) -> usize {
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    assert_eq!(verify(dir, &mut |_| {}).expect("a journal").divergence, None);
    assert_eq!(check_dir(dir, &config.params).expect("a journal"), Vec::<String>::new());
    let mut inputs = Inputs::open(dir).expect("a journal");
    let mut amended = 0;
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        amended += usize::from(matches!(raw.input, Input::AmendOutcome(_) | Input::ReplaceOutcome { .. }));
    }
    amended
}

fn cancel(simulation: &mut Simulation, order: &OrderSpec) {
    let OrderSpec { client_id, venue, instrument, .. } = *order;
    by_hand(simulation, ByHand::Cancel(OrderRef { client_id, venue, instrument }));
}

/// Price, quantity, both, and then through the market: at each step the venue has what the ledger says.
fn is_amended_step_by_step(venue: &str, tune: impl FnOnce(&mut EngineParams)) {
    let dir = TempDir::new();
    let (mut simulation, config) = quiet(venue, Some(dir.path()), "", tune);
    simulation.run_for(8 * SECOND);
    let order = buy(&mut simulation, 4, 4_000);
    by_hand(&mut simulation, ByHand::Place(order));
    simulation.run_for(SECOND);
    let (mut order, state) = open(&mut simulation)[0];
    assert_eq!(state, OrderState::Open, "{venue}");
    assert_at_venue(&mut simulation, &order);
    for (steps, ppm) in [(4, 3_000), (6, 3_000), (3, 3_500), (5, 2_500)] {
        let to = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, steps, ppm) };
        by_hand(&mut simulation, ByHand::Amend(to));
        let rules = simulation.engine().river().parts().risk.rules();
        let (buys, _) = rules.exposure().open(BTC);
        assert_eq!(buys, order.qty.0.max(to.qty.0), "the larger of both counts until it is known");
        assert_eq!(open(&mut simulation)[0].1, OrderState::PendingAmend);
        simulation.run_for(SECOND);
        let (now, state) = open(&mut simulation)[0];
        assert_eq!((now, state), (to, OrderState::Open), "{venue}");
        assert_at_venue(&mut simulation, &now);
        let rules = simulation.engine().river().parts().risk.rules();
        assert_eq!(rules.exposure().open(BTC).0, to.qty.0);
        order = now;
    }
    // Beyond the best ask: it fills, as one order with one total.
    let to = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, 7, -3_000) };
    by_hand(&mut simulation, ByHand::Amend(to));
    simulation.run_for(SECOND);
    assert_eq!(open(&mut simulation), [], "{venue}");
    let ledger = simulation.engine().river().parts().decode.ledger();
    assert_eq!(ledger.order(order.client_id), Some((OrderState::Filled, to.qty)));
    assert_ended(simulation, &config, dir.path(), to);
}

/// The books agree; the order `to` is not open, so it cannot be amended, and nothing is bound any more.
fn assert_ended(mut simulation: Simulation, config: &RunConfig, dir: &Path, to: OrderSpec) {
    assert_books_agree(&mut simulation);
    by_hand(&mut simulation, ByHand::Amend(OrderSpec { qty: Qty(to.qty.0 * 2), ..to }));
    simulation.run_for(SECOND);
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!((rules.open_orders(), rules.capital().reserved()), (0, Money::ZERO));
    assert_eq!(simulation.engine().keeper().watch().counts().denials, 1);
    assert_eq!(assert_record(simulation, config, dir), 5);
}

#[test]
fn orders_are_amended_at_binance_and_the_books_agree() {
    is_amended_step_by_step("binance-usdm", |_| {});
}

#[test]
fn orders_are_amended_at_binance_over_http_and_the_books_agree() {
    is_amended_step_by_step("binance-usdm", |params| params.venues[0].orders = OrderRoute::Http);
}

#[test]
fn inverse_orders_are_amended_and_the_books_agree() {
    is_amended_step_by_step("binance-coinm", |_| {});
}

#[test]
fn orders_are_amended_at_okx_and_the_books_agree() {
    is_amended_step_by_step("okx", |_| {});
}

#[test]
fn orders_are_amended_at_okx_over_http_and_the_books_agree() {
    is_amended_step_by_step("okx", |params| params.venues[0].orders = OrderRoute::Http);
}

#[test]
fn orders_are_amended_at_bybit_and_the_books_agree() {
    is_amended_step_by_step("bybit", |_| {});
}

#[test]
fn orders_are_amended_at_deribit_and_the_books_agree() {
    is_amended_step_by_step("deribit", |_| {});
}

#[test]
fn orders_are_replaced_at_hyperliquid_and_the_books_agree() {
    let dir = TempDir::new();
    let (mut simulation, config) = quiet("hyperliquid", Some(dir.path()), "", |_| {});
    simulation.run_for(12 * SECOND);
    let first = buy(&mut simulation, 4, 14_000);
    by_hand(&mut simulation, ByHand::Place(first));
    simulation.run_for(SECOND);
    let (mut order, _) = open(&mut simulation)[0];
    assert_at_venue(&mut simulation, &order);
    // Further than the market moves within a second.
    for (steps, ppm) in [(4, 13_000), (6, 13_000), (3, 13_500), (5, 12_500)] {
        let to = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, steps, ppm) };
        by_hand(&mut simulation, ByHand::Amend(to));
        let rules = simulation.engine().river().parts().risk.rules();
        assert_eq!(rules.exposure().open(BTC).0, order.qty.0 + to.qty.0, "both until the old one is over");
        let states: Vec<OrderState> = open(&mut simulation).iter().map(|open| open.1).collect();
        assert_eq!(states, [OrderState::PendingAmend, OrderState::PendingNew]);
        simulation.run_for(SECOND);
        let [(now, state)] = open(&mut simulation)[..] else { panic!("{:?}", open(&mut simulation)) };
        assert!(now.client_id != order.client_id, "a new order");
        assert_eq!((now, state), (OrderSpec { client_id: now.client_id, ..to }, OrderState::Open));
        assert_at_venue(&mut simulation, &now);
        assert!(!at_venue(&simulation, order.client_id).3, "the old one is over");
        let rules = simulation.engine().river().parts().risk.rules();
        assert_eq!(rules.exposure().open(BTC).0, to.qty.0);
        order = now;
    }
    // Beyond the best ask: the new one fills.
    let to = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, 7, -3_000) };
    by_hand(&mut simulation, ByHand::Amend(to));
    simulation.run_for(2 * SECOND);
    assert_eq!(open(&mut simulation), []);
    assert_ended(simulation, &config, dir.path(), to);
}

#[test]
fn a_replacement_that_is_refused_after_the_old_order_was_ended_leaves_nothing_open_or_reserved() {
    let dir = TempDir::new();
    let (mut simulation, config) = quiet("hyperliquid", Some(dir.path()), "", |_| {});
    simulation.run_for(12 * SECOND);
    let post_only = OrderSpec { tif: TimeInForce::PostOnly, ..buy(&mut simulation, 4, 4_000) };
    by_hand(&mut simulation, ByHand::Place(post_only));
    simulation.run_for(SECOND);
    let (order, state) = open(&mut simulation)[0];
    assert_eq!(state, OrderState::Open);
    // It would take, which the venue finds after it has ended the old one.
    let price = buy(&mut simulation, 4, -3_000).price;
    by_hand(&mut simulation, ByHand::Amend(OrderSpec { price, ..order }));
    simulation.run_for(3 * SECOND);
    assert_eq!(open(&mut simulation), []);
    let ledger = simulation.engine().river().parts().decode.ledger();
    assert_eq!(ledger.order(order.client_id), Some((OrderState::Canceled, Qty(0))));
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!((rules.open_orders(), rules.capital().reserved()), (0, Money::ZERO));
    assert_eq!((rules.exposure().open(BTC), rules.failures()), ((0, 0), 0));
    assert_record(simulation, &config, dir.path());
}

#[test]
fn a_replacement_that_comes_when_the_old_order_is_over_is_refused_and_nothing_is_left() {
    let dir = TempDir::new();
    let (mut simulation, config) = quiet("hyperliquid", Some(dir.path()), "", |_| {});
    simulation.run_for(12 * SECOND);
    let order = buy(&mut simulation, 4, 4_000);
    by_hand(&mut simulation, ByHand::Place(order));
    simulation.run_for(SECOND);
    let (order, _) = open(&mut simulation)[0];
    // The cancel goes before it on the same connection.
    cancel(&mut simulation, &order);
    let to = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, 6, 3_000) };
    by_hand(&mut simulation, ByHand::Amend(to));
    assert_eq!(open(&mut simulation).len(), 2);
    simulation.run_for(3 * SECOND);
    assert_eq!(open(&mut simulation), []);
    let ledger = simulation.engine().river().parts().decode.ledger();
    assert_eq!(ledger.order(order.client_id), Some((OrderState::Canceled, Qty(0))));
    let counts = simulation.engine().keeper().watch().counts();
    assert_eq!((counts.denials, counts.orders_sent), (0, 2), "it left, and was refused");
    assert_eq!(simulation.servers()[0].ledger().orders().len(), 1, "the venue has made none of it");
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!((rules.open_orders(), rules.capital().reserved()), (0, Money::ZERO));
    assert_record(simulation, &config, dir.path());
}

/// A quote that follows the market for a while in which messages are lost and fills come before their
/// acknowledgements.
fn survives_faults(venue: &str) {
    // From when the sessions stand: a login whose reply is lost would leave nothing to amend.
    let instants = |every: f64| {
        let times: Vec<String> = (0..)
            .map(|n| 9.0 + every * f64::from(n))
            .take_while(|at| *at < 28.0)
            .map(|at| format!("{at:.2}"))
            .collect();
        times.join(", ")
    };
    let plan = format!(
        "seed = 5\n\
         [[fault]]\nkind = 'ack_lost'\nvenue = '{venue}'\nat_s = [{}]\n\
         [[fault]]\nkind = 'fill_before_ack'\nvenue = '{venue}'\nat_s = [{}]\nfor_ms = 20\n",
        instants(0.83),
        instants(0.61)
    );
    let dir = TempDir::new();
    let (mut simulation, config) = quiet(venue, Some(dir.path()), &plan, |_| {});
    simulation.run_for(8 * SECOND);
    let mut asked = 0;
    for round in 0..100i64 {
        let side = if round % 2 == 0 { Side::Buy } else { Side::Sell };
        match open(&mut simulation).first().copied() {
            None => {
                // Close to the market, so that some fill while they are amended.
                let flip = if side == Side::Buy { 1 } else { -1 };
                let order = OrderSpec { side, ..buy(&mut simulation, 3 + round % 3, 150 * flip) };
                by_hand(&mut simulation, ByHand::Place(order));
            }
            Some((order, _)) => {
                let flip = if order.side == Side::Buy { 1 } else { -1 };
                let nearer = if round % 5 == 0 { -400 } else { 40 };
                let like = buy(&mut simulation, 2 + round % 7, nearer * flip);
                by_hand(
                    &mut simulation,
                    ByHand::Amend(OrderSpec { qty: like.qty, price: like.price, ..order }),
                );
                asked += 1;
            }
        }
        simulation.run_for(200 * MILLI);
    }
    for _ in 0..20 {
        for (order, _) in open(&mut simulation) {
            cancel(&mut simulation, &order);
        }
        simulation.run_for(SECOND);
    }
    assert_eq!(open(&mut simulation), [], "{venue}: every fate is known");
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!((rules.open_orders(), rules.capital().reserved()), (0, Money::ZERO), "{venue}");
    assert_eq!(rules.exposure().open(BTC), (0, 0), "{venue}");
    let venue_orders: Vec<(String, i64)> = simulation.servers()[0]
        .ledger()
        .orders()
        .iter()
        .map(|row| (row.order.client_id.clone(), row.order.filled))
        .collect();
    let contract = instrument(&mut simulation);
    for (id, filled) in venue_orders {
        let Some(id) = ClientId::parse(id.trim_start_matches("0x").as_bytes()) else { continue };
        let ours = simulation.engine().river().parts().decode.ledger().order(id).map(|order| order.1);
        assert_eq!(ours.map_or(0, |qty| qty.0 / contract.step), filled, "{venue}: order {id}");
    }
    assert_books_agree(&mut simulation);
    let sides = simulation.servers()[0].ledger().fills().iter().map(|row| row.side).collect::<Vec<_>>();
    assert!(sides.contains(&SimSide::Buy) && sides.contains(&SimSide::Sell), "{venue}: {}", sides.len());
    let faults = simulation.servers()[0].faults().total();
    assert!(faults > 15, "{venue}: {faults} faults");
    let sent = assert_record(simulation, &config, dir.path());
    println!("{venue}: {sent} of {asked} amendments were sent, {} fills, {faults} faults", sides.len());
    assert!(sent > 20, "{venue}: {sent} of {asked}");
}

#[test]
fn amendments_survive_lost_replies_and_early_fills_at_binance() {
    survives_faults("binance-usdm");
}

#[test]
fn amendments_survive_lost_replies_and_early_fills_at_okx() {
    survives_faults("okx");
}

#[test]
fn amendments_survive_lost_replies_and_early_fills_at_bybit() {
    survives_faults("bybit");
}

#[test]
fn amendments_survive_lost_replies_and_early_fills_at_deribit() {
    survives_faults("deribit");
}

#[test]
fn replacements_survive_lost_replies_and_early_fills_at_hyperliquid() {
    survives_faults("hyperliquid");
}

#[test]
fn an_amendment_beyond_a_limit_is_denied_and_leaves_the_order_as_it_is() {
    let (mut simulation, _) = quiet("binance-usdm", None, "", |_| {});
    simulation.run_for(8 * SECOND);
    let order = buy(&mut simulation, 4, 4_000);
    by_hand(&mut simulation, ByHand::Place(order));
    simulation.run_for(SECOND);
    let (order, _) = open(&mut simulation)[0];
    let too_far = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, 4, 40_000) };
    let too_large = OrderSpec { qty: Qty(order.qty.0 * 100_000), ..order };
    let off_tick = OrderSpec { price: Price(order.price.0 + 1), ..order };
    let other_side = OrderSpec { side: Side::Sell, ..order };
    let denied = [too_far, too_large, off_tick, other_side, order];
    for to in denied {
        by_hand(&mut simulation, ByHand::Amend(to));
    }
    simulation.run_for(SECOND);
    assert_eq!(simulation.engine().keeper().watch().counts().denials, denied.len() as u64);
    assert_eq!(open(&mut simulation), [(order, OrderState::Open)]);
    // One at a time: the second one meets the first under way.
    let first = OrderSpec { client_id: order.client_id, ..buy(&mut simulation, 4, 3_000) };
    by_hand(&mut simulation, ByHand::Amend(first));
    by_hand(&mut simulation, ByHand::Amend(OrderSpec { qty: Qty(order.qty.0 / 2), ..first }));
    simulation.run_for(SECOND);
    assert_eq!(open(&mut simulation), [(first, OrderState::Open)]);
    // A kill leaves it nothing but its end.
    simulation.command(Command::Kill(Scope::Global));
    by_hand(&mut simulation, ByHand::Amend(order));
    simulation.run_for(2 * SECOND);
    assert_eq!(open(&mut simulation), []);
    assert_eq!(simulation.engine().keeper().watch().counts().denials, denied.len() as u64 + 2);
}

/// The message of an amendment at the first venue, and how often rendering it allocated.
fn rendered(venue: &str) -> (String, OrderSpec, u64) {
    let (mut simulation, config) = quiet(venue, None, "", |_| {});
    simulation.run_for(8 * SECOND);
    let (_, contexts) = plan(&config.params, true).expect("known dialects");
    let mut encoder = dialect(venue).expect("known").encoder(&contexts[0]);
    encoder.on_instrument(&instrument(&mut simulation));
    let order = OrderSpec { client_id: ClientId::new(7, 1), ..buy(&mut simulation, 4, 4_000) };
    let meta = OutMeta {
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: Some(order),
        amends: true,
        replaces: ClientId::NONE,
    };
    let mut payload = Payload::new();
    let at = Stamp { mono: 0, wall: simulation.now() };
    let before = allocations();
    for _ in 0..100 {
        let to = match venue {
            "hyperliquid" => encoder.replace(ClientId::new(7, 2), &order, &meta, at, &mut payload),
            _ => encoder.amend(&order, &meta, at, &mut payload),
        };
        let to = to.expect("it fits");
        assert!(matches!(to, Some(Rendered::Socket(_))), "{venue}");
    }
    let made = allocations() - before;
    (String::from_utf8_lossy(payload.text()).into_owned(), order, made)
}

#[test]
fn rendering_an_amendment_allocates_nothing() {
    for venue in ["binance-usdm", "binance-coinm", "okx", "bybit", "deribit", "hyperliquid"] {
        let (text, _, made) = rendered(venue);
        assert_eq!(made, 0, "{venue}");
        assert!(text.contains("00000000000000070000000000000001"), "{venue}: {text}");
    }
}

#[test]
fn deribit_edits_by_label_with_the_total_amount() {
    let (text, order, _) = rendered("deribit");
    let (mut simulation, _) = quiet("deribit", None, "", |_| {});
    simulation.run_for(8 * SECOND);
    let contract = instrument(&mut simulation);
    let (price, amount) = as_text(&contract, &order);
    let expected = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":\"m0000000000000070000000000000001\",\"method\":\"private/edit_by_label\",\
         \"params\":{{\"label\":\"00000000000000070000000000000001\",\"instrument_name\":\"{}\",\"amount\":{amount},\
         \"price\":{price},\"post_only\":false",
        contract.symbol
    );
    assert!(text.starts_with(&expected), "{text}\n{expected}");
}

#[test]
fn a_venue_that_cannot_amend_denies_it_and_the_order_stays() {
    let venue = "aster";
    let (mut simulation, _) = quiet(venue, None, "", |_| {});
    simulation.run_for(12 * SECOND);
    let order = buy(&mut simulation, 4, 4_000);
    by_hand(&mut simulation, ByHand::Place(order));
    simulation.run_for(SECOND);
    let before = open(&mut simulation);
    let (order, state) = *before.first().unwrap_or_else(|| panic!("{venue}: no order"));
    assert_eq!(state, OrderState::Open, "{venue}");
    by_hand(&mut simulation, ByHand::Amend(OrderSpec { qty: Qty(order.qty.0 * 2), ..order }));
    simulation.run_for(SECOND);
    assert_eq!(open(&mut simulation), before, "{venue}");
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!(rules.exposure().open(BTC).0, order.qty.0, "{venue}: nothing more is counted");
    assert_eq!(simulation.engine().keeper().watch().counts().denials, 1, "{venue}");
}
