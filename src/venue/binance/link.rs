//! One connection of the venue as a state machine: connect, back-off with deterministic jitter, planned
//! reconnect before the venue's 24 h cut. Knows nothing of what flows over it.

use crate::domain::effect::{SecretSlot, SessionAction};
use crate::domain::input::ConnId;
use crate::domain::params::connection_age_usual;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::Out;
use serde::{Deserialize, Serialize};

/// First pause before a reconnect.
const RECONNECT_MIN: Nanos = 250 * MILLI;
/// Longest pause between reconnects: 300 connects per 5 min and IP are allowed.
const RECONNECT_MAX: Nanos = 30 * SECOND;
/// A connection that lived this long starts over with the shortest pause.
const STABLE: Nanos = 30 * SECOND;
/// The venue cuts after 24 h; we leave before, each connection at another time, which is so much later at most.
const SPREAD: Nanos = 1800 * SECOND;
/// Never.
pub const NEVER: Nanos = Nanos::MAX;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// Not wanted yet, or waiting for `retry_at`.
    #[default]
    Down,
    /// Asked for.
    Connecting,
    /// Established.
    Up,
    /// Established, but we asked to close it.
    Closing,
}

/// A connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Its id.
    pub conn: ConnId,
    /// Where it stands.
    pub state: LinkState,
    /// When to connect (again); [`NEVER`] while it stands or is not wanted.
    pub retry_at: Nanos,
    /// Last data frame, or the moment of connecting.
    pub heard_at: Nanos,
    /// Earliest next message: the venue allows 10 a second.
    pub send_at: Nanos,
    up_at: Nanos,
    rotate_at: Nanos,
    attempts: u32,
    /// It is left at this age.
    #[serde(default = "connection_age_usual")]
    age_max: Nanos,
}

impl Link {
    /// Down and not wanted; once it stands, to be left at that age, ns.
    pub const fn new(conn: ConnId, age_max: Nanos) -> Self {
        Self {
            conn,
            state: LinkState::Down,
            retry_at: NEVER,
            heard_at: 0,
            send_at: 0,
            up_at: 0,
            rotate_at: NEVER,
            attempts: 0,
            age_max,
        }
    }

    /// True while established and not being closed.
    pub fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// Asks for the connection.
    pub fn connect(&mut self, slot: Option<SecretSlot>, out: &mut Out) {
        self.state = LinkState::Connecting;
        self.retry_at = NEVER;
        out.action(SessionAction::Connect { conn: self.conn, slot });
    }

    /// It stands.
    pub fn on_up(&mut self, now: Nanos) {
        self.state = LinkState::Up;
        self.retry_at = NEVER;
        self.up_at = now;
        self.heard_at = now;
        self.send_at = now;
        self.rotate_at = now + self.age_max + jitter(self.conn, 0, SPREAD.min(self.age_max / 8));
    }

    /// It is gone: plans the reconnect.
    pub fn on_down(&mut self, now: Nanos) {
        let lived = matches!(self.state, LinkState::Up | LinkState::Closing).then_some(now - self.up_at);
        self.attempts = if lived.is_some_and(|lived| lived >= STABLE) { 0 } else { self.attempts + 1 };
        self.state = LinkState::Down;
        self.rotate_at = NEVER;
        self.retry_at = now + backoff(self.conn, self.attempts);
    }

    /// Asks to close it; the answer is `ConnDown`.
    pub fn close(&mut self, out: &mut Out) {
        if matches!(self.state, LinkState::Up | LinkState::Connecting) {
            self.state = LinkState::Closing;
            out.action(SessionAction::Close { conn: self.conn });
        }
    }

    /// The venue is about to cut it: it is to be left now.
    pub fn leave(&mut self, now: Nanos) {
        self.rotate_at = self.rotate_at.min(now);
    }

    /// True when it is as old as it may get.
    pub fn is_old(&self, now: Nanos) -> bool {
        self.is_up() && now >= self.rotate_at
    }

    /// True when it is time to connect.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.state == LinkState::Down && now >= self.retry_at
    }
}

/// Exponential back-off of the `attempt`-th try, less up to a quarter of jitter.
pub fn backoff(conn: ConnId, attempt: u32) -> Nanos {
    let full = (RECONNECT_MIN << attempt.min(8)).min(RECONNECT_MAX);
    full - jitter(conn, attempt, full / 4)
}

/// A fixed pseudo-random part of `range`: the same in every run, different for every connection and try.
pub fn jitter(conn: ConnId, attempt: u32, range: Nanos) -> Nanos {
    // splitmix64
    let mut x = ((u64::from(conn.0) << 32) | u64::from(attempt)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) % range.max(1).unsigned_abs()) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit_and_is_spread() {
        let conn = ConnId(3);
        assert!(backoff(conn, 0) <= RECONNECT_MIN);
        for attempt in 0..40 {
            assert!((RECONNECT_MIN / 2..=RECONNECT_MAX).contains(&backoff(conn, attempt)));
            assert_eq!(backoff(conn, attempt), backoff(conn, attempt));
        }
        assert!(backoff(conn, 20) >= RECONNECT_MAX * 3 / 4);
        assert_ne!(backoff(ConnId(1), 5), backoff(ConnId(2), 5));
    }

    #[test]
    fn a_stable_connection_starts_over_and_an_old_one_is_left() {
        let mut out = Out::default();
        let mut link = Link::new(ConnId(0), connection_age_usual());
        link.connect(None, &mut out);
        for _ in 0..5 {
            link.on_down(0);
        }
        assert!(link.retry_at > 4 * SECOND);
        link.on_up(0);
        assert!(!link.is_old(22 * 3600 * SECOND) && link.is_old(24 * 3600 * SECOND));
        link.close(&mut out);
        link.on_down(STABLE);
        assert!(link.retry_at <= STABLE + RECONNECT_MIN);
        assert_eq!(out.items().len(), 2);
    }
}
