//! One of the runs that are made of the recorded inputs: closed, which hears all of them and executes nothing itself; or
//! open, which hears the market only and executes on paper, with loopbacks of its own.

use super::switch::switched;
use super::trades::{TradeCounts, TradeLog};
use crate::core::paper::takeover::Accounts;
use crate::core::position::{Positions, Totals};
use crate::domain::effect::{HttpId, OutMeta, OutMsg, Target};
use crate::domain::event::{Event, EventBody, Seq, SessionRole};
use crate::domain::input::{Command, ConnId, Input, InputClass, RawInput, SendFate};
use crate::domain::instrument::VenueId;
use crate::domain::intent::{Basket, Denial, EdgeTerms, Intent, NearMiss};
use crate::domain::money::Money;
use crate::domain::output::{Output, OutputKey};
use crate::domain::params::EngineParams;
use crate::domain::state::{State, StateError};
use crate::domain::text::Currency;
use crate::domain::time::Stamp;
use crate::stage::decode::{ConnInfo, UnknownDialect};
use crate::stage::egress::{KillLatch, admit};
use crate::stage::gateway::outcome;
use crate::stage::river::{Parts, River, Tap};
use std::collections::{BTreeMap, VecDeque};

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
    /// HTTP requests of its sessions without a reply, by text.
    asked: BTreeMap<(VenueId, HttpId), Vec<u8>>,
    /// Messages whose fate has not come back, and denials.
    out: Vec<OutMeta>,
    denied: Vec<Denial>,
    /// Balances as they were stated last.
    wallets: BTreeMap<(VenueId, Currency), Money>,
}

/// The far end of an open run.
struct Hand {
    latch: KillLatch,
    loopback: VecDeque<Input>,
    /// Its connection in the place of each recorded one; `None` for those of accounts and orders.
    conns: Vec<Option<ConnId>>,
    /// The record was on paper itself: what venues say of their limits, they say of market data.
    paper: bool,
    /// It follows the market and never trades.
    watches: bool,
}

impl Lane {
    /// A run that hears every recorded input; trades count from input `from` on.
    pub fn closed(params: &EngineParams, trading: bool, from: Seq) -> Result<Self, LaneError> {
        Ok(Self::new(river(parts(params, trading)?), TradeLog::new(from), None))
    }

    /// Follows the market of a run at venues as a run on paper hears it: over the connections that carry no account.
    pub fn watching(params: &EngineParams, recorded: &[ConnInfo]) -> Result<Self, LaneError> {
        let parts = parts(params, false)?;
        let hand = Hand {
            latch: KillLatch::default(),
            loopback: VecDeque::new(),
            conns: counterparts(recorded, &parts.conns),
            paper: false,
            watches: true,
        };
        Ok(Self::new(river(parts), TradeLog::new(Seq(u64::MAX)), Some(hand)))
    }

    fn new(river: Box<River>, log: TradeLog, hand: Option<Hand>) -> Self {
        let seen = Seen {
            acts: Vec::new(),
            log,
            asked: BTreeMap::new(),
            out: Vec::new(),
            denied: Vec::new(),
            wallets: BTreeMap::new(),
        };
        Self { river, seen, hand, base: Totals::default(), before: Default::default() }
    }

    /// This closed run as it would go on with the parameters `new` in place of `old` from the next input on.
    pub fn switched(&self, old: &EngineParams, new: &EngineParams, trading: bool) -> Result<Self, LaneError> {
        let fresh = |params| Ok::<_, LaneError>(river(parts(params, trading)?));
        let (before, mut river) = (fresh(old)?, fresh(new)?);
        let state =
            switched(&self.river.save()?, &before.save()?, &river.save()?).map_err(LaneError::Switch)?;
        river.load(&state)?;
        Ok(Self { river, seen: self.seen.clone(), hand: None, base: self.base, before: self.before })
    }

    /// This closed run, at venues if `watch` follows their market, as it goes on without them after the present input: on
    /// paper, on the terms of `params`. What was on its way to the venues meets the market after the latency.
    pub fn opened(&self, watch: Option<&Self>, params: &EngineParams) -> Result<Self, LaneError> {
        let (from, market) = (self.river.parts(), watch.unwrap_or(self));
        let mut parts = parts(params, false)?;
        parts.decode.load(&market.river.parts().decode.save()?)?;
        parts.route.load(&market.river.parts().route.save()?)?;
        parts.scan.load(&from.scan.save()?)?;
        parts.risk.load(&from.risk.save()?)?;
        parts.decode.go_on_on_paper(&from.decode, params, &self.accounts());
        let same = (0..parts.conns.len()).map(|at| Some(ConnId(at as u8))).collect();
        let mut hand = Hand {
            latch: KillLatch::default(),
            loopback: self.seen.denied.iter().map(|denial| Input::Denied(*denial)).collect(),
            conns: watch.and_then(|watch| Some(watch.hand.as_ref()?.conns.clone())).unwrap_or(same),
            paper: watch.is_none(),
            watches: false,
        };
        if watch.is_some() {
            parts.scan.renumber(|conn| hand.conns.get(conn.index()).copied().flatten());
        }
        // Its sessions are those of the watching run, whose loopbacks are done.
        for meta in self.seen.out.iter().filter(|meta| watch.is_none() || meta.order.is_some()) {
            hand.pass_on(meta, self.now());
        }
        let seen = Seen {
            acts: Vec::new(),
            out: Vec::new(),
            denied: Vec::new(),
            asked: market.seen.asked.clone(),
            ..self.seen.clone()
        };
        let (river, before) = (river(parts), self.before);
        Ok(Self { river, seen, hand: Some(hand), base: self.base, before })
    }

    /// What its accounts hold, as far as it was told.
    fn accounts(&self) -> Accounts {
        let positions = self.positions();
        Accounts {
            positions: positions.positions().map(|row| (row.instrument.id, row.position)).collect(),
            wallets: self.seen.wallets.iter().map(|((venue, of), sum)| (*venue, *of, *sum)).collect(),
        }
    }

    /// The connections of the run.
    pub fn conns(&self) -> &[ConnInfo] {
        &self.river.parts().conns
    }

    /// The recorded input `seq` as it was, and what the run makes of it.
    pub fn input(&mut self, seq: Seq, raw: &RawInput<'_>) {
        self.before = (self.log().counts(), self.totals());
        self.seen.acts.clear();
        self.pass(seq, raw);
        self.loop_back(seq, raw);
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

    /// The recorded input `seq`, as far as it is for this open run. `text` is the request that a recorded reply answers.
    pub fn hear(&mut self, seq: Seq, raw: &RawInput<'_>, text: Option<&[u8]>) {
        let Some(input) = self.counterpart(&raw.input, text) else { return };
        self.input(seq, &RawInput { input, ..*raw });
        if matches!(input, Input::Command(Command::Start))
            && self.hand.as_ref().is_some_and(|hand| hand.watches)
        {
            let reduce = Input::Command(Command::Reduce);
            self.input(seq, &RawInput { mono: raw.mono, input: reduce, bytes: &[] });
        }
    }

    fn counterpart(&mut self, input: &Input, text: Option<&[u8]>) -> Option<Input> {
        let Some(hand) = &self.hand else { return Some(*input) };
        let conn = |conn: ConnId| hand.conns.get(conn.index()).copied().flatten();
        match *input {
            Input::Frame(mut meta) => {
                meta.conn = conn(meta.conn)?;
                Some(Input::Frame(meta))
            }
            Input::ConnUp { conn: of, epoch } => Some(Input::ConnUp { conn: conn(of)?, epoch }),
            Input::ConnDown { conn: of, epoch, reason } => {
                Some(Input::ConnDown { conn: conn(of)?, epoch, reason })
            }
            Input::HttpReply { venue, id, status } => {
                let id = self.take_same(venue, id, text?)?;
                Some(Input::HttpReply { venue, id, status })
            }
            Input::Pace(_) if !hand.paper => None,
            Input::Denied(_) | Input::Outcome(_) | Input::AmendOutcome(_) => None,
            Input::ReplaceOutcome { .. } => None,
            // An engineer's word about one order of the recorded run.
            Input::Command(Command::ByHand(_)) => None,
            Input::Command(command) if hand.watches && !matches!(command, Command::Start | Command::Stop) => {
                None
            }
            input => Some(input),
        }
    }

    /// Its own number of the request `text`: the same one, or else the newest, which takes the place of older ones.
    fn take_same(&mut self, venue: VenueId, id: HttpId, text: &[u8]) -> Option<HttpId> {
        let asked = &mut self.seen.asked;
        if asked.get(&(venue, id)).is_some_and(|asked| asked == text) {
            asked.remove(&(venue, id));
            return Some(id);
        }
        let newest = asked.iter().rfind(|((of, _), asked)| *of == venue && *asked == text)?.0.1;
        asked.retain(|(of, _), asked| *of != venue || asked != text);
        Some(newest)
    }

    /// The request that a reply answers, once.
    pub fn take_asked(&mut self, venue: VenueId, id: HttpId) -> Option<Vec<u8>> {
        self.seen.asked.remove(&(venue, id))
    }

    /// Requests that got no reply.
    pub fn unanswered(&self) -> usize {
        self.seen.asked.len()
    }

    /// The instant of the last input.
    pub fn now(&self) -> Stamp {
        self.river.now().1
    }

    /// What the last input made.
    pub fn acts(&self) -> &[Act] {
        &self.seen.acts
    }

    /// Sums count from now on.
    pub fn begin(&mut self) {
        self.base = *self.positions().totals();
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

    /// Its trades.
    pub fn log(&self) -> &TradeLog {
        &self.seen.log
    }

    /// The run ends.
    pub fn finish(&mut self) {
        let now = self.now().mono;
        self.seen.log.finish(now);
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

/// For each recorded connection the one of a run without accounts that carries the same.
fn counterparts(recorded: &[ConnInfo], own: &[ConnInfo]) -> Vec<Option<ConnId>> {
    let market = |info: &ConnInfo, venue| info.venue == venue && info.role == SessionRole::Market;
    (0..recorded.len())
        .map(|at| {
            let info = recorded[at];
            if info.role != SessionRole::Market {
                return None;
            }
            let before = recorded[..at].iter().filter(|other| market(other, info.venue)).count();
            let mut own = own.iter().enumerate().filter(|(_, own)| market(own, info.venue));
            own.nth(before).map(|(at, _)| ConnId(at as u8))
        })
        .collect()
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
            Input::Outcome(outcome) | Input::AmendOutcome(outcome) => {
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
        if let EventBody::Balance(report) = &event.body {
            self.seen.wallets.insert((report.venue, report.currency), report.wallet);
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
        match &mut self.hand {
            Some(hand) => hand.loopback.push_back(Input::Denied(*denial)),
            None => self.seen.denied.push(*denial),
        }
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        let meta = &message.meta;
        let text = &message.payload.bytes[..usize::from(message.payload.text_len)];
        self.seen.acts.push(Act { key, output: None, text: text.to_vec() });
        // No recorded reply answers what is asked about orders.
        if let Target::Http { venue, id, .. } = meta.target
            && id.order().is_none()
        {
            self.seen.asked.insert((venue, id), text.to_vec());
        }
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
