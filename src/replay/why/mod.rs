//! Why an order was sent, and why none was: the causal chain of a decision, derived from a journal.
//!
//! [`why`] goes to the input that made an order, decides it once more on copies of the stages and hears every check,
//! then follows the trade to its end. [`why_not`] goes to a place and asks the same code what stops a pair there.
//! Nothing is told that neither the journal holds nor the stages say; what is not recorded is named as such.

mod card;
mod decide;
mod figures;
mod follow;
mod hops;
mod index;
mod not;
mod text;
mod venue_ids;
mod words;

pub use card::{
    AccountCard, At, BasketCard, BookCard, CheckCard, DenialCard, EdgeCard, FillCard, GateCard, Hop,
    LeavingCard, LegResult, MessageCard, Moment, OrderCard, Others, PairCard, RouteCard, RunCard, Term,
    TradeCard, Trigger, UpdateCard, Verdict, Why,
};
pub use not::{ChangeCard, EntryCard, WayCard, WhyNotReport};
pub use text::{denied, taken};

use super::source::ReplayError;
use crate::domain::event::Seq;
use crate::domain::order::ClientId;
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
    /// No such venue.
    #[error(
        "`{asked}` names an order of the venue `{venue}`, which this run does not have; its venues are {known} (a trade \
         is named as in `trade:7`)"
    )]
    Venue { asked: String, venue: String, known: String },
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

/// The stretch of a run that something asked about lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is this order: everything that names it.
    Order(ClientId),
    /// It is a trade: from the first input in which something of it was wanted to the last.
    Inputs([Seq; 2]),
}

/// Where an order or a trade lies, named as [`why`] takes it.
///
/// # Errors
/// See [`WhyError`].
pub fn reach(dir: &Path, asked: &str, progress: &mut dyn FnMut(u64)) -> Result<Reach, WhyError> {
    let (_, subject) = index::resolve(dir, asked, progress)?;
    Ok(match (subject.order, subject.causes.first(), subject.causes.last()) {
        (None, Some(first), Some(last)) => Reach::Inputs([Seq(*first), Seq(*last)]),
        (order, ..) => Reach::Order(order.unwrap_or(ClientId::NONE)),
    })
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
