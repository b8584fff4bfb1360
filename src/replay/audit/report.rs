//! The report of an audit: stable keys, documented in `docs/AUDIT.md`, and its text.

use super::begin::PartReport;
use super::carried::{CarriedRow, CarryReport, CarryVerdict};
use super::finding::Finding;
use super::frames::FrameReport;
use super::hedging::HedgingReport;
use super::ledger::LedgerReport;
use super::money::{MoneyRow, Verdict};
use super::orders::OrderReport;
use super::sequence::SequenceReport;
use crate::domain::calendar::shown;
use crate::domain::time::SECOND;
use crate::replay::plain::duration;
use serde::Serialize;
use std::fmt;

/// Limits in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LimitReport {
    /// Baskets that were approved, each order of them held against every limit.
    pub baskets: u64,
    /// Broken rules.
    pub violations: u64,
    /// None.
    pub clean: bool,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The run.
    pub run_id: String,
    /// The version of the rules that wrote the journal.
    pub logic_version: u32,
    /// Where the journal begins; `None` = with its run.
    pub part: Option<PartReport>,
    /// What it took over from the run before, where it says so.
    pub carried: Option<CarryReport>,
    /// Numbers, damage, clocks.
    pub sequence: SequenceReport,
    /// Orders from approval to end.
    pub orders: OrderReport,
    /// Limits.
    pub limits: LimitReport,
    /// Unhedged legs.
    pub hedging: HedgingReport,
    /// Balances, per venue and currency.
    pub money: Vec<MoneyRow>,
    /// The venues' books, where they were given.
    pub ledgers: Vec<LedgerReport>,
    /// The venues' frames, where their books were given.
    pub frames: Vec<FrameReport>,
    /// What cannot be told, and why.
    pub notes: Vec<String>,
    /// Findings in all.
    pub findings: u64,
    /// The first 1000 of them.
    pub first: Vec<Finding>,
}

impl AuditReport {
    /// Nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings == 0
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SequenceReport { first, inputs, outputs, closed, torn, clock_steps, .. } = &self.sequence;
        let seconds = (self.sequence.ended_ns - self.sequence.begun_ns) / SECOND;
        let end = if *closed { "closed in order" } else { "not closed: it crashed or still writes" };
        writeln!(f, "run {}, {seconds} s, {end}", self.run_id)?;
        self.part.iter().try_for_each(|part| show_part(part, f))?;
        self.carried.iter().try_for_each(|carried| show_carried(carried, f))?;
        let last = first + inputs - 1;
        write!(f, "sequence  {}  inputs {first}..{last}, {outputs} outputs", word(self.sequence.clean))?;
        writeln!(f, ", {clock_steps} clock steps{}", if torn.is_empty() { "" } else { ", a torn tail" })?;
        let OrderReport { approved, sent, perhaps_sent, refused, denied, without_fate, under_way, .. } =
            self.orders;
        let before = if under_way > 0 { format!(", {under_way} under way before") } else { String::new() };
        writeln!(
            f,
            "orders    {}  {approved} approved{before}: {sent} sent, {perhaps_sent} perhaps sent, {refused} refused at the \
             gate, {denied} denied, {without_fate} on their way at the end",
            word(self.orders.clean)
        )?;
        let OrderReport { filled, canceled, rejected, open_at_end, fills, strays, .. } = self.orders;
        writeln!(
            f,
            "              {filled} filled, {canceled} cancelled, {rejected} rejected, {open_at_end} open at the \
             end; {fills} fills, {strays} that are not ours"
        )?;
        let LimitReport { baskets, violations, clean } = self.limits;
        writeln!(f, "limits    {}  {violations} broken by {baskets} baskets", word(clean))?;
        self.show_hedging(f)?;
        self.money.iter().try_for_each(|row| show_money(row, f))?;
        self.ledgers.iter().try_for_each(|row| show_ledger(row, f))?;
        self.frames.iter().try_for_each(|row| show_frames(row, f))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        self.first.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        match self.findings {
            0 => write!(f, "nothing found"),
            count => write!(f, "{count} findings"),
        }
    }
}

impl AuditReport {
    fn show_hedging(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HedgingReport { trades, largest, longest_ns, notional, time_ns, open, clean, .. } = &self.hedging;
        writeln!(
            f,
            "hedging   {}  {trades} trades; unhedged at most {} (trade {}, input {}) and for {} (trade {}, input {})",
            word(*clean),
            largest.value,
            largest.trade,
            largest.seq,
            duration(longest_ns.value),
            longest_ns.trade,
            longest_ns.seq,
        )?;
        writeln!(
            f,
            "              median, 90 %, 99 % of trades: {}, {}, {} and {}, {}, {}; {open} open at the end",
            notional.p50,
            notional.p90,
            notional.p99,
            duration(time_ns.p50),
            duration(time_ns.p90),
            duration(time_ns.p99),
        )
    }
}

fn show_carried(carried: &CarryReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let CarryReport { run, ending, positions, trades, orders, day_result, result, .. } = carried;
    let verdict = match (run.is_empty(), carried.verdict) {
        (true, _) => "ok",
        (false, CarryVerdict::Equal) => "ok, as that ended",
        (false, CarryVerdict::Differs) => "DIFFERS",
        (false, CarryVerdict::NotFound) => "not compared: its journal is not here (--follow DIR)",
        (false, CarryVerdict::NotComparable) => "not comparable",
    };
    let of = if run.is_empty() { "none" } else { run };
    writeln!(
        f,
        "taken over {verdict}  from run {of} ({ending:?}): {} positions, {trades} open trades, {orders} orders, \
         {day_result} of the day, {result} of all runs",
        positions.len()
    )?;
    show_positions(positions, f)
}

fn show_part(part: &PartReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let PartReport { first, time_ns, positions, trades, orders } = part;
    writeln!(
        f,
        "begins    at input {first}, {}: {} positions, {trades} open trades and {orders} orders under way there, as its \
         state says",
        shown(*time_ns),
        positions.len()
    )?;
    show_positions(positions, f)
}

fn show_positions(rows: &[CarriedRow], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    rows.iter().try_for_each(|CarriedRow { venue, symbol, qty, cost }| {
        writeln!(f, "              {qty} {symbol} at {venue}, cost {cost}")
    })
}

fn show_money(row: &MoneyRow, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let MoneyRow { venue, currency, opening, closing, .. } = row;
    let verdict = match row.verdict {
        Verdict::Exact => "ok",
        Verdict::Rounded => "ok (to the venue's last digit)",
        Verdict::Differs => "DIFFERS",
        Verdict::PositionBefore => "not provable: a position of before the run",
        Verdict::NotStated => "not provable: no statement after the last flow",
    };
    let stated =
        |amount: Option<crate::domain::money::Money>| amount.map_or("?".to_owned(), |a| a.to_string());
    writeln!(f, "money     {verdict}  {venue} {currency}: {} → {}", stated(*opening), stated(*closing))?;
    let MoneyRow { spread, funding, fees, hedge_cost, explained, difference, .. } = row;
    writeln!(
        f,
        "              spread {spread} + funding {funding} - fees {fees} - hedge cost {hedge_cost} = {explained}; \
         difference {difference}"
    )?;
    if row.explained_later > 0 {
        let MoneyRow { statements, explained_later, .. } = row;
        writeln!(
            f,
            "              {explained_later} of {statements} statements explained by what was read later"
        )?;
    }
    if row.carried.0 != 0 || row.revaluation.0 != 0 {
        let MoneyRow { carried, revaluation, .. } = row;
        writeln!(f, "              carried in open positions {carried}, revaluation {revaluation}")?;
    }
    Ok(())
}

fn show_ledger(row: &LedgerReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let LedgerReport { venue, orders, fills, funding, equal, never_accepted, on_their_way, before, .. } = row;
    write!(
        f,
        "ledger    {}  {venue}: {orders} orders, {fills} fills, {funding} funding payments; {never_accepted} orders \
         never accepted, {on_their_way} on their way",
        word(*equal)
    )?;
    writeln!(f, "{}", if *before > 0 { format!(", {before} from before") } else { String::new() })
}

fn show_frames(row: &FrameReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let FrameReport { venue, connections, frames, equal, cut, blanked, unproven, before, .. } = row;
    let clean = equal + cut + blanked + unproven >= *connections;
    write!(
        f,
        "frames    {}  {venue}: {frames} on {connections} connections: {equal} as sent, {cut} as sent until cut, \
         {blanked} with a blanked secret, {unproven} not provable",
        word(clean)
    )?;
    writeln!(
        f,
        "{}",
        if *before > 0 { format!("; {before} from before, not compared") } else { String::new() }
    )
}

fn word(clean: bool) -> &'static str {
    if clean { "ok" } else { "FOUND" }
}
