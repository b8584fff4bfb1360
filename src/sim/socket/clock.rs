//! The host's wall clock and the timer that wakes its poll exactly when the venue has something to do.
//!
//! One monotonic clock, anchored once to the wall: time handed to a venue never steps. No venue rule here.
#![allow(clippy::disallowed_methods)] // the clock of the simulated venues, which share nothing with the engine

use crate::domain::time::{Nanos, SECOND};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time that never steps: a monotonic clock anchored once. Copies share the anchor, so several venues
/// of one run agree about the time to the nanosecond.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    anchor: Instant,
    wall: Nanos,
}

impl WallClock {
    /// Anchors a clock to the system's wall time, now.
    #[allow(clippy::disallowed_methods)] // the one anchor of the simulated venues, which are no part of the engine
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { anchor: Instant::now(), wall: Nanos::try_from(since_epoch.as_nanos()).unwrap_or(Nanos::MAX) }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now(&self) -> Nanos {
        let elapsed = Nanos::try_from(self.anchor.elapsed().as_nanos()).unwrap_or(Nanos::MAX);
        self.wall.saturating_add(elapsed)
    }
}

/// A one-shot kernel timer. The poll timeout itself is rounded up to whole milliseconds, too coarse for a
/// venue that publishes each 10 ms; a `timerfd` wakes within tens of microseconds without spinning.
pub(super) struct Timer {
    fd: OwnedFd,
    armed_for: Nanos,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd, armed_for: Nanos::MAX })
    }

    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        SourceFd(&self.fd.as_raw_fd()).register(registry, token, Interest::READABLE)
    }

    /// Fires at `due`, given that it is `now`. Setting the timer clears an earlier expiry, and each expiry is
    /// a new edge for the poll, so the descriptor needs no read.
    pub(super) fn arm(&mut self, due: Nanos, now: Nanos) -> io::Result<()> {
        if self.armed_for == due && due > now {
            return Ok(());
        }
        // 0 would disarm; an hour caps venues that have nothing planned.
        let wait = due.saturating_sub(now).clamp(1, 3600 * SECOND);
        let value = Timespec { tv_sec: wait / SECOND, tv_nsec: wait % SECOND };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
        self.armed_for = due;
        Ok(())
    }

    /// The timer fired: the next `arm` must set it again.
    pub(super) fn fired(&mut self) {
        self.armed_for = Nanos::MAX;
    }
}
