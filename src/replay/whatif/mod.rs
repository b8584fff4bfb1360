//! Counterfactuals: what another configuration would have made of a recorded run.
//!
//! Three runs pass over the same recorded inputs side by side: the recorded one (closed loop), its configuration on paper,
//! and the new configuration on paper. The two on paper hear the recorded market data, metadata, clock and commands; what the
//! record holds of accounts and orders (frames, replies, denials, fates of messages) is dropped from the beginning, their
//! denials and fates are their own, and orders are executed by `core/paper.rs` after a stated latency. New less old is then
//! one model with two configurations; old less recorded is the error of the model, which gives the uncertainty. What comes
//! after the first input of which old and new want different orders is open-loop. Replacing the execution in the midst of
//! the recorded run would keep recorded fills before that point, but compare what was executed with what was modelled after
//! it, and no error could be told. Before a chosen beginning the runs on paper only watch. No clock, no socket, no secret.

mod lane;
pub mod params;
pub mod report;
pub mod trades;

use super::divergence::compare;
use super::source::{Inputs, ReplayError, read_config};
use super::verify::Logic;
use crate::core::position::Positions;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::{Command, Input, RawInput};
use crate::domain::intent::Intent;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::output::{Output, OutputKey};
use crate::domain::params::{EngineParams, PaperParams};
use crate::domain::time::{Nanos, Stamp};
use crate::stage::decode::UnknownDialect;
use lane::Lane;
use report::{Change, Difference, ModelError, Parting, RunFigures, TradeChange, WhatIf};
use std::path::Path;
use trades::{Followed, row};

/// Decimals of a millisecond in ns.
const MS_SCALE: u8 = 6;

/// What a counterfactual is to be made of.
#[derive(Clone, Debug)]
pub struct Question {
    /// The new parameters, for the venues and listings of the run (see [`params::transplant`]).
    pub params: EngineParams,
    /// How orders are executed on paper, with both configurations.
    pub paper: PaperParams,
    /// First input whose trades count.
    pub from: Seq,
    /// Last input.
    pub to: Seq,
}

/// Runs the journal in `dir` with another configuration. `progress` gets the number of the input at hand now and then.
///
/// # Errors
/// A journal that cannot be read, or a dialect that this build does not have.
pub fn whatif(
    dir: &Path,
    question: &Question,
    progress: &mut dyn FnMut(Seq, Stamp),
) -> Result<WhatIf, ReplayError> {
    super::part::must_be_whole(dir)?;
    let (manifest, _, config) = read_config(dir)?;
    let trading = config.trading;
    let mut world = World::new(&config.params, trading, question)
        .map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })?;
    let mut inputs = Inputs::open(dir)?;
    while let Some((seq, raw)) = inputs.next()? {
        if seq > question.to {
            break;
        }
        world.input(seq, &raw);
        if seq.0.is_multiple_of(1 << 12) {
            progress(seq, world.now);
        }
    }
    if !world.begun {
        let why = format!("it ends with input {}, before input {}", world.last.0, question.from.0);
        return Err(ReplayError::Place { dir: dir.to_owned(), why });
    }
    let logic = Logic::of(manifest.logic_version);
    let mut report = world.report(dir, &config.params, trading, question, logic);
    if let Some((expected, next)) = inputs.hole().get() {
        report
            .notes
            .push(format!("the record breaks off: input {expected} is missing, the next one is {next}"));
    }
    Ok(report)
}

/// The three runs.
struct World {
    recorded: Lane,
    old: Lane,
    new: Lane,
    from: Seq,
    begun: bool,
    began_at: Option<Stamp>,
    /// What the operator closed and did not open again before the beginning.
    standing: Vec<Command>,
    parting: Option<Parting>,
    last: Seq,
    now: Stamp,
}

impl World {
    fn new(recorded: &EngineParams, trading: bool, question: &Question) -> Result<Self, UnknownDialect> {
        let on_paper = |params: &EngineParams| EngineParams { paper: Some(question.paper), ..params.clone() };
        let from = Seq(question.from.0.max(1));
        let was = Lane::recorded(recorded, trading, from)?;
        let conns = was.conns().to_vec();
        Ok(Self {
            old: Lane::on_paper(&on_paper(recorded), &conns, trading, from)?,
            new: Lane::on_paper(&on_paper(&question.params), &conns, trading, from)?,
            recorded: was,
            from,
            begun: false,
            began_at: None,
            standing: Vec::new(),
            parting: None,
            last: Seq(0),
            now: Stamp::default(),
        })
    }

    fn input(&mut self, seq: Seq, raw: &RawInput<'_>) {
        if seq >= self.from && !self.begun {
            self.begin(seq, raw.mono);
        }
        // The reply is recorded under the number that the recorded run gave the request.
        let text = match raw.input {
            Input::HttpReply { venue, id, .. } => self.recorded.take_asked(venue, id),
            _ => None,
        };
        self.recorded.input(seq, raw);
        let watching = !self.begun && self.heed(&raw.input);
        for lane in [&mut self.old, &mut self.new] {
            match lane.counterpart(&raw.input, text.as_deref()) {
                Some(input) if !watching => lane.input(seq, &RawInput { input, ..*raw }),
                _ => lane.rest(),
            }
        }
        self.last = seq;
        self.now = self.recorded.now();
        if self.begun && !matches!(raw.input, Input::Config) {
            // The wall is known from the second input on.
            self.began_at.get_or_insert(self.now);
        }
        if matches!(raw.input, Input::Command(Command::Start)) && !self.begun {
            self.both(seq, raw.mono, Command::Reduce);
        }
        if self.parting.is_none()
            && let Some(parting) = part(&self.old, &self.new)
        {
            self.parting = Some(Parting { seq: seq.0, at: calendar::shown(self.now.wall), ..parting });
        }
    }

    /// From now on trades count, and the runs on paper make some.
    fn begin(&mut self, seq: Seq, mono: Nanos) {
        self.begun = true;
        if seq.0 > 1 {
            self.both(seq, mono, Command::Resume);
            for command in std::mem::take(&mut self.standing) {
                self.both(seq, mono, command);
            }
        }
        for lane in [&mut self.recorded, &mut self.old, &mut self.new] {
            lane.begin();
        }
    }

    /// Before the beginning: remembers what the operator closes. True for his word that would open the runs on paper.
    fn heed(&mut self, input: &Input) -> bool {
        match input {
            Input::Command(Command::Resume) => {
                self.standing.clear();
                true
            }
            Input::Command(command @ (Command::Reduce | Command::Kill(_) | Command::RecorderLag { .. })) => {
                self.standing.push(*command);
                false
            }
            _ => false,
        }
    }

    fn both(&mut self, seq: Seq, mono: Nanos, command: Command) {
        for lane in [&mut self.old, &mut self.new] {
            lane.input(seq, &RawInput { mono, input: Input::Command(command), bytes: &[] });
        }
    }
}

impl World {
    fn report(
        mut self,
        dir: &Path,
        recorded: &EngineParams,
        trading: bool,
        question: &Question,
        logic: Logic,
    ) -> WhatIf {
        for lane in [&mut self.recorded, &mut self.old, &mut self.new] {
            lane.finish();
        }
        let Self { recorded: was, old, new, parting, .. } = &self;
        let [in_record, in_old, in_new] = [was, old, new].map(|lane| lane.log().filled());
        let net = |lane: &Lane| lane.totals().net();
        let (both, ..) = matched(&in_record, &in_old);
        let results = both
            .iter()
            .map(|(a, b)| (in_record[*a].result(was.positions()), in_old[*b].result(old.positions())));
        let results: Vec<_> = results.collect();
        let error = ModelError::new(net(old) - net(was), &results, in_record.len(), in_old.len());
        // A model tells nothing of the error of the same model.
        let within = |trades: usize| if trading || trades == 0 { error.of(trades) } else { None };

        let params = [recorded, &question.params];
        let (trades, unchanged) = trade_changes([old, new], params, parting.as_ref());
        let difference = Difference {
            net: net(new) - net(old),
            uncertainty: within(trades.len()),
            fees: new.totals().fees - old.totals().fees,
            unhedged_ns: new.log().unhedged_ns() - old.log().unhedged_ns(),
        };
        let certain = if trading { Some(Money::ZERO) } else { within(in_record.len()) };
        WhatIf {
            journal: dir.display().to_string(),
            logic,
            recorded_on_paper: !trading,
            from_seq: self.from.0,
            to_seq: self.last.0,
            from: calendar::shown(self.began_at.unwrap_or(self.now).wall),
            to: calendar::shown(self.now.wall),
            latency_ns: question.paper.latency_ns,
            assumptions: assumptions(&question.paper, trading),
            notes: Vec::new(),
            config: params::changes(recorded, &question.params),
            divergence: parting.clone(),
            recorded: figures(was, certain, false),
            old_modelled: figures(old, within(in_old.len()), false),
            new_modelled: figures(new, within(in_new.len()), parting.is_some()),
            model_error: error.clone(),
            difference,
            unchanged,
            trades,
        }
    }
}

fn figures(lane: &Lane, uncertainty: Option<Money>, open_loop: bool) -> RunFigures {
    let filled = lane.log().filled();
    RunFigures {
        counts: lane.log().counts(),
        trades: filled.len() as u64,
        open_at_end: filled.iter().filter(|trade| trade.closed.is_none()).count() as u64,
        uncertainty,
        unhedged_ns: lane.log().unhedged_ns(),
        open_loop,
        unanswered: lane.unanswered(),
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
        let done = |row: &Option<trades::TradeRow>| row.clone().map(|row| row.without_edge());
        if done(&old) == done(&new) {
            unchanged += 1;
        } else {
            changes.push((Change::Changes, a[at].opened.min(b[other].opened), old, new));
        }
    }
    changes.extend(vanished.into_iter().map(|at| (Change::Vanishes, a[at].opened, old_row(at), None)));
    changes.extend(appeared.into_iter().map(|at| (Change::Appears, b[at].opened, None, new_row(at))));
    changes.sort_by_key(|(_, opened, ..)| *opened);
    let labelled = changes.into_iter().map(|(change, opened, old, new)| {
        let open_loop = parting.is_some_and(|parting| opened.0 >= parting.seq);
        TradeChange { change, open_loop, old, new }
    });
    (labelled.collect(), unchanged)
}

/// The first difference of what two runs made of an input; number and instant are the caller's.
fn part(old: &Lane, new: &Lane) -> Option<Parting> {
    let at =
        (0..old.acts().len().max(new.acts().len())).find(|at| old.acts().get(*at) != new.acts().get(*at))?;
    let (a, b) = (old.acts().get(at), new.acts().get(at));
    let key = a.or(b)?.0;
    let named = match (a, b) {
        (Some((_, a)), Some((_, b))) => compare(key, (a, &[]), (b, &[])),
        _ => None,
    };
    let said = |act: Option<&(OutputKey, Output)>, lane: &Lane| {
        act.map_or_else(|| "nothing".to_owned(), |(_, output)| words(output, lane.positions()))
    };
    let (field, old, new) = named.map_or_else(
        || ("output".to_owned(), said(a, old), said(b, new)),
        |named| (named.field, named.recorded, named.replayed),
    );
    let stage = format!("{:?}", key.stage).to_lowercase();
    Some(Parting { seq: 0, at: String::new(), stage, field, old, new })
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
        format!(
            "an order meets the touch {latency} ms after the egress gate, takes never more than the touch shows and \
             nothing twice of the same touch"
        ),
        "no market impact beyond that: market data, metadata, clock and commands go on as recorded".to_owned(),
        "what rests fills when the market reaches or trades through its price; its place in the queue is not modelled"
            .to_owned(),
        "taker fees as configured; no funding is paid or received on paper".to_owned(),
        format!(
            "the runs on paper begin flat, with {} per venue and settlement currency; recorded frames, replies, denials \
             and fates of accounts and orders are dropped from the first input, and with them the venues' own order limits",
            paper.balance
        ),
    ];
    if !trading {
        all.push(
            "the record was executed on paper itself: how far the model is from a venue is not known"
                .to_owned(),
        );
    }
    all
}
