//! A depth line that is dropped, repeated or swapped with its neighbour, at any place: either the gap is
//! found (the book ends up unusable), or the change was harmless (the book equals the true one). Skips when
//! the shared captures are absent.
//!
//! Every place is tried in small captures, a sample of places in long ones. `PERPRING_PLACES=n` moves the
//! sample to its n-th neighbours, so that runs with 0, 1, 2, … try every place; the default is 0.

use crate::oracle::{depths, shared};
use perpring::cli::book::{Book, OwnedDepth};
use perpring::domain::event::BookState;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Drop,
    Repeat,
    Swap,
}

struct Outcome {
    gaps: u64,
    live: bool,
    text: String,
}

/// Feeds the messages with one fault at `at`.
fn rebuild(venue: &str, messages: &[OwnedDepth], fault: Option<(Fault, usize)>) -> Outcome {
    let decoder = perpring::venue::dialect(venue).unwrap().decoder();
    let mut book = Book::new(decoder.continuity());
    let mut feed = |index: usize| book.on_depth(&messages[index].borrow("X"), &mut |_| {});
    let mut index = 0;
    while index < messages.len() {
        match fault {
            Some((Fault::Drop, at)) if at == index => {}
            Some((Fault::Repeat, at)) if at == index => {
                feed(index);
                feed(index);
            }
            Some((Fault::Swap, at)) if at == index => {
                feed(index + 1);
                feed(index);
                index += 1;
            }
            _ => feed(index),
        }
        index += 1;
    }
    Outcome { gaps: book.gaps, live: book.state() == BookState::Live, text: book.text(proven(messages)) }
}

/// How many levels a side the venue's own proof covers: all of them where messages are numbered; the best 25
/// where a checksum is the only proof (OKX before 2023: what lies deeper cannot be told from the stream).
fn proven(messages: &[OwnedDepth]) -> usize {
    let numbered = messages.iter().any(|message| message.last != 0 || message.prev >= 0);
    if numbered { usize::MAX } else { 25 }
}

/// The number of the sample of places: see above.
fn sample() -> usize {
    let asked = std::env::var("PERPRING_PLACES").ok();
    asked.map_or(0, |number| number.parse().expect("PERPRING_PLACES is a number"))
}

/// Tries faults at up to `places` places of every instrument; returns how many were found and harmless.
fn conform(venue: &str, files: &[PathBuf], places: usize) -> (usize, usize) {
    let mut by_symbol: BTreeMap<String, Vec<OwnedDepth>> = BTreeMap::new();
    for (symbol, depth) in depths(venue, files) {
        by_symbol.entry(symbol).or_default().push(depth);
    }
    let (mut found, mut harmless) = (0, 0);
    for (symbol, messages) in &by_symbol {
        let truth = rebuild(venue, messages, None);
        assert!(truth.live && truth.gaps == 0, "{symbol}: the capture itself has no gap");
        let stride = messages.len().div_ceil(places).max(1);
        for fault in [Fault::Drop, Fault::Repeat, Fault::Swap] {
            // Nothing follows the last message, so nothing can tell that it is missing: the book is then
            // that of a shorter capture.
            let end = messages.len() - 1;
            let first = sample() % stride;
            for at in (first..end).step_by(stride) {
                let outcome = rebuild(venue, messages, Some((fault, at)));
                if outcome.gaps > 0 || !outcome.live {
                    found += 1;
                } else {
                    assert!(
                        outcome.text == truth.text,
                        "{symbol}: {fault:?} of message {at} was not noticed"
                    );
                    harmless += 1;
                }
            }
        }
        let shorter = rebuild(venue, &messages[..messages.len() - 1], None);
        let dropped = rebuild(venue, messages, Some((Fault::Drop, messages.len() - 1)));
        assert!(shorter.text == dropped.text && dropped.gaps == 0, "{symbol}: the end of a capture");
        let repeated = rebuild(venue, messages, Some((Fault::Repeat, messages.len() - 1)));
        assert!(repeated.gaps > 0 || repeated.text == truth.text, "{symbol}: the last message again");
    }
    println!("{venue}, sample {}: {found} found, {harmless} harmless", sample());
    (found, harmless)
}

#[test]
fn binance_small_captures_at_every_place() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("corpus/binance-usdm/capture");
    let files = [
        "cryptofeed_BINANCE_FUTURES.http.0.0__2021-07-22.txt",
        "cryptofeed_BINANCE_FUTURES.ws.1.0__2021-07-22.txt",
    ];
    let (found, harmless) = conform("binance-usdm", &files.map(|file| folder.join(file)), usize::MAX);
    // Every drop and swap after the snapshot is found; repeats carry nothing new.
    assert!(found > 1000 && harmless > 500, "{found} {harmless}");
}

#[test]
fn binance_long_captures_at_sampled_places() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("corpus/binance-usdm/capture");
    let (found, _) = conform("binance-usdm", &[folder.join("usdm_ethusdt_20240718.gz")], 24);
    assert!(found > 30, "{found}");
}

#[test]
fn coin_margined_captures_at_sampled_places() {
    let Some(shared) = shared() else { return };
    let file = shared.join("corpus/binance-usdm/capture/coinm_btcusd_perp_20240808.gz");
    let (found, _) = conform("binance-coinm", &[file], 24);
    assert!(found > 30, "{found}");
}

#[test]
fn okx_captures_at_sampled_places() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("corpus/okx/capture");
    for file in ["cryptofeed_OKX.ws.1.0__2022-05-13.txt", "cryptofeed_OKEX.ws.1.0__2021-07-22.txt.gz"] {
        let (found, _) = conform("okx", &[folder.join(file)], 24);
        assert!(found > 30, "{file}: {found}");
    }
}

#[test]
fn bybit_capture_at_every_place() {
    let Some(shared) = shared() else { return };
    let file = shared.join("corpus/bybit/orderbook/tickvault_orderbook50_2026-08-24.jsonl");
    let (found, harmless) = conform("bybit", &[file], usize::MAX);
    // Nine messages: every drop and swap is found, every repetition carries nothing new.
    assert_eq!((found, harmless), (16, 8));
}

#[test]
fn hyperliquid_captures_at_every_place() {
    let Some(shared) = shared() else { return };
    let file = shared.join("corpus/hyperliquid/capture/hyperliquid_btc_20250126.gz");
    let (found, harmless) = conform("hyperliquid", &[file], usize::MAX);
    // Every message is a whole snapshot with its time: nothing can be missed, and nothing steps back.
    assert_eq!((found, harmless), (0, 3 * 45));
}

#[test]
fn deribit_captures_at_every_place() {
    let Some(shared) = shared() else { return };
    let file = shared.join("corpus/deribit/capture/cryptofeed_DERIBIT.ws.1.0__2021-07-22.txt");
    let (found, harmless) = conform("deribit", &[file], usize::MAX);
    assert!(found > 20 && harmless > 20, "{found} {harmless}");
}
