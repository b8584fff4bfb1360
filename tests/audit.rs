//! The audit over journals of simulated worlds with the venues' own books: clean ones are clean, and every planted
//! fault is found and named.

use crate::simulated::{TempDir, faulty_simulation, sim_config, simulation};
use perpring::cli::audit::AuditArgs;
use perpring::domain::codec::{HEADER_MAX, decode_input, decode_output, encode_input, encode_output};
use perpring::domain::event::Seq;
use perpring::domain::input::{Command, Input, SendFate};
use perpring::domain::intent::Intent;
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, Side};
use perpring::domain::output::Output;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MICRO, MILLI, SECOND};
use perpring::journal::{Reader, Stream, patch_record, rewrite};
use perpring::replay::audit::{AuditOptions, AuditReport, Instead, Verdict, audit};
use perpring::sim::{FaultPlan, SimConfig};
use perpring::topology::world;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A recorded run: the directory of its journal and that of the venues' books.
pub struct Run {
    dir: TempDir,
}

impl Run {
    /// `seconds` of trading between `venues`, closed and written down.
    pub fn of(venues: &[&str], seconds: i64) -> Self {
        Self::with_faults(venues, seconds, &FaultPlan::default())
    }

    /// The same among venues with faults.
    fn with_faults(venues: &[&str], seconds: i64, plan: &FaultPlan) -> Self {
        let sim = sim_config(7, venues, |_| {});
        Self::in_world(&sim, world::demo_scan(), RiskParams::default(), seconds, plan)
    }

    pub fn in_world(
        sim: &SimConfig,
        scan: ScanParams,
        risk: RiskParams,
        seconds: i64,
        plan: &FaultPlan,
    ) -> Self {
        let run = Self { dir: TempDir::new() };
        std::fs::create_dir_all(run.dir.path()).expect("temporary disk");
        let journal = Some(run.journal());
        let (mut simulation, _) = faulty_simulation(sim, scan, risk, 100 * MICRO, journal.as_deref(), plan);
        simulation.run_for(seconds * SECOND);
        simulation.command(Command::Reduce);
        let calm = sim.venues.iter().all(|venue| plan.of(&venue.name).next().is_none());
        simulation.run_for(if calm { 5 } else { 20 } * SECOND);
        let (engine, mut servers) = simulation.into_parts();
        engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
        for (venue, server) in sim.venues.iter().zip(&mut servers) {
            server.write_ledger(&run.ledger().join(&venue.name)).expect("temporary disk");
        }
        run
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    pub fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn audited(&self) -> AuditReport {
        self.audited_against(Instead::default())
    }

    fn audited_against(&self, limits: Instead) -> AuditReport {
        let ledger = self.ledger();
        audited(&self.journal(), &AuditOptions { limits, ledger: Some(&ledger), ..AuditOptions::default() })
    }

    /// Changes the first row of a ledger's file that `edit` wants.
    pub fn edit_row(&self, file: &str, mut edit: impl FnMut(&mut Value) -> bool) {
        let path = self.ledger().join(file);
        let text = std::fs::read_to_string(&path).expect("the ledger");
        let mut rows: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(rows.iter_mut().any(&mut edit), "no row to change in {file}");
        let text: String = rows.iter().filter(|row| !row.is_null()).map(|row| format!("{row}\n")).collect();
        std::fs::write(&path, text).expect("temporary disk");
    }
}

pub fn audited(dir: &Path, options: &AuditOptions<'_>) -> AuditReport {
    audit(dir, options, &mut |_| {}).expect("a readable journal")
}

pub fn rules(report: &AuditReport) -> Vec<&'static str> {
    let mut rules: Vec<&'static str> = report.first.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// Index and body of the first record of a stream that `wanted` answers with a body.
pub fn found(
    dir: &Path,
    stream: Stream,
    mut wanted: impl FnMut(u64, &[u8]) -> Option<Vec<u8>>,
) -> (u64, Vec<u8>) {
    let mut reader = Reader::open(dir, stream).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        if let Some(body) = wanted(record.seq, record.body) {
            return (record.index, body);
        }
    }
    panic!("no such record");
}

pub fn with_bytes(input: &Input, bytes: &[u8]) -> Vec<u8> {
    let mut scratch = [0; HEADER_MAX];
    [encode_input(input, &mut scratch), bytes].concat()
}

#[test]
fn what_a_venue_takes_away_and_tells_is_in_both_books_and_leaves_no_trade_open() {
    let text = "[[fault]]\nkind = 'adl'\nvenue = 'okx'\nat_s = [4, 9, 14, 19]\n";
    let plan = FaultPlan::parse("faults", text).expect("a plan");
    let report = Run::with_faults(&["binance-usdm", "okx"], 24, &plan).audited();
    println!("{report}");
    assert_eq!(report.first, []);
    assert!(report.orders.strays >= 2, "{:?}", report.orders);
    assert_eq!(report.hedging.open, 0);
}

/// Positions are taken away while nobody listens: the list of executions is read later than the balance that holds them.
fn taken_during_outages(venue: &str) -> Run {
    let plan = format!(
        "[[fault]]\nkind = 'maintenance'\nvenue = '{venue}'\nat_s = [6, 16, 26]\nfor_ms = 3_000\n\
         [[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [7, 17, 27]\n"
    );
    let plan = FaultPlan::parse("faults", &plan).expect("a plan");
    let other = if venue == "binance-usdm" { "okx" } else { "binance-usdm" };
    let sim = sim_config(7, &[other, venue], |_| {});
    let risk = RiskParams {
        consecutive_failures_max: 1_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    Run::in_world(&sim, world::demo_scan(), risk, 34, &plan)
}

/// A living stream says nothing of what is taken away; that is read from the list of executions long after, when the stream
/// breaks. Every balance of the time between holds it already.
#[test]
fn balances_are_explained_by_executions_that_are_read_long_after_them() {
    for venue in ["okx", "bybit"] {
        let plan = format!(
            "[[fault]]\nkind = 'stale'\nvenue = '{venue}'\non = 'private'\nat_s = [6.5]\nfor_ms = 1_500\n\
             [[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [7]\n\
             [[fault]]\nkind = 'maintenance'\nvenue = '{venue}'\nat_s = [14]\nfor_ms = 2_000\n"
        );
        let plan = FaultPlan::parse("faults", &plan).expect("a plan");
        let run = Run::with_faults(&["binance-usdm", venue], 18, &plan);
        let report = run.audited();
        println!("{report}");
        assert!(report.orders.strays > 0, "something was taken away");
        assert_eq!(report.first, [], "{venue}");
        let row = report.money.iter().find(|row| row.venue == venue).expect("its balance");
        assert!(row.explained_later > 0 && row.explained_later < row.statements, "{row:?}");
        assert!(matches!(row.verdict, Verdict::Exact | Verdict::Rounded), "{row:?}");
        if venue == "okx" {
            // What was read later is what explains them: with another fee there, the first of these balances differs.
            plant(&run.journal(), "\"fee\":\"", |input, _| matches!(input, Input::HttpReply { .. }));
            let report = audited(&run.journal(), &AuditOptions::default());
            println!("{report}");
            assert_eq!(rules(&report), ["money_identity"], "{venue}");
        }
    }
}

#[test]
fn what_is_taken_away_during_outages_is_explained_by_what_the_venue_lists_afterwards() {
    let report = taken_during_outages("okx").audited();
    println!("{report}");
    assert!(report.orders.strays > 0, "something was taken away");
    assert_eq!(report.first, []);
}

/// Adds one to the first digit from 1 to 8 of the number behind `key`, in the first input that `wanted` picks.
pub fn plant(dir: &Path, key: &str, wanted: impl Fn(&Input, &str) -> bool) {
    let (index, body) = found(dir, Stream::Inputs, |_, body| {
        let (input, bytes) = decode_input(body).ok()?;
        let text = std::str::from_utf8(bytes).ok().filter(|text| wanted(&input, text))?;
        let from = text.find(key)? + key.len();
        let number = text[from..].find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '"'))?;
        let at = from + text[from..from + number].find(|c: char| matches!(c, '1'..='8'))?;
        let mut bytes = bytes.to_vec();
        bytes[at] += 1;
        Some(with_bytes(&input, &bytes))
    });
    patch_record(dir, Stream::Inputs, index, &body).expect("temporary disk");
}

#[test]
fn a_difference_that_nothing_explains_is_found_among_outages() {
    let run = taken_during_outages("binance-usdm");
    plant(&run.journal(), "\"n\":\"", |_, text| {
        text.contains("ORDER_TRADE_UPDATE") && text.contains("\"x\":\"TRADE\"")
    });
    let report = audited(&run.journal(), &AuditOptions::default());
    println!("{report}");
    assert_eq!(rules(&report), ["money_identity"], "{report}");
}

/// Pairs that are open when funding is settled, every five seconds.
fn with_funding(venues: &[&str]) -> Run {
    let sim = sim_config(7, venues, |config| {
        for venue in &mut config.venues {
            venue.funding_interval_ns = 5 * SECOND;
        }
    });
    let scan = ScanParams { random_entry_ns: SECOND, hold_max_ns: 6 * SECOND, ..world::demo_scan() };
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    Run::in_world(&sim, scan, risk, 30, &FaultPlan::default())
}

/// Everything adds up, with funding at every venue.
fn assert_funding_explained(run: &Run, currencies: &[(&str, &str)]) {
    let report = run.audited();
    println!("{report}");
    assert_eq!(report.first, []);
    for (venue, currency) in currencies {
        let row = report.money.iter().find(|row| row.venue == *venue && row.currency == *currency);
        let row = row.unwrap_or_else(|| panic!("{venue} {currency}"));
        assert!(row.funding != Money::ZERO, "a pair was open when funding was settled: {row:?}");
        assert!(matches!(row.verdict, Verdict::Exact | Verdict::Rounded), "{row:?}");
        assert_eq!(row.explained, row.spread + row.funding - row.fees - row.hedge_cost);
    }
    assert!(report.ledgers.iter().all(|row| row.funding > 0 && row.equal), "{:?}", report.ledgers);
}

#[test]
fn funding_of_linear_contracts_explains_balances_and_a_wrong_one_is_found() {
    let run = with_funding(&["binance-usdm", "okx"]);
    assert_funding_explained(&run, &[("binance-usdm", "USDT"), ("okx", "USDT")]);
    plant(&run.journal(), "\"bc\":\"", |_, text| text.contains("FUNDING_FEE"));
    let found = rules(&run.audited());
    assert!(found.contains(&"money_identity") && found.contains(&"ledger_funding"), "{found:?}");
}

#[test]
fn funding_of_inverse_contracts_explains_balances_and_a_wrong_one_is_found() {
    let run = with_funding(&["binance-coinm", "binance-coinm"]);
    assert_funding_explained(&run, &[("binance-coinm", "BTC"), ("binance-coinm-1", "BTC")]);
    plant(&run.journal(), "\"bc\":\"", |_, text| text.contains("FUNDING_FEE"));
    let found = rules(&run.audited());
    assert!(found.contains(&"money_identity") && found.contains(&"ledger_funding"), "{found:?}");
}

#[test]
fn continuous_funding_explains_balances() {
    assert_funding_explained(&with_funding(&["binance-usdm", "deribit"]), &[("deribit", "USDT")]);
}

/// Adds one to what Deribit states of the session's funding of a contract, from the first payment on: that was more.
fn overstate_funding(dir: &Path) {
    let key = b"\"realized_funding\":";
    let mut begun = false;
    rewrite(dir, Stream::Inputs, |_, mut record, out| {
        let (input, bytes) = decode_input(&record.body).expect("an input");
        let mut text = bytes.to_vec();
        let starts: Vec<usize> = memchr::memmem::find_iter(bytes, key).map(|at| at + key.len()).collect();
        for at in starts.into_iter().rev().filter(|at| is_of(&bytes[..*at], "BTC")) {
            let len = bytes[at..].iter().position(|byte| matches!(byte, b',' | b'}')).expect("an end");
            let stated: f64 =
                std::str::from_utf8(&bytes[at..at + len]).expect("text").parse().expect("a number");
            begun |= stated != 0.0;
            if begun {
                text.splice(at..at + len, format!("{:.8}", stated + 1.0).into_bytes());
            }
        }
        if text != bytes {
            record.body = with_bytes(&input, &text);
        }
        out.push(record);
    })
    .expect("temporary disk");
    assert!(begun, "funding was paid");
}

/// Whether the last instrument that a text names is one of that coin.
fn is_of(text: &[u8], coin: &str) -> bool {
    let key = b"\"instrument_name\":\"";
    memchr::memmem::rfind(text, key).is_some_and(|at| text[at + key.len()..].starts_with(coin.as_bytes()))
}

#[test]
fn a_wrong_payment_of_continuous_funding_is_found() {
    let run = with_funding(&["binance-usdm", "deribit"]);
    overstate_funding(&run.journal());
    let report = run.audited();
    println!("{report}");
    let found = rules(&report);
    assert!(found.contains(&"money_identity") && found.contains(&"ledger_funding"), "{found:?}");
    let finding = report.first.iter().find(|finding| finding.rule == "money_identity").expect("found");
    assert!(finding.subject.starts_with("deribit") && finding.detail.contains("differs by -1"), "{finding}");
    assert_eq!(report.money.iter().filter(|row| row.verdict == Verdict::Differs).count(), 1);
}

#[test]
fn seven_dialects_audit_clean_with_their_ledgers() {
    let run = Run::of(
        &[
            "binance-usdm",
            "okx",
            "bybit",
            "deribit",
            "hyperliquid",
            "aster",
            "binance-coinm",
            "binance-coinm",
        ],
        20,
    );
    let report = run.audited();
    println!("{report}");
    assert_eq!(report.first, []);
    assert!(report.sequence.closed && report.sequence.clean && report.orders.clean && report.limits.clean);
    assert_eq!(report.orders.approved, report.orders.sent + report.orders.refused + report.orders.denied);
    assert_eq!((report.orders.open_at_end, report.orders.perhaps_sent, report.orders.strays), (0, 0, 0));
    assert!(report.orders.fills > 20 && report.hedging.trades > 5, "nothing was traded, nothing is proven");
    assert!(report.hedging.largest.value > Money::ZERO && report.hedging.longest_ns.value > 0);
    assert_eq!(report.hedging.open, 0);
    let mut traded: BTreeMap<&str, bool> = BTreeMap::new();
    for row in &report.money {
        assert!(matches!(row.verdict, Verdict::Exact | Verdict::Rounded), "{row:?}");
        assert_eq!(row.carried, Money::ZERO, "flat at the end");
        traded.insert(row.venue.as_str(), row.fees > Money::ZERO);
    }
    let with_fees = traded.values().filter(|had| **had).count();
    assert!(with_fees >= 6 && traded.keys().any(|venue| venue.starts_with("binance-coinm")), "{traded:?}");
    assert_eq!(report.ledgers.len(), 8);
    for row in &report.ledgers {
        assert!(row.equal && row.fills == row.fills_equal && row.on_their_way == 0, "{row:?}");
    }
    for row in &report.frames {
        assert_eq!(row.equal + row.cut + row.blanked, row.connections, "{row:?}");
        assert!(row.frames > 0);
    }
}

/// Every key below `value` by its path.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            found.insert(below.clone());
            keys(value, &below, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn the_keys_of_the_report_are_those_of_the_documentation() {
    let run = Run::of(&["binance-usdm", "okx"], 15);
    let limits = Instead::parse("order_notional_max_usd = 10").expect("limits");
    let json = serde_json::to_value(run.audited_against(limits)).expect("plain data");
    let mut told = BTreeSet::new();
    keys(&json, "", &mut told);
    let text = include_str!("../docs/AUDIT.md").split_once("## The keys of").expect("the table").1;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: BTreeMap<&str, bool> =
        rows.map(|(key, meaning)| (key, meaning.contains("(optional)"))).collect();
    for (key, optional) in &documented {
        assert!(*optional || told.contains(*key), "docs/AUDIT.md tells of `{key}`, which is not in {json}");
    }
    for key in &told {
        assert!(documented.contains_key(key.as_str()), "`{key}` is not in docs/AUDIT.md");
    }
    assert!(told.contains("first[].advice"), "findings were there to be shown");
}

#[test]
fn inverse_contracts_add_up_in_coins() {
    let run = Run::of(&["binance-coinm", "binance-coinm"], 30);
    let report = run.audited();
    println!("{report}");
    assert_eq!(report.first, []);
    let rows: Vec<_> = report.money.iter().filter(|row| row.currency == "BTC").collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row.fees > Money::ZERO && row.change != Money::ZERO, "{row:?}");
        assert_eq!(row.explained, row.spread + row.funding - row.fees - row.hedge_cost);
        assert!(matches!(row.verdict, Verdict::Exact | Verdict::Rounded), "{row:?}");
    }
}

#[test]
fn faults_in_the_venues_books_are_found_and_named() {
    let run = Run::of(&["binance-usdm", "okx"], 15);
    assert_eq!(run.audited().first, []);
    let fills = run.ledger().join("okx/fills.ndjson");
    let orders = run.ledger().join("binance-usdm/orders.ndjson");
    let frames = run.ledger().join("okx/frames.json");
    let keep: Vec<(PathBuf, Vec<u8>)> = [&fills, &orders, &frames]
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).expect("the ledger")))
        .collect();
    let restore = || keep.iter().for_each(|(path, text)| std::fs::write(path, text).expect("temporary disk"));

    // Another fee.
    let mut changed = String::new();
    run.edit_row("okx/fills.ndjson", |row| {
        changed = row["trade_id"].as_str().expect("text").to_owned();
        row["fee"] = "0.123".into();
        true
    });
    let report = run.audited();
    assert_eq!(rules(&report), ["ledger_fill_differs"], "{report}");
    let finding = &report.first[0];
    assert!(finding.subject.contains(&format!("fill {changed}")) && finding.seq > 0, "{finding}");
    assert!(finding.detail.contains("0.123"), "{finding}");
    restore();

    // A fill that we were not told: the record has none, its balance hides it not.
    run.edit_row("okx/fills.ndjson", |row| {
        *row = Value::Null;
        true
    });
    let report = run.audited();
    assert_eq!(rules(&report), ["ledger_fill_unknown"], "{report}");
    restore();

    // An order that stands in their books only.
    let text = std::fs::read_to_string(&orders).expect("the ledger");
    let first = text.lines().next().expect("an order");
    let mut row: Value = serde_json::from_str(first).expect("JSON");
    row["client_id"] = ClientId::new(7, 999_999).to_string().into();
    std::fs::write(&orders, format!("{text}{row}\n")).expect("temporary disk");
    let report = run.audited();
    assert_eq!(rules(&report), ["ledger_order_unknown"], "{report}");
    restore();

    // Another quantity of an order.
    run.edit_row("binance-usdm/orders.ndjson", |row| {
        row["qty"] = "777".into();
        row["status"] != "rejected"
    });
    let report = run.audited();
    assert_eq!(rules(&report), ["ledger_order_differs"], "{report}");
    restore();

    // Other hashes, in the row itself and before its last frames.
    let mut json: Value = serde_json::from_slice(&std::fs::read(&frames).expect("the ledger")).expect("JSON");
    for row in json["connections"].as_array_mut().expect("a list") {
        row["sha256"] = "00".repeat(32).into();
        row["tail"].as_array_mut().expect("a list").iter_mut().for_each(|first| first[2] = "00".into());
    }
    std::fs::write(&frames, json.to_string()).expect("temporary disk");
    let report = run.audited();
    assert_eq!(rules(&report), ["frames_differ"], "{report}");
    restore();

    // A venue's books are not there.
    std::fs::rename(run.ledger().join("okx"), run.ledger().join("elsewhere")).expect("temporary disk");
    assert_eq!(rules(&run.audited()), ["ledger_absent"]);
}

#[test]
fn a_changed_byte_of_a_frame_is_found() {
    let run = Run::of(&["binance-usdm", "okx"], 10);
    // A digit of a public trade: nothing that we decide depends on it.
    let (index, body) = found(&run.journal(), Stream::Inputs, |seq, body| {
        let (input, bytes) = decode_input(body).ok()?;
        let at = memchr::memmem::find(bytes, b"\"T\":1")?;
        matches!(input, Input::Frame(_)).then_some(())?;
        let mut bytes = bytes.to_vec();
        bytes[at + 5] ^= 1;
        (seq > 2_000).then(|| with_bytes(&input, &bytes))
    });
    patch_record(&run.journal(), Stream::Inputs, index, &body).expect("temporary disk");
    let report = run.audited();
    assert!(rules(&report).contains(&"frames_differ"), "{report}");
}

/// Tells the first fill of a run once more, as `edit` has it, in place of a frame that states a mere balance.
fn double_a_fill(run: &Run, edit: impl Fn(&str) -> String) {
    let mut fill = None;
    let (index, body) = found(&run.journal(), Stream::Inputs, |_, body| {
        let (input, bytes) = decode_input(body).ok()?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        if fill.is_none() && text.contains("ORDER_TRADE_UPDATE") && text.contains("\"x\":\"TRADE\"") {
            fill = Some(text);
            return None;
        }
        let copy = fill.as_ref().filter(|_| text.contains("ACCOUNT_UPDATE"))?;
        Some(with_bytes(&input, edit(copy).as_bytes()))
    });
    patch_record(&run.journal(), Stream::Inputs, index, &body).expect("temporary disk");
}

#[test]
fn a_doubled_fill_in_the_journal_is_found() {
    // The same order, another trade id: it was filled already, so nothing more is booked, but nobody sent that.
    let run = Run::of(&["binance-usdm", "okx"], 15);
    double_a_fill(&run, |fill| fill.replacen("\"t\":", "\"t\":99", 1));
    let report = run.audited();
    assert_eq!(rules(&report), ["frames_differ"], "{report}");

    // An order that nobody placed: it is booked, and neither the balance nor the venue's books know of it.
    let run = Run::of(&["binance-usdm", "okx"], 15);
    double_a_fill(&run, |fill| {
        let from = fill.find("\"c\":\"").expect("a client id") + 5;
        let to = from + fill[from..].find('"').expect("its end");
        format!("{}web_1{}", &fill[..from], &fill[to..]).replacen("\"t\":", "\"t\":99", 1)
    });
    let report = run.audited();
    let found = rules(&report);
    for rule in ["frames_differ", "ledger_fill_unknown", "ledger_position", "ledger_fees"] {
        assert!(found.contains(&rule), "{rule}: {report}");
    }
    assert_eq!(report.orders.strays, 1);
    let fill = report.first.iter().find(|finding| finding.rule == "ledger_fill_unknown").expect("found");
    assert!(fill.subject.contains("fill 99") && fill.seq > 0, "{fill}");
}

#[test]
fn an_order_without_an_intent_is_found() {
    let run = Run::of(&["binance-usdm", "okx"], 10);
    let mut sent = None;
    found(&run.journal(), Stream::Inputs, |_, body| match decode_input(body).ok()?.0 {
        Input::Outcome(outcome) if outcome.fate == SendFate::Sent => {
            sent = outcome.order;
            sent.map(|_| Vec::new())
        }
        _ => None,
    });
    let order = sent.expect("an order was sent");
    rewrite(&run.journal(), Stream::Outputs, |_, record, out| {
        let gone = match decode_output(Seq(record.seq), &record.body).expect("an output").1 {
            Output::Approved(Intent::Basket(basket)) => {
                basket.orders().iter().any(|leg| leg.client_id == order.client_id)
            }
            _ => false,
        };
        if !gone {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let report = run.audited();
    let finding = report.first.iter().find(|finding| finding.rule == "sent_without_approval").expect("found");
    assert!(finding.detail.contains(&order.client_id.to_string()), "{finding}");
    assert_eq!(finding.section, "orders");
}

#[test]
fn an_approval_that_differs_from_the_wish_is_found() {
    let run = Run::of(&["binance-usdm", "okx"], 10);
    let (index, body) = found(&run.journal(), Stream::Outputs, |seq, body| {
        let (key, output, _) = decode_output(Seq(seq), body).ok()?;
        let Output::Approved(Intent::Basket(mut basket)) = output else { return None };
        basket.legs[0].side = if basket.legs[0].side == Side::Buy { Side::Sell } else { Side::Buy };
        let mut scratch = [0; HEADER_MAX];
        Some(encode_output(key, &Output::Approved(Intent::Basket(basket)), &mut scratch).to_vec())
    });
    patch_record(&run.journal(), Stream::Outputs, index, &body).expect("temporary disk");
    let found = rules(&run.audited());
    assert!(found.contains(&"approved_without_wish") && found.contains(&"sent_differs"), "{found:?}");
}

#[test]
fn tightened_limits_are_seen_to_be_exceeded_and_the_trades_are_named() {
    let run = Run::of(&["binance-usdm", "okx"], 15);
    let limits = |text: &str| run.audited_against(Instead::parse(text).expect("limits"));
    let report = limits("order_notional_max_usd = 10");
    assert_eq!(rules(&report), ["order_notional"]);
    assert!(report.first[0].subject.starts_with("order 0") && !report.limits.clean, "{}", report.first[0]);
    assert_eq!(rules(&limits("instrument_position_max_usd = 10")), ["instrument_position"]);
    let largest = run.audited().hedging;
    let below = largest.largest.value.to_f64() as i64 - 1;
    let report = limits(&format!("unhedged_notional_max_usd = {below}"));
    assert_eq!(rules(&report), ["unhedged_notional"]);
    assert!(report.first.iter().any(|f| f.subject == format!("trade {}", largest.largest.trade)), "{report}");
    let report = limits("unhedged_max_ms = 0");
    assert_eq!(rules(&report), ["unhedged_time"]);
    assert!(largest.longest_ns.value / MILLI < 10_000);
}

#[test]
fn a_hole_and_damage_are_found_and_a_torn_tail_is_none() {
    let run = Run::of(&["binance-usdm", "okx"], 5);
    rewrite(&run.journal(), Stream::Inputs, |index, record, out| {
        if index != 1000 {
            out.push(record);
        }
    })
    .expect("temporary disk");
    let report = audited(&run.journal(), &AuditOptions::default());
    assert_eq!(rules(&report), ["input_hole"]);
    assert_eq!((report.first[0].seq, report.sequence.inputs), (1002, 1000));

    // A byte of a record in the middle of the outputs, of a stream that was closed in order.
    let run = Run::of(&["binance-usdm", "okx"], 5);
    let segment = std::fs::read_dir(run.journal()).expect("a journal").flatten().map(|entry| entry.path());
    let mut segments: Vec<PathBuf> = segment
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("outputs-")))
        .collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).expect("a segment");
    bytes[20_000] ^= 0x55;
    std::fs::write(&segments[0], &bytes).expect("temporary disk");
    let report = audited(&run.journal(), &AuditOptions::default());
    assert!(rules(&report).contains(&"damaged"), "{report}");

    // The same in a run that crashed before anything was known to be on the disk.
    std::fs::remove_file(run.journal().join("outputs.mark")).expect("a mark");
    let report = audited(&run.journal(), &AuditOptions::default());
    assert!(!rules(&report).contains(&"damaged"), "{report}");
    assert_eq!((report.sequence.torn.len(), report.sequence.closed), (1, false), "{report}");
}

#[test]
fn a_running_engines_journal_is_audited_without_disturbing_it() {
    let recorded = |look: bool| {
        let dir = TempDir::new();
        let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
        let (mut simulation, _) =
            simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
        for _ in 0..3 {
            simulation.run_for(3 * SECOND);
            if look {
                let report = audited(dir.path(), &AuditOptions::default());
                assert_eq!(report.first, [], "{report}");
                assert!(!report.sequence.closed && report.sequence.inputs > 1_000);
            }
        }
        let (engine, _) = simulation.into_parts();
        engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for entry in std::fs::read_dir(dir.path()).expect("a journal") {
            let path = entry.expect("a file").path();
            if path.extension().is_none_or(|kind| kind != "mark") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
        let report = audited(dir.path(), &AuditOptions::default());
        assert_eq!((report.first.len(), report.sequence.closed), (0, true));
        files
    };
    assert!(recorded(true) == recorded(false), "the same bytes, looked at or not");
}

#[test]
fn the_command_ends_with_its_verdict() {
    let run = Run::of(&["binance-usdm", "okx"], 15);
    let limits = run.dir.path().join("limits.toml");
    std::fs::write(&limits, "order_notional_max_usd = 10\n").expect("temporary disk");
    let args = |limits: Option<&Path>, dir: PathBuf| AuditArgs {
        dir,
        ledger: Some(run.ledger()),
        limits: limits.map(Path::to_owned),
        follow: None,
        json: true,
    };
    let code = |args: &AuditArgs| perpring::cli::audit::run(args).map_err(|failure| failure.to_string());
    assert_eq!(code(&args(None, run.journal())), Ok(0));
    assert_eq!(code(&args(Some(&limits), run.journal())), Ok(1));
    assert!(code(&args(None, run.dir.path().join("nowhere"))).unwrap_err().contains("nowhere"));
    std::fs::write(&limits, "order_max = 10\n").expect("temporary disk");
    assert!(code(&args(Some(&limits), run.journal())).unwrap_err().contains("order_max"));
}
