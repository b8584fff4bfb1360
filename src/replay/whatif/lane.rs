//! One of the runs that are made of the recorded inputs: closed, which hears all of them and executes nothing itself; or
//! open, which is told by the recorded run what the market did and executes on paper, with loopbacks of its own.

use super::flying::on_their_way;
use super::standstill::Standstill;
use super::switch::switched;
use super::trades::{TradeCounts, TradeLog};
use crate::core::paper::takeover::Accounts;
use crate::core::position::{Positions, Totals};
use crate::core::scanner::Scanner;
use crate::core::start_gate::StartGate;
use crate::domain::carry::Carried;
use crate::domain::effect::{OutMeta, OutMsg};
use crate::domain::event::{Event, EventBody, Seq, SessionRole};
use crate::domain::input::{Command, ConnId, Input, InputClass, RawInput, SendFate};
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::{Basket, Denial, EdgeTerms, Intent, NearMiss, TradeId};
use crate::domain::money::Money;
use crate::domain::output::{Output, OutputKey};
use crate::domain::params::EngineParams;
use crate::domain::state::{State, StateError};
use crate::domain::time::Stamp;
use crate::replay::part;
use crate::replay::snapshot::Snapshot;
use crate::replay::source::ReplayError;
use crate::stage::decode::{ConnInfo, UnknownDialect};
use crate::stage::egress::{KillLatch, admit};
use crate::stage::gateway::outcome;
use crate::stage::river::{Parts, River, Tap};
use std::collections::VecDeque;
use std::path::Path;

/// What a run made of one input and what came of it as further inputs: two runs that make the same are the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Its key.
    pub key: OutputKey,
    /// An approval or a denial; `None` for a message.
    pub output: Option<Output>,
    /// The text of a message.
    pub text: Vec<u8>,
}

/// A lane cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// A dialect that this build does not have.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
    /// The state of a run.
    #[error(transparent)]
    State(#[from] StateError),
    /// The configuration cannot change there.
    #[error("the configuration cannot change at this input, begin at another one: {0}")]
    Switch(String),
}

/// A run.
pub struct Lane {
    river: Box<River>,
    seen: Seen,
    /// `None`: a closed run, whose loopbacks are recorded.
    hand: Option<Hand>,
    base: Totals,
    /// Sums before the present input.
    before: (TradeCounts, Totals),
}

/// What a run made.
#[derive(Clone)]
struct Seen {
    acts: Vec<Act>,
    log: TradeLog,
    /// Messages whose fate has not come back, and denials.
    out: Vec<OutMeta>,
    denied: Vec<Denial>,
    /// What the present input told of the market; `None` while nobody asks.
    told: Option<Vec<EventBody>>,
    /// Denials of the present input, with their figures.
    refused: Vec<(OutputKey, Denial)>,
    /// What kept it from trading.
    still: Standstill,
}

/// The far end of an open run.
#[derive(Default)]
struct Hand {
    latch: KillLatch,
    loopback: VecDeque<Input>,
}

impl Lane {
    /// A run that hears every recorded input; trades count from input `from` on.
    pub fn closed(params: &EngineParams, trading: bool, from: Seq) -> Result<Self, LaneError> {
        let still = Standstill::new(&params.risk);
        Ok(Self::new(river(parts(params, trading)?), TradeLog::new(from), still, None))
    }

    /// Enters the stages before the first input of the journal in `dir`, which does not begin with its run.
    pub fn enter(&mut self, dir: &Path, start: &Snapshot) -> Result<(), ReplayError> {
        let (denials, _) = part::enter(dir, start, &mut self.river)?;
        self.seen.denied = denials.made().copied().collect();
        self.seen.out = on_their_way(dir, &self.river.parts().route)?;
        Ok(())
    }

    fn new(river: Box<River>, log: TradeLog, still: Standstill, hand: Option<Hand>) -> Self {
        let (acts, out, denied, refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let seen = Seen { acts, log, out, denied, told: None, refused, still };
        Self { river, seen, hand, base: Totals::default(), before: Default::default() }
    }

    /// This closed run as it would go on with the parameters `new` in place of `old` from the next input on.
    pub fn switched(&self, old: &EngineParams, new: &EngineParams, trading: bool) -> Result<Self, LaneError> {
        let fresh = |params| Ok::<_, LaneError>(river(parts(params, trading)?));
        let (before, mut river) = (fresh(old)?, fresh(new)?);
        let state =
            switched(&self.river.save()?, &before.save()?, &river.save()?).map_err(LaneError::Switch)?;
        river.load(&state)?;
        let seen = Seen { still: Standstill::new(&new.risk), ..self.seen.clone() };
        Ok(Self { river, seen, hand: None, base: self.base, before: self.before })
    }

    /// This closed run, at venues if `trading`, as it goes on without them after the present input: on paper, on the terms
    /// of `params`. What was on its way to the venues meets the market after the latency.
    pub fn opened(&self, params: &EngineParams, trading: bool) -> Result<Self, LaneError> {
        let from = self.river.parts();
        let mut parts = parts(params, trading)?;
        parts.scan.load(&from.scan.save()?)?;
        parts.risk.load(&from.risk.save()?)?;
        parts.route.load(&from.route.save()?)?;
        parts.route.go_on_on_paper();
        let scanner = from.scan.scanner();
        let ids = (0..params.listings.len()).map(|at| InstrumentId(at as u16));
        let listings = ids.filter_map(|id| scanner.listing(id));
        let defined = listings.filter(|listing| listing.instrument.generation > 0);
        let books = defined.map(|listing| (&listing.instrument, &listing.book));
        parts.decode.go_on_on_paper(&from.decode, params, &self.accounts(), books);
        let denied = self.seen.denied.iter().map(|denial| Input::Denied(*denial));
        let mut hand = Hand { loopback: denied.collect(), ..Hand::default() };
        for meta in &self.seen.out {
            hand.pass_on(meta, self.now());
        }
        let (base, before, still) = (self.base, self.before, self.seen.still.clone());
        Ok(Self { base, before, ..Self::new(river(parts), self.seen.log.clone(), still, Some(hand)) })
    }

    /// What its accounts hold, as far as it was told.
    fn accounts(&self) -> Accounts {
        let positions = self.positions();
        let stated = self.river.parts().risk.rules().capital().accounts().iter();
        Accounts {
            positions: positions.positions().map(|row| (row.instrument.id, row.position)).collect(),
            wallets: stated.filter_map(|of| Some((of.venue, of.currency, of.wallet?))).collect(),
        }
    }

    /// From the next input on it is asked what each told of the market.
    pub fn tell(&mut self) {
        self.seen.told = Some(Vec::new());
    }

    /// What the last input told of the market, to those that go on on paper.
    pub fn told(&self) -> &[EventBody] {
        self.seen.told.as_deref().unwrap_or_default()
    }

    /// The recorded input `seq` as it was, and what the run makes of it.
    pub fn input(&mut self, seq: Seq, raw: &RawInput<'_>) {
        self.start_input();
        self.pass(seq, raw);
        let of = self.river.parts();
        let (conns, on_paper) = (&of.conns, of.decode.is_on_paper());
        if let Some(told) = &mut self.seen.told {
            told.retain(|body| is_of_the_market(body, conns, on_paper));
        }
        self.loop_back(seq, raw);
        self.look(seq, raw);
    }

    /// The recorded input `seq`, of which this open run is told what the market did.
    pub fn hear(&mut self, seq: Seq, raw: &RawInput<'_>, told: &[EventBody]) {
        self.start_input();
        let Self { river, seen, hand, .. } = self;
        let at = river.now().1;
        river.told(raw, told, &mut LaneTap { seen, hand: hand.as_mut(), seq, at });
        seen.log.settle(river.parts().risk.rules().positions());
        self.loop_back(seq, raw);
        self.look(seq, raw);
    }

    /// Looks at what keeps it from trading after an input.
    fn look(&mut self, seq: Seq, raw: &RawInput<'_>) {
        let Self { river, seen, .. } = self;
        let parts = river.parts();
        seen.still.look((seq, river.now().1), &raw.input, parts.scan.scanner(), parts.risk.rules());
    }

    fn start_input(&mut self) {
        self.before = (self.log().counts(), self.totals());
        self.seen.acts.clear();
        self.seen.refused.clear();
        if let Some(told) = &mut self.seen.told {
            told.clear();
        }
    }

    /// Passes what comes back of its messages.
    pub fn loop_back(&mut self, seq: Seq, raw: &RawInput<'_>) {
        while let Some(input) = self.hand.as_mut().and_then(|hand| hand.loopback.pop_front()) {
            self.pass(seq, &RawInput { mono: raw.mono, input, bytes: &[] });
        }
    }

    fn pass(&mut self, seq: Seq, raw: &RawInput<'_>) {
        let Self { river, seen, hand, .. } = self;
        let at = river.now().1;
        river.input(raw, &mut LaneTap { seen, hand: hand.as_mut(), seq, at });
        seen.log.settle(river.parts().risk.rules().positions());
    }

    /// The instant of the last input.
    pub fn now(&self) -> Stamp {
        self.river.now().1
    }

    /// What the last input made.
    pub fn acts(&self) -> &[Act] {
        &self.seen.acts
    }

    /// Sums count from now on; the trades that are open now are followed from here.
    pub fn begin(&mut self) {
        self.base = *self.positions().totals();
        let at = self.now();
        let Self { river, seen, .. } = self;
        let of = river.parts();
        seen.log.carry(of.scan.scanner().trades(), at, of.risk.rules().positions());
        seen.still.begin();
    }

    /// Sums since [`Lane::begin`].
    pub fn totals(&self) -> Totals {
        let now = self.positions().totals();
        Totals {
            realised: now.realised - self.base.realised,
            unrealised: now.unrealised - self.base.unrealised,
            fees: now.fees - self.base.fees,
            funding: now.funding - self.base.funding,
        }
    }

    /// Counts and sums before the last input.
    pub fn before(&self) -> (TradeCounts, Totals) {
        self.before
    }

    /// Positions as risk has them.
    pub fn positions(&self) -> &Positions {
        self.river.parts().risk.rules().positions()
    }

    /// The scanner, for what it says of pairs.
    pub fn scanner(&self) -> &Scanner {
        self.river.parts().scan.scanner()
    }

    /// What venues have stated of the accounts.
    pub fn start_gate(&self) -> &StartGate {
        self.river.parts().risk.rules().start_gate()
    }

    /// The denial of that key which the last input made, with its figures.
    pub fn refused(&self, key: OutputKey) -> Option<&Denial> {
        self.seen.refused.iter().find(|(of, _)| *of == key).map(|(_, denial)| denial)
    }

    /// What kept it from trading.
    pub fn still(&self) -> &Standstill {
        &self.seen.still
    }

    /// Its trades.
    pub fn log(&self) -> &TradeLog {
        &self.seen.log
    }

    /// The run ends.
    pub fn finish(&mut self) {
        let now = self.now().mono;
        let Self { river, seen, .. } = self;
        let parts = river.parts();
        let open: Vec<TradeId> = parts.scan.scanner().trades().map(|trade| trade.id).collect();
        seen.log.finish(now, &open, parts.risk.rules().positions());
    }
}

impl Hand {
    /// On paper, as the gateway has it: every rule of the gate holds, and there is no session.
    fn pass_on(&mut self, meta: &OutMeta, at: Stamp) {
        let admitted = admit(meta, &self.latch, Some(meta.epoch), at.mono);
        let fate = admitted.map_or_else(SendFate::Refused, |()| SendFate::Sent);
        self.loopback.push_back(outcome(meta, fate));
    }
}

/// Stages for a configuration; on the heap, because several runs of them do not fit a thread's stack.
fn parts(params: &EngineParams, trading: bool) -> Result<Box<Parts>, LaneError> {
    Ok(Box::new(Parts::new(params, trading)?))
}

fn river(parts: Box<Parts>) -> Box<River> {
    Box::new(River::new(*parts))
}

/// Whether a run that goes on on paper is told of it: all that the market did, the clock and the commands. Of what is said of
/// accounts only what holds a venue or lets it go: its settings and locks, and that a restart has compared it; and of limits,
/// where the record was on paper itself: then they are those of market data.
fn is_of_the_market(body: &EventBody, conns: &[ConnInfo], on_paper: bool) -> bool {
    let market = |conn: ConnId| conns.get(conn.index()).is_some_and(|info| info.role == SessionRole::Market);
    match body {
        EventBody::Tick
        | EventBody::Bbo(_)
        | EventBody::Levels(_)
        | EventBody::Trade(_)
        | EventBody::Mark(_)
        | EventBody::Book(_)
        | EventBody::Instrument(_)
        | EventBody::Clock(_)
        | EventBody::Check(_)
        | EventBody::Lock(_)
        | EventBody::Carried(Carried::Reconciled(_))
        | EventBody::OpenInterest(_)
        | EventBody::Ticker(_)
        | EventBody::Liquidation(_) => true,
        EventBody::BurstEnd(burst) => market(burst.conn),
        EventBody::Conn(status) => market(status.conn),
        EventBody::Session(status) => status.role == SessionRole::Market,
        // That one is an engineer's word about one order of the recorded run.
        EventBody::Command(command) => !matches!(command, Command::ByHand(_)),
        EventBody::Pace(_) | EventBody::Grant(_) => on_paper,
        EventBody::Order(_)
        | EventBody::Position(_)
        | EventBody::Balance(_)
        | EventBody::Funding(_)
        | EventBody::Denied(_)
        | EventBody::Outcome(_)
        | EventBody::AmendOutcome(_)
        | EventBody::Amended(_)
        | EventBody::Action(_)
        | EventBody::Sweep(_)
        | EventBody::Carried(_) => false,
    }
}

struct LaneTap<'a> {
    seen: &'a mut Seen,
    hand: Option<&'a mut Hand>,
    /// The recorded input.
    seq: Seq,
    at: Stamp,
}

/// What of an approved intent reaches a venue: terms of the edge name parameters, which differ without effect.
fn effect(intent: &Intent) -> Intent {
    match intent {
        Intent::Basket(basket) => Intent::Basket(Basket { edge: EdgeTerms::default(), ..*basket }),
        other => *other,
    }
}

impl Tap for LaneTap<'_> {
    fn input(&mut self, _seq: Seq, at: Stamp, _class: InputClass, raw: &RawInput<'_>) {
        self.at = at;
        if self.hand.is_some() {
            return;
        }
        match &raw.input {
            Input::Outcome(outcome)
            | Input::AmendOutcome(outcome)
            | Input::ReplaceOutcome { outcome, .. } => {
                self.seen.out.retain(|meta| meta.message != outcome.message);
            }
            Input::Denied(denial) => {
                if let Some(at) = self.seen.denied.iter().position(|made| made == denial) {
                    self.seen.denied.remove(at);
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(told) = &mut self.seen.told {
            told.push(event.body);
        }
        self.seen.log.event(self.seq, event);
    }

    fn intent(&mut self, _key: OutputKey, _intent: &Intent) {}

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.seen.log.approved(self.seq, self.at, intent);
        let output = Some(Output::Approved(effect(intent)));
        self.seen.acts.push(Act { key, output, text: Vec::new() });
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        // Which limit it was in figures names parameters, too; that it was denied comes back as an input.
        let limits = Denial { value: Money::ZERO, limit: Money::ZERO, ..*denial };
        self.seen.acts.push(Act { key, output: Some(Output::Denied(limits)), text: Vec::new() });
        self.seen.refused.push((key, *denial));
        self.seen.still.denied(denial);
        match &mut self.hand {
            Some(hand) => hand.loopback.push_back(Input::Denied(*denial)),
            None => self.seen.denied.push(*denial),
        }
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        let meta = &message.meta;
        let text = &message.payload.bytes[..usize::from(message.payload.text_len)];
        self.seen.acts.push(Act { key, output: None, text: text.to_vec() });
        if !meta.has_outcome() {
            return;
        }
        match &mut self.hand {
            Some(hand) => hand.pass_on(meta, self.at),
            None => self.seen.out.push(*meta),
        }
    }

    fn near_miss(&mut self, _key: OutputKey, _near: &NearMiss) {}
    fn state(&mut self, _key: OutputKey, _hash: u64) {}

    fn end(&mut self, _seq: Seq) {}
}
