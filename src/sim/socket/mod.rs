//! A simulated venue behind real sockets: HTTP/1.1 and WebSocket on one port, plain or TLS.
//!
//! One thread a venue, woken by its clients and by the venue's own timers, drives the sans-I/O [`Server`] with
//! wall time and bytes. It holds no venue rule, shares no code with `net/`, and never waits for a slow client:
//! whoever does not read is disconnected.

mod clock;
mod conn;
mod http;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub use clock::WallClock;
pub use tls::{TlsIdentity, TlsIdentityError};

use super::{HttpReply, Push, Server, SimConn};
use crate::domain::time::{Nanos, SECOND};
use clock::Timer;
use conn::{Conn, Step};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use transport::Transport;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// How a venue is hosted.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Name of the venue, for the thread and for errors.
    pub name: String,
    /// TLS identity; `None` serves plain TCP.
    pub tls: Option<TlsIdentity>,
    /// The clock that stamps everything; share one between the venues of a run.
    pub clock: WallClock,
    /// A client with more unsent bytes than this is disconnected (at least 256 KiB).
    pub out_bytes_max: usize,
    /// Connections beyond this many are refused.
    pub conns_max: usize,
}

impl HostOptions {
    /// Plain TCP, a fresh clock, 8 MiB a client, 1024 clients.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tls: None,
            clock: WallClock::start(),
            out_bytes_max: 8 << 20,
            conns_max: 1024,
        }
    }
}

/// Why a host could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The address cannot be listened at.
    #[error("simulated venue {venue} cannot listen at {bind}: {source}; choose another port or address")]
    Bind {
        /// The venue.
        venue: String,
        /// The address asked for.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A system resource (poll, timer, thread) was refused.
    #[error("simulated venue {venue}: {what} failed: {source}")]
    System {
        /// The venue.
        venue: String,
        /// What was asked of the system.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The venue's thread is gone.
    #[error("simulated venue {venue}: its thread ended before it was asked to; see its panic message above")]
    Ended {
        /// The venue.
        venue: String,
    },
}

/// Something to be done with the venue on its own thread.
type Call<S> = Box<dyn FnOnce(&mut S, Nanos, &mut Vec<Push>) + Send>;

/// A running venue. Dropping it stops it.
pub struct SimHost<S> {
    addr: SocketAddr,
    venue: String,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    calls: mpsc::Sender<Call<S>>,
    thread: Option<JoinHandle<S>>,
}

impl<S: Server + 'static> SimHost<S> {
    /// Listens at `bind` (port 0: any free one) and serves from a new thread.
    pub fn start(server: S, bind: SocketAddr, options: HostOptions) -> Result<Self, HostError> {
        let venue = options.name.clone();
        let system = |what| {
            let venue = venue.clone();
            move |source| HostError::System { venue, what, source }
        };
        let mut listener = TcpListener::bind(bind).map_err(|source| HostError::Bind {
            venue: venue.clone(),
            bind,
            source,
        })?;
        let addr = listener.local_addr().map_err(system("reading the address"))?;
        let poll = Poll::new().map_err(system("epoll"))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(system("epoll"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(system("eventfd"))?);
        let timer = Timer::new().map_err(system("timerfd"))?;
        timer.register(poll.registry(), TIMER).map_err(system("timerfd"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (calls, received) = mpsc::channel();
        let mut host = Host {
            server,
            clock: options.clock,
            tls: options.tls.as_ref().map(TlsIdentity::config),
            out_bytes_max: options.out_bytes_max,
            conns_max: options.conns_max,
            poll,
            listener,
            timer,
            stop: stop.clone(),
            calls: received,
            conns: Vec::new(),
            by_sim: BTreeMap::new(),
            next_sim: 0,
            out: Vec::new(),
            dirty: Vec::new(),
            backlog: Vec::new(),
            accept_again: false,
        };
        let thread = std::thread::Builder::new()
            .name(format!("sim-{venue}"))
            .spawn(move || {
                host.run();
                host.server
            })
            .map_err(system("starting a thread"))?;
        Ok(Self { addr, venue, stop, waker, calls, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// False when the venue's thread has ended by itself: its poll or the venue failed.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Runs `f` on the venue's thread between two inputs, with the time and the venue's outgoing messages, and
    /// waits for its result.
    pub fn with<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut S, Nanos, &mut Vec<Push>) -> R + Send + 'static,
    ) -> Result<R, HostError> {
        let (reply, result) = mpsc::channel();
        let ended = || HostError::Ended { venue: self.venue.clone() };
        let call: Call<S> = Box::new(move |server, now, out| {
            let _ = reply.send(f(server, now, out)); // the caller waits; if not, the result is not wanted
        });
        self.calls.send(call).map_err(|_| ended())?;
        self.waker.wake().map_err(|_| ended())?;
        result.recv().map_err(|_| ended())
    }

    /// Says goodbye to every client, joins the thread and gives the venue back.
    pub fn stop(mut self) -> Result<S, HostError> {
        self.ask_to_stop();
        let ended = HostError::Ended { venue: self.venue.clone() };
        self.thread.take().and_then(|thread| thread.join().ok()).ok_or(ended)
    }
}

impl<S> SimHost<S> {
    fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.waker.wake(); // an eventfd write cannot fail while the poll lives
    }
}

impl<S> Drop for SimHost<S> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.ask_to_stop();
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

/// The thread's state.
struct Host<S> {
    server: S,
    clock: WallClock,
    tls: Option<Arc<rustls::ServerConfig>>,
    out_bytes_max: usize,
    conns_max: usize,
    poll: Poll,
    listener: TcpListener,
    timer: Timer,
    stop: Arc<AtomicBool>,
    calls: mpsc::Receiver<Call<S>>,
    /// By token − [`FIRST_CONN`].
    conns: Vec<Option<Conn>>,
    /// WebSocket number → index in `conns`.
    by_sim: BTreeMap<u32, usize>,
    /// The next WebSocket's number.
    next_sim: u32,
    /// What the venue wants sent.
    out: Vec<Push>,
    /// Connections with something to flush.
    dirty: Vec<usize>,
    /// Connections that were not read to the end; the poll will not name them again.
    backlog: Vec<usize>,
    /// Accepting failed for want of resources: try again at the next sweep.
    accept_again: bool,
}

impl<S: Server> Host<S> {
    fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut next_sweep = self.clock.now() + SWEEP_EVERY;
        let mut ready = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            if self.server.next_due() <= now {
                self.server.advance(now, &mut self.out);
                self.dispatch();
            }
            if next_sweep <= now {
                next_sweep = now + SWEEP_EVERY;
                self.sweep(now);
            }
            let now = self.clock.now();
            let due = self.server.next_due().min(next_sweep);
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
            match conn.step(now) {
                Step::Text(text) => {
                    if let Some(sim) = conn.sim {
                        self.server.on_text(sim, text.as_bytes(), now, &mut self.out);
                        self.dispatch();
                    }
                }
                Step::Request { request, keep_alive } => {
                    let reply = self.server.on_http(&request, now, &mut self.out);
                    if let Some(conn) = self.conns[index].as_mut() {
                        conn.reply(&reply, keep_alive, request.method != "HEAD", now);
                    }
                    self.dirty.push(index);
                    self.dispatch();
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

/// The reply to a request for which a venue has no service.
pub fn not_found() -> HttpReply {
    http::refusal(404, "no such service")
}

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const TIMER: Token = Token(2);
const FIRST_CONN: usize = 3;
const SWEEP_EVERY: Nanos = SECOND;
/// Inputs of one connection before the others have their turn.
const STEPS_MAX: usize = 64;
