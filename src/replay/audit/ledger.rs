//! Ledgers: every order, fill, fee, funding payment, position and balance of ours beside the venue's own books, as
//! `--ledger` writes them. Nothing may be missing on either side.

use super::finding::Findings;
use super::money::{Books, MoneyRow, Verdict};
use super::orders::{Book, Fate, FillRow, Row};
use crate::domain::event::Seq;
use crate::domain::instrument::{Instrument, Qty};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderState, Side};
use crate::domain::params::EngineParams;
use crate::domain::time::{Nanos, SECOND, Stamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A ledger cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the ledger {}: {why}", path.display())]
pub struct LedgerError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What is younger than this when the record ends may be on its way.
const ON_ITS_WAY: Nanos = 2 * SECOND;

/// A venue's books beside ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// The venue.
    pub venue: String,
    /// Its orders.
    pub orders: u64,
    /// Its fills.
    pub fills: u64,
    /// Its funding payments.
    pub funding: u64,
    /// Orders that are equal in both books.
    pub orders_equal: u64,
    /// Fills that are equal in both books.
    pub fills_equal: u64,
    /// Orders of ours that the venue has no word of, refused or of unknown fate: never accepted.
    pub never_accepted: u64,
    /// Orders and fills of the venue's from the last moments that the record does not reach.
    pub on_their_way: u64,
    /// Of a part of a run: its orders and fills from before the part, which are not compared.
    pub before: u64,
    /// Everything agrees.
    pub equal: bool,
}

#[derive(Deserialize)]
struct TheirOrder {
    client_id: String,
    #[serde(default)]
    order_id: String,
    #[serde(default)]
    symbol: String,
    #[serde(default)]
    side: String,
    #[serde(default)]
    price: Money,
    #[serde(default)]
    qty: Money,
    #[serde(default)]
    filled: Money,
    #[serde(default)]
    reduce_only: bool,
    status: String,
    #[serde(default)]
    created_ns: String,
    #[serde(default)]
    updated_ns: String,
    #[serde(default)]
    r#type: String,
}

#[derive(Deserialize)]
struct TheirFill {
    trade_id: String,
    client_id: Option<String>,
    symbol: String,
    side: String,
    price: Money,
    qty: Money,
    fee: Money,
    time_ns: String,
}

#[derive(Deserialize)]
struct Funding {
    amount: Money,
    #[serde(default)]
    time_ns: String,
}

#[derive(Deserialize)]
struct Balances {
    accounts: Vec<AccountRow>,
}

#[derive(Deserialize)]
struct AccountRow {
    account: String,
    wallet: Money,
    fees: Money,
    funding: Money,
    #[serde(default)]
    positions: Vec<PositionRow>,
}

#[derive(Deserialize)]
struct PositionRow {
    symbol: String,
    qty: Money,
}

/// What the record says, as far as ledgers are held against it.
pub(super) struct Record<'a> {
    pub params: &'a EngineParams,
    pub names: &'a [String],
    pub book: &'a Book,
    pub books: &'a Books,
    pub money: &'a [MoneyRow],
    pub instruments: &'a BTreeMap<u16, Instrument>,
    pub end: Stamp,
    /// The venue's sums begin with an earlier run.
    pub follows: bool,
    /// Where the record begins, unless with its run.
    pub begins: Option<Begins>,
}

/// Where a record begins that does not begin with its run.
#[derive(Clone, Copy)]
pub(super) struct Begins {
    /// Wall time.
    pub wall: Nanos,
    /// Of the run's orders.
    pub epoch: u64,
    /// The last order of the run that was approved by then; ids grow.
    pub last_order: ClientId,
}

impl Record<'_> {
    /// An order of this run that had ended where the record begins.
    fn is_over(&self, id: ClientId) -> bool {
        let early = |begins: Begins| id.epoch() == begins.epoch && id <= begins.last_order;
        self.begins.is_some_and(early) && !self.book.orders.contains_key(&id)
    }
}

/// The name of each venue's folder: its dialect, with its number when an earlier venue has the same.
pub(super) fn names(params: &EngineParams) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, venue) in params.venues.iter().enumerate() {
        let taken = names.contains(&venue.dialect);
        names.push(if taken { format!("{}-{index}", venue.dialect) } else { venue.dialect.clone() });
    }
    names
}

/// Holds the record against the books of a venue in `dir`.
pub(super) fn compare(
    record: &Record<'_>,
    venue: usize,
    dir: &Path,
    findings: &mut Findings,
) -> Result<LedgerReport, LedgerError> {
    let before = findings.count;
    let mut side = Comparison {
        record,
        venue,
        name: &record.names[venue],
        report: LedgerReport { venue: record.names[venue].clone(), ..LedgerReport::default() },
        late: 0,
        findings,
    };
    side.orders(lines(dir, "orders.ndjson")?);
    side.fills(lines(dir, "fills.ndjson")?);
    let funding: Vec<Funding> = lines(dir, "funding.ndjson")?;
    side.report.funding = funding.len() as u64;
    let balances: Balances = object(dir, "balances.json")?;
    side.balances(&balances, &funding);
    let Comparison { mut report, .. } = side;
    report.equal = findings.count == before;
    Ok(report)
}

struct Comparison<'a> {
    record: &'a Record<'a>,
    venue: usize,
    name: &'a str,
    report: LedgerReport,
    /// Fills that the record does not reach: sums cannot be compared then.
    late: u64,
    findings: &'a mut Findings,
}

impl Comparison<'_> {
    fn found(&mut self, rule: &'static str, at: (Seq, Nanos), subject: String, detail: String) {
        let subject = format!("{} {subject}", self.name);
        self.findings.add("ledger", rule, at, subject, detail);
    }

    fn is_late(&self, time_ns: &str) -> bool {
        time(time_ns) > self.record.end.wall - ON_ITS_WAY
    }

    /// It happened when the record had ended; a stretch of a run ends at any moment (clocks differ).
    fn is_behind(&self, time: Nanos) -> bool {
        let margin = if self.record.begins.is_some() { ON_ITS_WAY } else { 0 };
        time > self.record.end.wall - margin
    }

    fn symbol(&self, listing: u16) -> &str {
        self.record.params.listings.get(usize::from(listing)).map_or("?", |row| row.symbol.as_str())
    }

    fn orders(&mut self, theirs: Vec<TheirOrder>) {
        let mut of_id: BTreeMap<ClientId, Vec<TheirOrder>> = BTreeMap::new();
        for order in theirs {
            self.report.orders += 1;
            // What is not named as we name orders is the venue's own: its fills show as strays.
            if let Some(id) = client_id(&order.client_id) {
                of_id.entry(id).or_default().push(order);
            }
        }
        let (record, venue) = (self.record, self.venue);
        for (id, row) in record.book.orders.iter().filter(|(_, row)| row.spec.venue.index() == venue) {
            let mine = of_id.remove(id).unwrap_or_default();
            self.order(*id, row, &mine);
        }
        for (id, rows) in of_id {
            // Other runs on the same account are none of this record's.
            if id.epoch() != record.params.boot_epoch {
                continue;
            }
            let Some(row) = rows.first() else { continue };
            if record.is_over(id) {
                self.report.before += 1;
                continue;
            }
            if self.is_behind(time(&row.created_ns)) {
                self.report.on_their_way += 1;
                continue;
            }
            let detail = format!(
                "{} {} {} at {} stands in the venue's books only",
                row.side, row.qty, row.symbol, row.price
            );
            self.found("ledger_order_unknown", (Seq(0), 0), format!("order {id} ({})", row.order_id), detail);
        }
    }

    fn order(&mut self, id: ClientId, row: &Row, theirs: &[TheirOrder]) {
        let at = (row.seq, row.at.wall);
        let taken = theirs.iter().find(|order| order.status != "rejected");
        let Some(other) = taken.or(theirs.first()) else {
            let accepted = row.filled > Money::ZERO
                || matches!(row.state, Some(OrderState::Filled | OrderState::Canceled | OrderState::Expired));
            if accepted {
                let detail =
                    format!("{:?} with {} filled in the record, unknown to the venue", row.state, row.filled);
                self.found("ledger_order_missing", at, format!("order {id}"), detail);
            } else if matches!(row.fate, Fate::Sent | Fate::Unknown) {
                self.report.never_accepted += 1;
            }
            return;
        };
        if matches!(row.fate, Fate::Refused | Fate::Denied) {
            let detail = format!("{:?} in the record, {} at the venue", row.fate, other.status);
            return self.found("ledger_order_differs", at, format!("order {id}"), detail);
        }
        if other.status == "rejected" {
            self.report.orders_equal += 1;
            return;
        }
        let side = side_text(row.spec.side);
        let symbol = self.symbol(row.spec.instrument.0).to_owned();
        let late = self.is_late(&other.updated_ns);
        let (theirs_ended, ours_ended) = (
            !matches!(other.status.as_str(), "new" | "partially_filled"),
            row.state.is_some_and(OrderState::is_terminal),
        );
        // A venue makes a reduction that is larger than the position as large as the position.
        let is_cut = row.spec.reduce_only && (other.filled..row.qty).contains(&other.qty);
        let figures = [
            ("symbol", symbol, other.symbol.clone(), true),
            ("side", side.to_owned(), other.side.clone(), true),
            ("quantity", row.qty.to_string(), other.qty.to_string(), !is_cut),
            ("price", row.price.to_string(), other.price.to_string(), other.r#type == "limit"),
            ("reduce-only", row.spec.reduce_only.to_string(), other.reduce_only.to_string(), true),
            ("filled", row.filled.to_string(), other.filled.to_string(), !late),
            ("ended", ours_ended.to_string(), theirs_ended.to_string(), !late),
        ];
        let apart: Vec<String> = figures
            .iter()
            .filter(|(_, ours, theirs, judged)| *judged && ours != theirs)
            .map(|(what, ours, theirs, _)| format!("{what} {ours}, at the venue {theirs}"))
            .collect();
        if apart.is_empty() {
            self.report.orders_equal += 1;
        } else {
            self.found("ledger_order_differs", at, format!("order {id}"), apart.join("; "));
        }
    }

    /// Pairs fills by their trade id; where the venue's are no numbers (ours are derived from them then, and none
    /// is the same), by order, side, quantity and price.
    fn fills(&mut self, theirs: Vec<TheirFill>) {
        let (record, venue) = (self.record, self.venue);
        self.report.fills = theirs.len() as u64;
        let mut ours: Vec<&FillRow> =
            record.book.fills.iter().flatten().filter(|row| row.venue.index() == venue).collect();
        let boot = record.params.boot_epoch;
        let rest = |fill: &TheirFill| fill.order().is_none_or(|id| id.epoch() == boot);
        let theirs: Vec<TheirFill> = theirs.into_iter().filter(rest).collect();
        let by_id = |row: &FillRow, fill: &TheirFill| fill.trade_id == row.trade_id.to_string();
        let by_figures = |row: &FillRow, fill: &TheirFill| {
            (row.qty, row.price, side_text(row.side)) == (fill.qty, fill.price, fill.side.as_str())
        };
        let before = ours.len();
        let mut left = self.pair(&mut ours, theirs, &by_id);
        if ours.len() == before {
            left = self.pair(&mut ours, left, &by_figures);
        }
        for fill in self.without_earlier(left) {
            if self.is_late(&fill.time_ns) {
                (self.report.on_their_way, self.late) = (self.report.on_their_way + 1, self.late + 1);
                continue;
            }
            let TheirFill { side, qty, symbol, price, .. } = &fill;
            let detail = format!("{side} {qty} {symbol} at {price} stands in the venue's books only");
            self.found("ledger_fill_missing", (Seq(0), 0), fill.subject(), detail);
        }
        for row in ours {
            let symbol = self.symbol(row.instrument.0).to_owned();
            let side = side_text(row.side);
            let detail = format!("{side} {} {symbol} at {} stands in the record only", row.qty, row.price);
            let subject = format!("fill {} of order {}", row.trade_id, row.order);
            self.found("ledger_fill_unknown", (row.seq, row.at), subject, detail);
        }
    }

    /// Without the fills that the record need not have, because it begins later: of orders that had ended there, what was
    /// filled of those under way, and what is none of our orders' up to that moment (clocks differ).
    fn without_earlier(&mut self, mut left: Vec<TheirFill>) -> Vec<TheirFill> {
        let record = self.record;
        let Some(begins) = record.begins else { return left };
        left.sort_by_key(|fill| time(&fill.time_ns));
        let mut booked: BTreeMap<ClientId, Money> = BTreeMap::new();
        let count = left.len();
        left.retain(|fill| {
            let Some(id) = fill.order() else { return time(&fill.time_ns) > begins.wall + ON_ITS_WAY };
            let Some(before) = record.book.orders.get(&id).and_then(|row| row.before) else {
                return !record.is_over(id);
            };
            let filled = booked.entry(id).or_insert(Money::ZERO);
            *filled += fill.qty;
            *filled > before
        });
        self.report.before += (count - left.len()) as u64;
        left
    }

    /// Takes the pairs out of both sides and compares them; what is left of theirs.
    fn pair(
        &mut self,
        ours: &mut Vec<&FillRow>,
        theirs: Vec<TheirFill>,
        same: &dyn Fn(&FillRow, &TheirFill) -> bool,
    ) -> Vec<TheirFill> {
        let mut of_order: BTreeMap<ClientId, Vec<&FillRow>> = BTreeMap::new();
        for row in ours.drain(..) {
            of_order.entry(row.order).or_default().push(row);
        }
        let mut left = Vec::new();
        for fill in theirs {
            let rows = of_order.get_mut(&fill.order().unwrap_or(ClientId::NONE));
            let found = rows.and_then(|rows| {
                let symbol = |row: &&FillRow| self.symbol(row.instrument.0) == fill.symbol;
                let at = rows.iter().position(|row| symbol(row) && same(row, &fill))?;
                Some(rows.remove(at))
            });
            match found {
                Some(row) => self.fill(row, &fill),
                None => left.push(fill),
            }
        }
        ours.extend(of_order.into_values().flatten());
        left
    }

    fn fill(&mut self, row: &FillRow, fill: &TheirFill) {
        let figures = [
            ("side", side_text(row.side).to_owned(), fill.side.clone()),
            ("quantity", row.qty.to_string(), fill.qty.to_string()),
            ("price", row.price.to_string(), fill.price.to_string()),
            ("fee", row.fee.to_string(), fill.fee.to_string()),
        ];
        let apart = figures.iter().filter(|(_, ours, theirs)| ours != theirs);
        let apart: Vec<String> =
            apart.map(|(what, ours, theirs)| format!("{what} {ours}, at the venue {theirs}")).collect();
        if apart.is_empty() {
            self.report.fills_equal += 1;
        } else {
            self.found("ledger_fill_differs", (row.seq, row.at), fill.subject(), apart.join("; "));
        }
    }

    fn balances(&mut self, theirs: &Balances, funding: &[Funding]) {
        if self.late > 0 {
            return; // what is on its way is in their sums
        }
        let (record, venue) = (self.record, self.venue);
        // The first account is the market's own.
        let client = theirs.accounts.iter().skip(1).filter(|row| !row.account.is_empty());
        let Some(account) = client.max_by_key(|row| row.positions.len()) else { return };
        for listing in record.params.listings.iter().filter(|row| row.venue.index() == venue) {
            let id = listing.id.0;
            let held = record.instruments.get(&id).map_or(Money::ZERO, |instrument| {
                Money::from_num(instrument.qty_num(Qty(record.books.qty(id))))
            });
            let symbol = listing.symbol.as_str();
            let stated =
                account.positions.iter().find(|row| row.symbol == symbol).map_or(Money::ZERO, |row| row.qty);
            if held != stated {
                let detail = format!("{held} by the fills of the record, {stated} in the venue's books");
                self.found("ledger_position", (Seq(0), 0), symbol.to_owned(), detail);
            }
        }
        self.charges(account, funding);
        if funding.last().is_some_and(|row| self.is_behind(time(&row.time_ns))) {
            return; // what was paid behind the record is in their wallet
        }
        let name = &record.names[venue];
        for row in record.money.iter().filter(|row| row.venue == *name && row.complete) {
            // A simulated account has one wallet: another currency of ours is nothing that it knows.
            let Some(closing) = row.closing.filter(|_| row.verdict != Verdict::PositionBefore) else {
                continue;
            };
            let unit = 10i128.pow(18u32.saturating_sub(row.decimals));
            if (closing - account.wallet).0.abs() >= unit {
                let detail =
                    format!("{closing} as it was stated last, {} in the venue's books", account.wallet);
                self.found("ledger_wallet", (Seq(0), 0), row.currency.clone(), detail);
            }
        }
    }
}

impl Comparison<'_> {
    /// Sums of fees and funding. Of a part of a run: its funding; fees were compared with each fill.
    fn charges(&mut self, account: &AccountRow, funding: &[Funding]) {
        if self.record.follows {
            return;
        }
        let (fees, paid) = self.record.books.charges(self.venue);
        let Some(begins) = self.record.begins else {
            if fees != account.fees {
                let detail = format!("{fees} in the record, {} in the venue's books", account.fees);
                self.found("ledger_fees", (Seq(0), 0), "fees".into(), detail);
            }
            let sum = funding.iter().fold(Money::ZERO, |sum, row| sum + row.amount);
            if paid != account.funding || paid != sum {
                let detail = format!("{paid} in the record, {} in the venue's books", account.funding);
                self.found("ledger_funding", (Seq(0), 0), "funding".into(), detail);
            }
            return;
        };
        let first = funding.iter().take_while(|row| time(&row.time_ns) <= begins.wall + ON_ITS_WAY).count();
        let last = funding.iter().rev().take_while(|row| self.is_late(&row.time_ns)).count();
        if !adds_up(funding, paid, first, last) {
            let inside = funding.iter().filter(|row| time(&row.time_ns) > begins.wall);
            let sum = inside.fold(Money::ZERO, |sum, row| sum + row.amount);
            let detail = format!("{paid} in the record, {sum} in the venue's books since it begins");
            self.found("ledger_funding", (Seq(0), 0), "funding".into(), detail);
        }
    }
}

/// Whether payments amount to `paid` without some of the `first`, which may lie before the record, and some of the `last`,
/// which may lie behind it.
fn adds_up(rows: &[Funding], paid: Money, first: usize, last: usize) -> bool {
    let mut sums = vec![Money::ZERO];
    for row in rows {
        sums.push(sums[sums.len() - 1] + row.amount);
    }
    let ends = rows.len() - last..=rows.len();
    ends.into_iter().any(|to| (0..=first.min(to)).any(|from| sums[to] - sums[from] == paid))
}

/// Wall time, ns; 0 where it is not stated.
fn time(text: &str) -> Nanos {
    text.parse().unwrap_or(0)
}

impl TheirFill {
    /// The order of ours that it belongs to.
    fn order(&self) -> Option<ClientId> {
        self.client_id.as_deref().and_then(client_id)
    }

    fn subject(&self) -> String {
        format!("fill {} of order {}", self.trade_id, self.order().unwrap_or(ClientId::NONE))
    }
}

fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// Our id as the venue has it, with or without `0x`.
fn client_id(text: &str) -> Option<ClientId> {
    ClientId::parse(text.trim_start_matches("0x").as_bytes())
}

/// One JSON object of a file.
pub(super) fn object<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T, LedgerError> {
    let path = dir.join(name);
    let fail = |why: String| LedgerError { path: path.clone(), why };
    let text = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))
}

/// One JSON object of each line of a file.
fn lines<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Vec<T>, LedgerError> {
    let path = dir.join(name);
    let fail = |why: String| LedgerError { path: path.clone(), why };
    let file = File::open(&path).map_err(|error| fail(error.to_string()))?;
    let mut rows = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| fail(error.to_string()))?;
        if !line.trim().is_empty() {
            let row = serde_json::from_str(&line);
            rows.push(row.map_err(|error| fail(format!("line {}: {error}", number + 1)))?);
        }
    }
    Ok(rows)
}
