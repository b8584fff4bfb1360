//! What is asked over HTTP, once or again and again; when and with what back-off is decided in [`super::adapter`].

use super::op;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Duties that are an HTTP request each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Duty {
    ExchangeInfo,
    FundingInfo,
    ListenKey,
    KeepAlive,
    OpenOrders,
    Positions,
    Balances,
    Time,
    AccountConfig,
    SymbolConfig,
    Commission,
    Foreign,
    Countdown,
    OpenInterest,
    Indicators,
    Missed,
}

/// What is asked when the account comes up, beside the reconciliation.
pub(super) const SETTINGS: [Duty; 3] = [Duty::AccountConfig, Duty::SymbolConfig, Duty::Commission];

/// All of them, in the order of [`Duty`].
pub(super) const DUTIES: [(Duty, u16); 16] = [
    (Duty::ExchangeInfo, op::EXCHANGE_INFO),
    (Duty::FundingInfo, op::FUNDING_INFO),
    (Duty::ListenKey, op::LISTEN_KEY),
    (Duty::KeepAlive, op::LISTEN_KEY_KEEP),
    (Duty::OpenOrders, op::OPEN_ORDERS),
    (Duty::Positions, op::POSITION_RISK),
    (Duty::Balances, op::BALANCE),
    (Duty::Time, op::TIME),
    (Duty::AccountConfig, op::ACCOUNT_CONFIG),
    (Duty::SymbolConfig, op::SYMBOL_CONFIG),
    (Duty::Commission, op::COMMISSION),
    (Duty::Foreign, op::OPEN_ORDERS),
    (Duty::Countdown, op::COUNTDOWN),
    (Duty::OpenInterest, op::OPEN_INTEREST),
    (Duty::Indicators, op::INDICATORS),
    (Duty::Missed, op::MISSED),
];

/// The three replies that make a reconciliation complete.
pub(super) const RECONCILE: [Duty; 3] = [Duty::OpenOrders, Duty::Positions, Duty::Balances];

/// State of a duty.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Chore {
    pub due: Nanos,
    /// The request under way and when it is given up.
    pub request: Option<(u32, Nanos)>,
    pub attempts: u32,
}
