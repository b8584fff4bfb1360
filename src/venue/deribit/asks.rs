//! What the adapter asks the venue for, and what that costs. Knows no time: when to ask is the adapter's.

use super::calls;
use super::credits::{self, Pool};
use crate::venue::request::kind_of;

/// What we ask for; the number is its place among the adapter's requests and in the low bits of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Instruments,
    OpenOrders,
    Positions,
    Summaries,
    Trades,
    Time,
    Settings,
    Foreign,
    Missed,
}

/// How many kinds of questions there are.
pub(super) const ASKS: usize = 9;

/// What makes the account known again.
pub(super) const ACCOUNT_ASKS: [Ask; 3] = [Ask::OpenOrders, Ask::Positions, Ask::Summaries];

impl Ask {
    /// All of them.
    pub const ALL: [Self; ASKS] = [
        Self::Instruments,
        Self::OpenOrders,
        Self::Positions,
        Self::Summaries,
        Self::Trades,
        Self::Time,
        Self::Settings,
        Self::Foreign,
        Self::Missed,
    ];

    /// Its code in [`calls`].
    pub const fn op(self) -> u16 {
        match self {
            Self::Instruments => calls::INSTRUMENTS,
            Self::OpenOrders | Self::Foreign => calls::OPEN_ORDERS,
            Self::Positions => calls::POSITIONS,
            Self::Summaries => calls::SUMMARIES,
            Self::Trades => calls::TRADES,
            Self::Time => calls::TIME,
            Self::Settings => calls::SETTINGS,
            Self::Missed => calls::MISSED,
        }
    }

    /// Who pays for it, and how much.
    pub const fn price(self) -> (Pool, i64) {
        match self {
            Self::Instruments => (Pool::Address, credits::INSTRUMENTS),
            Self::Time => (Pool::Address, credits::REQUEST),
            _ => (Pool::Account, credits::REQUEST),
        }
    }

    /// What an id, counted from [`calls::ASKS_FROM`], asked for.
    pub fn of_id(id: u32) -> Option<Self> {
        Self::ALL.get(kind_of(id)).copied()
    }
}
