//! Every capture that an independent program evaluated: messages per channel with their
//! checksums, and the rebuilt books, must equal its findings. Skips when the shared captures are absent.

use perpring::cli::book::{Books, Options, OwnedDepth};
use perpring::cli::{book, capture, decode};
use perpring::venue::message::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Folder of the shared captures, when there is one.
pub fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("PERPRING_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if path.join("oracle/expected").is_dir() {
        return Some(path);
    }
    println!("skipped: no shared captures at {}", path.display());
    None
}

struct Case {
    name: String,
    venue: &'static str,
    files: Vec<PathBuf>,
    expected: Value,
}

/// The cases whose name begins with `prefix`; USDⓈ-M and COIN-M share one.
fn cases(prefix: &str, venue: &'static str) -> Vec<Case> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(shared.join("oracle/expected")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(prefix) || name.contains("coinm") != (venue == "binance-coinm") {
            continue;
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = if venue == "bybit" { by_symbol(expected) } else { expected };
        let files = expected["files"].as_array().unwrap();
        let files = files
            .iter()
            .map(|file| shared.join(file.as_str().unwrap().strip_prefix("shared/").unwrap()))
            .collect();
        cases.push(Case { name, venue, files, expected });
    }
    assert!(!cases.is_empty(), "no expectations for {prefix} in {}", shared.display());
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Bybit's expectations name books by topic (`orderbook.50.BTCUSDT`): by symbol, as the others do.
fn by_symbol(mut expected: Value) -> Value {
    let renamed = |map: &Value, name: &dyn Fn(&str, &str) -> String| -> Value {
        let entries = map.as_object().unwrap().iter().map(|(key, value)| {
            let (topic, symbol) = key.rsplit_once('.').unwrap();
            (name(topic, symbol), value.clone())
        });
        Value::Object(entries.collect())
    };
    expected["channels"] = renamed(&expected["channels"], &|topic, symbol| format!("{symbol} {topic}"));
    for key in ["final", "checkpoints"] {
        expected[key] = renamed(&expected[key], &|_, symbol| symbol.to_owned());
    }
    for (_, book) in expected["final"].as_object_mut().unwrap() {
        book["n"] = book["messages"].clone();
    }
    expected
}

fn last_line(text: &[u8]) -> Value {
    let line = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
    serde_json::from_slice(line).unwrap()
}

/// Messages per channel, their checksums, and no line that cannot be decoded.
fn decode_equals(case: &Case) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = decode::run(case.venue, &case.files, true, true, &mut out, &mut err).unwrap();
    assert_eq!(code, 0, "{}: {}", case.name, String::from_utf8_lossy(&err));
    let summary = last_line(&out);
    for (channel, expected) in case.expected["channels"].as_object().unwrap() {
        let found = &summary["channels"][channel];
        assert_eq!(found["count"], expected["count"], "{}: count of {channel}", case.name);
        assert_eq!(found["crc"], expected["crc"], "{}: checksum of {channel}", case.name);
    }
    if let Some(rest) = case.expected["counts"]["rest-depth"].as_u64() {
        let channels = summary["channels"].as_object().unwrap();
        let found: u64 = channels
            .iter()
            .filter(|(name, _)| name.ends_with(" rest-depth"))
            .map(|(_, channel)| channel["count"].as_u64().unwrap())
            .sum();
        assert_eq!(found, rest, "{}: snapshots", case.name);
    }
}

/// The final books, with every level.
fn books_equal(case: &Case) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let options = Options { json: true, ..Options::default() };
    let code = book::run(case.venue, &case.files, &options, &mut out, &mut err).unwrap();
    assert_eq!(code, 0, "{}: {}", case.name, String::from_utf8_lossy(&err));
    let found = last_line(&out);
    let expected = case.expected["final"].as_object().unwrap();
    assert_eq!(found["instruments"].as_object().unwrap().len(), expected.len(), "{}: instruments", case.name);
    for (symbol, expected) in expected {
        let book = &found["instruments"][symbol];
        let counts = ["book_messages_applied", "messages", "n"];
        let messages = counts.iter().find_map(|name| expected.get(*name)).expect("a count");
        assert_eq!(&book["messages"], messages, "{} {symbol}: messages", case.name);
        for key in ["levels_bid", "levels_ask", "crc25", "sha256_full"] {
            assert_eq!(book[key], expected[key], "{} {symbol}: {key}", case.name);
        }
        assert_eq!(book["top_bids"], expected["top10_bids"], "{} {symbol}: bids", case.name);
        assert_eq!(book["top_asks"], expected["top10_asks"], "{} {symbol}: asks", case.name);
        assert_eq!(book["gaps"], 0, "{} {symbol}: gaps", case.name);
    }
}

/// The books on the way, at every checkpoint.
fn checkpoints_equal(case: &Case) {
    let checkpoints = case.expected["checkpoints"].as_object().unwrap();
    let mut books = Books::new(perpring::venue::dialect(case.venue).unwrap().decoder(), None);
    let mut checked = 0;
    for (symbol, depth) in depths(case.venue, &case.files) {
        books.on_depth(&symbol, &depth.borrow(&symbol), &mut |_| {});
        let (Some(book), Some(points)) = (books.book(&symbol), checkpoints.get(&symbol)) else { continue };
        for point in points.as_array().unwrap().iter().filter(|point| point["n"] == book.messages) {
            // The count is the same again while messages are skipped.
            let best = |level: Option<&(_, _)>| {
                level.map(|(price, _): &(perpring::domain::number::Num, _)| price.to_string())
            };
            assert_eq!(point["crc25"], book.crc25(), "{} {symbol} {point}", case.name);
            assert_eq!(
                point["best_bid"].as_str(),
                best(book.bids().next()).as_deref(),
                "{} {symbol}",
                case.name
            );
            assert_eq!(
                point["best_ask"].as_str(),
                best(book.asks().next()).as_deref(),
                "{} {symbol}",
                case.name
            );
            // Where whole snapshots were recorded, their levels are counted at the end.
            if point.get("nb").is_some_and(|count| !count.is_null()) {
                assert_eq!((&point["nb"], &point["na"]), (&book.levels().0.into(), &book.levels().1.into()));
            }
            checked += 1;
        }
    }
    let expected: usize = checkpoints.values().map(|points| points.as_array().unwrap().len()).sum();
    assert!(checked >= expected, "{}: {checked} of {expected} checkpoints", case.name);
}

/// Every depth message of the files with its symbol (empty where it cannot be told yet).
pub fn depths(venue: &str, files: &[PathBuf]) -> Vec<(String, OwnedDepth)> {
    let mut decoder = perpring::venue::dialect(venue).unwrap().decoder();
    let mut symbols = decode::Attribution::default();
    let mut depths = Vec::new();
    let unreadable = capture::read(files, |line| {
        symbols.line(&line);
        if line.kind == capture::LineKind::Frame {
            decoder
                .decode(line.payload, &mut |message| {
                    let symbol = symbols.of(message);
                    if let Message::Depth(depth) = message {
                        depths.push((symbol, OwnedDepth::from(depth)));
                    }
                })
                .unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    depths
}

#[test]
fn binance_messages_equal_the_oracle() {
    cases("shared-binance-", "binance-usdm").iter().for_each(decode_equals);
}

#[test]
fn binance_books_equal_the_oracle() {
    cases("shared-binance-", "binance-usdm").iter().for_each(books_equal);
}

#[test]
fn binance_books_equal_the_oracle_on_the_way() {
    cases("shared-binance-", "binance-usdm").iter().for_each(checkpoints_equal);
}

#[test]
fn okx_messages_equal_the_oracle() {
    cases("shared-okx-", "okx").iter().for_each(decode_equals);
}

#[test]
fn okx_books_equal_the_oracle() {
    cases("shared-okx-", "okx").iter().for_each(books_equal);
}

#[test]
fn okx_books_equal_the_oracle_on_the_way() {
    cases("shared-okx-", "okx").iter().for_each(checkpoints_equal);
}

#[test]
fn coin_margined_messages_equal_the_oracle() {
    cases("shared-binance-coinm-", "binance-coinm").iter().for_each(decode_equals);
}

#[test]
fn coin_margined_books_equal_the_oracle() {
    cases("shared-binance-coinm-", "binance-coinm").iter().for_each(books_equal);
}

#[test]
fn coin_margined_books_equal_the_oracle_on_the_way() {
    cases("shared-binance-coinm-", "binance-coinm").iter().for_each(checkpoints_equal);
}

#[test]
fn bybit_messages_and_books_equal_the_oracle() {
    for case in cases("shared-bybit-", "bybit") {
        decode_equals(&case);
        books_equal(&case);
        checkpoints_equal(&case);
    }
}

#[test]
fn hyperliquid_messages_equal_the_oracle() {
    cases("shared-hyperliquid-", "hyperliquid").iter().for_each(decode_equals);
}

#[test]
fn hyperliquid_books_equal_the_oracle() {
    cases("shared-hyperliquid-", "hyperliquid").iter().for_each(books_equal);
}

#[test]
fn hyperliquid_books_equal_the_oracle_on_the_way() {
    cases("shared-hyperliquid-", "hyperliquid").iter().for_each(checkpoints_equal);
}

#[test]
fn deribit_messages_equal_the_oracle() {
    cases("shared-deribit-", "deribit").iter().for_each(decode_equals);
}

#[test]
fn deribit_books_equal_the_oracle() {
    cases("shared-deribit-", "deribit").iter().for_each(books_equal);
}

#[test]
fn deribit_books_equal_the_oracle_on_the_way() {
    cases("shared-deribit-", "deribit").iter().for_each(checkpoints_equal);
}
