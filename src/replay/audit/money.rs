//! Money: per venue and currency, what fills, fees and funding explain, beside how the balance changed as the venue
//! stated it: `spread + funding − fees − hedge cost = change`, exact to 10⁻¹⁸.
//!
//! A fill is a flow: a buy pays its value, a sale receives it (coins the other way round for inverse contracts, whose
//! values are cut at 10⁻¹⁸ towards zero). What flowed into a position that is still open is *carried*, at average cost,
//! and no part of the balance: it is told apart. What repairs cost is measured from the prices at which the trade was
//! decided. A statement is judged when it is quiet around it, because fills and balances travel on their own.

use super::finding::Findings;
use super::orders::Row;
use crate::domain::event::{BalanceReport, FundingPayment, PositionReport, Seq};
use crate::domain::instrument::{ContractKind, Instrument, Price, Qty};
use crate::domain::intent::{Basket, BasketKind};
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::order::{OrderUpdate, Side};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, Nanos, Stamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Nothing flows and nothing is stated for this long: fills and balances of the same moment have both arrived.
const QUIET: Nanos = 500 * MILLI;

/// A balance as stated, with its place in the record.
#[derive(Clone, Copy, Debug)]
struct Statement {
    wallet: Money,
    venue_ns: Nanos,
    seq: Seq,
    at: Stamp,
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
    known: bool,
    last: Price,
}

#[derive(Default)]
struct Account {
    /// The first statement, with what had flowed and was carried by then.
    opening: Option<(Statement, Flows, Money)>,
    latest: Option<Statement>,
    judged: bool,
    flows: Flows,
    /// The last judged statement, with what had flowed and was carried by then.
    proven: Option<(Statement, Flows, Money)>,
    /// Last flow: sequence, venue time, instant.
    flowed: Option<(Seq, Nanos, Stamp)>,
    active: Nanos,
    decimals: u32,
    statements: u64,
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
    /// The first balance that the venue stated.
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
    accounts: BTreeMap<(u8, Currency), Account>,
    listings: BTreeMap<u16, Instrument>,
    holdings: BTreeMap<u16, Holding>,
    /// Mids of an entry, by trade and listing: what repairs are measured from.
    decided: BTreeMap<(u32, u16), Price>,
}

impl Books {
    /// Of a run between these venues.
    pub fn new(venues: Vec<String>) -> Self {
        Self {
            venues,
            accounts: BTreeMap::new(),
            listings: BTreeMap::new(),
            holdings: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    pub fn decided(&mut self, basket: &Basket) {
        for (leg, order) in basket.orders().iter().enumerate() {
            if basket.kind == BasketKind::Entry {
                self.decided.entry((basket.trade.0, order.instrument.0)).or_insert(basket.mids[leg]);
            }
        }
    }

    /// The venue's first word about a position, before any fill, is where it starts.
    pub fn position(&mut self, report: &PositionReport) {
        let holding = self.holdings.entry(report.instrument.0).or_default();
        if holding.known {
            return;
        }
        (holding.qty, holding.known) = (report.qty, true);
        let instrument = self.listings.get(&report.instrument.0);
        if let Some(instrument) = instrument.filter(|_| report.qty != 0) {
            self.accounts.entry((instrument.venue.0, instrument.settle)).or_default().before = true;
        }
    }

    /// A new generation may have other scales.
    pub fn instrument(&mut self, new: &Instrument) {
        let old = self.listings.insert(new.id.0, *new);
        let (Some(old), Some(holding)) = (old, self.holdings.get_mut(&new.id.0)) else { return };
        let scaled = |value: i64, from: u8, to: u8| match to >= from {
            true => value.saturating_mul(10i64.saturating_pow(u32::from(to - from))),
            false => value / 10i64.saturating_pow(u32::from(from - to)),
        };
        holding.qty = scaled(holding.qty, old.qty_scale, new.qty_scale);
        holding.last = Price(scaled(holding.last.0, old.price_scale, new.price_scale));
    }

    /// Position per listing, in contracts at the listing's scale.
    pub fn qty(&self, listing: u16) -> i64 {
        self.holdings.get(&listing).map_or(0, |holding| holding.qty)
    }

    pub fn fill(
        &mut self,
        update: &OrderUpdate,
        order: Option<&Row>,
        instrument: &Instrument,
        (seq, at): (Seq, Stamp),
        findings: &mut Findings,
    ) {
        let venue = update.venue.0;
        self.flow(venue, instrument.settle, update.venue_ns, (seq, at), findings);
        self.flow(venue, update.fee_currency, update.venue_ns, (seq, at), findings);
        let flow = flow(instrument, update.side, update.fill_qty, update.fill_price);
        let holding = self.holdings.entry(update.instrument.0).or_default();
        holding.fill(update, flow, |qty| self::flow(instrument, update.side, qty, update.fill_price));
        let repair = order.filter(|row| matches!(row.kind, BasketKind::Hedge | BasketKind::Unwind));
        let hedge_cost = repair.map_or(Money::ZERO, |row| {
            let decided = self.decided.get(&(row.trade.0, update.instrument.0)).copied().unwrap_or(row.mid);
            self::flow(instrument, update.side, update.fill_qty, decided) - flow
        });
        let account = self.accounts.entry((venue, instrument.settle)).or_default();
        account.flows.cash += flow;
        account.flows.hedge_cost += hedge_cost;
        if update.fee != Money::ZERO {
            self.accounts.entry((venue, update.fee_currency)).or_default().flows.fees += update.fee;
        }
    }

    pub fn funding(&mut self, payment: &FundingPayment, place: (Seq, Stamp), findings: &mut Findings) {
        self.flow(payment.venue.0, payment.currency, payment.venue_ns, place, findings);
        let account = self.accounts.entry((payment.venue.0, payment.currency)).or_default();
        account.flows.funding += payment.amount;
    }

    pub fn balance(&mut self, report: &BalanceReport, (seq, at): (Seq, Stamp), findings: &mut Findings) {
        let key = (report.venue.0, report.currency);
        self.judge_if_quiet(key, at, findings);
        let carried = self.carried(key).0;
        let account = self.accounts.entry(key).or_default();
        let stale = account.latest.is_some_and(|old| report.venue_ns > 0 && report.venue_ns < old.venue_ns);
        if stale {
            return;
        }
        let statement = Statement { wallet: report.wallet, venue_ns: report.venue_ns, seq, at };
        account.opening.get_or_insert((statement, account.flows, carried));
        account.latest = Some(statement);
        account.judged = false;
        account.active = at.mono;
        account.decimals = account.decimals.max(decimals(report.wallet));
    }

    /// Something is about to flow at a venue in a currency.
    fn flow(
        &mut self,
        venue: u8,
        currency: Currency,
        venue_ns: Nanos,
        place: (Seq, Stamp),
        findings: &mut Findings,
    ) {
        if currency.is_empty() {
            return;
        }
        self.judge_if_quiet((venue, currency), place.1, findings);
        let account = self.accounts.entry((venue, currency)).or_default();
        account.flowed = Some((place.0, venue_ns, place.1));
        account.active = place.1.mono;
    }

    fn judge_if_quiet(&mut self, key: (u8, Currency), now: Stamp, findings: &mut Findings) {
        let carried = self.carried(key);
        let Some(account) = self.accounts.get_mut(&key) else { return };
        if !account.judged && now.mono - account.active >= QUIET {
            account.judge((key, &self.venues), carried, true, findings);
        }
    }

    /// What flowed into open positions of an account, and how often they were closed in part.
    fn carried(&self, key: (u8, Currency)) -> (Money, i64) {
        self.listings
            .iter()
            .filter(|(_, of)| (of.venue.0, of.settle) == key)
            .filter_map(|(id, _)| self.holdings.get(id))
            .filter(|holding| holding.qty != 0)
            .fold((Money::ZERO, 0), |(cost, partials), holding| {
                (cost + holding.cost, partials + holding.partials)
            })
    }
}

impl Books {
    /// The record ends: every account in figures.
    pub fn finish(&mut self, end: Stamp, findings: &mut Findings) -> Vec<MoneyRow> {
        let keys: Vec<(u8, Currency)> = self.accounts.keys().copied().collect();
        let mut rows = Vec::new();
        for key in keys {
            let carried = self.carried(key);
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            if !account.judged {
                let quiet = end.mono - account.active >= QUIET;
                account.judge((key, &self.venues), carried, quiet, findings);
            }
            account.tell_doubt((key, &self.venues), findings);
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
        for (id, of) in self.listings.iter().filter(|(_, of)| (of.venue.0, of.settle) == key) {
            let Some(holding) = self.holdings.get(id).filter(|holding| holding.qty != 0) else { continue };
            let side = if holding.qty > 0 { Side::Sell } else { Side::Buy };
            sum += flow(of, side, Qty(holding.qty.abs()), holding.last) - holding.cost;
        }
        sum
    }
}

impl Account {
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
        if self.before || !self.covers(&latest) {
            return;
        }
        let flows = self.flows.less(&base);
        let explained = flows.cash + (carried - carried_then) - flows.fees + flows.funding;
        let difference = latest.wallet - opening.wallet - explained - self.told;
        let unit = 10i128.pow(u32::from(MONEY_SCALE).saturating_sub(self.decimals));
        let agrees = difference == Money::ZERO || difference.0.abs() < unit * i128::from(1 + partials);
        if !agrees && !quiet {
            return;
        }
        self.statements += 1;
        self.proven = Some((latest, self.flows, carried));
        if agrees {
            self.doubt = None;
            return;
        }
        let (before, first) = self.doubt.unwrap_or((Money::ZERO, latest));
        self.doubt = Some((difference, first));
        if before == difference {
            self.tell_doubt(name, findings);
        }
    }

    /// Whether a statement was made after the last flow.
    fn covers(&self, statement: &Statement) -> bool {
        self.flowed.is_none_or(|(seq, venue_ns, _)| match venue_ns > 0 && statement.venue_ns > 0 {
            true => statement.venue_ns >= venue_ns,
            false => statement.seq >= seq,
        })
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
        let mut row = MoneyRow {
            opening: self.opening.map(|(statement, ..)| statement.wallet),
            decimals: self.decimals,
            statements: self.statements,
            ..MoneyRow::default()
        };
        let verdict = if self.before { Verdict::PositionBefore } else { Verdict::NotStated };
        let Some((opening, base, carried_then)) = self.opening else { return row };
        let Some((closing, until, carried)) = self.proven.filter(|_| !self.before) else {
            row.verdict = verdict;
            return row;
        };
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
    /// Books a fill of that flow; `of` is the flow of a part of it.
    fn fill(&mut self, update: &OrderUpdate, flow: Money, of: impl Fn(Qty) -> Money) {
        let (sign, qty) = (update.side.sign(), update.fill_qty.0);
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
        (self.known, self.last) = (true, update.fill_price);
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
