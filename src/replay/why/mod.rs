//! Why an order was sent, and why none was: the causal chain of a decision, derived from a journal.
//!
//! [`why`] goes to the input that made an order, decides it once more on copies of the stages and hears every check,
//! then follows the trade to its end. [`why_not`] goes to a place and asks the same code what stops a pair there.
//! Nothing is told that neither the journal holds nor the stages say; what is not recorded is named as such.

mod card;
mod decide;
mod follow;
mod hops;
mod index;
mod not;
mod text;
mod venue_ids;
mod words;

pub use card::{
    AccountCard, At, BasketCard, BookCard, CheckCard, DenialCard, EdgeCard, FillCard, GateCard, Hop,
    LeavingCard, LegResult, MessageCard, Moment, OrderCard, PairCard, RouteCard, RunCard, Term, TradeCard,
    Trigger, UpdateCard, Verdict, Why,
};
pub use not::{EntryCard, WayCard, WhyNotReport};

use super::source::ReplayError;
use crate::journal::JournalError;
use std::path::Path;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are the parts of the sentence
pub enum WhyError {
    /// The journal cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No such order or trade.
    #[error("this journal knows no order or trade `{asked}`: {near}")]
    Unknown { asked: String, near: String },
    /// More than one.
    #[error("`{asked}` may be {what}: say which, as in `{example}`")]
    Ambiguous { asked: String, what: String, example: String },
    /// No such pair.
    #[error("this run has no pair `{asked}`; its pairs are: {known}")]
    Pair { asked: String, known: String },
    /// No such place.
    #[error("{0}")]
    Place(String),
    /// The journal ends or breaks off before the place.
    #[error("the record ends at input {end}, before the {what} that was asked for")]
    End { end: u64, what: String },
}

/// The causal chain of an order (our client id, `VENUE:ID` or the venue's id alone) or of a trade (its number, or
/// `trade:N`). `progress` gets the number of inputs read now and then.
///
/// # Errors
/// See [`WhyError`].
pub fn why(dir: &Path, asked: &str, progress: &mut dyn FnMut(u64)) -> Result<Why, WhyError> {
    let (index, subject) = index::resolve(dir, asked, progress)?;
    follow::follow(dir, asked, &index, subject, progress)
}

/// What keeps a pair (`BTC-USDT binance-usdm/okx`) from trading at a place (a sequence, a time of receipt, `+12.5s`).
///
/// # Errors
/// See [`WhyError`].
pub fn why_not(
    dir: &Path,
    pair: &str,
    at: &str,
    progress: &mut dyn FnMut(u64),
) -> Result<WhyNotReport, WhyError> {
    not::why_not(dir, pair, at, progress)
}
