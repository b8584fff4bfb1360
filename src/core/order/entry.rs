//! One order in the ledger: what was asked, what the venue said, what was booked, and hence its state.
//!
//! Pure data and rules without output; [`super::Ledger`] turns changes into updates and queries.

use super::amend::Pending;
use crate::domain::carry::CarriedOrder;
use crate::domain::instrument::{Instrument, Qty};
use crate::domain::number::POW10;
use crate::domain::order::{
    ClientId, OrderReport, OrderSpec, OrderState, RejectClass, ReportKind, TimeInForce,
};
use crate::domain::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// First pause between two queries for an order, ns; it doubles up to [`QUERY_DELAY_MAX`].
pub const QUERY_DELAY_MIN: Nanos = 250 * MILLI;
/// Longest pause between two queries, ns.
pub const QUERY_DELAY_MAX: Nanos = 10 * SECOND;
/// “No such order” must be said this often …
pub const NOT_FOUND_MIN: u16 = 3;
/// … over at least this long before it is believed, ns.
pub const NOT_FOUND_GRACE: Nanos = 2 * SECOND;

/// No deadline.
pub const NEVER: Nanos = Nanos::MAX;

/// How far the venue has acknowledged an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Word {
    /// Nothing heard.
    #[default]
    Silent,
    /// The gateway of the venue accepted the request.
    Acked,
    /// Matching has it.
    Live,
}

/// The request that places an order over HTTP, which may wait for a thread, or travel, while other requests
/// overtake it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answered; or the order went over a socket, where nothing is overtaken.
    #[default]
    Done,
    /// Not answered yet.
    Open,
    /// There will be no answer that says whether it arrived: it can until it is too late for the venue.
    Lost,
}

/// What a report means for the certainty about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The venue stated where it stands.
    Certain,
    /// The venue does not know or does not say: ask.
    Doubt,
    /// Neither.
    Nothing,
}

/// An order that the ledger follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was asked. Without [`Entry::placed`] only id, venue, listing and side, as the venue says.
    pub spec: OrderSpec,
    /// We know the whole order: its send outcome was seen.
    pub placed: bool,
    /// Listing and side are known, so fills can be booked.
    pub bookable: bool,
    /// Placed by an earlier boot epoch (or forgotten since): ours, but not of this run.
    pub adopted: bool,
    /// How far the venue has acknowledged it.
    pub word: Word,
    /// Terminal state that was stated or concluded.
    pub terminal: Option<OrderState>,
    /// `terminal` was concluded, not stated: a live order's sign of life revokes it.
    pub concluded: bool,
    /// Why it was refused.
    pub reject: RejectClass,
    /// Largest cumulative filled quantity that any message states or reports the fills of.
    pub known: i64,
    /// Largest total that a message stated together with the end; `None` = none has. It tells an order that the
    /// venue cut from one that it called filled without a number.
    #[serde(default)]
    pub end_total: Option<i64>,
    /// The venue's id of it, 0 until it has said so.
    #[serde(default)]
    pub venue_order_id: u64,
    /// Cumulative filled quantity that was published, fees included.
    pub booked: i64,
    /// Quantity of fills that were announced without their fee and wait for the full report.
    pub held: i64,
    /// State last published; `None` before the first update.
    pub published: Option<OrderState>,
    /// The amendment whose outcome is not known.
    pub pending: Option<Pending>,
    /// Venue time of the last statement of terms that was taken.
    pub terms_ns: Nanos,
    /// An amendment was sent: from then on the venue's statement of its terms counts.
    pub amended: bool,
    /// `mono` until which a request may be on its way that places another order in its stead, and so ends it; 0 = none
    /// is. From then on a statement that it lives says that the request did not end it.
    #[serde(default)]
    pub leaving: Nanos,
    /// The order in whose stead it was placed, until the venue has dealt with the request.
    #[serde(default)]
    pub replaces: ClientId,
    /// Its state is unknown and queried.
    pub unknown: bool,
    /// Spoken of by the venue since the account session went down last.
    pub confirmed: bool,
    /// The account session was down during its life and the venue was not asked since.
    pub blind: bool,
    /// Missing from the complete list of open orders after a reconnect.
    pub missing_from_open: bool,
    /// Answers “no such order” in a row.
    pub not_found: u16,
    /// `mono` of the first of them.
    pub not_found_since: Nanos,
    /// Over HTTP: where the request that places it stands.
    pub request: Request,
    /// `mono` from which on the venue refuses the request that places it as too late.
    pub expires: Nanos,
    /// It went over a socket that broke before a word came back: it may arrive late.
    #[serde(default)]
    pub late: bool,
    /// Queries since its state was known last.
    #[serde(default)]
    pub asked: u16,
    /// Asked about for long enough: the venue does not resolve it, and the positions decide.
    #[serde(default)]
    pub unresolved: bool,
    /// `mono` when something must be done about it, else [`NEVER`].
    pub due: Nanos,
    /// A query waits until the venue has answered another one.
    pub postponed: bool,
    /// Next pause between queries.
    pub query_delay: Nanos,
    /// Venue time of the last word.
    pub venue_ns: Nanos,
    /// Place in the list of watched orders, else `u32::MAX`.
    pub watched_at: u32,
}

impl Entry {
    /// An order whose send outcome says that it was (or may have been) sent.
    pub fn placed(spec: OrderSpec, due: Nanos) -> Self {
        Self { spec, placed: true, bookable: true, due, ..Self::blank() }
    }

    /// An order that the venue speaks of before we do, or that is not of this run. `again`: the report's
    /// fill was booked before.
    pub fn heard(report: &OrderReport, adopted: bool, again: bool, due: Nanos) -> Self {
        let mut entry = Self {
            spec: OrderSpec { client_id: report.client_id, venue: report.venue, ..OrderSpec::default() },
            adopted,
            due,
            ..Self::blank()
        };
        entry.learn(report);
        if adopted {
            // What earlier runs booked is not ours to book: begin before the fill of this report.
            let cumulative = report.filled.map_or(0, |filled| filled.0.max(0));
            let own = report.fill.filter(|_| !again).map_or(0, |fill| fill.qty.0.max(0));
            entry.booked = (cumulative - own).max(0);
            entry.known = entry.booked;
        }
        entry
    }

    /// An order of the run before, whose fate it did not learn.
    pub fn adopted(order: &CarriedOrder, now: Nanos) -> Self {
        let CarriedOrder { spec, placed, live, booked, known, end } = *order;
        Self {
            spec,
            placed,
            bookable: true,
            adopted: true,
            word: if live { Word::Live } else { Word::Silent },
            terminal: end,
            known,
            booked,
            unknown: true,
            confirmed: false,
            due: now.saturating_add(QUERY_DELAY_MAX),
            ..Self::blank()
        }
    }

    /// What the next run must know of it.
    pub fn carried(&self) -> CarriedOrder {
        let qty = Qty(self.qty().unwrap_or(0));
        CarriedOrder {
            spec: OrderSpec { qty, ..self.spec },
            placed: self.placed,
            live: self.word == Word::Live,
            booked: self.booked,
            known: self.known.max(self.booked),
            end: self.terminal.filter(|_| !self.concluded),
        }
    }

    fn blank() -> Self {
        Self {
            query_delay: QUERY_DELAY_MIN,
            confirmed: true,
            due: NEVER,
            watched_at: u32::MAX,
            ..Self::default()
        }
    }

    /// The order's id.
    pub const fn id(&self) -> ClientId {
        self.spec.client_id
    }

    /// Takes listing and side from a report, while the order itself is not known.
    pub fn learn(&mut self, report: &OrderReport) {
        if self.placed || self.bookable {
            return;
        }
        if let (Some(instrument), Some(side)) = (report.instrument, report.side) {
            (self.spec.instrument, self.spec.side, self.bookable) = (instrument, side, true);
        }
    }

    /// Filled quantity that the venue implies and that is not booked.
    pub fn missing(&self) -> i64 {
        self.implied() - self.booked
    }

    /// Filled quantity that the venue implies: what it stated or reported; the whole of an order that it calls filled
    /// and has not cut. Derived anew, as the order's size may become known after its end.
    pub fn implied(&self) -> i64 {
        match (self.terminal, self.qty()) {
            // How much an amended order was in the end, the venue knows.
            (Some(OrderState::Filled), Some(_)) if self.amended && self.end_total.is_some() => self.known,
            (Some(OrderState::Filled), Some(qty)) if !self.is_cut() => self.known.max(qty),
            _ => self.known,
        }
    }

    /// Venues cut a reduce-only order to the position, and call it filled when that has traded: the total of its end
    /// is less than what was asked.
    fn is_cut(&self) -> bool {
        let less = |qty: i64| self.end_total.is_some_and(|total| total < qty);
        self.spec.reduce_only && self.qty().is_some_and(less)
    }

    /// The end, as far as it is known: what a cut order did not fill is gone. An end that was published stays.
    fn end(&self) -> Option<OrderState> {
        match self.terminal {
            Some(OrderState::Filled) if self.is_cut() && self.published != Some(OrderState::Filled) => {
                Some(OrderState::Canceled)
            }
            end => end,
        }
    }

    /// True when the whole quantity is booked.
    pub fn is_complete(&self) -> bool {
        self.qty().is_some_and(|qty| qty > 0 && self.booked >= qty)
    }

    /// True when the published state is terminal.
    pub fn is_closed(&self) -> bool {
        self.published.is_some_and(OrderState::is_terminal)
    }

    /// The state to publish, given everything known.
    pub fn state(&self) -> OrderState {
        if self.is_complete() {
            return OrderState::Filled;
        }
        match self.end() {
            // A closed order stays closed; what it still owes is queried and booked later.
            Some(state) if self.missing() <= 0 || self.is_closed() => state,
            _ if self.unknown => OrderState::Unknown,
            None if self.pending.is_some() || self.leaving != 0 => OrderState::PendingAmend,
            _ if self.booked > 0 => OrderState::PartiallyFilled,
            // The end waits for the details of fills.
            Some(_) => self.published.unwrap_or_default(),
            _ if self.word == Word::Live => OrderState::Open,
            _ => OrderState::PendingNew,
        }
    }

    /// Quantity that can still fill in `state`. Zero while the order's size is not known: for adopted
    /// orders, and for what is heard before our own send outcome is back.
    pub fn leaves(&self, state: OrderState) -> i64 {
        match self.qty() {
            Some(qty) if !state.is_terminal() => (qty - self.booked).max(0),
            _ => 0,
        }
    }

    /// True when the venue owes a word: an acknowledgement, an outcome, or the details of a fill.
    pub fn is_owed(&self) -> bool {
        if self.missing() > 0 || self.unknown {
            return true;
        }
        if self.terminal.is_some() || self.is_complete() {
            return false;
        }
        let immediate = matches!(self.spec.tif, TimeInForce::Ioc | TimeInForce::Fok);
        self.word != Word::Live || (self.placed && immediate) || self.pending.is_some() || self.leaving != 0
    }

    /// Takes in what the venue says about the state (not the fill).
    pub fn hear(&mut self, report: &OrderReport, now: Nanos) -> Heard {
        if report.venue_ns > self.venue_ns {
            self.venue_ns = report.venue_ns;
        }
        self.hear_terms(report, now);
        if let Some(filled) = report.filled {
            self.known = self.known.max(filled.0);
        }
        match report.kind {
            ReportKind::Acked => self.word = self.word.max(Word::Acked),
            ReportKind::Open | ReportKind::PartiallyFilled | ReportKind::Amended => self.hear_alive(now),
            ReportKind::Filled => self.hear_end(OrderState::Filled, report),
            ReportKind::Canceled => self.hear_end(OrderState::Canceled, report),
            ReportKind::Expired => self.hear_end(OrderState::Expired, report),
            ReportKind::Rejected => return self.hear_rejected(report, now),
            // Filled, cancelled or not yet visible: the venue does not say which. Nor does a cancel tell that
            // was not answered.
            ReportKind::CancelRejected
                if matches!(report.reject, RejectClass::NotFound | RejectClass::UnknownOutcome) =>
            {
                return self.doubt();
            }
            ReportKind::CancelRejected => return Heard::Nothing,
            ReportKind::AmendRejected => return self.hear_amend_rejected(report.reject),
            ReportKind::NotFound => return self.hear_not_found(now),
        }
        if report.kind == ReportKind::Acked { Heard::Nothing } else { Heard::Certain }
    }

    /// The fill of a report was taken (or there was none): certainty about the state ends the doubt,
    /// unless fills are missing.
    pub fn conclude(&mut self, heard: Heard) {
        let certain = heard == Heard::Certain || self.terminal.is_some() || self.is_complete();
        if certain && self.missing() <= 0 {
            (self.unknown, self.asked, self.unresolved) = (false, 0, false);
        }
    }

    /// Whether the request that places it may reach the venue from now on.
    const fn may_still_arrive(&self, now: Nanos) -> bool {
        match self.request {
            Request::Done => self.late && matches!(self.word, Word::Silent) && now < self.expires,
            Request::Open => true,
            Request::Lost => now < self.expires,
        }
    }

    /// The venue does not say what became of it, and its positions show no more than what is booked: what it still
    /// owes is not believed any more. An order that may rest stays as it is.
    pub fn give_up(&mut self) -> bool {
        let immediate = matches!(self.spec.tif, TimeInForce::Ioc | TimeInForce::Fok);
        if !self.unresolved || !self.placed || !immediate {
            return false;
        }
        let is_new = self.word != Word::Live && self.booked == 0;
        (self.terminal, self.reject) = match is_new {
            true => (Some(OrderState::Rejected), RejectClass::NotFound),
            false => (Some(OrderState::Canceled), RejectClass::None),
        };
        (self.known, self.held, self.end_total, self.pending) = (self.booked, 0, None, None);
        (self.concluded, self.unknown, self.unresolved, self.asked) = (true, false, false, 0);
        true
    }

    const fn doubt(&self) -> Heard {
        if self.terminal.is_none() { Heard::Doubt } else { Heard::Nothing }
    }

    /// A query is being made: when the next one is due.
    pub fn schedule_query(&mut self, now: Nanos) {
        self.due = now.saturating_add(self.query_delay);
        self.query_delay = (self.query_delay * 2).min(QUERY_DELAY_MAX);
    }

    /// Follows a change of the listing's scales. False when a quantity is not exact in the new scale.
    pub fn rescale(&mut self, from: &Instrument, to: &Instrument) -> bool {
        let mut exact = true;
        let mut convert = |value: &mut i64, from: u8, to: u8| match rescale(*value, from, to) {
            Some(converted) => *value = converted,
            None => exact = false,
        };
        for qty in [&mut self.spec.qty.0, &mut self.known, &mut self.booked, &mut self.held] {
            convert(qty, from.qty_scale, to.qty_scale);
        }
        if let Some(total) = &mut self.end_total {
            convert(total, from.qty_scale, to.qty_scale);
        }
        convert(&mut self.spec.price.0, from.price_scale, to.price_scale);
        if let Some(Pending { terms, .. }) = &mut self.pending {
            convert(&mut terms.qty.0, from.qty_scale, to.qty_scale);
            convert(&mut terms.price.0, from.price_scale, to.price_scale);
        }
        exact
    }

    /// The order rests or trades.
    fn hear_alive(&mut self, now: Nanos) {
        if now >= self.leaving {
            self.leaving = 0;
        }
        self.word = Word::Live;
        self.not_found = 0;
        self.missing_from_open = false;
        self.confirmed = true;
        if self.concluded {
            (self.terminal, self.concluded, self.reject) = (None, false, RejectClass::None);
            self.published = self.published.filter(|state| !state.is_terminal());
        }
    }

    /// The venue states the end.
    fn hear_end(&mut self, state: OrderState, report: &OrderReport) {
        self.end_total = self.end_total.max(report.filled.map(|total| total.0));
        self.word = Word::Live;
        self.not_found = 0;
        self.confirmed = true;
        (self.pending, self.leaving) = (None, 0);
        // Completely filled outranks other ends; otherwise the first statement stands.
        if self.terminal.is_none() || self.concluded || state == OrderState::Filled {
            self.terminal = Some(state);
            self.reject = RejectClass::None;
            if self.concluded {
                self.published = self.published.filter(|state| !state.is_terminal());
            }
            self.concluded = false;
        }
    }

    fn hear_rejected(&mut self, report: &OrderReport, now: Nanos) -> Heard {
        match report.reject {
            // A used id means that an earlier copy arrived; the venue's silence means nothing.
            RejectClass::UnknownOutcome | RejectClass::Duplicate => self.doubt(),
            RejectClass::NotFound => self.hear_not_found(now),
            _ if self.implied() > 0 || self.booked > 0 || self.held > 0 => self.doubt(),
            reject => {
                if self.terminal.is_none() || self.concluded {
                    self.terminal = Some(OrderState::Rejected);
                    self.reject = reject;
                    self.concluded = false;
                }
                self.confirmed = true;
                Heard::Certain
            }
        }
    }

    /// “No such order” is never an execution. It ends an order only when said repeatedly over the grace, which
    /// begins when the request that places it can no longer arrive:
    /// one that was never seen was not accepted; one that matching had and that is missing from the
    /// complete list of open orders, with all fills booked, is cancelled.
    fn hear_not_found(&mut self, now: Nanos) -> Heard {
        if self.terminal.is_some() {
            return Heard::Nothing;
        }
        if self.may_still_arrive(now) {
            // It is not there yet: that says nothing of what will be.
            self.not_found = 0;
            return Heard::Doubt;
        }
        if self.not_found == 0 {
            self.not_found_since = now;
        }
        self.not_found = self.not_found.saturating_add(1);
        let believed = self.not_found >= NOT_FOUND_MIN && now - self.not_found_since >= NOT_FOUND_GRACE;
        if !believed || self.missing() > 0 {
            return Heard::Doubt;
        }
        if self.word != Word::Live && self.known == 0 {
            (self.terminal, self.reject) = (Some(OrderState::Rejected), RejectClass::NotFound);
        } else if self.missing_from_open {
            self.terminal = Some(OrderState::Canceled);
        } else {
            return Heard::Doubt;
        }
        self.concluded = true;
        Heard::Certain
    }
}

/// `value` from one decimal scale to another, when exact.
pub fn rescale(value: i64, from: u8, to: u8) -> Option<i64> {
    if to >= from {
        value.checked_mul(*POW10.get(usize::from(to - from))?)
    } else {
        let unit = *POW10.get(usize::from(from - to))?;
        (value % unit == 0).then(|| value / unit)
    }
}
