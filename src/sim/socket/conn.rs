//! One client of a host: HTTP until it upgrades, then WebSocket, then drained and gone.
//!
//! Turns readiness into whole requests and messages, and whole replies and frames into bytes. Knows nothing of
//! the venue; the host decides what is answered.

use super::http::{self, Parsed, Upgrade};
use super::transport::Transport;
use crate::domain::time::{Nanos, SECOND};
use crate::sim::{HttpReply, HttpRequest, SimConn};
use std::io::{self, Read, Write};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error as WsError, Message, Utf8Bytes, WebSocket};

/// How long an HTTP client may be idle between requests.
const IDLE_MAX: Nanos = 75 * SECOND;
/// How long a client may take to read our goodbye.
const DRAIN_MAX: Nanos = 2 * SECOND;
/// Longest message of a client; OKX allows 64 KiB of subscription arguments, Binance less.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// A client connection.
pub(super) struct Conn {
    stage: Stage,
    /// Its WebSocket's number at the venue; `None` before the upgrade and after the end.
    pub(super) sim: Option<SimConn>,
    /// When it is dropped if nothing happens.
    pub(super) deadline: Nanos,
    /// The request that is being executed: no other is read before its reply.
    pub(super) waiting: Option<u64>,
    out_bytes_max: usize,
}

enum Stage {
    Http { transport: Transport, input: Vec<u8>, continued: bool },
    Ws(Box<WebSocket<Transport>>),
    Draining { transport: Transport, finished: bool },
    Gone,
}

/// What one step of reading brought.
#[derive(Debug)]
pub(super) enum Step {
    /// A request; answer by [`Conn::reply`].
    Request { request: HttpRequest, keep_alive: bool },
    /// A WebSocket upgrade; answer by [`Conn::upgrade`] or [`Conn::reply`].
    Upgrade { request: HttpRequest, upgrade: Upgrade },
    /// A text message.
    Text(Utf8Bytes),
    /// Something that the host need not know; step again.
    Progress,
    /// Nothing more to read for now.
    Idle,
    /// The WebSocket has failed; it is being drained and the venue must be told.
    Lost,
    /// The connection is over: drop it.
    Dead,
}

impl Conn {
    pub(super) fn new(transport: Transport, out_bytes_max: usize, now: Nanos) -> Self {
        let stage = Stage::Http { transport, input: Vec::new(), continued: false };
        Self { stage, sim: None, deadline: now + IDLE_MAX, waiting: None, out_bytes_max }
    }

    /// Reads until something whole is there.
    pub(super) fn step(&mut self, now: Nanos) -> Step {
        match &mut self.stage {
            Stage::Http { .. } => self.step_http(now),
            Stage::Ws(_) => self.step_ws(now),
            Stage::Draining { .. } => self.step_draining(),
            Stage::Gone => Step::Dead,
        }
    }

    fn step_http(&mut self, now: Nanos) -> Step {
        let Stage::Http { transport, input, continued } = &mut self.stage else { return Step::Dead };
        if transport.queued_bytes() > self.out_bytes_max {
            return Step::Dead; // sends requests, does not read replies
        }
        if !input.is_empty() {
            match http::parse(input) {
                Parsed::Request { request, length, keep_alive, upgrade } => {
                    input.drain(..length);
                    *continued = false;
                    self.deadline = now + IDLE_MAX;
                    return match upgrade {
                        Some(upgrade) => Step::Upgrade { request, upgrade },
                        None => Step::Request { request, keep_alive },
                    };
                }
                Parsed::Refused { status, reason } => {
                    self.reply(&http::refusal(status, reason), false, true, now);
                    return Step::Progress;
                }
                Parsed::Partial { expects_continue: true } if !*continued => {
                    *continued = true;
                    transport.queue().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                Parsed::Partial { .. } => {}
            }
        }
        if is_fatal(transport.flush()) {
            return Step::Dead;
        }
        let mut buffer = [0; READ_BYTES];
        match transport.read(&mut buffer) {
            Ok(0) => Step::Dead,
            Ok(length) => {
                input.extend_from_slice(&buffer[..length]);
                Step::Progress
            }
            Err(error) => blocked_or_dead(&error),
        }
    }

    fn step_ws(&mut self, now: Nanos) -> Step {
        let Stage::Ws(socket) = &mut self.stage else { return Step::Dead };
        let failure = match socket.read() {
            Ok(Message::Text(text)) => return Step::Text(text),
            Ok(Message::Binary(_)) => CloseCode::Unsupported,
            Ok(_) => return Step::Progress,
            Err(WsError::Io(error)) => return blocked_or_dead(&error),
            Err(WsError::Capacity(_)) => CloseCode::Size,
            Err(WsError::Utf8(_)) => CloseCode::Invalid,
            Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Step::Dead,
            Err(WsError::Protocol(_)) => CloseCode::Protocol,
            Err(_) => return Step::Dead,
        };
        let _ = socket.close(Some(CloseFrame { code: failure, reason: "".into() })); // it is over either way
        if let Stage::Ws(socket) = std::mem::replace(&mut self.stage, Stage::Gone) {
            self.stage = Stage::Draining { transport: socket.into_inner(), finished: false };
        }
        self.deadline = now + DRAIN_MAX;
        Step::Lost
    }

    /// Reads and forgets until the peer closes: closing with unread input would reset the connection and may
    /// destroy our last words on their way.
    fn step_draining(&mut self) -> Step {
        let Stage::Draining { transport, finished } = &mut self.stage else { return Step::Dead };
        if !*finished {
            match transport.flush() {
                Ok(()) => {
                    transport.finish();
                    *finished = true;
                }
                result if is_fatal_ref(&result) => return Step::Dead,
                _ => {}
            }
        }
        match transport.read(&mut [0; READ_BYTES]) {
            Ok(0) => Step::Dead,
            Ok(_) => Step::Progress,
            Err(error) => blocked_or_dead(&error),
        }
    }

    /// Queues an HTTP reply.
    pub(super) fn reply(&mut self, reply: &HttpReply, keep_alive: bool, with_body: bool, now: Nanos) {
        let Stage::Http { transport, .. } = &mut self.stage else { return };
        http::render(reply, keep_alive, with_body, transport.queue());
        if keep_alive {
            return;
        }
        self.deadline = now + DRAIN_MAX;
        if let Stage::Http { transport, .. } = std::mem::replace(&mut self.stage, Stage::Gone) {
            self.stage = Stage::Draining { transport, finished: false };
        }
    }

    /// Accepts the upgrade: from here on it is a WebSocket.
    pub(super) fn upgrade(&mut self, upgrade: &Upgrade, sim: SimConn) {
        let Stage::Http { mut transport, input, .. } = std::mem::replace(&mut self.stage, Stage::Gone) else {
            return;
        };
        http::render_upgrade(upgrade, transport.queue());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_write_buffer_size(self.out_bytes_max.max(256 * 1024))
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        self.stage =
            Stage::Ws(Box::new(WebSocket::from_partially_read(transport, input, Role::Server, Some(config))));
        self.sim = Some(sim);
        self.deadline = Nanos::MAX; // silence is the venue's business
    }

    /// Queues a WebSocket message; false when the client is too slow or gone.
    pub(super) fn send(&mut self, message: Message) -> bool {
        let Stage::Ws(socket) = &mut self.stage else { return false };
        match socket.write(message) {
            Ok(()) => true,
            Err(WsError::Io(error)) => matches!(blocked_or_dead(&error), Step::Idle),
            Err(_) => false,
        }
    }

    /// Begins a clean close by the venue.
    pub(super) fn close(&mut self, code: CloseCode, now: Nanos) {
        if let Stage::Ws(socket) = &mut self.stage {
            let _ = socket.close(Some(CloseFrame { code, reason: "".into() })); // flushed again on readiness
        }
        self.deadline = now + DRAIN_MAX;
    }

    /// Sends what is queued; false when the connection is broken.
    pub(super) fn flush(&mut self) -> bool {
        match &mut self.stage {
            Stage::Ws(socket) => match socket.flush() {
                Ok(()) => true,
                Err(WsError::Io(error)) => matches!(blocked_or_dead(&error), Step::Idle),
                Err(_) => false,
            },
            Stage::Http { transport, .. } => !is_fatal(transport.flush()),
            Stage::Draining { transport, finished } => *finished || !is_fatal(transport.flush()),
            Stage::Gone => false,
        }
    }
}

fn blocked_or_dead(error: &io::Error) -> Step {
    match error.kind() {
        io::ErrorKind::WouldBlock => Step::Idle,
        io::ErrorKind::Interrupted => Step::Progress,
        _ => Step::Dead,
    }
}

fn is_fatal(result: io::Result<()>) -> bool {
    is_fatal_ref(&result)
}

fn is_fatal_ref(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if matches!(blocked_or_dead(error), Step::Dead))
}
