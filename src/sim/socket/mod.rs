//! A simulated venue behind real sockets: HTTP/1.1 and WebSocket on one port, plain or TLS.
//!
//! One thread a venue, woken by its clients and by the venue's own timers, drives the sans-I/O [`Server`] with
//! wall time and bytes. It holds no venue rule, shares no code with `net/`, and never waits for a slow client:
//! whoever does not read is disconnected.

mod clock;
mod conn;
mod host;
mod http;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

pub use clock::WallClock;
pub use tls::{TlsIdentity, TlsIdentityError};

use super::delay::DelayQueue;
use super::{HttpReply, Push, Server};
use crate::domain::time::Nanos;
use clock::Timer;
use host::{Host, LISTENER, TIMER, WAKER};
use mio::net::TcpListener;
use mio::{Interest, Poll, Waker};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

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
            late: DelayQueue::default(),
            requests: 0,
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

/// The reply to a request for which a venue has no service.
pub fn not_found() -> HttpReply {
    http::refusal(404, "no such service")
}
