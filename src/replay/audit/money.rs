//! Money: per venue and currency, what fills, fees and funding explain, beside how the balance changed as the venue
//! stated it: `spread + funding − fees − hedge cost = change`, exact to 10⁻¹⁸.
//!
//! A fill is a flow: a buy pays its value, a sale receives it (coins the other way round for inverse contracts, whose
//! values are cut at 10⁻¹⁸ towards zero). What flowed into a position that is still open is *carried*, at average cost,
//! and no part of the balance: it is told apart. What repairs cost is measured from the prices at which the trade was
//! decided. A statement is judged when it is quiet around it, because fills and balances travel on their own.
//!
//! Everything is noted as it is read and judged when the record ends, in the order of the venues' times: what a venue did
//! while it was not heard is read from its list of executions later, and later than balances that hold it already. Such a
//! balance is judged against all executions up to its time, wherever in the record they stand; it is counted as explained
//! later.

use super::finding::Findings;
use super::orders::Row;
use crate::domain::carry::CarriedPosition;
use crate::domain::event::{BalanceReport, FundingPayment, PositionReport, Seq};
use crate::domain::instrument::{ContractKind, Instrument, Price, Qty};
use crate::domain::intent::{Basket, BasketKind};
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::order::{OrderUpdate, Side};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, Nanos, Stamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Nothing flows and nothing is stated for this long: fills and balances of the same moment have both arrived.
const QUIET: Nanos = 500 * MILLI;

/// A balance as stated, with its place in the record.
#[derive(Clone, Copy, Debug)]
struct Statement {
    wallet: Money,
    seq: Seq,
    at: Stamp,
}

/// Something as it was read.
struct Noted {
    venue: u8,
    /// 0 where the venue states none.
    venue_ns: Nanos,
    seq: Seq,
    at: Stamp,
    what: What,
}

enum What {
    Fill(Fill),
    Funding(Currency, Money),
    Balance(Currency, Money),
}

struct Fill {
    /// The contract in whose scales it is stated: its place among all definitions.
    instrument: usize,
    side: Side,
    qty: Qty,
    price: Price,
    fee: Money,
    fee_currency: Currency,
    /// Of a repair: the price at which its trade was decided.
    decided: Option<Price>,
}

/// Where a position starts, in the scale of its contract then.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    qty: i64,
    cost: Money,
    /// What a part of it cost is not known.
    before: bool,
    /// Of quantity and price; `None` = of the definition that follows.
    scales: Option<(u8, u8)>,
}

/// What flowed; amounts in the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flows {
    cash: Money,
    fees: Money,
    funding: Money,
    hedge_cost: Money,
}

/// A position at average cost.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    qty: i64,
    /// What flowed into the open part: positive for a linear long (paid).
    cost: Money,
    /// Partial closes since it was flat: each may be rounded by the venue.
    partials: i64,
    last: Price,
    /// Of quantity and price.
    scales: (u8, u8),
}

/// A statement with what had flowed and was carried by then.
type Standing = (Statement, Flows, Money);

#[derive(Default)]
struct Account {
    /// The first statement; of a part of a run the first one with which a later one agrees across something that flowed.
    opening: Option<Standing>,
    /// It is that.
    confirmed: bool,
    /// Of a part: one that was taken for it was not.
    refuted: bool,
    latest: Option<Statement>,
    judged: bool,
    flows: Flows,
    /// The last judged statement.
    proven: Option<Standing>,
    /// When the last flow was read, of all so far.
    read_at: Nanos,
    /// Something flowed after the last statement.
    flowed: bool,
    active: Nanos,
    decimals: u32,
    statements: u64,
    explained_later: u64,
    /// An unexplained difference that the next statement may still explain.
    doubt: Option<(Money, Statement)>,
    /// Differences that were told: later statements are held against what follows them.
    told: Money,
    before: bool,
}

/// How well a balance is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To the last unit of 10⁻¹⁸.
    Exact,
    /// To less than the last digit that the venue states.
    Rounded,
    /// It is not.
    Differs,
    /// Cannot be told: a position of before the run has a cost that the record does not hold.
    PositionBefore,
    /// Cannot be told: no statement covers the flows.
    #[default]
    NotStated,
}

/// A currency at a venue; amounts in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoneyRow {
    /// The venue.
    pub venue: String,
    /// The currency.
    pub currency: String,
    /// The first balance that the venue stated; of a part of a run the first that a later one confirms.
    pub opening: Option<Money>,
    /// The last one that was judged.
    pub closing: Option<Money>,
    /// Closing less opening.
    pub change: Money,
    /// What closed positions brought, repairs taken as if they had been made at the prices of the decision.
    pub spread: Money,
    /// Funding received less paid.
    pub funding: Money,
    /// Fees paid less rebates.
    pub fees: Money,
    /// What hedges and unwinds cost more than the prices of the decision.
    pub hedge_cost: Money,
    /// `spread + funding − fees − hedge_cost`.
    pub explained: Money,
    /// `change − explained`, and what was found on the way.
    pub difference: Money,
    /// How many decimals the venue states.
    pub decimals: u32,
    /// Statements that were judged.
    pub statements: u64,
    /// Of them explained by executions that were read only later.
    pub explained_later: u64,
    /// Nothing flowed after the closing.
    pub complete: bool,
    /// What flowed into positions that are open at the closing: no part of the balance.
    pub carried: Money,
    /// What those would bring at the last prices of fills, less what flowed into them.
    pub revaluation: Money,
    /// How well the change is explained.
    pub verdict: Verdict,
}

/// All balances, flows and holdings.
pub(super) struct Books {
    venues: Vec<String>,
    noted: Vec<Noted>,
    /// Every definition of a contract, and the last one of each listing.
    instruments: Vec<Instrument>,
    defined: BTreeMap<u16, usize>,
    starts: BTreeMap<u16, Start>,
    filled: BTreeSet<u16>,
    accounts: BTreeMap<(u8, Currency), Account>,
    holdings: BTreeMap<u16, Holding>,
    /// Mids of an entry, by trade and listing: what repairs are measured from.
    decided: BTreeMap<(u32, u16), Price>,
    /// The record does not begin with the run.
    is_part: bool,
    /// By venue: the least that our clock, when something was read, was ahead of the venue's when it was stated.
    ways: BTreeMap<u8, Nanos>,
}

impl Books {
    /// Of a run between these venues.
    pub fn new(venues: Vec<String>) -> Self {
        Self {
            venues,
            noted: Vec::new(),
            instruments: Vec::new(),
            defined: BTreeMap::new(),
            starts: BTreeMap::new(),
            filled: BTreeSet::new(),
            accounts: BTreeMap::new(),
            holdings: BTreeMap::new(),
            decided: BTreeMap::new(),
            is_part: false,
            ways: BTreeMap::new(),
        }
    }

    pub fn decided(&mut self, basket: &Basket) {
        for (leg, order) in basket.orders().iter().enumerate() {
            if basket.kind == BasketKind::Entry {
                self.decided.entry((basket.trade.0, order.instrument.0)).or_insert(basket.mids[leg]);
            }
        }
    }

    /// What the run before handed over: the position with what flowed into it.
    pub fn carried_over(&mut self, position: &CarriedPosition) {
        let id = position.instrument.0;
        let scales = self.last(id).map(scales);
        let start = Start { qty: position.qty, cost: -position.open_cash, before: false, scales };
        self.starts.insert(id, start);
    }

    /// The record does not begin with the run, but with these positions; contracts are told before.
    pub fn begins(&mut self, positions: &[CarriedPosition]) {
        self.is_part = true;
        for position in positions {
            self.carried_over(position);
            let held = position.base.filter(|base| *base != 0);
            if let Some((base, start)) = held.zip(self.starts.get_mut(&position.instrument.0)) {
                start.qty += base; // it was not the run's
                start.before = true;
            }
        }
    }

    /// The venue's first word about a position, before any fill, is where it starts, unless the run before told it.
    pub fn position(&mut self, report: &PositionReport) {
        let id = report.instrument.0;
        if !self.filled.contains(&id) {
            let (qty, scales) = (report.qty, self.last(id).map(scales));
            let start = Start { qty, cost: Money::ZERO, before: qty != 0, scales };
            self.starts.entry(id).or_insert(start);
        }
    }

    /// A new generation may have other scales.
    pub fn instrument(&mut self, new: &Instrument) {
        self.defined.insert(new.id.0, self.instruments.len());
        self.instruments.push(*new);
    }

    /// Position per listing when the record ends, in contracts at the listing's scale.
    pub fn qty(&self, listing: u16) -> i64 {
        let (holding, of) = (self.holdings.get(&listing), self.last(listing));
        holding.zip(of).map_or(0, |(holding, of)| holding.at(of).qty)
    }

    /// A contract as it was defined last.
    fn last(&self, listing: u16) -> Option<&Instrument> {
        self.instruments.get(*self.defined.get(&listing)?)
    }

    pub fn fill(&mut self, update: &OrderUpdate, order: Option<&Row>, (seq, at): (Seq, Stamp)) {
        let Some(instrument) = self.defined.get(&update.instrument.0).copied() else { return };
        self.filled.insert(update.instrument.0);
        let repair = order.filter(|row| matches!(row.kind, BasketKind::Hedge | BasketKind::Unwind));
        let decided = repair.and_then(|row| {
            let of_entry = self.decided.get(&(row.trade.0, update.instrument.0)).copied();
            of_entry.or(Some(row.mid)).filter(|mid| mid.0 > 0)
        });
        let (side, qty, price) = (update.side, update.fill_qty, update.fill_price);
        let (fee, fee_currency) = (update.fee, update.fee_currency);
        let fill = Fill { instrument, side, qty, price, fee, fee_currency, decided };
        let (venue, venue_ns) = (update.venue.0, update.venue_ns);
        self.noted.push(Noted { venue, venue_ns, seq, at, what: What::Fill(fill) });
    }

    pub fn funding(&mut self, payment: &FundingPayment, (seq, at): (Seq, Stamp)) {
        let what = What::Funding(payment.currency, payment.amount);
        let (venue, venue_ns) = (payment.venue.0, payment.venue_ns);
        self.noted.push(Noted { venue, venue_ns, seq, at, what });
    }

    pub fn balance(&mut self, report: &BalanceReport, (seq, at): (Seq, Stamp)) {
        let what = What::Balance(report.currency, report.wallet);
        let (venue, venue_ns) = (report.venue.0, report.venue_ns);
        self.noted.push(Noted { venue, venue_ns, seq, at, what });
    }

    /// Positions as they were found or taken over.
    fn start(&mut self) {
        for (id, start) in std::mem::take(&mut self.starts) {
            let Some(of) = self.last(id).copied() else { continue };
            let (qty, cost) = (start.qty, start.cost);
            // How often the run before closed it in part is not known: once, if at all, for the last digit.
            let partials = i64::from(!start.before && qty != 0);
            let scales = start.scales.unwrap_or(scales(&of));
            self.holdings.insert(id, Holding { qty, cost, partials, scales, ..Holding::default() });
            if start.before {
                self.accounts.entry((of.venue.0, of.settle)).or_default().before = true;
            }
        }
    }

    /// What was noted, with its time at the venue: where none is stated (or our own), the instant at which it was read less
    /// the shortest way (and the difference of the clocks) that anything of the venue took.
    fn in_order(&mut self) -> Vec<(Nanos, Noted)> {
        let stated = |noted: &Noted| noted.venue_ns > 0 && noted.venue_ns != noted.at.wall;
        let ways = &mut self.ways;
        for noted in self.noted.iter().filter(|noted| stated(noted)) {
            let way = noted.at.wall - noted.venue_ns;
            ways.entry(noted.venue).and_modify(|shortest| *shortest = way.min(*shortest)).or_insert(way);
        }
        let timed = std::mem::take(&mut self.noted).into_iter().map(|noted| {
            let way = ways.get(&noted.venue).copied().unwrap_or(0);
            let time = if stated(&noted) { noted.venue_ns } else { noted.at.wall - way };
            (time, noted)
        });
        let mut all: Vec<(Nanos, Noted)> = timed.collect();
        // Of the same time what was read first comes first, but a statement after what it holds.
        all.sort_by_key(|(time, noted)| (*time, matches!(noted.what, What::Balance(..)), noted.seq));
        all
    }

    fn book(&mut self, time: Nanos, noted: &Noted, findings: &mut Findings) {
        let venue = noted.venue;
        match &noted.what {
            What::Fill(fill) => self.book_fill(time, noted, fill, findings),
            What::Funding(currency, amount) => {
                let key = (venue, *currency);
                self.flow(key, time, noted.at, findings);
                self.accounts.entry(key).or_default().flows.funding += *amount;
            }
            What::Balance(currency, wallet) => {
                let key = (venue, *currency);
                self.judge_if_quiet(key, time, findings);
                let carried = self.carried(key).0;
                let account = self.accounts.entry(key).or_default();
                let statement = Statement { wallet: *wallet, seq: noted.seq, at: noted.at };
                account.opening.get_or_insert((statement, account.flows, carried));
                account.confirmed |= !self.is_part;
                account.latest = Some(statement);
                (account.judged, account.flowed) = (false, false);
                account.active = time;
                account.decimals = account.decimals.max(decimals(*wallet));
            }
        }
    }

    fn book_fill(&mut self, time: Nanos, noted: &Noted, fill: &Fill, findings: &mut Findings) {
        let instrument = self.instruments[fill.instrument];
        let (settle, fees) = ((noted.venue, instrument.settle), (noted.venue, fill.fee_currency));
        self.flow(settle, time, noted.at, findings);
        self.flow(fees, time, noted.at, findings);
        let flow = flow(&instrument, fill.side, fill.qty, fill.price);
        let holding = self.holdings.entry(instrument.id.0).or_default();
        *holding = holding.at(&instrument);
        holding.fill(fill, flow, |qty| self::flow(&instrument, fill.side, qty, fill.price));
        let hedge_cost = fill
            .decided
            .map_or(Money::ZERO, |decided| self::flow(&instrument, fill.side, fill.qty, decided) - flow);
        let account = self.accounts.entry(settle).or_default();
        account.flows.cash += flow;
        account.flows.hedge_cost += hedge_cost;
        if fill.fee != Money::ZERO {
            self.accounts.entry(fees).or_default().flows.fees += fill.fee;
        }
    }

    /// Something is about to flow in an account at `time`, read at `at`.
    fn flow(&mut self, key: (u8, Currency), time: Nanos, at: Stamp, findings: &mut Findings) {
        if key.1.is_empty() {
            return;
        }
        self.judge_if_quiet(key, time, findings);
        let account = self.accounts.entry(key).or_default();
        account.flowed = true;
        account.read_at = account.read_at.max(at.mono);
        account.active = time;
    }

    fn judge_if_quiet(&mut self, key: (u8, Currency), now: Nanos, findings: &mut Findings) {
        let carried = self.carried(key);
        let Some(account) = self.accounts.get_mut(&key) else { return };
        if !account.judged && now - account.active >= QUIET {
            account.judge((key, &self.venues), carried, true, findings);
        }
    }

    /// What flowed into open positions of an account, and how often they were closed in part.
    fn carried(&self, key: (u8, Currency)) -> (Money, i64) {
        self.holdings
            .iter()
            .filter(|(id, _)| self.last(**id).is_some_and(|of| (of.venue.0, of.settle) == key))
            .map(|(_, holding)| holding)
            .filter(|holding| holding.qty != 0)
            .fold((Money::ZERO, 0), |(cost, partials), holding| {
                (cost + holding.cost, partials + holding.partials)
            })
    }
}

impl Books {
    /// The record ends: every account in figures.
    pub fn finish(&mut self, end: Stamp, findings: &mut Findings) -> Vec<MoneyRow> {
        self.start();
        for (time, noted) in self.in_order() {
            self.book(time, &noted, findings);
        }
        let keys: Vec<(u8, Currency)> = self.accounts.keys().copied().collect();
        let mut rows = Vec::new();
        for key in keys {
            let carried = self.carried(key);
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            if !account.judged {
                let end = end.wall - self.ways.get(&key.0).copied().unwrap_or(0);
                let quiet = end - account.active >= QUIET;
                account.judge((key, &self.venues), carried, quiet, findings);
            }
            account.tell_doubt((key, &self.venues), findings);
            account.end();
            let mut row = account.row();
            row.venue = name(&self.venues, key.0);
            row.currency = key.1.to_string();
            row.revaluation = self.revaluation(key);
            rows.push(row);
        }
        rows
    }

    /// Fees paid and funding received at a venue in the whole record, all currencies.
    pub fn charges(&self, venue: usize) -> (Money, Money) {
        let of = self.accounts.iter().filter(|((of, _), _)| usize::from(*of) == venue);
        of.fold((Money::ZERO, Money::ZERO), |(fees, funding), (_, account)| {
            (fees + account.flows.fees, funding + account.flows.funding)
        })
    }

    /// What open positions of an account would bring at the last prices of fills, less what flowed into them.
    fn revaluation(&self, key: (u8, Currency)) -> Money {
        let mut sum = Money::ZERO;
        for (id, holding) in self.holdings.iter().filter(|(_, holding)| holding.qty != 0) {
            let Some(of) = self.last(*id).filter(|of| (of.venue.0, of.settle) == key) else { continue };
            let holding = holding.at(of);
            let side = if holding.qty > 0 { Side::Sell } else { Side::Buy };
            sum += flow(of, side, Qty(holding.qty.abs()), holding.last) - holding.cost;
        }
        sum
    }
}

impl Account {
    /// A statement agrees with the opening, or does not. Whether that says something: a part of a run begins in the middle of
    /// what flows, so that a statement near its beginning may hold what was read before it, and one may be read late. The
    /// opening is what a later statement agrees with although something flowed in between.
    fn confirm(&mut self, stated: Standing, agrees: bool) -> bool {
        if self.confirmed {
            return true;
        }
        if !agrees {
            (self.opening, self.proven, self.refuted) = (Some(stated), None, true);
            (self.statements, self.explained_later) = (0, 0);
            return false;
        }
        self.confirmed = self.opening.is_some_and(|(_, flows, _)| flows != stated.1);
        true
    }

    /// The record ends: where nothing flowed at all there is nothing to confirm.
    fn end(&mut self) {
        self.confirmed |= !self.refuted && self.flows == Flows::default();
    }

    /// Holds the latest statement against what flowed. When it is not quiet, only an agreement says something.
    fn judge(
        &mut self,
        name: ((u8, Currency), &[String]),
        (carried, partials): (Money, i64),
        quiet: bool,
        findings: &mut Findings,
    ) {
        let (Some((opening, base, carried_then)), Some(latest)) = (self.opening, self.latest) else { return };
        self.judged |= quiet;
        if self.before || self.flowed {
            return;
        }
        let flows = self.flows.less(&base);
        let explained = flows.cash + (carried - carried_then) - flows.fees + flows.funding;
        let difference = latest.wallet - opening.wallet - explained - self.told;
        let unit = 10i128.pow(u32::from(MONEY_SCALE).saturating_sub(self.decimals));
        let agrees = difference == Money::ZERO || difference.0.abs() < unit * i128::from(1 + partials);
        if (!agrees && !quiet) || !self.confirm((latest, self.flows, carried), agrees) {
            return;
        }
        self.statements += 1;
        self.proven = Some((latest, self.flows, carried));
        if agrees {
            self.explained_later += u64::from(self.read_at - latest.at.mono >= QUIET);
            self.doubt = None;
            return;
        }
        let (before, first) = self.doubt.unwrap_or((Money::ZERO, latest));
        self.doubt = Some((difference, first));
        if before == difference {
            self.tell_doubt(name, findings);
        }
    }

    fn tell_doubt(&mut self, (key, venues): ((u8, Currency), &[String]), findings: &mut Findings) {
        let Some((difference, at)) = self.doubt.take() else { return };
        self.told += difference;
        let Flows { cash, fees, funding, .. } = self.flows;
        let detail = format!(
            "the balance of {} differs by {difference} from what {cash} of fills, {fees} of fees and {funding} of funding explain",
            at.wallet
        );
        let subject = format!("{} {}", name(venues, key.0), key.1);
        findings.add("money", "money_identity", (at.seq, at.at.wall), subject, detail);
    }

    fn row(&self) -> MoneyRow {
        let opening = self.opening.filter(|_| self.confirmed);
        let verdict = if self.before { Verdict::PositionBefore } else { Verdict::NotStated };
        let mut row = MoneyRow {
            opening: opening.map(|(statement, ..)| statement.wallet),
            decimals: self.decimals,
            statements: self.statements,
            explained_later: self.explained_later,
            verdict,
            ..MoneyRow::default()
        };
        let Some((opening, base, carried_then)) = opening else { return row };
        let Some((closing, until, carried)) = self.proven.filter(|_| !self.before) else { return row };
        let flows = until.less(&base);
        row.complete = until == self.flows;
        row.closing = Some(closing.wallet);
        row.change = closing.wallet - opening.wallet;
        row.carried = carried;
        row.spread = flows.cash + (carried - carried_then) + flows.hedge_cost;
        (row.funding, row.fees, row.hedge_cost) = (flows.funding, flows.fees, flows.hedge_cost);
        row.explained = row.spread + row.funding - row.fees - row.hedge_cost;
        row.difference = row.change - row.explained;
        row.verdict = match row.difference {
            _ if self.told != Money::ZERO => Verdict::Differs,
            Money::ZERO => Verdict::Exact,
            _ => Verdict::Rounded,
        };
        row
    }
}

impl Flows {
    fn less(&self, other: &Self) -> Self {
        Self {
            cash: self.cash - other.cash,
            fees: self.fees - other.fees,
            funding: self.funding - other.funding,
            hedge_cost: self.hedge_cost - other.hedge_cost,
        }
    }
}

impl Holding {
    /// The same in the scales of a definition of its contract.
    fn at(self, of: &Instrument) -> Self {
        let scaled = |value: i64, from: u8, to: u8| match to >= from {
            true => value.saturating_mul(10i64.saturating_pow(u32::from(to - from))),
            false => value / 10i64.saturating_pow(u32::from(from - to)),
        };
        let scales = scales(of);
        let (qty, last) =
            (scaled(self.qty, self.scales.0, scales.0), scaled(self.last.0, self.scales.1, scales.1));
        Self { qty, last: Price(last), scales, ..self }
    }

    /// Books a fill of that flow; `of` is the flow of a part of it.
    fn fill(&mut self, fill: &Fill, flow: Money, of: impl Fn(Qty) -> Money) {
        let (sign, qty) = (fill.side.sign(), fill.qty.0);
        let closed = if self.qty * sign < 0 { qty.min(self.qty.abs()) } else { 0 };
        if closed > 0 && closed == self.qty.abs() {
            (self.cost, self.partials) = (Money::ZERO, 0);
        } else if closed > 0 {
            self.cost -= Money(self.cost.0 * i128::from(closed) / i128::from(self.qty.abs()));
            self.partials += 1;
        }
        // Not the flow of the opened part alone: what is cut off inverse values must not be lost.
        self.cost -= flow - of(Qty(closed));
        self.qty += sign * qty;
        self.last = fill.price;
    }
}

/// What a fill brings: exact for linear contracts, cut at 10⁻¹⁸ towards zero for inverse ones.
fn flow(instrument: &Instrument, side: Side, qty: Qty, price: Price) -> Money {
    let (value, long) = match instrument.spec.kind {
        ContractKind::Linear => (instrument.notional(qty, price), -1),
        ContractKind::Inverse => (instrument.base_amount(qty, price), 1),
    };
    Money(value.0 * i128::from(long * side.sign()))
}

/// Scales of quantity and price.
fn scales(of: &Instrument) -> (u8, u8) {
    (of.qty_scale, of.price_scale)
}

/// Decimals that an amount has.
fn decimals(amount: Money) -> u32 {
    let mut left = u32::from(MONEY_SCALE);
    let mut value = amount.0;
    while left > 0 && value % 10 == 0 {
        value /= 10;
        left -= 1;
    }
    left
}

fn name(venues: &[String], venue: u8) -> String {
    venues.get(usize::from(venue)).cloned().unwrap_or_else(|| venue.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::VenueId;
    use crate::domain::time::SECOND;

    fn at(seconds: i64) -> Stamp {
        Stamp { mono: seconds * SECOND, wall: seconds * SECOND + MILLI }
    }

    /// Balances that hold a payment of the venue's third second, which is read in the ninth: as `told`.
    fn audited(told: i64) -> (MoneyRow, Findings) {
        let mut books = Books::new(vec!["okx".to_owned()]);
        let (venue, currency) = (VenueId(0), Currency::new("USDT").expect("short"));
        for (seconds, wallet) in [(1, 100), (4, 93), (6, 93), (8, 93)] {
            let (wallet, venue_ns) = (Money::from_units(wallet), seconds * SECOND);
            let report = BalanceReport { venue, currency, wallet, venue_ns, ..BalanceReport::default() };
            books.balance(&report, (Seq(seconds as u64), at(seconds)));
        }
        let (amount, venue_ns) = (Money::from_units(told), 3 * SECOND);
        let payment = FundingPayment { venue, currency, amount, venue_ns, ..FundingPayment::default() };
        books.funding(&payment, (Seq(9), at(9)));
        let mut findings = Findings::default();
        let rows = books.finish(at(20), &mut findings);
        (rows[0].clone(), findings)
    }

    #[test]
    fn what_is_read_later_explains_balances_that_held_it_before() {
        let (row, findings) = audited(-7);
        assert_eq!(findings.first, []);
        assert_eq!((row.verdict, row.statements, row.explained_later), (Verdict::Exact, 4, 3), "{row:?}");
    }

    #[test]
    fn a_part_begins_with_a_balance_that_a_later_one_confirms_across_a_flow() {
        let mut books = Books::new(vec!["okx".to_owned()]);
        let (venue, currency) = (VenueId(0), Currency::new("USDT").expect("short"));
        books.begins(&[]);
        // The payment of 7 is stated as earlier than the first balance, which does not hold it; that of 2 is as it was, and
        // the one of 5 is told as 4.
        for (seconds, wallet) in [(2, 100), (4, 93), (6, 91), (8, 86), (10, 86)] {
            let (wallet, venue_ns) = (Money::from_units(wallet), seconds * SECOND);
            let report = BalanceReport { venue, currency, wallet, venue_ns, ..BalanceReport::default() };
            books.balance(&report, (Seq(seconds as u64), at(seconds)));
        }
        for (seconds, read, amount) in [(1, 3, -7), (5, 5, -2), (7, 7, -4)] {
            let (amount, venue_ns) = (Money::from_units(amount), seconds * SECOND);
            let payment = FundingPayment { venue, currency, amount, venue_ns, ..FundingPayment::default() };
            books.funding(&payment, (Seq(read as u64), at(read)));
        }
        let mut findings = Findings::default();
        let row = &books.finish(at(20), &mut findings)[0];
        let found: Vec<u64> = findings.first.iter().map(|finding| finding.seq).collect();
        assert_eq!((row.opening, found), (Some(Money::from_units(93)), vec![8]), "{row:?}");
        assert_eq!((row.verdict, row.difference), (Verdict::Differs, Money::from_units(-1)));
    }

    #[test]
    fn what_is_read_later_and_does_not_explain_them_is_found_once() {
        let (row, findings) = audited(-6);
        assert_eq!(findings.first.len(), 1, "{findings:?}");
        assert_eq!((findings.first[0].rule, findings.first[0].seq), ("money_identity", 4));
        assert_eq!(row.verdict, Verdict::Differs);
    }
}
