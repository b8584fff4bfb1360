//! The audit of a journal that does not begin with its run: wherever it begins it is clean where the whole is, its figures
//! are those of the whole from there on, and what is wrong inside is found.

use crate::audit::{Run, audited, found, plant, rules, with_bytes};
use crate::simulated::sim_config;
use perpring::domain::codec::{decode_input, decode_output};
use perpring::domain::event::Seq;
use perpring::domain::input::Input;
use perpring::domain::intent::{BasketKind, Intent};
use perpring::domain::money::Money;
use perpring::domain::order::ClientId;
use perpring::domain::output::Output;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MILLI, Nanos, SECOND};
use perpring::journal::{Floor, Reader, Stream, patch_record, rewrite};
use perpring::replay::audit::{AuditOptions, AuditReport, Instead, MoneyRow, Verdict, audit};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::bundle::write::{Request, write};
use perpring::replay::floor::SnapshotFloor;
use perpring::replay::part::begins_after;
use perpring::sim::{FaultPlan, SimConfig};
use perpring::topology::world;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One busy instrument between two venues; the second venue is slow, so that legs stand alone.
fn busy(venues: &[&str], funding_ns: Nanos) -> SimConfig {
    sim_config(7, venues, |sim| {
        sim.step_ns = 20 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        sim.venues[1].latency_in_ns = 8 * MILLI;
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.funding_interval_ns = funding_ns;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    })
}

fn busy_run(venues: &[&str], seconds: i64, plan: &str) -> Run {
    let scan = ScanParams { random_entry_ns: SECOND, hold_max_ns: 2 * SECOND, ..world::demo_scan() };
    let risk = RiskParams {
        consecutive_failures_max: 1_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let faults = match plan {
        "" => FaultPlan::default(),
        text => FaultPlan::parse("faults", text).expect("a plan"),
    };
    // Where messages are lost, those of payments would be, too.
    let funding = if plan.is_empty() { 3 * SECOND } else { 3_600 * SECOND };
    Run::in_world(&busy(venues, funding), scan, risk, seconds, &faults)
}

/// The journal of `run` behind input `after`: its state laid as retention lays it, the inputs before it gone.
fn cut(run: &Run, after: u64) -> PathBuf {
    let whole = run.journal();
    let dir = whole.parent().expect("a directory").join(format!("behind-{after}"));
    fs::create_dir_all(&dir).expect("temporary disk");
    for entry in fs::read_dir(&whole).expect("a journal").map(|entry| entry.expect("a file").path()) {
        if entry.is_file() {
            fs::copy(&entry, dir.join(entry.file_name().expect("a name"))).expect("temporary disk");
        }
    }
    SnapshotFloor.lay(&dir, after, &|| true).expect("a floor");
    rewrite(&dir, Stream::Inputs, |_, record, out| {
        if record.seq > after {
            out.push(record);
        }
    })
    .expect("temporary disk");
    assert_eq!(begins_after(&dir), Seq(after));
    dir
}

fn audited_part(run: &Run, dir: &Path) -> AuditReport {
    let ledger = run.ledger();
    audited(dir, &AuditOptions { ledger: Some(&ledger), ..AuditOptions::default() })
}

/// The inputs at which baskets of that kind are approved, and how many orders all baskets up to each have.
fn approvals(dir: &Path) -> Vec<(u64, BasketKind, u32, u64)> {
    let mut reader = Reader::open(dir, Stream::Outputs).expect("a journal");
    let (mut rows, mut orders) = (Vec::new(), 0);
    while let Some(record) = reader.next().expect("undamaged") {
        let seq = record.seq;
        if let (_, Output::Approved(Intent::Basket(basket)), _) =
            decode_output(Seq(seq), record.body).expect("an output")
        {
            orders += basket.orders().len() as u64;
            rows.push((seq, basket.kind, basket.trade.0, orders));
        }
    }
    rows
}

/// Places around the approvals of an entry in the middle and of an exit: nothing is out yet, a part is, all of it is.
fn places(dir: &Path) -> Vec<u64> {
    let rows = approvals(dir);
    let nth = |kind: BasketKind, n: usize| {
        rows.iter().filter(|row| row.1 == kind).nth(n).unwrap_or_else(|| panic!("{kind:?} {n}")).0
    };
    let (entry, exit) = (nth(BasketKind::Entry, 2), nth(BasketKind::Exit, 1));
    let around = [0, 1, 2, 5, 10, 20].map(|more| entry + more);
    let mut places = [&around[..], &[entry - 1, entry + 200, exit, exit + 2, exit + 10]].concat();
    places.sort_unstable();
    places
}

/// What a part says where the whole run says the rest.
fn assert_agrees(part: &AuditReport, whole: &AuditReport, before: &[(u64, BasketKind, u32, u64)]) {
    let after = part.sequence.first - 1;
    let seen = before.iter().take_while(|row| row.0 <= after).last();
    let (trades, approved) = seen.map_or((0, 0), |row| (row.2, row.3));
    assert_eq!(part.first, [], "behind {after}");
    assert_eq!(part.part.as_ref().map(|part| part.first), Some(after + 1));
    assert_eq!(part.sequence.inputs + after, whole.sequence.inputs);
    let orders = &part.orders;
    assert_eq!(orders.approved + approved, whole.orders.approved, "behind {after}");
    let fates = orders.sent + orders.perhaps_sent + orders.refused + orders.denied + orders.without_fate;
    assert_eq!(orders.approved + orders.under_way, fates, "behind {after}: {orders:?}");
    assert_eq!(part.part.as_ref().map(|part| part.orders), Some(orders.under_way));
    for (part, whole) in part.ledgers.iter().zip(&whole.ledgers) {
        let equal = part.orders_equal + part.fills_equal + part.before;
        assert_eq!((equal, part.equal), (whole.orders_equal + whole.fills_equal, true), "behind {after}");
    }
    for row in &part.money {
        let same = |of: &&MoneyRow| (&of.venue, &of.currency) == (&row.venue, &row.currency);
        assert_money_agrees(row, whole.money.iter().find(same).expect("a row of the whole"), after);
    }
    // What was worst in the whole run and began within the part is worst there, too.
    if whole.hedging.largest.trade > trades {
        assert_eq!(part.hedging.largest, whole.hedging.largest, "behind {after}");
    }
    if whole.hedging.longest_ns.trade > trades {
        assert_eq!(part.hedging.longest_ns, whole.hedging.longest_ns, "behind {after}");
    }
    assert_eq!(part.hedging.open, whole.hedging.open, "behind {after}");
}

fn assert_money_agrees(part: &MoneyRow, whole: &MoneyRow, after: u64) {
    let (Some(opening), Some(closing)) = (part.opening, part.closing) else { return };
    assert!(matches!(part.verdict, Verdict::Exact | Verdict::Rounded), "behind {after}: {part:?}");
    assert_eq!((Some(closing), part.complete), (whole.closing, whole.complete), "behind {after}");
    assert_eq!(part.change, closing - opening);
    assert_eq!(part.explained, part.spread + part.funding - part.fees - part.hedge_cost);
    if whole.verdict == Verdict::Exact {
        assert_eq!(part.verdict, Verdict::Exact, "behind {after}: {part:?}");
        let earlier = whole.explained - part.explained;
        assert_eq!(Some(earlier), whole.opening.map(|first| opening - first), "behind {after}");
    }
    assert_eq!((part.carried, part.revaluation), (whole.carried, whole.revaluation), "behind {after}");
}

/// Cuts a run of these venues at all places; the reports of its parts.
fn assert_parts_agree(venues: &[&str]) -> Vec<AuditReport> {
    let run = busy_run(venues, 11, "");
    let whole = audited_part(&run, &run.journal());
    println!("{whole}");
    assert_eq!((&whole.first[..], &whole.part), (&[][..], &None));
    let before = approvals(&run.journal());
    let audit = |after| {
        let dir = cut(&run, after);
        let part = audited_part(&run, &dir);
        println!("{part}\n");
        assert_agrees(&part, &whole, &before);
        fs::remove_dir_all(dir).expect("temporary disk");
        part
    };
    let parts: Vec<AuditReport> = places(&run.journal()).into_iter().map(audit).collect();
    let states: Vec<_> = parts.iter().flat_map(|report| &report.part).collect();
    let holds = |legs: usize| states.iter().any(|part| part.positions.len() == legs && part.trades > 0);
    assert!(holds(0) && holds(1) && holds(2), "no leg, one alone, both: {states:?}");
    let under_way = |orders: u64| states.iter().any(|part| part.orders == orders);
    assert!(under_way(0) && under_way(1) && under_way(2), "{states:?}");
    parts
}

#[test]
fn a_part_is_audited_from_wherever_it_begins_and_agrees_with_the_whole() {
    let parts = assert_parts_agree(&["binance-usdm", "okx"]);
    let money = parts.iter().flat_map(|part| &part.money);
    assert!(
        money.clone().filter(|row| row.verdict == Verdict::Exact).count() > parts.len(),
        "in most of them"
    );
    assert!(money.filter(|row| row.funding != Money::ZERO).count() > 0);
    let text = parts[0].to_string();
    let first = parts[0].sequence.first;
    for said in [
        format!("begins    at input {first}, "),
        format!("inputs {first}.."),
        format!(
            "the journal begins at input {first}: what was before is taken from the state there, not proven"
        ),
        format!("the venues' books are compared from input {first} on"),
    ] {
        assert!(text.contains(&said), "{said}: {text}");
    }
}

#[test]
fn a_part_of_inverse_contracts_agrees_with_the_whole() {
    assert_parts_agree(&["binance-coinm", "binance-coinm"]);
}

#[test]
fn a_part_is_audited_at_every_venue() {
    let venues =
        ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid", "aster", "binance-coinm", "binance-coinm"];
    let run = busy_run(&venues, 9, "");
    let whole = audited_part(&run, &run.journal());
    println!("{whole}");
    assert_eq!(whole.first, []);
    let before = approvals(&run.journal());
    let mut traded = BTreeSet::new();
    for at in [before.len() / 3, before.len() / 2] {
        let part = audited_part(&run, &cut(&run, before[at].0 + 3));
        println!("{part}\n");
        assert_agrees(&part, &whole, &before);
        let proven = part.money.into_iter().filter(|row| row.opening.is_some() && row.fees > Money::ZERO);
        traded.extend(proven.map(|row| row.venue));
    }
    assert!(traded.len() >= 5, "money adds up at {traded:?}");
}

#[test]
fn a_part_that_begins_among_outages_and_lost_acknowledgements_has_no_false_finding() {
    let plan = "[[fault]]\nkind = 'maintenance'\nvenue = 'okx'\nat_s = [6]\nfor_ms = 2_500\n\
                [[fault]]\nkind = 'adl'\nvenue = 'okx'\nat_s = [7]\n\
                [[fault]]\nkind = 'ack_lost'\nvenue = 'binance-usdm'\nat_s = [4, 4, 4, 4]\n";
    let run = busy_run(&["binance-usdm", "okx"], 14, plan);
    let whole = audited_part(&run, &run.journal());
    println!("{whole}");
    assert_eq!(whole.first, []);
    assert!(whole.orders.strays > 0);
    let mut reader = Reader::open(&run.journal(), Stream::Inputs).expect("a journal");
    let begun = reader.next().expect("undamaged").expect("an input").time_ns;
    let mut time_of = |seq: u64| {
        reader.seek(seq).expect("undamaged");
        (reader.next().expect("undamaged").expect("an input").time_ns - begun) / MILLI
    };
    let approved: Vec<i64> = approvals(&run.journal()).into_iter().map(|row| time_of(row.0)).collect();
    let lost = approved.into_iter().find(|millis| *millis > 4_000).expect("an acknowledgement that is lost");
    let mut audit = |millis: i64| {
        reader.seek_time(begun + millis * MILLI).expect("undamaged");
        let dir = cut(&run, reader.next().expect("undamaged").expect("an input").seq);
        let part = audited_part(&run, &dir);
        println!("at {millis} ms: {part}\n");
        assert_eq!(part.first, [], "at {millis} ms");
        part
    };
    let in_doubt = [10, 500, 900, 1_100].map(|after| audit(lost + after).orders.under_way);
    assert!(in_doubt[1] > 0, "the end of an order is not known there: {in_doubt:?}");
    // Before the outage; before and after something is taken away unheard; and when that was read.
    let strays = [5_900, 6_900, 7_300, 11_000].map(|millis| audit(millis).orders.strays);
    assert!(strays[2] > 0, "taken before the part, read within it: {strays:?}");
}

#[test]
fn a_stretch_that_ends_before_its_run_is_audited_beside_the_books_of_all_of_it() {
    let run = busy_run(&["binance-usdm", "okx"], 11, "");
    let entry = approvals(&run.journal()).into_iter().filter(|row| row.1 == BasketKind::Entry).nth(2);
    let around = entry.expect("it trades").0.to_string();
    for (before, after) in [(0, 20 * MILLI), (2 * SECOND, 4 * SECOND), (SECOND, 40 * SECOND)] {
        let out = run.journal().with_file_name(format!("{before}-{after}.ppz"));
        let request = Request {
            dir: &run.journal(),
            around: around.parse().expect("a place"),
            said: &around,
            before,
            after,
            out: &out,
            expect: None,
            notes: String::new(),
        };
        write(&request, &mut |_| {}).expect("a bundle");
        let unpacked = Bundle::open(&out).expect("a bundle").unpack().expect("unpacks");
        let report = audited_part(&run, unpacked.dir());
        println!("{report}\n");
        assert_eq!(report.first, []);
        assert!(report.part.is_some() && report.orders.approved > 0 && report.sequence.closed);
        assert!(report.ledgers.iter().all(|row| row.before > 0), "{:?}", report.ledgers);
    }
}

/// A run, and a part of it that begins with an entry which is on its way out.
fn whole_and_part() -> (Run, PathBuf, u64) {
    let run = busy_run(&["binance-usdm", "okx"], 11, "");
    let entries = approvals(&run.journal()).into_iter().filter(|row| row.1 == BasketKind::Entry);
    let after = entries.map(|row| row.0).nth(2).expect("it trades");
    let dir = cut(&run, after);
    assert_eq!(audited_part(&run, &dir).first, []);
    (run, dir, after)
}

#[test]
fn wrong_records_inside_a_part_are_found() {
    let (run, dir, after) = whole_and_part();
    let copy = |name: &str| {
        let to = dir.with_file_name(name);
        fs::create_dir_all(&to).expect("temporary disk");
        for name in fs::read_dir(&dir).expect("a journal").map(|entry| entry.expect("a file").file_name()) {
            fs::copy(dir.join(&name), to.join(&name)).expect("temporary disk");
        }
        to
    };
    // Another fee of a fill: not of the first one, since balances count from one that a later one confirms.
    let (fee, fills) = (copy("fee"), Cell::new(0));
    plant(&fee, "\"n\":\"", |_, text| {
        let is_fill = text.contains("ORDER_TRADE_UPDATE") && text.contains("\"x\":\"TRADE\"");
        fills.set(fills.get() + u32::from(is_fill));
        is_fill && fills.get() == 4
    });
    let report = audited_part(&run, &fee);
    println!("{report}");
    assert!(rules(&report).contains(&"ledger_fill_differs"), "{report}");
    assert!(rules(&report).contains(&"money_identity"), "{report}");
    assert!(report.first.iter().all(|finding| finding.seq == 0 || finding.seq > after), "{report}");

    // Another payment of funding.
    let funding = copy("funding");
    let payments = Cell::new(0);
    plant(&funding, "\"bc\":\"", |_, text| {
        payments.set(payments.get() + u32::from(text.contains("FUNDING_FEE")));
        text.contains("FUNDING_FEE") && payments.get() == 2
    });
    let report = audited_part(&run, &funding);
    println!("{report}");
    assert_eq!(rules(&report), ["ledger_funding", "money_identity"], "{report}");

    // An order without an approval, and one that was under way whose message was changed.
    let approval = copy("approval");
    let mut id = None;
    rewrite(&approval, Stream::Outputs, |_, record, out| {
        let output = decode_output(Seq(record.seq), &record.body).expect("an output").1;
        match output {
            Output::Approved(Intent::Basket(basket)) if record.seq > after && id.is_none() => {
                id = Some(basket.orders()[0].client_id);
            }
            _ => out.push(record),
        }
    })
    .expect("temporary disk");
    let report = audited_part(&run, &approval);
    let finding = report.first.iter().find(|finding| finding.rule == "sent_without_approval").expect("found");
    assert!(finding.detail.contains(&id.expect("it trades on").to_string()), "{finding}");

    // A limit that the part exceeds.
    let limits = Instead::parse("order_notional_max_usd = 10").expect("limits");
    let report = audited(&dir, &AuditOptions { limits, ..AuditOptions::default() });
    assert_eq!(rules(&report), ["order_notional"]);
    assert!(report.first.iter().all(|finding| finding.seq > after), "{report}");

    // An input is gone.
    let hole = copy("hole");
    rewrite(&hole, Stream::Inputs, |_, record, out| {
        if record.seq != after + 50 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let report = audited(&hole, &AuditOptions::default());
    assert_eq!((rules(&report), report.sequence.inputs), (vec!["input_hole"], 49));

    // What the checker knew is gone: an audit would take what is right for wrong.
    let bare = copy("bare");
    fs::remove_file(bare.join(format!("checks-{after:020}.json.zst"))).expect("temporary disk");
    let why = audit(&bare, &AuditOptions::default(), &mut |_| {}).expect_err("no checker").to_string();
    assert!(
        why.contains(&format!("before input {}, and this needs that or the whole run", after + 1)),
        "{why}"
    );
}

#[test]
fn wrong_rows_of_the_venues_books_inside_a_part_are_found_and_those_before_it_are_not_looked_at() {
    let (run, dir, after) = whole_and_part();
    let path = |file: &str| run.ledger().join(file);
    let rows = |file: &str| -> Vec<Value> {
        let text = fs::read_to_string(path(file)).expect("the ledger");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let put = |file: &str, rows: &[Value]| {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(path(file), text).expect("temporary disk");
    };
    let (fills, orders) = (rows("okx/fills.ndjson"), rows("okx/orders.ndjson"));
    let mut placed = None;
    found(&run.journal(), Stream::Outputs, |seq, body| match decode_output(Seq(seq), body).ok()?.1 {
        Output::Approved(Intent::Basket(basket)) if seq == after => {
            placed = basket.orders().iter().find(|order| order.venue.0 == 1).map(|order| order.client_id);
            Some(Vec::new())
        }
        _ => None,
    });
    let placed = placed.expect("a leg at the second venue").to_string();
    let is_of = |row: &Value| row["client_id"].as_str().is_some_and(|id| id.ends_with(&placed));
    let at = fills.iter().position(is_of).expect("the order under way was filled");
    assert!(at > 0 && at + 1 < fills.len());
    let verdict = |changed: Vec<Value>| {
        put("okx/fills.ndjson", &changed);
        let report = audited_part(&run, &dir);
        put("okx/fills.ndjson", &fills);
        (rules(&report), report.first)
    };
    let again = |at: usize| {
        let mut row = fills[at].clone();
        row["trade_id"] = "999999999".into();
        let mut changed = fills.clone();
        changed.insert(at + 1, row);
        changed
    };
    // A fill that the record lacks: of the order that was under way, and of the last one.
    for at in [at, fills.len() - 1] {
        let (rules, first) = verdict(again(at));
        assert_eq!(rules, ["ledger_fill_missing"], "{first:?}");
        assert!(first[0].subject.contains("999999999"), "{first:?}");
    }
    // One that their books lack; and the same of an order that had ended before.
    let without = |at: usize| [&fills[..at], &fills[at + 1..]].concat();
    assert_eq!(verdict(without(at)).0, ["ledger_fill_unknown"]);
    assert_eq!(verdict(without(0)).0, Vec::<&str>::new());
    assert_eq!(verdict(again(0)).0, Vec::<&str>::new());
    // An order that the record lacks.
    let mut strange = orders[0].clone();
    strange["client_id"] = ClientId::new(7, 999_999).to_string().into();
    put("okx/orders.ndjson", &[&orders[..], &[strange]].concat());
    let report = audited_part(&run, &dir);
    assert_eq!(rules(&report), ["ledger_order_unknown"], "{report}");
    put("okx/orders.ndjson", &orders);
    // A payment that the record lacks.
    let paid = rows("okx/funding.ndjson");
    put("okx/funding.ndjson", &[&paid[..], &paid[paid.len() - 1..]].concat());
    assert_eq!(rules(&audited_part(&run, &dir)), ["ledger_funding"]);
}

#[test]
fn what_a_part_takes_from_its_state_holds_its_orders_against_the_approvals_before_it() {
    // The order that leaves first differs from the one that was approved before the part.
    let (run, dir, _) = whole_and_part();
    let (index, body) = found(&dir, Stream::Inputs, |_, body| {
        let (input, bytes) = decode_input(body).ok()?;
        let Input::Outcome(mut outcome) = input else { return None };
        outcome.order.as_mut()?.qty.0 += 1;
        Some(with_bytes(&Input::Outcome(outcome), bytes))
    });
    patch_record(&dir, Stream::Inputs, index, &body).expect("temporary disk");
    let report = audited_part(&run, &dir);
    assert!(rules(&report).contains(&"sent_differs"), "{report}");
}
