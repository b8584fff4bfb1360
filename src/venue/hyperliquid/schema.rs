//! What the public channels of Hyperliquid are documented to hold beside what is read here (documentation of May 2026
//! and captured messages). A key outside these lists is drift.

use crate::venue::drift::Words;

/// The envelope has nothing but what is read.
pub(super) const ENVELOPE: Words = Words::new(&[]);
/// `l2Book` has nothing but what is read.
pub(super) const BOOK: Words = Words::new(&[]);
/// A level of `l2Book` or `bbo`.
pub(super) const LEVEL: Words = Words::new(&["n"]);
/// `bbo` has nothing but what is read.
pub(super) const BBO: Words = Words::new(&[]);
/// `trades`.
pub(super) const TRADE: Words = Words::new(&["hash", "users"]);
/// `activeAssetCtx` has nothing but what is read around its figures.
pub(super) const CONTEXT: Words = Words::new(&[]);
/// The figures of `activeAssetCtx`.
pub(super) const FIGURES: Words =
    Words::new(&["dayNtlVlm", "dayBaseVlm", "prevDayPx", "midPx", "premium", "impactPxs"]);
