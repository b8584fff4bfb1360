//! Two listings of one canonical instrument on two venues: their common size, their baseline, and the
//! edge of both directions. Decides whether a pair may enter, and says why not.
//!
//! Evaluates only; what an entry leads to is the business of [`super::trade`].

mod gates;
mod imagine;
mod near;
pub mod size;
pub mod why;

pub use gates::{Figure, GateRow, GateState, Outlook, Rule};
pub use size::{Size, are_comparable, common_size};
pub use why::WhyNot;

use super::book::Fill;
use super::digest::{Digest, scramble};
use super::edge::{EdgeInput, PairMid, agree_within, net_funding, terms};
use super::listing::{Listing, Served};
use super::median::Median;
use super::miss::{alone_cost, failure_cost};
pub use super::mode::Mode;
use crate::domain::event::Seq;
use crate::domain::instrument::{CanonicalId, Price, Qty};
use crate::domain::intent::{EdgeTerms, Ppb};
use crate::domain::order::Side;
use crate::domain::params::ScanParams;
use crate::domain::time::{Nanos, SECOND, Stamp};
use serde::{Deserialize, Serialize};

/// A funding rate that was not stated for longer is not known any more: every venue repeats it within two minutes.
const FUNDING_AGE_MAX: Nanos = 300 * SECOND;

/// One direction of a pair.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Way {
    /// The edge when last priced.
    pub terms: EdgeTerms,
    /// What legs that miss cost it on average, as learnt: a part of its allowance, ppb.
    #[serde(default)]
    pub failure: Ppb,
    /// Why it did not enter when last looked at.
    pub why: WhyNot,
    /// Since when the edge has been insane.
    pub insane_since: Option<Nanos>,
    /// Since when the edge has been above the threshold without a break.
    pub above_since: Option<Nanos>,
    /// Entries with any fill.
    pub hits: u32,
    /// Entries without a fill.
    pub misses: u32,
    /// Entries denied by risk or route.
    pub denials: u32,
}

/// Cached cost of taking the intended size from one listing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Quote {
    version: u32,
    qty: Qty,
    buy: Option<Fill>,
    sell: Option<Fill>,
    /// What it costs when this leg stands alone and is unwound, ppb.
    #[serde(default)]
    alone: Ppb,
}

/// What outside the pair decides about an entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    /// The tighter mode of both venues.
    pub mode: Mode,
    /// A connection of either listing has unread data.
    pub behind: bool,
    /// A venue's clock is off, or not known well enough.
    pub clock_off: bool,
    /// A venue is held by the start gate.
    pub closed: bool,
    /// Too many orders on a listing filled nothing lately.
    pub paused: bool,
    /// A venue takes only orders that reduce on one of the listings.
    pub locked: bool,
    /// No further trade may be opened.
    pub full: bool,
    /// A leg of some trade has stood alone for too long.
    pub exposed: bool,
    /// The input, for choices at random.
    pub seq: Seq,
    /// Boot epoch, for choices at random.
    pub epoch: u64,
}

/// Two listings of one canonical instrument. Direction 0 buys the first and sells the second;
/// direction 1 the reverse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Of what.
    pub canonical: CanonicalId,
    /// The listings, by rising index.
    pub listings: [u16; 2],
    /// Both directions.
    pub ways: [Way; 2],
    /// Entries pause until then.
    pub cooldown_until: Nanos,
    /// Input at which it was last evaluated.
    pub evaluated: Seq,
    /// Intended quantities; `None` when there is no common size.
    pub size: Option<Size>,
    /// Level shifts seen.
    pub level_shifts: u32,
    /// Insane edges that lasted (alarms).
    pub alarms: u32,
    fees: Ppb,
    #[serde(default)]
    taker_fees: [Ppb; 2],
    allowance: Ppb,
    quotes: [Quote; 2],
    window: Median,
    newest: Median,
    sampled: Option<Nanos>,
    disarmed: Option<(Nanos, WhyNot)>,
    random_at: Option<Nanos>,
    told: near::Told,
}

impl Pair {
    /// A pair without history. `taker_fees` are those of both venues, one leg each; `more` is what it is
    /// charged beside the configured allowance: that of its venues, and for currencies that count as one.
    pub fn new(
        canonical: CanonicalId,
        listings: [u16; 2],
        taker_fees: [Ppb; 2],
        more: Ppb,
        params: &ScanParams,
    ) -> Self {
        let samples = usize::from(params.basis_samples.max(1));
        Self {
            canonical,
            listings,
            ways: [Way::default(); 2],
            cooldown_until: 0,
            evaluated: Seq(0),
            size: None,
            level_shifts: 0,
            alarms: 0,
            fees: taker_fees[0].saturating_add(taker_fees[1]).saturating_mul(2),
            taker_fees,
            allowance: params.allowance_ppb.saturating_add(more),
            quotes: [Quote::default(); 2],
            window: Median::new(samples),
            newest: Median::new((samples / 4).max(1)),
            sampled: None,
            disarmed: None,
            random_at: None,
            told: near::Told::default(),
        }
    }

    /// The expected mid basis at exit of direction 0 (second − first); `None` without samples.
    pub fn baseline(&self) -> Option<Ppb> {
        self.window.value()
    }

    /// Samples in the window.
    pub fn samples(&self) -> usize {
        self.window.len()
    }

    /// Forgets history: metadata changed.
    pub fn reset(&mut self) {
        self.window.clear();
        self.newest.clear();
        self.sampled = None;
        self.size = None;
        self.quotes = [Quote::default(); 2];
    }

    /// Samples the mid basis and renews the common size; called once per sampling interval.
    pub fn sample(&mut self, legs: [&Listing; 2], now: Stamp, params: &ScanParams) {
        let [a, b] = legs;
        if a.served != Served::Yes || b.served != Served::Yes || !are_comparable(&a.instrument, &b.instrument)
        {
            return;
        }
        let mid = PairMid { first: a.mid2, second: b.mid2 };
        let is_fresh = |leg: &Listing| leg.touch_age(now.wall) <= params.book_age_max_ns;
        if !is_fresh(a) || !is_fresh(b) || !mid.agrees_within(params.mid_agreement_ppb) {
            return;
        }
        if !indices_agree(legs, now, params) || legs.iter().any(|leg| is_ahead(leg, now, params)) {
            return;
        }
        let price = Price((mid.first + mid.second) / 4);
        self.size = common_size(&a.instrument, &b.instrument, params.notional_usd, price);
        let span = params.basis_sample_ns.saturating_mul(i64::from(params.basis_samples));
        if self.sampled.is_some_and(|last| now.mono - last > span) {
            // An interruption longer than the window: what was learnt is of another time.
            self.window.clear();
            self.newest.clear();
        }
        self.sampled = Some(now.mono);
        let basis = mid.basis();
        self.window.push(basis);
        self.newest.push(basis);
        if self.is_warm(params)
            && self.newest.is_full()
            && let (Some(all), Some(newest)) = (self.window.value(), self.newest.value())
            && newest.abs_diff(all) > params.level_shift_ppb.unsigned_abs()
        {
            self.level_shifts += 1;
            self.disarm(now.mono, WhyNot::LevelShift, params);
        }
    }

    fn is_warm(&self, params: &ScanParams) -> bool {
        self.window.len() >= usize::from(params.basis_samples_min.clamp(1, params.basis_samples.max(1)))
    }

    fn disarm(&mut self, now: Nanos, why: WhyNot, params: &ScanParams) {
        self.disarmed = Some((now.saturating_add(params.disarm_ns), why));
        self.window.clear();
        self.newest.clear();
        self.forget_edges();
    }

    /// Edges that last have to begin anew.
    fn forget_edges(&mut self) {
        for way in &mut self.ways {
            (way.insane_since, way.above_since) = (None, None);
        }
    }

    /// Prices both directions and returns the one to enter, if any. Costs nothing for what is cached.
    pub fn evaluate(
        &mut self,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
    ) -> Option<usize> {
        if let Err(why) = self.check_books(legs, gate, now, params) {
            self.forget_edges();
            self.set_why([why; 2]);
            return None;
        }
        let mid = PairMid { first: legs[0].mid2, second: legs[1].mid2 };
        let baseline = self.window.value();
        let half_spreads = legs[0].half_spread + legs[1].half_spread;
        let failure = self.failure(legs);
        let mut why = [WhyNot::Ready; 2];
        for (way, why) in why.iter_mut().enumerate() {
            let (long, short) = (way, 1 - way);
            let (Some(buy), Some(sell)) = (self.quotes[long].buy, self.quotes[short].sell) else {
                *why = WhyNot::Thin;
                continue;
            };
            let is_old =
                |fill: &Fill, leg: &Listing| fill.deep && leg.depth_age(now.wall) > params.book_age_max_ns;
            if is_old(&buy, legs[long]) || is_old(&sell, legs[short]) {
                *why = WhyNot::Stale;
                continue;
            }
            let exit_basis = if way == 0 { baseline.unwrap_or(0) } else { -baseline.unwrap_or(0) };
            self.ways[way].failure = failure;
            self.ways[way].terms = terms(&EdgeInput {
                buy,
                sell,
                mid: mid.fixed(),
                exit_basis,
                fees: self.fees,
                exit_half_spreads: half_spreads,
                allowance: self.allowance.saturating_add(failure),
                funding: expected_funding(legs[long], legs[short], now, params.hold_max_ns),
                threshold: params.threshold_ppb,
            });
            *why = self.check_way(way, legs, gate, now, params);
            let reaches = [(long, Side::Buy, buy), (short, Side::Sell, sell)];
            let refused = |(leg, side, fill): (usize, Side, Fill)| {
                legs[leg].is_out_of_reach(side, fill.worst, now.mono)
            };
            let is_wanted = *why == WhyNot::Ready || params.random_entry_ns > 0;
            if is_wanted && reaches.into_iter().any(refused) {
                *why = WhyNot::PriceBand;
            }
        }
        if params.random_entry_ns > 0 {
            return self.choose_at_random(why, gate, now, params);
        }
        self.set_why(why);
        (0..2).filter(|way| why[*way] == WhyNot::Ready).max_by_key(|way| self.ways[*way].terms.net)
    }

    /// What legs that miss cost an entry on average, the same in both directions: what each is unwound at is the way
    /// there and back through its own book.
    fn failure(&self, legs: [&Listing; 2]) -> Ppb {
        failure_cost(legs.map(|leg| leg.misses.probability()), [self.quotes[0].alone, self.quotes[1].alone])
    }

    /// What must hold for both directions before anything is priced; refreshes the cached quotes.
    fn check_books(
        &mut self,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
    ) -> Result<(), WhyNot> {
        let [a, b] = legs;
        for leg in legs {
            match leg.served {
                _ if leg.is_known() && !leg.is_trading() => return Err(WhyNot::Suspended),
                _ if gate.locked => return Err(WhyNot::Locked),
                Served::Yes => {}
                Served::NoInstrument => return Err(WhyNot::NoInstrument),
                Served::NotLive => return Err(WhyNot::NotLive),
                Served::Crossed => return Err(WhyNot::Crossed),
            }
        }
        if gate.behind {
            return Err(WhyNot::Behind);
        }
        if gate.clock_off {
            return Err(WhyNot::ClockOff);
        }
        if legs.iter().any(|leg| leg.touch_age(now.wall) > params.book_age_max_ns) {
            return Err(WhyNot::Stale);
        }
        if legs.iter().any(|leg| is_ahead(leg, now, params)) {
            return Err(WhyNot::ClockAhead);
        }
        let mid = PairMid { first: a.mid2, second: b.mid2 };
        if !mid.agrees_within(params.mid_agreement_ppb) {
            return Err(WhyNot::MidsDisagree);
        }
        if !indices_agree(legs, now, params) {
            return Err(WhyNot::IndicesDisagree);
        }
        let Some(size) = self.size else {
            if !are_comparable(&a.instrument, &b.instrument) {
                return Err(WhyNot::NoInstrument);
            }
            return Err(if self.sampled.is_none() { WhyNot::Warmup } else { WhyNot::TooSmall });
        };
        for (at, leg) in legs.into_iter().enumerate() {
            let (qty, fee, quote) = (size.qty[at], self.taker_fees[at], &mut self.quotes[at]);
            if quote.version != leg.version || quote.qty != qty {
                let [buy, sell] = [Side::Buy, Side::Sell].map(|side| leg.book.fill(side, qty.0));
                let alone = alone_cost(fee, leg.half_spread, buy.as_ref(), sell.as_ref(), leg.mid2);
                *quote = Quote { version: leg.version, qty, buy, sell, alone };
            }
        }
        Ok(())
    }

    /// What may keep a priced direction from entering.
    fn check_way(
        &mut self,
        way: usize,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
    ) -> WhyNot {
        let is_warm = self.is_warm(params);
        let net = self.ways[way].terms.net;
        let is_insane = is_warm && net > params.edge_insane_ppb;
        let since = &mut self.ways[way].insane_since;
        *since = if is_insane { since.or(Some(now.mono)) } else { None };
        if since.is_some_and(|since| now.mono - since > params.edge_insane_ns) {
            self.alarms += 1;
            self.disarm(now.mono, WhyNot::InsaneEdge, params);
        }
        if self.disarmed.is_some_and(|(until, _)| now.mono >= until) {
            self.disarmed = None;
        }
        let above = &mut self.ways[way].above_since;
        *above = if net >= params.threshold_ppb { above.or(Some(now.mono)) } else { None };
        // Venues publish at different intervals: right after a move, the slower one's old quote is no
        // opportunity. It is one when it is still there after its next publication was due.
        let is_proven = above.is_some_and(|since| now.mono - since >= params.edge_persist_ns);
        match (gate.mode, self.disarmed) {
            (Mode::Halted, _) => WhyNot::Halted,
            (Mode::Reducing, _) => WhyNot::Reducing,
            _ if gate.closed => WhyNot::VenueHeld,
            _ if legs.iter().any(|leg| leg.trade.is_some()) => WhyNot::TradeOpen,
            (_, Some((_, why))) => why,
            _ if !is_warm => WhyNot::Warmup,
            _ if is_insane => WhyNot::InsaneEdge,
            _ if net < params.threshold_ppb => WhyNot::BelowThreshold,
            _ if !is_proven => WhyNot::Unproven,
            _ if now.mono < self.cooldown_until => WhyNot::Cooldown,
            _ if gate.paused => WhyNot::Quality,
            _ if gate.exposed => WhyNot::Unhedged,
            _ if gate.full => WhyNot::MaxTrades,
            _ => WhyNot::Ready,
        }
    }

    /// Honesty test of the simulation: enters on time, in a direction that a counter decides, whatever the
    /// edge. Books, ages, modes and open trades are respected.
    fn choose_at_random(
        &mut self,
        mut why: [WhyNot; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
    ) -> Option<usize> {
        for (way, why) in why.iter_mut().enumerate() {
            // Everything that depends on the edge or its history; else the choice would not be blind to it.
            if matches!(
                why,
                WhyNot::Warmup
                    | WhyNot::LevelShift
                    | WhyNot::InsaneEdge
                    | WhyNot::BelowThreshold
                    | WhyNot::Unproven
                    | WhyNot::Cooldown
            ) {
                *why = match (gate.exposed, gate.full) {
                    (true, _) => WhyNot::Unhedged,
                    (_, true) => WhyNot::MaxTrades,
                    _ => WhyNot::Ready,
                };
            }
            // There is no threshold: the edge is held against itself.
            self.ways[way].terms.threshold = self.ways[way].terms.net;
        }
        let salt = u64::from(self.listings[0]) << 16 | u64::from(self.listings[1]);
        let draw = scramble(gate.epoch ^ scramble(gate.seq.0 ^ salt << 32));
        let interval = params.random_entry_ns;
        let spread = (draw >> 1) % interval.unsigned_abs();
        let Some(due) = self.random_at else {
            self.random_at = Some(now.mono + spread.cast_signed());
            self.set_why([WhyNot::Cooldown; 2]);
            return None;
        };
        let way = usize::from(draw & 1 == 1);
        if now.mono < due {
            why.iter_mut().filter(|why| **why == WhyNot::Ready).for_each(|why| *why = WhyNot::Cooldown);
        }
        self.set_why(why);
        (why[way] == WhyNot::Ready).then(|| {
            self.random_at = Some(now.mono + interval / 2 + spread.cast_signed());
            way
        })
    }

    fn set_why(&mut self, why: [WhyNot; 2]) {
        self.ways[0].why = why[0];
        self.ways[1].why = why[1];
    }

    /// The quotes that a direction was priced from: taking asks where it buys, bids where it sells.
    pub fn fills(&self, way: usize) -> Option<[Fill; 2]> {
        Some([self.quotes.get(way)?.buy?, self.quotes.get(1 - way)?.sell?])
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        self.window.digest(to);
        self.newest.digest(to);
        to.mix_signed(self.cooldown_until);
        to.mix_instant(self.sampled);
        to.mix_instant(self.disarmed.map(|(until, _)| until));
        to.mix_instant(self.random_at);
        self.told.digest(to);
        to.mix(u64::from(self.level_shifts) << 32 | u64::from(self.alarms));
        for qty in self.size.unwrap_or_default().qty {
            to.mix_signed(qty.0);
        }
        for way in &self.ways {
            to.mix_signed(way.terms.net);
            to.mix(way.why as u64);
            to.mix_instant(way.insane_since);
            to.mix_instant(way.above_since);
            to.mix(u64::from(way.hits) << 32 | u64::from(way.misses));
            to.mix(u64::from(way.denials));
        }
    }
}

/// Both venues value the same thing: their index prices agree, as far as they state them.
fn indices_agree(legs: [&Listing; 2], now: Stamp, params: &ScanParams) -> bool {
    match legs.map(|leg| leg.index_at(now.wall, params.index_age_max_ns)) {
        [Some(a), Some(b)] => agree_within(a, b, params.index_agreement_ppb),
        _ => !params.index_required,
    }
}

/// Net funding inside a holding time of `hold` from now. What one leg would receive counts for nothing while the rate of the other
/// is not known, or is so old that the stream behind it must be dead.
pub(in crate::core) fn expected_funding(long: &Listing, short: &Listing, now: Stamp, hold: Nanos) -> Ppb {
    let funding = net_funding(&long.funding, &short.funding, now.wall, hold);
    let known = [long, short].iter().all(|leg| leg.is_funding_known(now.wall, FUNDING_AGE_MAX));
    if known { funding } else { funding.min(0) }
}

/// The touch lies further in its venue's future than clocks explain.
fn is_ahead(leg: &Listing, now: Stamp, params: &ScanParams) -> bool {
    leg.touch_lead(now.wall) > params.clock_ahead_max_ns
}
