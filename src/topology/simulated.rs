//! The simulated world: engine and venues in one process under one simulated clock.
//!
//! Same engine, same venues, same bytes as over sockets; the transport is a heap of deliveries. Nothing
//! here reads a clock: a run is a function of its configuration, so twice with one seed yields identical
//! journals, at hundreds of times real time.

use super::fused::{Egress, Fused};
use super::opening::Opening;
use crate::domain::effect::{HttpId, OutMsg, Redact, Target};
use crate::domain::input::{
    Command, ConnId, DownReason, FrameKind, FrameMeta, Input, RawInput, RefuseReason, SendFate,
};
use crate::domain::instrument::VenueId;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::{HttpReply, HttpRequest, LedgerServer, Push, SimConn};
use crate::stage::decode::ConnInfo;
use crate::stage::egress::{KillLatch, Vault, admit};
use crate::stage::gateway::outcome;
use crate::venue::pace::pace_of;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// A delivery in flight.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Delivery {
    ConnectAtVenue {
        conn: ConnId,
        epoch: u32,
        path: String,
    },
    TextAtVenue {
        conn: ConnId,
        epoch: u32,
        text: Vec<u8>,
    },
    ClosedAtVenue {
        conn: ConnId,
        epoch: u32,
    },
    HttpAtVenue {
        venue: VenueId,
        id: HttpId,
        redact: Option<RedactKey>,
        request: Vec<u8>,
    },
    ConnUp {
        conn: ConnId,
        epoch: u32,
    },
    ConnDown {
        conn: ConnId,
        epoch: u32,
        reason: DownKey,
    },
    Frame {
        conn: ConnId,
        epoch: u32,
        ping: bool,
        bytes: Vec<u8>,
    },
    HttpReply {
        venue: VenueId,
        id: HttpId,
        redact: Option<RedactKey>,
        status: u16,
        body: Vec<u8>,
        headers: Headers,
    },
    /// A request about an order, after its way inside the venue.
    HttpAtMatching {
        venue: VenueId,
        id: HttpId,
        redact: Option<RedactKey>,
        request: Vec<u8>,
    },
    /// The oldest of [`SimTransport::fates`].
    Fate,
}

/// Orderable stand-ins: deliveries are ordered by time and number only, but the heap wants a total order.
type RedactKey = (crate::domain::effect::SecretSlot, crate::domain::text::Text<16>);
type DownKey = bool;
/// Headers of a reply.
type Headers = Vec<(String, String)>;

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    epoch: u32,
    up: bool,
}

/// The simulated transport between the engine and the venues.
pub struct SimTransport {
    now: Nanos,
    latency_ns: Nanos,
    conns: Vec<ConnInfo>,
    links: Vec<Link>,
    vault: Vault,
    latch: KillLatch,
    heap: BinaryHeap<Reverse<(Nanos, u64, Delivery)>>,
    number: u64,
    sealed: Vec<u8>,
    /// How long after it a message's fate is told, ns; 0 = at once.
    fate_ns: Nanos,
    /// Fates on their way.
    fates: VecDeque<Input>,
}

impl SimTransport {
    fn at(&mut self, time: Nanos, delivery: Delivery) {
        self.number += 1;
        self.heap.push(Reverse((time, self.number, delivery)));
    }

    /// The fate of a message that left: now, or as an input of its own.
    fn tell(&mut self, message: &OutMsg, fate: SendFate) -> Option<SendFate> {
        if self.fate_ns == 0 {
            return Some(fate);
        }
        self.fates.push_back(outcome(&message.meta, fate));
        self.at(self.now + self.fate_ns, Delivery::Fate);
        None
    }

    /// The kill latch of the egress gate.
    pub fn latch(&self) -> &KillLatch {
        &self.latch
    }
}

impl Egress for SimTransport {
    fn send(&mut self, message: &OutMsg, mono: Nanos) -> Option<SendFate> {
        let arrival = self.now + self.latency_ns;
        match message.meta.target {
            Target::Socket(conn) => {
                let info = self.conns.get(conn.index())?;
                let link = self.links[conn.index()];
                let admitted = admit(&message.meta, &self.latch, link.up.then_some(link.epoch), mono);
                let sealed = admitted
                    .and_then(|()| self.vault.seal(info.venue.index(), &message.payload, &mut self.sealed));
                if let Err(reason) = sealed {
                    return Some(SendFate::Refused(reason));
                }
                let text = self.sealed.clone();
                self.at(arrival, Delivery::TextAtVenue { conn, epoch: link.epoch, text });
                self.tell(message, SendFate::Sent)
            }
            Target::Http { venue, id, redact } => {
                let redact = redact.map(|Redact { slot, key }| (slot, key));
                let order = message.meta.order.is_some();
                let sealed = admit(&message.meta, &self.latch, None, mono)
                    .and_then(|()| self.vault.seal(venue.index(), &message.payload, &mut self.sealed));
                match sealed {
                    Ok(()) => {
                        let request = self.sealed.clone();
                        self.at(arrival, Delivery::HttpAtVenue { venue, id, redact, request });
                    }
                    Err(reason) if order => return Some(SendFate::Refused(reason)),
                    Err(_) => {
                        let (body, headers) = (Vec::new(), Vec::new());
                        self.at(arrival, Delivery::HttpReply { venue, id, redact, status: 0, body, headers });
                    }
                }
                order.then_some(SendFate::Handed)
            }
            Target::Connect(conn) => {
                let info = *self.conns.get(conn.index())?;
                let link = &mut self.links[conn.index()];
                link.epoch += 1;
                let epoch = link.epoch;
                match self.vault.seal(info.venue.index(), &message.payload, &mut self.sealed) {
                    Ok(()) => {
                        let path = String::from_utf8_lossy(&self.sealed).into_owned();
                        self.at(arrival, Delivery::ConnectAtVenue { conn, epoch, path });
                    }
                    Err(RefuseReason::Unsigned | _) => {
                        self.at(arrival, Delivery::ConnDown { conn, epoch, reason: true });
                    }
                }
                None
            }
            Target::Close(conn) => {
                let link = self.links.get_mut(conn.index())?;
                if link.up && (message.meta.epoch == 0 || message.meta.epoch == link.epoch) {
                    link.up = false;
                    let epoch = link.epoch;
                    self.at(arrival, Delivery::ClosedAtVenue { conn, epoch });
                    self.at(self.now, Delivery::ConnDown { conn, epoch, reason: false });
                }
                None
            }
        }
    }
}

/// Engine and venues under one clock.
pub struct Simulation {
    engine: Fused,
    transport: SimTransport,
    servers: Vec<Box<dyn LedgerServer>>,
    /// Server-side connection → engine connection and epoch, by venue.
    accepted: Vec<BTreeMap<u32, (ConnId, u32)>>,
    start: Nanos,
    tick_at: Nanos,
    /// Between two ticks while nothing else comes, ns.
    tick_ns: Nanos,
    pushes: Vec<Push>,
    /// The engine has died: nothing reaches it any more.
    is_dead: bool,
}

impl Simulation {
    /// `servers` by venue; `start` is the wall time of the beginning; `latency_ns` is the one-way network
    /// latency of every link; `opening`, such as the canonical configuration bytes, is recorded first.
    pub fn new(
        engine: Fused,
        servers: Vec<Box<dyn LedgerServer>>,
        conns: Vec<ConnInfo>,
        vault: Vault,
        start: Nanos,
        latency_ns: Nanos,
        opening: impl Into<Opening>,
    ) -> Self {
        let links = vec![Link::default(); conns.len()];
        let mut simulation = Self {
            engine,
            transport: SimTransport {
                now: start,
                latency_ns,
                conns,
                links,
                vault,
                latch: KillLatch::default(),
                heap: BinaryHeap::with_capacity(4096),
                number: 0,
                sealed: Vec::with_capacity(4096),
                fate_ns: 0,
                fates: VecDeque::new(),
            },
            accepted: vec![BTreeMap::new(); servers.len()],
            servers,
            start,
            tick_at: start,
            tick_ns: MILLI,
            pushes: Vec::new(),
            is_dead: false,
        };
        for (input, bytes) in opening.into().inputs(start) {
            simulation.input(input, &bytes);
        }
        simulation
    }

    fn input(&mut self, input: Input, bytes: &[u8]) {
        self.tick_at = self.transport.now + self.tick_ns;
        if self.is_dead {
            return;
        }
        let raw = RawInput { mono: self.transport.now - self.start, input, bytes };
        self.engine.input(&raw, &mut self.transport);
    }

    /// From now on a tick comes after so long without another input, ns; usually 1 ms.
    pub fn tick_every(&mut self, span: Nanos) {
        self.tick_ns = span;
    }

    /// From now on the engine hears so much later what became of a message on a socket, ns: as over a ring from another
    /// thread, which a fast venue can overtake.
    pub fn tell_fates_after(&mut self, span: Nanos) {
        self.transport.fate_ns = span;
    }

    /// Sequences an operator's command now.
    pub fn command(&mut self, command: Command) {
        self.input(Input::Command(command), &[]);
    }

    /// Runs for `duration` of simulated time.
    pub fn run_for(&mut self, duration: Nanos) {
        let end = self.transport.now + duration;
        loop {
            let delivery = self.transport.heap.peek().map_or(Nanos::MAX, |Reverse((time, ..))| *time);
            let (venue, due) = self
                .servers
                .iter()
                .enumerate()
                .map(|(index, server)| (index, server.next_due()))
                .min_by_key(|(_, due)| *due)
                .unwrap_or((0, Nanos::MAX));
            let next = delivery.min(due).min(self.tick_at);
            if next > end {
                break;
            }
            self.transport.now = self.transport.now.max(next);
            if due <= next {
                self.servers[venue].advance(self.transport.now, &mut self.pushes);
                self.push(venue);
            } else if delivery <= next {
                self.deliver();
            } else {
                self.input(Input::Tick, &[]);
            }
        }
        self.transport.now = end;
    }

    /// Puts what a venue pushed on the way to the engine.
    fn push(&mut self, venue: usize) {
        let arrival = self.transport.now + self.transport.latency_ns;
        for push in self.pushes.drain(..) {
            let (conn, ping, bytes) = match push {
                Push::Text(conn, bytes) => (conn, false, bytes),
                Push::Ping(conn, bytes) => (conn, true, bytes),
                Push::Close(conn) => {
                    if let Some((conn, epoch)) = self.accepted[venue].remove(&conn.0) {
                        self.transport.at(arrival, Delivery::ConnDown { conn, epoch, reason: false });
                    }
                    continue;
                }
            };
            if let Some((conn, epoch)) = self.accepted[venue].get(&conn.0).copied() {
                self.transport.at(arrival, Delivery::Frame { conn, epoch, ping, bytes });
            }
        }
    }

    /// Connections on the venue's side are numbered by engine connection and epoch.
    fn sim_conn(conn: ConnId, epoch: u32) -> SimConn {
        SimConn(epoch << 8 | u32::from(conn.0))
    }

    fn deliver(&mut self) {
        let Some(Reverse((time, _, delivery))) = self.transport.heap.pop() else { return };
        let now = self.transport.now;
        let arrival = now + self.transport.latency_ns;
        match delivery {
            Delivery::ConnectAtVenue { conn, epoch, path } => {
                let venue = self.transport.conns[conn.index()].venue.index();
                let sim_conn = Self::sim_conn(conn, epoch);
                // Frames pushed at the upgrade must find the connection.
                self.accepted[venue].insert(sim_conn.0, (conn, epoch));
                let mut pushes = std::mem::take(&mut self.pushes);
                let accepted = self.servers[venue].on_connect(sim_conn, &path, now, &mut pushes);
                self.pushes = pushes;
                if accepted {
                    self.transport.at(arrival, Delivery::ConnUp { conn, epoch });
                } else {
                    self.accepted[venue].remove(&sim_conn.0);
                    self.transport.at(arrival, Delivery::ConnDown { conn, epoch, reason: true });
                }
                self.push(venue);
            }
            Delivery::TextAtVenue { conn, epoch, text } => {
                let venue = self.transport.conns[conn.index()].venue.index();
                let sim_conn = Self::sim_conn(conn, epoch);
                if self.accepted[venue].contains_key(&sim_conn.0) {
                    self.servers[venue].on_text(sim_conn, &text, now, &mut self.pushes);
                    self.push(venue);
                }
            }
            Delivery::ClosedAtVenue { conn, epoch } => {
                let venue = self.transport.conns[conn.index()].venue.index();
                let sim_conn = Self::sim_conn(conn, epoch);
                if self.accepted[venue].remove(&sim_conn.0).is_some() {
                    self.servers[venue].on_closed(sim_conn, now, &mut self.pushes);
                    self.push(venue);
                }
            }
            Delivery::HttpAtVenue { venue, id, redact, request } => {
                match self.servers[venue.index()].order_travel(&parse_http(&request)) {
                    None | Some(0) => self.ask((venue, id, redact), &request, now),
                    Some(travel) => {
                        let delivery = Delivery::HttpAtMatching { venue, id, redact, request };
                        self.transport.at(now + travel, delivery);
                    }
                }
            }
            Delivery::HttpAtMatching { venue, id, redact, request } => {
                self.ask((venue, id, redact), &request, now);
            }
            Delivery::ConnUp { conn, epoch } => {
                let link = &mut self.transport.links[conn.index()];
                if link.epoch == epoch {
                    link.up = true;
                    self.input(Input::ConnUp { conn, epoch }, &[]);
                }
            }
            Delivery::ConnDown { conn, epoch, reason } => {
                let link = &mut self.transport.links[conn.index()];
                if link.epoch == epoch {
                    link.up = false;
                    let reason = if reason { DownReason::Refused } else { DownReason::Closed };
                    self.input(Input::ConnDown { conn, epoch, reason }, &[]);
                }
            }
            Delivery::Frame { conn, epoch, ping, mut bytes } => {
                let last = !self.transport.heap.peek().is_some_and(|Reverse((next, _, other))| {
                    *next == time && matches!(other, Delivery::Frame { conn: c, epoch: e, .. } if (*c, *e) == (conn, epoch))
                });
                let kind = if ping { FrameKind::Ping } else { FrameKind::Text };
                self.transport.vault.redact_frame(&mut bytes);
                let meta = FrameMeta { conn, epoch, kind, last, drained: last };
                self.input(Input::Frame(meta), &bytes);
            }
            Delivery::Fate => {
                if let Some(fate) = self.transport.fates.pop_front() {
                    self.input(fate, &[]);
                }
            }
            Delivery::HttpReply { venue, id, redact, status, mut body, headers } => {
                let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                if let Some(pace) = pace_of(venue, status, headers) {
                    self.input(Input::Pace(pace), &[]);
                }
                if let Some((slot, key)) = redact {
                    self.transport.vault.redact_reply(&Redact { slot, key }, &mut body);
                }
                self.input(Input::HttpReply { venue, id, status }, &body);
            }
        }
    }

    /// Hands a request to its venue and puts the reply on the way.
    fn ask(&mut self, of: (VenueId, HttpId, Option<RedactKey>), request: &[u8], now: Nanos) {
        let ((venue, id, redact), request) = (of, parse_http(request));
        let server = &mut self.servers[venue.index()];
        let HttpReply { status, body, headers } = server.on_http(&request, now, &mut self.pushes);
        let travel = if server.order_travel(&request).is_some() { server.reply_travel() } else { 0 };
        self.push(venue.index());
        let delivery = Delivery::HttpReply { venue, id, redact, status, body, headers };
        self.transport.at(now + travel + self.transport.latency_ns, delivery);
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Fused {
        &mut self.engine
    }

    /// The venues.
    pub fn servers(&self) -> &[Box<dyn LedgerServer>] {
        &self.servers
    }

    /// Simulated wall time.
    pub fn now(&self) -> Nanos {
        self.transport.now
    }

    /// The transport, for its latch.
    pub fn transport(&self) -> &SimTransport {
        &self.transport
    }

    /// The engine dies without a word. The venues live on for `span`, with what was on its way to them; then they lose its
    /// connections and are handed out.
    pub fn die(mut self, span: Nanos) -> Vec<Box<dyn LedgerServer>> {
        self.is_dead = true;
        self.run_for(span);
        let now = self.transport.now;
        for (server, accepted) in self.servers.iter_mut().zip(&self.accepted) {
            accepted.keys().for_each(|conn| server.on_closed(SimConn(*conn), now, &mut self.pushes));
        }
        self.servers
    }

    /// Ends the run: hands out engine and venues.
    pub fn into_parts(self) -> (Fused, Vec<Box<dyn LedgerServer>>) {
        (self.engine, self.servers)
    }
}

/// Splits the text form of an HTTP effect (`METHOD path?query`, header lines, empty line, body).
pub fn parse_http(text: &[u8]) -> HttpRequest {
    let mut request = HttpRequest::default();
    let mut rest = text;
    let mut line = || {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = rest.get(end + 1..).unwrap_or(&[]);
        line
    };
    let first = line();
    let (method, target) = first.split_once(' ').unwrap_or((&first, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    request.method = method.to_owned();
    request.path = path.to_owned();
    request.query = query.to_owned();
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(':') else { break };
        request.headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    request.body = rest.to_vec();
    request
}
