//! The checker: holds a run's record against its limits, from scratch. It shares nothing with `core`: orders,
//! positions and exposure are computed again here from what was sent and filled, by other code, so that a
//! mistake in the engine's own bookkeeping cannot hide itself. Decides nothing; runs after or beside a run.
//!
//! | rule | what it says |
//! |---|---|
//! | `input_hole` | inputs are numbered 1, 2, 3, … |
//! | `approved_without_wish` | risk approves only what scan wanted, unchanged |
//! | `client_id_repeated` | no client id is used by two orders |
//! | `sent_without_approval`, `sent_differs`, `sent_twice` | every order sent is an approved one, as approved, once |
//! | `text_without_id` | the bytes of an order carry its client id |
//! | `opens_while_stopped` | after a kill nothing but reduce-only orders is approved, after *reduce* no entry |
//! | `order_notional`, `price_collar`, `price_band`, `book_age` | of every leg at its decision; the age not of what is reduce-only as a whole |
//! | `off_grid` | prices are whole ticks and quantities whole steps of the contract as it was stated last |
//! | `opens_suspended` | at a contract that does not trade nothing is opened |
//! | `open_orders`, `order_rate` | at every entry |
//! | `not_reduce_only` | exits and unwinds are reduce-only |
//! | `hedge_enlarges` | a hedge does not enlarge its trade's residual |
//! | `amend_unknown`, `amend_overlaps` | only an order that may live is amended or replaced, and one amendment is under way at a time; the rules above hold for amendments as for orders |
//! | `fill_unknown`, `fill_mismatch`, `fill_repeated`, `fill_sum`, `fill_exceeds`, `fill_after_end`, `fill_beyond_limit` | fills belong to a sent order (or to one that was taken over from the run before), add up, stop at its quantity and its end, and respect its price |
//! | `reduce_only_increases` | a reduce-only fill never enlarges or turns a position |
//! | `instrument_position`, `venue_position`, `gross_exposure` | after every fill that enlarges a position |
//! | `unhedged_notional`, `unhedged_time` | residual of a trade, where a limit is set; always reported |

mod band;
mod exposure;
mod known;
mod live;
mod orders;
mod run;
#[cfg(test)]
mod tests;

pub use known::KnownOrder;
pub use run::{check_dir, check_journal};

use self::band::Bands;
use self::exposure::{Exposure, Residuals};
use self::orders::{Known, Orders};
use crate::domain::carry::Carried;
use crate::domain::effect::OutMeta;
use crate::domain::event::{EventBody, Seq};
use crate::domain::input::{Command, Input, Scope, SendFate, SendOutcome};
use crate::domain::instrument::{Instrument, Qty, Status};
use crate::domain::intent::{Amend, Basket, BasketKind, Denial, Intent, ONE_PPB, Ppb, Replace};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec, OrderUpdate};
use crate::domain::params::EngineParams;
use crate::domain::state::pairs;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Violations kept word for word; all are counted.
const VIOLATIONS_KEPT: usize = 1000;
/// The engine values positions at marks, the checker at fills: what they may differ by.
const VALUATION_TOLERANCE_PPB: Ppb = 20_000_000;

/// Ended orders that a checker keeps where it is to be small.
const ORDERS_KEPT: usize = 4096;

/// What the record is held against. The factors are the published policy for orders that reduce risk:
/// prices have moved since the entry that they complete or close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckLimits {
    /// Notional of one order, quote currency.
    pub order_notional_max: Money,
    /// Absolute position of a listing.
    pub instrument_position_max: Money,
    /// Sum of absolute positions of a venue.
    pub venue_position_max: Money,
    /// Sum of all absolute positions.
    pub gross_exposure_max: Money,
    /// Open orders when an entry is approved.
    pub open_orders_max: u32,
    /// Entry orders in any second.
    pub order_rate_per_s_max: u32,
    /// Distance of a limit price from the mid.
    pub price_collar_ppb: Ppb,
    /// Age of a leg's book.
    pub book_age_max_ns: Nanos,
    /// Hedges, exits and unwinds may be this many times larger (orders, and hedged positions).
    pub urgent_size_factor: i64,
    /// … and lie this many times further from the mid.
    pub urgent_collar_factor: i64,
    /// … and hedges be decided on books this many times older. What only reduces may stand on any.
    pub urgent_age_factor: i64,
    /// Unhedged residual of a trade; `None` = only reported.
    pub unhedged_notional_max: Option<Money>,
    /// Time for which a trade may be unhedged; `None` = only reported.
    pub unhedged_ns_max: Option<Nanos>,
}

impl CheckLimits {
    /// The limits of a run's configuration.
    pub fn of(params: &EngineParams) -> Self {
        let risk = &params.risk;
        Self {
            order_notional_max: Money::from_units(risk.order_notional_max_usd),
            instrument_position_max: Money::from_units(risk.instrument_position_max_usd),
            venue_position_max: Money::from_units(risk.venue_position_max_usd),
            gross_exposure_max: Money::from_units(risk.gross_exposure_max_usd),
            open_orders_max: risk.open_orders_max,
            order_rate_per_s_max: risk.order_rate_per_s_max,
            price_collar_ppb: risk.price_collar_ppb,
            book_age_max_ns: risk.book_age_max_ns,
            urgent_size_factor: 2,
            urgent_collar_factor: 3,
            urgent_age_factor: 10,
            unhedged_notional_max: None,
            unhedged_ns_max: None,
        }
    }
}

/// Something of a run's record, in the order of the record.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // passed by value once, off every hot path
pub enum Fact<'a> {
    /// An input got its number.
    Input(&'a Input),
    /// Decode derived an event from it.
    Event(&'a EventBody),
    /// Scan wants this.
    Wish(&'a Intent),
    /// Risk approved this, or wants it itself.
    Approved(&'a Intent),
    /// Risk or route denied this.
    Denied(&'a Denial),
    /// Route made this message; its bytes without secrets.
    Message(&'a OutMeta, &'a [u8]),
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The input at which it shows.
    pub seq: u64,
    /// The rule, as in the table above.
    pub rule: &'static str,
    /// Figures.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "input {}: {}: {}", self.seq, self.rule, self.detail)
    }
}

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Inputs seen.
    pub inputs: u64,
    /// Baskets approved.
    pub baskets: u64,
    /// Orders handed to a socket (or of unknown fate).
    pub orders: u64,
    /// Fills of our orders.
    pub fills: u64,
    /// Fills on our accounts that no order of ours explains.
    pub strays: u64,
    /// Broken rules in all.
    pub violations: u64,
    /// The first of them.
    pub first: Vec<Violation>,
    /// How often each rule was broken, also beyond the first.
    #[serde(skip)]
    pub by_rule: BTreeMap<&'static str, u64>,
    /// Largest unhedged residual of a trade, quote currency.
    pub unhedged_max: Money,
    /// Longest time that a trade was unhedged, ns.
    pub unhedged_longest_ns: Nanos,
    /// Trades unhedged at the end of the record.
    pub unhedged_open: u64,
}

/// Checks facts as they come. See [`check`] and [`check_journal`]. What it knows can be kept as text, without its limits
/// and what it found, and a check go on from there.
#[derive(Serialize, Deserialize)]
pub struct Checker {
    #[serde(skip)]
    limits: CheckLimits,
    #[serde(skip)]
    report: CheckReport,
    seq: Seq,
    mono: Nanos,
    instruments: BTreeMap<u16, Instrument>,
    bands: Bands,
    orders: Orders,
    exposure: Exposure,
    residuals: Residuals,
    #[serde(with = "pairs")]
    wishes: BTreeMap<(u32, u16, u8), Basket>,
    #[serde(with = "pairs")]
    amends: BTreeMap<(u32, u16), Amend>,
    #[serde(default, with = "pairs")]
    replaces: BTreeMap<(u32, u16), Replace>,
    killed: bool,
    killed_venues: BTreeSet<u8>,
    reducing: bool,
    /// The present input tells what the run before left.
    #[serde(skip)]
    carries: bool,
}

/// Checks a whole history.
pub fn check<'a>(
    facts: impl IntoIterator<Item = (Seq, Nanos, Fact<'a>)>,
    limits: &CheckLimits,
) -> CheckReport {
    let mut checker = Checker::new(limits.clone());
    for (seq, mono, fact) in facts {
        checker.fact(seq, mono, fact);
    }
    checker.finish()
}

impl Checker {
    /// Nothing seen yet.
    pub fn new(limits: CheckLimits) -> Self {
        Self {
            limits,
            report: CheckReport::default(),
            seq: Seq(0),
            mono: 0,
            instruments: BTreeMap::new(),
            bands: Bands::default(),
            orders: Orders::default(),
            exposure: Exposure::default(),
            residuals: Residuals::default(),
            wishes: BTreeMap::new(),
            amends: BTreeMap::new(),
            replaces: BTreeMap::new(),
            killed: false,
            killed_venues: BTreeSet::new(),
            reducing: false,
            carries: false,
        }
    }

    /// Takes the next fact of input `seq` at `mono`.
    pub fn fact(&mut self, seq: Seq, mono: Nanos, fact: Fact<'_>) {
        if let Fact::Input(input) = fact {
            let expected = self.seq.0 + 1;
            if seq.0 != expected {
                self.seq = seq;
                self.broken("input_hole", format!("input {} follows input {}", seq.0, expected - 1));
            }
            self.report.inputs += 1;
            (self.seq, self.mono) = (seq, mono);
            return self.input(input);
        }
        match fact {
            Fact::Input(_) => {}
            Fact::Event(EventBody::Instrument(instrument)) => self.instrument(instrument),
            Fact::Event(EventBody::Position(report)) => self.exposure.baseline(report),
            Fact::Event(EventBody::Order(update)) => self.order(update),
            Fact::Event(EventBody::Carried(carried)) => self.carried(carried),
            Fact::Event(EventBody::Mark(mark)) => {
                let Self { bands, instruments, .. } = self;
                bands.mark(mark, instruments.get(&mark.instrument.0), mono);
            }
            Fact::Event(EventBody::Amended(update)) => self.orders.amended(update),
            Fact::Event(_) | Fact::Wish(Intent::Cancel(_)) | Fact::Approved(Intent::Cancel(_)) => {}
            Fact::Wish(Intent::Basket(basket)) => {
                self.wishes.insert(key(basket.trade.0, basket.attempt, basket.kind), *basket);
            }
            Fact::Wish(Intent::Amend(amend)) => {
                self.amends.insert((amend.trade.0, amend.attempt), *amend);
            }
            Fact::Wish(Intent::Replace(replace)) => {
                self.replaces.insert((replace.with.trade.0, replace.with.attempt), *replace);
            }
            Fact::Approved(Intent::Replace(replace)) => self.replace_approved(replace),
            Fact::Approved(Intent::Basket(basket)) => self.approved(basket),
            Fact::Approved(Intent::Amend(amend)) => self.amend_approved(amend),
            Fact::Denied(denial) => {
                let name = key(denial.trade.0, denial.attempt, denial.kind);
                self.wishes.remove(&name);
                if denial.kind == BasketKind::Amend {
                    self.amends.remove(&(denial.trade.0, denial.attempt));
                    self.replaces.remove(&(denial.trade.0, denial.attempt));
                }
                self.orders.deny(name);
            }
            Fact::Message(meta, text) => self.message(meta, text),
        }
    }

    /// The same under these limits, with nothing found yet.
    pub fn under(self, limits: CheckLimits) -> Self {
        Self { limits, report: CheckReport::default(), ..self }
    }

    /// Forgets orders that ended long ago.
    pub fn forget_old(&mut self) {
        self.orders.forget_old(ORDERS_KEPT);
    }

    /// What was found so far; complete only after [`Checker::finish`].
    pub fn so_far(&self) -> &CheckReport {
        &self.report
    }

    /// What was found.
    pub fn finish(mut self) -> CheckReport {
        self.report.unhedged_open = self.residuals.end(self.mono);
        self.note_residuals();
        self.report
    }

    fn broken(&mut self, rule: &'static str, detail: String) {
        self.report.violations += 1;
        *self.report.by_rule.entry(rule).or_default() += 1;
        if self.report.first.len() < VIOLATIONS_KEPT {
            self.report.first.push(Violation { seq: self.seq.0, rule, detail });
        }
    }

    fn input(&mut self, input: &Input) {
        self.carries = *input == Input::Carry;
        match input {
            Input::Command(Command::Kill(Scope::Global)) => self.killed = true,
            Input::Command(Command::Kill(Scope::Venue(venue))) => {
                self.killed_venues.insert(venue.0);
            }
            Input::Command(Command::Reduce) => self.reducing = true,
            Input::Command(Command::Resume) => {
                (self.killed, self.reducing) = (false, false);
                self.killed_venues.clear();
            }
            Input::Outcome(outcome) | Input::ReplaceOutcome { outcome, .. } => self.outcome(outcome),
            Input::AmendOutcome(outcome) => self.amend_outcome(outcome),
            _ => {}
        }
    }

    /// What the run before left: halts and kills go on, positions are where exposure starts.
    fn carried(&mut self, carried: &Carried) {
        match carried {
            Carried::Position(position) => self.exposure.carried(position),
            Carried::Standing(standing) => {
                self.killed |= standing.halted.is_some();
                let killed = (0..).zip(standing.venues_killed).filter(|(_, killed)| *killed);
                self.killed_venues.extend(killed.map(|(venue, _)| venue));
            }
            Carried::Trade(_) | Carried::Reconciled(_) | Carried::Miss(_) => {}
        }
    }

    fn instrument(&mut self, instrument: &Instrument) {
        let before = self.instruments.get(&instrument.id.0);
        if before.is_none_or(|before| before.generation != instrument.generation) {
            self.bands.forget(instrument.id.0);
        }
        self.exposure.instrument(before, instrument);
        self.instruments.insert(instrument.id.0, *instrument);
    }

    fn approved(&mut self, basket: &Basket) {
        self.report.baskets += 1;
        let name = key(basket.trade.0, basket.attempt, basket.kind);
        if self.wishes.remove(&name).as_ref() != Some(basket) {
            self.broken("approved_without_wish", format!("{:?} of trade {}", basket.kind, basket.trade.0));
        }
        for (leg, order) in basket.orders().iter().enumerate() {
            self.leg(basket, leg, order);
        }
        if basket.kind == BasketKind::Entry {
            self.counts(basket.orders().len());
        }
        for order in basket.orders() {
            let known = Known::approved(*order, basket, name);
            if !self.orders.approve(known, self.mono) {
                self.broken("client_id_repeated", format!("{}", order.client_id));
            }
        }
    }

    /// An amended order keeps to the limits of an order, and is the approved one but for price and quantity.
    fn amend_approved(&mut self, amend: &Amend) {
        let id = amend.to.client_id;
        if self.amends.remove(&(amend.trade.0, amend.attempt)).as_ref() != Some(amend) {
            self.broken("approved_without_wish", format!("amendment of order {id}"));
        }
        let mut basket = Basket { trade: amend.trade, len: 1, kind: BasketKind::Entry, ..Basket::default() };
        if amend.to.reduce_only {
            basket.kind = BasketKind::Exit;
        }
        (basket.legs[0], basket.mids[0], basket.book_age_ns[0]) = (amend.to, amend.mid, amend.book_age_ns);
        // To make an order smaller is no entry.
        let larger = self.orders.get(id).is_none_or(|known| amend.to.qty.0 >= known.spec.qty.0);
        let reducing = self.reducing;
        self.reducing = reducing && larger;
        self.leg(&basket, 0, &amend.to);
        self.reducing = reducing;
        if !amend.to.reduce_only {
            self.pace(1);
        }
        if let Err(rule) = self.orders.approve_amend(amend, self.mono) {
            self.broken(rule, format!("amendment of order {id}"));
        }
    }

    /// An order that takes another one's place is a new order in every respect, as large as was asked for less what the
    /// other one has filled.
    fn replace_approved(&mut self, replace: &Replace) {
        let (with, id) = (&replace.with, replace.with.to.client_id);
        let filled = self.orders.get(replace.old).map_or(0, |old| old.filled());
        let asked = Qty(with.to.qty.0 + filled);
        let wish = Replace { with: Amend { to: OrderSpec { qty: asked, ..with.to }, ..*with }, ..*replace };
        if self.replaces.remove(&(with.trade.0, with.attempt)) != Some(wish) {
            self.broken("approved_without_wish", format!("order {id} in the place of {}", replace.old));
        }
        let mut basket = with.as_basket(Default::default());
        let name = key(basket.trade.0, basket.attempt, basket.kind);
        basket.kind = if with.to.reduce_only { BasketKind::Exit } else { BasketKind::Entry };
        self.leg(&basket, 0, &with.to);
        if basket.kind == BasketKind::Entry {
            self.counts(1);
        }
        if let Err(rule) = self.orders.approve_replace(replace) {
            self.broken(rule, format!("order {id} in the place of {}", replace.old));
        }
        if !self.orders.approve(Known::approved(with.to, &basket, name), self.mono) {
            self.broken("client_id_repeated", format!("{id}"));
        }
    }

    /// What every leg must satisfy at its decision.
    fn leg(&mut self, basket: &Basket, leg: usize, order: &OrderSpec) {
        let entry = basket.kind == BasketKind::Entry;
        let stopped = self.killed || self.killed_venues.contains(&order.venue.0);
        if (stopped && !order.reduce_only) || (self.reducing && entry) {
            self.broken("opens_while_stopped", format!("{:?} order {}", basket.kind, order.client_id));
        }
        if matches!(basket.kind, BasketKind::Exit | BasketKind::Unwind) && !order.reduce_only {
            self.broken("not_reduce_only", format!("{:?} order {}", basket.kind, order.client_id));
        }
        let limits = &self.limits;
        let (size, collar, age) = match entry {
            true => (1, 1, 1),
            false => (limits.urgent_size_factor, limits.urgent_collar_factor, limits.urgent_age_factor),
        };
        let (collar_max, age_max) = (limits.price_collar_ppb * collar, limits.book_age_max_ns * age);
        let notional_max = Money(limits.order_notional_max.0 * i128::from(size));
        let (mid, price) = (i128::from(basket.mids[leg].0), i128::from(order.price.0));
        let distance = if mid > 0 { (price - mid).abs() * i128::from(ONE_PPB) / mid } else { i128::MAX };
        if distance > i128::from(collar_max) {
            let detail =
                format!("order {}: {distance} ppb from the mid {mid}, limit {collar_max}", order.client_id);
            self.broken("price_collar", detail);
        }
        let reduces = basket.orders().iter().all(|order| order.reduce_only);
        if !reduces && basket.book_age_ns[leg] > age_max {
            let detail =
                format!("order {}: {} ns, limit {age_max}", order.client_id, basket.book_age_ns[leg]);
            self.broken("book_age", detail);
        }
        let Some(instrument) = self.instruments.get(&order.instrument.0).copied() else {
            return self.broken("order_notional", format!("order {}: instrument not known", order.client_id));
        };
        self.terms(order, &instrument);
        if let Some(crossed) = self.bands.crossed(order, &instrument, self.mono) {
            self.broken("price_band", format!("order {}: {crossed}", order.client_id));
        }
        let notional = instrument.notional(order.qty, order.price).abs();
        if notional > notional_max {
            self.broken(
                "order_notional",
                format!("order {}: {notional}, limit {notional_max}", order.client_id),
            );
        }
        if basket.kind == BasketKind::Hedge && self.residuals.enlarges(basket.trade, order, &instrument) {
            self.broken("hedge_enlarges", format!("order {} of trade {}", order.client_id, basket.trade.0));
        }
    }

    /// What the contract lets an order be.
    fn terms(&mut self, order: &OrderSpec, instrument: &Instrument) {
        let (tick, step) = (instrument.tick.max(1), instrument.step.max(1));
        if order.price.0 % tick != 0 || order.qty.0 % step != 0 {
            let (price, qty) = (order.price.0, order.qty.0);
            let detail = format!("order {}: {qty} at {price}, step {step}, tick {tick}", order.client_id);
            self.broken("off_grid", detail);
        }
        if !order.reduce_only && instrument.spec.status != Status::Trading {
            self.broken("opens_suspended", format!("order {}", order.client_id));
        }
    }

    /// Counts that an entry of `legs` orders must leave room for.
    fn counts(&mut self, legs: usize) {
        let open = self.orders.open() + legs;
        if open > self.limits.open_orders_max as usize {
            self.broken("open_orders", format!("{open}, limit {}", self.limits.open_orders_max));
        }
        self.pace(legs);
    }

    fn pace(&mut self, legs: usize) {
        let rate = self.orders.entries_since(self.mono - SECOND) + legs;
        if rate > self.limits.order_rate_per_s_max as usize {
            self.broken(
                "order_rate",
                format!("{rate} in a second, limit {}", self.limits.order_rate_per_s_max),
            );
        }
    }

    fn message(&mut self, meta: &OutMeta, text: &[u8]) {
        let Some(order) = &meta.order else { return };
        let rendered = if meta.amends { self.orders.render_amend(order) } else { self.orders.render(order) };
        if let Err(rule) = rendered {
            self.broken(rule, format!("message {} of order {}", meta.message.0, order.client_id));
        }
        if memchr::memmem::find(text, &order.client_id.hex()).is_none() {
            self.broken(
                "text_without_id",
                format!("message {} of order {}", meta.message.0, order.client_id),
            );
        }
    }

    fn outcome(&mut self, outcome: &SendOutcome) {
        let Some(order) = &outcome.order else { return };
        match outcome.fate {
            SendFate::Refused(_) => return self.orders.refuse(order.client_id),
            SendFate::Withdrawn(_) => {
                self.report.orders = self.report.orders.saturating_sub(1);
                return self.orders.refuse(order.client_id);
            }
            SendFate::Sent | SendFate::Unknown | SendFate::Handed => {}
        }
        self.report.orders += 1;
        if let Err(rule) = self.orders.send(order) {
            self.broken(rule, format!("order {} by message {}", order.client_id, outcome.message.0));
        }
    }

    fn amend_outcome(&mut self, outcome: &SendOutcome) {
        let Some(order) = &outcome.order else { return };
        if let SendFate::Refused(_) | SendFate::Withdrawn(_) = outcome.fate {
            return self.orders.end_amend(order.client_id);
        }
        if let Err(rule) = self.orders.send_amend(order) {
            self.broken(
                rule,
                format!("amendment of order {} by message {}", order.client_id, outcome.message.0),
            );
        }
    }

    fn order(&mut self, update: &OrderUpdate) {
        if update.client_id == ClientId::NONE {
            self.report.strays += u64::from(update.fill_qty.0 > 0);
            self.exposure.fill(update, &self.instruments);
            return;
        }
        if self.carries {
            self.orders.carry(update.client_id);
        }
        let fills = update.fill_qty.0 > 0;
        self.report.fills += u64::from(fills);
        for rule in self.orders.update(update) {
            let (id, filled) = (update.client_id, update.filled.0);
            self.broken(
                rule,
                format!("order {id}: {filled} filled, {} now, {:?}", update.fill_qty.0, update.state),
            );
        }
        if !fills {
            return;
        }
        let known = self.orders.get(update.client_id).copied();
        let moved = self.exposure.fill(update, &self.instruments);
        if known.is_some_and(|k| k.spec.reduce_only) && (moved.enlarged() || moved.turned()) {
            let detail = format!("order {}: position {} → {}", update.client_id, moved.before, moved.after);
            self.broken("reduce_only_increases", detail);
        }
        let urgent = known.is_some_and(|k| k.kind != BasketKind::Entry);
        if moved.enlarged() {
            self.positions(update, if urgent { self.limits.urgent_size_factor } else { 1 });
        }
        if let (Some(known), Some(instrument)) = (known, self.instruments.get(&update.instrument.0)) {
            self.residuals.fill(known.trade, update, instrument, self.mono);
            self.note_residuals();
        }
    }

    /// Positions after a fill that enlarged one.
    fn positions(&mut self, update: &OrderUpdate, factor: i64) {
        let value = self.exposure.value(update.instrument, &self.instruments);
        let limits = &self.limits;
        let checks = [
            ("instrument_position", value.listing, limits.instrument_position_max),
            ("venue_position", value.venue, limits.venue_position_max),
            ("gross_exposure", value.gross, limits.gross_exposure_max),
        ];
        for (rule, value, limit) in checks {
            let limit = limit.0 * i128::from(factor);
            if value.0 > limit + limit / i128::from(ONE_PPB) * i128::from(VALUATION_TOLERANCE_PPB) {
                self.broken(
                    rule,
                    format!("{value} after a fill of order {}, limit {}", update.client_id, Money(limit)),
                );
            }
        }
    }

    fn note_residuals(&mut self) {
        let (notional, longest) = (self.residuals.notional_max, self.residuals.longest_ns);
        let larger = notional > self.report.unhedged_max; // each new record counts once
        if larger && self.limits.unhedged_notional_max.is_some_and(|most| notional > most) {
            self.broken("unhedged_notional", format!("{notional}"));
        }
        let longer = longest > self.report.unhedged_longest_ns;
        if longer && self.limits.unhedged_ns_max.is_some_and(|most| longest > most) {
            self.broken("unhedged_time", format!("{longest} ns"));
        }
        self.report.unhedged_max = notional;
        self.report.unhedged_longest_ns = longest;
    }
}

fn key(trade: u32, attempt: u16, kind: BasketKind) -> (u32, u16, u8) {
    (trade, attempt, kind as u8)
}
