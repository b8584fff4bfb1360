//! The event loop of a hosted venue: readiness and due times in, replies and frames out.

use super::clock::{Timer, WallClock};
use super::conn::{Conn, Step};
use super::transport::Transport;
use super::{Call, http};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::delay::DelayQueue;
use crate::sim::{HttpReply, HttpRequest, Push, Server, SimConn};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// The thread's state.
pub(super) struct Host<S> {
    pub(super) server: S,
    pub(super) clock: WallClock,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) out_bytes_max: usize,
    pub(super) conns_max: usize,
    pub(super) poll: Poll,
    pub(super) listener: TcpListener,
    pub(super) timer: Timer,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) calls: mpsc::Receiver<Call<S>>,
    /// By token − [`FIRST_CONN`].
    pub(super) conns: Vec<Option<Conn>>,
    /// WebSocket number → index in `conns`.
    pub(super) by_sim: BTreeMap<u32, usize>,
    /// The next WebSocket's number.
    pub(super) next_sim: u32,
    /// What the venue wants sent.
    pub(super) out: Vec<Push>,
    /// Connections with something to flush.
    pub(super) dirty: Vec<usize>,
    /// Connections that were not read to the end; the poll will not name them again.
    pub(super) backlog: Vec<usize>,
    /// Accepting failed for want of resources: try again at the next sweep.
    pub(super) accept_again: bool,
    /// Order requests on their way to matching, and replies on their way back.
    pub(super) late: DelayQueue<Late>,
    /// How many order requests there were.
    pub(super) requests: u64,
}

/// A request or its reply on its way inside the venue.
pub(super) struct Late {
    index: usize,
    /// The connection waits for this one, if it is still the same.
    number: u64,
    keep_alive: bool,
    request: HttpRequest,
    /// The way back.
    reply: Option<HttpReply>,
}

impl<S: Server> Host<S> {
    /// Serves until told to stop.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut next_sweep = self.clock.now() + SWEEP_EVERY;
        let mut ready = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            if self.server.next_due() <= now {
                self.server.advance(now, &mut self.out);
                self.dispatch();
            }
            while let Some((_, late)) = self.late.pop_due(now) {
                self.arrive(late);
            }
            if next_sweep <= now {
                next_sweep = now + SWEEP_EVERY;
                self.sweep(now);
            }
            let now = self.clock.now();
            let due = self.server.next_due().min(next_sweep).min(self.late.next_due());
            let at_once = Some(std::time::Duration::ZERO);
            let timeout = if !self.backlog.is_empty() || due <= now || self.timer.arm(due, now).is_err() {
                at_once // without a timer it would spin, but on time; setting a valid timer cannot fail
            } else {
                None
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return; // the poll itself is broken: nothing can be served any more
            }
            ready.append(&mut self.backlog);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.run_calls(),
                    TIMER => self.timer.fired(),
                    Token(token) => ready.push(token - FIRST_CONN),
                }
            }
            for index in ready.drain(..) {
                self.serve(index);
            }
        }
        self.say_goodbye();
    }

    fn run_calls(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            let now = self.clock.now();
            self.server.advance(now, &mut self.out);
            call(&mut self.server, now, &mut self.out);
            self.dispatch();
        }
    }

    fn accept(&mut self) {
        self.accept_again = false;
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let index = self.conns.iter().position(Option::is_none).unwrap_or(self.conns.len());
                    if index >= self.conns_max || stream.set_nodelay(true).is_err() {
                        continue; // dropping refuses it
                    }
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self
                        .poll
                        .registry()
                        .register(&mut stream, Token(index + FIRST_CONN), interest)
                        .is_err()
                    {
                        continue;
                    }
                    let Ok(transport) = Transport::new(stream, self.tls.as_ref()) else { continue };
                    let conn = Conn::new(transport, self.out_bytes_max, self.clock.now());
                    if index == self.conns.len() {
                        self.conns.push(None);
                    }
                    self.conns[index] = Some(conn);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(_) => {
                    self.accept_again = true; // out of descriptors, most likely
                    return;
                }
            }
        }
    }

    /// Reads a connection, handing whole inputs to the venue, for a bounded number of steps.
    fn serve(&mut self, index: usize) {
        for _ in 0..STEPS_MAX {
            let now = self.clock.now();
            let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else { return };
            if conn.waiting.is_some() {
                return; // served again when it has its reply
            }
            match conn.step(now) {
                Step::Text(text) => {
                    if let Some(sim) = conn.sim {
                        self.server.on_text(sim, text.as_bytes(), now, &mut self.out);
                        self.dispatch();
                    }
                }
                Step::Request { request, keep_alive } => {
                    self.requests += 1;
                    conn.waiting = Some(self.requests);
                    let travel = self.server.order_travel(&request).unwrap_or(0);
                    let late = Late { index, number: self.requests, keep_alive, request, reply: None };
                    self.send(now, travel, late);
                }
                Step::Upgrade { request, upgrade } => {
                    let sim = SimConn(self.next_sim);
                    let path = match request.query.is_empty() {
                        true => request.path,
                        false => format!("{}?{}", request.path, request.query),
                    };
                    let accepted = self.server.on_connect(sim, &path, now, &mut self.out);
                    if let Some(conn) = self.conns[index].as_mut() {
                        if accepted {
                            conn.upgrade(&upgrade, sim);
                            self.by_sim.insert(sim.0, index);
                            self.next_sim += 1;
                        } else {
                            conn.reply(&http::refusal(404, "no such WebSocket path"), false, true, now);
                        }
                    }
                    self.dirty.push(index);
                    self.dispatch();
                }
                Step::Progress => {}
                Step::Idle => {
                    self.dirty.push(index); // what could not be sent before, and answers to pings
                    self.dispatch();
                    return;
                }
                Step::Lost => {
                    self.forget(index, now);
                    self.dispatch();
                }
                Step::Dead => {
                    self.remove(index, now);
                    self.dispatch();
                    return;
                }
            }
        }
        self.backlog.push(index);
    }

    /// Puts a request or reply on its way; what has none arrives at once.
    fn send(&mut self, now: Nanos, travel: Nanos, late: Late) {
        if travel > 0 { self.late.push(now + travel, late) } else { self.arrive(late) }
    }

    /// A request has come to the venue, or its reply to the connection.
    fn arrive(&mut self, mut late: Late) {
        let now = self.clock.now();
        let Some(reply) = late.reply.take() else {
            let is_order = self.server.order_travel(&late.request).is_some();
            late.reply = Some(self.server.on_http(&late.request, now, &mut self.out));
            let travel = if is_order { self.server.reply_travel() } else { 0 };
            self.send(now, travel, late);
            return self.dispatch();
        };
        let Late { index, number, keep_alive, request, .. } = late;
        let conn = self.conns.get_mut(index).and_then(Option::as_mut);
        let Some(conn) = conn.filter(|conn| conn.waiting == Some(number)) else { return };
        conn.waiting = None;
        if reply.status == 0 {
            self.remove(index, now);
        } else {
            conn.reply(&reply, keep_alive, request.method != "HEAD", now);
            self.dirty.push(index);
            // What it sent meanwhile was not read.
            self.backlog.push(index);
        }
        self.dispatch();
    }

    /// Hands the venue's messages to their connections and flushes each touched connection once.
    fn dispatch(&mut self) {
        while !self.out.is_empty() || !self.dirty.is_empty() {
            let now = self.clock.now();
            let mut batch = std::mem::take(&mut self.out);
            for push in batch.drain(..) {
                let (Push::Text(sim, _) | Push::Ping(sim, _) | Push::Close(sim)) = push;
                let Some(&index) = self.by_sim.get(&sim.0) else { continue };
                let Some(conn) = self.conns[index].as_mut() else { continue };
                let kept = match push {
                    Push::Text(_, bytes) => {
                        String::from_utf8(bytes).is_ok_and(|text| conn.send(Message::text(text)))
                    }
                    Push::Ping(_, payload) => conn.send(Message::Ping(payload.into())),
                    Push::Close(_) => {
                        conn.close(CloseCode::Normal, now);
                        self.forget(index, now);
                        true
                    }
                };
                if !kept {
                    self.remove(index, now);
                } else if self.dirty.last() != Some(&index) {
                    self.dirty.push(index);
                }
            }
            if self.out.is_empty() {
                self.out = batch; // keep its room
            }
            let mut dirty = std::mem::take(&mut self.dirty);
            dirty.sort_unstable();
            dirty.dedup();
            for index in dirty.drain(..) {
                if let Some(conn) = self.conns[index].as_mut()
                    && !conn.flush()
                {
                    self.remove(index, now);
                }
            }
            if self.dirty.is_empty() {
                self.dirty = dirty;
            }
        }
    }

    /// The venue learns that a WebSocket is gone (once); the connection itself may still be drained.
    fn forget(&mut self, index: usize, now: Nanos) {
        let Some(conn) = self.conns[index].as_mut() else { return };
        if let Some(sim) = conn.sim.take() {
            self.by_sim.remove(&sim.0);
            self.server.on_closed(sim, now, &mut self.out);
        }
    }

    fn remove(&mut self, index: usize, now: Nanos) {
        self.forget(index, now);
        self.conns[index] = None; // closing the descriptor takes it out of the poll
    }

    fn sweep(&mut self, now: Nanos) {
        for index in 0..self.conns.len() {
            if self.conns[index].as_ref().is_some_and(|conn| conn.deadline <= now) {
                self.remove(index, now);
            }
        }
        self.dispatch();
        if self.accept_again {
            self.accept();
        }
    }

    fn say_goodbye(&mut self) {
        let now = self.clock.now();
        for conn in self.conns.iter_mut().flatten() {
            conn.close(CloseCode::Away, now);
            conn.flush();
        }
    }
}

pub(super) const LISTENER: Token = Token(0);
pub(super) const WAKER: Token = Token(1);
pub(super) const TIMER: Token = Token(2);
const FIRST_CONN: usize = 3;
const SWEEP_EVERY: Nanos = SECOND;
/// Inputs of one connection before the others have their turn.
const STEPS_MAX: usize = 64;
