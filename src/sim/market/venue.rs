//! A venue without its protocol: the exchange, driven by its market along the time grid.

use super::super::config::SimConfig;
use super::super::exchange::{Exchange, ListingId, SimEvent};
use super::maker::Maker;
use super::random::Random;
use crate::domain::time::Nanos;

/// An exchange and its market. Protocol servers own one: they call [`SimVenue::advance`] up to the time of
/// every request or timer of theirs, operate on [`SimVenue::exchange_mut`], and publish
/// [`SimVenue::take_events`].
#[derive(Clone, Debug)]
pub struct SimVenue {
    exchange: Exchange,
    makers: Vec<Maker>,
    seed: u64,
    start: Nanos,
    step_ns: Nanos,
    /// Grid index of the next step; `None` before the first `advance`.
    next_step: Option<i64>,
}

impl SimVenue {
    /// The `venue`-th venue of a checked configuration, not yet quoted.
    pub fn new(config: &SimConfig, venue: usize) -> Self {
        let mut exchange = Exchange::new(config, venue);
        let settings = &config.venues[venue];
        let makers = (0..settings.listings.len())
            .map(|index| Maker::new(config, settings, index, &exchange))
            .collect();
        for index in 0..settings.listings.len() {
            plan_funding(&mut exchange, config.seed, ListingId(index as u16));
        }
        Self {
            exchange,
            makers,
            seed: config.seed,
            start: config.start_wall_ns,
            step_ns: config.step_ns.max(1),
            next_step: None,
        }
    }

    /// The exchange.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The exchange, for client operations at the time of the last `advance`.
    pub fn exchange_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// Moves all events since the last call to the end of `into`, oldest first.
    pub fn take_events(&mut self, into: &mut Vec<SimEvent>) {
        self.exchange.take_events(into);
    }

    /// When `advance` has something to do next, wall ns. Before the first `advance`: at once.
    pub fn next_due(&self) -> Nanos {
        match self.next_step {
            None => Nanos::MIN,
            Some(step) => self.step_time(step).min(self.exchange.next_lapse()),
        }
    }

    /// Does everything that is due up to and including `now`, in order of time. The first call opens the
    /// market at `now`, wherever on the latent path that is.
    pub fn advance(&mut self, now: Nanos) {
        let Some(mut step) = self.next_step else {
            self.run_step(now);
            self.next_step = Some((now - self.start).div_euclid(self.step_ns) + 1);
            return;
        };
        loop {
            let (stepping, lapsing) = (self.step_time(step), self.exchange.next_lapse());
            if stepping.min(lapsing) > now {
                break;
            }
            if lapsing < stepping {
                self.exchange.lapse(lapsing);
            } else {
                self.run_step(stepping);
                step += 1;
                self.next_step = Some(step);
            }
        }
    }

    fn step_time(&self, step: i64) -> Nanos {
        self.start + step * self.step_ns
    }

    fn run_step(&mut self, at: Nanos) {
        for maker in &mut self.makers {
            maker.step(&mut self.exchange, at);
        }
        for index in 0..self.makers.len() {
            let listing = ListingId(index as u16);
            while self.exchange.listing(listing).funding_at <= at {
                self.exchange.settle_funding(listing, at);
                plan_funding(&mut self.exchange, self.seed, listing);
            }
        }
    }
}

/// The coming settlement's rate: −1 to +3 bps, from the seed, the venue, the listing and the instant.
fn plan_funding(exchange: &mut Exchange, seed: u64, listing: ListingId) {
    let contract = exchange.listing(listing);
    let name = exchange.settings().name.clone();
    let at = contract.funding_at.to_le_bytes();
    let mut random = Random::keyed(seed, &[b"funding", name.as_bytes(), contract.symbol.as_bytes(), &at]);
    exchange.set_funding_rate(listing, random.between(-100_000, 300_000));
}
