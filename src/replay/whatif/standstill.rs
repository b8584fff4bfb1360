//! What keeps a run from trading: denials, what the scanner says of every direction, and limits that stop entries.

use super::lane::Lane;
use crate::core::limits::TradingState;
use crate::core::pair::WhyNot;
use crate::core::risk::Risk;
use crate::core::scanner::Scanner;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::Input;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{Basket, BasketKind, Denial, DenyReason};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::params::{EngineParams, RiskParams};
use crate::domain::time::{MILLI, Nanos, Stamp};
use crate::ops::view::Names;
use crate::replay::step::words::deny;
use serde::Serialize;
use std::collections::BTreeMap;

/// How often every direction is looked at, ns of recorded time.
pub const LOOK_NS: Nanos = 100 * MILLI;

/// Decimals of a basis point in ppb.
const BPS_SCALE: u8 = 5;

/// Stops of a run that are told.
const STOPS_MAX: usize = 5;

/// What a direction of a pair waited for, by the number of looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayReasons {
    /// Where it would buy: venue and symbol.
    pub buy: String,
    /// Where it would sell.
    pub sell: String,
    /// Looks by reason; `ready`: nothing stood in the way.
    pub why_not: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Halted,
    Reducing,
    Failures,
    Loss,
    Drawdown,
}

/// A time in which nothing could be entered anywhere.
#[derive(Clone, Debug)]
struct Stop {
    kind: Kind,
    why: String,
    since: (Seq, Stamp),
    until: Option<(Seq, Stamp)>,
}

/// What keeps a run from trading.
#[derive(Clone, Debug)]
pub struct Standstill {
    limits: RiskParams,
    counts: bool,
    denials: BTreeMap<&'static str, u64>,
    /// By the place of the direction among all.
    ways: Vec<([InstrumentId; 2], BTreeMap<&'static str, u64>)>,
    next: Nanos,
    stops: Vec<Stop>,
}

impl Standstill {
    /// Of a run with these limits, from [`Standstill::begin`] on.
    pub fn new(limits: &RiskParams) -> Self {
        Self {
            limits: limits.clone(),
            counts: false,
            denials: BTreeMap::new(),
            ways: Vec::new(),
            next: 0,
            stops: Vec::new(),
        }
    }

    /// It counts from now on.
    pub fn begin(&mut self) {
        self.counts = true;
    }

    /// Something was denied.
    pub fn denied(&mut self, denial: &Denial) {
        if self.counts {
            *self.denials.entry(deny(&denial.reason)).or_default() += 1;
        }
    }

    /// After an input.
    pub fn look(&mut self, place: (Seq, Stamp), input: &Input, scanner: &Scanner, risk: &Risk) {
        if !self.counts {
            return;
        }
        self.follow(place, input, risk);
        let now = place.1.mono;
        if now < self.next {
            return;
        }
        self.next = now + LOOK_NS;
        for (at, view) in scanner.views().enumerate() {
            if self.ways.len() == at {
                self.ways.push(([view.buy, view.sell], BTreeMap::new()));
            }
            *self.ways[at].1.entry(WhyNot::as_str(view.why)).or_default() += 1;
        }
    }

    /// Notes when entries stop everywhere, and when they may go on.
    fn follow(&mut self, place: (Seq, Stamp), input: &Input, risk: &Risk) {
        let kind = self.kind(risk);
        let present = self.stops.last().filter(|stop| stop.until.is_none()).map(|stop| stop.kind);
        if kind == present {
            return;
        }
        if let Some(stop) = self.stops.last_mut() {
            stop.until.get_or_insert(place);
        }
        if let Some(kind) = kind {
            self.stops.push(Stop { kind, why: self.why(kind, input, risk), since: place, until: None });
        }
    }

    fn kind(&self, risk: &Risk) -> Option<Kind> {
        let limit = RiskParams::money;
        match risk.state() {
            TradingState::Halted => Some(Kind::Halted),
            TradingState::Reducing => Some(Kind::Reducing),
            TradingState::Active if risk.failures() >= self.limits.consecutive_failures_max => {
                Some(Kind::Failures)
            }
            TradingState::Active if -risk.positions().daily() >= limit(self.limits.daily_loss_max_usd) => {
                Some(Kind::Loss)
            }
            TradingState::Active if risk.drawdown() >= limit(self.limits.drawdown_max_usd) => {
                Some(Kind::Drawdown)
            }
            TradingState::Active => None,
        }
    }

    fn why(&self, kind: Kind, input: &Input, risk: &Risk) -> String {
        let ordered = || match input {
            Input::Command(command) => format!(" (command {command:?})"),
            _ => String::new(),
        };
        let limits = &self.limits;
        match kind {
            Kind::Halted => format!("HALTED{}", ordered()),
            Kind::Reducing => format!("REDUCING{}", ordered()),
            Kind::Failures => format!(
                "stopped from entering by {} failures in a row (limit {})",
                risk.failures(),
                limits.consecutive_failures_max
            ),
            Kind::Loss => format!(
                "stopped from entering by the loss of the day, {} (limit {})",
                super::report::short(-risk.positions().daily()),
                limits.daily_loss_max_usd
            ),
            Kind::Drawdown => format!(
                "stopped from entering by the fall of the result, {} (limit {})",
                super::report::short(risk.drawdown()),
                limits.drawdown_max_usd
            ),
        }
    }

    /// Denials by reason.
    pub fn denials(&self) -> BTreeMap<&'static str, u64> {
        self.denials.clone()
    }

    /// What every direction waited for.
    pub fn ways(&self, params: &EngineParams) -> Vec<WayReasons> {
        let names = Names::of(params);
        let name = |id: InstrumentId| {
            let symbol = names.listings.get(id.index()).map_or("?", |(_, symbol)| symbol);
            format!("{} {symbol}", names.venue_of(id))
        };
        let rows = self.ways.iter().map(|([buy, sell], why_not)| WayReasons {
            buy: name(*buy),
            sell: name(*sell),
            why_not: why_not.clone(),
        });
        rows.collect()
    }

    /// Its stops as predicates, such as `was HALTED from … to the end`.
    pub fn stops(&self) -> Vec<String> {
        let place = |(seq, at): (Seq, Stamp)| format!("{} (input {})", calendar::shown(at.wall), seq.0);
        let told = self.stops.iter().take(STOPS_MAX).map(|stop| {
            let until = stop.until.map_or_else(|| "the end".to_owned(), place);
            format!("was {} from {} to {until}", stop.why, place(stop.since))
        });
        let mut told: Vec<String> = told.collect();
        if let Some(more) = self.stops.len().checked_sub(STOPS_MAX).filter(|more| *more > 0) {
            told.push(format!("was stopped {more} more times"));
        }
        told
    }
}

/// Notes about the stops of several runs; what happened to all of them in the same way is said once.
pub fn stop_notes(runs: &[(&str, &Lane)]) -> Vec<String> {
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, lane) in runs {
        for stop in lane.still().stops() {
            match notes.iter_mut().find(|(said, _)| *said == stop) {
                Some((_, names)) => names.push(name),
                None => notes.push((stop, vec![name])),
            }
        }
    }
    notes.into_iter().map(|(stop, names)| format!("{}: {stop}", names.join(", "))).collect()
}

/// Why `lane` did not make `basket`, which another run makes of the same input: it denied it, or did not want it.
pub fn reason(
    lane: &Lane,
    basket: &Basket,
    denial: Option<&Denial>,
    params: &EngineParams,
) -> Option<String> {
    let names = Names::of(params);
    let sided = |side| basket.orders().iter().find(|order| order.side == side).map(|order| order.instrument);
    let legs: Vec<InstrumentId> = basket.orders().iter().map(|order| order.instrument).collect();
    let venues: Vec<VenueId> =
        legs.iter().filter_map(|id| Some(params.listings.get(id.index())?.venue)).collect();
    if let Some(denial) = denial {
        let figures = match (denial.value, denial.limit) {
            (value, limit) if value.0 == 0 && limit.0 == 0 => String::new(),
            (value, limit) => {
                format!(": {}, limit {}", super::report::short(value), super::report::short(limit))
            }
        };
        let held = match denial.reason {
            DenyReason::VenueNotReady => held(lane, &venues, &names),
            _ => String::new(),
        };
        return Some(format!("denied, {}{figures}{held}", deny(&denial.reason)));
    }
    let (buy, sell) = (sided(Side::Buy)?, sided(Side::Sell)?);
    let view = lane.scanner().views().find(|view| view.buy == buy && view.sell == sell);
    let view = view.filter(|_| basket.kind == BasketKind::Entry)?;
    let bps = |ppb| Num::new(ppb, BPS_SCALE).normalized();
    Some(match view.why {
        WhyNot::VenueHeld => {
            format!("not entered, {}{}", WhyNot::as_str(view.why), held(lane, &venues, &names))
        }
        WhyNot::BelowThreshold => format!(
            "not entered, {}: the net edge is {} bps, {} are needed",
            WhyNot::as_str(view.why),
            bps(view.terms.net),
            bps(view.terms.threshold)
        ),
        why => format!("not entered, {}", WhyNot::as_str(why)),
    })
}

/// What the start gate finds at these venues.
fn held(lane: &Lane, venues: &[VenueId], names: &Names) -> String {
    let at = lane.start_gate().findings().filter(|finding| venues.contains(&finding.venue));
    let said = at.map(|finding| format!("; {}: {}", names.venue(finding.venue), finding.sentence()));
    let mut said: Vec<String> = said.collect();
    said.dedup();
    said.concat()
}
