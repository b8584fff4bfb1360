//! What the market streams of Binance futures are documented to hold (USDⓈ-M and COIN-M, as of Sept 2026, and captured
//! messages). A key outside these lists is drift; most keys are single letters, which are known by their bit.

use crate::venue::drift::Words;

/// The single-letter keys of `text`, a bit each, in the order of [`super::decode::Fields`].
const fn letters(text: &[u8]) -> u64 {
    let (mut set, mut at) = (0, 0);
    while at < text.len() {
        set |= 1 << (text[at] - b'A');
        at += 1;
    }
    set
}

/// `bookTicker`.
pub(super) const BOOK_TICKER: u64 = letters(b"eusbBaATE");
/// `depthUpdate`.
pub(super) const DEPTH: u64 = letters(b"eETsUuba");
/// `aggTrade`.
pub(super) const AGG_TRADE: u64 = letters(b"eEsapqflTmM");
/// `trade`.
pub(super) const TRADE: u64 = letters(b"eETstpqXm");
/// `markPriceUpdate`.
pub(super) const MARK: u64 = letters(b"eEspiPrT");
/// `24hrTicker`.
pub(super) const TICKER: u64 = letters(b"eEspPwcQohlvqOCFLnbBaAx");
/// `forceOrder`.
pub(super) const FORCE: u64 = letters(b"eEo");
/// The order in it.
pub(super) const FORCE_ORDER: u64 = letters(b"sSofqpXlzT");

/// Longer keys of events: pair (COIN-M), stream type, normalised quantity, average price.
pub(super) const LONG: Words = Words::new(&["ps", "st", "nq", "ap"]);
