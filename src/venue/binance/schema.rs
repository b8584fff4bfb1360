//! What the streams of Binance futures are documented to hold (USDⓈ-M and COIN-M, as of Sept 2026, and captured
//! messages). A key outside these lists is drift; most keys are single letters, which are known by their bit.

use crate::venue::drift::Words;
use crate::venue::shape::Shape;

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

/// The events of an account.
pub(super) const PRIVATE: &[Shape] = &[
    Shape {
        channel: "ORDER_TRADE_UPDATE",
        levels: &[
            Words::new(&["e", "E", "T", "o", "fs", "i"]),
            Words::new(&[
                "s", "c", "S", "o", "f", "q", "p", "ap", "sp", "x", "X", "i", "l", "z", "n", "N", "T", "t",
                "b", "a", "m", "R", "wt", "ot", "ps", "cp", "AP", "cr", "pP", "si", "ss", "rp", "V", "pm",
                "gtd", "er", "L", "st", "ma",
            ]),
        ],
        values: &[
            ("x", Words::new(&["NEW", "CANCELED", "CALCULATED", "EXPIRED", "TRADE", "AMENDMENT"])),
            (
                "X",
                Words::new(&[
                    "NEW",
                    "PARTIALLY_FILLED",
                    "FILLED",
                    "CANCELED",
                    "EXPIRED",
                    "EXPIRED_IN_MATCH",
                    "REJECTED",
                    "NEW_INSURANCE",
                    "NEW_ADL",
                ]),
            ),
            (
                "o",
                Words::new(&[
                    "LIMIT",
                    "MARKET",
                    "STOP",
                    "STOP_MARKET",
                    "TAKE_PROFIT",
                    "TAKE_PROFIT_MARKET",
                    "TRAILING_STOP_MARKET",
                    "LIQUIDATION",
                ]),
            ),
            ("f", Words::new(&["GTC", "IOC", "FOK", "GTX", "GTD", "RPI", "GTE_GTC"])),
            ("S", Words::new(&["BUY", "SELL"])),
            ("ps", Words::new(&["BOTH", "LONG", "SHORT"])),
            ("wt", Words::new(&["CONTRACT_PRICE", "MARK_PRICE"])),
        ],
        opaque: &[],
    },
    Shape {
        channel: "TRADE_LITE",
        levels: &[Words::new(&["e", "E", "T", "s", "q", "p", "m", "c", "S", "L", "l", "t", "i"])],
        values: &[("S", Words::new(&["BUY", "SELL"]))],
        opaque: &[],
    },
    Shape {
        channel: "ACCOUNT_UPDATE",
        levels: &[
            Words::new(&["e", "E", "T", "a", "i", "fs"]),
            Words::new(&["m", "B", "P"]),
            Words::new(&["a", "wb", "cw", "bc", "s", "pa", "ep", "bep", "cr", "up", "mt", "iw", "ps", "ma"]),
        ],
        values: &[
            (
                "m",
                Words::new(&[
                    "DEPOSIT",
                    "WITHDRAW",
                    "ORDER",
                    "FUNDING_FEE",
                    "WITHDRAW_REJECT",
                    "ADJUSTMENT",
                    "INSURANCE_CLEAR",
                    "ADMIN_DEPOSIT",
                    "ADMIN_WITHDRAW",
                    "MARGIN_TRANSFER",
                    "MARGIN_TYPE_CHANGE",
                    "ASSET_TRANSFER",
                    "OPTIONS_PREMIUM_FEE",
                    "OPTIONS_SETTLE_PROFIT",
                    "AUTO_EXCHANGE",
                    "COIN_SWAP_DEPOSIT",
                    "COIN_SWAP_WITHDRAW",
                ]),
            ),
            ("mt", Words::new(&["cross", "isolated"])),
            ("ps", Words::new(&["BOTH", "LONG", "SHORT"])),
        ],
        opaque: &[],
    },
    Shape {
        channel: "ACCOUNT_CONFIG_UPDATE",
        levels: &[Words::new(&["e", "E", "T", "ac", "ai"]), Words::new(&["s", "l", "j"])],
        values: &[],
        opaque: &[],
    },
];
