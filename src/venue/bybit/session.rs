//! Timers of one Bybit connection: when to connect, ping, give up, and how long to wait before the next
//! attempt. Knows time and counts only; what is sent is said in [`super::adapter`].

use crate::domain::event::SessionRole;
use crate::domain::input::ConnId;
use crate::domain::time::{MILLI, Nanos, SECOND};

/// The venue wants a ping this often, whatever else is sent.
const PING_EVERY: Nanos = 20 * SECOND;
/// Patience for the pong, or anything else, after a ping.
const PONG_WITHIN: Nanos = 10 * SECOND;
/// Patience for the dialler: TCP, TLS and upgrade.
const CONNECT_WITHIN: Nanos = 30 * SECOND;
/// Patience for an authentication, or for all acknowledgements of subscriptions.
const STEP_WITHIN: Nanos = 10 * SECOND;
/// Patience for a connection that we closed to be reported closed.
const CLOSE_WITHIN: Nanos = 5 * SECOND;
/// A connection that lived this long was good: the next failure starts counting anew.
const GOOD_AFTER: Nanos = 30 * SECOND;
/// First delay of [`back_off`]. The venue allows 500 connections in 5 minutes.
const BACK_OFF_MIN: Nanos = 500 * MILLI;
/// Longest delay of [`back_off`].
const BACK_OFF_MAX: Nanos = 30 * SECOND;
/// Delay after an error that only a change of configuration can cure.
pub(super) const FATAL_DELAY: Nanos = 60 * SECOND;
/// Never.
pub(super) const NEVER: Nanos = Nanos::MAX;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not wanted (before the start, after the stop).
    Idle,
    /// To be established when due.
    Down { due: Nanos },
    /// The dialler works on it.
    Connecting { until: Nanos },
    /// Established.
    Up,
    /// We closed it and wait for the report.
    Closing { until: Nanos },
}

/// What the passing of time demands of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// Connect.
    Connect,
    /// Send a ping.
    Ping,
    /// Close: it is dead or does not answer.
    Close,
}

/// One connection of the venue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// The connection.
    pub conn: ConnId,
    /// What it is for.
    pub role: SessionRole,
    /// Where it stands.
    pub phase: Phase,
    /// Ready for use, as last told.
    pub ready: bool,
    /// Authenticated (private connections).
    pub authenticated: bool,
    /// Subscription acknowledgements still expected before it is ready.
    pub acks: u32,
    up_at: Nanos,
    ping_at: Nanos,
    /// Something must be heard until then.
    pong_until: Nanos,
    step_until: Nanos,
    failures: u32,
    fatal: bool,
}

impl Session {
    /// Not wanted yet.
    pub fn new(conn: ConnId, role: SessionRole) -> Self {
        Self {
            conn,
            role,
            phase: Phase::Idle,
            ready: false,
            authenticated: false,
            acks: 0,
            up_at: 0,
            ping_at: NEVER,
            pong_until: NEVER,
            step_until: NEVER,
            failures: 0,
            fatal: false,
        }
    }

    /// Something arrived.
    pub fn heard(&mut self) {
        self.pong_until = NEVER;
    }

    /// The dialler was asked.
    pub fn connecting(&mut self, now: Nanos) {
        self.phase = Phase::Connecting { until: now + CONNECT_WITHIN };
    }

    /// It is established.
    pub fn up(&mut self, now: Nanos) {
        *self = Self {
            phase: Phase::Up,
            up_at: now,
            ping_at: now + PING_EVERY,
            failures: self.failures,
            ..Self::new(self.conn, self.role)
        };
    }

    /// A request was sent that must be answered in time.
    pub fn step(&mut self, now: Nanos) {
        self.step_until = now + STEP_WITHIN;
    }

    /// The last step was answered.
    pub fn step_done(&mut self) {
        self.step_until = NEVER;
    }

    /// We close it; `fatal` when trying again soon is useless.
    pub fn closing(&mut self, now: Nanos, fatal: bool) {
        self.phase = Phase::Closing { until: now + CLOSE_WITHIN };
        self.fatal |= fatal;
    }

    /// It is gone: plans the next attempt.
    pub fn down(&mut self, now: Nanos, seed: u64) {
        if self.phase == Phase::Idle {
            return;
        }
        let lived = matches!(self.phase, Phase::Up | Phase::Closing { .. }) && now - self.up_at >= GOOD_AFTER;
        self.failures = if lived && !self.fatal { 1 } else { self.failures.saturating_add(1) };
        let delay = if self.fatal { FATAL_DELAY } else { back_off(self.failures, seed) };
        *self = Self {
            phase: Phase::Down { due: now + delay },
            failures: self.failures,
            fatal: self.fatal,
            ..Self::new(self.conn, self.role)
        };
    }

    /// What time demands now, and the earliest time at which to ask again.
    pub fn due(&mut self, now: Nanos) -> (Wish, Nanos) {
        match self.phase {
            Phase::Idle => (Wish::None, NEVER),
            Phase::Down { due } if now >= due => (Wish::Connect, now),
            Phase::Down { due } => (Wish::None, due),
            // The dialler never answered, or the close was never reported: start over.
            Phase::Connecting { until } if now >= until => (Wish::Close, now),
            Phase::Closing { until } if now >= until => (Wish::Connect, now),
            Phase::Connecting { until } | Phase::Closing { until } => (Wish::None, until),
            Phase::Up => {
                let patience = self.pong_until.min(self.step_until);
                if now >= patience {
                    return (Wish::Close, now);
                }
                if now >= self.ping_at {
                    self.ping_at = now + PING_EVERY;
                    self.pong_until = now + PONG_WITHIN;
                    return (Wish::Ping, self.pong_until.min(self.step_until));
                }
                (Wish::None, patience.min(self.ping_at))
            }
        }
    }
}

/// Delay before attempt `failures` (from 1): doubles from 500 ms to 30 s, less up to half of it by a jitter
/// that depends on `seed` alone, so that a replay waits as long.
pub(super) fn back_off(failures: u32, seed: u64) -> Nanos {
    let delay = (BACK_OFF_MIN << failures.saturating_sub(1).min(10)).min(BACK_OFF_MAX);
    // SplitMix64.
    let z = (seed ^ (u64::from(failures) << 32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    delay - ((z ^ (z >> 31)) % (delay as u64 / 2)) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_goes_out_every_20_seconds_and_silence_after_it_closes() {
        let mut s = Session::new(ConnId(1), SessionRole::Market);
        s.up(0);
        assert_eq!(s.due(19 * SECOND), (Wish::None, 20 * SECOND));
        assert_eq!(s.due(20 * SECOND), (Wish::Ping, 30 * SECOND));
        let mut answered = s;
        answered.heard();
        assert_eq!(answered.due(30 * SECOND), (Wish::None, 40 * SECOND));
        assert_eq!(answered.due(40 * SECOND).0, Wish::Ping);
        assert_eq!(s.due(30 * SECOND).0, Wish::Close);
    }

    #[test]
    fn delays_double_and_a_fatal_error_waits_long() {
        let full = |n: u32| (BACK_OFF_MIN << (n - 1)).min(BACK_OFF_MAX);
        for n in 1..9 {
            let delay = back_off(n, 7);
            assert!(delay > full(n) / 2 - 1 && delay <= full(n), "{n}: {delay}");
            assert_eq!(delay, back_off(n, 7));
        }
        let mut s = Session::new(ConnId(1), SessionRole::Orders);
        s.up(0);
        s.step(0);
        assert_eq!(s.due(10 * SECOND).0, Wish::Close, "an unanswered authentication");
        s.closing(0, true);
        s.down(0, 3);
        assert_eq!(s.phase, Phase::Down { due: FATAL_DELAY });
    }
}
