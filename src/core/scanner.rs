//! The scan stage's rules: takes the events of the river, keeps books and baselines, and wants baskets.
//!
//! Edges are evaluated only at the end of a drained burst, for pairs whose books changed; never while a
//! connection of theirs has unread data. Reads no clock and allocates nothing after construction, but
//! for a [`ScanOut`] that is asked to hold more than it was made for.

mod by_hand;
mod explain;
mod imagine;
mod near;
mod restart;
mod view;

pub use explain::{Explained, Leaving};
pub use view::{PairView, QualityView, ScanTotals};

use super::digest::Digest;
use super::listing::{Listing, Served};
use super::miss::MissRate;
use super::mode::{Mode, Modes};
use super::pair::{Gate, Pair};
use super::start_gate::StartGate;
use super::trade::ExitReason;
use super::trade::desk::{Desk, Floor};
use super::trade::measure::touches;
use crate::domain::event::{BookState, BookStatus, BurstEnd, ConnStatus, Event, EventBody, FlowBody, Seq};
use crate::domain::input::{Command, ConnId, Scope};
use crate::domain::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId};
use crate::domain::intent::{BasketKind, EVERY_TRADE};
use crate::domain::order::{OrderState, OrderUpdate};
use crate::domain::params::{Amending, EngineParams, ScanParams};
use crate::domain::state::array;
use crate::domain::time::{MILLI, Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// Shortest time between two mids of one instrument.
const MID_INTERVAL_NS: Nanos = 100 * MILLI;

/// Recorder lag at which entries stop and open trades are closed, percent.
const LAG_REDUCE_PERCENT: u8 = 25;
/// Recorder lag at which everything stops, percent.
const LAG_HALT_PERCENT: u8 = 75;

/// What the scanner emits for one event, in order; drained by the stage, which owns it.
#[derive(Debug)]
pub struct ScanOut {
    /// Forwarded events, mids and intents.
    pub items: Vec<FlowBody>,
}

impl Default for ScanOut {
    fn default() -> Self {
        Self { items: Vec::with_capacity(INSTRUMENTS_MAX + 256) }
    }
}

impl ScanOut {
    /// Empties it, keeping its room.
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

/// The scanner: a deterministic function of the events it is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scanner {
    epoch: u64,
    params: ScanParams,
    listings: Vec<Listing>,
    pairs: Vec<Pair>,
    desk: Desk,
    modes: Modes,
    start: StartGate,
    /// Our wall clock less `mono`, as of the last event: when it steps, venues' offsets do.
    anchor: Nanos,
    /// Listings that changed since their pairs were last evaluated.
    dirty: Vec<u16>,
    /// By venue: another connection may carry on what one brought, and only the dialect knows.
    relayed: Vec<bool>,
    /// By venue: an amendment makes a new order of the old one. Empty in states from before it was known.
    #[serde(default)]
    replaces: Vec<bool>,
    /// Connections with unread data.
    #[serde(with = "array")]
    behind: [bool; 256],
    now: Stamp,
    sample_at: Option<Nanos>,
    sample_next: usize,
    sample_step: Nanos,
    due: Nanos,
    evaluations: u64,
    odd: u64,
}

impl Scanner {
    /// A scanner without knowledge; allocates everything it will need.
    ///
    /// Pairs are all combinations of two listings of one canonical instrument on different venues.
    /// Listings whose id is not their position are left out.
    pub fn new(params: &EngineParams) -> Self {
        let scan = params.scan.clone();
        let mut listings: Vec<Listing> =
            params.listings.iter().map(|listing| Listing::new(*listing)).collect();
        let venue_of = |listing: &Listing| params.venues.get(listing.params.venue.index());
        for listing in &mut listings {
            let prior = venue_of(listing).map_or(0, |venue| venue.miss_prior_ppb);
            listing.misses = MissRate::new(prior, &scan);
        }
        let fee = |listing: &Listing| venue_of(listing).map_or(0, |venue| venue.taker_fee_ppb);
        let haircut = |a: &Listing, b: &Listing| match [a, b].map(|listing| {
            venue_of(listing)
                .filter(|venue| !venue.settle_at_par.is_empty())
                .map(|venue| venue.settle_haircut_ppb)
        }) {
            [Some(one), None] | [None, Some(one)] => one,
            _ => 0, // both legs settle in what their names say, or both do not
        };
        let allowance = |listing: &Listing| venue_of(listing).map_or(0, |venue| venue.allowance_ppb);
        let mut pairs = Vec::new();
        for a in 0..listings.len() {
            for b in a + 1..listings.len() {
                let [x, y] = [&listings[a], &listings[b]];
                let is_placed = x.params.id.index() == a && y.params.id.index() == b;
                if !is_placed || x.params.canonical != y.params.canonical || x.params.venue == y.params.venue
                {
                    continue;
                }
                let fees = [fee(x), fee(y)];
                let more = haircut(x, y).saturating_add(allowance(x)).saturating_add(allowance(y));
                let pair = Pair::new(x.params.canonical, [a as u16, b as u16], fees, more, &scan);
                let at = pairs.len() as u16;
                pairs.push(pair);
                listings[a].pairs.push(at);
                listings[b].pairs.push(at);
            }
        }
        let sample_step = (scan.basis_sample_ns / (pairs.len().max(1) as i64)).max(1);
        Self {
            epoch: params.boot_epoch,
            desk: Desk::new(params.boot_epoch, &scan, &params.risk),
            params: scan,
            dirty: Vec::with_capacity(listings.len()),
            listings,
            pairs,
            modes: Modes::default(),
            start: StartGate::new(params),
            anchor: 0,
            relayed: params.venues.iter().map(|venue| venue.market_copies.has_second()).collect(),
            replaces: params.venues.iter().map(|venue| venue.amending == Amending::Replace).collect(),
            behind: [false; 256],
            now: Stamp::default(),
            sample_at: None,
            sample_next: 0,
            sample_step,
            due: Nanos::MIN,
            evaluations: 0,
            odd: 0,
        }
    }

    /// Handles one event of the river: passes on what risk and route need, fires due timers, then acts.
    pub fn on_event(&mut self, event: &Event, out: &mut ScanOut) {
        self.now = event.at;
        let anchor = event.at.wall.saturating_sub(event.at.mono);
        if anchor != self.anchor {
            self.anchor = anchor;
            self.follow_clocks();
        }
        let is_market = matches!(
            event.body,
            EventBody::Bbo(_)
                | EventBody::Levels(_)
                | EventBody::Trade(_)
                | EventBody::Mark(_)
                | EventBody::BurstEnd(_)
                | EventBody::OpenInterest(_)
                | EventBody::Ticker(_)
                | EventBody::Liquidation(_)
        );
        if !is_market {
            out.items.push(FlowBody::Event(event.body));
        }
        if event.at.mono >= self.due {
            self.fire(out);
        }
        match &event.body {
            EventBody::Bbo(bbo) => {
                if let Some(listing) = self.touch(bbo.instrument, event.seq) {
                    listing.book.set_bbo(bbo);
                }
            }
            EventBody::Levels(chunk) => {
                if let Some(listing) = self.touch(chunk.instrument, event.seq) {
                    listing.book.apply(chunk);
                }
            }
            EventBody::BurstEnd(burst) => self.on_burst_end(burst, event.seq, out),
            EventBody::Mark(mark) => {
                if let Some(listing) = self.listings.get_mut(mark.instrument.index()) {
                    listing.mark(mark, event.at.mono);
                }
            }
            EventBody::Book(status) => self.on_book(status),
            EventBody::Instrument(instrument) => self.on_instrument(instrument, out),
            EventBody::Order(update) => {
                self.judge(update);
                self.with_desk(out, |desk, floor| desk.on_order(update, floor));
            }
            EventBody::Denied(denial) if denial.trade == EVERY_TRADE => {
                self.with_desk(out, |desk, floor| desk.close(ExitReason::Commanded, floor, |_, _| true));
            }
            // The order that was to be amended is as before.
            EventBody::Denied(denial) if denial.kind == BasketKind::Amend => {}
            EventBody::Denied(denial) => self.with_desk(out, |desk, floor| desk.on_denied(denial, floor)),
            EventBody::Conn(status) => self.on_conn(status),
            EventBody::Command(command) => self.on_command(*command, out),
            EventBody::Clock(sample) => {
                self.start.on_clock(sample, event.at);
                self.follow_clocks();
            }
            EventBody::Check(check) => self.start.on_check(check),
            EventBody::Lock(lock) => {
                if let Some(listing) = self.listings.get_mut(lock.instrument.index()) {
                    listing.locked_until = lock.until;
                }
            }
            EventBody::Carried(carried) => self.on_carried(carried, out),
            EventBody::Tick if self.modes.restart.holds() => self.end_restart(),
            EventBody::Tick
            | EventBody::Trade(_)
            | EventBody::Position(_)
            | EventBody::Balance(_)
            | EventBody::Funding(_)
            | EventBody::Session(_)
            | EventBody::Outcome(_)
            | EventBody::AmendOutcome(_)
            | EventBody::Amended(_)
            | EventBody::Action(_)
            | EventBody::Pace(_)
            | EventBody::Grant(_)
            | EventBody::OpenInterest(_)
            | EventBody::Ticker(_)
            | EventBody::Liquidation(_)
            | EventBody::Sweep(_) => {}
        }
    }

    /// An order of ours ended: it traded or it did not. Each is judged once, at its first end.
    fn judge(&mut self, update: &OrderUpdate) {
        let counts = matches!(update.state, OrderState::Filled | OrderState::Canceled | OrderState::Expired);
        if let Some(listing) = self.listings.get_mut(update.instrument.index())
            && counts
            && update.client_id.epoch() == self.epoch
            && let Some(ended) = self.desk.judge(update.client_id)
        {
            listing.quality.on_end(update.filled.0 > 0, self.now.mono, &self.params);
            if let Some(wanted) = ended.entered {
                listing.misses.on_end(wanted, update.filled.0, self.now.mono, &self.params);
            }
        }
    }

    /// Ages are measured on the clock of the venue that stated the time.
    fn follow_clocks(&mut self) {
        for listing in &mut self.listings {
            let estimate = self.start.clocks().estimate(listing.params.venue, self.now);
            listing.clock_offset = estimate.map_or(0, |estimate| estimate.offset);
        }
    }

    /// Hash of the whole state. Books keep theirs incrementally; the rest is a few numbers per pair.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.listings.iter().for_each(|listing| listing.digest(&mut digest));
        self.pairs.iter().for_each(|pair| pair.digest(&mut digest));
        self.desk.digest(&mut digest);
        self.modes.digest(&mut digest);
        self.start.digest(&mut digest);
        self.behind
            .iter()
            .enumerate()
            .filter(|(_, behind)| **behind)
            .for_each(|(at, _)| digest.mix(at as u64));
        self.dirty.iter().for_each(|at| digest.mix(u64::from(*at)));
        digest.mix_instant(self.sample_at);
        digest.mix(self.sample_next as u64);
        digest.value()
    }

    /// The listing whose book changes now, marked for evaluation.
    fn touch(&mut self, instrument: InstrumentId, seq: Seq) -> Option<&mut Listing> {
        let Some(listing) = self.listings.get_mut(instrument.index()) else {
            self.odd += 1;
            return None;
        };
        listing.changed();
        listing.touched = seq;
        if !listing.dirty {
            listing.dirty = true;
            self.dirty.push(instrument.0);
        }
        Some(listing)
    }

    fn on_burst_end(&mut self, burst: &BurstEnd, seq: Seq, out: &mut ScanOut) {
        self.behind[burst.conn.index()] = !burst.drained;
        for at in 0..self.dirty.len() {
            let listing = &mut self.listings[usize::from(self.dirty[at])];
            if listing.touched == seq {
                // The same input brought the data and ended the burst: this connection serves it.
                listing.conn = Some(burst.conn);
            }
            listing.refresh();
            let is_due = listing.mid_sent.is_none_or(|sent| self.now.mono - sent >= MID_INTERVAL_NS);
            if is_due && listing.served == Served::Yes {
                listing.mid_sent = Some(self.now.mono);
                out.items.push(FlowBody::Mid(listing.params.id, listing.mid()));
            }
        }
        if burst.drained {
            self.evaluate_dirty(seq, out);
        }
    }

    /// Evaluates the pairs of every changed listing. A listing stays marked while one of its pairs has to
    /// wait for a connection that is behind.
    fn evaluate_dirty(&mut self, seq: Seq, out: &mut ScanOut) {
        let mut kept = 0;
        for at in 0..self.dirty.len() {
            let index = self.dirty[at];
            let mut is_deferred = false;
            if let Some(slot) = self.listings[usize::from(index)].trade {
                if self.is_trade_behind(slot) {
                    is_deferred = true;
                } else {
                    self.with_desk(out, |desk, floor| desk.on_price(slot, floor));
                }
            }
            for n in 0..self.listings[usize::from(index)].pairs.len() {
                let pair = usize::from(self.listings[usize::from(index)].pairs[n]);
                is_deferred |= self.evaluate(pair, seq, out);
            }
            if is_deferred {
                self.dirty[kept] = index;
                kept += 1;
            } else {
                self.listings[usize::from(index)].dirty = false;
            }
        }
        self.dirty.truncate(kept);
    }

    /// Evaluates one pair and enters when it is ready. True when it has to wait for a connection.
    fn evaluate(&mut self, at: usize, seq: Seq, out: &mut ScanOut) -> bool {
        let [a, b] = self.pairs[at].listings.map(usize::from);
        let is_behind = self.is_behind(a) || self.is_behind(b);
        if self.pairs[at].evaluated == seq {
            return is_behind;
        }
        self.evaluations += 1;
        let gate = self.gate(at, seq);
        let legs = [&self.listings[a], &self.listings[b]];
        let pair = &mut self.pairs[at];
        pair.evaluated = seq;
        let entered = pair.evaluate(legs, &gate, self.now, &self.params);
        self.tell_near_misses(at, out);
        if let Some(way) = entered {
            self.with_desk(out, |desk, floor| desk.enter(at, way, floor));
        }
        is_behind
    }

    /// What outside a pair decides about its entry now.
    fn gate(&self, at: usize, seq: Seq) -> Gate {
        let [a, b] = self.pairs[at].listings.map(usize::from);
        let legs = [&self.listings[a], &self.listings[b]];
        Gate {
            mode: self.modes.at(legs[0].params.venue).max(self.modes.at(legs[1].params.venue)),
            clock_off: legs.iter().any(|leg| !self.start.is_clock_fit(leg.params.venue, self.now)),
            closed: legs.iter().any(|leg| !self.start.is_open(leg.params.venue)),
            behind: self.is_behind(a) || self.is_behind(b),
            locked: legs.iter().any(|leg| leg.is_locked(self.now.wall)),
            paused: legs.iter().any(|leg| leg.quality.is_paused(self.now.mono, &self.params)),
            full: self.desk.is_full(&self.params),
            exposed: self.desk.alone_for(self.now.mono) > self.params.unhedged_max_ns,
            seq,
            epoch: self.epoch,
        }
    }

    fn is_behind(&self, listing: usize) -> bool {
        self.listings[listing].conn.is_some_and(|conn: ConnId| self.behind[conn.index()])
    }

    fn is_trade_behind(&self, slot: u16) -> bool {
        self.desk
            .trade(slot)
            .is_some_and(|trade| trade.legs.iter().any(|leg| self.is_behind(usize::from(leg.listing))))
    }

    fn on_book(&mut self, status: &BookStatus) {
        if let Some(listing) = self.listings.get_mut(status.instrument.index()) {
            listing.book.set_state(status.state);
            listing.changed();
            listing.refresh();
        } else {
            self.odd += 1;
        }
    }

    fn on_instrument(&mut self, instrument: &Instrument, out: &mut ScanOut) {
        let Some(listing) = self.listings.get_mut(instrument.id.index()) else {
            self.odd += 1;
            return;
        };
        let before = listing.instrument;
        let is_new = listing.define(instrument);
        listing.refresh();
        if !is_new {
            return;
        }
        for n in 0..listing.pairs.len() {
            self.pairs[usize::from(listing.pairs[n])].reset();
        }
        if before.generation > 0 {
            self.with_desk(out, |desk, floor| desk.on_redefined(instrument.id.0, &before, floor));
        }
    }

    /// A lost connection takes its books with it, whether or not the venue's session says so too: unless a second
    /// one may carry them on, which the dialect then says of each with the same input.
    fn on_conn(&mut self, status: &ConnStatus) {
        self.behind[status.conn.index()] = false;
        if status.up {
            return;
        }
        let Self { listings, relayed, .. } = self;
        for listing in listings.iter_mut().filter(|listing| listing.conn == Some(status.conn)) {
            if relayed.get(listing.params.venue.index()).is_some_and(|relayed| *relayed) {
                continue;
            }
            listing.book.set_state(BookState::AwaitSnapshot);
            listing.changed();
            listing.refresh();
        }
    }

    fn on_command(&mut self, command: Command, out: &mut ScanOut) {
        match command {
            Command::Start => {}
            Command::ByHand(what) => self.by_hand(&what, out),
            Command::Resume => self.modes.resume(),
            Command::Stop => self.modes.stopped = true,
            Command::Reduce => self.tighten(Mode::Reducing, out),
            Command::RecorderLag { percent } if percent > LAG_HALT_PERCENT => self.tighten(Mode::Halted, out),
            Command::RecorderLag { percent } if percent > LAG_REDUCE_PERCENT => {
                self.tighten(Mode::Reducing, out);
            }
            Command::RecorderLag { .. } => {}
            Command::JournalSpace { short } => self.modes.short = short,
            Command::Kill(scope) => {
                self.modes.kill(scope);
                self.with_desk(out, |desk, floor| {
                    desk.close(ExitReason::Commanded, floor, |trade, listings| match scope {
                        Scope::Global => true,
                        Scope::Venue(venue) => touches(trade, listings, venue),
                    });
                });
            }
        }
    }

    /// Stops entries and closes every trade, reduce-only.
    fn tighten(&mut self, mode: Mode, out: &mut ScanOut) {
        self.modes.tighten(mode);
        self.with_desk(out, |desk, floor| desk.close(ExitReason::Commanded, floor, |_, _| true));
    }

    /// Fires the timers that are due: samples of the basis, deadlines of trades.
    #[cold]
    fn fire(&mut self, out: &mut ScanOut) {
        let now = self.now.mono;
        let mut at = *self.sample_at.get_or_insert(now);
        for _ in 0..self.pairs.len() {
            if now < at {
                break;
            }
            self.sample();
            at += self.sample_step;
        }
        // After a long gap the missed samples are skipped, not made up.
        self.sample_at = Some(if now >= at { now + self.sample_step } else { at });
        if now >= self.desk.due() {
            self.with_desk(out, super::trade::desk::Desk::on_time);
        }
        self.reschedule();
    }

    /// Samples the next pair in turn, so that the work is spread over the interval.
    fn sample(&mut self) {
        let count = self.pairs.len();
        let Some(pair) = self.pairs.get_mut(self.sample_next) else { return };
        self.sample_next = (self.sample_next + 1) % count;
        let [a, b] = pair.listings.map(usize::from);
        for at in [a, b] {
            self.listings[at].refresh();
            self.listings[at].misses.forget(self.now.mono, &self.params);
        }
        pair.sample([&self.listings[a], &self.listings[b]], self.now, &self.params);
    }

    /// Lets the desk work on current figures, and learns its next deadline.
    fn with_desk(&mut self, out: &mut ScanOut, work: impl FnOnce(&mut Desk, &mut Floor<'_>)) {
        for at in &self.dirty {
            self.listings[usize::from(*at)].refresh();
        }
        let mut floor = Floor {
            listings: &mut self.listings,
            pairs: &mut self.pairs,
            modes: &self.modes,
            params: &self.params,
            now: self.now,
            out: &mut out.items,
        };
        work(&mut self.desk, &mut floor);
        self.reschedule();
    }

    fn reschedule(&mut self) {
        self.due = self.desk.due().min(self.sample_at.unwrap_or(Nanos::MIN));
    }
}

#[cfg(test)]
mod tests;
