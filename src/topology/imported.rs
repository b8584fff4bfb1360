//! The recorded world: the whole engine over feeds that somebody else recorded, under the recorder's clock.
//!
//! Frames and depth snapshots come from the recording, at the instants at which it received them. What a
//! collector does not record is stood in for, and nothing else: connections that come up, subscriptions that are
//! acknowledged, contracts as they are supplied, and the venue's time as its own frames last stated it. Every
//! other request stays without a reply. Orders are executed on paper. Nothing here reads a clock.

mod stand_in;

pub use stand_in::{Ask, KNOWN, StandIn, stand_in};

use super::fused::{Egress, Fused};
use crate::domain::effect::{HttpId, OutMsg, Target};
use crate::domain::event::SessionRole;
use crate::domain::input::{
    Command, ConnId, DownReason, FrameKind, FrameMeta, Input, RawInput, RefuseReason, SendFate,
};
use crate::domain::instrument::VenueId;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::stage::decode::ConnInfo;
use crate::stage::egress::{KillLatch, admit};
use std::collections::VecDeque;

/// How long before its first frame a venue's connections come up: enough to read contracts and to subscribe.
pub const LEAD: Nanos = SECOND;

/// After so long without anything, time passes in larger steps: nothing can come of it but timers.
const QUIET: Nanos = 60 * SECOND;

/// What is known of a venue beside its frames.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Stands in for what is not recorded.
    pub stand_in: &'static StandIn,
    /// Its contracts, as the venue states them.
    pub metadata: Vec<u8>,
    /// When its first frame was received, wall ns.
    pub first: Nanos,
}

/// What became of things that were offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Frames passed to the engine.
    pub frames: u64,
    /// Frames while the connection that carries them was down.
    pub unheard: u64,
    /// Depth snapshots that answered a request of the engine.
    pub snapshots: u64,
    /// Depth snapshots that nobody had asked for.
    pub unasked: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    epoch: u32,
    up: bool,
    /// Asked for, while the venue's recording has not begun.
    wanted: bool,
}

enum Answer {
    Up { conn: ConnId, epoch: u32 },
    Down { conn: ConnId, epoch: u32, reason: DownReason },
    Text { conn: ConnId, epoch: u32, text: Vec<u8> },
    Reply { venue: VenueId, id: HttpId, status: u16, body: Vec<u8> },
}

/// A request that only the recording can answer.
struct Pending {
    venue: VenueId,
    id: HttpId,
    /// Whose depth; `None`: the venue's time.
    symbol: Option<Vec<u8>>,
    /// It was asked on this connection of that epoch; `None`: over HTTP.
    on: Option<(ConnId, u32)>,
}

/// The far end of the engine's messages.
struct Hand {
    now: Nanos,
    conns: Vec<ConnInfo>,
    links: Vec<Link>,
    venues: Vec<Recorded>,
    answers: VecDeque<Answer>,
    pending: Vec<Pending>,
    latch: KillLatch,
}

impl Hand {
    fn is_begun(&self, venue: VenueId) -> bool {
        self.venues.get(venue.index()).is_some_and(|venue| self.now >= venue.first - LEAD)
    }

    /// Brings up what was asked for before the recording began.
    fn begin(&mut self) {
        for at in 0..self.links.len() {
            if self.links[at].wanted && self.is_begun(self.conns[at].venue) {
                self.links[at].wanted = false;
                let (conn, epoch) = (ConnId(at as u8), self.links[at].epoch);
                self.answers.push_back(Answer::Up { conn, epoch });
            }
        }
    }

    fn ask(&mut self, venue: VenueId, id: HttpId, request: &[u8]) {
        let Some(recorded) = self.venues.get(venue.index()) else { return };
        let (status, body) = match (recorded.stand_in.ask)(request) {
            Ask::Metadata => (200, recorded.metadata.clone()),
            Ask::Depth(symbol) => {
                return self.wait(Pending { venue, id, symbol: Some(symbol.to_vec()), on: None });
            }
            Ask::Time => return self.wait(Pending { venue, id, symbol: None, on: None }),
            Ask::Other => (0, Vec::new()),
        };
        self.answers.push_back(Answer::Reply { venue, id, status, body });
    }

    /// A new request takes the place of the one that got no answer.
    fn wait(&mut self, pending: Pending) {
        self.pending.retain(|old| old.venue != pending.venue || old.symbol != pending.symbol);
        self.pending.push(pending);
    }

    /// The request that a snapshot answers; one that names no symbol answers the only one there is.
    fn asked(&mut self, venue: VenueId, symbol: &[u8]) -> Option<HttpId> {
        let depth = |pending: &Pending| pending.venue == venue && pending.symbol.is_some();
        let is_named = |pending: &Pending| pending.symbol.as_deref() == Some(symbol);
        let only = symbol.is_empty() && self.pending.iter().filter(|pending| depth(pending)).count() == 1;
        let at = self.pending.iter().position(|pending| depth(pending) && (only || is_named(pending)))?;
        Some(self.pending.remove(at).id)
    }

    fn asked_time(&mut self, venue: VenueId) -> Option<Pending> {
        let at = self.pending.iter().position(|it| it.venue == venue && it.symbol.is_none())?;
        Some(self.pending.remove(at))
    }
}

impl Egress for Hand {
    fn send(&mut self, message: &OutMsg, mono: Nanos) -> Option<SendFate> {
        let text = &message.payload.bytes[..usize::from(message.payload.text_len)];
        if message.meta.order.is_some() {
            // On paper, as the gateway has it: every rule of the gate holds, and there is no session.
            let admitted = admit(&message.meta, &self.latch, Some(message.meta.epoch), mono);
            return Some(admitted.map_or_else(SendFate::Refused, |()| SendFate::Sent));
        }
        match message.meta.target {
            Target::Socket(conn) => {
                let at = conn.index();
                let (Some(info), Some(link)) = (self.conns.get(at), self.links.get(at).copied()) else {
                    return Some(SendFate::Refused(RefuseReason::Epoch));
                };
                if !link.up || link.epoch != message.meta.epoch {
                    return Some(SendFate::Refused(RefuseReason::Epoch));
                }
                let (venue, epoch) = (info.venue, link.epoch);
                let Some(Recorded { stand_in, .. }) = self.venues.get(venue.index()) else {
                    return Some(SendFate::Sent);
                };
                let texts = (stand_in.acknowledge)(text).into_iter();
                self.answers.extend(texts.map(|text| Answer::Text { conn, epoch, text }));
                if let Some(id) = (stand_in.asks_time)(text) {
                    self.wait(Pending { venue, id: HttpId(id), symbol: None, on: Some((conn, epoch)) });
                }
                Some(SendFate::Sent)
            }
            Target::Http { venue, id, .. } => {
                let request = text.to_vec();
                self.ask(venue, id, &request);
                None
            }
            Target::Connect(conn) => {
                let link = self.links.get_mut(conn.index())?;
                link.epoch += 1;
                link.wanted = true;
                self.begin();
                None
            }
            Target::Close(conn) => {
                let link = self.links.get_mut(conn.index())?;
                if link.up && (message.meta.epoch == 0 || message.meta.epoch == link.epoch) {
                    link.up = false;
                    let (epoch, reason) = (link.epoch, DownReason::Ours);
                    self.answers.push_back(Answer::Down { conn, epoch, reason });
                }
                None
            }
        }
    }
}

/// The engine over a recording.
pub struct Imported {
    engine: Fused,
    hand: Hand,
    start: Nanos,
    tick_at: Nanos,
    /// When the recording last brought something.
    brought: Nanos,
    offered: Vec<Offered>,
}

impl Imported {
    /// `venues` by venue; `config` are the canonical configuration bytes that are recorded first. Begins [`LEAD`]
    /// before the first frame of all.
    pub fn new(engine: Fused, conns: Vec<ConnInfo>, venues: Vec<Recorded>, config: &[u8]) -> Self {
        let first = venues.iter().map(|venue| venue.first).min().unwrap_or(0);
        let start = first - LEAD;
        let offered = vec![Offered::default(); venues.len()];
        let mut world = Self {
            engine,
            hand: Hand {
                now: start,
                links: vec![Link::default(); conns.len()],
                conns,
                venues,
                answers: VecDeque::new(),
                pending: Vec::new(),
                latch: KillLatch::default(),
            },
            start,
            tick_at: start,
            brought: start,
            offered,
        };
        world.input(Input::Config, config);
        world.input(Input::Anchor(start), &[]);
        world.input(Input::Command(Command::Start), &[]);
        world.settle();
        world
    }

    /// Lets time pass up to `time`, wall ns; what lies in the past changes nothing.
    pub fn advance(&mut self, time: Nanos) {
        while self.tick_at < time {
            self.hand.now = self.tick_at;
            self.input(Input::Tick, &[]);
            self.hand.begin();
            self.settle();
        }
        self.hand.now = self.hand.now.max(time);
        self.brought = self.hand.now;
        self.hand.begin();
        self.settle();
    }

    /// A frame of `venue`, received now. `last`: no other one of it was received at the same instant.
    pub fn frame(&mut self, venue: VenueId, frame: &[u8], last: bool) {
        let Some(recorded) = self.hand.venues.get(venue.index()) else { return };
        let place = (recorded.stand_in.link)(frame);
        let conn = self.market_conn(venue, place);
        let offered = &mut self.offered[venue.index()];
        match conn {
            Some((conn, link)) if link.up => {
                offered.frames += 1;
                let kind = FrameKind::Text;
                let meta = FrameMeta { conn, epoch: link.epoch, kind, last, drained: last };
                self.input(Input::Frame(meta), frame);
                self.settle();
            }
            _ => offered.unheard += 1,
        }
    }

    /// A depth snapshot that the recorder asked for, received now; `symbol` may be empty. False: the engine was
    /// not waiting for it.
    pub fn snapshot(&mut self, venue: VenueId, symbol: &[u8], body: &[u8]) -> bool {
        let asked = self.hand.asked(venue, symbol);
        let offered = &mut self.offered[venue.index()];
        let Some(id) = asked else {
            offered.unasked += 1;
            return false;
        };
        offered.snapshots += 1;
        self.input(Input::HttpReply { venue, id, status: 200 }, body);
        self.settle();
        true
    }

    /// The venue's time as a frame that was received now states it, ms.
    pub fn venue_time(&mut self, venue: VenueId, time_ms: i64) {
        let Some(Pending { id, on, .. }) = self.hand.asked_time(venue) else { return };
        let body = (self.hand.venues[venue.index()].stand_in.time)(time_ms, id.0);
        self.hand.answers.push_back(match on {
            Some((conn, epoch)) => Answer::Text { conn, epoch, text: body },
            None => Answer::Reply { venue, id, status: 200, body },
        });
        self.settle();
    }

    /// The recorder lost a connection of `venue` and made it anew: what came between is not known.
    pub fn lost(&mut self, venue: VenueId) {
        for at in 0..self.hand.links.len() {
            let link = &mut self.hand.links[at];
            if self.hand.conns[at].venue == venue && std::mem::take(&mut link.up) {
                let (conn, epoch, reason) = (ConnId(at as u8), link.epoch, DownReason::Closed);
                self.hand.answers.push_back(Answer::Down { conn, epoch, reason });
            }
        }
        self.settle();
    }

    /// Ends the run in order.
    pub fn stop(&mut self) {
        self.input(Input::Command(Command::Stop), &[]);
        self.settle();
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Fused {
        &mut self.engine
    }

    /// What became of what a venue's recording offered.
    pub fn offered(&self, venue: VenueId) -> Offered {
        self.offered.get(venue.index()).copied().unwrap_or_default()
    }

    /// Hands out the engine.
    pub fn into_engine(self) -> Fused {
        self.engine
    }

    /// The `place`-th market connection of a venue, or its only one.
    fn market_conn(&self, venue: VenueId, place: usize) -> Option<(ConnId, Link)> {
        let of = |(_, info): &(usize, &ConnInfo)| info.venue == venue && info.role == SessionRole::Market;
        let mut conns = self.hand.conns.iter().enumerate().filter(of).map(|(at, _)| at);
        let first = conns.next()?;
        let at = if place == 0 { first } else { conns.nth(place - 1).unwrap_or(first) };
        Some((ConnId(at as u8), self.hand.links[at]))
    }

    fn input(&mut self, input: Input, bytes: &[u8]) {
        let quiet = self.hand.now - self.brought > QUIET;
        self.tick_at = self.hand.now + if quiet { SECOND } else { MILLI };
        let raw = RawInput { mono: self.hand.now - self.start, input, bytes };
        self.engine.input(&raw, &mut self.hand);
    }

    /// Passes on what the stand-ins answered, and what they answer to that.
    fn settle(&mut self) {
        while let Some(answer) = self.hand.answers.pop_front() {
            match answer {
                Answer::Up { conn, epoch } => {
                    let link = &mut self.hand.links[conn.index()];
                    if link.epoch == epoch {
                        link.up = true;
                        self.input(Input::ConnUp { conn, epoch }, &[]);
                    }
                }
                Answer::Down { conn, epoch, reason } => {
                    self.input(Input::ConnDown { conn, epoch, reason }, &[]);
                }
                Answer::Text { conn, epoch, text } => {
                    let kind = FrameKind::Text;
                    let meta = FrameMeta { conn, epoch, kind, last: true, drained: true };
                    self.input(Input::Frame(meta), &text);
                }
                Answer::Reply { venue, id, status, body } => {
                    self.input(Input::HttpReply { venue, id, status }, &body);
                }
            }
        }
    }
}
