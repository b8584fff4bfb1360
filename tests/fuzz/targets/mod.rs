//! What is fuzzed, as functions of bytes: they panic when a promise is broken. Driven by `tests/fuzz.rs` on
//! every run and by the coverage-guided targets in `fuzz/`, which include this file.

pub mod journal;
pub mod venues;
pub mod wire;

use perpring::config::{Config, ConfigError};
use perpring::domain::instrument::{CanonicalId, InstrumentId, VenueId};
use perpring::domain::params::{CanonicalParams, EngineParams, ListingParams, VenueParams};
use perpring::replay::step::command::{Command, parse};
use perpring::replay::step::expression::{Predicate, Scope, Watch};
use perpring::replay::step::filter::Book;

/// The configuration parser: a configuration, or an error that points into the text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse("fuzzed", text) {
        Ok(config) => {
            for live in [false, true] {
                if let Err(findings) = config.settings(live) {
                    assert!(!findings.is_empty() && findings.iter().all(|finding| !finding.is_empty()));
                }
            }
        }
        Err(ConfigError::Syntax { line, column, what, .. }) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}");
            assert!(column >= 1 && !what.is_empty());
        }
        Err(ConfigError::Secret { line, key, .. }) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line} for `{key}`");
        }
        Err(other) => panic!("{other}: nothing was read from a disk"),
    }
}

/// A line of the debugger: a command, or an error; its expression: typed, or an error that points into it.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let venue = |dialect: &str| VenueParams { dialect: dialect.to_owned(), ..VenueParams::default() };
    let listing = |at: u16| ListingParams {
        id: InstrumentId(at),
        venue: VenueId(at as u8),
        canonical: CanonicalId(0),
        ..ListingParams::default()
    };
    let params = EngineParams {
        venues: vec![venue("binance-usdm"), venue("okx")],
        canonicals: vec![CanonicalParams { name: "BTC/USDT:USDT".to_owned(), ..CanonicalParams::default() }],
        listings: vec![listing(0), listing(1)],
        ..EngineParams::default()
    };
    let book = Book::new(&params);
    let scope = Scope { book: &book, start: 0, epoch: 7 };
    for line in text.lines() {
        let expression = match parse(line) {
            Ok(Some(Command::Until(text) | Command::Show(text) | Command::Watch(text))) => text,
            Ok(Some(Command::Print(_, names))) => {
                let _ = book.filter(&names);
                continue;
            }
            Ok(_) => line.to_owned(),
            Err(why) => {
                assert!(!why.is_empty());
                line.to_owned()
            }
        };
        match Predicate::parse(&expression, &scope) {
            Ok(read) => assert_eq!(read.text(), expression.trim()),
            Err(why) => {
                assert!((1..=expression.chars().count() + 1).contains(&why.column), "{why}");
                assert!(!why.what.is_empty());
            }
        }
        let _ = Watch::parse(&expression, &scope);
    }
}
