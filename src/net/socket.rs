//! A WebSocket connection as the gateway polls it: whole messages in, whole messages out, never blocking.
//!
//! Messages are lent from the read buffer, so reading allocates nothing and copies nothing (only fragmented
//! messages are put together elsewhere). Pings are answered here; what a message says is not looked at, so
//! UTF-8 is left to the decoder. Reconnecting is somebody else's: after an error the socket is dead.

use super::frame::{self, CONTROL_PAYLOAD_MAX, Fault, Header, MaskKeys, Opcode, SERVER_HEADER_MAX};
use super::stream::{Stream, Transport};
use std::io::{self, ErrorKind};
use std::ops::Range;
use thiserror::Error;

/// Sizes of a socket's buffers, all fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    /// The largest message that is received, bytes.
    pub message_max: usize,
    /// The most that one system call reads, bytes: bounds the work of a poll.
    pub read_max: usize,
    /// The most that waits to be written, bytes of frames.
    pub queue_max: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { message_max: 512 * 1024, read_max: 64 * 1024, queue_max: 64 * 1024 }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Text; not checked to be UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// A ping, already answered.
    Ping,
    /// A pong.
    Pong,
}

/// A message, lent until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: MessageKind,
    /// Its payload.
    pub payload: &'a [u8],
    /// No other whole frame waits in the read buffer: the end of a burst.
    pub last: bool,
    /// The socket had nothing more waiting when this was read.
    pub drained: bool,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetError {
    /// Closed in order, by the closing handshake.
    #[error("the peer closed the connection in order (code {code}{}{reason})", if .reason.is_empty() { "" } else { ": " })]
    Closed {
        /// RFC 6455 §7.4; 1005 = none was given.
        code: u16,
        /// The peer's words, which may be empty.
        reason: String,
    },
    /// We asked to close and the peer has agreed.
    #[error("the connection was closed by us")]
    ClosedByUs,
    /// The stream ended between messages without a closing handshake.
    #[error("the peer dropped the connection between messages, without a closing handshake")]
    Dropped,
    /// The stream ended or broke within a message.
    #[error("the connection broke in the middle of a message ({received} bytes of it had arrived)")]
    BrokenMessage {
        /// Bytes of the cut message, header included.
        received: usize,
    },
    /// The operating system reports an error.
    #[error("the connection failed: {0}")]
    Io(ErrorKind),
    /// The TLS session failed.
    #[error("the TLS session failed: {0}")]
    Tls(String),
    /// The peer does not keep to RFC 6455.
    #[error("the peer broke the WebSocket protocol: {0}")]
    Protocol(#[from] Fault),
    /// A message larger than the limit; nothing of it is kept.
    #[error("a message of at least {size} bytes exceeds the limit of {limit} bytes")]
    Oversized {
        /// Announced size.
        size: u64,
        /// [`SocketLimits::message_max`].
        limit: usize,
    },
    /// The system gave no randomness for mask keys.
    #[error("the operating system gave no randomness for the WebSocket mask")]
    NoRandomness,
}

/// Where a message that was accepted for sending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The kernel has all of it.
    Sent,
    /// Some or all of it waits here; [`WsSocket::flush`] goes on. Never send it again.
    Queued,
}

/// Why a message was not accepted for sending.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// Not a byte of it was sent or kept: the socket takes no more now.
    #[error("the socket takes no more now; the message was not sent")]
    NotWritable,
    /// Not a byte of it was sent: the connection is closing or dead.
    #[error("the connection is closing or closed; the message was not sent")]
    NotOpen,
    /// The connection broke while writing: nobody knows what arrived.
    #[error(
        "the connection broke while the message was being sent, and may or may not have delivered it: {0}"
    )]
    Broken(#[source] NetError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is on its way; what the peer still sends is passed on.
    Closing,
    Dead(NetError),
}

/// Of frames that are never written.
const REHEARSED_MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];

/// What lies in which buffer.
struct Found {
    kind: MessageKind,
    in_assembly: bool,
    at: Range<usize>,
}

/// A client's WebSocket over a non-blocking transport.
pub struct WsSocket<T: Transport = Stream> {
    transport: T,
    limits: SocketLimits,
    state: State,
    /// Read buffer; `unread` is what was received and not yet handed out.
    input: Box<[u8]>,
    unread: Range<usize>,
    /// The last read was short.
    drained: bool,
    /// Fragments of an unfinished message.
    assembly: Vec<u8>,
    assembling: Option<MessageKind>,
    /// Frames that wait to be written from `written` on.
    output: Vec<u8>,
    written: usize,
    /// The transport holds bytes that the kernel does not have yet.
    unpushed: bool,
    /// Answer to the latest ping, while there was no room to queue it.
    owed_pong: Option<([u8; CONTROL_PAYLOAD_MAX], usize)>,
    masks: MaskKeys,
}

impl<T: Transport> WsSocket<T> {
    /// Takes over a connection after its upgrade; `leftover` are bytes read behind the upgrade's reply.
    ///
    /// # Errors
    /// [`NetError::NoRandomness`]; [`NetError::Oversized`] when the leftover exceeds the buffer.
    pub fn new(transport: T, leftover: &[u8], limits: SocketLimits) -> Result<Self, NetError> {
        // Room for the largest frame, and for a decent read behind an unfinished one.
        let mut input = vec![0; limits.message_max + SERVER_HEADER_MAX + limits.read_max].into_boxed_slice();
        let Some(head) = input.get_mut(..leftover.len()) else {
            return Err(NetError::Oversized { size: leftover.len() as u64, limit: limits.message_max });
        };
        head.copy_from_slice(leftover);
        Ok(Self {
            transport,
            limits,
            state: State::Open,
            input,
            unread: 0..leftover.len(),
            drained: false,
            assembly: Vec::new(),
            assembling: None,
            output: Vec::with_capacity(limits.queue_max),
            written: 0,
            unpushed: false,
            owed_pong: None,
            masks: MaskKeys::new().map_err(|_| NetError::NoRandomness)?,
        })
    }

    /// The next message; `None` = nothing whole is there now (and the socket is drained).
    ///
    /// Whole messages that were read together are handed out before the socket is asked again. One call
    /// reads the socket at most until the first whole message or until it would block.
    ///
    /// # Errors
    /// [`NetError`], and the same again on every later call: the connection is over. Messages received
    /// before the error were handed out before it.
    pub fn read(&mut self) -> Result<Option<Message<'_>>, NetError> {
        if let State::Dead(error) = &self.state {
            return Err(error.clone());
        }
        let found = match self.next_message() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.state = State::Dead(error.clone());
                return Err(error);
            }
        };
        let last = !self.whole_frame_waits();
        let buffer = if found.in_assembly { &self.assembly[..] } else { &self.input[..] };
        Ok(Some(Message { kind: found.kind, payload: &buffer[found.at], last, drained: self.drained }))
    }

    /// Sends a text message, queueing what the kernel does not take at once.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::NotWritable`] when the queue is full.
    pub fn send_text(&mut self, payload: &[u8]) -> Result<Handed, SendError> {
        self.send(Opcode::Text, payload)
    }

    /// Sends a text message only when the kernel takes its beginning at once: for orders, which must not
    /// grow old in a queue.
    ///
    /// # Errors
    /// [`SendError::NotWritable`] when something waits already, or (without TLS) when the kernel takes
    /// nothing; then not a byte was sent or kept.
    pub fn send_text_now(&mut self, payload: &[u8]) -> Result<Handed, SendError> {
        if self.wants_write() {
            return Err(SendError::NotWritable);
        }
        let handed = self.send(Opcode::Text, payload)?;
        // Nothing of it has left, and nothing of it is in a TLS record: take it back.
        if handed == Handed::Queued && self.written == 0 && !self.unpushed {
            self.output.clear();
            return Err(SendError::NotWritable);
        }
        Ok(handed)
    }

    /// Makes the frame of a text message where [`WsSocket::send_text_now`] would, and drops it: not a byte
    /// of it is written, and no mask key is used up. For keeping the way of orders warm.
    pub fn rehearse_text(&mut self, payload: &[u8]) {
        if self.state == State::Open
            && self.output.is_empty()
            && frame::client_frame_len(payload.len()) <= self.limits.queue_max
        {
            frame::append_client_frame(&mut self.output, Opcode::Text, payload, REHEARSED_MASK);
            std::hint::black_box(&mut self.output).clear();
        }
    }

    /// Sends a ping with a payload of at most 125 bytes.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<Handed, SendError> {
        self.send(Opcode::Ping, &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)])
    }

    /// Begins the closing handshake. Go on reading until [`NetError::ClosedByUs`] or give up after a
    /// while. Does nothing when the connection is closing or dead already.
    ///
    /// # Errors
    /// [`SendError`]: drop the socket then.
    pub fn close(&mut self, code: u16) -> Result<Handed, SendError> {
        if self.state != State::Open {
            return Err(SendError::NotOpen);
        }
        let handed = self.send(Opcode::Close, &code.to_be_bytes())?;
        self.state = State::Closing;
        Ok(handed)
    }

    /// Goes on writing what is queued; `Ok(true)` = nothing waits any more.
    ///
    /// # Errors
    /// [`NetError`]: the connection is over, and the fate of what was queued is unknown.
    pub fn flush(&mut self) -> Result<bool, NetError> {
        if let State::Dead(error) = &self.state {
            return Err(error.clone());
        }
        let flushed = match self.write_out() {
            Ok(true) => self.pay_pong().map(|()| !self.wants_write()),
            waits_or_failed => waits_or_failed,
        };
        flushed.inspect_err(|error| self.state = State::Dead(error.clone()))
    }

    /// Whether something waits to be written: poll for writability and call [`WsSocket::flush`].
    #[inline]
    pub fn wants_write(&self) -> bool {
        self.written < self.output.len() || self.unpushed || self.owed_pong.is_some()
    }

    /// Whether the last read emptied the socket and nothing whole waits in the buffer.
    pub fn is_drained(&self) -> bool {
        self.drained && !self.whole_frame_waits()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// The transport, for registration with a poll.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The transport.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    // Reading.

    fn next_message(&mut self) -> Result<Option<Found>, NetError> {
        loop {
            while let Some((header, payload)) = self.take_frame()? {
                if let Some(found) = self.on_frame(header, payload)? {
                    return Ok(Some(found));
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes the next whole frame off the read buffer.
    fn take_frame(&mut self) -> Result<Option<(Header, Range<usize>)>, NetError> {
        let Some(header) = frame::parse_header(&self.input[self.unread.clone()])? else { return Ok(None) };
        let limit = self.limits.message_max;
        // The whole message counts, not its fragments; refused at the header, before the bytes come.
        let before = if header.opcode.is_control() { 0 } else { self.assembly_len() as u64 };
        let size = header.payload_len.saturating_add(before);
        if size > limit as u64 {
            return Err(NetError::Oversized { size, limit });
        }
        let payload_len = header.payload_len as usize; // fits: at most `message_max`
        let begin = self.unread.start + header.header_len;
        let end = begin + payload_len;
        if end > self.unread.end {
            return Ok(None);
        }
        self.unread.start = end;
        Ok(Some((header, begin..end)))
    }

    /// Acts on a frame; yields the message that it is or completes.
    fn on_frame(&mut self, header: Header, payload: Range<usize>) -> Result<Option<Found>, NetError> {
        let whole = |kind, at| Ok(Some(Found { kind, in_assembly: false, at }));
        match (header.opcode, self.assembling) {
            (Opcode::Ping, _) => {
                self.owe_pong(payload.clone());
                self.pay_pong()?;
                whole(MessageKind::Ping, payload)
            }
            (Opcode::Pong, _) => whole(MessageKind::Pong, payload),
            (Opcode::Close, _) => Err(self.on_close(payload)),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(Fault::UnfinishedFragments.into()),
            (Opcode::Text, None) if header.fin => whole(MessageKind::Text, payload),
            (Opcode::Binary, None) if header.fin => whole(MessageKind::Binary, payload),
            (Opcode::Text | Opcode::Binary, None) => {
                let text = header.opcode == Opcode::Text;
                self.assembling = Some(if text { MessageKind::Text } else { MessageKind::Binary });
                self.assembly.clear();
                self.assembly.extend_from_slice(&self.input[payload]);
                Ok(None)
            }
            (Opcode::Continuation, None) => Err(Fault::OrphanContinuation.into()),
            (Opcode::Continuation, Some(kind)) => {
                self.assembly.extend_from_slice(&self.input[payload]);
                if !header.fin {
                    return Ok(None);
                }
                self.assembling = None;
                Ok(Some(Found { kind, in_assembly: true, at: 0..self.assembly.len() }))
            }
        }
    }

    /// The peer's close frame: answer it, and say how the connection ended.
    fn on_close(&mut self, payload: Range<usize>) -> NetError {
        let body = &self.input[payload];
        let (code, reason) = match body {
            [] => (1005, String::new()),
            [_] => return Fault::CloseLength.into(),
            [high, low, reason @ ..] => {
                (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned())
            }
        };
        if self.state == State::Closing {
            return NetError::ClosedByUs;
        }
        // Best effort: the peer has stopped listening for anything else anyway.
        let echo = code.to_be_bytes();
        let _ = self.send(Opcode::Close, if code == 1005 { &[] } else { &echo });
        NetError::Closed { code, reason }
    }

    /// Reads the socket once. False: it would block.
    fn fill(&mut self) -> Result<bool, NetError> {
        self.make_room();
        let end = (self.unread.end + self.limits.read_max).min(self.input.len());
        match self.transport.receive(&mut self.input[self.unread.end..end]) {
            Ok(received) if received.len == 0 => Err(self.ended()),
            Ok(received) => {
                self.unread.end += received.len;
                self.drained = received.drained;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.drained = true;
                Ok(false)
            }
            // Reset by a peer that had agreed to close, or that dies in the middle: tell them apart.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && self.mid_message() > 0 => {
                Err(self.ended())
            }
            Err(error) => Err(net_error(error)),
        }
    }

    /// The stream is at its end: where did it stop?
    fn ended(&self) -> NetError {
        match self.mid_message() {
            0 if self.state == State::Closing => NetError::ClosedByUs,
            0 => NetError::Dropped,
            received => NetError::BrokenMessage { received },
        }
    }

    /// Bytes received of a message that is not whole; at least 1 inside one, as its first fragment may be empty.
    fn mid_message(&self) -> usize {
        (self.unread.len() + self.assembly_len()).max(usize::from(self.assembling.is_some()))
    }

    fn assembly_len(&self) -> usize {
        if self.assembling.is_some() { self.assembly.len() } else { 0 }
    }

    /// Sees to it that a read has room. An empty buffer starts over, which keeps the same few pages in
    /// use; an unfinished frame moves to the front only when the room behind it is too small.
    fn make_room(&mut self) {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.input.len() - self.unread.end < self.limits.read_max {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
    }

    /// Whether the read buffer holds another whole frame (or a broken one, which also wants a look).
    fn whole_frame_waits(&self) -> bool {
        let waiting = &self.input[self.unread.clone()];
        match frame::parse_header(waiting) {
            Ok(Some(header)) => {
                header.payload_len.saturating_add(header.header_len as u64) <= waiting.len() as u64
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    // Writing.

    fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<Handed, SendError> {
        if self.state != State::Open {
            return Err(SendError::NotOpen);
        }
        if !self.enqueue(opcode, payload) {
            return Err(SendError::NotWritable);
        }
        match self.write_out() {
            Ok(true) => Ok(Handed::Sent),
            Ok(false) => Ok(Handed::Queued),
            Err(error) => {
                self.state = State::Dead(error.clone());
                Err(SendError::Broken(error))
            }
        }
    }

    /// Puts a frame behind what waits; false when there is no room.
    fn enqueue(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        if self.output.len() + frame::client_frame_len(payload.len()) > self.limits.queue_max {
            if self.output.len() - self.written + frame::client_frame_len(payload.len())
                > self.limits.queue_max
            {
                return false;
            }
            self.output.drain(..self.written);
            self.written = 0;
        }
        let mask = self.masks.next_key();
        frame::append_client_frame(&mut self.output, opcode, payload, mask);
        true
    }

    /// Writes until all is with the kernel (true) or the socket would block (false).
    fn write_out(&mut self) -> Result<bool, NetError> {
        while self.written < self.output.len() {
            match self.transport.transmit(&self.output[self.written..]) {
                Ok(len) => {
                    self.written += len;
                    self.unpushed = self.transport.holds_back();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // A TLS session whose buffer is full may have room after a push.
                    if !self.unpushed || !self.push()? {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(net_error(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        if self.unpushed { self.push() } else { Ok(true) }
    }

    fn push(&mut self) -> Result<bool, NetError> {
        let pushed = self.transport.push().map_err(net_error)?;
        self.unpushed = !pushed;
        Ok(pushed)
    }

    /// Remembers that a ping wants an answer; only the latest counts (RFC 6455 §5.5.3).
    fn owe_pong(&mut self, payload: Range<usize>) {
        let len = payload.len().min(CONTROL_PAYLOAD_MAX);
        let mut owed = [0; CONTROL_PAYLOAD_MAX];
        owed[..len].copy_from_slice(&self.input[payload][..len]);
        self.owed_pong = Some((owed, len));
    }

    /// Answers the latest ping when there is room; else it stays owed until a flush has made some.
    fn pay_pong(&mut self) -> Result<(), NetError> {
        if self.state != State::Open {
            return Ok(());
        }
        if let Some((payload, len)) = self.owed_pong
            && self.enqueue(Opcode::Pong, &payload[..len])
        {
            self.owed_pong = None;
            self.write_out()?;
        }
        Ok(())
    }
}

/// An I/O error as the end of a connection; TLS faults come wrapped in `InvalidData`.
fn net_error(error: io::Error) -> NetError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => NetError::Tls(tls.to_string()),
        None => NetError::Io(error.kind()),
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
