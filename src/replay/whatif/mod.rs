//! Counterfactuals: what another configuration would have made of a recorded run.
//!
//! The new configuration hears every recorded input, beside the recorded run (closed loop), for as long as it makes the same
//! of it: the same orders and denials, the same bytes to the venues. Up to there it *is* the recorded run, with its fills. At
//! the first divergence the loop opens: what the record holds of accounts and of messages that came back (frames, replies,
//! denials, fates) is dropped from there on, orders are executed by `core/paper.rs` after a stated latency, and denials and
//! fates are the run's own. Market data, metadata, clock and commands go on as recorded: what decode makes of them in the
//! recorded run, which goes on beside, is what the others are told. What comes after that is labelled open-loop.
//!
//! A record that does not begin with its run ([`super::part`]) is the run from there on: the stages before its first input
//! are those of the recorded run, with the trades that were open and the messages that were on their way.
//!
//! The recorded configuration goes on from the same place in the same way: new less old is then one model with two
//! configurations, and old less recorded is the error of the model. That error and other latencies give the uncertainty.
//! No clock, no socket, no secret.

mod flying;
mod lane;
pub mod params;
pub mod report;
pub mod standstill;
pub mod switch;
pub mod trades;

use super::divergence::compare;
use super::part;
use super::source::{Inputs, ReplayError, RunConfig, read_config};
use super::verify::Logic;
use crate::core::position::Positions;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::{Input, RawInput};
use crate::domain::intent::{Basket, Intent};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::output::Output;
use crate::domain::params::{EngineParams, PaperParams};
use crate::domain::time::{Nanos, Stamp};
use lane::{Act, Lane, LaneError};
use report::{
    AtLatency, Change, ClosedLoop, Difference, ModelError, Parting, RunFigures, TradeChange, WhatIf,
};
use standstill::{LOOK_NS, reason, stop_notes};
use std::path::Path;
use trades::{Followed, TradeRow, row};

/// Decimals of a millisecond in ns.
const MS_SCALE: u8 = 6;

/// What a counterfactual is to be made of.
#[derive(Clone, Debug)]
pub struct Question {
    /// The new parameters, for the venues and listings of the run (see [`params::transplant`]).
    pub params: EngineParams,
    /// How orders are executed on paper after the divergence, with both configurations.
    pub paper: PaperParams,
    /// First input whose trades count, and from which the new parameters hold.
    pub from: Seq,
    /// Last input.
    pub to: Seq,
}

/// Runs the journal in `dir` with another configuration. `progress` gets the number of the input at hand now and then.
///
/// # Errors
/// A journal that cannot be read, a dialect that this build does not have, or a beginning at which the configuration cannot
/// change.
pub fn whatif(
    dir: &Path,
    question: &Question,
    progress: &mut dyn FnMut(Seq, Stamp),
) -> Result<WhatIf, ReplayError> {
    let (manifest, _, config) = read_config(dir)?;
    let start = part::start(dir, &manifest)?;
    let failed = |error| match error {
        LaneError::Dialect(source) => ReplayError::Dialect { dir: dir.to_owned(), source },
        other => ReplayError::Place { dir: dir.to_owned(), why: other.to_string() },
    };
    let begins = start.as_ref().map_or(Seq(1), |start| Seq(start.seq.0 + 1));
    let mut world = World::new(&config, question, begins).map_err(failed)?;
    if let Some(start) = &start {
        world.recorded.enter(dir, start)?;
    }
    let mut inputs = Inputs::open(dir)?;
    while let Some((seq, raw)) = inputs.next()? {
        if seq > question.to {
            break;
        }
        world.input(seq, &raw).map_err(failed)?;
        if seq.0.is_multiple_of(1 << 12) {
            progress(seq, world.now);
        }
    }
    let (last, logic) = (world.last.0, Logic::of(manifest.logic_version));
    let Some(mut report) = world.report(dir, logic) else {
        let why = format!("it ends with input {last}, before input {}", question.from.0);
        return Err(ReplayError::Place { dir: dir.to_owned(), why });
    };
    if begins > Seq(1) {
        report.notes.push(format!(
            "the record begins with input {}: the run is known from there on, and goes on in the state that it had come to",
            begins.0
        ));
    }
    if let Some((expected, next)) = inputs.hole().get() {
        report
            .notes
            .push(format!("the record breaks off: input {expected} is missing, the next one is {next}"));
    }
    Ok(report)
}

/// The recorded run and what stands beside it.
struct World<'a> {
    config: &'a RunConfig,
    question: &'a Question,
    from: Seq,
    recorded: Lane,
    course: Course,
    began_at: Option<Stamp>,
    last: Seq,
    now: Stamp,
}

/// How far the new configuration has come.
enum Course {
    /// Not begun yet.
    Recorded,
    /// It makes what the recorded one makes: so many outputs until now.
    Closed(Box<Lane>, u64),
    /// It has parted.
    Open(Box<Open>),
}

/// After the divergence.
struct Open {
    parting: Parting,
    at: Stamp,
    closed: ClosedLoop,
    /// The recorded configuration.
    old: Lane,
    /// The new one, at the stated latency.
    new: Lane,
    /// The new one at other latencies.
    others: Vec<(Nanos, Lane)>,
}

impl<'a> World<'a> {
    /// For a record whose first input is `begins`.
    fn new(config: &'a RunConfig, question: &'a Question, begins: Seq) -> Result<Self, LaneError> {
        let from = question.from.max(begins);
        Ok(Self {
            config,
            question,
            from,
            recorded: Lane::closed(&config.params, config.trading, from)?,
            course: Course::Recorded,
            began_at: None,
            last: Seq(begins.0 - 1),
            now: Stamp::default(),
        })
    }

    fn input(&mut self, seq: Seq, raw: &RawInput<'_>) -> Result<(), LaneError> {
        if seq >= self.from && matches!(self.course, Course::Recorded) {
            self.begin()?;
        }
        self.recorded.input(seq, raw);
        (self.last, self.now) = (seq, self.recorded.now());
        match &mut self.course {
            Course::Recorded => return Ok(()),
            Course::Closed(new, outputs) => {
                new.input(seq, raw);
                match part((&self.recorded, &self.config.params), (new, &self.question.params)) {
                    None => *outputs += new.acts().len() as u64,
                    Some(parting) => self.open(seq, raw, parting)?,
                }
            }
            Course::Open(open) => {
                let Open { old, new, others, .. } = &mut **open;
                for lane in [old, new].into_iter().chain(others.iter_mut().map(|(_, lane)| lane)) {
                    lane.hear(seq, raw, self.recorded.told());
                }
            }
        }
        if !matches!(raw.input, Input::Config) {
            // The wall is known from the second input on.
            self.began_at.get_or_insert(self.now);
        }
        Ok(())
    }

    /// From now on trades count, and the new configuration holds.
    fn begin(&mut self) -> Result<(), LaneError> {
        let RunConfig { params, trading } = self.config;
        let new = &self.question.params;
        let mut lane = match self.from {
            Seq(1) => Lane::closed(new, *trading, self.from)?,
            _ => self.recorded.switched(params, new, *trading)?,
        };
        self.recorded.begin();
        lane.begin();
        self.course = Course::Closed(Box::new(lane), 0);
        Ok(())
    }

    /// The new configuration has parted from the recorded run with this input.
    fn open(&mut self, seq: Seq, raw: &RawInput<'_>, parting: Parting) -> Result<(), LaneError> {
        let Course::Closed(lane, outputs) = &self.course else { return Ok(()) };
        let (counts, totals) = lane.before();
        let closed = ClosedLoop { to_seq: seq.0 - 1, outputs: *outputs, counts, net: totals.net() };
        let stated = self.question.paper;
        let opened = |from: &Lane, params: &EngineParams, latency_ns| {
            let paper = PaperParams { latency_ns, ..stated };
            let mut lane = from.opened(&on_paper(params, paper), self.config.trading)?;
            lane.loop_back(seq, raw);
            Ok::<_, LaneError>(lane)
        };
        let new = |latency| opened(lane, &self.question.params, latency);
        let others = [stated.latency_ns / 2, stated.latency_ns.saturating_mul(2)];
        let others = others.into_iter().filter(|latency| *latency != stated.latency_ns);
        let open = Open {
            parting: Parting { seq: seq.0, at: calendar::shown(self.now.wall), ..parting },
            at: self.now,
            closed,
            old: opened(&self.recorded, &self.config.params, stated.latency_ns)?,
            new: new(stated.latency_ns)?,
            others: others.map(|latency| Ok((latency, new(latency)?))).collect::<Result<_, LaneError>>()?,
        };
        self.course = Course::Open(Box::new(open));
        self.recorded.tell();
        Ok(())
    }
}

/// The parameters with execution on paper.
fn on_paper(params: &EngineParams, paper: PaperParams) -> EngineParams {
    EngineParams { paper: Some(paper), ..params.clone() }
}

/// Everything of a lane that has ended.
struct Ended<'a> {
    lane: &'a Lane,
    filled: Vec<&'a Followed>,
}

impl Ended<'_> {
    fn net(&self) -> Money {
        self.lane.totals().net()
    }

    /// Its trades of which something came after `at`; none without.
    fn open_loop(&self, parted: Option<(Seq, Stamp)>) -> Vec<&Followed> {
        let Some((seq, at)) = parted else { return Vec::new() };
        let after = |trade: &&&Followed| {
            trade.opened >= seq || trade.closed.is_none_or(|closed| closed.mono >= at.mono)
        };
        self.filled.iter().filter(after).copied().collect()
    }
}

fn ended(lane: &Lane) -> Ended<'_> {
    Ended { lane, filled: lane.log().filled() }
}

impl World<'_> {
    /// `None` when the record ends before the beginning.
    fn report(mut self, dir: &Path, logic: Logic) -> Option<WhatIf> {
        let (config, question, trading) = (self.config, self.question, self.config.trading);
        self.recorded.finish();
        let (parting, parted, closed, latencies) = match &mut self.course {
            Course::Recorded => return None,
            Course::Closed(lane, outputs) => {
                lane.finish();
                let (counts, net) = (lane.log().counts(), lane.totals().net());
                (None, None, ClosedLoop { to_seq: self.last.0, outputs: *outputs, counts, net }, Vec::new())
            }
            Course::Open(open) => {
                let Open { old, new, others, .. } = &mut **open;
                let all = [old, new].into_iter().chain(others.iter_mut().map(|(_, lane)| lane));
                all.for_each(Lane::finish);
                let mut rows: Vec<AtLatency> =
                    open.others.iter().map(|(latency, lane)| AtLatency::of(*latency, lane)).collect();
                rows.push(AtLatency::of(question.paper.latency_ns, &open.new));
                rows.sort_by_key(|row| row.latency_ns);
                let parted = Some((Seq(open.parting.seq), open.at));
                (Some(open.parting.clone()), parted, open.closed.clone(), rows)
            }
        };
        let (old, new) = match &self.course {
            Course::Recorded => return None,
            Course::Closed(new, _) => (&self.recorded, &**new),
            Course::Open(open) => (&open.old, &open.new),
        };
        let [was, old, new] = [&self.recorded, old, new].map(ended);
        let [in_record, in_old, in_new] = [&was, &old, &new].map(|run| run.open_loop(parted));
        let (both, ..) = matched(&in_record, &in_old);
        let results = both.iter().map(|(a, b)| {
            (in_record[*a].result(was.lane.positions()), in_old[*b].result(old.lane.positions()))
        });
        let results: Vec<_> = results.collect();
        let error = ModelError::new(old.net() - was.net(), &results, in_record.len(), in_old.len());
        // A model tells nothing of the error of the same model.
        let measured = |trades: usize, paper: usize| match trading {
            true => error.of(trades),
            false => (paper == 0).then_some(Money::ZERO),
        };
        let spread = latencies.iter().map(|row| (row.net - new.net()).abs()).max().unwrap_or_default();
        let params = [&config.params, &question.params];
        let (trades, unchanged) = trade_changes([old.lane, new.lane], params, parting.as_ref());
        let [old_totals, new_totals] = [old.lane.totals(), new.lane.totals()];
        let difference = Difference {
            net: new.net() - old.net(),
            uncertainty: measured(trades.len(), trades.len()).map(|within| within + spread),
            fees: new_totals.fees - old_totals.fees,
            unhedged_ns: new.lane.log().unhedged_ns() - old.lane.log().unhedged_ns(),
        };
        let at_divergence = parting.as_ref().map(|_| closed.net);
        let figures = |run: &Ended<'_>, uncertainty, open: &[&Followed], is_open: bool| RunFigures {
            open_loop: is_open,
            open_loop_trades: if is_open { open.len() as u64 } else { 0 },
            open_loop_net: at_divergence.filter(|_| is_open).map_or(Money::ZERO, |then| run.net() - then),
            ..figures(run, uncertainty)
        };
        let is_open = parting.is_some();
        let mut runs = vec![("the recorded run", was.lane)];
        if is_open {
            runs.extend([("the old configuration, modelled", old.lane), ("the new one, modelled", new.lane)]);
        }
        let notes = stop_notes(&runs);
        Some(WhatIf {
            journal: dir.display().to_string(),
            logic,
            recorded_on_paper: !trading,
            from_seq: self.from.0,
            to_seq: self.last.0,
            from: calendar::shown(self.began_at.unwrap_or(self.now).wall),
            to: calendar::shown(self.now.wall),
            latency_ns: question.paper.latency_ns,
            assumptions: assumptions(&question.paper, trading),
            notes,
            config: params::changes(&config.params, &question.params),
            divergence: parting,
            closed_loop: closed,
            recorded: figures(&was, measured(0, was.filled.len()), &[], false),
            old_modelled: figures(&old, measured(in_old.len(), old.filled.len()), &in_old, is_open),
            new_modelled: figures(
                &new,
                measured(in_new.len(), new.filled.len()).map(|within| within + spread),
                &in_new,
                is_open,
            ),
            new_denials: new.lane.still().denials(),
            new_why_not: new.lane.still().ways(&question.params),
            looked_every_ns: LOOK_NS,
            model_error: error.clone(),
            difference,
            latencies,
            unchanged,
            trades,
        })
    }
}

impl AtLatency {
    fn of(latency_ns: Nanos, lane: &Lane) -> Self {
        let trades = lane.log().opened();
        Self { latency_ns, trades, net: lane.totals().net(), open_loop: true }
    }
}

fn figures(Ended { lane, filled }: &Ended<'_>, uncertainty: Option<Money>) -> RunFigures {
    RunFigures {
        counts: lane.log().counts(),
        trades: lane.log().opened(),
        carried: filled.iter().filter(|trade| trade.carried).count() as u64,
        open_at_end: filled.iter().filter(|trade| trade.closed.is_none()).count() as u64,
        uncertainty,
        unhedged_ns: lane.log().unhedged_ns(),
        unhedged_longest_ns: lane.log().unhedged_longest_ns(),
        ..RunFigures::of(&lane.totals())
    }
}

/// Pairs of trades that two runs have both, by index: the same entry, or else one of the same pair and direction that is
/// held at the same time. Then what only one of them has.
fn matched(a: &[&Followed], b: &[&Followed]) -> (Vec<(usize, usize)>, Vec<usize>, Vec<usize>) {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut taken = vec![false; b.len()];
    let mut left: Vec<usize> = (0..a.len()).collect();
    let same = |a: &Followed, b: &Followed| a.legs == b.legs && a.opened == b.opened;
    let alike = |a: &Followed, b: &Followed| a.legs == b.legs && a.overlaps(b);
    for fits in [&same as &dyn Fn(&Followed, &Followed) -> bool, &alike] {
        left.retain(|at| {
            let found = (0..b.len()).find(|other| !taken[*other] && fits(a[*at], b[*other]));
            if let Some(other) = found {
                taken[other] = true;
                pairs.push((*at, other));
            }
            found.is_none()
        });
    }
    pairs.sort_unstable();
    (pairs, left, (0..b.len()).filter(|at| !taken[*at]).collect())
}

/// What becomes of the trades of the old configuration with the new one, and how many stay as they are.
fn trade_changes(
    [old, new]: [&Lane; 2],
    [old_params, new_params]: [&EngineParams; 2],
    parting: Option<&Parting>,
) -> (Vec<TradeChange>, u64) {
    let (a, b) = (old.log().filled(), new.log().filled());
    let (pairs, vanished, appeared) = matched(&a, &b);
    let old_row = |at: usize| Some(row(a[at], old_params, old.positions()));
    let new_row = |at: usize| Some(row(b[at], new_params, new.positions()));
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for (at, other) in pairs {
        let (old, new) = (old_row(at), new_row(other));
        // The edge names what the parameters make of it, not what was done.
        let done = |row: &Option<TradeRow>| row.clone().map(TradeRow::without_edge);
        if done(&old) == done(&new) {
            unchanged += 1;
        } else {
            changes.push((Change::Changes, a[at].opened.min(b[other].opened), old, new));
        }
    }
    changes.extend(vanished.into_iter().map(|at| (Change::Vanishes, a[at].opened, old_row(at), None)));
    changes.extend(appeared.into_iter().map(|at| (Change::Appears, b[at].opened, None, new_row(at))));
    changes.sort_by_key(|(_, opened, ..)| *opened);
    let parted = parting.map_or(u64::MAX, |parting| parting.seq);
    let labelled = changes.into_iter().map(|(change, opened, old, new)| {
        let carried = [&old, &new].into_iter().flatten().any(|row| row.carried);
        // What was over before the divergence is the same in both.
        TradeChange { change, opened_before: carried || opened.0 < parted, open_loop: true, old, new }
    });
    (labelled.collect(), unchanged)
}

/// The first difference of what two runs made of an input; number and instant are the caller's.
fn part(
    (old, old_params): (&Lane, &EngineParams),
    (new, new_params): (&Lane, &EngineParams),
) -> Option<Parting> {
    let at =
        (0..old.acts().len().max(new.acts().len())).find(|at| old.acts().get(*at) != new.acts().get(*at))?;
    let (a, b) = (old.acts().get(at), new.acts().get(at));
    let key = a.or(b)?.key;
    let both = a.and_then(|a| a.output.as_ref()).zip(b.and_then(|b| b.output.as_ref()));
    let named = both.and_then(|(a, b)| compare(key, (a, &[]), (b, &[])));
    let said = |act: Option<&Act>, lane: &Lane| match act {
        None => "nothing".to_owned(),
        Some(Act { output: Some(output), .. }) => words(output, lane.positions()),
        Some(Act { text, .. }) => format!("a message: {}", String::from_utf8_lossy(text)),
    };
    let why = match (basket(a), basket(b)) {
        (Some(wanted), None) => reason(new, wanted, new.refused(key), new_params),
        (None, Some(wanted)) => {
            reason(old, wanted, old.refused(key), old_params).map(|why| format!("with the old one: {why}"))
        }
        _ => None,
    };
    let (field, old, new) = named.map_or_else(
        || ("output".to_owned(), said(a, old), said(b, new)),
        |named| (named.field, named.recorded, named.replayed),
    );
    let stage = format!("{:?}", key.stage).to_lowercase();
    Some(Parting { seq: 0, at: String::new(), stage, field, old, new, why })
}

/// The basket that was approved.
fn basket(act: Option<&Act>) -> Option<&Basket> {
    match act?.output.as_ref()? {
        Output::Approved(Intent::Basket(basket)) => Some(basket),
        _ => None,
    }
}

/// An output of which all is worth saying.
fn words(output: &Output, positions: &Positions) -> String {
    let Output::Approved(Intent::Basket(basket)) = output else { return format!("{output:?}") };
    let orders = basket.orders().iter().map(|order| match positions.instrument(order.instrument) {
        Some(of) => {
            format!(
                "{:?} {} {} at {}",
                order.side,
                of.qty_num(order.qty),
                of.symbol,
                of.price_num(order.price)
            )
        }
        None => format!("{order:?}"),
    });
    let orders: Vec<String> = orders.collect();
    format!("{:?} of trade {}: {}", basket.kind, basket.trade.0, orders.join(", "))
}

fn assumptions(paper: &PaperParams, trading: bool) -> Vec<String> {
    let latency = Num::new(paper.latency_ns, MS_SCALE);
    let mut all = vec![
        "up to the divergence nothing is modelled: the recorded inputs are used, with their fills".to_owned(),
        format!(
            "after it, an order meets the touch {latency} ms after the egress gate, takes never more than the touch shows \
             and nothing twice of the same touch; no order of the engine rests, so a place in a queue plays no part"
        ),
        "no market impact beyond that: market data, metadata, clock and commands go on as recorded, and so does what holds a \
         venue (settings, locks, a restart's comparison)"
            .to_owned(),
        "after it, taker fees are as configured; no funding is paid or received; the venues' outages and order limits are \
         not felt"
            .to_owned(),
        "uncertainty: the error that the same model makes of the recorded configuration after the divergence, per trade, \
         plus twice its deviation, plus what half and twice the latency change"
            .to_owned(),
    ];
    all.push(match trading {
        true => "orders that were on their way at the divergence meet the market like new ones; accounts go on with the \
                 positions and balances that were known"
            .to_owned(),
        false => "the record was executed on paper itself: how far the model is from a venue is not known".to_owned(),
    });
    all
}
