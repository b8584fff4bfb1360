//! Going on on paper: a counterfactual keeps what decode knew of orders when it left the recorded run, and hears of the
//! market from the decode that goes on with the record.

use super::Decode;
use crate::core::book::Book;
use crate::core::paper::Paper;
use crate::core::paper::takeover::Accounts;
use crate::domain::event::{Event, EventBody};
use crate::domain::instrument::Instrument;
use crate::domain::params::EngineParams;

impl Decode {
    /// Orders are executed on paper.
    pub fn is_on_paper(&self) -> bool {
        self.paper.is_some()
    }

    /// Goes on on paper from the place of `before`, on the terms of `params` (nothing happens without such); this decode
    /// has seen nothing yet. `before` knows the orders: of a run at venues, those that are out meet the market, `listings`,
    /// after the latency, beside `accounts`; a run on paper goes on as it is.
    pub fn go_on_on_paper<'a>(
        &mut self,
        before: &Self,
        params: &EngineParams,
        accounts: &Accounts,
        listings: impl Iterator<Item = (&'a Instrument, &'a Book)>,
    ) {
        let Some(terms) = params.paper else { return };
        let Self { seq, mono, anchor, timers_at, ledger, .. } = before;
        (self.seq, self.mono, self.anchor, self.timers_at) = (*seq, *mono, *anchor, *timers_at);
        self.ledger = ledger.clone();
        let mut paper = before.paper.clone().unwrap_or_else(|| {
            let mut paper = Box::new(Paper::new(params, terms));
            listings.for_each(|(instrument, book)| paper.see(instrument, book));
            paper.take_over(accounts, self.ledger.open_orders(), before.now().1);
            paper
        });
        paper.set_terms(params, terms);
        self.paper = Some(paper);
    }

    /// Takes the events that another decode made of the input that was just numbered, as far as they are for this one, in
    /// the place of the input.
    pub fn on_told(&mut self, bodies: &[EventBody], sink: &mut impl FnMut(&Event)) {
        let (seq, at) = self.now();
        let mut emit = |body: EventBody| sink(&Event { seq, at, body });
        if let Some(paper) = &mut self.paper {
            // What was due before this input meets the market as it was before it.
            paper.on_time(at);
            self.drain_paper(at, &mut emit);
        }
        for body in bodies {
            if matches!(body, EventBody::Tick) {
                self.timers_at = at.mono;
                self.ledger.on_tick(at, &mut self.ledger_out);
                self.drain_ledger(at, &mut emit);
            }
            emit(*body);
            let Some(paper) = &mut self.paper else { continue };
            match body {
                EventBody::Instrument(instrument) => {
                    paper.on_instrument(instrument);
                    self.ledger.on_instrument(instrument, &mut self.ledger_out);
                }
                EventBody::Command(command) => paper.on_command(*command, at),
                market => paper.on_market(market, at),
            }
            self.drain_paper(at, &mut emit);
        }
    }
}
