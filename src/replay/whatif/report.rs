//! What a counterfactual says: stable keys for machines, the same in words for people.

use super::params::ConfigChange;
use super::standstill::WayReasons;
use super::trades::{TradeCounts, TradeRow};
use crate::core::position::Totals;
use crate::domain::money::{MONEY_UNIT, Money};
use crate::domain::number::Num;
use crate::domain::time::{MILLI, Nanos};
use crate::replay::verify::Logic;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

/// Money below this is not told apart when errors are squared: 10⁻⁸.
const ROUNDED: i128 = 10_000_000_000;

/// What the text does not show of money: less than 10⁻⁴.
const SHOWN: i128 = MONEY_UNIT / 10_000;

/// Trades that the text lists.
const ROWS_MAX: usize = 40;

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parting {
    /// The recorded input.
    pub seq: u64,
    /// When, UTC.
    pub at: String,
    /// Stage whose output is the first to differ.
    pub stage: String,
    /// Path of the first field that differs.
    pub field: String,
    /// With the recorded configuration.
    pub old: String,
    /// With the new one.
    pub new: String,
    /// Why one of both does not make the basket that the other makes: its denial, or what the scanner waits for.
    pub why: Option<String>,
}

/// What the new configuration shares with the recorded run: the inputs before the divergence, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClosedLoop {
    /// The last input of it.
    pub to_seq: u64,
    /// Approvals, denials and messages from the first input that counts: each was made by both, to the last byte that
    /// reaches a venue.
    pub outputs: u64,
    /// Counts of entries, orders and fills.
    #[serde(flatten)]
    pub counts: TradeCounts,
    /// What it had brought by then, quote currency; what was open, at the mids.
    pub net: Money,
}

/// The new configuration at one latency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtLatency {
    /// From the egress gate to the imagined matching engine, ns.
    pub latency_ns: Nanos,
    /// Trades of which a leg filled.
    pub trades: u64,
    /// What remains, quote currency.
    pub net: Money,
    /// Always: latencies play a part only after the divergence.
    pub open_loop: bool,
}

/// What a run brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunFigures {
    /// Counts of entries, orders and fills.
    #[serde(flatten)]
    pub counts: TradeCounts,
    /// Trades of which a leg filled, opened by an input that counts.
    pub trades: u64,
    /// Trades that were open before the first of these: all of them belong to every run.
    pub carried: u64,
    /// Of both not flat at the end.
    pub open_at_end: u64,
    /// Profit of what was closed, quote currency.
    pub realised: Money,
    /// Profit of what is open, at the last mid.
    pub unrealised: Money,
    /// Fees paid.
    pub fees: Money,
    /// Funding received; none after the divergence.
    pub funding: Money,
    /// What remains.
    pub net: Money,
    /// `net` is known to within this; zero for what was recorded, `None` where nothing tells.
    pub uncertainty: Option<Money>,
    /// Time with unequal legs, summed over trades, ns.
    pub unhedged_ns: Nanos,
    /// The longest stretch of it in one trade, ns.
    pub unhedged_longest_ns: Nanos,
    /// Some of it comes after the divergence: executed by the model, and answered by no venue and no market.
    pub open_loop: bool,
    /// Trades of which something comes after the divergence.
    pub open_loop_trades: u64,
    /// How much of `net` comes after the divergence.
    pub open_loop_net: Money,
}

impl RunFigures {
    /// Of these sums, and nothing else yet.
    pub fn of(totals: &Totals) -> Self {
        let Totals { realised, unrealised, fees, funding } = *totals;
        Self { realised, unrealised, fees, funding, net: totals.net(), ..Self::default() }
    }
}

/// How the model of execution, with the recorded configuration, departs after the divergence from what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelError {
    /// Modelled less recorded net result.
    pub net: Money,
    /// Trades that both have (same pair and direction, held at the same time).
    pub matched: u64,
    /// Trades that only the record has.
    pub only_recorded: u64,
    /// Trades that only the model has.
    pub only_modelled: u64,
    /// Mean of modelled less recorded result of matched trades; `None` without any.
    pub per_trade: Option<Money>,
    /// Standard deviation of that; `None` with fewer than two.
    pub per_trade_deviation: Option<Money>,
    /// Trades of the shorter of both lists: what the error of the whole is spread over.
    #[serde(skip)]
    spread_over: i128,
    #[serde(skip)]
    known: bool,
}

impl ModelError {
    /// From the results of matched trades and the numbers of trades of both runs.
    pub fn new(net: Money, pairs: &[(Money, Money)], recorded: usize, modelled: usize) -> Self {
        let errors: Vec<i128> = pairs.iter().map(|(recorded, modelled)| (*modelled - *recorded).0).collect();
        let count = errors.len() as i128;
        let mean = (count > 0).then(|| errors.iter().sum::<i128>() / count);
        let deviation = mean.filter(|_| count > 1).map(|mean| {
            // Rounded, so that squares fit.
            let square = |error: &i128| ((error - mean) / ROUNDED).saturating_pow(2);
            let sum = errors.iter().map(square).fold(0i128, i128::saturating_add);
            Money((sum / (count - 1)).isqrt() * ROUNDED)
        });
        Self {
            net,
            matched: count as u64,
            only_recorded: (recorded - errors.len()) as u64,
            only_modelled: (modelled - errors.len()) as u64,
            per_trade: mean.map(Money),
            per_trade_deviation: deviation,
            spread_over: recorded.min(modelled).max(1) as i128,
            known: recorded + modelled > 0,
        }
    }

    /// What the result of `trades` modelled trades is known to within: the model's error on as many, and twice the
    /// deviation of single trades. `None` where no trade tells how good the model is.
    pub fn of(&self, trades: usize) -> Option<Money> {
        if trades == 0 {
            return Some(Money::ZERO);
        }
        if !self.known {
            return None;
        }
        let trades = trades as i128;
        // Rounded up: never less than the error that was found.
        let bias = (self.net.abs().0.saturating_mul(trades) + self.spread_over - 1) / self.spread_over;
        let deviation = self.per_trade_deviation.unwrap_or(Money::ZERO).0 / ROUNDED;
        let spread = deviation.saturating_pow(2).saturating_mul(4 * trades).isqrt() + 1;
        Some(Money(bias + spread.saturating_mul(ROUNDED)))
    }
}

/// What becomes of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the new configuration makes it.
    Appears,
    /// Only the recorded configuration makes it.
    Vanishes,
    /// Both make it, not in the same way.
    Changes,
}

/// A trade that the new configuration makes otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeChange {
    /// What becomes of it.
    pub change: Change,
    /// It began before the divergence, and ends otherwise; `carried` in its row: before the first input that counts.
    pub opened_before: bool,
    /// What differs comes after the divergence: what the market would have made of it is not recorded.
    pub open_loop: bool,
    /// With the recorded configuration.
    pub old: Option<TradeRow>,
    /// With the new one.
    pub new: Option<TradeRow>,
}

/// New less old configuration, both modelled in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of the net result.
    pub net: Money,
    /// It is known to within this; `None` where nothing tells.
    pub uncertainty: Option<Money>,
    /// Of the fees.
    pub fees: Money,
    /// Of the time with unequal legs, ns.
    pub unhedged_ns: Nanos,
}

/// The report of a counterfactual.
#[derive(Clone, Debug, Serialize)]
pub struct WhatIf {
    /// Directory of the journal.
    pub journal: String,
    /// Whose rules recorded it, and whose were run.
    pub logic: Logic,
    /// The recorded run executed on paper, too.
    pub recorded_on_paper: bool,
    /// First input whose trades count.
    pub from_seq: u64,
    /// Last input.
    pub to_seq: u64,
    /// When that was, UTC.
    pub from: String,
    /// When that was, UTC.
    pub to: String,
    /// From the egress gate to the imagined matching engine, ns.
    pub latency_ns: Nanos,
    /// What the model takes for granted.
    pub assumptions: Vec<String>,
    /// What else a reader must know.
    pub notes: Vec<String>,
    /// Parameters that differ.
    pub config: Vec<ConfigChange>,
    /// Where old and new part; `None` = never, and nothing is modelled.
    pub divergence: Option<Parting>,
    /// Up to there: as recorded.
    pub closed_loop: ClosedLoop,
    /// As it was.
    pub recorded: RunFigures,
    /// The recorded configuration: as recorded up to the divergence, modelled after it.
    pub old_modelled: RunFigures,
    /// The new configuration, likewise.
    pub new_modelled: RunFigures,
    /// What risk and route denied the new configuration, by reason.
    pub new_denials: BTreeMap<&'static str, u64>,
    /// What every direction waited for with it, looked at every `looked_every_ns`.
    pub new_why_not: Vec<WayReasons>,
    /// Recorded time between two looks, ns.
    pub looked_every_ns: Nanos,
    /// How good the model is, after the divergence.
    pub model_error: ModelError,
    /// New less old.
    pub difference: Difference,
    /// The new configuration at half, once and twice the latency.
    pub latencies: Vec<AtLatency>,
    /// Trades that both configurations make in the same way.
    pub unchanged: u64,
    /// The others, by their time.
    pub trades: Vec<TradeChange>,
}

/// As many decimals as a reader needs.
pub fn short(money: Money) -> String {
    rounded(money, SHOWN / 2)
}

/// Rounded to [`SHOWN`], `up` being what is added before the rest is cut off.
fn rounded(money: Money, up: i128) -> String {
    let rounded = (money.abs().0.saturating_add(up)) / SHOWN * SHOWN;
    Money(if money.0 < 0 { -rounded } else { rounded }).to_string()
}

/// `net` with what it is known to within, which is rounded up.
fn within(net: Money, uncertainty: Option<Money>) -> String {
    let net = short(net);
    uncertainty.map_or_else(
        || format!("{net} (± not known)"),
        |within| format!("{net} ± {}", rounded(within, SHOWN - 1)),
    )
}

/// Rounded to milliseconds.
fn seconds(ns: Nanos) -> Num {
    Num::new((ns + MILLI / 2) / MILLI, 3)
}

/// Reasons with their counts, the most frequent first.
fn counted<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut sums = BTreeMap::<&str, u64>::new();
    counts.for_each(|(why, count)| *sums.entry(why).or_default() += count);
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, count)| Reverse(*count));
    let words: Vec<String> = sums.iter().map(|(why, count)| format!("{why} {count}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

impl fmt::Display for TradeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.change {
            Change::Appears => "appears ",
            Change::Vanishes => "vanishes",
            Change::Changes => "changes ",
        };
        let Some(row) = self.new.as_ref().or(self.old.as_ref()) else { return Ok(()) };
        write!(
            f,
            "{what} {} {}: buys {}, sells {}, edge {} bps: ",
            row.opened, row.pair, row.buy, row.sell, row.entry_edge_bps
        )?;
        f.write_str(if row.carried { "open before, from here on " } else { "" })?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{} → {}", short(old.result), short(new.result))?,
            _ => write!(f, "{}", short(row.result))?,
        }
        f.write_str(if self.open_loop { "  (open loop)" } else { "" })
    }
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(warning) = self.logic.warning() {
            writeln!(f, "warning: {warning}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "{}: inputs {} to {} ({} to {})",
            self.journal, self.from_seq, self.to_seq, self.from, self.to
        )?;
        writeln!(f, "\nconfiguration:")?;
        for change in &self.config {
            writeln!(f, "  {}: {} → {}", change.key, change.old, change.new)?;
        }
        if self.config.is_empty() {
            writeln!(f, "  the same")?;
        }
        match &self.divergence {
            Some(at) => {
                writeln!(f, "\nfirst divergence: input {} at {}, {}, {}", at.seq, at.at, at.stage, at.field)?;
                writeln!(f, "  old: {}\n  new: {}", at.old, at.new)?;
                if let Some(why) = &at.why {
                    writeln!(f, "  why: {why}")?;
                }
                writeln!(f, "  what follows is open-loop: no venue and no market has answered it")?;
            }
            None => writeln!(f, "\nno divergence: both configurations make the same of every input")?,
        }
        let ClosedLoop { to_seq, outputs, counts, net } = &self.closed_loop;
        writeln!(
            f,
            "closed loop, as recorded: inputs {} to {to_seq}: {outputs} outputs the same, {} entries, {} orders, {} fills, \
             net {}",
            self.from_seq,
            counts.entries,
            counts.orders,
            counts.fills,
            short(*net)
        )?;
        writeln!(f)?;
        let runs = [
            ("recorded", &self.recorded),
            ("old, modelled", &self.old_modelled),
            ("new, modelled", &self.new_modelled),
        ];
        for (name, run) in runs {
            writeln!(
                f,
                "{name:<14} trades {:>5}{} ({} open), orders {:>6}, fills {:>6}{}, fees {}, funding {}, unhedged {} s \
                 (longest {})",
                run.trades,
                if run.carried > 0 { format!(" and {} from before", run.carried) } else { String::new() },
                run.open_at_end,
                run.counts.orders,
                run.counts.fills,
                match run.counts.foreign_fills {
                    0 => String::new(),
                    foreign => format!(" and {foreign} not ours"),
                },
                short(run.fees),
                short(run.funding),
                seconds(run.unhedged_ns),
                seconds(run.unhedged_longest_ns)
            )?;
            writeln!(
                f,
                "{:<14} net {}{}",
                "",
                within(run.net, run.uncertainty),
                match run.open_loop {
                    true => format!(
                        "; of it open loop: {} in {} trades",
                        short(run.open_loop_net),
                        run.open_loop_trades
                    ),
                    false => String::new(),
                }
            )?;
        }
        let ways = self.new_why_not.iter().flat_map(|way| way.why_not.iter());
        writeln!(
            f,
            "new, denied:   {}\nnew, waits for: {} (looks at {} directions, every {} ms)",
            counted(self.new_denials.iter().map(|(why, count)| (*why, *count))),
            counted(ways.map(|(why, count)| (*why, *count))),
            self.new_why_not.len(),
            self.looked_every_ns / MILLI
        )?;
        let difference = &self.difference;
        writeln!(
            f,
            "new less old:  net {}, fees {}{}",
            within(difference.net, difference.uncertainty),
            short(difference.fees),
            if self.divergence.is_some() { "  (open loop)" } else { "" }
        )?;
        for row in &self.latencies {
            let latency = Num::new(row.latency_ns, 6);
            writeln!(f, "new, at {latency} ms: net {}, {} trades  (open loop)", short(row.net), row.trades)?;
        }
        let error = &self.model_error;
        writeln!(
            f,
            "the model's own error on the recorded configuration: net {}; {} trades in both, {} only recorded, {} only \
             modelled; per trade {} (deviation {})",
            short(error.net),
            error.matched,
            error.only_recorded,
            error.only_modelled,
            error.per_trade.map_or_else(|| "not known".to_owned(), short),
            error.per_trade_deviation.map_or_else(|| "not known".to_owned(), short),
        )?;
        writeln!(f, "\ntrades: {} unchanged, {} others", self.unchanged, self.trades.len())?;
        for trade in self.trades.iter().take(ROWS_MAX) {
            writeln!(f, "  {trade}")?;
        }
        if let Some(more) = self.trades.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            writeln!(f, "  … {more} more; --json has them all")?;
        }
        writeln!(f, "\nassumed:")?;
        for assumption in &self.assumptions {
            writeln!(f, "  - {assumption}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: &[(i64, i64)]) -> Vec<(Money, Money)> {
        units.iter().map(|(a, b)| (Money::from_units(*a), Money::from_units(*b))).collect()
    }

    #[test]
    fn the_uncertainty_covers_the_error_that_was_found_and_grows_with_the_trades() {
        let error = ModelError::new(Money::from_units(-6), &units(&[(5, 3), (5, 1)]), 3, 2);
        assert_eq!((error.matched, error.only_recorded, error.only_modelled), (2, 1, 0));
        assert_eq!(error.per_trade, Some(Money::from_units(-3)));
        assert!(error.of(2).expect("known") >= Money::from_units(6));
        assert!(error.of(4) > error.of(2));
        assert_eq!(error.of(0), Some(Money::ZERO), "what is not traded is certain");
    }

    #[test]
    fn without_any_trade_nothing_is_known_of_the_model() {
        let error = ModelError::new(Money::ZERO, &[], 0, 0);
        assert_eq!(error.of(1), None);
        // Trades that cannot be matched are an error, too.
        let error = ModelError::new(Money::from_units(2), &[], 0, 1);
        assert!(error.of(1).expect("measured") >= Money::from_units(2));
    }

    #[test]
    fn the_deviation_is_that_of_the_sample() {
        let error = ModelError::new(Money::ZERO, &units(&[(0, 1), (0, 3), (0, 5)]), 3, 3);
        assert_eq!(error.per_trade_deviation, Some(Money::from_units(2)));
    }
}
