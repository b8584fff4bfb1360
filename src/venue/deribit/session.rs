//! Timers of one Deribit connection: when to connect, ping, give up, and how long to wait before the next
//! attempt. Knows time and counts only; what is sent is said in [`super::adapter`].

use crate::domain::event::SessionRole;
use crate::domain::input::ConnId;
use crate::domain::time::{MILLI, Nanos, SECOND};

/// Silence after which `public/test` is sent: the venue sends a heartbeat every 10 s.
const PING_AFTER: Nanos = 20 * SECOND;
/// Patience for the answer.
const PONG_WITHIN: Nanos = 10 * SECOND;
/// Patience for the dialler: TCP, TLS and upgrade.
const CONNECT_WITHIN: Nanos = 30 * SECOND;
/// Patience for a login, or for all acknowledgements of subscriptions.
const STEP_WITHIN: Nanos = 10 * SECOND;
/// Patience for a connection that we closed to be reported closed.
const CLOSE_WITHIN: Nanos = 5 * SECOND;
/// A connection that lived this long was good: the next failure starts counting anew.
const GOOD_AFTER: Nanos = 30 * SECOND;
/// First delay of [`back_off`].
const BACK_OFF_MIN: Nanos = 250 * MILLI;
/// Longest delay of [`back_off`].
const BACK_OFF_MAX: Nanos = 30 * SECOND;
/// Delay after an error that only a change of configuration can cure.
const FATAL_DELAY: Nanos = 60 * SECOND;
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
    /// Connect, when the venue's connection rate allows it.
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
    /// Login acknowledged (private connections).
    pub logged_in: bool,
    /// Subscription acknowledgements still expected before it is ready.
    pub acks: u32,
    up_at: Nanos,
    heard_at: Nanos,
    pinged_at: Option<Nanos>,
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
            logged_in: false,
            acks: 0,
            up_at: 0,
            heard_at: 0,
            pinged_at: None,
            step_until: NEVER,
            failures: 0,
            fatal: false,
        }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Nanos) {
        self.heard_at = now;
        self.pinged_at = None;
    }

    /// The dialler was asked.
    pub fn connecting(&mut self, now: Nanos) {
        self.phase = Phase::Connecting { until: now + CONNECT_WITHIN };
    }

    /// It is established.
    pub fn up(&mut self, now: Nanos) {
        self.phase = Phase::Up;
        self.up_at = now;
        self.heard(now);
        self.step_until = NEVER;
        (self.ready, self.logged_in, self.acks, self.fatal) = (false, false, 0, false);
    }

    /// A login or subscription was sent: it must be answered in time.
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
        self.phase = Phase::Down { due: now + delay };
        self.step_until = NEVER;
        self.pinged_at = None;
        (self.ready, self.logged_in, self.acks) = (false, false, 0);
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
                let pong_until = self.pinged_at.map_or(NEVER, |at| at + PONG_WITHIN);
                let ping_at = if self.pinged_at.is_some() { NEVER } else { self.heard_at + PING_AFTER };
                if now >= pong_until.min(self.step_until) {
                    return (Wish::Close, now);
                }
                if now >= ping_at {
                    self.pinged_at = Some(now);
                    return (Wish::Ping, (now + PONG_WITHIN).min(self.step_until));
                }
                (Wish::None, pong_until.min(self.step_until).min(ping_at))
            }
        }
    }
}

/// Delay before attempt `failures` (from 1): doubles from 250 ms to 30 s, less up to half of it by a jitter
/// that depends on `seed` alone, so that a replay waits as long.
pub(super) fn back_off(failures: u32, seed: u64) -> Nanos {
    let doubled = BACK_OFF_MIN << failures.saturating_sub(1).min(10);
    let delay = doubled.min(BACK_OFF_MAX);
    let mixed = mix(seed ^ (u64::from(failures) << 32));
    delay - (mixed % (delay as u64 / 2)) as Nanos
}

/// SplitMix64's finaliser.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let mut session = Session::new(ConnId(1), SessionRole::Market);
        session.phase = Phase::Down { due: 0 };
        session
    }

    #[test]
    fn silence_leads_to_a_ping_and_then_to_a_close() {
        let mut s = session();
        assert_eq!(s.due(0).0, Wish::Connect);
        s.connecting(0);
        s.up(SECOND);
        assert_eq!(s.due(20 * SECOND), (Wish::None, 21 * SECOND));
        assert_eq!(s.due(21 * SECOND), (Wish::Ping, 31 * SECOND));
        assert_eq!(s.due(30 * SECOND).0, Wish::None);
        let mut answered = s;
        answered.heard(30 * SECOND);
        assert_eq!(answered.due(31 * SECOND), (Wish::None, 50 * SECOND));
        assert_eq!(s.due(31 * SECOND).0, Wish::Close);
    }

    #[test]
    fn an_unanswered_login_closes() {
        let mut s = session();
        s.up(0);
        s.step(0);
        assert_eq!(s.due(9 * SECOND).0, Wish::None);
        assert_eq!(s.due(10 * SECOND).0, Wish::Close);
    }

    #[test]
    fn delays_double_jitter_and_reset_after_a_good_connection() {
        let (mut last, mut now) = (0, 0);
        for attempt in 1..=12 {
            let delay = back_off(attempt, 7);
            assert_eq!(delay, back_off(attempt, 7));
            let full = (BACK_OFF_MIN << (attempt - 1).min(10)).min(BACK_OFF_MAX);
            assert!(delay > full / 2 - 1 && delay <= full, "{attempt}: {delay}");
            assert!(attempt > 7 || delay * 2 > last);
            last = delay;
        }
        assert_ne!(back_off(5, 1), back_off(5, 2));
        let mut s = session();
        for _ in 0..5 {
            s.down(now, 3);
            now += 40 * SECOND;
        }
        assert_eq!(s.failures, 5);
        s.up(now);
        s.down(now + GOOD_AFTER, 3);
        assert_eq!(s.failures, 1);
        s.up(now);
        s.closing(now, true);
        s.down(now, 3);
        assert_eq!(s.phase, Phase::Down { due: now + FATAL_DELAY });
    }
}
