//! Going on on paper: a counterfactual keeps what decode knew of orders when it left the recorded run.

use super::Decode;
use crate::core::paper::Paper;
use crate::core::paper::takeover::Accounts;
use crate::domain::params::EngineParams;

impl Decode {
    /// Executes on paper from now on, on the terms of `params` (nothing happens without such). `before` knows the orders:
    /// of a run at venues, those that are out meet the market of this decode after the latency, beside `accounts`; a run
    /// on paper goes on as it is.
    pub fn go_on_on_paper(&mut self, before: &Self, params: &EngineParams, accounts: &Accounts) {
        let Some(terms) = params.paper else { return };
        let paper = self.paper.get_or_insert_with(|| Box::new(Paper::new(params, terms)));
        paper.set_terms(params, terms);
        if before.paper.is_none() {
            let (_, at) = before.now();
            self.ledger = before.ledger.clone();
            paper.take_over(accounts, self.ledger.open_orders(), at);
        }
    }
}
