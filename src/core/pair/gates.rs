//! Everything that a direction must pass before it enters, in the order in which it is asked, with figures. For
//! explanations: the decision itself stops at the first that fails and keeps no figures.

use super::{Gate, Pair, WhyNot, are_comparable, indices_agree};
use crate::core::book::Fill;
use crate::core::edge::PairMid;
use crate::core::listing::{Listing, Served};
use crate::core::mode::Mode;
use crate::domain::instrument::Status;
use crate::domain::intent::{EdgeTerms, ONE_PPB};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::params::ScanParams;
use crate::domain::time::{Nanos, Stamp};

/// A figure of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// There is none.
    Nothing,
    /// Parts per billion.
    Ppb(i64),
    /// Nanoseconds.
    Nanos(Nanos),
    /// How many.
    Count(i64),
    /// A price in units of the canonical instrument's scale.
    Price(i64),
    /// Contracts in units of the listing's scale.
    Qty(i64),
    /// A state by its name.
    Word(&'static str),
}

/// Whether a gate lets a direction through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// It does.
    Passes,
    /// It does not.
    Stops,
    /// It cannot be told, because something before it is missing.
    NotKnown,
}

/// How the figure of a gate must lie to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Equal to it.
    Is,
    /// At most that.
    AtMost,
    /// At least that.
    AtLeast,
}

/// A gate as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateRow {
    /// What it is called when it stops.
    pub gate: WhyNot,
    /// What it asks about, where the name of the gate does not say it.
    pub about: &'static str,
    /// The leg concerned: 0 = where it would buy, 1 = where it would sell.
    pub leg: Option<u8>,
    /// Whether it lets the direction through.
    pub state: GateState,
    /// What is measured.
    pub value: Figure,
    /// How it must lie to the limit.
    pub rule: Rule,
    /// What it is held against.
    pub limit: Figure,
}

/// A direction as it would be decided.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The decision's own word.
    pub why: WhyNot,
    /// The edge; `None` where it cannot be priced.
    pub terms: Option<EdgeTerms>,
    /// What legs that miss cost on average: a part of its allowance, ppb.
    pub failure: i64,
    /// What buying and selling the intended size would cost.
    pub fills: Option<[Fill; 2]>,
    /// Every gate in its order.
    pub gates: Vec<GateRow>,
}

/// Collects rows.
struct Rows {
    rows: Vec<GateRow>,
    /// What is needed to tell the next ones is there.
    known: bool,
}

impl Rows {
    fn add(&mut self, gate: WhyNot, leg: Option<u8>, stops: bool, figures: (Figure, Rule, Figure)) {
        self.told(gate, "", leg, stops, figures);
    }

    fn told(
        &mut self,
        gate: WhyNot,
        about: &'static str,
        leg: Option<u8>,
        stops: bool,
        (value, rule, limit): (Figure, Rule, Figure),
    ) {
        let state = match (self.known, stops) {
            (false, _) => GateState::NotKnown,
            (true, true) => GateState::Stops,
            (true, false) => GateState::Passes,
        };
        let (value, limit) = if self.known { (value, limit) } else { (Figure::Nothing, limit) };
        self.rows.push(GateRow { gate, about, leg, state, value, rule, limit });
    }
}

const fn is(value: &'static str, wanted: &'static str) -> (Figure, Rule, Figure) {
    (Figure::Word(value), Rule::Is, Figure::Word(wanted))
}

const fn yes(holds: bool) -> (Figure, Rule, Figure) {
    is(if holds { "yes" } else { "no" }, "no")
}

impl Pair {
    /// How a direction would be decided if it was evaluated now. `legs` are the listings in the pair's own order.
    pub(in crate::core) fn outlook(
        &self,
        way: usize,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
    ) -> (Self, Outlook) {
        let mut then = self.clone();
        let _ = then.evaluate(legs, gate, now, params);
        let why = then.ways[way].why;
        let is_priced = then.clone().check_books(legs, gate, now, params).is_ok();
        let fills = if is_priced { then.fills(way) } else { None };
        let mut rows = Rows { rows: Vec::new(), known: true };
        let order = [way, 1 - way].map(|at| legs[at]);
        then.book_rows(way, legs, gate, now, params, &mut rows);
        rows.known = is_priced;
        quote_rows(order, then.quotes_of(way), now, params, &mut rows);
        rows.known = fills.is_some();
        then.way_rows(way, legs, gate, now, params, &mut rows);
        for (leg, side) in [(0, Side::Buy), (1, Side::Sell)] {
            let Some(worst) = order[leg].band.worst(side, now.mono) else { continue };
            let from = fills.map_or(0, |fills| fills[leg].worst);
            let rule = if side == Side::Buy { Rule::AtMost } else { Rule::AtLeast };
            let stops = order[leg].is_out_of_reach(side, from, now.mono);
            let figures = (Figure::Price(from), rule, Figure::Price(worst.0));
            rows.add(WhyNot::PriceBand, Some(leg as u8), stops, figures);
        }
        let terms = fills.map(|_| then.ways[way].terms);
        let failure = then.ways[way].failure;
        (then, Outlook { why, terms, failure, fills, gates: rows.rows })
    }

    fn quotes_of(&self, way: usize) -> [Option<Fill>; 2] {
        [self.quotes[way].buy, self.quotes[1 - way].sell]
    }

    /// What must hold for both directions before anything is priced.
    fn book_rows(
        &self,
        way: usize,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
        rows: &mut Rows,
    ) {
        use WhyNot as W;
        let named = |at: usize| Some(u8::from(at != way));
        for (at, leg) in legs.into_iter().enumerate() {
            let suspended = leg.is_known() && !leg.is_trading();
            rows.add(W::Suspended, named(at), suspended, is(status(leg), "trading"));
            rows.add(W::Locked, None, gate.locked, yes(gate.locked));
            rows.add(W::NoInstrument, named(at), leg.served == Served::NoInstrument, yes(!leg.is_known()));
            rows.add(
                W::NotLive,
                named(at),
                leg.served == Served::NotLive,
                yes(leg.served == Served::NotLive),
            );
            rows.add(
                W::Crossed,
                named(at),
                leg.served == Served::Crossed,
                yes(leg.served == Served::Crossed),
            );
        }
        rows.known = legs.iter().all(|leg| leg.served == Served::Yes);
        rows.add(W::Behind, None, gate.behind, yes(gate.behind));
        rows.add(W::ClockOff, None, gate.clock_off, yes(gate.clock_off));
        let nanos = |value, limit| (Figure::Nanos(value), Rule::AtMost, Figure::Nanos(limit));
        for (at, leg) in legs.into_iter().enumerate() {
            let (age, most) = (leg.touch_age(now.wall), params.book_age_max_ns);
            rows.told(W::Stale, "best prices", named(at), age > most, nanos(age, most));
        }
        for (at, leg) in legs.into_iter().enumerate() {
            let (lead, most) = (leg.touch_lead(now.wall), params.clock_ahead_max_ns);
            rows.add(W::ClockAhead, named(at), lead > most, nanos(lead, most));
        }
        let mid = PairMid { first: legs[0].mid2, second: legs[1].mid2 };
        let apart = (Figure::Ppb(mid.basis().abs()), Rule::AtMost, Figure::Ppb(params.mid_agreement_ppb));
        rows.add(W::MidsDisagree, None, !mid.agrees_within(params.mid_agreement_ppb), apart);
        let apart = match legs.map(|leg| leg.index_at(now.wall, params.index_age_max_ns)) {
            [Some(a), Some(b)] => apart_ppb(a, b).map_or(Figure::Word("not comparable"), Figure::Ppb),
            _ => Figure::Word("not stated"),
        };
        let figures = (apart, Rule::AtMost, Figure::Ppb(params.index_agreement_ppb));
        rows.add(W::IndicesDisagree, None, !indices_agree(legs, now, params), figures);
        let comparable = are_comparable(&legs[0].instrument, &legs[1].instrument);
        let unsized_yet = self.size.is_none();
        let comparison = is(if comparable { "yes" } else { "no" }, "yes");
        rows.told(W::NoInstrument, "comparable contracts", None, unsized_yet && !comparable, comparison);
        rows.known &= comparable || !unsized_yet;
        let sampled = is(if self.sampled.is_some() { "yes" } else { "no" }, "yes");
        rows.told(W::Warmup, "sampled since the start", None, unsized_yet && self.sampled.is_none(), sampled);
        rows.known &= self.sampled.is_some() || !unsized_yet;
        let size = self.size.unwrap_or_default().qty;
        for (at, qty) in size.into_iter().enumerate() {
            let figures = (Figure::Qty(qty.0), Rule::AtLeast, Figure::Qty(legs[at].instrument.qty_min.0));
            rows.told(W::TooSmall, "common size", named(at), unsized_yet, figures);
        }
    }

    /// What may keep a priced direction from entering.
    fn way_rows(
        &self,
        way: usize,
        legs: [&Listing; 2],
        gate: &Gate,
        now: Stamp,
        params: &ScanParams,
        rows: &mut Rows,
    ) {
        use WhyNot as W;
        let known = rows.known;
        let net = self.ways[way].terms.net;
        rows.add(W::Halted, None, gate.mode == Mode::Halted, is(mode(gate.mode), "normal"));
        rows.add(W::Reducing, None, gate.mode == Mode::Reducing, is(mode(gate.mode), "normal"));
        rows.add(W::VenueHeld, None, gate.closed, yes(gate.closed));
        let busy = legs.iter().any(|leg| leg.trade.is_some());
        rows.add(W::TradeOpen, None, busy, yes(busy));
        let (left, why) = self.disarmed.map_or((0, W::LevelShift), |(until, why)| (until - now.mono, why));
        let disarmed = (Figure::Nanos(left), Rule::AtMost, Figure::Nanos(0));
        rows.told(why, "disarmed for", None, self.disarmed.is_some(), disarmed);
        let warm = self.is_warm(params);
        let samples = params.basis_samples_min.clamp(1, params.basis_samples.max(1));
        let figures =
            (Figure::Count(self.window.len() as i64), Rule::AtLeast, Figure::Count(i64::from(samples)));
        rows.told(W::Warmup, "samples of the basis", None, !warm, figures);
        let sane = (Figure::Ppb(net), Rule::AtMost, Figure::Ppb(params.edge_insane_ppb));
        rows.add(W::InsaneEdge, None, warm && net > params.edge_insane_ppb, sane);
        let enough = (Figure::Ppb(net), Rule::AtLeast, Figure::Ppb(params.threshold_ppb));
        rows.add(W::BelowThreshold, None, net < params.threshold_ppb, enough);
        rows.known = known && self.ways[way].above_since.is_some();
        let since = self.ways[way].above_since.map_or(0, |since| now.mono - since);
        let lasting = (Figure::Nanos(since), Rule::AtLeast, Figure::Nanos(params.edge_persist_ns));
        rows.add(W::Unproven, None, since < params.edge_persist_ns, lasting);
        rows.known = known;
        let left = (self.cooldown_until - now.mono).max(0);
        rows.add(W::Cooldown, None, left > 0, (Figure::Nanos(left), Rule::AtMost, Figure::Nanos(0)));
        for (at, leg) in legs.into_iter().enumerate() {
            let (orders, missed) = leg.quality.counts(now.mono, params);
            let ratio = i64::from(missed) * ONE_PPB / i64::from(orders.max(1));
            let figures = (Figure::Ppb(ratio), Rule::AtMost, Figure::Ppb(params.quality_miss_max_ppb));
            let paused = leg.quality.is_paused(now.mono, params);
            rows.told(W::Quality, "orders that filled nothing", Some(u8::from(at != way)), paused, figures);
        }
        rows.add(W::Unhedged, None, gate.exposed, yes(gate.exposed));
        rows.add(W::MaxTrades, None, gate.full, yes(gate.full));
    }
}

/// Depth, and the age of it where more than the best prices is needed. `order`: where it buys, where it sells.
fn quote_rows(
    order: [&Listing; 2],
    quotes: [Option<Fill>; 2],
    now: Stamp,
    params: &ScanParams,
    rows: &mut Rows,
) {
    let known = rows.known;
    for (leg, quote) in quotes.iter().enumerate() {
        rows.add(WhyNot::Thin, Some(leg as u8), quote.is_none(), yes(quote.is_none()));
    }
    for (leg, quote) in quotes.iter().enumerate() {
        let Some(Fill { deep: true, .. }) = quote else { continue };
        rows.known = known && quotes.iter().all(Option::is_some);
        let (age, most) = (order[leg].depth_age(now.wall), params.book_age_max_ns);
        let figures = (Figure::Nanos(age), Rule::AtMost, Figure::Nanos(most));
        rows.told(WhyNot::Stale, "depth", Some(leg as u8), age > most, figures);
    }
}

/// Difference of two decimals in parts of their mean.
fn apart_ppb(a: Num, b: Num) -> Option<i64> {
    let scale = a.scale.max(b.scale);
    let at = |num: Num| {
        let unit = 10i128.checked_pow(u32::from(scale - num.scale))?;
        i128::from(num.mantissa).checked_mul(unit)
    };
    let (a, b) = (at(a)?, at(b)?);
    let difference = (a - b).abs().checked_mul(2 * i128::from(ONE_PPB))?;
    // Rounded up, as it is held against a limit.
    let sum = a.checked_add(b).filter(|sum| *sum > 0)?;
    i64::try_from((difference + sum - 1) / sum).ok()
}

const fn status(leg: &Listing) -> &'static str {
    match leg.instrument.spec.status {
        Status::Trading => "trading",
        _ => "not trading",
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Reducing => "reducing",
        Mode::Halted => "halted",
    }
}
