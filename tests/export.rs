//! Exports of a recorded run: every row and decimal against the events themselves, and what other programs read.

use crate::simulated::{START, TempDir, sim_config, simulation};
use perpring::core::book::Book;
use perpring::domain::event::EventBody;
use perpring::domain::instrument::Instrument;
use perpring::domain::money::Money;
use perpring::domain::order::Side;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::export::{ExportError, Format, Request, export};
use perpring::replay::source::{Inputs, read_config};
use perpring::sim::SimAccount;
use perpring::stage::river::Parts;
use perpring::topology::world;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const VENUES: [&str; 2] = ["binance-usdm", "okx"];

/// A directory with the journal of a simulated run in `journal`.
fn recorded() -> TempDir {
    let dir = TempDir::new();
    fs::create_dir_all(dir.path()).expect("temporary disk");
    let sim = sim_config(7, &VENUES, |_| {});
    let journal = dir.path().join("journal");
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(&journal));
    simulation.run_for(20 * SECOND);
    crate::simulated::close(simulation);
    dir
}

fn perpring(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perpring")).args(arguments).output().expect("it starts")
}

/// Exports into a fresh directory; returns it, the exit code and the report.
fn exported(dir: &TempDir, name: &str, format: &str, more: &[&str]) -> (PathBuf, i32, Value) {
    let (journal, out) = (dir.path().join("journal"), dir.path().join(name));
    let mut arguments = vec!["export", journal.to_str().unwrap(), "--to", format, "--json"];
    arguments.extend(["-o", out.to_str().unwrap()]);
    arguments.extend(more);
    let output = perpring(&arguments);
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let code = output.status.code().expect("it ended by itself");
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{name}: {code} {said}");
    assert!(code != 0 || report.is_object(), "{said}");
    (out, code, report)
}

/// Rows of a CSV table that holds no quoted field.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).expect("it was exported");
    let mut lines = text.lines().map(|line| line.split(','));
    let names: Vec<&str> = lines.next().expect("a header").collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.collect();
            assert_eq!(cells.len(), names.len(), "{cells:?}");
            names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()
        })
        .collect()
}

/// The events as `journal dump --events` prints them.
fn dumped(dir: &TempDir) -> Vec<Value> {
    let journal = dir.path().join("journal");
    let output = perpring(&["journal", "dump", "--events", journal.to_str().unwrap()]);
    assert!(output.status.success());
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

/// What the tables must hold, from the printed events alone: per table, the row as `seq receive_ns` and some columns.
#[derive(Default)]
struct Expected {
    rows: BTreeMap<&'static str, Vec<Vec<String>>>,
}

impl Expected {
    fn of(events: &[Value]) -> Self {
        let mut expected = Self::default();
        for event in events {
            expected.add(event);
        }
        expected
    }

    fn add(&mut self, line: &Value) {
        let (kind, body) = line["event"].as_object().expect("an event with a body").iter().next().unwrap();
        let price = |value: &Value| value.as_str().expect("a decimal").to_owned();
        let qty = price;
        let place = [line["seq"].to_string(), line["wall_ns"].to_string()];
        let row = |cells: &[String]| [&place[..], cells].concat();
        let exact = |value: &Value| match value {
            Value::Null => String::new(),
            num => price(num),
        };
        let (table, made) = match kind.as_str() {
            "Instrument" => ("instruments", vec![row(&[])]),
            "Trade" => {
                let side = body["aggressor"].as_str().unwrap().to_owned();
                let cells = [body["id"].to_string(), price(&body["price"]), qty(&body["qty"]), side];
                ("trades", vec![row(&cells)])
            }
            "Bbo" => {
                let bid = [price(&body["bid"]), qty(&body["bid_qty"])];
                let ask = [price(&body["ask"]), qty(&body["ask_qty"])];
                ("bbo", vec![row(&[bid, ask].concat())])
            }
            "Levels" => {
                let bids = body["bids"].as_u64().unwrap() as usize;
                let both = bids + body["asks"].as_u64().unwrap() as usize;
                let side = |at| if at < bids { "Bid" } else { "Ask" }.to_owned();
                let level = |at: usize| {
                    let level = &body["levels"][at];
                    row(&[side(at), price(&level[0]), qty(&level[1])])
                };
                ("depth", (0..both).map(level).collect())
            }
            "Mark" => {
                let cells = [&body["mark"], &body["index"], &body["rate"]].map(exact);
                ("marks", vec![row(&cells)])
            }
            "Order" => {
                let fee = body["fee"].as_str().unwrap().to_owned();
                let id = body["client_id"].as_str().unwrap().to_owned();
                let state = body["state"].as_str().unwrap().to_owned();
                let filled = [qty(&body["filled"]), qty(&body["fill_qty"])];
                ("orders", vec![row(&[vec![id, state, fee], filled.to_vec()].concat())])
            }
            "OpenInterest" => ("open_interest", vec![row(&[exact(&body["qty"])])]),
            "Ticker" => ("tickers", vec![row(&[exact(&body["last"])])]),
            "Liquidation" => ("liquidations", vec![row(&[exact(&body["price"])])]),
            "Balance" => ("balances", vec![row(&[body["wallet"].as_str().unwrap().to_owned()])]),
            "Funding" => ("funding", vec![row(&[body["amount"].as_str().unwrap().to_owned()])]),
            "Position" => ("positions", vec![row(&[qty(&body["qty"]), exact(&body["entry"])])]),
            "Book" => ("books", vec![row(&[body["state"].as_str().unwrap().to_owned()])]),
            "Session" | "Conn" => ("sessions", vec![row(&[])]),
            "Denied" => ("denials", vec![row(&[body["reason"].as_str().unwrap().to_owned()])]),
            "Outcome" => ("outcomes", vec![row(&[body["message"].to_string()])]),
            _ => return,
        };
        self.rows.entry(table).or_default().extend(made);
    }
}

/// The columns of [`Expected`] behind sequence and time.
fn compared(table: &str) -> &'static [&'static str] {
    match table {
        "trades" => &["id", "price", "qty", "aggressor"],
        "bbo" => &["bid", "bid_qty", "ask", "ask_qty"],
        "depth" => &["side", "price", "qty"],
        "marks" => &["mark", "index", "rate"],
        "orders" => &["client_id", "state", "fee", "filled", "fill_qty"],
        "open_interest" => &["qty"],
        "tickers" => &["last"],
        "liquidations" => &["price"],
        "balances" => &["wallet"],
        "funding" => &["amount"],
        "positions" => &["qty", "entry"],
        "books" => &["state"],
        "denials" => &["reason"],
        "outcomes" => &["message"],
        _ => &[],
    }
}

#[test]
fn every_exported_row_and_decimal_equals_the_event_that_it_derives_from() {
    let dir = recorded();
    let expected = Expected::of(&dumped(&dir));
    for table in ["trades", "bbo", "depth", "marks", "orders", "balances", "books", "sessions", "outcomes"] {
        assert!(expected.rows.get(table).is_some_and(|rows| !rows.is_empty()), "no {table} happened");
    }
    let (out, code, report) = exported(&dir, "csv", "csv", &[]);
    assert_eq!(code, 0);
    for (table, count) in report["rows"].as_object().expect("counts") {
        let path = out.join(format!("{table}.csv"));
        if matches!(table.as_str(), "messages" | "intents" | "near_misses") {
            assert!(count.as_u64() > Some(0), "the run traded");
            continue;
        }
        let found: Vec<Vec<String>> = rows(&path)
            .iter()
            // Chunks without a level are rows too.
            .filter(|row| table != "depth" || !row["side"].is_empty())
            .map(|row| {
                let names = ["seq", "receive_ns"].iter().chain(compared(table));
                names.map(|name| row[*name].clone()).collect()
            })
            .collect();
        let nothing = Vec::new();
        assert_eq!(&found, expected.rows.get(table.as_str()).unwrap_or(&nothing), "{table}");
        assert_eq!(count.as_u64(), Some(rows(&path).len() as u64), "{table}");
    }
    // Messages are among it: no secret is.
    let account = SimAccount::default();
    exported(&dir, "ndjson", "ndjson", &[]);
    for folder in ["csv", "ndjson"] {
        for entry in fs::read_dir(dir.path().join(folder)).expect("exported") {
            let path = entry.expect("readable").path();
            let bytes = fs::read(&path).expect("readable");
            for secret in [&account.api_key, &account.secret, &account.passphrase] {
                let found = memchr::memmem::find(&bytes, secret.as_bytes());
                assert_eq!(found, None, "{} holds {secret}", path.display());
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Message<'a> {
    r#type: &'a str,
    seq: u64,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    amount: Option<&'a RawValue>,
    #[serde(rename = "isSnapshot")]
    is_snapshot: Option<bool>,
}

fn of_type<'a>(text: &'a str, kind: &str) -> Vec<Message<'a>> {
    let messages = text.lines().map(|line| serde_json::from_str::<Message<'_>>(line).expect("a message"));
    messages.filter(|message| message.r#type == kind).collect()
}

#[test]
fn messages_hold_the_digits_of_the_tables_and_a_range_begins_with_a_snapshot() {
    let dir = recorded();
    let (csv, ..) = exported(&dir, "csv", "csv", &["--kind", "trades,depth,bbo"]);
    let (out, code, _) = exported(&dir, "ndjson", "ndjson", &[]);
    assert_eq!(code, 0);
    let text = fs::read_to_string(out.join("market.ndjson")).expect("exported");
    let trades = rows(&csv.join("trades.csv"));
    let messages = of_type(&text, "trade");
    assert_eq!(messages.len(), trades.len());
    for (message, row) in messages.iter().zip(&trades) {
        let raw = |value: Option<&RawValue>| value.expect("stated").get().to_owned();
        assert_eq!((message.seq.to_string(), raw(message.price)), (row["seq"].clone(), row["price"].clone()));
        assert_eq!(raw(message.amount), row["qty"]);
    }
    let depth = rows(&csv.join("depth.csv"));
    let ends = depth.iter().filter(|row| row["last"] == "true").count();
    assert_eq!(of_type(&text, "book_change").len(), ends);
    assert_eq!(of_type(&text, "book_ticker").len(), rows(&csv.join("bbo.csv")).len());

    // From the middle on.
    let middle = depth[depth.len() / 2]["seq"].clone();
    let range = ["--from", middle.as_str(), "--instrument", "BTC/USDT:USDT", "--venue", "binance"];
    let (late, ..) = exported(&dir, "late", "ndjson", &range);
    let late = fs::read_to_string(late.join("market.ndjson")).expect("exported");
    let changes = of_type(&late, "book_change");
    assert_eq!(
        changes.iter().map(|change| change.is_snapshot).take(2).collect::<Vec<_>>(),
        [Some(true), Some(false)]
    );
    assert!(changes.iter().all(|change| change.seq >= middle.parse().unwrap()));
}

type Table = Vec<BTreeMap<String, String>>;

#[test]
fn a_range_holds_the_rows_of_the_whole_and_says_first_what_was_known() {
    let dir = recorded();
    let (whole, code, report) = exported(&dir, "whole", "csv", &[]);
    assert_eq!((code, &report["stated"]), (0, &serde_json::json!({})));
    let counted = |table: &str| report["rows"][table].as_u64().expect("a count");
    let last: u64 = report["inputs"].as_u64().expect("inputs");
    let (from, until) = (last / 2, last / 2 + last / 5);
    let seq = |row: &BTreeMap<String, String>| row["seq"].parse::<u64>().expect("a number");
    // By numbers and by times; a second time, when the first one has left snapshots.
    let ns = |seq: u64| {
        let all = rows(&whole.join("bbo.csv"));
        all.into_iter().find(|row| row["seq"].parse::<u64>().expect("a number") >= seq).expect("a quote")
    };
    let (first, end) = (ns(from), ns(until));
    let by_number = [first["seq"].clone(), end["seq"].clone()];
    let by_time = [first["receive_ns"].clone(), end["receive_ns"].clone()];
    for (name, [from, until]) in [("number", &by_number), ("time", &by_time), ("again", &by_number)] {
        let (out, code, ranged) = exported(&dir, name, "csv", &["--from", from, "--until", until]);
        assert_eq!(code, 0, "{name}");
        let inputs = ranged["inputs"].as_u64().expect("inputs");
        assert!(inputs < last / 2, "{name}: {inputs} of {last} inputs were read");
        for table in report["rows"].as_object().expect("counts").keys().filter(|table| *table != "messages") {
            let file = format!("{table}.csv");
            let stated = ranged["stated"][table].as_u64().unwrap_or(0) as usize;
            let made = rows(&out.join(&file));
            assert_eq!(ranged["rows"][table].as_u64(), Some(made.len() as u64), "{name}: {table}");
            let by = if name == "time" { "receive_ns" } else { "seq" };
            let number = |row: &BTreeMap<String, String>| row[by].parse::<u64>().expect("a number");
            let range = number(&first)..=number(&end);
            let lies_there = |row: &BTreeMap<String, String>| range.contains(&number(row));
            let meant: Table = rows(&whole.join(&file)).into_iter().filter(lies_there).collect();
            assert!(made[stated..] == meant, "{name}: {table}: {} of {}", made.len(), meant.len());
            match table.as_str() {
                "instruments" => {
                    let plain = |rows: &[BTreeMap<String, String>]| -> Vec<Vec<String>> {
                        let keep = |row: &BTreeMap<String, String>| {
                            let named = row
                                .iter()
                                .filter(|(name, _)| !["seq", "receive_ns"].contains(&name.as_str()));
                            named.map(|(_, cell)| cell.clone()).collect()
                        };
                        let mut plain: Vec<Vec<String>> = rows.iter().map(keep).collect();
                        plain.sort();
                        plain
                    };
                    assert_eq!(stated as u64, counted(table), "no contract changed in this run");
                    assert_eq!(plain(&made[..stated]), plain(&rows(&whole.join(&file))));
                }
                "depth" => {
                    let from = seq(&made[0]);
                    assert!(from == seq(&first) || name == "time", "the first input of the range");
                    assert_books(&rows(&whole.join(&file)), &made[..stated], from);
                }
                _ => assert_eq!(stated, 0, "{table}"),
            }
        }
    }
    // A run that is walked from its beginning says the same as one that is entered by a snapshot.
    let range = ["--from", &by_number[0], "--until", &by_number[1]];
    let changes = |name: &str, kinds: &str| -> Vec<String> {
        let more = [&range[..], &["--kind", kinds]].concat();
        let text = fs::read_to_string(exported(&dir, name, "ndjson", &more).0.join("market.ndjson"));
        let text = text.expect("exported");
        text.lines().filter(|line| line.contains("\"book_change\"")).map(str::to_owned).collect()
    };
    let entered = changes("entered", "depth");
    assert_eq!(entered, changes("walked", "depth,marks"));
    assert!(entered.iter().filter(|line| line.contains("\"isSnapshot\":true")).count() >= 2, "{entered:?}");
}

/// What is stated of the books is what the rows before made of them.
fn assert_books(whole: &[BTreeMap<String, String>], stated: &[BTreeMap<String, String>], from: u64) {
    type Books = BTreeMap<(String, String), BTreeMap<(String, String), String>>;
    let build = |rows: &mut dyn Iterator<Item = &BTreeMap<String, String>>| -> Books {
        let mut books = Books::new();
        for row in rows {
            let book = books.entry((row["venue"].clone(), row["symbol"].clone())).or_default();
            if row["clear"] == "true" {
                book.clear();
            }
            let level = (row["side"].clone(), row["price"].clone());
            match row["qty"].as_str() {
                "" => {}
                "0" => drop(book.remove(&level)),
                qty => drop(book.insert(level, qty.to_owned())),
            }
        }
        books
    };
    assert!(stated.iter().all(|row| row["snapshot"] == "true" && row["seq"] == from.to_string()));
    let before = build(&mut whole.iter().filter(|row| row["seq"].parse::<u64>().expect("a number") < from));
    assert!(before.len() >= 2 && before.values().all(|book| book.len() > 2));
    assert_eq!(build(&mut stated.iter()), before);
}

#[test]
fn a_bundle_says_first_what_was_known_where_it_begins_and_has_nothing_outside() {
    let dir = recorded();
    let (journal, bundle) = (dir.path().join("journal"), dir.path().join("b.ppz"));
    let [journal, bundle] = [&journal, &bundle].map(|path| path.display().to_string());
    let cut = perpring(&["bundle", &journal, "--around", "+10s", "--window", "1s", "-o", &bundle]);
    assert!(cut.status.success(), "{}", String::from_utf8_lossy(&cut.stderr));
    let out = dir.path().join("csv").display().to_string();
    let of_bundle =
        |more: &[&str]| perpring(&[&["export", &bundle, "--to", "csv", "-o", &out, "--json"], more].concat());
    for outside in [&["--from", "+900s"][..], &["--until", "3"], &["--until", "2020-01-01T00:00:00Z"]] {
        assert_eq!(of_bundle(outside).status.code(), Some(2), "{outside:?}");
        assert!(!Path::new(&out).exists());
    }
    let report: Value = serde_json::from_slice(&of_bundle(&[]).stdout).expect("a report");
    let stated = |table: &str| report["stated"][table].as_u64().unwrap_or(0) as usize;
    let [instruments, depth] =
        ["instruments", "depth"].map(|name| Path::new(&out).join(format!("{name}.csv")));
    assert_eq!((rows(&instruments).len(), stated("instruments")), (4, 4));
    let depth = rows(&depth);
    assert!(stated("depth") > 4 && depth[..stated("depth")].iter().all(|row| row["snapshot"] == "true"));
    assert!(depth[stated("depth")..].iter().any(|row| row["snapshot"] == "false"));
}

#[test]
fn an_export_that_is_stopped_leaves_nothing_behind_nor_what_one_that_was_killed_left() {
    let dir = recorded();
    let mut child = Command::new("true").spawn().expect("a process");
    let gone = dir.path().join(format!(".out.partial-{}", child.id()));
    child.wait().expect("its end");
    let other = dir.path().join(".out.partial-1"); // the first process is always there
    for left in [&gone, &other] {
        fs::create_dir(left).expect("temporary disk");
        fs::write(left.join("bbo.csv"), "seq").expect("temporary disk");
    }
    let request = Request {
        dir: dir.path().join("journal"),
        out: dir.path().join("out"),
        format: Format::Csv,
        kinds: Format::Csv.kinds().iter().copied().collect(),
        venues: None,
        instruments: None,
        from: None,
        to: None,
        stop: Arc::default(),
    };
    let names = || -> Vec<String> {
        let entries = fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = entries.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let mut begun = Vec::new();
    let done = export(&request, &mut |_, _| {
        begun = names();
        request.stop.store(true, Ordering::Relaxed);
    });
    assert!(matches!(done, Err(ExportError::Stopped)), "{done:?}");
    assert_eq!(begun.iter().filter(|name| name.starts_with(".out.partial-")).count(), 2, "{begun:?}");
    assert_eq!(names(), [".out.partial-1", "journal"]);
}

#[test]
fn fates_of_messages_bear_the_venue_that_they_went_to() {
    let dir = recorded();
    let (out, code, _) = exported(&dir, "whole", "csv", &["--kind", "messages,outcomes"]);
    assert_eq!(code, 0);
    // Texts of messages hold commas: only what stands before them is read.
    let text = fs::read_to_string(out.join("messages.csv")).expect("exported");
    let venues: BTreeMap<&str, &str> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|cells| cells.len() > 6 && cells[1].parse::<i64>().is_ok())
        .map(|cells| (cells[5], cells[2]))
        .collect();
    let outcomes = rows(&out.join("outcomes.csv"));
    let plain = outcomes.iter().filter(|row| row["client_id"].is_empty()).count();
    assert!(plain > 5, "messages that place no order: {plain}");
    for row in &outcomes {
        assert_eq!(venues.get(row["message"].as_str()), Some(&row["venue"].as_str()), "{row:?}");
    }
    let of_venue = |venue: &str| -> Table {
        let more = ["--kind", "outcomes", "--venue", venue];
        rows(&exported(&dir, venue, "csv", &more).0.join("outcomes.csv"))
    };
    let [binance, okx] = ["binance", "okx"].map(of_venue);
    assert!(!binance.is_empty() && okx.iter().any(|row| row["client_id"].is_empty()));
    assert_eq!(binance.len() + okx.len(), outcomes.len(), "each is of one of the two");
    // Of a range that begins between a message and its fate.
    let late = outcomes.last().expect("a fate");
    let more = ["--kind", "outcomes", "--from", &late["seq"]];
    assert_eq!(rows(&exported(&dir, "late", "csv", &more).0.join("outcomes.csv")).first(), Some(late));
}

#[test]
fn ranges_and_filters_are_slices_and_nothing_is_overwritten() {
    let dir = recorded();
    let whole = rows(&exported(&dir, "whole", "csv", &["--kind", "bbo"]).0.join("bbo.csv"));
    let (first, last) = (&whole[whole.len() / 3], &whole[whole.len() / 2]);
    let slice = |keep: &dyn Fn(&BTreeMap<String, String>) -> bool| -> Vec<_> {
        whole.iter().filter(|row| keep(row)).cloned().collect()
    };
    let by_seq = ["--kind", "bbo", "--from", &first["seq"], "--until", &last["seq"]];
    let number = |row: &BTreeMap<String, String>, name: &str| row[name].parse::<i64>().unwrap();
    let within = |row: &BTreeMap<String, String>, name: &str| {
        (number(first, name)..=number(last, name)).contains(&number(row, name))
    };
    let read = |name: &str, more: &[&str]| rows(&exported(&dir, name, "csv", more).0.join("bbo.csv"));
    assert_eq!(read("seq", &by_seq), slice(&|row| within(row, "seq")));
    let time = |row| perpring::domain::calendar::shown(number(row, "receive_ns"));
    let by_time = ["--kind", "bbo", "--from", &time(first), "--until", &time(last)];
    assert_eq!(read("time", &by_time), slice(&|row| within(row, "receive_ns")));
    // The other words for a time: since the beginning, of the day, and as `--json` prints it.
    let since = |row| format!("+{}ns", number(row, "receive_ns") - START);
    let of_day = |row| time(row)[11..].trim_end_matches('Z').to_owned();
    let ns = |row: &BTreeMap<String, String>| row["receive_ns"].clone();
    for (name, from, until) in [
        ("since", since(first), since(last)),
        ("day", of_day(first), of_day(last)),
        ("ns", ns(first), ns(last)),
        ("mixed", first["seq"].clone(), since(last)),
    ] {
        let range = ["--kind", "bbo", "--from", &from, "--until", &until];
        let meant = slice(&|row| match name {
            "mixed" => {
                number(row, "seq") >= number(first, "seq")
                    && number(row, "receive_ns") <= number(last, "receive_ns")
            }
            _ => within(row, "receive_ns"),
        });
        assert_eq!(read(name, &range), meant, "{range:?}");
    }
    let named = |name: &str, instrument: &str| read(name, &["--kind", "bbo", "--instrument", instrument]);
    let unified = named("unified", "BTC/USDT:USDT");
    assert_eq!(unified, slice(&|row| row["instrument"] == "BTC/USDT:USDT"));
    assert_eq!(named("dotted", "BTCUSDT-PERP.BINANCE"), unified);
    assert_eq!(named("native", "BTC-USDT-SWAP"), slice(&|row| row["symbol"] == "BTC-USDT-SWAP"));
    assert_eq!(read("venue", &["--kind", "bbo", "--venue", "okx"]), slice(&|row| row["venue"] == "okx"));
    for (name, more) in [
        ("whole", &["--kind", "bbo"][..]),
        ("a", &["--from", "5", "--until", "3"]),
        ("b", &["--from", "yesterday"]),
        ("f", &["--from", "+5s", "--until", "+3s"]),
        ("g", &["--from", "+900s"]),
        ("h", &["--from", "99999999"]),
        ("i", &["--from", "+5s", "--until", "3"]),
        ("j", &["--from", "end", "--until", "+3s"]),
        ("k", &["--until", "2020-01-01T00:00:00Z"]),
        ("c", &["--venue", "bybit"]),
        ("d", &["--instrument", "DOGE/USDT:USDT"]),
    ] {
        assert_eq!(exported(&dir, name, "csv", more).1, 2, "{more:?}");
    }
    assert_eq!(exported(&dir, "e", "npz", &["--kind", "bbo"]).1, 2);
    let last = exported(&dir, "last", "csv", &["--kind", "sessions", "--from", "end", "--until", "+900s"]).2;
    assert_eq!(last["inputs"].as_u64(), Some(1), "{last}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
    assert!(!dir.path().join("a").exists());
}

#[test]
fn what_comes_before_damage_is_exported_with_exit_code_1() {
    let dir = recorded();
    let whole = rows(&exported(&dir, "whole", "csv", &["--kind", "bbo"]).0.join("bbo.csv"));
    let entries = fs::read_dir(dir.path().join("journal")).unwrap();
    let is_input = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("inputs-") && name.ends_with(".seg")
    };
    let segment = entries.map(|entry| entry.unwrap().path()).filter(is_input).min().expect("a segment");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes[middle + 40] ^= 0xff;
    fs::write(&segment, bytes).unwrap();
    let (out, code, report) = exported(&dir, "part", "csv", &["--kind", "bbo"]);
    assert_eq!(code, 1);
    assert!(report["cut"].as_str().unwrap().contains("damaged"), "{report}");
    let part = rows(&out.join("bbo.csv"));
    assert!(!part.is_empty() && part.len() < whole.len());
    assert_eq!(part, whole[..part.len()]);
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let python = target.join("venv/bin/python");
    let works = Command::new(&python)
        .args(["-c", "import pyarrow, duckdb, hftbacktest"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        println!(
            "skipped: no pyarrow, DuckDB and hftbacktest at {}; run tests/setup-python.sh",
            python.display()
        );
    }
    works.then_some(python)
}

fn run_python(python: &Path, script: &str, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/py").join(script);
    let output = Command::new(python).arg(script).args(arguments).output().expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn pyarrow_and_duckdb_read_the_rows_and_the_exact_sums_and_run_the_documented_queries() {
    let Some(python) = python() else { return };
    let dir = recorded();
    let (csv, _, counts) = exported(&dir, "csv", "csv", &[]);
    let (parquet, code, same) = exported(&dir, "parquet", "parquet", &[]);
    assert_eq!((code, &same["rows"]), (0, &counts["rows"]));
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/EXPORT.md");
    let read =
        run_python(&python, "export_read.py", &[parquet.to_str().unwrap(), document.to_str().unwrap()]);
    assert_eq!(&read["rows"], &counts["rows"]);
    let mut sums = 0;
    for table in counts["rows"].as_object().unwrap().keys().filter(|table| *table != "messages") {
        let rows = rows(&csv.join(format!("{table}.csv")));
        for (column, kind) in read["types"].as_object().unwrap() {
            let Some(column) = column.strip_prefix(&format!("{table}.")) else { continue };
            if !kind.as_str().unwrap().starts_with("decimal") {
                continue;
            }
            let mut sum = Money::ZERO;
            for row in rows.iter().filter(|row| !row[column].is_empty()) {
                sum += row[column].parse().expect("a decimal");
            }
            let name = format!("{table}.{column}");
            for reader in ["arrow_sums", "duckdb_sums"] {
                let found: Money = read[reader][&name].as_str().expect("a sum").parse().expect("a decimal");
                assert_eq!(found, sum, "{reader} of {name}");
            }
            sums += usize::from(sum != Money::ZERO);
        }
    }
    assert!(sums >= 15, "{sums} columns had anything to add up");
    let queries = read["queries"].as_array().expect("their row counts");
    assert!(queries.len() >= 4 && queries.iter().all(|rows| rows.as_u64() > Some(0)), "{queries:?}");
}

#[test]
fn hftbacktest_rebuilds_the_book_that_the_engine_had_at_the_end() {
    let Some(python) = python() else { return };
    let dir = recorded();
    let (out, code, report) = exported(&dir, "npz", "npz", &[]);
    assert_eq!(code, 0);
    let journal = dir.path().join("journal");
    let (_, _, config) = read_config(&journal).expect("a journal");
    let mut decode = Parts::new(&config.params, true).expect("known dialects").decode;
    let mut inputs = Inputs::open(&journal).expect("a journal");
    let count = config.params.listings.len();
    let (mut books, mut known) = (vec![Book::new(); count], vec![Instrument::default(); count]);
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        let (seq, at) = decode.sequence(&raw);
        decode.on_input(&raw, seq, at, &mut |event| match &event.body {
            EventBody::Levels(chunk) => books[chunk.instrument.index()].apply(chunk),
            EventBody::Book(status) => books[status.instrument.index()].set_state(status.state),
            EventBody::Instrument(instrument) => known[instrument.id.index()] = *instrument,
            _ => {}
        });
    }
    let mut arguments = Vec::new();
    for instrument in &known {
        let venue = &config.params.venues[instrument.venue.index()].dialect;
        let file = out.join(format!("{venue}-{}.npz", instrument.symbol));
        let spec = &instrument.spec;
        arguments.extend([file.display().to_string(), spec.tick.to_string(), spec.step.to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = run_python(&python, "export_hft.py", &arguments);
    assert_eq!(played.as_array().map(Vec::len), Some(count));
    let mut read = 0;
    for (at, (book, instrument)) in books.iter().zip(&known).enumerate() {
        let (found, venue) = (&played[at], instrument.venue);
        let (bid, ask) = (book.depth(Side::Sell).next(), book.depth(Side::Buy).next());
        for (side, level) in [("bid", bid), ("ask", ask)] {
            let (price, qty) = level.expect("a book");
            assert_eq!(found[format!("{side}_tick")], price / instrument.tick, "{venue:?} {found}");
            let qty = instrument.qty_num(perpring::domain::instrument::Qty(qty)).to_string();
            let seen = found[format!("{side}_qty")].as_f64().expect("a number");
            assert_eq!(seen, qty.parse::<f64>().unwrap(), "{venue:?} {found}");
        }
        assert_eq!(found["exchange"], found["local"], "each side sees every row: {found}");
        assert!(found["steps"].as_u64() > Some(100), "it was played: {found}");
        read += found["local"].as_u64().unwrap();
    }
    let counted = |table: &str| report["rows"][table].as_u64().unwrap();
    assert!(read >= counted("trades") + counted("depth"), "{read} rows of {report}");
}
