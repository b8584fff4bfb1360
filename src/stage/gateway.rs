//! Gateway: sockets in, sockets out. Knows bytes, epochs and the egress gate; knows no business.
//!
//! Private and order connections are polled first. One frame is handed over at a time, copied out of the
//! socket's buffer so that messages can leave while it is being processed. Nothing here allocates in
//! steady state but TLS records and HTTP.

use super::decode::ConnInfo;
use super::egress::{JournalState, KillLatch, Vault, admit};
use super::errand::{Errand, Errands};
use crate::domain::effect::{MessageId, OutMsg, Target};
use crate::domain::event::SessionRole;
use crate::domain::input::{
    ConnId, DownReason, FrameKind, FrameMeta, Input, RefuseReason, SendFate, SendOutcome,
};
use crate::domain::order::OrderSpec;
use crate::domain::time::Nanos;
use crate::net::socket::{Handed, MessageKind, NetError, SendError, SocketLimits, WsSocket};
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Largest frame that is accepted: the largest slab class.
pub const FRAME_MAX: usize = 512 * 1024;

struct Line {
    info: ConnInfo,
    url: Arc<str>,
    socket: Option<WsSocket>,
    epoch: u32,
    dialling: bool,
    readable: bool,
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
    http: Vec<Arc<str>>,
    errands: Errands,
    vault: Vault,
    latch: Arc<KillLatch>,
    sealed: Vec<u8>,
    ready: VecDeque<Input>,
    readable_at: Nanos,
    journal: JournalState,
    queued: u64,
    orders: Orders,
}

impl Gateway {
    /// For the connections `conns` at `addresses`; only with [`Orders::Live`] an order is ever written.
    pub fn new(
        conns: &[ConnInfo],
        addresses: &Addresses,
        errands: Errands,
        vault: Vault,
        latch: Arc<KillLatch>,
        orders: Orders,
    ) -> io::Result<Self> {
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
                    dialling: false,
                    readable: false,
                })
                .collect(),
            order,
            http: addresses.http.iter().map(|url| url.as_str().into()).collect(),
            errands,
            vault,
            latch,
            sealed: Vec::with_capacity(8192),
            ready: VecDeque::with_capacity(256),
            readable_at: 0,
            journal: JournalState::Off,
            queued: 0,
            orders,
        })
    }

    /// The next thing that happened, with its bytes in `bytes`; `None` when nothing is waiting after
    /// polling the sockets for at most `timeout` (zero = do not sleep).
    pub fn next(
        &mut self,
        bytes: &mut Vec<u8>,
        timeout: Duration,
        clock: &mut impl FnMut() -> Nanos,
    ) -> io::Result<Option<Inbound>> {
        bytes.clear();
        if let Some(input) = self.ready.pop_front() {
            return Ok(Some(Inbound { input, readable: clock() }));
        }
        if let Some(errand) = self.errands.poll()
            && let Some(input) = self.errand(errand, bytes)
        {
            return Ok(Some(Inbound { input, readable: clock() }));
        }
        if let Some(input) = self.read_ready(bytes) {
            return Ok(Some(Inbound { input, readable: self.readable_at }));
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(failure) if failure.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(failure) => return Err(failure),
        }
        if self.events.is_empty() {
            return Ok(None);
        }
        self.readable_at = clock();
        for event in &self.events {
            let Some(line) = self.lines.get_mut(event.token().0) else { continue };
            line.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            if event.is_writable()
                && let Some(socket) = &mut line.socket
                && socket.wants_write()
            {
                // A failure shows at the next read.
                let _ = socket.flush();
            }
        }
        Ok(self.read_ready(bytes).map(|input| Inbound { input, readable: self.readable_at }))
    }

    /// Reads one message from the first connection that has one.
    fn read_ready(&mut self, bytes: &mut Vec<u8>) -> Option<Input> {
        for index in 0..self.order.len() {
            let conn = self.order[index];
            if !self.lines[conn].readable {
                continue;
            }
            if let Some(input) = self.read_line(conn, bytes) {
                return Some(input);
            }
        }
        None
    }

    fn read_line(&mut self, conn: usize, bytes: &mut Vec<u8>) -> Option<Input> {
        let line = &mut self.lines[conn];
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
                line.dialling = false;
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
            Errand::Replied { venue, id, redact, status, body } => {
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
            Target::Http { venue, id, redact } => {
                let base = self.http.get(venue.index()).cloned();
                let sealed = self.vault.seal(venue.index(), &message.payload, &mut self.sealed);
                match (base, sealed) {
                    (Some(base), Ok(())) => self.errands.call(venue, id, redact, &base, self.sealed.clone()),
                    _ => self.ready.push_back(Input::HttpReply { venue, id, status: 0 }),
                }
                None
            }
            Target::Connect(conn) => {
                let venue = venue_of(conn)?;
                let sealed = self.vault.seal(venue, &message.payload, &mut self.sealed);
                let line = &mut self.lines[conn.index()];
                line.epoch += 1;
                line.dialling = true;
                let epoch = line.epoch;
                match sealed {
                    Ok(()) => {
                        let path = String::from_utf8_lossy(&self.sealed).into_owned();
                        let url = Arc::clone(&line.url);
                        self.errands.dial(conn, epoch, &url, path);
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

    /// The fate of an order that must not be written, whatever it is aimed at.
    fn keep(&self, message: &OutMsg, now: Nanos) -> SendFate {
        // There is no session on paper: every other rule of the gate holds.
        let epoch = Some(message.meta.epoch);
        match (self.orders, admit(&message.meta, &self.latch, epoch, self.journal, now)) {
            (Orders::Paper, Ok(())) => SendFate::Sent,
            (Orders::Paper, Err(reason)) => SendFate::Refused(reason),
            (Orders::None | Orders::Live, _) => SendFate::Refused(RefuseReason::Unsigned),
        }
    }

    fn send(&mut self, conn: ConnId, message: &OutMsg, now: Nanos) -> SendFate {
        let Some(line) = self.lines.get(conn.index()) else { return SendFate::Refused(RefuseReason::Epoch) };
        let venue = line.info.venue.index();
        let epoch = line.socket.as_ref().map(|_| line.epoch);
        let order = message.meta.order.is_some();
        let admitted = admit(&message.meta, &self.latch, epoch, self.journal, now)
            .and_then(|()| self.vault.seal(venue, &message.payload, &mut self.sealed));
        if let Err(reason) = admitted {
            return SendFate::Refused(reason);
        }
        let line = &mut self.lines[conn.index()];
        let Some(socket) = &mut line.socket else { return SendFate::Refused(RefuseReason::Epoch) };
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

    /// What the gate shall assume of the journal from now on.
    pub fn set_journal(&mut self, state: JournalState) {
        self.journal = state;
    }

    /// Failures of diallings and HTTP requests, as sentences.
    pub fn take_notes(&self) -> Vec<String> {
        self.errands.take_notes()
    }

    /// Closes every connection and ends the errand threads.
    pub fn stop(&mut self) {
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
pub fn outcome(message: MessageId, fate: SendFate, order: Option<OrderSpec>) -> Input {
    Input::Outcome(SendOutcome { message, fate, order })
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
