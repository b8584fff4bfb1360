//! Gateway: sockets in, sockets out. Knows bytes, epochs and the egress gate; knows no business.
//!
//! Private and order connections are polled first. One frame is handed over at a time, copied out of the
//! socket's buffer so that messages can leave while it is being processed. Nothing here allocates in
//! steady state but TLS records and HTTP.

use super::decode::ConnInfo;
use super::egress::{AheadGate, KillLatch, Vault, admit, check_epoch};
use super::errand::{Errand, Errands, Leave};
use crate::domain::effect::{HttpId, MessageId, OutMeta, OutMsg, Redact, Target};
use crate::domain::event::SessionRole;
use crate::domain::input::{
    ConnId, DownReason, FrameKind, FrameMeta, Input, RefuseReason, SendFate, SendOutcome,
};
use crate::domain::instrument::VenueId;
use crate::domain::order::ClientId;
use crate::domain::time::Nanos;
use crate::net::proxy::Proxy;
use crate::net::socket::{Handed, MessageKind, NetError, SendError, SocketLimits, WsSocket};
use crate::runtime::clock::Clock;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Largest frame that is accepted: the largest slab class.
pub const FRAME_MAX: usize = 512 * 1024;

/// Messages after which the sockets are polled although some are still readable.
const POLL_EVERY: u32 = 8;

struct Line {
    info: ConnInfo,
    url: Arc<str>,
    socket: Option<WsSocket>,
    epoch: u32,
    readable: bool,
    /// When it became readable.
    readable_at: Nanos,
}

/// What the gateway received.
#[derive(Clone, Copy, Debug)]
pub struct Inbound {
    /// The input; its bytes are in the caller's buffer.
    pub input: Input,
    /// When the poll that found it returned: the frame was readable from here on at the latest.
    pub readable: Nanos,
}

/// Where the venues are.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Base URL of each connection, by [`ConnId`].
    pub sockets: Vec<String>,
    /// Base URL for HTTP, by venue.
    pub http: Vec<String>,
    /// Proxy, by venue; none beyond the end.
    pub proxies: Vec<Option<Arc<Proxy>>>,
}

/// What becomes of orders at the gate; session messages are not concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orders {
    /// Refused.
    #[default]
    None,
    /// Passed by the gate as if sent, and never written: decode executes them on paper.
    Paper,
    /// Written to the venues.
    Live,
}

/// The gateway.
pub struct Gateway {
    poll: Poll,
    events: Events,
    lines: Vec<Line>,
    /// Connections in the order in which they are read: account and orders first.
    order: Vec<usize>,
    /// How many of `order` are account and order connections.
    private_lines: usize,
    /// Whose turn it is among the market connections.
    market_turn: usize,
    http: Vec<Arc<str>>,
    errands: Errands,
    /// A reply whose headers have gone ahead of it.
    held: Option<Errand>,
    vault: Vault,
    latch: Arc<KillLatch>,
    sealed: Vec<u8>,
    ready: VecDeque<Input>,
    since_poll: u32,
    /// Verdict on the latest opening order: the other legs of its basket share it.
    verdict: Option<(MessageId, Result<(), RefuseReason>)>,
    queued: u64,
    orders: Orders,
    /// For telling the gate's time from the kernel's.
    timer: Option<Clock>,
    write_began: Nanos,
    /// Write-ahead; `None` = off.
    ahead: Option<AheadGate>,
}

impl Gateway {
    /// For the connections `conns` at `addresses`; only with [`Orders::Live`] an order is ever written.
    pub fn new(
        conns: &[ConnInfo],
        addresses: &Addresses,
        mut errands: Errands,
        vault: Vault,
        latch: Arc<KillLatch>,
        orders: Orders,
    ) -> io::Result<Self> {
        if orders == Orders::Live {
            errands.serve_orders(addresses.http.len())?;
        }
        let mut order: Vec<usize> = (0..conns.len()).collect();
        order.sort_by_key(|index| match conns[*index].role {
            SessionRole::Orders => 0,
            SessionRole::Account => 1,
            SessionRole::Market => 2,
        });
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(64),
            lines: conns
                .iter()
                .zip(&addresses.sockets)
                .map(|(info, url)| Line {
                    info: *info,
                    url: url.as_str().into(),
                    socket: None,
                    epoch: 0,
                    readable: false,
                    readable_at: 0,
                })
                .collect(),
            private_lines: order.iter().filter(|index| conns[**index].role != SessionRole::Market).count(),
            market_turn: 0,
            order,
            http: addresses.http.iter().map(|url| url.as_str().into()).collect(),
            errands,
            held: None,
            vault,
            latch,
            sealed: Vec::with_capacity(8192),
            ready: VecDeque::with_capacity(256),
            since_poll: 0,
            verdict: None,
            queued: 0,
            orders,
            timer: None,
            write_began: 0,
            ahead: None,
        })
    }

    /// From now on [`Gateway::write_began`] is stamped.
    pub fn time_writes(&mut self, clock: Clock) {
        self.timer = Some(clock);
    }

    /// When the write of the latest order began: behind the gate's word and the signature. 0 = not timed.
    pub fn write_began(&self) -> Nanos {
        self.write_began
    }

    /// Does with an imagined order all that sending one does (the gate's rules, secrets, signature, frame)
    /// but the write, and keeps nothing of it.
    pub fn rehearse(&mut self, message: &OutMsg, now: Nanos) {
        if let Target::Http { venue, .. } = message.meta.target {
            std::hint::black_box(admit(&message.meta, &self.latch, None, now).is_ok());
            if self.orders == Orders::Live && !message.payload.scheme.is_slow() {
                std::hint::black_box(
                    self.vault.seal(venue.index(), &message.payload, &mut self.sealed).is_ok(),
                );
            }
            return self.sealed.clear();
        }
        let Target::Socket(conn) = message.meta.target else { return };
        let Some(line) = self.lines.get_mut(conn.index()) else { return };
        let epoch = line.socket.as_ref().map(|_| line.epoch);
        std::hint::black_box(admit(&message.meta, &self.latch, epoch, now).is_ok());
        // A curve's signature takes longer than a price may wait for.
        if self.orders == Orders::Live
            && !message.payload.scheme.is_slow()
            && self.vault.seal(line.info.venue.index(), &message.payload, &mut self.sealed).is_ok()
            && let Some(socket) = &mut line.socket
        {
            socket.rehearse_text(&self.sealed);
        }
        self.sealed.clear();
    }

    /// Lets opening orders leave only once they are recorded as the gate demands.
    #[must_use]
    pub fn with_write_ahead(mut self, ahead: Option<AheadGate>) -> Self {
        self.ahead = ahead;
        self
    }

    /// True for an opening order that is not recorded far enough yet and may wait for it: ask again. What
    /// the gate would refuse anyway does not wait.
    pub fn must_wait(&self, message: &OutMsg, now: Nanos) -> bool {
        let Some(ahead) = &self.ahead else { return false };
        message.meta.is_opening()
            && !ahead.has_reached(message)
            && ahead.is_patient(message, now)
            && admit(&message.meta, &self.latch, Some(message.meta.epoch), now).is_ok()
    }

    /// Whether the record demanded of an opening order is there.
    fn check_ahead(&self, message: &OutMsg) -> Result<(), RefuseReason> {
        match &self.ahead {
            Some(ahead) if message.meta.is_opening() && !ahead.has_reached(message) => {
                Err(RefuseReason::Journal)
            }
            _ => Ok(()),
        }
    }

    /// The next thing that happened, with its bytes in `bytes`; `None` when nothing is waiting after
    /// polling the sockets for at most `timeout` (zero = do not sleep). With `markets` false, market data
    /// stays in its sockets: there is no room for it now.
    pub fn next(
        &mut self,
        bytes: &mut Vec<u8>,
        markets: bool,
        timeout: Duration,
        clock: &mut impl FnMut() -> Nanos,
    ) -> io::Result<Option<Inbound>> {
        bytes.clear();
        if let Some(input) = self.ready.pop_front() {
            return Ok(Some(Inbound { input, readable: clock() }));
        }
        if let Some(errand) = self.held.take().or_else(|| self.errands.poll())
            && let Some(input) = self.errand(errand, bytes)
        {
            return Ok(Some(Inbound { input, readable: clock() }));
        }
        // A market that never falls silent must not keep private frames, pongs and half-written orders
        // waiting: the sockets are polled every few messages in any case.
        self.since_poll += 1;
        if self.since_poll >= POLL_EVERY {
            self.poll_sockets(Duration::ZERO, clock)?;
        }
        if let Some(inbound) = self.read_ready(bytes, markets) {
            return Ok(Some(inbound));
        }
        self.poll_sockets(timeout, clock)?;
        Ok(self.read_ready(bytes, markets))
    }

    fn poll_sockets(&mut self, timeout: Duration, clock: &mut impl FnMut() -> Nanos) -> io::Result<()> {
        self.since_poll = 0;
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(failure) if failure.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(failure) => return Err(failure),
        }
        if self.events.is_empty() {
            return Ok(());
        }
        let now = clock();
        for event in &self.events {
            let Some(line) = self.lines.get_mut(event.token().0) else { continue };
            if !line.readable && (event.is_readable() || event.is_read_closed() || event.is_error()) {
                (line.readable, line.readable_at) = (true, now);
            }
            if event.is_writable()
                && let Some(socket) = &mut line.socket
                && socket.wants_write()
            {
                // A failure shows at the next read.
                let _ = socket.flush();
            }
        }
        Ok(())
    }

    /// Reads one message: private connections first, then market data in turn, so that a busy market
    /// does not starve the others.
    fn read_ready(&mut self, bytes: &mut Vec<u8>, with_markets: bool) -> Option<Inbound> {
        for index in 0..self.private_lines {
            if let Some(inbound) = self.read_line(self.order[index], bytes) {
                return Some(inbound);
            }
        }
        let markets = if with_markets { self.order.len() - self.private_lines } else { 0 };
        for _ in 0..markets {
            let conn = self.order[self.private_lines + self.market_turn % markets];
            if let Some(inbound) = self.read_line(conn, bytes) {
                // The rest of a burst first: its end is when edges are evaluated.
                let burst_goes_on = matches!(inbound.input, Input::Frame(FrameMeta { last: false, .. }));
                self.market_turn += usize::from(!burst_goes_on);
                return Some(inbound);
            }
            self.market_turn += 1;
        }
        None
    }

    fn read_line(&mut self, conn: usize, bytes: &mut Vec<u8>) -> Option<Inbound> {
        let readable = self.lines[conn].readable_at;
        self.read_message(conn, bytes).map(|input| Inbound { input, readable })
    }

    fn read_message(&mut self, conn: usize, bytes: &mut Vec<u8>) -> Option<Input> {
        let line = &mut self.lines[conn];
        if !line.readable {
            return None;
        }
        let Some(socket) = &mut line.socket else {
            line.readable = false;
            return None;
        };
        match socket.read() {
            Ok(Some(message)) => {
                bytes.extend_from_slice(message.payload);
                let kind = match message.kind {
                    MessageKind::Text => FrameKind::Text,
                    MessageKind::Binary => FrameKind::Binary,
                    MessageKind::Ping => FrameKind::Ping,
                    MessageKind::Pong => FrameKind::Pong,
                };
                let meta = FrameMeta {
                    conn: ConnId(conn as u8),
                    epoch: line.epoch,
                    kind,
                    last: message.last,
                    drained: message.drained,
                };
                if line.info.role != SessionRole::Market {
                    self.vault.redact_frame(bytes);
                }
                Some(Input::Frame(meta))
            }
            Ok(None) => {
                line.readable = false;
                None
            }
            Err(failure) => Some(self.drop_line(conn, down_reason(&failure))),
        }
    }

    fn drop_line(&mut self, conn: usize, reason: DownReason) -> Input {
        let line = &mut self.lines[conn];
        if let Some(mut socket) = line.socket.take() {
            // Best effort: the stream is closed by dropping it anyway.
            let _ = self.poll.registry().deregister(socket.transport_mut());
        }
        line.readable = false;
        Input::ConnDown { conn: ConnId(conn as u8), epoch: line.epoch, reason }
    }

    fn errand(&mut self, errand: Errand, bytes: &mut Vec<u8>) -> Option<Input> {
        match errand {
            Errand::Dialled { conn, epoch, result } => {
                let line = self.lines.get_mut(conn.index())?;
                if line.epoch != epoch {
                    return None;
                }
                let limits = SocketLimits { message_max: FRAME_MAX, ..SocketLimits::default() };
                let socket = result.and_then(|established| {
                    let mut socket = WsSocket::new(established.stream, &established.leftover, limits)
                        .map_err(|failure| down_reason(&failure))?;
                    self.poll
                        .registry()
                        .register(
                            socket.transport_mut(),
                            Token(conn.index()),
                            Interest::READABLE | Interest::WRITABLE,
                        )
                        .map_err(|_| DownReason::Broken)?;
                    Ok(socket)
                });
                match socket {
                    Ok(socket) => {
                        line.socket = Some(socket);
                        // Leftover frames raise no event: read once in any case.
                        line.readable = true;
                        Some(Input::ConnUp { conn, epoch })
                    }
                    Err(reason) => Some(Input::ConnDown { conn, epoch, reason }),
                }
            }
            Errand::Withdrawn { meta, reason } => Some(outcome(&meta, SendFate::Withdrawn(reason))),
            Errand::Replied { venue, id, redact, status, body, pace: Some(pace) } => {
                // What the reply says of limits goes first.
                self.held = Some(Errand::Replied { venue, id, redact, status, body, pace: None });
                Some(Input::Pace(pace))
            }
            Errand::Replied { venue, id, redact, status, body, pace: None } => {
                bytes.extend_from_slice(&body);
                if let Some(redact) = redact {
                    self.vault.redact_reply(&redact, bytes);
                }
                Some(Input::HttpReply { venue, id, status })
            }
        }
    }

    /// Carries out one message; the gate decides. `None` when its fate shows otherwise.
    pub fn carry_out(&mut self, message: &OutMsg, now: Nanos) -> Option<SendFate> {
        if message.meta.order.is_some() && self.orders != Orders::Live {
            return Some(self.keep(message, now));
        }
        let venue_of = |conn: ConnId| self.lines.get(conn.index()).map(|line| line.info.venue.index());
        match message.meta.target {
            Target::Socket(conn) => Some(self.send(conn, message, now)),
            Target::Http { venue, id, redact } => self.ask(venue, id, redact, message, now),
            Target::Connect(conn) => {
                let venue = venue_of(conn)?;
                let sealed = self.vault.seal(venue, &message.payload, &mut self.sealed);
                if self.lines[conn.index()].socket.is_some() {
                    // A dialect closes before it connects again; never keep two of one connection.
                    let down = self.drop_line(conn.index(), DownReason::Ours);
                    self.ready.push_back(down);
                }
                let line = &mut self.lines[conn.index()];
                line.epoch += 1;
                let epoch = line.epoch;
                match sealed {
                    Ok(()) => {
                        let path = String::from_utf8_lossy(&self.sealed).into_owned();
                        let url = Arc::clone(&line.url);
                        self.errands.dial(line.info.venue, conn, epoch, &url, path);
                    }
                    Err(_) => {
                        self.ready.push_back(Input::ConnDown { conn, epoch, reason: DownReason::Refused });
                    }
                }
                None
            }
            Target::Close(conn) => {
                let line = self.lines.get_mut(conn.index())?;
                let current = message.meta.epoch == 0 || message.meta.epoch == line.epoch;
                if current && line.socket.is_some() {
                    if let Some(socket) = &mut line.socket {
                        let _ = socket.close(1000);
                    }
                    let down = self.drop_line(conn.index(), DownReason::Ours);
                    self.ready.push_back(down);
                }
                None
            }
        }
    }

    /// Hands an HTTP request to its thread. An order passes the gate here, and once more when its turn has come:
    /// what is refused then comes back as withdrawn.
    fn ask(
        &mut self,
        venue: VenueId,
        id: HttpId,
        redact: Option<Redact>,
        message: &OutMsg,
        now: Nanos,
    ) -> Option<SendFate> {
        let leave = Leave::new(&message.meta, &self.latch);
        let order = leave.is_some();
        let admitted = if order { self.admit(message, None, now) } else { Ok(()) };
        let sealed = admitted
            .and_then(|()| self.vault.seal(venue.index(), &message.payload, &mut self.sealed))
            .and_then(|()| self.http.get(venue.index()).cloned().ok_or(RefuseReason::NotWritable));
        let base = match sealed {
            Ok(base) => base,
            Err(reason) if order => return Some(SendFate::Refused(reason)),
            Err(_) => {
                self.ready.push_back(Input::HttpReply { venue, id, status: 0 });
                return None;
            }
        };
        if order && let Some(timer) = &mut self.timer {
            self.write_began = timer.mono_ns();
        }
        self.errands.call(venue, id, redact, &base, self.sealed.clone(), leave);
        order.then_some(SendFate::Handed)
    }

    /// The fate of an order that must not be written, whatever it is aimed at.
    fn keep(&self, message: &OutMsg, now: Nanos) -> SendFate {
        // There is no session on paper: every other rule of the gate holds.
        let epoch = Some(message.meta.epoch);
        let admitted = admit(&message.meta, &self.latch, epoch, now).and_then(|()| self.check_ahead(message));
        match (self.orders, admitted) {
            (Orders::Paper, Ok(())) => SendFate::Sent,
            (Orders::Paper, Err(reason)) => SendFate::Refused(reason),
            (Orders::None | Orders::Live, _) => SendFate::Refused(RefuseReason::Unsigned),
        }
    }

    /// The gate's word. Legs of one basket share the first one's, so that the gate itself never splits
    /// a basket; only the connection may.
    fn admit(&mut self, message: &OutMsg, epoch: Option<u32>, now: Nanos) -> Result<(), RefuseReason> {
        let meta = &message.meta;
        if !meta.is_opening() {
            return admit(meta, &self.latch, epoch, now);
        }
        let shared = match self.verdict {
            Some((token, verdict)) if token == message.token => verdict,
            _ => admit(meta, &self.latch, Some(meta.epoch), now).and_then(|()| self.check_ahead(message)),
        };
        self.verdict = Some((message.token, shared));
        shared.and_then(|()| check_epoch(meta, epoch))
    }

    fn send(&mut self, conn: ConnId, message: &OutMsg, now: Nanos) -> SendFate {
        let Some(line) = self.lines.get(conn.index()) else { return SendFate::Refused(RefuseReason::Epoch) };
        let venue = line.info.venue.index();
        let epoch = line.socket.as_ref().map(|_| line.epoch);
        let order = message.meta.order.is_some();
        let admitted = self
            .admit(message, epoch, now)
            .and_then(|()| self.vault.seal(venue, &message.payload, &mut self.sealed));
        if let Err(reason) = admitted {
            return SendFate::Refused(reason);
        }
        let line = &mut self.lines[conn.index()];
        let Some(socket) = &mut line.socket else { return SendFate::Refused(RefuseReason::Epoch) };
        if order && let Some(timer) = &mut self.timer {
            self.write_began = timer.mono_ns();
        }
        let handed = if order { socket.send_text_now(&self.sealed) } else { socket.send_text(&self.sealed) };
        match handed {
            Ok(Handed::Sent) => SendFate::Sent,
            Ok(Handed::Queued) => {
                self.queued += 1;
                SendFate::Sent
            }
            Err(SendError::NotWritable) => SendFate::Refused(RefuseReason::NotWritable),
            Err(SendError::NotOpen) => SendFate::Refused(RefuseReason::Epoch),
            Err(SendError::Broken(_)) => {
                // The read side reports the loss of the connection.
                line.readable = true;
                SendFate::Unknown
            }
        }
    }

    /// Failures of diallings and HTTP requests, as sentences.
    pub fn take_notes(&self) -> Vec<String> {
        self.errands.take_notes()
    }

    /// Closes every connection and ends the errand threads. What still waits for one of them begins nothing new.
    pub fn stop(&mut self) {
        self.latch.stop();
        for conn in 0..self.lines.len() {
            if let Some(socket) = &mut self.lines[conn].socket {
                let _ = socket.close(1000);
            }
            let _ = self.drop_line(conn, DownReason::Ours);
        }
        self.errands.stop();
    }
}

/// The outcome input of a message.
pub fn outcome(meta: &OutMeta, fate: SendFate) -> Input {
    let outcome = SendOutcome { message: meta.message, fate, order: meta.order };
    match meta.replaces {
        ClientId::NONE if meta.amends => Input::AmendOutcome(outcome),
        ClientId::NONE => Input::Outcome(outcome),
        old => Input::ReplaceOutcome { outcome, old },
    }
}

fn down_reason(failure: &NetError) -> DownReason {
    match failure {
        NetError::Closed { .. } | NetError::Dropped => DownReason::Closed,
        NetError::ClosedByUs => DownReason::Ours,
        NetError::Oversized { .. } => DownReason::Oversized,
        NetError::Protocol(_) => DownReason::Protocol,
        NetError::BrokenMessage { .. } | NetError::Io(_) | NetError::Tls(_) | NetError::NoRandomness => {
            DownReason::Broken
        }
    }
}
