//! Explanations of orders, and of why there was none, held against what they do not read: the venues' own books, the
//! recorded outputs, and runs under another configuration.

use crate::simulated::{TempDir, changed_simulation, sim_config};
use clap::Parser as _;
use perpring::cli::{self, Cli};
use perpring::core::limits::RiskCheck;
use perpring::core::pair::{GateState, WhyNot};
use perpring::domain::codec::decode_output;
use perpring::domain::effect::OutMsg;
use perpring::domain::event::{Event, EventBody, Seq};
use perpring::domain::input::{ByHand, Command, InputClass, RawInput};
use perpring::domain::instrument::{InstrumentId, Price, Qty, VenueId};
use perpring::domain::intent::{Basket, BasketKind, Denial, DenyReason, Intent, NearMiss, OrderRef, TradeId};
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, OrderSpec, OrderUpdate, Side, TimeInForce};
use perpring::domain::output::{Output, OutputKey, Stage};
use perpring::domain::params::{EngineParams, RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, SECOND, Stamp};
use perpring::journal::{Reader, Stream, mark_path, rewrite};
use perpring::replay::cursor::Cursor;
use perpring::replay::source::Inputs;
use perpring::replay::why::{OrderCard, Verdict, Why, WhyError, why, why_not};
use perpring::sim::exchange::{FillRow, OrderStatus};
use perpring::sim::{FaultPlan, LedgerServer};
use perpring::stage::river::{Parts, River, Tap};
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const BOTH: [&str; 2] = ["binance-usdm", "okx"];

/// A fill in a venue's book: the row, its price, its quantity.
type BookedFill = (FillRow, Money, Money);

/// A recorded run and the venues with their books.
struct Run {
    dir: TempDir,
    params: EngineParams,
    servers: Vec<Box<dyn LedgerServer>>,
}

impl Run {
    /// A busy world; `act` drives it.
    fn of(plan: &str, tune: impl FnOnce(&mut EngineParams), act: impl FnOnce(&mut Simulation)) -> Self {
        let dir = TempDir::new();
        let sim = sim_config(7, &BOTH, |sim| {
            sim.step_ns = 20 * MILLI;
            sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        });
        let risk = RiskParams { consecutive_failures_max: 1_000_000, ..RiskParams::default() };
        let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
        tune(&mut params);
        let plan = match plan {
            "" => FaultPlan::default(),
            text => FaultPlan::parse("faults", text).expect("a plan"),
        };
        let (mut simulation, config) = changed_simulation(params, &sim, 100 * MICRO, Some(dir.path()), &plan);
        act(&mut simulation);
        let (engine, servers) = simulation.into_parts();
        engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
        Self { dir, params: config.params, servers }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn why(&self, asked: &str) -> Why {
        why(self.path(), asked, &mut |_| {}).unwrap_or_else(|why| panic!("{asked}: {why}"))
    }

    /// Recorded outputs of a stage with their bytes.
    fn outputs(&self, stage: Stage) -> Vec<(OutputKey, Output, Vec<u8>)> {
        let mut reader = Reader::open(self.path(), Stream::Outputs).expect("a journal");
        let mut all = Vec::new();
        while let Some(record) = reader.next().expect("undamaged") {
            let (key, output, raw) = decode_output(Seq(record.seq), record.body).expect("known");
            if key.stage == stage && !matches!(output, Output::State(_)) {
                all.push((key, output, raw.to_vec()));
            }
        }
        all
    }

    fn baskets(&self) -> Vec<(u64, Basket)> {
        let wanted = self.outputs(Stage::Scan).into_iter();
        wanted
            .filter_map(|(key, output, _)| match output {
                Output::Intent(Intent::Basket(basket)) => Some((key.cause.0, basket)),
                _ => None,
            })
            .collect()
    }

    /// What the venues' books say of an order: status, fills.
    fn booked(&self, id: ClientId) -> Option<(OrderStatus, Vec<BookedFill>)> {
        self.servers.iter().find_map(|server| {
            let ledger = server.ledger();
            let row = ledger.order(&id.to_string())?;
            let listing = &ledger.listings()[row.order.listing.index()];
            let exact = |text: String| text.parse::<Money>().expect("a decimal");
            let fills =
                ledger.fills().iter().filter(|fill| row.reject.is_none() && fill.order == row.order.id);
            let fills = fills.map(|row| {
                (*row, exact(listing.price_text(row.fill.price)), exact(listing.qty_text(row.fill.qty)))
            });
            let status = if row.reject.is_some() { OrderStatus::Rejected } else { row.order.status };
            Some((status, fills.collect()))
        })
    }
}

const FAULTS: &str = "
[[fault]]
kind = 'partial_fill'
per_minute = 40
[[fault]]
kind = 'reject'
class = 'never'
per_minute = 20
";

/// A faulty world whose limits let one trade live at a time, and an order by hand beside it.
fn faulty() -> Run {
    Run::of(
        FAULTS,
        |params| params.risk.venue_position_max_usd = 1_500,
        |simulation| {
            simulation.run_for(8 * SECOND);
            let rules = simulation.engine().river().parts().risk.rules();
            let contract = *rules.positions().instrument(InstrumentId(0)).expect("defined");
            let mid = rules.positions().get(InstrumentId(0)).mark.expect("a mid").0;
            let mut qty = contract.step.max(contract.qty_min.0);
            while contract.notional(Qty(qty), Price(mid / 2)) < Money::from_units(30) {
                qty *= 2;
            }
            let order = OrderSpec {
                client_id: ClientId::NONE,
                venue: VenueId(0),
                instrument: InstrumentId(0),
                side: Side::Buy,
                qty: Qty(qty),
                price: Price(mid / 1_000 * 995 / contract.tick * contract.tick),
                tif: TimeInForce::Gtc,
                reduce_only: false,
            };
            simulation.command(Command::ByHand(ByHand::Place(order)));
            simulation.run_for(SECOND / 2);
            let ledger = simulation.engine().river().parts().decode.ledger();
            let placed = ledger.open_orders().find(|open| open.spec.tif == TimeInForce::Gtc);
            let OrderSpec { client_id, venue, instrument, .. } = placed.expect("it rests").spec;
            simulation.command(Command::ByHand(ByHand::Cancel(OrderRef { client_id, venue, instrument })));
            simulation.run_for(10 * SECOND);
            simulation.command(Command::Reduce);
            simulation.run_for(3 * SECOND);
        },
    )
}

fn exact(text: &str) -> Money {
    text.parse().unwrap_or_else(|()| panic!("`{text}` is no decimal"))
}

/// An explained order is what the venue's own book says of it.
fn equals_the_venues_book(run: &Run, order: &OrderCard) {
    let id = ClientId::parse(order.client_id.as_bytes()).expect("a client id");
    let Some((status, fills)) = run.booked(id) else {
        assert!(order.updates.iter().all(|update| update.fill.is_none()), "{order:?}");
        return assert_ne!(order.state, "Filled", "the venue has never heard of it");
    };
    let told: Vec<(Money, Money, Money)> = order
        .updates
        .iter()
        .filter_map(|update| update.fill.as_ref())
        .map(|fill| (exact(&fill.price), exact(&fill.qty), fill.fee))
        .collect();
    let theirs: Vec<(Money, Money, Money)> =
        fills.iter().map(|(row, price, qty)| (*price, *qty, row.fill.fee)).collect();
    assert_eq!(told, theirs, "fills of {id}");
    let filled = theirs.iter().fold(Money::ZERO, |sum, (_, qty, _)| sum + *qty);
    assert_eq!(exact(&order.filled), filled, "{id}");
    let expected = match status {
        OrderStatus::Filled => "Filled",
        OrderStatus::Rejected => "Rejected",
        OrderStatus::Canceled => "Canceled",
        OrderStatus::Expired | OrderStatus::ExpiredInMatch => "Expired",
        OrderStatus::New | OrderStatus::PartiallyFilled => "Open",
    };
    // Venues call the rest of an order that was not to rest cancelled or expired.
    let same = order.state == expected || (expected == "Expired" && order.state == "Canceled");
    assert!(same, "{id} is {} here and {status:?} there", order.state);
}

/// Messages are the bytes that were recorded, but for the marks of what is filled in.
fn equals_the_recorded_bytes(run: &Run, why: &Why) {
    let mut bytes: BTreeMap<u64, (Vec<u8>, usize)> = BTreeMap::new();
    for (_, output, raw) in run.outputs(Stage::Route) {
        if let Output::Message(shape) | Output::Amendment(shape) = output {
            bytes.insert(shape.meta.message.0, (raw, usize::from(shape.text_len)));
        }
    }
    let without = |text: &str| {
        ["‹API key›", "‹passphrase›", "‹signature›", "‹secret›"]
            .iter()
            .fold(text.to_owned(), |text, mark| text.replace(mark, ""))
    };
    let mut told = 0;
    for message in why.baskets.iter().flat_map(|b| &b.orders).flat_map(|order| &order.messages) {
        let (raw, text_len) = &bytes[&message.message];
        assert_eq!(without(&message.text).as_bytes(), &raw[..*text_len]);
        assert_eq!(without(&message.signed).as_bytes(), &raw[*text_len..]);
        told += 1;
    }
    assert!(told > 0, "no message was explained");
}

#[test]
fn orders_are_explained_as_the_venues_books_and_the_recorded_outputs_have_them() {
    let run = faulty();
    let baskets = run.baskets();
    let state = |basket: &Basket| {
        let states = basket.orders().iter().filter_map(|order| run.booked(order.client_id));
        states.map(|(status, fills)| (status, fills.len())).collect::<Vec<_>>()
    };
    let entries = || baskets.iter().filter(|(_, b)| b.kind == BasketKind::Entry && b.len == 2);
    let is_whole = |b: &Basket| {
        state(b).iter().all(|(status, _)| *status == OrderStatus::Filled) && !state(b).is_empty()
    };
    let is_part =
        |b: &Basket| state(b).iter().any(|(status, fills)| *status != OrderStatus::Filled && *fills > 0);
    let is_refused = |b: &Basket| state(b).iter().any(|(status, _)| *status == OrderStatus::Rejected);
    let chosen: Vec<&Basket> = [
        entries().find(|(_, b)| is_whole(b)),
        entries().find(|(_, b)| is_part(b)),
        entries().find(|(_, b)| is_refused(b)),
    ]
    .into_iter()
    .map(|found| &found.expect("whole, partial and refused entries").1)
    .collect();
    for basket in chosen {
        let asked = basket.legs[0].client_id.to_string();
        let why = run.why(&asked);
        assert_eq!(why.trade.id, Some(basket.trade.0));
        let card = why.baskets.iter().find(|card| card.asked).expect("its basket");
        assert_eq!(card.kind, "entry");
        // The edge is the recorded one and adds up to the unit.
        let edge = card.edge.as_ref().expect("entries have one");
        assert_eq!(edge.terms.iter().map(|term| term.ppb).sum::<i64>(), basket.edge.net);
        assert_eq!((edge.net_ppb, edge.threshold_ppb), (basket.edge.net, basket.edge.threshold));
        assert!(edge.above_ppb >= 0, "it was taken");
        let pair = card.pair.as_ref().expect("a pair");
        assert_eq!(pair.baseline_ppb, Some(basket.edge.exit_basis));
        // Books: sane, and what the mids were taken from.
        for (book, order) in card.books.iter().zip(&card.orders) {
            let (bid, ask) = (exact(&book.bids[0].0), exact(&book.asks[0].0));
            assert!(bid < ask && bid <= exact(&order.mid) && exact(&order.mid) <= ask, "{book:?}");
            assert!(book.age_ns <= order.book_age_ns && book.state == "live", "{book:?}");
        }
        // All checks held, each leg and the whole.
        assert!(card.checks.iter().all(|check| check.verdict == Verdict::Passed), "{:?}", card.checks);
        for wanted in [RiskCheck::Venue, RiskCheck::Collar, RiskCheck::Margin, RiskCheck::DailyLoss] {
            assert!(card.checks.iter().any(|check| check.check == wanted), "{wanted:?}");
        }
        assert_eq!(card.orders.len(), 2);
        why.baskets.iter().flat_map(|b| &b.orders).for_each(|order| equals_the_venues_book(&run, order));
        equals_the_recorded_bytes(&run, &why);
        // Every basket of the trade is there, and the trade is told to its end.
        let of_trade = baskets.iter().filter(|(_, b)| b.trade == basket.trade).count();
        assert_eq!(why.baskets.len(), of_trade);
        assert!(why.trade.closed, "{why}");
        let fees = |card: &OrderCard| {
            card.updates.iter().filter_map(|u| u.fill.as_ref()).fold(Money::ZERO, |sum, f| sum + f.fee)
        };
        let paid = why.baskets.iter().flat_map(|b| &b.orders).map(fees).fold(Money::ZERO, |a, b| a + b);
        let told = why.trade.legs.iter().flat_map(|leg| leg.fees.values()).fold(Money::ZERO, |a, b| a + *b);
        assert_eq!(paid, told);
        // The same order by its venue's own id.
        let order = card.orders.iter().find(|order| order.asked).expect("the order");
        if let Some(id) = &order.venue_order_id {
            let by_venue = run.why(&format!("{}:{id}", order.venue));
            assert_eq!(by_venue.baskets, why.baskets, "by the venue's id");
        }
        let hop = |what: &str| order.hops.iter().find(|hop| hop.what == what).expect("a hop");
        assert_eq!(hop("received → decided, checked, encoded").ns, None, "never recorded, never made up");
        let text = why.to_string();
        println!("{text}");
        for bad in [" against ", "nanos", "9223372036854775"] {
            assert!(!text.contains(bad), "`{bad}` is for programs");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "no blank at an end");
        for good in
            ["age of the book at okx", " ms (≤ ", " bp (≤ ", " contracts (≥ ", "no kill: yes", " USD (< "]
        {
            assert!(text.contains(good), "`{good}` in\n{text}");
        }
        // 100 µs there, the venue's own time, 100 µs back.
        let last = order.hops.last().and_then(|hop| hop.ns).expect("an end");
        assert!(last >= 200 * MICRO, "{last}");
    }
}

#[test]
fn each_denial_is_explained_by_the_check_and_the_figures_that_were_recorded() {
    let run = faulty();
    let baskets = run.baskets();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (key, output, _) in run.outputs(Stage::Risk) {
        let Output::Denied(denial) = output else { continue };
        // One of each sort: each takes a replay.
        if !seen.insert(format!("{:?}{:?}", denial.reason, denial.kind)) {
            continue;
        }
        let why = run.why(&format!("trade:{}", denial.trade.0));
        let card = why.baskets.iter().find(|card| card.attempt == denial.attempt).expect("its basket");
        assert_eq!(card.at.seq, key.cause.0);
        let failed: Vec<_> = card.checks.iter().filter(|check| check.verdict == Verdict::Denied).collect();
        assert_eq!(failed.len(), 1, "one check decides");
        assert_eq!(failed[0].check.reason(), denial.reason);
        assert_eq!(failed[0].leg.unwrap_or(255), denial.leg);
        if denial.reason == DenyReason::VenuePositionExceeded {
            assert_eq!((exact(&failed[0].value), exact(&failed[0].limit)), (denial.value, denial.limit));
            assert_eq!(denial.limit, Money::from_units(1_500));
        }
        let at = card.checks.iter().position(|check| check.verdict == Verdict::Denied).expect("it");
        let later = &card.checks[at + 1..];
        assert!(!later.is_empty());
        for check in later {
            assert!(
                matches!(check.verdict, Verdict::NotReachedWouldPass | Verdict::NotReachedWouldDeny),
                "{check:?}"
            );
        }
        let told = card.denial.as_ref().expect("as recorded");
        assert_eq!((told.by, told.value, told.limit), ("risk", denial.value, denial.limit));
        let basket =
            &baskets.iter().find(|(seq, b)| *seq == key.cause.0 && b.trade == denial.trade).expect("it").1;
        assert!(basket.orders().iter().all(|order| run.booked(order.client_id).is_none()), "nothing left");
        assert!(card.orders.iter().all(|order| order.messages.is_empty() && order.state == "denied"));
    }
    assert!(seen.iter().any(|of| of.starts_with("VenuePositionExceeded")), "{seen:?}");
}

#[test]
fn an_order_by_hand_and_its_cancel_are_explained_without_a_trade() {
    let run = faulty();
    let (_, basket) =
        run.baskets().into_iter().find(|(_, b)| b.len == 1 && b.kind == BasketKind::Entry).expect("it");
    let id = basket.legs[0].client_id;
    let why = run.why(&id.to_string());
    assert_eq!(why.trade.sort, "by hand");
    let card = &why.baskets[0];
    assert!(card.edge.is_none() && card.trigger.kind == "command", "{:?}", card.trigger);
    equals_the_venues_book(&run, &card.orders[0]);
    equals_the_recorded_bytes(&run, &why);
    assert_eq!(card.orders[0].state, "Canceled");
    let kinds: Vec<&str> = why.moments.iter().map(|moment| moment.kind).collect();
    assert!(kinds.contains(&"cancel"), "{kinds:?}");
    assert!(card.orders[0].messages.iter().any(|message| message.what == "about"), "the cancel's bytes");
    let text = why.to_string();
    assert!(text.contains("by hand") && text.contains("Canceled"), "{text}");

    // The page, by the command.
    let page_path = run.path().join("why.html").display().to_string();
    let args = [
        "perpring",
        "why",
        &id.to_string(),
        &run.path().display().to_string(),
        "--html",
        &page_path,
        "--json",
    ]
    .map(str::to_owned);
    let code = cli::run(Cli::try_parse_from(args).expect("arguments")).expect("an explanation");
    let html = std::fs::read_to_string(&page_path).expect("the page");
    assert_eq!(code, 0);
    assert_eq!(html.matches("<circle").count(), why.moments.len());
    assert!(html.contains(&id.to_string()) && !html.contains("<script"));

    // The page is not written over another one.
    let args = ["perpring", "why", "trade:1", &run.path().display().to_string(), "--html", &page_path]
        .map(str::to_owned);
    let refused = cli::run(Cli::try_parse_from(args).expect("arguments")).expect_err("it is there");
    assert!(refused.to_string().contains("exists"), "{refused}");
    assert_eq!(std::fs::read_to_string(&page_path).expect("the page"), html);
}

#[test]
fn orders_have_short_names_and_what_is_not_known_is_answered_with_the_nearest() {
    let run = faulty();
    let baskets = run.baskets();
    let last = baskets.last().expect("it traded").1.legs[0].client_id;
    let short = format!("order:{:x}", last.sequence());
    assert_eq!(run.why(&short).baskets, run.why(&last.to_string()).baskets);
    let mut ids = baskets.iter().flat_map(|(_, b)| b.orders()).map(|order| order.client_id);
    let lettered = ids.find(|id| format!("{:x}", id.sequence()).parse::<u32>().is_err());
    let id = lettered.expect("orders beyond the ninth");
    let asked = run.why(&format!("{:x}", id.sequence()));
    assert!(asked.baskets.iter().flat_map(|b| &b.orders).any(|o| o.asked && o.client_id == id.to_string()));

    // One letter is wrong: the order that was meant is the first that is named.
    let mut typed = last.to_string();
    typed.replace_range(20..21, "f");
    let near = why_error(&run, &typed);
    let named = near.split_once("orders are ").expect("some are named").1;
    assert!(named.starts_with(&last.to_string()), "{near}");
    let cut = why_error(&run, &last.to_string()[..31]);
    assert!(cut.contains(&last.to_string()[..31]), "{cut}");
    let trades = baskets.iter().map(|(_, basket)| basket.trade.0);
    let range =
        format!("its trades are {} to {}", trades.clone().min().expect("1"), trades.max().expect("1"));
    for asked in ["trade:999999", "no-such-order", "okx:nothing"] {
        let why = why_error(&run, asked);
        assert!(why.contains(&range), "{asked}: {why}");
    }
    let venue = why_error(&run, "nope:123");
    assert!(venue.contains("`nope`") && venue.contains("binance-usdm, okx"), "{venue}");

    // A bundle takes the same names.
    let trade = baskets.last().expect("it traded").1.trade.0;
    for (at, asked) in [format!("trade:{trade}"), short, typed].into_iter().enumerate() {
        let out = run.path().join(format!("{at}.ppz")).display().to_string();
        let dir = run.path().display().to_string();
        let args = ["perpring", "bundle", &dir, "--around", &asked, "--window", "2s", "-o", &out];
        let made = cli::run(Cli::try_parse_from(args.map(str::to_owned)).expect("arguments"));
        match at {
            2 => assert!(made.expect_err("no such order").to_string().contains("no output"), "{asked}"),
            _ => assert_eq!(made.expect("a bundle"), 0, "{asked}"),
        }
    }
}

#[test]
fn what_lies_behind_outputs_that_were_cut_off_is_found_all_the_same() {
    let run = Run::of("", |_| {}, |simulation| simulation.run_for(8 * SECOND));
    let baskets = run.baskets();
    let last = baskets.last().expect("it traded").1;
    let whole = run.why(&format!("trade:{}", last.trade.0));
    let orders = || whole.baskets.iter().flat_map(|basket| &basket.orders);
    let order = orders().find(|order| order.venue_order_id.is_some()).expect("a venue has one");
    let first = baskets.iter().find(|(_, basket)| basket.trade == last.trade).expect("its entry").0;
    rewrite(run.path(), Stream::Outputs, |_, record, out| {
        if record.seq < first {
            out.push(record);
        }
    })
    .expect("temporary disk");
    std::fs::remove_file(mark_path(run.path(), Stream::Outputs)).expect("a run that ended has one");
    assert!(run.baskets().iter().all(|(_, basket)| basket.trade != last.trade), "it is not in the outputs");
    let by_venue = format!("{}:{}", order.venue, order.venue_order_id.as_deref().expect("it has one"));
    for asked in [format!("trade:{}", last.trade.0), order.client_id.clone(), by_venue] {
        let told = run.why(&asked);
        assert_eq!((told.trade.id, &told.moments), (Some(last.trade.0), &whole.moments), "{asked}");
    }
}

/// Keeps the executions that no order of ours explains.
#[derive(Default)]
struct Foreign(Vec<OrderUpdate>);

impl Tap for Foreign {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {}
    fn event(&mut self, event: &Event) {
        if let EventBody::Order(update) = &event.body
            && update.client_id == ClientId::NONE
            && update.fill_qty.0 > 0
        {
            self.0.push(*update);
        }
    }
    fn intent(&mut self, _: OutputKey, _: &Intent) {}
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, _: &OutMsg) {}
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

#[test]
fn a_trade_of_which_the_venue_took_a_part_is_closed_and_its_sums_have_that_part() {
    let taken = "[[fault]]\nkind = 'adl'\nvenue = 'okx'\nat_s = [4, 9, 14]\n";
    let run = Run::of(
        taken,
        |_| {},
        |simulation| {
            simulation.run_for(16 * SECOND);
            simulation.command(Command::Reduce);
            simulation.run_for(3 * SECOND);
        },
    );
    let (mut cursor, mut foreign) = (Cursor::open(run.path()).expect("a journal"), Foreign::default());
    while cursor.step(&mut foreign).expect("readable") {}
    let parts = cursor.parts();
    let contracts = |update: &OrderUpdate| {
        let of = parts.risk.rules().positions().instrument(update.instrument).expect("defined");
        exact(&of.qty_num(update.fill_qty).to_string())
    };
    let theirs = foreign.0.iter().map(contracts).fold(Money::ZERO, |sum, qty| sum + qty);
    assert!(theirs > Money::ZERO, "the venue took something");
    let mut ours = Money::ZERO;
    let trades: BTreeSet<u32> = run.baskets().iter().map(|(_, basket)| basket.trade.0).collect();
    for trade in trades {
        let why = run.why(&format!("trade:{trade}"));
        let others: Vec<_> = why.trade.legs.iter().filter_map(|leg| leg.others.as_ref()).collect();
        for other in &others {
            ours = ours + exact(&other.bought) + exact(&other.sold);
        }
        if others.is_empty() {
            continue;
        }
        let text = why.to_string();
        println!("{}", text.split_once("\nresult").expect("a result").1);
        assert!(why.trade.closed && !text.contains("not closed"), "{text}");
        assert!(why.trade.legs.iter().all(|leg| leg.left == "0"), "{text}");
        assert!(!why.trade.result.is_empty() && text.contains(", by no order of ours "), "{text}");
        assert!(
            why.moments.iter().any(|moment| moment.kind == "taken" && moment.venue.as_deref() == Some("okx"))
        );
        assert!(!why.notes.iter().any(|note| note.contains("our own fills only")));
    }
    assert_eq!(ours, theirs, "every execution is in the sums of the trade that held it, once");
}

fn why_error(run: &Run, asked: &str) -> String {
    why(run.path(), asked, &mut |_| {}).expect_err("no such order").to_string()
}

#[test]
fn the_first_gate_that_stops_is_the_one_that_the_decision_names() {
    let run = faulty();
    let mut cursor = Cursor::open(run.path()).expect("a journal");
    let (mut seen, mut looked) = (BTreeMap::new(), 0u64);
    while cursor.step(&mut Deaf).expect("readable") {
        if !cursor.seq().0.is_multiple_of(7) {
            continue;
        }
        let scanner = cursor.parts().scan.scanner();
        for (pair, way) in (0..scanner.pairs().count()).flat_map(|pair| [(pair, 0), (pair, 1)]) {
            let of = scanner.explain(pair, way).expect("a pair");
            let first = of.outlook.gates.iter().find(|gate| gate.state == GateState::Stops);
            let named = first.map_or(WhyNot::Ready, |gate| gate.gate);
            assert_eq!(named, of.outlook.why, "input {}: {:#?}", cursor.seq().0, of.outlook);
            *seen.entry(named.as_str()).or_insert(0u64) += 1;
            looked += 1;
        }
    }
    println!("{looked} looks: {seen:?}");
    assert!(looked > 1_000 && seen.len() >= 5, "{seen:?}");
}

/// Hears nothing.
struct Deaf;

impl Tap for Deaf {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {}
    fn event(&mut self, _: &Event) {}
    fn intent(&mut self, _: OutputKey, _: &Intent) {}
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, _: &OutMsg) {}
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

/// Keeps the first entry.
#[derive(Default)]
struct FirstEntry(Option<(u64, TradeId, [InstrumentId; 2])>);

impl Tap for FirstEntry {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {}
    fn event(&mut self, _: &Event) {}
    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        if let Intent::Basket(basket) = intent {
            let legs = [basket.legs[0].instrument, basket.legs[1].instrument];
            self.0 = self.0.or(Some((key.cause.0, basket.trade, legs)));
        }
    }
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, _: &OutMsg) {}
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

#[test]
fn the_gate_that_is_named_lets_the_pair_trade_once_the_configuration_allows_it() {
    let at_once = |params: &mut EngineParams| params.scan.edge_persist_ns = 0;
    let run = Run::of("", at_once, |simulation| simulation.run_for(6 * SECOND));
    // The first direction that is priced and falls short of the threshold.
    let mut cursor = Cursor::open(run.path()).expect("a journal");
    let found = loop {
        assert!(cursor.step(&mut Deaf).expect("readable"), "nothing was ever below the threshold");
        let views: Vec<_> = cursor.parts().scan.scanner().views().collect();
        if let Some(view) =
            views.iter().filter(|v| v.why == WhyNot::BelowThreshold).max_by_key(|v| v.terms.net)
        {
            break *view;
        }
    };
    let (seq, names) = (cursor.seq().0, ["binance-usdm", "okx"]);
    let canonical = run.params.canonicals[found.canonical.index()].name.clone();
    let instrument = canonical.split(':').next().expect("a name");
    let asked = format!("{instrument} {}/{}", names[0], names[1]);
    let told = why_not(run.path(), &asked, &seq.to_string(), &mut |_| {}).expect("an explanation");
    println!("{told}");
    assert_eq!(told.at.seq, seq);
    let buys =
        if run.params.listings[found.buy.index()].venue == VenueId(0) { "binance-usdm" } else { "okx" };
    let way = told.ways.iter().find(|way| way.buy.starts_with(buys)).expect("the direction");
    assert_eq!(way.why, "below threshold");
    let edge = way.edge.as_ref().expect("priced");
    assert_eq!(edge.net_ppb, found.terms.net);
    assert_eq!(edge.terms.iter().map(|term| term.ppb).sum::<i64>(), edge.net_ppb);
    let gate = way.gates.iter().find(|gate| gate.state == "stops").expect("the gate");
    assert_eq!(gate.missing.as_deref(), Some((found.terms.threshold - found.terms.net).to_string().as_str()));
    assert!(!way.checks.is_empty() && way.checks.iter().all(|check| check.verdict == Verdict::Passed));
    assert_eq!(told.last_entry, None);
    // With the threshold at what is there, the same inputs enter at that very input.
    let mut params = run.params.clone();
    params.scan = ScanParams { threshold_ppb: found.terms.net, ..params.scan };
    let mut river = River::new(Parts::new(&params, true).expect("known dialects"));
    let (mut inputs, mut first) = (Inputs::open(run.path()).expect("a journal"), FirstEntry::default());
    while first.0.is_none() {
        let Some((_, raw)) = inputs.next().expect("readable") else { break };
        river.input(&raw, &mut first);
    }
    let (at, _, legs) = first.0.expect("it trades");
    assert_eq!((at, legs), (seq, [found.buy, found.sell]));

    let text = told.to_string();
    assert!(!text.contains("wanted") && text.contains("suspended at okx"), "{text}");
    assert!(text.contains(": trading (must be trading)") && text.contains(": no (must be no)"), "{text}");
    let json = serde_json::to_value(&told).expect("plain data");
    for way in json["ways"].as_array().expect("both directions") {
        let changes = &way["changes"];
        assert!(
            changes.is_null() || (changes["at"]["seq"].is_u64() && changes["why"].is_string()),
            "{changes}"
        );
    }
    assert!(json["ways"].as_array().is_some_and(|ways| ways.iter().any(|way| way["changes"].is_object())));
    // Before the engine knew the wall clock, the record does.
    let first = why_not(run.path(), &asked, "0", &mut |_| {}).expect("an explanation");
    assert!(first.at.seq == 1 && !first.at.utc.starts_with("1970"), "{:?}", first.at);

    let bad = |pair: &str, at: &str| why_not(run.path(), pair, at, &mut |_| {}).expect_err("bad").to_string();
    let unknown = bad("DOGE-USDT binance-usdm/okx", "10");
    assert!(unknown.contains(&asked), "{unknown}");
    assert!(bad(&asked, "noon").contains("no place"), "{}", bad(&asked, "noon"));
    assert!(bad(&asked, "99999999").contains("ends at input"));
    assert!(matches!(why(run.path(), "no-such", &mut |_| {}), Err(WhyError::Unknown { .. })));
}
