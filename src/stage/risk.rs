//! Risk: approves baskets whole or denies them whole, keeps positions and capital, halts.

use crate::core::risk::{Risk as Rules, RiskOut};
use crate::domain::event::Flow;
use crate::domain::params::EngineParams;
use crate::stage::{Made, StateClock};
use serde::{Deserialize, Serialize};

/// The risk stage.
#[derive(Serialize, Deserialize)]
pub struct Risk {
    rules: Rules,
    #[serde(skip)]
    out: RiskOut,
    clock: StateClock,
}

impl Risk {
    /// For `params`.
    pub fn new(params: &EngineParams) -> Self {
        Self { rules: Rules::new(params), out: RiskOut::default(), clock: StateClock::default() }
    }

    /// Handles one item: forwards, approves or denies.
    #[inline]
    pub fn on_flow(&mut self, flow: &Flow, sink: &mut impl FnMut(Made<'_, Flow>)) {
        if self.clock.is_due(flow.seq) {
            sink(Made::State(self.rules.digest()));
        }
        let admitted = self.rules.decide(flow, &mut self.out);
        for body in &self.out.flows {
            sink(Made::Item(&Flow { seq: flow.seq, at: flow.at, body: *body }));
        }
        for denial in &self.out.denials {
            sink(Made::Denied(denial));
        }
        self.out.clear();
        // What the basket binds is booked when it has left: nothing else is handled in between.
        if let Some(admission) = admitted {
            self.rules.bind_flow(flow, &admission);
        }
    }

    /// The rules and their state.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}
