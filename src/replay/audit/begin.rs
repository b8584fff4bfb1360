//! Where an audit begins that does not begin with its run: what was held there, from the stages that lie beside the
//! journal and from what the checker knew. It is taken, told, and not proven.

use super::carried::{CarriedRow, rows};
use crate::domain::carry::Carry;
use crate::domain::event::Seq;
use crate::domain::order::{ClientId, OrderState};
use crate::domain::params::EngineParams;
use crate::domain::time::{Nanos, Stamp};
use crate::replay::check::{Checker, KnownOrder};
use crate::stage::river::Parts;
use serde::Serialize;

/// Where a journal begins that does not begin with its run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Number of its first input.
    pub first: u64,
    /// Wall time of the input before, ns since the epoch.
    pub time_ns: Nanos,
    /// Positions that were held there.
    pub positions: Vec<CarriedRow>,
    /// Trades that were open.
    pub trades: u64,
    /// Orders that were under way.
    pub orders: u64,
}

/// What is taken from the state where a journal begins.
pub(super) struct Beginning {
    /// The first input, and the instant of the one before.
    pub place: (Seq, Stamp),
    /// In the words in which a restart hands over.
    pub held: Carry,
    /// Orders under way, with what the run believed of them.
    pub orders: Vec<(KnownOrder, Option<OrderState>)>,
    /// The last order of the run that was approved by then.
    pub last_order: ClientId,
}

impl Beginning {
    /// Of stages and a checker that have seen the run up to there.
    pub fn of(parts: &Parts, checker: &Checker, params: &EngineParams) -> Self {
        let (last, at) = parts.decode.now();
        let mut held = Carry::default();
        parts.risk.rules().carry(&mut held);
        parts.scan.scanner().carry(&mut held);
        parts.decode.carry(&mut held);
        held.instruments = checker.instruments().copied().collect(); // on paper decode hands over none
        let state = |id| parts.decode.ledger().order(id).map(|(state, _)| state);
        Self {
            place: (Seq(last.0 + 1), at),
            held,
            orders: checker.open_orders().map(|order| (order, state(order.spec.client_id))).collect(),
            last_order: checker.last_order(params.boot_epoch).unwrap_or(ClientId::NONE),
        }
    }

    /// The same in figures.
    pub fn told(&self, params: &EngineParams) -> PartReport {
        PartReport {
            first: self.place.0.0,
            time_ns: self.place.1.wall,
            positions: rows(&self.held, params),
            trades: self.held.trades.len() as u64,
            orders: self.orders.len() as u64,
        }
    }

    /// What the audit of it does not say.
    pub fn notes(&self, with_ledger: bool) -> Vec<String> {
        let first = self.place.0.0;
        let mut notes = vec![format!(
            "the journal begins at input {first}: what was before is taken from the state there, not proven"
        )];
        if with_ledger {
            notes.push(format!(
                "the venues' books are compared from input {first} on: orders and fills (with the orders under way there), \
                 funding, positions and balances at the end, and connections that were established since; not what was \
                 before, nor sums of fees, nor connections that were open there"
            ));
        }
        notes
    }
}
