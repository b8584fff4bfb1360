//! One of the runs that are made of the recorded inputs: as it was, or on paper with the loopbacks of its own.

use super::trades::TradeLog;
use crate::core::position::{Positions, Totals};
use crate::domain::effect::{HttpId, OutMsg, Target};
use crate::domain::event::{Event, Seq, SessionRole};
use crate::domain::input::{Command, ConnId, Input, InputClass, RawInput, SendFate};
use crate::domain::instrument::VenueId;
use crate::domain::intent::{Basket, Denial, EdgeTerms, Intent};
use crate::domain::money::Money;
use crate::domain::output::{Output, OutputKey, Stage};
use crate::domain::params::EngineParams;
use crate::domain::time::Stamp;
use crate::stage::decode::{ConnInfo, UnknownDialect};
use crate::stage::egress::{KillLatch, admit};
use crate::stage::gateway::outcome;
use crate::stage::river::{Parts, River, Tap};
use std::collections::{BTreeMap, VecDeque};

/// What orders hang on, as far as it is made of one input: two runs that make the same are the same run.
pub type Acts = Vec<(OutputKey, Output)>;

/// A run.
pub struct Lane {
    river: River,
    seen: Seen,
    /// `None`: the recorded run, whose loopbacks are recorded too.
    hand: Option<Hand>,
    base: Totals,
}

/// What a run made.
struct Seen {
    acts: Acts,
    log: TradeLog,
    /// HTTP requests of its sessions without a reply, by text.
    asked: BTreeMap<(VenueId, HttpId), Vec<u8>>,
}

/// The far end of a run on paper.
struct Hand {
    latch: KillLatch,
    loopback: VecDeque<Input>,
    /// Its connection in the place of each recorded one; `None` for those of accounts and orders.
    conns: Vec<Option<ConnId>>,
    /// The record was on paper itself: what venues say of their limits, they say of market data.
    paper: bool,
}

impl Lane {
    /// The run as it was recorded; trades count from input `from` on.
    pub fn recorded(params: &EngineParams, trading: bool, from: Seq) -> Result<Self, UnknownDialect> {
        Ok(Self::new(River::new(Parts::new(params, trading)?), from, None))
    }

    /// A run on paper (`params.paper`) over the market data that was received on the connections `recorded`.
    pub fn on_paper(
        params: &EngineParams,
        recorded: &[ConnInfo],
        trading: bool,
        from: Seq,
    ) -> Result<Self, UnknownDialect> {
        let parts = Parts::new(params, false)?;
        let conns = counterparts(recorded, &parts.conns);
        let (latch, loopback) = (KillLatch::default(), VecDeque::new());
        let hand = Hand { latch, loopback, conns, paper: !trading };
        Ok(Self::new(River::new(parts), from, Some(hand)))
    }

    fn new(river: River, from: Seq, hand: Option<Hand>) -> Self {
        let seen = Seen { acts: Vec::new(), log: TradeLog::new(from), asked: BTreeMap::new() };
        Self { river, seen, hand, base: Totals::default() }
    }

    /// The connections of the run.
    pub fn conns(&self) -> &[ConnInfo] {
        &self.river.parts().conns
    }

    /// The recorded input `seq` as it was, and what the run makes of it.
    pub fn input(&mut self, seq: Seq, raw: &RawInput<'_>) {
        self.seen.acts.clear();
        self.pass(seq, raw);
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

    /// What the recorded input is for a run on paper; `None` when it is not for it. `text` is the request that a
    /// recorded reply answers.
    pub fn counterpart(&mut self, input: &Input, text: Option<&[u8]>) -> Option<Input> {
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

    /// The input at hand is not for this run.
    pub fn rest(&mut self) {
        self.seen.acts.clear();
    }

    /// The instant of the last input.
    pub fn now(&self) -> Stamp {
        self.river.now().1
    }

    /// What the last input made of orders.
    pub fn acts(&self) -> &Acts {
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
    fn input(&mut self, _seq: Seq, at: Stamp, _class: InputClass, _raw: &RawInput<'_>) {
        self.at = at;
    }

    fn event(&mut self, event: &Event) {
        self.seen.log.event(self.seq, event);
    }

    fn intent(&mut self, _key: OutputKey, _intent: &Intent) {}

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.seen.log.approved(self.seq, self.at, intent);
        self.seen.acts.push((key, Output::Approved(effect(intent))));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        if key.stage == Stage::Route {
            let limits = Denial { value: Money::ZERO, limit: Money::ZERO, ..*denial };
            self.seen.acts.push((key, Output::Denied(limits)));
        }
        if let Some(hand) = &mut self.hand {
            hand.loopback.push_back(Input::Denied(*denial));
        }
    }

    fn message(&mut self, _key: OutputKey, message: &OutMsg) {
        let meta = &message.meta;
        // No recorded reply answers what is asked about orders.
        if let Target::Http { venue, id, .. } = meta.target
            && id.order().is_none()
        {
            let text = &message.payload.bytes[..usize::from(message.payload.text_len)];
            self.seen.asked.insert((venue, id), text.to_vec());
        }
        if let Some(hand) = &mut self.hand
            && meta.has_outcome()
        {
            // On paper, as the gateway has it: every rule of the gate holds, and there is no session.
            let admitted = admit(meta, &hand.latch, Some(meta.epoch), self.at.mono);
            let fate = admitted.map_or_else(SendFate::Refused, |()| SendFate::Sent);
            hand.loopback.push_back(outcome(meta, fate));
        }
    }

    fn state(&mut self, _key: OutputKey, _hash: u64) {}

    fn end(&mut self, _seq: Seq) {}
}
